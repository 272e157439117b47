//! Requests that pass through us and make no session: MESSAGE (RFC 3428), and methods we do not know, within a dialog
//! and outside of one. Each becomes a request of its own on the other side, whose final response is passed back.

use core::net::SocketAddr;

use sansio::{Instant, Outbox};

use super::aim::Way;
use super::leg::State;
use super::overload::announces;
use super::{ALLOW, Arrival, Caller, Event, LegError, LegKey, Output, UserAgent};
use crate::mark::{MARK_BYTES, Mark};
use crate::status::reason_phrase;
use crate::transaction::{ClientUser, ServerKey};
use crate::wire::{HeaderName, Message, Method, Transport, Uri, Writer};

/// A handle to a request that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKey(ServerKey);

/// A request outside of a dialog to send on.
#[derive(Debug, Clone)]
pub struct Outward<'a> {
    /// Which listener sends it.
    pub listener: u8,
    /// Where to; not used where the trunk has a name.
    pub destination: SocketAddr,
    /// The trunk it goes to.
    pub trunk: Option<u64>,
    /// Request-URI, and URI of To.
    pub request_uri: &'a str,
    /// URI of From.
    pub from_uri: &'a str,
    /// Display name of From; empty for none.
    pub from_display: &'a str,
    /// URI of P-Asserted-Identity.
    pub p_asserted_identity: Option<&'a str>,
    /// Further headers: name and value.
    pub headers: &'a [(&'a str, &'a str)],
    /// One less than that of the request it goes on from.
    pub max_forwards: u8,
}

/// Bodies of INFO that say a digit.
pub(super) const DIGITS: [&[u8]; 2] = [b"application/dtmf-relay", b"application/dtmf"];

/// What an INFO is answered that means nothing to us and is passed to nobody: 469 where it names a package, since we
/// have told of none, 415 for a body of another kind than digits, else 200 (RFC 6086 §4.2.2, RFC 2976 §2.2).
#[must_use]
pub fn info_status(request: &Message) -> u16 {
    match request.header_by_text(INFO_PACKAGE) {
        Some(_) => 469,
        None if request.body().is_empty() => 200,
        None => 415,
    }
}

const INFO_PACKAGE: &str = "Info-Package";
const RECV_INFO: &str = "Recv-Info";

/// What a refusal says about what would be taken: 405 and 501 of methods, 415 to an INFO, 469 of its packages: none.
pub(super) fn takes(status: u16, writer: &mut Writer<'_>) {
    match status {
        405 | 501 => {
            writer.header(HeaderName::Allow, ALLOW);
        }
        415 => {
            writer.header(HeaderName::Accept, &DIGITS.join(&b", "[..]));
        }
        469 => {
            writer.header_text(RECV_INFO, b"");
        }
        _ => {}
    }
}

/// Whether those above are asked what becomes of a request of this method.
pub(super) const fn is_passed(method: Method) -> bool {
    matches!(method, Method::Message | Method::Other)
}

impl UserAgent {
    /// A request outside of a dialog that those above may know what to do with: one of a trunk. Nobody else is known
    /// well enough to have something passed.
    pub(super) fn outside(
        &mut self,
        now: Instant,
        arrival: Arrival,
        request: Message,
        out: &mut Outbox<Output>,
    ) {
        let Some(trunk) = self.trunk_of(arrival) else {
            return self.not_allowed(arrival, &request, out);
        };
        if self.draining {
            return self.refuse_busy(arrival, &request, out);
        }
        if !self.has_known_scheme(arrival, &request, out)
            || !self.has_known_extensions(arrival, &request, out)
        {
            return;
        }
        if request.max_forwards() == Some(0) {
            return self.reply(arrival, &request, 483, out);
        }
        let random = self.layer.rng.next_u64();
        let tag = Mark { shard: self.layer.shard, key: 0, random }.text();
        self.ask_above(now, arrival, None, Some(Caller::Trunk(trunk)), &tag, request, out);
    }

    /// The same within the dialog of a leg.
    pub(super) fn inside(
        &mut self,
        now: Instant,
        arrival: Arrival,
        key: LegKey,
        request: &Message,
        out: &mut Outbox<Output>,
    ) {
        let Some(leg) = self.legs.get(key) else { return };
        let (tag, owner) = (self.tag(key, leg.random), leg.owner);
        if !matches!(leg.state, State::Confirmed | State::Answered) {
            return self.not_allowed(arrival, request, out);
        }
        self.ask_above(now, arrival, Some((key, owner)), None, &tag, request.clone(), out);
    }

    #[allow(clippy::too_many_arguments, reason = "one request and where it came")]
    fn ask_above(
        &mut self,
        now: Instant,
        arrival: Arrival,
        leg: Option<(LegKey, u64)>,
        from: Option<Caller>,
        tag: &[u8; MARK_BYTES],
        request: Message,
        out: &mut Outbox<Output>,
    ) {
        let Some(server) = self.begin_invite(arrival, &request, tag) else {
            return self.refuse_busy(arrival, &request, out);
        };
        self.layer.await_answer(now, server);
        let key = RequestKey(server);
        out.push(Output::Event(Event::Request { key, leg, from, request: Box::new(request) }));
    }

    /// Answers a `Request` with 200 to 699; 405 and 501 say what we take, 415 and 469 what of an INFO.
    pub fn respond(&mut self, now: Instant, key: RequestKey, code: u16, out: &mut Outbox<Output>) {
        let code = code.clamp(200, 699);
        let more = |_: Option<&super::Leg>, writer: &mut Writer<'_>| takes(code, writer);
        self.respond_invite_with(now, key.0, code, None, &[], more, out);
    }

    /// Sends a `Request` on in the dialog of another leg; its answer is passed back.
    ///
    /// # Errors
    /// When that leg is not confirmed, or a limit is reached; the request still waits for an answer.
    pub fn relay_within(
        &mut self,
        now: Instant,
        key: RequestKey,
        request: &Message,
        leg: LegKey,
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        let known = self.legs.get(leg).ok_or(LegError::Gone)?;
        if known.state != State::Confirmed {
            return Err(if known.state.is_over() { LegError::Gone } else { LegError::WrongState });
        }
        let text = request.method_text();
        let user = ClientUser::Relayed(key.0);
        let carried = self.take_carried(leg);
        let more = |writer: &mut Writer<'_>| {
            if let Some(carried) = carried {
                writer.lines(&carried.lines);
            }
            content_headers(request, writer);
            if let Some(package) = request.header_by_text(INFO_PACKAGE) {
                writer.header_text(INFO_PACKAGE, package);
            }
        };
        let body = (!request.body().is_empty()).then(|| (content_type(request), request.body()));
        let sent = self.send_within_text(now, leg, (request.method(), text), user, more, body, out);
        if sent { Ok(()) } else { Err(LegError::Limit) }
    }

    /// Sends a `Request` on outside of a dialog; its answer is passed back. False when it cannot be: the request still
    /// waits for an answer.
    pub fn relay_out(
        &mut self,
        now: Instant,
        key: RequestKey,
        request: &Message,
        to: &Outward<'_>,
        out: &mut Outbox<Output>,
    ) -> bool {
        let uris = [Some(to.request_uri), Some(to.from_uri), to.p_asserted_identity];
        if uris.into_iter().flatten().any(|uri| Uri::parse(uri.as_bytes()).is_err()) {
            return false;
        }
        let named = |trunk: &u64| self.trunks.get(trunk).is_some_and(|state| state.trunk.wanted.is_some());
        let (listener, destination) = match to.trunk.filter(named).map(|trunk| self.way_to(now, trunk, out)) {
            None => (to.listener, to.destination),
            Some(Way::Paths(paths)) if !paths.is_empty() => paths[0],
            // Nobody rings meanwhile: whoever sent it tries again.
            Some(_) => return false,
        };
        if usize::from(listener) >= self.config.listeners.len() || self.must_withhold(now, destination) {
            return false;
        }
        let user = ClientUser::Relayed(key.0);
        let Some((client, branch)) = self.layer.reserve(request.method(), listener, destination, user) else {
            return false;
        };
        let mut mark = || Mark { shard: self.layer.shard, key: 0, random: self.layer.rng.next_u64() }.text();
        let (tag, call_id) = (mark(), mark());
        let sent_by = self.config.listeners[usize::from(listener)].advertised.as_bytes();
        self.layer.scratch.clear();
        let text = request.method_text();
        let mut writer = Writer::request_text(&mut self.layer.scratch, text, to.request_uri.as_bytes());
        writer
            .own_via(Transport::Udp, sent_by, &branch, announces(&self.trunks, to.trunk))
            .max_forwards(to.max_forwards)
            .address(HeaderName::From, to.from_display.as_bytes(), to.from_uri.as_bytes(), Some(&tag))
            .address(HeaderName::To, b"", to.request_uri.as_bytes(), None)
            .header(HeaderName::CallId, &call_id)
            .cseq_text(1, text)
            .header(HeaderName::UserAgent, self.config.user_agent.as_bytes());
        if let Some(identity) = to.p_asserted_identity {
            writer.address(HeaderName::PAssertedIdentity, b"", identity.as_bytes(), None);
        }
        for (name, value) in to.headers {
            writer.header_text(name, value.as_bytes());
        }
        content_headers(request, &mut writer);
        if request.body().is_empty() {
            writer.no_body();
        } else {
            writer.body(content_type(request), request.body());
        }
        drop(writer);
        let request = self.layer.written();
        self.layer.start(now, client, request, out);
        true
    }

    /// The final response to a request that was sent on, for who sent it.
    pub(super) fn relayed_final(
        &mut self,
        now: Instant,
        server: ServerKey,
        response: &Message,
        out: &mut Outbox<Output>,
    ) {
        let status = match response.status() {
            // Asked of us, who have no answer; and what is behind us is not for who is in front of us.
            401 | 407 => 403,
            300..=399 => 480,
            status => status,
        };
        let Some(state) = self.layer.server(server) else { return };
        let head = state.head.clone();
        self.layer.scratch.clear();
        let mut writer = Writer::response(&mut self.layer.scratch, status, reason_phrase(status));
        writer.lines(&head).header(HeaderName::Server, self.config.user_agent.as_bytes());
        for name in [
            HeaderName::Allow,
            HeaderName::Accept,
            HeaderName::RetryAfter,
            HeaderName::Reason,
            HeaderName::Unsupported,
        ] {
            writer.copy_from(response, name);
        }
        if let Some(packages) = response.header_by_text(RECV_INFO) {
            writer.header_text(RECV_INFO, packages);
        }
        if response.body().is_empty() {
            writer.no_body();
        } else {
            writer.body(content_type(response), response.body());
        }
        drop(writer);
        let bytes = self.layer.written();
        self.layer.respond_invite(now, server, status, bytes, out);
    }

    /// A request that was sent on got no answer. RFC 4320 §4.2: no 408 comes in time, so none is sent; who could
    /// not be reached is told of.
    pub(super) fn relayed_unanswered(
        &mut self,
        now: Instant,
        server: ServerKey,
        status: u16,
        out: &mut Outbox<Output>,
    ) {
        if status == 408 {
            self.layer.remove_server(server);
        } else {
            self.respond(now, RequestKey(server), 480, out);
        }
    }
}

/// What says how a body is to be read, but for its type.
fn content_headers(message: &Message, writer: &mut Writer<'_>) {
    for name in [
        HeaderName::ContentDisposition,
        HeaderName::ContentEncoding,
        HeaderName::ContentLanguage,
        HeaderName::MimeVersion,
        HeaderName::Subject,
        HeaderName::Expires,
        HeaderName::Date,
    ] {
        writer.copy_from(message, name);
    }
}

fn content_type(message: &Message) -> &[u8] {
    message.header(HeaderName::ContentType).unwrap_or(b"application/octet-stream")
}
