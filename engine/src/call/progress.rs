//! Signs of life before the answer: ringing, and sound that is listened to.

use super::{AgentLink, Call, CustomerState};
use crate::doors::ShardEffect;
use crate::shard::{CallShard, Why};
use crate::translate::sdp;
use dialer_core::CallFact;
use sansio::{Instant, Key, Outbox};

impl CallShard {
    /// The customer's leg made progress (any 18x).
    pub(crate) fn customer_progress(
        &mut self,
        now: Instant,
        key: Key<Call>,
        code: u16,
        body: Option<&[u8]>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(customer) = call.customer.as_mut() else { return };
        if customer.state == CustomerState::Answered {
            return;
        }
        let plan = body.and_then(|body| sdp::read_answer(&customer.sound.local, body).ok());
        if let Some(plan) = plan {
            self.plane.set_remote(now, customer.sound.stream, plan.remote, &mut self.media_out);
        }
        let bit = 1_u32.checked_shl(u32::from(code).wrapping_sub(180)).filter(|_| code > 180);
        let is_news = bit.is_some_and(|bit| customer.progress_told & bit == 0);
        customer.progress_told |= bit.unwrap_or(0);
        // Told once: a second 180, or a 183 behind it, is no news to the dialer.
        if customer.state == CustomerState::Dialled {
            customer.state = CustomerState::Ringing;
            // The phone rings from now on, however long the network took to find it: the time that it must and may
            // ring begins here.
            self.deadlines.cancel(customer.deadline);
            customer.deadline = self.deadlines.arm(now + customer.ring_max, Why::CustomerRingsTooLong(key));
            let fact = CallFact::Ringing { call: call.id, early_media: plan.is_some() };
            self.tell(fact, out);
        }
        if is_news && let Some(call) = self.calls.get(key).map(|call| call.id) {
            let fact = CallFact::Progress { call, sip_code: code, early_media: plan.is_some() };
            self.tell(fact, out);
        }
    }

    /// The agent's own leg made progress.
    pub(crate) fn agent_progress(&mut self, key: Key<Call>, out: &mut Outbox<ShardEffect>) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(side) = call.agent.as_mut() else { return };
        if let AgentLink::Ringing { told, .. } = &mut side.link
            && !std::mem::replace(told, true)
        {
            let fact = CallFact::AgentRinging { call: call.id, agent: side.agent };
            self.tell(fact, out);
        }
    }
}
