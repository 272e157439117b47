//! Call records: which there are, and what is told of each.

use crate::house::{House, NOW, ROOT};
use crate::resources::record;
use axum::http::Method;
use control_api::{Masker, wire};
use dialer_core::record::{CallKindTag, CallRecord, RecordingRow};
use dialer_core::{CallId, Event, EventEnvelope, EventId, Record, RecordingId};
use serde_json::{Value, json};
use store::Store;

fn keep(house: &House, records: Vec<Record>) {
    house.store.append(1_000_000, records);
    assert!(house.store.flush(std::time::Duration::from_secs(30)));
}

fn calls(reply: &Value) -> Vec<u128> {
    let data = reply["data"].as_array().unwrap();
    data.iter().map(|row| row["call_id"].as_str().unwrap().parse::<CallId>().unwrap().to_bits()).collect()
}

#[tokio::test]
async fn records_are_found_by_direction_and_number() {
    let house = House::new();
    let kinds = [CallKindTag::Campaign, CallKindTag::ClickToCall, CallKindTag::Inbound, CallKindTag::Transit];
    let records = kinds.into_iter().zip(1..).map(|(kind, n)| {
        let mut record = record(n, "+8613900139000", 0);
        record.kind = kind;
        Record::CallEnded(Box::new(record))
    });
    keep(&house, records.collect());
    for (direction, found) in [("outbound", &[2, 1][..]), ("inbound", &[3]), ("transit", &[4])] {
        let reply = house.get(&format!("/v1/cdrs?direction={direction}")).await.is(200).json();
        assert_eq!(calls(&reply), found, "{direction}");
        let export = house.get(&format!("/v1/cdrs:export?direction={direction}")).await.is(200);
        assert_eq!(export.text.lines().count(), found.len());
        house.get(&format!("/v1/calls?direction={direction}")).await.is(200);
    }
    for path in ["/v1/cdrs?direction=up", "/v1/cdrs:export?direction=", "/v1/calls?direction=up"] {
        let reply = house.get(path).await;
        if path.ends_with('=') {
            reply.is(200);
        } else {
            assert_eq!(reply.problem(400, "invalid_parameter"), ["direction"], "{path}");
        }
    }
    for path in ["/v1/cdrs?number=abc", "/v1/cdrs:export?number=13800138000x"] {
        assert_eq!(house.get(path).await.problem(422, "unprocessable"), ["number"], "{path}");
    }
    assert_eq!(calls(&house.get("/v1/cdrs?number=139%200013%209000").await.is(200).json()).len(), 3);
    assert_eq!(calls(&house.get("/v1/cdrs?number=12").await.is(200).json()).len(), 0, "as it was written");
}

#[tokio::test]
async fn all_recordings_of_a_call_are_told_and_what_the_agent_promised() {
    let house = House::new();
    let mut first = record(1, "+8613900139000", 0);
    first.recording = Some(RecordingId::from_bits(11));
    let recording = |id: u128, call: u128, at: i64| {
        Record::RecordingReady(RecordingRow {
            id: RecordingId::from_bits(id),
            call: CallId::from_bits(call),
            campaign: None,
            agent: None,
            file: format!("{id}.wav"),
            duration_ms: 1,
            paused_ms: 0,
            bytes: 1,
            undecodable: false,
            cut_off: false,
            at: NOW.plus_millis(at),
        })
    };
    let said = Record::DispositionSet {
        call: CallId::from_bits(1),
        code: "later".into(),
        notes: None,
        callback_at: Some(NOW.plus_millis(1_000)),
        callback_by_agent: true,
        fields: [("order".to_owned(), "7".to_owned())].into(),
        at: NOW,
    };
    let rows = vec![
        Record::CallEnded(Box::new(first)),
        Record::CallEnded(Box::new(record(2, "+8613900139000", 1))),
        recording(12, 1, 2_000),
        recording(11, 1, 1_000),
        recording(13, 2, 1_000),
        said,
    ];
    keep(&house, rows);
    let id = |id: u128| RecordingId::from_bits(id).to_string();
    let told = house.get(&format!("/v1/cdrs/{}", CallId::from_bits(1))).await.is(200).json();
    assert_eq!((&told["recording_id"], &told["recordings"]), (&json!(id(11)), &json!([id(11), id(12)])));
    let reply = house.get("/v1/cdrs:export?format=csv").await.is(200);
    let mut csv = csv::Reader::from_reader(reply.text.as_bytes());
    let names = csv.headers().unwrap().clone();
    let line =
        csv.records().map(Result::unwrap).find(|line| line[0] == *CallId::from_bits(1).to_string()).unwrap();
    let cell = |name: &str| line[names.iter().position(|known| known == name).unwrap()].to_owned();
    assert_eq!(cell("disposition.callback_by"), "agent");
    assert!(cell("disposition.fields").contains("order") && cell("recordings").contains(&id(12)), "{line:?}");
    let audit = house.get("/v1/audit?action=cdrs.exported").await.is(200).json();
    assert_eq!(audit["data"][0]["after"]["format"], "csv", "{audit}");
}

#[tokio::test]
async fn imports_and_callbacks_are_put_down() {
    let house = House::new();
    let list = house.list().await;
    let path = format!("/v1/lists/{list}/leads:import");
    house.import(&format!("{path}?dry_run=true"), "text/csv", "phone\n13800138000\n").await;
    house.import(&path, "text/csv", "phone\n13800138000\nnonsense\n").await;
    let lead = house.get(&format!("/v1/lists/{list}/leads")).await.json()["data"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    house.post("/v1/callbacks", json!({ "lead_id": lead, "at": "2026-10-01T03:00:00Z" })).await.is(201);
    let path = format!("/v1/callbacks/{lead}");
    house.patch(&path, json!({ "at": "2026-10-01T04:00:00Z" })).await.is(200);
    house.delete(&path).await.is(204);
    let actions = async |pattern: &str| {
        let reply = house.get(&format!("/v1/audit?action={pattern}")).await.is(200).json();
        let data = reply["data"].as_array().unwrap().clone();
        data.iter()
            .map(|entry| (entry["action"].as_str().unwrap().to_owned(), entry["target"].clone()))
            .collect::<Vec<_>>()
    };
    let of = |action: &str, target: &str| (action.to_owned(), json!(target));
    assert_eq!(actions("list.imported").await, [of("list.imported", &list)], "not what was only tried");
    let told = ["callback.deleted", "callback.changed", "callback.created"].map(|action| of(action, &lead));
    assert_eq!(actions("callback.*").await, told);
}

#[tokio::test]
async fn names_and_filters_are_masked_too() {
    let house = House::new();
    let reader = house.token(&["campaigns:read", "leads:read"]).await;
    let number = "１３８００１３８０００";
    let campaign = json!({ "name": format!("for {number}"), "filter": "fields.alt = \"138-0013-8000\"" });
    let campaign = house.made(&house.post("/v1/campaigns", campaign).await);
    let list = house.made(&house.post("/v1/lists", json!({ "name": format!("{number} alone") })).await);
    let masked =
        house.ask(&reader, Method::GET, &format!("/v1/campaigns/{campaign}"), None).await.is(200).json();
    assert_eq!(masked["name"], "for １３８****８０００");
    assert!(!masked["filter"].as_str().unwrap().contains("0013"), "{masked}");
    let masked = house.ask(&reader, Method::GET, &format!("/v1/lists/{list}"), None).await.is(200).json();
    assert_eq!(masked["name"], "１３８****８０００ alone");
    let whole = house.ask(ROOT, Method::GET, &format!("/v1/campaigns/{campaign}"), None).await.is(200).json();
    assert_eq!(whole["name"], format!("for {number}"));
}

#[tokio::test]
async fn only_types_that_there_are_can_be_asked_for() {
    let house = House::new();
    let reply = house.get("/v1/events?types=call.*,call.endet").await;
    assert_eq!(reply.problem(422, "unprocessable"), ["types"]);
    let known = reply.json()["types"].as_array().unwrap().clone();
    assert!(known.contains(&json!("call.ended")) && known.contains(&json!("node.drained")));
}

/// What a call gave back when it ended is what it had held.
#[test]
fn the_end_of_a_call_tells_what_it_had_held() {
    let released = |change: fn(&mut CallRecord)| {
        let mut record = record(1, "+8613900139000", 0);
        change(&mut record);
        let envelope = EventEnvelope {
            id: EventId::from_bits(1),
            cursor: 1,
            seq: Some(1),
            occurred_at: NOW,
            call: Some(record.call),
            campaign: None,
            lead: None,
            agent: None,
            tenant: None,
            client_state: None,
            post_call: false,
            event: Event::CallEnded { record: Box::new(record) },
        };
        wire::event::Event::new(&envelope, "n1", Masker::MASKED).data["released"].clone()
    };
    assert_eq!(released(|_| {}), json!({"slot": true, "caller_id": true, "agent": true}));
    let without_agent = released(|record| record.agent = None);
    assert_eq!(without_agent, json!({"slot": true, "caller_id": true, "agent": false}));
    let never_dialled = released(|record| (record.trunk, record.caller_id) = (None, None));
    assert_eq!(never_dialled, json!({"slot": false, "caller_id": false, "agent": true}));
}
