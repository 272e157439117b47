//! What is done with a live call: `/v1/calls/{id}/supervise`, `participants`, and its verbs.

use super::calls::{accepted, not_over, tracked};
use super::{Answer, Api, odd_reply};
use crate::auth::{Caller, Scope};
use crate::extract::{Checks, JsonBody, path_id};
use crate::gateway::Gateway;
use crate::page::PageBody;
use crate::problem::{Code, Problem, ProblemBody};
use crate::wire::call::{CallCommandAccepted, CallCommandRequest};
use crate::wire::conduct::{
    DtmfRequest, JoinRequest, MuteRequest, Participant, ParticipantAccepted, PlayRequest, Side, Sides,
    StopPlayRequest, SupervisionChange, SupervisionRequest,
};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use dialer_core::participant::{CallWish, Joining, SupervisionMode as CoreMode, Target};
use dialer_core::{CallId, Command, LegId, Reply};

const READ: &[Scope] = &[Scope::CallsRead];
const WRITE: &[Scope] = &[Scope::CallsWrite];
const SUPERVISE: &[Scope] = &[Scope::CallsSupervise];
/// Length of a digit, milliseconds, where none is asked for.
const DIGIT_MS: u32 = 100;

/// Wishes something of a live call whose outcome needs no name.
async fn wish(api: &Gateway, call: CallId, wish: CallWish) -> Result<Reply, Problem> {
    not_over(api, call).await?;
    api.command(Command::Call { call, wish }).await
}

/// Wishes something of a live call under a name, the client's or a new one, by which its outcome is told.
pub(super) async fn wish_named(
    api: &Gateway,
    call: CallId,
    wish: CallWish,
    command_id: Option<String>,
) -> Result<(Reply, String), Problem> {
    tracked(api, call, Command::Call { call, wish }, command_id).await
}

pub(super) async fn done(api: &Gateway, id: &str, act: CallWish, command_id: Option<String>) -> Answer {
    let call: CallId = path_id(id, "call")?;
    let (_, command_id) = wish_named(api, call, act, command_id).await?;
    Ok(accepted(call, command_id))
}

/// Checks what the views can tell before the dialer is asked, and adds whose the number is.
pub(super) async fn known(api: &Gateway, caller: &Caller, joining: Joining) -> Result<Joining, Problem> {
    if joining.override_reason.is_some() {
        caller.needs(&[Scope::ComplianceOverride])?;
    }
    let mut checks = Checks::default();
    if let Target::Agent(agent) = &joining.target {
        checks.that(api.read_model.agent(*agent).is_some(), "/agent_id", "there is no such agent");
    }
    let trunk_known = joining.trunk.is_none_or(|id| api.read_model.trunk(id).is_some());
    checks.that(trunk_known, "/trunk_id", "there is no such trunk");
    checks.finish()?;
    let Target::Number(number) = &joining.target else { return Ok(joining) };
    let known = super::calls::lead_of_number(api, number.clone()).await?;
    Ok(Joining { known, ..joining })
}

async fn join(api: &Gateway, id: &str, joining: Joining, command_id: Option<String>) -> Answer {
    join_as(api, id, joining.mode, CallWish::Join(joining), command_id).await
}

/// Calls someone in by a wish that is answered with their leg.
pub(super) async fn join_as(
    api: &Gateway,
    id: &str,
    mode: Option<CoreMode>,
    wish: CallWish,
    command_id: Option<String>,
) -> Answer {
    let call: CallId = path_id(id, "call")?;
    let (reply, command_id) = wish_named(api, call, wish, command_id).await?;
    let Reply::Leg(leg) = reply else { return Err(odd_reply()) };
    let body = ParticipantAccepted {
        leg_id: leg.to_string(),
        call_id: call.to_string(),
        mode: mode.map(Into::into),
        command_id,
    };
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// The mode of a live participant: `None`, a third party.
fn mode_of(api: &Gateway, call: CallId, leg: LegId) -> Result<Option<CoreMode>, Problem> {
    let view = api.read_model.call(call).ok_or_else(|| Problem::not_found("call"))?;
    let found = view.participants.iter().find(|participant| participant.leg == leg);
    found.map(|participant| participant.mode).ok_or_else(|| Problem::not_found("participant"))
}

/// Lets a supervisor hear a call, talk to its agent or to all, or take it over. Told by `call.supervised`,
/// `call.supervision_changed` and, once, `call.supervision_ended`. The same agent once more changes the mode.
#[utoipa::path(
    post, path = "/v1/calls/{id}/supervise", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = SupervisionRequest,
    responses((status = 202, body = ParticipantAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:supervise"]))
)]
pub(crate) async fn supervise(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(SUPERVISE)?;
    let request: SupervisionRequest = body.parse()?;
    let (mode, command_id) = (request.mode.into(), request.command_id.clone());
    let joining =
        JoinRequest::from(request).into_joining(Some(mode), api.config.default_region.as_deref())?;
    let joining = known(&api, &caller, joining).await?;
    join(&api, &id, joining, command_id).await
}

/// Changes how a supervisor takes part, at once.
#[utoipa::path(
    patch, path = "/v1/calls/{id}/supervise/{leg_id}", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("leg_id" = String, Path, description = "`leg_…`")),
    request_body = SupervisionChange,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:supervise"]))
)]
pub(crate) async fn change_supervision(
    State(api): Api,
    caller: Caller,
    Path((id, leg)): Path<(String, String)>,
    body: JsonBody,
) -> Answer {
    caller.needs(SUPERVISE)?;
    let change: SupervisionChange = body.parse()?;
    let (call, leg): (CallId, LegId) = (path_id(&id, "call")?, path_id(&leg, "participant")?);
    let wanted = CallWish::SetMode { leg, mode: change.mode.into() };
    let (_, command_id) = wish_named(&api, call, wanted, change.command_id).await?;
    Ok(accepted(call, command_id))
}

/// Ends a supervision: hangs up on the supervisor, or no longer rings.
#[utoipa::path(
    delete, path = "/v1/calls/{id}/supervise/{leg_id}", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("leg_id" = String, Path, description = "`leg_…`")),
    responses((status = 204), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:supervise"]))
)]
pub(crate) async fn end_supervision(
    State(api): Api,
    caller: Caller,
    Path((id, leg)): Path<(String, String)>,
) -> Answer {
    caller.needs(SUPERVISE)?;
    let (call, leg): (CallId, LegId) = (path_id(&id, "call")?, path_id(&leg, "participant")?);
    if mode_of(&api, call, leg)?.is_none() {
        return Err(Problem::not_found("supervisor"));
    }
    wish(&api, call, CallWish::Drop(leg)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Ends all supervision of a call.
#[utoipa::path(
    delete, path = "/v1/calls/{id}/supervise", tag = "calls",
    params(("id" = String, Path, description = "`call_…`")),
    responses((status = 204), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:supervise"]))
)]
pub(crate) async fn end_all_supervision(State(api): Api, caller: Caller, Path(id): Path<String>) -> Answer {
    caller.needs(SUPERVISE)?;
    let call: CallId = path_id(&id, "call")?;
    let view = api.read_model.call(call).ok_or_else(|| Problem::not_found("call"))?;
    let supervisors: Vec<LegId> =
        view.participants.iter().filter(|one| one.mode.is_some()).map(|one| one.leg).collect();
    if supervisors.is_empty() {
        return Err(Problem::not_found("supervisor"));
    }
    for leg in supervisors {
        if let Err(problem) = wish(&api, call, CallWish::Drop(leg)).await
            // Else it is gone by itself meanwhile.
            && problem.code() != Code::NotFound
        {
            return Err(problem);
        }
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Shows who takes part in a live call besides customer and agent.
#[utoipa::path(
    get, path = "/v1/calls/{id}/participants", tag = "calls",
    params(("id" = String, Path, description = "`call_…`")),
    responses((status = 200, body = PageBody<Participant>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:read"]))
)]
pub(crate) async fn participants(State(api): Api, caller: Caller, Path(id): Path<String>) -> Answer {
    caller.needs(READ)?;
    let call: CallId = path_id(&id, "call")?;
    let view = api.read_model.call(call).ok_or_else(|| Problem::not_found("call"))?;
    let mask = caller.mask();
    let data: Vec<Participant> = view.participants.iter().map(|one| Participant::new(one, mask)).collect();
    Ok(Json(PageBody { data, next_cursor: None, total: None }).into_response())
}

/// Calls a third party into a call: an agent's phone, or a number, by the rules of compliance that hold for every call.
/// Told by `call.participant_added`, `call.participant_joined` and, once, `call.participant_left`.
#[utoipa::path(
    post, path = "/v1/calls/{id}/participants", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = JoinRequest,
    responses((status = 202, body = ParticipantAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn add_participant(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    let request: JoinRequest = body.parse()?;
    let command_id = request.command_id.clone();
    let joining = request.into_joining(None, api.config.default_region.as_deref())?;
    let joining = known(&api, &caller, joining).await?;
    join(&api, &id, joining, command_id).await
}

/// Hangs up on a third party, or no longer rings it.
#[utoipa::path(
    delete, path = "/v1/calls/{id}/participants/{leg_id}", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("leg_id" = String, Path, description = "`leg_…`")),
    responses((status = 204), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn remove_participant(
    State(api): Api,
    caller: Caller,
    Path((id, leg)): Path<(String, String)>,
) -> Answer {
    caller.needs(WRITE)?;
    let (call, leg): (CallId, LegId) = (path_id(&id, "call")?, path_id(&leg, "participant")?);
    if mode_of(&api, call, leg)?.is_some() {
        caller.needs(SUPERVISE)?;
    }
    wish(&api, call, CallWish::Drop(leg)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Puts the customer on hold: who hears music, and is heard by nobody. Told by `call.held`; holding twice is holding.
#[utoipa::path(
    post, path = "/v1/calls/{id}/hold", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = Option<CallCommandRequest>,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn hold(State(api): Api, caller: Caller, Path(id): Path<String>, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let command_id = body.parse_or_default::<CallCommandRequest>()?.command_id;
    done(&api, &id, CallWish::Hold(true), command_id).await
}

/// Takes the customer back from hold. Told by `call.resumed`.
#[utoipa::path(
    post, path = "/v1/calls/{id}/unhold", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = Option<CallCommandRequest>,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn unhold(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    let command_id = body.parse_or_default::<CallCommandRequest>()?.command_id;
    done(&api, &id, CallWish::Hold(false), command_id).await
}

/// Lets nobody hear a side of the call, the agent if none is named, nor a recording. Told by `call.muted`.
#[utoipa::path(
    post, path = "/v1/calls/{id}/mute", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = Option<MuteRequest>,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn mute(State(api): Api, caller: Caller, Path(id): Path<String>, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let MuteRequest { party, command_id } = body.parse_or_default()?;
    let party = party.unwrap_or(Side::Agent).into();
    done(&api, &id, CallWish::Mute { party, muted: true }, command_id).await
}

/// Lets all hear a side of the call again. Told by `call.unmuted`.
#[utoipa::path(
    post, path = "/v1/calls/{id}/unmute", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = Option<MuteRequest>,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn unmute(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    let MuteRequest { party, command_id } = body.parse_or_default()?;
    let party = party.unwrap_or(Side::Agent).into();
    done(&api, &id, CallWish::Mute { party, muted: false }, command_id).await
}

/// Presses digits for a side to hear: as events (RFC 4733), or as tones where it does not take those.
#[utoipa::path(
    post, path = "/v1/calls/{id}/dtmf", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = DtmfRequest,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn dtmf(State(api): Api, caller: Caller, Path(id): Path<String>, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let DtmfRequest { digits, to, duration_ms, command_id } = body.parse()?;
    let to = to.unwrap_or(Side::Customer).into();
    let duration_ms = duration_ms.unwrap_or(DIGIT_MS);
    done(&api, &id, CallWish::Press { to, digits, duration_ms }, command_id).await
}

/// Plays a prompt into the talk; who is to hear it hears nothing else meanwhile.
#[utoipa::path(
    post, path = "/v1/calls/{id}/play", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = PlayRequest,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn play(State(api): Api, caller: Caller, Path(id): Path<String>, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let PlayRequest { prompt, to, command_id } = body.parse()?;
    let mut checks = Checks::default();
    checks.text(&prompt, 128, "/prompt");
    checks.finish()?;
    api.needs_prompts(&[("/prompt".to_owned(), prompt.as_str())], &[])?;
    let to = to.unwrap_or(Sides::Customer).into();
    done(&api, &id, CallWish::Play { to, prompt }, command_id).await
}

/// Ends a prompt that is played into the talk.
#[utoipa::path(
    post, path = "/v1/calls/{id}/stop_play", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = Option<StopPlayRequest>,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn stop_play(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    let StopPlayRequest { to, command_id } = body.parse_or_default()?;
    done(&api, &id, CallWish::StopPlay(to.unwrap_or(Sides::Both).into()), command_id).await
}

/// Presses digits, as `dtmf` does.
#[utoipa::path(
    post, path = "/v1/calls/{id}/send_dtmf", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = DtmfRequest,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn send_dtmf(state: Api, caller: Caller, path: Path<String>, body: JsonBody) -> Answer {
    dtmf(state, caller, path, body).await
}

/// Gives the customer to someone else: the agent stays until that one answers and is free then. Told by
/// `call.transferred` or `call.transfer_failed`.
#[utoipa::path(
    post, path = "/v1/calls/{id}/transfer", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = JoinRequest,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn transfer(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    let request: JoinRequest = body.parse()?;
    let command_id = request.command_id.clone();
    let joining = request.into_joining(None, api.config.default_region.as_deref())?;
    let joining = known(&api, &caller, joining).await?;
    done(&api, &id, CallWish::Transfer(joining), command_id).await
}
