//! Without `leads:pii` no whole number leaves the house, wherever it may sit.

use crate::house::{House, NOW, ROOT, Reply};
use crate::resources::record;
use axum::http::{Method, Request};
use dialer_core::outcome::Party;
use dialer_core::pop::{PopLead, ScreenPop};
use dialer_core::record::{PastAttempt, Phone};
use dialer_core::{CallId, Event, EventEnvelope, EventId, Record, TaskId, TrunkId};
use futures_util::StreamExt;
use serde_json::json;
use store::Store;
use tower::ServiceExt;

/// The customer's and our number, as digits in a row.
const NUMBERS: [&str; 3] = ["13800138000", "2155550000", "13900139000"];

#[track_caller]
fn hides(what: &str, text: &str) {
    let digits_only: String =
        text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_' || *c == '"').collect();
    for number in NUMBERS {
        assert!(!digits_only.contains(number), "{what} shows {number}: {text}");
    }
}

/// A screen pop with the number in every place that can hold one.
fn pop() -> ScreenPop {
    let number = "+8613800138000".to_owned();
    ScreenPop {
        to: number.clone(),
        attempt: 2,
        agent_username: "ada".into(),
        lead: Some(PopLead {
            list: dialer_core::ListId::from_bits(1),
            external_id: Some("13800138000".into()),
            phones: vec![Phone { number: number.clone(), raw: "138 0013 8000".into(), kind: None }],
            priority: 0,
            time_zone: None,
            fields: [("also".to_owned(), "or 139-0013-9000".to_owned())].into(),
            history: vec![PastAttempt {
                call: CallId::from_bits(4),
                at: NOW,
                outcome: dialer_core::Outcome::Connected,
                agent: None,
                talk_ms: 1,
                disposition: Some("sale".into()),
                notes: Some("call 13900139000".into()),
                refused: false,
            }],
        }),
        url: Some("https://crm.example/?p={phone}&x={external_id}&f={fields.also}".into()),
    }
}

fn events(first: u64) -> Vec<EventEnvelope> {
    let to = || "+8613800138000".to_owned();
    let caller_id = || Some("+862155550000".to_owned());
    let call = CallId::from_bits(5);
    let told = vec![
        Event::CallCreated { to: to(), mode: None },
        Event::CallDialing { to: to(), caller_id: caller_id(), trunk: TrunkId::from_bits(1), attempt: 1 },
        Event::CallEnded { record: Box::new(record(5, "+8613800138000", 0)) },
        Event::DispositionSet {
            code: "sale".into(),
            notes: Some("or at 139-0013-9000".into()),
            callback_at: None,
            callback_by_agent: true,
            fields: [("order".to_owned(), "or 13900139000".to_owned())].into(),
        },
        Event::TaskOffered {
            task: TaskId::from_bits(1),
            to: to(),
            expires_at: None,
            pop: Some(Box::new(pop())),
        },
        Event::CallAgentOffered {
            agent: dialer_core::AgentId::from_bits(1),
            agent_name: "Ada".into(),
            pop: Some(Box::new(pop())),
        },
        Event::TrunkDown { trunk: TrunkId::from_bits(1), reason: "503 to +8613800138000".into() },
        Event::CallDtmf { party: Party::Customer, digit: '7', duration_ms: 100 },
    ];
    let numbered = told.into_iter().zip(first..);
    numbered
        .map(|(event, cursor)| EventEnvelope {
            id: EventId::from_bits(u128::from(cursor)),
            cursor,
            seq: Some(1),
            occurred_at: NOW,
            call: Some(call),
            campaign: None,
            lead: None,
            agent: None,
            tenant: None,
            client_state: Some("lead 13800138000".into()),
            post_call: false,
            event,
        })
        .collect()
}

#[tokio::test]
async fn no_response_shows_a_whole_number() {
    let house = House::new();
    let scopes = [
        "admin",
        "calls:read",
        "calls:write",
        "campaigns:read",
        "campaigns:write",
        "leads:read",
        "leads:write",
        "agents:write",
        "supervise",
        "recordings:listen",
        "recordings:download",
        "events:read",
    ];
    let token = house.token(&scopes).await;
    house.trunk().await;
    let list = house.list().await;
    let campaign = house
        .post("/v1/campaigns", json!({"name": "x", "lists": [list], "caller_id": "+862155550000"}))
        .await
        .is(201);
    let campaign = house.made(&campaign);
    let import = format!("/v1/lists/{list}/leads:import");
    let csv = "phone,external_id,mobile,note\n13800138000,13800138000,13900139000,call +86 138 0013 8000\n\
               138001380,13800138000138,,\n13800138000,x,,\n";
    hides("an import's verdicts", &house.import_as(&token, &import, "text/csv", csv).await.is(200).text);
    let bad = "{\"phone\":{\"n\":\"13800138000\"}}\n{\"phone\":\"13800138000\",\"priority\":\"13800138000\"}\n{\"13800138000\":1}\n";
    let reply = house.import_as(&token, &import, "application/x-ndjson", bad).await.is(200);
    hides("an import's faults", &reply.text.replace("/13800138000", ""));
    let records: Vec<Record> =
        (1..4).map(|n| Record::CallEnded(Box::new(record(n, "+8613800138000", 0)))).collect();
    let mut rest = vec![Record::DispositionSet {
        call: CallId::from_bits(1),
        code: "sale".into(),
        notes: Some("prefers 13900139000".into()),
        callback_at: None,
        callback_by_agent: true,
        fields: [("order".to_owned(), "or 13900139000".to_owned())].into(),
        at: NOW,
    }];
    rest.splice(0..0, records);
    house.store.append(1_000_000, rest);
    assert!(house.store.flush(std::time::Duration::from_secs(30)));
    let lead = house.get(&format!("/v1/lists/{list}/leads")).await.json()["data"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let call = CallId::from_bits(1);
    for path in [
        "/v1/trunks".to_owned(),
        "/v1/agents".into(),
        "/v1/lists".into(),
        format!("/v1/lists/{list}/leads"),
        format!("/v1/lists/{list}/leads/{lead}"),
        "/v1/campaigns".into(),
        format!("/v1/campaigns/{campaign}"),
        format!("/v1/campaigns/{campaign}/diagnostics"),
        format!("/v1/campaigns/{campaign}/stats"),
        "/v1/calls".into(),
        format!("/v1/calls/{call}"),
        "/v1/cdrs".into(),
        format!("/v1/cdrs/{call}"),
        "/v1/recordings".into(),
        "/v1/tokens".into(),
        "/v1/node".into(),
        "/v1/calls/13800138000".into(),
        "/v1/cdrs?outcome=13800138000".into(),
    ] {
        let reply = house.ask(&token, Method::GET, &path, None).await;
        hides(&path, &reply.text);
    }
    // The same with the scope shows them, so the test looks at something.
    for path in [format!("/v1/lists/{list}/leads"), "/v1/cdrs".into(), "/v1/trunks".into()] {
        let whole = house.ask(ROOT, Method::GET, &path, None).await.text;
        assert!(NUMBERS.iter().any(|number| whole.contains(number)), "{path}: {whole}");
    }
}

#[tokio::test]
async fn no_error_shows_a_whole_number() {
    let house = House::new();
    let agent = house.agent("1001").await;
    let list = house.list().await;
    let ask = |path: String, body: serde_json::Value| {
        let house = &house;
        async move {
            let reply: Reply = house.post(&path, body).await;
            assert!(reply.status.is_client_error(), "{reply:?}");
            hides(&path, &reply.text);
        }
    };
    ask("/v1/calls".into(), json!({"agent_id": "+8613800138000", "to": "+8613800138000"})).await;
    ask("/v1/calls".into(), json!({"agent_id": agent, "to": "+8613800138000 ext"})).await;
    ask("/v1/calls".into(), json!({"agent_id": agent, "to": 8_613_800_138_000_u64})).await;
    ask(
        "/v1/calls".into(),
        json!({"agent_id": agent, "to": "+8613800138000", "ring_timeout_ms": "+8613800138000"}),
    )
    .await;
    ask("/v1/trunks".into(), json!({"name": "x", "address": "y", "caller_id": "+86 138 0013 8000 0000 00"}))
        .await;
    ask(format!("/v1/lists/{list}/leads"), json!({"phone": "+8613800138000x"})).await;
    ask(format!("/v1/lists/{list}/leads"), json!({"phone": "13800138000", "priority": "13800138000"})).await;
}

#[tokio::test]
async fn no_event_shows_a_whole_number() {
    let house = House::new();
    let token = house.token(&["events:read"]).await;
    let first = house.hub.latest() + 1;
    let told = events(first);
    let count = told.len();
    // The end of a call is kept once, as its record; the event refers to it.
    house.store.append(1_000_000, vec![Record::CallEnded(Box::new(record(5, "+8613800138000", 0)))]);
    assert!(house.store.flush(std::time::Duration::from_secs(30)));
    for event in told {
        house.core.lock().unwrap().publish(event);
    }
    for (token, whole) in [(token.as_str(), false), (ROOT, true)] {
        let request = Request::get(format!("/v1/events?after={}", first - 1))
            .header("authorization", format!("Bearer {token}"));
        let response =
            house.router.clone().oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
        let mut body = response.into_body().into_data_stream();
        let mut text = String::new();
        while text.matches("data:").count() < count {
            text.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
        }
        if whole {
            assert!(
                NUMBERS.iter().all(|number| text.contains(number) || text.contains("139-0013-9000")),
                "{text}"
            );
        } else {
            hides("the event stream", &text);
            assert!(!text.contains("\"digit\":\"7\"") && text.contains("+86138****8000"));
        }
    }
}
