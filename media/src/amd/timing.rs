//! Human or machine by the length of the first utterance.
//!
//! ```text
//!            voice 60 ms              silence human_silence_min, length ≤ human_speech_max
//!  waiting ───────────► speaking ───────────────────────────────────────────────────────► Human
//!     │                    │  length ≥ machine_speech_min, mostly voiced ────────────────► Machine
//!     │                    │  silence, length in between ────────────────────────────────► Unsure
//!     │ initial_silence_max: Unsure            listen_max, wherever it is ───────────────► Unsure
//! ```

use super::vad::{Activity, Vad};
use super::{AmdConfig, Detector, FRAME, Judgement};
use crate::dsp::level::level_dbm0;
use crate::{AmdCause, AmdVerdict};
use sansio::Duration;

/// Voice frames in a row that begin an utterance (60 ms): shorter is a click.
const ONSET_FRAMES: u32 = 3;
/// An utterance with fewer voice frames (100 ms) than this is no greeting.
const UTTERANCE_FRAMES_MIN: u32 = 5;
/// Steady sound is noticed after 400 ms; an utterance that began no earlier than this (in frames) was nothing else.
const STEADY_NOTICED_FRAMES: u32 = 23;
/// A machine speaks fluently: at least this share of its greeting is voice. "Hello? … Hello?" is not.
const FLUENT_SHARE_MIN: f32 = 0.55;

/// Each sample less so much of the one before it …
const EMPHASIS: f32 = 0.95;
/// … leaves 1,000 Hz as loud as it was.
const EMPHASIS_GAIN: f32 = 1.34;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct TimingDetector {
    config: AmdConfig,
    vad: Vad,
    /// The last sample of the frame before.
    last_sample: f32,
    /// Frames since the answer.
    now: u32,
    /// Voice frames in a row.
    voiced_run: u32,
    utterance: Option<Utterance>,
}

#[derive(Clone, Copy, Debug)]
struct Utterance {
    /// Frame of its first voice.
    start: u32,
    /// Frame after its last voice.
    end: u32,
    /// Voice frames in it.
    voiced: u32,
}

fn frames(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis() / 20).unwrap_or(u32::MAX)
}

impl TimingDetector {
    /// Ready at the answer.
    #[must_use]
    pub fn new(config: AmdConfig) -> Self {
        let vad = Vad::new(config.voice_over_floor_db, config.voice_level_min_dbm0);
        TimingDetector { config, vad, last_sample: 0.0, now: 0, voiced_run: 0, utterance: None }
    }

    /// The frame with its high tones raised: a street's rumble sways too much to be known as steady by its level, but
    /// not so without its lowest tones.
    fn emphasised(&mut self, samples: &[i16; FRAME]) -> [i16; FRAME] {
        samples.map(|sample| {
            let sample = f32::from(sample);
            let raised =
                (sample - EMPHASIS * std::mem::replace(&mut self.last_sample, sample)) * EMPHASIS_GAIN;
            raised.clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16
        })
    }

    fn follow(&mut self, activity: Activity) {
        match activity {
            Activity::Voice => {
                self.voiced_run += 1;
                match &mut self.utterance {
                    Some(utterance) => {
                        utterance.end = self.now;
                        utterance.voiced += 1;
                    }
                    None if self.voiced_run >= ONSET_FRAMES => {
                        let (start, end) = (self.now - ONSET_FRAMES, self.now);
                        self.utterance = Some(Utterance { start, end, voiced: ONSET_FRAMES });
                    }
                    None => {}
                }
            }
            Activity::Quiet => self.voiced_run = 0,
            Activity::Steady => {
                self.voiced_run = 0;
                if self.utterance.is_some_and(|utterance| self.now - utterance.start <= STEADY_NOTICED_FRAMES)
                {
                    self.utterance = None;
                }
            }
        }
    }

    fn judge(&mut self) -> Option<Judgement> {
        let config = &self.config;
        if let Some(utterance) = self.utterance {
            let length = utterance.end - utterance.start;
            let silence = self.now - utterance.end;
            if length >= frames(config.machine_speech_min) && fluent(&utterance) {
                return Some(judgement(AmdVerdict::Machine, AmdCause::LongGreeting, 0.8));
            }
            if silence >= frames(config.human_silence_min) {
                if utterance.voiced < UTTERANCE_FRAMES_MIN {
                    self.utterance = None;
                } else if length <= frames(config.human_speech_max) || !fluent(&utterance) {
                    let share = length as f32 / frames(config.human_speech_max).max(1) as f32;
                    let confidence = (0.95 - 0.35 * share).max(0.5);
                    return Some(judgement(AmdVerdict::Human, AmdCause::ShortGreeting, confidence));
                } else {
                    return Some(judgement(AmdVerdict::Unsure, AmdCause::LongGreeting, 0.5));
                }
            }
        } else if self.now >= frames(config.initial_silence_max) {
            return Some(judgement(AmdVerdict::Unsure, AmdCause::InitialSilence, 0.5));
        }
        (self.now >= frames(config.listen_max))
            .then(|| judgement(AmdVerdict::Unsure, AmdCause::TimeLimit, 0.5))
    }
}

fn fluent(utterance: &Utterance) -> bool {
    utterance.voiced as f32 >= FLUENT_SHARE_MIN * (utterance.end - utterance.start) as f32
}

fn judgement(verdict: AmdVerdict, cause: AmdCause, confidence: f32) -> Judgement {
    Judgement { verdict, cause, confidence }
}

impl Detector for TimingDetector {
    fn frame(&mut self, samples: &[i16; FRAME]) -> Option<Judgement> {
        self.now += 1;
        let raised = level_dbm0(&self.emphasised(samples));
        let activity = self.vad.frame(level_dbm0(samples), raised);
        self.follow(activity);
        self.judge()
    }
}
