//! Agents joined while the customer's phone still rings, and their hop to whoever answers first.
//!
//! A ready agent with a nailed-up session is joined to a call as soon as it rings, and hears it ring; the answer then
//! needs no joining at all. Such an agent is still free in the eyes of the pacer: a call that is answered without an
//! agent of its own takes the next ready one, else the one who has listened longest to a line that still rings. That
//! line rings on by itself and, when it is answered, looks for an agent in the same way.
//!
//! The phone of a ready agent without a session is rung as soon as a line rings that no agent listens to; from then on
//! the agent is as one with a session, until one conversation is over or nothing rings any more.

use super::Call;
use crate::agent::Agent;
use crate::campaign::Campaign;
use crate::dialer::{Cx, Dialer};
use crate::effect::{CallOrder, Effect};
use crate::event::Event;
use crate::id::{AgentId, CallId, CampaignId};
use crate::view::{AgentState, CallState};
use sansio::Instant;

impl Call {
    /// Its agent only hears it ring, and may be taken by a call that is answered.
    pub(crate) fn is_joined_early(&self) -> bool {
        self.joined_early
            && self.agent.is_some()
            && self.answered.is_none()
            && self.state == CallState::Ringing
    }
}

impl Dialer {
    /// Joins ready agents to ringing calls of campaigns that want it so; the longest ringing first.
    pub(crate) fn join_ringing(&mut self, cx: &mut Cx<'_>) {
        if self.ready.is_empty() {
            return;
        }
        let wants =
            |campaign: &&Campaign| campaign.joins_early() && campaign.in_state(&[CallState::Ringing]) > 0;
        let campaigns: Vec<CampaignId> =
            self.campaigns.values().filter(wants).map(|campaign| campaign.row.id).collect();
        for id in campaigns {
            let mut ringing: Vec<(Instant, CallId)> = self.campaigns[&id]
                .calls
                .iter()
                .map(|call| &self.calls[call])
                .filter(|call| call.state == CallState::Ringing && call.agent.is_none())
                .filter_map(|call| Some((call.ringing?.at, call.id)))
                .collect();
            ringing.sort_unstable();
            for (_, call) in ringing {
                let Some(agent) = self.pick_where(id, Agent::is_on_line) else { break };
                self.join_early(cx, call, agent);
            }
            self.ring_for(cx, id);
        }
    }

    /// Rings a phone for each ringing line without an agent, less those that are being rung already.
    fn ring_for(&mut self, cx: &mut Cx<'_>, id: CampaignId) {
        let campaign = &self.campaigns[&id];
        let alone = |call: &&CallId| {
            let call = &self.calls[*call];
            call.state == CallState::Ringing && call.agent.is_none()
        };
        let lines = campaign.calls.iter().filter(alone).count();
        let comes = |id: &&AgentId| {
            let agent = &self.agents[*id];
            agent.is_being_rung_early() && campaign.is_served_by(agent)
        };
        let coming = self.rung_early.iter().filter(comes).count();
        for _ in coming..lines {
            let Some(agent) = self.pick_where(id, |agent| !agent.is_on_line()) else { break };
            self.ring_early(cx, agent);
        }
    }

    /// Closes the legs of phones that were rung early and of which nothing is to be heard any more.
    pub(crate) fn lay_down_idle(&mut self, cx: &mut Cx<'_>) {
        let under_way = [CallState::Queued, CallState::Dialing, CallState::Ringing, CallState::Waiting];
        let idle = |id: &&AgentId| {
            let agent = &self.agents[*id];
            let hears = || {
                self.campaigns.values().any(|campaign| {
                    campaign.joins_early()
                        && campaign.in_state(&under_way) > 0
                        && campaign.is_served_by(agent)
                })
            };
            agent.is_free() && !(matches!(agent.state, AgentState::Ready | AgentState::Ringing) && hears())
        };
        let idle: Vec<AgentId> = self.rung_early.iter().filter(idle).copied().collect();
        for id in idle {
            self.lay_down_early(cx, id);
            self.rest_agent(cx, id, "nothing_rings");
        }
    }

    fn join_early(&mut self, cx: &mut Cx<'_>, id: CallId, agent: AgentId) {
        self.bind_agent(id, agent);
        let call = self.calls.get_mut(&id).expect("the caller has it");
        call.joined_early = true;
        call.agent_legs += 1;
        self.tell_offered(cx, id, agent);
        cx.out.push(Effect::Call(CallOrder::UseSession { call: id, agent }));
        cx.out.push(Effect::Call(CallOrder::LetHear { call: id }));
        self.set_agent_state(cx, agent, AgentState::Ringing, "joined_early", None);
    }

    /// The answer of a call whose agent listens already: only the bridge is left to make.
    pub(super) fn connect_early(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let call = self.calls.get_mut(&id).expect("the caller has it");
        call.joined_early = false;
        let Some(agent) = call.agent else { return };
        self.set_call_state(id, CallState::Offering);
        self.order_bridge(cx, id);
        self.set_agent_state(cx, agent, AgentState::Reserved, "answered", None);
    }

    /// An agent for an answered call from among those who listen to a line that still rings; taken from it.
    pub(super) fn take_listening(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        campaign: CampaignId,
    ) -> Option<AgentId> {
        let campaign = self.campaigns.get(&campaign)?;
        let listening = self.campaigns.values().filter(|other| other.in_state(&[CallState::Ringing]) > 0);
        let calls = listening.flat_map(|other| &other.calls).map(|call| &self.calls[call]);
        let fits = |call: &&Call| {
            let agent = call.agent.and_then(|agent| self.agents.get(&agent));
            call.is_joined_early() && agent.is_some_and(|agent| campaign.is_served_by(agent))
        };
        let (_, from) = calls.filter(fits).filter_map(|call| Some((call.ringing?.at, call.id))).min()?;
        let agent = self.let_go_early(cx, from)?;
        self.tell_call(cx, from, Event::CallAgentHopped { agent, to: id });
        Some(agent)
    }

    /// Takes an agent away from a line that rings; what the agent does next is the caller's.
    pub(crate) fn let_go_early(&mut self, cx: &mut Cx<'_>, id: CallId) -> Option<AgentId> {
        let call = self.calls.get_mut(&id).filter(|call| call.is_joined_early())?;
        call.joined_early = false;
        call.last_agent = None;
        let agent = call.agent.take()?;
        cx.out.push(Effect::Call(CallOrder::ReleaseAgent { call: id, agent }));
        self.leave_call(agent);
        Some(agent)
    }
}
