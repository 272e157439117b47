//! One number of a pool: how much it was used, how it fares, whether it is left alone.

use super::config::{NumberCaps, Quarantine};
use sansio::WallTime;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Calls whose time is kept; more than any cap can be.
const USES_MAX: usize = 10_000;

/// Calls a pool must have seen before a number's answer rate is held against it.
pub(super) const POOL_CALLS_MIN: f64 = 50.0;

/// What is left of an earlier call's weight in the pool's rate after each later call of the same number: about the last
/// 500 count.
const FADING: f64 = 0.998;

/// Why a number is left alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineReason {
    /// It is answered much less often than the others of its pool.
    AnswerRate,
    /// Calls from it were blocked by analytics.
    Blocked,
    /// Somebody said so.
    ByHand,
    /// Its reputation, as reported by those who watch it.
    Reputation,
}

impl QuarantineReason {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            QuarantineReason::AnswerRate => "answer_rate",
            QuarantineReason::Blocked => "blocked",
            QuarantineReason::ByHand => "by_hand",
            QuarantineReason::Reputation => "reputation",
        }
    }
}

/// What is known of a number.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NumberState {
    /// The number.
    pub number: String,
    /// When calls of the last 24 hours began, oldest first. Written down one by one.
    #[serde(skip)]
    pub uses: VecDeque<WallTime>,
    /// Calls that ended.
    pub calls: u64,
    /// Of these answered.
    pub answers: u64,
    /// The same two, with the older ones fading.
    pub recent: (f64, f64),
    /// Of all calls, those blocked by analytics.
    pub blocks: u64,
    /// … in a row, up to the last.
    pub blocks_in_a_row: u32,
    /// The sum of evidence that its answer rate has fallen.
    pub cusum: f64,
    /// Left alone until then.
    pub quarantined_until: Option<WallTime>,
    /// Why.
    pub reason: Option<QuarantineReason>,
    /// What was last reported of it, by who did.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reputation: BTreeMap<String, Reputation>,
}

/// Sources of reports that are kept for one number at most.
pub const SOURCES_MAX: usize = 8;

/// What someone who watches numbers says of one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Reputation {
    /// 0 (worst) ..= 1.
    pub score: Option<f64>,
    /// How it is labelled on phones: `spam`, `scam`, `telemarketer`, …
    pub label: Option<String>,
    /// When it was reported.
    pub at: WallTime,
}

impl Reputation {
    fn is_bad(&self, rules: &Quarantine) -> bool {
        let label = self.label.as_deref().map(str::to_lowercase);
        self.score.is_some_and(|score| score < rules.reputation_min)
            || label.is_some_and(|label| rules.labels.contains(&label))
    }
}

/// What a report has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Judged {
    /// Nothing.
    AsBefore,
    /// It is left alone from now on.
    Quarantined,
    /// It may be shown again.
    Released,
}

/// Whether a number may be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NumberUse {
    /// It may.
    Active,
    /// Its caps or its rest keep it from being shown for a while.
    Cooling,
    /// It is left alone.
    Quarantined,
}

impl NumberUse {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            NumberUse::Active => "active",
            NumberUse::Cooling => "cooling",
            NumberUse::Quarantined => "quarantined",
        }
    }
}

/// A number as it stands at one time.
#[derive(Clone, PartialEq, Debug)]
pub struct NumberView {
    /// The number.
    pub number: String,
    /// Whether it may be shown.
    pub state: NumberUse,
    /// Calls begun in the last 60 minutes …
    pub calls_hour: u32,
    /// … and in the last 24 hours.
    pub calls_day: u32,
    /// When the last one began, if that was within 24 hours.
    pub last_used_at: Option<WallTime>,
    /// Calls that ended.
    pub calls: u64,
    /// Of these answered.
    pub answers: u64,
    /// Of these blocked by analytics.
    pub blocks: u64,
    /// Evidence that its answer rate has fallen (CUSUM, nats).
    pub evidence: f64,
    /// Left alone until then.
    pub quarantined_until: Option<WallTime>,
    /// Why.
    pub reason: Option<QuarantineReason>,
    /// What was last reported of it, by who did.
    pub reputation: BTreeMap<String, Reputation>,
}

impl NumberState {
    pub(super) fn new(number: &str) -> Self {
        NumberState { number: number.to_owned(), ..NumberState::default() }
    }

    /// Calls that began after `since`.
    #[must_use]
    pub fn uses_since(&self, since: WallTime) -> u32 {
        let older = self.uses.partition_point(|at| *at <= since);
        u32::try_from(self.uses.len() - older).unwrap_or(u32::MAX)
    }

    pub(crate) fn is_quarantined(&self, now: WallTime) -> bool {
        self.quarantined_until.is_some_and(|until| until > now)
    }

    pub(super) fn may_be_used(&self, caps: &NumberCaps, now: WallTime) -> bool {
        let below = |most: Option<u32>, span_ms: i64| {
            most.is_none_or(|most| self.uses_since(now.plus_millis(-span_ms)) < most)
        };
        let rested = || {
            let cooldown_ms = i64::try_from(caps.cooldown_ms).unwrap_or(i64::MAX);
            cooldown_ms == 0 || self.uses.back().is_none_or(|last| last.plus_millis(cooldown_ms) <= now)
        };
        !self.is_quarantined(now) && below(caps.per_hour, HOUR_MS) && below(caps.per_day, DAY_MS) && rested()
    }

    pub(super) fn used(&mut self, now: WallTime) {
        let day_ago = now.plus_millis(-DAY_MS);
        while self.uses.front().is_some_and(|at| *at <= day_ago) || self.uses.len() >= USES_MAX {
            self.uses.pop_front();
        }
        self.uses.push_back(now);
    }

    /// A call from it ended. `pool_rate`: the answer rate of its pool, once that is known.
    ///
    /// CUSUM for a fall of a proportion (Page, Continuous inspection schemes, Biometrika 41, 1954): the sum of log
    /// likelihood ratios of "answered `answer_drop` less often than the pool" to "as often", never below zero.
    pub(super) fn ended(
        &mut self,
        answered: bool,
        blocked: bool,
        pool_rate: Option<f64>,
        rules: Option<&Quarantine>,
        now: WallTime,
    ) -> Option<QuarantineReason> {
        self.calls += 1;
        self.answers += u64::from(answered);
        self.recent.0 = self.recent.0 * FADING + 1.0;
        self.recent.1 = self.recent.1 * FADING + f64::from(u8::from(answered));
        self.blocks += u64::from(blocked);
        self.blocks_in_a_row = if blocked { self.blocks_in_a_row + 1 } else { 0 };
        let rules = rules?;
        if let Some(usual) = pool_rate.map(|rate| rate.clamp(0.01, 0.95)) {
            let fallen = usual * (1.0 - rules.answer_drop);
            let step = if answered { (fallen / usual).ln() } else { ((1.0 - fallen) / (1.0 - usual)).ln() };
            self.cusum = (self.cusum + step).max(0.0);
        }
        let reason = if self.blocks_in_a_row >= rules.blocks_max {
            QuarantineReason::Blocked
        } else if self.cusum >= rules.evidence {
            QuarantineReason::AnswerRate
        } else {
            return None;
        };
        if self.is_quarantined(now) {
            return None;
        }
        self.quarantine(reason, rules.lasts_ms, now);
        Some(reason)
    }

    pub(super) fn quarantine(&mut self, reason: QuarantineReason, lasts_ms: u64, now: WallTime) {
        self.quarantined_until = Some(now.plus_millis(i64::try_from(lasts_ms).unwrap_or(i64::MAX)));
        self.reason = Some(reason);
    }

    pub(super) fn view(&self, caps: &NumberCaps, now: WallTime) -> NumberView {
        let state = if self.is_quarantined(now) {
            NumberUse::Quarantined
        } else if self.may_be_used(caps, now) {
            NumberUse::Active
        } else {
            NumberUse::Cooling
        };
        NumberView {
            number: self.number.clone(),
            state,
            calls_hour: self.uses_since(now.plus_millis(-HOUR_MS)),
            calls_day: self.uses_since(now.plus_millis(-DAY_MS)),
            last_used_at: self.uses.back().copied(),
            calls: self.calls,
            answers: self.answers,
            blocks: self.blocks,
            evidence: self.cusum,
            quarantined_until: self.quarantined_until,
            reason: self.reason,
            reputation: self.reputation.clone(),
        }
    }

    /// Somebody reports on it. One bad report is enough to leave it alone; when the last bad one is taken back it may be
    /// shown again.
    pub(super) fn reported(
        &mut self,
        source: &str,
        said: Reputation,
        rules: Option<&Quarantine>,
        now: WallTime,
    ) -> Judged {
        if self.reputation.len() >= SOURCES_MAX && !self.reputation.contains_key(source) {
            let oldest =
                self.reputation.iter().min_by_key(|(_, said)| said.at).map(|(source, _)| source.clone());
            oldest.and_then(|oldest| self.reputation.remove(&oldest));
        }
        let bad = rules.is_some_and(|rules| said.is_bad(rules));
        self.reputation.insert(source.to_owned(), said);
        let Some(rules) = rules else { return Judged::AsBefore };
        if bad && !self.is_quarantined(now) {
            self.quarantine(QuarantineReason::Reputation, rules.lasts_ms, now);
            return Judged::Quarantined;
        }
        let by_reputation = self.is_quarantined(now) && self.reason == Some(QuarantineReason::Reputation);
        if by_reputation && !self.reputation.values().any(|said| said.is_bad(rules)) {
            self.restore();
            return Judged::Released;
        }
        Judged::AsBefore
    }

    /// It may be used again, with nothing held against it.
    pub(super) fn restore(&mut self) {
        (self.cusum, self.blocks_in_a_row) = (0.0, 0);
        (self.quarantined_until, self.reason) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> WallTime {
        WallTime::from_unix_millis(1_790_000_000_000 + minutes * 60_000)
    }

    #[test]
    fn caps_and_rest_are_kept_on_both_sides() {
        let caps = NumberCaps { per_hour: Some(2), per_day: Some(3), cooldown_ms: 60_000 };
        let mut number = NumberState::new("+4930123456");
        number.used(at(0));
        assert!(!number.may_be_used(&caps, WallTime::from_unix_millis(at(1).unix_millis() - 1)));
        assert!(number.may_be_used(&caps, at(1)));
        number.used(at(1));
        assert!(!number.may_be_used(&caps, at(59)) && number.may_be_used(&caps, at(60)));
        number.used(at(60));
        assert!(!number.may_be_used(&caps, at(24 * 60 - 1)) && number.may_be_used(&caps, at(24 * 60)));
        number.used(at(3 * 24 * 60));
        assert_eq!(number.uses.len(), 1, "what is older than a day is forgotten");
    }

    #[test]
    fn a_number_that_is_answered_half_as_often_is_found_and_others_are_not() {
        let rules = Quarantine::default();
        let mut rng = sansio::Rng::from_seed(3);
        let mut run = |rate: f64| {
            let mut number = NumberState::new("+4930123456");
            (0..300).find(|_| number.ended(rng.chance(rate), false, Some(0.3), Some(&rules), at(0)).is_some())
        };
        let found: Vec<_> = (0..50).map(|_| run(0.1)).collect();
        assert!(found.iter().flatten().count() >= 48, "{found:?}");
        let wrongly = (0..50).filter_map(|_| run(0.3)).count();
        assert!(wrongly <= 8, "{wrongly} of 50 good numbers in 300 calls each");
    }

    #[test]
    fn blocks_in_a_row_count_and_a_restored_number_starts_clean() {
        let rules = Quarantine { lasts_ms: 60_000, ..Quarantine::default() };
        let mut number = NumberState::new("+4930123456");
        let mut ended = |blocked: bool| number.ended(!blocked, blocked, None, Some(&rules), at(0));
        assert_eq!(
            (ended(true), ended(true), ended(false), ended(true), ended(true)),
            (None, None, None, None, None)
        );
        assert_eq!(ended(true), Some(QuarantineReason::Blocked));
        assert!(!number.may_be_used(&NumberCaps::default(), at(0)));
        assert!(number.may_be_used(&NumberCaps::default(), at(1)));
        number.restore();
        assert_eq!((number.blocks_in_a_row, number.quarantined_until), (0, None));
        assert_eq!(number.ended(false, true, None, None, at(0)), None);
    }
}
