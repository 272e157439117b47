//! `/v1/openapi.json`.

use super::Answer;
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
    let text = TEXT.get_or_init(|| openapi().to_json().expect("the document has string keys"));
    Ok(([(CONTENT_TYPE, "application/json")], text.as_str()).into_response())
}
