//! What is PostgreSQL's own: who may have a schema, and what happens when the server or the way to it breaks.

use crate::support::{Ground, HouseOf, NOW, PATIENCE, Schema, attempt, event, id, server};
use dialer_core::Record;
use dialer_core::event::Event;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use store::server::Server;
use store::{Durable, Fault, Options, Place, PostgresStore, Store, StoreError};

type House = HouseOf<Schema>;

fn transaction(seq: u64) -> Vec<Record> {
    vec![
        Record::AttemptStarted(attempt(id(u128::from(seq)), None)),
        event(seq, Event::CallDialing { to: "+1".into(), caller_id: None, trunk: id(1), attempt: 1 }),
    ]
}

/// Whole transactions, none left out, none twice.
fn assert_whole(store: &impl Store, last: u64) {
    let cursors: Vec<u64> =
        store.events_since(0, u32::MAX).unwrap().iter().map(|event| event.cursor).collect();
    assert_eq!(cursors, (1..=last).collect::<Vec<_>>());
    let snapshot = store.load(NOW).unwrap();
    let calls: Vec<u128> = snapshot.open_attempts.iter().map(|(open, _)| open.call.to_bits()).collect();
    assert_eq!(calls, (1..=u128::from(last)).collect::<Vec<_>>());
    // Written a second time, a transaction would contradict itself.
    assert_eq!((store.stats().contradictions, store.stats().rejected), (0, 0));
}

fn options() -> (Options, Receiver<Durable>) {
    let (tell, told) = channel();
    let options = Options::new(Box::new(move |news| {
        // The test may be over.
        let _ = tell.send(news);
    }));
    (Options { readers: 1, ..options }, told)
}

fn next(told: &Receiver<Durable>) -> Durable {
    told.recv_timeout(PATIENCE).expect("the store tells something")
}

#[test]
fn a_schema_has_one_owner() {
    let house = House::new();
    house.write(transaction(1));
    let error = house.folder.open(options().0).err().expect("it is in use");
    assert!(matches!(error, StoreError::Held { by: Some(_), .. }), "{error:?}");
    let words = error.to_string();
    assert!(words.contains(&format!("schema={} is in use by dialerd", house.folder.name)), "{words}");
    // Another schema of the same database is another store.
    let other = House::new();
    assert_eq!(other.store.load(NOW).unwrap().last_cursor, 0);
    assert_whole(&house.reopen().store, 1);
}

#[test]
fn a_newer_schema_and_one_of_another_program_are_refused() {
    let House { store, folder, .. } = House::new();
    drop(store);
    folder.sql("UPDATE dialerd_schema SET version = version + 1").unwrap();
    let error = folder.open(options().0).err().expect("it is newer");
    assert!(matches!(error, StoreError::NewerSchema { .. }), "{error:?}");
    folder.sql("UPDATE dialerd_schema SET version = version - 1").unwrap();
    folder.open(options().0).unwrap();

    let theirs = <Schema as Ground>::new();
    theirs.sql(&format!("CREATE SCHEMA {0}; CREATE TABLE {0}.theirs (a int)", theirs.name)).unwrap();
    let error = theirs.open(options().0).err().expect("it is theirs");
    assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");
    let tables = theirs.sql(&format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{}'", theirs.name));
    assert_eq!(tables.unwrap(), "1");
}

#[test]
fn evidence_cannot_be_changed() {
    let house = House::new();
    let entry = dialer_core::record::LedgerEntry { campaign: id(1), call: id(1), at: NOW, abandoned: true };
    house.write(vec![Record::Ledger(entry)]);
    for sql in [
        "UPDATE ledger SET abandoned = 0",
        "DELETE FROM ledger",
        "TRUNCATE ledger",
        "UPDATE audit SET at = 0",
    ] {
        let refused = house.folder.sql(sql).unwrap_err();
        assert!(refused.contains("append-only"), "{sql}: {refused}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().display().to_string().replace('/', "%2F");
    let place = Place::new(&format!("postgresql://a@{socket}/calls"), None, None, None).unwrap();
    let error = PostgresStore::open(place, options().0).err().expect("nobody is there");
    assert_eq!(error.fault(), Some(Fault::Io), "{error:?}");
}

#[test]
fn a_text_with_a_nul_is_no_reason_to_stop() {
    let house = House::new();
    house.write(vec![Record::DispositionSet {
        call: id(1),
        code: "a\0b".into(),
        notes: None,
        callback_at: None,
        callback_by_agent: false,
        fields: [("order".to_owned(), "1\u{0}2".to_owned())].into(),
        at: NOW,
    }]);
    assert_eq!(house.store.stats().rejected, 0);
    assert_eq!(house.folder.sql("SELECT code FROM disposition").unwrap(), "a\u{fffd}b");
}

/// The server loses its power again and again while appends come in; each time it comes back.
#[test]
fn a_server_that_breaks_down_in_the_middle_loses_nothing() {
    const ROUNDS: u64 = 4;
    const EACH: u64 = 300;
    let server = Server::start(&[]).unwrap_or_else(|why| panic!("{why}"));
    let (options, told) = options();
    let store =
        PostgresStore::open(server.place("dialerd"), Options { batch_records_max: 16, ..options }).unwrap();
    let mut last = 0;
    let mut durable = 0;
    for round in 1..=ROUNDS {
        let until = round * EACH;
        (last + 1..=until).for_each(|seq| store.append(seq, transaction(seq)));
        last = until;
        // Somewhere in the middle of them.
        while durable < until - EACH + 20 * round {
            match next(&told) {
                Durable::UpTo(seq) => {
                    assert!(seq > durable);
                    durable = seq;
                }
                other => panic!("{other:?}"),
            }
        }
        server.stop().unwrap();
        // While it is gone something new always waits, so that it is told.
        last += 1;
        store.append(last, transaction(last));
        loop {
            match next(&told) {
                Durable::UpTo(seq) => durable = seq,
                Durable::Unhealthy { fault, .. } => break assert_eq!(fault, Some(Fault::Io)),
                Durable::Healthy => panic!("it was never told ill"),
            }
        }
        assert!(!store.healthy() && !store.flush(Duration::ZERO));
        assert!(store.load(NOW).is_err(), "a question fails instead of waiting");
        server.resume().unwrap();
        loop {
            match next(&told) {
                Durable::UpTo(seq) => durable = seq,
                // A server that is still recovering says so.
                Durable::Unhealthy { .. } => panic!("told twice"),
                Durable::Healthy => break,
            }
        }
        assert!(store.flush(PATIENCE) && store.healthy());
        while durable < last {
            match next(&told) {
                Durable::UpTo(seq) => durable = seq,
                other => panic!("{other:?}"),
            }
        }
        assert_whole(&store, last);
    }
    assert!(store.stats().failed_commits >= ROUNDS);
}

/// The writer's server process is ended in the middle, again and again; the server lives.
#[test]
fn a_session_that_is_ended_in_the_middle_loses_nothing() {
    const LAST: u64 = 3_000;
    const ENDINGS: u64 = 12;
    let house = House::with(|options| options.batch_records_max = 8);
    let kill = format!(
        "SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid \
         WHERE l.locktype = 'advisory' AND l.granted \
         AND CAST(CAST(l.objid AS INT8) AS BIT(32)) = CAST(CAST(hashtext('{}') AS INT8) AS BIT(32))",
        house.folder.name
    );
    (1..=LAST).for_each(|seq| assert_eq!(house.append(transaction(seq)), seq));
    let mut ended = 0;
    for ending in 1..=ENDINGS {
        // Each time after some progress.
        while house.store.stats().appends < ending * LAST / (2 * ENDINGS) {
            std::thread::yield_now();
        }
        ended += house.folder.sql(&kill).unwrap().parse::<u64>().unwrap();
    }
    assert!(house.store.flush(PATIENCE));
    assert!(ended > 0, "no session was ended; the test shows nothing");
    let mut last = 0;
    while last < LAST {
        if let Durable::UpTo(seq) = house.news() {
            assert!(seq > last);
            last = seq;
        }
    }
    assert_whole(&house.store, LAST);
}

/// A way to the test's server that can be cut.
struct Way {
    folder: tempfile::TempDir,
    /// The next answer to a COMMIT is lost, and the connection with it.
    lose_commit: Arc<AtomicBool>,
    /// Nobody gets through.
    cut: Arc<AtomicBool>,
}

impl Way {
    fn new() -> Way {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let (lose_commit, cut) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (lose, cut_here) = (Arc::clone(&lose_commit), Arc::clone(&cut));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                if cut_here.load(Ordering::Acquire) {
                    continue;
                }
                let there = UnixStream::connect(socket_of(server())).unwrap();
                let (lose, cut, cut_up) = (Arc::clone(&lose), Arc::clone(&cut_here), Arc::clone(&cut_here));
                let (client_read, there_write) = (client.try_clone().unwrap(), there.try_clone().unwrap());
                std::thread::spawn(move || {
                    pass(client_read, there_write, |_| !cut_up.load(Ordering::Acquire))
                });
                std::thread::spawn(move || {
                    pass(there, client, move |bytes| {
                        let commit = bytes.windows(7).any(|seven| seven == b"COMMIT\0");
                        !(cut.load(Ordering::Acquire) || commit && lose.swap(false, Ordering::AcqRel))
                    });
                });
            }
        });
        Way { folder, lose_commit, cut }
    }

    fn place(&self, schema: &str) -> Place {
        let socket = self.folder.path().display().to_string().replace('/', "%2F");
        Place::new(&format!("postgresql://dialerd@{socket}/postgres"), None, Some(schema), None).unwrap()
    }
}

fn socket_of(server: &Server) -> PathBuf {
    let url = server.url();
    let folder = url.split(['@', '/']).nth(3).unwrap().replace("%2F", "/");
    Path::new(&folder).join(".s.PGSQL.5432")
}

/// Passes bytes on as long as both sides live and `may` agrees; then ends both.
fn pass(mut from: UnixStream, mut to: UnixStream, may: impl Fn(&[u8]) -> bool) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count) = from.read(&mut bytes) {
        if count == 0 || !may(&bytes[..count]) || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[test]
fn a_commit_whose_answer_is_lost_is_not_done_again() {
    let (way, schema) = (Way::new(), <Schema as Ground>::new());
    let (options, told) = options();
    let store = PostgresStore::open(way.place(&schema.name), options).unwrap();
    store.append(1, transaction(1));
    assert_eq!(next(&told), Durable::UpTo(1));
    for seq in 2..=20 {
        way.lose_commit.store(true, Ordering::Release);
        store.append(seq, transaction(seq));
        loop {
            match next(&told) {
                Durable::UpTo(up_to) => break assert_eq!(up_to, seq),
                Durable::Unhealthy { fault, .. } => assert_eq!(fault, Some(Fault::Io)),
                Durable::Healthy => {}
            }
        }
        assert!(!way.lose_commit.load(Ordering::Acquire), "the answer was not lost; the test shows nothing");
    }
    assert_whole(&store, 20);
    assert!(store.stats().failed_commits > 0);
}

#[test]
fn a_daemon_whose_schema_was_taken_meanwhile_never_writes_again() {
    let (way, schema) = (Way::new(), <Schema as Ground>::new());
    let (first_options, told) = options();
    let first = PostgresStore::open(way.place(&schema.name), first_options).unwrap();
    first.append(1, transaction(1));
    assert_eq!(next(&told), Durable::UpTo(1));
    way.cut.store(true, Ordering::Release);
    first.append(2, transaction(2));
    assert!(matches!(next(&told), Durable::Unhealthy { .. }));
    // The server frees the lock when it notices that the way is cut; the second one waits for that.
    let second = schema.open(options().0).unwrap();
    assert_eq!(second.load(NOW).unwrap().last_cursor, 1);
    second.append(1, transaction(2));
    assert!(second.flush(PATIENCE));
    drop(second);
    way.cut.store(false, Ordering::Release);
    let failure = || first.stats().failure.unwrap_or_default();
    while !failure().contains("another daemon has taken the schema") {
        std::thread::yield_now();
    }
    assert!(!first.flush(Duration::ZERO) && !first.healthy());
    assert_eq!(schema.sql("SELECT max(cursor) FROM event").unwrap(), "2");
    let refused = first.put_idempotency(&store::IdempotencyRow {
        key: "a".into(),
        fingerprint: [1; 32],
        status: 200,
        content_type: "text/plain".into(),
        body: Vec::new(),
        at: NOW,
    });
    assert!(matches!(refused, Err(StoreError::TakenOver)), "{refused:?}");
}

/// Nothing is to be written, and yet it is noticed that the server is gone, and that it is back.
#[test]
fn an_idle_store_knows_how_its_server_is() {
    let (way, schema) = (Way::new(), <Schema as Ground>::new());
    let (options, told) = options();
    let store = PostgresStore::open(way.place(&schema.name), options).unwrap();
    way.cut.store(true, Ordering::Release);
    assert!(matches!(next(&told), Durable::Unhealthy { fault: Some(Fault::Io), .. }));
    assert!(!store.healthy());
    way.cut.store(false, Ordering::Release);
    assert_eq!(next(&told), Durable::Healthy);
    assert!(store.healthy());
    // Readers' connections were cut, too: they make new ones.
    assert_eq!(store.load(NOW).unwrap().last_cursor, 0);
}

const SCHEMA: &str = "STORE_TEST_CRASH_SCHEMA";
const URL: &str = "STORE_TEST_CRASH_URL";

/// The process that is killed: appends without end and prints what is durable. Does nothing in a normal test run.
#[test]
fn child() {
    let (Ok(schema), Ok(url)) = (std::env::var(SCHEMA), std::env::var(URL)) else { return };
    let tell = |news| {
        if let Durable::UpTo(seq) = news {
            let mut out = std::io::stdout().lock();
            writeln!(out, "durable {seq}").and_then(|()| out.flush()).expect("the parent reads");
        }
    };
    let options = Options { queue_records_hard_max: 64, readers: 1, ..Options::new(Box::new(tell)) };
    let store = PostgresStore::open(Place::new(&url, None, Some(&schema), None).unwrap(), options).unwrap();
    let first = store.load(NOW).unwrap().last_cursor + 1;
    for seq in first.. {
        store.append(seq, transaction(seq));
    }
}

#[test]
fn what_was_told_durable_survives_kill_9() {
    let schema = <Schema as Ground>::new();
    let mut stored = 0;
    for count in [1, 40, 300] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "postgres::child", "--nocapture", "--test-threads=1"])
            .envs([(SCHEMA, schema.name.as_str()), (URL, server().url().as_str())])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (mut acknowledged, mut killed) = (stored, false);
        for line in std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap())) {
            let line = line.unwrap();
            let Some((_, seq)) = line.split_once("durable ") else { continue };
            acknowledged = seq.trim().parse().unwrap();
            if acknowledged >= stored + count && !killed {
                child.kill().unwrap();
                killed = true;
            }
        }
        assert!(!child.wait().unwrap().success());
        assert!(killed, "the child ended by itself");
        // A lock that the dead one still has is waited for.
        let store = schema.open(options().0).unwrap();
        let last = store.load(NOW).unwrap().last_cursor;
        assert!(last >= acknowledged, "{last} < {acknowledged}");
        assert_whole(&store, last);
        stored = last;
    }
}
