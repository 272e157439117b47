//! Values to and from SQLite.

use super::value::{Any, Bind, ValueRef};
use super::{Error, Result};
use crate::error::StoreError;
use rusqlite::types::{ToSqlOutput, ValueRef as Raw};

struct Bound<'v>(ValueRef<'v>);

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            ValueRef::Null => Raw::Null,
            ValueRef::Integer(value) | ValueRef::Any(Any::Integer(value)) => Raw::Integer(value),
            ValueRef::Text(text) | ValueRef::Any(Any::Text(text)) => Raw::Text(text.as_bytes()),
            ValueRef::Blob(bytes) | ValueRef::Any(Any::Blob(bytes)) => Raw::Blob(bytes),
        }))
    }
}

/// Parameters as rusqlite takes them.
pub(super) fn bound(params: &[&dyn Bind]) -> impl rusqlite::Params {
    rusqlite::params_from_iter(params.iter().map(|param| Bound(param.bind())))
}

/// A column's value.
pub(super) fn value(raw: Raw<'_>) -> Result<ValueRef<'_>> {
    let undecodable =
        |detail: &str| Error::Failed(StoreError::Undecodable { table: "(any)", detail: detail.to_owned() });
    Ok(match raw {
        Raw::Null => ValueRef::Null,
        Raw::Integer(value) => ValueRef::Integer(value),
        Raw::Text(text) => {
            ValueRef::Text(std::str::from_utf8(text).map_err(|_| undecodable("text is not UTF-8"))?)
        }
        Raw::Blob(bytes) => ValueRef::Blob(bytes),
        Raw::Real(_) => return Err(undecodable("a real number is not expected")),
    })
}
