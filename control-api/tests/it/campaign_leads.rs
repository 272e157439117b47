//! A campaign's life as an integrator sees it: begun and ended by the clock, copied, dialled anew, looked into.

use crate::diagnostics::Idle;
use crate::house::{House, ROOT};
use axum::http::Method;
use dialer_core::record::{LeadProgress, LeadState};
use dialer_core::{CallFact, EndCause, Outcome, Party};
use serde_json::{Value, json};

/// Leads that had their attempts, the last of which came to this.
async fn spent(idle: &Idle, outcome: Outcome) {
    idle.moved(move |progress: &mut LeadProgress| {
        progress.state = LeadState::Exhausted;
        progress.attempts = 6;
        progress.last_outcome = Some(outcome);
        progress.outcomes.insert(outcome, 6);
    })
    .await;
}

#[tokio::test]
async fn leads_that_are_done_with_are_dialled_anew() {
    let idle = Idle::with(3, json!({})).await;
    spent(&idle, Outcome::NoAnswer).await;
    let (house, path) = (&idle.house, &idle.path);
    let progress = house.get(&format!("{path}/stats")).await.is(200).json()["progress"].clone();
    assert_eq!((&progress["leads"], &progress["exhausted"]), (&json!(3), &json!(3)));
    assert_eq!((&progress["penetration"], &progress["completion"]), (&json!(1.0), &json!(1.0)));
    let verb = format!("{path}:recycle");
    let none = house.post(&verb, json!({"outcomes": ["busy"]})).await.is(200).json();
    assert_eq!(none, json!({"recycled": 0, "next_cursor": null}));
    let all =
        house.post(&verb, json!({"list_id": idle.list, "outcomes": ["no_answer"]})).await.is(200).json();
    assert_eq!(all, json!({"recycled": 3, "next_cursor": null}));
    let leads = house.get(&format!("/v1/lists/{}/leads?state=new", idle.list)).await.is(200).json();
    assert_eq!(leads["data"].as_array().unwrap().len(), 3);
    assert_eq!(leads["data"][0]["attempts"], 0);
    assert_eq!(house.act(&verb).await.is(200).json()["recycled"], 0, "nothing is left to recycle");
    let progress = house.get(&format!("{path}/stats")).await.is(200).json()["progress"].clone();
    assert_eq!((&progress["untouched"], &progress["penetration"]), (&json!(3), &json!(0.0)));
    let audit = house.get("/v1/audit?action=campaign.recycled").await.is(200).json();
    assert_eq!(audit["data"][1]["after"]["recycled"], 3, "{audit}");
}

#[tokio::test]
async fn what_cannot_be_recycled_is_refused() {
    let idle = Idle::with(1, json!({})).await;
    let other = idle.house.list().await;
    for (body, pointer) in [
        (json!({"states": []}), "/states"),
        (json!({"states": ["exhausted", "new"]}), "/states/1"),
        (json!({"states": ["dialing"]}), "/states/0"),
        (json!({"states": ["gone"]}), "/states/0"),
        (json!({"outcomes": ["wrong"]}), "/outcomes/0"),
        (json!({"list_id": other}), "/list_id"),
        (json!({"cursor": "x"}), "/cursor"),
        (json!({"all": true}), "/all"),
    ] {
        let reply = idle.house.post(&format!("{}:recycle", idle.path), body.clone()).await;
        assert_eq!(reply.problem(400, "invalid_body"), [pointer], "{body}");
    }
    // Leads and campaigns are changed: it takes both.
    for scope in ["campaigns:write", "leads:write"] {
        let token = idle.house.token(&[scope]).await;
        let path = format!("{}:recycle", idle.path);
        idle.house.ask(&token, Method::POST, &path, None).await.problem(403, "insufficient_scope");
    }
}

/// The hopper shows leads in the order in which they are dialled, masked as everywhere.
#[tokio::test]
async fn the_hopper_is_looked_into() {
    let idle = Idle::started(3, json!({})).await;
    let path = format!("{}/hopper", idle.path);
    let shown = idle.house.get(&path).await.is(200).json();
    assert_eq!((shown["data"].as_array().unwrap().len(), &shown["total"]), (3, &json!(3)));
    let one = idle.house.get(&format!("{path}?limit=1")).await.is(200).json();
    assert_eq!(one["data"][0]["id"], shown["data"][0]["id"]);
    let token = idle.house.token(&["leads:read"]).await;
    let masked = idle.house.ask(&token, Method::GET, &path, None).await.is(200);
    assert!(
        masked.text.contains("+86138****0000") && !masked.text.contains("13800130000"),
        "{}",
        masked.text
    );
    assert_eq!(idle.house.get(&format!("{path}?limit=0")).await.problem(400, "invalid_parameter"), ["limit"]);
    let token = idle.house.token(&["campaigns:read"]).await;
    idle.house.ask(&token, Method::GET, &path, None).await.problem(403, "insufficient_scope");
}

#[tokio::test]
async fn a_campaign_waits_for_its_start_and_says_so() {
    let schedule = json!({"start": "2026-10-01T10:05:04+08:00", "end": "2026-10-08T00:00:00Z"});
    let idle = Idle::started(2, json!({"schedule": schedule})).await;
    idle.agent("1001").await;
    idle.pass(60_000);
    assert!(idle.dialled().is_empty());
    Idle::check(&idle.told().await, "window", "Its schedule begins at 2026-10-01T02:05:04.000Z");
    let shown = idle.house.get(&idle.path).await.is(200).json();
    assert_eq!(
        shown["schedule"],
        json!({"start": "2026-10-01T02:05:04.000Z", "end": "2026-10-08T00:00:00.000Z"})
    );
    idle.pass(61_000);
    assert_eq!(idle.dialled().len(), 1);
    for wrong in [json!({"end": "2026-10-01T00:00:00Z"}), json!({"end": "tomorrow"}), json!({"begin": null})]
    {
        let reply = idle.house.patch(&idle.path, json!({"schedule": wrong})).await;
        assert!(reply.problem(400, "invalid_body")[0].starts_with("/schedule/"), "{reply:?}");
    }
}

#[tokio::test]
async fn a_campaign_is_copied() {
    let idle = Idle::started(1, json!({"caps": {"per_lead": 2}, "filter": "priority > 5"})).await;
    let verb = format!("{}:copy", idle.path);
    let made = idle.house.act(&verb).await.is(201);
    let (copy, of) = (made.json(), idle.house.get(&idle.path).await.is(200).json());
    assert_eq!(made.header("location"), format!("/v1/campaigns/{}", copy["id"].as_str().unwrap()));
    assert_eq!((&copy["name"], &copy["state"]), (&json!("Renewals (copy)"), &json!("stopped")));
    for same in ["caps", "filter", "lists", "mode", "timers", "pacing"] {
        assert_eq!(copy[same], of[same], "{same}");
    }
    let named = idle.house.post(&verb, json!({"name": "November"})).await.is(201).json();
    assert_eq!(named["name"], "November");
    assert_eq!(idle.house.post(&verb, json!({"name": ""})).await.problem(400, "invalid_body"), ["/name"]);
    idle.house.act("/v1/campaigns/camp_01JC8Z3V5N8W6Q2R4T7Y9X1B3D:copy").await.problem(404, "not_found");
}

async fn dnc(house: &House) -> String {
    house.made(&house.post("/v1/dnc-lists", json!({"name": "opted out"})).await)
}

#[tokio::test]
async fn a_key_in_the_message_puts_the_number_on_a_list() {
    let idle = Idle::with(1, json!({})).await;
    let list = dnc(&idle.house).await;
    for (wrong, pointer) in [
        (json!({"collect_opt_out": "9"}), "/on_no_agent/opt_out_list_id"),
        (json!({"opt_out_list_id": list}), "/on_no_agent/opt_out_list_id"),
        (json!({"collect_opt_out": "99", "opt_out_list_id": list}), "/on_no_agent/collect_opt_out"),
        (json!({"collect_opt_out": "a", "opt_out_list_id": list}), "/on_no_agent/collect_opt_out"),
        (
            json!({"collect_opt_out": "9", "opt_out_list_id": "dnc_01JC8Z3V5N8W6Q2R4T7Y9X1B3D"}),
            "/on_no_agent/opt_out_list_id",
        ),
    ] {
        let reply = idle.house.patch(&idle.path, json!({"on_no_agent": wrong})).await;
        assert_eq!(reply.problem(400, "invalid_body"), [pointer], "{wrong}");
    }
    let good = json!({"on_no_agent": {"collect_opt_out": "9", "opt_out_list_id": list}});
    let shown = idle.house.patch(&idle.path, good).await.is(200).json();
    assert_eq!(shown["on_no_agent"]["collect_opt_out"], "9");
    let agent = idle.agent("1001").await;
    idle.house.act(&format!("{}:start", idle.path)).await.is(200);
    idle.pass(100);
    let call = idle.dialled()[0];
    // The agent is gone when the customer answers: the message is played.
    idle.house.post(&format!("/v1/agents/{agent}:pause"), json!({"code": "tea"})).await.is(200);
    idle.answer(call);
    idle.pass(2_500);
    let (party, digit) = (Party::Customer, '9');
    idle.fact(dialer_core::Input::Call(CallFact::Dtmf { call, party, digit, duration_ms: 90 }));
    assert_eq!(idle.house.get(&format!("/v1/dnc-lists/{list}")).await.is(200).json()["entries"], 1);
    let (by, cause) = (Party::Customer, EndCause::Normal);
    idle.fact(dialer_core::Input::Call(CallFact::Ended { call, by, cause, sip_code: None, q850: None }));
    let leads = idle.house.get(&format!("/v1/lists/{}/leads", idle.list)).await.is(200).json();
    assert_eq!(leads["data"][0]["state"], "dnc");
    let cdr = idle.house.get(&format!("/v1/cdrs/{call}")).await.is(200).json();
    assert_eq!((&cdr["outcome"], &cdr["abandoned"]), (&json!("abandoned"), &json!(true)), "evidence stays");
    let told = idle.house.store_events();
    assert!(told.iter().any(|event| event.event.type_name() == "call.opted_out" && event.call == Some(call)));
    let delete = idle.house.delete(&format!("/v1/dnc-lists/{list}")).await;
    delete.problem(409, "invalid_state");
}

#[tokio::test]
async fn tasks_are_taken_back_from_agents() {
    let idle = Idle::started(2, json!({"mode": "preview"})).await;
    let agent = idle.agent("1001").await;
    idle.pass(100);
    let task = |told: &Value| told["lead_id"].as_str().map(str::to_owned);
    let task_of = format!("/v1/agents/{agent}/task");
    let first = task(&idle.house.get(&task_of).await.is(200).json());
    let verb = format!("{}:take_back", idle.path);
    let other = idle.house.agent("1002").await;
    let none = idle.house.post(&verb, json!({"agent_id": other})).await.is(200).json();
    assert_eq!(none, json!({"taken_back": 0}));
    assert_eq!(idle.house.act(&verb).await.is(200).json(), json!({"taken_back": 1}));
    idle.pass(100);
    let second = task(&idle.house.get(&task_of).await.is(200).json());
    assert!(first.is_some() && second.is_some() && first != second, "{first:?} {second:?}");
    let unknown = json!({"agent_id": "agt_01JC8Z3V5N8W6Q2R4T7Y9X1B3D"});
    assert_eq!(idle.house.post(&verb, unknown).await.problem(400, "invalid_body"), ["/agent_id"]);
    assert_eq!(idle.house.ask(ROOT, Method::GET, &verb, None).await.status, 405);
}

#[tokio::test]
async fn lists_share_and_leads_come_by_chance() {
    let idle = Idle::with(2, json!({})).await;
    let other = idle.house.list().await;
    let wrong = json!({"list_mix": {other.as_str(): 30}});
    let reply = idle.house.patch(&idle.path, wrong).await;
    assert_eq!(reply.problem(400, "invalid_body"), [format!("/list_mix/{other}")]);
    let wrong = json!({"list_mix": {idle.list.as_str(): 0}});
    let reply = idle.house.patch(&idle.path, wrong).await;
    assert_eq!(reply.problem(400, "invalid_body"), [format!("/list_mix/{}", idle.list)]);
    let reply = idle.house.patch(&idle.path, json!({"lead_order": "newest"})).await;
    assert_eq!(reply.problem(400, "invalid_body"), ["/lead_order"]);
    let good = json!({"lists": [idle.list, other], "list_mix": {idle.list.as_str(): 70, other.as_str(): 30},
        "lead_order": "random"});
    let shown = idle.house.patch(&idle.path, good).await.is(200).json();
    assert_eq!((&shown["lead_order"], &shown["list_mix"][&other]), (&json!("random"), &json!(30)));
    // A list that goes takes its share with it.
    idle.house.delete(&format!("/v1/lists/{other}")).await.is(204);
    let shown = idle.house.get(&idle.path).await.is(200).json();
    assert_eq!(shown["list_mix"], json!({idle.list.as_str(): 70}));
}
