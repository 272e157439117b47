//! Forks: `/v1/calls/{id}/fork_start` and `fork_stop`.

use super::conduct::{done, wish_named};
use super::{Answer, Api, odd_reply};
use crate::auth::{Caller, Scope};
use crate::extract::{JsonBody, path_id};
use crate::problem::ProblemBody;
use crate::wire::call::CallCommandAccepted;
use crate::wire::fork::{ForkAccepted, ForkRequest, ForkStopRequest};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use dialer_core::participant::CallWish;
use dialer_core::{CallId, Reply};

const WRITE: &[Scope] = &[Scope::CallsWrite];

/// Gives the sound of an answered call to a bot or recogniser over a WebSocket, and plays to the customer what comes
/// back. One fork a call. Told by `call.fork_started`, `call.fork_interrupted` and, once, `call.fork_ended`.
#[utoipa::path(
    post, path = "/v1/calls/{id}/fork_start", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = ForkRequest,
    responses((status = 202, body = ForkAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn start(State(api): Api, caller: Caller, Path(id): Path<String>, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let request: ForkRequest = body.parse()?;
    let call: CallId = path_id(&id, "call")?;
    let command_id = request.command_id.clone();
    let wanted = CallWish::StartFork(Box::new(request.into()));
    let (reply, command_id) = wish_named(&api, call, wanted, command_id).await?;
    let Reply::Fork(fork) = reply else { return Err(odd_reply()) };
    let body = ForkAccepted { fork_id: fork.to_string(), call_id: call.to_string(), command_id };
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// Ends the fork of a call.
#[utoipa::path(
    post, path = "/v1/calls/{id}/fork_stop", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = Option<ForkStopRequest>,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn stop(State(api): Api, caller: Caller, Path(id): Path<String>, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let ForkStopRequest { fork_id, command_id } = body.parse_or_default()?;
    done(&api, &id, CallWish::StopFork(fork_id), command_id).await
}
