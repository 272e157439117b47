//! Who works for which campaign.

use super::Campaign;
use crate::agent::Agent;
use crate::config::CampaignState;
use crate::dialer::Dialer;
use crate::id::{AgentId, CampaignId};
use crate::pacing::CampaignRef;
use std::collections::BTreeMap;

/// For each agent the campaigns served, and for each campaign its agents: made anew when a campaign, a group or
/// a login changes, read on every decision.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    pub(crate) stale: bool,
    /// Logged-in agents with the campaigns they serve, by number.
    pub(crate) serves: BTreeMap<AgentId, Vec<CampaignRef>>,
    /// A campaign's logged-in agents.
    pub(crate) agents: BTreeMap<CampaignId, Vec<AgentId>>,
    /// The campaigns (itself among them) that share at least one agent with it.
    pub(crate) sharing: BTreeMap<CampaignId, Vec<CampaignId>>,
}

/// True if the agent takes calls of a campaign for `group`.
pub(crate) fn serves(agent: &Agent, group: Option<&str>) -> bool {
    group.is_none_or(|group| agent.row.config.groups.iter().any(|own| own == group))
}

impl Campaign {
    pub(crate) fn is_served_by(&self, agent: &Agent) -> bool {
        serves(agent, self.row.config.agent_group.as_deref())
    }
}

impl Dialer {
    pub(crate) fn refresh_roster(&mut self) {
        if !std::mem::take(&mut self.roster.stale) {
            return;
        }
        let mut roster = Roster::default();
        let active: Vec<&Campaign> = self
            .campaigns
            .values()
            .filter(|campaign| campaign.row.state != CampaignState::Stopped || !campaign.calls.is_empty())
            .collect();
        for campaign in &active {
            let agents: Vec<AgentId> = self
                .agents
                .iter()
                .filter(|(_, agent)| agent.session.is_some() && campaign.is_served_by(agent))
                .map(|(id, _)| *id)
                .collect();
            for agent in &agents {
                roster.serves.entry(*agent).or_default().push(campaign.number);
            }
            roster.agents.insert(campaign.row.id, agents);
        }
        for campaign in &active {
            let own = &roster.agents[&campaign.row.id];
            let sharing = active
                .iter()
                .filter(|other| {
                    other.row.id == campaign.row.id || overlap(own, &roster.agents[&other.row.id])
                })
                .map(|other| other.row.id)
                .collect();
            roster.sharing.insert(campaign.row.id, sharing);
        }
        self.roster = roster;
    }
}

/// Both are sorted.
fn overlap(a: &[AgentId], b: &[AgentId]) -> bool {
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(x), Some(y)) = (left.peek(), right.peek()) {
        match x.cmp(y) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => left.next(),
            std::cmp::Ordering::Greater => right.next(),
        };
    }
    false
}
