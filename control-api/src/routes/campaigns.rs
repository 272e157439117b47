//! `/v1/campaigns`.

use super::{Answer, Api, Empty, created, found, odd_reply, patch};
use crate::auth::{Caller, Scope};
use crate::extract::{Checks, IfMatch, JsonBody, Params, path_id};
use crate::gateway::Gateway;
use crate::page::{PAGE_PARAMETERS, PageBody, cut};
use crate::problem::{Problem, ProblemBody};
use crate::prompts::of_campaign;
use crate::wire::campaign::{Campaign, CampaignRequest};
use crate::wire::pacing::CampaignPacing;
use crate::wire::recycle::CopyRequest;
use crate::wire::report::{CampaignDiagnostics, CampaignProgress, CampaignStats, Evidence, owners_at_work};
use crate::wire::screened::{LOOKED_AT_MAX, ScreenedLeads};
use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use dialer_core::compliance::screen_of;
use dialer_core::config::CampaignConfig;
use dialer_core::view::CampaignView;
use dialer_core::{CampaignId, Command, Reply};
use std::sync::Arc;
use store::LeadQuery;

const READ: &[Scope] = &[Scope::CampaignsRead, Scope::CampaignsWrite];
const WRITE: &[Scope] = &[Scope::CampaignsWrite];
/// Of a name so much goes before "(copy)", characters.
const COPY_NAME_LENGTH: usize = 90;

/// Lists campaigns.
#[utoipa::path(
    get, path = "/v1/campaigns", tag = "campaigns",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("include" = Option<String>, Query, description = "`total`"),
    ),
    responses((status = 200, body = PageBody<Campaign>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
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
    cut(&uri, &params, api.read_model.campaigns(), |view| view.row.id, |view| Campaign::new(view, mask))
}

/// Makes a campaign.
#[utoipa::path(
    post, path = "/v1/campaigns", tag = "campaigns",
    params(("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = CampaignRequest,
    responses((status = 201, body = Campaign), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
)]
pub(crate) async fn create(State(api): Api, caller: Caller, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let config = CampaignConfig::try_from(body.parse::<CampaignRequest>()?)?;
    api.needs_prompts(&of_campaign(&config), &[])?;
    let Reply::Campaign(id, version) = api.command(Command::CreateCampaign(Box::new(config))).await? else {
        return Err(odd_reply());
    };
    made(&api, &caller, id, version).await
}

/// Answers with a campaign that was made.
async fn made(api: &Gateway, caller: &Caller, id: CampaignId, version: u32) -> Answer {
    let view = api.view(|model| model.campaign(id).filter(|view| view.row.version >= version)).await?;
    Ok(created(format!("/v1/campaigns/{id}"), view.row.version, &Campaign::new(&view, caller.mask())))
}

/// Makes a campaign (stopped) with the settings of another.
#[utoipa::path(
    post, path = "/v1/campaigns/{id}:copy", tag = "campaigns",
    params(
        ("id" = String, Path, description = "`camp_…`"),
        ("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h"),
    ),
    request_body = Option<CopyRequest>,
    responses((status = 201, body = Campaign), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
)]
pub(crate) async fn copy(State(api): Api, caller: Caller, Path(id): Path<String>, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let CopyRequest { name } = body.parse_or_default()?;
    let view = look(&api, &caller, &id)?;
    let name = name.unwrap_or_else(|| {
        let short: String = view.row.config.name.chars().take(COPY_NAME_LENGTH).collect();
        format!("{short} (copy)")
    });
    let mut checks = Checks::default();
    checks.text(&name, 100, "/name");
    checks.finish()?;
    let Reply::Campaign(id, version) =
        api.command(Command::CopyCampaign { campaign: view.row.id, name }).await?
    else {
        return Err(odd_reply());
    };
    made(&api, &caller, id, version).await
}

/// Shows a campaign.
#[utoipa::path(
    get, path = "/v1/campaigns/{id}", tag = "campaigns", params(("id" = String, Path, description = "`camp_…`")),
    responses((status = 200, body = Campaign), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:read"]))
)]
pub(crate) async fn show(State(api): Api, caller: Caller, Path(id): Path<String>, params: Params) -> Answer {
    caller.needs(READ)?;
    params.only(&[])?;
    let id: CampaignId = path_id(&id, "campaign")?;
    let view = api.read_model.campaign(id).ok_or_else(|| Problem::not_found("campaign"))?;
    Ok(found(view.row.version, &Campaign::new(&view, caller.mask())))
}

/// Changes a campaign (JSON Merge Patch). Takes effect at the next decision, also while it runs.
#[utoipa::path(
    patch, path = "/v1/campaigns/{id}", tag = "campaigns",
    params(
        ("id" = String, Path, description = "`camp_…`"),
        ("If-Match" = Option<String>, Header, description = "the version meant, `\"v3\"`"),
    ),
    request_body(content = CampaignRequest, content_type = "application/merge-patch+json", description = "any part of it"),
    responses((status = 200, body = Campaign), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
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
    let id: CampaignId = path_id(&id, "campaign")?;
    let if_match = IfMatch::from_headers(&headers)?;
    let view = patch::apply(
        &api,
        &if_match,
        "campaign",
        |model| model.campaign(id),
        |view, if_version| {
            let config =
                Box::new(CampaignConfig::try_from(body.merged(&CampaignRequest::from(&view.row.config))?)?);
            api.needs_prompts(&of_campaign(&config), &of_campaign(&view.row.config))?;
            Ok(Command::UpdateCampaign { campaign: id, config, if_version })
        },
    )
    .await?;
    Ok(found(view.row.version, &Campaign::new(&view, caller.mask())))
}

/// Deletes a campaign that is stopped and has no live calls; its records stay.
#[utoipa::path(
    delete, path = "/v1/campaigns/{id}", tag = "campaigns",
    params(
        ("id" = String, Path, description = "`camp_…`"),
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
    let id: CampaignId = path_id(&id, "campaign")?;
    let view = api.read_model.campaign(id).ok_or_else(|| Problem::not_found("campaign"))?;
    IfMatch::from_headers(&headers)?.check(view.row.version)?;
    api.command(Command::DeleteCampaign(id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn act(
    api: &Gateway,
    caller: &Caller,
    id: &str,
    command: impl FnOnce(CampaignId) -> Command,
) -> Answer {
    let id: CampaignId = path_id(id, "campaign")?;
    if api.read_model.campaign(id).is_none() {
        return Err(Problem::not_found("campaign"));
    }
    api.command(command(id)).await?;
    let view = api.read_model.campaign(id).ok_or_else(|| Problem::not_found("campaign"))?;
    Ok(found(view.row.version, &Campaign::new(&view, caller.mask())))
}

/// Starts a stopped campaign.
#[utoipa::path(
    post, path = "/v1/campaigns/{id}:start", tag = "campaigns", params(("id" = String, Path, description = "`camp_…`")),
    responses((status = 200, body = Campaign), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
)]
pub(crate) async fn start(State(api): Api, caller: Caller, Path(id): Path<String>, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    body.parse_or_default::<Empty>()?;
    act(&api, &caller, &id, Command::StartCampaign).await
}

/// Stops dialing; live calls go on.
#[utoipa::path(
    post, path = "/v1/campaigns/{id}:pause", tag = "campaigns", params(("id" = String, Path, description = "`camp_…`")),
    responses((status = 200, body = Campaign), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
)]
pub(crate) async fn pause(State(api): Api, caller: Caller, Path(id): Path<String>, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    body.parse_or_default::<Empty>()?;
    act(&api, &caller, &id, Command::PauseCampaign).await
}

/// Dials again after a pause.
#[utoipa::path(
    post, path = "/v1/campaigns/{id}:resume", tag = "campaigns", params(("id" = String, Path, description = "`camp_…`")),
    responses((status = 200, body = Campaign), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
)]
pub(crate) async fn resume(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Answer {
    caller.needs(WRITE)?;
    body.parse_or_default::<Empty>()?;
    act(&api, &caller, &id, Command::ResumeCampaign).await
}

/// Ends dialing; ringing calls are cancelled, talking ones go on.
#[utoipa::path(
    post, path = "/v1/campaigns/{id}:stop", tag = "campaigns", params(("id" = String, Path, description = "`camp_…`")),
    responses((status = 200, body = Campaign), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
)]
pub(crate) async fn stop(State(api): Api, caller: Caller, Path(id): Path<String>, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    body.parse_or_default::<Empty>()?;
    act(&api, &caller, &id, Command::StopCampaign).await
}

pub(super) fn look(api: &Gateway, caller: &Caller, id: &str) -> Result<Arc<CampaignView>, Problem> {
    caller.needs(READ)?;
    find(api, id)
}

/// A campaign, for callers whose right to it has been looked at.
pub(super) fn find(api: &Gateway, id: &str) -> Result<Arc<CampaignView>, Problem> {
    let id: CampaignId = path_id(id, "campaign")?;
    api.read_model.campaign(id).ok_or_else(|| Problem::not_found("campaign"))
}

/// Shows a campaign's figures since it was made.
#[utoipa::path(
    get, path = "/v1/campaigns/{id}/stats", tag = "campaigns", params(("id" = String, Path, description = "`camp_…`")),
    responses((status = 200, body = CampaignStats), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:read"]))
)]
pub(crate) async fn stats(State(api): Api, caller: Caller, Path(id): Path<String>) -> Answer {
    let view = look(&api, &caller, &id)?;
    let campaign = view.row.id;
    let lists = view.row.config.lists.clone();
    let (totals, leads) = api
        .store(move |store| {
            let counts = lists.iter().map(|list| store.lead_counts(*list)).collect::<Result<Vec<_>, _>>()?;
            Ok((store.attempt_totals(campaign)?, counts))
        })
        .await?;
    let progress = CampaignProgress::of(&leads);
    Ok(Json(CampaignStats::new(&view, &totals, &api.read_model.agents(), progress)).into_response())
}

/// Shows how a campaign is paced: its last decisions, its budget, what was forecast and what came, what was learned.
#[utoipa::path(
    get, path = "/v1/campaigns/{id}/pacing", tag = "campaigns",
    params(
        ("id" = String, Path, description = "`camp_…`"),
        ("limit" = Option<u32>, Query, description = "so many of the last decisions at most, 1 to 1000, 100 if absent"),
    ),
    responses((status = 200, body = CampaignPacing), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:read"]))
)]
pub(crate) async fn pacing(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Answer {
    let view = look(&api, &caller, &id)?;
    params.only(&["limit"])?;
    let history = api.read_model.decisions(view.row.id, params.limit()? as usize);
    Ok(Json(CampaignPacing::new(&view, &history)).into_response())
}

/// Says why a campaign dials, or does not: the whole funnel with counts, and one sentence.
#[utoipa::path(
    get, path = "/v1/campaigns/{id}/diagnostics", tag = "campaigns",
    params(("id" = String, Path, description = "`camp_…`")),
    responses((status = 200, body = CampaignDiagnostics), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:read"]))
)]
pub(crate) async fn diagnostics(State(api): Api, caller: Caller, Path(id): Path<String>) -> Answer {
    let view = look(&api, &caller, &id)?;
    let now = api.now();
    let (lists, attempts_max) = (view.row.config.lists.clone(), view.row.config.attempts_max);
    let mut screen = screen_of(&view.row.config, api.read_model.windows_of(&view).as_ref());
    if view.row.config.serving.owner_only {
        screen.owners = Some(owners_at_work(&api.read_model.agents(), &view.row.config));
    }
    let (funnel, screened) = api
        .store(move |store| {
            let funnel = store.funnel(&lists, now, attempts_max)?;
            if screen.is_open() {
                return Ok((funnel, None));
            }
            let query = LeadQuery { lists, limit: LOOKED_AT_MAX, due_at: now, ..LeadQuery::default() };
            let leads = store.load_leads(&query)?.leads;
            Ok((funnel, Some(ScreenedLeads::new(&leads, &screen, now))))
        })
        .await?;
    let evidence = Evidence {
        campaign: &view,
        funnel: &funnel,
        screened,
        agents: &api.read_model.agents(),
        trunks: &api.read_model.trunks(),
        node: api.read_model.node(),
        now,
    };
    Ok(Json(CampaignDiagnostics::new(&evidence)).into_response())
}
