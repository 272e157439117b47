//! The examples that integrators are given, sent as they are written; only names of things that were made are put in.

use crate::house::House;
use crate::prompts::Shelf;
use axum::http::Method;
use dialer_core::{CallOrder, Effect};
use serde_json::{Value, json};

const CALENDAR: &str = r#"{ "name": "China, working days", "time_zone": "Asia/Shanghai",
  "hours": [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "20:00"}],
  "holidays": ["2026-10-02"] }"#;

const CAMPAIGN: &str = r#"{ "name":"10月续费","mode":"predictive","agent_group":"grp_sales","lists":["list_a","list_b"],
  "concurrency":{"kind":"dynamic","min":2,"max":120,"cps":10,"weight":100,"max_lines_per_agent":3.0},
  "pacing":{"abandon_target":0.02,"abandon_cap":0.03,"window":"24h","policy":"gb_ofcom","small_team":{"below_agents":6,"mode":"progressive"},"wait_target_ms":8000},
  "timers":{"ring_min_ms":15000,"ring_max_ms":28000,"agent_ring_ms":8000,"wrap_up_ms":20000,"bridge_deadline_ms":2000},
  "on_no_agent":{"play":"audio_safe_harbor_zh","collect_opt_out":"9","then":"hangup","lock_hours":72},
  "caller_id":{"pool":"cid_shanghai","strategy":"local_presence","per_number":{"per_hour":30,"per_day":80,"cooldown_min":120}},
  "classify":{"early_media":"cn_v1","amd":{"mode":"fast","human_on_timeout":true},"screening":{"say":"audio_ident_zh"}},
  "retry":[{"outcome":"busy","after":"15m","max":3},{"outcome":"no_answer","after":"4h","max":3,"other_slot":true},
           {"outcome":"power_off","after":"1d","max":2,"counts":false},{"outcome":"suspended","after":"7d","max":1},
           {"outcome":"invalid_number","max":0}],
  "caps":{"per_lead":6,"per_day":2,"per_24h":2,"per_30d":4},
  "calendar":"cal_cn_work","dnc_lists":["dnc_global"],"best_time":{"enabled":true,"explore":0.1},
  "schedule":{"start":"2026-10-08","end":"2026-10-31"} }"#;

const ORIGINATE: &str = r#"{ "mode": "agent_first",
  "agent_id": "agt_01JC8Z", "to": "+8613800138000",
  "caller_id": {"pool": "cid_shanghai", "strategy": "local_presence"},
  "ring_timeout_ms": 28000, "record": {"channels": "stereo", "announce": false},
  "classify": {"early_media": true, "amd": "async"},
  "client_state": "ticket:88231", "variables": {"customer_name": "王先生"} }"#;

const LEADS: &str = r#"{"external_id":"crm-1","phones":[{"number":"13800138000","type":"mobile"},{"number":"021-55556666","type":"work"}],"priority":50,"tz":"Asia/Shanghai","fields":{"name":"王"},"expires_at":"2026-10-31T00:00:00Z"}
{"external_id":"crm-2","phones":[{"number":"no number"}]}
"#;

/// Who is there before the examples are sent, by the names that stand in them.
struct Names {
    house: House,
    names: Vec<(&'static str, String)>,
}

impl Names {
    async fn new() -> Self {
        let shelf = Shelf::with(&["audio_safe_harbor_zh", "audio_ident_zh"]);
        let house = House::new();
        house.gateway.set_prompts(shelf);
        let pool = json!({"name": "shanghai", "numbers": ["+861055550001", "+862155550001", "+862155550002"],
            "per_number": {"per_day": 100, "cooldown_min": 1}});
        let pool = house.post("/v1/caller-ids", pool).await;
        assert_eq!(pool.json()["per_number"]["cooldown_ms"], 60_000, "minutes are understood");
        let calendar = house.post("/v1/calendars", serde_json::from_str(CALENDAR).unwrap()).await;
        let dnc = house.post("/v1/dnc-lists", json!({"name": "global"})).await;
        let names = vec![
            ("list_a", house.list().await),
            ("list_b", house.list().await),
            ("cid_shanghai", house.made(&pool)),
            ("cal_cn_work", house.made(&calendar)),
            ("dnc_global", house.made(&dnc)),
            ("agt_01JC8Z", house.agent("ada").await),
        ];
        Names { house, names }
    }

    fn of(&self, name: &str) -> &str {
        &self.names.iter().find(|(known, _)| *known == name).expect("it was made").1
    }

    /// An example with the names put in.
    fn put_in(&self, example: &str) -> Value {
        let text = self.names.iter().fold(example.to_owned(), |text, (name, id)| {
            text.replace(&format!("\"{name}\""), &format!("\"{id}\""))
        });
        serde_json::from_str(&text).unwrap()
    }
}

/// Everything that `sent` says is said by `shown` as well.
#[track_caller]
fn says(shown: &Value, sent: &Value, at: &str) {
    match sent {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| says(&shown[name], value, &format!("{at}/{name}")));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| says(&shown[i], value, &format!("{at}/{i}")));
        }
        Value::Number(number) => assert_eq!(shown.as_f64(), number.as_f64(), "{at}"),
        other => assert_eq!(shown, other, "{at}"),
    }
}

#[tokio::test]
async fn the_campaign_of_the_examples_is_taken_and_shown_as_it_was_said() {
    let names = Names::new().await;
    let sent = names.put_in(CAMPAIGN);
    let made = names.house.post("/v1/campaigns", sent.clone()).await.is(201).json();
    let path = format!("/v1/campaigns/{}", made["id"].as_str().unwrap());
    let shown = names.house.get(&path).await.is(200).json();
    assert_eq!(shown, made);
    let mut expected = sent.clone();
    // Other words for the same: whole days as times, detection by what it does, a span of no time.
    expected["schedule"] = json!({"start": "2026-10-08T00:00:00.000Z", "end": "2026-11-01T00:00:00.000Z"});
    expected["classify"]["amd"]["mode"] = json!("before_bridge");
    says(&shown, &expected, "");
    assert_eq!(shown["on_no_agent"]["opt_out_list_id"], names.of("dnc_global"), "the first of dnc_lists");
    assert_eq!(shown["caller_id_pool"], names.of("cid_shanghai"));
}

#[tokio::test]
async fn what_the_example_says_is_changed_by_parts_and_checked() {
    let names = Names::new().await;
    let house = &names.house;
    let made = house.post("/v1/campaigns", names.put_in(CAMPAIGN)).await;
    let path = format!("/v1/campaigns/{}", house.made(&made));
    let pool = names.of("cid_shanghai");
    let patched = async |part: Value| house.patch(&path, part).await.is(200).json();
    let shown = patched(json!({"caller_id": {"per_number": {"per_hour": null}}})).await;
    assert_eq!(
        shown["caller_id"]["per_number"],
        json!({"per_hour": null, "per_day": 80, "cooldown_min": 120})
    );
    let shown = patched(json!({"caller_id": "+862155550009"})).await;
    assert_eq!((&shown["caller_id"], &shown["caller_id_pool"]), (&json!("+862155550009"), &Value::Null));
    let shown = patched(json!({"caller_id": null, "caller_id_pool": pool})).await;
    assert_eq!((&shown["caller_id"], &shown["caller_id_pool"]), (&Value::Null, &json!(pool)));
    let shown = patched(json!({"classify": {"early_media": true}, "best_time": {"enabled": false}})).await;
    assert_eq!((&shown["classify"]["early_media"], &shown["best_time"]), (&json!(true), &Value::Null));
    for (part, pointer) in [
        (json!({"on_no_agent": {"lock_hours": 71}}), "/on_no_agent/lock_hours"),
        (json!({"pacing": {"wait_target_ms": 5}}), "/pacing/wait_target_ms"),
        (json!({"classify": {"early_media": "mars_v1"}}), "/classify/early_media"),
        (json!({"best_time": {"explore": 1.5}}), "/best_time/explore"),
        (json!({"calendar": "cal_00000000000000000000000000"}), "/calendar"),
        (
            json!({"caller_id": {"pool": pool, "per_number": {"cooldown_min": 20_000}}}),
            "/caller_id/per_number/cooldown_min",
        ),
        (
            json!({"caller_id": {"pool": "cip_00000000000000000000000000"}, "caller_id_pool": null}),
            "/caller_id_pool",
        ),
    ] {
        assert_eq!(house.patch(&path, part).await.problem(400, "invalid_body"), [pointer]);
    }
}

#[tokio::test]
async fn a_calendar_is_kept_by_campaigns_followed_at_once_and_not_lost_from_under_them() {
    let names = Names::new().await;
    let house = &names.house;
    let (calendar, list) = (names.of("cal_cn_work"), names.of("list_a"));
    let path = format!("/v1/calendars/{calendar}");
    let lead = json!({"phone": "+8613800138000"});
    house.post(&format!("/v1/lists/{list}/leads"), lead).await.is(201);
    let body = json!({"name": "c", "lists": [list], "calendar": calendar, "on_no_agent": {"play": null}});
    let campaign = house.made(&house.post("/v1/campaigns", body).await);
    house.act(&format!("/v1/campaigns/{campaign}:start")).await.is(200);
    let screened = async || {
        let why = house.get(&format!("/v1/campaigns/{campaign}/diagnostics")).await.is(200).json();
        why["leads"]["screened"]["outside_windows"].as_u64().unwrap()
    };
    // It is 10:03 on Thursday, 1 October, in Shanghai.
    assert_eq!(screened().await, 0);
    house.patch(&path, json!({"holidays": ["2026-10-01"]})).await.is(200);
    assert_eq!(screened().await, 1, "a holiday");
    house.patch(&path, json!({"holidays": [], "time_zone": "America/New_York"})).await.is(200);
    assert_eq!(screened().await, 1, "22:03 on Wednesday in New York");
    house.patch(&path, json!({"time_zone": null})).await.is(200);
    assert_eq!(screened().await, 0, "by the lead's own clock");
    house.delete(&path).await.problem(409, "invalid_state");
    house.patch(&format!("/v1/campaigns/{campaign}"), json!({"calendar": null})).await.is(200);
    house.delete(&path).await.is(204);
    house.get(&path).await.problem(404, "not_found");
    let bad = json!({"name": "", "hours": [{"from": "9", "to": "20:00"}], "time_zone": "Mars/Olympus"});
    let pointers = house.post("/v1/calendars", bad).await.problem(400, "invalid_body");
    assert_eq!(pointers, ["/name", "/time_zone", "/hours/0/from"]);
    // What was changed, by whom, is told like all settings.
    let audit = house.get("/v1/audit?limit=1000").await.is(200).text;
    assert!(audit.contains("calendar.created") && audit.contains("calendar.deleted"), "{audit}");
}

#[tokio::test]
async fn the_call_of_the_examples_is_made_and_answered_with_its_legs() {
    let names = Names::new().await;
    let house = &names.house;
    let trunk = house.trunk().await;
    let agent = names.of("agt_01JC8Z");
    {
        let mut core = house.core.lock().unwrap();
        core.input(crate::resources::health(&trunk, true));
        core.input(crate::resources::registered(agent));
    }
    house.post(&format!("/v1/agents/{agent}:login"), json!({"session": "on_demand"})).await.is(200);
    let accepted = house.post("/v1/calls", names.put_in(ORIGINATE)).await.is(202);
    let location = accepted.header("location").to_owned();
    let body = accepted.json();
    let id = body["id"].as_str().unwrap();
    assert_eq!(location, format!("/v1/calls/{id}"));
    assert_eq!(body["client_state"], "ticket:88231");
    let legs = body["legs"].as_array().unwrap();
    assert_eq!((legs.len(), &legs[0]["role"], &legs[0]["state"]), (1, &json!("agent"), &json!("inviting")));
    assert!(legs[0]["id"].as_str().unwrap().starts_with("leg_"));
    let shown = house.get(&location).await.is(200).json();
    assert_eq!((&shown["caller_id"], &shown["legs"]), (&json!("+861055550001"), &body["legs"]));
    assert_eq!(shown["variables"], json!({"customer_name": "王先生"}));
    let rung = house.core.lock().unwrap().orders.iter().any(
        |order| matches!(order, Effect::Call(CallOrder::RingAgent { agent: rung, .. }) if rung.to_string() == agent),
    );
    assert!(rung);
}

#[tokio::test]
async fn the_leads_of_the_examples_are_judged_line_by_line() {
    let names = Names::new().await;
    let list = names.of("list_a");
    let path = format!("/v1/lists/{list}/leads:import?on_duplicate=update&dedupe_scope=campaign");
    let lines = names.house.import(&path, "application/x-ndjson", LEADS).await;
    assert_eq!(lines.len(), 3);
    let first =
        json!({"line": 1, "external_id": "crm-1", "result": "accepted", "time_zone": "Asia/Shanghai"});
    says(&lines[0], &first, "");
    assert!(lines[0]["lead_id"].as_str().unwrap().starts_with("lead_"));
    says(
        &lines[1],
        &json!({"line": 2, "external_id": "crm-2", "result": "invalid_number", "pointer": "/phones/0/number"}),
        "",
    );
    says(&lines[2]["summary"], &json!({"lines": 2, "accepted": 1, "rejected": 1}), "");
    assert!(lines[2]["summary"]["ms"].is_u64());
    let lead = names.house.get(&format!("/v1/lists/{list}/leads")).await.is(200).json()["data"][0].clone();
    says(&lead, &json!({"priority": 50, "time_zone": "Asia/Shanghai", "fields": {"name": "王"}}), "");
    assert_eq!(lead["phones"][0]["type"], "mobile");
    let masked = names.house.token(&["leads:read"]).await;
    let masked = names.house.ask(&masked, Method::GET, &format!("/v1/lists/{list}/leads"), None).await.json();
    assert_eq!(masked["data"][0]["phones"][0]["number"], "+86138****8000");
}
