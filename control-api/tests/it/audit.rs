//! The audit log: who changed what, from what to what.

use crate::house::{House, ROOT};
use axum::http::Method;
use serde_json::{Value, json};

async fn log(house: &House, query: &str) -> Vec<Value> {
    let body = house.get(&format!("/v1/audit?{query}")).await.is(200).json();
    body["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_change_is_kept_with_what_was_and_who() {
    let house = House::new();
    let trunk =
        json!({"name": "carrier", "address": "127.0.0.1:5070", "username": "u", "password": "trunk-secret"});
    let made = house.post("/v1/trunks", trunk).await;
    let trunk = house.made(&made);
    let writer = house.token(&["admin"]).await;
    let path = format!("/v1/trunks/{trunk}");
    let patch = json!({"channels_max": 7, "password": "another-secret"});
    house.ask(&writer, Method::PATCH, &path, Some(patch)).await.is(200);
    // The same again changes nothing, what is refused neither.
    house.ask(&writer, Method::PATCH, &path, Some(json!({"channels_max": 7}))).await.is(200);
    house
        .ask(&writer, Method::PATCH, &path, Some(json!({"channels_max": 0})))
        .await
        .problem(400, "invalid_body");
    house.delete(&path).await.is(204);
    let entries = log(&house, &format!("target={trunk}")).await;
    let actions: Vec<&str> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["trunk.deleted", "trunk.changed", "trunk.created"]);
    let changed = &entries[1];
    assert_eq!(changed["at"], "2026-10-01T02:03:04.000Z");
    assert!(changed["by"]["token_id"].as_str().unwrap().starts_with("tok_"));
    assert_eq!(entries[0]["by"], json!({"token_id": null, "tenant": null, "name": "bootstrap"}));
    assert_eq!(
        changed["before"],
        json!({"config": {"channels_max": 100, "password": "(secret)"}}),
        "only what differs"
    );
    assert_eq!(changed["after"], json!({"config": {"channels_max": 7, "password": "(another secret)"}}));
    assert_eq!((&entries[2]["before"], &entries[0]["after"]), (&Value::Null, &Value::Null));
    assert_eq!(entries[0]["before"]["config"]["channels_max"], 7);
    let all = house.get("/v1/audit").await.is(200).text;
    assert!(!all.contains("trunk-secret") && !all.contains("another-secret"), "{all}");
}

#[tokio::test]
async fn states_lists_tokens_and_webhooks_are_in_it() {
    let house = House::new();
    let list = house.list().await;
    let campaign = house.campaign(&[&list]).await;
    house.act(&format!("/v1/campaigns/{campaign}:start")).await;
    house.act(&format!("/v1/campaigns/{campaign}:pause")).await;
    let entries = log(&house, &format!("target={campaign}&action=campaign.changed")).await;
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert_ne!(entries[0]["before"], entries[0]["after"]);
    let dnc = house.made(&house.post("/v1/dnc-lists", json!({"name": "all", "everywhere": true})).await);
    let entry = json!({"numbers": ["+8613800138000"]});
    house.post(&format!("/v1/dnc-lists/{dnc}/numbers"), entry).await.is(200);
    let entries = log(&house, "action=dnc_list.entries_added").await;
    assert_eq!(entries[0]["after"]["numbers"], json!(["+8613800138000"]));
    let reader = house.token(&["audit:read"]).await;
    let masked = house.ask(&reader, Method::GET, "/v1/audit", None).await.is(200);
    assert!(!masked.text.contains("13800138000"), "{}", masked.text);
    let tokens = log(&house, "action=token.created").await;
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0]["after"]["scopes"], json!(["audit:read"]));
    let hook = json!({"name": "crm", "url": "https://crm.example/hook"});
    let hook = house.made(&house.post("/v1/webhooks", hook).await);
    let path = format!("/v1/webhooks/{hook}");
    house.patch(&path, json!({"enabled": false})).await.is(200);
    house.delete(&path).await.is(204);
    let entries = log(&house, &format!("target={hook}")).await;
    assert_eq!(entries.len(), 3, "{entries:?}");
    assert_eq!(entries[1]["after"]["enabled"], false);
    assert_eq!(entries[2]["after"]["secrets"], "(secret)");
}

#[tokio::test]
async fn it_comes_in_pages_and_by_time() {
    let house = House::new();
    for name in ["a", "b", "c"] {
        house.post("/v1/lists", json!({"name": name})).await.is(201);
    }
    let mut path = "/v1/audit?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = house.get(&path).await.is(200).json();
        seen.extend(page["data"].as_array().unwrap().iter().map(|entry| entry["no"].as_u64().unwrap()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/audit?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, [3, 2, 1]);
    assert_eq!(log(&house, "from=2026-10-01T02:03:05Z").await.len(), 0);
    assert_eq!(log(&house, "to=2026-10-01T02:03:05Z").await.len(), 3);
    for wrong in ["cursor=zz", "from=yesterday", "token=7", "colour=red"] {
        house
            .ask(ROOT, Method::GET, &format!("/v1/audit?{wrong}"), None)
            .await
            .problem(400, "invalid_parameter");
    }
}

#[tokio::test]
async fn the_ledger_is_exported_as_evidence() {
    let house = House::new();
    let campaign = dialer_core::CampaignId::from_bits(7);
    let entry = |n: u128, abandoned| {
        dialer_core::Record::Ledger(dialer_core::record::LedgerEntry {
            campaign,
            call: dialer_core::CallId::from_bits(n),
            at: crate::house::NOW.plus_millis(n as i64),
            abandoned,
        })
    };
    let entries = (0..2_500).map(|n| entry(n, n % 100 == 0)).collect();
    store::Store::append(house.store.as_ref(), 1_000_000, entries);
    assert!(store::Store::flush(house.store.as_ref(), std::time::Duration::from_secs(30)));
    let path = format!("/v1/abandonment-ledger:export?campaign={campaign}");
    let text = house.get(&path).await.is(200).text;
    let (lines, last) = text.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(lines.lines().count(), 2_500);
    let summary = serde_json::from_str::<Value>(last).unwrap()["summary"].clone();
    let told = (&summary["live_answers"], &summary["abandoned"], &summary["abandonment_rate"]);
    assert_eq!(told, (&json!(2_500), &json!(25), &json!(0.01)));
    let digest = <sha2::Sha256 as sha2::Digest>::digest(format!("{lines}\n"));
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(summary["sha256"], digest);
    let other =
        house.get("/v1/abandonment-ledger:export?format=csv&to=2026-10-01T02:03:04.010Z").await.is(200);
    assert_eq!(other.text.lines().count(), 11);
    assert_eq!(log(&house, "action=abandonment_ledger.exported").await.len(), 2);
}

fn recording(house: &House) -> String {
    let row = dialer_core::record::RecordingRow {
        id: dialer_core::RecordingId::from_bits(1),
        call: dialer_core::CallId::from_bits(1),
        campaign: None,
        agent: None,
        file: "a.wav".into(),
        duration_ms: 1_000,
        paused_ms: 0,
        undecodable: false,
        cut_off: false,
        bytes: 10,
        at: crate::house::NOW,
    };
    let path = format!("/v1/recordings/{}", row.id);
    store::Store::append(house.store.as_ref(), 1_000_000, vec![dialer_core::Record::RecordingReady(row)]);
    assert!(store::Store::flush(house.store.as_ref(), std::time::Duration::from_secs(30)));
    path
}

#[tokio::test]
async fn recordings_are_deleted_with_their_files() {
    let house = House::new();
    std::fs::write(house.recordings.join("a.wav"), b"0123456789").unwrap();
    let path = recording(&house);
    house.delete(&path).await.is(204);
    assert!(!house.recordings.join("a.wav").exists());
    house.get(&path).await.problem(404, "not_found");
    house.delete(&path).await.problem(404, "not_found");
    assert_eq!(log(&house, "action=recording.deleted").await.len(), 1);
}

#[tokio::test]
async fn sealed_recordings_are_played_from_any_place() {
    use std::os::unix::fs::FileExt;
    let house = House::new();
    let path = recording(&house);
    let (file, sound) = (house.recordings.join("a.wav"), "0123456789".repeat(20_000));
    let write = |digit: &str| {
        let key = store::sealed::SealKey::from_hex(&digit.repeat(64)).unwrap();
        let mut sealer = store::sealed::Sealer::new(&key, 4).unwrap();
        let written = std::fs::File::create(&file).unwrap();
        let (offset, bytes) = sealer.append(sound.as_bytes()).unwrap();
        written.write_all_at(&bytes, offset).unwrap();
        written.write_all_at(&sealer.head(b"head").unwrap(), 0).unwrap();
    };
    write("1");
    let (download, listen) = (format!("{path}/download"), format!("{path}/listen"));
    let whole = house.get(&download).await.is(200);
    assert_eq!(whole.header("content-length"), "200004");
    assert!(whole.text == format!("head{sound}"));
    let part = [("range", "bytes=150001-150010")];
    let part = house.ask_with(ROOT, Method::GET, &listen, None, &part).await.is(206);
    assert_eq!(
        (part.text.as_str(), part.header("content-range")),
        ("7890123456", "bytes 150001-150010/200004")
    );
    // With a key that is not configured nothing is told.
    write("2");
    house.get(&listen).await.problem(409, "conflict");
}

#[tokio::test]
async fn what_is_done_to_the_node_its_agents_and_its_webhooks_is_put_down() {
    let house = House::new();
    let agent = house.agent("1001").await;
    house.core.lock().unwrap().input(crate::resources::registered(&agent));
    house.post(&format!("/v1/agents/{agent}:login"), json!({"session": "on_demand"})).await.is(200);
    house.act(&format!("/v1/agents/{agent}:logout")).await.is(200);
    house.post("/v1/agents/agt_01JC8Z3V5N8W6Q2R4T7Y9X1B3D:login", json!({})).await.problem(404, "not_found");
    let webhook = json!({"name": "crm", "url": "http://127.0.0.1:9/hook"});
    let webhook = house.made(&house.post("/v1/webhooks", webhook).await);
    house.post(&format!("/v1/webhooks/{webhook}:replay"), json!({"from_cursor": "n1-0"})).await.is(202);
    house.post("/v1/node:drain", json!({"deadline_ms": 1_000})).await.is(202);
    house.act("/v1/node:undrain").await.is(200);
    house.get("/v1/node?colour=red").await.problem(400, "invalid_parameter");
    let done = ["agent.logged_in", "agent.logged_out", "webhook.replayed", "node.drained", "node.undrained"];
    let token = house.token(&["audit:read"]).await;
    let entries =
        house.ask(&token, axum::http::Method::GET, "/v1/audit?limit=100", None).await.is(200).json();
    let mut told: Vec<&str> = entries["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["action"].as_str())
        .filter(|action| done.contains(action))
        .collect();
    told.reverse();
    assert_eq!(told, done, "once each, and nothing of what was refused");
}
