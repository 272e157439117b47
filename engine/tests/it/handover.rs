//! Agents give their customers to others, and call out themselves.

use crate::dialled::{AGENT, CALL, TRUNK, bridge, dial, hangup, open_session, ring_agent, use_session};
use crate::world::{Callee, World};
use dialer_core::{AgentFact, AgentId, CallFact, TrunkId};
use engine::{Route, ShardCommand, ShardEvent, TransitMedia};

const OTHERS: TrunkId = TrunkId::from_bits(9);
const COLLEAGUE: AgentId = AgentId::from_bits(2);

/// Peers: 0 the customer's carrier, 1 the agent, 2 the carrier of numbers with 7, 3 a colleague. All speak.
fn world() -> World {
    let mut w = World::new(21);
    w.carrier("carrier", TRUNK, |_| {});
    w.phone_with("alice", AGENT, |config| {
        config.destinations = vec!["7".into()];
        config.calls_max = 1;
    });
    w.carrier("others", OTHERS, |config| config.caller_id = Some("555".into()));
    w.phone("bob", COLLEAGUE);
    let media = TransitMedia::Bypass;
    let route = |prefix: &str| Route {
        from_trunk: None,
        prefix: prefix.into(),
        to_trunks: vec![OTHERS],
        media,
        record: false,
    };
    w.command(ShardCommand::SetRoutes(vec![route("7"), route("9")]));
    for peer in &mut w.peers {
        peer.speaks = true;
        peer.default = Callee::answers(200);
    }
    w.facts.clear();
    w.ladder.clear();
    w
}

/// Customer and agent talk.
fn joined(nailed_up: bool) -> World {
    let mut w = world();
    if nailed_up {
        w.command(open_session());
        w.run_for(500);
    }
    w.order(dial(), true);
    w.run_for(400);
    w.order(if nailed_up { use_session() } else { ring_agent() }, false);
    w.run_for(400);
    w.order(bridge(), false);
    w.run_for(300);
    talk(&mut w, 0, 1);
    w
}

fn talk(w: &mut World, one: usize, other: usize) {
    let heard = |w: &World, peer: usize| w.peers[peer].legs.first().map_or(0, |leg| leg.heard);
    let before = (heard(w, one), heard(w, other));
    w.run_for(500);
    let after = (heard(w, one), heard(w, other));
    assert!(after.0 > before.0 + 10 && after.1 > before.1 + 10, "{before:?} {after:?}\n{}", w.ladder);
    assert_eq!(w.peers[one].legs[0].last_payload[0], w.peers[other].voice);
    assert_eq!(w.peers[other].legs[0].last_payload[0], w.peers[one].voice);
}

fn count(w: &World, what: impl Fn(&CallFact) -> bool) -> usize {
    w.facts_of(CALL).into_iter().filter(|fact| what(fact)).count()
}

/// The call ends, each leg once; at rest then.
fn ends(w: &mut World, by: usize) {
    w.peer_hangup(by);
    w.run_for(1000);
    assert_eq!(count(w, |fact| matches!(fact, CallFact::Ended { .. })), 1, "{}", w.ladder);
    for peer in [0, 2, 3] {
        assert!(w.peers[peer].legs.is_empty(), "{peer}\n{}", w.ladder);
    }
    w.run_for(60_000);
    for peer in [1, 3] {
        // A session goes on without the call.
        if !w.peers[peer].legs.is_empty() {
            w.peer_hangup(peer);
        }
    }
    w.run_for(60_000);
    w.assert_at_rest();
}

#[test]
fn blind_to_a_number() {
    for nailed_up in [false, true] {
        for by in [0, 2] {
            let mut w = joined(nailed_up);
            w.peer_refers(1, 0, "7300", None);
            w.run_for(1000);
            let told = ["202", "NOTIFY 100", "NOTIFY 180", "NOTIFY 200 done"];
            assert_eq!(w.peers[1].transfers, told, "{}", w.ladder);
            assert_eq!(w.peers[1].legs.len(), usize::from(nailed_up), "{}", w.ladder);
            let invite = &w.peers[2].invites[0];
            assert!(
                invite.starts_with("INVITE sip:7300@") && invite.contains("<sip:+862155550000@"),
                "{invite}"
            );
            assert!(invite.contains("Referred-By: "), "{invite}");
            let transferred = |fact: &CallFact| matches!(fact, CallFact::Transferred { agent, to, .. } if *agent == AGENT && to == "7300");
            assert_eq!(count(&w, transferred), 1);
            assert_eq!(count(&w, |fact| matches!(fact, CallFact::LegEnded { .. })), 1, "the agent's only");
            talk(&mut w, 0, 2);
            ends(&mut w, by);
        }
    }
}

/// To the phone of a colleague, whom no list of numbers names.
#[test]
fn blind_to_a_colleague() {
    let mut w = joined(false);
    w.peer_refers(1, 0, "bob", None);
    w.run_for(1000);
    assert_eq!(w.peers[1].transfers.last().map(String::as_str), Some("NOTIFY 200 done"), "{}", w.ladder);
    talk(&mut w, 0, 3);
    ends(&mut w, 3);
}

/// Busy: the agent is told and has the customer still.
#[test]
fn a_guest_who_is_busy() {
    let mut w = joined(false);
    w.peers[2].default = Callee::refuses(100, 486);
    w.peer_refers(1, 0, "7300", None);
    w.run_for(1000);
    assert_eq!(w.peers[1].transfers.last().map(String::as_str), Some("NOTIFY 486 done"), "{}", w.ladder);
    talk(&mut w, 0, 1);
    // And may try again.
    w.peers[2].default = Callee::answers(100);
    w.peer_refers(1, 0, "7301", None);
    w.run_for(1000);
    talk(&mut w, 0, 2);
    ends(&mut w, 0);
}

/// The agent hangs up while the guest rings: the agent is free at once, the customer waits; then the guest answers, or
/// does not, or the customer has had enough.
#[test]
fn the_agent_does_not_wait() {
    for (nailed_up, then) in [(false, 0), (false, 1), (false, 2), (true, 0), (true, 1)] {
        let mut w = joined(nailed_up);
        w.peers[2].default = if then == 1 { Callee::refuses(600, 486) } else { Callee::answers(600) };
        w.peer_refers(1, 0, "7300", None);
        w.run_for(200);
        w.peer_hangup(1);
        w.run_for(100);
        let left = |fact: &CallFact| matches!(fact, CallFact::Transferred { .. });
        assert_eq!(count(&w, left), 1, "{}", w.ladder);
        assert_eq!(count(&w, |fact| matches!(fact, CallFact::Ended { .. })), 0);
        match then {
            0 => {
                w.run_for(1000);
                talk(&mut w, 0, 2);
                ends(&mut w, 2);
            }
            1 => {
                w.run_for(1000);
                assert_eq!(count(&w, |fact| matches!(fact, CallFact::Ended { .. })), 1, "{}", w.ladder);
                w.run_for(60_000);
                w.assert_at_rest();
            }
            _ => ends(&mut w, 0),
        }
    }
}

/// Whatever ends while a guest rings, all of it ends.
#[test]
fn ended_from_above_while_a_guest_rings() {
    let mut w = joined(false);
    w.peers[2].default = Callee::rings();
    w.peer_refers(1, 0, "7300", None);
    w.run_for(300);
    w.order(hangup(), false);
    w.run_for(1000);
    assert!(w.peers.iter().all(|peer| peer.legs.is_empty()), "{}", w.ladder);
    w.run_for(60_000);
    w.assert_at_rest();
}

fn refusals(w: &World) -> Vec<&'static str> {
    let reason = |event: &ShardEvent| match event {
        ShardEvent::Agent(AgentFact::CallRefused { agent, reason, .. }) if *agent == AGENT => Some(*reason),
        _ => None,
    };
    w.facts.iter().filter_map(reason).collect()
}

/// Where the agent may not call, the agent may not transfer either.
#[test]
fn numbers_that_an_agent_may_not_have_called() {
    let mut w = joined(false);
    w.peer_refers(1, 0, "9300", None);
    w.run_for(500);
    assert_eq!(w.peers[1].transfers, ["403"], "{}", w.ladder);
    assert_eq!(refusals(&w), ["destination"]);
    assert_eq!(w.shard.counters().agent_calls_refused_destination, 1);
    talk(&mut w, 0, 1);
    ends(&mut w, 0);
}

/// What is on a do-not-call list is neither called nor transferred to, whoever dials it.
#[test]
fn numbers_that_nobody_may_call() {
    let mut w = joined(false);
    w.forbidden = vec!["7300".into()];
    w.peer_refers(1, 0, "7300", None);
    w.run_for(500);
    assert_eq!(w.peers[1].transfers, ["403"], "{}", w.ladder);
    assert!(w.peers[2].legs.is_empty() && w.peers[2].ended.is_empty(), "{}", w.ladder);
    assert_eq!(w.shard.counters().agent_calls_refused_dnc, 1);
    talk(&mut w, 0, 1);
    w.forbidden.clear();
    w.peer_refers(1, 0, "7300", None);
    w.run_for(500);
    assert_eq!(w.peers[2].legs.len(), 1, "{}", w.ladder);
    w.order(hangup(), false);
    w.run_for(60_000);
    w.assert_at_rest();

    let mut w = world();
    w.forbidden = vec!["7300".into()];
    w.call_in(1, "alice", "7300");
    w.run_for(300);
    assert_eq!(w.peers[1].ended.last().and_then(|ended| ended.code), Some(403), "{}", w.ladder);
    assert!(w.peers.iter().all(|peer| peer.legs.is_empty()), "{}", w.ladder);
    w.run_for(60_000);
    w.assert_at_rest();
}

/// The phone calls out: allowed numbers, one call at once, by the trunk's caller ID.
#[test]
fn an_agent_calls_out() {
    let mut w = world();
    let code = |w: &World| w.peers[1].ended.last().and_then(|ended| ended.code);
    w.call_in(1, "alice", "9300");
    w.run_for(300);
    assert_eq!(code(&w), Some(403), "{}", w.ladder);
    w.call_in(1, "alice", "7300");
    w.run_for(500);
    assert!(w.peers[2].invites[0].contains("From: <sip:555@"), "{}", w.peers[2].invites[0]);
    talk(&mut w, 1, 2);
    let second = w.call_in(1, "alice", "7301");
    w.run_for(300);
    assert_eq!((code(&w), refusals(&w)), (Some(403), vec!["destination", "limit"]), "{}", w.ladder);
    w.peers[1].legs.retain(|leg| leg.leg != second);
    w.peer_hangup(1);
    w.run_for(1000);
    let record = w.transit_records()[0];
    assert_eq!((record.agent, record.to.as_str()), (Some(AGENT), "7300"));
    // The place is free again.
    w.call_in(1, "alice", "7302");
    w.run_for(500);
    assert_eq!(w.peers[2].legs.len(), 1, "{}", w.ladder);
    w.peer_hangup(2);
    w.run_for(60_000);
    w.assert_at_rest();
}

/// The agent asks whom the customer is to speak to first, then joins both.
#[test]
fn attended() {
    for nailed_up in [false, true] {
        let mut w = joined(nailed_up);
        w.call_in(1, "alice", "7300");
        w.run_for(500);
        w.peer_refers(1, 0, "7300", Some(1));
        w.run_for(1000);
        assert_eq!(w.peers[1].transfers.last().map(String::as_str), Some("NOTIFY 200 done"), "{}", w.ladder);
        assert_eq!(w.peers[1].legs.len(), usize::from(nailed_up), "{}", w.ladder);
        assert_eq!(w.transit_records().len(), 1);
        talk(&mut w, 0, 2);
        ends(&mut w, 2);
    }
}
