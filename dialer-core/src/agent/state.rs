//! Moving an agent from state to state.

use crate::call::Moment;
use crate::dialer::{About, Cx, Dialer, Why};
use crate::event::Event;
use crate::id::AgentId;
use crate::pacing::{AgentRef, PacingEvent};
use crate::record::AgentStatusRow;
use crate::view::AgentState;
use sansio::WallTime;

/// The break code of agents who missed too many offers.
const MISSED_OFFERS: &str = "missed_offers";

impl Dialer {
    /// Moves an agent to a state; the same state again only renews what was said of its end.
    pub(crate) fn set_agent_state(
        &mut self,
        cx: &mut Cx<'_>,
        id: AgentId,
        to: AgentState,
        reason: &str,
        expires_at: Option<WallTime>,
    ) {
        let agent = self.agents.get_mut(&id).expect("the caller has it");
        self.dirty.agents.insert(id);
        let from = agent.state;
        if from == to && agent.expires_at == expires_at {
            return;
        }
        agent.expires_at = expires_at;
        if from == to {
            return;
        }
        let spent_ms = cx.now.millis_since(agent.since.at);
        agent.state_ms[crate::counters::state_index(from)] += spent_ms;
        if from == AgentState::Ready {
            self.ready.remove(&(agent.since.at, id));
        }
        agent.state = to;
        agent.since = Moment { at: cx.now, wall: cx.wall };
        if to == AgentState::Ready {
            self.ready.insert((cx.now, id));
        }
        let (group, number) = (agent.first_group().to_owned(), AgentRef(agent.number));
        self.counters.agent_state(&group, from, spent_ms);
        if to == AgentState::Ready {
            for campaign in self.campaigns.values_mut() {
                campaign.owners_may_take_more(cx.wall);
            }
        }
        let busy = matches!(from, AgentState::Talking | AgentState::Hold | AgentState::WrapUp);
        if busy && to == AgentState::Ready {
            self.note_freed(cx.now, id);
        }
        match to {
            AgentState::Ready => self.observe(cx.now, &PacingEvent::AgentIdle(number)),
            AgentState::Paused | AgentState::Unreachable => {
                self.observe(cx.now, &PacingEvent::AgentOnBreak(number));
            }
            AgentState::LoggedOut => self.observe(cx.now, &PacingEvent::AgentLoggedOut(number)),
            _ => {}
        }
        let about = About { agent: Some(id), ..About::default() };
        self.tell(cx, about, Event::AgentState { from, to, reason: reason.into(), expires_at });
        self.want_decisions_of(id);
        let away =
            |state| matches!(state, AgentState::LoggedOut | AgentState::Paused | AgentState::Unreachable);
        if away(from) && !away(to) {
            self.callbacks_may_be_made(cx);
        }
    }

    /// Every running campaign the agent serves has a reason to decide anew.
    fn want_decisions_of(&mut self, id: AgentId) {
        let agent = &self.agents[&id];
        let served = self.campaigns.values().filter(|c| c.is_running() && c.is_served_by(agent));
        self.wanted.extend(served.map(|campaign| campaign.row.id));
    }

    /// Lets an agent whom nothing keeps busy be what status and phone say; logs out one who wanted to.
    pub(crate) fn rest_agent(&mut self, cx: &mut Cx<'_>, id: AgentId, reason: &str) {
        let agent = &self.agents[&id];
        if !agent.is_free() {
            self.dirty.agents.insert(id);
            return;
        }
        if agent.leaving {
            self.log_out_now(cx, id, "logout");
            return;
        }
        let to = agent.rest_state();
        // What a phone that fell silent still holds up is let go, perhaps only now that the agent is free.
        let dead_session = agent.silent && agent.line == super::Line::Up && !agent.wants_session();
        let expires_at = match (to, agent.backoff) {
            (AgentState::Unreachable, Some((_, until))) => Some(until),
            _ => None,
        };
        self.set_agent_state(cx, id, to, reason, expires_at);
        if dead_session {
            self.tend_session(cx, id);
        }
    }

    /// An agent missed an offer: none for a while, longer each time, and a break after too many.
    pub(crate) fn back_off(&mut self, cx: &mut Cx<'_>, id: AgentId) {
        let agent = self.agents.get_mut(&id).expect("the caller has it");
        agent.missed += 1;
        let (missed, rest_ms) = (agent.missed, std::mem::take(&mut agent.rest_ms));
        if let Some((timer, _)) = agent.backoff.take() {
            self.timers.cancel(timer);
        }
        let agent = self.agents.get_mut(&id).expect("the caller has it");
        if missed >= self.config.offers_missed_max && agent.session.is_some() && agent.paused.is_none() {
            agent.missed = 0;
            self.take_break(cx, id, MISSED_OFFERS);
            self.rest_agent(cx, id, MISSED_OFFERS);
            return;
        }
        let doublings = (missed - 1).min(16);
        let ms = (self.config.offer_backoff_min_ms << doublings).min(self.config.offer_backoff_max_ms);
        let ms = ms.max(rest_ms);
        let timer = self.arm(cx.now, ms, Why::Backoff(id));
        let until = cx.wall.plus_millis(ms as i64);
        self.agents.get_mut(&id).expect("the caller has it").backoff = Some((timer, until));
        self.rest_agent(cx, id, "missed_offer");
    }

    /// The back-off is over: by its timer, or because the agent says so.
    pub(crate) fn end_backoff(&mut self, cx: &mut Cx<'_>, id: AgentId, reason: &str) {
        let Some(agent) = self.agents.get_mut(&id) else { return };
        if let Some((timer, _)) = agent.backoff.take() {
            self.timers.cancel(timer);
            self.rest_agent(cx, id, reason);
        }
    }
}

impl super::Agent {
    /// Whether the agent is at work, as it is written down.
    pub(crate) fn status_row(&self, at: WallTime) -> AgentStatusRow {
        AgentStatusRow {
            agent: self.row.id,
            session: self.session.filter(|_| !self.leaving),
            paused: self.paused.clone(),
            calls_taken: self.calls_taken,
            at,
        }
    }
}
