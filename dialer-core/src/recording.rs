//! Recordings of live calls: what may be wished of them, and what is ordered. Plain data for all doors.
//!
//! ```text
//!   start ──► recorded ◄──► paused ──► stop      the call's end stops it, paused or not
//! ```

use crate::id::RecordingId;
use sansio::WallTime;
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

/// How a recording that runs was paused: should the node go down, what is complete of it tells so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Pauses {
    /// Pauses that are over, milliseconds …
    pub over_ms: u64,
    /// … of which so much was left out of the file.
    pub left_out_ms: u64,
    /// It is paused since then, in this way.
    pub since: Option<(WallTime, PauseBehavior)>,
}

impl Pauses {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
    pub(crate) fn are_none(&self) -> bool {
        *self == Pauses::default()
    }

    /// It is paused, or resumed, at this time.
    pub(crate) fn change(&mut self, paused: Option<PauseBehavior>, now: WallTime) {
        if let Some((since, behavior)) = self.since.take() {
            let ms = u64::try_from(now.millis_since(since)).unwrap_or(0);
            self.over_ms += ms;
            self.left_out_ms += if behavior == PauseBehavior::Skip { ms } else { 0 };
        }
        self.since = paused.map(|behavior| (now, behavior));
    }

    /// For so long it was paused, milliseconds, when a file of so many is there of what began at `at`. Of a pause that
    /// was under way and is left out of the file nobody knows how long it was: it counts as none.
    pub(crate) fn in_file_ms(self, at: WallTime, duration_ms: u64) -> u64 {
        let Some((since, PauseBehavior::Silence)) = self.since else { return self.over_ms };
        let end = at.plus_millis(i64::try_from(duration_ms + self.left_out_ms).unwrap_or(i64::MAX));
        self.over_ms + u64::try_from(end.millis_since(since)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_of_a_file_that_was_cut_off() {
        let at = |ms: i64| WallTime::from_unix_millis(1_000_000 + ms);
        let mut pauses = Pauses::default();
        assert!(pauses.are_none());
        assert_eq!(pauses.in_file_ms(at(0), 5_000), 0);
        // Ten seconds of talk, of which two were left out and three are silence.
        pauses.change(Some(PauseBehavior::Skip), at(1_000));
        pauses.change(None, at(3_000));
        pauses.change(Some(PauseBehavior::Silence), at(4_000));
        pauses.change(None, at(7_000));
        assert_eq!(pauses.in_file_ms(at(0), 8_000), 5_000);
        // It was paused when the file ended, a second later; or what it holds ends before that pause began.
        pauses.change(Some(PauseBehavior::Silence), at(10_000));
        assert_eq!(pauses.in_file_ms(at(0), 9_000), 6_000);
        assert_eq!(pauses.in_file_ms(at(0), 7_500), 5_000);
        pauses.change(None, at(12_000));
        pauses.change(Some(PauseBehavior::Skip), at(13_000));
        assert_eq!(pauses.in_file_ms(at(0), 11_000), 7_000, "of the last nobody knows how long it was");
    }
}
