//! Reception statistics of RFC 3550 §6.4.1 and appendices A.1, A.3, A.8.

use crate::rtp::Header;
use sansio::Instant;

/// A forward step of the sequence larger than this, or a backward one larger than [`MISORDER_MAX`], is a
/// restart of the sender and not loss (RFC 3550 A.1, MAX_DROPOUT).
pub const DROPOUT_MAX: u16 = 3000;
/// RFC 3550 A.1, MAX_MISORDER.
pub const MISORDER_MAX: u16 = 100;

/// What one incoming packet did to the sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The next one, or a few ahead (the ones between are lost or late).
    Forward,
    /// One that should have come earlier, or a duplicate.
    Late,
    /// A new sequence: first packet, new SSRC, or a jump.
    Restart,
}

/// Counts of one incoming stream, over all SSRCs it had.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reception {
    pub(crate) started: bool,
    pub(crate) ssrc: u32,
    pub(crate) sequence_max: u16,
    /// Times the current sequence has wrapped.
    cycles: u16,
    /// Packets expected from the current and all earlier sequences.
    expected: u64,
    pub(crate) received: u64,
    /// Relative transit time of the last packet, timestamp units.
    transit: u32,
    /// Jitter × 16, timestamp units (the integer form of RFC 3550 A.8).
    jitter_q4: u32,
    /// The clock's rate by 8,000 Hz; 0 before the first packet.
    ticks: u32,
    /// Which of the last numbers have come: the lowest bit is the highest number's, the next the one's before it, …
    seen: u128,
    /// The last packet had a number that had come before.
    repeated: bool,
}

/// Numbers that [`Reception`] remembers: more than any that is late and no restart.
const SEEN: u32 = u128::BITS;
const _: () = assert!(SEEN > MISORDER_MAX as u32);

impl Reception {
    /// Counts a packet and says what kind of step it was.
    ///
    /// * `ticks` how much faster its clock runs than 8,000 Hz
    /// * `sampled` its timestamp is that of its sound. All packets of an event have the timestamp of its beginning (RFC
    ///   4733 §2.5.1.2), which says nothing about how long they were on their way
    #[inline]
    pub(crate) fn count_by(&mut self, now: Instant, header: &Header, ticks: u32, sampled: bool) -> Step {
        self.received += 1;
        self.ticks = ticks;
        let arrival = rtp_clock(now).wrapping_mul(ticks);
        let transit =
            if sampled || !self.started { arrival.wrapping_sub(header.timestamp) } else { self.transit };
        let step = if self.started && header.ssrc == self.ssrc {
            let ahead = header.sequence.wrapping_sub(self.sequence_max);
            if ahead != 0 && ahead < DROPOUT_MAX {
                self.expected += u64::from(ahead);
                self.cycles = self.cycles.wrapping_add(u16::from(header.sequence < self.sequence_max));
                Step::Forward
            } else if header.sequence == self.sequence_max || ahead > 0u16.wrapping_sub(MISORDER_MAX) {
                Step::Late
            } else {
                Step::Restart
            }
        } else {
            Step::Restart
        };
        self.see(step, header.sequence);
        match step {
            Step::Restart => {
                self.started = true;
                self.ssrc = header.ssrc;
                self.cycles = 0;
                self.expected += 1;
            }
            Step::Forward | Step::Late if !sampled => {}
            Step::Forward | Step::Late => {
                let d = (transit.wrapping_sub(self.transit) as i32).unsigned_abs();
                // A.8: J += (|D| - J) / 16, kept with four bits of fraction. D is bounded so that a leap of the
                // timestamp cannot overflow (one minute).
                self.jitter_q4 = self.jitter_q4 + d.min(480_000 * ticks) - ((self.jitter_q4 + 8) >> 4);
            }
        }
        if step != Step::Late {
            self.sequence_max = header.sequence;
        }
        self.transit = transit;
        step
    }

    /// Remembers a number. Called while `sequence_max` is still that of the packet before.
    #[inline]
    fn see(&mut self, step: Step, sequence: u16) {
        self.repeated = false;
        match step {
            Step::Restart => self.seen = 1,
            Step::Forward => self.advance_seen(u32::from(sequence.wrapping_sub(self.sequence_max)), 1),
            Step::Late => {
                let bit =
                    1_u128.checked_shl(u32::from(self.sequence_max.wrapping_sub(sequence))).unwrap_or(0);
                self.repeated = self.seen & bit != 0;
                self.seen |= bit;
            }
        }
    }

    /// So many numbers further; of these the ones in `new` have come.
    fn advance_seen(&mut self, ahead: u32, new: u128) {
        self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | new;
    }

    /// Whether the last packet, a late one, had come before; if not, it was overtaken by others.
    pub(crate) fn was_repeated(&self) -> bool {
        self.repeated
    }

    /// Highest sequence number, transit and jitter as the ground goes on counting from.
    pub(crate) fn offload_start(&self) -> (u32, u32, u32) {
        (self.highest(), self.transit, self.jitter_q4)
    }

    /// The ground has counted packets of this source by itself.
    pub(crate) fn counted_elsewhere(
        &mut self,
        ssrc: u32,
        packets: u64,
        highest: u32,
        transit: u32,
        jitter_q4: u32,
    ) {
        self.received += packets;
        if !self.started || self.ssrc != ssrc {
            // Another source has taken its place meanwhile: none of these was lost.
            self.expected += packets;
            return;
        }
        let ahead = highest.wrapping_sub(self.highest());
        if (ahead as i32) > 0 {
            self.expected += u64::from(ahead);
            // Which of them are missing is not told: where any is, one that comes late is taken for that.
            let whole = packets >= u64::from(ahead);
            let new = if whole { 1_u128.checked_shl(ahead).map_or(u128::MAX, |bit| bit - 1) } else { 1 };
            self.advance_seen(ahead, new);
            (self.cycles, self.sequence_max) = ((highest >> 16) as u16, highest as u16);
        }
        (self.transit, self.jitter_q4) = (transit, jitter_q4);
    }

    pub(crate) fn lost(&self) -> i64 {
        self.expected as i64 - self.received as i64
    }

    pub(crate) fn expected(&self) -> u64 {
        self.expected
    }

    /// Highest sequence number with its cycles, as reports carry it.
    pub(crate) fn highest(&self) -> u32 {
        (u32::from(self.cycles) << 16) | u32::from(self.sequence_max)
    }

    /// Jitter in timestamp units.
    pub(crate) fn jitter_units(&self) -> u32 {
        self.jitter_q4 >> 4
    }

    pub(crate) fn jitter_ms(&self) -> f32 {
        self.jitter_q4 as f32 / 16.0 / 8.0 / self.ticks.max(1) as f32
    }
}

/// The time as a timestamp of 8,000 units a second, with an offset of our own.
#[inline]
pub(crate) fn rtp_clock(now: Instant) -> u32 {
    (now.as_nanos() / 125_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp;

    impl Reception {
        fn count(&mut self, now: Instant, header: &Header) -> Step {
            self.count_by(now, header, 1, true)
        }
    }

    fn header(sequence: u16, timestamp: u32, ssrc: u32) -> Header {
        Header::read(&rtp::header(false, 0, sequence, timestamp, ssrc)).unwrap()
    }

    #[test]
    fn loss_survives_the_wrap_and_duplicates_count_against_it() {
        let mut reception = Reception::default();
        let at = Instant::ZERO;
        for sequence in [65_533, 65_534, 1, 0, 2_u16] {
            reception.count(at, &header(sequence, 0, 7));
        }
        assert_eq!(reception.lost(), 1); // 65535
        assert_eq!(reception.count(at, &header(2, 0, 7)), Step::Late);
        assert_eq!(reception.lost(), 0);
    }

    #[test]
    fn what_was_overtaken_is_told_from_what_came_twice() {
        let mut reception = Reception::default();
        let mut late = |sequence| {
            (reception.count(Instant::ZERO, &header(sequence, 0, 7)) == Step::Late)
                .then(|| reception.was_repeated())
        };
        assert_eq!([65_534, 1, 0, 65_535].map(&mut late), [None, None, Some(false), Some(false)]);
        assert_eq!([1, 0, 65_534, 2].map(&mut late), [Some(true), Some(true), Some(true), None]);
        // As far back as anything is late.
        assert_eq!([101, 2, 3].map(&mut late), [None, Some(true), Some(false)]);
    }

    #[test]
    fn numbers_that_were_counted_elsewhere_are_known_where_none_is_missing() {
        let at = Instant::ZERO;
        let mut reception = Reception::default();
        reception.count(at, &header(10, 0, 7));
        reception.counted_elsewhere(7, 3, 13, 0, 0);
        assert_eq!(reception.count(at, &header(12, 0, 7)), Step::Late);
        assert!(reception.was_repeated());
        reception.counted_elsewhere(7, 2, 16, 0, 0);
        assert_eq!(reception.count(at, &header(15, 0, 7)), Step::Late);
        assert!(!reception.was_repeated());
        reception.counted_elsewhere(7, 200, 216, 0, 0);
        assert_eq!(reception.count(at, &header(120, 0, 7)), Step::Late);
        assert!(reception.was_repeated());
    }

    #[test]
    fn a_jump_or_another_ssrc_starts_anew_without_counting_loss() {
        let mut reception = Reception::default();
        assert_eq!(reception.count(Instant::ZERO, &header(10, 0, 7)), Step::Restart);
        assert_eq!(reception.count(Instant::ZERO, &header(10 + 2999, 0, 7)), Step::Forward);
        assert_eq!(reception.count(Instant::ZERO, &header(10 + 2999 + 3000, 0, 7)), Step::Restart);
        let lost = reception.lost();
        assert_eq!(reception.count(Instant::ZERO, &header(4, 0, 8)), Step::Restart);
        assert_eq!(reception.lost(), lost);
        assert_eq!(lost, 2998);
    }

    #[test]
    fn late_up_to_99_behind() {
        let mut reception = Reception::default();
        reception.count(Instant::ZERO, &header(1000, 0, 7));
        assert_eq!(reception.count(Instant::ZERO, &header(901, 0, 7)), Step::Late);
        assert_eq!(reception.count(Instant::ZERO, &header(900, 0, 7)), Step::Restart);
    }

    #[test]
    fn steady_arrival_has_no_jitter_and_alternating_delay_has_its_mean_deviation() {
        let mut reception = Reception::default();
        for i in 0..1000_u32 {
            reception.count(Instant::from_millis(u64::from(i) * 20), &header(i as u16, i * 160, 7));
        }
        assert_eq!(reception.jitter_ms(), 0.0);
        for i in 1000..3000_u32 {
            let late = u64::from(i % 2) * 10;
            reception.count(Instant::from_millis(u64::from(i) * 20 + late), &header(i as u16, i * 160, 7));
        }
        assert!((reception.jitter_ms() - 10.0).abs() < 0.2, "{}", reception.jitter_ms());
    }

    #[test]
    fn the_packets_of_an_event_are_no_jitter() {
        let mut reception = Reception::default();
        for i in 0..100_u32 {
            let pressed = (20..60).contains(&i);
            let timestamp = if pressed { 20 * 160 } else { i * 160 };
            let now = Instant::from_millis(u64::from(i) * 20);
            reception.count_by(now, &header(i as u16, timestamp, 7), 1, !pressed);
        }
        assert_eq!((reception.jitter_ms(), reception.lost(), reception.received), (0.0, 0, 100));
    }
}
