//! Leads: import, loading for the hopper, pages, counts.

use super::support::{House, NOW, at, id, new_lead};
use dialer_core::record::{Callback, Lead, LeadProgress, LeadState, Phone};
use dialer_core::{LeadId, ListId, Record};
use proptest::prelude::*;
use sansio::{Rng, WallTime};
use std::collections::{BTreeMap, BTreeSet};
use store::{
    CallbackQuery, DedupeScope, ImportOptions, ImportVerdict, LeadCounts, LeadPageQuery, LeadQuery,
    LoadedLeads, MatchedBy, NewLead, OnDuplicate, Store, StoreError,
};

fn options(on_duplicate: OnDuplicate, dedupe_scope: DedupeScope) -> ImportOptions {
    ImportOptions { on_duplicate, dedupe_scope, now: NOW, ..ImportOptions::default() }
}

fn query(list: ListId, limit: u32) -> LeadQuery {
    LeadQuery { lists: vec![list], limit, due_at: NOW, exclude: Vec::new(), ..LeadQuery::default() }
}

fn phone(number: &str) -> Phone {
    Phone { number: number.into(), raw: number.into(), kind: None }
}

fn set(house: &House, progress: LeadProgress) {
    house.write(vec![Record::LeadChanged(progress)]);
}

#[test]
fn an_imported_lead_reads_back() {
    let house = House::new();
    let list = house.list(1);
    let row = NewLead {
        external_id: Some("crm-1".into()),
        phones: vec![
            Phone {
                number: "+8613800138000".into(),
                raw: "138 0013 8000".into(),
                kind: Some("mobile".into()),
            },
            phone("+862155556666"),
        ],
        priority: -3,
        time_zone: Some("Asia/Shanghai".into()),
        fields: BTreeMap::from([("name".into(), "王先生 \"老\"".into())]),
        expires_at: Some(NOW.plus_millis(1)),
    };
    let lead = house.import(list, vec![row.clone()])[0];
    let expected = Lead {
        id: lead,
        list,
        external_id: row.external_id,
        phones: row.phones,
        priority: row.priority,
        time_zone: row.time_zone,
        fields: row.fields,
        expires_at: row.expires_at,
        progress: LeadProgress::fresh(lead),
    };
    let house = house.reopen();
    assert_eq!(house.store.lead(lead).unwrap(), Some(expected.clone()));
    let loaded = house.store.load_leads(&query(list, 5)).unwrap();
    assert_eq!(loaded, LoadedLeads { leads: vec![expected], more: false, next_due: None });
    assert_eq!(house.store.lead(id(5)).unwrap(), None);
}

#[test]
fn a_known_external_id_is_a_duplicate() {
    let house = House::new();
    let list = house.list(1);
    let lead = house.import(list, vec![new_lead(1)])[0];
    let again = NewLead { phones: vec![phone("+19995550100")], priority: 9, ..new_lead(1) };
    let import = |on_duplicate, scope| {
        house.store.import_leads(list, vec![again.clone()], &options(on_duplicate, scope)).unwrap()
    };
    let duplicate = [ImportVerdict::Duplicate { lead, by: MatchedBy::ExternalId }];
    assert_eq!(import(OnDuplicate::Skip, DedupeScope::None), duplicate);
    assert_eq!(import(OnDuplicate::Error, DedupeScope::List), duplicate);
    assert_eq!(house.store.lead(lead).unwrap().unwrap().priority, 0);
    assert_eq!(import(OnDuplicate::Update, DedupeScope::List), [ImportVerdict::Updated { lead }]);
    let stored = house.store.lead(lead).unwrap().unwrap();
    assert_eq!((stored.priority, stored.phones), (9, vec![phone("+19995550100")]));
    // The old number is free again, the new one is held.
    let other = |number: &str| NewLead { phones: vec![phone(number)], ..NewLead::default() };
    let rows = vec![other("+19995550100"), other(&new_lead(1).phones[0].number)];
    let verdicts =
        house.store.import_leads(list, rows, &options(OnDuplicate::Skip, DedupeScope::List)).unwrap();
    assert_eq!(verdicts[0], ImportVerdict::Duplicate { lead, by: MatchedBy::Number });
    assert!(matches!(verdicts[1], ImportVerdict::Accepted { .. }));
    // The same external id in another list is another lead.
    let second = house.list(2);
    assert_eq!(house.import(second, vec![new_lead(1)]).len(), 1);
}

#[test]
fn an_update_keeps_how_far_a_lead_has_come() {
    let house = House::new();
    let list = house.list(1);
    let row = NewLead { phones: vec![phone("+12025550101"), phone("+12025550102")], ..new_lead(1) };
    let lead = house.import(list, vec![row.clone()])[0];
    let progress = LeadProgress {
        state: LeadState::RetryWait,
        attempts: 2,
        next_at: Some(NOW.plus_millis(5)),
        next_phone: 1,
        ..LeadProgress::fresh(lead)
    };
    set(&house, progress.clone());
    let fewer = NewLead { phones: vec![phone("+12025550103")], ..row };
    let update = options(OnDuplicate::Update, DedupeScope::List);
    house.store.import_leads(list, vec![fewer], &update).unwrap();
    let stored = house.store.lead(lead).unwrap().unwrap();
    assert_eq!(stored.progress, LeadProgress { next_phone: 0, ..progress }, "the second number is gone");
    assert_eq!(house.store.lead_counts(list).unwrap(), LeadCounts { retry_wait: 1, ..LeadCounts::default() });
}

#[test]
fn numbers_are_compared_within_the_scope() {
    let house = House::new();
    let (first, second, third) = (house.list(1), house.list(2), house.list(3));
    let lead = house.import(first, vec![new_lead(1)])[0];
    // Not E.164, so kept as text.
    let short = NewLead { phones: vec![phone("1001")], ..NewLead::default() };
    let short_lead = house.import(first, vec![short.clone()])[0];
    let same = NewLead { external_id: None, ..new_lead(1) };
    let verdict = |list, scope| {
        let dry = ImportOptions { dry_run: true, ..options(OnDuplicate::Update, scope) };
        house.store.import_leads(list, vec![same.clone(), short.clone()], &dry).unwrap()
    };
    let accepted = |verdicts: &[ImportVerdict]| {
        verdicts.iter().all(|verdict| matches!(verdict, ImportVerdict::Accepted { .. }))
    };
    let by = MatchedBy::Number;
    let duplicates =
        [ImportVerdict::Duplicate { lead, by }, ImportVerdict::Duplicate { lead: short_lead, by }];
    let updated = [ImportVerdict::Updated { lead }, ImportVerdict::Updated { lead: short_lead }];
    assert_eq!(verdict(first, DedupeScope::List), updated);
    assert!(accepted(&verdict(first, DedupeScope::None)));
    assert!(accepted(&verdict(second, DedupeScope::List)));
    assert!(accepted(&verdict(second, DedupeScope::Lists(vec![third, id(77)]))));
    // A lead of another list is never changed by an import into this one.
    assert_eq!(verdict(second, DedupeScope::Lists(vec![first])), duplicates);
    assert_eq!(verdict(second, DedupeScope::All), duplicates);
    // Another person with the same number is not the same lead.
    let other = vec![NewLead { external_id: Some("crm-2".into()), ..same.clone() }];
    let verdicts =
        house.store.import_leads(first, other, &options(OnDuplicate::Update, DedupeScope::List)).unwrap();
    assert_eq!(verdicts, [ImportVerdict::Duplicate { lead, by }]);
}

#[test]
fn a_number_held_by_a_deleted_list_is_free() {
    let house = House::new();
    let (first, second) = (house.list(1), house.list(2));
    house.import(first, vec![new_lead(1)]);
    house.write(vec![Record::ListDeleted { list: first }]);
    let all = options(OnDuplicate::Skip, DedupeScope::All);
    let verdicts = house.store.import_leads(second, vec![new_lead(1)], &all).unwrap();
    assert!(matches!(verdicts[..], [ImportVerdict::Accepted { .. }]));
}

#[test]
fn a_dry_run_tells_and_writes_nothing() {
    let house = House::new();
    let list = house.list(1);
    let lead = house.import(list, vec![new_lead(1)])[0];
    let rows = vec![
        new_lead(1),
        new_lead(2),
        new_lead(2),
        NewLead::default(),
        NewLead { priority: 1, ..new_lead(1) },
    ];
    let dry = ImportOptions { dry_run: true, ..options(OnDuplicate::Update, DedupeScope::List) };
    let verdicts = house.store.import_leads(list, rows, &dry).unwrap();
    assert_eq!(verdicts[0], ImportVerdict::Updated { lead });
    assert!(matches!(verdicts[1], ImportVerdict::Accepted { .. }));
    assert!(matches!(verdicts[2], ImportVerdict::Updated { .. }), "seen within the import");
    assert_eq!(verdicts[3], ImportVerdict::NoPhone);
    assert_eq!(house.store.lead_counts(list).unwrap().total(), 1);
    assert_eq!(house.store.lead(lead).unwrap().unwrap().priority, 0);
    assert_eq!(house.store.stats().import_rows, 1);
}

/// Rows that meet each other and those stored: few external ids, few numbers.
fn meeting_rows(rng: &mut Rng, count: u64) -> Vec<NewLead> {
    let number = |rng: &mut Rng| phone(&format!("+1202555010{}", rng.below(6)));
    (0..count)
        .map(|_| NewLead {
            external_id: (rng.below(3) > 0).then(|| format!("crm-{}", rng.below(5))),
            phones: (0..rng.below(3)).map(|_| number(rng)).collect(),
            ..NewLead::default()
        })
        .collect()
}

/// Verdicts with the names of new leads replaced by the order in which they came.
fn nameless(house: &House, known: &[LeadId], verdicts: &[ImportVerdict]) -> Vec<String> {
    let mut names: Vec<LeadId> = known.to_vec();
    let mut told = Vec::new();
    for verdict in verdicts {
        if let ImportVerdict::Accepted { lead } = verdict {
            assert!(!names.contains(lead));
            names.push(*lead);
        }
        let mut text = format!("{verdict:?}");
        for (place, name) in names.iter().enumerate() {
            text = text.replace(&name.to_string(), &format!("#{place}"));
        }
        told.push(text);
    }
    assert!(house.store.healthy());
    told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_dry_run_tells_what_the_import_does(seed: u64, update: bool, scope in 0..4_u8) {
        let mut rng = Rng::from_seed(seed);
        let house = House::new();
        let lists = [house.list(1), house.list(2), house.list(3)];
        let mut known = Vec::new();
        for list in lists {
            let any = options(OnDuplicate::Skip, DedupeScope::None);
            for verdict in house.store.import_leads(list, meeting_rows(&mut rng, 3), &any).unwrap() {
                if let ImportVerdict::Accepted { lead } = verdict {
                    known.push(lead);
                }
            }
        }
        let scope = match scope {
            0 => DedupeScope::None,
            1 => DedupeScope::List,
            2 => DedupeScope::Lists(vec![lists[2], lists[0]]),
            _ => DedupeScope::All,
        };
        let real = options(if update { OnDuplicate::Update } else { OnDuplicate::Skip }, scope);
        let dry = ImportOptions { dry_run: true, ..real.clone() };
        let rows = meeting_rows(&mut rng, 12);
        let told = house.store.import_leads(lists[1], rows.clone(), &dry).unwrap();
        let done = house.store.import_leads(lists[1], rows, &real).unwrap();
        prop_assert_eq!(nameless(&house, &known, &told), nameless(&house, &known, &done));
    }
}

/// Large enough that many leads are written together and numbers are known beforehand. Who has which name and number is kept
/// beside the store.
#[test]
fn large_imports_judge_each_row_as_small_ones_do() {
    let mut rng = Rng::from_seed(42);
    let house = House::new();
    let list = house.list(1);
    let (mut named, mut numbered) = (BTreeMap::new(), BTreeMap::new());
    for import in 0..4 {
        // Of the last ones most are known already.
        let most = if import < 2 { 1_000_000 } else { 3_000 };
        let rows: Vec<NewLead> = (0..2_000)
            .map(|_| {
                let mut phones: Vec<Phone> =
                    (0..rng.below(3)).map(|_| phone(&format!("+1415{:07}", rng.below(most)))).collect();
                phones.extend(rng.chance(0.01).then(|| phone("no number")));
                let external_id = rng.chance(0.5).then(|| format!("crm-{}", rng.below(most)));
                NewLead { external_id, phones, ..NewLead::default() }
            })
            .collect();
        let all = options(OnDuplicate::Skip, DedupeScope::All);
        let verdicts = house.store.import_leads(list, rows.clone(), &all).unwrap();
        assert_eq!(verdicts.len(), rows.len());
        for (place, (row, verdict)) in rows.iter().zip(verdicts).enumerate() {
            let by_name = row.external_id.as_ref().and_then(|name| named.get(name));
            let by_number = row.phones.iter().find_map(|phone| numbered.get(&phone.number));
            let expected = match (by_name, by_number) {
                _ if row.phones.is_empty() => ImportVerdict::NoPhone,
                (Some(lead), _) => ImportVerdict::Duplicate { lead: *lead, by: MatchedBy::ExternalId },
                (None, Some(lead)) => ImportVerdict::Duplicate { lead: *lead, by: MatchedBy::Number },
                (None, None) => {
                    let ImportVerdict::Accepted { lead } = verdict else {
                        panic!("row {place} of import {import} is new: {verdict:?}");
                    };
                    named.extend(row.external_id.iter().map(|name| (name.clone(), lead)));
                    numbered.extend(row.phones.iter().map(|phone| (phone.number.clone(), lead)));
                    assert_eq!(house.store.lead(lead).unwrap().unwrap().phones, row.phones);
                    verdict.clone()
                }
            };
            assert_eq!(verdict, expected, "row {place} of import {import}: {row:?}");
        }
        let stored = house.store.lead_counts(list).unwrap().total();
        let leads: std::collections::BTreeSet<_> = named.values().chain(numbered.values()).collect();
        assert_eq!(stored, leads.len() as u64);
    }
}

#[test]
fn an_import_into_no_list_is_refused() {
    let house = House::new();
    let refused = house.store.import_leads(id(1), vec![new_lead(1)], &ImportOptions::default());
    assert!(matches!(refused, Err(StoreError::NotFound { what: "list" })), "{refused:?}");
    assert!(house.store.healthy());
}

#[test]
fn what_is_loaded_is_best_first_and_says_whether_there_is_more() {
    let house = House::new();
    let list = house.list(1);
    let priorities = [0, 5, -5, 5, 0];
    let rows =
        (1..).zip(priorities).map(|(number, priority)| NewLead { priority, ..new_lead(number) }).collect();
    let leads = house.import(list, rows);
    let best = [leads[1], leads[3], leads[0], leads[4], leads[2]];
    let ids = |loaded: &LoadedLeads| loaded.leads.iter().map(|lead| lead.id).collect::<Vec<_>>();
    for limit in 0..=6 {
        let loaded = house.store.load_leads(&query(list, limit)).unwrap();
        assert_eq!(ids(&loaded), best[..best.len().min(limit as usize)]);
        assert_eq!(loaded.more, limit < 5, "{limit}");
    }
    let exclude = vec![leads[1], leads[0], id(12345)];
    let loaded = house.store.load_leads(&LeadQuery { exclude, ..query(list, 2) }).unwrap();
    assert_eq!(ids(&loaded), [leads[3], leads[4]]);
    assert!(loaded.more);
    let twice = LeadQuery { lists: vec![list, list, id(9)], ..query(list, 10) };
    assert_eq!(ids(&house.store.load_leads(&twice).unwrap()), best, "a list named twice counts once");
}

#[test]
fn a_waiting_lead_comes_when_its_time_is_there() {
    let house = House::new();
    let list = house.list(1);
    let leads = house.import(list, vec![new_lead(1), new_lead(2)]);
    let wait = |lead, state, next_at| {
        set(&house, LeadProgress { state, next_at, attempts: 1, ..LeadProgress::fresh(lead) });
    };
    wait(leads[0], LeadState::RetryWait, Some(NOW.plus_millis(1)));
    wait(leads[1], LeadState::RetryWait, Some(NOW.plus_millis(2)));
    let loaded = |due_at: WallTime| {
        let loaded = house.store.load_leads(&LeadQuery { due_at, ..query(list, 9) }).unwrap();
        (loaded.leads.into_iter().map(|lead| lead.id).collect::<Vec<_>>(), loaded.next_due)
    };
    assert_eq!(loaded(NOW), (vec![], Some(NOW.plus_millis(1))));
    assert_eq!(loaded(NOW.plus_millis(1)), (vec![leads[0]], Some(NOW.plus_millis(2))));
    assert_eq!(loaded(NOW.plus_millis(2)), (leads.clone(), None));
    wait(leads[0], LeadState::RetryWait, None);
    assert_eq!(loaded(NOW), (vec![leads[0]], Some(NOW.plus_millis(2))), "no time means at once");
    let over =
        [LeadState::Dialing, LeadState::Done, LeadState::Exhausted, LeadState::Dnc, LeadState::Expired];
    for state in over {
        wait(leads[0], state, Some(NOW));
        assert_eq!(loaded(NOW).0, []);
    }
}

#[test]
fn an_expired_lead_is_not_loaded() {
    let house = House::new();
    let list = house.list(1);
    let row = |number, millis| NewLead { expires_at: Some(NOW.plus_millis(millis)), ..new_lead(number) };
    let leads = house.import(list, vec![row(1, 0), row(2, 1), row(3, 5)]);
    let progress = LeadProgress {
        state: LeadState::RetryWait,
        next_at: Some(NOW.plus_millis(9)),
        ..LeadProgress::fresh(leads[2])
    };
    set(&house, progress);
    let loaded = house.store.load_leads(&query(list, 9)).unwrap();
    assert_eq!(loaded.leads.iter().map(|lead| lead.id).collect::<Vec<_>>(), [leads[1]]);
    assert_eq!(loaded.next_due, None, "the third expires before it is due");
}

/// Some leads with drawn priorities, states and times; `levels` priorities.
fn drawn(house: &House, list: ListId, rng: &mut Rng, count: u64, levels: u64) -> Vec<Lead> {
    let rows = (0..count)
        .map(|number| NewLead {
            priority: rng.below(levels) as i32,
            expires_at: (rng.below(4) == 0).then(|| NOW.plus_millis(rng.below(10) as i64 - 5)),
            ..new_lead(number)
        })
        .collect();
    let leads = house.import(list, rows);
    let states = [LeadState::New, LeadState::RetryWait, LeadState::RetryWait, LeadState::Done];
    let records = leads
        .iter()
        .map(|lead| {
            Record::LeadChanged(LeadProgress {
                state: states[rng.below(4) as usize],
                attempts: rng.below(4) as u32,
                next_at: (rng.below(2) == 0).then(|| NOW.plus_millis(rng.below(10) as i64 - 5)),
                ..LeadProgress::fresh(*lead)
            })
        })
        .collect();
    house.write(records);
    leads.iter().map(|lead| house.store.lead(*lead).unwrap().unwrap()).collect()
}

fn may_be_dialled(lead: &Lead) -> bool {
    matches!(lead.progress.state, LeadState::New | LeadState::RetryWait)
        && lead.progress.next_at.is_none_or(|next| next <= NOW)
        && lead.expires_at.is_none_or(|end| end > NOW)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Against the plain rule: all that may be dialled, by priority. Within a priority the order of import holds
    /// as long as fewer are asked for than are due.
    #[test]
    fn loading_follows_the_rule(seed: u64, few in any::<bool>(), limit in 0..60_u32) {
        let mut rng = Rng::from_seed(seed);
        let house = House::new();
        let list = house.list(1);
        // More levels than are walked one by one, or a few.
        let leads = drawn(&house, list, &mut rng, 150, if few { 3 } else { 1_000 });
        let mut due: Vec<&Lead> = leads.iter().filter(|lead| may_be_dialled(lead)).collect();
        due.sort_by_key(|lead| -i64::from(lead.priority)); // stable: order of import within
        let loaded = house.store.load_leads(&query(list, limit)).unwrap();
        let priorities = |leads: &[&Lead]| leads.iter().map(|lead| lead.priority).collect::<Vec<_>>();
        let got: Vec<&Lead> = loaded.leads.iter().collect();
        let cut = due.len().min(limit as usize);
        prop_assert_eq!(priorities(&got), priorities(&due[..cut]));
        prop_assert!(got.iter().all(|lead| due.contains(lead)));
        prop_assert_eq!(loaded.more, due.len() > limit as usize);
        let all = house.store.load_leads(&query(list, 1_000)).unwrap();
        prop_assert_eq!(all.leads.iter().collect::<Vec<_>>(), due);
    }

    #[test]
    fn the_funnel_counts_each_lead_once(seed: u64, attempts_max in 0..5_u32) {
        let mut rng = Rng::from_seed(seed);
        let house = House::new();
        let (list, empty) = (house.list(1), house.list(2));
        let leads = drawn(&house, list, &mut rng, 100, 3);
        let funnel = house.store.funnel(&[list, empty, list, id(9)], NOW, attempts_max).unwrap();
        let mut expected = store::FunnelCounts { total: 100, ..store::FunnelCounts::default() };
        expected.by_state = house.store.lead_counts(list).unwrap();
        for lead in &leads {
            let progress = &lead.progress;
            if !matches!(progress.state, LeadState::New | LeadState::RetryWait) {
                continue;
            }
            if lead.expires_at.is_some_and(|end| end <= NOW) {
                expected.expired += 1;
            } else if progress.attempts >= attempts_max {
                expected.attempts_spent += 1;
            } else if progress.next_at.is_some_and(|next| next > NOW) {
                expected.waiting += 1;
            } else {
                expected.due += 1;
            }
        }
        expected.next_due = house.store.load_leads(&query(list, 0)).unwrap().next_due;
        prop_assert_eq!(funnel, expected);
        let by_state = funnel.by_state;
        prop_assert_eq!(
            funnel.total,
            by_state.dialing + by_state.done + by_state.exhausted + by_state.dnc + funnel.expired
                + funnel.attempts_spent + funnel.waiting + funnel.due
        );
    }
}

#[test]
fn pages_tell_every_lead_once_in_order_of_import() {
    let house = House::new();
    let list = house.list(1);
    let other = house.list(2);
    let mut expected: Vec<LeadId> = Vec::new();
    for round in 0..3 {
        expected.extend(house.import(list, (round * 10..round * 10 + 9).map(new_lead).collect()));
        house.import(other, vec![new_lead(round)]);
    }
    for lead in expected.iter().skip(1).step_by(3) {
        set(&house, LeadProgress { state: LeadState::Done, ..LeadProgress::fresh(*lead) });
    }
    let walk = |state, limit| {
        let mut query = LeadPageQuery { list, state, cursor: None, limit };
        let mut told = Vec::new();
        loop {
            let page = house.store.leads(&query).unwrap();
            assert!(page.items.len() <= limit.max(1) as usize);
            told.extend(page.items.iter().map(|lead| lead.id));
            let Some(next) = page.next_cursor else { return told };
            query.cursor = Some(next);
        }
    };
    for limit in [0, 1, 4, 27, 1_000] {
        assert_eq!(walk(None, limit), expected);
        let done: Vec<LeadId> = expected.iter().skip(1).step_by(3).copied().collect();
        assert_eq!(walk(Some(LeadState::Done), limit), done);
        assert_eq!(walk(Some(LeadState::Dnc), limit), []);
    }
    let bad = LeadPageQuery { list, state: None, cursor: Some("x".into()), limit: 1 };
    assert!(matches!(house.store.leads(&bad), Err(StoreError::BadCursor)));
    let none = LeadPageQuery { list: id(8), state: None, cursor: None, limit: 1 };
    assert!(matches!(house.store.leads(&none), Err(StoreError::NotFound { what: "list" })));
}

#[test]
fn times_before_1970_do_not_confuse() {
    let house = House::new();
    let list = house.list(1);
    house.import(list, vec![new_lead(1)]);
    let long_ago = LeadQuery { due_at: at(-5), ..query(list, 1) };
    assert_eq!(house.store.load_leads(&long_ago).unwrap().leads.len(), 1);
}

#[test]
fn callbacks_are_found_by_time_agent_and_campaign_and_loaded_first() {
    let mut house = House::new();
    let (list, other) = (house.list(1), house.list(2));
    let leads = house.import(list, (0..20).map(new_lead).collect());
    let promise = |at_ms: i64, agent: u128, campaign: u128, told: bool| Callback {
        told,
        notes: Some("again".into()),
        ..Callback::new(NOW.plus_millis(at_ms), Some(id(agent)), Some(id(campaign)))
    };
    let promised = |lead: LeadId, its: Callback| LeadProgress {
        state: LeadState::RetryWait,
        next_at: Some(its.at),
        attempts: 9,
        callback: Some(its),
        ..LeadProgress::fresh(lead)
    };
    set(&house, promised(leads[15], promise(-10, 1, 1, true)));
    set(&house, promised(leads[12], promise(-5, 2, 1, false)));
    set(&house, promised(leads[17], promise(-20, 2, 2, false)));
    set(&house, promised(leads[3], promise(60_000, 1, 2, false)));
    set(&house, promised(leads[4], promise(90_000, 1, 2, true)));
    house = house.reopen();

    let loaded = house.store.load_leads(&query(list, 5)).unwrap();
    let order: Vec<LeadId> = loaded.leads.iter().map(|lead| lead.id).collect();
    assert_eq!(order[..3], [leads[17], leads[15], leads[12]], "callbacks first, by their time");
    assert_eq!(loaded.next_due, Some(NOW.plus_millis(60_000)));
    assert!(house.store.load_leads(&query(other, 5)).unwrap().leads.is_empty());
    let all = house.store.load_leads(&query(list, 100)).unwrap();
    assert_eq!((all.leads.len(), all.more), (18, false), "none of them twice");

    let due = house.store.callbacks_due(NOW, 10).unwrap();
    let order: Vec<LeadId> = due.leads.iter().map(|lead| lead.id).collect();
    assert_eq!(order, [leads[17], leads[12], leads[15]], "those that were not told first");
    assert_eq!(due.next, Some(NOW.plus_millis(60_000)));
    assert_eq!(house.store.callbacks_due(NOW, 1).unwrap().leads.len(), 1);

    let found = |query: CallbackQuery| -> Vec<LeadId> {
        let mut query = CallbackQuery { limit: 2, ..query };
        let mut told = Vec::new();
        loop {
            let page = house.store.callbacks(&query).unwrap();
            told.extend(page.items.iter().map(|lead| lead.id));
            let Some(next) = page.next_cursor else { return told };
            query.cursor = Some(next);
        }
    };
    let by_time = [leads[17], leads[15], leads[12], leads[3], leads[4]];
    assert_eq!(found(CallbackQuery::default()), by_time);
    assert_eq!(found(CallbackQuery { list: Some(list), ..CallbackQuery::default() }), by_time);
    assert_eq!(found(CallbackQuery { list: Some(other), ..CallbackQuery::default() }), []);
    let agent = CallbackQuery { agent: Some(id(1)), ..CallbackQuery::default() };
    assert_eq!(found(agent.clone()), [leads[15], leads[3], leads[4]]);
    assert_eq!(found(CallbackQuery { campaign: Some(id(2)), ..agent.clone() }), [leads[3], leads[4]]);
    let campaign = CallbackQuery { campaign: Some(id(1)), ..CallbackQuery::default() };
    assert_eq!(found(campaign), [leads[15], leads[12]]);
    let window = CallbackQuery {
        from: Some(NOW.plus_millis(-10)),
        to: Some(NOW.plus_millis(60_000)),
        ..CallbackQuery::default()
    };
    assert_eq!(found(window), [leads[15], leads[12]]);
    let bad = CallbackQuery { cursor: Some("x".into()), ..CallbackQuery::default() };
    assert!(matches!(house.store.callbacks(&bad), Err(StoreError::BadCursor)));

    // One that is done with has none, and who promised may call however often it was tried.
    set(&house, LeadProgress { callback: None, ..promised(leads[12], promise(-5, 2, 1, false)) });
    assert_eq!(house.store.callbacks_due(NOW, 10).unwrap().leads.len(), 2);
    let funnel = house.store.funnel(&[list], NOW, 3).unwrap();
    assert_eq!((funnel.attempts_spent, funnel.waiting, funnel.due), (1, 2, 17));
}

/// Lists in shares, and leads of one priority by chance: each lead once, the highest priority first.
#[test]
fn lists_share_and_leads_come_by_chance() {
    use dialer_core::screen::{LeadOrder, Screen, Sequence};
    let house = House::new();
    let (big, small) = (house.list(1), house.list(2));
    let rows = |first: u64, count: u64| (first..first + count).map(new_lead).collect::<Vec<_>>();
    let of_big = house.import(big, rows(1, 20));
    let of_small = house.import(small, rows(100, 5));
    let loaded = |order, mix: BTreeMap<ListId, u32>, limit| {
        let screen = Screen { sequence: Sequence { order, mix }, ..Screen::default() };
        let both = LeadQuery { lists: vec![big, small], screen, ..query(big, limit) };
        house.store.load_leads(&both).unwrap()
    };
    let ids = |loaded: &LoadedLeads| loaded.leads.iter().map(|lead| lead.id).collect::<Vec<LeadId>>();
    let whole: Vec<LeadId> = of_big.iter().chain(&of_small).copied().collect();
    assert_eq!(ids(&loaded(LeadOrder::Imported, BTreeMap::new(), 30)), whole, "one queue");
    let mixed = loaded(LeadOrder::Imported, BTreeMap::from([(big, 3), (small, 1)]), 8);
    assert!(mixed.more);
    let small_ones = mixed.leads.iter().filter(|lead| lead.list == small).count();
    assert_eq!((mixed.leads.len(), small_ones), (8, 2), "three to one");
    let in_order =
        |list: ListId| mixed.leads.iter().filter(move |lead| lead.list == list).map(|lead| lead.id);
    assert!(
        in_order(big).eq(of_big[..6].iter().copied()) && in_order(small).eq(of_small[..2].iter().copied())
    );
    let to_the_end = loaded(LeadOrder::Imported, BTreeMap::from([(small, 9)]), 30);
    assert_eq!(to_the_end.leads.len(), 25, "whoever lasts goes on");
    let random = ids(&loaded(LeadOrder::Random, BTreeMap::new(), 30));
    assert_ne!(random, whole);
    let sorted = |mut ids: Vec<LeadId>| {
        ids.sort_unstable();
        ids
    };
    assert_eq!(sorted(random.clone()), sorted(whole));
    assert_eq!(ids(&loaded(LeadOrder::Random, BTreeMap::new(), 30)), random, "the same at every look");
    let urgent = house.import(big, vec![NewLead { priority: 1, ..new_lead(200) }]);
    assert_eq!(ids(&loaded(LeadOrder::Random, BTreeMap::new(), 1)), urgent);
}

/// More leads than are shuffled at once come from all over the list, the highest priority first.
#[test]
fn chance_reaches_over_the_whole_list() {
    use dialer_core::screen::{LeadOrder, RANDOM_AMONG, Screen, Sequence};
    let house = House::new();
    let list = house.list(1);
    let count = u64::from(RANDOM_AMONG) * 2 + 1_000;
    let leads: BTreeMap<LeadId, usize> =
        house.import(list, (1..=count).map(new_lead).collect()).into_iter().zip(0..).collect();
    let urgent = house.import(list, vec![NewLead { priority: 9, ..new_lead(count + 1) }])[0];
    let sequence = Sequence { order: LeadOrder::Random, mix: BTreeMap::new() };
    let look = |ms: i64| {
        let screen = Screen { sequence: sequence.clone(), ..Screen::default() };
        let query = LeadQuery { due_at: NOW.plus_millis(ms), screen, ..query(list, 400) };
        let loaded = house.store.load_leads(&query).unwrap();
        assert!(loaded.more);
        let ids: Vec<LeadId> = loaded.leads.iter().map(|lead| lead.id).collect();
        assert_eq!((ids.len(), ids[0]), (400, urgent));
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 400, "each once");
        ids[1..].iter().map(|id| leads[id]).collect::<Vec<usize>>()
    };
    let first = look(0);
    for part in 0..5 {
        let width = count as usize / 5;
        let here = first.iter().filter(|place| (part * width..(part + 1) * width).contains(place)).count();
        assert!(here > 40, "{here} of fifth {part}: {first:?}");
    }
    assert_eq!(look(0), first, "the same at the same moment");
    assert_ne!(look(1), first, "and others at another");
}

/// Callbacks of a tenant's lists alone.
#[test]
fn callbacks_of_some_lists() {
    let house = House::new();
    let lists = [house.list(1), house.list(2)];
    let leads: Vec<LeadId> =
        lists.iter().zip(1..).map(|(list, n)| house.import(*list, vec![new_lead(n)])[0]).collect();
    for lead in &leads {
        let callback = Some(Callback::new(at(5), None, None));
        let state = LeadState::RetryWait;
        set(&house, LeadProgress { state, next_at: Some(at(5)), callback, ..LeadProgress::fresh(*lead) });
    }
    let found = |lists: Option<Vec<ListId>>| -> Vec<LeadId> {
        let query = CallbackQuery { lists, limit: 10, ..CallbackQuery::default() };
        house.store.callbacks(&query).unwrap().items.iter().map(|lead| lead.id).collect()
    };
    assert_eq!(found(None), leads);
    assert_eq!(found(Some(vec![lists[1]])), [leads[1]]);
    assert_eq!(found(Some(Vec::new())), [], "none of no list");
    assert_eq!(found(Some(vec![id(77)])), [], "nor of one that is not there");
}
