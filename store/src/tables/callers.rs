//! Who calls: what the records say of a number.

use super::codec::{LEAD_COLUMNS, NumberKey, data, lead};
use crate::error::StoreError;
use crate::sql::Connection;
use dialer_core::CallRecord;
use dialer_core::inbound::CallerMemory;
use dialer_core::record::{CallKindTag, Lead};

/// Calls of a number that are looked through, newest first.
const LOOKED_THROUGH: i64 = 50;

/// What is known of the first of these numbers of which anything is.
pub(super) fn recall(
    conn: &Connection,
    numbers: &[String],
    called: &str,
) -> Result<CallerMemory, StoreError> {
    let txn = conn.unchecked_transaction()?;
    for number in numbers {
        let memory = recall_one(&txn, number, called)?;
        if memory != CallerMemory::default() {
            return Ok(memory);
        }
    }
    Ok(CallerMemory::default())
}

fn recall_one(conn: &Connection, number: &str, called: &str) -> Result<CallerMemory, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT data FROM call_record WHERE number = ?1 ORDER BY started_at DESC, no DESC LIMIT ?2",
    )?;
    let mut rows = statement.query((number, LOOKED_THROUGH))?;
    let mut records: Vec<CallRecord> = Vec::new();
    while let Some(row) = rows.next()? {
        let record: CallRecord = data("call_record", row)?;
        if record.kind != CallKindTag::Transit {
            records.push(record);
        }
    }
    // The number we showed, or on which the caller called before, tells which of our campaigns is meant.
    let ours = |record: &CallRecord| match record.kind {
        CallKindTag::Inbound => record.to == called,
        _ => record.caller_id.as_deref() == Some(called),
    };
    records.sort_by_key(|record| !ours(record));
    let spoke = records.iter().filter(|record| record.bridged_at.is_some());
    let last_agent =
        spoke.filter_map(|record| Some((record.agent?, record.started_at))).max_by_key(|(_, at)| *at);
    let known = records.iter().find_map(|record| record.lead);
    let of_call = match known {
        Some(id) => super::leads::one(conn, id)?,
        None => None,
    };
    let lead = match of_call {
        Some(lead) => Some(lead),
        None => newest_lead(conn, number)?,
    };
    Ok(CallerMemory { last_agent, campaign: records.iter().find_map(|record| record.campaign), lead })
}

/// The lead with this number that was imported last.
fn newest_lead(conn: &Connection, number: &str) -> Result<Option<Lead>, StoreError> {
    conn.prepare_cached(&format!(
        "SELECT {LEAD_COLUMNS} FROM lead_number JOIN lead ON lead.no = lead_no JOIN list ON list.no = lead.list_no \
         WHERE number = ?1 ORDER BY lead_no DESC LIMIT 1"
    ))?
    .query((NumberKey(number),))?
    .next()?
    .map(lead)
    .transpose()
}
