//! One way to speak to both databases: statements, parameters and rows as the tables use them.
//!
//! Statements are written once, in the words that SQLite (3.45) and PostgreSQL (15) share, with parameters `?1`, `?2`, …
//! For PostgreSQL a statement is put into its words once and kept prepared (see [`postgres`]).

pub(crate) mod postgres;
mod sqlite;
mod value;

pub(crate) use value::{Any, Bind, FromSql, Params, Value, ValueRef, params, params_from_iter};

use crate::error::StoreError;
use crate::tables::txn::Reading;
use postgres::Session;

/// Why a statement has no result.
#[derive(Debug)]
pub(crate) enum Error {
    /// A row was asked for and there is none.
    NoRows,
    /// Anything else.
    Failed(StoreError),
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Error::Failed(error)
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Error::Failed(error.into())
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::NoRows => StoreError::Undecodable { table: "(any)", detail: "a row is missing".into() },
            Error::Failed(error) => error,
        }
    }
}

/// No row is an answer, too.
pub(crate) trait OptionalExtension<T> {
    /// `None`: there was no row.
    fn optional(self) -> Result<Option<T>>;
}

impl<T> OptionalExtension<T> for Result<T> {
    fn optional(self) -> Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(Error::NoRows) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A connection to a database.
pub(crate) enum Connection {
    Sqlite(rusqlite::Connection),
    Postgres(Box<Session>),
}

impl Connection {
    /// Prepares a statement, or finds it prepared.
    pub(crate) fn prepare_cached(&self, sql: &str) -> Result<Statement<'_>> {
        Ok(match self {
            Connection::Sqlite(conn) => Statement::Sqlite(conn.prepare_cached(sql)?),
            Connection::Postgres(session) => Statement::Postgres(session.prepared(sql)?),
        })
    }

    /// The row of a statement that has one.
    pub(crate) fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(Row<'_>) -> Result<T>,
    ) -> Result<T> {
        self.prepare_cached(sql)?.query_row(params, read)
    }

    /// Begins to read at one point in time, until the result is dropped.
    pub(crate) fn unchecked_transaction(&self) -> Result<Reading<'_>> {
        Reading::begin(self)
    }

    /// No transaction is under way.
    pub(crate) fn is_autocommit(&self) -> bool {
        match self {
            Connection::Sqlite(conn) => conn.is_autocommit(),
            Connection::Postgres(session) => session.is_autocommit(),
        }
    }

    /// Begins a transaction that reads and nothing else, at one point in time.
    pub(crate) fn begin_read(&self) -> Result<()> {
        match self {
            Connection::Sqlite(conn) => conn.prepare_cached("BEGIN")?.execute([]).map(drop)?,
            Connection::Postgres(session) => session.begin_read()?,
        }
        Ok(())
    }

    /// Begins a transaction that writes.
    pub(crate) fn begin_write(&self) -> Result<()> {
        match self {
            Connection::Sqlite(conn) => conn.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)?,
            Connection::Postgres(session) => session.begin_write()?,
        }
        Ok(())
    }

    /// Makes durable what the transaction did.
    pub(crate) fn commit(&self) -> Result<()> {
        match self {
            Connection::Sqlite(conn) => conn.prepare_cached("COMMIT")?.execute([]).map(drop)?,
            Connection::Postgres(session) => session.commit()?,
        }
        Ok(())
    }

    /// Undoes what the transaction did.
    pub(crate) fn rollback(&self) -> Result<()> {
        match self {
            Connection::Sqlite(conn) => conn.prepare_cached("ROLLBACK")?.execute([]).map(drop)?,
            Connection::Postgres(session) => session.rollback()?,
        }
        Ok(())
    }

    /// Runs a command about transactions.
    pub(crate) fn control(&self, sql: &'static str) -> Result<()> {
        match self {
            Connection::Sqlite(conn) => conn.prepare_cached(sql)?.execute([]).map(drop)?,
            Connection::Postgres(session) => session.command(sql)?,
        }
        Ok(())
    }

    /// Runs a statement whose result nobody waits for. PostgreSQL gets many of them at once; that one has failed is told
    /// by what is asked next, COMMIT at the latest.
    pub(crate) fn write(&self, sql: &str, params: impl Params) -> Result<()> {
        match self {
            Connection::Sqlite(_) => self.prepare_cached(sql)?.execute(params).map(drop),
            Connection::Postgres(session) => params.with(|params| session.write(sql, params, None)),
        }
    }

    /// Like [`Connection::write`], with each of these parameters.
    pub(crate) fn write_each<P: Params>(&self, sql: &str, params: impl Iterator<Item = P>) -> Result<()> {
        match self {
            Connection::Sqlite(_) => {
                let mut statement = self.prepare_cached(sql)?;
                for params in params {
                    statement.execute(params)?;
                }
                Ok(())
            }
            Connection::Postgres(session) => {
                for params in params {
                    params.with(|params| session.write(sql, params, None))?;
                }
                Ok(())
            }
        }
    }

    /// Like [`Connection::write`]; `otherwise` is noted for [`Connection::take_notes`] unless exactly one row was written.
    pub(crate) fn write_one(
        &self,
        sql: &str,
        params: impl Params,
        otherwise: impl FnOnce() -> String,
    ) -> Result<Option<String>> {
        match self {
            Connection::Sqlite(_) => {
                let made = self.prepare_cached(sql)?.execute(params)?;
                Ok((made == 0).then(otherwise))
            }
            Connection::Postgres(session) => {
                params.with(|params| session.write(sql, params, Some(otherwise())))?;
                Ok(None)
            }
        }
    }

    /// What [`Connection::write_one`] has noted since.
    pub(crate) fn take_notes(&self) -> Vec<String> {
        match self {
            Connection::Sqlite(_) => Vec::new(),
            Connection::Postgres(session) => session.take_notes(),
        }
    }

    /// Waits until all that was written was answered.
    pub(crate) fn settle(&self) -> Result<()> {
        match self {
            Connection::Sqlite(_) => Ok(()),
            Connection::Postgres(session) => session.settle(),
        }
    }

    /// Rows are written faster many by one statement than one by one.
    pub(crate) fn is_better_together(&self) -> bool {
        matches!(self, Connection::Sqlite(_))
    }

    /// Inserts a row into a table whose column `no` numbers its rows; the number, or `None` if nothing was inserted.
    pub(crate) fn insert(&self, sql: &str, params: impl Params) -> Result<Option<i64>> {
        match self {
            Connection::Sqlite(conn) => {
                let made = self.prepare_cached(sql)?.execute(params)?;
                Ok((made > 0).then(|| conn.last_insert_rowid()))
            }
            Connection::Postgres(session) => params.with(|params| session.insert(sql, params)),
        }
    }
}

/// A prepared statement.
pub(crate) enum Statement<'c> {
    Sqlite(rusqlite::CachedStatement<'c>),
    Postgres(postgres::Prepared<'c>),
}

impl Statement<'_> {
    /// Runs it and tells how many rows it changed.
    pub(crate) fn execute(&mut self, params: impl Params) -> Result<usize> {
        params.with(|params| match self {
            Statement::Sqlite(statement) => Ok(statement.execute(sqlite::bound(params))?),
            Statement::Postgres(statement) => statement.execute(params),
        })
    }

    /// Runs it for its rows.
    pub(crate) fn query(&mut self, params: impl Params) -> Result<Rows<'_>> {
        params.with(|params| match self {
            Statement::Sqlite(statement) => Ok(Rows::Sqlite(statement.query(sqlite::bound(params))?)),
            Statement::Postgres(statement) => Ok(Rows::Postgres(statement.query(params)?)),
        })
    }

    /// Runs it for rows that may be more than fit into memory. Only within a transaction.
    pub(crate) fn query_all(&mut self, params: impl Params) -> Result<Rows<'_>> {
        params.with(|params| match self {
            Statement::Sqlite(statement) => Ok(Rows::Sqlite(statement.query(sqlite::bound(params))?)),
            Statement::Postgres(statement) => Ok(Rows::Postgres(statement.cursor(params)?)),
        })
    }

    /// Runs it with each of these parameters, and gives the rows of each (and which it is) to `each`. PostgreSQL gets many
    /// of them at once.
    pub(crate) fn query_each<P: Params>(
        &mut self,
        params: impl Iterator<Item = P>,
        mut each: impl FnMut(usize, Rows<'_>) -> Result<()>,
    ) -> Result<()> {
        if let Statement::Postgres(statement) = self {
            return statement.query_each(params, |place, rows| each(place, Rows::Postgres(rows)));
        }
        for (place, params) in params.enumerate() {
            each(place, self.query(params)?)?;
        }
        Ok(())
    }

    /// The first row.
    pub(crate) fn query_row<T>(
        &mut self,
        params: impl Params,
        read: impl FnOnce(Row<'_>) -> Result<T>,
    ) -> Result<T> {
        self.query(params)?.next()?.map_or(Err(Error::NoRows), read)
    }

    /// Each row as `read` makes it.
    pub(crate) fn query_map<T, F: FnMut(Row<'_>) -> Result<T>>(
        &mut self,
        params: impl Params,
        read: F,
    ) -> Result<Mapped<'_, F>> {
        Ok(Mapped { rows: self.query(params)?, read })
    }

    /// Whether there is a row.
    pub(crate) fn exists(&mut self, params: impl Params) -> Result<bool> {
        Ok(self.query(params)?.next()?.is_some())
    }
}

/// The rows of a query.
pub(crate) enum Rows<'s> {
    Sqlite(rusqlite::Rows<'s>),
    Postgres(postgres::Rows<'s>),
}

impl Rows<'_> {
    /// The next row.
    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>> {
        Ok(match self {
            Rows::Sqlite(rows) => rows.next()?.map(Row::Sqlite),
            Rows::Postgres(rows) => rows.next()?.map(Row::Postgres),
        })
    }
}

/// Rows read one after another.
pub(crate) struct Mapped<'s, F> {
    rows: Rows<'s>,
    read: F,
}

impl<T, F: FnMut(Row<'_>) -> Result<T>> Iterator for Mapped<'_, F> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        match self.rows.next() {
            Ok(row) => row.map(&mut self.read),
            Err(error) => Some(Err(error)),
        }
    }
}

/// A row.
#[derive(Clone, Copy)]
pub(crate) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

/// Names a column: by its place or its name.
pub(crate) trait Column: Copy {
    fn sqlite<'r>(self, row: &'r rusqlite::Row<'_>) -> Result<ValueRef<'r>>;
    fn postgres(self, row: &tokio_postgres::Row) -> Result<ValueRef<'_>>;
}

impl Column for usize {
    fn sqlite<'r>(self, row: &'r rusqlite::Row<'_>) -> Result<ValueRef<'r>> {
        sqlite::value(row.get_ref(self)?)
    }

    fn postgres(self, row: &tokio_postgres::Row) -> Result<ValueRef<'_>> {
        postgres::value(row, self)
    }
}

impl Column for &str {
    fn sqlite<'r>(self, row: &'r rusqlite::Row<'_>) -> Result<ValueRef<'r>> {
        sqlite::value(row.get_ref(self)?)
    }

    fn postgres(self, row: &tokio_postgres::Row) -> Result<ValueRef<'_>> {
        postgres::value(row, self)
    }
}

impl<'r> Row<'r> {
    /// The value of a column as it is kept.
    pub(crate) fn get_ref(self, column: impl Column) -> Result<ValueRef<'r>> {
        match self {
            Row::Sqlite(row) => column.sqlite(row),
            Row::Postgres(row) => column.postgres(row),
        }
    }

    /// The value of a column.
    pub(crate) fn get<C: Column, T: FromSql>(self, column: C) -> Result<T> {
        T::from_sql(self.get_ref(column)?)
    }

    /// The value of a column that was written as [`Any`].
    pub(crate) fn get_any(self, column: impl Column) -> Result<ValueRef<'r>> {
        match self {
            Row::Sqlite(row) => column.sqlite(row),
            Row::Postgres(row) => postgres::untagged(column.postgres(row)?),
        }
    }
}
