//! `ctl events`: the event stream on a terminal, until it is interrupted; a connection that breaks is taken up again where
//! it was.

use super::client::{Client, Refusal, escape};
use super::table::one_line;
use clap::Args;
use serde_json::Value;
use std::io::{ErrorKind, Write};
use std::time::Duration;

/// A connection that broke is tried again after so long.
const AGAIN: Duration = Duration::from_secs(2);
/// So often in a row without an event between.
const TRIES_MAX: u32 = 30;
/// A line that is longer is no event.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Which events, and from where on.
#[derive(Debug, Args)]
pub struct EventArguments {
    /// Only these: `call.*,agent.state`.
    #[arg(long, value_name = "TYPES")]
    types: Option<String>,
    /// Only of this campaign (id or name).
    #[arg(long, value_name = "CAMPAIGN")]
    campaign: Option<String>,
    /// Only of this call.
    #[arg(long, value_name = "CALL")]
    call: Option<String>,
    /// Go on after this cursor; 0: from the oldest that is kept [default: from now on].
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// End after so many [default: never].
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Prints events as they come.
pub async fn tail(client: &Client, asked: &EventArguments, as_json: bool) -> Result<String, Refusal> {
    let mut query = Vec::new();
    if let Some(types) = &asked.types {
        query.push(format!("types={}", escape(types)));
    }
    if let Some(campaign) = &asked.campaign {
        let found = client.campaign(campaign).await?;
        query.push(format!("campaign={}", escape(found["id"].as_str().unwrap_or(campaign))));
    }
    if let Some(call) = &asked.call {
        query.push(format!("call={}", escape(call)));
    }
    let path = format!("/v1/events?{}", query.join("&"));
    let mut stream = Stream { cursor: asked.after.clone(), left: asked.limit, ..Stream::default() };
    let mut tries = 0;
    loop {
        let before = stream.told;
        let mut answer = match client.events(&path, stream.cursor.as_deref()).await {
            Ok(answer) => answer,
            // The daemon said no, or was never there.
            Err(refusal) if tries == 0 => return Err(refusal),
            Err(refusal) if tries >= TRIES_MAX => return Err(refusal),
            Err(_) => {
                tries += 1;
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        while let Ok(Some(bytes)) = answer.chunk().await {
            let mut out = String::new();
            let goes_on = stream.read(&bytes, as_json, &mut out);
            let written =
                std::io::stdout().write_all(out.as_bytes()).and_then(|()| std::io::stdout().flush());
            match written {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(String::new()),
                Err(error) => return Err(Refusal::Failed(error.to_string())),
                Ok(()) if !goes_on => return Ok(String::new()),
                Ok(()) => {}
            }
        }
        stream.part.clear();
        tries = if stream.told > before { 1 } else { tries + 1 };
        tokio::time::sleep(AGAIN).await;
    }
}

/// What was read of the stream.
#[derive(Default)]
struct Stream {
    part: Vec<u8>,
    cursor: Option<String>,
    left: Option<u64>,
    told: u64,
}

impl Stream {
    /// Takes bytes in and writes the events in them. False: enough were told.
    fn read(&mut self, bytes: &[u8], as_json: bool, out: &mut String) -> bool {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.left == Some(0) {
                return false;
            }
            if self.part.len() + piece.len() <= LINE_BYTES_MAX {
                self.part.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.part);
                self.line(String::from_utf8_lossy(&line).trim_end(), as_json, out);
            }
        }
        self.left != Some(0)
    }

    fn line(&mut self, line: &str, as_json: bool, out: &mut String) {
        if let Some(cursor) = line.strip_prefix("id:") {
            self.cursor = Some(cursor.trim().to_owned());
            return;
        }
        let Some(data) = line.strip_prefix("data:") else { return };
        let Ok(event) = serde_json::from_str::<Value>(data.trim()) else { return };
        if !event["type"].is_string() {
            // Why the stream ends; it is taken up again.
            return;
        }
        self.told += 1;
        self.left = self.left.map(|left| left.saturating_sub(1));
        out.push_str(&if as_json { data.trim().to_owned() } else { words(&event) });
        out.push('\n');
    }
}

/// One line: when, what, about what, and what is told of it.
fn words(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().map(one_line);
    let about = ["call_id", "campaign_id", "agent_id", "lead_id"].into_iter().find_map(text);
    let data = event["data"].as_object().into_iter().flatten();
    let simple = data.filter(|(_, value)| !value.is_null() && !value.is_object() && !value.is_array());
    let told = simple.map(|(name, value)| {
        format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), one_line))
    });
    format!(
        "{}  {:<24} {}  {}",
        text("occurred_at").unwrap_or_default(),
        text("type").unwrap_or_default(),
        about.unwrap_or_else(|| "-".into()),
        told.collect::<Vec<_>>().join(" ")
    )
    .trim_end()
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_a_line_each_and_the_place_is_remembered() {
        let mut stream = Stream { left: Some(2), ..Stream::default() };
        let mut out = String::new();
        let sent = ": connected\nretry: 2000\nid: n1-1\n\nid: n1-2\ndata: {\"type\":\"call.created\",\"occurred_at\":\"t\",\
                    \"call_id\":\"call_1\",\"data\":{\"to\":\"+86\",\"mode\":null,\"x\":{}}}\n\nid: n1-3\nda";
        assert!(stream.read(sent.as_bytes(), false, &mut out));
        assert_eq!(out, "t  call.created             call_1  to=+86\n");
        assert_eq!((stream.cursor.as_deref(), stream.told), (Some("n1-3"), 1));
        assert!(!stream.read(b"ta: {\"type\":\"node.drained\"}\n\ndata: {\"type\":\"x\"}\n", true, &mut out));
        assert_eq!(out.lines().count(), 2, "{out}");
        let mut stream = Stream::default();
        let mut out = String::new();
        assert!(stream.read(b"event: error\ndata: {\"code\":\"slow_consumer\"}\n\n", true, &mut out));
        assert_eq!((out.as_str(), stream.told), ("", 0));
    }
}
