//! How long and how often a lead is tried.

use super::yes;
use crate::extract::Checks;
use crate::time::{parse_span, span_text};
use crate::wire::Outcome;
use crate::wire::calling_hours::{clock_text, minute_of_day};
use dialer_core::ListId;
use dialer_core::config as core;
use dialer_core::screen::{self, Frequency};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Timers, milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timers {
    /// An unanswered call rings at least this long.
    #[schema(minimum = 0, maximum = 120_000)]
    pub ring_min_ms: u32,
    /// … and at most this long.
    #[schema(minimum = 1_000, maximum = 180_000)]
    pub ring_max_ms: u32,
    /// An agent's phone rings at most this long.
    #[schema(minimum = 1_000, maximum = 120_000)]
    pub agent_ring_ms: u32,
    /// After-call work; the agent may end it sooner.
    #[schema(maximum = 3_600_000)]
    pub wrap_up_ms: u32,
    /// A live answer without an agent for this long is abandoned.
    #[schema(minimum = 100, maximum = 60_000)]
    pub bridge_deadline_ms: u32,
    /// Preview: dial by itself after this long; 0 waits for the agent.
    #[schema(maximum = 3_600_000)]
    pub preview_auto_dial_ms: u32,
    /// Longest call.
    #[schema(minimum = 1_000, maximum = 86_400_000)]
    pub call_max_ms: u32,
}

impl From<&core::CampaignTimers> for Timers {
    fn from(config: &core::CampaignTimers) -> Self {
        Timers {
            ring_min_ms: config.ring_min_ms,
            ring_max_ms: config.ring_max_ms,
            agent_ring_ms: config.agent_ring_ms,
            wrap_up_ms: config.wrap_up_ms,
            bridge_deadline_ms: config.bridge_deadline_ms,
            preview_auto_dial_ms: config.preview_auto_dial_ms,
            call_max_ms: config.call_max_ms,
        }
    }
}

impl Timers {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range(self.ring_min_ms, 0, 120_000, "/timers/ring_min_ms");
        checks.range(self.ring_max_ms, 1_000, 180_000, "/timers/ring_max_ms");
        checks.that(
            self.ring_min_ms <= self.ring_max_ms,
            "/timers/ring_max_ms",
            "expected at least ring_min_ms",
        );
        checks.range(self.agent_ring_ms, 1_000, 120_000, "/timers/agent_ring_ms");
        checks.range(self.wrap_up_ms, 0, 3_600_000, "/timers/wrap_up_ms");
        checks.range(self.bridge_deadline_ms, 100, 60_000, "/timers/bridge_deadline_ms");
        checks.range(self.preview_auto_dial_ms, 0, 3_600_000, "/timers/preview_auto_dial_ms");
        checks.range(self.call_max_ms, 1_000, 86_400_000, "/timers/call_max_ms");
    }
}

impl From<&Timers> for core::CampaignTimers {
    fn from(wire: &Timers) -> Self {
        core::CampaignTimers {
            ring_min_ms: wire.ring_min_ms,
            ring_max_ms: wire.ring_max_ms,
            agent_ring_ms: wire.agent_ring_ms,
            wrap_up_ms: wire.wrap_up_ms,
            bridge_deadline_ms: wire.bridge_deadline_ms,
            preview_auto_dial_ms: wire.preview_auto_dial_ms,
            call_max_ms: wire.call_max_ms,
        }
    }
}

impl Default for Timers {
    fn default() -> Self {
        (&core::CampaignTimers::default()).into()
    }
}

/// When and how often an outcome is tried again.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRule {
    /// For this outcome …
    pub outcome: Outcome,
    /// … try again after this long: a whole number and `ms`, `s`, `m`, `h` or `d`. Needed unless `max` is 0.
    #[serde(default)]
    #[schema(example = "15m")]
    pub after: Option<String>,
    /// … at most this often (0: never).
    #[schema(maximum = 100)]
    pub max: u32,
    /// False: such an attempt does not count in `caps.per_lead`.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub counts: bool,
    /// The next try is in another part of the callee's day than this one: until 12, until 17, until 24 o'clock.
    #[serde(default)]
    pub other_slot: bool,
}

impl From<&core::RetryRule> for RetryRule {
    fn from(rule: &core::RetryRule) -> Self {
        RetryRule {
            outcome: rule.outcome.into(),
            after: Some(span_text(rule.after_ms)),
            max: rule.max,
            counts: rule.counts,
            other_slot: rule.other_slot,
        }
    }
}

/// Rules as the dialer takes them.
pub(super) fn retry_rules(wire: &[RetryRule], checks: &mut Checks) -> Vec<core::RetryRule> {
    let mut rules: Vec<core::RetryRule> = Vec::with_capacity(wire.len());
    for (at, rule) in wire.iter().enumerate() {
        let outcome = rule.outcome.into();
        if rules.iter().any(|known| known.outcome == outcome) {
            checks.wrong(format!("/retry/{at}/outcome"), "this outcome has a rule already");
        }
        checks.range(rule.max, 0, 100, &format!("/retry/{at}/max"));
        let after_ms = match rule.after.as_deref() {
            Some(text) => parse_span(text),
            None => (rule.max == 0).then_some(0),
        };
        checks.that(after_ms.is_some(), &format!("/retry/{at}/after"), "expected a span like 15m, 4h or 1d");
        rules.push(core::RetryRule {
            outcome,
            after_ms: after_ms.unwrap_or(0),
            max: rule.max,
            counts: rule.counts,
            other_slot: rule.other_slot,
        });
    }
    rules
}

/// Most attempts.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Caps {
    /// Per lead in all.
    #[schema(minimum = 1, maximum = 1_000)]
    pub per_lead: u32,
    /// Per lead on one day of the callee's calendar.
    #[schema(minimum = 1, maximum = 32)]
    pub per_day: Option<u32>,
    /// Per lead within 24 hours.
    #[schema(minimum = 1, maximum = 32)]
    pub per_24h: Option<u32>,
    /// Per lead within 7 days.
    #[schema(minimum = 1, maximum = 32)]
    pub per_7d: Option<u32>,
    /// Per lead within 30 days.
    #[schema(minimum = 1, maximum = 32)]
    pub per_30d: Option<u32>,
    /// Of one number within 24 hours, whichever leads, lists and campaigns have it.
    #[schema(minimum = 1, maximum = 1_000)]
    pub per_number_24h: Option<u32>,
    /// Not dialled for so long after a disposition with `refusal`, days; null: as the rule book (`pacing.policy`) says.
    #[schema(minimum = 1, maximum = 3_660)]
    pub refusal_days: Option<u32>,
    /// Least time between two attempts of a lead.
    #[schema(maximum = 31_622_400_000_i64)]
    pub gap_ms: u64,
    /// Per lead within parts of the day, such as morning, noon and evening, by the callee's clock; at most 6.
    #[schema(max_items = 6)]
    pub day_parts: Vec<DayPart>,
}

/// A part of the callee's day.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DayPart {
    /// First minute, `HH:MM`.
    #[schema(example = "09:00")]
    pub from: String,
    /// First minute behind it, `HH:MM`, at most `24:00`.
    #[schema(example = "12:00")]
    pub to: String,
    /// Attempts of a lead in it at most; 0: none.
    #[schema(maximum = 32)]
    pub max: u32,
}

impl DayPart {
    fn core(&self) -> Option<screen::DayPart> {
        let (from_minute, to_minute) = (minute_of_day(&self.from)?, minute_of_day(&self.to)?);
        (from_minute < to_minute).then_some(screen::DayPart { from_minute, to_minute, max: self.max })
    }
}

impl Caps {
    pub(super) fn new(config: &core::CampaignConfig) -> Self {
        let Frequency { per_day, per_24h, per_7d, per_30d, per_number_24h, refusal_days, gap_ms, day_parts } =
            *config.frequency;
        let part = |part: &screen::DayPart| DayPart {
            from: clock_text(part.from_minute),
            to: clock_text(part.to_minute),
            max: part.max,
        };
        let day_parts = day_parts.iter().flatten().map(part).collect();
        Caps {
            per_lead: config.attempts_max,
            per_day,
            per_24h,
            per_7d,
            per_30d,
            per_number_24h,
            refusal_days,
            gap_ms,
            day_parts,
        }
    }

    pub(super) fn frequency(&self) -> Frequency {
        let Caps { per_day, per_24h, per_7d, per_30d, per_number_24h, refusal_days, gap_ms, .. } = *self;
        let mut day_parts = [None; screen::DAY_PARTS_MAX];
        for (place, part) in day_parts.iter_mut().zip(&self.day_parts) {
            *place = part.core();
        }
        Frequency { per_day, per_24h, per_7d, per_30d, per_number_24h, refusal_days, gap_ms, day_parts }
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range(self.per_lead, 1, 1_000, "/caps/per_lead");
        let few = self.day_parts.len() <= screen::DAY_PARTS_MAX;
        checks.that(few, "/caps/day_parts", "expected at most 6 parts");
        for (place, part) in self.day_parts.iter().enumerate() {
            let fits = part.core().is_some();
            checks.that(fits, &format!("/caps/day_parts/{place}"), "expected from before to, both HH:MM");
            checks.range(part.max, 0, 32, &format!("/caps/day_parts/{place}/max"));
        }
        for (limit, pointer) in [
            (self.per_day, "/caps/per_day"),
            (self.per_24h, "/caps/per_24h"),
            (self.per_7d, "/caps/per_7d"),
            (self.per_30d, "/caps/per_30d"),
        ] {
            checks.range(limit.unwrap_or(1), 1, 32, pointer);
        }
        checks.range(self.per_number_24h.unwrap_or(1), 1, 1_000, "/caps/per_number_24h");
        checks.range(self.refusal_days.unwrap_or(1), 1, 3_660, "/caps/refusal_days");
    }
}

impl Default for Caps {
    fn default() -> Self {
        Caps::new(&core::CampaignConfig::default())
    }
}

/// Push mode: the campaign takes dial requests.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Push {
    /// Where requests are kept, one of `lists`; null: the first of them.
    #[schema(value_type = Option<String>)]
    pub list_id: Option<ListId>,
    /// A request that names no time is not dialled after this long.
    #[schema(minimum = 1_000, maximum = 2_592_000_000_i64)]
    pub expires_in_ms: u64,
    /// Requests that wait to be dialled at most; more get 429.
    #[schema(minimum = 1, maximum = 10_000_000)]
    pub waiting_max: u32,
}

impl From<&core::PushConfig> for Push {
    fn from(config: &core::PushConfig) -> Self {
        Push { list_id: config.list, expires_in_ms: config.expires_in_ms, waiting_max: config.waiting_max }
    }
}

impl From<&Push> for core::PushConfig {
    fn from(wire: &Push) -> Self {
        core::PushConfig {
            list: wire.list_id,
            expires_in_ms: wire.expires_in_ms,
            waiting_max: wire.waiting_max,
        }
    }
}

impl Default for Push {
    fn default() -> Self {
        (&core::PushConfig::default()).into()
    }
}
