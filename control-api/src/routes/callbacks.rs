//! `/v1/callbacks`: promises to call customers again.

use super::{Answer, Api, created, found, odd_reply};
use crate::auth::{Caller, Scope};
use crate::extract::{IfMatch, JsonBody, Params, path_id};
use crate::gateway::Gateway;
use crate::page::{PageBody, page};
use crate::problem::{Problem, ProblemBody};
use crate::wire::callback::{Callback, CallbackChange, CallbackRequest};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use dialer_core::record::{Callback as Promise, Lead};
use dialer_core::{Command, LeadId, ListId, Reply};
use store::CallbackQuery;

const READ: &[Scope] = &[Scope::LeadsRead, Scope::LeadsWrite];
const WRITE: &[Scope] = &[Scope::LeadsWrite];

/// Shows callbacks, the one that is due first at the top.
#[utoipa::path(
    get, path = "/v1/callbacks", tag = "callbacks",
    params(
        ("agent" = Option<String>, Query, description = "that this agent is to make"),
        ("campaign" = Option<String>, Query, description = "that this campaign is to make"),
        ("list" = Option<String>, Query, description = "of leads of this list"),
        ("from" = Option<String>, Query, description = "due at or after (RFC 3339)"),
        ("to" = Option<String>, Query, description = "due before (RFC 3339)"),
        ("due" = Option<bool>, Query, description = "true: only those whose time has come"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = PageBody<Callback>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:read"]))
)]
pub(crate) async fn list(State(api): Api, caller: Caller, uri: Uri, params: Params) -> Answer {
    caller.needs(READ)?;
    params.only(&["agent", "campaign", "list", "from", "to", "due", "limit", "cursor"])?;
    let now = api.now();
    let to = params.time("to")?;
    // What is due at this moment is due.
    let due = params.flag("due")?.then(|| now.plus_millis(1));
    let query = CallbackQuery {
        agent: params.id("agent")?,
        campaign: params.id("campaign")?,
        list: known_list(&api, params.id("list")?)?,
        lists: own_lists(&api),
        from: params.time("from")?,
        to: [to, due].into_iter().flatten().min(),
        cursor: params.text("cursor").map(str::to_owned),
        limit: params.limit()?,
    };
    let found = api.store(move |store| store.callbacks(&query)).await?;
    let mask = caller.mask();
    let data = found.items.iter().filter_map(|lead| Callback::new(lead, now, mask)).collect();
    Ok(page(&uri, &params, PageBody { data, next_cursor: found.next_cursor, total: None }))
}

/// The lists of the tenant for whom the request is carried out; `None`: all there are.
fn own_lists(api: &Gateway) -> Option<Vec<ListId>> {
    crate::tenancy::tenant().map(|_| api.read_model.lists().iter().map(|list| list.id).collect())
}

fn known_list(api: &Gateway, list: Option<ListId>) -> Result<Option<ListId>, Problem> {
    match list {
        Some(list) if api.read_model.list(list).is_none() => Err(Problem::not_found("list")),
        list => Ok(list),
    }
}

async fn stored(api: &Gateway, id: LeadId) -> Result<Option<Lead>, Problem> {
    api.store(move |store| store.lead(id)).await
}

async fn known(api: &Gateway, id: &str) -> Result<(Lead, Promise), Problem> {
    let none = || Problem::not_found("callback");
    let lead = stored(api, path_id(id, "callback")?).await?.ok_or_else(none)?;
    let promise = lead.progress.callback.clone().ok_or_else(none)?;
    Ok((lead, promise))
}

/// What a command has made of a lead's callback: durable when it was answered.
async fn shown(api: &Gateway, caller: &Caller, id: LeadId) -> Result<Callback, Problem> {
    let lead = stored(api, id).await?;
    lead.and_then(|lead| Callback::new(&lead, api.now(), caller.mask()))
        .ok_or_else(|| Problem::not_found("callback"))
}

/// Puts down what was made of a callback: when and by whom, not what the notes say.
async fn put_down(api: &Gateway, caller: &Caller, action: &str, callback: &Callback) {
    let particulars = serde_json::json!({ "at": callback.at, "agent_id": callback.agent_id });
    api.put_down(caller, action, callback.id.clone(), Some(particulars)).await;
}

/// Promises a callback. A lead that was done with is dialled again; how often it was dialled before does not matter, its
/// calling windows, the limits of attempts per time, and do-not-call lists do.
#[utoipa::path(
    post, path = "/v1/callbacks", tag = "callbacks",
    params(("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = CallbackRequest,
    responses((status = 201, body = Callback), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:write"]))
)]
pub(crate) async fn create(State(api): Api, caller: Caller, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let (lead, change) = body.parse::<CallbackRequest>()?.parts();
    let unknown = || Problem::field("/lead_id", "expected the id of an existing lead");
    let id: LeadId = lead.parse().map_err(|_| unknown())?;
    let promise = Promise::try_from(change)?;
    let lead = stored(&api, id).await?.filter(|lead| api.read_model.list(lead.list).is_some());
    let lead = lead.ok_or_else(unknown)?;
    let request = dialer_core::CallbackRequest { lead, promise, moves: false, if_version: None };
    let Reply::Callback(id, _) = api.command(Command::SetCallback(Box::new(request))).await? else {
        return Err(odd_reply());
    };
    let body = shown(&api, &caller, id).await?;
    put_down(&api, &caller, "callback.created", &body).await;
    Ok(created(format!("/v1/callbacks/{id}"), body.version, &body))
}

/// Shows a callback.
#[utoipa::path(
    get, path = "/v1/callbacks/{id}", tag = "callbacks", params(("id" = String, Path, description = "the lead's, `lead_…`")),
    responses((status = 200, body = Callback), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:read"]))
)]
pub(crate) async fn show(State(api): Api, caller: Caller, Path(id): Path<String>, params: Params) -> Answer {
    caller.needs(READ)?;
    params.only(&[])?;
    let body = shown(&api, &caller, path_id(&id, "callback")?).await?;
    Ok(found(body.version, &body))
}

/// Moves a callback: another time, another agent (JSON Merge Patch). Not while the lead is being called.
#[utoipa::path(
    patch, path = "/v1/callbacks/{id}", tag = "callbacks",
    params(
        ("id" = String, Path, description = "the lead's, `lead_…`"),
        ("If-Match" = Option<String>, Header, description = "the version meant, `\"v3\"`"),
    ),
    request_body(content = CallbackChange, content_type = "application/merge-patch+json", description = "any part of it"),
    responses((status = 200, body = Callback), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:write"]))
)]
pub(crate) async fn change(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    let if_match = IfMatch::from_headers(&headers)?;
    for tries in 1.. {
        let (lead, seen) = known(&api, &id).await?;
        let promise = Promise::try_from(body.merged(&CallbackChange::from(&seen))?)?;
        let if_version = Some(if_match.version(seen.version));
        let request = dialer_core::CallbackRequest { lead, promise, moves: true, if_version };
        match api.command(Command::SetCallback(Box::new(request))).await {
            Ok(Reply::Callback(id, _)) => {
                let body = shown(&api, &caller, id).await?;
                put_down(&api, &caller, "callback.changed", &body).await;
                return Ok(found(body.version, &body));
            }
            Ok(_) => break,
            Err(problem) if if_match.may_retry(&problem, tries) => {}
            Err(problem) => return Err(problem),
        }
    }
    Err(odd_reply())
}

/// Takes a callback back. A lead that was never reached goes on being dialled, one that was is done with.
#[utoipa::path(
    delete, path = "/v1/callbacks/{id}", tag = "callbacks",
    params(
        ("id" = String, Path, description = "the lead's, `lead_…`"),
        ("If-Match" = Option<String>, Header, description = "the version meant, `\"v3\"`"),
    ),
    responses((status = 204), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:write"]))
)]
pub(crate) async fn delete(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    caller.needs(WRITE)?;
    let if_match = IfMatch::from_headers(&headers)?;
    let (lead, seen) = known(&api, &id).await?;
    let if_version = (if_match != IfMatch::Any).then(|| if_match.version(seen.version));
    let target = lead.id.to_string();
    api.command(Command::CancelCallback { lead: Box::new(lead), if_version }).await?;
    api.put_down(&caller, "callback.deleted", target, None).await;
    Ok(StatusCode::NO_CONTENT.into_response())
}
