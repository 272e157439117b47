//! Journal records become rows.

use super::codec::{
    blob, blob_opt, encode, encode_map, encode_past, encode_times, int, millis, queue_of, state_code,
};
use super::txn::Txn;
use super::{agent_time, audit, best_time, caller_ids, dnc};
use crate::error::StoreError;
use crate::sql::{OptionalExtension, params};
use dialer_core::event::{Event, EventEnvelope};
use dialer_core::record::{AttemptRow, CallKindTag, LeadProgress, RecordingRow};
use dialer_core::{CallRecord, ListId, Record, Tenant};
use serde::Serialize;

/// Writes one record. A record that contradicts what is stored (a second end of a call) is noted and not applied;
/// one about something that was deleted meanwhile changes nothing.
pub(super) fn apply(txn: &mut Txn<'_>, record: &Record) -> Result<(), StoreError> {
    match record {
        Record::TrunkPut(row) => {
            audit::put(txn, "trunk", row.id, row)?;
            put(txn, "trunk", PUT_TRUNK, blob(row.id), row)
        }
        Record::TrunkDeleted { trunk } => {
            audit::delete(txn, "trunk", *trunk)?;
            delete(txn, "DELETE FROM trunk WHERE id = ?1", blob(*trunk))
        }
        Record::AgentPut(row) => {
            audit::put(txn, "agent", row.id, row)?;
            put(txn, "agent", PUT_AGENT, blob(row.id), row)
        }
        Record::AgentDeleted { agent } => {
            audit::delete(txn, "agent", *agent)?;
            delete(txn, "DELETE FROM agent WHERE id = ?1", blob(*agent))?;
            delete(txn, "DELETE FROM agent_status WHERE id = ?1", blob(*agent))?;
            delete(txn, "DELETE FROM agent_since WHERE agent = ?1", blob(*agent))?;
            delete(txn, "DELETE FROM contact WHERE id = ?1", blob(*agent))
        }
        Record::AgentStatusChanged(row) => put(txn, "agent_status", PUT_AGENT_STATUS, blob(row.agent), row),
        Record::ContactPut(row) => put(txn, "contact", PUT_CONTACT, blob(row.agent), row),
        Record::ContactDeleted { agent } => delete(txn, "DELETE FROM contact WHERE id = ?1", blob(*agent)),
        Record::ListPut(row) => {
            audit::put(txn, "list", row.id, row)?;
            put(txn, "list", PUT_LIST, blob(row.id), row)
        }
        Record::ListDeleted { list } => {
            audit::delete(txn, "list", *list)?;
            delete_list(txn, *list)
        }
        Record::DncListPut(row) => {
            audit::put(txn, "dnc_list", row.id, row)?;
            put(txn, "dnc_list", PUT_DNC_LIST, blob(row.id), row)
        }
        Record::DncListDeleted { list } => {
            audit::delete(txn, "dnc_list", *list)?;
            dnc::delete_list(txn, *list)
        }
        Record::DncAdded { list, entries } => {
            audit::entries(txn, *list, "dnc_list.entries_added", entries)?;
            dnc::add(txn, *list, entries)
        }
        Record::DncRemoved { list, entries } => {
            audit::entries(txn, *list, "dnc_list.entries_removed", entries)?;
            dnc::remove(txn, *list, entries)
        }
        Record::CallerIdPoolPut(row) => {
            audit::put(txn, "caller_id_pool", row.id, row)?;
            caller_ids::put(txn, row)
        }
        Record::CallerIdPoolDeleted { pool } => {
            audit::delete(txn, "caller_id_pool", *pool)?;
            caller_ids::delete(txn, *pool)
        }
        Record::CallerIdUsed { pool, number, at } => caller_ids::used(txn, *pool, number, *at),
        Record::CallerIdPoolState { pool, state, at } => {
            audit::pool_state(txn, *pool, state)?;
            caller_ids::set_state(txn, *pool, state, *at)
        }
        Record::BestTimeSeen { campaign, segment, hour, arm, answered } => {
            best_time::seen(txn, *campaign, (segment, *hour, *arm), *answered)
        }
        Record::ExperimentReset { campaign } => best_time::reset(txn, *campaign),
        Record::InboundRoutePut(row) => {
            audit::put(txn, "inbound_route", row.id, row)?;
            put(txn, "inbound_route", PUT_INBOUND_ROUTE, blob(row.id), row)
        }
        Record::InboundRouteDeleted { route } => {
            audit::delete(txn, "inbound_route", *route)?;
            delete(txn, "DELETE FROM inbound_route WHERE id = ?1", blob(*route))
        }
        Record::CalendarPut(row) => {
            audit::put(txn, "calendar", row.id, row)?;
            put(txn, "calendar", PUT_CALENDAR, blob(row.id), row)
        }
        Record::CalendarDeleted { calendar } => {
            audit::delete(txn, "calendar", *calendar)?;
            delete(txn, "DELETE FROM calendar WHERE id = ?1", blob(*calendar))
        }
        Record::CampaignPut(row) => {
            audit::put(txn, "campaign", row.id, &**row)?;
            put(txn, "campaign", PUT_CAMPAIGN, blob(row.id), &**row)
        }
        Record::CampaignDeleted { campaign } => {
            audit::delete(txn, "campaign", *campaign)?;
            delete(txn, "DELETE FROM campaign WHERE id = ?1", blob(*campaign))?;
            delete(txn, "DELETE FROM best_time WHERE campaign = ?1", blob(*campaign))?;
            delete(txn, "DELETE FROM pacer_sketch WHERE campaign = ?1", blob(*campaign))
        }
        Record::AttemptStarted(row) => attempt_started(txn, row),
        Record::AttemptChanged(row) => attempt_changed(txn, row),
        Record::CallEnded(record) => call_ended(txn, record),
        Record::LeadChanged(progress) => lead_changed(txn, progress),
        Record::Ledger(entry) => {
            txn.write(
                "INSERT INTO ledger (campaign, call, at, abandoned) VALUES (?1, ?2, ?3, ?4)",
                (blob(entry.campaign), blob(entry.call), entry.at.unix_millis(), entry.abandoned),
            )?;
            Ok(())
        }
        Record::DispositionSet { call, code, notes, callback_at, callback_by_agent, fields, at } => {
            txn.write(
                "INSERT INTO disposition (call, code, notes, callback_at, at, callback_by_agent, fields) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                 ON CONFLICT (call) DO UPDATE SET code = excluded.code, notes = excluded.notes, \
                 callback_at = excluded.callback_at, at = excluded.at, \
                 callback_by_agent = excluded.callback_by_agent, fields = excluded.fields",
                params![
                    blob(*call),
                    code,
                    notes,
                    millis(*callback_at),
                    at.unix_millis(),
                    callback_by_agent,
                    encode_map(fields)?,
                ],
            )?;
            Ok(())
        }
        Record::WrapUpEnded { call, wrap_up_ms } => {
            txn.write(
                "INSERT INTO wrap_up (call, wrap_up_ms) VALUES (?1, ?2) \
                 ON CONFLICT (call) DO UPDATE SET wrap_up_ms = excluded.wrap_up_ms",
                (blob(*call), int(*wrap_up_ms)),
            )?;
            Ok(())
        }
        Record::RecordingStarted(row) => put(txn, "recording_open", PUT_RECORDING_OPEN, blob(row.id), row),
        Record::RecordingReady(row) => recording_ready(txn, row),
        Record::RecordingLost { recording } => {
            delete(txn, "DELETE FROM recording_open WHERE id = ?1", blob(*recording))
        }
        Record::PacerSketch { campaign, sketch } => {
            txn.write(
                "INSERT INTO pacer_sketch (campaign, sketch) VALUES (?1, ?2) \
                 ON CONFLICT (campaign) DO UPDATE SET sketch = excluded.sketch",
                (blob(*campaign), sketch),
            )?;
            Ok(())
        }
        Record::Event(envelope) => event(txn, envelope),
        // Looked at before the others, see the writer.
        Record::ChangedBy { .. } => Ok(()),
    }
}

const PUT_TRUNK: &str =
    "INSERT INTO trunk (id, data) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET data = excluded.data";
const PUT_AGENT: &str =
    "INSERT INTO agent (id, data) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET data = excluded.data";
const PUT_AGENT_STATUS: &str =
    "INSERT INTO agent_status (id, data) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET data = excluded.data";
const PUT_CONTACT: &str =
    "INSERT INTO contact (id, data) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET data = excluded.data";
const PUT_LIST: &str =
    "INSERT INTO list (id, data) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET data = excluded.data";
const PUT_DNC_LIST: &str =
    "INSERT INTO dnc_list (id, data) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET data = excluded.data";
const PUT_INBOUND_ROUTE: &str = "INSERT INTO inbound_route (id, data) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET data = excluded.data";
const PUT_CALENDAR: &str =
    "INSERT INTO calendar (id, data) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET data = excluded.data";
const PUT_RECORDING_OPEN: &str = "INSERT INTO recording_open (id, data) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET data = excluded.data";
const PUT_CAMPAIGN: &str =
    "INSERT INTO campaign (id, data) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET data = excluded.data";

fn put<T: Serialize>(
    txn: &mut Txn<'_>,
    table: &'static str,
    sql: &str,
    id: [u8; 16],
    row: &T,
) -> Result<(), StoreError> {
    txn.write(sql, (id, encode(table, row)?))?;
    Ok(())
}

fn delete(txn: &mut Txn<'_>, sql: &str, id: [u8; 16]) -> Result<(), StoreError> {
    txn.write(sql, (id,))?;
    Ok(())
}

/// The list goes at once, its leads later and in small transactions: there may be millions.
fn delete_list(txn: &mut Txn<'_>, list: ListId) -> Result<(), StoreError> {
    let no: Option<i64> = txn
        .conn()
        .prepare_cached("SELECT no FROM list WHERE id = ?1")?
        .query_row((blob(list),), |row| row.get(0))
        .optional()?;
    if let Some(no) = no {
        txn.write("DELETE FROM list WHERE no = ?1", (no,))?;
        txn.write("INSERT INTO list_purge (no) VALUES (?1)", (no,))?;
        txn.tally.purge = true;
    }
    Ok(())
}

fn attempt_started(txn: &mut Txn<'_>, row: &AttemptRow) -> Result<(), StoreError> {
    txn.write_one(
        "INSERT INTO attempt_open (call, campaign, data) SELECT ?1, ?2, ?3 \
         WHERE NOT EXISTS (SELECT 1 FROM call_record WHERE call = ?1) ON CONFLICT DO NOTHING",
        (blob(row.call), blob_opt(row.campaign), encode("attempt_open", row)?),
        || format!("{} was started before", row.call),
    )
}

/// One that is over stays as it is.
fn attempt_changed(txn: &mut Txn<'_>, row: &AttemptRow) -> Result<(), StoreError> {
    txn.run(
        "UPDATE attempt_open SET data = ?2 WHERE call = ?1",
        (blob(row.call), encode("attempt_open", row)?),
    )?;
    Ok(())
}

fn call_ended(txn: &mut Txn<'_>, record: &CallRecord) -> Result<(), StoreError> {
    let made = txn.run(
        "INSERT INTO call_record (call, campaign, agent, lead, number, outcome, started_at, data, tenant) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
        params![
            blob(record.call),
            blob_opt(record.campaign),
            blob_opt(record.agent),
            blob_opt(record.lead),
            customer_of(record),
            record.outcome.as_str(),
            record.started_at.unix_millis(),
            encode("call_record", record)?,
            record.tenant.as_ref().map(Tenant::as_str),
        ],
    )?;
    if made == 0 {
        txn.contradict(|| format!("{} has ended before", record.call));
        return Ok(());
    }
    const OVER: &str = "DELETE FROM attempt_open WHERE call = ?1";
    if record.kind == CallKindTag::Transit {
        // Of most of them nothing was written down before.
        txn.run(OVER, (blob(record.call),))?;
    } else {
        txn.write(OVER, (blob(record.call),))?;
    }
    // Who calls us is no attempt of a campaign.
    if let Some(campaign) = record.campaign.filter(|_| record.kind != CallKindTag::Inbound) {
        txn.write(
            "INSERT INTO campaign_total (campaign, outcome, ended, answered, bridged, abandoned, talk_ms) \
             VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6) ON CONFLICT (campaign, outcome) DO UPDATE SET \
             ended = campaign_total.ended + 1, answered = campaign_total.answered + excluded.answered, \
             bridged = campaign_total.bridged + excluded.bridged, \
             abandoned = campaign_total.abandoned + excluded.abandoned, \
             talk_ms = campaign_total.talk_ms + excluded.talk_ms",
            (
                blob(campaign),
                record.outcome.as_str(),
                record.answered_at.is_some(),
                record.bridged_at.is_some(),
                record.abandoned,
                int(record.talk_ms),
            ),
        )?;
    }
    Ok(())
}

/// The number by which a call is found: the customer's.
fn customer_of(record: &CallRecord) -> &str {
    match record.kind {
        CallKindTag::Inbound => record.caller_id.as_deref().unwrap_or(""),
        _ => &record.to,
    }
}

fn lead_changed(txn: &mut Txn<'_>, progress: &LeadProgress) -> Result<(), StoreError> {
    let found: Option<(i64, i64, i64, i64)> = txn
        .conn()
        .prepare_cached("SELECT no, list_no, state, queue FROM lead WHERE id = ?1")?
        .query_row((blob(progress.lead),), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((no, list_no, state_before, queue_before)) = found else {
        return Ok(()); // its list was deleted while it was being dialled
    };
    let state = state_code(progress.state);
    let queue = queue_of(progress.state, progress.next_at);
    let promise = progress.callback.as_ref();
    txn.write(
        "UPDATE lead SET state = ?2, queue = ?3, attempts = ?4, outcomes = ?5, last_outcome = ?6, \
         last_attempt_at = ?7, next_at = ?8, next_phone = ?9, agent_guaranteed_until = ?10, recent = ?11, past = ?12, \
         callback_at = ?13, callback_told = ?14, callback_agent = ?15, callback_campaign = ?16 WHERE no = ?1",
        params![
            no,
            state,
            queue,
            progress.attempts,
            encode_map(&progress.outcomes)?,
            progress.last_outcome.map(dialer_core::Outcome::as_str),
            millis(progress.last_attempt_at),
            millis(progress.next_at),
            progress.next_phone,
            millis(progress.agent_guaranteed_until),
            encode_times(&progress.recent)?,
            encode_past(progress)?,
            promise.map(|promise| promise.at.unix_millis()),
            promise.map(|promise| promise.told),
            promise.and_then(|promise| promise.agent).map(|agent| agent.to_string()),
            promise.and_then(|promise| promise.campaign).map(|campaign| campaign.to_string()),
        ],
    )?;
    if (state, queue) != (state_before, queue_before) {
        txn.count_lead(list_no, state_before, queue_before, -1);
        txn.count_lead(list_no, state, queue, 1);
    }
    Ok(())
}

fn recording_ready(txn: &mut Txn<'_>, row: &RecordingRow) -> Result<(), StoreError> {
    txn.write_one(
        "INSERT INTO recording (id, call, campaign, agent, at, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT DO NOTHING",
        (
            blob(row.id),
            blob(row.call),
            blob_opt(row.campaign),
            blob_opt(row.agent),
            row.at.unix_millis(),
            encode("recording", row)?,
        ),
        || format!("{} was complete before", row.id),
    )?;
    delete(txn, "DELETE FROM recording_open WHERE id = ?1", blob(row.id))
}

fn event(txn: &mut Txn<'_>, envelope: &EventEnvelope) -> Result<(), StoreError> {
    txn.write_one(
        "INSERT INTO event (cursor, at, data) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        (int(envelope.cursor), envelope.occurred_at.unix_millis(), super::events::encoded(envelope)?),
        || format!("the cursor {} is taken by another event", envelope.cursor),
    )?;
    match (&envelope.event, envelope.agent) {
        (Event::AgentState { from, to, .. }, Some(agent)) => {
            agent_time::moved(txn, agent, (*from, *to), envelope.occurred_at)
        }
        _ => Ok(()),
    }
}
