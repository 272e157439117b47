//! The OpenAPI document says what is so.

use crate::house::{House, ROOT};
use axum::http::Method;
use expect_test::expect_file;
use serde_json::Value;
use std::collections::BTreeSet;

fn document() -> Value {
    control_api::openapi()
}

/// `UPDATE_EXPECT=1 cargo test -p control-api` writes it anew.
#[test]
fn the_committed_document_is_the_present_one() {
    let mut text = serde_json::to_string_pretty(&document()).unwrap();
    text.push('\n');
    expect_file!["../../../docs/openapi.json"].assert_eq(&text);
}

#[test]
fn the_committed_document_of_events_is_the_present_one() {
    let mut text = serde_json::to_string_pretty(&control_api::asyncapi()).unwrap();
    text.push('\n');
    expect_file!["../../../docs/asyncapi.json"].assert_eq(&text);
}

/// Every type of event is told on every stream, by a message whose schema is there.
#[test]
fn all_events_have_their_messages() {
    let (asyncapi, openapi) = (control_api::asyncapi(), document());
    let pointer = |target: &str| asyncapi.pointer(target.strip_prefix('#').unwrap()).cloned();
    let types: BTreeSet<&str> = dialer_core::event::TYPE_NAMES.into_iter().collect();
    let hooks: BTreeSet<&str> = openapi["webhooks"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(hooks, types);
    for channel in ["events", "socket", "webhooks"] {
        let messages = asyncapi["channels"][channel]["messages"].as_object().unwrap();
        let told: BTreeSet<String> = messages
            .values()
            .map(|message| pointer(message["$ref"].as_str().unwrap()).unwrap())
            .filter(|message| !message["name"].as_str().unwrap().starts_with("Socket"))
            .map(|message| message["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(told.iter().map(String::as_str).collect::<BTreeSet<_>>(), types, "{channel}");
    }
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(key, inner)| match inner {
                Value::String(target) if key == "$ref" => drop(found.insert(target.clone())),
                inner => references(inner, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    references(&asyncapi, &mut found);
    for target in found {
        assert!(pointer(&target).is_some(), "{target} leads nowhere");
    }
}

#[test]
fn every_reference_leads_somewhere_and_names_are_unique() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut operations = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(operations.insert(id.clone()), "{id} is there twice ({method} {path})");
            assert!(operation["summary"].is_string(), "{method} {path}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(response["description"].is_string(), "{method} {path} {status}");
            }
        }
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (key, inner) in members {
                    match inner {
                        Value::String(target) if key == "$ref" => found.push(target.clone()),
                        inner => references(inner, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let mut found = vec![];
    references(&document, &mut found);
    for target in found {
        let name = target.strip_prefix("#/components/schemas/").unwrap();
        assert!(schemas.contains_key(name), "{target} leads nowhere");
    }
}

#[tokio::test]
async fn every_documented_operation_is_there() {
    let house = House::new();
    let events = house.ask("", Method::GET, "/v1/asyncapi.json", None).await.is(200).json();
    assert_eq!(events, control_api::asyncapi());
    let served = house.ask("", Method::GET, "/v1/openapi.json", None).await.is(200).json();
    assert_eq!(served, document());
    for (path, methods) in served["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            // Names that cannot exist: what is there answers 401 before it looks for them.
            let path = path
                .replace("{id}", "x")
                .replace("{lead_id}", "y")
                .replace("{leg_id}", "w")
                .replace("{call_id}", "z")
                .replace("{name}", "n")
                .replace("{report}", "agents");
            assert!(!path.contains('{'), "{path}");
            let with_verb = house.ask("", method.clone(), &path, None).await;
            let status = with_verb.status.as_u16();
            assert!(status == 401 || path.ends_with("api.json"), "{method} {path}: {status}");
            if path == "/v1/events" {
                continue;
            }
            let slashed = house.ask(ROOT, method.clone(), &path.replace(':', "/"), None).await;
            if slashed.status == 404 {
                slashed.problem(404, "not_found");
            }
            assert_ne!(slashed.status.as_u16(), 405, "{method} {path}");
            let other =
                if methods.as_object().unwrap().contains_key("put") { Method::TRACE } else { Method::PUT };
            let opposite = house.ask("", other, &path, None).await;
            opposite.problem(405, "method_not_allowed");
        }
    }
}
