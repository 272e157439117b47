//! Targets that have failed, as all shards know them: what a call on one shard found out spares the next call the wait,
//! whichever shard it is on.
//!
//! A table of atomic numbers and no lock. It is read when a target is chosen and written when one fails or comes back,
//! never on the path of a message. A target has a few places where it can stand; when they are taken, the one whose time
//! ends first makes room. Two shards may put the same target into two places at the same moment: the later end counts.

use core::net::IpAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use sansio::Instant;

use super::Target;
use super::loads::Loads;

/// A target that has failed is passed over for so long, doubled by each further failure …
const PASSED_OVER_MIN: Duration = Duration::from_secs(30);
/// … up to this.
const PASSED_OVER_MAX: Duration = Duration::from_secs(600);
/// Failed targets remembered.
const FAILED_MAX: usize = 1024;
/// Places in which a target can stand.
const WAYS: usize = 8;
/// Further failures count no more.
const TIMES_MAX: u64 = 16;
/// Bits of [`Place::state`] for how often it has failed; those above are when its time ends, milliseconds.
const TIMES_BITS: u32 = 8;

/// Targets that have failed. Copies of it are the same table; all who share it must mean the same clock by `now`.
#[derive(Debug, Clone)]
pub struct Failures {
    places: Arc<[Place]>,
    /// What is known of loads goes the same way.
    loads: Loads,
}

#[derive(Debug, Default)]
struct Place {
    /// Which target, see [`key_of`]; 0 for none.
    key: AtomicU64,
    /// When its time ends and how often it has failed.
    state: AtomicU64,
}

impl Default for Failures {
    fn default() -> Self {
        let places = (0..FAILED_MAX).map(|_| Place::default()).collect();
        Failures { places, loads: Loads::default() }
    }
}

impl Failures {
    /// What targets have asked for, and how busy the shards are.
    pub(crate) fn loads(&self) -> &Loads {
        &self.loads
    }

    /// A target did not answer, refused the connection, or said 503 (with `retry_after`).
    pub(super) fn add(&self, now: Instant, target: &Target, retry_after: Option<Duration>) {
        let place = self.place_for(target);
        let fail = |state: u64| {
            let times = state & ((1 << TIMES_BITS) - 1);
            let doubled = PASSED_OVER_MIN.saturating_mul(1 << times).min(PASSED_OVER_MAX);
            let wait = retry_after.map_or(doubled, |wait| wait.min(PASSED_OVER_MAX));
            Some(state_of(now + wait, (times + 1).min(TIMES_MAX)))
        };
        let _ = place.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fail);
    }

    /// A target has answered.
    pub(super) fn remove(&self, target: &Target) {
        let key = key_of(target);
        for place in self.places_of(key) {
            let gone = place.key.compare_exchange(key, 0, Ordering::Relaxed, Ordering::Relaxed);
            if gone.is_ok() {
                place.state.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Until when a target is passed over; `None` when it is not.
    pub(super) fn passed_over(&self, now: Instant, target: &Target) -> Option<Instant> {
        let key = key_of(target);
        let known = self.places_of(key).iter().filter(|place| place.key.load(Ordering::Relaxed) == key);
        known.map(Place::until).max().filter(|until| now < *until)
    }

    /// Targets passed over now.
    pub(super) fn count(&self, now: Instant) -> usize {
        self.places.iter().filter(|place| now < place.until()).count()
    }

    fn places_of(&self, key: u64) -> &[Place] {
        let first = (key >> 32) as usize % (FAILED_MAX / WAYS) * WAYS;
        &self.places[first..first + WAYS]
    }

    /// Where a target stands; a place is made for it when it does not.
    fn place_for(&self, target: &Target) -> &Place {
        let key = key_of(target);
        let places = self.places_of(key);
        loop {
            if let Some(known) = places.iter().find(|place| place.key.load(Ordering::Relaxed) == key) {
                return known;
            }
            // Who stands there is read once: what is replaced is what was chosen to make room.
            let stands = places.iter().map(|place| (place, place.key.load(Ordering::Relaxed)));
            let (place, old) =
                stands.min_by_key(|(place, old)| (*old != 0, place.until())).expect("a target has places");
            // Another shard may take it meanwhile, perhaps for the same target.
            if place.key.compare_exchange(old, key, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                place.state.store(0, Ordering::Relaxed);
                return place;
            }
        }
    }
}

impl Place {
    fn until(&self) -> Instant {
        Instant::from_millis(self.state.load(Ordering::Relaxed) >> TIMES_BITS)
    }
}

fn state_of(until: Instant, times: u64) -> u64 {
    until.as_nanos().div_ceil(1_000_000) << TIMES_BITS | times
}

/// A number for each target: exact for IPv4, hashed for IPv6 (should two ever meet, both are passed over). Never 0.
fn key_of(target: &Target) -> u64 {
    let way = u64::from(target.address.port()) << 8 | (target.transport as u64 + 1);
    let key = match target.address.ip().to_canonical() {
        IpAddr::V4(ip) => mix(u64::from(ip.to_bits()) << 24 | way),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            mix(mix(mix((bits >> 64) as u64) ^ bits as u64) ^ way)
        }
    };
    key.max(1)
}

/// The last step of SplitMix64 (Steele, Lea, Flood 2014); no two numbers give the same.
pub(super) fn mix(mut word: u64) -> u64 {
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Transport;

    fn target(n: u32) -> Target {
        let ip = IpAddr::from(n.to_be_bytes());
        Target { transport: Transport::Udp, address: (ip, 5060).into() }
    }

    #[test]
    fn all_who_share_it_know_at_once() {
        let at = Instant::from_millis;
        let one = Failures::default();
        let other = one.clone();
        one.add(at(0), &target(1), None);
        assert_eq!(other.passed_over(at(29_999), &target(1)), Some(at(30_000)));
        assert_eq!(other.passed_over(at(30_000), &target(1)), None);
        // The other's failure is the second.
        other.add(at(40_000), &target(1), None);
        assert_eq!(one.passed_over(at(99_999), &target(1)), Some(at(100_000)));
        assert_eq!((one.count(at(99_999)), one.count(at(100_000))), (1, 0));
        one.remove(&target(1));
        assert_eq!(other.passed_over(at(41_000), &target(1)), None);
        other.add(at(50_000), &target(1), Some(Duration::from_secs(5)));
        assert_eq!(one.passed_over(at(50_000), &target(1)), Some(at(55_000)));
        assert_eq!(Failures::default().count(at(50_000)), 0, "another table knows nothing");
    }

    #[test]
    fn the_time_grows_up_to_a_bound() {
        let failures = Failures::default();
        for _ in 0..100 {
            failures.add(Instant::ZERO, &target(1), None);
        }
        assert_eq!(failures.passed_over(Instant::ZERO, &target(1)), Some(Instant::from_millis(600_000)));
        failures.add(Instant::ZERO, &target(1), Some(Duration::MAX));
        assert_eq!(failures.passed_over(Instant::ZERO, &target(1)), Some(Instant::from_millis(600_000)));
    }

    /// Address, port and transport tell targets from each other.
    #[test]
    fn only_the_one_that_failed_is_passed_over() {
        let one = |transport, address: &str| Target { transport, address: address.parse().expect("one") };
        let targets = [
            one(Transport::Udp, "192.0.2.1:5060"),
            one(Transport::Tcp, "192.0.2.1:5060"),
            one(Transport::Udp, "192.0.2.1:5061"),
            one(Transport::Udp, "192.0.2.2:5060"),
            one(Transport::Udp, "[2001:db8::1]:5060"),
            one(Transport::Udp, "[2001:db8::2]:5060"),
            one(Transport::Udp, "[2001:db8:0:1::1]:5060"),
        ];
        for failed in &targets {
            let failures = Failures::default();
            failures.add(Instant::ZERO, failed, None);
            for other in &targets {
                let passed_over = failures.passed_over(Instant::ZERO, other).is_some();
                assert_eq!(passed_over, other == failed, "{failed:?} {other:?}");
            }
        }
        let mapped = one(Transport::Udp, "[::ffff:192.0.2.1]:5060");
        assert_eq!(key_of(&mapped), key_of(&targets[0]), "the same host, however it is written");
    }

    /// Names that lead to ever new hosts cost no more memory, and push out the one whose time ends first.
    #[test]
    fn the_table_has_an_end() {
        let failures = Failures::default();
        for n in 0..100_000 {
            let now = Instant::from_millis(n.into());
            failures.add(now, &target(n), None);
            assert!(failures.passed_over(now, &target(n)).is_some());
        }
        assert!(failures.count(Instant::from_millis(100_000)) > FAILED_MAX / 2);
        assert_eq!(failures.places.len(), FAILED_MAX);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "what is shared between threads is tried with threads")]
    fn threads_lose_no_target() {
        let failures = Failures::default();
        let mine = |thread: u32| (0..50).map(move |n| target(n * 4 + thread));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let failures = &failures;
                scope.spawn(move || mine(thread).for_each(|one| failures.add(Instant::ZERO, &one, None)));
            }
        });
        let known = (0..4).flat_map(mine).filter(|one| failures.passed_over(Instant::ZERO, one).is_some());
        assert_eq!(known.count(), 200);
    }
}
