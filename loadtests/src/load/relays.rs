//! The relay's grounds beside rtpengine, on the same sound in the same run: the relay on one core in a network namespace of
//! its own, the generator on the other, a pair of veth between them.

use super::daemon::{CORE, Daemon, Kept, LOAD_CORE, Place, RECORD, RELAY};
use super::generator::{Figures, Plan, Shape};
use super::latency::LOAD_FIRST;
use super::meter::{Meter, Spent, UNDER_TEST_FIRST};
use super::report::{Report, Row};
use super::sound::{Sound, SoundFigures};
use super::transit::{on_load_core, plan};
use anyhow::Context;
use runtime::udp::ReceiveBatch;
use serde_json::json;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What one relay needed.
struct Measured {
    failed: usize,
    sound: SoundFigures,
    spent: Spent,
}

impl Measured {
    /// Processor time per packet, microseconds, with what receiving it cost whomever it interrupted.
    fn us_per_packet(&self) -> f64 {
        self.spent.us() / self.sound.arrived.max(1) as f64
    }

    /// The core of what is under test is the one that received what it was to relay.
    fn is_received_there(&self) -> bool {
        self.spent.received as f64 >= RECEIVED_MIN * self.sound.sent as f64
    }
}

/// What recording may cost, times relaying alone.
const RECORDED_MAX: f64 = 1.5;
/// The kernel's relay may add so much to the time within which 99 of 100 packets arrive, microseconds.
const ADDED_P99_US_MAX: u64 = 100;
/// Where they take longer without any relay, others have the cores, and what it adds cannot be told.
const WIRE_P99_US_MAX: u64 = 500;
/// Of what is sent, the core under test receives at least this share; some is in flight when it is read, some may be lost.
const RECEIVED_MIN: f64 = 0.95;
/// Memory of a call whose sound is relayed in the kernel, KiB.
const KIB_PER_CALL_MAX: f64 = 16.0;

/// Sockets, kernel, kernel with every call recorded, rtpengine; says how they compare.
///
/// # Errors
/// When a run cannot be made. That there are no namespaces, no relay in the kernel or no rtpengine is no error: the report
/// says so.
pub fn run(report: &mut Report, calls: usize, seconds: u64) -> anyhow::Result<()> {
    let Some(place) = wired(report, "relay beside rtpengine") else { return Ok(()) };
    let theirs = with_rtpengine(&place, calls, seconds)?;
    let rtpengine = add(report, "relay: rtpengine, userspace", calls, theirs.as_ref());
    let bars = [
        ("relay: sockets", "sockets", RELAY, 0.6),
        ("relay: kernel", "kernel", RELAY, 0.2),
        ("relay: kernel, every packet recorded", "kernel", RECORD, 0.25),
    ];
    let mut relayed = None;
    for (name, ground, prefix, bar) in bars {
        let measured = with_dialerd(&place, ground, prefix, calls, seconds)?;
        let us = add(report, name, calls, measured.as_ref());
        if let (Some(us), Some(theirs)) = (us, rtpengine) {
            let ratio = us / theirs;
            let detail = format!("{us:.2} µs to {theirs:.2} µs per packet: {ratio:.2} times");
            report.check(format!("{name}: at most {bar} times rtpengine"), ratio <= bar, detail);
        }
        if (ground, prefix) == ("kernel", RELAY) {
            relayed = measured;
        }
    }
    let Some(relayed) = relayed else { return Ok(()) };
    let straight = forwarded(&place, calls, seconds)?;
    add(report, "no relay: forwarded by the kernel", calls, Some(&straight));
    let (with, without) = (relayed.sound.delay_p99_us, straight.sound.delay_p99_us);
    let added = with.saturating_sub(without);
    report.check(
        format!("relay: kernel: adds at most {ADDED_P99_US_MAX} µs to what 99 of 100 packets take"),
        added <= ADDED_P99_US_MAX && without <= WIRE_P99_US_MAX,
        format!("{added} µs: {with} µs through it, {without} µs forwarded by the kernel without it"),
    );
    Ok(())
}

/// The same packets on the same wire and through the same network namespace, forwarded by its kernel, with nobody to relay
/// them.
fn forwarded(place: &Place, calls: usize, seconds: u64) -> anyhow::Result<Measured> {
    place.forward()?;
    let (caller, callee, wire) = (place.caller(), place.callee(), place.wire()?);
    on_core(move || {
        let meter = Meter::start(CORE)?;
        let mut sound = Sound::new(caller.parse()?, callee.parse()?)?.through(&wire)?;
        let to = |host: &str, port| anyhow::Ok(SocketAddr::new(host.parse()?, port));
        let (to_callee, to_caller) = (to(&callee, sound.callee_port())?, to(&caller, sound.caller_port())?);
        for number in 0..calls as u32 {
            sound.caller_speaks(number, Some(to_callee));
            sound.callee_speaks(number, Some(to_caller));
        }
        speak(sound, (&meter, &[]), Duration::from_secs(seconds))
    })
}

/// What recording every call costs beside relaying it, on each ground.
///
/// # Errors
/// As [`run`].
pub fn recording(report: &mut Report, calls: usize, seconds: u64) -> anyhow::Result<()> {
    let Some(place) = wired(report, "recording") else { return Ok(()) };
    for ground in ["sockets", "kernel"] {
        let alone = with_dialerd(&place, ground, RELAY, calls, seconds)?;
        let recorded = with_dialerd(&place, ground, RECORD, calls, seconds)?;
        let alone = add(report, &format!("{ground}: relayed"), calls, alone.as_ref());
        let recorded = add(report, &format!("{ground}: relayed and recorded"), calls, recorded.as_ref());
        if let (Some(alone), Some(recorded)) = (alone, recorded) {
            let ratio = recorded / alone;
            let detail = format!("{recorded:.2} µs to {alone:.2} µs per packet: {ratio:.2} times");
            let what =
                format!("{ground}: recording {calls} calls costs at most {RECORDED_MAX} times relaying");
            report.check(what, ratio <= RECORDED_MAX, detail);
        }
    }
    Ok(())
}

/// Memory of a call whose sound is relayed in the kernel, between a fifth of the calls and all of them in one daemon (two
/// would differ by what their allocators have not given back yet): what the process holds, and for each file it has open
/// what a socket takes of the kernel.
///
/// # Errors
/// As [`run`].
pub fn memory(report: &mut Report, calls: usize) -> anyhow::Result<()> {
    let Some(place) = wired(report, "memory of a relayed call") else { return Ok(()) };
    let socket = socket_bytes()?;
    let few = calls / 5;
    let Some(held) = hold(&place, few, calls)? else {
        report.add(Row {
            name: "memory of a relayed call".into(),
            note: "(not there)".into(),
            ..Row::default()
        });
        return Ok(());
    };
    let (few_kib, few_files) = held.plateau.context("the first calls were not all up")?;
    let more = (calls - few) as f64;
    let own = (held.held_kib as f64 - few_kib as f64) / more;
    let files = (held.held_files as f64 - few_files as f64) / more;
    let kernel = (files * socket as f64 + RULE_BYTES) / 1024.0;
    let kib = own + kernel;
    report.add(Row {
        name: format!("{calls} calls relayed in the kernel"),
        calls,
        failed: held.failed,
        kib_per_call: Some(kib),
        more: json!({
            "own_kib": own, "kernel_kib": kernel, "files_per_call": files, "bytes_per_socket": socket,
        }),
        note: format!("{files:.1} sockets of {socket} bytes each in the kernel"),
        ..Row::default()
    });
    let detail = format!("{own:.1} KiB of the process, {kernel:.1} KiB of the kernel");
    let good = kib <= KIB_PER_CALL_MAX && held.failed == 0;
    report.check(format!("memory of a relayed call: at most {KIB_PER_CALL_MAX} KiB"), good, detail);
    Ok(())
}

/// Before measuring: what a core is robbed of in any case is looked at meanwhile.
const SILENT: Duration = Duration::from_millis(500);
/// In the kernel's maps: rule and counts of two directions.
const RULE_BYTES: f64 = 2.0 * (128.0 + 64.0);
/// Between answer and measuring: 64·T1, in which transactions end.
const TRANSACTIONS_END: Duration = Duration::from_secs(40);

fn hold(place: &Place, few: usize, calls: usize) -> anyhow::Result<Option<Figures>> {
    let Ok(mut daemon) = Daemon::start_on(place, "held", "kernel") else { return Ok(None) };
    let shape = Shape::Held { settle: TRANSACTIONS_END, window: Duration::from_secs(2), sound: true };
    let plan = plan(place, &daemon.process, RELAY)?;
    let plan = Plan { rate: 200.0, calls, shape, sleeps: true, plateau: Some(few), ..plan };
    let figures = on_load_core(plan)?;
    daemon.process.stop()?;
    Ok(Some(figures))
}

/// What a watched socket takes of the kernel: each of these once, at its share of the pages it lies in (slabinfo(5)).
fn socket_bytes() -> anyhow::Result<u64> {
    // The last one shares a cache with others of its size where the kernel merges them.
    const PARTS: [(&str, u64); 6] = [
        ("UDP", 0),
        ("sock_inode_cache", 0),
        ("filp", 0),
        ("dentry", 0),
        ("eventpoll_epi", 128),
        ("eventpoll_pwq", 64),
    ];
    let text = std::fs::read_to_string("/proc/slabinfo").context("the kernel's caches")?;
    let share = |line: &str| -> Option<u64> {
        // name, active, all, bytes of one, how many in a slab, pages of a slab
        let field = |place: usize| line.split_whitespace().nth(place)?.parse::<u64>().ok();
        Some(field(5)? * 4096 / field(4)?)
    };
    PARTS.iter().try_fold(0, |sum, (name, unnamed)| {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
        match line.and_then(share).or(Some(*unnamed).filter(|bytes| *bytes > 0)) {
            Some(bytes) => Ok(sum + bytes),
            None => anyhow::bail!("/proc/slabinfo tells nothing of {name}"),
        }
    })
}

/// A place of its own on a wire; says so when there can be none.
fn wired(report: &mut Report, what: &str) -> Option<Place> {
    match Place::wired() {
        Ok(mut place) => {
            place.first = Some(UNDER_TEST_FIRST);
            Some(place)
        }
        Err(error) => {
            let note = format!("(no network namespace: {error})");
            report.add(Row { name: what.to_owned(), note, ..Row::default() });
            None
        }
    }
}

/// Adds what was measured; gives its time per packet.
fn add(report: &mut Report, name: &str, calls: usize, measured: Option<&Measured>) -> Option<f64> {
    let Some(measured) = measured else {
        report.add(Row { name: name.into(), note: "(not there)".into(), ..Row::default() });
        return None;
    };
    let us = measured.us_per_packet();
    let sound = &measured.sound;
    let lost = sound.sent.saturating_sub(sound.arrived);
    if !measured.is_received_there() {
        let detail = format!("{} of {}", measured.spent.received, sound.sent);
        report.check(format!("{name}: its own core received what it was to relay"), false, detail);
    }
    report.add(Row {
        name: name.into(),
        calls,
        failed: measured.failed,
        us_per_packet: Some(us),
        more: json!({
            "packets_sent": sound.sent, "packets_arrived": sound.arrived,
            "packets_per_second": sound.rate.round(),
            "process_us": measured.spent.processes_ns as f64 / 1e3,
            "interrupts_us": measured.spent.interrupts_ns as f64 / 1e3,
            "rest_us": measured.spent.rest_ns as f64 / 1e3, "received_on_core": measured.spent.received,
            "delay_p50_us": sound.delay_p50_us, "delay_p99_us": sound.delay_p99_us,
            "own_drops": sound.own_drops,
        }),
        note: format!("lost {lost} of {}", sound.sent),
        ..Row::default()
    });
    Some(us)
}

/// As many calls as the kernel is promised to relay on one core, none of whose packets may be lost.
///
/// # Errors
/// As [`run`].
pub fn saturation(report: &mut Report, calls: usize, seconds: u64) -> anyhow::Result<()> {
    let Some(place) = wired(report, "many calls relayed in the kernel") else { return Ok(()) };
    let measured = with_dialerd(&place, "kernel", RELAY, calls, seconds)?;
    let name = format!("{calls} calls relayed in the kernel, {} packets/s", calls * 100);
    add(report, &name, calls, measured.as_ref());
    if let Some(measured) = measured {
        let sound = &measured.sound;
        let lost = sound.sent as i64 - sound.arrived as i64;
        let wanted = calls as f64 * 100.0;
        let rate = sound.rate;
        let detail = format!(
            "{rate:.0} packets/s sent, {lost} of {} lost, {} calls failed, core busy {:.0} %",
            sound.sent,
            measured.failed,
            measured.spent.us() / 1e4 / sound.seconds
        );
        let good = lost == 0 && sound.foreign == 0 && measured.failed == 0 && rate >= 0.98 * wanted;
        report.check(format!("{name}: no packet lost"), good, detail);
    }
    Ok(())
}

fn with_dialerd(
    place: &Place,
    ground: &str,
    prefix: &str,
    calls: usize,
    seconds: u64,
) -> anyhow::Result<Option<Measured>> {
    let name = format!("relay-{ground}-{prefix}");
    let Ok(mut daemon) = Daemon::start_on(place, &name, ground) else { return Ok(None) };
    let window = Duration::from_secs(seconds);
    let shape = Shape::Held { settle: SILENT, window, sound: true };
    let meter = Some(Arc::new(Meter::start(CORE)?));
    let plan = plan(place, &daemon.process, prefix)?;
    let wire = Some(place.wire()?);
    let figures = on_load_core(Plan { rate: 500.0, calls, shape, sleeps: true, meter, wire, ..plan })?;
    daemon.process.stop()?;
    let sound = figures.sound.context("there was sound")?;
    Ok(Some(Measured { failed: figures.failed, sound, spent: figures.spent.without(figures.idle) }))
}

/// Runs something where the generator runs.
fn on_core<T: Send + 'static>(
    what: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let load = std::thread::Builder::new().name("load".into()).spawn(move || {
        let _ = runtime::udp::pin_to_core(LOAD_CORE);
        let _ = runtime::process::go_first(LOAD_FIRST);
        what()
    })?;
    load.join().map_err(|_| anyhow::anyhow!("the generator panicked"))?
}

fn with_rtpengine(place: &Place, calls: usize, seconds: u64) -> anyhow::Result<Option<Measured>> {
    let there =
        Command::new("rtpengine").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_err() {
        return Ok(None);
    }
    let control: SocketAddr = format!("{}:2223", place.daemon()).parse()?;
    let mut command = Command::new("rtpengine");
    command
        .args(["--foreground", "--log-stderr", "--log-level=4", "--table=-1", "--num-threads=1"])
        .args(["--port-min=20000", "--port-max=59999", "--pidfile", "rtpengine.pid"])
        .arg(format!("--interface={}", place.daemon()))
        .arg(format!("--listen-ng={control}"));
    let mut rtpengine = Kept::start("rtpengine", place, CORE, command)?;
    let process = rtpengine.id();
    let (caller, callee, wire) = (place.caller(), place.callee(), place.wire()?);
    let measured = on_core(move || {
        let meter = Meter::start(CORE)?;
        let mut sound = Sound::new(caller.parse()?, callee.parse()?)?.through(&wire)?;
        let mut ng = Control::new(&caller, control)?;
        for number in 0..calls as u32 {
            let offer = session(&caller, sound.caller_port());
            let answer = session(&callee, sound.callee_port());
            let for_callee = ng.ask("offer", number, "", &offer)?;
            let for_caller = ng.ask("answer", number, "6:to-tag1:b", &answer)?;
            sound.caller_speaks(number, Some(for_caller));
            sound.callee_speaks(number, Some(for_callee));
        }
        speak(sound, (&meter, &[process]), Duration::from_secs(seconds))
    })?;
    rtpengine.stop()?;
    Ok(Some(measured))
}

/// Sound for so long, and what the processes needed for it.
fn speak(
    mut sound: Sound,
    (meter, processes): (&Meter, &[u32]),
    window: Duration,
) -> anyhow::Result<Measured> {
    let mut batch = ReceiveBatch::default();
    let silent = meter.read(processes)?;
    std::thread::sleep(SILENT);
    let before = meter.read(processes)?;
    let begun = Instant::now();
    sound.begin(begun)?;
    let mut ended = false;
    loop {
        let now = Instant::now();
        if !ended && now - begun >= window {
            sound.end(now);
            ended = true;
        }
        sound.turn(now, &mut batch)?;
        if ended && sound.quiet(now) {
            break;
        }
    }
    let spent = meter.read(processes)?.since(before).without(before.since(silent));
    Ok(Measured { failed: 0, sound: sound.figures(), spent })
}

/// rtpengine's control protocol: a cookie and a bencoded dictionary in one datagram.
struct Control {
    socket: UdpSocket,
    cookie: u32,
}

impl Control {
    fn new(own: &str, to: SocketAddr) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((own, 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        Ok(Control { socket, cookie: 0 })
    }

    /// Offers or answers; gives the address in the description that comes back.
    fn ask(&mut self, command: &str, call: u32, tag: &str, sdp: &str) -> anyhow::Result<SocketAddr> {
        self.cookie += 1;
        let (cookie, call) = (self.cookie, format!("load-{call}"));
        let text = format!(
            "{cookie} d7:command{}:{command}7:call-id{}:{call}8:from-tag1:a{tag}3:sdp{}:{sdp}e",
            command.len(),
            call.len(),
            sdp.len()
        );
        let mut buffer = [0; 4096];
        for _ in 0..20 {
            // It may not have begun to listen.
            let _ = self.socket.send(text.as_bytes());
            let Ok(length) = self.socket.recv(&mut buffer) else {
                std::thread::sleep(Duration::from_millis(100));
                continue;
            };
            let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let field = |start: &str| {
                let rest = said.split_once(start)?.1;
                Some(rest.split_whitespace().next()?.to_owned())
            };
            let host = field("c=IN IP4 ").with_context(|| format!("rtpengine said {said}"))?;
            let port = field("m=audio ").context("rtpengine named no port")?;
            return Ok(format!("{host}:{port}").parse()?);
        }
        anyhow::bail!("rtpengine does not answer")
    }
}

fn session(address: &str, port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    )
}
