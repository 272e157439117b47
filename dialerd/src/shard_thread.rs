//! A call shard on its thread: the machine's effects become system calls.

use crate::certificates::Certificates;
use crate::control_thread::ControlMessage;
use crate::fork::{ForkWays, Forks};
use crate::hep::{Copied, HepSender};
use crate::names::Names;
use crate::recogniser::Words;
use crate::{offload, streams};
use bytes::Bytes;
use control_api::wire::trace::TraceMessage;
use dialer_core::{CallId, RecordingId, TrunkId};
use engine::{
    CallShard, CountsWanted, PacketKind, RecordOp, ShardCommand, ShardConfig, ShardCounters, ShardEffect,
    ShardInput, StreamId, TracedMessage, TrunkLoad, WrittenFile,
};
use runtime::dtls::{Handshakes, Identity};
use runtime::recorder::{Cut, Written};
use runtime::relay::RelayCounts;
use runtime::stream::{StreamEvent, StreamOrder, StreamPort};
use runtime::udp::Undelivered;
use runtime::{
    Clock, Ground, GroundCounters, Mailbox, RecordOrder, RecordResult, ShardMachine, SocketKind, Unsent,
    mailbox,
};
use sansio::pii::Spellings;
use sansio::{Instant, Machine, Outbox};
use sip_proxy::Traffic;
use sip_proxy::transport::locate::{Answer, Question};
use sip_proxy::ua::Audit;
use sip_proxy::wire::{Limits, Message, Transport, parse};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;

/// Copies that wait for connections; of further ones there are none.
const WAITING_COPIES_MAX: usize = 1024;
/// Of so many packets that are sent on one is timed.
const FORWARDS_PER_LOOK: u32 = 16;
/// Bounds of how long packets take on their way through, microseconds.
pub const FORWARD_BOUNDS_US: [u64; 10] = [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
/// Shorter turns are no lag.
const LAG_TOLD_MIN: Duration = Duration::from_millis(5);

/// An order to a shard's thread.
pub enum ShardOrder {
    /// For the machine.
    Command(ShardCommand),
    /// Something about a connection.
    Stream(StreamEvent),
    /// A name was looked up.
    Located(Question, Answer, Duration),
    /// A datagram that another shard received and that is for this one.
    Datagram {
        /// The listener it came to.
        listener: u8,
        /// From where.
        source: SocketAddr,
        /// What.
        bytes: Bytes,
    },
    /// What the network says of a datagram that this shard has sent.
    Undelivered {
        /// From this listener.
        listener: u8,
        /// To this address.
        peer: SocketAddr,
        /// Its beginning.
        quoted: Bytes,
    },
    /// A file of certificates that the machine asked for.
    Certificate { url: String, file: Option<Bytes> },
    /// Something from who is outside at the end of a fork.
    Fork { fork: engine::ForkId64, input: engine::ForkInput },
    /// The messages of a call, from this shard. Whoever asked may be gone.
    Trace { call: CallId, reply: oneshot::Sender<Vec<TraceMessage>> },
    /// Forget the kept messages of calls in which a number is named.
    ForgetTraces { number: Spellings, reply: oneshot::Sender<()> },
    /// End the thread.
    Stop,
}

/// What a shard shows to those who look from outside, as of the last second.
pub struct ShardGauges {
    /// The machine's counters.
    pub counters: Mutex<(ShardCounters, GroundCounters)>,
    /// Messages by method, status, transport and size.
    pub traffic: Mutex<Traffic>,
    /// What lives in signalling.
    pub audit: Mutex<Audit>,
    /// Trunks: what they carry, and calls begun in the last second.
    pub trunks: Mutex<BTreeMap<TrunkId, (TrunkLoad, f64)>>,
    /// Media sockets open.
    pub media_sockets: AtomicU64,
    /// Plain sound is relayed in the kernel.
    pub relay_kernel: AtomicBool,
    /// Directions of sound that are.
    pub relay_streams: AtomicU64,
    /// Directions of sound that are translated, by codecs: from, to.
    pub translated: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    /// How long turns take.
    pub turns: Arc<runtime::TurnTimes>,
    /// How long packets take on their way through, by [`FORWARD_BOUNDS_US`].
    pub forwarded: runtime::TurnTimes,
    /// Times the shard panicked.
    pub panics: AtomicU64,
    /// Facts to the control thread that were lost; must stay 0.
    pub events_refused: AtomicU64,
    /// Datagrams this shard received for another one.
    pub handed_over: AtomicU64,
    /// … and that were lost because that one was behind.
    pub hand_over_losses: AtomicU64,
}

impl Default for ShardGauges {
    fn default() -> Self {
        ShardGauges {
            counters: Mutex::default(),
            traffic: Mutex::default(),
            audit: Mutex::default(),
            trunks: Mutex::default(),
            media_sockets: AtomicU64::default(),
            relay_kernel: AtomicBool::default(),
            relay_streams: AtomicU64::default(),
            translated: Mutex::default(),
            turns: Arc::default(),
            forwarded: runtime::TurnTimes::by(FORWARD_BOUNDS_US),
            panics: AtomicU64::default(),
            events_refused: AtomicU64::default(),
            handed_over: AtomicU64::default(),
            hand_over_losses: AtomicU64::default(),
        }
    }
}

/// The adapter between the machine and the ground.
pub struct Shard {
    pub(crate) number: u16,
    machine: CallShard,
    pub(crate) clock: Clock,
    out: Outbox<ShardEffect>,
    events: Mailbox<ControlMessage>,
    gauges: Arc<ShardGauges>,
    hep: Option<HepSender>,
    /// Copies of messages that leave when their connections are made, if they are.
    waiting_copies: Vec<(Way, Bytes)>,
    /// Copies of datagrams that leave at the end of this turn, if they do.
    turn_copies: Vec<(Way, Bytes)>,
    next_look: Instant,
    /// When the turn under way took its first message.
    turn_began: Option<Instant>,
    lagged: bool,
    /// When the gauges were set.
    looked: Option<Instant>,
    ways: ShardWays,
    forks: Forks,
    /// Datagrams handed to other shards, and those for which their rings had no room.
    handed_over: u64,
    hand_over_losses: u64,
    /// Streams that the ground relays by itself, when last asked.
    armed: Vec<u64>,
    /// Packets sent on, for choosing those that are timed.
    forwards: u32,
    /// With browsers.
    pub(crate) handshakes: Option<Handshakes>,
}

/// How a shard reaches others than the control thread.
#[derive(Clone)]
pub struct ShardWays {
    /// What only the shards of this node know.
    pub node_secret: u64,
    /// All shards by number, this one included.
    pub shards: Vec<mailbox::Sender<ShardOrder>>,
    /// Connections, whose listeners are numbered from `udp_listeners` on.
    pub streams: Option<StreamPort>,
    /// UDP listeners.
    pub udp_listeners: u8,
    /// Looks names up.
    pub names: Names,
    /// Where certificates of those who sign calls are, and who goes there.
    pub certificates: (Certificates, tokio::runtime::Handle),
    /// What connections of forks share.
    pub forks: ForkWays,
    /// Who understands words, if anyone.
    pub words: Option<Words>,
}

impl Shard {
    /// Sets a machine up.
    pub fn new(
        config: ShardConfig,
        clock: Clock,
        events: Mailbox<ControlMessage>,
        gauges: Arc<ShardGauges>,
        ways: ShardWays,
        (hep, identity): (Option<HepSender>, Option<Identity>),
    ) -> Self {
        let number = config.shard;
        let back = ways.shards[usize::from(number)].clone();
        let forks = Forks::new(back, ways.certificates.1.clone(), ways.forks.clone());
        let config = ShardConfig { clock: clock.base(), ..config };
        Shard {
            number,
            machine: CallShard::new(config),
            clock,
            out: Outbox::default(),
            events,
            gauges,
            hep,
            waiting_copies: Vec::new(),
            turn_copies: Vec::new(),
            next_look: Instant::ZERO,
            turn_began: None,
            lagged: false,
            looked: None,
            ways,
            forks,
            handed_over: 0,
            hand_over_losses: 0,
            armed: Vec::new(),
            forwards: 0,
            handshakes: identity.map(Handshakes::new),
        }
    }

    /// Tells the control thread that this shard begins anew.
    pub fn tell_restart(&mut self) {
        self.events.send(ControlMessage::ShardRestarted { shard: self.number });
    }

    pub(crate) fn feed(&mut self, now: Instant, input: ShardInput<'_>, ground: &mut Ground) {
        if ground.relay().is_armed() {
            self.count_before(now, &input, ground);
        }
        self.machine.handle_input(now, input, &mut self.out);
        self.carry_out(now, ground, &[]);
    }

    /// Tells the machine what the ground has relayed by itself of the streams whose records an input may finish.
    fn count_before(&mut self, now: Instant, input: &ShardInput<'_>, ground: &mut Ground) {
        let streams = match self.machine.counts_wanted(input) {
            CountsWanted::Of(streams) if streams.is_empty() => return,
            CountsWanted::Of(streams) => streams,
            CountsWanted::All => {
                let mut armed = std::mem::take(&mut self.armed);
                armed.clear();
                ground.relay().armed(&mut armed);
                let all = armed.iter().copied().map(StreamId).collect();
                self.armed = armed;
                all
            }
        };
        self.listen_to_taps(now, ground);
        for stream in streams {
            self.count(now, stream.0, ground);
        }
        self.carry_out(now, ground, &[]);
    }

    fn count(&mut self, now: Instant, stream: u64, ground: &mut Ground) {
        if let Some(counts) = ground.relay().counts(stream) {
            let input =
                ShardInput::OffloadCounted { stream: StreamId(stream), counts: offload::counts(&counts) };
            self.machine.handle_input(now, input, &mut self.out);
        }
    }

    /// Hands the machine the packets that someone listens to.
    fn listen_to_taps(&mut self, now: Instant, ground: &mut Ground) {
        let (machine, out) = (&mut self.machine, &mut self.out);
        ground.relay().tapped(&mut |stream, packet| {
            machine.handle_input(now, ShardInput::Tapped { stream: StreamId(stream), packet }, out);
        });
        if !self.out.is_empty() {
            self.carry_out(now, ground, &[]);
        }
    }

    /// A connection is made, or cannot be: what waited for it has left now, or never will.
    fn copy_waiting(&mut self, now: Instant, listener: u8, peer: SocketAddr, made: bool) {
        let Some(hep) = self.hep.as_mut().filter(|_| !self.waiting_copies.is_empty()) else { return };
        let (machine, clock) = (&self.machine, &self.clock);
        self.waiting_copies.retain(|(way, bytes)| {
            let over = (way.listener, way.peer) == (listener, peer);
            if over && made {
                copy(hep, machine, clock, now, *way, bytes);
            }
            !over
        });
    }

    /// The datagrams of a turn have left, or the kernel has refused them.
    fn copy_turn(&mut self, now: Instant, unsent: &[Unsent]) {
        for Unsent { listener, to, bytes, no_way } in unsent {
            let (listener, peer, bytes) = (*listener, *to, bytes.clone());
            let input = ShardInput::Unsent { listener, peer, bytes, no_way: *no_way };
            self.machine.handle_input(now, input, &mut self.out);
        }
        let Some(hep) = &mut self.hep else { return };
        for (way, bytes) in self.turn_copies.drain(..) {
            let is_it = |lost: &Unsent| {
                (lost.listener, lost.to) == (way.listener, way.peer) && lost.bytes.as_ptr() == bytes.as_ptr()
            };
            if !unsent.iter().any(is_it) {
                copy(hep, &self.machine, &self.clock, now, way, &bytes);
            }
        }
    }

    /// A message has come in.
    fn heard(&mut self, now: Instant, listener: u8, peer: SocketAddr, bytes: Bytes, ground: &mut Ground) {
        self.turn_began.get_or_insert(now);
        let copied = self.hep.is_some().then(|| bytes.clone());
        self.feed(now, ShardInput::Datagram { listener, source: peer, bytes }, ground);
        // Afterwards: only now it is known which call a new INVITE is.
        if let (Some(bytes), Some(hep)) = (copied, &mut self.hep) {
            copy(hep, &self.machine, &self.clock, now, Way { listener, peer, sent: false }, &bytes);
        }
    }

    /// What came during a turn waits until its end before it is read.
    fn note_turn(&mut self, now: Instant) {
        let Some(began) = self.turn_began.take() else { return };
        let lag = now.since(began);
        let lagged = lag >= LAG_TOLD_MIN;
        if lagged || self.lagged {
            self.machine.note_lag(now, lag);
        }
        self.lagged = lagged;
    }

    /// Carries out all effects. `packet` is the one just handed in, as the machine edited it.
    fn carry_out(&mut self, now: Instant, ground: &mut Ground, packet: &[u8]) {
        let mut failed = Vec::new();
        let mut not_held = Vec::new();
        let mut afterwards = Vec::new();
        let mut handshakes = Vec::new();
        for effect in self.out.drain() {
            match effect {
                ShardEffect::SendSip { listener, to, bytes } => {
                    if let Some(hep) = &mut self.hep {
                        let way = Way { listener, peer: to, sent: true };
                        if listener < self.ways.udp_listeners {
                            self.turn_copies.push((way, bytes.clone()));
                        } else if self.machine.leaves_at_once(listener, to) {
                            copy(hep, &self.machine, &self.clock, now, way, &bytes);
                        } else if self.waiting_copies.len() < WAITING_COPIES_MAX {
                            self.waiting_copies.push((way, bytes.clone()));
                        }
                    }
                    if listener < self.ways.udp_listeners {
                        ground.send(listener, to, bytes);
                    } else if let Some(streams) = &self.ways.streams {
                        streams.order(StreamOrder::Send { listener, to, bytes });
                    }
                }
                ShardEffect::Ask(question) => self.ways.names.ask(self.number, question),
                ShardEffect::ServerName { listener, to, name, answers } => {
                    if let Some(streams) = &self.ways.streams {
                        streams.order(StreamOrder::ServerName { listener, to, name, answers });
                    }
                }
                ShardEffect::CloseFlow { listener, peer } => {
                    if let Some(streams) = &self.ways.streams {
                        streams.order(StreamOrder::Close { listener, peer });
                    }
                }
                ShardEffect::Words { call, samples } => {
                    if let Some(words) = &self.ways.words {
                        words.ask(call, samples, self.ways.shards[usize::from(self.number)].clone());
                    }
                }
                ShardEffect::FetchCertificate { url } => fetch_certificate(&self.ways, self.number, url),
                ShardEffect::Forward { to, kind, destination } => {
                    ground.send_packet(to.0, socket_kind(kind), destination, packet);
                    self.forwards = self.forwards.wrapping_add(1);
                    if self.forwards.is_multiple_of(FORWARDS_PER_LOOK) {
                        self.gauges.forwarded.note(self.clock.now().since(now).as_nanos() as u64);
                    }
                }
                ShardEffect::SendPacket { from, kind, destination, packet } => {
                    ground.send_packet(from.0, socket_kind(kind), destination, &packet);
                }
                ShardEffect::HoldPorts { rtp_port, rtcp_port } => {
                    if let Err(error) = ground.hold_ports(rtp_port, rtcp_port) {
                        tracing::warn!(%error, rtp_port, "media ports cannot be had: others are taken");
                        not_held.push((rtp_port, error.kind() == std::io::ErrorKind::AddrInUse));
                    }
                }
                ShardEffect::OpenPorts { stream, rtp_port, rtcp_port } => {
                    if let Err(error) = ground.open_ports(stream.0, rtp_port, rtcp_port) {
                        tracing::warn!(%error, rtp_port, "media ports cannot be opened");
                        failed.push(stream);
                    }
                }
                ShardEffect::ClosePorts { stream } => ground.close_ports(stream.0),
                ShardEffect::Latched { stream, kind, destination } => {
                    ground.latch(stream.0, socket_kind(kind), Some(destination));
                }
                ShardEffect::Unlatched { stream, kind } => {
                    ground.latch(stream.0, socket_kind(kind), None);
                }
                ShardEffect::Offload { stream, rule, start } => {
                    if !ground.relay().arm(stream.0, &offload::rule(&rule), &offload::start(&start)) {
                        afterwards.push((stream, Afterwards::Refused));
                    }
                }
                ShardEffect::Reclaim { stream } => {
                    let counts = ground.relay().disarm(stream.0).unwrap_or_default();
                    afterwards.push((stream, Afterwards::Ended(counts)));
                }
                ShardEffect::CountOffload { stream } => afterwards.push((stream, Afterwards::Count)),
                ShardEffect::Dtls(order) => handshakes.push(order),
                ShardEffect::Fork(op) => self.forks.order(op),
                ShardEffect::Record(op) => ground.record(record_order(op)),
                ShardEffect::Event(event) => {
                    self.events.send(ControlMessage::Shard { shard: self.number, event });
                }
            }
        }
        for (rtp_port, taken) in not_held {
            self.feed(now, ShardInput::PortsNotHeld { rtp_port, taken }, ground);
        }
        for stream in failed {
            self.feed(now, ShardInput::PortsFailed { stream }, ground);
        }
        for order in handshakes {
            self.dtls(now, order, ground);
        }
        for (stream, what) in afterwards {
            match what {
                Afterwards::Refused => self.feed(now, ShardInput::OffloadRefused { stream }, ground),
                Afterwards::Ended(counts) => {
                    // What it copied before comes first.
                    self.listen_to_taps(now, ground);
                    let counts = offload::counts(&counts);
                    self.feed(now, ShardInput::OffloadEnded { stream, counts }, ground);
                }
                Afterwards::Count => {
                    self.count(now, stream.0, ground);
                    self.carry_out(now, ground, &[]);
                }
            }
        }
    }
}

/// What is done with a stream's relay below once the effects are carried out.
enum Afterwards {
    Refused,
    Ended(RelayCounts),
    Count,
}

/// Gets a file of certificates off this thread; the answer comes back as an order.
fn fetch_certificate(ways: &ShardWays, shard: u16, url: String) {
    let (certificates, handle) = ways.certificates.clone();
    let Some(back) = ways.shards.get(usize::from(shard)).cloned() else { return };
    handle.spawn(async move {
        let file = certificates.get(&url).await.map(Bytes::from);
        // A shard that has stopped needs no certificate.
        let _ = back.send(ShardOrder::Certificate { url, file }).await;
    });
}

/// Where a message came from or goes.
#[derive(Clone, Copy)]
struct Way {
    listener: u8,
    peer: SocketAddr,
    sent: bool,
}

/// Sends a copy of a message to the collector.
fn copy(hep: &mut HepSender, machine: &CallShard, clock: &Clock, now: Instant, way: Way, bytes: &Bytes) {
    let Some((transport, local)) = machine.listener(way.listener) else { return };
    let call = machine.call_of_message(bytes).map(|(call, _)| call.to_string());
    let (source, destination) = if way.sent { (local, way.peer) } else { (way.peer, local) };
    hep.send(&Copied {
        at: clock.base().wall_at(now),
        micros: (now.as_nanos() / 1_000 % 1_000) as u32,
        source,
        destination,
        tcp: transport != Transport::Udp,
        correlation: call.as_deref(),
        payload: &engine::masked(bytes),
    });
}

/// A kept message in the API's words.
fn traced(shard: u16, machine: &CallShard, message: &TracedMessage) -> TraceMessage {
    let (transport, local) = match machine.listener(message.listener) {
        Some((transport, local)) => (transport.as_str(), local.to_string()),
        None => ("", String::new()),
    };
    let parsed = parse(message.bytes.clone(), &Limits::default()).ok();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    TraceMessage {
        at: message.at,
        monotonic_ns: message.monotonic_ns,
        shard,
        sent: message.sent,
        transport,
        local,
        peer: message.peer.to_string(),
        text: text(&message.bytes),
        sip_call_id: parsed.as_ref().map(|parsed| text(parsed.call_id())).unwrap_or_default(),
        status: parsed.as_ref().map_or(0, Message::status),
        method: parsed.as_ref().map(|parsed| text(parsed.method_text())).unwrap_or_default(),
        cseq: parsed.as_ref().map_or(0, |parsed| parsed.cseq().0),
    }
}

fn socket_kind(kind: PacketKind) -> SocketKind {
    match kind {
        PacketKind::Rtp => SocketKind::Rtp,
        PacketKind::Rtcp => SocketKind::Rtcp,
    }
}

fn record_order(op: RecordOp) -> RecordOrder {
    match op {
        RecordOp::Open { recording, file } => RecordOrder::Open { id: recording.to_bits(), file },
        RecordOp::Append { recording, samples } => RecordOrder::Append { id: recording.to_bits(), samples },
        RecordOp::Finish { recording, .. } => RecordOrder::Finish { id: recording.to_bits() },
    }
}

impl Shard {
    /// The shard that a message is for.
    fn home_of(&self, listener: u8, source: SocketAddr, bytes: &[u8]) -> u16 {
        let shards = self.ways.shards.len() as u16;
        if shards <= 1 {
            return self.number;
        }
        match sip_proxy::marked_shard(bytes, shards) {
            Some(shard) => shard,
            None if self.machine.belongs_home(listener, source, bytes) => 0,
            None => sip_proxy::shard_for(bytes, shards),
        }
    }

    fn hand_over(&mut self, home: u16, order: ShardOrder) {
        // Lost like any datagram when that shard is behind by a whole ring.
        match self.ways.shards[usize::from(home)].try_send(order) {
            Ok(()) => self.handed_over += 1,
            Err(_) => self.hand_over_losses += 1,
        }
    }
}

impl ShardMachine for Shard {
    type Command = ShardOrder;

    fn datagram(
        &mut self,
        now: Instant,
        listener: u8,
        source: SocketAddr,
        bytes: Bytes,
        ground: &mut Ground,
    ) {
        let home = self.home_of(listener, source, &bytes);
        if home == self.number {
            self.heard(now, listener, source, bytes, ground);
        } else {
            self.hand_over(home, ShardOrder::Datagram { listener, source, bytes });
        }
    }

    fn packet(
        &mut self,
        now: Instant,
        stream: u64,
        kind: SocketKind,
        source: SocketAddr,
        packet: &mut [u8],
        ground: &mut Ground,
    ) {
        // Where the packet belongs depends on what came before it, by whatever way.
        self.count(now, stream, ground);
        let kind = match kind {
            SocketKind::Rtp => PacketKind::Rtp,
            SocketKind::Rtcp => PacketKind::Rtcp,
        };
        let input = ShardInput::Packet { stream: StreamId(stream), kind, source, packet: &mut *packet };
        self.machine.handle_input(now, input, &mut self.out);
        self.carry_out(now, ground, packet);
    }

    fn tapped(&mut self, now: Instant, ground: &mut Ground) {
        self.listen_to_taps(now, ground);
    }

    fn command(&mut self, now: Instant, command: ShardOrder, ground: &mut Ground) -> bool {
        match command {
            ShardOrder::Command(command) => {
                self.feed(now, ShardInput::Command(command), ground);
                true
            }
            ShardOrder::Located(question, answer, ttl) => {
                self.feed(now, ShardInput::Located { question, answer, ttl }, ground);
                true
            }
            ShardOrder::Stream(event) => {
                self.turn_began.get_or_insert(now);
                match event {
                    StreamEvent::Message { listener, peer, bytes } => {
                        let home = self.home_of(listener, peer, &bytes);
                        if home == self.number {
                            self.heard(now, listener, peer, bytes, ground);
                        } else {
                            self.hand_over(home, ShardOrder::Datagram { listener, source: peer, bytes });
                        }
                    }
                    event => {
                        match &event {
                            StreamEvent::Opened { listener, peer, .. } => {
                                self.copy_waiting(now, *listener, *peer, true);
                            }
                            StreamEvent::Refused { listener, peer } => {
                                self.copy_waiting(now, *listener, *peer, false);
                            }
                            _ => {}
                        }
                        self.feed(now, streams::input_of(event), ground);
                    }
                }
                true
            }
            ShardOrder::Datagram { listener, source, bytes } => {
                self.heard(now, listener, source, bytes, ground);
                true
            }
            ShardOrder::Undelivered { listener, peer, quoted } => {
                self.feed(now, ShardInput::Undelivered { listener, peer, quoted }, ground);
                true
            }
            ShardOrder::Certificate { url, file } => {
                self.feed(now, ShardInput::Certificate { url, file }, ground);
                true
            }
            ShardOrder::Fork { fork, input } => {
                self.feed(now, ShardInput::Fork { fork, input }, ground);
                true
            }
            ShardOrder::Trace { call, reply } => {
                let messages = self.machine.trace(call);
                let shown = messages.iter().map(|message| traced(self.number, &self.machine, message));
                let _ = reply.send(shown.collect());
                true
            }
            ShardOrder::ForgetTraces { number, reply } => {
                self.machine.forget_traces(&number);
                let _ = reply.send(());
                true
            }
            ShardOrder::Stop => false,
        }
    }

    fn recorded(&mut self, now: Instant, result: RecordResult, ground: &mut Ground) {
        let recording = RecordingId::from_bits(result.id);
        let result = result.result.map(|Written { file, bytes, cut }| {
            if let Some(Cut { reason, .. }) = &cut {
                tracing::warn!(%recording, reason, "a recording is cut off");
            }
            WrittenFile { file, bytes, cut_off_after_ms: cut.map(|cut| cut.duration_ms) }
        });
        self.feed(now, ShardInput::RecordingWritten { recording, result }, ground);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let handshakes = self.handshakes.as_ref().and_then(Handshakes::poll_timeout);
        [self.machine.poll_timeout(), handshakes].into_iter().flatten().min()
    }

    fn timeout(&mut self, now: Instant, ground: &mut Ground) {
        if self.machine.poll_timeout().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now, &mut self.out);
            self.carry_out(now, ground, &[]);
        }
        self.handshakes_due(now, ground);
    }

    fn sent(&mut self, now: Instant, unsent: &[Unsent], ground: &mut Ground) {
        self.copy_turn(now, unsent);
        if !self.out.is_empty() {
            self.carry_out(now, ground, &[]);
        }
    }

    fn undelivered(&mut self, now: Instant, listener: u8, datagram: Undelivered, ground: &mut Ground) {
        let Undelivered { to, quoted } = datagram;
        // Any of the sockets that share the address may be told.
        let Some(home) = sip_proxy::sending_shard(&quoted, self.ways.shards.len() as u16) else { return };
        if home == self.number {
            self.feed(now, ShardInput::Undelivered { listener, peer: to, quoted }, ground);
        } else {
            self.hand_over(home, ShardOrder::Undelivered { listener, peer: to, quoted });
        }
    }

    fn turn_ended(&mut self, now: Instant, ground: &mut Ground) {
        self.note_turn(now);
        self.events.flush();
        if now < self.next_look {
            return;
        }
        self.next_look = now + Duration::from_secs(1);
        self.renew_identity(now, ground);
        if let Ok(mut counters) = self.gauges.counters.lock() {
            *counters = (self.machine.counters(), ground.counters());
        }
        if let Ok(mut traffic) = self.gauges.traffic.lock() {
            traffic.clone_from(self.machine.sip_traffic());
        }
        if let Ok(mut audit) = self.gauges.audit.lock() {
            *audit = self.machine.sip_audit();
        }
        if let Ok(mut translated) = self.gauges.translated.lock() {
            // A pair of codecs that is not translated any more is told as 0, not forgotten.
            translated.values_mut().for_each(|count| *count = 0);
            translated.extend(self.machine.translated());
        }
        let looked =
            self.looked.replace(now).map_or(1.0, |before| now.since(before).as_secs_f64().max(0.001));
        if let Ok(mut trunks) = self.gauges.trunks.lock() {
            let before = std::mem::take(&mut *trunks);
            trunks.extend(self.machine.trunk_loads().map(|(trunk, load)| {
                let known = before.get(&trunk).map_or(load.begun, |(known, _)| known.begun);
                (trunk, (load, load.begun.saturating_sub(known) as f64 / looked))
            }));
        }
        let relay = ground.relay();
        self.armed.clear();
        relay.armed(&mut self.armed);
        self.gauges.relay_kernel.store(relay.name() == "kernel", Ordering::Relaxed);
        self.gauges.relay_streams.store(self.armed.len() as u64, Ordering::Relaxed);
        self.gauges.media_sockets.store(ground.media_sockets() as u64, Ordering::Relaxed);
        self.gauges.events_refused.store(self.events.refused(), Ordering::Relaxed);
        self.gauges.handed_over.store(self.handed_over, Ordering::Relaxed);
        self.gauges.hand_over_losses.store(self.hand_over_losses, Ordering::Relaxed);
    }
}
