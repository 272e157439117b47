//! Plain B2BUA: caller → daemon → callee, with our own generator.

use super::daemon::{BYPASS, Daemon, Kept, LOAD_CORE, Place, RELAY};
use super::generator::{Figures, Plan, Shape, run};
use super::report::{Report, Row};
use std::time::{Duration, Instant};

/// Processor time per plain call that may not be passed at full rate, microseconds.
pub const US_PER_CALL_MAX: f64 = 200.0;
/// The same for a short run at a low rate, in datagrams sent and received over loopback in the same run, so that it says the
/// same on a slow machine: a net under gross mistakes. A call costs more when the daemon is woken for each datagram, and a
/// build that checks itself costs more again.
pub const EXCHANGES_PER_CALL_MAX_SHORT: f64 = 600.0;
/// Memory that a held call whose sound goes by may take, KiB.
const KIB_PER_CALL_MAX: f64 = 4.0;
/// Calls last this long.
pub(super) const HOLD: Duration = Duration::from_secs(1);
/// Time for the daemon to come to rest after a run.
const REST: Duration = Duration::from_secs(10);

pub(super) fn plan(place: &Place, system: &Kept, prefix: &str) -> anyhow::Result<Plan> {
    Ok(Plan {
        target: place.sip()?,
        caller: format!("{}:5061", place.caller()).parse()?,
        callee: format!("{}:5070", place.callee()).parse()?,
        processes: vec![system.id()],
        rate: 100.0,
        calls: 0,
        shape: Shape::Flow(HOLD),
        prefix: prefix.to_owned(),
        sleeps: false,
        headers: "",
        meter: None,
        wire: None,
        plateau: None,
    })
}

/// Runs a plan on the core of the load.
pub(super) fn on_load_core(plan: Plan) -> anyhow::Result<Figures> {
    let thread = std::thread::Builder::new().name("load".into()).spawn(move || {
        let _ = runtime::udp::pin_to_core(LOAD_CORE);
        if plan.sleeps {
            // One that never slept would take the core from everybody.
            let _ = runtime::process::go_first(super::latency::LOAD_FIRST);
        }
        run(plan)
    })?;
    thread.join().map_err(|_| anyhow::anyhow!("the generator panicked"))?
}

/// A rate for some time; every call must succeed, have its record, and cost at most `us_max`.
///
/// # Errors
/// When the run cannot be made; failed calls are in the report.
pub fn flow(report: &mut Report, place: &Place, rate: f64, seconds: f64, us_max: f64) -> anyhow::Result<()> {
    let daemon = Daemon::start(place, "transit")?;
    let calls = (rate * seconds) as usize;
    let figures = on_load_core(Plan { rate, calls, ..plan(place, &daemon.process, BYPASS)? })?;
    let name = format!("B2BUA {rate:.0}/s for {seconds:.0} s");
    report.add(Row { us_per_call: Some(figures.us_per_call()), ..Row::of(&name, &figures) });
    let detail = format!("{} of {} failed, codes {:?}", figures.failed, figures.calls, figures.codes);
    report.check(format!("{name}: no call failed"), figures.failed == 0, detail);
    let detail = format!("{:.0} µs, at most {us_max:.0}", figures.us_per_call());
    report.check(format!("{name}: processor time per call"), figures.us_per_call() <= us_max, detail);
    finish(report, daemon, &name, figures.calls)
}

/// At rest nothing is left, nothing was lost, each call has one record, and the daemon ends when told to.
///
/// # Errors
/// When the daemon does not answer.
pub fn finish(report: &mut Report, mut daemon: Daemon, name: &str, calls: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    let left = daemon.at_rest(REST)?;
    report.check(format!("{name}: at rest no leg or port is left"), left == 0.0, format!("{left}"));
    let mut records = daemon.api.get_all("/v1/cdrs?limit=500")?;
    while records.len() < calls && begun.elapsed() < REST {
        std::thread::sleep(Duration::from_millis(200));
        records = daemon.api.get_all("/v1/cdrs?limit=500")?;
    }
    let mut ids: Vec<&str> = records.iter().filter_map(|record| record["call_id"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    report.check(
        format!("{name}: one record per call"),
        ids.len() == calls && records.len() == calls,
        format!("{calls} calls, {} records, {} apart", records.len(), ids.len()),
    );
    let broken = daemon.broken()?;
    report.check(format!("{name}: no event lost, no invariant broken"), broken == 0.0, format!("{broken}"));
    let well = daemon.process.stop()?;
    report.check(format!("{name}: the daemon ended well"), well, "exit status");
    Ok(())
}

/// Raises the rate until calls fail or the system no longer keeps up; reports the last clean one.
///
/// # Errors
/// When a run cannot be made.
pub fn ramp(report: &mut Report, place: &Place, rates: &[f64], seconds: f64) -> anyhow::Result<()> {
    let mut best: Option<(f64, f64)> = None;
    for rate in rates {
        let mut daemon = Daemon::start(place, &format!("ramp-{rate:.0}"))?;
        let calls = (rate * seconds) as usize;
        let figures = on_load_core(Plan { rate: *rate, calls, ..plan(place, &daemon.process, BYPASS)? })?;
        // Retransmissions are no failures, but a system that needs them is not sustaining the rate.
        let clean = figures.failed == 0 && figures.resent * 1000 <= figures.calls as u64;
        let note = if clean { "" } else { "(beyond its limit)" };
        let name = format!("ramp {rate:.0}/s for {seconds:.0} s");
        report.add(Row {
            us_per_call: Some(figures.us_per_call()),
            note: note.to_owned(),
            ..Row::of(&name, &figures)
        });
        daemon.process.stop()?;
        if !clean {
            break;
        }
        best = Some((*rate, figures.us_per_call()));
    }
    let detail = best.map_or_else(|| "none".to_owned(), |(rate, us)| format!("{rate:.0}/s at {us:.0} µs"));
    report.check("highest clean rate of the ramp", best.is_some(), detail);
    Ok(())
}

/// Holds many calls at once: memory. `strict`: what each takes is asserted, between two numbers of calls, each held until
/// the transactions that began them are over.
///
/// # Errors
/// When the run cannot be made.
pub fn held(report: &mut Report, place: &Place, calls: usize, rate: f64, strict: bool) -> anyhow::Result<()> {
    // 64·T1 for the transactions, and some.
    let settle = Duration::from_secs(if strict { 40 } else { 1 });
    let few = if strict { calls / 5 } else { 0 };
    let fewer = if strict { Some(hold(report, place, few, rate, settle)?) } else { None };
    let figures = hold(report, place, calls, rate, settle)?;
    if let Some(fewer) = fewer {
        let kib = (figures.held_kib as f64 - fewer.held_kib as f64) / (calls - few) as f64;
        report.check(
            format!("{calls} held calls: memory of each"),
            kib <= KIB_PER_CALL_MAX,
            format!("{kib:.1} KiB between {few} and {calls} calls, at most {KIB_PER_CALL_MAX}"),
        );
    }
    Ok(())
}

fn hold(
    report: &mut Report,
    place: &Place,
    calls: usize,
    rate: f64,
    settle: Duration,
) -> anyhow::Result<Figures> {
    let daemon = Daemon::start(place, &format!("held-{calls}"))?;
    let shape = Shape::Held { settle, window: Duration::from_secs(2), sound: false };
    let figures = on_load_core(Plan { rate, calls, shape, ..plan(place, &daemon.process, BYPASS)? })?;
    let name = format!("{calls} held calls");
    report.add(Row { kib_per_call: Some(figures.kib_per_call()), ..Row::of(&name, &figures) });
    let detail = format!("{} failed, {} up at once", figures.failed, figures.held_max);
    report.check(
        format!("{name}: all were up at once, none failed"),
        figures.failed == 0 && figures.held_max == calls,
        detail,
    );
    finish(report, daemon, &name, figures.calls)?;
    Ok(figures)
}

/// Carries the sound of many calls: loss, delay, processor time per packet.
///
/// # Errors
/// When the run cannot be made.
pub fn relay(report: &mut Report, place: &Place, calls: usize, seconds: u64) -> anyhow::Result<()> {
    let daemon = Daemon::start(place, "relay")?;
    let window = Duration::from_secs(seconds);
    let shape = Shape::Held { settle: Duration::from_millis(500), window, sound: true };
    let figures = on_load_core(Plan { rate: 200.0, calls, shape, ..plan(place, &daemon.process, RELAY)? })?;
    let sound = figures.sound.clone().unwrap_or_default();
    let name = format!("relay, {calls} calls, {} packets/s", calls * 100);
    let mut row = Row::of(&name, &figures);
    let us_per_packet = figures.used.us() / sound.arrived.max(1) as f64;
    row.us_per_packet = Some(us_per_packet);
    if let Some(more) = row.more.as_object_mut() {
        more.insert("packets_sent".into(), sound.sent.into());
        more.insert("packets_arrived".into(), sound.arrived.into());
        more.insert("packets_per_second".into(), (sound.sent as f64 / sound.seconds).round().into());
        more.insert("delay_p50_us".into(), sound.delay_p50_us.into());
        more.insert("delay_p99_us".into(), sound.delay_p99_us.into());
        more.insert("own_drops".into(), sound.own_drops.into());
    }
    row.note = format!("lost {} of {}", sound.sent.saturating_sub(sound.arrived), sound.sent);
    report.add(row);
    let detail = format!("{} failed", figures.failed);
    report.check(format!("{name}: no call failed"), figures.failed == 0, detail);
    let wanted = (calls as u64) * 100 * seconds;
    // Counters are shown once a second.
    std::thread::sleep(Duration::from_millis(1100));
    let refused = daemon.api.metric("rtp_dropped_total")?;
    let detail = format!(
        "{refused} refused by the daemon, {} sent, {} arrived, {} foreign, {} lost at our own sockets",
        sound.sent, sound.arrived, sound.foreign, sound.own_drops
    );
    let all = sound.arrived == sound.sent && sound.foreign == 0 && sound.sent * 100 >= wanted * 95;
    report.check(format!("{name}: no packet lost"), all, detail);
    finish(report, daemon, &name, figures.calls)
}
