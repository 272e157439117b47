//! Everything that can be wrong with a request.

use crate::house::{House, NOW, ROOT};
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;

#[tokio::test]
async fn without_a_good_token_nothing_is_told() {
    let house = House::new();
    let reply = house.ask("", Method::GET, "/v1/trunks", None).await;
    reply.problem(401, "unauthorized");
    assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"dialerd\"");
    let reply = house.ask("dlr_wrong", Method::GET, "/v1/trunks", None).await;
    reply.problem(401, "unauthorized");
    assert!(reply.header("www-authenticate").contains("invalid_token"));
    let basic = Request::get("/v1/trunks").header("authorization", "Basic abc").body(Body::empty()).unwrap();
    house.send(basic).await.problem(401, "unauthorized");
    // Before the body is looked at.
    house.ask("", Method::POST, "/v1/trunks", Some(json!({"no": 1}))).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn each_route_needs_its_scope() {
    let house = House::new();
    let (trunk, agent, list) = (house.trunk().await, house.agent("1001").await, house.list().await);
    let campaign = house.campaign(&[&list]).await;
    let other = house.token(&["webhooks:write"]).await;
    let lead = house.post(&format!("/v1/lists/{list}/leads"), json!({"phone": "13800138000"})).await;
    let lead = house.made(&lead);
    for (method, path) in [
        (Method::GET, "/v1/trunks".to_owned()),
        (Method::POST, "/v1/trunks".into()),
        (Method::GET, format!("/v1/trunks/{trunk}")),
        (Method::PATCH, format!("/v1/trunks/{trunk}")),
        (Method::DELETE, format!("/v1/trunks/{trunk}")),
        (Method::GET, "/v1/agents".into()),
        (Method::POST, "/v1/agents".into()),
        (Method::GET, format!("/v1/agents/{agent}")),
        (Method::PATCH, format!("/v1/agents/{agent}")),
        (Method::DELETE, format!("/v1/agents/{agent}")),
        (Method::POST, format!("/v1/agents/{agent}:login")),
        (Method::POST, format!("/v1/agents/{agent}/logout")),
        (Method::POST, format!("/v1/agents/{agent}:ready")),
        (Method::POST, format!("/v1/agents/{agent}:pause")),
        (Method::GET, format!("/v1/agents/{agent}/task")),
        (Method::POST, "/v1/tasks/x:dial".into()),
        (Method::POST, "/v1/tasks/x:skip".into()),
        (Method::GET, "/v1/lists".into()),
        (Method::POST, "/v1/lists".into()),
        (Method::GET, format!("/v1/lists/{list}")),
        (Method::PATCH, format!("/v1/lists/{list}")),
        (Method::DELETE, format!("/v1/lists/{list}")),
        (Method::GET, format!("/v1/lists/{list}/leads")),
        (Method::POST, format!("/v1/lists/{list}/leads")),
        (Method::GET, format!("/v1/lists/{list}/leads/{lead}")),
        (Method::POST, format!("/v1/lists/{list}/leads:import")),
        (Method::GET, "/v1/campaigns".into()),
        (Method::POST, "/v1/campaigns".into()),
        (Method::GET, format!("/v1/campaigns/{campaign}")),
        (Method::PATCH, format!("/v1/campaigns/{campaign}")),
        (Method::DELETE, format!("/v1/campaigns/{campaign}")),
        (Method::POST, format!("/v1/campaigns/{campaign}:start")),
        (Method::POST, format!("/v1/campaigns/{campaign}:pause")),
        (Method::POST, format!("/v1/campaigns/{campaign}:resume")),
        (Method::POST, format!("/v1/campaigns/{campaign}:stop")),
        (Method::GET, format!("/v1/campaigns/{campaign}/stats")),
        (Method::GET, format!("/v1/campaigns/{campaign}/pacing")),
        (Method::GET, format!("/v1/campaigns/{campaign}/diagnostics")),
        (Method::GET, "/v1/calls".into()),
        (Method::POST, "/v1/calls".into()),
        (Method::GET, "/v1/calls/x".into()),
        (Method::POST, "/v1/calls/x/hangup".into()),
        (Method::POST, "/v1/calls/x/disposition".into()),
        (Method::GET, "/v1/cdrs".into()),
        (Method::GET, "/v1/cdrs/x".into()),
        (Method::GET, "/v1/recordings".into()),
        (Method::GET, "/v1/recordings/x".into()),
        (Method::GET, "/v1/recordings/x/download".into()),
        (Method::GET, "/v1/recordings/x/listen".into()),
        (Method::GET, "/v1/audit".into()),
        (Method::DELETE, "/v1/recordings/x".into()),
        (Method::GET, "/v1/abandonment-ledger:export".into()),
        (Method::GET, "/v1/events".into()),
        (Method::GET, "/v1/node".into()),
        (Method::POST, "/v1/node:drain".into()),
        (Method::POST, "/v1/node:undrain".into()),
        (Method::GET, "/v1/tokens".into()),
        (Method::POST, "/v1/tokens".into()),
        (Method::DELETE, "/v1/tokens/x".into()),
    ] {
        house.ask("", method.clone(), &path, None).await.problem(401, "unauthorized");
        let reply = house.ask(&other, method.clone(), &path, None).await;
        assert_eq!(reply.status.as_u16(), 403, "{method} {path}: {reply:?}");
        reply.problem(403, "insufficient_scope");
        assert!(reply.header("www-authenticate").contains("insufficient_scope"));
        assert!(!reply.json()["required_scopes"].as_array().unwrap().is_empty());
    }
}

#[tokio::test]
async fn paths_methods_and_bodies_that_do_not_fit() {
    let house = House::new();
    house.get("/").await.problem(404, "no_such_route");
    house.get("/v1/nothing").await.problem(404, "no_such_route");
    house.get("/v1/agents/x/y/z").await.problem(404, "no_such_route");
    let reply = house.ask(ROOT, Method::PUT, "/v1/trunks", None).await;
    reply.problem(405, "method_not_allowed");
    assert!(reply.header("allow").contains("POST"), "{reply:?}");
    let raw = |kind: &'static str, body: Vec<u8>| {
        let mut request = Request::post("/v1/trunks").header("authorization", format!("Bearer {ROOT}"));
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        house.send(request.body(Body::from(body)).unwrap())
    };
    raw("text/plain", b"{}".to_vec()).await.problem(415, "unsupported_media_type");
    raw("", b"{}".to_vec()).await.problem(415, "unsupported_media_type");
    raw("application/json", b"".to_vec()).await.problem(400, "invalid_json");
    raw("application/json", b"{\"name\":".to_vec()).await.problem(400, "invalid_json");
    raw("application/json", b"{\"name\":\"\xff\xfe\"}".to_vec()).await.problem(400, "invalid_json");
    raw("application/json", vec![b'['; 200_000]).await.problem(400, "invalid_json");
    raw("application/json", vec![b' '; 10 << 20]).await.problem(413, "payload_too_large");
    assert_eq!(
        raw("application/json; charset=utf-8", b"[]".to_vec()).await.problem(400, "invalid_body"),
        [""]
    );
    assert_eq!(raw("application/json", b"{}".to_vec()).await.problem(400, "invalid_body"), ["/name"]);
    let colour = json!({"name": "x", "address": "127.0.0.1:5060", "colour": "red"});
    assert_eq!(house.post("/v1/trunks", colour).await.problem(400, "invalid_body"), ["/colour"]);
    let typed = json!({"name": "x", "address": "127.0.0.1:5060", "channels_max": "many"});
    assert_eq!(house.post("/v1/trunks", typed).await.problem(400, "invalid_body"), ["/channels_max"]);
    let nested = json!({"name": "x", "timers": {"ring_max_ms": -1}});
    assert_eq!(
        house.post("/v1/campaigns", nested).await.problem(400, "invalid_body"),
        ["/timers/ring_max_ms"]
    );
    let array = json!({"name": "x", "timers": []});
    assert_eq!(house.post("/v1/campaigns", array).await.problem(400, "invalid_body"), ["/timers"]);
    let planned = json!({"name": "x", "pacing": {"wait_target": 8000}});
    assert_eq!(
        house.post("/v1/campaigns", planned).await.problem(400, "invalid_body"),
        ["/pacing/wait_target"]
    );
    let pool = json!({"name": "x", "caller_id": {"pool": "cid"}});
    assert_eq!(house.post("/v1/campaigns", pool).await.problem(400, "invalid_body"), ["/caller_id"]);
    let list = json!({"name": "x", "lists": ["list_a"]});
    assert_eq!(house.post("/v1/campaigns", list).await.problem(400, "invalid_body"), ["/lists/0"]);
    let unknown = json!({"name": "x", "lists": ["list_01JC8Z3V5N8W6Q2R4T7Y9X1B3D"]});
    assert_eq!(house.post("/v1/campaigns", unknown).await.problem(400, "invalid_body"), ["/lists/0"]);
}

#[tokio::test]
async fn parameters_that_do_not_fit() {
    let house = House::new();
    for (path, name) in [
        ("/v1/trunks?limit=0", "limit"),
        ("/v1/trunks?limit=1001", "limit"),
        ("/v1/trunks?limit=ten", "limit"),
        ("/v1/trunks?limit=1&limit=2", "limit"),
        ("/v1/trunks?cursor=zz", "cursor"),
        ("/v1/trunks?page=2", "page"),
        ("/v1/trunks?include=everything", "include"),
        ("/v1/calls?state=ended", "state"),
        ("/v1/calls?campaign=camp_1", "campaign"),
        ("/v1/cdrs?from=yesterday", "from"),
        ("/v1/cdrs?outcome=fine", "outcome"),
        ("/v1/cdrs?cursor=zz", "cursor"),
        ("/v1/recordings?cursor=zz", "cursor"),
        ("/v1/recordings?agent=7", "agent"),
        ("/v1/events?types=Call.*", "types"),
        ("/v1/events?after=n2-5", "after"),
    ] {
        assert_eq!(house.get(path).await.problem(400, "invalid_parameter"), [name], "{path}");
    }
    house
        .ask_with(ROOT, Method::GET, "/v1/events", None, &[("last-event-id", "x")])
        .await
        .problem(400, "invalid_header");
}

#[tokio::test]
async fn unknown_things_are_not_found() {
    let house = House::new();
    let ulid = "01JC8Z3V5N8W6Q2R4T7Y9X1B3D";
    for (method, path) in [
        (Method::GET, format!("/v1/trunks/trk_{ulid}")),
        (Method::GET, "/v1/trunks/nonsense".into()),
        (Method::DELETE, format!("/v1/trunks/trk_{ulid}")),
        (Method::GET, format!("/v1/agents/agt_{ulid}")),
        (Method::POST, format!("/v1/agents/agt_{ulid}:login")),
        (Method::GET, format!("/v1/agents/agt_{ulid}/task")),
        (Method::POST, format!("/v1/tasks/task_{ulid}:dial")),
        (Method::POST, format!("/v1/tasks/task_{ulid}:skip")),
        (Method::GET, format!("/v1/lists/list_{ulid}")),
        (Method::GET, format!("/v1/lists/list_{ulid}/leads")),
        (Method::GET, format!("/v1/lists/list_{ulid}/leads/lead_{ulid}")),
        (Method::POST, format!("/v1/lists/list_{ulid}/leads:import")),
        (Method::GET, format!("/v1/campaigns/camp_{ulid}")),
        (Method::POST, format!("/v1/campaigns/camp_{ulid}:start")),
        (Method::GET, format!("/v1/campaigns/camp_{ulid}/stats")),
        (Method::GET, format!("/v1/campaigns/camp_{ulid}/pacing")),
        (Method::GET, format!("/v1/campaigns/camp_{ulid}/diagnostics")),
        (Method::GET, format!("/v1/calls/call_{ulid}")),
        (Method::POST, format!("/v1/calls/call_{ulid}/hangup")),
        (Method::GET, format!("/v1/cdrs/call_{ulid}")),
        (Method::GET, format!("/v1/recordings/rec_{ulid}")),
        (Method::GET, format!("/v1/recordings/rec_{ulid}/download")),
        (Method::DELETE, format!("/v1/tokens/tok_{ulid}")),
    ] {
        let reply = house.ask(ROOT, method.clone(), &path, None).await;
        assert_eq!(reply.status.as_u16(), 404, "{method} {path}: {reply:?}");
        reply.problem(404, "not_found");
    }
    for (path, body) in [
        (format!("/v1/trunks/trk_{ulid}"), json!({"name": "x"})),
        (format!("/v1/agents/agt_{ulid}"), json!({"name": "x"})),
        (format!("/v1/lists/list_{ulid}"), json!({"name": "x"})),
        (format!("/v1/campaigns/camp_{ulid}"), json!({"name": "x"})),
    ] {
        house.patch(&path, body).await.problem(404, "not_found");
    }
    let said = json!({"code": "sale"});
    house.post(&format!("/v1/calls/call_{ulid}/disposition"), said).await.problem(404, "not_found");
    house
        .post(&format!("/v1/lists/list_{ulid}/leads"), json!({"phone": "1"}))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn a_repeated_post_is_carried_out_once() {
    let house = House::new();
    let body = json!({"name": "October"});
    let key = [("idempotency-key", "crm-1")];
    let first = house.ask_with(ROOT, Method::POST, "/v1/lists", Some(body.clone()), &key).await.is(201);
    let again = house.ask_with(ROOT, Method::POST, "/v1/lists", Some(body.clone()), &key).await.is(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(first.text, again.text);
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(first.header("etag"), again.header("etag"));
    assert_ne!(first.header("x-request-id"), again.header("x-request-id"));
    assert_eq!(house.get("/v1/lists").await.json()["data"].as_array().unwrap().len(), 1);
    let other = json!({"name": "November"});
    let reply = house.ask_with(ROOT, Method::POST, "/v1/lists", Some(other), &key).await;
    reply.problem(422, "idempotency_key_reused");
    let reply = house.ask_with(ROOT, Method::POST, "/v1/agents", Some(body.clone()), &key).await;
    reply.problem(422, "idempotency_key_reused");
    // Another client's keys are its own.
    let token = house.token(&["leads:write"]).await;
    house.ask_with(&token, Method::POST, "/v1/lists", Some(body.clone()), &key).await.is(201);
    // A refused request is not remembered.
    let key = [("idempotency-key", "crm-2")];
    house
        .ask_with(ROOT, Method::POST, "/v1/lists", Some(json!({"name": ""})), &key)
        .await
        .problem(400, "invalid_body");
    house.ask_with(ROOT, Method::POST, "/v1/lists", Some(body), &key).await.is(201);
    let long = "x".repeat(256);
    let reply =
        house.ask_with(ROOT, Method::POST, "/v1/lists", Some(json!({})), &[("idempotency-key", &long)]).await;
    reply.problem(400, "invalid_header");
}

#[tokio::test]
async fn tokens_end_and_cannot_grow() {
    let house = House::new();
    let token = house.token(&["admin"]).await;
    house.ask(&token, Method::GET, "/v1/trunks", None).await.is(200);
    // Not what it has not itself.
    let body = json!({"name": "more", "scopes": ["leads:pii"]});
    house.ask(&token, Method::POST, "/v1/tokens", Some(body)).await.problem(403, "insufficient_scope");
    let body = json!({"name": "x", "scopes": ["calls:fly"]});
    assert_eq!(house.post("/v1/tokens", body).await.problem(400, "invalid_body"), ["/scopes/0"]);
    let body = json!({"name": "x", "scopes": [], "expires_at": control_api::rfc3339(NOW)});
    assert_eq!(house.post("/v1/tokens", body).await.problem(400, "invalid_body"), ["/scopes", "/expires_at"]);
    let listed = house.get("/v1/tokens").await.is(200);
    assert!(!listed.text.contains(&token), "the secret is not shown again");
    let id = listed.json()["data"][0]["id"].as_str().unwrap().to_owned();
    house.delete(&format!("/v1/tokens/{id}")).await.is(204);
    house.ask(&token, Method::GET, "/v1/trunks", None).await.problem(401, "unauthorized");
    // One that ends in a millisecond, and a clock that stands: still good; one that ended is not.
    let soon = control_api::rfc3339(NOW.plus_millis(1));
    let reply = house
        .post("/v1/tokens", json!({"name": "x", "scopes": ["calls:read"], "expires_at": soon}))
        .await
        .is(201);
    let secret = reply.json()["token"].as_str().unwrap().to_owned();
    house.ask(&secret, Method::GET, "/v1/calls", None).await.is(200);
}

#[tokio::test]
async fn too_many_at_once_are_turned_away() {
    let house = House::with(|config| config.requests_max = 0, Default::default());
    let reply = house.get("/v1/trunks").await;
    reply.problem(503, "overloaded");
    assert_eq!(reply.header("retry-after"), "1");
}

#[tokio::test]
async fn a_request_that_does_not_end_is_ended() {
    let house = House::with(
        |config| config.request_timeout = std::time::Duration::from_millis(50),
        Default::default(),
    );
    let body = Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let request = Request::post("/v1/trunks")
        .header("authorization", format!("Bearer {ROOT}"))
        .header("content-type", "application/json")
        .body(body)
        .unwrap();
    house.send(request).await.problem(504, "timeout");
}
