//! A customer who is set aside: without an agent, with the tune of hold, until somebody takes them back.
//!
//! ```text
//!   bridged ──park──► parked ──bridge──► offering ──► bridged
//!                        ▲                  │ missed
//!                        └──────────────────┘
//! ```
//!
//! When the time that was given is over, who parked the call gets it back, else whoever is ready; nobody can be had for as
//! long again: the call ends.

use super::conduct::{must_be_bridged, wrong_state};
use crate::check::range;
use crate::command::{CommandError, Reply};
use crate::dialer::{Cx, Dialer};
use crate::event::Event;
use crate::id::{AgentId, CallId};
use crate::outcome::{EndCause, Party};
use crate::participant::CallAct;
use crate::recording::RecordWish;
use crate::view::{AgentState, CallState};
use sansio::{Duration, Instant};

/// The longest time that a call may be parked for, milliseconds: an hour.
const PARK_MAX_MS: u32 = 3_600_000;
/// So often somebody is looked for once the time is over, milliseconds.
const AGAIN_MS: u64 = 2_000;

/// That a call is set aside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parked {
    /// Who gets it back.
    by: AgentId,
    /// Nobody having been found until then, it ends.
    until: Instant,
}

impl Dialer {
    /// Takes the agent out of a call; the customer stays.
    pub(super) fn park(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        state: CallState,
        timeout_ms: u32,
    ) -> Result<Reply, CommandError> {
        range("/timeout_ms", timeout_ms, 1_000, PARK_MAX_MS)?;
        must_be_bridged(state, "park needs a call in which customer and agent are joined")?;
        let under_way = self.calls[&id].transferring.is_some();
        let agent = self.must_have_agent(id, state, under_way.then_some("a transfer is under way"))?;
        let call = &self.calls[&id];
        if !call.participants.is_empty() {
            return Err(wrong_state(state, "others take part in the call: remove them first"));
        }
        if call.taps.recording.is_some() {
            self.record_wish(cx, id, state, RecordWish::Stop)?;
        }
        self.end_collecting(cx, id, "parked");
        let talk_ms = self.tell_unbridged(cx, id, "parked");
        let call = self.calls.get_mut(&id).expect("it is live");
        let until = cx.now + Duration::from_millis(2 * u64::from(timeout_ms));
        call.parked = Some(Parked { by: agent, until });
        (call.agent, call.talked_ms) = (None, None);
        (call.held, call.held_by, call.muted) = (false, None, (false, false));
        let of_call = (id, call.campaign, call.inbound.is_some());
        self.set_call_state(id, CallState::Parked);
        self.set_call_timer(cx.now, id, Some(u64::from(timeout_ms)));
        self.act(cx, id, CallAct::Park);
        self.leave_call(agent);
        self.begin_wrap_up(cx, agent, of_call, talk_ms);
        Ok(Reply::Done)
    }

    /// Who was to take a parked call did not: it stays where it was.
    pub(super) fn park_again(&mut self, cx: &Cx<'_>, id: CallId) {
        self.set_call_state(id, CallState::Parked);
        if self.calls.get(&id).is_some_and(|call| call.timer.is_none()) {
            self.set_call_timer(cx.now, id, Some(AGAIN_MS));
        }
    }

    /// A parked call has waited as long as it was to.
    pub(super) fn on_park_timer(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let call = &self.calls[&id];
        let Some(parked) = call.parked else { return };
        if call.state == CallState::Parked {
            if cx.now >= parked.until {
                return self.hang_up(cx, id, EndCause::Timeout, Party::System, None);
            }
            let is_ready = |agent: &AgentId| {
                self.agents.get(agent).is_some_and(|agent| agent.state == AgentState::Ready)
            };
            let by = Some(parked.by).filter(is_ready);
            let back = by.or_else(|| self.ready_for(id));
            if let Some(agent) = back {
                self.bind_agent(id, agent);
                self.offer(cx, id);
            }
        }
        self.set_call_timer(cx.now, id, Some(AGAIN_MS));
    }

    /// An agent who is ready and may have this call.
    pub(super) fn ready_for(&mut self, id: CallId) -> Option<AgentId> {
        let call = &self.calls[&id];
        if call.inbound.is_some() {
            return self.pick_for_caller(id);
        }
        call.campaign
            .filter(|campaign| self.campaigns.contains_key(campaign))
            .and_then(|id| self.pick_agent(id))
    }

    /// A parked call has an agent again.
    pub(super) fn rejoin(&mut self, cx: &mut Cx<'_>, id: CallId, agent: AgentId) {
        let call = self.calls.get_mut(&id).expect("the caller has it");
        call.parked = None;
        call.joined = Some(cx.now);
        self.set_call_state(id, CallState::Bridged);
        self.set_call_timer(cx.now, id, None);
        let found = self.agents.get_mut(&agent).expect("agents in calls are not deleted");
        found.missed = 0;
        let group = found.first_group().to_owned();
        self.counters.group(&group).offers_answered += 1;
        self.set_agent_state(cx, agent, AgentState::Talking, "bridged", None);
        let event = Event::CallBridged { agent, answer_to_bridge_ms: None, greeting_end_to_bridge_ms: None };
        self.tell_call(cx, id, event);
    }

    /// Customer and agent are joined no longer, after so many milliseconds: told once for each time that they were.
    pub(super) fn tell_unbridged(&mut self, cx: &mut Cx<'_>, id: CallId, reason: &str) -> u64 {
        let Some(call) = self.calls.get_mut(&id) else { return 0 };
        let (Some(joined), Some(agent)) = (call.joined.take(), call.agent.or(call.last_agent)) else {
            return 0;
        };
        let duration_ms = cx.now.millis_since(joined);
        call.talked_ms = Some(duration_ms);
        self.tell_call(cx, id, Event::CallUnbridged { agent, reason: reason.into(), duration_ms });
        duration_ms
    }
}
