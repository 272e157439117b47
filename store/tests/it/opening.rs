//! Which files are opened and which are refused.

use crate::support::{House, NOW, id};
use dialer_core::Record;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use store::{Fault, Options, SCHEMA_VERSION, SqliteStore, Store, StoreError};

fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, Options::new(Box::new(|_| ())))
}

#[test]
fn a_database_has_one_owner() {
    let house = House::new();
    match open(&house.path()) {
        Err(error @ StoreError::InUse { pid: Some(pid), .. }) => {
            assert_eq!(pid, std::process::id());
            assert!(error.to_string().contains("store.db is in use by process"), "{error}");
        }
        other => panic!("{:?}", other.err()),
    }
    house.list(1);
    let house = house.reopen();
    assert_eq!(house.store.load(NOW).unwrap().lists.len(), 1);
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let House { store, folder, .. } = House::new();
    drop(store);
    let path = folder.path().join("store.db");
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
    drop(conn);
    let error = open(&path).err().unwrap();
    assert!(matches!(error, StoreError::NewerSchema { .. }), "{error:?}");
    assert!(error.to_string().contains("written by a newer version"), "{error}");
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.pragma_update(None, "user_version", SCHEMA_VERSION).unwrap();
    drop(conn);
    open(&path).unwrap();
}

#[test]
fn a_database_of_schema_1_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch(include_str!("../data/schema-1.sql")).unwrap();
    drop(conn);
    let store = open(&path).unwrap();
    let snapshot = store.load(NOW).unwrap();
    assert_eq!(snapshot.lists.len(), 1);
    assert_eq!(snapshot.trunks.len(), 1);
    assert_eq!(snapshot.last_cursor, 3);
    let list = snapshot.lists[0].id;
    assert_eq!(store.lead_counts(list).unwrap().new, 1);
    let lead = store.lead(id(0x10)).unwrap().unwrap();
    assert_eq!(lead.phones[0].number, "+8613800138000");
    store.append(1, vec![Record::ListDeleted { list }]);
}

#[test]
fn a_damaged_file_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    std::fs::write(&path, "this is not a database ".repeat(400)).unwrap();
    let error = open(&path).err().unwrap();
    assert_eq!(error.fault(), Some(Fault::Corrupt), "{error:?}");
    assert!(error.to_string().contains("damaged or is not a database"), "{error}");
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let error = open(&path).err().unwrap();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");
    let tables: i64 = rusqlite::Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 1);
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let error = open(&folder.path().join("missing/store.db")).err().unwrap();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    assert!(error.to_string().contains("missing/store.db"), "{error}");
}

#[test]
fn only_the_owner_may_read_the_files() {
    let house = House::new();
    house.list(1);
    for file in std::fs::read_dir(house.folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.file_name());
    }
}

#[test]
fn the_ledger_is_append_only() {
    let house = House::new();
    let entry = dialer_core::record::LedgerEntry { campaign: id(1), call: id(1), at: NOW, abandoned: true };
    house.write(vec![Record::Ledger(entry)]);
    let conn = rusqlite::Connection::open(house.path()).unwrap();
    for sql in ["UPDATE ledger SET abandoned = 0", "DELETE FROM ledger"] {
        assert!(conn.execute(sql, []).unwrap_err().to_string().contains("append-only"));
    }
}
