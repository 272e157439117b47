//! The one thread that writes: it commits many appends together, and between them does what is asked of it.

use super::apply::apply;
use super::import::{Import, Row};
use super::known::Known;
use super::txn::{Committed, Tally, savepoint, transaction};
use crate::error::{Fault, StoreError};
use crate::model::{Durable, ImportVerdict, StoreStats};
use crate::sql::Connection;
use dialer_core::Record;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The first wait after a failure; it doubles up to `Limits::retry_max`.
const RETRY_MIN: Duration = Duration::from_millis(20);

/// Clearing away deleted lists waits this long after a failure.
const PURGE_RETRY: Duration = Duration::from_secs(5);

/// A slice of an import that nothing waited for is followed by one of so many times as many rows.
const SLICE_GROWTH: usize = 4;

/// Bounds of the writer.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) queue_records_max: u64,
    pub(crate) queue_records_hard_max: u64,
    pub(crate) batch_records_max: u64,
    pub(crate) import_rows_max: usize,
    pub(crate) import_slice: Duration,
    /// About so many rows of an import are written in a millisecond.
    pub(crate) import_rows_per_ms: usize,
    pub(crate) retry_max: Duration,
    pub(crate) close_wait: Duration,
}

impl Limits {
    /// So many rows of an import are written in about the time of a slice.
    fn slice_rows(&self) -> usize {
        (self.import_slice.as_millis() as usize * self.import_rows_per_ms).clamp(1, self.import_rows_max)
    }
}

/// One transaction as appended.
struct Append {
    seq: u64,
    records: Vec<Record>,
}

/// Something asked of the writer by a caller who waits for it.
pub(crate) type Job = Box<dyn FnOnce(&mut Writer) + Send>;

/// The verdicts of an import, and its rows for the caller to be rid of.
type Imported = (Vec<ImportVerdict>, Vec<Row>);

/// An import and where its caller waits.
struct ImportJob {
    import: Import,
    answer: SyncSender<Result<Imported, StoreError>>,
}

impl ImportJob {
    fn answer(self, result: Result<(), StoreError>) {
        let verdicts = result.map(|()| self.import.verdicts());
        // If the caller's thread is gone there is nobody to tell.
        let _ = self.answer.send(verdicts);
    }
}

/// What callers and writer share.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Something was appended, or asked for, since the writer last looked.
    waits: AtomicBool,
    /// The writer waits here for work.
    work: Condvar,
    /// Appenders wait here for room, flushers for an empty queue.
    room: Condvar,
    limits: Limits,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Append>,
    jobs: VecDeque<Job>,
    imports: VecDeque<ImportJob>,
    /// Records in `queue` and in the batch being written.
    pending_records: u64,
    /// Appends in `queue` and in the batch being written.
    pending_appends: u64,
    closing: bool,
    /// The writer has ended.
    ended: bool,
    stats: StoreStats,
}

impl Shared {
    pub(crate) fn new(limits: Limits) -> Shared {
        Shared {
            state: Mutex::default(),
            waits: AtomicBool::new(false),
            work: Condvar::new(),
            room: Condvar::new(),
            limits,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an append; waits only at the hard limit.
    pub(crate) fn append(&self, seq: u64, records: Vec<Record>) {
        let mut state = self.lock();
        while state.pending_records >= self.limits.queue_records_hard_max && !state.ended {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ended {
            tracing::error!(seq, records = records.len(), "append after the end of the store is lost");
            return;
        }
        state.pending_records += records.len() as u64;
        state.pending_appends += 1;
        state.queue.push_back(Append { seq, records });
        self.waits.store(true, Ordering::Relaxed);
        drop(state);
        self.work.notify_one();
    }

    /// Whether something came since the writer last looked.
    fn waited_for(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Waits until nothing is queued.
    pub(crate) fn flush(&self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        let mut state = self.lock();
        while state.pending_appends > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.ended {
                return false;
            }
            state = self.room.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Has the writer do something and waits for its result.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, result) = sync_channel(1);
        let mut state = self.lock();
        if state.ended || state.closing {
            return Err(StoreError::Closed);
        }
        state.jobs.push_back(Box::new(move |writer| {
            // The caller waits; if its thread is gone there is nobody to tell.
            let _ = answer.send(work(writer));
        }));
        self.waits.store(true, Ordering::Relaxed);
        drop(state);
        self.work.notify_one();
        result.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Writing works, and the queue is within its limit.
    pub(crate) fn healthy(&self) -> bool {
        let state = self.lock();
        !state.ended
            && state.stats.failure.is_none()
            && state.pending_records <= self.limits.queue_records_max
    }

    pub(crate) fn stats(&self) -> StoreStats {
        let state = self.lock();
        let mut stats = state.stats.clone();
        stats.queue_appends = state.pending_appends;
        stats.queue_records = state.pending_records;
        stats
    }

    /// Has the writer write leads and waits for the verdicts.
    pub(super) fn import(&self, import: Import) -> Result<Vec<ImportVerdict>, StoreError> {
        let (answer, result) = sync_channel(1);
        let mut state = self.lock();
        if state.ended || state.closing {
            return Err(StoreError::Closed);
        }
        state.imports.push_back(ImportJob { import, answer });
        drop(state);
        self.work.notify_one();
        let (verdicts, _rows) = result.recv().unwrap_or(Err(StoreError::Closed))?;
        Ok(verdicts)
    }

    /// Counts events that could not be read back.
    pub(crate) fn count_undecodable(&self, events: u64) {
        self.lock().stats.undecodable_events += events;
    }

    /// The writer is no more: nobody shall wait for it.
    fn end(&self, failure: Option<&str>) {
        let mut state = self.lock();
        state.ended = true;
        if let Some(failure) = failure {
            state.stats.failure = Some(failure.into());
        }
        // They hold their callers' channels; dropping them answers `Closed`.
        let waiting = (std::mem::take(&mut state.jobs), std::mem::take(&mut state.imports));
        drop(state);
        drop(waiting);
        self.room.notify_all();
    }

    /// Tells the writer to write what is queued and end.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.waits.store(true, Ordering::Relaxed);
        self.work.notify_one();
    }
}

/// What there is to do next.
enum Next {
    /// The batch, or a slice of the import, or both in one transaction.
    Write {
        journal: bool,
    },
    Job(Job),
    Purge,
    Probe,
    End,
}

/// What a database wants done beside the writing, on the writer's thread.
pub(crate) trait Upkeep: Send {
    /// Before a transaction: makes sure of the connection, and connects anew if it was lost. Then `Some`: the last append
    /// that is durable, which the writer may not know of.
    fn mend(&mut self, _conn: &Connection) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    /// Within a transaction that writes appends up to this one.
    fn mark(&mut self, _conn: &Connection, _seq: u64) -> Result<(), StoreError> {
        Ok(())
    }

    /// After a transaction.
    fn look(&mut self, _conn: &Connection) {}

    /// About so many rows of an import are written in a millisecond.
    fn import_rows_per_ms(&self) -> usize;

    /// How often the database is looked at while there is nothing to write; `None`: never.
    fn probe_interval(&self) -> Option<Duration> {
        None
    }
}

/// The writer's own side.
pub(crate) struct Writer {
    conn: Connection,
    shared: Arc<Shared>,
    tell: Box<dyn Fn(Durable) + Send>,
    upkeep: Box<dyn Upkeep>,
    /// Under way.
    import: Option<ImportJob>,
    /// Numbers that leads may have.
    known: Known,
    /// So many rows has the next slice of an import, unless something else is to be written with it.
    slice_rows: usize,
    /// Being written, or to be written again.
    batch: Vec<Append>,
    batch_records: u64,
    /// A record of the batch cannot be written: each is tried by itself.
    careful: bool,
    failing: Option<Failing>,
    told_unhealthy: bool,
    job_turn: bool,
    purge_at: Option<Instant>,
    /// When the database is looked at if nothing else is to be done.
    probe_at: Option<Instant>,
    closing_since: Option<Instant>,
}

/// The batch could not be written.
struct Failing {
    retry_at: Instant,
    wait: Duration,
}

impl Writer {
    pub(crate) fn new(
        conn: Connection,
        shared: Arc<Shared>,
        tell: Box<dyn Fn(Durable) + Send>,
        upkeep: Box<dyn Upkeep>,
    ) -> Writer {
        Writer {
            conn,
            slice_rows: shared.limits.slice_rows(),
            shared,
            tell,
            upkeep,
            import: None,
            known: Known::new(),
            batch: Vec::new(),
            batch_records: 0,
            careful: false,
            failing: None,
            told_unhealthy: false,
            job_turn: false,
            // Something may be left from the last run.
            purge_at: Some(Instant::now()),
            probe_at: None,
            closing_since: None,
        }
    }

    /// Works until the store is closed. A panic (a defect) ends writing for good, and is told.
    pub(crate) fn run(mut self) {
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.work()));
        if worked.is_ok() {
            self.shared.end(None);
        } else {
            const DETAIL: &str = "the writer thread panicked";
            self.shared.end(Some(DETAIL));
            (self.tell)(Durable::Unhealthy { fault: Some(Fault::Other), detail: DETAIL.into() });
        }
    }

    fn work(&mut self) {
        loop {
            if let Some(interval) = self.upkeep.probe_interval() {
                self.probe_at = Some(Instant::now() + interval);
            }
            match self.next() {
                Next::Write { journal } => self.write(journal),
                Next::Job(job) => job(self),
                Next::Purge => self.purge(),
                Next::Probe => self.probe(),
                Next::End => break,
            }
            self.tell_backlog();
        }
        if !self.batch.is_empty() {
            tracing::error!(records = self.batch_records, "closed without writing what was queued");
        }
    }

    /// Waits for something to do. Appends come first, but a job gets its turn after each batch; clearing away is
    /// for idle times.
    fn next(&mut self) -> Next {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        loop {
            let now = Instant::now();
            let may_write = self.failing.as_ref().is_none_or(|failing| failing.retry_at <= now);
            let has_batch = !self.batch.is_empty() || !state.queue.is_empty();
            if self.job_turn || !(has_batch && may_write) {
                self.job_turn = false;
                if let Some(job) = state.jobs.pop_front() {
                    return Next::Job(job);
                }
            }
            if state.closing {
                self.import = None;
                state.imports.clear();
            } else if self.import.is_none() {
                self.import = state.imports.pop_front();
            }
            let journal = has_batch && may_write;
            if journal || self.import.is_some() {
                if journal {
                    self.fill_batch(&mut state);
                }
                self.job_turn = true;
                shared.waits.store(false, Ordering::Relaxed);
                return Next::Write { journal };
            }
            if state.closing {
                let since = *self.closing_since.get_or_insert(now);
                if !has_batch || since.elapsed() >= shared.limits.close_wait {
                    return Next::End;
                }
            } else if !has_batch && self.purge_at.is_some_and(|at| at <= now) {
                return Next::Purge;
            } else if !has_batch && may_write && self.probe_at.is_some_and(|at| at <= now) {
                return Next::Probe;
            }
            let wake_at = match &self.failing {
                Some(failing) if has_batch || failing.retry_at > now => Some(failing.retry_at),
                _ => [self.purge_at, self.probe_at].into_iter().flatten().min().filter(|_| !state.closing),
            };
            state = match wake_at {
                Some(at) => {
                    let wait = at.saturating_duration_since(now);
                    shared.work.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => shared.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Takes appends from the queue. A batch that failed stays as it was.
    fn fill_batch(&mut self, state: &mut State) {
        if !self.batch.is_empty() {
            return;
        }
        self.batch_records = 0;
        while let Some(append) = state.queue.front() {
            let records = append.records.len() as u64;
            if !self.batch.is_empty() && self.batch_records + records > self.shared.limits.batch_records_max {
                break;
            }
            self.batch_records += records;
            self.batch.extend(state.queue.pop_front());
        }
    }

    /// Writes the batch (if `journal`) and a slice of the import (if there is one) in one transaction: they share
    /// the cost of its sync. A failure of the import leaves the journal alone.
    fn write(&mut self, journal: bool) {
        if let Err(error) = self.mend() {
            self.failed(&error);
            self.imported(Err(error));
            return;
        }
        let journal = journal && !self.batch.is_empty();
        if !journal && self.import.is_none() {
            return;
        }
        let limits = self.shared.limits;
        let slice_rows = if journal { limits.slice_rows() } else { self.slice_rows };
        let (shared, began) = (Arc::clone(&self.shared), Instant::now());
        let enough = || began.elapsed() >= limits.import_slice && (journal || shared.waited_for());
        let (batch, careful) = (if journal { &self.batch[..] } else { &[] }, self.careful);
        let (import, known, upkeep) = (&mut self.import, &mut self.known, &mut self.upkeep);
        let (mut rejected, mut import_began, mut imported) = (0, false, Ok(()));
        let done = transaction(&self.conn, |txn| {
            rejected = apply_batch(txn, batch, careful)?;
            if let Some(last) = batch.last() {
                upkeep.mark(txn.conn(), last.seq)?;
            }
            if let Some(job) = import {
                import_began = true;
                // With nothing else in the transaction its failure undoes all of it: no copy of each page as it was
                // needs to be kept.
                if !journal {
                    return job.import.slice(txn, known, slice_rows, enough);
                }
                imported = savepoint(txn, |txn| job.import.slice(txn, known, slice_rows, enough));
                if txn.conn().is_autocommit() {
                    return std::mem::replace(&mut imported, Ok(()));
                }
            }
            Ok(())
        });
        self.slice_rows = if journal || self.shared.waited_for() {
            limits.slice_rows()
        } else {
            (self.slice_rows * SLICE_GROWTH).min(limits.import_rows_max)
        };
        match done {
            Ok(done) => {
                if journal {
                    self.written(&done, rejected);
                }
                self.note(&done.tally);
                self.imported(imported);
                self.upkeep.look(&self.conn);
            }
            // The batch is tried again without it.
            Err(error) if import_began => self.imported(Err(error)),
            Err(error) if journal && !passes(&error) && !self.careful => {
                tracing::error!(%error, "a record cannot be written; trying each by itself");
                self.careful = true;
            }
            Err(error) => {
                if journal {
                    self.failed(&error);
                }
                self.imported(Err(error));
            }
        }
    }

    /// Answers the import if it is over.
    fn imported(&mut self, result: Result<(), StoreError>) {
        let Some(job) = &self.import else { return };
        if result.is_ok() {
            self.shared.lock().stats.import_rows += job.import.written;
        }
        if (result.is_err() || job.import.finished())
            && let Some(job) = self.import.take()
        {
            job.answer(result);
        }
    }

    fn written(&mut self, done: &Committed<()>, rejected: u64) {
        let mut state = self.shared.lock();
        let stats = &mut state.stats;
        stats.rejected += rejected;
        stats.contradictions += done.tally.contradictions;
        stats.commits.observe(u64::try_from(done.commit_time.as_micros()).unwrap_or(u64::MAX));
        drop(state);
        self.durable();
    }

    /// The batch is durable.
    fn durable(&mut self) {
        if let Some(append) = self.batch.last() {
            (self.tell)(Durable::UpTo(append.seq));
        }
        let mut state = self.shared.lock();
        state.pending_records -= self.batch_records;
        state.pending_appends -= self.batch.len() as u64;
        let stats = &mut state.stats;
        stats.appends += self.batch.len() as u64;
        stats.records += self.batch_records;
        stats.failure = None;
        drop(state);
        self.shared.room.notify_all();
        self.batch.clear();
        self.batch_records = 0;
        self.careful = false;
        self.failing = None;
    }

    fn failed(&mut self, error: &StoreError) {
        let wait = self.failing.as_ref().map_or(RETRY_MIN, |failing| failing.wait * 2);
        let wait = wait.min(self.shared.limits.retry_max);
        self.failing = Some(Failing { retry_at: Instant::now() + wait, wait });
        let mut state = self.shared.lock();
        state.stats.failed_commits += 1;
        let news = state.stats.failure.is_none();
        state.stats.failure = Some(error.to_string());
        drop(state);
        if news {
            tracing::error!(%error, records = self.batch_records, "the journal cannot be written; trying again");
            self.told_unhealthy = true;
            (self.tell)(Durable::Unhealthy { fault: error.fault(), detail: error.to_string() });
        }
    }

    /// Tells when too much is queued, and when all is well again.
    fn tell_backlog(&mut self) {
        let state = self.shared.lock();
        let (pending, failing) = (state.pending_records, state.stats.failure.is_some());
        drop(state);
        let max = self.shared.limits.queue_records_max;
        if pending > max && !self.told_unhealthy {
            self.told_unhealthy = true;
            tracing::error!(records = pending, max, "the journal's queue is too long");
            let detail = format!("{pending} records wait to be written, {max} are allowed");
            (self.tell)(Durable::Unhealthy { fault: None, detail });
        } else if self.told_unhealthy && !failing && pending <= max / 2 {
            self.told_unhealthy = false;
            tracing::info!("the journal is written again");
            (self.tell)(Durable::Healthy);
        }
    }

    /// Makes sure of the connection. A batch whose COMMIT was not answered may turn out to be durable: it is not written
    /// again.
    fn mend(&mut self) -> Result<(), StoreError> {
        if let Some(durable) = self.upkeep.mend(&self.conn)?
            && self.batch.last().is_some_and(|append| append.seq <= durable)
        {
            tracing::info!(up_to = durable, "the last commit was durable although its answer was lost");
            self.durable();
        }
        Ok(())
    }

    /// Looks whether the database is there while nothing is to be written.
    fn probe(&mut self) {
        match self.mend() {
            Ok(()) if self.failing.is_some() => {
                self.failing = None;
                self.shared.lock().stats.failure = None;
            }
            Ok(()) => {}
            Err(error) => self.failed(&error),
        }
    }

    /// Clears away some leads of deleted lists.
    fn purge(&mut self) {
        let purged = self.mend().and_then(|()| transaction(&self.conn, super::import::purge));
        self.purge_at = match purged {
            Ok(done) if done.value => Some(Instant::now()),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, "leads of a deleted list are cleared away later");
                Some(Instant::now() + PURGE_RETRY)
            }
        };
        self.upkeep.look(&self.conn);
    }

    /// Runs a job's transaction.
    pub(crate) fn transact<T>(
        &mut self,
        body: impl FnOnce(&mut super::txn::Txn<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.mend()?;
        let done = transaction(&self.conn, body)?;
        self.note(&done.tally);
        self.upkeep.look(&self.conn);
        Ok(done.value)
    }

    /// The writer's connection, for settings.
    pub(crate) fn conn(&self) -> &Connection {
        &self.conn
    }

    /// A failing batch is tried again at once (something has changed).
    pub(crate) fn retry_now(&mut self) {
        if let Some(failing) = &mut self.failing {
            failing.retry_at = Instant::now();
        }
    }

    fn note(&mut self, tally: &Tally) {
        for what in &tally.told {
            tracing::error!(%what, "a journal record contradicts what is stored and is not applied");
        }
        if tally.purge {
            self.purge_at = Some(Instant::now());
        }
    }
}

/// Whether writing the same again may succeed.
fn passes(error: &StoreError) -> bool {
    error.fault().is_some_and(Fault::passes)
}

/// Applies appends and tells how many records were set aside.
fn apply_batch(txn: &mut super::txn::Txn<'_>, batch: &[Append], careful: bool) -> Result<u64, StoreError> {
    let mut rejected = 0;
    for append in batch {
        txn.by = append.records.iter().find_map(|record| match record {
            Record::ChangedBy { by, at } => Some((by.clone(), *at)),
            _ => None,
        });
        for record in &append.records {
            if careful {
                rejected += u64::from(!apply_or_set_aside(txn, append.seq, record)?);
            } else {
                apply(txn, record)?;
            }
        }
    }
    txn.by = None;
    Ok(rejected)
}

/// Applies a record by itself; one that cannot be applied is kept in the table `rejected`. False: set aside.
fn apply_or_set_aside(txn: &mut super::txn::Txn<'_>, seq: u64, record: &Record) -> Result<bool, StoreError> {
    match savepoint(txn, |txn| apply(txn, record)) {
        Ok(()) => Ok(true),
        Err(error) if passes(&error) => Err(error),
        Err(error) => {
            tracing::error!(%error, seq, "a journal record is set aside");
            let data = serde_json::to_string(record).unwrap_or_else(|_| format!("{record:?}"));
            txn.write(
                "INSERT INTO rejected (seq, error, data) VALUES (?1, ?2, ?3)",
                (super::codec::int(seq), error.to_string(), data),
            )?;
            Ok(false)
        }
    }
}
