//! Routes of inbound calls, as an integrator sets them.

use crate::house::House;
use serde_json::{Value, json};

#[tokio::test]
async fn a_route_is_made_changed_and_deleted() {
    let house = House::new();
    let pool = json!({"name": "p", "numbers": ["+862155550000"]});
    let pool = house.made(&house.post("/v1/caller-id-pools", pool).await);
    let steps = json!([
        {"to": "last_agent", "within_ms": 3_600_000, "wait_ms": 5_000, "play": "music"},
        {"to": "owner", "wait_ms": 0},
        {"to": "group", "group": "sales", "waiting_max": 20, "wait_ms": 60_000, "play": "music"},
        {"to": "menu", "play": "menu", "wait_ms": 4_000, "digits": {
            "1": {"to": "group", "waiting_max": 5, "wait_ms": 9_000},
            "2": {"to": "message", "play": "closed"}}},
        {"to": "message", "play": "goodbye"}]);
    let body = json!({"name": "back", "numbers": ["+862155550001"], "caller_id_pools": [pool], "steps": steps,
        "priority": 80, "record": false});
    let id = house.made(&house.post("/v1/inbound-routes", body.clone()).await);
    let path = format!("/v1/inbound-routes/{id}");
    let shown = house.get(&path).await.is(200).json();
    for (key, value) in body.as_object().unwrap() {
        assert_eq!(&shown[key], value, "{key}");
    }
    let twice = json!({"name": "twice", "numbers": ["+862155550001"]});
    assert_eq!(house.post("/v1/inbound-routes", twice).await.problem(409, "conflict"), ["/numbers/0"]);
    let kept = house.delete(&format!("/v1/caller-id-pools/{pool}")).await;
    kept.problem(409, "invalid_state");
    let changed = house.patch(&path, json!({"caller_id_pools": [], "steps": [{"to": "owner"}]})).await;
    let changed = changed.is(200).json();
    assert_eq!((&changed["version"], &changed["steps"][0]["to"]), (&json!(2), &json!("owner")));
    let masked = house.token(&["campaigns:read"]).await;
    let masked = house.ask(&masked, axum::http::Method::GET, &path, None).await.is(200).json();
    assert_eq!(masked["numbers"], json!(["+8621****0001"]));
    assert_eq!(house.get("/v1/inbound-routes").await.json()["data"].as_array().unwrap().len(), 1);
    house.delete(&path).await.is(204);
    house.get(&path).await.problem(404, "not_found");
}

#[tokio::test]
async fn bad_routes_name_their_place() {
    let house = House::new();
    let refused = async |change: Value| {
        let mut body = json!({"name": "r", "numbers": ["+862155550001"]});
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        house.post("/v1/inbound-routes", body).await.problem(400, "invalid_body")
    };
    for (change, pointer) in [
        (json!({"name": ""}), "/name"),
        (json!({"numbers": []}), "/numbers"),
        (json!({"numbers": ["021"]}), "/numbers/0"),
        (json!({"steps": []}), "/steps"),
        (json!({"steps": [{"to": "moon"}]}), "/steps/0/to"),
        (json!({"steps": [{"to": "message"}]}), "/steps/0/play"),
        (json!({"steps": [{"to": "owner", "group": "sales"}]}), "/steps/0/group"),
        (
            json!({"steps": [{"to": "menu", "play": "m", "digits": {"12": {"to": "owner"}}}]}),
            "/steps/0/digits/12",
        ),
        (json!({"steps": [{"to": "group", "wait_ms": 3_600_001}]}), "/steps/0/wait_ms"),
        (json!({"campaign_id": "camp_01JC8Z3V5N8W6Q2R4T7Y9X1B3D"}), "/campaign_id"),
        (json!({"priority": 101}), "/priority"),
    ] {
        assert_eq!(refused(change.clone()).await, [pointer], "{change}");
    }
}
