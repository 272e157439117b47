//! `/v1/inbound-routes`: what becomes of customers who call back.

use super::{Answer, Api, created, found, odd_reply, patch};
use crate::auth::{Caller, Scope};
use crate::extract::{IfMatch, JsonBody, Params, path_id};
use crate::gateway::Gateway;
use crate::page::{PAGE_PARAMETERS, PageBody, cut};
use crate::problem::{Problem, ProblemBody};
use crate::prompts::of_route;
use crate::wire::inbound::{InboundRoute, InboundRouteRequest};
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use dialer_core::inbound::{InboundRouteConfig, InboundRouteRow};
use dialer_core::{Command, InboundRouteId, Reply};
use std::sync::Arc;

const READ: &[Scope] = &[Scope::CampaignsRead, Scope::CampaignsWrite];
const WRITE: &[Scope] = &[Scope::CampaignsWrite];

/// Shows the routes of inbound calls.
#[utoipa::path(
    get, path = "/v1/inbound-routes", tag = "inbound_routes",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("include" = Option<String>, Query, description = "`total`"),
    ),
    responses((status = 200, body = PageBody<InboundRoute>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:read"]))
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
    let routes = api.read_model.inbound_routes();
    cut(&uri, &params, routes, |row| row.id, |row| InboundRoute::new(row, mask))
}

/// Makes a route of inbound calls: calls to its numbers are answered from now on.
#[utoipa::path(
    post, path = "/v1/inbound-routes", tag = "inbound_routes",
    params(("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = InboundRouteRequest,
    responses((status = 201, body = InboundRoute), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
)]
pub(crate) async fn create(State(api): Api, caller: Caller, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let config = InboundRouteConfig::try_from(body.parse::<InboundRouteRequest>()?)?;
    api.needs_prompts(&of_route(&config), &[])?;
    let Reply::InboundRoute(id, version) = api.command(Command::CreateInboundRoute(config)).await? else {
        return Err(odd_reply());
    };
    let row = shown(&api, id, version).await?;
    let body = InboundRoute::new(&row, caller.mask());
    Ok(created(format!("/v1/inbound-routes/{id}"), row.version, &body))
}

async fn shown(api: &Gateway, id: InboundRouteId, version: u32) -> Result<Arc<InboundRouteRow>, Problem> {
    api.view(|model| model.inbound_route(id).filter(|row| row.version >= version)).await
}

fn known(api: &Gateway, id: &str) -> Result<(InboundRouteId, Arc<InboundRouteRow>), Problem> {
    let id: InboundRouteId = path_id(id, "inbound route")?;
    let row = api.read_model.inbound_route(id).ok_or_else(|| Problem::not_found("inbound route"))?;
    Ok((id, row))
}

/// Shows a route of inbound calls.
#[utoipa::path(
    get, path = "/v1/inbound-routes/{id}", tag = "inbound_routes", params(("id" = String, Path, description = "`inr_…`")),
    responses((status = 200, body = InboundRoute), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:read"]))
)]
pub(crate) async fn show(State(api): Api, caller: Caller, Path(id): Path<String>, params: Params) -> Answer {
    caller.needs(READ)?;
    params.only(&[])?;
    let (_, row) = known(&api, &id)?;
    Ok(found(row.version, &InboundRoute::new(&row, caller.mask())))
}

/// Changes a route of inbound calls (JSON Merge Patch). Callers on their way keep the old one.
#[utoipa::path(
    patch, path = "/v1/inbound-routes/{id}", tag = "inbound_routes",
    params(
        ("id" = String, Path, description = "`inr_…`"),
        ("If-Match" = Option<String>, Header, description = "the version meant, `\"v3\"`"),
    ),
    request_body(content = InboundRouteRequest, content_type = "application/merge-patch+json", description = "any part of it"),
    responses((status = 200, body = InboundRoute), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
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
    let route: InboundRouteId = path_id(&id, "inbound route")?;
    let row = patch::apply(
        &api,
        &if_match,
        "inbound route",
        |model| model.inbound_route(route),
        |row, if_version| {
            let current = InboundRouteRequest::from(&row.config);
            let config = InboundRouteConfig::try_from(body.merged(&current)?)?;
            Ok(Command::UpdateInboundRoute { route, config, if_version })
        },
    )
    .await?;
    Ok(found(row.version, &InboundRoute::new(&row, caller.mask())))
}

/// Deletes a route of inbound calls; callers on their way go on, its numbers are not answered any more.
#[utoipa::path(
    delete, path = "/v1/inbound-routes/{id}", tag = "inbound_routes",
    params(
        ("id" = String, Path, description = "`inr_…`"),
        ("If-Match" = Option<String>, Header, description = "the version meant, `\"v3\"`"),
    ),
    responses((status = 204), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
)]
pub(crate) async fn delete(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    caller.needs(WRITE)?;
    let (id, row) = known(&api, &id)?;
    IfMatch::from_headers(&headers)?.check(row.version)?;
    api.command(Command::DeleteInboundRoute(id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
