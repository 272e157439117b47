//! `/v1/webhooks`.

use super::{Answer as Response, Api, Empty, created, found};
use crate::auth::{Caller, Scope};
use crate::extract::{Checks, IfMatch, JsonBody, Params, path_id};
use crate::gateway::Gateway;
use crate::page::{PAGE_PARAMETERS, PageBody, cut, page};
use crate::problem::{Code, Problem, ProblemBody};
use crate::tenancy::sees;
use crate::webhook::{Answer, WEBHOOKS_MAX, secret_key, secret_text};
use crate::wire::event::{cursor_text, parse_cursor};
use crate::wire::webhook::{
    Delivery, NewWebhook, ReplayRequest, RotateRequest, Webhook, WebhookRequest, WebhookTest,
};
use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use dialer_core::WebhookId;
use dialer_core::record::Actor;
use sansio::WallTime;
use store::{WebhookDelivery, WebhookProgress, WebhookRow, WebhookSecret};

const WRITE: &[Scope] = &[Scope::WebhooksWrite];
/// For how long a replaced secret signs beside the new one, if the request does not say.
const OVERLAP_MS: u64 = 24 * 3_600_000;
/// Most webhooks of one tenant: it leaves room for the others.
const TENANT_WEBHOOKS_MAX: usize = 20;

fn shown(api: &Gateway, row: &WebhookRow, position: u64) -> Webhook {
    let standing = api.webhooks.standing(row.id);
    Webhook::new(row, position, standing.as_ref(), (&api.node.name, api.events.latest()))
}

/// Lists webhooks.
#[utoipa::path(
    get, path = "/v1/webhooks", tag = "webhooks",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("include" = Option<String>, Query, description = "`total`"),
    ),
    responses((status = 200, body = PageBody<Webhook>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["webhooks:write"]))
)]
pub(crate) async fn list(State(api): Api, caller: Caller, uri: Uri, params: Params) -> Response {
    caller.needs(WRITE)?;
    params.only(&PAGE_PARAMETERS)?;
    let mut all = api.store(|store| store.webhooks()).await?;
    all.retain(|(row, _)| sees(row.tenant.as_ref()));
    cut(&uri, &params, all, |(row, _)| row.id, |(row, position)| shown(&api, row, *position))
}

/// Makes a webhook: events from now on are sent by POST, signed by Standard Webhooks (`webhook-id`, `webhook-timestamp`,
/// `webhook-signature`), those of one call in their order, again until they are taken (2xx). Its secret is shown this
/// once.
#[utoipa::path(
    post, path = "/v1/webhooks", tag = "webhooks", request_body = WebhookRequest,
    responses((status = 201, body = NewWebhook), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["webhooks:write"]))
)]
pub(crate) async fn create(State(api): Api, caller: Caller, body: JsonBody) -> Response {
    caller.needs(WRITE)?;
    let request: WebhookRequest = body.parse()?;
    let campaign = request.checked()?;
    may_see_whole(&caller, request.numbers_whole)?;
    let key = request.secret.as_deref().and_then(secret_key).map_or_else(new_key, Ok)?;
    let row = WebhookRow {
        id: api.new_id(),
        name: request.name,
        url: request.url,
        types: request.types,
        campaign,
        tenant: caller.tenant().cloned(),
        secrets: vec![WebhookSecret { key: key.clone(), until: None }],
        numbers_whole: request.numbers_whole,
        enabled: request.enabled,
        disabled_reason: (!request.enabled).then(|| "by_request".to_owned()),
        version: 1,
        created_at: api.now(),
    };
    let (kept, position) = (row.clone(), api.events.latest());
    let by = api.by(&caller);
    let room = api
        .change_webhook(row.id, move |store| {
            let all = store.webhooks()?;
            let of_tenant = all.iter().filter(|(row, _)| row.tenant.is_some() && row.tenant == kept.tenant);
            let room = all.len() < WEBHOOKS_MAX && of_tenant.count() < TENANT_WEBHOOKS_MAX;
            if room {
                store.put_webhook(&kept, position, by)?;
            }
            Ok(room)
        })
        .await?;
    if !room {
        return Err(Problem::new(
            Code::LimitReached,
            "there are 100 webhooks, or 20 of this tenant; delete some",
        ));
    }
    tracing::info!(webhook = %row.id, by = caller.name(), "webhook made");
    let about = shown(&api, &row, position);
    let location = format!("/v1/webhooks/{}", row.id);
    Ok(created(location, row.version, &NewWebhook { secret: secret_text(&key), about }))
}

fn may_see_whole(caller: &Caller, whole: bool) -> Result<(), Problem> {
    if whole && !caller.holds(Scope::LeadsPii) {
        let detail = "only a token with the scope leads:pii can have numbers sent whole";
        return Err(Problem::new(Code::InsufficientScope, detail));
    }
    Ok(())
}

fn new_key() -> Result<Vec<u8>, Problem> {
    let mut key = vec![0; 32];
    getrandom::fill(&mut key).map_err(|error| {
        tracing::error!(%error, "no randomness for a secret");
        Problem::new(Code::Internal, "no randomness")
    })?;
    Ok(key)
}

/// Shows a webhook and how it stands.
#[utoipa::path(
    get, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path, description = "`wh_…`")),
    responses((status = 200, body = Webhook), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["webhooks:write"]))
)]
pub(crate) async fn show(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Response {
    caller.needs(WRITE)?;
    params.only(&[])?;
    let (row, position) = api.webhook(path_id(&id, "webhook")?).await?;
    Ok(found(row.version, &shown(&api, &row, position)))
}

/// Changes a webhook (JSON Merge Patch). Enabling one that was disabled goes on where it stood.
#[utoipa::path(
    patch, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(
        ("id" = String, Path, description = "`wh_…`"),
        ("If-Match" = Option<String>, Header, description = "the version meant, `\"v3\"`"),
    ),
    request_body(content = WebhookRequest, content_type = "application/merge-patch+json", description = "any part of it"),
    responses((status = 200, body = Webhook), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["webhooks:write"]))
)]
pub(crate) async fn change(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: JsonBody,
) -> Response {
    caller.needs(WRITE)?;
    let id: WebhookId = path_id(&id, "webhook")?;
    let if_match = IfMatch::from_headers(&headers)?;
    let (seen, _) = api.webhook(id).await?;
    if_match.check(seen.version)?;
    let request: WebhookRequest = body.merged(&WebhookRequest::from(&seen))?;
    let campaign = request.checked()?;
    if request.secret.is_some() {
        return Err(Problem::field("/secret", "is changed by :rotate_secret"));
    }
    // Data that may be seen whole must not be turned to another place by one who may not see it.
    let moved = request.url != seen.url || (request.numbers_whole && !seen.numbers_whole);
    may_see_whole(&caller, request.numbers_whole && moved)?;
    let enabled = request.enabled;
    let row = WebhookRow {
        name: request.name,
        url: request.url,
        types: request.types,
        campaign,
        numbers_whole: request.numbers_whole,
        enabled,
        disabled_reason: match (enabled, seen.enabled) {
            (true, _) => None,
            (false, true) => Some("by_request".to_owned()),
            (false, false) => seen.disabled_reason.clone(),
        },
        version: seen.version + 1,
        ..seen.clone()
    };
    replace(&api, seen.version, row.clone(), api.by(&caller)).await?;
    let (row, position) = api.webhook(row.id).await?;
    tracing::info!(webhook = %row.id, by = caller.name(), "webhook changed");
    Ok(found(row.version, &shown(&api, &row, position)))
}

/// Puts a changed row in the place of the one that was seen.
async fn replace(
    api: &std::sync::Arc<Gateway>,
    seen: u32,
    row: WebhookRow,
    by: Option<(Actor, WallTime)>,
) -> Result<(), Problem> {
    let current = api
        .change_webhook(row.id, move |store| {
            let current =
                store.webhooks()?.iter().find(|(known, _)| known.id == row.id).map(|(r, _)| r.version);
            if current == Some(seen) {
                store.put_webhook(&row, 0, by)?;
            }
            Ok(current)
        })
        .await?;
    match current {
        None => Err(Problem::not_found("webhook")),
        Some(current) if current != seen => {
            Err(dialer_core::CommandError::VersionMismatch { current }.into())
        }
        Some(_) => Ok(()),
    }
}

/// Deletes a webhook and what waits for it.
#[utoipa::path(
    delete, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(
        ("id" = String, Path, description = "`wh_…`"),
        ("If-Match" = Option<String>, Header, description = "the version meant, `\"v3\"`"),
    ),
    responses((status = 204), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["webhooks:write"]))
)]
pub(crate) async fn delete(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    caller.needs(WRITE)?;
    let id: WebhookId = path_id(&id, "webhook")?;
    let (row, _) = api.webhook(id).await?;
    IfMatch::from_headers(&headers)?.check(row.version)?;
    let by = api.by(&caller);
    api.change_webhook(id, move |store| store.delete_webhook(id, by)).await?;
    tracing::info!(webhook = %id, by = caller.name(), "webhook deleted");
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Sends a message of type `webhook.test` now and shows what the receiver answered.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}:test", tag = "webhooks", params(("id" = String, Path, description = "`wh_…`")),
    responses((status = 200, body = WebhookTest), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["webhooks:write"]))
)]
pub(crate) async fn test(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Response {
    caller.needs(WRITE)?;
    body.parse_or_default::<Empty>()?;
    let (row, _) = api.webhook(path_id(&id, "webhook")?).await?;
    let (answer, took_ms) = api.test_webhook(&row).await?;
    let (delivered, status, error) = match answer {
        Answer::Taken { status } => (true, Some(status), None),
        Answer::Gone => (false, Some(410), Some("status 410".to_owned())),
        Answer::Failed { status, error, .. } => (false, status, Some(error)),
    };
    Ok(Json(WebhookTest { delivered, status, error, took_ms }).into_response())
}

/// Tells events again: all after a cursor, or the dead letters. What is sent again has the `webhook-id` it had.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}:replay", tag = "webhooks", params(("id" = String, Path, description = "`wh_…`")),
    request_body = ReplayRequest,
    responses(
        (status = 202, body = Webhook),
        (status = 410, description = "events after this cursor are forgotten", body = ProblemBody, content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json")
    ),
    security(("bearer" = ["webhooks:write"]))
)]
pub(crate) async fn replay(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Response {
    caller.needs(WRITE)?;
    let id: WebhookId = path_id(&id, "webhook")?;
    let from = body.parse::<ReplayRequest>()?.checked(&api.node.name)?;
    api.webhook(id).await?;
    match from {
        Some(cursor) => {
            if cursor > api.events.latest() {
                return Err(Problem::field("/from_cursor", "this node never gave out this cursor"));
            }
            let oldest = api.store(|store| store.oldest_cursor()).await?;
            if cursor > 0 && oldest.is_some_and(|oldest| cursor + 1 < oldest) {
                return Err(Problem::new(Code::CursorExpired, "the events after this cursor are forgotten"));
            }
            api.change_webhook(id, move |store| store.rewind_webhook(id, cursor)).await?;
        }
        None => api.change_webhook(id, move |store| revive(store, id)).await?,
    }
    tracing::info!(webhook = %id, by = caller.name(), "webhook replayed");
    let particulars = serde_json::json!({ "from_cursor": from });
    api.put_down(&caller, "webhook.replayed", id.to_string(), Some(particulars)).await;
    let (row, position) = api.webhook(id).await?;
    Ok((StatusCode::ACCEPTED, Json(shown(&api, &row, position))).into_response())
}

/// Dead letters get all their tries again.
fn revive(store: &dyn store::Store, id: WebhookId) -> Result<(), store::StoreError> {
    let dead = store.webhook_deliveries(id, true, 0, u32::MAX)?;
    let again = |row: WebhookDelivery| WebhookDelivery { dead: false, attempts: 0, ..row };
    let position = store.webhooks()?.iter().find(|(row, _)| row.id == id).map(|(_, position)| *position);
    let Some(position) = position else { return Ok(()) };
    let put = dead.into_iter().map(again).collect();
    store.webhook_progress(WebhookProgress { webhook: id, position, put, done: Vec::new() })
}

/// Gives a webhook a new secret, shown this once; the one before signs too for a while.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}:rotate_secret", tag = "webhooks", params(("id" = String, Path, description = "`wh_…`")),
    request_body = Option<RotateRequest>,
    responses((status = 200, body = NewWebhook), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["webhooks:write"]))
)]
pub(crate) async fn rotate_secret(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    body: JsonBody,
) -> Response {
    caller.needs(WRITE)?;
    let request: RotateRequest = body.parse_or_default()?;
    let mut checks = Checks::default();
    let overlap_ms = request.overlap_ms.unwrap_or(OVERLAP_MS);
    checks.range(overlap_ms, 0, 7 * OVERLAP_MS, "/overlap_ms");
    let given = request.secret.as_deref().map(secret_key);
    checks.that(given != Some(None), "/secret", "expected whsec_ and the base 64 of 24 to 64 bytes");
    checks.finish()?;
    let key = given.flatten().map_or_else(new_key, Ok)?;
    let (seen, _) = api.webhook(path_id(&id, "webhook")?).await?;
    let now = api.now();
    let mut secrets = vec![WebhookSecret { key: key.clone(), until: None }];
    if let Some(before) = seen.secrets.first() {
        let until = Some(now.plus_millis(overlap_ms as i64));
        secrets.push(WebhookSecret { key: before.key.clone(), until });
    }
    let row = WebhookRow { secrets, version: seen.version + 1, ..seen.clone() };
    replace(&api, seen.version, row.clone(), api.by(&caller)).await?;
    let (row, position) = api.webhook(row.id).await?;
    tracing::info!(webhook = %row.id, by = caller.name(), "webhook got a new secret");
    let about = shown(&api, &row, position);
    Ok(found(row.version, &NewWebhook { secret: secret_text(&key), about }))
}

/// Shows deliveries: those that wait for another try, the dead letters, or the last tries.
#[utoipa::path(
    get, path = "/v1/webhooks/{id}/deliveries", tag = "webhooks",
    params(
        ("id" = String, Path, description = "`wh_…`"),
        ("state" = Option<String>, Query, description = "`waiting`, `dead` or `tried` (the default: the last 200 tries, newest first)"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = PageBody<Delivery>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["webhooks:write"]))
)]
pub(crate) async fn deliveries(
    State(api): Api,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Path(id): Path<String>,
    params: Params,
) -> Response {
    caller.needs(WRITE)?;
    params.only(&["state", "limit", "cursor"])?;
    let (row, _) = api.webhook(path_id(&id, "webhook")?).await?;
    let limit = params.limit()?;
    let node = api.node.name.as_str();
    let after = params.read("cursor", "a next_cursor of this list", |text| parse_cursor(node, text))?;
    let dead = params.read("state", "waiting, dead or tried", |text| match text {
        "waiting" => Some(Some(false)),
        "dead" => Some(Some(true)),
        "tried" => Some(None),
        _ => None,
    })?;
    let Some(dead) = dead.flatten() else {
        let standing = api.webhooks.standing(row.id).unwrap_or_default();
        let tried = standing.recent.iter().rev().take(limit as usize);
        let data = tried.map(|tried| Delivery::tried(tried, node)).collect();
        return Ok(page(&uri, &params, PageBody { data, next_cursor: None, total: None }));
    };
    let (id, after) = (row.id, after.unwrap_or(0));
    let mut rows = api.store(move |store| store.webhook_deliveries(id, dead, after, limit + 1)).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let last = rows.last().filter(|_| more);
    let next_cursor = last.map(|last| cursor_text(node, last.event_cursor));
    let data = rows.iter().map(|row| Delivery::kept(row, node)).collect();
    Ok(page(&uri, &params, PageBody { data, next_cursor, total: None }))
}
