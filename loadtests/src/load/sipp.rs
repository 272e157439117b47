//! SIPp as an independent second opinion: it shares no line with the daemon or with our own generator.

use super::daemon::{BYPASS, Daemon, Kept, LOAD_CORE, Place};
use super::process::Used;
use super::report::{Report, Row};
use super::transit::finish;
use anyhow::{Context, ensure};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// The scenarios, part of this program.
const SCENARIOS: [(&str, &str); 7] = [
    ("uac", include_str!("../../sipp/uac.xml")),
    ("uas", include_str!("../../sipp/uas.xml")),
    ("carrier_401", include_str!("../../sipp/carrier_401.xml")),
    ("carrier_407", include_str!("../../sipp/carrier_407.xml")),
    ("carrier_busy", include_str!("../../sipp/carrier_busy.xml")),
    ("agent", include_str!("../../sipp/agent.xml")),
    ("agent_register", include_str!("../../sipp/agent_register.xml")),
];

/// A running SIPp with a scenario of ours.
pub struct Sipp {
    process: Kept,
    figures: PathBuf,
    folder: PathBuf,
    scenario: String,
}

/// What SIPp counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// Calls that followed the scenario to its end.
    pub good: usize,
    /// Calls that did not.
    pub failed: usize,
    /// Messages it had to repeat.
    pub resent: u64,
}

impl Sipp {
    /// Starts a scenario under a name of its own at an address of its own.
    ///
    /// # Errors
    /// When SIPp is not installed.
    pub fn start(
        place: &Place,
        name: &str,
        scenario: &str,
        host: &str,
        port: u16,
        more: &[&str],
    ) -> anyhow::Result<Self> {
        let (_, text) = SCENARIOS.iter().find(|(known, _)| *known == scenario).context("no such scenario")?;
        // SIPp names its files after the scenario's file, so each run has its own.
        let file = place.folder.join(format!("{name}.xml"));
        std::fs::write(&file, text)?;
        let figures = place.folder.join(format!("{name}.csv"));
        let mut command = Command::new("sipp");
        command
            .args(["-sf", &file.to_string_lossy(), "-i", host, "-p", &port.to_string(), "-mi", host])
            .args(["-nostdin", "-nd", "-buff_size", "8000000", "-trace_err", "-trace_stat", "-fd", "1"])
            .args(["-stf", &figures.to_string_lossy()])
            .args(more);
        let process = Kept::start(name, place, LOAD_CORE, command)
            .context("is SIPp installed? (Debian: apt-get install sip-tester)")?;
        Ok(Sipp { process, figures, folder: place.folder.clone(), scenario: name.to_owned() })
    }

    /// Waits until it has done all its calls.
    ///
    /// # Errors
    /// When that takes longer.
    pub fn wait(&mut self, at_most: Duration) -> anyhow::Result<()> {
        self.process.wait(at_most).map(|_| ())
    }

    /// True while it runs.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn runs(&mut self) -> anyhow::Result<bool> {
        Ok(self.process.ended()?.is_none())
    }

    /// What it has counted so far (written once a second and at the end).
    ///
    /// # Errors
    /// When it has written nothing that can be read.
    pub fn counted(&self) -> anyhow::Result<Counted> {
        let text = std::fs::read_to_string(&self.figures)
            .with_context(|| format!("{}: SIPp has told nothing", self.scenario))?;
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().context("SIPp's figures have names")?.split(';').collect();
        let last: Vec<&str> = lines.next_back().unwrap_or("").split(';').collect();
        let value = |name: &str| -> anyhow::Result<u64> {
            let at = names.iter().position(|known| *known == name).with_context(|| name.to_owned())?;
            Ok(last.get(at).and_then(|text| text.parse().ok()).unwrap_or(0))
        };
        Ok(Counted {
            good: value("SuccessfulCall(C)")? as usize,
            failed: value("FailedCall(C)")? as usize,
            resent: value("Retransmissions(C)")?,
        })
    }

    /// Times of the first response-time counter, sorted, milliseconds.
    ///
    /// # Errors
    /// When it has written none.
    pub fn times_ms(&self) -> anyhow::Result<Vec<f64>> {
        let file = self.folder.join(format!("{}_{}_rtt.csv", self.scenario, self.process.id()));
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let mut times: Vec<f64> =
            text.lines().skip(1).filter_map(|line| line.split(';').nth(1)?.trim().parse().ok()).collect();
        times.sort_by(f64::total_cmp);
        Ok(times)
    }
}

/// What came of calls that SIPp made and took, and what they cost the system between.
#[derive(Clone, Debug)]
pub struct Calls {
    rate: u32,
    calls: usize,
    counted: Counted,
    used: Used,
    elapsed_s: f64,
    times_ms: Vec<f64>,
    both_done: bool,
}

impl Calls {
    /// All went well, seen from both ends.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.both_done && self.counted.failed == 0 && self.counted.good == self.calls
    }

    /// Processor time of the system per good call, microseconds.
    #[must_use]
    pub fn us_per_call(&self) -> f64 {
        self.used.us() / self.counted.good.max(1) as f64
    }

    /// For the report.
    #[must_use]
    pub fn row(&self, name: String) -> Row {
        let share = |share: f64| {
            let at =
                ((self.times_ms.len() as f64 * share) as usize).min(self.times_ms.len().saturating_sub(1));
            self.times_ms.get(at).copied().unwrap_or(f64::NAN)
        };
        Row {
            name,
            offered: f64::from(self.rate),
            // A call takes a second of talk.
            sustained: self.counted.good as f64 / (self.elapsed_s - 1.0).max(0.001),
            calls: self.calls,
            failed: self.calls - self.counted.good.min(self.calls),
            setup_ms: Some((share(0.5), share(0.99))),
            us_per_call: Some(self.us_per_call()),
            more: serde_json::json!({
                "generator": "sipp", "resent": self.counted.resent,
                "user_s": self.used.user_s, "system_s": self.used.system_s,
            }),
            ..Row::default()
        }
    }
}

/// Calls at a rate by SIPp as caller and as callee, through the system made of these processes.
///
/// # Errors
/// When SIPp cannot be started; failed calls are figures.
pub fn calls(place: &Place, processes: &[u32], rate: u32, seconds: u32) -> anyhow::Result<Calls> {
    let calls = (rate * seconds) as usize;
    let count = calls.to_string();
    let mut callee = Sipp::start(place, "sipp-callee", "uas", &place.callee(), 5070, &["-m", &count])?;
    std::thread::sleep(Duration::from_millis(300));
    ensure!(
        callee.runs()?,
        "SIPp as callee ended at once; see sipp-callee.log in {}",
        place.folder.display()
    );
    let (target, number) = (place.sip()?.to_string(), format!("{BYPASS}0001"));
    let (rate_text, at_once) = (rate.to_string(), (rate * 20).to_string());
    let more =
        ["-s", &number, "-r", &rate_text, "-m", &count, "-l", &at_once, "-trace_rtt", "-rtt_freq", "10"];
    let more: Vec<&str> = std::iter::once(target.as_str()).chain(more).collect();
    let before = Used::of_all(processes)?;
    let begun = Instant::now();
    let mut caller = Sipp::start(place, "sipp-caller", "uac", &place.caller(), 5061, &more)?;
    let in_time = caller.wait(Duration::from_secs(u64::from(seconds) + 45)).is_ok();
    let elapsed_s = begun.elapsed().as_secs_f64();
    let used = Used::of_all(processes)?.since(before);
    let from_callee = callee.wait(Duration::from_secs(10)).is_ok();
    Ok(Calls {
        rate,
        calls,
        counted: caller.counted()?,
        used,
        elapsed_s,
        times_ms: caller.times_ms().unwrap_or_default(),
        both_done: in_time && from_callee,
    })
}

/// Plain B2BUA with SIPp on both sides; a call may cost at most `us_max` of processor time.
///
/// # Errors
/// When a run cannot be made; failed calls are in the report.
pub fn transit(
    report: &mut Report,
    place: &Place,
    rate: u32,
    seconds: u32,
    us_max: f64,
) -> anyhow::Result<()> {
    let daemon = Daemon::start(place, "sipp-transit")?;
    let calls = calls(place, &[daemon.process.id()], rate, seconds)?;
    let name = format!("SIPp {rate}/s for {seconds} s");
    report.add(calls.row(name.clone()));
    let detail = format!("{:?} of {}; both sides done: {}", calls.counted, calls.calls, calls.both_done);
    report.check(format!("{name}: no call failed"), calls.clean(), detail);
    let us_per_call = calls.us_per_call();
    let detail = format!("{us_per_call:.0} µs, at most {us_max:.0}");
    report.check(format!("{name}: processor time per call"), us_per_call <= us_max, detail);
    finish(report, daemon, &name, calls.calls)
}
