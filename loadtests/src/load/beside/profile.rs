//! Where the daemon's processor time goes.

use super::add;
use crate::load::daemon::{BYPASS, Daemon, Kept, LOAD_CORE, Place};
use crate::load::generator::Plan;
use crate::load::report::Report;
use crate::load::transit::{on_load_core, plan};
use anyhow::Context;
use std::process::Command;
use std::time::Duration;

/// Functions shown of a profile.
const FUNCTIONS: usize = 20;

/// Where the daemon's processor time goes at a rate, by function, as `perf` sees it.
///
/// # Errors
/// When the run cannot be made. `perf` not being installed is no error: the report says so.
pub fn profile(report: &mut Report, place: &Place, rate: f64, seconds: f64) -> anyhow::Result<()> {
    let mut daemon = Daemon::start(place, "profile")?;
    let data = place.folder.join("perf.data");
    let mut command = Command::new("perf");
    command.args(["record", "-q", "-F", "1999", "-p", &daemon.process.id().to_string(), "-o"]).arg(&data);
    let perf = Kept::start("perf", place, LOAD_CORE, command);
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
    for line in lines.take(FUNCTIONS) {
        // Behind the name perf fills up with empty columns.
        println!("{}", line.trim_end_matches(['-', ' ']));
    }
    Ok(())
}
