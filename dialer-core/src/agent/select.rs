//! Which free agent comes first.

use super::Agent;
use crate::dialer::Dialer;
use crate::id::{AgentId, CampaignId};
use crate::serving::{AgentOrder, RING_ALL_MAX};
use std::cmp::Reverse;

impl Dialer {
    /// The ready agent who gets a campaign's next call.
    pub(crate) fn pick_agent(&mut self, campaign: CampaignId) -> Option<AgentId> {
        self.pick_where(campaign, |_| true)
    }

    /// The same among those who `fit`.
    pub(crate) fn pick_where(
        &mut self,
        campaign: CampaignId,
        fit: impl Fn(&Agent) -> bool,
    ) -> Option<AgentId> {
        let of = &self.campaigns[&campaign];
        let serving = &of.row.config.serving;
        // Longest idle first; the first of equals is taken.
        let free = || {
            let agents = self.ready.iter().map(|(_, id)| (*id, &self.agents[id]));
            agents.filter(|(_, agent)| fit(agent) && of.is_served_by(agent))
        };
        let chosen = match serving.order {
            AgentOrder::LongestIdle => free().next(),
            AgentOrder::RingAll => free().min_by_key(|(_, agent)| !agent.is_on_line()),
            AgentOrder::FewestCalls => free().min_by_key(|(_, agent)| agent.calls_taken),
            AgentOrder::Rank => free().min_by_key(|(_, agent)| Reverse(agent.row.config.rank_in(campaign))),
            AgentOrder::SkillRank => free().min_by_key(|(_, agent)| {
                let config = &agent.row.config;
                (Reverse(config.levels_in(&serving.skills)), Reverse(config.rank_in(campaign)))
            }),
            AgentOrder::TopDown => {
                free().min_by_key(|(id, agent)| (agent.row.config.position_in(campaign), *id))
            }
            AgentOrder::Random => {
                let count = free().count() as u64;
                let place = self.agent_choice.below(count);
                free().nth(usize::try_from(place).unwrap_or(0))
            }
        };
        chosen.map(|(id, _)| id)
    }

    /// The other ready agents of a campaign whose phones ring too, where all of them do; idle longest first.
    pub(crate) fn pick_others(&self, campaign: CampaignId) -> Vec<AgentId> {
        let of = &self.campaigns[&campaign];
        if of.row.config.serving.order != AgentOrder::RingAll {
            return Vec::new();
        }
        let ready = self.ready.iter().map(|(_, id)| (*id, &self.agents[id]));
        let fit = ready.filter(|(_, agent)| !agent.is_on_line() && of.is_served_by(agent));
        fit.map(|(id, _)| id).take(RING_ALL_MAX - 1).collect()
    }
}
