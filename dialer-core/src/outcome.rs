//! How calls end, in the words of the trade.

use serde::{Deserialize, Serialize};

/// What became of an attempt: the one taxonomy used in records, retry rules, events and metrics.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A person and an agent (or a message that was meant) were connected.
    Connected,
    /// A person answered and no agent was there within the limit.
    Abandoned,
    /// An answering machine.
    Machine,
    /// A call-screening assistant.
    Screening,
    /// A fax.
    Fax,
    /// Nobody answered within the ring limit.
    NoAnswer,
    /// Busy.
    Busy,
    /// The callee declined.
    Rejected,
    /// The number does not exist (空号).
    InvalidNumber,
    /// Service suspended (停机).
    Suspended,
    /// Powered off (关机).
    PowerOff,
    /// Out of reach (无法接通).
    Unreachable,
    /// The callee's line forbids incoming calls (呼入限制).
    CallForbidden,
    /// In another call (通话中).
    InCall,
    /// The network is congested.
    NetworkCongestion,
    /// Blocked by analytics (603+, 607, 608).
    BlockedByAnalytics,
    /// Any other refusal or failure of the carrier.
    CarrierError,
    /// We gave up before an answer.
    Cancelled,
    /// On a do-not-call list.
    Dnc,
    /// Outside the calling window.
    OutOfWindow,
    /// Cut off by a restart of this node.
    NodeRestart,
}

impl Outcome {
    /// All of them, in order.
    pub const ALL: [Outcome; 21] = [
        Outcome::Connected,
        Outcome::Abandoned,
        Outcome::Machine,
        Outcome::Screening,
        Outcome::Fax,
        Outcome::NoAnswer,
        Outcome::Busy,
        Outcome::Rejected,
        Outcome::InvalidNumber,
        Outcome::Suspended,
        Outcome::PowerOff,
        Outcome::Unreachable,
        Outcome::CallForbidden,
        Outcome::InCall,
        Outcome::NetworkCongestion,
        Outcome::BlockedByAnalytics,
        Outcome::CarrierError,
        Outcome::Cancelled,
        Outcome::Dnc,
        Outcome::OutOfWindow,
        Outcome::NodeRestart,
    ];

    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Connected => "connected",
            Outcome::Abandoned => "abandoned",
            Outcome::Machine => "machine",
            Outcome::Screening => "screening",
            Outcome::Fax => "fax",
            Outcome::NoAnswer => "no_answer",
            Outcome::Busy => "busy",
            Outcome::Rejected => "rejected",
            Outcome::InvalidNumber => "invalid_number",
            Outcome::Suspended => "suspended",
            Outcome::PowerOff => "power_off",
            Outcome::Unreachable => "unreachable",
            Outcome::CallForbidden => "call_forbidden",
            Outcome::InCall => "in_call",
            Outcome::NetworkCongestion => "network_congestion",
            Outcome::BlockedByAnalytics => "blocked_by_analytics",
            Outcome::CarrierError => "carrier_error",
            Outcome::Cancelled => "cancelled",
            Outcome::Dnc => "dnc",
            Outcome::OutOfWindow => "out_of_window",
            Outcome::NodeRestart => "node_restart",
        }
    }

    /// The outcome of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }
}

/// From what the outcome was concluded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The signalling's final code.
    Sip,
    /// A Q.850 cause in a Reason header.
    Q850,
    /// A tone in early media.
    Tone,
    /// A network announcement.
    Announcement,
    /// Answering-machine detection.
    Amd,
    /// Our own timer or decision.
    Timer,
}

/// Why a leg ended, told by the engine without SIP words.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// An answered leg was hung up in the normal way.
    Normal,
    /// Busy.
    Busy,
    /// Nobody answered (the network's or our own ring limit).
    NoAnswer,
    /// Declined.
    Rejected,
    /// The number does not exist.
    InvalidNumber,
    /// Temporarily unreachable.
    Unreachable,
    /// Calls to it are forbidden.
    Forbidden,
    /// Congestion, overload, no circuit.
    Congestion,
    /// Blocked by analytics.
    Blocked,
    /// No common codec or another incompatibility.
    Incompatible,
    /// Our credentials were refused.
    Unauthorized,
    /// The peer did not answer at all.
    Timeout,
    /// No media for too long.
    MediaTimeout,
    /// The longest allowed call time passed.
    MaxDuration,
    /// We cancelled before an answer.
    Cancelled,
    /// No line, port or memory on our side.
    LocalLimit,
    /// No trunk that could carry it.
    NoTrunk,
    /// The agent has no reachable phone.
    NotRegistered,
    /// This node restarted.
    NodeRestart,
    /// Anything else the network said.
    Failed,
}

impl EndCause {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            EndCause::Normal => "normal",
            EndCause::Busy => "busy",
            EndCause::NoAnswer => "no_answer",
            EndCause::Rejected => "rejected",
            EndCause::InvalidNumber => "invalid_number",
            EndCause::Unreachable => "unreachable",
            EndCause::Forbidden => "forbidden",
            EndCause::Congestion => "congestion",
            EndCause::Blocked => "blocked",
            EndCause::Incompatible => "incompatible",
            EndCause::Unauthorized => "unauthorized",
            EndCause::Timeout => "timeout",
            EndCause::MediaTimeout => "media_timeout",
            EndCause::MaxDuration => "max_duration",
            EndCause::Cancelled => "cancelled",
            EndCause::LocalLimit => "local_limit",
            EndCause::NoTrunk => "no_trunk",
            EndCause::NotRegistered => "not_registered",
            EndCause::NodeRestart => "node_restart",
            EndCause::Failed => "failed",
        }
    }
}

/// Who did it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// The called person.
    Customer,
    /// The agent.
    Agent,
    /// This system (timer, verdict, drain).
    System,
    /// An API client.
    Api,
    /// The caller of an inbound or transit call.
    Caller,
}

impl Party {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Party::Customer => "customer",
            Party::Agent => "agent",
            Party::System => "system",
            Party::Api => "api",
            Party::Caller => "caller",
        }
    }
}

/// What answering-machine detection concluded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AmdVerdict {
    /// A person.
    Human,
    /// A machine.
    Machine,
    /// A fax.
    Fax,
    /// Could not tell within the limit; treated as a person.
    Unsure,
    /// An assistant that asks who is calling.
    Screening,
}

/// How it is known that a machine or an assistant has finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TurnCue {
    /// A beep.
    Beep,
    /// It is silent.
    Silence,
    /// It was listened to for as long as may be.
    TimeLimit,
}

/// What a verdict of machine detection rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AmdEvidence {
    /// A short greeting and then silence.
    ShortGreeting,
    /// Speech that went on longer than a person's greeting.
    LongGreeting,
    /// Nobody said anything.
    InitialSilence,
    /// The time for listening ran out.
    TimeLimit,
    /// A beep that asks for a message.
    Beep,
    /// A fax machine's tone.
    FaxTone,
    /// A recording that was taught.
    Announcement,
    /// It asked something, did not beep, and is silent.
    WaitsForAnswer,
    /// A recogniser understood what it said.
    Words,
    /// Detection said nothing in time.
    NoVerdict,
}

impl AmdEvidence {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            AmdEvidence::ShortGreeting => "short_greeting",
            AmdEvidence::LongGreeting => "long_greeting",
            AmdEvidence::InitialSilence => "initial_silence",
            AmdEvidence::TimeLimit => "time_limit",
            AmdEvidence::Beep => "beep",
            AmdEvidence::FaxTone => "fax_tone",
            AmdEvidence::Announcement => "announcement",
            AmdEvidence::WaitsForAnswer => "waits_for_answer",
            AmdEvidence::Words => "words",
            AmdEvidence::NoVerdict => "no_verdict",
        }
    }
}

/// Whether sound comes from a side that should speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioState {
    /// It does.
    #[default]
    Flowing,
    /// No packets come.
    NoPackets,
    /// Only silence comes.
    NoSound,
}

impl AudioState {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            AudioState::Flowing => "flowing",
            AudioState::NoPackets => "no_packets",
            AudioState::NoSound => "no_sound",
        }
    }
}

/// What early media was heard to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EarlyMediaClass {
    /// Ringback tone.
    Ringback,
    /// Busy tone.
    Busy,
    /// Congestion (reorder) tone.
    Congestion,
    /// Special information tone.
    Sit,
    /// Speech or music that is not known.
    Voice,
    /// A known announcement: the number does not exist (空号).
    InvalidNumber,
    /// … service suspended (停机).
    Suspended,
    /// … powered off (关机).
    PowerOff,
    /// … out of reach (无法接通).
    Unreachable,
    /// … in another call (通话中).
    InCall,
    /// … nobody answers (无人接听).
    NoAnswer,
    /// … the line forbids incoming calls (呼入限制).
    CallForbidden,
    /// Known music or words instead of the ringing tone (彩铃).
    ColouredRingback,
    /// A known assistant that asks who is calling.
    Screening,
}
