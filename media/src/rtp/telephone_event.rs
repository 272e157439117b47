//! RFC 4733 digits: many packets, one press.

use sansio::{Duration, Instant};

/// Without a packet for this long an event is taken to be over: its end packets (three, RFC 4733 §2.5.1.4) are
/// lost. Senders repeat every 20–50 ms.
pub const EVENT_LOST_AFTER: Duration = Duration::from_millis(200);

/// Follows the events of one incoming stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Digits {
    current: Option<Press>,
    /// Timestamp of the last event that was reported; its repeated end packets are ignored.
    reported: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Press {
    code: u8,
    /// RTP timestamp of the event's (last segment's) start: its identity.
    timestamp: u32,
    /// Of the last segment, timestamp units.
    duration: u16,
    /// Of all earlier segments (RFC 4733 §2.5.1.3), timestamp units.
    earlier: u32,
    last_at: Instant,
}

/// A digit that was pressed and let go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Digit {
    pub(crate) digit: char,
    pub(crate) duration_ms: u32,
}

impl Press {
    fn digit(&self) -> Option<Digit> {
        const DIGITS: &[u8; 16] = b"0123456789*#ABCD"; // RFC 4733 §3.2 table 3
        let digit = *DIGITS.get(usize::from(self.code))?;
        let duration_ms = (self.earlier + u32::from(self.duration)) / 8;
        Some(Digit { digit: char::from(digit), duration_ms })
    }
}

impl Digits {
    /// Feeds one telephone-event payload. May give two digits: one whose end was lost and one that is whole.
    pub(crate) fn packet(&mut self, now: Instant, timestamp: u32, payload: &[u8]) -> [Option<Digit>; 2] {
        let Some(&[code, flags, high, low]) = payload.first_chunk() else { return [None, None] };
        let ended = flags & 0x80 != 0;
        let duration = u16::from_be_bytes([high, low]);
        if let Some(reported) = self.reported
            && (timestamp.wrapping_sub(reported) as i32) <= 0
            && (reported.wrapping_sub(timestamp)) < 80_000
        {
            return [None, None]; // a repeat of the end, or an older event that came late
        }
        let mut unfinished = None;
        match &mut self.current {
            Some(press) if press.timestamp == timestamp => {
                press.duration = press.duration.max(duration);
                press.last_at = now;
            }
            Some(press) if (timestamp.wrapping_sub(press.timestamp) as i32) < 0 => return [None, None],
            Some(press)
                if press.code == code
                    && press.duration == u16::MAX
                    && timestamp == press.timestamp.wrapping_add(u32::from(u16::MAX)) =>
            {
                press.earlier = press.earlier.saturating_add(u32::from(u16::MAX));
                press.timestamp = timestamp;
                press.duration = duration;
                press.last_at = now;
            }
            current => {
                unfinished = current.take().and_then(|press| press.digit());
                *current = Some(Press { code, timestamp, duration, earlier: 0, last_at: now });
            }
        }
        let whole = if ended { self.finish() } else { None };
        [unfinished, whole]
    }

    /// Ends a press whose end packets never came.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Digit> {
        let press = self.current?;
        if now.since(press.last_at) < EVENT_LOST_AFTER {
            return None;
        }
        self.finish()
    }

    /// True while a press is going on.
    pub(crate) fn pressing(&self) -> bool {
        self.current.is_some()
    }

    /// The source changed: its timestamps mean nothing any more.
    pub(crate) fn restart(&mut self) -> Option<Digit> {
        self.reported = None;
        self.current.take().and_then(|press| press.digit())
    }

    fn finish(&mut self) -> Option<Digit> {
        let press = self.current.take()?;
        self.reported = Some(press.timestamp);
        press.digit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(code: u8, ended: bool, duration: u16) -> [u8; 4] {
        let [high, low] = duration.to_be_bytes();
        [code, if ended { 0x8A } else { 0x0A }, high, low]
    }

    fn feed(digits: &mut Digits, packets: &[(u64, u32, [u8; 4])]) -> Vec<(char, u32)> {
        packets
            .iter()
            .flat_map(|(ms, timestamp, payload)| {
                digits.packet(Instant::from_millis(*ms), *timestamp, payload)
            })
            .flatten()
            .map(|digit| (digit.digit, digit.duration_ms))
            .collect()
    }

    #[test]
    fn three_end_packets_make_one_digit() {
        let mut digits = Digits::default();
        let got = feed(
            &mut digits,
            &[
                (0, 1000, event(5, false, 160)),
                (20, 1000, event(5, false, 320)),
                (40, 1000, event(5, true, 800)),
                (40, 1000, event(5, true, 800)),
                (40, 1000, event(5, true, 800)),
                (200, 4000, event(11, true, 400)),
                (201, 1000, event(5, true, 800)),
            ],
        );
        assert_eq!(got, [('5', 100), ('#', 50)]);
        assert!(!digits.pressing());
    }

    #[test]
    fn the_same_digit_twice_is_two() {
        let got =
            feed(&mut Digits::default(), &[(0, 1000, event(1, true, 800)), (150, 2200, event(1, true, 800))]);
        assert_eq!(got, [('1', 100), ('1', 100)]);
    }

    #[test]
    fn a_lost_end_is_noticed_by_the_next_event_or_by_silence() {
        let mut digits = Digits::default();
        let got = feed(&mut digits, &[(0, 1000, event(1, false, 400)), (200, 2600, event(2, false, 160))]);
        assert_eq!(got, [('1', 50)]);
        assert_eq!(digits.handle_timeout(Instant::from_millis(399)), None);
        let digit = digits.handle_timeout(Instant::from_millis(400)).unwrap();
        assert_eq!((digit.digit, digit.duration_ms), ('2', 20));
        assert_eq!(feed(&mut digits, &[(410, 2600, event(2, true, 320))]), []);
    }

    #[test]
    fn a_long_press_in_segments_is_one_digit() {
        let got = feed(
            &mut Digits::default(),
            &[
                (0, 5, event(10, false, 160)),
                (8191, 5, event(10, false, u16::MAX)),
                (8200, 65_540, event(10, false, 160)),
                (8300, 65_540, event(10, true, 800)),
            ],
        );
        assert_eq!(got, [('*', (65_535 + 800) / 8)]);
    }

    #[test]
    fn flash_and_garbage_are_no_digits() {
        let got =
            feed(&mut Digits::default(), &[(0, 5, event(16, true, 160)), (100, 2000, event(255, true, 1))]);
        assert_eq!(got, []);
        let mut digits = Digits::default();
        assert_eq!(digits.packet(Instant::ZERO, 1, &[1, 2, 3]), [None, None]);
    }
}
