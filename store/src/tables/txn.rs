//! One transaction of the writer.

use crate::error::StoreError;
use crate::sql::{self, Connection, Params};
use dialer_core::record::Actor;
use sansio::WallTime;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::{Duration, Instant};

/// How many contradictions of one transaction are told by word; more are only counted.
const CONTRADICTIONS_TOLD_MAX: usize = 16;

/// What a transaction gathers besides what it writes.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    /// Changes of `lead_count`, by list, state and queue; written once at the end.
    counts: BTreeMap<(i64, i64, i64), i64>,
    /// Records that contradict what is stored.
    pub(super) contradictions: u64,
    /// The first of them in words.
    pub(super) told: Vec<String>,
    /// Some list was deleted and its leads wait to be cleared away.
    pub(super) purge: bool,
}

/// A transaction under way.
pub(crate) struct Txn<'c> {
    conn: &'c Connection,
    pub(super) tally: Tally,
    /// For whom settings are changed, and when.
    pub(super) by: Option<(Actor, WallTime)>,
}

impl<'c> Txn<'c> {
    /// Runs a statement and tells how many rows it changed.
    pub(crate) fn run(&self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        Ok(self.conn.prepare_cached(sql)?.execute(params)?)
    }

    /// Runs a statement whose result nobody waits for; see [`Connection::write`].
    pub(super) fn write(&self, sql: &str, params: impl Params) -> Result<(), StoreError> {
        Ok(self.conn.write(sql, params)?)
    }

    /// The same with each of these parameters.
    pub(super) fn write_each<P: Params>(
        &self,
        sql: &str,
        params: impl Iterator<Item = P>,
    ) -> Result<(), StoreError> {
        Ok(self.conn.write_each(sql, params)?)
    }

    /// Runs a statement that writes one row; if it writes none, that contradicts what is stored.
    pub(super) fn write_one(
        &mut self,
        sql: &str,
        params: impl Params,
        otherwise: impl FnOnce() -> String,
    ) -> Result<(), StoreError> {
        if let Some(what) = self.conn.write_one(sql, params, otherwise)? {
            self.contradict(|| what);
        }
        Ok(())
    }

    /// Counts what was noted of writes that are answered by now.
    fn take_notes(&mut self) {
        for what in self.conn.take_notes() {
            self.contradict(|| what);
        }
    }

    /// The connection, for queries.
    pub(super) fn conn(&self) -> &'c Connection {
        self.conn
    }

    /// Notes a record that contradicts what is stored and is not applied.
    pub(super) fn contradict(&mut self, what: impl FnOnce() -> String) {
        self.tally.contradictions += 1;
        if self.tally.told.len() < CONTRADICTIONS_TOLD_MAX {
            self.tally.told.push(what());
        }
    }

    /// Counts a lead into (+1) or out of (−1) a place.
    pub(super) fn count_lead(&mut self, list_no: i64, state: i64, queue: i64, by: i64) {
        *self.tally.counts.entry((list_no, state, queue)).or_default() += by;
    }

    fn write_counts(&mut self) -> Result<(), StoreError> {
        for ((list_no, state, queue), by) in std::mem::take(&mut self.tally.counts) {
            if by != 0 {
                self.write(
                    "INSERT INTO lead_count (list_no, state, queue, n) VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT (list_no, state, queue) DO UPDATE SET n = lead_count.n + excluded.n",
                    (list_no, state, queue, by),
                )?;
            }
        }
        Ok(())
    }
}

/// A transaction that is durable.
pub(crate) struct Committed<T> {
    /// What its body made.
    pub(crate) value: T,
    /// What it gathered.
    pub(super) tally: Tally,
    /// How long COMMIT with its sync took.
    pub(super) commit_time: Duration,
}

/// Runs `body` in one transaction: all or nothing.
pub(crate) fn transaction<T>(
    conn: &Connection,
    body: impl FnOnce(&mut Txn<'_>) -> Result<T, StoreError>,
) -> Result<Committed<T>, StoreError> {
    if !conn.is_autocommit() {
        // The one before could not even be rolled back (no memory).
        conn.rollback()?;
    }
    conn.begin_write()?;
    let mut txn = Txn { conn, tally: Tally::default(), by: None };
    let done = body(&mut txn).and_then(|value| txn.write_counts().map(|()| value)).and_then(|value| {
        let began = Instant::now();
        conn.commit()?;
        Ok((value, began.elapsed()))
    });
    // A failure may have ended the transaction already (disk full, I/O error); a COMMIT that met a lock has not.
    if !conn.is_autocommit() {
        conn.rollback()?;
    }
    let (value, commit_time) = done?;
    txn.take_notes();
    Ok(Committed { value, tally: txn.tally, commit_time })
}

/// Runs `body` so that its failure undoes only what it did itself. If even that cannot be done, or the database has undone
/// everything (disk full, I/O error), the whole transaction is over: the connection is back in autocommit.
pub(super) fn savepoint(
    txn: &mut Txn<'_>,
    body: impl FnOnce(&mut Txn<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    // What was written before is not the body's.
    txn.conn.settle()?;
    txn.take_notes();
    let before = txn.tally.clone();
    txn.conn.control("SAVEPOINT part")?;
    let done = body(txn).and_then(|()| Ok(txn.conn.settle()?));
    if done.is_ok() {
        txn.take_notes();
        txn.conn.control("RELEASE part")?;
    } else if !txn.conn.is_autocommit() {
        txn.conn.take_notes();
        txn.tally = before;
        let undone = txn.conn.control("ROLLBACK TO part").and_then(|()| txn.conn.control("RELEASE part"));
        if undone.is_err() {
            txn.conn.rollback()?;
        }
    }
    done
}

/// Reads at one point in time, until it is dropped.
pub(crate) struct Reading<'c>(&'c Connection);

impl<'c> Reading<'c> {
    pub(crate) fn begin(conn: &'c Connection) -> sql::Result<Reading<'c>> {
        conn.begin_read()?;
        Ok(Reading(conn))
    }
}

impl Deref for Reading<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if !self.0.is_autocommit()
            && let Err(error) = self.0.rollback()
        {
            tracing::warn!(error = %StoreError::from(error), "a reader's transaction could not be ended");
        }
    }
}
