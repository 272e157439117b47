//! `/v1/cdrs`: call records.

use super::{Answer, Api};
use crate::auth::{Caller, Scope};
use crate::extract::{Params, path_id};
use crate::gateway::Gateway;
use crate::numbers::{NumberFault, normalise};
use crate::page::{PageBody, page};
use crate::problem::{Problem, ProblemBody};
use crate::wire::call::{CallDirection, Cdr};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::IntoResponse;
use dialer_core::{CallId, Outcome};
use store::CallRecordQuery;

const READ: &[Scope] = &[Scope::CallsRead];

/// Which records are asked for, without the page.
pub(super) fn query_of(api: &Gateway, params: &Params) -> Result<CallRecordQuery, Problem> {
    let number = match params.number("number") {
        None => None,
        Some(written) => match normalise(&written, api.config.default_region.as_deref()) {
            Ok(number) => Some(number),
            Err(fault @ (NumberFault::NotANumber | NumberFault::Empty)) => {
                return Err(Problem::parameter("number", fault.detail()).unprocessable());
            }
            // Carriers also show what cannot be made E.164: it is looked for as it was written.
            Err(_) => Some(written),
        },
    };
    Ok(CallRecordQuery {
        from: params.time("from")?,
        to: params.time("to")?,
        campaign: params.id("campaign")?,
        agent: params.id("agent")?,
        tenant: crate::tenancy::tenant(),
        lead: params.id("lead")?,
        number,
        direction: direction_of(params)?.map(Into::into),
        outcome: params.read("outcome", "an outcome like busy or no_answer", Outcome::from_name)?,
        ..CallRecordQuery::default()
    })
}

/// Which way the calls went that are asked for.
pub(super) fn direction_of(params: &Params) -> Result<Option<CallDirection>, Problem> {
    params.read("direction", "outbound, inbound or transit", CallDirection::from_name)
}

/// Shows call records, the call started last first.
#[utoipa::path(
    get, path = "/v1/cdrs", tag = "cdrs",
    params(
        ("from" = Option<String>, Query, description = "started at or after (RFC 3339)"),
        ("to" = Option<String>, Query, description = "started before (RFC 3339)"),
        ("campaign" = Option<String>, Query, description = "of this campaign"),
        ("agent" = Option<String>, Query, description = "of this agent"),
        ("lead" = Option<String>, Query, description = "of this lead"),
        ("number" = Option<String>, Query, description = "to this number"),
        ("outcome" = Option<String>, Query, description = "with this outcome"),
        ("direction" = Option<String>, Query, description = "`outbound`, `inbound` or `transit`"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = PageBody<Cdr>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:read"]))
)]
pub(crate) async fn list(State(api): Api, caller: Caller, uri: Uri, params: Params) -> Answer {
    caller.needs(READ)?;
    params.only(&[
        "from",
        "to",
        "campaign",
        "agent",
        "lead",
        "number",
        "outcome",
        "direction",
        "limit",
        "cursor",
    ])?;
    let query = CallRecordQuery {
        cursor: params.text("cursor").map(str::to_owned),
        limit: params.limit()?,
        ..query_of(&api, &params)?
    };
    let found = api.store(move |store| store.records(&query)).await?;
    let mask = caller.mask();
    let data = found.items.iter().map(|row| Cdr::new(row, mask)).collect();
    Ok(page(&uri, &params, PageBody { data, next_cursor: found.next_cursor, total: None }))
}

/// Shows the record of a call.
#[utoipa::path(
    get, path = "/v1/cdrs/{call_id}", tag = "cdrs", params(("call_id" = String, Path, description = "`call_…`")),
    responses((status = 200, body = Cdr), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["calls:read"]))
)]
pub(crate) async fn show(State(api): Api, caller: Caller, Path(id): Path<String>) -> Answer {
    caller.needs(READ)?;
    let id: CallId = path_id(&id, "call record")?;
    let row =
        api.store(move |store| store.record(id)).await?.ok_or_else(|| Problem::not_found("call record"))?;
    Ok(Json(Cdr::new(&row, caller.mask())).into_response())
}
