//! Changing a session: re-INVITE both ways, and glare (RFC 3261 §14).

use core::net::SocketAddr;

use bytes::Bytes;
use sansio::{Duration, Instant, Outbox};

use super::digest::Answerer;
use super::leg::{Offer, State};
use super::uac::finish;
use super::{ALLOW, EndedBy, Event, How, LegError, LegKey, Output, UserAgent, sdp_of};
use crate::transaction::{ClientKey, ClientUser, Why};
use crate::wire::{HeaderName, Message, Method};

impl UserAgent {
    /// Offers a new session on a confirmed leg. `ReofferAnswered` or `ReofferRejected` follows, or `Ended`.
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
        let known = self.legs.get_mut(leg).ok_or(LegError::Gone)?;
        match known.state {
            State::Confirmed => {}
            state if state.is_over() => return Err(LegError::Gone),
            _ => return Err(LegError::WrongState),
        }
        if known.offer.is_some() || known.server.is_some() || known.success.is_some() {
            return Err(LegError::Pending);
        }
        let offer = Offer {
            client: None,
            sdp: Bytes::copy_from_slice(sdp),
            retries: 0,
            cancelled: false,
            timer: None,
        };
        known.offer = Some(Box::new(offer));
        known.challenges = 0;
        known.answerers.iter_mut().for_each(Answerer::begin);
        if self.send_offer(now, leg, out) {
            return Ok(());
        }
        if let Some(known) = self.legs.get_mut(leg) {
            known.offer = None;
        }
        Err(LegError::Limit)
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
        let server = self.open_invite(leg, State::Confirmed)?;
        self.respond_invite(now, server, code.clamp(300, 699), None, &[], out);
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.server = None;
        }
        Ok(())
    }

    /// Sends (or sends again, with the next CSeq) the re-INVITE a leg has in mind. False when there is no room.
    fn send_offer(&mut self, now: Instant, key: LegKey, out: &mut Outbox<Output>) -> bool {
        let Some(leg) = self.legs.get_mut(key) else { return false };
        let (listener, peer, random) = (leg.listener, leg.peer, leg.random);
        let Some(mut dialog) = leg.dialog.take() else { return false };
        let user = ClientUser::Reinvite(key);
        let reserved = self.layer.reserve(Method::Invite, listener, peer, user);
        if let Some((client, branch)) = reserved {
            dialog.local_cseq += 1;
            let tag = self.tag(key, random);
            let sent_by = self.config.listeners[usize::from(listener)].advertised.as_bytes();
            let contact = self.layer.outlets.contact(listener);
            let cseq = dialog.local_cseq;
            let mut writer = dialog.request(&mut self.layer.scratch, Method::Invite, cseq, sent_by, &branch);
            writer
                .header_parts(HeaderName::Contact, &[b"<sip:", &tag, b"@", contact.as_bytes(), b">"])
                .header(HeaderName::Allow, ALLOW)
                .header(HeaderName::UserAgent, self.config.user_agent.as_bytes());
            if let Some(leg) = self.legs.get_mut(key) {
                let login = leg
                    .trunk
                    .and_then(|trunk| self.trunks.get(&trunk))
                    .and_then(|state| state.trunk.login.as_ref());
                if let Some(login) = login {
                    for answerer in &mut leg.answerers {
                        answerer.write(
                            login,
                            b"INVITE",
                            dialog.request_uri(),
                            &mut self.layer.rng,
                            &mut writer,
                        );
                    }
                }
                if let Some(offer) = &mut leg.offer {
                    offer.client = Some(client);
                }
                finish(writer, leg.offer.as_ref().map_or(&[], |offer| &offer.sdp));
            } else {
                finish(writer, &[]);
            }
            let request = self.layer.written();
            self.layer.start(now, client, request, out);
        }
        if let Some(leg) = self.legs.get_mut(key) {
            leg.dialog = Some(dialog);
        }
        reserved.is_some()
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
            return self.end_with_bye(now, key, How::by(EndedBy::Timeout), &[], out);
        }
        offer.cancelled = true;
        leg.ringing = Some(self.layer.deadlines.arm(at, Why::Ringing(key)));
        self.layer.cancel(now, client, &[], out);
    }

    /// The final response to our re-INVITE.
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
        if let Some(leg) = self.legs.get_mut(key) {
            self.layer.disarm(&mut leg.ringing);
        }
        match response.status() {
            ..=299 => self.reinvite_accepted(key, client, source, response, out),
            401 | 407 if self.take_challenge(key, response).is_some() && self.send_offer(now, key, out) => {}
            491 => self.glare(now, key, out),
            // RFC 3261 §14.1: the peer knows no such dialog, or has not answered: end it.
            408 | 481 => {
                self.end_with_bye(now, key, How::by(EndedBy::Remote).said_in(response), &[], out);
            }
            code => self.offer_rejected(key, code, out),
        }
    }

    fn reinvite_accepted(
        &mut self,
        key: LegKey,
        client: ClientKey,
        source: SocketAddr,
        response: &Message,
        out: &mut Outbox<Output>,
    ) {
        let tag = self.tag_hash(response.to_tag());
        let Some(leg) = self.legs.get_mut(key) else { return };
        leg.offer = None;
        let (owner, listener) = (leg.owner, leg.listener);
        let Some(mut dialog) = leg.dialog.take() else { return };
        if let Some(contact) = response.contact() {
            dialog.set_target(contact.uri_text);
            if !leg.symmetric {
                (leg.listener, leg.peer) = self.layer.outlets.hop(dialog.next_hop(), leg.listener, source);
            }
        }
        if leg.symmetric {
            leg.peer = source;
        }
        let peer = leg.peer;
        let ack = self.write_ack(listener, &dialog, response.cseq().0, None);
        self.layer.accept(client, tag, peer, ack.clone());
        self.layer.send(listener, peer, ack, out);
        if let Some(leg) = self.legs.get_mut(key) {
            leg.dialog = Some(dialog);
        }
        out.push(Output::Event(Event::ReofferAnswered { leg: key, owner, sdp: sdp_of(response) }));
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
        if leg.server.is_some() || leg.success.is_some() {
            // The peer's own re-INVITE is being dealt with: wait once more.
            return self.glare(now, key, out);
        }
        if !self.send_offer(now, key, out) {
            self.offer_rejected(key, 491, out);
        }
    }

    fn offer_rejected(&mut self, key: LegKey, code: u16, out: &mut Outbox<Output>) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        leg.offer = None;
        let owner = leg.owner;
        out.push(Output::Event(Event::ReofferRejected { leg: key, owner, code }));
    }

    /// 64·T1 without an answer to our re-INVITE: the peer is gone (RFC 3261 §14.1: as 408).
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
        self.end_with_bye(now, key, How::by(EndedBy::Timeout), &[], out);
    }
}
