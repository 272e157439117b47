//! Recordings of live calls: what may be wished of them, and what is ordered. Plain data for all doors.
//!
//! ```text
//!   start ──► recorded ◄──► paused ──► stop      the call's end stops it, paused or not
//! ```

use crate::id::RecordingId;
use serde::{Deserialize, Serialize};

/// What stands in a recording for the time in which it was paused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseBehavior {
    /// Silence: the recording is as long as the talk.
    #[default]
    Silence,
    /// Nothing: the recording is as much shorter.
    Skip,
}

impl PauseBehavior {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            PauseBehavior::Silence => "silence",
            PauseBehavior::Skip => "skip",
        }
    }
}

/// A wish about the recording of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordWish {
    /// Record from now on.
    Start,
    /// Keep nothing of what is said from now on. Pausing twice is pausing once.
    Pause(PauseBehavior),
    /// Keep what is said from now on.
    Resume,
    /// No longer; what there is is complete.
    Stop,
}

/// An order about the recording of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordAct {
    /// Record under this name: `RecordingStarted` or `RecordingFailed` follows.
    Start(RecordingId),
    /// Keep nothing.
    Pause(RecordingId, PauseBehavior),
    /// Keep it again.
    Resume(RecordingId),
    /// End it: `RecordingReady` or `RecordingFailed` follows.
    Stop(RecordingId),
}

/// What there is of a recording when its file is complete.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RecordedFile {
    /// File name below the recordings folder.
    pub file: String,
    /// Length of the file, milliseconds.
    pub duration_ms: u64,
    /// For so long it was paused, milliseconds: silence in the file, or left out of it.
    pub paused_ms: u64,
    /// Size.
    pub bytes: u64,
    /// Some of the sound came in a codec that is not decoded here: silence stands in its place.
    pub undecodable: bool,
    /// The node went down while it ran: what came after is not there.
    pub cut_off: bool,
}
