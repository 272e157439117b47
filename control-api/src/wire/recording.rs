//! Recordings on the wire.

use super::wire_enum;
use crate::time::Time;
use dialer_core::record::RecordingRow;
use dialer_core::view::RecordingView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

wire_enum! {
    /// What stands in a recording for the time in which it was paused.
    PauseBehavior = dialer_core::recording::PauseBehavior {
        /// Silence: the recording is as long as the talk.
        Silence,
        /// Nothing: the recording is as much shorter.
        Skip,
    }
}

/// How a recording is to be paused.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// What stands in the file for the time of the pause; `silence` if absent.
    #[serde(default)]
    pub pause_behavior: Option<PauseBehavior>,
    /// The client's own name of the command, 1 to 128 characters; made up if absent. How it came out is told by
    /// `command.completed` or `command.failed`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    pub command_id: Option<String>,
}

/// What was wished of a recording was accepted.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RecordAccepted {
    /// The recording.
    #[schema(example = "rec_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub recording_id: String,
    /// The call.
    pub call_id: String,
    /// Name of the command, told by `command.completed` or `command.failed`.
    pub command_id: String,
}

/// The running recording of a live call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CallRecording {
    /// The recording.
    pub recording_id: String,
    /// Nothing of what is said now is kept.
    pub paused: bool,
    /// What stands in the file for the time of the pause.
    pub pause_behavior: Option<PauseBehavior>,
}

impl From<RecordingView> for CallRecording {
    fn from(view: RecordingView) -> Self {
        CallRecording {
            recording_id: view.recording.to_string(),
            paused: view.paused.is_some(),
            pause_behavior: view.paused.map(Into::into),
        }
    }
}

/// How a recording's file is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingFormat {
    /// WAV: 16-bit PCM at 8,000 Hz.
    Wav,
    /// Opus in Ogg.
    Ogg,
}

impl RecordingFormat {
    /// By its file's name.
    pub(crate) fn of(file: &str) -> Self {
        if file.ends_with(".ogg") { RecordingFormat::Ogg } else { RecordingFormat::Wav }
    }

    pub(crate) const fn extension(self) -> &'static str {
        match self {
            RecordingFormat::Wav => "wav",
            RecordingFormat::Ogg => "ogg",
        }
    }

    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            RecordingFormat::Wav => "audio/wav",
            RecordingFormat::Ogg => "audio/ogg",
        }
    }
}

/// A recording: a stereo file, customer left, agent right.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Recording {
    /// Its name.
    #[schema(example = "rec_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// The call it is of.
    pub call_id: String,
    /// The campaign.
    pub campaign_id: Option<String>,
    /// The agent.
    pub agent_id: Option<String>,
    /// How its file is written.
    pub format: RecordingFormat,
    /// Length of the file.
    pub duration_ms: u64,
    /// For so long it was paused: silence in the file, or left out of it, as was asked for.
    pub paused_ms: u64,
    /// Size.
    pub bytes: u64,
    /// Some of the sound came in a codec that is relayed and cannot be decoded (G.729): silence stands in its place.
    pub undecodable: bool,
    /// The node went down while it ran: it ends where the last sound was written.
    pub cut_off: bool,
    /// When it was complete.
    pub ready_at: Time,
    /// Where its sound is.
    pub download: String,
}

impl From<&RecordingRow> for Recording {
    fn from(row: &RecordingRow) -> Self {
        Recording {
            id: row.id.to_string(),
            call_id: row.call.to_string(),
            campaign_id: row.campaign.map(|id| id.to_string()),
            agent_id: row.agent.map(|id| id.to_string()),
            format: RecordingFormat::of(&row.file),
            duration_ms: row.duration_ms,
            paused_ms: row.paused_ms,
            undecodable: row.undecodable,
            cut_off: row.cut_off,
            bytes: row.bytes,
            ready_at: row.at.into(),
            download: format!("/v1/recordings/{}/download", row.id),
        }
    }
}
