//! The daemon beside others on the same calls in the same run: Kamailio as a proxy that keeps transactions and stays in
//! the path of the dialog. It does less (it makes no second call, keeps no dialog and writes no record), so that to need
//! less processor time than it is a bar worth having.

use super::daemon::{BYPASS, CORE, Daemon, Kept, Place};
use super::generator::{Figures, Plan, Shape};
use super::process::family;
use super::report::{Report, Row};
use super::transit::{HOLD, on_load_core, plan};
use anyhow::{Context, ensure};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const KAMAILIO: &str = include_str!("kamailio.cfg");
/// Time for Kamailio to answer.
const READY_WITHIN: Duration = Duration::from_secs(15);
/// Functions shown of a profile.
const FUNCTIONS: usize = 20;

/// Both at one rate, turn by turn; says what each needs per call and how they compare.
///
/// # Errors
/// When a run cannot be made. Kamailio not being installed is no error: the report says so.
pub fn run(report: &mut Report, place: &Place, rate: f64, seconds: f64, rounds: u32) -> anyhow::Result<()> {
    let Some(modules) = kamailio_modules() else {
        report.add(Row { name: "kamailio".into(), note: "(not installed)".into(), ..Row::default() });
        return Ok(());
    };
    // The least of several rounds: what others do on the machine only adds.
    let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..rounds {
        let figures = with_kamailio(place, &modules, rate, seconds)?;
        let clean = figures.failed == 0;
        report.add(Row {
            us_per_call: Some(figures.us_per_call()),
            // What it sends again it would not have needed: such a round says nothing.
            note: if clean { "" } else { "(calls failed: not counted)" }.into(),
            ..Row::of("kamailio", &figures)
        });
        if clean {
            theirs = theirs.min(figures.us_per_call());
        }
        let figures = with_dialerd(place, rate, seconds)?;
        add(report, "dialerd", &figures);
        ours = ours.min(figures.us_per_call());
    }
    let detail = format!("{ours:.0} µs to {theirs:.0} µs per call: {:.2} times", ours / theirs);
    report.check("a round of Kamailio's was clean", theirs.is_finite(), "");
    report.check("less processor time per call than Kamailio as a proxy", ours < theirs, detail);
    Ok(())
}

fn add(report: &mut Report, name: &str, figures: &Figures) {
    report.add(Row { us_per_call: Some(figures.us_per_call()), ..Row::of(name, figures) });
    let detail = format!("{} of {} failed, codes {:?}", figures.failed, figures.calls, figures.codes);
    report.check(format!("{name}: no call failed"), figures.failed == 0, detail);
}

fn with_dialerd(place: &Place, rate: f64, seconds: f64) -> anyhow::Result<Figures> {
    with_daemon(place, rate, seconds, false, &[])
}

/// Calls through a daemon of its own with these changes to its configuration; `sleeps` as in [`Plan`].
pub(super) fn with_daemon(
    place: &Place,
    rate: f64,
    seconds: f64,
    sleeps: bool,
    changes: &[(&str, &str)],
) -> anyhow::Result<Figures> {
    let mut daemon = Daemon::start_with(place, "beside", changes)?;
    let calls = (rate * seconds) as usize;
    let figures = on_load_core(Plan { rate, calls, sleeps, ..plan(place, &daemon.process, BYPASS)? })?;
    daemon.process.stop()?;
    std::fs::remove_dir_all(place.folder.join("beside"))?;
    Ok(figures)
}

fn with_kamailio(place: &Place, modules: &str, rate: f64, seconds: f64) -> anyhow::Result<Figures> {
    let text = KAMAILIO
        .replace("@DAEMON@", &place.daemon())
        .replace("@CALLEE@", &place.callee())
        .replace("@MODULES@", modules);
    let file = place.folder.join("kamailio.cfg");
    std::fs::write(&file, text)?;
    let mut command = Command::new("kamailio");
    command.args(["-DD", "-E", "-m", "512", "-M", "32", "-Y"]).arg(&place.folder).arg("-f").arg(&file);
    let mut kamailio = Kept::start("kamailio", place, CORE, command)?;
    wait_until_it_answers(&place.phones(), place.sip()?)?;
    let calls = (rate * seconds) as usize;
    let plan = Plan {
        rate,
        calls,
        shape: Shape::Flow(HOLD),
        processes: family(kamailio.id())?,
        ..plan(place, &kamailio, BYPASS)?
    };
    let figures = on_load_core(plan)?;
    kamailio.stop()?;
    Ok(figures)
}

/// Where Debian puts the modules, when Kamailio is installed.
pub(crate) fn kamailio_modules() -> Option<String> {
    let there = Command::new("kamailio").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return None;
    }
    let libraries = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let found = libraries.map(|path| path.join("kamailio/modules")).find(|path| path.join("tm.so").exists());
    found.map(|path: PathBuf| format!("{}/", path.display()))
}

/// An in-dialog OPTIONS that fits nothing is answered as soon as it serves.
pub(crate) fn wait_until_it_answers(from: &str, target: SocketAddr) -> anyhow::Result<()> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let own = socket.local_addr()?;
    let begun = Instant::now();
    let text = format!(
        "OPTIONS sip:{target} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKready\r\nFrom: <sip:r@{own}>;tag=r\r\n\
         To: <sip:r@{target}>;tag=r\r\nCall-ID: ready@{own}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n"
    );
    loop {
        ensure!(begun.elapsed() < READY_WITHIN, "Kamailio did not get ready");
        socket.send_to(text.as_bytes(), target)?;
        if socket.recv(&mut [0; 1500]).is_ok() {
            return Ok(());
        }
    }
}

/// Where the daemon's processor time goes at a rate, by function, as `perf` sees it.
///
/// # Errors
/// When the run cannot be made. `perf` not being installed is no error: the report says so.
pub fn profile(report: &mut Report, place: &Place, rate: f64, seconds: f64) -> anyhow::Result<()> {
    let mut daemon = Daemon::start(place, "profile")?;
    let data = place.folder.join("perf.data");
    let mut command = Command::new("perf");
    command.args(["record", "-q", "-F", "1999", "-p", &daemon.process.id().to_string(), "-o"]).arg(&data);
    let perf = Kept::start("perf", place, super::daemon::LOAD_CORE, command);
    let calls = (rate * seconds) as usize;
    let figures = on_load_core(Plan { rate, calls, ..plan(place, &daemon.process, BYPASS)? })?;
    add(report, "dialerd under perf", &figures);
    daemon.process.stop()?;
    let Ok(mut perf) = perf else {
        println!("perf is not installed: no processor time by function");
        return Ok(());
    };
    perf.wait(Duration::from_secs(30))?;
    let told = Command::new("perf")
        .args(["report", "--stdio", "--no-children", "--sort", "symbol", "--percent-limit", "0.5", "-i"])
        .arg(&data)
        .output()
        .context("perf report")?;
    println!("\nprocessor time of the daemon by function:");
    let text = String::from_utf8_lossy(&told.stdout);
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.take(FUNCTIONS).for_each(|line| println!("{}", line.trim_end()));
    Ok(())
}
