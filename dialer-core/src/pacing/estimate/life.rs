//! Life tables of talk and wrap-up, and the chance that a busy agent is free soon.

use serde::{Deserialize, Serialize};

/// Observations that are remembered, about.
const MEMORY: f64 = 3_000.0;
/// Weight of the prior, in observations.
const PRIOR: f64 = 4.0;
/// Columns of a [`Residual`] table.
const COLUMNS: usize = 40;

/// Bin edges, seconds: fine where the first seconds matter, then a fifth wider each.
fn edges() -> Vec<f64> {
    let mut edges = vec![0.0];
    let mut at: f64 = 0.0;
    while at < 14_400.0 {
        at += (at * 0.15).max(1.0);
        edges.push(at);
    }
    edges
}

/// How long something lasts: deaths and exposure per bin, so that the hazard may have any shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LifeTable {
    deaths: Vec<f64>,
    exposure: Vec<f64>,
    next: f64,
    seen: u64,
    log_mean: f64,
    log_variance: f64,
    #[serde(skip, default = "edges")]
    edges: Vec<f64>,
    #[serde(skip)]
    survival: Vec<f64>,
}

impl LifeTable {
    /// Starts from a lognormal prior.
    ///
    /// * `mean_s` its mean, seconds; `cv` its coefficient of variation
    #[must_use]
    pub fn new(mean_s: f64, cv: f64) -> Self {
        let log_variance = (1.0 + cv * cv).ln();
        let log_mean = mean_s.ln() - log_variance / 2.0;
        let edges = edges();
        let survives = |t: f64| {
            if t <= 0.0 { 1.0 } else { 0.5 * erfc((t.ln() - log_mean) / (2.0 * log_variance).sqrt()) }
        };
        let (mut deaths, mut exposure) = (Vec::new(), Vec::new());
        for pair in edges.windows(2) {
            let (here, then) = (survives(pair[0]), survives(pair[1]));
            deaths.push(PRIOR * (here - then).max(0.0));
            exposure.push((PRIOR * (here + then) / 2.0 * (pair[1] - pair[0])).max(1e-6));
        }
        let mut table = LifeTable {
            deaths,
            exposure,
            next: 1.0,
            seen: 0,
            log_mean,
            log_variance,
            edges,
            survival: Vec::new(),
        };
        table.refresh();
        table
    }

    /// True if the sketch is one this version can have written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.deaths.len() + 1 == self.edges.len()
            && self.exposure.len() == self.deaths.len()
            && super::all_weights(&self.deaths)
            && self.exposure.iter().all(|e| e.is_finite() && *e > 0.0)
            && (1.0..1e9).contains(&self.next)
            && self.log_mean.is_finite()
            && self.log_variance.is_finite()
            && self.log_variance > 0.0
    }

    /// One lasted `seconds`.
    pub fn lasted(&mut self, seconds: f64) {
        if !seconds.is_finite() {
            return;
        }
        let seconds = seconds.clamp(0.01, 14_000.0);
        let last = self.deaths.len() - 1;
        let bin = (self.edges.partition_point(|edge| *edge <= seconds) - 1).min(last);
        for i in 0..bin {
            self.exposure[i] += self.next * (self.edges[i + 1] - self.edges[i]);
        }
        self.exposure[bin] += self.next * (seconds - self.edges[bin]);
        self.deaths[bin] += self.next;
        self.next *= 1.0 + 1.0 / MEMORY;
        if self.next > 1e6 {
            let scale = 1.0 / self.next;
            self.deaths.iter_mut().for_each(|d| *d *= scale);
            self.exposure.iter_mut().for_each(|e| *e = (*e * scale).max(1e-9));
            self.next = 1.0;
        }
        self.seen = self.seen.saturating_add(1);
        let gain = 1.0 / (self.seen as f64 + PRIOR).min(1_000.0);
        let off = seconds.max(0.5).ln() - self.log_mean;
        self.log_mean += gain * off;
        self.log_variance = (self.log_variance + gain * (off * off - self.log_variance)).max(0.01);
    }

    /// How many were seen, ever.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Mean and variance of the logarithm.
    #[must_use]
    pub const fn log_moments(&self) -> (f64, f64) {
        (self.log_mean, self.log_variance)
    }

    /// Brings the survival function up to date.
    pub fn refresh(&mut self) {
        self.survival.clear();
        self.survival.push(1.0);
        let mut cumulative: f64 = 0.0;
        for (i, (deaths, exposure)) in self.deaths.iter().zip(&self.exposure).enumerate() {
            let width = self.edges[i + 1] - self.edges[i];
            cumulative += deaths / exposure * width;
            self.survival.push((-cumulative).exp());
        }
    }

    /// Share that lasts longer than `seconds`, as of the last [`LifeTable::refresh`].
    #[must_use]
    pub fn survives(&self, seconds: f64) -> f64 {
        if seconds.is_nan() || seconds <= 0.0 || self.survival.is_empty() {
            return 1.0;
        }
        let index = self.edges.partition_point(|edge| *edge <= seconds);
        if index >= self.edges.len() {
            return 0.0;
        }
        let (a, b) = (self.edges[index - 1], self.edges[index]);
        let (here, then) = (self.survival[index - 1], self.survival[index]);
        here + (then - here) * (seconds - a) / (b - a)
    }

    /// Mean, seconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.edges
            .windows(2)
            .zip(self.survival.windows(2))
            .map(|(edge, survival)| (edge[1] - edge[0]) * (survival[0] + survival[1]) / 2.0)
            .sum()
    }
}

/// P(free within x | busy for e): a table over elapsed time e (the life table's edges) and x (even steps).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Residual {
    edges: Vec<f64>,
    /// `COLUMNS + 1` values per edge.
    values: Vec<f64>,
    step_s: f64,
}

impl Residual {
    /// For one stage (wrap-up): P(W ≤ e + x | W > e).
    pub fn of_one(&mut self, table: &LifeTable, reach_s: f64) {
        self.fill(table, reach_s, |here, e, x| 1.0 - table.survives(e + x) / here);
    }

    /// For two stages (talk, then wrap-up): P(T + W ≤ e + x | T > e).
    pub fn of_two(&mut self, first: &LifeTable, second: &LifeTable, reach_s: f64) {
        let step = reach_s / COLUMNS as f64;
        // Share of the second stage over by the middle of each step.
        let over: Vec<f64> = (0..COLUMNS).map(|k| 1.0 - second.survives((k as f64 + 0.5) * step)).collect();
        let mut ending = [0.0; COLUMNS];
        self.edges.clone_from(&first.edges);
        self.step_s = step;
        self.values.clear();
        for &e in &first.edges {
            let here = first.survives(e).max(1e-12);
            let mut before = 1.0;
            for (k, ending) in ending.iter_mut().enumerate() {
                let after = first.survives(e + (k as f64 + 1.0) * step) / here;
                *ending = (before - after).max(0.0);
                before = after;
            }
            self.values.push(0.0);
            for column in 1..=COLUMNS {
                let free: f64 = (0..column).map(|k| ending[k] * over[column - 1 - k]).sum();
                self.values.push(free.clamp(0.0, 1.0));
            }
        }
    }

    fn fill(&mut self, table: &LifeTable, reach_s: f64, value: impl Fn(f64, f64, f64) -> f64) {
        self.edges.clone_from(&table.edges);
        self.step_s = reach_s / COLUMNS as f64;
        self.values.clear();
        for &e in &table.edges {
            let here = table.survives(e).max(1e-12);
            for column in 0..=COLUMNS {
                self.values.push(value(here, e, column as f64 * self.step_s).clamp(0.0, 1.0));
            }
        }
    }

    /// Where `elapsed_s` lies among the rows: to be used for several reaches.
    #[must_use]
    pub fn row(&self, elapsed_s: f64) -> (usize, f64) {
        let elapsed = if elapsed_s > 0.0 { elapsed_s } else { 0.0 };
        let index = self.edges.partition_point(|edge| *edge <= elapsed).clamp(1, self.edges.len() - 1);
        let (a, b) = (self.edges[index - 1], self.edges[index]);
        (index - 1, ((elapsed - a) / (b - a)).clamp(0.0, 1.0))
    }

    /// P(free within `within_s`) in the row found by [`Residual::row`].
    #[must_use]
    pub fn free(&self, row: (usize, f64), within_s: f64) -> f64 {
        let place = (within_s / self.step_s).clamp(0.0, COLUMNS as f64 - 1e-9);
        let column = place as usize;
        let part = place - column as f64;
        let pick = |row: usize| {
            let base = row * (COLUMNS + 1) + column;
            self.values[base] + (self.values[base + 1] - self.values[base]) * part
        };
        pick(row.0) * (1.0 - row.1) + pick(row.0 + 1) * row.1
    }
}

/// Complementary error function, absolute error below 1.5e-7.
/// Source: Abramowitz and Stegun 7.1.26.
fn erfc(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let poly = t
        * (0.254_829_592
            + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let tail = poly * (-x * x).exp();
    if x >= 0.0 { tail } else { 2.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansio::Rng;

    #[test]
    fn it_learns_a_distribution_and_its_residuals() {
        let mut rng = Rng::from_seed(5);
        let (mut talk, mut wrap) = (LifeTable::new(60.0, 1.0), LifeTable::new(10.0, 1.0));
        let draws: Vec<(f64, f64)> =
            (0..6_000).map(|_| (rng.lognormal(120.0, 1.0), rng.lognormal(20.0, 0.8))).collect();
        for &(t, w) in &draws {
            talk.lasted(t);
            wrap.lasted(w);
        }
        talk.refresh();
        wrap.refresh();
        assert!((talk.mean() - 120.0).abs() < 8.0, "{}", talk.mean());
        assert!((wrap.mean() - 20.0).abs() < 1.5, "{}", wrap.mean());
        let (mut one, mut two) = (Residual::default(), Residual::default());
        one.of_one(&wrap, 40.0);
        two.of_two(&talk, &wrap, 40.0);
        for e in [0.0, 30.0, 100.0, 300.0] {
            for x in [5.0, 15.0, 30.0] {
                let still: Vec<_> = draws.iter().filter(|(t, _)| *t > e).collect();
                let free = still.iter().filter(|(t, w)| t + w <= e + x).count();
                let share = free as f64 / still.len() as f64;
                let found = two.free(two.row(e), x);
                assert!((found - share).abs() < 0.03, "talk {e} {x}: {found} {share}");
            }
        }
        for (e, x) in [(0.0, 10.0), (10.0, 10.0), (30.0, 20.0)] {
            let still: Vec<_> = draws.iter().filter(|(_, w)| *w > e).collect();
            let share = still.iter().filter(|(_, w)| *w <= e + x).count() as f64 / still.len() as f64;
            assert!((one.free(one.row(e), x) - share).abs() < 0.04, "wrap {e} {x}");
        }
    }

    #[test]
    fn a_long_call_is_not_about_to_finish_when_tails_are_heavy() {
        let mut rng = Rng::from_seed(6);
        let mut talk = LifeTable::new(60.0, 1.0);
        for _ in 0..4_000 {
            talk.lasted(if rng.chance(0.7) { rng.exponential(20.0) } else { rng.exponential(600.0) });
        }
        talk.refresh();
        let mut table = Residual::default();
        table.of_one(&talk, 40.0);
        assert!(table.free(table.row(5.0), 15.0) > 0.3);
        assert!(table.free(table.row(400.0), 15.0) < 0.06);
    }

    #[test]
    fn nonsense_is_bounded() {
        let mut talk = LifeTable::new(60.0, 1.0);
        for value in [f64::NAN, f64::INFINITY, -5.0, 0.0, 1e300] {
            talk.lasted(value);
        }
        (0..50_000).for_each(|_| talk.lasted(30.0));
        talk.refresh();
        assert!(talk.is_sound() && talk.mean().is_finite());
        let mut table = Residual::default();
        table.of_one(&talk, 40.0);
        for e in [f64::NAN, -1.0, 1e9] {
            let p = table.free(table.row(e), 1e9);
            assert!((0.0..=1.0).contains(&p));
        }
        assert!((erfc(0.0) - 1.0).abs() < 1e-6 && (erfc(1.0) - 0.157_299).abs() < 1e-6);
        assert!((erfc(-1.0) - 1.842_701).abs() < 1e-6);
    }
}
