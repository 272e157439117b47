//! Calls and their records on the wire.

use super::call_media::{Detection, EarlyMediaDetail, LegMedia};
use super::campaign::{CallerIdChoice, DialMode, core_caller_id};
use super::conduct::{Participant, PastParticipant};
use super::fork::CallFork;
use super::leg::{Leg, legs};
use super::recording::CallRecording;
use super::{Classification, Evidence, Outcome, Party, wire_enum};
use crate::extract::Checks;
use crate::mask::Masker;
use crate::numbers::normalise;
use crate::problem::Problem;
use crate::time::Time;
use dialer_core::command::OriginateRequest as CoreOriginate;
use dialer_core::disposition::Said;
use dialer_core::record::{CallKindTag, Lead};
use dialer_core::view::CallView;
use dialer_core::{AgentId, CallRecord, CampaignId, LeadId, TrunkId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::{CallRow, Disposition as CoreDisposition};
use utoipa::ToSchema;

wire_enum! {
    /// What sort of call.
    CallKind = dialer_core::record::CallKindTag {
        /// Dialled by a campaign.
        Campaign,
        /// Dialled by the API, agent leg first.
        ClickToCall,
        /// Passed from one trunk to another.
        Transit,
        /// Came in on a number of ours: `to` is that number, `caller_id` the caller's.
        Inbound,
    }
}

/// Which way a call went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallDirection {
    /// We called: a campaign, or somebody by the API.
    Outbound,
    /// A caller called a number of ours.
    Inbound,
    /// It passed from one trunk to another.
    Transit,
}

impl CallDirection {
    /// By its name on the wire.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "outbound" => Some(CallDirection::Outbound),
            "inbound" => Some(CallDirection::Inbound),
            "transit" => Some(CallDirection::Transit),
            _ => None,
        }
    }

    /// Calls that go so.
    #[must_use]
    pub const fn kinds(self) -> &'static [CallKindTag] {
        match self {
            CallDirection::Outbound => &[CallKindTag::Campaign, CallKindTag::ClickToCall],
            CallDirection::Inbound => &[CallKindTag::Inbound],
            CallDirection::Transit => &[CallKindTag::Transit],
        }
    }
}

impl From<CallDirection> for store::Direction {
    fn from(direction: CallDirection) -> Self {
        match direction {
            CallDirection::Outbound => store::Direction::Outbound,
            CallDirection::Inbound => store::Direction::Inbound,
            CallDirection::Transit => store::Direction::Transit,
        }
    }
}

impl From<CallKind> for CallDirection {
    fn from(kind: CallKind) -> Self {
        match kind {
            CallKind::Campaign | CallKind::ClickToCall => CallDirection::Outbound,
            CallKind::Inbound => CallDirection::Inbound,
            CallKind::Transit => CallDirection::Transit,
        }
    }
}

wire_enum! {
    /// What early media was heard to be.
    EarlyMedia = dialer_core::outcome::EarlyMediaClass {
        /// Ringback tone.
        Ringback,
        /// Busy tone.
        Busy,
        /// Congestion tone.
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
}

/// Where a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Accepted.
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
    /// Joined before, and set aside without an agent.
    Parked,
    /// Over; see `record`.
    Ended,
}

impl From<dialer_core::view::CallState> for CallState {
    fn from(state: dialer_core::view::CallState) -> Self {
        use dialer_core::view::CallState as Core;
        match state {
            Core::Queued => CallState::Queued,
            Core::CallingAgent => CallState::CallingAgent,
            Core::Dialing => CallState::Dialing,
            Core::Ringing => CallState::Ringing,
            Core::Waiting => CallState::Waiting,
            Core::Offering => CallState::Offering,
            Core::Bridged => CallState::Bridged,
            Core::Message => CallState::Message,
            Core::Ending => CallState::Ending,
            Core::Parked => CallState::Parked,
        }
    }
}

/// How a call is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OriginateMode {
    /// The agent's phone first, then the customer's.
    #[default]
    AgentFirst,
}

/// Which channels a recording has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// Customer left, agent right.
    #[default]
    Stereo,
}

/// The prompt that says that a call is recorded.
const RECORDING_NOTICE: &str = "recording_notice";

/// How a call is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordSettings {
    /// Which channels.
    #[serde(default)]
    pub channels: Channels,
    /// Both hear the prompt `recording_notice` as soon as they are joined. There must be one of that name.
    #[serde(default)]
    pub announce: bool,
}

/// Whether and how a call is recorded: true, false, or settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected true, false or an object with channels and announce")]
pub enum RecordChoice {
    /// With the usual settings, or not at all.
    Flag(bool),
    /// With these settings.
    Settings(RecordSettings),
}

/// What is listened to in an agent-first call: the agent hears the line from the first ring on, so nothing is
/// decided by detection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OriginateAmd {
    /// Nothing.
    #[default]
    Off,
    /// The same as `off` here: the agent is on the line before the answer.
    Async,
}

/// What is listened to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OriginateClassify {
    /// Early media reaches the agent, always.
    #[serde(default)]
    pub early_media: Option<bool>,
    /// Answering-machine detection.
    #[serde(default)]
    pub amd: OriginateAmd,
}

/// A click-to-call.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OriginateRequest {
    /// How it is made.
    #[serde(default)]
    pub mode: OriginateMode,
    /// The agent who will talk.
    #[schema(value_type = String, example = "agt_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub agent_id: AgentId,
    /// Number to dial; E.164, or written as in the node's default region. May be left out with `lead_id`.
    #[serde(default)]
    #[schema(example = "+8613800138000")]
    pub to: Option<String>,
    /// The lead that is called by hand: the call counts as an attempt of it.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "lead_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub lead_id: Option<LeadId>,
    /// With `lead_id` and without `to`: the place of its number to dial, from 0; null: the next one.
    #[serde(default)]
    #[schema(maximum = 9)]
    pub phone: Option<u32>,
    /// Caller ID shown: a number, or a pool whose numbers are shown; null: the campaign's or trunk's.
    #[serde(default)]
    pub caller_id: Option<CallerIdChoice>,
    /// Over this trunk; null: any that can.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub trunk_id: Option<TrunkId>,
    /// Counted for this campaign.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub campaign_id: Option<CampaignId>,
    /// The customer's phone rings at most this long.
    #[serde(default)]
    #[schema(minimum = 1_000, maximum = 180_000)]
    pub ring_timeout_ms: Option<u32>,
    /// Whether it is recorded; true if absent.
    #[serde(default = "recorded")]
    pub record: RecordChoice,
    /// What is listened to.
    #[serde(default)]
    pub classify: OriginateClassify,
    /// The client's own mark, told in every event; at most 1,024 characters.
    #[serde(default)]
    pub client_state: Option<String>,
    /// Dial although a rule of compliance forbids it (do-not-call list, calling windows), for this reason, which is
    /// told by `compliance.overridden`. Needs the scope `compliance:override`.
    #[serde(default)]
    #[schema(max_length = 256)]
    pub compliance_override: Option<String>,
    /// Shown with the call while it lives; at most 50 texts of 1,024 characters.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
}

fn recorded() -> RecordChoice {
    RecordChoice::Flag(true)
}

impl OriginateRequest {
    /// The number that is meant: the one that is named, or one of the lead's.
    fn number(&self, region: Option<&str>, lead: Option<&Lead>, checks: &mut Checks) -> Option<String> {
        let of_lead = |lead: &Lead| {
            let place = self.phone.unwrap_or(lead.progress.next_phone.min(lead.phones.len() as u32 - 1));
            lead.phones.get(place as usize).map(|phone| phone.number.clone())
        };
        match (&self.to, lead) {
            (Some(to), _) => {
                checks.that(self.phone.is_none(), "/phone", "expected to or phone, not both");
                let number = normalise(to, region);
                if let Err(fault) = &number {
                    checks.wrong("/to", fault.detail());
                }
                number.ok()
            }
            (None, Some(lead)) if !lead.phones.is_empty() => {
                let number = of_lead(lead);
                checks.that(number.is_some(), "/phone", "the lead has no such number");
                number
            }
            (None, _) => {
                checks.wrong("/to", "expected a number to dial, or lead_id");
                None
            }
        }
    }

    /// The prompt that says that the call is recorded, where it is to be said.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        matches!(self.record, RecordChoice::Settings(RecordSettings { announce: true, .. }))
            .then(|| RECORDING_NOTICE.to_owned())
    }

    /// The command and the variables.
    ///
    /// # Errors
    /// Which fields do not fit.
    pub fn into_command(
        self,
        region: Option<&str>,
        lead: Option<Lead>,
    ) -> Result<(CoreOriginate, BTreeMap<String, String>), Problem> {
        let mut checks = Checks::default();
        let to = self.number(region, lead.as_ref(), &mut checks);
        let notice = self.notice();
        let shown = core_caller_id(self.caller_id, None, &mut checks);
        if let Some(ring) = self.ring_timeout_ms {
            checks.range(ring, 1_000, 180_000, "/ring_timeout_ms");
        }
        let record = !matches!(self.record, RecordChoice::Flag(false));
        if let Some(mark) = &self.client_state {
            checks.that(mark.chars().count() <= 1_024, "/client_state", "expected at most 1024 characters");
        }
        if let Some(reason) = &self.compliance_override {
            checks.text(reason, 256, "/compliance_override");
        }
        let variables_fit = self.variables.len() <= 50
            && self.variables.iter().all(|(name, text)| name.len() <= 128 && text.chars().count() <= 1_024);
        checks.that(variables_fit, "/variables", "expected at most 50 texts of at most 1024 characters");
        checks.finish()?;
        let command = CoreOriginate {
            agent: self.agent_id,
            lead: lead.map(Box::new),
            known: None,
            to: to.unwrap_or_default(),
            caller_id: shown.number,
            caller_id_pool: shown.pool.map(|pool| (pool, shown.own.unwrap_or_default())),
            trunk: self.trunk_id,
            campaign: self.campaign_id,
            ring_timeout_ms: self.ring_timeout_ms,
            record,
            notice,
            client_state: self.client_state,
            override_reason: self.compliance_override,
        };
        Ok((command, self.variables))
    }
}

/// Who redials.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedialRequest {
    /// The agent who will talk; null: the one who had the call.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub agent_id: Option<AgentId>,
    /// Another number of the call's lead, by its place from 0; null: the number of the call.
    #[serde(default)]
    #[schema(maximum = 9)]
    pub phone: Option<u32>,
    /// The client's own mark of the new call.
    #[serde(default)]
    pub client_state: Option<String>,
}

impl RedialRequest {
    /// As a click-to-call.
    #[must_use]
    pub fn originate(self, record: &CallRecord, agent: AgentId) -> OriginateRequest {
        OriginateRequest {
            mode: OriginateMode::default(),
            agent_id: agent,
            to: self.phone.is_none().then(|| record.to.clone()),
            lead_id: record.lead,
            phone: self.phone,
            caller_id: None,
            trunk_id: None,
            campaign_id: record.campaign,
            ring_timeout_ms: None,
            record: recorded(),
            classify: OriginateClassify::default(),
            client_state: self.client_state,
            compliance_override: None,
            variables: BTreeMap::new(),
        }
    }
}

/// A call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Call {
    /// Its name.
    #[schema(example = "call_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// Where it is.
    pub state: CallState,
    /// What sort.
    pub kind: CallKind,
    /// Which way it goes.
    pub direction: CallDirection,
    /// Its attempt.
    pub attempt_id: Option<String>,
    /// The campaign.
    pub campaign_id: Option<String>,
    /// The lead.
    pub lead_id: Option<String>,
    /// The agent.
    pub agent_id: Option<String>,
    /// The trunk.
    pub trunk_id: Option<String>,
    /// The trunk it came in on, while it lives, of a call that passes through.
    pub from_trunk_id: Option<String>,
    /// Number dialled.
    pub to: String,
    /// Caller ID.
    pub caller_id: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// When it was answered.
    pub answered_at: Option<Time>,
    /// When customer and agent were joined.
    pub bridged_at: Option<Time>,
    /// Who holds it.
    pub held_by: Option<Party>,
    /// Whom nobody hears.
    pub muted: Vec<Party>,
    /// Its legs.
    pub legs: Vec<Leg>,
    /// Who takes part besides customer and agent, while it lives.
    pub participants: Vec<Participant>,
    /// Its recording, while it runs.
    pub recording: Option<CallRecording>,
    /// Its sound goes to someone outside.
    pub fork: Option<CallFork>,
    /// The client's own mark.
    pub client_state: Option<String>,
    /// Variables given with the originate, while it lives.
    pub variables: BTreeMap<String, String>,
    /// Its record, once it ended.
    pub record: Option<Cdr>,
}

impl Call {
    /// A live one, as the caller may see it.
    #[must_use]
    pub fn live(view: &CallView, variables: &BTreeMap<String, String>, mask: Masker) -> Self {
        Call {
            id: view.id.to_string(),
            state: view.state.into(),
            kind: view.kind.into(),
            direction: CallKind::from(view.kind).into(),
            attempt_id: view.attempt.map(|id| id.to_string()),
            campaign_id: view.campaign.map(|id| id.to_string()),
            lead_id: view.lead.map(|id| id.to_string()),
            agent_id: view.agent.map(|id| id.to_string()),
            trunk_id: view.trunk.map(|id| id.to_string()),
            from_trunk_id: view.from_trunk.map(|id| id.to_string()),
            to: mask.number(&view.to),
            caller_id: mask.number_option(view.caller_id.as_deref()),
            created_at: view.started_at.into(),
            answered_at: view.answered_at.map(Time),
            bridged_at: view.bridged_at.map(Time),
            held_by: view.held_by.map(Party::from),
            muted: view.muted.iter().copied().map(Party::from).collect(),
            legs: legs(view),
            participants: view.participants.iter().map(|one| Participant::new(one, mask)).collect(),
            recording: view.recording.map(CallRecording::from),
            fork: view.fork.as_ref().map(CallFork::new),
            client_state: mask.text_option(view.client_state.as_deref()),
            variables: masked_fields(variables, mask),
            record: None,
        }
    }

    /// One that is over.
    #[must_use]
    pub fn ended(row: &CallRow, mask: Masker) -> Self {
        let record = Cdr::new(row, mask);
        Call {
            id: record.call_id.clone(),
            state: CallState::Ended,
            kind: record.kind,
            direction: record.direction,
            attempt_id: record.attempt_id.clone(),
            campaign_id: record.campaign_id.clone(),
            lead_id: record.lead_id.clone(),
            agent_id: record.agent_id.clone(),
            trunk_id: record.trunk_id.clone(),
            from_trunk_id: None,
            to: record.to.clone(),
            caller_id: record.caller_id.clone(),
            created_at: record.started_at,
            answered_at: record.answered_at,
            bridged_at: record.bridged_at,
            held_by: None,
            muted: Vec::new(),
            legs: Vec::new(),
            participants: Vec::new(),
            recording: None,
            fork: None,
            client_state: record.client_state.clone(),
            variables: BTreeMap::new(),
            record: Some(record),
        }
    }
}

/// A call that was accepted.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CallAccepted {
    /// Its name.
    pub id: String,
    /// Where it is.
    pub state: CallState,
    /// Its legs so far: the agent's, and the customer's where the agent is on the line already.
    pub legs: Vec<Leg>,
    /// The agent.
    pub agent_id: String,
    /// The client's own mark.
    pub client_state: Option<String>,
    /// When it was accepted.
    pub created_at: Time,
}

/// A command on a call; may be empty.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallCommandRequest {
    /// The client's own name of the command, 1 to 128 characters; made up if absent. How it came out is told by
    /// `command.completed` or `command.failed`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    pub command_id: Option<String>,
}

/// A command that was accepted.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CallCommandAccepted {
    /// Name of the command.
    pub command_id: String,
    /// The call.
    pub call_id: String,
}

/// How a call went.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DispositionRequest {
    /// One of the campaign's dispositions, or any word if it names none; 1 to 64 characters.
    #[schema(example = "sale")]
    pub code: String,
    /// Free text, at most 4,096 characters.
    #[serde(default)]
    pub notes: Option<String>,
    /// Call the customer again then.
    #[serde(default)]
    pub callback_at: Option<Time>,
    /// Who is to call then; `anyone` if absent.
    #[serde(default)]
    pub callback_by: Option<CallbackBy>,
    /// Who or what answered, as the agent heard it. What machine detection got wrong is counted
    /// (`amd_overruled_total`).
    #[serde(default)]
    pub answered_by: Option<Classification>,
    /// What the disposition asks for, and anything else worth keeping with the call; at most 32.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
}

/// Who makes a promised callback.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallbackBy {
    /// Any agent.
    Anyone,
    /// The agent who talked.
    Agent,
}

/// Fields of a disposition as the caller may see them.
pub(crate) fn masked_fields(fields: &BTreeMap<String, String>, mask: Masker) -> BTreeMap<String, String> {
    fields.iter().map(|(name, value)| (mask.text(name), mask.text(value))).collect()
}

impl DispositionRequest {
    /// Checked.
    ///
    /// # Errors
    /// Which fields do not fit.
    pub fn checked(self) -> Result<Self, Problem> {
        let mut checks = Checks::default();
        checks.text(&self.code, 64, "/code");
        let notes_fit = self.notes.as_ref().is_none_or(|notes| notes.chars().count() <= 4_096);
        checks.that(notes_fit, "/notes", "expected at most 4096 characters");
        let heard = self.answered_by != Some(Classification::Unsure);
        checks.that(heard, "/answered_by", "expected human, machine, fax or screening");
        checks.finish()?;
        Ok(self)
    }

    /// As the dialer takes it.
    #[must_use]
    pub fn into_said(self) -> Said {
        Said {
            code: self.code,
            notes: self.notes,
            fields: self.fields,
            callback_at: self.callback_at.map(|time| time.0),
            callback_by_agent: self.callback_by == Some(CallbackBy::Agent),
            answered_by: self.answered_by.map(Into::into),
        }
    }
}

/// What an agent said about a call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Disposition {
    /// The code.
    pub code: String,
    /// Free text.
    pub notes: Option<String>,
    /// Wanted callback.
    pub callback_at: Option<Time>,
    /// Who is to call then.
    pub callback_by: Option<CallbackBy>,
    /// Fields filled in.
    pub fields: BTreeMap<String, String>,
    /// When it was said.
    pub at: Time,
}

impl Disposition {
    fn new(disposition: &CoreDisposition, mask: Masker) -> Self {
        Disposition {
            code: disposition.code.clone(),
            notes: mask.text_option(disposition.notes.as_deref()),
            callback_at: disposition.callback_at.map(Time),
            callback_by: disposition
                .callback_at
                .map(|_| if disposition.callback_by_agent { CallbackBy::Agent } else { CallbackBy::Anyone }),
            fields: masked_fields(&disposition.fields, mask),
            at: disposition.at.into(),
        }
    }
}

/// A call's whole story.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Cdr {
    /// The call.
    pub call_id: String,
    /// Its attempt.
    pub attempt_id: Option<String>,
    /// The campaign.
    pub campaign_id: Option<String>,
    /// The lead.
    pub lead_id: Option<String>,
    /// The agent.
    pub agent_id: Option<String>,
    /// The trunk of the customer leg.
    pub trunk_id: Option<String>,
    /// What sort of call.
    pub kind: CallKind,
    /// Which way it went.
    pub direction: CallDirection,
    /// Mode of the campaign.
    pub mode: Option<DialMode>,
    /// Number dialled.
    pub to: String,
    /// Caller ID shown.
    pub caller_id: Option<String>,
    /// Which attempt of the lead, from 1; 0 without a lead.
    pub attempt: u32,
    /// When it was made.
    pub started_at: Time,
    /// First ringing.
    pub ringing_at: Option<Time>,
    /// Customer's answer.
    pub answered_at: Option<Time>,
    /// Customer and agent joined.
    pub bridged_at: Option<Time>,
    /// End.
    pub ended_at: Time,
    /// What became of it.
    pub outcome: Outcome,
    /// From what that was concluded.
    pub evidence: Evidence,
    /// Why it ended: `normal`, `busy`, `no_answer`, `node_restart` …
    pub cause: String,
    /// Who ended it.
    pub ended_by: Party,
    /// Final SIP code of the customer leg.
    pub sip_code: Option<u16>,
    /// Q.850 cause.
    pub q850: Option<u16>,
    /// Dialling to first ringing.
    pub pdd_ms: Option<u64>,
    /// First ringing to answer or end.
    pub ring_ms: Option<u64>,
    /// Answer to bridge.
    pub answer_to_bridge_ms: Option<u64>,
    /// Bridge to end.
    pub talk_ms: u64,
    /// Answer to end.
    pub billable_ms: u64,
    /// After-call work.
    pub wrap_up_ms: Option<u64>,
    /// Human or machine.
    pub classification: Option<Classification>,
    /// What early media was.
    pub early_media: Option<EarlyMedia>,
    /// What that rests on.
    pub early_media_detail: Option<EarlyMediaDetail>,
    /// A live answer without an agent in time.
    pub abandoned: bool,
    /// The safe-harbour message was played to it.
    pub safe_harbour_played: bool,
    /// Digits the customer pressed; with `leads:pii` only, else their number as stars.
    pub digits: String,
    /// Its first recording.
    pub recording_id: Option<String>,
    /// All its recordings that are complete and kept, in the order in which they were completed; of a record told by an
    /// event, all that were begun, in this order.
    pub recordings: Vec<String>,
    /// The client's own mark.
    pub client_state: Option<String>,
    /// What the caller's signature was worth (STIR/SHAKEN): `passed:A`, `passed:B`, `passed:C`, `failed:absent`,
    /// `failed:stale` and so on; null where nobody looked.
    #[schema(example = "passed:A")]
    pub verstat: Option<String>,
    /// Why the peer has ended it, in its own words (Reason header, RFC 3326); null where it gave none but a Q.850 cause.
    pub reason: Option<EndReason>,
    /// The number or phone that the agent has given the customer to; null: nobody.
    pub transferred_to: Option<String>,
    /// What machine detection said, and why.
    pub detection: Option<Detection>,
    /// How each answered leg sounded.
    pub media: Vec<LegMedia>,
    /// Supervisors and third parties, in the order in which they left.
    pub participants: Vec<PastParticipant>,
    /// What the agent said about it.
    pub disposition: Option<Disposition>,
}

/// What the Reason header of a CANCEL, BYE or final response said beside a Q.850 cause.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EndReason {
    /// Cause of protocol SIP; 200 says that another has taken the call.
    pub sip_code: Option<u16>,
    /// Its text.
    #[schema(example = "Call completed elsewhere")]
    pub text: Option<String>,
}

impl Cdr {
    /// A stored one, as the caller may see it.
    #[must_use]
    pub fn new(row: &CallRow, mask: Masker) -> Self {
        let mut cdr = Self::of_record(&row.record, mask);
        cdr.wrap_up_ms = row.wrap_up_ms;
        cdr.recordings = row.recordings.iter().map(ToString::to_string).collect();
        cdr.disposition = row.disposition.as_ref().map(|said| Disposition::new(said, mask));
        cdr
    }

    /// From the record alone.
    #[must_use]
    pub fn of_record(record: &CallRecord, mask: Masker) -> Self {
        let billable = record.answered_at.map_or(0, |answer| record.ended_at.millis_since(answer).max(0));
        let digits_hidden = mask == Masker::MASKED;
        Cdr {
            call_id: record.call.to_string(),
            attempt_id: record.attempt.map(|id| id.to_string()),
            campaign_id: record.campaign.map(|id| id.to_string()),
            lead_id: record.lead.map(|id| id.to_string()),
            agent_id: record.agent.map(|id| id.to_string()),
            trunk_id: record.trunk.map(|id| id.to_string()),
            kind: record.kind.into(),
            direction: CallKind::from(record.kind).into(),
            mode: record.mode.map(DialMode::from),
            to: mask.number(&record.to),
            caller_id: mask.number_option(record.caller_id.as_deref()),
            attempt: record.number_of_attempt,
            started_at: record.started_at.into(),
            ringing_at: record.ringing_at.map(Time),
            answered_at: record.answered_at.map(Time),
            bridged_at: record.bridged_at.map(Time),
            ended_at: record.ended_at.into(),
            outcome: record.outcome.into(),
            evidence: record.evidence.into(),
            cause: record.cause.as_str().to_owned(),
            ended_by: record.ended_by.into(),
            sip_code: record.sip_code,
            q850: record.q850,
            pdd_ms: record.pdd_ms,
            ring_ms: record.ring_ms,
            answer_to_bridge_ms: record.answer_to_bridge_ms,
            talk_ms: record.talk_ms,
            billable_ms: billable as u64,
            wrap_up_ms: None,
            classification: record.amd.map(Classification::from),
            early_media: record.early_media.map(EarlyMedia::from),
            early_media_detail: record.early_media_detail.as_ref().map(EarlyMediaDetail::from),
            abandoned: record.abandoned,
            safe_harbour_played: record.safe_harbour_played,
            digits: if digits_hidden {
                "*".repeat(record.digits.chars().count())
            } else {
                record.digits.clone()
            },
            recording_id: record.recording.map(|id| id.to_string()),
            recordings: record
                .recording
                .iter()
                .chain(&record.more_recordings)
                .map(ToString::to_string)
                .collect(),
            client_state: mask.text_option(record.client_state.as_deref()),
            verstat: record.verstat.clone(),
            reason: record.reason.as_ref().map(|reason| EndReason {
                sip_code: reason.sip_code,
                text: mask.text_option(reason.text.as_deref()),
            }),
            transferred_to: mask.number_option(record.transferred_to.as_deref()),
            detection: record.amd.zip(record.amd_detail).map(|(amd, detail)| Detection::new(amd, &detail)),
            media: record.media.iter().map(LegMedia::from).collect(),
            participants: record.participants.iter().map(|one| PastParticipant::new(one, mask)).collect(),
            disposition: None,
        }
    }
}
