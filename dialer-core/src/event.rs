//! Facts told to those above: the event stream.

use crate::config::{AmdMode, CampaignState, DialMode};
use crate::fork::{ForkEnd, ForkFormat, ForkTracks};
use crate::id::{
    AgentId, CallId, CallerIdPoolId, CampaignId, DncListId, EventId, ForkId, InboundRouteId, LeadId, LegId,
    ListId, RecordingId, TaskId, TrunkId, WebhookId,
};
use crate::outcome::{AmdEvidence, AmdVerdict, AudioState, EarlyMediaClass, EndCause, Outcome, Party};
use crate::participant::SupervisionMode;
use crate::pop::ScreenPop;
use crate::record::{CallRecord, LeadState};
use crate::recording::PauseBehavior;
use crate::tenant::Tenant;
use crate::view::{AgentState, LimitedBy, PacingReport};
use sansio::WallTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An event with its place in the stream. Numbers inside are whole; whoever shows them masks them by scope.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EventEnvelope {
    /// Its name.
    pub id: EventId,
    /// Place in the node's stream, strictly +1 per event.
    pub cursor: u64,
    /// Place in its call's stream, strictly +1 per call from 1; `None` without a call, and for a recording that a crash
    /// cut off when the numbering of its call is not known any more.
    pub seq: Option<u32>,
    /// When it happened.
    pub occurred_at: WallTime,
    /// About this call …
    pub call: Option<CallId>,
    /// … of this campaign …
    pub campaign: Option<CampaignId>,
    /// … to this lead …
    pub lead: Option<LeadId>,
    /// … with this agent.
    pub agent: Option<AgentId>,
    /// Whose it is; `None`: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The client's own mark of the call.
    pub client_state: Option<String>,
    /// Told after the call's `call.ended` (allowed for a few types).
    pub post_call: bool,
    /// What happened.
    pub event: Event,
}

/// What happened. [`Event::type_name`] gives the name on the wire.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(missing_docs, reason = "fields are those of API.md; each variant says what it tells")]
pub enum Event {
    /// A call was accepted.
    CallCreated { to: String, mode: Option<DialMode> },
    /// It came in on a number of ours.
    CallInbound {
        from: Option<String>,
        to: String,
        route: InboundRouteId,
        /// What became of checking its signature (STIR), where it was looked at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verstat: Option<String>,
    },
    /// The caller was taken to the next place of its route.
    CallRouted { step: String, agent: Option<AgentId>, group: Option<String> },
    /// Its customer leg is being dialled.
    CallDialing { to: String, caller_id: Option<String>, trunk: TrunkId, attempt: u32 },
    /// A provisional answer came that is not "ringing" (RFC 3261 §13.2.2.1): 181 forwarded, 182 queued, 183 progress.
    CallProgress { sip_code: u16, after_dial_ms: u64, early_media: bool },
    /// The customer's phone rings.
    CallRinging { pdd_ms: u64, early_media: bool },
    /// Early media was recognised.
    CallEarlyMedia {
        class: EarlyMediaClass,
        confidence: f32,
        /// The name of the announcement that was recognised.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        announcement: Option<String>,
    },
    /// The customer answered.
    CallAnswered {
        pdd_ms: Option<u64>,
        ring_ms: u64,
        attempt: u32,
        /// What was heard before, and how sure that is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        early_media: Option<(EarlyMediaClass, f32)>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        caller_id: Option<String>,
    },
    /// Human or machine.
    CallClassified {
        result: AmdVerdict,
        decided_after_answer_ms: u64,
        confidence: f32,
        evidence: AmdEvidence,
        /// What detection was asked to do.
        #[serde(default)]
        mode: AmdMode,
    },
    /// No agent is free; the customer waits.
    CallQueued,
    /// Offered to an agent: told before the phone rings.
    CallAgentOffered {
        agent: AgentId,
        agent_name: String,
        #[serde(default)]
        pop: Option<Box<ScreenPop>>,
    },
    /// An agent did not take the offer.
    CallAgentMissed { agent: AgentId, cause: EndCause },
    /// An agent who listened to this call's ringing goes to another call that was answered.
    CallAgentHopped { agent: AgentId, to: CallId },
    /// Customer and agent hear each other.
    CallBridged {
        agent: AgentId,
        answer_to_bridge_ms: Option<u64>,
        /// Since the verdict of detection; `None`: joined without one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        greeting_end_to_bridge_ms: Option<u64>,
    },
    /// Customer and agent are joined no longer: `parked`, `transferred`, or a leg or the call has ended. Told once for each
    /// time that they were joined.
    CallUnbridged { agent: AgentId, reason: String, duration_ms: u64 },
    /// The safe-harbour message is being played.
    CallSafeHarbour { prompt: String },
    /// The message of an agentless campaign, or what is left on a machine or said to an assistant, is being played.
    CallMessage { prompt: String },
    /// A digit was pressed.
    CallDtmf { party: Party, digit: char, duration_ms: u32 },
    /// A joined side's sound stopped, or came back.
    CallAudio { party: Party, state: AudioState, one_way: bool },
    /// Digits that were asked for are taken in: all (`digits_max`), ended by a key (`finish_on`), or by silence (`timeout`).
    CallCollected { digits: String, ended_by: String },
    /// A side put the call on hold.
    CallHeld { party: Party },
    /// … and came back.
    CallResumed { party: Party },
    /// The agent has given the customer to someone else, and is free.
    CallTransferred { agent: AgentId, to: String },
    /// The transfer that was ordered came to nothing.
    CallTransferFailed { to: String, sip_code: u16 },
    /// A supervisor hears the call.
    CallSupervisionStarted { leg: LegId, agent: Option<AgentId>, to: Option<String>, mode: SupervisionMode },
    /// A supervisor takes part in another way.
    CallSupervisionChanged { leg: LegId, agent: Option<AgentId>, from: SupervisionMode, to: SupervisionMode },
    /// A supervisor is gone, or could not be had (then it had not started). Exactly once for each that was asked for.
    CallSupervisionEnded {
        leg: LegId,
        agent: Option<AgentId>,
        to: Option<String>,
        mode: SupervisionMode,
        cause: EndCause,
        took_over: bool,
        duration_ms: u64,
    },
    /// A third party is being called.
    CallParticipantAdded { leg: LegId, agent: Option<AgentId>, to: Option<String> },
    /// A third party answered and talks with all.
    CallParticipantJoined { leg: LegId, agent: Option<AgentId>, to: Option<String> },
    /// A third party is gone, or could not be had. Exactly once for each that was added.
    CallParticipantLeft {
        leg: LegId,
        agent: Option<AgentId>,
        to: Option<String>,
        cause: EndCause,
        took_over: bool,
        duration_ms: u64,
    },
    /// Nobody hears this side from now on.
    CallMuted { party: Party },
    /// … and all do again.
    CallUnmuted { party: Party },
    /// Digits are being pressed for this side.
    CallDtmfSent { to: Party, digits: String },
    /// A command about a call was carried out.
    CommandCompleted { name: String, verb: String },
    /// … or came to nothing.
    CommandFailed { name: String, verb: String, reason: String },
    /// A prompt is being played into the talk.
    CallPlaying { prompt: String },
    /// The sound of the call goes to someone outside.
    CallForkStarted { fork: ForkId, url: String, format: ForkFormat, tracks: ForkTracks },
    /// The connection to who is outside broke; it is being made anew.
    CallForkInterrupted { fork: ForkId, reason: String },
    /// … and the sound goes there no longer, or could not. Exactly once for each fork that was asked for.
    CallForkEnded { fork: ForkId, cause: ForkEnd, reason: Option<String>, duration_ms: u64 },
    /// The call is over. Exactly once per call; everything it held is free.
    CallEnded { record: Box<CallRecord> },
    /// One side of a call ended. Exactly once per leg.
    LegEnded { party: Party, cause: EndCause, sip_code: Option<u16>, q850: Option<u16> },
    /// A recording began.
    RecordingStarted { recording: RecordingId },
    /// A recording keeps nothing of what is said …
    RecordingPaused { recording: RecordingId, behavior: PauseBehavior },
    /// … and does again.
    RecordingResumed { recording: RecordingId },
    /// A recording is complete.
    RecordingReady {
        recording: RecordingId,
        duration_ms: u64,
        #[serde(default)]
        paused_ms: u64,
        bytes: u64,
        #[serde(default)]
        undecodable: bool,
        #[serde(default)]
        cut_off: bool,
    },
    /// A recording was lost.
    RecordingFailed { recording: RecordingId, reason: String },
    /// An agent said how it went.
    DispositionSet {
        code: String,
        notes: Option<String>,
        callback_at: Option<WallTime>,
        #[serde(default)]
        callback_by_agent: bool,
        #[serde(default)]
        fields: BTreeMap<String, String>,
    },
    /// A lead moved on.
    LeadUpdated { state: LeadState, outcome: Option<Outcome>, attempts: u32, next_at: Option<WallTime> },
    /// A lead has no attempts left.
    LeadExhausted { attempts: u32 },
    /// A lead's time has passed before it was reached; it is not dialled any more.
    LeadExpired { external_id: Option<String>, attempts: u32, outcome: Option<Outcome> },
    /// A callback was promised or moved by the API.
    LeadCallbackSet { at: WallTime, agent: Option<AgentId>, notes: Option<String> },
    /// … and taken back.
    LeadCallbackCancelled { at: WallTime, agent: Option<AgentId> },
    /// A lead's callback is due. Once for each time it was promised for.
    LeadCallbackDue { at: WallTime, agent: Option<AgentId>, notes: Option<String>, attempts: u32 },
    /// All numbers of a lead are on do-not-call lists.
    LeadDnc { list: DncListId },
    /// A do-not-call list got or lost entries.
    DncChanged { list: DncListId, added: u64, removed: u64 },
    /// A caller ID is left alone from now on: it is answered much less often than the others of its pool
    /// (`answer_rate`), calls from it are blocked (`blocked`), somebody said so (`by_hand`), or its `reputation` is bad.
    CallerIdQuarantined { pool: CallerIdPoolId, number: String, reason: String, until: WallTime },
    /// A caller ID may be shown again.
    CallerIdReleased { pool: CallerIdPoolId, number: String },
    /// A call was made although a rule forbids it.
    ComplianceOverridden { rule: String, reason: String },
    /// Who heard a campaign's message asked, by a key, not to be called again: the number is on this list.
    CallOptedOut { list: DncListId },
    /// A campaign changed state.
    CampaignState { from: CampaignState, to: CampaignState },
    /// A campaign was made, changed or deleted.
    CampaignChanged { change: Change },
    /// Every lead is done, exhausted or waiting for nothing.
    CampaignCompleted,
    /// A sampled pacing decision.
    CampaignPacing { report: Box<PacingReport> },
    /// Dialling stands at a limit for a while: `lines`, `cps`, `trunk`, `caller_ids`, … as `limited_by` of `campaign.pacing`.
    CampaignLimitReached { limit: LimitedBy, dialing: u32 },
    /// The abandonment rate reached its cap.
    CampaignAbandonCapReached { live: u64, abandoned: u64 },
    /// An agent logged in.
    AgentLoggedIn,
    /// An agent logged out.
    AgentLoggedOut { reason: String },
    /// An agent's state changed.
    AgentState { from: AgentState, to: AgentState, reason: String, expires_at: Option<WallTime> },
    /// An agent's phone wanted to call, or to transfer to, a number that the agent may not.
    AgentCallRefused { to: String, reason: String },
    /// An agent's phone, though registered, does not answer OPTIONS any more.
    AgentPhoneLost { reason: String },
    /// … and is there again.
    AgentPhoneBack,
    /// A preview task was given to an agent.
    TaskOffered {
        task: TaskId,
        to: String,
        expires_at: Option<WallTime>,
        #[serde(default)]
        pop: Option<Box<ScreenPop>>,
    },
    /// … and is over.
    TaskEnded { task: TaskId, how: String },
    /// A trunk answers again.
    TrunkUp { trunk: TrunkId },
    /// A trunk does not answer.
    TrunkDown { trunk: TrunkId, reason: String },
    /// A list got new leads.
    ListImported { list: ListId, accepted: u64 },
    /// Leads of a list that were done with are dialled anew.
    ListRecycled { list: ListId, count: u64 },
    /// A webhook is no longer served.
    WebhookDisabled { webhook: WebhookId, reason: String },
    /// A recording was deleted, and why.
    RecordingDeleted { recording: RecordingId, call: CallId, reason: String },
    /// What was older than it may be kept was forgotten.
    RetentionApplied { kind: String, count: u64, before: WallTime },
    /// The node takes no new work.
    NodeDraining,
    /// The node has no live calls left.
    NodeDrained,
    /// Nothing can be written: no dialling until it can. Told when it is written, with the time when it happened.
    NodeStoreFailed,
    /// The store takes writes again.
    NodeStoreRecovered,
    /// Something was told here about a person who was erased since.
    Erased,
    /// The node is up (again).
    NodeStarted { calls_cut_off: u64 },
}

/// How a configured thing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Made.
    Created,
    /// Changed.
    Updated,
    /// Deleted.
    Deleted,
}

/// All that [`Event::type_name`] can give.
pub const TYPE_NAMES: [&str; 90] = [
    "call.created",
    "call.inbound",
    "call.routed",
    "call.dialing",
    "call.progress",
    "call.ringing",
    "call.early_media",
    "call.answered",
    "call.classified",
    "call.queued",
    "call.agent_offered",
    "agent.missed_offer",
    "call.agent_hopped",
    "call.bridged",
    "call.unbridged",
    "call.safe_harbour",
    "call.message",
    "call.dtmf",
    "call.audio",
    "call.collected",
    "call.held",
    "call.resumed",
    "call.transferred",
    "call.transfer_failed",
    "call.supervised",
    "call.supervision_changed",
    "call.supervision_ended",
    "call.participant_added",
    "call.participant_joined",
    "call.participant_left",
    "call.muted",
    "call.unmuted",
    "call.dtmf_sent",
    "command.completed",
    "command.failed",
    "call.playing",
    "call.fork_started",
    "call.fork_interrupted",
    "call.fork_ended",
    "call.ended",
    "leg.ended",
    "recording.started",
    "recording.paused",
    "recording.resumed",
    "recording.ready",
    "recording.failed",
    "disposition.set",
    "lead.updated",
    "lead.exhausted",
    "lead.expired",
    "lead.callback_set",
    "lead.callback_cancelled",
    "lead.callback_due",
    "lead.dnc_added",
    "dnc.changed",
    "caller_id.quarantined",
    "caller_id.restored",
    "compliance.overridden",
    "call.opted_out",
    "campaign.started",
    "campaign.paused",
    "campaign.stopped",
    "campaign.created",
    "campaign.updated",
    "campaign.deleted",
    "campaign.completed",
    "campaign.pacing",
    "campaign.limit_reached",
    "campaign.abandon_cap_reached",
    "agent.logged_in",
    "agent.logged_out",
    "agent.state",
    "agent.call_refused",
    "agent.phone_lost",
    "agent.phone_back",
    "task.offered",
    "task.ended",
    "trunk.up",
    "trunk.down",
    "list.imported",
    "list.recycled",
    "webhook.disabled",
    "recording.deleted",
    "retention.applied",
    "node.draining",
    "node.drained",
    "node.store_failed",
    "node.store_recovered",
    "event.erased",
    "node.started",
];

impl Event {
    /// The dotted name on the wire, as in the event catalogue.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Event::CallCreated { .. } => "call.created",
            Event::CallInbound { .. } => "call.inbound",
            Event::CallRouted { .. } => "call.routed",
            Event::CallDialing { .. } => "call.dialing",
            Event::CallProgress { .. } => "call.progress",
            Event::CallRinging { .. } => "call.ringing",
            Event::CallEarlyMedia { .. } => "call.early_media",
            Event::CallAnswered { .. } => "call.answered",
            Event::CallClassified { .. } => "call.classified",
            Event::CallQueued => "call.queued",
            Event::CallAgentOffered { .. } => "call.agent_offered",
            Event::CallAgentMissed { .. } => "agent.missed_offer",
            Event::CallAgentHopped { .. } => "call.agent_hopped",
            Event::CallBridged { .. } => "call.bridged",
            Event::CallUnbridged { .. } => "call.unbridged",
            Event::CallSafeHarbour { .. } => "call.safe_harbour",
            Event::CallMessage { .. } => "call.message",
            Event::CallDtmf { .. } => "call.dtmf",
            Event::CallAudio { .. } => "call.audio",
            Event::CallCollected { .. } => "call.collected",
            Event::CallHeld { .. } => "call.held",
            Event::CallResumed { .. } => "call.resumed",
            Event::CallTransferred { .. } => "call.transferred",
            Event::CallTransferFailed { .. } => "call.transfer_failed",
            Event::CallSupervisionStarted { .. } => "call.supervised",
            Event::CallSupervisionChanged { .. } => "call.supervision_changed",
            Event::CallSupervisionEnded { .. } => "call.supervision_ended",
            Event::CallParticipantAdded { .. } => "call.participant_added",
            Event::CallParticipantJoined { .. } => "call.participant_joined",
            Event::CallParticipantLeft { .. } => "call.participant_left",
            Event::CallMuted { .. } => "call.muted",
            Event::CallUnmuted { .. } => "call.unmuted",
            Event::CallDtmfSent { .. } => "call.dtmf_sent",
            Event::CommandCompleted { .. } => "command.completed",
            Event::CommandFailed { .. } => "command.failed",
            Event::CallPlaying { .. } => "call.playing",
            Event::CallForkStarted { .. } => "call.fork_started",
            Event::CallForkInterrupted { .. } => "call.fork_interrupted",
            Event::CallForkEnded { .. } => "call.fork_ended",
            Event::CallEnded { .. } => "call.ended",
            Event::LegEnded { .. } => "leg.ended",
            Event::RecordingStarted { .. } => "recording.started",
            Event::RecordingPaused { .. } => "recording.paused",
            Event::RecordingResumed { .. } => "recording.resumed",
            Event::RecordingReady { .. } => "recording.ready",
            Event::RecordingFailed { .. } => "recording.failed",
            Event::DispositionSet { .. } => "disposition.set",
            Event::LeadUpdated { .. } => "lead.updated",
            Event::LeadExhausted { .. } => "lead.exhausted",
            Event::LeadExpired { .. } => "lead.expired",
            Event::LeadCallbackSet { .. } => "lead.callback_set",
            Event::LeadCallbackCancelled { .. } => "lead.callback_cancelled",
            Event::LeadCallbackDue { .. } => "lead.callback_due",
            Event::LeadDnc { .. } => "lead.dnc_added",
            Event::DncChanged { .. } => "dnc.changed",
            Event::CallerIdQuarantined { .. } => "caller_id.quarantined",
            Event::CallerIdReleased { .. } => "caller_id.restored",
            Event::ComplianceOverridden { .. } => "compliance.overridden",
            Event::CallOptedOut { .. } => "call.opted_out",
            Event::CampaignState { to, .. } => match to {
                CampaignState::Running => "campaign.started",
                CampaignState::Paused => "campaign.paused",
                CampaignState::Stopped => "campaign.stopped",
            },
            Event::CampaignChanged { change } => match change {
                Change::Created => "campaign.created",
                Change::Updated => "campaign.updated",
                Change::Deleted => "campaign.deleted",
            },
            Event::CampaignCompleted => "campaign.completed",
            Event::CampaignPacing { .. } => "campaign.pacing",
            Event::CampaignLimitReached { .. } => "campaign.limit_reached",
            Event::CampaignAbandonCapReached { .. } => "campaign.abandon_cap_reached",
            Event::AgentLoggedIn => "agent.logged_in",
            Event::AgentLoggedOut { .. } => "agent.logged_out",
            Event::AgentState { .. } => "agent.state",
            Event::AgentCallRefused { .. } => "agent.call_refused",
            Event::AgentPhoneLost { .. } => "agent.phone_lost",
            Event::AgentPhoneBack => "agent.phone_back",
            Event::TaskOffered { .. } => "task.offered",
            Event::TaskEnded { .. } => "task.ended",
            Event::TrunkUp { .. } => "trunk.up",
            Event::TrunkDown { .. } => "trunk.down",
            Event::ListImported { .. } => "list.imported",
            Event::ListRecycled { .. } => "list.recycled",
            Event::WebhookDisabled { .. } => "webhook.disabled",
            Event::RecordingDeleted { .. } => "recording.deleted",
            Event::RetentionApplied { .. } => "retention.applied",
            Event::NodeDraining => "node.draining",
            Event::NodeDrained => "node.drained",
            Event::NodeStoreFailed => "node.store_failed",
            Event::NodeStoreRecovered => "node.store_recovered",
            Event::Erased => "event.erased",
            Event::NodeStarted { .. } => "node.started",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A type that is forgotten in the list could not be asked for.
    #[test]
    fn all_types_are_listed() {
        let source = include_str!("event.rs");
        let (_, from) = source.split_once("pub const fn type_name").expect("it is here");
        let (body, _) = from.split_once("mod tests").expect("it is here");
        let named: Vec<&str> = body.split('"').skip(1).step_by(2).filter(|name| name.contains('.')).collect();
        assert_eq!(named, TYPE_NAMES);
    }
}
