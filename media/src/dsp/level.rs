//! Loudness of a frame.

/// Root mean square of a sine at 0 dBm0 in 16 bits (see [`super::oscillator::PEAK_AT_0_DBM0`]).
const RMS_AT_0_DBM0: f32 = 16_141.0;
/// What digital silence is taken for, dBm0: the quietest step of G.711 lies a little above.
pub const QUIETEST_DBM0: f32 = -72.0;

/// The level of a frame, dBm0, [`QUIETEST_DBM0`]..=6.2.
#[must_use]
pub fn level_dbm0(samples: &[i16]) -> f32 {
    let energy: i64 = samples.iter().map(|&sample| i64::from(sample) * i64::from(sample)).sum();
    let mean = energy as f32 / samples.len().max(1) as f32;
    (10.0 * (mean / (RMS_AT_0_DBM0 * RMS_AT_0_DBM0)).max(1e-9).log10()).max(QUIETEST_DBM0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::oscillator::{Oscillator, mix};

    #[test]
    fn a_tone_has_its_level_and_silence_the_floor() {
        let mut tone = Oscillator::new(1000.0, -20.0);
        let samples: Vec<i16> = (0..160).map(|_| mix(0, tone.next_sample())).collect();
        assert!((level_dbm0(&samples) + 20.0).abs() < 0.1);
        assert_eq!(level_dbm0(&[0; 160]), QUIETEST_DBM0);
        assert_eq!(level_dbm0(&[]), QUIETEST_DBM0);
    }
}
