//! The event stream as kept.

use super::codec::{blob, count, encode, int};
use super::txn::Txn;
use crate::error::StoreError;
use crate::sql::{Connection, OptionalExtension, Row};
use dialer_core::event::{Event, EventEnvelope};
use dialer_core::{AgentId, CallId, CampaignId, EventId, LeadId, Tenant};
use sansio::WallTime;
use serde::Serialize;
use serde_json::Value;

/// Events looked at in one transaction of a prune.
const PRUNE_ROWS: i64 = 2_000;

/// The text kept of an event. The end of a call is kept without the call's record: that is a row of its own, written
/// in the same transaction, and by far the most of it.
pub(super) fn encoded(envelope: &EventEnvelope) -> Result<String, StoreError> {
    match (&envelope.event, envelope.call) {
        (Event::CallEnded { record }, Some(call)) if record.call == call => {
            encode("event", &ShortEnd::of(envelope, call))
        }
        _ => encode("event", envelope),
    }
}

/// What is kept of the end of a call: all fields of an [`EventEnvelope`], but no record.
#[derive(Serialize)]
struct ShortEnd<'e> {
    id: EventId,
    cursor: u64,
    seq: Option<u32>,
    occurred_at: WallTime,
    call: CallId,
    campaign: Option<CampaignId>,
    lead: Option<LeadId>,
    agent: Option<AgentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'e Tenant>,
    client_state: Option<&'e str>,
    post_call: bool,
    event: ShortEvent,
}

/// As [`Event`] is written.
#[derive(Serialize)]
struct ShortEvent {
    r#type: &'static str,
}

const CALL_ENDED: &str = "call_ended";

impl<'e> ShortEnd<'e> {
    fn of(envelope: &'e EventEnvelope, call: CallId) -> Self {
        ShortEnd {
            id: envelope.id,
            cursor: envelope.cursor,
            seq: envelope.seq,
            occurred_at: envelope.occurred_at,
            call,
            campaign: envelope.campaign,
            lead: envelope.lead,
            agent: envelope.agent,
            tenant: envelope.tenant.as_ref(),
            client_state: envelope.client_state.as_deref(),
            post_call: envelope.post_call,
            event: ShortEvent { r#type: CALL_ENDED },
        }
    }
}

/// The event of a row.
pub(super) fn decoded(conn: &Connection, row: Row<'_>) -> Result<EventEnvelope, StoreError> {
    let undecodable =
        |error: serde_json::Error| StoreError::Undecodable { table: "event", detail: error.to_string() };
    let text = row.get_ref("data")?.as_str()?;
    let mut value: Value = serde_json::from_str(text).map_err(undecodable)?;
    if value["event"]["type"] == CALL_ENDED && value["event"].get("record").is_none() {
        let call: CallId = serde_json::from_value(value["call"].clone()).map_err(undecodable)?;
        let record: Option<String> = conn
            .prepare_cached("SELECT data FROM call_record WHERE call = ?1")?
            .query_row((blob(call),), |row| row.get(0))
            .optional()?;
        let record = record.as_deref().map_or(Ok(Value::Null), serde_json::from_str);
        value["event"]["record"] = record.map_err(undecodable)?;
    }
    serde_json::from_value(value).map_err(undecodable)
}

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
        match decoded(conn, row) {
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

/// Forgets some of the oldest events if they happened before `before`, never the newest nor one after `up_to`. Returns
/// how many, and whether there may be more.
pub(super) fn prune(txn: &mut Txn<'_>, before: WallTime, up_to: u64) -> Result<(u64, bool), StoreError> {
    let rows = txn
        .conn()
        .prepare_cached(
            "SELECT cursor, at FROM event WHERE cursor < (SELECT max(cursor) FROM event) AND cursor <= ?2 \
             ORDER BY cursor LIMIT ?1",
        )?
        .query_map((PRUNE_ROWS, int(up_to)), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<(i64, i64)>, _>>()?;
    // Only a prefix goes: what is kept has no holes, also when the clock was set back.
    let old = rows.iter().take_while(|(_, at)| *at < before.unix_millis()).count();
    let Some((last, _)) = rows[..old].last() else { return Ok((0, false)) };
    let gone = txn.run("DELETE FROM event WHERE cursor <= ?1", (last,))?;
    Ok((gone as u64, old as i64 == PRUNE_ROWS))
}
