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
use sansio::{Duration, Rng, WallTime};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use store::{Durable, ImportOptions, NewLead, Options, SqliteStore, Store};
use tempfile::TempDir;

/// Longer than anything here takes; only a defect waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The time at which all tests happen.
pub(crate) const NOW: WallTime = at(1_790_000_000_000);

pub(crate) const fn at(millis: i64) -> WallTime {
    WallTime::from_unix_millis(millis)
}

/// A store, its folder, and what it told.
pub(crate) struct House {
    pub(crate) store: SqliteStore,
    pub(crate) told: Mutex<Receiver<Durable>>,
    pub(crate) folder: TempDir,
    seq: AtomicU64,
}

impl House {
    pub(crate) fn new() -> House {
        House::with(|_| {})
    }

    pub(crate) fn with(change: impl Fn(&mut Options)) -> House {
        House::open(tempfile::tempdir().unwrap(), change)
    }

    fn open(folder: TempDir, change: impl Fn(&mut Options)) -> House {
        let (tell, told) = channel();
        let mut options = Options::new(Box::new(move |news| {
            // The test may be over.
            let _ = tell.send(news);
        }));
        change(&mut options);
        let store = SqliteStore::open(&folder.path().join("store.db"), options).unwrap();
        House { store, told: Mutex::new(told), folder, seq: AtomicU64::new(0) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    /// Closes it and opens it again, as after a restart.
    pub(crate) fn reopen(self) -> House {
        let House { store, folder, .. } = self;
        drop(store);
        House::open(folder, |_| {})
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
        config: ListConfig { name: id.to_string(), default_region: None },
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
        client_state: None,
        post_call: false,
        event,
    }))
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
        let states = [
            LeadState::New,
            LeadState::RetryWait,
            LeadState::Dialing,
            LeadState::Done,
            LeadState::Exhausted,
            LeadState::Dnc,
            LeadState::Expired,
        ];
        LeadProgress {
            lead: self.lead(),
            state: states[self.rng.below(7) as usize],
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
                    source: None,
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
