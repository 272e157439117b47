//! Who works for which campaign.

use super::Campaign;
use crate::agent::Agent;
use crate::config::CampaignState;
use crate::dialer::Dialer;
use crate::id::{AgentId, CampaignId};
use crate::pacing::CampaignRef;
use crate::tenant::Tenant;
use std::collections::BTreeMap;

/// For each agent the campaigns served, and for each campaign its agents: made anew when a campaign, a group or
/// a login changes, read on every decision.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    pub(crate) stale: bool,
    /// Logged-in agents with the campaigns they serve, by number.
    serves: BTreeMap<AgentId, Vec<CampaignRef>>,
    /// Each set of agents that campaigns dial for: those of one group with the same skills.
    groups: Vec<Group>,
    /// Each campaign's place in `groups`.
    group_of: BTreeMap<CampaignId, usize>,
}

/// Agents of one group with the skills asked for, and the campaigns that dial for them.
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

impl Campaign {
    pub(crate) fn is_served_by(&self, agent: &Agent) -> bool {
        self.row.config.is_served_by(&agent.row.config)
    }
}

/// What makes two campaigns served by the same agents: the tenant, the group, and the skills asked for.
type Asked<'a> = (&'a Tenant, Option<&'a str>, &'a BTreeMap<String, u8>);

impl Dialer {
    pub(crate) fn refresh_roster(&mut self) {
        if !std::mem::take(&mut self.roster.stale) {
            return;
        }
        let mut groups: BTreeMap<Asked<'_>, Group> = BTreeMap::new();
        let mut numbers: BTreeMap<CampaignId, CampaignRef> = BTreeMap::new();
        for campaign in self.campaigns.values() {
            let live = campaign.row.state != CampaignState::Stopped || !campaign.calls.is_empty();
            if live && !campaign.is_agentless() {
                let config = &campaign.row.config;
                let asked = (&config.tenant, config.agent_group.as_deref(), &config.serving.skills);
                let group = groups.entry(asked).or_default();
                group.campaigns.push(campaign.row.id);
                numbers.insert(campaign.row.id, campaign.number);
            }
        }
        let mut roster = Roster::default();
        for ((tenant, name, skills), mut group) in groups {
            let at_work = self.agents.iter().filter(|(_, agent)| agent.session.is_some());
            let serves = |(_, agent): &(&AgentId, &Agent)| {
                let config = &agent.row.config;
                config.tenant == *tenant && config.is_in_group(name) && config.has_skills(skills)
            };
            group.agents = at_work.filter(serves).map(|(id, _)| *id).collect();
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
