//! Pools of caller IDs.

use super::codec::{blob, data, encode};
use super::txn::Txn;
use crate::error::StoreError;
use crate::sql::Connection;
use dialer_core::CallerIdPoolId;
use dialer_core::caller_id::{CallerIdPoolRow, CallerIdPoolSnapshot, PoolState};
use sansio::WallTime;

/// Uses older than this count for no cap any more, milliseconds.
const USES_KEPT_MS: i64 = 24 * 3_600_000;

pub(super) fn put(txn: &mut Txn<'_>, row: &CallerIdPoolRow) -> Result<(), StoreError> {
    txn.write(
        "INSERT INTO caller_id_pool (id, data) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET data = excluded.data",
        (blob(row.id), encode("caller_id_pool", row)?),
    )?;
    Ok(())
}

pub(super) fn delete(txn: &mut Txn<'_>, pool: CallerIdPoolId) -> Result<(), StoreError> {
    txn.write("DELETE FROM caller_id_pool WHERE id = ?1", (blob(pool),))?;
    txn.write("DELETE FROM caller_id_use WHERE pool = ?1", (blob(pool),))?;
    Ok(())
}

/// Notes a use; of a pool that was deleted meanwhile nothing is kept.
pub(super) fn used(
    txn: &mut Txn<'_>,
    pool: CallerIdPoolId,
    number: &str,
    at: WallTime,
) -> Result<(), StoreError> {
    txn.write(
        "INSERT INTO caller_id_use (pool, at, number) SELECT ?1, ?2, ?3 \
         WHERE EXISTS (SELECT 1 FROM caller_id_pool WHERE id = ?1)",
        (blob(pool), at.unix_millis(), number),
    )?;
    Ok(())
}

/// Keeps what is known, and forgets uses that count no more.
pub(super) fn set_state(
    txn: &mut Txn<'_>,
    pool: CallerIdPoolId,
    state: &PoolState,
    at: WallTime,
) -> Result<(), StoreError> {
    txn.write(
        "UPDATE caller_id_pool SET state = ?2 WHERE id = ?1",
        (blob(pool), encode("caller_id_pool", state)?),
    )?;
    txn.write(
        "DELETE FROM caller_id_use WHERE pool = ?1 AND at < ?2",
        (blob(pool), at.plus_millis(-USES_KEPT_MS).unix_millis()),
    )?;
    Ok(())
}

/// All pools with what is known of their numbers.
pub(super) fn load(conn: &Connection, now: WallTime) -> Result<Vec<CallerIdPoolSnapshot>, StoreError> {
    let since = now.plus_millis(-USES_KEPT_MS).unix_millis();
    let mut pools = conn.prepare_cached("SELECT data, NULL FROM caller_id_pool ORDER BY id")?;
    let mut states =
        conn.prepare_cached("SELECT state AS data FROM caller_id_pool WHERE id = ?1 AND state IS NOT NULL")?;
    let mut uses = conn.prepare_cached(
        "SELECT number, at FROM caller_id_use WHERE pool = ?1 AND at >= ?2 ORDER BY at, rowid",
    )?;
    let mut rows = pools.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let row: CallerIdPoolRow = data("caller_id_pool", row)?;
        let id = blob(row.id);
        let state = match states.query((id,))?.next()? {
            Some(state) => data("caller_id_pool", state)?,
            None => PoolState::default(),
        };
        let uses = uses.query_map((id, since), |row| {
            Ok((row.get("number")?, WallTime::from_unix_millis(row.get("at")?)))
        })?;
        found.push(CallerIdPoolSnapshot { row, state, uses: uses.collect::<Result<_, _>>()? });
    }
    Ok(found)
}
