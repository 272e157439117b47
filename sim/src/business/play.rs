//! Playing a scenario with several policies over several seeds.

use super::baselines::{Baseline, Drop, Rule};
use super::known::Known;
use super::lines::Lines;
use super::policy::House;
use super::scenario::Scenario;
use super::world::{Day, Dialler, World, assignment};
use dialer_core::pacing::{CapStyle, Mode};
use serde::Serialize;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A policy that can be played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// This house's pacer in a mode.
    House(Mode),
    /// This house's predictive pacer with a cap of another style.
    HouseStyle(CapStyle),
    /// This house's predictive pacer behind its line protocol.
    Stdio,
    /// This house's predictive pacer, allowed to give up ringing calls after 15 s.
    HouseCancelling,
    /// One of the field.
    Baseline(Rule),
    /// The house's forecast with every distribution known, at a risk limit that never moves; without one: at the limit
    /// that abandons as many as the predictive policy does.
    Known(Option<f64>),
}

/// All policies of the comparison, by name.
pub const POLICIES: &[(&str, Policy)] = &[
    ("predictive", Policy::House(Mode::Predictive)),
    ("known", Policy::Known(None)),
    ("stdio", Policy::Stdio),
    ("predictive-hard", Policy::HouseStyle(CapStyle::Hard)),
    ("predictive-tapered", Policy::HouseStyle(CapStyle::Tapered)),
    ("predictive-cancel", Policy::HouseCancelling),
    ("pre-connected-2", Policy::House(Mode::PreConnected(2.0))),
    ("progressive", Policy::House(Mode::Progressive)),
    ("ratio-1.5", Policy::House(Mode::Ratio(1.5))),
    ("ratio-2", Policy::House(Mode::Ratio(2.0))),
    ("ratio-3", Policy::House(Mode::Ratio(3.0))),
    ("lines-1.5", Policy::Baseline(Rule::FixedRatio(1.5))),
    ("lines-2", Policy::Baseline(Rule::FixedRatio(2.0))),
    ("lines-3", Policy::Baseline(Rule::FixedRatio(3.0))),
    ("adaptive-hard", Policy::Baseline(Rule::Adaptive(Drop::HardLimit))),
    ("adaptive-average", Policy::Baseline(Rule::Adaptive(Drop::Average))),
    ("adaptive-tapered", Policy::Baseline(Rule::Adaptive(Drop::Tapered))),
    ("erlang-c", Policy::Baseline(Rule::ErlangC)),
    ("pi", Policy::Baseline(Rule::Pi)),
    ("clairvoyant", Policy::Baseline(Rule::Clairvoyant)),
];

/// The policy of this name.
#[must_use]
pub fn policy(name: &str) -> Option<Policy> {
    POLICIES.iter().find(|(known, _)| *known == name).map(|(_, policy)| *policy)
}

fn dialler(scenario: &Scenario, policy: Policy, speeds: &[f64]) -> Box<dyn Dialler> {
    match policy {
        Policy::House(mode) => Box::new(House::new(scenario, mode, false)),
        Policy::HouseStyle(style) => {
            Box::new(House::new(scenario, Mode::Predictive, false).with_style(style))
        }
        Policy::Stdio => Box::new(Lines::new(scenario)),
        Policy::HouseCancelling => Box::new(House::new(scenario, Mode::Predictive, true)),
        Policy::Baseline(rule) => Box::new(Baseline::new(scenario, rule)),
        Policy::Known(risk) => Box::new(Known::new(scenario, speeds, risk.unwrap_or(RISK_FIRST))),
    }
}

/// A mean and half the width of its 95 % interval over seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figure {
    /// Mean.
    pub mean: f64,
    /// Half of the 95 % interval; 0 with one seed.
    pub half: f64,
}

impl Figure {
    /// Of one value per seed.
    #[must_use]
    pub fn of(values: &[f64]) -> Figure {
        let n = values.len() as f64;
        if values.is_empty() {
            return Figure::default();
        }
        let mean = values.iter().sum::<f64>() / n;
        if values.len() < 2 {
            return Figure { mean, half: 0.0 };
        }
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Figure { mean, half: student(values.len() - 1) * (variance / n).sqrt() }
    }
}

/// 97.5 % quantile of Student's t.
fn student(freedom: usize) -> f64 {
    const TABLE: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    match freedom {
        0 => 0.0,
        1..=10 => TABLE[freedom - 1],
        11..=30 => 2.1,
        _ => 1.96 + 2.4 / freedom as f64,
    }
}

/// What one policy did in one scenario.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Scenario.
    pub scenario: String,
    /// Agents.
    pub agents: u32,
    /// Policy.
    pub policy: String,
    /// Greatest abandonment rate allowed per campaign and day.
    pub cap: f64,
    /// (Talk + wrap-up) ÷ (logged in and not on a break).
    pub utilisation: Figure,
    /// The same on the first day, when nothing is known.
    pub utilisation_first_day: Figure,
    /// Abandoned ÷ live over all days.
    pub abandonment: Figure,
    /// The worst campaign-day's.
    pub worst_day: f64,
    /// Campaign-days over the cap …
    pub days_over: u32,
    /// … of so many.
    pub campaign_days: u32,
    /// Abandonment in the first half hour of the first day, all seeds together.
    pub first_half_hour: f64,
    /// Conversations with people per agent and hour worked.
    pub connects_per_hour: Figure,
    /// Conversations with people a day.
    pub connects_per_day: f64,
    /// Calls dialled per live answer.
    pub dials_per_live: f64,
    /// Share of inbound calls that gave up.
    pub inbound_lost: f64,
    /// What the policy that knows every distribution reaches at the same abandonment, if that was played.
    pub known_utilisation: Option<f64>,
}

impl Row {
    /// True if no campaign-day was over its cap.
    #[must_use]
    pub fn is_lawful(&self) -> bool {
        self.days_over == 0
    }
}

/// What one seed gave.
#[derive(Clone, Debug, Default)]
struct Played {
    busy_s: f64,
    working_s: f64,
    first_day: f64,
    live: u64,
    abandoned: u64,
    dialed: u64,
    worst_day: f64,
    days_over: u32,
    campaign_days: u32,
    first_live: u64,
    first_abandoned: u64,
    inbound: (u64, u64),
}

impl Played {
    fn day(&mut self, number: u32, day: &Day, cap: f64) {
        self.busy_s += day.busy_s;
        self.working_s += day.working_s;
        if number == 0 {
            self.first_day = day.busy_s / day.working_s.max(1.0);
        }
        self.inbound.0 += day.inbound.0;
        self.inbound.1 += day.inbound.1;
        for campaign in &day.campaigns {
            self.campaign_days += 1;
            self.live += campaign.live;
            self.abandoned += campaign.abandoned;
            self.dialed += campaign.dialed;
            let rate = campaign.abandoned as f64 / campaign.live.max(1) as f64;
            self.worst_day = self.worst_day.max(rate);
            self.days_over += u32::from(rate > cap);
            if number == 0 {
                self.first_live += campaign.first_live;
                self.first_abandoned += campaign.first_abandoned;
            }
        }
    }
}

fn play_seed(scenario: &Scenario, policy: Policy, seed: u64, progress: &(dyn Fn() + Sync)) -> Played {
    let serves = assignment(scenario);
    let mut world = World::new(scenario, &serves, seed);
    let mut dialler = dialler(scenario, policy, world.speeds());
    let mut played = Played::default();
    for number in 0..scenario.days {
        let day = world.play(dialler.as_mut());
        played.day(number, &day, scenario.cap);
        progress();
    }
    played
}

/// How a comparison is played.
#[derive(Clone, Copy)]
pub struct Effort<'a> {
    /// So many seeds, …
    pub seeds: u64,
    /// … from this one on.
    pub first_seed: u64,
    /// Seeds played side by side at most.
    pub threads: usize,
    /// Told after each day played.
    pub progress: &'a (dyn Fn() + Sync),
}

impl Effort<'_> {
    /// Seeds on one thread, nobody told.
    #[must_use]
    pub fn quiet(seeds: u64) -> Effort<'static> {
        Effort { seeds, first_seed: 1, threads: 1, progress: &|| {} }
    }

    /// One result per seed, in their order, whatever thread played them.
    fn play(&self, scenario: &Scenario, policy: Policy) -> Vec<Played> {
        let seeds = self.seeds.max(1) as usize;
        let next = AtomicUsize::new(0);
        let work = || {
            let mut mine = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= seeds {
                    return mine;
                }
                let seed = self.first_seed.wrapping_add(index as u64);
                mine.push((index, play_seed(scenario, policy, seed, self.progress)));
            }
        };
        let mut all: Vec<(usize, Played)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..self.threads.clamp(1, seeds)).map(|_| scope.spawn(work)).collect();
            let mut all = work();
            all.extend(
                threads.into_iter().flat_map(|thread| thread.join().expect("a simulation does not panic")),
            );
            all
        });
        all.sort_by_key(|(index, _)| *index);
        all.into_iter().map(|(_, played)| played).collect()
    }
}

/// Plays `policy` in `scenario`.
#[must_use]
pub fn play(scenario: &Scenario, name: &str, policy: Policy, effort: &Effort<'_>) -> Row {
    row(scenario, name, &effort.play(scenario, policy))
}

fn row(scenario: &Scenario, name: &str, seeds: &[Played]) -> Row {
    let figure = |value: &dyn Fn(&Played) -> f64| Figure::of(&seeds.iter().map(value).collect::<Vec<_>>());
    let sum = |value: &dyn Fn(&Played) -> u64| seeds.iter().map(value).sum::<u64>();
    let share = |part: u64, all: u64| part as f64 / all.max(1) as f64;
    let live = sum(&|played| played.live);
    let days = f64::from(scenario.days) * seeds.len() as f64;
    Row {
        scenario: scenario.name.clone(),
        agents: scenario.agents,
        policy: name.to_owned(),
        cap: scenario.cap,
        utilisation: figure(&|played| played.busy_s / played.working_s.max(1.0)),
        utilisation_first_day: figure(&|played| played.first_day),
        abandonment: figure(&|played| share(played.abandoned, played.live)),
        worst_day: seeds.iter().fold(0.0, |worst: f64, played| worst.max(played.worst_day)),
        days_over: seeds.iter().map(|played| played.days_over).sum(),
        campaign_days: seeds.iter().map(|played| played.campaign_days).sum(),
        first_half_hour: share(sum(&|played| played.first_abandoned), sum(&|played| played.first_live)),
        connects_per_hour: figure(&|played| {
            (played.live - played.abandoned) as f64 / (played.working_s / 3_600.0).max(1e-9)
        }),
        connects_per_day: (live - sum(&|played| played.abandoned)) as f64 / days.max(1.0),
        dials_per_live: share(sum(&|played| played.dialed), live),
        inbound_lost: share(sum(&|played| played.inbound.1), sum(&|played| played.inbound.0)),
        known_utilisation: None,
    }
}

/// Risk limit that the search begins with.
const RISK_FIRST: f64 = 0.03;
/// Risk limits tried for the policy that knows.
pub const KNOWN_TRIES: u32 = 3;

/// Plays the policy that knows every distribution at the fixed risk limit at which it abandons the share `abandonment`
/// of live answers; found by regula falsi on logarithms. The row's utilisation is that of the nearest limit tried,
/// moved along the line through the two nearest to that abandonment.
#[must_use]
pub fn play_known(scenario: &Scenario, abandonment: f64, effort: &Effort<'_>) -> Row {
    let wanted = abandonment.clamp(1e-4, 0.5);
    let mut risk = RISK_FIRST;
    let mut tried: Vec<(f64, Row)> = Vec::new();
    for _ in 0..KNOWN_TRIES {
        let row = play(scenario, "known", Policy::Known(Some(risk)), effort);
        let found = row.abandonment.mean.max(1e-5);
        let slope = match tried.last() {
            Some((before, other)) if (risk / before).ln().abs() > 1e-3 => {
                ((found / other.abandonment.mean.max(1e-5)).ln() / (risk / before).ln()).clamp(0.3, 3.0)
            }
            _ => 1.0,
        };
        tried.push((risk, row));
        risk = (risk * (wanted / found).powf(1.0 / slope)).clamp(1e-4, 0.9);
    }
    tried.sort_by(|(_, a), (_, b)| {
        let off = |row: &Row| (row.abandonment.mean - wanted).abs();
        off(a).total_cmp(&off(b))
    });
    let other = tried.get(1).map(|(_, row)| (row.abandonment.mean, row.utilisation.mean));
    let (_, mut row) = tried.swap_remove(0);
    if let Some((abandoned, utilisation)) = other {
        let run = row.abandonment.mean - abandoned;
        if run.abs() > 1e-4 {
            let slope = ((row.utilisation.mean - utilisation) / run).clamp(0.0, 20.0);
            row.utilisation.mean += slope * (wanted - row.abandonment.mean).clamp(-0.01, 0.01);
        }
    }
    row
}

/// Plays several policies in one scenario. The one that knows comes last, and is held against `predictive`, which is
/// played for it if it was not asked for.
#[must_use]
pub fn compare(scenario: &Scenario, policies: &[(&str, Policy)], effort: &Effort<'_>) -> Vec<Row> {
    let is_search = |policy: &Policy| matches!(policy, Policy::Known(None));
    let mut rows: Vec<Row> = policies
        .iter()
        .filter(|(_, policy)| !is_search(policy))
        .map(|(name, policy)| play(scenario, name, *policy, effort))
        .collect();
    if policies.iter().any(|(_, policy)| is_search(policy)) {
        let at = |rows: &[Row]| rows.iter().position(|row| row.policy == "predictive");
        let wanted = match at(&rows) {
            Some(place) => rows[place].abandonment.mean,
            None => play(scenario, "predictive", Policy::House(Mode::Predictive), effort).abandonment.mean,
        };
        let known = play_known(scenario, wanted, effort);
        if let Some(place) = at(&rows) {
            rows[place].known_utilisation = Some(known.utilisation.mean);
        }
        rows.push(known);
    }
    rows
}
