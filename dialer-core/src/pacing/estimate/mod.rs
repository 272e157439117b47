//! What is learned from events: answer probability, time to answer, talk and wrap-up, agents' speed.
//!
//! Each estimator forgets slowly, starts from a stated prior, and serialises as a small sketch that holds no
//! point in time, so that it survives a restart.

mod answer;
mod life;
mod ring;
mod speed;

pub use answer::AnswerRate;
pub use life::{LifeTable, Residual};
pub use ring::RingTimes;
pub use speed::Speeds;

/// True if every number is finite and not negative.
fn all_weights(values: &[f64]) -> bool {
    values.iter().all(|value| value.is_finite() && *value >= 0.0)
}
