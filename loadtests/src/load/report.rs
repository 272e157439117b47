//! One table at the end, one JSON line per run, and what was asserted.

use super::generator::Figures;
use serde_json::{Value, json};

/// One run.
#[derive(Default)]
pub struct Row {
    /// What ran.
    pub name: String,
    /// Rate asked for and rate answered, calls per second.
    pub offered: f64,
    /// Calls that went well per second.
    pub sustained: f64,
    /// Calls.
    pub calls: usize,
    /// Of these failed.
    pub failed: usize,
    /// INVITE → 200, half and 99 of 100, milliseconds.
    pub setup_ms: Option<(f64, f64)>,
    /// Processor time of the daemon per call, microseconds.
    pub us_per_call: Option<f64>,
    /// Memory per held call, KiB.
    pub kib_per_call: Option<f64>,
    /// Processor time per relayed packet, microseconds.
    pub us_per_packet: Option<f64>,
    /// More for the JSON line.
    pub more: Value,
    /// A word for the table.
    pub note: String,
}

impl Row {
    /// From our own generator.
    #[must_use]
    pub fn of(name: &str, figures: &Figures) -> Self {
        Row {
            name: name.to_owned(),
            offered: figures.offered,
            sustained: figures.sustained,
            calls: figures.calls,
            failed: figures.failed,
            setup_ms: Some((figures.setup_ms(0.5), figures.setup_ms(0.99))),
            more: json!({
                "generator": "own", "codes": figures.codes, "resent": figures.resent, "repeated": figures.repeated,
                "unexpected": figures.unexpected, "held_max": figures.held_max,
                "user_s": figures.used.user_s, "system_s": figures.used.system_s,
                "busy_share": figures.used.us() / 1e6 / figures.used_over_s.max(0.001),
                "invite_passed_p50_us": figures.passed_us(0.5), "invite_passed_p99_us": figures.passed_us(0.99),
                "rest_kib": figures.rest_kib, "held_kib": figures.held_kib,
            }),
            ..Row::default()
        }
    }

    fn json(&self) -> Value {
        let mut line = json!({
            "name": self.name, "offered_cps": self.offered, "sustained_cps": rounded(self.sustained),
            "calls": self.calls, "failed": self.failed,
            "us_per_call": self.us_per_call.map(rounded),
            "setup_p50_ms": self.setup_ms.map(|(half, _)| half),
            "setup_p99_ms": self.setup_ms.map(|(_, most)| most),
            "kib_per_held_call": self.kib_per_call.map(rounded),
            "us_per_packet": self.us_per_packet.map(rounded),
        });
        if let (Some(line), Some(more)) = (line.as_object_mut(), self.more.as_object()) {
            line.extend(more.clone());
        }
        line
    }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// All runs.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    checks: Vec<(String, bool, String)>,
}

impl Report {
    /// Adds a run and prints its JSON line.
    pub fn add(&mut self, row: Row) {
        println!("{}", row.json());
        self.rows.push(row);
    }

    /// Notes an assertion.
    pub fn check(&mut self, what: impl Into<String>, good: bool, detail: impl Into<String>) {
        let (what, detail) = (what.into(), detail.into());
        if !good {
            eprintln!("FAILED {what} ({detail})");
        }
        self.checks.push((what, good, detail));
    }

    /// Prints everything; true when all assertions hold.
    #[must_use]
    pub fn tell(&self) -> bool {
        println!();
        println!(
            "{:<34} {:>8} {:>9} {:>7} {:>6} {:>8} {:>8} {:>8} {:>8} {:>7}",
            "run", "offered", "sustained", "calls", "failed", "p50", "p99", "CPU us", "KiB per", "CPU us"
        );
        println!(
            "{:<34} {:>8} {:>9} {:>7} {:>6} {:>8} {:>8} {:>8} {:>8} {:>7}",
            "", "calls/s", "calls/s", "", "", "ms", "ms", "/call", "held", "/packet"
        );
        for row in &self.rows {
            let number = |value: Option<f64>, digits: usize| {
                value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
            };
            println!(
                "{:<34} {:>8.0} {:>9} {:>7} {:>6} {:>8} {:>8} {:>8} {:>8} {:>7} {}",
                row.name,
                row.offered,
                number((row.sustained > 0.0).then_some(row.sustained), 0),
                row.calls,
                row.failed,
                number(row.setup_ms.map(|(half, _)| half), 2),
                number(row.setup_ms.map(|(_, most)| most), 2),
                number(row.us_per_call, 0),
                number(row.kib_per_call, 1),
                number(row.us_per_packet, 2),
                row.note,
            );
        }
        println!();
        for (what, good, detail) in &self.checks {
            println!("{} {what} ({detail})", if *good { "ok    " } else { "FAILED" });
        }
        self.checks.iter().all(|(_, good, _)| *good)
    }
}
