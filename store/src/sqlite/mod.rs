//! The embedded store: one SQLite file.

mod backup;
mod checkpoint;
mod open;
mod place;
mod wipe;

pub use backup::{backup, restore};
pub use open::SCHEMA_VERSION;

use crate::error::StoreError;
use crate::model::StoreStats;
use crate::sql::Connection;
use crate::tables::pool::Pool;
use crate::tables::{Core, Kept, Options};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// Into so many parts the write-ahead log's limit is divided; each is moved into the database beside the writer.
const WAL_STEPS: u64 = 4;

/// A store in one SQLite file (with `-wal`, `-shm` and `-lock` beside it). Dropping it writes what is queued.
pub struct SqliteStore {
    core: Core,
    page_bytes: u64,
    path: PathBuf,
    bell: checkpoint::Bell,
    checkpointer: Option<JoinHandle<()>>,
    _lock: open::FileLock,
}

impl SqliteStore {
    /// Opens the database at `path`, makes it if it is not there, and brings its schema up to date. Refuses a file
    /// that another process has open, that a newer version wrote, that belongs to another program, or that is
    /// damaged.
    pub fn open(path: &Path, options: Options) -> Result<SqliteStore, StoreError> {
        let lock = open::FileLock::take(path)?;
        let conn = open::writer(path, options.cache_bytes, options.wal_bytes_max)?;
        let page_bytes: u64 = conn.pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0))?.into();
        if let Some(bytes) = options.size_max_bytes {
            limit_size(&conn, bytes, page_bytes)?;
        }
        let readers = Pool::open(options.readers, || open::reader(path).map(Connection::Sqlite))?;
        let bell = checkpoint::Bell::default();
        let checkpoints = open::checkpointer(path)?;
        let fail = |source| StoreError::Open { path: path.into(), source };
        let own_bell = bell.clone();
        let checkpointer = std::thread::Builder::new()
            .name("store-wal".into())
            .spawn(move || checkpoint::run(&checkpoints, &own_bell))
            .map_err(fail)?;
        let wal_pages_max = (options.wal_bytes_max / page_bytes.max(1)).max(WAL_STEPS);
        let log = checkpoint::LogLimits { step: wal_pages_max / WAL_STEPS, max: wal_pages_max };
        let watch = checkpoint::Watch::new(bell.clone(), log, place::Place::of(path));
        let core = Core::start(Connection::Sqlite(conn), readers, Box::new(watch), options)
            .inspect_err(|_| bell.end())
            .map_err(fail)?;
        Ok(SqliteStore {
            core,
            page_bytes,
            path: path.into(),
            bell,
            checkpointer: Some(checkpointer),
            _lock: lock,
        })
    }

    /// Changes how large the database may grow; a write that failed for lack of room is tried again at once.
    pub fn set_size_max(&self, bytes: u64) -> Result<(), StoreError> {
        let page_bytes = self.page_bytes;
        self.core.call(move |writer| {
            if let Connection::Sqlite(conn) = writer.conn() {
                limit_size(conn, bytes, page_bytes)?;
            }
            writer.retry_now();
            Ok(())
        })
    }
}

fn limit_size(conn: &rusqlite::Connection, bytes: u64, page_bytes: u64) -> Result<(), StoreError> {
    let pages = i64::from(u32::try_from(bytes / page_bytes.max(1)).unwrap_or(u32::MAX - 1).max(1));
    conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    Ok(())
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.core.close();
        self.bell.end();
        if let Some(checkpointer) = self.checkpointer.take() {
            // Its panic was printed; nothing depends on it any more.
            let _ = checkpointer.join();
        }
    }
}

impl Kept for SqliteStore {
    fn core(&self) -> &Core {
        &self.core
    }

    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn wiped(&self, number: &sansio::pii::Spellings) -> Result<bool, StoreError> {
        self.wiped(number)
    }

    fn measure(&self, stats: &mut StoreStats) {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        stats.wal_bytes = size(&open::beside(&self.path, "-wal"));
        stats.journal_bytes = size(&self.path) + stats.wal_bytes;
    }
}
