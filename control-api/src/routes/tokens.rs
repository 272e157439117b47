//! `/v1/tokens`.

use super::{Answer, Api};
use crate::auth::{Caller, Scope, hash_token, new_secret};
use crate::extract::{Checks, JsonBody, Params, path_id};
use crate::page::{PAGE_PARAMETERS, PageBody, cut};
use crate::problem::{Code, Problem, ProblemBody};
use crate::tenancy::sees;
use crate::wire::token::{NewToken, Token, TokenRequest};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{HeaderValue, LOCATION};
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use dialer_core::{Tenant, TokenId};
use store::TokenRow;

/// Characters of a secret that are shown to recognise it by.
const PREFIX_LENGTH: usize = 10;
/// Most tokens.
const TOKENS_MAX: usize = 1_000;
/// Most tokens of one tenant: it leaves room for the others.
const TENANT_TOKENS_MAX: usize = 200;

/// Shows tokens; their secrets are not kept.
#[utoipa::path(
    get, path = "/v1/tokens", tag = "tokens",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("include" = Option<String>, Query, description = "`total`"),
    ),
    responses((status = 200, body = PageBody<Token>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["admin"]))
)]
pub(crate) async fn list(State(api): Api, caller: Caller, uri: Uri, params: Params) -> Answer {
    caller.needs(&[Scope::Admin])?;
    params.only(&PAGE_PARAMETERS)?;
    let mut tokens = api.store(|store| store.tokens()).await?;
    tokens.retain(|token| sees(token.tenant.as_ref()));
    tokens.sort_unstable_by_key(|token| token.id);
    let mask = caller.mask();
    cut(&uri, &params, tokens, |token| token.id, |token| Token::new(token, mask))
}

/// Makes a token. Its secret is shown this once.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "tokens", request_body = TokenRequest,
    responses((status = 201, body = NewToken), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["admin"]))
)]
pub(crate) async fn create(State(api): Api, caller: Caller, body: JsonBody) -> Answer {
    caller.needs(&[Scope::Admin])?;
    let request: TokenRequest = body.parse()?;
    let now = api.now();
    let mut checks = Checks::default();
    checks.text(&request.name, 100, "/name");
    checks.that(!request.scopes.is_empty(), "/scopes", "expected at least one scope");
    let ends_later = request.expires_at.is_none_or(|end| end.0 > now);
    checks.that(ends_later, "/expires_at", "expected a time to come");
    let tenant = request.tenant.as_deref().map(Tenant::new);
    let named = "expected 1 to 64 lower-case letters, digits, dashes and underscores";
    checks.that(tenant != Some(None), "/tenant", named);
    // A tenant's token makes tokens of its own tenant and of no other.
    let own = caller.tenant().cloned();
    let other = own.is_some() && tenant.is_some() && tenant != Some(own.clone());
    checks.that(!other, "/tenant", "expected the token's own tenant");
    checks.finish()?;
    if let Some(beyond) = request.scopes.iter().find(|scope| !caller.holds(**scope)) {
        let detail = format!("the scope {} can only be given by a token that has it", beyond.as_str());
        return Err(Problem::new(Code::InsufficientScope, detail));
    }
    // A token that ends must not live on through one it makes.
    let outlives = caller.expires_at().is_some_and(|own| request.expires_at.is_none_or(|end| end.0 > own));
    if outlives {
        return Err(Problem::field(
            "/expires_at",
            "expected a time no later than the end of the token that makes it",
        ));
    }
    let secret = new_secret()?;
    let mut scopes = request.scopes;
    scopes.sort_unstable();
    scopes.dedup();
    let row = TokenRow {
        id: api.new_id(),
        name: request.name,
        hash: hash_token(&secret),
        prefix: secret[..PREFIX_LENGTH].to_owned(),
        scopes: scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        created_at: now,
        expires_at: request.expires_at.map(|time| time.0),
        tenant: tenant.flatten().or(own),
    };
    let about = Token::new(&row, caller.mask());
    let by = api.by(&caller);
    let kept = api
        .store(move |store| {
            let tokens = store.tokens()?;
            let of_tenant =
                tokens.iter().filter(|token| token.tenant.is_some() && token.tenant == row.tenant);
            let room = tokens.len() < TOKENS_MAX && of_tenant.count() < TENANT_TOKENS_MAX;
            if room {
                store.put_token(&row, by)?;
            }
            Ok(room)
        })
        .await?;
    if !kept {
        return Err(Problem::new(
            Code::LimitReached,
            "there are 1000 tokens, or 200 of this tenant; delete some",
        ));
    }
    tracing::info!(token = about.id, by = caller.name(), "token made");
    let location = HeaderValue::from_str(&format!("/v1/tokens/{}", about.id)).expect("names are header text");
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(NewToken { token: secret, about })).into_response())
}

/// Deletes a token; requests with it are refused from now on.
#[utoipa::path(
    delete, path = "/v1/tokens/{id}", tag = "tokens", params(("id" = String, Path, description = "`tok_…`")),
    responses((status = 204), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["admin"]))
)]
pub(crate) async fn delete(State(api): Api, caller: Caller, Path(id): Path<String>) -> Answer {
    caller.needs(&[Scope::Admin])?;
    let id: TokenId = path_id(&id, "token")?;
    let by = api.by(&caller);
    let deleted = api.store(move |store| store.delete_token(id, by)).await?;
    api.forget_token(id);
    if !deleted {
        return Err(Problem::not_found("token"));
    }
    tracing::info!(token = %id, by = caller.name(), "token deleted");
    Ok(StatusCode::NO_CONTENT.into_response())
}
