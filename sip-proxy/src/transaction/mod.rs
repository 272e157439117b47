//! The four transaction machines of RFC 3261 §17, with the accepted state of RFC 6026.
//!
//! [`Layer`] holds the transactions of one shard. The user agent above sends requests and responses through it
//! and is told what came back; retransmissions in both directions, the ACK to a failed INVITE and all timers
//! stay in here.

mod client;
mod server;
mod traffic;

use core::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use sansio::{Deadlines, Instant, Outbox, Rng, Slab, TimerKey};

pub(crate) use client::{Client, ClientKey, ClientUser, Heard, Unanswered};
pub(crate) use server::{Absorbed, Server, ServerKey};
pub use traffic::{Direction, SIZE_BOUNDS, Side, Traffic};

use crate::hash::{HashedMap, Secret};
use crate::mark::{MARK_BYTES, Mark};
use crate::transport::Outlets;
use crate::ua::{Counters, LegKey, Output, Timers};
use crate::wire::BRANCH_COOKIE;

/// Bytes of a branch of ours.
pub(crate) const BRANCH_BYTES: usize = BRANCH_COOKIE.len() + MARK_BYTES;

/// Why a deadline was armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// An INVITE that was held back may leave.
    Held(u64),
    /// Timers A and E.
    ClientRetransmit(ClientKey),
    /// Timers B and F, and the wait for a late answer to an INVITE given up.
    ClientTimeout(ClientKey),
    /// Timer G.
    ServerRetransmit(ServerKey),
    /// Timer H.
    ServerTimeout(ServerKey),
    /// Send the 2xx again (RFC 3261 §13.3.1.4).
    SuccessRetransmit(LegKey),
    /// No ACK to our 2xx for 64·T1.
    SuccessTimeout(LegKey),
    /// A target has not given a sign of life while others wait.
    Target(LegKey),
    /// Our INVITE rings beyond `ringing_max`, or 64·T1 have passed since its CANCEL.
    Ringing(LegKey),
    /// A re-INVITE that met another one may be tried again.
    Glare(LegKey),
    /// The session is to be refreshed, or is over.
    Session(LegKey),
    /// Send the reliable provisional response again (RFC 3262 §3).
    ReliableRetransmit(LegKey),
    /// No PRACK to it for 64·T1.
    ReliableTimeout(LegKey),
    /// What a trunk's targets have asked for may have lapsed.
    Overload(u64),
    /// Next OPTIONS to a trunk.
    TrunkOptions(u64),
    /// Next REGISTER to a trunk.
    TrunkRegister(u64),
    /// Our registration at a trunk has lapsed.
    TrunkLapsed(u64),
    /// The contact of an account that lapses first may have lapsed.
    ContactLapse(u64),
    /// Next OPTIONS to the phone of an account.
    PhoneOptions(u64),
}

/// A transaction that has done its work and only absorbs retransmissions until it is forgotten: timers D, K, M and
/// I, J, L.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lingering {
    Client(ClientKey),
    Server(ServerKey),
}

/// Nobody notices when a lingering transaction is forgotten a little later, so a sleeping shard is woken for many of
/// them at once, at multiples of this. There are four to a call: woken for each, the shard would wake twice as often
/// as its peers make it.
const LINGERING_GRAIN_MS: u64 = 256;

/// What a timer means to those above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expired {
    /// Was dealt with in here.
    Nothing,
    /// Nobody answered this request. The transaction is gone, except that an INVITE's goes on listening for a
    /// late answer.
    Unanswered(Unanswered),
}

/// The transactions of one shard, their deadlines, and what is needed to send.
pub(crate) struct Layer {
    pub(crate) timers: Timers,
    pub(crate) shard: u16,
    pub(crate) deadlines: Deadlines<Why>,
    lingering: Deadlines<Lingering>,
    pub(crate) rng: Rng,
    pub(crate) secret: Secret,
    pub(crate) counters: Counters,
    pub(crate) traffic: Traffic,
    /// Where messages are written before they become [`Bytes`] of their exact size.
    pub(crate) scratch: BytesMut,
    /// Over what messages leave.
    pub(crate) outlets: Outlets,
    clients: Slab<Client>,
    servers: Slab<Server>,
    index: HashedMap<ServerKey>,
    /// Keys of the request that [`Layer::receive_request`] has just called new: its own, and the one that copies
    /// along other paths share (0 when it cannot have any).
    fresh: [u128; 2],
}

impl core::fmt::Debug for Layer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Layer")
            .field("clients", &self.clients.len())
            .field("servers", &self.servers.len())
            .finish_non_exhaustive()
    }
}

impl Layer {
    pub(crate) fn new(
        timers: Timers,
        shard: u16,
        clients_max: usize,
        servers_max: usize,
        mut rng: Rng,
        outlets: Outlets,
    ) -> Self {
        Layer {
            timers: timers.bounded(),
            shard: shard & 0x7fff,
            deadlines: Deadlines::new(),
            lingering: Deadlines::new(),
            secret: Secret::new(&mut rng),
            rng,
            counters: Counters::default(),
            traffic: Traffic::default(),
            scratch: BytesMut::with_capacity(4096),
            outlets,
            clients: Slab::with_limit(clients_max),
            servers: Slab::with_limit(servers_max),
            index: HashedMap::default(),
            fresh: [0; 2],
        }
    }

    /// Sends a message once. A request that was written for UDP gets the Via of the transport it leaves by.
    pub(crate) fn send(&mut self, listener: u8, to: SocketAddr, bytes: Bytes, out: &mut Outbox<Output>) {
        self.counters.datagrams_sent += 1;
        let is_request = !bytes.starts_with(b"SIP/");
        let (to, bytes) = match self.is_reliable(listener) {
            true if is_request => (to, self.outlets.stamp(listener, bytes)),
            true => {
                let (to, name) = self.outlets.way_back(listener, to, &bytes);
                if let Some(name) = name {
                    out.push(Output::ServerName { listener, to, name, answers: true });
                }
                (to, bytes)
            }
            false => (to, bytes),
        };
        self.traffic.sent(self.outlets.transport(listener), &bytes);
        out.push(Output::Send { listener, to, bytes });
    }

    /// Nothing that is sent over this listener is sent again by us (RFC 3261 §17).
    pub(crate) fn is_reliable(&self, listener: u8) -> bool {
        self.outlets.transport(listener).is_reliable()
    }

    /// What was written into the scratch buffer, as a message of its own.
    pub(crate) fn written(&self) -> Bytes {
        Bytes::copy_from_slice(&self.scratch)
    }

    /// How many client transactions, server transactions, entries in the index.
    pub(crate) fn live(&self) -> (usize, usize, usize) {
        (self.clients.len(), self.servers.len(), self.index.len())
    }

    /// When to deal with what is due next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let forget = self
            .lingering
            .next()
            .map(|at| Instant::from_millis(at.as_millis().next_multiple_of(LINGERING_GRAIN_MS)));
        [self.deadlines.next(), forget].into_iter().flatten().min()
    }

    /// How many deadlines are armed.
    pub(crate) fn armed(&self) -> usize {
        self.deadlines.len() + self.lingering.len()
    }

    /// Forgets the transactions that have lingered long enough.
    pub(crate) fn forget_lingering(&mut self, now: Instant) {
        while let Some((_, lingering)) = self.lingering.pop_due(now) {
            match lingering {
                Lingering::Client(key) => self.remove_client(key),
                Lingering::Server(key) => self.remove_server(key),
            }
        }
    }

    /// Deals with a timer of a transaction.
    pub(crate) fn expired(&mut self, now: Instant, why: Why, out: &mut Outbox<Output>) -> Expired {
        match why {
            Why::ClientRetransmit(key) => self.client_retransmit(now, key, out),
            Why::ClientTimeout(key) => return self.client_timeout(now, key),
            Why::ServerRetransmit(key) => self.server_retransmit(now, key, out),
            Why::ServerTimeout(key) => self.remove_server(key),
            _ => {}
        }
        Expired::Nothing
    }

    pub(crate) fn disarm(&mut self, timer: &mut Option<TimerKey>) {
        if let Some(timer) = timer.take() {
            self.deadlines.cancel(timer);
        }
    }

    fn branch(&self, key: ClientKey, random: u64) -> [u8; BRANCH_BYTES] {
        let mut branch = [0; BRANCH_BYTES];
        branch[..BRANCH_COOKIE.len()].copy_from_slice(BRANCH_COOKIE);
        let mark = Mark { shard: self.shard, key: key.to_bits(), random };
        branch[BRANCH_COOKIE.len()..].copy_from_slice(&mark.text());
        branch
    }
}
