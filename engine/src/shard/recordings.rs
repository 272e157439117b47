//! Recordings, from their start to the word that their file is complete.

use super::CallShard;
use super::counters::RecordingFailure;
use crate::call::Call;
use crate::doors::{RecordOp, ShardEffect, WrittenFile};
use crate::translate::address::day;
use dialer_core::recording::{PauseBehavior, RecordAct, RecordedFile};
use dialer_core::{CallFact, CallId, RecordingId};
use media::{MediaError, Recording, StreamKey};
use sansio::{Instant, Key, Outbox};
use std::collections::BTreeMap;

/// A recording whose file is not complete yet. Its call may be over.
#[derive(Debug)]
pub(crate) struct OpenRecording {
    recording: RecordingId,
    call: CallId,
    file: String,
    frames: u64,
    paused_frames: u64,
    undecodable: bool,
}

const fn failure_of(error: MediaError) -> RecordingFailure {
    match error {
        MediaError::NoPorts | MediaError::StreamsExhausted | MediaError::RecordingsExhausted => {
            RecordingFailure::Limit
        }
        MediaError::AlreadyRecording | MediaError::AlreadyForked => RecordingFailure::RecordedAlready,
        MediaError::CannotDecode => RecordingFailure::Codec,
        MediaError::UnknownStream | MediaError::UnknownRecording => RecordingFailure::LegGone,
    }
}

/// Open recordings by their number in the media plane: the low half of the recording's name, which is random.
pub(crate) type OpenRecordings = BTreeMap<u64, OpenRecording>;

fn number_of(recording: RecordingId) -> u64 {
    recording.to_bits() as u64
}

impl CallShard {
    /// Begins a recording, or tells that it failed.
    pub(crate) fn start_recording(
        &mut self,
        now: Instant,
        call: CallId,
        recording: RecordingId,
        left: StreamKey,
        right: Option<StreamKey>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let id = number_of(recording);
        let extension = self.config.recording_format.extension();
        let file = format!("{}/{recording}.{extension}", day(self.clock.wall_at(now)));
        let known = self.recordings.contains_key(&id);
        // Files that are being finished count too: a slow disk must not let them pile up.
        let full = self.recordings.len() >= self.config.recordings_max;
        let mut failure = if full { RecordingFailure::Limit } else { RecordingFailure::RecordedAlready };
        let mut reason = String::from(if full { "too many recordings" } else { "recorded already" });
        if !known && !full {
            let (frames, paused_frames, undecodable) = (0, 0, false);
            let open =
                OpenRecording { recording, call, file: file.clone(), frames, paused_frames, undecodable };
            self.recordings.insert(id, open);
            let wanted = Recording { id, left, right };
            match self.plane.start_recording(now, wanted, &mut self.media_out) {
                Ok(()) => {
                    self.counters.recordings_started += 1;
                    self.tell(CallFact::RecordingStarted { call, recording, file }, out);
                    return;
                }
                Err(error) => (failure, reason) = (failure_of(error), error.to_string()),
            }
            self.recordings.remove(&id);
        }
        self.counters.recording_failed(failure);
        self.tell(CallFact::RecordingFailed { call, recording, reason }, out);
    }

    /// One order about the recording of a live call.
    pub(crate) fn record(
        &mut self,
        now: Instant,
        key: Key<Call>,
        act: RecordAct,
        out: &mut Outbox<ShardEffect>,
    ) {
        match act {
            RecordAct::Start(recording) => {
                let agent = self.agent_sound(key).map(|(stream, _)| stream);
                let Some(call) = self.calls.get_mut(key) else { return };
                let id = call.id;
                let Some(customer) = call.answered_customer().map(|side| side.sound.stream) else {
                    self.counters.recording_failed(RecordingFailure::LegGone);
                    let reason = "the customer is not there any more".into();
                    return self.tell(CallFact::RecordingFailed { call: id, recording, reason }, out);
                };
                call.recording = Some(recording);
                self.start_recording(now, id, recording, customer, agent, out);
            }
            RecordAct::Stop(recording) => {
                if let Some(call) = self.calls.get_mut(key).filter(|call| call.recording == Some(recording)) {
                    call.recording = None;
                }
                self.change_recording(now, act);
            }
            RecordAct::Pause(..) | RecordAct::Resume(_) => self.change_recording(now, act),
        }
    }

    /// An order about a recording that runs. One that has ended already needs none.
    pub(crate) fn change_recording(&mut self, now: Instant, act: RecordAct) {
        match act {
            RecordAct::Start(_) => {}
            RecordAct::Pause(recording, behavior) => {
                let behavior = match behavior {
                    PauseBehavior::Silence => media::PauseBehavior::Silence,
                    PauseBehavior::Skip => media::PauseBehavior::Skip,
                };
                let _ = self.plane.pause_recording(now, number_of(recording), behavior);
            }
            RecordAct::Resume(recording) => {
                let _ = self.plane.resume_recording(now, number_of(recording));
            }
            RecordAct::Stop(recording) => {
                self.plane.stop_recording(now, number_of(recording), &mut self.media_out);
            }
        }
    }

    /// Gives a recording another right side.
    pub(crate) fn retarget_recording(
        &mut self,
        now: Instant,
        recording: RecordingId,
        right: Option<StreamKey>,
    ) {
        // It may have ended already; then there is nothing to do.
        let _ = self.plane.retarget_recording(now, number_of(recording), right);
    }

    /// Passes the plane's orders on to the writer of files.
    pub(crate) fn pass_record_op(&mut self, op: media::RecordOp, out: &mut Outbox<ShardEffect>) {
        let id = match &op {
            media::RecordOp::Open { id }
            | media::RecordOp::Append { id, .. }
            | media::RecordOp::Finish { id, .. } => *id,
        };
        // A recording that was reported lost is no longer known here, and its writer has given up.
        let Some(open) = self.recordings.get_mut(&id) else { return };
        let recording = open.recording;
        out.push(ShardEffect::Record(match op {
            media::RecordOp::Open { .. } => RecordOp::Open { recording, file: open.file.clone() },
            media::RecordOp::Append { samples, .. } => RecordOp::Append { recording, samples },
            media::RecordOp::Finish { frames, paused_frames, undecodable, .. } => {
                (open.frames, open.paused_frames, open.undecodable) = (frames, paused_frames, undecodable);
                RecordOp::Finish { recording, frames }
            }
        }));
    }

    /// The writer is done with a recording.
    pub(crate) fn recording_written(
        &mut self,
        now: Instant,
        recording: RecordingId,
        result: Result<WrittenFile, String>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(open) = self.recordings.remove(&number_of(recording)) else { return };
        let call = open.call;
        let fact = match result {
            Ok(WrittenFile { file, bytes, cut_off_after_ms }) => {
                let cut_off = cut_off_after_ms.is_some();
                if cut_off {
                    self.counters.recording_failed(RecordingFailure::Disk);
                    self.plane.stop_recording(now, number_of(recording), &mut self.media_out);
                }
                // 8,000 frames a second.
                let duration_ms = cut_off_after_ms.unwrap_or(open.frames / 8);
                let (paused_ms, undecodable) = (open.paused_frames / 8, open.undecodable);
                let sound = RecordedFile { file, duration_ms, paused_ms, bytes, undecodable, cut_off };
                CallFact::RecordingReady { call, recording, sound }
            }
            Err(reason) => {
                self.counters.recording_failed(RecordingFailure::Disk);
                self.plane.stop_recording(now, number_of(recording), &mut self.media_out);
                CallFact::RecordingFailed { call, recording, reason }
            }
        };
        self.tell(fact, out);
    }
}
