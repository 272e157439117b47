//! Dialling the customer: a stream, an offer, an INVITE.

use super::{Call, CustomerSide, CustomerState, Sound};
use crate::doors::ShardEffect;
use crate::shard::trunks::{Trunks, was_not_taken};
use crate::shard::{CallShard, Owner, Why};
use crate::translate::address::uri_of;
use crate::translate::format::CODECS;
use crate::translate::sdp;
use dialer_core::outcome::{EndCause, Party};
use dialer_core::{CallFact, OtherTrunk, TrunkId};
use media::{AmdConfig, Ears};
use sansio::{Duration, Instant, Key, Outbox};
use sip_proxy::ua::{Ended, Invite, InviteError};
use std::collections::VecDeque;
use std::sync::Arc;

/// What `CallOrder::DialCustomer` says, without the call's name.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    pub(crate) trunk: TrunkId,
    pub(crate) others: VecDeque<OtherTrunk>,
    pub(crate) to: String,
    pub(crate) caller_id: Option<String>,
    pub(crate) ring_timeout_ms: u32,
    pub(crate) early_media: bool,
    pub(crate) tones: media::early_media::TonePlan,
    pub(crate) amd: Option<AmdConfig>,
    pub(crate) call_max_ms: u32,
}

impl Dial {
    /// Turns to the next trunk that has room; false when there is none.
    fn turn_to_next(&mut self, now: Instant, trunks: &Trunks) -> bool {
        while let Some(OtherTrunk { trunk, caller_id }) = self.others.pop_front() {
            let key = trunks.key_of(trunk);
            if key.and_then(|key| trunks.get(key)).is_some_and(|trunk| trunk.has_room(now)) {
                (self.trunk, self.caller_id) = (trunk, caller_id);
                return true;
            }
        }
        false
    }
}

/// Who has seen to it that a trunk may get one more call now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Who ordered it, and has taken it out of the trunk's bucket.
    Ordered,
    /// We, because the trunk before has not taken it.
    Moved,
}

/// Why a customer is not dialled.
enum Undialled {
    /// Something stands in the way on our side.
    For(EndCause),
    /// The trunk has asked for less (RFC 7339).
    Withheld,
}

impl From<EndCause> for Undialled {
    fn from(cause: EndCause) -> Self {
        Undialled::For(cause)
    }
}

impl CallShard {
    /// Dials the customer of a call that has none yet. What stands in the way of all trunks ends the call.
    pub(crate) fn dial_customer(
        &mut self,
        now: Instant,
        key: Key<Call>,
        dial: Dial,
        out: &mut Outbox<ShardEffect>,
    ) {
        match self.dial_over_first(now, key, dial, (Turn::Ordered, None), out) {
            Ok(()) => {
                let Some(call) = self.calls.get(key).map(|call| call.id) else { return };
                self.counters.calls_dialled += 1;
                self.tell(CallFact::Dialled { call }, out);
            }
            Err(Undialled::Withheld) => self.dial_withheld(now, key, out),
            Err(Undialled::For(cause)) => self.end_call(now, key, Party::System, cause, out),
        }
    }

    /// The trunk that the customer was dialled over does not take the call: the next one gets it, with nobody the wiser.
    /// False when there is none, or the callee's side has said something already.
    pub(super) fn dial_elsewhere(
        &mut self,
        now: Instant,
        key: Key<Call>,
        ended: &Ended,
        out: &mut Outbox<ShardEffect>,
    ) -> bool {
        let customer = self.calls.get_mut(key).and_then(|call| call.customer.as_mut());
        let Some(side) = customer.filter(|side| side.state == CustomerState::Dialled) else { return false };
        let Some(mut dial) = side.again.take().filter(|_| was_not_taken(ended)) else { return false };
        if !dial.turn_to_next(now, &self.trunks) {
            return false;
        }
        let before = (side.trunk, side.deadline);
        let sound = std::mem::replace(&mut side.sound, Sound::none());
        self.plane.close(now, sound.stream, &mut self.media_out);
        if self.dial_over_first(now, key, *dial, (Turn::Moved, ended.code), out).is_err() {
            return false;
        }
        self.trunks.release(before.0);
        self.deadlines.cancel(before.1);
        true
    }

    /// Dials over the trunk of an order, and where that cannot be over the next one; with what the trunk before said.
    fn dial_over_first(
        &mut self,
        now: Instant,
        key: Key<Call>,
        mut dial: Dial,
        (mut turn, sip_code): (Turn, Option<u16>),
        out: &mut Outbox<ShardEffect>,
    ) -> Result<(), Undialled> {
        let mut side = loop {
            match self.try_dial_customer(now, key, &dial, turn) {
                Ok(side) => break side,
                Err(why) if !dial.turn_to_next(now, &self.trunks) => return Err(why),
                Err(_) => turn = Turn::Moved,
            }
        };
        let (trunk, caller_id) = (dial.trunk, dial.caller_id.clone());
        side.again = Some(Box::new(dial)).filter(|dial| !dial.others.is_empty());
        let Some(call) = self.calls.get_mut(key) else { return Ok(()) };
        call.customer = Some(side);
        let call = call.id;
        if turn == Turn::Moved {
            self.counters.dials_rerouted += 1;
            self.tell(CallFact::Moved { call, trunk, caller_id, sip_code }, out);
        }
        Ok(())
    }

    fn try_dial_customer(
        &mut self,
        now: Instant,
        key: Key<Call>,
        dial: &Dial,
        turn: Turn,
    ) -> Result<CustomerSide, Undialled> {
        let trunk_key = self.trunks.key_of(dial.trunk).ok_or(EndCause::NoTrunk)?;
        let trunk = self.trunks.get(trunk_key).ok_or(EndCause::NoTrunk)?;
        if trunk.is_closed(now) {
            return Err(EndCause::Congestion.into());
        }
        let (listener, destination) = trunk.address.ok_or(EndCause::NoTrunk)?;
        // The dialer keeps the limit of what it dials, but hears of calls that pass through a little later.
        if trunk.channels_of_all() >= trunk.row.config.channels() {
            return Err(EndCause::LocalLimit.into());
        }
        let (policy, srtp) = (Arc::clone(&trunk.policy), trunk.row.config.srtp);
        let caller = dial.caller_id.clone().or_else(|| trunk.row.config.caller_id.clone());
        let request_uri = uri_of(&trunk.row.config.number_for(&dial.to), trunk.host());
        let from_uri = uri_of(caller.as_deref().unwrap_or("anonymous"), self.host_text(listener));
        let owner = Owner::Customer(key).to_bits();
        let security = self.local_security(srtp);
        let sound = self.open_sound(now, owner, security).ok_or(EndCause::LocalLimit)?;
        self.plane.listen(
            now,
            sound.stream,
            Ears { dtmf: true, amd: dial.amd, early_media: dial.early_media, tones: dial.tones },
        );
        let now_s = self.wall_s(now);
        let signed = self.stir.sign(dial.trunk, caller.as_deref(), &dial.to, now_s, &mut self.rng);
        let preferred = policy.preferred(caller.as_ref().map(|_| from_uri.as_str()));
        let identity = signed.as_deref().map(|identity| ("Identity", identity));
        let preferred = preferred.as_deref().map(|value| ("P-Preferred-Identity", value));
        let headers: Vec<(&str, &str)> =
            identity.into_iter().chain(preferred).chain(policy.added()).collect();
        let invite = Invite {
            owner,
            listener,
            destination,
            trunk: Some(trunk_key.to_bits()),
            symmetric: false,
            replaceable: !dial.others.is_empty(),
            request_uri: &request_uri,
            from_uri: &from_uri,
            from_display: "",
            to_uri: &request_uri,
            p_asserted_identity: caller.as_ref().filter(|_| policy.asserts()).map(|_| from_uri.as_str()),
            route: None,
            headers: &headers,
            max_forwards: 70,
            sdp: sdp::offer(&sound.local, &CODECS),
        };
        let leg = match self.ua.invite(now, &invite, &mut self.sip_out) {
            Ok(leg) => leg,
            Err(fault) => {
                self.plane.close(now, sound.stream, &mut self.media_out);
                return Err(match fault {
                    InviteError::Unreachable => EndCause::NoTrunk.into(),
                    InviteError::Overloaded => Undialled::Withheld,
                    _ => EndCause::LocalLimit.into(),
                });
            }
        };
        if let Some(call) = self.calls.get(key) {
            self.trace.note_leg(self.ua.tag_of(leg), call.id);
        }
        if let Some(trunk) = self.trunks.get_mut(trunk_key) {
            match turn {
                Turn::Ordered => trunk.take_ordered(),
                Turn::Moved => trunk.take(now),
            }
        }
        let ring_max = Duration::from_millis(u64::from(dial.ring_timeout_ms));
        let deadline = self.deadlines.arm(now + ring_max, Why::CustomerRingsTooLong(key));
        Ok(CustomerSide {
            leg,
            sound,
            trunk: trunk_key,
            state: CustomerState::Dialled,
            deadline,
            ring_max,
            call_max_ms: dial.call_max_ms,
            amd: dial.amd.is_some(),
            held: false,
            progress_told: 0,
            again: None,
            caller_id: caller,
            offer: None,
        })
    }
}
