//! Two tenants and an operator: who sees what, over all routes there are.

use crate::events::Stream;
use crate::house::{House, NOW, ROOT, Reply};
use crate::resources::health;
use axum::http::Method;
use dialer_core::record::{LedgerEntry, RecordingRow};
use dialer_core::{CallFact, CallId, EndCause, Party, Record, RecordingId};
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
    // What they have besides: a promise, a recording of the call that is over, lists of their own, who is told of it.
    let promised = house.made(&post(house, &token, &leads, json!({"phone": "+8613800138009"})).await);
    let promise = json!({"lead_id": promised, "at": "2026-10-01T04:00:00Z", "agent_id": agents[0]});
    post(house, &token, "/v1/callbacks", promise).await.is(201);
    let recording = RecordingRow {
        id: RecordingId::from_bits(ended.to_bits() + 1),
        call: ended,
        campaign: Some(campaign.parse().unwrap()),
        agent: Some(agents[1].parse().unwrap()),
        file: format!("{ended}.wav"),
        duration_ms: 1,
        paused_ms: 0,
        bytes: 1,
        undecodable: false,
        cut_off: false,
        at: NOW,
    };
    ids.insert("recordings", recording.id.to_string());
    house.core.lock().unwrap().write(vec![Record::RecordingReady(recording)]);
    let own = json!({"name": "ours", "url": "https://example.com/ours"});
    ids.insert("webhooks", house.made(&post(house, &token, "/v1/webhooks", own).await));
    ids.insert("dnc-lists", house.made(&post(house, &token, "/v1/dnc-lists", json!({"name": "ours"})).await));
    let more = json!({"name": "for the wallboard", "scopes": ["calls:read"]});
    ids.insert("tokens", house.made(&post(house, &token, "/v1/tokens", more).await));
    ids.insert("callbacks", promised);
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
    let document = control_api::openapi();
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
        // A report is of whoever asks for it; trunks and prompts are the house's, and looked at by all.
        let of_all = path.starts_with("/v1/trunks/") || path.starts_with("/v1/prompts/");
        if !path.contains('{') || path == "/v1/reports/{report}" || of_all && method == Method::GET {
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
        let file = path.ends_with("/listen") || path.ends_with("/download");
        let closed = path.ends_with("/trace") || path.contains("{leg_id}") || file;
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
    for (resource, id) in acme.ids.iter().filter(|(resource, _)| **resource != "tokens") {
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
    // Agents, groups, lists, campaigns, calls, records, callbacks, recordings, webhooks, do-not-call lists, tokens, audit.
    assert!(shown >= 12, "{shown}");
    // The operator sees all.
    for (resource, id) in acme.ids.iter().chain(&blue.ids) {
        assert!(house.get(&format!("/v1/{resource}")).await.is(200).text.contains(id.as_str()), "{resource}");
    }
    // An export is a list too.
    let export = house.ask(&blue.token, Method::GET, "/v1/cdrs:export?format=ndjson", None).await.is(200);
    assert!(export.text.contains(&blue.ended) && !export.text.contains(&acme.ended), "{}", export.text);
}

/// Reports add up a tenant's own calls, evidence is of them, and the log tells what its own tokens did.
#[tokio::test]
async fn figures_and_evidence_are_of_the_tenants_own_calls() {
    let (house, acme, blue) = two().await;
    let ended = |of: &Owned| of.ended.parse::<CallId>().unwrap();
    let entry = |of: &Owned| {
        let campaign = of.ids["campaigns"].parse().unwrap();
        Record::Ledger(LedgerEntry { campaign, call: ended(of), at: NOW, abandoned: true })
    };
    house.core.lock().unwrap().write(vec![entry(&acme), entry(&blue)]);
    let as_blue = async |path: &str| house.ask(&blue.token, Method::GET, path, None).await.is(200);
    for report in ["agents", "campaigns", "hours", "trunks", "caller-ids", "outcomes"] {
        let of_blue = as_blue(&format!("/v1/reports/{report}")).await.json();
        assert_eq!(of_blue["total"]["calls"], 1, "{report}");
        let of_all = house.get(&format!("/v1/reports/{report}")).await.is(200).json();
        assert_eq!(of_all["total"]["calls"], 2, "{report}");
    }
    let named = format!("/v1/reports/agents?campaign={}", acme.ids["campaigns"]);
    assert_eq!(as_blue(&named).await.json()["total"]["calls"], 0, "another's campaign");
    let ledger = as_blue("/v1/abandonment-ledger:export?format=csv").await.text;
    assert!(ledger.contains(&blue.ended) && !ledger.contains(&acme.ended), "{ledger}");
    assert_eq!(house.get("/v1/abandonment-ledger:export?format=csv").await.is(200).text.lines().count(), 3);
    let audit = as_blue("/v1/audit?limit=1000").await.json();
    let entries = audit["data"].as_array().unwrap();
    assert!(entries.len() > 5 && entries.iter().all(|entry| entry["by"]["tenant"] == "blue"), "{audit}");
    let made = |entry: &&Value| entry["action"] == "campaign.created";
    assert_eq!(entries.iter().filter(made).count(), 1);
}

/// What the operator gives to a tenant: a pool, whose numbers its calls may show and no others; trunks to look at.
#[tokio::test]
async fn a_tenant_shows_the_numbers_that_it_was_given() {
    let (house, acme, blue) = two().await;
    let given = json!({"name": "blue", "numbers": ["+862155550001", "+862155550002"], "tenant": "blue"});
    let pool = house.made(&house.post("/v1/caller-id-pools", given).await);
    let others = json!({"name": "kept", "numbers": ["+862155550003"]});
    let kept = house.made(&house.post("/v1/caller-id-pools", others).await);
    let path = format!("/v1/caller-id-pools/{pool}");
    let ask = async |token: &str, method: Method, path: &str, body: Value| {
        let body = (method != Method::GET).then_some(body);
        house.ask(token, method, path, body).await
    };
    let seen = ask(&blue.token, Method::GET, "/v1/caller-id-pools", json!(null)).await.is(200).json();
    assert_eq!((seen["data"].as_array().unwrap().len(), &seen["data"][0]["id"]), (1, &json!(pool)));
    let hidden = ask(&acme.token, Method::GET, "/v1/caller-id-pools", json!(null)).await.is(200).json();
    assert_eq!(hidden["data"], json!([]));
    ask(&acme.token, Method::PATCH, &path, json!({"strategy": "random"})).await.problem(404, "not_found");
    // How its numbers are used is the tenant's to say, which there are the operator's.
    let changed = ask(&blue.token, Method::PATCH, &path, json!({"strategy": "random", "tenant": null})).await;
    assert_eq!(changed.is(200).json()["tenant"], "blue");
    let more = json!({"numbers": ["+862155550001", "+862155550003"]});
    let refused = ask(&blue.token, Method::PATCH, &path, more).await;
    assert_eq!(refused.problem(400, "invalid_body"), ["/numbers/1"]);
    let number = |number: &str| json!({"number": number});
    let quarantine = format!("{path}/numbers:quarantine");
    post(&house, &acme.token, &quarantine, number("+862155550001")).await.problem(404, "not_found");
    let made = json!({"name": "own", "numbers": ["+862155550009"]});
    post(&house, &blue.token, "/v1/caller-id-pools", made).await.problem(403, "insufficient_scope");
    ask(&blue.token, Method::DELETE, &path, json!({})).await.problem(404, "not_found");
    // Campaigns, calls and agents' devices show what is in it and nothing else.
    let campaign = |field: &str, value: &str| json!({"name": "x", "lists": [], field: value});
    for (field, value, good) in [
        ("caller_id", "+862155550001", true),
        ("caller_id", "+862155550003", false),
        ("caller_id", "anonymous", false),
        ("caller_id_pool", pool.as_str(), true),
        ("caller_id_pool", kept.as_str(), false),
    ] {
        let reply = post(&house, &blue.token, "/v1/campaigns", campaign(field, value)).await;
        match good {
            true => drop(reply.is(201)),
            false => assert_eq!(reply.problem(400, "invalid_body"), [format!("/{field}")], "{value}"),
        }
    }
    let own = campaign("caller_id", "+862155550001");
    assert_eq!(
        post(&house, &acme.token, "/v1/campaigns", own).await.problem(400, "invalid_body"),
        ["/caller_id"]
    );
    let call = json!({"agent_id": blue.ids["agents"], "to": "+8613800138000", "caller_id": "+862155550003"});
    assert_eq!(
        post(&house, &blue.token, "/v1/calls", call).await.problem(400, "invalid_body"),
        ["/caller_id"]
    );
    let device = json!({"kind": "number", "number": "+8613800138000", "caller_id": "+862155550003"});
    let agent = json!({"name": "x", "username": "blue9", "device": device});
    let refused = post(&house, &blue.token, "/v1/agents", agent).await;
    assert_eq!(refused.problem(400, "invalid_body"), ["/device/caller_id"]);
    // Trunks: what they are called and whether they are up, nothing of the carrier.
    let all = house.get("/v1/trunks").await.is(200).json();
    let seen = ask(&blue.token, Method::GET, "/v1/trunks", json!(null)).await.is(200).json();
    assert_eq!((&seen["data"][0]["id"], &seen["data"][0]["address"]), (&all["data"][0]["id"], &json!("")));
    assert_ne!(all["data"][0]["address"], "");
    let trunk = format!("/v1/trunks/{}", all["data"][0]["id"].as_str().unwrap());
    ask(&blue.token, Method::PATCH, &trunk, json!({"enabled": false})).await.problem(404, "not_found");
    // A route of inbound calls is shown to the tenant whose campaign it leads to.
    let route = json!({"name": "back", "numbers": ["+862155550001"], "campaign_id": blue.ids["campaigns"]});
    let route = house.made(&house.post("/v1/inbound-routes", route).await);
    let path = format!("/v1/inbound-routes/{route}");
    ask(&blue.token, Method::GET, &path, json!(null)).await.is(200);
    ask(&acme.token, Method::GET, &path, json!(null)).await.problem(404, "not_found");
    ask(&blue.token, Method::DELETE, &path, json!({})).await.problem(404, "not_found");
}

/// A person's data are told as far as they are the tenant's; to erase them everywhere is the operator's.
#[tokio::test]
async fn a_person_is_told_of_as_far_as_the_tenant_knows_them() {
    let (house, acme, blue) = two().await;
    let who = json!({"number": "+8613800138000"});
    let told = post(&house, &blue.token, "/v1/persons:export", who.clone()).await.is(200);
    let person = told.json();
    assert_eq!(
        (&person["leads"][0]["id"], person["leads"].as_array().unwrap().len()),
        (&json!(blue.lead), 1)
    );
    assert_eq!(person["calls"].as_array().unwrap().len(), 1);
    assert_eq!(person["recordings"].as_array().unwrap().len(), 1);
    assert!(!person["events"].as_array().unwrap().is_empty());
    for theirs in acme.ids.values().chain([&acme.lead, &acme.live, &acme.ended]) {
        assert!(!told.text.contains(theirs.as_str()), "{}", told.text);
    }
    let all = house.post("/v1/persons:export", who.clone()).await.is(200).json();
    assert_eq!(all["leads"].as_array().unwrap().len(), 2);
    post(&house, &blue.token, "/v1/persons:erase", who).await.problem(403, "insufficient_scope");
}

/// Masking holds for a tenant's recordings, callbacks and webhooks as elsewhere.
#[tokio::test]
async fn a_tenant_without_the_scope_sees_no_whole_number() {
    let (house, _, blue) = two().await;
    let scopes = json!(["leads:read", "calls:read", "audit:read", "recordings:listen", "events:read"]);
    let body = json!({"name": "viewer", "scopes": scopes});
    // The scopes are those that its maker has, `admin` among them.
    let made = post(&house, &blue.token, "/v1/tokens", body).await.is(201).json();
    let viewer = made["token"].as_str().unwrap();
    for path in ["/v1/callbacks", "/v1/recordings", "/v1/audit", "/v1/cdrs", "/v1/reports/caller-ids"] {
        let reply = house.ask(viewer, Method::GET, path, None).await.is(200);
        assert!(!reply.text.contains("13800138"), "{path}: {}", reply.text);
    }
    let shown = house.ask(viewer, Method::GET, "/v1/callbacks", None).await.json();
    assert_eq!(shown["data"].as_array().unwrap().len(), 1);
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
        ("/v1/callbacks", json!({"lead_id": acme.lead, "at": "2026-10-01T05:00:00Z"}), "/lead_id"),
        (
            "/v1/callbacks",
            json!({"lead_id": blue.ids["callbacks"], "at": "2026-10-01T05:00:00Z", "agent_id": agent}),
            "/agent_id",
        ),
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

/// Who administers a tenant makes tokens of that tenant and of no other, with no more than they have.
#[tokio::test]
async fn a_tenants_token_makes_tokens_of_its_tenant() {
    let (house, acme, blue) = two().await;
    let body = json!({"name": "x", "scopes": ["calls:read"]});
    let made = post(&house, &acme.token, "/v1/tokens", body).await.is(201).json();
    assert_eq!(made["tenant"], "acme");
    let secret = made["token"].as_str().unwrap();
    let calls = house.ask(secret, Method::GET, "/v1/calls", None).await.is(200).text;
    assert!(calls.contains(&acme.live) && !calls.contains(&blue.live), "{calls}");
    let same = json!({"name": "x", "scopes": ["calls:read"], "tenant": "acme"});
    post(&house, &acme.token, "/v1/tokens", same).await.is(201);
    for other in ["blue", "default"] {
        let body = json!({"name": "x", "scopes": ["calls:read"], "tenant": other});
        let reply = post(&house, &acme.token, "/v1/tokens", body).await;
        assert_eq!(reply.problem(400, "invalid_body"), ["/tenant"], "{other}");
    }
    let body = json!({"name": "x", "scopes": ["compliance:override"]});
    post(&house, &acme.token, "/v1/tokens", body).await.problem(403, "insufficient_scope");
    let path = format!("/v1/tokens/{}", made["id"].as_str().unwrap());
    house.ask(&blue.token, Method::DELETE, &path, None).await.problem(404, "not_found");
    house.ask(&acme.token, Method::DELETE, &path, None).await.is(204);
    house.ask(secret, Method::GET, "/v1/calls", None).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn names_of_tenants_are_checked() {
    let house = House::new();
    for name in ["", "Acme", "a b", "x/y"] {
        let body = json!({"name": "x", "scopes": ["admin"], "tenant": name});
        assert_eq!(
            house.post("/v1/tokens", body).await.problem(400, "invalid_body"),
            ["/tenant"],
            "{name:?}"
        );
    }
}

/// A tenant's do-not-call list keeps its own imports clean, and nobody else's.
#[tokio::test]
async fn an_import_minds_the_tenants_own_list() {
    let (house, acme, blue) = two().await;
    let listed = json!({"numbers": ["+8613700137000"]});
    let numbers = format!("/v1/dnc-lists/{}/numbers", acme.ids["dnc-lists"]);
    post(&house, &acme.token, &numbers, listed).await.is(200);
    for (of, expected) in [(&acme, "dnc"), (&blue, "accepted")] {
        let path = format!("/v1/lists/{}/leads:import", of.ids["lists"]);
        let reply = house.import_as(&of.token, &path, "text/csv", "phone\n+8613700137000\n").await.is(200);
        assert!(reply.text.contains(&format!("\"result\":\"{expected}\"")), "{}", reply.text);
    }
    let entries = async |of: &Owned| {
        let path = format!("/v1/dnc-lists/{}", of.ids["dnc-lists"]);
        house.ask(&of.token, Method::GET, &path, None).await.is(200).json()["entries"].clone()
    };
    assert_eq!((entries(&acme).await, entries(&blue).await), (json!(1), json!(0)));
}
