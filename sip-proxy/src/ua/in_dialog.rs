//! Requests of the peer within a dialog (RFC 3261 §12.2.2).

use bytes::Bytes;
use sansio::{Instant, Outbox};

use super::leg::{State, Success};
use super::relay::{DIGITS, info_status, is_passed, takes};
use super::uas::{RETRY_AFTER_PENDING, capabilities};
use super::{Arrival, EndedBy, Event, How, LegKey, Output, UserAgent};
use crate::mark::Mark;
use crate::status::reason_phrase;
use crate::wire::{HeaderName, Message, Method, Writer, is_kind, parse};

/// Which leg a message is about, see [`UserAgent::concern_of`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Concern {
    /// None.
    Nobody,
    /// This one.
    Leg(LegKey),
    /// One, and one that it names besides (Replaces).
    Several,
}

/// An attended transfer (RFC 3891): the Refer-To names a dialog of ours.
fn refers_to_a_dialog(request: &Message) -> bool {
    let names_one = |value: &[u8]| value.windows(9).any(|part| part.eq_ignore_ascii_case(b"replaces="));
    request.headers(HeaderName::ReferTo).any(names_one)
}

impl UserAgent {
    /// The leg whose tag of ours this is.
    fn leg_marked(&self, tag: Option<&[u8]>) -> Option<LegKey> {
        let mark = Mark::parse(tag?)?;
        let key = LegKey::from_bits(mark.key);
        let leg = self.legs.get(key)?;
        (leg.has_tag(mark.random) && mark.shard == self.layer.shard).then_some(key)
    }

    /// The leg a request with a To tag belongs to: our tag says which, and all of the dialog's identity must agree.
    pub(super) fn leg_of(&self, request: &Message) -> Option<LegKey> {
        let key = self.leg_marked(request.to_tag())?;
        match &self.legs.get(key)?.dialog {
            Some(dialog) => dialog.is_of(request).then_some(key),
            // Our INVITE is out, the peer's tag is not settled: our tag alone has to do.
            None => Some(key),
        }
    }

    /// Which leg a message is about that may end or change one: looked at, not handled. What begins a call is about none,
    /// nor is what strangers send.
    #[must_use]
    pub fn concern_of(&self, message: &Bytes) -> Concern {
        let within = [&b"BYE "[..], b"CANCEL ", b"REFER ", b"INVITE "].iter().any(|m| message.starts_with(m));
        let refusal = message.strip_prefix(b"SIP/2.0 ").and_then(|rest| rest.first());
        if !within && !refusal.is_some_and(|class| (b'3'..=b'6').contains(class)) {
            return Concern::Nobody;
        }
        let Ok(parsed) = parse(message.clone(), &self.config.limits.message) else { return Concern::Nobody };
        let leg = if !within {
            self.leg_marked(parsed.from_tag())
        } else if parsed.method() == Method::Cancel {
            self.layer.invite_of(&parsed).and_then(|server| self.layer.server(server)?.leg)
        } else if parsed.headers(HeaderName::Replaces).next().is_some() || refers_to_a_dialog(&parsed) {
            return Concern::Several;
        } else {
            self.leg_of(&parsed)
        };
        leg.map_or(Concern::Nobody, Concern::Leg)
    }

    pub(super) fn in_dialog(
        &mut self,
        now: Instant,
        arrival: Arrival,
        request: &Message,
        out: &mut Outbox<Output>,
    ) {
        let Some(key) = self.leg_of(request) else {
            return self.reply(arrival, request, 481, out);
        };
        self.turn_to_tag(key, request.to_tag());
        let Some(leg) = self.legs.get_mut(key) else { return };
        let method = request.method();
        if leg.state.is_over() {
            if method != Method::Bye {
                return self.reply(arrival, request, 481, out);
            }
            // Both sides hang up at once: both get 200 (RFC 5407 §3.1.3).
            let awaiting_ack = leg.state == State::AwaitingAck;
            self.answer_request(now, arrival, request, 200, |_| {}, out);
            if awaiting_ack {
                self.forget(now, key);
            }
            return;
        }
        let cseq = request.cseq().0;
        let fork = if leg.dialog.is_none() { self.tag_hash(request.from_tag()) } else { 0 };
        let Some(leg) = self.legs.get_mut(key) else { return };
        let ringing = leg.calling.as_ref().is_some_and(|calling| calling.ringing);
        let dialog = match (&mut leg.dialog, &mut leg.calling) {
            (Some(dialog), _) => Some(dialog),
            (None, Some(calling)) => calling
                .early
                .iter_mut()
                .find(|early| early.fork == fork)
                .and_then(|early| early.dialog.as_mut()),
            (None, None) => None,
        };
        if let Some(dialog) = dialog {
            // RFC 3261 §12.2.2: what is out of order gets 500.
            if dialog.remote_cseq.is_some_and(|last| cseq < last) {
                if method == Method::Invite {
                    return self.refuse_reinvite(now, arrival, key, request, 500, |_| {}, out);
                }
                return self.answer_request(now, arrival, request, 500, |_| {}, out);
            }
            dialog.remote_cseq = Some(cseq);
        } else if !(method == Method::Bye || ringing && matches!(method, Method::Info | Method::Options)) {
            // An early dialog that we know by its tag alone is good for little.
            return self.reply(arrival, request, 481, out);
        }
        if leg.symmetric {
            (leg.listener, leg.peer) = (arrival.listener, arrival.source);
        }
        // RFC 3261 §8.2.2.3. A re-INVITE may have to wait for its turn first.
        if method != Method::Invite && !self.has_known_extensions(arrival, request, out) {
            return;
        }
        match method {
            Method::Bye => self.bye(now, arrival, key, request, out),
            Method::Invite => self.reinvited(now, arrival, key, request, out),
            Method::Info => self.informed(now, arrival, key, request, out),
            Method::Update => self.updated(now, arrival, key, request, out),
            Method::Prack => self.pracked(now, arrival, key, request, out),
            Method::Options => {
                let supported = self.supported.clone();
                let more = |writer: &mut Writer<'_>| capabilities(&supported, writer);
                self.answer_request(now, arrival, request, 200, more, out);
            }
            Method::Refer => self.referred(now, arrival, key, request, out),
            Method::Notify => self.notified(now, arrival, key, request, out),
            method if is_passed(method) => self.inside(now, arrival, key, request, out),
            _ => self.not_allowed(arrival, request, out),
        }
    }

    fn bye(
        &mut self,
        now: Instant,
        arrival: Arrival,
        key: LegKey,
        request: &Message,
        out: &mut Outbox<Output>,
    ) {
        self.answer_request(now, arrival, request, 200, |_| {}, out);
        let Some(state) = self.legs.get(key).map(|leg| leg.state) else { return };
        match state {
            // A BYE that overtook the 2xx, or a peer that ends a ringing call this way: our INVITE is still open.
            State::Calling => {
                self.give_up(now, key, EndedBy::Remote, Vec::new(), out);
            }
            State::Cancelling => {}
            // RFC 3261 §15: the caller ends this early dialog; the others go on.
            State::Incoming if self.drop_fork(key) => {}
            State::Incoming => {
                let Some(leg) = self.legs.get_mut(key) else { return };
                // RFC 3261 §15.1.2: the INVITE still owes its caller a response.
                if let Some(server) = leg.server.take() {
                    self.respond_invite(now, server, 487, None, &[], out);
                }
                self.end(now, key, How::by(EndedBy::Remote).code(487).said_in(request), out);
            }
            State::Answered | State::Confirmed => {
                self.drop_negotiation(now, key, out);
                self.end(now, key, How::by(EndedBy::Remote).said_in(request), out);
            }
            State::AwaitingAck | State::Ending => {}
        }
    }

    /// INFO (RFC 6086): digits are ours; what else it says is for whoever is behind us.
    fn informed(
        &mut self,
        now: Instant,
        arrival: Arrival,
        key: LegKey,
        request: &Message,
        out: &mut Outbox<Output>,
    ) {
        let content_type = request.header(HeaderName::ContentType).unwrap_or_default();
        let Some(leg) = self.legs.get(key) else { return };
        if !DIGITS.iter().any(|kind| is_kind(content_type, kind)) {
            if matches!(leg.state, State::Confirmed | State::Answered) {
                return self.inside(now, arrival, key, request, out);
            }
            // Before the answer there is nobody to pass it to.
            let status = info_status(request);
            return self.answer_request(now, arrival, request, status, |writer| takes(status, writer), out);
        }
        self.answer_request(now, arrival, request, 200, |_| {}, out);
        let Some(leg) = self.legs.get(key) else { return };
        out.push(Output::Event(Event::Info {
            leg: key,
            owner: leg.owner,
            content_type: Bytes::copy_from_slice(content_type),
            body: request.body_bytes(),
        }));
    }

    /// A re-INVITE of the peer (RFC 3261 §14.2).
    fn reinvited(
        &mut self,
        now: Instant,
        arrival: Arrival,
        key: LegKey,
        request: &Message,
        out: &mut Outbox<Output>,
    ) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        if leg.server.is_some() || leg.update.is_some() {
            // One offer waits for our answer already.
            let seconds = self.layer.rng.below(RETRY_AFTER_PENDING.as_secs() + 1);
            let more = |writer: &mut Writer<'_>| {
                writer.header_number(HeaderName::RetryAfter, seconds);
            };
            return self.refuse_reinvite(now, arrival, key, request, 500, more, out);
        }
        let glare = leg.offer.as_ref().is_some_and(|offer| offer.client.is_some());
        // RFC 5407 §3.1.4: who calls us offers anew only when it has our 2xx, whose ACK was lost or overtaken.
        let complete = |success: &Success| !success.offer && !success.reinvite;
        if leg.state == State::Answered && !glare && leg.success.as_deref().is_some_and(complete) {
            self.success_arrived(now, key, None, out);
        }
        let Some(leg) = self.legs.get_mut(key) else { return };
        // (In an early dialog of ours it is our first INVITE that is out.)
        if glare || leg.success.is_some() || leg.calling.is_some() {
            // Ours is out, or our last answer is not acknowledged (RFC 5407 §3.1.5).
            return self.refuse_reinvite(now, arrival, key, request, 491, |_| {}, out);
        }
        if !self.is_acceptable(arrival, request, out)
            || !self.has_one_contact(arrival, request, out)
            || !self.has_long_enough_interval(arrival, request, out)
            || !self.keeps_media_lines(arrival, key, request, out)
        {
            return;
        }
        self.note_session_wish(key, request);
        let Some(leg) = self.legs.get_mut(key) else { return };
        if let (Some(contact), Some(dialog)) = (request.contact(), &mut leg.dialog) {
            dialog.set_target(contact.uri_text);
            if !leg.symmetric {
                (leg.listener, leg.peer) =
                    self.layer.outlets.hop(dialog.next_hop(), arrival.listener, arrival.source);
            }
        }
        let (owner, random) = (leg.owner, leg.random);
        let tag = self.tag(key, random);
        let Some(server) = self.begin_invite(arrival, request, &tag) else {
            return self.refuse_busy(arrival, request, out);
        };
        if let Some(state) = self.layer.server_mut(server) {
            state.leg = Some(key);
        }
        if let Some(leg) = self.legs.get_mut(key) {
            leg.server = Some(server);
        }
        self.respond_invite(now, server, 100, None, &[], out);
        out.push(Output::Event(Event::Reoffer {
            leg: key,
            owner,
            sdp: request.session_description(),
            by_update: false,
            fork: 0,
        }));
    }

    /// Refuses a re-INVITE for what is the case just now. A late copy of it must not be taken for a new one when
    /// that has passed, so the transaction remembers.
    #[allow(clippy::too_many_arguments, reason = "one request and its answer")]
    fn refuse_reinvite(
        &mut self,
        now: Instant,
        arrival: Arrival,
        key: LegKey,
        request: &Message,
        status: u16,
        more: impl FnOnce(&mut Writer<'_>),
        out: &mut Outbox<Output>,
    ) {
        let Some(leg) = self.legs.get(key) else { return };
        let tag = self.tag(key, leg.random);
        let response = self.response_to(arrival, request, status, reason_phrase(status), None, more);
        match self.begin_invite(arrival, request, &tag) {
            Some(server) => self.layer.respond_invite(now, server, status, response, out),
            None => {
                let to = self.reply_address(request, arrival);
                self.layer.send(arrival.listener, to, response, out);
            }
        }
    }
}
