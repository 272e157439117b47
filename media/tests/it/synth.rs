//! Sounds for the ears: speech-like syllables, tones, noise. All at 8,000 Hz, in units of 16 bits.

use core::f64::consts::TAU;
use sansio::Rng;

/// Peak of a sine at 0 dBm0.
const PEAK: f64 = 22_827.0;

pub(crate) fn amplitude(level_dbm0: f64) -> f64 {
    PEAK * 10_f64.powf(level_dbm0 / 20.0)
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Sound(pub(crate) Vec<f64>);

impl Sound {
    pub(crate) fn silence(mut self, seconds: f64) -> Self {
        self.0.resize(self.0.len() + (seconds * 8000.0) as usize, 0.0);
        self
    }

    /// Sines together, each at the level.
    pub(crate) fn tones(mut self, frequencies: &[f64], seconds: f64, level_dbm0: f64) -> Self {
        let peak = amplitude(level_dbm0);
        for i in 0..(seconds * 8000.0) as usize {
            let sample: f64 = frequencies.iter().map(|f| (TAU * f * i as f64 / 8000.0).sin()).sum();
            self.0.push(sample * peak);
        }
        self
    }

    /// Syllables of a voice: harmonics of a moving pitch under a formant, each with its attack and decay, short
    /// gaps between, now and then an unvoiced consonant.
    pub(crate) fn speech(mut self, rng: &mut Rng, seconds: f64, level_dbm0: f64) -> Self {
        let end = self.0.len() + (seconds * 8000.0) as usize;
        let voice = rng.between(95.0, 230.0);
        while self.0.len() < end {
            if rng.chance(0.4) {
                let length = (rng.between(0.03, 0.08) * 8000.0) as usize;
                let peak = amplitude(level_dbm0 - rng.between(10.0, 18.0));
                self.0.extend((0..length).map(|_| rng.normal() * peak * 0.5).collect::<Vec<_>>());
            }
            let length = (rng.between(0.10, 0.26) * 8000.0) as usize;
            let pitch = voice * rng.between(0.85, 1.2);
            let glide = rng.between(-0.15, 0.15);
            let formant = rng.between(400.0, 1200.0);
            let peak = amplitude(level_dbm0 + rng.between(-5.0, 2.0));
            let mut phase = 0.0;
            for i in 0..length {
                let along = i as f64 / length as f64;
                phase += pitch * (1.0 + glide * along) / 8000.0;
                let envelope = (along / 0.15).min(1.0) * ((1.0 - along) / 0.4).min(1.0);
                // sin(k·x) from the two before it.
                let (mut before, mut sine) = (0.0, (TAU * phase).sin());
                let twice_cosine = 2.0 * (TAU * phase).cos();
                let mut sample = 0.0;
                for harmonic in 1..=18 {
                    let frequency = pitch * f64::from(harmonic);
                    sample += (1.0 / (1.0 + ((frequency - formant) / 250.0).powi(2)) + 0.05) * sine;
                    (before, sine) = (sine, twice_cosine * sine - before);
                }
                self.0.push(sample * envelope * peak * 0.7);
            }
            let gap = if rng.chance(0.12) { rng.between(0.12, 0.35) } else { rng.between(0.02, 0.07) };
            self = self.silence(gap);
        }
        self.0.truncate(end);
        self
    }

    pub(crate) fn then(mut self, other: Sound) -> Self {
        self.0.extend(other.0);
        self
    }

    /// White noise over all of it.
    pub(crate) fn noise(mut self, rng: &mut Rng, level_dbm0: f64) -> Self {
        let rms = amplitude(level_dbm0) / 2_f64.sqrt();
        for sample in &mut self.0 {
            *sample += (rng.unit() - 0.5) * 12_f64.sqrt() * rms;
        }
        self
    }

    pub(crate) fn frames(&self) -> Vec<[i16; 160]> {
        let frame = |chunk: &[f64]| core::array::from_fn(|i| chunk[i].clamp(-32_768.0, 32_767.0) as i16);
        self.0.chunks_exact(160).map(frame).collect()
    }
}
