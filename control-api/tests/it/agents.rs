//! Agents' skills, ranks and groups, as they are set and seen.

use crate::house::{House, NOW};
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

/// One preview task is offered; what the agent's screen is told, by event and by question.
#[tokio::test]
async fn the_screen_pop_is_filled_in_and_masked_by_scope() {
    let house = House::new();
    let trunk = house.trunk().await;
    house.patch(&format!("/v1/trunks/{trunk}"), json!({"options_interval_ms": 0})).await.is(200);
    let agent = house.agent("1001").await;
    let list = house.list().await;
    let line = json!({"phone": "13800138000", "external_id": "crm-1", "fields": {"name": "王 &", "also": "13900139000"}});
    house.import(&format!("/v1/lists/{list}/leads:import"), "application/x-ndjson", line.to_string()).await;
    let campaign = house.campaign(&[&list]).await;
    let path = format!("/v1/campaigns/{campaign}");
    for bad in ["crm/{lead_id}", "https://crm/{name}", "javascript://x/%0a", "https://{phone}/"] {
        let wrong = house.patch(&path, json!({"pop_url": bad})).await;
        assert_eq!(wrong.problem(400, "invalid_body"), ["/pop_url"], "{bad}");
    }
    let url = "https://crm.example/?x={external_id}&n={fields.name}&p={phone}&l={lead_id}&a={agent_username}";
    house.patch(&path, json!({"mode": "preview", "pop_url": url})).await.is(200);
    house.act(&format!("{path}:start")).await.is(200);
    house.patch(&format!("/v1/agents/{agent}"), json!({"auto_answer": "none"})).await.is(200);
    let login = json!({"session": "on_demand"});
    house.post(&format!("/v1/agents/{agent}:login"), login).await.is(200);
    let contact = dialer_core::record::ContactRow {
        agent: agent.parse().unwrap(),
        uri: "sip:1001@127.0.0.1".into(),
        source: "127.0.0.1:5070".into(),
        listener: 0,
        expires_at: NOW.plus_millis(3_600_000),
    };
    house.core.lock().unwrap().input(dialer_core::Input::Agent(dialer_core::AgentFact::Registered(contact)));

    let task = format!("/v1/agents/{agent}/task");
    let whole = house.get(&task).await.is(200).json();
    let lead = whole["lead"]["id"].as_str().unwrap();
    assert_eq!(whole["attempt"], 1);
    assert_eq!(whole["lead"]["fields"]["name"], "王 &");
    assert_eq!(
        whole["pop_url"],
        format!("https://crm.example/?x=crm-1&n=%E7%8E%8B%20%26&p=%2B8613800138000&l={lead}&a=1001")
    );
    let token = house.token(&["agents:write", "events:read"]).await;
    let masked = house.ask(&token, axum::http::Method::GET, &task, None).await.is(200);
    assert!(!masked.text.contains("13800138000") && !masked.text.contains("13900139000"), "{masked:?}");
    assert!(masked.json()["pop_url"].as_str().unwrap().contains("%2B86138%2A%2A%2A%2A8000"));
    let lead = house.get(&format!("/v1/lists/{list}/leads/{lead}")).await.is(200).json();
    assert_eq!(lead["history"], json!([]));
}

#[tokio::test]
async fn dispositions_breaks_and_callbacks_are_set_as_they_are_shown() {
    let house = House::new();
    let list = house.list().await;
    let campaign = house.campaign(&[&list]).await;
    let path = format!("/v1/campaigns/{campaign}");
    let body = json!({
        "dispositions": ["sale", {"code": "later", "label": "Call again", "required_fields": ["why"],
            "notes": "required", "callback": "required", "lead_state": null, "refusal": true}],
        "pause_codes": ["lunch"], "wrap_up_then": "pause",
        "callbacks": {"late_after_ms": 60_000, "late": "wait"}
    });
    let shown = house.patch(&path, body.clone()).await.is(200).json();
    for key in ["dispositions", "pause_codes", "wrap_up_then", "callbacks"] {
        assert_eq!(shown[key], body[key], "{key}");
    }
    for (bad, pointer) in [
        (json!({"dispositions": ["sale", "sale"]}), "/dispositions/1/code"),
        (json!({"dispositions": [{"code": "x", "lead_state": "new"}]}), "/dispositions/0/lead_state"),
        (
            json!({"dispositions": [{"code": "x", "required_fields": ["a/b"]}]}),
            "/dispositions/0/required_fields/0",
        ),
        (json!({"pause_codes": [""]}), "/pause_codes/0"),
        (json!({"callbacks": {"late_after_ms": 4_000_000_000_u32}}), "/callbacks/late_after_ms"),
    ] {
        assert_eq!(house.patch(&path, bad.clone()).await.problem(400, "invalid_body"), [pointer], "{bad}");
    }
    let agent = house.agent("1001").await;
    house.act(&format!("/v1/agents/{agent}:login")).await.is(200);
    let pause = format!("/v1/agents/{agent}:pause");
    let wrong = house.post(&pause, json!({"code": "tea"})).await;
    assert_eq!(wrong.problem(400, "invalid_body"), ["/code"]);
    house.post(&pause, json!({"code": "lunch"})).await.is(200);
    let shown = house
        .patch(&format!("/v1/agents/{agent}"), json!({"pause_max_ms": 60_000, "pause_then": "logout"}))
        .await
        .is(200)
        .json();
    assert_eq!((&shown["pause_max_ms"], &shown["pause_then"]), (&json!(60_000), &json!("logout")));
}
