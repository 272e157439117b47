//! Measures the embedded store and prints its figures. Takes the number of leads and, if wanted, a folder on the
//! disk to be measured: `cargo run --release -p store --example throughput -- 1000000 /var/tmp/measure`

use dialer_core::config::{DialMode, ListConfig};
use dialer_core::event::{Event, EventEnvelope};
use dialer_core::id::{Id, Kind};
use dialer_core::record::{AttemptRow, LeadProgress, LeadState, ListRow, Phone};
use dialer_core::{LeadId, ListId, Record};
use sansio::WallTime;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use store::{Durable, ImportOptions, ImportVerdict, LeadQuery, NewLead, Options, SqliteStore, Store};

const NOW: WallTime = WallTime::from_unix_millis(1_790_000_000_000);
const IMPORT_BATCH: u64 = 5_000;

/// When each append became durable.
#[derive(Default)]
struct Clock {
    appended: Mutex<BTreeMap<u64, Instant>>,
    waits_us: Mutex<Vec<u64>>,
    durable: AtomicU64,
}

impl Clock {
    fn durable(&self, seq: u64) {
        let now = Instant::now();
        let mut appended = self.appended.lock().expect("no panic while held");
        let rest = appended.split_off(&(seq + 1));
        let done = std::mem::replace(&mut *appended, rest);
        drop(appended);
        let waits = done.values().map(|at| now.duration_since(*at).as_micros() as u64);
        self.waits_us.lock().expect("no panic while held").extend(waits);
        self.durable.store(seq, Ordering::Release);
    }
}

struct Bench {
    store: SqliteStore,
    clock: Arc<Clock>,
    seq: AtomicU64,
    leads: Vec<LeadId>,
}

/// CPU time of this process so far (all threads): tells the cost also where other work shares the machine.
fn cpu_us() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name: state is the first field, user and system time (in hundredths of a second) the 12th and 13th.
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) * 1e4
}

fn id<K: Kind>(number: u64) -> Id<K> {
    Id::from_bits(u128::from(number) << 64 | u128::from(number.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}

impl Bench {
    fn open(path: &Path) -> Bench {
        let clock = Arc::new(Clock::default());
        let told = Arc::clone(&clock);
        let options = Options::new(Box::new(move |news| match news {
            Durable::UpTo(seq) => told.durable(seq),
            other => println!("{other:?}"),
        }));
        let store = SqliteStore::open(path, options).expect("the store opens");
        Bench { store, clock, seq: AtomicU64::new(0), leads: Vec::new() }
    }

    /// What a dialled lead journals before its INVITE: the attempt, the lead's state, an event.
    fn attempt(&self) {
        let seq = self.seq.fetch_add(1, Ordering::Relaxed) + 1;
        let lead = self.leads.get((seq as usize * 7_919) % self.leads.len().max(1)).copied();
        let mut records = vec![Record::AttemptStarted(AttemptRow {
            id: id(seq),
            call: id(seq),
            campaign: Some(id(1)),
            lead,
            agent: None,
            number_of_attempt: 1,
            to: "+8613800138000".into(),
            caller_id: Some("+862155550000".into()),
            trunk: id(1),
            mode: Some(DialMode::Predictive),
            at: NOW,
            client_state: None,
            inbound: false,
            transit: false,
            verstat: None,
            participants: Vec::new(),
        })];
        records.extend(lead.map(|lead| {
            Record::LeadChanged(LeadProgress {
                state: LeadState::Dialing,
                attempts: 1,
                last_attempt_at: Some(NOW),
                ..LeadProgress::fresh(lead)
            })
        }));
        records.push(Record::Event(Box::new(EventEnvelope {
            id: id(seq),
            cursor: seq,
            seq: Some(1),
            occurred_at: NOW,
            call: Some(id(seq)),
            campaign: Some(id(1)),
            lead,
            agent: None,
            tenant: None,
            client_state: None,
            post_call: false,
            event: Event::CallCreated { to: "+8613800138000".into(), mode: Some(DialMode::Predictive) },
        })));
        self.clock.appended.lock().expect("no panic while held").insert(seq, Instant::now());
        self.store.append(seq, records);
    }

    /// Appends at a steady rate, or as fast as `in_flight` allows.
    fn journal(&self, name: &str, rate: Option<f64>, in_flight: u64, time: Duration) {
        self.clock.waits_us.lock().expect("no panic while held").clear();
        let commits = self.store.stats().commits.count();
        let cpu = cpu_us();
        let (began, first) = (Instant::now(), self.seq.load(Ordering::Relaxed));
        while began.elapsed() < time {
            let made = self.seq.load(Ordering::Relaxed);
            let due = rate.map_or(u64::MAX, |rate| (began.elapsed().as_secs_f64() * rate) as u64);
            if made - first < due && made - self.clock.durable.load(Ordering::Acquire).max(first) < in_flight
            {
                self.attempt();
            } else {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        self.store.flush(Duration::from_secs(60));
        let took = began.elapsed().as_secs_f64();
        let mut waits = std::mem::take(&mut *self.clock.waits_us.lock().expect("no panic while held"));
        waits.sort_unstable();
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize] as f64 / 1e3;
        let commits = self.store.stats().commits.count() - commits;
        println!(
            "{name:<44} {:>9.0}/s {:>6.1} us CPU   wait p50 {:>6.2} p99 {:>6.2} max {:>7.2} ms   {:>5.1} per commit",
            waits.len() as f64 / took,
            (cpu_us() - cpu) / waits.len() as f64,
            at(0.5),
            at(0.99),
            at(1.0),
            waits.len() as f64 / commits.max(1) as f64,
        );
    }

    fn import(&self, list: ListId, from: u64, rows: u64) -> Vec<LeadId> {
        let mut leads = Vec::new();
        for start in (from..from + rows).step_by(IMPORT_BATCH as usize) {
            let batch = (start..(start + IMPORT_BATCH).min(from + rows)).map(new_lead).collect();
            let options = ImportOptions { now: NOW, ..ImportOptions::default() };
            let verdicts = self.store.import_leads(list, batch, &options).expect("the import works");
            leads.extend(verdicts.into_iter().filter_map(|verdict| match verdict {
                ImportVerdict::Accepted { lead } => Some(lead),
                _ => None,
            }));
        }
        leads
    }
}

fn new_lead(number: u64) -> NewLead {
    // Owners count their rows; numbers are spread over the number space.
    let external_id = Some(format!("crm-{number:09}"));
    let number = 10_000_000_000 + number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 9_999_999_967;
    NewLead {
        external_id,
        phones: vec![Phone {
            number: format!("+86{number}"),
            raw: format!("{number}"),
            kind: Some("mobile".into()),
        }],
        priority: (number % 3) as i32,
        time_zone: Some("Asia/Shanghai".into()),
        fields: BTreeMap::from([("name".into(), "王先生".into()), ("city".into(), "上海".into())]),
        expires_at: None,
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let rows: u64 = args.next().map_or(1_000_000, |text| text.parse().expect("a number of leads"));
    let kept = args.next().map(PathBuf::from);
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = kept.as_deref().unwrap_or(temporary.path());
    let mut bench = Bench::open(&folder.join("measure.db"));
    let list = id(1);
    bench.store.append(
        0,
        vec![Record::ListPut(ListRow {
            id: list,
            config: ListConfig::default(),
            version: 1,
            created_at: NOW,
        })],
    );
    bench.store.flush(Duration::from_secs(60));

    let measured = |name: &str, rows: u64| {
        let (began, cpu) = (Instant::now(), cpu_us());
        let leads = bench.import(list, 0, rows);
        println!(
            "{name:<44} {:>9.0}/s {:>6.1} us CPU",
            rows as f64 / began.elapsed().as_secs_f64(),
            (cpu_us() - cpu) / rows as f64
        );
        leads
    };
    let leads = measured(&format!("import of {rows} rows"), rows);
    measured("import of known rows", rows.min(200_000));
    bench.leads = leads;

    let five = Duration::from_secs(5);
    bench.journal("attempts, one at a time", None, 1, five);
    bench.journal("attempts, 64 under way", None, 64, five);
    bench.journal("attempts, 1,024 under way", None, 1_024, five);
    bench.journal("attempts, 5,000 per second", Some(5_000.0), u64::MAX, five);
    std::thread::scope(|scope| {
        let importing = scope.spawn(|| {
            let began = Instant::now();
            let rows = bench.import(list, rows, 200_000).len() as u64;
            rows as f64 / began.elapsed().as_secs_f64()
        });
        bench.journal("attempts, 1,000 per second beside an import", Some(1_000.0), u64::MAX, five);
        println!("{:<44} {:>9.0}/s", "the import beside it", importing.join().expect("it works"));
    });

    for limit in [100, 1_000] {
        let query =
            LeadQuery { lists: vec![list], limit, due_at: NOW, exclude: Vec::new(), ..LeadQuery::default() };
        let began = Instant::now();
        let found = bench.store.load_leads(&query).expect("they load").leads.len();
        println!("{found} leads for the hopper {:>27.2} ms", began.elapsed().as_secs_f64() * 1e3);
    }
    let began = Instant::now();
    let funnel = bench.store.funnel(&[list], NOW, 6).expect("it counts");
    println!("the funnel of {} leads {:>23.2} ms", funnel.total, began.elapsed().as_secs_f64() * 1e3);
    let stats = bench.store.stats();
    println!("database {} MB, of which log {} MB", stats.journal_bytes >> 20, stats.wal_bytes >> 20);
    let path = folder.join("measure.db");
    drop(bench);
    let began = Instant::now();
    let bench = Bench::open(&path);
    let open = bench.store.load(NOW).expect("it loads").open_attempts.len();
    println!("start with {open} open attempts {:>20.2} ms", began.elapsed().as_secs_f64() * 1e3);
}
