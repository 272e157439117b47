//! Calls that pass through from trunk to trunk: the shards carry them by themselves. They are shown while they live, can
//! be hung up, recorded and forked (where their sound goes through us), and are told of once, when they are over.

use super::{EndedCall, RunningRecording, Taps};
use crate::command::{CommandError, Reply};
use crate::dialer::{About, Cx, Dialer, Why};
use crate::effect::{CallOrder, Effect};
use crate::event::Event;
use crate::fork::ForkEnd;
use crate::id::{AttemptId, CallId, TrunkId};
use crate::input::TransitStart;
use crate::outcome::{EndCause, Party};
use crate::participant::CallWish;
use crate::record::{AttemptRow, CallKindTag, CallRecord, Record};
use crate::view::{CallState, CallView};
use sansio::{Instant, TimerKey, WallTime};
use std::collections::BTreeSet;

/// Views follow transit calls this much later at most, milliseconds: there may be thousands of calls in a second.
const VIEWS_MS: u64 = 100;

/// A live one.
#[derive(Debug)]
pub(crate) struct TransitCall {
    pub(crate) start: Box<TransitStart>,
    state: CallState,
    answered_at: Option<WallTime>,
    pub(crate) taps: Taps,
    /// Place of its last event in its stream.
    seq: u32,
}

/// Transit calls that changed, and their trunks, whose views are sent when the timer fires.
#[derive(Debug, Default)]
pub(crate) struct TransitViews {
    calls: BTreeSet<CallId>,
    trunks: BTreeSet<TrunkId>,
    timer: Option<TimerKey>,
}

impl TransitCall {
    /// The trunks it holds a channel of.
    pub(crate) fn trunks(&self) -> [TrunkId; 2] {
        [self.start.from, self.start.to]
    }

    pub(crate) fn state(&self) -> CallState {
        self.state
    }

    /// What its next event is about.
    pub(crate) fn next_about(&mut self, id: CallId) -> About {
        self.seq += 1;
        About { call: Some(id), seq: Some(self.seq), agent: self.start.agent, ..About::default() }
    }

    pub(crate) fn view(&self, id: CallId) -> CallView {
        let start = &*self.start;
        CallView {
            id,
            tenant: None,
            attempt: None,
            kind: CallKindTag::Transit,
            state: self.state,
            campaign: None,
            lead: None,
            agent: start.agent,
            trunk: Some(start.to),
            from_trunk: start.agent.is_none().then_some(start.from),
            to: start.number.clone(),
            caller_id: start.caller_id.clone(),
            started_at: start.at,
            answered_at: self.answered_at,
            bridged_at: self.answered_at,
            held_by: None,
            muted: Vec::new(),
            participants: Vec::new(),
            recording: self.taps.recording.map(RunningRecording::view),
            fork: self.taps.fork_view(),
            client_state: None,
        }
    }
}

impl Dialer {
    /// How a live transit call began.
    #[must_use]
    pub fn transit(&self, call: CallId) -> Option<&TransitStart> {
        self.transit.get(&call).map(|call| &*call.start)
    }

    pub(super) fn on_transit_started(&mut self, cx: &Cx<'_>, id: CallId, start: Box<TransitStart>) {
        if self.transit.contains_key(&id) {
            return;
        }
        let call = TransitCall {
            start,
            state: CallState::Dialing,
            answered_at: None,
            taps: Taps::default(),
            seq: 0,
        };
        self.count_transit(call.trunks(), |active| active + 1);
        self.transit.insert(id, call);
        self.show_transit_soon(cx.now, id);
    }

    /// Of most transit calls nothing is told but their end. One of which more is told is written down first: after a crash
    /// it has its end all the same.
    pub(super) fn write_down_transit(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let Some(call) = self.transit.get(&id).filter(|call| call.seq == 0) else { return };
        let start = &*call.start;
        let row = AttemptRow {
            id: AttemptId::generate(cx.wall, &mut self.ids),
            call: id,
            campaign: None,
            lead: None,
            agent: start.agent,
            number_of_attempt: 0,
            to: start.number.clone(),
            caller_id: start.caller_id.clone(),
            trunk: start.to,
            mode: None,
            at: start.at,
            client_state: None,
            inbound: false,
            transit: true,
            verstat: None,
            participants: Vec::new(),
        };
        self.journal(cx, vec![Record::AttemptStarted(row)]);
    }

    /// Its channel is one of another trunk.
    pub(super) fn on_transit_moved(&mut self, cx: &Cx<'_>, id: CallId, to: TrunkId, sip_code: Option<u16>) {
        let Some(call) = self.transit.get_mut(&id) else { return };
        let before = call.trunks();
        self.counters.left_trunk(call.start.to, sip_code);
        call.start.to = to;
        let after = call.trunks();
        self.count_transit(before, |active| active.saturating_sub(1));
        self.count_transit(after, |active| active + 1);
        self.show_transit_soon(cx.now, id);
    }

    pub(super) fn on_transit_ringing(&mut self, cx: &Cx<'_>, id: CallId) {
        let Some(call) = self.transit.get_mut(&id).filter(|call| call.state == CallState::Dialing) else {
            return;
        };
        call.state = CallState::Ringing;
        self.show_transit_soon(cx.now, id);
    }

    pub(super) fn on_transit_answered(&mut self, cx: &Cx<'_>, id: CallId, at: WallTime) {
        let Some(call) = self.transit.get_mut(&id).filter(|call| call.answered_at.is_none()) else { return };
        call.answered_at = Some(at);
        if call.state != CallState::Ending {
            call.state = CallState::Bridged;
        }
        self.show_transit_soon(cx.now, id);
    }

    /// Its end is its only event, but for what is told of its sound, recordings and forks.
    pub(super) fn on_transit_ended(&mut self, cx: &mut Cx<'_>, from: TrunkId, mut record: CallRecord) {
        self.end_fork(cx, record.call, ForkEnd::CallEnded, None);
        self.end_tracked(cx, record.call);
        record.tenant = self.tenant_of(None, record.agent);
        let mut about = About { call: Some(record.call), seq: Some(1), ..About::default() };
        if let Some(mut call) = self.transit.remove(&record.call) {
            about = call.next_about(record.call);
            let trunks = call.trunks();
            // The shard knows of the first, and one that went down of none any more.
            record.recording = record.recording.or(call.taps.recordings.first().copied());
            let first = record.recording;
            record.more_recordings =
                call.taps.recordings.into_iter().filter(|recording| Some(*recording) != first).collect();
            self.count_transit(trunks, |active| active.saturating_sub(1));
            self.show_transits_soon(cx.now);
            // Nobody is to find it alive when its end has been told.
            self.transit_views.calls.remove(&record.call);
            self.dirty.calls.insert(record.call);
        }
        self.counters.transit_ended(&record, from);
        self.journal(cx, vec![Record::CallEnded(Box::new(record.clone()))]);
        // Only a recording can be told of later; its event goes on counting.
        if record.recording.is_some() {
            self.ended.insert(record.call, EndedCall::cut_off(&record, None, about.seq.unwrap_or(1)));
        }
        about.tenant = record.tenant.clone();
        self.tell(cx, about, Event::CallEnded { record: Box::new(record) });
    }

    /// Orders the end of a transit call; doing so again changes nothing. `None` when it is none, or over.
    pub(super) fn hang_up_transit(&mut self, cx: &mut Cx<'_>, id: CallId) -> Option<Reply> {
        let call = self.transit.get_mut(&id)?;
        if std::mem::replace(&mut call.state, CallState::Ending) != CallState::Ending {
            let cause = if call.answered_at.is_some() { EndCause::Normal } else { EndCause::Cancelled };
            cx.out.push(Effect::Call(CallOrder::Hangup { call: id, cause, by: Party::Api }));
            self.transit_views.calls.remove(&id);
            self.dirty.calls.insert(id);
        }
        Some(Reply::Done)
    }

    /// Does to a transit call what can be done to it: its sound has to go through us, be it to a file or to a fork.
    pub(super) fn transit_wish(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        wish: CallWish,
    ) -> Result<Reply, CommandError> {
        let call = self.transit.get(&id).ok_or(CommandError::NotFound { what: "call" })?;
        let (state, relayed) = (call.state, call.start.relayed);
        match wish {
            CallWish::Record(_) | CallWish::StartFork(_) | CallWish::StopFork(_) if !relayed => {
                let detail = "the sound of this call goes past us, from trunk to trunk".into();
                Err(CommandError::InvalidCallState { state, detail })
            }
            CallWish::Record(wish) => self.record_wish(cx, id, state, wish),
            CallWish::StartFork(config) => self.start_fork(cx, id, state, *config),
            CallWish::StopFork(fork) => self.stop_fork(cx, id, fork),
            _ => Err(self.not_ours(id)),
        }
    }

    fn count_transit(&mut self, trunks: [TrunkId; 2], count: impl Fn(u32) -> u32) {
        for id in trunks {
            if let Some(trunk) = self.trunks.get_mut(&id) {
                trunk.active = count(trunk.active);
                self.transit_views.trunks.insert(id);
            }
        }
    }

    fn show_transit_soon(&mut self, now: Instant, id: CallId) {
        self.transit_views.calls.insert(id);
        self.show_transits_soon(now);
    }

    fn show_transits_soon(&mut self, now: Instant) {
        if self.transit_views.timer.is_none() {
            self.transit_views.timer = Some(self.arm(now, VIEWS_MS, Why::TransitViews));
        }
    }

    pub(crate) fn on_transit_views_timer(&mut self) {
        self.transit_views.timer = None;
        self.dirty.calls.append(&mut self.transit_views.calls);
        self.dirty.trunks.append(&mut self.transit_views.trunks);
    }

    /// Why something cannot be done with a call that is none of the dialer's own.
    pub(super) fn not_ours(&self, id: CallId) -> CommandError {
        if let Some(call) = self.transit.get(&id) {
            let detail = "a call that passes through can only be hung up, recorded and forked".into();
            return CommandError::InvalidCallState { state: call.state, detail };
        }
        match self.ended.get(id) {
            Some(_) => {
                CommandError::InvalidCallState { state: CallState::Ending, detail: "the call is over".into() }
            }
            None => CommandError::NotFound { what: "call" },
        }
    }
}
