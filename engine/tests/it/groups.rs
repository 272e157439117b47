//! Calls from trunk to trunk whose route has several trunks: who is tried, in which order, and what the caller hears of it.

use crate::dialled::{CALL, dial, hangup};
use crate::transit::{FROM, TO};
use crate::world::{Callee, World};
use dialer_core::config::TrunkConfig;
use dialer_core::outcome::{EndCause, Outcome};
use dialer_core::{CallFact, CallOrder, OtherTrunk, TrunkId};
use engine::{Route, ShardCommand, ShardEvent, TransitMedia};

const SECOND: TrunkId = TrunkId::from_bits(3);
const THIRD: TrunkId = TrunkId::from_bits(4);

/// Peer 0 calls; peers 1 to 3 are the trunks of the route, which names them in another order than they are to be tried in.
fn world(media: TransitMedia, callees: [Callee; 3]) -> World {
    let mut w = World::new(11);
    w.carrier("caller", FROM, |_| {});
    for (index, (trunk, callee)) in [TO, SECOND, THIRD].into_iter().zip(callees).enumerate() {
        let name = ["first", "second", "third"][index];
        w.carrier(name, trunk, |config| {
            config.priority = index as u16 + 1;
            config.prefix = format!("{index}");
        });
        w.peers[index + 1].default = callee;
    }
    let to_trunks = vec![THIRD, TO, SECOND];
    let route = Route { from_trunk: Some(FROM), prefix: "0".into(), to_trunks, media, record: false };
    w.command(ShardCommand::SetRoutes(vec![route]));
    w
}

/// Refuses at once, without ringing.
fn refuses(code: u16) -> Callee {
    Callee { ring_ms: None, ..Callee::refuses(50, code) }
}

fn moves(w: &World) -> Vec<TrunkId> {
    let told = w.facts.iter().filter_map(|event| match event {
        ShardEvent::Transit(facts) => Some(facts),
        _ => None,
    });
    let moved = told.flatten().filter_map(|fact| match fact {
        CallFact::TransitMoved { to, .. } => Some(*to),
        _ => None,
    });
    moved.collect()
}

fn invites(w: &World) -> [usize; 3] {
    [1, 2, 3].map(|peer| w.peers[peer].invites.len())
}

/// No room, and silence: the third trunk answers, each was sent the number as it wants it, and the caller has heard of
/// nothing but the answer.
#[test]
fn the_next_trunk_takes_what_the_one_before_does_not() {
    for media in [TransitMedia::Relay, TransitMedia::Bypass] {
        let mut w = world(media, [refuses(503), Callee::answers(100), Callee::answers(100)]);
        w.peers[2].dead = true;
        for peer in [0, 3] {
            w.peers[peer].speaks = true;
        }
        w.call_in(0, "100", "0200");
        w.run_for(5_000);
        assert_eq!(w.ladder.matches("us -> caller: 200").count(), 1, "{}", w.ladder);
        assert!(!w.ladder.contains("us -> caller: 503"), "{}", w.ladder);
        assert_eq!((moves(&w), w.shard.counters().transits_rerouted), (vec![SECOND, THIRD], 2));
        assert!(w.peers[1].invites[0].starts_with("INVITE sip:00200@"), "{}", w.peers[1].invites[0]);
        assert!(w.peers[3].invites[0].starts_with("INVITE sip:20200@"), "{}", w.peers[3].invites[0]);
        if media == TransitMedia::Relay {
            assert!(w.peers[0].legs[0].heard > 10 && w.peers[3].legs[0].heard > 10, "{}", w.ladder);
        }
        assert_eq!(w.transit_started().len(), 1);
        w.peer_hangup(0);
        w.run_for(1_000);
        let records = w.transit_records();
        assert_eq!(records.len(), 1);
        assert_eq!((records[0].trunk, records[0].outcome), (Some(THIRD), Outcome::Connected));
        w.assert_at_rest();
    }
}

/// Nobody is at the port: the next trunk is called at the same moment.
#[test]
fn a_trunk_that_is_not_there_is_left_at_once() {
    let mut w =
        world(TransitMedia::Relay, [Callee::answers(100), Callee::answers(100), Callee::answers(100)]);
    w.peers[1].gone = true;
    w.call_in(0, "100", "0200");
    w.run_for(300);
    assert!(w.ladder.contains("us -> caller: 200"), "{}", w.ladder);
    assert_eq!(moves(&w), [SECOND]);
    w.peer_hangup(0);
    w.assert_at_rest();
}

/// Who was not there a moment ago is not tried first again, until it is time to look.
#[test]
fn who_has_failed_comes_last_for_a_while() {
    let callees = || [Callee::answers(100), Callee::answers(100), Callee::answers(100)];
    let mut w = world(TransitMedia::Relay, callees());
    w.peers[1].dead = true;
    w.call_in(0, "100", "0200");
    w.run_for(5_000);
    assert_eq!((moves(&w), invites(&w)), (vec![SECOND], [0, 1, 0]), "{}", w.ladder);
    w.peers[1].dead = false;
    w.call_in(0, "100", "0201");
    w.run_for(500);
    assert_eq!((moves(&w).len(), invites(&w)), (1, [0, 2, 0]), "{}", w.ladder);
    w.run_for(30_000);
    w.call_in(0, "100", "0202");
    w.run_for(500);
    assert_eq!((moves(&w).len(), invites(&w)), (1, [1, 2, 0]), "{}", w.ladder);
    for _ in 0..3 {
        w.peer_hangup(0);
        w.run_for(500);
    }
    w.assert_at_rest();
}

/// What the callee says is the caller's, and so is what comes when it has rung.
#[test]
fn the_callee_s_word_is_not_asked_for_twice() {
    for code in [486, 404, 500, 603] {
        let mut w = world(TransitMedia::Relay, [refuses(code), Callee::answers(100), Callee::answers(100)]);
        w.call_in(0, "100", "0200");
        w.run_for(1_000);
        assert_eq!((invites(&w), w.peers[0].ended[0].code), ([1, 0, 0], Some(code)), "{}", w.ladder);
        w.assert_at_rest();
    }
    let mut w =
        world(TransitMedia::Relay, [Callee::refuses(300, 503), Callee::answers(100), Callee::answers(100)]);
    w.call_in(0, "100", "0200");
    w.run_for(1_000);
    assert_eq!((invites(&w), w.peers[0].ended[0].code), ([1, 0, 0], Some(503)), "{}", w.ladder);
    w.assert_at_rest();
}

/// Where none takes it the caller hears what the last one said; a caller who gives up meanwhile ends all of it.
#[test]
fn none_of_them_takes_it() {
    let all = [refuses(503), refuses(503), refuses(503)];
    let mut w = world(TransitMedia::Relay, all.clone());
    w.call_in(0, "100", "0200");
    w.run_for(1_000);
    assert_eq!((invites(&w), w.peers[0].ended[0].code), ([1, 1, 1], Some(503)), "{}", w.ladder);
    let record = w.transit_records()[0];
    assert_eq!((record.trunk, record.outcome), (Some(THIRD), Outcome::NetworkCongestion));
    w.assert_at_rest();
    for after_ms in (0..200).step_by(7) {
        let mut w = world(TransitMedia::Relay, all.clone());
        w.call_in(0, "100", "0200");
        w.run_for(after_ms);
        w.peer_hangup(0);
        w.run_for(1_000);
        let causes: Vec<EndCause> = w.transit_records().iter().map(|record| record.cause).collect();
        let begun = w.shard.counters().transits_started as usize;
        assert_eq!(causes.len(), begun, "{after_ms}\n{}", w.ladder);
        w.assert_at_rest();
    }
}

/// Who has no room is not asked at all; when nobody has any the caller gets 503.
#[test]
fn full_trunks_are_passed_over() {
    let callees = || [Callee::answers(50), Callee::answers(50), Callee::answers(50)];
    let mut w = world(TransitMedia::Bypass, callees());
    let one_channel = |w: &mut World, peer: usize, trunk: TrunkId, channels_max: u32| {
        let config = TrunkConfig {
            name: format!("{peer}"),
            address: w.peers[peer].address.to_string(),
            channels_max,
            cps_max: 10_000.0,
            options_interval_ms: 0,
            priority: peer as u16,
            ..TrunkConfig::default()
        };
        let created_at = Default::default();
        let row = dialer_core::record::TrunkRow { id: trunk, config, version: 2, created_at };
        w.command(ShardCommand::ApplyTrunk(Box::new(row)));
    };
    for (peer, trunk) in [(1, TO), (2, SECOND), (3, THIRD)] {
        one_channel(&mut w, peer, trunk, 1);
    }
    for call in 0..4 {
        w.call_in(0, "100", &format!("020{call}"));
        w.run_for(200);
    }
    assert_eq!(invites(&w), [1, 1, 1], "{}", w.ladder);
    assert_eq!(w.peers[0].ended.iter().filter_map(|ended| ended.code).collect::<Vec<_>>(), [503]);
    assert_eq!(w.shard.counters().transits_refused_busy, 1);
    w.peer_hangup(0);
    w.run_for(500);
    w.call_in(0, "100", "0205");
    w.run_for(300);
    assert_eq!(invites(&w).iter().sum::<usize>(), 4, "{}", w.ladder);
    for peer in [1, 2, 3] {
        w.peer_hangup(peer);
    }
    w.assert_at_rest();
}

/// Peers 1 to 3 are the trunks of a call that is dialled.
fn dialled(callees: [Callee; 3]) -> World {
    let mut w = world(TransitMedia::Relay, callees);
    w.facts.clear();
    w.ladder.clear();
    w
}

fn dial_over(trunks: [TrunkId; 3]) -> CallOrder {
    let [first, rest @ ..] = trunks;
    let mut order = dial();
    if let CallOrder::DialCustomer { trunk, others, caller_id, .. } = &mut order {
        let other = |trunk: TrunkId| OtherTrunk { trunk, caller_id: Some(format!("+49{}", trunk.to_bits())) };
        (*trunk, *others, *caller_id) = (first, rest.map(other).into(), Some("+491".into()));
    }
    order
}

/// Where the dialled call went, with which number.
fn dialled_moves(w: &World) -> Vec<(TrunkId, Option<&str>)> {
    let mut moves = Vec::new();
    for fact in w.facts_of(CALL) {
        if let CallFact::Moved { trunk, caller_id, .. } = fact {
            moves.push((*trunk, caller_id.as_deref()));
        }
    }
    moves
}

fn ends(w: &World) -> usize {
    w.facts_of(CALL).iter().filter(|fact| matches!(fact, CallFact::Ended { .. })).count()
}

/// No room, and silence: the third trunk's callee answers, and the dialer hears of one leg only.
#[test]
fn a_dialled_call_goes_to_the_next_trunk() {
    let mut w = dialled([refuses(503), Callee::answers(100), Callee::answers(100)]);
    w.peers[2].dead = true;
    w.order(dial_over([TO, SECOND, THIRD]), true);
    w.run_for(5_000);
    assert_eq!(dialled_moves(&w), [(SECOND, Some("+493")), (THIRD, Some("+494"))], "{}", w.ladder);
    assert_eq!((invites(&w)[0], invites(&w)[2], w.shard.counters().dials_rerouted), (1, 1, 2));
    assert!(w.peers[1].invites[0].contains("<sip:+491@"), "{}", w.peers[1].invites[0]);
    assert!(w.peers[3].invites[0].contains("<sip:+494@"), "{}", w.peers[3].invites[0]);
    let names = w.fact_names(CALL);
    assert_eq!(names.matches("Dialled").count(), 1, "{names}");
    assert_eq!((names.matches("Answered").count(), ends(&w)), (1, 0), "{names}");
    w.order(hangup(), false);
    w.run_for(1_000);
    assert_eq!(ends(&w), 1);
    w.assert_at_rest();
}

/// Nobody is at the port of the first, and the second cannot be used: neither ends the call.
#[test]
fn a_dialled_call_leaves_a_trunk_that_is_not_there() {
    let mut w = dialled([Callee::answers(100), Callee::answers(100), Callee::answers(100)]);
    w.peers[1].gone = true;
    w.order(dial_over([TO, TrunkId::from_bits(77), THIRD]), true);
    w.run_for(300);
    assert_eq!(dialled_moves(&w), [(THIRD, Some("+494"))], "{}", w.ladder);
    assert!(w.fact_names(CALL).contains("Answered"));
    w.order(hangup(), false);
    w.run_for(1_000);
    w.assert_at_rest();
    // A first trunk that there is not is told as little.
    let mut w = dialled([Callee::answers(100), Callee::answers(100), Callee::answers(100)]);
    w.order(dial_over([TrunkId::from_bits(77), SECOND, THIRD]), true);
    w.run_for(300);
    assert_eq!((dialled_moves(&w), invites(&w)), (vec![(SECOND, Some("+493"))], [0, 1, 0]));
    w.order(hangup(), false);
    w.run_for(1_000);
    w.assert_at_rest();
}

/// What the callee says, be it by ringing before, is the end of the call; so is what the last trunk says.
#[test]
fn a_dialled_call_ends_with_the_word_of_a_callee_or_of_the_last_trunk() {
    let rings_first = Callee { ring_ms: Some(20), ..Callee::refuses(50, 503) };
    for (callee, tried) in [(refuses(486), 1), (rings_first, 1), (refuses(503), 3)] {
        let mut w = dialled([callee.clone(), callee.clone(), callee]);
        w.order(dial_over([TO, SECOND, THIRD]), true);
        w.run_for(2_000);
        assert_eq!(invites(&w).iter().sum::<usize>(), tried, "{}", w.ladder);
        assert_eq!((dialled_moves(&w).len(), ends(&w)), (tried - 1, 1), "{}", w.ladder);
        w.assert_at_rest();
    }
}

/// Hung up while the second trunk is silent.
#[test]
fn a_dialled_call_is_cancelled_wherever_it_is() {
    let mut w = dialled([refuses(503), Callee::rings(), Callee::rings()]);
    w.order(dial_over([TO, SECOND, THIRD]), true);
    w.run_for(500);
    assert_eq!(dialled_moves(&w).len(), 1);
    w.order(hangup(), false);
    w.run_for(2_000);
    assert!(w.ladder.contains("us -> second: CANCEL"), "{}", w.ladder);
    assert_eq!((ends(&w), invites(&w)), (1, [1, 1, 0]));
    w.assert_at_rest();
}
