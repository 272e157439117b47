//! The tables and all that is done with them, over either database; and the writer that commits many appends together.

mod access;
mod agent_time;
mod apply;
mod audit;
mod best_time;
mod caller_ids;
mod callers;
mod calls;
mod codec;
mod dnc;
mod dry_run;
mod events;
mod holders;
mod import;
mod known;
mod leads;
mod person;
pub(crate) mod pool;
mod retention;
mod snapshot;
pub(crate) mod txn;
mod webhooks;
pub(crate) mod writer;

use crate::Store;
use crate::error::StoreError;
use crate::model::{
    AgentTime, AgentTimeQuery, AttemptTotals, AuditEntry, AuditQuery, AuditRow, CallRecordQuery, CallRow,
    CallbackQuery, Durable, ErasedPerson, ExpiredLeads, ExpiredQuery, FunnelCounts, IdempotencyRow,
    ImportOptions, ImportVerdict, LeadCounts, LeadPageQuery, LeadQuery, LedgerQuery, LedgerRow, LoadedLeads,
    NewLead, Page, Person, RecordingQuery, StoreStats, TokenRow, WebhookDelivery, WebhookProgress,
    WebhookRow,
};
use crate::sql::Connection;
use dialer_core::best_time::BestTimeRow;
use dialer_core::event::EventEnvelope;
use dialer_core::inbound::CallerMemory;
use dialer_core::record::{Actor, Lead, RecordingRow};
use dialer_core::{CallId, CampaignId, LeadId, ListId, Record, RecordingId, Snapshot, TokenId, WebhookId};
use sansio::pii::Spellings;
use sansio::{Duration, Rng, WallTime};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Most rows on one page.
const PAGE_ROWS_MAX: u32 = 1_000;

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

/// What both stores have: a writer's thread, readers, and where new names come from.
pub(crate) struct Core {
    shared: Arc<writer::Shared>,
    readers: pool::Pool,
    /// Where new names come from; seeded from the system's entropy.
    seeds: Mutex<Rng>,
    writer: Option<JoinHandle<()>>,
}

/// A store that has a [`Core`].
pub(crate) trait Kept: Send + Sync + 'static {
    fn core(&self) -> &Core;

    /// See [`Store::kind`].
    fn kind(&self) -> &'static str;

    /// Takes from the files what was erased from the rows; false: something of the number may be left in them.
    fn wiped(&self, number: &Spellings) -> Result<bool, StoreError>;

    /// Adds what the database takes on the disk.
    fn measure(&self, stats: &mut StoreStats);
}

impl Core {
    /// Starts the writer with its connection.
    pub(crate) fn start(
        conn: Connection,
        readers: pool::Pool,
        upkeep: Box<dyn writer::Upkeep>,
        options: Options,
    ) -> std::io::Result<Core> {
        let limits = writer::Limits {
            queue_records_max: options.queue_records_max,
            queue_records_hard_max: options.queue_records_hard_max.max(1),
            batch_records_max: options.batch_records_max.max(1),
            import_rows_max: options.import_rows_max.max(1),
            import_slice: options.import_slice,
            import_rows_per_ms: upkeep.import_rows_per_ms(),
            retry_max: options.retry_max,
            close_wait: options.close_wait,
        };
        let shared = Arc::new(writer::Shared::new(limits));
        let writer = writer::Writer::new(conn, Arc::clone(&shared), options.on_durable, upkeep);
        let writer = std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run())?;
        let seeds = Mutex::new(Rng::from_seed(entropy()));
        Ok(Core { shared, readers, seeds, writer: Some(writer) })
    }

    /// Writes what is queued and ends the writer.
    pub(crate) fn close(&mut self) {
        self.shared.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer thread had panicked");
        }
    }

    /// Has the writer do something and waits for its result.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut writer::Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.shared.call(work)
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
}

impl Drop for Core {
    fn drop(&mut self) {
        self.close();
    }
}

/// 64 bits of the system's entropy: names of leads are not secrets, but must differ between runs.
fn entropy() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system has entropy once it is up");
    u64::from_ne_bytes(bytes)
}

impl<S: Kept> Store for S {
    fn append(&self, seq: u64, records: Vec<Record>) {
        self.core().shared.append(seq, records);
    }

    fn flush(&self, deadline: Duration) -> bool {
        self.core().shared.flush(deadline)
    }

    fn load(&self, now: WallTime) -> Result<Snapshot, StoreError> {
        snapshot::load(&self.core().readers.get(), now)
    }

    fn load_leads(&self, query: &LeadQuery) -> Result<LoadedLeads, StoreError> {
        leads::load(&self.core().readers.get(), query)
    }

    fn expired_leads(&self, query: &ExpiredQuery) -> Result<ExpiredLeads, StoreError> {
        leads::expired(&self.core().readers.get(), query)
    }

    fn callbacks_due(&self, at: WallTime, limit: u32) -> Result<ExpiredLeads, StoreError> {
        leads::callbacks_due(&self.core().readers.get(), at, limit)
    }

    fn callbacks(&self, query: &CallbackQuery) -> Result<Page<Lead>, StoreError> {
        leads::callbacks(&self.core().readers.get(), query)
    }

    fn import_leads(
        &self,
        list: ListId,
        rows: Vec<NewLead>,
        options: &ImportOptions,
    ) -> Result<Vec<ImportVerdict>, StoreError> {
        let seed = self.core().seeds.lock().unwrap_or_else(PoisonError::into_inner).next_u64();
        let mut names = import::Names::new(options.now, Rng::from_seed(seed));
        if options.dry_run {
            return dry_run::dry_run(&self.core().readers.get(), list, &rows, options, &mut names);
        }
        self.core().shared.import(import::Import::new(list, rows, options.clone(), names)?)
    }

    fn leads(&self, query: &LeadPageQuery) -> Result<Page<Lead>, StoreError> {
        leads::page(&self.core().readers.get(), query)
    }

    fn lead(&self, lead: LeadId) -> Result<Option<Lead>, StoreError> {
        leads::one(&self.core().readers.get(), lead)
    }

    fn lead_counts(&self, list: ListId) -> Result<LeadCounts, StoreError> {
        leads::counts(&self.core().readers.get(), list)
    }

    fn callback_count(&self, list: ListId) -> Result<u64, StoreError> {
        leads::callback_count(&self.core().readers.get(), list)
    }

    fn funnel(&self, lists: &[ListId], now: WallTime, attempts_max: u32) -> Result<FunnelCounts, StoreError> {
        leads::funnel(&self.core().readers.get(), lists, now, attempts_max)
    }

    fn best_time(&self, campaign: CampaignId) -> Result<Vec<BestTimeRow>, StoreError> {
        best_time::of_campaign(&self.core().readers.get(), campaign)
    }

    fn recall_caller(&self, numbers: &[String], called: &str) -> Result<CallerMemory, StoreError> {
        callers::recall(&self.core().readers.get(), numbers, called)
    }

    fn records(&self, query: &CallRecordQuery) -> Result<Page<CallRow>, StoreError> {
        calls::records(&self.core().readers.get(), query)
    }

    fn record(&self, call: CallId) -> Result<Option<CallRow>, StoreError> {
        calls::record(&self.core().readers.get(), call)
    }

    fn attempt_totals(&self, campaign: CampaignId) -> Result<AttemptTotals, StoreError> {
        calls::totals(&self.core().readers.get(), campaign)
    }

    fn recordings(&self, query: &RecordingQuery) -> Result<Page<RecordingRow>, StoreError> {
        calls::recordings(&self.core().readers.get(), query)
    }

    fn recording(&self, recording: RecordingId) -> Result<Option<RecordingRow>, StoreError> {
        calls::recording(&self.core().readers.get(), recording)
    }

    fn recordings_before(&self, before: WallTime, limit: u32) -> Result<Vec<RecordingRow>, StoreError> {
        retention::recordings_before(&self.core().readers.get(), before, limit)
    }

    fn delete_recording(
        &self,
        recording: RecordingId,
        by: Option<(Actor, WallTime)>,
    ) -> Result<bool, StoreError> {
        self.core().shared.call(move |writer| {
            writer.transact(|txn| audit::by(txn, by, |txn| retention::delete_recording(txn, recording)))
        })
    }

    fn person(&self, number: &Spellings) -> Result<Person, StoreError> {
        person::person(&self.core().readers.get(), number)
    }

    fn forget_person(
        &self,
        number: &Spellings,
        by: (Actor, WallTime),
        particulars: serde_json::Value,
    ) -> Result<ErasedPerson, StoreError> {
        let mut erased = self.core().forget(number, &by, particulars)?;
        erased.complete &= self.wiped(number)?;
        Ok(erased)
    }

    fn agent_times(&self, query: &AgentTimeQuery) -> Result<Vec<AgentTime>, StoreError> {
        agent_time::load(&self.core().readers.get(), query)
    }

    fn prune_records(&self, before: WallTime) -> Result<u64, StoreError> {
        self.core().in_parts(move |txn| retention::prune_records(txn, before))
    }

    fn ledger(&self, query: &LedgerQuery) -> Result<Page<LedgerRow>, StoreError> {
        retention::ledger(&self.core().readers.get(), query)
    }

    fn events_since(&self, cursor: u64, limit: u32) -> Result<Vec<EventEnvelope>, StoreError> {
        let (events, undecodable) = events::since(&self.core().readers.get(), cursor, limit)?;
        if undecodable > 0 {
            self.core().shared.count_undecodable(undecodable);
        }
        Ok(events)
    }

    fn oldest_cursor(&self) -> Result<Option<u64>, StoreError> {
        events::oldest(&self.core().readers.get())
    }

    fn prune_events(&self, before: WallTime, up_to: u64) -> Result<u64, StoreError> {
        self.core().in_parts(move |txn| events::prune(txn, before, up_to))
    }

    fn put_token(&self, token: &TokenRow, by: Option<(Actor, WallTime)>) -> Result<(), StoreError> {
        let token = token.clone();
        self.core().shared.call(move |writer| {
            writer.transact(|txn| audit::by(txn, by, |txn| access::put_token(txn, &token)))
        })
    }

    fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, StoreError> {
        access::token_by_hash(&self.core().readers.get(), hash)
    }

    fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        access::tokens(&self.core().readers.get())
    }

    fn delete_token(&self, token: TokenId, by: Option<(Actor, WallTime)>) -> Result<bool, StoreError> {
        self.core().shared.call(move |writer| {
            writer.transact(|txn| audit::by(txn, by, |txn| access::delete_token(txn, token)))
        })
    }

    fn put_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let entry = entry.clone();
        self.core().shared.call(move |writer| writer.transact(|txn| audit::add(txn, &entry)))
    }

    fn prune_audit(&self, before: WallTime) -> Result<u64, StoreError> {
        self.core().in_parts(move |txn| audit::prune(txn, before, retention::ROWS))
    }

    fn audit(&self, query: &AuditQuery) -> Result<Page<AuditRow>, StoreError> {
        audit::page(&self.core().readers.get(), query)
    }

    fn idempotency(&self, key: &str, now: WallTime) -> Result<Option<IdempotencyRow>, StoreError> {
        access::idempotency(&self.core().readers.get(), key, now)
    }

    fn put_idempotency(&self, row: &IdempotencyRow) -> Result<(), StoreError> {
        let row = row.clone();
        self.core().shared.call(move |writer| writer.transact(|txn| access::put_idempotency(txn, &row)))
    }

    fn webhooks(&self) -> Result<Vec<(WebhookRow, u64)>, StoreError> {
        webhooks::all(&self.core().readers.get())
    }

    fn put_webhook(
        &self,
        row: &WebhookRow,
        position: u64,
        by: Option<(Actor, WallTime)>,
    ) -> Result<(), StoreError> {
        let row = row.clone();
        self.core().shared.call(move |writer| {
            writer.transact(|txn| audit::by(txn, by, |txn| webhooks::put(txn, &row, position)))
        })
    }

    fn delete_webhook(&self, webhook: WebhookId, by: Option<(Actor, WallTime)>) -> Result<bool, StoreError> {
        self.core().shared.call(move |writer| {
            writer.transact(|txn| audit::by(txn, by, |txn| webhooks::delete(txn, webhook)))
        })
    }

    fn webhook_progress(&self, progress: WebhookProgress) -> Result<(), StoreError> {
        self.core().shared.call(move |writer| writer.transact(|txn| webhooks::progress(txn, &progress)))
    }

    fn rewind_webhook(&self, webhook: WebhookId, position: u64) -> Result<bool, StoreError> {
        self.core().shared.call(move |writer| writer.transact(|txn| webhooks::rewind(txn, webhook, position)))
    }

    fn webhook_deliveries(
        &self,
        webhook: WebhookId,
        dead: bool,
        after: u64,
        limit: u32,
    ) -> Result<Vec<WebhookDelivery>, StoreError> {
        webhooks::deliveries(&self.core().readers.get(), webhook, dead, after, limit)
    }

    fn webhook_furthest_behind(&self) -> Result<Option<u64>, StoreError> {
        webhooks::furthest_behind(&self.core().readers.get())
    }

    fn kind(&self) -> &'static str {
        Kept::kind(self)
    }

    fn healthy(&self) -> bool {
        self.core().shared.healthy()
    }

    fn stats(&self) -> StoreStats {
        let mut stats = self.core().shared.stats();
        self.measure(&mut stats);
        stats
    }
}
