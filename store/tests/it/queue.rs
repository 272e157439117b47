//! The writer and its queue, over any store.

use super::support::{Ground, House, NOW, PATIENCE, at, id, large, new_lead};
use dialer_core::Record;
use std::sync::mpsc::{channel, sync_channel};
use store::{Durable, ImportOptions, Options, Store};

#[test]
fn a_record_that_cannot_be_written_is_set_aside_and_stops_nothing() {
    let house = House::new();
    house.folder.sql("DROP TABLE wrap_up").unwrap();
    house.append(vec![large(1), Record::WrapUpEnded { call: id(7), wrap_up_ms: 5 }, large(2)]);
    house.append(vec![large(3)]);
    assert!(house.store.flush(PATIENCE));
    assert!(house.store.healthy());
    assert_eq!(house.store.stats().rejected, 1);
    assert_eq!(house.store.load(NOW).unwrap().last_cursor, 3);
    let kept = house.folder.sql("SELECT seq, data FROM rejected").unwrap();
    assert!(kept.starts_with("1|") && kept.contains("wrap_up_ended"), "{kept}");
}

/// A store whose writer stops in its first callback until it is let go, one append per transaction.
fn held(queue_max: u64, hard_max: u64) -> (impl Store, impl Ground, impl Fn(), impl Fn() -> Durable) {
    let (hold, held) = sync_channel::<()>(0);
    let (tell, told) = channel();
    let options = Options {
        queue_records_max: queue_max,
        queue_records_hard_max: hard_max,
        batch_records_max: 1,
        ..Options::new(Box::new(move |news| {
            let first = news == Durable::UpTo(1);
            let _ = tell.send(news);
            if first {
                let _ = held.recv();
            }
        }))
    };
    let (store, folder) = House::bare(options);
    let go = move || hold.send(()).unwrap();
    (store, folder, go, move || told.recv_timeout(PATIENCE).unwrap())
}

#[test]
fn a_long_queue_is_told_and_so_is_its_end() {
    let (store, _folder, go, news) = held(10, 1_000);
    store.append(1, vec![large(1)]);
    assert_eq!(news(), Durable::UpTo(1));
    for seq in 2..=30 {
        store.append(seq, vec![large(seq)]);
    }
    assert!(!store.healthy());
    assert_eq!(store.stats().queue_records, 30, "what is being told counts until it is told");
    go();
    let mut unhealthy = 0;
    let mut last = 1;
    loop {
        match news() {
            Durable::UpTo(seq) => {
                assert_eq!(seq, last + 1);
                last = seq;
            }
            Durable::Unhealthy { fault, .. } => {
                assert_eq!(fault, None);
                unhealthy += 1;
            }
            Durable::Healthy => break,
        }
    }
    assert_eq!((unhealthy, last), (1, 25), "well again at half of the limit");
    assert!(store.flush(PATIENCE));
    assert!(store.healthy());
}

#[test]
fn at_the_hard_limit_an_append_waits() {
    let (store, _folder, go, news) = held(2, 5);
    store.append(1, vec![large(1)]);
    assert_eq!(news(), Durable::UpTo(1));
    std::thread::scope(|scope| {
        let appender = scope.spawn(|| (2..=100).for_each(|seq| store.append(seq, vec![large(seq)])));
        while store.stats().queue_records < 5 {
            std::thread::yield_now();
        }
        go();
        while !appender.is_finished() {
            assert!(store.stats().queue_records <= 5);
            std::thread::yield_now();
        }
    });
    assert!(store.flush(PATIENCE));
    assert_eq!(store.load(NOW).unwrap().last_cursor, 100);
}

#[test]
fn readers_see_whole_transactions_while_the_writer_writes() {
    const TRANSACTIONS: u64 = 400;
    let house = House::with(|options| options.batch_records_max = 8);
    let list = house.list(1);
    std::thread::scope(|scope| {
        let appender = scope.spawn(|| {
            for pair in 0..TRANSACTIONS {
                house.append(vec![large(2 * pair + 1), large(2 * pair + 2)]);
            }
        });
        let importer = scope.spawn(|| house.import(list, (0..4_000).map(new_lead).collect()).len());
        let readers: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let (mut before, mut counted_before) = (0, 0);
                    loop {
                        let cursor = house.store.load(NOW).unwrap().last_cursor;
                        assert!(cursor >= before && cursor.is_multiple_of(2), "{before} then {cursor}");
                        let counted = house.store.lead_counts(list).unwrap().new;
                        assert!(counted >= counted_before && counted <= 4_000, "{counted}");
                        counted_before = counted;
                        before = cursor;
                        if cursor == 2 * TRANSACTIONS {
                            break;
                        }
                    }
                })
            })
            .collect();
        appender.join().unwrap();
        assert_eq!(importer.join().unwrap(), 4_000);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    let stats = house.store.stats();
    assert_eq!(stats.appends, TRANSACTIONS + 1);
    assert_eq!(stats.records, 2 * TRANSACTIONS + 1);
    assert_eq!((stats.queue_appends, stats.queue_records, stats.import_rows), (0, 0, 4_000));
    assert!(stats.commits.count() > 0 && stats.commits.count() <= TRANSACTIONS + 1);
}

#[test]
fn a_refused_import_leaves_the_appends_beside_it_alone() {
    const ROUNDS: u64 = 100;
    let house = House::new();
    let list = house.list(1);
    let options = ImportOptions { now: NOW, ..ImportOptions::default() };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (1..=ROUNDS).for_each(|cursor| {
                house.append(vec![large(cursor)]);
            })
        });
        for round in 0..ROUNDS {
            let rows = vec![new_lead(round)];
            assert!(house.store.import_leads(id(2), rows.clone(), &options).is_err());
            assert_eq!(house.store.import_leads(list, rows, &options).unwrap().len(), 1);
        }
    });
    assert!(house.store.flush(PATIENCE));
    assert_eq!(house.store.load(NOW).unwrap().last_cursor, ROUNDS);
    assert_eq!(house.store.lead_counts(list).unwrap().total(), ROUNDS);
    let stats = house.store.stats();
    assert_eq!((stats.failed_commits, stats.rejected, stats.import_rows), (0, 0, ROUNDS));
}

#[test]
fn closing_writes_what_is_queued() {
    let house = House::new();
    for cursor in 1..=200 {
        house.append(vec![large(cursor)]);
    }
    let house = house.reopen();
    assert_eq!(house.store.load(at(0)).unwrap().last_cursor, 200);
}
