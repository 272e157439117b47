//! `/v1/openapi.json` and `/v1/asyncapi.json`.

use super::Answer;
use crate::asyncapi::asyncapi;
use crate::openapi::openapi;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use std::sync::OnceLock;

/// Shows this document. Needs no token.
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object)),
    security(())
)]
pub(crate) async fn show() -> Answer {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| openapi().to_string());
    Ok(([(CONTENT_TYPE, "application/json")], text.as_str()).into_response())
}

/// Shows the document of events, streams and webhooks (AsyncAPI 3). Needs no token.
#[utoipa::path(
    get, path = "/v1/asyncapi.json", tag = "openapi",
    responses((status = 200, description = "AsyncAPI 3", content_type = "application/json", body = Object)),
    security(())
)]
pub(crate) async fn show_asyncapi() -> Answer {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| asyncapi().to_string());
    Ok(([(CONTENT_TYPE, "application/json")], text.as_str()).into_response())
}
