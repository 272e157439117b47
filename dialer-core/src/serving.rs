//! Which agents serve a campaign, and who of them comes first.
//!
//! The orders are those that call centres know from their automatic call distributors; ties go to who has been idle
//! longest.

use crate::check::{Checked, invalid, range, text};
use crate::config::{AgentConfig, CampaignConfig};
use crate::id::CampaignId;
use crate::pop::check_template;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The highest level of a skill.
pub const SKILL_LEVEL_MAX: u8 = 9;
/// Ranks go from minus this to this.
pub const RANK_MAX: i8 = 9;
/// Phones that ring for one call under [`AgentOrder::RingAll`], at most: those of who has been free longest.
pub const RING_ALL_MAX: usize = 64;
/// Skills of one agent, and skills that one campaign asks for, at most.
pub const SKILLS_MAX: usize = 64;
/// Break codes of one campaign at most.
const PAUSE_CODES_MAX: usize = 100;

/// Who of a campaign's free agents gets its next call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentOrder {
    /// Who has been free longest.
    #[default]
    LongestIdle,
    /// Who has taken the fewest calls since login.
    FewestCalls,
    /// The highest rank in this campaign.
    Rank,
    /// The best in the skills that the campaign asks for (sum of the levels), then the highest rank.
    SkillRank,
    /// Anyone, by chance.
    Random,
    /// The first in a fixed order ([`AgentConfig::position`], then who was made first).
    TopDown,
    /// Everyone: the phones of all free agents ring, and the first to answer gets the call. A nailed-up session has
    /// nothing that could ring: such an agent, if one is free, gets the call at once.
    RingAll,
}

/// How a campaign is served by its agents.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Serving {
    /// Who comes first.
    pub order: AgentOrder,
    /// Skills that an agent must have, each with its least level, 1..=[`SKILL_LEVEL_MAX`].
    pub skills: BTreeMap<String, u8>,
    /// Template of an address for the agent's screen, see [`crate::pop`].
    pub pop_url: Option<String>,
    /// Break codes its agents may take; empty: any word.
    pub pause_codes: Vec<String>,
    /// What follows after-call work that lasted its whole time.
    pub wrap_up_then: AfterWrapUp,
    /// A callback that an agent promised is late when that agent has not taken it up for so long, milliseconds …
    pub callback_late_after_ms: u32,
    /// … and then this becomes of it.
    pub callback_late: LateCallback,
    /// A lead whose field `owner` names an agent is called by that agent alone.
    pub owner_only: bool,
}

impl Default for Serving {
    fn default() -> Self {
        Serving {
            order: AgentOrder::default(),
            skills: BTreeMap::new(),
            pop_url: None,
            pause_codes: Vec::new(),
            wrap_up_then: AfterWrapUp::default(),
            callback_late_after_ms: 15 * 60_000,
            callback_late: LateCallback::default(),
            owner_only: false,
        }
    }
}

/// What follows after-call work that lasted its whole time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterWrapUp {
    /// The next call.
    #[default]
    Ready,
    /// A break, code `wrap_up_max`.
    Pause,
}

/// What becomes of a promised callback that its agent does not take up in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LateCallback {
    /// Anyone may call.
    #[default]
    Anyone,
    /// It waits for the agent.
    Wait,
}

/// What follows a break that lasts longer than it may.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterPause {
    /// Work.
    #[default]
    Ready,
    /// The end of the shift.
    Logout,
}

impl Serving {
    pub(crate) fn check(&self) -> Checked {
        check_skills("/skills_required", &self.skills, 1)?;
        if let Some(template) = &self.pop_url {
            check_template("/pop_url", template)?;
        }
        if self.pause_codes.len() > PAUSE_CODES_MAX {
            return invalid("/pause_codes", format_args!("at most {PAUSE_CODES_MAX} codes"));
        }
        for (place, code) in self.pause_codes.iter().enumerate() {
            text(&format!("/pause_codes/{place}"), code, 1, 64)?;
        }
        range("/callbacks/late_after_ms", self.callback_late_after_ms, 0, 30 * 24 * 3_600_000)?;
        Ok(())
    }
}

/// Skills with levels from `low` to [`SKILL_LEVEL_MAX`].
pub(crate) fn check_skills(pointer: &str, skills: &BTreeMap<String, u8>, low: u8) -> Checked {
    if skills.len() > SKILLS_MAX {
        return invalid(pointer, format_args!("at most {SKILLS_MAX} skills"));
    }
    for (skill, level) in skills {
        if skill.contains(['/', '~']) {
            return invalid(pointer, "names of skills without / and ~");
        }
        text(&format!("{pointer}/{skill}"), skill, 1, 64)?;
        range(&format!("{pointer}/{skill}"), *level, low, SKILL_LEVEL_MAX)?;
    }
    Ok(())
}

/// An agent's place in one campaign.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Membership {
    /// Rank there, -[`RANK_MAX`]..=[`RANK_MAX`].
    pub rank: i8,
    /// Place there from the top; `None`: the agent's own.
    pub position: Option<u32>,
}

impl AgentConfig {
    /// Rank in a campaign.
    #[must_use]
    pub fn rank_in(&self, campaign: CampaignId) -> i8 {
        self.memberships.get(&campaign).map_or(self.rank, |membership| membership.rank)
    }

    /// Place from the top in a campaign.
    #[must_use]
    pub fn position_in(&self, campaign: CampaignId) -> u32 {
        self.memberships.get(&campaign).and_then(|membership| membership.position).unwrap_or(self.position)
    }

    /// Has every skill of these at its least level.
    #[must_use]
    pub fn has_skills(&self, wanted: &BTreeMap<String, u8>) -> bool {
        wanted.iter().all(|(skill, least)| self.skills.get(skill).is_some_and(|level| level >= least))
    }

    /// Sum of its levels in these skills.
    #[must_use]
    pub fn levels_in(&self, wanted: &BTreeMap<String, u8>) -> u32 {
        wanted.keys().filter_map(|skill| self.skills.get(skill)).map(|level| u32::from(*level)).sum()
    }

    /// Belongs to the group; to any if there is none.
    #[must_use]
    pub fn is_in_group(&self, group: Option<&str>) -> bool {
        group.is_none_or(|group| self.groups.iter().any(|own| own == group))
    }
}

impl CampaignConfig {
    /// True if the agent takes its calls: of the same tenant, of its group, with the skills it asks for.
    #[must_use]
    pub fn is_served_by(&self, agent: &AgentConfig) -> bool {
        self.tenant == agent.tenant
            && agent.is_in_group(self.agent_group.as_deref())
            && agent.has_skills(&self.serving.skills)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skills(of: &[(&str, u8)]) -> BTreeMap<String, u8> {
        of.iter().map(|(skill, level)| ((*skill).to_owned(), *level)).collect()
    }

    #[test]
    fn every_skill_is_needed_at_its_least_level() {
        let agent = AgentConfig { skills: skills(&[("french", 5), ("sales", 3)]), ..AgentConfig::default() };
        for (wanted, expected) in [
            (skills(&[]), true),
            (skills(&[("french", 5)]), true),
            (skills(&[("french", 6)]), false),
            (skills(&[("french", 5), ("sales", 3)]), true),
            (skills(&[("french", 5), ("sales", 4)]), false),
            (skills(&[("german", 1)]), false),
        ] {
            assert_eq!(agent.has_skills(&wanted), expected, "{wanted:?}");
        }
        assert_eq!(agent.levels_in(&skills(&[("french", 1), ("german", 1)])), 5);
    }

    #[test]
    fn a_place_in_a_campaign_goes_before_the_agents_own() {
        let (here, there) = (CampaignId::from_bits(1), CampaignId::from_bits(2));
        let agent = AgentConfig {
            rank: 1,
            position: 7,
            memberships: BTreeMap::from([(here, Membership { rank: -3, position: None })]),
            ..AgentConfig::default()
        };
        assert_eq!((agent.rank_in(here), agent.position_in(here)), (-3, 7));
        assert_eq!((agent.rank_in(there), agent.position_in(there)), (1, 7));
    }
}
