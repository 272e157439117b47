//! Prompts on the wire.

use crate::mask::Masker;
use crate::prompts::{PromptInfo, PromptSource as Source};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a prompt comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PromptSource {
    /// It is part of the program.
    BuiltIn,
    /// A sound file.
    Sound,
    /// A text that is spoken.
    Text,
}

/// Something that can be played to a caller: campaigns, inbound routes and `POST /v1/calls/{id}/play` name it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Prompt {
    /// Its name.
    #[schema(example = "welcome_zh")]
    pub name: String,
    /// Where it comes from.
    pub source: PromptSource,
    /// Length.
    pub duration_ms: u64,
    /// What is spoken.
    pub text: Option<String>,
    /// The voice that speaks it.
    pub voice: Option<String>,
    /// When it was put there.
    pub changed_at: Option<Time>,
    /// Where its sound is.
    pub listen: String,
}

impl Prompt {
    /// As the caller may see it.
    #[must_use]
    pub fn new(info: PromptInfo, mask: Masker) -> Self {
        Prompt {
            listen: format!("/v1/prompts/{}/listen", info.name),
            name: info.name,
            source: match info.source {
                Source::BuiltIn => PromptSource::BuiltIn,
                Source::Sound => PromptSource::Sound,
                Source::Text => PromptSource::Text,
            },
            duration_ms: info.duration_ms,
            text: mask.text_option(info.text.as_deref()),
            voice: info.voice,
            changed_at: info.changed_at.map(Into::into),
        }
    }
}

/// A prompt that is to be spoken.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPrompt {
    /// Its name: letters, digits, `_` and `-`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
    pub name: String,
    /// What is spoken, at most 10,000 bytes.
    #[schema(min_length = 1, max_length = 10_000)]
    pub text: String,
    /// A voice of the engine; the configured one if absent.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_+][A-Za-z0-9_+.-]*$")]
    pub voice: Option<String>,
}

/// What a prompt says.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptText {
    /// What is spoken, at most 10,000 bytes.
    #[schema(min_length = 1, max_length = 10_000)]
    pub text: String,
    /// A voice of the engine; the configured one if absent.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_+][A-Za-z0-9_+.-]*$")]
    pub voice: Option<String>,
}
