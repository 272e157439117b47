//! `/v1/calls`.

use super::cdrs::direction_of;
use super::{Answer, Api, odd_reply};
use crate::auth::{Caller, Scope};
use crate::extract::{Checks, JsonBody, Params, path_id};
use crate::gateway::Gateway;
use crate::page::{PageBody, cut};
use crate::problem::{Code, Problem, ProblemBody};
use crate::time::Time;
use crate::wire::call::{
    Call, CallAccepted, CallCommandAccepted, CallCommandRequest, CallState, DispositionRequest,
    OriginateRequest, RedialRequest,
};
use crate::wire::leg::legs;
use crate::wire::trace::CallTrace;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{HeaderValue, LOCATION};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use dialer_core::id::Kind;
use dialer_core::record::Lead;
use dialer_core::{AgentId, CallId, CampaignId, Command, Reply};
use serde::Deserialize;

const READ: &[Scope] = &[Scope::CallsRead];
const WRITE: &[Scope] = &[Scope::CallsWrite];

/// Shows live calls. Those that ended are in `/v1/cdrs`.
#[utoipa::path(
    get, path = "/v1/calls", tag = "calls",
    params(
        ("state" = Option<String>, Query, description = "`live` (the default), or one state of a live call"),
        ("campaign" = Option<String>, Query, description = "of this campaign"),
        ("agent" = Option<String>, Query, description = "of this agent"),
        ("direction" = Option<String>, Query, description = "`outbound`, `inbound` or `transit`"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("include" = Option<String>, Query, description = "`total`"),
    ),
    responses((status = 200, body = PageBody<Call>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:read"]))
)]
pub(crate) async fn list(State(api): Api, caller: Caller, uri: Uri, params: Params) -> Answer {
    caller.needs(READ)?;
    params.only(&["state", "campaign", "agent", "direction", "limit", "cursor", "include"])?;
    let campaign: Option<CampaignId> = params.id("campaign")?;
    let agent: Option<AgentId> = params.id("agent")?;
    let direction = direction_of(&params)?;
    let state =
        params.read("state", "live or a state of a live call; for ended calls see /v1/cdrs", |text| {
            if text == "live" {
                return Some(None);
            }
            let state = CallState::deserialize(
                serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text),
            );
            state.ok().filter(|state| *state != CallState::Ended).map(Some)
        })?;
    let state = state.flatten();
    let mut calls = api.read_model.calls();
    calls.retain(|call| {
        campaign.is_none_or(|id| call.campaign == Some(id))
            && agent.is_none_or(|id| call.agent == Some(id))
            && direction.is_none_or(|direction| direction.kinds().contains(&call.kind))
            && state.is_none_or(|state| CallState::from(call.state) == state)
    });
    let mask = caller.mask();
    cut(
        &uri,
        &params,
        calls,
        |call| call.id,
        |call| Call::live(call, &api.read_model.variables(call.id), mask),
    )
}

/// Calls a number for an agent, agent first.
#[utoipa::path(
    post, path = "/v1/calls", tag = "calls",
    params(("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = OriginateRequest,
    responses((status = 202, body = CallAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn originate(State(api): Api, caller: Caller, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let request: OriginateRequest = body.parse()?;
    if request.compliance_override.is_some() {
        caller.needs(&[Scope::ComplianceOverride])?;
    }
    place_call(&api, &caller, request).await
}

/// Calls the number of an ended call again, or another number of its lead, agent first. With a lead it counts as an
/// attempt of it.
#[utoipa::path(
    post, path = "/v1/calls/{id}:redial", tag = "calls",
    params(
        ("id" = String, Path, description = "`call_…`"),
        ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h"),
    ),
    request_body = Option<RedialRequest>,
    responses((status = 202, body = CallAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn redial(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    let request: RedialRequest = body.parse_or_default()?;
    let id: CallId = path_id(&id, "call")?;
    let live = api.read_model.call(id);
    let row = match &live {
        Some(_) => None,
        None => api.store(move |store| store.record(id)).await?,
    };
    let Some(row) = row else {
        return Err(match live {
            Some(_) => Problem::new(Code::InvalidCallState, "the call is not over").with("state", "live"),
            None => Problem::not_found("call"),
        });
    };
    let agent = request.agent_id.or(row.record.agent);
    let agent = agent.ok_or_else(|| Problem::field("/agent_id", "the call had no agent: say who redials"))?;
    let mut wanted = request.originate(&row.record, agent);
    // The campaign or the lead may be gone by now; the number is still there.
    wanted.campaign_id = wanted.campaign_id.filter(|id| api.read_model.campaign(*id).is_some());
    if let Some(lead) = wanted.lead_id
        && wanted.phone.is_none()
        && api.store(move |store| store.lead(lead)).await?.is_none()
    {
        wanted.lead_id = None;
    }
    place_call(&api, &caller, wanted).await
}

/// The lead that has a number: what forbids a call to a lead forbids one to its number, whoever does not say whose it is.
pub(super) async fn lead_of_number(api: &Gateway, number: String) -> Result<Option<Box<Lead>>, Problem> {
    let memory = api.store(move |store| store.recall_caller(&[number], "")).await?;
    Ok(memory.lead.map(Box::new))
}

async fn place_call(api: &Gateway, caller: &Caller, request: OriginateRequest) -> Answer {
    let lead = match request.lead_id {
        None => None,
        Some(id) => {
            let found = api.store(move |store| store.lead(id)).await?;
            Some(found.ok_or_else(|| Problem::field("/lead_id", "there is no such lead"))?)
        }
    };
    let (mut command, variables) = request.into_command(api.config.default_region.as_deref(), lead)?;
    let mut checks = Checks::default();
    checks.that(api.read_model.agent(command.agent).is_some(), "/agent_id", "there is no such agent");
    let trunk_known = command.trunk.is_none_or(|id| api.read_model.trunk(id).is_some());
    checks.that(trunk_known, "/trunk_id", "there is no such trunk");
    let campaign_known = command.campaign.is_none_or(|id| api.read_model.campaign(id).is_some());
    checks.that(campaign_known, "/campaign_id", "there is no such campaign");
    checks.finish()?;
    if let Some(prompt) = command.notice.as_deref() {
        api.needs_prompts(&[("/record/announce".to_owned(), prompt)], &[])?;
    }
    if command.lead.is_none() {
        command.known = lead_of_number(api, command.to.clone()).await?;
    }
    let (agent, client_state) = (command.agent, command.client_state.clone());
    let Reply::Call(id) = api.command(Command::Originate(command)).await? else {
        return Err(odd_reply());
    };
    api.read_model.set_variables(id, variables);
    let view = api.read_model.call(id);
    let accepted = CallAccepted {
        id: id.to_string(),
        state: view.as_ref().map_or(CallState::Queued, |view| view.state.into()),
        legs: view.as_ref().map(|view| legs(view)).unwrap_or_default(),
        agent_id: agent.to_string(),
        client_state: caller.mask().text_option(client_state.as_deref()),
        created_at: Time(view.map_or_else(|| api.now(), |view| view.started_at)),
    };
    let mut response = (StatusCode::ACCEPTED, Json(accepted)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/calls/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Shows a call, live or ended.
#[utoipa::path(
    get, path = "/v1/calls/{id}", tag = "calls", params(("id" = String, Path, description = "`call_…`")),
    responses((status = 200, body = Call), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:read"]))
)]
pub(crate) async fn show(State(api): Api, caller: Caller, Path(id): Path<String>) -> Answer {
    caller.needs(READ)?;
    let id: CallId = path_id(&id, "call")?;
    let mask = caller.mask();
    if let Some(view) = api.read_model.call(id) {
        return Ok(Json(Call::live(&view, &api.read_model.variables(id), mask)).into_response());
    }
    let row = api.store(move |store| store.record(id)).await?.ok_or_else(|| Problem::not_found("call"))?;
    Ok(Json(Call::ended(&row, mask)).into_response())
}

/// Shows the SIP messages of a call, live or recent: both legs, with times.
#[utoipa::path(
    get, path = "/v1/calls/{id}/trace", tag = "calls", params(("id" = String, Path, description = "`call_…`")),
    responses((status = 200, body = CallTrace), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:read"]))
)]
pub(crate) async fn trace(State(api): Api, caller: Caller, Path(id): Path<String>, params: Params) -> Answer {
    caller.needs(READ)?;
    params.only(&[])?;
    let id: CallId = path_id(&id, "call")?;
    let messages = api.trace(id).await;
    if messages.is_empty()
        && api.read_model.call(id).is_none()
        && api.store(move |store| store.record(id)).await?.is_none()
    {
        return Err(Problem::not_found("call"));
    }
    Ok(Json(CallTrace::new(id, messages, caller.mask())).into_response())
}

struct CommandKind;
impl Kind for CommandKind {
    const PREFIX: &'static str = "cmd";
}

/// Refuses to do something with a call that has a record already. One that was never heard of is the dialer's to refuse.
pub(super) async fn not_over(api: &Gateway, id: CallId) -> Result<(), Problem> {
    if api.read_model.call(id).is_none() && api.store(move |store| store.record(id)).await?.is_some() {
        return Err(Problem::new(Code::InvalidCallState, "the call is over").with("state", "ended"));
    }
    Ok(())
}

/// Has a command to a live call carried out. Without a name of the client's it gets one, by which its outcome is told.
pub(super) async fn tracked(
    api: &Gateway,
    call: CallId,
    command: Command,
    command_id: Option<String>,
) -> Result<(Reply, String), Problem> {
    let mut checks = Checks::default();
    if let Some(command) = &command_id {
        checks.text(command, 128, "/command_id");
    }
    checks.finish()?;
    not_over(api, call).await?;
    let name = command_id.unwrap_or_else(|| api.new_id::<CommandKind>().to_string());
    let reply = api.command(Command::Tracked { name: name.clone(), command: Box::new(command) }).await?;
    Ok((reply, name))
}

/// A command to a call was taken.
pub(super) fn accepted(call: CallId, command_id: String) -> Response {
    (StatusCode::ACCEPTED, Json(CallCommandAccepted { command_id, call_id: call.to_string() }))
        .into_response()
}

/// Ends a call. Told by `command.completed`, then `call.ended`.
#[utoipa::path(
    post, path = "/v1/calls/{id}/hangup", tag = "calls", params(("id" = String, Path, description = "`call_…`")),
    request_body = Option<CallCommandRequest>,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn hangup(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    let request: CallCommandRequest = body.parse_or_default()?;
    let id: CallId = path_id(&id, "call")?;
    let (_, command_id) = tracked(&api, id, Command::Hangup(id), request.command_id).await?;
    Ok(accepted(id, command_id))
}

/// Says how a call went; ends the agent's after-call work.
#[utoipa::path(
    post, path = "/v1/calls/{id}/disposition", tag = "calls", params(("id" = String, Path, description = "`call_…`")),
    request_body = DispositionRequest,
    responses((status = 204), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn disposition(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(&[Scope::CallsWrite, Scope::AgentsWrite])?;
    let said = body.parse::<DispositionRequest>()?.checked()?;
    let call: CallId = path_id(&id, "call")?;
    api.command(Command::SetDisposition { call, said: said.into_said() }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
