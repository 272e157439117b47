//! Agents joined while the customer's phone still rings, and their hop to whoever answers first.
//!
//! A ready agent with a nailed-up session is joined to a call as soon as it rings, and hears it ring; the answer then
//! needs no joining at all. Such an agent is still free in the eyes of the pacer: a call that is answered without an
//! agent of its own takes the next ready one, else the one who has listened longest to a line that still rings. That
//! line rings on by itself and, when it is answered, looks for an agent in the same way.
//!
//! Agents whose phone is rung for each call get their calls at the answer, as without this.

use super::Call;
use crate::campaign::Campaign;
use crate::config::SessionKind;
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
                let Some(agent) = self.pick_nailed_up(&self.campaigns[&id]) else { break };
                self.join_early(cx, call, agent);
            }
        }
    }

    fn pick_nailed_up(&self, campaign: &Campaign) -> Option<AgentId> {
        let fits = |id: &AgentId| {
            let agent = &self.agents[id];
            agent.session == Some(SessionKind::NailedUp) && campaign.is_served_by(agent)
        };
        self.ready.iter().map(|(_, id)| *id).find(fits)
    }

    fn join_early(&mut self, cx: &mut Cx<'_>, id: CallId, agent: AgentId) {
        self.bind_agent(id, agent);
        let call = self.calls.get_mut(&id).expect("the caller has it");
        call.joined_early = true;
        call.agent_legs += 1;
        cx.out.push(Effect::Call(CallOrder::UseSession { call: id, agent }));
        cx.out.push(Effect::Call(CallOrder::LetHear { call: id }));
        self.set_agent_state(cx, agent, AgentState::Ringing, "joined_early", None);
        let agent_name = self.agents[&agent].row.config.name.clone();
        self.tell_call(cx, id, Event::CallAgentOffered { agent, agent_name });
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
        self.agents.get_mut(&agent).expect("agents in calls are not deleted").call = None;
        Some(agent)
    }
}
