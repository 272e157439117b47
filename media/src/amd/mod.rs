//! Answering-machine detection.
//!
//! [`Detector`] is the seam: 20 ms frames in, a judgement out, and perhaps when it is our turn to speak. Behind it
//! [`greeting::Greeting`] says every 80 ms what the greeting is like so far, [`model`] how likely that is a machine's, and
//! the detector when that is enough; beside it [`tones::ToneEar`] knows a beep and a fax machine for what they are, and
//! a [`Matcher`] the assistants whose recordings were taught.
//! It does not know words: a recording that sounds like a person, and a person who talks like a recording, are told
//! apart only as far as length, pauses and loudness go. Unsure is to be treated as a person.

pub mod greeting;
pub mod model;
pub mod tones;
pub(crate) mod vad;
mod weights;

use self::greeting::Greeting;
use self::tones::{ToneEar, ToneHeard};
use crate::announcement::{AnnouncementClass, Book, Matcher};
use crate::{AmdCause, AmdVerdict, TurnCue};
use core::fmt::Debug;
use sansio::Duration;
use std::sync::Arc;

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
    /// Behind the verdict on a machine or an assistant, say when it has finished.
    pub await_turn: bool,
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
            await_turn: false,
        }
    }
}

impl AmdConfig {
    /// The detector of this build. It knows the assistants in `announcements`.
    #[must_use]
    pub fn detector(&self, announcements: &Arc<Book>) -> Box<dyn Detector> {
        Box::new(Ears {
            config: *self,
            greeting: Greeting::new(self.voice_level_min_dbm0),
            heard_anyone: false,
            trailing: 0,
            tones: ToneEar::default(),
            assistants: announcements.knows_screening().then(|| Matcher::new(Arc::clone(announcements))),
            judged: None,
            over: false,
        })
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

/// What a detector says.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum AmdHeard {
    /// Who answered. A second one takes the place of the first: an assistant was known by its sound.
    Verdict(Judgement),
    /// The machine or assistant has finished.
    Turn(TurnCue),
}

/// Listens from the answer on.
pub trait Detector: Debug + Send {
    /// Feeds the next 20 ms.
    fn frame(&mut self, samples: &[i16; FRAME]) -> Option<AmdHeard>;

    /// All is said; it need not be asked again.
    fn is_over(&self) -> bool;
}

/// Longest time that is listened for, whatever is asked for: what was heard is kept that long.
const LISTEN_MAX: Duration = Duration::from_secs(30);
/// An assistant that was taken for something else is looked for so long. Its first words are what was taught.
const ASSISTANT_MAX: Duration = Duration::from_secs(10);
/// A machine that is silent for so long has finished; its beep would have come by then.
const MACHINE_SILENT: Duration = Duration::from_millis(2_400);
/// The same of an assistant, which waits for an answer and not long.
const ASSISTANT_SILENT: Duration = Duration::from_millis(1_000);

/// The greeting, and tones and recordings that say more than it.
#[derive(Clone, Debug)]
struct Ears {
    config: AmdConfig,
    greeting: Greeting,
    heard_anyone: bool,
    /// Frames since the last word.
    trailing: usize,
    tones: ToneEar,
    /// Knows assistants, if any were taught.
    assistants: Option<Matcher>,
    judged: Option<AmdVerdict>,
    over: bool,
}

fn frames(duration: Duration) -> usize {
    usize::try_from(duration.min(LISTEN_MAX).as_millis() / 20).unwrap_or(usize::MAX)
}

fn judgement(verdict: AmdVerdict, cause: AmdCause, confidence: f32) -> Judgement {
    Judgement { verdict, cause, confidence }
}

impl Ears {
    /// Follows the greeting; says what it is, unless something has been said already.
    fn by_greeting(&mut self, samples: &[i16; FRAME]) -> Option<Judgement> {
        let config = &self.config;
        self.trailing += 1;
        let look = self.greeting.frame(samples);
        if let Some(look) = &look {
            self.trailing = look.trailing;
        }
        if self.judged.is_some() {
            return None;
        }
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

    fn by_sound(&mut self, samples: &[i16; FRAME]) -> Option<Judgement> {
        let found = self.assistants.as_mut()?.frame(samples)?;
        (found.class == AnnouncementClass::Screening)
            .then(|| judgement(AmdVerdict::Screening, AmdCause::Announcement, found.confidence))
    }

    fn judge(&mut self, judgement: Judgement) -> AmdHeard {
        self.judged = Some(judgement.verdict);
        AmdHeard::Verdict(judgement)
    }

    /// The machine or assistant has finished.
    fn turn(&self, beep: bool) -> Option<TurnCue> {
        let silent =
            if self.judged == Some(AmdVerdict::Screening) { ASSISTANT_SILENT } else { MACHINE_SILENT };
        if beep {
            Some(TurnCue::Beep)
        } else if self.trailing >= frames(silent) {
            Some(TurnCue::Silence)
        } else {
            (self.greeting.frames() >= frames(LISTEN_MAX)).then_some(TurnCue::TimeLimit)
        }
    }
}

impl Detector for Ears {
    fn frame(&mut self, samples: &[i16; FRAME]) -> Option<AmdHeard> {
        let by_greeting = self.by_greeting(samples);
        let by_sound = self.by_sound(samples).filter(|_| self.judged != Some(AmdVerdict::Screening));
        let tone = self.tones.frame(samples);
        if let Some(screening) = by_sound {
            self.assistants = None;
            self.over = !self.config.await_turn;
            return Some(self.judge(screening));
        }
        match self.judged {
            None => {
                let judgement = match tone {
                    Some(ToneHeard::Fax) => judgement(AmdVerdict::Fax, AmdCause::FaxTone, 0.95),
                    // The beep is the turn as well: nothing more is to be said.
                    Some(ToneHeard::Beep) => judgement(AmdVerdict::Machine, AmdCause::Beep, 0.9),
                    None => by_greeting?,
                };
                self.over = match judgement.verdict {
                    AmdVerdict::Machine if judgement.cause != AmdCause::Beep => {
                        !self.config.await_turn && self.assistants.is_none()
                    }
                    AmdVerdict::Human | AmdVerdict::Unsure => self.assistants.is_none(),
                    _ => true,
                };
                Some(self.judge(judgement))
            }
            Some(AmdVerdict::Machine | AmdVerdict::Screening) if self.config.await_turn => {
                let cue = self.turn(tone == Some(ToneHeard::Beep))?;
                self.over = true;
                Some(AmdHeard::Turn(cue))
            }
            Some(_) => {
                self.over |= self.greeting.frames() >= frames(ASSISTANT_MAX);
                None
            }
        }
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
