//! Do-not-call lists, rule books, windows and filters, as an integrator uses them.

use crate::house::{House, ROOT};
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

async fn made(house: &House, path: &str, body: Value) -> String {
    house.made(&house.post(path, body).await)
}

#[tokio::test]
async fn a_do_not_call_list_lives() {
    let house = House::new();
    let id = made(&house, "/v1/dnc-lists", json!({"name": "federal", "source": "us_national"})).await;
    let path = format!("/v1/dnc-lists/{id}");
    let numbers = format!("{path}/numbers");
    let added =
        json!({"numbers": ["13800138000", "+1900*", "+14155550123"], "expires_at": "2027-01-01T00:00:00Z"});
    assert_eq!(house.post(&numbers, added.clone()).await.is(200).json()["changed"], 3);
    assert_eq!(house.post(&numbers, added).await.is(200).json()["changed"], 0, "the same again is no change");
    let shown = house.get(&path).await.is(200).json();
    assert_eq!(
        (&shown["entries"], &shown["everywhere"], &shown["version"]),
        (&json!(3), &json!(true), &json!(1))
    );
    let removed =
        house.post(&format!("{numbers}:remove"), json!({"numbers": ["+1900*", "+4930123456"]})).await;
    assert_eq!(removed.is(200).json()["changed"], 1);
    for (body, pointer) in [
        (json!({"numbers": []}), "/numbers"),
        (json!({"numbers": ["+14155550123", "hello"]}), "/numbers/1"),
        (json!({"numbers": ["1900*"]}), "/numbers/0"),
        (json!({"numbers": ["+14155550123"], "expires_at": "2001-01-01T00:00:00Z"}), "/expires_at"),
    ] {
        assert_eq!(house.post(&numbers, body).await.problem(400, "invalid_body"), [pointer]);
    }
    let renamed = house.patch(&path, json!({"name": "national", "everywhere": false})).await.is(200).json();
    assert_eq!((&renamed["name"], &renamed["version"]), (&json!("national"), &json!(2)));
    house.delete(&path).await.is(204);
    house.get(&path).await.problem(404, "not_found");
    house.post(&numbers, json!({"numbers": ["+14155550123"]})).await.problem(404, "not_found");
}

#[tokio::test]
async fn numbers_are_imported_line_by_line() {
    let house = House::new();
    let id = made(&house, "/v1/dnc-lists", json!({"name": "federal"})).await;
    let mut text = String::from("number,added\n\n+14155550100,2026\n\"+14155550101\"\n+1900*\n");
    for n in 0..25_000 {
        text.push_str(&format!("+861380{n:07}\n"));
    }
    text.push_str("+14155550102");
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/v1/dnc-lists/{id}/numbers:import?expires_at=2027-01-01T00:00:00Z"))
        .header("authorization", format!("Bearer {ROOT}"))
        .header("content-type", "text/csv")
        .body(Body::from(text))
        .unwrap();
    let told = house.send(request).await.is(200).json();
    assert_eq!(
        (&told["lines"], &told["added"], &told["refused"], &told["faults"][0]["line"]),
        (&json!(25_005), &json!(25_004), &json!(1), &json!(1))
    );
    assert_eq!(house.get(&format!("/v1/dnc-lists/{id}")).await.is(200).json()["entries"], 25_004);
}

#[tokio::test]
async fn windows_limits_and_filters_are_taken_and_shown() {
    let house = House::new();
    let list = house.list().await;
    let dnc = made(&house, "/v1/dnc-lists", json!({"name": "own", "everywhere": false})).await;
    let windows = json!({"hours": [{"days": ["mon", "sat"], "from": "09:30", "to": "20:00"}],
        "holidays": ["2026-12-25", "2027-01-01"]});
    let caps = json!({"per_lead": 7, "per_day": 1, "per_24h": 2, "per_7d": 3, "per_30d": 4, "gap_ms": 60_000,
            "per_number_24h": 2, "refusal_days": 90,
            "day_parts": [{"from": "09:00", "to": "12:00", "max": 1}]});
    let filter = r#"fields.segment = "gold" and attempts < 3"#;
    let body = json!({"name": "c", "lists": [list], "calling_windows": windows, "caps": caps, "filter": filter,
        "dnc_lists": [dnc]});
    let id = made(&house, "/v1/campaigns", body).await;
    let path = format!("/v1/campaigns/{id}");
    let shown = house.get(&path).await.is(200).json();
    assert_eq!((&shown["calling_windows"], &shown["caps"]), (&windows, &caps));
    assert_eq!((&shown["filter"], &shown["dnc_lists"]), (&json!(filter), &json!([dnc])));
    house.delete(&format!("/v1/dnc-lists/{dnc}")).await.problem(409, "invalid_state");
    for (change, pointer) in [
        (json!({"filter": "attempts <"}), "/filter"),
        (json!({"filter": "1; DROP TABLE lead"}), "/filter"),
        (json!({"caps": {"per_24h": 0}}), "/caps/per_24h"),
        (json!({"caps": {"day_parts": [{"from": "12:00", "to": "09:00", "max": 1}]}}), "/caps/day_parts/0"),
        (json!({"caps": {"per_7d": 33}}), "/caps/per_7d"),
        (json!({"calling_windows": {"hours": []}}), "/calling_windows/hours"),
        (
            json!({"calling_windows": {"hours": [{"from": "9", "to": "20:00"}]}}),
            "/calling_windows/hours/0/from",
        ),
        (
            json!({"calling_windows": {"hours": [{"from": "09:00", "to": "09:00"}]}}),
            "/calling_windows/hours/0/to",
        ),
        (json!({"calling_windows": {"holidays": ["2026-02-30"]}}), "/calling_windows/holidays/0"),
        (json!({"pacing": {"policy": "fr_2022"}, "calling_windows": null}), "/calling_windows/holidays"),
        (json!({"pacing": {"policy": "cn_miit"}, "record": false}), "/record"),
        (json!({"dnc_lists": ["dnc_00000000000000000000000000"]}), "/dnc_lists/0"),
    ] {
        let pointers = house.patch(&path, change.clone()).await.problem(400, "invalid_body");
        assert_eq!(pointers, [pointer], "{change}");
    }
}

#[tokio::test]
async fn the_rule_books_are_shown() {
    let house = House::new();
    let packs = house.get("/v1/policies").await.is(200).json();
    let packs = packs["data"].as_array().unwrap();
    let names: Vec<&str> = packs.iter().filter_map(|pack| pack["policy"].as_str()).collect();
    assert_eq!(names, ["custom", "us_tsr", "us_fcc", "gb_ofcom", "ca_crtc", "au_acma", "fr_2022", "cn_miit"]);
    assert_eq!((&packs[6]["per_30d"], &packs[6]["refusal_days"]), (&json!(4), &json!(60)));
    assert_eq!(packs[1]["calling_windows"]["hours"][0]["to"], "21:00");
}

/// Why a campaign that runs does not dial, for what keeps its leads back.
#[tokio::test]
async fn a_campaign_that_is_idle_says_why() {
    let house = House::new();
    let list = house.list().await;
    for number in ["+14155550123", "+12125550123", "+8613800138000"] {
        house.post(&format!("/v1/lists/{list}/leads"), json!({"phones": [{"number": number}]})).await.is(201);
    }
    let id = made(&house, "/v1/campaigns", json!({"name": "c", "lists": [list]})).await;
    let path = format!("/v1/campaigns/{id}");
    let why = async |change: Value| {
        house.patch(&path, change).await.is(200);
        let told = house.get(&format!("{path}/diagnostics")).await.is(200).json();
        (told["limited_by"].as_str().unwrap().to_owned(), told["summary"].as_str().unwrap().to_owned(), told)
    };
    house.post(&format!("{path}:start"), json!({})).await.is(200);
    let nobody = r#"fields.segment = "gold""#;
    let (limited_by, summary, told) = why(json!({"filter": nobody})).await;
    assert_eq!(limited_by, "filter");
    assert_eq!(
        summary,
        "None of the 3 due leads may be called now: 3 are not matched by the campaign's filter."
    );
    assert_eq!((&told["leads"]["due"], &told["leads"]["screened"]["filtered"]), (&json!(3), &json!(3)));
    // 2026-10-01 02:03 UTC: 22:03 in New York, 19:03 in San Francisco, 10:03 in Shanghai.
    let hours = json!({"hours": [{"from": "11:00", "to": "12:00"}]});
    let (limited_by, summary, _) = why(json!({"filter": null, "calling_windows": hours})).await;
    assert_eq!(limited_by, "window");
    assert!(summary.ends_with("the first may be called at 2026-10-01T03:00:00.000Z."), "{summary}");
    let (limited_by, _, told) =
        why(json!({"calling_windows": {"hours": [{"from": "19:00", "to": "21:00"}]}})).await;
    assert_eq!((limited_by.as_str(), &told["leads"]["screened"]["pass"]), ("trunk", &json!(1)));
}

#[tokio::test]
async fn a_forbidden_call_needs_its_own_scope() {
    let house = House::new();
    let dnc = made(&house, "/v1/dnc-lists", json!({"name": "internal"})).await;
    house.post(&format!("/v1/dnc-lists/{dnc}/numbers"), json!({"numbers": ["+8613800138000"]})).await.is(200);
    let agent = json!({"name": "anna", "username": "anna", "password": "a-long-secret"});
    let agent = made(&house, "/v1/agents", agent).await;
    let call = json!({"agent_id": agent, "to": "+8613800138000"});
    house.post("/v1/calls", call.clone()).await.problem(409, "invalid_agent_state");
    let token = house.post("/v1/tokens", json!({"name": "crm", "scopes": ["calls:write"]})).await;
    let secret = token.is(201).json()["token"].as_str().unwrap().to_owned();
    let mut forced = call;
    forced["compliance_override"] = json!("asked to be called");
    let reply = house.ask_with(&secret, Method::POST, "/v1/calls", Some(forced.clone()), &[]).await;
    reply.problem(403, "insufficient_scope");
    forced["compliance_override"] = json!("");
    house.post("/v1/calls", forced).await.problem(400, "invalid_body");
}
