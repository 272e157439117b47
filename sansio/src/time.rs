//! Time as an argument.

use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A point on the monotonic clock: nanoseconds since the process (or the simulated world) started.
///
/// Never compared across processes and never stored; see [`WallTime`] for that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The start of the clock.
    pub const ZERO: Instant = Instant(0);
    /// Later than any deadline that is ever armed.
    pub const FAR_FUTURE: Instant = Instant(u64::MAX);

    /// From nanoseconds since the start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Instant(nanos)
    }

    /// From milliseconds since the start.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Instant(millis * 1_000_000)
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the start, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Seconds since the start.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Whole milliseconds from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub const fn millis_since(self, earlier: Instant) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000_000
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, by: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, by: Duration) {
        *self = *self + by;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, by: Duration) -> Instant {
        Instant(self.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}s", self.as_secs_f64())
    }
}

/// A point in civil time: milliseconds since 1970-01-01T00:00:00Z. Stored and shown; never used to wait.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(i64);

impl WallTime {
    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix_millis(millis: i64) -> Self {
        WallTime(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_millis(self) -> i64 {
        self.0
    }

    /// Milliseconds from `earlier` to `self`, negative if `earlier` is later.
    #[must_use]
    pub const fn millis_since(self, earlier: WallTime) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time plus `millis`.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> WallTime {
        WallTime(self.0.saturating_add(millis))
    }
}

/// Ties the monotonic clock to civil time. Re-made by the edge when the system's clock is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClockBase {
    /// The monotonic reading …
    pub instant: Instant,
    /// … that was taken at this civil time.
    pub wall: WallTime,
}

impl ClockBase {
    /// Civil time at `now`.
    #[must_use]
    pub fn wall_at(&self, now: Instant) -> WallTime {
        if now >= self.instant {
            self.wall.plus_millis(now.millis_since(self.instant) as i64)
        } else {
            self.wall.plus_millis(-(self.instant.millis_since(now) as i64))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_saturates_instead_of_wrapping() {
        assert_eq!(Instant::from_millis(1) - Duration::from_secs(1), Instant::ZERO);
        assert_eq!(Instant::FAR_FUTURE + Duration::from_secs(1), Instant::FAR_FUTURE);
        assert_eq!(Instant::ZERO.since(Instant::from_millis(5)), Duration::ZERO);
    }

    #[test]
    fn civil_time_follows_the_base_both_ways() {
        let base = ClockBase { instant: Instant::from_millis(500), wall: WallTime::from_unix_millis(10_000) };
        assert_eq!(base.wall_at(Instant::from_millis(700)).unix_millis(), 10_200);
        assert_eq!(base.wall_at(Instant::from_millis(100)).unix_millis(), 9_600);
    }
}
