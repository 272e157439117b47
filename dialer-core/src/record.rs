//! What is written down: the journal's records, call records, and the state after a restart.

use crate::best_time::{BestTimeRow, ExperimentArm};
use crate::calendar::CalendarRow;
use crate::caller_id::{CallerIdPoolRow, CallerIdPoolSnapshot, PoolState};
use crate::config::{
    AgentConfig, CampaignConfig, CampaignState, DialMode, DncListConfig, ListConfig, SessionKind, TrunkConfig,
};
use crate::event::EventEnvelope;
use crate::id::{
    AgentId, AttemptId, CalendarId, CallId, CallerIdPoolId, CampaignId, DncListId, InboundRouteId, LeadId,
    ListId, RecordingId, TokenId, TrunkId,
};
use crate::inbound::InboundRouteRow;
use crate::outcome::{
    AmdEvidence, AmdVerdict, AudioState, EarlyMediaClass, EndCause, Evidence, Outcome, Party,
};
use crate::recording::{Pauses, RecordedFile};
use crate::tenant::Tenant;
use sansio::WallTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One change that must survive a crash. Records of one [`crate::Effect::Journal`] are written in one
/// transaction: all or none.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A trunk was made or changed.
    TrunkPut(TrunkRow),
    /// A trunk was deleted.
    TrunkDeleted {
        /// Which.
        trunk: TrunkId,
    },
    /// An agent was made or changed.
    AgentPut(AgentRow),
    /// An agent was deleted.
    AgentDeleted {
        /// Which.
        agent: AgentId,
    },
    /// An agent logged in or out, went on or came back from a break.
    AgentStatusChanged(AgentStatusRow),
    /// An agent's phone registered.
    ContactPut(ContactRow),
    /// An agent's phone went away.
    ContactDeleted {
        /// Whose.
        agent: AgentId,
    },
    /// A list was made or changed.
    ListPut(ListRow),
    /// A list and its leads were deleted.
    ListDeleted {
        /// Which.
        list: ListId,
    },
    /// A campaign was made, changed, or changed state.
    CampaignPut(Box<CampaignRow>),
    /// A campaign was deleted (its records stay).
    CampaignDeleted {
        /// Which.
        campaign: CampaignId,
    },
    /// A do-not-call list was made or changed.
    DncListPut(DncListRow),
    /// A do-not-call list was deleted with all that is on it.
    DncListDeleted {
        /// Which.
        list: DncListId,
    },
    /// Numbers are not to be called.
    DncAdded {
        /// On which list.
        list: DncListId,
        /// Which.
        entries: DncNumbers,
    },
    /// Numbers may be called again.
    DncRemoved {
        /// On which list.
        list: DncListId,
        /// Which.
        entries: DncNumbers,
    },
    /// A pool of caller IDs was made or changed.
    CallerIdPoolPut(CallerIdPoolRow),
    /// A pool of caller IDs was deleted.
    CallerIdPoolDeleted {
        /// Which.
        pool: CallerIdPoolId,
    },
    /// A call shows this number: durable before the INVITE leaves, so that no crash makes its caps forget one.
    CallerIdUsed {
        /// Of which pool.
        pool: CallerIdPoolId,
        /// Which.
        number: String,
        /// When.
        at: WallTime,
    },
    /// What is known of a pool's numbers, but for their uses. Uses more than a day older may be forgotten.
    CallerIdPoolState {
        /// Of which pool.
        pool: CallerIdPoolId,
        /// What is known.
        state: Box<PoolState>,
        /// When.
        at: WallTime,
    },
    /// A route of inbound calls was made or changed.
    InboundRoutePut(InboundRouteRow),
    /// A route of inbound calls was deleted.
    InboundRouteDeleted {
        /// Which.
        route: InboundRouteId,
    },
    /// A calendar was made or changed.
    CalendarPut(CalendarRow),
    /// A calendar was deleted.
    CalendarDeleted {
        /// Which.
        calendar: CalendarId,
    },
    /// A try that says something of when a lead answers.
    BestTimeSeen {
        /// Of which campaign.
        campaign: CampaignId,
        /// Of which segment.
        segment: String,
        /// Hour of the week where the lead is.
        hour: u8,
        /// In which part of an experiment.
        arm: ExperimentArm,
        /// A person answered.
        answered: bool,
    },
    /// Another experiment begins: what was tried before counts for none.
    ExperimentReset {
        /// Of which campaign.
        campaign: CampaignId,
    },
    /// About to dial: durable before the INVITE leaves. Or a call came in: durable before it is answered.
    AttemptStarted(AttemptRow),
    /// Something of an attempt that is under way changed: who takes part in its call.
    AttemptChanged(AttemptRow),
    /// A call is over; closes its attempt if it had one. Exactly one per call.
    CallEnded(Box<CallRecord>),
    /// A lead's progress changed.
    LeadChanged(LeadProgress),
    /// A live answer, and whether it was abandoned. Append-only.
    Ledger(LedgerEntry),
    /// An agent said how the call went.
    DispositionSet {
        /// Which call.
        call: CallId,
        /// The code.
        code: String,
        /// Free text.
        notes: Option<String>,
        /// Wanted callback.
        callback_at: Option<WallTime>,
        /// … by the agent who talked.
        #[serde(default)]
        callback_by_agent: bool,
        /// Fields filled in.
        #[serde(default)]
        fields: BTreeMap<String, String>,
        /// When it was said.
        at: WallTime,
    },
    /// A call's after-call work ended.
    WrapUpEnded {
        /// Which call.
        call: CallId,
        /// How long it took.
        wrap_up_ms: u64,
    },
    /// A recording's file is being written; again when it was paused or resumed.
    RecordingStarted(RecordingStartRow),
    /// A recording is complete.
    RecordingReady(RecordingRow),
    /// There is nothing of a recording that was begun.
    RecordingLost {
        /// Which.
        recording: RecordingId,
    },
    /// What a campaign's pacer has learned (opaque bytes of its own format).
    PacerSketch {
        /// Which campaign.
        campaign: CampaignId,
        /// The sketch.
        sketch: Vec<u8>,
    },
    /// An event of the stream.
    Event(Box<EventEnvelope>),
    /// The settings that the other records of this transaction change were changed for somebody: the store keeps what
    /// they were and what they became, in the same transaction.
    ChangedBy {
        /// For whom.
        by: Actor,
        /// When.
        at: WallTime,
    },
}

/// Who has settings changed, or hears a recording.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Actor {
    /// The token that was shown; none of the configuration file's.
    pub token: Option<TokenId>,
    /// Its name then.
    pub name: String,
    /// Whose token it is; `None`: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
}

/// A trunk as stored.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TrunkRow {
    /// Its name.
    pub id: TrunkId,
    /// Its settings.
    pub config: TrunkConfig,
    /// Counts changes, from 1 (ETag).
    pub version: u32,
    /// When it was made.
    pub created_at: WallTime,
}

/// An agent as stored.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AgentRow {
    /// Its name.
    pub id: AgentId,
    /// Its settings.
    pub config: AgentConfig,
    /// Counts changes, from 1.
    pub version: u32,
    /// When it was made.
    pub created_at: WallTime,
}

/// Whether an agent is at work.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AgentStatusRow {
    /// Which agent.
    pub agent: AgentId,
    /// Logged in, and how; `None`: logged out.
    pub session: Option<SessionKind>,
    /// On a break, with this code.
    pub paused: Option<String>,
    /// Calls taken since login.
    #[serde(default)]
    pub calls_taken: u32,
    /// Since when.
    pub at: WallTime,
}

/// Where an agent's phone is reached.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ContactRow {
    /// Whose phone.
    pub agent: AgentId,
    /// The registered contact address, as the phone gave it.
    pub uri: String,
    /// The network address the registration came from, `address:port`.
    pub source: String,
    /// Which of our listeners it came to.
    pub listener: u8,
    /// When it lapses.
    pub expires_at: WallTime,
}

/// A list as stored.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ListRow {
    /// Its name.
    pub id: ListId,
    /// Its settings.
    pub config: ListConfig,
    /// Counts changes, from 1.
    pub version: u32,
    /// When it was made.
    pub created_at: WallTime,
}

/// A do-not-call list as stored.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DncListRow {
    /// Its name.
    pub id: DncListId,
    /// Its settings.
    pub config: DncListConfig,
    /// Counts changes of the settings, from 1.
    pub version: u32,
    /// When it was made.
    pub created_at: WallTime,
}

/// Numbers and prefixes of a do-not-call list.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DncNumbers {
    /// E.164 without the plus, as integers.
    pub numbers: Vec<u64>,
    /// First digits of E.164 numbers without the plus.
    pub prefixes: Vec<String>,
    /// Numbers of which only a hash is kept, see [`crate::compliance::number_hash`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<u128>,
    /// They lapse then; `None`: never.
    pub expires_at: Option<WallTime>,
}

/// A do-not-call list with all that is on it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DncSnapshot {
    /// The list.
    pub row: DncListRow,
    /// What is on it, by time of lapse.
    pub entries: Vec<DncNumbers>,
}

/// A campaign as stored.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CampaignRow {
    /// Its name.
    pub id: CampaignId,
    /// Its settings.
    pub config: CampaignConfig,
    /// Its state.
    pub state: CampaignState,
    /// Counts changes, from 1.
    pub version: u32,
    /// When it was made.
    pub created_at: WallTime,
}

/// A phone number of a lead.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Phone {
    /// E.164, with the plus.
    pub number: String,
    /// What the import said.
    pub raw: String,
    /// `mobile`, `work`, …
    pub kind: Option<String>,
}

/// Where a lead stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeadState {
    /// Never dialled.
    #[default]
    New,
    /// Waits for its next try.
    RetryWait,
    /// Being dialled or talking.
    Dialing,
    /// Reached; no further attempt.
    Done,
    /// No attempts left.
    Exhausted,
    /// On a do-not-call list.
    Dnc,
    /// Its time has passed.
    Expired,
}

impl LeadState {
    /// All of them.
    pub const ALL: [LeadState; 7] = [
        LeadState::New,
        LeadState::RetryWait,
        LeadState::Dialing,
        LeadState::Done,
        LeadState::Exhausted,
        LeadState::Dnc,
        LeadState::Expired,
    ];

    /// It is done with: nobody dials such a lead unless by hand.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, LeadState::Done | LeadState::Exhausted | LeadState::Dnc | LeadState::Expired)
    }

    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            LeadState::New => "new",
            LeadState::RetryWait => "retry_wait",
            LeadState::Dialing => "dialing",
            LeadState::Done => "done",
            LeadState::Exhausted => "exhausted",
            LeadState::Dnc => "dnc",
            LeadState::Expired => "expired",
        }
    }
}

/// A lead: someone to call.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Lead {
    /// Its name.
    pub id: LeadId,
    /// Its list.
    pub list: ListId,
    /// The owner's own name of it; unique in the list.
    pub external_id: Option<String>,
    /// Numbers in dial order, at least one.
    pub phones: Vec<Phone>,
    /// Higher is dialled sooner.
    pub priority: i32,
    /// IANA zone, if known.
    pub time_zone: Option<String>,
    /// The owner's fields.
    pub fields: BTreeMap<String, String>,
    /// Not dialled after this.
    pub expires_at: Option<WallTime>,
    /// How far it has come.
    pub progress: LeadProgress,
}

/// Attempts whose time is kept for limits per day, week and month.
pub const RECENT_ATTEMPTS_MAX: usize = 32;

/// The part of a lead that dialling changes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LeadProgress {
    /// Which lead.
    pub lead: LeadId,
    /// State.
    pub state: LeadState,
    /// Attempts so far.
    pub attempts: u32,
    /// Attempts per outcome so far.
    pub outcomes: BTreeMap<Outcome, u32>,
    /// Outcome of the last attempt.
    pub last_outcome: Option<Outcome>,
    /// When the last attempt began.
    pub last_attempt_at: Option<WallTime>,
    /// Not dialled before this.
    pub next_at: Option<WallTime>,
    /// Index into `phones` of the number to dial next.
    pub next_phone: u32,
    /// When the last attempts began, oldest first, at most [`RECENT_ATTEMPTS_MAX`].
    #[serde(default)]
    pub recent: Vec<WallTime>,
    /// Only with an agent guaranteed (no pacing ahead) until then: the lock after an abandoned call.
    pub agent_guaranteed_until: Option<WallTime>,
    /// The last attempts that are over, oldest first, at most [`HISTORY_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PastAttempt>,
    /// An agent promised to call again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
}

/// Attempts kept with a lead for who calls it next.
pub const HISTORY_MAX: usize = 10;
/// Of an agent's note on a call so much is kept with its lead, characters. (All of it is kept with the call.)
pub const HISTORY_NOTES_MAX: usize = 500;

/// An attempt that is over, as who calls the lead next wants to know it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PastAttempt {
    /// Its call.
    pub call: CallId,
    /// When it was made.
    pub at: WallTime,
    /// What became of it.
    pub outcome: Outcome,
    /// The agent who talked, or was to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// How long they talked, milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub talk_ms: u64,
    /// What the agent said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disposition: Option<String>,
    /// What the agent noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Who was called has said not to be called again, by the disposition.
    #[serde(default, skip_serializing_if = "is_false")]
    pub refused: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl PastAttempt {
    /// What a record tells; what the agent says of it comes later.
    pub(crate) fn of(record: &CallRecord) -> Self {
        PastAttempt {
            call: record.call,
            at: record.started_at,
            outcome: record.outcome,
            agent: record.agent,
            talk_ms: record.talk_ms,
            disposition: None,
            notes: None,
            refused: false,
        }
    }

    /// Notes as they are kept here.
    #[must_use]
    pub fn kept_notes(notes: &str) -> String {
        notes.chars().take(HISTORY_NOTES_MAX).collect()
    }
}

/// A promise to call again. It stays with its lead until they have talked, or the lead is done with; while nobody is
/// reached its time is that of the next try.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Callback {
    /// When.
    pub at: WallTime,
    /// Who promised it and is to call; `None`: anyone may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// The campaign that is to call, as long as it runs and dials the lead's list; `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<CampaignId>,
    /// What it is about, at most [`HISTORY_NOTES_MAX`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// That it is due was told.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub told: bool,
    /// Counts changes, from 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub version: u32,
}

fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_one(number: &u32) -> bool {
    *number == 1
}

impl Callback {
    /// A new one.
    #[must_use]
    pub fn new(at: WallTime, agent: Option<AgentId>, campaign: Option<CampaignId>) -> Self {
        Callback { at, agent, campaign, notes: None, told: false, version: 1 }
    }
}

impl LeadProgress {
    /// It is done with: nobody dials it unless by hand.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.state.is_over()
    }

    /// The progress of a lead that was never dialled.
    #[must_use]
    pub fn fresh(lead: LeadId) -> Self {
        LeadProgress {
            lead,
            state: LeadState::New,
            attempts: 0,
            outcomes: BTreeMap::new(),
            last_outcome: None,
            last_attempt_at: None,
            next_at: None,
            next_phone: 0,
            recent: Vec::new(),
            agent_guaranteed_until: None,
            history: Vec::new(),
            callback: None,
        }
    }

    /// Adds an attempt that is over; the oldest makes room.
    pub(crate) fn remember(&mut self, past: PastAttempt) {
        if self.history.len() >= HISTORY_MAX {
            self.history.remove(0);
        }
        self.history.push(past);
    }
}

/// One dialling of a lead, or of a number by the API.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AttemptRow {
    /// Its name.
    pub id: AttemptId,
    /// The call made for it.
    pub call: CallId,
    /// The campaign, if any.
    pub campaign: Option<CampaignId>,
    /// The lead, if any.
    pub lead: Option<LeadId>,
    /// The agent reserved beforehand (click-to-call, preview), if any.
    pub agent: Option<AgentId>,
    /// Which attempt of the lead, from 1.
    pub number_of_attempt: u32,
    /// Number dialled.
    pub to: String,
    /// Caller ID shown.
    pub caller_id: Option<String>,
    /// Over which trunk.
    pub trunk: TrunkId,
    /// Mode of the campaign; `None` for an API call.
    pub mode: Option<DialMode>,
    /// When.
    pub at: WallTime,
    /// The client's own mark.
    pub client_state: Option<String>,
    /// It came in: `to` is our number, `caller_id` the caller's.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub inbound: bool,
    /// It only passes through. Written when something is told of it before its end, so that it has one after a crash, too.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub transit: bool,
    /// What became of checking its signature, if it came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verstat: Option<String>,
    /// Who took part besides customer and agent, and who still does: for these the end is not known, and stands as a
    /// restart of this node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub participants: Vec<crate::participant::ParticipantRecord>,
}

/// A call's whole story (CDR). Every call has exactly one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CallRecord {
    /// The call.
    pub call: CallId,
    /// Whose it is; `None`: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// Its attempt; `None` for transit calls.
    pub attempt: Option<AttemptId>,
    /// The campaign, if any.
    pub campaign: Option<CampaignId>,
    /// The lead, if any.
    pub lead: Option<LeadId>,
    /// The last agent who was joined or reserved.
    pub agent: Option<AgentId>,
    /// The trunk of the customer leg.
    pub trunk: Option<TrunkId>,
    /// What sort of call.
    pub kind: CallKindTag,
    /// Mode of the campaign.
    pub mode: Option<DialMode>,
    /// Number dialled.
    pub to: String,
    /// Caller ID shown.
    pub caller_id: Option<String>,
    /// Which attempt of the lead, from 1; 0 without a lead.
    pub number_of_attempt: u32,
    /// When it was made.
    pub started_at: WallTime,
    /// First ringing or progress.
    pub ringing_at: Option<WallTime>,
    /// Customer's answer.
    pub answered_at: Option<WallTime>,
    /// Customer and agent joined.
    pub bridged_at: Option<WallTime>,
    /// End.
    pub ended_at: WallTime,
    /// What became of it.
    pub outcome: Outcome,
    /// From what that was concluded.
    pub evidence: Evidence,
    /// Why it ended.
    pub cause: EndCause,
    /// Who ended it.
    pub ended_by: Party,
    /// Final SIP code of the customer leg.
    pub sip_code: Option<u16>,
    /// Q.850 cause, if told.
    pub q850: Option<u16>,
    /// INVITE to first ringing, milliseconds.
    pub pdd_ms: Option<u64>,
    /// First ringing to answer or end.
    pub ring_ms: Option<u64>,
    /// Answer to bridge.
    pub answer_to_bridge_ms: Option<u64>,
    /// Bridge to end.
    pub talk_ms: u64,
    /// What detection said.
    pub amd: Option<AmdVerdict>,
    /// What early media was.
    pub early_media: Option<EarlyMediaClass>,
    /// A live answer without an agent in time.
    pub abandoned: bool,
    /// The safe-harbour message was played to it.
    pub safe_harbour_played: bool,
    /// Digits the customer pressed.
    pub digits: String,
    /// Its first recording.
    pub recording: Option<RecordingId>,
    /// The others that were begun, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_recordings: Vec<RecordingId>,
    /// The client's own mark.
    pub client_state: Option<String>,
    /// What the caller's signature was worth (STIR/SHAKEN): `passed:A`, `failed:stale`, `failed:absent`; `None` where
    /// nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verstat: Option<String>,
    /// What the Reason header of the peer's last word said beside the cause (RFC 3326).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<EndReason>,
    /// The number or phone that the agent has given the customer to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transferred_to: Option<String>,
    /// What the verdict in `amd` rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amd_detail: Option<AmdDetail>,
    /// What the class in `early_media` rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_media_detail: Option<EarlyMediaDetail>,
    /// How each answered leg sounded, in the order in which they ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<LegMedia>,
    /// Supervisors and third parties, in the order in which they left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub participants: Vec<crate::participant::ParticipantRecord>,
}

/// Why a peer has ended a call, in its own words: the Reason header of its CANCEL, BYE or final response (RFC 3326).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct EndReason {
    /// Cause of protocol SIP, 100 to 699: 200 in a CANCEL says that another has taken the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_code: Option<u16>,
    /// Text, at most 128 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What a verdict of machine detection rests on.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct AmdDetail {
    /// Which rule gave it.
    pub evidence: AmdEvidence,
    /// 0..=1, a score.
    pub confidence: f32,
    /// Answer to verdict, milliseconds.
    pub after_answer_ms: u64,
    /// Answer to the message that was left on the machine; `None`: none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
}

/// What a class of early media rests on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EarlyMediaDetail {
    /// 0..=1, a score.
    pub confidence: f32,
    /// The name of the announcement that was recognised; `None`: a tone, or a voice that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announcement: Option<String>,
    /// Dialled to heard, milliseconds.
    pub after_dial_ms: u64,
}

/// How one leg of a call sounded.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LegMedia {
    /// Whose leg.
    pub party: Party,
    /// `PCMU`, `PCMA`, …
    pub codec: String,
    /// RTP packets that came from it.
    pub packets_received: u64,
    /// Expected minus received; negative when packets were duplicated.
    pub packets_lost: i64,
    /// RTP packets sent to it.
    pub packets_sent: u64,
    /// Share of the expected packets that did not come, 0..=1.
    pub loss: f32,
    /// Interarrival jitter, milliseconds: mean …
    pub jitter_ms: f32,
    /// … and largest.
    pub jitter_ms_max: f32,
    /// Round trip by RTCP, milliseconds; `None`: the far end did not report.
    pub rtt_ms: Option<f32>,
    /// What the far end says it lost of ours, 0..=1.
    pub remote_loss: Option<f32>,
    /// What it says about jitter, milliseconds.
    pub remote_jitter_ms: Option<f32>,
    /// Mean opinion score of what came, 1..=4.41.
    pub mos: Option<f32>,
    /// The same of what the far end heard.
    pub remote_mos: Option<f32>,
    /// Whether sound was coming at the end.
    pub audio: AudioState,
}

/// What sort of call a record tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallKindTag {
    /// Dialled by a campaign.
    Campaign,
    /// Dialled by the API, agent leg first.
    ClickToCall,
    /// Passed from one trunk to another.
    Transit,
    /// Came in on a number of ours.
    Inbound,
}

/// One live answer in the abandonment ledger.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Whose.
    pub campaign: CampaignId,
    /// The call.
    pub call: CallId,
    /// When the fate was known.
    pub at: WallTime,
    /// True: nobody was there in time.
    pub abandoned: bool,
}

/// A recording whose file is not complete yet.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RecordingStartRow {
    /// Its name.
    pub id: RecordingId,
    /// The call it is of.
    pub call: CallId,
    /// The campaign, if any.
    pub campaign: Option<CampaignId>,
    /// The agent, if any.
    pub agent: Option<AgentId>,
    /// File name below the recordings folder, once it is complete.
    pub file: String,
    /// When it began.
    pub at: WallTime,
    /// Pauses, as far as they are known.
    #[serde(default, skip_serializing_if = "Pauses::are_none")]
    pub pauses: Pauses,
}

/// A recording that was not complete when the node went down.
#[derive(Clone, PartialEq, Debug)]
pub struct CutRecording {
    /// What was known of it.
    pub start: RecordingStartRow,
    /// What is there of its file.
    pub found: CutFile,
}

/// What a crash left of a recording's file.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum CutFile {
    /// Nobody has looked, or it cannot be read now: it is looked for again at the next start.
    #[default]
    Unknown,
    /// Nothing.
    Gone,
    /// This; it was mended.
    Mended(RecordedFile),
}

/// A complete recording.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RecordingRow {
    /// Its name.
    pub id: RecordingId,
    /// The call it is of.
    pub call: CallId,
    /// The campaign, if any.
    pub campaign: Option<CampaignId>,
    /// The agent, if any.
    pub agent: Option<AgentId>,
    /// File name below the recordings folder.
    pub file: String,
    /// Length, milliseconds.
    pub duration_ms: u64,
    /// For so long it was paused, milliseconds: silence in the file, or left out of it.
    #[serde(default)]
    pub paused_ms: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Some of the sound came in a codec that is not decoded here: silence stands in its place.
    #[serde(default)]
    pub undecodable: bool,
    /// The node went down while it ran: what came after is not there.
    #[serde(default)]
    pub cut_off: bool,
    /// When it was complete.
    pub at: WallTime,
}

/// Everything that was durable when the node went down: the fold of all records.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Snapshot {
    /// Trunks.
    pub trunks: Vec<TrunkRow>,
    /// Agents.
    pub agents: Vec<AgentRow>,
    /// Who was at work.
    pub agent_status: Vec<AgentStatusRow>,
    /// Registered phones.
    pub contacts: Vec<ContactRow>,
    /// Lists.
    pub lists: Vec<ListRow>,
    /// Do-not-call lists.
    pub dnc: Vec<DncSnapshot>,
    /// Pools of caller IDs.
    pub caller_id_pools: Vec<CallerIdPoolSnapshot>,
    /// Routes of inbound calls.
    pub inbound_routes: Vec<InboundRouteRow>,
    /// Calendars.
    pub calendars: Vec<CalendarRow>,
    /// Campaigns.
    pub campaigns: Vec<CampaignRow>,
    /// Attempts without an end: the node went down while they were under way. With the lead's progress as stored.
    pub open_attempts: Vec<(AttemptRow, Option<LeadProgress>)>,
    /// For each call of these, the place of its last event in its stream (a call without events may be missing).
    pub open_call_seqs: Vec<(CallId, u32)>,
    /// Recordings that were not complete.
    pub cut_recordings: Vec<CutRecording>,
    /// Numbers that were dialled within the last 24 hours, whose calls they were, and when, oldest first.
    pub dialled_numbers: Vec<(Option<Tenant>, String, WallTime)>,
    /// Ledger entries of the last 30 days.
    pub ledger: Vec<LedgerEntry>,
    /// What campaigns have learned of hours.
    pub best_time: Vec<BestTimeRow>,
    /// What pacers had learned.
    pub pacer_sketches: Vec<(CampaignId, Vec<u8>)>,
    /// Last cursor of the event stream.
    pub last_cursor: u64,
}
