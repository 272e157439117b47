//! `/v1/dnc-lists`.

use super::{Answer, Api, created, found, odd_reply, patch};
use crate::auth::{Caller, Scope};
use crate::extract::{BATCH_BYTES_MAX, IfMatch, JsonBody, Params, path_id};
use crate::gateway::Gateway;
use crate::page::{PAGE_PARAMETERS, PageBody, cut};
use crate::pieces::{PieceFault, Pieces};
use crate::problem::{Code, Problem, ProblemBody};
use crate::wire::dnc::{
    DncChanged, DncEntry, DncFault, DncImported, DncList, DncListRequest, DncNumbersRequest, dnc_entry,
};
use axum::Json;
use axum::extract::{OriginalUri, Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use dialer_core::config::DncListConfig;
use dialer_core::record::DncNumbers;
use dialer_core::{Command, DNC_ENTRIES_MAX, DncListId, Reply};
use std::sync::Arc;

const READ: &[Scope] = &[Scope::LeadsRead, Scope::LeadsWrite, Scope::CampaignsRead, Scope::CampaignsWrite];
const WRITE: &[Scope] = &[Scope::LeadsWrite];

/// Longest line of an import, bytes.
const LINE_MAX: usize = 256;
/// Faults told of an import.
const FAULTS_MAX: usize = 20;

/// Shows the do-not-call lists.
#[utoipa::path(
    get, path = "/v1/dnc-lists", tag = "dnc",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("include" = Option<String>, Query, description = "`total`"),
    ),
    responses((status = 200, body = PageBody<DncList>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:read"]))
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
    cut(&uri, &params, api.read_model.dnc_lists(), |view| view.row.id, |view| DncList::new(view, mask))
}

/// Makes a do-not-call list.
#[utoipa::path(
    post, path = "/v1/dnc-lists", tag = "dnc",
    params(("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = DncListRequest,
    responses((status = 201, body = DncList), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:write"]))
)]
pub(crate) async fn create(State(api): Api, caller: Caller, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let config = DncListConfig::try_from(body.parse::<DncListRequest>()?)?;
    let Reply::DncList(id, version) = api.command(Command::CreateDncList(config)).await? else {
        return Err(odd_reply());
    };
    let view = api.view(|model| model.dnc_list(id).filter(|view| view.row.version >= version)).await?;
    Ok(created(format!("/v1/dnc-lists/{id}"), view.row.version, &DncList::new(&view, caller.mask())))
}

/// Shows a do-not-call list.
#[utoipa::path(
    get, path = "/v1/dnc-lists/{id}", tag = "dnc", params(("id" = String, Path, description = "`dnc_…`")),
    responses((status = 200, body = DncList), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:read"]))
)]
pub(crate) async fn show(State(api): Api, caller: Caller, Path(id): Path<String>, params: Params) -> Answer {
    caller.needs(READ)?;
    params.only(&[])?;
    let (_, view) = known(&api, &id)?;
    Ok(found(view.row.version, &DncList::new(&view, caller.mask())))
}

fn known(api: &Gateway, id: &str) -> Result<(DncListId, Arc<dialer_core::view::DncListView>), Problem> {
    let id: DncListId = path_id(id, "do-not-call list")?;
    let view = api.read_model.dnc_list(id).ok_or_else(|| Problem::not_found("do-not-call list"))?;
    Ok((id, view))
}

/// Changes a do-not-call list (JSON Merge Patch).
#[utoipa::path(
    patch, path = "/v1/dnc-lists/{id}", tag = "dnc",
    params(
        ("id" = String, Path, description = "`dnc_…`"),
        ("If-Match" = Option<String>, Header, description = "the version meant, `\"v3\"`"),
    ),
    request_body(content = DncListRequest, content_type = "application/merge-patch+json", description = "any part of it"),
    responses((status = 200, body = DncList), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:write"]))
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
    let id: DncListId = path_id(&id, "do-not-call list")?;
    let view = patch::apply(
        &api,
        &if_match,
        "do-not-call list",
        |model| model.dnc_list(id),
        |view, if_version| {
            let config = DncListConfig::try_from(body.merged(&DncListRequest::from(&view.row.config))?)?;
            Ok(Command::UpdateDncList { list: id, config, if_version })
        },
    )
    .await?;
    Ok(found(view.row.version, &DncList::new(&view, caller.mask())))
}

/// Deletes a do-not-call list with all that is on it; refused while a campaign names it.
#[utoipa::path(
    delete, path = "/v1/dnc-lists/{id}", tag = "dnc",
    params(
        ("id" = String, Path, description = "`dnc_…`"),
        ("If-Match" = Option<String>, Header, description = "the version meant, `\"v3\"`"),
    ),
    responses((status = 204), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:write"]))
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
    api.command(Command::DeleteDncList(id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn count(api: &Gateway, command: Command) -> Result<u64, Problem> {
    match api.command(command).await? {
        Reply::Count(count) => Ok(count),
        _ => Err(odd_reply()),
    }
}

/// Puts numbers on a do-not-call list. They hold from the answer on, also for leads in hoppers.
#[utoipa::path(
    post, path = "/v1/dnc-lists/{id}/numbers", tag = "dnc",
    params(
        ("id" = String, Path, description = "`dnc_…`"),
        ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h"),
    ),
    request_body = DncNumbersRequest,
    responses((status = 200, body = DncChanged), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:write"]))
)]
pub(crate) async fn add(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody<BATCH_BYTES_MAX>,
) -> Answer {
    caller.needs(WRITE)?;
    let (list, _) = known(&api, &id)?;
    let entries = body.parse::<DncNumbersRequest>()?.checked(api.config.default_region.as_deref())?;
    let changed = count(&api, Command::AddDnc { list, entries }).await?;
    Ok(Json(DncChanged { changed }).into_response())
}

/// Takes numbers off a do-not-call list. Leads that were taken out because of them stay out until they are recycled.
#[utoipa::path(
    post, path = "/v1/dnc-lists/{id}/numbers:remove", tag = "dnc",
    params(
        ("id" = String, Path, description = "`dnc_…`"),
        ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h"),
    ),
    request_body = DncNumbersRequest,
    responses((status = 200, body = DncChanged), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:write"]))
)]
pub(crate) async fn remove(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody<BATCH_BYTES_MAX>,
) -> Answer {
    caller.needs(WRITE)?;
    let (list, _) = known(&api, &id)?;
    let request: DncNumbersRequest = body.parse()?;
    if request.expires_at.is_some() {
        return Err(Problem::field("/expires_at", "not taken when numbers are removed"));
    }
    let entries = request.checked(api.config.default_region.as_deref())?;
    let changed = count(&api, Command::RemoveDnc { list, entries }).await?;
    Ok(Json(DncChanged { changed }).into_response())
}

/// Imports numbers, one per line (`text/plain`; of a `text/csv` the first column). Lines that are no numbers are
/// counted and passed over, except a first line that is a heading. What was read before an error stays on the list.
#[utoipa::path(
    post, path = "/v1/dnc-lists/{id}/numbers:import", tag = "dnc",
    params(
        ("id" = String, Path, description = "`dnc_…`"),
        ("expires_at" = Option<String>, Query, description = "they lapse then, e.g. the day by which the list is to be renewed"),
        ("region" = Option<String>, Query, description = "for numbers without a country code"),
    ),
    request_body(content((String = "text/plain"), (String = "text/csv"))),
    responses((status = 200, body = DncImported), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["leads:write"]))
)]
pub(crate) async fn import(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
    request: Request,
) -> Answer {
    caller.needs(WRITE)?;
    params.only(&["expires_at", "region"])?;
    let (list, _) = known(&api, &id)?;
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let essence = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if !matches!(essence.as_str(), "text/plain" | "text/csv") {
        let detail = "expected Content-Type: text/plain or text/csv";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let expires_at =
        params.read("expires_at", "a time like 2026-12-31T00:00:00Z", crate::time::parse_rfc3339)?;
    let region = params.read("region", "a region like CN, US or GB (ISO 3166-1 alpha-2)", |text| {
        crate::numbers::is_region(text).then(|| text.to_owned())
    })?;
    let region = region.or_else(|| api.config.default_region.clone());
    let mut import = Import::of(&api, list);
    (import.region, import.expires_at) = (region, expires_at);
    let (parts, body) = request.into_parts();
    let mut body = Pieces::new(&parts.headers, body)?;
    let mut rest: Vec<u8> = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(PieceFault::problem)?;
        rest.extend_from_slice(&chunk);
        let mut start = 0;
        while let Some(length) = rest[start..].iter().position(|byte| *byte == b'\n') {
            import.line(&rest[start..start + length]).await?;
            start += length + 1;
        }
        rest.drain(..start);
        if rest.len() > LINE_MAX {
            return Err(Problem::new(Code::PayloadTooLarge, "a line is longer than 256 bytes"));
        }
    }
    if !rest.is_empty() {
        import.line(&rest).await?;
    }
    import.write().await?;
    Ok(Json(import.told).into_response())
}

struct Import<'a> {
    api: &'a Gateway,
    list: DncListId,
    region: Option<String>,
    expires_at: Option<sansio::WallTime>,
    entries: DncNumbers,
    told: DncImported,
}

impl<'a> Import<'a> {
    fn of(api: &'a Gateway, list: DncListId) -> Self {
        Import {
            api,
            list,
            region: None,
            expires_at: None,
            entries: DncNumbers::default(),
            told: DncImported::default(),
        }
    }

    async fn line(&mut self, line: &[u8]) -> Result<(), Problem> {
        let text = String::from_utf8_lossy(line);
        let text = text.split([',', ';', '\t']).next().unwrap_or_default().trim().trim_matches('"');
        if text.is_empty() {
            return Ok(());
        }
        self.told.lines += 1;
        match dnc_entry(text, self.region.as_deref()) {
            Ok(DncEntry::Number(number)) => self.entries.numbers.push(number),
            Ok(DncEntry::Prefix(prefix)) => self.entries.prefixes.push(prefix),
            Err(fault) => {
                self.told.refused += 1;
                if self.told.faults.len() < FAULTS_MAX {
                    self.told.faults.push(DncFault { line: self.told.lines, detail: fault.to_owned() });
                }
            }
        }
        if self.entries.numbers.len() + self.entries.prefixes.len() >= DNC_ENTRIES_MAX {
            self.write().await?;
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), Problem> {
        let entries = DncNumbers { expires_at: self.expires_at, ..std::mem::take(&mut self.entries) };
        if !entries.numbers.is_empty() || !entries.prefixes.is_empty() {
            self.told.added += count(self.api, Command::AddDnc { list: self.list, entries }).await?;
        }
        Ok(())
    }
}
