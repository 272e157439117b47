//! What the plane says by itself: prompts and beeps.

use crate::dsp::oscillator::{Oscillator, mix};
use crate::{PlayRequest, Tone};

/// Samples in one frame of 20 ms at 8,000 Hz.
pub(crate) const FRAME_SAMPLES: usize = 160;

/// A prompt being played.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) request: PlayRequest,
    position: usize,
}

impl Player {
    pub(crate) fn new(request: PlayRequest) -> Self {
        Player { request, position: 0 }
    }

    /// Fills the next frame. True: that was the last one.
    pub(crate) fn frame(&mut self, frame: &mut [i16; FRAME_SAMPLES]) -> bool {
        let samples = &self.request.samples;
        frame.fill(0);
        let mut filled = 0;
        while filled < FRAME_SAMPLES {
            if self.position >= samples.len() {
                if !self.request.repeat || samples.is_empty() {
                    return true;
                }
                self.position = 0;
            }
            let count = (samples.len() - self.position).min(FRAME_SAMPLES - filled);
            frame[filled..filled + count].copy_from_slice(&samples[self.position..self.position + count]);
            filled += count;
            self.position += count;
        }
        !self.request.repeat && self.position >= samples.len()
    }
}

/// A beep being mixed in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beep {
    oscillator: Oscillator,
    played: u32,
    total: u32,
}

/// Samples over which a beep rises and falls (5 ms), so that it does not click.
const RAMP: u32 = 40;
/// The longest beep, milliseconds.
const BEEP_MS_MAX: u16 = 10_000;

impl Beep {
    pub(crate) fn new(tone: Tone) -> Self {
        Beep {
            oscillator: Oscillator::new(
                f32::from(tone.frequency_hz.clamp(1, 3999)),
                f32::from(tone.level_dbm0.clamp(-60, 0)),
            ),
            played: 0,
            total: u32::from(tone.duration_ms.clamp(1, BEEP_MS_MAX)) * 8,
        }
    }

    /// Adds the next samples. True: the beep is over.
    pub(crate) fn mix_into(&mut self, samples: &mut [i16]) -> bool {
        for sample in samples {
            let left = self.total - self.played;
            if left == 0 {
                return true;
            }
            let ramp = self.played.min(left).min(RAMP) as f32 / RAMP as f32;
            *sample = mix(*sample, self.oscillator.next_sample() * ramp);
            self.played += 1;
        }
        self.played >= self.total
    }
}
