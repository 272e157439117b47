//! What is counted, and what it leads to expect.

use super::{BestTimeConfig, BestTimeRow, ExperimentArm, SegmentBy};
use crate::caller_id::Arm;
use crate::compliance::local_clock;
use crate::record::Lead;
use sansio::{Rng, WallTime};
use std::collections::BTreeMap;

/// Hours of a week.
pub const HOURS_OF_WEEK: usize = 7 * 24;
/// Segments of a campaign; what comes after is one segment.
const SEGMENTS_MAX: usize = 500;
/// The segment of leads beyond that number.
const OTHERS: &str = "other";
/// Digits of the shortest phone numbers.
const NUMBER_DIGITS: usize = 7;
/// Longest name of a segment, characters.
const NAME_MAX: usize = 120;

/// Before anything was seen: so many tries …
const PRIOR_TRIES: f64 = 10.0;
/// … of which this share was answered.
const PRIOR_RATE: f64 = 0.2;
/// Tries at which an hour, or a segment, counts for as much as the rate of all.
const EFFECT_TRIES: f64 = 60.0;
/// Tries at which a cell counts for as much as the same hour of other days, and these for as much as hour and segment.
const CELL_TRIES: f64 = 30.0;

/// Tries and answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cell {
    /// Tries.
    pub tries: u64,
    /// Of these answered.
    pub answers: u64,
}

impl Cell {
    fn add(&mut self, tries: u64, answers: u64) {
        self.tries += tries;
        self.answers += answers;
    }

    fn shrunk(self, to: f64, strength: f64) -> f64 {
        (strength * to + self.answers as f64) / (strength + self.tries as f64)
    }
}

type Week = Box<[Cell; HOURS_OF_WEEK]>;

/// What a try was about: told when it is dialled, counted when its end is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Tried {
    pub(crate) segment: String,
    pub(crate) hour: u8,
    pub(crate) arm: ExperimentArm,
}

/// What readers see of a segment.
#[derive(Clone, PartialEq, Debug)]
pub struct SegmentView {
    /// Its name.
    pub segment: String,
    /// All its tries and answers.
    pub total: Cell,
    /// Chance of an answer per hour of the week, as expected now.
    pub chances: Vec<f64>,
}

/// Everything a campaign has learned of its leads' hours.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Model {
    segments: BTreeMap<String, Week>,
    hours: Option<Week>,
    all: Cell,
    /// Chosen, held out.
    arms: [Cell; 2],
}

/// What is kept of a field: a value with as many digits as a phone number is one person's, not a segment's, and is not
/// written down.
fn kept(value: &str) -> String {
    let digits = value.chars().filter(|c| c.is_numeric()).count();
    if digits < NUMBER_DIGITS { value.to_owned() } else { "digits".to_owned() }
}

fn sum<'c>(cells: impl Iterator<Item = &'c Cell>) -> Cell {
    let mut sum = Cell::default();
    cells.for_each(|cell| sum.add(cell.tries, cell.answers));
    sum
}

/// The same hour of the other days that are meant.
fn alike(week: &Week, hour: usize, meant: impl Fn(usize) -> bool) -> impl Iterator<Item = &Cell> {
    let (today, hour) = (hour / 24, hour % 24);
    (0..7).filter(move |day| *day != today && meant(*day)).map(move |day| &week[day * 24 + hour])
}

fn is_weekend(day: usize) -> bool {
    day >= 5
}

fn week() -> Week {
    Box::new([Cell::default(); HOURS_OF_WEEK])
}

fn logit(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

fn expit(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Model {
    pub(crate) fn of_rows<'r>(rows: impl Iterator<Item = &'r BestTimeRow>) -> Self {
        let mut model = Model::default();
        for row in rows {
            model.count(&row.segment, row.hour, row.arm, row.tries, row.answers);
        }
        model
    }

    pub(crate) fn seen(&mut self, tried: &Tried, answered: bool) {
        self.count(&tried.segment, tried.hour, tried.arm, 1, u64::from(answered));
    }

    fn count(&mut self, segment: &str, hour: u8, arm: ExperimentArm, tries: u64, answers: u64) {
        let hour = usize::from(hour) % HOURS_OF_WEEK;
        self.segments.entry(segment.to_owned()).or_insert_with(week)[hour].add(tries, answers);
        self.hours.get_or_insert_with(week)[hour].add(tries, answers);
        self.all.add(tries, answers);
        match arm {
            ExperimentArm::None => {}
            ExperimentArm::Chosen => self.arms[0].add(tries, answers),
            ExperimentArm::HeldOut => self.arms[1].add(tries, answers),
        }
    }

    /// Another experiment begins: what was learned stays.
    pub(crate) fn forget_arms(&mut self) {
        self.arms = [Cell::default(); 2];
    }

    /// Held out, chosen.
    pub(crate) fn arms(&self) -> [Arm; 2] {
        let [chosen, held_out] = self.arms;
        [held_out, chosen].map(|cell| Arm { calls: cell.tries, answers: cell.answers })
    }

    /// The segment a lead belongs to.
    pub(crate) fn segment_of(&self, config: &BestTimeConfig, lead: &Lead) -> String {
        let phone = lead.phones.get(crate::lead::next_phone(lead));
        let mut name = String::new();
        for by in &config.segment_by {
            let part = match by {
                SegmentBy::List => lead.list.to_string(),
                SegmentBy::PhoneKind => phone.and_then(|phone| phone.kind.clone()).unwrap_or_default(),
                SegmentBy::Area => {
                    phone.map(|phone| phone.number.chars().take(5).collect()).unwrap_or_default()
                }
                SegmentBy::Field(field) => {
                    lead.fields.get(field).map(|value| kept(value)).unwrap_or_default()
                }
            };
            if !name.is_empty() {
                name.push('|');
            }
            name.push_str(if part.is_empty() { "-" } else { &part });
        }
        let name: String = name.chars().take(NAME_MAX).collect();
        let name = if name.is_empty() { "all".to_owned() } else { name };
        if self.segments.len() < SEGMENTS_MAX || self.segments.contains_key(&name) {
            name
        } else {
            OTHERS.to_owned()
        }
    }

    fn rate_of_all(&self) -> f64 {
        Cell { tries: self.all.tries, answers: self.all.answers }.shrunk(PRIOR_RATE, PRIOR_TRIES)
    }

    /// What is expected of each hour of a segment: the prior's chance, and the cell's own counts.
    fn expected(&self, segment: &str) -> impl Fn(usize) -> (f64, Cell) + '_ {
        let all = self.rate_of_all();
        let own = self.segments.get(segment);
        let total = own.map_or(Cell::default(), |week| sum(week.iter()));
        let of_segment = logit(total.shrunk(all, EFFECT_TRIES)) - logit(all);
        move |hour| {
            let of_hour = self.hours.as_ref().map_or(all, |week| {
                let every_day = sum(alike(week, hour, |_| true)).shrunk(all, EFFECT_TRIES);
                week[hour].shrunk(every_day, EFFECT_TRIES)
            });
            let expected = expit(logit(of_hour) + of_segment);
            let Some(week) = own else { return (expected, Cell::default()) };
            let every_day = sum(alike(week, hour, |_| true)).shrunk(expected, CELL_TRIES);
            let such_days = alike(week, hour, |day| is_weekend(day) == is_weekend(hour / 24));
            (sum(such_days).shrunk(every_day, CELL_TRIES), week[hour])
        }
    }

    /// How much likelier an answer is in this hour than in the other hours in which the campaign dials, in log-odds, by one
    /// draw from what is believed of each.
    pub(crate) fn advantage(&self, segment: &str, now: usize, rng: &mut Rng) -> f64 {
        let expected = self.expected(segment);
        let mut draw = |hour: usize| {
            let (prior, cell) = expected(hour);
            let answers = CELL_TRIES * prior + cell.answers as f64;
            let others = CELL_TRIES * (1.0 - prior) + (cell.tries - cell.answers) as f64;
            logit(beta(answers, others, rng).clamp(1e-6, 1.0 - 1e-6))
        };
        let here = draw(now);
        let dialled =
            |hour: &usize| *hour != now && self.hours.as_ref().is_some_and(|week| week[*hour].tries > 0);
        let (mut sum, mut count) = (0.0, 0_u32);
        for hour in (0..HOURS_OF_WEEK).filter(dialled) {
            sum += draw(hour);
            count += 1;
        }
        if count == 0 { 0.0 } else { here - sum / f64::from(count) }
    }

    /// The same as expected, without a draw; and the best of these hours.
    pub(crate) fn advantage_expected(&self, segment: &str, now: usize) -> (f64, usize) {
        let chances = self.chances(segment);
        let dialled = |hour: &usize| self.hours.as_ref().is_some_and(|week| week[*hour].tries > 0);
        let others: Vec<usize> = (0..HOURS_OF_WEEK).filter(dialled).filter(|hour| *hour != now).collect();
        let sum: f64 = others.iter().map(|hour| logit(chances[*hour])).sum();
        let better = |best: usize, hour: &usize| if chances[*hour] > chances[best] { *hour } else { best };
        let best = others.iter().fold(now, better);
        let advantage = if others.is_empty() { 0.0 } else { logit(chances[now]) - sum / others.len() as f64 };
        (advantage, best)
    }

    /// It is tried in an hour that is expected to be worse than the others, to learn more of it or because it has waited.
    pub(crate) fn explores(&self, tried: &super::Tried) -> bool {
        tried.arm != super::ExperimentArm::HeldOut
            && self.advantage_expected(&tried.segment, usize::from(tried.hour)).0 < 0.0
    }

    /// Chance of an answer per hour of the week, as expected now.
    pub(crate) fn chances(&self, segment: &str) -> Vec<f64> {
        let expected = self.expected(segment);
        let chance = |hour: usize| {
            let (prior, cell) = expected(hour);
            cell.shrunk(prior, CELL_TRIES)
        };
        (0..HOURS_OF_WEEK).map(chance).collect()
    }

    /// What is believed, for readers.
    pub(crate) fn view(&self) -> Vec<SegmentView> {
        let segment = |(name, week): (&String, &Week)| SegmentView {
            segment: name.clone(),
            total: sum(week.iter()),
            chances: self.chances(name),
        };
        self.segments.iter().map(segment).collect()
    }
}

/// The hour of the week where a lead is, from Monday 0:00; by the campaign's own clock where the zone is not known.
pub(crate) fn hour_of_week(lead: &Lead, utc_offset_minutes: i16, now: WallTime) -> usize {
    let number = lead.phones.get(crate::lead::next_phone(lead)).map_or("", |phone| phone.number.as_str());
    let (weekday, minute) = local_clock(lead.time_zone.as_deref(), number, utc_offset_minutes, now);
    (usize::from(weekday) * 24 + usize::from(minute) / 60) % HOURS_OF_WEEK
}

/// A draw from a beta distribution, by two of gamma distributions.
fn beta(a: f64, b: f64, rng: &mut Rng) -> f64 {
    let (x, y) = (gamma(a, rng), gamma(b, rng));
    if x + y > 0.0 { x / (x + y) } else { a / (a + b) }
}

/// A draw from a gamma distribution of scale 1 (Marsaglia and Tsang, ACM TOMS 26, 2000), for shapes above 0.
fn gamma(shape: f64, rng: &mut Rng) -> f64 {
    if shape < 1.0 {
        let boost = rng.unit().max(f64::MIN_POSITIVE).powf(1.0 / shape.max(1e-3));
        return gamma(shape + 1.0, rng) * boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    // Accepts more than 95 of 100 draws; the bound is for a broken source of randomness.
    for _ in 0..1_000 {
        let x = rng.normal();
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && rng.unit().max(f64::MIN_POSITIVE).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
    d
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(model: &mut Model, segment: &str, hour: usize, tries: u64, answers: u64) {
        model.count(segment, hour as u8, ExperimentArm::None, tries, answers);
    }

    fn chance(model: &Model, segment: &str, hour: usize) -> f64 {
        let (prior, cell) = model.expected(segment)(hour);
        cell.shrunk(prior, CELL_TRIES)
    }

    #[test]
    fn what_is_not_known_is_taken_from_what_is_alike() {
        let mut model = Model::default();
        assert!((chance(&model, "a", 9) - PRIOR_RATE).abs() < 1e-9);
        seen(&mut model, "a", 9, 1_000, 400);
        seen(&mut model, "a", 19, 1_000, 100);
        seen(&mut model, "b", 19, 1_000, 100);
        assert!((chance(&model, "a", 9) - 0.4).abs() < 0.02, "much data speaks for itself");
        let unseen = chance(&model, "b", 9);
        assert!(unseen > 0.15 && unseen < 0.4, "a cell of a good hour and a poor segment: {unseen}");
        assert!(chance(&model, "c", 9) > chance(&model, "c", 19), "an unknown segment goes by the hour");
    }

    #[test]
    fn draws_have_the_mean_and_spread_of_a_beta() {
        let mut rng = Rng::from_seed(3);
        for (a, b) in [(2.0, 8.0), (0.5, 0.5), (40.0, 60.0)] {
            let draws: Vec<f64> = (0..20_000).map(|_| beta(a, b, &mut rng)).collect();
            let mean = draws.iter().sum::<f64>() / 20_000.0;
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
            let expected = a * b / ((a + b).powi(2) * (a + b + 1.0));
            assert!((mean - a / (a + b)).abs() < 0.01, "mean {mean} of {a}, {b}");
            assert!((variance / expected - 1.0).abs() < 0.08, "variance {variance} of {a}, {b}");
        }
    }

    #[test]
    fn this_hour_is_better_for_some_than_for_others() {
        let mut model = Model::default();
        for (segment, hour, answers) in
            [("early", 9, 400), ("early", 19, 100), ("late", 9, 100), ("late", 19, 400)]
        {
            seen(&mut model, segment, hour, 1_000, answers);
        }
        let mut rng = Rng::from_seed(7);
        for _ in 0..100 {
            let (early, late) = (model.advantage("early", 9, &mut rng), model.advantage("late", 9, &mut rng));
            assert!(early > 0.0 && late < 0.0, "{early} {late}");
        }
    }

    #[test]
    fn a_field_that_holds_a_number_makes_no_segment() {
        for (value, expected) in
            [("gold", "gold"), ("10115", "10115"), ("+44 2079 460888", "digits"), ("1234567", "digits")]
        {
            assert_eq!(kept(value), expected);
        }
    }

    #[test]
    fn what_was_seen_on_one_day_is_expected_of_the_next() {
        let mut model = Model::default();
        for (segment, hour, answers) in
            [("early", 9, 80), ("early", 19, 20), ("late", 9, 20), ("late", 19, 80)]
        {
            seen(&mut model, segment, hour, 200, answers);
        }
        let (tuesday, saturday) = (24, 5 * 24);
        for day in [tuesday, saturday] {
            assert!(chance(&model, "early", day + 9) > chance(&model, "late", day + 9) + 0.1);
            assert!(chance(&model, "late", day + 19) > chance(&model, "early", day + 19) + 0.1);
        }
        seen(&mut model, "early", saturday + 9, 200, 10);
        assert!(chance(&model, "early", saturday + 9) < 0.15, "a day of its own kind speaks for itself");
        assert!(
            chance(&model, "early", saturday + 24 + 9) < chance(&model, "early", tuesday + 9),
            "Sunday is as Saturday"
        );
    }

    #[test]
    fn a_model_is_the_sum_of_its_rows() {
        let row = |segment: &str, arm, answers| BestTimeRow {
            campaign: crate::id::CampaignId::from_bits(1),
            segment: segment.into(),
            hour: 9,
            arm,
            tries: 10,
            answers,
        };
        let rows = [
            row("a", ExperimentArm::None, 1),
            row("a", ExperimentArm::Chosen, 4),
            row("b", ExperimentArm::HeldOut, 2),
        ];
        let model = Model::of_rows(rows.iter());
        assert_eq!(model.all, Cell { tries: 30, answers: 7 });
        assert_eq!(model.arms(), [Arm { calls: 10, answers: 2 }, Arm { calls: 10, answers: 4 }]);
        assert_eq!(model.view().len(), 2);
    }
}
