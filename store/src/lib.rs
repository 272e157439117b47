//! Durable state: what the dialer wrote down, the leads, and what the API asks about later.
//!
//! [`Store`] is the door: journalled appends in, queries out. [`SqliteStore`] is the embedded default, one SQLite file in
//! WAL mode; [`PostgresStore`] is a schema of a PostgreSQL database. Both have one writer thread that commits many appends
//! together and a few read connections, and share what is written and asked (`tables`), in words that both databases
//! understand (`sql`).
//!
//! Every call but [`Store::append`] blocks its thread; asynchronous callers use a blocking pool.

mod error;
mod model;
mod postgres;
pub mod sealed;
mod sql;
mod sqlite;
mod tables;

pub use error::{Fault, StoreError};
pub use model::{
    AgentTime, AgentTimeQuery, AttemptTotals, AuditEntry, AuditQuery, AuditRow, CallRecordQuery, CallRow,
    CallbackQuery, CommitHistogram, DedupeScope, Direction, Disposition, Durable, ErasedPerson, ExpiredLeads,
    ExpiredQuery, FunnelCounts, IDEMPOTENCY_LIFETIME_MS, IdempotencyRow, ImportOptions, ImportVerdict,
    LEDGER_WINDOW_MS, LeadCounts, LeadPageQuery, LeadQuery, LedgerQuery, LedgerRow, LoadedLeads, MatchedBy,
    NewLead, OnDuplicate, Page, Person, PersonDnc, RecordingQuery, StoreStats, TokenRow, WebhookDelivery,
    WebhookProgress, WebhookRow, WebhookSecret,
};
#[cfg(feature = "server")]
pub use postgres::server;
pub use postgres::{
    PostgresStore,
    place::{Place, PlaceError},
};
pub use sqlite::{SCHEMA_VERSION, SqliteStore, backup, restore};
pub use tables::Options;

use dialer_core::best_time::BestTimeRow;
use dialer_core::event::EventEnvelope;
use dialer_core::inbound::CallerMemory;
use dialer_core::record::{Actor, Lead, RecordingRow};
use dialer_core::{CallId, CampaignId, LeadId, ListId, Record, RecordingId, Snapshot, TokenId, WebhookId};
use sansio::pii::Spellings;
use sansio::{Duration, WallTime};

/// A place that keeps things.
///
/// *Journal.* [`Store::append`] queues one transaction; the callback given when the store was opened tells
/// when it is durable ([`Durable::UpTo`]), in order. While the store cannot write (disk full, I/O error, locked)
/// it tells [`Durable::Unhealthy`], keeps what is queued, tries again with back-off, and tells
/// [`Durable::Healthy`] when it works again. Nothing is lost or reordered while the process lives.
///
/// *Reads* see everything that was told durable.
pub trait Store: Send + Sync + 'static {
    /// Queues one transaction and returns at once. `seq` rises from append to append.
    ///
    /// At `Options::queue_records_max` queued records the store turns unhealthy, so that its users stop making
    /// new work; at `Options::queue_records_hard_max` this call blocks until the writer has made room, because
    /// losing a record or growing without bound would be worse.
    fn append(&self, seq: u64, records: Vec<Record>);

    /// Waits until everything appended before is durable; false if that takes longer than `deadline`.
    fn flush(&self, deadline: Duration) -> bool;

    /// What was durable when the node went down. `now` bounds the ledger to its last 32 days.
    fn load(&self, now: WallTime) -> Result<Snapshot, StoreError>;

    // --- leads

    /// Leads that may be dialled at `query.due_at`: new or due again, not expired; highest priority first, then
    /// in order of import. If more leads of one priority are due for a retry than are asked for, those that
    /// are due longest come first.
    fn load_leads(&self, query: &LeadQuery) -> Result<LoadedLeads, StoreError>;

    /// Leads that wait to be dialled although their time has passed.
    fn expired_leads(&self, query: &ExpiredQuery) -> Result<ExpiredLeads, StoreError>;

    /// Leads that wait and whose callback is due, those whose is not told first, and when the next that is not told is.
    fn callbacks_due(&self, at: WallTime, limit: u32) -> Result<ExpiredLeads, StoreError>;

    /// Leads that are promised a callback, by its time.
    fn callbacks(&self, query: &CallbackQuery) -> Result<Page<Lead>, StoreError>;

    /// Writes leads to a list; one verdict per row, in order. Rows are written in several transactions, each within
    /// `Options::import_rows_max` and `Options::import_slice`, together with the appends that wait: a failure keeps the
    /// rows of the transactions before it. Rows without external id and without a number scope are always new.
    fn import_leads(
        &self,
        list: ListId,
        rows: Vec<NewLead>,
        options: &ImportOptions,
    ) -> Result<Vec<ImportVerdict>, StoreError>;

    /// Leads of a list in order of import.
    fn leads(&self, query: &LeadPageQuery) -> Result<Page<Lead>, StoreError>;

    /// One lead.
    fn lead(&self, lead: LeadId) -> Result<Option<Lead>, StoreError>;

    /// How many leads of a list are in each state.
    fn lead_counts(&self, list: ListId) -> Result<LeadCounts, StoreError>;

    /// How many of those that wait for their next try were promised a callback.
    fn callback_count(&self, list: ListId) -> Result<u64, StoreError>;

    /// Where the leads of these lists stand, each counted once at the first stage that keeps it from being dialled.
    fn funnel(&self, lists: &[ListId], now: WallTime, attempts_max: u32) -> Result<FunnelCounts, StoreError>;

    // --- calls

    /// What a campaign has learned of the hours of its leads.
    fn best_time(&self, campaign: CampaignId) -> Result<Vec<BestTimeRow>, StoreError>;

    /// What is known of a caller: who last spoke with one of these numbers (the likeliest first), which campaign called
    /// it or was called by it, which lead has it. Calls that showed, or came to, the number `called` say more than others.
    fn recall_caller(&self, numbers: &[String], called: &str) -> Result<CallerMemory, StoreError>;

    /// Call records, the call started last first.
    fn records(&self, query: &CallRecordQuery) -> Result<Page<CallRow>, StoreError>;

    /// The record of one call.
    fn record(&self, call: CallId) -> Result<Option<CallRow>, StoreError>;

    /// What became of a campaign's attempts since it was made, from its call records.
    fn attempt_totals(&self, campaign: CampaignId) -> Result<AttemptTotals, StoreError>;

    /// How long agents were in each state, in the whole hours that a time touches, as far as the states have ended.
    fn agent_times(&self, query: &AgentTimeQuery) -> Result<Vec<AgentTime>, StoreError>;

    /// Recordings, newest first.
    fn recordings(&self, query: &RecordingQuery) -> Result<Page<RecordingRow>, StoreError>;

    /// One recording.
    fn recording(&self, recording: RecordingId) -> Result<Option<RecordingRow>, StoreError>;

    /// Recordings that were complete before a time, oldest first.
    fn recordings_before(&self, before: WallTime, limit: u32) -> Result<Vec<RecordingRow>, StoreError>;

    /// Forgets a recording (not its file); false if there was none. `by`: for whom, for the audit log.
    fn delete_recording(
        &self,
        recording: RecordingId,
        by: Option<(Actor, WallTime)>,
    ) -> Result<bool, StoreError>;

    /// All that is kept about the person with this number: leads, calls, recordings, events, do-not-call entries.
    fn person(&self, number: &Spellings) -> Result<Person, StoreError>;

    /// Forgets the person with this number: their leads, and of calls, events and whatever else is kept all that tells of
    /// them. Figures, the ledger and the audit log stay, without the number, in whatever spelling. `particulars`: for the
    /// audit log. Recordings and do-not-call entries are not its business. Interrupted, it can be done again.
    fn forget_person(
        &self,
        number: &Spellings,
        by: (Actor, WallTime),
        particulars: serde_json::Value,
    ) -> Result<ErasedPerson, StoreError>;

    /// Forgets records of calls that began before a time, with what agents said of them. Totals of campaigns and the
    /// ledger stay. Returns how many.
    fn prune_records(&self, before: WallTime) -> Result<u64, StoreError>;

    /// Entries of the abandonment ledger, oldest first.
    fn ledger(&self, query: &LedgerQuery) -> Result<Page<LedgerRow>, StoreError>;

    // --- events

    /// Events after `cursor`, oldest first, at most `limit`.
    fn events_since(&self, cursor: u64, limit: u32) -> Result<Vec<EventEnvelope>, StoreError>;

    /// Cursor of the oldest event kept; `None` without events. A reader whose cursor + 1 is older has missed some.
    fn oldest_cursor(&self) -> Result<Option<u64>, StoreError>;

    /// Forgets events that happened before `before` (never the newest one, so that cursors go on from it, and none
    /// after the cursor `up_to`). Returns how many.
    fn prune_events(&self, before: WallTime, up_to: u64) -> Result<u64, StoreError>;

    // --- webhooks

    /// All webhooks and how far each is: every event up to there was delivered, was not wanted, or is among its
    /// deliveries.
    fn webhooks(&self) -> Result<Vec<(WebhookRow, u64)>, StoreError>;

    /// Makes a webhook that is told what comes after `position`, or changes one (its position stays).
    /// `by`: for whom, for the audit log.
    fn put_webhook(
        &self,
        row: &WebhookRow,
        position: u64,
        by: Option<(Actor, WallTime)>,
    ) -> Result<(), StoreError>;

    /// Deletes a webhook and what waits for it; false if there was none.
    fn delete_webhook(&self, webhook: WebhookId, by: Option<(Actor, WallTime)>) -> Result<bool, StoreError>;

    /// Writes down how far a webhook is and what it could not be told.
    fn webhook_progress(&self, progress: WebhookProgress) -> Result<(), StoreError>;

    /// Takes a webhook back to a position: what comes after is told again. False if there is no such webhook.
    fn rewind_webhook(&self, webhook: WebhookId, position: u64) -> Result<bool, StoreError>;

    /// What a webhook could not be told (`dead`: and is not tried again), after an event, in the order of events.
    fn webhook_deliveries(
        &self,
        webhook: WebhookId,
        dead: bool,
        after: u64,
        limit: u32,
    ) -> Result<Vec<WebhookDelivery>, StoreError>;

    /// How far the enabled webhook is that is furthest behind; `None` without one.
    fn webhook_furthest_behind(&self) -> Result<Option<u64>, StoreError>;

    // --- API tokens

    /// Keeps a token (by its id: makes or replaces it).
    fn put_token(&self, token: &TokenRow, by: Option<(Actor, WallTime)>) -> Result<(), StoreError>;

    /// The token with this SHA-256.
    fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, StoreError>;

    /// All tokens, oldest first.
    fn tokens(&self) -> Result<Vec<TokenRow>, StoreError>;

    /// Deletes a token; false if there was none.
    fn delete_token(&self, token: TokenId, by: Option<(Actor, WallTime)>) -> Result<bool, StoreError>;

    // --- audit

    /// Puts down something that changes no setting: an access, an export. Durable when this returns.
    fn put_audit(&self, entry: &AuditEntry) -> Result<(), StoreError>;

    /// Entries of the audit log, newest first.
    fn audit(&self, query: &AuditQuery) -> Result<Page<AuditRow>, StoreError>;

    /// Forgets entries of the audit log from before a time. Returns how many.
    fn prune_audit(&self, before: WallTime) -> Result<u64, StoreError>;

    // --- idempotency

    /// The response kept under a key, unless it is older than [`IDEMPOTENCY_LIFETIME_MS`] at `now`.
    fn idempotency(&self, key: &str, now: WallTime) -> Result<Option<IdempotencyRow>, StoreError>;

    /// Keeps a response under its key and forgets those that are too old at its time.
    fn put_idempotency(&self, row: &IdempotencyRow) -> Result<(), StoreError>;

    // --- health

    /// Which sort of store it is: `sqlite` or `postgresql`.
    fn kind(&self) -> &'static str;

    /// Records are being written and the queue is below its limit.
    fn healthy(&self) -> bool;

    /// Counters and gauges.
    fn stats(&self) -> StoreStats;
}
