//! Port pairs: handed out in random order, and not again before their quarantine is over.

use core::ops::RangeInclusive;
use sansio::{Duration, Instant, Rng};
use std::collections::VecDeque;

/// The pool of RTP/RTCP port pairs of one plane.
#[derive(Debug)]
pub(crate) struct PortPool {
    /// Even ports with the time from which they may be used; sorted by it, since the quarantine is constant.
    free: VecDeque<(Instant, u16)>,
    total: usize,
    quarantine: Duration,
}

impl PortPool {
    /// All pairs that fit whole into `ports`, shuffled: a stranger should not guess the next one.
    pub(crate) fn new(ports: &RangeInclusive<u16>, quarantine: Duration, rng: &mut Rng) -> Self {
        let first = u32::from(*ports.start()).max(2).next_multiple_of(2);
        let last = u32::from(*ports.end());
        let mut even: Vec<u16> =
            (first..=last).step_by(2).filter(|port| port < &last).map(|port| port as u16).collect();
        for i in (1..even.len()).rev() {
            even.swap(i, rng.below(i as u64 + 1) as usize);
        }
        let total = even.len();
        let free = even.into_iter().map(|port| (Instant::ZERO, port)).collect();
        PortPool { free, total, quarantine }
    }

    /// The even port of a free pair.
    pub(crate) fn take(&mut self, now: Instant) -> Option<u16> {
        let (usable_from, port) = *self.free.front()?;
        if usable_from > now {
            return None;
        }
        self.free.pop_front();
        Some(port)
    }

    /// Takes a pair back into quarantine.
    pub(crate) fn give_back(&mut self, now: Instant, port: u16) {
        self.free.push_back((now + self.quarantine, port));
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    pub(crate) fn in_use(&self) -> usize {
        self.total - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(ports: RangeInclusive<u16>) -> PortPool {
        PortPool::new(&ports, Duration::from_secs(5), &mut Rng::from_seed(1))
    }

    #[test]
    fn only_whole_pairs_that_start_even() {
        let mut pool = pool(4001..=4008);
        let mut ports: Vec<u16> = std::iter::from_fn(|| pool.take(Instant::ZERO)).collect();
        ports.sort_unstable();
        assert_eq!(ports, [4002, 4004, 4006]);
        assert_eq!(pool.in_use(), 3);
    }

    #[test]
    fn an_empty_or_backward_range_has_none_and_the_top_of_the_space_does_not_wrap() {
        assert_eq!(pool(4001..=4002).total(), 0);
        #[allow(clippy::reversed_empty_ranges)]
        let mut backward = pool(5000..=4000);
        assert_eq!(backward.take(Instant::ZERO), None);
        assert_eq!(pool(65_530..=65_535).total(), 3);
        assert_eq!(pool(0..=3).total(), 1);
    }

    #[test]
    fn a_port_rests_for_its_quarantine() {
        let mut pool = pool(4000..=4001);
        let at = Instant::from_millis(1000);
        let port = pool.take(at).unwrap();
        pool.give_back(at, port);
        assert_eq!(pool.take(Instant::from_millis(5999)), None);
        assert_eq!(pool.take(Instant::from_millis(6000)), Some(4000));
    }
}
