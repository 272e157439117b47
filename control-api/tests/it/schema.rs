//! Responses against the document: as much of JSON Schema as the document uses.

use serde_json::Value;
use std::sync::OnceLock;

fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(control_api::openapi)
}

/// Whether `path` is one of the paths of `template`.
fn fits_template(template: &str, path: &str) -> bool {
    let split = |text: &str| text.replace(':', "/").split('/').map(str::to_owned).collect::<Vec<_>>();
    let (template, path) = (split(template), split(path));
    template.len() == path.len()
        && template.iter().zip(&path).all(|(want, have)| want.starts_with('{') || want == have)
}

/// Panics when a granted JSON response is not as the document says.
pub(crate) fn check(method: &str, path: &str, status: u16, kind: &str, text: &str) {
    let paths = document()["paths"].as_object().unwrap();
    // As the router does: a fixed segment goes before a name.
    let fitting = paths.iter().filter(|(template, _)| fits_template(template, path));
    let Some((template, item)) = fitting.min_by_key(|(template, _)| template.matches('{').count()) else {
        assert!(status >= 400, "{method} {path} is not documented");
        return;
    };
    let Some(operation) = item.get(method.to_lowercase()) else {
        assert!(status >= 400 || method == "HEAD", "{method} {path} is not documented");
        return;
    };
    let responses = &operation["responses"];
    let class = format!("{}XX", status / 100);
    let response = responses.get(status.to_string()).or_else(|| responses.get(&class));
    let response = response.unwrap_or_else(|| panic!("{method} {template} has no {status}"));
    if kind.is_empty() {
        assert!(text.is_empty() && response.get("content").is_none(), "{method} {template} {status}");
        return;
    }
    let kind = kind.split(';').next().unwrap();
    let schema = &response["content"][kind]["schema"];
    assert!(schema.is_object(), "{method} {template} {status} has no {kind}");
    let values: Vec<&str> = match kind {
        "application/x-ndjson" => text.lines().collect(),
        "application/json" | "application/problem+json" => vec![text],
        _ => vec![],
    };
    for value in values {
        let value: Value = serde_json::from_str(value).unwrap();
        if let Err(fault) = fits(schema, &value) {
            panic!("{method} {template} {status}: {fault} in {value}");
        }
    }
}

/// Panics when an event is not as the document says.
pub(crate) fn check_event(event: &Value) {
    let kind = event["type"].as_str().unwrap();
    let schema =
        &document()["webhooks"][kind]["post"]["requestBody"]["content"]["application/json"]["schema"];
    if let Err(fault) = fits(schema, event) {
        panic!("{kind}: {fault} in {event}");
    }
}

fn fits(schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let name = target.rsplit('/').next().unwrap();
        return fits(&document()["components"]["schemas"][name], value)
            .map_err(|fault| format!("{name}: {fault}"));
    }
    for (word, enough) in [("oneOf", 1), ("anyOf", 1)] {
        if let Some(choices) = schema.get(word).and_then(Value::as_array) {
            let faults: Vec<String> = choices.iter().filter_map(|choice| fits(choice, value).err()).collect();
            if choices.len() - faults.len() < enough {
                return Err(faults.join(" | "));
            }
        }
    }
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        fits(part, value)?;
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        return Err(format!("{value} is none of {allowed:?}"));
    }
    if let Some(kind) = schema.get("type") {
        let kinds: Vec<&str> = kind.as_str().map_or_else(
            || kind.as_array().unwrap().iter().filter_map(Value::as_str).collect(),
            |one| vec![one],
        );
        if !kinds.iter().any(|kind| is_of(kind, value)) {
            return Err(format!("{value} is not of type {kinds:?}"));
        }
    }
    if let Some(members) = value.as_object() {
        members_fit(schema, members)?;
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for (at, value) in values.iter().enumerate() {
            fits(items, value).map_err(|fault| format!("[{at}] {fault}"))?;
        }
    }
    Ok(())
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("unknown type {other}"),
    }
}

fn members_fit(schema: &Value, members: &serde_json::Map<String, Value>) -> Result<(), String> {
    let known = schema.get("properties").and_then(Value::as_object);
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        let name = name.as_str().unwrap();
        if !members.contains_key(name) {
            return Err(format!("{name} is missing"));
        }
    }
    for (name, value) in members {
        match (known.and_then(|known| known.get(name)), schema.get("additionalProperties")) {
            (Some(inner), _) => fits(inner, value).map_err(|fault| format!("{name}: {fault}"))?,
            (None, Some(Value::Bool(false))) => return Err(format!("{name} is not allowed")),
            (None, Some(inner)) if inner.is_object() => fits(inner, value)?,
            (None, _) => {}
        }
    }
    Ok(())
}
