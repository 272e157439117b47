//! Nailed-up sessions: one leg to an agent's phone that stays up from call to call.

use super::{Call, Confirm, Sound};
use crate::doors::{ShardEffect, ShardEvent};
use crate::shard::trunks::TrunkKey;
use crate::shard::{CallShard, Owner, Why};
use crate::translate::cause;
use crate::translate::sdp;
use dialer_core::outcome::{EndCause, Party};
use dialer_core::participant::Way;
use dialer_core::{AgentFact, AgentId};
use sansio::{Duration, Instant, Key, Outbox, TimerKey};
use sip_proxy::ua::{LegKey, Reason};

/// An agent's session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) agent: AgentId,
    pub(crate) leg: LegKey,
    pub(crate) sound: Sound,
    pub(crate) state: SessionState,
    /// The call it is in.
    pub(crate) call: Option<Key<Call>>,
    pub(crate) held: bool,
    /// It goes over a channel of this trunk.
    trunk: Option<TrunkKey>,
    /// What has to be pressed before it is up.
    pub(super) confirm: Option<Confirm>,
}

/// How far a session is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SessionState {
    /// Waits for the phone to answer, at most until the deadline.
    Ringing(TimerKey),
    /// Answered; waits for its end.
    Up,
}

impl Session {
    /// Before the phone was called: leg and stream name nothing (no key has generation 0).
    fn unplaced(agent: AgentId) -> Self {
        Session {
            agent,
            leg: LegKey::from_bits(0),
            sound: Sound::none(),
            state: SessionState::Up,
            call: None,
            held: false,
            trunk: None,
            confirm: None,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state, SessionState::Up)
    }
}

impl CallShard {
    /// Calls the agent's phone for a session.
    pub(crate) fn open_session(
        &mut self,
        now: Instant,
        agent: AgentId,
        way: &Way,
        ring_timeout_ms: u32,
        out: &mut Outbox<ShardEffect>,
    ) {
        if let Some(session) = self.agents.session_of(agent).and_then(|key| self.sessions.get(key)) {
            if session.is_up() {
                self.tell_agent(AgentFact::SessionUp { agent }, out);
            }
            return;
        }
        if let Err(cause) = self.try_open_session(now, agent, way, ring_timeout_ms) {
            self.tell_agent(AgentFact::SessionDown { agent, cause, by: Party::System }, out);
        }
    }

    fn try_open_session(
        &mut self,
        now: Instant,
        agent: AgentId,
        way: &Way,
        ring_timeout_ms: u32,
    ) -> Result<(), EndCause> {
        // The leg's owner is the session's key, so the session has to be there first.
        let key = self.sessions.insert(Session::unplaced(agent)).map_err(|_| EndCause::LocalLimit)?;
        let phone = match self.call_device(now, Owner::Session(key), way, false) {
            Ok(phone) => phone,
            Err(cause) => {
                self.sessions.remove(key);
                return Err(cause);
            }
        };
        let longest = Duration::from_millis(u64::from(ring_timeout_ms));
        let deadline = self.deadlines.arm(now + longest, Why::SessionRingsTooLong(key));
        if let Some(session) = self.sessions.get_mut(key) {
            session.leg = phone.leg;
            session.sound = phone.sound;
            session.trunk = phone.trunk;
            session.confirm = Confirm::of(way);
            session.state = SessionState::Ringing(deadline);
        }
        self.agents.set_session(agent, Some(key));
        Ok(())
    }

    /// The phone answered.
    pub(crate) fn session_answered(
        &mut self,
        now: Instant,
        key: Key<Session>,
        body: Option<&[u8]>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let SessionState::Ringing(deadline) = session.state else { return };
        let Some(plan) = body.and_then(|body| sdp::read_answer(&session.sound.local, body).ok()) else {
            self.end_session(now, key, Party::System, EndCause::Incompatible, out);
            return;
        };
        session.held = plan.held;
        let stream = session.sound.stream;
        if let Some(confirm) = &mut session.confirm {
            confirm.asked = Some(plan.held);
            self.plane.set_remote(now, stream, plan.remote, &mut self.media_out);
            return self.ask_to_confirm(now, stream);
        }
        self.plane.set_remote(now, stream, plan.remote, &mut self.media_out);
        self.session_is_up(now, key, deadline, out);
    }

    fn session_is_up(
        &mut self,
        now: Instant,
        key: Key<Session>,
        deadline: TimerKey,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        self.deadlines.cancel(deadline);
        session.state = SessionState::Up;
        let agent = session.agent;
        self.play_waiting(now, key);
        self.tell_agent(AgentFact::SessionUp { agent }, out);
    }

    /// A digit from a session that is not up: what it was asked for, if it is that.
    pub(crate) fn session_confirms(
        &mut self,
        now: Instant,
        key: Key<Session>,
        digit: char,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(session) = self.sessions.get(key) else { return };
        let SessionState::Ringing(deadline) = session.state else { return };
        let stream = session.sound.stream;
        if session.confirm.is_some_and(|confirm| confirm.given_by(digit).is_some()) {
            self.plane.stop_playing(now, stream, &mut self.media_out);
            self.session_is_up(now, key, deadline, out);
        }
    }

    /// Ends a session, and the call it is in, unless that only rings yet.
    pub(crate) fn end_session(
        &mut self,
        now: Instant,
        key: Key<Session>,
        by: Party,
        cause: EndCause,
        out: &mut Outbox<ShardEffect>,
    ) {
        if let Some(call) = self.sessions.get(key).and_then(|session| session.call) {
            if self.leaves_to_guest(now, call, out) {
                // Who is to take the agent's place is being called.
            } else if self.calls.get(call).is_some_and(Call::is_ringing) {
                // The agent only heard it ring: the customer's phone rings on.
                self.drop_agent_side(now, call, cause, None, out);
            } else {
                self.end_call(now, call, by, cause, out);
            }
        }
        let Some(session) = self.sessions.remove(key) else { return };
        if let SessionState::Ringing(deadline) = session.state {
            self.deadlines.cancel(deadline);
        }
        self.agents.set_session(session.agent, None);
        if let Some(trunk) = session.trunk {
            self.trunks.release(trunk);
        }
        let reason = Reason { q850: Some(cause::q850_of(cause)), ..Reason::default() };
        self.ua.hangup(now, session.leg, reason, &mut self.sip_out);
        self.plane.close(now, session.sound.stream, &mut self.media_out);
        self.tell_agent(AgentFact::SessionDown { agent: session.agent, cause, by }, out);
    }

    pub(crate) fn tell_agent(&mut self, fact: AgentFact, out: &mut Outbox<ShardEffect>) {
        out.push(ShardEffect::Event(ShardEvent::Agent(fact)));
    }
}
