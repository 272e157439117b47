//! The store: an in-memory reference of the fold of all records, behind a disk that takes its time.

use dialer_core::record::{
    AgentRow, AgentStatusRow, AttemptRow, CampaignRow, ContactRow, CutFile, CutRecording, Lead, LeadState,
    LedgerEntry, ListRow, Record, RecordingRow, RecordingStartRow, Snapshot, TrunkRow,
};
use dialer_core::recording::RecordedFile;
use dialer_core::{AgentId, CallId, CampaignId, LeadId, ListId, RecordingId, TrunkId};
use sansio::{Duration, Instant, Rng, WallTime};
use std::collections::{BTreeMap, VecDeque};

/// How the disk behaves.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiskPlan {
    /// A commit takes from this …
    pub(crate) commit_ms_min: u64,
    /// … to this.
    pub(crate) commit_ms_max: u64,
    /// Nothing is written in these times.
    pub(crate) stalls: Vec<(Instant, Instant)>,
}

/// Everything durable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub(crate) trunks: BTreeMap<TrunkId, TrunkRow>,
    pub(crate) agents: BTreeMap<AgentId, AgentRow>,
    pub(crate) status: BTreeMap<AgentId, AgentStatusRow>,
    pub(crate) contacts: BTreeMap<AgentId, ContactRow>,
    pub(crate) lists: BTreeMap<ListId, ListRow>,
    pub(crate) campaigns: BTreeMap<CampaignId, CampaignRow>,
    pub(crate) leads: BTreeMap<LeadId, Lead>,
    pub(crate) open: BTreeMap<CallId, AttemptRow>,
    pub(crate) seqs: BTreeMap<CallId, u32>,
    pub(crate) recordings: BTreeMap<RecordingId, RecordingStartRow>,
    pub(crate) ledger: Vec<LedgerEntry>,
    pub(crate) sketches: BTreeMap<CampaignId, Vec<u8>>,
    pub(crate) last_cursor: u64,
}

/// A crash leaves a recording's file with something in it.
fn mended(start: &RecordingStartRow) -> CutRecording {
    let sound = RecordedFile {
        file: start.file.clone(),
        duration_ms: 1_000,
        bytes: 32_044,
        cut_off: true,
        ..RecordedFile::default()
    };
    CutRecording { start: start.clone(), found: CutFile::Mended(sound) }
}

impl Store {
    /// Applies one record: the fold.
    pub(crate) fn apply(&mut self, record: &Record) {
        match record.clone() {
            Record::TrunkPut(row) => drop(self.trunks.insert(row.id, row)),
            Record::TrunkDeleted { trunk } => drop(self.trunks.remove(&trunk)),
            Record::AgentPut(row) => drop(self.agents.insert(row.id, row)),
            Record::AgentDeleted { agent } => {
                self.agents.remove(&agent);
                self.status.remove(&agent);
                self.contacts.remove(&agent);
            }
            Record::AgentStatusChanged(row) => drop(self.status.insert(row.agent, row)),
            Record::ContactPut(row) => drop(self.contacts.insert(row.agent, row)),
            Record::ContactDeleted { agent } => drop(self.contacts.remove(&agent)),
            Record::ListPut(row) => drop(self.lists.insert(row.id, row)),
            Record::ListDeleted { list } => {
                self.lists.remove(&list);
                self.leads.retain(|_, lead| lead.list != list);
            }
            // Nobody keeps do-not-call lists there.
            Record::DncListPut(_)
            | Record::DncListDeleted { .. }
            | Record::DncAdded { .. }
            | Record::DncRemoved { .. }
            | Record::InboundRoutePut(_)
            | Record::BestTimeSeen { .. }
            | Record::ExperimentReset { .. }
            | Record::InboundRouteDeleted { .. }
            | Record::CalendarPut(_)
            | Record::CalendarDeleted { .. }
            | Record::CallerIdPoolPut(_)
            | Record::CallerIdPoolDeleted { .. }
            | Record::CallerIdUsed { .. }
            | Record::CallerIdPoolState { .. } => {}
            Record::CampaignPut(row) => drop(self.campaigns.insert(row.id, *row)),
            Record::CampaignDeleted { campaign } => {
                self.campaigns.remove(&campaign);
                self.sketches.remove(&campaign);
            }
            Record::AttemptStarted(row) => drop(self.open.insert(row.call, row)),
            Record::AttemptChanged(row) => {
                if let Some(open) = self.open.get_mut(&row.call) {
                    *open = row;
                }
            }
            Record::CallEnded(record) => drop(self.open.remove(&record.call)),
            Record::LeadChanged(progress) => {
                if let Some(lead) = self.leads.get_mut(&progress.lead) {
                    lead.progress = progress;
                }
            }
            Record::Ledger(entry) => self.ledger.push(entry),
            Record::PacerSketch { campaign, sketch } => drop(self.sketches.insert(campaign, sketch)),
            Record::Event(envelope) => {
                self.last_cursor = self.last_cursor.max(envelope.cursor);
                if let (Some(call), Some(seq)) = (envelope.call, envelope.seq) {
                    self.seqs.insert(call, seq);
                }
            }
            Record::DispositionSet { .. } | Record::WrapUpEnded { .. } | Record::ChangedBy { .. } => {}
            Record::RecordingStarted(row) => drop(self.recordings.insert(row.id, row)),
            Record::RecordingReady(RecordingRow { id, .. }) | Record::RecordingLost { recording: id } => {
                drop(self.recordings.remove(&id));
            }
        }
    }

    /// What a starting node is told.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let progress = |attempt: &AttemptRow| {
            attempt.lead.and_then(|lead| self.leads.get(&lead)).map(|lead| lead.progress.clone())
        };
        let seq = |call: &CallId| self.seqs.get(call).map(|seq| (*call, *seq));
        Snapshot {
            trunks: self.trunks.values().cloned().collect(),
            agents: self.agents.values().cloned().collect(),
            agent_status: self.status.values().cloned().collect(),
            contacts: self.contacts.values().cloned().collect(),
            lists: self.lists.values().cloned().collect(),
            dnc: Vec::new(),
            caller_id_pools: Vec::new(),
            inbound_routes: Vec::new(),
            calendars: Vec::new(),
            best_time: Vec::new(),
            campaigns: self.campaigns.values().cloned().collect(),
            open_attempts: self.open.values().map(|row| (row.clone(), progress(row))).collect(),
            open_call_seqs: self.open.keys().filter_map(seq).collect(),
            cut_recordings: self.recordings.values().map(mended).collect(),
            dialled_numbers: Vec::new(),
            ledger: self.ledger.clone(),
            pacer_sketches: self.sketches.iter().map(|(id, sketch)| (*id, sketch.clone())).collect(),
            last_cursor: self.last_cursor,
        }
    }

    /// Leads whose callback is due, those that are not told first; when the next of those falls due.
    pub(crate) fn callbacks(&self, due: WallTime, limit: usize) -> (Vec<Lead>, Option<WallTime>) {
        let waits = |lead: &&Lead| lead.progress.state == LeadState::RetryWait;
        let promise = |lead: &Lead| lead.progress.callback.as_ref().map(|its| (its.told, its.at));
        let promised = |lead: &&Lead| promise(lead).is_some();
        let (mut found, to_come): (Vec<&Lead>, Vec<&Lead>) = self
            .leads
            .values()
            .filter(promised)
            .filter(waits)
            .partition(|lead| promise(lead).is_some_and(|(_, at)| at <= due));
        found.sort_by_key(|lead| promise(lead));
        let next = to_come.into_iter().filter_map(|lead| promise(lead).map(|(_, at)| at)).min();
        (found.into_iter().take(limit).cloned().collect(), next)
    }

    /// Leads to dial, best first; whether there are more; when the next waiting one is due.
    pub(crate) fn load(
        &self,
        lists: &[ListId],
        limit: usize,
        due: WallTime,
    ) -> (Vec<Lead>, bool, Option<WallTime>) {
        let mut ready: Vec<&Lead> = Vec::new();
        let mut next_due: Option<WallTime> = None;
        for lead in self.leads.values().filter(|lead| lists.contains(&lead.list)) {
            match (lead.progress.state, lead.progress.next_at) {
                (LeadState::New | LeadState::RetryWait, Some(at)) if at > due => {
                    next_due = Some(next_due.map_or(at, |next| next.min(at)));
                }
                (LeadState::New | LeadState::RetryWait, _) => ready.push(lead),
                (
                    LeadState::Dialing
                    | LeadState::Done
                    | LeadState::Exhausted
                    | LeadState::Dnc
                    | LeadState::Expired,
                    _,
                ) => {}
            }
        }
        ready.sort_by_key(|lead| (std::cmp::Reverse(lead.priority), lead.id));
        let more = ready.len() > limit;
        (ready.into_iter().take(limit).cloned().collect(), more, next_due)
    }
}

/// The disk under the store.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) store: Store,
    plan: DiskPlan,
    rng: Rng,
    queue: VecDeque<(u64, Vec<Record>)>,
    /// Entries in the commit under way.
    under_way: usize,
    healed: bool,
}

impl Disk {
    pub(crate) fn new(plan: DiskPlan, rng: Rng) -> Self {
        Disk { store: Store::default(), plan, rng, queue: VecDeque::new(), under_way: 0, healed: false }
    }

    pub(crate) fn heal(&mut self) {
        self.healed = true;
    }

    /// Times at which writing stops and goes on.
    pub(crate) fn stalls(&self) -> &[(Instant, Instant)] {
        &self.plan.stalls
    }

    /// Takes an entry. If no commit is under way one begins; the time is that of its end.
    pub(crate) fn append(&mut self, now: Instant, seq: u64, records: Vec<Record>) -> Option<Instant> {
        self.queue.push_back((seq, records));
        if self.under_way > 0 { None } else { self.begin(now) }
    }

    /// A commit is complete: its entries, and when the next one will be.
    pub(crate) fn commit(&mut self, now: Instant) -> (Vec<(u64, Vec<Record>)>, Option<Instant>) {
        let done: Vec<_> = self.queue.drain(..self.under_way).collect();
        self.under_way = 0;
        for record in done.iter().flat_map(|(_, records)| records) {
            self.store.apply(record);
        }
        (done, self.begin(now))
    }

    /// The power goes. The commit under way may or may not have reached the disk; what came after it is lost.
    pub(crate) fn crash(&mut self) -> Vec<(u64, Vec<Record>)> {
        let whole = self.rng.chance(0.5);
        let kept: Vec<_> = if whole { self.queue.drain(..self.under_way).collect() } else { Vec::new() };
        self.queue.clear();
        self.under_way = 0;
        for record in kept.iter().flat_map(|(_, records)| records) {
            self.store.apply(record);
        }
        kept
    }

    /// How long a read takes.
    pub(crate) fn read_time(&mut self) -> Duration {
        Duration::from_millis(1 + self.rng.below(10))
    }

    fn begin(&mut self, now: Instant) -> Option<Instant> {
        if self.queue.is_empty() {
            return None;
        }
        self.under_way = self.queue.len();
        let (low, high) = (self.plan.commit_ms_min, self.plan.commit_ms_max);
        let took = now + Duration::from_micros(low * 1000 + self.rng.below((high - low) * 1000 + 1));
        let stall = self.plan.stalls.iter().find(|(from, to)| !self.healed && *from <= took && now < *to);
        Some(stall.map_or(took, |(_, to)| took.max(*to)))
    }
}
