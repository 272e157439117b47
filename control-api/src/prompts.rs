//! Prompts as the edge keeps them: what the API wishes of them, in plain data.

use crate::extract::Checks;
use crate::gateway::Gateway;
use crate::problem::{Code, Problem};
use bytes::Bytes;
use dialer_core::config::CampaignConfig;
use dialer_core::inbound::{InboundRouteConfig, InboundStep};
use futures_util::future::BoxFuture;
use sansio::WallTime;
use sansio::pii::Spellings;

/// The largest sound that is taken, bytes.
pub const SOUND_BYTES_MAX: usize = 20 << 20;

/// Where a prompt comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PromptSource {
    /// It is part of the program.
    BuiltIn,
    /// A sound file.
    Sound,
    /// A text that is spoken.
    Text,
}

/// One prompt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PromptInfo {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub source: PromptSource,
    /// Length, milliseconds.
    pub duration_ms: u64,
    /// What is spoken.
    pub text: Option<String>,
    /// The voice that speaks it.
    pub voice: Option<String>,
    /// When it was put there, as far as that is known.
    pub changed_at: Option<WallTime>,
}

/// How a sound is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SoundFormat {
    /// RIFF/WAVE.
    Wav,
    /// G.711 µ-law, 8,000 Hz, without a header.
    Pcmu,
    /// G.711 A-law, 8,000 Hz, without a header.
    Pcma,
    /// Opus in Ogg.
    Ogg,
}

/// What a prompt is to hold.
#[derive(Clone, Debug)]
pub enum PromptContent {
    /// A sound.
    Sound(SoundFormat, Bytes),
    /// A text to be spoken, with this voice or the configured one.
    Text {
        /// What is spoken.
        text: String,
        /// By whom.
        voice: Option<String>,
    },
}

/// The prompts a campaign plays, each with where its settings name it.
pub(crate) fn of_campaign(config: &CampaignConfig) -> Vec<(String, &str)> {
    let machine = &config.machine_policy;
    let named = [
        ("/on_answer/play", &config.message_prompt),
        ("/on_no_agent/play", &config.safe_harbour_prompt),
        ("/classify/machine/leave", &machine.leave),
        ("/classify/screening/say", &machine.say),
    ];
    named.into_iter().filter_map(|(pointer, name)| Some((pointer.to_owned(), name.as_deref()?))).collect()
}

/// The prompts an inbound route plays, each with where its settings name it.
pub(crate) fn of_route(config: &InboundRouteConfig) -> Vec<(String, &str)> {
    let mut named = Vec::new();
    for (at, step) in config.steps.iter().enumerate() {
        of_step(step, &format!("/steps/{at}"), &mut named);
    }
    named
}

fn of_step<'c>(step: &'c InboundStep, pointer: &str, named: &mut Vec<(String, &'c str)>) {
    let play = match step {
        InboundStep::LastAgent { play, .. }
        | InboundStep::Owner { play, .. }
        | InboundStep::Group { play, .. } => play.as_deref(),
        InboundStep::Menu { play, .. } | InboundStep::Message { play } => Some(play.as_str()),
    };
    named.extend(play.map(|play| (format!("{pointer}/play"), play)));
    if let InboundStep::Menu { digits, .. } = step {
        for (digit, step) in digits {
            of_step(step, &format!("{pointer}/digits/{digit}"), named);
        }
    }
}

impl Gateway {
    /// Refuses settings that name a prompt that is not there. What was named `before` is left: it may have been deleted
    /// from the disk, and other settings must be changeable all the same.
    pub(crate) fn needs_prompts(
        &self,
        named: &[(String, &str)],
        before: &[(String, &str)],
    ) -> Result<(), Problem> {
        let missing = named
            .iter()
            .filter(|(_, name)| !before.iter().any(|(_, known)| known == name) && !self.has_prompt(name));
        let mut checks = Checks::default();
        for (pointer, _) in missing {
            checks.wrong(pointer.clone(), "there is no such prompt (see /v1/prompts)");
        }
        checks.finish().map_err(Problem::unprocessable)
    }
}

/// Why a prompt was not put or taken away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PromptFault {
    /// There is none.
    Unknown,
    /// It is part of the program.
    BuiltIn,
    /// What was sent is no sound, or no text that can be spoken: why.
    Unusable(String),
    /// There are too many, or too much sound in them: what.
    Limit(String),
    /// The engine that speaks is not there: why.
    Silent(String),
    /// The engine that speaks failed: why.
    Engine(String),
    /// It cannot be kept: why.
    Disk(String),
}

impl PromptFault {
    pub(crate) fn problem(self, pointer: &str) -> Problem {
        match self {
            PromptFault::Unknown => Problem::not_found("prompt"),
            PromptFault::BuiltIn => {
                Problem::new(Code::Conflict, "the prompt is built in; it can be replaced, not deleted")
            }
            PromptFault::Unusable(why) => Problem::field(pointer, why),
            PromptFault::Limit(what) => Problem::new(Code::LimitReached, what),
            PromptFault::Silent(why) => Problem::new(Code::Conflict, why),
            PromptFault::Engine(why) => Problem::new(Code::SpeechFailed, why),
            PromptFault::Disk(why) => {
                tracing::error!(why, "a prompt cannot be kept");
                Problem::new(Code::StoreUnavailable, "the prompt cannot be kept now; see the log")
            }
        }
    }
}

/// The prompts of the node.
pub trait PromptShelf: Send + Sync {
    /// All, in order of names.
    fn list(&self) -> Vec<PromptInfo>;

    /// One.
    fn get(&self, name: &str) -> Option<PromptInfo>;

    /// One of this name is part of the program, though another may stand in its place.
    fn is_built_in(&self, name: &str) -> bool;

    /// Its sound, as a WAV file.
    fn sound(&self, name: &str) -> Option<Vec<u8>>;

    /// Makes or replaces one, durably, and for the calls from now on.
    fn put(&self, name: String, content: PromptContent) -> BoxFuture<'_, Result<PromptInfo, PromptFault>>;

    /// Takes one away: what is built in under its name is there again.
    fn delete(&self, name: String) -> BoxFuture<'_, Result<(), PromptFault>>;

    /// Takes a number out of all texts that are spoken, and what was spoken of it from the disk. A text that cannot be
    /// spoken without it goes whole. Tells how many said it.
    fn strike_out(&self, number: Spellings) -> BoxFuture<'_, Result<u64, PromptFault>>;
}
