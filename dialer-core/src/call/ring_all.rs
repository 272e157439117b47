//! Ring all: one call is offered to many agents at once, and the first to answer gets it.
//!
//! `call.agent` is one of those who are rung, `call.rung_too` are the others. Below, whoever answers first ends the ringing
//! of the rest ("Call completed elsewhere"); here they are free again, and have missed nothing.
//!
//! ```text
//!   ring_others   agent: anna   rung_too: bert, cora     all three: ringing
//!   cora answers  agent: cora   rung_too: -              anna, bert: ready ("answered_elsewhere")
//!   anna refuses  agent: bert   rung_too: cora           anna: a missed offer; the others ring on
//! ```

use super::Call;
use crate::dialer::{Cx, Dialer};
use crate::effect::{CallOrder, Effect};
use crate::id::{AgentId, CallId};
use crate::view::{AgentState, CallState};

impl CallState {
    /// A call may ring many agents' phones in this state (as it ends, they are being told).
    pub(crate) const fn may_ring_many(self) -> bool {
        matches!(self, CallState::Offering | CallState::Ending)
    }
}

impl Call {
    /// Everyone it is offered to, or its one agent.
    pub(crate) fn offered_to(&self) -> impl Iterator<Item = AgentId> {
        self.agent.into_iter().chain(self.rung_too.iter().copied())
    }

    pub(crate) fn is_offered_to(&self, agent: AgentId) -> bool {
        self.agent == Some(agent) || self.rung_too.contains(&agent)
    }

    /// Phones of others than this agent ring.
    pub(super) fn rings_others(&self, agent: AgentId) -> bool {
        self.offered_to().any(|other| other != agent)
    }

    /// This one is out of it; one of the others steps forward.
    pub(super) fn forget_offer_to(&mut self, agent: AgentId) {
        if self.agent == Some(agent) {
            self.agent = (!self.rung_too.is_empty()).then(|| self.rung_too.remove(0));
            self.last_agent = self.agent.or(self.last_agent);
        } else {
            self.rung_too.retain(|other| *other != agent);
        }
    }
}

impl Dialer {
    /// Rings the phones of all other free agents for a call that one phone rings for, if its campaign wants it so.
    pub(super) fn ring_others(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let first = self.calls[&id].agent;
        let rings = first.is_some_and(|agent| self.agents[&agent].state == AgentState::Ringing);
        let campaign = self.campaign_that_serves(id).filter(|_| rings);
        let Some(campaign) = campaign else { return };
        let others = self.pick_others(campaign);
        if others.is_empty() {
            return;
        }
        for agent in others {
            let call = self.calls.get_mut(&id).expect("the caller has it");
            call.rung_too.push(agent);
            call.agent_legs += 1;
            self.agents.get_mut(&agent).expect("it was picked").call = Some(id);
            self.tell_offered(cx, id, agent);
            self.order_ring(cx, id, agent);
            self.set_agent_state(cx, agent, AgentState::Ringing, "offered", None);
        }
        if self.calls[&id].inbound.is_some() {
            self.inbound_offered(cx, id);
        }
    }

    /// Who answered first has the call; the others are free again.
    pub(super) fn give_to_first(&mut self, cx: &mut Cx<'_>, id: CallId, agent: AgentId) {
        let call = self.calls.get_mut(&id).expect("the caller has it");
        if call.agent != Some(agent) {
            call.rung_too.retain(|other| *other != agent);
            call.rung_too.extend(call.agent.replace(agent));
            call.last_agent = Some(agent);
        }
        for other in &self.calls[&id].rung_too {
            let group = self.agents[other].first_group().to_owned();
            self.counters.group(&group).offers_taken_elsewhere += 1;
        }
        self.let_others_go(cx, id, "answered_elsewhere");
    }

    /// The others' phones need not ring any more.
    pub(super) fn let_others_go(&mut self, cx: &mut Cx<'_>, id: CallId, why: &str) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        for agent in std::mem::take(&mut call.rung_too) {
            cx.out.push(Effect::Call(CallOrder::ReleaseAgent { call: id, agent }));
            self.leave_call(agent);
            self.rest_agent(cx, agent, why);
        }
    }
}
