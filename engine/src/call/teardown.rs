//! The end of a call: every leg told once, every stream closed, and then `Ended`, once.
//!
//! A call is over when its BYE or CANCEL has been sent or received and its sockets are closed. What the transactions
//! still have to repeat is the user agent's business and keeps nothing of the call alive.

use super::{AgentLink, AgentSide, Call, CustomerSide, CustomerState};
use crate::doors::ShardEffect;
use crate::shard::CallShard;
use crate::translate::cause::{Said, cause_of, q850_of};
use dialer_core::outcome::{EndCause, Party};
use dialer_core::{AgentFact, CallFact, CallId};
use sansio::{Instant, Key, Outbox};
use sip_proxy::ua::{Ended, EndedBy, Reason};

/// What a final response or a BYE said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Codes {
    sip: Option<u16>,
    q850: Option<u16>,
}

impl CallShard {
    /// A call that is not dialled, because its trunk has asked for less: as if it had said 503 itself.
    pub(crate) fn dial_withheld(&mut self, now: Instant, key: Key<Call>, out: &mut Outbox<ShardEffect>) {
        let codes = Codes { sip: Some(503), q850: None };
        self.finish_call(now, key, Party::System, EndCause::Congestion, Some(codes), out);
    }

    /// Ends a call, whatever its state.
    pub(crate) fn end_call(
        &mut self,
        now: Instant,
        key: Key<Call>,
        by: Party,
        cause: EndCause,
        out: &mut Outbox<ShardEffect>,
    ) {
        self.finish_call(now, key, by, cause, None, out);
    }

    /// The customer's leg is over; so is the call.
    pub(crate) fn customer_ended(
        &mut self,
        now: Instant,
        key: Key<Call>,
        ended: &Ended,
        out: &mut Outbox<ShardEffect>,
    ) {
        if ended.retry_after.is_some()
            && let Some(side) = self.calls.get(key).and_then(|call| call.customer.as_ref())
        {
            self.heed_retry_after(now, side.trunk, ended, out);
        }
        if self.dial_elsewhere(now, key, ended, out) {
            return;
        }
        let by = match ended.by {
            EndedBy::Remote => Party::Customer,
            EndedBy::Local | EndedBy::Timeout | EndedBy::Protocol => Party::System,
        };
        let came_in = self.calls.get(key).and_then(|call| call.customer.as_ref());
        let cancelled = !ended.answered
            && ended.by == EndedBy::Remote
            && came_in.is_some_and(|side| side.offer.is_some());
        let cause = if cancelled { EndCause::Cancelled } else { cause_of(ended) };
        let sip = if ended.answered { Some(200) } else { ended.code.or(cancelled.then_some(487)) };
        let codes = Codes { sip, q850: ended.q850.map(u16::from) };
        if let Some(reason) = Said::of(ended).record()
            && let Some(call) = self.calls.get(key).map(|call| call.id)
        {
            self.tell(CallFact::Reason { call, reason: Box::new(reason) }, out);
        }
        self.finish_call(now, key, by, cause, Some(codes), out);
    }

    /// The agent's own leg is over: before the answer only that leg, after it the whole call.
    pub(crate) fn agent_ended(
        &mut self,
        now: Instant,
        key: Key<Call>,
        ended: &Ended,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(side) = self.calls.get(key).and_then(|call| call.agent.as_ref()) else { return };
        let (up, agent) = (matches!(side.link, AgentLink::Up { .. }), side.agent);
        if up && self.leaves_to_guest(now, key, out) {
            return;
        }
        if !up {
            if let (EndedBy::Remote, Some(wait)) = (ended.by, ended.retry_after) {
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                self.tell_agent(AgentFact::AsksForRest { agent, wait_ms }, out);
            }
            self.agent_failed(now, key, cause_of(ended), ended.code, out);
            return;
        }
        let by = if ended.by == EndedBy::Remote { Party::Agent } else { Party::System };
        self.finish_call(now, key, by, cause_of(ended), None, out);
    }

    fn finish_call(
        &mut self,
        now: Instant,
        key: Key<Call>,
        by: Party,
        cause: EndCause,
        codes: Option<Codes>,
        out: &mut Outbox<ShardEffect>,
    ) {
        self.drop_guest(now, key, Reason { q850: Some(q850_of(cause)), ..Reason::default() });
        self.end_fork_of_call(key, out);
        self.drop_all_participants(now, key, cause, out);
        let Some(call) = self.calls.remove(key) else { return };
        self.call_keys.remove(&call.id);
        let answered = call.answered_customer().is_some();
        let codes = codes.unwrap_or(Codes { sip: answered.then_some(200), q850: None });
        for rung in call.rung_too {
            self.end_agent_side(now, call.id, Some(rung), cause, Codes::default(), out);
        }
        // Who hung up is told first.
        if by == Party::Agent {
            self.end_agent_side(now, call.id, call.agent, cause, Codes::default(), out);
            self.end_customer_side(now, call.id, call.customer, cause, codes, out);
        } else {
            self.end_customer_side(now, call.id, call.customer, cause, codes, out);
            self.end_agent_side(now, call.id, call.agent, cause, Codes::default(), out);
        }
        self.counters.calls_ended += 1;
        let ended = CallFact::Ended { call: call.id, by, cause, sip_code: codes.sip, q850: codes.q850 };
        self.tell(ended, out);
    }

    fn end_customer_side(
        &mut self,
        now: Instant,
        call: CallId,
        side: Option<CustomerSide>,
        cause: EndCause,
        codes: Codes,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(side) = side else { return };
        self.deadlines.cancel(side.deadline);
        let answered = side.state == CustomerState::Answered;
        let refused = side.offer.is_some() && !answered;
        // A refusal's status says it; CANCEL and BYE need a word.
        let q850 = (!refused).then(|| q850_of(cause));
        let sip = refused.then(|| super::inbound::refusal_code(cause));
        self.ua.hangup(now, side.leg, Reason { sip, q850, ..Reason::default() }, &mut self.sip_out);
        if answered {
            self.tell_media(now, call, Party::Customer, side.sound.stream, out);
        }
        self.plane.close(now, side.sound.stream, &mut self.media_out);
        self.trunks.release(side.trunk);
        let fact =
            CallFact::LegEnded { call, party: Party::Customer, cause, sip_code: codes.sip, q850: codes.q850 };
        self.tell(fact, out);
    }

    /// Takes the agent's side off a call that goes on.
    pub(crate) fn drop_agent_side(
        &mut self,
        now: Instant,
        key: Key<Call>,
        cause: EndCause,
        sip_code: Option<u16>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let (id, side) = (call.id, call.agent.take());
        call.bridged = false;
        call.listening = false;
        if let Some(recording) = call.recording {
            self.retarget_recording(now, recording, None);
        }
        self.end_agent_side(now, id, side, cause, Codes { sip: sip_code, q850: None }, out);
        if let Some(call) = self.calls.get_mut(key) {
            call.seat_next();
        }
        self.settle_mix(now, key);
    }

    pub(super) fn end_agent_side(
        &mut self,
        now: Instant,
        call: CallId,
        side: Option<AgentSide>,
        cause: EndCause,
        codes: Codes,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(side) = side else { return };
        if let Some(trunk) = side.trunk {
            self.trunks.release(trunk);
        }
        if let Some(trunk) = side.guest.and_then(|guest| guest.trunk) {
            self.agents.end_call(side.agent);
            self.trunks.release(trunk);
        }
        match side.link {
            AgentLink::Ringing { leg, sound, deadline, .. } => {
                self.deadlines.cancel(deadline);
                let reason = Reason { q850: Some(q850_of(cause)), ..Reason::default() };
                self.stop_ringing(now, leg, sound, reason);
            }
            AgentLink::Up { leg, sound, .. } => {
                let reason = Reason { q850: Some(q850_of(cause)), ..Reason::default() };
                self.ua.hangup(now, leg, reason, &mut self.sip_out);
                self.tell_media(now, call, Party::Agent, sound.stream, out);
                self.plane.close(now, sound.stream, &mut self.media_out);
            }
            AgentLink::Session(session) => {
                if let Some(state) = self.sessions.get_mut(session) {
                    state.call = None;
                    let stream = state.sound.stream;
                    self.tell_media(now, call, Party::Agent, stream, out);
                    self.plane.disconnect(now, stream);
                    self.plane.leave_mix(now, stream);
                    self.plane.mute(stream, false);
                    self.plane.stop_playing(now, stream, &mut self.media_out);
                    self.play_waiting(now, session);
                }
            }
        }
        let fact =
            CallFact::LegEnded { call, party: Party::Agent, cause, sip_code: codes.sip, q850: codes.q850 };
        self.tell(fact, out);
    }
}
