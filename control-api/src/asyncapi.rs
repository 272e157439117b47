//! The AsyncAPI 3 document: what is told without being asked for, and the WebSocket. The schemas are those of the OpenAPI
//! document.

use crate::openapi::{message_name, openapi};
use crate::routes::ws::{Answered, Asked};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use utoipa::PartialSchema;

const SCHEMAS: &str = "#/components/schemas/";

/// The document.
///
/// # Panics
/// Never: its parts are made of strings and numbers.
#[must_use]
pub fn asyncapi() -> Value {
    let openapi = openapi();
    let known = &openapi["components"]["schemas"];
    let mut schemas = Map::new();
    let kinds: Vec<&String> =
        openapi["webhooks"].as_object().map(|of| of.keys().collect()).unwrap_or_default();
    let mut wanted: Vec<String> = kinds.iter().map(|kind| message_name(kind)).collect();
    for (name, schema) in [("SocketRequest", Asked::schema()), ("SocketResponse", Answered::schema())] {
        let schema = serde_json::to_value(schema).expect("a schema is JSON");
        references(&schema, &mut wanted);
        schemas.insert(name.into(), schema);
    }
    while let Some(name) = wanted.pop() {
        if let Some(schema) = known.get(&name).filter(|_| !schemas.contains_key(&name)) {
            references(schema, &mut wanted);
            schemas.insert(name, schema.clone());
        }
    }
    let mut messages = Map::new();
    for kind in kinds {
        let name = message_name(kind);
        let payload = json!({"$ref": format!("{SCHEMAS}{name}")});
        messages.insert(name, json!({"name": kind, "title": kind, "payload": payload}));
    }
    let events: BTreeSet<String> = messages.keys().cloned().collect();
    for (name, title) in [("SocketRequest", "a request"), ("SocketResponse", "what became of a request")] {
        let payload = json!({"$ref": format!("{SCHEMAS}{name}")});
        messages.insert(name.into(), json!({"name": name, "title": title, "payload": payload}));
    }
    let told = |more: &[&str]| -> Map<String, Value> {
        let names = events.iter().map(String::as_str).chain(more.iter().copied());
        names
            .map(|name| (name.to_owned(), json!({"$ref": format!("#/components/messages/{name}")})))
            .collect()
    };
    let of = |channel: &str, names: &mut dyn Iterator<Item = &str>| -> Vec<Value> {
        names.map(|name| json!({"$ref": format!("#/channels/{channel}/messages/{name}")})).collect()
    };
    let all = |channel: &str| of(channel, &mut events.iter().map(String::as_str));
    let query = json!({"type": "object", "properties": {
        "types": {"type": "string"}, "campaign": {"type": "string"}, "call": {"type": "string"},
        "agent": {"type": "string"}, "after": {"type": "string"}
    }});
    let channel = |name: &str| json!({"$ref": format!("#/channels/{name}")});
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "dialerd", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION,
            "license": {"name": "Apache-2.0"}
        },
        "defaultContentType": "application/json",
        "servers": {
            "stream": {"host": "127.0.0.1:8080", "protocol": "http", "security": [{"$ref": "#/components/securitySchemes/bearer"}]},
            "socket": {"host": "127.0.0.1:8080", "protocol": "ws", "security": [{"$ref": "#/components/securitySchemes/bearer"}]}
        },
        "channels": {
            "events": {
                "address": "/v1/events", "title": "Server-sent events", "servers": [{"$ref": "#/servers/stream"}],
                "description": "`id:` is the cursor, `event:` the type, `data:` the event. Resume with `Last-Event-ID` or `after`.",
                "messages": told(&[]),
                "bindings": {"http": {}}
            },
            "socket": {
                "address": "/v1/ws", "title": "WebSocket", "servers": [{"$ref": "#/servers/socket"}],
                "description": "The same events, one text frame each, and requests to the API.",
                "messages": told(&["SocketRequest", "SocketResponse"]),
                "bindings": {"ws": {"method": "GET", "query": query}}
            },
            "webhooks": {
                "address": null, "title": "Webhooks",
                "description": "POST to the endpoint's URL, signed by Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`); in order per call.",
                "messages": told(&[])
            }
        },
        "operations": {
            "tell": {"action": "send", "channel": channel("events"), "messages": all("events")},
            "tell_by_socket": {"action": "send", "channel": channel("socket"), "messages": all("socket")},
            "take_request": {
                "action": "receive", "channel": channel("socket"),
                "messages": of("socket", &mut ["SocketRequest"].into_iter()),
                "reply": {"channel": channel("socket"), "messages": of("socket", &mut ["SocketResponse"].into_iter())}
            },
            "deliver": {"action": "send", "channel": channel("webhooks"), "messages": all("webhooks")}
        },
        "components": {
            "messages": messages,
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "dlr_…"}}
        }
    })
}

/// Names of schemas that a value refers to.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, inner) in members {
                match inner {
                    Value::String(target) if key == "$ref" => {
                        found.extend(target.strip_prefix(SCHEMAS).map(str::to_owned));
                    }
                    inner => references(inner, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

const DESCRIPTION: &str = "\
What dialerd tells without being asked: the same envelope as server-sent events, over a WebSocket, and to webhooks. Unknown \
fields and types are to be ignored. `seq` counts the events of a call without gaps; after `call.ended` come only events with \
`post_call`. Numbers are masked unless the token (or the webhook) has `leads:pii`.";
