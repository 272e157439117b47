//! A plain model of the store: the state after a crash is the fold of the records that were durable.

use dialer_core::best_time::{BestTimeRow, ExperimentArm};
use dialer_core::calendar::CalendarRow;
use dialer_core::caller_id::{CallerIdPoolSnapshot, PoolState};
use dialer_core::inbound::InboundRouteRow;
use dialer_core::record::{AgentRow, Lead, LeadState};
use dialer_core::record::{
    AgentStatusRow, AttemptRow, CallKindTag, CampaignRow, ContactRow, CutFile, CutRecording, DncListRow,
    DncNumbers, DncSnapshot, LedgerEntry, ListRow, RecordingRow, RecordingStartRow, TrunkRow,
};
use dialer_core::recording::RecordedFile;
use dialer_core::screen::{Look, Screen};
use dialer_core::{
    AgentId, AttemptId, CalendarId, CallId, CallRecord, CallerIdPoolId, CampaignId, DncListId, EventEnvelope,
    InboundRouteId, LeadId, ListId, Record, RecordingId, Snapshot, TrunkId,
};
use sansio::WallTime;
use std::collections::BTreeMap;

type DncModel = (DncListRow, BTreeMap<u64, Option<WallTime>>, BTreeMap<String, Option<WallTime>>);

fn dnc_snapshot((row, numbers, prefixes): &DncModel) -> DncSnapshot {
    let mut entries: BTreeMap<Option<WallTime>, DncNumbers> = BTreeMap::new();
    for (number, at) in numbers {
        entries.entry(*at).or_default().numbers.push(*number);
    }
    for (prefix, at) in prefixes {
        entries.entry(*at).or_default().prefixes.push(prefix.clone());
    }
    for (at, of) in &mut entries {
        of.expires_at = *at;
    }
    DncSnapshot { row: row.clone(), entries: entries.into_values().collect() }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub(crate) trunks: BTreeMap<TrunkId, TrunkRow>,
    pub(crate) agents: BTreeMap<AgentId, AgentRow>,
    pub(crate) status: BTreeMap<AgentId, AgentStatusRow>,
    pub(crate) contacts: BTreeMap<AgentId, ContactRow>,
    pub(crate) lists: BTreeMap<ListId, ListRow>,
    pub(crate) dnc: BTreeMap<DncListId, DncModel>,
    pub(crate) pools: BTreeMap<CallerIdPoolId, CallerIdPoolSnapshot>,
    pub(crate) routes: BTreeMap<InboundRouteId, InboundRouteRow>,
    pub(crate) calendars: BTreeMap<CalendarId, CalendarRow>,
    pub(crate) hours: BTreeMap<(CampaignId, String, u8, ExperimentArm), (u64, u64)>,
    pub(crate) campaigns: BTreeMap<CampaignId, CampaignRow>,
    pub(crate) leads: BTreeMap<LeadId, Lead>,
    pub(crate) open: BTreeMap<AttemptId, AttemptRow>,
    pub(crate) attempts: u64,
    pub(crate) ended: BTreeMap<CallId, CallRecord>,
    pub(crate) recordings: BTreeMap<RecordingId, RecordingStartRow>,
    pub(crate) ledger: Vec<LedgerEntry>,
    pub(crate) events: Vec<EventEnvelope>,
    pub(crate) seqs: BTreeMap<CallId, u32>,
    pub(crate) sketches: BTreeMap<CampaignId, Vec<u8>>,
}

impl Store {
    pub(crate) fn write(&mut self, record: Record) {
        match record {
            Record::TrunkPut(row) => {
                self.trunks.insert(row.id, row);
            }
            Record::TrunkDeleted { trunk } => {
                self.trunks.remove(&trunk);
            }
            Record::AgentPut(row) => {
                self.agents.insert(row.id, row);
            }
            Record::AgentDeleted { agent } => {
                self.agents.remove(&agent);
                self.status.remove(&agent);
            }
            Record::AgentStatusChanged(row) => {
                self.status.insert(row.agent, row);
            }
            Record::ContactPut(row) => {
                self.contacts.insert(row.agent, row);
            }
            Record::ContactDeleted { agent } => {
                self.contacts.remove(&agent);
            }
            Record::ListPut(row) => {
                self.lists.insert(row.id, row);
            }
            Record::ListDeleted { list } => {
                self.lists.remove(&list);
                self.leads.retain(|_, lead| lead.list != list);
            }
            Record::CallerIdPoolPut(row) => {
                let (id, state) = (row.id, PoolState::default());
                let new = CallerIdPoolSnapshot { row: row.clone(), state, uses: Vec::new() };
                self.pools.entry(id).or_insert(new).row = row;
            }
            Record::BestTimeSeen { campaign, segment, hour, arm, answered } => {
                let key = (campaign, segment, hour, arm);
                let (tries, answers) = self.hours.entry(key).or_default();
                *tries += 1;
                *answers += u64::from(answered);
            }
            Record::ExperimentReset { campaign } => {
                for ((of, segment, hour, arm), (tries, answers)) in std::mem::take(&mut self.hours) {
                    let arm = if of == campaign { ExperimentArm::None } else { arm };
                    let sum = self.hours.entry((of, segment, hour, arm)).or_default();
                    *sum = (sum.0 + tries, sum.1 + answers);
                }
            }
            Record::InboundRoutePut(row) => drop(self.routes.insert(row.id, row.clone())),
            Record::InboundRouteDeleted { route } => drop(self.routes.remove(&route)),
            Record::CalendarPut(row) => drop(self.calendars.insert(row.id, row.clone())),
            Record::CalendarDeleted { calendar } => drop(self.calendars.remove(&calendar)),
            Record::CallerIdPoolDeleted { pool } => drop(self.pools.remove(&pool)),
            Record::CallerIdUsed { pool, number, at } => {
                if let Some(pool) = self.pools.get_mut(&pool) {
                    pool.uses.push((number, at));
                    pool.uses.sort_by_key(|(_, at)| *at);
                }
            }
            Record::CallerIdPoolState { pool, state, at } => {
                if let Some(pool) = self.pools.get_mut(&pool) {
                    // Uses are written down one by one.
                    let without_uses = serde_json::to_string(&state).unwrap();
                    pool.state = serde_json::from_str(&without_uses).unwrap();
                    pool.uses.retain(|(_, used)| *used >= at.plus_millis(-24 * 3_600_000));
                }
            }
            Record::DncListPut(row) => {
                let (id, new) = (row.id, (row.clone(), BTreeMap::new(), BTreeMap::new()));
                self.dnc.entry(id).or_insert(new).0 = row;
            }
            Record::DncListDeleted { list } => drop(self.dnc.remove(&list)),
            Record::DncAdded { list, entries } => {
                if let Some((_, numbers, prefixes)) = self.dnc.get_mut(&list) {
                    numbers.extend(entries.numbers.iter().map(|number| (*number, entries.expires_at)));
                    prefixes.extend(entries.prefixes.into_iter().map(|prefix| (prefix, entries.expires_at)));
                }
            }
            Record::DncRemoved { list, entries } => {
                if let Some((_, numbers, prefixes)) = self.dnc.get_mut(&list) {
                    numbers.retain(|number, _| !entries.numbers.contains(number));
                    prefixes.retain(|prefix, _| !entries.prefixes.contains(prefix));
                }
            }
            Record::CampaignPut(row) => {
                self.campaigns.insert(row.id, *row);
            }
            Record::CampaignDeleted { campaign } => {
                self.campaigns.remove(&campaign);
                self.hours.retain(|(of, ..), _| *of != campaign);
            }
            Record::AttemptStarted(row) => {
                self.attempts += 1;
                assert!(self.open.insert(row.id, row).is_none(), "an attempt starts once");
            }
            Record::AttemptChanged(row) => {
                let open = self.open.get_mut(&row.id).expect("an attempt changes while it is under way");
                *open = row;
            }
            Record::CallEnded(record) => {
                match record.attempt {
                    Some(attempt) => {
                        assert!(
                            self.open.remove(&attempt).is_some(),
                            "an attempt ends once, after its start"
                        );
                    }
                    // One that passes through has none in its record; it is over by its name, as in the store.
                    None => self.open.retain(|_, row| row.call != record.call),
                }
                let call = record.call;
                assert!(self.ended.insert(call, *record).is_none(), "one record per call: {call}");
            }
            Record::LeadChanged(progress) => {
                if let Some(lead) = self.leads.get_mut(&progress.lead) {
                    let anew = progress.attempts == 0 && progress.state == LeadState::New;
                    assert!(progress.attempts >= lead.progress.attempts || anew, "attempts only grow");
                    lead.progress = progress;
                }
            }
            Record::Ledger(entry) => self.ledger.push(entry),
            Record::Event(event) => {
                if let (Some(call), Some(seq)) = (event.call, event.seq) {
                    let last = self.seqs.entry(call).or_default();
                    assert_eq!(seq, *last + 1, "seq of {call} at {}", event.event.type_name());
                    *last = seq;
                }
                if let Some(last) = self.events.last() {
                    assert_eq!(event.cursor, last.cursor + 1);
                }
                self.events.push(*event);
            }
            Record::DispositionSet { .. } | Record::WrapUpEnded { .. } | Record::ChangedBy { .. } => {}
            Record::RecordingStarted(row) => {
                let (call, pauses) = (row.call, row.pauses);
                if let Some(before) = self.recordings.insert(row.id, row) {
                    assert!(before.call == call && before.pauses != pauses, "begun twice");
                }
            }
            Record::RecordingReady(RecordingRow { id, .. }) | Record::RecordingLost { recording: id } => {
                self.recordings.remove(&id);
            }
            Record::PacerSketch { campaign, sketch } => {
                self.sketches.insert(campaign, sketch);
            }
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let progress = |lead: Option<LeadId>| Some(self.leads.get(&lead?)?.progress.clone());
        let dialled =
            |record: &&CallRecord| !matches!(record.kind, CallKindTag::Inbound | CallKindTag::Transit);
        let mut dialled_numbers: Vec<_> = (self.ended.values().filter(dialled))
            .map(|record| (record.tenant.clone(), record.to.clone(), record.started_at))
            .collect();
        dialled_numbers.sort_by_key(|(_, _, at)| *at);
        Snapshot {
            dialled_numbers,
            trunks: self.trunks.values().cloned().collect(),
            agents: self.agents.values().cloned().collect(),
            agent_status: self.status.values().cloned().collect(),
            contacts: self.contacts.values().cloned().collect(),
            lists: self.lists.values().cloned().collect(),
            dnc: self.dnc.values().map(dnc_snapshot).collect(),
            best_time: self
                .hours
                .iter()
                .map(|((campaign, segment, hour, arm), (tries, answers))| BestTimeRow {
                    campaign: *campaign,
                    segment: segment.clone(),
                    hour: *hour,
                    arm: *arm,
                    tries: *tries,
                    answers: *answers,
                })
                .collect(),
            inbound_routes: self.routes.values().cloned().collect(),
            calendars: self.calendars.values().cloned().collect(),
            caller_id_pools: self.pools.values().cloned().collect(),
            campaigns: self.campaigns.values().cloned().collect(),
            open_attempts: self.open.values().map(|row| (row.clone(), progress(row.lead))).collect(),
            open_call_seqs: self
                .open
                .values()
                .filter_map(|row| Some((row.call, *self.seqs.get(&row.call)?)))
                .collect(),
            cut_recordings: self
                .recordings
                .values()
                .map(|start| CutRecording {
                    start: start.clone(),
                    found: CutFile::Mended(RecordedFile { cut_off: true, ..RecordedFile::default() }),
                })
                .collect(),
            ledger: self.ledger.clone(),
            pacer_sketches: self.sketches.iter().map(|(id, bytes)| (*id, bytes.clone())).collect(),
            last_cursor: self.events.last().map_or(0, |event| event.cursor),
        }
    }

    /// Leads that may be dialled, best first; whether there are more; when the next becomes due.
    pub(crate) fn load(
        &self,
        lists: &[ListId],
        limit: usize,
        due_at: WallTime,
        screen: &Screen,
    ) -> (Vec<Lead>, bool, Option<WallTime>) {
        let mut dialable: Vec<&Lead> = Vec::new();
        let mut screener = screen.at(due_at);
        let mut next_due: Option<WallTime> = None;
        for lead in self.leads.values().filter(|lead| lists.contains(&lead.list)) {
            if !matches!(lead.progress.state, LeadState::New | LeadState::RetryWait) {
                continue;
            }
            match lead.progress.next_at {
                Some(at) if at > due_at => next_due = Some(next_due.map_or(at, |old| old.min(at))),
                _ => match screener.look(lead) {
                    Look::Take => dialable.push(lead),
                    Look::Window(at) | Look::Frequency(at) | Look::Owner(at) => {
                        next_due = Some(next_due.map_or(at, |old| old.min(at)));
                    }
                    Look::ZoneUnknown | Look::Filtered => {}
                },
            }
        }
        let promised = |lead: &Lead| lead.progress.callback.as_ref().map(|promise| promise.at);
        dialable.sort_by_key(|lead| (promised(lead).is_none(), promised(lead), -lead.priority, lead.id));
        let more = dialable.len() > limit;
        (dialable.into_iter().take(limit).cloned().collect(), more, next_due)
    }

    /// Leads that wait and whose callback is due, those that are not told first, and when the next of those falls due.
    pub(crate) fn callbacks(&self, at: WallTime, limit: usize) -> (Vec<Lead>, Option<WallTime>) {
        let waits = |lead: &&Lead| lead.progress.state == LeadState::RetryWait;
        let promise = |lead: &Lead| lead.progress.callback.as_ref().map(|it| (it.told, it.at));
        let (mut due, to_come): (Vec<&Lead>, Vec<&Lead>) = self
            .leads
            .values()
            .filter(|lead| promise(lead).is_some())
            .filter(waits)
            .partition(|lead| promise(lead).is_some_and(|(_, its)| its <= at));
        due.sort_by_key(|lead| promise(lead));
        let next = to_come.into_iter().filter_map(|lead| promise(lead).map(|(_, its)| its)).min();
        (due.into_iter().take(limit).cloned().collect(), next)
    }

    /// Leads that wait although they have expired, and when the next will.
    pub(crate) fn expired(
        &self,
        lists: &[ListId],
        at: WallTime,
        limit: usize,
    ) -> (Vec<Lead>, Option<WallTime>) {
        let waits = |lead: &&Lead| {
            lists.contains(&lead.list) && matches!(lead.progress.state, LeadState::New | LeadState::RetryWait)
        };
        let (gone, to_come): (Vec<&Lead>, Vec<&Lead>) = self
            .leads
            .values()
            .filter(waits)
            .filter(|lead| lead.expires_at.is_some())
            .partition(|lead| lead.expires_at <= Some(at));
        let next = to_come.iter().filter_map(|lead| lead.expires_at).min();
        (gone.into_iter().take(limit).cloned().collect(), next)
    }

    /// What the records say of a caller.
    pub(crate) fn recall(&self, numbers: &[String], _called: &str) -> dialer_core::inbound::CallerMemory {
        let customer = |record: &CallRecord| match record.kind {
            CallKindTag::Inbound => record.caller_id.clone().unwrap_or_default(),
            _ => record.to.clone(),
        };
        let mut known: Vec<&CallRecord> =
            self.ended.values().filter(|record| numbers.contains(&customer(record))).collect();
        known.sort_by_key(|record| std::cmp::Reverse(record.started_at));
        let spoke = known.iter().find(|record| record.bridged_at.is_some());
        let has = |lead: &&Lead| lead.phones.iter().any(|phone| numbers.contains(&phone.number));
        dialer_core::inbound::CallerMemory {
            last_agent: spoke.and_then(|record| Some((record.agent?, record.started_at))),
            campaign: known.iter().find_map(|record| record.campaign),
            lead: self.leads.values().find(has).cloned(),
        }
    }
}
