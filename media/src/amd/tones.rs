//! Tones behind the answer: the beep that asks for a message, and a fax machine's own.
//!
//! A frame is a tone when nearly all its energy lies at one frequency. That frequency is found by Pisarenko's method
//! from two autocorrelations, which white noise does not bias, and held against the frame by one Goertzel filter.
//! Below the beeps is where streets, fans and most of a voice's strength are: a filter takes that out first.

use super::FRAME;
use crate::dsp::goertzel::Goertzel;
use crate::dsp::sum::dot;
use core::f32::consts::TAU;
use core::ops::RangeInclusive;

/// Share of a frame's energy that its tone holds.
const SHARE_MIN: f32 = 0.65;
/// Quieter frames are no tone: −40 dBm0.
const ENERGY_MIN: f32 = FRAME as f32 * 161.41 * 161.41;
/// A tone stays within this of where it began, hertz.
const DRIFT_MAX_HZ: f32 = 30.0;
/// Frames of a beep, 120 ms to 2 s: shorter ones are speech, longer ones are no beep.
const BEEP_FRAMES: RangeInclusive<u32> = 6..=100;
/// Where beeps lie, hertz. Below are the tones of networks, and most voices' fundamentals.
const BEEP_HZ: RangeInclusive<f32> = 500.0..=2_600.0;
/// A called fax machine answers with 2,100 Hz (ITU-T T.30 CED), a calling one with 1,100 Hz (CNG), give or take this.
const FAX_HZ: [f32; 2] = [2_100.0, 1_100.0];
const FAX_OFF_MAX_HZ: f32 = 42.0;
/// Frames of a fax machine's tone: CNG lasts 500 ms, CED 2.6 to 4 s, broken by reversals of phase.
const FAX_FRAMES_MIN: u32 = 20;
/// Frames that may be missing within a tone: a reversal of phase, a lost packet.
const HOLE_FRAMES_MAX: u32 = 2;

/// What was heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ToneHeard {
    /// A beep, and it is over.
    Beep,
    /// A fax machine.
    Fax,
}

/// Follows the tones of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct ToneEar {
    /// Frequency and frames of the tone that is sounding.
    tone: Option<(f32, u32)>,
    hole: u32,
    high: HighPass,
}

/// Butterworth's filter of second order, 450 Hz and up.
#[derive(Clone, Copy, Debug, Default)]
struct HighPass(f32, f32);

impl HighPass {
    const FORWARD: [f32; 3] = [0.778_553, -1.557_106, 0.778_553];
    const BACK: [f32; 2] = [-1.507_45, 0.606_76];

    fn sample(&mut self, sample: f32) -> f32 {
        let out = Self::FORWARD[0] * sample + self.0;
        self.0 = Self::FORWARD[1] * sample - Self::BACK[0] * out + self.1;
        self.1 = Self::FORWARD[2] * sample - Self::BACK[1] * out;
        out
    }
}

impl ToneEar {
    /// Feeds the next 20 ms.
    pub fn frame(&mut self, samples: &[i16; FRAME]) -> Option<ToneHeard> {
        let heard = pure_tone(&samples.map(|sample| self.high.sample(f32::from(sample))));
        match (&mut self.tone, heard) {
            (Some((begun, frames)), Some(frequency)) if (frequency - *begun).abs() <= DRIFT_MAX_HZ => {
                *frames += 1 + std::mem::take(&mut self.hole);
                (*frames == FAX_FRAMES_MIN && is_fax(*begun)).then_some(ToneHeard::Fax)
            }
            (Some((begun, frames)), _) => {
                self.hole += 1;
                if self.hole <= HOLE_FRAMES_MAX {
                    return None;
                }
                let beep = BEEP_FRAMES.contains(frames) && BEEP_HZ.contains(begun);
                self.hole = 0;
                self.tone = heard.map(|frequency| (frequency, 1));
                beep.then_some(ToneHeard::Beep)
            }
            (None, Some(frequency)) => {
                self.tone = Some((frequency, 1));
                None
            }
            (None, None) => None,
        }
    }
}

fn is_fax(frequency: f32) -> bool {
    FAX_HZ.iter().any(|fax| (frequency - fax).abs() <= FAX_OFF_MAX_HZ)
}

/// The frequency of a frame that is one tone.
fn pure_tone(sound: &[f32; FRAME]) -> Option<f32> {
    let energy = dot(sound, sound);
    if energy < ENERGY_MIN {
        return None;
    }
    let lag = |by: usize| dot(sound, &sound[by..]);
    let (one, two) = (lag(1) / (FRAME - 1) as f32, lag(2) / (FRAME - 2) as f32);
    // Two forms of one root: each loses all its digits where the other does not, the first around 2,000 Hz.
    let root = (two * two + 8.0 * one * one).sqrt();
    let cosine = if two > 0.0 { (two + root) / (4.0 * one) } else { 2.0 * one / (root - two) };
    if !(-1.0..=1.0).contains(&cosine) {
        return None;
    }
    let frequency = cosine.acos() * 8000.0 / TAU;
    (Goertzel::new(frequency).share(sound, energy) >= SHARE_MIN).then_some(frequency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::oscillator::{Oscillator, mix};
    use sansio::Rng;

    fn hear(parts: &[(f32, f32, u32)], noise: f32) -> Vec<ToneHeard> {
        let mut rng = Rng::from_seed(3);
        let mut samples = Vec::new();
        for &(frequency, level, ms) in parts {
            let mut tone = Oscillator::new(frequency, level);
            for _ in 0..ms * 8 {
                let noise = rng.normal() as f32 * 16_141.0 * 10_f32.powf(noise / 20.0);
                let sample = if level > -90.0 { tone.next_sample() } else { 0.0 };
                samples.push(mix(0, sample + noise));
            }
        }
        let mut ear = ToneEar::default();
        let frames = samples.chunks_exact(FRAME);
        frames.filter_map(|frame| ear.frame(frame.first_chunk().expect("a whole frame"))).collect()
    }

    const QUIET: f32 = -99.0;

    #[test]
    fn beeps_of_all_pitches_and_lengths_are_heard_when_they_are_over() {
        for frequency in [520.0, 850.0, 1000.0, 1330.0, 1400.0, 1780.0, 2000.0] {
            for ms in [160, 250, 400, 1000] {
                for (level, noise) in [(-12.0, -60.0), (-25.0, -60.0), (-15.0, -28.0)] {
                    let heard = hear(&[(0.0, QUIET, 300), (frequency, level, ms), (0.0, QUIET, 300)], noise);
                    assert_eq!(
                        heard,
                        [ToneHeard::Beep],
                        "{frequency} Hz, {ms} ms, {level} over {noise} dBm0"
                    );
                }
            }
        }
    }

    #[test]
    fn a_click_a_long_tone_and_noise_are_no_beeps() {
        assert_eq!(hear(&[(1000.0, -10.0, 80), (0.0, QUIET, 200)], -60.0), []);
        assert_eq!(hear(&[(1000.0, -10.0, 5000), (0.0, QUIET, 200)], -60.0), []);
        assert_eq!(hear(&[(425.0, -10.0, 500), (0.0, QUIET, 500)], -60.0), []);
        assert_eq!(hear(&[(0.0, QUIET, 60_000)], -15.0), []);
    }

    #[test]
    fn fax_machines_are_known_while_they_sound() {
        for frequency in [2100.0, 2085.0, 2115.0, 1100.0, 1062.0, 1138.0] {
            let heard = hear(&[(0.0, QUIET, 300), (frequency, -15.0, 480)], -50.0);
            assert_eq!(heard, [ToneHeard::Fax], "{frequency}");
        }
        // ANSam: 2,100 Hz whose phase turns every 450 ms.
        let mut parts = vec![(0.0, QUIET, 200)];
        parts.extend([(2100.0, -15.0, 437); 3]);
        assert_eq!(hear(&parts, -60.0)[0], ToneHeard::Fax);
    }
}
