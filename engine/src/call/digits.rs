//! Digits: RFC 4733, tones in the sound and INFO are one event.
//!
//! A phone may send one press in more than one way: as an event whose first tone leaks into the sound, or as INFO
//! beside either. A digit that comes in another way than the last one told, is the same and came with it, is the same
//! press.

use dialer_core::outcome::Party;
use sansio::{Duration, Instant};

/// Two ways bring one press this far apart at most, besides the time it was held: the ends of a press are told after
/// its last packets, and signalling goes another way than sound.
const SAME_PRESS: Duration = Duration::from_millis(400);

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

/// The last digit told, of each side of a call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DigitGate {
    customer: Option<Told>,
    agent: Option<Told>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    way: Way,
    digit: char,
    at: Instant,
    held: Duration,
}

impl DigitGate {
    /// True: a press of its own, to be told.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        party: Party,
        way: Way,
        digit: char,
        duration_ms: u32,
    ) -> bool {
        let last = if party == Party::Agent { &mut self.agent } else { &mut self.customer };
        let held = Duration::from_millis(u64::from(duration_ms));
        let same_press = last.is_some_and(|last| {
            last.way != way && last.digit == digit && now.since(last.at) <= SAME_PRESS + last.held.max(held)
        });
        if !same_press {
            *last = Some(Told { way, digit, at: now, held });
        }
        !same_press
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
    fn the_sides_do_not_mix() {
        let mut gate = DigitGate::default();
        assert!(gate.admit(Instant::ZERO, Party::Customer, Way::Event, '1', 100));
        assert!(gate.admit(Instant::ZERO, Party::Agent, Way::Info, '1', 100));
    }
}
