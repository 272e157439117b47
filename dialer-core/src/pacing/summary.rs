//! What was learned of a campaign, for people to look at.

use super::predictive::Learned;
use serde::{Deserialize, Serialize};

/// The distributions a campaign's forecasts rest on, in a few numbers.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Believed probability that a dial is answered by a person …
    pub p_answer: f64,
    /// … and one standard deviation of that belief.
    pub p_answer_sd: f64,
    /// Live answers it rests on.
    pub answers_seen: u64,
    /// Seconds from dialling to a live answer: the 10th, 50th and 90th percentile.
    pub answer_time_s: [f64; 3],
    /// Mean conversation, seconds.
    pub talk_s: f64,
    /// Conversations it rests on.
    pub talks_seen: u64,
    /// Share of conversations that last longer than one, two and five minutes.
    pub talk_longer: [f64; 3],
    /// Mean after-call work, seconds.
    pub wrap_up_s: f64,
    /// After-call works it rests on.
    pub wrap_ups_seen: u64,
}

impl Learned {
    pub(super) fn summary(&self) -> Summary {
        let spread = self.answer.spread();
        let mean: f64 = spread.iter().map(|(p, weight)| p * weight).sum();
        let variance: f64 = spread.iter().map(|(p, weight)| weight * (p - mean).powi(2)).sum();
        Summary {
            p_answer: mean,
            p_answer_sd: variance.sqrt(),
            answers_seen: self.answer.live_seen(),
            answer_time_s: [0.1, 0.5, 0.9].map(|u| self.ring.live_quantile(u)),
            talk_s: self.talk.mean(),
            talks_seen: self.talk.seen(),
            talk_longer: [60.0, 120.0, 300.0].map(|seconds| self.talk.survives(seconds)),
            wrap_up_s: self.wrap_up.mean(),
            wrap_ups_seen: self.wrap_up.seen(),
        }
    }
}
