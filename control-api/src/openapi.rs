//! The OpenAPI document, made from the handlers, and the router, made from the same.

use crate::gateway::Gateway;
use crate::mend::mend;
use crate::routes::{
    agent_groups, agents, audit, best_time, calendars, call_recording, callbacks, caller_ids, calls,
    campaign_leads, campaigns, cdrs, conduct, dial_requests, dnc, events, forks, import, inbound,
    inbound_routes, leads, ledger, lists, node, persons, policies, prompts, recordings, reports, spec,
    tokens, trunks, verbs, webhooks, ws,
};
use crate::wire::event_samples::data_schemas;
use axum::Router;
use axum::routing::MethodRouter;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa::openapi::path::{PathItem, Paths};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder, RefOr};
use utoipa_axum::routes;

type Route = (Vec<(String, RefOr<Schema>)>, Paths, MethodRouter<Arc<Gateway>>);

/// Every route there is: what the document says and what the router does come from this one list.
fn all() -> Vec<Route> {
    vec![
        routes!(trunks::list, trunks::create),
        routes!(trunks::show, trunks::change, trunks::delete),
        routes!(agents::list, agents::create),
        routes!(agents::show, agents::change, agents::delete),
        routes!(agents::login),
        routes!(agents::logout),
        routes!(agents::ready),
        routes!(agents::pause),
        routes!(agents::task),
        routes!(agents::task_dial),
        routes!(agents::task_skip),
        routes!(agent_groups::groups),
        routes!(inbound::waiting),
        routes!(calendars::list, calendars::create),
        routes!(calendars::show, calendars::change, calendars::delete),
        routes!(inbound_routes::list, inbound_routes::create),
        routes!(inbound_routes::show, inbound_routes::change, inbound_routes::delete),
        routes!(lists::list, lists::create),
        routes!(lists::show, lists::change, lists::delete),
        routes!(leads::list, leads::add),
        routes!(leads::show),
        routes!(import::import),
        routes!(import::list_imports),
        routes!(import::show_import),
        routes!(import::import_result),
        routes!(callbacks::list, callbacks::create),
        routes!(callbacks::show, callbacks::change, callbacks::delete),
        routes!(dnc::list, dnc::create),
        routes!(dnc::show, dnc::change, dnc::delete),
        routes!(dnc::add),
        routes!(dnc::remove),
        routes!(dnc::import),
        routes!(caller_ids::list, caller_ids::create),
        routes!(caller_ids::show, caller_ids::change, caller_ids::delete),
        routes!(caller_ids::numbers),
        routes!(caller_ids::quarantine),
        routes!(caller_ids::release),
        routes!(caller_ids::report),
        routes!(persons::export),
        routes!(persons::erase),
        routes!(policies::list),
        routes!(prompts::list, prompts::create),
        routes!(prompts::show, prompts::replace, prompts::delete),
        routes!(prompts::listen),
        routes!(campaigns::list, campaigns::create),
        routes!(campaigns::show, campaigns::change, campaigns::delete),
        routes!(campaigns::start),
        routes!(campaigns::pause),
        routes!(campaigns::resume),
        routes!(campaigns::stop),
        routes!(campaigns::copy),
        routes!(campaign_leads::recycle),
        routes!(campaign_leads::take_back),
        routes!(campaign_leads::hopper),
        routes!(campaigns::stats),
        routes!(campaigns::pacing),
        routes!(campaigns::diagnostics),
        routes!(best_time::best_time),
        routes!(dial_requests::list, dial_requests::add),
        routes!(dial_requests::show),
        routes!(calls::list, calls::originate),
        routes!(calls::show),
        routes!(calls::trace),
        routes!(calls::hangup),
        routes!(calls::redial),
        routes!(calls::disposition),
        routes!(conduct::supervise, conduct::end_all_supervision),
        routes!(conduct::change_supervision, conduct::end_supervision),
        routes!(conduct::participants, conduct::add_participant),
        routes!(conduct::remove_participant),
        routes!(call_recording::record),
        routes!(call_recording::record_pause),
        routes!(call_recording::record_resume),
        routes!(call_recording::record_stop),
        routes!(forks::start),
        routes!(forks::stop),
        routes!(conduct::hold),
        routes!(conduct::unhold),
        routes!(conduct::mute),
        routes!(conduct::unmute),
        routes!(conduct::dtmf),
        routes!(conduct::play),
        routes!(conduct::stop_play),
        routes!(conduct::send_dtmf),
        routes!(conduct::transfer),
        routes!(verbs::answer),
        routes!(verbs::bridge),
        routes!(verbs::park),
        routes!(verbs::consult),
        routes!(verbs::merge),
        routes!(verbs::say),
        routes!(verbs::collect),
        routes!(cdrs::list),
        routes!(reports::export),
        routes!(cdrs::show),
        routes!(reports::show),
        routes!(recordings::list),
        routes!(recordings::show, recordings::delete),
        routes!(recordings::listen),
        routes!(recordings::download),
        routes!(events::stream),
        routes!(ws::open),
        routes!(node::show),
        routes!(node::drain),
        routes!(node::undrain),
        routes!(audit::list),
        routes!(ledger::export),
        routes!(tokens::list, tokens::create),
        routes!(tokens::delete),
        routes!(webhooks::list, webhooks::create),
        routes!(webhooks::show, webhooks::change, webhooks::delete),
        routes!(webhooks::test),
        routes!(webhooks::replay),
        routes!(webhooks::rotate_secret),
        routes!(webhooks::deliveries),
        routes!(spec::show),
        routes!(spec::show_asyncapi),
    ]
}

/// `{id}:login` is routed as `{id}/login`: see the layer that splits the verb off.
fn routed(path: &str) -> String {
    path.replace(':', "/")
}

/// Pools of caller IDs go by two names.
fn other_spelling(path: &str) -> Option<String> {
    path.strip_prefix("/v1/caller-id-pools").map(|rest| format!("/v1/caller-ids{rest}"))
}

/// The router without its outer layers.
pub(crate) fn bare_router() -> Router<Arc<Gateway>> {
    let mut router = Router::new();
    for (_, paths, methods) in all() {
        let documented: BTreeSet<&String> = paths.paths.keys().collect();
        let path = documented.first().expect("each entry of the list has one path");
        if let Some(other) = other_spelling(path) {
            router = router.route(&routed(&other), methods.clone());
        }
        router = router.route(&routed(path), methods);
    }
    router
}

/// The OpenAPI 3.1 document.
///
/// # Panics
/// Never: its keys are strings.
#[must_use]
pub fn openapi() -> Value {
    let mut document = serde_json::to_value(described()).expect("the document has string keys");
    tell_events(&mut document);
    document
}

/// The name of an event's schema: `call.agent_offered` is `CallAgentOfferedEvent`.
pub(crate) fn message_name(kind: &str) -> String {
    let words = kind.split(['.', '_']).filter(|word| !word.is_empty());
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    words.map(capital).chain(["Event".to_owned()]).collect()
}

/// Every type of event with its data, and as a webhook gets it.
fn tell_events(document: &mut Value) {
    let mut webhooks = serde_json::Map::new();
    for (kind, data) in data_schemas() {
        let name = message_name(kind);
        document["components"]["schemas"][name.as_str()] = json!({
            "description": format!("An event `{kind}`."),
            "allOf": [
                {"$ref": "#/components/schemas/Event"},
                {"type": "object", "properties": {"type": {"type": "string", "enum": [kind]}, "data": data}}
            ]
        });
        let header = |name: &str, description: &str| json!({"name": name, "in": "header", "required": true, "description": description, "schema": {"type": "string"}});
        let post = json!({
            "operationId": format!("webhook_{}", kind.replace('.', "_")),
            "summary": format!("Tells `{kind}`."),
            "tags": ["webhooks"],
            "parameters": [
                header("webhook-id", "the event's id; the same for each try"),
                header("webhook-timestamp", "when this try was made, seconds since 1970"),
                header("webhook-signature", "`v1,` and base64 of HMAC-SHA256 over id, timestamp and body; several while the secret is changed"),
            ],
            "requestBody": {"required": true, "content": {"application/json": {
                "schema": {"$ref": format!("#/components/schemas/{name}")}
            }}},
            "responses": {
                "2XX": {"description": "taken"},
                "410": {"description": "the endpoint wants no more: it is disabled"},
                "default": {"description": "tried again later"}
            }
        });
        webhooks.insert(kind.into(), json!({"post": post}));
    }
    document["webhooks"] = Value::Object(webhooks);
}

fn described() -> OpenApi {
    let mut components = ComponentsBuilder::new().security_scheme(
        "bearer",
        SecurityScheme::Http(Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("dlr_…").build()),
    );
    let mut paths = Paths::new();
    for (schemas, described, _) in all() {
        components = components.schemas_from_iter(schemas);
        paths.merge(described);
    }
    let twins =
        paths.paths.iter().filter_map(|(path, item)| Some((other_spelling(path)?, twin(item.clone()))));
    let twins: Vec<_> = twins.collect();
    paths.paths.extend(twins);
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".into());
    let info = InfoBuilder::new()
        .title("dialerd")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license))
        .build();
    let mut document =
        OpenApiBuilder::new().info(info).paths(paths).components(Some(components.build())).build();
    mend(&mut document);
    document
}

/// The same under another path: by its own tag its operations get names of their own.
fn twin(mut item: PathItem) -> PathItem {
    let all = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
    for operation in all.into_iter().flatten() {
        operation.tags = Some(vec!["caller_id_pools".into()]);
    }
    item
}

const DESCRIPTION: &str = "\
Control of dialerd, a predictive dialer.

* JSON in snake_case; times are RFC 3339 in UTC with milliseconds; spans are `*_ms`; ratios are 0 to 1.
* An unknown field or query parameter is refused (400). Unknown fields in responses and events are to be ignored.
* Errors are `application/problem+json` (RFC 9457) with a stable `code`, `errors[]` with JSON pointers, and the \
`request_id`, which is also in the header `X-Request-Id`.
* `Authorization: Bearer dlr_…`. Phone numbers are masked (`+86138****5678`) unless the token has `leads:pii`.
* POST takes `Idempotency-Key`; the response of a granted request is kept for 24 hours. Not for imports, tokens and webhooks.
* PATCH is a JSON Merge Patch (RFC 7396). Give the `ETag` back as `If-Match` to change only what you have seen.
* `RateLimit-Policy` and `RateLimit` tell how many requests the token has left; 429 comes with `Retry-After`.
* Lists come in pages: `limit`, `cursor`, `next_cursor`, and the header `Link`.
* `{id}:verb` may also be written `{id}/verb`.";
