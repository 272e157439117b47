//! Recordings: which streams go into which file.

use super::{MediaError, Plane};
use crate::recorder::{Recorder, Side};
use crate::{Coded, Output, PauseBehavior, RecordOp, Recording, StreamKey};
use sansio::{Instant, Key, Outbox};

impl Plane {
    /// Starts a stereo recording; its time line starts now. A right side that another recording had is taken from
    /// it: an agent talks in one call at a time.
    ///
    /// # Errors
    /// [`MediaError::UnknownStream`], [`MediaError::AlreadyRecording`], [`MediaError::RecordingsExhausted`],
    /// [`MediaError::CannotDecode`]: nothing was changed.
    pub fn start_recording(
        &mut self,
        now: Instant,
        recording: Recording,
        out: &mut Outbox<Output>,
    ) -> Result<(), MediaError> {
        let Recording { id, left, right } = recording;
        match self.streams.get(left) {
            None => return Err(MediaError::UnknownStream),
            Some(stream) if stream.recording.is_some() => return Err(MediaError::AlreadyRecording),
            Some(_) => {}
        }
        self.check_right(right)?;
        if self.recordings.contains_key(&id) || right == Some(left) {
            return Err(MediaError::AlreadyRecording);
        }
        if [Some(left), right].into_iter().flatten().any(|stream| !self.is_decoded(stream)) {
            return Err(MediaError::CannotDecode);
        }
        let Ok(key) = self.recorders.insert(Recorder::new(now, id, left, right)) else {
            return Err(MediaError::RecordingsExhausted);
        };
        self.recordings.insert(id, key);
        self.counters.recordings_started += 1;
        if let Some(stream) = self.streams.get_mut(left) {
            stream.recording = Some((key, Side::Left));
        }
        self.claim_right(right, key);
        self.touch(left);
        right.into_iter().for_each(|right| self.touch(right));
        out.push(Output::Record(RecordOp::Open { id }));
        Ok(())
    }

    /// Gives a running recording another right side (taken from another recording if need be), or none for a
    /// while. The time line goes on.
    ///
    /// # Errors
    /// [`MediaError::UnknownRecording`], [`MediaError::UnknownStream`], [`MediaError::AlreadyRecording`] (the
    /// stream is the left side of a recording): nothing was changed.
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
        self.check_right(right)?;
        if let Some(stream) = before.and_then(|before| self.streams.get_mut(before)) {
            stream.recording = None;
        }
        self.claim_right(right, key);
        before.into_iter().chain(right).for_each(|stream| self.touch(stream));
        if let Some(recorder) = self.recorders.get_mut(key) {
            recorder.right = right;
        }
        Ok(())
    }

    /// Another stream takes one's place in the recording that one is in, on the same side; the time line goes on. Nothing
    /// when it is in none, or the other is in one already.
    pub fn hand_over_recording(&mut self, from: StreamKey, to: StreamKey) {
        let recording = self.streams.get(from).and_then(|stream| stream.recording);
        let free = self.streams.get(to).is_some_and(|stream| stream.recording.is_none());
        let Some((key, side)) = recording.filter(|_| free) else { return };
        for (stream, place) in [(from, None), (to, Some((key, side)))] {
            if let Some(stream) = self.streams.get_mut(stream) {
                stream.recording = place;
            }
            self.touch(stream);
        }
        if let Some(recorder) = self.recorders.get_mut(key) {
            match side {
                Side::Left => recorder.left = to,
                Side::Right => recorder.right = Some(to),
            }
        }
    }

    /// Keeps nothing of what is said from now on; pausing twice is pausing once.
    ///
    /// # Errors
    /// [`MediaError::UnknownRecording`]: nothing was changed.
    pub fn pause_recording(
        &mut self,
        now: Instant,
        id: u64,
        behavior: PauseBehavior,
    ) -> Result<(), MediaError> {
        self.recorder(id)?.pause(now, behavior);
        Ok(())
    }

    /// Keeps what is said from now on.
    ///
    /// # Errors
    /// [`MediaError::UnknownRecording`]: nothing was changed.
    pub fn resume_recording(&mut self, now: Instant, id: u64) -> Result<(), MediaError> {
        self.recorder(id)?.resume(now);
        Ok(())
    }

    fn recorder(&mut self, id: u64) -> Result<&mut Recorder, MediaError> {
        let key = self.recordings.get(&id).ok_or(MediaError::UnknownRecording)?;
        self.recorders.get_mut(*key).ok_or(MediaError::UnknownRecording)
    }

    /// What this stream says can be recorded, as far as its codec goes.
    fn is_decoded(&self, stream: StreamKey) -> bool {
        let remote = self.streams.get(stream).and_then(|stream| stream.remote);
        remote.is_none_or(|remote| remote.coded != Some(Coded::G729))
    }

    /// Something came that cannot be decoded.
    #[cold]
    pub(super) fn note_undecodable(&mut self, recording: Option<(Key<Recorder>, Side)>) {
        self.counters.undecodable += 1;
        if let Some(recorder) = recording.and_then(|(key, _)| self.recorders.get_mut(key)) {
            recorder.undecodable = true;
        }
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
        [Some(recorder.left), recorder.right].into_iter().flatten().for_each(|stream| self.touch(stream));
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

    fn check_right(&self, right: Option<StreamKey>) -> Result<(), MediaError> {
        let Some(right) = right else { return Ok(()) };
        match self.streams.get(right) {
            None => Err(MediaError::UnknownStream),
            Some(stream) if matches!(stream.recording, Some((_, Side::Left))) => {
                Err(MediaError::AlreadyRecording)
            }
            Some(_) => Ok(()),
        }
    }

    /// Makes a stream the right side of this recording and of no other.
    fn claim_right(&mut self, right: Option<StreamKey>, by: Key<Recorder>) {
        let Some(stream) = right.and_then(|right| self.streams.get_mut(right)) else { return };
        if let Some((before, Side::Right)) = stream.recording.replace((by, Side::Right))
            && before != by
            && let Some(before) = self.recorders.get_mut(before)
        {
            before.right = None;
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
