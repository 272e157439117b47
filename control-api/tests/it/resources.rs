//! Trunks, agents, lists, campaigns, calls, records, recordings, the node: as they are used.

use crate::house::{House, NOW, ROOT};
use crate::prompts::Shelf;
use axum::http::Method;
use dialer_core::outcome::{EndCause, Evidence, Party};
use dialer_core::record::{CallKindTag, RecordingRow};
use dialer_core::{CallFact, CallRecord, Outcome, Record, TrunkFact};
use serde_json::{Value, json};
use store::Store;

#[tokio::test]
async fn a_trunk_lives() {
    let house = House::new();
    let made = house
        .post("/v1/trunks", json!({"name": "carrier", "address": "127.0.0.1:5070", "username": "u", "password": "trunk-secret"}))
        .await;
    let id = house.made(&made);
    assert_eq!(made.header("location"), format!("/v1/trunks/{id}"));
    assert_eq!(made.header("etag"), "\"v1\"");
    assert!(!made.text.contains("trunk-secret"));
    let body = made.json();
    assert_eq!(body["has_password"], true);
    assert_eq!(body["channels_max"], 100);
    assert_eq!(body["created_at"], "2026-10-01T02:03:04.000Z");
    let path = format!("/v1/trunks/{id}");
    let changed = house.patch(&path, json!({"channels_max": 7})).await.is(200);
    assert_eq!(changed.header("etag"), "\"v2\"");
    assert_eq!(
        (changed.json()["channels_max"].clone(), changed.json()["has_password"].clone()),
        (json!(7), json!(true))
    );
    // The password was kept, and can be taken away.
    assert_eq!(house.patch(&path, json!({"register": true})).await.is(200).json()["register"], true);
    assert_eq!(
        house.patch(&path, json!({"password": null})).await.problem(400, "invalid_body"),
        ["/register"]
    );
    let reply =
        house.patch(&path, json!({"username": null, "password": null, "register": false})).await.is(200);
    assert_eq!(reply.json()["has_password"], false);
    let stale = [("if-match", "\"v1\"")];
    let reply = house.ask_with(ROOT, Method::PATCH, &path, Some(json!({"name": "y"})), &stale).await;
    reply.problem(412, "version_mismatch");
    let version = reply.json()["current_version"].as_u64().unwrap();
    house.ask_with(ROOT, Method::DELETE, &path, None, &stale).await.problem(412, "version_mismatch");
    let tag = format!("\"v{version}\"");
    let fresh = [("if-match", tag.as_str())];
    house.ask_with(ROOT, Method::PATCH, &path, Some(json!({"name": "z"})), &fresh).await.is(200);
    assert_eq!(house.patch(&path, json!({"nam": null})).await.problem(400, "invalid_body"), ["/nam"]);
    assert_eq!(house.patch(&path, json!({"name": null})).await.problem(400, "invalid_body"), ["/name"]);
    let twin = json!({"name": "z", "address": "127.0.0.1:5071"});
    assert_eq!(house.post("/v1/trunks", twin).await.problem(409, "conflict"), ["/name"]);
    house.delete(&path).await.is(204);
    house.get(&path).await.problem(404, "not_found");
}

#[tokio::test]
async fn things_come_in_pages() {
    let house = House::new();
    for name in ["a", "b", "c", "d", "e"] {
        house.made(&house.post("/v1/lists", json!({"name": name})).await);
    }
    let mut path = "/v1/lists?limit=2&include=total".to_owned();
    let mut names = vec![];
    for page in 1.. {
        let reply = house.get(&path).await.is(200);
        let body = reply.json();
        assert_eq!(body["total"], 5);
        names.extend(
            body["data"].as_array().unwrap().iter().map(|list| list["name"].as_str().unwrap().to_owned()),
        );
        if body["next_cursor"].is_null() {
            assert_eq!(page, 3);
            assert!(reply.headers.get("link").is_none());
            break;
        }
        let link = reply.header("link");
        assert!(link.ends_with("; rel=\"next\""));
        path = link[1..link.find('>').unwrap()].to_owned();
    }
    names.sort();
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn an_agent_works() {
    let house = House::new();
    let id = house.agent("1001").await;
    let path = format!("/v1/agents/{id}");
    assert!(!house.get(&path).await.is(200).text.contains("agent-secret"));
    assert_eq!(
        house.post("/v1/agents", json!({"name": "x", "username": "a b"})).await.problem(400, "invalid_body"),
        ["/username", "/password"]
    );
    let twin = json!({"name": "x", "username": "1001", "password": "y"});
    assert_eq!(house.post("/v1/agents", twin).await.problem(409, "conflict"), ["/username"]);
    let reply = house.patch(&path, json!({"wrap_up_ms": 5000, "auto_answer": "yealink"})).await.is(200);
    assert_eq!(
        (reply.json()["wrap_up_ms"].clone(), reply.json()["auto_answer"].clone()),
        (json!(5000), json!("yealink"))
    );
    house.act(&format!("{path}:ready")).await.problem(409, "invalid_agent_state");
    let reply = house.post(&format!("{path}:login"), json!({"session": "on_demand"})).await.is(200);
    assert_eq!(reply.json()["session"], "on_demand");
    assert_eq!(reply.json()["state"], "unreachable", "the phone is not registered");
    assert_eq!(
        house.post(&format!("{path}/login"), json!({"session": "x"})).await.problem(400, "invalid_body"),
        ["/session"]
    );
    let reply = house.post(&format!("{path}:pause"), json!({"code": "lunch"})).await.is(200);
    assert_eq!(reply.json()["pause_code"], "lunch");
    assert_eq!(
        house.post(&format!("{path}:pause"), json!({"code": ""})).await.problem(400, "invalid_body"),
        ["/code"]
    );
    assert_eq!(
        house.post(&format!("{path}:logout"), json!({"x": 1})).await.problem(400, "invalid_body"),
        ["/x"]
    );
    house.get(&format!("{path}/task")).await.problem(404, "not_found");
    let reply = house.act(&format!("{path}:logout")).await.is(200);
    assert_eq!(reply.json()["state"], "logged_out");
    house.delete(&path).await.is(204);
}

pub(crate) fn registered(agent: &str) -> dialer_core::Input {
    dialer_core::Input::Agent(dialer_core::AgentFact::Registered(dialer_core::record::ContactRow {
        agent: agent.parse().unwrap(),
        uri: "sip:1001@127.0.0.1:5080".into(),
        source: "127.0.0.1:5080".into(),
        listener: 0,
        expires_at: NOW.plus_millis(3_600_000),
    }))
}

pub(crate) fn health(trunk: &str, up: bool) -> dialer_core::Input {
    let reason = (!up).then(|| "no answer".to_owned());
    dialer_core::Input::Trunk(TrunkFact::Health { trunk: trunk.parse().unwrap(), up, reason, rtt_ms: None })
}

#[tokio::test]
async fn a_campaign_lives_and_says_why_it_does_not_dial() {
    let house = House::new();
    let list = house.list().await;
    let id = house.campaign(&[&list]).await;
    let path = format!("/v1/campaigns/{id}");
    let why = || async {
        let body = house.get(&format!("{path}/diagnostics")).await.is(200).json();
        (body["limited_by"].as_str().unwrap().to_owned(), body["summary"].as_str().unwrap().to_owned())
    };
    assert!(why().await.1.contains("stopped"));
    house.act(&format!("{path}:pause")).await.problem(409, "invalid_state");
    assert_eq!(house.act(&format!("{path}:start")).await.is(200).json()["state"], "running");
    assert_eq!(why().await, ("leads".into(), "The campaign's lists have no leads.".into()));
    house.made(&house.post(&format!("/v1/lists/{list}/leads"), json!({"phone": "13800138000"})).await);
    assert_eq!(why().await, ("trunk".into(), "There is no trunk for this campaign.".into()));
    let trunk = house.trunk().await;
    house.core.lock().unwrap().input(health(&trunk, false));
    assert!(why().await.1.contains("None of the campaign's 1 enabled trunks is up"), "{:?}", why().await);
    house.core.lock().unwrap().input(health(&trunk, true));
    assert_eq!(why().await, ("agents".into(), "There is no agent.".into()));
    let agent = house.agent("1001").await;
    assert!(why().await.1.contains("None of the 1 agents is logged in"));
    house.act(&format!("/v1/agents/{agent}:login")).await.is(200);
    assert!(why().await.1.contains("out of reach"), "{:?}", why().await);
    house.patch(&path, json!({"agent_group": "night"})).await.is(200);
    assert_eq!(why().await.1, "There is no agent of group night.");
    let closed = json!({"calling_hours": {"from": "00:00", "to": "00:01", "utc_offset": "+08:00"}});
    house.patch(&path, closed).await.is(200);
    assert_eq!(why().await.0, "window");
    house.act(&format!("{path}:pause")).await.is(200);
    assert!(why().await.1.contains("paused"));
    house.act(&format!("{path}/resume")).await.is(200);
    let stats = house.get(&format!("{path}/stats")).await.is(200).json();
    assert_eq!((stats["attempts"].clone(), stats["state"].clone()), (json!(0), json!("running")));
    house.get(&format!("{path}/pacing")).await.is(200);
    house.delete(&path).await.problem(409, "invalid_state");
    house.act(&format!("{path}:stop")).await.is(200);
    house.delete(&path).await.is(204);
    let funnel = house.get(&format!("/v1/lists/{list}")).await.json()["leads"].clone();
    assert_eq!((funnel["total"].clone(), funnel["new"].clone()), (json!(1), json!(1)));
}

#[tokio::test]
async fn the_documented_campaign_is_taken_as_far_as_it_is_built() {
    let house = House::new();
    let list = house.list().await;
    let body = json!({
        "name": "10月续费", "mode": "predictive", "agent_group": "grp_sales", "lists": [list],
        "concurrency": {"kind": "dynamic", "max": 120, "cps": 10, "max_lines_per_agent": 3.0},
        "pacing": {"abandon_target": 0.02, "abandon_cap": 0.03, "window": "24h"},
        "timers": {"ring_min_ms": 15000, "ring_max_ms": 28000, "agent_ring_ms": 8000, "wrap_up_ms": 20000, "bridge_deadline_ms": 2000},
        "on_no_agent": {"play": "safe_harbour", "then": "hangup"},
        "classify": {"early_media": true, "amd": {"mode": "fast", "human_on_timeout": true}},
        "retry": [{"outcome": "busy", "after": "15m", "max": 3}, {"outcome": "no_answer", "after": "4h", "max": 3, "other_slot": true}, {"outcome": "invalid_number", "max": 0}],
        "caps": {"per_lead": 6}
    });
    let shown = house.post("/v1/campaigns", body).await.is(201).json();
    assert_eq!(
        shown["retry"][1],
        json!({"outcome": "no_answer", "after": "4h", "max": 3, "counts": true, "other_slot": true})
    );
    assert_eq!(shown["classify"]["amd"]["mode"], "before_bridge");
    assert_eq!(shown["concurrency"]["max"], 120);
    // What is shown can be sent back.
    let path = format!("/v1/campaigns/{}", shown["id"].as_str().unwrap());
    let mut settings = shown.as_object().unwrap().clone();
    for computed in ["id", "state", "now", "version", "created_at"] {
        settings.remove(computed);
    }
    house.patch(&path, Value::Object(settings)).await.is(200);
    // Part of a part.
    let reply = house.patch(&path, json!({"timers": {"wrap_up_ms": 1000}})).await.is(200).json();
    assert_eq!(
        (reply["timers"]["wrap_up_ms"].clone(), reply["timers"]["ring_max_ms"].clone()),
        (json!(1000), json!(28000))
    );
    let wrong = json!({"timers": {"ring_min_ms": 30000}, "pacing": {"abandon_target": 0.5}});
    assert_eq!(
        house.patch(&path, wrong).await.problem(400, "invalid_body"),
        ["/pacing/abandon_target", "/timers/ring_max_ms"]
    );
}

#[tokio::test]
async fn a_click_to_call_goes_its_way() {
    let house = House::new();
    let trunk = house.trunk().await;
    let agent = house.agent("1001").await;
    let body = json!({"mode": "agent_first", "agent_id": agent, "to": "13800138000", "ring_timeout_ms": 28000,
        "record": {"channels": "stereo", "announce": false}, "classify": {"early_media": true, "amd": "async"},
        "client_state": "ticket:88231", "variables": {"customer_name": "王先生"}});
    house.post("/v1/calls", body.clone()).await.problem(409, "invalid_agent_state");
    let wrong = json!({"agent_id": agent, "to": "12", "record": {"announce": true}, "ring_timeout_ms": 5});
    assert_eq!(
        house.post("/v1/calls", wrong).await.problem(400, "invalid_body"),
        ["/to", "/ring_timeout_ms"]
    );
    house.gateway.set_prompts(Shelf::with(&[]));
    let announced = json!({"agent_id": agent, "to": "13800138000", "record": {"announce": true}});
    let missing = house.post("/v1/calls", announced.clone()).await;
    assert_eq!(missing.problem(422, "unprocessable"), ["/record/announce"], "there is no such prompt");
    let notice = json!({"name": "recording_notice", "text": "This call is recorded."});
    house.post("/v1/prompts", notice).await.is(201);
    house.post("/v1/calls", announced).await.problem(409, "invalid_agent_state");
    let unknown = json!({"agent_id": "agt_01JC8Z3V5N8W6Q2R4T7Y9X1B3D", "to": "13800138000"});
    assert_eq!(house.post("/v1/calls", unknown).await.problem(400, "invalid_body"), ["/agent_id"]);
    let pool = json!({"agent_id": agent, "to": "13800138000", "caller_id": {"pool": "x"}});
    assert_eq!(house.post("/v1/calls", pool).await.problem(400, "invalid_body"), ["/caller_id"]);
    {
        let mut core = house.core.lock().unwrap();
        core.input(health(&trunk, true));
        core.input(registered(&agent));
    }
    house.post(&format!("/v1/agents/{agent}:login"), json!({"session": "on_demand"})).await.is(200);
    let accepted = house.post("/v1/calls", body).await.is(202);
    let id = accepted.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(accepted.header("location"), format!("/v1/calls/{id}"));
    assert_eq!(accepted.json()["client_state"], "ticket:88231");
    let live = house.get(&format!("/v1/calls?state=live&agent={agent}")).await.is(200).json();
    assert_eq!(live["data"][0]["id"], id.as_str());
    assert_eq!(live["data"][0]["to"], "+8613800138000");
    assert_eq!(live["data"][0]["variables"]["customer_name"], "王先生");
    assert_eq!(house.get("/v1/calls?state=bridged").await.json()["data"], json!([]));
    let reply = house.post(&format!("/v1/calls/{id}/hangup"), json!({"command_id": "mine"})).await.is(202);
    assert_eq!(reply.json()["command_id"], "mine");
    let call = id.parse().unwrap();
    house.core.lock().unwrap().fact(CallFact::Ended {
        call,
        cause: EndCause::Cancelled,
        by: Party::Api,
        sip_code: None,
        q850: None,
    });
    let shown = house.get(&format!("/v1/calls/{id}")).await.is(200).json();
    assert_eq!(shown["state"], "ended");
    assert_eq!(shown["record"]["ended_by"], "api");
    house.act(&format!("/v1/calls/{id}/hangup")).await.problem(409, "invalid_call_state");
    house.get(&format!("/v1/cdrs/{id}")).await.is(200);
    let reply = house.post(&format!("/v1/calls/{id}/disposition"), json!({"code": "", "notes": 3})).await;
    assert_eq!(reply.problem(400, "invalid_body"), ["/notes"]);
}

/// A record of a call, told apart by `n`.
pub(crate) fn record(n: u128, to: &str, started: i64) -> CallRecord {
    CallRecord {
        call: dialer_core::CallId::from_bits(n),
        tenant: None,
        attempt: Some(dialer_core::AttemptId::from_bits(n)),
        campaign: Some(dialer_core::CampaignId::from_bits(7)),
        lead: None,
        agent: Some(dialer_core::AgentId::from_bits(n % 2)),
        trunk: Some(dialer_core::TrunkId::from_bits(1)),
        kind: CallKindTag::Campaign,
        mode: None,
        to: to.into(),
        caller_id: Some("+862155550000".into()),
        number_of_attempt: 1,
        started_at: NOW.plus_millis(started),
        ringing_at: None,
        answered_at: Some(NOW.plus_millis(started + 5_000)),
        bridged_at: None,
        ended_at: NOW.plus_millis(started + 65_000),
        outcome: if n.is_multiple_of(3) { Outcome::Busy } else { Outcome::Connected },
        evidence: Evidence::Sip,
        cause: EndCause::Normal,
        ended_by: Party::Customer,
        sip_code: Some(200),
        q850: None,
        pdd_ms: None,
        ring_ms: None,
        answer_to_bridge_ms: None,
        talk_ms: 60_000,
        amd: None,
        early_media: None,
        abandoned: false,
        safe_harbour_played: false,
        digits: "12345678901".into(),
        recording: Some(dialer_core::RecordingId::from_bits(n)),
        more_recordings: Vec::new(),
        client_state: Some("call +8613800138000 back".into()),
        verstat: None,
        reason: None,
        transferred_to: None,
        participants: Vec::new(),
        amd_detail: None,
        early_media_detail: None,
        media: Vec::new(),
    }
}

#[tokio::test]
async fn records_are_found() {
    let house = House::new();
    let records = (1..=9).map(|n| {
        let to = if n == 4 { "+8613800138004" } else { "+8613900139000" };
        Record::CallEnded(Box::new(record(n, to, n as i64 * 1_000)))
    });
    house.store.append(1_000_000, records.collect());
    assert!(house.store.flush(std::time::Duration::from_secs(30)));
    let ids = |reply: &Value| -> Vec<u128> {
        let data = reply["data"].as_array().unwrap();
        data.iter()
            .map(|row| row["call_id"].as_str().unwrap().parse::<dialer_core::CallId>().unwrap().to_bits())
            .collect()
    };
    let all = house.get("/v1/cdrs").await.is(200).json();
    assert_eq!(ids(&all), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(all["data"][0]["billable_ms"], 60_000);
    let at = |millis| control_api::rfc3339(NOW.plus_millis(millis));
    let found = house.get(&format!("/v1/cdrs?from={}&to={}", at(3_000), at(6_000))).await.is(200).json();
    assert_eq!(ids(&found), [5, 4, 3]);
    assert_eq!(ids(&house.get("/v1/cdrs?number=%2B8613800138004").await.is(200).json()), [4]);
    assert_eq!(ids(&house.get("/v1/cdrs?number=+8613800138004").await.is(200).json()), [4]);
    assert_eq!(ids(&house.get("/v1/cdrs?number=13800138004").await.is(200).json()), [4]);
    assert_eq!(ids(&house.get("/v1/cdrs?outcome=busy").await.is(200).json()), [9, 6, 3]);
    let agent = dialer_core::AgentId::from_bits(1);
    assert_eq!(ids(&house.get(&format!("/v1/cdrs?agent={agent}&limit=2")).await.is(200).json()), [9, 7]);
    let campaign = dialer_core::CampaignId::from_bits(8);
    assert_eq!(
        ids(&house.get(&format!("/v1/cdrs?campaign={campaign}")).await.is(200).json()),
        Vec::<u128>::new()
    );
    let mut path = "/v1/cdrs?limit=4".to_owned();
    let mut seen = vec![];
    loop {
        let reply = house.get(&path).await.is(200);
        seen.extend(ids(&reply.json()));
        if reply.json()["next_cursor"].is_null() {
            break;
        }
        let link = reply.header("link");
        path = link[1..link.find('>').unwrap()].to_owned();
    }
    assert_eq!(seen, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn a_recording_is_downloaded_in_whole_and_in_part() {
    let house = House::new();
    let row = |n: u128, file: &str| RecordingRow {
        id: dialer_core::RecordingId::from_bits(n),
        call: dialer_core::CallId::from_bits(n),
        campaign: None,
        agent: None,
        file: file.into(),
        duration_ms: 1_000,
        paused_ms: 0,
        undecodable: false,
        cut_off: false,
        bytes: 10,
        at: NOW,
    };
    std::fs::create_dir(house.recordings.join("day")).unwrap();
    std::fs::write(house.recordings.join("day/a.wav"), b"0123456789").unwrap();
    std::fs::write(house.recordings.join("../secret"), b"secret").unwrap();
    let rows = [row(1, "day/a.wav"), row(2, "../secret"), row(3, "gone.wav")];
    house.store.append(1_000_000, rows.into_iter().map(Record::RecordingReady).collect());
    assert!(house.store.flush(std::time::Duration::from_secs(30)));
    let listed = house.get("/v1/recordings").await.is(200).json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 3);
    let id = dialer_core::RecordingId::from_bits(1);
    let shown = house.get(&format!("/v1/recordings/{id}")).await.is(200).json();
    let path = shown["download"].as_str().unwrap();
    let whole = house.get(path).await.is(200);
    assert_eq!((whole.text.as_str(), whole.header("content-type")), ("0123456789", "audio/wav"));
    let part = house.ask_with(ROOT, Method::GET, path, None, &[("range", "bytes=2-4")]).await.is(206);
    assert_eq!((part.text.as_str(), part.header("content-range")), ("234", "bytes 2-4/10"));
    let outside = house.ask_with(ROOT, Method::GET, path, None, &[("range", "bytes=10-")]).await;
    outside.problem(416, "range_not_satisfiable");
    assert_eq!(outside.header("content-range"), "bytes */10");
    let head = house.ask(ROOT, Method::HEAD, path, None).await.is(200);
    assert_eq!((head.header("content-length"), head.text.as_str()), ("10", ""));
    for n in [2, 3] {
        let id = dialer_core::RecordingId::from_bits(n);
        house.get(&format!("/v1/recordings/{id}/download")).await.problem(404, "not_found");
    }
    let heard = house.get("/v1/audit?action=recording.*&limit=1000").await.is(200).json();
    let accesses = heard["data"].as_array().unwrap();
    // Whole, part and head; what was refused or gone is none.
    assert_eq!(accesses.len(), 3, "{heard}");
    assert!(accesses.iter().all(|access| access["action"] == "recording.downloaded"
        && access["target"] == id.to_string()
        && access["by"]["name"] == "bootstrap"));
    assert_eq!(accesses[1]["after"]["first_byte"], 2);
    let listener = house.token(&["recordings:listen"]).await;
    let listen = format!("/v1/recordings/{id}/listen");
    let played = house.ask(&listener, Method::GET, &listen, None).await.is(200);
    assert_eq!((played.text.as_str(), played.header("content-disposition")), ("0123456789", "inline"));
    assert_eq!(played.header("cache-control"), "no-store");
    let target = format!("/v1/audit?target={id}&action=recording.listened");
    let heard = house.get(&target).await.is(200).json();
    assert_eq!(heard["data"].as_array().unwrap().len(), 1, "{heard}");
    assert!(heard["data"][0]["by"]["token_id"].as_str().unwrap().starts_with("tok_"));
    house.ask(&listener, Method::GET, "/v1/audit", None).await.problem(403, "insufficient_scope");
    house.ask(&listener, Method::GET, &format!("/v1/recordings/{id}"), None).await.is(200);
    house.ask(&listener, Method::GET, path, None).await.problem(403, "insufficient_scope");
}

#[tokio::test]
async fn the_node_drains() {
    let house = House::new();
    let list = house.list().await;
    assert_eq!(house.get("/v1/node").await.is(200).json()["state"], "ready");
    assert_eq!(
        house.post("/v1/node:drain", json!({"deadline_ms": -1})).await.problem(400, "invalid_body"),
        ["/deadline_ms"]
    );
    let reply = house.act("/v1/node:drain").await.is(202).json();
    assert!(matches!(reply["state"].as_str(), Some("draining" | "drained")), "{reply}");
    let campaign = house.campaign(&[&list]).await;
    let body = house.get(&format!("/v1/campaigns/{campaign}/diagnostics")).await.is(200).json();
    assert!(body["summary"].as_str().unwrap().contains("stopped"));
    assert_eq!(house.post("/v1/node/undrain", json!({})).await.is(200).json()["state"], "ready");
}

#[tokio::test]
async fn requests_are_counted_by_route() {
    let house = House::new();
    let registry = prometheus::Registry::new();
    house.gateway.metrics().register(&registry).unwrap();
    let agent = house.agent("1001").await;
    house.act(&format!("/v1/agents/{agent}:login")).await.is(200);
    house.get("/v1/nothing").await.problem(404, "no_such_route");
    house
        .ask(ROOT, Method::from_bytes(b"BREW").unwrap(), "/v1/agents", None)
        .await
        .problem(405, "method_not_allowed");
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    for line in [
        r#"http_requests_total{code="200",method="POST",route="/v1/agents/{id}/login"} 1"#,
        r#"http_requests_total{code="201",method="POST",route="/v1/agents"} 1"#,
        r#"http_requests_total{code="404",method="GET",route="unmatched"} 1"#,
        r#"http_requests_total{code="405",method="OTHER",route="/v1/agents"} 1"#,
        r#"http_request_seconds_count{route="/v1/agents"} 2"#,
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn an_agent_is_shown_a_task_and_dials_or_skips_it() {
    let house = House::new();
    let (trunk, agent, list) = (house.trunk().await, house.agent("1001").await, house.list().await);
    for phone in ["13800138000", "13800138001"] {
        house.made(&house.post(&format!("/v1/lists/{list}/leads"), json!({"phone": phone})).await);
    }
    {
        let mut core = house.core.lock().unwrap();
        core.input(health(&trunk, true));
        core.input(registered(&agent));
    }
    house.post(&format!("/v1/agents/{agent}:login"), json!({"session": "on_demand"})).await.is(200);
    let campaign = house.made(
        &house.post("/v1/campaigns", json!({"name": "look", "lists": [list], "mode": "preview"})).await,
    );
    house.act(&format!("/v1/campaigns/{campaign}:start")).await.is(200);
    let path = format!("/v1/agents/{agent}/task");
    let task = house.get(&path).await.is(200).json();
    assert_eq!((&task["campaign_id"], &task["to"]), (&json!(campaign), &json!("+8613800138000")));
    let id = task["id"].as_str().unwrap();
    house.act(&format!("/v1/tasks/{id}:skip")).await.is(204);
    house.act(&format!("/v1/tasks/{id}:dial")).await.problem(404, "not_found");
    let task = house.get(&path).await.is(200).json();
    house.act(&format!("/v1/tasks/{}/dial", task["id"].as_str().unwrap())).await.is(204);
    assert_eq!(house.get("/v1/calls").await.json()["data"][0]["lead_id"], task["lead_id"]);
}
