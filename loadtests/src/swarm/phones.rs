//! The machine: a user agent whose legs ring, answer, talk and hang up as they were told to.

use crate::swarm::callee::{Fate, Population, Then};
use crate::swarm::voice::{FRAME, Script, Voice};
use bytes::{Bytes, BytesMut};
use runtime::{Ground, RecordResult, ShardMachine, SocketKind};
use sansio::{Deadlines, Duration, Instant, Outbox, Rng, TimerKey};
use serde::Serialize;
use sip_proxy::ua::{Config, Event, Listener, Login, Output, Reason, Trunk, UserAgent};
use sip_proxy::wire::Uri;
use sip_proxy::wire::sdp::{self, SdpWriter};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Whose phones these are.
#[derive(Clone, Debug)]
pub enum Role {
    /// Callees behind a carrier: anybody may call.
    Carrier(Population),
    /// Agents: each registers with the server and answers by itself.
    Agents {
        /// The registrar.
        server: SocketAddr,
        /// User names and passwords.
        logins: Vec<(String, String)>,
    },
}

/// What happened, for the report at the end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// INVITEs taken.
    pub invites: u64,
    /// Answered.
    pub answered: u64,
    /// … of these by machines.
    pub machines: u64,
    /// Ended by the other side before the answer.
    pub cancelled: u64,
    /// Refused.
    pub refused: u64,
    /// Answered calls that the other side ended.
    pub ended_by_peer: u64,
    /// Answered calls that we ended.
    pub ended_by_us: u64,
    /// Legs alive now.
    pub legs: u64,
    /// Media packets sent.
    pub rtp_sent: u64,
    /// Media packets received.
    pub rtp_received: u64,
    /// Answered calls that never heard anything.
    pub silent_calls: u64,
    /// Media ports open now.
    pub media_sockets: u64,
    /// Agents registered now.
    pub registered: u64,
    /// How often each number was dialled.
    #[serde(skip)]
    pub dialled: BTreeMap<String, u32>,
}

/// An order to the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Unregister and hang up everything.
    GoHome,
    /// End the thread.
    Stop,
}

/// A thread of phones that runs.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Orders to it.
    pub orders: runtime::Sender<Order>,
    /// Its counts, renewed every 100 ms.
    pub counts: Arc<Mutex<Counts>>,
    /// The thread.
    pub thread: JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// The counts now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts.lock().map(|counts| counts.clone()).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Ring(u64),
    Refuse(u64, u16),
    Answer(u64),
    HangUp(u64),
    Frame,
    Look,
}

struct Phone {
    leg: sip_proxy::ua::LegKey,
    fate: Option<Fate>,
    script: Script,
    next: Option<TimerKey>,
    remote: Option<SocketAddr>,
    answered_at: Option<Instant>,
    voice: usize,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    heard: u64,
    rtp_port: u16,
}

/// The machine of one thread.
pub struct Phones {
    address: SocketAddr,
    role: Role,
    ua: UserAgent,
    out: Outbox<Output>,
    deadlines: Deadlines<Act>,
    phones: BTreeMap<u64, Phone>,
    voices: Vec<Voice>,
    world: Rng,
    rng: Rng,
    next_owner: u64,
    next_port: u16,
    counts: Counts,
    shared: Arc<Mutex<Counts>>,
}

const FRAME_TIME: Duration = Duration::from_millis(20);
const LOOK_TIME: Duration = Duration::from_millis(100);
const PORT_FIRST: u16 = 10_000;
const PORT_LAST: u16 = 59_998;
/// Agents' phones pick up after this.
const AUTO_ANSWER_AFTER: Duration = Duration::from_millis(20);

impl Phones {
    /// Phones on one address.
    pub fn new(address: SocketAddr, role: Role, seed: u64, now: Instant, shared: Arc<Mutex<Counts>>) -> Self {
        let world = Rng::from_seed(seed);
        let mut rng = world.child("phones");
        let config = Config {
            listeners: vec![Listener::udp(address, address.to_string())],
            user_agent: "swarm".into(),
            ..Config::default()
        };
        let voices = (0..12).map(|_| Voice::new(&mut rng)).collect();
        let mut phones = Phones {
            address,
            role,
            ua: UserAgent::new(config, rng.child("ua")),
            out: Outbox::default(),
            deadlines: Deadlines::new(),
            phones: BTreeMap::new(),
            voices,
            world: world.child("callees"),
            rng,
            next_owner: 1,
            next_port: PORT_FIRST,
            counts: Counts::default(),
            shared,
        };
        phones.begin(now);
        phones
    }

    fn begin(&mut self, now: Instant) {
        self.deadlines.arm(now + FRAME_TIME, Act::Frame);
        self.deadlines.arm(now, Act::Look);
        let everywhere = Trunk {
            key: 0,
            listener: 0,
            address: SocketAddr::from(([127, 0, 0, 1], 9)),
            wanted: None,
            domain: String::new(),
            sources: Vec::new(),
            networks: Vec::new(),
            certificate_names: Vec::new(),
            login: None,
            register: None,
            options_interval: None,
            cps_max: 100_000.0,
            overload_control: false,
            pace: sansio::SharedPace::new(1e5),
        };
        match &self.role {
            // The carrier takes calls from the whole of loopback: whoever dials first becomes a known source.
            Role::Carrier(_) => {}
            Role::Agents { server, logins } => {
                for (index, (username, password)) in logins.iter().enumerate() {
                    let trunk = Trunk {
                        key: index as u64 + 1,
                        address: *server,
                        sources: vec![(server.ip(), None)],
                        login: Some(Login { username: username.clone(), password: password.clone() }),
                        register: Some(Duration::from_secs(60)),
                        ..everywhere.clone()
                    };
                    self.ua.set_trunk(now, trunk, &mut self.out);
                }
            }
        }
    }

    /// A carrier knows every address that speaks to it.
    fn know_source(&mut self, now: Instant, source: SocketAddr) {
        if matches!(self.role, Role::Carrier(_)) && source.ip().is_loopback() {
            let key = u64::from(source.port()) + 1;
            let trunk = Trunk {
                key,
                listener: 0,
                address: source,
                wanted: None,
                domain: String::new(),
                sources: vec![(source.ip(), Some(source.port()))],
                networks: Vec::new(),
                certificate_names: Vec::new(),
                login: None,
                register: None,
                options_interval: None,
                cps_max: 100_000.0,
                overload_control: false,
                pace: sansio::SharedPace::new(1e5),
            };
            self.ua.set_trunk(now, trunk, &mut self.out);
        }
    }

    fn carry_out(&mut self, now: Instant, ground: &mut Ground) {
        loop {
            let outputs: Vec<Output> = self.out.drain().collect();
            if outputs.is_empty() {
                return;
            }
            for output in outputs {
                match output {
                    Output::Send { listener, to, bytes } => ground.send(listener, to, bytes),
                    // These phones speak UDP only.
                    Output::Close { .. } | Output::Ask(_) | Output::ServerName { .. } => {}
                    Output::Event(event) => self.event(now, event, ground),
                }
            }
        }
    }

    fn event(&mut self, now: Instant, event: Event, ground: &mut Ground) {
        match event {
            Event::Incoming { leg, request, .. } => {
                let owner = self.next_owner;
                self.next_owner += 1;
                self.ua.adopt(leg, owner);
                self.counts.invites += 1;
                let remote = remote_media(request.body());
                let number = Uri::parse(request.request_uri())
                    .ok()
                    .and_then(|uri| uri.user.map(|user| String::from_utf8_lossy(user).into_owned()))
                    .unwrap_or_default();
                let rtp_port = self.open_port(owner, ground);
                let mut phone = Phone {
                    leg,
                    fate: None,
                    script: Script::Agent,
                    next: None,
                    remote,
                    answered_at: None,
                    voice: self.rng.below(self.voices.len() as u64) as usize,
                    sequence: self.rng.next_u32() as u16,
                    timestamp: self.rng.next_u32(),
                    ssrc: self.rng.next_u32(),
                    heard: 0,
                    rtp_port,
                };
                let (at, act) = self.first_act(now, owner, &number, &mut phone);
                phone.next = Some(self.deadlines.arm(at, act));
                self.phones.insert(owner, phone);
            }
            Event::Reoffer { leg, owner, sdp, .. } => {
                if let Some(phone) = self.phones.get_mut(&owner) {
                    if let Some(remote) = sdp.as_deref().and_then(remote_media) {
                        phone.remote = Some(remote);
                    }
                    let answer = answer_sdp(self.address, phone.rtp_port, owner);
                    if self.ua.answer_reinvite(now, leg, &answer, &mut self.out).is_err() {
                        self.ua.hangup(now, leg, Reason::default(), &mut self.out);
                    }
                }
            }
            Event::Ended(ended) => {
                if let Some(phone) = self.phones.remove(&ended.owner) {
                    if let Some(timer) = phone.next {
                        self.deadlines.cancel(timer);
                    }
                    ground.close_ports(ended.owner);
                    let by_us = ended.by == sip_proxy::ua::EndedBy::Local;
                    match (phone.answered_at.is_some(), by_us) {
                        (true, true) => self.counts.ended_by_us += 1,
                        (true, false) => self.counts.ended_by_peer += 1,
                        (false, true) => self.counts.refused += 1,
                        (false, false) => self.counts.cancelled += 1,
                    }
                    self.counts.silent_calls += u64::from(phone.answered_at.is_some() && phone.heard == 0);
                }
            }
            Event::TrunkRegistration { registered, .. } => {
                let count = self.counts.registered;
                self.counts.registered = if registered { count + 1 } else { count.saturating_sub(1) };
            }
            _ => {}
        }
    }

    fn first_act(&mut self, now: Instant, owner: u64, number: &str, phone: &mut Phone) -> (Instant, Act) {
        let Role::Carrier(population) = &self.role else {
            return (now + AUTO_ANSWER_AFTER, Act::Answer(owner));
        };
        let attempt = self.counts.dialled.entry(number.to_owned()).or_insert(0);
        let fate = population.fate(&self.world, number, *attempt);
        *attempt += 1;
        phone.fate = Some(fate);
        match fate.then {
            Then::Refuse { after, code, rings: false } => (now + after, Act::Refuse(owner, code)),
            _ => (now + fate.rings_after, Act::Ring(owner)),
        }
    }

    fn open_port(&mut self, owner: u64, ground: &mut Ground) -> u16 {
        for _ in 0..100 {
            let port = self.next_port;
            self.next_port = if port + 2 > PORT_LAST { PORT_FIRST } else { port + 2 };
            if ground.open_ports(owner, port, port + 1).is_ok() {
                return port;
            }
        }
        0
    }

    fn act(&mut self, now: Instant, act: Act, ground: &mut Ground) {
        match act {
            Act::Frame => {
                self.deadlines.arm(now + FRAME_TIME, Act::Frame);
                self.send_frames(now, ground);
            }
            Act::Look => {
                self.deadlines.arm(now + LOOK_TIME, Act::Look);
                self.counts.legs = self.phones.len() as u64;
                self.counts.media_sockets = ground.media_sockets() as u64;
                if let Ok(mut shared) = self.shared.lock() {
                    shared.clone_from(&self.counts);
                }
            }
            Act::Ring(owner) => self.ring(now, owner),
            Act::Refuse(owner, code) => {
                if let Some(phone) = self.phones.get(&owner) {
                    // A leg that is being cancelled ends by itself.
                    let _ = self.ua.reject(now, phone.leg, code, Reason::default(), &mut self.out);
                }
            }
            Act::Answer(owner) => self.answer(now, owner),
            Act::HangUp(owner) => {
                if let Some(phone) = self.phones.get(&owner) {
                    self.ua.hangup(now, phone.leg, Reason::default(), &mut self.out);
                }
            }
        }
    }

    fn ring(&mut self, now: Instant, owner: u64) {
        let Some(phone) = self.phones.get_mut(&owner) else { return };
        if self.ua.provisional(now, phone.leg, 180, None, &mut self.out).is_err() {
            return;
        }
        let Some(fate) = phone.fate else { return };
        let (at, act) = match fate.then {
            Then::Refuse { after, code, .. } => {
                (now + after.saturating_sub(fate.rings_after), Act::Refuse(owner, code))
            }
            Then::Answer { after, .. } => (now + after, Act::Answer(owner)),
        };
        phone.next = Some(self.deadlines.arm(at, act));
    }

    fn answer(&mut self, now: Instant, owner: u64) {
        let Some(phone) = self.phones.get_mut(&owner) else { return };
        let answer = answer_sdp(self.address, phone.rtp_port, owner);
        if self.ua.answer(now, phone.leg, &answer, &mut self.out).is_err() {
            return;
        }
        phone.answered_at = Some(now);
        self.counts.answered += 1;
        phone.next = None;
        if let Some(Fate { then: Then::Answer { script, hangs_up_after, .. }, .. }) = phone.fate {
            self.counts.machines += u64::from(matches!(script, Script::Machine { .. }));
            phone.script = script;
            phone.next = Some(self.deadlines.arm(now + hangs_up_after, Act::HangUp(owner)));
        }
    }

    fn send_frames(&mut self, now: Instant, ground: &mut Ground) {
        let mut packet = [0_u8; 12 + FRAME];
        for (owner, phone) in &mut self.phones {
            let (Some(answered_at), Some(remote)) = (phone.answered_at, phone.remote) else { continue };
            let at_ms = now.millis_since(answered_at);
            let sound = phone.script.sound(at_ms);
            packet[0] = 0x80;
            packet[1] = 0;
            packet[2..4].copy_from_slice(&phone.sequence.to_be_bytes());
            packet[4..8].copy_from_slice(&phone.timestamp.to_be_bytes());
            packet[8..12].copy_from_slice(&phone.ssrc.to_be_bytes());
            packet[12..].copy_from_slice(self.voices[phone.voice].frame(sound, at_ms / 20));
            phone.sequence = phone.sequence.wrapping_add(1);
            phone.timestamp = phone.timestamp.wrapping_add(FRAME as u32);
            ground.send_packet(*owner, SocketKind::Rtp, remote, &packet);
            self.counts.rtp_sent += 1;
        }
    }

    fn go_home(&mut self, now: Instant) {
        let legs: Vec<_> = self.phones.values().map(|phone| phone.leg).collect();
        for leg in legs {
            self.ua.hangup(now, leg, Reason::default(), &mut self.out);
        }
        if let Role::Agents { logins, .. } = &self.role {
            for key in 1..=logins.len() as u64 {
                self.ua.remove_trunk(now, key, &mut self.out);
            }
        }
    }
}

/// Where the other side wants its sound.
fn remote_media(body: &[u8]) -> Option<SocketAddr> {
    let session = sdp::parse(body).ok()?;
    let audio = session.audio()?;
    let connection = audio.connection.as_ref().or(session.connection.as_ref())?;
    let address = connection.address?;
    Some(SocketAddr::new(address, audio.port)).filter(|address| address.port() != 0)
}

fn answer_sdp(address: SocketAddr, port: u16, id: u64) -> Bytes {
    let mut buffer = BytesMut::new();
    let mut writer = SdpWriter::session(&mut buffer, id, 1, address.ip());
    writer.media("audio", port, "RTP/AVP", &[0, 101]);
    writer.rtpmap(0, "PCMU", 8000).rtpmap(101, "telephone-event", 8000).fmtp(101, "0-15").ptime(20);
    buffer.freeze()
}

impl ShardMachine for Phones {
    type Command = Order;

    fn datagram(
        &mut self,
        now: Instant,
        listener: u8,
        source: SocketAddr,
        bytes: Bytes,
        ground: &mut Ground,
    ) {
        if bytes.starts_with(b"INVITE ") || bytes.starts_with(b"OPTIONS ") {
            self.know_source(now, source);
        }
        self.ua.handle_datagram(now, listener, source, bytes, &mut self.out);
        self.carry_out(now, ground);
    }

    fn packet(
        &mut self,
        _: Instant,
        stream: u64,
        kind: SocketKind,
        _: SocketAddr,
        packet: &mut [u8],
        _: &mut Ground,
    ) {
        if kind == SocketKind::Rtp && packet.len() > 12 && packet[0] >> 6 == 2 {
            self.counts.rtp_received += 1;
            if let Some(phone) = self.phones.get_mut(&stream) {
                phone.heard += 1;
            }
        }
    }

    fn command(&mut self, now: Instant, command: Order, ground: &mut Ground) -> bool {
        match command {
            Order::GoHome => {
                self.go_home(now);
                self.carry_out(now, ground);
                true
            }
            Order::Stop => false,
        }
    }

    fn recorded(&mut self, _: Instant, _: RecordResult, _: &mut Ground) {}

    fn poll_timeout(&self) -> Option<Instant> {
        let own = self.deadlines.next();
        match self.ua.poll_timeout() {
            Some(theirs) => Some(own.map_or(theirs, |own| own.min(theirs))),
            None => own,
        }
    }

    fn timeout(&mut self, now: Instant, ground: &mut Ground) {
        while let Some((_, act)) = self.deadlines.pop_due(now) {
            self.act(now, act, ground);
        }
        self.ua.handle_timeout(now, &mut self.out);
        self.carry_out(now, ground);
    }

    fn turn_ended(&mut self, now: Instant, ground: &mut Ground) {
        // What `begin` has ordered leaves with the first turn.
        self.carry_out(now, ground);
    }
}
