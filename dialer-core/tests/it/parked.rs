//! A customer who is set aside, and taken back.

use crate::house::{House, request};
use crate::ladder::one_call;
use dialer_core::outcome::{EndCause, Party};
use dialer_core::participant::{CallAct, CallWish, Sides};
use dialer_core::view::{AgentState, CallState};
use dialer_core::{AgentId, CallFact, CallId, CallOrder, Command, CommandError, Event, Reply};

fn wish(house: &mut House, call: CallId, wish: CallWish) -> Result<Reply, CommandError> {
    house.command(Command::Call { call, wish })
}

fn park(house: &mut House, call: CallId, timeout_ms: u32) {
    wish(house, call, CallWish::Park { timeout_ms }).unwrap();
    // The engine takes the agent out.
    house.call_fact(CallFact::LegEnded {
        call,
        party: Party::Agent,
        cause: EndCause::Normal,
        sip_code: None,
        q850: None,
    });
}

/// What the stream of a call says of its joining, as `bridged AGENT` and `unbridged REASON`.
fn joinings(house: &House, call: CallId) -> Vec<String> {
    let of_call = house.store.events.iter().filter(|told| told.call == Some(call));
    of_call
        .filter_map(|told| match &told.event {
            Event::CallBridged { .. } => Some("bridged".to_owned()),
            Event::CallUnbridged { reason, .. } => Some(format!("unbridged {reason}")),
            Event::CallAgentMissed { .. } => Some("missed".to_owned()),
            _ => None,
        })
        .collect()
}

fn state(house: &House, call: CallId) -> Option<CallState> {
    house.views.get(&call).map(|view| view.state)
}

fn talking(wrap_up_ms: u32) -> (House, AgentId, CallId) {
    let (mut house, anna, call) = one_call(|config| config.timers.wrap_up_ms = wrap_up_ms);
    house.join(call);
    house.pass(10_000);
    (house, anna, call)
}

#[test]
fn a_parked_customer_is_taken_back_by_another_agent() {
    let (mut house, anna, call) = talking(20_000);
    park(&mut house, call, 300_000);
    assert_eq!(house.agent_state(anna), AgentState::WrapUp, "the agent is free for after-call work");
    assert_eq!(state(&house, call), Some(CallState::Parked));
    house.pass(60_000);
    let bert = house.ready_agent("bert");
    wish(&mut house, call, CallWish::Bridge(Some(bert))).unwrap();
    house.call_fact(CallFact::Bridged { call });
    assert_eq!(
        (state(&house, call), house.agent_state(bert)),
        (Some(CallState::Bridged), AgentState::Talking)
    );
    house.pass(5_000);
    house.end(call, Party::Customer, EndCause::Normal);
    assert_eq!(joinings(&house, call), ["bridged", "unbridged parked", "bridged", "unbridged call_ended"]);
    assert_eq!(house.agent_state(bert), AgentState::WrapUp);
    let record = house.record(call);
    assert_eq!((record.agent, record.abandoned), (Some(bert), false));
}

#[test]
fn a_parked_customer_goes_back_to_who_parked_it_and_ends_when_nobody_is_there() {
    let (mut house, anna, call) = talking(1_000);
    park(&mut house, call, 30_000);
    house.command(Command::AgentPause { agent: anna, code: "tea".into() }).unwrap();
    house.pass(45_000);
    assert_eq!(state(&house, call), Some(CallState::Parked), "nobody is ready");
    house.command(Command::AgentReady(anna)).unwrap();
    // A progressive campaign dials for whoever is ready: the parked customer comes first or waits for the next look.
    house.pass(2_000);
    house.call_fact(CallFact::Bridged { call });
    house.pass(1_000);
    let back = state(&house, call);
    assert!(matches!(back, Some(CallState::Bridged | CallState::Parked)), "{back:?}");
    let (mut house, anna, call) = talking(1_000);
    park(&mut house, call, 30_000);
    house.command(Command::AgentLogout(anna)).unwrap();
    house.pass(59_000);
    assert!(!house.hung_up(call));
    house.pass(4_000);
    assert!(house.hung_up(call), "nobody was to be had for as long again");
}

#[test]
fn who_does_not_take_a_parked_customer_leaves_it_parked() {
    let (mut house, _, call) = talking(20_000);
    park(&mut house, call, 300_000);
    let bert = house.on_demand_agent("bert");
    wish(&mut house, call, CallWish::Bridge(Some(bert))).unwrap();
    assert_eq!(house.agent_state(bert), AgentState::Ringing);
    let cause = EndCause::NoAnswer;
    house.call_fact(CallFact::AgentFailed { call, agent: bert, cause, sip_code: None });
    assert_eq!(state(&house, call), Some(CallState::Parked));
    assert_eq!(joinings(&house, call), ["bridged", "unbridged parked", "missed"]);
    house.end(call, Party::Customer, EndCause::Normal);
    assert!(!house.record(call).abandoned, "they have talked");
}

#[test]
fn a_call_by_hand_is_parked_too() {
    let mut house = House::new();
    house.plain_trunk();
    let anna = house.ready_agent("anna");
    let Ok(Reply::Call(call)) = house.command(Command::Originate(request(anna, "+49301234567"))) else {
        panic!()
    };
    house.join(call);
    park(&mut house, call, 300_000);
    assert!(!house.hung_up(call), "that the agent's leg is over does not end it");
    let bert = house.on_demand_agent("bert");
    wish(&mut house, call, CallWish::Bridge(Some(bert))).unwrap();
    house.call_fact(CallFact::AgentAnswered { call, agent: bert });
    house.call_fact(CallFact::Bridged { call });
    assert_eq!(house.agent_state(bert), AgentState::Talking);
}

#[test]
fn what_cannot_be_parked_says_why() {
    let (mut house, _, call) = one_call(|_| {});
    let refused = |house: &mut House| match wish(house, call, CallWish::Park { timeout_ms: 5_000 }) {
        Err(CommandError::InvalidCallState { detail, .. }) => detail,
        other => panic!("{other:?}"),
    };
    assert!(refused(&mut house).contains("joined"));
    house.join(call);
    assert!(matches!(
        wish(&mut house, call, CallWish::Park { timeout_ms: 999 }),
        Err(CommandError::Invalid { .. })
    ));
    park(&mut house, call, 5_000);
    assert!(refused(&mut house).contains("joined"), "it is parked already");
    let ordered = |order: &&CallOrder| matches!(order, CallOrder::Act { act: CallAct::Park, .. });
    assert_eq!(house.orders.iter().filter(ordered).count(), 1);
}

#[test]
fn a_notice_is_played_to_both_as_soon_as_they_are_joined() {
    let mut house = House::new();
    house.plain_trunk();
    let anna = house.ready_agent("anna");
    let wanted =
        dialer_core::OriginateRequest { notice: Some("recorded".into()), ..request(anna, "+49301234567") };
    let Ok(Reply::Call(call)) = house.command(Command::Originate(wanted)) else { panic!() };
    let played = |house: &House| {
        let is = |order: &&CallOrder| matches!(order, CallOrder::Act { act: CallAct::Play { to: Sides::Both, prompt }, .. } if prompt == "recorded");
        house.orders.iter().filter(is).count()
    };
    house.answer(call);
    assert_eq!(played(&house), 0);
    house.call_fact(CallFact::Bridged { call });
    assert_eq!(played(&house), 1);
}
