//! How legs end: CANCEL, BYE, or a final response, whichever is in order (RFC 3261 §9, §15).

use core::net::SocketAddr;

use sansio::{Instant, Outbox};

use super::digest::Answerer;
use super::leg::State;
use super::uac::finish;
use super::{EndedBy, How, LegKey, Output, Reason, UserAgent, reason_value};
use crate::dialog::Dialog;
use crate::transaction::{ClientKey, ClientUser, Why};
use crate::wire::{HeaderName, Message, Method};

impl UserAgent {
    /// Ends a leg, whatever its state: CANCEL, BYE or a final response, each when it is in order. `Ended` follows,
    /// at once for a leg that was answered or came in, else with the final response to the INVITE (or when none
    /// comes, 64·T1 after the CANCEL). Does nothing to a leg that has ended.
    pub fn hangup(&mut self, now: Instant, leg: LegKey, reason: Reason<'_>, out: &mut Outbox<Output>) {
        let Some(known) = self.legs.get(leg) else { return };
        match known.state {
            State::Calling => self.give_up(now, leg, EndedBy::Local, reason_value(&reason), out),
            State::Incoming => {
                let code = reason.sip.filter(|code| (300..=699).contains(code)).unwrap_or(480);
                // The status says it already.
                let reason = Reason { sip: reason.sip.filter(|sip| *sip != code), ..reason };
                let _ = self.reject(now, leg, code, reason, out);
            }
            State::Answered => {
                // RFC 3261 §15: the callee must not send BYE before the ACK has come.
                self.tell_ended(leg, How::by(EndedBy::Local), out);
                self.linger(leg, State::AwaitingAck);
                if let Some(success) = self.legs.get_mut(leg).and_then(|leg| leg.success.as_mut()) {
                    success.reason = reason_value(&reason).into();
                }
            }
            State::Confirmed => {
                self.end_with_bye(now, leg, How::by(EndedBy::Local), &reason_value(&reason), out);
            }
            State::Cancelling | State::AwaitingAck | State::Ending => {}
        }
    }

    /// Cancels our INVITE. RFC 3261 §9.1: CANCEL must wait for a provisional response.
    pub(super) fn give_up(
        &mut self,
        now: Instant,
        key: LegKey,
        by: EndedBy,
        reason: Vec<u8>,
        out: &mut Outbox<Output>,
    ) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        let Some(calling) = &mut leg.calling else { return };
        leg.state = State::Cancelling;
        calling.by = by;
        calling.reason = reason.into();
        calling.early = Vec::new();
        let ringing = calling.ringing;
        calling.paths.clear();
        if calling.held.take().is_some() {
            // Nothing has left yet.
            return self.end(now, key, How::by(by).code(487), out);
        }
        if let (true, Some(client)) = (ringing, leg.invite) {
            self.send_cancel(now, key, client, out);
        }
    }

    pub(super) fn send_cancel(
        &mut self,
        now: Instant,
        key: LegKey,
        client: ClientKey,
        out: &mut Outbox<Output>,
    ) {
        let transaction = self.layer.timers.transaction();
        let Some(leg) = self.legs.get_mut(key) else { return };
        let reason = leg.calling.as_ref().map(|calling| calling.reason.clone()).unwrap_or_default();
        // RFC 3261 §9.1: without a final response within 64·T1 the INVITE counts as cancelled.
        self.layer.disarm(&mut leg.ringing);
        leg.ringing = Some(self.layer.deadlines.arm(now + transaction, Why::Ringing(key)));
        self.layer.cancel(now, client, &reason, out);
    }

    /// Rings beyond `ringing_max`; or no final response to a cancelled INVITE for 64·T1.
    pub(super) fn rung_too_long(&mut self, now: Instant, key: LegKey, out: &mut Outbox<Output>) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        leg.ringing = None;
        match leg.state {
            State::Calling => self.give_up(now, key, EndedBy::Timeout, Vec::new(), out),
            State::Cancelling => {
                let by = leg.calling.as_ref().map_or(EndedBy::Local, |calling| calling.by);
                if let Some(client) = leg.invite.take() {
                    self.layer.abandon(now, client);
                }
                self.end(now, key, How::by(by).code(408), out);
            }
            State::Incoming => {
                // RFC 3261 §13.3.1: an invitation that has expired was not refused by anybody.
                let status = if leg.expires { 487 } else { 480 };
                if let Some(server) = leg.server.take() {
                    self.respond_invite(now, server, status, None, &[], out);
                }
                self.end(now, key, How::by(EndedBy::Timeout).code(status), out);
            }
            State::Confirmed => self.reinvite_too_long(now, key, out),
            State::Answered | State::AwaitingAck | State::Ending => {}
        }
    }

    /// Tells the end of an answered leg and sends BYE.
    pub(super) fn end_with_bye(
        &mut self,
        now: Instant,
        key: LegKey,
        how: How,
        reason: &[u8],
        out: &mut Outbox<Output>,
    ) {
        self.tell_ended(key, how, out);
        self.linger(key, State::Ending);
        self.drop_negotiation(now, key, out);
        if let Some(leg) = self.legs.get_mut(key) {
            leg.challenges = 0;
            leg.answerers.iter_mut().for_each(Answerer::begin);
        }
        self.send_bye(now, key, reason, out);
    }

    /// Lets go of re-INVITEs under way in both directions.
    pub(super) fn drop_negotiation(&mut self, now: Instant, key: LegKey, out: &mut Outbox<Output>) {
        let late = self.legs.get(key).and_then(|leg| leg.offer.as_ref()).and_then(|offer| offer.late);
        if let Some((client, cseq)) = late {
            // RFC 3261 §13.2.2.4: the 2xx is owed its ACK whatever becomes of the session.
            self.acknowledge_late(key, client, cseq, &[], out);
        }
        let Some(leg) = self.legs.get_mut(key) else { return };
        let (server, offer, success) = (leg.server.take(), leg.offer.take(), leg.success.take());
        let update = leg.update.take();
        let refer = leg.transfers.as_mut().and_then(|transfers| transfers.open());
        if let Some(mut timer) = leg.timer.take() {
            self.layer.disarm(&mut timer.key);
        }
        if let Some(mut success) = success {
            self.layer.disarm(&mut success.retransmit);
            self.layer.disarm(&mut success.timeout);
        }
        if let Some(mut offer) = offer {
            self.layer.disarm(&mut offer.timer);
            if let Some(client) = offer.client {
                self.layer.detach(now, client);
            }
        }
        for server in [server, update, refer].into_iter().flatten() {
            // RFC 3261 §15.1.2: requests without an answer in a dialog that ends get 487.
            self.respond_invite(now, server, 487, None, &[], out);
        }
    }

    /// BYE in the leg's dialog; when its answer has come, the leg is gone.
    pub(super) fn send_bye(&mut self, now: Instant, key: LegKey, reason: &[u8], out: &mut Outbox<Output>) {
        self.renew_hop(key);
        let Some(leg) = self.legs.get_mut(key) else { return };
        let (listener, peer) = (leg.listener, leg.peer);
        let Some(mut dialog) = leg.dialog.take() else { return self.forget(now, key) };
        dialog.local_cseq += 1;
        let sent = self.send_bye_of(now, listener, peer, &mut dialog, ClientUser::Bye(key), reason, out);
        if !sent {
            return self.forget(now, key);
        }
        if let Some(leg) = self.legs.get_mut(key) {
            leg.dialog = Some(dialog);
        }
    }

    /// BYE in a dialog whose CSeq has been moved on. False when there was no room for a transaction: then it was
    /// sent once and nobody will hear of it.
    #[allow(clippy::too_many_arguments, reason = "a dialog without a leg has nothing to keep these in")]
    pub(super) fn send_bye_of(
        &mut self,
        now: Instant,
        listener: u8,
        peer: SocketAddr,
        dialog: &mut Dialog,
        user: ClientUser,
        reason: &[u8],
        out: &mut Outbox<Output>,
    ) -> bool {
        let reserved = self.layer.reserve(Method::Bye, listener, peer, user);
        let branch = match &reserved {
            Some((_, branch)) => *branch,
            None => self.loose_branch(),
        };
        let carried = match user {
            ClientUser::Bye(key) => self.take_carried(key),
            _ => None,
        };
        let sent_by = self.config.listeners[usize::from(listener)].advertised.as_bytes();
        let mut writer =
            dialog.request(&mut self.layer.scratch, Method::Bye, dialog.local_cseq, sent_by, &branch);
        if let ClientUser::Bye(key) = user
            && let Some(leg) = self.legs.get_mut(key)
            && let Some(login) = leg
                .trunk
                .and_then(|trunk| self.trunks.get(&trunk))
                .and_then(|state| state.trunk.login.as_ref())
        {
            for answerer in &mut leg.answerers {
                answerer.write(login, b"BYE", dialog.request_uri(), b"", &mut self.layer.rng, &mut writer);
            }
        }
        writer.header(HeaderName::UserAgent, self.config.user_agent.as_bytes());
        if !reason.is_empty() {
            writer.header(HeaderName::Reason, reason);
        }
        match carried {
            Some(carried) => {
                writer.lines(&carried.lines);
                carried.finish(writer, &[], &branch);
            }
            None => finish(writer, &[]),
        }
        let request = self.layer.written();
        match reserved {
            Some((client, _)) => {
                self.layer.start(now, client, request, out);
                true
            }
            None => {
                self.layer.send(listener, peer, request, out);
                false
            }
        }
    }

    /// The answer to our BYE. Whatever it says the dialog is over, unless a carrier wants credentials first.
    pub(super) fn bye_final(
        &mut self,
        now: Instant,
        key: LegKey,
        response: &Message,
        out: &mut Outbox<Output>,
    ) {
        if matches!(response.status(), 401 | 407) && self.take_challenge(key, response).is_some() {
            return self.send_bye(now, key, &[], out);
        }
        self.forget(now, key);
    }
}
