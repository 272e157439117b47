//! Webhooks: signed, in order per call, again until they are taken.

use crate::house::{House, NOW, ROOT};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use control_api::{EventHub, WebhookLimits};
use dialer_core::{CallId, Event, EventEnvelope, EventId};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// A receiver of webhooks on a port of its own.
#[derive(Clone, Default)]
struct Receiver {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    got: Mutex<Vec<(HeaderMap, Bytes, StatusCode)>>,
    /// What to answer next, by the type of the event; 204 when there is nothing.
    fates: Mutex<BTreeMap<String, Vec<u16>>>,
    always: Mutex<Option<u16>>,
    arrived: Notify,
}

impl Receiver {
    async fn start() -> (Receiver, String) {
        let receiver = Receiver::default();
        let listener = tokio::net::TcpListener::bind("127.6.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = axum::Router::new().route("/hook", post(take)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, url)
    }

    fn fate(&self, of: &str, statuses: &[u16]) {
        self.inner.fates.lock().unwrap().insert(of.to_owned(), statuses.to_vec());
    }

    fn always(&self, status: Option<u16>) {
        *self.inner.always.lock().unwrap() = status;
    }

    /// What was taken: cursor and place in the call.
    fn taken(&self) -> Vec<Value> {
        let got = self.inner.got.lock().unwrap();
        let good = got.iter().filter(|(_, _, status)| status.is_success());
        good.map(|(_, body, _)| serde_json::from_slice(body).unwrap()).collect()
    }

    async fn wait_until<T>(&self, look: impl Fn(&Receiver) -> Option<T>) -> T {
        loop {
            let arrived = self.inner.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if let Some(found) = look(self) {
                return found;
            }
            arrived.await;
        }
    }

    async fn took(&self, count: usize) -> Vec<Value> {
        self.wait_until(|receiver| Some(receiver.taken()).filter(|taken| taken.len() >= count)).await
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let value: Value = serde_json::from_slice(&body).unwrap();
    let kind = value["type"].as_str().unwrap();
    let planned = {
        let mut fates = receiver.inner.fates.lock().unwrap();
        fates.get_mut(kind).filter(|planned| !planned.is_empty()).map(|planned| planned.remove(0))
    };
    let always = *receiver.inner.always.lock().unwrap();
    let status = StatusCode::from_u16(always.or(planned).unwrap_or(204)).unwrap();
    receiver.inner.got.lock().unwrap().push((headers, body, status));
    receiver.inner.arrived.notify_waiters();
    status
}

async fn house() -> House {
    let house = House::with(
        |config| {
            config.webhooks = WebhookLimits {
                schedule_ms: vec![0, 1, 1],
                breaker_failures: 1_000,
                breaker_ms: (1, 2),
                ..WebhookLimits::default()
            };
        },
        EventHub::default(),
    );
    house.gateway.start_webhooks().await.unwrap();
    house
}

fn publish(house: &House, call: Option<u128>, seq: u32, event: Event) -> u64 {
    let cursor = house.hub.latest() + 1;
    house.core.lock().unwrap().publish(EventEnvelope {
        id: EventId::from_bits(u128::from(cursor)),
        cursor,
        seq: call.map(|_| seq),
        occurred_at: NOW,
        call: call.map(CallId::from_bits),
        campaign: None,
        lead: None,
        agent: None,
        tenant: None,
        client_state: None,
        post_call: false,
        event,
    });
    cursor
}

fn dialled() -> Event {
    Event::CallCreated { to: "+8613800138000".into(), mode: None }
}

async fn made(house: &House, body: Value) -> (String, String) {
    let reply = house.post("/v1/webhooks", body).await;
    let id = house.made(&reply);
    (id, reply.json()["secret"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn deliveries_are_signed_and_numbers_masked() {
    let house = house().await;
    let (receiver, url) = Receiver::start().await;
    let (_, secret) = made(&house, json!({"name": "crm", "url": url, "types": ["call.*"]})).await;
    publish(&house, None, 0, Event::NodeDraining);
    let cursor = publish(&house, Some(7), 1, dialled());
    let taken = receiver.took(1).await;
    assert_eq!(taken[0]["type"], "call.created");
    assert_eq!(taken[0]["cursor"], format!("n1-{cursor:015}"));
    assert_eq!(taken[0]["data"]["to"], "+86138****8000");
    let (headers, body, _) = receiver.inner.got.lock().unwrap()[0].clone();
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(text("content-type"), "application/json");
    assert_eq!(text("webhook-id"), taken[0]["id"].as_str().unwrap());
    assert_eq!(text("webhook-timestamp"), (NOW.unix_millis() / 1000).to_string());
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{}.{}.", text("webhook-id"), text("webhook-timestamp")).as_bytes());
    mac.update(&body);
    assert_eq!(text("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
}

#[tokio::test]
async fn a_call_waits_for_its_failed_event_and_others_do_not() {
    let house = house().await;
    let (receiver, url) = Receiver::start().await;
    let (id, _) = made(&house, json!({"name": "crm", "url": url, "types": ["call.*"]})).await;
    receiver.fate("call.created", &[500, 503]);
    publish(&house, Some(1), 1, dialled());
    publish(&house, Some(1), 2, Event::CallQueued);
    let taken = receiver.took(2).await;
    assert_eq!(taken.iter().map(|event| event["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(receiver.inner.got.lock().unwrap().len(), 4);
    let tried = house.get(&format!("/v1/webhooks/{id}/deliveries")).await.is(200).json();
    let tries = tried["data"].as_array().unwrap();
    assert!(tries.iter().any(|one| one["status"] == 503 && one["attempts"] == 2), "{tried}");
}

#[tokio::test]
async fn what_is_given_up_is_a_dead_letter_and_can_be_told_again() {
    let house = house().await;
    let (receiver, url) = Receiver::start().await;
    let (id, _) = made(&house, json!({"name": "crm", "url": url, "types": ["call.*"]})).await;
    receiver.fate("call.created", &[500, 500, 500]);
    publish(&house, Some(1), 1, dialled());
    publish(&house, Some(1), 2, Event::CallQueued);
    receiver.took(1).await;
    house.gateway.stop_webhooks().await;
    let dead = house.get(&format!("/v1/webhooks/{id}/deliveries?state=dead")).await.is(200).json();
    assert_eq!(dead["data"][0]["event_type"], "call.created");
    assert_eq!(dead["data"][0]["attempts"], 3);
    assert_eq!(dead["data"][0]["status"], 500);
    let replay = format!("/v1/webhooks/{id}:replay");
    house.post(&replay, json!({"dead_letters": true})).await.is(202);
    let of = |receiver: &Receiver, seq: u32| {
        receiver.taken().into_iter().filter(|event| event["seq"] == seq).collect::<Vec<_>>()
    };
    receiver.wait_until(|receiver| (of(receiver, 1).len() == 1).then_some(())).await;
    let before = of(&receiver, 2).len();
    house.post(&replay, json!({"from_cursor": "0"})).await.is(202);
    receiver.wait_until(|receiver| (of(receiver, 2).len() > before).then_some(())).await;
    let again = of(&receiver, 1);
    assert_eq!(again[0]["type"], "call.created");
    assert_eq!(again.len(), 2, "before the second, which comes after it");
    assert_eq!(again[0]["id"], again[1]["id"], "told again under its own name");
    for bad in [json!({}), json!({"from_cursor": "0", "dead_letters": true}), json!({"from_cursor": "n2-1"})]
    {
        house.post(&replay, bad).await.problem(400, "invalid_body");
    }
    house.post(&replay, json!({"from_cursor": "999999"})).await.problem(400, "invalid_body");
}

#[tokio::test]
async fn a_backlog_outlives_its_receiver_and_the_daemon() {
    let house = house().await;
    let (receiver, url) = Receiver::start().await;
    let (id, _) = made(&house, json!({"name": "crm", "url": url, "types": ["call.*"]})).await;
    house.patch(&format!("/v1/webhooks/{id}"), json!({"enabled": false})).await.is(200);
    for seq in 1..=50 {
        for call in 1..=10 {
            publish(&house, Some(call), seq, Event::CallQueued);
        }
    }
    let shown = house.get(&format!("/v1/webhooks/{id}")).await.is(200).json();
    assert_eq!(shown["backlog"], 500);
    assert_eq!(shown["disabled_reason"], "by_request");
    house.patch(&format!("/v1/webhooks/{id}"), json!({"enabled": true})).await.is(200);
    receiver.took(100).await;
    // Cut off in the middle; whoever comes next goes on.
    house.gateway.stop_webhooks().await;
    house.patch(&format!("/v1/webhooks/{id}"), json!({"name": "crm 2"})).await.is(200);
    let ids = |taken: &[Value]| {
        taken.iter().map(|event| event["id"].to_string()).collect::<std::collections::BTreeSet<_>>().len()
    };
    let taken =
        receiver.wait_until(|receiver| Some(receiver.taken()).filter(|taken| ids(taken) == 500)).await;
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for event in taken.iter().filter(|event| seen.insert(event["id"].to_string())) {
        let seq = event["seq"].as_u64().unwrap();
        let before = last.insert(event["call_id"].to_string(), seq).unwrap_or(0);
        assert_eq!(seq, before + 1, "in the order of its call");
    }
}

#[tokio::test]
async fn gone_disables_and_is_told() {
    let house = house().await;
    let (receiver, url) = Receiver::start().await;
    let (id, _) = made(&house, json!({"name": "crm", "url": url, "types": ["campaign.*"]})).await;
    let (witness, other) = Receiver::start().await;
    made(&house, json!({"name": "ops", "url": other, "types": ["webhook.*"]})).await;
    receiver.always(Some(410));
    house.campaign(&[]).await;
    let told = witness.took(1).await;
    assert_eq!(told[0]["type"], "webhook.disabled");
    assert_eq!(told[0]["data"]["webhook_id"], id.as_str());
    assert_eq!(told[0]["data"]["reason"], "gone");
    let shown = house.get(&format!("/v1/webhooks/{id}")).await.is(200).json();
    assert_eq!((&shown["enabled"], &shown["disabled_reason"]), (&json!(false), &json!("gone")));
    receiver.always(None);
    house.patch(&format!("/v1/webhooks/{id}"), json!({"enabled": true})).await.is(200);
    assert_eq!(receiver.took(1).await[0]["type"], "campaign.created");
}

#[tokio::test]
async fn the_circuit_breaker_probes_and_closes() {
    let house = House::with(
        |config| {
            config.webhooks = WebhookLimits {
                schedule_ms: vec![0, 1, 1, 1, 1, 1],
                breaker_failures: 2,
                breaker_ms: (1, 2),
                ..WebhookLimits::default()
            };
        },
        EventHub::default(),
    );
    house.gateway.start_webhooks().await.unwrap();
    let (receiver, url) = Receiver::start().await;
    let (id, _) = made(&house, json!({"name": "crm", "url": url, "types": ["call.*"]})).await;
    receiver.always(Some(503));
    publish(&house, Some(1), 1, Event::CallQueued);
    publish(&house, Some(2), 1, Event::CallQueued);
    let path = format!("/v1/webhooks/{id}");
    receiver.wait_until(|receiver| (receiver.inner.got.lock().unwrap().len() >= 4).then_some(())).await;
    receiver.always(None);
    receiver.took(2).await;
    let shown = house.get(&path).await.is(200).json();
    assert_eq!(shown["enabled"], true);
}

#[tokio::test]
async fn a_test_call_and_a_new_secret() {
    let house = house().await;
    let (receiver, url) = Receiver::start().await;
    let (id, first) = made(&house, json!({"name": "crm", "url": url})).await;
    let tested = house.act(&format!("/v1/webhooks/{id}:test")).await.is(200).json();
    assert_eq!((&tested["delivered"], &tested["status"]), (&json!(true), &json!(204)));
    assert_eq!(receiver.took(1).await[0]["type"], "webhook.test");
    receiver.always(Some(500));
    let tested = house.act(&format!("/v1/webhooks/{id}:test")).await.is(200).json();
    assert_eq!((&tested["delivered"], &tested["error"]), (&json!(false), &json!("status 500")));
    receiver.always(None);
    let rotated = house.act(&format!("/v1/webhooks/{id}:rotate_secret")).await.is(200).json();
    assert_ne!(rotated["secret"], first.as_str());
    house.act(&format!("/v1/webhooks/{id}:test")).await.is(200);
    let got = receiver.inner.got.lock().unwrap();
    let header = got.last().unwrap().0["webhook-signature"].to_str().unwrap();
    assert_eq!(header.split(' ').count(), 2, "both sign: {header}");
}

#[tokio::test]
async fn bad_webhooks_and_who_may() {
    let house = house().await;
    let (_, url) = Receiver::start().await;
    let good = json!({"name": "crm", "url": url});
    for (field, value, pointer) in [
        ("url", json!("ftp://example.com/"), "/url"),
        ("url", json!("https://user:password@example.com/"), "/url"),
        ("url", json!("not an address"), "/url"),
        ("name", json!(""), "/name"),
        ("types", json!(["Call.*"]), "/types/0"),
        ("secret", json!("whsec_AAAA"), "/secret"),
        ("campaign_id", json!("x"), "/campaign_id"),
        ("colour", json!("red"), "/colour"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let pointers = house.post("/v1/webhooks", body).await.problem(400, "invalid_body");
        assert_eq!(pointers, [pointer]);
    }
    // One that stands for no event is named, beside all there are; also when a webhook that is there is changed.
    let misspelt = json!({"name": "crm", "url": url, "types": ["call.*", "call.endd"]});
    let reply = house.post("/v1/webhooks", misspelt).await;
    assert_eq!(reply.problem(422, "unprocessable"), ["/types/1"]);
    assert!(reply.text.contains("no event is called call.endd"), "{}", reply.text);
    assert!(reply.json()["types"].as_array().unwrap().contains(&json!("call.ended")));
    let (there, _) = made(&house, json!({"name": "crm", "url": url, "types": ["call.*"]})).await;
    let changed = json!({"types": ["calls.*"]});
    let pointers = house.patch(&format!("/v1/webhooks/{there}"), changed).await.problem(422, "unprocessable");
    assert_eq!(pointers, ["/types/0"]);
    let weak = house.token(&["webhooks:write"]).await;
    let whole = json!({"name": "crm", "url": url, "numbers_whole": true});
    house
        .ask(&weak, Method::POST, "/v1/webhooks", Some(whole.clone()))
        .await
        .problem(403, "insufficient_scope");
    let reader = house.token(&["calls:read"]).await;
    house.ask(&reader, Method::GET, "/v1/webhooks", None).await.problem(403, "insufficient_scope");
    // One made to see whole numbers cannot be turned elsewhere by one who may not see them.
    let (id, _) = made(&house, whole).await;
    let path = format!("/v1/webhooks/{id}");
    let moved = Some(json!({"url": "http://127.6.0.2:1/"}));
    house.ask(&weak, Method::PATCH, &path, moved).await.problem(403, "insufficient_scope");
    house.ask(&weak, Method::PATCH, &path, Some(json!({"name": "renamed"}))).await.is(200);
    let stale = [("if-match", "\"v1\"")];
    let body = Some(json!({"name": "x"}));
    house.ask_with(ROOT, Method::PATCH, &path, body, &stale).await.problem(412, "version_mismatch");
    let listed = house.get("/v1/webhooks").await.is(200);
    assert!(!listed.text.contains("whsec_"), "secrets are shown once");
    house.delete(&path).await.is(204);
    house.get(&path).await.problem(404, "not_found");
}

/// A tenant's webhook is told what is the tenant's; the operator's is told all.
#[tokio::test]
async fn a_tenants_webhook_is_told_its_own() {
    let house = house().await;
    let (receiver, url) = Receiver::start().await;
    let token = json!({"name": "x", "scopes": ["webhooks:write"], "tenant": "acme"});
    let token = house.post("/v1/tokens", token).await.is(201).json()["token"].as_str().unwrap().to_owned();
    let body = json!({"name": "ours", "url": url});
    let made = house.ask(&token, Method::POST, "/v1/webhooks", Some(body)).await.is(201).json();
    assert_eq!(made["tenant"], "acme");
    for tenant in [None, Some("blue"), Some("acme"), Some("blue"), Some("acme")] {
        let cursor = house.hub.latest() + 1;
        house.core.lock().unwrap().publish(EventEnvelope {
            id: EventId::from_bits(u128::from(cursor)),
            cursor,
            seq: None,
            occurred_at: NOW,
            call: None,
            campaign: None,
            lead: None,
            agent: None,
            tenant: tenant.and_then(dialer_core::Tenant::new),
            client_state: None,
            post_call: false,
            event: dialled(),
        });
    }
    let taken = receiver.took(2).await;
    let path = format!("/v1/webhooks/{}", made["id"].as_str().unwrap());
    // All was looked at for it, and two of five were its own.
    while house.ask(&token, Method::GET, &path, None).await.is(200).json()["backlog"] != 0 {
        tokio::task::yield_now().await;
    }
    assert!(taken.iter().all(|event| event["tenant"] == "acme"), "{taken:?}");
    assert_eq!(receiver.taken().len(), 2);
}
