//! Making up for packets that did not come, where sound is decoded.
//!
//! The last period of the voice goes on, ever softer, for 60 ms; then there is silence. What comes next is faded in over
//! it. This is the idea of ITU-T G.711 appendix I, without its overlaps of several periods.

use crate::player::FRAME_SAMPLES;

/// Samples remembered: the longest period, and as much again to find it by.
const HISTORY: usize = 2 * PERIOD_MAX;
/// Periods that are looked for, samples: 200 Hz to 50 Hz, and overtones of what is higher.
const PERIOD_MIN: usize = 40;
const PERIOD_MAX: usize = 160;
/// How long the voice goes on as loud as it was (10 ms), and until when it fades (60 ms).
const FADES_AFTER: usize = 80;
const ENDS_AFTER: usize = 480;
/// What comes after a gap is faded in over so many samples: 5 ms.
const JOIN: usize = 40;

/// What one voice sounded like lately.
#[derive(Debug)]
pub(crate) struct Concealer {
    /// The newest samples that came, the oldest first.
    history: [i16; HISTORY],
    /// Samples made up in a row.
    made_up: usize,
    period: usize,
}

impl Concealer {
    pub(crate) fn new() -> Self {
        Concealer { history: [0; HISTORY], made_up: 0, period: PERIOD_MAX }
    }

    /// Another source begins.
    pub(crate) fn forget(&mut self) {
        *self = Concealer::new();
    }

    /// A whole frame came.
    pub(crate) fn came(&mut self, frame: &mut [i16; FRAME_SAMPLES]) {
        if self.made_up > 0 {
            for (i, sample) in frame.iter_mut().take(JOIN).enumerate() {
                let (old, new) = (i32::from(self.guess(self.made_up + i)), i32::from(*sample));
                let share = i as i32 + 1;
                *sample = ((old * (JOIN as i32 - share) + new * share) / JOIN as i32) as i16;
            }
            self.made_up = 0;
        }
        self.history.copy_within(FRAME_SAMPLES.., 0);
        self.history[HISTORY - FRAME_SAMPLES..].copy_from_slice(frame);
    }

    /// A frame came in part or not at all: what is missing is made up.
    pub(crate) fn fill(&mut self, frame: &mut [i16; FRAME_SAMPLES], has: impl Fn(usize) -> bool) {
        if self.made_up == 0 {
            self.period = period(&self.history);
        }
        for (i, sample) in frame.iter_mut().enumerate() {
            if !has(i) {
                *sample = self.guess(self.made_up + i);
            }
        }
        self.made_up = (self.made_up + FRAME_SAMPLES).min(ENDS_AFTER);
    }

    /// The sample that would have come so long after the last one.
    fn guess(&self, since: usize) -> i16 {
        let left = ENDS_AFTER.saturating_sub(since.max(FADES_AFTER)) as i32;
        let sample = i32::from(self.history[HISTORY - self.period + since % self.period]);
        (sample * left / (ENDS_AFTER - FADES_AFTER) as i32) as i16
    }
}

/// After how many samples the sound is most like itself.
fn period(history: &[i16; HISTORY]) -> usize {
    let newest = &history[HISTORY - PERIOD_MAX..];
    let mut best = (0.0_f32, PERIOD_MAX);
    for lag in PERIOD_MIN..=PERIOD_MAX {
        let earlier = &history[HISTORY - PERIOD_MAX - lag..HISTORY - lag];
        let (mut alike, mut energy) = (0_i64, 1_i64);
        for (a, b) in newest.iter().zip(earlier) {
            alike += i64::from(*a) * i64::from(*b);
            energy += i64::from(*b) * i64::from(*b);
        }
        let likeness = alike as f32 / (energy as f32).sqrt();
        if likeness > best.0 {
            best = (likeness, lag);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn frame(place: usize, hertz: f64) -> [i16; FRAME_SAMPLES] {
        core::array::from_fn(|i| {
            let at = (place * FRAME_SAMPLES + i) as f64 / 8000.0;
            ((at * hertz * TAU).sin() * 8_000.0) as i16
        })
    }

    fn error_db(a: &[i16], b: &[i16]) -> f64 {
        let power = |samples: &mut dyn Iterator<Item = f64>| samples.map(|x| x * x).sum::<f64>();
        let error = power(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
        10.0 * (error / power(&mut b.iter().map(|b| f64::from(*b)))).log10()
    }

    #[test]
    fn a_lost_frame_is_nearly_what_it_would_have_been() {
        for hertz in [100.0, 150.0, 425.0, 1_000.0] {
            let mut concealer = Concealer::new();
            (0..10).for_each(|place| concealer.came(&mut frame(place, hertz)));
            let mut made_up = [0; FRAME_SAMPLES];
            concealer.fill(&mut made_up, |_| false);
            let error = error_db(&made_up[..FADES_AFTER], &frame(10, hertz)[..FADES_AFTER]);
            assert!(error < -12.0, "{hertz} Hz: {error} dB; silence has 0");
            let mut next = frame(11, hertz);
            concealer.came(&mut next);
            assert_eq!(next[JOIN..], frame(11, hertz)[JOIN..], "what came is as it came");
        }
    }

    #[test]
    fn a_long_gap_ends_in_silence_and_never_leaps() {
        let mut concealer = Concealer::new();
        (0..10).for_each(|place| concealer.came(&mut frame(place, 200.0)));
        let mut heard = frame(9, 200.0).to_vec();
        for _ in 0..5 {
            let mut made_up = [0; FRAME_SAMPLES];
            concealer.fill(&mut made_up, |_| false);
            heard.extend(made_up);
        }
        assert!(heard[FRAME_SAMPLES + ENDS_AFTER..].iter().all(|sample| *sample == 0));
        let mut next = frame(15, 200.0);
        concealer.came(&mut next);
        heard.extend(next);
        let leap = heard.windows(2).map(|two| (i32::from(two[1]) - i32::from(two[0])).abs()).max().unwrap();
        // The tone itself moves by 1,256 a sample at most.
        assert!(leap < 1_700, "{leap}");
    }
}
