//! Orders to below.

use crate::command::{CommandError, Reply};
use crate::config::TonePlan;
use crate::event::EventEnvelope;
use crate::id::{AgentId, CallId, CampaignId, ListId, RecordingId, TrunkId};
use crate::outcome::EndCause;
use crate::participant::Way;
use crate::record::{AgentRow, ContactRow, Record, TrunkRow};
use crate::view::ViewChange;
use sansio::Instant;

/// One effect of the dialer. Those marked *gated* are held back by the engine until every [`Effect::Journal`]
/// before them is durable, in order; the others are carried out at once.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Write these down, in one transaction.
    Journal(Vec<Record>),
    /// *Gated.* Tell the world. (The engine journals the envelope itself before it is published.)
    Event(Box<EventEnvelope>),
    /// *Gated.* Answer the command of this tag. Exactly once per command.
    Reply {
        /// The asker's mark.
        tag: u64,
        /// The answer.
        result: Result<Reply, CommandError>,
    },
    /// A snapshot for readers.
    View(ViewChange),
    /// *Gated.* Read leads that may be dialled: [`crate::Input::LeadsLoaded`] answers.
    LoadLeads {
        /// For this campaign.
        campaign: CampaignId,
        /// From these lists.
        lists: Vec<ListId>,
        /// At most so many.
        limit: u32,
        /// Dialable at this time.
        due_at: sansio::WallTime,
        /// Only leads that pass this then; the time at which the others may is told as the next due time.
        screen: Box<crate::screen::Screen>,
    },
    /// *Gated.* Read leads that wait to be dialled although their time has passed: [`crate::Input::ExpiredFound`] answers.
    FindExpired {
        /// For this campaign.
        campaign: CampaignId,
        /// From these lists.
        lists: Vec<ListId>,
        /// Expired at this time.
        at: sansio::WallTime,
        /// At most so many.
        limit: u32,
    },
    /// *Gated.* Read leads whose callback is due, those whose is not told first: [`crate::Input::CallbacksFound`] answers.
    FindCallbacks {
        /// Due at this time.
        at: sansio::WallTime,
        /// At most so many.
        limit: u32,
    },
    /// Calls to these numbers (E.164) are ours: told by [`crate::CallFact::InboundArrived`]. Replaces those before.
    ServeNumbers(Vec<String>),
    /// Ask the records who calls: [`crate::Input::CallerRecalled`] answers.
    RecallCaller {
        /// The call.
        call: CallId,
        /// The numbers the caller may have, E.164, the likeliest first.
        numbers: Vec<String>,
        /// The number that was called.
        called: String,
    },
    /// Do something with a call.
    Call(CallOrder),
    /// Call the agent's phone and keep that leg up. Answered by `SessionUp` or `SessionDown`.
    OpenSession {
        /// Whose.
        agent: AgentId,
        /// How it is reached.
        way: Way,
        /// Rings at most so long.
        ring_timeout_ms: u32,
    },
    /// End the nailed-up session. Answered by `SessionDown`.
    CloseSession {
        /// Whose.
        agent: AgentId,
    },
    /// A trunk is to be served with these settings (sent at start for each stored one).
    ApplyTrunk(Box<TrunkRow>),
    /// A trunk is no more.
    RemoveTrunk(TrunkId),
    /// An agent's phone may register with these credentials.
    ApplyAgent(Box<AgentRow>),
    /// … and no more.
    RemoveAgent(AgentId),
    /// A phone known from the last run.
    RestoreContact(ContactRow),
}

/// A trunk that a call may be dialled over instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OtherTrunk {
    /// Which.
    pub trunk: TrunkId,
    /// Caller ID that is shown then.
    pub caller_id: Option<String>,
}

/// What to do with a call. A call lives in the engine from its first order to `CallFact::Ended`.
#[derive(Clone, PartialEq, Debug)]
pub enum CallOrder {
    /// *Gated.* Dial the customer.
    DialCustomer {
        /// The call (made by this order unless an agent was rung first).
        call: CallId,
        /// For this campaign (keeps calls and agents of one campaign on one shard).
        campaign: Option<CampaignId>,
        /// Over this trunk.
        trunk: TrunkId,
        /// Over the first of these that has room, should that one not take the call: it says 503, cannot be reached or
        /// is silent. `CallFact::Moved` follows then.
        others: Vec<OtherTrunk>,
        /// Number.
        to: String,
        /// Caller ID.
        caller_id: Option<String>,
        /// Rings at most so long, from the first sign of ringing (from the INVITE while there is none), then
        /// `Ended` with `NoAnswer`.
        ring_timeout_ms: u32,
        /// Listen to early media.
        early_media: bool,
        /// … for these tones.
        tone_plan: TonePlan,
        /// Listen for machines after the answer.
        amd: bool,
        /// … and for when they have finished (`CallFact::Turn`).
        await_turn: bool,
        /// Longest time after the answer, milliseconds.
        call_max_ms: u32,
        /// Not to be dialled from then on: the order may wait, and what it is for may expire meanwhile. `Ended` with
        /// `Cancelled` follows then.
        not_after: Option<Instant>,
    },
    /// *Gated.* Answer a call that came in. `Answered` or `Ended` follows.
    AnswerCustomer {
        /// The call.
        call: CallId,
        /// Longest time from then on, milliseconds.
        call_max_ms: u32,
    },
    /// *Gated.* Ring the agent's phone for this call: whom it is for is told before it rings.
    RingAgent {
        /// The call.
        call: CallId,
        /// Whose phone.
        agent: AgentId,
        /// How it is reached; a number shown there is masked already if it has to be.
        way: Way,
        /// Rings at most so long, then `AgentFailed` with `NoAnswer`.
        ring_timeout_ms: u32,
    },
    /// Use the agent's nailed-up session for this call. `AgentAnswered` or `AgentFailed` follows.
    UseSession {
        /// The call.
        call: CallId,
        /// Whose session.
        agent: AgentId,
    },
    /// Stop ringing the agent or take it out of this call (its session stays up); nothing is told but `LegEnded`.
    ReleaseAgent {
        /// The call.
        call: CallId,
        /// Who.
        agent: AgentId,
    },
    /// Let the agent of the call hear the customer's line ring, as far as it sends any sound. Nothing follows.
    LetHear {
        /// The call.
        call: CallId,
    },
    /// Join customer and agent. `Bridged` follows.
    Bridge {
        /// The call.
        call: CallId,
        /// Beep towards the agent.
        tone: bool,
        /// Record from now on.
        record: Option<RecordingId>,
    },
    /// Play a prompt to the customer; `MessagePlayed` follows (at once if the prompt is unknown).
    Play {
        /// The call.
        call: CallId,
        /// Its name.
        prompt: String,
        /// Over and over, until something else is heard; `MessagePlayed` does not follow then.
        repeat: bool,
    },
    /// Do something with a live call whose sides are joined. What follows, the act says.
    Act {
        /// The call.
        call: CallId,
        /// What.
        act: crate::participant::CallAct,
    },
    /// End the call. `Ended` follows, also if it was ending anyway; nothing if it is over.
    Hangup {
        /// The call.
        call: CallId,
        /// Told as the cause.
        cause: EndCause,
        /// Told as who ended it.
        by: crate::outcome::Party,
    },
}
