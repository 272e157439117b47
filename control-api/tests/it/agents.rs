//! Agents' skills, ranks and groups, as they are set and seen.

use crate::house::House;
use serde_json::json;

#[tokio::test]
async fn skills_ranks_and_places_are_set_merged_and_taken_away() {
    let house = House::new();
    let agent = house.agent("1001").await;
    let list = house.list().await;
    let campaign = house.campaign(&[&list]).await;
    let path = format!("/v1/agents/{agent}");
    let body = json!({
        "skills": {"french": 7, "sales": 2}, "rank": -3, "position": 4, "ring_ms": 9_000,
        "campaigns": {campaign.clone(): {"rank": 5}}
    });
    let seen = house.patch(&path, body.clone()).await.is(200).json();
    for key in ["skills", "rank", "position", "ring_ms"] {
        assert_eq!(seen[key], body[key], "{key}");
    }
    assert_eq!(seen["campaigns"][&campaign], json!({"rank": 5, "position": null}));
    let merged = house.patch(&path, json!({"skills": {"sales": null, "golf": 0}})).await.is(200).json();
    assert_eq!(merged["skills"], json!({"french": 7, "golf": 0}));
    assert_eq!(merged["rank"], -3);
    for (body, pointer) in [
        (json!({"skills": {"french": 10}}), "/skills/french"),
        (json!({"skills": {"french": -1}}), "/skills/french"),
        (json!({"skills": {"french": "good"}}), "/skills/french"),
        (json!({"rank": 10}), "/rank"),
        (json!({"ring_ms": 100}), "/ring_ms"),
        (json!({"campaigns": {"camp_x": {"rank": 1}}}), "/campaigns/camp_x"),
        (json!({"campaigns": {campaign.clone(): {"rnk": 1}}}), "/campaigns"),
    ] {
        let pointers = house.patch(&path, body.clone()).await.problem(400, "invalid_body");
        assert!(
            pointers[0].starts_with(pointer) || pointer.starts_with(&pointers[0]),
            "{body}: {pointers:?}"
        );
    }
    let path = format!("/v1/campaigns/{campaign}");
    assert_eq!(house.get(&path).await.is(200).json()["agent_order"], "longest_idle");
    for order in ["fewest_calls", "rank", "skill_rank", "random", "top_down"] {
        let seen = house.patch(&path, json!({"agent_order": order})).await.is(200).json();
        assert_eq!(seen["agent_order"], order);
    }
    house.patch(&path, json!({"agent_order": "best"})).await.problem(400, "invalid_body");
    let wrong = house.patch(&path, json!({"skills_required": {"french": 0}})).await;
    assert_eq!(wrong.problem(400, "invalid_body"), ["/skills_required/french"]);
}

#[tokio::test]
async fn diagnostics_count_only_agents_with_the_skills_and_say_who_is_missing() {
    let house = House::new();
    let trunk = house.trunk().await;
    house.patch(&format!("/v1/trunks/{trunk}"), json!({"options_interval_ms": 0})).await.is(200);
    let agent = house.agent("1001").await;
    let list = house.list().await;
    house.import(&format!("/v1/lists/{list}/leads:import"), "text/csv", "phone\n13800138000\n").await;
    let campaign = house.campaign(&[&list]).await;
    let path = format!("/v1/campaigns/{campaign}");
    house.patch(&path, json!({"skills_required": {"french": 5}})).await.is(200);
    house.act(&format!("{path}:start")).await.is(200);
    let seen = house.get(&format!("{path}/diagnostics")).await.is(200).json();
    assert_eq!((&seen["limited_by"], &seen["agents"]["total"]), (&json!("agents"), &json!(0)));
    assert_eq!(seen["summary"], "None of the 1 agents has the skills it asks for: french at 5 or more.");
    house.patch(&format!("/v1/agents/{agent}"), json!({"skills": {"french": 5}})).await.is(200);
    let seen = house.get(&format!("{path}/diagnostics")).await.is(200).json();
    assert_eq!(seen["summary"], "None of the 1 agents is logged in.");
    assert_eq!(house.get(&format!("{path}/stats")).await.is(200).json()["agents"]["total"], 1);
}

#[tokio::test]
async fn groups_are_who_names_them() {
    let house = House::new();
    let agent = house.agent("1001").await;
    let list = house.list().await;
    let campaign = house.campaign(&[&list]).await;
    house.patch(&format!("/v1/campaigns/{campaign}"), json!({"agent_group": "support"})).await.is(200);
    house.act(&format!("/v1/agents/{agent}:login")).await.is(200);
    let groups = house.get("/v1/agent-groups").await.is(200).json();
    let names: Vec<_> = groups["data"].as_array().unwrap().iter().map(|group| &group["name"]).collect();
    assert_eq!(names, ["sales", "support"]);
    assert_eq!(groups["data"][0]["agent_ids"], json!([agent]));
    assert_eq!(groups["data"][0]["agents"]["logged_in"], 1);
    assert_eq!(groups["data"][1]["campaign_ids"], json!([campaign]));
    let token = house.token(&["calls:read"]).await;
    house
        .ask(&token, axum::http::Method::GET, "/v1/agent-groups", None)
        .await
        .problem(403, "insufficient_scope");
}
