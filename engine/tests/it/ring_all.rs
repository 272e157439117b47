//! Many phones ring for one call, over real SIP: the first to answer has it, each leg ends once.

use crate::dialled::{AGENT, CALL, bridge, dial, hangup, world};
use crate::world::{Callee, World};
use dialer_core::config::AutoAnswer;
use dialer_core::outcome::EndCause;
use dialer_core::participant::Way;
use dialer_core::{AgentId, CallFact, CallOrder};

const BERT: AgentId = AgentId::from_bits(2);
const CORA: AgentId = AgentId::from_bits(3);

fn ring(agent: AgentId, ring_timeout_ms: u32) -> CallOrder {
    CallOrder::RingAgent {
        call: CALL,
        agent,
        way: Way::Phone { agent, auto_answer: AutoAnswer::None, display: String::new() },
        ring_timeout_ms,
    }
}

/// An answered customer (peer 0) and three phones (peers 1 to 3) that behave so.
fn three_phones(callees: [Callee; 3]) -> World {
    let mut w = world(Callee::answers(20));
    w.phone("bert", BERT);
    w.phone("cora", CORA);
    for (place, callee) in callees.into_iter().enumerate() {
        w.peers[1 + place].default = callee;
    }
    w.order(dial(), true);
    w.run_for(100);
    w.ladder.clear();
    for agent in [AGENT, BERT, CORA] {
        w.order(ring(agent, 8_000), false);
    }
    w
}

fn agents_that(w: &World, of: impl Fn(&CallFact) -> Option<AgentId>) -> Vec<AgentId> {
    w.facts_of(CALL).into_iter().filter_map(of).collect()
}

fn answered(w: &World) -> Vec<AgentId> {
    agents_that(w, |fact| match fact {
        CallFact::AgentAnswered { agent, .. } => Some(*agent),
        _ => None,
    })
}

fn failed(w: &World) -> Vec<(AgentId, EndCause)> {
    let fact = |fact: &CallFact| match fact {
        CallFact::AgentFailed { agent, cause, .. } => Some((*agent, *cause)),
        _ => None,
    };
    w.facts_of(CALL).into_iter().filter_map(fact).collect()
}

fn agent_legs_ended(w: &World) -> usize {
    let of_agent = |fact: &&CallFact| {
        matches!(fact, CallFact::LegEnded { party: dialer_core::outcome::Party::Agent, .. })
    };
    w.facts_of(CALL).into_iter().filter(of_agent).count()
}

#[test]
fn the_first_to_answer_has_the_call_and_the_others_are_told_so() {
    let mut w = three_phones([Callee::rings(), Callee::answers(400), Callee::rings()]);
    w.run_for(1_000);
    let rung = agents_that(&w, |fact| match fact {
        CallFact::AgentRinging { agent, .. } => Some(*agent),
        _ => None,
    });
    assert_eq!(rung.len(), 3, "{}", w.ladder);
    assert_eq!((answered(&w), failed(&w)), (vec![BERT], vec![]), "{}", w.ladder);
    assert_eq!(agent_legs_ended(&w), 2);
    for peer in [1, 3] {
        let ended = &w.peers[peer].ended;
        assert_eq!(ended.len(), 1, "once: {}", w.ladder);
        assert_eq!((ended[0].sip, ended[0].text.as_deref()), (Some(200), Some("Call completed elsewhere")));
    }
    w.order(bridge(), false);
    w.run_for(5_000);
    assert!(w.facts_of(CALL).iter().any(|fact| matches!(fact, CallFact::Bridged { .. })));
    assert_eq!(w.peers[2].legs.len(), 1, "the one who answered talks");
    w.order(hangup(), false);
    w.run_for(500);
    assert_eq!(agent_legs_ended(&w), 3, "each leg once");
    assert_eq!(answered(&w).len(), 1);
    w.assert_at_rest();
}

/// Two phones answer at the same moment: one 200 is too late, its leg is acknowledged and ended.
#[test]
fn an_answer_that_crosses_the_cancel_gets_bye() {
    let mut w = three_phones([Callee::answers(400), Callee::answers(402), Callee::rings()]);
    w.run_for(1_000);
    assert_eq!(answered(&w), [AGENT], "{}", w.ladder);
    assert_eq!(w.peers[2].legs.len(), 0, "{}", w.ladder);
    assert_eq!((w.peers[2].ended.len(), agent_legs_ended(&w)), (1, 2));
    w.order(hangup(), false);
    w.run_for(500);
    w.assert_at_rest();
}

#[test]
fn who_refuses_is_told_of_and_the_others_ring_on_each_for_its_own_time() {
    let mut w = three_phones([Callee::refuses(200, 486), Callee::rings(), Callee::rings()]);
    w.run_for(1_000);
    assert_eq!(failed(&w), [(AGENT, EndCause::Busy)], "{}", w.ladder);
    assert!(w.peers[2].ended.is_empty() && w.peers[3].ended.is_empty());
    // One more may be rung meanwhile, each only once.
    w.order(ring(BERT, 1_000), false);
    assert_eq!(failed(&w)[1..], [(BERT, EndCause::LocalLimit)]);
    w.order(ring(AGENT, 1_000), false);
    w.run_for(500);
    w.order(CallOrder::ReleaseAgent { call: CALL, agent: CORA }, false);
    w.run_for(500);
    assert_eq!(w.peers[3].ended.len(), 1, "who is let go is let go: {}", w.ladder);
    assert!(w.peers[2].ended.is_empty());
    w.run_for(9_000);
    assert!(failed(&w).contains(&(BERT, EndCause::NoAnswer)), "{}", w.ladder);
    assert!(answered(&w).is_empty());
    w.order(hangup(), false);
    w.run_for(500);
    w.assert_at_rest();
}

#[test]
fn all_phones_stop_when_the_customer_goes() {
    let mut w = three_phones([Callee::rings(), Callee::rings(), Callee::rings()]);
    w.run_for(500);
    w.peer_hangup(0);
    w.run_for(500);
    assert_eq!(agent_legs_ended(&w), 3);
    assert!(w.peers[1..].iter().all(|phone| phone.ended.len() == 1 && phone.legs.is_empty()), "{}", w.ladder);
    w.assert_at_rest();
}
