//! How long a dial takes to end: F, given a live answer, and G, given anything else.

use serde::{Deserialize, Serialize};

const BIN_S: f64 = 0.5;
const BINS: usize = 240;
/// Observations that are remembered, about.
const MEMORY: f64 = 2_000.0;

/// Histograms by half a second up to two minutes, from a prior, forgetting slowly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RingTimes {
    live: Vec<f64>,
    other: Vec<f64>,
    /// Weight of the next observation; grows instead of shrinking all others.
    live_next: f64,
    other_next: f64,
    #[serde(skip)]
    live_cdf: Vec<f64>,
    #[serde(skip)]
    other_cdf: Vec<f64>,
    #[serde(skip)]
    stale: u32,
}

impl Default for RingTimes {
    fn default() -> Self {
        // Live answers between 3 and 25 s; of the rest a third within 6 s (busy, tones), the others at about 25 s.
        let share = |low: f64, high: f64, weight: f64| {
            move |i: usize| {
                let at = (i as f64 + 0.5) * BIN_S;
                if at > low && at < high { weight * BIN_S / (high - low) } else { 0.0 }
            }
        };
        let (answers, quick, late) = (share(3.0, 25.0, 6.0), share(1.0, 6.0, 1.3), share(15.0, 30.0, 2.7));
        RingTimes {
            live: (0..BINS).map(answers).collect(),
            other: (0..BINS).map(|i| quick(i) + late(i)).collect(),
            live_next: 1.0,
            other_next: 1.0,
            live_cdf: Vec::new(),
            other_cdf: Vec::new(),
            stale: 0,
        }
    }
}

impl RingTimes {
    /// A live answer `after_s` seconds after dialling.
    pub fn answered(&mut self, after_s: f64) {
        add(&mut self.live, &mut self.live_next, after_s);
        self.stale += 1;
    }

    /// Any other end but giving up.
    pub fn ended(&mut self, after_s: f64) {
        add(&mut self.other, &mut self.other_next, after_s);
        self.stale += 1;
    }

    /// True if the sketch is one this version can have written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let sound = |bins: &[f64], next: f64| {
            bins.len() == BINS
                && super::all_weights(bins)
                && bins.iter().sum::<f64>() > 0.0
                && (1.0..1e9).contains(&next)
        };
        sound(&self.live, self.live_next) && sound(&self.other, self.other_next)
    }

    /// Brings the distributions up to date if more than a few observations are new.
    pub fn refresh(&mut self) {
        let due = (self.live_next.ln() * MEMORY * 0.02).clamp(0.0, 15.0) as u32;
        if self.live_cdf.is_empty() || self.stale > due {
            cumulate(&self.live, &mut self.live_cdf);
            cumulate(&self.other, &mut self.other_cdf);
            self.stale = 0;
        }
    }

    /// F: share of live answers that have come by `age_s`. Call [`RingTimes::refresh`] first.
    #[must_use]
    pub fn live_by(&self, age_s: f64) -> f64 {
        at(&self.live_cdf, age_s)
    }

    /// G: share of other ends that have come by `age_s`.
    #[must_use]
    pub fn other_by(&self, age_s: f64) -> f64 {
        at(&self.other_cdf, age_s)
    }

    /// The age by which the share `u` of live answers has come, seconds.
    #[must_use]
    pub fn live_quantile(&self, u: f64) -> f64 {
        let u = u.clamp(0.0, 1.0);
        let index = self.live_cdf.partition_point(|&share| share < u).clamp(1, BINS);
        let (low, high) = (self.live_cdf[index - 1], self.live_cdf[index]);
        let part = if high > low { ((u - low) / (high - low)).clamp(0.0, 1.0) } else { 1.0 };
        (index as f64 - 1.0 + part) * BIN_S
    }
}

fn add(bins: &mut [f64], next: &mut f64, after_s: f64) {
    let after_s = if after_s.is_finite() { after_s.max(0.0) } else { return };
    let index = ((after_s / BIN_S) as usize).min(BINS - 1);
    bins[index] += *next;
    *next *= 1.0 + 1.0 / MEMORY;
    if *next > 1e6 {
        bins.iter_mut().for_each(|bin| *bin /= *next);
        *next = 1.0;
    }
}

fn cumulate(bins: &[f64], cdf: &mut Vec<f64>) {
    let scale = 1.0 / bins.iter().sum::<f64>();
    cdf.clear();
    cdf.push(0.0);
    let mut sum = 0.0;
    cdf.extend(bins.iter().map(|bin| {
        sum += bin;
        (sum * scale).min(1.0)
    }));
}

fn at(cdf: &[f64], age_s: f64) -> f64 {
    let place = age_s / BIN_S;
    if place.is_nan() || place <= 0.0 {
        return 0.0;
    }
    let index = place as usize;
    if index >= BINS {
        return 1.0;
    }
    cdf[index] + (cdf[index + 1] - cdf[index]) * (place - index as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_learns_and_inverts() {
        let mut ring = RingTimes::default();
        for i in 0..1_000 {
            ring.answered(5.0 + f64::from(i % 50) * 0.1);
            ring.ended(25.0);
        }
        ring.ended(f64::INFINITY);
        ring.ended(-3.0);
        ring.refresh();
        assert!(ring.live_by(5.0) < 0.02 && ring.live_by(10.0) > 0.97);
        assert!(ring.other_by(24.0) < 0.02 && ring.other_by(26.0) > 0.98);
        for u in [0.1, 0.5, 0.9] {
            assert!((ring.live_by(ring.live_quantile(u)) - u).abs() < 1e-9);
        }
        assert_eq!(ring.live_by(f64::NAN), 0.0);
        assert_eq!(ring.live_by(1e30), 1.0);
        assert!(ring.is_sound());
    }

    #[test]
    fn old_answers_fade() {
        let mut ring = RingTimes::default();
        (0..20_000).for_each(|_| ring.answered(20.0));
        (0..6_000).for_each(|_| ring.answered(5.0));
        ring.refresh();
        assert!(ring.live_by(10.0) > 0.9);
        assert!(ring.is_sound());
    }
}
