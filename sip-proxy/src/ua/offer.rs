//! Changing a session: our re-INVITE and UPDATE, our answers to the peer's, and glare (RFC 3261 §14, RFC 3311).

use core::net::SocketAddr;

use bytes::Bytes;
use sansio::{Duration, Instant, Outbox};

use super::leg::{Offer, State};
use super::session_timer::Sender;
use super::uac::finish;
use super::{ALLOW, Arrival, EndedBy, Event, How, LegError, LegKey, Output, UserAgent};
use crate::status::reason_phrase;
use crate::transaction::{ClientKey, ClientUser, Why};
use crate::wire::{HeaderName, Message, Method, Writer};

/// Reason of the BYE to a peer that leaves an offer of ours unanswered.
const UNANSWERED: &[u8] = b"SIP;cause=408;text=\"No answer to an offer\"";

/// Streams in a session description (RFC 3264 §5.1); 255 for more.
pub(super) fn media_lines(sdp: &[u8]) -> u8 {
    let count = sdp.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"m=")).count();
    u8::try_from(count).unwrap_or(u8::MAX)
}

impl UserAgent {
    /// Offers a new session on a confirmed leg. `ReofferAnswered` or `ReofferRejected` follows, or `Ended`.
    ///
    /// Without a description it asks the peer for an offer: `ReofferAnswered` then has that offer, and
    /// [`UserAgent::answer_late`] is owed.
    ///
    /// # Errors
    /// When the leg is not confirmed or another offer is under way.
    pub fn reinvite(
        &mut self,
        now: Instant,
        leg: LegKey,
        sdp: &[u8],
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        let known = self.legs.get(leg).ok_or(LegError::Gone)?;
        match known.state {
            State::Confirmed => self.offer(now, leg, Method::Invite, sdp, out),
            state if state.is_over() => Err(LegError::Gone),
            _ => Err(LegError::WrongState),
        }
    }

    /// The same by UPDATE (RFC 3311), which a leg can do before the answer too: once a first offer has been answered
    /// in a reliable provisional response.
    ///
    /// # Errors
    /// When the leg is not that far, the peer does not take UPDATE, or another offer is under way.
    pub fn update(
        &mut self,
        now: Instant,
        leg: LegKey,
        sdp: &[u8],
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        if !self.can_update(leg) {
            let gone = self.legs.get(leg).is_none_or(|leg| leg.state.is_over());
            return Err(if gone { LegError::Gone } else { LegError::WrongState });
        }
        self.offer(now, leg, Method::Update, sdp, out)
    }

    /// Whether [`UserAgent::update`] may be called on a leg.
    #[must_use]
    pub fn can_update(&self, leg: LegKey) -> bool {
        let Some(leg) = self.legs.get(leg) else { return false };
        leg.allows_update
            && match leg.state {
                State::Confirmed => true,
                State::Incoming => leg.reliable.as_ref().is_some_and(|reliable| reliable.agreed),
                State::Calling => {
                    let early = leg.calling.as_ref().map_or(&[][..], |calling| &calling.early[..]);
                    early.iter().any(|early| early.dialog.is_some() && early.sdp.is_some())
                }
                State::Cancelling | State::Answered | State::AwaitingAck | State::Ending => false,
            }
    }

    fn offer(
        &mut self,
        now: Instant,
        key: LegKey,
        method: Method,
        sdp: &[u8],
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        let leg = self.legs.get_mut(key).ok_or(LegError::Gone)?;
        // Before the answer the INVITE itself is under way; UPDATE may pass it.
        let busy = match leg.state {
            State::Confirmed => leg.is_negotiating(),
            _ => leg.offer.is_some() || leg.update.is_some(),
        };
        if busy {
            return Err(LegError::Pending);
        }
        leg.begin_offer(Offer::new(method, false, Bytes::copy_from_slice(sdp)));
        if self.send_offer(now, key, out) {
            return Ok(());
        }
        if let Some(leg) = self.legs.get_mut(key) {
            leg.offer = None;
        }
        Err(LegError::Limit)
    }

    /// Answers the offer that a re-INVITE of ours without one has brought, in the ACK (RFC 3261 §13.2.1). Nothing when
    /// none waits.
    pub fn answer_late(&mut self, now: Instant, leg: LegKey, sdp: &[u8], out: &mut Outbox<Output>) {
        let late = self.legs.get_mut(leg).and_then(|leg| leg.offer.take_if(|offer| offer.late.is_some()));
        let Some((client, cseq)) = late.and_then(|offer| offer.late) else { return };
        self.acknowledge_late(leg, client, cseq, sdp, out);
        self.note_local_description(leg, sdp);
        self.session_refreshed(now, leg);
    }

    /// The ACK that waited, with an answer or without.
    pub(super) fn acknowledge_late(
        &mut self,
        key: LegKey,
        client: ClientKey,
        cseq: u32,
        sdp: &[u8],
        out: &mut Outbox<Output>,
    ) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        let (listener, peer) = (leg.listener, leg.peer);
        let Some(dialog) = leg.dialog.take() else { return };
        let branch = self.loose_branch();
        let sent_by = self.config.listeners[usize::from(listener)].advertised.as_bytes();
        let writer = dialog.request(&mut self.layer.scratch, Method::Ack, cseq, sent_by, &branch);
        finish(writer, sdp);
        let ack = self.layer.written();
        let winner = self.layer.client(client).and_then(|client| client.winner).unwrap_or_default();
        self.layer.accept(client, winner, peer, ack.clone());
        self.layer.send(listener, peer, ack, out);
        if let Some(leg) = self.legs.get_mut(key) {
            leg.dialog = Some(dialog);
        }
    }

    /// Answers a `Reoffer`.
    ///
    /// # Errors
    /// When none is open.
    pub fn answer_reinvite(
        &mut self,
        now: Instant,
        leg: LegKey,
        sdp: &[u8],
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        if let Some(server) = self.take_update(leg) {
            self.accept_update(now, leg, server, sdp, out);
            return Ok(());
        }
        let server = self.open_invite(leg, State::Confirmed)?;
        self.succeed(now, leg, server, sdp, true, out);
        Ok(())
    }

    /// Refuses a `Reoffer` with 300 to 699.
    ///
    /// # Errors
    /// When none is open.
    pub fn reject_reinvite(
        &mut self,
        now: Instant,
        leg: LegKey,
        code: u16,
        out: &mut Outbox<Output>,
    ) -> Result<(), LegError> {
        if let Some(server) = self.take_update(leg) {
            self.respond_invite(now, server, code.clamp(300, 699), None, &[], out);
            return Ok(());
        }
        let server = self.open_invite(leg, State::Confirmed)?;
        self.respond_invite(now, server, code.clamp(300, 699), None, &[], out);
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.server = None;
        }
        Ok(())
    }

    /// How many streams the session has: what both sides have described last.
    pub(super) fn note_media_lines(&mut self, key: LegKey, sdp: &[u8]) {
        if let Some(leg) = self.legs.get_mut(key).filter(|_| !sdp.is_empty()) {
            leg.media_lines = media_lines(sdp);
        }
    }

    /// RFC 3264 §8: an offer has a line for each stream that there was, those ended too.
    pub(super) fn keeps_media_lines(
        &mut self,
        arrival: Arrival,
        key: LegKey,
        request: &Message,
        out: &mut Outbox<Output>,
    ) -> bool {
        let before = self.legs.get(key).map_or(0, |leg| leg.media_lines);
        if request.session_description().is_none_or(|sdp| media_lines(&sdp) >= before) {
            return true;
        }
        let more = |writer: &mut Writer<'_>| {
            writer.header_text("Warning", b"399 dialerd \"Fewer Streams Than Before\"");
        };
        self.reply_with(arrival, request, 488, reason_phrase(488), more, out);
        false
    }

    /// Sends (or sends again, with the next CSeq) the re-INVITE or UPDATE a leg has in mind. False when there is no
    /// room, or no dialog to send it in.
    pub(super) fn send_offer(&mut self, now: Instant, key: LegKey, out: &mut Outbox<Output>) -> bool {
        self.renew_hop(key);
        let Some(leg) = self.legs.get_mut(key) else { return false };
        let Some(offer) = &mut leg.offer else { return false };
        let (method, sdp) = (offer.method, offer.sdp.clone());
        if !offer.refresh && leg.carried.is_some() {
            offer.carried = leg.carried.take();
        }
        let (listener, peer, random) = (leg.listener, leg.peer, leg.random);
        let user = match method {
            Method::Update => ClientUser::Update(key),
            _ => ClientUser::Reinvite(key),
        };
        let Some((client, branch)) = self.layer.reserve(method, listener, peer, user) else { return false };
        let tag = self.tag(key, random);
        let sent_by = self.config.listeners[usize::from(listener)].advertised.as_bytes();
        let Some(leg) = self.legs.get_mut(key) else { return false };
        let dialog = match &mut leg.dialog {
            Some(dialog) => Some(&mut **dialog),
            None => leg.calling.as_mut().and_then(|calling| calling.latest_dialog()),
        };
        let Some(dialog) = dialog else {
            self.layer.unreserve(client);
            return false;
        };
        dialog.local_cseq += 1;
        let cseq = dialog.local_cseq;
        let mut writer = dialog.request(&mut self.layer.scratch, method, cseq, sent_by, &branch);
        self.layer.outlets.write_contact(listener, leg.secure, &tag, &mut writer);
        writer
            .header(HeaderName::Allow, ALLOW)
            .header(HeaderName::Supported, &self.supported)
            .header(HeaderName::UserAgent, self.config.user_agent.as_bytes());
        if let Some(timer) = leg.timer.as_ref().filter(|timer| timer.known) {
            timer.write(Sender::Us, true, &mut writer);
        }
        let login =
            leg.trunk.and_then(|trunk| self.trunks.get(&trunk)).and_then(|state| state.trunk.login.as_ref());
        if let Some(login) = login {
            let uri = dialog.request_uri();
            for answerer in &mut leg.answerers {
                let method = method.as_str().as_bytes();
                answerer.write(login, method, uri, &sdp, &mut self.layer.rng, &mut writer);
            }
        }
        let carried = leg.offer.as_mut().and_then(|offer| {
            offer.client = Some(client);
            offer.carried.as_ref()
        });
        match carried {
            Some(carried) => {
                writer.lines(&carried.lines);
                carried.finish(writer, &sdp, &branch);
            }
            None => finish(writer, &sdp),
        }
        let request = self.layer.written();
        self.layer.start(now, client, request, out);
        true
    }

    /// A re-INVITE is answered at once or nearly: one that gets a provisional response has another 64·T1.
    pub(super) fn reinvite_progress(&mut self, now: Instant, key: LegKey) {
        let at = now + self.layer.timers.transaction();
        let Some(leg) = self.legs.get_mut(key) else { return };
        if leg.ringing.is_none() && !leg.state.is_over() {
            leg.ringing = Some(self.layer.deadlines.arm(at, Why::Ringing(key)));
        }
    }

    /// … then it is cancelled, and after another 64·T1 the leg is given up.
    pub(super) fn reinvite_too_long(&mut self, now: Instant, key: LegKey, out: &mut Outbox<Output>) {
        let at = now + self.layer.timers.transaction();
        let Some(leg) = self.legs.get_mut(key) else { return };
        let Some(offer) = &mut leg.offer else { return };
        let Some(client) = offer.client else { return };
        if offer.cancelled {
            return self.end_with_bye(now, key, How::by(EndedBy::Timeout), UNANSWERED, out);
        }
        offer.cancelled = true;
        leg.ringing = Some(self.layer.deadlines.arm(at, Why::Ringing(key)));
        self.layer.cancel(now, client, &[], out);
    }

    /// The final response to our re-INVITE or UPDATE.
    pub(super) fn reinvite_final(
        &mut self,
        now: Instant,
        key: LegKey,
        client: ClientKey,
        source: SocketAddr,
        response: &Message,
        out: &mut Outbox<Output>,
    ) {
        self.layer.take_request(client);
        let method = response.method();
        let Some(leg) = self.legs.get_mut(key) else { return };
        if method == Method::Invite {
            self.layer.disarm(&mut leg.ringing);
        }
        let refresh = leg.offer.as_ref().is_some_and(|offer| offer.refresh);
        match response.status() {
            ..=299 => self.reinvite_accepted(now, key, client, source, response, out),
            401 | 407 if self.take_challenge(key, response).is_some() && self.send_offer(now, key, out) => {}
            491 => self.glare(now, key, out),
            // RFC 3261 §14.1: the peer knows no such dialog, or has not answered: end it.
            408 | 481 if self.legs.get(key).is_some_and(|leg| leg.state == State::Confirmed) => {
                self.end_with_bye(now, key, How::by(EndedBy::Remote).said_in(response), &[], out);
            }
            _ if (refresh || response.status() == 422)
                && self.refresh_refused(now, key, method, response, out) => {}
            code => self.offer_rejected(key, code, out),
        }
    }

    fn reinvite_accepted(
        &mut self,
        now: Instant,
        key: LegKey,
        client: ClientKey,
        source: SocketAddr,
        response: &Message,
        out: &mut Outbox<Output>,
    ) {
        let tag = self.tag_hash(response.to_tag());
        let Some(leg) = self.legs.get_mut(key) else { return };
        let mut offer = leg.offer.take();
        let (owner, symmetric) = (leg.owner, leg.symmetric);
        if symmetric {
            leg.peer = source;
        }
        if let Some(dialog) = &mut leg.dialog
            && let Some(contact) = response.contact()
        {
            dialog.set_target(contact.uri_text);
            if !symmetric {
                (leg.listener, leg.peer) = self.layer.outlets.hop(dialog.next_hop(), leg.listener, source);
            }
        }
        let (listener, peer) = (leg.listener, leg.peer);
        let sdp = response.session_description();
        let asked = |offer: &&mut Box<Offer>| {
            offer.method == Method::Invite && offer.sdp.is_empty() && !offer.refresh
        };
        if let Some(offer) = offer.as_mut().filter(asked)
            && sdp.is_some()
        {
            // The ACK waits for the answer; copies of the 2xx until then are passed over.
            offer.late = Some((client, response.cseq().0));
            self.layer.accept(client, tag, peer, Bytes::new());
        } else if response.method() == Method::Invite
            && let Some(dialog) = leg.dialog.take()
        {
            let ack = self.write_ack(listener, &dialog, response.cseq().0, None);
            self.layer.accept(client, tag, peer, ack.clone());
            self.layer.send(listener, peer, ack, out);
            if let Some(leg) = self.legs.get_mut(key) {
                leg.dialog = Some(dialog);
            }
        }
        self.note_session_grant(now, key, response);
        let Some(offer) = offer else { return };
        if offer.late.is_some() {
            if let Some(leg) = self.legs.get_mut(key) {
                leg.offer = Some(offer);
            }
            out.push(Output::Event(Event::ReofferAnswered { leg: key, owner, sdp }));
            return;
        }
        self.note_local_description(key, &offer.sdp);
        if !offer.refresh {
            out.push(Output::Event(Event::ReofferAnswered { leg: key, owner, sdp }));
        } else if sdp.is_some() {
            // The peer may have moved meanwhile: its answer counts like any other.
            out.push(Output::Event(Event::ReofferConfirmed { leg: key, owner, sdp }));
        }
    }

    /// 491: both sides asked at once. Who owns the Call-ID waits 2.1 to 4 s, the other 0 to 2 s, in steps of 10 ms
    /// (RFC 3261 §14.1).
    fn glare(&mut self, now: Instant, key: LegKey, out: &mut Outbox<Output>) {
        let retries_max = self.config.limits.glare_retries_max;
        let Some(leg) = self.legs.get_mut(key) else { return };
        let Some(offer) = &mut leg.offer else { return };
        offer.client = None;
        if offer.retries >= retries_max {
            return self.offer_rejected(key, 491, out);
        }
        offer.retries += 1;
        let steps = if leg.caller { 210 + self.layer.rng.below(191) } else { self.layer.rng.below(201) };
        offer.timer =
            Some(self.layer.deadlines.arm(now + Duration::from_millis(steps * 10), Why::Glare(key)));
    }

    pub(super) fn retry_offer(&mut self, now: Instant, key: LegKey, out: &mut Outbox<Output>) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        let Some(offer) = &mut leg.offer else { return };
        offer.timer = None;
        if leg.state == State::Confirmed
            && (leg.server.is_some() || leg.update.is_some() || leg.success.is_some())
        {
            // The peer's own re-INVITE is being dealt with: wait once more.
            return self.glare(now, key, out);
        }
        if !self.send_offer(now, key, out) {
            self.offer_rejected(key, 491, out);
        }
    }

    fn offer_rejected(&mut self, key: LegKey, code: u16, out: &mut Outbox<Output>) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        // A refresh that is refused is nobody's business but the session timer's.
        if leg.offer.take().is_none_or(|offer| offer.refresh) {
            return;
        }
        let owner = leg.owner;
        out.push(Output::Event(Event::ReofferRejected { leg: key, owner, code }));
    }

    /// 64·T1 without an answer to our re-INVITE or UPDATE: the peer is gone (RFC 3261 §14.1: as 408).
    pub(super) fn reinvite_unanswered(
        &mut self,
        now: Instant,
        key: LegKey,
        client: ClientKey,
        out: &mut Outbox<Output>,
    ) {
        self.layer.detach(now, client);
        if let Some(offer) = self.legs.get_mut(key).and_then(|leg| leg.offer.as_mut()) {
            offer.client = None;
        }
        let state = self.legs.get(key).map(|leg| leg.state);
        match state {
            // Before the answer there is an INVITE to decide.
            Some(State::Calling | State::Cancelling | State::Incoming) => self.offer_rejected(key, 408, out),
            Some(_) => self.end_with_bye(now, key, How::by(EndedBy::Timeout), UNANSWERED, out),
            None => {}
        }
    }
}
