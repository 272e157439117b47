//! What people configure of calls that come in.

use super::e164_candidates;
use crate::check::{Checked, invalid, range, text};
use crate::id::{CallerIdPoolId, CampaignId, InboundRouteId};
use sansio::WallTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most numbers of a route.
pub const ROUTE_NUMBERS_MAX: usize = 1_000;
/// Most steps of a route.
pub const ROUTE_STEPS_MAX: usize = 10;

/// A place that a caller is taken to. The first one that can be had is taken; who waits too long goes on to the next.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "to", rename_all = "snake_case")]
pub enum InboundStep {
    /// The agent who last spoke with this number.
    LastAgent {
        /// Only if that was within this time, milliseconds.
        within_ms: u64,
        /// While that agent is busy the caller waits so long, milliseconds; 0: goes on at once.
        wait_ms: u64,
        /// Heard while waiting, over and over.
        play: Option<String>,
    },
    /// The agent whose id, user name or name stands in the lead's field `owner`.
    Owner {
        /// While that agent is busy the caller waits so long, milliseconds; 0: goes on at once.
        wait_ms: u64,
        /// Heard while waiting, over and over.
        play: Option<String>,
    },
    /// The next free agent of a group.
    Group {
        /// Which; `None`: the group of the campaign that called this number, else of the route's campaign.
        group: Option<String>,
        /// Callers who wait for the group at once at most; one more goes on at once.
        waiting_max: u32,
        /// A caller waits at most so long, milliseconds.
        wait_ms: u64,
        /// Heard while waiting, over and over.
        play: Option<String>,
    },
    /// A choice by digit. Who presses none goes on.
    Menu {
        /// The prompt that tells the choice.
        play: String,
        /// Time for a digit after the prompt, milliseconds.
        wait_ms: u64,
        /// Where each digit leads.
        digits: BTreeMap<char, InboundStep>,
    },
    /// A message.
    Message {
        /// The prompt.
        play: String,
    },
}

impl InboundStep {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            InboundStep::LastAgent { .. } => "last_agent",
            InboundStep::Owner { .. } => "owner",
            InboundStep::Group { .. } => "group",
            InboundStep::Menu { .. } => "menu",
            InboundStep::Message { .. } => "message",
        }
    }

    fn check(&self, pointer: &str, in_menu: bool) -> Checked {
        let wait = |ms: u64| range(&format!("{pointer}/wait_ms"), ms, 0, 3_600_000);
        let prompt = |play: &Option<String>| match play {
            Some(play) => text(&format!("{pointer}/play"), play, 1, 128),
            None => Ok(()),
        };
        match self {
            InboundStep::LastAgent { within_ms, wait_ms, play } => {
                range(&format!("{pointer}/within_ms"), *within_ms, 1_000, 366 * 24 * 3_600_000)?;
                wait(*wait_ms)?;
                prompt(play)
            }
            InboundStep::Owner { wait_ms, play } => {
                wait(*wait_ms)?;
                prompt(play)
            }
            InboundStep::Group { group, waiting_max, wait_ms, play } => {
                if let Some(group) = group {
                    text(&format!("{pointer}/group"), group, 1, 64)?;
                }
                range(&format!("{pointer}/waiting_max"), *waiting_max, 0, 100_000)?;
                wait(*wait_ms)?;
                prompt(play)
            }
            InboundStep::Menu { .. } if in_menu => {
                invalid(&format!("{pointer}/to"), "a place that is no menu: menus do not lead to menus")
            }
            InboundStep::Menu { play, wait_ms, digits } => {
                text(&format!("{pointer}/play"), play, 1, 128)?;
                wait(*wait_ms)?;
                if digits.is_empty() {
                    return invalid(&format!("{pointer}/digits"), "at least one digit");
                }
                for (digit, step) in digits {
                    let pointer = format!("{pointer}/digits/{digit}");
                    if !matches!(digit, '0'..='9' | '*' | '#') {
                        return invalid(&pointer, "one of 0 to 9, * and #");
                    }
                    step.check(&pointer, true)?;
                }
                Ok(())
            }
            InboundStep::Message { play } => text(&format!("{pointer}/play"), play, 1, 128),
        }
    }
}

/// What becomes of calls to some of our numbers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct InboundRouteConfig {
    /// Shown name.
    pub name: String,
    /// Calls to these numbers, E.164 …
    pub numbers: Vec<String>,
    /// … and to the numbers of these pools of caller IDs that no route names itself.
    pub pools: Vec<CallerIdPoolId>,
    /// Counted for this campaign (its group, timers, after-call work) when no campaign has called the caller.
    pub campaign: Option<CampaignId>,
    /// Where callers are taken, in order; after the last one the call is ended.
    pub steps: Vec<InboundStep>,
    /// Callers of a higher priority get agents first, 0..=100; answered outbound calls have 50.
    pub priority: u32,
    /// Record joined calls.
    pub record: bool,
}

impl Default for InboundRouteConfig {
    fn default() -> Self {
        InboundRouteConfig {
            name: String::new(),
            numbers: Vec::new(),
            pools: Vec::new(),
            campaign: None,
            steps: vec![
                InboundStep::LastAgent { within_ms: 7 * 24 * 3_600_000, wait_ms: 0, play: None },
                InboundStep::Owner { wait_ms: 0, play: None },
                InboundStep::Group { group: None, waiting_max: 100, wait_ms: 300_000, play: None },
            ],
            priority: 50,
            record: true,
        }
    }
}

impl InboundRouteConfig {
    pub(super) fn check(&self) -> Checked {
        text("/name", &self.name, 1, 128)?;
        if self.numbers.len() > ROUTE_NUMBERS_MAX {
            return invalid("/numbers", format_args!("at most {ROUTE_NUMBERS_MAX} numbers"));
        }
        if self.pools.len() > 100 {
            return invalid("/caller_id_pools", "at most 100 pools");
        }
        if self.numbers.is_empty() && self.pools.is_empty() {
            return invalid("/numbers", "at least one number, or a pool of caller IDs");
        }
        for (place, number) in self.numbers.iter().enumerate() {
            let pointer = format!("/numbers/{place}");
            if !number.starts_with('+') || e164_candidates(number, "").first() != Some(number) {
                return invalid(&pointer, "an E.164 number such as +442079460123");
            }
            if self.numbers[..place].contains(number) {
                return invalid(&pointer, "each number once");
            }
        }
        if self.steps.is_empty() || self.steps.len() > ROUTE_STEPS_MAX {
            return invalid("/steps", format_args!("1 to {ROUTE_STEPS_MAX} steps"));
        }
        for (place, step) in self.steps.iter().enumerate() {
            step.check(&format!("/steps/{place}"), false)?;
        }
        range("/priority", self.priority, 0, 100)
    }
}

/// A route as stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InboundRouteRow {
    /// Its name.
    pub id: InboundRouteId,
    /// Its settings.
    pub config: InboundRouteConfig,
    /// Counts changes, from 1.
    pub version: u32,
    /// When it was made.
    pub created_at: WallTime,
}
