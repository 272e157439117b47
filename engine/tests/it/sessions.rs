//! Nailed-up sessions.

use crate::dialled::{AGENT, CALL, bridge, dial, hangup, open_session, use_session, world};
use crate::world::{Callee, Then, World};
use dialer_core::config::AutoAnswer;
use dialer_core::outcome::{EndCause, Party};
use dialer_core::participant::Way;
use dialer_core::{AgentFact, AgentId, CallFact, CallOrder};
use engine::{ShardCommand, ShardEvent};

pub(crate) fn agent_facts(w: &World) -> Vec<&AgentFact> {
    w.facts
        .iter()
        .filter_map(|event| match event {
            ShardEvent::Agent(fact) if !matches!(fact, AgentFact::Registered(_)) => Some(fact),
            _ => None,
        })
        .collect()
}

#[test]
fn up_and_closed() {
    let mut w = world(Callee::answers(100));
    w.command(open_session());
    w.run_for(300);
    assert_eq!(agent_facts(&w), [&AgentFact::SessionUp { agent: AGENT }]);
    w.command(ShardCommand::CloseSession { agent: AGENT });
    w.run_for(300);
    assert!(w.peers[1].legs.is_empty());
    let down = AgentFact::SessionDown { agent: AGENT, cause: EndCause::Normal, by: Party::System };
    assert_eq!(agent_facts(&w)[1..], [&down]);
    w.command(ShardCommand::CloseSession { agent: AGENT });
    assert_eq!(agent_facts(&w).len(), 2);
    w.assert_at_rest();
}

#[test]
fn a_phone_that_does_not_answer_or_refuses_or_is_not_there() {
    for (callee, cause, by) in [
        (Callee::rings(), EndCause::NoAnswer, Party::System),
        (Callee::refuses(50, 486), EndCause::Busy, Party::Agent),
    ] {
        let mut w = world(Callee::answers(100));
        w.peers[1].default = callee;
        w.command(open_session());
        w.run_for(10_000);
        assert_eq!(agent_facts(&w), [&AgentFact::SessionDown { agent: AGENT, cause, by }]);
        w.assert_at_rest();
    }
    let mut w = World::new(1);
    let agent = AgentId::from_bits(9);
    let way = Way::Phone { agent, auto_answer: AutoAnswer::None, display: String::new() };
    w.command(ShardCommand::OpenSession { agent, way, ring_timeout_ms: 1000 });
    let down = AgentFact::SessionDown { agent, cause: EndCause::NotRegistered, by: Party::System };
    assert_eq!(agent_facts(&w), [&down]);
    w.assert_at_rest();
}

#[test]
fn the_phone_hangs_up_in_the_middle_of_a_call() {
    let mut w = world(Callee::answers(100));
    w.command(open_session());
    w.run_for(300);
    w.order(dial(), true);
    w.run_for(300);
    w.order(use_session(), false);
    w.order(bridge(), false);
    w.run_for(300);
    w.peer_hangup(1);
    w.run_for(300);
    let Some(CallFact::Ended { by, cause, .. }) =
        w.facts_of(CALL).into_iter().find(|fact| matches!(fact, CallFact::Ended { .. }))
    else {
        panic!("the call ends:\n{}", w.ladder)
    };
    assert_eq!((*by, *cause), (Party::Agent, EndCause::Normal));
    assert!(matches!(agent_facts(&w)[..], [_, AgentFact::SessionDown { by: Party::Agent, .. }]));
    assert!(w.peers[0].legs.is_empty(), "the customer is hung up too");
    w.assert_at_rest();
}

#[test]
fn a_session_in_a_call_is_not_given_to_another() {
    let mut w = world(Callee::answers(100));
    w.command(open_session());
    w.run_for(300);
    w.order(dial(), true);
    w.order(use_session(), false);
    let other = dialer_core::CallId::from_bits(2);
    w.order(dialer_core::CallOrder::UseSession { call: other, agent: AGENT }, true);
    assert!(matches!(w.facts_of(other)[..], [CallFact::AgentFailed { cause: EndCause::Busy, .. }]));
    w.command(ShardCommand::HangupAll);
    w.assert_at_rest();
}

#[test]
fn a_session_goes_from_call_to_call() {
    let mut w = world(Callee::talks(100, 500));
    w.peers[0].speaks = true;
    w.command(open_session());
    w.run_for(300);
    for n in 1..=3 {
        let call = dialer_core::CallId::from_bits(n);
        let mut order = dial();
        if let dialer_core::CallOrder::DialCustomer { call: name, .. } = &mut order {
            *name = call;
        }
        w.order(order, true);
        w.run_for(200);
        w.order(dialer_core::CallOrder::UseSession { call, agent: AGENT }, false);
        w.order(dialer_core::CallOrder::Bridge { call, tone: true, record: None }, false);
        w.run_for(1000);
        assert_eq!(
            w.fact_names(call),
            "Dialled Ringing Answered AgentAnswered Bridged LegEnded LegEnded Ended"
        );
        assert!(w.peers[1].legs[0].up);
    }
    assert!(w.peers[1].legs[0].heard > 45, "{}", w.peers[1].legs[0].heard);
    w.command(ShardCommand::CloseSession { agent: AGENT });
    w.assert_at_rest();
}

#[test]
fn removing_the_agent_ends_the_session() {
    let mut w = world(Callee::answers(100));
    w.command(open_session());
    w.run_for(300);
    w.command(ShardCommand::RemoveAgent(AGENT));
    w.run_for(300);
    assert!(w.peers[1].legs.is_empty());
    assert!(matches!(agent_facts(&w)[..], [_, AgentFact::SessionDown { .. }]));
}

/// An agent who is joined while it rings hears what the network plays, and the answer finds them joined.
#[test]
fn an_agent_hears_the_line_ring_before_the_answer() {
    let then = Then::Answer { after_ms: 2_000, talk_ms: None };
    let mut w = world(Callee { ring_ms: Some(50), early_media: true, then });
    w.peers[0].speaks = true;
    w.command(open_session());
    w.run_for(300);
    w.order(dial(), true);
    w.run_for(300);
    w.order(use_session(), false);
    w.order(CallOrder::LetHear { call: CALL }, false);
    let before = w.peers[1].legs[0].heard;
    w.run_for(1_000);
    let heard = w.peers[1].legs[0].heard - before;
    assert!(heard >= 40, "{heard} packets of early media in a second\n{}", w.ladder);
    w.run_for(1_500);
    w.order(bridge(), false);
    w.run_for(500);
    assert!(w.facts_of(CALL).iter().any(|fact| matches!(fact, CallFact::Bridged { .. })), "{}", w.ladder);
    w.order(hangup(), false);
    w.command(ShardCommand::CloseSession { agent: AGENT });
    w.run_for(1_000);
    w.assert_at_rest();
}

/// The agent's phone goes away while the customer's only rings: that rings on.
#[test]
fn a_session_lost_while_it_rings_takes_nobody_along() {
    let mut w = world(Callee::rings());
    w.command(open_session());
    w.run_for(300);
    w.order(dial(), true);
    w.run_for(300);
    w.order(use_session(), false);
    w.order(CallOrder::LetHear { call: CALL }, false);
    w.run_for(300);
    w.peer_hangup(1);
    w.run_for(1_000);
    let ended = |w: &World| w.facts_of(CALL).iter().any(|fact| matches!(fact, CallFact::Ended { .. }));
    assert!(!ended(&w), "{}", w.ladder);
    assert!(
        w.facts_of(CALL).iter().any(|fact| matches!(fact, CallFact::LegEnded { party: Party::Agent, .. }))
    );
    w.run_for(25_000);
    assert!(ended(&w), "the ring limit ends it\n{}", w.ladder);
    w.assert_at_rest();
}
