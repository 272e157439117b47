//! Leads come in, and go when their list does.

use super::codec::{
    NumberKey, blob, decode_phones, encode_map, encode_phones, id, millis, queue_of, state_code,
};
use super::txn::Txn;
use crate::error::StoreError;
use crate::model::{DedupeScope, ImportOptions, ImportVerdict, MatchedBy, NewLead, OnDuplicate};
use dialer_core::record::LeadState;
use dialer_core::{LeadId, ListId};
use rusqlite::{OptionalExtension, params};
use sansio::Rng;
use std::collections::BTreeSet;

/// Leads of a deleted list that are cleared away in one transaction.
const PURGE_ROWS: i64 = 1_000;

/// Within which lists numbers are compared, as the numbers of these lists.
pub(super) enum Scope {
    None,
    These(BTreeSet<i64>),
    All,
}

/// The number of a list.
pub(super) fn list_no(txn: &Txn<'_>, list: ListId) -> Result<Option<i64>, StoreError> {
    Ok(txn
        .conn()
        .prepare_cached("SELECT no FROM list WHERE id = ?1")?
        .query_row((blob(list),), |row| row.get(0))
        .optional()?)
}

/// Looks the scope's lists up; unknown ones are passed over.
pub(super) fn scope(txn: &Txn<'_>, own: i64, wanted: &DedupeScope) -> Result<Scope, StoreError> {
    Ok(match wanted {
        DedupeScope::None => Scope::None,
        DedupeScope::All => Scope::All,
        DedupeScope::List => Scope::These(BTreeSet::from([own])),
        DedupeScope::Lists(lists) => {
            let mut numbers = BTreeSet::from([own]);
            for list in lists {
                numbers.extend(list_no(txn, *list)?);
            }
            Scope::These(numbers)
        }
    })
}

/// A stored lead that a row is a duplicate of.
struct Match {
    no: i64,
    id: LeadId,
    list_no: i64,
    external_id: Option<String>,
    by: MatchedBy,
}

/// Writes one row.
pub(super) fn row(
    txn: &mut Txn<'_>,
    list_no: i64,
    row: &NewLead,
    options: &ImportOptions,
    scope: &Scope,
    ids: &mut Rng,
) -> Result<ImportVerdict, StoreError> {
    if row.phones.is_empty() {
        return Ok(ImportVerdict::NoPhone);
    }
    let found = match by_external_id(txn, list_no, row)? {
        Some(found) => Some(found),
        None => by_number(txn, row, scope)?,
    };
    let Some(found) = found else {
        let lead = LeadId::generate(options.now, ids);
        insert(txn, list_no, lead, row)?;
        return Ok(ImportVerdict::Accepted { lead });
    };
    // A lead is changed only if it is the same lead: in this list, and not under another name of its owner.
    let other_name = matches!((&found.external_id, &row.external_id), (Some(a), Some(b)) if a != b);
    if options.on_duplicate == OnDuplicate::Update && found.list_no == list_no && !other_name {
        update(txn, &found, row)?;
        Ok(ImportVerdict::Updated { lead: found.id })
    } else {
        Ok(ImportVerdict::Duplicate { lead: found.id, by: found.by })
    }
}

fn by_external_id(txn: &Txn<'_>, list_no: i64, row: &NewLead) -> Result<Option<Match>, StoreError> {
    let Some(external_id) = &row.external_id else { return Ok(None) };
    Ok(txn
        .conn()
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

fn by_number(txn: &Txn<'_>, row: &NewLead, scope: &Scope) -> Result<Option<Match>, StoreError> {
    // Leads of deleted lists may still be there: the join leaves them out.
    let mut holders = txn.conn().prepare_cached(
        "SELECT lead.no, lead.id, lead.list_no, lead.external_id FROM lead_number \
         JOIN list ON list.no = lead_number.list_no JOIN lead ON lead.no = lead_number.lead_no \
         WHERE number = ?1 AND (?2 IS NULL OR lead_number.list_no = ?2) ORDER BY lead.no LIMIT 1",
    )?;
    let lists: Vec<Option<i64>> = match scope {
        Scope::None => return Ok(None),
        Scope::All => vec![None],
        Scope::These(lists) => lists.iter().copied().map(Some).collect(),
    };
    for phone in &row.phones {
        for list in &lists {
            let found = holders
                .query_row((NumberKey(&phone.number), list), |found| {
                    Ok(Match {
                        no: found.get("no")?,
                        id: id(found, "id")?,
                        list_no: found.get("list_no")?,
                        external_id: found.get("external_id")?,
                        by: MatchedBy::Number,
                    })
                })
                .optional()?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

fn insert(txn: &mut Txn<'_>, list_no: i64, lead: LeadId, row: &NewLead) -> Result<(), StoreError> {
    let (state, queue) = (state_code(LeadState::New), queue_of(LeadState::New, None));
    txn.run(
        "INSERT INTO lead (id, list_no, external_id, priority, time_zone, expires_at, phones, fields, state, \
         queue, attempts, next_phone) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, 0)",
        params![
            blob(lead),
            list_no,
            row.external_id,
            row.priority,
            row.time_zone,
            millis(row.expires_at),
            encode_phones(&row.phones)?,
            encode_map(&row.fields)?,
            state,
            queue,
        ],
    )?;
    let no = txn.conn().last_insert_rowid();
    hold_numbers(txn, list_no, no, row)?;
    txn.count_lead(list_no, state, queue, 1);
    Ok(())
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

fn drop_numbers(txn: &mut Txn<'_>, list_no: i64, no: i64, phones: &str) -> Result<(), StoreError> {
    for phone in decode_phones(phones)? {
        txn.run(
            "DELETE FROM lead_number WHERE number = ?1 AND list_no = ?2 AND lead_no = ?3",
            (NumberKey(&phone.number), list_no, no),
        )?;
    }
    Ok(())
}

fn update(txn: &mut Txn<'_>, found: &Match, row: &NewLead) -> Result<(), StoreError> {
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
            row.external_id,
            row.priority,
            row.time_zone,
            millis(row.expires_at),
            encode_phones(&row.phones)?,
            encode_map(&row.fields)?,
            row.phones.len() as i64,
        ],
    )?;
    hold_numbers(txn, found.list_no, found.no, row)
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
