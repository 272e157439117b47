//! The daemon with a campaign over a very long list.
//!
//! The list is put into the store before the daemon starts: what is measured is the daemon, not the import. The campaign has no
//! agents, so it fills its hopper and dials nobody.

use super::daemon::{Daemon, Place};
use super::process::resident_kib;
use super::report::{Report, Row};
use super::storage::{REOPEN_S_MAX, fill};
use anyhow::{Context, ensure};
use serde_json::json;
use std::time::{Duration, Instant};

/// The daemon's folder and configuration.
const NAME: &str = "leads";
/// How long the hopper may take, from the campaign's start.
const FILLED_WITHIN: Duration = Duration::from_secs(60);
const RESIDENT_MIB_MAX: f64 = 1_024.0;

/// What the campaign says of itself: leads ready in its hopper, and leads in all.
fn standing(daemon: &Daemon, campaign: &str) -> anyhow::Result<(u64, u64)> {
    let told = daemon.api.get(&format!("/v1/campaigns/{campaign}/diagnostics"))?;
    let count = |name: &str| told["leads"][name].as_u64().with_context(|| format!("no {name} in {told}"));
    Ok((count("hopper")?, count("total")?))
}

/// Waits until leads are ready; how long it took since `begun`.
fn filled(daemon: &Daemon, campaign: &str, begun: Instant) -> anyhow::Result<f64> {
    while standing(daemon, campaign)?.0 == 0 {
        ensure!(begun.elapsed() < FILLED_WITHIN, "no lead got ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(begun.elapsed().as_secs_f64())
}

fn mib(daemon: &Daemon) -> anyhow::Result<f64> {
    Ok(resident_kib(&[daemon.process.id()])? as f64 / 1024.0)
}

/// A campaign over so many leads.
///
/// # Errors
/// When it cannot be played.
pub fn run(report: &mut Report, place: &Place, leads: u64) -> anyhow::Result<()> {
    let folder = place.folder.join(NAME);
    std::fs::create_dir_all(&folder)?;
    let (list, rows_per_s) = fill(&folder.join("dialerd.db"), leads)?;
    let mut daemon = Daemon::start_anywhere(place, NAME)?;
    let trunk = daemon.api.get("/v1/trunks?limit=1")?["data"][0]["id"].clone();
    let campaign =
        json!({ "name": "long", "mode": "predictive", "lists": [list.to_string()], "trunks": [trunk] });
    let campaign = daemon.api.post("/v1/campaigns", &campaign)?;
    let campaign = campaign["id"].as_str().context("a campaign has an id")?.to_owned();
    let begun = Instant::now();
    daemon.api.post(&format!("/v1/campaigns/{campaign}:start"), &json!({}))?;
    let filled_s = filled(&daemon, &campaign, begun)?;
    ensure!(daemon.process.stop()?, "the daemon ends well");
    let begun = Instant::now();
    let mut daemon = Daemon::start_anywhere(place, NAME)?;
    let ready_s = begun.elapsed().as_secs_f64();
    let again_s = filled(&daemon, &campaign, begun)?;
    let begun = Instant::now();
    let (_, total) = standing(&daemon, &campaign)?;
    let diagnosed_ms = begun.elapsed().as_secs_f64() * 1_000.0;
    let resident_mib = mib(&daemon)?;
    report.add(Row {
        name: format!("campaign over {leads} leads"),
        more: json!({
            "leads": leads, "rows_per_s": rows_per_s.round(), "hopper_after_start_s": filled_s,
            "ready_after_restart_s": ready_s, "hopper_after_restart_s": again_s, "diagnosed_ms": diagnosed_ms,
            "resident_mib": resident_mib.round(),
        }),
        note: format!(
            "ready {ready_s:.2} s after a restart, leads in the hopper after {again_s:.2} s ({:.0} ms after the campaign's \
             start), {resident_mib:.0} MiB; funnel counted in {diagnosed_ms:.0} ms",
            filled_s * 1_000.0
        ),
        ..Row::default()
    });
    report.check("long list: all leads are there", total == leads, format!("{total} of {leads}"));
    report.check(
        "long list: start after a restart",
        again_s <= REOPEN_S_MAX,
        format!("{again_s:.2} s until leads are ready, at most {REOPEN_S_MAX}"),
    );
    report.check(
        "long list: memory",
        resident_mib <= RESIDENT_MIB_MAX,
        format!("{resident_mib:.0} MiB, at most {RESIDENT_MIB_MAX:.0}"),
    );
    let broken = daemon.broken()?;
    report.check("long list: nothing is lost between threads", broken == 0.0, format!("{broken}"));
    report.check("long list: the daemon ends well", daemon.process.stop()?, "");
    Ok(())
}
