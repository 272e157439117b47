//! The figures at the end, read back from the daemon's records and checked.

use super::api::Api;
use super::view::busy_share;
use super::{ABANDON_TARGET, BUSY_SHARE_MIN, Place, recording};
use anyhow::Context;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the campaign came to.
pub struct Figures {
    attempts: usize,
    answers: usize,
    bridged: usize,
    outcomes: BTreeMap<String, usize>,
    busy: f64,
    bridge_p99_ms: f64,
    /// Forecasts of the pacer against what came: what, forecast, came.
    forecasts: Vec<(&'static str, f64, f64)>,
    looks: u64,
    recording: Option<(PathBuf, f64)>,
    /// The run was long enough for figures that need many calls.
    long_enough: bool,
    checks: Vec<(String, bool, String)>,
}

/// A file somewhere below a folder.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { find(&path, name) } else { (entry.file_name() == name).then_some(path) }
    })
}

/// A loudness that no line noise reaches.
const VOICE_RMS_MIN: f64 = 100.0;
/// A recording and its talk time may differ by this much.
const RECORDING_SLACK_S: f64 = 0.3;

impl Figures {
    /// Reads the records.
    pub async fn read(api: &Api, campaign: &str, agents: &Value, long_enough: bool) -> anyhow::Result<Self> {
        let records = api.get_all(&format!("/v1/cdrs?campaign={campaign}&limit=500")).await?;
        let stats = api.get(&format!("/v1/campaigns/{campaign}/stats")).await?;
        let mut outcomes = BTreeMap::new();
        for record in &records {
            *outcomes.entry(record["outcome"].as_str().unwrap_or("?").to_owned()).or_insert(0) += 1;
        }
        let mut bridge_ms: Vec<f64> =
            records.iter().filter_map(|record| record["answer_to_bridge_ms"].as_f64()).collect();
        bridge_ms.sort_by(f64::total_cmp);
        let p99 = (bridge_ms.len() * 99).div_ceil(100).max(1) - 1;
        let mut figures = Figures {
            attempts: records.len(),
            answers: records.iter().filter(|record| !record["answered_at"].is_null()).count(),
            bridged: records.iter().filter(|record| !record["bridged_at"].is_null()).count(),
            busy: busy_share(agents),
            bridge_p99_ms: bridge_ms.get(p99).copied().unwrap_or(f64::NAN),
            forecasts: Vec::new(),
            looks: 0,
            recording: None,
            long_enough,
            checks: Vec::new(),
            outcomes,
        };
        figures.consistency(&records, &stats);
        figures.forecasts(&api.get(&format!("/v1/campaigns/{campaign}/pacing")).await?);
        Ok(figures)
    }

    /// Notes one check for the end.
    pub fn check(&mut self, what: &str, good: bool, detail: String) {
        self.checks.push((what.to_owned(), good, detail));
    }

    /// A check that a short run need not pass: then it is only told.
    fn check_if_long(&mut self, what: &str, good: bool, detail: String) {
        if good || self.long_enough {
            self.check(what, good, detail);
        } else {
            println!("note   too short a run to judge: {what} ({detail})");
        }
    }

    fn consistency(&mut self, records: &[Value], stats: &Value) {
        let attempts = stats.pointer("/attempts").and_then(Value::as_u64).unwrap_or(0);
        let detail = format!("{attempts} attempts, {} records", self.attempts);
        self.check("every attempt has one record", attempts as usize == self.attempts, detail);
        let mut calls: Vec<&str> = records.iter().filter_map(|record| record["call_id"].as_str()).collect();
        calls.sort_unstable();
        calls.dedup();
        let detail = format!("{} calls", calls.len());
        self.check("no call has two records", calls.len() == records.len(), detail);
        self.check_if_long("calls were made", !calls.is_empty(), String::new());
        let live = stats.pointer("/abandonment/live").and_then(Value::as_f64).unwrap_or(0.0);
        let abandoned = self.outcomes.get("abandoned").copied().unwrap_or(0) as f64;
        let rate = if live > 0.0 { abandoned / live } else { 0.0 };
        self.check(
            "abandonment is under its target",
            rate < ABANDON_TARGET,
            format!(
                "{abandoned} of {live} live answers, {:.2} %, target {:.1} %",
                100.0 * rate,
                100.0 * ABANDON_TARGET
            ),
        );
        self.check_if_long("people answered", live > 0.0, format!("{live}"));
        let detail = format!("{:.1} %, wanted more than {:.0} %", 100.0 * self.busy, 100.0 * BUSY_SHARE_MIN);
        self.check_if_long("agents are busy (talk and wrap-up)", self.busy > BUSY_SHARE_MIN, detail);
        let detail = format!("p99 {:.0} ms, wanted at most 20 ms", self.bridge_p99_ms);
        self.check_if_long("answer to bridge is quick", self.bridge_p99_ms <= 20.0, detail);
    }

    /// Forecast against outcome. They are about the same calls, so what came is counted in the records too.
    fn forecasts(&mut self, pacing: &Value) {
        let of = |name: &str| pacing["accuracy"][name].as_f64().unwrap_or(f64::NAN);
        self.looks = pacing["accuracy"]["looks"].as_u64().unwrap_or(0);
        for (what, forecast, came) in [
            ("live answers within the horizon", "answers_forecast", "answers_seen"),
            ("agents becoming free within it", "freed_forecast", "freed_seen"),
            ("abandoned calls", "abandons_forecast", "abandons_seen"),
        ] {
            self.forecasts.push((what, of(forecast), of(came)));
        }
        let abandoned = self.outcomes.get("abandoned").copied().unwrap_or(0) as f64;
        let told = of("abandons_seen");
        let detail = format!("{} looks ahead, {told} abandoned told, {abandoned} in the records", self.looks);
        self.check("forecasts were held against what came", self.looks > 0 && told == abandoned, detail);
    }

    /// Nothing may be left behind.
    pub async fn left_over(&mut self, api: &Api) -> anyhow::Result<()> {
        let live = api.get_all("/v1/calls?limit=100").await?.len();
        self.check("no call is left", live == 0, format!("{live} live"));
        // Counters are shown once a second.
        let mut left = (f64::NAN, f64::NAN, f64::NAN);
        for _ in 0..50 {
            left = (
                api.metric("rtp_ports_in_use").await?,
                api.metric("sip_dialogs_active").await?,
                api.metric("recording_active").await?,
            );
            if left == (0.0, 0.0, 0.0) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        let detail = format!("{} ports, {} legs, {} recordings", left.0, left.1, left.2);
        self.check("no port, leg or recording is left", left == (0.0, 0.0, 0.0), detail);
        let broken = api.metric("audit_findings").await? + api.metric("events_dropped_total").await?;
        self.check("no invariant is broken, no event lost", broken == 0.0, format!("{broken}"));
        Ok(())
    }

    /// Listens to the recordings.
    pub async fn recordings(&mut self, api: &Api, folder: &Path) -> anyhow::Result<()> {
        let rows = api.get_all("/v1/recordings?limit=500").await?;
        let (mut both, mut right_length, mut heard) = (0, 0, 0);
        for row in &rows {
            let id = row["id"].as_str().context("a recording has an id")?;
            let file = find(folder, &format!("{id}.wav"))
                .with_context(|| format!("{id}.wav is not in {}", folder.display()))?;
            let (left, right, seconds) =
                recording::voices(&file).with_context(|| format!("reading {}", file.display()))?;
            let told = row["duration_ms"].as_f64().unwrap_or(-1.0) / 1000.0;
            right_length += usize::from((told - seconds).abs() <= RECORDING_SLACK_S);
            // A call cut short, or one that met a machine, may not hold both.
            if seconds >= 3.0 {
                heard += 1;
                if left > VOICE_RMS_MIN && right > VOICE_RMS_MIN {
                    both += 1;
                    if self.recording.as_ref().is_none_or(|(_, length)| *length < seconds) {
                        self.recording = Some((file, seconds));
                    }
                }
            }
        }
        let detail = format!("{both} of {heard} of 3 s or more; {} in all", rows.len());
        self.check("recordings hold both voices", both == heard, detail);
        self.check_if_long("a recording holds both voices", both > 0, String::new());
        let detail = format!("{right_length} of {}", rows.len());
        self.check("recordings are as long as told", right_length == rows.len(), detail);
        Ok(())
    }

    /// Tells all; true when all is well.
    pub fn tell(&self, place: &Place, campaign: &str) -> bool {
        println!();
        println!(
            "Attempts {}, answered {}, joined to an agent {}",
            self.attempts, self.answers, self.bridged
        );
        let outcomes: Vec<String> =
            self.outcomes.iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!("Outcomes: {}", outcomes.join(", "));
        println!("Agents busy {:.1} %, answer to bridge p99 {:.0} ms", 100.0 * self.busy, self.bridge_p99_ms);
        println!("Forecast against outcome ({} looks ahead):", self.looks);
        for (what, forecast, came) in &self.forecasts {
            println!("  {what}: forecast {forecast:.1}, came {came:.0}");
        }
        println!();
        for (what, good, detail) in &self.checks {
            let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
            println!("{} {what}{detail}", if *good { "ok    " } else { "FAILED" });
        }
        println!();
        if let Some((file, seconds)) = &self.recording {
            println!("A recording with both voices ({seconds:.1} s, customer left, agent right):");
            println!("  {}", file.display());
        }
        println!("Start the daemon again on what it has written, and look further:");
        println!("  dialerd run --config {}/dialerd.toml", place.folder.display());
        let curl = format!("curl -sH 'Authorization: Bearer {}' http://{}:8080", place.token, place.daemon);
        println!("  {curl}/v1/campaigns/{campaign}/stats");
        println!("  {curl}/v1/cdrs?campaign={campaign}");
        println!("  {curl}/v1/recordings");
        println!("  curl -s http://{}:9095/metrics", place.daemon);
        self.checks.iter().all(|(_, good, _)| *good)
    }
}
