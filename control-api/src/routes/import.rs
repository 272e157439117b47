//! `/v1/lists/{id}/leads:import`, and `/v1/imports` for those that go on by themselves.

use super::{Answer, Api};
use crate::auth::{Caller, Scope};
use crate::extract::{Params, path_id};
use crate::gateway::Gateway;
use crate::import::{Format, ImportPlan, Rows, run};
use crate::import_jobs::{ImportId, begin, pieces_of, take_in};
use crate::numbers::is_region;
use crate::page::{PAGE_PARAMETERS, PageBody, cut};
use crate::pieces::Pieces;
use crate::problem::{Code, Problem, ProblemBody};
use crate::spool::{SpoolReader, spool};
use crate::tenancy::tenant;
use crate::wire::lead::{Import, ImportLine, is_time_zone};
use axum::Json;
use axum::body::Body;
use axum::extract::{OriginalUri, Path, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use dialer_core::id::Kind;
use dialer_core::{CampaignId, ListId};
use std::sync::Arc;
use store::{DedupeScope, OnDuplicate};

/// Parameters of an import, also taken when leads are added one by one.
pub(crate) const IMPORT_PARAMETERS: [&str; 7] =
    ["on_duplicate", "dedupe_scope", "campaign", "attempts_max", "dry_run", "region", "time_zone"];

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
    let time_zone = params.read("time_zone", "from_number, or an IANA zone like Asia/Shanghai", |text| {
        let by_number = text == "from_number";
        (by_number || is_time_zone(text)).then(|| (!by_number).then(|| text.to_owned()))
    })?;
    Ok(ImportPlan {
        list,
        region: region
            .or_else(|| row.config.default_region.clone())
            .or_else(|| api.config.default_region.clone()),
        time_zone: time_zone.flatten(),
        on_duplicate: on_duplicate.unwrap_or_default(),
        dedupe_scope: dedupe_scope(api, list, params)?,
        attempts_max: params.read("attempts_max", "a whole number from 1 to 1000", |text| {
            text.parse().ok().filter(|most| (1..=1_000).contains(most))
        })?,
        countries: row.config.countries.clone(),
        dry_run: params.flag("dry_run")?,
        mask: caller.mask(),
        progress: None,
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
///
/// With `Prefer: respond-async` the body is taken in whole and answered with 202 and an import, which goes on by itself:
/// `GET /v1/imports/{id}` tells how far it is, `…/result` its verdicts.
#[utoipa::path(
    post, path = "/v1/lists/{id}/leads:import", tag = "leads",
    params(
        ("id" = String, Path, description = "`list_…`"),
        ("on_duplicate" = Option<String>, Query, description = "`skip` (the default), `update` or `error`"),
        ("dedupe_scope" = Option<String>, Query, description = "where an equal number makes a duplicate: `list` (the default), `campaign` (lists of the campaigns that use this list, or of `campaign`), `tenant`, `none`; an equal external_id in the list always does"),
        ("campaign" = Option<String>, Query, description = "for `dedupe_scope=campaign`"),
        ("attempts_max" = Option<u32>, Query, description = "rows whose lead (by `dedupe_scope` or external_id) has been tried so often are not taken: `too_many_attempts`"),
        ("dry_run" = Option<bool>, Query, description = "tell the verdicts, write nothing"),
        ("region" = Option<String>, Query, description = "for numbers without a country code; the list's if absent"),
        ("time_zone" = Option<String>, Query, description = "for rows that name none: an IANA zone, or `from_number` (the default): the zones that the number may be in"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`: answer as soon as the body is here"),
        ("Content-Encoding" = Option<String>, Header, description = "`gzip`, or none"),
    ),
    request_body(content((String = "text/csv"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "one verdict per line, then the summary", content_type = "application/x-ndjson", body = ImportLine),
        (status = 202, description = "it goes on by itself; `Location` says where", body = Import),
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
    if !api.read_model.node().store_healthy {
        return Err(Problem::new(Code::StoreUnavailable, "records cannot be written now").retry_after("5"));
    }
    let (parts, body) = request.into_parts();
    let permit = Arc::clone(&api.imports)
        .try_acquire_owned()
        .map_err(|_| Problem::new(Code::LimitReached, "too many imports at once").retry_after("5"))?;
    let by_itself = prefers_async(&parts.headers);
    let body = match by_itself {
        true => take_in(&api, body, api.new_id::<SpoolKind>().to_string()).await?,
        false => body,
    };
    let body = Pieces::new(&parts.headers, body)?;
    let (rows, format) = match essence.as_str() {
        "application/x-ndjson" | "application/jsonl" => (Rows::lines(body), Format::Ndjson),
        "text/csv" => {
            let (rows, header) = Rows::csv(body).await?;
            (rows, Format::Csv(header))
        }
        _ => return Err(expected()),
    };
    if by_itself {
        return begun(&api, (rows, format), plan, caller, permit).await;
    }
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
    streamed(reader)
}

/// Verdicts as they are read.
fn streamed(reader: SpoolReader) -> Answer {
    let body = Body::from_stream(pieces_of(reader));
    let response = Response::builder().header(CONTENT_TYPE, "application/x-ndjson").body(body);
    response.map_err(|_| Problem::new(Code::Internal, "see the log under the request id"))
}

/// RFC 7240 §4.1.
pub(crate) fn prefers_async(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split([',', ';']))
        .any(|one| one.trim().eq_ignore_ascii_case("respond-async"))
}

async fn begun(
    api: &Arc<Gateway>,
    rows: (Rows, Format),
    plan: ImportPlan,
    caller: Caller,
    permit: tokio::sync::OwnedSemaphorePermit,
) -> Answer {
    let list = api.read_model.list(plan.list).ok_or_else(|| Problem::not_found("list"))?;
    let import = begin(api, rows, plan, list.config.tenant.clone(), caller, permit).await?;
    let location = format!("/v1/imports/{}", import.id);
    let applied = [("preference-applied", "respond-async".to_owned()), ("location", location)];
    Ok((StatusCode::ACCEPTED, applied, Json(import)).into_response())
}

const READ: &[Scope] = &[Scope::LeadsRead, Scope::LeadsWrite];

/// Shows the imports of the last seven days that were asked for with `Prefer: respond-async`.
#[utoipa::path(
    get, path = "/v1/imports", tag = "leads",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("include" = Option<String>, Query, description = "`total`"),
    ),
    responses((status = 200, body = PageBody<Import>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:read"]))
)]
pub(crate) async fn list_imports(
    State(api): Api,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    params: Params,
) -> Answer {
    caller.needs(READ)?;
    params.only(&PAGE_PARAMETERS)?;
    let imports = api.imports_kept().await?;
    let id = |import: &Import| import.id.parse::<ImportId>().unwrap_or_else(|_| ImportId::from_bits(0));
    cut(&uri, &params, imports, id, Clone::clone)
}

/// Shows how far an import is.
#[utoipa::path(
    get, path = "/v1/imports/{id}", tag = "leads", params(("id" = String, Path, description = "`imp_…`")),
    responses((status = 200, body = Import), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:read"]))
)]
pub(crate) async fn show_import(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Answer {
    caller.needs(READ)?;
    params.only(&[])?;
    Ok(Json(api.import_kept(&id).await?).into_response())
}

/// The verdicts of an import that is over, one per line, and its summary. 409 while it runs. Numbers are as whoever asked for
/// the import may see them.
#[utoipa::path(
    get, path = "/v1/imports/{id}/result", tag = "leads", params(("id" = String, Path, description = "`imp_…`")),
    responses(
        (status = 200, description = "one verdict per line, then the summary", content_type = "application/x-ndjson", body = ImportLine),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json")
    ),
    security(("bearer" = ["leads:write"]))
)]
pub(crate) async fn import_result(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Answer {
    caller.needs(&[Scope::LeadsWrite])?;
    params.only(&[])?;
    streamed(api.import_result(&id).await?)
}
