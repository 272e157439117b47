//! The legs of a call by name.
//!
//! The legs of customer and agent are named after their call (and the agent), so that everybody who knows these knows them;
//! those of supervisors and third parties have names of their own.

use crate::wire::call::CallState;
use dialer_core::view::CallView;
use dialer_core::{AgentId, CallId, Event, EventEnvelope, LegId, Party};
use serde::Serialize;
use utoipa::ToSchema;

/// What a leg is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LegRole {
    /// The customer's.
    Customer,
    /// The agent's.
    Agent,
    /// A supervisor's.
    Supervisor,
    /// A third party's.
    Participant,
}

/// How far a leg is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LegState {
    /// It is being called.
    Inviting,
    /// It rings.
    Ringing,
    /// It talks, waits or hears something.
    Answered,
}

/// A leg of a live call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Leg {
    /// Its name.
    #[schema(example = "leg_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// What it is for.
    pub role: LegRole,
    /// How far it is.
    pub state: LegState,
}

/// The customer's leg of a call.
fn of_customer(call: CallId) -> LegId {
    LegId::from_bits(call.to_bits() ^ 1)
}

/// An agent's leg of a call: the random parts of both names, at the time of the call's.
fn of_agent(call: CallId, agent: AgentId) -> LegId {
    const RANDOM: u128 = (1 << 80) - 1;
    LegId::from_bits(call.to_bits() ^ (agent.to_bits() & RANDOM) ^ 2)
}

/// The legs that a live call has.
pub(crate) fn legs(view: &CallView) -> Vec<Leg> {
    let leg = |id: LegId, role, state| Leg { id: id.to_string(), role, state };
    let (of_customers, of_agents) = match CallState::from(view.state) {
        CallState::Queued | CallState::Ended => (None, None),
        CallState::Parked => (Some(LegState::Answered), None),
        CallState::CallingAgent => (None, Some(LegState::Inviting)),
        CallState::Dialing => (Some(LegState::Inviting), Some(LegState::Answered)),
        CallState::Ringing => (Some(LegState::Ringing), Some(LegState::Answered)),
        CallState::Offering => (Some(LegState::Answered), Some(LegState::Ringing)),
        CallState::Waiting | CallState::Bridged | CallState::Message | CallState::Ending => {
            (Some(LegState::Answered), Some(LegState::Answered))
        }
    };
    let agent = of_agents.zip(view.agent);
    let agent = agent.map(|(state, agent)| leg(of_agent(view.id, agent), LegRole::Agent, state));
    let customer = of_customers.map(|state| leg(of_customer(view.id), LegRole::Customer, state));
    let others = view.participants.iter().map(|one| {
        let role = if one.mode.is_some() { LegRole::Supervisor } else { LegRole::Participant };
        let state = if one.joined_at.is_some() { LegState::Answered } else { LegState::Ringing };
        leg(one.leg, role, state)
    });
    agent.into_iter().chain(customer).chain(others).collect()
}

/// The leg that an event is about, if it is about one.
pub(crate) fn leg_of(envelope: &EventEnvelope) -> Option<LegId> {
    let call = envelope.call?;
    match &envelope.event {
        Event::CallDialing { .. }
        | Event::CallProgress { .. }
        | Event::CallRinging { .. }
        | Event::CallEarlyMedia { .. }
        | Event::CallAnswered { .. }
        | Event::CallClassified { .. } => Some(of_customer(call)),
        Event::CallAgentOffered { agent, .. }
        | Event::CallAgentMissed { agent, .. }
        | Event::CallBridged { agent, .. }
        | Event::CallUnbridged { agent, .. } => Some(of_agent(call, *agent)),
        Event::CallSupervisionStarted { leg, .. }
        | Event::CallSupervisionChanged { leg, .. }
        | Event::CallSupervisionEnded { leg, .. }
        | Event::CallParticipantAdded { leg, .. }
        | Event::CallParticipantJoined { leg, .. }
        | Event::CallParticipantLeft { leg, .. } => Some(*leg),
        Event::LegEnded { party, .. }
        | Event::CallDtmf { party, .. }
        | Event::CallAudio { party, .. }
        | Event::CallHeld { party }
        | Event::CallResumed { party }
        | Event::CallMuted { party }
        | Event::CallUnmuted { party } => match party {
            Party::Customer => Some(of_customer(call)),
            Party::Agent => envelope.agent.map(|agent| of_agent(call, agent)),
            Party::System | Party::Api | Party::Caller => None,
        },
        _ => None,
    }
}
