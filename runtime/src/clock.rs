//! The one clock of the process.

use sansio::time::ClockBase;
use sansio::{Instant, WallTime};
use std::time::{SystemTime, UNIX_EPOCH};

/// Reads the monotonic and the civil clock. Copies read the same monotonic zero.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
}

impl Clock {
    /// Starts the monotonic clock at zero.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "starting a clock is an act, not a default value")]
    pub fn new() -> Self {
        Clock { start: std::time::Instant::now() }
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Civil time.
    #[must_use]
    pub fn wall(&self) -> WallTime {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        WallTime::from_unix_millis(millis)
    }

    /// Both together, for machines that must show civil time.
    #[must_use]
    pub fn base(&self) -> ClockBase {
        ClockBase { instant: self.now(), wall: self.wall() }
    }

    /// The tokio clock's reading for `at`, to sleep until then.
    #[must_use]
    pub fn to_tokio(&self, at: Instant) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + std::time::Duration::from_nanos(at.as_nanos()))
    }
}
