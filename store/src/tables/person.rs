//! One person, by their number: all that is kept about them, and forgetting it.
//!
//! A lead that has the number is the person's, and so is every call to or from the number or of such a lead. Erased, leads
//! go whole; calls stay as figures without anything that tells of whom they were; events stay in their places, and those
//! that told of the person say only that they did. Wherever else the number is written out, it is struck out.

use super::codec::{LEAD_COLUMNS, NumberKey, blob, data, encode, lead};
use super::txn::Txn;
use super::{audit, calls, events};
use crate::error::StoreError;
use crate::model::{AuditEntry, CallRow, ErasedPerson, Person};
use crate::sql::{Any, Bind, Connection};
use dialer_core::event::{Event, EventEnvelope};
use dialer_core::record::{Actor, CallKindTag, Lead, RecordingRow};
use dialer_core::{CallId, CallRecord, LeadId};
use sansio::WallTime;
use std::collections::BTreeSet;

/// Stands where a number was.
pub(super) const ERASED: &str = "erased";
/// Rows changed in one transaction: appends wait for it.
const ROWS: usize = 200;
/// Calls, and events, of one person that are told at most.
const TOLD_MAX: usize = 10_000;

/// Whose is whose.
struct Traces {
    number: String,
    leads: BTreeSet<LeadId>,
    calls: BTreeSet<CallId>,
}

impl Traces {
    fn find(conn: &Connection, number: &str, leads: &[LeadId]) -> Result<Traces, StoreError> {
        let mut calls = BTreeSet::new();
        let mut add = |sql: &str, value: &dyn Bind| -> Result<(), StoreError> {
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.query((value,))?;
            while let Some(row) = rows.next()? {
                calls.insert(super::codec::id(row, "call")?);
            }
            Ok(())
        };
        add("SELECT call FROM call_record WHERE number = ?1", &number)?;
        for lead in leads {
            add("SELECT call FROM call_record WHERE lead = ?1", &blob(*lead))?;
        }
        Ok(Traces { number: number.to_owned(), leads: leads.iter().copied().collect(), calls })
    }

    /// Whether a text names the number: all of its digits, and no more.
    fn in_text(&self, text: &str) -> bool {
        text.match_indices(&self.number)
            .any(|(at, _)| !text[at + self.number.len()..].starts_with(|next: char| next.is_ascii_digit()))
    }

    /// The text without the number.
    fn struck_out(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(&self.number) {
            let end = at + self.number.len();
            let longer = rest[end..].starts_with(|next: char| next.is_ascii_digit());
            out.push_str(&rest[..at]);
            out.push_str(if longer { &rest[at..end] } else { ERASED });
            rest = &rest[end..];
        }
        out.push_str(rest);
        out
    }

    fn is_about(&self, envelope: &EventEnvelope) -> bool {
        envelope.lead.is_some_and(|lead| self.leads.contains(&lead))
            || envelope.call.is_some_and(|call| self.calls.contains(&call))
    }

    fn in_bytes(&self, bytes: &[u8]) -> bool {
        let text = String::from_utf8_lossy(bytes);
        self.in_text(&text)
            || self.leads.iter().any(|lead| text.contains(&lead.to_string()))
            || self.calls.iter().any(|call| text.contains(&call.to_string()))
    }
}

/// Leads with this number, also those of lists that are being cleared away.
fn leads_of(conn: &Connection, number: &str) -> Result<Vec<(i64, LeadId)>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT DISTINCT lead.no AS no, lead.id AS id FROM lead_number JOIN lead ON lead.no = lead_no WHERE number = ?1",
    )?;
    let mut rows = statement.query((NumberKey(number),))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((row.get("no")?, super::codec::id(row, "id")?));
    }
    Ok(found)
}

/// Looks through all events in their order.
fn each_event(
    conn: &Connection,
    mut look: impl FnMut(i64, EventEnvelope, &str) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached("SELECT cursor, data FROM event ORDER BY cursor")?;
    let mut rows = statement.query_all([])?;
    while let Some(row) = rows.next()? {
        let text: String = row.get("data")?;
        // One bad row is no reason to leave the others.
        let Ok(envelope) = events::decoded(conn, row) else { continue };
        if !look(row.get("cursor")?, envelope, &text)? {
            break;
        }
    }
    Ok(())
}

/// All that is kept about a person.
pub(super) fn person(conn: &Connection, number: &str) -> Result<Person, StoreError> {
    let txn = conn.unchecked_transaction()?;
    let mut found = Person::default();
    let mut statement = txn.prepare_cached(&format!(
        "SELECT {LEAD_COLUMNS} FROM lead_number JOIN lead ON lead.no = lead_no JOIN list ON list.no = lead.list_no \
         WHERE number = ?1 ORDER BY lead.no"
    ))?;
    let mut rows = statement.query((NumberKey(number),))?;
    while let Some(row) = rows.next()? {
        found.leads.push(lead(row)?);
    }
    let ids: Vec<LeadId> = found.leads.iter().map(|lead: &Lead| lead.id).collect();
    let traces = Traces::find(&txn, number, &ids)?;
    for call in &traces.calls {
        if found.calls.len() >= TOLD_MAX {
            found.complete = false;
            break;
        }
        let row: Option<CallRow> = calls::record(&txn, *call)?;
        found.calls.extend(row);
        let mut recordings = txn.prepare_cached("SELECT data FROM recording WHERE call = ?1 ORDER BY at")?;
        let mut rows = recordings.query((blob(*call),))?;
        while let Some(row) = rows.next()? {
            let recording: RecordingRow = data("recording", row)?;
            found.recordings.push(recording);
        }
    }
    each_event(&txn, |_, envelope, text| {
        if traces.is_about(&envelope) || traces.in_text(text) {
            found.complete &= found.events.len() < TOLD_MAX;
            if found.complete {
                found.events.push(envelope);
            }
        }
        Ok(found.complete)
    })?;
    if let Some(key) = dialer_core::compliance::number_key(number) {
        let mut statement = txn.prepare_cached(
            "SELECT dnc_list.id AS id, expires_at FROM dnc_entry JOIN dnc_list ON dnc_list.no = list_no WHERE number = ?1",
        )?;
        let mut rows = statement.query((Any::Integer(super::codec::int(key)),))?;
        while let Some(row) = rows.next()? {
            found.dnc.push((super::codec::id(row, "id")?, super::codec::time(row, "expires_at")?));
        }
    }
    Ok(found)
}

/// A record with nothing left that tells of whom the call was.
fn anonymous(mut record: CallRecord) -> CallRecord {
    let other = |number: &mut Option<String>| {
        if number.is_some() {
            *number = Some(ERASED.into());
        }
    };
    match record.kind {
        CallKindTag::Inbound => other(&mut record.caller_id),
        CallKindTag::Transit => {
            record.to = ERASED.into();
            other(&mut record.caller_id);
        }
        CallKindTag::Campaign | CallKindTag::ClickToCall => record.to = ERASED.into(),
    }
    other(&mut record.transferred_to);
    for participant in &mut record.participants {
        other(&mut participant.to);
    }
    (record.lead, record.client_state, record.recording) = (None, None, None);
    record.digits = String::new();
    record
}

/// An event with nothing left that tells of whom it was: figures stay, the rest says that it was erased.
fn anonymous_event(mut envelope: EventEnvelope) -> EventEnvelope {
    (envelope.lead, envelope.client_state) = (None, None);
    let tells_nothing = matches!(
        envelope.event,
        Event::CallEnded { .. }
            | Event::LegEnded { .. }
            | Event::CallRinging { .. }
            | Event::CallAnswered { .. }
            | Event::CallClassified { .. }
            | Event::CallQueued
            | Event::CallBridged { .. }
            | Event::RecordingStarted { .. }
            | Event::RecordingReady { .. }
            | Event::RecordingDeleted { .. }
    );
    if !tells_nothing {
        envelope.event = Event::Erased;
    }
    envelope
}

/// A row that is written anew or goes.
enum Change {
    Lead {
        no: i64,
    },
    Call(CallId),
    Event {
        cursor: i64,
        envelope: Box<EventEnvelope>,
    },
    /// In this column of this table the number is struck out.
    Text {
        table: &'static str,
        column: &'static str,
        no: i64,
        text: String,
    },
    Disposition {
        column: &'static str,
        call: [u8; 16],
        text: String,
    },
    Idempotency(String),
    Audit {
        no: i64,
        before: Option<String>,
        after: Option<String>,
    },
    Rejected(i64),
}

impl super::Core {
    /// Forgets a person. Interrupted, it is done again from the start.
    pub(super) fn forget(
        &self,
        number: &str,
        by: &(Actor, WallTime),
        particulars: serde_json::Value,
    ) -> Result<ErasedPerson, StoreError> {
        let (changes, mut erased) = self.plan(number)?;
        self.shared.call(|writer| writer.erase(true))?;
        let mut changes = changes.into_iter();
        let done = loop {
            let part: Vec<Change> = changes.by_ref().take(ROWS).collect();
            if part.is_empty() {
                break Ok(());
            }
            let written = self.shared.call(move |writer| {
                writer.transact(|txn| part.into_iter().try_for_each(|change| change.write(txn)))
            });
            if written.is_err() {
                break written;
            }
        };
        if done.is_err() {
            self.shared.call(|writer| writer.erase(false))?;
        }
        done?;
        let mut after =
            serde_json::json!({ "leads": erased.leads, "calls": erased.calls, "events": erased.events });
        if let (Some(after), serde_json::Value::Object(more)) = (after.as_object_mut(), particulars) {
            after.extend(more);
        }
        let entry = AuditEntry {
            at: by.1,
            by: by.0.clone(),
            action: "person.erased".into(),
            target: "person".into(),
            before: None,
            after: Some(after),
        };
        self.shared.call(move |writer| {
            writer.transact(|txn| audit::add(txn, &entry))?;
            writer.erase(false)
        })?;
        erased.complete = true;
        Ok(erased)
    }

    /// What has to be changed. Read beside the writer: it may take seconds.
    fn plan(&self, number: &str) -> Result<(Vec<Change>, ErasedPerson), StoreError> {
        let conn = self.readers.get();
        let txn = conn.unchecked_transaction()?;
        let leads = leads_of(&txn, number)?;
        let ids: Vec<LeadId> = leads.iter().map(|(_, id)| *id).collect();
        let traces = Traces::find(&txn, number, &ids)?;
        let mut changes: Vec<Change> = Vec::new();
        each_event(&txn, |cursor, envelope, text| {
            if traces.is_about(&envelope) || traces.in_text(text) {
                let envelope = Box::new(anonymous_event(envelope));
                changes.push(Change::Event { cursor, envelope });
            }
            Ok(true)
        })?;
        let events = changes.len() as u64;
        others(&txn, &traces, &mut changes)?;
        // Leads and calls last: by them the rest is found again after an interruption.
        changes.extend(traces.calls.iter().copied().map(Change::Call));
        changes.extend(leads.iter().map(|(no, _)| Change::Lead { no: *no }));
        let erased = ErasedPerson {
            leads: leads.len() as u64,
            calls: traces.calls.len() as u64,
            events,
            complete: false,
        };
        Ok((changes, erased))
    }
}

/// Where the number is written out in what others are about.
fn others(conn: &Connection, traces: &Traces, changes: &mut Vec<Change>) -> Result<(), StoreError> {
    let texts = [
        ("call_record", "no", "data"),
        ("lead", "no", "fields"),
        ("lead", "no", "past"),
        ("disposition", "call", "notes"),
        ("disposition", "call", "fields"),
    ];
    for (table, key, column) in texts {
        let sql = format!("SELECT {key}, {column} FROM {table} WHERE instr({column}, ?1) > 0");
        let mut statement = conn.prepare_cached(&sql)?;
        let mut rows = statement.query((&traces.number,))?;
        while let Some(row) = rows.next()? {
            let text: String = row.get(1)?;
            if !traces.in_text(&text) {
                continue;
            }
            let text = traces.struck_out(&text);
            changes.push(if key == "no" {
                Change::Text { table, column, no: row.get(0)?, text }
            } else {
                Change::Disposition { column, call: row.get(0)?, text }
            });
        }
    }
    let mut statement = conn.prepare_cached("SELECT key, body FROM idempotency")?;
    let mut rows = statement.query_all([])?;
    while let Some(row) = rows.next()? {
        if traces.in_bytes(row.get_ref(1)?.as_bytes()?) {
            changes.push(Change::Idempotency(row.get(0)?));
        }
    }
    let mut statement = conn.prepare_cached(
        "SELECT no, before, after FROM audit WHERE instr(before, ?1) > 0 OR instr(after, ?1) > 0",
    )?;
    let mut rows = statement.query((&traces.number,))?;
    while let Some(row) = rows.next()? {
        let struck = |text: Option<String>| text.map(|text| traces.struck_out(&text));
        changes.push(Change::Audit {
            no: row.get(0)?,
            before: struck(row.get(1)?),
            after: struck(row.get(2)?),
        });
    }
    let mut statement = conn.prepare_cached("SELECT no FROM rejected WHERE instr(data, ?1) > 0")?;
    let mut rows = statement.query((&traces.number,))?;
    while let Some(row) = rows.next()? {
        changes.push(Change::Rejected(row.get(0)?));
    }
    Ok(())
}

impl Change {
    fn write(self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        match self {
            Change::Lead { no } => super::import::forget_lead(txn, no)?,
            Change::Call(call) => forget_call(txn, call)?,
            Change::Event { cursor, envelope } => {
                let text = events::encoded(&envelope)?;
                txn.write("UPDATE event SET data = ?2 WHERE cursor = ?1", (cursor, text))?;
            }
            Change::Text { table, column, no, text } => {
                txn.write(&format!("UPDATE {table} SET {column} = ?2 WHERE no = ?1"), (no, text))?;
            }
            Change::Disposition { column, call, text } => {
                txn.write(&format!("UPDATE disposition SET {column} = ?2 WHERE call = ?1"), (call, text))?;
            }
            Change::Idempotency(key) => {
                txn.write("DELETE FROM idempotency WHERE key = ?1", (key,))?;
            }
            Change::Audit { no, before, after } => {
                // An entry cannot be changed; this one is put into its own place without the number.
                super::audit::put_again(txn, no, before, after)?;
            }
            Change::Rejected(no) => {
                txn.write("DELETE FROM rejected WHERE no = ?1", (no,))?;
            }
        }
        Ok(())
    }
}

/// The call stays as a figure.
fn forget_call(txn: &mut Txn<'_>, call: CallId) -> Result<(), StoreError> {
    let Some(row) = calls::record(txn.conn(), call)? else { return Ok(()) };
    let record = encode("call_record", &anonymous(row.record))?;
    txn.write(
        "UPDATE call_record SET number = '', lead = NULL, data = ?2 WHERE call = ?1",
        (blob(call), record),
    )?;
    txn.write("UPDATE disposition SET notes = NULL, fields = NULL WHERE call = ?1", (blob(call),))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_struck_out_whole_and_no_longer_one_is() {
        let traces = Traces { number: "+49301234".into(), leads: BTreeSet::new(), calls: BTreeSet::new() };
        assert!(traces.in_text("call +49301234, please") && traces.in_text("+493012345 or +49301234"));
        assert!(!traces.in_text("+493012345") && !traces.in_text("49301234") && !traces.in_text(""));
        let text = "+493012345 or +49301234 (+49301234)";
        assert_eq!(traces.struck_out(text), "+493012345 or erased (erased)");
    }
}
