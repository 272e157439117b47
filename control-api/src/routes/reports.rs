//! `/v1/reports/{report}` and `/v1/cdrs:export`.

use super::cdrs::query_of;
use super::{Answer, Api};
use crate::auth::{Caller, Scope};
use crate::export::Format;
use crate::extract::Params;
use crate::gateway::Gateway;
use crate::problem::{Code, Problem, ProblemBody};
use crate::report::{By, COLUMNS, Report, TIME_COLUMNS, Times};
use crate::time::Time;
use crate::wire::call::Cdr;
use crate::wire::caller_id::CallerIdNumber;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use store::{AgentTimeQuery, CallRecordQuery};
use utoipa::ToSchema;

const READ: &[Scope] = &[Scope::CallsRead];
/// Records written at once.
const PAGE_RECORDS: u32 = 1_000;

/// Columns of a record in CSV, in their order; new ones come at the end.
const CDR_COLUMNS: [&str; 57] = [
    "call_id",
    "attempt_id",
    "campaign_id",
    "lead_id",
    "agent_id",
    "trunk_id",
    "kind",
    "direction",
    "mode",
    "to",
    "caller_id",
    "attempt",
    "started_at",
    "ringing_at",
    "answered_at",
    "bridged_at",
    "ended_at",
    "outcome",
    "evidence",
    "cause",
    "ended_by",
    "sip_code",
    "q850",
    "pdd_ms",
    "ring_ms",
    "answer_to_bridge_ms",
    "talk_ms",
    "billable_ms",
    "wrap_up_ms",
    "classification",
    "early_media",
    "early_media_detail.confidence",
    "early_media_detail.announcement",
    "early_media_detail.heard_after_dial_ms",
    "abandoned",
    "safe_harbour_played",
    "digits",
    "recording_id",
    "client_state",
    "verstat",
    "disposition.code",
    "disposition.notes",
    "disposition.callback_at",
    "disposition.at",
    "detection.result",
    "detection.evidence",
    "detection.confidence",
    "detection.decided_after_answer_ms",
    "detection.left_after_answer_ms",
    "media",
    "transferred_to",
    "participants",
    "reason.sip_code",
    "reason.text",
    "disposition.callback_by",
    "disposition.fields",
    "recordings",
];

/// Streams all call records that fit, the call started last first. What is written while it runs may be missing from it.
#[utoipa::path(
    get, path = "/v1/cdrs:export", tag = "cdrs",
    params(
        ("format" = Option<String>, Query, description = "`ndjson` (the default) or `csv`"),
        ("from" = Option<String>, Query, description = "started at or after (RFC 3339)"),
        ("to" = Option<String>, Query, description = "started before (RFC 3339)"),
        ("campaign" = Option<String>, Query, description = "of this campaign"),
        ("agent" = Option<String>, Query, description = "of this agent"),
        ("lead" = Option<String>, Query, description = "of this lead"),
        ("number" = Option<String>, Query, description = "to this number"),
        ("outcome" = Option<String>, Query, description = "with this outcome"),
        ("direction" = Option<String>, Query, description = "`outbound`, `inbound` or `transit`"),
    ),
    responses(
        (status = 200, description = "one record a line", content((Cdr = "application/x-ndjson"), (String = "text/csv"))),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json")
    ),
    security(("bearer" = ["calls:read"]))
)]
pub(crate) async fn export(State(api): Api, caller: Caller, params: Params) -> Answer {
    caller.needs(READ)?;
    params.only(&["format", "from", "to", "campaign", "agent", "lead", "number", "outcome", "direction"])?;
    let format = format_of(&params)?.unwrap_or(Format::Ndjson);
    let query = CallRecordQuery { limit: PAGE_RECORDS, ..query_of(&api, &params)? };
    let particulars = serde_json::json!({
        "from": query.from.map(Time), "to": query.to.map(Time), "format": format.extension(),
        "number_named": query.number.is_some(),
    });
    let target = query.campaign.map_or_else(|| "all campaigns".to_owned(), |campaign| campaign.to_string());
    api.note(&caller, "cdrs.exported", target, Some(particulars)).await?;
    let mask = caller.mask();
    let state = Some((api, query, true));
    let pages = futures_util::stream::try_unfold(state, move |state| async move {
        let Some((api, mut query, at_start)) = state else { return Ok(None) };
        let asked = query.clone();
        let page = api
            .store(move |store| store.records(&asked))
            .await
            .map_err(|problem| std::io::Error::other(problem.detail().to_owned()))?;
        let mut bytes = Vec::new();
        if at_start {
            format.head(&CDR_COLUMNS, &mut bytes);
        }
        for row in &page.items {
            format.row(&CDR_COLUMNS, &serde_json::json!(Cdr::new(row, mask)), &mut bytes);
        }
        let next = page.next_cursor.map(|cursor| {
            query.cursor = Some(cursor);
            (api, query, false)
        });
        Ok::<_, std::io::Error>(Some((bytes, next)))
    });
    Ok(attachment("cdrs", format, Body::from_stream(pages)))
}

pub(super) fn format_of(params: &Params) -> Result<Option<Format>, Problem> {
    params.read("format", "csv or ndjson", Format::from_name)
}

pub(super) fn attachment(name: &str, format: Format, body: Body) -> Response {
    let file = format!("attachment; filename=\"{name}.{}\"", format.extension());
    let headers = [(CONTENT_TYPE, format.content_type().to_owned()), (CONTENT_DISPOSITION, file)];
    (headers, body).into_response()
}

/// Call records, added up.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ReportBody {
    /// Which report.
    #[schema(example = "agents")]
    pub report: String,
    /// Calls started at or after.
    pub from: Option<Time>,
    /// Calls started before.
    pub to: Option<Time>,
    /// One row for each agent, campaign, hour (its beginning), trunk, caller ID or outcome. Ratios are 0 to 1, null where
    /// there is nothing to divide by. Agents have `logged_in_ms`, `state_ms` by state and `occupancy` besides (talk, hold and
    /// wrap-up ÷ that and free time), counted in the whole hours that the time asked for touches; not where one campaign is
    /// asked for.
    #[schema(value_type = Vec<Object>)]
    pub data: Vec<Value>,
    /// All rows together.
    #[schema(value_type = Object)]
    pub total: Value,
}

/// Adds up call records by agent, campaign, hour of start, trunk, caller ID or outcome.
#[utoipa::path(
    get, path = "/v1/reports/{report}", tag = "reports",
    params(
        ("report" = String, Path, description = "`agents`, `campaigns`, `hours`, `trunks`, `caller-ids` or `outcomes`"),
        ("format" = Option<String>, Query, description = "`csv` or `ndjson`; absent: one JSON object"),
        ("from" = Option<String>, Query, description = "started at or after (RFC 3339)"),
        ("to" = Option<String>, Query, description = "started before (RFC 3339)"),
        ("campaign" = Option<String>, Query, description = "of this campaign"),
        ("agent" = Option<String>, Query, description = "of this agent"),
    ),
    responses(
        (status = 200, content((ReportBody = "application/json"), (Object = "application/x-ndjson"), (String = "text/csv"))),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json")
    ),
    security(("bearer" = ["calls:read"]))
)]
pub(crate) async fn show(
    State(api): Api,
    caller: Caller,
    Path(name): Path<String>,
    params: Params,
) -> Answer {
    caller.needs(READ)?;
    let by = By::from_name(&name).ok_or_else(|| Problem::not_found("report"))?;
    params.only(&["format", "from", "to", "campaign", "agent"])?;
    let format = format_of(&params)?;
    let query = query_of(&api, &params)?;
    let (from, to) = (query.from.map(Time), query.to.map(Time));
    let times = match by {
        By::Agents if query.campaign.is_none() => Some(times(&api, &query).await?),
        _ => None,
    };
    let report = added_up(&api, query, by, &caller).await?;
    let (mut rows, mut total) = (report.rows(by), report.total(by));
    if let Some(times) = &times {
        rows = report.rows_with(by, times.agents());
        for row in &mut rows {
            let agent = row[by.column()].as_str().map(str::to_owned);
            times.add_to(row, agent.as_deref());
        }
        times.add_to(&mut total, None);
    }
    if by == By::CallerIds {
        rows.iter_mut().for_each(|row| add_health(&api, row, &caller));
    }
    let Some(format) = format else {
        let body = ReportBody { report: name, from, to, data: rows, total };
        return Ok(Json(body).into_response());
    };
    let particulars = serde_json::json!({ "from": from, "to": to, "format": format.extension() });
    api.note(&caller, "report.exported", name.clone(), Some(particulars)).await?;
    let more = match by {
        By::CallerIds => &HEALTH_COLUMNS[..],
        By::Agents => &TIME_COLUMNS[..],
        _ => &[],
    };
    let columns: Vec<&str> = [by.column()].into_iter().chain(COLUMNS).chain(more.iter().copied()).collect();
    let mut bytes = Vec::new();
    format.head(&columns, &mut bytes);
    rows.iter().for_each(|row| format.row(&columns, row, &mut bytes));
    Ok(attachment(&name, format, Body::from(bytes)))
}

/// What a caller ID's row tells beyond its calls: how the number stands in its pool now.
const HEALTH_COLUMNS: [&str; 7] =
    ["pool_id", "state", "reason", "quarantined_until", "calls_hour", "calls_day", "blocks"];

/// Tells how the number of a row stands in its pool (the oldest that has it); null where it is in none, or where masked
/// numbers leave open which one is meant.
fn add_health(api: &Gateway, row: &mut Value, caller: &Caller) {
    let mask = caller.mask();
    let shown = row["caller_id"].as_str().unwrap_or_default().to_owned();
    let pools = api.read_model.caller_id_pools();
    // Pools are the operator's.
    let pools = if crate::tenancy::tenant().is_none() { pools } else { Vec::new() };
    let mut found = None;
    let mut numbers = std::collections::BTreeSet::new();
    for view in &pools {
        for (place, number) in view.numbers.iter().enumerate() {
            if mask.number(&number.number) == shown {
                numbers.insert(number.number.as_str());
                found = found.or(Some((view, place)));
            }
        }
    }
    let found = found.filter(|_| numbers.len() == 1);
    let health = found.map(|(view, place)| serde_json::json!(CallerIdNumber::new(view, place, mask)));
    row[HEALTH_COLUMNS[0]] = serde_json::json!(found.map(|(view, _)| view.row.id.to_string()));
    for column in &HEALTH_COLUMNS[1..] {
        row[*column] = health.as_ref().map_or(Value::Null, |health| health[*column].clone());
    }
}

/// How long the agents that may be seen were at work.
async fn times(api: &Arc<Gateway>, query: &CallRecordQuery) -> Result<Times, Problem> {
    let wanted = AgentTimeQuery { from: query.from, to: query.to, agent: query.agent };
    let asked = wanted.clone();
    let mut kept = api.store(move |store| store.agent_times(&asked)).await?;
    let agents = api.read_model.agents();
    if crate::tenancy::tenant().is_some() {
        kept.retain(|time| agents.iter().any(|view| view.row.id == time.agent));
    }
    Ok(Times::new(&kept, &agents, &wanted, api.now()))
}

async fn added_up(
    api: &Arc<Gateway>,
    query: CallRecordQuery,
    by: By,
    caller: &Caller,
) -> Result<Report, Problem> {
    let mask = caller.mask();
    let report = api.store(move |store| Report::of(store, query, by, mask)).await?;
    if report.too_many {
        return Err(Problem::new(
            Code::LimitReached,
            "there are more than 2000000 calls in this time; ask for parts of it",
        ));
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field of a record is a column: one that is forgotten here would be missing from every CSV.
    #[test]
    fn every_field_is_a_column() {
        let document = crate::openapi();
        let fields = &document["components"]["schemas"]["Cdr"]["properties"];
        for field in fields.as_object().unwrap().keys() {
            let inside = format!("{field}.");
            let told = CDR_COLUMNS.iter().any(|column| column == field || column.starts_with(&inside));
            assert!(told, "{field}");
        }
    }
}
