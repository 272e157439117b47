//! The fork of a call: one at a time, told when its connection is up and, once, when it is over.

use super::{Moment, Taps};
use crate::command::{CommandError, Reply};
use crate::dialer::{Cx, Dialer};
use crate::event::Event;
use crate::fork::{ForkConfig, ForkEnd, ForkOrder};
use crate::id::{CallId, ForkId};
use crate::participant::CallAct;
use crate::view::{CallState, ForkView};

/// The fork a call has, or is getting.
#[derive(Clone, Debug)]
pub(crate) struct CallFork {
    fork: ForkId,
    config: ForkConfig,
    asked: Moment,
    started: Option<Moment>,
}

impl Dialer {
    pub(super) fn start_fork(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        state: CallState,
        config: ForkConfig,
    ) -> Result<Reply, CommandError> {
        config.check()?;
        // Those that pass through are joined as soon as they are answered.
        let answered =
            self.calls.get(&id).map_or(state == CallState::Bridged, |call| call.answered.is_some());
        if !answered || state == CallState::Ending {
            let detail = "a fork needs a call that is answered".into();
            return Err(CommandError::InvalidCallState { state, detail });
        }
        let taps = self.taps(id).expect("it is live");
        if taps.fork.is_some() {
            let detail = "the call has a fork already".into();
            return Err(CommandError::InvalidCallState { state, detail });
        }
        let fork = ForkId::generate(cx.wall, &mut self.ids);
        let asked = Moment { at: cx.now, wall: cx.wall };
        let order = ForkOrder { fork, config: config.clone() };
        self.taps(id).expect("it is live").fork =
            Some(Box::new(CallFork { fork, config, asked, started: None }));
        self.act(cx, id, CallAct::StartFork(Box::new(order)));
        Ok(Reply::Fork(fork))
    }

    pub(super) fn stop_fork(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        wanted: Option<ForkId>,
    ) -> Result<Reply, CommandError> {
        let found = self.taps(id).and_then(|taps| taps.fork.as_ref()).map(|fork| fork.fork);
        match found {
            Some(fork) if wanted.is_none_or(|wanted| wanted == fork) => {
                self.act(cx, id, CallAct::StopFork(fork));
                Ok(Reply::Done)
            }
            _ => Err(CommandError::NotFound { what: "fork" }),
        }
    }

    pub(super) fn on_fork_started(&mut self, cx: &mut Cx<'_>, id: CallId, fork: ForkId) {
        let (now, wall) = (cx.now, cx.wall);
        let Some(found) = self.fork_of(id, fork) else { return };
        if found.started.is_some() {
            return;
        }
        found.started = Some(Moment { at: now, wall });
        let (url, format, tracks) = (found.config.shown_url(), found.config.format, found.config.tracks);
        self.tell_call(cx, id, Event::CallForkStarted { fork, url, format, tracks });
    }

    pub(super) fn on_fork_interrupted(&mut self, cx: &mut Cx<'_>, id: CallId, fork: ForkId, reason: String) {
        if self.fork_of(id, fork).is_some() {
            self.tell_call(cx, id, Event::CallForkInterrupted { fork, reason });
        }
    }

    pub(super) fn on_fork_ended(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        fork: ForkId,
        cause: ForkEnd,
        reason: Option<String>,
    ) {
        if self.fork_of(id, fork).is_some() {
            self.end_fork(cx, id, cause, reason);
        }
    }

    /// A fork whose end was not told by the engine ends with the call.
    pub(super) fn end_fork(&mut self, cx: &mut Cx<'_>, id: CallId, cause: ForkEnd, reason: Option<String>) {
        let Some(ended) = self.taps(id).and_then(|taps| taps.fork.take()) else { return };
        let duration_ms = ended.started.map_or(0, |moment| cx.now.millis_since(moment.at));
        self.tell_call(cx, id, Event::CallForkEnded { fork: ended.fork, cause, reason, duration_ms });
    }

    fn fork_of(&mut self, id: CallId, fork: ForkId) -> Option<&mut CallFork> {
        self.taps(id)?.fork.as_deref_mut().filter(|found| found.fork == fork)
    }
}

impl Taps {
    /// The call's fork, for those who look.
    pub(crate) fn fork_view(&self) -> Option<ForkView> {
        let fork = self.fork.as_ref()?;
        Some(ForkView {
            fork: fork.fork,
            url: fork.config.shown_url(),
            format: fork.config.format,
            tracks: fork.config.tracks,
            asked_at: fork.asked.wall,
            started_at: fork.started.map(|moment| moment.wall),
        })
    }
}
