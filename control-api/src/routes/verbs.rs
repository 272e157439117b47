//! What else is done with a live call: `/v1/calls/{id}/answer`, `bridge`, `park`, `consult`, `merge`, `say`, `collect`.

use super::conduct::{done, join_as, known};
use super::{Answer, Api};
use crate::auth::{Caller, Scope};
use crate::extract::{Checks, JsonBody, path_id};
use crate::gateway::Gateway;
use crate::problem::{Code, Problem, ProblemBody};
use crate::prompts::PromptContent;
use crate::wire::call::{CallCommandAccepted, CallCommandRequest};
use crate::wire::conduct::{
    BridgeRequest, CollectRequest, JoinRequest, ParkRequest, ParticipantAccepted, SayRequest, Sides,
};
use axum::extract::{Path, State};
use dialer_core::participant::CallWish;
use sha2::{Digest, Sha256};

const WRITE: &[Scope] = &[Scope::CallsWrite];
/// What is said is kept as prompts of this name; so many of them.
const SAID: &str = "said_";
const SAID_MAX: usize = 256;

/// Answers a call that came in and rings, at once. Told by `call.answered`. 409 `invalid_call_state` for any other.
#[utoipa::path(
    post, path = "/v1/calls/{id}/answer", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = Option<CallCommandRequest>,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn answer(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    let command_id = body.parse_or_default::<CallCommandRequest>()?.command_id;
    done(&api, &id, CallWish::Answer, command_id).await
}

/// Sets the customer aside: the agent is free, the customer hears the tune of hold until `bridge` gives them to an agent. Told
/// by `call.unbridged`. 409 `invalid_call_state` unless customer and agent are joined, or while others take part.
#[utoipa::path(
    post, path = "/v1/calls/{id}/park", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = Option<ParkRequest>,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn park(State(api): Api, caller: Caller, Path(id): Path<String>, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let ParkRequest { timeout_ms, command_id } = body.parse_or_default()?;
    let mut checks = Checks::default();
    checks.range(timeout_ms, 1_000, 3_600_000, "/timeout_ms");
    checks.finish()?;
    done(&api, &id, CallWish::Park { timeout_ms }, command_id).await
}

/// Gives a customer who has answered and waits, or who is parked, to an agent who is ready. Told by `call.agent_offered`, then `call.bridged`
/// or `agent.missed_offer`. 409 `invalid_call_state` while the customer rings, or talks already.
#[utoipa::path(
    post, path = "/v1/calls/{id}/bridge", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = Option<BridgeRequest>,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn bridge(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    let BridgeRequest { agent_id, command_id } = body.parse_or_default()?;
    let there = agent_id.is_none_or(|agent| api.read_model.agent(agent).is_some());
    let mut checks = Checks::default();
    checks.that(there, "/agent_id", "there is no such agent");
    checks.finish()?;
    done(&api, &id, CallWish::Bridge(agent_id), command_id).await
}

/// Lets the agent talk with someone else while the customer is held: the first step of an attended transfer, or of a
/// conference. If that one is gone again before `merge`, the customer is taken back from hold.
#[utoipa::path(
    post, path = "/v1/calls/{id}/consult", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = JoinRequest,
    responses((status = 202, body = ParticipantAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn consult(
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
    join_as(&api, &id, None, CallWish::Consult(joining), command_id).await
}

/// Takes the customer back after `consult`: all three talk. Told by `call.resumed`. 409 `invalid_call_state` while nobody who
/// was asked in has answered.
#[utoipa::path(
    post, path = "/v1/calls/{id}/merge", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = Option<CallCommandRequest>,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn merge(State(api): Api, caller: Caller, Path(id): Path<String>, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let command_id = body.parse_or_default::<CallCommandRequest>()?.command_id;
    done(&api, &id, CallWish::Merge, command_id).await
}

/// Says a text into the talk, as `play` plays a prompt. 409 if no engine speaks.
#[utoipa::path(
    post, path = "/v1/calls/{id}/say", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = SayRequest,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn say(State(api): Api, caller: Caller, Path(id): Path<String>, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let SayRequest { text, voice, to, command_id } = body.parse()?;
    let mut checks = Checks::default();
    checks.text(&text, 4_000, "/text");
    checks.finish()?;
    let call = path_id(&id, "call")?;
    let view = api.read_model.call(call);
    if view.is_none() {
        super::calls::not_over(&api, call).await?;
        return Err(Problem::not_found("call"));
    }
    let prompt = spoken(&api, text, voice).await?;
    done(&api, &id, CallWish::Play { to: to.unwrap_or(Sides::Customer).into(), prompt }, command_id).await
}

/// The prompt that says a text: made once, kept as long as there are not too many.
async fn spoken(api: &Gateway, text: String, voice: Option<String>) -> Result<String, Problem> {
    let shelf = api.prompts().ok_or_else(|| Problem::new(Code::Conflict, "no engine speaks"))?;
    let mut hash = Sha256::new();
    hash.update(voice.as_deref().unwrap_or_default());
    hash.update([0]);
    hash.update(&text);
    let name = hash.finalize()[..16].iter().fold(SAID.to_owned(), |name, byte| format!("{name}{byte:02x}"));
    if shelf.get(&name).is_some() {
        return Ok(name);
    }
    let mut said: Vec<_> = shelf.list().into_iter().filter(|info| info.name.starts_with(SAID)).collect();
    said.sort_by_key(|info| info.changed_at);
    for old in said.iter().rev().skip(SAID_MAX - 1) {
        // One that cannot be taken away stays.
        let _ = shelf.delete(old.name.clone()).await;
    }
    let content = PromptContent::Text { text, voice };
    let made = shelf.put(name, content).await.map_err(|fault| fault.problem("/text"))?;
    Ok(made.name)
}

/// Takes in digits that the customer presses. Told by `call.collected`, with the digits. 409 `invalid_call_state` unless
/// customer and agent are joined.
#[utoipa::path(
    post, path = "/v1/calls/{id}/collect", tag = "calls",
    params(("id" = String, Path, description = "`call_…`"), ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = Option<CollectRequest>,
    responses((status = 202, body = CallCommandAccepted), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:write"]))
)]
pub(crate) async fn collect(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    let request: CollectRequest = body.parse_or_default()?;
    let command_id = request.command_id.clone();
    let wish = request.into_collect()?;
    if let Some(prompt) = wish.prompt.as_deref() {
        api.needs_prompts(&[("/prompt".to_owned(), prompt)], &[])?;
    }
    done(&api, &id, CallWish::Collect(wish), command_id).await
}
