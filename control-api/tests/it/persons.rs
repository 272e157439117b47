//! A person's rights, as a data protection officer uses them.

use crate::house::{House, ROOT};
use axum::http::Method;
use serde_json::json;

const NUMBER: &str = "+8613800138000";

async fn officer(house: &House) -> String {
    house.token(&["leads:read", "leads:write", "leads:pii", "audit:read"]).await
}

#[tokio::test]
async fn a_person_is_exported_and_erased() {
    let house = House::new();
    let officer = officer(&house).await;
    let list = house.list().await;
    let path = format!("/v1/lists/{list}/leads");
    let body = json!({ "phone": NUMBER, "fields": { "name": "王" } });
    let lead =
        house.made(&house.ask_with(ROOT, Method::POST, &path, Some(body), &[("idempotency-key", "k")]).await);
    let other = house.made(&house.post(&path, json!({ "phone": "+8613900139000" })).await);
    let dnc = house.made(&house.post("/v1/dnc-lists", json!({ "name": "us", "everywhere": true })).await);
    house.post(&format!("/v1/dnc-lists/{dnc}/numbers"), json!({ "numbers": [NUMBER] })).await.is(200);
    house.post("/v1/callbacks", json!({ "lead_id": lead, "at": "2026-10-01T03:00:00Z" })).await.is(201);

    let ask = async |verb: &str, body| {
        house.ask(&officer, Method::POST, &format!("/v1/persons:{verb}"), Some(body)).await
    };
    let told = ask("export", json!({ "number": "138 0013 8000", "region": "CN" })).await.is(200);
    assert_eq!(told.header("cache-control"), "no-store");
    let told = told.json();
    assert_eq!((&told["number"], &told["complete"]), (&json!(NUMBER), &json!(true)));
    assert_eq!(told["leads"][0]["fields"]["name"], "王");
    assert_eq!(told["do_not_call"], json!([{ "dnc_list_id": dnc, "expires_at": null, "hashed": false }]));
    assert_eq!(told["events"][0]["type"], "lead.callback_set");

    let done = ask("erase", json!({ "number": NUMBER, "reference": "DSAR-7" })).await.is(200).json();
    assert_eq!((&done["leads"], &done["do_not_call"]), (&json!(1), &json!(1)));
    house.get(&format!("{path}/{lead}")).await.problem(404, "not_found");
    house.get(&format!("/v1/callbacks/{lead}")).await.problem(404, "not_found");
    house.get(&format!("{path}/{other}")).await.is(200);
    let told = ask("export", json!({ "number": NUMBER })).await.is(200).json();
    assert_eq!((&told["leads"], &told["events"]), (&json!([]), &json!([])));
    let kept = json!([{ "dnc_list_id": dnc, "expires_at": null, "hashed": true }]);
    assert_eq!(told["do_not_call"], kept, "what is kept of an erased person is told");

    // Its hash keeps the person from coming back, and from being called.
    let back = house.post(&path, json!({ "phone": NUMBER })).await.problem(409, "conflict");
    assert_eq!(back, Vec::<String>::new());
    let audit = house.ask(&officer, Method::GET, "/v1/audit?limit=100", None).await.is(200);
    assert!(!audit.text.contains("13800138000"), "{}", audit.text);
    let entries = audit.json();
    let erased =
        entries["data"].as_array().unwrap().iter().find(|one| one["action"] == "person.erased").unwrap();
    assert_eq!(erased["after"]["reference"], "DSAR-7");

    // Forgotten altogether.
    ask("erase", json!({ "number": NUMBER, "keep_do_not_call": false })).await.is(200);
    house.post(&path, json!({ "phone": NUMBER })).await.is(201);
}

#[tokio::test]
async fn an_erasure_needs_both_scopes_a_number_and_a_person_who_is_not_in_a_call() {
    let house = House::new();
    let officer = officer(&house).await;
    for scopes in [&["leads:read", "leads:write"][..], &["leads:pii", "calls:read"], &["admin"]] {
        let token = house.token(scopes).await;
        for verb in ["export", "erase"] {
            let path = format!("/v1/persons:{verb}");
            let body = Some(json!({ "number": NUMBER }));
            house.ask(&token, Method::POST, &path, body).await.problem(403, "insufficient_scope");
        }
    }
    for (body, pointer) in [
        (json!({}), "/number"),
        (json!({ "number": "12" }), "/number"),
        (json!({ "number": NUMBER, "region": "XX" }), "/region"),
        (json!({ "number": NUMBER, "dnc_list_id": "dnc_01JC8Z3V5N8W6Q2R4T7Y9X1B3D" }), "/dnc_list_id"),
        (json!({ "number": NUMBER, "reference": "case of +86 138 0013 8000" }), "/reference"),
        (json!({ "number": NUMBER, "reference": "x".repeat(129) }), "/reference"),
        (json!({ "number": NUMBER, "colour": "red" }), "/colour"),
    ] {
        let reply = house.ask(&officer, Method::POST, "/v1/persons:erase", Some(body.clone())).await;
        assert_eq!(reply.problem(400, "invalid_body"), [pointer], "{body}");
    }
    let trunk = house.trunk().await;
    let agent = house.agent("1001").await;
    {
        let mut core = house.core.lock().unwrap();
        core.input(crate::resources::health(&trunk, true));
        core.input(crate::resources::registered(&agent));
    }
    house.post(&format!("/v1/agents/{agent}:login"), json!({ "session": "on_demand" })).await.is(200);
    house.post("/v1/calls", json!({ "agent_id": agent, "to": NUMBER })).await.is(202);
    let busy =
        house.ask(&officer, Method::POST, "/v1/persons:erase", Some(json!({ "number": NUMBER }))).await;
    busy.problem(409, "invalid_state");
}

/// All bytes of all files under a folder in which a number is spelled out.
fn files_with(folder: &std::path::Path, digits: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, digits));
        } else if std::fs::read(&path).unwrap().windows(digits.len()).any(|part| part == digits.as_bytes()) {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn no_file_has_the_digits_of_who_was_erased() {
    let house = House::new();
    let officer = officer(&house).await;
    let list = house.list().await;
    let path = format!("/v1/lists/{list}/leads");
    // Rows of others around it, which change and go, so that pages are split and given back.
    let others = |from: u32| {
        let row = |n: u32| {
            json!({ "phone": format!("+86139{n:08}"), "external_id": format!("crm-{n}") }).to_string()
        };
        (from..from + 2_000).map(row).collect::<Vec<_>>().join("\n")
    };
    let import = format!("{path}:import");
    house.import(&import, "application/x-ndjson", others(10_000_000)).await;
    let me = json!({ "phone": "138 0013 8000", "external_id": "13800138000", "fields": { "spouse": "+86 138-0013-8000" } });
    house.made(&house.post(&path, me).await);
    house.import(&import, "application/x-ndjson", others(20_000_000)).await;
    let friend = json!({ "phone": "+8613700137000", "external_id": "friend", "fields": { "note": "friend of (0138) 0013 8000" } });
    let friend = house.made(&house.post(&path, friend).await);
    // Both change: what they were is not left behind either.
    let changes = [
        json!({ "phone": "+8613700137000", "external_id": "friend", "fields": { "note": "friend of １３８００１３８０００ since long" } }),
        json!({ "phone": NUMBER, "external_id": "13800138000", "fields": { "name": "王" } }),
    ];
    let changes = changes.map(|row| row.to_string()).join("\n");
    let changed =
        house.import(&format!("{import}?on_duplicate=update"), "application/x-ndjson", changes).await;
    assert_eq!(changed.last().unwrap()["summary"]["updated"], 2, "{changed:?}");
    let token = json!({ "name": "for 13800138000", "scopes": ["leads:read"] });
    let token = house.post("/v1/tokens", token).await.is(201).json()["token"].as_str().unwrap().to_owned();
    let named =
        house.post("/v1/campaigns", json!({ "name": "only +8613800138000", "mode": "progressive" })).await;
    let campaign = house.made(&named);

    let erased = async || {
        let body = Some(json!({ "number": NUMBER }));
        house.ask(&officer, Method::POST, "/v1/persons:erase", body).await.is(200).json()
    };
    let folder = house.recordings.parent().unwrap();
    assert!(!files_with(folder, "13800138000").is_empty());
    let done = erased().await;
    assert_eq!(
        (&done["leads"], &done["named_in"], &done["complete"]),
        (&json!(1), &json!([campaign]), &json!(false))
    );
    // What is named by its owner is renamed by its owner.
    house.patch(&format!("/v1/campaigns/{campaign}"), json!({ "name": "only one" })).await.is(200);
    let done = erased().await;
    assert_eq!((&done["named_in"], &done["complete"]), (&json!([]), &json!(true)));
    for digits in ["13800138000", "138 0013 8000", "138-0013-8000", "0013 8000", "１３８００１３８０００"]
    {
        assert_eq!(files_with(folder, digits), Vec::<std::path::PathBuf>::new(), "{digits}");
    }
    let note = house.get(&format!("{path}/{friend}")).await.is(200).json()["fields"]["note"].clone();
    assert_eq!(note, "friend of erased since long");
    let tokens = house.get("/v1/tokens").await.is(200).text;
    assert!(tokens.contains("for erased"), "{tokens}");
    house.ask(&token, Method::GET, &path, None).await.is(200);
}
