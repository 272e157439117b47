//! The relay's grounds beside rtpengine, on the same sound in the same run: the relay on one core in a network namespace of
//! its own, the generator on the other, a pair of veth between them.

use super::daemon::{CORE, Daemon, Kept, LOAD_CORE, Place, RECORD, RELAY};
use super::generator::{Plan, Shape};
use super::process::{Core, Used};
use super::report::{Report, Row};
use super::sound::{Sound, SoundFigures};
use super::transit::{on_load_core, plan};
use anyhow::Context;
use runtime::udp::ReceiveBatch;
use serde_json::json;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What one relay needed.
struct Measured {
    failed: usize,
    sound: SoundFigures,
    used: Used,
    core: Core,
}

impl Measured {
    /// Processor time per packet, microseconds: all that its core did, for the kernel's receive path is charged to
    /// whatever it interrupts.
    fn us_per_packet(&self) -> f64 {
        self.core.busy_s * 1e6 / self.sound.arrived.max(1) as f64
    }

    /// Others used the core too, so much that its time says nothing.
    fn is_disturbed(&self) -> bool {
        self.core.busy_s > 1.3 * (self.used.us() / 1e6 + self.core.interrupts_s) + 0.1
    }
}

/// Sockets, kernel, kernel with every call recorded, rtpengine; says how they compare.
///
/// # Errors
/// When a run cannot be made. That there are no namespaces, no relay in the kernel or no rtpengine is no error: the report
/// says so.
pub fn run(report: &mut Report, calls: usize, seconds: u64) -> anyhow::Result<()> {
    let place = match Place::wired() {
        Ok(place) => place,
        Err(error) => {
            let note = format!("(no network namespace: {error})");
            report.add(Row { name: "relay beside rtpengine".into(), note, ..Row::default() });
            return Ok(());
        }
    };
    let theirs = with_rtpengine(&place, calls, seconds)?;
    let disturbed = theirs.as_ref().is_some_and(Measured::is_disturbed);
    let mut add = |name: &str, measured: Option<Measured>| -> Option<f64> {
        let Some(measured) = measured else {
            report.add(Row { name: name.into(), note: "(not there)".into(), ..Row::default() });
            return None;
        };
        let us = measured.us_per_packet();
        let sound = &measured.sound;
        let lost = sound.sent.saturating_sub(sound.arrived);
        report.add(Row {
            name: name.into(),
            calls,
            failed: measured.failed,
            us_per_packet: Some(us),
            more: json!({
                "packets_sent": sound.sent, "packets_arrived": sound.arrived,
                "packets_per_second": (sound.sent as f64 / sound.seconds).round(),
                "process_us": measured.used.us(), "interrupts_us": measured.core.interrupts_s * 1e6,
                "core_busy_us": measured.core.busy_s * 1e6,
                "delay_p50_us": sound.delay_p50_us, "delay_p99_us": sound.delay_p99_us,
                "own_drops": sound.own_drops,
            }),
            note: format!("lost {lost} of {}", sound.sent),
            ..Row::default()
        });
        Some(us)
    };
    let rtpengine = add("relay: rtpengine, userspace", theirs);
    let bars = [
        ("relay: sockets", "sockets", RELAY, Some(0.6)),
        ("relay: kernel", "kernel", RELAY, Some(0.2)),
        ("relay: kernel, every call recorded", "kernel", RECORD, None),
    ];
    let mut compared = Vec::new();
    for (name, ground, prefix, bar) in bars {
        let us = add(name, with_dialerd(&place, ground, prefix, calls, seconds)?);
        compared.extend(us.zip(bar).map(|(us, bar)| (name, us, bar)));
    }
    for (name, us, bar) in compared {
        let Some(theirs) = rtpengine else { continue };
        if disturbed {
            println!("{name}: not judged beside rtpengine, others used core {CORE} too");
            continue;
        }
        let ratio = us / theirs;
        let detail = format!("{us:.2} µs to {theirs:.2} µs per packet: {ratio:.2} times");
        report.check(format!("{name}: at most {bar} times rtpengine"), ratio <= bar, detail);
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
    let shape = Shape::Held { settle: Duration::from_millis(500), window, sound: true };
    let figures = on_load_core(Plan { rate: 200.0, calls, shape, ..plan(place, &daemon.process, prefix)? })?;
    daemon.process.stop()?;
    let sound = figures.sound.context("there was sound")?;
    Ok(Some(Measured { failed: figures.failed, sound, used: figures.used, core: figures.core }))
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
    let (caller, callee) = (place.caller(), place.callee());
    let load = std::thread::Builder::new().name("load".into()).spawn(move || {
        let _ = runtime::udp::pin_to_core(LOAD_CORE);
        let mut sound = Sound::new(caller.parse()?, callee.parse()?)?;
        let mut ng = Control::new(&caller, control)?;
        for number in 0..calls as u32 {
            let offer = session(&caller, sound.caller_port());
            let answer = session(&callee, sound.callee_port());
            let for_callee = ng.ask("offer", number, "", &offer)?;
            let for_caller = ng.ask("answer", number, "6:to-tag1:b", &answer)?;
            sound.caller_speaks(number, Some(for_caller));
            sound.callee_speaks(number, Some(for_callee));
        }
        speak(sound, process, Duration::from_secs(seconds))
    })?;
    let measured = load.join().map_err(|_| anyhow::anyhow!("the generator panicked"))??;
    rtpengine.stop()?;
    Ok(Some(measured))
}

/// Sound for so long, and what the process needed for it.
fn speak(mut sound: Sound, process: u32, window: Duration) -> anyhow::Result<Measured> {
    let mut batch = ReceiveBatch::default();
    let (used, core) = (Used::of(process)?, Core::of(CORE)?);
    let begun = Instant::now();
    sound.begin(begun);
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
    let (used, core) = (Used::of(process)?.since(used), Core::of(CORE)?.since(core));
    Ok(Measured { failed: 0, sound: sound.figures(), used, core })
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
