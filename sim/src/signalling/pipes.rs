//! Connections between the daemon and its peers, like those of TCP and TLS: made by a handshake, in order, whole or
//! not at all, in pieces of any size; they stall, break, and are refused.
//!
//! What comes out is cut into messages by the framer that the daemon's edge uses.

use super::happening::Happening;
use super::scene::By;
use super::world::{Peer, World};
use bytes::Bytes;
use engine::ShardInput;
use sansio::{Duration, Instant, Rng};
use sip_proxy::transport::{Frame, Framer};
use sip_proxy::wire::Limits;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The daemon's listener and the peer's end: what the daemon names a connection by.
pub(super) type PipeKey = (u8, SocketAddr);

/// What happens to connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct PipePlan {
    /// A message is cut at so many places at most.
    pub(crate) pieces_max: u32,
    /// Share of pieces before which nothing passes for some seconds.
    pub(crate) stall: f64,
    /// When connections break: all, or those of one peer (a number beyond their count begins anew).
    pub(crate) resets: Vec<(bool, u32, Instant)>,
    /// Times in which peers refuse new ones.
    pub(crate) refused: Vec<(Instant, Instant)>,
}

/// One direction.
#[derive(Debug)]
struct Lane {
    framer: Framer,
    /// When the piece before comes out.
    last: Instant,
}

impl Lane {
    fn new() -> Self {
        Lane { framer: Framer::new(Limits::default()), last: Instant::ZERO }
    }
}

#[derive(Debug)]
struct Pipe {
    peer: usize,
    number: u64,
    /// Asked for by the daemon.
    by_daemon: bool,
    made: bool,
    /// Written before it stood.
    waiting: Vec<Bytes>,
    to_daemon: Lane,
    to_peer: Lane,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Pipes {
    plan: PipePlan,
    rng: Rng,
    healed: bool,
    by_key: BTreeMap<PipeKey, Pipe>,
    last_number: u64,
    last_port: u16,
    /// When a connection of a peer last broke or was refused.
    broken: BTreeMap<usize, Instant>,
}

/// The daemon's listener for a transport.
pub(super) fn listener_of(by: By) -> u8 {
    match by {
        By::Udp => 0,
        By::Tcp => 1,
        By::Tls => 2,
    }
}

impl Pipes {
    pub(super) fn new(plan: PipePlan, rng: Rng) -> Self {
        Pipes {
            plan,
            rng,
            healed: false,
            by_key: BTreeMap::new(),
            last_number: 0,
            last_port: 40_000,
            broken: BTreeMap::new(),
        }
    }

    /// From now on nothing stalls, breaks or is refused.
    pub(super) fn heal(&mut self) {
        self.healed = true;
    }

    pub(super) fn resets(&self) -> &[(bool, u32, Instant)] {
        &self.plan.resets
    }

    /// Whether a connection of this peer may have broken, or been refused, at any time since then.
    pub(super) fn was_broken(&self, peer: usize, peers: usize, since: Instant) -> bool {
        let of_peer = |everybody: bool, whose: u32| everybody || whose as usize % peers == peer;
        self.plan.resets.iter().any(|(everybody, whose, at)| of_peer(*everybody, *whose) && *at >= since)
            || self.broken_at(peer).is_some_and(|at| at >= since)
    }

    /// When a connection of this peer last broke or was refused, if ever.
    pub(super) fn broken_at(&self, peer: usize) -> Option<Instant> {
        self.broken.get(&peer).copied()
    }

    /// Whose connection this is.
    pub(super) fn owner(&self, key: PipeKey) -> Option<usize> {
        self.by_key.get(&key).map(|pipe| pipe.peer)
    }

    fn refuses(&self, now: Instant) -> bool {
        !self.healed && self.plan.refused.iter().any(|(from, to)| *from <= now && now < *to)
    }

    fn insert(&mut self, key: PipeKey, peer: usize, by_daemon: bool) -> u64 {
        self.last_number += 1;
        let pipe = Pipe {
            peer,
            number: self.last_number,
            by_daemon,
            made: false,
            waiting: Vec::new(),
            to_daemon: Lane::new(),
            to_peer: Lane::new(),
        };
        self.by_key.insert(key, pipe);
        self.last_number
    }

    /// The connection a peer speaks over: its newest.
    fn of_peer(&self, peer: usize) -> Option<PipeKey> {
        let own = self.by_key.iter().filter(|(_, pipe)| pipe.peer == peer);
        own.max_by_key(|(_, pipe)| pipe.number).map(|(key, _)| *key)
    }
}

impl World {
    /// The daemon writes to a peer, over a connection that is made if there is none.
    pub(super) fn write_to_peer(&mut self, key: PipeKey, peer: usize, by: By, bytes: Bytes) {
        if !self.pipes.by_key.contains_key(&key) {
            let number = self.pipes.insert(key, peer, true);
            // What is behind a translator of addresses cannot be connected to, nor the end of another connection.
            let listens =
                !matches!(self.peers[peer], Peer::Phone(_)) && self.peers[peer].endpoint().address == key.1;
            let made = listens && !self.pipes.refuses(self.now);
            let at = self.handshake(peer, by);
            self.at(at, Happening::PipeMade { key, number, made });
        }
        self.write(key, false, bytes);
    }

    /// A peer writes to the daemon, likewise.
    pub(super) fn write_to_daemon(&mut self, peer: usize, bytes: Bytes) {
        let endpoint = self.peers[peer].endpoint();
        let (by, ip) = (endpoint.by, endpoint.address.ip());
        let key = self.pipes.of_peer(peer).unwrap_or_else(|| {
            self.pipes.last_port = self.pipes.last_port.checked_add(1).unwrap_or(40_000);
            (listener_of(by), SocketAddr::new(ip, self.pipes.last_port))
        });
        if !self.pipes.by_key.contains_key(&key) {
            let number = self.pipes.insert(key, peer, false);
            let at = self.handshake(peer, by);
            self.at(at, Happening::PipeMade { key, number, made: true });
        }
        self.write(key, true, bytes);
    }

    /// One way there and back for TCP, two more for TLS.
    fn handshake(&mut self, peer: usize, by: By) -> Instant {
        let ways = if by == By::Tls { 6 } else { 2 };
        (0..ways).fold(self.now, |at, _| self.net.flow(at, peer))
    }

    fn write(&mut self, key: PipeKey, to_daemon: bool, bytes: Bytes) {
        let now = self.now;
        let Pipes { by_key, rng, plan, healed, .. } = &mut self.pipes;
        let Some(pipe) = by_key.get_mut(&key) else { return };
        if !pipe.made {
            return pipe.waiting.push(bytes);
        }
        let (peer, number) = (pipe.peer, pipe.number);
        let lane = if to_daemon { &mut pipe.to_daemon } else { &mut pipe.to_peer };
        let mut cuts: Vec<usize> = (0..rng.below(u64::from(plan.pieces_max) + 1))
            .map(|_| rng.below(bytes.len() as u64 + 1) as usize)
            .chain([0, bytes.len()])
            .collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        for cut in cuts.windows(2).filter(|cut| cut[0] < cut[1]) {
            let mut at = self.net.flow(now, peer).max(lane.last);
            if !*healed && rng.chance(plan.stall) {
                at += Duration::from_millis(500 + rng.below(6_000));
            }
            lane.last = at;
            pieces.push((at, bytes.slice(cut[0]..cut[1])));
        }
        for (at, bytes) in pieces {
            self.at(at, Happening::Piece { key, number, to_daemon, bytes });
        }
    }

    /// The handshake is over.
    pub(super) fn pipe_made(&mut self, key: PipeKey, number: u64, made: bool) {
        let (listener, peer) = key;
        let Some(pipe) = self.pipes.by_key.get_mut(&key).filter(|pipe| pipe.number == number) else { return };
        if self.node.is_none() || !made {
            let owner = pipe.peer;
            self.pipes.by_key.remove(&key);
            self.pipes.broken.insert(owner, self.now);
            self.trace.note(self.now, format_args!("{} refuses a connection", self.name(owner)));
            return self.feed_shard(ShardInput::FlowRefused { listener, peer });
        }
        pipe.made = true;
        let (to_daemon, waiting) = (!pipe.by_daemon, std::mem::take(&mut pipe.waiting));
        self.feed_shard(ShardInput::FlowOpened { listener, peer, names: Vec::new() });
        for bytes in waiting {
            self.write(key, to_daemon, bytes);
        }
    }

    /// A piece comes out at the other end.
    pub(super) fn piece(&mut self, key: PipeKey, number: u64, to_daemon: bool, bytes: &Bytes) {
        let Some(pipe) = self.pipes.by_key.get_mut(&key).filter(|pipe| pipe.number == number) else { return };
        let peer = pipe.peer;
        let lane = if to_daemon { &mut pipe.to_daemon } else { &mut pipe.to_peer };
        lane.framer.push(bytes);
        let mut messages = Vec::new();
        loop {
            match lane.framer.next_frame() {
                Ok(Some(Frame::Message(message))) => messages.push(message),
                Ok(Some(Frame::Ping)) => {}
                Ok(None) => break,
                Err(fault) => {
                    let detail = format!("{key:?}: {fault:?}");
                    self.found.add(self.now, "what goes into a connection can be cut up again", detail);
                    break;
                }
            }
        }
        for message in messages {
            if to_daemon {
                self.deliver(key.0, key.1, message);
            } else {
                self.hand_to_peer(peer, &message);
            }
        }
    }

    /// Connections break. What was under way in them is lost.
    pub(super) fn reset(&mut self, everybody: bool, whose: u32) {
        let whose = whose as usize % self.peers.len().max(1);
        let keys: Vec<PipeKey> = self
            .pipes
            .by_key
            .iter()
            .filter(|(_, pipe)| everybody || pipe.peer == whose)
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            self.break_pipe(key);
        }
    }

    /// One connection breaks; both ends notice.
    pub(super) fn break_pipe(&mut self, key: PipeKey) {
        let (listener, peer) = key;
        let Some(pipe) = self.pipes.by_key.remove(&key) else { return };
        self.trace.note(self.now, format_args!("{}: its connection {peer} breaks", self.name(pipe.peer)));
        self.pipes.broken.insert(pipe.peer, self.now);
        if pipe.made {
            self.feed_shard(ShardInput::FlowClosed { listener, peer });
        } else if pipe.by_daemon {
            self.feed_shard(ShardInput::FlowRefused { listener, peer });
        }
        let now = self.now;
        if let Peer::Phone(phone) = &mut self.peers[pipe.peer] {
            phone.hung(now, &mut self.acts);
            self.carry_out_peer(pipe.peer);
        }
    }

    /// The process is gone, and its sockets with it.
    pub(super) fn break_all_pipes(&mut self) {
        for key in self.pipes.by_key.keys().copied().collect::<Vec<_>>() {
            self.break_pipe(key);
        }
    }
}
