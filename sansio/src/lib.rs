//! The common grammar of the quiet rooms.
//!
//! A quiet room computes: time, randomness and input come in as arguments, effects go out through an
//! [`Outbox`]. Nothing here (or in a room that uses only this) touches a clock, a socket, a file or a thread.
//! A thing enters this crate only if at least three rooms need it.

pub mod bucket;
pub mod deadlines;
pub mod key;
pub mod machine;
pub mod outbox;
pub mod pii;
pub mod rng;
pub mod time;

pub use bucket::{CpsBucket, SharedPace};
pub use deadlines::{Deadlines, TimerKey};
pub use key::{Key, Slab};
pub use machine::Machine;
pub use outbox::Outbox;
pub use pii::Pii;
pub use rng::Rng;
pub use time::{Instant, WallTime};

pub use core::time::Duration;
