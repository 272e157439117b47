//! Which agents serve a campaign, on the wire.

use super::report::AgentTotals;
use super::wire_enum;
use dialer_core::serving as core;
use dialer_core::view::{AgentView, CampaignView};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

wire_enum! {
    /// Who of a campaign's free agents gets its next call. Among equals: who has been free longest.
    AgentOrder = dialer_core::serving::AgentOrder {
        /// Who has been free longest.
        LongestIdle,
        /// Who has taken the fewest calls since login.
        FewestCalls,
        /// The highest rank in this campaign.
        Rank,
        /// The best in `skills_required` (sum of the levels), then the highest rank.
        SkillRank,
        /// Anyone, by chance.
        Random,
        /// The lowest `position`, then who was made first.
        TopDown,
        /// Everyone: the phones of all free agents (64 at most) ring, the first to answer gets the call. A free agent with a
        /// nailed-up session, which cannot ring, gets it at once.
        RingAll,
    }
}

wire_enum! {
    /// What follows after-call work that lasted its whole time.
    AfterWrapUp = dialer_core::serving::AfterWrapUp {
        /// The next call.
        Ready,
        /// A break, code `wrap_up_max`.
        Pause,
    }
}

wire_enum! {
    /// What follows a break that lasts longer than it may.
    AfterPause = dialer_core::serving::AfterPause {
        /// Work.
        Ready,
        /// The end of the shift.
        Logout,
    }
}

wire_enum! {
    /// What becomes of a promised callback that its agent does not take up in time.
    LateCallback = dialer_core::serving::LateCallback {
        /// Anyone may call.
        Anyone,
        /// It waits for the agent.
        Wait,
    }
}

/// Callbacks that agents promise to make themselves (`callback_by: agent`).
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Callbacks {
    /// Late when the agent has not taken it up so long after its time.
    #[schema(maximum = 2_592_000_000_u64)]
    pub late_after_ms: u32,
    /// What becomes of a late one.
    pub late: LateCallback,
}

impl Callbacks {
    pub(crate) fn new(serving: &core::Serving) -> Self {
        Callbacks { late_after_ms: serving.callback_late_after_ms, late: serving.callback_late.into() }
    }
}

impl Default for Callbacks {
    fn default() -> Self {
        Callbacks::new(&core::Serving::default())
    }
}

/// An agent's place in one campaign.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Membership {
    /// Rank there; the highest comes first in the orders `rank` and `skill_rank`.
    #[schema(minimum = -9, maximum = 9)]
    pub rank: i8,
    /// Place there from the top, for the order `top_down`; null: the agent's own.
    pub position: Option<u32>,
}

impl From<core::Membership> for Membership {
    fn from(core: core::Membership) -> Self {
        Membership { rank: core.rank, position: core.position }
    }
}

impl From<Membership> for core::Membership {
    fn from(wire: Membership) -> Self {
        core::Membership { rank: wire.rank, position: wire.position }
    }
}

/// Agents who have the same word among their groups.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AgentGroup {
    /// The word.
    pub name: String,
    /// Who is in it, and what they do.
    pub agents: AgentTotals,
    /// Names of these agents.
    pub agent_ids: Vec<String>,
    /// Campaigns whose `agent_group` it is.
    pub campaign_ids: Vec<String>,
}

/// All groups, by name.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AgentGroups {
    /// Groups that an agent is in or a campaign names.
    pub data: Vec<AgentGroup>,
}

impl AgentGroups {
    /// Collects them from agents and campaigns.
    #[must_use]
    pub fn of(agents: &[Arc<AgentView>], campaigns: &[Arc<CampaignView>]) -> Self {
        let mut groups: BTreeMap<&str, AgentGroup> = BTreeMap::new();
        let empty = |name: &str| AgentGroup {
            name: name.to_owned(),
            agents: AgentTotals::default(),
            agent_ids: Vec::new(),
            campaign_ids: Vec::new(),
        };
        for agent in agents {
            for name in &agent.row.config.groups {
                let group = groups.entry(name).or_insert_with(|| empty(name));
                group.agents.count(agent);
                group.agent_ids.push(agent.row.id.to_string());
            }
        }
        for campaign in campaigns {
            if let Some(name) = campaign.row.config.agent_group.as_deref() {
                let group = groups.entry(name).or_insert_with(|| empty(name));
                group.campaign_ids.push(campaign.row.id.to_string());
            }
        }
        AgentGroups { data: groups.into_values().collect() }
    }
}
