//! Values on their way into statements and out of rows.

use super::{Error, Result};
use crate::error::StoreError;

/// A value as a column holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ValueRef<'v> {
    Null,
    Integer(i64),
    Text(&'v str),
    Blob(&'v [u8]),
    /// One of the above in a column that may hold any of them.
    Any(Any<'v>),
}

/// A value for a column that holds integers, texts and bytes, in this order when sorted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Any<'v> {
    Integer(i64),
    Text(&'v str),
    Blob(&'v [u8]),
}

fn wrong(value: ValueRef<'_>, wanted: &str) -> Error {
    let detail = format!("{wanted} is wanted, {} found", value.data_type());
    Error::Failed(StoreError::Undecodable { table: "(any)", detail })
}

impl<'v> ValueRef<'v> {
    /// What sort of value it is.
    pub(crate) const fn data_type(self) -> &'static str {
        match self {
            ValueRef::Null => "null",
            ValueRef::Integer(_) | ValueRef::Any(Any::Integer(_)) => "an integer",
            ValueRef::Text(_) | ValueRef::Any(Any::Text(_)) => "text",
            ValueRef::Blob(_) | ValueRef::Any(Any::Blob(_)) => "bytes",
        }
    }

    pub(crate) fn as_str(self) -> Result<&'v str> {
        match self {
            ValueRef::Text(text) => Ok(text),
            other => Err(wrong(other, "text")),
        }
    }

    pub(crate) fn as_str_or_null(self) -> Result<Option<&'v str>> {
        match self {
            ValueRef::Null => Ok(None),
            other => other.as_str().map(Some),
        }
    }

    pub(crate) fn as_bytes(self) -> Result<&'v [u8]> {
        match self {
            ValueRef::Blob(bytes) => Ok(bytes),
            ValueRef::Text(text) => Ok(text.as_bytes()),
            other => Err(wrong(other, "bytes")),
        }
    }
}

/// A value that somebody holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// What a column's value can become.
pub(crate) trait FromSql: Sized {
    fn from_sql(value: ValueRef<'_>) -> Result<Self>;
}

impl FromSql for i64 {
    fn from_sql(value: ValueRef<'_>) -> Result<Self> {
        match value {
            ValueRef::Integer(value) => Ok(value),
            other => Err(wrong(other, "an integer")),
        }
    }
}

macro_rules! small_integers {
    ($($small:ty),*) => {$(
        impl FromSql for $small {
            fn from_sql(value: ValueRef<'_>) -> Result<Self> {
                let number = i64::from_sql(value)?;
                Self::try_from(number).map_err(|_| wrong(value, "a smaller integer"))
            }
        }

        impl Bind for $small {
            fn bind(&self) -> ValueRef<'_> {
                ValueRef::Integer(i64::from(*self))
            }
        }
    )*};
}

small_integers!(i32, u32, u16, u8);

impl FromSql for bool {
    fn from_sql(value: ValueRef<'_>) -> Result<Self> {
        Ok(i64::from_sql(value)? != 0)
    }
}

impl FromSql for Value {
    fn from_sql(value: ValueRef<'_>) -> Result<Self> {
        match value {
            ValueRef::Integer(value) => Ok(Value::Integer(value)),
            ValueRef::Text(text) => Ok(Value::Text(text.to_owned())),
            ValueRef::Blob(bytes) => Ok(Value::Blob(bytes.to_vec())),
            other => Err(wrong(other, "an integer, a text or bytes")),
        }
    }
}

impl FromSql for String {
    fn from_sql(value: ValueRef<'_>) -> Result<Self> {
        Ok(value.as_str()?.to_owned())
    }
}

impl FromSql for Vec<u8> {
    fn from_sql(value: ValueRef<'_>) -> Result<Self> {
        match value {
            ValueRef::Blob(bytes) => Ok(bytes.to_vec()),
            other => Err(wrong(other, "bytes")),
        }
    }
}

impl<const N: usize> FromSql for [u8; N] {
    fn from_sql(value: ValueRef<'_>) -> Result<Self> {
        match value {
            ValueRef::Blob(bytes) => bytes.try_into().map_err(|_| wrong(value, "as many bytes as an id has")),
            other => Err(wrong(other, "bytes")),
        }
    }
}

impl<T: FromSql> FromSql for Option<T> {
    fn from_sql(value: ValueRef<'_>) -> Result<Self> {
        match value {
            ValueRef::Null => Ok(None),
            other => T::from_sql(other).map(Some),
        }
    }
}

/// What can stand for a parameter.
pub(crate) trait Bind {
    fn bind(&self) -> ValueRef<'_>;
}

impl Bind for i64 {
    fn bind(&self) -> ValueRef<'_> {
        ValueRef::Integer(*self)
    }
}

impl Bind for bool {
    fn bind(&self) -> ValueRef<'_> {
        ValueRef::Integer(i64::from(*self))
    }
}

impl Bind for str {
    fn bind(&self) -> ValueRef<'_> {
        ValueRef::Text(self)
    }
}

impl Bind for String {
    fn bind(&self) -> ValueRef<'_> {
        ValueRef::Text(self)
    }
}

impl Bind for Vec<u8> {
    fn bind(&self) -> ValueRef<'_> {
        ValueRef::Blob(self)
    }
}

impl<const N: usize> Bind for [u8; N] {
    fn bind(&self) -> ValueRef<'_> {
        ValueRef::Blob(self)
    }
}

impl Bind for Any<'_> {
    fn bind(&self) -> ValueRef<'_> {
        ValueRef::Any(*self)
    }
}

impl Bind for Value {
    fn bind(&self) -> ValueRef<'_> {
        match self {
            Value::Integer(value) => ValueRef::Integer(*value),
            Value::Text(text) => ValueRef::Text(text),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }
}

impl<T: Bind> Bind for Option<T> {
    fn bind(&self) -> ValueRef<'_> {
        self.as_ref().map_or(ValueRef::Null, Bind::bind)
    }
}

impl<T: Bind + ?Sized> Bind for &T {
    fn bind(&self) -> ValueRef<'_> {
        (**self).bind()
    }
}

/// The parameters of a statement, in order.
pub(crate) trait Params {
    fn with<R>(&self, run: impl FnOnce(&[&dyn Bind]) -> R) -> R;
}

impl<const N: usize> Params for [&dyn Bind; N] {
    fn with<R>(&self, run: impl FnOnce(&[&dyn Bind]) -> R) -> R {
        run(self)
    }
}

impl Params for &[&dyn Bind] {
    fn with<R>(&self, run: impl FnOnce(&[&dyn Bind]) -> R) -> R {
        run(self)
    }
}

/// Parameters held by a list.
pub(crate) struct Listed(Vec<Value>);

/// Parameters of a list.
pub(crate) fn params_from_iter(values: Vec<Value>) -> Listed {
    Listed(values)
}

impl Params for Listed {
    fn with<R>(&self, run: impl FnOnce(&[&dyn Bind]) -> R) -> R {
        let values: Vec<&dyn Bind> = self.0.iter().map(|value| value as &dyn Bind).collect();
        run(&values)
    }
}

macro_rules! tuples {
    ($(($($name:ident),*))*) => {$(
        impl<$($name: Bind),*> Params for ($($name,)*) {
            fn with<R>(&self, run: impl FnOnce(&[&dyn Bind]) -> R) -> R {
                #[allow(non_snake_case, reason = "values are named as their types")]
                let ($($name,)*) = self;
                run(&[$($name as &dyn Bind),*])
            }
        }
    )*};
}

tuples! {
    (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) (A, B, C, D, E, F) (A, B, C, D, E, F, G) (A, B, C, D, E, F, G, H)
}

/// Parameters that are more than a tuple may hold.
macro_rules! params {
    ($($value:expr),* $(,)?) => { [$(&$value as &dyn $crate::sql::Bind),*] };
}
pub(crate) use params;
