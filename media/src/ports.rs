//! Port pairs: handed out in random order, and not again before their quarantine is over.
//!
//! Some are held ahead: the edge has bound them already, so that a pair which another program has is found out before a
//! description names it. Only when more are wanted at once than are held is one handed out that may fail.
//!
//! ```text
//!   free ── hold ──► held ── take ──► in use ── give back, quarantine ──► free
//!     ▲                └── refused ──► taken by others ── TAKEN_FOR ──┐
//!     └───────────────────────────────────────────────────────────────┘
//! ```

use core::ops::RangeInclusive;
use sansio::{Duration, Instant, Rng};
use std::collections::VecDeque;

/// A pair that another program had is tried again after so long.
const TAKEN_FOR: Duration = Duration::from_secs(60);
/// Pairs that were refused in a row, after which no other is asked for at once.
const REFUSALS_MAX: u32 = 64;

/// The pool of RTP/RTCP port pairs of one plane.
#[derive(Debug)]
pub(crate) struct PortPool {
    /// Even ports with the time from which they may be used; sorted by it, since the quarantine is constant.
    free: VecDeque<(Instant, u16)>,
    /// Bound already, the oldest first.
    held: VecDeque<u16>,
    /// Other programs have these; with the time from which they are tried again, sorted by it.
    taken: VecDeque<(Instant, u16)>,
    refusals: u32,
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
        PortPool { free, held: VecDeque::new(), taken: VecDeque::new(), refusals: 0, total, quarantine }
    }

    /// The even port of a pair: one that is held, if there is any.
    pub(crate) fn take(&mut self, now: Instant) -> Option<u16> {
        self.held.pop_front().or_else(|| self.take_free(now))
    }

    /// The even port of one more pair to hold; `None` when so many are held, or none is free.
    pub(crate) fn hold(&mut self, now: Instant, held_max: usize) -> Option<u16> {
        if self.held.len() >= held_max {
            return None;
        }
        let port = self.take_free(now)?;
        self.held.push_back(port);
        Some(port)
    }

    fn take_free(&mut self, now: Instant) -> Option<u16> {
        while let Some((_, port)) = self.taken.pop_front_if(|(until, _)| *until <= now) {
            self.free.push_front((Instant::ZERO, port));
        }
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

    /// A pair that was to be held could not be bound. True: another one is to be held instead. Not so when nothing can be
    /// bound now (`taken` is false), nor when so many were refused that nearly all may be taken.
    pub(crate) fn not_held(&mut self, now: Instant, port: u16, taken: bool) -> bool {
        let Some(place) = self.held.iter().position(|held| *held == port) else {
            // A stream has got it meanwhile, and failed.
            return false;
        };
        self.held.remove(place);
        match taken {
            true => self.keep_out(now, port),
            false => self.give_back(now, port),
        }
        self.refusals += 1;
        taken && self.refusals < REFUSALS_MAX
    }

    /// More may be asked for again.
    pub(crate) fn forget_refusals(&mut self) {
        self.refusals = 0;
    }

    /// Another program has the pair: nobody is to have it for a while.
    pub(crate) fn keep_out(&mut self, now: Instant, port: u16) {
        self.taken.push_back((now + TAKEN_FOR, port));
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    pub(crate) fn in_use(&self) -> usize {
        self.total - self.free.len() - self.held.len() - self.taken.len()
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
    fn what_another_program_has_is_not_handed_out_for_a_minute() {
        let mut pool = pool(4000..=4007);
        let at = Instant::from_millis(1000);
        let held: Vec<u16> = std::iter::from_fn(|| pool.hold(at, 3)).collect();
        assert_eq!((held.len(), pool.in_use()), (3, 0));
        assert!(pool.not_held(at, held[0], true), "another one is to be held");
        assert!(!pool.not_held(at, held[0], true), "told twice");
        assert!(!pool.not_held(at, held[1], false), "nothing can be bound");
        assert_eq!((pool.hold(at, 1), pool.in_use()), (None, 0));
        assert_eq!(pool.take(at), Some(held[2]), "what is held comes first");
        let last = pool.take(at).expect("one was never held");
        assert_eq!((pool.take(at), pool.in_use()), (None, 2));
        pool.keep_out(at, last);
        let rested = at + Duration::from_secs(5);
        assert_eq!(pool.take(rested), Some(held[1]), "it was nobody else's");
        assert_eq!(pool.take(at + TAKEN_FOR - Duration::from_millis(1)), None);
        let tried_again = [pool.take(at + TAKEN_FOR), pool.take(at + TAKEN_FOR)];
        assert!(tried_again.contains(&Some(held[0])) && tried_again.contains(&Some(last)));
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
