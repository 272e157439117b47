//! Leads come in, and go when their list does.

use super::codec::{
    NumberKey, blob, decode_phones, encode_map, encode_phones, id, millis, queue_of, state_code,
};
use super::dnc::Everywhere;
use super::txn::Txn;
use crate::error::StoreError;
use crate::model::{DedupeScope, ImportOptions, ImportVerdict, MatchedBy, NewLead, OnDuplicate};
use dialer_core::record::LeadState;
use dialer_core::{LeadId, ListId};
use rusqlite::{Connection, OptionalExtension, params};
use sansio::{Rng, WallTime};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Leads of a deleted list that are cleared away in one transaction.
const PURGE_ROWS: i64 = 1_000;

/// Within which lists numbers are compared, as the numbers of these lists.
pub(super) enum Scope {
    None,
    These(BTreeSet<i64>),
    All,
}

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

    /// Writes some rows (at least one).
    pub(super) fn slice(
        &mut self,
        txn: &mut Txn<'_>,
        rows_max: usize,
        time: Duration,
    ) -> Result<(), StoreError> {
        let began = Instant::now();
        self.written = 0;
        let list = list_no(txn.conn(), self.list)?.ok_or(StoreError::NotFound { what: "list" })?;
        let scope = scope(txn.conn(), list, &self.options.dedupe_scope)?;
        let dnc = Everywhere::load(txn.conn(), self.options.now)?;
        for row in self.rows[self.done..].iter().take(rows_max) {
            let verdict = write_row(txn, list, row, &self.options, (&scope, &dnc), &mut self.names)?;
            self.done += 1;
            self.written +=
                u64::from(matches!(verdict, ImportVerdict::Accepted { .. } | ImportVerdict::Updated { .. }));
            self.verdicts.push(verdict);
            if began.elapsed() >= time {
                break;
            }
        }
        Ok(())
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

/// A lead that a row is a duplicate of.
#[derive(Clone)]
pub(super) struct Match {
    pub(super) no: i64,
    pub(super) id: LeadId,
    pub(super) list_no: i64,
    pub(super) external_id: Option<String>,
    pub(super) by: MatchedBy,
}

impl Match {
    /// A lead is changed only if it is the same lead: in this list, and not under another name of its owner.
    pub(super) fn is_updated(&self, list_no: i64, row: &NewLead, options: &ImportOptions) -> bool {
        let other_name = matches!((&self.external_id, &row.external_id), (Some(a), Some(b)) if a != b);
        options.on_duplicate == OnDuplicate::Update && self.list_no == list_no && !other_name
    }
}

/// Writes one row. A lead of the same owner's name counts before one of the same number; that the name is new is told
/// by its index when the row is written.
fn write_row(
    txn: &mut Txn<'_>,
    list_no: i64,
    row: &Row,
    options: &ImportOptions,
    (scope, dnc): (&Scope, &Everywhere),
    names: &mut Names,
) -> Result<ImportVerdict, StoreError> {
    let lead = &row.lead;
    if lead.phones.is_empty() {
        return Ok(ImportVerdict::NoPhone);
    }
    if dnc.holds(txn.conn(), lead)? {
        return Ok(ImportVerdict::Dnc);
    }
    let by_number = by_number(txn.conn(), lead, scope)?;
    if by_number.is_none() {
        let id = names.next();
        if insert(txn, list_no, id, row)? {
            return Ok(ImportVerdict::Accepted { lead: id });
        }
    }
    let Some(found) = by_external_id(txn.conn(), list_no, lead)?.or(by_number) else {
        let detail = "a lead cannot be written, and none stands in its way".into();
        return Err(StoreError::Undecodable { table: "lead", detail });
    };
    if found.is_updated(list_no, lead, options) {
        update(txn, &found, row)?;
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

/// The lead found by the first of the row's numbers that somebody has.
fn by_number(conn: &Connection, row: &NewLead, scope: &Scope) -> Result<Option<Match>, StoreError> {
    for phone in &row.phones {
        let found = holder(conn, &phone.number, scope, |_| true)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Leads that have a number. Leads of deleted lists may still be there: the join leaves them out.
const HOLDERS: &str = "SELECT lead.no, lead.id, lead.list_no, lead.external_id FROM lead_number \
     JOIN list ON list.no = lead_number.list_no JOIN lead ON lead.no = lead_number.lead_no \
     WHERE number = ?1 ORDER BY lead_number.lead_no";
/// The same within one list: in the order of the table's key, so that nothing is sorted.
const HOLDERS_IN_LIST: &str = "SELECT lead.no, lead.id, lead.list_no, lead.external_id FROM lead_number \
     JOIN list ON list.no = lead_number.list_no JOIN lead ON lead.no = lead_number.lead_no \
     WHERE number = ?1 AND lead_number.list_no = ?2 ORDER BY lead_number.lead_no";

/// The first lead within the scope that has a number: by list (if lists are named), then by order of import.
pub(super) fn holder(
    conn: &Connection,
    number: &str,
    scope: &Scope,
    counts: impl Fn(i64) -> bool,
) -> Result<Option<Match>, StoreError> {
    let first = |list: Option<i64>| -> Result<Option<Match>, StoreError> {
        let mut holders = conn.prepare_cached(if list.is_some() { HOLDERS_IN_LIST } else { HOLDERS })?;
        let mut rows = match list {
            Some(list) => holders.query((NumberKey(number), list))?,
            None => holders.query((NumberKey(number),))?,
        };
        while let Some(found) = rows.next()? {
            let no = found.get("no")?;
            if counts(no) {
                return Ok(Some(Match {
                    no,
                    id: id(found, "id")?,
                    list_no: found.get("list_no")?,
                    external_id: found.get("external_id")?,
                    by: MatchedBy::Number,
                }));
            }
        }
        Ok(None)
    };
    match scope {
        Scope::None => Ok(None),
        Scope::All => first(None),
        Scope::These(lists) => {
            for list in lists {
                let found = first(Some(*list))?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            Ok(None)
        }
    }
}

/// False: the list has a lead of this owner's name.
fn insert(txn: &mut Txn<'_>, list_no: i64, id: LeadId, row: &Row) -> Result<bool, StoreError> {
    let lead = &row.lead;
    let (state, queue) = (state_code(LeadState::New), queue_of(LeadState::New, None));
    let inserted = txn.run(
        "INSERT INTO lead (id, list_no, external_id, priority, time_zone, expires_at, phones, fields, state, \
         queue, attempts, next_phone) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, 0) \
         ON CONFLICT (list_no, external_id) WHERE external_id IS NOT NULL DO NOTHING",
        params![
            blob(id),
            list_no,
            lead.external_id,
            lead.priority,
            lead.time_zone,
            millis(lead.expires_at),
            row.phones,
            row.fields,
            state,
            queue,
        ],
    )?;
    if inserted == 0 {
        return Ok(false);
    }
    let no = txn.conn().last_insert_rowid();
    hold_numbers(txn, list_no, no, lead)?;
    txn.count_lead(list_no, state, queue, 1);
    Ok(true)
}

fn hold_numbers(txn: &mut Txn<'_>, list_no: i64, no: i64, row: &NewLead) -> Result<(), StoreError> {
    for phone in &row.phones {
        txn.run(
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
    txn.run("DELETE FROM lead WHERE no = ?1", (no,))?;
    txn.count_lead(list_no, state, queue, -1);
    Ok(())
}

fn drop_numbers(txn: &mut Txn<'_>, list_no: i64, no: i64, phones: &str) -> Result<(), StoreError> {
    for phone in decode_phones(phones)? {
        txn.run(
            "DELETE FROM lead_number WHERE number = ?1 AND list_no = ?2 AND lead_no = ?3",
            (NumberKey(&phone.number), list_no, no),
        )?;
    }
    Ok(())
}

fn update(txn: &mut Txn<'_>, found: &Match, row: &Row) -> Result<(), StoreError> {
    let lead = &row.lead;
    let phones: String = txn
        .conn()
        .prepare_cached("SELECT phones FROM lead WHERE no = ?1")?
        .query_row((found.no,), |stored| stored.get(0))?;
    drop_numbers(txn, found.list_no, found.no, &phones)?;
    txn.run(
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
        txn.run("DELETE FROM lead WHERE no = ?1", (no,))?;
    }
    if leads.is_empty() {
        txn.run("DELETE FROM lead_count WHERE list_no = ?1", (list,))?;
        txn.run("DELETE FROM list_purge WHERE no = ?1", (list,))?;
    }
    Ok(true)
}
