//! How long the turns of a loop take, and other things that one thread does often.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds, microseconds; beyond the last is one place more.
pub const TURN_BOUNDS_US: [u64; 10] = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000];

/// Turns of one loop, or other things that take time, counted by their length. One thread writes, any may look.
#[derive(Debug)]
pub struct TurnTimes {
    bounds_us: [u64; TURN_BOUNDS_US.len()],
    longest_ns: AtomicU64,
    sum_ns: AtomicU64,
    counts: [AtomicU64; TURN_BOUNDS_US.len() + 1],
}

impl Default for TurnTimes {
    fn default() -> Self {
        TurnTimes::by(TURN_BOUNDS_US)
    }
}

impl TurnTimes {
    /// Nothing yet, counted by these upper bounds, microseconds, ascending.
    #[must_use]
    pub fn by(bounds_us: [u64; TURN_BOUNDS_US.len()]) -> Self {
        TurnTimes {
            bounds_us,
            longest_ns: AtomicU64::default(),
            sum_ns: AtomicU64::default(),
            counts: Default::default(),
        }
    }

    /// A turn has taken this long.
    pub fn note(&self, ns: u64) {
        let place =
            self.bounds_us.iter().position(|bound| ns <= bound * 1_000).unwrap_or(self.bounds_us.len());
        // There is one writer: nothing is lost between load and store, and no lock is taken.
        let add = |counter: &AtomicU64, more| {
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
        };
        add(&self.counts[place], 1);
        add(&self.sum_ns, ns);
        if ns > self.longest_ns.load(Ordering::Relaxed) {
            self.longest_ns.store(ns, Ordering::Relaxed);
        }
    }

    /// The longest turn since the last call, nanoseconds.
    pub fn take_longest_ns(&self) -> u64 {
        self.longest_ns.swap(0, Ordering::Relaxed)
    }

    /// Turns by their bounds ([`TURN_BOUNDS_US`] by default), not cumulated, and the nanoseconds of all together.
    #[must_use]
    pub fn counts(&self) -> ([u64; TURN_BOUNDS_US.len() + 1], u64) {
        (
            core::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed)),
            self.sum_ns.load(Ordering::Relaxed),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_counted_on_both_sides_of_a_bound() {
        let turns = TurnTimes::default();
        for ns in [0, 50_000, 50_001, 250_000_000, 250_000_001] {
            turns.note(ns);
        }
        let (counts, sum) = turns.counts();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(sum, 500_100_002);
        assert_eq!((turns.take_longest_ns(), turns.take_longest_ns()), (250_000_001, 0));
    }
}
