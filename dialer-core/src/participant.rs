//! Who takes part in a call besides its customer and its agent, and what is done with the sides of a live call: plain
//! data for all doors.
//!
//! ```text
//!   listen    the supervisor hears both sides
//!   whisper   … and is heard by the agent
//!   barge     … and is heard by all
//!   take over the supervisor has the agent's seat, the agent is free
//!   (none)    a third party: hears all and is heard by all
//! ```

use crate::config::AutoAnswer;
use crate::fork::{ForkConfig, ForkOrder};
use crate::id::{AgentId, ForkId, LegId, TrunkId};
use crate::outcome::{EndCause, Party};
use crate::record::Lead;
use crate::recording::{RecordAct, RecordWish};
use sansio::WallTime;
use serde::{Deserialize, Serialize};

/// Most participants of one call besides customer and agent; with both it is a conference of 32.
pub const PARTICIPANTS_MAX: usize = 30;

/// How a supervisor takes part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SupervisionMode {
    /// Hears both sides and is heard by nobody.
    Listen,
    /// Is heard by the agent alone.
    Whisper,
    /// Is heard by all.
    Barge,
    /// Takes the agent's seat.
    TakeOver,
}

impl SupervisionMode {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SupervisionMode::Listen => "listen",
            SupervisionMode::Whisper => "whisper",
            SupervisionMode::Barge => "barge",
            SupervisionMode::TakeOver => "take_over",
        }
    }
}

/// Who is to be called: an agent's phone, or a number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// The phone of this agent.
    Agent(AgentId),
    /// This number, E.164.
    Number(String),
}

/// How a [`Target`] is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Way {
    /// The phone of an agent: the one that has registered, or one at an address of its own.
    Phone {
        /// Whose.
        agent: AgentId,
        /// Asking it to answer.
        auto_answer: AutoAnswer,
        /// Shown to who is called.
        display: String,
    },
    /// Over a trunk.
    Number {
        /// Which trunk.
        trunk: TrunkId,
        /// Number.
        to: String,
        /// Caller ID.
        caller_id: Option<String>,
        /// Who answers has to press this before the call counts as answered; asked of agents who are offered calls.
        confirm_key: Option<char>,
    },
}

impl Way {
    /// The trunk that a call this way goes over.
    #[must_use]
    pub fn trunk(&self) -> Option<TrunkId> {
        match self {
            Way::Phone { .. } => None,
            Way::Number { trunk, .. } => Some(*trunk),
        }
    }
}

/// Who is to be brought into a call, and how.
#[derive(Clone, PartialEq, Debug)]
pub struct Joining {
    /// Who.
    pub target: Target,
    /// The lead that has the number, as stored: what forbids a call to it forbids this one.
    pub known: Option<Box<Lead>>,
    /// A supervisor in this mode; `None`: a third party.
    pub mode: Option<SupervisionMode>,
    /// Rings at most so long, milliseconds; `None`: 30 s.
    pub ring_timeout_ms: Option<u32>,
    /// Over this trunk; `None`: the campaign's, else any that can.
    pub trunk: Option<TrunkId>,
    /// Caller ID shown; `None`: the call's.
    pub caller_id: Option<String>,
    /// Call although a rule of compliance forbids it, for this reason; who asks may do so.
    pub override_reason: Option<String>,
}

/// Sides of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sides {
    /// The customer.
    Customer,
    /// The agent, or who has the agent's seat.
    Agent,
    /// Both.
    Both,
}

/// Which digits of the customer are taken in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Collect {
    /// A prompt that asks for them, played first.
    pub prompt: Option<String>,
    /// So many at most, 1..=32.
    pub digits_max: u32,
    /// This key ends them, and is not taken in.
    pub finish_on: Option<char>,
    /// Without a further digit for so long, milliseconds, they are over.
    pub timeout_ms: u32,
}

/// A wish about a live call.
#[derive(Clone, PartialEq, Debug)]
pub enum CallWish {
    /// Brings someone in. The same supervisor once more: changes the mode.
    Join(Joining),
    /// Changes how a supervisor takes part.
    SetMode {
        /// Whose leg.
        leg: LegId,
        /// How.
        mode: SupervisionMode,
    },
    /// Hangs up on a participant, or no longer rings.
    Drop(LegId),
    /// Puts the customer on hold, or takes the customer back.
    Hold(bool),
    /// Lets nobody hear a side, or all again.
    Mute {
        /// Customer or agent.
        party: Party,
        /// On or off.
        muted: bool,
    },
    /// Presses digits for a side to hear.
    Press {
        /// Customer or agent.
        to: Party,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digits: String,
        /// Each so long, milliseconds.
        duration_ms: u32,
    },
    /// Plays a prompt.
    Play {
        /// To whom.
        to: Sides,
        /// Its name.
        prompt: String,
    },
    /// Ends a prompt that is played, for these.
    StopPlay(Sides),
    /// Answers a call that came in and rings.
    Answer,
    /// Gives a customer who waits to this agent, or to the next one who is ready.
    Bridge(Option<AgentId>),
    /// Takes the agent out of the call: the customer is set aside, with the tune of hold.
    Park {
        /// After so long who parked it gets the customer back, else whoever is ready, milliseconds.
        timeout_ms: u32,
    },
    /// Holds the customer and brings someone in, with whom the agent talks alone.
    Consult(Joining),
    /// … and takes the customer back: all talk.
    Merge,
    /// Takes in digits that the customer presses.
    Collect(Collect),
    /// Gives the customer to someone else; the agent is free as soon as that one answers.
    Transfer(Joining),
    /// Starts, pauses, resumes or stops its recording.
    Record(RecordWish),
    /// Gives the call's sound to someone outside.
    StartFork(Box<ForkConfig>),
    /// No longer; this one, or the one there is.
    StopFork(Option<ForkId>),
}

/// What the engine is to do with a live call.
#[derive(Clone, PartialEq, Debug)]
pub enum CallAct {
    /// Call someone; `ParticipantJoined` may and `ParticipantLeft` will follow, once each.
    Join {
        /// Its leg's name.
        leg: LegId,
        /// How to reach it.
        way: Way,
        /// A supervisor in this mode, or a third party.
        mode: Option<SupervisionMode>,
        /// Rings at most so long.
        ring_timeout_ms: u32,
    },
    /// Change how a supervisor takes part.
    SetMode {
        /// Whose leg.
        leg: LegId,
        /// How.
        mode: SupervisionMode,
    },
    /// Hang up on a participant.
    Drop {
        /// Whose leg.
        leg: LegId,
    },
    /// Hold the customer or not; `Held` or `Resumed` by the API follows.
    Hold(bool),
    /// Mute a side or not.
    Mute {
        /// Customer or agent.
        party: Party,
        /// On or off.
        muted: bool,
    },
    /// Send digits to a side.
    Press {
        /// Customer or agent.
        to: Party,
        /// Which.
        digits: String,
        /// Each so long, milliseconds.
        duration_ms: u32,
    },
    /// Take whoever is in the agent's seat out of it, and let the customer hear the tune of hold.
    Park,
    /// Play a prompt.
    Play {
        /// To whom.
        to: Sides,
        /// Its name.
        prompt: String,
    },
    /// End it, for these.
    StopPlay(Sides),
    /// Start, pause, resume or stop its recording.
    Record(RecordAct),
    /// Give the call's sound to someone outside: `ForkStarted` may and `ForkEnded` will follow, once, unless the call's
    /// end says it.
    StartFork(Box<ForkOrder>),
    /// No longer.
    StopFork(ForkId),
    /// Call someone to take the agent's place: `Transferred` or `TransferFailed` follows, unless the call ends first.
    Transfer {
        /// Whom, as it is told: a number or a phone's name.
        to: String,
        /// How to reach it.
        way: Way,
        /// Rings at most so long.
        ring_timeout_ms: u32,
    },
}

/// One who took part in a call besides customer and agent, for the record.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ParticipantRecord {
    /// Its leg.
    pub leg: LegId,
    /// Whose phone, if an agent's.
    pub agent: Option<AgentId>,
    /// The number called, if one was.
    pub to: Option<String>,
    /// How a supervisor took part last; `None`: a third party.
    pub mode: Option<SupervisionMode>,
    /// When it was called.
    pub asked_at: WallTime,
    /// When it answered.
    pub joined_at: Option<WallTime>,
    /// When it was gone.
    pub left_at: WallTime,
    /// Why.
    pub cause: EndCause,
    /// It has taken the agent's seat and stayed in the call.
    pub took_over: bool,
}

impl ParticipantRecord {
    /// Of a call that ended with this node: who was there left when that was found out.
    pub(crate) fn cut_off(self, now: WallTime) -> Self {
        match self.cause {
            EndCause::NodeRestart => ParticipantRecord { left_at: now, ..self },
            _ => self,
        }
    }
}
