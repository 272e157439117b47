//! 8,000 to 16,000 samples a second and back: a half-band filter (windowed sinc), sound goes on over calls.

use std::f32::consts::PI;

/// Taps of each of the two phases.
const HALF: usize = 16;

/// The filter's odd taps: every other tap is zero but for the middle one.
fn taps() -> [f32; HALF] {
    let mut taps = [0.0; HALF];
    for (place, tap) in taps.iter_mut().enumerate() {
        // Distance from the middle in samples at 16,000 Hz: odd.
        let x = (2 * place) as f32 - (HALF as f32 - 1.0);
        let window = 0.5 + 0.5 * (PI * x / (HALF as f32 + 1.0)).cos();
        *tap = (PI * x / 2.0).sin() / (PI * x / 2.0) * window;
    }
    let sum: f32 = taps.iter().sum();
    taps.map(|tap| tap / sum)
}

fn clamp(sample: f32) -> i16 {
    sample.round().clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16
}

/// From 8,000 to 16,000.
pub struct Up {
    taps: [f32; HALF],
    past: [f32; HALF],
}

impl Default for Up {
    fn default() -> Self {
        Up { taps: taps(), past: [0.0; HALF] }
    }
}

impl Up {
    /// Twice as many samples.
    pub fn run(&mut self, samples: &[i16]) -> Vec<i16> {
        let mut out = Vec::with_capacity(2 * samples.len());
        for sample in samples {
            self.past.rotate_left(1);
            self.past[HALF - 1] = f32::from(*sample);
            out.push(clamp(self.past[HALF / 2 - 1]));
            out.push(clamp(self.past.iter().zip(self.taps).map(|(past, tap)| past * tap).sum()));
        }
        out
    }
}

/// From 16,000 to 8,000.
pub struct Down {
    taps: [f32; HALF],
    even: [f32; HALF],
    odd: [f32; HALF],
    first: Option<i16>,
}

impl Default for Down {
    fn default() -> Self {
        Down { taps: taps(), even: [0.0; HALF], odd: [0.0; HALF], first: None }
    }
}

impl Down {
    /// Half as many samples.
    pub fn run(&mut self, samples: &[i16]) -> Vec<i16> {
        let mut out = Vec::with_capacity(samples.len() / 2 + 1);
        for sample in samples {
            let Some(first) = self.first.take() else {
                self.first = Some(*sample);
                continue;
            };
            self.even.rotate_left(1);
            self.even[HALF - 1] = f32::from(first);
            self.odd.rotate_left(1);
            self.odd[HALF - 1] = f32::from(*sample);
            let around: f32 = self.odd.iter().zip(self.taps).map(|(past, tap)| past * tap).sum();
            out.push(clamp(0.5 * self.even[HALF / 2] + 0.5 * around));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(frequency: f32, rate: f32, count: usize) -> Vec<i16> {
        (0..count).map(|n| (8_000.0 * (2.0 * PI * frequency * n as f32 / rate).sin()) as i16).collect()
    }

    fn level(samples: &[i16]) -> f32 {
        let sum: f32 = samples.iter().map(|sample| f32::from(*sample).powi(2)).sum();
        (sum / samples.len() as f32).sqrt()
    }

    #[test]
    fn a_tone_keeps_its_level_both_ways_and_what_does_not_fit_is_taken_out() {
        let there = Up::default().run(&tone(1_000.0, 8_000.0, 800));
        let error: Vec<i16> = there[400..1_200]
            .iter()
            .zip(&tone(1_000.0, 16_000.0, 1_600)[400 - 2 * (HALF / 2)..])
            .map(|(got, wanted)| got - wanted)
            .collect();
        assert!(level(&error) < 80.0, "{}", level(&error));
        let back = Down::default().run(&there);
        assert!((level(&back[100..]) / 5_657.0 - 1.0).abs() < 0.02, "{}", level(&back[100..]));
        let too_high = Down::default().run(&tone(6_500.0, 16_000.0, 1_600));
        assert!(level(&too_high[100..]) < 60.0, "{}", level(&too_high[100..]));
    }
}
