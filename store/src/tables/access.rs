//! API tokens and idempotency keys.

use super::codec::{blob, decode, encode, id, millis, time};
use super::txn::Txn;
use crate::error::StoreError;
use crate::model::{IDEMPOTENCY_LIFETIME_MS, IdempotencyRow, TokenRow};
use crate::sql::{Connection, OptionalExtension, Row, params};
use dialer_core::{Tenant, TokenId};
use sansio::WallTime;

/// Old responses forgotten with each new one: more than come in, so that none pile up.
const FORGET_ROWS: i64 = 100;

/// Keeps a token.
pub(super) fn put_token(txn: &mut Txn<'_>, token: &TokenRow) -> Result<(), StoreError> {
    let before = by_id(txn.conn(), token.id)?.map(|row| told(&row));
    super::audit::changed_value(txn, "token", token.id.to_string(), before, Some(told(token)))?;
    txn.write(
        "INSERT INTO token (id, name, hash, prefix, scopes, created_at, expires_at, tenant) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
         hash = excluded.hash, prefix = excluded.prefix, scopes = excluded.scopes, \
         created_at = excluded.created_at, expires_at = excluded.expires_at, \
         tenant = excluded.tenant",
        params![
            blob(token.id),
            token.name,
            token.hash,
            token.prefix,
            encode("token", &token.scopes)?,
            token.created_at.unix_millis(),
            millis(token.expires_at),
            token.tenant.as_ref().map(Tenant::as_str),
        ],
    )?;
    Ok(())
}

fn token(row: Row<'_>) -> Result<TokenRow, StoreError> {
    Ok(TokenRow {
        id: id(row, "id")?,
        name: row.get("name")?,
        hash: row.get("hash")?,
        prefix: row.get("prefix")?,
        scopes: decode("token", row.get_ref("scopes")?.as_str()?)?,
        created_at: WallTime::from_unix_millis(row.get("created_at")?),
        expires_at: time(row, "expires_at")?,
        tenant: tenant(row)?,
    })
}

/// A name that cannot be one is no reason to take a token for the operator's.
fn tenant(row: Row<'_>) -> Result<Option<Tenant>, StoreError> {
    let Some(name) = row.get::<_, Option<String>>("tenant")? else { return Ok(None) };
    let undecodable = || StoreError::Undecodable { table: "token", detail: format!("tenant {name:?}") };
    Tenant::new(&name).map(Some).ok_or_else(undecodable)
}

fn by_id(conn: &Connection, id: TokenId) -> Result<Option<TokenRow>, StoreError> {
    conn.prepare_cached("SELECT * FROM token WHERE id = ?1")?
        .query((blob(id),))?
        .next()?
        .map(token)
        .transpose()
}

/// What the audit log tells of a token.
fn told(token: &TokenRow) -> serde_json::Value {
    serde_json::json!({
        "name": token.name, "prefix": token.prefix, "scopes": token.scopes,
        "expires_at_ms": millis(token.expires_at), "tenant": token.tenant,
    })
}

/// The token with this SHA-256.
pub(super) fn token_by_hash(conn: &Connection, hash: &[u8; 32]) -> Result<Option<TokenRow>, StoreError> {
    conn.prepare_cached("SELECT * FROM token WHERE hash = ?1")?.query((hash,))?.next()?.map(token).transpose()
}

/// All tokens, oldest first.
pub(super) fn tokens(conn: &Connection) -> Result<Vec<TokenRow>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT * FROM token ORDER BY created_at, id")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(token(row)?);
    }
    Ok(found)
}

/// Deletes a token; false if there was none.
pub(super) fn delete_token(txn: &mut Txn<'_>, id: TokenId) -> Result<bool, StoreError> {
    let before = by_id(txn.conn(), id)?.map(|row| told(&row));
    super::audit::changed_value(txn, "token", id.to_string(), before, None)?;
    Ok(txn.run("DELETE FROM token WHERE id = ?1", (blob(id),))? > 0)
}

/// The response kept under a key.
pub(super) fn idempotency(
    conn: &Connection,
    key: &str,
    now: WallTime,
) -> Result<Option<IdempotencyRow>, StoreError> {
    let since = now.plus_millis(-IDEMPOTENCY_LIFETIME_MS).unix_millis();
    Ok(conn
        .prepare_cached(
            "SELECT fingerprint, status, content_type, body, at FROM idempotency WHERE key = ?1 AND at > ?2",
        )?
        .query_row((key, since), |row| {
            Ok(IdempotencyRow {
                key: key.into(),
                fingerprint: row.get("fingerprint")?,
                status: row.get("status")?,
                content_type: row.get("content_type")?,
                body: row.get("body")?,
                at: WallTime::from_unix_millis(row.get("at")?),
            })
        })
        .optional()?)
}

/// Keeps a response and forgets old ones.
pub(super) fn put_idempotency(txn: &mut Txn<'_>, row: &IdempotencyRow) -> Result<(), StoreError> {
    let since = row.at.plus_millis(-IDEMPOTENCY_LIFETIME_MS).unix_millis();
    txn.write(
        "DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE at <= ?1 ORDER BY at LIMIT ?2)",
        (since, FORGET_ROWS),
    )?;
    txn.write(
        "INSERT INTO idempotency (key, fingerprint, status, content_type, body, at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key) DO UPDATE SET fingerprint = excluded.fingerprint, \
         status = excluded.status, content_type = excluded.content_type, body = excluded.body, at = excluded.at",
        (
            &row.key,
            row.fingerprint,
            row.status,
            &row.content_type,
            &row.body,
            row.at.unix_millis(),
        ),
    )?;
    Ok(())
}
