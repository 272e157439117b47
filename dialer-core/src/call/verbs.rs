//! What else an integrator does with a live call: answering, joining, asking back, taking in digits.
//!
//! ```text
//!   consult ──► customer held, a third party called ──► merge ──► all talk
//!                        └──► the third party leaves ──► the customer is back
//! ```

use super::conduct::{must_be_bridged, wrong_state};
use crate::check::{invalid, range, text};
use crate::command::{CommandError, Reply};
use crate::dialer::{Cx, Dialer, Why};
use crate::event::Event;
use crate::id::{AgentId, CallId, LegId};
use crate::inbound::CallerMemory;
use crate::participant::{Collect, Joining, Sides};
use crate::view::{AgentState, CallState};
use sansio::TimerKey;

/// Digits of one collection at most.
const COLLECT_MAX: u32 = 32;

/// Digits that are being taken in.
#[derive(Debug)]
pub(crate) struct Collecting {
    wish: Collect,
    digits: String,
    timer: TimerKey,
}

impl Dialer {
    /// Answers a caller who rings, without waiting for what the records know of them.
    pub(super) fn answer_now(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        state: CallState,
    ) -> Result<Reply, CommandError> {
        if self.calls[&id].inbound.is_none() || state != CallState::Ringing {
            return Err(wrong_state(state, "only a call that came in and rings can be answered"));
        }
        // If what the records know is there already, the answer has been ordered.
        self.on_caller_recalled(cx, id, CallerMemory::default());
        Ok(Reply::Done)
    }

    /// Gives a customer who waits, or is set aside, to an agent who is ready.
    pub(super) fn bridge_now(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        state: CallState,
        agent: Option<AgentId>,
    ) -> Result<Reply, CommandError> {
        let queued = state == CallState::Waiting && self.calls[&id].waits_since.is_some();
        let waits = queued || state == CallState::Parked;
        if !waits {
            return Err(wrong_state(state, "bridge needs an answered call that waits for an agent"));
        }
        let agent = match agent {
            Some(agent) => {
                let found = self.agents.get(&agent).ok_or(CommandError::NotFound { what: "agent" })?;
                if found.state != AgentState::Ready {
                    let detail = "bridge needs an agent who is ready".into();
                    return Err(CommandError::InvalidAgentState { state: found.state, detail });
                }
                agent
            }
            None => {
                self.ready_for(id).ok_or_else(|| wrong_state(state, "no agent is ready for this call"))?
            }
        };
        self.dequeue(id);
        self.bind_agent(id, agent);
        self.offer(cx, id);
        Ok(Reply::Done)
    }

    /// The agent asks someone, whom the customer does not hear.
    pub(super) fn consult(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        state: CallState,
        joining: Joining,
    ) -> Result<Reply, CommandError> {
        must_be_bridged(state, "consult needs a call in which customer and agent are joined")?;
        let under_way = self.calls[&id].consulting.is_some();
        self.must_have_agent(id, state, under_way.then_some("a consultation is under way"))?;
        let reply = self.join(cx, id, state, Joining { mode: None, ..joining })?;
        if let Reply::Leg(leg) = reply {
            self.calls.get_mut(&id).expect("it is live").consulting = Some(leg);
        }
        self.hold(cx, id, state, true)?;
        Ok(reply)
    }

    /// The customer is back: all talk.
    pub(super) fn merge(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        state: CallState,
    ) -> Result<Reply, CommandError> {
        must_be_bridged(state, "merge needs a call in which customer and agent are joined")?;
        let call = self.calls.get_mut(&id).expect("it is live");
        if !call.participants.iter().any(|one| one.has_joined()) {
            return Err(wrong_state(state, "merge needs someone who was asked in and has answered"));
        }
        call.consulting = None;
        self.hold(cx, id, state, false)
    }

    /// Who was asked is gone: the customer does not wait any longer.
    pub(super) fn end_consulting(&mut self, cx: &mut Cx<'_>, id: CallId, leg: LegId) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.consulting == Some(leg)) else { return };
        call.consulting = None;
        let state = call.state;
        if state == CallState::Bridged {
            // It is joined, so this cannot be refused.
            let _ = self.hold(cx, id, state, false);
        }
    }

    /// Begins to take in digits.
    pub(super) fn collect(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        state: CallState,
        wish: Collect,
    ) -> Result<Reply, CommandError> {
        range("/digits_max", wish.digits_max, 1, COLLECT_MAX)?;
        range("/timeout_ms", wish.timeout_ms, 100, 600_000)?;
        if wish.finish_on.is_some_and(|key| !key.is_ascii_digit() && !matches!(key, '*' | '#')) {
            return invalid("/finish_on", "one of 0 to 9, * and #");
        }
        if let Some(prompt) = &wish.prompt {
            text("/prompt", prompt, 1, 128)?;
        }
        must_be_bridged(state, "collect needs a call in which customer and agent are joined")?;
        if self.calls[&id].collecting.is_some() {
            return Err(wrong_state(state, "digits are being collected already"));
        }
        let timer = self.arm(cx.now, u64::from(wish.timeout_ms), Why::Collect(id));
        if let Some(prompt) = wish.prompt.clone() {
            self.play_into(cx, id, Sides::Customer, prompt);
        }
        let collecting = Collecting { wish, digits: String::new(), timer };
        self.calls.get_mut(&id).expect("it is live").collecting = Some(Box::new(collecting));
        Ok(Reply::Done)
    }

    /// The customer pressed a digit.
    pub(super) fn on_collected_digit(&mut self, cx: &mut Cx<'_>, id: CallId, digit: char) {
        let collecting = self.calls.get_mut(&id).and_then(|call| call.collecting.as_deref_mut());
        let Some(collecting) = collecting else { return };
        if collecting.wish.finish_on == Some(digit) {
            return self.end_collecting(cx, id, "finish_on");
        }
        collecting.digits.push(digit);
        if collecting.digits.len() >= collecting.wish.digits_max as usize {
            return self.end_collecting(cx, id, "digits_max");
        }
        let (old, timeout_ms) = (collecting.timer, u64::from(collecting.wish.timeout_ms));
        self.disarm(Some(old));
        let timer = self.arm(cx.now, timeout_ms, Why::Collect(id));
        if let Some(collecting) = self.calls.get_mut(&id).and_then(|call| call.collecting.as_deref_mut()) {
            collecting.timer = timer;
        }
    }

    /// The digits are over: told once.
    pub(crate) fn end_collecting(&mut self, cx: &mut Cx<'_>, id: CallId, ended_by: &str) {
        let Some(collecting) = self.calls.get_mut(&id).and_then(|call| call.collecting.take()) else {
            return;
        };
        self.disarm(Some(collecting.timer));
        let event = Event::CallCollected { digits: collecting.digits, ended_by: ended_by.into() };
        self.tell_call(cx, id, event);
    }
}
