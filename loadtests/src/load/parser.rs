//! What reading the INVITE of 701 bytes takes: in nanoseconds, and in instructions, which callgrind counts the same on a
//! busy machine. Beside it httparse reads the header lines alone (of HTTP, which look alike), so that machines can be
//! compared. (Allocations are counted by `sip-proxy/tests/allocations.rs`: there are none.)

use super::report::{Report, Row};
use anyhow::{Context, ensure};
use bytes::Bytes;
use serde_json::json;
use sip_proxy::wire::{HeaderName, Limits, Message, parse, sdp};
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

const INVITE: &[u8] = include_bytes!("../../../sip-proxy/tests/data/messages/invite701.sip");
/// With eight fields typed.
const INSTRUCTIONS_MAX: u64 = 6_000;
/// The same for a build that checks itself (`make test`), which took 7,475 when this was written: it finds what grows. The
/// promise is for the other.
const INSTRUCTIONS_MAX_CHECKED: u64 = 7_820;
/// The fastest reading, nanoseconds: with eight fields typed, and with all headers and SDP.
const NS_MAX: [f64; 2] = [250.0, 900.0];
/// The same in times of what httparse took where that was promised: 128 ns.
const RATIO_MAX: [f64; 2] = [NS_MAX[0] / 128.0, NS_MAX[1] / 128.0];
/// Readings of one try, and tries; the fastest counts. A try is shorter than what a process gets at once on a busy machine.
const READINGS: u32 = 500;
const TRIES: u32 = 1_000;
/// Header lines that httparse may find.
const HEADERS_MAX: usize = 48;
/// Counted are the reads between these two; what a process needs besides falls out.
const TIMES: [u64; 2] = [1_000, 3_000];

/// Request line, top Via with branch, From tag, To tag, Call-ID, CSeq, Max-Forwards, Content-Length.
#[inline(never)]
fn hot(message: &Message) -> usize {
    let via = message.top_via();
    message.request_uri().len()
        + message.method() as usize
        + via.branch.map_or(0, <[u8]>::len)
        + via.host.len()
        + message.from_tag().map_or(0, <[u8]>::len)
        + message.to_tag().map_or(0, <[u8]>::len)
        + message.call_id().len()
        + message.cseq().0 as usize
        + message.max_forwards().map_or(0, usize::from)
        + message.content_length().map_or(0, |length| length as usize)
}

/// Every header typed, and the offer.
#[inline(never)]
fn all(message: &Message) -> Option<usize> {
    let from = message.from().ok()?.uri().ok()?;
    let to = message.to().ok()?.uri().ok()?;
    let contact = message.contact()?.uri().ok()?;
    let allow = message.values(HeaderName::Allow).count();
    let session = sdp::parse(message.body()).ok()?;
    let event = session.audio()?.telephone_event(8000)?;
    Some(hot(message) + from.host.len() + to.host.len() + contact.host.len() + allow + usize::from(event))
}

/// Reads the INVITE so many times.
///
/// # Panics
/// When it is not read as it is.
pub fn read(times: u32, with_all: bool) {
    let limits = Limits::default();
    let datagram = Bytes::from_static(INVITE);
    for _ in 0..times {
        let read = parse(black_box(&datagram).clone(), &limits);
        // Where it was made: what it costs to move it elsewhere is not the reader's.
        let message = read.as_ref().expect("a sound INVITE");
        let read = if with_all { all(message) } else { Some(hot(message)) };
        assert!(black_box(read).is_some(), "all of it can be read");
    }
}

/// Has httparse read the header lines so many times.
fn read_by_httparse(times: u32) {
    let head_end = memchr::memmem::find(INVITE, b"\r\n").map_or(0, |end| end + 2);
    for _ in 0..times {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let read =
            httparse::parse_headers(black_box(&INVITE[head_end..]), &mut headers).expect("header lines");
        black_box(read.is_complete());
    }
}

/// The fastest try of each, nanoseconds per reading; they take turns, so that all see the same machine.
fn fastest<const N: usize>(works: [&dyn Fn(u32); N]) -> [f64; N] {
    let mut fastest = [f64::INFINITY; N];
    for _ in 0..TRIES {
        for (work, fastest) in works.iter().zip(&mut fastest) {
            let begun = Instant::now();
            work(READINGS);
            *fastest = fastest.min(begun.elapsed().as_nanos() as f64 / f64::from(READINGS));
        }
    }
    fastest
}

/// Measures the time of one reading. Says nothing about a build that is not optimised.
pub fn times(report: &mut Report) {
    let [hot, all, httparse] =
        fastest([&|times| read(times, false), &|times| read(times, true), &read_by_httparse]);
    report.add(Row {
        name: "reading an INVITE of 701 bytes".into(),
        more: json!({
            "ns_hot": hot, "ns_all": all, "ns_httparse": httparse,
            "hot_by_httparse": hot / httparse, "all_by_httparse": all / httparse,
        }),
        note: format!(
            "{hot:.0} ns, {all:.0} ns with all headers and SDP; httparse {httparse:.0} ns for the header lines alone"
        ),
        ..Row::default()
    });
    for (what, ns, ns_max, ratio_max) in [
        ("eight fields", hot, NS_MAX[0], RATIO_MAX[0]),
        ("all headers and SDP", all, NS_MAX[1], RATIO_MAX[1]),
    ] {
        let ratio = ns / httparse;
        let detail = format!(
            "{ns:.0} ns, at most {ns_max:.0}; {ratio:.2} times httparse, {ratio_max:.2} where that was promised"
        );
        report.check(format!("reading an INVITE: {what}"), ns <= ns_max, detail);
    }
}

/// Counts the instructions of one reading. Where valgrind is not installed the report says so.
///
/// # Errors
/// When callgrind says nothing.
pub fn instructions(report: &mut Report) -> anyhow::Result<()> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        report.add(Row { name: "reading an INVITE".into(), note: "(no valgrind)".into(), ..Row::default() });
        return Ok(());
    }
    let hot = counted(false)?;
    let all = counted(true)?;
    report.add(Row {
        name: "reading an INVITE of 701 bytes".into(),
        more: json!({"instructions_hot": hot, "instructions_all": all}),
        note: format!("{hot} instructions, {all} with all headers and SDP"),
        ..Row::default()
    });
    let most = if cfg!(debug_assertions) { INSTRUCTIONS_MAX_CHECKED } else { INSTRUCTIONS_MAX };
    let detail = format!("{hot} instructions, at most {most}");
    report.check("reading an INVITE: eight fields", hot <= most, detail);
    Ok(())
}

fn counted(with_all: bool) -> anyhow::Result<u64> {
    let [few, many] = TIMES.map(|times| run(times, with_all));
    let (few, many) = (few?, many?);
    ensure!(many > few, "callgrind counted {few} and {many} instructions");
    Ok((many - few) / (TIMES[1] - TIMES[0]))
}

fn run(times: u64, with_all: bool) -> anyhow::Result<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe()?);
    command.args(["read", &times.to_string()]);
    if with_all {
        command.arg("--all");
    }
    let told = command.output().context("starting valgrind")?;
    let text = String::from_utf8_lossy(&told.stderr);
    let line = text.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, number)| number.trim());
    line.and_then(|number| number.parse().ok()).with_context(|| format!("callgrind said: {text}"))
}
