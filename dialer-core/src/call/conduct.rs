//! What is done with a live call from above: supervisors and third parties, hold, mute, digits, prompts, transfers.
//!
//! ```text
//!   Join ──► asked ──► joined ──► left        told once each; left comes on every path, also with the call's end
//! ```

use super::{Call, Moment};
use crate::check::{caller_id, e164, invalid, range, text};
use crate::command::{CommandError, Reply};
use crate::dialer::{Cx, Dialer};
use crate::effect::{CallOrder, Effect};
use crate::event::Event;
use crate::id::{AgentId, CallId, LegId, TrunkId};
use crate::outcome::{EndCause, Party};
use crate::participant::{
    CallAct, CallWish, Joining, PARTICIPANTS_MAX, ParticipantRecord, Sides, SupervisionMode, Target, Way,
};
use crate::record::Record;
use crate::view::{AgentState, CallState, ParticipantView};
use sansio::WallTime;

/// A phone that is called into a call rings so long, milliseconds.
const RING_TIMEOUT_MS: u32 = 30_000;
/// Digits of one wish at most.
const DIGITS_MAX: usize = 32;
/// Gone participants that the record of a call keeps.
const RECORDED_MAX: usize = 64;

/// One who takes part in a live call besides customer and agent.
#[derive(Clone, Debug)]
pub(crate) struct Participant {
    pub(crate) leg: LegId,
    pub(crate) agent: Option<AgentId>,
    pub(crate) to: Option<String>,
    mode: Option<SupervisionMode>,
    /// A channel of this trunk is taken.
    pub(crate) trunk: Option<TrunkId>,
    asked: Moment,
    joined: Option<Moment>,
}

impl Participant {
    pub(super) fn has_joined(&self) -> bool {
        self.joined.is_some()
    }

    /// As it is written into the call's record once it is gone.
    fn record(&self, left_at: WallTime, cause: EndCause, took_over: bool) -> ParticipantRecord {
        ParticipantRecord {
            leg: self.leg,
            agent: self.agent,
            to: self.to.clone(),
            mode: self.mode,
            asked_at: self.asked.wall,
            joined_at: self.joined.map(|moment| moment.wall),
            left_at,
            cause,
            took_over,
        }
    }
}

impl Dialer {
    pub(crate) fn call_wish(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        wish: CallWish,
    ) -> Result<Reply, CommandError> {
        if self.transit.contains_key(&id) {
            return self.transit_wish(cx, id, wish);
        }
        let state = self.live_state(id)?;
        match wish {
            CallWish::Join(joining) => self.join(cx, id, state, joining),
            CallWish::SetMode { leg, mode } => self.set_mode(cx, id, leg, mode),
            CallWish::Drop(leg) => {
                self.participant(id, leg)?;
                self.act(cx, id, CallAct::Drop { leg });
                Ok(Reply::Done)
            }
            CallWish::Hold(on) => self.hold(cx, id, state, on),
            CallWish::Mute { party, muted } => self.mute(cx, id, state, party, muted),
            CallWish::Press { to, digits, duration_ms } => {
                let digits = digits.to_ascii_uppercase();
                let known = |digit: char| digit.is_ascii_digit() || "*#ABCD".contains(digit);
                if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.chars().all(known) {
                    return invalid("/digits", "1 to 32 of 0-9, *, #, A-D");
                }
                range("/duration_ms", duration_ms, 40, 2_000)?;
                must_be_bridged(state, "digits need a call in which customer and agent are joined")?;
                self.tell_call(cx, id, Event::CallDtmfSent { to, digits: digits.clone() });
                self.act(cx, id, CallAct::Press { to, digits, duration_ms });
                Ok(Reply::Done)
            }
            CallWish::Play { to, prompt } => {
                text("/prompt", &prompt, 1, 128)?;
                must_be_bridged(state, "playing needs a call in which customer and agent are joined")?;
                self.play_into(cx, id, to, prompt);
                Ok(Reply::Done)
            }
            CallWish::StopPlay(to) => {
                must_be_bridged(state, "nothing is played but where customer and agent are joined")?;
                if self.calls[&id].held_by.is_some() {
                    return Err(wrong_state(state, "one side hears the tune of hold"));
                }
                self.act(cx, id, CallAct::StopPlay(to));
                Ok(Reply::Done)
            }
            CallWish::Answer => self.answer_now(cx, id, state),
            CallWish::Bridge(agent) => self.bridge_now(cx, id, state, agent),
            CallWish::Park { timeout_ms } => self.park(cx, id, state, timeout_ms),
            CallWish::Consult(joining) => self.consult(cx, id, state, joining),
            CallWish::Merge => self.merge(cx, id, state),
            CallWish::Collect(collect) => self.collect(cx, id, state, collect),
            CallWish::Transfer(joining) => self.transfer(cx, id, state, joining),
            CallWish::Record(wish) => self.record_wish(cx, id, state, wish),
            CallWish::StartFork(config) => self.start_fork(cx, id, state, *config),
            CallWish::StopFork(fork) => self.stop_fork(cx, id, fork),
        }
    }

    /// Plays a prompt into a joined call.
    pub(super) fn play_into(&mut self, cx: &mut Cx<'_>, id: CallId, to: Sides, prompt: String) {
        self.tell_call(cx, id, Event::CallPlaying { prompt: prompt.clone() });
        self.act(cx, id, CallAct::Play { to, prompt });
    }

    fn live_state(&self, id: CallId) -> Result<CallState, CommandError> {
        self.calls.get(&id).map(|call| call.state).ok_or_else(|| self.not_ours(id))
    }

    fn participant(&self, id: CallId, leg: LegId) -> Result<&Participant, CommandError> {
        let found = self.calls.get(&id).and_then(|call| call.participants.iter().find(|p| p.leg == leg));
        found.ok_or(CommandError::NotFound { what: "participant" })
    }

    pub(super) fn act(&mut self, cx: &mut Cx<'_>, id: CallId, act: CallAct) {
        self.dirty.calls.insert(id);
        cx.out.push(Effect::Call(CallOrder::Act { call: id, act }));
    }

    pub(super) fn join(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        state: CallState,
        joining: Joining,
    ) -> Result<Reply, CommandError> {
        let Joining { mode, .. } = joining;
        if let (Some(mode), Target::Agent(agent)) = (mode, &joining.target) {
            let there =
                self.calls[&id].participants.iter().find(|p| p.agent == Some(*agent) && p.mode.is_some());
            if let Some(leg) = there.map(|participant| participant.leg) {
                return self.set_mode(cx, id, leg, mode);
            }
        }
        must_be_bridged(state, "only a call in which customer and agent are joined can be joined by others")?;
        if self.calls[&id].participants.len() >= PARTICIPANTS_MAX {
            return Err(CommandError::Limit { what: "participants of a call" });
        }
        if mode.is_some() && self.calls[&id].agent.is_none() {
            return Err(wrong_state(state, "there is no agent in the call to be supervised"));
        }
        let (way, to) = self.way_to(cx, id, &joining)?;
        let leg = LegId::generate(cx.wall, &mut self.ids);
        let agent = match &joining.target {
            Target::Agent(agent) => Some(*agent),
            Target::Number(_) => None,
        };
        let trunk = way.trunk();
        let asked = Moment { at: cx.now, wall: cx.wall };
        let participant = Participant { leg, agent, to: to.clone(), mode, trunk, asked, joined: None };
        self.calls.get_mut(&id).expect("it is live").participants.push(participant);
        if mode.is_none() {
            self.tell_call(cx, id, Event::CallParticipantAdded { leg, agent, to });
        }
        let ring_timeout_ms = joining.ring_timeout_ms.unwrap_or(RING_TIMEOUT_MS);
        self.note_participants(cx, id);
        self.act(cx, id, CallAct::Join { leg, way, mode, ring_timeout_ms });
        Ok(Reply::Leg(leg))
    }

    /// How who is wanted is reached, and the number. A channel of the trunk is taken.
    fn way_to(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        joining: &Joining,
    ) -> Result<(Way, Option<String>), CommandError> {
        if let Some(ms) = joining.ring_timeout_ms {
            range("/ring_timeout_ms", ms, 1_000, 180_000)?;
        }
        if let Some(number) = &joining.caller_id {
            caller_id("/caller_id", number)?;
        }
        if let Some(reason) = &joining.override_reason {
            text("/override_reason", reason, 1, 256)?;
        }
        match &joining.target {
            Target::Agent(agent) => Ok((self.way_to_agent(cx, id, *agent, joining.mode)?, None)),
            Target::Number(to) => {
                let way = self.way_to_number(cx, id, to, joining)?;
                Ok((way, Some(to.clone())))
            }
        }
    }

    fn way_to_agent(
        &mut self,
        cx: &Cx<'_>,
        id: CallId,
        agent: AgentId,
        mode: Option<SupervisionMode>,
    ) -> Result<Way, CommandError> {
        let found = self.agents.get(&agent).ok_or(CommandError::NotFound { what: "agent" })?;
        let refused =
            |detail: &str| Err(CommandError::InvalidAgentState { state: found.state, detail: detail.into() });
        let elsewhere =
            self.calls.values().any(|call| call.participants.iter().any(|other| other.agent == Some(agent)));
        if !found.has_phone() {
            return refused("the agent's phone is not registered");
        }
        if found.call.is_some() {
            return refused("the agent's phone is busy: the agent is in a call");
        }
        if elsewhere {
            return refused("the agent's phone is busy: it takes part in another call");
        }
        if found.is_on_line() {
            return refused(
                "the agent's phone is busy with a nailed-up session: log out, or log in with an on-demand session",
            );
        }
        if mode.is_some() && !matches!(found.state, AgentState::LoggedOut | AgentState::Paused) {
            return refused(
                "who supervises is logged out or on a break, so that no calls are offered meanwhile",
            );
        }
        let display = sansio::pii::mask_number(&self.calls[&id].to);
        self.way_to_join(cx, agent, display)
    }

    fn way_to_number(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        to: &str,
        joining: &Joining,
    ) -> Result<Way, CommandError> {
        if self.node.draining {
            return Err(CommandError::Draining);
        }
        e164("/to", to)?;
        let call = &self.calls[&id];
        let campaign = call.campaign;
        let tenant = self.tenant_of(campaign, call.agent.or(call.last_agent));
        let may_override = joining.override_reason.is_some();
        let whose = (campaign, tenant.as_ref());
        let breach = self.breach_by_hand(whose, joining.known.as_deref(), to, cx.wall);
        let breach = self.refuse(breach, may_override)?;
        if let Some(trunk) = joining.trunk
            && !self.trunks.contains_key(&trunk)
        {
            return invalid("/trunk_id", "the id of an existing trunk");
        }
        let wanted = match (joining.trunk, campaign.and_then(|id| self.campaigns.get(&id))) {
            (Some(trunk), _) => vec![trunk],
            (None, Some(campaign)) => campaign.row.config.trunks.clone(),
            (None, None) => Vec::new(),
        };
        let trunk = self.trunk_among(cx.now, &wanted)?;
        self.take_cps(cx, None, trunk);
        self.take_channel(trunk);
        self.dialled_numbers.note(tenant.unwrap_or_default(), to, cx.wall);
        if let Some(breach) = breach {
            let reason = joining.override_reason.clone().unwrap_or_default();
            self.tell_override(cx, id, &breach, reason);
        }
        let own = self.calls[&id].caller_id.clone();
        let caller_id = joining.caller_id.clone().or(own);
        Ok(Way::Number { trunk, to: to.into(), caller_id, confirm_key: None })
    }

    fn set_mode(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        leg: LegId,
        mode: SupervisionMode,
    ) -> Result<Reply, CommandError> {
        let state = self.calls[&id].state;
        let Some(before) = self.participant(id, leg)?.mode else {
            return invalid("/leg_id", "the leg of a supervisor");
        };
        must_be_bridged(state, "the call is ending")?;
        if mode == SupervisionMode::TakeOver && self.calls[&id].agent.is_none() {
            return Err(wrong_state(state, "the agent has left the call"));
        }
        if before != mode {
            let call = self.calls.get_mut(&id).expect("it is live");
            let found = call.participants.iter_mut().find(|participant| participant.leg == leg);
            let participant = found.expect("found above");
            participant.mode = Some(mode);
            let (joined, agent) = (participant.joined.is_some(), participant.agent);
            self.note_participants(cx, id);
            if joined {
                self.tell_call(cx, id, Event::CallSupervisionChanged { leg, agent, from: before, to: mode });
            }
            self.act(cx, id, CallAct::SetMode { leg, mode });
        }
        Ok(Reply::Leg(leg))
    }

    pub(super) fn hold(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        state: CallState,
        on: bool,
    ) -> Result<Reply, CommandError> {
        must_be_bridged(state, "hold needs a call in which customer and agent are joined")?;
        let call = self.calls.get_mut(&id).expect("it is live");
        if std::mem::replace(&mut call.held, on) != on {
            self.act(cx, id, CallAct::Hold(on));
        }
        Ok(Reply::Done)
    }

    fn mute(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        state: CallState,
        party: Party,
        muted: bool,
    ) -> Result<Reply, CommandError> {
        must_be_bridged(state, "mute needs a call in which customer and agent are joined")?;
        let call = self.calls.get_mut(&id).expect("it is live");
        let place = if party == Party::Agent { &mut call.muted.1 } else { &mut call.muted.0 };
        if std::mem::replace(place, muted) != muted {
            let event = if muted { Event::CallMuted { party } } else { Event::CallUnmuted { party } };
            self.tell_call(cx, id, event);
            self.act(cx, id, CallAct::Mute { party, muted });
        }
        Ok(Reply::Done)
    }

    fn transfer(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        state: CallState,
        joining: Joining,
    ) -> Result<Reply, CommandError> {
        must_be_bridged(state, "a transfer needs a call in which customer and agent are joined")?;
        let under_way = self.calls[&id].transferring.is_some();
        self.must_have_agent(id, state, under_way.then_some("a transfer is under way"))?;
        let (way, number) = self.way_to(cx, id, &joining)?;
        let trunk = way.trunk();
        let to = match (&joining.target, number) {
            (Target::Agent(agent), _) => self.agents[agent].row.config.username.clone(),
            (Target::Number(_), number) => number.unwrap_or_default(),
        };
        self.calls.get_mut(&id).expect("it is live").transferring = Some(trunk);
        let ring_timeout_ms = joining.ring_timeout_ms.unwrap_or(RING_TIMEOUT_MS);
        self.act(cx, id, CallAct::Transfer { to, way, ring_timeout_ms });
        Ok(Reply::Done)
    }

    /// Its agent must be there, and nothing of that sort be under way.
    pub(super) fn must_have_agent(
        &self,
        id: CallId,
        state: CallState,
        under_way: Option<&str>,
    ) -> Result<AgentId, CommandError> {
        match (self.calls[&id].agent, under_way) {
            (None, _) => Err(wrong_state(state, "the agent has left the call")),
            (Some(_), Some(under_way)) => Err(wrong_state(state, under_way)),
            (Some(agent), None) => Ok(agent),
        }
    }

    /// Writes down who takes part, so that the record tells it whatever becomes of this node.
    fn note_participants(&mut self, cx: &mut Cx<'_>, id: CallId) {
        let row = crate::attempt::attempt_row(&self.calls[&id]);
        self.journal(cx, vec![Record::AttemptChanged(row)]);
    }

    /// A transfer came to nothing: its channel is free.
    pub(super) fn end_transferring(&mut self, id: CallId) {
        let ended = self.calls.get_mut(&id).and_then(|call| call.transferring.take());
        if let Some(trunk) = ended.flatten() {
            self.free_channel(trunk);
        }
    }

    pub(super) fn on_transfer_failed(&mut self, cx: &mut Cx<'_>, id: CallId, to: String, sip_code: u16) {
        if self.calls.get(&id).is_some_and(|call| call.transferring.is_some()) {
            self.end_transferring(id);
            self.tell_call(cx, id, Event::CallTransferFailed { to, sip_code });
        }
    }

    pub(super) fn on_participant_joined(&mut self, cx: &mut Cx<'_>, id: CallId, leg: LegId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(participant) = call.participants.iter_mut().find(|participant| participant.leg == leg)
        else {
            return;
        };
        if participant.joined.is_some() {
            return;
        }
        participant.joined = Some(Moment { at: cx.now, wall: cx.wall });
        let Participant { agent, to, mode, .. } = participant.clone();
        let event = match mode {
            Some(mode) => Event::CallSupervisionStarted { leg, agent, to, mode },
            None => Event::CallParticipantJoined { leg, agent, to },
        };
        self.note_participants(cx, id);
        self.tell_call(cx, id, event);
    }

    pub(super) fn on_participant_left(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        leg: LegId,
        cause: EndCause,
        took_over: bool,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(place) = call.participants.iter().position(|participant| participant.leg == leg) else {
            return;
        };
        let participant = call.participants.remove(place);
        match participant.trunk {
            // Its channel is held to the end of the call.
            Some(trunk) if took_over && call.guest_trunk.is_none() => call.guest_trunk = Some(trunk),
            Some(trunk) => self.free_channel(trunk),
            None => {}
        }
        self.tell_left(cx, id, &participant, cause, took_over);
        self.note_participants(cx, id);
        self.end_consulting(cx, id, leg);
    }

    /// Those whose end was not told by the engine end with the call.
    pub(super) fn drop_participants(&mut self, cx: &mut Cx<'_>, id: CallId, cause: EndCause) {
        let call = self.calls.get_mut(&id).expect("the caller has it");
        for participant in std::mem::take(&mut call.participants) {
            if let Some(trunk) = participant.trunk {
                self.free_channel(trunk);
            }
            self.tell_left(cx, id, &participant, cause, false);
        }
        self.end_transferring(id);
    }

    fn tell_left(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallId,
        participant: &Participant,
        cause: EndCause,
        took_over: bool,
    ) {
        let Participant { leg, agent, to, mode, joined, .. } = participant.clone();
        let duration_ms = joined.map_or(0, |moment| cx.now.millis_since(moment.at));
        let event = match mode {
            Some(mode) => Event::CallSupervisionEnded { leg, agent, to, mode, cause, took_over, duration_ms },
            None => Event::CallParticipantLeft { leg, agent, to, cause, took_over, duration_ms },
        };
        self.tell_call(cx, id, event);
        let call = self.calls.get_mut(&id).expect("the caller has it");
        if call.left.len() < RECORDED_MAX {
            call.left.push(participant.record(cx.wall, cause, took_over));
        }
    }
}

impl Call {
    /// Who takes part now, as it is written down in case this node goes down: with it they would leave.
    pub(crate) fn present(&self) -> impl Iterator<Item = ParticipantRecord> {
        self.participants.iter().map(|participant| {
            let last = participant.joined.unwrap_or(participant.asked);
            participant.record(last.wall, EndCause::NodeRestart, false)
        })
    }

    /// Who takes part now, for those who look.
    pub(crate) fn participant_views(&self) -> Vec<ParticipantView> {
        let views = self.participants.iter().map(|participant| ParticipantView {
            leg: participant.leg,
            agent: participant.agent,
            to: participant.to.clone(),
            mode: participant.mode,
            asked_at: participant.asked.wall,
            joined_at: participant.joined.map(|moment| moment.wall),
        });
        views.collect()
    }
}

/// What is wished does not go with where the call stands.
pub(super) fn wrong_state(state: CallState, detail: &str) -> CommandError {
    CommandError::InvalidCallState { state, detail: detail.into() }
}

pub(super) fn must_be_bridged(state: CallState, detail: &str) -> Result<(), CommandError> {
    match state {
        CallState::Bridged => Ok(()),
        state => Err(wrong_state(state, detail)),
    }
}
