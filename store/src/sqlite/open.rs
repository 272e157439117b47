//! Opening the file: who may, which schema, which settings.

use crate::error::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use sansio::Duration;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The newest schema this program knows.
pub const SCHEMA_VERSION: u32 = MIGRATIONS.len() as u32;

/// Step n leads from schema n to n + 1. Forward only; a released step never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001.sql"),
    include_str!("../../migrations/0002-webhooks.sql"),
    include_str!("../../migrations/0003-compliance.sql"),
    include_str!("../../migrations/0004-caller-ids.sql"),
    include_str!("../../migrations/0005-expiry.sql"),
    include_str!("../../migrations/0006-lead-history.sql"),
    include_str!("../../migrations/0007-dispositions.sql"),
    include_str!("../../migrations/0008-audit.sql"),
    include_str!("../../migrations/0009-inbound.sql"),
    include_str!("../../migrations/0010-best-time.sql"),
    include_str!("../../migrations/0011-callbacks.sql"),
    include_str!("../../migrations/0012-recordings.sql"),
    include_str!("../../migrations/0013-tenants.sql"),
    include_str!("../../migrations/0014-direction.sql"),
    include_str!("../../migrations/0015-agent-time.sql"),
    include_str!("../../migrations/0016-calendars.sql"),
];

/// `DIAL` in ASCII: tells our files from those of other programs.
const APPLICATION_ID: i32 = 0x4449_414C;

/// Statements kept prepared per connection; more than there are in this crate.
const STATEMENTS_MAX: usize = 128;

/// A writer waits this long for a lock that another program (a backup, a shell) holds; then it is told as a failure
/// and tried again.
pub(super) const WRITER_LOCK_WAIT: Duration = Duration::from_millis(250);

/// A reader waits this long; in WAL mode readers wait only while the file is being opened or recovered.
const READER_LOCK_WAIT: Duration = Duration::from_secs(5);

/// The lock that keeps a second daemon away, held as long as the value lives. The kernel frees it with the process,
/// however that ends.
pub(super) struct FileLock(#[allow(dead_code, reason = "the open file is the lock")] File);

impl FileLock {
    /// Takes the lock of the database at `path`.
    pub(super) fn take(path: &Path) -> Result<FileLock, StoreError> {
        let lock_path = beside(path, "-lock");
        let fail = |source| StoreError::Open { path: lock_path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The owner may be writing its number just now: then it is not told.
                let _ = file.read_to_string(&mut text);
                return Err(StoreError::InUse { path: path.into(), pid: text.trim().parse().ok() });
            }
            Err(std::fs::TryLockError::Error(source)) => return Err(fail(source)),
        }
        file.set_len(0).map_err(fail)?;
        file.rewind().map_err(fail)?;
        writeln!(file, "{}", std::process::id()).map_err(fail)?;
        Ok(FileLock(file))
    }
}

/// `path` with `suffix` added to its file name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens (or makes) the database for writing and brings its schema up to date.
pub(super) fn writer(path: &Path, cache_bytes: u64, wal_bytes_max: u64) -> Result<Connection, StoreError> {
    create_private(path)?;
    let mut conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(WRITER_LOCK_WAIT)?;
    keep_plans(&conn)?;
    check_owner(&conn, path)?;
    conn.pragma_update(None, "journal_mode", "wal")?;
    // Durable means: survives a loss of power. In WAL mode FULL syncs the log at each commit.
    conn.pragma_update(None, "synchronous", "full")?;
    // A checkpoint in the path of a commit would delay all that waits for it; see the checkpointer.
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "journal_size_limit", i64::try_from(wal_bytes_max).unwrap_or(i64::MAX))?;
    conn.pragma_update(None, "cache_size", -((cache_bytes / 1024) as i64))?;
    conn.pragma_update(None, "temp_store", "memory")?;
    conn.pragma_update(None, "foreign_keys", false)?;
    // Numbers that are deleted or moved must not stay readable in unused parts of pages until somebody asks for erasure.
    conn.pragma_update(None, "secure_delete", true)?;
    migrate(&mut conn, MIGRATIONS)?;
    Ok(conn)
}

/// Keeps statements and their plans. Without the stability guarantee SQLite prepares a statement anew each time a
/// parameter gets a value that a plan could depend on (here: those held against partial indexes), which took half of
/// the time of an import.
fn keep_plans(conn: &Connection) -> Result<(), StoreError> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Opens a connection that only reads.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(READER_LOCK_WAIT)?;
    keep_plans(&conn)?;
    conn.pragma_update(None, "cache_size", -8192)?;
    Ok(conn)
}

/// Opens the checkpointer's connection.
pub(super) fn checkpointer(path: &Path) -> Result<Connection, StoreError> {
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(READER_LOCK_WAIT)?;
    conn.pragma_update(None, "synchronous", "full")?;
    Ok(conn)
}

/// Makes the file, readable by its owner only (it holds phone numbers and passwords; SQLite gives the log the same
/// mode), and makes its name durable.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let fail = |source| StoreError::Open { path: path.into(), source };
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(fail(error)),
    }
}

/// Refuses a database that is not ours, before anything is written to it.
pub(super) fn check_owner(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let application: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(StoreError::Foreign { path: path.into() });
    }
    Ok(())
}

/// Takes the schema from where it is to the end of `steps`, each step in its own transaction together with the
/// number it leads to.
fn migrate(conn: &mut Connection, steps: &[&str]) -> Result<(), StoreError> {
    let found: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let supported = u32::try_from(steps.len()).expect("a handful of steps");
    if found > supported {
        return Err(StoreError::NewerSchema { found, supported });
    }
    for (step, sql) in steps.iter().enumerate().skip(found as usize) {
        let txn = conn.transaction()?;
        txn.execute_batch(sql)?;
        txn.pragma_update(None, "application_id", APPLICATION_ID)?;
        txn.pragma_update(None, "user_version", step as u32 + 1)?;
        txn.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(conn: &Connection) -> u32 {
        conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn steps_are_taken_once_and_in_order() {
        let mut conn = Connection::open_in_memory().unwrap();
        let first = "CREATE TABLE t (a); INSERT INTO t VALUES (1);";
        migrate(&mut conn, &[first]).unwrap();
        assert_eq!(version(&conn), 1);
        let second = "ALTER TABLE t ADD COLUMN b DEFAULT 7;";
        migrate(&mut conn, &[first, second]).unwrap();
        migrate(&mut conn, &[first, second]).unwrap();
        assert_eq!(version(&conn), 2);
        let row: (i64, i64) =
            conn.query_row("SELECT a, b FROM t", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(row, (1, 7));
    }

    #[test]
    fn a_step_that_fails_leaves_the_schema_before_it() {
        let mut conn = Connection::open_in_memory().unwrap();
        let steps = ["CREATE TABLE t (a);", "CREATE TABLE u (a); CREATE TABLE t (again);"];
        assert!(migrate(&mut conn, &steps).is_err());
        assert_eq!(version(&conn), 1);
        let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 1);
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
        match migrate(&mut conn, MIGRATIONS) {
            Err(StoreError::NewerSchema { found, supported }) => {
                assert_eq!((found, supported), (SCHEMA_VERSION + 1, SCHEMA_VERSION));
            }
            other => panic!("{other:?}"),
        }
    }
}
