//! What is old goes: recordings' rows, call records, entries of the audit log. The ledger stays.

use super::codec::{blob, count, data, id};
use super::txn::Txn;
use crate::error::StoreError;
use crate::model::{LedgerQuery, LedgerRow, Page};
use crate::sql::{Connection, Value, params_from_iter};
use dialer_core::RecordingId;
use dialer_core::record::{LedgerEntry, RecordingRow};
use sansio::WallTime;

/// Rows that go in one transaction: appends wait for it.
pub(super) const ROWS: u32 = 500;

/// Recordings that were complete before a time, oldest first.
pub(super) fn recordings_before(
    conn: &Connection,
    before: WallTime,
    limit: u32,
) -> Result<Vec<RecordingRow>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT data FROM recording WHERE at < ?1 ORDER BY at LIMIT ?2")?;
    let mut rows = statement.query((before.unix_millis(), limit))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(data("recording", row)?);
    }
    Ok(found)
}

/// Forgets a recording; false if there was none.
pub(super) fn delete_recording(txn: &mut Txn<'_>, recording: RecordingId) -> Result<bool, StoreError> {
    super::audit::delete(txn, "recording", recording)?;
    Ok(txn.run("DELETE FROM recording WHERE id = ?1", (blob(recording),))? > 0)
}

/// Forgets some records of calls that began before a time, with what agents said of them; true when there may be more.
pub(super) fn prune_records(txn: &mut Txn<'_>, before: WallTime) -> Result<(u64, bool), StoreError> {
    let calls: Vec<[u8; 16]> = txn
        .conn()
        .prepare_cached("SELECT call FROM call_record WHERE started_at < ?1 ORDER BY started_at LIMIT ?2")?
        .query_map((before.unix_millis(), ROWS), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    super::agent_time::prune(txn, before)?;
    for call in &calls {
        txn.write("DELETE FROM disposition WHERE call = ?1", (call,))?;
        txn.write("DELETE FROM wrap_up WHERE call = ?1", (call,))?;
        txn.write("DELETE FROM call_record WHERE call = ?1", (call,))?;
    }
    Ok((calls.len() as u64, calls.len() as u64 == u64::from(ROWS)))
}

/// Entries of the abandonment ledger, oldest first.
pub(super) fn ledger(conn: &Connection, query: &LedgerQuery) -> Result<Page<LedgerRow>, StoreError> {
    let (mut terms, mut values) = (String::from("WHERE true"), Vec::new());
    let mut term = |sql: &str, value: Value| {
        values.push(value);
        terms.push_str(&format!(" AND {}", sql.replacen('?', &format!("?{}", values.len()), 1)));
    };
    if let Some(cursor) = &query.cursor {
        term("no > ?", Value::Integer(cursor.parse().map_err(|_| StoreError::BadCursor)?));
    }
    if let Some(campaign) = query.campaign {
        term("campaign = ?", Value::Blob(blob(campaign).to_vec()));
    }
    if let Some(from) = query.from {
        term("at >= ?", Value::Integer(from.unix_millis()));
    }
    if let Some(to) = query.to {
        term("at < ?", Value::Integer(to.unix_millis()));
    }
    if let Some(tenant) = &query.tenant {
        term(&super::calls::of_tenant("ledger"), Value::Text(tenant.as_str().into()));
    }
    let limit = super::page_limit(query.limit);
    let sql = format!(
        "SELECT no, campaign, call, at, abandoned FROM ledger {terms} ORDER BY no LIMIT {}",
        limit + 1
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut items: Vec<LedgerRow> = Vec::new();
    while let Some(row) = rows.next()? {
        if items.len() == limit {
            let next_cursor = items.last().map(|last| last.no.to_string());
            return Ok(Page { items, next_cursor });
        }
        let entry = LedgerEntry {
            campaign: id(row, "campaign")?,
            call: id(row, "call")?,
            at: WallTime::from_unix_millis(row.get("at")?),
            abandoned: row.get("abandoned")?,
        };
        items.push(LedgerRow { no: count(row.get("no")?), entry });
    }
    Ok(Page { items, next_cursor: None })
}
