//! Records, recordings, events, tokens, idempotency keys.

use super::support::{Ground, House, NOW, ended, event, id};
use dialer_core::event::Event;
use dialer_core::record::{CallKindTag, RecordingRow};
use dialer_core::{CallId, CallRecord, Outcome, Record, Tenant};
use sansio::WallTime;
use store::{
    CallRecordQuery, CallRow, Direction, IDEMPOTENCY_LIFETIME_MS, IdempotencyRow, RecordingQuery, Store,
    StoreError, TokenRow,
};

fn record(number: u128, started: i64, change: impl Fn(&mut CallRecord)) -> Record {
    let mut record = CallRecord { started_at: NOW.plus_millis(started), ..ended(id(number)) };
    change(&mut record);
    Record::CallEnded(Box::new(record))
}

/// All calls of a query, page by page.
fn walk(house: &House, query: &CallRecordQuery) -> Vec<u128> {
    let mut query = query.clone();
    let mut told = Vec::new();
    loop {
        let page = house.store.records(&query).unwrap();
        assert!(page.items.len() <= query.limit as usize);
        told.extend(page.items.iter().map(|row: &CallRow| row.record.call.to_bits()));
        let Some(next) = page.next_cursor else { return told };
        query.cursor = Some(next);
    }
}

#[test]
fn records_are_found_by_each_filter_newest_first() {
    let house = House::new();
    house.write(vec![
        record(1, 0, |r| r.campaign = Some(id(1))),
        record(2, 30, |r| (r.campaign, r.agent) = (Some(id(1)), Some(id(5)))),
        record(3, 10, |r| (r.campaign, r.agent) = (Some(id(2)), Some(id(5)))),
        record(4, 20, |r| {
            (r.lead, r.outcome, r.kind) = (Some(id(9)), Outcome::Busy, CallKindTag::Inbound);
        }),
        record(5, 20, |r| (r.to, r.tenant) = ("+14155550100".into(), Tenant::new("acme"))),
    ]);
    let of = Tenant::new;
    let all = CallRecordQuery { limit: 100, ..CallRecordQuery::default() };
    let time = |millis| Some(NOW.plus_millis(millis));
    let cases: Vec<(CallRecordQuery, Vec<u128>)> = vec![
        (all.clone(), vec![2, 5, 4, 3, 1]),
        (CallRecordQuery { campaign: Some(id(1)), ..all.clone() }, vec![2, 1]),
        (CallRecordQuery { agent: Some(id(5)), ..all.clone() }, vec![2, 3]),
        (CallRecordQuery { agent: Some(id(5)), campaign: Some(id(2)), ..all.clone() }, vec![3]),
        (CallRecordQuery { lead: Some(id(9)), ..all.clone() }, vec![4]),
        (CallRecordQuery { number: Some("+14155550100".into()), ..all.clone() }, vec![5]),
        (CallRecordQuery { outcome: Some(Outcome::Busy), ..all.clone() }, vec![4]),
        (CallRecordQuery { from: time(10), to: time(20), ..all.clone() }, vec![3]),
        (CallRecordQuery { from: time(20), ..all.clone() }, vec![2, 5, 4]),
        (CallRecordQuery { campaign: Some(id(1)), to: time(30), ..all.clone() }, vec![1]),
        (CallRecordQuery { campaign: Some(id(3)), ..all.clone() }, vec![]),
        (CallRecordQuery { tenant: of("acme"), ..all.clone() }, vec![5]),
        (CallRecordQuery { tenant: of("default"), ..all.clone() }, vec![]),
        (CallRecordQuery { tenant: of("acme"), campaign: Some(id(1)), ..all.clone() }, vec![]),
        (CallRecordQuery { direction: Some(Direction::Outbound), ..all.clone() }, vec![2, 5, 3, 1]),
        (CallRecordQuery { direction: Some(Direction::Inbound), ..all.clone() }, vec![4]),
        (CallRecordQuery { direction: Some(Direction::Transit), ..all.clone() }, vec![]),
        (
            CallRecordQuery { direction: Some(Direction::Outbound), agent: Some(id(5)), ..all.clone() },
            vec![2, 3],
        ),
    ];
    for (query, expected) in cases {
        for limit in [1, 2, 100] {
            let query = CallRecordQuery { limit, ..query.clone() };
            assert_eq!(walk(&house, &query), expected, "{query:?}");
        }
    }
    for cursor in ["", "1", "1.x", "x.1", "1.2.3"] {
        let bad = CallRecordQuery { cursor: Some(cursor.into()), ..all.clone() };
        assert!(matches!(house.store.records(&bad), Err(StoreError::BadCursor)), "{cursor}");
    }
}

#[test]
fn a_page_goes_on_where_it_was_while_new_calls_end() {
    let house = House::new();
    house.write((1..=4).map(|number| record(number, number as i64, |_| ())).collect());
    let first = CallRecordQuery { limit: 2, ..CallRecordQuery::default() };
    let page = house.store.records(&first).unwrap();
    house.write(vec![record(9, 99, |_| ())]);
    let next = CallRecordQuery { cursor: page.next_cursor, ..first };
    assert_eq!(walk(&house, &next), [2, 1]);
}

#[test]
fn what_came_after_a_call_is_told_with_it() {
    let house = House::new();
    let call: CallId = id(1);
    let said = |code: &str, at| Record::DispositionSet {
        call,
        code: code.into(),
        notes: Some("rings back".into()),
        callback_at: Some(NOW.plus_millis(7)),
        callback_by_agent: true,
        fields: [("order".to_owned(), "or 13900139000".to_owned())].into(),
        at,
    };
    // The disposition may be set while the call is still up.
    house.write(vec![said("callback", NOW), record(1, 0, |_| ())]);
    house.write(vec![said("sale", NOW.plus_millis(1)), Record::WrapUpEnded { call, wrap_up_ms: 1_500 }]);
    let row = house.store.record(call).unwrap().unwrap();
    let disposition = row.disposition.clone().unwrap();
    assert_eq!((disposition.code.as_str(), disposition.at), ("sale", NOW.plus_millis(1)));
    assert_eq!(disposition.callback_at, Some(NOW.plus_millis(7)));
    assert_eq!(row.wrap_up_ms, Some(1_500));
    let page = house.store.records(&CallRecordQuery { limit: 5, ..CallRecordQuery::default() }).unwrap();
    assert_eq!(page.items, [row]);
    assert_eq!(house.store.record(id(2)).unwrap(), None);
}

#[test]
fn recordings_are_listed_newest_first() {
    let house = House::new();
    let row = |number: u128, at: i64, agent: u128| RecordingRow {
        id: id(number),
        call: id(number),
        campaign: Some(id(1)),
        agent: Some(id(agent)),
        file: format!("{number}.wav"),
        duration_ms: 1_000,
        paused_ms: 0,
        undecodable: false,
        cut_off: false,
        bytes: 16_044,
        at: NOW.plus_millis(at),
    };
    let rows = [row(1, 5, 1), row(2, 9, 2), row(3, 5, 1)];
    house.write(rows.iter().cloned().map(Record::RecordingReady).collect());
    let all = RecordingQuery { limit: 10, ..RecordingQuery::default() };
    let told = |query: RecordingQuery| -> Vec<u128> {
        let mut query = RecordingQuery { limit: 1, ..query };
        let mut told = Vec::new();
        loop {
            let page = house.store.recordings(&query).unwrap();
            told.extend(page.items.iter().map(|row| row.id.to_bits()));
            let Some(next) = page.next_cursor else { return told };
            query.cursor = Some(next);
        }
    };
    assert_eq!(told(all.clone()), [2, 3, 1]);
    assert_eq!(told(RecordingQuery { agent: Some(id(1)), ..all.clone() }), [3, 1]);
    assert_eq!(told(RecordingQuery { call: Some(id(2)), ..all.clone() }), [2]);
    assert_eq!(told(RecordingQuery { campaign: Some(id(2)), ..all.clone() }), [0; 0]);
    assert_eq!(house.store.recording(id(2)).unwrap(), Some(rows[1].clone()));
    assert_eq!(house.store.recording(id(4)).unwrap(), None);
    house.write(vec![Record::RecordingReady(rows[0].clone())]);
    assert_eq!(house.store.stats().contradictions, 1);
}

fn cursors(house: &House, since: u64, limit: u32) -> Vec<u64> {
    house.store.events_since(since, limit).unwrap().iter().map(|event| event.cursor).collect()
}

#[test]
fn events_are_read_on_from_a_cursor_and_pruned_from_the_front() {
    let house = House::new();
    assert_eq!(house.store.oldest_cursor().unwrap(), None);
    assert_eq!(house.store.prune_events(NOW, u64::MAX).unwrap(), 0);
    for cursor in 1..=6_000 {
        house.append(vec![event(cursor, Event::NodeDraining)]);
    }
    house.write(vec![]);
    assert_eq!(cursors(&house, 0, 2), [1, 2]);
    assert_eq!(cursors(&house, 5_998, 10), [5_999, 6_000]);
    assert_eq!(cursors(&house, 6_000, 10), [0; 0]);
    assert_eq!(house.store.prune_events(NOW.plus_millis(4_501), u64::MAX).unwrap(), 4_500);
    assert_eq!(house.store.oldest_cursor().unwrap(), Some(4_501));
    assert_eq!(cursors(&house, 0, 1), [4_501]);
    // The newest one stays, so that a restarted node knows where to go on.
    assert_eq!(house.store.prune_events(NOW.plus_millis(i64::from(u32::MAX)), u64::MAX).unwrap(), 1_499);
    assert_eq!(house.store.load(NOW).unwrap().last_cursor, 6_000);
    house.write(vec![event(6_000, Event::NodeDrained)]);
    assert_eq!(house.store.stats().contradictions, 1, "a cursor is given once");
}

#[test]
fn the_end_of_a_call_is_kept_once_and_told_whole() {
    let house = House::new();
    let record = ended(id(7));
    let Record::Event(mut envelope) = event(1, Event::CallEnded { record: Box::new(record.clone()) }) else {
        panic!("an event is a record of its own")
    };
    envelope.call = Some(id(7));
    envelope.seq = Some(4);
    envelope.client_state = Some("a \"mark\"".into());
    envelope.tenant = Tenant::new("acme");
    house.write(vec![Record::CallEnded(Box::new(record)), Record::Event(envelope.clone())]);
    assert_eq!(house.store.events_since(0, 10).unwrap(), [*envelope]);
    let text = house.folder.sql("SELECT data FROM event").unwrap();
    assert!(!text.contains("record") && text.len() < 400, "{text}");
}

#[test]
fn an_event_that_cannot_be_read_back_does_not_end_the_stream() {
    let house = House::new();
    house.write((1..=3).map(|cursor| event(cursor, Event::NodeDraining)).collect());
    house.folder.sql("UPDATE event SET data = '{' WHERE cursor = 2").unwrap();
    assert_eq!(cursors(&house, 0, 10), [1, 3]);
    assert_eq!(house.store.stats().undecodable_events, 1);
}

#[test]
fn tokens_are_found_by_the_digest_of_their_secret() {
    let house = House::new();
    let row = |number: u8| TokenRow {
        id: id(u128::from(number)),
        name: format!("token {number}"),
        hash: [number; 32],
        prefix: "dlr_live_ab".into(),
        scopes: vec!["calls:read".into(), "leads:pii".into()],
        created_at: NOW.plus_millis(-i64::from(number)),
        expires_at: (number == 1).then_some(NOW),
        tenant: (number == 2).then(Tenant::default),
    };
    for number in [1, 2] {
        house.store.put_token(&row(number), None).unwrap();
    }
    assert_eq!(house.store.token_by_hash(&[1; 32]).unwrap(), Some(row(1)));
    assert_eq!(house.store.token_by_hash(&[3; 32]).unwrap(), None);
    assert_eq!(house.store.tokens().unwrap(), [row(2), row(1)]);
    let renamed = TokenRow { name: "new".into(), ..row(1) };
    house.store.put_token(&renamed, None).unwrap();
    let house = house.reopen();
    assert_eq!(house.store.token_by_hash(&[1; 32]).unwrap(), Some(renamed));
    assert!(house.store.delete_token(id(1), None).unwrap());
    assert!(!house.store.delete_token(id(1), None).unwrap());
    assert_eq!(house.store.tokens().unwrap(), [row(2)]);
}

#[test]
fn a_response_is_kept_for_a_day() {
    let house = House::new();
    let row = |key: &str, at: WallTime| IdempotencyRow {
        key: key.into(),
        fingerprint: [7; 32],
        status: 202,
        content_type: "application/json".into(),
        body: b"{\"id\":1}".to_vec(),
        at,
    };
    house.store.put_idempotency(&row("a", NOW)).unwrap();
    let end = NOW.plus_millis(IDEMPOTENCY_LIFETIME_MS);
    assert_eq!(house.store.idempotency("a", end.plus_millis(-1)).unwrap(), Some(row("a", NOW)));
    assert_eq!(house.store.idempotency("a", end).unwrap(), None);
    assert_eq!(house.store.idempotency("b", NOW).unwrap(), None);
    house.store.put_idempotency(&row("b", end.plus_millis(-1))).unwrap();
    assert!(house.store.idempotency("a", NOW).unwrap().is_some());
    house.store.put_idempotency(&row("c", end)).unwrap();
    assert_eq!(house.store.idempotency("a", NOW).unwrap(), None, "forgotten");
    assert!(house.store.idempotency("b", end).unwrap().is_some());
}

/// Recordings and entries of the ledger are whose call they are of.
#[test]
fn what_a_tenants_calls_have_left() {
    use dialer_core::Tenant;
    use dialer_core::record::LedgerEntry;
    use store::LedgerQuery;
    let house = House::new();
    let (acme, blue) = (Tenant::new("acme").unwrap(), Tenant::new("blue").unwrap());
    for (n, tenant) in [(1_u128, Some(&acme)), (2, Some(&blue)), (3, None)] {
        let recording = RecordingRow {
            id: id(n),
            call: id(n),
            campaign: Some(id(1)),
            agent: None,
            file: format!("{n}.wav"),
            duration_ms: 1,
            paused_ms: 0,
            undecodable: false,
            cut_off: false,
            bytes: 1,
            at: NOW,
        };
        let entry = LedgerEntry { campaign: id(1), call: id(n), at: NOW, abandoned: false };
        let over = record(n, 0, |record| record.tenant = tenant.cloned());
        house.write(vec![Record::RecordingReady(recording), Record::Ledger(entry), over]);
    }
    for (tenant, expected) in [(Some(acme), vec![1]), (Some(blue), vec![2]), (None, vec![3, 2, 1])] {
        let query = RecordingQuery { tenant: tenant.clone(), limit: 10, ..RecordingQuery::default() };
        let found: Vec<u128> =
            house.store.recordings(&query).unwrap().items.iter().map(|row| row.id.to_bits()).collect();
        assert_eq!(found, expected, "{tenant:?}");
        let query = LedgerQuery { tenant: tenant.clone(), limit: 10, ..LedgerQuery::default() };
        let mut found: Vec<u128> =
            house.store.ledger(&query).unwrap().items.iter().map(|row| row.entry.call.to_bits()).collect();
        found.reverse();
        assert_eq!(found, expected, "{tenant:?}");
    }
}

/// The time of agents in each state is kept by the hour, over a crash that nobody saw the end of.
#[test]
fn agents_times_are_summed_by_the_hour() {
    use dialer_core::event::{Event, EventEnvelope};
    use dialer_core::view::AgentState as S;
    use dialer_core::{AgentId, EventId};
    use store::{AgentTime, AgentTimeQuery};
    let house = House::new();
    let agent: AgentId = id(1);
    const HOUR: i64 = 3_600_000;
    let began = NOW.unix_millis().div_euclid(HOUR) * HOUR;
    let mut cursor = 0;
    let mut moved = |from, to, after_ms: i64| {
        cursor += 1;
        let event = EventEnvelope {
            id: EventId::from_bits(cursor),
            cursor: cursor as u64,
            seq: None,
            occurred_at: sansio::WallTime::from_unix_millis(began + after_ms),
            call: None,
            campaign: None,
            lead: None,
            agent: Some(agent),
            tenant: None,
            client_state: None,
            post_call: false,
            event: Event::AgentState { from, to, reason: "test".into(), expires_at: None },
        };
        house.write(vec![Record::Event(Box::new(event))]);
    };
    moved(S::LoggedOut, S::Ready, 0);
    moved(S::Ready, S::Talking, HOUR + 1_000);
    moved(S::Talking, S::WrapUp, HOUR + 61_000);
    // The node was down: nobody knows how long the wrap-up lasted.
    moved(S::LoggedOut, S::Ready, 5 * HOUR);
    moved(S::Ready, S::LoggedOut, 5 * HOUR + 7_000);
    let times = |from: Option<i64>, to: Option<i64>| -> Vec<AgentTime> {
        let wall = |hours: i64| sansio::WallTime::from_unix_millis(began + hours * HOUR);
        let query = AgentTimeQuery { from: from.map(wall), to: to.map(wall), agent: None };
        house.store.agent_times(&query).unwrap()
    };
    let of = |times: &[AgentTime], state: S| {
        times[0].state_ms[S::ALL.iter().position(|known| *known == state).unwrap()]
    };
    let all = times(None, None);
    assert_eq!((of(&all, S::Ready), of(&all, S::Talking)), (3_608_000, 60_000));
    assert_eq!((of(&all, S::WrapUp), of(&all, S::LoggedOut)), (0, 0));
    assert_eq!(of(&times(None, Some(1)), S::Ready), 3_600_000);
    assert_eq!(of(&times(Some(1), Some(2)), S::Ready), 1_000);
    assert_eq!(of(&times(Some(5), None), S::Ready), 7_000);
    let nobody = AgentTimeQuery { agent: Some(id(9)), ..AgentTimeQuery::default() };
    assert_eq!(house.store.agent_times(&nobody).unwrap(), []);
    assert_eq!(house.store.prune_records(NOW.plus_millis(100 * HOUR)).unwrap(), 0);
    assert_eq!(times(None, None), []);
}
