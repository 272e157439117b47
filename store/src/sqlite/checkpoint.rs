//! Moves the write-ahead log into the database, beside the writer so that commits do not wait for it.

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

/// Checkpoints whenever asked, until the end.
///
/// PASSIVE never makes anybody wait, but while the writer keeps writing it seldom reaches the log's end, and only
/// then can the log begin anew. Past `wal_pages_max` the writer is asked to `cut` it: it must be the writer, because a
/// cutting checkpoint holds the lock that every write needs.
pub(super) fn run(conn: &Connection, bell: &Bell, wal_pages_max: u64, cut: impl Fn()) {
    while bell.wait() == Wish::Checkpoint {
        match checkpoint(conn, "PASSIVE") {
            Ok(pages) if pages > wal_pages_max => cut(),
            Ok(_) => {}
            // The disk may be full: the writer tells of that, and asks again.
            Err(error) => tracing::warn!(%error, "checkpoint failed"),
        }
    }
}

/// Moves the rest of the log and begins it anew, unless a reader still needs it: then it is left for the next time.
/// For the writer's connection. Most of the log has been moved before, so that this is short.
pub(super) fn cut(conn: &Connection) {
    let cut = conn
        .busy_timeout(CUT_WAIT)
        .and_then(|()| checkpoint(conn, "RESTART"))
        .and_then(|_| conn.busy_timeout(super::open::WRITER_LOCK_WAIT));
    if let Err(error) = cut {
        tracing::warn!(%error, "the write-ahead log could not be cut");
    }
}

/// Runs a checkpoint and tells how many pages the log has.
fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<u64> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get::<_, i64>(1))
        .map(|pages| u64::try_from(pages).unwrap_or(0))
}
