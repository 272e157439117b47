//! What is loaded is the fold of what was appended.

use super::support::{Draw, Ground, House, NOW, PATIENCE, attempt, ended, event, id, new_lead};
use dialer_core::best_time::{BestTimeRow, ExperimentArm};
use dialer_core::calendar::CalendarRow;
use dialer_core::caller_id::{CallerIdPoolSnapshot, PoolState};
use dialer_core::event::{Event, EventEnvelope};
use dialer_core::inbound::InboundRouteRow;
use dialer_core::record::{
    AgentRow, AgentStatusRow, AttemptRow, CallKindTag, CampaignRow, ContactRow, CutFile, CutRecording,
    DncListRow, DncNumbers, DncSnapshot, LeadProgress, LedgerEntry, ListRow, RecordingRow, RecordingStartRow,
    TrunkRow,
};
use dialer_core::{
    AgentId, CalendarId, CallId, CallRecord, CallerIdPoolId, CampaignId, DncListId, InboundRouteId, LeadId,
    ListId, Record, RecordingId, Snapshot, TrunkId,
};
use proptest::prelude::*;
use sansio::{Rng, WallTime};
use std::collections::BTreeMap;
use store::{AttemptTotals, Disposition, LEDGER_WINDOW_MS, LeadCounts, LeadPageQuery, Store};

type Until<K> = BTreeMap<K, Option<WallTime>>;
type DncModel = (DncListRow, Until<u64>, Until<String>, Until<u128>);

fn dnc_snapshot((row, numbers, prefixes, hashes): &DncModel) -> DncSnapshot {
    let mut entries: BTreeMap<Option<WallTime>, DncNumbers> = BTreeMap::new();
    for (number, at) in numbers {
        entries.entry(*at).or_default().numbers.push(*number);
    }
    for (prefix, at) in prefixes {
        entries.entry(*at).or_default().prefixes.push(prefix.clone());
    }
    for (hash, at) in hashes {
        entries.entry(*at).or_default().hashes.push(*hash);
    }
    for (at, of) in &mut entries {
        of.expires_at = *at;
    }
    DncSnapshot { row: row.clone(), entries: entries.into_values().collect() }
}

fn since_yesterday(mut pool: CallerIdPoolSnapshot) -> CallerIdPoolSnapshot {
    pool.uses.retain(|(_, at)| *at >= NOW.plus_millis(-24 * 3_600_000));
    pool
}

/// The same in memory, as plain as it can be.
#[derive(Default)]
struct Fold {
    trunks: BTreeMap<TrunkId, TrunkRow>,
    agents: BTreeMap<AgentId, AgentRow>,
    agent_status: BTreeMap<AgentId, AgentStatusRow>,
    contacts: BTreeMap<AgentId, ContactRow>,
    lists: BTreeMap<ListId, ListRow>,
    dnc: BTreeMap<DncListId, DncModel>,
    pools: BTreeMap<CallerIdPoolId, CallerIdPoolSnapshot>,
    routes: BTreeMap<InboundRouteId, InboundRouteRow>,
    calendars: BTreeMap<CalendarId, CalendarRow>,
    hours: BTreeMap<(CampaignId, String, u8, ExperimentArm), (u64, u64)>,
    campaigns: BTreeMap<CampaignId, CampaignRow>,
    leads: BTreeMap<LeadId, (ListId, LeadProgress)>,
    open: BTreeMap<CallId, AttemptRow>,
    ended: BTreeMap<CallId, CallRecord>,
    ledger: Vec<LedgerEntry>,
    dispositions: BTreeMap<CallId, Disposition>,
    wrap_ups: BTreeMap<CallId, u64>,
    recordings: BTreeMap<RecordingId, RecordingRow>,
    recordings_open: BTreeMap<RecordingId, RecordingStartRow>,
    sketches: BTreeMap<CampaignId, Vec<u8>>,
    events: BTreeMap<u64, EventEnvelope>,
    contradictions: u64,
}

impl Fold {
    fn apply(&mut self, record: Record) {
        match record {
            Record::TrunkPut(row) => drop(self.trunks.insert(row.id, row)),
            Record::TrunkDeleted { trunk } => drop(self.trunks.remove(&trunk)),
            Record::AgentPut(row) => drop(self.agents.insert(row.id, row)),
            Record::AgentDeleted { agent } => {
                self.agents.remove(&agent);
                self.agent_status.remove(&agent);
                self.contacts.remove(&agent);
            }
            Record::AgentStatusChanged(row) => drop(self.agent_status.insert(row.agent, row)),
            Record::ContactPut(row) => drop(self.contacts.insert(row.agent, row)),
            Record::ContactDeleted { agent } => drop(self.contacts.remove(&agent)),
            Record::ListPut(row) => drop(self.lists.insert(row.id, row)),
            Record::ListDeleted { list } => {
                self.lists.remove(&list);
                self.leads.retain(|_, (of, _)| *of != list);
            }
            Record::CampaignPut(row) => drop(self.campaigns.insert(row.id, *row)),
            Record::CampaignDeleted { campaign } => {
                self.campaigns.remove(&campaign);
                self.hours.retain(|(of, ..), _| *of != campaign);
                self.sketches.remove(&campaign);
            }
            Record::CallerIdPoolPut(row) => {
                let (id, state) = (row.id, PoolState::default());
                let new = CallerIdPoolSnapshot { row: row.clone(), state, uses: Vec::new() };
                self.pools.entry(id).or_insert(new).row = row;
            }
            Record::BestTimeSeen { campaign, segment, hour, arm, answered } => {
                let key = (campaign, segment.clone(), hour, arm);
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
                let (id, new) = (row.id, (row.clone(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new()));
                self.dnc.entry(id).or_insert(new).0 = row;
            }
            Record::DncListDeleted { list } => drop(self.dnc.remove(&list)),
            Record::DncAdded { list, entries } => {
                if let Some((_, numbers, prefixes, hashes)) = self.dnc.get_mut(&list) {
                    numbers.extend(entries.numbers.iter().map(|number| (*number, entries.expires_at)));
                    prefixes.extend(entries.prefixes.into_iter().map(|prefix| (prefix, entries.expires_at)));
                    hashes.extend(entries.hashes.into_iter().map(|hash| (hash, entries.expires_at)));
                }
            }
            Record::DncRemoved { list, entries } => {
                if let Some((_, numbers, prefixes, hashes)) = self.dnc.get_mut(&list) {
                    numbers.retain(|number, _| !entries.numbers.contains(number));
                    prefixes.retain(|prefix, _| !entries.prefixes.contains(prefix));
                    hashes.retain(|hash, _| !entries.hashes.contains(hash));
                }
            }
            Record::AttemptStarted(row) => {
                if self.ended.contains_key(&row.call) || self.open.contains_key(&row.call) {
                    self.contradictions += 1;
                } else {
                    self.open.insert(row.call, row);
                }
            }
            Record::AttemptChanged(row) => {
                if let Some(open) = self.open.get_mut(&row.call) {
                    *open = row;
                }
            }
            Record::CallEnded(record) => {
                if self.ended.contains_key(&record.call) {
                    self.contradictions += 1;
                } else {
                    self.open.remove(&record.call);
                    self.ended.insert(record.call, *record);
                }
            }
            Record::LeadChanged(progress) => {
                if let Some((_, stored)) = self.leads.get_mut(&progress.lead) {
                    *stored = progress;
                }
            }
            Record::Ledger(entry) => self.ledger.push(entry),
            Record::DispositionSet { call, code, notes, callback_at, callback_by_agent, fields, at } => {
                let said = Disposition { code, notes, callback_at, callback_by_agent, fields, at };
                self.dispositions.insert(call, said);
            }
            Record::WrapUpEnded { call, wrap_up_ms } => drop(self.wrap_ups.insert(call, wrap_up_ms)),
            Record::RecordingStarted(row) => drop(self.recordings_open.insert(row.id, row)),
            Record::RecordingReady(row) => {
                self.recordings_open.remove(&row.id);
                self.contradictions += u64::from(self.recordings.contains_key(&row.id));
                self.recordings.entry(row.id).or_insert(row);
            }
            Record::RecordingLost { recording } => drop(self.recordings_open.remove(&recording)),
            // The audit log has tests of its own.
            Record::ChangedBy { .. } => {}
            Record::PacerSketch { campaign, sketch } => drop(self.sketches.insert(campaign, sketch)),
            Record::Event(envelope) => drop(self.events.insert(envelope.cursor, *envelope)),
        }
    }

    fn snapshot(&self) -> Snapshot {
        let since = NOW.plus_millis(-LEDGER_WINDOW_MS);
        let progress = |lead: LeadId| self.leads.get(&lead).map(|(_, progress)| progress.clone());
        let yesterday = NOW.plus_millis(-24 * 3_600_000);
        let dialled =
            |record: &&CallRecord| !matches!(record.kind, CallKindTag::Inbound | CallKindTag::Transit);
        let of_late = self.ended.values().filter(dialled).filter(|record| record.started_at >= yesterday);
        let mut dialled_numbers: Vec<_> =
            of_late.map(|record| (record.tenant.clone(), record.to.clone(), record.started_at)).collect();
        dialled_numbers.sort_by(|a, b| (a.2, &a.1).cmp(&(b.2, &b.1)));
        Snapshot {
            dialled_numbers,
            trunks: self.trunks.values().cloned().collect(),
            agents: self.agents.values().cloned().collect(),
            agent_status: self.agent_status.values().cloned().collect(),
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
            caller_id_pools: self.pools.values().map(|pool| since_yesterday(pool.clone())).collect(),
            campaigns: self.campaigns.values().cloned().collect(),
            open_attempts: self
                .open
                .values()
                .map(|attempt| (attempt.clone(), attempt.lead.and_then(progress)))
                .collect(),
            open_call_seqs: self
                .open
                .values()
                .filter_map(|attempt| {
                    let of_call = |event: &&EventEnvelope| event.call == Some(attempt.call);
                    let last =
                        self.events.values().rev().find(|event| of_call(event) && event.seq.is_some())?;
                    Some((attempt.call, last.seq?))
                })
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .collect(),
            cut_recordings: self
                .recordings_open
                .values()
                .map(|start| CutRecording { start: start.clone(), found: CutFile::Unknown })
                .collect(),
            ledger: self.ledger.iter().filter(|entry| entry.at >= since).cloned().collect(),
            pacer_sketches: self
                .sketches
                .iter()
                .map(|(campaign, sketch)| (*campaign, sketch.clone()))
                .collect(),
            last_cursor: self.events.keys().last().copied().unwrap_or(0),
        }
    }

    fn totals(&self, campaign: CampaignId) -> AttemptTotals {
        let of = |of: Option<CampaignId>| of == Some(campaign);
        let mut totals = AttemptTotals {
            open: self.open.values().filter(|attempt| of(attempt.campaign)).count() as u64,
            ..AttemptTotals::default()
        };
        for record in self.ended.values().filter(|record| of(record.campaign)) {
            totals.ended += 1;
            totals.answered += u64::from(record.answered_at.is_some());
            totals.bridged += u64::from(record.bridged_at.is_some());
            totals.abandoned += u64::from(record.abandoned);
            totals.talk_ms += record.talk_ms;
            *totals.outcomes.entry(record.outcome).or_default() += 1;
        }
        totals
    }
}

fn compare(fold: &Fold, house: &House) {
    assert_eq!(house.store.load(NOW).unwrap(), fold.snapshot());
    for campaign in (1..=4).map(id) {
        assert_eq!(house.store.attempt_totals(campaign).unwrap(), fold.totals(campaign));
    }
    for call in (1..=4).map(id) {
        let row = house.store.record(call).unwrap();
        assert_eq!(row.as_ref().map(|row| &row.record), fold.ended.get(&call));
        if let Some(row) = row {
            assert_eq!(row.disposition.as_ref(), fold.dispositions.get(&call));
            assert_eq!(row.wrap_up_ms, fold.wrap_ups.get(&call).copied());
        }
    }
    for (id, row) in &fold.recordings {
        assert_eq!(house.store.recording(*id).unwrap().as_ref(), Some(row));
    }
    let events = house.store.events_since(0, 10_000).unwrap();
    assert_eq!(events, fold.events.values().cloned().collect::<Vec<_>>());
    for list in (1..=4).map(id) {
        if !fold.lists.contains_key(&list) {
            assert!(house.store.lead_counts(list).is_err());
            continue;
        }
        let expected: Vec<&LeadProgress> =
            fold.leads.values().filter(|(of, _)| *of == list).map(|(_, progress)| progress).collect();
        let query = LeadPageQuery { list, state: None, cursor: None, limit: 1000 };
        let stored = house.store.leads(&query).unwrap().items;
        let mut stored: Vec<&LeadProgress> = stored.iter().map(|lead| &lead.progress).collect();
        stored.sort_by_key(|progress| progress.lead);
        assert_eq!(stored, expected);
        let mut counts = LeadCounts::default();
        for progress in expected {
            *slot(&mut counts, progress) += 1;
        }
        assert_eq!(house.store.lead_counts(list).unwrap(), counts);
    }
}

fn slot<'c>(counts: &'c mut LeadCounts, progress: &LeadProgress) -> &'c mut u64 {
    use dialer_core::record::LeadState as S;
    match progress.state {
        S::New => &mut counts.new,
        S::RetryWait => &mut counts.retry_wait,
        S::Dialing => &mut counts.dialing,
        S::Done => &mut counts.done,
        S::Exhausted => &mut counts.exhausted,
        S::Dnc => &mut counts.dnc,
        S::Expired => &mut counts.expired,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_snapshot_is_the_fold_of_the_records(seed: u64, transactions in 1..80_u64) {
        let house = House::new();
        let mut fold = Fold::default();
        let mut leads = Vec::new();
        for list in [id::<dialer_core::id::ListKind>(1), id(2)] {
            let list = house.list(list.to_bits());
            fold.apply(Record::ListPut(super::support::list_row(list)));
            for lead in house.import(list, (0..5).map(new_lead).collect()) {
                fold.leads.insert(lead, (list, LeadProgress::fresh(lead)));
                leads.push(lead);
            }
        }
        let mut draw = Draw { rng: Rng::from_seed(seed), leads, cursor: 0 };
        for _ in 0..transactions {
            let records: Vec<Record> = (0..=draw.rng.below(4)).map(|_| draw.record()).collect();
            records.iter().cloned().for_each(|record| fold.apply(record));
            house.append(records);
        }
        prop_assert!(house.store.flush(PATIENCE));
        compare(&fold, &house);
        prop_assert_eq!(house.store.stats().contradictions, fold.contradictions);
        prop_assert_eq!(house.store.stats().rejected, 0);
        compare(&fold, &house.reopen());
    }
}

#[test]
fn a_second_end_of_a_call_is_counted_and_not_applied() {
    let house = House::new();
    let call = id(7);
    house.write(vec![Record::AttemptStarted(attempt(call, None))]);
    assert_eq!(house.store.load(NOW).unwrap().open_attempts.len(), 1);
    let first = ended(call);
    house.write(vec![Record::CallEnded(Box::new(first.clone()))]);
    let second = CallRecord { talk_ms: 5, ..first.clone() };
    house.write(vec![Record::CallEnded(Box::new(second)), Record::WrapUpEnded { call, wrap_up_ms: 9 }]);
    house.write(vec![Record::AttemptStarted(attempt(call, None))]);
    assert_eq!(house.store.load(NOW).unwrap().open_attempts, []);
    let row = house.store.record(call).unwrap().unwrap();
    assert_eq!(row.record, first);
    assert_eq!(row.wrap_up_ms, Some(9), "the rest of the transaction is written");
    assert_eq!(house.store.stats().contradictions, 2);
    assert!(house.store.healthy());
}

#[test]
fn an_open_attempt_comes_with_its_leads_progress() {
    let house = House::new();
    let list = house.list(1);
    let lead = house.import(list, vec![new_lead(1)])[0];
    let progress = LeadProgress {
        state: dialer_core::record::LeadState::Dialing,
        attempts: 1,
        last_attempt_at: Some(NOW),
        ..LeadProgress::fresh(lead)
    };
    let started = attempt(id(3), Some(lead));
    house.write(vec![Record::AttemptStarted(started.clone()), Record::LeadChanged(progress.clone())]);
    let house = house.reopen();
    assert_eq!(house.store.load(NOW).unwrap().open_attempts, [(started, Some(progress))]);
}

#[test]
fn leads_of_a_deleted_list_are_cleared_away() {
    let house = House::new();
    let list = house.list(1);
    house.import(list, (0..2_500).map(new_lead).collect());
    house.write(vec![Record::ListDeleted { list }]);
    // A list of the same name is another list: nothing of the old one is seen in it.
    let list = house.list(1);
    assert_eq!(house.store.lead_counts(list).unwrap().total(), 0);
    assert_eq!(house.import(list, (0..10).map(new_lead).collect()).len(), 10);
    let house = house.reopen();
    while house.folder.sql("SELECT count(*) FROM list_purge").unwrap() != "0" {
        std::thread::yield_now();
    }
    for table in ["lead", "lead_number"] {
        assert_eq!(house.folder.sql(&format!("SELECT count(*) FROM {table}")).unwrap(), "10", "{table}");
    }
}

/// The clock was set back by hours in the middle of a call: what came after the attempt looks older than it, and its
/// stream goes on where it stood all the same.
#[test]
fn a_clock_that_was_set_back_hides_no_events_of_an_open_attempt() {
    let house = House::new();
    let (call, set_back_ms) = (id(7), -6 * 3_600_000);
    house.write(vec![Record::AttemptStarted(attempt(call, None))]);
    for (cursor, seq, call) in [(1, Some(1), Some(call)), (2, Some(2), Some(call)), (3, None, None)] {
        let Record::Event(mut envelope) = event(cursor, Event::AgentLoggedIn) else { panic!() };
        let by_ms = if cursor == 1 { 0 } else { set_back_ms };
        (envelope.call, envelope.seq) = (call, seq);
        envelope.occurred_at = NOW.plus_millis(by_ms + cursor as i64);
        house.write(vec![Record::Event(envelope)]);
    }
    let snapshot = house.reopen().store.load(NOW.plus_millis(set_back_ms + 10)).unwrap();
    assert_eq!(snapshot.open_call_seqs, [(call, 2)]);
}

/// Who takes part in a call is kept with its open attempt; one that is over is not brought back.
#[test]
fn an_attempt_that_changes_is_kept_as_it_is_now() {
    let house = House::new();
    let call = id(7);
    let mut row = attempt(call, None);
    house.write(vec![Record::AttemptStarted(row.clone())]);
    row.participants = vec![dialer_core::participant::ParticipantRecord {
        leg: id(1),
        agent: None,
        to: Some("+493011".into()),
        mode: None,
        asked_at: NOW,
        joined_at: Some(NOW),
        left_at: NOW,
        cause: dialer_core::EndCause::NodeRestart,
        took_over: false,
    }];
    house.write(vec![Record::AttemptChanged(row.clone())]);
    let house = house.reopen();
    assert_eq!(house.store.load(NOW).unwrap().open_attempts, [(row.clone(), None)]);
    house.write(vec![Record::CallEnded(Box::new(ended(call)))]);
    house.write(vec![Record::AttemptChanged(row)]);
    assert_eq!(house.store.load(NOW).unwrap().open_attempts, []);
}
