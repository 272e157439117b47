//! Events on the wire: one envelope for all streams.

use super::call::{Cdr, EarlyMedia, masked_fields};
use super::leg::leg_of;
use super::pacing::PacingDecision;
use super::pop::{PopNames, ScreenPop};
use super::{Classification, Party};
use crate::mask::Masker;
use crate::time::Time;
use dialer_core::config::AmdMode;
use dialer_core::record::CallRecord;
use dialer_core::{Event as CoreEvent, EventEnvelope};
use sansio::WallTime;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// An event.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Event {
    /// Its name.
    #[schema(example = "evt_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// What sort: `call.answered`, `agent.state`, …
    #[serde(rename = "type")]
    #[schema(example = "call.answered")]
    pub kind: &'static str,
    /// Version of `data`'s shape.
    pub schema: u32,
    /// Its place in the node's stream; give it back to go on from here.
    #[schema(example = "n1-000000001234567")]
    pub cursor: String,
    /// Its place in its call's stream, +1 each, from 1. Null without a call, and for a recording that a crash cut off when the
    /// numbering of its call is not known any more.
    pub seq: Option<u32>,
    /// When it happened.
    pub occurred_at: Time,
    /// The node.
    pub node: String,
    /// About this call …
    pub call_id: Option<String>,
    /// … this leg of it …
    pub leg_id: Option<String>,
    /// … of this campaign …
    pub campaign_id: Option<String>,
    /// … to this lead …
    pub lead_id: Option<String>,
    /// … with this agent.
    pub agent_id: Option<String>,
    /// Whose it is; null: the operator's.
    pub tenant: Option<String>,
    /// The client's own mark of the call.
    pub client_state: Option<String>,
    /// Told after the call's `call.ended`.
    pub post_call: bool,
    /// What happened, by type.
    #[schema(value_type = Object)]
    pub data: Value,
}

/// Digits of a cursor's number, so that cursors sort as text.
const CURSOR_DIGITS: usize = 15;

/// A place in a node's stream as text.
#[must_use]
pub fn cursor_text(node: &str, cursor: u64) -> String {
    format!("{node}-{cursor:0CURSOR_DIGITS$}")
}

/// A place in this node's stream; `None` if the text is none. The number alone is understood too.
#[must_use]
pub fn parse_cursor(node: &str, text: &str) -> Option<u64> {
    let number = match text.rsplit_once('-') {
        Some((of, number)) => (of == node).then_some(number)?,
        None => text,
    };
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| number.parse().ok())?
}

impl Event {
    /// As the caller may see it.
    #[must_use]
    pub fn new(envelope: &EventEnvelope, node: &str, mask: Masker) -> Self {
        Event {
            id: envelope.id.to_string(),
            kind: envelope.event.type_name(),
            schema: 1,
            cursor: cursor_text(node, envelope.cursor),
            seq: envelope.seq,
            occurred_at: envelope.occurred_at.into(),
            node: node.to_owned(),
            call_id: envelope.call.map(|id| id.to_string()),
            leg_id: leg_of(envelope).map(|id| id.to_string()),
            campaign_id: envelope.campaign.map(|id| id.to_string()),
            lead_id: envelope.lead.map(|id| id.to_string()),
            agent_id: envelope.agent.map(|id| id.to_string()),
            tenant: envelope.tenant.as_ref().map(ToString::to_string),
            client_state: mask.text_option(envelope.client_state.as_deref()),
            post_call: envelope.post_call,
            data: pop_data(envelope, mask)
                .or_else(|| agent_data(envelope, mask))
                .unwrap_or_else(|| data(&envelope.event, mask)),
        }
    }
}

fn time(at: Option<WallTime>) -> Option<Time> {
    at.map(Time)
}

/// An offer, with what the agent's screen is to show.
fn pop_data(envelope: &EventEnvelope, mask: Masker) -> Option<Value> {
    let (pop, task) = match &envelope.event {
        CoreEvent::CallAgentOffered { pop, .. } => (pop.as_deref()?, None),
        CoreEvent::TaskOffered { task, pop, .. } => (pop.as_deref()?, Some(task.to_string())),
        _ => return None,
    };
    let names = PopNames {
        call: envelope.call.map(|id| id.to_string()),
        task,
        campaign: envelope.campaign.map(|id| id.to_string()),
        lead: envelope.lead.map(|id| id.to_string()),
        agent: envelope.agent.map(|id| id.to_string()),
    };
    let (mut told, shown) = (data(&envelope.event, mask), json!(ScreenPop::new(pop, &names, mask)));
    if let (Value::Object(told), Value::Object(shown)) = (&mut told, shown) {
        told.extend(shown);
    }
    Some(told)
}

/// An agent's new state, with whose it is and since when.
fn agent_data(envelope: &EventEnvelope, mask: Masker) -> Option<Value> {
    let CoreEvent::AgentState { .. } = &envelope.event else { return None };
    let mut told = data(&envelope.event, mask);
    told["agent_id"] = json!(envelope.agent);
    told["since"] = json!(Time(envelope.occurred_at));
    Some(told)
}

/// What happened, by type.
fn data(event: &CoreEvent, mask: Masker) -> Value {
    match event {
        CoreEvent::CampaignState { from, to } => json!({"from": from.as_str(), "to": to.as_str()}),
        CoreEvent::CampaignChanged { change } => json!({"change": change}),
        CoreEvent::CampaignPacing { report } => json!(PacingDecision::from(report.as_ref())),
        CoreEvent::CampaignLimitReached { limit, dialing } => {
            json!({"limit": limit.as_str(), "dialing": dialing})
        }
        CoreEvent::CampaignAbandonCapReached { live, abandoned } => {
            json!({"live": live, "abandoned": abandoned})
        }
        CoreEvent::AgentLoggedOut { reason } => json!({"reason": mask.text(reason)}),
        CoreEvent::AgentState { from, to, reason, expires_at } => {
            json!({"from": from.as_str(), "to": to.as_str(), "reason": mask.text(reason), "expires_at": time(*expires_at)})
        }
        CoreEvent::TaskOffered { task, to, expires_at, pop: _ } => {
            json!({"task_id": task, "to": mask.number(to), "expires_at": time(*expires_at)})
        }
        CoreEvent::TaskEnded { task, how } => json!({"task_id": task, "how": how}),
        CoreEvent::TrunkUp { trunk } => json!({"trunk_id": trunk}),
        CoreEvent::TrunkDown { trunk, reason } => json!({"trunk_id": trunk, "reason": mask.text(reason)}),
        CoreEvent::ListImported { list, accepted } => json!({"list_id": list, "accepted": accepted}),
        CoreEvent::ListRecycled { list, count } => json!({"list_id": list, "count": count}),
        CoreEvent::CallOptedOut { list } => json!({"dnc_list_id": list}),
        CoreEvent::WebhookDisabled { webhook, reason } => json!({"webhook_id": webhook, "reason": reason}),
        CoreEvent::RecordingDeleted { recording, call, reason } => {
            json!({"recording_id": recording, "call_id": call, "reason": reason})
        }
        CoreEvent::RetentionApplied { kind, count, before } => {
            json!({"kind": kind, "count": count, "before": time(Some(*before))})
        }
        CoreEvent::LeadDnc { list } => json!({"dnc_list_id": list}),
        CoreEvent::CallerIdQuarantined { pool, number, reason, until } => json!({
            "caller_id_pool_id": pool, "number": mask.number(number), "reason": reason, "until": time(Some(*until))
        }),
        CoreEvent::CallerIdReleased { pool, number } => {
            json!({"caller_id_pool_id": pool, "number": mask.number(number)})
        }
        CoreEvent::DncChanged { list, added, removed } => {
            json!({"dnc_list_id": list, "added": added, "removed": removed})
        }
        CoreEvent::ComplianceOverridden { rule, reason } => {
            json!({"rule": rule, "reason": mask.text(reason)})
        }
        CoreEvent::NodeStarted { calls_cut_off } => json!({"calls_cut_off": calls_cut_off}),
        CoreEvent::LeadUpdated { state, outcome, attempts, next_at } => {
            json!({"state": state.as_str(), "outcome": outcome, "attempts": attempts, "next_at": time(*next_at)})
        }
        CoreEvent::LeadExpired { external_id, attempts, outcome } => json!({
            "external_id": mask.text_option(external_id.as_deref()), "attempts": attempts, "outcome": outcome
        }),
        CoreEvent::LeadCallbackSet { at, agent, notes } => json!({
            "at": time(Some(*at)), "agent_id": agent, "notes": mask.text_option(notes.as_deref())
        }),
        CoreEvent::LeadCallbackCancelled { at, agent } => json!({"at": time(Some(*at)), "agent_id": agent}),
        CoreEvent::LeadCallbackDue { at, agent, notes, attempts } => json!({
            "at": time(Some(*at)), "agent_id": agent, "notes": mask.text_option(notes.as_deref()),
            "attempts": attempts
        }),
        CoreEvent::LeadExhausted { attempts } => json!({"attempts": attempts}),
        CoreEvent::CampaignCompleted
        | CoreEvent::AgentLoggedIn
        | CoreEvent::Erased
        | CoreEvent::NodeDraining
        | CoreEvent::NodeDrained
        | CoreEvent::NodeStoreFailed
        | CoreEvent::NodeStoreRecovered
        | CoreEvent::CallQueued => json!({}),
        _ => call_data(event, mask),
    }
}

/// What happened to a call.
fn call_data(event: &CoreEvent, mask: Masker) -> Value {
    match event {
        CoreEvent::CallCreated { to, mode } => json!({"to": mask.number(to), "mode": mode}),
        CoreEvent::CallInbound { from, to, route, verstat } => json!({
            "from": mask.number_option(from.as_deref()), "to": mask.number(to), "inbound_route_id": route,
            "verstat": verstat
        }),
        CoreEvent::CallRouted { step, agent, group } => {
            json!({"to": step, "agent_id": agent, "group": group})
        }
        CoreEvent::CallDialing { to, caller_id, trunk, attempt } => json!({
            "to": mask.number(to), "caller_id": mask.number_option(caller_id.as_deref()),
            "trunk_id": trunk, "attempt": attempt
        }),
        CoreEvent::CallProgress { sip_code, after_dial_ms, early_media } => {
            json!({"sip_code": sip_code, "after_dial_ms": after_dial_ms, "early_media": early_media})
        }
        CoreEvent::CallRinging { pdd_ms, early_media } => {
            json!({"pdd_ms": pdd_ms, "early_media": early_media})
        }
        CoreEvent::CallEarlyMedia { class, confidence, announcement } => {
            json!({"class": EarlyMedia::from(*class), "confidence": confidence, "announcement": announcement})
        }
        CoreEvent::CallAnswered { pdd_ms, ring_ms, attempt, early_media, caller_id } => {
            let heard = early_media.map(
                |(class, confidence)| json!({"class": EarlyMedia::from(class), "confidence": confidence}),
            );
            json!({
                "sip": {"code": 200, "pdd_ms": pdd_ms, "ring_ms": ring_ms}, "attempt": attempt,
                "early_media": heard, "caller_id": mask.number_option(caller_id.as_deref())
            })
        }
        CoreEvent::CallClassified { result, decided_after_answer_ms, confidence, evidence, mode } => json!({
            "result": Classification::from(*result), "engine": engine(*mode),
            "decided_after_answer_ms": decided_after_answer_ms, "confidence": confidence,
            "evidence": evidence.as_str()
        }),
        CoreEvent::CallAudio { party, state, one_way } => json!({
            "party": Party::from(*party), "state": state.as_str(), "one_way": one_way
        }),
        CoreEvent::CallAgentOffered { agent, agent_name, pop: _ } => {
            json!({"agent_id": agent, "agent_name": agent_name})
        }
        CoreEvent::CallAgentMissed { agent, cause } => json!({"agent_id": agent, "cause": cause.as_str()}),
        CoreEvent::CallBridged { agent, answer_to_bridge_ms, greeting_end_to_bridge_ms } => json!({
            "agent_id": agent, "answer_to_bridge_ms": answer_to_bridge_ms,
            "greeting_end_to_bridge_ms": greeting_end_to_bridge_ms
        }),
        CoreEvent::CallUnbridged { agent, reason, duration_ms } => {
            json!({"agent_id": agent, "reason": reason, "duration_ms": duration_ms})
        }
        CoreEvent::CallAgentHopped { agent, to } => json!({"agent_id": agent, "to_call_id": to}),
        CoreEvent::CallSafeHarbour { prompt } | CoreEvent::CallMessage { prompt } => {
            json!({"prompt": prompt})
        }
        CoreEvent::CallDtmf { party, digit, duration_ms } => {
            // Digits a customer presses may spell a card or account number.
            let digit = if mask == Masker::MASKED { '*' } else { *digit };
            json!({"party": Party::from(*party), "digit": digit, "duration_ms": duration_ms})
        }
        CoreEvent::CallCollected { digits, ended_by } => {
            json!({"digits": hidden_digits(digits, mask), "ended_by": ended_by})
        }
        CoreEvent::CallHeld { party } | CoreEvent::CallResumed { party } => {
            json!({"party": Party::from(*party)})
        }
        CoreEvent::CallTransferred { agent, to } => json!({"agent_id": agent, "to": mask.number(to)}),
        CoreEvent::CallTransferFailed { to, sip_code } => {
            json!({"to": mask.number(to), "sip_code": sip_code})
        }
        CoreEvent::CallSupervisionStarted { leg, agent, to, mode } => json!({
            "leg_id": leg, "agent_id": agent, "to": mask.number_option(to.as_deref()), "mode": mode
        }),
        CoreEvent::CallSupervisionChanged { leg, agent, from, to } => {
            json!({"leg_id": leg, "agent_id": agent, "from": from, "to": to})
        }
        CoreEvent::CallSupervisionEnded { leg, agent, to, mode, cause, took_over, duration_ms } => json!({
            "leg_id": leg, "agent_id": agent, "to": mask.number_option(to.as_deref()), "mode": mode,
            "cause": cause.as_str(), "took_over": took_over, "duration_ms": duration_ms
        }),
        CoreEvent::CallParticipantAdded { leg, agent, to }
        | CoreEvent::CallParticipantJoined { leg, agent, to } => {
            json!({"leg_id": leg, "agent_id": agent, "to": mask.number_option(to.as_deref())})
        }
        CoreEvent::CallParticipantLeft { leg, agent, to, cause, took_over, duration_ms } => json!({
            "leg_id": leg, "agent_id": agent, "to": mask.number_option(to.as_deref()),
            "cause": cause.as_str(), "took_over": took_over, "duration_ms": duration_ms
        }),
        CoreEvent::CallMuted { party } | CoreEvent::CallUnmuted { party } => {
            json!({"party": Party::from(*party)})
        }
        CoreEvent::CallDtmfSent { to, digits } => {
            json!({"to": Party::from(*to), "digits": hidden_digits(digits, mask)})
        }
        CoreEvent::CallForkStarted { fork, url, format, tracks } => json!({
            "fork_id": fork, "url": url, "format": format, "tracks": tracks
        }),
        CoreEvent::CallForkInterrupted { fork, reason } => json!({"fork_id": fork, "reason": reason}),
        CoreEvent::CallForkEnded { fork, cause, reason, duration_ms } => json!({
            "fork_id": fork, "cause": cause, "reason": reason, "duration_ms": duration_ms
        }),
        CoreEvent::CommandCompleted { name, verb } => {
            json!({"command_id": mask.text(name), "command": verb})
        }
        CoreEvent::CommandFailed { name, verb, reason } => {
            json!({"command_id": mask.text(name), "command": verb, "reason": mask.text(reason)})
        }
        CoreEvent::CallPlaying { prompt } => json!({"prompt": prompt}),
        CoreEvent::AgentCallRefused { to, reason } => json!({"to": mask.number(to), "reason": reason}),
        CoreEvent::AgentPhoneLost { reason } => json!({"reason": reason}),
        CoreEvent::CallEnded { record } => ended_data(record, &Cdr::of_record(record, mask)),
        CoreEvent::LegEnded { party, cause, sip_code, q850 } => json!({
            "party": Party::from(*party), "cause": cause.as_str(), "sip_code": sip_code, "q850": q850
        }),
        CoreEvent::RecordingStarted { recording } => json!({"recording_id": recording}),
        CoreEvent::RecordingPaused { recording, behavior } => {
            json!({"recording_id": recording, "pause_behavior": behavior})
        }
        CoreEvent::RecordingResumed { recording } => json!({"recording_id": recording}),
        CoreEvent::RecordingReady { recording, duration_ms, paused_ms, bytes, undecodable, cut_off } => {
            json!({
                "recording_id": recording, "duration_ms": duration_ms, "paused_ms": paused_ms, "bytes": bytes,
                "undecodable": undecodable, "cut_off": cut_off
            })
        }
        CoreEvent::RecordingFailed { recording, reason } => {
            json!({"recording_id": recording, "reason": mask.text(reason)})
        }
        CoreEvent::DispositionSet { code, notes, callback_at, callback_by_agent, fields } => json!({
            "code": code, "notes": mask.text_option(notes.as_deref()), "callback_at": time(*callback_at),
            "callback_by": callback_at.map(|_| if *callback_by_agent { "agent" } else { "anyone" }),
            "fields": masked_fields(fields, mask)
        }),
        // The arms of `data`; listed there, so that a new event cannot be forgotten in both.
        _ => json!({}),
    }
}

/// Digits may spell a card or account number.
fn hidden_digits(digits: &str, mask: Masker) -> String {
    if mask == Masker::MASKED { "*".repeat(digits.chars().count()) } else { digits.to_owned() }
}

/// Which detection gave a verdict: the one before agents are joined, the one beside them, or somebody's word.
const fn engine(mode: AmdMode) -> &'static str {
    match mode {
        AmdMode::BeforeBridge => "amd_fast",
        AmdMode::Async => "amd_async",
        AmdMode::Off => "manual",
    }
}

/// The record, and what the call had held and given back before this was told.
fn ended_data(record: &CallRecord, cdr: &Cdr) -> Value {
    let mut value = json!(cdr);
    value["released"] = json!({
        "slot": record.trunk.is_some(),
        "caller_id": record.caller_id.is_some(),
        "agent": record.agent.is_some(),
    });
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back() {
        assert_eq!(cursor_text("n1", 1_234_567), "n1-000000001234567");
        assert_eq!(parse_cursor("n1", "n1-000000001234567"), Some(1_234_567));
        assert_eq!(parse_cursor("node-a", &cursor_text("node-a", 7)), Some(7));
        assert_eq!(parse_cursor("n1", "42"), Some(42));
        for bad in ["", "n2-1", "n1-", "n1-x", "-1", "n1-+5", "99999999999999999999999"] {
            assert_eq!(parse_cursor("n1", bad), None, "{bad}");
        }
    }
}
