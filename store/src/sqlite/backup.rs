//! A copy of the database while it is in use, and back.

use super::open::{FileLock, beside, check_owner};
use crate::error::StoreError;
use rusqlite::{Connection, OpenFlags, backup::Backup};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// Pages copied in one go; between two goes the daemon's writer gets its turn.
const PAGES_PER_STEP: std::ffi::c_int = 1_000;
/// Rest between two goes.
const STEP_REST: Duration = Duration::from_millis(1);

/// Copies the database at `from` to the new file `to`, as of one moment, and checks the copy. Another process may have it
/// open. Returns the copy's size in bytes.
///
/// # Errors
/// When `from` is no database of ours, `to` is there already or cannot be written, or the copy is damaged.
pub fn backup(from: &Path, to: &Path) -> Result<u64, StoreError> {
    let source = Connection::open_with_flags(
        from,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    source.busy_timeout(Duration::from_secs(5))?;
    check_owner(&source, from)?;
    // One read transaction: the copy is of one moment, however long it takes and whatever is written meanwhile.
    source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;")?;
    create_new(to)?;
    let made = copy(&source, to);
    if made.is_err() {
        // What is half written would be taken for a copy.
        let _ = std::fs::remove_file(to);
    }
    made
}

fn create_new(path: &Path) -> Result<(), StoreError> {
    let fail = |source| StoreError::Open { path: path.into(), source };
    let file = File::create_new(path).map_err(fail)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(fail)
}

fn copy(source: &Connection, to: &Path) -> Result<u64, StoreError> {
    let mut target = Connection::open(to)?;
    Backup::new(source, &mut target)?.run_to_completion(PAGES_PER_STEP, STEP_REST, None)?;
    // One file, without a log beside it.
    target.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))?;
    check(&target, to)?;
    target.close().map_err(|(_, error)| error)?;
    let fail = |source| StoreError::Open { path: to.into(), source };
    let file = File::open(to).map_err(fail)?;
    file.sync_all().map_err(fail)?;
    Ok(file.metadata().map_err(fail)?.len())
}

fn check(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(StoreError::Undecodable { table: "backup", detail: format!("{}: {verdict}", path.display()) })
}

/// Puts the copy `from` in the place of the database at `to`. Nobody may have that open. With `force` a database that is
/// there is kept beside as `….before-restore`. Returns the copy's schema.
///
/// # Errors
/// When `from` is no sound copy or newer than this program, or when `to` is there or in use.
pub fn restore(from: &Path, to: &Path, force: bool) -> Result<u32, StoreError> {
    let source = Connection::open_with_flags(
        from,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    check_owner(&source, from)?;
    check(&source, from)?;
    let schema: u32 = source.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if schema > super::SCHEMA_VERSION {
        return Err(StoreError::NewerSchema { found: schema, supported: super::SCHEMA_VERSION });
    }
    let _lock = FileLock::take(to)?;
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Open { path, source }
    };
    let there = to.try_exists().map_err(fail(to))?;
    if there && !force {
        let source = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(StoreError::Open { path: to.into(), source });
    }
    let fresh = beside(to, ".restoring");
    // Left over from a try that was cut off.
    let _ = std::fs::remove_file(&fresh);
    create_new(&fresh)?;
    copy(&source, &fresh)?;
    if there {
        // Everything belongs into the kept file before its log is taken away.
        let old = Connection::open(to)?;
        old.pragma_update_and_check(None, "wal_checkpoint", "truncate", |_| Ok(()))?;
        old.close().map_err(|(_, error)| error)?;
        std::fs::rename(to, beside(to, ".before-restore")).map_err(fail(to))?;
    }
    for suffix in ["-wal", "-shm"] {
        let log = beside(to, suffix);
        if log.try_exists().map_err(fail(&log))? {
            std::fs::rename(&log, beside(to, &format!(".before-restore{suffix}"))).map_err(fail(&log))?;
        }
    }
    std::fs::rename(&fresh, to).map_err(fail(to))?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail(folder))?;
    Ok(schema)
}
