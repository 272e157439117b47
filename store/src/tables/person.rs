//! One person, by their number: all that is kept about them, and forgetting it.
//!
//! A lead that has the number is the person's, and so is every call to or from the number or of such a lead. Erased, leads
//! go whole; calls stay as figures without anything that tells of whom they were; events stay in their places, and those
//! that told of the person say only that they did. Wherever else the number is written out, it is struck out.

use super::codec::{LEAD_COLUMNS, NumberKey, blob, data, decode, encode, lead};
use super::txn::Txn;
use super::{audit, calls, events};
use crate::error::StoreError;
use crate::model::{AuditEntry, CallRow, ErasedPerson, Person, PersonDnc};
use crate::sql::{Any, Bind, Connection, OptionalExtension, Value as Cell};
use dialer_core::compliance::{number_hash, number_key};
use dialer_core::event::{Event, EventEnvelope};
use dialer_core::record::{Actor, CallKindTag, Lead, RecordingRow};
use dialer_core::{CallId, CallRecord, DncListId, LeadId};
use sansio::WallTime;
use sansio::pii::Spellings;
use std::collections::BTreeSet;

/// Stands where a number was.
pub(super) const ERASED: &str = "erased";
/// Rows changed in one transaction: appends wait for it.
const ROWS: usize = 200;
/// Calls, and events, of one person that are told at most.
const TOLD_MAX: usize = 10_000;

/// Whose is whose.
struct Traces {
    spellings: Spellings,
    leads: BTreeSet<LeadId>,
    calls: BTreeSet<CallId>,
}

impl Traces {
    fn find(conn: &Connection, spellings: &Spellings, leads: &[LeadId]) -> Result<Traces, StoreError> {
        let mut calls = BTreeSet::new();
        let mut add = |sql: &str, value: &dyn Bind| -> Result<(), StoreError> {
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.query((value,))?;
            while let Some(row) = rows.next()? {
                calls.insert(super::codec::id(row, "call")?);
            }
            Ok(())
        };
        const BY_NUMBER: &str = "SELECT call FROM call_record WHERE number = ?1";
        add(BY_NUMBER, &spellings.e164())?;
        // Callers are kept as their carrier shows them.
        for digits in spellings.iter() {
            add(BY_NUMBER, &format!("+{digits}"))?;
            add(BY_NUMBER, &digits)?;
        }
        for lead in leads {
            add("SELECT call FROM call_record WHERE lead = ?1", &blob(*lead))?;
        }
        Ok(Traces { spellings: spellings.clone(), leads: leads.iter().copied().collect(), calls })
    }

    /// Whether a text names the number: all of its digits, and no more.
    fn in_text(&self, text: &str) -> bool {
        self.spellings.is_in(text)
    }

    /// The text without the number.
    fn struck_out(&self, text: &str) -> String {
        self.spellings.replaced(text, ERASED)
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

/// Applies `change` to each string of a JSON text, as it is escaped there; numbers are left alone.
fn in_strings(json: &str, mut change: impl FnMut(&str) -> Option<String>) -> Option<String> {
    let mut out: Option<String> = None;
    let (mut at, mut copied) = (0, 0);
    let bytes = json.as_bytes();
    while let Some(open) = bytes[at..].iter().position(|byte| *byte == b'"').map(|found| at + found) {
        let mut end = open + 1;
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let end = end.min(bytes.len());
        if let Some(text) = change(&json[open + 1..end]) {
            let out = out.get_or_insert_default();
            out.push_str(&json[copied..=open]);
            out.push_str(&text);
            copied = end;
        }
        at = end + 1;
        if at >= bytes.len() {
            break;
        }
    }
    out.map(|mut out| {
        out.push_str(&json[copied..]);
        out
    })
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
pub(super) fn person(conn: &Connection, spellings: &Spellings) -> Result<Person, StoreError> {
    let number = spellings.e164();
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
    let traces = Traces::find(&txn, spellings, &ids)?;
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
    found.dnc = listed(&txn, number)?;
    Ok(found)
}

/// The do-not-call lists that have the number, itself or by its hash.
fn listed(conn: &Connection, number: &str) -> Result<Vec<PersonDnc>, StoreError> {
    let Some(key) = number_key(number) else { return Ok(Vec::new()) };
    let mut lists = conn.prepare_cached("SELECT no, id FROM dnc_list ORDER BY no")?;
    let mut entry =
        conn.prepare_cached("SELECT expires_at FROM dnc_entry WHERE list_no = ?1 AND number = ?2")?;
    let mut rows = lists.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (no, list): (i64, DncListId) = (row.get("no")?, super::codec::id(row, "id")?);
        let mut look = |number: Any<'_>, hashed: bool| -> Result<(), StoreError> {
            let until =
                entry.query_row((no, number), |row| super::codec::time(row, "expires_at")).optional()?;
            found.extend(until.map(|until| PersonDnc { list, until, hashed }));
            Ok(())
        };
        look(Any::Integer(super::codec::int(key)), false)?;
        look(Any::Blob(&number_hash(list, number).to_be_bytes()), true)?;
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
            | Event::CallOptedOut { .. }
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
    /// In this column the number is struck out.
    Text {
        place: &'static Place,
        key: Cell,
        text: Option<String>,
    },
    Idempotency(String),
    Audit {
        no: i64,
        name: String,
        target: String,
        before: Option<String>,
        after: Option<String>,
    },
    Rejected(i64),
}

/// A column in which the number may be written out in what others are about.
struct Place {
    table: &'static str,
    key: &'static str,
    column: &'static str,
    /// JSON: only its strings are texts. Otherwise all of it is one.
    json: bool,
    /// Struck out it would not be unique any more: it goes whole.
    unique: bool,
}

const fn place(table: &'static str, key: &'static str, column: &'static str, json: bool) -> Place {
    Place { table, key, column, json, unique: false }
}

const PLACES: [Place; 7] = [
    place("call_record", "no", "data", true),
    place("lead", "no", "fields", true),
    place("lead", "no", "past", true),
    place("disposition", "call", "notes", false),
    place("disposition", "call", "fields", true),
    place("token", "id", "name", false),
    Place { table: "lead", key: "no", column: "external_id", json: false, unique: true },
];

/// What settings are called and say is their owner's business; that they name the number is told.
const SETTINGS: [&str; 9] = [
    "agent",
    "calendar",
    "caller_id_pool",
    "campaign",
    "dnc_list",
    "inbound_route",
    "list",
    "trunk",
    "webhook",
];

impl super::Core {
    /// Forgets a person. Interrupted, it is done again from the start.
    pub(super) fn forget(
        &self,
        spellings: &Spellings,
        by: &(Actor, WallTime),
        particulars: serde_json::Value,
    ) -> Result<ErasedPerson, StoreError> {
        let (changes, mut erased) = self.plan(spellings)?;
        let mut changes = changes.into_iter();
        loop {
            let part: Vec<Change> = changes.by_ref().take(ROWS).collect();
            if part.is_empty() {
                break;
            }
            self.shared.call(move |writer| {
                writer.transact(|txn| part.into_iter().try_for_each(|change| change.write(txn)))
            })?;
        }
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
        self.shared.call(move |writer| writer.transact(|txn| audit::add(txn, &entry)))?;
        erased.complete = erased.named_in.is_empty();
        Ok(erased)
    }

    /// What has to be changed. Read beside the writer: it may take seconds.
    fn plan(&self, spellings: &Spellings) -> Result<(Vec<Change>, ErasedPerson), StoreError> {
        let conn = self.readers.get();
        let txn = conn.unchecked_transaction()?;
        let leads = leads_of(&txn, spellings.e164())?;
        let ids: Vec<LeadId> = leads.iter().map(|(_, id)| *id).collect();
        let traces = Traces::find(&txn, spellings, &ids)?;
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
            named_in: named_in(&txn, &traces)?,
            complete: false,
        };
        Ok((changes, erased))
    }
}

/// Settings whose words name the number.
fn named_in(conn: &Connection, traces: &Traces) -> Result<Vec<String>, StoreError> {
    let mut named = Vec::new();
    for table in SETTINGS {
        let mut statement = conn.prepare_cached(&format!("SELECT data FROM {table}"))?;
        let mut rows = statement.query_all([])?;
        while let Some(row) = rows.next()? {
            let text = row.get_ref(0)?.as_str()?;
            let mut names = false;
            in_strings(text, |text| {
                names |= traces.in_text(text);
                None
            });
            if names {
                let value: serde_json::Value = decode(table, text)?;
                named.extend(value["id"].as_str().map(str::to_owned));
            }
        }
    }
    Ok(named)
}

/// Where the number is written out in what others are about.
fn others(conn: &Connection, traces: &Traces, changes: &mut Vec<Change>) -> Result<(), StoreError> {
    let struck = |text: &str| traces.in_text(text).then(|| traces.struck_out(text));
    for place in &PLACES {
        let Place { table, key, column, .. } = place;
        let sql = format!("SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL");
        let mut statement = conn.prepare_cached(&sql)?;
        let mut rows = statement.query_all([])?;
        while let Some(row) = rows.next()? {
            let text = row.get_ref(1)?.as_str()?;
            let found = if place.json { in_strings(text, struck) } else { struck(text) };
            if let Some(text) = found {
                let text = Some(text).filter(|_| !place.unique);
                changes.push(Change::Text { place, key: row.get(0)?, text });
            }
        }
    }
    let mut statement = conn.prepare_cached("SELECT key, body FROM idempotency")?;
    let mut rows = statement.query_all([])?;
    while let Some(row) = rows.next()? {
        if traces.in_bytes(row.get_ref(1)?.as_bytes()?) || traces.in_text(row.get_ref(0)?.as_str()?) {
            changes.push(Change::Idempotency(row.get(0)?));
        }
    }
    let mut statement = conn.prepare_cached("SELECT no, name, target, before, after FROM audit")?;
    let mut rows = statement.query_all([])?;
    while let Some(row) = rows.next()? {
        let whole = |column: usize| -> Result<(String, bool), StoreError> {
            let text = row.get_ref(column)?.as_str()?;
            let found = struck(text);
            Ok((found.clone().unwrap_or_else(|| text.to_owned()), found.is_some()))
        };
        let inside = |column: usize| -> Result<(Option<String>, bool), StoreError> {
            let Some(text) = row.get_ref(column)?.as_str_or_null()? else { return Ok((None, false)) };
            let found = in_strings(text, struck);
            Ok((found.clone().or_else(|| Some(text.to_owned())), found.is_some()))
        };
        let ((name, name_has), (target, target_has)) = (whole(1)?, whole(2)?);
        let ((before, before_has), (after, after_has)) = (inside(3)?, inside(4)?);
        if name_has || target_has || before_has || after_has {
            changes.push(Change::Audit { no: row.get(0)?, name, target, before, after });
        }
    }
    let mut statement = conn.prepare_cached("SELECT no, error, data FROM rejected")?;
    let mut rows = statement.query_all([])?;
    while let Some(row) = rows.next()? {
        if traces.in_text(row.get_ref(1)?.as_str()?) || traces.in_bytes(row.get_ref(2)?.as_bytes()?) {
            changes.push(Change::Rejected(row.get(0)?));
        }
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
            Change::Text { place: Place { table, key: by, column, .. }, key, text } => {
                txn.write(&format!("UPDATE {table} SET {column} = ?2 WHERE {by} = ?1"), (key, text))?;
            }
            Change::Idempotency(key) => {
                txn.write("DELETE FROM idempotency WHERE key = ?1", (key,))?;
            }
            Change::Audit { no, name, target, before, after } => {
                // An entry cannot be changed; this one is put into its own place without the number.
                super::audit::put_again(txn, no, (name, target), before, after)?;
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
    fn only_strings_of_json_are_texts() {
        let spellings = Spellings::new("+493012345678", ["3012345678"]);
        let struck = |text: &str| spellings.is_in(text).then(|| spellings.replaced(text, ERASED));
        let json =
            r#"{"a":3012345678,"b \" 030":["x\"+49 30 12345678",{"3012345678":null}],"c":"+4930123456789"}"#;
        assert_eq!(
            in_strings(json, struck).as_deref(),
            Some(r#"{"a":3012345678,"b \" 030":["x\"erased",{"erased":null}],"c":"+4930123456789"}"#)
        );
        assert_eq!(in_strings("{}", struck), None);
        assert_eq!(in_strings(r#""broken \"#, struck), None);
    }
}
