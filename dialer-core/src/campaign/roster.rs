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
    serves: BTreeMap<AgentId, Vec<CampaignRef>>,
    /// Each agent group that campaigns dial for.
    groups: Vec<Group>,
    /// Each campaign's place in `groups`.
    group_of: BTreeMap<CampaignId, usize>,
}

/// A group of agents, and the campaigns that dial for it.
#[derive(Debug, Default)]
struct Group {
    /// Those logged in, in order.
    agents: Vec<AgentId>,
    campaigns: Vec<CampaignId>,
    /// The groups (itself among them) with which it shares at least one agent.
    sharing: Vec<usize>,
}

impl Roster {
    /// The campaigns an agent serves.
    pub(crate) fn serves(&self, agent: AgentId) -> &[CampaignRef] {
        self.serves.get(&agent).map_or(&[], Vec::as_slice)
    }

    /// A campaign's logged-in agents.
    pub(crate) fn agents(&self, campaign: CampaignId) -> &[AgentId] {
        self.group_of.get(&campaign).map_or(&[], |place| self.groups[*place].agents.as_slice())
    }

    /// The campaigns that share at least one agent with this one, itself among them.
    pub(crate) fn sharing(&self, campaign: CampaignId) -> impl Iterator<Item = CampaignId> {
        let own = self.group_of.get(&campaign).map(|place| &self.groups[*place]);
        let groups = own.into_iter().flat_map(|group| group.sharing.iter());
        groups.flat_map(|place| self.groups[*place].campaigns.iter().copied())
    }
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
        let mut groups: BTreeMap<Option<&str>, Group> = BTreeMap::new();
        let mut numbers: BTreeMap<CampaignId, CampaignRef> = BTreeMap::new();
        for campaign in self.campaigns.values() {
            let live = campaign.row.state != CampaignState::Stopped || !campaign.calls.is_empty();
            if live && !campaign.is_agentless() {
                let group = groups.entry(campaign.row.config.agent_group.as_deref()).or_default();
                group.campaigns.push(campaign.row.id);
                numbers.insert(campaign.row.id, campaign.number);
            }
        }
        let mut roster = Roster::default();
        for (name, mut group) in groups {
            let at_work = self.agents.iter().filter(|(_, agent)| agent.session.is_some());
            group.agents = at_work.filter(|(_, agent)| serves(agent, name)).map(|(id, _)| *id).collect();
            for agent in &group.agents {
                let served = roster.serves.entry(*agent).or_default();
                served.extend(group.campaigns.iter().map(|id| numbers[id]));
            }
            roster.group_of.extend(group.campaigns.iter().map(|id| (*id, roster.groups.len())));
            roster.groups.push(group);
        }
        for place in 0..roster.groups.len() {
            let own = &roster.groups[place].agents;
            let shares = |other: &usize| *other == place || overlap(own, &roster.groups[*other].agents);
            roster.groups[place].sharing = (0..roster.groups.len()).filter(shares).collect();
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
