//! How an agent's phone is reached: the registered contact, and the nailed-up session over it.
//!
//! ```text
//!            OpenSession           SessionUp
//!   Closed ───────────────▶ Opening ─────────▶ Up
//!     ▲ ▲                      │ │ CloseSession │
//!     │ └──── SessionDown ─────┘ ▼              │
//!     └────── SessionDown ──── Closing ◀────────┘
//! ```
//! A session that ended although it is wanted is opened again after a back-off, while the phone is registered (or need not
//! be). That to a telephone number is not, unless the network was at fault (`device.rs`).
//!
//! The phone of an agent without a session is reached the same way when it is rung early (`call/early.rs`): its leg is
//! opened when lines ring and closed after one conversation. One that is not taken, or laid down while lines ring, counts
//! as an offer missed.

use crate::config::SessionKind;
use crate::dialer::{About, Cx, Dialer, Why};
use crate::effect::Effect;
use crate::event::Event;
use crate::id::AgentId;
use crate::input::AgentFact;
use crate::outcome::EndCause;
use crate::record::Record;

/// A phone that asks for a longer rest is called again after this, milliseconds.
const REST_MS_MAX: u64 = 600_000;

/// The leg of a nailed-up session, or of a phone rung early.
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
                agent.silent = false;
                self.journal(cx, vec![Record::ContactDeleted { agent: id }]);
                self.tend_session(cx, id);
                self.rest_agent(cx, id, "unregistered");
            }
            AgentFact::PhoneHealth { agent, reachable, reason } => {
                self.on_phone_health(cx, agent, reachable, reason);
            }
            AgentFact::SessionUp { agent: id } => {
                let Some(agent) = self.agents.get_mut(&id) else { return };
                if agent.line == Line::Opening {
                    agent.line = Line::Up;
                    agent.reopenings = 0;
                    self.phone_answers(id);
                    self.rest_agent(cx, id, "session_up");
                }
            }
            AgentFact::CallRefused { agent, to, reason } => {
                if self.agents.contains_key(&agent) {
                    let about = About { agent: Some(agent), ..About::default() };
                    self.tell(cx, about, Event::AgentCallRefused { to, reason: reason.into() });
                }
            }
            AgentFact::AsksForRest { agent, wait_ms } => {
                if let Some(agent) = self.agents.get_mut(&agent) {
                    agent.rest_ms = wait_ms.min(REST_MS_MAX);
                }
            }
            AgentFact::SessionDown { agent, cause, by: _ } => self.on_session_down(cx, agent, cause),
        }
    }

    /// A phone fell silent, or is back. Who is in a call stays there; the state follows when that is over.
    fn on_phone_health(&mut self, cx: &mut Cx<'_>, id: AgentId, reachable: bool, reason: Option<String>) {
        let Some(agent) = self.agents.get_mut(&id) else { return };
        let silent = !reachable && agent.phone.is_some() && !agent.row.config.device.is_fixed();
        if std::mem::replace(&mut agent.silent, silent) == silent {
            return;
        }
        if reachable {
            // A phone that comes back is tried at once.
            agent.reopenings = 0;
        }
        let group = agent.first_group().to_owned();
        let counts = self.counters.group(&group);
        *if silent { &mut counts.phones_lost } else { &mut counts.phones_back } += 1;
        let about = About { agent: Some(id), ..About::default() };
        let event = if silent {
            Event::AgentPhoneLost { reason: reason.unwrap_or_default() }
        } else {
            Event::AgentPhoneBack
        };
        self.tell(cx, about, event);
        self.rest_agent(cx, id, if silent { "phone_lost" } else { "phone_back" });
        self.tend_session(cx, id);
    }

    /// It has answered a call: that says more than OPTIONS.
    pub(crate) fn phone_answers(&mut self, id: AgentId) {
        if let Some(agent) = self.agents.get_mut(&id) {
            agent.silent = false;
        }
    }

    fn on_session_down(&mut self, cx: &mut Cx<'_>, id: AgentId, cause: EndCause) {
        let Some(agent) = self.agents.get_mut(&id) else { return };
        let was = std::mem::replace(&mut agent.line, Line::Closed);
        if was == Line::Closed {
            return;
        }
        self.free_line(id);
        let agent = self.agents.get_mut(&id).expect("found above");
        let wanted = agent.wants_session();
        agent.rung_early = false;
        self.rung_early.remove(&id);
        if agent.session == Some(SessionKind::OnDemand) {
            self.on_early_leg_down(cx, id, was, cause);
            return;
        }
        if let Some(call) = agent.call.filter(|_| agent.session == Some(SessionKind::NailedUp)) {
            self.lose_agent(cx, call, cause);
        }
        self.rest_agent(cx, id, "session_down");
        if was == Line::Closing || !wanted {
            // Ordered; it is opened at once if it is wanted again meanwhile.
            self.tend_session(cx, id);
            return;
        }
        if self.lay_number_down(cx, id, cause) {
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

    /// Rings the phone of an agent without a session, so that lines can be heard ringing.
    pub(crate) fn ring_early(&mut self, cx: &mut Cx<'_>, id: AgentId) {
        self.agents.get_mut(&id).expect("the caller has it").rung_early = true;
        self.rung_early.insert(id);
        self.tend_session(cx, id);
        self.rest_agent(cx, id, "rung_early");
    }

    /// Ends the leg of a phone that was rung early, if this agent's was.
    pub(crate) fn lay_down_early(&mut self, cx: &mut Cx<'_>, id: AgentId) {
        let agent = self.agents.get_mut(&id).expect("the caller has it");
        self.rung_early.remove(&id);
        if std::mem::take(&mut agent.rung_early) {
            self.tend_session(cx, id);
        }
    }

    /// The leg of a phone rung early is gone: not taken, laid down, or lost.
    fn on_early_leg_down(&mut self, cx: &mut Cx<'_>, id: AgentId, was: Line, cause: EndCause) {
        let call = self.agents[&id].call;
        let talked = call.is_some_and(|call| !self.calls[&call].is_joined_early());
        if let Some(call) = call {
            self.lose_agent(cx, call, cause);
        }
        if was == Line::Closing || talked {
            self.rest_agent(cx, id, "session_down");
        } else {
            self.count_offer(id, cause);
            self.back_off(cx, id);
        }
    }

    pub(crate) fn on_reopen_timer(&mut self, cx: &mut Cx<'_>, id: AgentId) {
        if let Some(agent) = self.agents.get_mut(&id) {
            agent.reopen = None;
            self.tend_session(cx, id);
        }
    }

    fn open_line(&mut self, cx: &mut Cx<'_>, id: AgentId) {
        match self.way_to_open(cx, id) {
            Ok(way) => {
                self.agents.get_mut(&id).expect("the caller has it").line = Line::Opening;
                let ring_timeout_ms = self.config.session_ring_ms;
                cx.out.push(Effect::OpenSession { agent: id, way, ring_timeout_ms });
            }
            Err(at) => {
                let timer = self.arm(cx.now, at.millis_since(cx.now) + 1, Why::Reopen(id));
                self.agents.get_mut(&id).expect("the caller has it").reopen = Some(timer);
            }
        }
    }

    /// Opens or closes the session as status, phone and node want it.
    pub(crate) fn tend_session(&mut self, cx: &mut Cx<'_>, id: AgentId) {
        let closing = self.node.closing_sessions.is_some() || self.node.drained;
        let Some(agent) = self.agents.get_mut(&id) else { return };
        let wanted = agent.wants_session() && !closing;
        match agent.line {
            Line::Closed if wanted && agent.has_phone() && agent.reopen.is_none() => self.open_line(cx, id),
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
    pub(super) fn wants_session(&self) -> bool {
        match self.session {
            // What a phone that has fallen silent still holds up is not heard by anybody.
            Some(SessionKind::NailedUp) => !(self.silent && self.is_free()),
            Some(SessionKind::OnDemand) => self.rung_early,
            None => false,
        }
    }
}
