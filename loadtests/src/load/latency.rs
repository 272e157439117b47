//! How long an INVITE takes through the daemon, beside the way of a datagram through a program that does nothing.
//!
//! The shard, the echo and the generator go before all other threads where that is permitted, so that what is measured
//! is the daemon and not who else wanted the two cores. Both figures come from the same run, the same addresses, the
//! same rate and the same way of reading the clock; what they have in common is the machine's.

use super::beside::with_daemon;
use super::daemon::{CORE, LOAD_CORE, Place};
use super::generator::{Figures, quantile};
use super::report::{Report, Row};
use super::wait;
use anyhow::Context;
use runtime::process::go_first;
use runtime::udp::{bind, pin_to_core};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Promised for 99 of 100, microseconds.
const PASSED_US_MAX: u32 = 300;
/// Priorities: the daemon's shard and the echo before the generator.
pub(super) const SHARD_FIRST: u8 = 30;
pub(super) const LOAD_FIRST: u8 = 20;
/// Bytes of an INVITE as the generator sends it, about.
const INVITE_BYTES: usize = 600;
const BUFFER_BYTES: usize = 4 << 20;

/// What passing an INVITE on takes at half load: half of what the daemon can do at all, by its time per call.
///
/// # Errors
/// When the run cannot be made.
pub fn run(report: &mut Report, place: &Place, seconds: f64) -> anyhow::Result<()> {
    let lines = format!("pin_cores = true\nrealtime_priority = {SHARD_FIRST}");
    let changes = [("pin_cores = true", lines.as_str())];
    let probe = with_daemon(place, 1000.0, 3.0, true, &changes)?;
    let rate = (1e6 / probe.us_per_call() / 2.0).clamp(100.0, 4000.0).round();
    let echo = on_load_core(echo(place, rate, seconds))?;
    let figures = with_daemon(place, rate, seconds, true, &changes)?;
    add(report, rate, &figures, &echo);
    Ok(())
}

fn add(report: &mut Report, rate: f64, figures: &Figures, echo: &[u32]) {
    let name = format!("INVITE in to INVITE out at {rate:.0}/s");
    let passed = |share| figures.passed_us(share).unwrap_or(u32::MAX);
    let echoed = |share| quantile(echo, share).unwrap_or(u32::MAX);
    let mut row = Row { us_per_call: Some(figures.us_per_call()), ..Row::of(&name, figures) };
    if let Some(more) = row.more.as_object_mut() {
        more.insert("invite_passed_p90_us".into(), json!(passed(0.9)));
        more.insert("invite_passed_p999_us".into(), json!(passed(0.999)));
        for (name, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
            more.insert(format!("echo_{name}_us"), json!(echoed(share)));
        }
    }
    report.add(row);
    let ratio = |share| f64::from(passed(share)) / f64::from(echoed(share).max(1));
    report.check(
        format!("{name}: 99 of 100 within {PASSED_US_MAX} µs"),
        passed(0.99) <= PASSED_US_MAX && figures.failed == 0,
        format!(
            "half within {} µs ({:.1} times a bare echo's {}), 99 of 100 within {} µs ({:.1} times its {}), {} failed",
            passed(0.5),
            ratio(0.5),
            echoed(0.5),
            passed(0.99),
            ratio(0.99),
            echoed(0.99),
            figures.failed
        ),
    );
}

/// Runs something on the core of the load, before all others.
fn on_load_core<T: Send + 'static>(
    what: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let thread = std::thread::spawn(move || {
        let _ = pin_to_core(LOAD_CORE);
        let _ = go_first(LOAD_FIRST);
        what()
    });
    thread.join().map_err(|_| anyhow::anyhow!("the generator panicked"))?
}

/// Datagrams of an INVITE's size at this rate through a thread that sends on what it receives: the time each took,
/// sorted, microseconds.
fn echo(
    place: &Place,
    rate: f64,
    seconds: f64,
) -> impl FnOnce() -> anyhow::Result<Vec<u32>> + Send + 'static {
    let addresses = (place.sip(), format!("{}:5061", place.caller()), format!("{}:5070", place.callee()));
    move || {
        let (target, caller, callee): (SocketAddr, SocketAddr, SocketAddr) =
            (addresses.0?, addresses.1.parse()?, addresses.2.parse()?);
        let over = Arc::new(AtomicBool::new(false));
        let socket = bind(target, BUFFER_BYTES).context("binding the echo")?;
        let echoing = {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                let _ = pin_to_core(CORE);
                let _ = go_first(SHARD_FIRST);
                let mut packet = [0; 2048];
                while !over.load(Ordering::Relaxed) {
                    wait::readable(&[&socket], Duration::from_millis(50));
                    while let Ok(length) = socket.recv(&mut packet) {
                        let _ = socket.send_to(&packet[..length], callee);
                    }
                }
            })
        };
        let (from, to) = (bind(caller, BUFFER_BYTES)?, bind(callee, BUFFER_BYTES)?);
        let count = (rate * seconds) as usize;
        let mut passed = Vec::with_capacity(count);
        let begun = Instant::now();
        let deadline = begun + Duration::from_secs_f64(seconds + 2.0);
        let (mut sent, mut packet) = (0, [0; 2048]);
        while passed.len() < count && Instant::now() < deadline {
            while sent < count && begun + Duration::from_secs_f64(sent as f64 / rate) <= Instant::now() {
                let mut datagram = [b'x'; INVITE_BYTES];
                datagram[..8].copy_from_slice(&(begun.elapsed().as_nanos() as u64).to_le_bytes());
                from.send_to(&datagram, target)?;
                sent += 1;
            }
            while let Ok(length) = to.recv(&mut packet) {
                let at = packet[..length].first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                passed.push(((begun.elapsed().as_nanos() as u64).saturating_sub(at) / 1_000) as u32);
            }
            let due = begun + Duration::from_secs_f64(sent as f64 / rate);
            wait::readable(
                &[&to],
                due.saturating_duration_since(Instant::now()).min(Duration::from_millis(1)),
            );
        }
        over.store(true, Ordering::Relaxed);
        let _ = echoing.join();
        passed.sort_unstable();
        Ok(passed)
    }
}
