//! Phones that are rung call by call, in campaigns whose agents hear lines ring.

use crate::house::House;
use crate::modes::{rings, with_mode};
use dialer_core::config::{Concurrency, ConcurrencyKind, ConnectAt, DialMode};
use dialer_core::outcome::{EndCause, Outcome, Party};
use dialer_core::{AgentFact, AgentId, CallFact, CallId, CallOrder, CampaignId, Command, Input};

/// Two lines were dialled for one agent without a session.
fn two_lines() -> (House, CampaignId, AgentId, [CallId; 2]) {
    let mut house = House::new();
    house.plain_trunk();
    let anna = house.on_demand_agent("anna");
    let list = house.list(4);
    let mut config = with_mode(list, DialMode::Ratio);
    config.connect_at = ConnectAt::Ringing;
    config.concurrency =
        Concurrency { kind: ConcurrencyKind::Fixed, lines: Some(2), ..Concurrency::default() };
    let campaign = house.running(config);
    house.pass(3_000);
    let calls = house.dialled();
    assert_eq!(calls.len(), 2);
    house.log();
    (house, campaign, anna, [calls[0], calls[1]])
}

fn up(house: &mut House, agent: AgentId) {
    house.input(Input::Agent(AgentFact::SessionUp { agent }));
}

fn down(house: &mut House, agent: AgentId, cause: EndCause) {
    house.input(Input::Agent(AgentFact::SessionDown { agent, cause, by: Party::Agent }));
}

#[test]
fn a_phone_is_rung_when_a_line_rings_and_hops_to_the_line_that_is_answered() {
    let (mut house, _, anna, [first, second]) = two_lines();
    rings(&mut house, first);
    let log = house.log();
    assert!(log.contains("agent.state ready -> ringing (rung_early)"), "{log}");
    rings(&mut house, second);
    assert!(!house.log().contains("rung_early"), "one phone is not rung twice");
    up(&mut house, anna);
    assert!(house.orders.contains(&CallOrder::UseSession { call: first, agent: anna }));
    house.call_fact(CallFact::Answered { call: second });
    assert!(house.log().contains("call.agent_hopped"));
    let rung = |order: &CallOrder| matches!(order, CallOrder::RingAgent { .. });
    assert!(!house.orders.iter().any(rung), "her leg is up: nothing is rung for the answer");
    house.call_fact(CallFact::Bridged { call: second });
    assert!(house.log().contains("agent.state reserved -> talking (bridged)"));

    house.end(first, Party::System, EndCause::NoAnswer);
    house.end(second, Party::Customer, EndCause::Normal);
    assert_eq!(house.record(second).outcome, Outcome::Connected);
    let log = house.log();
    assert_eq!(log.matches("CloseSession { agent: anna }").count(), 1, "{log}");
    down(&mut house, anna, EndCause::Normal);
    assert!(house.dialer.audit().is_empty());
}

#[test]
fn the_leg_ends_when_nothing_rings_any_more() {
    let (mut house, campaign, anna, [first, second]) = two_lines();
    rings(&mut house, first);
    up(&mut house, anna);
    house.command(Command::AgentPause { agent: anna, code: "tea".into() }).unwrap();
    let log = house.log();
    assert_eq!(log.matches("CloseSession { agent: anna }").count(), 1, "on a break: {log}");
    down(&mut house, anna, EndCause::Normal);
    house.command(Command::AgentReady(anna)).unwrap();
    assert!(house.log().contains("ready -> ringing (rung_early)"), "a line rings still");
    up(&mut house, anna);
    house.log();
    house.command(Command::PauseCampaign(campaign)).unwrap();
    for call in [first, second] {
        house.end(call, Party::System, EndCause::NoAnswer);
    }
    let log = house.log();
    assert_eq!(log.matches("CloseSession { agent: anna }").count(), 1, "{log}");
    down(&mut house, anna, EndCause::Normal);
    assert!(house.log().contains("reserved -> ready (session_down)"));
    assert!(house.dialer.audit().is_empty());
}

#[test]
fn a_phone_that_is_not_taken_is_left_alone_for_a_while_and_the_line_rings_on() {
    let (mut house, _, anna, [first, _]) = two_lines();
    rings(&mut house, first);
    house.log();
    down(&mut house, anna, EndCause::NoAnswer);
    let log = house.log();
    assert!(log.contains("ringing -> unreachable (missed_offer)"), "{log}");
    assert!(!house.hung_up(first));
    assert!(house.dialer.audit().is_empty());
}

#[test]
fn laying_the_phone_down_while_talking_ends_the_call_and_is_no_missed_offer() {
    let (mut house, _, anna, [first, _]) = two_lines();
    rings(&mut house, first);
    up(&mut house, anna);
    house.call_fact(CallFact::Answered { call: first });
    house.call_fact(CallFact::Bridged { call: first });
    house.log();
    down(&mut house, anna, EndCause::Normal);
    assert!(house.hung_up(first));
    house.end(first, Party::Agent, EndCause::Normal);
    let log = house.log();
    assert!(!log.contains("missed_offer"), "{log}");
    assert_eq!(house.record(first).agent, Some(anna));
    assert!(house.dialer.audit().is_empty());
}
