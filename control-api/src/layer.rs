//! What happens to every request before and after its route.

use crate::gateway::Gateway;
use crate::problem::{Code, Problem, problem_of_status};
use crate::rate::{RATE_LIMIT, RATE_LIMIT_POLICY};
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{Extensions, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dialer_core::id::Kind;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

/// Header with the request's name.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

struct RequestKind;
impl Kind for RequestKind {
    const PREFIX: &'static str = "req";
}

/// The request's name, for handlers.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

#[derive(Clone)]
struct RouteLabel(MatchedPath);

/// `/v1/agents/x:login` is the same as `/v1/agents/x/login`: the router only knows whole segments.
///
/// Only the last segment is looked at, and only a verb of lower-case letters behind the last colon.
pub(crate) fn split_verb(mut request: Request) -> Request {
    if let Some(uri) = verb_as_segment(request.uri()) {
        let original = OriginalPath(request.uri().path().to_owned());
        request.extensions_mut().insert(original);
        *request.uri_mut() = uri;
    }
    request
}

#[derive(Clone)]
struct OriginalPath(String);

fn original_path(extensions: &Extensions, uri: &Uri) -> String {
    extensions.get::<OriginalPath>().map_or_else(|| uri.path().to_owned(), |path| path.0.clone())
}

fn verb_as_segment(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let last = path.rfind('/')? + 1;
    let segment = &path[last..];
    let (at, width) = segment
        .rfind(':')
        .map(|at| (at, 1))
        .or_else(|| segment.to_ascii_lowercase().rfind("%3a").map(|at| (at, 3)))?;
    let verb = &segment[at + width..];
    if at == 0 || verb.is_empty() || !verb.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
        return None;
    }
    let mut split = format!("{}/{verb}", &path[..last + at]);
    if let Some(query) = uri.query() {
        split.push('?');
        split.push_str(query);
    }
    split.parse().ok()
}

/// Remembers which route took the request, for the metrics.
pub(crate) async fn label(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(path) = path {
        response.extensions_mut().insert(RouteLabel(path));
    }
    response
}

/// The outermost layer: names the request, bounds time and number, turns every error into a problem, counts.
pub(crate) async fn outermost(
    State(gateway): State<Arc<Gateway>>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = gateway.new_id::<RequestKind>().to_string();
    let method = request.method().clone();
    let instance = original_path(request.extensions(), request.uri());
    request.extensions_mut().insert(RequestId(id.clone()));
    let response = match gateway.requests.try_acquire() {
        Ok(_permit) => bounded(&gateway, request, next, &id).await,
        Err(_) => {
            Problem::new(Code::Overloaded, "too many requests at once").retry_after("1").into_response()
        }
    };
    let mut response = rendered(response, &instance, &id).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    let route = response.extensions().get::<RouteLabel>().map_or("unmatched", |label| label.0.as_str());
    gateway.metrics.observe(route, &method, response.status().as_u16(), began.elapsed().as_secs_f64());
    tracing::debug!(%method, route, status = response.status().as_u16(), request_id = %id, "request");
    response
}

/// A body that is taken in whole before it is answered may come for so long; a silent client is given up sooner.
const TAKE_IN_MAX: std::time::Duration = std::time::Duration::from_secs(3_600);

async fn bounded(gateway: &Gateway, request: Request, next: Next, id: &str) -> Response {
    let takes_in = request.uri().path().ends_with("/leads/import")
        && crate::routes::import::prefers_async(request.headers());
    let most = if takes_in { TAKE_IN_MAX } else { gateway.config.request_timeout };
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(most, answered).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!(request_id = %id, "a request's handler panicked");
            Problem::new(Code::Internal, "see the log under the request id").into_response()
        }
        Err(_) => Problem::new(Code::Timeout, "the request took too long").into_response(),
    }
}

/// Gives a problem its body; an error of the framework becomes a problem first.
pub(crate) async fn rendered(mut response: Response, instance: &str, id: &str) -> Response<Body> {
    let problem = response.extensions_mut().remove::<Problem>();
    let problem = problem.or_else(|| {
        let status = response.status();
        let is_problem = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
        ((status.is_client_error() || status.is_server_error()) && !is_problem)
            .then(|| problem_of_status(&response))
    });
    let Some(problem) = problem else {
        return response;
    };
    let mut rendered = problem.render(instance, id);
    for name in [RATE_LIMIT, RATE_LIMIT_POLICY] {
        if let Some(value) = response.headers_mut().remove(&name) {
            rendered.headers_mut().insert(name, value);
        }
    }
    *rendered.extensions_mut() = std::mem::take(response.extensions_mut());
    rendered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_becomes_a_segment() {
        let split = |text: &str| verb_as_segment(&text.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(split("/v1/agents/agt_1:login").as_deref(), Some("/v1/agents/agt_1/login"));
        assert_eq!(split("/v1/agents/agt_1%3Alogin").as_deref(), Some("/v1/agents/agt_1/login"));
        assert_eq!(split("/v1/node:drain").as_deref(), Some("/v1/node/drain"));
        assert_eq!(
            split("/v1/lists/l/leads:import?a=b:c").as_deref(),
            Some("/v1/lists/l/leads/import?a=b:c")
        );
        for same in [
            "/v1/agents/agt_1/login",
            "/v1/agents/agt_1:",
            "/v1/agents/:login",
            "/v1/agents/a:B",
            "/",
            "/a:b/c",
        ] {
            assert_eq!(split(same), None, "{same}");
        }
    }
}
