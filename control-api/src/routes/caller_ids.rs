//! `/v1/caller-id-pools`.

use super::{Answer, Api, created, found, odd_reply, patch};
use crate::auth::{Caller, Scope};
use crate::extract::{IfMatch, JsonBody, Params, path_id};
use crate::gateway::Gateway;
use crate::page::{PAGE_PARAMETERS, PageBody, cut, page, wants_total};
use crate::problem::{Problem, ProblemBody};
use crate::wire::caller_id::{
    CallerIdNumber, CallerIdPool, CallerIdPoolRequest, CallerIdReports, CallerIdWhich, CallerIdsReported,
};
use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use dialer_core::caller_id::CallerIdPoolConfig;
use dialer_core::view::CallerIdPoolView;
use dialer_core::{CallerIdPoolId, Command, Reply};
use std::sync::Arc;

const READ: &[Scope] = &[Scope::CampaignsRead, Scope::CampaignsWrite];
const WRITE: &[Scope] = &[Scope::CampaignsWrite];

/// Shows the pools of caller IDs.
#[utoipa::path(
    get, path = "/v1/caller-id-pools", tag = "caller_ids",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("include" = Option<String>, Query, description = "`total`"),
    ),
    responses((status = 200, body = PageBody<CallerIdPool>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
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
    let pools = api.read_model.caller_id_pools();
    cut(&uri, &params, pools, |view| view.row.id, |view| CallerIdPool::new(view, mask))
}

/// Makes a pool of caller IDs.
#[utoipa::path(
    post, path = "/v1/caller-id-pools", tag = "caller_ids",
    params(("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = CallerIdPoolRequest,
    responses((status = 201, body = CallerIdPool), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
)]
pub(crate) async fn create(State(api): Api, caller: Caller, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let config = CallerIdPoolConfig::try_from(body.parse::<CallerIdPoolRequest>()?)?;
    let Reply::CallerIdPool(id, version) = api.command(Command::CreateCallerIdPool(config)).await? else {
        return Err(odd_reply());
    };
    let view = shown(&api, id, version).await?;
    let body = CallerIdPool::new(&view, caller.mask());
    Ok(created(format!("/v1/caller-id-pools/{id}"), view.row.version, &body))
}

async fn shown(api: &Gateway, id: CallerIdPoolId, version: u32) -> Result<Arc<CallerIdPoolView>, Problem> {
    api.view(|model| model.caller_id_pool(id).filter(|view| view.row.version >= version)).await
}

fn known(api: &Gateway, id: &str) -> Result<(CallerIdPoolId, Arc<CallerIdPoolView>), Problem> {
    let id: CallerIdPoolId = path_id(id, "caller-ID pool")?;
    let view = api.read_model.caller_id_pool(id).ok_or_else(|| Problem::not_found("caller-ID pool"))?;
    Ok((id, view))
}

/// Shows a pool of caller IDs.
#[utoipa::path(
    get, path = "/v1/caller-id-pools/{id}", tag = "caller_ids", params(("id" = String, Path, description = "`cip_…`")),
    responses((status = 200, body = CallerIdPool), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:read"]))
)]
pub(crate) async fn show(State(api): Api, caller: Caller, Path(id): Path<String>, params: Params) -> Answer {
    caller.needs(READ)?;
    params.only(&[])?;
    let (_, view) = known(&api, &id)?;
    Ok(found(view.row.version, &CallerIdPool::new(&view, caller.mask())))
}

/// Changes a pool of caller IDs (JSON Merge Patch). Numbers that stay keep what is known of them.
#[utoipa::path(
    patch, path = "/v1/caller-id-pools/{id}", tag = "caller_ids",
    params(
        ("id" = String, Path, description = "`cip_…`"),
        ("If-Match" = Option<String>, Header, description = "the version meant, `\"v3\"`"),
    ),
    request_body(content = CallerIdPoolRequest, content_type = "application/merge-patch+json", description = "any part of it"),
    responses((status = 200, body = CallerIdPool), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
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
    let pool: CallerIdPoolId = path_id(&id, "caller-ID pool")?;
    let view = patch::apply(
        &api,
        &if_match,
        "caller-ID pool",
        |model| model.caller_id_pool(pool),
        |view, if_version| {
            let current = CallerIdPoolRequest::from(&view.row.config);
            let config = CallerIdPoolConfig::try_from(body.merged(&current)?)?;
            Ok(Command::UpdateCallerIdPool { pool, config, if_version })
        },
    )
    .await?;
    Ok(found(view.row.version, &CallerIdPool::new(&view, caller.mask())))
}

/// Deletes a pool of caller IDs; refused while a campaign names it.
#[utoipa::path(
    delete, path = "/v1/caller-id-pools/{id}", tag = "caller_ids",
    params(
        ("id" = String, Path, description = "`cip_…`"),
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
    let (id, view) = known(&api, &id)?;
    IfMatch::from_headers(&headers)?.check(view.row.version)?;
    api.command(Command::DeleteCallerIdPool(id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Shows the numbers of a pool and how each fares.
#[utoipa::path(
    get, path = "/v1/caller-id-pools/{id}/numbers", tag = "caller_ids",
    params(
        ("id" = String, Path, description = "`cip_…`"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("include" = Option<String>, Query, description = "`total`"),
    ),
    responses((status = 200, body = PageBody<CallerIdNumber>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:read"]))
)]
pub(crate) async fn numbers(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    OriginalUri(uri): OriginalUri,
    params: Params,
) -> Answer {
    caller.needs(READ)?;
    params.only(&PAGE_PARAMETERS)?;
    let (_, view) = known(&api, &id)?;
    let limit = params.limit()? as usize;
    let total = wants_total(&params)?.then_some(view.numbers.len() as u64);
    let start: Option<usize> =
        params.read("cursor", "a next_cursor of this list", |text| text.parse().ok())?;
    let start = start.unwrap_or(0).min(view.numbers.len());
    let end = start.saturating_add(limit).min(view.numbers.len());
    let mask = caller.mask();
    let data = (start..end).map(|place| CallerIdNumber::new(&view, place, mask)).collect();
    let next_cursor = (end < view.numbers.len()).then(|| end.to_string());
    Ok(page(&uri, &params, PageBody { data, next_cursor, total }))
}

/// Leaves a number alone from now on, for the pool's `quarantine.lasts_ms` (24 hours without one).
#[utoipa::path(
    post, path = "/v1/caller-id-pools/{id}/numbers:quarantine", tag = "caller_ids",
    params(
        ("id" = String, Path, description = "`cip_…`"),
        ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h"),
    ),
    request_body = CallerIdWhich,
    responses((status = 200, body = CallerIdNumber), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
)]
pub(crate) async fn quarantine(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    told(&api, &caller, &id, &body, true).await
}

/// Takes in what those who watch numbers say of some: a label check, a reputation service. A score below the pool's
/// `quarantine.reputation_min` or one of its `labels` leaves the number alone for `lasts_ms`; when no source says so any more
/// it may be shown again. All reports are taken or none.
#[utoipa::path(
    post, path = "/v1/caller-id-pools/{id}/numbers:report", tag = "caller_ids",
    params(
        ("id" = String, Path, description = "`cip_…`"),
        ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h"),
    ),
    request_body = CallerIdReports,
    responses((status = 200, body = CallerIdsReported), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
)]
pub(crate) async fn report(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    let (pool, _) = known(&api, &id)?;
    let reports = body.parse::<CallerIdReports>()?.core()?;
    match api.command(Command::ReportCallerIds { pool, reports }).await? {
        Reply::Count(changed) => Ok(Json(CallerIdsReported { changed }).into_response()),
        _ => Err(odd_reply()),
    }
}

/// Takes a number out of quarantine, with nothing held against it.
#[utoipa::path(
    post, path = "/v1/caller-id-pools/{id}/numbers:release", tag = "caller_ids",
    params(
        ("id" = String, Path, description = "`cip_…`"),
        ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h"),
    ),
    request_body = CallerIdWhich,
    responses((status = 200, body = CallerIdNumber), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
)]
pub(crate) async fn release(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    told(&api, &caller, &id, &body, false).await
}

async fn told(api: &Gateway, caller: &Caller, id: &str, body: &JsonBody, quarantine: bool) -> Answer {
    caller.needs(WRITE)?;
    let (pool, view) = known(api, id)?;
    let number = body.parse::<CallerIdWhich>()?.number_in(&view)?;
    let wanted = number.clone();
    let command = if quarantine {
        Command::QuarantineCallerId { pool, number }
    } else {
        Command::ReleaseCallerId { pool, number }
    };
    api.command(command).await?;
    // The views of a step are there before its answer.
    let (_, view) = known(api, id)?;
    let place = view.numbers.iter().position(|known| known.number == wanted);
    let place = place.ok_or_else(|| Problem::not_found("number in this pool"))?;
    Ok(Json(CallerIdNumber::new(&view, place, caller.mask())).into_response())
}
