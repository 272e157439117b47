//! What a call's sound goes to besides its sides: its recording and its fork. Calls of the dialer's own and those that
//! pass through have them alike.

use super::fork::CallFork;
use super::{Call, RunningRecording, TransitCall};
use crate::dialer::Dialer;
use crate::id::{CallId, RecordingId};
use crate::record::RecordingStartRow;
use std::collections::BTreeMap;

/// Recording and fork of a live call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taps {
    /// Its recordings, in the order in which they were begun.
    pub(crate) recordings: Vec<RecordingId>,
    /// The one that runs.
    pub(crate) recording: Option<RunningRecording>,
    /// What is written down of it, once its file is being written.
    pub(crate) start: Option<Box<RecordingStartRow>>,
    /// Its sound goes to someone outside.
    pub(crate) fork: Option<Box<CallFork>>,
}

impl Taps {
    /// The running recording was never begun.
    pub(crate) fn forget_running(&mut self) {
        if let Some(unmade) = self.recording.take() {
            self.recordings.retain(|recording| *recording != unmade.id);
        }
    }

    /// Those of a live call, of either sort.
    pub(crate) fn of<'a>(
        calls: &'a mut BTreeMap<CallId, Call>,
        transit: &'a mut BTreeMap<CallId, TransitCall>,
        id: CallId,
    ) -> Option<&'a mut Taps> {
        let own = calls.get_mut(&id).map(|call| &mut call.taps);
        own.or_else(|| transit.get_mut(&id).map(|call| &mut call.taps))
    }
}

impl Dialer {
    /// Those of a live call, of either sort.
    pub(crate) fn taps(&mut self, id: CallId) -> Option<&mut Taps> {
        Taps::of(&mut self.calls, &mut self.transit, id)
    }
}
