//! Digits: RFC 4733, tones in the sound and INFO are one event.
//!
//! A phone may send one press in more than one way: as an event whose first tone leaks into the sound, or as INFO
//! beside either. A digit that comes in another way than the last one told, is the same and came with it, is the same
//! press.
//!
//! Each press is an event that is written down, so there are only so many: 40 at once and 20 a second. The fastest dialler
//! presses 12 (40 ms of tone, 40 of pause, ITU-T Q.24); what is more is nobody's and is left out.

use dialer_core::outcome::Party;
use sansio::{Duration, Instant};

/// Two ways bring one press this far apart at most, besides the time it was held: the ends of a press are told after
/// its last packets, and signalling goes another way than sound.
const SAME_PRESS: Duration = Duration::from_millis(400);

/// A press makes room for another one so long after.
const PRESS_EVERY: Duration = Duration::from_millis(50);
/// 40 presses may come at once.
const PRESSES_AT_ONCE: Duration = Duration::from_millis(40 * 50);

/// In which way a digit came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// RFC 4733.
    Event,
    /// Tones in the sound.
    InBand,
    /// SIP INFO.
    Info,
}

/// What each side of a call has pressed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DigitGate {
    customer: Presses,
    agent: Presses,
}

#[derive(Clone, Copy, Debug, Default)]
struct Presses {
    /// The last digit told.
    last: Option<Told>,
    /// When there is room again for as many as may come at once.
    rested_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    way: Way,
    digit: char,
    at: Instant,
    held: Duration,
}

impl DigitGate {
    /// True: a press of its own, to be told. False: it was told already, or is one of too many.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        party: Party,
        way: Way,
        digit: char,
        duration_ms: u32,
    ) -> bool {
        let presses = if party == Party::Agent { &mut self.agent } else { &mut self.customer };
        let held = Duration::from_millis(u64::from(duration_ms));
        let same_press = presses.last.is_some_and(|last| {
            last.way != way && last.digit == digit && now.since(last.at) <= SAME_PRESS + last.held.max(held)
        });
        let rested_at = presses.rested_at.max(now) + PRESS_EVERY;
        if same_press || rested_at.since(now) > PRESSES_AT_ONCE {
            return false;
        }
        *presses = Presses { last: Some(Told { way, digit, at: now, held }), rested_at };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(presses: &[(u64, Way, char)]) -> String {
        let mut gate = DigitGate::default();
        let admitted = presses.iter().filter(|(ms, way, digit)| {
            gate.admit(Instant::from_millis(*ms), Party::Customer, *way, *digit, 100)
        });
        admitted.map(|(_, _, digit)| digit).collect()
    }

    #[test]
    fn one_press_in_three_ways_is_one() {
        assert_eq!(told(&[(0, Way::InBand, '5'), (60, Way::Event, '5'), (200, Way::Info, '5')]), "5");
        assert_eq!(told(&[(0, Way::Info, '5'), (90, Way::Event, '5'), (95, Way::InBand, '5')]), "5");
    }

    #[test]
    fn presses_after_each_other_are_told_whatever_their_way() {
        assert_eq!(told(&[(0, Way::Event, '5'), (150, Way::Event, '5'), (300, Way::Event, '5')]), "555");
        let leaking = [
            (0, Way::InBand, '5'),
            (60, Way::Event, '5'),
            (200, Way::InBand, '5'),
            (260, Way::Event, '5'),
            (400, Way::InBand, '6'),
            (460, Way::Event, '6'),
        ];
        assert_eq!(told(&leaking), "556");
        assert_eq!(told(&[(0, Way::Event, '5'), (501, Way::Info, '5')]), "55");
    }

    #[test]
    fn a_flood_is_cut_off_and_the_fastest_dialler_is_not() {
        let flood: Vec<(u64, Way, char)> = (0..10_000).map(|n| (n, Way::Event, '5')).collect();
        let admitted = told(&flood).len();
        assert!((230..=245).contains(&admitted), "{admitted} in ten seconds");
        let fast: Vec<(u64, Way, char)> = (0..500).map(|n| (80 * n, Way::Event, '7')).collect();
        assert_eq!(told(&fast).len(), 500);
        let mut gate = DigitGate::default();
        let mut press = |ms| gate.admit(Instant::from_millis(ms), Party::Customer, Way::Event, '1', 40);
        assert_eq!((0..100).filter(|_| press(5_000)).count(), 40);
        assert!(!press(5_049) && press(5_050) && press(60_000));
    }

    #[test]
    fn the_sides_do_not_mix() {
        let mut gate = DigitGate::default();
        assert!(gate.admit(Instant::ZERO, Party::Customer, Way::Event, '1', 100));
        assert!(gate.admit(Instant::ZERO, Party::Agent, Way::Info, '1', 100));
    }
}
