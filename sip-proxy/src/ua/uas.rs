//! Legs that others make: who may call, what is refused, how an INVITE is answered (RFC 3261 §8.2, §13.3).

use core::net::SocketAddr;

use bytes::Bytes;
use sansio::{Duration, Instant, Outbox};

use super::digest::{Challenger, Verdict};
use super::leg::{Leg, State, Success, Waiting};
use super::overload::announces;
use super::session_timer::Sender;
use super::update::allows_update;
use super::{
    ACCEPT, ALLOW, Arrival, Caller, EndedBy, Event, How, LegError, LegKey, Output, Reason, SDP, UserAgent,
    reason_value,
};
use crate::dialog::Dialog;
use crate::mark::MARK_BYTES;
use crate::status::reason_phrase;
use crate::transaction::{ServerKey, Why};
use crate::transport::{Standing, makes_secure_dialog};
use crate::wire::{
    Credentials, HeaderName, Message, Method, Scheme, Transport, Uri, Writer, handling, is_kind, respond_with,
};

/// The extension by which a client asks for a safe way to speak (RFC 3329).
const SECURITY_AGREEMENT: &str = "sec-agree";

/// Who a request that needs a password is from.
pub(super) enum Identity {
    /// This account.
    Account(u64),
    /// Nobody yet; it has been answered or dropped.
    Dealt,
}

impl UserAgent {
    /// An INVITE outside of a dialog.
    ///
    /// What cannot be done for anybody is refused first: that needs no look-up, and a sender that has got its
    /// message wrong learns it whoever it is.
    pub(super) fn incoming(
        &mut self,
        now: Instant,
        arrival: Arrival,
        request: Message,
        out: &mut Outbox<Output>,
    ) {
        if !self.is_acceptable(arrival, &request, out) {
            return;
        }
        let from = match self.trunk_of(arrival) {
            Some(trunk) => Caller::Trunk(trunk),
            None if self.is_of_sibling(&request) => Caller::Sibling,
            None => {
                let known = request
                    .from()
                    .ok()
                    .and_then(|from| from.uri().ok())
                    .and_then(|uri| uri.user)
                    .is_some_and(|user| self.registrar.by_name(user).is_some());
                // Asked for a password all the same: what is answered must not tell which names exist.
                self.layer.counters.refused_unknown += u64::from(!known);
                match self.identify(now, arrival, &request, out) {
                    Identity::Account(account) => Caller::Account(account),
                    Identity::Dealt => return,
                }
            }
        };
        if self.draining {
            return self.refuse_busy(arrival, &request, out);
        }
        let most = self.config.guarding.dialogs_per_source_max;
        if matches!(from, Caller::Account(_)) && !self.crowd.has_room(arrival.source.ip(), most) {
            self.layer.counters.crowded += 1;
            return self.refuse_busy(arrival, &request, out);
        }
        if request.max_forwards() == Some(0) {
            return self.reply(arrival, &request, 483, out);
        }
        if self.is_own_call(&request) {
            return self.reply(arrival, &request, 482, out);
        }
        if !self.has_one_contact(arrival, &request, out)
            || !self.has_long_enough_interval(arrival, &request, out)
        {
            return;
        }
        self.begin_leg(now, arrival, from, request, out);
    }

    fn begin_leg(
        &mut self,
        now: Instant,
        arrival: Arrival,
        from: Caller,
        request: Message,
        out: &mut Outbox<Output>,
    ) {
        let replaces = match self.replaced_by(&request) {
            Ok(replaces) => replaces,
            Err(status) => return self.reply(arrival, &request, status, out),
        };
        let Ok(reliable) = self.reliability(&request) else {
            return self.require_reliable(arrival, &request, out);
        };
        let random = self.layer.rng.next_u64();
        let mut leg = Leg::of_callee(arrival, from, random);
        leg.reliable = reliable;
        leg.secure = makes_secure_dialog(&request);
        leg.allows_update = allows_update(&request);
        let Ok(key) = self.legs.insert(leg) else {
            return self.refuse_busy(arrival, &request, out);
        };
        let tag = self.tag(key, random);
        let Some(server) = self.begin_invite(arrival, &request, &tag) else {
            self.legs.remove(key);
            return self.refuse_busy(arrival, &request, out);
        };
        self.layer.counters.legs += 1;
        match from {
            Caller::Trunk(trunk) => self.count_leg(Some(trunk), false, true),
            Caller::Account(_) => self.crowd.add(arrival.source.ip()),
            Caller::Sibling => {}
        }
        if let Some(state) = self.layer.server_mut(server) {
            state.leg = Some(key);
        }
        // Our own sequence starts anywhere below 2^31 (RFC 3261 §8.1.1.5).
        let mut dialog = Dialog::of_callee(&request, &tag, 0);
        if let Caller::Trunk(trunk) = from {
            dialog.overload_control = announces(&self.trunks, Some(trunk));
        }
        // RFC 3261 §13.3.1: an invitation may be for a while only.
        let valid = request.seconds(HeaderName::Expires).map(|s| Duration::from_secs(s.into()));
        let valid = valid.filter(|valid| *valid < self.config.ringing_max);
        let wait = valid.unwrap_or(self.config.ringing_max);
        let ringing = self.layer.deadlines.arm(now + wait, Why::Ringing(key));
        if let Some(leg) = self.legs.get_mut(key) {
            leg.expires = valid.is_some();
            leg.server = Some(server);
            leg.ringing = Some(ringing);
            if !leg.symmetric {
                (leg.listener, leg.peer) =
                    self.layer.outlets.hop(dialog.next_hop(), arrival.listener, arrival.source);
            }
            leg.dialog = Some(Box::new(dialog));
        }
        self.note_session_wish(key, &request);
        self.respond_invite(now, server, 100, None, &[], out);
        out.push(Output::Event(Event::Incoming {
            leg: key,
            listener: arrival.listener,
            source: arrival.source,
            from,
            replaces,
            request: Box::new(request),
        }));
    }

    /// The server transaction of an INVITE or re-INVITE, with the header lines that its responses share.
    pub(super) fn begin_invite(
        &mut self,
        arrival: Arrival,
        request: &Message,
        tag: &[u8; MARK_BYTES],
    ) -> Option<ServerKey> {
        let tag = core::str::from_utf8(tag).ok();
        self.layer.scratch.clear();
        // Written as a response that repeats no Record-Route; the status line is cut off.
        respond_with(&mut self.layer.scratch, request, 100, "", tag, arrival.source, arrival.overload)
            .no_body();
        let line = memchr::memchr(b'\n', &self.layer.scratch).map_or(0, |at| at + 1);
        let end = self.layer.scratch.len() - b"Content-Length: 0\r\n\r\n".len();
        let head = Bytes::copy_from_slice(&self.layer.scratch[line..end]);
        let mut record_routes = Vec::new();
        for value in request.headers(HeaderName::RecordRoute) {
            for part in [b"Record-Route: ".as_slice(), value, b"\r\n"] {
                record_routes.extend_from_slice(part);
            }
        }
        let to = self.reply_address(request, arrival);
        self.layer.begin_invite(request, arrival.listener, to, head, record_routes.into())
    }

    /// Sends a response to an INVITE that is in progress; gives what was sent and where.
    /// With `sdp` it carries Contact and that body (which may be empty).
    pub(super) fn respond_invite(
        &mut self,
        now: Instant,
        server: ServerKey,
        status: u16,
        sdp: Option<&[u8]>,
        reason: &[u8],
        out: &mut Outbox<Output>,
    ) -> Option<(Bytes, SocketAddr)> {
        self.respond_invite_with(now, server, status, sdp, reason, |_, _| {}, out)
    }

    /// The same with further header lines.
    #[allow(clippy::too_many_arguments, reason = "the parts of one response")]
    pub(super) fn respond_invite_with(
        &mut self,
        now: Instant,
        server: ServerKey,
        status: u16,
        sdp: Option<&[u8]>,
        reason: &[u8],
        more: impl FnOnce(Option<&Leg>, &mut Writer<'_>),
        out: &mut Outbox<Output>,
    ) -> Option<(Bytes, SocketAddr)> {
        let state = self.layer.server(server)?;
        let (head, record_routes, to) = (state.head.clone(), state.record_routes.clone(), state.to);
        let (leg, listener) = (state.leg, state.listener);
        let contact =
            leg.and_then(|key| self.legs.get(key).map(|leg| (self.tag(key, leg.random), leg.secure)));
        let carried = leg.filter(|_| status > 100).and_then(|key| self.take_carried(key));
        let boundary = carried.as_ref().map(|_| self.loose_branch());
        self.layer.scratch.clear();
        let mut writer = Writer::response(&mut self.layer.scratch, status, reason_phrase(status));
        writer.lines(&head);
        if (101..300).contains(&status) {
            writer.lines(&record_routes);
            if let Some((tag, secure)) = contact {
                self.layer.outlets.write_contact(listener, secure, &tag, &mut writer);
            }
            writer.header(HeaderName::Allow, ALLOW);
            if status >= 200 {
                writer.header(HeaderName::Supported, &self.supported);
            }
        }
        if status > 100 {
            writer.header(HeaderName::Server, self.config.user_agent.as_bytes());
        }
        if !reason.is_empty() {
            writer.header(HeaderName::Reason, reason);
        }
        more(leg.and_then(|key| self.legs.get(key)), &mut writer);
        match carried.zip(boundary) {
            Some((carried, boundary)) => {
                writer.lines(&carried.lines);
                carried.finish(writer, sdp.unwrap_or_default(), &boundary);
            }
            None => super::uac::finish(writer, sdp.unwrap_or_default()),
        }
        let response = self.layer.written();
        self.layer.respond_invite(now, server, status, response.clone(), out);
        Some((response, to))
    }

    /// Sends 101 to 199 on an incoming leg.
    ///
    /// # Errors
    /// When the leg is gone or answered.
    pub fn provisional(
        &mut self,
        now: Instant,
        leg: LegKey,
        code: u16,
        sdp: Option<&[u8]>,
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        let server = self.open_invite(leg, State::Incoming)?;
        let code = code.clamp(101, 199);
        if !self.provisional_reliably(now, leg, code, sdp, out) {
            self.respond_invite(now, server, code, sdp, &[], out);
        }
        Ok(())
    }

    /// Answers an incoming leg with 200.
    ///
    /// # Errors
    /// When the leg is gone or answered.
    pub fn answer(
        &mut self,
        now: Instant,
        leg: LegKey,
        sdp: &[u8],
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        let server = self.open_invite(leg, State::Incoming)?;
        let reliable = self.legs.get(leg).and_then(|leg| leg.reliable.as_ref());
        let unacknowledged = reliable.and_then(|reliable| reliable.unacknowledged.as_ref());
        if unacknowledged.is_some_and(|sent| sent.described) {
            // RFC 3262 §3: not before the PRACK to the description.
            let carried = self.take_carried(leg);
            let fork = self.legs.get(leg).map_or(0, |leg| leg.fork);
            if let Some(reliable) = self.legs.get_mut(leg).and_then(|leg| leg.reliable.as_mut()) {
                let sdp = Some(Bytes::copy_from_slice(sdp));
                reliable.answer = Some(Waiting { code: 200, sdp, carried, fork });
            }
            return Ok(());
        }
        self.stop_reliable(leg);
        self.succeed(now, leg, server, sdp, false, out);
        if let Some(leg) = self.legs.get_mut(leg) {
            // RFC 3261 §13.2.2.4: the early dialogs of the other forks are over.
            leg.forks = Vec::new();
            leg.state = State::Answered;
            leg.answered = true;
            self.layer.disarm(&mut leg.ringing);
        }
        Ok(())
    }

    /// Refuses an incoming leg with 300 to 699; `Ended` follows.
    ///
    /// # Errors
    /// When the leg is gone or answered.
    pub fn reject(
        &mut self,
        now: Instant,
        leg: LegKey,
        code: u16,
        reason: Reason<'_>,
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        let server = self.open_invite(leg, State::Incoming)?;
        let code = code.clamp(300, 699);
        self.respond_invite(now, server, code, None, &reason_value(&reason), out);
        self.end(now, leg, How::by(EndedBy::Local).code(code), out);
        Ok(())
    }

    /// The INVITE or re-INVITE of the peer that waits for our final response.
    pub(super) fn open_invite(&self, leg: LegKey, state: State) -> Result<ServerKey, LegError> {
        let leg = self.legs.get(leg).ok_or(LegError::Gone)?;
        if leg.state.is_over() {
            return Err(LegError::Gone);
        }
        let server =
            leg.server.filter(|server| self.layer.is_proceeding(*server)).ok_or(LegError::WrongState)?;
        if leg.state == state { Ok(server) } else { Err(LegError::WrongState) }
    }

    /// Sends 200 to an INVITE and repeats it until the ACK comes (RFC 3261 §13.3.1.4).
    pub(super) fn succeed(
        &mut self,
        now: Instant,
        key: LegKey,
        server: ServerKey,
        sdp: &[u8],
        reinvite: bool,
        out: &mut Outbox<Output>,
    ) {
        let (cseq, offer) = self.layer.server(server).map_or((0, false), |server| (server.cseq, server.bare));
        let more = |leg: Option<&Leg>, writer: &mut Writer<'_>| {
            if let Some(timer) = leg.and_then(|leg| leg.timer.as_ref()).filter(|timer| timer.known) {
                timer.write(Sender::Peer, false, writer);
            }
        };
        let sent = self.respond_invite_with(now, server, 200, Some(sdp), &[], more, out);
        let Some((response, to)) = sent else { return };
        self.note_local_description(key, sdp);
        self.session_refreshed(now, key);
        let interval = self.layer.timers.t1;
        let retransmit = self.layer.deadlines.arm(now + interval, Why::SuccessRetransmit(key));
        let timeout =
            self.layer.deadlines.arm(now + self.layer.timers.transaction(), Why::SuccessTimeout(key));
        let Some(leg) = self.legs.get_mut(key) else { return };
        leg.server = None;
        leg.success = Some(Box::new(Success {
            cseq,
            response,
            to,
            reinvite,
            offer,
            interval,
            retransmit: Some(retransmit),
            timeout: Some(timeout),
            reason: Box::default(),
        }));
    }

    /// Our 2xx again: intervals double up to T2.
    pub(super) fn repeat_success(&mut self, now: Instant, key: LegKey, out: &mut Outbox<Output>) {
        let t2 = self.layer.timers.t2;
        let Some(leg) = self.legs.get_mut(key) else { return };
        let Some(success) = &mut leg.success else { return };
        success.interval = (success.interval * 2).min(t2);
        success.retransmit =
            Some(self.layer.deadlines.arm(now + success.interval, Why::SuccessRetransmit(key)));
        let (response, to, listener) = (success.response.clone(), success.to, leg.listener);
        self.layer.counters.retransmissions_sent += 1;
        self.layer.counters.responses_repeated += 1;
        self.layer.send(listener, to, response, out);
    }

    /// No ACK for 64·T1: the dialog stands, the session is to be ended (RFC 3261 §13.3.1.4, §14.2).
    pub(super) fn success_unacknowledged(&mut self, now: Instant, key: LegKey, out: &mut Outbox<Output>) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        let Some(mut success) = leg.success.take() else { return };
        self.layer.disarm(&mut success.retransmit);
        self.layer.counters.timeouts += 1;
        self.layer.counters.timeouts_ack += 1;
        let reason: &[u8] = if success.reason.is_empty() { UNACKNOWLEDGED } else { &success.reason };
        self.end_with_bye(now, key, How::by(EndedBy::Timeout), reason, out);
    }

    /// An ACK that may be one to our 2xx. One that matches nothing is dropped.
    pub(super) fn success_acknowledged(&mut self, now: Instant, ack: &Message, out: &mut Outbox<Output>) {
        let Some(key) = self.leg_of(ack) else { return };
        let Some(leg) = self.legs.get(key) else { return };
        if leg.success.as_ref().is_none_or(|success| success.cseq != ack.cseq().0) {
            return;
        }
        self.success_arrived(now, key, ack.session_description(), out);
    }

    /// The peer has our 2xx: its ACK is here, with this session description, or what follows the ACK.
    pub(super) fn success_arrived(
        &mut self,
        now: Instant,
        key: LegKey,
        sdp: Option<Bytes>,
        out: &mut Outbox<Output>,
    ) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        let Some(mut success) = leg.success.take() else { return };
        self.layer.disarm(&mut success.retransmit);
        self.layer.disarm(&mut success.timeout);
        match leg.state {
            State::AwaitingAck => {
                leg.state = State::Ending;
                self.send_bye(now, key, &success.reason, out);
            }
            State::Ending => {}
            _ => {
                leg.state = State::Confirmed;
                leg.reliable = None;
                let owner = leg.owner;
                out.push(Output::Event(if success.reinvite {
                    Event::ReofferConfirmed { leg: key, owner, sdp }
                } else {
                    Event::Confirmed { leg: key, owner, sdp }
                }));
            }
        }
    }

    /// CANCEL (RFC 3261 §9.2).
    pub(super) fn cancelled(
        &mut self,
        now: Instant,
        arrival: Arrival,
        cancel: &Message,
        out: &mut Outbox<Output>,
    ) {
        let Some(server) = self.layer.invite_of(cancel) else {
            return self.answer_request(now, arrival, cancel, 481, |_| {}, out);
        };
        let leg = self.layer.server(server).and_then(|server| server.leg);
        // The To tag of the 200 is that of the response to the INVITE (RFC 3261 §9.2).
        let tag = leg.and_then(|key| self.legs.get(key).map(|leg| self.tag(key, leg.random)));
        let tag = tag.as_ref().and_then(|tag| core::str::from_utf8(tag).ok());
        let response = self.response_to(arrival, cancel, 200, reason_phrase(200), tag, |_| {});
        let to = self.reply_address(cancel, arrival);
        self.layer.answer_once(now, Method::Cancel, arrival.listener, to, response, out);
        let (Some(key), true) = (leg, self.layer.is_proceeding(server)) else { return };
        self.respond_invite(now, server, 487, None, &[], out);
        let Some(leg) = self.legs.get_mut(key) else { return };
        leg.server = None;
        // A cancelled re-INVITE leaves the session as it is.
        if leg.state == State::Incoming {
            self.end(now, key, How::by(EndedBy::Remote).code(487).said_in(cancel), out);
        }
    }

    /// OPTIONS outside of a dialog (RFC 3261 §11.2). Answered without memory: floods cost nothing but themselves.
    pub(super) fn options(&mut self, arrival: Arrival, request: &Message, out: &mut Outbox<Output>) {
        if self.draining {
            return self.refuse_busy(arrival, request, out);
        }
        if !self.has_known_scheme(arrival, request, out) || !self.has_known_extensions(arrival, request, out)
        {
            return;
        }
        let supported = self.supported.clone();
        let more = |writer: &mut Writer<'_>| capabilities(&supported, writer);
        self.reply_with(arrival, request, 200, reason_phrase(200), more, out);
    }

    /// RFC 3261 §8.1.1.8: an INVITE has exactly one Contact. (RFC 2543 let it be; From takes its place.)
    pub(super) fn has_one_contact(
        &mut self,
        arrival: Arrival,
        request: &Message,
        out: &mut Outbox<Output>,
    ) -> bool {
        let fault = match (request.contact(), request.contacts().nth(1)) {
            (None, _) if request.top_via().has_rfc3261_branch() => "Missing Contact",
            (_, Some(_)) => "Too Many Contacts",
            _ => return true,
        };
        self.reply_with(arrival, request, 400, fault, |_| {}, out);
        false
    }

    /// What every request that makes a session is checked for (RFC 3261 §8.2.2, §8.2.3, §20.1).
    pub(super) fn is_acceptable(
        &mut self,
        arrival: Arrival,
        request: &Message,
        out: &mut Outbox<Output>,
    ) -> bool {
        if !self.has_known_scheme(arrival, request, out) || !self.has_known_extensions(arrival, request, out)
        {
            return false;
        }
        let encoded = request
            .values(HeaderName::ContentEncoding)
            .any(|encoding| !encoding.eq_ignore_ascii_case(b"identity"));
        let Ok(parts) = request.parts() else {
            self.reply_with(arrival, request, 400, "Bad Multipart Body", |_| {}, out);
            return false;
        };
        // RFC 5621 §8.2: what must be known of a body, and is not.
        let unknown = parts.iter().any(|part| part.is_required() && !part.is_session());
        let unread =
            || !request.body().is_empty() && request.session_description().is_none() && !is_optional(request);
        if encoded || unknown || unread() {
            let more = |writer: &mut Writer<'_>| {
                writer.header(HeaderName::Accept, ACCEPT).header(HeaderName::AcceptEncoding, b"identity");
            };
            self.reply_with(arrival, request, 415, reason_phrase(415), more, out);
            return false;
        }
        if request.has(HeaderName::Accept) && !accepts_sdp(request) {
            self.reply(arrival, request, 406, out);
            return false;
        }
        true
    }

    pub(super) fn has_known_scheme(
        &mut self,
        arrival: Arrival,
        request: &Message,
        out: &mut Outbox<Output>,
    ) -> bool {
        match Uri::parse(request.request_uri()).map(|uri| uri.scheme) {
            Ok(Scheme::Sips) if !self.is_secure(arrival) => {
                // RFC 5630 §4: it has not come safely all the way, and we do not pretend that it has.
                let more = |writer: &mut Writer<'_>| {
                    writer.header_text("Warning", b"380 dialerd \"SIPS Not Allowed\"");
                };
                self.reply_with(arrival, request, 480, reason_phrase(480), more, out);
                false
            }
            Ok(Scheme::Sip | Scheme::Sips) => true,
            // A number needs no SIP URI around it.
            Ok(Scheme::Tel) if request.method() == Method::Invite => true,
            _ => {
                self.reply(arrival, request, 416, out);
                false
            }
        }
    }

    /// It came over TLS.
    fn is_secure(&self, arrival: Arrival) -> bool {
        matches!(self.layer.outlets.transport(arrival.listener), Transport::Tls | Transport::Wss)
    }

    /// RFC 3261 §8.2.2.3: what a peer requires and we do not know gets 420, with its name.
    pub(super) fn has_known_extensions(
        &mut self,
        arrival: Arrival,
        request: &Message,
        out: &mut Outbox<Output>,
    ) -> bool {
        if !request.has(HeaderName::Require) && !request.has(HeaderName::ProxyRequire) {
            return true;
        }
        let names = [HeaderName::Require, HeaderName::ProxyRequire];
        let agrees = names.into_iter().any(|name| request.lists(name, SECURITY_AGREEMENT));
        let secure = self.is_secure(arrival);
        if agrees && !secure && self.layer.outlets.offers_tls() {
            // RFC 3329 §2.3.1: what we can be spoken with safely.
            let more = |writer: &mut Writer<'_>| {
                writer.header_text("Security-Server", b"tls;q=0.1");
                writer.header(HeaderName::Require, SECURITY_AGREEMENT.as_bytes());
            };
            self.reply_with(arrival, request, 494, reason_phrase(494), more, out);
            return false;
        }
        let known = &self.supported;
        let unknown = |name: HeaderName| {
            // Proxy-Require is for proxies, of which we are none.
            let of_proxies = name == HeaderName::ProxyRequire;
            let agreed =
                move |value: &[u8]| secure && value.eq_ignore_ascii_case(SECURITY_AGREEMENT.as_bytes());
            request
                .values(name)
                .filter(move |value| (of_proxies || !is_listed(known, value)) && !agreed(value))
        };
        if names.into_iter().all(|name| unknown(name).next().is_none()) {
            return true;
        }
        let known = known.clone();
        let more = |writer: &mut Writer<'_>| {
            for name in names {
                let of_proxies = name == HeaderName::ProxyRequire;
                let stranger = |value: &&[u8]| {
                    let agreed = secure && value.eq_ignore_ascii_case(SECURITY_AGREEMENT.as_bytes());
                    (of_proxies || !is_listed(&known, value)) && !agreed
                };
                for value in request.values(name).filter(stranger) {
                    writer.header(HeaderName::Unsupported, value);
                }
            }
        };
        self.reply_with(arrival, request, 420, reason_phrase(420), more, out);
        false
    }

    /// Whether what comes from there is a trunk's.
    #[must_use]
    pub fn is_trunks(&self, listener: u8, source: SocketAddr) -> bool {
        self.trunk_of(Arrival { listener, source, standing: Standing::Stranger, overload: None }).is_some()
    }

    /// The trunk whose requests come from there.
    pub(super) fn trunk_of(&self, arrival: Arrival) -> Option<u64> {
        let any_port = self.layer.is_reliable(arrival.listener);
        let names = self.layer.outlets.names(arrival.listener, arrival.source);
        self.sources.trunk_of(arrival.source, any_port, names)
    }

    /// Asks for a password and checks it. A wrong one gets 403, and its address is slowed down.
    pub(super) fn identify(
        &mut self,
        now: Instant,
        arrival: Arrival,
        request: &Message,
        out: &mut Outbox<Output>,
    ) -> Identity {
        let ip = arrival.source.ip();
        if self.slow.must_wait(now, ip) && !self.is_at_home(now, arrival.source, request) {
            self.layer.counters.slowed += 1;
            return Identity::Dealt;
        }
        let mut stale = false;
        let mut challenger = Challenger {
            settings: &self.config.digest,
            realm: &self.config.realm,
            secret: &self.layer.secret,
            nonces: &mut self.nonces,
        };
        if let Some(given) = challenger.credentials(request) {
            let account = self.registrar.by_name(given.username);
            let key = account.map(|account| account.key);
            // An unknown name is as wrong as a wrong password, and takes as long to find out.
            let password = account.map_or("", |account| account.login.password.as_str());
            let verdict = challenger.check(now, request, &given, password.as_bytes());
            match (key, verdict) {
                (Some(_), Verdict::Right) if !is_about(&given, request) => {
                    self.reply_with(arrival, request, 400, "Digest Of Another URI", |_| {}, out);
                    return Identity::Dealt;
                }
                (Some(account), Verdict::Right) => {
                    self.slow.clear(ip);
                    let lasts = self.config.register.expires_max;
                    self.guard.befriend(now, &self.layer.secret, ip, lasts);
                    return Identity::Account(account);
                }
                (Some(_), Verdict::Stale) => {
                    self.layer.counters.nonces_stale += 1;
                    stale = true;
                }
                (key, _) => {
                    self.layer.counters.auth_failures += 1;
                    let failures = self.slow.failed(now, ip, self.config.limits.slowed_sources_max);
                    let failures_max = self.guard.failures_max();
                    if failures_max > 0 && failures >= failures_max {
                        let banned = self.guard.ban(now, &self.layer.secret, ip);
                        self.layer.counters.bans += u64::from(banned);
                    }
                    self.reply(arrival, request, 403, out);
                    let failure = Event::AuthFailure { source: arrival.source, account: key };
                    out.push(Output::Event(failure));
                    return Identity::Dealt;
                }
            }
        }
        self.ask_for_password(now, arrival, request, stale, out);
        Identity::Dealt
    }

    /// 401 with a challenge for each hash offered.
    fn ask_for_password(
        &mut self,
        now: Instant,
        arrival: Arrival,
        request: &Message,
        stale: bool,
        out: &mut Outbox<Output>,
    ) {
        self.layer.counters.challenges_sent += 1;
        let (mut nonces, secret) = (core::mem::take(&mut self.nonces), self.layer.secret);
        let (digest, realm) = (self.config.digest.clone(), self.config.realm.clone());
        let more = |writer: &mut Writer<'_>| {
            Challenger { settings: &digest, realm: &realm, secret: &secret, nonces: &mut nonces }
                .challenge(now, stale, writer);
        };
        self.reply_with(arrival, request, 401, reason_phrase(401), more, out);
        self.nonces = nonces;
    }
}

impl UserAgent {
    /// Whether a request comes from the very address and port where the phone it claims to be is registered. Such a
    /// phone has shown its password there, so it need not wait for what someone else behind its NAT does.
    fn is_at_home(&self, now: Instant, source: SocketAddr, request: &Message) -> bool {
        let user = request.from().ok().and_then(|from| from.uri().ok()).and_then(|uri| uri.user);
        let account = user.and_then(|user| self.registrar.by_name(user));
        account.is_some_and(|account| self.registrar.is_at(now, account.key, source))
    }
}

/// Whether a list of tokens names this one.
fn is_listed(list: &[u8], token: &[u8]) -> bool {
    crate::wire::comma_split(list).any(|known| known.eq_ignore_ascii_case(token))
}

/// Whether a digest was made over the request it came in (RFC 7616 §3.4.6). Hosts may differ, proxies change them,
/// and clients that leave the user out of the URI are common; a digest made for one number does not reach another.
fn is_about(given: &Credentials<'_>, request: &Message) -> bool {
    let user = |uri| Uri::parse(uri).ok().and_then(|uri| uri.user);
    match (user(given.uri), user(request.request_uri())) {
        (Some(given), Some(asked)) => given == asked,
        _ => true,
    }
}

/// What an OPTIONS asks for.
pub(super) fn capabilities(supported: &[u8], writer: &mut Writer<'_>) {
    writer
        .header(HeaderName::Allow, ALLOW)
        .header(HeaderName::Supported, supported)
        .header(HeaderName::Accept, ACCEPT)
        .header(HeaderName::AcceptEncoding, b"identity")
        .header(HeaderName::AcceptLanguage, b"en");
}

/// RFC 3261 §20.11: a body with `handling=optional` may be passed over.
fn is_optional(request: &Message) -> bool {
    let disposition = request.header(HeaderName::ContentDisposition).unwrap_or_default();
    handling(disposition).is_some_and(|handling| handling.eq_ignore_ascii_case(b"optional"))
}

/// RFC 3261 §20.1: an Accept that does not take application/sdp cannot be satisfied.
fn accepts_sdp(request: &Message) -> bool {
    request
        .values(HeaderName::Accept)
        .any(|value| is_kind(value, SDP) || is_kind(value, b"application/*") || is_kind(value, b"*/*"))
}

impl Leg {
    fn of_callee(arrival: Arrival, from: Caller, random: u64) -> Leg {
        Leg {
            owner: 0,
            state: State::Incoming,
            listener: arrival.listener,
            caller: false,
            symmetric: !matches!(from, Caller::Trunk(_)),
            secure: false,
            answered: false,
            random,
            fork: 0,
            forks: Vec::new(),
            trunk: match from {
                Caller::Trunk(trunk) => Some(trunk),
                Caller::Account(_) | Caller::Sibling => None,
            },
            source: matches!(from, Caller::Account(_)).then(|| arrival.source.ip()),
            peer: arrival.source,
            dialog: None,
            invite: None,
            server: None,
            ringing: None,
            expires: false,
            calling: None,
            success: None,
            offer: None,
            update: None,
            media_lines: 0,
            allows_update: false,
            timer: None,
            transfers: None,
            reliable: None,
            answerers: Vec::new(),
            challenges: 0,
            carried: None,
        }
    }
}

/// Reason of the BYE to a caller who never acknowledged our answer.
const UNACKNOWLEDGED: &[u8] = b"SIP;cause=408;text=\"No ACK\"";

/// Seconds of Retry-After in the 500 to an INVITE that comes while another one waits (RFC 3261 §14.2: 0 to 10).
pub(super) const RETRY_AFTER_PENDING: Duration = Duration::from_secs(10);
