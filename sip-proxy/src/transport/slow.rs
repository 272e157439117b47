//! Addresses that gave wrong passwords are slowed down.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use sansio::Instant;

/// First wait after a wrong password; doubled by each further one …
const WAIT_MIN: Duration = Duration::from_secs(1);
/// … up to this.
const WAIT_MAX: Duration = Duration::from_secs(64);
/// A failure is forgotten this long after its wait is over.
const MEMORY: Duration = Duration::from_secs(600);

/// A bounded table of addresses that must wait. What such an address sends that needs a password is dropped until
/// its wait is over: its own retransmissions bring the request again, so an honest phone is delayed and a guesser
/// gets a handful of guesses a minute. A right password wipes the slate. A phone that is registered from this very
/// address and port goes on undisturbed.
///
/// When the table is full, the address that failed longest ago is forgotten.
#[derive(Debug, Default)]
pub(crate) struct SlowList {
    sources: BTreeMap<IpAddr, Slow>,
    /// Order of the last failures.
    order: BTreeMap<u64, IpAddr>,
    sequence: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slow {
    failures: u32,
    until: Instant,
    sequence: u64,
}

impl SlowList {
    /// Whether requests from this address are dropped now.
    pub(crate) fn must_wait(&self, now: Instant, source: IpAddr) -> bool {
        self.sources.get(&source).is_some_and(|slow| now < slow.until)
    }

    /// A wrong password has come from here; gives how many that makes.
    pub(crate) fn failed(&mut self, now: Instant, source: IpAddr, limit: usize) -> u32 {
        self.forget_old(now);
        let failures = self.sources.get(&source).map_or(0, |slow| slow.failures);
        self.clear(source);
        if limit == 0 {
            return failures.saturating_add(1);
        }
        while self.sources.len() >= limit {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.sources.remove(&oldest);
        }
        let wait = WAIT_MIN.saturating_mul(1 << failures.min(16)).min(WAIT_MAX);
        self.sequence += 1;
        let slow = Slow { failures: failures.saturating_add(1), until: now + wait, sequence: self.sequence };
        self.sources.insert(source, slow);
        self.order.insert(self.sequence, source);
        failures.saturating_add(1)
    }

    /// A right password has come from here.
    pub(crate) fn clear(&mut self, source: IpAddr) {
        if let Some(slow) = self.sources.remove(&source) {
            self.order.remove(&slow.sequence);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sources.len()
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((&sequence, &source)) = self.order.first_key_value() {
            if self.sources.get(&source).is_some_and(|slow| now < slow.until + MEMORY) {
                return;
            }
            self.order.remove(&sequence);
            self.sources.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end_on_time() {
        let mut list = SlowList::default();
        let source: IpAddr = "192.0.2.1".parse().expect("an address");
        let mut now = Instant::ZERO;
        for seconds in [1, 2, 4, 8, 16, 32, 64, 64] {
            list.failed(now, source, 10);
            let end = now + Duration::from_secs(seconds);
            assert!(list.must_wait(end - Duration::from_millis(1), source), "{seconds}");
            assert!(!list.must_wait(end, source), "{seconds}");
            now = end;
        }
        list.clear(source);
        assert!(!list.must_wait(now, source));
        list.failed(now, source, 10);
        assert!(!list.must_wait(now + WAIT_MIN, source));
    }

    #[test]
    fn the_table_is_bounded_and_forgets() {
        let mut list = SlowList::default();
        for index in 0..100_u32 {
            list.failed(Instant::ZERO, IpAddr::V4(index.into()), 10);
            assert!(list.len() <= 10);
        }
        assert!(list.must_wait(Instant::ZERO, IpAddr::V4(99.into())));
        assert!(!list.must_wait(Instant::ZERO, IpAddr::V4(1.into())));
        list.failed(Instant::from_millis(700_000), IpAddr::V4(7.into()), 10);
        assert_eq!(list.len(), 1);
        list.failed(Instant::ZERO, IpAddr::V4(7.into()), 0);
        assert_eq!(list.len(), 0);
    }
}
