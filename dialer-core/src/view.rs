//! Read snapshots for those who look: small copies, sent when they change.

use crate::caller_id::{Arm, CallerIdPoolRow, NumberView};
use crate::config::{CampaignState, DialMode, SessionKind};
use crate::fork::{ForkFormat, ForkTracks};
use crate::id::{
    AgentId, AttemptId, CallId, CallerIdPoolId, CampaignId, DncListId, ForkId, LeadId, LegId, RecordingId,
    TaskId, TrunkId,
};
use crate::outcome::Party;
use crate::participant::SupervisionMode;
use crate::record::{AgentRow, CallKindTag, CampaignRow, DncListRow, ListRow, TrunkRow};
use crate::recording::PauseBehavior;
use crate::tenant::Tenant;
use sansio::WallTime;
use serde::{Deserialize, Serialize};

/// A snapshot that replaces the one before it, or tells that its thing is gone.
#[derive(Clone, PartialEq, Debug)]
pub enum ViewChange {
    /// A trunk.
    Trunk(Box<TrunkView>),
    /// A trunk was deleted.
    TrunkGone(TrunkId),
    /// An agent.
    Agent(Box<AgentView>),
    /// An agent was deleted.
    AgentGone(AgentId),
    /// A list.
    List(Box<ListRow>),
    /// A list was deleted.
    ListGone(crate::id::ListId),
    /// A do-not-call list.
    DncList(Box<DncListView>),
    /// A do-not-call list was deleted.
    DncListGone(DncListId),
    /// A pool of caller IDs.
    CallerIdPool(Box<CallerIdPoolView>),
    /// A pool of caller IDs was deleted.
    CallerIdPoolGone(CallerIdPoolId),
    /// A route of inbound calls.
    InboundRoute(Box<crate::inbound::InboundRouteRow>),
    /// A route of inbound calls was deleted.
    InboundRouteGone(crate::id::InboundRouteId),
    /// A calendar.
    Calendar(Box<crate::calendar::CalendarRow>),
    /// A calendar was deleted.
    CalendarGone(crate::id::CalendarId),
    /// A campaign.
    Campaign(Box<CampaignView>),
    /// A campaign was deleted.
    CampaignGone(CampaignId),
    /// A live call.
    Call(Box<CallView>),
    /// A call ended (its record is in the store).
    CallGone(CallId),
    /// The node.
    Node(NodeView),
}

/// A do-not-call list now.
#[derive(Clone, PartialEq, Debug)]
pub struct DncListView {
    /// What is stored.
    pub row: DncListRow,
    /// Numbers and prefixes on it, with those that have lapsed.
    pub entries: u64,
}

/// A pool of caller IDs now; brought up to date every few seconds while it is used.
#[derive(Clone, PartialEq, Debug)]
pub struct CallerIdPoolView {
    /// What is stored.
    pub row: CallerIdPoolRow,
    /// Its numbers, in the order of the settings.
    pub numbers: Vec<NumberView>,
    /// Calls by its own strategy and by the one on trial.
    pub arms: [Arm; 2],
    /// When this was so.
    pub at: WallTime,
}

/// A trunk now.
#[derive(Clone, PartialEq, Debug)]
pub struct TrunkView {
    /// What is stored.
    pub row: TrunkRow,
    /// Answers (or is not asked).
    pub up: bool,
    /// Why it is down.
    pub down_reason: Option<String>,
    /// Registered; `None` when it does not register.
    pub registered: Option<bool>,
    /// Last OPTIONS round trip, milliseconds.
    pub options_rtt_ms: Option<f64>,
    /// Share of new calls that it has asked not to be sent, 0 to 100 percent.
    pub overload_loss_percent: u8,
    /// Calls on it.
    pub calls_active: u32,
}

/// What an agent is doing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// Not at work.
    LoggedOut,
    /// At work, but the phone (or its nailed-up session) is not up yet or any more.
    Unreachable,
    /// Free.
    Ready,
    /// Chosen for a call; the phone is not ringing yet.
    Reserved,
    /// The phone rings, or the agent looks at a preview task's dialling.
    Ringing,
    /// Looks at a preview task.
    Preview,
    /// In a call.
    Talking,
    /// In a call that is on hold.
    Hold,
    /// After-call work.
    WrapUp,
    /// On a break.
    Paused,
}

impl AgentState {
    /// All of them.
    pub const ALL: [AgentState; 10] = [
        AgentState::LoggedOut,
        AgentState::Unreachable,
        AgentState::Ready,
        AgentState::Reserved,
        AgentState::Ringing,
        AgentState::Preview,
        AgentState::Talking,
        AgentState::Hold,
        AgentState::WrapUp,
        AgentState::Paused,
    ];

    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            AgentState::LoggedOut => "logged_out",
            AgentState::Unreachable => "unreachable",
            AgentState::Ready => "ready",
            AgentState::Reserved => "reserved",
            AgentState::Ringing => "ringing",
            AgentState::Preview => "preview",
            AgentState::Talking => "talking",
            AgentState::Hold => "hold",
            AgentState::WrapUp => "wrap_up",
            AgentState::Paused => "paused",
        }
    }
}

/// An agent now.
#[derive(Clone, PartialEq, Debug)]
pub struct AgentView {
    /// What is stored.
    pub row: AgentRow,
    /// What the agent does.
    pub state: AgentState,
    /// Since when.
    pub since: WallTime,
    /// When the state ends by itself (wrap-up).
    pub expires_at: Option<WallTime>,
    /// Logged in, and how.
    pub session: Option<SessionKind>,
    /// Break code.
    pub pause_code: Option<String>,
    /// The phone is registered.
    pub registered: bool,
    /// It is registered and does not answer OPTIONS.
    pub silent: bool,
    /// In this call.
    pub call: Option<CallId>,
    /// Looks at this preview task.
    pub task: Option<TaskView>,
    /// Milliseconds spent in each state since login, in the order of [`AgentState::ALL`].
    pub state_ms: [u64; 10],
    /// Calls taken since login.
    pub calls_taken: u32,
}

/// A lead given to an agent to look at.
#[derive(Clone, PartialEq, Debug)]
pub struct TaskView {
    /// Its name.
    pub id: TaskId,
    /// Whose campaign.
    pub campaign: CampaignId,
    /// The lead.
    pub lead: LeadId,
    /// Its number.
    pub to: String,
    /// When it dials by itself.
    pub expires_at: Option<WallTime>,
    /// What the agent's screen is to show.
    pub pop: Box<crate::pop::ScreenPop>,
}

/// What limited the last decision of a campaign.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitedBy {
    /// Nothing: all that the forecast asked for was dialled.
    Nothing,
    /// No agent is logged in, ready or about to be.
    Agents,
    /// Lines of campaign or trunk.
    Lines,
    /// Calls per second of campaign or trunk.
    Cps,
    /// The forecast: another dial would be too likely to be abandoned.
    Risk,
    /// Too few answers were seen yet to forecast.
    ColdStart,
    /// More would be dialled than the pace of a ramp-up allows.
    Ramp,
    /// The team is too small to dial ahead: one call per idle agent.
    SmallTeam,
    /// Inbound calls wait for the same agents and go first.
    Inbound,
    /// The abandonment budget is spent.
    AbandonCap,
    /// Lines per agent.
    MaxLinesPerAgent,
    /// No lead is ready to be dialled.
    Hopper,
    /// The calling hours end before another call could be answered.
    ShiftEnd,
    /// Outside calling hours.
    Window,
    /// The campaign is paused or stopped.
    Paused,
    /// No trunk is up.
    Trunk,
    /// The node drains.
    Draining,
    /// The store does not take records.
    Store,
    /// The lead may not be called now.
    Compliance,
    /// No number of the campaign's pool of caller IDs may be shown now.
    CallerIds,
    /// Preview campaigns of the same agents go first.
    Share,
}

impl LimitedBy {
    /// All of them.
    pub const ALL: [LimitedBy; 21] = [
        LimitedBy::Nothing,
        LimitedBy::Agents,
        LimitedBy::Lines,
        LimitedBy::Cps,
        LimitedBy::Risk,
        LimitedBy::ColdStart,
        LimitedBy::Ramp,
        LimitedBy::SmallTeam,
        LimitedBy::Inbound,
        LimitedBy::AbandonCap,
        LimitedBy::MaxLinesPerAgent,
        LimitedBy::Hopper,
        LimitedBy::ShiftEnd,
        LimitedBy::Window,
        LimitedBy::Paused,
        LimitedBy::Trunk,
        LimitedBy::Draining,
        LimitedBy::Store,
        LimitedBy::Compliance,
        LimitedBy::CallerIds,
        LimitedBy::Share,
    ];

    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            LimitedBy::Nothing => "nothing",
            LimitedBy::Agents => "agents",
            LimitedBy::Lines => "lines",
            LimitedBy::Cps => "cps",
            LimitedBy::Risk => "risk",
            LimitedBy::ColdStart => "cold_start",
            LimitedBy::Ramp => "ramp",
            LimitedBy::SmallTeam => "small_team",
            LimitedBy::Inbound => "inbound",
            LimitedBy::AbandonCap => "abandon_cap",
            LimitedBy::MaxLinesPerAgent => "max_lines_per_agent",
            LimitedBy::Hopper => "hopper",
            LimitedBy::ShiftEnd => "shift_end",
            LimitedBy::Window => "window",
            LimitedBy::Paused => "paused",
            LimitedBy::Trunk => "trunk",
            LimitedBy::Draining => "draining",
            LimitedBy::Store => "store",
            LimitedBy::Compliance => "compliance",
            LimitedBy::CallerIds => "caller_ids",
            LimitedBy::Share => "share",
        }
    }
}

/// A campaign's last pacing decision and where its budget stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PacingReport {
    /// When.
    pub at: WallTime,
    /// Agents of the campaign by state.
    pub agents_ready: u32,
    /// Reserved or ringing.
    pub agents_ringing: u32,
    /// Talking or holding.
    pub agents_talking: u32,
    /// After-call work.
    pub agents_wrap_up: u32,
    /// On a break.
    pub agents_paused: u32,
    /// Dials in flight after the decision.
    pub dialing: u32,
    /// Dials made by it.
    pub dialled_now: u32,
    /// Dials in flight it wanted.
    pub target: u32,
    /// In flight per agent who is ready or about to be.
    pub lines_per_agent: f64,
    /// Believed probability that a dial is answered.
    pub answer_probability: f64,
    /// Abandonment ledger in the campaign's window.
    pub live: u64,
    /// Of these without an agent in time.
    pub abandoned: u64,
    /// abandoned ÷ live, 0 without live answers.
    pub abandonment_rate: f64,
    /// Abandonments the budget still bears.
    pub budget_remaining: f64,
    /// Forecast live answers within the horizon.
    pub forecast_answers: f64,
    /// Forecast free agents within the horizon.
    pub forecast_free_agents: f64,
    /// What limited it.
    pub limited_by: LimitedBy,
    /// What else it looked at and found.
    #[serde(default)]
    pub detail: PacingDetail,
}

/// The rest of a decision: its inputs and the numbers in between. What a mode does not use is 0.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PacingDetail {
    /// The mode it was made in: the campaign's, or that of small teams.
    pub mode: DialMode,
    /// The campaign's mode gave way because the team is small.
    pub small_team: bool,
    /// Dials it allowed before leads and trunks had their say.
    pub wanted: u32,
    /// Ringing calls it gave up.
    pub cancelled: u32,
    /// Answered calls that waited for an agent.
    pub waiting: u32,
    /// Lines that could be taken.
    pub lines_free: u32,
    /// Calls that could start under the calls-per-second limits.
    pub cps_allowance: u32,
    /// Leads ready.
    pub hopper: u32,
    /// Inbound calls that waited for the same agents.
    pub inbound_waiting: u32,
    /// Seconds to the end of the calling hours.
    pub shift_left_s: Option<u64>,
    /// Standard deviation of the believed answer probability.
    pub answer_probability_sd: f64,
    /// Median time from dialling to a live answer, seconds: the horizon.
    pub answer_time_s: f64,
    /// Probability that the first call not dialled would have found no agent.
    pub risk_next: f64,
    /// The greatest risk a dial could run.
    pub risk_limit: f64,
    /// Abandonment rate aimed at for what is left of the window.
    pub target: f64,
    /// Abandonments that may still happen in it, by forecast and less a reserve.
    pub budget: f64,
    /// Realised ÷ forecast abandonments lately.
    pub bias: f64,
    /// Answers in the last 24 hours, and of these abandoned.
    pub day: (u64, u64),
    /// … in the last 30 days.
    pub month: (u64, u64),
    /// … and of the calendar month.
    pub calendar_month: (u64, u64),
    /// … of all campaigns that share the budget, in the campaign's window.
    pub group: Option<(u64, u64)>,
    /// Share of people whom machine detection is taken to mistake for machines.
    pub false_machine: f64,
    /// The abandonment rate with those counted.
    pub abandonment_rate_estimated: f64,
    /// Forecast against outcome since the node started.
    pub accuracy: ForecastAccuracy,
}

/// What was forecast against what came, summed up.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ForecastAccuracy {
    /// Looks ahead that have come to their end; each one reaches as far as the median answer time.
    pub looks: u64,
    /// Live answers they forecast from the calls that were in flight …
    pub answers_forecast: f64,
    /// … and how many came from these in that time.
    pub answers_seen: u64,
    /// Busy agents they forecast to become free …
    pub freed_forecast: f64,
    /// … and how many did.
    pub freed_seen: u64,
    /// Sum of |answers forecast − answers seen| over the looks.
    pub answers_error: f64,
    /// Abandonments that the calls answered so far were forecast to bring (their risks when they were dialled,
    /// corrected by how wrong such risks were lately) …
    pub abandons_forecast: f64,
    /// … and how many came.
    pub abandons_seen: u64,
    /// Forecast answers less answers seen, smoothed over about ten looks.
    pub error_lately: f64,
}

/// Counts of a campaign since the node started. (Those since it was made are the store's to sum up.)
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct CampaignCounts {
    /// Attempts made.
    pub attempts: u64,
    /// Answered (by anyone or anything).
    pub answers: u64,
    /// Joined to an agent.
    pub connected: u64,
    /// Abandoned.
    pub abandoned: u64,
    /// Machines.
    pub machines: u64,
    /// Calls ended, by outcome (order of `Outcome::ALL`).
    pub outcomes: [u64; 21],
    /// Sum of talk time, milliseconds.
    pub talk_ms: u64,
}

/// A campaign now.
#[derive(Clone, PartialEq, Debug)]
pub struct CampaignView {
    /// What is stored.
    pub row: CampaignRow,
    /// Leads in the hopper.
    pub hopper: u32,
    /// Calls ringing.
    pub dialing: u32,
    /// Answered calls waiting for an agent.
    pub waiting: u32,
    /// Calls with an agent.
    pub talking: u32,
    /// Counts since the node started (attempts, outcomes …).
    pub counts: CampaignCounts,
    /// The last decision.
    pub pacing: Option<PacingReport>,
    /// What its pacer has learned; `None` before anything was.
    pub learned: Option<crate::pacing::Summary>,
    /// Leads that could be loaded into the hopper, as far as last seen: false when the lists ran dry.
    pub leads_available: bool,
}

/// Where a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Accepted, waiting for its journal entry or its agent.
    Queued,
    /// The agent's phone rings first (click-to-call).
    CallingAgent,
    /// The customer leg is dialled.
    Dialing,
    /// The customer's phone rings.
    Ringing,
    /// Answered, waiting for an agent.
    Waiting,
    /// An agent is being rung.
    Offering,
    /// Joined.
    Bridged,
    /// The safe-harbour message plays.
    Message,
    /// Ending.
    Ending,
    /// The customer is set aside, without an agent.
    Parked,
}

impl CallState {
    /// The name used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            CallState::Queued => "queued",
            CallState::CallingAgent => "calling_agent",
            CallState::Dialing => "dialing",
            CallState::Ringing => "ringing",
            CallState::Waiting => "waiting",
            CallState::Offering => "offering",
            CallState::Bridged => "bridged",
            CallState::Message => "message",
            CallState::Ending => "ending",
            CallState::Parked => "parked",
        }
    }
}

/// A live call.
#[derive(Clone, PartialEq, Debug)]
pub struct CallView {
    /// Its name.
    pub id: CallId,
    /// Whose it is; `None`: the operator's.
    pub tenant: Option<Tenant>,
    /// Its attempt.
    pub attempt: Option<AttemptId>,
    /// What sort.
    pub kind: CallKindTag,
    /// Where it is.
    pub state: CallState,
    /// The campaign.
    pub campaign: Option<CampaignId>,
    /// The lead.
    pub lead: Option<LeadId>,
    /// The agent.
    pub agent: Option<AgentId>,
    /// The trunk.
    pub trunk: Option<TrunkId>,
    /// The trunk it came in on, of a call that passes through.
    pub from_trunk: Option<TrunkId>,
    /// Number dialled.
    pub to: String,
    /// Caller ID.
    pub caller_id: Option<String>,
    /// When it was made.
    pub started_at: WallTime,
    /// When it was answered.
    pub answered_at: Option<WallTime>,
    /// When it was joined.
    pub bridged_at: Option<WallTime>,
    /// Who holds it.
    pub held_by: Option<Party>,
    /// Whom nobody hears.
    pub muted: Vec<Party>,
    /// Who takes part besides customer and agent.
    pub participants: Vec<ParticipantView>,
    /// Its recording, while it runs.
    pub recording: Option<RecordingView>,
    /// Its sound goes to someone outside.
    pub fork: Option<ForkView>,
    /// The client's own mark.
    pub client_state: Option<String>,
}

/// The running recording of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordingView {
    /// Its name.
    pub recording: RecordingId,
    /// Nothing is kept now.
    pub paused: Option<PauseBehavior>,
}

/// A fork of a call.
#[derive(Clone, PartialEq, Debug)]
pub struct ForkView {
    /// Its name.
    pub fork: ForkId,
    /// Where the sound goes, without what may be secret in it.
    pub url: String,
    /// In which words.
    pub format: ForkFormat,
    /// Which sound.
    pub tracks: ForkTracks,
    /// When it was asked for.
    pub asked_at: WallTime,
    /// When its connection was up.
    pub started_at: Option<WallTime>,
}

/// One who takes part in a call besides customer and agent.
#[derive(Clone, PartialEq, Debug)]
pub struct ParticipantView {
    /// Its leg.
    pub leg: LegId,
    /// Whose phone, if an agent's.
    pub agent: Option<AgentId>,
    /// The number called, if one was.
    pub to: Option<String>,
    /// How a supervisor takes part; `None`: a third party.
    pub mode: Option<SupervisionMode>,
    /// When it was called.
    pub asked_at: WallTime,
    /// When it answered.
    pub joined_at: Option<WallTime>,
}

/// The node now.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct NodeView {
    /// Takes no new work.
    pub draining: bool,
    /// Draining and no call left.
    pub drained: bool,
    /// Live calls.
    pub calls: u32,
    /// Records are being written.
    pub store_healthy: bool,
}

/// What mode a view's campaign dials in, for labels.
impl CampaignView {
    /// Its mode.
    #[must_use]
    pub fn mode(&self) -> DialMode {
        self.row.config.mode
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> CampaignState {
        self.row.state
    }
}
