//! The world of one seed: a queue of happenings around one daemon, on one thread, in virtual time.

use super::Sabotage;
use super::caller::{Caller, CallerTimer};
use super::carrier::Carrier;
use super::check::{Book, Findings, Wire};
use super::disk::Disk;
use super::endpoint::{Act, Endpoint, Timer};
use super::happening::{Happening, Queued};
use super::net::Net;
use super::people::{Operator, Person};
use super::phone::Phone;
use super::pipes::Pipes;
use super::scene::{Reached, Scene};
use super::trace::Trace;
use super::zone::Domain;
use bytes::Bytes;
use dialer_core::{Command, RecordingId};
use engine::{
    CallShard, ControlCore, ControlEffect, ControlInput, PacketKind, ShardCommand, ShardEffect, ShardEvent,
    ShardInput, StreamId,
};
use sansio::{Duration, Instant, Machine, Outbox, Rng, WallTime};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub(super) const REALM: &str = "house.example";
pub(super) const DAEMON: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5060);
pub(super) const STRANGER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 250)), 5060);
/// Civil time at the start: a Wednesday morning.
pub(super) const MORNING: WallTime = WallTime::from_unix_millis(1_790_755_200_000);
/// Every so many turns the audits are asked.
const TURNS_PER_AUDIT: u64 = 32;
/// Turns without time passing after which something goes in a circle.
const TURNS_AT_ONCE_MAX: u32 = 200_000;

/// Someone at the other end of the wire.
#[derive(Debug)]
pub(super) enum Peer {
    Carrier(Box<Carrier>),
    Phone(Box<Phone>),
    Caller(Box<Caller>),
}

impl Peer {
    pub(super) fn endpoint(&self) -> &Endpoint {
        match self {
            Peer::Carrier(carrier) => &carrier.endpoint,
            Peer::Phone(phone) => &phone.endpoint,
            Peer::Caller(caller) => &caller.endpoint,
        }
    }
}

/// The daemon while it runs.
pub(super) struct Node {
    pub(super) control: ControlCore,
    pub(super) shard: CallShard,
}

/// The world.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) scene: Scene,
    pub(super) node: Option<Node>,
    pub(super) life: u32,
    pub(super) shard_life: u32,
    pub(super) rng: Rng,
    pub(super) net: Net,
    pub(super) pipes: Pipes,
    pub(super) domains: Vec<Domain>,
    pub(super) zone_rng: Rng,
    pub(super) disk: Disk,
    pub(super) peers: Vec<Peer>,
    pub(super) people: Vec<Person>,
    pub(super) operator: Operator,
    pub(super) trace: Trace,
    pub(super) wire: Wire,
    pub(super) book: Book,
    pub(super) found: Findings,
    pub(super) ports: BTreeMap<u16, (StreamId, PacketKind)>,
    /// Streams whose ports could not be opened.
    pub(super) ports_failing: BTreeSet<StreamId>,
    pub(super) recordings: BTreeMap<RecordingId, (String, u64)>,
    pub(super) setup: super::setup::Setup,
    pub(super) closing: bool,
    /// Since the clock was last set.
    pub(super) clock_set: Option<sansio::time::ClockBase>,
    /// When an agent who was counted on was not there: the phone refused, hung up, fell silent or had no ports.
    pub(super) agents_lost: Vec<Instant>,
    pub(super) next_tag: u64,
    queue: BinaryHeap<Reverse<Queued>>,
    sequence: u64,
    turns: u64,
    pub(super) addresses: BTreeMap<SocketAddr, usize>,
    control_out: Outbox<ControlEffect>,
    shard_out: Outbox<ShardEffect>,
    pub(super) acts: Vec<Act>,
    pub(super) packets_sent: u64,
    /// What is to go wrong in the checks themselves.
    pub(super) sabotage: Sabotage,
}

impl World {
    pub(super) fn new(seed: u64, watch: bool) -> World {
        let scene = Scene::draw(seed);
        let root = Rng::from_seed(seed);
        let mut world = World {
            now: Instant::ZERO,
            node: None,
            life: 0,
            shard_life: 0,
            rng: root.child("world"),
            net: Net::new(scene.net.clone(), root.child("net")),
            pipes: Pipes::new(scene.pipes.clone(), root.child("pipes")),
            domains: Vec::new(),
            zone_rng: root.child("zone"),
            disk: Disk::new(scene.disk.clone(), root.child("disk")),
            peers: Vec::new(),
            people: Vec::new(),
            operator: Operator::new(root.child("operator"), scene.operator_ms),
            trace: Trace::new(watch),
            wire: Wire::default(),
            book: Book::default(),
            found: Findings::default(),
            ports: BTreeMap::new(),
            ports_failing: BTreeSet::new(),
            recordings: BTreeMap::new(),
            setup: super::setup::Setup::new(&scene),
            closing: false,
            clock_set: None,
            agents_lost: Vec::new(),
            next_tag: 0,
            queue: BinaryHeap::new(),
            sequence: 0,
            turns: 0,
            addresses: BTreeMap::new(),
            control_out: Outbox::default(),
            shard_out: Outbox::default(),
            acts: Vec::new(),
            packets_sent: 0,
            sabotage: Sabotage::None,
            scene,
        };
        world.populate(&root);
        world
    }

    fn populate(&mut self, root: &Rng) {
        let scene = self.scene.clone();
        for (n, trunk) in scene.trunks.iter().enumerate() {
            let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10 + n as u8)), 5060);
            let rng = root.child(&trunk.config.name);
            self.add_peer(
                address,
                Peer::Carrier(Box::new(Carrier::new(address, trunk.reached.by, trunk.carrier.clone(), &rng))),
            );
        }
        for (n, agent) in scene.agents.iter().enumerate() {
            let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10 + n as u8)), 5062);
            let rng = root.child(&agent.username);
            let phone =
                Phone::new(address, agent.by, REALM, agent.username.clone(), agent.phone.clone(), &rng);
            let peer = self.add_peer(address, Peer::Phone(Box::new(phone)));
            self.people.push(Person::new(agent.clone(), rng.child("person")));
            let first = Instant::from_millis(4_000 + self.rng.below(6_000));
            self.at(first, Happening::PeerTimer { peer, timer: Timer::Register });
            for (when, ms) in &agent.phone.dead {
                self.at(*when, Happening::Power { peer, on: false });
                self.at(*when + Duration::from_millis(*ms), Happening::Power { peer, on: true });
            }
        }
        let count = self.scene.trunks.len();
        for n in 0..count {
            let reached = self.scene.trunks[n].reached.clone();
            self.populate_domain(n, n, &reached, root);
        }
        self.populate_transit(root);
        for (everybody, whose, at) in self.pipes.resets().to_vec() {
            self.at(at, Happening::Reset { everybody, whose });
        }
        for (from, to) in self.disk.stalls().to_vec() {
            self.at(
                from + Duration::from_secs(1),
                Happening::Health { healthy: to <= from + Duration::from_secs(1) },
            );
            self.at(to, Happening::Health { healthy: true });
        }
        for (when, down_ms) in &scene.crashes {
            self.at(*when, Happening::Crash { down_ms: *down_ms });
        }
        for when in &scene.panics {
            self.at(*when, Happening::Panic);
        }
        for (when, by_ms) in &scene.clock_sets {
            self.at(*when, Happening::ClockSet { by_ms: *by_ms });
        }
        if scene.stranger {
            self.at(Instant::from_millis(20_000), Happening::Stranger);
        }
        self.at(Instant::from_millis(1_000), Happening::Start);
        self.at(Instant::from_millis(2_000), Happening::Setup);
        self.at(Instant::from_millis(70_000), Happening::Operator);
        self.at(scene.end(), Happening::Close);
    }

    /// The callers come after all trunks and phones, the carrier behind them last.
    fn populate_transit(&mut self, root: &Rng) {
        let Some(transit) = self.scene.transit.clone() else { return };
        let rng = root.child("transit-peers");
        let host = |n| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, n)), 5060);
        let callers =
            Caller::new(host(200), transit.callers_by, DAEMON, transit.callers, &rng.child("callers"));
        let reached = transit.callees.reached;
        // Hosts before the carrier come first: callers and callees are the last two.
        let carrier = self.peers.len() + reached.named.as_ref().map_or(0, Vec::len) + 1;
        self.populate_domain(9, carrier, &reached, root);
        let callers = self.add_peer(host(200), Peer::Caller(Box::new(callers)));
        let callees = Carrier::new(host(201), reached.by, transit.callees.carrier, &rng.child("callees"));
        self.add_peer(host(201), Peer::Carrier(Box::new(callees)));
        let timer = Timer::Caller(CallerTimer::Call);
        self.at(Instant::from_millis(61_000), Happening::PeerTimer { peer: callers, timer });
    }

    /// The name of a trunk, and what stands before its carrier under it.
    fn populate_domain(&mut self, n: usize, carrier: usize, reached: &Reached, root: &Rng) {
        let Some(members) = &reached.named else { return };
        let name = format!("trunk{n}.example");
        let ip = |last: usize| IpAddr::V4(Ipv4Addr::new(198, 51, 101, last as u8));
        let mut hosts = Vec::new();
        let mut peers = vec![carrier];
        for (m, plan) in members.iter().enumerate() {
            let address = SocketAddr::new(ip(10 * n + m), 5060);
            let rng = root.child(&name).child(["a", "b", "c", "d"][m % 4]);
            let host = Carrier::new(address, reached.by, plan.clone(), &rng);
            peers.push(self.add_peer(address, Peer::Carrier(Box::new(host))));
            hosts.push(address);
        }
        let own = if n == 9 { 201 } else { 10 + n as u8 };
        hosts.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, own)), 5060));
        self.wire.add_hosts(carrier, &peers);
        self.domains.push(Domain { name, by: reached.by, hosts });
    }

    /// What is written into a trunk's configuration.
    pub(super) fn trunk_address(&self, n: usize, peer: usize, reached: &Reached) -> String {
        match reached.named {
            Some(_) => format!("trunk{n}.example"),
            None => self.peers[peer].endpoint().address.to_string(),
        }
    }

    fn add_peer(&mut self, address: SocketAddr, peer: Peer) -> usize {
        self.addresses.insert(address, self.peers.len());
        self.peers.push(peer);
        self.peers.len() - 1
    }

    pub(super) fn at(&mut self, at: Instant, what: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse(Queued { at: at.max(self.now), sequence: self.sequence, what }));
    }

    pub(super) fn after(&mut self, ms: u64, what: Happening) {
        self.at(self.now + Duration::from_millis(ms), what);
    }

    /// Between threads of the daemon: quick and in order.
    pub(super) fn across(&mut self, what: Happening) {
        self.at(self.now + Duration::from_micros(30), what);
    }

    /// Turns the world until `end`, or until something was found.
    pub(super) fn run_until(&mut self, end: Instant) {
        let mut at_once = 0;
        while let Some(next) = self.next().filter(|next| *next <= end) {
            if next > self.now {
                self.now = next;
                at_once = 0;
            }
            at_once += 1;
            if at_once > TURNS_AT_ONCE_MAX {
                self.found.add(self.now, "time goes on", "turns without end".into());
            }
            if !self.found.list.is_empty() {
                return;
            }
            self.step();
        }
        self.now = self.now.max(end);
    }

    fn next(&self) -> Option<Instant> {
        let machines =
            self.node.as_ref().map(|node| [node.control.poll_timeout(), node.shard.poll_timeout()]);
        let queue = self.queue.peek().map(|Reverse(queued)| queued.at);
        machines.into_iter().flatten().chain([queue]).flatten().min()
    }

    /// One thing: the next happening, or else what the machines wait for.
    fn step(&mut self) {
        let now = self.now;
        if self.queue.peek().is_some_and(|Reverse(queued)| queued.at <= now) {
            if let Some(Reverse(queued)) = self.queue.pop() {
                self.happen(queued.what);
            }
        } else if let Some(node) = &mut self.node {
            if node.shard.poll_timeout().is_some_and(|at| at <= now) {
                node.shard.handle_timeout(now, &mut self.shard_out);
                self.carry_out_shard(None);
            } else {
                node.control.handle_timeout(now, &mut self.control_out);
                self.carry_out_control();
            }
        }
        self.turns += 1;
        if self.turns.is_multiple_of(TURNS_PER_AUDIT) {
            self.audit();
        }
    }

    /// Asks the daemon's own audits.
    pub(super) fn audit(&mut self) {
        let Some(node) = &self.node else { return };
        for finding in node.shard.audit() {
            self.found.add(self.now, "the shard's audit is clean", finding);
        }
        for finding in node.control.dialer().audit() {
            self.found.add(self.now, "the dialer's audit is clean", format!("{finding:?}"));
        }
        self.book.check_limits(self.now, &mut self.found);
        self.wire.check_refused(self.now, &mut self.found);
    }

    fn happen(&mut self, what: Happening) {
        let now = self.now;
        match what {
            Happening::ToDaemon { source, bytes } => self.deliver(0, source, bytes),
            Happening::ToPeer { peer, bytes } => self.hand_to_peer(peer, &bytes),
            Happening::Undelivered { shard_life, peer, bytes } if shard_life == self.shard_life => {
                self.undelivered(peer, &bytes);
            }
            Happening::PipeMade { key, number, made } => self.pipe_made(key, number, made),
            Happening::Piece { key, number, to_daemon, bytes } => self.piece(key, number, to_daemon, &bytes),
            Happening::Reset { everybody, whose } if !self.closing => self.reset(everybody, whose),
            Happening::Hung { key } => self.break_pipe(key),
            Happening::Located { life, question } if life == self.life => {
                let (answer, ttl) = self.look_up(&question);
                self.feed_shard(ShardInput::Located { question, answer, ttl });
            }
            Happening::PeerTimer { peer, timer } => {
                match &mut self.peers[peer] {
                    Peer::Carrier(carrier) => carrier.timer(now, &timer, &mut self.acts),
                    Peer::Phone(phone) => phone.timer(now, &timer, &mut self.acts),
                    Peer::Caller(caller) => caller.timer(now, &timer, &mut self.acts),
                }
                self.carry_out_peer(peer);
            }
            Happening::Sound { source, to, packet } => self.sound(source, to, packet),
            Happening::ToShard { life, command } if life == self.life => {
                self.feed_shard(ShardInput::Command(command));
            }
            Happening::ToControl { life, event } if life == self.life => {
                self.feed_control(ControlInput::Shard { shard: 0, event });
            }
            Happening::Commit { life } if life == self.life => self.commit(),
            Happening::Durable { life, seq } if life == self.life => {
                self.feed_control(ControlInput::Durable { seq });
            }
            Happening::Health { healthy } => self.feed_control(ControlInput::StoreHealth { healthy }),
            Happening::Leads { life, campaign, leads, more, next_due } if life == self.life => {
                self.feed_control(ControlInput::LeadsLoaded { campaign, leads, more, next_due });
            }
            Happening::Callbacks { life, leads, next } if life == self.life => {
                self.feed_control(ControlInput::CallbacksFound { leads, next });
            }
            Happening::PortsFailed { shard_life, stream } if shard_life == self.shard_life => {
                self.feed_shard(ShardInput::PortsFailed { stream });
            }
            Happening::PortsNotHeld { shard_life, rtp_port, taken } if shard_life == self.shard_life => {
                self.feed_shard(ShardInput::PortsNotHeld { rtp_port, taken });
            }
            Happening::Written { shard_life, recording, result } if shard_life == self.shard_life => {
                self.feed_shard(ShardInput::RecordingWritten { recording, result });
            }
            Happening::Command { life, tag, command } if life == self.life => {
                self.trace.note(now, format_args!("command {tag}: {}", brief(&command)));
                self.book.asked(now, tag, &command);
                self.feed_control(ControlInput::Command { tag, command: *command });
            }
            Happening::Mood { person, mood } => self.person_acts(person, mood),
            Happening::Operator => self.operator_acts(),
            Happening::Setup => self.set_up(),
            Happening::Start => self.start(),
            Happening::Crash { down_ms } => self.crash(down_ms),
            Happening::Panic => self.panic(),
            Happening::ClockSet { by_ms } => self.set_clock(by_ms),
            Happening::ShardBack { life } if life == self.life => {
                self.load_prompts();
                self.feed_control(ControlInput::ShardRestarted { shard: 0 });
            }
            Happening::Power { peer, on } => {
                let on = on || self.closing;
                self.trace.note(
                    now,
                    format_args!("phone {} is switched {}", self.name(peer), if on { "on" } else { "off" }),
                );
                if let Peer::Phone(phone) = &mut self.peers[peer] {
                    phone.power(now, on, &mut self.acts);
                }
                self.carry_out_peer(peer);
            }
            Happening::Stranger => self.stranger_calls(),
            Happening::Close => self.close(),
            Happening::StopNow => self.command(Command::StopNow),
            Happening::QuietTrunks => self.quiet_trunks(),
            // Of a life that is over.
            _ => {}
        }
    }

    pub(super) fn hand_to_peer(&mut self, peer: usize, bytes: &Bytes) {
        let now = self.now;
        match &mut self.peers[peer] {
            Peer::Carrier(carrier) if carrier.is_closed(now) => return self.refuse(peer, bytes.clone()),
            Peer::Carrier(carrier) => carrier.datagram(now, bytes, &mut self.acts),
            Peer::Phone(phone) => phone.datagram(now, bytes, &mut self.acts),
            Peer::Caller(caller) => caller.datagram(now, bytes, &mut self.acts),
        }
        self.carry_out_peer(peer);
    }

    /// Gives a command in the name of somebody.
    pub(super) fn command(&mut self, command: Command) {
        self.next_tag += 1;
        let (life, tag) = (self.life, self.next_tag);
        self.across(Happening::Command { life, tag, command: Box::new(command) });
    }

    fn person_acts(&mut self, person: usize, mood: u64) {
        let wall = self.wall();
        if self.closing || self.people[person].mood != mood {
            return;
        }
        if let Some(command) = self.people[person].act(wall) {
            self.command(command);
        }
        // The daemon may be down, or say no: there is another try.
        if let Some(ms) = self.people[person].think() {
            self.after(5_000 + ms, Happening::Mood { person, mood });
        }
    }

    fn operator_acts(&mut self) {
        if self.closing {
            return;
        }
        for command in self.operator.act() {
            self.command(command);
        }
        if let Some(ms) = self.operator.think() {
            self.after(ms, Happening::Operator);
        }
    }

    pub(super) fn name(&self, peer: usize) -> String {
        let trunks = self.scene.trunks.len();
        match &self.peers[peer] {
            Peer::Carrier(_) => format!("carrier-{peer}"),
            Peer::Phone(_) => format!("agent{}", peer - trunks),
            Peer::Caller(_) => "callers".into(),
        }
    }

    pub(super) fn feed_shard(&mut self, input: ShardInput<'_>) {
        let Some(node) = &mut self.node else { return };
        match &input {
            ShardInput::Datagram { bytes, .. } => self.trace.bytes(bytes),
            ShardInput::Command(ShardCommand::LoadPrompt { .. }) => {}
            other => self.trace.thing(other),
        }
        node.shard.handle_input(self.now, input, &mut self.shard_out);
        self.carry_out_shard(None);
    }

    fn sound(&mut self, source: SocketAddr, to: SocketAddr, mut packet: Vec<u8>) {
        let Some((stream, kind)) = self.ports.get(&to.port()).copied().filter(|_| to.ip() == DAEMON.ip())
        else {
            return;
        };
        let Some(node) = &mut self.node else { return };
        self.trace.word(u64::from(to.port()));
        let input = ShardInput::Packet { stream, kind, source, packet: &mut packet };
        node.shard.handle_input(self.now, input, &mut self.shard_out);
        self.carry_out_shard(Some(&packet));
    }

    pub(super) fn feed_control(&mut self, input: ControlInput) {
        let Some(node) = &mut self.node else { return };
        self.trace.thing(&input);
        node.control.handle_input(self.now, input, &mut self.control_out);
        self.carry_out_control();
    }

    fn carry_out_control(&mut self) {
        let mut out = std::mem::take(&mut self.control_out);
        for effect in out.drain() {
            self.control_effect(effect);
        }
        self.control_out = out;
    }

    fn carry_out_shard(&mut self, packet: Option<&[u8]>) {
        let mut out = std::mem::take(&mut self.shard_out);
        for effect in out.drain() {
            self.shard_effect(effect, packet);
        }
        self.shard_out = out;
    }

    pub(super) fn carry_out_peer(&mut self, peer: usize) {
        let mut acts = std::mem::take(&mut self.acts);
        for act in acts.drain(..) {
            match act {
                Act::Send(bytes) => self.transmit_to_daemon(peer, bytes),
                Act::After(ms, timer) => self.after(ms, Happening::PeerTimer { peer, timer }),
                Act::Packet { from, to, packet } => {
                    self.after(5, Happening::Sound { source: from, to, packet });
                }
                Act::Note(line) => self.trace.note(self.now, format_args!("{}: {line}", self.name(peer))),
            }
        }
        self.acts = acts;
    }

    pub(super) fn order(&mut self, command: ShardCommand) {
        let life = self.life;
        self.across(Happening::ToShard { life, command });
    }

    pub(super) fn tell_control(&mut self, event: ShardEvent) {
        let life = self.life;
        self.across(Happening::ToControl { life, event });
    }
}

fn brief(command: &Command) -> String {
    let mut text = format!("{command:?}");
    if text.len() > 110 {
        let cut = (0..=110).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}
