//! `ctl trace CALL`: the messages of a call as a ladder, one column for each address.

use super::client::{Client, Refusal, escape};
use serde_json::Value;
use std::fmt::Write;

/// Characters between two columns.
const GAP: usize = 30;
/// Columns drawn; further addresses share the last.
const COLUMNS_MAX: usize = 6;

/// Asks for the messages and draws them.
pub async fn ask(client: &Client, call: &str, full: bool, json: bool) -> Result<String, Refusal> {
    let trace = client.get(&format!("/v1/calls/{}/trace", escape(call))).await?;
    if json {
        return Ok(serde_json::to_string_pretty(&trace).unwrap_or_default());
    }
    Ok(ladder(&trace, full))
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("?")
}

fn ladder(trace: &Value, full: bool) -> String {
    let messages = trace["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut out = String::new();
    let _ = writeln!(out, "{}: {} messages", text(trace, "call_id"), messages.len());
    if messages.is_empty() {
        out.push_str("none is kept any more (see [trace] ring_bytes)\n");
        return out;
    }
    // Who spoke first stands left of us, the others right.
    let mut peers: Vec<&str> = Vec::new();
    for message in messages {
        let peer = text(message, "peer");
        if !peers.contains(&peer) && peers.len() < COLUMNS_MAX - 1 {
            peers.push(peer);
        }
    }
    let ours = usize::from(text(&messages[0], "direction") == "in");
    let column_of = |peer: &str| {
        let index = peers.iter().position(|known| *known == peer).unwrap_or(peers.len() - 1);
        if index < ours { index } else { index + 1 }
    };
    let mut names = vec![String::new(); peers.len() + 1];
    names[ours] = "dialerd".into();
    for peer in &peers {
        names[column_of(peer)] = (*peer).to_owned();
    }
    let _ = write!(out, "{:12} {:>10}  ", "", "ms");
    for name in &names {
        let _ = write!(out, "{name:<GAP$}");
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    for message in messages {
        let at = text(message, "at");
        let clock = at.split('T').nth(1).unwrap_or(at).trim_end_matches('Z');
        let clock: String = clock.chars().take(12).collect();
        let ms = message["offset_us"].as_f64().unwrap_or(0.0) / 1000.0;
        let _ = write!(out, "{clock:12} {ms:>10.3}  ");
        let (peer, sent) = (column_of(text(message, "peer")), text(message, "direction") == "out");
        let (from, to) = if sent { (ours, peer) } else { (peer, ours) };
        let _ = writeln!(out, "{}", arrow(names.len(), from, to, &label(message)));
    }
    if full {
        for (number, message) in messages.iter().enumerate() {
            let _ = writeln!(
                out,
                "\n--- {} {} {} {} {}",
                number + 1,
                text(message, "at"),
                text(message, "direction"),
                text(message, "transport"),
                text(message, "peer")
            );
            out.push_str(text(message, "text").replace("\r\n", "\n").trim_end());
            out.push('\n');
        }
    }
    out
}

/// `INVITE (sdp)`, `183 (sdp)`, `200 BYE`.
fn label(message: &Value) -> String {
    let method = text(message, "method");
    let mut label = match message["status"].as_u64() {
        None => method.to_owned(),
        Some(status) if method == "INVITE" => status.to_string(),
        Some(status) => format!("{status} {method}"),
    };
    if message["has_sdp"] == true {
        label.push_str(" (sdp)");
    }
    label
}

/// One line: a bar in each column, and an arrow with its label from one to another.
fn arrow(columns: usize, from: usize, to: usize, label: &str) -> String {
    let width = (columns - 1) * GAP + 1;
    let mut line = vec![' '; width];
    for column in 0..columns {
        line[column * GAP] = '|';
    }
    let (left, right) = (from.min(to) * GAP, from.max(to) * GAP);
    for place in &mut line[left + 1..right] {
        *place = '-';
    }
    if from < to {
        line[right - 1] = '>';
    } else {
        line[left + 1] = '<';
    }
    let label: Vec<char> = format!(" {label} ").chars().take(right - left - 5).collect();
    let start = left + (right - left - label.len()) / 2;
    line[start..start + label.len()].copy_from_slice(&label);
    line.into_iter().collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_between_two_trunks() {
        let message = |offset_us: u64, direction: &str, peer: &str, method: &str, status: Value| {
            json!({"at": "2026-01-02T03:04:05.678Z", "offset_us": offset_us, "direction": direction, "peer": peer,
                   "method": method, "status": status, "has_sdp": method == "INVITE" && status != 100,
                   "transport": "UDP", "text": "X\r\nY\r\n\r\n"})
        };
        let trace = json!({"call_id": "call_1", "messages": [
            message(0, "in", "192.0.2.1:5060", "INVITE", Value::Null),
            message(210, "out", "192.0.2.1:5060", "INVITE", json!(100)),
            message(250, "out", "192.0.2.2:5060", "INVITE", Value::Null),
            message(12_500, "in", "192.0.2.2:5060", "BYE", json!(200)),
        ]});
        let drawn = ladder(&trace, false);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines[0], "call_1: 4 messages");
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>(),
            ["ms", "192.0.2.1:5060", "dialerd", "192.0.2.2:5060"]
        );
        assert_eq!(
            lines[2],
            "03:04:05.678      0.000  |------- INVITE (sdp) ------->|                             |"
        );
        assert_eq!(
            lines[3],
            "03:04:05.678      0.210  |<---------- 100 -------------|                             |"
        );
        assert_eq!(
            lines[5],
            "03:04:05.678     12.500  |                             |<-------- 200 BYE -----------|"
        );
        assert!(
            ladder(&trace, true).contains("--- 4 2026-01-02T03:04:05.678Z in UDP 192.0.2.2:5060\nX\nY\n")
        );
        assert!(ladder(&json!({"call_id": "c", "messages": []}), false).contains("none is kept"));
    }

    #[test]
    fn long_labels_and_many_addresses_fit() {
        assert!(arrow(2, 1, 0, &"x".repeat(100)).chars().count() <= GAP + 1);
        let messages: Vec<Value> = (0..20)
            .map(|n| json!({"at": "T", "offset_us": n, "direction": "out", "peer": format!("192.0.2.{n}:5060"), "method": "INVITE", "status": null}))
            .collect();
        let drawn = ladder(&json!({"call_id": "c", "messages": messages}), false);
        assert_eq!(drawn.lines().count(), 22);
    }
}
