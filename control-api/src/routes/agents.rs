//! `/v1/agents`.

use super::{Answer, Api, Empty, created, found, odd_reply, patch};
use crate::auth::{Caller, Scope};
use crate::extract::{IfMatch, JsonBody, Params, path_id};
use crate::gateway::Gateway;
use crate::page::{PAGE_PARAMETERS, PageBody, cut};
use crate::problem::{Problem, ProblemBody};
use crate::wire::agent::{Agent, AgentRequest, LoginRequest, PauseRequest, Task, TaskDialRequest};
use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use dialer_core::config::AgentConfig;
use dialer_core::{AgentId, Command, Reply, TaskId};

const READ: &[Scope] = &[Scope::Supervise, Scope::AgentsWrite, Scope::CampaignsRead, Scope::CampaignsWrite];
const WRITE: &[Scope] = &[Scope::AgentsWrite];

/// Lists agents.
#[utoipa::path(
    get, path = "/v1/agents", tag = "agents",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("include" = Option<String>, Query, description = "`total`"),
    ),
    responses((status = 200, body = PageBody<Agent>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["supervise"]))
)]
pub(crate) async fn list(
    State(api): Api,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    params: Params,
) -> Answer {
    caller.needs(READ)?;
    params.only(&PAGE_PARAMETERS)?;
    let mask = caller.mask();
    cut(&uri, &params, api.read_model.agents(), |view| view.row.id, |view| Agent::new(view, mask))
}

/// Makes an agent.
#[utoipa::path(
    post, path = "/v1/agents", tag = "agents",
    params(("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = AgentRequest,
    responses((status = 201, body = Agent), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["agents:write"]))
)]
pub(crate) async fn create(State(api): Api, caller: Caller, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let config = AgentConfig::try_from(body.parse::<AgentRequest>()?)?;
    let Reply::Agent(id, version) = api.command(Command::CreateAgent(config)).await? else {
        return Err(odd_reply());
    };
    let view = api.view(|model| model.agent(id).filter(|view| view.row.version >= version)).await?;
    Ok(created(format!("/v1/agents/{id}"), view.row.version, &Agent::new(&view, caller.mask())))
}

/// Shows an agent.
#[utoipa::path(
    get, path = "/v1/agents/{id}", tag = "agents", params(("id" = String, Path, description = "`agt_…`")),
    responses((status = 200, body = Agent), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["supervise"]))
)]
pub(crate) async fn show(State(api): Api, caller: Caller, Path(id): Path<String>, params: Params) -> Answer {
    caller.needs(READ)?;
    params.only(&[])?;
    let id: AgentId = path_id(&id, "agent")?;
    let view = api.read_model.agent(id).ok_or_else(|| Problem::not_found("agent"))?;
    Ok(found(view.row.version, &Agent::new(&view, caller.mask())))
}

/// Changes an agent (JSON Merge Patch). A password that is not named stays as it is.
#[utoipa::path(
    patch, path = "/v1/agents/{id}", tag = "agents",
    params(
        ("id" = String, Path, description = "`agt_…`"),
        ("If-Match" = Option<String>, Header, description = "the version meant, `\"v3\"`"),
    ),
    request_body(content = AgentRequest, content_type = "application/merge-patch+json", description = "any part of it"),
    responses((status = 200, body = Agent), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["agents:write"]))
)]
pub(crate) async fn change(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    let id: AgentId = path_id(&id, "agent")?;
    let if_match = IfMatch::from_headers(&headers)?;
    let view = patch::apply(
        &api,
        &if_match,
        "agent",
        |model| model.agent(id),
        |view, if_version| {
            let mut current = AgentRequest::from(&view.row.config);
            current.password = Some(view.row.config.password.clone()).filter(|password| !password.is_empty());
            let config = AgentConfig::try_from(body.merged(&current)?)?;
            Ok(Command::UpdateAgent { agent: id, config, if_version })
        },
    )
    .await?;
    Ok(found(view.row.version, &Agent::new(&view, caller.mask())))
}

/// Deletes an agent who is logged out.
#[utoipa::path(
    delete, path = "/v1/agents/{id}", tag = "agents",
    params(
        ("id" = String, Path, description = "`agt_…`"),
        ("If-Match" = Option<String>, Header, description = "the version meant, `\"v3\"`"),
    ),
    responses((status = 204), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["agents:write"]))
)]
pub(crate) async fn delete(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    caller.needs(WRITE)?;
    let id: AgentId = path_id(&id, "agent")?;
    let view = api.read_model.agent(id).ok_or_else(|| Problem::not_found("agent"))?;
    IfMatch::from_headers(&headers)?.check(view.row.version)?;
    api.command(Command::DeleteAgent(id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Carries out a command on an agent and shows what became of it.
async fn act(api: &Gateway, caller: &Caller, id: &str, command: impl FnOnce(AgentId) -> Command) -> Answer {
    let id: AgentId = path_id(id, "agent")?;
    if api.read_model.agent(id).is_none() {
        return Err(Problem::not_found("agent"));
    }
    api.command(command(id)).await?;
    let view = api.read_model.agent(id).ok_or_else(|| Problem::not_found("agent"))?;
    Ok(found(view.row.version, &Agent::new(&view, caller.mask())))
}

/// Logs an agent in. With a nailed-up session the phone is called now and stays connected.
#[utoipa::path(
    post, path = "/v1/agents/{id}:login", tag = "agents", params(("id" = String, Path, description = "`agt_…`")),
    request_body = Option<LoginRequest>,
    responses((status = 200, body = Agent), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["agents:write"]))
)]
pub(crate) async fn login(State(api): Api, caller: Caller, Path(id): Path<String>, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let session = body.parse_or_default::<LoginRequest>()?.session.map(Into::into).unwrap_or_default();
    let answer = act(&api, &caller, &id, |agent| Command::AgentLogin { agent, session }).await?;
    api.put_down(&caller, "agent.logged_in", id, None).await;
    Ok(answer)
}

/// Logs an agent out, after the call under way.
#[utoipa::path(
    post, path = "/v1/agents/{id}:logout", tag = "agents", params(("id" = String, Path, description = "`agt_…`")),
    responses((status = 200, body = Agent), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["agents:write"]))
)]
pub(crate) async fn logout(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    body.parse_or_default::<Empty>()?;
    let answer = act(&api, &caller, &id, Command::AgentLogout).await?;
    api.put_down(&caller, "agent.logged_out", id, None).await;
    Ok(answer)
}

/// Ends a break or after-call work.
#[utoipa::path(
    post, path = "/v1/agents/{id}:ready", tag = "agents", params(("id" = String, Path, description = "`agt_…`")),
    responses((status = 200, body = Agent), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["agents:write"]))
)]
pub(crate) async fn ready(State(api): Api, caller: Caller, Path(id): Path<String>, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    body.parse_or_default::<Empty>()?;
    act(&api, &caller, &id, Command::AgentReady).await
}

/// Sends an agent on a break, after the call under way.
#[utoipa::path(
    post, path = "/v1/agents/{id}:pause", tag = "agents", params(("id" = String, Path, description = "`agt_…`")),
    request_body = PauseRequest,
    responses((status = 200, body = Agent), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["agents:write"]))
)]
pub(crate) async fn pause(State(api): Api, caller: Caller, Path(id): Path<String>, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let code = body.parse::<PauseRequest>()?.checked()?;
    act(&api, &caller, &id, |agent| Command::AgentPause { agent, code }).await
}

/// Shows the preview task an agent looks at; 404 if there is none.
#[utoipa::path(
    get, path = "/v1/agents/{id}/task", tag = "tasks", params(("id" = String, Path, description = "`agt_…`")),
    responses((status = 200, body = Task), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["agents:write"]))
)]
pub(crate) async fn task(State(api): Api, caller: Caller, Path(id): Path<String>) -> Answer {
    caller.needs(READ)?;
    let id: AgentId = path_id(&id, "agent")?;
    let view = api.read_model.agent(id).ok_or_else(|| Problem::not_found("agent"))?;
    let task = view.task.as_ref().ok_or_else(|| Problem::not_found("task of this agent"))?;
    Ok(Json(Task::new(task, &id.to_string(), caller.mask())).into_response())
}

async fn act_on_task(api: &Gateway, id: &str, command: impl FnOnce(TaskId) -> Command) -> Answer {
    let id: TaskId = path_id(id, "task")?;
    api.command(command(id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Dials a preview task: the lead's next number, or another of its numbers.
#[utoipa::path(
    post, path = "/v1/tasks/{id}:dial", tag = "tasks", params(("id" = String, Path, description = "`task_…`")),
    request_body = Option<TaskDialRequest>,
    responses((status = 204), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["agents:write"]))
)]
pub(crate) async fn task_dial(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    let phone = body.parse_or_default::<TaskDialRequest>()?.phone;
    act_on_task(&api, &id, |task| Command::TaskDial { task, phone }).await
}

/// Gives a preview task back, if the campaign's `preview_skip` lets it.
#[utoipa::path(
    post, path = "/v1/tasks/{id}:skip", tag = "tasks", params(("id" = String, Path, description = "`task_…`")),
    responses((status = 204), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["agents:write"]))
)]
pub(crate) async fn task_skip(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    body.parse_or_default::<Empty>()?;
    act_on_task(&api, &id, Command::TaskSkip).await
}
