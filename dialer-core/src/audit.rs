//! Invariants of the dialer as a function: what must hold after every input.

use crate::agent::Line;
use crate::call::TransitCall;
use crate::dialer::Dialer;
use crate::id::{AgentId, CallId, CampaignId, LeadId, TrunkId};
use crate::view::{AgentState, CallState};
use std::collections::{BTreeMap, BTreeSet};

/// A broken invariant: a fault in this room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// A trunk's count of calls is not that of the calls on it.
    TrunkCount {
        /// Which.
        trunk: TrunkId,
        /// What it counts.
        counted: u32,
        /// What is there.
        there: u32,
    },
    /// A trunk has more of our calls than channels (its limit was not lowered meanwhile).
    TrunkOverfull(TrunkId),
    /// A campaign's counts by state are not those of its calls.
    CampaignCount(CampaignId),
    /// A hopper holds more than it may.
    HopperOverfull(CampaignId),
    /// A call and its agent do not know each other.
    Torn {
        /// The call.
        call: Option<CallId>,
        /// The agent.
        agent: AgentId,
    },
    /// An agent's state does not fit what the agent has (call, task, after-call work).
    AgentState(AgentId, AgentState),
    /// The index of ready agents is wrong about this one.
    ReadyIndex(AgentId),
    /// A lead is held by nobody, or by two, or is not marked as held.
    LeadHolding(LeadId),
    /// More leads are marked as held than are held.
    LeadsLeaked(usize),
    /// Phones ring for a call that is offered to nobody, or has its agent.
    RingsOn(CallId),
    /// A call waits for an agent and is not in the queue, or the other way round.
    Queue(CallId),
    /// An answered call that no deadline will move on.
    NoDeadline(CallId),
    /// A command waits for the end of a call that is over.
    UntoldCommand(CallId),
    /// More calls than the node may have.
    TooManyCalls(usize),
}

/// What is alive. All zero at rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Alive {
    /// Calls.
    pub calls: usize,
    /// Transit calls.
    pub transit: usize,
    /// Calls in the queue for agents.
    pub waiting: usize,
    /// Preview tasks.
    pub tasks: usize,
    /// Agents' sessions that are not closed.
    pub sessions: usize,
    /// Leads held ready or in calls.
    pub leads_held: usize,
    /// Channels taken.
    pub channels: u32,
    /// Deadlines armed (the pacing tick of running campaigns among them).
    pub deadlines: usize,
}

pub(crate) fn alive(dialer: &Dialer) -> Alive {
    Alive {
        calls: dialer.calls.len(),
        transit: dialer.transit.len(),
        waiting: dialer.waiting.len(),
        tasks: dialer.tasks.len(),
        sessions: dialer.agents.values().filter(|agent| agent.line != Line::Closed).count(),
        leads_held: dialer.leads.held(),
        channels: dialer.trunks.values().map(|trunk| trunk.active).sum(),
        deadlines: dialer.timers.len(),
    }
}

pub(crate) fn audit(dialer: &Dialer) -> Vec<Finding> {
    let mut found = Vec::new();
    trunks(dialer, &mut found);
    campaigns(dialer, &mut found);
    agents(dialer, &mut found);
    leads(dialer, &mut found);
    calls(dialer, &mut found);
    found
}

fn trunks(dialer: &Dialer, found: &mut Vec<Finding>) {
    let mut there: BTreeMap<TrunkId, u32> = BTreeMap::new();
    for call in dialer.calls.values() {
        *there.entry(call.trunk).or_default() += 1;
        let others = call.participants.iter().filter_map(|participant| participant.trunk);
        for trunk in others.chain(call.guest_trunk).chain(call.transferring.flatten()) {
            *there.entry(trunk).or_default() += 1;
        }
    }
    let lines = dialer.agents.values().flat_map(|agent| agent.channels.held());
    for trunk in dialer.transit.values().flat_map(TransitCall::trunks).chain(lines) {
        *there.entry(trunk).or_default() += 1;
    }
    for (id, trunk) in &dialer.trunks {
        let there = there.get(id).copied().unwrap_or(0);
        if trunk.active != there {
            found.push(Finding::TrunkCount { trunk: *id, counted: trunk.active, there });
        }
        // A limit that was lowered below what is there is not a fault; version 1 was never changed. Nor is a call that the
        // engine has given to another trunk while one was on its way to it.
        let ordered_only = dialer.transit.is_empty() && !dialer.calls.values().any(|call| call.moved);
        if trunk.row.version == 1 && ordered_only && there > trunk.row.config.channels_max {
            found.push(Finding::TrunkOverfull(*id));
        }
    }
}

fn campaigns(dialer: &Dialer, found: &mut Vec<Finding>) {
    for (id, campaign) in &dialer.campaigns {
        let mut by_state = [0_u32; 10];
        for call in dialer.calls.values().filter(|call| call.line_of() == Some(*id)) {
            by_state[call.state as usize] += 1;
            if !campaign.calls.contains(&call.id) {
                found.push(Finding::CampaignCount(*id));
            }
        }
        if by_state != campaign.by_state || campaign.calls.len() != by_state.iter().sum::<u32>() as usize {
            found.push(Finding::CampaignCount(*id));
        }
        if campaign.hopper.len() > dialer.config.hopper_max + dialer.agents.len() {
            found.push(Finding::HopperOverfull(*id));
        }
    }
}

fn agents(dialer: &Dialer, found: &mut Vec<Finding>) {
    for (id, agent) in &dialer.agents {
        if let Some(call) = agent.call
            && dialer.calls.get(&call).is_none_or(|call| !call.is_offered_to(*id))
        {
            found.push(Finding::Torn { call: Some(call), agent: *id });
        }
        if let Some(task) = agent.task
            && dialer.tasks.get(&task).is_none_or(|task| task.agent != *id)
        {
            found.push(Finding::Torn { call: None, agent: *id });
        }
        let busy = usize::from(agent.call.is_some())
            + usize::from(agent.task.is_some())
            + usize::from(agent.wrap_up.is_some());
        let fits = match agent.state {
            AgentState::LoggedOut | AgentState::Unreachable | AgentState::Ready | AgentState::Paused => {
                busy == 0 && agent.state == agent.rest_state()
            }
            // Without a call: a phone that is being rung early, or whose leg is ending.
            AgentState::Reserved | AgentState::Ringing if busy == 0 => agent.state == agent.rest_state(),
            AgentState::Reserved | AgentState::Ringing | AgentState::Talking | AgentState::Hold => {
                busy == 1 && agent.call.is_some()
            }
            AgentState::Preview => busy == 1 && agent.task.is_some(),
            AgentState::WrapUp => busy == 1 && agent.wrap_up.is_some(),
        };
        if !fits || agent.rung_early != dialer.rung_early.contains(id) {
            found.push(Finding::AgentState(*id, agent.state));
        }
        if dialer.ready.contains(&(agent.since.at, *id)) != (agent.state == AgentState::Ready) {
            found.push(Finding::ReadyIndex(*id));
        }
    }
    for (_, id) in &dialer.ready {
        if dialer.agents.get(id).is_none_or(|agent| agent.state != AgentState::Ready) {
            found.push(Finding::ReadyIndex(*id));
        }
    }
}

fn leads(dialer: &Dialer, found: &mut Vec<Finding>) {
    let mut seen: BTreeSet<LeadId> = BTreeSet::new();
    let in_hoppers = dialer.campaigns.values().flat_map(|campaign| campaign.hopper.iter());
    let in_calls = dialer.calls.values().filter_map(|call| call.lead.as_ref());
    let in_tasks = dialer.tasks.values().map(|task| &task.lead);
    for lead in in_hoppers.chain(in_calls).chain(in_tasks) {
        if !seen.insert(lead.id) || !dialer.leads.is_held(lead.id) {
            found.push(Finding::LeadHolding(lead.id));
        }
    }
    if dialer.leads.held() > seen.len() {
        found.push(Finding::LeadsLeaked(dialer.leads.held() - seen.len()));
    }
}

fn calls(dialer: &Dialer, found: &mut Vec<Finding>) {
    for (id, call) in &dialer.calls {
        for agent in call.offered_to() {
            if dialer.agents.get(&agent).is_none_or(|agent| agent.call != Some(*id)) {
                found.push(Finding::Torn { call: Some(*id), agent });
            }
        }
        if !(call.rung_too.is_empty() || call.agent.is_some() && call.state.may_ring_many()) {
            found.push(Finding::RingsOn(*id));
        }
        let queued = call.waits_since.is_some_and(|since| dialer.waiting.contains(&(since, *id)));
        if queued != call.waits_since.is_some() || (queued && call.state != CallState::Waiting) {
            found.push(Finding::Queue(*id));
        }
        let needs_deadline = match call.state {
            CallState::Waiting | CallState::Offering => call.line_of().is_some(),
            CallState::Message | CallState::Ending | CallState::CallingAgent | CallState::Parked => true,
            _ => false,
        };
        if needs_deadline && call.timer.is_none() {
            found.push(Finding::NoDeadline(*id));
        }
    }
    let gone = |id: &&CallId| !dialer.calls.contains_key(*id) && !dialer.transit.contains_key(*id);
    found.extend(dialer.tracked.keys().filter(gone).map(|id| Finding::UntoldCommand(*id)));
    let queued = dialer.calls.values().filter(|call| call.waits_since.is_some()).count();
    if queued != dialer.waiting.len() {
        found.extend(dialer.waiting.iter().map(|(_, id)| Finding::Queue(*id)));
    }
    if dialer.calls.len() > dialer.config.calls_max as usize {
        found.push(Finding::TooManyCalls(dialer.calls.len()));
    }
}
