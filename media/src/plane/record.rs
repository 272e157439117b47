//! Recordings: which streams go into which file.

use super::{MediaError, Plane};
use crate::recorder::{Recorder, Side};
use crate::{Output, RecordOp, Recording, StreamKey};
use sansio::{Instant, Outbox};

impl Plane {
    /// Starts a stereo recording; its time line starts now.
    ///
    /// # Errors
    /// [`MediaError::UnknownStream`], [`MediaError::AlreadyRecording`], [`MediaError::RecordingsExhausted`]:
    /// nothing was changed.
    pub fn start_recording(
        &mut self,
        now: Instant,
        recording: Recording,
        out: &mut Outbox<Output>,
    ) -> Result<(), MediaError> {
        let Recording { id, left, right } = recording;
        self.check_recordable(left)?;
        if let Some(right) = right {
            self.check_recordable(right)?;
        }
        if self.recordings.contains_key(&id) || right == Some(left) {
            return Err(MediaError::AlreadyRecording);
        }
        let Ok(key) = self.recorders.insert(Recorder::new(now, id, left, right)) else {
            return Err(MediaError::RecordingsExhausted);
        };
        self.recordings.insert(id, key);
        self.counters.recordings_started += 1;
        for (stream, side) in [(Some(left), Side::Left), (right, Side::Right)] {
            if let Some(stream) = stream.and_then(|stream| self.streams.get_mut(stream)) {
                stream.recording = Some((key, side));
            }
        }
        out.push(Output::Record(RecordOp::Open { id }));
        Ok(())
    }

    /// Gives a running recording another right side, or none for a while. The time line goes on.
    ///
    /// # Errors
    /// [`MediaError::UnknownRecording`], [`MediaError::UnknownStream`], [`MediaError::AlreadyRecording`] (the
    /// stream is part of a recording): nothing was changed.
    pub fn retarget_recording(
        &mut self,
        _now: Instant,
        id: u64,
        right: Option<StreamKey>,
    ) -> Result<(), MediaError> {
        let key = *self.recordings.get(&id).ok_or(MediaError::UnknownRecording)?;
        let before = self.recorders.get(key).ok_or(MediaError::UnknownRecording)?.right;
        if before == right {
            return Ok(());
        }
        if let Some(right) = right {
            self.check_recordable(right)?;
        }
        if let Some(stream) = before.and_then(|before| self.streams.get_mut(before)) {
            stream.recording = None;
        }
        if let Some(stream) = right.and_then(|right| self.streams.get_mut(right)) {
            stream.recording = Some((key, Side::Right));
        }
        if let Some(recorder) = self.recorders.get_mut(key) {
            recorder.right = right;
        }
        Ok(())
    }

    /// Ends a recording: the rest of its sound and [`RecordOp::Finish`]. Nothing if it is not running.
    pub fn stop_recording(&mut self, now: Instant, id: u64, out: &mut Outbox<Output>) {
        let Some(key) = self.recordings.remove(&id) else { return };
        let Some(recorder) = self.recorders.remove(key) else { return };
        for stream in [Some(recorder.left), recorder.right].into_iter().flatten() {
            if let Some(stream) = self.streams.get_mut(stream) {
                stream.recording = None;
            }
        }
        recorder.finish(now, out);
    }

    /// A stream closes: its recording ends when it was the left side, and goes on without it when the right.
    pub(super) fn leave_recording(&mut self, now: Instant, stream: StreamKey, out: &mut Outbox<Output>) {
        let Some((key, side)) = self.streams.get_mut(stream).and_then(|stream| stream.recording.take())
        else {
            return;
        };
        let Some(recorder) = self.recorders.get_mut(key) else { return };
        match side {
            Side::Left => {
                let id = recorder.id;
                self.stop_recording(now, id, out);
            }
            Side::Right => recorder.right = None,
        }
    }

    fn check_recordable(&self, stream: StreamKey) -> Result<(), MediaError> {
        match self.streams.get(stream) {
            None => Err(MediaError::UnknownStream),
            Some(stream) if stream.recording.is_some() => Err(MediaError::AlreadyRecording),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn audit_recordings(&self, findings: &mut Vec<String>) {
        if self.recorders.len() != self.recordings.len() {
            findings.push("the recordings and their index disagree".into());
        }
        for (key, recorder) in self.recorders.iter() {
            for (stream, side) in [(Some(recorder.left), Side::Left), (recorder.right, Side::Right)] {
                if let Some(stream) = stream
                    && self.streams.get(stream).and_then(|stream| stream.recording) != Some((key, side))
                {
                    findings.push(format!("recording {} does not reach stream {stream:?}", recorder.id));
                }
            }
        }
    }
}
