//! A process that is killed keeps what it was told durable.

use crate::support::{House, NOW, attempt, event, id};
use dialer_core::Record;
use dialer_core::event::Event;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use store::{Durable, Options, SqliteStore, Store};

const FOLDER: &str = "STORE_TEST_CRASH_FOLDER";

/// Transactions acknowledged before the kill, in each round.
const ROUNDS: [u64; 4] = [1, 40, 300, 1_500];

fn transaction(seq: u64) -> Vec<Record> {
    vec![
        Record::AttemptStarted(attempt(id(u128::from(seq)), None)),
        event(seq, Event::CallDialing { to: "+1".into(), caller_id: None, trunk: id(1), attempt: 1 }),
    ]
}

/// The process that is killed: appends without end and prints what is durable. Does nothing in a normal test run.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let tell = |news| {
        if let Durable::UpTo(seq) = news {
            let mut out = std::io::stdout().lock();
            writeln!(out, "durable {seq}").and_then(|()| out.flush()).expect("the parent reads");
        }
    };
    let options = Options { queue_records_hard_max: 64, ..Options::new(Box::new(tell)) };
    let store = SqliteStore::open(&Path::new(&folder).join("store.db"), options).unwrap();
    let first = store.load(NOW).unwrap().last_cursor + 1;
    for seq in first.. {
        store.append(seq, transaction(seq));
    }
}

/// Runs the child until it has acknowledged `count` transactions, kills it, and returns the last acknowledged.
fn kill_after(folder: &Path, count: u64, before: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut acknowledged = before;
    let mut killed = false;
    // After the kill the rest of the pipe is read too: all of it was told before.
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // The test harness writes its own lines around (and before) the child's.
        let line = line.unwrap();
        let Some((_, seq)) = line.split_once("durable ") else { continue };
        acknowledged = seq.trim().parse().unwrap();
        if acknowledged >= before + count && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    assert!(!child.wait().unwrap().success());
    assert!(killed, "the child ended by itself");
    acknowledged
}

#[test]
fn what_was_told_durable_survives_kill_9() {
    let house = House::new();
    let House { store, folder, .. } = house;
    drop(store);
    let mut stored = 0;
    for count in ROUNDS {
        let acknowledged = kill_after(folder.path(), count, stored);
        let store =
            SqliteStore::open(&folder.path().join("store.db"), Options::new(Box::new(|_| ()))).unwrap();
        let snapshot = store.load(NOW).unwrap();
        assert!(snapshot.last_cursor >= acknowledged, "{} < {acknowledged}", snapshot.last_cursor);
        // Whole transactions, none left out, none twice.
        stored = snapshot.last_cursor;
        let calls: Vec<u128> =
            snapshot.open_attempts.iter().map(|(attempt, _)| attempt.call.to_bits()).collect();
        assert_eq!(calls, (1..=u128::from(stored)).collect::<Vec<_>>());
        let cursors: Vec<u64> =
            store.events_since(0, u32::MAX).unwrap().iter().map(|event| event.cursor).collect();
        assert_eq!(cursors, (1..=stored).collect::<Vec<_>>());
    }
}
