//! Client transactions (RFC 3261 §17.1, RFC 6026 §7.2).
//!
//! ```text
//!  INVITE   Calling ──1xx──▶ Proceeding          others   Trying ──1xx──▶ Proceeding
//!              │  │ 3xx-6xx │  │ 2xx                         │  2xx-6xx      │
//!              │  ▼         ▼  ▼                             └───▶ Completed ◀┘
//!              │ Completed   Accepted                                 │ K
//!            B ▼    │ D         │ M                                   ▼
//!             Lost ─┴───────────┴──▶ gone                            gone
//! ```
//! `Lost` is ours: an INVITE nobody answered listens for another 64·T1, so that a late 2xx gets its ACK and BYE
//! instead of leaving a phone off the hook.

use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use sansio::{Instant, Key, Outbox, TimerKey};

use super::traffic::Side;
use super::{BRANCH_BYTES, Expired, Layer, Lingering, Why};
use crate::mark::Mark;
use crate::ua::{LegKey, Output};
use crate::wire::{BRANCH_COOKIE, HeaderName, Limits, Message, Method, Transport, Writer, parse};

/// A handle to a client transaction.
pub(crate) type ClientKey = Key<Client>;

/// Forks of one INVITE whose 2xx were refused and are remembered. More are answered with ACK and BYE each time.
const REFUSED_FORKS_MAX: usize = 16;

/// Who sent the request and hears what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientUser {
    Nobody,
    /// The INVITE that makes the leg.
    Invite(LegKey),
    /// A re-INVITE.
    Reinvite(LegKey),
    /// An UPDATE.
    Update(LegKey),
    /// A REFER of ours.
    Refer(LegKey),
    /// A NOTIFY about a REFER of the peer's.
    Notify(LegKey),
    /// A request of a peer's that was sent on: the transaction that waits for its answer.
    Relayed(super::ServerKey),
    /// The BYE that ends the leg.
    Bye(LegKey),
    TrunkOptions(u64),
    TrunkRegister(u64),
    /// An OPTIONS to the phone of an account.
    PhoneOptions(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientState {
    /// INVITE without a response. Timers A and B run.
    Calling,
    /// 1xx heard. No timer for INVITE; E and F for others.
    Proceeding,
    /// INVITE: failed, ACK sent, timer D. Others: answered, timer K.
    Completed,
    /// INVITE: 2xx heard, timer M.
    Accepted,
    /// INVITE: given up; whatever comes late is acknowledged.
    Lost,
    /// Not INVITE, without a response. Timers E and F run.
    Trying,
}

/// One client transaction.
#[derive(Debug)]
pub(crate) struct Client {
    random: u64,
    pub(crate) method: Method,
    pub(crate) state: ClientState,
    pub(crate) listener: u8,
    pub(crate) to: SocketAddr,
    /// Where it was to go, when it went by a connection that stands for that address (RFC 5923).
    meant: Option<SocketAddr>,
    pub(crate) user: ClientUser,
    /// The request; of an INVITE kept until [`Layer::take_request`], because its ACK and CANCEL are made from it.
    pub(crate) request: Bytes,
    /// INVITE: the ACK that is sent again when the response is.
    pub(crate) ack: Bytes,
    /// INVITE: where that goes, after a 2xx.
    pub(crate) ack_to: SocketAddr,
    /// INVITE: its dialog is over already, so a late 2xx gets ACK and no BYE.
    pub(crate) ack_only: bool,
    /// INVITE: hash of the To tag of the 2xx that was taken.
    pub(crate) winner: Option<u128>,
    /// INVITE: hashes of the To tags of other 2xx.
    refused: Vec<u128>,
    /// INVITE: its CANCEL, which shares the branch.
    cancel: Option<ClientKey>,
    started: Instant,
    /// Goes by the transport its user chose, however long it is.
    pinned: bool,
    /// The UDP listener it would have left by, had it not been too long for a datagram.
    datagram: Option<u8>,
    /// Was sent again over a new connection, because the first one was closed.
    reconnected: bool,
    /// Whether the request was sent more than once (then its round trip says nothing).
    pub(crate) repeated: bool,
    interval: Duration,
    retransmit: Option<TimerKey>,
    /// Timers B and F, or the wait for a late answer.
    timeout: Option<TimerKey>,
    /// Timers D, K, M.
    linger: Option<TimerKey>,
}

/// A request that nobody answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unanswered {
    pub(crate) client: ClientKey,
    pub(crate) user: ClientUser,
    /// The connection it went over and that is still thought to stand.
    pub(crate) path: Option<(u8, SocketAddr)>,
    /// What RFC 3261 §8.1.3.1 takes it for: 408 for silence, 503 for a peer that cannot be reached.
    pub(crate) status: u16,
}

/// What a response means to those above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing: it was absorbed.
    Nothing,
    /// 1xx.
    Provisional,
    /// The first final response, after `round_trip` if the request was sent once only.
    Final {
        /// From request to response.
        round_trip: Option<Duration>,
    },
    /// A 2xx to an INVITE whose fate was decided before: a retransmission, another fork, or too late.
    Success,
}

impl Layer {
    /// Makes room for a request and gives the branch to write into it. [`Layer::start`] must follow.
    pub(crate) fn reserve(
        &mut self,
        method: Method,
        listener: u8,
        to: SocketAddr,
        user: ClientUser,
    ) -> Option<(ClientKey, [u8; BRANCH_BYTES])> {
        let random = self.rng.next_u64();
        let client = Client {
            random,
            method,
            state: if method == Method::Invite { ClientState::Calling } else { ClientState::Trying },
            listener,
            to,
            user,
            request: Bytes::new(),
            ack: Bytes::new(),
            meant: None,
            ack_to: to,
            ack_only: false,
            winner: None,
            refused: Vec::new(),
            cancel: None,
            started: Instant::ZERO,
            pinned: false,
            datagram: None,
            reconnected: false,
            repeated: false,
            interval: self.timers.t1,
            retransmit: None,
            timeout: None,
            linger: None,
        };
        let key = self.clients.insert(client).ok()?;
        self.traffic.begun(Side::Client, method);
        Some((key, self.branch(key, random)))
    }

    /// Gives up the room of a request that is not sent after all.
    pub(crate) fn unreserve(&mut self, key: ClientKey) {
        self.drop_client(key);
    }

    fn drop_client(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.remove(key) {
            self.traffic.ended(Side::Client, client.method);
        }
    }

    /// The request goes by the listener it was reserved for, however long it is: a phone behind NAT is reached by
    /// no other way.
    pub(crate) fn pin(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(key) {
            client.pinned = true;
        }
    }

    /// Sends the request of a transaction and arms its timers: A and B, or E and F; over a reliable transport only
    /// B or F (RFC 3261 §17.1.1.2, §17.1.2.2).
    pub(crate) fn start(&mut self, now: Instant, key: ClientKey, request: Bytes, out: &mut Outbox<Output>) {
        let timeout = self.deadlines.arm(now + self.timers.transaction(), Why::ClientTimeout(key));
        let client = self.clients.get_mut(key).expect("reserved just before");
        client.started = now;
        client.timeout = Some(timeout);
        if !client.pinned && client.method != Method::Cancel {
            let chosen = client.listener;
            client.listener = self.outlets.leave_by(now, chosen, client.to, request.len());
            client.datagram = (client.listener != chosen).then_some(chosen);
            let by = self.outlets.by_alias(client.listener, client.to);
            if by != client.to {
                client.meant = Some(core::mem::replace(&mut client.to, by));
            }
        }
        self.transmit(now, key, request, out);
    }

    /// Sends the request for the first time by the listener the transaction has now.
    fn transmit(&mut self, now: Instant, key: ClientKey, request: Bytes, out: &mut Outbox<Output>) {
        let t1 = self.timers.t1;
        let Some(client) = self.clients.get_mut(key) else { return };
        let (listener, to) = (client.listener, client.to);
        let reliable = self.outlets.transport(listener).is_reliable();
        let moved = client.datagram.is_some() || client.reconnected;
        let request = if reliable || moved { self.outlets.stamp(listener, request) } else { request };
        client.request = request.clone();
        client.interval = t1;
        if !reliable {
            client.retransmit = Some(self.deadlines.arm(now + t1, Why::ClientRetransmit(key)));
        }
        self.send(listener, to, request, out);
    }

    /// Requests without an answer that went over a connection which is no more. `refused`: it could not be made.
    ///
    /// What was sent over a connection that has been closed since is sent once more over a new one, as it may never
    /// have arrived; a request that was only too long for a datagram goes as one after all (RFC 3261 §18.1.1). The
    /// others are given back: they have failed.
    pub(crate) fn flow_lost(
        &mut self,
        now: Instant,
        listener: u8,
        peer: SocketAddr,
        refused: bool,
        out: &mut Outbox<Output>,
    ) -> Vec<Unanswered> {
        let waits = |client: &Client| {
            client.listener == listener
                && client.to == peer
                && matches!(client.state, ClientState::Calling | ClientState::Trying)
        };
        let lost: Vec<ClientKey> =
            self.clients.iter().filter(|(_, client)| waits(client)).map(|(key, _)| key).collect();
        let mut failed = Vec::new();
        let reachable = !matches!(self.outlets.transport(listener), Transport::Ws | Transport::Wss);
        for key in lost {
            let Some(client) = self.clients.get_mut(key) else { continue };
            let request = client.request.clone();
            client.to = client.meant.take().unwrap_or(client.to);
            if !refused && reachable && !client.reconnected {
                client.reconnected = true;
                self.transmit(now, key, request, out);
            } else if let Some(datagram) = client.datagram.take() {
                self.outlets.takes_no_stream(now, peer);
                if let Some(client) = self.clients.get_mut(key) {
                    client.listener = datagram;
                    client.reconnected = true;
                }
                self.transmit(now, key, request, out);
            } else {
                failed.push(self.fail(now, key));
            }
        }
        failed
    }

    /// The network says that a request did not arrive (RFC 3261 §18.4), of which method and branch are known. `None` when
    /// nobody waits for its answer any more, and within a dialog, whose peer was there: it is sent again for a while.
    pub(crate) fn undelivered(
        &mut self,
        now: Instant,
        listener: u8,
        to: SocketAddr,
        (method, branch): (&[u8], &[u8]),
    ) -> Option<Unanswered> {
        let mark = Mark::parse(branch.get(BRANCH_COOKIE.len()..)?)?;
        let key = ClientKey::from_bits(mark.key);
        let client = self.clients.get(key)?;
        let is_it = client.random == mark.random
            && mark.shard == self.shard
            && client.method == Method::from_bytes(method)
            && (client.listener, client.to) == (listener, to)
            && !self.outlets.transport(listener).is_reliable();
        let fails = match client.user {
            ClientUser::Invite(_)
            | ClientUser::Relayed(_)
            | ClientUser::TrunkOptions(_)
            | ClientUser::TrunkRegister(_)
            | ClientUser::PhoneOptions(_) => true,
            ClientUser::Nobody
            | ClientUser::Reinvite(_)
            | ClientUser::Update(_)
            | ClientUser::Refer(_)
            | ClientUser::Notify(_)
            | ClientUser::Bye(_) => false,
        };
        let waits = matches!(client.state, ClientState::Calling | ClientState::Trying);
        (is_it && fails && waits).then(|| {
            self.counters.requests_undelivered += 1;
            self.fail(now, key)
        })
    }

    /// Ends a transaction whose request cannot be delivered.
    fn fail(&mut self, now: Instant, key: ClientKey) -> Unanswered {
        let user = self.clients.get(key).map_or(ClientUser::Nobody, |client| client.user);
        match self.clients.get(key).map(|client| client.state) {
            Some(ClientState::Calling) => self.abandon(now, key),
            _ => self.remove_client(key),
        }
        Unanswered { client: key, user, path: None, status: 503 }
    }

    pub(crate) fn client(&self, key: ClientKey) -> Option<&Client> {
        self.clients.get(key)
    }

    /// The transaction reports to someone else from now on, or to nobody.
    pub(crate) fn set_client_user(&mut self, key: ClientKey, user: ClientUser) {
        if let Some(client) = self.clients.get_mut(key) {
            client.user = user;
        }
    }

    /// Sends CANCEL for an INVITE that has had a provisional response and no final one (RFC 3261 §9.1).
    /// `reason` is a whole Reason header value, or empty.
    pub(crate) fn cancel(&mut self, now: Instant, key: ClientKey, reason: &[u8], out: &mut Outbox<Output>) {
        let Some(invite) = self.clients.get(key) else { return };
        if !matches!(invite.state, ClientState::Proceeding | ClientState::Lost) || invite.cancel.is_some() {
            return;
        }
        let (listener, to) = (invite.listener, invite.to);
        let Ok(request) = parse(invite.request.clone(), &Limits::default()) else { return };
        // RFC 3261 §9.1: Request-URI, Call-ID, To, From and the number of CSeq as in the INVITE, its branch in
        // a single Via, its Route.
        from_invite(&mut self.scratch, Method::Cancel, &request, None, reason);
        let bytes = self.written();
        // The look-up goes through the INVITE, whose branch this is; a random part of its own is not needed.
        let Some((cancel, _)) = self.reserve(Method::Cancel, listener, to, ClientUser::Nobody) else {
            return self.send(listener, to, bytes, out);
        };
        if let Some(invite) = self.clients.get_mut(key) {
            invite.cancel = Some(cancel);
        }
        self.start(now, cancel, bytes, out);
    }

    /// Gives an INVITE up that has no final response; it listens for a late one for another 64·T1.
    pub(crate) fn abandon(&mut self, now: Instant, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else { return };
        client.state = ClientState::Lost;
        client.user = ClientUser::Nobody;
        self.stop_timers(key);
        self.arm_client_timeout(key, now + self.timers.transaction());
    }

    /// The dialog of a re-INVITE has ended before its final response: nobody is told, and it ends by itself.
    pub(crate) fn detach(&mut self, now: Instant, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else { return };
        client.user = ClientUser::Nobody;
        client.ack_only = true;
        if client.method == Method::Invite
            && matches!(client.state, ClientState::Calling | ClientState::Proceeding)
        {
            self.abandon(now, key);
        }
    }

    /// Finds the transaction of a response (RFC 3261 §17.1.3: branch and method of CSeq) and moves it.
    /// `None` when it matches nothing.
    pub(crate) fn receive_response(
        &mut self,
        now: Instant,
        response: &Message,
        out: &mut Outbox<Output>,
    ) -> Option<(ClientKey, ClientUser, Heard)> {
        let branch = response.top_via().branch?.get(BRANCH_COOKIE.len()..)?;
        let mark = Mark::parse(branch)?;
        let mut key = ClientKey::from_bits(mark.key);
        let mut client = self.clients.get(key)?;
        if client.random != mark.random || mark.shard != self.shard {
            return None;
        }
        let method = response.cseq().1;
        if method == Method::Cancel && client.method == Method::Invite {
            key = client.cancel?;
            client = self.clients.get(key)?;
        }
        if client.method != method || response.headers(HeaderName::Via).nth(1).is_some() {
            return None;
        }
        let user = client.user;
        let heard = if method == Method::Invite {
            self.invite_response(now, key, response, out)
        } else {
            self.other_response(now, key, response.status())
        };
        Some((key, user, heard))
    }

    /// RFC 3261 §17.1.1.2 as corrected by RFC 6026 §7.2.
    fn invite_response(
        &mut self,
        now: Instant,
        key: ClientKey,
        response: &Message,
        out: &mut Outbox<Output>,
    ) -> Heard {
        let status = response.status();
        let client = self.clients.get_mut(key).expect("looked up just before");
        match (client.state, status) {
            (ClientState::Calling | ClientState::Proceeding, ..=199) => {
                if client.state == ClientState::Calling {
                    client.state = ClientState::Proceeding;
                    self.stop_timers(key);
                }
                Heard::Provisional
            }
            (ClientState::Calling | ClientState::Proceeding, ..=299) => {
                client.state = ClientState::Accepted;
                let round_trip = (!client.repeated).then(|| now.since(client.started));
                self.stop_timers(key);
                self.linger_client(key, now + self.timers.transaction()); // M
                Heard::Final { round_trip }
            }
            (ClientState::Calling | ClientState::Proceeding, _) => {
                client.state = ClientState::Completed;
                let listener = client.listener;
                let round_trip = (!client.repeated).then(|| now.since(client.started));
                self.stop_timers(key);
                let reliable = self.outlets.transport(listener).is_reliable();
                let wait = if reliable { Duration::ZERO } else { self.timers.transaction() };
                self.linger_client(key, now + wait); // D: at least 32 s, none over a reliable transport
                self.acknowledge_failure(key, response, out);
                Heard::Final { round_trip }
            }
            (ClientState::Lost, 101..=199) => {
                // Nobody waits for it any more: it must not ring on.
                self.cancel(now, key, &[], out);
                Heard::Nothing
            }
            (ClientState::Accepted | ClientState::Completed | ClientState::Lost, 200..=299) => Heard::Success,
            (ClientState::Completed | ClientState::Lost, 300..) => {
                self.counters.retransmissions_received += 1;
                self.acknowledge_failure(key, response, out);
                Heard::Nothing
            }
            _ => Heard::Nothing,
        }
    }

    /// RFC 3261 §17.1.2.2.
    fn other_response(&mut self, now: Instant, key: ClientKey, status: u16) -> Heard {
        let client = self.clients.get_mut(key).expect("looked up just before");
        match (client.state, status) {
            (ClientState::Trying | ClientState::Proceeding, ..=199) => {
                client.state = ClientState::Proceeding;
                Heard::Provisional
            }
            (ClientState::Trying | ClientState::Proceeding, _) => {
                client.state = ClientState::Completed;
                client.request = Bytes::new();
                let listener = client.listener;
                let round_trip = (!client.repeated).then(|| now.since(client.started));
                self.stop_timers(key);
                let reliable = self.outlets.transport(listener).is_reliable();
                let wait = if reliable { Duration::ZERO } else { self.timers.t4 };
                self.linger_client(key, now + wait); // K
                Heard::Final { round_trip }
            }
            _ => {
                self.counters.retransmissions_received += 1;
                Heard::Nothing
            }
        }
    }

    /// RFC 3261 §17.1.1.3: the ACK to a failure belongs to the transaction. To comes from the response, all
    /// else from the INVITE.
    fn acknowledge_failure(&mut self, key: ClientKey, response: &Message, out: &mut Outbox<Output>) {
        let client = self.clients.get(key).expect("looked up just before");
        let (listener, to) = (client.listener, client.to);
        let mut ack = client.ack.clone();
        if ack.is_empty() {
            let Ok(request) = parse(client.request.clone(), &Limits::default()) else { return };
            let to_value = response.header(HeaderName::To);
            from_invite(&mut self.scratch, Method::Ack, &request, to_value, &[]);
            ack = self.written();
            let client = self.clients.get_mut(key).expect("looked up just before");
            client.ack = ack.clone();
        }
        self.send(listener, to, ack, out);
    }

    /// Remembers the ACK to the 2xx that was taken, to be sent again with each retransmission of the 2xx.
    pub(crate) fn accept(&mut self, key: ClientKey, winner: u128, to: SocketAddr, ack: Bytes) {
        if let Some(client) = self.clients.get_mut(key) {
            client.winner = Some(winner);
            client.ack_to = to;
            client.ack = ack;
        }
    }

    /// The request of an INVITE that has its final response; the transaction needs it no more.
    pub(crate) fn take_request(&mut self, key: ClientKey) -> Bytes {
        self.clients.get_mut(key).map(|client| core::mem::take(&mut client.request)).unwrap_or_default()
    }

    /// Notes the 2xx of another fork; false when it was noted before.
    pub(crate) fn refuse_fork(&mut self, key: ClientKey, tag: u128) -> bool {
        let Some(client) = self.clients.get_mut(key) else { return false };
        if client.refused.contains(&tag) {
            return false;
        }
        if client.refused.len() < REFUSED_FORKS_MAX {
            client.refused.push(tag);
        }
        true
    }

    /// Timers A and E.
    pub(super) fn client_retransmit(&mut self, now: Instant, key: ClientKey, out: &mut Outbox<Output>) {
        let t2 = self.timers.t2;
        let Some(client) = self.clients.get_mut(key) else { return };
        client.interval = match client.state {
            // RFC 3261 §17.1.1.2: timer A doubles without an upper bound.
            ClientState::Calling => client.interval * 2,
            // RFC 3261 §17.1.2.2: timer E doubles up to T2, and is T2 after a provisional response.
            ClientState::Trying => (client.interval * 2).min(t2),
            ClientState::Proceeding if client.method != Method::Invite => t2,
            _ => return,
        };
        client.repeated = true;
        client.retransmit = Some(self.deadlines.arm(now + client.interval, Why::ClientRetransmit(key)));
        let (listener, to, request) = (client.listener, client.to, client.request.clone());
        self.counters.retransmissions_sent += 1;
        self.send(listener, to, request, out);
    }

    /// Timers B and F, and the end of the wait for a late answer.
    pub(super) fn client_timeout(&mut self, now: Instant, key: ClientKey) -> Expired {
        let Some(client) = self.clients.get_mut(key) else { return Expired::Nothing };
        client.timeout = None;
        let user = client.user;
        let silent = matches!(client.state, ClientState::Calling | ClientState::Trying);
        let path = (silent && self.outlets.transport(client.listener).is_reliable())
            .then_some((client.listener, client.to));
        match client.state {
            ClientState::Calling => {
                self.counters.timeouts += 1;
                self.counters.timeouts_invite += 1;
                self.abandon(now, key);
                Expired::Unanswered(Unanswered { client: key, user, path, status: 408 })
            }
            ClientState::Trying | ClientState::Proceeding => {
                self.counters.timeouts += 1;
                self.remove_client(key);
                Expired::Unanswered(Unanswered { client: key, user, path, status: 408 })
            }
            ClientState::Completed | ClientState::Accepted | ClientState::Lost => {
                self.remove_client(key);
                Expired::Nothing
            }
        }
    }

    pub(super) fn remove_client(&mut self, key: ClientKey) {
        self.stop_timers(key);
        self.drop_client(key);
    }

    fn stop_timers(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let (retransmit, timeout) = (client.retransmit.take(), client.timeout.take());
        for timer in [retransmit, timeout].into_iter().flatten() {
            self.deadlines.cancel(timer);
        }
        if let Some(timer) = client.linger.take() {
            self.lingering.cancel(timer);
        }
    }

    fn linger_client(&mut self, key: ClientKey, until: Instant) {
        let timer = self.lingering.arm(until, Lingering::Client(key));
        if let Some(client) = self.clients.get_mut(key) {
            client.linger = Some(timer);
        }
    }

    fn arm_client_timeout(&mut self, key: ClientKey, at: Instant) {
        let timer = self.deadlines.arm(at, Why::ClientTimeout(key));
        if let Some(client) = self.clients.get_mut(key) {
            client.timeout = Some(timer);
        }
    }
}

/// Writes the ACK to a failure, or the CANCEL, of an INVITE of ours.
fn from_invite(
    scratch: &mut bytes::BytesMut,
    method: Method,
    invite: &Message,
    to: Option<&[u8]>,
    reason: &[u8],
) {
    scratch.clear();
    let mut writer = Writer::request(scratch, method, invite.request_uri());
    writer.copy_from(invite, HeaderName::Via);
    writer.max_forwards(70);
    writer.copy_from(invite, HeaderName::Route);
    writer.copy_from(invite, HeaderName::From);
    match to {
        Some(to) => writer.header_verbatim(HeaderName::To, to),
        None => writer.copy_from(invite, HeaderName::To),
    };
    writer.copy_from(invite, HeaderName::CallId);
    writer.cseq(invite.cseq().0, method);
    if !reason.is_empty() {
        writer.header(HeaderName::Reason, reason);
    }
    writer.no_body();
}
