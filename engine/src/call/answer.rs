//! The answer, of the customer or of the agent's own leg.

use super::{AgentLink, Call, CustomerState};
use crate::doors::ShardEffect;
use crate::shard::{CallShard, Why};
use crate::translate::sdp;
use dialer_core::CallFact;
use dialer_core::outcome::{EndCause, Party};
use sansio::{Duration, Instant, Key, Outbox};

impl CallShard {
    /// The customer answered; the ACK is on its way.
    pub(crate) fn customer_answered(
        &mut self,
        now: Instant,
        key: Key<Call>,
        body: Option<&[u8]>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let id = call.id;
        let Some(customer) = call.customer.as_mut() else { return };
        if customer.state == CustomerState::Answered {
            return;
        }
        customer.state = CustomerState::Answered;
        self.deadlines.cancel(customer.deadline);
        let longest = Duration::from_millis(u64::from(customer.call_max_ms));
        customer.deadline = self.deadlines.arm(now + longest, Why::CallTooLong(key));
        let (stream, local) = (customer.sound.stream, customer.sound.local);
        let amd = customer.amd;
        let Some(plan) = body.and_then(|body| sdp::read_answer(&local, body).ok()) else {
            // Answered, but there is no way to hear each other.
            self.end_call(now, key, Party::System, EndCause::Incompatible, out);
            return;
        };
        if let Some(customer) = self.calls.get_mut(key).and_then(|call| call.customer.as_mut()) {
            customer.held = plan.held;
        }
        self.plane.set_remote(now, stream, plan.remote, &mut self.media_out);
        if amd {
            self.plane.amd_start(now, stream);
        } else {
            // No more early media to classify.
            self.plane.listen(now, stream, media::Ears { dtmf: true, ..media::Ears::default() });
        }
        self.counters.calls_answered += 1;
        self.tell(CallFact::Answered { call: id }, out);
    }

    /// The agent's own leg of the call is up.
    pub(crate) fn agent_answered(
        &mut self,
        now: Instant,
        key: Key<Call>,
        body: Option<&[u8]>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(side) = call.agent.as_mut() else { return };
        let AgentLink::Ringing { sound, confirm, .. } = &mut side.link else { return };
        let sound = *sound;
        let Some(plan) = body.and_then(|body| sdp::read_answer(&sound.local, body).ok()) else {
            self.agent_failed(now, key, EndCause::Incompatible, None, out);
            return;
        };
        let asks = match confirm {
            Some(confirm) => {
                confirm.asked = Some(plan.held);
                true
            }
            None => false,
        };
        self.plane.set_remote(now, sound.stream, plan.remote, &mut self.media_out);
        if asks {
            // The limit of ringing holds on: who says nothing is not there.
            self.ask_to_confirm(now, sound.stream);
        } else {
            self.agent_is_there(now, key, plan.held, out);
        }
    }

    /// The agent whose seat it is takes the call.
    fn agent_is_there(&mut self, now: Instant, key: Key<Call>, held: bool, out: &mut Outbox<ShardEffect>) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let id = call.id;
        let Some(side) = call.agent.as_mut() else { return };
        let AgentLink::Ringing { leg, sound, deadline, .. } = side.link else { return };
        let agent = side.agent;
        side.link = AgentLink::Up { leg, sound, held };
        self.deadlines.cancel(deadline);
        self.tell_others_elsewhere(now, key, out);
        self.tell(CallFact::AgentAnswered { call: id, agent }, out);
    }

    /// A digit from an agent's own leg; true if it was what the leg was asked for, and is nobody else's.
    pub(crate) fn agent_confirms(
        &mut self,
        now: Instant,
        key: Key<Call>,
        digit: char,
        out: &mut Outbox<ShardEffect>,
    ) -> bool {
        let side = self.calls.get(key).and_then(|call| call.agent.as_ref());
        let Some(AgentLink::Ringing { sound, confirm: Some(confirm), .. }) = side.map(|side| &side.link)
        else {
            return false;
        };
        let stream = sound.stream;
        if let Some(held) = confirm.given_by(digit) {
            self.plane.stop_playing(now, stream, &mut self.media_out);
            self.agent_is_there(now, key, held, out);
        }
        true
    }
}
