//! The user agent of one shard: every dialog, transaction, registration and health check, without a socket.

mod admit;
mod aim;
mod carry;
mod config;
mod digest;
mod door;
mod flow;
mod fork;
mod hangup;
mod in_dialog;
mod leg;
mod offer;
mod overload;
mod probe;
mod redirect;
mod refer;
mod register;
mod relay;
mod reliable;
mod session_timer;
mod shed;
mod sources;
mod trunk;
mod uac;
mod uas;
mod update;

#[cfg(test)]
mod tests;

use core::net::SocketAddr;
use std::collections::BTreeMap;

use bytes::Bytes;
use sansio::time::ClockBase;
use sansio::{Instant, Outbox, Rng, Slab};

pub use carry::Carried;
pub use config::{
    Config, Digest, Guarding, Limits, Listener, Overload, Probing, Redirects, Refresher, Register,
    Reliability, SessionTimers, SessionUse, Timers,
};
pub use door::{
    Account, Audit, Caller, Contact, Counters, Ended, EndedBy, Event, Invite, InviteError, LegError, LegKey,
    Login, Output, Reason, Requests, Trunk, Unheard,
};
pub use in_dialog::Concern;
pub use leg::Leg;
pub use refer::Replaced;
pub use relay::{Outward, RequestKey, info_status};

use crate::mark::{MARK_BYTES, Mark, base32};
use crate::registrar::Registrar;
use crate::status::{q850_text, reason_phrase};
use crate::transaction::{Absorbed, ClientUser, Expired, Heard, Layer, Unanswered, Why};
use crate::transport::locate::{Locator, Reach};
use crate::transport::{Crowd, Guard, Outlets, SlowList, Standing};
use crate::wire::{Feedback, HeaderName, Message, Method, ParseError, SDP, Writer, parse, respond_with};
use leg::State;
use uac::finish;

/// Methods we take (RFC 3261 §20.5).
const ALLOW: &[u8] = b"INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY, REGISTER";

/// Bodies we read where a session is made.
const ACCEPT: &[u8] = b"application/sdp, multipart/mixed";

/// The user agent of one shard.
#[derive(Debug)]
pub struct UserAgent {
    config: Config,
    /// Value of our Supported header.
    supported: Box<[u8]>,
    layer: Layer,
    legs: Slab<Leg>,
    /// Legs that have ended and wait for their last answers.
    legs_ending: usize,
    trunks: BTreeMap<u64, trunk::TrunkState>,
    /// Who calls in as which trunk.
    sources: sources::Sources,
    registrar: Registrar,
    slow: SlowList,
    guard: Guard,
    /// Dialogs of those who are no trunk, by source.
    crowd: Crowd,
    load: shed::Load,
    /// What others have asked of us for theirs.
    throttles: overload::Throttles,
    /// What civil time it is, as far as those need it who compare what we say over our restarts.
    clock: ClockBase,
    nonces: digest::Nonces,
    draining: bool,
    /// Where names lead.
    locator: Locator,
    reach: Reach,
    /// Answers that came long after their INVITE was forgotten, and got BYE.
    refused: uac::Refused,
}

impl UserAgent {
    /// A user agent that knows nobody yet. `rng` must be seeded with entropy where strangers are about.
    #[must_use]
    pub fn new(config: Config, rng: Rng) -> Self {
        let limits = &config.limits;
        UserAgent {
            layer: Layer::new(
                config.timers,
                config.shard,
                limits.client_transactions_max,
                limits.server_transactions_max,
                rng,
                Outlets::new(&config.listeners),
            ),
            legs: Slab::with_limit(limits.legs_max),
            legs_ending: 0,
            trunks: BTreeMap::new(),
            sources: sources::Sources::default(),
            registrar: Registrar::default(),
            slow: SlowList::default(),
            guard: Guard::new(config.guarding.clone(), limits),
            crowd: Crowd::default(),
            load: shed::Load::new(config.overload.cps_max),
            throttles: overload::Throttles::default(),
            clock: ClockBase::default(),
            nonces: digest::Nonces::default(),
            draining: false,
            locator: Locator::new(config.failures.clone()),
            reach: Reach {
                outlets: config.listeners.iter().map(|one| (one.transport, one.address.is_ipv4())).collect(),
            },
            refused: uac::Refused::default(),
            supported: supported(&config),
            config,
        }
    }

    /// A datagram has come in, or a whole message over a connection, whose peer `source` then is.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        listener: u8,
        source: SocketAddr,
        datagram: Bytes,
        out: &mut Outbox<Output>,
    ) {
        self.layer.counters.datagrams_received += 1;
        if usize::from(listener) >= self.config.listeners.len() {
            return;
        }
        let Some(standing) = self.admit(now, listener, source, &datagram) else { return };
        let arrival = Arrival { listener, source, standing, overload: None };
        if datagram.first() == Some(&0) {
            return self.keep_alive(now, arrival, &datagram, out);
        }
        let parsed = parse(datagram, &self.config.limits.message);
        if let Ok(message) = &parsed {
            self.layer.traffic.received(self.layer.outlets.transport(listener), message);
        }
        match parsed {
            Ok(message) if message.is_request() => self.handle_request(now, arrival, message, out),
            Ok(message) => self.handle_response(now, listener, source, &message, out),
            Err(error) => self.handle_malformed(arrival, &error, out),
        }
    }

    /// When to call [`UserAgent::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.layer.poll_timeout()
    }

    /// Does what is due. Early calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox<Output>) {
        self.layer.forget_lingering(now);
        while let Some((_, why)) = self.layer.deadlines.pop_due(now) {
            match why {
                Why::SuccessRetransmit(leg) => self.repeat_success(now, leg, out),
                Why::SuccessTimeout(leg) => self.success_unacknowledged(now, leg, out),
                Why::Target(leg) => self.target_silent(now, leg, out),
                Why::Ringing(leg) => self.rung_too_long(now, leg, out),
                Why::Glare(leg) => self.retry_offer(now, leg, out),
                Why::Session(leg) => self.session_due(now, leg, out),
                Why::ReliableRetransmit(leg) => self.repeat_reliable(now, leg, out),
                Why::ReliableTimeout(leg) => self.reliable_unacknowledged(now, leg, out),
                Why::Held(trunk) => self.held_due(now, trunk, out),
                Why::Overload(trunk) => self.overload_due(now, trunk, out),
                Why::TrunkOptions(trunk) => self.options_due(now, trunk, out),
                Why::TrunkRegister(trunk) => self.register_due(now, trunk, out),
                Why::TrunkLapsed(trunk) => self.registration_lapsed(trunk, out),
                Why::ContactLapse(account) => self.contacts_due(now, account, out),
                Why::PhoneOptions(account) => self.phone_options_due(now, account, out),
                Why::ClientRetransmit(_)
                | Why::ClientTimeout(_)
                | Why::ServerRetransmit(_)
                | Why::ServerTimeout(_) => match self.layer.expired(now, why, out) {
                    Expired::Nothing => {}
                    Expired::Unanswered(unanswered) => self.silence(now, unanswered, out),
                },
            }
        }
    }

    /// Says whose an incoming leg is; its later events carry `owner`.
    pub fn adopt(&mut self, leg: LegKey, owner: u64) {
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.owner = owner;
        }
    }

    /// Whose a leg is.
    #[must_use]
    pub fn owner(&self, leg: LegKey) -> Option<u64> {
        self.legs.get(leg).filter(|leg| !leg.state.is_over()).map(|leg| leg.owner)
    }

    /// Where a leg's requests go.
    #[must_use]
    pub fn peer_of(&self, leg: LegKey) -> Option<SocketAddr> {
        self.legs.get(leg).map(|leg| leg.peer)
    }

    /// Our tag in a leg's dialog: what tells its messages from others'.
    #[must_use]
    pub fn tag_of(&self, leg: LegKey) -> Option<[u8; MARK_BYTES]> {
        Some(self.tag(leg, self.legs.get(leg)?.random))
    }

    /// What civil time it is: it goes into the sequence numbers of our overload feedback, which must go on growing
    /// over our restarts.
    pub fn set_clock(&mut self, clock: ClockBase) {
        self.clock = clock;
    }

    /// While draining OPTIONS and new INVITEs get 503 with Retry-After.
    pub fn set_draining(&mut self, draining: bool) {
        self.draining = draining;
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.layer.counters
    }

    /// Messages by method, status, transport and size.
    #[must_use]
    pub fn traffic(&self) -> &crate::Traffic {
        &self.layer.traffic
    }

    /// What lives, for leak checks.
    #[must_use]
    pub fn audit(&self) -> Audit {
        let (client_transactions, server_transactions, index_entries) = self.layer.live();
        Audit {
            legs: self.legs.len() - self.legs_ending,
            legs_ending: self.legs_ending,
            client_transactions,
            server_transactions,
            index_entries,
            deadlines: self.layer.armed(),
            contacts: self.registrar.contacts(),
            slowed_sources: self.slow.len(),
            flows: self.layer.outlets.flows(),
            nonces: self.nonces.len(),
        }
    }

    fn handle_malformed(&mut self, arrival: Arrival, error: &ParseError, out: &mut Outbox<Output>) {
        let Some((status, reason)) = error.answer() else {
            self.layer.counters.datagrams_ignored += 1;
            return;
        };
        self.layer.counters.malformed += 1;
        self.layer.traffic.malformed(error.kind.reason());
        if let Some(partial) = &error.partial {
            self.reply_with(arrival, partial, status, reason, |_| {}, out);
        }
    }

    fn handle_response(
        &mut self,
        now: Instant,
        listener: u8,
        source: SocketAddr,
        response: &Message,
        out: &mut Outbox<Output>,
    ) {
        let Some((client, user, heard)) = self.layer.receive_response(now, response, out) else {
            if !self.forgotten_success(now, listener, source, response, out) {
                self.layer.counters.responses_stray += 1;
            }
            return;
        };
        self.layer.counters.responses_received += 1;
        self.hear_overload(now, client, user, response, out);
        match (heard, user) {
            (Heard::Nothing, _) => {}
            (Heard::Success, _) => self.late_success(now, client, (listener, source), response, out),
            (Heard::Provisional, ClientUser::Invite(leg)) => {
                self.progress(now, leg, client, source, response, out);
            }
            (Heard::Final { .. }, ClientUser::Invite(leg)) => {
                self.invite_final(now, leg, client, source, response, out);
            }
            (Heard::Final { .. }, ClientUser::Reinvite(leg) | ClientUser::Update(leg)) => {
                self.reinvite_final(now, leg, client, source, response, out);
            }
            (Heard::Final { .. }, ClientUser::Relayed(server)) => {
                self.relayed_final(now, server, response, out);
            }
            (Heard::Final { .. }, ClientUser::Refer(leg)) => self.refer_final(leg, response.status(), out),
            (Heard::Final { .. }, ClientUser::Notify(leg)) => self.notify_final(leg, response.status()),
            (Heard::Final { .. }, ClientUser::Bye(leg)) => self.bye_final(now, leg, response, out),
            (Heard::Final { round_trip }, ClientUser::TrunkOptions(trunk)) => {
                self.path_verdict(now, trunk, !matches!(response.status(), 408 | 503));
                self.options_final(trunk, response.status(), round_trip, out);
            }
            (Heard::Final { .. }, ClientUser::TrunkRegister(trunk)) => {
                self.path_verdict(now, trunk, !matches!(response.status(), 408 | 503));
                self.register_final(now, trunk, response, out);
            }
            (Heard::Final { .. }, ClientUser::PhoneOptions(account)) => {
                self.phone_options_final(account, response.status(), out);
            }
            // A re-INVITE whose leg has ended meanwhile: its 2xx is owed an ACK all the same.
            (Heard::Final { .. }, ClientUser::Nobody) => {
                if response.method() == Method::Invite && response.status() < 300 {
                    self.acknowledge_stray(listener, source, response, out);
                }
            }
            (Heard::Provisional, ClientUser::Reinvite(leg)) => self.reinvite_progress(now, leg),
            (Heard::Provisional, _) => {}
        }
    }

    fn handle_request(&mut self, now: Instant, arrival: Arrival, request: Message, out: &mut Outbox<Output>) {
        if arrival.standing != Standing::Trunk && self.is_worthless(now, arrival, &request) {
            return;
        }
        let arrival = Arrival { overload: self.overload_for(now, &request), ..arrival };
        let requests = &mut self.layer.counters.requests;
        match request.method() {
            Method::Invite => requests.invite += 1,
            Method::Ack => requests.ack += 1,
            Method::Bye => requests.bye += 1,
            Method::Cancel => requests.cancel += 1,
            Method::Options => requests.options += 1,
            Method::Register => requests.register += 1,
            Method::Info => requests.info += 1,
            _ => requests.other += 1,
        }
        self.note_alias(arrival, &request);
        if request.method() == Method::Ack {
            // RFC 3261 §17: an ACK is never answered.
            if !self.layer.receive_ack(now, &request) {
                self.success_acknowledged(now, &request, out);
            }
            return;
        }
        match self.layer.receive_request(&request, out) {
            Absorbed::Done => return,
            Absorbed::Merged => return self.reply(arrival, &request, 482, out),
            Absorbed::New => {}
        }
        if let Some(status) = self.too_large(&request) {
            return self.reply(arrival, &request, status, out);
        }
        match request.method() {
            Method::Cancel => self.cancelled(now, arrival, &request, out),
            Method::Register => self.register(now, arrival, &request, out),
            _ if request.to_tag().is_some() => self.in_dialog(now, arrival, &request, out),
            Method::Invite if self.must_shed(now) => {
                self.layer.counters.shed += 1;
                self.refuse_busy(arrival, &request, out);
            }
            Method::Invite => self.incoming(now, arrival, request, out),
            Method::Options => self.options(arrival, &request, out),
            Method::Bye | Method::Info | Method::Update | Method::Prack | Method::Notify => {
                self.reply(arrival, &request, 481, out)
            }
            // There is no call to transfer.
            Method::Refer => self.reply(arrival, &request, 403, out),
            method if relay::is_passed(method) => self.outside(now, arrival, request, out),
            _ => self.not_allowed(arrival, &request, out),
        }
    }

    /// Nothing was heard for 64·T1. A connection over which that happens is as good as dead, whatever the operating
    /// system thinks of it: the next request makes a new one.
    fn silence(&mut self, now: Instant, unanswered: Unanswered, out: &mut Outbox<Output>) {
        if let Some((listener, peer)) = unanswered.path
            && self.layer.outlets.flow(listener, peer).is_some()
        {
            out.push(Output::Close { listener, peer });
        }
        self.unanswered(now, unanswered, out);
    }

    fn unanswered(&mut self, now: Instant, unanswered: Unanswered, out: &mut Outbox<Output>) {
        let Unanswered { client, user, status, .. } = unanswered;
        match user {
            ClientUser::Nobody => {}
            ClientUser::Invite(leg) => self.invite_unanswered(now, leg, client, status, out),
            ClientUser::Reinvite(leg) | ClientUser::Update(leg) => {
                self.reinvite_unanswered(now, leg, client, out);
            }
            ClientUser::Relayed(server) => self.relayed_unanswered(now, server, status, out),
            ClientUser::Refer(leg) => self.refer_final(leg, 408, out),
            ClientUser::Notify(leg) => self.notify_final(leg, 481),
            ClientUser::Bye(leg) => self.forget(now, leg),
            ClientUser::TrunkOptions(trunk) => {
                self.path_verdict(now, trunk, false);
                self.options_missed(trunk, None, out);
            }
            ClientUser::TrunkRegister(trunk) => {
                self.path_verdict(now, trunk, false);
                self.register_failed(now, trunk, None, None, out);
            }
            ClientUser::PhoneOptions(account) => self.phone_options_missed(account, None, out),
        }
    }

    // What several of the files beside share.

    /// Our tag in a leg's dialog.
    fn tag(&self, leg: LegKey, random: u64) -> [u8; MARK_BYTES] {
        Mark { shard: self.layer.shard, key: leg.to_bits(), random }.text()
    }

    /// A branch for a request that no transaction waits for: the ACK to a 2xx.
    fn loose_branch(&mut self) -> [u8; crate::transaction::BRANCH_BYTES] {
        let mark = Mark { shard: self.layer.shard, key: 0, random: self.layer.rng.next_u64() };
        let mut branch = [0; crate::transaction::BRANCH_BYTES];
        branch[..7].copy_from_slice(crate::wire::BRANCH_COOKIE);
        branch[7..].copy_from_slice(&mark.text());
        branch
    }

    fn tag_hash(&self, tag: Option<&[u8]>) -> u128 {
        self.layer.secret.hash(&[b"to-tag", tag.unwrap_or_default()])
    }

    /// A To tag that is the same for each copy of a request (RFC 3261 §8.2.7), for answers without memory.
    fn stateless_tag(&self, request: &Message) -> [u8; 13] {
        let hash =
            self.layer.secret.hash(&[b"tag", request.call_id(), request.from_tag().unwrap_or_default()]);
        let mut tag = [0; 13];
        base32(&mut tag, hash as u64);
        tag
    }

    /// Where the response to a request goes: over a connection back along it (RFC 3261 §18.2.2).
    fn reply_address(&self, request: &Message, arrival: Arrival) -> SocketAddr {
        if self.layer.is_reliable(arrival.listener) {
            return arrival.source;
        }
        crate::transport::reply_address(request, arrival.source)
    }

    /// Answers a request and forgets it.
    fn reply(&mut self, arrival: Arrival, request: &Message, status: u16, out: &mut Outbox<Output>) {
        self.reply_with(arrival, request, status, reason_phrase(status), |_| {}, out);
    }

    /// Answers a request with further header lines and forgets it.
    fn reply_with(
        &mut self,
        arrival: Arrival,
        request: &Message,
        status: u16,
        reason: &str,
        more: impl FnOnce(&mut Writer<'_>),
        out: &mut Outbox<Output>,
    ) {
        let response = self.response_to(arrival, request, status, reason, None, more);
        let to = self.reply_address(request, arrival);
        self.layer.send(arrival.listener, to, response, out);
    }

    /// Answers a request other than INVITE and remembers the answer for its retransmissions.
    fn answer_request(
        &mut self,
        now: Instant,
        arrival: Arrival,
        request: &Message,
        status: u16,
        more: impl FnOnce(&mut Writer<'_>),
        out: &mut Outbox<Output>,
    ) {
        let response = self.response_to(arrival, request, status, reason_phrase(status), None, more);
        let to = self.reply_address(request, arrival);
        self.layer.answer_once(now, request.method(), arrival.listener, to, response, out);
    }

    fn response_to(
        &mut self,
        arrival: Arrival,
        request: &Message,
        status: u16,
        reason: &str,
        tag: Option<&str>,
        more: impl FnOnce(&mut Writer<'_>),
    ) -> Bytes {
        let stateless = self.stateless_tag(request);
        let tag = tag.or_else(|| core::str::from_utf8(&stateless).ok());
        self.layer.scratch.clear();
        let (scratch, overload) = (&mut self.layer.scratch, arrival.overload);
        let mut writer = respond_with(scratch, request, status, reason, tag, arrival.source, overload);
        more(&mut writer);
        // Strangers need not know what they have found.
        if arrival.standing == Standing::Trunk {
            writer.header(HeaderName::Server, self.config.user_agent.as_bytes());
        }
        finish(writer, &[]);
        self.layer.written()
    }

    /// 405 to what we know and do not do here, 501 to what we do not know (RFC 3261 §8.2.1, §21.5.2).
    fn not_allowed(&mut self, arrival: Arrival, request: &Message, out: &mut Outbox<Output>) {
        let status = if request.method() == Method::Other { 501 } else { 405 };
        self.reply_with(
            arrival,
            request,
            status,
            reason_phrase(status),
            |writer| {
                writer.header(HeaderName::Allow, ALLOW);
            },
            out,
        );
    }

    /// 503: a limit is reached, or the house drains.
    fn refuse_busy(&mut self, arrival: Arrival, request: &Message, out: &mut Outbox<Output>) {
        self.layer.counters.refused_busy += 1;
        let seconds = self.config.retry_after.as_secs();
        // RFC 7339 §5.10.2: who sends less by itself is not to stop altogether. (But when we are about to go.)
        let heeds = !self.draining && arrival.overload.is_some_and(|told| told.loss_percent > 0);
        self.reply_with(
            arrival,
            request,
            503,
            reason_phrase(503),
            |writer| {
                if !heeds {
                    writer.header_number(HeaderName::RetryAfter, seconds);
                }
            },
            out,
        );
    }

    /// Ends a leg without a further word on the wire: told above, then forgotten.
    fn end(&mut self, now: Instant, leg: LegKey, how: How, out: &mut Outbox<Output>) {
        self.tell_ended(leg, how, out);
        self.forget(now, leg);
    }

    /// Tells that a leg has ended, exactly once.
    fn tell_ended(&mut self, key: LegKey, how: How, out: &mut Outbox<Output>) {
        let Some(leg) = self.legs.get(key) else { return };
        if leg.state.is_over() {
            return;
        }
        self.layer.counters.legs_ended += 1;
        self.layer.counters.legs_answered += u64::from(leg.answered);
        out.push(Output::Event(Event::Ended(Ended {
            leg: key,
            owner: leg.owner,
            by: how.by,
            answered: leg.answered,
            code: if leg.answered { None } else { how.code },
            q850: how.q850,
            blocked: how.blocked && !leg.answered,
            retry_after: how.retry_after,
            sip: how.sip,
            text: how.text,
            reasons: how.reasons,
        })));
    }

    /// The leg has been told to have ended and stays for its last answers.
    fn linger(&mut self, key: LegKey, state: State) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        if !leg.state.is_over() {
            self.legs_ending += 1;
        }
        leg.state = state;
    }

    /// Takes a leg out of the table with everything that waits for it.
    fn forget(&mut self, now: Instant, key: LegKey) {
        let Some(mut leg) = self.legs.remove(key) else { return };
        self.count_leg(leg.trunk, leg.caller, false);
        if let Some(source) = leg.source {
            self.crowd.remove(source);
        }
        if leg.state.is_over() {
            self.legs_ending -= 1;
        }
        self.layer.disarm(&mut leg.ringing);
        if let Some(mut success) = leg.success.take() {
            self.layer.disarm(&mut success.retransmit);
            self.layer.disarm(&mut success.timeout);
        }
        if let Some(mut offer) = leg.offer.take() {
            self.layer.disarm(&mut offer.timer);
            if let Some(client) = offer.client {
                self.layer.detach(now, client);
            }
        }
        if let Some(mut timer) = leg.timer.take() {
            self.layer.disarm(&mut timer.key);
        }
        if let Some(mut sent) = leg.reliable.take().and_then(|reliable| reliable.unacknowledged) {
            self.layer.disarm(&mut sent.retransmit);
            self.layer.disarm(&mut sent.timeout);
        }
        let refer = leg.transfers.as_mut().and_then(|transfers| transfers.open());
        for server in [leg.update.take(), refer].into_iter().flatten() {
            self.layer.remove_server(server);
        }
    }
}

/// The extensions we know (RFC 3261 §20.37).
fn supported(config: &Config) -> Box<[u8]> {
    let timers = config.session_timers.use_with != SessionUse::Off;
    let reliable = config.reliable != Reliability::Off;
    let known = [
        (timers, session_timer::TIMER),
        (reliable, reliable::RELIABLE),
        (true, refer::REPLACES),
        (true, refer::NO_SUBSCRIPTION),
    ];
    let known: Vec<&str> = known.into_iter().filter(|(used, _)| *used).map(|(_, tag)| tag).collect();
    known.join(", ").into_bytes().into()
}

/// Where a datagram came in, and from where.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    listener: u8,
    source: SocketAddr,
    standing: Standing,
    /// What a sender is told that knows overload control.
    overload: Option<Feedback>,
}

/// How a leg ends.
#[derive(Debug, Clone)]
struct How {
    by: EndedBy,
    code: Option<u16>,
    q850: Option<u8>,
    blocked: bool,
    retry_after: Option<core::time::Duration>,
    sip: Option<u16>,
    text: Option<Box<str>>,
    reasons: Box<str>,
}

impl How {
    fn by(by: EndedBy) -> Self {
        How {
            by,
            code: None,
            q850: None,
            blocked: false,
            retry_after: None,
            sip: None,
            text: None,
            reasons: Box::default(),
        }
    }

    fn code(self, code: u16) -> Self {
        How { code: Some(code), ..self }
    }

    /// With what a message of the peer says about why.
    fn said_in(self, message: &Message) -> Self {
        let retry_after =
            message.seconds(HeaderName::RetryAfter).map(|s| core::time::Duration::from_secs(s.into()));
        let reason = crate::status::ReasonCause::of(message);
        let blocked = match self.code {
            Some(607 | 608) => true,
            Some(603) => reason.analytics || message.reason().eq_ignore_ascii_case(b"Network Blocked"),
            _ => false,
        };
        How {
            q850: reason.q850,
            blocked,
            retry_after,
            sip: reason.sip,
            text: reason.text,
            reasons: reason.values,
            ..self
        }
    }
}

/// The value of a Reason header (RFC 3326): what a peer has said, or in our words one for each protocol that has
/// something to say; empty when none has. The text goes with the first, and a Q.850 cause without one has its name.
fn reason_value(reason: &Reason<'_>) -> Vec<u8> {
    if !reason.passed.is_empty() {
        return reason.passed.as_bytes().to_vec();
    }
    let text: String = reason.text.chars().filter(|c| !c.is_control() && *c != '"' && *c != '\\').collect();
    let mut values: Vec<String> = Vec::new();
    if let Some(cause) = reason.sip {
        values.push(reason_part("SIP", cause, &text));
    }
    if let Some(cause) = reason.q850 {
        let own = if values.is_empty() && !text.is_empty() { &text } else { q850_text(cause) };
        values.push(reason_part("Q.850", cause.into(), own));
    }
    values.join(", ").into_bytes()
}

fn reason_part(protocol: &str, cause: u16, text: &str) -> String {
    if text.is_empty() {
        format!("{protocol};cause={cause}")
    } else {
        format!("{protocol};cause={cause};text=\"{text}\"")
    }
}
