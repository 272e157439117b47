//! `ctl import LIST FILE`: leads from a file, with a bar on standard error.

use super::ImportArguments;
use super::client::{Client, Refusal, escape};
use serde_json::Value;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;

/// Bytes read from the file at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Refused rows that are printed; the others are counted.
const REFUSED_SHOWN_MAX: usize = 20;
/// The bar is drawn at most so often.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// Cells of the bar.
const BAR_CELLS: u64 = 30;

/// Imports and tells what became of the rows.
pub async fn ask(client: &Client, arguments: &ImportArguments, as_json: bool) -> Result<String, Refusal> {
    let kind = content_type(&arguments.file)?;
    let bad = |error: std::io::Error| Refusal::WrongUse(format!("{}: {error}", arguments.file.display()));
    let file = tokio::fs::File::open(&arguments.file).await.map_err(bad)?;
    let length = file.metadata().await.map_err(bad)?.len();
    let list = client.named("/v1/lists", "list_", "list", &arguments.list).await?;
    let id = list["id"].as_str().unwrap_or(&arguments.list);
    let mut path = format!(
        "/v1/lists/{}/leads:import?on_duplicate={}&dedupe_scope={}&dry_run={}",
        escape(id),
        escape(&arguments.on_duplicate),
        escape(&arguments.dedupe_scope),
        arguments.dry_run
    );
    if let Some(region) = &arguments.region {
        path.push_str(&format!("&region={}", escape(region)));
    }
    let sent = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&sent);
    let chunks = futures_util::stream::try_unfold(file, move |mut file| {
        let counting = Arc::clone(&counting);
        async move {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = file.read(&mut chunk).await?;
            counting.fetch_add(read as u64, Ordering::Relaxed);
            chunk.truncate(read);
            Ok::<_, std::io::Error>((read > 0).then_some((chunk, file)))
        }
    });
    let mut answer = client.upload(&path, kind, reqwest::Body::wrap_stream(chunks)).await?;
    let mut bar = Bar::new(length, sent);
    let mut verdicts = Verdicts::default();
    let broke = |error: reqwest::Error| Refusal::Failed(format!("the import broke off: {error}"));
    while let Some(bytes) = answer.chunk().await.map_err(broke)? {
        verdicts.read(&bytes);
        bar.draw(verdicts.rows, false);
    }
    bar.draw(verdicts.rows, true);
    verdicts.told(as_json)
}

fn content_type(file: &Path) -> Result<&'static str, Refusal> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => Ok("text/csv"),
        Some("ndjson" | "jsonl") => Ok("application/x-ndjson"),
        _ => Err(Refusal::WrongUse(format!(
            "{}: expected a file whose name ends in .csv, .ndjson or .jsonl",
            file.display()
        ))),
    }
}

/// How far the file is read; nothing where standard error is no terminal.
struct Bar {
    length: u64,
    sent: Arc<AtomicU64>,
    began: Instant,
    drawn: Option<Instant>,
    shown: bool,
}

impl Bar {
    fn new(length: u64, sent: Arc<AtomicU64>) -> Self {
        let shown = std::io::stderr().is_terminal();
        Bar { length, sent, began: Instant::now(), drawn: None, shown }
    }

    fn draw(&mut self, rows: u64, last: bool) {
        let due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= DRAW_EVERY);
        if !self.shown || !(due || last) {
            return;
        }
        self.drawn = Some(Instant::now());
        eprint!("\r{}", bar_text(self.sent.load(Ordering::Relaxed), self.length, rows, self.began.elapsed()));
        if last {
            eprintln!();
        }
    }
}

fn bar_text(sent: u64, length: u64, rows: u64, elapsed: Duration) -> String {
    let share = if length == 0 { 1.0 } else { sent.min(length) as f64 / length as f64 };
    let full = (share * BAR_CELLS as f64) as usize;
    let per_second = rows as f64 / elapsed.as_secs_f64().max(0.001);
    format!(
        "[{}{}] {:3.0} %  {rows} rows, {per_second:.0} a second  ",
        "#".repeat(full),
        ".".repeat(BAR_CELLS as usize - full),
        share * 100.0
    )
}

/// What the daemon says of the rows.
#[derive(Default)]
struct Verdicts {
    part: Vec<u8>,
    rows: u64,
    refused: Vec<String>,
    refused_more: u64,
    summary: Option<Value>,
    fault: Option<String>,
}

impl Verdicts {
    fn read(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.part.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.part);
                self.line(&line);
            }
        }
    }

    fn line(&mut self, line: &[u8]) {
        let Ok(value) = serde_json::from_slice::<Value>(line) else { return };
        if value.get("summary").is_some() {
            self.summary = Some(value["summary"].clone());
            return;
        }
        if value.get("status").is_some() && value.get("title").is_some() {
            self.fault = Some(super::client::told(&value));
            return;
        }
        self.rows += 1;
        let result = value["result"].as_str().unwrap_or("?");
        if matches!(result, "accepted" | "updated" | "duplicate") {
            return;
        }
        if self.refused.len() < REFUSED_SHOWN_MAX {
            let words = ["code", "pointer", "detail"].map(|name| value[name].as_str().unwrap_or_default());
            let words = words.into_iter().filter(|word| !word.is_empty()).map(super::table::one_line);
            let words: Vec<String> = words.collect();
            self.refused
                .push(format!("line {}: {result} {}", value["line"], words.join(": ")).trim_end().to_owned());
        } else {
            self.refused_more += 1;
        }
    }

    fn told(mut self, as_json: bool) -> Result<String, Refusal> {
        let rest = std::mem::take(&mut self.part);
        if !rest.is_empty() {
            self.line(&rest);
        }
        if let Some(fault) = self.fault {
            return Err(Refusal::Failed(format!("the import broke off after {} rows: {fault}", self.rows)));
        }
        let Some(summary) = self.summary else {
            return Err(Refusal::Failed(format!("the import broke off after {} rows", self.rows)));
        };
        if summary["complete"] == false {
            let why = summary["error"].as_str().unwrap_or("it is not complete");
            return Err(Refusal::Failed(format!("the import broke off after {} rows: {why}", self.rows)));
        }
        if as_json {
            return Ok(serde_json::to_string_pretty(&summary).unwrap_or_default());
        }
        let mut out = self.refused.join("\n");
        if self.refused_more > 0 {
            out.push_str(&format!("\nand {} more", self.refused_more));
        }
        if !out.is_empty() {
            out.push('\n');
        }
        let counts = summary.as_object().into_iter().flatten();
        let counts = counts.filter(|(_, count)| count.as_u64() != Some(0));
        out.push_str(&counts.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", "));
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        let text = |sent, length| bar_text(sent, length, 10, Duration::from_secs(2));
        assert!(text(0, 100).starts_with("[..............................]   0 %  10 rows, 5 a second"));
        assert!(text(50, 100).starts_with("[###############...............]  50 %"));
        assert!(text(100, 100).contains("[##############################] 100 %"));
        assert!(text(0, 0).contains("100 %"));
    }

    #[test]
    fn verdicts_come_in_pieces() {
        let mut verdicts = Verdicts::default();
        verdicts.read(b"{\"line\":1,\"result\":\"acce");
        verdicts.read(
            b"pted\"}\n{\"line\":2,\"result\":\"invalid_number\",\"code\":\"not_e164\",\"pointer\":\"/phone\",\"detail\":\"too short\"}\n{\"summary\":",
        );
        verdicts.read(b"{\"lines\":2,\"accepted\":1,\"updated\":0}}\n");
        assert_eq!(verdicts.rows, 2);
        assert_eq!(
            verdicts.told(false).unwrap(),
            "line 2: invalid_number not_e164: /phone: too short\naccepted 1, lines 2"
        );
        assert!(Verdicts::default().told(false).is_err());
    }
}
