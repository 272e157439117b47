//! Push mode, as an integrator uses it.

use crate::house::{House, NOW};
use dialer_core::{Event, EventEnvelope};
use serde_json::json;

async fn pushed(house: &House, push: serde_json::Value) -> String {
    let list = house.list().await;
    let body = json!({"name": "Push", "lists": [list], "mode": "progressive", "push": push});
    house.made(&house.post("/v1/campaigns", body).await)
}

#[tokio::test]
async fn a_request_is_taken_once_and_tells_how_far_it_is() {
    let house = House::new();
    let campaign = pushed(&house, json!({"expires_in_ms": 5_000})).await;
    let path = format!("/v1/campaigns/{campaign}/dial-requests");
    let body =
        json!({"request_id": "ticket-7", "to": "13800138000", "priority": 3, "fields": {"name": "王"}});
    let taken = house.post(&path, body.clone()).await.is(202);
    let (made, place) = (taken.json(), taken.header("location").to_owned());
    assert_eq!(place, format!("{path}/{}", made["id"].as_str().unwrap()));
    assert_eq!((&made["status"], &made["to"]), (&json!("queued"), &json!("+8613800138000")));
    assert_eq!(made["expires_at"], "2026-10-01T02:03:09.000Z", "as the campaign says");
    let again = house.post(&path, body).await.is(200).json();
    assert_eq!(again["id"], made["id"], "the same request, not another");
    assert_eq!(house.get(&place).await.is(200).json(), again);

    let batch = json!({"requests": [
        {"request_id": "ticket-7", "to": "+8613900139000"},
        {"to": "+8613800138000", "expires_in_ms": 90_000},
        {"phones": [{"number": "+8613700137000"}, {"number": "+8613700137001"}], "expires_at": "2026-10-01T02:13:04Z"},
    ]});
    let many = house.post(&path, batch).await.is(202).json();
    assert_eq!((&many["accepted"], &many["duplicates"]), (&json!(2), &json!(1)));
    assert_eq!(many["data"][0]["to"], "+8613800138000", "a name that is there changes nothing");
    assert_eq!(many["data"][1]["expires_at"], "2026-10-01T02:04:34.000Z");
    let listed = house.get(&path).await.is(200).json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 3);
    let masked = house.token(&["leads:read"]).await;
    let masked = house.ask(&masked, axum::http::Method::GET, &place, None).await.is(200).json();
    assert_eq!(masked["to"], "+86138****8000");
}

#[tokio::test]
async fn an_expired_request_says_so_for_good() {
    let house = House::new();
    let campaign = pushed(&house, json!({})).await;
    let path = format!("/v1/campaigns/{campaign}/dial-requests");
    let taken = house.post(&path, json!({"request_id": "r", "to": "+8613800138000"})).await.is(202).json();
    let place = format!("{path}/{}", taken["id"].as_str().unwrap());
    house.core.lock().unwrap().pass(59_999);
    assert_eq!(house.get(&place).await.json()["status"], "queued");
    house.core.lock().unwrap().pass(1);
    assert_eq!(house.get(&place).await.json()["status"], "expired");
    let events: Vec<EventEnvelope> = house.store_events();
    let told: Vec<_> = events.iter().filter(|e| matches!(e.event, Event::LeadExpired { .. })).collect();
    assert_eq!(told.len(), 1);
    let again = house.post(&path, json!({"request_id": "r", "to": "+8613800138000"})).await.is(200).json();
    assert_eq!(again["status"], "expired", "asking again does not bring it back");
    let _ = NOW;
}

#[tokio::test]
async fn bad_requests_name_their_place_and_take_nothing() {
    let house = House::new();
    let campaign = pushed(&house, json!({"waiting_max": 2})).await;
    let path = format!("/v1/campaigns/{campaign}/dial-requests");
    for (body, pointer) in [
        (json!({}), "/to"),
        (json!({"to": "12"}), "/to"),
        (json!({"to": "+8613800138000", "expires_in_ms": 0}), "/expires_in_ms"),
        (json!({"to": "+8613800138000", "expires_at": "2026-10-01T02:03:04Z"}), "/expires_at"),
        (json!({"to": "+8613800138000", "expires_at": "2026-12-01T02:03:04Z"}), "/expires_at"),
        (
            json!({"to": "+8613800138000", "expires_in_ms": 5, "expires_at": "2026-10-01T02:04:04Z"}),
            "/expires_in_ms",
        ),
        (json!({"to": "+8613800138000", "request_id": ""}), "/request_id"),
        (json!({"to": "+8613800138000", "colour": "red"}), "/colour"),
        (json!({"requests": []}), "/requests"),
        (json!({"requests": [{"to": "+8613800138000"}, {"to": "x"}]}), "/requests/1/to"),
    ] {
        assert_eq!(house.post(&path, body.clone()).await.problem(400, "invalid_body"), [pointer], "{body}");
    }
    assert_eq!(house.get(&path).await.json()["data"], json!([]));
    for number in ["+8613800138000", "+8613800138001"] {
        house.post(&path, json!({"to": number})).await.is(202);
    }
    let full = house.post(&path, json!({"to": "+8613800138002"})).await;
    full.problem(429, "limit_reached");
    let plain = house.campaign(&[&house.list().await]).await;
    let refused =
        house.post(&format!("/v1/campaigns/{plain}/dial-requests"), json!({"to": "+8613800138000"})).await;
    refused.problem(409, "invalid_state");
    let reader = house.token(&["leads:read"]).await;
    let body = Some(json!({"to": "+8613800138000"}));
    house.ask(&reader, axum::http::Method::POST, &path, body).await.problem(403, "insufficient_scope");
    house.get(&format!("{path}/lead_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")).await.problem(404, "not_found");
}
