//! Webhooks: who is told, how far they are, and what could not be told yet.

use super::codec::{blob, count, data, encode, int};
use super::txn::Txn;
use crate::error::StoreError;
use crate::model::{WebhookDelivery, WebhookProgress, WebhookRow};
use crate::sql::{Connection, Row};
use dialer_core::WebhookId;

fn webhook(row: Row<'_>) -> Result<(WebhookRow, u64), StoreError> {
    Ok((data("webhook", row)?, count(row.get("position")?)))
}

/// All of them with their positions, oldest first.
pub(super) fn all(conn: &Connection) -> Result<Vec<(WebhookRow, u64)>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT position, data FROM webhook ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(webhook(row)?);
    }
    Ok(found)
}

/// Makes one that begins after `position`, or replaces what is known of one; its position stays then.
pub(super) fn put(txn: &mut Txn<'_>, row: &WebhookRow, position: u64) -> Result<(), StoreError> {
    super::audit::put(txn, "webhook", row.id, row)?;
    txn.write(
        "INSERT INTO webhook (id, position, data) VALUES (?1, ?2, ?3) \
         ON CONFLICT (id) DO UPDATE SET data = excluded.data",
        (blob(row.id), int(position), encode("webhook", row)?),
    )?;
    Ok(())
}

/// Deletes one with all that waits for it.
pub(super) fn delete(txn: &mut Txn<'_>, id: WebhookId) -> Result<bool, StoreError> {
    super::audit::delete(txn, "webhook", id)?;
    txn.write("DELETE FROM webhook_delivery WHERE webhook = ?1", (blob(id),))?;
    Ok(txn.run("DELETE FROM webhook WHERE id = ?1", (blob(id),))? > 0)
}

/// Writes down how far one is. Nothing when it was deleted meanwhile.
pub(super) fn progress(txn: &mut Txn<'_>, progress: &WebhookProgress) -> Result<(), StoreError> {
    let id = blob(progress.webhook);
    let there = txn.run("UPDATE webhook SET position = ?2 WHERE id = ?1", (id, int(progress.position)))?;
    if there == 0 {
        return Ok(());
    }
    for cursor in &progress.done {
        txn.write(
            "DELETE FROM webhook_delivery WHERE webhook = ?1 AND event_cursor = ?2",
            (id, int(*cursor)),
        )?;
    }
    for delivery in &progress.put {
        txn.write(
            "INSERT INTO webhook_delivery (webhook, event_cursor, dead, next_at, data) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (webhook, event_cursor) DO UPDATE SET dead = excluded.dead, next_at = excluded.next_at, \
             data = excluded.data",
            (
                id,
                int(delivery.event_cursor),
                delivery.dead,
                delivery.next_at.unix_millis(),
                encode("webhook_delivery", delivery)?,
            ),
        )?;
    }
    Ok(())
}

/// Begins anew after `position`: what waits or was given up after it is forgotten, because it is told again.
pub(super) fn rewind(txn: &mut Txn<'_>, id: WebhookId, position: u64) -> Result<bool, StoreError> {
    txn.write(
        "DELETE FROM webhook_delivery WHERE webhook = ?1 AND event_cursor > ?2",
        (blob(id), int(position)),
    )?;
    Ok(txn.run("UPDATE webhook SET position = ?2 WHERE id = ?1", (blob(id), int(position)))? > 0)
}

/// Deliveries of one after an event, in the order of events.
pub(super) fn deliveries(
    conn: &Connection,
    id: WebhookId,
    dead: bool,
    after: u64,
    limit: u32,
) -> Result<Vec<WebhookDelivery>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT data FROM webhook_delivery WHERE webhook = ?1 AND dead = ?2 AND event_cursor > ?3 \
         ORDER BY event_cursor LIMIT ?4",
    )?;
    let mut rows = statement.query((blob(id), dead, int(after), limit))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(data("webhook_delivery", row)?);
    }
    Ok(found)
}

/// The position of the webhook that is furthest behind, of those that are served.
pub(super) fn furthest_behind(conn: &Connection) -> Result<Option<u64>, StoreError> {
    Ok(all(conn)?.into_iter().filter(|(row, _)| row.enabled).map(|(_, position)| position).min())
}
