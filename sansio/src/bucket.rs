//! Calls per second.

use crate::Instant;
use core::time::Duration;

/// Share of a second's calls that may leave at one moment.
const BURST_SHARE: f64 = 0.05;

/// A token bucket made so that **no** second, wherever it begins, sees more than `cps` calls.
///
/// A bucket of size b refilled with r per second lets fewer than b + r + 1 calls into a half-open second, so
/// with r = cps − b + 1 a whole `cps` is never exceeded. The burst is small on purpose: orders wait for the
/// journal for a varying time, and evenly spaced calls stay evenly spaced on the wire.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CpsBucket {
    size: f64,
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl CpsBucket {
    /// A full bucket of `cps` calls per second.
    #[must_use]
    pub fn new(cps: f64, now: Instant) -> Self {
        let mut bucket = CpsBucket { size: 1.0, per_second: 1.0, tokens: 1.0, at: now };
        bucket.set(cps);
        bucket.tokens = bucket.size;
        bucket
    }

    /// An empty bucket: what left in the last second is not known.
    #[must_use]
    pub fn spent(cps: f64, now: Instant) -> Self {
        let mut bucket = CpsBucket::new(cps, now);
        bucket.tokens = 0.0;
        bucket
    }

    /// Changes the rate; what was saved up stays, up to the new burst.
    pub fn set(&mut self, cps: f64) {
        let cps = if cps.is_finite() { cps.max(1e-6) } else { 1.0 };
        self.size = (cps * BURST_SHARE).floor().max(1.0);
        self.per_second = cps - self.size + 1.0;
        self.tokens = self.tokens.min(self.size);
    }

    fn tokens_at(&self, now: Instant) -> f64 {
        (self.tokens + now.since(self.at).as_secs_f64() * self.per_second).min(self.size)
    }

    /// Calls that may leave now.
    #[must_use]
    pub fn allowance(&self, now: Instant) -> u32 {
        (self.tokens_at(now) + 1e-9) as u32
    }

    /// Takes one call; false if none may leave now.
    pub fn take(&mut self, now: Instant) -> bool {
        let tokens = self.tokens_at(now);
        if tokens + 1e-9 < 1.0 {
            return false;
        }
        self.tokens = (tokens - 1.0).max(0.0);
        self.at = now.max(self.at);
        true
    }

    /// Takes one call that leaves whether it may or not.
    pub fn spend(&mut self, now: Instant) {
        if !self.take(now) {
            self.tokens = 0.0;
            self.at = now.max(self.at);
        }
    }

    /// When the next call may leave.
    #[must_use]
    pub fn next_at(&self, now: Instant) -> Instant {
        let missing = 1.0 - self.tokens_at(now);
        if missing <= 0.0 { now } else { now + Duration::from_secs_f64((missing / self.per_second).min(1e6)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes whatever may be taken at every millisecond and looks at every window of one second.
    #[test]
    fn no_second_sees_more_than_the_limit() {
        for cps in [1.0, 2.0, 10.0, 30.0, 200.0, 1000.0] {
            let mut bucket = CpsBucket::new(cps, Instant::ZERO);
            let mut taken: Vec<u64> = Vec::new();
            for ms in 0..4000 {
                while bucket.take(Instant::from_millis(ms)) {
                    taken.push(ms);
                }
            }
            for from in 0..3000 {
                let within = taken.iter().filter(|at| (from..from + 1000).contains(*at)).count();
                assert!(within as f64 <= cps, "{within} calls in one second at a limit of {cps}");
            }
            assert!(taken.len() as f64 >= 4.0 * cps * 0.9, "{} calls in 4 s at {cps}", taken.len());
        }
    }

    #[test]
    fn an_empty_bucket_lets_nothing_through_at_first() {
        let mut bucket = CpsBucket::spent(1.0, Instant::ZERO);
        assert!(!bucket.take(Instant::from_millis(999)));
        assert!(bucket.take(Instant::from_millis(1000)));
        bucket.spend(Instant::from_millis(1500));
        assert_eq!(bucket.next_at(Instant::from_millis(1500)), Instant::from_millis(2500));
    }

    #[test]
    fn a_fraction_of_a_call_per_second_works() {
        let mut bucket = CpsBucket::new(0.5, Instant::ZERO);
        assert!(bucket.take(Instant::ZERO));
        assert_eq!(bucket.next_at(Instant::ZERO), Instant::from_millis(2000));
        assert!(!bucket.take(Instant::from_millis(1999)));
        assert!(bucket.take(Instant::from_millis(2000)));
    }
}
