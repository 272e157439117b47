//! Far ends over real sockets that answer, send a tone of their own and keep what they are sent.

use crate::harness::{Place, until};
use bytes::Bytes;
use media::codec::g711::{ULAW_TO_LINEAR, linear_to_ulaw};
use sansio::{Duration, Instant, Outbox, Rng};
use serde_json::json;
use sip_proxy::UserAgent;
use sip_proxy::ua::{self, LegKey, Reason};
use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Samples of a packet.
const FRAME: usize = 160;
const PEAK: f64 = 3_000.0;
/// Payload type of digits as events (RFC 4733), as described.
const EVENTS: u8 = 101;
/// Packets of a digit that is held, and of the pause behind it.
const DIGIT_FRAMES: usize = 5;
/// Packets after the answer, before a talker presses what its manner says.
const PRESSES_AFTER: usize = 25;
/// … and after the last digit, before it hangs up.
const HANGS_UP_AFTER: usize = 50;

/// What a talker does with a call that comes in.
#[derive(Clone, Default)]
pub struct Manner {
    /// Does not answer: its sound comes before, with 183.
    pub early: bool,
    /// Says this instead of its tone, once, and is silent then: samples at 8,000 Hz.
    pub says: Option<Arc<Vec<i16>>>,
    /// Speaks at this pitch, not at the talker's.
    pub frequency: Option<f64>,
    /// Does not take digits as events (RFC 4733), nor send them so.
    pub without_events: bool,
    /// Presses these digits half a second after its answer, and hangs up a second after the last one.
    pub presses: Option<(&'static str, Way)>,
}

/// How a digit is pressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// As an event (RFC 4733).
    Event,
    /// As a pair of tones.
    InBand,
    /// By SIP INFO.
    Info,
    /// As an event and by SIP INFO, the same press.
    EventAndInfo,
}

impl Way {
    fn is_event(self) -> bool {
        matches!(self, Way::Event | Way::EventAndInfo)
    }

    fn is_info(self) -> bool {
        matches!(self, Way::Info | Way::EventAndInfo)
    }
}

/// What a talker is told to do.
enum Act {
    Call(String),
    Press(Vec<char>, Way),
    Mute(bool),
    HangUp,
}

/// A phone or a carrier, and the thread it lives on.
pub struct Talker {
    pub frequency: f64,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    acts: Mutex<Vec<Act>>,
    legs: AtomicUsize,
    heard: Mutex<Vec<Heard>>,
}

/// A packet of G.711 that a talker was sent.
#[derive(Clone)]
pub struct Heard {
    /// The pitch of who was sent it.
    pub by: f64,
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    pub frame: [i16; FRAME],
}

struct Leg {
    key: LegKey,
    rtp: UdpSocket,
    remote: Option<SocketAddr>,
    up: bool,
    manner: Manner,
    muted: bool,
    frequency: f64,
    sequence: u16,
    timestamp: u32,
    phase: f64,
    /// Frames of `manner.says` that were said.
    said: usize,
    /// Digits to press, and how many packets ago the first of them was.
    presses: VecDeque<(char, Way)>,
    pressed: usize,
    /// Digits that go by INFO as soon as one can be sent.
    infos: VecDeque<char>,
    /// Times that it spoke.
    frames: usize,
}

impl Talker {
    /// * `login` of a phone that registers with the server; `None`: a carrier
    pub fn start(
        address: SocketAddr,
        server: SocketAddr,
        login: Option<(&str, &str)>,
        frequency: f64,
    ) -> Self {
        Self::with(address, server, login, frequency, |_| Manner::default())
    }

    /// * `manner` in which a call to a number is taken
    pub fn with(
        address: SocketAddr,
        server: SocketAddr,
        login: Option<(&str, &str)>,
        frequency: f64,
        manner: impl Fn(&str) -> Manner + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let login =
            login.map(|(name, password)| ua::Login { username: name.into(), password: password.into() });
        let socket = UdpSocket::bind(address).expect("a free address");
        socket.set_read_timeout(Some(std::time::Duration::from_millis(2))).expect("a timeout");
        let there = Arc::clone(&shared);
        let thread = std::thread::spawn(move || live(&socket, server, login, frequency, &there, &manner));
        Talker { frequency, shared, thread: Some(thread) }
    }

    pub fn legs(&self) -> usize {
        self.shared.legs.load(Ordering::SeqCst)
    }

    /// Ends all its calls.
    pub fn hang_up(&self) {
        self.tell(Act::HangUp);
    }

    /// Calls a number over the server.
    pub fn call(&self, number: &str) {
        self.tell(Act::Call(number.to_owned()));
    }

    /// Presses digits in all its calls, one after the other.
    pub fn press(&self, digits: &str, way: Way) {
        self.tell(Act::Press(digits.chars().collect(), way));
    }

    /// Sends no packets, or does again.
    pub fn mute(&self, on: bool) {
        self.tell(Act::Mute(on));
    }

    fn tell(&self, act: Act) {
        self.shared.acts.lock().expect("no panic there").push(act);
    }

    /// The frames it was sent since the last look.
    pub fn take_heard(&self) -> Vec<[i16; FRAME]> {
        self.take_packets().into_iter().map(|packet| packet.frame).collect()
    }

    /// The same with their headers.
    pub fn take_packets(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.shared.heard.lock().expect("no panic there"))
    }
}

/// An agent whose phone speaks at this pitch, joined with whoever answers at the carrier's; the phone and the call's name.
pub async fn joined(place: &Place, frequency: f64) -> (Talker, String) {
    let api = place.api();
    let made = json!({"name": "ada", "username": "ada", "password": "secret-of-it"});
    let ada = api.post("/v1/agents", made).await["id"].as_str().unwrap().to_owned();
    let at = |host: &str, port: u16| format!("{host}:{port}").parse().unwrap();
    let login = Some(("ada", "secret-of-it"));
    let agent = Talker::start(at(&place.phones, 5070), at(&place.daemon, 5060), login, frequency);
    let trunk = json!({"name": "carrier", "address": format!("{}:5080", place.carrier),
        "cps_max": 50.0, "options_interval_ms": 0});
    let trunk = api.post("/v1/trunks", trunk).await["id"].clone();
    until("the phone is registered", async || {
        api.get(&format!("/v1/agents/{ada}")).await["registered"] == true
    })
    .await;
    api.post(&format!("/v1/agents/{ada}:login"), json!({"session": "on_demand"})).await;
    let call = json!({"agent_id": ada, "to": "+12025550100", "trunk_id": trunk});
    let call = api.post("/v1/calls", call).await["id"].as_str().unwrap().to_owned();
    until("the sides are joined", async || api.get(&format!("/v1/calls/{call}")).await["state"] == "bridged")
        .await;
    (agent, call)
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

fn description(rtp: SocketAddr, manner: &Manner) -> String {
    let (ip, port) = (rtp.ip(), rtp.port());
    let (types, events) = match manner.without_events {
        true => ("0", ""),
        false => ("0 101", "a=rtpmap:101 telephone-event/8000\r\n"),
    };
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {types}\r\n\
         {events}a=sendrecv\r\n"
    )
}

fn live(
    socket: &UdpSocket,
    server: SocketAddr,
    login: Option<ua::Login>,
    frequency: f64,
    shared: &Shared,
    manner: &impl Fn(&str) -> Manner,
) {
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
        for act in std::mem::take(&mut *shared.acts.lock().expect("no panic there")) {
            match act {
                Act::Call(number) => {
                    legs.push(call(&mut agent, now(), own, server, (&number, frequency), &mut out));
                }
                Act::Press(digits, way) => {
                    let presses = digits.into_iter().map(|digit| (digit, way));
                    legs.iter_mut().for_each(|leg| leg.presses.extend(presses.clone()));
                }
                Act::Mute(on) => legs.iter_mut().for_each(|leg| leg.muted = on),
                Act::HangUp => {
                    for leg in &legs {
                        agent.hangup(now(), leg.key, Reason::default(), &mut out);
                    }
                }
            }
        }
        while !out.is_empty() {
            let outputs: Vec<ua::Output> = out.drain().collect();
            for output in outputs {
                match output {
                    ua::Output::Send { to, bytes, .. } => drop(socket.send_to(&bytes, to)),
                    ua::Output::Event(event) => {
                        take_event(&mut agent, now(), own, event, &mut legs, &mut out, (frequency, manner))
                    }
                    _ => {}
                }
            }
        }
        while next_frame <= now() {
            for leg in &mut legs {
                speak(leg);
                if let Some(digit) = leg.infos.front() {
                    let body = format!("Signal={digit}\r\nDuration=100\r\n");
                    let kind = b"application/dtmf-relay";
                    // Before the ACK there is none.
                    if agent.info(now(), leg.key, kind, body.as_bytes(), &mut out).is_ok() {
                        leg.infos.pop_front();
                    }
                }
                let presses = leg.manner.presses.map_or(0, |(digits, _)| digits.len());
                let over = PRESSES_AFTER + presses * 2 * DIGIT_FRAMES + HANGS_UP_AFTER;
                if presses > 0 && leg.frames == over {
                    agent.hangup(now(), leg.key, Reason::default(), &mut out);
                }
            }
            next_frame += Duration::from_millis(20);
        }
        legs.iter().for_each(|leg| hear(leg, shared));
        shared.legs.store(legs.len(), Ordering::SeqCst);
    }
}

fn leg_of(key: LegKey, ip: std::net::IpAddr, frequency: f64, manner: Manner) -> Leg {
    let rtp = UdpSocket::bind((ip, 0)).expect("a port for sound");
    rtp.set_nonblocking(true).expect("it does not wait");
    Leg {
        key,
        rtp,
        remote: None,
        up: false,
        frequency: manner.frequency.unwrap_or(frequency),
        manner,
        muted: false,
        sequence: 0,
        timestamp: 0,
        phase: 0.0,
        said: 0,
        presses: VecDeque::new(),
        pressed: 0,
        infos: VecDeque::new(),
        frames: 0,
    }
}

/// Where a description says that sound is to go.
fn remote_of(description: &[u8]) -> Option<SocketAddr> {
    let session = sip_proxy::wire::sdp::parse(description).ok()?;
    let audio = session.audio()?;
    Some(SocketAddr::new(audio.connection?.address?, audio.port))
}

fn call(
    agent: &mut UserAgent,
    now: Instant,
    own: SocketAddr,
    server: SocketAddr,
    (number, frequency): (&str, f64),
    out: &mut Outbox<ua::Output>,
) -> Leg {
    let mut leg = leg_of(LegKey::from_bits(0), own.ip(), frequency, Manner::default());
    let (to, from) = (format!("sip:{number}@{server}"), format!("sip:7001@{own}"));
    let at = leg.rtp.local_addr().expect("bound");
    let invite = ua::Invite {
        owner: 1,
        listener: 0,
        destination: server,
        trunk: Some(1),
        symmetric: false,
        replaceable: false,
        request_uri: &to,
        from_uri: &from,
        from_display: "",
        to_uri: &to,
        p_asserted_identity: None,
        route: None,
        headers: &[],
        max_forwards: 70,
        sdp: Bytes::from(description(at, &leg.manner)),
    };
    leg.key = agent.invite(now, &invite, out).expect("it can be sent");
    leg
}

fn take_event(
    agent: &mut UserAgent,
    now: Instant,
    own: SocketAddr,
    event: ua::Event,
    legs: &mut Vec<Leg>,
    out: &mut Outbox<ua::Output>,
    (frequency, manner): (f64, &impl Fn(&str) -> Manner),
) {
    match event {
        ua::Event::Incoming { leg: key, request, .. } => {
            let number = String::from_utf8_lossy(request.request_uri()).into_owned();
            let number = number.trim_start_matches("sip:").split('@').next().unwrap_or_default();
            let mut leg = leg_of(key, own.ip(), frequency, manner(number));
            leg.remote = remote_of(request.body());
            let at = leg.rtp.local_addr().expect("bound");
            let text = description(at, &leg.manner);
            leg.up = match leg.manner.early {
                true => agent.provisional(now, key, 183, Some(text.as_bytes()), out).is_ok(),
                false => agent.answer(now, key, text.as_bytes(), out).is_ok(),
            };
            legs.push(leg);
        }
        ua::Event::Answered { leg: key, sdp, .. } => {
            if let Some(leg) = legs.iter_mut().find(|leg| leg.key == key) {
                leg.remote = sdp.as_deref().and_then(remote_of);
                leg.up = true;
            }
        }
        ua::Event::Ended(ended) => legs.retain(|leg| leg.key != ended.leg),
        ua::Event::Reoffer { leg, .. } => {
            if let Some(known) = legs.iter().find(|known| known.key == leg) {
                let at = known.rtp.local_addr().expect("bound");
                let _ = agent.answer_reinvite(now, leg, description(at, &known.manner).as_bytes(), out);
            }
        }
        _ => {}
    }
}

/// Sends what a leg says in the next 20 ms.
fn speak(leg: &mut Leg) {
    let Some(remote) = leg.remote.filter(|_| leg.up && !leg.muted) else { return };
    leg.frames += 1;
    if let Some((digits, way)) = leg.manner.presses.filter(|_| leg.frames == PRESSES_AFTER) {
        leg.presses.extend(digits.chars().map(|digit| (digit, way)));
    }
    let place = leg.pressed;
    let press = leg.presses.front().copied();
    if let Some((digit, way)) = press {
        if place == 0 && way.is_info() {
            leg.infos.push_back(digit);
        }
        leg.pressed += 1;
        if leg.pressed == 2 * DIGIT_FRAMES {
            leg.presses.pop_front();
            leg.pressed = 0;
        }
    }
    match press {
        Some((digit, way)) if way.is_event() && place < DIGIT_FRAMES => {
            let last = place + 1 == DIGIT_FRAMES;
            // The end is sent three times (RFC 4733 §2.5.1.4); all of an event bear the time of its beginning.
            for _ in 0..if last { 3 } else { 1 } {
                let duration = (FRAME * (place + 1)) as u16;
                let mut event = vec![event_of(digit), if last { 0x80 } else { 0 } | 10];
                event.extend(duration.to_be_bytes());
                let begun = leg.timestamp.wrapping_sub((FRAME * place) as u32);
                send(leg, remote, EVENTS | if place == 0 { 0x80 } else { 0 }, begun, &event);
            }
        }
        _ => {
            let tones = press.filter(|(_, way)| *way == Way::InBand && place < DIGIT_FRAMES);
            let pause = press.is_some_and(|(_, way)| way == Way::InBand);
            let frame = match tones {
                Some((digit, _)) => pair_of(digit, place),
                None if pause => [0; FRAME],
                None => frame_of(leg),
            };
            let payload = frame.map(linear_to_ulaw);
            send(leg, remote, 0, leg.timestamp, &payload);
        }
    }
    leg.timestamp = leg.timestamp.wrapping_add(FRAME as u32);
}

/// What it says by itself: its sound, or its tone.
fn frame_of(leg: &mut Leg) -> [i16; FRAME] {
    if let Some(says) = &leg.manner.says {
        let at = leg.said * FRAME;
        leg.said += 1;
        return std::array::from_fn(|place| says.get(at + place).copied().unwrap_or(0));
    }
    std::array::from_fn(|_| {
        leg.phase = (leg.phase + leg.frequency / 8000.0).fract();
        ((leg.phase * TAU).sin() * PEAK) as i16
    })
}

fn send(leg: &mut Leg, remote: SocketAddr, kind: u8, timestamp: u32, payload: &[u8]) {
    leg.sequence = leg.sequence.wrapping_add(1);
    let mut packet = vec![0x80, kind];
    packet.extend(leg.sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend((leg.frequency as u32).to_be_bytes());
    packet.extend(payload);
    let _ = leg.rtp.send_to(&packet, remote);
}

/// Its number as an event (RFC 4733 §3.2).
fn event_of(digit: char) -> u8 {
    "0123456789*#ABCD".find(digit).expect("a digit") as u8
}

/// A frame of its two tones (ITU-T Q.23).
fn pair_of(digit: char, frame: usize) -> [i16; FRAME] {
    let key = "123A456B789C*0#D".find(digit).expect("a digit");
    let (low, high) = ([697.0, 770.0, 852.0, 941.0][key / 4], [1_209.0, 1_336.0, 1_477.0, 1_633.0][key % 4]);
    std::array::from_fn(|place| {
        let time = TAU * (frame * FRAME + place) as f64 / 8000.0;
        (PEAK * ((low * time).sin() + (high * time).sin())) as i16
    })
}

fn hear(leg: &Leg, shared: &Shared) {
    let mut packet = [0; 2_048];
    while let Ok(length) = leg.rtp.recv(&mut packet) {
        if length == 12 + FRAME && packet[1] & 0x7F == 0 {
            let word =
                |at: usize| u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
            let heard = Heard {
                by: leg.frequency,
                ssrc: word(8),
                sequence: u16::from_be_bytes([packet[2], packet[3]]),
                timestamp: word(4),
                frame: std::array::from_fn(|place| ULAW_TO_LINEAR[usize::from(packet[12 + place])]),
            };
            shared.heard.lock().expect("no panic there").push(heard);
        }
    }
}
