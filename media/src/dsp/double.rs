//! From 8,000 samples a second to 16,000: each sample, and one between it and the next.

use std::f64::consts::PI;

/// Samples that the one in between is made of.
const TAPS: usize = 16;

/// One voice's state; delays it by 1 ms.
#[derive(Clone, Debug)]
pub struct Doubler {
    /// The newest samples, the oldest first.
    before: [i16; TAPS],
    weights: [f32; TAPS],
}

impl Default for Doubler {
    fn default() -> Self {
        // A sinc half a sample off, under a Blackman window; what is at 0 Hz keeps its level.
        let raw: [f64; TAPS] = core::array::from_fn(|tap| {
            let at = tap as f64 + 0.5 - TAPS as f64 / 2.0;
            let turn = 2.0 * PI * (tap as f64 + 0.5) / TAPS as f64;
            (PI * at).sin() / (PI * at) * (0.42 - 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos())
        });
        let sum: f64 = raw.iter().sum();
        Doubler { before: [0; TAPS], weights: raw.map(|weight| (weight / sum) as f32) }
    }
}

impl Doubler {
    /// Writes two samples for each; `doubled` is twice as long, or the shorter one counts.
    pub fn double(&mut self, samples: &[i16], doubled: &mut [i16]) {
        for (sample, pair) in samples.iter().zip(doubled.chunks_exact_mut(2)) {
            self.before.copy_within(1.., 0);
            self.before[TAPS - 1] = *sample;
            let between: f32 = self
                .before
                .iter()
                .zip(&self.weights)
                .map(|(sample, weight)| f32::from(*sample) * weight)
                .sum();
            pair[0] = self.before[TAPS / 2 - 1];
            pair[1] = between.round() as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tones_keep_their_level_and_have_no_image() {
        for hertz in [300.0, 1_000.0, 2_500.0, 3_000.0] {
            let tone: Vec<i16> = (0..4_000)
                .map(|i| ((f64::from(i) * hertz / 8000.0 * 2.0 * PI).sin() * 8_000.0) as i16)
                .collect();
            let mut doubled = vec![0; 8_000];
            Doubler::default().double(&tone, &mut doubled);
            let peak = |at: f64| {
                let (mut re, mut im) = (0.0, 0.0);
                for (i, sample) in doubled[1_600..].iter().enumerate() {
                    let angle = 2.0 * PI * at * i as f64 / 16_000.0;
                    re += f64::from(*sample) * angle.cos();
                    im += f64::from(*sample) * angle.sin();
                }
                2.0 * (re * re + im * im).sqrt() / 6_400.0
            };
            assert!((7_500.0..8_200.0).contains(&peak(hertz)), "{hertz}: {}", peak(hertz));
            assert!(peak(8_000.0 - hertz) < 400.0, "{hertz}: image {}", peak(8_000.0 - hertz));
        }
    }
}
