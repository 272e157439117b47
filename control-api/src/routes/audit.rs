//! `/v1/audit`: who changed what, and who heard which recording.

use super::{Answer, Api};
use crate::auth::{Caller, Scope};
use crate::extract::Params;
use crate::page::{PageBody, page};
use crate::problem::{Problem, ProblemBody};
use crate::wire::audit::AuditRecord;
use axum::extract::State;
use axum::http::Uri;
use store::AuditQuery;

/// Longest action and target asked for, bytes.
const TEXT_BYTES_MAX: usize = 200;

/// Shows the audit log, newest first: every setting changed with what it was and became, every recording listened to or
/// downloaded, every export of evidence or of a person's data. Secrets are never told.
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit",
    params(
        ("from" = Option<String>, Query, description = "at or after (RFC 3339)"),
        ("to" = Option<String>, Query, description = "before (RFC 3339)"),
        ("action" = Option<String>, Query, description = "`campaign.changed`; `recording.*`: all that begin so"),
        ("target" = Option<String>, Query, description = "about the thing of this name: `camp_…`, `rec_…`"),
        ("token" = Option<String>, Query, description = "by this token, `tok_…`"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = PageBody<AuditRecord>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["audit:read"]))
)]
pub(crate) async fn list(State(api): Api, caller: Caller, uri: Uri, params: Params) -> Answer {
    caller.needs(&[Scope::AuditRead])?;
    params.only(&["from", "to", "action", "target", "token", "limit", "cursor"])?;
    let text = |name: &str| -> Result<Option<String>, Problem> {
        params.read(name, "at most 200 bytes", |text| {
            (text.len() <= TEXT_BYTES_MAX && !text.contains('\0')).then(|| text.to_owned())
        })
    };
    let query = AuditQuery {
        from: params.time("from")?,
        to: params.time("to")?,
        action: text("action")?,
        target: text("target")?,
        token: params.id("token")?,
        tenant: crate::tenancy::tenant(),
        cursor: params.text("cursor").map(str::to_owned),
        limit: params.limit()?,
    };
    let found = api.store(move |store| store.audit(&query)).await?;
    let mask = caller.mask();
    let data = found.items.iter().map(|row| AuditRecord::new(row, mask)).collect();
    Ok(page(&uri, &params, PageBody { data, next_cursor: found.next_cursor, total: None }))
}
