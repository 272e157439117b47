//! A person is told whole, and forgotten so that nothing of the number is left in any row.

use super::support::{Ground, House, NOW, PATIENCE, ended, id, new_lead};
use dialer_core::event::{Event, EventEnvelope};
use dialer_core::record::{
    Actor, CallKindTag, Callback, DncListRow, DncNumbers, LeadProgress, LeadState, LedgerEntry, Phone,
};
use dialer_core::{CallRecord, LeadId, Record};
use sansio::pii::Spellings;
use store::{IdempotencyRow, LeadPageQuery, NewLead, Store};

const NUMBER: &str = "+8613800138000";
const DIGITS: &str = "13800138000";
/// Another person's number, which begins with the same digits.
const LONGER: &str = "+86138001380001";

fn spellings() -> Spellings {
    Spellings::new(NUMBER, [DIGITS, "013800138000"])
}

fn event(cursor: u64, call: Option<u128>, lead: Option<LeadId>, event: Event) -> Record {
    Record::Event(Box::new(EventEnvelope {
        id: id(u128::from(cursor)),
        cursor,
        seq: call.map(|_| cursor as u32),
        occurred_at: NOW,
        call: call.map(id),
        campaign: None,
        lead,
        agent: None,
        tenant: None,
        client_state: (call == Some(1)).then(|| format!("crm {NUMBER}")),
        post_call: false,
        event,
    }))
}

fn record(call: u128, change: impl Fn(&mut CallRecord)) -> Record {
    let mut record =
        CallRecord { started_at: NOW, talk_ms: 7_000, to: "+861055550000".into(), ..ended(id(call)) };
    change(&mut record);
    Record::CallEnded(Box::new(record))
}

fn traces(house: &House) -> Vec<(String, String)> {
    let mine = |text: &str| {
        text.match_indices(DIGITS)
            .any(|(at, _)| !text[at + DIGITS.len()..].starts_with(|next: char| next.is_ascii_digit()))
    };
    house.folder.values().into_iter().filter(|(_, text)| mine(text)).collect()
}

fn idempotent(key: &str, body: &str) -> IdempotencyRow {
    IdempotencyRow {
        key: key.into(),
        fingerprint: [1; 32],
        status: 201,
        content_type: "application/json".into(),
        body: body.into(),
        at: NOW,
    }
}

/// A person with traces everywhere, and others beside.
fn furnished() -> (House, [LeadId; 3]) {
    let house = House::new();
    let list = house.list(1);
    let phone = |number: &str, raw: &str| Phone { number: number.into(), raw: raw.into(), kind: None };
    let row = |phones, note: &str| NewLead {
        phones,
        fields: [("note".to_owned(), note.to_owned())].into(),
        external_id: None,
        ..new_lead(1)
    };
    let leads = house.import(
        list,
        vec![
            row(vec![phone("+862155550000", "55550000"), phone(NUMBER, "138 0013 8000")], "the one"),
            row(vec![phone("+8613900139000", "13900139000")], &format!("friend of {NUMBER}")),
            row(vec![phone(LONGER, LONGER)], &format!("not {NUMBER}, but {LONGER}")),
        ],
    );
    let promise = Callback { notes: Some(format!("use {NUMBER}")), ..Callback::new(NOW, None, None) };
    let progress = LeadProgress {
        state: LeadState::RetryWait,
        next_at: Some(NOW),
        callback: Some(promise),
        ..LeadProgress::fresh(leads[0])
    };
    let said = |call: u128| Record::DispositionSet {
        call: id(call),
        code: "later".into(),
        notes: Some(format!("reached at {NUMBER}")),
        callback_at: None,
        callback_by_agent: false,
        fields: [("alt".to_owned(), NUMBER.to_owned())].into(),
        at: NOW,
    };
    house.write(vec![
        Record::LeadChanged(progress),
        record(1, |r| {
            (r.to, r.lead, r.digits) = (NUMBER.into(), Some(leads[0]), DIGITS.into());
            (r.client_state, r.recording) = (Some(NUMBER.into()), Some(id(4)));
        }),
        record(2, |r| (r.kind, r.caller_id) = (CallKindTag::Inbound, Some(NUMBER.into()))),
        record(3, |r| (r.to, r.transferred_to) = ("+8613900139000".into(), Some(NUMBER.into()))),
        record(4, |r| r.to = LONGER.into()),
        record(5, |r| (r.to, r.lead) = ("+862155550000".into(), Some(leads[0]))),
        said(1),
        said(3),
        event(1, Some(1), Some(leads[0]), Event::CallCreated { to: NUMBER.into(), mode: None }),
        event(2, Some(4), None, Event::CallCreated { to: LONGER.into(), mode: None }),
        event(3, Some(1), Some(leads[0]), Event::CallQueued),
        event(4, None, None, Event::AgentCallRefused { to: NUMBER.into(), reason: "not allowed".into() }),
        event(5, None, None, Event::NodeDrained),
        Record::Ledger(LedgerEntry { campaign: id(1), call: id(1), at: NOW, abandoned: true }),
    ]);
    house.store.put_idempotency(&idempotent("a", &format!("{{\"to\":\"{NUMBER}\"}}"))).unwrap();
    house.store.put_idempotency(&idempotent("b", &format!("{{\"to\":\"{LONGER}\"}}"))).unwrap();
    house.store.put_idempotency(&idempotent("c", &format!("{{\"lead_id\":\"{}\"}}", leads[0]))).unwrap();
    let dnc = DncListRow {
        id: id(7),
        config: dialer_core::config::DncListConfig {
            name: "all".into(),
            everywhere: true,
            ..Default::default()
        },
        version: 1,
        created_at: NOW,
    };
    let numbers = DncNumbers { numbers: vec![8_613_800_138_000], ..DncNumbers::default() };
    let by = Actor { token: None, name: "ada".into(), tenant: None };
    house.write(vec![Record::DncListPut(dnc)]);
    house.write(vec![Record::DncAdded { list: id(7), entries: numbers }, Record::ChangedBy { by, at: NOW }]);
    (house, [leads[0], leads[1], leads[2]])
}

#[test]
fn a_person_is_told_whole() {
    let (house, leads) = furnished();
    let person = house.store.person(&spellings()).unwrap();
    assert_eq!(person.leads.iter().map(|lead| lead.id).collect::<Vec<_>>(), [leads[0]]);
    let mut calls: Vec<u128> = person.calls.iter().map(|row| row.record.call.to_bits()).collect();
    calls.sort_unstable();
    assert_eq!(calls, [1, 2, 5], "by number, coming in, and by lead");
    assert_eq!(person.events.iter().map(|event| event.cursor).collect::<Vec<_>>(), [1, 3, 4]);
    assert_eq!(person.dnc, [store::PersonDnc { list: id(7), until: None, hashed: false }]);
    assert!(person.complete);
    assert_eq!(house.store.person(&Spellings::new("+8613700137000", [])).unwrap(), store::Person::default());
}

#[test]
fn nothing_of_a_number_is_left_in_any_row() {
    let (house, leads) = furnished();
    let places: std::collections::BTreeSet<String> =
        traces(&house).into_iter().map(|(table, _)| table).collect();
    let everywhere =
        ["audit", "call_record", "disposition", "dnc_entry", "event", "idempotency", "lead", "lead_number"];
    assert_eq!(places.iter().map(String::as_str).collect::<Vec<_>>(), everywhere);
    // As the API does it: the list keeps a hash.
    let hash = dialer_core::compliance::number_hash(id(7), NUMBER);
    let hashes = DncNumbers { hashes: vec![hash], ..DncNumbers::default() };
    let numbers = DncNumbers { numbers: vec![8_613_800_138_000], ..DncNumbers::default() };
    house.write(vec![
        Record::DncAdded { list: id(7), entries: hashes.clone() },
        Record::DncRemoved { list: id(7), entries: numbers },
    ]);
    let by = || (Actor { token: None, name: "ada".into(), tenant: None }, NOW);
    let more = serde_json::json!({ "reference": "case 7" });
    let erased = house.store.forget_person(&spellings(), by(), more.clone()).unwrap();
    assert_eq!((erased.leads, erased.calls, erased.events), (1, 3, 3));
    assert_eq!(traces(&house), []);
    let file = house.folder.file();
    assert!(!file.windows(DIGITS.len() + 1).any(|bytes| bytes == b"13800138000\""), "nor in what was freed");

    // Others are as they were.
    let kept = |lead| house.store.lead(lead).unwrap();
    assert_eq!(kept(leads[0]), None);
    assert_eq!(kept(leads[1]).unwrap().fields["note"], "friend of erased");
    assert_eq!(kept(leads[2]).unwrap().fields["note"], format!("not erased, but {LONGER}"));
    let list = kept(leads[1]).unwrap().list;
    let page = LeadPageQuery { list, state: None, cursor: None, limit: 10 };
    assert_eq!(house.store.leads(&page).unwrap().items.len(), 2);
    assert_eq!(house.store.lead_counts(list).unwrap().total(), 2);
    let call = |number: u128| house.store.record(id(number)).unwrap().unwrap();
    assert_eq!((call(1).record.to.as_str(), call(1).record.talk_ms), ("erased", 7_000), "a figure");
    assert_eq!((call(1).record.lead, call(1).disposition.unwrap().notes), (None, None));
    assert_eq!(call(2).record.caller_id.as_deref(), Some("erased"));
    assert_eq!(
        (call(3).record.to, call(3).record.transferred_to),
        ("+8613900139000".into(), Some("erased".into()))
    );
    assert_eq!(call(3).disposition.unwrap().notes.as_deref(), Some("reached at erased"));
    assert_eq!(call(4).record.to, LONGER);
    let events = house.store.events_since(0, 10).unwrap();
    let told: Vec<&str> = events.iter().map(|event| event.event.type_name()).collect();
    assert_eq!(told, ["event.erased", "call.created", "call.queued", "event.erased", "node.drained"]);
    assert_eq!(events[0].seq, Some(1), "it keeps its place");
    assert!(house.store.idempotency("a", NOW).unwrap().is_none());
    assert!(house.store.idempotency("b", NOW).unwrap().is_some());
    assert!(house.store.idempotency("c", NOW).unwrap().is_none());
    let snapshot = house.store.load(NOW).unwrap();
    assert_eq!((snapshot.ledger.len(), snapshot.dnc[0].entries.clone()), (1, vec![hashes]));
    let audit = house.store.audit(&store::AuditQuery { limit: 10, ..Default::default() }).unwrap();
    assert_eq!(audit.items[0].entry.action, "person.erased");
    assert_eq!(audit.items[0].entry.after.as_ref().unwrap()["reference"], "case 7");
    assert_eq!(audit.items[1].entry.action, "dnc_list.entries_added");

    // The hash keeps who was erased from coming back by an import.
    let again = NewLead {
        phones: vec![Phone { number: NUMBER.into(), raw: NUMBER.into(), kind: None }],
        external_id: None,
        ..new_lead(1)
    };
    let options = store::ImportOptions { now: NOW, ..Default::default() };
    let verdicts = house.store.import_leads(list, vec![again], &options).unwrap();
    assert!(matches!(verdicts[0], store::ImportVerdict::Dnc), "{verdicts:?}");
    let nothing = house.store.forget_person(&spellings(), by(), more).unwrap();
    assert_eq!((nothing.leads, nothing.calls, nothing.events), (0, 0, 0));
    assert!(house.store.flush(PATIENCE));
    house.reopen();
}
