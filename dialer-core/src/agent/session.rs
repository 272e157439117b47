//! How an agent's phone is reached: the registered contact, and the nailed-up session over it.
//!
//! ```text
//!            OpenSession           SessionUp
//!   Closed ───────────────▶ Opening ─────────▶ Up
//!     ▲ ▲                      │ │ CloseSession │
//!     │ └──── SessionDown ─────┘ ▼              │
//!     └────── SessionDown ──── Closing ◀────────┘
//! ```
//! A session that ended although it is wanted is opened again after a back-off, while the phone is registered.

use crate::config::SessionKind;
use crate::dialer::{About, Cx, Dialer, Why};
use crate::effect::Effect;
use crate::event::Event;
use crate::id::AgentId;
use crate::input::AgentFact;
use crate::outcome::EndCause;
use crate::record::Record;

/// The leg of a nailed-up session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Line {
    /// There is none.
    Closed,
    /// Ordered; the phone rings.
    Opening,
    /// Up.
    Up,
    /// Its end is ordered.
    Closing,
}

impl Dialer {
    pub(crate) fn on_agent(&mut self, cx: &mut Cx<'_>, fact: AgentFact) {
        match fact {
            AgentFact::Registered(contact) => {
                let id = contact.agent;
                let Some(agent) = self.agents.get_mut(&id) else { return };
                if agent.phone.is_none() {
                    // A phone that comes back is tried at once.
                    agent.reopenings = 0;
                }
                agent.phone = Some(contact.clone());
                self.journal(cx, vec![Record::ContactPut(contact)]);
                self.tend_session(cx, id);
                self.rest_agent(cx, id, "registered");
            }
            AgentFact::Unregistered { agent: id } => {
                let Some(agent) = self.agents.get_mut(&id) else { return };
                if agent.phone.take().is_none() {
                    return;
                }
                self.journal(cx, vec![Record::ContactDeleted { agent: id }]);
                self.tend_session(cx, id);
                self.rest_agent(cx, id, "unregistered");
            }
            AgentFact::SessionUp { agent: id } => {
                let Some(agent) = self.agents.get_mut(&id) else { return };
                if agent.line == Line::Opening {
                    agent.line = Line::Up;
                    agent.reopenings = 0;
                    self.rest_agent(cx, id, "session_up");
                }
            }
            AgentFact::CallRefused { agent, to, reason } => {
                if self.agents.contains_key(&agent) {
                    let about = About { agent: Some(agent), ..About::default() };
                    self.tell(cx, about, Event::AgentCallRefused { to, reason: reason.into() });
                }
            }
            AgentFact::SessionDown { agent, cause, by: _ } => self.on_session_down(cx, agent, cause),
        }
    }

    fn on_session_down(&mut self, cx: &mut Cx<'_>, id: AgentId, cause: EndCause) {
        let Some(agent) = self.agents.get_mut(&id) else { return };
        let was = std::mem::replace(&mut agent.line, Line::Closed);
        if was == Line::Closed {
            return;
        }
        let wanted = agent.wants_session();
        if let Some(call) = agent.call.filter(|_| agent.session == Some(SessionKind::NailedUp)) {
            self.lose_agent(cx, call, cause);
        }
        self.rest_agent(cx, id, "session_down");
        if was == Line::Closing || !wanted {
            // Ordered; it is opened at once if it is wanted again meanwhile.
            self.tend_session(cx, id);
            return;
        }
        let agent = self.agents.get_mut(&id).expect("found above");
        let doublings = agent.reopenings.min(16);
        agent.reopenings += 1;
        let ms = (self.config.session_retry_min_ms << doublings).min(self.config.session_retry_max_ms);
        let timer = self.arm(cx.now, ms, Why::Reopen(id));
        let old = self.agents.get_mut(&id).expect("found above").reopen.replace(timer);
        self.disarm(old);
    }

    pub(crate) fn on_reopen_timer(&mut self, cx: &mut Cx<'_>, id: AgentId) {
        if let Some(agent) = self.agents.get_mut(&id) {
            agent.reopen = None;
            self.tend_session(cx, id);
        }
    }

    /// Opens or closes the session as status, phone and node want it.
    pub(crate) fn tend_session(&mut self, cx: &mut Cx<'_>, id: AgentId) {
        let closing = self.node.closing_sessions.is_some() || self.node.drained;
        let Some(agent) = self.agents.get_mut(&id) else { return };
        let wanted = agent.wants_session() && !closing;
        match agent.line {
            Line::Closed if wanted && agent.phone.is_some() && agent.reopen.is_none() => {
                agent.line = Line::Opening;
                cx.out.push(Effect::OpenSession {
                    agent: id,
                    auto_answer: agent.row.config.auto_answer,
                    ring_timeout_ms: self.config.session_ring_ms,
                });
            }
            Line::Opening | Line::Up if !wanted => {
                agent.line = Line::Closing;
                cx.out.push(Effect::CloseSession { agent: id });
                self.rest_agent(cx, id, "session_closing");
            }
            Line::Closed if !wanted => {
                let reopen = agent.reopen.take();
                self.disarm(reopen);
            }
            _ => {}
        }
    }
}

impl super::Agent {
    fn wants_session(&self) -> bool {
        self.session == Some(SessionKind::NailedUp)
    }
}
