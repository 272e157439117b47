//! Sines.

use core::f32::consts::TAU;

/// A sine at a fixed frequency and level, sample by sample at 8,000 Hz.
#[derive(Clone, Copy, Debug)]
pub struct Oscillator {
    phase: f32,
    step: f32,
    amplitude: f32,
}

/// Peak of a sine at 0 dBm0 in 16 bits: 3.14 dB under the largest A-law sine (G.711 §2).
pub const PEAK_AT_0_DBM0: f32 = 22_827.0;

impl Oscillator {
    /// * `frequency_hz` 0..4,000
    /// * `level_dbm0` at most 3
    #[must_use]
    pub fn new(frequency_hz: f32, level_dbm0: f32) -> Self {
        Oscillator {
            phase: 0.0,
            step: frequency_hz / 8000.0,
            amplitude: PEAK_AT_0_DBM0 * 10_f32.powf(level_dbm0 / 20.0),
        }
    }

    /// The next sample.
    #[inline]
    pub fn next_sample(&mut self) -> f32 {
        let sample = (self.phase * TAU).sin() * self.amplitude;
        self.phase = (self.phase + self.step).fract();
        sample
    }
}

/// Adds with saturation.
#[inline]
#[must_use]
pub fn mix(sample: i16, added: f32) -> i16 {
    (f32::from(sample) + added).clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16
}
