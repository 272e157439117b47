//! Calls per second.

use crate::Instant;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

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

/// A [`CpsBucket`] that several machines on several threads take from: the calls of one trunk, whichever shard makes
/// them. No lock: the whole state is one number, the moment at which the bucket will be full again.
///
/// All who share it must mean the same clock by `now`.
#[derive(Clone, Debug)]
pub struct SharedPace(Arc<Pace>);

#[derive(Debug)]
struct Pace {
    /// When the bucket is full if nothing more is taken, nanoseconds.
    full_at_ns: AtomicU64,
    /// Between two calls when it is empty, nanoseconds.
    per_call_ns: AtomicU64,
    /// Of a full bucket all but the last call, nanoseconds.
    burst_ns: AtomicU64,
    /// No call is wanted until then, nanoseconds.
    rests_until_ns: AtomicU64,
    /// Calls under way, of each who shares it.
    under_way: [AtomicU32; SHARERS_MAX],
}

/// So many may share a [`SharedPace`].
pub const SHARERS_MAX: usize = 64;

impl PartialEq for SharedPace {
    /// Two are equal when they are the same bucket.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl SharedPace {
    /// A full bucket of `cps` calls per second.
    #[must_use]
    pub fn new(cps: f64) -> Self {
        let pace = Pace {
            full_at_ns: AtomicU64::new(0),
            per_call_ns: AtomicU64::new(0),
            burst_ns: AtomicU64::new(0),
            rests_until_ns: AtomicU64::new(0),
            under_way: [const { AtomicU32::new(0) }; SHARERS_MAX],
        };
        let pace = SharedPace(Arc::new(pace));
        pace.set(cps);
        pace
    }

    /// An empty one.
    #[must_use]
    pub fn spent(cps: f64, now: Instant) -> Self {
        let pace = SharedPace::new(cps);
        let (per_call_ns, burst_ns) = pace.shape();
        pace.0.full_at_ns.store(now.as_nanos() + burst_ns + per_call_ns, Ordering::Relaxed);
        pace
    }

    /// Changes the rate, for all who share it; what was saved up stays, up to the new burst.
    pub fn set(&self, cps: f64) {
        let bucket = CpsBucket::new(cps, Instant::ZERO);
        let per_call_ns = 1e9 / bucket.per_second;
        self.0.per_call_ns.store(per_call_ns.min(1e18) as u64, Ordering::Relaxed);
        self.0.burst_ns.store(((bucket.size - 1.0) * per_call_ns).min(1e18) as u64, Ordering::Relaxed);
    }

    fn shape(&self) -> (u64, u64) {
        (self.0.per_call_ns.load(Ordering::Relaxed), self.0.burst_ns.load(Ordering::Relaxed))
    }

    /// Whether a call may leave now.
    #[must_use]
    pub fn allows(&self, now: Instant) -> bool {
        self.next_at(now) <= now
    }

    /// Takes one call; false if none may leave now.
    #[must_use]
    pub fn take(&self, now: Instant) -> bool {
        let (per_call_ns, burst_ns) = self.shape();
        let at = now.as_nanos();
        let take = |full_at: u64| {
            (full_at <= at.saturating_add(burst_ns)).then(|| full_at.max(at).saturating_add(per_call_ns))
        };
        self.0.full_at_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Takes one call that leaves whether it may or not: those after it wait for longer.
    pub fn spend(&self, now: Instant) {
        let (per_call_ns, _) = self.shape();
        let at = now.as_nanos();
        let spend = |full_at: u64| Some(full_at.max(at).saturating_add(per_call_ns));
        let _ = self.0.full_at_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
    }

    /// So many calls of this sharer (0 to [`SHARERS_MAX`] − 1) are under way. Each tells of its own alone: one that begins anew
    /// takes nothing of the others'.
    pub fn set_under_way(&self, sharer: usize, calls: u32) {
        if let Some(own) = self.0.under_way.get(sharer) {
            own.store(calls, Ordering::Relaxed);
        }
    }

    /// Calls under way of all who share it.
    #[must_use]
    pub fn under_way(&self) -> u32 {
        self.0.under_way.iter().map(|calls| calls.load(Ordering::Relaxed)).fold(0, u32::saturating_add)
    }

    /// Until when no call is wanted; whoever takes one is to look. In the past when there is no rest.
    #[must_use]
    pub fn rests_until(&self) -> Instant {
        Instant::from_nanos(self.0.rests_until_ns.load(Ordering::Relaxed))
    }

    /// No call is wanted until then, or until what was asked for before if that is later. Gives what was asked for before:
    /// among several who hear of a rest, the one whose word begins it is told so by a moment that is over.
    pub fn rest(&self, until: Instant) -> Instant {
        Instant::from_nanos(self.0.rests_until_ns.fetch_max(until.as_nanos(), Ordering::Relaxed))
    }

    /// Ends a rest that is over; false while it goes on, as when someone has made it longer meanwhile.
    #[must_use]
    pub fn end_rest(&self, now: Instant) -> bool {
        let over = |until: u64| (until <= now.as_nanos()).then_some(0);
        self.0.rests_until_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, over).is_ok()
    }

    /// When the next call may leave.
    #[must_use]
    pub fn next_at(&self, now: Instant) -> Instant {
        let (_, burst_ns) = self.shape();
        let at = self.0.full_at_ns.load(Ordering::Relaxed).saturating_sub(burst_ns);
        now.max(Instant::from_nanos(at))
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

    /// Several who take from one bucket get together what one would.
    #[test]
    fn a_shared_pace_is_kept_by_all_together() {
        for cps in [0.5, 1.0, 2.0, 30.0, 200.0, 1000.0] {
            let first = SharedPace::new(cps);
            let shards = [first.clone(), first.clone(), first.clone()];
            let mut alone = CpsBucket::new(cps, Instant::ZERO);
            let (mut taken, mut expected) = (Vec::new(), 0_u32);
            for ms in 0..5000_u64 {
                let now = Instant::from_millis(ms);
                for shard in &shards {
                    while shard.take(now) {
                        taken.push(ms);
                    }
                    assert!(!shard.allows(now) && shard.next_at(now) > now);
                }
                while alone.take(now) {
                    expected += 1;
                }
            }
            for from in 0..4000 {
                let within = taken.iter().filter(|at| (from..from + 1000).contains(*at)).count();
                assert!(within as f64 <= cps.max(1.0), "{within} calls in one second at a limit of {cps}");
            }
            assert!(
                (i64::from(expected) - taken.len() as i64).abs() <= 1,
                "{cps}: {} {expected}",
                taken.len()
            );
        }
    }

    #[test]
    fn a_shared_pace_can_be_spent_changed_and_begun_empty() {
        let at = Instant::from_millis;
        let pace = SharedPace::spent(1.0, at(0));
        assert!(!pace.take(at(999)));
        assert!(pace.take(at(1000)));
        pace.spend(at(1500));
        assert_eq!(pace.next_at(at(1500)), at(3000), "what was not there is owed");
        pace.set(10.0);
        assert!(!pace.take(at(2999)));
        assert!(pace.take(at(3000)) && !pace.take(at(3099)) && pace.take(at(3100)));
        assert_eq!(pace, pace.clone());
        assert_ne!(pace, SharedPace::new(10.0));
    }

    #[test]
    fn a_rest_is_for_all_and_the_longest_counts() {
        let at = Instant::from_millis;
        let pace = SharedPace::new(10.0);
        let other = pace.clone();
        assert_eq!(pace.rests_until(), Instant::ZERO);
        assert_eq!(pace.rest(at(10)), Instant::ZERO, "it begins");
        assert_eq!(other.rest(at(20)), at(10), "it goes on");
        assert_eq!(other.rest(at(15)), at(20));
        assert_eq!(pace.rests_until(), at(20));
        assert!(!pace.end_rest(at(19)) && pace.end_rest(at(20)));
        assert_eq!(other.rest(at(30)), Instant::ZERO, "another one begins");
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "what is shared between threads is tried with threads")]
    fn threads_take_no_more_than_there_is() {
        let pace = SharedPace::new(20_000.0);
        let taken: usize = std::thread::scope(|scope| {
            let one = || (0..5000).filter(|_| pace.take(Instant::from_millis(7))).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().expect("it counts")).sum()
        });
        assert_eq!(taken, 1000, "a twentieth of a second's worth at one moment");
    }
}
