//! The recording of a live call: `/v1/calls/{id}/record`, `record_pause`, `record_resume` and `record_stop`.

use super::conduct::wish_named;
use super::{Answer, Api, odd_reply};
use crate::auth::{Caller, Scope};
use crate::extract::{JsonBody, path_id};
use crate::gateway::Gateway;
use crate::problem::ProblemBody;
use crate::wire::call::CallCommandRequest;
use crate::wire::recording::{PauseRequest, RecordAccepted};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use dialer_core::participant::CallWish;
use dialer_core::recording::RecordWish;
use dialer_core::{CallId, Reply};

const WRITE: &[Scope] = &[Scope::CallsWrite];

/// Does it, and writes down who did: a gap in a recording is to be explained later.
async fn act(
    api: &Gateway,
    caller: &Caller,
    id: &str,
    (wanted, verb): (RecordWish, &str),
    command_id: Option<String>,
) -> Answer {
    let call: CallId = path_id(id, "call")?;
    let (reply, command_id) = wish_named(api, call, CallWish::Record(wanted), command_id).await?;
    let Reply::Recording(recording) = reply else { return Err(odd_reply()) };
    let particulars = match wanted {
        RecordWish::Pause(behavior) => {
            serde_json::json!({ "call_id": call.to_string(), "pause_behavior": behavior })
        }
        RecordWish::Start | RecordWish::Resume | RecordWish::Stop => {
            serde_json::json!({ "call_id": call.to_string() })
        }
    };
    api.note(caller, &format!("recording.{verb}"), recording.to_string(), Some(particulars)).await?;
    let body = RecordAccepted { recording_id: recording.to_string(), call_id: call.to_string(), command_id };
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// Does what needs no words.
async fn act_plainly(
    api: &Gateway,
    caller: &Caller,
    id: &str,
    body: &JsonBody,
    wanted: (RecordWish, &str),
) -> Answer {
    caller.needs(WRITE)?;
    let command_id = body.parse_or_default::<CallCommandRequest>()?.command_id;
    act(api, caller, id, wanted, command_id).await
}

/// Records the talk from now on. Told by `recording.started` or `recording.failed`, which says why (a codec that is
/// relayed and cannot be decoded, for one); in the audit log.
#[utoipa::path(
    post, path = "/v1/calls/{id}/record", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = Option<CallCommandRequest>,
    responses((status = 202, description = "it is ordered", body = RecordAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn record(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    act_plainly(&api, &caller, &id, &body, (RecordWish::Start, "start_asked")).await
}

/// Keeps nothing of what is said from now on, while a card number is told, say. The file holds silence for that time, or
/// leaves it out. Pausing twice is pausing once; 409 if it is paused already and the other behaviour is asked for. Told by `recording.paused`; in the audit log.
#[utoipa::path(
    post, path = "/v1/calls/{id}/record_pause", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = Option<PauseRequest>,
    responses((status = 202, description = "it is ordered", body = RecordAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn record_pause(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    let PauseRequest { pause_behavior, command_id } = body.parse_or_default()?;
    let behavior = pause_behavior.map(Into::into);
    // Who does not say how takes it as it is paused already.
    let now = api.read_model.call(path_id(&id, "call")?).and_then(|call| call.recording?.paused);
    let wanted = RecordWish::Pause(behavior.or(now).unwrap_or_default());
    act(&api, &caller, &id, (wanted, "paused"), command_id).await
}

/// Keeps what is said again. Told by `recording.resumed`; in the audit log.
#[utoipa::path(
    post, path = "/v1/calls/{id}/record_resume", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = Option<CallCommandRequest>,
    responses((status = 202, description = "it is ordered", body = RecordAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn record_resume(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    act_plainly(&api, &caller, &id, &body, (RecordWish::Resume, "resumed")).await
}

/// Ends the recording; the call goes on, and may be recorded again as another recording. Told by `recording.ready` when
/// the file is complete; in the audit log.
#[utoipa::path(
    post, path = "/v1/calls/{id}/record_stop", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = Option<CallCommandRequest>,
    responses((status = 202, description = "it is ordered", body = RecordAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn record_stop(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    act_plainly(&api, &caller, &id, &body, (RecordWish::Stop, "stopped")).await
}
