//! Wishes from above.

use crate::calendar::CalendarConfig;
use crate::caller_id::{CallerIdPoolConfig, OwnUse};
use crate::config::{AgentConfig, CampaignConfig, DncListConfig, ListConfig, SessionKind, TrunkConfig};
use crate::disposition::Said;
use crate::id::{
    AgentId, CalendarId, CallId, CallerIdPoolId, CampaignId, DncListId, ForkId, InboundRouteId, LeadId,
    LegId, ListId, RecordingId, TaskId, TrunkId, WebhookId,
};
use crate::inbound::InboundRouteConfig;
use crate::record::{Actor, Callback, DncNumbers, Lead};
use crate::view::{AgentState, CallState};
use core::time::Duration;
use sansio::WallTime;
use std::fmt;

/// A wish. Each is answered by exactly one [`Reply`] or [`CommandError`], after what it changed is durable.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Something that somebody asks for. What it changes of the settings is put down with their name.
    By {
        /// Who.
        by: Actor,
        /// What.
        command: Box<Command>,
    },
    /// A command about a live call whose outcome is told under this name: `CommandCompleted` or `CommandFailed`, once.
    Tracked {
        /// The name, 1 to 128 characters.
        name: String,
        /// What.
        command: Box<Command>,
    },
    /// Makes a trunk.
    CreateTrunk(TrunkConfig),
    /// Replaces a trunk's settings.
    UpdateTrunk {
        /// Which.
        trunk: TrunkId,
        /// New settings.
        config: TrunkConfig,
        /// Refuse unless this is the current version.
        if_version: Option<u32>,
    },
    /// Deletes a trunk that carries no calls.
    DeleteTrunk(TrunkId),
    /// Makes an agent.
    CreateAgent(AgentConfig),
    /// Replaces an agent's settings.
    UpdateAgent {
        /// Which.
        agent: AgentId,
        /// New settings.
        config: AgentConfig,
        /// Refuse unless this is the current version.
        if_version: Option<u32>,
    },
    /// Deletes an agent who is logged out.
    DeleteAgent(AgentId),
    /// Logs an agent in.
    AgentLogin {
        /// Who.
        agent: AgentId,
        /// How the voice path is kept.
        session: SessionKind,
    },
    /// Logs an agent out (after the call under way, if any).
    AgentLogout(AgentId),
    /// Makes an agent ready: ends a break or after-call work.
    AgentReady(AgentId),
    /// Sends an agent on a break (after the call under way, if any).
    AgentPause {
        /// Who.
        agent: AgentId,
        /// Why.
        code: String,
    },
    /// Makes a list.
    CreateList(ListConfig),
    /// Replaces a list's settings.
    UpdateList {
        /// Which.
        list: ListId,
        /// New settings.
        config: ListConfig,
        /// Refuse unless this is the current version.
        if_version: Option<u32>,
    },
    /// Deletes a list and its leads; refused while a running campaign uses it.
    DeleteList(ListId),
    /// Leads were written to a list by the edge; hoppers may fill.
    LeadsImported {
        /// Which list.
        list: ListId,
        /// How many are new or changed.
        accepted: u64,
    },
    /// Has leads dialled anew that are done with.
    RecycleLeads(Box<crate::Recycle>),
    /// Makes a do-not-call list.
    CreateDncList(DncListConfig),
    /// Replaces a do-not-call list's settings.
    UpdateDncList {
        /// Which.
        list: DncListId,
        /// New settings.
        config: DncListConfig,
        /// Refuse unless this is the current version.
        if_version: Option<u32>,
    },
    /// Deletes a do-not-call list that no campaign names.
    DeleteDncList(DncListId),
    /// These are not to be called.
    AddDnc {
        /// On which list.
        list: DncListId,
        /// Which, at most [`crate::DNC_ENTRIES_MAX`].
        entries: DncNumbers,
    },
    /// These may be called again.
    RemoveDnc {
        /// On which list.
        list: DncListId,
        /// Which, at most [`crate::DNC_ENTRIES_MAX`].
        entries: DncNumbers,
    },
    /// Makes a pool of caller IDs.
    CreateCallerIdPool(CallerIdPoolConfig),
    /// Replaces the settings of a pool of caller IDs.
    UpdateCallerIdPool {
        /// Which.
        pool: CallerIdPoolId,
        /// New settings.
        config: CallerIdPoolConfig,
        /// Refuse unless this is the current version.
        if_version: Option<u32>,
    },
    /// Deletes a pool of caller IDs that no campaign shows.
    DeleteCallerIdPool(CallerIdPoolId),
    /// Leaves a number alone from now on.
    QuarantineCallerId {
        /// Of which pool.
        pool: CallerIdPoolId,
        /// Which.
        number: String,
    },
    /// Those who watch numbers report on some of a pool.
    ReportCallerIds {
        /// Of which pool.
        pool: CallerIdPoolId,
        /// What they say.
        reports: Vec<crate::caller_id::CallerIdReport>,
    },
    /// Takes a number out of quarantine.
    ReleaseCallerId {
        /// Of which pool.
        pool: CallerIdPoolId,
        /// Which.
        number: String,
    },
    /// Makes a route of inbound calls.
    CreateInboundRoute(InboundRouteConfig),
    /// Replaces a route's settings; callers on their way keep the old ones.
    UpdateInboundRoute {
        /// Which.
        route: InboundRouteId,
        /// New settings.
        config: InboundRouteConfig,
        /// Refuse unless this is the current version.
        if_version: Option<u32>,
    },
    /// Deletes a route of inbound calls.
    DeleteInboundRoute(InboundRouteId),
    /// Makes a calendar.
    CreateCalendar(CalendarConfig),
    /// Replaces a calendar's settings; campaigns that keep it follow.
    UpdateCalendar {
        /// Which.
        calendar: CalendarId,
        /// New settings.
        config: CalendarConfig,
        /// Refuse unless this is the current version.
        if_version: Option<u32>,
    },
    /// Deletes a calendar that no campaign keeps.
    DeleteCalendar(CalendarId),
    /// Makes a campaign (stopped).
    CreateCampaign(Box<CampaignConfig>),
    /// Replaces a campaign's settings, running or not.
    UpdateCampaign {
        /// Which.
        campaign: CampaignId,
        /// New settings.
        config: Box<CampaignConfig>,
        /// Refuse unless this is the current version.
        if_version: Option<u32>,
    },
    /// Deletes a campaign that is stopped and has no live calls.
    DeleteCampaign(CampaignId),
    /// Starts a stopped campaign.
    StartCampaign(CampaignId),
    /// Stops dialling; live calls go on.
    PauseCampaign(CampaignId),
    /// Dials again after a pause.
    ResumeCampaign(CampaignId),
    /// Ends dialling; ringing calls are cancelled, talking ones go on.
    StopCampaign(CampaignId),
    /// Makes a campaign (stopped) with the settings of another.
    CopyCampaign {
        /// Which.
        campaign: CampaignId,
        /// Its name.
        name: String,
    },
    /// Asks which leads are held ready, in the order in which they are dialled.
    LookIntoHopper {
        /// Of which campaign.
        campaign: CampaignId,
        /// So many at most.
        limit: u32,
    },
    /// Takes preview tasks back from agents; their leads wait behind all others.
    TakeBackTasks {
        /// Of which campaign.
        campaign: CampaignId,
        /// From whom; `None`: from all.
        agent: Option<AgentId>,
    },
    /// Calls a number for an agent, agent leg first.
    Originate(OriginateRequest),
    /// Ends a call.
    Hangup(CallId),
    /// Does something with a live call.
    Call {
        /// Which.
        call: CallId,
        /// What.
        wish: crate::participant::CallWish,
    },
    /// Says how a call went; ends the agent's after-call work.
    SetDisposition {
        /// Which call.
        call: CallId,
        /// What is said.
        said: Said,
    },
    /// Promises a callback to a lead, or moves the one it has.
    SetCallback(Box<CallbackRequest>),
    /// Takes the callback of a lead back.
    CancelCallback {
        /// The lead, as stored.
        lead: Box<Lead>,
        /// Refuse unless this is the current version of the callback.
        if_version: Option<u32>,
    },
    /// Lets go of the leads of a person who is about to be erased: none of them is dialled again. Refused while one of
    /// them, or the number, is in a call.
    LetGoOfPerson {
        /// The person's number, E.164.
        number: String,
        /// Their leads.
        leads: Vec<LeadId>,
    },
    /// Dials a preview task.
    TaskDial {
        /// Which.
        task: TaskId,
        /// The place of the lead's number to dial, from 0; `None`: the next one.
        phone: Option<u32>,
    },
    /// Gives a preview task back.
    TaskSkip(TaskId),
    /// So many inbound calls wait for the agents of a group; outbound holds back.
    SetInboundWaiting {
        /// Whose agents; `None`: all.
        group: Option<String>,
        /// How many.
        waiting: u32,
        /// Holds for so long unless told anew, milliseconds.
        for_ms: u32,
    },
    /// A webhook is no longer served; tells the event.
    WebhookDisabled {
        /// Which.
        webhook: WebhookId,
        /// Why.
        reason: String,
    },
    /// A recording was deleted; tells the event.
    RecordingDeleted {
        /// Which.
        recording: RecordingId,
        /// Of which call.
        call: CallId,
        /// In whose campaign …
        campaign: Option<CampaignId>,
        /// … and with whom.
        agent: Option<AgentId>,
        /// `request`, `retention` or `erasure`.
        reason: &'static str,
    },
    /// What was too old was forgotten; tells the event.
    RetentionApplied {
        /// `recordings`, `records` or `audit`.
        kind: &'static str,
        /// How many.
        count: u64,
        /// Those from before this time.
        before: WallTime,
    },
    /// No new work; live calls may finish within the deadline, then they are hung up.
    Drain {
        /// How long live calls may go on.
        deadline: Duration,
    },
    /// Takes new work again.
    Undrain,
    /// Hangs up everything now (second signal).
    StopNow,
}

/// A callback to be promised or moved.
#[derive(Clone, PartialEq, Debug)]
pub struct CallbackRequest {
    /// The lead, as stored.
    pub lead: Lead,
    /// What is promised.
    pub promise: Callback,
    /// It has one, which is moved; else it has none.
    pub moves: bool,
    /// Refuse unless this is the current version of the callback.
    pub if_version: Option<u32>,
}

/// A click-to-call.
#[derive(Clone, PartialEq, Debug)]
pub struct OriginateRequest {
    /// The agent who will talk; rung (or joined through the nailed-up session) first.
    pub agent: AgentId,
    /// The lead that is called by hand, as stored; the call counts as an attempt of it.
    pub lead: Option<Box<Lead>>,
    /// Where no lead is named: the one that has the number, as stored. What forbids a call to it forbids this call, which
    /// counts in its limits per time and is no attempt of it otherwise.
    pub known: Option<Box<Lead>>,
    /// Number to dial, E.164; with a lead one of its numbers.
    pub to: String,
    /// Caller ID shown.
    pub caller_id: Option<String>,
    /// … or a number of this pool, chosen so.
    pub caller_id_pool: Option<(CallerIdPoolId, OwnUse)>,
    /// Over this trunk; `None`: any that can.
    pub trunk: Option<TrunkId>,
    /// Counted for this campaign (records, caller ID, timers).
    pub campaign: Option<CampaignId>,
    /// The customer's phone rings at most this long, milliseconds.
    pub ring_timeout_ms: Option<u32>,
    /// Record it.
    pub record: bool,
    /// Both hear this prompt, which says that the call is recorded, as soon as they are joined.
    pub notice: Option<String>,
    /// The client's own mark, told in every event.
    pub client_state: Option<String>,
    /// Dial although a rule of compliance forbids it, for this reason; who asks may do so.
    pub override_reason: Option<String>,
}

/// What a granted wish gives.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// Done; nothing to tell.
    Done,
    /// A trunk was made or changed; its version.
    Trunk(TrunkId, u32),
    /// An agent was made or changed; its version.
    Agent(AgentId, u32),
    /// A list was made or changed; its version.
    List(ListId, u32),
    /// A do-not-call list was made or changed; its version.
    DncList(DncListId, u32),
    /// A pool of caller IDs was made or changed; its version.
    CallerIdPool(CallerIdPoolId, u32),
    /// A route of inbound calls was made or changed; its version.
    InboundRoute(InboundRouteId, u32),
    /// The calendar and its version.
    Calendar(CalendarId, u32),
    /// So many.
    Count(u64),
    /// These leads.
    Leads(Vec<LeadId>),
    /// A campaign was made or changed; its version.
    Campaign(CampaignId, u32),
    /// The callback of a lead was set; its version.
    Callback(LeadId, u32),
    /// A call was accepted.
    Call(CallId),
    /// Someone takes part in a call by this leg.
    Leg(LegId),
    /// A fork was ordered.
    Fork(ForkId),
    /// The recording that was asked for, or that the wish was about.
    Recording(RecordingId),
}

/// Why a wish is refused.
#[derive(Clone, PartialEq, Debug)]
pub enum CommandError {
    /// There is no such thing.
    NotFound {
        /// What sort: `campaign`, `agent`, …
        what: &'static str,
    },
    /// A field has a bad value.
    Invalid {
        /// JSON pointer, `/timers/ring_max_ms`.
        pointer: String,
        /// What is wrong and what is expected.
        expected: String,
    },
    /// Another thing has this name.
    Conflict {
        /// JSON pointer of the field.
        pointer: String,
        /// What is in the way.
        detail: String,
    },
    /// Not possible for a call in this state.
    InvalidCallState {
        /// Its state.
        state: CallState,
        /// What is missing.
        detail: String,
    },
    /// Not possible for an agent in this state.
    InvalidAgentState {
        /// Its state.
        state: AgentState,
        /// What is missing.
        detail: String,
    },
    /// Not possible in the thing's present state.
    InvalidState {
        /// What is missing.
        detail: String,
    },
    /// The version asked for is not the current one.
    VersionMismatch {
        /// The current one.
        current: u32,
    },
    /// A rule of compliance forbids it.
    Compliance {
        /// Which: `dnc`, `calling_window`, `time_zone_unknown`, `frequency`.
        rule: &'static str,
        /// What is in the way.
        detail: String,
    },
    /// The node drains.
    Draining,
    /// A limit is reached.
    Limit {
        /// Which.
        what: &'static str,
    },
    /// Records cannot be written now.
    StoreUnavailable,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::NotFound { what } => write!(f, "no such {what}"),
            CommandError::Invalid { pointer, expected } => write!(f, "{pointer}: {expected}"),
            CommandError::Conflict { pointer, detail } => write!(f, "{pointer}: {detail}"),
            CommandError::InvalidCallState { state, detail } => {
                write!(f, "not possible while the call is {}: {detail}", state.as_str())
            }
            CommandError::InvalidAgentState { state, detail } => {
                write!(f, "not possible while the agent is {}: {detail}", state.as_str())
            }
            CommandError::InvalidState { detail } => f.write_str(detail),
            CommandError::VersionMismatch { current } => write!(f, "the current version is {current}"),
            CommandError::Compliance { detail, .. } => f.write_str(detail),
            CommandError::Draining => f.write_str("this node is draining and takes no new work"),
            CommandError::Limit { what } => write!(f, "limit reached: {what}"),
            CommandError::StoreUnavailable => f.write_str("records cannot be written now"),
        }
    }
}
impl std::error::Error for CommandError {}
