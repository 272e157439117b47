//! Facts from below.

use crate::command::Command;
use crate::fork::ForkEnd;
use crate::id::{AgentId, CallId, CampaignId, ForkId, LegId, RecordingId, TrunkId};
use crate::inbound::CallerMemory;
use crate::outcome::{AmdEvidence, AmdVerdict, AudioState, EarlyMediaClass, EndCause, Party, TurnCue};
use crate::record::{CallRecord, ContactRow, EndReason, Lead, LegMedia, Snapshot};
use crate::recording::RecordedFile;
use sansio::WallTime;
use sansio::time::ClockBase;
use std::sync::Arc;

/// One input of the dialer.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::large_enum_variant, reason = "an input is handed over once and never kept")]
pub enum Input {
    /// A wish; answered by [`crate::Effect::Reply`] with the same tag.
    Command {
        /// The asker's mark.
        tag: u64,
        /// The wish.
        command: Command,
    },
    /// What civil time it is. The first input, and again when the system's clock is set.
    Clock(ClockBase),
    /// The state of the last run. The second input.
    Restore(Box<Snapshot>),
    /// Leads asked for by [`crate::Effect::LoadLeads`].
    LeadsLoaded {
        /// For this campaign.
        campaign: CampaignId,
        /// The leads, best first; never more than asked for. Leads that are already in a hopper or in a call may
        /// be among them and are passed over.
        leads: Vec<Lead>,
        /// False: the lists hold nothing more that may be dialled now.
        more: bool,
        /// When the next waiting lead becomes due, if none is now.
        next_due: Option<sansio::WallTime>,
    },
    /// Leads asked for by [`crate::Effect::FindExpired`].
    ExpiredFound {
        /// For this campaign.
        campaign: CampaignId,
        /// Those that have expired, as far as the store knows.
        leads: Vec<Lead>,
        /// When the next one of those that wait will.
        next: Option<sansio::WallTime>,
    },
    /// Leads asked for by [`crate::Effect::FindCallbacks`].
    CallbacksFound {
        /// Those that wait and whose callback is due, as far as the store knows.
        leads: Vec<Lead>,
        /// When the next callback that is not told falls due.
        next: Option<sansio::WallTime>,
    },
    /// What the records say of a caller: the answer to [`crate::Effect::RecallCaller`].
    CallerRecalled {
        /// The call.
        call: CallId,
        /// What they say.
        memory: Box<CallerMemory>,
    },
    /// About a call.
    Call(CallFact),
    /// About an agent's phone.
    Agent(AgentFact),
    /// About a trunk.
    Trunk(TrunkFact),
    /// Whether records can be written.
    StoreHealth {
        /// False: stop dialling.
        healthy: bool,
    },
}

/// What happened to a call. The engine tells [`CallFact::Ended`] exactly once per call it was ordered to make,
/// and nothing after it but recordings.
#[derive(Clone, PartialEq, Debug)]
pub enum CallFact {
    /// A call came in on a number of ours and rings; it is named by the engine. `AnswerCustomer` or `Hangup` answers.
    InboundArrived {
        /// The call.
        call: CallId,
        /// Over this trunk.
        trunk: TrunkId,
        /// Who calls, as the trunk wrote it; `None`: withheld.
        from: Option<String>,
        /// The number that was called, as the trunk wrote it.
        to: String,
        /// What became of checking its signature (STIR): `passed:A`, `failed:…`; `None`: it was not looked at.
        verstat: Option<String>,
    },
    /// The INVITE of the customer leg left.
    Dialled {
        /// Which call.
        call: CallId,
    },
    /// The customer's phone rings (or the network makes progress). At most once.
    Ringing {
        /// Which call.
        call: CallId,
        /// With sound before the answer.
        early_media: bool,
    },
    /// A provisional answer that does not say that it rings: told for each code once.
    Progress {
        /// Which call.
        call: CallId,
        /// 181 to 199.
        sip_code: u16,
        /// With sound before the answer.
        early_media: bool,
    },
    /// Early media was recognised.
    EarlyMedia {
        /// Which call.
        call: CallId,
        /// As what.
        class: EarlyMediaClass,
        /// 0..=1.
        confidence: f32,
        /// The name of the announcement, when it was known by its sound.
        announcement: Option<Arc<str>>,
    },
    /// The customer answered.
    Answered {
        /// Which call.
        call: CallId,
    },
    /// Human or machine.
    Amd {
        /// Which call.
        call: CallId,
        /// Verdict.
        verdict: AmdVerdict,
        /// 0..=1.
        confidence: f32,
        /// What it rests on.
        evidence: AmdEvidence,
        /// After the answer, milliseconds.
        after_answer_ms: u64,
    },
    /// A machine or an assistant has finished.
    Turn {
        /// Which call.
        call: CallId,
        /// How that is known.
        cue: TurnCue,
        /// After the answer, milliseconds.
        after_answer_ms: u64,
    },
    /// What was said is known by its words.
    Words {
        /// Which call.
        call: CallId,
        /// What they mean.
        class: EarlyMediaClass,
        /// The words that say so.
        phrase: Arc<str>,
    },
    /// A bridged side's sound stopped, or came back.
    Audio {
        /// Which call.
        call: CallId,
        /// Whose sound.
        party: Party,
        /// How it is now.
        state: AudioState,
        /// The other side's packets do come.
        one_way: bool,
    },
    /// How a leg sounded; told before its end, for legs that were answered.
    Media {
        /// Which call.
        call: CallId,
        /// The leg's sound.
        media: Box<LegMedia>,
    },
    /// The agent's phone rings for this call.
    AgentRinging {
        /// Which call.
        call: CallId,
        /// Who.
        agent: AgentId,
    },
    /// The agent's own leg of this call is up.
    AgentAnswered {
        /// Which call.
        call: CallId,
        /// Who.
        agent: AgentId,
    },
    /// The agent's own leg of this call failed before it was up; the customer leg (if any) goes on.
    AgentFailed {
        /// Which call.
        call: CallId,
        /// Who.
        agent: AgentId,
        /// Why.
        cause: EndCause,
        /// Final code, if any.
        sip_code: Option<u16>,
    },
    /// Customer and agent hear each other.
    Bridged {
        /// Which call.
        call: CallId,
    },
    /// A digit.
    Dtmf {
        /// Which call.
        call: CallId,
        /// Who pressed it.
        party: Party,
        /// 0–9, *, #, A–D.
        digit: char,
        /// How long.
        duration_ms: u32,
    },
    /// Put on hold.
    Held {
        /// Which call.
        call: CallId,
        /// By whom.
        party: Party,
    },
    /// Back from hold.
    Resumed {
        /// Which call.
        call: CallId,
        /// By whom.
        party: Party,
    },
    /// The agent has given the customer to someone else: the agent is out of the call, which goes on.
    Transferred {
        /// Which call.
        call: CallId,
        /// Who has left.
        agent: AgentId,
        /// To whom: the number or the phone's name.
        to: String,
    },
    /// The transfer that was ordered came to nothing: the agent keeps the customer.
    TransferFailed {
        /// Which call.
        call: CallId,
        /// To whom it was to go.
        to: String,
        /// The final code, or one that says why nobody was called.
        sip_code: u16,
    },
    /// A participant answered.
    ParticipantJoined {
        /// Which call.
        call: CallId,
        /// Its leg.
        leg: LegId,
    },
    /// A participant is gone, or could not be had. Exactly once for each that was ordered, unless the call's end says it.
    ParticipantLeft {
        /// Which call.
        call: CallId,
        /// Its leg.
        leg: LegId,
        /// Why.
        cause: EndCause,
        /// It has the agent's seat now.
        took_over: bool,
    },
    /// The connection of a fork is up, for the first time.
    ForkStarted {
        /// Which call.
        call: CallId,
        /// Which fork.
        fork: ForkId,
    },
    /// The connection of a fork broke; it is being made anew.
    ForkInterrupted {
        /// Which call.
        call: CallId,
        /// Which fork.
        fork: ForkId,
        /// Why.
        reason: String,
    },
    /// A fork is over. Exactly once for each that was ordered, unless the call's end says it.
    ForkEnded {
        /// Which call.
        call: CallId,
        /// Which fork.
        fork: ForkId,
        /// Why.
        cause: ForkEnd,
        /// In words, where there is more to say.
        reason: Option<String>,
    },
    /// The ordered message was played to its end.
    MessagePlayed {
        /// Which call.
        call: CallId,
    },
    /// The recording began.
    RecordingStarted {
        /// Which call.
        call: CallId,
        /// Its name.
        recording: RecordingId,
        /// Its file's name below the recordings folder, once it is complete.
        file: String,
    },
    /// The recording is complete on disk.
    RecordingReady {
        /// Which call.
        call: CallId,
        /// Its name.
        recording: RecordingId,
        /// What there is.
        sound: RecordedFile,
    },
    /// The recording was lost.
    RecordingFailed {
        /// Which call.
        call: CallId,
        /// Its name.
        recording: RecordingId,
        /// Why.
        reason: String,
    },
    /// What the customer's last word, which follows, gives as its reason.
    Reason {
        /// The call.
        call: CallId,
        /// In its words.
        reason: Box<EndReason>,
    },
    /// One leg ended (told before [`CallFact::Ended`], once per leg).
    LegEnded {
        /// Which call.
        call: CallId,
        /// Whose leg.
        party: Party,
        /// Why.
        cause: EndCause,
        /// Final code, if any.
        sip_code: Option<u16>,
        /// Q.850 cause, if any.
        q850: Option<u16>,
    },
    /// The call is over: all its legs and streams are gone.
    Ended {
        /// Which call.
        call: CallId,
        /// Who ended it.
        by: Party,
        /// Why.
        cause: EndCause,
        /// Final code of the customer leg.
        sip_code: Option<u16>,
        /// Q.850 cause of the customer leg.
        q850: Option<u16>,
    },
    /// The trunk that the customer was dialled over did not take the call: it is dialled over another one that the order
    /// named.
    Moved {
        /// Which call.
        call: CallId,
        /// To.
        trunk: TrunkId,
        /// Caller ID that is shown now.
        caller_id: Option<String>,
        /// What the trunk that is left said, if it said anything.
        sip_code: Option<u16>,
    },
    /// A transit call began on these trunks (capacity is counted).
    TransitStarted {
        /// Which call.
        call: CallId,
        /// How it began.
        start: Box<TransitStart>,
    },
    /// The trunk it went to did not take it: it goes to another one.
    TransitMoved {
        /// Which call.
        call: CallId,
        /// To.
        to: TrunkId,
        /// What the trunk that is left said, if it said anything.
        sip_code: Option<u16>,
    },
    /// Its callee's phone rings.
    TransitRinging {
        /// Which call.
        call: CallId,
    },
    /// Its callee answered.
    TransitAnswered {
        /// Which call.
        call: CallId,
        /// When.
        at: WallTime,
    },
    /// A transit call is over; its whole story.
    TransitEnded {
        /// From.
        from: TrunkId,
        /// The record.
        record: Box<CallRecord>,
    },
}

/// How a transit call began.
#[derive(Clone, PartialEq, Debug)]
pub struct TransitStart {
    /// From.
    pub from: TrunkId,
    /// To.
    pub to: TrunkId,
    /// The agent whose phone calls: no trunk is in front then, and `from` names none.
    pub agent: Option<AgentId>,
    /// The number called, as it came in.
    pub number: String,
    /// Who calls.
    pub caller_id: Option<String>,
    /// Its sound goes through us: it can be recorded and forked.
    pub relayed: bool,
    /// When.
    pub at: WallTime,
}

/// What happened to an agent's phone.
#[derive(Clone, PartialEq, Debug)]
pub enum AgentFact {
    /// The phone registered (or refreshed).
    Registered(ContactRow),
    /// The phone unregistered or lapsed.
    Unregistered {
        /// Whose.
        agent: AgentId,
    },
    /// The phone, though registered, does not answer OPTIONS any more; or it does so again, or has registered anew.
    PhoneHealth {
        /// Whose.
        agent: AgentId,
        /// It can be reached, as far as is known.
        reachable: bool,
        /// Why not.
        reason: Option<String>,
    },
    /// The nailed-up session ordered by [`crate::Effect::OpenSession`] is up.
    SessionUp {
        /// Whose.
        agent: AgentId,
    },
    /// The phone wanted to call, or to transfer to, a number that the agent may not.
    CallRefused {
        /// Whose.
        agent: AgentId,
        /// The number.
        to: String,
        /// `destination` or `limit`.
        reason: &'static str,
    },
    /// The phone has refused an offer and asked not to be called for a while (Retry-After); `AgentFailed` follows.
    AsksForRest {
        /// Whose.
        agent: AgentId,
        /// For so long, milliseconds.
        wait_ms: u64,
    },
    /// It ended, or could not be made. Exactly once per `OpenSession`.
    SessionDown {
        /// Whose.
        agent: AgentId,
        /// Why.
        cause: EndCause,
        /// Who ended it.
        by: Party,
    },
}

/// What happened to a trunk.
#[derive(Clone, PartialEq, Debug)]
pub enum TrunkFact {
    /// It answers, or does not.
    Health {
        /// Which.
        trunk: TrunkId,
        /// Answers.
        up: bool,
        /// Why not.
        reason: Option<String>,
        /// Round trip of the ping, milliseconds.
        rtt_ms: Option<f64>,
    },
    /// Our registration with it.
    Registration {
        /// Which.
        trunk: TrunkId,
        /// Registered.
        registered: bool,
        /// Why not.
        reason: Option<String>,
    },
    /// It has asked for no new calls for a while (Retry-After), or that while is over.
    Closed {
        /// Which.
        trunk: TrunkId,
        /// It wants none now.
        closed: bool,
    },
    /// It has asked for a share of new calls to be left out (RFC 7339), or does so no more.
    Overload {
        /// Which.
        trunk: TrunkId,
        /// 0 to 100 percent.
        loss_percent: u8,
    },
}
