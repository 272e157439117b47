//! Pools of caller IDs on the wire.

use super::trunk::{CALLER_ID, is_caller_id};
use super::wire_enum;
use crate::extract::Checks;
use crate::mask::Masker;
use crate::problem::Problem;
use crate::time::Time;
use dialer_core::caller_id as core;
use dialer_core::view::CallerIdPoolView;
use dialer_core::{AgentId, ListId, Tenant};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

wire_enum! {
    /// Which number of a pool a call shows.
    #[derive(Default)]
    CallerIdStrategy = dialer_core::caller_id::Strategy {
        /// The first that may be shown.
        #[default]
        Fixed,
        /// The next after every `rotate_every` calls.
        RotateCalls,
        /// The next after every `rotate_every` minutes.
        RotateMinutes,
        /// Any.
        Random,
        /// The one that shares most first digits with the called number; among equals the one shown least in 24 hours. So
        /// a number of the same exchange goes before one of the same area, that before one of the same country, and where
        /// none is near, the one shown least.
        LocalPresence,
    }
}

/// How much one number may be shown. A number that has had its share is passed over.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PerNumber {
    /// Calls begun within 60 minutes, 1 to 10000; null: any.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 10_000)]
    pub per_hour: Option<u32>,
    /// Calls begun within 24 hours, 1 to 10000; null: any.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 10_000)]
    pub per_day: Option<u32>,
    /// Rest between the beginnings of two calls, up to 7 days.
    #[serde(default)]
    #[schema(maximum = 604_800_000)]
    pub cooldown_ms: u64,
    /// The same in minutes; goes before it.
    #[serde(default, skip_serializing)]
    #[schema(maximum = 10_080, write_only)]
    pub cooldown_min: Option<u32>,
}

impl PerNumber {
    fn cooldown_ms(&self) -> u64 {
        self.cooldown_min.map_or(self.cooldown_ms, |minutes| u64::from(minutes) * 60_000)
    }
}

/// When a number is left alone.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerIdQuarantine {
    /// The fall of its answer rate below that of the rest of its pool that is worth finding, 0.1 to 0.9 of it.
    #[serde(default = "answer_drop")]
    #[schema(default = 0.5, minimum = 0.1, maximum = 0.9)]
    pub answer_drop: f64,
    /// Weight of evidence for that fall (decision interval of the CUSUM, nats), 1 to 50: higher is slower and surer.
    #[serde(default = "evidence")]
    #[schema(default = 5.0, minimum = 1, maximum = 50)]
    pub evidence: f64,
    /// Calls in a row that were blocked by analytics (603+, 607, 608), 1 to 1000.
    #[serde(default = "blocks_max")]
    #[schema(default = 3, minimum = 1, maximum = 1_000)]
    pub blocks_max: u32,
    /// A reported reputation below this (0 to 1) …
    #[serde(default = "reputation_min")]
    #[schema(default = 0.3, minimum = 0, maximum = 1)]
    pub reputation_min: f64,
    /// … or one of these labels, in lower case; at most 32.
    #[serde(default = "labels")]
    #[schema(default = json!(["fraud", "scam", "spam"]))]
    pub labels: Vec<String>,
    /// For so long, 1 minute to 366 days; it can be released before.
    #[serde(default = "lasts_ms")]
    #[schema(default = 86_400_000, minimum = 60_000, maximum = 31_622_400_000_u64)]
    pub lasts_ms: u64,
}

fn answer_drop() -> f64 {
    core::Quarantine::default().answer_drop
}
fn evidence() -> f64 {
    core::Quarantine::default().evidence
}
fn blocks_max() -> u32 {
    core::Quarantine::default().blocks_max
}
fn reputation_min() -> f64 {
    core::Quarantine::default().reputation_min
}
fn labels() -> Vec<String> {
    core::Quarantine::default().labels
}
fn lasts_ms() -> u64 {
    core::Quarantine::default().lasts_ms
}
fn quarantine() -> Option<CallerIdQuarantine> {
    Some(CallerIdQuarantine::from(&core::Quarantine::default()))
}
fn rotate_every() -> u32 {
    core::CallerIdPoolConfig::default().rotate_every
}

impl From<&core::Quarantine> for CallerIdQuarantine {
    fn from(rules: &core::Quarantine) -> Self {
        CallerIdQuarantine {
            answer_drop: rules.answer_drop,
            evidence: rules.evidence,
            blocks_max: rules.blocks_max,
            lasts_ms: rules.lasts_ms,
            reputation_min: rules.reputation_min,
            labels: rules.labels.clone(),
        }
    }
}

/// Another strategy for a random part of the calls, held against the pool's own.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerIdExperiment {
    /// The other strategy.
    pub strategy: CallerIdStrategy,
    /// Share of the calls that get it, 0.01 to 0.99.
    #[schema(minimum = 0.01, maximum = 0.99)]
    pub share: f64,
}

/// A pool of caller IDs to be made; for PATCH, any part of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerIdPoolRequest {
    /// Shown name, 1 to 100 characters, of this pool alone.
    pub name: String,
    /// The tenant to whom it is given: sees it, may change how its numbers are used, and lets its campaigns and calls show them.
    /// Null: the operator's alone. Set by the operator.
    #[serde(default)]
    #[schema(pattern = "^[a-z0-9_-]{1,64}$")]
    pub tenant: Option<String>,
    /// Which number a call shows.
    #[serde(default)]
    pub strategy: CallerIdStrategy,
    /// For the rotating strategies: calls or minutes, 1 to 100000.
    #[serde(default = "rotate_every")]
    #[schema(default = 1, minimum = 1, maximum = 100_000)]
    pub rotate_every: u32,
    /// 1 to 1000 numbers, each once, in order.
    #[schema(example = json!(["+12125550100", "+14155550100"]))]
    pub numbers: Vec<String>,
    /// Calls of these agents show its numbers before any other pool's.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub agents: Vec<AgentId>,
    /// Then calls to leads of these lists, at most 1000.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub lists: Vec<ListId>,
    /// Then calls of agents in these groups; and calls of campaigns for these groups that name no pool.
    #[serde(default)]
    pub groups: Vec<String>,
    /// How much each may be shown.
    #[serde(default)]
    pub per_number: PerNumber,
    /// When one is left alone; null: never by itself.
    #[serde(default = "quarantine")]
    pub quarantine: Option<CallerIdQuarantine>,
    /// Another strategy on trial.
    #[serde(default)]
    pub experiment: Option<CallerIdExperiment>,
}

impl CallerIdPoolRequest {
    fn check(&self) -> Checks {
        let mut checks = Checks::default();
        checks.text(&self.name, 100, "/name");
        let tenant_fits = self.tenant.as_deref().is_none_or(|name| Tenant::new(name).is_some());
        checks.that(tenant_fits, "/tenant", "expected 1 to 64 of a-z, 0-9, - and _");
        checks.range(self.rotate_every, 1, 100_000, "/rotate_every");
        let count_fits = (1..=core::NUMBERS_MAX).contains(&self.numbers.len());
        checks.that(count_fits, "/numbers", "expected 1 to 1000 numbers");
        for (place, number) in self.numbers.iter().enumerate().take(core::NUMBERS_MAX) {
            let fits = is_caller_id(number) && number != "anonymous";
            checks.that(fits, &format!("/numbers/{place}"), CALLER_ID);
        }
        checks.that(self.agents.len() <= 1_000, "/agents", "expected at most 1000 agents");
        checks.that(self.lists.len() <= 1_000, "/lists", "expected at most 1000 lists");
        checks.that(self.groups.len() <= 100, "/groups", "expected at most 100 groups");
        for (place, group) in self.groups.iter().enumerate().take(100) {
            checks.text(group, 100, &format!("/groups/{place}"));
        }
        checks.range(self.per_number.per_hour.unwrap_or(1), 1, 10_000, "/per_number/per_hour");
        checks.range(self.per_number.per_day.unwrap_or(1), 1, 10_000, "/per_number/per_day");
        let named = if self.per_number.cooldown_min.is_some() { "cooldown_min" } else { "cooldown_ms" };
        checks.range(self.per_number.cooldown_ms(), 0, 604_800_000, &format!("/per_number/{named}"));
        if let Some(rules) = &self.quarantine {
            checks.range(rules.answer_drop, 0.1, 0.9, "/quarantine/answer_drop");
            checks.range(rules.evidence, 1.0, 50.0, "/quarantine/evidence");
            checks.range(rules.blocks_max, 1, 1_000, "/quarantine/blocks_max");
            checks.range(rules.lasts_ms, 60_000, 366 * 86_400_000, "/quarantine/lasts_ms");
            checks.range(rules.reputation_min, 0.0, 1.0, "/quarantine/reputation_min");
            checks.that(
                rules.labels.len() <= core::LABELS_MAX,
                "/quarantine/labels",
                "expected at most 32 labels",
            );
        }
        if let Some(experiment) = &self.experiment {
            checks.range(experiment.share, 0.01, 0.99, "/experiment/share");
            let other = experiment.strategy != self.strategy;
            checks.that(other, "/experiment/strategy", "expected another strategy than the pool's own");
        }
        checks
    }
}

impl TryFrom<CallerIdPoolRequest> for core::CallerIdPoolConfig {
    type Error = Problem;

    fn try_from(wire: CallerIdPoolRequest) -> Result<Self, Problem> {
        wire.check().finish()?;
        Ok(core::CallerIdPoolConfig {
            name: wire.name,
            tenant: wire.tenant.as_deref().and_then(Tenant::new),
            strategy: wire.strategy.into(),
            rotate_every: wire.rotate_every,
            numbers: wire.numbers,
            agents: wire.agents,
            lists: wire.lists,
            groups: wire.groups,
            caps: core::NumberCaps {
                per_hour: wire.per_number.per_hour,
                per_day: wire.per_number.per_day,
                cooldown_ms: wire.per_number.cooldown_ms(),
            },
            quarantine: wire.quarantine.map(|rules| core::Quarantine {
                answer_drop: rules.answer_drop,
                evidence: rules.evidence,
                blocks_max: rules.blocks_max,
                lasts_ms: rules.lasts_ms,
                reputation_min: rules.reputation_min,
                labels: rules.labels,
            }),
            experiment: wire.experiment.map(|experiment| core::StrategyExperiment {
                strategy: experiment.strategy.into(),
                share: experiment.share,
            }),
        })
    }
}

impl From<&core::CallerIdPoolConfig> for CallerIdPoolRequest {
    fn from(config: &core::CallerIdPoolConfig) -> Self {
        CallerIdPoolRequest {
            name: config.name.clone(),
            tenant: config.tenant.as_ref().map(ToString::to_string),
            strategy: config.strategy.into(),
            rotate_every: config.rotate_every,
            numbers: config.numbers.clone(),
            agents: config.agents.clone(),
            lists: config.lists.clone(),
            groups: config.groups.clone(),
            per_number: PerNumber {
                per_hour: config.caps.per_hour,
                per_day: config.caps.per_day,
                cooldown_ms: config.caps.cooldown_ms,
                cooldown_min: None,
            },
            quarantine: config.quarantine.as_ref().map(CallerIdQuarantine::from),
            experiment: config.experiment.map(|experiment| CallerIdExperiment {
                strategy: experiment.strategy.into(),
                share: experiment.share,
            }),
        }
    }
}

/// A pool of caller IDs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CallerIdPool {
    /// Its name.
    #[schema(example = "cip_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// Its settings.
    #[serde(flatten)]
    pub settings: CallerIdPoolRequest,
    /// How many of its numbers may be shown now …
    pub active: u32,
    /// … rest or have had their share …
    pub cooling: u32,
    /// … and are left alone.
    pub quarantined: u32,
    /// What the experiment has found; null without one.
    pub experiment_result: Option<CallerIdExperimentResult>,
    /// Counts changes of the settings, from 1 (also the ETag).
    pub version: u32,
    /// When it was made.
    pub created_at: Time,
}

/// How often the calls of one strategy were answered.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct CallerIdArm {
    /// The strategy.
    pub strategy: CallerIdStrategy,
    /// Calls that ended.
    pub calls: u64,
    /// Of these answered.
    pub answers: u64,
    /// Answers among calls; null before the first.
    pub answer_rate: Option<f64>,
}

/// What an experiment between two strategies has found so far. Calls are assigned at random, one by one.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct CallerIdExperimentResult {
    /// The pool's own strategy.
    pub own: CallerIdArm,
    /// The one on trial.
    pub trial: CallerIdArm,
    /// Answer rate of the trial less that of the own; null until both have calls that ended.
    pub difference: Option<f64>,
    /// Its 95 % interval (Newcombe), from …
    pub difference_low: Option<f64>,
    /// … to. One that holds 0 shows no difference yet.
    pub difference_high: Option<f64>,
    /// How much more often calls of the trial are answered, as a share: 0.1 is a tenth more. Null until both were answered.
    pub lift: Option<f64>,
    /// Its 95 % interval (Katz), from …
    pub lift_low: Option<f64>,
    /// … to.
    pub lift_high: Option<f64>,
}

fn arm(strategy: core::Strategy, arm: core::Arm) -> CallerIdArm {
    CallerIdArm {
        strategy: strategy.into(),
        calls: arm.calls,
        answers: arm.answers,
        answer_rate: (arm.calls > 0).then(|| arm.answers as f64 / arm.calls as f64),
    }
}

impl CallerIdPool {
    /// As it is shown.
    #[must_use]
    pub fn new(view: &CallerIdPoolView, mask: Masker) -> Self {
        let config = &view.row.config;
        let mut settings = CallerIdPoolRequest::from(config);
        settings.name = mask.text(&settings.name);
        for number in &mut settings.numbers {
            *number = mask.number(number);
        }
        let count = |state| view.numbers.iter().filter(|number| number.state == state).count() as u32;
        let experiment_result = config.experiment.map(|experiment| {
            let lift = core::lift(view.arms);
            let difference = dialer_core::best_time::difference(view.arms);
            CallerIdExperimentResult {
                own: arm(config.strategy, view.arms[0]),
                trial: arm(experiment.strategy, view.arms[1]),
                difference: difference.map(|(between, _, _)| between),
                difference_low: difference.map(|(_, low, _)| low),
                difference_high: difference.map(|(_, _, high)| high),
                lift: lift.map(|(lift, _, _)| lift),
                lift_low: lift.map(|(_, low, _)| low),
                lift_high: lift.map(|(_, _, high)| high),
            }
        });
        CallerIdPool {
            id: view.row.id.to_string(),
            settings,
            active: count(core::NumberUse::Active),
            cooling: count(core::NumberUse::Cooling),
            quarantined: count(core::NumberUse::Quarantined),
            experiment_result,
            version: view.row.version,
            created_at: view.row.created_at.into(),
        }
    }
}

/// A number of a pool and how it fares; brought up to date every few seconds while the pool is used.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CallerIdNumber {
    /// Its place in the pool, from 0: its name in paths, beside the number itself.
    pub place: u32,
    /// The number.
    #[schema(example = "+12125550100")]
    pub number: String,
    /// `active`, `cooling` (rests, or has had its share) or `quarantined`.
    pub state: String,
    /// Calls begun in the last 60 minutes …
    pub calls_hour: u32,
    /// … and in the last 24 hours.
    pub calls_day: u32,
    /// When the last one began, if that was within 24 hours.
    pub last_used_at: Option<Time>,
    /// Calls that ended.
    pub calls: u64,
    /// Of these answered.
    pub answers: u64,
    /// Answers among calls; null before the first.
    pub answer_rate: Option<f64>,
    /// Calls blocked by analytics (603+, 607, 608).
    pub blocks: u64,
    /// Evidence that it is answered less often than the rest of its pool; at `quarantine.evidence` it is left alone.
    pub evidence: f64,
    /// Why it is left alone: `answer_rate`, `blocked`, `by_hand` or `reputation`; null while it is not.
    pub reason: Option<String>,
    /// Until then.
    pub quarantined_until: Option<Time>,
    /// What was last reported of it, one report of each source.
    pub reputation: Vec<CallerIdReputation>,
    /// When this was so.
    pub at: Time,
}

/// What someone who watches numbers says of one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CallerIdReputation {
    /// Who.
    pub source: String,
    /// 0 (worst) to 1.
    pub score: Option<f64>,
    /// How it is labelled on phones.
    pub label: Option<String>,
    /// When it was reported.
    pub at: Time,
}

/// A report on a number of the pool.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerIdReportRequest {
    /// The number, as it stands in the pool.
    #[schema(example = "+12125550100")]
    pub number: String,
    /// Who says so, 1 to 64 characters; of each the last report is kept, of 8 at most.
    #[schema(example = "hiya")]
    pub source: String,
    /// 0 (worst) to 1.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    pub score: Option<f64>,
    /// How it is labelled on phones, at most 64 characters; null: not at all.
    #[serde(default)]
    pub label: Option<String>,
}

/// Reports on numbers of the pool.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerIdReports {
    /// 1 to 1,000.
    pub reports: Vec<CallerIdReportRequest>,
}

/// What reports have changed.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct CallerIdsReported {
    /// Numbers that were put into quarantine or taken out of it.
    pub changed: u64,
}

impl CallerIdReports {
    pub(crate) fn core(self) -> Result<Vec<core::CallerIdReport>, Problem> {
        if self.reports.is_empty() || self.reports.len() > core::NUMBERS_MAX {
            return Err(Problem::field("/reports", "expected 1 to 1000 reports"));
        }
        let report = |one: CallerIdReportRequest| core::CallerIdReport {
            number: one.number,
            source: one.source,
            score: one.score,
            label: one.label,
        };
        Ok(self.reports.into_iter().map(report).collect())
    }
}

impl CallerIdNumber {
    /// Number `place` of a pool.
    #[must_use]
    pub fn new(view: &CallerIdPoolView, place: usize, mask: Masker) -> Self {
        let number = &view.numbers[place];
        CallerIdNumber {
            place: u32::try_from(place).unwrap_or(u32::MAX),
            number: mask.number(&number.number),
            state: number.state.as_str().to_owned(),
            calls_hour: number.calls_hour,
            calls_day: number.calls_day,
            last_used_at: number.last_used_at.map(Time),
            calls: number.calls,
            answers: number.answers,
            answer_rate: (number.calls > 0).then(|| number.answers as f64 / number.calls as f64),
            blocks: number.blocks,
            evidence: number.evidence,
            reason: number.reason.map(|reason| reason.as_str().to_owned()),
            quarantined_until: number.quarantined_until.map(Time),
            reputation: number
                .reputation
                .iter()
                .map(|(source, said)| CallerIdReputation {
                    source: source.clone(),
                    score: said.score,
                    label: said.label.clone(),
                    at: said.at.into(),
                })
                .collect(),
            at: Time(view.at),
        }
    }
}

/// One number of a pool: by itself, or by its place.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerIdWhich {
    /// The number, as it stands in the pool.
    #[serde(default)]
    #[schema(example = "+12125550100")]
    pub number: Option<String>,
    /// Or its place, from 0 (for those who see numbers masked).
    #[serde(default)]
    pub place: Option<u32>,
}

impl CallerIdWhich {
    /// The number meant.
    ///
    /// # Errors
    /// Neither or both are given, or there is no such number.
    pub fn number_in(&self, view: &CallerIdPoolView) -> Result<String, Problem> {
        let found = match (&self.number, self.place) {
            (Some(number), None) => view.numbers.iter().find(|known| known.number == *number),
            (None, Some(place)) => view.numbers.get(place as usize),
            _ => return Err(Problem::field("/number", "expected either number or place")),
        };
        found.map(|known| known.number.clone()).ok_or_else(|| Problem::not_found("number in this pool"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialer_core::CallerIdPoolId;
    use sansio::WallTime;

    #[test]
    fn an_experiment_is_told_with_its_calls_answers_difference_and_intervals() {
        let at = WallTime::from_unix_millis(1_790_000_000_000);
        let experiment = core::StrategyExperiment { strategy: core::Strategy::LocalPresence, share: 0.5 };
        let config =
            core::CallerIdPoolConfig { experiment: Some(experiment), ..core::CallerIdPoolConfig::default() };
        let row =
            core::CallerIdPoolRow { id: CallerIdPoolId::from_bits(1), config, version: 1, created_at: at };
        // Newcombe 1998, table II, method 10: 56 of 70 against 48 of 80.
        let arms = [core::Arm { calls: 80, answers: 48 }, core::Arm { calls: 70, answers: 56 }];
        let view = CallerIdPoolView { row, numbers: Vec::new(), arms, at };
        let told = CallerIdPool::new(&view, Masker::new(true)).experiment_result.unwrap();
        assert_eq!((told.own.strategy, told.own.calls, told.own.answers), (CallerIdStrategy::Fixed, 80, 48));
        assert_eq!(
            (told.trial.strategy, told.trial.calls, told.trial.answers),
            (CallerIdStrategy::LocalPresence, 70, 56)
        );
        let near = |found: Option<f64>, wanted: f64| (found.unwrap() - wanted).abs() < 1e-4;
        assert!(
            near(told.difference, 0.2)
                && near(told.own.answer_rate, 0.6)
                && near(told.trial.answer_rate, 0.8)
        );
        assert!(near(told.difference_low, 0.0524) && near(told.difference_high, 0.3339), "{told:?}");
        assert!(near(told.lift, 1.0 / 3.0) && told.lift_low < told.lift && told.lift < told.lift_high);
    }
}
