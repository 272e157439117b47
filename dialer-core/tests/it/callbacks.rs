//! A customer calls back: whom the route says, one after the other, and exactly one end.

use crate::house::House;
use crate::ladder::progressive;
use dialer_core::config::{CampaignConfig, HoldBack, PacingConfig};
use dialer_core::inbound::{InboundRouteConfig, InboundStep};
use dialer_core::outcome::{EndCause, Outcome, Party};
use dialer_core::record::{CallKindTag, LeadState};
use dialer_core::{
    AgentId, CallFact, CallId, CallOrder, Command, CommandError, Event, Input, Reply, TrunkId,
};
use std::collections::BTreeMap;

const OURS: &str = "+4930900";
const CUSTOMER: &str = "+49301000001";

fn last() -> InboundStep {
    InboundStep::LastAgent { within_ms: 86_400_000, wait_ms: 0, play: None }
}

fn owner() -> InboundStep {
    InboundStep::Owner { wait_ms: 0, play: None }
}

fn group(waiting_max: u32, wait_ms: u64) -> InboundStep {
    InboundStep::Group { group: None, waiting_max, wait_ms, play: Some("music".into()) }
}

fn message() -> InboundStep {
    InboundStep::Message { play: "closed".into() }
}

fn route(house: &mut House, steps: Vec<InboundStep>) {
    route_at(house, OURS, steps);
}

fn route_at(house: &mut House, number: &str, steps: Vec<InboundStep>) {
    let config = InboundRouteConfig {
        name: format!("callbacks of {number}"),
        numbers: vec![number.into()],
        steps,
        record: false,
        ..InboundRouteConfig::default()
    };
    house.command(Command::CreateInboundRoute(config)).unwrap();
}

/// A call comes in, and is answered if the dialer says so.
fn rings(house: &mut House, trunk: TrunkId, number: u128, from: &str) -> CallId {
    let call = CallId::from_bits(number << 64 | 7);
    rings_at(house, trunk, call, from, OURS)
}

fn rings_at(house: &mut House, trunk: TrunkId, call: CallId, from: &str, to: &str) -> CallId {
    let (from, to, verstat) = (Some(from.to_owned()), to.to_owned(), Some("passed:A".to_owned()));
    house.call_fact(CallFact::InboundArrived { call, trunk, from, to, verstat });
    let answered =
        |order: &CallOrder| matches!(order, CallOrder::AnswerCustomer { call: c, .. } if *c == call);
    if house.orders.iter().any(answered) {
        house.call_fact(CallFact::Answered { call });
    }
    call
}

/// The agent whose session was last ordered to join the call.
fn offered(house: &House, call: CallId) -> Option<AgentId> {
    house.orders.iter().rev().find_map(|order| match order {
        CallOrder::UseSession { call: c, agent } if *c == call => Some(*agent),
        _ => None,
    })
}

fn steps(house: &House, call: CallId) -> Vec<String> {
    let of_call = house.store.events.iter().filter(|event| event.call == Some(call));
    of_call
        .filter_map(|event| match &event.event {
            Event::CallRouted { step, .. } => Some(step.clone()),
            _ => None,
        })
        .collect()
}

/// A campaign that called the customer once; the agent who talked is free again.
fn called_before(house: &mut House) -> (TrunkId, AgentId) {
    let trunk = house.plain_trunk();
    let anna = house.ready_agent("anna");
    let list = house.list(1);
    let lead = *house.store.leads.keys().next().unwrap();
    let owner = BTreeMap::from([("owner".to_owned(), "bert".to_owned())]);
    house.store.leads.get_mut(&lead).unwrap().fields = owner;
    let config = CampaignConfig { record: false, ..progressive(list) };
    house.running(config);
    house.pass(100);
    let call = house.dialled()[0];
    house.join(call);
    house.end(call, Party::Customer, EndCause::Normal);
    house.command(Command::AgentReady(anna)).unwrap();
    (trunk, anna)
}

#[test]
fn the_last_agent_then_the_owner_then_the_group_then_a_message() {
    let mut house = House::new();
    let (trunk, anna) = called_before(&mut house);
    let carl = house.ready_agent("carl");
    house.pass(1);
    let bert = house.ready_agent("bert");
    route(&mut house, vec![last(), owner(), group(10, 5_000), message()]);

    let call = rings(&mut house, trunk, 1, CUSTOMER);
    assert_eq!(offered(&house, call), Some(anna));
    house.call_fact(CallFact::Bridged { call });
    house.end(call, Party::Customer, EndCause::Normal);
    let record = house.record(call);
    assert_eq!((record.kind, record.outcome), (CallKindTag::Inbound, Outcome::Connected));
    assert_eq!((record.to.as_str(), record.caller_id.as_deref()), (OURS, Some(CUSTOMER)));
    assert!(record.lead.is_some() && record.campaign.is_some());
    house.command(Command::AgentReady(anna)).unwrap();

    house.command(Command::AgentPause { agent: anna, code: "tea".into() }).unwrap();
    let call = rings(&mut house, trunk, 2, "0301000001");
    assert_eq!(
        offered(&house, call),
        Some(carl),
        "a national number is nobody's without the trunk's country code"
    );
    house.end(call, Party::Customer, EndCause::Normal);

    let call = rings(&mut house, trunk, 3, "0049301000001");
    assert_eq!(offered(&house, call), Some(bert), "the owner");
    house.command(Command::AgentPause { agent: bert, code: "tea".into() }).unwrap();
    house.end(call, Party::Customer, EndCause::Normal);
    let call = rings(&mut house, trunk, 4, CUSTOMER);
    assert_eq!(offered(&house, call), Some(carl), "the group");
    house.command(Command::AgentPause { agent: carl, code: "tea".into() }).unwrap();
    house.end(call, Party::Customer, EndCause::Normal);

    let call = rings(&mut house, trunk, 5, CUSTOMER);
    assert_eq!(steps(&house, call), ["group"], "it waits");
    let music = CallOrder::Play { call, prompt: "music".into(), repeat: true };
    assert!(house.orders.contains(&music));
    house.pass(5_000);
    assert_eq!(steps(&house, call), ["group", "message"]);
    house.call_fact(CallFact::MessagePlayed { call });
    assert!(house.hung_up(call));
    house.end(call, Party::System, EndCause::Normal);
    assert_eq!(house.record(call).outcome, Outcome::NoAnswer);
    assert_eq!(house.dialer.alive().calls, 0);
    assert_eq!(house.dialer.alive().waiting, 0);
    let counts = house.dialer.counters().inbound.values().next().unwrap();
    assert_eq!((counts.arrived, counts.connected, counts.unanswered), (5, [1, 0, 0], 4));
}

#[test]
fn a_lead_who_calls_back_is_reached_and_not_dialled_meanwhile() {
    let mut house = House::new();
    let trunk = house.plain_trunk();
    let list = house.list(1);
    let lead = *house.store.leads.keys().next().unwrap();
    house.running(progressive(list));
    house.pass(100);
    route(&mut house, vec![group(10, 60_000)]);
    let anna = house.agent_with_phone("anna");
    house
        .command(Command::AgentLogin { agent: anna, session: dialer_core::config::SessionKind::NailedUp })
        .unwrap();
    let call = rings(&mut house, trunk, 1, CUSTOMER);
    house.input(Input::Agent(dialer_core::AgentFact::SessionUp { agent: anna }));
    assert_eq!(offered(&house, call), Some(anna), "who waits is served as soon as someone is free");
    assert!(house.dialled().is_empty(), "the one who talks to us is not dialled");
    house.call_fact(CallFact::Bridged { call });
    house.end(call, Party::Customer, EndCause::Normal);
    assert_eq!(house.store.leads[&lead].progress.state, LeadState::Done);
    assert_eq!(house.store.leads[&lead].progress.attempts, 0, "no attempt of ours");
}

#[test]
fn who_hangs_up_in_the_queue_changes_nothing_of_the_lead() {
    let mut house = House::new();
    let trunk = house.plain_trunk();
    let list = house.list(1);
    let lead = *house.store.leads.keys().next().unwrap();
    house.campaign(progressive(list));
    route(&mut house, vec![group(10, 60_000)]);
    let anna = house.ready_agent("anna");
    house.command(Command::AgentPause { agent: anna, code: "tea".into() }).unwrap();
    let call = rings(&mut house, trunk, 1, CUSTOMER);
    assert_eq!(house.dialer.alive().waiting, 1);
    house.end(call, Party::Customer, EndCause::Normal);
    assert_eq!(house.dialer.alive().leads_held, 0);
    assert_eq!(house.store.leads[&lead].progress.state, LeadState::New);
    assert_eq!(house.record(call).outcome, Outcome::NoAnswer);
    house.command(Command::AgentReady(anna)).unwrap();
    assert_eq!(offered(&house, call), None);
}

#[test]
fn a_full_queue_sends_the_next_caller_on() {
    let mut house = House::new();
    let trunk = house.plain_trunk();
    route(&mut house, vec![group(1, 60_000), message()]);
    let anna = house.ready_agent("anna");
    house.command(Command::AgentPause { agent: anna, code: "tea".into() }).unwrap();
    let first = rings(&mut house, trunk, 1, CUSTOMER);
    let second = rings(&mut house, trunk, 2, "+49301000002");
    assert_eq!((steps(&house, first), steps(&house, second)), (vec!["group".into()], vec!["message".into()]));
    house.command(Command::AgentReady(anna)).unwrap();
    assert_eq!(offered(&house, first), Some(anna));
}

#[test]
fn an_agent_who_does_not_take_the_call_gives_way() {
    let mut house = House::new();
    let trunk = house.plain_trunk();
    let bert = house.on_demand_agent("bert");
    route(&mut house, vec![group(10, 30_000), message()]);
    let call = rings(&mut house, trunk, 1, CUSTOMER);
    let rung = |house: &House| {
        house
            .orders
            .iter()
            .filter(|order| matches!(order, CallOrder::RingAgent { call: c, .. } if *c == call))
            .count()
    };
    assert_eq!(rung(&house), 1);
    let cause = EndCause::NoAnswer;
    house.call_fact(CallFact::AgentFailed { call, agent: bert, cause, sip_code: None });
    assert_eq!(house.dialer.alive().waiting, 1, "in the queue again");
    let anna = house.ready_agent("anna");
    assert_eq!(offered(&house, call), Some(anna));
    house.call_fact(CallFact::Bridged { call });
    house.end(call, Party::Agent, EndCause::Normal);
    assert_eq!(house.record(call).agent, Some(anna));
}

#[test]
fn a_menu_leads_where_its_digits_say() {
    let mut house = House::new();
    let trunk = house.plain_trunk();
    let digits = BTreeMap::from([('1', group(10, 60_000)), ('2', message())]);
    let menu = InboundStep::Menu { play: "menu".into(), wait_ms: 4_000, digits };
    route(&mut house, vec![menu]);
    let anna = house.ready_agent("anna");
    let call = rings(&mut house, trunk, 1, CUSTOMER);
    assert_eq!(offered(&house, call), None);
    let press = |digit| CallFact::Dtmf { call, party: Party::Customer, digit, duration_ms: 100 };
    house.call_fact(press('7'));
    assert_eq!(steps(&house, call), ["menu"], "a digit that leads nowhere is passed over");
    house.call_fact(CallFact::MessagePlayed { call });
    house.call_fact(press('1'));
    assert_eq!(steps(&house, call), ["menu", "group"]);
    assert_eq!(offered(&house, call), Some(anna));
    house.end(call, Party::Customer, EndCause::Normal);
    let silent = rings(&mut house, trunk, 2, CUSTOMER);
    house.call_fact(CallFact::MessagePlayed { call: silent });
    house.pass(3_999);
    assert!(!house.hung_up(silent));
    house.pass(1);
    assert!(house.hung_up(silent), "no digit, and no further place");
}

#[test]
fn campaigns_hold_back_while_callers_wait() {
    let mut house = House::new();
    let trunk = house.plain_trunk();
    let list = house.list(5);
    let anna = house.ready_agent("anna");
    let bert = house.ready_agent("bert");
    house.command(Command::AgentPause { agent: bert, code: "tea".into() }).unwrap();
    route(&mut house, vec![InboundStep::Group { group: None, waiting_max: 9, wait_ms: 60_000, play: None }]);
    house.command(Command::AgentPause { agent: anna, code: "tea".into() }).unwrap();
    let waits = rings(&mut house, trunk, 1, "+4930777");
    let pacing = Box::new(PacingConfig { hold_back: HoldBack::NoDial, ..PacingConfig::default() });
    house.running(CampaignConfig { pacing, ..progressive(list) });
    house.command(Command::AgentReady(anna)).unwrap();
    assert_eq!(offered(&house, waits), Some(anna), "the caller goes first");
    house.pass(2_000);
    assert!(house.dialled().is_empty());
    house.command(Command::AgentReady(bert)).unwrap();
    house.pass(2_000);
    assert_eq!(house.dialled().len(), 1, "nobody waits any more");
}

#[test]
fn what_cannot_be_taken_is_refused_and_held_by_nobody() {
    let mut house = House::new();
    let trunk = house.plain_trunk();
    let unknown = rings(&mut house, trunk, 1, CUSTOMER);
    assert!(house.hung_up(unknown), "no route");
    house.end(unknown, Party::System, EndCause::Congestion);
    route(&mut house, vec![last()]);
    house.command(Command::Drain { deadline: std::time::Duration::from_secs(60) }).unwrap();
    let late = rings(&mut house, trunk, 2, CUSTOMER);
    assert!(house.hung_up(late), "draining");
    assert_eq!(house.dialer.alive().calls, 0);
    assert_eq!(house.dialer.counters().inbound_refused, 2);
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let mut house = House::new();
    let config = |change: fn(&mut InboundRouteConfig)| {
        let numbers = vec![OURS.into()];
        let mut config = InboundRouteConfig { name: "r".into(), numbers, ..InboundRouteConfig::default() };
        change(&mut config);
        config
    };
    let Ok(Reply::InboundRoute(..)) = house.command(Command::CreateInboundRoute(config(|_| ()))) else {
        panic!()
    };
    let taken = house.command(Command::CreateInboundRoute(config(|_| ())));
    assert!(matches!(taken, Err(CommandError::Conflict { pointer, .. }) if pointer == "/numbers/0"));
    type Change = fn(&mut InboundRouteConfig);
    let wrong: [(Change, &str); 6] = [
        (|of| of.name.clear(), "/name"),
        (|of| of.numbers = vec!["030".into()], "/numbers/0"),
        (|of| of.numbers.clear(), "/numbers"),
        (|of| of.steps.clear(), "/steps"),
        (|of| of.priority = 101, "/priority"),
        (
            |of| {
                let digits = BTreeMap::from([('x', InboundStep::Message { play: "m".into() })]);
                of.steps = vec![InboundStep::Menu { play: "m".into(), wait_ms: 0, digits }];
            },
            "/steps/0/digits/x",
        ),
    ];
    for (change, pointer) in wrong {
        let refused = house.command(Command::CreateInboundRoute(config(change)));
        assert!(
            matches!(&refused, Err(CommandError::Invalid { pointer: at, .. }) if at == pointer),
            "{refused:?}"
        );
    }
}

/// What became of the check of its signature is told when it comes in, and stands in its record.
#[test]
fn a_checked_signature_is_told_and_written_down() {
    let mut house = House::new();
    let (trunk, _) = called_before(&mut house);
    route(&mut house, vec![last()]);
    let call = rings(&mut house, trunk, 1, CUSTOMER);
    let told = house.store.events.iter().find_map(|event| match &event.event {
        Event::CallInbound { verstat, .. } => Some(verstat.clone()),
        _ => None,
    });
    assert_eq!(told, Some(Some("passed:A".into())));
    house.call_fact(CallFact::Bridged { call });
    house.end(call, Party::Customer, EndCause::Normal);
    assert_eq!(house.record(call).verstat.as_deref(), Some("passed:A"));
}

/// Each of our numbers has a way of its own: every place alone, and what comes after one that cannot be had.
#[test]
fn each_number_takes_its_callers_where_its_own_route_says() {
    let menu = |digit: char, to: InboundStep| InboundStep::Menu {
        play: "choose".into(),
        wait_ms: 3_000,
        digits: BTreeMap::from([(digit, to)]),
    };
    // Numbers, their routes, who is on a break, the digit that is pressed, and where the caller is taken.
    type Case = (Vec<InboundStep>, &'static [&'static str], Option<char>, &'static [&'static str]);
    let cases: [Case; 11] = [
        (vec![last()], &[], None, &["last_agent"]),
        (vec![owner()], &[], None, &["owner"]),
        (vec![group(9, 60_000)], &[], None, &["group"]),
        (vec![message()], &[], None, &["message"]),
        (vec![menu('1', group(9, 60_000))], &[], Some('1'), &["menu", "group"]),
        (vec![menu('1', owner()), message()], &[], Some('2'), &["menu"]),
        // The other way round, and past who is not there.
        (vec![owner(), last()], &[], None, &["owner"]),
        (vec![last(), owner()], &["anna"], None, &["owner"]),
        (vec![last(), owner(), message()], &["anna", "bert"], None, &["message"]),
        (vec![menu('1', last()), message()], &["anna"], Some('1'), &["menu", "message"]),
        (vec![last(), owner()], &["anna", "bert"], None, &[]),
    ];
    for (place, (steps_of, away, digit, expected)) in cases.into_iter().enumerate() {
        let mut house = House::new();
        let (trunk, _) = called_before(&mut house);
        house.ready_agent("bert");
        // Another number has another way.
        let number = format!("+493091{place}");
        route_at(&mut house, "+4930999", vec![message()]);
        route_at(&mut house, &number, steps_of);
        for name in away {
            let agent = house.agent_named(name);
            house.command(Command::AgentPause { agent, code: "tea".into() }).unwrap();
        }
        let call = CallId::from_bits((place as u128 + 1) << 64 | 7);
        rings_at(&mut house, trunk, call, CUSTOMER, &number);
        if let Some(digit) = digit {
            let party = Party::Customer;
            house.call_fact(CallFact::Dtmf { call, party, digit, duration_ms: 100 });
        }
        assert_eq!(steps(&house, call), expected, "case {place}");
        assert_eq!(house.hung_up(call), expected.is_empty(), "case {place}: nowhere left to go");
        house.end(call, Party::Customer, EndCause::Normal);
        assert_eq!(house.dialer.alive().calls, 0);
    }
}

/// A caller for the campaign's group under `ring_all`: every free phone rings, who does not answer misses nothing.
#[test]
fn a_caller_rings_all_phones_of_the_group() {
    use dialer_core::serving::{AgentOrder, Serving};
    let mut house = House::new();
    let trunk = house.plain_trunk();
    let (anna, bert) = (house.on_demand_agent("anna"), house.on_demand_agent("bert"));
    let list = house.list(1);
    let serving = Box::new(Serving { order: AgentOrder::RingAll, ..Serving::default() });
    let campaign = house.campaign(CampaignConfig { serving, ..progressive(list) });
    let config = InboundRouteConfig {
        name: "callbacks".into(),
        numbers: vec![OURS.into()],
        steps: vec![InboundStep::Group { group: None, waiting_max: 9, wait_ms: 60_000, play: None }],
        campaign: Some(campaign),
        record: false,
        ..InboundRouteConfig::default()
    };
    house.command(Command::CreateInboundRoute(config)).unwrap();
    let call = rings(&mut house, trunk, 1, CUSTOMER);
    let rung = |house: &House, agent: AgentId| {
        let of = |order: &&CallOrder| matches!(order, CallOrder::RingAgent { agent: a, .. } if *a == agent);
        house.orders.iter().filter(of).count()
    };
    assert_eq!((rung(&house, anna), rung(&house, bert)), (1, 1));
    house.call_fact(CallFact::AgentAnswered { call, agent: bert });
    house.call_fact(CallFact::Bridged { call });
    assert!(house.log().contains("ringing -> ready (answered_elsewhere)"));
    house.end(call, Party::Customer, EndCause::Normal);
    assert_eq!(house.record(call).agent, Some(bert));
    // Nobody answers: both have missed it, and the caller goes on waiting while there is time.
    house.pass(60_000);
    let call = rings(&mut house, trunk, 2, CUSTOMER);
    house.pass(20_000);
    assert_eq!((rung(&house, anna), rung(&house, bert)), (3, 3), "rung again after their back-off");
    assert!(!house.hung_up(call));
    house.end(call, Party::Customer, EndCause::Cancelled);
    assert_eq!(house.dialer.alive().calls, 0);
}
