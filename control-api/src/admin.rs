//! The admin port: is it alive, is it ready, what do its counters say.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use std::sync::Arc;

/// What the daemon tells about itself.
pub trait Admin: Send + Sync + 'static {
    /// Why no new work should be sent here: short stable words (`draining`, `store_unavailable`, `sip_not_bound`).
    /// Empty: ready.
    fn not_ready(&self) -> Vec<String>;

    /// All metrics in the Prometheus text format. May take locks, must not wait long.
    fn metrics(&self) -> String;
}

/// `/healthz`, `/readyz` and `/metrics`. No token is asked for: bind it to a trusted address.
pub fn admin_router(admin: Arc<dyn Admin>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { ([(CONTENT_TYPE, "application/json")], r#"{"status":"alive"}"#) }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

async fn ready(State(admin): State<Arc<dyn Admin>>) -> Response {
    let reasons = admin.not_ready();
    let (status, word) = if reasons.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not_ready")
    };
    (status, axum::Json(json!({"status": word, "reasons": reasons}))).into_response()
}

async fn metrics(State(admin): State<Arc<dyn Admin>>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.metrics()).into_response()
}
