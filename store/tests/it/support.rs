//! A store in a folder of its own, and rows to put into it.

use dialer_core::caller_id::{CallerIdPoolConfig, CallerIdPoolRow, NumberState, PoolState, QuarantineReason};
use dialer_core::config::{
    AgentConfig, CampaignConfig, CampaignState, DialMode, DncListConfig, ListConfig, SessionKind, TrunkConfig,
};
use dialer_core::event::{Event, EventEnvelope};
use dialer_core::id::{Id, Kind};
use dialer_core::outcome::{EndCause, Evidence, Party};
use dialer_core::record::{
    AgentRow, AgentStatusRow, AttemptRow, CallKindTag, Callback, CampaignRow, ContactRow, DncListRow,
    DncNumbers, LeadProgress, LeadState, LedgerEntry, ListRow, PastAttempt, Phone, RecordingRow,
    RecordingStartRow, TrunkRow,
};
use dialer_core::serving::Membership;
use dialer_core::{CallId, CallRecord, LeadId, ListId, Outcome, Record};
use rusqlite::types::ValueRef;
use sansio::{Duration, Rng, WallTime};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, OnceLock};
use store::server::Server;
use store::{Durable, ImportOptions, NewLead, Options, Place, PostgresStore, SqliteStore, Store, StoreError};
use tempfile::TempDir;

/// Longer than anything here takes; only a defect waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The time at which all tests happen.
pub(crate) const NOW: WallTime = at(1_790_000_000_000);

pub(crate) const fn at(millis: i64) -> WallTime {
    WallTime::from_unix_millis(millis)
}

/// What a store stands on.
pub(crate) trait Ground: Sized {
    type Store: Store;

    /// A fresh one.
    fn new() -> Self;

    fn open(&self, options: Options) -> Result<Self::Store, StoreError>;

    /// Runs SQL beside the store and tells what it gives: rows by line, columns by `|`.
    fn sql(&self, sql: &str) -> Result<String, String>;

    /// Every value of every row of every table, as text.
    fn values(&self) -> Vec<(String, String)>;

    /// The file that holds the rows, if the store has one: nothing of what was erased may be left in it.
    fn file(&self) -> Vec<u8>;
}

impl Ground for TempDir {
    type Store = SqliteStore;

    fn new() -> TempDir {
        tempfile::tempdir().unwrap()
    }

    fn open(&self, options: Options) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(&self.path().join("store.db"), options)
    }

    fn sql(&self, sql: &str) -> Result<String, String> {
        let conn = rusqlite::Connection::open(self.path().join("store.db")).unwrap();
        let work = || -> rusqlite::Result<String> {
            let mut statement = conn.prepare(sql)?;
            let columns = statement.column_count();
            if columns == 0 {
                statement.execute([])?;
                return Ok(String::new());
            }
            let mut rows = statement.query([])?;
            let mut lines = Vec::new();
            while let Some(row) = rows.next()? {
                let values = (0..columns).map(|column| Ok(text(row.get_ref(column)?).unwrap_or_default()));
                lines.push(values.collect::<rusqlite::Result<Vec<_>>>()?.join("|"));
            }
            Ok(lines.join("\n"))
        };
        work().map_err(|error| error.to_string())
    }

    fn values(&self) -> Vec<(String, String)> {
        let conn = rusqlite::Connection::open(self.path().join("store.db")).unwrap();
        let tables = self.sql("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
        let mut found = Vec::new();
        for name in tables.lines() {
            let mut all = conn.prepare(&format!("SELECT * FROM {name}")).unwrap();
            let columns = all.column_count();
            let mut rows = all.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let values = (0..columns).filter_map(|column| text(row.get_ref(column).unwrap()));
                found.extend(values.map(|value| (name.to_owned(), value)));
            }
        }
        found
    }

    fn file(&self) -> Vec<u8> {
        std::fs::read(self.path().join("store.db")).unwrap()
    }
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Null | ValueRef::Real(_) => None,
    }
}

/// The server of this process's tests.
pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(&["fsync = off"]).unwrap_or_else(|why| panic!("{why}")))
}

/// A schema of its own on the server.
pub(crate) struct Schema {
    pub(crate) name: String,
}

impl Schema {
    pub(crate) fn place(&self) -> Place {
        server().place(&self.name)
    }
}

impl Ground for Schema {
    type Store = PostgresStore;

    fn new() -> Schema {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Schema { name: format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed)) }
    }

    fn open(&self, options: Options) -> Result<PostgresStore, StoreError> {
        PostgresStore::open(self.place(), Options { readers: 2, ..options })
    }

    fn sql(&self, sql: &str) -> Result<String, String> {
        server().sql(&self.name, sql)
    }

    fn values(&self) -> Vec<(String, String)> {
        let tables = self.sql(&format!("SELECT tablename FROM pg_tables WHERE schemaname = '{}'", self.name));
        let mut found = Vec::new();
        for name in tables.unwrap().lines() {
            let all =
                format!("SELECT coalesce(json_agg(value), '[]') FROM {name} t, jsonb_each_text(to_jsonb(t))");
            let values: Vec<Option<String>> = serde_json::from_str(&self.sql(&all).unwrap()).unwrap();
            found.extend(values.into_iter().flatten().map(|value| (name.to_owned(), plain(value))));
        }
        found
    }

    fn file(&self) -> Vec<u8> {
        Vec::new()
    }
}

/// Bytes that are shown as hexadecimal digits, as what they say.
fn plain(shown: String) -> String {
    let Some(digits) = shown.strip_prefix("\\x") else { return shown };
    let bytes: Vec<u8> = (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("hexadecimal digits"))
        .collect();
    match bytes.as_slice() {
        [1, number @ ..] if number.len() == 8 => i64::from_be_bytes(number.try_into().unwrap()).to_string(),
        bytes => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// A store, what it stands on, and what it told.
pub(crate) struct HouseOf<G: Ground> {
    pub(crate) store: G::Store,
    pub(crate) told: Mutex<Receiver<Durable>>,
    pub(crate) folder: G,
    seq: AtomicU64,
}

/// The embedded store in a folder.
pub(crate) type House = HouseOf<TempDir>;

impl House {
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }
}

impl<G: Ground> HouseOf<G> {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl Fn(&mut Options)) -> Self {
        Self::open(G::new(), change)
    }

    fn open(folder: G, change: impl Fn(&mut Options)) -> Self {
        let (tell, told) = channel();
        let mut options = Options::new(Box::new(move |news| {
            // The test may be over.
            let _ = tell.send(news);
        }));
        change(&mut options);
        let store = folder.open(options).unwrap_or_else(|error| panic!("{error}"));
        HouseOf { store, told: Mutex::new(told), folder, seq: AtomicU64::new(0) }
    }

    /// A store that tells only what these options say.
    pub(crate) fn bare(options: Options) -> (G::Store, G) {
        let folder = G::new();
        let store = folder.open(options).unwrap_or_else(|error| panic!("{error}"));
        (store, folder)
    }

    /// Closes it and opens it again, as after a restart.
    pub(crate) fn reopen(self) -> Self {
        let HouseOf { store, folder, .. } = self;
        drop(store);
        Self::open(folder, |_| {})
    }

    /// Appends one transaction; returns its number.
    pub(crate) fn append(&self, records: Vec<Record>) -> u64 {
        let seq = self.seq.fetch_add(1, Ordering::Relaxed) + 1;
        self.store.append(seq, records);
        seq
    }

    /// Appends and waits until it is durable.
    pub(crate) fn write(&self, records: Vec<Record>) {
        self.append(records);
        assert!(self.store.flush(PATIENCE));
    }

    /// The next thing told.
    pub(crate) fn news(&self) -> Durable {
        self.told.lock().unwrap().recv_timeout(PATIENCE).expect("the store tells something")
    }

    /// A list of this number.
    pub(crate) fn list(&self, number: u128) -> ListId {
        let id = id(number);
        self.write(vec![Record::ListPut(list_row(id))]);
        id
    }

    /// Imports rows as new leads.
    pub(crate) fn import(&self, list: ListId, rows: Vec<NewLead>) -> Vec<LeadId> {
        let options = ImportOptions { now: NOW, ..ImportOptions::default() };
        self.store
            .import_leads(list, rows, &options)
            .unwrap()
            .into_iter()
            .map(|verdict| match verdict {
                store::ImportVerdict::Accepted { lead } => lead,
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

pub(crate) fn id<K: Kind>(number: u128) -> Id<K> {
    Id::from_bits(number)
}

pub(crate) fn list_row(id: ListId) -> ListRow {
    ListRow {
        id,
        config: ListConfig { name: id.to_string(), ..ListConfig::default() },
        version: 1,
        created_at: NOW,
    }
}

/// A row of an import: `number` makes its phone number and its external id.
pub(crate) fn new_lead(number: u64) -> NewLead {
    let phone = format!("+861380{number:07}");
    NewLead {
        external_id: Some(format!("crm-{number}")),
        phones: vec![Phone { raw: phone.clone(), number: phone, kind: None }],
        ..NewLead::default()
    }
}

pub(crate) fn ended(call: CallId) -> CallRecord {
    CallRecord {
        call,
        tenant: None,
        attempt: None,
        campaign: None,
        lead: None,
        agent: None,
        trunk: None,
        kind: CallKindTag::Campaign,
        mode: Some(DialMode::Predictive),
        to: "+8613800138000".into(),
        caller_id: None,
        number_of_attempt: 1,
        started_at: NOW,
        ringing_at: None,
        answered_at: None,
        bridged_at: None,
        ended_at: NOW.plus_millis(20_000),
        outcome: Outcome::NoAnswer,
        evidence: Evidence::Sip,
        cause: EndCause::NoAnswer,
        ended_by: Party::System,
        sip_code: Some(487),
        q850: None,
        pdd_ms: Some(812),
        ring_ms: Some(19_000),
        answer_to_bridge_ms: None,
        talk_ms: 0,
        amd: None,
        early_media: None,
        abandoned: false,
        safe_harbour_played: false,
        digits: String::new(),
        recording: None,
        more_recordings: Vec::new(),
        client_state: None,
        verstat: None,
        reason: None,
        transferred_to: None,
        participants: Vec::new(),
        amd_detail: None,
        early_media_detail: None,
        media: Vec::new(),
    }
}

pub(crate) fn attempt(call: CallId, lead: Option<LeadId>) -> AttemptRow {
    AttemptRow {
        id: id(call.to_bits()),
        call,
        campaign: Some(id(1)),
        lead,
        agent: None,
        number_of_attempt: 1,
        to: "+8613800138000".into(),
        caller_id: Some("+862155550000".into()),
        trunk: id(1),
        mode: Some(DialMode::Predictive),
        at: NOW,
        client_state: Some("ticket:1".into()),
        inbound: false,
        transit: false,
        verstat: None,
        participants: Vec::new(),
    }
}

pub(crate) fn event(cursor: u64, event: Event) -> Record {
    Record::Event(Box::new(EventEnvelope {
        id: id(u128::from(cursor)),
        cursor,
        seq: None,
        occurred_at: NOW.plus_millis(cursor as i64),
        call: None,
        campaign: None,
        lead: None,
        agent: None,
        tenant: None,
        client_state: None,
        post_call: false,
        event,
    }))
}

/// An event of some size.
pub(crate) fn large(cursor: u64) -> Record {
    event(cursor, Event::AgentLoggedOut { reason: "x".repeat(5_000) })
}

/// What is told until health comes back; the numbers told durable must rise.
pub(crate) fn until_healthy<G: Ground>(house: &HouseOf<G>, mut last: u64) -> u64 {
    loop {
        match house.news() {
            Durable::UpTo(seq) => {
                assert!(seq > last);
                last = seq;
            }
            Durable::Unhealthy { .. } => panic!("told twice"),
            Durable::Healthy => return last,
        }
    }
}

/// Draws records about a few things, so that they meet.
pub(crate) struct Draw {
    pub(crate) rng: Rng,
    pub(crate) leads: Vec<LeadId>,
    pub(crate) cursor: u64,
}

impl Draw {
    fn id<K: Kind>(&mut self) -> Id<K> {
        id(u128::from(self.rng.below(4)) + 1)
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Draw) -> T) -> Option<T> {
        (self.rng.below(2) == 0).then(|| value(self))
    }

    fn time(&mut self) -> WallTime {
        // Around the edge of the ledger's window and about now.
        let days = [0, 1, 29, 30, 31][self.rng.below(5) as usize];
        NOW.plus_millis(-days * 86_400_000 + self.rng.below(3) as i64 - 1)
    }

    fn outcome(&mut self) -> Outcome {
        Outcome::ALL[self.rng.below(Outcome::ALL.len() as u64) as usize]
    }

    fn lead(&mut self) -> LeadId {
        let place = self.rng.below(self.leads.len() as u64 + 1) as usize;
        self.leads.get(place).copied().unwrap_or_else(|| id(999))
    }

    pub(crate) fn progress(&mut self) -> LeadProgress {
        LeadProgress {
            lead: self.lead(),
            state: LeadState::ALL[self.rng.below(7) as usize],
            attempts: self.rng.below(5) as u32,
            outcomes: (0..self.rng.below(3)).map(|n| (self.outcome(), n as u32)).collect(),
            last_outcome: self.maybe(Draw::outcome),
            last_attempt_at: self.maybe(Draw::time),
            next_at: self.maybe(Draw::time),
            next_phone: self.rng.below(2) as u32,
            recent: (0..self.rng.below(3)).map(|_| self.time()).collect(),
            agent_guaranteed_until: self.maybe(Draw::time),
            history: (0..self.rng.below(3)).map(|_| self.past()).collect(),
            callback: self.maybe(|draw| Callback {
                notes: draw.maybe(|_| "about the offer".into()),
                told: draw.rng.below(2) == 0,
                version: 1 + draw.rng.below(3) as u32,
                ..Callback::new(draw.time(), draw.maybe(Draw::id), draw.maybe(Draw::id))
            }),
        }
    }

    fn past(&mut self) -> PastAttempt {
        PastAttempt {
            call: self.id(),
            at: self.time(),
            outcome: self.outcome(),
            agent: self.maybe(Draw::id),
            talk_ms: self.rng.below(2) * 1_000,
            disposition: self.maybe(|_| "sale".into()),
            notes: self.maybe(|_| "王: wants \"blue\"".into()),
            refused: self.rng.below(2) == 0,
        }
    }

    fn dnc_entries(&mut self) -> DncNumbers {
        DncNumbers {
            numbers: (0..self.rng.below(4)).map(|_| 14_155_550_100 + self.rng.below(6)).collect(),
            prefixes: (0..self.rng.below(2)).map(|_| format!("19{}", self.rng.below(3))).collect(),
            hashes: (0..self.rng.below(2)).map(|_| u128::from(self.rng.below(3)) << 90).collect(),
            expires_at: self.maybe(Draw::time),
        }
    }

    pub(crate) fn record(&mut self) -> Record {
        match self.rng.below(28) {
            20 => Record::DncListPut(DncListRow {
                id: self.id(),
                config: DncListConfig {
                    name: "internal".into(),
                    everywhere: self.rng.chance(0.5),
                    ..DncListConfig::default()
                },
                version: 1,
                created_at: NOW,
            }),
            21 => Record::DncAdded { list: self.id(), entries: self.dnc_entries() },
            22 => Record::DncRemoved { list: self.id(), entries: self.dnc_entries() },
            23 => Record::DncListDeleted { list: self.id() },
            24 => Record::CallerIdPoolPut(CallerIdPoolRow {
                id: self.id(),
                config: CallerIdPoolConfig {
                    name: "north".into(),
                    numbers: vec!["+862155550000".into(), "+862155550001".into()],
                    ..CallerIdPoolConfig::default()
                },
                version: self.rng.next_u32(),
                created_at: NOW,
            }),
            25 => Record::CallerIdUsed {
                pool: self.id(),
                number: format!("+86215555000{}", self.rng.below(2)),
                at: self.time(),
            },
            26 => Record::CallerIdPoolState {
                pool: self.id(),
                state: Box::new(PoolState {
                    numbers: vec![NumberState {
                        number: "+862155550000".into(),
                        calls: self.rng.below(9),
                        cusum: self.rng.unit(),
                        quarantined_until: self.maybe(Draw::time),
                        reason: self.maybe(|_| QuarantineReason::Blocked),
                        ..NumberState::default()
                    }],
                    turn: self.rng.below(9),
                    ..PoolState::default()
                }),
                at: self.time(),
            },
            27 => Record::CallerIdPoolDeleted { pool: self.id() },
            0 => Record::TrunkPut(TrunkRow {
                id: self.id(),
                config: TrunkConfig {
                    name: "carrier".into(),
                    cps_max: self.rng.unit(),
                    ..TrunkConfig::default()
                },
                version: self.rng.next_u32(),
                created_at: self.time(),
            }),
            1 => Record::TrunkDeleted { trunk: self.id() },
            2 => Record::AgentPut(AgentRow {
                id: self.id(),
                config: AgentConfig {
                    name: "王芳".into(),
                    groups: vec!["a".into()],
                    skills: [("法语".to_owned(), 7)].into(),
                    memberships: [(self.id(), Membership { rank: -2, position: Some(1) })].into(),
                    ..AgentConfig::default()
                },
                version: self.rng.next_u32(),
                created_at: self.time(),
            }),
            3 => Record::AgentDeleted { agent: self.id() },
            4 => Record::AgentStatusChanged(AgentStatusRow {
                agent: self.id(),
                session: self.maybe(|_| SessionKind::OnDemand),
                paused: self.maybe(|_| "lunch".into()),
                calls_taken: self.rng.below(9) as u32,
                at: self.time(),
            }),
            5 => Record::ContactPut(ContactRow {
                agent: self.id(),
                uri: "sip:a@127.0.0.1:5070".into(),
                source: "127.0.0.1:5070".into(),
                listener: self.rng.below(200) as u8,
                expires_at: self.time(),
            }),
            6 => Record::ContactDeleted { agent: self.id() },
            7 => Record::ListPut(list_row(self.id())),
            8 if self.rng.below(4) == 0 => Record::ListDeleted { list: self.id() },
            8 | 9 => Record::CampaignPut(Box::new(CampaignRow {
                id: self.id(),
                config: CampaignConfig {
                    name: "续费".into(),
                    ratio: self.rng.unit(),
                    ..CampaignConfig::default()
                },
                state: CampaignState::Running,
                version: self.rng.next_u32(),
                created_at: self.time(),
            })),
            10 => Record::CampaignDeleted { campaign: self.id() },
            11 => {
                let lead = self.maybe(Draw::lead);
                Record::AttemptStarted(AttemptRow {
                    campaign: self.maybe(Draw::id),
                    at: self.time(),
                    ..attempt(self.id(), lead)
                })
            }
            12 => Record::CallEnded(Box::new(CallRecord {
                campaign: self.maybe(Draw::id),
                agent: self.maybe(Draw::id),
                lead: self.maybe(Draw::lead),
                outcome: self.outcome(),
                answered_at: self.maybe(Draw::time),
                bridged_at: self.maybe(Draw::time),
                abandoned: self.rng.below(2) == 0,
                talk_ms: self.rng.below(100_000),
                ..ended(self.id())
            })),
            13 | 14 => Record::LeadChanged(self.progress()),
            15 => Record::Ledger(LedgerEntry {
                campaign: self.id(),
                call: self.id(),
                at: self.time(),
                abandoned: self.rng.below(2) == 0,
            }),
            16 => Record::DispositionSet {
                call: self.id(),
                code: "sale".into(),
                notes: self.maybe(|_| "rings back \"soon\"\n".into()),
                callback_at: self.maybe(Draw::time),
                callback_by_agent: true,
                fields: [("order".to_owned(), "or 13900139000".to_owned())].into(),
                at: self.time(),
            },
            17 => Record::WrapUpEnded { call: self.id(), wrap_up_ms: self.rng.below(60_000) },
            18 => Record::PacerSketch {
                campaign: self.id(),
                sketch: (0..self.rng.below(50)).map(|_| self.rng.below(256) as u8).collect(),
            },
            _ => {
                if self.rng.below(4) == 0 {
                    let recording = id(u128::from(self.rng.below(20)));
                    if self.rng.below(3) == 0 {
                        return Record::RecordingLost { recording };
                    }
                    Record::RecordingStarted(RecordingStartRow {
                        pauses: Default::default(),
                        id: recording,
                        call: self.id(),
                        campaign: self.maybe(Draw::id),
                        agent: self.maybe(Draw::id),
                        file: "2026/09/rec.wav".into(),
                        at: self.time(),
                    })
                } else if self.rng.below(2) == 0 {
                    self.cursor += 1;
                    event(
                        self.cursor,
                        Event::CallDialing { to: "+1".into(), caller_id: None, trunk: id(1), attempt: 1 },
                    )
                } else {
                    Record::RecordingReady(RecordingRow {
                        id: id(u128::from(if self.rng.below(2) == 0 {
                            self.rng.below(20)
                        } else {
                            self.rng.next_u64()
                        })),
                        call: self.id(),
                        campaign: self.maybe(Draw::id),
                        agent: self.maybe(Draw::id),
                        file: "2026/09/rec.wav".into(),
                        duration_ms: self.rng.below(100_000),
                        paused_ms: self.rng.below(10_000),
                        undecodable: self.rng.chance(0.1),
                        cut_off: self.rng.chance(0.1),
                        bytes: self.rng.below(100_000),
                        at: self.time(),
                    })
                }
            }
        }
    }
}
