//! What a starting node is told of the last run.

use super::calls::DIRECTION;
use super::codec::{PROGRESS_COLUMNS, blob, count, data, id, progress};
use crate::error::StoreError;
use crate::model::LEDGER_WINDOW_MS;
use crate::sql::Connection;
use dialer_core::record::{AttemptRow, CutFile, CutRecording, LedgerEntry};
use dialer_core::{CallId, Snapshot, Tenant};
use sansio::WallTime;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

/// Reads it, at one point in time.
pub(super) fn load(conn: &Connection, now: WallTime) -> Result<Snapshot, StoreError> {
    let txn = conn.unchecked_transaction()?;
    let last_cursor: Option<i64> = txn.query_row("SELECT max(cursor) FROM event", [], |row| row.get(0))?;
    let open_attempts = open_attempts(&txn)?;
    Ok(Snapshot {
        trunks: all(&txn, "trunk", "SELECT data FROM trunk ORDER BY id")?,
        agents: all(&txn, "agent", "SELECT data FROM agent ORDER BY id")?,
        agent_status: all(&txn, "agent_status", "SELECT data FROM agent_status ORDER BY id")?,
        contacts: all(&txn, "contact", "SELECT data FROM contact ORDER BY id")?,
        lists: all(&txn, "list", "SELECT data FROM list ORDER BY id")?,
        dnc: super::dnc::load(&txn)?,
        caller_id_pools: super::caller_ids::load(&txn, now)?,
        inbound_routes: all(&txn, "inbound_route", "SELECT data FROM inbound_route ORDER BY id")?,
        calendars: all(&txn, "calendar", "SELECT data FROM calendar ORDER BY id")?,
        campaigns: all(&txn, "campaign", "SELECT data FROM campaign ORDER BY id")?,
        open_call_seqs: open_call_seqs(&txn, &open_attempts)?,
        open_attempts,
        cut_recordings: cut_recordings(&txn)?,
        dialled_numbers: dialled_numbers(&txn, now)?,
        ledger: ledger(&txn, now)?,
        best_time: super::best_time::load(&txn)?,
        pacer_sketches: sketches(&txn)?,
        last_cursor: count(last_cursor.unwrap_or(0)),
    })
}

fn all<T: DeserializeOwned>(conn: &Connection, table: &'static str, sql: &str) -> Result<Vec<T>, StoreError> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(data(table, row)?);
    }
    Ok(found)
}

fn cut_recordings(conn: &Connection) -> Result<Vec<CutRecording>, StoreError> {
    let starts = all(conn, "recording_open", "SELECT data FROM recording_open ORDER BY id")?;
    Ok(starts.into_iter().map(|start| CutRecording { start, found: CutFile::Unknown }).collect())
}

type OpenAttempts = Vec<(AttemptRow, Option<dialer_core::record::LeadProgress>)>;

fn open_attempts(conn: &Connection) -> Result<OpenAttempts, StoreError> {
    let attempts: Vec<AttemptRow> = all(conn, "attempt_open", "SELECT data FROM attempt_open ORDER BY call")?;
    let mut leads = conn.prepare_cached(&format!(
        "SELECT {PROGRESS_COLUMNS} FROM lead JOIN list ON list.no = lead.list_no WHERE lead.id = ?1"
    ))?;
    let mut found = Vec::with_capacity(attempts.len());
    for attempt in attempts {
        let lead = match attempt.lead {
            Some(lead) => leads.query((blob(lead),))?.next()?.map(progress).transpose()?,
            None => None,
        };
        found.push((attempt, lead));
    }
    Ok(found)
}

/// How far back, before the oldest open attempt, events are looked through: the clock may have been set meanwhile.
const CLOCK_MARGIN_MS: i64 = 60_000;
/// … and so many more: a clock that was set back by hours makes what came after the attempt look older than it.
const OLDER_ROWS_MAX: u32 = 100_000;

/// The part of an event that numbers it.
#[derive(Deserialize)]
struct Numbered {
    call: Option<CallId>,
    seq: Option<u32>,
}

/// The last number in the event stream of each call with an open attempt: newest events first, until every call
/// was found or none can come any more.
fn open_call_seqs(conn: &Connection, open: &OpenAttempts) -> Result<Vec<(CallId, u32)>, StoreError> {
    let mut wanted: BTreeSet<CallId> = open.iter().map(|(attempt, _)| attempt.call).collect();
    let Some(oldest) = open.iter().map(|(attempt, _)| attempt.at).min() else { return Ok(Vec::new()) };
    let from = oldest.plus_millis(-CLOCK_MARGIN_MS).unix_millis();
    let mut statement = conn.prepare_cached("SELECT at, data FROM event ORDER BY cursor DESC")?;
    let mut rows = statement.query_all([])?;
    let mut found = Vec::with_capacity(wanted.len());
    let mut older = 0;
    while let Some(row) = rows.next()? {
        older += u32::from(row.get::<_, i64>("at")? < from);
        if wanted.is_empty() || older > OLDER_ROWS_MAX {
            break;
        }
        let Ok(Numbered { call: Some(call), seq: Some(seq) }) = data("event", row) else { continue };
        if wanted.remove(&call) {
            found.push((call, seq));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// What was dialled within 24 hours, for limits per number. Calls that came in or passed through were not dialled.
fn dialled_numbers(
    conn: &Connection,
    now: WallTime,
) -> Result<Vec<(Option<Tenant>, String, WallTime)>, StoreError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT tenant, number, started_at FROM call_record WHERE {DIRECTION} = 0 AND started_at >= ?1 \
         ORDER BY started_at, number"
    ))?;
    let mut rows = statement.query_all((now.plus_millis(-DAY_MS).unix_millis(),))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let tenant: Option<String> = row.get("tenant")?;
        let at = WallTime::from_unix_millis(row.get("started_at")?);
        found.push((tenant.as_deref().and_then(Tenant::new), row.get("number")?, at));
    }
    Ok(found)
}

/// 24 hours.
const DAY_MS: i64 = 86_400_000;

fn ledger(conn: &Connection, now: WallTime) -> Result<Vec<LedgerEntry>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT campaign, call, at, abandoned FROM ledger WHERE at >= ?1 ORDER BY no")?;
    let entries = statement.query_map((now.plus_millis(-LEDGER_WINDOW_MS).unix_millis(),), |row| {
        Ok(LedgerEntry {
            campaign: id(row, "campaign")?,
            call: id(row, "call")?,
            at: WallTime::from_unix_millis(row.get("at")?),
            abandoned: row.get("abandoned")?,
        })
    })?;
    Ok(entries.collect::<Result<_, _>>()?)
}

fn sketches(conn: &Connection) -> Result<Vec<(dialer_core::CampaignId, Vec<u8>)>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT campaign, sketch FROM pacer_sketch ORDER BY campaign")?;
    let rows = statement.query_map([], |row| Ok((id(row, "campaign")?, row.get("sketch")?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
