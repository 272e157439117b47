//! Every operation of the OpenAPI document, given what nobody should send. [`House::send`] also holds every answer to
//! the document's schema.

use crate::house::{House, ROOT, Reply};
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

/// Operations of the document that take a body: method, path, and whether the body is rows, of which each is judged by
/// itself.
fn operations(with_body: bool) -> Vec<(Method, String, bool)> {
    let document = control_api::openapi();
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let rows = path.ends_with(":import");
            if operation.get("requestBody").is_some() == with_body {
                found.push((method.to_uppercase().parse().unwrap(), path.clone(), rows));
            }
        }
    }
    assert!(found.len() > 20, "{}", found.len());
    found
}

/// Things that are there, so that bodies are looked into.
struct Things {
    by_path: Vec<(&'static str, String)>,
}

impl Things {
    async fn make(house: &House) -> Things {
        let list = house.list().await;
        let campaign = house.campaign(&[&list]).await;
        let dnc = house.made(&house.post("/v1/dnc-lists", json!({"name": "d"})).await);
        let hook = json!({"name": "crm", "url": "https://crm.example/hook"});
        let hook = house.made(&house.post("/v1/webhooks", hook).await);
        Things {
            by_path: vec![
                ("/v1/trunks/", house.trunk().await),
                ("/v1/agents/", house.agent("1001").await),
                ("/v1/lists/", list),
                ("/v1/campaigns/", campaign),
                ("/v1/dnc-lists/", dnc),
                ("/v1/webhooks/", hook),
            ],
        }
    }

    fn fill(&self, path: &str) -> String {
        let known = self.by_path.iter().find(|(start, _)| path.starts_with(start));
        let id = known.map_or("call_01JC90ZZZZZZZZZZZZZZZZZZZZ", |(_, id)| id);
        let mut filled = String::new();
        let mut rest = path;
        while let Some((before, behind)) = rest.split_once('{') {
            let (_, after) = behind.split_once('}').unwrap();
            filled.push_str(before);
            filled.push_str(id);
            rest = after;
        }
        filled + rest
    }
}

async fn send(house: &House, method: &Method, path: &str, kind: &str, body: Vec<u8>) -> Reply {
    let request = Request::builder()
        .method(method.clone())
        .uri(path)
        .header("authorization", format!("Bearer {ROOT}"))
        .header("content-type", kind);
    house.send(request.body(Body::from(body)).unwrap()).await
}

/// Refused with a problem that says why.
#[track_caller]
fn refused(reply: &Reply, what: &str) {
    assert!((400..500).contains(&reply.status.as_u16()), "{what}: {reply:?}");
    assert_eq!(reply.header("content-type"), "application/problem+json", "{what}");
    assert!(!reply.json()["code"].as_str().unwrap().is_empty(), "{what}");
}

#[tokio::test]
async fn bodies_that_are_no_bodies_are_refused() {
    let house = House::new();
    let things = Things::make(&house).await;
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let bodies: [(&str, Vec<u8>); 9] = [
        ("ten megabytes", format!("{{\"name\":\"{}\"}}", "x".repeat(10 << 20)).into_bytes()),
        ("no UTF-8", b"{\"name\":\"\xff\xfe\"}".to_vec()),
        ("an array", b"[]".to_vec()),
        ("a number", b"7".to_vec()),
        ("a text", b"\"x\"".to_vec()),
        ("half of an object", b"{\"name\":".to_vec()),
        ("a number that is none", b"{\"name\": 1e999999}".to_vec()),
        ("an unknown field", b"{\"no_such_field\": 1}".to_vec()),
        ("deep", deep.into_bytes()),
    ];
    for (method, path, rows) in operations(true) {
        let path = things.fill(&path);
        for (what, body) in &bodies {
            let kind =
                if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
            let reply = send(&house, &method, &path, kind, body.clone()).await;
            refused(&reply, &format!("{method} {path}, {what}"));
        }
        let reply = send(&house, &method, &path, "application/octet-stream", vec![0; 1_000]).await;
        refused(&reply, &format!("{method} {path}, bytes"));
        if rows {
            let kind = if path.contains("dnc") { "text/plain" } else { "application/x-ndjson" };
            for (what, body) in &bodies {
                // Each row is judged by itself: the answer is good and says so, or the whole is refused.
                let reply = send(&house, &method, &path, kind, body.clone()).await;
                assert!(reply.status.as_u16() < 500, "{method} {path}, {what}: {reply:?}");
            }
        }
    }
}

#[tokio::test]
async fn every_field_is_refused_in_the_wrong_type() {
    let house = House::new();
    let things = Things::make(&house).await;
    let document = control_api::openapi();
    let mut tried = 0;
    for (method, path, rows) in operations(true) {
        if rows {
            continue;
        }
        let operation = &document["paths"][&path][method.as_str().to_lowercase()];
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let name = schema["$ref"].as_str().and_then(|target| target.rsplit('/').next()).unwrap_or_default();
        let Some(fields) = document["components"]["schemas"][name]["properties"].as_object() else {
            continue;
        };
        let path = things.fill(&path);
        for field in fields.keys() {
            // No field takes an object with a member of this name, nor a list of such objects.
            for wrong in [json!({"no_such_member": {}}), json!([[{"no_such_member": {}}]])] {
                let body = json!({ field: wrong });
                let reply =
                    send(&house, &method, &path, "application/json", body.to_string().into_bytes()).await;
                refused(&reply, &format!("{method} {path} {body}"));
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
}

fn takes_parameters(path: &str) -> bool {
    let document = control_api::openapi();
    let parameters = document["paths"][path]["get"]["parameters"].as_array().cloned().unwrap_or_default();
    parameters.iter().any(|parameter| parameter["in"] == "query")
}

#[tokio::test]
async fn parameters_and_names_that_are_none_are_refused() {
    let house = House::new();
    let queries = [
        "limit=0",
        "limit=x",
        "limit=99999999999999999999",
        "cursor=%00",
        "no_such_parameter=1",
        "a=%ff",
        "limit=1&limit=2",
    ];
    for (method, path, _) in operations(false) {
        // They take whatever connection comes, or answer whatever is asked.
        if matches!(path.as_str(), "/v1/openapi.json" | "/v1/events" | "/v1/ws") {
            continue;
        }
        for id in ["x", "%00", "%ff", "call_00000000000000000000000000", "..", "%2e%2e%2fetc"] {
            if !path.contains('{') {
                continue;
            }
            let mut filled = path.clone();
            while let (Some(start), Some(end)) = (filled.find('{'), filled.find('}')) {
                filled.replace_range(start..=end, id);
            }
            let reply = house.ask(ROOT, method.clone(), &filled, None).await;
            refused(&reply, &format!("{method} {filled}"));
        }
        if method == Method::GET && !path.contains('{') {
            for query in queries {
                let asked = format!("{path}?{query}");
                let reply = house.ask(ROOT, method.clone(), &asked, None).await;
                let code = reply.status.as_u16();
                assert!(code < 500, "{asked}: {reply:?}");
                if query == "no_such_parameter=1" && takes_parameters(&path) {
                    refused(&reply, &asked);
                }
            }
        }
    }
    let value: Value = house.get("/v1/node").await.is(200).json();
    assert_eq!(value["state"], "ready");
}
