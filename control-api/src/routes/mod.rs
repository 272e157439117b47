//! The routes, one file per resource.

pub(crate) mod agent_groups;
pub(crate) mod agents;
pub(crate) mod audit;
pub(crate) mod best_time;
pub(crate) mod calendars;
pub(crate) mod call_recording;
pub(crate) mod callbacks;
pub(crate) mod caller_ids;
pub(crate) mod calls;
pub(crate) mod campaign_leads;
pub(crate) mod campaigns;
pub(crate) mod cdrs;
pub(crate) mod conduct;
pub(crate) mod dial_requests;
pub(crate) mod dnc;
pub(crate) mod events;
pub(crate) mod forks;
pub(crate) mod import;
pub(crate) mod inbound;
pub(crate) mod inbound_routes;
pub(crate) mod leads;
pub(crate) mod ledger;
pub(crate) mod lists;
pub(crate) mod node;
mod patch;
pub(crate) mod persons;
pub(crate) mod policies;
pub(crate) mod prompts;
pub(crate) mod recordings;
pub(crate) mod reports;
pub(crate) mod spec;
pub(crate) mod tokens;
pub(crate) mod trunks;
pub(crate) mod verbs;
pub(crate) mod webhooks;
pub(crate) mod ws;

use crate::extract::etag;
use crate::gateway::Gateway;
use crate::problem::{Code, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, LOCATION};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;

/// What handlers stand on.
pub(crate) type Api = State<Arc<Gateway>>;
/// What handlers give.
pub(crate) type Answer = Result<Response, Problem>;

/// 201 with the thing, where it is, and its version.
pub(crate) fn created<T: Serialize>(location: String, version: u32, body: &T) -> Response {
    let (name, tag) = etag(version);
    let mut response = (StatusCode::CREATED, [(name, tag)], Json(body)).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// 200 with the thing and its version.
pub(crate) fn found<T: Serialize>(version: u32, body: &T) -> Response {
    ([etag(version)], Json(body)).into_response()
}

/// A command was answered with the reply of another one: a defect of ours.
pub(crate) fn odd_reply() -> Problem {
    tracing::error!("the dialer gave the reply of another command");
    Problem::new(Code::Internal, "see the log under the request id")
}

/// The body of a command that takes none: absent, or an empty object.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Empty {}
