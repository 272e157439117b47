//! Far ends over real sockets that answer, send a tone of their own and keep what they are sent.

use bytes::Bytes;
use media::codec::g711::{ULAW_TO_LINEAR, linear_to_ulaw};
use sansio::{Duration, Instant, Outbox, Rng};
use sip_proxy::UserAgent;
use sip_proxy::ua::{self, LegKey, Reason};
use std::f64::consts::TAU;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Samples of a packet.
const FRAME: usize = 160;
const PEAK: f64 = 3_000.0;

/// A phone or a carrier, and the thread it lives on.
pub struct Talker {
    pub frequency: f64,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    hang_up: AtomicBool,
    legs: AtomicUsize,
    heard: Mutex<Vec<[i16; FRAME]>>,
}

struct Leg {
    key: LegKey,
    rtp: UdpSocket,
    remote: Option<SocketAddr>,
    up: bool,
    sequence: u16,
    phase: f64,
}

impl Talker {
    /// * `login` of a phone that registers with the server; `None`: a carrier
    pub fn start(
        address: SocketAddr,
        server: SocketAddr,
        login: Option<(&str, &str)>,
        frequency: f64,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let login =
            login.map(|(name, password)| ua::Login { username: name.into(), password: password.into() });
        let socket = UdpSocket::bind(address).expect("a free address");
        socket.set_read_timeout(Some(std::time::Duration::from_millis(2))).expect("a timeout");
        let there = Arc::clone(&shared);
        let thread = std::thread::spawn(move || live(&socket, server, login, frequency, &there));
        Talker { frequency, shared, thread: Some(thread) }
    }

    pub fn legs(&self) -> usize {
        self.shared.legs.load(Ordering::SeqCst)
    }

    pub fn hang_up(&self) {
        self.shared.hang_up.store(true, Ordering::SeqCst);
    }

    /// The frames it was sent since the last look.
    pub fn take_heard(&self) -> Vec<[i16; FRAME]> {
        std::mem::take(&mut *self.shared.heard.lock().expect("no panic there"))
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whom each of them hears: places of the tones that are in most of the frames; none of a tone in but a few.
pub fn hearing(talkers: &[&Talker]) -> Vec<Vec<usize>> {
    let one = |talker: &&Talker| {
        let frames = talker.take_heard();
        let share = |other: &Talker| {
            let with = frames.iter().filter(|frame| peak_at(&frame[..], other.frequency) > PEAK / 4.0);
            with.count() as f64 / frames.len().max(1) as f64
        };
        (0..talkers.len()).filter(|place| share(talkers[*place]) > 0.5).collect()
    };
    talkers.iter().map(one).collect()
}

/// How high a tone stands in a frame.
pub fn peak_at(samples: &[i16], frequency: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (place, sample) in samples.iter().enumerate() {
        // A Hann window, so that the others' tones do not reach over.
        let window = 1.0 - (TAU * (place as f64 + 0.5) / samples.len() as f64).cos();
        let angle = TAU * frequency * place as f64 / 8000.0;
        re += f64::from(*sample) * window * angle.cos();
        im += f64::from(*sample) * window * angle.sin();
    }
    2.0 * (re * re + im * im).sqrt() / samples.len() as f64
}

fn description(rtp: SocketAddr) -> String {
    let (ip, port) = (rtp.ip(), rtp.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
    )
}

fn live(socket: &UdpSocket, server: SocketAddr, login: Option<ua::Login>, frequency: f64, shared: &Shared) {
    let own = socket.local_addr().expect("bound");
    let started = std::time::Instant::now();
    let now = || Instant::ZERO + Duration::from_micros(started.elapsed().as_micros() as u64);
    let config = ua::Config {
        listeners: vec![ua::Listener::udp(own, own.to_string())],
        user_agent: "talker".into(),
        ..ua::Config::default()
    };
    let mut agent = UserAgent::new(config, Rng::from_seed(u64::from(own.port()) ^ frequency as u64));
    let mut out = Outbox::default();
    let trunk = ua::Trunk {
        key: 1,
        listener: 0,
        address: server,
        wanted: None,
        domain: if login.is_some() { "dialerd".into() } else { String::new() },
        sources: vec![(server.ip(), None)],
        networks: Vec::new(),
        certificate_names: Vec::new(),
        register: login.is_some().then(|| Duration::from_secs(600)),
        login,
        options_interval: None,
        cps_max: 100_000.0,
        overload_control: false,
        pace: sansio::SharedPace::new(1e5),
    };
    agent.set_trunk(now(), trunk, &mut out);
    let mut legs: Vec<Leg> = Vec::new();
    let mut buffer = [0; 8_192];
    let mut next_frame = now();
    while !shared.stop.load(Ordering::SeqCst) {
        if let Ok((length, source)) = socket.recv_from(&mut buffer) {
            let bytes = Bytes::copy_from_slice(&buffer[..length]);
            agent.handle_datagram(now(), 0, source, bytes, &mut out);
        }
        if agent.poll_timeout().is_some_and(|at| at <= now()) {
            agent.handle_timeout(now(), &mut out);
        }
        if shared.hang_up.swap(false, Ordering::SeqCst) {
            for leg in &legs {
                agent.hangup(now(), leg.key, Reason::default(), &mut out);
            }
        }
        while !out.is_empty() {
            let outputs: Vec<ua::Output> = out.drain().collect();
            for output in outputs {
                match output {
                    ua::Output::Send { to, bytes, .. } => drop(socket.send_to(&bytes, to)),
                    ua::Output::Event(event) => {
                        take_event(&mut agent, now(), own, event, &mut legs, &mut out)
                    }
                    _ => {}
                }
            }
        }
        while next_frame <= now() {
            legs.iter_mut().for_each(|leg| speak(leg, frequency));
            next_frame += Duration::from_millis(20);
        }
        legs.iter().for_each(|leg| hear(leg, shared));
        shared.legs.store(legs.len(), Ordering::SeqCst);
    }
}

fn take_event(
    agent: &mut UserAgent,
    now: Instant,
    own: SocketAddr,
    event: ua::Event,
    legs: &mut Vec<Leg>,
    out: &mut Outbox<ua::Output>,
) {
    match event {
        ua::Event::Incoming { leg, request, .. } => {
            let rtp = UdpSocket::bind((own.ip(), 0)).expect("a port for sound");
            rtp.set_nonblocking(true).expect("it does not wait");
            let at = rtp.local_addr().expect("bound");
            let session = sip_proxy::wire::sdp::parse(request.body()).ok();
            let audio = session.as_ref().and_then(|session| session.audio());
            let remote =
                audio.and_then(|audio| Some(SocketAddr::new(audio.connection?.address?, audio.port)));
            let up = agent.answer(now, leg, description(at).as_bytes(), out).is_ok();
            legs.push(Leg { key: leg, rtp, remote, up, sequence: 0, phase: 0.0 });
        }
        ua::Event::Ended(ended) => legs.retain(|leg| leg.key != ended.leg),
        ua::Event::Reoffer { leg, .. } => {
            if let Some(known) = legs.iter().find(|known| known.key == leg) {
                let at = known.rtp.local_addr().expect("bound");
                let _ = agent.answer_reinvite(now, leg, description(at).as_bytes(), out);
            }
        }
        _ => {}
    }
}

fn speak(leg: &mut Leg, frequency: f64) {
    let Some(remote) = leg.remote.filter(|_| leg.up) else { return };
    leg.sequence = leg.sequence.wrapping_add(1);
    let mut packet = vec![0x80, 0];
    packet.extend(leg.sequence.to_be_bytes());
    packet.extend((u32::from(leg.sequence) * FRAME as u32).to_be_bytes());
    packet.extend((frequency as u32).to_be_bytes());
    packet.extend((0..FRAME).map(|_| {
        leg.phase = (leg.phase + frequency / 8000.0).fract();
        linear_to_ulaw(((leg.phase * TAU).sin() * PEAK) as i16)
    }));
    let _ = leg.rtp.send_to(&packet, remote);
}

fn hear(leg: &Leg, shared: &Shared) {
    let mut packet = [0; 2_048];
    while let Ok(length) = leg.rtp.recv(&mut packet) {
        if length == 12 + FRAME && packet[1] & 0x7F == 0 {
            let frame = std::array::from_fn(|place| ULAW_TO_LINEAR[usize::from(packet[12 + place])]);
            shared.heard.lock().expect("no panic there").push(frame);
        }
    }
}
