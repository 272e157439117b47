//! Routes of inbound calls on the wire.

use crate::extract::Checks;
use crate::mask::Masker;
use crate::problem::Problem;
use crate::time::Time;
use dialer_core::inbound::{InboundRouteConfig, InboundRouteRow, InboundStep as CoreStep, ROUTE_STEPS_MAX};
use dialer_core::{CallerIdPoolId, CampaignId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What kind of place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InboundTo {
    /// The agent who last spoke with the caller's number.
    LastAgent,
    /// The agent whose id, user name or name stands in the lead's field `owner`.
    Owner,
    /// The next free agent of a group; waiting callers stand in a queue.
    Group,
    /// A choice by digit.
    Menu,
    /// A message.
    Message,
}

/// A place that a caller may be taken to. The first one that can be had is taken; who waits too long goes on to the next.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InboundStep {
    /// What kind of place.
    pub to: InboundTo,
    /// `last_agent`: only if that was within this time; 7 days if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1_000, maximum = 31_622_400_000_i64)]
    pub within_ms: Option<u64>,
    /// `last_agent`, `owner`: while that agent is busy the caller waits so long (0, the default: goes on at once). `group`:
    /// longest wait, 5 minutes if absent. `menu`: time for a digit after the prompt, 10 s if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 3_600_000)]
    pub wait_ms: Option<u64>,
    /// Name of the prompt: heard over and over while waiting; of a menu or message, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub play: Option<String>,
    /// `group`: which; null: the group of the campaign that called the caller, else of the route's campaign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `group`: callers who wait for it at once at most (100 if absent); one more goes on to the next place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100_000)]
    pub waiting_max: Option<u32>,
    /// `menu`: where each digit leads (`0` to `9`, `*`, `#`); no further menu.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, Object>>)]
    pub digits: Option<BTreeMap<String, InboundStep>>,
}

impl InboundStep {
    fn plain(to: InboundTo) -> Self {
        InboundStep {
            to,
            within_ms: None,
            wait_ms: None,
            play: None,
            group: None,
            waiting_max: None,
            digits: None,
        }
    }

    fn core(self, pointer: &str, checks: &mut Checks) -> CoreStep {
        let of = |to: &[InboundTo]| to.contains(&self.to);
        let (last, group, menu) = (InboundTo::LastAgent, InboundTo::Group, InboundTo::Menu);
        let fits = |there: bool, field: &str, to: &[InboundTo], checks: &mut Checks| {
            checks.that(!there || of(to), &format!("{pointer}/{field}"), "this place has no such setting");
        };
        fits(self.within_ms.is_some(), "within_ms", &[last], checks);
        fits(self.wait_ms.is_some(), "wait_ms", &[last, InboundTo::Owner, group, menu], checks);
        fits(self.group.is_some(), "group", &[group], checks);
        fits(self.waiting_max.is_some(), "waiting_max", &[group], checks);
        fits(self.digits.is_some(), "digits", &[menu], checks);
        let wait = |default: u64| self.wait_ms.unwrap_or(default);
        match self.to {
            InboundTo::LastAgent => CoreStep::LastAgent {
                within_ms: self.within_ms.unwrap_or(7 * 24 * 3_600_000),
                wait_ms: wait(0),
                play: self.play,
            },
            InboundTo::Owner => CoreStep::Owner { wait_ms: wait(0), play: self.play },
            InboundTo::Group => CoreStep::Group {
                waiting_max: self.waiting_max.unwrap_or(100),
                wait_ms: wait(300_000),
                group: self.group,
                play: self.play,
            },
            InboundTo::Menu => {
                let wait_ms = wait(10_000);
                let play = needed(self.play, pointer, checks);
                let mut digits = BTreeMap::new();
                for (key, step) in self.digits.unwrap_or_default() {
                    let pointer = format!("{pointer}/digits/{key}");
                    let mut characters = key.chars();
                    match (characters.next(), characters.next()) {
                        (Some(digit), None) => drop(digits.insert(digit, step.core(&pointer, checks))),
                        _ => checks.wrong(pointer, "expected one of 0 to 9, * and #"),
                    }
                }
                CoreStep::Menu { play, wait_ms, digits }
            }
            InboundTo::Message => CoreStep::Message { play: needed(self.play, pointer, checks) },
        }
    }
}

/// A menu and a message have a prompt.
fn needed(play: Option<String>, pointer: &str, checks: &mut Checks) -> String {
    let pointer = format!("{pointer}/play");
    match play {
        Some(play) => {
            checks.text(&play, 128, &pointer);
            play
        }
        None => {
            checks.wrong(pointer, "expected the name of a prompt");
            String::new()
        }
    }
}

impl From<&CoreStep> for InboundStep {
    fn from(step: &CoreStep) -> Self {
        let plain = InboundStep::plain;
        match step.clone() {
            CoreStep::LastAgent { within_ms, wait_ms, play } => InboundStep {
                within_ms: Some(within_ms),
                wait_ms: Some(wait_ms),
                play,
                ..plain(InboundTo::LastAgent)
            },
            CoreStep::Owner { wait_ms, play } => {
                InboundStep { wait_ms: Some(wait_ms), play, ..plain(InboundTo::Owner) }
            }
            CoreStep::Group { group, waiting_max, wait_ms, play } => InboundStep {
                group,
                waiting_max: Some(waiting_max),
                wait_ms: Some(wait_ms),
                play,
                ..plain(InboundTo::Group)
            },
            CoreStep::Menu { play, wait_ms, digits } => InboundStep {
                play: Some(play),
                wait_ms: Some(wait_ms),
                digits: Some(digits.iter().map(|(digit, step)| (digit.to_string(), step.into())).collect()),
                ..plain(InboundTo::Menu)
            },
            CoreStep::Message { play } => InboundStep { play: Some(play), ..plain(InboundTo::Message) },
        }
    }
}

/// A route of inbound calls to be made; for PATCH, any part of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InboundRouteRequest {
    /// Shown name, 1 to 128 characters.
    pub name: String,
    /// Calls to these numbers, E.164; each number has one route.
    #[serde(default)]
    #[schema(example = json!(["+442079460123"]), max_items = 1_000)]
    pub numbers: Vec<String>,
    /// … and to the numbers of these pools that no route names itself.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub caller_id_pools: Vec<CallerIdPoolId>,
    /// Whose group, timers and records hold for callers whom no campaign has called.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub campaign_id: Option<CampaignId>,
    /// Where callers are taken, in order; after the last place the call is ended. Absent: last agent, owner, group.
    #[serde(default = "steps")]
    #[schema(min_items = 1, max_items = 10)]
    pub steps: Vec<InboundStep>,
    /// Callers of a higher priority get agents first; answered outbound calls have 50.
    #[serde(default = "priority")]
    #[schema(default = 50, maximum = 100)]
    pub priority: u32,
    /// Record joined calls.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub record: bool,
}

fn steps() -> Vec<InboundStep> {
    InboundRouteConfig::default().steps.iter().map(InboundStep::from).collect()
}

fn priority() -> u32 {
    InboundRouteConfig::default().priority
}

fn yes() -> bool {
    true
}

impl TryFrom<InboundRouteRequest> for InboundRouteConfig {
    type Error = Problem;

    fn try_from(wire: InboundRouteRequest) -> Result<Self, Problem> {
        let mut checks = Checks::default();
        checks.text(&wire.name, 128, "/name");
        checks.that((1..=ROUTE_STEPS_MAX).contains(&wire.steps.len()), "/steps", "expected 1 to 10 places");
        checks.range(wire.priority, 0, 100, "/priority");
        let steps = wire.steps.into_iter().enumerate();
        let steps = steps.map(|(at, step)| step.core(&format!("/steps/{at}"), &mut checks)).collect();
        checks.finish()?;
        Ok(InboundRouteConfig {
            name: wire.name,
            numbers: wire.numbers,
            pools: wire.caller_id_pools,
            campaign: wire.campaign_id,
            steps,
            priority: wire.priority,
            record: wire.record,
        })
    }
}

impl From<&InboundRouteConfig> for InboundRouteRequest {
    fn from(config: &InboundRouteConfig) -> Self {
        InboundRouteRequest {
            name: config.name.clone(),
            numbers: config.numbers.clone(),
            caller_id_pools: config.pools.clone(),
            campaign_id: config.campaign,
            steps: config.steps.iter().map(InboundStep::from).collect(),
            priority: config.priority,
            record: config.record,
        }
    }
}

/// A route of inbound calls.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct InboundRoute {
    /// Its name.
    #[schema(example = "inr_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// Its settings.
    #[serde(flatten)]
    pub settings: InboundRouteRequest,
    /// Counts changes, from 1 (also the ETag).
    pub version: u32,
    /// When it was made.
    pub created_at: Time,
}

impl InboundRoute {
    /// As the caller may see it.
    #[must_use]
    pub fn new(row: &InboundRouteRow, mask: Masker) -> Self {
        let mut settings = InboundRouteRequest::from(&row.config);
        settings.name = mask.text(&settings.name);
        for number in &mut settings.numbers {
            *number = mask.number(number);
        }
        InboundRoute {
            id: row.id.to_string(),
            settings,
            version: row.version,
            created_at: row.created_at.into(),
        }
    }
}
