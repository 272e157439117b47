//! The peer's UPDATE (RFC 3311): it refreshes a session or offers another one, before the answer too.

use sansio::{Instant, Outbox};

use super::fork::name_of;
use super::leg::{Leg, State};
use super::session_timer::Sender;
use super::uas::RETRY_AFTER_PENDING;
use super::{Arrival, Event, LegKey, Output, UserAgent};
use crate::transaction::ServerKey;
use crate::wire::{HeaderName, Message, Method, Writer};

/// What stands in the way of an offer of the peer.
enum InTheWay {
    Nothing,
    /// Ours is under way.
    OurOffer,
    /// Theirs waits for our answer already.
    TheirOffer,
}

impl UserAgent {
    pub(super) fn updated(
        &mut self,
        now: Instant,
        arrival: Arrival,
        key: LegKey,
        request: &Message,
        out: &mut Outbox<Output>,
    ) {
        // RFC 3311 §5.1: a target refresh names the target.
        if request.contact().is_none() {
            return self.reply_with(arrival, request, 400, "Missing Contact", |_| {}, out);
        }
        let sdp = request.session_description();
        let in_the_way = match &sdp {
            Some(_) => self.in_the_way_of_offer(key),
            None => InTheWay::Nothing,
        };
        match in_the_way {
            InTheWay::Nothing => {}
            InTheWay::OurOffer => return self.answer_request(now, arrival, request, 491, |_| {}, out),
            InTheWay::TheirOffer => {
                let seconds = self.layer.rng.below(RETRY_AFTER_PENDING.as_secs() + 1);
                let more = |writer: &mut Writer<'_>| {
                    writer.header_number(HeaderName::RetryAfter, seconds);
                };
                return self.answer_request(now, arrival, request, 500, more, out);
            }
        }
        if !self.is_acceptable(arrival, request, out)
            || !self.has_long_enough_interval(arrival, request, out)
            || !self.keeps_media_lines(arrival, key, request, out)
        {
            return;
        }
        let Some(leg) = self.legs.get_mut(key) else { return };
        let random = leg.random;
        leg.allows_update = true;
        if let (Some(contact), Some(dialog)) = (request.contact(), &mut leg.dialog) {
            dialog.set_target(contact.uri_text);
            if !leg.symmetric {
                (leg.listener, leg.peer) =
                    self.layer.outlets.hop(dialog.next_hop(), arrival.listener, arrival.source);
            }
        }
        if matches!(leg.state, State::Confirmed | State::Answered) {
            self.note_session_wish(key, request);
        }
        let tag = self.tag(key, random);
        let Some(server) = self.begin_later(arrival, key, request, &tag) else {
            return self.refuse_busy(arrival, request, out);
        };
        let Some(leg) = self.legs.get_mut(key) else { return };
        let (owner, calls) = (leg.owner, leg.calling.is_some());
        if sdp.is_none() {
            return self.accept_update(now, key, server, &[], out);
        }
        leg.update = Some(server);
        let fork = if calls { name_of(self.tag_hash(request.from_tag())) } else { leg.fork };
        out.push(Output::Event(Event::Reoffer { leg: key, owner, sdp, by_update: true, fork }));
    }

    /// The transaction of a request in the dialog that is answered later, and is not INVITE.
    pub(super) fn begin_later(
        &mut self,
        arrival: Arrival,
        key: LegKey,
        request: &Message,
        tag: &[u8; crate::mark::MARK_BYTES],
    ) -> Option<ServerKey> {
        let server = self.begin_invite(arrival, request, tag)?;
        if let Some(state) = self.layer.server_mut(server) {
            state.leg = Some(key);
        }
        Some(server)
    }

    /// RFC 3311 §5.2 and RFC 3264 §4: one offer at a time, whoever makes it.
    fn in_the_way_of_offer(&self, key: LegKey) -> InTheWay {
        let Some(leg) = self.legs.get(key) else { return InTheWay::Nothing };
        if leg.update.is_some() {
            return InTheWay::TheirOffer;
        }
        if leg.offer.as_ref().is_some_and(|offer| {
            offer.client.is_some() && (offer.method == Method::Invite || !offer.sdp.is_empty())
        }) {
            return InTheWay::OurOffer;
        }
        match leg.state {
            // The offer of the INVITE is answered by the first reliable response with a description.
            State::Calling | State::Cancelling => {
                let early = leg.calling.as_ref().map_or(&[][..], |calling| &calling.early[..]);
                let answered = early.iter().any(|early| early.dialog.is_some() && early.sdp.is_some());
                if answered { InTheWay::Nothing } else { InTheWay::OurOffer }
            }
            State::Incoming => {
                if leg.reliable.as_ref().is_some_and(|reliable| reliable.agreed) {
                    InTheWay::Nothing
                } else {
                    InTheWay::TheirOffer
                }
            }
            _ if leg.server.is_some() => InTheWay::TheirOffer,
            // Our 2xx may have held an offer, whose answer comes with the ACK.
            _ if leg.success.as_ref().is_some_and(|success| success.offer) => InTheWay::OurOffer,
            _ => InTheWay::Nothing,
        }
    }

    /// The peer's UPDATE (or PRACK with an offer) that waits for an answer.
    pub(super) fn take_update(&mut self, key: LegKey) -> Option<ServerKey> {
        let server = self.legs.get_mut(key)?.update.take()?;
        self.layer.is_proceeding(server).then_some(server)
    }

    /// 200 to the peer's UPDATE or PRACK.
    pub(super) fn accept_update(
        &mut self,
        now: Instant,
        key: LegKey,
        server: ServerKey,
        sdp: &[u8],
        out: &mut Outbox<Output>,
    ) {
        let standing =
            self.legs.get(key).is_some_and(|leg| matches!(leg.state, State::Confirmed | State::Answered));
        let more = |leg: Option<&Leg>, writer: &mut Writer<'_>| {
            if let Some(timer) =
                leg.and_then(|leg| leg.timer.as_ref()).filter(|timer| standing && timer.known)
            {
                timer.write(Sender::Peer, false, writer);
            }
        };
        self.respond_invite_with(now, server, 200, Some(sdp), &[], more, out);
        self.note_media_lines(key, sdp);
        if standing {
            self.note_local_description(key, sdp);
            self.session_refreshed(now, key);
        }
    }
}

/// Whether a message says that its sender takes UPDATE.
pub(super) fn allows_update(message: &Message) -> bool {
    message.has(HeaderName::Allow) && message.lists(HeaderName::Allow, Method::Update.as_str())
}
