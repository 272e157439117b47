//! `/v1/lists`.

use super::{Answer, Api, created, found, odd_reply, patch};
use crate::auth::{Caller, Scope};
use crate::extract::{IfMatch, JsonBody, Params, path_id};
use crate::page::{PAGE_PARAMETERS, PageBody, cut};
use crate::problem::{Problem, ProblemBody};
use crate::wire::list::{List, ListRequest};
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use dialer_core::config::ListConfig;
use dialer_core::{Command, ListId, Reply};

const READ: &[Scope] = &[Scope::LeadsRead, Scope::LeadsWrite, Scope::CampaignsRead, Scope::CampaignsWrite];
const WRITE: &[Scope] = &[Scope::LeadsWrite];

/// Shows the lists.
#[utoipa::path(
    get, path = "/v1/lists", tag = "lists",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("include" = Option<String>, Query, description = "`total`"),
    ),
    responses((status = 200, body = PageBody<List>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:read"]))
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
    cut(&uri, &params, api.read_model.lists(), |row| row.id, |row| List::new(row, None, mask))
}

/// Makes a list.
#[utoipa::path(
    post, path = "/v1/lists", tag = "lists",
    params(("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = ListRequest,
    responses((status = 201, body = List), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:write"]))
)]
pub(crate) async fn create(State(api): Api, caller: Caller, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let config = ListConfig::try_from(body.parse::<ListRequest>()?)?;
    let Reply::List(id, version) = api.command(Command::CreateList(config)).await? else {
        return Err(odd_reply());
    };
    let view = api.view(|model| model.list(id).filter(|view| view.version >= version)).await?;
    Ok(created(format!("/v1/lists/{id}"), view.version, &List::new(&view, None, caller.mask())))
}

/// Shows a list, with how many leads it has by state.
#[utoipa::path(
    get, path = "/v1/lists/{id}", tag = "lists", params(("id" = String, Path, description = "`list_…`")),
    responses((status = 200, body = List), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:read"]))
)]
pub(crate) async fn show(State(api): Api, caller: Caller, Path(id): Path<String>, params: Params) -> Answer {
    caller.needs(READ)?;
    params.only(&[])?;
    let id: ListId = path_id(&id, "list")?;
    let row = api.read_model.list(id).ok_or_else(|| Problem::not_found("list"))?;
    let counts = api.store(move |store| store.lead_counts(id)).await?;
    Ok(found(row.version, &List::new(&row, Some(counts), caller.mask())))
}

/// Changes a list (JSON Merge Patch).
#[utoipa::path(
    patch, path = "/v1/lists/{id}", tag = "lists",
    params(
        ("id" = String, Path, description = "`list_…`"),
        ("If-Match" = Option<String>, Header, description = "the version meant, `\"v3\"`"),
    ),
    request_body(content = ListRequest, content_type = "application/merge-patch+json", description = "any part of it"),
    responses((status = 200, body = List), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
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
    let id: ListId = path_id(&id, "list")?;
    let if_match = IfMatch::from_headers(&headers)?;
    let view = patch::apply(
        &api,
        &if_match,
        "list",
        |model| model.list(id),
        |view, if_version| {
            let config = ListConfig::try_from(body.merged(&ListRequest::from(&view.config))?)?;
            Ok(Command::UpdateList { list: id, config, if_version })
        },
    )
    .await?;
    Ok(found(view.version, &List::new(&view, None, caller.mask())))
}

/// Deletes a list and its leads; refused while a running campaign uses it.
#[utoipa::path(
    delete, path = "/v1/lists/{id}", tag = "lists",
    params(
        ("id" = String, Path, description = "`list_…`"),
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
    let id: ListId = path_id(&id, "list")?;
    let view = api.read_model.list(id).ok_or_else(|| Problem::not_found("list"))?;
    IfMatch::from_headers(&headers)?.check(view.version)?;
    api.command(Command::DeleteList(id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
