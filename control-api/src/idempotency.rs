//! `Idempotency-Key`: a POST that is repeated is carried out once.
//!
//! The response is kept for 24 hours under the caller's key with a digest of the request. Only granted requests
//! are kept: a refused one changed nothing, so trying it again is safe and may succeed.

use crate::auth::Caller;
use crate::extract::{BATCH_BYTES_MAX, read_body};
use crate::gateway::Gateway;
use crate::layer::{RequestId, rendered};
use crate::problem::{Code, Problem};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use store::IdempotencyRow;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longest key, characters.
pub(crate) const KEY_LENGTH_MAX: usize = 255;
/// Longest response that is kept, bytes. All responses to a POST with one body are shorter.
const RESPONSE_BYTES_MAX: usize = 32 << 20;
/// Headers that are kept with a response.
const KEPT_HEADERS: [HeaderName; 2] = [LOCATION, ETAG];

/// Keys whose first request is still being worked on.
#[derive(Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<BTreeSet<String>>>);

impl InFlight {
    fn enter(&self, key: &str) -> Option<Entered> {
        let fresh = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned());
        fresh.then(|| Entered { all: self.clone(), key: key.to_owned() })
    }
}

struct Entered {
    all: InFlight,
    key: String,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// The layer. Imports are left out: their bodies are streamed, and repeating one is safe by the leads' own names.
/// So is the making of tokens and webhooks: its response holds a secret, which is not kept.
pub(crate) async fn idempotent(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    // What tells of a person is not kept beside what is kept of them.
    let of_person = path.starts_with("/v1/persons/");
    let left_out = path.ends_with("/import") || of_person || makes_secret(path);
    if request.method() != Method::POST || left_out || !request.headers().contains_key(IDEMPOTENCY_KEY) {
        return next.run(request).await;
    }
    once(gateway, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

fn makes_secret(path: &str) -> bool {
    matches!(path, "/v1/tokens" | "/v1/webhooks") || path.ends_with("/rotate_secret")
}

async fn once(gateway: Arc<Gateway>, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = match parts.extensions.get::<Caller>() {
        Some(caller) => caller.clone(),
        None => Caller::identify(&parts, &gateway).await?,
    };
    let key = parts.headers[IDEMPOTENCY_KEY]
        .to_str()
        .ok()
        .map(|key| key.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(key))
        .filter(|key| (1..=KEY_LENGTH_MAX).contains(&key.len()))
        .filter(|key| key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'))
        .ok_or_else(|| Problem::header("Idempotency-Key", "expected 1 to 255 visible characters"))?;
    let key = format!("{}:{key}", caller.key_space());
    let body = read_body(body, BATCH_BYTES_MAX).await?;
    let mut digest = Sha256::new();
    digest.update(parts.method.as_str());
    digest.update([0]);
    digest.update(parts.uri.to_string());
    digest.update([0]);
    digest.update(&body);
    let fingerprint: [u8; 32] = digest.finalize().into();
    let Some(entered) = gateway.in_flight.enter(&key) else {
        return Err(
            Problem::new(Code::IdempotencyInProgress, "try again when it is answered").retry_after("1")
        );
    };
    let kept = {
        let (key, now) = (key.clone(), gateway.now());
        gateway.store(move |store| store.idempotency(&key, now)).await?
    };
    if let Some(row) = kept {
        if row.fingerprint != fingerprint {
            return Err(Problem::new(
                Code::IdempotencyKeyReused,
                "this key was used with another path or body",
            ));
        }
        return replay(row);
    }
    parts.extensions.insert(caller);
    let request = Request::from_parts(parts, Body::from(body));
    // In a task of its own: a caller that hangs up must not make the response get lost, or its repetition would
    // be carried out a second time.
    let work = tokio::spawn(async move {
        let _entered = entered;
        carry_out(&gateway, request, next, key, fingerprint).await
    });
    work.await.unwrap_or_else(|_| Err(Problem::new(Code::Internal, "see the log under the request id")))
}

async fn carry_out(
    gateway: &Gateway,
    request: Request,
    next: Next,
    key: String,
    fingerprint: [u8; 32],
) -> Result<Response, Problem> {
    let instance = request.uri().path().to_owned();
    let id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let response = next.run(request).await;
    if !response.status().is_success() {
        return Ok(response);
    }
    let response = rendered(response, &instance, &id).await;
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, RESPONSE_BYTES_MAX)
        .await
        .map_err(|_| Problem::new(Code::Internal, "the response is too long to be kept"))?;
    let headers: BTreeMap<&str, &str> = KEPT_HEADERS
        .iter()
        .filter_map(|name| Some((name.as_str(), parts.headers.get(name)?.to_str().ok()?)))
        .collect();
    let mut kept = serde_json::to_vec(&headers).expect("a map of strings");
    kept.push(b'\n');
    kept.extend_from_slice(&bytes);
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let row = IdempotencyRow {
        key,
        fingerprint,
        status: parts.status.as_u16(),
        content_type: content_type.to_owned(),
        body: kept,
        at: gateway.now(),
    };
    // The request was carried out: failing to keep its response must not turn it into a failure.
    if let Err(problem) = gateway.store(move |store| store.put_idempotency(&row)).await {
        tracing::warn!(detail = problem.detail(), "a response was not kept under its idempotency key");
    }
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

/// Headers as a line of JSON, then the body: see [`carry_out`].
fn replay(row: IdempotencyRow) -> Result<Response, Problem> {
    let broken = || Problem::new(Code::Internal, "the kept response cannot be read");
    let at = row.body.iter().position(|byte| *byte == b'\n').ok_or_else(broken)?;
    let headers: BTreeMap<String, String> = serde_json::from_slice(&row.body[..at]).map_err(|_| broken())?;
    let mut response = Response::new(Body::from(row.body[at + 1..].to_vec()));
    *response.status_mut() = StatusCode::from_u16(row.status).map_err(|_| broken())?;
    let kept = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let kind = (!row.content_type.is_empty()).then_some((CONTENT_TYPE.as_str(), row.content_type.as_str()));
    for (name, value) in kept.chain(kind) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}
