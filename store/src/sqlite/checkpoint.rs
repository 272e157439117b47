//! Moves the write-ahead log into the database, beside the writer so that commits do not wait for it.

use super::place::Place;
use crate::error::StoreError;
use crate::sql;
use crate::tables::writer::Upkeep;
use rusqlite::Connection;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long the writer waits for readers before it gives up cutting the log: what is appended waits with it.
const CUT_WAIT: Duration = Duration::from_millis(20);

/// A wish for a checkpoint, or for the end.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Wish {
    #[default]
    Nothing,
    Checkpoint,
    End,
}

/// Through which the checkpointer is woken.
#[derive(Clone, Default)]
pub(super) struct Bell(Arc<(Mutex<Wish>, Condvar)>);

impl Bell {
    /// Asks for a checkpoint.
    pub(super) fn ring(&self) {
        let mut wish = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *wish == Wish::Nothing {
            *wish = Wish::Checkpoint;
            self.0.1.notify_one();
        }
    }

    /// Asks the checkpointer to end.
    pub(super) fn end(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = Wish::End;
        self.0.1.notify_one();
    }

    fn wait(&self) -> Wish {
        let mut wish = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while *wish == Wish::Nothing {
            wish = self.0.1.wait(wish).unwrap_or_else(PoisonError::into_inner);
        }
        let taken = *wish;
        if taken == Wish::Checkpoint {
            *wish = Wish::Nothing;
        }
        taken
    }
}

/// Moves the log whenever asked, until the end. PASSIVE never makes anybody wait.
pub(super) fn run(conn: &Connection, bell: &Bell) {
    while bell.wait() == Wish::Checkpoint {
        if let Err(error) = checkpoint(conn, "PASSIVE") {
            // The disk may be full: the writer tells of that, and asks again.
            tracing::warn!(%error, "checkpoint failed");
        }
    }
}

/// How long the log may grow, in pages.
#[derive(Clone, Copy)]
pub(super) struct LogLimits {
    /// After each so many the checkpointer is rung.
    pub(super) step: u64,
    /// At so many the log is begun anew.
    pub(super) max: u64,
}

/// The writer's watch over the log, and over where the files are.
///
/// While the writer keeps writing, a passive checkpoint seldom reaches the log's end, and only then can the log begin
/// anew. Past its limit the writer therefore moves the rest itself: most has been moved before, so that this is short.
/// It must be the writer, because such a checkpoint holds the lock that every write needs.
pub(super) struct Watch {
    bell: Bell,
    limits: LogLimits,
    ring_at: u64,
    cut_at: u64,
    place: Place,
}

impl Watch {
    pub(super) fn new(bell: Bell, limits: LogLimits, place: Place) -> Watch {
        Watch { bell, limits, ring_at: limits.step, cut_at: limits.max, place }
    }
}

impl Upkeep for Watch {
    fn mend(&mut self, _conn: &sql::Connection) -> Result<Option<u64>, StoreError> {
        self.place.check()?;
        Ok(None)
    }

    /// Looks at the log after a commit.
    fn look(&mut self, conn: &sql::Connection) {
        let sql::Connection::Sqlite(conn) = conn else { return };
        let pages = match checkpoint(conn, "NOOP") {
            Ok(pages) => pages,
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log cannot be looked at");
                return;
            }
        };
        if pages < self.limits.step {
            // It began anew.
            (self.ring_at, self.cut_at) = (self.limits.step, self.limits.max);
        } else if pages >= self.cut_at {
            // A reader may be in the way: then it is tried again when the log has grown by another step.
            self.cut_at = pages + self.limits.step;
            cut(conn);
        } else if pages >= self.ring_at {
            self.ring_at = pages + self.limits.step;
            self.bell.ring();
        }
    }

    fn import_rows_per_ms(&self) -> usize {
        50
    }
}

/// Moves the rest of the log and has it begin anew, unless a reader still needs it.
fn cut(conn: &Connection) {
    let cut = conn.busy_timeout(CUT_WAIT).and_then(|()| checkpoint(conn, "RESTART"));
    let restored = conn.busy_timeout(super::open::WRITER_LOCK_WAIT);
    if let Err(error) = cut.and(restored) {
        tracing::warn!(%error, "the write-ahead log could not be cut");
    }
}

/// Runs a checkpoint and tells how many pages the log has.
fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<u64> {
    conn.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?
        .query_row([], |row| row.get::<_, i64>(1))
        .map(|pages| u64::try_from(pages).unwrap_or(0))
}
