//! `/v1/lists/{id}/leads:import`.

use super::{Answer, Api};
use crate::auth::{Caller, Scope};
use crate::extract::{Params, path_id};
use crate::gateway::Gateway;
use crate::import::{Format, ImportPlan, Rows, run};
use crate::numbers::is_region;
use crate::pieces::Pieces;
use crate::problem::{Code, Problem, ProblemBody};
use crate::spool::spool;
use crate::tenancy::tenant;
use crate::wire::lead::{ImportLine, is_time_zone};
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::Response;
use axum::http::header::CONTENT_TYPE;
use dialer_core::id::Kind;
use dialer_core::{CampaignId, ListId};
use std::sync::Arc;
use store::{DedupeScope, OnDuplicate};

/// Parameters of an import, also taken when leads are added one by one.
pub(crate) const IMPORT_PARAMETERS: [&str; 6] =
    ["on_duplicate", "dedupe_scope", "campaign", "dry_run", "region", "time_zone"];

/// Reads how to import.
pub(crate) fn plan(api: &Gateway, caller: &Caller, id: &str, params: &Params) -> Result<ImportPlan, Problem> {
    params.only(&IMPORT_PARAMETERS)?;
    let list: ListId = path_id(id, "list")?;
    let row = api.read_model.list(list).ok_or_else(|| Problem::not_found("list"))?;
    let on_duplicate = params.read("on_duplicate", "skip, update or error", |text| match text {
        "skip" => Some(OnDuplicate::Skip),
        "update" => Some(OnDuplicate::Update),
        "error" => Some(OnDuplicate::Error),
        _ => None,
    })?;
    let region = params.read("region", "a region like CN, US or GB (ISO 3166-1 alpha-2)", |text| {
        is_region(text).then(|| text.to_owned())
    })?;
    let time_zone = params.read("time_zone", "an IANA zone like Asia/Shanghai", |text| {
        is_time_zone(text).then(|| text.to_owned())
    })?;
    Ok(ImportPlan {
        list,
        region: region
            .or_else(|| row.config.default_region.clone())
            .or_else(|| api.config.default_region.clone()),
        time_zone,
        on_duplicate: on_duplicate.unwrap_or_default(),
        dedupe_scope: dedupe_scope(api, list, params)?,
        dry_run: params.flag("dry_run")?,
        mask: caller.mask(),
    })
}

fn dedupe_scope(api: &Gateway, list: ListId, params: &Params) -> Result<DedupeScope, Problem> {
    let wanted: Option<CampaignId> = params.id("campaign")?;
    if let Some(id) = wanted
        && api.read_model.campaign(id).is_none()
    {
        return Err(Problem::parameter("campaign", "there is no such campaign"));
    }
    match params.text("dedupe_scope") {
        None | Some("list") => Ok(DedupeScope::List),
        Some("none") => Ok(DedupeScope::None),
        Some("tenant") => Ok(of_tenant(api, list)),
        Some("campaign") => {
            let campaigns = api.read_model.campaigns();
            let mut lists: Vec<ListId> = campaigns
                .iter()
                .filter(|campaign| match wanted {
                    Some(id) => campaign.row.id == id,
                    None => campaign.row.config.lists.contains(&list),
                })
                .flat_map(|campaign| campaign.row.config.lists.iter().copied())
                .collect();
            lists.sort_unstable();
            lists.dedup();
            Ok(DedupeScope::Lists(lists))
        }
        Some(_) => Err(Problem::parameter("dedupe_scope", "expected list, campaign, tenant or none")),
    }
}

/// All lists of the tenant whose list this is.
fn of_tenant(api: &Gateway, list: ListId) -> DedupeScope {
    let lists = api.read_model.lists();
    let Some(owner) = lists.iter().find(|row| row.id == list).map(|row| &row.config.tenant) else {
        return DedupeScope::List;
    };
    let own = lists.iter().filter(|row| row.config.tenant == *owner);
    let own: Vec<ListId> = own.map(|row| row.id).collect();
    // Where there is one tenant, nothing has to be told apart.
    if own.len() == lists.len() && tenant().is_none() { DedupeScope::All } else { DedupeScope::Lists(own) }
}

struct SpoolKind;
impl Kind for SpoolKind {
    const PREFIX: &'static str = "import";
}

/// Imports leads: `text/csv` with a header, or `application/x-ndjson` with one lead per line (see `LeadRequest`).
///
/// CSV columns: `phone`, `number`, `phone1` … (numbers in dial order), `external_id`, `priority`, `time_zone` or
/// `tz`, `expires_at`; every other column becomes a field. The response gives one line per row as it is judged
/// and a last line `{"summary":{…}}`. The body may be packed (`Content-Encoding: gzip`) up to 200 times. A row that cannot be read costs that row alone. The dialer is told as leads
/// arrive, so a running campaign dials them at once.
#[utoipa::path(
    post, path = "/v1/lists/{id}/leads:import", tag = "leads",
    params(
        ("id" = String, Path, description = "`list_…`"),
        ("on_duplicate" = Option<String>, Query, description = "`skip` (the default), `update` or `error`"),
        ("dedupe_scope" = Option<String>, Query, description = "where an equal number makes a duplicate: `list` (the default), `campaign` (lists of the campaigns that use this list, or of `campaign`), `tenant`, `none`; an equal external_id in the list always does"),
        ("campaign" = Option<String>, Query, description = "for `dedupe_scope=campaign`"),
        ("dry_run" = Option<bool>, Query, description = "tell the verdicts, write nothing"),
        ("region" = Option<String>, Query, description = "for numbers without a country code; the list's if absent"),
        ("time_zone" = Option<String>, Query, description = "for rows that name none"),
        ("Content-Encoding" = Option<String>, Header, description = "`gzip`, or none"),
    ),
    request_body(content((String = "text/csv"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "one verdict per line, then the summary", content_type = "application/x-ndjson", body = ImportLine),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json")
    ),
    security(("bearer" = ["leads:write"]))
)]
pub(crate) async fn import(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
    request: Request,
) -> Answer {
    caller.needs(&[Scope::LeadsWrite])?;
    let plan = plan(&api, &caller, &id, &params)?;
    let expected = || {
        Problem::new(Code::UnsupportedMediaType, "expected Content-Type: text/csv or application/x-ndjson")
    };
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let essence = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let (parts, body) = request.into_parts();
    let body = Pieces::new(&parts.headers, body)?;
    let permit = Arc::clone(&api.imports)
        .try_acquire_owned()
        .map_err(|_| Problem::new(Code::LimitReached, "too many imports at once").retry_after("5"))?;
    let (rows, format) = match essence.as_str() {
        "application/x-ndjson" | "application/jsonl" => (Rows::lines(body), Format::Ndjson),
        "text/csv" => {
            let (rows, header) = Rows::csv(body).await?;
            (rows, Format::Csv(header))
        }
        _ => return Err(expected()),
    };
    let (folder, name) = (api.config.recordings_dir.clone(), api.new_id::<SpoolKind>().to_string());
    let made = tokio::task::spawn_blocking(move || spool(&folder, &name)).await;
    let (writer, reader) = match made {
        Ok(Ok(ends)) => ends,
        Ok(Err(error)) => {
            tracing::error!(%error, "no file for the verdicts of an import");
            return Err(Problem::new(Code::StoreUnavailable, "verdicts cannot be kept now").retry_after("5"));
        }
        Err(_) => return Err(Problem::new(Code::Internal, "see the log under the request id")),
    };
    tokio::spawn(async move {
        let _permit = permit;
        run(api, rows, format, plan, writer, caller).await;
    });
    let verdicts = futures_util::stream::unfold(reader, |mut reader| async {
        let bytes = reader.next().await?;
        Some((bytes, reader))
    });
    let response =
        Response::builder().header(CONTENT_TYPE, "application/x-ndjson").body(Body::from_stream(verdicts));
    response.map_err(|_| Problem::new(Code::Internal, "see the log under the request id"))
}
