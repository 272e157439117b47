//! The probability that a dial is answered by a person, followed through drift and jumps.

use serde::{Deserialize, Serialize};

const NODES: usize = 101;
const LOW: f64 = -6.0;
const STEP: f64 = 0.1;
/// Drift of logit p, variance per second: a steady list, one that moves by about 0.15 in five minutes, and one
/// that moves within a minute. Which of them fits is learned too.
const DRIFTS: [f64; 3] = [1e-6, 6e-5, 6e-4];
/// Jumps per second, to anywhere the prior allows.
const JUMPS: f64 = 1.0 / 10_000.0;
/// How fast the choice among drifts forgets, per observation.
const CHOICE_MEMORY: f64 = 0.9995;
/// Share of the prior mixed in at each observation.
const FLOOR: f64 = 1e-7;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn nodes() -> Vec<f64> {
    (0..NODES).map(|i| sigmoid(LOW + STEP * i as f64)).collect()
}

fn prior() -> Vec<f64> {
    // About 0.25, between 0.04 and 0.7 with 95 %.
    let mut weights: Vec<f64> =
        (0..NODES).map(|i| (-0.5 * (LOW + STEP * i as f64 + 1.1).powi(2)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    weights
}

/// Odds ratio of an offset on the logit scale.
fn odds(offset: f64) -> f64 {
    if offset.is_finite() { offset.clamp(-6.0, 6.0).exp() } else { 1.0 }
}

fn shifted(p: f64, odds: f64) -> f64 {
    p * odds / (1.0 - p + p * odds)
}

/// A grid filter on logit p: three drifts side by side, weighed by how well each has foretold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerRate {
    banks: Vec<Vec<f64>>,
    choice: [f64; 3],
    /// Answers and other ends seen, forgotten never.
    live: u64,
    trials: u64,
    #[serde(skip)]
    unspent_s: f64,
    #[serde(skip, default = "nodes")]
    nodes: Vec<f64>,
    #[serde(skip, default = "prior")]
    prior: Vec<f64>,
}

impl Default for AnswerRate {
    fn default() -> Self {
        AnswerRate {
            banks: vec![prior(); DRIFTS.len()],
            choice: [0.4, 0.5, 0.1],
            live: 0,
            trials: 0,
            unspent_s: 0.0,
            nodes: nodes(),
            prior: prior(),
        }
    }
}

impl AnswerRate {
    /// Believes in about `p` from now on, as firmly as before anything is seen; for a campaign that has not begun.
    pub fn expect(&mut self, p: f64) {
        let p = p.clamp(0.003, 0.95);
        let centre = (p / (1.0 - p)).ln();
        let mut weights: Vec<f64> =
            (0..NODES).map(|i| (-0.5 * ((LOW + STEP * i as f64 - centre) / 0.6).powi(2)).exp()).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        self.banks.iter_mut().for_each(|bank| bank.clone_from(&weights));
    }

    /// Live answers seen, ever.
    #[must_use]
    pub const fn live_seen(&self) -> u64 {
        self.live
    }

    /// Dials whose end was seen, ever.
    #[must_use]
    pub const fn trials_seen(&self) -> u64 {
        self.trials
    }

    /// True if the sketch is one this version can have written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.banks.len() == DRIFTS.len()
            && self.banks.iter().all(|bank| {
                bank.len() == NODES
                    && super::all_weights(bank)
                    && (bank.iter().sum::<f64>() - 1.0).abs() < 1e-3
            })
            && super::all_weights(&self.choice)
            && self.choice.iter().sum::<f64>() > 0.5
    }

    /// Lets `seconds` pass: the truth may have moved.
    pub fn elapse(&mut self, seconds: f64) {
        if !(seconds.is_finite() && seconds > 0.0) {
            return;
        }
        self.unspent_s += seconds;
        if self.unspent_s < 2.0 {
            return;
        }
        let whole = self.unspent_s;
        self.unspent_s = 0.0;
        for (bank, drift) in self.banks.iter_mut().zip(DRIFTS) {
            // Explicit diffusion is stable to a quarter per step; a long silence takes several, then saturates.
            let mut alpha = drift * whole / (2.0 * STEP * STEP);
            for _ in 0..20 {
                let part = alpha.min(0.25);
                diffuse(bank, part);
                alpha -= part;
                if alpha <= 0.0 {
                    break;
                }
            }
            let jump = (JUMPS * whole).min(0.5);
            for (weight, from) in bank.iter_mut().zip(&self.prior) {
                *weight += jump * (from - *weight);
            }
        }
    }

    /// A night has passed: as much doubt as a shift in logit p of about 0.25 warrants.
    pub fn overnight(&mut self) {
        for bank in &mut self.banks {
            for _ in 0..12 {
                diffuse(bank, 0.25);
            }
            for (weight, from) in bank.iter_mut().zip(&self.prior) {
                *weight += 0.03 * (from - *weight);
            }
        }
    }

    /// A dial was answered by a person. `offset`: what is known of this dial, on logit p.
    pub fn answered(&mut self, offset: f64) {
        self.live = self.live.saturating_add(1);
        self.trials = self.trials.saturating_add(1);
        let odds = odds(offset);
        self.update(|p| shifted(p, odds));
    }

    /// A dial ended otherwise.
    pub fn failed(&mut self, offset: f64) {
        self.trials = self.trials.saturating_add(1);
        let odds = odds(offset);
        self.update(|p| 1.0 - shifted(p, odds));
    }

    /// A dial was given up at an age by which the share `reached` (0..=1) of live answers would have come.
    pub fn censored(&mut self, reached: f64, offset: f64) {
        let reached = if reached.is_finite() { reached.clamp(0.0, 1.0) } else { 0.0 };
        let odds = odds(offset);
        self.update(|p| 1.0 - shifted(p, odds) * reached);
    }

    fn update(&mut self, likelihood: impl Fn(f64) -> f64) {
        let mut evidence = [0.0; 3];
        for (bank, evidence) in self.banks.iter_mut().zip(&mut evidence) {
            let mut sum = 0.0;
            for (weight, &p) in bank.iter_mut().zip(&self.nodes) {
                *weight *= likelihood(p);
                sum += *weight;
            }
            *evidence = sum;
            // A trace of the prior stays everywhere: no belief is ever beyond recall.
            let scale = (1.0 - FLOOR) / sum.max(1e-300);
            for (weight, from) in bank.iter_mut().zip(&self.prior) {
                *weight = *weight * scale + FLOOR * from;
            }
        }
        let mut total = 0.0;
        for (choice, evidence) in self.choice.iter_mut().zip(evidence) {
            *choice = choice.powf(CHOICE_MEMORY) * evidence.max(1e-9);
            total += *choice;
        }
        for choice in &mut self.choice {
            *choice = (*choice / total).max(0.01);
        }
        let total: f64 = self.choice.iter().sum();
        self.choice.iter_mut().for_each(|choice| *choice /= total);
    }

    /// Mean and standard deviation of logit p.
    #[must_use]
    pub fn logit(&self) -> (f64, f64) {
        let (mut mean, mut square) = (0.0, 0.0);
        for (bank, choice) in self.banks.iter().zip(self.choice) {
            for (i, weight) in bank.iter().enumerate() {
                let x = LOW + STEP * i as f64;
                mean += choice * weight * x;
                square += choice * weight * x * x;
            }
        }
        (mean, (square - mean * mean).max(1e-6).sqrt())
    }

    /// Three values of p with their weights that stand for what is believed: the mean of logit p, and √3 standard
    /// deviations to either side (Gauss–Hermite).
    #[must_use]
    pub fn spread(&self) -> [(f64, f64); 3] {
        self.spread_at(0.0, 0.0)
    }

    /// The same for a dial whose logit p is off the campaign's by `offset`, known with `variance`.
    #[must_use]
    pub fn spread_at(&self, offset: f64, variance: f64) -> [(f64, f64); 3] {
        let (mean, sd) = self.logit();
        spread_around(mean + offset, sd * sd + variance)
    }
}

/// Three values of p with their weights that stand for a logit of this mean and variance (Gauss–Hermite).
pub(in crate::pacing) fn spread_around(mean: f64, variance: f64) -> [(f64, f64); 3] {
    let side = (3.0 * variance.max(0.0)).sqrt();
    [(sigmoid(mean - side), 1.0 / 6.0), (sigmoid(mean), 2.0 / 3.0), (sigmoid(mean + side), 1.0 / 6.0)]
}

/// One step of diffusion with walls that keep the mass inside; `alpha` ≤ 0.25 to either side.
fn diffuse(bank: &mut [f64], alpha: f64) {
    let mut left = bank[0];
    for i in 0..bank.len() {
        let here = bank[i];
        let right = if i + 1 < bank.len() { bank[i + 1] } else { here };
        bank[i] = here + alpha * (left - 2.0 * here + right);
        left = here;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansio::Rng;

    fn p(rate: &AnswerRate) -> f64 {
        rate.spread().iter().map(|(p, weight)| p * weight).sum()
    }

    fn feed(rate: &mut AnswerRate, rng: &mut Rng, truth: f64, dials: u32, gap_s: f64) {
        for _ in 0..dials {
            rate.elapse(gap_s);
            if rng.chance(truth) { rate.answered(0.0) } else { rate.failed(0.0) }
        }
    }

    #[test]
    fn it_finds_the_rate_and_follows_a_jump() {
        let (mut squares, mut after_jump) = (0.0, 0.0);
        for seed in 0..10 {
            let mut rng = Rng::from_seed(seed);
            let mut rate = AnswerRate::default();
            feed(&mut rate, &mut rng, 0.25, 1_000, 1.0);
            squares += (p(&rate) - 0.25).powi(2);
            assert!(rate.logit().1 < 0.35);
            feed(&mut rate, &mut rng, 0.60, 120, 1.0);
            after_jump += p(&rate) / 10.0;
        }
        assert!((squares / 10.0).sqrt() < 0.04, "{squares}");
        assert!((after_jump - 0.60).abs() < 0.06, "{after_jump}");
    }

    #[test]
    fn silence_brings_doubt_back() {
        let mut rng = Rng::from_seed(4);
        let mut rate = AnswerRate::default();
        feed(&mut rate, &mut rng, 0.25, 600, 0.5);
        let before = rate.logit().1;
        rate.elapse(3_600.0);
        assert!(rate.logit().1 > before * 1.2);
        rate.overnight();
        rate.elapse(f64::NAN);
        rate.elapse(1e18);
        rate.censored(f64::NAN, f64::NAN);
        assert!(rate.is_sound());
    }

    #[test]
    fn extremes_stay_finite() {
        let mut rate = AnswerRate::default();
        for _ in 0..20_000 {
            rate.failed(0.0);
        }
        assert!(p(&rate) < 0.01 && rate.is_sound());
        for _ in 0..20_000 {
            rate.answered(0.0);
        }
        assert!(p(&rate) > 0.95 && rate.is_sound());
    }
}
