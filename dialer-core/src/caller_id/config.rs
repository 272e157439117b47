//! What people configure of a pool of caller IDs.

use crate::check::{Checked, caller_id, invalid, range, range_f64, text};
use crate::id::{AgentId, ListId};
use crate::tenant::Tenant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most numbers of a pool.
pub const NUMBERS_MAX: usize = 1_000;
/// Labels that a pool minds at most.
pub const LABELS_MAX: usize = 32;
const GROUPS_MAX: usize = 100;

/// Which number of a pool a call shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The first that may be used.
    #[default]
    Fixed,
    /// The next after every `rotate_every` calls.
    RotateCalls,
    /// The next after every `rotate_every` minutes.
    RotateMinutes,
    /// Any.
    Random,
    /// The one that begins most like the called number; among equals the one least used.
    LocalPresence,
}

/// How much one number may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NumberCaps {
    /// Calls within 60 minutes.
    pub per_hour: Option<u32>,
    /// Calls within 24 hours.
    pub per_day: Option<u32>,
    /// Rest between two calls, milliseconds.
    pub cooldown_ms: u64,
}

/// How somebody shows a pool's numbers where that is not the pool's own way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnUse {
    /// Which number; `None`: as the pool says.
    pub strategy: Option<Strategy>,
    /// Numbers that were used so much, by whomever, are passed over, besides those that the pool passes over.
    pub caps: NumberCaps,
}

impl OwnUse {
    pub(crate) fn check(&self) -> Checked {
        self.caps.check("/caller_id/per_number")
    }
}

impl NumberCaps {
    fn check(&self, pointer: &str) -> Checked {
        range(&format!("{pointer}/per_hour"), self.per_hour.unwrap_or(1), 1, 10_000)?;
        range(&format!("{pointer}/per_day"), self.per_day.unwrap_or(1), 1, 10_000)?;
        range(&format!("{pointer}/cooldown_ms"), self.cooldown_ms, 0, 7 * 24 * 3_600_000)
    }

    /// The stricter of each limit.
    pub(super) fn and(self, other: NumberCaps) -> NumberCaps {
        let least = |a: Option<u32>, b: Option<u32>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        NumberCaps {
            per_hour: least(self.per_hour, other.per_hour),
            per_day: least(self.per_day, other.per_day),
            cooldown_ms: self.cooldown_ms.max(other.cooldown_ms),
        }
    }
}

/// When a number is left alone.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Quarantine {
    /// Share by which its answer rate must have fallen below that of its pool to be worth finding, 0.1..=0.9.
    pub answer_drop: f64,
    /// Weight of evidence that it has (decision interval of the CUSUM, in nats); higher is slower and surer.
    pub evidence: f64,
    /// Calls in a row that were blocked by analytics (603+, 607, 608).
    pub blocks_max: u32,
    /// For so long, milliseconds.
    pub lasts_ms: u64,
    /// A reputation below this, 0..=1, that somebody reports.
    pub reputation_min: f64,
    /// Labels that somebody reports, in lower case.
    pub labels: Vec<String>,
}

impl Default for Quarantine {
    fn default() -> Self {
        Quarantine {
            answer_drop: 0.5,
            evidence: 5.0,
            blocks_max: 3,
            lasts_ms: 24 * 3_600_000,
            reputation_min: 0.3,
            labels: ["fraud", "scam", "spam"].map(str::to_owned).to_vec(),
        }
    }
}

/// Another strategy for a random part of the calls, to be held against the first.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct StrategyExperiment {
    /// The other strategy.
    pub strategy: Strategy,
    /// Share of calls that get it, 0.01..=0.99.
    pub share: f64,
}

/// A pool of caller IDs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct CallerIdPoolConfig {
    /// Shown name.
    pub name: String,
    /// Whose campaigns may show its numbers besides the operator's; `None`: only those that the operator gives it to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Which number is shown.
    pub strategy: Strategy,
    /// For the rotating strategies: calls or minutes.
    pub rotate_every: u32,
    /// The numbers, in order.
    pub numbers: Vec<String>,
    /// Calls of these agents show its numbers before any other pool's.
    pub agents: Vec<AgentId>,
    /// … then those to leads of these lists …
    pub lists: Vec<ListId>,
    /// … then those of agents in these groups; and of campaigns for these groups that have no pool of their own.
    pub groups: Vec<String>,
    /// How much each may be used.
    pub caps: NumberCaps,
    /// When one is left alone; `None`: never.
    pub quarantine: Option<Quarantine>,
    /// Another strategy on trial.
    pub experiment: Option<StrategyExperiment>,
}

impl Default for CallerIdPoolConfig {
    fn default() -> Self {
        CallerIdPoolConfig {
            name: String::new(),
            tenant: None,
            strategy: Strategy::Fixed,
            rotate_every: 1,
            numbers: Vec::new(),
            agents: Vec::new(),
            lists: Vec::new(),
            groups: Vec::new(),
            caps: NumberCaps::default(),
            quarantine: Some(Quarantine::default()),
            experiment: None,
        }
    }
}

impl Strategy {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Strategy::Fixed => "fixed",
            Strategy::RotateCalls => "rotate_calls",
            Strategy::RotateMinutes => "rotate_minutes",
            Strategy::Random => "random",
            Strategy::LocalPresence => "local_presence",
        }
    }
}

impl CallerIdPoolConfig {
    /// Calls of this tenant may show its numbers where agents, lists and groups say so.
    pub(crate) fn serves(&self, tenant: Option<&Tenant>) -> bool {
        self.tenant.is_none() || self.tenant.as_ref() == tenant
    }

    pub(super) fn check(&self) -> Checked {
        text("/name", &self.name, 1, 128)?;
        range("/rotate_every", self.rotate_every, 1, 100_000)?;
        if self.numbers.is_empty() || self.numbers.len() > NUMBERS_MAX {
            return invalid("/numbers", format_args!("1 to {NUMBERS_MAX} numbers"));
        }
        let mut seen = BTreeSet::new();
        for (place, number) in self.numbers.iter().enumerate() {
            caller_id(&format!("/numbers/{place}"), number)?;
            if number == "anonymous" {
                return invalid(&format!("/numbers/{place}"), "a phone number");
            }
            if !seen.insert(number) {
                return invalid(&format!("/numbers/{place}"), "each number once");
            }
        }
        if self.agents.len() > NUMBERS_MAX {
            return invalid("/agents", format_args!("at most {NUMBERS_MAX} agents"));
        }
        if self.lists.len() > NUMBERS_MAX {
            return invalid("/lists", format_args!("at most {NUMBERS_MAX} lists"));
        }
        if self.groups.len() > GROUPS_MAX {
            return invalid("/groups", format_args!("at most {GROUPS_MAX} groups"));
        }
        for (place, group) in self.groups.iter().enumerate() {
            text(&format!("/groups/{place}"), group, 1, 128)?;
        }
        self.caps.check("/caps")?;
        if let Some(quarantine) = &self.quarantine {
            range_f64("/quarantine/answer_drop", quarantine.answer_drop, 0.1, 0.9)?;
            range_f64("/quarantine/evidence", quarantine.evidence, 1.0, 50.0)?;
            range("/quarantine/blocks_max", quarantine.blocks_max, 1, 1_000)?;
            range("/quarantine/lasts_ms", quarantine.lasts_ms, 60_000, 366 * 24 * 3_600_000)?;
            range_f64("/quarantine/reputation_min", quarantine.reputation_min, 0.0, 1.0)?;
            if quarantine.labels.len() > LABELS_MAX {
                return invalid("/quarantine/labels", format_args!("at most {LABELS_MAX} labels"));
            }
            for (place, label) in quarantine.labels.iter().enumerate() {
                text(&format!("/quarantine/labels/{place}"), label, 1, 64)?;
            }
        }
        if let Some(experiment) = &self.experiment {
            range_f64("/experiment/share", experiment.share, 0.01, 0.99)?;
            if experiment.strategy == self.strategy {
                return invalid("/experiment/strategy", "another strategy than the pool's own");
            }
        }
        Ok(())
    }
}
