//! Answering-machine detection.
//!
//! [`Detector`] is the seam: 20 ms frames in, at most one judgement out. Behind it [`greeting::Greeting`] says every
//! 80 ms what the greeting is like so far, [`model`] how likely that is a machine's, and the detector when that is
//! enough; beside it [`tones::ToneEar`] knows a beep and a fax machine for what they are.
//! It does not know words: a recording that sounds like a person, and a person who talks like a recording, are told
//! apart only as far as length, pauses and loudness go. Unsure is to be treated as a person.

pub mod greeting;
pub mod model;
pub mod tones;
pub(crate) mod vad;
mod weights;

use self::greeting::Greeting;
use self::tones::{ToneEar, ToneHeard};
use crate::{AmdCause, AmdVerdict};
use core::fmt::Debug;
use sansio::Duration;

/// Samples of a frame: 20 ms at 8,000 Hz.
pub const FRAME: usize = 160;

/// When to call an answer a machine. The defaults are those that did best on synthetic calls in the training voices;
/// they prove nothing about a given country's callers, so they are all settable.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AmdConfig {
    /// A machine must be so much likelier than a person, natural logarithm. Higher spares people and misses machines.
    pub machine_log_odds_min: f32,
    /// A person must be so much likelier than a machine, natural logarithm. Lower decides sooner and misses machines.
    pub human_log_odds_min: f32,
    /// No verdict sooner than this after the first word.
    pub speech_min: Duration,
    /// Nobody says anything for this long: unsure.
    pub initial_silence_max: Duration,
    /// No verdict after this long, at most 30 s: unsure.
    pub listen_max: Duration,
    /// Voices that never get louder than this are not heard, dBm0.
    pub voice_level_min_dbm0: f32,
}

impl Default for AmdConfig {
    fn default() -> Self {
        AmdConfig {
            machine_log_odds_min: 4.0,
            human_log_odds_min: 2.6,
            speech_min: Duration::from_millis(500),
            initial_silence_max: Duration::from_millis(4000),
            listen_max: Duration::from_millis(8000),
            voice_level_min_dbm0: -48.0,
        }
    }
}

impl AmdConfig {
    /// The detector of this build.
    #[must_use]
    pub fn detector(&self) -> Box<dyn Detector> {
        let greeting = Greeting::new(self.voice_level_min_dbm0);
        Box::new(Ears { config: *self, greeting, heard_anyone: false, tones: ToneEar::default() })
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

/// Longest time that is listened for, whatever is asked for: what was heard is kept that long.
const LISTEN_MAX: Duration = Duration::from_secs(30);

/// The greeting, and tones that say more than it.
#[derive(Clone, Debug)]
struct Ears {
    config: AmdConfig,
    greeting: Greeting,
    heard_anyone: bool,
    tones: ToneEar,
}

fn frames(duration: Duration) -> usize {
    usize::try_from(duration.min(LISTEN_MAX).as_millis() / 20).unwrap_or(usize::MAX)
}

fn judgement(verdict: AmdVerdict, cause: AmdCause, confidence: f32) -> Judgement {
    Judgement { verdict, cause, confidence }
}

impl Ears {
    fn by_greeting(&mut self, samples: &[i16; FRAME]) -> Option<Judgement> {
        let config = &self.config;
        let look = self.greeting.frame(samples);
        if let Some(look) = look.filter(|look| look.since_onset >= frames(config.speech_min)) {
            self.heard_anyone = true;
            let odds = model::machine_log_odds(&look.features);
            let confidence = 1.0 / (1.0 + (-odds.abs()).exp());
            if odds >= config.machine_log_odds_min {
                return Some(judgement(AmdVerdict::Machine, AmdCause::LongGreeting, confidence));
            }
            if -odds >= config.human_log_odds_min {
                return Some(judgement(AmdVerdict::Human, AmdCause::ShortGreeting, confidence));
            }
        }
        let now = self.greeting.frames();
        if !self.heard_anyone && now >= frames(config.initial_silence_max) {
            return Some(judgement(AmdVerdict::Unsure, AmdCause::InitialSilence, 0.5));
        }
        (now >= frames(config.listen_max)).then(|| judgement(AmdVerdict::Unsure, AmdCause::TimeLimit, 0.5))
    }
}

impl Detector for Ears {
    fn frame(&mut self, samples: &[i16; FRAME]) -> Option<Judgement> {
        let by_greeting = self.by_greeting(samples);
        match self.tones.frame(samples) {
            Some(ToneHeard::Fax) => Some(judgement(AmdVerdict::Fax, AmdCause::FaxTone, 0.95)),
            Some(ToneHeard::Beep) => Some(judgement(AmdVerdict::Machine, AmdCause::Beep, 0.9)),
            None => by_greeting,
        }
    }
}
