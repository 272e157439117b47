//! Pages of things.

use crate::extract::Params;
use crate::problem::Problem;
use axum::Json;
use axum::http::Uri;
use axum::http::header::{HeaderValue, LINK};
use axum::response::{IntoResponse, Response};
use dialer_core::id::{Id, Kind};
use serde::Serialize;
use utoipa::ToSchema;

/// One page. Give `next_cursor` as `cursor` to get the next; the header `Link` has the whole address.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageBody<T> {
    /// What is on it.
    pub data: Vec<T>,
    /// Where the next page begins; null on the last one.
    pub next_cursor: Option<String>,
    /// How many there are in all; only with `include=total`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// Parameters every list takes.
pub(crate) const PAGE_PARAMETERS: [&str; 3] = ["limit", "cursor", "include"];

/// Whether the total is asked for.
pub(crate) fn wants_total(params: &Params) -> Result<bool, Problem> {
    let wants = params.read("include", "total", |text| (text == "total").then_some(true))?;
    Ok(wants.unwrap_or(false))
}

/// A response with a page and the link to the next.
pub(crate) fn page<T: Serialize>(uri: &Uri, params: &Params, body: PageBody<T>) -> Response {
    let link = body.next_cursor.as_deref().map(|cursor| next_link(uri.path(), params, cursor));
    let mut response = Json(body).into_response();
    if let Some(link) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
        response.headers_mut().insert(LINK, link);
    }
    response
}

fn next_link(path: &str, params: &Params, cursor: &str) -> String {
    let mut query = String::new();
    for (name, text) in params.without_cursor().chain([("cursor", cursor)]) {
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(&escaped(name));
        query.push('=');
        query.push_str(&escaped(text));
    }
    format!("<{path}{query}>; rel=\"next\"")
}

/// RFC 3986 §2.1: everything but unreserved characters is percent-encoded.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Cuts a page out of all things, which are sorted by their names; the cursor is the last name of the page before.
pub(crate) fn cut<K: Kind, V, T>(
    uri: &Uri,
    params: &Params,
    all: Vec<V>,
    id: impl Fn(&V) -> Id<K>,
    show: impl Fn(&V) -> T,
) -> Result<Response, Problem>
where
    T: Serialize,
{
    let limit = params.limit()? as usize;
    let total = wants_total(params)?.then_some(all.len() as u64);
    let after: Option<Id<K>> =
        params.read("cursor", "a next_cursor of this list", |text| text.parse().ok())?;
    let start = after.map_or(0, |after| all.partition_point(|item| id(item) <= after));
    let rest = &all[start..];
    let shown = &rest[..limit.min(rest.len())];
    let next_cursor = (rest.len() > limit).then(|| shown.last().map(|item| id(item).to_string())).flatten();
    let data = shown.iter().map(show).collect();
    Ok(page(uri, params, PageBody { data, next_cursor, total }))
}
