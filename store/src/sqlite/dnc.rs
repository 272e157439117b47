//! Do-not-call lists.

use super::codec::{blob, data, int, millis};
use super::txn::Txn;
use crate::error::StoreError;
use dialer_core::DncListId;
use dialer_core::record::{DncListRow, DncNumbers, DncSnapshot};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension};
use sansio::WallTime;
use std::collections::BTreeMap;

fn number_of(conn: &Connection, list: DncListId) -> Result<Option<i64>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT no FROM dnc_list WHERE id = ?1")?;
    Ok(statement.query_row((blob(list),), |row| row.get(0)).optional()?)
}

/// Takes entries in; the same again replaces its time. Those of a list that was deleted meanwhile change nothing.
pub(super) fn add(txn: &mut Txn<'_>, list: DncListId, entries: &DncNumbers) -> Result<(), StoreError> {
    let Some(no) = number_of(txn.conn(), list)? else { return Ok(()) };
    const ADD: &str = "INSERT INTO dnc_entry (list_no, number, expires_at) VALUES (?1, ?2, ?3) \
                       ON CONFLICT DO UPDATE SET expires_at = excluded.expires_at";
    let until = millis(entries.expires_at);
    for number in &entries.numbers {
        txn.run(ADD, (no, int(*number), until))?;
    }
    for prefix in &entries.prefixes {
        txn.run(ADD, (no, prefix, until))?;
    }
    Ok(())
}

pub(super) fn remove(txn: &mut Txn<'_>, list: DncListId, entries: &DncNumbers) -> Result<(), StoreError> {
    let Some(no) = number_of(txn.conn(), list)? else { return Ok(()) };
    const REMOVE: &str = "DELETE FROM dnc_entry WHERE list_no = ?1 AND number = ?2";
    for number in &entries.numbers {
        txn.run(REMOVE, (no, int(*number)))?;
    }
    for prefix in &entries.prefixes {
        txn.run(REMOVE, (no, prefix))?;
    }
    Ok(())
}

pub(super) fn delete_list(txn: &mut Txn<'_>, list: DncListId) -> Result<(), StoreError> {
    let Some(no) = number_of(txn.conn(), list)? else { return Ok(()) };
    txn.run("DELETE FROM dnc_entry WHERE list_no = ?1", (no,))?;
    txn.run("DELETE FROM dnc_list WHERE no = ?1", (no,))?;
    Ok(())
}

/// All lists with what is on them.
pub(super) fn load(conn: &Connection) -> Result<Vec<DncSnapshot>, StoreError> {
    let mut lists = conn.prepare_cached("SELECT no, data FROM dnc_list ORDER BY id")?;
    let mut rows = lists.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let list: DncListRow = data("dnc_list", row)?;
        found.push(DncSnapshot { row: list, entries: entries(conn, row.get("no")?)? });
    }
    Ok(found)
}

fn entries(conn: &Connection, list: i64) -> Result<Vec<DncNumbers>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT number, expires_at FROM dnc_entry WHERE list_no = ?1 ORDER BY number")?;
    let mut rows = statement.query((list,))?;
    let mut by_time: BTreeMap<Option<i64>, DncNumbers> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let of = by_time.entry(row.get("expires_at")?).or_default();
        match row.get_ref("number")? {
            ValueRef::Integer(number) => of.numbers.push(super::codec::count(number)),
            other => of.prefixes.push(other.as_str()?.to_owned()),
        }
    }
    let with_time = |(at, of): (Option<i64>, DncNumbers)| DncNumbers {
        expires_at: at.map(WallTime::from_unix_millis),
        ..of
    };
    Ok(by_time.into_iter().map(with_time).collect())
}
