//! Scanners: OPTIONS and REGISTER by the hundred thousand a second, from many addresses, while a trunk's calls go on.

use super::daemon::{BYPASS, Daemon, LOAD_CORE, Place};
use super::generator::{Plan, Shape};
use super::latency::{LOAD_FIRST, SHARD_FIRST};
use super::process::Used;
use super::report::{Report, Row};
use super::transit::{on_load_core, plan};
use bytes::Bytes;
use runtime::process::go_first;
use runtime::udp::{bind, pin_to_core, send_batch};
use serde_json::json;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Calls a second from the trunk meanwhile, and how long each lasts.
const CALLS_PER_S: f64 = 100.0;
const HOLD: Duration = Duration::from_secs(3);
/// Addresses that scan: 100 and up.
const SOURCES: u8 = 64;
/// Datagrams handed to the kernel at once.
const BATCH: u64 = 64;
/// The flood begins before the first call and ends after the last.
const AROUND: Duration = Duration::from_secs(1);

/// What a flood was.
struct Flood {
    sent: u64,
    seconds: f64,
}

/// Calls of a trunk for `seconds` amid `rate` datagrams a second: none may fail.
///
/// # Errors
/// When it cannot be played; failed calls are in the report.
pub fn run(report: &mut Report, place: &Place, rate: u64, seconds: u64) -> anyhow::Result<()> {
    // Both go first, so that it is not others on the machine that make the flood weak or its victim slow.
    let lines = format!("pin_cores = true\nrealtime_priority = {SHARD_FIRST}");
    let daemon = Daemon::start_with(place, "flood", &[("pin_cores = true", &lines)])?;
    let over = Arc::new(AtomicBool::new(false));
    let scanners = (0..SOURCES)
        .map(|n| bind(format!("{}:0", place.host(100 + n)).parse()?, 1 << 20).map_err(Into::into));
    let scanners = scanners.collect::<anyhow::Result<Vec<UdpSocket>>>()?;
    let target = place.sip()?;
    let flooding = {
        let over = Arc::clone(&over);
        std::thread::spawn(move || {
            let _ = pin_to_core(LOAD_CORE);
            let _ = go_first(LOAD_FIRST);
            flood(&scanners, target, rate, &over)
        })
    };
    std::thread::sleep(AROUND);
    let used = Used::of(daemon.process.id())?;
    let begun = Instant::now();
    let calls = (CALLS_PER_S * seconds as f64) as usize;
    let plan = Plan {
        rate: CALLS_PER_S,
        calls,
        shape: Shape::Flow(HOLD),
        sleeps: true,
        ..plan(place, &daemon.process, BYPASS)?
    };
    let figures = on_load_core(plan);
    let used = Used::of(daemon.process.id())?.since(used);
    let busy = used.us() / 1e6 / begun.elapsed().as_secs_f64();
    std::thread::sleep(AROUND);
    over.store(true, Ordering::Relaxed);
    let flood = flooding.join().map_err(|_| anyhow::anyhow!("the flood panicked"))??;
    let figures = figures?;
    let sent_per_s = flood.sent as f64 / flood.seconds;
    // Metrics are as of the last second.
    std::thread::sleep(Duration::from_secs(2));
    let metric = |name: &str| daemon.api.metric(name);
    let (limited, lost) = (metric("sip_rate_limited_total")?, metric("sip_socket_receive_drops_total")?);
    let name = format!("calls amid {:.0},000 scans/s", sent_per_s / 1000.0);
    let mut row = Row { note: format!("daemon busy {busy:.2} of a core"), ..Row::of(&name, &figures) };
    if let Some(more) = row.more.as_object_mut() {
        more.insert("scans_per_s".into(), json!(sent_per_s.round()));
        more.insert("scans".into(), json!(flood.sent));
        more.insert("scans_limited".into(), json!(limited));
        more.insert("datagrams_lost_in_the_socket".into(), json!(lost));
        more.insert("daemon_busy_cores".into(), json!(busy));
    }
    report.add(row);
    report.check(
        format!("{name}: no call failed"),
        figures.failed == 0,
        format!(
            "{} of {} failed, codes {:?}, {} sent again; {limited:.0} of {} scans limited, {lost:.0} lost in the socket",
            figures.failed, figures.calls, figures.codes, figures.resent, flood.sent
        ),
    );
    report.check(
        format!("{name}: the flood was as strong as asked for"),
        sent_per_s >= rate as f64 * 0.95,
        format!("{sent_per_s:.0} a second of {rate}"),
    );
    super::transit::finish(report, daemon, &name, figures.calls)
}

/// Sends until told that it is over, by the clock.
fn flood(scanners: &[UdpSocket], target: SocketAddr, rate: u64, over: &AtomicBool) -> anyhow::Result<Flood> {
    let begun = Instant::now();
    let mut sent = 0;
    let mut batch: Vec<(SocketAddr, Bytes)> = Vec::with_capacity(BATCH as usize);
    while !over.load(Ordering::Relaxed) {
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        if due < sent + BATCH {
            std::thread::sleep(Duration::from_secs_f64((sent + BATCH - due) as f64 / rate as f64));
            continue;
        }
        let socket = &scanners[(sent / BATCH) as usize % scanners.len()];
        let own = socket.local_addr()?;
        batch.extend((sent..sent + BATCH).map(|number| (target, Bytes::from(scan(own, target, number)))));
        // What the kernel does not take was not sent.
        sent += BATCH - send_batch(socket, &batch, |_, _| {});
        batch.clear();
    }
    Ok(Flood { sent, seconds: begun.elapsed().as_secs_f64() })
}

/// One scan: OPTIONS and REGISTER by turns. Every other source goes by the name of a known tool and is banned for it, the
/// others look like any telephone and are limited by how much they ask.
fn scan(own: SocketAddr, target: SocketAddr, number: u64) -> String {
    let method = if number.is_multiple_of(2) { "OPTIONS" } else { "REGISTER" };
    let tool = if (number / BATCH).is_multiple_of(2) { "friendly-scanner" } else { "Telephone 1.0" };
    let (user, ip) = (100 + number % 900, target.ip());
    format!(
        "{method} sip:{user}@{ip} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{number:x};rport\r\n\
         From: <sip:{user}@{ip}>;tag={number:x}\r\nTo: <sip:{user}@{ip}>\r\nCall-ID: {number:x}@{own}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:{user}@{own}>\r\nMax-Forwards: 70\r\nUser-Agent: {tool}\r\n\
         Accept: application/sdp\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n"
    )
}
