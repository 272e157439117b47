//! Making up for packets that did not come, where sound is decoded.
//!
//! The last period of the voice goes on, ever softer, for 60 ms; then there is silence. What comes next is faded in over
//! it. This is the idea of ITU-T G.711 appendix I, without its overlaps of several periods. Lengths here are in samples of
//! 8,000 Hz; a voice of 16,000 Hz has twice as many.

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
    /// Its samples by those of 8,000 Hz.
    scale: usize,
    /// The newest samples that came, the oldest first.
    history: Box<[i16]>,
    /// Samples made up in a row.
    made_up: usize,
    period: usize,
}

impl Concealer {
    /// * `scale` of a voice of `scale` times 8,000 samples a second; frames have as many times the samples
    pub(crate) fn new(scale: usize) -> Self {
        let history = vec![0; HISTORY * scale].into_boxed_slice();
        Concealer { scale, history, made_up: 0, period: PERIOD_MAX * scale }
    }

    /// Another source begins.
    pub(crate) fn forget(&mut self) {
        self.history.fill(0);
        (self.made_up, self.period) = (0, PERIOD_MAX * self.scale);
    }

    /// A whole frame came.
    pub(crate) fn came(&mut self, frame: &mut [i16]) {
        let join = JOIN * self.scale;
        if self.made_up > 0 {
            for (i, sample) in frame.iter_mut().take(join).enumerate() {
                let (old, new) = (i32::from(self.guess(self.made_up + i)), i32::from(*sample));
                let share = i as i32 + 1;
                *sample = ((old * (join as i32 - share) + new * share) / join as i32) as i16;
            }
            self.made_up = 0;
        }
        let kept = self.history.len() - frame.len();
        self.history.copy_within(frame.len().., 0);
        self.history[kept..].copy_from_slice(frame);
    }

    /// A frame came in part or not at all: what is missing is made up.
    pub(crate) fn fill(&mut self, frame: &mut [i16], has: impl Fn(usize) -> bool) {
        if self.made_up == 0 {
            self.period = period(&self.history, self.scale);
        }
        for (i, sample) in frame.iter_mut().enumerate() {
            if !has(i) {
                *sample = self.guess(self.made_up + i);
            }
        }
        self.made_up = (self.made_up + frame.len()).min(ENDS_AFTER * self.scale);
    }

    /// The sample that would have come so long after the last one.
    fn guess(&self, since: usize) -> i16 {
        let (fades, ends) = (FADES_AFTER * self.scale, ENDS_AFTER * self.scale);
        let left = ends.saturating_sub(since.max(fades)) as i32;
        let sample = i32::from(self.history[self.history.len() - self.period + since % self.period]);
        (sample * left / (ends - fades) as i32) as i16
    }
}

/// After how many samples the sound is most like itself. Of more than 8,000 samples a second not all are looked at.
fn period(history: &[i16], scale: usize) -> usize {
    let (shortest, longest) = (PERIOD_MIN * scale, PERIOD_MAX * scale);
    let newest = &history[history.len() - longest..];
    let mut best = (0.0_f32, longest);
    for lag in (shortest..=longest).step_by(scale) {
        let earlier = &history[history.len() - longest - lag..history.len() - lag];
        let (mut alike, mut energy) = (0_i64, 1_i64);
        for (a, b) in newest.iter().zip(earlier).step_by(scale) {
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
    use crate::player::FRAME_SAMPLES;
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
            let mut concealer = Concealer::new(1);
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
    fn a_voice_of_twice_as_many_samples_is_made_up_for_as_well() {
        let frame = |place: usize| -> Vec<i16> {
            let at = |i: usize| (place * 2 * FRAME_SAMPLES + i) as f64 / 16_000.0;
            // Its fifth partial is one that 8,000 samples a second could not hold.
            let tone = |i: usize, hertz: f64| (at(i) * hertz * TAU).sin();
            (0..2 * FRAME_SAMPLES)
                .map(|i| (tone(i, 1_000.0) * 6_000.0 + tone(i, 5_000.0) * 2_000.0) as i16)
                .collect()
        };
        let mut concealer = Concealer::new(2);
        (0..10).for_each(|place| concealer.came(&mut frame(place)));
        let mut made_up = vec![0; 2 * FRAME_SAMPLES];
        concealer.fill(&mut made_up, |_| false);
        let error = error_db(&made_up[..2 * FADES_AFTER], &frame(10)[..2 * FADES_AFTER]);
        assert!(error < -12.0, "{error} dB");
        let mut next = frame(11);
        concealer.came(&mut next);
        assert_eq!(next[2 * JOIN..], frame(11)[2 * JOIN..]);
    }

    #[test]
    fn a_long_gap_ends_in_silence_and_never_leaps() {
        let mut concealer = Concealer::new(1);
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
