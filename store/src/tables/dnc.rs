//! Do-not-call lists.

use super::codec::{blob, data, int, millis};
use super::txn::Txn;
use crate::error::StoreError;
use crate::model::NewLead;
use crate::sql::{Any, Connection, OptionalExtension, Statement, ValueRef};
use dialer_core::compliance::{number_hash, number_key};
use dialer_core::record::{DncListRow, DncNumbers, DncSnapshot, ListRow};
use dialer_core::{DncListId, ListId};
use sansio::WallTime;
use std::collections::{BTreeMap, BTreeSet};

fn number_of(conn: &Connection, list: DncListId) -> Result<Option<i64>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT no FROM dnc_list WHERE id = ?1")?;
    Ok(statement.query_row((blob(list),), |row| row.get(0)).optional()?)
}

/// Takes entries in; the same again replaces its time. Those of a list that was deleted meanwhile change nothing.
pub(super) fn add(txn: &mut Txn<'_>, list: DncListId, entries: &DncNumbers) -> Result<(), StoreError> {
    let Some(no) = number_of(txn.conn(), list)? else { return Ok(()) };
    const ADD: &str = "INSERT INTO dnc_entry (list_no, number, expires_at) VALUES (?1, ?2, ?3) \
                       ON CONFLICT (list_no, number) DO UPDATE SET expires_at = excluded.expires_at";
    let until = millis(entries.expires_at);
    for number in &entries.numbers {
        txn.write(ADD, (no, Any::Integer(int(*number)), until))?;
    }
    for prefix in &entries.prefixes {
        txn.write(ADD, (no, Any::Text(prefix), until))?;
    }
    for hash in &entries.hashes {
        txn.write(ADD, (no, Any::Blob(&hash.to_be_bytes()), until))?;
    }
    Ok(())
}

pub(super) fn remove(txn: &mut Txn<'_>, list: DncListId, entries: &DncNumbers) -> Result<(), StoreError> {
    let Some(no) = number_of(txn.conn(), list)? else { return Ok(()) };
    const REMOVE: &str = "DELETE FROM dnc_entry WHERE list_no = ?1 AND number = ?2";
    for number in &entries.numbers {
        txn.write(REMOVE, (no, Any::Integer(int(*number))))?;
    }
    for prefix in &entries.prefixes {
        txn.write(REMOVE, (no, Any::Text(prefix)))?;
    }
    for hash in &entries.hashes {
        txn.write(REMOVE, (no, Any::Blob(&hash.to_be_bytes())))?;
    }
    Ok(())
}

pub(super) fn delete_list(txn: &mut Txn<'_>, list: DncListId) -> Result<(), StoreError> {
    let Some(no) = number_of(txn.conn(), list)? else { return Ok(()) };
    txn.write("DELETE FROM dnc_entry WHERE list_no = ?1", (no,))?;
    txn.write("DELETE FROM dnc_list WHERE no = ?1", (no,))?;
    Ok(())
}

/// The lists that hold everywhere, for imports.
pub(super) struct Everywhere<'c> {
    entry: Statement<'c>,
    lists: Vec<i64>,
    /// Those of which some numbers are kept by hash.
    hashed: Vec<(i64, DncListId)>,
    /// Without a plus.
    prefixes: BTreeSet<String>,
    now: i64,
}

impl<'c> Everywhere<'c> {
    /// Those that hold for leads of this list: the operator's, and those of the tenant whose list it is.
    pub(super) fn load(
        conn: &'c Connection,
        list: ListId,
        now: WallTime,
    ) -> Result<Everywhere<'c>, StoreError> {
        let now = now.unix_millis();
        let found = conn
            .prepare_cached("SELECT data FROM list WHERE id = ?1")?
            .query_row((blob(list),), |row| Ok(data::<ListRow>("list", row)))
            .optional()?;
        let tenant = found.transpose()?.map(|row| row.config.tenant);
        let (mut lists, mut hashed, mut prefixes) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut statement = conn.prepare_cached("SELECT no, data FROM dnc_list")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let list: DncListRow = data("dnc_list", row)?;
            let other = list.config.tenant.is_some() && list.config.tenant != tenant;
            if !list.config.everywhere || other {
                continue;
            }
            let no: i64 = row.get("no")?;
            // Texts come after all numbers, bytes after all texts.
            let (first_text, first_bytes) = (Any::Text(""), Any::Blob(b""));
            let mut texts = conn.prepare_cached(
                "SELECT number FROM dnc_entry WHERE list_no = ?1 AND number >= ?3 AND number < ?4 \
                 AND (expires_at IS NULL OR expires_at > ?2)",
            )?;
            let found = texts.query_map((no, now, first_text, first_bytes), |row| {
                Ok(row.get_any(0)?.as_str()?.to_owned())
            })?;
            prefixes.extend(found.collect::<Result<Vec<String>, _>>()?);
            let mut bytes =
                conn.prepare_cached("SELECT 1 FROM dnc_entry WHERE list_no = ?1 AND number >= ?2 LIMIT 1")?;
            if bytes.exists((no, first_bytes))? {
                hashed.push((no, list.id));
            }
            lists.push(no);
        }
        let entry = conn.prepare_cached(
            "SELECT 1 FROM dnc_entry WHERE list_no = ?1 AND number = ?2 \
             AND (expires_at IS NULL OR expires_at > ?3)",
        )?;
        Ok(Everywhere { entry, lists, hashed, prefixes, now })
    }

    /// Whether all numbers of a row (there is one at least) are on one of the lists.
    pub(super) fn holds(&mut self, row: &NewLead) -> Result<bool, StoreError> {
        if self.lists.is_empty() {
            return Ok(false);
        }
        for phone in &row.phones {
            if !self.holds_number(&phone.number)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn holds_number(&mut self, number: &str) -> Result<bool, StoreError> {
        let Some(key) = number_key(number) else { return Ok(false) };
        let digits = &number[1..];
        if !self.prefixes.is_empty()
            && (1..=digits.len()).any(|length| self.prefixes.contains(&digits[..length]))
        {
            return Ok(true);
        }
        for list in &self.lists {
            if self.entry.exists((list, Any::Integer(int(key)), self.now))? {
                return Ok(true);
            }
        }
        for (list, id) in &self.hashed {
            if self.entry.exists((list, Any::Blob(&number_hash(*id, number).to_be_bytes()), self.now))? {
                return Ok(true);
            }
        }
        Ok(false)
    }
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
    let mut rows = statement.query_all((list,))?;
    let mut by_time: BTreeMap<Option<i64>, DncNumbers> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let of = by_time.entry(row.get("expires_at")?).or_default();
        match row.get_any("number")? {
            ValueRef::Integer(number) => of.numbers.push(super::codec::count(number)),
            ValueRef::Blob(hash) => {
                let hash = hash.try_into().map_err(|_| StoreError::Undecodable {
                    table: "dnc_entry",
                    detail: format!("a hash of {} bytes", hash.len()),
                })?;
                of.hashes.push(u128::from_be_bytes(hash));
            }
            other => of.prefixes.push(other.as_str()?.to_owned()),
        }
    }
    let with_time = |(at, of): (Option<i64>, DncNumbers)| DncNumbers {
        expires_at: at.map(WallTime::from_unix_millis),
        ..of
    };
    Ok(by_time.into_iter().map(with_time).collect())
}
