//! Answering-machine detection.
//!
//! [`Detector`] is the seam: 20 ms frames in, at most one judgement out. What stands behind it now is
//! [`timing::TimingDetector`]: a voice activity detector with a learning noise floor, and a state machine over the
//! length of the first utterance; beside it [`tones::ToneEar`], which knows a beep and a fax machine for what they are.
//! By its nature timing it cannot tell a voicemail greeting from a receptionist who talks
//! for two seconds, nor a voice in the background from the one that answers.

pub mod timing;
pub mod tones;
pub(crate) mod vad;

use self::tones::{ToneEar, ToneHeard};
use crate::{AmdCause, AmdVerdict};
use core::fmt::Debug;
use sansio::Duration;

/// Samples of a frame: 20 ms at 8,000 Hz.
pub const FRAME: usize = 160;

/// When to call an answer a machine. The defaults are those that did best of three settings on synthetic calls;
/// they prove nothing about a given country's callers, so they are all settable.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AmdConfig {
    /// Speech that goes on this long (short pauses included) is a machine's greeting.
    pub machine_speech_min: Duration,
    /// A first utterance no longer than this may be a person's.
    pub human_speech_max: Duration,
    /// … when this much silence follows.
    pub human_silence_min: Duration,
    /// Nobody says anything for this long: unsure.
    pub initial_silence_max: Duration,
    /// No verdict after this long: unsure.
    pub listen_max: Duration,
    /// How far over the noise floor a frame must be to count as voice, decibels.
    pub voice_over_floor_db: f32,
    /// Frames under this are silence whatever the floor, dBm0.
    pub voice_level_min_dbm0: f32,
}

impl Default for AmdConfig {
    fn default() -> Self {
        AmdConfig {
            machine_speech_min: Duration::from_millis(2000),
            human_speech_max: Duration::from_millis(1800),
            human_silence_min: Duration::from_millis(600),
            initial_silence_max: Duration::from_millis(4000),
            listen_max: Duration::from_millis(6000),
            voice_over_floor_db: 9.0,
            voice_level_min_dbm0: -48.0,
        }
    }
}

impl AmdConfig {
    /// The detector of this build.
    #[must_use]
    pub fn detector(&self) -> Box<dyn Detector> {
        Box::new(WithTones { timing: timing::TimingDetector::new(*self), tones: ToneEar::default() })
    }
}

/// Who answered, and how that was found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Judgement {
    /// Who.
    pub verdict: AmdVerdict,
    /// By which rule.
    pub cause: AmdCause,
    /// 0..=1, a score.
    pub confidence: f32,
}

/// Listens from the answer on.
pub trait Detector: Debug + Send {
    /// Feeds the next 20 ms. After it has judged once it is not asked again.
    fn frame(&mut self, samples: &[i16; FRAME]) -> Option<Judgement>;
}

/// Timing, and tones that say more than timing.
#[derive(Clone, Debug)]
struct WithTones {
    timing: timing::TimingDetector,
    tones: ToneEar,
}

impl Detector for WithTones {
    fn frame(&mut self, samples: &[i16; FRAME]) -> Option<Judgement> {
        let timing = self.timing.frame(samples);
        let (verdict, cause, confidence) = match self.tones.frame(samples) {
            Some(ToneHeard::Fax) => (AmdVerdict::Fax, AmdCause::FaxTone, 0.95),
            Some(ToneHeard::Beep) => (AmdVerdict::Machine, AmdCause::Beep, 0.9),
            None => return timing,
        };
        Some(Judgement { verdict, cause, confidence })
    }
}
