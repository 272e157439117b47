//! The OpenAPI document says what is so.

use crate::house::{House, ROOT};
use axum::http::Method;
use expect_test::expect_file;
use serde_json::Value;
use std::collections::BTreeSet;

fn document() -> Value {
    serde_json::to_value(control_api::openapi()).unwrap()
}

/// `UPDATE_EXPECT=1 cargo test -p control-api` writes it anew.
#[test]
fn the_committed_document_is_the_present_one() {
    let mut text = serde_json::to_string_pretty(&document()).unwrap();
    text.push('\n');
    expect_file!["../../../docs/openapi.json"].assert_eq(&text);
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
            assert!(status == 401 || path == "/v1/openapi.json", "{method} {path}: {status}");
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
