//! `/v1/campaigns/{id}/dial-requests`: push mode.

use super::{Answer, Api};
use crate::auth::{Caller, Scope};
use crate::extract::{BATCH_BYTES_MAX, JsonBody, Params, path_id};
use crate::gateway::Gateway;
use crate::page::{PageBody, page};
use crate::problem::{Code, FieldError, Problem, ProblemBody};
use crate::wire::dial_request::{
    DialRequest, DialRequestBatch, DialRequestNew, DialRequestRefused, DialRequestsAnswer, DialRequestsTaken,
};
use crate::wire::lead::check_countries;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{HeaderValue, LOCATION};
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use dialer_core::config::PushConfig;
use dialer_core::{CampaignId, Command, LeadId, ListId};
use serde_json::Value;
use store::{DedupeScope, ImportOptions, ImportVerdict, LeadPageQuery, NewLead, OnDuplicate};
use utoipa::ToSchema;

/// Most requests in a batch.
const BATCH_MAX: usize = 1_000;

/// One request, or `requests` with many.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes the body for the OpenAPI document; it is read by its key")]
pub(crate) enum DialRequestsBody {
    /// Many.
    Batch(DialRequestBatch),
    /// One.
    One(DialRequestNew),
}

/// A campaign in push mode.
struct Pushed {
    campaign: CampaignId,
    push: PushConfig,
    list: ListId,
    region: Option<String>,
    countries: Vec<String>,
}

impl Pushed {
    fn of(api: &Gateway, id: &str) -> Result<Self, Problem> {
        let campaign: CampaignId = path_id(id, "campaign")?;
        let view = api.read_model.campaign(campaign).ok_or_else(|| Problem::not_found("campaign"))?;
        let config = &view.row.config;
        let off = || {
            Problem::new(Code::InvalidState, "the campaign takes no dial requests; give it the setting push")
        };
        let push = config.push.as_deref().cloned().ok_or_else(off)?;
        let list = push.list.or_else(|| config.lists.first().copied()).ok_or_else(off)?;
        let row = api.read_model.list(list).ok_or_else(off)?;
        let region = row.config.default_region.clone().or_else(|| api.config.default_region.clone());
        let countries = row.config.countries.clone();
        Ok(Pushed { campaign, push, list, region, countries })
    }
}

/// Has someone called: the request is paced as every lead of the campaign is, and is not dialled after it has expired
/// (`lead.expired`). Durable before the answer. A `request_id` that is there already changes nothing: 200 tells how far
/// that request is.
#[utoipa::path(
    post, path = "/v1/campaigns/{id}/dial-requests", tag = "dial_requests",
    params(
        ("id" = String, Path, description = "`camp_…`"),
        ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h"),
    ),
    request_body = DialRequestsBody,
    responses(
        (status = 202, description = "taken", body = DialRequestsAnswer),
        (status = 200, description = "all of them were there already", body = DialRequestsAnswer),
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
    params.only(&[])?;
    let pushed = Pushed::of(&api, &id)?;
    let many = body.parse::<Value>()?.get("requests").is_some();
    let wanted = if many { body.parse::<DialRequestBatch>()?.requests } else { vec![body.parse()?] };
    if wanted.is_empty() || wanted.len() > BATCH_MAX {
        return Err(Problem::field("/requests", "expected 1 to 1000 requests"));
    }
    let rows = read(&pushed, wanted, many, &api)?;
    let taken = take(&api, &caller, &pushed, rows).await?;
    api.metrics.dial_requests.with_label_values(&["accepted"]).inc_by(taken.accepted);
    api.metrics.dial_requests.with_label_values(&["duplicate"]).inc_by(taken.duplicates);
    api.metrics.dial_requests.with_label_values(&["dnc"]).inc_by(taken.refused.len() as u64);
    let status = if taken.accepted > 0 { StatusCode::ACCEPTED } else { StatusCode::OK };
    if many {
        return Ok((status, Json(taken)).into_response());
    }
    let Some(one) = taken.data.into_iter().next() else {
        return Err(
            Problem::new(Code::ComplianceBlocked, "the number is on a do-not-call list").with("rule", "dnc")
        );
    };
    let location = format!("/v1/campaigns/{}/dial-requests/{}", pushed.campaign, one.id);
    let location = HeaderValue::from_str(&location).expect("names are header text");
    Ok((status, [(LOCATION, location)], Json(one)).into_response())
}

/// All of them, or every fault there is.
fn read(
    pushed: &Pushed,
    wanted: Vec<DialRequestNew>,
    many: bool,
    api: &Gateway,
) -> Result<Vec<NewLead>, Problem> {
    let now = api.now();
    let mut faults: Vec<FieldError> = Vec::new();
    let mut rows = Vec::with_capacity(wanted.len());
    for (place, request) in wanted.into_iter().enumerate() {
        let before = if many { format!("/requests/{place}") } else { String::new() };
        let lead = request.into_lead(&pushed.push, pushed.region.as_deref(), now);
        let taken = |lead: NewLead| check_countries(&lead, &pushed.countries).map(|()| lead);
        match lead.and_then(taken) {
            Ok(lead) => rows.push(lead),
            Err(fault) => faults.push(fault.field_error(&before)),
        }
    }
    if faults.is_empty() { Ok(rows) } else { Err(Problem::fields(faults)) }
}

async fn take(
    api: &Gateway,
    caller: &Caller,
    pushed: &Pushed,
    rows: Vec<NewLead>,
) -> Result<DialRequestsTaken, Problem> {
    let (list, waiting_max) = (pushed.list, u64::from(pushed.push.waiting_max));
    let options = ImportOptions {
        on_duplicate: OnDuplicate::Skip,
        dedupe_scope: DedupeScope::None,
        now: api.now(),
        ..ImportOptions::default()
    };
    let stored = api
        .store(move |store| {
            let counts = store.lead_counts(list)?;
            if counts.new + counts.retry_wait + rows.len() as u64 > waiting_max {
                return Ok(None);
            }
            let verdicts = store.import_leads(list, rows, &options)?;
            let mut found = Vec::with_capacity(verdicts.len());
            let mut refused = Vec::new();
            for (place, verdict) in verdicts.iter().enumerate() {
                let (id, new) = match verdict {
                    ImportVerdict::Accepted { lead } => (*lead, true),
                    ImportVerdict::Updated { lead } | ImportVerdict::Duplicate { lead, .. } => (*lead, false),
                    ImportVerdict::Dnc => {
                        refused.push(DialRequestRefused { place: place as u64, code: "dnc" });
                        continue;
                    }
                    ImportVerdict::NoPhone | ImportVerdict::TooManyAttempts { .. } => continue,
                };
                if let Some(lead) = store.lead(id)? {
                    found.push((lead, new));
                }
            }
            Ok(Some((found, refused)))
        })
        .await?;
    let Some((stored, refused)) = stored else {
        api.metrics.dial_requests.with_label_values(&["refused"]).inc();
        let detail = format!("{waiting_max} requests wait to be dialled (push.waiting_max)");
        return Err(Problem::new(Code::LimitReached, detail).retry_after("1"));
    };
    let accepted = stored.iter().filter(|(_, new)| *new).count() as u64;
    if accepted > 0 {
        // They are stored; a dialer that does not take the hint finds them at its next look.
        if let Err(problem) = api.command(Command::LeadsImported { list, accepted }).await {
            tracing::warn!(detail = problem.detail(), "the dialer did not take note of dial requests");
        }
    }
    let (now, mask) = (api.now(), caller.mask());
    Ok(DialRequestsTaken {
        accepted,
        duplicates: stored.len() as u64 - accepted,
        refused,
        data: stored.iter().map(|(lead, _)| DialRequest::new(pushed.campaign, lead, now, mask)).collect(),
    })
}

/// Shows the dial requests of a campaign, in order of their coming.
#[utoipa::path(
    get, path = "/v1/campaigns/{id}/dial-requests", tag = "dial_requests",
    params(
        ("id" = String, Path, description = "`camp_…`"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = PageBody<DialRequest>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
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
    params.only(&["limit", "cursor"])?;
    let pushed = Pushed::of(&api, &id)?;
    let query = LeadPageQuery {
        list: pushed.list,
        state: None,
        cursor: params.text("cursor").map(str::to_owned),
        limit: params.limit()?,
    };
    let found = api.store(move |store| store.leads(&query)).await?;
    let (now, mask) = (api.now(), caller.mask());
    let data = found.items.iter().map(|lead| DialRequest::new(pushed.campaign, lead, now, mask)).collect();
    Ok(page(&uri, &params, PageBody { data, next_cursor: found.next_cursor, total: None }))
}

/// Shows how far a dial request is.
#[utoipa::path(
    get, path = "/v1/campaigns/{id}/dial-requests/{lead_id}", tag = "dial_requests",
    params(("id" = String, Path, description = "`camp_…`"), ("lead_id" = String, Path, description = "`lead_…`")),
    responses((status = 200, body = DialRequest), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:read"]))
)]
pub(crate) async fn show(
    State(api): Api,
    caller: Caller,
    Path((id, request)): Path<(String, String)>,
) -> Answer {
    caller.needs(&[Scope::LeadsRead])?;
    let pushed = Pushed::of(&api, &id)?;
    let lead: LeadId = path_id(&request, "dial request")?;
    let found = api.store(move |store| store.lead(lead)).await?.filter(|lead| lead.list == pushed.list);
    let found = found.ok_or_else(|| Problem::not_found("dial request"))?;
    Ok(Json(DialRequest::new(pushed.campaign, &found, api.now(), caller.mask())).into_response())
}
