//! What is done with a transit call from above: its recordings and its fork.

use super::{Transit, TransitSound};
use crate::call::digits::Way;
use crate::doors::ShardEffect;
use crate::shard::CallShard;
use dialer_core::outcome::Party;
use dialer_core::participant::CallAct;
use dialer_core::recording::RecordAct;
use dialer_core::{CallFact, CallId, RecordingId};
use media::Ears;
use sansio::{Instant, Key, Outbox};

impl CallShard {
    /// The transit call of this name, if it lives here.
    pub(crate) fn transit_key(&self, call: CallId) -> Option<Key<Transit>> {
        self.transits.iter().find(|(_, transit)| transit.id == call).map(|(key, _)| key)
    }

    /// One order about a transit call. The dialer gives none but these.
    pub(crate) fn act_on_transit(
        &mut self,
        now: Instant,
        call: CallId,
        act: CallAct,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(key) = self.transit_key(call) else {
            self.counters.orders_late += 1;
            return;
        };
        match act {
            CallAct::Record(RecordAct::Start(recording)) => {
                self.start_transit_recording(now, key, recording, out);
            }
            CallAct::Record(act) => {
                let transit = self.transits.get_mut(key);
                if let (RecordAct::Stop(stopped), Some(transit)) = (&act, transit)
                    && transit.recording == Some(*stopped)
                {
                    transit.recording = None;
                }
                self.change_recording(now, act);
            }
            CallAct::StartFork(order) => {
                // As in other calls the fork is on the side of who is not ours to speak for: the caller.
                let stream = match self.transits.get(key).map(|transit| &transit.sound) {
                    Some(TransitSound::Relay { caller, .. }) => Some(caller.stream),
                    Some(TransitSound::Bypass) | None => None,
                };
                // Who is outside is told what the caller presses; nobody else asks.
                if let Some(stream) = stream {
                    self.plane.listen(now, stream, Ears { dtmf: true, ..Ears::default() });
                }
                self.start_fork(now, call, stream, *order, out);
            }
            CallAct::StopFork(fork) => {
                self.stop_fork(fork, out);
                if let Some(TransitSound::Relay { caller, .. }) = self.transits.get(key).map(|t| &t.sound) {
                    self.plane.listen(now, caller.stream, Ears::default());
                }
            }
            _ => self.counters.orders_late += 1,
        }
    }

    /// Records both sides, the caller on the left; where the sound goes past us, tells that it cannot be.
    pub(super) fn start_transit_recording(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        recording: RecordingId,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(transit) = self.transits.get_mut(key) else { return };
        let call = transit.id;
        let TransitSound::Relay { caller, callee, .. } = &transit.sound else {
            let reason = "its sound goes past us".into();
            return self.tell(CallFact::RecordingFailed { call, recording, reason }, out);
        };
        let (left, right) = (caller.stream, callee.stream);
        transit.first_recording.get_or_insert(recording);
        transit.recording = Some(recording);
        self.start_recording(now, call, recording, left, Some(right), out);
    }

    /// The caller has pressed a digit: told to who listens outside.
    pub(crate) fn transit_digit(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        way: Way,
        (digit, duration_ms): (char, u32),
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(transit) = self.transits.get_mut(key) else { return };
        // The caller has the place that the dialled customer has elsewhere.
        if transit.digits.admit(now, Party::Customer, way, digit, duration_ms) {
            let call = transit.id;
            self.fork_digit(call, digit, out);
        }
    }
}
