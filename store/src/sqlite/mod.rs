//! The embedded store: one SQLite file.

mod access;
mod apply;
mod audit;
mod backup;
mod best_time;
mod caller_ids;
mod callers;
mod calls;
mod checkpoint;
mod codec;
mod dnc;
mod dry_run;
mod events;
mod holders;
mod import;
mod leads;
mod open;
mod person;
mod pool;
mod retention;
mod snapshot;
mod txn;
mod webhooks;
mod writer;

pub use backup::{backup, restore};
pub use open::SCHEMA_VERSION;

use crate::Store;
use crate::error::StoreError;
use crate::model::{
    AttemptTotals, AuditEntry, AuditQuery, AuditRow, CallRecordQuery, CallRow, CallbackQuery, Durable,
    ErasedPerson, ExpiredLeads, ExpiredQuery, FunnelCounts, IdempotencyRow, ImportOptions, ImportVerdict,
    LeadCounts, LeadPageQuery, LeadQuery, LedgerQuery, LedgerRow, LoadedLeads, NewLead, Page, Person,
    RecordingQuery, StoreStats, TokenRow, WebhookDelivery, WebhookProgress, WebhookRow,
};
use dialer_core::best_time::BestTimeRow;
use dialer_core::event::EventEnvelope;
use dialer_core::inbound::CallerMemory;
use dialer_core::record::{Actor, Lead, RecordingRow};
use dialer_core::{CallId, CampaignId, LeadId, ListId, Record, RecordingId, Snapshot, TokenId, WebhookId};
use sansio::{Duration, Rng, WallTime};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Most rows on one page.
const PAGE_ROWS_MAX: u32 = 1_000;

/// Into so many parts the write-ahead log's limit is divided; each is moved into the database beside the writer.
const WAL_STEPS: u64 = 4;

fn page_limit(wanted: u32) -> usize {
    wanted.clamp(1, PAGE_ROWS_MAX) as usize
}

/// How to open a store. Every limit has a default that suits a node of a thousand calls.
pub struct Options {
    /// Told what is durable and how the store is, on the writer's thread; see [`Durable`].
    pub on_durable: Box<dyn Fn(Durable) + Send>,
    /// More queued records than this make the store unhealthy.
    pub queue_records_max: u64,
    /// At this many queued records an append waits.
    pub queue_records_hard_max: u64,
    /// Records in one transaction (one append is never split).
    pub batch_records_max: u64,
    /// Rows of an import in one transaction.
    pub import_rows_max: usize,
    /// Time for rows of an import in one transaction: so long appends wait for it. Nothing waits: it goes on until
    /// something does, or to `import_rows_max`.
    pub import_slice: Duration,
    /// Connections for queries; more queries at once wait.
    pub readers: usize,
    /// The database never grows beyond this; `None`: until the disk is full.
    pub size_max_bytes: Option<u64>,
    /// The write-ahead log is cut when it passes this.
    pub wal_bytes_max: u64,
    /// Page cache of the writer.
    pub cache_bytes: u64,
    /// Longest wait between two tries of a failing write.
    pub retry_max: Duration,
    /// How long closing waits for a failing write before it gives up what is queued.
    pub close_wait: Duration,
}

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new(on_durable: Box<dyn Fn(Durable) + Send>) -> Options {
        Options {
            on_durable,
            queue_records_max: 100_000,
            queue_records_hard_max: 1_000_000,
            batch_records_max: 4_096,
            import_rows_max: 20_000,
            import_slice: Duration::from_millis(8),
            readers: 4,
            size_max_bytes: None,
            wal_bytes_max: 128 << 20,
            cache_bytes: 64 << 20,
            retry_max: Duration::from_secs(2),
            close_wait: Duration::from_secs(5),
        }
    }
}

/// A store in one SQLite file (with `-wal`, `-shm` and `-lock` beside it). Dropping it writes what is queued.
pub struct SqliteStore {
    shared: Arc<writer::Shared>,
    readers: pool::Pool,
    /// Where new names come from; seeded from the system's entropy.
    seeds: Mutex<Rng>,
    page_bytes: u64,
    path: PathBuf,
    bell: checkpoint::Bell,
    writer: Option<JoinHandle<()>>,
    checkpointer: Option<JoinHandle<()>>,
    _lock: open::FileLock,
}

impl SqliteStore {
    /// Opens the database at `path`, makes it if it is not there, and brings its schema up to date. Refuses a file
    /// that another process has open, that a newer version wrote, that belongs to another program, or that is
    /// damaged.
    pub fn open(path: &Path, options: Options) -> Result<SqliteStore, StoreError> {
        let lock = open::FileLock::take(path)?;
        let conn = open::writer(path, options.cache_bytes, options.wal_bytes_max)?;
        let page_bytes: u64 = conn.pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0))?.into();
        if let Some(bytes) = options.size_max_bytes {
            limit_size(&conn, bytes, page_bytes)?;
        }
        let readers = pool::Pool::open(path, options.readers)?;
        let limits = writer::Limits {
            queue_records_max: options.queue_records_max,
            queue_records_hard_max: options.queue_records_hard_max.max(1),
            batch_records_max: options.batch_records_max.max(1),
            import_rows_max: options.import_rows_max.max(1),
            import_slice: options.import_slice,
            retry_max: options.retry_max,
            close_wait: options.close_wait,
        };
        let bell = checkpoint::Bell::default();
        let checkpoints = open::checkpointer(path)?;
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.into())
                .spawn(body)
                .map_err(|source| StoreError::Open { path: path.into(), source })
        };
        let shared = Arc::new(writer::Shared::new(limits));
        let own_bell = bell.clone();
        let checkpointer = spawn("store-wal", Box::new(move || checkpoint::run(&checkpoints, &own_bell)))?;
        let wal_pages_max = (options.wal_bytes_max / page_bytes.max(1)).max(WAL_STEPS);
        let log = checkpoint::LogLimits { step: wal_pages_max / WAL_STEPS, max: wal_pages_max };
        let watch = checkpoint::Watch::new(bell.clone(), log);
        let writer = writer::Writer::new(conn, Arc::clone(&shared), options.on_durable, watch);
        let writer = spawn("store-writer", Box::new(move || writer.run()));
        let writer = writer.inspect_err(|_| bell.end())?;
        Ok(SqliteStore {
            shared,
            readers,
            seeds: Mutex::new(Rng::from_seed(entropy())),
            page_bytes,
            path: path.into(),
            bell,
            writer: Some(writer),
            checkpointer: Some(checkpointer),
            _lock: lock,
        })
    }

    /// Does something in transactions of its own until it says that nothing is left; adds up what each did. Appends are
    /// written between them.
    fn in_parts(
        &self,
        part: impl Fn(&mut txn::Txn<'_>) -> Result<(u64, bool), StoreError> + Clone + Send + 'static,
    ) -> Result<u64, StoreError> {
        let mut done = 0;
        loop {
            let part = part.clone();
            let (count, more) = self.shared.call(move |writer| writer.transact(part))?;
            done += count;
            if !more {
                return Ok(done);
            }
        }
    }

    /// Changes how large the database may grow; a write that failed for lack of room is tried again at once.
    pub fn set_size_max(&self, bytes: u64) -> Result<(), StoreError> {
        let page_bytes = self.page_bytes;
        self.shared.call(move |writer| {
            limit_size(writer.conn(), bytes, page_bytes)?;
            writer.retry_now();
            Ok(())
        })
    }
}

/// 64 bits of the system's entropy: names of leads are not secrets, but must differ between runs.
fn entropy() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system has entropy once it is up");
    u64::from_ne_bytes(bytes)
}

fn limit_size(conn: &rusqlite::Connection, bytes: u64, page_bytes: u64) -> Result<(), StoreError> {
    let pages = i64::from(u32::try_from(bytes / page_bytes.max(1)).unwrap_or(u32::MAX - 1).max(1));
    conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    Ok(())
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer thread had panicked");
        }
        self.bell.end();
        if let Some(checkpointer) = self.checkpointer.take() {
            // Its panic was printed; nothing depends on it any more.
            let _ = checkpointer.join();
        }
    }
}

impl Store for SqliteStore {
    fn append(&self, seq: u64, records: Vec<Record>) {
        self.shared.append(seq, records);
    }

    fn flush(&self, deadline: Duration) -> bool {
        self.shared.flush(deadline)
    }

    fn load(&self, now: WallTime) -> Result<Snapshot, StoreError> {
        snapshot::load(&self.readers.get(), now)
    }

    fn load_leads(&self, query: &LeadQuery) -> Result<LoadedLeads, StoreError> {
        leads::load(&self.readers.get(), query)
    }

    fn expired_leads(&self, query: &ExpiredQuery) -> Result<ExpiredLeads, StoreError> {
        leads::expired(&self.readers.get(), query)
    }

    fn callbacks_due(&self, at: WallTime, limit: u32) -> Result<ExpiredLeads, StoreError> {
        leads::callbacks_due(&self.readers.get(), at, limit)
    }

    fn callbacks(&self, query: &CallbackQuery) -> Result<Page<Lead>, StoreError> {
        leads::callbacks(&self.readers.get(), query)
    }

    fn import_leads(
        &self,
        list: ListId,
        rows: Vec<NewLead>,
        options: &ImportOptions,
    ) -> Result<Vec<ImportVerdict>, StoreError> {
        let seed = self.seeds.lock().unwrap_or_else(PoisonError::into_inner).next_u64();
        let mut names = import::Names::new(options.now, Rng::from_seed(seed));
        if options.dry_run {
            return dry_run::dry_run(&self.readers.get(), list, &rows, options, &mut names);
        }
        self.shared.import(import::Import::new(list, rows, options.clone(), names)?)
    }

    fn leads(&self, query: &LeadPageQuery) -> Result<Page<Lead>, StoreError> {
        leads::page(&self.readers.get(), query)
    }

    fn lead(&self, lead: LeadId) -> Result<Option<Lead>, StoreError> {
        leads::one(&self.readers.get(), lead)
    }

    fn lead_counts(&self, list: ListId) -> Result<LeadCounts, StoreError> {
        leads::counts(&self.readers.get(), list)
    }

    fn funnel(&self, lists: &[ListId], now: WallTime, attempts_max: u32) -> Result<FunnelCounts, StoreError> {
        leads::funnel(&self.readers.get(), lists, now, attempts_max)
    }

    fn best_time(&self, campaign: CampaignId) -> Result<Vec<BestTimeRow>, StoreError> {
        best_time::of_campaign(&self.readers.get(), campaign)
    }

    fn recall_caller(&self, numbers: &[String], called: &str) -> Result<CallerMemory, StoreError> {
        callers::recall(&self.readers.get(), numbers, called)
    }

    fn records(&self, query: &CallRecordQuery) -> Result<Page<CallRow>, StoreError> {
        calls::records(&self.readers.get(), query)
    }

    fn record(&self, call: CallId) -> Result<Option<CallRow>, StoreError> {
        calls::record(&self.readers.get(), call)
    }

    fn attempt_totals(&self, campaign: CampaignId) -> Result<AttemptTotals, StoreError> {
        calls::totals(&self.readers.get(), campaign)
    }

    fn recordings(&self, query: &RecordingQuery) -> Result<Page<RecordingRow>, StoreError> {
        calls::recordings(&self.readers.get(), query)
    }

    fn recording(&self, recording: RecordingId) -> Result<Option<RecordingRow>, StoreError> {
        calls::recording(&self.readers.get(), recording)
    }

    fn recordings_before(&self, before: WallTime, limit: u32) -> Result<Vec<RecordingRow>, StoreError> {
        retention::recordings_before(&self.readers.get(), before, limit)
    }

    fn delete_recording(
        &self,
        recording: RecordingId,
        by: Option<(Actor, WallTime)>,
    ) -> Result<bool, StoreError> {
        self.shared.call(move |writer| {
            writer.transact(|txn| audit::by(txn, by, |txn| retention::delete_recording(txn, recording)))
        })
    }

    fn person(&self, number: &str) -> Result<Person, StoreError> {
        person::person(&self.readers.get(), number)
    }

    fn forget_person(
        &self,
        number: &str,
        by: (Actor, WallTime),
        particulars: serde_json::Value,
    ) -> Result<ErasedPerson, StoreError> {
        self.forget(number, &by, particulars)
    }

    fn prune_records(&self, before: WallTime) -> Result<u64, StoreError> {
        self.in_parts(move |txn| retention::prune_records(txn, before))
    }

    fn ledger(&self, query: &LedgerQuery) -> Result<Page<LedgerRow>, StoreError> {
        retention::ledger(&self.readers.get(), query)
    }

    fn events_since(&self, cursor: u64, limit: u32) -> Result<Vec<EventEnvelope>, StoreError> {
        let (events, undecodable) = events::since(&self.readers.get(), cursor, limit)?;
        if undecodable > 0 {
            self.shared.count_undecodable(undecodable);
        }
        Ok(events)
    }

    fn oldest_cursor(&self) -> Result<Option<u64>, StoreError> {
        events::oldest(&self.readers.get())
    }

    fn prune_events(&self, before: WallTime, up_to: u64) -> Result<u64, StoreError> {
        self.in_parts(move |txn| events::prune(txn, before, up_to))
    }

    fn put_token(&self, token: &TokenRow, by: Option<(Actor, WallTime)>) -> Result<(), StoreError> {
        let token = token.clone();
        self.shared.call(move |writer| {
            writer.transact(|txn| audit::by(txn, by, |txn| access::put_token(txn, &token)))
        })
    }

    fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, StoreError> {
        access::token_by_hash(&self.readers.get(), hash)
    }

    fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        access::tokens(&self.readers.get())
    }

    fn delete_token(&self, token: TokenId, by: Option<(Actor, WallTime)>) -> Result<bool, StoreError> {
        self.shared.call(move |writer| {
            writer.transact(|txn| audit::by(txn, by, |txn| access::delete_token(txn, token)))
        })
    }

    fn put_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let entry = entry.clone();
        self.shared.call(move |writer| writer.transact(|txn| audit::add(txn, &entry)))
    }

    fn prune_audit(&self, before: WallTime) -> Result<u64, StoreError> {
        self.in_parts(move |txn| audit::prune(txn, before, retention::ROWS))
    }

    fn audit(&self, query: &AuditQuery) -> Result<Page<AuditRow>, StoreError> {
        audit::page(&self.readers.get(), query)
    }

    fn idempotency(&self, key: &str, now: WallTime) -> Result<Option<IdempotencyRow>, StoreError> {
        access::idempotency(&self.readers.get(), key, now)
    }

    fn put_idempotency(&self, row: &IdempotencyRow) -> Result<(), StoreError> {
        let row = row.clone();
        self.shared.call(move |writer| writer.transact(|txn| access::put_idempotency(txn, &row)))
    }

    fn webhooks(&self) -> Result<Vec<(WebhookRow, u64)>, StoreError> {
        webhooks::all(&self.readers.get())
    }

    fn put_webhook(
        &self,
        row: &WebhookRow,
        position: u64,
        by: Option<(Actor, WallTime)>,
    ) -> Result<(), StoreError> {
        let row = row.clone();
        self.shared.call(move |writer| {
            writer.transact(|txn| audit::by(txn, by, |txn| webhooks::put(txn, &row, position)))
        })
    }

    fn delete_webhook(&self, webhook: WebhookId, by: Option<(Actor, WallTime)>) -> Result<bool, StoreError> {
        self.shared.call(move |writer| {
            writer.transact(|txn| audit::by(txn, by, |txn| webhooks::delete(txn, webhook)))
        })
    }

    fn webhook_progress(&self, progress: WebhookProgress) -> Result<(), StoreError> {
        self.shared.call(move |writer| writer.transact(|txn| webhooks::progress(txn, &progress)))
    }

    fn rewind_webhook(&self, webhook: WebhookId, position: u64) -> Result<bool, StoreError> {
        self.shared.call(move |writer| writer.transact(|txn| webhooks::rewind(txn, webhook, position)))
    }

    fn webhook_deliveries(
        &self,
        webhook: WebhookId,
        dead: bool,
        after: u64,
        limit: u32,
    ) -> Result<Vec<WebhookDelivery>, StoreError> {
        webhooks::deliveries(&self.readers.get(), webhook, dead, after, limit)
    }

    fn webhook_furthest_behind(&self) -> Result<Option<u64>, StoreError> {
        webhooks::furthest_behind(&self.readers.get())
    }

    fn healthy(&self) -> bool {
        self.shared.healthy()
    }

    fn stats(&self) -> StoreStats {
        let mut stats = self.shared.stats();
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        stats.wal_bytes = size(&open::beside(&self.path, "-wal"));
        stats.journal_bytes = size(&self.path) + stats.wal_bytes;
        stats
    }
}
