//! Leads through the API: how many rows a second, what they cost, and how much memory they take while they pass.

use super::daemon::{Daemon, Place};
use super::process::{Used, resident_kib};
use super::report::{Report, Row};
use anyhow::Context;
use bytes::Bytes;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is promised on two idle cores.
const ROWS_PER_S_MIN: f64 = 50_000.0;
/// The daemon may grow by so much meanwhile.
const GROWTH_MIB_MAX: f64 = 200.0;
/// Numbers that are not to be called.
const DNC_NUMBERS: u64 = 100_000;
/// Of so many rows one is on that list, and another there already.
const ONE_IN: u64 = 100;
/// Rows in one piece of the body.
const PIECE_ROWS: u64 = 1_000;
/// A prime below the numbers of a ten-digit plan, and a step that visits each of them once.
const PLAN: u64 = 7_999_999_993;
const STEP: u64 = 104_729_003;

/// The nth number: all differ, and follow each other without order, as in lists of people.
pub(super) fn number(n: u64) -> u64 {
    12_000_000_000 + n * STEP % PLAN
}

fn piece(rows: std::ops::Range<u64>) -> String {
    let mut text = String::with_capacity(160 * PIECE_ROWS as usize);
    for row in rows {
        let lead = match row % ONE_IN {
            1 => row % DNC_NUMBERS,
            2 => DNC_NUMBERS + row - 2,
            _ => DNC_NUMBERS + row,
        };
        let _ = writeln!(
            text,
            "{{\"external_id\":\"crm-{row}\",\"phone\":\"+{}\",\"priority\":{},\"time_zone\":\"America/New_York\",\
             \"fields\":{{\"name\":\"Person {row}\",\"city\":\"Springfield\",\"balance\":{}}}}}",
            number(lead),
            row % 5,
            row % 977
        );
    }
    text
}

/// Imports `rows` rows of NDJSON with deduplication and a do-not-call list, and says how it went. `strict`: the promises
/// are asserted.
///
/// # Errors
/// When it cannot be played.
pub fn run(report: &mut Report, place: &Place, rows: u64, strict: bool) -> anyhow::Result<()> {
    let daemon = Daemon::start_anywhere(place, "import")?;
    let api = &daemon.api;
    let id = |made: Value| made["id"].as_str().map(str::to_owned).context("a made thing has an id");
    let dnc = id(api.post("/v1/dnc-lists", &json!({ "name": "everywhere", "everywhere": true }))?)?;
    let numbers: String = (0..DNC_NUMBERS.min(rows)).map(|n| format!("+{}\n", number(n))).collect();
    api.post_text(&format!("/v1/dnc-lists/{dnc}/numbers:import"), "text/csv", numbers)?;
    let list = id(api.post("/v1/lists", &json!({ "name": "people", "default_region": "US" }))?)?;
    let process = daemon.process.id();
    let (before, used) = (resident_kib(&[process])?, Used::of(process)?);
    let most = Arc::new(AtomicU64::new(before));
    let over = Arc::new(AtomicBool::new(false));
    let watch = {
        let (most, over) = (Arc::clone(&most), Arc::clone(&over));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                most.fetch_max(resident_kib(&[process]).unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        })
    };
    let begun = Instant::now();
    let pieces = (0..rows.div_ceil(PIECE_ROWS)).map(move |at| {
        Ok::<_, std::io::Error>(Bytes::from(piece(at * PIECE_ROWS..((at + 1) * PIECE_ROWS).min(rows))))
    });
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let summary = api.import(&format!("/v1/lists/{list}/leads:import"), "application/x-ndjson", body);
    let seconds = begun.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    let _ = watch.join();
    let summary = summary?;
    let used = Used::of(process)?.since(used);
    let growth_mib = most.load(Ordering::Relaxed).saturating_sub(before) as f64 / 1024.0;
    let rate = rows as f64 / seconds;
    report.add(Row {
        name: format!("import of {rows} rows"),
        more: json!({
            "rows_per_s": rate.round(), "daemon_us_per_row": (used.us() / rows as f64 * 10.0).round() / 10.0,
            "growth_mib": growth_mib.round(), "summary": summary,
        }),
        note: format!(
            "{rate:.0} rows/s, {:.1} us of processor a row, grew by {growth_mib:.0} MiB",
            used.us() / rows as f64
        ),
        ..Row::default()
    });
    let figure = |name: &str| summary[name].as_u64().unwrap_or(0);
    let accepted = figure("accepted") + figure("duplicates") + figure("dnc");
    report.check(
        "import: every row is judged, and some are known or not to be called",
        summary["complete"] == true
            && figure("lines") == rows
            && accepted == rows
            && figure("duplicates") > 0
            && figure("dnc") > 0,
        summary.to_string(),
    );
    report.check(
        "import: memory stays",
        growth_mib <= GROWTH_MIB_MAX,
        format!("{growth_mib:.0} MiB, at most {GROWTH_MIB_MAX:.0}"),
    );
    if strict {
        report.check(
            "import: rows per second",
            rate >= ROWS_PER_S_MIN,
            format!("{rate:.0}, at least {ROWS_PER_S_MIN:.0}"),
        );
    }
    let broken = daemon.broken()?;
    report.check("import: nothing is lost between threads", broken == 0.0, format!("{broken}"));
    let mut process = daemon.process;
    report.check("import: the daemon ends well", process.stop()?, "");
    Ok(())
}
