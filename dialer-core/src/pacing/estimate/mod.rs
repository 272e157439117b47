//! What is learned from events: answer probability, time to answer, talk and wrap-up, agents' speed.
//!
//! Each estimator forgets slowly, starts from a stated prior, and serialises as a small sketch that holds no
//! point in time, so that it survives a restart.

mod answer;
mod detect;
mod life;
mod ring;
mod speed;
mod traits;

pub use answer::AnswerRate;
pub(in crate::pacing) use answer::spread_around;
pub use detect::Detection;
pub use life::{LifeTable, Residual};
pub use ring::RingTimes;
pub use speed::Speeds;
pub use traits::TraitOffsets;

/// True if every number is finite and not negative.
fn all_weights(values: &[f64]) -> bool {
    values.iter().all(|value| value.is_finite() && *value >= 0.0)
}
