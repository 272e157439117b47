//! Moves the write-ahead log into the database, beside the writer so that commits do not wait for it.

use rusqlite::Connection;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

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
/// then can the log begin anew. Past `wal_bytes_max` the writer is therefore held for a moment: most of the log has been
/// moved by then, so that the moment is short.
pub(super) fn run(conn: &Connection, bell: &Bell, wal_bytes_max: u64, page_bytes: u64) {
    while bell.wait() == Wish::Checkpoint {
        match checkpoint(conn, "PASSIVE") {
            Ok(pages) if pages.saturating_mul(page_bytes) > wal_bytes_max => {
                if let Err(error) = checkpoint(conn, "TRUNCATE") {
                    tracing::warn!(%error, "the write-ahead log could not be cut");
                }
            }
            Ok(_) => {}
            // The disk may be full: the writer tells of that, and asks again.
            Err(error) => tracing::warn!(%error, "checkpoint failed"),
        }
    }
}

/// Runs a checkpoint and tells how many pages the log has.
fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<u64> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get::<_, i64>(1))
        .map(|pages| u64::try_from(pages).unwrap_or(0))
}
