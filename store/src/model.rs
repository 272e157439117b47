//! What the store is asked and what it answers.

use crate::error::Fault;
use dialer_core::event::EventEnvelope;
use dialer_core::record::{Actor, Lead, LeadState, LedgerEntry, Phone, RecordingRow};
use dialer_core::screen::Screen;
use dialer_core::{
    AgentId, CallId, CallRecord, CampaignId, DncListId, LeadId, ListId, Outcome, RecordingId, Tenant,
    TokenId, WebhookId,
};
use sansio::WallTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How much of the abandonment ledger [`crate::Store::load`] returns: the longest window of a campaign, a month of 31 days, and
/// a day for the clocks of the world.
pub const LEDGER_WINDOW_MS: i64 = 32 * 24 * 3_600_000;

/// How long a response is kept under its idempotency key.
pub const IDEMPOTENCY_LIFETIME_MS: i64 = 24 * 3_600_000;

/// Told by the writer thread to the callback given when the store was opened. The callback must not block and
/// must not call [`crate::Store::append`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Durable {
    /// Every append up to and with this number is durable.
    UpTo(u64),
    /// Writing fails, or too much is queued. Nothing is lost; it is tried again.
    Unhealthy {
        /// What sort of failure; `None`: the queue is too long.
        fault: Option<Fault>,
        /// Words for the log.
        detail: String,
    },
    /// Writing works again.
    Healthy,
}

/// Which leads to load.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LeadQuery {
    /// From these lists; unknown ones are passed over.
    pub lists: Vec<ListId>,
    /// At most so many.
    pub limit: u32,
    /// Dialable at this time.
    pub due_at: WallTime,
    /// Not these (already in a hopper or in a call).
    pub exclude: Vec<LeadId>,
    /// Only leads that pass this at that time.
    pub screen: Screen,
}

/// Which callbacks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CallbackQuery {
    /// Promised by this agent.
    pub agent: Option<AgentId>,
    /// Promised for this campaign.
    pub campaign: Option<CampaignId>,
    /// Of leads of this list.
    pub list: Option<ListId>,
    /// Of leads of one of these; `None`: of all.
    pub lists: Option<Vec<ListId>>,
    /// Due at or after.
    pub from: Option<WallTime>,
    /// Due before.
    pub to: Option<WallTime>,
    /// [`Page::next_cursor`] of the page before.
    pub cursor: Option<String>,
    /// At most so many, 1..=1000 (others are moved into that range).
    pub limit: u32,
}

/// Which times of agents.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AgentTimeQuery {
    /// From the hour of this time on.
    pub from: Option<WallTime>,
    /// Until the hour of this time.
    pub to: Option<WallTime>,
    /// Of this agent.
    pub agent: Option<AgentId>,
}

/// How long an agent was in each state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentTime {
    /// Who.
    pub agent: AgentId,
    /// Milliseconds in each state, in the order of [`dialer_core::view::AgentState::ALL`].
    pub state_ms: [u64; 10],
}

/// Leads to dial.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct LoadedLeads {
    /// Best first.
    pub leads: Vec<Lead>,
    /// There are more that may be dialled now.
    pub more: bool,
    /// When the next waiting lead becomes due, after `due_at`.
    pub next_due: Option<WallTime>,
}

/// Which expired leads to find.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExpiredQuery {
    /// In these lists; unknown ones are passed over.
    pub lists: Vec<ListId>,
    /// Expired at this time.
    pub at: WallTime,
    /// At most so many.
    pub limit: u32,
}

/// Leads that wait to be dialled although they have expired.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ExpiredLeads {
    /// The first of them to expire first, in each list.
    pub leads: Vec<Lead>,
    /// When the next one of those that wait will expire.
    pub next: Option<WallTime>,
}

/// A row of an import. Numbers are already parsed.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NewLead {
    /// The owner's own name of it.
    pub external_id: Option<String>,
    /// Numbers in dial order, at least one.
    pub phones: Vec<Phone>,
    /// Higher is dialled sooner.
    pub priority: i32,
    /// IANA zone, if known.
    pub time_zone: Option<String>,
    /// The owner's fields.
    pub fields: BTreeMap<String, String>,
    /// Not dialled after this.
    pub expires_at: Option<WallTime>,
}

/// What to do with a row that is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDuplicate {
    /// Leave the stored lead; verdict [`ImportVerdict::Duplicate`].
    #[default]
    Skip,
    /// Replace numbers, priority, zone, fields and expiry; how far it has come stays.
    Update,
    /// As `Skip`; the caller reports the row as an error.
    Error,
}

/// Within which leads an equal number makes a row a duplicate. An equal external id within the list always does.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum DedupeScope {
    /// Numbers are not compared.
    None,
    /// The same list.
    #[default]
    List,
    /// These lists and the same list (the lists of a campaign).
    Lists(Vec<ListId>),
    /// All lists.
    All,
}

/// How to import.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImportOptions {
    /// What to do with duplicates.
    pub on_duplicate: OnDuplicate,
    /// What makes a duplicate.
    pub dedupe_scope: DedupeScope,
    /// A row whose lead has been tried so often is not taken.
    pub attempts_max: Option<u32>,
    /// Tell the verdicts, write nothing. Duplicates within one call are seen, those between calls are not; the names of
    /// new leads are not kept.
    pub dry_run: bool,
    /// The time, for the names of new leads.
    pub now: WallTime,
}

/// By what a row was found to be a duplicate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchedBy {
    /// The external id.
    ExternalId,
    /// A number.
    Number,
}

/// What became of an imported row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ImportVerdict {
    /// A new lead.
    Accepted {
        /// Its name.
        lead: LeadId,
    },
    /// A stored lead was changed.
    Updated {
        /// Its name.
        lead: LeadId,
    },
    /// It is there already; nothing was written.
    Duplicate {
        /// The stored lead.
        lead: LeadId,
        /// By what it was recognised.
        by: MatchedBy,
    },
    /// Each of its numbers is on a do-not-call list that holds everywhere; nothing was written.
    Dnc,
    /// Its lead has been tried as often as [`ImportOptions::attempts_max`] says; nothing was written.
    TooManyAttempts {
        /// The stored lead.
        lead: LeadId,
    },
    /// It has no number.
    NoPhone,
}

impl ImportVerdict {
    /// A lead was written.
    #[must_use]
    pub const fn is_stored(&self) -> bool {
        matches!(self, ImportVerdict::Accepted { .. } | ImportVerdict::Updated { .. })
    }
}

/// A page of a list of leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeadPageQuery {
    /// Which list.
    pub list: ListId,
    /// Only these.
    pub state: Option<LeadState>,
    /// [`Page::next_cursor`] of the page before.
    pub cursor: Option<String>,
    /// At most so many, 1..=1000 (others are moved into that range).
    pub limit: u32,
}

/// One page.
#[derive(Clone, PartialEq, Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Give this to get the next; `None`: this is the last.
    pub next_cursor: Option<String>,
}

/// How many leads are in each state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names of LeadState")]
pub struct LeadCounts {
    pub new: u64,
    pub retry_wait: u64,
    pub dialing: u64,
    pub done: u64,
    pub exhausted: u64,
    pub dnc: u64,
    #[serde(default)]
    pub expired: u64,
}

impl LeadCounts {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.new + self.retry_wait + self.dialing + self.done + self.exhausted + self.dnc + self.expired
    }

    /// The count of one state.
    #[must_use]
    pub const fn of(&self, state: LeadState) -> u64 {
        match state {
            LeadState::New => self.new,
            LeadState::RetryWait => self.retry_wait,
            LeadState::Dialing => self.dialing,
            LeadState::Done => self.done,
            LeadState::Exhausted => self.exhausted,
            LeadState::Dnc => self.dnc,
            LeadState::Expired => self.expired,
        }
    }

    /// Counts so many more in one state.
    pub fn add(&mut self, state: LeadState, count: u64) {
        let slot = match state {
            LeadState::New => &mut self.new,
            LeadState::RetryWait => &mut self.retry_wait,
            LeadState::Dialing => &mut self.dialing,
            LeadState::Done => &mut self.done,
            LeadState::Exhausted => &mut self.exhausted,
            LeadState::Dnc => &mut self.dnc,
            LeadState::Expired => &mut self.expired,
        };
        *slot += count;
    }
}

/// Where leads stand. `total` = dialing + done + exhausted + dnc (of `by_state`) + expired + attempts_spent +
/// waiting + due.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FunnelCounts {
    /// All leads of the lists.
    pub total: u64,
    /// By state.
    pub by_state: LeadCounts,
    /// Told to have expired, or new or waiting, but past their expiry.
    pub expired: u64,
    /// Of the rest: no attempts left.
    pub attempts_spent: u64,
    /// Of the rest: to be tried again later.
    pub waiting: u64,
    /// Of the rest: may be dialled now.
    pub due: u64,
    /// When the next waiting lead becomes due.
    pub next_due: Option<WallTime>,
}

/// Which way a call went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// We called.
    Outbound,
    /// A caller called a number of ours.
    Inbound,
    /// From one trunk to another.
    Transit,
}

/// Which call records.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CallRecordQuery {
    /// Started at or after.
    pub from: Option<WallTime>,
    /// Started before.
    pub to: Option<WallTime>,
    /// Of this campaign.
    pub campaign: Option<CampaignId>,
    /// Of this agent.
    pub agent: Option<AgentId>,
    /// Of this lead.
    pub lead: Option<LeadId>,
    /// To this number, as dialled.
    pub number: Option<String>,
    /// That went this way.
    pub direction: Option<Direction>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// Of this tenant; `None`: of all.
    pub tenant: Option<Tenant>,
    /// [`Page::next_cursor`] of the page before.
    pub cursor: Option<String>,
    /// At most so many, 1..=1000 (others are moved into that range).
    pub limit: u32,
}

/// What an agent said about a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disposition {
    /// The code.
    pub code: String,
    /// Free text.
    pub notes: Option<String>,
    /// Wanted callback.
    pub callback_at: Option<WallTime>,
    /// … by the agent who talked.
    pub callback_by_agent: bool,
    /// Fields filled in.
    pub fields: BTreeMap<String, String>,
    /// When it was said.
    pub at: WallTime,
}

/// A call record with what came after the call.
#[derive(Clone, PartialEq, Debug)]
pub struct CallRow {
    /// The record.
    pub record: CallRecord,
    /// The last disposition set.
    pub disposition: Option<Disposition>,
    /// After-call work, milliseconds.
    pub wrap_up_ms: Option<u64>,
    /// Its recordings that are kept, in the order in which they were completed.
    pub recordings: Vec<RecordingId>,
}

/// What became of a campaign's attempts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AttemptTotals {
    /// Calls that ended.
    pub ended: u64,
    /// Calls under way, or cut off by a crash and not yet closed.
    pub open: u64,
    /// Ended calls that were answered by anyone or anything.
    pub answered: u64,
    /// Ended calls that were joined to an agent.
    pub bridged: u64,
    /// Ended calls that were abandoned.
    pub abandoned: u64,
    /// Sum of talk time, milliseconds.
    pub talk_ms: u64,
    /// Ended calls by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
}

/// A person's number on a do-not-call list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PersonDnc {
    /// The list.
    pub list: DncListId,
    /// Until when; `None`: for good.
    pub until: Option<WallTime>,
    /// Kept by its hash alone.
    pub hashed: bool,
}

/// All that is kept about a person.
#[derive(Clone, PartialEq, Debug)]
pub struct Person {
    /// Leads with their number.
    pub leads: Vec<Lead>,
    /// Calls of their number and of these leads.
    pub calls: Vec<CallRow>,
    /// Recordings of these calls.
    pub recordings: Vec<RecordingRow>,
    /// Events about any of these, or with their number.
    pub events: Vec<EventEnvelope>,
    /// Do-not-call lists with their number.
    pub dnc: Vec<PersonDnc>,
    /// False: there is more than is told.
    pub complete: bool,
}

impl Default for Person {
    fn default() -> Self {
        Person {
            leads: Vec::new(),
            calls: Vec::new(),
            recordings: Vec::new(),
            events: Vec::new(),
            dnc: Vec::new(),
            complete: true,
        }
    }
}

/// What was forgotten of a person.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ErasedPerson {
    /// Leads that are gone.
    pub leads: u64,
    /// Calls that tell of nobody any more.
    pub calls: u64,
    /// Events that tell of nobody any more.
    pub events: u64,
    /// Settings that name the number in words of their own (`campaign_…`): they are left as they are.
    pub named_in: Vec<String>,
    /// Nothing of it is left in the files: neither in settings, the write-ahead log nor in unused parts of pages.
    pub complete: bool,
}

/// Which recordings.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecordingQuery {
    /// Of this call.
    pub call: Option<CallId>,
    /// Of this campaign.
    pub campaign: Option<CampaignId>,
    /// Of this agent.
    pub agent: Option<AgentId>,
    /// Of this tenant's calls that are over; `None`: of all calls.
    pub tenant: Option<Tenant>,
    /// [`Page::next_cursor`] of the page before.
    pub cursor: Option<String>,
    /// At most so many, 1..=1000 (others are moved into that range).
    pub limit: u32,
}

/// An API token; the secret itself is not kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenRow {
    /// Its name.
    pub id: TokenId,
    /// Shown name.
    pub name: String,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// First characters of the secret, to recognise it by.
    pub prefix: String,
    /// What it may do: `calls:read`, …
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: WallTime,
    /// When it stops working.
    pub expires_at: Option<WallTime>,
    /// Whose it is; `None`: the operator's.
    pub tenant: Option<Tenant>,
}

/// A secret that signs deliveries.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WebhookSecret {
    /// The key, 24 to 64 bytes.
    pub key: Vec<u8>,
    /// Signs until then; `None`: until it is replaced.
    pub until: Option<WallTime>,
}

/// Who is told of events over HTTP.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WebhookRow {
    /// Its name.
    pub id: WebhookId,
    /// Shown name.
    pub name: String,
    /// Where events are sent.
    pub url: String,
    /// Which events: `call.*`, `agent.state`; empty: all.
    pub types: Vec<String>,
    /// Only events of this campaign.
    pub campaign: Option<CampaignId>,
    /// Whose it is: only events of this tenant; `None`: the operator's, all events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The newest signs first.
    pub secrets: Vec<WebhookSecret>,
    /// Phone numbers are sent whole.
    pub numbers_whole: bool,
    /// Events are sent.
    pub enabled: bool,
    /// Why not.
    pub disabled_reason: Option<String>,
    /// Counts changes, from 1.
    pub version: u32,
    /// When it was made.
    pub created_at: WallTime,
}

/// An event that a webhook could not be told at the first try.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WebhookDelivery {
    /// The event's place in the stream.
    pub event_cursor: u64,
    /// Its type.
    pub event_type: String,
    /// Events with the same lane are told in order: a call's, else an agent's, else a campaign's.
    pub lane: String,
    /// Given up.
    pub dead: bool,
    /// Tries so far.
    pub attempts: u32,
    /// When it is tried again; when it was given up.
    pub next_at: WallTime,
    /// HTTP status of the last try, if there was a response.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: String,
}

/// How far a webhook is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebhookProgress {
    /// Which.
    pub webhook: WebhookId,
    /// Every event up to here was delivered, was not wanted, or is among its deliveries.
    pub position: u64,
    /// Deliveries that changed.
    pub put: Vec<WebhookDelivery>,
    /// Events whose deliveries are over.
    pub done: Vec<u64>,
}

/// Something somebody did that is kept as evidence.
#[derive(Clone, PartialEq, Debug)]
pub struct AuditEntry {
    /// When.
    pub at: WallTime,
    /// Who.
    pub by: Actor,
    /// What: `campaign.changed`, `recording.downloaded`, …
    pub action: String,
    /// With what: its name.
    pub target: String,
    /// What it was: of a change only what differs; secrets never.
    pub before: Option<serde_json::Value>,
    /// What it became, or particulars.
    pub after: Option<serde_json::Value>,
}

/// An entry of the audit log.
#[derive(Clone, PartialEq, Debug)]
pub struct AuditRow {
    /// Its place: rises, never used twice.
    pub no: u64,
    /// What it says.
    pub entry: AuditEntry,
}

/// Which entries of the audit log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuditQuery {
    /// At or after.
    pub from: Option<WallTime>,
    /// Before.
    pub to: Option<WallTime>,
    /// This action; with a `*` at its end: all that begin so.
    pub action: Option<String>,
    /// About the thing of this name.
    pub target: Option<String>,
    /// By this token.
    pub token: Option<TokenId>,
    /// By tokens of this tenant; `None`: by all.
    pub tenant: Option<Tenant>,
    /// [`Page::next_cursor`] of the page before.
    pub cursor: Option<String>,
    /// At most so many, 1..=1000 (others are moved into that range).
    pub limit: u32,
}

/// An entry of the abandonment ledger.
#[derive(Clone, PartialEq, Debug)]
pub struct LedgerRow {
    /// Its place: rises.
    pub no: u64,
    /// What it says.
    pub entry: LedgerEntry,
}

/// Which entries of the abandonment ledger.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LedgerQuery {
    /// At or after.
    pub from: Option<WallTime>,
    /// Before.
    pub to: Option<WallTime>,
    /// Of this campaign.
    pub campaign: Option<CampaignId>,
    /// Of this tenant's calls that are over; `None`: of all calls.
    pub tenant: Option<Tenant>,
    /// [`Page::next_cursor`] of the page before.
    pub cursor: Option<String>,
    /// At most so many, 1..=1000 (others are moved into that range).
    pub limit: u32,
}

/// A response kept under an idempotency key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdempotencyRow {
    /// The key, made unique by the caller among its clients.
    pub key: String,
    /// Digest of the request.
    pub fingerprint: [u8; 32],
    /// HTTP status of the response.
    pub status: u16,
    /// Its content type.
    pub content_type: String,
    /// Its body.
    pub body: Vec<u8>,
    /// When.
    pub at: WallTime,
}

/// How long commits took.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CommitHistogram {
    /// Commits that took at most the bound of the same place in [`CommitHistogram::BOUNDS_US`] (and more than
    /// the one before); the last counts those above all bounds.
    pub counts: [u64; CommitHistogram::BOUNDS_US.len() + 1],
    /// Sum, microseconds.
    pub sum_us: u64,
}

impl CommitHistogram {
    /// Upper bounds, microseconds.
    pub const BOUNDS_US: [u64; 12] =
        [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000];

    /// Number of commits.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn observe(&mut self, micros: u64) {
        let place =
            Self::BOUNDS_US.iter().position(|bound| micros <= *bound).unwrap_or(Self::BOUNDS_US.len());
        self.counts[place] += 1;
        self.sum_us = self.sum_us.saturating_add(micros);
    }
}

/// Counters since the store was opened, and gauges.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoreStats {
    /// Size of database and write-ahead log, bytes.
    pub journal_bytes: u64,
    /// Of which the write-ahead log.
    pub wal_bytes: u64,
    /// Appends that are durable.
    pub appends: u64,
    /// Records that are durable.
    pub records: u64,
    /// Appends waiting.
    pub queue_appends: u64,
    /// Records waiting.
    pub queue_records: u64,
    /// Durable commits of journal appends: SQL COMMIT with its fsync.
    pub commits: CommitHistogram,
    /// Attempts to write that failed and were repeated.
    pub failed_commits: u64,
    /// Records that contradict what is stored (a second end of a call, a second event under one cursor): logged,
    /// not applied.
    pub contradictions: u64,
    /// Records that could not be written at all and were set aside in the table `rejected`.
    pub rejected: u64,
    /// Stored events that could not be read back and were passed over.
    pub undecodable_events: u64,
    /// Leads written by imports.
    pub import_rows: u64,
    /// The last failure, if the store is unhealthy.
    pub failure: Option<String>,
}
