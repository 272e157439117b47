//! `/v1/lists/{id}/leads`.

use super::import::plan;
use super::{Answer, Api};
use crate::auth::{Caller, Scope};
use crate::extract::{BATCH_BYTES_MAX, JsonBody, Params, path_id};
use crate::gateway::Gateway;
use crate::import::{ImportPlan, Read, count, judge, tell};
use crate::page::{PageBody, page};
use crate::problem::{Code, Problem, ProblemBody};
use crate::wire::lead::{
    ImportSummary, Lead, LeadBatch, LeadBatchResult, LeadRequest, LeadState, LeadsAdded, RowResult,
    RowVerdict,
};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{HeaderValue, LOCATION};
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use dialer_core::{LeadId, ListId};
use serde::Deserialize;
use serde_json::Value;
use store::LeadPageQuery;
use utoipa::ToSchema;

/// Most leads in a batch.
const BATCH_LEADS_MAX: usize = 10_000;

/// One lead, or `leads` with many.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes the body for the OpenAPI document; it is read by its key")]
pub(crate) enum LeadsBody {
    /// Many.
    Batch(LeadBatch),
    /// One.
    One(LeadRequest),
}

/// Shows leads of a list in order of import.
#[utoipa::path(
    get, path = "/v1/lists/{id}/leads", tag = "leads",
    params(
        ("id" = String, Path, description = "`list_…`"),
        ("state" = Option<LeadState>, Query, description = "only these"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("include" = Option<String>, Query, description = "`total`"),
    ),
    responses((status = 200, body = PageBody<Lead>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:read"]))
)]
pub(crate) async fn list(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
    params: Params,
) -> Answer {
    caller.needs(&[Scope::LeadsRead])?;
    params.only(&["state", "limit", "cursor", "include"])?;
    let list: ListId = path_id(&id, "list")?;
    if api.read_model.list(list).is_none() {
        return Err(Problem::not_found("list"));
    }
    let state: Option<LeadState> = params.read("state", "a state like new or retry_wait", |text| {
        LeadState::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text)).ok()
    })?;
    let total = crate::page::wants_total(&params)?;
    let query = LeadPageQuery {
        list,
        state: state.map(Into::into),
        cursor: params.text("cursor").map(str::to_owned),
        limit: params.limit()?,
    };
    let (found, counts) = api
        .store(move |store| {
            let counts = total.then(|| store.lead_counts(query.list)).transpose()?;
            Ok((
                store.leads(&query)?,
                counts.map(|counts| query.state.map_or(counts.total(), |state| counts.of(state))),
            ))
        })
        .await?;
    let mask = caller.mask();
    let data = found.items.iter().map(|lead| Lead::new(lead, mask)).collect();
    Ok(page(&uri, &params, PageBody { data, next_cursor: found.next_cursor, total: counts }))
}

/// Shows a lead.
#[utoipa::path(
    get, path = "/v1/lists/{id}/leads/{lead_id}", tag = "leads",
    params(("id" = String, Path, description = "`list_…`"), ("lead_id" = String, Path, description = "`lead_…`")),
    responses((status = 200, body = Lead), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:read"]))
)]
pub(crate) async fn show(
    State(api): Api,
    caller: Caller,
    Path((id, lead)): Path<(String, String)>,
) -> Answer {
    caller.needs(&[Scope::LeadsRead])?;
    let list: ListId = path_id(&id, "list")?;
    let lead: LeadId = path_id(&lead, "lead")?;
    let found = api.store(move |store| store.lead(lead)).await?.filter(|lead| lead.list == list);
    let found = found.ok_or_else(|| Problem::not_found("lead"))?;
    Ok(Json(Lead::new(&found, caller.mask())).into_response())
}

/// Adds one lead, or a batch of at most 10,000 with a verdict on each. More belong into an import.
#[utoipa::path(
    post, path = "/v1/lists/{id}/leads", tag = "leads",
    params(
        ("id" = String, Path, description = "`list_…`"),
        ("on_duplicate" = Option<String>, Query, description = "as for imports"),
        ("dedupe_scope" = Option<String>, Query, description = "as for imports"),
        ("campaign" = Option<String>, Query, description = "as for imports"),
        ("dry_run" = Option<bool>, Query, description = "as for imports"),
        ("region" = Option<String>, Query, description = "as for imports"),
        ("time_zone" = Option<String>, Query, description = "as for imports"),
        ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h"),
    ),
    request_body = LeadsBody,
    responses(
        (status = 201, description = "one lead was made", body = Lead),
        (status = 200, description = "one lead was changed, or the verdicts on a batch", body = LeadsAdded),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json")
    ),
    security(("bearer" = ["leads:write"]))
)]
pub(crate) async fn add(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
    body: JsonBody<BATCH_BYTES_MAX>,
) -> Answer {
    caller.needs(&[Scope::LeadsWrite])?;
    let plan = plan(&api, &caller, &id, &params)?;
    if body.parse::<Value>()?.get("leads").is_some() {
        return add_batch(&api, &plan, body.parse()?).await;
    }
    add_one(&api, &plan, body.parse()?).await
}

async fn import(api: &Gateway, plan: &ImportPlan, rows: Vec<Read>) -> Result<Vec<RowVerdict>, Problem> {
    let options = plan.options(api);
    let task_plan = plan.clone();
    let verdicts = api.store(move |store| judge(store, rows, &task_plan, &options)).await?;
    let changed = |verdict: &&RowVerdict| matches!(verdict.result, RowResult::Accepted | RowResult::Updated);
    let accepted = verdicts.iter().filter(changed).count() as u64;
    if accepted > 0 {
        tell(api, plan, accepted).await;
    }
    Ok(verdicts)
}

async fn add_one(api: &Gateway, plan: &ImportPlan, request: LeadRequest) -> Answer {
    let lead = request.into_lead(plan.region.as_deref()).and_then(|lead| plan.settled(lead));
    let lead = lead.map_err(|fault| {
        Problem::fields(vec![fault.field_error("")]).with("result", fault.result.as_str())
    })?;
    let row = Read { line: 1, external_id: lead.external_id.clone(), lead: Ok(lead) };
    let verdict = import(api, plan, vec![row]).await?.pop().ok_or_else(super::odd_reply)?;
    if verdict.result == RowResult::Duplicate {
        let by = verdict.code.unwrap_or_default();
        let problem = Problem::new(Code::Conflict, format!("there is a lead with this {by} already"));
        return Err(problem.with("lead_id", verdict.lead_id));
    }
    let refused = match verdict.result {
        RowResult::Dnc => Some("each of its numbers is on a do-not-call list"),
        RowResult::TooManyAttempts => Some("the lead has been tried as often as attempts_max says"),
        _ => None,
    };
    if let Some(refused) = refused {
        return Err(Problem::new(Code::Conflict, refused).with("result", verdict.result.as_str()));
    }
    let id: Option<LeadId> = verdict.lead_id.as_deref().and_then(|id| id.parse().ok());
    let stored = match id {
        Some(id) if !plan.dry_run => api.store(move |store| store.lead(id)).await?,
        _ => None,
    };
    let Some(stored) = stored else {
        return Ok(Json(verdict).into_response());
    };
    let status = if verdict.result == RowResult::Accepted { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/v1/lists/{}/leads/{}", stored.list, stored.id);
    let location = HeaderValue::from_str(&location).expect("names are header text");
    Ok((status, [(LOCATION, location)], Json(Lead::new(&stored, plan.mask))).into_response())
}

async fn add_batch(api: &Gateway, plan: &ImportPlan, batch: LeadBatch) -> Answer {
    if batch.leads.is_empty() || batch.leads.len() > BATCH_LEADS_MAX {
        return Err(Problem::field("/leads", "expected 1 to 10000 leads"));
    }
    let rows = batch
        .leads
        .into_iter()
        .zip(1..)
        .map(|(request, line)| {
            let external_id = request.external_id.clone();
            let lead = request.into_lead(plan.region.as_deref()).and_then(|lead| plan.settled(lead));
            Read { line, external_id, lead }
        })
        .collect();
    let data = import(api, plan, rows).await?;
    let mut summary = ImportSummary { dry_run: plan.dry_run, complete: true, ..ImportSummary::default() };
    count(&mut summary, &data, plan.on_duplicate);
    Ok(Json(LeadBatchResult { data, summary }).into_response())
}
