//! How a campaign is paced, as an integrator sets and sees it.

use crate::house::House;
use serde_json::{Value, json};

async fn made(house: &House, path: &str, body: Value) -> String {
    house.made(&house.post(path, body).await)
}

#[tokio::test]
async fn every_setting_is_taken_shown_and_changed_while_it_runs() {
    let house = House::new();
    let list = made(&house, "/v1/lists", json!({"name": "l"})).await;
    let concurrency = json!({"kind": "fixed", "lines": 7, "min": 2, "max": 40, "cps": 3.5,
        "max_lines_per_agent": 2.5, "weight": 300.0, "priority": 80});
    let pacing = json!({"abandon_target": 0.02, "abandon_cap": 0.03, "window": "24h", "cap_style": "tapered",
        "policy": "gb_ofcom", "budget_group": "shop", "small_team": {"below_agents": 6, "mode": "progressive"},
        "cancel_ringing": true, "hold_back": "no_dial", "wait_target_ms": 9000});
    let amd = json!({"mode": "async", "human_on_timeout": true, "false_machine_rate": 0.004,
        "missed_machine_rate": 0.02});
    let campaign = json!({"name": "c", "mode": "ratio", "ratio": 2.25, "lists": [list], "connect_at": "ringing",
        "concurrency": concurrency, "pacing": pacing, "classify": {"amd": amd}});
    let id = made(&house, "/v1/campaigns", campaign).await;
    let path = format!("/v1/campaigns/{id}");
    let shown = house.get(&path).await.is(200).json();
    assert_eq!(shown["concurrency"], concurrency);
    assert_eq!(shown["pacing"], pacing);
    assert_eq!(shown["classify"]["amd"], amd);
    assert_eq!((&shown["connect_at"], &shown["ratio"]), (&json!("ringing"), &json!(2.25)));
    house.post(&format!("{path}:start"), json!({})).await.is(200);
    let change = json!({"mode": "agentless", "connect_at": "answer", "on_answer": {"play": "hello"},
        "concurrency": {"kind": "dynamic", "lines": 3, "priority": 0}, "pacing": {"small_team": null, "budget_group": null}});
    let changed = house.patch(&path, change).await.is(200).json();
    assert_eq!((&changed["mode"], &changed["on_answer"]["play"]), (&json!("agentless"), &json!("hello")));
    assert_eq!(
        (&changed["concurrency"]["lines"], &changed["concurrency"]["weight"]),
        (&json!(3), &json!(300.0))
    );
    assert_eq!(
        (&changed["pacing"]["small_team"], &changed["pacing"]["policy"]),
        (&Value::Null, &json!("gb_ofcom"))
    );
    assert_eq!(changed["state"], "running");
}

#[tokio::test]
async fn a_rule_book_brings_its_own_window() {
    let house = House::new();
    for (policy, window) in [("us_tsr", "30d"), ("gb_ofcom", "24h"), ("ca_crtc", "month"), ("custom", "24h")]
    {
        let body = json!({"name": policy, "pacing": {"policy": policy}});
        let made = house.post("/v1/campaigns", body).await.is(201).json();
        assert_eq!(made["pacing"]["window"], window, "{policy}");
    }
}

#[tokio::test]
async fn bad_settings_name_their_place() {
    let house = House::new();
    let refused = async |settings: Value| {
        let mut body = json!({"name": "c"});
        for (key, value) in settings.as_object().unwrap() {
            body[key] = value.clone();
        }
        house.post("/v1/campaigns", body).await.problem(400, "invalid_body")
    };
    for (settings, pointer) in [
        (json!({"mode": "agentless"}), "/on_answer/play"),
        (json!({"mode": "agentless", "on_answer": {"play": " "}}), "/on_answer/play"),
        (json!({"mode": "power"}), "/mode"),
        (json!({"connect_at": "dialing"}), "/connect_at"),
        (json!({"connect_at": "ringing", "classify": {"amd": {"mode": "before_bridge"}}}), "/connect_at"),
        (json!({"concurrency": {"kind": "fixed"}}), "/concurrency/kind"),
        (json!({"mode": "ratio", "concurrency": {"kind": "fixed"}}), "/concurrency/lines"),
        (json!({"concurrency": {"lines": 0}}), "/concurrency/lines"),
        (json!({"concurrency": {"lines": 101}}), "/concurrency/lines"),
        (json!({"concurrency": {"min": 101}}), "/concurrency/min"),
        (json!({"concurrency": {"weight": 0}}), "/concurrency/weight"),
        (json!({"concurrency": {"weight": "much"}}), "/concurrency/weight"),
        (json!({"concurrency": {"priority": 101}}), "/concurrency/priority"),
        (json!({"concurrency": {"priority": -1}}), "/concurrency/priority"),
        (json!({"concurrency": {"max_lines_per_agent": 0.5}}), "/concurrency/max_lines_per_agent"),
        (json!({"pacing": {"cap_style": "soft"}}), "/pacing/cap_style"),
        (json!({"pacing": {"policy": "de_uwg"}}), "/pacing/policy"),
        (json!({"pacing": {"policy": "us_tsr", "window": "24h"}}), "/pacing/window"),
        (json!({"pacing": {"policy": "gb_ofcom", "abandon_cap": 0.05}}), "/pacing/abandon_cap"),
        (json!({"pacing": {"policy": "gb_ofcom"}, "timers": {"ring_min_ms": 14_999}}), "/timers/ring_min_ms"),
        (
            json!({"pacing": {"policy": "gb_ofcom"}, "timers": {"bridge_deadline_ms": 2_001}}),
            "/timers/bridge_deadline_ms",
        ),
        (json!({"pacing": {"budget_group": ""}}), "/pacing/budget_group"),
        (json!({"pacing": {"small_team": {"below_agents": 0}}}), "/pacing/small_team/below_agents"),
        (
            json!({"pacing": {"small_team": {"below_agents": 5, "mode": "preview"}}}),
            "/pacing/small_team/mode",
        ),
        (json!({"pacing": {"small_team": {}}}), "/pacing/small_team/below_agents"),
        (json!({"pacing": {"cancel_ringing": 1}}), "/pacing/cancel_ringing"),
        (json!({"pacing": {"hold_back": true}}), "/pacing/hold_back"),
        (
            json!({"classify": {"amd": {"mode": "async", "false_machine_rate": 0.51}}}),
            "/classify/amd/false_machine_rate",
        ),
        (
            json!({"classify": {"amd": {"mode": "async", "missed_machine_rate": -0.1}}}),
            "/classify/amd/missed_machine_rate",
        ),
    ] {
        assert_eq!(refused(settings.clone()).await, [pointer], "{settings}");
    }
}

#[tokio::test]
async fn pacing_tells_decisions_budget_accuracy_and_what_was_learned() {
    let house = House::new();
    let list = made(&house, "/v1/lists", json!({"name": "l"})).await;
    let campaign =
        json!({"name": "c", "mode": "predictive", "lists": [list], "pacing": {"budget_group": "g"}});
    let id = made(&house, "/v1/campaigns", campaign).await;
    let path = format!("/v1/campaigns/{id}");
    house.post(&format!("{path}:start"), json!({})).await.is(200);
    let told = house.get(&format!("{path}/pacing")).await.is(200).json();
    assert_eq!(told["policy"], "custom");
    assert_eq!(told["decision"], told["decisions"][0]);
    assert_eq!(
        (&told["decision"]["mode"], &told["decision"]["limited_by"]),
        (&json!("predictive"), &json!("trunk"))
    );
    let windows: Vec<(&str, bool)> = told["windows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|window| (window["window"].as_str().unwrap(), window["of_group"].as_bool().unwrap()))
        .collect();
    assert_eq!(windows, [("24h", false), ("30d", false), ("month", false), ("24h", true)]);
    assert_eq!(told["accuracy"]["looks"], 0);
    assert!(told["learned"]["answer_time_s"]["p50"].as_f64().unwrap() > 0.0, "{told}");
    house.post(&format!("{path}:pause"), json!({})).await.is(200);
    let told = house.get(&format!("{path}/pacing?limit=1")).await.is(200).json();
    assert_eq!(told["decisions"].as_array().unwrap().len(), 1);
    assert_eq!(told["decision"]["limited_by"], "paused");
    let all = house.get(&format!("{path}/pacing")).await.is(200).json();
    assert!(all["decisions"].as_array().unwrap().len() >= 2, "{all}");
    house.get(&format!("{path}/pacing?limit=0")).await.problem(400, "invalid_parameter");
    house.get(&format!("{path}/pacing?last=1")).await.problem(400, "invalid_parameter");
}

#[tokio::test]
async fn a_queue_beside_this_one_says_how_many_wait() {
    let house = House::new();
    let path = "/v1/inbound-waiting";
    let put = async |body: Value| house.post(path, body).await;
    put(json!({"waiting": 3})).await.is(204);
    put(json!({"group": "sales", "waiting": 0, "for_ms": 100})).await.is(204);
    assert_eq!(put(json!({"waiting": -1})).await.problem(400, "invalid_body"), ["/waiting"]);
    assert_eq!(put(json!({})).await.problem(400, "invalid_body"), ["/waiting"]);
    assert_eq!(put(json!({"waiting": 1, "for_ms": 99})).await.problem(400, "invalid_body"), ["/for_ms"]);
    assert_eq!(put(json!({"waiting": 1, "group": ""})).await.problem(400, "invalid_body"), ["/group"]);
    assert_eq!(put(json!({"waiting": 1, "queue": 1})).await.problem(400, "invalid_body"), ["/queue"]);
}
