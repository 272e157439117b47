//! Caller IDs: pools of numbers, which of them a call shows, and which are left alone.

mod command;
mod config;
mod number;

pub use command::CallerIdReport;
pub use config::{
    CallerIdPoolConfig, LABELS_MAX, NUMBERS_MAX, NumberCaps, OwnUse, Quarantine, Strategy, StrategyExperiment,
};
pub use number::{NumberState, NumberUse, NumberView, QuarantineReason, Reputation, SOURCES_MAX};

use crate::id::CallerIdPoolId;
use crate::view::CallerIdPoolView;
use number::POOL_CALLS_MIN;
use sansio::{Rng, WallTime};
use serde::{Deserialize, Serialize};

/// A pool as stored.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CallerIdPoolRow {
    /// Its name.
    pub id: CallerIdPoolId,
    /// Its settings.
    pub config: CallerIdPoolConfig,
    /// Counts changes, from 1.
    pub version: u32,
    /// When it was made.
    pub created_at: WallTime,
}

/// Calls of one arm of an experiment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Arm {
    /// Calls that ended.
    pub calls: u64,
    /// Of these answered.
    pub answers: u64,
}

/// What is known of a pool's numbers; written down from time to time.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolState {
    /// In the order of the settings.
    pub numbers: Vec<NumberState>,
    /// Where a rotation stands.
    pub turn: u64,
    /// The pool's own strategy, and the one on trial.
    pub arms: [Arm; 2],
}

/// A pool with all that is known of it.
#[derive(Clone, PartialEq, Debug)]
pub struct CallerIdPoolSnapshot {
    /// The pool.
    pub row: CallerIdPoolRow,
    /// What was known of its numbers.
    pub state: PoolState,
    /// When its numbers were shown in the last 24 hours, oldest first.
    pub uses: Vec<(String, WallTime)>,
}

/// Which number a call shows, and by which arm of the experiment it was chosen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shown {
    pub(crate) pool: CallerIdPoolId,
    pub(crate) number: String,
    pub(crate) on_trial: bool,
    /// [`Pool::experiments`] at that time; `None`: no part of one, its strategy was asked for.
    experiment: Option<u32>,
}

/// A pool at work.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) row: CallerIdPoolRow,
    pub(crate) state: PoolState,
    /// Changed since it was last written down.
    pub(crate) changed: bool,
    /// Counts the experiments that were begun: calls of one do not count for the next.
    experiments: u32,
}

impl Pool {
    pub(crate) fn new(row: CallerIdPoolRow, state: PoolState) -> Self {
        let mut pool = Pool { row, state, changed: false, experiments: 0 };
        pool.fit();
        pool
    }

    /// Keeps what is known of the numbers that are (still) in the settings.
    fn fit(&mut self) {
        let mut known = std::mem::take(&mut self.state.numbers);
        let state_of = |number: &String| match known.iter().position(|known| known.number == *number) {
            Some(place) => known.swap_remove(place),
            None => NumberState::new(number),
        };
        self.state.numbers = self.row.config.numbers.iter().map(state_of).collect();
    }

    /// Whether any number may be used so.
    pub(crate) fn has_some(&self, own: OwnUse, now: WallTime) -> bool {
        let caps = self.row.config.caps.and(own.caps);
        self.state.numbers.iter().any(|number| number.may_be_used(&caps, now))
    }

    /// Takes a number for a call to `to`; `None` if none may be used now.
    pub(crate) fn take(&mut self, to: &str, own: OwnUse, now: WallTime, rng: &mut Rng) -> Option<Shown> {
        let config = &self.row.config;
        let in_experiment = own.strategy.is_none();
        let trial = config.experiment.filter(|experiment| in_experiment && rng.chance(experiment.share));
        let strategy = own.strategy.unwrap_or_else(|| trial.map_or(config.strategy, |trial| trial.strategy));
        let caps = config.caps.and(own.caps);
        let usable: Vec<usize> = (0..self.state.numbers.len())
            .filter(|place| self.state.numbers[*place].may_be_used(&caps, now))
            .collect();
        let first = *usable.first()?;
        let from = |start: usize| usable.iter().copied().find(|place| *place >= start).unwrap_or(first);
        let count = self.state.numbers.len() as u64;
        let every = u64::from(config.rotate_every);
        let place = match strategy {
            Strategy::Fixed => first,
            Strategy::RotateCalls => {
                let place = from((self.state.turn / every % count) as usize);
                self.state.turn += 1;
                place
            }
            Strategy::RotateMinutes => {
                let minute = now.unix_millis().div_euclid(60_000).max(0) as u64;
                from((minute / every % count) as usize)
            }
            Strategy::Random => usable[rng.below(usable.len() as u64) as usize],
            Strategy::LocalPresence => {
                let day_ago = now.plus_millis(-24 * 3_600_000);
                let likeness = |place: &usize| {
                    let number = &self.state.numbers[*place];
                    (core::cmp::Reverse(common(&number.number, to)), number.uses_since(day_ago), *place)
                };
                usable.iter().copied().min_by_key(likeness)?
            }
        };
        let number = &mut self.state.numbers[place];
        number.used(now);
        self.changed = true;
        Some(Shown {
            pool: self.row.id,
            number: number.number.clone(),
            on_trial: trial.is_some(),
            experiment: in_experiment.then_some(self.experiments),
        })
    }

    /// Another experiment begins, or none: what the old one found does not count for it.
    fn begin_experiment(&mut self) {
        self.state.arms = Default::default();
        self.experiments = self.experiments.wrapping_add(1);
    }

    /// A call that showed one of its numbers ended.
    pub(crate) fn ended(
        &mut self,
        shown: &Shown,
        answered: bool,
        blocked: bool,
        now: WallTime,
    ) -> Option<QuarantineReason> {
        if shown.experiment == Some(self.experiments) {
            let arm = &mut self.state.arms[usize::from(shown.on_trial)];
            arm.calls += 1;
            arm.answers += u64::from(answered);
        }
        let others = |number: &&NumberState| number.number != shown.number && !number.is_quarantined(now);
        let (calls, answers) = self
            .state
            .numbers
            .iter()
            .filter(others)
            .fold((0.0, 0.0), |sum, number| (sum.0 + number.recent.0, sum.1 + number.recent.1));
        let rate = (calls >= POOL_CALLS_MIN).then(|| answers / calls);
        let rules = self.row.config.quarantine.clone();
        let number = self.state.numbers.iter_mut().find(|number| number.number == shown.number)?;
        self.changed = true;
        number.ended(answered, blocked, rate, rules.as_ref(), now)
    }

    pub(crate) fn view(&self, now: WallTime) -> CallerIdPoolView {
        let caps = &self.row.config.caps;
        CallerIdPoolView {
            row: self.row.clone(),
            numbers: self.state.numbers.iter().map(|number| number.view(caps, now)).collect(),
            arms: self.state.arms,
            at: now,
        }
    }

    /// When the next number comes out of quarantine.
    pub(crate) fn next_release(&self) -> Option<WallTime> {
        self.state.numbers.iter().filter_map(|number| number.quarantined_until).min()
    }

    /// Numbers whose quarantine is over.
    pub(crate) fn restore_due(&mut self, now: WallTime) -> Vec<String> {
        let mut restored = Vec::new();
        for number in &mut self.state.numbers {
            if number.quarantined_until.is_some_and(|until| until <= now) {
                number.restore();
                restored.push(number.number.clone());
            }
        }
        self.changed |= !restored.is_empty();
        restored
    }
}

/// Digits that two numbers have in common at their beginning.
fn common(a: &str, b: &str) -> usize {
    let digits = |text| str::strip_prefix(text, '+').unwrap_or(text).bytes();
    digits(a).zip(digits(b)).take_while(|(a, b)| a == b).count()
}

/// How much more often the second arm is answered than the first, as a share, with its 95 % interval. `None` while either
/// has no answer. (Interval of a ratio of proportions by its logarithm: Katz et al., Biometrics 34, 1978.)
#[must_use]
pub fn lift([own, trial]: [Arm; 2]) -> Option<(f64, f64, f64)> {
    if own.answers == 0 || trial.answers == 0 {
        return None;
    }
    let rate = |arm: Arm| arm.answers as f64 / arm.calls as f64;
    let ratio = rate(trial) / rate(own);
    let variance = |arm: Arm| 1.0 / arm.answers as f64 - 1.0 / arm.calls as f64;
    let width = 1.96 * (variance(own) + variance(trial)).sqrt();
    Some((ratio - 1.0, ratio * (-width).exp() - 1.0, ratio * width.exp() - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> WallTime {
        WallTime::from_unix_millis(1_790_000_000_000 / 60_000 * 60_000 + minutes * 60_000)
    }

    fn pool(change: impl FnOnce(&mut CallerIdPoolConfig)) -> Pool {
        let numbers = ["+14155550100", "+12125550100", "+12125550101"].map(str::to_owned).to_vec();
        let mut config = CallerIdPoolConfig { name: "p".into(), numbers, ..CallerIdPoolConfig::default() };
        change(&mut config);
        config.check().unwrap();
        let row = CallerIdPoolRow { id: CallerIdPoolId::from_bits(1), config, version: 1, created_at: at(0) };
        Pool::new(row, PoolState::default())
    }

    fn shown(pool: &mut Pool, to: &str, minutes: &[i64]) -> Vec<String> {
        let mut rng = Rng::from_seed(5);
        let take = |minute: &i64| {
            pool.take(to, OwnUse::default(), at(*minute), &mut rng).map_or("-".into(), |shown| shown.number)
        };
        minutes.iter().map(take).collect()
    }

    #[test]
    fn strategies_choose_as_they_say() {
        let (sf, ny, ny2) = ("+14155550100", "+12125550100", "+12125550101");
        assert_eq!(shown(&mut pool(|_| {}), "+1", &[0, 0]), [sf, sf]);
        let mut rotate = pool(|config| (config.strategy, config.rotate_every) = (Strategy::RotateCalls, 2));
        assert_eq!(shown(&mut rotate, "+1", &[0; 7]), [sf, sf, ny, ny, ny2, ny2, sf]);
        let mut minutes =
            pool(|config| (config.strategy, config.rotate_every) = (Strategy::RotateMinutes, 5));
        let numbers = shown(&mut minutes, "+1", &[0, 5, 10, 15]);
        assert!(
            numbers[0] == numbers[3] && numbers[0] != numbers[1] && numbers[1] != numbers[2],
            "{numbers:?}"
        );
        let mut random = pool(|config| config.strategy = Strategy::Random);
        let numbers = shown(&mut random, "+1", &[0; 60]);
        assert!(
            [sf, ny, ny2].iter().all(|number| numbers.iter().filter(|shown| shown == number).count() > 8)
        );
        let mut local = pool(|config| config.strategy = Strategy::LocalPresence);
        assert_eq!(
            shown(&mut local, "+12125559999", &[0, 0, 0]),
            [ny, ny2, ny],
            "the least used of the likest"
        );
        assert_eq!(shown(&mut local, "+14155559999", &[0]), [sf]);
    }

    #[test]
    fn when_all_have_had_their_share_none_is_shown() {
        let mut pool = pool(|config| config.caps.per_hour = Some(1));
        assert_eq!(shown(&mut pool, "+1", &[0, 0, 0, 0]).last().unwrap(), "-");
        let own = OwnUse::default();
        assert!(!pool.has_some(own, at(59)) && pool.has_some(own, at(60)));
    }

    #[test]
    fn who_shows_them_in_another_way_takes_no_part_in_the_experiment() {
        let trial = StrategyExperiment { strategy: Strategy::Random, share: 0.5 };
        let mut pool = pool(|config| {
            (config.experiment, config.caps.per_day) = (Some(trial), Some(3));
        });
        let mut rng = Rng::from_seed(7);
        let caps = NumberCaps { per_hour: Some(1), per_day: Some(9), cooldown_ms: 0 };
        let own = OwnUse { strategy: Some(Strategy::LocalPresence), caps };
        let mut take = |own, minute| pool.take("+12125559999", own, at(minute), &mut rng);
        let first = take(own, 0).unwrap();
        assert_eq!(first.number, "+12125550100", "the likest");
        assert_eq!(take(own, 0).unwrap().number, "+12125550101", "the other has had its share of the hour");
        assert_eq!(take(own, 60).unwrap().number, "+12125550100");
        assert_eq!(take(own, 120).unwrap().number, "+12125550101");
        assert_eq!(take(own, 180).unwrap().number, "+12125550100");
        take(own, 240);
        assert_eq!(take(own, 300).unwrap().number, "+14155550100", "the pool's own cap holds too");
        assert!(!pool.has_some(own, at(301)) && pool.has_some(OwnUse::default(), at(301)));
        pool.ended(&first, true, false, at(302));
        assert_eq!(pool.state.arms, [Arm::default(); 2]);
    }

    #[test]
    fn settings_keep_what_is_known_of_their_numbers() {
        let mut pool = pool(|_| {});
        shown(&mut pool, "+1", &[0, 1]);
        pool.row.config.numbers = vec!["+12125550100".into(), "+14155550100".into()];
        pool.fit();
        assert_eq!((pool.state.numbers[0].uses.len(), pool.state.numbers[1].uses.len()), (0, 2));
    }

    #[test]
    fn each_call_counts_for_the_experiment_that_chose_its_number() {
        let trial = StrategyExperiment { strategy: Strategy::Random, share: 0.5 };
        let mut pool = pool(|config| config.experiment = Some(trial));
        let mut rng = Rng::from_seed(7);
        let mut calls: Vec<Shown> =
            (0..400).filter_map(|_| pool.take("+1", OwnUse::default(), at(0), &mut rng)).collect();
        let under_way = calls.split_off(200);
        for (place, shown) in calls.iter().enumerate() {
            pool.ended(shown, place % 4 == 0, false, at(1));
        }
        let [own, tried] = pool.state.arms;
        let on_trial = calls.iter().filter(|shown| shown.on_trial).count() as u64;
        assert_eq!((own.calls, tried.calls, own.answers + tried.answers), (200 - on_trial, on_trial, 50));
        assert!((70..=130).contains(&on_trial), "a half, by chance: {on_trial}");
        pool.begin_experiment();
        for shown in &under_way {
            pool.ended(shown, true, false, at(2));
        }
        assert_eq!(pool.state.arms, [Arm::default(); 2], "those under way were chosen by the one before");
        let shown = pool.take("+1", OwnUse::default(), at(3), &mut rng).unwrap();
        pool.ended(&shown, true, false, at(4));
        assert_eq!(pool.state.arms.iter().map(|arm| arm.calls).sum::<u64>(), 1);
    }

    #[test]
    fn the_lift_of_an_experiment_has_its_interval() {
        let arm = |calls, answers| Arm { calls, answers };
        assert_eq!(lift([arm(100, 0), arm(100, 5)]), None);
        let (lift, low, high) = lift([arm(1_000, 200), arm(1_000, 260)]).unwrap();
        assert!((lift - 0.3).abs() < 1e-9);
        // Worked by hand: exp(ln 1.3 ± 1.96 · sqrt(1/200 − 1/1000 + 1/260 − 1/1000)) − 1.
        assert!((low - 0.1054).abs() < 5e-4 && (high - 0.5289).abs() < 5e-4, "{low} {high}");
    }
}
