//! `/v1/abandonment-ledger:export`: what a regulator is shown.

use super::reports::{attachment, format_of};
use super::{Answer, Api};
use crate::auth::{Caller, Scope};
use crate::export::Format;
use crate::extract::Params;
use crate::problem::ProblemBody;
use crate::time::Time;
use axum::body::Body;
use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use store::{LedgerQuery, LedgerRow};
use utoipa::ToSchema;

/// Entries written at once.
const PAGE_ENTRIES: u32 = 1_000;
/// Columns in CSV.
const COLUMNS: [&str; 5] = ["no", "at", "campaign_id", "call_id", "abandoned"];

/// A live answer and what became of it, as it was put down at once. Entries are never changed or taken away.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AbandonmentEntry {
    /// Its place; rises.
    no: u64,
    /// When its fate was known.
    at: Time,
    /// Of which campaign.
    campaign_id: String,
    /// Which call.
    call_id: String,
    /// True: no agent was there in time.
    abandoned: bool,
}

impl From<&LedgerRow> for AbandonmentEntry {
    fn from(row: &LedgerRow) -> Self {
        AbandonmentEntry {
            no: row.no,
            at: Time(row.entry.at),
            campaign_id: row.entry.campaign.to_string(),
            call_id: row.entry.call.to_string(),
            abandoned: row.entry.abandoned,
        }
    }
}

/// Figures of an export.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AbandonmentSummary {
    /// Entries.
    live_answers: u64,
    /// Of these.
    abandoned: u64,
    /// Abandoned of live answers, 0 to 1; null without any.
    abandonment_rate: Option<f64>,
    /// Of all bytes before this line, hexadecimal.
    sha256: String,
}

/// The last line of an export.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AbandonmentSummaryLine {
    /// Figures of the whole export.
    summary: AbandonmentSummary,
}

/// A line of an export.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum AbandonmentLine {
    /// An entry.
    Entry(AbandonmentEntry),
    /// The last line.
    Summary(AbandonmentSummaryLine),
}

/// An export under way.
struct Export {
    query: LedgerQuery,
    digest: Sha256,
    live: u64,
    abandoned: u64,
    at_start: bool,
}

/// Streams the abandonment ledger, oldest first: one entry for each live answer. NDJSON ends with a line
/// `{"summary":{…}}` that holds the figures and the SHA-256 of all bytes before it. The export is put down in the audit
/// log before the first byte leaves.
#[utoipa::path(
    get, path = "/v1/abandonment-ledger:export", tag = "reports",
    params(
        ("format" = Option<String>, Query, description = "`ndjson` (the default) or `csv`"),
        ("from" = Option<String>, Query, description = "at or after (RFC 3339)"),
        ("to" = Option<String>, Query, description = "before (RFC 3339)"),
        ("campaign" = Option<String>, Query, description = "of this campaign"),
    ),
    responses(
        (status = 200, description = "one entry a line", content((AbandonmentLine = "application/x-ndjson"), (String = "text/csv"))),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json")
    ),
    security(("bearer" = ["calls:read"]))
)]
pub(crate) async fn export(State(api): Api, caller: Caller, params: Params) -> Answer {
    caller.needs(&[Scope::CallsRead])?;
    params.only(&["format", "from", "to", "campaign"])?;
    let format = format_of(&params)?.unwrap_or(Format::Ndjson);
    let query = LedgerQuery {
        from: params.time("from")?,
        to: params.time("to")?,
        campaign: params.id("campaign")?,
        tenant: crate::tenancy::tenant(),
        cursor: None,
        limit: PAGE_ENTRIES,
    };
    let particulars = json!({
        "from": query.from.map(Time), "to": query.to.map(Time), "format": format.extension(),
    });
    let target = query.campaign.map_or_else(|| "all campaigns".to_owned(), |campaign| campaign.to_string());
    api.note(&caller, "abandonment_ledger.exported", target, Some(particulars)).await?;
    let start = Export { query, digest: Sha256::new(), live: 0, abandoned: 0, at_start: true };
    let pages = futures_util::stream::try_unfold(Some((api, start)), move |state| async move {
        let Some((api, mut export)) = state else { return Ok(None) };
        let asked = export.query.clone();
        let page = api
            .store(move |store| store.ledger(&asked))
            .await
            .map_err(|problem| std::io::Error::other(problem.detail().to_owned()))?;
        let mut bytes = Vec::new();
        if export.at_start {
            format.head(&COLUMNS, &mut bytes);
        }
        for row in &page.items {
            export.live += 1;
            export.abandoned += u64::from(row.entry.abandoned);
            format.row(&COLUMNS, &json!(AbandonmentLine::Entry(row.into())), &mut bytes);
        }
        export.digest.update(&bytes);
        export.at_start = false;
        export.query.cursor = page.next_cursor;
        if export.query.cursor.is_some() {
            return Ok::<_, std::io::Error>(Some((bytes, Some((api, export)))));
        }
        if format == Format::Ndjson {
            format.row(&[], &summary(export), &mut bytes);
        }
        Ok(Some((bytes, None)))
    });
    Ok(attachment("abandonment-ledger", format, Body::from_stream(pages)))
}

fn summary(export: Export) -> serde_json::Value {
    let abandonment_rate = (export.live > 0).then(|| export.abandoned as f64 / export.live as f64);
    let sha256 = export.digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let summary = AbandonmentSummary {
        live_answers: export.live,
        abandoned: export.abandoned,
        abandonment_rate,
        sha256,
    };
    json!(AbandonmentLine::Summary(AbandonmentSummaryLine { summary }))
}
