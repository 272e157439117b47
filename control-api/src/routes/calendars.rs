//! `/v1/calendars`: calling windows and holidays that campaigns share.

use super::{Answer, Api, created, found, odd_reply, patch};
use crate::auth::{Caller, Scope};
use crate::extract::{IfMatch, JsonBody, Params, path_id};
use crate::gateway::Gateway;
use crate::page::{PAGE_PARAMETERS, PageBody, cut};
use crate::problem::{Problem, ProblemBody};
use crate::wire::calendar::{Calendar, CalendarRequest};
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use dialer_core::calendar::{CalendarConfig, CalendarRow};
use dialer_core::{CalendarId, Command, Reply};
use std::sync::Arc;

const READ: &[Scope] = &[Scope::CampaignsRead, Scope::CampaignsWrite];
const WRITE: &[Scope] = &[Scope::CampaignsWrite];

/// Shows the calendars.
#[utoipa::path(
    get, path = "/v1/calendars", tag = "calendars",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("include" = Option<String>, Query, description = "`total`"),
    ),
    responses((status = 200, body = PageBody<Calendar>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
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
    let calendars = api.read_model.calendars();
    cut(&uri, &params, calendars, |row| row.id, |row| Calendar::new(row, mask))
}

/// Makes a calendar; a campaign keeps it when its `calendar` names it.
#[utoipa::path(
    post, path = "/v1/calendars", tag = "calendars",
    params(("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = CalendarRequest,
    responses((status = 201, body = Calendar), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
)]
pub(crate) async fn create(State(api): Api, caller: Caller, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let config = CalendarConfig::try_from(body.parse::<CalendarRequest>()?)?;
    let Reply::Calendar(id, version) = api.command(Command::CreateCalendar(config)).await? else {
        return Err(odd_reply());
    };
    let row = shown(&api, id, version).await?;
    let body = Calendar::new(&row, caller.mask());
    Ok(created(format!("/v1/calendars/{id}"), row.version, &body))
}

async fn shown(api: &Gateway, id: CalendarId, version: u32) -> Result<Arc<CalendarRow>, Problem> {
    api.view(|model| model.calendar(id).filter(|row| row.version >= version)).await
}

fn known(api: &Gateway, id: &str) -> Result<(CalendarId, Arc<CalendarRow>), Problem> {
    let id: CalendarId = path_id(id, "calendar")?;
    let row = api.read_model.calendar(id).ok_or_else(|| Problem::not_found("calendar"))?;
    Ok((id, row))
}

/// Shows a calendar.
#[utoipa::path(
    get, path = "/v1/calendars/{id}", tag = "calendars", params(("id" = String, Path, description = "`cal_…`")),
    responses((status = 200, body = Calendar), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:read"]))
)]
pub(crate) async fn show(State(api): Api, caller: Caller, Path(id): Path<String>, params: Params) -> Answer {
    caller.needs(READ)?;
    params.only(&[])?;
    let (_, row) = known(&api, &id)?;
    Ok(found(row.version, &Calendar::new(&row, caller.mask())))
}

/// Changes a calendar (JSON Merge Patch). Campaigns that keep it follow at their next decision, also while they run.
#[utoipa::path(
    patch, path = "/v1/calendars/{id}", tag = "calendars",
    params(
        ("id" = String, Path, description = "`cal_…`"),
        ("If-Match" = Option<String>, Header, description = "the version meant, `\"v3\"`"),
    ),
    request_body(content = CalendarRequest, content_type = "application/merge-patch+json", description = "any part of it"),
    responses((status = 200, body = Calendar), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
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
    let calendar: CalendarId = path_id(&id, "calendar")?;
    let row = patch::apply(
        &api,
        &if_match,
        "calendar",
        |model| model.calendar(calendar),
        |row, if_version| {
            let current = CalendarRequest::from(&row.config);
            let config = CalendarConfig::try_from(body.merged(&current)?)?;
            Ok(Command::UpdateCalendar { calendar, config, if_version })
        },
    )
    .await?;
    Ok(found(row.version, &Calendar::new(&row, caller.mask())))
}

/// Deletes a calendar that no campaign keeps.
#[utoipa::path(
    delete, path = "/v1/calendars/{id}", tag = "calendars",
    params(
        ("id" = String, Path, description = "`cal_…`"),
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
    api.command(Command::DeleteCalendar(id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
