//! One event of each type, from which the documents learn what its `data` holds.
//!
//! They are read as the journal's events are, so a field that is renamed or added without being named here is a failing
//! test. Which fields may be null is found by taking each away.

use crate::mask::Masker;
use crate::wire::event::Event;
use dialer_core::EventEnvelope;
use dialer_core::id::Kind;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A name of any kind with this prefix.
fn id(prefix: &str) -> String {
    format!("{prefix}_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")
}

struct EventKind;
impl Kind for EventKind {
    const PREFIX: &'static str = "evt";
}

/// Events as the journal keeps them, one at least of each type; but for those whose data is another schema's.
fn stored() -> Vec<Value> {
    let (call, agent, campaign) = (id("call"), id("agt"), id("camp"));
    let (list, lead, leg, trunk, pool) = (id("list"), id("lead"), id("leg"), id("trk"), id("cip"));
    let (recording, fork, dnc, task) = (id("rec"), id("fork"), id("dnc"), id("task"));
    let at = 1_790_820_184_000_i64;
    let number = "+8613800138000";
    let pop = json!({
        "to": number, "attempt": 2, "agent_username": "ada", "url": "https://crm.example/{lead_id}",
        "lead": {
            "list": list, "external_id": "crm-1", "priority": 50, "time_zone": "Asia/Shanghai",
            "phones": [{"number": number, "raw": "13800138000", "kind": "mobile"}],
            "fields": {"name": "Wang"}, "history": []
        }
    });
    let supervisor = json!({"leg": leg, "agent": agent, "to": number});
    let with = |mut of: Value, more: Value| {
        if let (Value::Object(of), Value::Object(more)) = (&mut of, more) {
            of.extend(more);
        }
        of
    };
    let left = json!({"cause": "normal", "took_over": false, "duration_ms": 61_000});
    let gone = with(supervisor.clone(), left);
    vec![
        json!({"type": "call_created", "to": number, "mode": "predictive"}),
        json!({"type": "call_inbound", "from": number, "to": number, "route": id("inr"), "verstat": "passed:A"}),
        json!({"type": "call_routed", "step": "group", "agent": agent, "group": "sales"}),
        json!({"type": "call_dialing", "to": number, "caller_id": number, "trunk": trunk, "attempt": 2}),
        json!({"type": "call_progress", "sip_code": 183, "after_dial_ms": 1_310, "early_media": true}),
        json!({"type": "call_ringing", "pdd_ms": 2_310, "early_media": true}),
        json!({"type": "call_early_media", "class": "ringback", "confidence": 0.98, "announcement": "off"}),
        json!({"type": "call_answered", "pdd_ms": 2_310, "ring_ms": 12_890, "attempt": 2,
               "early_media": ["ringback", 0.98], "caller_id": number}),
        json!({"type": "call_classified", "result": "human", "decided_after_answer_ms": 640, "confidence": 0.93,
               "evidence": "short_greeting", "mode": "before_bridge"}),
        json!({"type": "call_queued"}),
        json!({"type": "call_agent_offered", "agent": agent, "agent_name": "Ada", "pop": pop}),
        json!({"type": "call_agent_missed", "agent": agent, "cause": "no_answer"}),
        json!({"type": "call_agent_hopped", "agent": agent, "to": call}),
        json!({"type": "call_bridged", "agent": agent, "answer_to_bridge_ms": 18, "greeting_end_to_bridge_ms": 0}),
        json!({"type": "call_unbridged", "agent": agent, "reason": "parked", "duration_ms": 61_000}),
        json!({"type": "call_safe_harbour", "prompt": "safe_harbour"}),
        json!({"type": "call_message", "prompt": "message"}),
        json!({"type": "call_dtmf", "party": "customer", "digit": "9", "duration_ms": 100}),
        json!({"type": "call_audio", "party": "customer", "state": "no_packets", "one_way": true}),
        json!({"type": "call_held", "party": "api"}),
        json!({"type": "call_resumed", "party": "api"}),
        json!({"type": "call_transferred", "agent": agent, "to": number}),
        json!({"type": "call_transfer_failed", "to": number, "sip_code": 486}),
        with(supervisor.clone(), json!({"type": "call_supervision_started", "mode": "listen"})),
        json!({"type": "call_supervision_changed", "leg": leg, "agent": agent, "from": "listen", "to": "barge"}),
        with(gone.clone(), json!({"type": "call_supervision_ended", "mode": "listen"})),
        with(supervisor.clone(), json!({"type": "call_participant_added"})),
        with(supervisor, json!({"type": "call_participant_joined"})),
        with(gone, json!({"type": "call_participant_left"})),
        json!({"type": "call_muted", "party": "agent"}),
        json!({"type": "call_unmuted", "party": "agent"}),
        json!({"type": "call_dtmf_sent", "to": "customer", "digits": "12#"}),
        json!({"type": "call_collected", "digits": "1234", "ended_by": "digits_max"}),
        json!({"type": "command_completed", "name": "cmd_1", "verb": "hold"}),
        json!({"type": "command_failed", "name": "cmd_1", "verb": "transfer", "reason": "busy"}),
        json!({"type": "call_playing", "prompt": "beep"}),
        json!({"type": "call_fork_started", "fork": fork, "url": "wss://ears.example", "format": "l16", "tracks": "both"}),
        json!({"type": "call_fork_interrupted", "fork": fork, "reason": "connection reset"}),
        json!({"type": "call_fork_ended", "fork": fork, "cause": "stopped", "reason": "closed", "duration_ms": 61_000}),
        json!({"type": "leg_ended", "party": "customer", "cause": "normal", "sip_code": 200, "q850": 16}),
        json!({"type": "recording_started", "recording": recording}),
        json!({"type": "recording_paused", "recording": recording, "behavior": "silence"}),
        json!({"type": "recording_resumed", "recording": recording}),
        json!({"type": "recording_ready", "recording": recording, "duration_ms": 61_000, "paused_ms": 0,
               "bytes": 976_044, "undecodable": false, "cut_off": false}),
        json!({"type": "recording_failed", "recording": recording, "reason": "disk full"}),
        json!({"type": "disposition_set", "code": "sale", "notes": "gladly", "callback_at": at,
               "callback_by_agent": true, "fields": {"amount": "12"}}),
        json!({"type": "lead_updated", "state": "retry_wait", "outcome": "busy", "attempts": 1, "next_at": at}),
        json!({"type": "lead_exhausted", "attempts": 6}),
        json!({"type": "lead_expired", "external_id": "crm-1", "attempts": 1, "outcome": "busy"}),
        json!({"type": "lead_callback_set", "at": at, "agent": agent, "notes": "in the morning"}),
        json!({"type": "lead_callback_cancelled", "at": at, "agent": agent}),
        json!({"type": "lead_callback_due", "at": at, "agent": agent, "notes": "in the morning", "attempts": 1}),
        json!({"type": "lead_dnc", "list": dnc}),
        json!({"type": "dnc_changed", "list": dnc, "added": 1, "removed": 0}),
        json!({"type": "caller_id_quarantined", "pool": pool, "number": number, "reason": "blocked", "until": at}),
        json!({"type": "caller_id_released", "pool": pool, "number": number}),
        json!({"type": "compliance_overridden", "rule": "dnc", "reason": "asked to be called"}),
        json!({"type": "call_opted_out", "list": dnc}),
        json!({"type": "campaign_state", "from": "stopped", "to": "running"}),
        json!({"type": "campaign_state", "from": "running", "to": "paused"}),
        json!({"type": "campaign_state", "from": "running", "to": "stopped"}),
        json!({"type": "campaign_changed", "change": "created"}),
        json!({"type": "campaign_changed", "change": "updated"}),
        json!({"type": "campaign_changed", "change": "deleted"}),
        json!({"type": "campaign_completed"}),
        json!({"type": "campaign_limit_reached", "limit": "lines", "dialing": 30}),
        json!({"type": "campaign_abandon_cap_reached", "live": 812, "abandoned": 25}),
        json!({"type": "agent_logged_in"}),
        json!({"type": "agent_logged_out", "reason": "logout"}),
        json!({"type": "agent_state", "from": "talking", "to": "wrap_up", "reason": "call_ended", "expires_at": at}),
        json!({"type": "agent_call_refused", "to": number, "reason": "destination"}),
        json!({"type": "agent_phone_lost", "reason": "no answer to OPTIONS"}),
        json!({"type": "agent_phone_back"}),
        json!({"type": "task_offered", "task": task, "to": number, "expires_at": at, "pop": pop}),
        json!({"type": "task_ended", "task": task, "how": "dialled"}),
        json!({"type": "trunk_up", "trunk": trunk}),
        json!({"type": "trunk_down", "trunk": trunk, "reason": "no answer"}),
        json!({"type": "list_imported", "list": list, "accepted": 1_000}),
        json!({"type": "list_recycled", "list": list, "count": 12}),
        json!({"type": "webhook_disabled", "webhook": id("wh"), "reason": "410"}),
        json!({"type": "recording_deleted", "recording": recording, "call": call, "reason": "retention"}),
        json!({"type": "retention_applied", "kind": "recordings", "count": 12, "before": at}),
        json!({"type": "node_draining"}),
        json!({"type": "node_drained"}),
        json!({"type": "node_store_failed"}),
        json!({"type": "node_store_recovered"}),
        json!({"type": "erased"}),
        json!({"type": "node_started", "calls_cut_off": 0}),
    ]
    .into_iter()
    .map(|event| {
        json!({
            "id": id(EventKind::PREFIX), "cursor": 1, "seq": 5, "occurred_at": at, "call": call,
            "campaign": campaign, "lead": lead, "agent": agent, "client_state": null, "post_call": false,
            "event": event
        })
    })
    .collect()
}

fn read(stored: &Value) -> Option<Event> {
    let envelope: EventEnvelope = serde_json::from_value(stored.clone()).ok()?;
    Some(Event::new(&envelope, "n1", Masker::new(true)))
}

/// Pointers to all members of an object, and of the objects in it.
fn members(value: &Value, at: &str) -> Vec<String> {
    let named: Vec<(String, &Value)> = match value {
        Value::Object(of) => of.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(of) => of.iter().enumerate().map(|(place, value)| (place.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    let all = named.into_iter().flat_map(|(name, value)| {
        let at = format!("{at}/{name}");
        let inner = members(value, &at);
        std::iter::once(at).chain(inner)
    });
    all.collect()
}

/// The schema of each type's `data`.
pub(crate) fn data_schemas() -> BTreeMap<&'static str, Value> {
    let mut schemas: BTreeMap<&'static str, Value> = BTreeMap::new();
    for stored in stored() {
        let event = read(&stored).unwrap_or_else(|| panic!("an event is read as it is kept: {stored}"));
        let mut schema = schema_of(&event.data);
        let around = ["/lead", "/agent", "/campaign"].map(str::to_owned);
        for pointer in members(&stored["event"], "/event").into_iter().chain(around) {
            let mut without = stored.clone();
            if let Some(member) = without.pointer_mut(&pointer) {
                *member = Value::Null;
            }
            if let Some(bare) = read(&without).filter(|bare| bare.kind == event.kind) {
                may_be(&mut schema, &bare.data);
            }
        }
        match schemas.get_mut(event.kind) {
            Some(known) => may_be(known, &event.data),
            None => drop(schemas.insert(event.kind, schema)),
        }
    }
    let another = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    schemas.insert("campaign.pacing", another("PacingDecision"));
    let released = json!({
        "type": "object", "required": ["released"],
        "properties": {"released": {
            "type": "object", "required": ["slot", "caller_id", "agent"],
            "description": "What the call had held and has given back: a trunk's line, the caller ID it showed, an agent who was joined or reserved. False: it held none.",
            "properties": {"slot": {"type": "boolean"}, "caller_id": {"type": "boolean"}, "agent": {"type": "boolean"}}
        }}
    });
    schemas.insert("call.ended", json!({"allOf": [another("Cdr"), released]}));
    schemas
}

/// Members whose names are the owner's, not ours.
const FREE: [&str; 1] = ["fields"];

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn schema_of(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let shown: Map<String, Value> = members
                .iter()
                .map(|(name, value)| {
                    let free = FREE.contains(&name.as_str());
                    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
                    (name.clone(), if free { texts } else { schema_of(value) })
                })
                .collect();
            let required: Vec<&String> = members.keys().collect();
            json!({"type": "object", "required": required, "properties": shown})
        }
        Value::Array(items) => match items.first() {
            Some(item) => json!({"type": "array", "items": schema_of(item)}),
            None => json!({"type": "array"}),
        },
        Value::String(text) if crate::time::parse_rfc3339(text).is_some() => {
            json!({"type": "string", "format": "date-time"})
        }
        other => json!({"type": type_name(other)}),
    }
}

/// Widens a schema so that it holds this value too.
fn may_be(schema: &mut Value, value: &Value) {
    let kind = type_name(value);
    let known = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        one => vec![one.clone()],
    };
    if !known.iter().any(|known| known == kind) {
        schema["type"] = known.into_iter().chain([json!(kind)]).collect();
    }
    if let (Value::Array(items), Some(of)) = (value, schema.get_mut("items")) {
        items.iter().for_each(|item| may_be(of, item));
    }
    let Value::Object(members) = value else { return };
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| name.as_str().is_some_and(|name| members.contains_key(name)));
    }
    for (name, value) in members.iter().filter(|(name, _)| !FREE.contains(&name.as_str())) {
        match schema["properties"].get_mut(name) {
            Some(inner) => may_be(inner, value),
            None => schema["properties"][name.as_str()] = schema_of(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialer_core::event::TYPE_NAMES;
    use std::collections::BTreeSet;

    #[test]
    fn there_is_one_of_each_type_and_what_may_be_null_is_known() {
        let schemas = data_schemas();
        let described: BTreeSet<&str> = schemas.keys().copied().collect();
        assert_eq!(described, TYPE_NAMES.into_iter().collect());
        let answered = &schemas["call.answered"]["properties"];
        assert_eq!(answered["early_media"]["type"], json!(["object", "null"]));
        assert_eq!(answered["sip"]["properties"]["pdd_ms"]["type"], json!(["integer", "null"]));
        assert_eq!(answered["attempt"]["type"], "integer");
        assert_eq!(schemas["agent.state"]["properties"]["since"]["format"], "date-time");
        assert_eq!(
            schemas["disposition.set"]["properties"]["fields"]["additionalProperties"]["type"],
            "string"
        );
    }
}
