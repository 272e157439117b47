//! What happened, as the pacer is told.

use super::{AgentRef, CallRef, CampaignRef};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// How the dialling of a call ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// A person answered (or what is treated as one: an unsure answering-machine verdict).
    Human,
    /// An answering machine, voicemail, fax or bot.
    Machine,
    /// Busy.
    Busy,
    /// Not reachable: special information tones, announcement, unallocated number, network failure.
    Sit,
    /// Nobody answered within the ring limit.
    NoAnswer,
    /// Given up by us before an answer.
    Cancelled,
}

/// What a dial's chance of an answer may depend on besides its campaign and the moment. The numbers are the caller's
/// own; `None` where it does not know or does not tell apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct DialTraits {
    /// The list the lead is from.
    pub list: Option<u32>,
    /// The trunk it is dialled over.
    pub trunk: Option<u32>,
    /// The hour of the day where the lead lives, 0..=23.
    pub hour: Option<u8>,
}

/// One happening. Durations are measured by the caller on the clock that also gives `now`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum PacingEvent {
    /// A working day (or any new run of the clock) begins: nothing is in flight, nobody is logged in.
    /// What was learned stays, with more doubt.
    DayStarted {
        /// Counts up.
        day: u32,
    },
    /// The agent logged in (not yet idle).
    AgentLoggedIn(AgentRef),
    /// The agent logged out.
    AgentLoggedOut(AgentRef),
    /// The agent can take a call.
    AgentIdle(AgentRef),
    /// The agent is on a break.
    AgentOnBreak(AgentRef),
    /// The call was dialled.
    Dialed {
        /// The call.
        call: CallRef,
        /// Whose call.
        campaign: CampaignRef,
        /// What its chance of an answer may depend on.
        traits: DialTraits,
    },
    /// The far end is ringing.
    Alerting {
        /// The call.
        call: CallRef,
    },
    /// The far end picked up, and machine detection listens. Its verdict is the call's [`PacingEvent::Resolved`].
    Detecting {
        /// The call.
        call: CallRef,
    },
    /// Dialling ended, by an answer or otherwise. With machine detection: by its verdict.
    Resolved {
        /// The call.
        call: CallRef,
        /// Whose call.
        campaign: CampaignRef,
        /// How.
        outcome: Outcome,
        /// From dialling to this end.
        after: Duration,
    },
    /// The person who answered was joined to an agent.
    Connected {
        /// The call.
        call: CallRef,
        /// Whose call.
        campaign: CampaignRef,
        /// To whom.
        agent: AgentRef,
        /// From answer to join.
        waited: Duration,
    },
    /// The person who answered got no agent within the limit.
    Abandoned {
        /// The call.
        call: CallRef,
        /// Whose call.
        campaign: CampaignRef,
        /// From answer to giving up.
        waited: Duration,
    },
    /// A call that was resolved as answered by a person turned out to be a machine's once it had been given to an agent:
    /// it took an agent, and is no live answer.
    MachineAfterAll {
        /// Whose call.
        campaign: CampaignRef,
    },
    /// The agent's conversation ended; wrap-up begins.
    TalkEnded {
        /// Who talked.
        agent: AgentRef,
        /// In whose call.
        campaign: CampaignRef,
        /// How long.
        lasted: Duration,
    },
    /// The agent's wrap-up ended.
    WrapUpEnded {
        /// Who.
        agent: AgentRef,
        /// After whose call.
        campaign: CampaignRef,
        /// How long.
        lasted: Duration,
    },
    /// An inbound call waits for an agent.
    InboundArrived,
    /// An inbound call was joined to the agent.
    InboundConnected(AgentRef),
    /// The agent's inbound conversation ended.
    InboundTalkEnded {
        /// Who talked.
        agent: AgentRef,
        /// How long.
        lasted: Duration,
    },
    /// The agent's wrap-up after an inbound call ended.
    InboundWrapUpEnded {
        /// Who.
        agent: AgentRef,
        /// How long.
        lasted: Duration,
    },
}
