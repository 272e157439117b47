//! Full disks, held locks, long logs.

use crate::support::{House, NOW, PATIENCE, event, large, new_lead, until_healthy};
use dialer_core::event::Event;
use rusqlite::Connection;
use store::{Durable, Fault, ImportOptions, LeadQuery, Store};

#[test]
fn a_full_disk_loses_nothing() {
    let house = House::new();
    let list = house.list(1);
    let size = std::fs::metadata(house.path()).unwrap().len();
    // The database may still be in its log: its true size is no more than both.
    let size = size.max(house.store.stats().journal_bytes);
    house.store.set_size_max(size + 400_000).unwrap();
    let mut last = 0;
    let mut appended = 0;
    let unhealthy = loop {
        appended += 1;
        house.append(vec![large(appended)]);
        match house.news() {
            Durable::UpTo(seq) => last = seq,
            other => break other,
        }
        assert!(appended < 10_000, "the limit is not held");
    };
    assert!(matches!(unhealthy, Durable::Unhealthy { fault: Some(Fault::Full), .. }), "{unhealthy:?}");
    assert!(!house.store.healthy());
    assert!(house.store.stats().failure.is_some());
    // What comes meanwhile waits; what is stored can be read; other writes say why they fail.
    for _ in 0..20 {
        appended += 1;
        house.append(vec![large(appended)]);
    }
    assert_eq!(house.store.stats().queue_appends, 21);
    assert!(!house.store.flush(sansio::Duration::ZERO));
    assert_eq!(house.store.load(NOW).unwrap().last_cursor, appended - 21);
    let rows = (0..5_000).map(new_lead).collect();
    let refused = house.store.import_leads(list, rows, &ImportOptions::default()).unwrap_err();
    assert_eq!(refused.fault(), Some(Fault::Full), "{refused:?}");
    house.store.set_size_max(1 << 40).unwrap();
    let last = until_healthy(&house, last);
    assert!(house.store.flush(PATIENCE));
    assert!(house.store.healthy());
    assert!(house.store.stats().failed_commits > 0);
    assert_eq!(house.store.stats().failure, None);
    assert!(last >= appended - 21);
    let cursors: Vec<u64> =
        house.store.events_since(0, u32::MAX).unwrap().iter().map(|event| event.cursor).collect();
    assert_eq!(cursors, (1..=appended).collect::<Vec<_>>());
    let size: i64 = Connection::open(house.path())
        .unwrap()
        .query_row("SELECT sum(n) FROM lead_count", [], |row| Ok(row.get(0).unwrap_or(0)))
        .unwrap();
    let leads =
        house.store.load_leads(&LeadQuery { lists: vec![list], limit: 9_999, ..LeadQuery::default() });
    assert_eq!(leads.unwrap().leads.len() as i64, size, "counts match what the import kept");
}

#[test]
fn a_held_lock_is_waited_out() {
    let house = House::new();
    let other = Connection::open(house.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let seq = house.append(vec![large(1)]);
    house.append(vec![large(2)]);
    let news = house.news();
    assert!(matches!(news, Durable::Unhealthy { fault: Some(Fault::Locked), .. }), "{news:?}");
    assert!(!house.store.healthy());
    other.execute_batch("ROLLBACK").unwrap();
    assert!(until_healthy(&house, 0) >= seq);
    assert!(house.store.flush(PATIENCE));
    assert_eq!(house.store.load(NOW).unwrap().last_cursor, 2);
}

#[test]
fn the_log_is_cut_when_it_grows() {
    let house = House::with(|options| options.wal_bytes_max = 1 << 20);
    for round in 0..40 {
        for cursor in 1..=300 {
            house.append(vec![large(round * 300 + cursor)]);
        }
        assert!(house.store.flush(PATIENCE));
    }
    // 12,000 events of 5 kB are 60 MB. Each commit of at most 300 of them may pass the limit once.
    let stats = house.store.stats();
    assert!(stats.journal_bytes > 60_000_000, "{stats:?}");
    assert!(stats.wal_bytes < 20_000_000, "{stats:?}");
}

/// The database is moved away, or its log is: nothing is written to a file that nobody will find, and that is told; what
/// waits is written when it is back.
#[test]
fn a_file_that_is_gone_is_told_and_nothing_is_lost_when_it_is_back() {
    for suffix in ["", "-wal"] {
        let house = House::new();
        house.write(vec![event(1, Event::AgentLoggedIn)]);
        let mut file = house.path().into_os_string();
        file.push(suffix);
        let aside = house.path().with_file_name("aside");
        std::fs::rename(&file, &aside).unwrap();
        let seq = house.append(vec![event(2, Event::AgentLoggedIn)]);
        let unhealthy = loop {
            match house.news() {
                Durable::UpTo(durable) => {
                    assert!(durable < seq, "{durable} is written where nobody finds it")
                }
                other => break other,
            }
        };
        let Durable::Unhealthy { fault: Some(Fault::Io), detail } = unhealthy else {
            panic!("{unhealthy:?}")
        };
        assert!(detail.contains("is gone"), "{detail}");
        assert!(!house.store.healthy());
        // Another file in its place is not taken for it.
        std::fs::write(&file, b"another").unwrap();
        house.append(vec![event(3, Event::AgentLoggedIn)]);
        assert!(!house.store.flush(sansio::Duration::from_millis(300)));
        std::fs::rename(&aside, &file).unwrap();
        until_healthy(&house, 0);
        assert!(house.store.flush(PATIENCE));
        let house = house.reopen();
        let cursors: Vec<u64> =
            house.store.events_since(0, 9).unwrap().iter().map(|event| event.cursor).collect();
        assert_eq!(cursors, [1, 2, 3], "{suffix:?}");
    }
}
