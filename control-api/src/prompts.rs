//! Prompts as the edge keeps them: what the API wishes of them, in plain data.

use crate::problem::{Code, Problem};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use sansio::WallTime;

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
}
