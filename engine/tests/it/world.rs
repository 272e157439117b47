//! A small world around one shard: carriers and phones (user agents of their own, speaking real SIP and RTP bytes),
//! a network with delay, loss and duplicates, and a writer of files. Virtual time; everything from one seed.

use crate::srtp::Secured;
use bytes::Bytes;
use dialer_core::config::{AgentConfig, TrunkConfig};
use dialer_core::record::{AgentRow, CallRecord, TrunkRow};
use dialer_core::{AgentFact, AgentId, CallFact, CallId, CallOrder, RecordingId, TransitStart, TrunkId};
use engine::{
    CallShard, ForkOp, PacketKind, RecordOp, ShardCommand, ShardConfig, ShardEffect, ShardEvent, ShardInput,
    StreamId, WrittenFile,
};
use sansio::time::ClockBase;
use sansio::{Duration, Instant, Machine, Outbox, Rng, WallTime};
use sip_proxy::UserAgent;
use sip_proxy::ua::{self, LegKey, Reason};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;

pub(crate) const SHARD: &str = "192.0.2.1:5060";
pub(crate) const REALM: &str = "house.example";

/// What happens to a call that a peer receives. Times from its INVITE, milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Callee {
    pub(crate) ring_ms: Option<u64>,
    /// Ringing comes as 183 with a session description.
    pub(crate) early_media: bool,
    pub(crate) then: Then,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// Answers, and hangs up after this long (never, if `None`).
    Answer {
        after_ms: u64,
        talk_ms: Option<u64>,
    },
    Refuse {
        after_ms: u64,
        code: u16,
    },
    /// Rings on.
    Never,
}

impl Callee {
    pub(crate) fn answers(after_ms: u64) -> Self {
        Callee {
            ring_ms: Some(after_ms / 2),
            early_media: false,
            then: Then::Answer { after_ms, talk_ms: None },
        }
    }
    pub(crate) fn talks(after_ms: u64, talk_ms: u64) -> Self {
        Callee { then: Then::Answer { after_ms, talk_ms: Some(talk_ms) }, ..Callee::answers(after_ms) }
    }
    pub(crate) fn refuses(after_ms: u64, code: u16) -> Self {
        Callee { then: Then::Refuse { after_ms, code }, ..Callee::answers(after_ms) }
    }
    pub(crate) fn rings() -> Self {
        Callee { then: Then::Never, ..Callee::answers(100) }
    }
    pub(crate) fn silent() -> Self {
        Callee { ring_ms: None, early_media: false, then: Then::Never }
    }
    pub(crate) fn with_early_media(mut self) -> Self {
        self.early_media = true;
        self
    }
}

#[derive(Debug)]
pub(crate) struct PeerLeg {
    pub(crate) leg: LegKey,
    pub(crate) rtp: SocketAddr,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) up: bool,
    sequence: u16,
    /// Audio packets that reached it.
    pub(crate) heard: u64,
    /// Packets of telephone events that did.
    pub(crate) events: u64,
    /// Payload of the last of them.
    /// Under which payload type it last heard something.
    pub(crate) heard_in: u8,
    pub(crate) last_payload: Vec<u8>,
    pub(crate) secure: Option<Box<Secured>>,
}

/// A carrier or a phone.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) ua: UserAgent,
    pub(crate) out: Outbox<ua::Output>,
    pub(crate) callees: BTreeMap<String, Callee>,
    pub(crate) default: Callee,
    pub(crate) legs: Vec<PeerLeg>,
    /// Sends a packet every 20 ms in answered legs.
    pub(crate) speaks: bool,
    /// It has keys, and describes its sound with this profile.
    pub(crate) srtp: Option<&'static str>,
    /// The byte its audio is made of.
    pub(crate) voice: u8,
    /// The static payload type that it speaks, and no other.
    pub(crate) speaks_in: u8,
    /// Hears nothing and says nothing any more.
    pub(crate) dead: bool,
    /// Nobody is at its port: the network says so.
    pub(crate) gone: bool,
    /// What it says in each message of its legs beside what they are made of.
    pub(crate) says: ua::Carried,
    pub(crate) ended: Vec<ua::Ended>,
    pub(crate) invites: Vec<String>,
    /// How transfers went that it asked for, and those it was asked for.
    pub(crate) transfers: Vec<String>,
    next_port: u16,
}

#[derive(Debug)]
enum Happening {
    ToShard { source: SocketAddr, bytes: Bytes },
    ToPeer { peer: usize, bytes: Bytes },
    Act { peer: usize, leg: LegKey, act: Act },
    Speak { peer: usize, leg: LegKey },
    Rtp { source: SocketAddr, port: u16, packet: Vec<u8> },
    Written { recording: RecordingId, result: Result<WrittenFile, String> },
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Ring { early_media: bool },
    Answer { talk_ms: Option<u64> },
    Refuse(u16),
    Hangup,
}

/// What the network does to SIP datagrams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Net {
    pub(crate) delay_ms: u64,
    pub(crate) jitter_ms: u64,
    pub(crate) loss: f64,
    pub(crate) duplicate: f64,
    /// Datagrams to the shard of which a few bytes are changed.
    pub(crate) corrupt: f64,
}

/// 20 ms of what each side said; `None`: it said nothing.
type Sides = [Option<Box<[i16]>>; 2];

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) shard: CallShard,
    /// Addresses of certificates the shard has asked for.
    pub(crate) fetches: Vec<String>,
    /// Sent with each call of a peer.
    pub(crate) identity: Option<String>,
    /// Further headers of the calls that come in.
    pub(crate) extra: Vec<(&'static str, String)>,
    /// Numbers on a do-not-call list.
    pub(crate) forbidden: Vec<String>,
    out: Outbox<ShardEffect>,
    queue: BTreeMap<(Instant, u64), Happening>,
    sequence: u64,
    pub(crate) peers: Vec<Peer>,
    pub(crate) ports: BTreeMap<u16, (StreamId, PacketKind)>,
    pub(crate) facts: Vec<ShardEvent>,
    pub(crate) ladder: String,
    pub(crate) net: Net,
    pub(crate) rng: Rng,
    pub(crate) files: BTreeMap<RecordingId, (String, Vec<u8>)>,
    pub(crate) finished: Vec<RecordingId>,
    /// The next ports asked for cannot be bound.
    pub(crate) ports_fail: u32,
    /// Another program has these.
    pub(crate) ports_taken: BTreeSet<u16>,
    /// What forks gave out: 20 ms of what the far end said and heard.
    pub(crate) forked: BTreeMap<u64, Vec<Sides>>,
    pub(crate) disk_full: bool,
    /// Recordings are kept so long, and their rest is lost.
    pub(crate) cut_off_after_ms: Option<u64>,
    /// A hash over everything that left the shard.
    pub(crate) trace: u64,
    pub(crate) show_sip: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        World::with(seed, |_| {})
    }

    pub(crate) fn with(seed: u64, change: impl FnOnce(&mut ShardConfig)) -> World {
        let mut config = ShardConfig {
            seed,
            clock: ClockBase { instant: Instant::ZERO, wall: WallTime::from_unix_millis(1_790_000_000_000) },
            listeners: vec![SHARD.parse().unwrap()],
            realm: REALM.into(),
            media_address: "192.0.2.1".parse().unwrap(),
            media_ports: 20_000..=21_999,
            media_timeout: Duration::from_secs(20),
            ..ShardConfig::default()
        };
        change(&mut config);
        World {
            now: Instant::from_millis(1000),
            shard: CallShard::new(config),
            fetches: Vec::new(),
            identity: None,
            extra: Vec::new(),
            forbidden: Vec::new(),
            out: Outbox::default(),
            queue: BTreeMap::new(),
            sequence: 0,
            peers: Vec::new(),
            ports: BTreeMap::new(),
            facts: Vec::new(),
            ladder: String::new(),
            net: Net { delay_ms: 5, jitter_ms: 0, loss: 0.0, duplicate: 0.0, corrupt: 0.0 },
            rng: Rng::from_seed(seed).child("world"),
            files: BTreeMap::new(),
            finished: Vec::new(),
            ports_fail: 0,
            ports_taken: BTreeSet::new(),
            forked: BTreeMap::new(),
            disk_full: false,
            cut_off_after_ms: None,
            trace: 0,
            show_sip: true,
        }
    }

    /// A peer that knows the shard as its trunk, and registers there if it has a login.
    fn add_peer(&mut self, name: &'static str, login: Option<ua::Login>) -> usize {
        let shard: SocketAddr = SHARD.parse().unwrap();
        let trunk = ua::Trunk {
            key: 1,
            listener: 0,
            address: shard,
            wanted: None,
            domain: if login.is_some() { REALM.into() } else { String::new() },
            sources: vec![(shard.ip(), None)],
            networks: Vec::new(),
            certificate_names: Vec::new(),
            register: login.is_some().then(|| Duration::from_secs(600)),
            login,
            options_interval: None,
            cps_max: 100_000.0,
            overload_control: false,
            pace: sansio::SharedPace::new(1e5),
        };
        let index = self.peers.len();
        let address: SocketAddr = format!("192.0.2.{}:5060", 10 + index).parse().unwrap();
        let config = ua::Config {
            listeners: vec![ua::Listener::udp(address, address.to_string())],
            user_agent: name.into(),
            ..ua::Config::default()
        };
        let mut peer = Peer {
            name,
            address,
            ua: UserAgent::new(config, self.rng.child(name)),
            out: Outbox::default(),
            callees: BTreeMap::new(),
            default: Callee::answers(20),
            legs: Vec::new(),
            speaks: false,
            srtp: None,
            voice: 0x30 + index as u8,
            speaks_in: 0,
            dead: false,
            gone: false,
            says: ua::Carried::default(),
            ended: Vec::new(),
            invites: Vec::new(),
            transfers: Vec::new(),
            next_port: 7000,
        };
        peer.ua.set_trunk(self.now, trunk, &mut peer.out);
        self.peers.push(peer);
        self.drain_peer(index);
        index
    }

    /// A carrier's switch, not yet known to the shard.
    pub(crate) fn carrier_peer(&mut self, name: &'static str) -> usize {
        self.add_peer(name, None)
    }

    /// A carrier that the shard knows as this trunk.
    pub(crate) fn carrier(
        &mut self,
        name: &'static str,
        trunk: TrunkId,
        change: impl FnOnce(&mut TrunkConfig),
    ) -> usize {
        let index = self.carrier_peer(name);
        let mut config = TrunkConfig {
            name: name.into(),
            address: self.peers[index].address.to_string(),
            channels_max: 10_000,
            cps_max: 10_000.0,
            options_interval_ms: 0,
            ..TrunkConfig::default()
        };
        change(&mut config);
        let row = TrunkRow { id: trunk, config, version: 1, created_at: WallTime::default() };
        self.command(ShardCommand::ApplyTrunk(Box::new(row)));
        index
    }

    /// A phone that registers with its name and the password `secret`.
    pub(crate) fn phone_peer(&mut self, name: &'static str) -> usize {
        self.add_peer(name, Some(ua::Login { username: name.into(), password: "secret".into() }))
    }

    /// An agent with a registered phone.
    pub(crate) fn phone(&mut self, name: &'static str, agent: AgentId) -> usize {
        self.phone_with(name, agent, |_| {})
    }

    pub(crate) fn phone_with(
        &mut self,
        name: &'static str,
        agent: AgentId,
        change: impl FnOnce(&mut AgentConfig),
    ) -> usize {
        let mut config = AgentConfig {
            name: name.into(),
            username: name.into(),
            password: "secret".into(),
            ..AgentConfig::default()
        };
        change(&mut config);
        let row = AgentRow { id: agent, config, version: 1, created_at: WallTime::default() };
        self.command(ShardCommand::ApplyAgent(Box::new(row)));
        let index = self.phone_peer(name);
        // A user agent spreads its first REGISTER over a second.
        self.run_for(1500);
        let registered = self.facts.iter().any(
            |event| matches!(event, ShardEvent::Agent(AgentFact::Registered(row)) if row.agent == agent),
        );
        assert!(registered, "the phone registers:\n{}", self.ladder);
        index
    }

    pub(crate) fn command(&mut self, command: ShardCommand) {
        self.shard.handle_input(self.now, ShardInput::Command(command), &mut self.out);
        self.drain_shard(None);
    }

    pub(crate) fn order(&mut self, order: CallOrder, creates: bool) {
        self.command(ShardCommand::Call { order, creates });
    }

    /// A peer calls in with its own session description.
    /// The edge has a file of certificates, or has not.
    pub(crate) fn certificate(&mut self, url: &str, file: Option<String>) {
        let input = ShardInput::Certificate { url: url.into(), file: file.map(Bytes::from) };
        self.shard.handle_input(self.now, input, &mut self.out);
        self.drain_shard(None);
    }

    pub(crate) fn call_in(&mut self, peer: usize, from: &str, to: &str) -> LegKey {
        let rtp = self.next_rtp(peer);
        let sdp = self.peers[peer].describes(rtp);
        self.invite_shard(peer, from, to, rtp, sdp)
    }

    /// The same with an offer of the test's own.
    pub(crate) fn call_in_with(&mut self, peer: usize, from: &str, to: &str, body: &str) -> LegKey {
        let rtp = self.next_rtp(peer);
        self.invite_shard(peer, from, to, rtp, Bytes::from(body.to_owned()))
    }

    fn invite_shard(&mut self, peer: usize, from: &str, to: &str, rtp: SocketAddr, sdp: Bytes) -> LegKey {
        let uri = format!("sip:{to}@{SHARD}");
        let from_uri = format!("sip:{from}@{}", self.peers[peer].address);
        let identity = self.identity.clone();
        let identity = identity.as_deref().map(|value| ("Identity", value));
        let extra = self.extra.clone();
        let extra = extra.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<(&str, &str)> = identity.into_iter().chain(extra).collect();
        let at = &mut self.peers[peer];
        let invite = ua::Invite {
            owner: 0,
            listener: 0,
            destination: SHARD.parse().unwrap(),
            trunk: Some(1),
            symmetric: false,
            replaceable: false,
            request_uri: &uri,
            from_uri: &from_uri,
            from_display: "",
            to_uri: &uri,
            p_asserted_identity: None,
            route: None,
            headers: &headers,
            max_forwards: 70,
            sdp,
        };
        let leg = at.ua.invite(self.now, &invite, &mut at.out).expect("room for a leg");
        at.legs.push(PeerLeg::new(leg, rtp));
        self.drain_peer(peer);
        leg
    }

    /// The peer hangs up its first leg, whatever its state.
    pub(crate) fn peer_hangup(&mut self, peer: usize) {
        if let Some(leg) = self.peers[peer].legs.first().map(|leg| leg.leg) {
            self.act(peer, leg, Act::Hangup);
        }
    }

    /// The peer changes the direction of its first leg.
    pub(crate) fn peer_reinvite(&mut self, peer: usize, direction: &str) {
        let now = self.now;
        let at = &mut self.peers[peer];
        let leg = &at.legs[0];
        let sdp = crate::srtp::with_key(at.srtp, description(leg.rtp, direction, 2));
        at.ua.reinvite(now, leg.leg, &sdp, &mut at.out).expect("the leg is up");
        self.drain_peer(peer);
    }

    /// The peer asks for an offer on its first leg, by a re-INVITE without one.
    pub(crate) fn peer_asks_for_offer(&mut self, peer: usize) {
        let now = self.now;
        let at = &mut self.peers[peer];
        at.ua.reinvite(now, at.legs[0].leg, &[], &mut at.out).expect("the leg is up");
        self.drain_peer(peer);
    }

    /// A datagram of the peer's, in text.
    pub(crate) fn peer_sends_raw(&mut self, peer: usize, text: &str) {
        let (source, bytes) = (self.peers[peer].address, Bytes::from(text.to_owned()));
        self.note_sip(peer, "<-", &bytes);
        self.transmit(|| Happening::ToShard { source, bytes: bytes.clone() });
    }

    /// The peer asks to be replaced on one of its legs: by a number, or by the other end of another leg of its own.
    pub(crate) fn peer_refers(&mut self, peer: usize, leg: usize, number: &str, other: Option<usize>) {
        let now = self.now;
        let at = &mut self.peers[peer];
        let mut target = format!("sip:{number}@{SHARD}");
        if let Some(other) = other {
            let value = at.ua.replaces(at.legs[other].leg).expect("a dialog");
            let escaped: String = value
                .iter()
                .map(|byte| match byte {
                    b';' | b'=' | b'@' => format!("%{byte:02X}"),
                    byte => char::from(*byte).to_string(),
                })
                .collect();
            let _ = write!(target, "?Replaces={escaped}");
        }
        let by = format!("<sip:{}>", at.address);
        at.ua
            .refer(now, at.legs[leg].leg, target.as_bytes(), Some(by.as_bytes()), &mut at.out)
            .expect("the leg is up");
        self.drain_peer(peer);
    }

    /// The peer calls in to take the place of a leg that another peer has.
    pub(crate) fn peer_takes_over(&mut self, peer: usize, of: usize) -> LegKey {
        let value = self.peers[of].ua.replaces(self.peers[of].legs[0].leg).expect("a dialog");
        // What the other peer calls its own tag is the remote one for whoever replaces it.
        self.peer_takes_over_named(peer, &String::from_utf8(value).expect("text"))
    }

    /// The same, of the dialog that a value of Replaces names.
    pub(crate) fn peer_takes_over_named(&mut self, peer: usize, value: &str) -> LegKey {
        let rtp = self.next_rtp(peer);
        let uri = format!("sip:x@{SHARD}");
        let at = &mut self.peers[peer];
        let from_uri = format!("sip:300@{}", at.address);
        let invite = ua::Invite {
            owner: 0,
            listener: 0,
            destination: SHARD.parse().unwrap(),
            trunk: Some(1),
            symmetric: false,
            replaceable: false,
            request_uri: &uri,
            from_uri: &from_uri,
            from_display: "",
            to_uri: &uri,
            p_asserted_identity: None,
            route: None,
            headers: &[("Replaces", value), ("Require", "replaces")],
            max_forwards: 70,
            sdp: crate::srtp::with_key(at.srtp, description(rtp, "sendrecv", 1)),
        };
        let leg = at.ua.invite(self.now, &invite, &mut at.out).expect("room for a leg");
        at.legs.push(PeerLeg::new(leg, rtp));
        self.drain_peer(peer);
        leg
    }

    /// The peer sends INFO on its first leg.
    pub(crate) fn peer_info(&mut self, peer: usize, content_type: &str, body: &str) {
        let now = self.now;
        let at = &mut self.peers[peer];
        at.ua
            .info(now, at.legs[0].leg, content_type.as_bytes(), body.as_bytes(), &mut at.out)
            .expect("the leg is up");
        self.drain_peer(peer);
    }

    /// The peer offers another direction on its first leg by UPDATE.
    pub(crate) fn peer_update(&mut self, peer: usize, direction: &str) {
        let now = self.now;
        let at = &mut self.peers[peer];
        let leg = &at.legs[0];
        let sdp = description(leg.rtp, direction, 2);
        at.ua.update(now, leg.leg, &sdp, &mut at.out).expect("the leg can be updated");
        self.drain_peer(peer);
    }

    /// The same, if there is such a leg and it is in a state to do so.
    pub(crate) fn peer_try_reinvite(&mut self, peer: usize, direction: &str) {
        let now = self.now;
        let at = &mut self.peers[peer];
        if let Some(leg) = at.legs.first() {
            let sdp = description(leg.rtp, direction, 2);
            let _ = at.ua.reinvite(now, leg.leg, &sdp, &mut at.out);
            self.drain_peer(peer);
        }
    }

    /// The peer answers a leg with a description of the test's own.
    pub(crate) fn peer_answer_with(&mut self, peer: usize, leg: LegKey, body: &str) {
        let now = self.now;
        let at = &mut self.peers[peer];
        at.ua.answer(now, leg, body.as_bytes(), &mut at.out).expect("the leg waits for an answer");
        self.drain_peer(peer);
    }

    /// The peer holds a key for 100 ms on its first leg (RFC 4733 §2.5: updates every 20 ms, three ends).
    pub(crate) fn peer_presses(&mut self, peer: usize, event: u8) {
        let leg = &self.peers[peer].legs[0];
        let (source, port) = (leg.rtp, leg.remote.expect("the leg is up").port());
        for n in 0..8_u16 {
            let held = n.min(5) + 1;
            let mut packet = vec![0x80, 101 | if n == 0 { 0x80 } else { 0 }];
            packet.extend((40_000 + n).to_be_bytes());
            packet.extend(7_000_u32.to_be_bytes());
            packet.extend([7, 7, 7, peer as u8]);
            packet.extend([event, if n >= 5 { 0x8A } else { 0x0A }]);
            packet.extend((held * 160).to_be_bytes());
            self.schedule(5 + 20 * u64::from(n), Happening::Rtp { source, port, packet });
        }
    }

    fn next_rtp(&mut self, peer: usize) -> SocketAddr {
        let at = &mut self.peers[peer];
        at.next_port += 2;
        SocketAddr::new(at.address.ip(), at.next_port)
    }

    fn schedule(&mut self, after_ms: u64, what: Happening) {
        self.sequence += 1;
        self.queue.insert((self.now + Duration::from_millis(after_ms), self.sequence), what);
    }

    /// Puts a SIP datagram on the network, which may lose or double it.
    fn transmit(&mut self, make: impl Fn() -> Happening) {
        let copies = if self.rng.chance(self.net.loss) {
            0
        } else if self.rng.chance(self.net.duplicate) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let delay = self.net.delay_ms + self.rng.below(self.net.jitter_ms + 1);
            let mut what = make();
            if let Happening::ToShard { bytes, .. } = &mut what
                && self.rng.chance(self.net.corrupt)
            {
                let mut broken = bytes.to_vec();
                for _ in 0..=self.rng.below(4) {
                    let at = self.rng.below(broken.len() as u64) as usize;
                    broken[at] = self.rng.next_u32() as u8;
                }
                *bytes = Bytes::from(broken);
            }
            self.schedule(delay, what);
        }
    }

    pub(crate) fn run_for(&mut self, ms: u64) {
        self.run_until(self.now + Duration::from_millis(ms));
    }

    pub(crate) fn run_until(&mut self, end: Instant) {
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    /// When something happens next.
    pub(crate) fn next(&self) -> Option<Instant> {
        let peers = self.peers.iter().filter_map(|peer| peer.ua.poll_timeout()).min();
        let queue = self.queue.keys().next().map(|(at, _)| *at);
        [self.shard.poll_timeout(), peers, queue].into_iter().flatten().min()
    }

    /// Does what happens now.
    pub(crate) fn step(&mut self) {
        while let Some(((at, _), _)) = self.queue.first_key_value()
            && *at <= self.now
        {
            let (_, what) = self.queue.pop_first().unwrap();
            self.happen(what);
        }
        if self.shard.poll_timeout().is_some_and(|at| at <= self.now) {
            self.shard.handle_timeout(self.now, &mut self.out);
            self.drain_shard(None);
        }
        for index in 0..self.peers.len() {
            let peer = &mut self.peers[index];
            if peer.ua.poll_timeout().is_some_and(|at| at <= self.now) {
                peer.ua.handle_timeout(self.now, &mut peer.out);
                self.drain_peer(index);
            }
        }
        let findings = self.shard.audit();
        assert!(findings.is_empty(), "{findings:?}\n{}", self.ladder);
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::ToShard { source, bytes } => {
                let input = ShardInput::Datagram { listener: 0, source, bytes };
                self.shard.handle_input(self.now, input, &mut self.out);
                self.drain_shard(None);
            }
            Happening::ToPeer { peer, bytes } => {
                let at = &mut self.peers[peer];
                if at.gone {
                    let quoted = bytes.slice(..bytes.len().min(520));
                    let input = ShardInput::Undelivered { listener: 0, peer: at.address, quoted };
                    self.shard.handle_input(self.now, input, &mut self.out);
                    self.drain_shard(None);
                } else if !at.dead {
                    at.ua.handle_datagram(self.now, 0, SHARD.parse().unwrap(), bytes, &mut at.out);
                    self.drain_peer(peer);
                }
            }
            Happening::Act { peer, leg, act } => self.act(peer, leg, act),
            Happening::Speak { peer, leg } => self.speak(peer, leg),
            Happening::Rtp { source, port, mut packet } => {
                if let Some((stream, kind)) = self.ports.get(&port).copied() {
                    let input = ShardInput::Packet { stream, kind, source, packet: &mut packet };
                    self.shard.handle_input(self.now, input, &mut self.out);
                    self.drain_shard(Some(&packet));
                }
            }
            Happening::Written { recording, result } => {
                let input = ShardInput::RecordingWritten { recording, result };
                self.shard.handle_input(self.now, input, &mut self.out);
                self.drain_shard(None);
            }
        }
    }

    fn act(&mut self, peer: usize, leg: LegKey, act: Act) {
        let now = self.now;
        let at = &mut self.peers[peer];
        let Some(rtp) = at.legs.iter().find(|state| state.leg == leg).map(|state| state.rtp) else { return };
        let sdp = at.describes(rtp);
        at.ua.carry(leg, at.says.clone());
        let Some(state) = at.legs.iter_mut().find(|state| state.leg == leg) else { return };
        match act {
            Act::Ring { early_media } => {
                let (code, body) = if early_media { (183, Some(&sdp[..])) } else { (180, None) };
                let _ = at.ua.provisional(now, leg, code, body, &mut at.out);
                if early_media && at.speaks {
                    self.schedule(20, Happening::Speak { peer, leg });
                }
            }
            Act::Answer { talk_ms } => {
                if at.ua.answer(now, leg, &sdp, &mut at.out).is_ok() {
                    state.up = true;
                    let speaks_already = state.sequence > 0;
                    if let Some(talk_ms) = talk_ms {
                        self.schedule(talk_ms, Happening::Act { peer, leg, act: Act::Hangup });
                    }
                    if !speaks_already {
                        self.schedule(20, Happening::Speak { peer, leg });
                    }
                }
            }
            Act::Refuse(code) => {
                let _ = at.ua.reject(now, leg, code, Reason::default(), &mut at.out);
            }
            Act::Hangup => at.ua.hangup(now, leg, Reason::default(), &mut at.out),
        }
        self.drain_peer(peer);
    }

    fn speak(&mut self, peer: usize, leg: LegKey) {
        let at = &mut self.peers[peer];
        let (speaks, voice, speaks_in) = (at.speaks && !at.dead, at.voice, at.speaks_in);
        let Some(state) = at.legs.iter_mut().find(|state| state.leg == leg) else { return };
        if speaks && let Some(remote) = state.remote {
            state.sequence = state.sequence.wrapping_add(1);
            let mut packet = vec![0x80, speaks_in];
            packet.extend(state.sequence.to_be_bytes());
            packet.extend((u32::from(state.sequence) * 160).to_be_bytes());
            packet.extend([7, 7, 7, peer as u8]);
            packet.extend([voice; 160]);
            if let Some(secure) = &mut state.secure {
                packet = secure.seal(&packet);
            }
            let source = state.rtp;
            self.schedule(5, Happening::Rtp { source, port: remote.port(), packet });
        }
        self.schedule(20, Happening::Speak { peer, leg });
    }

    fn note(&mut self, line: &str) {
        let ms = self.now.as_millis();
        writeln!(self.ladder, "{}.{:03} {line}", ms / 1000, ms % 1000).unwrap();
    }

    fn drain_shard(&mut self, packet: Option<&[u8]>) {
        let effects: Vec<ShardEffect> = self.out.drain().collect();
        for effect in effects {
            for byte in format!("{effect:?}").bytes() {
                self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
            }
            self.effect(effect, packet);
        }
    }

    fn effect(&mut self, effect: ShardEffect, packet: Option<&[u8]>) {
        match effect {
            ShardEffect::SendSip { to, bytes, .. } => {
                let Some(peer) = self.peers.iter().position(|peer| peer.address == to) else { return };
                self.note_sip(peer, "->", &bytes);
                self.transmit(|| Happening::ToPeer { peer, bytes: bytes.clone() });
            }
            ShardEffect::HoldPorts { rtp_port, .. } => {
                if self.ports_taken.remove(&rtp_port) {
                    let input = ShardInput::PortsNotHeld { rtp_port, taken: true };
                    self.shard.handle_input(self.now, input, &mut self.out);
                    self.drain_shard(None);
                }
            }
            ShardEffect::OpenPorts { stream, rtp_port, rtcp_port } => {
                let taken = self.ports_taken.remove(&rtp_port);
                if taken || self.ports_fail > 0 {
                    self.ports_fail -= u32::from(!taken);
                    self.shard.handle_input(self.now, ShardInput::PortsFailed { stream }, &mut self.out);
                    self.drain_shard(None);
                    return;
                }
                for (port, kind) in [(rtp_port, PacketKind::Rtp), (rtcp_port, PacketKind::Rtcp)] {
                    assert!(self.ports.insert(port, (stream, kind)).is_none(), "port {port} is open twice");
                }
            }
            ShardEffect::ClosePorts { stream } => {
                let before = self.ports.len();
                self.ports.retain(|_, (of, _)| *of != stream);
                assert_eq!(before - self.ports.len(), 2, "ports that were not open are closed");
            }
            ShardEffect::Forward { kind, destination, .. } => {
                self.hear(kind, destination, packet.expect("a packet was handed in").to_vec());
            }
            ShardEffect::SendPacket { kind, destination, packet, .. } => {
                self.hear(kind, destination, packet.to_vec());
            }
            ShardEffect::FetchCertificate { url } => self.fetches.push(url),
            // Nobody understands words here.
            ShardEffect::Words { .. } => {}
            ShardEffect::CloseFlow { .. }
            | ShardEffect::Ask(_)
            | ShardEffect::ServerName { .. }
            | ShardEffect::Latched { .. }
            | ShardEffect::Unlatched { .. }
            // Only where the ground has said that it can.
            | ShardEffect::Offload { .. }
            | ShardEffect::Reclaim { .. }
            | ShardEffect::CountOffload { .. }
            | ShardEffect::Dtls(_) => {}
            ShardEffect::Fork(op) => {
                if let ForkOp::Sound { fork, inbound, outbound, .. } = op {
                    self.forked.entry(fork).or_default().push([inbound, outbound]);
                }
            }
            ShardEffect::Record(op) => self.record(op),
            ShardEffect::Event(event) => {
                for line in describe(&event) {
                    self.note(&line);
                }
                let asked = match &event {
                    ShardEvent::Asks { ask, to, .. } => Some((*ask, !self.forbidden.contains(to))),
                    _ => None,
                };
                self.facts.push(event);
                // As the one above would.
                if let Some((ask, allowed)) = asked {
                    self.command(ShardCommand::AnswerAsk { ask, allowed });
                }
            }
        }
    }

    fn hear(&mut self, kind: PacketKind, destination: SocketAddr, packet: Vec<u8>) {
        let leg = self.peers.iter_mut().flat_map(|peer| &mut peer.legs).find(|leg| leg.rtp == destination);
        if let Some(leg) = leg.filter(|_| kind == PacketKind::Rtp) {
            let packet = match &mut leg.secure {
                Some(secure) => secure.open(packet),
                None => packet,
            };
            if packet[1] & 0x7F == 101 {
                leg.events += 1;
                return;
            }
            leg.heard += 1;
            leg.heard_in = packet[1] & 0x7F;
            leg.last_payload = packet[12..].to_vec();
        }
    }

    fn record(&mut self, op: RecordOp) {
        match op {
            RecordOp::Open { recording, file } => {
                assert!(self.files.insert(recording, (file, Vec::new())).is_none());
            }
            RecordOp::Append { recording, samples } => {
                self.files.get_mut(&recording).expect("opened").1.extend_from_slice(&samples);
            }
            RecordOp::Finish { recording, frames } => {
                let (file, samples) = &self.files[&recording];
                assert_eq!(samples.len() as u64, frames * 4);
                self.finished.push(recording);
                let bytes = samples.len() as u64 + 44;
                let result = if self.disk_full {
                    Err("no space left".to_owned())
                } else {
                    let cut_off_after_ms = self.cut_off_after_ms;
                    Ok(WrittenFile { file: file.clone(), bytes, cut_off_after_ms })
                };
                self.schedule(8, Happening::Written { recording, result });
            }
        }
    }

    fn note_sip(&mut self, peer: usize, arrow: &str, bytes: &Bytes) {
        if !self.show_sip {
            return;
        }
        let Ok(message) = sip_proxy::wire::parse(bytes.clone(), &sip_proxy::wire::Limits::default()) else {
            panic!("broken SIP: {}", String::from_utf8_lossy(bytes))
        };
        if message.method() == sip_proxy::wire::Method::Register {
            return;
        }
        let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line).into_owned();
        let mut words = line.split(' ');
        let first = words.next().unwrap_or_default();
        let short = if first == "SIP/2.0" { words.next().unwrap_or_default() } else { first };
        let name = self.peers[peer].name;
        self.note(&format!("us {arrow} {name}: {short}"));
    }

    pub(crate) fn drain_peer(&mut self, peer: usize) {
        let outputs: Vec<ua::Output> = self.peers[peer].out.drain().collect();
        for output in outputs {
            match output {
                ua::Output::Send { bytes, .. } => {
                    if !self.peers[peer].dead {
                        self.note_sip(peer, "<-", &bytes);
                        let source = self.peers[peer].address;
                        self.transmit(|| Happening::ToShard { source, bytes: bytes.clone() });
                    }
                }
                ua::Output::Close { .. } | ua::Output::Ask(_) | ua::Output::ServerName { .. } => {}
                ua::Output::Event(event) => self.peer_event(peer, event),
            }
        }
        if !self.peers[peer].out.is_empty() {
            self.drain_peer(peer);
        }
    }

    fn peer_event(&mut self, peer: usize, event: ua::Event) {
        let now = self.now;
        match event {
            ua::Event::Incoming { leg, request, .. } => {
                let text = String::from_utf8_lossy(request.raw()).into_owned();
                let user = String::from_utf8_lossy(request.request_uri()).into_owned();
                let number = user.trim_start_matches("sip:").split('@').next().unwrap_or_default().to_owned();
                self.peers[peer].invites.push(text);
                let rtp = self.next_rtp(peer);
                let mut state = PeerLeg::new(leg, rtp);
                state.remote = remote_of(request.body());
                let at = &mut self.peers[peer];
                state.secure = at.srtp.and_then(|_| Secured::with(request.body()));
                at.legs.push(state);
                let callee = at.callees.get(&number).unwrap_or(&at.default).clone();
                if let Some(ms) = callee.ring_ms {
                    let act = Act::Ring { early_media: callee.early_media };
                    self.schedule(ms, Happening::Act { peer, leg, act });
                }
                match callee.then {
                    Then::Answer { after_ms, talk_ms } => {
                        self.schedule(after_ms, Happening::Act { peer, leg, act: Act::Answer { talk_ms } });
                    }
                    Then::Refuse { after_ms, code } => {
                        self.schedule(after_ms, Happening::Act { peer, leg, act: Act::Refuse(code) });
                    }
                    Then::Never => {}
                }
            }
            ua::Event::Answered { leg, sdp, .. } => {
                let at = &mut self.peers[peer];
                if let Some(state) = at.legs.iter_mut().find(|state| state.leg == leg) {
                    state.up = true;
                    state.secure = at.srtp.and_then(|_| Secured::with(sdp.as_deref()?));
                    state.remote = sdp.and_then(|sdp| remote_of(&sdp));
                    self.schedule(20, Happening::Speak { peer, leg });
                }
            }
            ua::Event::Reoffer { leg, sdp, .. } => {
                let at = &mut self.peers[peer];
                if let Some(state) = at.legs.iter_mut().find(|state| state.leg == leg) {
                    // (Without an offer there is nothing new yet.)
                    state.remote = sdp.as_deref().and_then(remote_of).or(state.remote);
                    let sdp = crate::srtp::with_key(at.srtp, description(state.rtp, "sendrecv", 3));
                    let _ = at.ua.answer_reinvite(now, leg, &sdp, &mut at.out);
                }
            }
            // The answer to the offer that the peer has asked for, if it has.
            ua::Event::ReofferAnswered { leg, .. } => {
                let at = &mut self.peers[peer];
                if let Some(state) = at.legs.iter().find(|state| state.leg == leg) {
                    let sdp = description(state.rtp, "sendrecv", 4);
                    at.ua.answer_late(now, leg, &sdp, &mut at.out);
                }
            }
            // The answer to an offer that it was asked for.
            ua::Event::ReofferConfirmed { leg, sdp, .. } => {
                if let Some(state) = self.peers[peer].legs.iter_mut().find(|state| state.leg == leg) {
                    state.remote = sdp.as_deref().and_then(remote_of).or(state.remote);
                }
            }
            ua::Event::Request { key, request, .. } => {
                let status = match request.method() {
                    sip_proxy::wire::Method::Other => 501,
                    sip_proxy::wire::Method::Info => ua::info_status(&request),
                    _ => 405,
                };
                let at = &mut self.peers[peer];
                at.ua.respond(now, key, status, &mut at.out);
            }
            ua::Event::Ended(ended) => {
                self.peers[peer].legs.retain(|state| state.leg != ended.leg);
                self.peers[peer].ended.push(ended);
            }
            ua::Event::Refer { leg, target, .. } => {
                let at = &mut self.peers[peer];
                at.transfers.push(format!("asked for {}", String::from_utf8_lossy(&target)));
                at.ua.accept_refer(now, leg, &mut at.out).expect("it is asked for");
                at.ua.notify_refer(now, leg, 200, &mut at.out).expect("the leg stands");
            }
            ua::Event::ReferAnswered { code, .. } => self.peers[peer].transfers.push(code.to_string()),
            ua::Event::ReferProgress { code, done, .. } => {
                self.peers[peer].transfers.push(format!("NOTIFY {code}{}", if done { " done" } else { "" }));
            }
            ua::Event::Info { body, .. } => {
                self.peers[peer].transfers.push(format!("INFO {}", String::from_utf8_lossy(&body)));
            }
            _ => {}
        }
    }

    /// The facts about one call.
    pub(crate) fn facts_of(&self, call: CallId) -> Vec<&CallFact> {
        self.facts
            .iter()
            .filter_map(|event| match event {
                ShardEvent::Call(fact) if engine::call_of(fact) == call => Some(fact),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn transit_records(&self) -> Vec<&CallRecord> {
        let facts = self.facts.iter().filter_map(|event| match event {
            ShardEvent::Transit(facts) => Some(facts),
            _ => None,
        });
        facts
            .flatten()
            .filter_map(|fact| match fact {
                CallFact::TransitEnded { record, .. } => Some(&**record),
                _ => None,
            })
            .collect()
    }

    /// Transit calls that have begun, and how.
    pub(crate) fn transit_started(&self) -> Vec<(CallId, TransitStart)> {
        let of = |fact: &CallFact| match fact {
            CallFact::TransitStarted { call, start } => Some((*call, (**start).clone())),
            _ => None,
        };
        let told = self.facts.iter().filter_map(|event| match event {
            ShardEvent::Transit(facts) => Some(facts),
            _ => None,
        });
        told.flatten().filter_map(of).collect()
    }

    pub(crate) fn fact_names(&self, call: CallId) -> String {
        let names: Vec<String> = self
            .facts_of(call)
            .into_iter()
            .filter(|fact| !matches!(fact, CallFact::Media { .. }))
            .map(|fact| format!("{fact:?}").split([' ', '{']).next().unwrap_or_default().to_owned())
            .collect();
        names.join(" ")
    }

    /// Lets every transaction end and asserts that nothing is left.
    pub(crate) fn assert_at_rest(&mut self) {
        self.run_for(70_000);
        assert_eq!(self.shard.alive(), Vec::<String>::new(), "{}", self.ladder);
        assert!(self.ports.is_empty(), "{:?}", self.ports);
        let mut ended: BTreeMap<CallId, u32> = BTreeMap::new();
        for event in &self.facts {
            if let ShardEvent::Call(CallFact::Ended { call, .. }) = event {
                *ended.entry(*call).or_default() += 1;
            }
        }
        assert!(ended.values().all(|times| *times == 1), "{ended:?}");
    }
}

impl Peer {
    /// Its first description of its sound.
    fn describes(&self, rtp: SocketAddr) -> Bytes {
        let text = String::from_utf8(description(rtp, "sendrecv", 1).to_vec()).expect("text");
        let text = text.replace("RTP/AVP 0 101", &format!("RTP/AVP {} 101", self.speaks_in));
        crate::srtp::with_key(self.srtp, Bytes::from(text))
    }
}

impl PeerLeg {
    fn new(leg: LegKey, rtp: SocketAddr) -> Self {
        PeerLeg {
            leg,
            rtp,
            remote: None,
            up: false,
            sequence: 0,
            heard: 0,
            events: 0,
            heard_in: 0,
            last_payload: Vec::new(),
            secure: None,
        }
    }
}

/// A peer's session description: PCMU and telephone-event.
pub(crate) fn description(rtp: SocketAddr, direction: &str, version: u32) -> Bytes {
    let (ip, port) = (rtp.ip(), rtp.port());
    Bytes::from(format!(
        "v=0\r\no=- 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
         a=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
    ))
}

fn remote_of(sdp: &[u8]) -> Option<SocketAddr> {
    let session = sip_proxy::wire::sdp::parse(sdp).ok()?;
    let audio = session.audio()?;
    Some(SocketAddr::new(audio.connection?.address?, audio.port))
}

/// A fact in a line of a ladder.
fn describe(event: &ShardEvent) -> Vec<String> {
    let short = |debug: String| {
        let mut text = debug;
        for prefix in ["call: call_", "agent: agt_", "recording: rec_", "from: trk_", "to: trk_"] {
            while let Some(at) = text.find(prefix) {
                let word = prefix.split(':').next().unwrap_or_default();
                let tail = text[at + prefix.len()..].get(26..).unwrap_or_default().to_owned();
                let digits = text[at + prefix.len()..].get(..26).unwrap_or_default();
                let digits = digits.trim_start_matches('0').to_owned();
                text = format!("{}{word} {digits}{tail}", &text[..at]);
            }
        }
        text
    };
    match event {
        ShardEvent::Call(CallFact::RecordingReady { recording, .. }) => {
            vec![format!("fact: RecordingReady {}", short(format!("recording: {recording:?}")))]
        }
        ShardEvent::Call(CallFact::RecordingStarted { call, recording, .. }) => {
            let about = short(format!("call: {call:?}, recording: {recording:?}"));
            vec![format!("fact: RecordingStarted {{ {about} }}")]
        }
        // Its many numbers have tests of their own.
        ShardEvent::Call(CallFact::Media { .. }) => Vec::new(),
        ShardEvent::Call(fact) => vec![format!("fact: {}", short(format!("{fact:?}")))],
        ShardEvent::Agent(AgentFact::Registered(_)) => Vec::new(),
        ShardEvent::Agent(fact) => vec![format!("fact: {}", short(format!("{fact:?}")))],
        ShardEvent::Asks { .. } => Vec::new(),
        ShardEvent::Trunk(fact) => vec![format!("fact: {}", short(format!("{fact:?}")))],
        ShardEvent::Transit(facts) => facts
            .iter()
            .map(|fact| match fact {
                CallFact::TransitEnded { record, .. } => format!(
                    "fact: TransitEnded {:?} by {:?}, {:?}, code {:?}",
                    record.outcome, record.ended_by, record.cause, record.sip_code
                ),
                other => {
                    let name = format!("{other:?}");
                    format!("fact: {}", name.split(' ').next().unwrap_or_default())
                }
            })
            .collect(),
    }
}
