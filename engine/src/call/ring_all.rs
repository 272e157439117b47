//! Many agents are rung for one call, and the first to answer has it.
//!
//! ```text
//!   agent: anna (rings)   rung_too: bert, cora (ring)
//!     an event of bert's leg    bert has the seat, and what follows is done as if only he were rung
//!     … he answers              the others get CANCEL, "Call completed elsewhere"
//!     … he refuses              one of the others has the seat, and rings on
//! ```

use super::{AgentLink, AgentSide, Call, Sound};
use crate::doors::ShardEffect;
use crate::shard::CallShard;
use dialer_core::outcome::{EndCause, Party};
use dialer_core::serving::RING_ALL_MAX;
use dialer_core::{AgentId, CallFact};
use media::StreamKey;
use sansio::{Instant, Key, Outbox};
use sip_proxy::status::ELSEWHERE;
use sip_proxy::ua::{LegKey, Reason};

impl AgentSide {
    fn leg(&self) -> Option<LegKey> {
        match self.link {
            AgentLink::Ringing { leg, .. } | AgentLink::Up { leg, .. } => Some(leg),
            AgentLink::Session(_) => None,
        }
    }

    fn is_rung(&self) -> bool {
        self.guest.is_none() && matches!(self.link, AgentLink::Ringing { .. })
    }
}

impl Call {
    /// This agent's phone may be rung: nobody's is, or only others' are.
    pub(super) fn may_ring(&self, agent: AgentId) -> bool {
        let Some(side) = &self.agent else { return true };
        let mut all = self.rung_too.iter().chain([side]);
        side.is_rung() && self.rung_too.len() + 1 < RING_ALL_MAX && all.all(|other| other.agent != agent)
    }

    /// One more is rung.
    pub(super) fn ring_also(&mut self, side: AgentSide) {
        match &self.agent {
            None => self.agent = Some(side),
            Some(_) => self.rung_too.push(side),
        }
    }

    /// Gives the seat to the one whose leg this is. False: it is nobody's.
    pub(crate) fn seat_leg(&mut self, leg: LegKey) -> bool {
        self.seat(|side| side.leg() == Some(leg))
    }

    /// … whose stream this is.
    pub(crate) fn seat_stream(&mut self, stream: StreamKey) -> bool {
        let is_of = |side: &AgentSide| match side.link {
            AgentLink::Ringing { sound, .. } | AgentLink::Up { sound, .. } => sound.stream == stream,
            AgentLink::Session(_) => false,
        };
        self.seat(is_of)
    }

    /// … who this is.
    pub(super) fn seat_agent(&mut self, agent: AgentId) -> bool {
        self.seat(|side| side.agent == agent)
    }

    fn seat(&mut self, is_it: impl Fn(&AgentSide) -> bool) -> bool {
        if self.agent.as_ref().is_some_and(&is_it) {
            return true;
        }
        let Some(place) = self.rung_too.iter().position(is_it) else { return false };
        let chosen = self.rung_too.remove(place);
        self.rung_too.extend(self.agent.replace(chosen));
        true
    }

    /// The seat is empty: one who rings on takes it.
    pub(super) fn seat_next(&mut self) {
        if self.agent.is_none() && !self.rung_too.is_empty() {
            self.agent = Some(self.rung_too.remove(0));
        }
    }
}

impl CallShard {
    /// The agent in the seat has answered: the others need not ring any more (RFC 3326 §2: 200 in a CANCEL).
    pub(super) fn tell_others_elsewhere(
        &mut self,
        now: Instant,
        key: Key<Call>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let call_id = call.id;
        for side in std::mem::take(&mut call.rung_too) {
            let AgentLink::Ringing { leg, sound, deadline, .. } = side.link else { continue };
            if let Some(trunk) = side.trunk {
                self.trunks.release(trunk);
            }
            self.deadlines.cancel(deadline);
            let reason = Reason { sip: Some(200), text: ELSEWHERE, ..Reason::default() };
            self.stop_ringing(now, leg, sound, reason);
            let (party, cause) = (Party::Agent, EndCause::Cancelled);
            let ended = CallFact::LegEnded { call: call_id, party, cause, sip_code: None, q850: None };
            self.tell(ended, out);
        }
    }

    /// Ends a leg that rings, and its sound.
    pub(super) fn stop_ringing(&mut self, now: Instant, leg: LegKey, sound: Sound, reason: Reason<'_>) {
        self.ua.hangup(now, leg, reason, &mut self.sip_out);
        self.plane.close(now, sound.stream, &mut self.media_out);
    }
}
