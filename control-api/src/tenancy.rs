//! What a tenant's token reaches. The one place that says so for all routes.
//!
//! * A route that is not in [`OPEN`] is the operator's: one that is added is closed to tenants until somebody puts it there.
//! * A name in a path is looked at here, before the route runs: what belongs to somebody else is not there (404).
//! * Views are given out by [`crate::ReadModel`] for whom the request under way is carried out, so that lists show a tenant's
//!   own and names in bodies lead nowhere else; commands are looked at once more by the dialer itself.

use crate::auth::{ACTOR, Caller};
use crate::gateway::Gateway;
use crate::problem::{Code, Problem};
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dialer_core::{CallId, LeadId, RecordingId, Tenant, TokenId};
use std::sync::Arc;
use store::{Store, TokenRow};

/// What the first name in a path names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Named {
    Nothing,
    Agent,
    List,
    Campaign,
    /// A live call, or the record of one.
    Call,
    Task,
    /// The callback of a lead.
    Callback,
    DncList,
    Recording,
    Token,
    Webhook,
    Trunk,
    Pool,
    InboundRoute,
    Calendar,
    Import,
}

/// The routes that are open to tenants: their beginnings, and what is named behind them.
const OPEN: &[(&str, Named)] = &[
    ("/v1/agent-groups", Named::Nothing),
    ("/v1/agents", Named::Agent),
    ("/v1/tasks", Named::Task),
    ("/v1/lists", Named::List),
    ("/v1/campaigns", Named::Campaign),
    ("/v1/calls", Named::Call),
    ("/v1/cdrs", Named::Call),
    ("/v1/cdrs/export", Named::Nothing),
    ("/v1/callbacks", Named::Callback),
    ("/v1/dnc-lists", Named::DncList),
    ("/v1/recordings", Named::Recording),
    ("/v1/reports", Named::Nothing),
    ("/v1/abandonment-ledger/export", Named::Nothing),
    ("/v1/persons/export", Named::Nothing),
    ("/v1/tokens", Named::Token),
    ("/v1/webhooks", Named::Webhook),
    ("/v1/audit", Named::Nothing),
    ("/v1/events", Named::Nothing),
    ("/v1/ws", Named::Nothing),
    ("/v1/policies", Named::Nothing),
    ("/v1/trunks", Named::Trunk),
    ("/v1/caller-id-pools", Named::Pool),
    ("/v1/caller-ids", Named::Pool),
    ("/v1/inbound-routes", Named::InboundRoute),
    ("/v1/calendars", Named::Calendar),
    ("/v1/prompts", Named::Nothing),
    ("/v1/imports", Named::Import),
    ("/v1/openapi.json", Named::Nothing),
    ("/v1/asyncapi.json", Named::Nothing),
];

/// Parts of these that are the operator's all the same: what was said with carriers, and sound that goes elsewhere.
const CLOSED: &[&str] = &["/v1/calls/{id}/trace", "/v1/calls/{id}/fork_start", "/v1/calls/{id}/fork_stop"];

/// What the operator has and tenants only look at.
const READ_ONLY: &[&str] = &["/v1/trunks", "/v1/inbound-routes", "/v1/prompts"];

/// Pools are the operator's to make and to take away.
const POOLS: [&str; 2] = ["/v1/caller-id-pools", "/v1/caller-ids"];

/// What a route is for tenants; `None`: closed.
fn open(method: &Method, route: &str) -> Option<Named> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let only_read = READ_ONLY.iter().any(|beginning| route.starts_with(beginning));
    let of_pools =
        POOLS.iter().any(|pools| route == *pools || *method == Method::DELETE && route.starts_with(pools));
    if CLOSED.contains(&route) || !reads && (only_read || of_pools) {
        return None;
    }
    let begins = |beginning: &str| {
        route.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let longest = OPEN.iter().filter(|(beginning, _)| begins(beginning)).max_by_key(|(text, _)| text.len());
    let (_, named) = longest?;
    Some(if route.contains('{') { *named } else { Named::Nothing })
}

/// For which tenant the request under way is carried out; `None`: for the operator, or for no request.
pub(crate) fn tenant() -> Option<Tenant> {
    ACTOR.try_with(|actor| actor.tenant.clone()).ok().flatten()
}

/// Whether what has this owner may be seen by whom the request under way is carried out for.
pub(crate) fn sees(owner: Option<&Tenant>) -> bool {
    ACTOR.try_with(|actor| actor.tenant.as_ref().is_none_or(|own| owner == Some(own))).unwrap_or(true)
}

/// The layer.
pub(crate) async fn walled(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let owner = request.extensions().get::<Caller>().and_then(|caller| caller.tenant().cloned());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let (Some(owner), Some(route)) = (owner, route) else { return next.run(request).await };
    let Some(named) = open(request.method(), &route) else {
        let problem = if route.contains('{') {
            Problem::not_found("resource")
        } else {
            Problem::new(Code::InsufficientScope, "this is the operator's: the token belongs to a tenant")
        };
        return problem.into_response();
    };
    // `/v1/agents/agt_…`
    let name = request.uri().path().split('/').nth(3).unwrap_or_default().to_owned();
    match found(&gateway, named, &name, &owner).await {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn found(gateway: &Gateway, named: Named, name: &str, owner: &Tenant) -> Result<(), Problem> {
    let views = &gateway.read_model;
    let (there, what) = match named {
        Named::Nothing => (true, ""),
        Named::Agent => (name.parse().is_ok_and(|id| views.agent(id).is_some()), "agent"),
        Named::List => (name.parse().is_ok_and(|id| views.list(id).is_some()), "list"),
        Named::Campaign => (name.parse().is_ok_and(|id| views.campaign(id).is_some()), "campaign"),
        Named::Task => {
            let has = |id| views.agents().iter().any(|agent| agent.task.as_ref().is_some_and(|t| t.id == id));
            (name.parse().is_ok_and(has), "task")
        }
        Named::Trunk => (name.parse().is_ok_and(|id| views.trunk(id).is_some()), "trunk"),
        Named::Pool => (name.parse().is_ok_and(|id| views.caller_id_pool(id).is_some()), "caller-ID pool"),
        Named::InboundRoute => {
            (name.parse().is_ok_and(|id| views.inbound_route(id).is_some()), "inbound route")
        }
        Named::Calendar => (name.parse().is_ok_and(|id| views.calendar(id).is_some()), "calendar"),
        Named::Import => return gateway.import_kept(name).await.map(|_| ()),
        Named::DncList => (name.parse().is_ok_and(|id| views.dnc_list(id).is_some()), "do-not-call list"),
        Named::Callback => (callback_of(gateway, name).await?, "callback"),
        Named::Recording => (recording_of(gateway, name, owner).await?, "recording"),
        Named::Token => match name.parse::<TokenId>() {
            Err(_) => (false, "token"),
            Ok(id) => {
                let tokens = gateway.store(|store| store.tokens()).await?;
                let own = |token: &TokenRow| token.id == id && token.tenant.as_ref() == Some(owner);
                (tokens.iter().any(own), "token")
            }
        },
        Named::Webhook => match name.parse() {
            Err(_) => (false, "webhook"),
            Ok(id) => return gateway.webhook(id).await.map(|_| ()),
        },
        Named::Call => match name.parse::<CallId>() {
            Err(_) => (false, "call"),
            Ok(id) if views.call(id).is_some() => (true, "call"),
            Ok(id) => {
                let row = gateway.store(move |store| store.record(id)).await?;
                (row.is_some_and(|row| row.record.tenant.as_ref() == Some(owner)), "call")
            }
        },
    };
    if there { Ok(()) } else { Err(Problem::not_found(what)) }
}

/// The lead is of a list that is the tenant's.
async fn callback_of(gateway: &Gateway, name: &str) -> Result<bool, Problem> {
    let Ok(id) = name.parse::<LeadId>() else { return Ok(false) };
    let lead = gateway.store(move |store| store.lead(id)).await?;
    Ok(lead.is_some_and(|lead| gateway.read_model.list(lead.list).is_some()))
}

/// The call it is of is over and was the tenant's.
async fn recording_of(gateway: &Gateway, name: &str, owner: &Tenant) -> Result<bool, Problem> {
    let Ok(id) = name.parse::<RecordingId>() else { return Ok(false) };
    let of_call = move |store: &dyn Store| match store.recording(id)? {
        Some(recording) => store.record(recording.call),
        None => Ok(None),
    };
    let row = gateway.store(of_call).await?;
    Ok(row.is_some_and(|row| row.record.tenant.as_ref() == Some(owner)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_closed() {
        let (get, post) = (Method::GET, Method::POST);
        for (route, named) in [
            ("/v1/agents", Named::Nothing),
            ("/v1/agents/{id}/login", Named::Agent),
            ("/v1/lists/{id}/leads/{lead_id}", Named::List),
            ("/v1/cdrs/{call_id}", Named::Call),
            ("/v1/cdrs/export", Named::Nothing),
            ("/v1/recordings/{id}/listen", Named::Recording),
            ("/v1/abandonment-ledger/export", Named::Nothing),
            ("/v1/trunks/{id}", Named::Trunk),
            ("/v1/caller-id-pools/{id}", Named::Pool),
        ] {
            assert_eq!(open(&get, route), Some(named), "{route}");
        }
        for closed in ["/v1/trunks", "/v1/trunks/{id}", "/v1/caller-id-pools", "/v1/prompts/{name}"] {
            assert_eq!(open(&post, closed), None, "{closed}");
        }
        assert_eq!(open(&Method::PATCH, "/v1/caller-id-pools/{id}"), Some(Named::Pool));
        assert_eq!(open(&Method::DELETE, "/v1/caller-id-pools/{id}"), None);
        for closed in [
            "/v1/agents-of-others",
            "/v1/calls/{id}/trace",
            "/v1/persons/erase",
            "/v1",
            "/v1/calls/{id}/fork_start",
            "/v1/node/drain",
        ] {
            assert_eq!(open(&get, closed), None, "{closed}");
        }
    }
}
