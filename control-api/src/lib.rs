//! The control API: what people and programs ask of the dialer over HTTP.
//!
//! Thin: it reads requests, asks who they are from, turns them into [`dialer_core::Command`]s, and shows what the
//! dialer's views, the store and the event stream say. It decides nothing about calls.
//!
//! ```text
//!   request ─▶ layer (id, time limit, problem+json, counters) ─▶ idempotency ─▶ routes/* ─▶ Command ─▶ dialer
//!                                                                                  │
//!   response ◀─ wire/* (masked by scope) ◀─ ReadModel (views) · Store (history) ◀──┘
//!   GET /v1/events ◀─ EventHub (live) + Store (what was missed)
//! ```
//!
//! The daemon makes a [`Gateway`], feeds its [`ReadModel`] and [`EventHub`], answers its [`CommandRequest`]s, and
//! serves [`router`] on the API port.

mod asyncapi;
mod auth;
mod export;
mod extract;
mod gateway;
mod hub;
mod idempotency;
mod import;
mod import_jobs;
mod layer;
mod mask;
mod mask_message;
mod mend;
mod metrics;
mod numbers;
mod openapi;
mod page;
mod pattern;
mod pieces;
mod problem;
pub mod prompts;
mod rate;
mod read_model;
mod report;
mod routes;
mod rows;
mod spool;
mod strict;
mod tenancy;
mod time;
mod webhook;
pub mod wire;

pub use asyncapi::asyncapi;
pub use auth::{Scope, ScopeSet, hash_token};
pub use gateway::{ApiConfig, CommandRequest, Gateway, GatewayParts, NodeInfo, WallClock, system_clock};
pub use hub::{EventHub, LIVE_EVENTS_BUFFERED, LiveEvent};
pub use mask::Masker;
pub use metrics::HttpMetrics;
pub use numbers::{NumberFault, normalise};
pub use openapi::openapi;
pub use page::PageBody;
pub use problem::{Code, FieldError, Problem, ProblemBody};
pub use rate::RateLimits;
pub use read_model::ReadModel;
pub use time::{Time, parse_rfc3339, parse_span, rfc3339, span_text};
pub use webhook::WebhookLimits;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use std::sync::Arc;
use tower::ServiceBuilder;
use tower::util::MapRequestLayer;

/// The whole API.
pub fn router(gateway: Arc<Gateway>) -> Router {
    let no_route =
        || async { Problem::new(Code::NoSuchRoute, "see /v1/openapi.json for the paths there are") };
    let inner = openapi::bare_router()
        .fallback(no_route)
        .layer(from_fn_with_state(Arc::clone(&gateway), tenancy::walled))
        .layer(from_fn_with_state(Arc::clone(&gateway), idempotency::idempotent))
        .layer(from_fn_with_state(Arc::clone(&gateway), rate::limited))
        .layer(from_fn(layer::label))
        .with_state(Arc::clone(&gateway));
    let service = ServiceBuilder::new()
        .layer(MapRequestLayer::new(|request: Request| layer::split_verb(request)))
        .layer(from_fn_with_state(gateway, layer::outermost))
        .service(inner);
    Router::new().fallback_service(service)
}
