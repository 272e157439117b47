//! Person or machine, from what a greeting is like: a net of one hidden layer, learned from synthetic calls.
//!
//! The training voices, and how it is learned, are in `loadtests/src/ears`; the weights in `weights.rs` are whole
//! multiples of 1/[`UNIT`], and nothing but sums, products and comparisons is used, so that a greeting is judged the same
//! on every machine.

use super::greeting::FEATURES;
use super::weights::{ANSWER_WEIGHTS, HIDDEN, HIDDEN_WEIGHTS};

/// Weights are kept in this many parts of one.
pub const UNIT: f32 = 256.0;

/// The logarithm of how much likelier a machine is than a person.
#[must_use]
pub fn machine_log_odds(features: &[f32; FEATURES]) -> f32 {
    let mut answer = f32::from(ANSWER_WEIGHTS[HIDDEN]);
    for (unit, weight) in HIDDEN_WEIGHTS.iter().zip(ANSWER_WEIGHTS) {
        let bias = f32::from(unit[FEATURES]);
        let sum =
            features.iter().zip(unit).fold(bias, |sum, (feature, weight)| sum + feature * f32::from(*weight));
        answer += (sum / UNIT).max(0.0) * f32::from(weight);
    }
    answer / UNIT
}
