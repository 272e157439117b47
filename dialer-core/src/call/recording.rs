//! The recording of a call: begun with the talk or by a wish, paused and resumed, ended, and told when it is complete.

use super::Taps;
use crate::command::{CommandError, Reply};
use crate::dialer::{Cx, Dialer};
use crate::event::Event;
use crate::id::{AgentId, CallId, CampaignId, RecordingId};
use crate::participant::CallAct;
use crate::record::{Record, RecordingRow, RecordingStartRow};
use crate::recording::{PauseBehavior, Pauses, RecordAct, RecordWish, RecordedFile};
use crate::view::{CallState, RecordingView};

/// Recordings of one call: its record names them all.
pub(crate) const RECORDINGS_MAX: usize = 100;

/// A recording that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunningRecording {
    pub(crate) id: RecordingId,
    pub(crate) paused: Option<PauseBehavior>,
}

impl RunningRecording {
    pub(crate) fn new(id: RecordingId) -> Self {
        RunningRecording { id, paused: None }
    }

    pub(crate) fn view(self) -> RecordingView {
        RecordingView { recording: self.id, paused: self.paused }
    }
}

impl Dialer {
    pub(super) fn record_wish(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        state: CallState,
        wish: RecordWish,
    ) -> Result<Reply, CommandError> {
        let refused = |detail: &str| Err(CommandError::InvalidCallState { state, detail: detail.into() });
        let (wall, ids) = (cx.wall, &mut self.ids);
        let taps = Taps::of(&mut self.calls, &mut self.transit, id).expect("it is live");
        let is_full = taps.recordings.len() >= RECORDINGS_MAX;
        let (recording, act, event) = match (wish, &mut taps.recording) {
            (RecordWish::Start, Some(_)) => return refused("the call is being recorded already"),
            (RecordWish::Start, None) if state != CallState::Bridged => {
                return refused("recording needs a call whose sides are joined");
            }
            (RecordWish::Start, _) if is_full => {
                return refused("the call has been recorded in as many parts as a call may have");
            }
            (RecordWish::Start, now) => {
                let recording = RecordingId::generate(wall, ids);
                *now = Some(RunningRecording::new(recording));
                taps.recordings.push(recording);
                (recording, RecordAct::Start(recording), None)
            }
            (_, None) => return refused("the call is not being recorded"),
            (RecordWish::Pause(behavior), Some(RunningRecording { id: recording, paused })) => {
                match paused {
                    Some(now) if *now == behavior => return Ok(Reply::Recording(*recording)),
                    Some(_) => {
                        return refused("it is paused already, with another pause_behavior; resume it first");
                    }
                    None => *paused = Some(behavior),
                }
                let event = Event::RecordingPaused { recording: *recording, behavior };
                (*recording, RecordAct::Pause(*recording, behavior), Some(event))
            }
            (RecordWish::Resume, Some(RunningRecording { id: recording, paused })) => {
                if paused.take().is_none() {
                    return Ok(Reply::Recording(*recording));
                }
                let event = Event::RecordingResumed { recording: *recording };
                (*recording, RecordAct::Resume(*recording), Some(event))
            }
            (RecordWish::Stop, now) => {
                let recording = now.take().map_or(RecordingId::from_bits(0), |running| running.id);
                (recording, RecordAct::Stop(recording), None)
            }
        };
        if let Some(event) = event {
            self.note_pause(cx, id);
            self.tell_call(cx, id, event);
        }
        self.act(cx, id, CallAct::Record(act));
        Ok(Reply::Recording(recording))
    }

    /// Writes down that the running recording is paused, or goes on.
    fn note_pause(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let Some(taps) = self.taps(id) else { return };
        if let (Some(running), Some(start)) = (taps.recording, &mut taps.start)
            && start.id == running.id
        {
            start.pauses.change(running.paused, cx.wall);
            let row = (**start).clone();
            self.journal(cx, vec![Record::RecordingStarted(row)]);
        }
    }

    /// Whose a recording is.
    fn of_call(&self, id: CallId) -> (Option<CampaignId>, Option<AgentId>) {
        match (self.calls.get(&id), self.ended.get(id)) {
            (Some(call), _) => (call.campaign, call.agent.or(call.last_agent)),
            (None, Some(call)) => (call.campaign, call.agent),
            (None, None) => (None, self.transit(id).and_then(|start| start.agent)),
        }
    }

    /// Its file is being written: should the node go down, the next run knows whose it is.
    pub(super) fn on_recording_started(
        &mut self,
        cx: &mut Cx<'_>,
        call: CallId,
        recording: RecordingId,
        file: String,
    ) {
        let ((campaign, agent), at) = (self.of_call(call), cx.wall);
        let mut row =
            RecordingStartRow { id: recording, call, campaign, agent, file, at, pauses: Pauses::default() };
        if let Some(taps) = self.taps(call) {
            // It may have been paused already.
            let running = taps.recording.filter(|running| running.id == recording);
            row.pauses.change(running.and_then(|running| running.paused), at);
            taps.start = Some(Box::new(row.clone()));
        }
        self.journal(cx, vec![Record::RecordingStarted(row)]);
        // Of calls that pass through, the shard begins those that a route asks for.
        if let Some(transit) = self.transit.get_mut(&call)
            && transit.taps.recordings.is_empty()
        {
            transit.taps.recordings.push(recording);
            transit.taps.recording = Some(RunningRecording::new(recording));
        }
        self.tell_call_or_late(cx, call, Event::RecordingStarted { recording });
    }

    pub(crate) fn on_recording_ready(
        &mut self,
        cx: &mut Cx<'_>,
        call: CallId,
        recording: RecordingId,
        sound: RecordedFile,
    ) {
        self.recording_is_over(call, recording);
        let (campaign, agent) = self.of_call(call);
        let (file, at, pauses) = (String::new(), cx.wall, Pauses::default());
        let start = RecordingStartRow { id: recording, call, campaign, agent, file, at, pauses };
        self.list_recording(cx, start, sound);
    }

    /// A complete recording is written down and told.
    pub(crate) fn list_recording(
        &mut self,
        cx: &mut Cx<'_>,
        RecordingStartRow { id, call, campaign, agent, .. }: RecordingStartRow,
        sound: RecordedFile,
    ) {
        let RecordedFile { file, duration_ms, paused_ms, bytes, undecodable, cut_off } = sound;
        let at = cx.wall;
        self.counters.recording_bytes += bytes;
        let row = RecordingRow {
            id,
            call,
            campaign,
            agent,
            file,
            duration_ms,
            paused_ms,
            bytes,
            undecodable,
            cut_off,
            at,
        };
        self.journal(cx, vec![Record::RecordingReady(row)]);
        let event =
            Event::RecordingReady { recording: id, duration_ms, paused_ms, bytes, undecodable, cut_off };
        self.tell_call_or_late(cx, call, event);
    }

    pub(super) fn on_recording_failed(
        &mut self,
        cx: &mut Cx<'_>,
        call: CallId,
        recording: RecordingId,
        reason: String,
    ) {
        self.recording_is_over(call, recording);
        self.tell_call_or_late(cx, call, Event::RecordingFailed { recording, reason });
    }

    fn recording_is_over(&mut self, call: CallId, recording: RecordingId) {
        if let Some(taps) = self.taps(call)
            && taps.recording.is_some_and(|running| running.id == recording)
        {
            taps.recording = None;
            self.dirty.calls.insert(call);
        }
    }
}
