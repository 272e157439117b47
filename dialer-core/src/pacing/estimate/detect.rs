//! Calls that were picked up and are listened to: how many are people, and when the verdict comes.

use serde::{Deserialize, Serialize};

const BIN_S: f64 = 0.1;
const BINS: usize = 100;
/// Verdicts that are remembered, about.
const MEMORY: f64 = 1_000.0;

/// Share of people among those who pick up, and the delay from there to the verdict, forgetting slowly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    people: f64,
    machines: f64,
    delays: Vec<f64>,
}

impl Default for Detection {
    fn default() -> Self {
        // Before anything is seen: people and machines alike, a verdict within four seconds.
        let delays = (0..BINS).map(|bin| if bin < 40 { 0.1 } else { 0.0 }).collect();
        Detection { people: 1.0, machines: 1.0, delays }
    }
}

impl Detection {
    /// A verdict came `after_s` seconds after the far end picked up.
    pub fn decided(&mut self, after_s: f64, person: bool) {
        const KEEP: f64 = 1.0 - 1.0 / MEMORY;
        self.people = self.people * KEEP + f64::from(u8::from(person));
        self.machines = self.machines * KEEP + f64::from(u8::from(!person));
        if after_s.is_finite() {
            let bin = ((after_s.max(0.0) / BIN_S) as usize).min(BINS - 1);
            self.delays.iter_mut().for_each(|weight| *weight *= KEEP);
            self.delays[bin] += 1.0;
        }
    }

    /// P(the verdict "a person" comes within `within_s`), for a call that has been listened to for `age_s` already.
    #[must_use]
    pub fn person_within(&self, age_s: f64, within_s: f64) -> f64 {
        let share = self.people / (self.people + self.machines);
        let (age, until) = (self.by(age_s), self.by(age_s.max(0.0) + within_s.max(0.0)));
        if age > 1.0 - 1e-6 {
            return share; // Later than ever seen: any moment now.
        }
        share * ((until - age) / (1.0 - age)).clamp(0.0, 1.0)
    }

    /// Share of verdicts that have come by `age_s`.
    fn by(&self, age_s: f64) -> f64 {
        let place = if age_s > 0.0 { (age_s / BIN_S).min(BINS as f64) } else { 0.0 };
        let whole = place as usize;
        let sum: f64 = self.delays.iter().sum();
        let before: f64 = self.delays[..whole].iter().sum();
        let part = self.delays.get(whole).map_or(0.0, |weight| weight * (place - whole as f64));
        ((before + part) / sum.max(1e-12)).clamp(0.0, 1.0)
    }

    /// True if the sketch is one this version can have written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.delays.len() == BINS
            && super::all_weights(&self.delays)
            && self.delays.iter().sum::<f64>() > 0.0
            && super::all_weights(&[self.people, self.machines])
            && self.people + self.machines > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_listened_to_is_likelier_a_person_than_a_ringing_one_and_decided_soon() {
        let mut detection = Detection::default();
        for number in 0..2_000 {
            detection.decided(1.5 + 0.001 * f64::from(number % 100), number % 4 != 0);
        }
        assert!((detection.person_within(0.0, 3.0) - 0.75).abs() < 0.02);
        assert!(detection.person_within(0.0, 1.0) < 0.05);
        assert!(detection.person_within(1.4, 0.5) > 0.7);
        assert!((detection.person_within(1e9, 1.0) - 0.75).abs() < 0.02);
        detection.decided(f64::NAN, true);
        detection.decided(-3.0, true);
        detection.decided(f64::INFINITY, false);
        assert!((0.0..=1.0).contains(&detection.person_within(f64::NAN, f64::NAN)) && detection.is_sound());
    }
}
