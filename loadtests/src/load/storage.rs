//! The stores by themselves, on the disk of the temporary folder: how fast attempts become durable, how long a hopper waits for
//! leads of a long list, and how long a look at a long do-not-call list takes.

use super::daemon::Place;
use super::generator::quantile;
use super::import::number;
use super::process::resident_kib;
use super::report::{Report, Row};
use anyhow::{anyhow, ensure};
use dialer_core::compliance::DncList;
use dialer_core::config::{DialMode, DncListConfig, ListConfig};
use dialer_core::record::{AttemptRow, DncListRow, DncNumbers, ListRow, Phone};
use dialer_core::{CallId, DncListId, ListId, Record};
use sansio::{Rng, WallTime};
use serde_json::json;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use store::server::Server;
use store::{Durable, ImportOptions, LeadQuery, NewLead, Options, PostgresStore, SqliteStore, Store};

/// Attempts offered a second, to the embedded store and to one in PostgreSQL, and for how long.
const ATTEMPTS_PER_S: u64 = 5_000;
const POSTGRES_ATTEMPTS_PER_S: u64 = 2_000;
const ATTEMPT_SECONDS: u64 = 10;
/// Attempts that are appended as fast as they are taken.
const ATTEMPTS_AT_ONCE: u64 = 50_000;
const DURABLE_MS_MAX: f64 = 20.0;
/// Leads that a hopper asks for, and how long it may wait.
const REFILL: u32 = 500;
const REFILLS: usize = 50;
const REFILL_MS_MAX: f64 = 50.0;
pub(super) const REOPEN_S_MAX: f64 = 5.0;
/// Rows given to the store at once.
const ROWS: u64 = 20_000;
/// Looks at the do-not-call list.
const LOOKS: u64 = 2_000_000;
const LOOK_NS_MAX: f64 = 1_000.0;
/// Some time in 2026.
const NOW: WallTime = WallTime::from_unix_millis(1_790_000_000_000);

/// All three.
///
/// # Errors
/// When the store fails.
pub fn run(report: &mut Report, place: &Place, leads: u64, numbers: u64) -> anyhow::Result<()> {
    let (options, told) = options();
    let store = SqliteStore::open(&place.folder.join("attempts.db"), options)?;
    attempts(report, &store, &told, ATTEMPTS_PER_S)?;
    drop(store);
    postgres(report)?;
    dnc(report, numbers)?;
    hopper(report, &place.folder.join("leads.db"), leads)
}

/// A PostgreSQL server of its own on this disk, as its package sets it: what is committed is synced.
fn postgres(report: &mut Report) -> anyhow::Result<()> {
    let server = Server::start(&[]).map_err(|why| anyhow!(why))?;
    let (options, told) = options();
    let store = PostgresStore::open(server.place("dialerd"), options)?;
    attempts(report, &store, &told, POSTGRES_ATTEMPTS_PER_S)
}

/// Options of a store that tells up to which append it is durable, and when.
fn options() -> (Options, Receiver<(u64, Instant)>) {
    let (tell, told) = channel();
    let on_durable = Box::new(move |durable| {
        if let Durable::UpTo(seq) = durable {
            // Who no longer listens does not want to know.
            let _ = tell.send((seq, Instant::now()));
        }
    });
    (Options::new(on_durable), told)
}

fn attempt(seq: u64, rng: &mut Rng) -> Vec<Record> {
    let id = u128::from(seq) << 64 | u128::from(rng.next_u64());
    vec![Record::AttemptStarted(AttemptRow {
        id: dialer_core::AttemptId::from_bits(id),
        call: CallId::from_bits(id),
        campaign: None,
        lead: None,
        agent: None,
        number_of_attempt: 1,
        to: format!("+{}", number(seq)),
        caller_id: Some("+12025550100".into()),
        trunk: dialer_core::TrunkId::from_bits(1),
        mode: Some(DialMode::Predictive),
        at: NOW.plus_millis(seq as i64),
        client_state: None,
        inbound: false,
        transit: false,
        verstat: None,
        participants: Vec::new(),
    })]
}

/// Attempts at a steady rate, each its own append: the wait of each until it is durable; then as many as it takes.
fn attempts(
    report: &mut Report,
    store: &impl Store,
    told: &Receiver<(u64, Instant)>,
    attempts_per_s: u64,
) -> anyhow::Result<()> {
    let kind = store.kind();
    let mut rng = Rng::from_seed(1);
    let count = attempts_per_s * ATTEMPT_SECONDS;
    let mut appended = Vec::with_capacity(count as usize);
    let begun = Instant::now();
    for seq in 1..=count {
        let due = begun + Duration::from_secs_f64(seq as f64 / attempts_per_s as f64);
        let early = due.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            std::thread::sleep(early);
        }
        appended.push(Instant::now());
        store.append(seq, attempt(seq, &mut rng));
    }
    ensure!(store.flush(Duration::from_secs(30)), "the store did not become durable");
    let mut waits = Vec::with_capacity(appended.len());
    let (mut commits, mut durable) = (0_u64, 0);
    while durable < count {
        let (seq, at) = told.recv_timeout(Duration::from_secs(5))?;
        commits += 1;
        let some = &appended[durable as usize..seq as usize];
        waits.extend(some.iter().map(|since| at.saturating_duration_since(*since).as_micros() as u32));
        durable = seq;
    }
    waits.sort_unstable();
    let at_once = Instant::now();
    for seq in count + 1..=count + ATTEMPTS_AT_ONCE {
        store.append(seq, attempt(seq, &mut rng));
    }
    ensure!(store.flush(Duration::from_secs(60)), "the store did not become durable");
    let most_per_s = ATTEMPTS_AT_ONCE as f64 / at_once.elapsed().as_secs_f64();
    let ms = |share| quantile(&waits, share).map_or(f64::NAN, |us| f64::from(us) / 1000.0);
    let (half, most) = (ms(0.5), ms(0.99));
    report.add(Row {
        name: format!("{attempts_per_s} durable attempts/s ({kind})"),
        more: json!({ "wait_p50_ms": half, "wait_p99_ms": most, "commits": commits,
                      "most_per_s": most_per_s.round() }),
        note: format!("half within {half:.1} ms, 99 of 100 within {most:.1} ms; at most {most_per_s:.0}/s"),
        ..Row::default()
    });
    report.check(
        format!("attempts ({kind}): durable in time"),
        most <= DURABLE_MS_MAX,
        format!("99 of 100 within {most:.1} ms, at most {DURABLE_MS_MAX}; {commits} commits for {count}"),
    );
    report.check(
        format!("attempts ({kind}): as many a second as promised"),
        most_per_s >= attempts_per_s as f64,
        format!("{most_per_s:.0}, at least {attempts_per_s}"),
    );
    Ok(())
}

/// Numbers of which every other is on the list, in no order.
fn dnc(report: &mut Report, numbers: u64) -> anyhow::Result<()> {
    let before = resident_kib(&[std::process::id()])?;
    let config = DncListConfig { name: "long".into(), everywhere: true, ..DncListConfig::default() };
    let mut list =
        DncList::new(DncListRow { id: DncListId::from_bits(1), config, version: 1, created_at: NOW });
    let mut at = 0;
    while at < numbers {
        let until = (at + ROWS).min(numbers);
        list.add(&DncNumbers { numbers: (at..until).map(number).collect(), ..DncNumbers::default() });
        at = until;
    }
    let asked: Vec<String> = (0..200_000)
        .map(|n: u64| format!("+{}", number(n.wrapping_mul(7_919) % (2 * numbers.max(1)))))
        .collect();
    let begun = Instant::now();
    let hits = (0..LOOKS).filter(|n| list.hits(&asked[*n as usize % asked.len()], NOW)).count();
    let each_ns = begun.elapsed().as_nanos() as f64 / LOOKS as f64;
    let mib = resident_kib(&[std::process::id()])?.saturating_sub(before) as f64 / 1024.0;
    report.add(Row {
        name: format!("{numbers} numbers not to call"),
        more: json!({ "look_ns": each_ns.round(), "resident_mib": mib.round(), "hits": hits, "looks": LOOKS }),
        note: format!("{each_ns:.0} ns a look, {mib:.0} MiB"),
        ..Row::default()
    });
    report.check(
        "do-not-call list: a look",
        each_ns <= LOOK_NS_MAX && hits > 0 && hits < LOOKS as usize,
        format!("{each_ns:.0} ns, at most {LOOK_NS_MAX}; {hits} of {LOOKS} looks hit"),
    );
    Ok(())
}

fn lead(n: u64) -> NewLead {
    let phone = format!("+{}", number(n));
    NewLead {
        external_id: Some(format!("crm-{n}")),
        phones: vec![Phone { raw: phone.clone(), number: phone, kind: None }],
        priority: (n % 5) as i32,
        time_zone: Some("America/New_York".into()),
        ..NewLead::default()
    }
}

/// Makes a store with so many leads in one list, without the API before it. The list, and rows a second.
pub(super) fn fill(path: &Path, leads: u64) -> anyhow::Result<(ListId, f64)> {
    let store = SqliteStore::open(path, options().0)?;
    let list = ListId::from_bits(1);
    let config = ListConfig { name: "people".into(), ..ListConfig::default() };
    store.append(1, vec![Record::ListPut(ListRow { id: list, config, version: 1, created_at: NOW })]);
    ensure!(store.flush(Duration::from_secs(30)), "the store did not become durable");
    let begun = Instant::now();
    let mut at = 0;
    while at < leads {
        let until = (at + ROWS).min(leads);
        store.import_leads(
            list,
            (at..until).map(lead).collect(),
            &ImportOptions { now: NOW, ..ImportOptions::default() },
        )?;
        at = until;
    }
    Ok((list, leads as f64 / begun.elapsed().as_secs_f64()))
}

/// A long list in the store: how fast it is written, how long the next leads of it take, and how long a start.
fn hopper(report: &mut Report, path: &Path, leads: u64) -> anyhow::Result<()> {
    let (list, rows_per_s) = fill(path, leads)?;
    let begun = Instant::now();
    let store = SqliteStore::open(path, options().0)?;
    let snapshot = store.load(NOW)?;
    let reopen_s = begun.elapsed().as_secs_f64();
    ensure!(snapshot.lists.len() == 1, "the list is gone");
    let mut exclude = Vec::new();
    let mut waits = Vec::with_capacity(REFILLS);
    for _ in 0..REFILLS {
        let query = LeadQuery {
            lists: vec![list],
            limit: REFILL,
            due_at: NOW.plus_millis(60_000),
            exclude: exclude.clone(),
            ..LeadQuery::default()
        };
        let begun = Instant::now();
        let loaded = store.load_leads(&query)?;
        waits.push(begun.elapsed().as_micros() as u32);
        ensure!(loaded.leads.len() == REFILL as usize, "only {} leads came", loaded.leads.len());
        // What is in the hopper is left out of the next look, as the dialer does it.
        exclude = loaded.leads.iter().map(|lead| lead.id).collect();
    }
    waits.sort_unstable();
    let ms = |share| quantile(&waits, share).map_or(f64::NAN, |us| f64::from(us) / 1000.0);
    let (half, most) = (ms(0.5), ms(1.0));
    report.add(Row {
        name: format!("{leads} leads in one list"),
        more: json!({ "refill_p50_ms": half, "refill_max_ms": most, "reopen_s": reopen_s,
                      "rows_per_s": rows_per_s.round() }),
        note: format!(
            "refill of {REFILL} half {half:.1} ms, at most {most:.1} ms; start {reopen_s:.2} s; {rows_per_s:.0} rows/s in"
        ),
        ..Row::default()
    });
    report.check(
        "hopper: refill",
        most <= REFILL_MS_MAX,
        format!("longest of {REFILLS}: {most:.1} ms, at most {REFILL_MS_MAX}"),
    );
    report.check(
        "leads: start",
        reopen_s <= REOPEN_S_MAX,
        format!("{reopen_s:.2} s until the store is read, at most {REOPEN_S_MAX}"),
    );
    Ok(())
}
