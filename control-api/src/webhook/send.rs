//! One delivery over HTTP.

use super::sign::signatures;
use crate::gateway::Gateway;
use crate::mask::Masker;
use crate::time::parse_http_date;
use crate::wire::event::Event;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use dialer_core::EventEnvelope;
use sansio::WallTime;
use std::time::Duration;
use store::WebhookRow;

/// Bytes of a response that are read; what a receiver says beyond its status does not matter.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// What a receiver answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// 2xx.
    Taken { status: u16 },
    /// 410: it wants no more.
    Gone,
    /// Anything else, or nothing.
    Failed { status: Option<u16>, error: String, retry_after_ms: Option<u64> },
}

/// The client all deliveries are made with.
pub(super) fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .user_agent(concat!("dialerd/", env!("CARGO_PKG_VERSION")))
        // A redirect would carry signed data to where nobody asked for it.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
}

/// The body of an event, as the webhook may see it.
pub(super) fn body(event: &EventEnvelope, node: &str, row: &WebhookRow) -> Vec<u8> {
    let shown = Event::new(event, node, Masker::new(row.numbers_whole));
    serde_json::to_vec(&shown).expect("an event has string keys")
}

/// Sends `body` as the message `id` and waits for the answer.
pub(super) async fn send(
    gateway: &Gateway,
    client: &reqwest::Client,
    row: &WebhookRow,
    id: &str,
    body: Vec<u8>,
) -> Answer {
    let now = gateway.now();
    let timestamp = now.unix_millis().div_euclid(1000);
    let request = client
        .post(&row.url)
        .timeout(Duration::from_millis(gateway.config.webhooks.timeout_ms))
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp.to_string())
        .header("webhook-signature", signatures(&row.secrets, now, id, timestamp, &body))
        .body(body);
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) => return failed(None, told(&error), None),
    };
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after_ms = retry_after.and_then(|text| retry_after_ms(text, now));
    // Read to the end, so that the connection can be used again.
    let mut read = 0;
    while read < RESPONSE_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(bytes)) => read += bytes.len(),
            Ok(None) | Err(_) => break,
        }
    }
    match status.as_u16() {
        200..=299 => Answer::Taken { status: status.as_u16() },
        410 => Answer::Gone,
        code => failed(Some(code), format!("status {code}"), retry_after_ms),
    }
}

fn failed(status: Option<u16>, error: String, retry_after_ms: Option<u64>) -> Answer {
    Answer::Failed { status, error, retry_after_ms }
}

/// What went wrong, without the address: it may hold a password.
fn told(error: &reqwest::Error) -> String {
    let mut words = match () {
        () if error.is_timeout() => "no answer in time".to_owned(),
        () if error.is_connect() => "no connection".to_owned(),
        () if error.is_builder() => "the address cannot be used".to_owned(),
        () => "the connection broke off".to_owned(),
    };
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if inner.source().is_none() {
            words.push_str(": ");
            words.push_str(&inner.to_string());
        }
        source = inner.source();
    }
    words.chars().take(300).collect()
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn retry_after_ms(text: &str, now: WallTime) -> Option<u64> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let at = parse_http_date(text.trim())?;
    Some(u64::try_from(at.millis_since(now)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_asked_for() {
        // 1994-11-15T08:12:31Z, the example of RFC 9110.
        let now = WallTime::from_unix_millis(784_887_151_000 - 5_000);
        assert_eq!(retry_after_ms("120", now), Some(120_000));
        assert_eq!(retry_after_ms("Tue, 15 Nov 1994 08:12:31 GMT", now), Some(5_000));
        assert_eq!(retry_after_ms("soon", now), None);
    }
}
