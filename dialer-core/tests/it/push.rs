//! Dial requests: paced as any lead, dialled in time or not at all.

use crate::house::{House, START, request};
use crate::ladder::progressive;
use dialer_core::config::{CampaignConfig, DialMode, PushConfig};
use dialer_core::outcome::{EndCause, Party};
use dialer_core::record::LeadState;
use dialer_core::{CallOrder, Command, CommandError, Event, LeadId, ListId, OriginateRequest, Reply};

fn push(list: ListId) -> CampaignConfig {
    CampaignConfig { push: Some(Box::default()), record: false, ..progressive(list) }
}

/// Has a lead of the list expire after so long from the start.
fn expires(house: &mut House, place: usize, after_ms: i64) -> LeadId {
    let lead = *house.store.leads.keys().nth(place).unwrap();
    house.store.leads.get_mut(&lead).unwrap().expires_at = Some(START.plus_millis(after_ms));
    lead
}

fn expired(house: &House) -> Vec<LeadId> {
    let told = house.store.events.iter().filter(|event| matches!(event.event, Event::LeadExpired { .. }));
    told.filter_map(|event| event.lead).collect()
}

fn state(house: &House, lead: LeadId) -> LeadState {
    house.store.leads[&lead].progress.state
}

#[test]
fn what_nobody_was_free_for_expires_on_time_and_is_told_once() {
    let mut house = House::new();
    house.plain_trunk();
    let list = house.list(3);
    let (first, second) = (expires(&mut house, 0, 5_000), expires(&mut house, 1, 9_000));
    let third = *house.store.leads.keys().nth(2).unwrap();
    house.running(push(list));
    house.pass(4_999);
    assert_eq!(expired(&house), []);
    house.pass(2);
    assert_eq!(expired(&house), [first]);
    assert_eq!(state(&house, first), LeadState::Expired);
    house.pass(60_000);
    assert_eq!(expired(&house), [first, second]);
    assert_eq!(state(&house, third), LeadState::New);
    assert_eq!(house.dialer.counters().campaigns.values().map(|of| of.leads_expired).sum::<u64>(), 2);
    house.ready_agent("anna");
    house.pass(1_000);
    let dialled = house.orders.iter().filter(|order| matches!(order, CallOrder::DialCustomer { .. })).count();
    assert_eq!(dialled, 1, "only the one that is left");
}

#[test]
fn a_stopped_campaign_says_so_too() {
    let mut house = House::new();
    let list = house.list(1);
    let lead = expires(&mut house, 0, 1_000);
    house.campaign(push(list));
    house.command(Command::LeadsImported { list, accepted: 1 }).unwrap();
    house.pass(999);
    assert_eq!(state(&house, lead), LeadState::New);
    house.pass(1);
    assert_eq!((expired(&house), state(&house, lead)), (vec![lead], LeadState::Expired));
}

#[test]
fn a_retry_that_would_come_too_late_expires() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(1);
    let lead = expires(&mut house, 0, 30_000);
    house.running(push(list));
    house.pass(100);
    let call = house.dialled()[0];
    house.end(call, Party::Customer, EndCause::Busy);
    assert_eq!(state(&house, lead), LeadState::RetryWait);
    house.pass(30_000);
    assert_eq!((expired(&house), state(&house, lead)), (vec![lead], LeadState::Expired));
}

#[test]
fn the_lists_of_requests_are_the_campaigns_own() {
    let mut house = House::new();
    let (list, other) = (house.list(1), house.list(1));
    let with = |push, lists| CampaignConfig { push: Some(Box::new(push)), lists, ..progressive(list) };
    let elsewhere = PushConfig { list: Some(other), ..PushConfig::default() };
    let none = PushConfig::default();
    for (config, pointer) in [
        (with(elsewhere, vec![list]), "/push/list_id"),
        (with(none.clone(), vec![]), "/lists"),
        (with(PushConfig { expires_in_ms: 999, ..none.clone() }, vec![list]), "/push/expires_in_ms"),
        (with(PushConfig { waiting_max: 0, ..none }, vec![list]), "/push/waiting_max"),
    ] {
        let refused = house.command(Command::CreateCampaign(Box::new(config)));
        assert!(matches!(refused, Err(CommandError::Invalid { pointer: at, .. }) if at == pointer));
    }
}

#[test]
fn a_preview_task_may_be_dialled_at_another_number_and_not_be_skipped() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(1);
    let lead = *house.store.leads.keys().next().unwrap();
    let mut phone = house.store.leads[&lead].phones[0].clone();
    phone.number = "+49301999".into();
    house.store.leads.get_mut(&lead).unwrap().phones.push(phone);
    let config = CampaignConfig { mode: DialMode::Preview, preview_skip: false, ..progressive(list) };
    house.running(config);
    let task = house.tasks[0];
    let refused = house.command(Command::TaskSkip(task));
    assert!(matches!(refused, Err(CommandError::InvalidState { .. })), "{refused:?}");
    let refused = house.command(Command::TaskDial { task, phone: Some(2) });
    assert!(matches!(refused, Err(CommandError::Invalid { pointer, .. }) if pointer == "/phone"));
    house.command(Command::TaskDial { task, phone: Some(1) }).unwrap();
    let call = house.dialled()[0];
    house.end(call, Party::Customer, EndCause::Busy);
    assert_eq!(house.record(call).to, "+49301999");
}

#[test]
fn a_lead_called_by_hand_counts_and_a_reached_one_stays_reached() {
    let mut house = House::new();
    house.plain_trunk();
    let anna = house.ready_agent("anna");
    let list = house.list(1);
    let id = *house.store.leads.keys().next().unwrap();
    let by_hand = |house: &House, to: &str| {
        let lead = Some(Box::new(house.store.leads[&id].clone()));
        Command::Originate(OriginateRequest { lead, ..request(anna, to) })
    };
    house.campaign(progressive(list));
    let to = house.store.leads[&id].phones[0].number.clone();
    let wrong = by_hand(&house, "+4930555");
    assert!(matches!(house.command(wrong), Err(CommandError::Invalid { pointer, .. }) if pointer == "/to"));
    let command = by_hand(&house, &to);
    let Ok(Reply::Call(call)) = house.command(command) else { panic!() };
    let command = by_hand(&house, &to);
    assert!(house.command(command).is_err(), "the agent is busy, and so is the lead");
    house.join(call);
    house.end(call, Party::Customer, EndCause::Normal);
    assert_eq!((house.record(call).lead, house.record(call).number_of_attempt), (Some(id), 1));
    assert_eq!(state(&house, id), LeadState::Done);
    house.pass(60_000);
    house.command(Command::AgentReady(anna)).ok();
    let command = by_hand(&house, &to);
    let Ok(Reply::Call(call)) = house.command(command) else { panic!() };
    house.end(call, Party::Customer, EndCause::NoAnswer);
    assert_eq!(state(&house, id), LeadState::Done, "nobody answered: it was reached before all the same");
    assert_eq!(house.store.leads[&id].progress.attempts, 2);
    assert_eq!(house.dialer.alive().leads_held, 0);
}

/// An order to dial may wait (for the disk, for the trunk's calls per second): it says until when it is good.
#[test]
fn what_expires_between_the_order_and_the_invite_is_not_dialled() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(2);
    let lead = expires(&mut house, 0, 5_000);
    house.running(push(list));
    house.pass(100);
    let until: Vec<_> = house
        .orders
        .iter()
        .filter_map(|order| match order {
            CallOrder::DialCustomer { not_after, .. } => Some(*not_after),
            _ => None,
        })
        .collect();
    assert_eq!(until, [Some(sansio::Instant::from_millis(5_000))]);
    let call = house.dialled()[0];
    house.pass(5_000);
    assert_eq!(expired(&house), [], "it is still being called, as far as is known");
    // Below, the order came too late.
    house.end(call, Party::System, EndCause::Cancelled);
    assert_eq!(house.record(call).sip_code, None);
    house.pass(1_000);
    assert_eq!((expired(&house), state(&house, lead)), (vec![lead], LeadState::Expired));
    house.pass(60_000);
    let again = house.orders.iter().filter(|order| matches!(order, CallOrder::DialCustomer { .. })).count();
    assert_eq!(again, 2, "the other lead, and not this one again");
    // One who looks at a lead may call it.
    let list = house.list(1);
    expires(&mut house, 2, 100_000);
    house.running(CampaignConfig { mode: DialMode::Preview, ..progressive(list) });
    let call = house.last_dialled();
    house.end(call, Party::Customer, EndCause::Busy);
    house.pass(1_000);
    let task = *house.tasks.last().expect("anna is free");
    house.command(Command::TaskDial { task, phone: None }).unwrap();
    assert!(matches!(house.orders.last(), Some(CallOrder::DialCustomer { not_after: None, .. })));
}
