//! From sound to words: which way the slope between neighbouring bands changes.

use super::HOP_SAMPLES;
use crate::dsp::level::level_dbm0;
use core::fmt;
use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};
use std::sync::Arc;

/// Samples that one word looks at: 256 ms. Two windows a hop apart share 12/13 of it, so a word changes little when a
/// hop begins elsewhere.
const WINDOW: usize = 2_048;
/// Bands, one more than a word has bits, evenly spaced on a logarithmic scale …
const BANDS: usize = 33;
/// … between these, hertz: inside what every telephone line passes.
const LOWEST_HZ: f32 = 300.0;
const HIGHEST_HZ: f32 = 3_000.0;
/// Hertz per line of the transform.
const LINE_HZ: f32 = 8_000.0 / WINDOW as f32;
/// Quieter than this is silence, dBm0, whose words mean nothing.
const SILENCE_DBM0: f32 = -45.0;

/// What all printers of a book share.
#[derive(Clone)]
pub(super) struct Tables {
    transform: Arc<dyn RealToComplex<f32>>,
    hann: Arc<[f32]>,
    /// First line of each band, and the first behind the last.
    edges: [usize; BANDS + 1],
}

impl Default for Tables {
    fn default() -> Self {
        let hann = |n| 0.5 - 0.5 * (core::f32::consts::TAU * n as f32 / WINDOW as f32).cos();
        Tables {
            transform: RealFftPlanner::new().plan_fft_forward(WINDOW),
            hann: (0..WINDOW).map(hann).collect(),
            edges: core::array::from_fn(|band| {
                let hz = LOWEST_HZ * (HIGHEST_HZ / LOWEST_HZ).powf(band as f32 / BANDS as f32);
                (hz / LINE_HZ).round() as usize
            }),
        }
    }
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables").finish_non_exhaustive()
    }
}

/// Makes a word of every 20 ms of sound.
#[derive(Clone)]
pub(super) struct Printer {
    tables: Tables,
    window: Box<[f32; WINDOW]>,
    before: [f32; BANDS],
    /// Memory for one transform.
    input: Box<[f32]>,
    lines: Box<[Complex<f32>]>,
    scratch: Box<[Complex<f32>]>,
}

impl fmt::Debug for Printer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Printer").finish_non_exhaustive()
    }
}

impl Printer {
    pub(super) fn new(tables: &Tables) -> Self {
        let transform = &tables.transform;
        Printer {
            tables: tables.clone(),
            window: Box::new([0.0; WINDOW]),
            before: [0.0; BANDS],
            input: transform.make_input_vec().into(),
            lines: transform.make_output_vec().into(),
            scratch: transform.make_scratch_vec().into(),
        }
    }

    /// The word of the next 20 ms; `None` where it is silent.
    pub(super) fn frame(&mut self, samples: &[i16; HOP_SAMPLES]) -> Option<u32> {
        self.window.copy_within(HOP_SAMPLES.., 0);
        for (kept, &sample) in self.window[WINDOW - HOP_SAMPLES..].iter_mut().zip(samples) {
            *kept = f32::from(sample);
        }
        let silent = level_dbm0(samples) < SILENCE_DBM0;
        let bands = self.bands()?;
        let before = std::mem::replace(&mut self.before, bands);
        let slope = |bands: &[f32; BANDS], band: usize| bands[band] - bands[band + 1];
        let word = (0..BANDS - 1)
            .fold(0, |word, band| word << 1 | u32::from(slope(&bands, band) > slope(&before, band)));
        (!silent).then_some(word)
    }

    /// The energy of each band.
    fn bands(&mut self) -> Option<[f32; BANDS]> {
        let tables = &self.tables;
        for ((input, sample), weight) in self.input.iter_mut().zip(&self.window[..]).zip(&tables.hann[..]) {
            *input = sample * weight;
        }
        // Fails only for vectors of other lengths than it made itself.
        tables.transform.process_with_scratch(&mut self.input, &mut self.lines, &mut self.scratch).ok()?;
        Some(core::array::from_fn(|band| {
            self.lines[tables.edges[band]..tables.edges[band + 1]].iter().map(Complex::norm_sqr).sum()
        }))
    }
}
