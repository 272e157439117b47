//! Server transactions (RFC 3261 §17.2, RFC 6026 §7.1).
//!
//! ```text
//!  INVITE   Proceeding ──2xx──▶ Accepted            others   (answered at once) Completed
//!               │ 3xx-6xx          │ L                                           │ J
//!               ▼                  ▼                                             ▼
//!           Completed ─ H ──────▶ gone                                          gone
//!               │ ACK              ▲
//!               ▼                  │ I
//!           Confirmed ─────────────┘
//! ```

use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use sansio::{Instant, Key, Outbox, TimerKey};

use super::traffic::Side;
use super::{Layer, Lingering, Why};
use crate::ua::{LegKey, Output};
use crate::wire::{Message, Method};

/// A handle to a server transaction.
pub(crate) type ServerKey = Key<Server>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ServerState {
    /// INVITE without a final response, or another request that is answered later.
    Proceeding,
    /// INVITE: refused; timers G and H. Others: answered; timer J.
    Completed,
    /// INVITE: the refusal was acknowledged; timer I.
    Confirmed,
    /// INVITE: answered 2xx; timer L.
    Accepted,
}

/// One server transaction.
#[derive(Debug)]
pub(crate) struct Server {
    method: Method,
    invite: bool,
    state: ServerState,
    pub(crate) listener: u8,
    /// Where responses go.
    pub(crate) to: SocketAddr,
    /// The leg of an INVITE without a final response.
    pub(crate) leg: Option<LegKey>,
    /// INVITE: its CSeq, which its ACK will carry.
    pub(crate) cseq: u32,
    /// INVITE: it had no description, so that our 2xx makes the offer.
    pub(crate) bare: bool,
    /// INVITE: the header lines all its responses share (Via, From, To with our tag, Call-ID, CSeq).
    pub(crate) head: Bytes,
    /// INVITE: its Record-Route lines, for responses that make a dialog.
    pub(crate) record_routes: Bytes,
    /// The last response, sent again to each retransmission of the request.
    last: Bytes,
    keys: [u128; 2],
    interval: Duration,
    retransmit: Option<TimerKey>,
    /// Timer H.
    timeout: Option<TimerKey>,
    /// Timers I, J, L.
    linger: Option<TimerKey>,
}

/// What became of a request that may belong to a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absorbed {
    /// It is new.
    New,
    /// It was a retransmission, or the ACK to a refusal: done.
    Done,
    /// The same request came along two paths (RFC 3261 §8.2.2.2): answer 482.
    Merged,
}

impl Layer {
    /// The key of a request's transaction (RFC 3261 §17.2.3) under the given method.
    ///
    /// The RFC matches branch, sent-by and method. Here it is branch, Call-ID, From tag and CSeq number instead of
    /// sent-by: as selective, and it still finds the INVITE of a CANCEL whose sent-by was changed by a NAT.
    /// Without the magic cookie (RFC 2543) sent-by and Request-URI take the place of the branch.
    pub(crate) fn server_key(&self, request: &Message, method: &[u8]) -> u128 {
        let via = request.top_via();
        let from_tag = request.from_tag().unwrap_or_default();
        let number = request.cseq().0.to_be_bytes();
        if via.has_rfc3261_branch() {
            let branch = via.branch.unwrap_or_default();
            return self.secret.hash(&[b"3261", branch, request.call_id(), from_tag, &number, method]);
        }
        let port = via.port.unwrap_or(5060).to_be_bytes();
        self.secret.hash(&[
            b"2543",
            via.host,
            &port,
            via.branch.unwrap_or_default(),
            request.request_uri(),
            request.call_id(),
            from_tag,
            &number,
            method,
        ])
    }

    /// What copies of one request share whatever path they took (RFC 3261 §8.2.2.2).
    fn merged_key(&self, request: &Message) -> u128 {
        let from_tag = request.from_tag().unwrap_or_default();
        let number = request.cseq().0.to_be_bytes();
        self.secret.hash(&[b"merged", request.call_id(), from_tag, &number, request.method_text()])
    }

    /// Looks for the transaction of a request that is not ACK; answers a retransmission. When the request is new,
    /// [`Layer::begin_invite`] or [`Layer::answer_once`] may follow.
    pub(crate) fn receive_request(&mut self, request: &Message, out: &mut Outbox<Output>) -> Absorbed {
        let key = self.server_key(request, request.method_text());
        let Some(&server) = self.index.get(key) else {
            let merged = if request.to_tag().is_none() { self.merged_key(request) } else { 0 };
            self.fresh = [key, merged];
            let copy = merged != 0 && self.index.contains_key(merged);
            return if copy { Absorbed::Merged } else { Absorbed::New };
        };
        self.counters.retransmissions_received += 1;
        self.counters.requests_repeated += 1;
        self.repeat(server, out);
        Absorbed::Done
    }

    /// Sends the last response again. RFC 6026 §7.1: none in the accepted state, there the dialog repeats its 2xx.
    fn repeat(&mut self, key: ServerKey, out: &mut Outbox<Output>) {
        let Some(server) = self.servers.get(key) else { return };
        let (listener, to, last) = (server.listener, server.to, server.last.clone());
        if !last.is_empty() {
            self.counters.retransmissions_sent += 1;
            self.counters.responses_repeated += 1;
            self.send(listener, to, last, out);
        }
    }

    /// The INVITE transaction an ACK or CANCEL belongs to.
    pub(crate) fn invite_of(&self, request: &Message) -> Option<ServerKey> {
        self.index.get(self.server_key(request, Method::Invite.as_str().as_bytes())).copied()
    }

    /// An ACK has come. True when it was the ACK to a refusal and is done with; false when it may be one to a 2xx.
    pub(crate) fn receive_ack(&mut self, now: Instant, ack: &Message) -> bool {
        let Some(key) = self.invite_of(ack) else { return false };
        let Some(server) = self.servers.get_mut(key) else { return false };
        match server.state {
            ServerState::Completed => {
                server.state = ServerState::Confirmed;
                server.last = Bytes::new();
                let listener = server.listener;
                self.stop_server_timers(key);
                let wait = if self.is_reliable(listener) { Duration::ZERO } else { self.timers.t4 };
                self.linger_server(key, now + wait); // I
                true
            }
            ServerState::Confirmed => true,
            // RFC 2543 peers acknowledge a 2xx within the transaction.
            ServerState::Accepted | ServerState::Proceeding => false,
        }
    }

    /// Begins the transaction of the request that was just received and is answered later: INVITE, or an UPDATE
    /// with an offer. `None` when there are too many.
    pub(crate) fn begin_invite(
        &mut self,
        request: &Message,
        listener: u8,
        to: SocketAddr,
        head: Bytes,
        record_routes: Bytes,
    ) -> Option<ServerKey> {
        self.insert_server(Server {
            method: request.method(),
            invite: request.method() == Method::Invite,
            state: ServerState::Proceeding,
            listener,
            to,
            leg: None,
            cseq: request.cseq().0,
            bare: request.session_description().is_none(),
            head,
            record_routes,
            last: Bytes::new(),
            keys: self.fresh,
            interval: self.timers.t1,
            retransmit: None,
            timeout: None,
            linger: None,
        })
    }

    /// Answers the request that was just received, which is not INVITE, and remembers the answer for its retransmissions (timer J).
    /// When there are too many transactions, it is only sent.
    pub(crate) fn answer_once(
        &mut self,
        now: Instant,
        method: Method,
        listener: u8,
        to: SocketAddr,
        response: Bytes,
        out: &mut Outbox<Output>,
    ) {
        self.send(listener, to, response.clone(), out);
        let inserted = self.insert_server(Server {
            method,
            invite: false,
            state: ServerState::Completed,
            listener,
            to,
            leg: None,
            cseq: 0,
            bare: false,
            head: Bytes::new(),
            record_routes: Bytes::new(),
            last: response,
            keys: self.fresh,
            interval: Duration::ZERO,
            retransmit: None,
            timeout: None,
            linger: None,
        });
        if let Some(key) = inserted {
            let wait = if self.is_reliable(listener) { Duration::ZERO } else { self.timers.transaction() };
            self.linger_server(key, now + wait); // J
        }
    }

    fn insert_server(&mut self, server: Server) -> Option<ServerKey> {
        let (keys, method) = (server.keys, server.method);
        let key = self.servers.insert(server).ok()?;
        self.traffic.begun(Side::Server, method);
        for hash in keys {
            if hash != 0 {
                self.index.insert(hash, key);
            }
        }
        Some(key)
    }

    pub(crate) fn server(&self, key: ServerKey) -> Option<&Server> {
        self.servers.get(key)
    }

    pub(crate) fn server_mut(&mut self, key: ServerKey) -> Option<&mut Server> {
        self.servers.get_mut(key)
    }

    /// Whether the request still waits for its final response.
    pub(crate) fn is_proceeding(&self, key: ServerKey) -> bool {
        self.servers.get(key).is_some_and(|server| server.state == ServerState::Proceeding)
    }

    /// Sends a response to an INVITE (or to what else is answered later) and moves its transaction.
    pub(crate) fn respond_invite(
        &mut self,
        now: Instant,
        key: ServerKey,
        status: u16,
        response: Bytes,
        out: &mut Outbox<Output>,
    ) {
        let Some(server) = self.servers.get_mut(key) else { return };
        if server.state != ServerState::Proceeding {
            return;
        }
        let (listener, to) = (server.listener, server.to);
        if status < 200 {
            server.last = response.clone();
        } else {
            server.leg = None;
            server.head = Bytes::new();
            server.record_routes = Bytes::new();
            let ends_at = now + self.timers.transaction();
            let waits_for_ack = server.invite && status >= 300;
            if !server.invite {
                server.state = ServerState::Completed;
                server.last = response.clone();
            } else if status < 300 {
                server.state = ServerState::Accepted;
                server.last = Bytes::new();
            } else {
                server.state = ServerState::Completed;
                server.last = response.clone();
                if !self.outlets.transport(listener).is_reliable() {
                    let timer = self.deadlines.arm(now + self.timers.t1, Why::ServerRetransmit(key)); // G
                    if let Some(server) = self.servers.get_mut(key) {
                        server.retransmit = Some(timer);
                    }
                }
            }
            if waits_for_ack {
                self.arm_server_timeout(key, ends_at); // H
            } else {
                self.linger_server(key, ends_at); // L, J
            }
        }
        self.send(listener, to, response, out);
    }

    /// Timer G: doubles up to T2.
    pub(super) fn server_retransmit(&mut self, now: Instant, key: ServerKey, out: &mut Outbox<Output>) {
        let t2 = self.timers.t2;
        let Some(server) = self.servers.get_mut(key) else { return };
        if server.state != ServerState::Completed {
            return;
        }
        server.interval = (server.interval * 2).min(t2);
        server.retransmit = Some(self.deadlines.arm(now + server.interval, Why::ServerRetransmit(key)));
        self.repeat(key, out);
    }

    pub(crate) fn remove_server(&mut self, key: ServerKey) {
        self.stop_server_timers(key);
        if let Some(server) = self.servers.remove(key) {
            self.traffic.ended(Side::Server, server.method);
            for hash in server.keys {
                // Another transaction may have taken the merged key since.
                if self.index.get(hash) == Some(&key) {
                    self.index.remove(hash);
                }
            }
        }
    }

    fn stop_server_timers(&mut self, key: ServerKey) {
        let Some(server) = self.servers.get_mut(key) else { return };
        let (retransmit, timeout) = (server.retransmit.take(), server.timeout.take());
        for timer in [retransmit, timeout].into_iter().flatten() {
            self.deadlines.cancel(timer);
        }
        if let Some(timer) = server.linger.take() {
            self.lingering.cancel(timer);
        }
    }

    fn linger_server(&mut self, key: ServerKey, until: Instant) {
        let timer = self.lingering.arm(until, Lingering::Server(key));
        if let Some(server) = self.servers.get_mut(key) {
            server.linger = Some(timer);
        }
    }

    fn arm_server_timeout(&mut self, key: ServerKey, at: Instant) {
        let timer = self.deadlines.arm(at, Why::ServerTimeout(key));
        if let Some(before) = self.servers.get_mut(key).and_then(|server| server.timeout.replace(timer)) {
            self.deadlines.cancel(before);
        }
    }

    /// A request other than INVITE that those above answer: its sender waits no longer than 64·T1 (timer F), so that
    /// is how long it is remembered without an answer.
    pub(crate) fn await_answer(&mut self, now: Instant, key: ServerKey) {
        self.arm_server_timeout(key, now + self.timers.transaction());
    }
}
