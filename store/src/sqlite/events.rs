//! The event stream as kept.

use super::codec::{count, data, int};
use super::txn::Txn;
use crate::error::StoreError;
use dialer_core::event::EventEnvelope;
use rusqlite::Connection;
use sansio::WallTime;

/// Events looked at in one transaction of a prune.
const PRUNE_ROWS: i64 = 2_000;

/// Events after a cursor, oldest first, and how many were passed over because they cannot be read back: one bad row
/// must not end the stream for everybody.
pub(super) fn since(
    conn: &Connection,
    cursor: u64,
    limit: u32,
) -> Result<(Vec<EventEnvelope>, u64), StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT cursor, data FROM event WHERE cursor > ?1 ORDER BY cursor LIMIT ?2")?;
    let mut rows = statement.query((int(cursor), limit))?;
    let (mut events, mut undecodable) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        match data("event", row) {
            Ok(event) => events.push(event),
            Err(error @ StoreError::Undecodable { .. }) => {
                tracing::error!(cursor = row.get::<_, i64>("cursor")?, %error, "event passed over");
                undecodable += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok((events, undecodable))
}

/// Cursor of the oldest event kept.
pub(super) fn oldest(conn: &Connection) -> Result<Option<u64>, StoreError> {
    let oldest: Option<i64> =
        conn.prepare_cached("SELECT min(cursor) FROM event")?.query_row([], |row| row.get(0))?;
    Ok(oldest.map(count))
}

/// Forgets some of the oldest events if they happened before `before`, never the newest. Returns how many, and
/// whether there may be more.
pub(super) fn prune(txn: &mut Txn<'_>, before: WallTime) -> Result<(u64, bool), StoreError> {
    let rows = txn
        .conn()
        .prepare_cached(
            "SELECT cursor, at FROM event WHERE cursor < (SELECT max(cursor) FROM event) \
             ORDER BY cursor LIMIT ?1",
        )?
        .query_map((PRUNE_ROWS,), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<(i64, i64)>, _>>()?;
    // Only a prefix goes: what is kept has no holes, also when the clock was set back.
    let old = rows.iter().take_while(|(_, at)| *at < before.unix_millis()).count();
    let Some((last, _)) = rows[..old].last() else { return Ok((0, false)) };
    let gone = txn.run("DELETE FROM event WHERE cursor <= ?1", (last,))?;
    Ok((gone as u64, old as i64 == PRUNE_ROWS))
}
