//! Errors on the wire: RFC 9457 `application/problem+json`, always.

use crate::mask::Masker;
use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use dialer_core::CommandError;
use serde::Serialize;
use serde_json::{Map, Value};
use store::StoreError;
use utoipa::ToSchema;

/// A problem, as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProblemBody {
    /// Stable name of the sort of problem.
    #[serde(rename = "type")]
    #[schema(example = "urn:dialerd:problem:invalid_body")]
    pub kind: String,
    /// The sort of problem in words.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Machine-readable name, stable.
    #[schema(example = "invalid_body")]
    pub code: &'static str,
    /// What is wrong this time.
    pub detail: String,
    /// Path of the request.
    pub instance: String,
    /// Name of the request, also in the header `X-Request-Id`.
    pub request_id: String,
    /// Which fields or parameters are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// More, by code: `state` of an `invalid_call_state` or `invalid_agent_state`, `current_version` …
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// One wrong field or parameter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON Pointer (RFC 6901) into the body; empty is the whole body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Name of the query parameter or header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What was found and what is expected.
    pub detail: String,
}

/// The sorts of problems. [`Code::row`] is the one table of status, code and title.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the table says it")]
pub enum Code {
    InvalidJson,
    InvalidBody,
    InvalidParameter,
    InvalidHeader,
    Unprocessable,
    Unauthorized,
    InsufficientScope,
    ComplianceBlocked,
    NotFound,
    NoSuchRoute,
    MethodNotAllowed,
    RequestTimeout,
    Conflict,
    InvalidState,
    InvalidCallState,
    InvalidAgentState,
    IdempotencyInProgress,
    CursorExpired,
    VersionMismatch,
    PayloadTooLarge,
    UnsupportedMediaType,
    RangeNotSatisfiable,
    IdempotencyKeyReused,
    LimitReached,
    Internal,
    SpeechFailed,
    Draining,
    StoreUnavailable,
    Overloaded,
    Timeout,
}

impl Code {
    /// Status, name and title.
    #[must_use]
    pub const fn row(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Code::InvalidJson => (S::BAD_REQUEST, "invalid_json", "The body is not valid JSON"),
            Code::InvalidBody => (S::BAD_REQUEST, "invalid_body", "The body does not fit"),
            Code::InvalidParameter => (S::BAD_REQUEST, "invalid_parameter", "A parameter does not fit"),
            Code::InvalidHeader => (S::BAD_REQUEST, "invalid_header", "A header does not fit"),
            Code::Unprocessable => {
                (S::UNPROCESSABLE_ENTITY, "unprocessable", "What the request says does not hold")
            }
            Code::Unauthorized => (S::UNAUTHORIZED, "unauthorized", "A valid bearer token is needed"),
            Code::InsufficientScope => (S::FORBIDDEN, "insufficient_scope", "The token lacks a scope"),
            Code::ComplianceBlocked => {
                (S::FORBIDDEN, "compliance_blocked", "A rule of compliance forbids this call")
            }
            Code::NotFound => (S::NOT_FOUND, "not_found", "There is no such thing"),
            Code::NoSuchRoute => (S::NOT_FOUND, "no_such_route", "There is no such path"),
            Code::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method_not_allowed", "The path has no such method")
            }
            Code::RequestTimeout => {
                (S::REQUEST_TIMEOUT, "request_timeout", "The request took too long to arrive")
            }
            Code::Conflict => (S::CONFLICT, "conflict", "Another thing is in the way"),
            Code::InvalidState => (S::CONFLICT, "invalid_state", "Not possible in this state"),
            Code::InvalidCallState => {
                (S::CONFLICT, "invalid_call_state", "Command not possible in this state of the call")
            }
            Code::InvalidAgentState => {
                (S::CONFLICT, "invalid_agent_state", "Command not possible in this state of the agent")
            }
            Code::IdempotencyInProgress => {
                (S::CONFLICT, "idempotency_in_progress", "A request with this key is still being worked on")
            }
            Code::CursorExpired => (S::GONE, "cursor_expired", "The cursor is too old"),
            Code::VersionMismatch => {
                (S::PRECONDITION_FAILED, "version_mismatch", "It was changed in the meantime")
            }
            Code::PayloadTooLarge => (S::PAYLOAD_TOO_LARGE, "payload_too_large", "The body is too large"),
            Code::UnsupportedMediaType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body's type is not taken here")
            }
            Code::RangeNotSatisfiable => {
                (S::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", "The range is outside the file")
            }
            Code::IdempotencyKeyReused => {
                (S::UNPROCESSABLE_ENTITY, "idempotency_key_reused", "The key was used for another request")
            }
            Code::LimitReached => (S::TOO_MANY_REQUESTS, "limit_reached", "A limit is reached"),
            Code::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Something broke on our side"),
            Code::SpeechFailed => (S::BAD_GATEWAY, "speech_failed", "The engine that speaks has failed"),
            Code::Draining => (S::SERVICE_UNAVAILABLE, "draining", "The node is draining"),
            Code::StoreUnavailable => {
                (S::SERVICE_UNAVAILABLE, "store_unavailable", "Records cannot be written now")
            }
            Code::Overloaded => (S::SERVICE_UNAVAILABLE, "overloaded", "Too many requests at once"),
            Code::Timeout => (S::GATEWAY_TIMEOUT, "timeout", "The request took too long"),
        }
    }
}

/// A problem on its way out. The request's id and path are filled in by the outermost layer.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    more: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of a sort.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem(Box::new(Inner {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            more: Map::new(),
            headers: Vec::new(),
        }))
    }

    /// No such thing of the sort `what`.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Problem::new(Code::NotFound, format!("no such {what}"))
    }

    /// A field of the body is wrong.
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Problem::fields(vec![FieldError {
            pointer: Some(pointer.into()),
            parameter: None,
            detail: detail.into(),
        }])
    }

    /// Fields of the body are wrong (at least one).
    #[must_use]
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [FieldError { pointer: Some(pointer), detail, .. }] if !pointer.is_empty() => {
                format!("{pointer}: {detail}")
            }
            [one] => one.detail.clone(),
            more => format!("{} fields are wrong", more.len()),
        };
        let mut problem = Problem::new(Code::InvalidBody, detail);
        problem.0.errors = errors;
        problem
    }

    /// A query parameter is wrong.
    pub fn parameter(name: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let mut problem = Problem::new(Code::InvalidParameter, format!("{name}: {detail}"));
        problem.0.errors.push(FieldError { pointer: None, parameter: Some(name.to_owned()), detail });
        problem
    }

    /// What the field or parameter names is well-formed, but not there.
    #[must_use]
    pub fn unprocessable(mut self) -> Self {
        self.0.code = Code::Unprocessable;
        self
    }

    /// A header is wrong.
    pub fn header(name: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let mut problem = Problem::new(Code::InvalidHeader, format!("{name}: {detail}"));
        problem.0.errors.push(FieldError { pointer: None, parameter: Some(name.to_owned()), detail });
        problem
    }

    /// No token or an unknown one. RFC 6750 §3: told in `WWW-Authenticate`.
    pub fn unauthorized(detail: impl Into<String>, challenge: &'static str) -> Self {
        Problem::new(Code::Unauthorized, detail)
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.more.insert(key.to_owned(), value.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Its sort.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What is wrong.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The wrong fields.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The full answer. Numbers that found their way into a text (as a wrong value that is quoted) are masked.
    #[must_use]
    pub fn render(&self, instance: &str, request_id: &str) -> Response<Body> {
        let (status, code, title) = self.0.code.row();
        let mask = Masker::MASKED;
        let body = ProblemBody {
            kind: format!("urn:dialerd:problem:{code}"),
            title,
            status: status.as_u16(),
            code,
            detail: mask.words(&self.0.detail),
            instance: mask.text(instance),
            request_id: request_id.to_owned(),
            errors: self
                .0
                .errors
                .iter()
                .map(|error| FieldError { detail: mask.words(&error.detail), ..error.clone() })
                .collect(),
            more: self.0.more.clone(),
        };
        let text = serde_json::to_vec(&body).expect("a problem has only string keys");
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for (name, value) in &self.0.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0.code.row().0;
        response.extensions_mut().insert(self);
        response
    }
}

/// The problem for an error status that came without one (from the framework).
pub(crate) fn problem_of_status(response: &axum::response::Response) -> Problem {
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => {
            let problem = Problem::new(Code::MethodNotAllowed, "see the header Allow");
            match response.headers().get(ALLOW) {
                Some(allow) => problem.with_header(ALLOW, allow.clone()),
                None => problem,
            }
        }
        StatusCode::NOT_FOUND => {
            Problem::new(Code::NoSuchRoute, "see /v1/openapi.json for the paths there are")
        }
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::PayloadTooLarge, "the body is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Problem::new(Code::UnsupportedMediaType, "expected Content-Type: application/json")
        }
        StatusCode::REQUEST_TIMEOUT => {
            Problem::new(Code::RequestTimeout, "the request took too long to arrive")
        }
        status if status.is_client_error() => {
            Problem::new(Code::InvalidBody, "the request was not understood")
        }
        _ => Problem::new(Code::Internal, "see the log under the request id"),
    }
}

/// Names of fields that are called otherwise on the wire than inside.
const POINTERS: [(&str, &str); 9] = [
    ("/concurrency/lines_max", "/concurrency/max"),
    ("/concurrency/cps_max", "/concurrency/cps"),
    ("/concurrency/max_lines_per_agent", "/concurrency/max_lines_per_agent"),
    ("/attempts_max", "/caps/per_lead"),
    ("/safe_harbour_prompt", "/on_no_agent/play"),
    ("/early_media", "/classify/early_media"),
    ("/amd", "/classify/amd/mode"),
    ("/agent", "/agent_id"),
    ("/campaign", "/campaign_id"),
];

fn wire_pointer(inside: &str) -> String {
    if let Some((_, wire)) = POINTERS.iter().find(|(known, _)| *known == inside) {
        return (*wire).to_owned();
    }
    inside.to_owned()
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let detail = error.to_string();
        match error {
            CommandError::NotFound { what } => Problem::not_found(what),
            CommandError::Invalid { pointer, expected } => Problem::field(wire_pointer(&pointer), expected),
            CommandError::Conflict { pointer, detail } => {
                let mut problem = Problem::new(Code::Conflict, detail.clone());
                let pointer = Some(wire_pointer(&pointer));
                problem.0.errors.push(FieldError { pointer, parameter: None, detail });
                problem
            }
            CommandError::InvalidCallState { state, detail } => {
                Problem::new(Code::InvalidCallState, detail).with("state", state.as_str())
            }
            CommandError::InvalidAgentState { state, detail } => {
                Problem::new(Code::InvalidAgentState, detail).with("state", state.as_str())
            }
            CommandError::InvalidState { detail } => Problem::new(Code::InvalidState, detail),
            CommandError::VersionMismatch { current } => {
                Problem::new(Code::VersionMismatch, detail).with("current_version", current)
            }
            CommandError::Compliance { rule, .. } => {
                Problem::new(Code::ComplianceBlocked, detail).with("rule", rule)
            }
            CommandError::Draining => Problem::new(Code::Draining, detail).retry_after("30"),
            CommandError::Limit { .. } => Problem::new(Code::LimitReached, detail).retry_after("1"),
            CommandError::StoreUnavailable => Problem::new(Code::StoreUnavailable, detail).retry_after("5"),
        }
    }
}

impl Problem {
    pub(crate) fn retry_after(self, seconds: &'static str) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from_static(seconds))
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { what } => Problem::not_found(what),
            StoreError::BadCursor => Problem::parameter("cursor", "not a cursor of this list"),
            StoreError::Database { .. }
            | StoreError::Held { .. }
            | StoreError::TakenOver
            | StoreError::Closed => {
                tracing::warn!(%error, "the store refused a request of the API");
                Problem::new(Code::StoreUnavailable, "the database does not answer now").retry_after("5")
            }
            other => {
                tracing::error!(error = %other, "the store failed a request of the API");
                Problem::new(Code::Internal, "see the log under the request id")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_an_error_status_and_its_own_name() {
        let all = [
            Code::InvalidJson,
            Code::InvalidBody,
            Code::InvalidParameter,
            Code::InvalidHeader,
            Code::Unprocessable,
            Code::Unauthorized,
            Code::InsufficientScope,
            Code::NotFound,
            Code::NoSuchRoute,
            Code::MethodNotAllowed,
            Code::RequestTimeout,
            Code::Conflict,
            Code::InvalidState,
            Code::InvalidCallState,
            Code::InvalidAgentState,
            Code::IdempotencyInProgress,
            Code::CursorExpired,
            Code::VersionMismatch,
            Code::PayloadTooLarge,
            Code::UnsupportedMediaType,
            Code::RangeNotSatisfiable,
            Code::IdempotencyKeyReused,
            Code::LimitReached,
            Code::Internal,
            Code::SpeechFailed,
            Code::Draining,
            Code::StoreUnavailable,
            Code::Overloaded,
            Code::Timeout,
        ];
        let names: std::collections::BTreeSet<_> = all.iter().map(|code| code.row().1).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|code| code.row().0.as_u16() >= 400));
    }

    #[test]
    fn a_wrong_value_that_is_quoted_does_not_show_a_number() {
        let problem = Problem::field("/to", "found \"+8613800138000x\", expected a number");
        let response = problem.render("/v1/calls", "req_1");
        assert_eq!(response.status(), 400);
        assert!(problem.errors()[0].detail.contains("13800138000"));
    }
}
