//! The audit log: who changed which settings from what to what, and who heard which recording.
//!
//! Changes are put down in the transaction that makes them, so neither is ever there without the other. Secrets are
//! told as [`SECRET`], whatever they are.

use super::codec::{blob, blob_opt, data, encode, id_opt};
use super::txn::Txn;
use crate::error::StoreError;
use crate::model::{AuditEntry, AuditQuery, AuditRow, Page};
use crate::sql::{Connection, OptionalExtension, Row, Value as Cell, params, params_from_iter};
use dialer_core::caller_id::PoolState;
use dialer_core::id::{Id, Kind};
use dialer_core::record::{Actor, DncNumbers};
use dialer_core::{CallerIdPoolId, DncListId, Tenant};
use sansio::WallTime;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Stands for a secret.
pub(super) const SECRET: &str = "(secret)";
/// Stands for a secret that is another one now.
pub(super) const SECRET_CHANGED: &str = "(another secret)";
/// Entries of a do-not-call list that are told one by one; of more only the first.
const ENTRIES_TOLD_MAX: usize = 100;
/// Members whose values are secret.
const SECRETS: [&str; 3] = ["password", "secret", "secrets"];

fn is_secret(name: &str) -> bool {
    SECRETS.contains(&name)
}

/// Puts down that a row is about to be made or changed, if somebody asked for that.
pub(super) fn put<K: Kind, T: Serialize>(
    txn: &mut Txn<'_>,
    table: &'static str,
    id: Id<K>,
    row: &T,
) -> Result<(), StoreError> {
    if txn.by.is_none() {
        return Ok(());
    }
    let before = stored(txn.conn(), table, "data", blob(id))?;
    let after = serde_json::to_value(row).map_err(|error| undecodable(table, &error))?;
    changed(txn, table, id.to_string(), before, after)
}

/// Puts down a change of what was `before`, if it is one.
fn changed(
    txn: &mut Txn<'_>,
    kind: &str,
    target: String,
    before: Option<Value>,
    after: Value,
) -> Result<(), StoreError> {
    let Some(before) = before else {
        return note(txn, format!("{kind}.created"), target, None, Some(hidden(after)));
    };
    match difference(&before, &after) {
        Some((before, after)) => note(txn, format!("{kind}.changed"), target, Some(before), Some(after)),
        None => Ok(()),
    }
}

/// Puts down that a row is about to be deleted.
pub(super) fn delete<K: Kind>(txn: &mut Txn<'_>, table: &'static str, id: Id<K>) -> Result<(), StoreError> {
    if txn.by.is_none() {
        return Ok(());
    }
    match stored(txn.conn(), table, "data", blob(id))? {
        Some(before) => note(txn, format!("{table}.deleted"), id.to_string(), Some(hidden(before)), None),
        None => Ok(()),
    }
}

/// Puts down that entries come onto a do-not-call list or go from it.
pub(super) fn entries(
    txn: &mut Txn<'_>,
    list: DncListId,
    action: &str,
    entries: &DncNumbers,
) -> Result<(), StoreError> {
    if txn.by.is_none() {
        return Ok(());
    }
    let told = |count: usize| count.min(ENTRIES_TOLD_MAX);
    let numbers: Vec<String> =
        entries.numbers[..told(entries.numbers.len())].iter().map(|number| format!("+{number}")).collect();
    let after = json!({
        "numbers_count": entries.numbers.len(), "prefixes_count": entries.prefixes.len(),
        "numbers": numbers, "prefixes": &entries.prefixes[..told(entries.prefixes.len())],
        "expires_at_ms": entries.expires_at.map(WallTime::unix_millis),
    });
    note(txn, action.to_owned(), list.to_string(), None, Some(after))
}

/// Puts down what somebody changes of what is known of a pool's numbers: quarantine and release.
pub(super) fn pool_state(
    txn: &mut Txn<'_>,
    pool: CallerIdPoolId,
    state: &PoolState,
) -> Result<(), StoreError> {
    if txn.by.is_none() {
        return Ok(());
    }
    let before = stored(txn.conn(), "caller_id_pool", "state", blob(pool))?.unwrap_or(Value::Null);
    let after = serde_json::to_value(state).map_err(|error| undecodable("caller_id_pool", &error))?;
    match difference(&before, &after) {
        Some((before, after)) => {
            note(txn, "caller_id_pool.numbers_changed".into(), pool.to_string(), Some(before), Some(after))
        }
        None => Ok(()),
    }
}

/// Runs `change` for somebody: a change of what is kept beside the journal.
pub(super) fn by<T>(
    txn: &mut Txn<'_>,
    by: Option<(Actor, WallTime)>,
    change: impl FnOnce(&mut Txn<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    txn.by = by;
    let done = change(txn);
    txn.by = None;
    done
}

/// Puts down a change of what has no column `data`.
pub(super) fn changed_value(
    txn: &mut Txn<'_>,
    kind: &str,
    target: String,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<(), StoreError> {
    match (before, after) {
        _ if txn.by.is_none() => Ok(()),
        (before, Some(after)) => changed(txn, kind, target, before, after),
        (Some(before), None) => note(txn, format!("{kind}.deleted"), target, Some(hidden(before)), None),
        (None, None) => Ok(()),
    }
}

fn note(
    txn: &mut Txn<'_>,
    action: String,
    target: String,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<(), StoreError> {
    let Some((by, at)) = txn.by.clone() else { return Ok(()) };
    add(txn, &AuditEntry { at, by, action, target, before, after })
}

/// Adds an entry.
pub(super) fn add(txn: &mut Txn<'_>, entry: &AuditEntry) -> Result<(), StoreError> {
    let text = |value: &Option<Value>| value.as_ref().map(|value| encode("audit", value)).transpose();
    txn.write(
        "INSERT INTO audit (at, token, name, action, target, before, after, tenant) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        (
            entry.at.unix_millis(),
            blob_opt(entry.by.token),
            &entry.by.name,
            &entry.action,
            &entry.target,
            text(&entry.before)?,
            text(&entry.after)?,
            entry.by.tenant.as_ref().map(Tenant::as_str),
        ),
    )?;
    Ok(())
}

/// Puts an entry, which cannot be changed, into its own place with other values.
pub(super) fn put_again(
    txn: &mut Txn<'_>,
    no: i64,
    (name, target): (String, String),
    before: Option<String>,
    after: Option<String>,
) -> Result<(), StoreError> {
    let kept = txn
        .conn()
        .prepare_cached("SELECT at, token, action, tenant FROM audit WHERE no = ?1")?
        .query_row((no,), |row| {
            let token: Option<[u8; 16]> = row.get("token")?;
            let tenant: Option<String> = row.get("tenant")?;
            Ok((row.get::<_, i64>("at")?, token, row.get::<_, String>("action")?, tenant))
        })
        .optional()?;
    let Some((at, token, action, tenant)) = kept else { return Ok(()) };
    txn.write("DELETE FROM audit WHERE no = ?1", (no,))?;
    txn.write(
        "INSERT INTO audit (no, at, token, name, action, target, before, after, tenant) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![no, at, token, name, action, target, before, after, tenant],
    )
}

/// Entries, newest first.
pub(super) fn page(conn: &Connection, query: &AuditQuery) -> Result<Page<AuditRow>, StoreError> {
    let mut terms = Vec::new();
    let mut values = Vec::new();
    let mut term = |sql: &str, value: Cell| {
        values.push(value);
        terms.push(sql.replace('?', &format!("?{}", values.len())));
    };
    if let Some(cursor) = &query.cursor {
        let no: i64 = cursor.parse().map_err(|_| StoreError::BadCursor)?;
        term("no < ?", Cell::Integer(no));
    }
    if let Some(target) = &query.target {
        term("target = ?", Cell::Text(target.clone()));
    }
    if let Some(token) = query.token {
        term("token = ?", Cell::Blob(blob(token).to_vec()));
    }
    if let Some(tenant) = &query.tenant {
        term("tenant = ?", Cell::Text(tenant.as_str().into()));
    }
    if let Some(from) = query.from {
        term("at >= ?", Cell::Integer(from.unix_millis()));
    }
    if let Some(to) = query.to {
        term("at < ?", Cell::Integer(to.unix_millis()));
    }
    match query.action.as_deref().map(|action| (action, action.strip_suffix('*'))) {
        Some((_, Some(start))) => term("substr(action, 1, length(?)) = ?", Cell::Text(start.into())),
        Some((action, None)) => term("action = ?", Cell::Text(action.into())),
        None => {}
    }
    let clause = if terms.is_empty() { String::new() } else { format!("WHERE {}", terms.join(" AND ")) };
    let limit = super::page_limit(query.limit);
    let sql = format!("SELECT * FROM audit {clause} ORDER BY no DESC LIMIT {}", limit + 1);
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut items: Vec<AuditRow> = Vec::new();
    while let Some(row) = rows.next()? {
        if items.len() == limit {
            let next_cursor = items.last().map(|last| last.no.to_string());
            return Ok(Page { items, next_cursor });
        }
        items.push(read(row)?);
    }
    Ok(Page { items, next_cursor: None })
}

fn read(row: Row<'_>) -> Result<AuditRow, StoreError> {
    let value = |column: &str| -> Result<Option<Value>, StoreError> {
        match row.get_ref(column)?.as_str_or_null()? {
            Some(text) => Ok(Some(super::codec::decode("audit", text)?)),
            None => Ok(None),
        }
    };
    Ok(AuditRow {
        no: super::codec::count(row.get("no")?),
        entry: AuditEntry {
            at: WallTime::from_unix_millis(row.get("at")?),
            by: Actor {
                token: id_opt(row, "token")?,
                name: row.get("name")?,
                tenant: row.get::<_, Option<String>>("tenant")?.and_then(|name| Tenant::new(&name)),
            },
            action: row.get("action")?,
            target: row.get("target")?,
            before: value("before")?,
            after: value("after")?,
        },
    })
}

/// Forgets some entries from before a time; true when there may be more.
pub(super) fn prune(txn: &mut Txn<'_>, before: WallTime, rows_max: u32) -> Result<(u64, bool), StoreError> {
    let gone = txn.run(
        "DELETE FROM audit WHERE no IN (SELECT no FROM audit WHERE at < ?1 ORDER BY at LIMIT ?2)",
        (before.unix_millis(), rows_max),
    )?;
    Ok((gone as u64, gone as u64 == u64::from(rows_max)))
}

fn stored(
    conn: &Connection,
    table: &'static str,
    column: &str,
    id: [u8; 16],
) -> Result<Option<Value>, StoreError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {column} AS data FROM {table} WHERE id = ?1 AND {column} IS NOT NULL"
    ))?;
    let found = statement.query_row((id,), |row| Ok(data(table, row))).optional()?;
    found.transpose()
}

fn undecodable(table: &'static str, error: &serde_json::Error) -> StoreError {
    StoreError::Undecodable { table, detail: error.to_string() }
}

/// The same without its secrets.
fn hidden(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| {
                    let value = match value {
                        Value::Null => Value::Null,
                        _ if is_secret(&name) => SECRET.into(),
                        value => hidden(value),
                    };
                    (name, value)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(hidden).collect()),
        other => other,
    }
}

/// What differs between two values, member by member, without secrets; `None`: nothing but the count of changes.
fn difference(before: &Value, after: &Value) -> Option<(Value, Value)> {
    if before == after {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return Some((hidden(before.clone()), hidden(after.clone())));
    };
    let (mut was, mut is) = (Map::new(), Map::new());
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    for name in names.filter(|name| *name != "version") {
        let (one, other) = (old.get(name).unwrap_or(&Value::Null), new.get(name).unwrap_or(&Value::Null));
        let Some((one, other)) = (match is_secret(name) {
            true => secret_difference(one, other),
            false => difference(one, other),
        }) else {
            continue;
        };
        was.insert(name.clone(), one);
        is.insert(name.clone(), other);
    }
    (!was.is_empty()).then_some((Value::Object(was), Value::Object(is)))
}

fn secret_difference(before: &Value, after: &Value) -> Option<(Value, Value)> {
    let shown = |value: &Value, text: &str| if value.is_null() { Value::Null } else { text.into() };
    (before != after).then(|| (shown(before, SECRET), shown(after, SECRET_CHANGED)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_and_secrets_are_not() {
        let before =
            json!({"version": 1, "config": {"name": "a", "password": "x", "cps": 1, "groups": ["g"]}});
        let after =
            json!({"version": 2, "config": {"name": "a", "password": "y", "cps": 2, "groups": ["g", "h"]}});
        let (was, is) = difference(&before, &after).unwrap();
        assert_eq!(was, json!({"config": {"cps": 1, "groups": ["g"], "password": SECRET}}));
        assert_eq!(is, json!({"config": {"cps": 2, "groups": ["g", "h"], "password": SECRET_CHANGED}}));
        assert_eq!(difference(&before, &json!({"version": 3, "config": before["config"]})), None);
        assert_eq!(
            hidden(json!({"secrets": [{"key": [1, 2]}], "list": [{"password": "x"}], "password": null})),
            json!({"secrets": SECRET, "list": [{"password": SECRET}], "password": null})
        );
    }
}
