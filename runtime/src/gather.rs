//! When many packets come, they are taken together.
//!
//! A shard that waits for its sockets is woken by the first packet, and to be woken costs as much as half a packet's way
//! through. Sound of hundreds of calls comes all the time, so the shard sleeps by the clock instead: for half a millisecond,
//! and nobody who sends to it meanwhile has anyone to wake. One datagram in a row is never kept waiting.

use sansio::Instant;
use std::time::Duration;

/// Time between the beginnings of two turns while packets are dense: what a packet waits at most. A frame of sound lasts
/// 20 ms, and what is called a good line delays it by 150 (ITU-T G.114).
const GATHER: Duration = Duration::from_micros(500);
/// Packets are dense when so many come …
const DENSE_PACKETS: u64 = 8;
/// … in this time: the sound of some eighty calls.
const LOOK: Duration = Duration::from_millis(1);

/// How densely packets come.
#[derive(Debug)]
pub(crate) struct Gathering {
    dense: bool,
    /// Of the last turn.
    turn_began: Instant,
    /// When packets were counted, and how many there had been.
    looked: (Instant, u64),
}

impl Gathering {
    pub(crate) fn new(now: Instant) -> Self {
        Gathering { dense: false, turn_began: now, looked: (now, 0) }
    }

    /// How long to sleep by the clock before the next turn, though not beyond `latest`; `None`: wait for the sockets.
    pub(crate) fn pause(&self, now: Instant, latest: Instant) -> Option<Duration> {
        let until = (self.turn_began + GATHER).min(latest);
        (self.dense && until > now).then(|| until.since(now))
    }

    /// A turn has begun.
    ///
    /// * `packets` taken from the sockets in all turns before
    pub(crate) fn turn(&mut self, began: Instant, packets: u64) {
        self.turn_began = began;
        let (looked, before) = self.looked;
        let passed = began.since(looked);
        if passed >= LOOK {
            let came = u128::from(packets - before) * LOOK.as_nanos();
            self.dense = came >= u128::from(DENSE_PACKETS) * passed.as_nanos();
            self.looked = (began, packets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Instant = Instant::FAR_FUTURE;

    fn at(us: u64) -> Instant {
        Instant::from_nanos(us * 1000)
    }

    #[test]
    fn dense_packets_are_gathered_and_sparse_ones_are_not() {
        let mut gathering = Gathering::new(at(0));
        let mut packets = 0;
        // One each 125 µs: eight a millisecond. The first millisecond shows it.
        for us in (0..1000).step_by(125) {
            gathering.turn(at(us), packets);
            assert_eq!(gathering.pause(at(us + 5), FAR), None);
            packets += 1;
        }
        gathering.turn(at(1000), packets);
        assert_eq!(gathering.pause(at(1005), FAR), Some(Duration::from_micros(495)));
        assert_eq!(gathering.pause(at(1500), FAR), None, "a turn took as long as that");
        assert_eq!(gathering.pause(at(1005), at(1100)), Some(Duration::from_micros(95)));
        assert_eq!(gathering.pause(at(1005), at(1005)), None, "a deadline is due");
        gathering.turn(at(1500), packets + 4);
        gathering.turn(at(2000), packets + 7);
        assert_eq!(gathering.pause(at(2005), FAR), None, "seven a millisecond");
    }

    #[test]
    fn after_a_long_sleep_one_burst_is_not_dense() {
        let mut gathering = Gathering::new(at(0));
        gathering.turn(at(1_000_000), 1);
        gathering.turn(at(1_000_010), 500);
        assert_eq!(gathering.pause(at(1_000_020), FAR), None);
        gathering.turn(at(1_001_000), 500);
        assert!(gathering.pause(at(1_001_010), FAR).is_some(), "five hundred in one millisecond are");
        gathering.turn(at(1_002_000), 500);
        assert_eq!(gathering.pause(at(1_002_010), FAR), None);
    }
}
