//! What is done with a live call, on the wire: supervisors, third parties, hold, mute, digits, prompts, transfers.

use super::wire_enum;
use crate::extract::Checks;
use crate::mask::Masker;
use crate::numbers::normalise;
use crate::problem::Problem;
use crate::time::Time;
use dialer_core::participant::{Collect, Joining, ParticipantRecord, SupervisionMode as CoreMode, Target};
use dialer_core::view::ParticipantView;
use dialer_core::{AgentId, TrunkId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

wire_enum! {
    /// How a supervisor takes part.
    SupervisionMode = dialer_core::participant::SupervisionMode {
        /// Hears both sides and is heard by nobody.
        Listen,
        /// Is heard by the agent alone.
        Whisper,
        /// Is heard by all.
        Barge,
        /// Takes the agent's seat; the agent is free.
        TakeOver,
    }
}

wire_enum! {
    /// Whom something is for.
    Sides = dialer_core::participant::Sides {
        /// The customer.
        Customer,
        /// The agent.
        Agent,
        /// Both.
        Both,
    }
}

/// A side of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The customer.
    Customer,
    /// The agent, or who has the agent's seat.
    Agent,
}

impl From<Side> for dialer_core::Party {
    fn from(side: Side) -> Self {
        match side {
            Side::Customer => dialer_core::Party::Customer,
            Side::Agent => dialer_core::Party::Agent,
        }
    }
}

/// A supervisor for a call: an agent's phone or a number, of which one is given.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SupervisionRequest {
    /// The supervisor is this agent, whose phone is rung. Logged out or on a break.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "agt_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub agent_id: Option<AgentId>,
    /// The supervisor is called at this number; E.164, or written as in the node's default region.
    #[serde(default)]
    pub to: Option<String>,
    /// How the supervisor takes part.
    pub mode: SupervisionMode,
    /// The phone rings at most this long; 30 s if absent.
    #[serde(default)]
    #[schema(minimum = 1_000, maximum = 180_000)]
    pub ring_timeout_ms: Option<u32>,
    /// A number is called over this trunk; null: the campaign's, else any that can.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub trunk_id: Option<TrunkId>,
    /// Caller ID shown to a number; null: the call's.
    #[serde(default)]
    pub caller_id: Option<String>,
    /// Call although a rule of compliance forbids it, for this reason. Needs the scope `compliance:override`.
    #[serde(default)]
    #[schema(max_length = 256)]
    pub compliance_override: Option<String>,
    /// The client's own name of the command, 1 to 128 characters; made up if absent. How it came out is told by
    /// `command.completed` or `command.failed`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    pub command_id: Option<String>,
}

/// Another way for a supervisor to take part.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SupervisionChange {
    /// How from now on.
    pub mode: SupervisionMode,
    /// The client's own name of the command, 1 to 128 characters; made up if absent. How it came out is told by
    /// `command.completed` or `command.failed`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    pub command_id: Option<String>,
}

/// Someone for a call, or to take the customer over: an agent's phone or a number, of which one is given.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The phone of this agent.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "agt_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub agent_id: Option<AgentId>,
    /// This number; E.164, or written as in the node's default region.
    #[serde(default)]
    #[schema(example = "+8613800138000")]
    pub to: Option<String>,
    /// The phone rings at most this long; 30 s if absent.
    #[serde(default)]
    #[schema(minimum = 1_000, maximum = 180_000)]
    pub ring_timeout_ms: Option<u32>,
    /// A number is called over this trunk; null: the campaign's, else any that can.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub trunk_id: Option<TrunkId>,
    /// Caller ID shown to a number; null: the call's.
    #[serde(default)]
    pub caller_id: Option<String>,
    /// Call although a rule of compliance forbids it, for this reason. Needs the scope `compliance:override`.
    #[serde(default)]
    #[schema(max_length = 256)]
    pub compliance_override: Option<String>,
    /// The client's own name of the command, 1 to 128 characters; made up if absent. How it came out is told by
    /// `command.completed` or `command.failed`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    pub command_id: Option<String>,
}

impl From<SupervisionRequest> for JoinRequest {
    fn from(request: SupervisionRequest) -> Self {
        let SupervisionRequest {
            agent_id,
            to,
            ring_timeout_ms,
            trunk_id,
            caller_id,
            compliance_override,
            command_id,
            mode: _,
        } = request;
        JoinRequest { agent_id, to, ring_timeout_ms, trunk_id, caller_id, compliance_override, command_id }
    }
}

impl JoinRequest {
    /// The wish.
    ///
    /// # Errors
    /// Which fields do not fit.
    pub fn into_joining(self, mode: Option<CoreMode>, region: Option<&str>) -> Result<Joining, Problem> {
        let mut checks = Checks::default();
        let target = match (self.agent_id, self.to.as_deref()) {
            (Some(agent), None) => Some(Target::Agent(agent)),
            (None, Some(to)) => match normalise(to, region) {
                Ok(number) => Some(Target::Number(number)),
                Err(fault) => {
                    checks.wrong("/to", fault.detail());
                    None
                }
            },
            (Some(_), Some(_)) | (None, None) => {
                checks.wrong("/to", "expected either to or agent_id");
                None
            }
        };
        let for_number = self.trunk_id.is_none() && self.caller_id.is_none();
        checks.that(
            for_number || self.agent_id.is_none(),
            "/agent_id",
            "trunk_id and caller_id are for numbers; an agent's phone needs neither",
        );
        if let Some(ring) = self.ring_timeout_ms {
            checks.range(ring, 1_000, 180_000, "/ring_timeout_ms");
        }
        let caller_id_fits = self.caller_id.as_deref().is_none_or(super::trunk::is_caller_id);
        checks.that(caller_id_fits, "/caller_id", super::trunk::CALLER_ID);
        if let Some(reason) = &self.compliance_override {
            checks.text(reason, 256, "/compliance_override");
        }
        checks.finish()?;
        Ok(Joining {
            target: target.unwrap_or(Target::Number(String::new())),
            known: None,
            mode,
            ring_timeout_ms: self.ring_timeout_ms,
            trunk: self.trunk_id,
            caller_id: self.caller_id,
            override_reason: self.compliance_override,
        })
    }
}

/// Which side; the agent if absent.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MuteRequest {
    /// Whom nobody is to hear.
    #[serde(default)]
    pub party: Option<Side>,
    /// The client's own name of the command, 1 to 128 characters; made up if absent. How it came out is told by
    /// `command.completed` or `command.failed`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    pub command_id: Option<String>,
}

/// Digits to press.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DtmfRequest {
    /// 1 to 32 of 0-9, *, #, A-D.
    #[schema(example = "12#", min_length = 1, max_length = 32, pattern = "^[0-9*#A-Da-d]+$")]
    pub digits: String,
    /// Who is to hear them; the customer if absent.
    #[serde(default)]
    pub to: Option<Side>,
    /// Each so long; 100 ms if absent.
    #[serde(default)]
    #[schema(minimum = 40, maximum = 2_000)]
    pub duration_ms: Option<u32>,
    /// The client's own name of the command, 1 to 128 characters; made up if absent. How it came out is told by
    /// `command.completed` or `command.failed`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    pub command_id: Option<String>,
}

/// A prompt to play.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlayRequest {
    /// Its name: a file of the prompts' folder without the ending, or a built-in one.
    #[schema(example = "safe_harbour", min_length = 1, max_length = 128)]
    pub prompt: String,
    /// Who is to hear it, instead of the others; the customer if absent.
    #[serde(default)]
    pub to: Option<Sides>,
    /// The client's own name of the command, 1 to 128 characters; made up if absent. How it came out is told by
    /// `command.completed` or `command.failed`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    pub command_id: Option<String>,
}

/// An agent for a customer who waits.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BridgeRequest {
    /// This agent, who is ready; null: the next one.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "agt_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub agent_id: Option<AgentId>,
    /// The client's own name of the command, 1 to 128 characters; made up if absent. How it came out is told by
    /// `command.completed` or `command.failed`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    pub command_id: Option<String>,
}

/// How long a customer is set aside.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParkRequest {
    /// After so long who parked the call gets it back, else whoever is ready; nobody to be had for as long again ends it.
    #[schema(minimum = 1_000, maximum = 3_600_000)]
    pub timeout_ms: u32,
    /// The client's own name of the command, 1 to 128 characters; made up if absent. How it came out is told by
    /// `command.completed` or `command.failed`.
    #[schema(min_length = 1, max_length = 128)]
    pub command_id: Option<String>,
}

impl Default for ParkRequest {
    /// Five minutes.
    fn default() -> Self {
        ParkRequest { timeout_ms: 300_000, command_id: None }
    }
}

/// Something to say.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SayRequest {
    /// What is said, 1 to 4,000 characters; by the engine of the configuration, once for each text.
    #[schema(example = "Please hold the line.", min_length = 1, max_length = 4_000)]
    pub text: String,
    /// By this voice of the engine; null: the configured one.
    #[serde(default)]
    pub voice: Option<String>,
    /// Who is to hear it, instead of the others; the customer if absent.
    #[serde(default)]
    pub to: Option<Sides>,
    /// The client's own name of the command, 1 to 128 characters; made up if absent. How it came out is told by
    /// `command.completed` or `command.failed`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    pub command_id: Option<String>,
}

/// Digits of the customer to be taken in.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CollectRequest {
    /// A prompt that asks for them, played first; null: none.
    #[serde(default)]
    pub prompt: Option<String>,
    /// So many at most; 1 if absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 32)]
    pub digits_max: Option<u32>,
    /// This key (0–9, `*`, `#`) ends them, and is not taken in.
    #[serde(default)]
    #[schema(example = "#")]
    pub finish_on: Option<String>,
    /// Without a further digit for so long they are over; 10 s if absent.
    #[serde(default)]
    #[schema(minimum = 100, maximum = 600_000)]
    pub timeout_ms: Option<u32>,
    /// The client's own name of the command, 1 to 128 characters; made up if absent. How it came out is told by
    /// `command.completed` or `command.failed`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    pub command_id: Option<String>,
}

impl CollectRequest {
    /// The wish.
    ///
    /// # Errors
    /// Which fields do not fit.
    pub fn into_collect(self) -> Result<Collect, Problem> {
        let mut checks = Checks::default();
        let digits_max = self.digits_max.unwrap_or(1);
        checks.range(digits_max, 1, 32, "/digits_max");
        let timeout_ms = self.timeout_ms.unwrap_or(COLLECT_TIMEOUT_MS);
        checks.range(timeout_ms, 100, 600_000, "/timeout_ms");
        let key = self.finish_on.as_deref().map(|text| {
            let mut characters = text.chars();
            let key = characters.next().filter(|key| key.is_ascii_digit() || matches!(key, '*' | '#'));
            key.filter(|_| characters.next().is_none())
        });
        checks.that(key != Some(None), "/finish_on", "expected one of 0 to 9, * and #");
        checks.finish()?;
        Ok(Collect { prompt: self.prompt, digits_max, finish_on: key.flatten(), timeout_ms })
    }
}

/// Digits that are asked for are over without a further one for so long, milliseconds.
const COLLECT_TIMEOUT_MS: u32 = 10_000;

/// Whose prompt is to end.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopPlayRequest {
    /// Who hears it no longer; both if absent.
    #[serde(default)]
    pub to: Option<Sides>,
    /// The client's own name of the command, 1 to 128 characters; made up if absent. How it came out is told by
    /// `command.completed` or `command.failed`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    pub command_id: Option<String>,
}

/// Someone was called for a call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ParticipantAccepted {
    /// The leg.
    #[schema(example = "leg_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub leg_id: String,
    /// The call.
    pub call_id: String,
    /// How a supervisor takes part.
    pub mode: Option<SupervisionMode>,
    /// Name of the command, told by `command.completed` or `command.failed`.
    pub command_id: String,
}

/// One who takes part in a live call besides customer and agent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Participant {
    /// The leg.
    #[schema(example = "leg_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub leg_id: String,
    /// Whose phone, if an agent's.
    pub agent_id: Option<String>,
    /// The number called, if one was.
    pub to: Option<String>,
    /// How a supervisor takes part; null: a third party.
    pub mode: Option<SupervisionMode>,
    /// When it was called.
    pub asked_at: Time,
    /// When it answered; null: it rings.
    pub joined_at: Option<Time>,
}

impl Participant {
    pub(crate) fn new(view: &ParticipantView, mask: Masker) -> Self {
        Participant {
            leg_id: view.leg.to_string(),
            agent_id: view.agent.map(|id| id.to_string()),
            to: mask.number_option(view.to.as_deref()),
            mode: view.mode.map(SupervisionMode::from),
            asked_at: view.asked_at.into(),
            joined_at: view.joined_at.map(Time),
        }
    }
}

/// One who took part in a call besides customer and agent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PastParticipant {
    /// The leg.
    pub leg_id: String,
    /// Whose phone, if an agent's.
    pub agent_id: Option<String>,
    /// The number called, if one was.
    pub to: Option<String>,
    /// How a supervisor took part last; null: a third party.
    pub mode: Option<SupervisionMode>,
    /// When it was called.
    pub asked_at: Time,
    /// When it answered; null: it did not.
    pub joined_at: Option<Time>,
    /// When it was gone.
    pub left_at: Time,
    /// Why: `normal`, `no_answer`, `busy` …
    pub cause: String,
    /// It took the agent's seat and stayed in the call.
    pub took_over: bool,
}

impl PastParticipant {
    pub(crate) fn new(record: &ParticipantRecord, mask: Masker) -> Self {
        PastParticipant {
            leg_id: record.leg.to_string(),
            agent_id: record.agent.map(|id| id.to_string()),
            to: mask.number_option(record.to.as_deref()),
            mode: record.mode.map(SupervisionMode::from),
            asked_at: record.asked_at.into(),
            joined_at: record.joined_at.map(Time),
            left_at: record.left_at.into(),
            cause: record.cause.as_str().to_owned(),
            took_over: record.took_over,
        }
    }
}
