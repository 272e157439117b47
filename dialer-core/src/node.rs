//! The node as a whole: drain, undrain, stop.

use crate::agent::Line;
use crate::command::{CommandError, Reply};
use crate::dialer::{About, Cx, Dialer, Why};
use crate::event::Event;
use crate::id::{AgentId, CallId};
use crate::outcome::{EndCause, Party};
use core::time::Duration;

impl Dialer {
    /// No new work; what is live may finish until the deadline.
    pub(crate) fn drain(&mut self, cx: &mut Cx<'_>, deadline: Duration) -> Result<Reply, CommandError> {
        self.begin_drain(cx);
        let old = self.node.deadline.take();
        self.disarm(old);
        let ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        self.node.deadline = Some(self.arm(cx.now, ms, Why::DrainDeadline));
        Ok(Reply::Done)
    }

    fn begin_drain(&mut self, cx: &mut Cx<'_>) {
        if !self.node.draining {
            self.node.draining = true;
            self.node.drained = false;
            self.dirty.node = true;
            self.tell(cx, About::default(), Event::NodeDraining);
        }
        self.cancel_all_tasks(cx, "draining");
        self.want_all_decisions();
    }

    pub(crate) fn undrain(&mut self, cx: &mut Cx<'_>) -> Result<Reply, CommandError> {
        if self.node.draining {
            let timers = [self.node.deadline.take(), self.node.closing_sessions.take()];
            for timer in timers {
                self.disarm(timer);
            }
            self.node.draining = false;
            self.node.drained = false;
            self.node.stopping = false;
            self.dirty.node = true;
            let agents: Vec<AgentId> = self.agents.keys().copied().collect();
            for agent in agents {
                self.tend_session(cx, agent);
            }
            self.want_all_decisions();
        }
        Ok(Reply::Done)
    }

    /// Hangs up everything now.
    pub(crate) fn stop_now(&mut self, cx: &mut Cx<'_>) -> Result<Reply, CommandError> {
        self.begin_drain(cx);
        self.on_drain_deadline(cx);
        Ok(Reply::Done)
    }

    pub(crate) fn on_drain_deadline(&mut self, cx: &mut Cx<'_>) {
        let old = self.node.deadline.take();
        self.disarm(old);
        self.node.stopping = true;
        let calls: Vec<CallId> = self.calls.keys().copied().collect();
        for call in calls {
            let answered = self.calls[&call].answered.is_some();
            let cause = if answered { EndCause::Normal } else { EndCause::Cancelled };
            self.hang_up(cx, call, cause, Party::System, None);
        }
    }

    /// Draining and no call left: agents' sessions are closed, and when they are gone the node is drained.
    pub(crate) fn check_drained(&mut self, cx: &mut Cx<'_>) {
        if !self.node.draining || self.node.drained || !self.calls.is_empty() || !self.transit_over() {
            return;
        }
        if self.node.closing_sessions.is_none() {
            let timer = self.arm(cx.now, self.config.session_close_max_ms, Why::SessionsClosed);
            self.node.closing_sessions = Some(timer);
            let agents: Vec<AgentId> = self.agents.keys().copied().collect();
            for agent in agents {
                self.tend_session(cx, agent);
            }
        }
        if self.agents.values().all(|agent| agent.line == Line::Closed) {
            self.on_sessions_closed(cx);
        }
    }

    /// Transit calls end by themselves; once everything is to stop they are not waited for.
    fn transit_over(&self) -> bool {
        self.transit.is_empty() || self.node.stopping
    }

    pub(crate) fn on_sessions_closed(&mut self, cx: &mut Cx<'_>) {
        if self.node.draining && !self.node.drained && self.calls.is_empty() {
            let timers = [self.node.deadline.take(), self.node.closing_sessions.take()];
            for timer in timers {
                self.disarm(timer);
            }
            self.node.drained = true;
            self.dirty.node = true;
            self.tell(cx, About::default(), Event::NodeDrained);
        }
    }
}
