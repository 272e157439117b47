//! The daemon beside others on the same calls in the same run, one core for the server: Kamailio as a proxy that keeps
//! transactions and stays in the path of the dialog, and OpenSIPS as a B2BUA that hides the topology. Both do less (they
//! write no record of a call), so that to need less processor time than they is a bar worth having.

mod peer;
mod profile;

pub(crate) use peer::{kamailio_modules, wait_until_it_answers};
pub use profile::profile;

use super::daemon::{BYPASS, Daemon, Place};
use super::generator::{Figures, Plan, Shape};
use super::report::{Report, Row};
use super::sipp;
use super::transit::{HOLD, on_load_core, plan};
use peer::Peer;
use serde_json::json;

/// How many times OpenSIPS' calls per second are asked for.
const TIMES_OPENSIPS: f64 = 1.8;
/// Rates tried for the most calls per second, one after the other.
const RATES: [f64; 8] = [2_000.0, 3_000.0, 4_500.0, 6_000.0, 8_000.0, 10_000.0, 13_000.0, 16_000.0];
/// Each for so long, seconds.
const RATE_FOR_S: f64 = 4.0;

/// What calls go through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum System {
    Dialerd,
    Other(Peer),
}

impl System {
    const fn name(self) -> &'static str {
        match self {
            System::Dialerd => "dialerd",
            System::Other(peer) => peer.name(),
        }
    }

    fn play(self, place: &Place, rate: f64, seconds: f64) -> anyhow::Result<Figures> {
        match self {
            System::Dialerd => with_daemon(place, rate, seconds, false, &[]),
            System::Other(peer) => with_peer(place, peer, rate, seconds),
        }
    }
}

/// All at one rate, turn by turn, with our own generator and with SIPp, and then each up to where it breaks.
///
/// # Errors
/// When a run cannot be made. Another not being installed is no error: the report says so.
pub fn run(report: &mut Report, place: &Place, rate: f64, seconds: f64, rounds: u32) -> anyhow::Result<()> {
    let mut systems = vec![System::Dialerd];
    for peer in [Peer::Kamailio, Peer::OpenSips] {
        if peer.modules().is_some() {
            systems.push(System::Other(peer));
        } else {
            let note = "(not installed: left out)".into();
            report.add(Row { name: peer.name().into(), note, ..Row::default() });
        }
    }
    if systems.len() == 1 {
        return Ok(());
    }
    // The least of several rounds: what others do on the machine only adds.
    let mut least = vec![f64::INFINITY; systems.len()];
    for _ in 0..rounds {
        for (system, least) in systems.iter().zip(&mut least) {
            let figures = system.play(place, rate, seconds)?;
            *least = least.min(told(report, *system, &figures));
        }
    }
    for (system, theirs) in systems.iter().zip(&least).skip(1) {
        let (name, ours) = (system.name(), least[0]);
        let detail = format!("{ours:.0} µs to {theirs:.0} µs per call: {:.2} times", ours / theirs);
        report.check(format!("a round of {name} was clean"), theirs.is_finite(), "");
        report.check(format!("less processor time per call than {name}"), ours < *theirs, detail);
    }
    with_sipp(report, place, &systems, rate as u32, seconds as u32)?;
    most(report, place, &systems)
}

/// Adds a round to the report; what it cost per call, infinite when calls failed.
fn told(report: &mut Report, system: System, figures: &Figures) -> f64 {
    if system == System::Dialerd {
        add(report, system.name(), figures);
        return figures.us_per_call();
    }
    let clean = figures.failed == 0;
    report.add(Row {
        us_per_call: Some(figures.us_per_call()),
        // What it sends again it would not have needed: such a round says nothing.
        note: if clean { "" } else { "(calls failed: not counted)" }.into(),
        ..Row::of(system.name(), figures)
    });
    if clean { figures.us_per_call() } else { f64::INFINITY }
}

fn add(report: &mut Report, name: &str, figures: &Figures) {
    report.add(Row { us_per_call: Some(figures.us_per_call()), ..Row::of(name, figures) });
    let detail = format!("{} of {} failed, codes {:?}", figures.failed, figures.calls, figures.codes);
    report.check(format!("{name}: no call failed"), figures.failed == 0, detail);
}

/// The same calls made and taken by SIPp.
fn with_sipp(
    report: &mut Report,
    place: &Place,
    systems: &[System],
    rate: u32,
    seconds: u32,
) -> anyhow::Result<()> {
    let mut ours = f64::INFINITY;
    for system in systems {
        let counted = match system {
            System::Dialerd => {
                let mut daemon = Daemon::start(place, "beside-sipp")?;
                let counted = sipp::calls(place, &[daemon.process.id()], rate, seconds)?;
                daemon.process.stop()?;
                std::fs::remove_dir_all(place.folder.join("beside-sipp"))?;
                counted
            }
            System::Other(peer) => {
                let (mut kept, processes) = peer.start(place)?;
                let counted = sipp::calls(place, &processes, rate, seconds)?;
                kept.stop()?;
                counted
            }
        };
        let (name, clean) = (system.name(), counted.clean());
        let theirs = counted.us_per_call();
        let mut row = counted.row(name.to_owned());
        row.note = if clean { "by SIPp" } else { "by SIPp (calls failed: not counted)" }.into();
        report.add(row);
        if *system == System::Dialerd {
            ours = theirs;
            let detail = format!("{counted:?}");
            report.check(format!("{name} by SIPp: no call failed"), clean, detail);
        } else if clean {
            let detail = format!("{ours:.0} µs to {theirs:.0} µs per call: {:.2} times", ours / theirs);
            report.check(format!("by SIPp, less processor time per call than {name}"), ours < theirs, detail);
        }
    }
    Ok(())
}

/// The highest rate of each that no call fails at.
fn most(report: &mut Report, place: &Place, systems: &[System]) -> anyhow::Result<()> {
    let mut best = Vec::new();
    for system in systems {
        let mut most = 0.0;
        for rate in RATES {
            let figures = system.play(place, rate, RATE_FOR_S)?;
            // Who needs that much sent again is not sustaining the rate, and neither is who falls behind the clock.
            let clean = figures.failed == 0
                && figures.resent * 1000 <= figures.calls as u64
                && figures.sustained >= rate * 0.95;
            let mut row = Row {
                us_per_call: Some(figures.us_per_call()),
                note: if clean { "" } else { "(beyond its limit)" }.to_owned(),
                ..Row::of(system.name(), &figures)
            };
            if let Some(more) = row.more.as_object_mut() {
                more.insert("clean".into(), json!(clean));
            }
            report.add(row);
            if !clean {
                break;
            }
            most = rate;
        }
        best.push((*system, most));
    }
    let ours = best.first().map_or(0.0, |(_, most)| *most);
    for (system, theirs) in &best {
        let detail = format!("{theirs:.0}/s on one core");
        report.check(format!("{}: most calls per second", system.name()), *theirs > 0.0, detail);
        if *system == System::Other(Peer::OpenSips) {
            let detail = format!("{ours:.0}/s to {theirs:.0}/s: {:.2} times", ours / theirs);
            let enough = ours >= TIMES_OPENSIPS * theirs;
            report.check(format!("{TIMES_OPENSIPS} times the calls per second of opensips"), enough, detail);
        }
    }
    Ok(())
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

fn with_peer(place: &Place, peer: Peer, rate: f64, seconds: f64) -> anyhow::Result<Figures> {
    let (mut kept, processes) = peer.start(place)?;
    let calls = (rate * seconds) as usize;
    let plan = Plan { rate, calls, shape: Shape::Flow(HOLD), processes, ..plan(place, &kept, BYPASS)? };
    let figures = on_load_core(plan)?;
    kept.stop()?;
    Ok(figures)
}
