//! `/v1/trunks`.

use super::{Answer, Api, created, found, odd_reply, patch};
use crate::auth::{Caller, Scope};
use crate::extract::{IfMatch, JsonBody, Params, path_id};
use crate::page::{PAGE_PARAMETERS, PageBody, cut};
use crate::problem::{Problem, ProblemBody};
use crate::wire::trunk::{Trunk, TrunkRequest};
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use dialer_core::config::TrunkConfig;
use dialer_core::{Command, Reply, TrunkId};

const READ: &[Scope] = &[Scope::CampaignsRead, Scope::CampaignsWrite, Scope::Admin];
const WRITE: &[Scope] = &[Scope::Admin];

/// Lists trunks.
#[utoipa::path(
    get, path = "/v1/trunks", tag = "trunks",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("include" = Option<String>, Query, description = "`total`"),
    ),
    responses((status = 200, body = PageBody<Trunk>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
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
    cut(&uri, &params, api.read_model.trunks(), |view| view.row.id, |view| Trunk::new(view, mask))
}

/// Makes a trunk.
#[utoipa::path(
    post, path = "/v1/trunks", tag = "trunks",
    params(("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = TrunkRequest,
    responses((status = 201, body = Trunk), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["admin"]))
)]
pub(crate) async fn create(State(api): Api, caller: Caller, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let config = TrunkConfig::try_from(body.parse::<TrunkRequest>()?)?;
    let Reply::Trunk(id, version) = api.command(Command::CreateTrunk(config)).await? else {
        return Err(odd_reply());
    };
    let view = api.view(|model| model.trunk(id).filter(|view| view.row.version >= version)).await?;
    Ok(created(format!("/v1/trunks/{id}"), view.row.version, &Trunk::new(&view, caller.mask())))
}

/// Shows a trunk.
#[utoipa::path(
    get, path = "/v1/trunks/{id}", tag = "trunks", params(("id" = String, Path, description = "`trk_…`")),
    responses((status = 200, body = Trunk), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:read"]))
)]
pub(crate) async fn show(State(api): Api, caller: Caller, Path(id): Path<String>, params: Params) -> Answer {
    caller.needs(READ)?;
    params.only(&[])?;
    let id: TrunkId = path_id(&id, "trunk")?;
    let view = api.read_model.trunk(id).ok_or_else(|| Problem::not_found("trunk"))?;
    Ok(found(view.row.version, &Trunk::new(&view, caller.mask())))
}

/// Changes a trunk (JSON Merge Patch). A password that is not named stays as it is.
#[utoipa::path(
    patch, path = "/v1/trunks/{id}", tag = "trunks",
    params(
        ("id" = String, Path, description = "`trk_…`"),
        ("If-Match" = Option<String>, Header, description = "the version meant, `\"v3\"`"),
    ),
    request_body(content = TrunkRequest, content_type = "application/merge-patch+json", description = "any part of it"),
    responses((status = 200, body = Trunk), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["admin"]))
)]
pub(crate) async fn change(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    let id: TrunkId = path_id(&id, "trunk")?;
    let if_match = IfMatch::from_headers(&headers)?;
    let view = patch::apply(
        &api,
        &if_match,
        "trunk",
        |model| model.trunk(id),
        |view, if_version| {
            let mut current = TrunkRequest::from(&view.row.config);
            current.password = view.row.config.password.clone();
            let config = TrunkConfig::try_from(body.merged(&current)?)?;
            Ok(Command::UpdateTrunk { trunk: id, config, if_version })
        },
    )
    .await?;
    Ok(found(view.row.version, &Trunk::new(&view, caller.mask())))
}

/// Deletes a trunk that carries no calls.
#[utoipa::path(
    delete, path = "/v1/trunks/{id}", tag = "trunks",
    params(
        ("id" = String, Path, description = "`trk_…`"),
        ("If-Match" = Option<String>, Header, description = "the version meant, `\"v3\"`"),
    ),
    responses((status = 204), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["admin"]))
)]
pub(crate) async fn delete(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    caller.needs(WRITE)?;
    let id: TrunkId = path_id(&id, "trunk")?;
    let view = api.read_model.trunk(id).ok_or_else(|| Problem::not_found("trunk"))?;
    IfMatch::from_headers(&headers)?.check(view.row.version)?;
    api.command(Command::DeleteTrunk(id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
