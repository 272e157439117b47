//! `ctl drain` and `ctl undrain`.

use super::client::{Client, Refusal};
use serde_json::{Value, json};
use std::time::Duration;

/// Time between two looks while waiting.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Takes no new work; with `wait` until the last call is over.
pub async fn drain(
    client: &Client,
    deadline_s: Option<u64>,
    wait: bool,
    as_json: bool,
) -> Result<String, Refusal> {
    let body = deadline_s.map_or_else(|| json!({}), |s| json!({ "deadline_ms": s.saturating_mul(1000) }));
    let mut node = client.post("/v1/node:drain", &body).await?;
    while wait && node["state"] != "drained" {
        eprint!("\r{} live calls  ", node["calls"].as_u64().unwrap_or(0));
        tokio::time::sleep(LOOK_EVERY).await;
        node = client.get("/v1/node").await?;
        if node["state"] == "ready" {
            eprintln!();
            return Err(Refusal::Failed("somebody took the drain back".into()));
        }
    }
    if wait {
        eprintln!();
    }
    Ok(words(&node, as_json))
}

/// Takes new work again.
pub async fn undrain(client: &Client, as_json: bool) -> Result<String, Refusal> {
    let node = client.post("/v1/node:undrain", &json!({})).await?;
    Ok(words(&node, as_json))
}

fn words(node: &Value, as_json: bool) -> String {
    if as_json {
        return serde_json::to_string_pretty(node).unwrap_or_default();
    }
    let state = match node["state"].as_str() {
        Some("ready") => "takes new work",
        Some("draining") => "draining: no new work, live calls may finish",
        Some("drained") => "drained: no live calls are left",
        other => other.unwrap_or("?"),
    };
    format!("{}: {state}", node["name"].as_str().unwrap_or("node"))
}
