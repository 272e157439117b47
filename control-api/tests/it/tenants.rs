//! Two tenants and an operator: who sees what, over all routes there are.

use crate::events::Stream;
use crate::house::{House, ROOT, Reply};
use crate::resources::health;
use axum::http::Method;
use dialer_core::{CallFact, CallId, EndCause, Party};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What one tenant has, by the first part of its name.
struct Owned {
    token: String,
    ids: BTreeMap<&'static str, String>,
    live: String,
    ended: String,
    lead: String,
}

async fn token(house: &House, tenant: Option<&str>) -> String {
    let scopes = ["admin", "leads:pii"];
    let body = json!({"name": "of a tenant", "scopes": scopes, "tenant": tenant});
    let made = house.post("/v1/tokens", body).await.is(201).json();
    assert_eq!(made["tenant"], json!(tenant));
    made["token"].as_str().unwrap().to_owned()
}

async fn post(house: &House, token: &str, path: &str, body: Value) -> Reply {
    house.ask(token, Method::POST, path, Some(body)).await
}

/// A tenant at work: an agent, a list with a lead, a campaign, a call that lives and one that is over.
async fn tenant(house: &House, name: &str) -> Owned {
    let token = token(house, Some(name)).await;
    let mut ids = BTreeMap::new();
    let list = house.made(&post(house, &token, "/v1/lists", json!({"name": "October"})).await);
    let leads = format!("/v1/lists/{list}/leads");
    let lead = house.made(&post(house, &token, &leads, json!({"phone": "+8613800138000"})).await);
    let device = json!({"kind": "address", "uri": "sip:192.0.2.40"});
    let mut agents = Vec::new();
    for number in 1..=2 {
        let agent = json!({"name": "Ada", "username": format!("{name}{number}"), "groups": ["sales"], "device": device});
        let agent = house.made(&post(house, &token, "/v1/agents", agent).await);
        let login = format!("/v1/agents/{agent}:login");
        post(house, &token, &login, json!({"session": "on_demand"})).await.is(200);
        agents.push(agent);
    }
    let campaign = json!({"name": "Renewals", "lists": [list], "agent_group": "sales", "mode": "preview"});
    let campaign = house.made(&post(house, &token, "/v1/campaigns", campaign).await);
    let mut calls = Vec::new();
    for agent in &agents {
        let body = json!({"agent_id": agent, "to": "+8613800138000", "campaign_id": campaign});
        let made = post(house, &token, "/v1/calls", body).await.is(202).json();
        calls.push(made["id"].as_str().unwrap().to_owned());
    }
    let ended: CallId = calls[1].parse().unwrap();
    let (by, cause) = (Party::Customer, EndCause::Busy);
    let end = CallFact::Ended { call: ended, by, cause, sip_code: Some(486), q850: None };
    house.core.lock().unwrap().fact(end);
    ids.insert("lists", list);
    ids.insert("agents", agents[0].clone());
    ids.insert("campaigns", campaign);
    ids.insert("calls", calls[0].clone());
    ids.insert("cdrs", calls[1].clone());
    Owned { token, ids, live: calls[0].clone(), ended: calls[1].clone(), lead }
}

async fn two() -> (House, Owned, Owned) {
    let house = House::new();
    let trunk = house.trunk().await;
    house.core.lock().unwrap().input(health(&trunk, true));
    let acme = tenant(&house, "acme").await;
    let blue = tenant(&house, "blue").await;
    (house, acme, blue)
}

fn operations() -> Vec<(Method, String)> {
    let document = serde_json::to_value(control_api::openapi()).unwrap();
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            found.push((method.to_uppercase().parse().unwrap(), path.clone()));
        }
    }
    found
}

/// A path with the names of somebody's things in it; the house's where that has none of the sort.
fn filled(path: &str, of: &Owned, house: &BTreeMap<&'static str, String>) -> String {
    let resource = path.split('/').nth(2).unwrap().split(':').next().unwrap();
    let id = of.ids.get(resource).or_else(|| house.get(resource)).map_or("x", String::as_str);
    path.replace("{id}", id)
        .replace("{call_id}", &of.ended)
        .replace("{lead_id}", &of.lead)
        .replace("{leg_id}", "leg_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")
        .replace("{name}", "hold-music")
        .replace("{report}", "agents")
}

/// What the operator has, of the sorts that tenants have nothing of.
async fn of_the_house(house: &House) -> BTreeMap<&'static str, String> {
    let mut ids = BTreeMap::new();
    let trunks = house.get("/v1/trunks").await.is(200).json();
    ids.insert("trunks", trunks["data"][0]["id"].as_str().unwrap().to_owned());
    let tokens = house.get("/v1/tokens").await.is(200).json();
    ids.insert("tokens", tokens["data"][0]["id"].as_str().unwrap().to_owned());
    for (path, name, body) in [
        ("/v1/dnc-lists", "dnc-lists", json!({"name": "internal"})),
        ("/v1/caller-id-pools", "caller-id-pools", json!({"name": "shown", "numbers": ["+862155550000"]})),
        ("/v1/webhooks", "webhooks", json!({"name": "crm", "url": "https://example.com/hook"})),
    ] {
        ids.insert(name, house.made(&house.post(path, body).await));
    }
    ids
}

/// The statement that matters: whatever route names something, what is somebody else's is not there, and nothing of it
/// changes.
#[tokio::test]
async fn what_another_tenant_has_is_not_there_on_any_route() {
    let (house, acme, blue) = two().await;
    let of_house = of_the_house(&house).await;
    let (mut reached, mut seen_by_owner) = (0, 0);
    for (method, path) in operations() {
        if !path.contains('{') {
            continue;
        }
        let theirs = filled(&path, &acme, &of_house);
        let body =
            (method == Method::POST || method == Method::PUT || method == Method::PATCH).then(|| json!({}));
        let reply = house.ask(&blue.token, method.clone(), &theirs, body).await;
        reply.problem(404, "not_found");
        reached += 1;
        // The same question by its owner leads somewhere, where there is anything.
        let own = acme.ids.keys().any(|resource| path.starts_with(&format!("/v1/{resource}/")));
        let closed = path.ends_with("/trace") || path.contains("{leg_id}");
        if method == Method::GET
            && own
            && !closed
            && !path.ends_with("/task")
            && !path.contains("dial-requests")
        {
            house.ask(&acme.token, Method::GET, &theirs, None).await.is(200);
            seen_by_owner += 1;
        }
    }
    assert!(reached > 60 && seen_by_owner >= 8, "{reached} {seen_by_owner}");
    // Nothing of it was changed by the attempts.
    for (resource, id) in &acme.ids {
        house.ask(&acme.token, Method::GET, &format!("/v1/{resource}/{id}"), None).await.is(200);
    }
}

#[tokio::test]
async fn no_list_shows_what_another_tenant_has() {
    let (house, acme, blue) = two().await;
    of_the_house(&house).await;
    let mut hidden: Vec<&str> = acme.ids.values().map(String::as_str).collect();
    hidden.extend([acme.live.as_str(), acme.ended.as_str(), acme.lead.as_str(), "acme"]);
    let mut shown = 0;
    for (method, path) in operations() {
        if method != Method::GET || path.contains('{') || path == "/v1/events" || path == "/v1/ws" {
            continue;
        }
        let reply = house.ask(&blue.token, Method::GET, &path, None).await;
        if reply.status == 403 {
            reply.problem(403, "insufficient_scope");
            continue;
        }
        if path != "/v1/openapi.json" {
            let found = hidden.iter().find(|text| reply.text.contains(**text));
            assert_eq!(found, None, "{path}: {}", reply.text);
        }
        shown += usize::from(blue.ids.values().any(|id| reply.text.contains(id.as_str())));
    }
    assert!(shown >= 5, "agents, groups, lists, campaigns, calls, records: {shown}");
    // The operator sees all.
    for (resource, id) in acme.ids.iter().chain(&blue.ids) {
        assert!(house.get(&format!("/v1/{resource}")).await.is(200).text.contains(id.as_str()), "{resource}");
    }
    // An export is a list too.
    let export = house.ask(&blue.token, Method::GET, "/v1/cdrs:export?format=ndjson", None).await.is(200);
    assert!(export.text.contains(&blue.ended) && !export.text.contains(&acme.ended), "{}", export.text);
}

/// Names in bodies and parameters lead nowhere else either.
#[tokio::test]
async fn a_body_cannot_name_what_another_tenant_has() {
    let (house, acme, blue) = two().await;
    let of_house = of_the_house(&house).await;
    let (agent, list, campaign) = (&acme.ids["agents"], &acme.ids["lists"], &acme.ids["campaigns"]);
    let own = &blue.ids["agents"];
    let to = "+8613800138000";
    let wrong = [
        ("/v1/campaigns", json!({"name": "x", "lists": [list]}), "/lists/0"),
        ("/v1/campaigns", json!({"name": "x", "lists": [], "trunks": [of_house["trunks"]]}), "/trunks/0"),
        (
            "/v1/campaigns",
            json!({"name": "x", "lists": [], "dnc_lists": [of_house["dnc-lists"]]}),
            "/dnc_lists",
        ),
        (
            "/v1/campaigns",
            json!({"name": "x", "lists": [], "caller_id_pool": of_house["caller-id-pools"]}),
            "/caller_id_pool",
        ),
        (
            "/v1/agents",
            json!({"name": "x", "username": "x", "password": "secret", "campaigns": {campaign.as_str(): {"rank": 1}}}),
            &format!("/campaigns/{campaign}"),
        ),
        ("/v1/calls", json!({"agent_id": agent, "to": to}), "/agent_id"),
        ("/v1/calls", json!({"agent_id": own, "to": to, "campaign_id": campaign}), "/campaign_id"),
        ("/v1/calls", json!({"agent_id": own, "to": to, "trunk_id": of_house["trunks"]}), "/trunk_id"),
        ("/v1/calls", json!({"agent_id": own, "lead_id": acme.lead}), "/lead_id"),
    ];
    for (path, body, pointer) in wrong {
        let reply = post(&house, &blue.token, path, body.clone()).await;
        assert_eq!(reply.problem(400, "invalid_body"), [pointer], "{path} {body}");
    }
    let path = format!("/v1/lists/{}/leads?dedupe_scope=campaign&campaign={campaign}", blue.ids["lists"]);
    post(&house, &blue.token, &path, json!({"phone": to})).await.problem(400, "invalid_parameter");
    // A number that only another tenant has is no duplicate.
    let path = format!("/v1/lists/{}/leads?dedupe_scope=tenant", blue.ids["lists"]);
    let fresh = json!({"phone": "+8613900139000"});
    post(&house, &acme.token, &format!("/v1/lists/{list}/leads"), fresh.clone()).await.is(201);
    post(&house, &blue.token, &path, fresh).await.is(201);
    post(&house, &blue.token, &path, json!({"phone": to})).await.problem(409, "conflict");
}

#[tokio::test]
async fn a_stream_carries_the_tenants_own() {
    let (house, acme, blue) = two().await;
    let tell = |token: &str, verb: &str, of: &Owned| {
        let path = format!("/v1/agents/{}:{verb}", of.ids["agents"]);
        let token = token.to_owned();
        let house = &house;
        async move { post(house, &token, &path, json!({"code": "lunch"})).await }
    };
    let mut stream = Stream::open_as(&house, &blue.token, "/v1/events?after=0", None).await;
    let mut operator = Stream::open_as(&house, ROOT, "/v1/events?after=0", None).await;
    tell(&acme.token, "pause", &acme).await;
    // The last thing that is told; whoever has read it has read all.
    let last = format!("/v1/lists/{}/leads", blue.ids["lists"]);
    post(&house, &blue.token, &last, json!({"phone": "+8613900139999"})).await.is(201);
    let (mut of_blue, mut of_all) = (Vec::new(), Vec::new());
    for (stream, told) in [(&mut stream, &mut of_blue), (&mut operator, &mut of_all)] {
        let mut imports = 0;
        while imports < 2 {
            let (_, event) = stream.event().await;
            imports += usize::from(event["type"] == "list.imported" && event["tenant"] == "blue");
            told.push(event);
        }
    }
    assert!(of_blue.iter().all(|event| event["tenant"] == "blue"), "{of_blue:?}");
    let types: Vec<&str> = of_blue.iter().map(|event| event["type"].as_str().unwrap()).collect();
    for expected in ["agent.logged_in", "campaign.created", "call.created", "call.ended"] {
        assert!(types.contains(&expected), "{types:?}");
    }
    for tenant in [json!("acme"), json!("blue"), Value::Null] {
        assert!(of_all.iter().any(|event| event["tenant"] == tenant), "{tenant}");
    }
}

/// What the operator makes is the tenant's called `default`, and so is everything that was there before.
#[tokio::test]
async fn the_default_tenant_has_what_nobody_else_has() {
    let house = House::new();
    let (list, agent) = (house.list().await, house.agent("1001").await);
    let default = token(&house, Some("default")).await;
    let acme = token(&house, Some("acme")).await;
    for path in [format!("/v1/lists/{list}"), format!("/v1/agents/{agent}")] {
        house.ask(&default, Method::GET, &path, None).await.is(200);
        house.ask(&acme, Method::GET, &path, None).await.problem(404, "not_found");
        house.get(&path).await.is(200);
    }
    // The operator changes what is a tenant's, and it stays the tenant's.
    let own = house.made(&post(&house, &acme, "/v1/lists", json!({"name": "ours"})).await);
    house.patch(&format!("/v1/lists/{own}"), json!({"name": "theirs"})).await.is(200);
    house.ask(&acme, Method::GET, &format!("/v1/lists/{own}"), None).await.is(200);
    house.ask(&default, Method::GET, &format!("/v1/lists/{own}"), None).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_tenants_token_makes_no_tokens_and_names_are_checked() {
    let house = House::new();
    let acme = token(&house, Some("acme")).await;
    let body = json!({"name": "x", "scopes": ["admin"]});
    post(&house, &acme, "/v1/tokens", body).await.problem(403, "insufficient_scope");
    for name in ["", "Acme", "a b", "x/y"] {
        let body = json!({"name": "x", "scopes": ["admin"], "tenant": name});
        assert_eq!(
            house.post("/v1/tokens", body).await.problem(400, "invalid_body"),
            ["/tenant"],
            "{name:?}"
        );
    }
}
