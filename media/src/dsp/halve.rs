//! From 16,000 samples a second to 8,000: every second one, of what lies under 4 kHz.

use std::f64::consts::PI;

/// Samples each one is made of; one more than a multiple of four, so that the outermost of a half-band filter count.
const TAPS: usize = 33;

/// One voice's state; delays it by 1 ms.
#[derive(Clone, Debug)]
pub struct Halver {
    /// The newest samples, the oldest first.
    before: [i16; TAPS],
    weights: [f32; TAPS],
}

impl Default for Halver {
    fn default() -> Self {
        // A sinc of half the band under a Blackman window; what is at 0 Hz keeps its level.
        let raw: [f64; TAPS] = core::array::from_fn(|tap| {
            let at = (tap as f64 - (TAPS / 2) as f64) / 2.0;
            let sinc = if at == 0.0 { 1.0 } else { (PI * at).sin() / (PI * at) };
            let turn = 2.0 * PI * (tap as f64 + 1.0) / (TAPS as f64 + 1.0);
            sinc * (0.42 - 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos())
        });
        let sum: f64 = raw.iter().sum();
        Halver { before: [0; TAPS], weights: raw.map(|weight| (weight / sum) as f32) }
    }
}

impl Halver {
    /// Writes one sample for each two; gives how many. What has no pair or no room is left out.
    pub fn halve(&mut self, samples: &[i16], halved: &mut [i16]) -> usize {
        let mut count = 0;
        for (pair, half) in samples.chunks_exact(2).zip(halved.iter_mut()) {
            self.before.copy_within(2.., 0);
            self.before[TAPS - 2..].copy_from_slice(pair);
            let sum: f32 = self
                .before
                .iter()
                .zip(&self.weights)
                .map(|(sample, weight)| f32::from(*sample) * weight)
                .sum();
            *half = sum.round() as i16;
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tones_keep_their_level_and_those_over_the_band_are_gone() {
        for (hertz, heard) in
            [(300.0, true), (1_000.0, true), (3_000.0, true), (5_000.0, false), (7_000.0, false)]
        {
            let tone: Vec<i16> = (0..8_000)
                .map(|i| ((f64::from(i) * hertz / 16_000.0 * 2.0 * PI).sin() * 8_000.0) as i16)
                .collect();
            let mut halved = vec![0; 4_000];
            assert_eq!(Halver::default().halve(&tone, &mut halved), 4_000);
            let at = if heard { hertz } else { 8_000.0 - hertz };
            let (mut re, mut im) = (0.0, 0.0);
            for (i, sample) in halved[800..].iter().enumerate() {
                let angle = 2.0 * PI * at * i as f64 / 8_000.0;
                re += f64::from(*sample) * angle.cos();
                im += f64::from(*sample) * angle.sin();
            }
            let peak = 2.0 * (re * re + im * im).sqrt() / 3_200.0;
            if heard {
                assert!((7_600.0..8_200.0).contains(&peak), "{hertz}: {peak}");
            } else {
                assert!(peak < 200.0, "{hertz}: its image at {at} has {peak}");
            }
        }
    }

    #[test]
    fn what_has_no_pair_or_no_room_is_left_out() {
        let mut halved = [7; 2];
        assert_eq!(Halver::default().halve(&[1, 2, 3], &mut halved), 1);
        assert_eq!(halved[1], 7);
        assert_eq!(Halver::default().halve(&[0; 10], &mut halved), 2);
    }
}
