//! Goertzel filters: how much of a window's energy lies at one frequency.

use core::f32::consts::TAU;

/// One frequency to look for.
#[derive(Clone, Copy, Debug)]
pub struct Goertzel {
    coefficient: f32,
}

impl Goertzel {
    /// `frequency_hz` in 0..4,000, for sound at 8,000 Hz.
    #[must_use]
    pub fn new(frequency_hz: f32) -> Self {
        Goertzel { coefficient: 2.0 * (TAU * frequency_hz / 8000.0).cos() }
    }

    /// The share of `energy` (sum of squares of `window`) at this frequency, 0..=1 or a little over: 1 for a pure
    /// sine at it, near 0 for one further away than 8,000 ÷ window length hertz.
    #[must_use]
    pub fn share(&self, window: &[f32], energy: f32) -> f32 {
        if energy <= 0.0 {
            return 0.0;
        }
        let (mut one, mut two) = (0.0_f32, 0.0_f32);
        for &sample in window {
            let next = sample + self.coefficient * one - two;
            two = one;
            one = next;
        }
        let power = one * one + two * two - self.coefficient * one * two;
        2.0 * power / (window.len() as f32 * energy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::oscillator::Oscillator;

    #[test]
    fn a_sine_is_all_at_its_frequency_and_not_at_others() {
        for frequency in [350.0, 425.0, 1800.0] {
            let mut tone = Oscillator::new(frequency, -10.0);
            let window: Vec<f32> = (0..320).map(|_| tone.next_sample()).collect();
            let energy = window.iter().map(|s| s * s).sum();
            assert!((Goertzel::new(frequency).share(&window, energy) - 1.0).abs() < 0.05);
            assert!(Goertzel::new(frequency + 50.0).share(&window, energy) < 0.05);
            assert!(Goertzel::new(frequency + 6.0).share(&window, energy) > 0.75);
        }
        assert_eq!(Goertzel::new(440.0).share(&[0.0; 320], 0.0), 0.0);
    }
}
