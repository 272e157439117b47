//! The campaigns that share agents with the one decided for, counted once per decision.

use super::simple::is_free;
use super::{AgentState, AgentView, CampaignRef, PacingView};
use sansio::Instant;
use std::collections::BTreeMap;

/// A campaign with calls that may want the agents of the one decided for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Neighbour {
    /// Its calls in the view.
    pub calls: u32,
    /// Of these answered and waiting.
    pub answered: u32,
    /// Agents at work who take its calls, …
    pub working: u32,
    /// … and of these who take the calls of the campaign decided for too.
    pub working_both: u32,
    /// Agents free for its calls alone, …
    pub free_alone: u32,
    /// … and free for those of both.
    pub free_both: u32,
}

impl Neighbour {
    /// Of the agents at work who take its calls, the share that takes those of the campaign decided for too.
    pub(super) fn shared(&self) -> f64 {
        if self.working == 0 { 0.0 } else { f64::from(self.working_both) / f64::from(self.working) }
    }
}

/// By campaign; without the one decided for.
pub(super) type Neighbours = BTreeMap<CampaignRef, Neighbour>;

/// Agents one after another who take the calls of the same campaigns.
#[derive(Clone, Copy, Debug)]
struct Crew<'a> {
    serves: &'a [CampaignRef],
    working: u32,
    free: u32,
}

/// Counts the neighbours in `view`; `until`: when calls dialled now will be answered, about.
///
/// Agents are taken crew by crew, since a house has many agents and few crews: with 200 campaigns for the same 50 agents
/// it is the difference between 200 and 10,000 looks per decision.
pub(super) fn neighbours(view: &PacingView<'_>, until: Instant) -> Neighbours {
    let mut found = Neighbours::new();
    for call in view.calls.iter().filter(|call| call.campaign != view.campaign) {
        let neighbour = found.entry(call.campaign).or_default();
        neighbour.calls += 1;
        neighbour.answered += u32::from(call.answered_at.is_some());
    }
    if found.is_empty() {
        return found;
    }
    let mut crew: Option<Crew<'_>> = None;
    for agent in view.agents {
        if agent.state == AgentState::Listening {
            // Free for one campaign only: a crew of their own.
            add_listening(&mut found, view.campaign, agent, until);
            continue;
        }
        let working = u32::from(agent.state.is_working());
        let free = u32::from(is_free(agent, view.campaign, until));
        match &mut crew {
            Some(crew) if crew.serves == agent.serves => {
                crew.working += working;
                crew.free += free;
            }
            _ => {
                let next = Crew { serves: agent.serves, working, free };
                if let Some(done) = crew.replace(next) {
                    add(&mut found, view.campaign, done);
                }
            }
        }
    }
    if let Some(last) = crew {
        add(&mut found, view.campaign, last);
    }
    found
}

fn add(found: &mut Neighbours, own: CampaignRef, crew: Crew<'_>) {
    if crew.working == 0 {
        return;
    }
    let both = crew.serves.contains(&own);
    for campaign in crew.serves {
        let Some(neighbour) = found.get_mut(campaign) else { continue };
        neighbour.working += crew.working;
        if both {
            neighbour.working_both += crew.working;
            neighbour.free_both += crew.free;
        } else {
            neighbour.free_alone += crew.free;
        }
    }
}

fn add_listening(found: &mut Neighbours, own: CampaignRef, agent: &AgentView<'_>, until: Instant) {
    let both = agent.serves.contains(&own);
    for campaign in agent.serves {
        let Some(neighbour) = found.get_mut(campaign) else { continue };
        let free = u32::from(is_free(agent, *campaign, until));
        neighbour.working += 1;
        if both {
            neighbour.working_both += 1;
            neighbour.free_both += free;
        } else {
            neighbour.free_alone += free;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pacing::{AgentRef, CallRef, CallView, DialLimits, DialTraits};
    use sansio::Rng;

    const OWN: CampaignRef = CampaignRef(0);

    fn view<'a>(agents: &'a [AgentView<'a>], calls: &'a [CallView]) -> PacingView<'a> {
        PacingView {
            campaign: OWN,
            agents,
            calls,
            inbound_waiting: 0,
            limits: DialLimits { lines_free: 9, cps_allowance: 9, hopper: 9, max_lines_per_agent: 9.0 },
            leads_left: None,
            idle_share: None,
            next: DialTraits::default(),
            next_answer: None,
            shift_left: None,
            windows: &[],
            hold: None,
        }
    }

    /// One agent and one campaign at a time, as it is meant.
    fn plainly(view: &PacingView<'_>, other: CampaignRef) -> Neighbour {
        let mut found = Neighbour::default();
        for call in view.calls.iter().filter(|call| call.campaign == other) {
            found.calls += 1;
            found.answered += u32::from(call.answered_at.is_some());
        }
        for agent in view.agents.iter().filter(|agent| agent.serves.contains(&other)) {
            let both = u32::from(agent.serves.contains(&OWN));
            let (working, free) =
                (u32::from(agent.state.is_working()), u32::from(is_free(agent, other, Instant::ZERO)));
            found.working += working;
            found.working_both += working * both;
            found.free_both += free * both;
            found.free_alone += free * (1 - both);
        }
        found
    }

    #[test]
    fn crew_by_crew_is_agent_by_agent() {
        let lists: Vec<Vec<CampaignRef>> = [&[0][..], &[0, 1], &[1, 2], &[2], &[0, 1, 2, 3]]
            .map(|list| list.iter().map(|c| CampaignRef(*c)).collect())
            .into();
        let states = [
            AgentState::Idle,
            AgentState::Listening,
            AgentState::Talking,
            AgentState::OnBreak,
            AgentState::LoggedOut,
        ];
        let mut rng = Rng::from_seed(5);
        let mut pick = |most: usize| (rng.unit() * most as f64) as usize;
        for _ in 0..200 {
            let agents: Vec<AgentView<'_>> = (0..12)
                .map(|number| AgentView {
                    agent: AgentRef(number),
                    state: states[pick(states.len())],
                    since: Instant::ZERO,
                    campaign: Some(CampaignRef(pick(4) as u32)),
                    serves: &lists[pick(lists.len())],
                    leaving: pick(5) == 0,
                    free_at: None,
                    busy_until: None,
                    leaves_at: None,
                })
                .collect();
            let calls: Vec<CallView> = (0..8)
                .map(|number| CallView {
                    call: CallRef(number),
                    campaign: CampaignRef(pick(4) as u32),
                    dialed_at: Instant::ZERO,
                    alerting_at: None,
                    detecting_since: None,
                    answered_at: (pick(3) == 0).then_some(Instant::ZERO),
                    traits: DialTraits::default(),
                    answer_probability: None,
                })
                .collect();
            let view = view(&agents, &calls);
            let found = neighbours(&view, Instant::ZERO);
            assert!(!found.contains_key(&OWN));
            for other in
                (1..4).map(CampaignRef).filter(|other| calls.iter().any(|call| call.campaign == *other))
            {
                assert_eq!(found[&other], plainly(&view, other), "{other:?} in {agents:?}");
            }
        }
    }
}
