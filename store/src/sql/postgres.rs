//! A session with PostgreSQL, spoken to from one thread at a time.
//!
//! ```text
//!   write  ──┐ sent at once, not waited for
//!   write  ──┤
//!   query  ──┴─► one round trip: the answers come in order, the first failure is told
//! ```
//!
//! The protocol's answers come in the order of what was sent, so that many writes travel together. A failure of one of
//! them fails all of the transaction behind it; it is told by the next call that waits, COMMIT at the latest.

use super::value::{Any, Bind, Params, ValueRef};
use super::{Error, Result};
use crate::error::{Fault, StoreError};
use crate::postgres::place::{Place, Role};
use bytes::{BufMut, BytesMut};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::runtime::Runtime;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};

type Failure = Box<dyn std::error::Error + Sync + Send>;

/// Statements kept prepared; more than there are in this crate, but filters and limits make more.
const STATEMENTS_MAX: usize = 512;

/// Writes that may be under way before their answers are waited for.
const UNANSWERED_MAX: usize = 512;

/// So many times as long as other answers may those to changes of a schema take.
const MIGRATION_WAITS: u32 = 60;

/// Rows fetched at once from a cursor.
const CURSOR_ROWS: usize = 500;

/// How long a session that ends waits for its goodbye to be sent.
const GOODBYE_WAIT: std::time::Duration = std::time::Duration::from_millis(500);

/// A value on its way.
enum Sent {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// Marks of values in a column that may hold any; they sort as SQLite sorts.
const TAG_INTEGER: u8 = 1;
const TAG_TEXT: u8 = 2;
const TAG_BLOB: u8 = 3;

impl Sent {
    fn of(value: ValueRef<'_>) -> Sent {
        let tagged = |tag: u8, bytes: &[u8]| Sent::Blob([&[tag], bytes].concat());
        match value {
            ValueRef::Null => Sent::Null,
            ValueRef::Integer(value) => Sent::Integer(value),
            // PostgreSQL holds any text but those with a NUL.
            ValueRef::Text(text) => Sent::Text(text.replace('\0', "\u{fffd}")),
            ValueRef::Blob(bytes) => Sent::Blob(bytes.to_vec()),
            ValueRef::Any(Any::Integer(value)) => tagged(TAG_INTEGER, &value.to_be_bytes()),
            ValueRef::Any(Any::Text(text)) => tagged(TAG_TEXT, text.as_bytes()),
            ValueRef::Any(Any::Blob(bytes)) => tagged(TAG_BLOB, bytes),
        }
    }

    fn all(params: &[&dyn Bind]) -> Vec<Sent> {
        params.iter().map(|param| Sent::of(param.bind())).collect()
    }
}

/// What [`Any`] was written to a column.
pub(super) fn untagged(value: ValueRef<'_>) -> Result<ValueRef<'_>> {
    let undecodable =
        || StoreError::Undecodable { table: "(any)", detail: "a value without its sort".into() };
    let ValueRef::Blob([tag, bytes @ ..]) = value else { return Err(undecodable().into()) };
    match *tag {
        TAG_INTEGER => {
            let bytes = bytes.try_into().map_err(|_| undecodable())?;
            Ok(ValueRef::Integer(i64::from_be_bytes(bytes)))
        }
        TAG_TEXT => Ok(ValueRef::Text(std::str::from_utf8(bytes).map_err(|_| undecodable())?)),
        TAG_BLOB => Ok(ValueRef::Blob(bytes)),
        _ => Err(undecodable().into()),
    }
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be phone numbers.
        f.write_str("Sent(not shown)")
    }
}

impl ToSql for Sent {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> std::result::Result<IsNull, Failure> {
        match (self, ty) {
            (Sent::Null, _) => return Ok(IsNull::Yes),
            (Sent::Integer(value), &Type::INT8) => out.put_i64(*value),
            (Sent::Integer(value), &Type::INT4) => out.put_i32(i32::try_from(*value)?),
            (Sent::Text(text), &Type::TEXT | &Type::VARCHAR | &Type::NAME) => out.put_slice(text.as_bytes()),
            (Sent::Blob(bytes), &Type::BYTEA) => out.put_slice(bytes),
            (_, ty) => return Err(format!("a parameter does not fit the type {ty}").into()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

struct Got<'r>(ValueRef<'r>);

impl<'r> FromSql<'r> for Got<'r> {
    fn from_sql(ty: &Type, raw: &'r [u8]) -> std::result::Result<Self, Failure> {
        Ok(Got(match *ty {
            Type::INT8 => ValueRef::Integer(i64::from_be_bytes(raw.try_into()?)),
            Type::INT4 => ValueRef::Integer(i32::from_be_bytes(raw.try_into()?).into()),
            Type::BOOL => ValueRef::Integer(raw.first().is_some_and(|byte| *byte != 0).into()),
            Type::TEXT | Type::VARCHAR | Type::NAME => ValueRef::Text(std::str::from_utf8(raw)?),
            Type::BYTEA => ValueRef::Blob(raw),
            ref other => return Err(format!("a column of the type {other}").into()),
        }))
    }

    fn from_sql_null(_: &Type) -> std::result::Result<Self, Failure> {
        Ok(Got(ValueRef::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A column's value.
pub(super) fn value<'r, I>(row: &'r tokio_postgres::Row, column: I) -> Result<ValueRef<'r>>
where
    I: tokio_postgres::row::RowIndex + std::fmt::Display,
{
    let got: Got<'r> = row.try_get(column).map_err(|error| {
        Error::Failed(StoreError::Undecodable { table: "(any)", detail: in_words(&error) })
    })?;
    Ok(got.0)
}

/// All that an error says.
fn in_words(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let detail = said.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        return format!("{}{detail} [{}]", said.message(), said.code().code());
    }
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !words.contains(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        source = error.source();
    }
    words
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let detail = in_words(&error);
        let fault = match error.code().map(|code| code.code()) {
            // Disk full; the rest of its class is about other resources.
            Some("53100") => Fault::Full,
            Some("53200") => Fault::Memory,
            // Too many connections; lock not available; deadlock; conflicts; a statement that was cancelled.
            Some("53300" | "55P03" | "55006" | "40P01" | "40001" | "57014") => Fault::Locked,
            Some("XX001" | "XX002") => Fault::Corrupt,
            // Class 08 connection, 57 operator intervention (shutdown, crash), 58 system errors (I/O), 53 resources; a
            // server that only reads (a standby); a session that was ended.
            Some(code)
                if ["08", "57", "58", "53", "28"].contains(&&code[..2])
                    || code == "25006"
                    || code == "25P03" =>
            {
                Fault::Io
            }
            Some(_) => Fault::Other,
            None if detail.starts_with("error serializing") || detail.starts_with("error deserializing") => {
                Fault::Other
            }
            None => Fault::Io,
        };
        StoreError::Database { fault, detail }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Error::Failed(error.into())
    }
}

/// A statement in PostgreSQL's words: `$1` for `?1`; without what only SQLite's planner needs to be told (`INDEXED BY …`,
/// a unary plus before a column).
fn in_its_words(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find(['?', '+', 'I']) {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        match &rest[at..=at] {
            "?" => out.push('$'),
            "+" if !after.starts_with(|next: char| next.is_ascii_lowercase()) => out.push('+'),
            "+" => {}
            _ => {
                if let Some(index) = rest[at..].strip_prefix("INDEXED BY ") {
                    let end = index.find(|next: char| !(next.is_ascii_lowercase() || next == '_'));
                    rest = index[end.unwrap_or(index.len())..].trim_start();
                    continue;
                }
                out.push('I');
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

type Answer = Pin<Box<dyn Future<Output = std::result::Result<u64, tokio_postgres::Error>> + Send>>;

type Rowed = Pin<
    Box<dyn Future<Output = std::result::Result<Vec<tokio_postgres::Row>, tokio_postgres::Error>> + Send>,
>;

/// Something is sent when it is first asked; whom to wake is told when it is waited for. Nothing can be answered yet,
/// because nobody reads meanwhile; but it may not be sendable.
fn first_poll<T>(
    answer: &mut Pin<Box<dyn Future<Output = std::result::Result<T, tokio_postgres::Error>> + Send>>,
) -> Result<()> {
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(error)) => Err(error.into()),
        _ => Ok(()),
    }
}

/// A write that was sent.
struct Unanswered {
    answer: Answer,
    /// To be noted if it writes nothing.
    otherwise: Option<String>,
}

/// The connection itself.
struct Live {
    client: Arc<Client>,
    statements: HashMap<String, Statement>,
    driver: tokio::task::JoinHandle<()>,
}

/// A session; see the module.
pub(crate) struct Session {
    /// Taken when the session ends.
    runtime: Option<Runtime>,
    place: Arc<Place>,
    role: Role,
    live: RefCell<Option<Live>>,
    unanswered: RefCell<Vec<Unanswered>>,
    notes: RefCell<Vec<String>>,
    in_transaction: Cell<bool>,
    cursors: Cell<u64>,
    /// A schema is being made or changed: that may take minutes.
    migrating: Cell<bool>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.unanswered.take();
        if let (Some(runtime), Some(live)) = (&self.runtime, self.live.take()) {
            let Live { client, statements, driver } = live;
            drop((client, statements));
            // A goodbye, so that the server frees at once what the session holds. Where one may not wait it notices the
            // closed connection instead.
            if tokio::runtime::Handle::try_current().is_err() {
                let _ = runtime.block_on(async { tokio::time::timeout(GOODBYE_WAIT, driver).await });
            }
        }
        if let Some(runtime) = self.runtime.take() {
            // Waits for nothing: it may be dropped where nothing may wait.
            runtime.shutdown_background();
        }
    }
}

impl Session {
    /// Connects. What a writer needs besides is done by [`crate::postgres`].
    pub(crate) fn open(place: Arc<Place>, role: Role) -> std::result::Result<Session, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| StoreError::Open { path: place.name().into(), source })?;
        let session = Session {
            runtime: Some(runtime),
            place,
            role,
            live: RefCell::default(),
            unanswered: RefCell::default(),
            notes: RefCell::default(),
            in_transaction: Cell::new(false),
            cursors: Cell::new(0),
            migrating: Cell::new(false),
        };
        session.connect()?;
        Ok(session)
    }

    /// Does the session's work until this is done. Also a thread of the caller's runtime may wait here.
    fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        let runtime = self.runtime.as_ref().expect("held until dropped");
        tokio::task::block_in_place(|| runtime.block_on(work))
    }

    /// Connects anew.
    pub(crate) fn connect(&self) -> std::result::Result<(), StoreError> {
        self.lose();
        let (client, driver) = self.block_on(self.place.connect(self.role))?;
        *self.live.borrow_mut() = Some(Live { client: Arc::new(client), statements: HashMap::new(), driver });
        Ok(())
    }

    /// Gives the connection up, and with it the transaction.
    pub(crate) fn lose(&self) {
        self.unanswered.take();
        self.notes.take();
        if let Some(live) = self.live.take() {
            live.driver.abort();
        }
        self.in_transaction.set(false);
    }

    /// The connection was lost; [`Session::connect`] makes another.
    pub(crate) fn is_lost(&self) -> bool {
        self.live.borrow().as_ref().is_none_or(|live| live.client.is_closed())
    }

    pub(super) fn is_autocommit(&self) -> bool {
        !self.in_transaction.get() || self.live.borrow().is_none()
    }

    fn client(&self) -> std::result::Result<Arc<Client>, StoreError> {
        self.live.borrow().as_ref().map(|live| Arc::clone(&live.client)).ok_or_else(|| StoreError::Database {
            fault: Fault::Io,
            detail: "the connection to the database is lost".into(),
        })
    }

    /// Waits for all answers, then for `last`, which was sent after them. The first failure counts.
    fn wait<T>(
        &self,
        last: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> std::result::Result<T, StoreError> {
        let unanswered = self.unanswered.take();
        let notes = &self.notes;
        let all = async move {
            let mut last = pin!(last);
            let mut early = None;
            // It is sent when it is first asked, and only then the others are waited for.
            poll_fn(|context| {
                if let Poll::Ready(result) = last.as_mut().poll(context) {
                    early = Some(result);
                }
                Poll::Ready(())
            })
            .await;
            let mut failure = None;
            for write in unanswered {
                match write.answer.await {
                    Ok(0) => notes.borrow_mut().extend(write.otherwise),
                    Ok(_) => {}
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            let result = match early {
                Some(result) => result,
                None => last.await,
            };
            failure.map_or(result, Err)
        };
        let mut limit = self.place.reply_wait(self.role);
        if self.migrating.get() {
            limit *= MIGRATION_WAITS;
        }
        let waited = self.block_on(async { tokio::time::timeout(limit, all).await });
        let failure = match waited {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => StoreError::from(error),
            Err(_) => {
                self.lose();
                let detail = format!("the database has not answered for {} s", limit.as_secs());
                return Err(StoreError::Database { fault: Fault::Io, detail });
            }
        };
        // After a fatal error the server closes; what it had not answered by then is unknown.
        if failure.fault() == Some(Fault::Io) {
            self.lose();
        }
        Err(failure)
    }

    /// From now on answers may take as long as changes of a schema take, or no longer.
    pub(crate) fn set_migrating(&self, migrating: bool) {
        self.migrating.set(migrating);
    }

    /// Runs commands that have no result, after all that was sent.
    pub(crate) fn command(&self, sql: &str) -> std::result::Result<(), StoreError> {
        let client = self.client()?;
        self.wait(client.batch_execute(sql))
    }

    fn send(&self, answer: Answer, otherwise: Option<String>) -> Result<()> {
        let mut answer = answer;
        first_poll(&mut answer)?;
        self.unanswered.borrow_mut().push(Unanswered { answer, otherwise });
        if self.unanswered.borrow().len() >= UNANSWERED_MAX {
            self.settle()?;
        }
        Ok(())
    }

    fn send_command(&self, sql: &'static str) -> Result<()> {
        let client = self.client()?;
        self.send(Box::pin(async move { client.batch_execute(sql).await.map(|()| 1) }), None)
    }

    /// See [`super::Connection::write`].
    pub(super) fn write(&self, sql: &str, params: &[&dyn Bind], otherwise: Option<String>) -> Result<()> {
        let statement = self.statement(sql)?;
        let (client, values) = (self.client()?, Sent::all(params));
        self.send(Box::pin(async move { client.execute_raw(&statement, values).await }), otherwise)
    }

    pub(super) fn take_notes(&self) -> Vec<String> {
        self.notes.take()
    }

    /// Waits for all answers.
    pub(super) fn settle(&self) -> Result<()> {
        if self.unanswered.borrow().is_empty() {
            return Ok(());
        }
        Ok(self.wait(std::future::ready(Ok(())))?)
    }

    fn statement(&self, sql: &str) -> Result<Statement> {
        if let Some(live) = &*self.live.borrow()
            && let Some(found) = live.statements.get(sql)
        {
            return Ok(found.clone());
        }
        let client = self.client()?;
        let words = in_its_words(sql);
        let statement = self.wait(client.prepare(&words))?;
        if let Some(live) = &mut *self.live.borrow_mut() {
            if live.statements.len() >= STATEMENTS_MAX {
                live.statements.clear();
            }
            live.statements.insert(sql.to_owned(), statement.clone());
        }
        Ok(statement)
    }

    /// Does something that changes nothing, and once more on a new connection if the old one was lost meanwhile. Never
    /// within a transaction, and never for the writer, whose connection means more.
    fn again<T>(&self, work: impl Fn() -> Result<T>) -> Result<T> {
        if self.role == Role::Writer || !self.is_autocommit() {
            return work();
        }
        if !self.is_lost() {
            let done = work();
            if done.is_ok() || !self.is_lost() {
                return done;
            }
        }
        self.connect()?;
        work()
    }

    pub(super) fn prepared(&self, sql: &str) -> Result<Prepared<'_>> {
        let statement = self.again(|| self.statement(sql))?;
        Ok(Prepared { session: self, sql: sql.to_owned(), statement })
    }

    pub(super) fn insert(&self, sql: &str, params: &[&dyn Bind]) -> Result<Option<i64>> {
        let statement = self.statement(&format!("{sql} RETURNING no"))?;
        let rows = self.rows(&statement, params)?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    fn rows(&self, statement: &Statement, params: &[&dyn Bind]) -> Result<Vec<tokio_postgres::Row>> {
        let (client, values) = (self.client()?, Sent::all(params));
        let values: Vec<&(dyn ToSql + Sync)> =
            values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        Ok(self.wait(client.query(statement, &values))?)
    }

    pub(super) fn begin_read(&self) -> Result<()> {
        self.again(|| Ok(self.command("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?))?;
        self.in_transaction.set(true);
        Ok(())
    }

    pub(super) fn begin_write(&self) -> Result<()> {
        self.take_notes();
        self.send_command("BEGIN")?;
        self.in_transaction.set(true);
        Ok(())
    }

    pub(super) fn commit(&self) -> Result<()> {
        self.command("COMMIT")?;
        self.in_transaction.set(false);
        Ok(())
    }

    pub(super) fn rollback(&self) -> Result<()> {
        if !self.is_autocommit() {
            // What failed before was told.
            let _ = self.settle();
        }
        if !self.is_autocommit() {
            self.command("ROLLBACK")?;
        }
        self.in_transaction.set(false);
        self.take_notes();
        Ok(())
    }
}

/// A prepared statement.
pub(crate) struct Prepared<'c> {
    session: &'c Session,
    sql: String,
    statement: Statement,
}

impl Prepared<'_> {
    pub(super) fn execute(&mut self, params: &[&dyn Bind]) -> Result<usize> {
        let (client, values) = (self.session.client()?, Sent::all(params));
        let changed = self.session.wait(client.execute_raw(&self.statement, values))?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    pub(super) fn query(&mut self, params: &[&dyn Bind]) -> Result<Rows<'_>> {
        let session = self.session;
        let rows = session.again(|| session.rows(&session.statement(&self.sql)?, params))?;
        Ok(Rows { rows: rows.into_iter(), current: None, cursor: None })
    }

    /// See [`super::Statement::query_each`].
    pub(super) fn query_each<P: Params>(
        &mut self,
        params: impl Iterator<Item = P>,
        mut each: impl FnMut(usize, Rows<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut params = params.enumerate().peekable();
        while params.peek().is_some() {
            let mut asked = Vec::new();
            for (place, params) in params.by_ref().take(UNANSWERED_MAX) {
                let (client, statement) = (self.session.client()?, self.statement.clone());
                let values = params.with(Sent::all);
                let mut answer: Rowed = Box::pin(async move {
                    let values: Vec<&(dyn ToSql + Sync)> =
                        values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
                    client.query(&statement, &values).await
                });
                first_poll(&mut answer)?;
                asked.push((place, answer));
            }
            let answers = self.session.wait(async move {
                let mut answers = Vec::with_capacity(asked.len());
                for (place, answer) in asked {
                    answers.push((place, answer.await?));
                }
                Ok(answers)
            })?;
            for (place, rows) in answers {
                each(place, Rows { rows: rows.into_iter(), current: None, cursor: None })?;
            }
        }
        Ok(())
    }

    /// Opens a cursor.
    pub(super) fn cursor(&mut self, params: &[&dyn Bind]) -> Result<Rows<'_>> {
        let session = self.session;
        let number = session.cursors.get() + 1;
        session.cursors.set(number);
        let (client, values) = (session.client()?, Sent::all(params));
        let declare = format!("DECLARE c{number} NO SCROLL CURSOR FOR {}", in_its_words(&self.sql));
        let declare = session.wait(client.prepare(&declare))?;
        session.wait(client.execute_raw(&declare, values))?;
        let fetch = session.wait(client.prepare(&format!("FETCH {CURSOR_ROWS} FROM c{number}")))?;
        let cursor = Some(Cursor { session, number, fetch });
        Ok(Rows { rows: Vec::new().into_iter(), current: None, cursor })
    }
}

struct Cursor<'s> {
    session: &'s Session,
    number: u64,
    fetch: Statement,
}

impl Drop for Cursor<'_> {
    fn drop(&mut self) {
        if !self.session.is_autocommit() {
            // It ends with the transaction at the latest.
            let _ = self.session.command(&format!("CLOSE c{}", self.number));
        }
    }
}

/// The rows of a query.
pub(crate) struct Rows<'s> {
    rows: std::vec::IntoIter<tokio_postgres::Row>,
    current: Option<tokio_postgres::Row>,
    cursor: Option<Cursor<'s>>,
}

impl Rows<'_> {
    pub(super) fn next(&mut self) -> Result<Option<&tokio_postgres::Row>> {
        self.current = self.rows.next();
        if self.current.is_none()
            && let Some(cursor) = &self.cursor
        {
            let rows = cursor.session.rows(&cursor.fetch, &[])?;
            if rows.is_empty() {
                self.cursor = None;
            }
            self.rows = rows.into_iter();
            self.current = self.rows.next();
        }
        Ok(self.current.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_put_into_its_words() {
        let check = |sql: &str, words: &str| assert_eq!(in_its_words(sql), words);
        check("SELECT a FROM t WHERE a = ?1 AND b = ?12", "SELECT a FROM t WHERE a = $1 AND b = $12");
        check("SELECT a FROM t INDEXED BY t_a_b WHERE a = ?1", "SELECT a FROM t WHERE a = $1");
        check("SELECT a FROM t INDEXED BY t_a", "SELECT a FROM t ");
        check("WHERE +agent = ?1 AND n + 1 > n +?2 IN", "WHERE agent = $1 AND n + 1 > n +$2 IN");
    }

    #[test]
    fn values_of_any_sort_read_back_and_sort_by_sort() {
        let values =
            [Any::Integer(7), Any::Integer(4_915_155), Any::Text(""), Any::Text("49"), Any::Blob(b"\0x")];
        let mut before: Vec<u8> = Vec::new();
        for value in values {
            let Sent::Blob(bytes) = Sent::of(ValueRef::Any(value)) else { panic!("{value:?}") };
            assert!(bytes > before, "{value:?}");
            let plain = match value {
                Any::Integer(value) => ValueRef::Integer(value),
                Any::Text(text) => ValueRef::Text(text),
                Any::Blob(bytes) => ValueRef::Blob(bytes),
            };
            assert_eq!(untagged(ValueRef::Blob(&bytes)).unwrap(), plain);
            before = bytes;
        }
        assert!(untagged(ValueRef::Blob(b"")).is_err() && untagged(ValueRef::Integer(1)).is_err());
    }

    #[test]
    fn a_text_with_a_nul_can_be_sent() {
        let Sent::Text(text) = Sent::of(ValueRef::Text("a\0b")) else { panic!("a text stays one") };
        assert_eq!(text, "a\u{fffd}b");
    }
}
