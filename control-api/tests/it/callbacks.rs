//! `/v1/callbacks`, as a CRM uses it.

use crate::house::{House, ROOT};
use axum::http::Method;
use dialer_core::Event;
use serde_json::{Value, json};

async fn lead(house: &House, list: &str, number: &str) -> String {
    let body = json!({ "phone": number, "external_id": format!("crm-{number}") });
    house.made(&house.post(&format!("/v1/lists/{list}/leads"), body).await)
}

fn ids(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|one| one["lead_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_callback_is_promised_moved_listed_and_taken_back() {
    let house = House::new();
    let list = house.list().await;
    let campaign = house.campaign(&[&list]).await;
    let agent = house.agent("ada").await;
    let (wang, li) =
        (lead(&house, &list, "+8613800138000").await, lead(&house, &list, "+8613800138001").await);
    let body = json!({ "lead_id": wang, "at": "2026-10-01T03:00:00Z", "agent_id": agent,
        "campaign_id": campaign, "notes": "wants 13900139000 to be used" });
    let made = house.post("/v1/callbacks", body.clone()).await.is(201);
    assert_eq!(made.header("location"), format!("/v1/callbacks/{wang}"));
    assert_eq!(made.header("etag"), "\"v1\"");
    let made = made.json();
    assert_eq!((&made["state"], &made["at"]), (&json!("waiting"), &json!("2026-10-01T03:00:00.000Z")));
    assert_eq!((&made["agent_id"], &made["campaign_id"]), (&json!(agent), &json!(campaign)));
    house.post("/v1/callbacks", body).await.problem(409, "conflict");
    let other = json!({ "lead_id": li, "at": "2026-10-01T02:30:00Z" });
    house.post("/v1/callbacks", other).await.is(201);

    let all = house.get("/v1/callbacks?limit=1").await.is(200).json();
    assert_eq!(ids(&all), [&li], "the sooner first");
    let next = format!("/v1/callbacks?limit=1&cursor={}", all["next_cursor"].as_str().unwrap());
    assert_eq!(ids(&house.get(&next).await.json()), [&wang]);
    for (query, expected) in [
        (format!("agent={agent}"), vec![wang.as_str()]),
        (format!("campaign={campaign}"), vec![wang.as_str()]),
        (format!("list={list}&from=2026-10-01T02:30:00Z&to=2026-10-01T02:30:01Z"), vec![li.as_str()]),
        ("due=true".into(), vec![]),
    ] {
        assert_eq!(ids(&house.get(&format!("/v1/callbacks?{query}")).await.json()), expected, "{query}");
    }

    let place = format!("/v1/callbacks/{wang}");
    let moved = house.patch(&place, json!({ "at": "2026-10-01T02:10:00Z", "agent_id": null })).await.is(200);
    assert_eq!(moved.header("etag"), "\"v2\"");
    assert_eq!((&moved.json()["agent_id"], &moved.json()["notes"]), (&json!(null), &made["notes"]));
    let stale = [("if-match", "\"v1\"")];
    let body = Some(json!({ "notes": null }));
    house.ask_with(ROOT, Method::PATCH, &place, body, &stale).await.problem(412, "version_mismatch");
    house.ask_with(ROOT, Method::DELETE, &place, None, &stale).await.problem(412, "version_mismatch");

    let reader = house.token(&["leads:read"]).await;
    let masked = house.ask(&reader, Method::GET, &place, None).await.is(200).json();
    assert_eq!(masked["to"], "+86138****8000");
    assert!(!masked.to_string().contains("13800138000") && !masked.to_string().contains("13900139000"));
    house.ask(&reader, Method::DELETE, &place, None).await.problem(403, "insufficient_scope");

    house.core.lock().unwrap().pass(7 * 60_000);
    let events = house.store_events();
    let due: Vec<_> = events.iter().filter(|e| matches!(e.event, Event::LeadCallbackDue { .. })).collect();
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].lead.map(|id| id.to_string()), Some(wang.clone()));

    house.delete(&place).await.is(204);
    house.get(&place).await.problem(404, "not_found");
    house.delete(&place).await.problem(404, "not_found");
    let back = house.get(&format!("/v1/lists/{list}/leads/{wang}")).await.json();
    assert_eq!((&back["state"], &back["next_at"]), (&json!("new"), &json!(null)));
}

#[tokio::test]
async fn bad_callbacks_name_their_place() {
    let house = House::new();
    let list = house.list().await;
    let elsewhere = house.campaign(&[&house.list().await]).await;
    let lead = lead(&house, &list, "+8613800138000").await;
    let good = json!({ "lead_id": lead, "at": "2026-10-01T03:00:00Z" });
    for (field, value, pointer) in [
        ("lead_id", json!("lead_01JC8Z3V5N8W6Q2R4T7Y9X1B3D"), "/lead_id"),
        ("lead_id", json!("nonsense"), "/lead_id"),
        ("at", json!("2026-10-01T02:00:00Z"), "/at"),
        ("at", json!("2029-10-01T02:00:00Z"), "/at"),
        ("at", json!("tomorrow"), "/at"),
        ("agent_id", json!("agt_01JC8Z3V5N8W6Q2R4T7Y9X1B3D"), "/agent_id"),
        ("agent_id", json!("bob"), "/agent_id"),
        ("campaign_id", json!(elsewhere), "/campaign_id"),
        ("notes", json!("x".repeat(501)), "/notes"),
        ("colour", json!("red"), "/colour"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let reply = house.post("/v1/callbacks", body).await;
        assert_eq!(reply.problem(400, "invalid_body"), [pointer], "{field}");
    }
    house.get("/v1/callbacks?cursor=x").await.problem(400, "invalid_parameter");
    house.get("/v1/callbacks?agent=ada").await.problem(400, "invalid_parameter");
    house.get("/v1/callbacks?state=x").await.problem(400, "invalid_parameter");
    house.get("/v1/callbacks/lead_01JC8Z3V5N8W6Q2R4T7Y9X1B3D").await.problem(404, "not_found");
    house.patch(&format!("/v1/callbacks/{lead}"), json!({ "notes": "x" })).await.problem(404, "not_found");
    assert_eq!(house.get("/v1/callbacks").await.json()["data"], json!([]));
}
