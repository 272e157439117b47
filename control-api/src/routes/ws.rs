//! `/v1/ws`: the event stream as WebSocket frames, and requests to the API over the same connection.
//!
//! ```text
//!   ◀── {"type":"call.answered","cursor":"n1-…", …}      as the events of /v1/events
//!   ──▶ {"request_id":"7","method":"POST","path":"/v1/calls/call_…/hangup","body":{}}
//!   ◀── {"type":"response","request_id":"7","status":202,"body":{…}}
//! ```
//! A request is carried out as one that comes over HTTP with the connection's token: same checks, same limits.

use super::Api;
use super::events::{self, Reader, Told};
use crate::auth::Caller;
use crate::extract::{Params, parse_json};
use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemBody};
use crate::wire::event::Event;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::{
    CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, Method, Request};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream::SplitSink;
use prometheus::IntGauge;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;
use utoipa::ToSchema;

/// Longest message from a client, bytes.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Longest response that is passed on, bytes.
const RESPONSE_BYTES_MAX: usize = 8 << 20;
/// A client that takes nothing for so long is cut off.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);

/// A request over the connection.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Comes back with the response.
    request_id: String,
    /// `GET`, `POST`, …
    #[schema(example = "POST")]
    method: String,
    /// A path of the API that is no stream.
    #[schema(example = "/v1/calls/call_01JC8Z3V5N8W6Q2R4T7Y9X1B3D/hangup")]
    path: String,
    /// Its body.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    body: Option<Value>,
    /// As the header of this name.
    #[serde(default)]
    idempotency_key: Option<String>,
}

/// What became of a request over the connection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Answered {
    /// `response`; of events, their type.
    #[serde(rename = "type")]
    #[schema(example = "response")]
    kind: &'static str,
    /// The request's; null for one that could not be read.
    #[schema(value_type = Option<String>)]
    request_id: Value,
    /// As over HTTP.
    status: u16,
    /// As over HTTP; null for none.
    body: Value,
}

impl Answered {
    fn frame(request_id: Value, status: u16, body: Value) -> Value {
        json!(Answered { kind: "response", request_id, status, body })
    }
}

/// Opens a WebSocket with events (as `/v1/events`, one JSON text frame each) on which requests can be made:
/// `{"request_id", "method", "path", "body"}` is answered by `{"type":"response", "request_id", "status", "body"}`. Go on
/// after a break with `after`. A client that is too slow is closed with 1013 and the reason `slow_consumer`.
#[utoipa::path(
    get, path = "/v1/ws", tag = "events",
    params(
        ("types" = Option<String>, Query, description = "names with commas between, `*` at the end of one stands for the rest"),
        ("campaign" = Option<String>, Query, description = "of this campaign"),
        ("call" = Option<String>, Query, description = "of this call"),
        ("agent" = Option<String>, Query, description = "of this agent"),
        ("after" = Option<String>, Query, description = "go on after this cursor; absent: from now on"),
    ),
    responses(
        (status = 101, description = "the connection is a WebSocket now", body = Event),
        (status = 410, description = "the cursor is too old", body = ProblemBody, content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json")
    ),
    security(("bearer" = ["events:read"]))
)]
pub(crate) async fn open(
    State(api): Api,
    caller: Caller,
    headers: HeaderMap,
    params: Params,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let wanted = events::Asked::of(&api, &caller, &headers, &params).await?;
    let upgrade = upgrade.map_err(|rejection| Problem::header("Upgrade", rejection.body_text()))?;
    let authorization = headers.get(AUTHORIZATION).cloned();
    let reader = Reader::new(Arc::clone(&api), caller, wanted, "ws")?;
    let serve = move |socket: WebSocket| serve(api, reader, authorization, socket);
    Ok(upgrade.max_message_size(MESSAGE_BYTES_MAX).on_upgrade(serve).into_response())
}

type Sink = SplitSink<WebSocket, Message>;

/// Counts a client for as long as it is served.
struct Counted(IntGauge);

impl Counted {
    fn new(clients: &IntGauge) -> Self {
        clients.inc();
        Counted(clients.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn serve(api: Arc<Gateway>, mut reader: Reader, authorization: Option<HeaderValue>, socket: WebSocket) {
    let (mut sink, mut stream) = socket.split();
    let _counted = Counted::new(&api.metrics.ws_clients);
    let router = crate::router(api);
    let mut told = Box::pin(reader.next());
    loop {
        tokio::select! {
            next = &mut told => {
                drop(told);
                let Some(next) = next else { return };
                if !tell(&mut sink, &reader, next).await {
                    return;
                }
                told = Box::pin(reader.next());
            }
            message = stream.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let answer = answer(&router, authorization.as_ref(), text.as_bytes()).await;
                    if !send(&mut sink, Message::text(answer.to_string())).await {
                        return;
                    }
                }
                Some(Ok(Message::Binary(_))) => {
                    close(&mut sink, 1003, "expected text").await;
                    return;
                }
                // The library answers pings by itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            }
        }
    }
}

/// False when the connection is to end.
async fn tell(sink: &mut Sink, reader: &Reader, told: Told) -> bool {
    match told {
        Told::Event(event) => send(sink, Message::text(reader.json(&event))).await,
        Told::Alive { cursor, .. } => {
            let ping = cursor.unwrap_or_default().into_bytes();
            send(sink, Message::Ping(ping.into())).await
        }
        Told::Cut { code, .. } => {
            // RFC 6455 §7.4.1: 1013 (try again later, registered) or 1008 (policy).
            let status = if code == "slow_consumer" { 1013 } else { 1008 };
            close(sink, status, &code).await;
            false
        }
    }
}

async fn send(sink: &mut Sink, message: Message) -> bool {
    use futures_util::SinkExt;
    matches!(tokio::time::timeout(SEND_TIMEOUT, sink.send(message)).await, Ok(Ok(())))
}

async fn close(sink: &mut Sink, code: u16, reason: &str) {
    let frame = CloseFrame { code, reason: reason.to_owned().into() };
    // It is over either way.
    let _ = send(sink, Message::Close(Some(frame))).await;
}

/// Carries out a request and gives its response.
async fn answer(router: &Router, authorization: Option<&HeaderValue>, text: &[u8]) -> Value {
    let asked: Asked = match parse_json(text) {
        Ok(asked) => asked,
        Err(problem) => return refused(Value::Null, problem.detail()),
    };
    let id = json!(asked.request_id);
    let streams = ["/v1/events", "/v1/ws"].iter().any(|path| asked.path.starts_with(path));
    let (Ok(method), false) = (asked.method.parse::<Method>(), streams) else {
        return refused(id, "expected a method and a path of the API that is no stream");
    };
    let mut request = Request::builder().method(&method).uri(&asked.path);
    if let Some(value) = authorization {
        request = request.header(AUTHORIZATION, value);
    }
    if let Some(key) = &asked.idempotency_key {
        request = request.header("idempotency-key", key);
    }
    let body = match &asked.body {
        Some(body) => {
            let kind =
                if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
            request = request.header(CONTENT_TYPE, kind);
            Body::from(body.to_string())
        }
        None => Body::empty(),
    };
    let Ok(request) = request.body(body) else { return refused(id, "the path cannot be read") };
    let response = match router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let status = response.status().as_u16();
    match axum::body::to_bytes(response.into_body(), RESPONSE_BYTES_MAX).await {
        Ok(bytes) => {
            let body = serde_json::from_slice::<Value>(&bytes);
            let body = body.unwrap_or_else(|_| match bytes.is_empty() {
                true => Value::Null,
                false => json!(String::from_utf8_lossy(&bytes)),
            });
            Answered::frame(id, status, body)
        }
        Err(_) => refused(id, "the response is too long for this connection"),
    }
}

fn refused(request_id: Value, detail: &str) -> Value {
    Answered::frame(request_id, 400, json!({"code": "invalid_body", "detail": detail}))
}
