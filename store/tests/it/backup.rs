//! A copy while the store is in use, and back.

use crate::support::{House, NOW};
use std::path::Path;
use store::{Options, SqliteStore, Store, StoreError, backup, restore};

#[test]
fn a_copy_of_a_store_in_use_is_whole_and_can_take_its_place() {
    let house = House::new();
    house.list(1);
    let copy = house.folder.path().join("copy.db");
    assert!(backup(&house.path(), &copy).unwrap() > 0);
    // What comes later is not in it.
    house.list(2);
    let again = backup(&house.path(), &copy).unwrap_err();
    assert!(matches!(again, StoreError::Open { .. }), "{again}");
    assert!(matches!(restore(&copy, &house.path(), true), Err(StoreError::InUse { .. })));

    let House { store, folder, .. } = house;
    let path = folder.path().join("store.db");
    drop(store);
    assert!(matches!(restore(&copy, &path, false), Err(StoreError::Open { .. })));
    assert_eq!(restore(&copy, &path, true).unwrap(), store::SCHEMA_VERSION);
    let lists = |path: &Path| {
        let store = SqliteStore::open(path, Options::new(Box::new(|_| ()))).unwrap();
        store.load(NOW).unwrap().lists.len()
    };
    assert_eq!(lists(&path), 1);
    assert_eq!(lists(&folder.path().join("store.db.before-restore")), 2);
    let fresh = folder.path().join("fresh.db");
    restore(&copy, &fresh, false).unwrap();
    assert_eq!(lists(&fresh), 1);
}

#[test]
fn what_is_no_store_is_neither_copied_nor_restored() {
    let folder = tempfile::tempdir().unwrap();
    let (text, there) = (folder.path().join("text"), folder.path().join("there.db"));
    std::fs::write(&text, "not a database at all, but long enough to look at").unwrap();
    assert!(backup(&text, &folder.path().join("copy")).is_err());
    assert!(restore(&text, &there, false).is_err());
    assert!(!there.exists() && !folder.path().join("copy").exists());
    assert!(backup(&folder.path().join("nowhere"), &there).is_err());
}
