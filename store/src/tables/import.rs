//! Leads come in, and go when their list does.

use super::codec::{
    NumberKey, blob, decode_phones, encode_map, encode_phones, id, millis, queue_of, state_code,
};
use super::dnc::Everywhere;
use super::holders::{Holders, Match, Scope};
use super::known::Known;
use super::txn::Txn;
use crate::error::StoreError;
use crate::model::{DedupeScope, ImportOptions, ImportVerdict, MatchedBy, NewLead, OnDuplicate};
use crate::sql::{Bind, Connection, OptionalExtension, params};
use dialer_core::record::LeadState;
use dialer_core::{LeadId, ListId};
use sansio::{Rng, WallTime};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Leads of a deleted list that are cleared away in one transaction.
const PURGE_ROWS: i64 = 1_000;

/// New leads written by one statement. SQLite opens the table and each of its indexes for a statement and closes them after
/// it, which costs as much as a row; of more rows the parameters cost more than that.
const TOGETHER_ROWS: usize = 32;
/// Columns of a new lead.
const COLUMNS: usize = 13;

/// Names of new leads. They rise within an import, so that its rows lie side by side in the index of names.
pub(super) struct Names {
    last: LeadId,
    rng: Rng,
}

impl Names {
    pub(super) fn new(now: WallTime, mut rng: Rng) -> Names {
        Names { last: LeadId::generate(now, &mut rng), rng }
    }

    pub(super) fn next(&mut self) -> LeadId {
        let step = 1 + u128::from(self.rng.next_u32() >> 8);
        self.last = LeadId::from_bits(self.last.to_bits().wrapping_add(step));
        self.last
    }
}

/// A lead with the columns that are made of it, so that the writer, for whom all others wait, need not make them.
pub(super) struct Row {
    lead: NewLead,
    phones: String,
    fields: Option<String>,
}

impl Row {
    fn new(lead: NewLead) -> Result<Row, StoreError> {
        let (phones, fields) = (encode_phones(&lead.phones)?, encode_map(&lead.fields)?);
        Ok(Row { lead, phones, fields })
    }
}

/// An import under way: it is written in slices, so that appends need not wait for all of it.
pub(super) struct Import {
    list: ListId,
    rows: Vec<Row>,
    /// Rows that are written.
    done: usize,
    options: ImportOptions,
    names: Names,
    verdicts: Vec<ImportVerdict>,
    /// Rows written by the last slice.
    pub(super) written: u64,
}

impl Import {
    pub(super) fn new(
        list: ListId,
        rows: Vec<NewLead>,
        options: ImportOptions,
        names: Names,
    ) -> Result<Import, StoreError> {
        let rows = rows.into_iter().map(Row::new).collect::<Result<Vec<Row>, _>>()?;
        let verdicts = Vec::with_capacity(rows.len());
        Ok(Import { list, rows, done: 0, options, names, verdicts, written: 0 })
    }

    /// Writes some rows (at least one): at most `rows_max`, and until `enough`.
    pub(super) fn slice(
        &mut self,
        txn: &mut Txn<'_>,
        known: &mut Known,
        rows_max: usize,
        enough: impl Fn() -> bool,
    ) -> Result<(), StoreError> {
        self.written = 0;
        let list = list_no(txn.conn(), self.list)?.ok_or(StoreError::NotFound { what: "list" })?;
        let scope = scope(txn.conn(), list, &self.options.dedupe_scope)?;
        let mut dnc = Everywhere::load(txn.conn(), self.list, self.options.now)?;
        let rows = &self.rows[self.done..];
        let rows = &rows[..rows.len().min(rows_max)];
        known.read_on(txn.conn(), rows.len())?;
        let mut holders = Holders::look_up(txn.conn(), &scope, known, rows.iter().map(|row| &row.lead))?;
        let together = txn.conn().is_better_together();
        // Rows that are to be looked at one by one.
        let mut single = 0;
        let mut rest = rows;
        while let [row, ..] = rest {
            let before = self.verdicts.len();
            if together && single == 0 {
                let (tools, verdicts) = ((&mut holders, &mut dnc), &mut self.verdicts);
                single = write_together(txn, list, rest, tools, &mut self.names, verdicts)?;
            } else {
                let tools = (&mut holders, &mut dnc);
                self.verdicts.push(write_row(txn, list, row, &self.options, tools, &mut self.names)?);
                single = single.saturating_sub(1);
            }
            let judged = &self.verdicts[before..];
            self.done += judged.len();
            self.written += judged.iter().filter(|verdict| verdict.is_stored()).count() as u64;
            rest = &rest[judged.len()..];
            if enough() {
                break;
            }
        }
        holders.write(txn, list)
    }

    /// All rows are written.
    pub(super) fn finished(&self) -> bool {
        self.done == self.rows.len()
    }

    /// One verdict per row, and the rows for whoever asked to be rid of.
    pub(super) fn verdicts(self) -> (Vec<ImportVerdict>, Vec<Row>) {
        (self.verdicts, self.rows)
    }
}

/// The number of a list.
pub(super) fn list_no(conn: &Connection, list: ListId) -> Result<Option<i64>, StoreError> {
    Ok(conn
        .prepare_cached("SELECT no FROM list WHERE id = ?1")?
        .query_row((blob(list),), |row| row.get(0))
        .optional()?)
}

/// Looks the scope's lists up; unknown ones are passed over.
pub(super) fn scope(conn: &Connection, own: i64, wanted: &DedupeScope) -> Result<Scope, StoreError> {
    Ok(match wanted {
        DedupeScope::None => Scope::None,
        DedupeScope::All => Scope::All,
        DedupeScope::List => Scope::These(BTreeSet::from([own])),
        DedupeScope::Lists(lists) => {
            let mut numbers = BTreeSet::from([own]);
            for list in lists {
                numbers.extend(list_no(conn, *list)?);
            }
            Scope::These(numbers)
        }
    })
}

impl Match {
    /// A lead is changed only if it is the same lead: in this list, and not under another name of its owner.
    pub(super) fn is_updated(&self, list_no: i64, row: &NewLead, options: &ImportOptions) -> bool {
        let other_name = matches!((&self.external_id, &row.external_id), (Some(a), Some(b)) if a != b);
        options.on_duplicate == OnDuplicate::Update && self.list_no == list_no && !other_name
    }

    /// It has been tried as often as the import allows; one that is not stored yet never was.
    pub(super) fn is_tried_out(
        &self,
        conn: &Connection,
        options: &ImportOptions,
    ) -> Result<bool, StoreError> {
        let Some(most) = options.attempts_max else { return Ok(false) };
        let attempts: Option<i64> = conn
            .prepare_cached("SELECT attempts FROM lead WHERE no = ?1")?
            .query_row((self.no,), |row| row.get(0))
            .optional()?;
        Ok(attempts.is_some_and(|attempts| attempts >= i64::from(most)))
    }
}

/// Judges and writes the next rows that are new leads, or none of them at all; tells how many of those that follow are to be
/// looked at one by one. It ends at a row whose number somebody has, and writes nothing if the list has a lead of an owner's
/// name already.
fn write_together<'r>(
    txn: &mut Txn<'_>,
    list_no: i64,
    rows: &'r [Row],
    (holders, dnc): (&mut Holders<'r, '_>, &mut Everywhere<'_>),
    names: &mut Names,
    verdicts: &mut Vec<ImportVerdict>,
) -> Result<usize, StoreError> {
    let last: i64 = txn.conn().query_row("SELECT coalesce(max(no), 0) FROM lead", [], |row| row.get(0))?;
    let (mark, before) = (holders.mark(), verdicts.len());
    let mut new: Vec<(i64, LeadId, &Row)> = Vec::with_capacity(TOGETHER_ROWS);
    for row in rows {
        if new.len() == TOGETHER_ROWS {
            break;
        }
        let lead = &row.lead;
        if lead.phones.is_empty() {
            verdicts.push(ImportVerdict::NoPhone);
        } else if dnc.holds(lead)? {
            verdicts.push(ImportVerdict::Dnc);
        } else if holders.find(lead)?.is_some() {
            break;
        } else {
            let (no, id) = (last + 1 + new.len() as i64, names.next());
            new.push((no, id, row));
            holders.hold(lead, (no, id), list_no);
            verdicts.push(ImportVerdict::Accepted { lead: id });
        }
    }
    let (whole, rest) = new.as_chunks::<TOGETHER_ROWS>();
    let mut inserted = 0;
    for leads in whole {
        inserted += insert(txn, list_no, &INSERT_TOGETHER, leads)?;
    }
    for lead in rest {
        inserted += insert(txn, list_no, &INSERT, std::slice::from_ref(lead))?;
    }
    if inserted < new.len() {
        txn.run("DELETE FROM lead WHERE no > ?1", (last,))?;
        holders.forget(mark);
        let judged = verdicts.len() - before;
        verdicts.truncate(before);
        return Ok(judged);
    }
    count_new(txn, list_no, new.len() as i64);
    Ok(usize::from(new.len() < TOGETHER_ROWS))
}

/// Writes one row. A lead of the same owner's name counts before one of the same number; that the name is new is told
/// by its index when the row is written.
fn write_row<'r>(
    txn: &mut Txn<'_>,
    list_no: i64,
    row: &'r Row,
    options: &ImportOptions,
    (holders, dnc): (&mut Holders<'r, '_>, &mut Everywhere<'_>),
    names: &mut Names,
) -> Result<ImportVerdict, StoreError> {
    let lead = &row.lead;
    if lead.phones.is_empty() {
        return Ok(ImportVerdict::NoPhone);
    }
    if dnc.holds(lead)? {
        return Ok(ImportVerdict::Dnc);
    }
    let by_number = holders.find(lead)?;
    if by_number.is_none() {
        let id = names.next();
        if let Some(no) = insert_one(txn, list_no, id, row)? {
            holders.hold(lead, (no, id), list_no);
            return Ok(ImportVerdict::Accepted { lead: id });
        }
    }
    let Some(found) = by_external_id(txn.conn(), list_no, lead)?.or(by_number) else {
        let detail = "a lead cannot be written, and none stands in its way".into();
        return Err(StoreError::Undecodable { table: "lead", detail });
    };
    if found.is_tried_out(txn.conn(), options)? {
        Ok(ImportVerdict::TooManyAttempts { lead: found.id })
    } else if found.is_updated(list_no, lead, options) {
        update(txn, &found, row, holders)?;
        Ok(ImportVerdict::Updated { lead: found.id })
    } else {
        Ok(ImportVerdict::Duplicate { lead: found.id, by: found.by })
    }
}

pub(super) fn by_external_id(
    conn: &Connection,
    list_no: i64,
    row: &NewLead,
) -> Result<Option<Match>, StoreError> {
    let Some(external_id) = &row.external_id else { return Ok(None) };
    Ok(conn
        .prepare_cached("SELECT no, id FROM lead WHERE list_no = ?1 AND external_id = ?2")?
        .query_row((list_no, external_id), |found| {
            Ok(Match {
                no: found.get("no")?,
                id: id(found, "id")?,
                list_no,
                external_id: Some(external_id.clone()),
                by: MatchedBy::ExternalId,
            })
        })
        .optional()?)
}

/// One new lead, with its place in the order of import.
static INSERT: LazyLock<String> = LazyLock::new(|| insert_text(1));
/// … and [`TOGETHER_ROWS`].
static INSERT_TOGETHER: LazyLock<String> = LazyLock::new(|| insert_text(TOGETHER_ROWS));
/// A list has no two leads of one owner's name.
const UNLESS_NAMED: &str = "ON CONFLICT (list_no, external_id) WHERE external_id IS NOT NULL DO NOTHING";

fn insert_text(rows: usize) -> String {
    let row = |row: usize| {
        let places: Vec<String> =
            (1..=COLUMNS).map(|column| format!("?{}", row * COLUMNS + column)).collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!(
        "INSERT INTO lead (no, id, list_no, external_id, priority, time_zone, expires_at, phones, fields, state, \
         queue, attempts, next_phone) VALUES {} {UNLESS_NAMED}",
        rows.join(", ")
    )
}

/// What all new leads have: state, queue, attempts and next number.
fn as_new() -> [i64; 4] {
    [state_code(LeadState::New), queue_of(LeadState::New, None), 0, 0]
}

fn count_new(txn: &mut Txn<'_>, list_no: i64, by: i64) {
    let [state, queue, ..] = as_new();
    txn.count_lead(list_no, state, queue, by);
}

/// Writes leads by a statement for so many; how many of them the list did not have by name. Their numbers are still to be
/// held, and they are to be counted.
fn insert(
    txn: &Txn<'_>,
    list_no: i64,
    text: &str,
    leads: &[(i64, LeadId, &Row)],
) -> Result<usize, StoreError> {
    let as_new = as_new();
    let made: Vec<_> = leads.iter().map(|(_, id, row)| (blob(*id), millis(row.lead.expires_at))).collect();
    let mut values: Vec<&dyn Bind> = Vec::with_capacity(leads.len() * COLUMNS);
    for ((no, _, row), (id, expires_at)) in leads.iter().zip(&made) {
        let lead = &row.lead;
        values.extend([no as &dyn Bind, id, &list_no, &lead.external_id, &lead.priority, &lead.time_zone]);
        values.extend([expires_at as &dyn Bind, &row.phones, &row.fields]);
        values.extend(as_new.iter().map(|value| value as &dyn Bind));
    }
    txn.run(text, &values[..])
}

/// The place of the new lead in the order of import; nothing if the list has a lead of this owner's name. Its numbers are
/// still to be held.
fn insert_one(txn: &mut Txn<'_>, list_no: i64, id: LeadId, row: &Row) -> Result<Option<i64>, StoreError> {
    let lead = &row.lead;
    let (id, expires_at, as_new) = (blob(id), millis(lead.expires_at), as_new());
    let [state, queue, attempts, next_phone] = &as_new;
    let inserted = txn.conn().insert(
        "INSERT INTO lead (id, list_no, external_id, priority, time_zone, expires_at, phones, fields, state, \
         queue, attempts, next_phone) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
         ON CONFLICT (list_no, external_id) WHERE external_id IS NOT NULL DO NOTHING",
        params![
            id,
            list_no,
            lead.external_id,
            lead.priority,
            lead.time_zone,
            expires_at,
            row.phones,
            row.fields,
            state,
            queue,
            attempts,
            next_phone,
        ],
    )?;
    if inserted.is_some() {
        count_new(txn, list_no, 1);
    }
    Ok(inserted)
}

fn hold_numbers(txn: &mut Txn<'_>, list_no: i64, no: i64, row: &NewLead) -> Result<(), StoreError> {
    for phone in &row.phones {
        txn.write(
            "INSERT INTO lead_number (number, list_no, lead_no) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            (NumberKey(&phone.number), list_no, no),
        )?;
    }
    Ok(())
}

/// Takes a lead out of its list.
pub(super) fn forget_lead(txn: &mut Txn<'_>, no: i64) -> Result<(), StoreError> {
    let found: Option<(i64, i64, i64, String)> = txn
        .conn()
        .prepare_cached("SELECT list_no, state, queue, phones FROM lead WHERE no = ?1")?
        .query_row((no,), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((list_no, state, queue, phones)) = found else { return Ok(()) };
    drop_numbers(txn, list_no, no, &phones)?;
    txn.write("DELETE FROM lead WHERE no = ?1", (no,))?;
    txn.count_lead(list_no, state, queue, -1);
    Ok(())
}

fn drop_numbers(txn: &mut Txn<'_>, list_no: i64, no: i64, phones: &str) -> Result<(), StoreError> {
    for phone in decode_phones(phones)? {
        txn.write(
            "DELETE FROM lead_number WHERE number = ?1 AND list_no = ?2 AND lead_no = ?3",
            (NumberKey(&phone.number), list_no, no),
        )?;
    }
    Ok(())
}

fn update(
    txn: &mut Txn<'_>,
    found: &Match,
    row: &Row,
    holders: &mut Holders<'_, '_>,
) -> Result<(), StoreError> {
    let lead = &row.lead;
    let phones: String = txn
        .conn()
        .prepare_cached("SELECT phones FROM lead WHERE no = ?1")?
        .query_row((found.no,), |stored| stored.get(0))?;
    let old = decode_phones(&phones)?.into_iter().map(|phone| phone.number);
    holders.touch(txn, found.list_no, old.chain(lead.phones.iter().map(|phone| phone.number.clone())))?;
    drop_numbers(txn, found.list_no, found.no, &phones)?;
    txn.write(
        "UPDATE lead SET external_id = coalesce(?2, external_id), priority = ?3, time_zone = ?4, \
         expires_at = ?5, phones = ?6, fields = ?7, \
         next_phone = CASE WHEN next_phone < ?8 THEN next_phone ELSE 0 END WHERE no = ?1",
        params![
            found.no,
            lead.external_id,
            lead.priority,
            lead.time_zone,
            millis(lead.expires_at),
            row.phones,
            row.fields,
            lead.phones.len() as i64,
        ],
    )?;
    holders.note(lead);
    hold_numbers(txn, found.list_no, found.no, lead)
}

/// Clears away some leads of deleted lists; false when none are left.
pub(super) fn purge(txn: &mut Txn<'_>) -> Result<bool, StoreError> {
    let list: Option<i64> = txn
        .conn()
        .prepare_cached("SELECT no FROM list_purge ORDER BY no LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(list) = list else { return Ok(false) };
    let leads = txn
        .conn()
        .prepare_cached("SELECT no, phones FROM lead WHERE list_no = ?1 LIMIT ?2")?
        .query_map((list, PURGE_ROWS), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<(i64, String)>, _>>()?;
    for (no, phones) in &leads {
        drop_numbers(txn, list, *no, phones)?;
        txn.write("DELETE FROM lead WHERE no = ?1", (no,))?;
    }
    if leads.is_empty() {
        txn.write("DELETE FROM lead_count WHERE list_no = ?1", (list,))?;
        txn.write("DELETE FROM list_purge WHERE no = ?1", (list,))?;
    }
    Ok(true)
}
