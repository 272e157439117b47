//! What both legs of a call do in their dialogs: session timers, PRACK, UPDATE, glare.

use crate::transit::world;
use crate::world::{Callee, World};
use dialer_core::TrunkFact;
use dialer_core::outcome::EndCause;
use engine::{Reliability, SessionUse, ShardCommand, ShardEvent, TransitMedia};
use sansio::{Duration, SharedPace};
use sip_proxy::ua::EndedBy;

const BOTH: [TransitMedia; 2] = [TransitMedia::Relay, TransitMedia::Bypass];

fn count(w: &World, line: &str) -> usize {
    w.ladder.matches(line).count()
}

/// A world whose sessions last 200 s without a refresh.
fn timed(media: TransitMedia) -> World {
    let mut w = World::with(11, |config| {
        config.session_timers.interval = Duration::from_secs(200);
        // Nobody speaks in these calls.
        config.media_timeout = Duration::ZERO;
    });
    crate::transit::connect(&mut w, media, Callee::answers(100));
    w
}

/// Each leg has a timer of its own; we refresh ours by UPDATE.
#[test]
fn a_held_call_is_refreshed_on_each_leg() {
    for media in BOTH {
        let mut w = timed(media);
        w.call_in(0, "100", "0200");
        // Half an interval of 200 s, four times.
        w.run_for(410_000);
        assert!(w.peers.iter().all(|peer| peer.legs.len() == 1), "{}", w.ladder);
        // Towards the callee it is the callee's choice and it refreshes, towards the caller it is ours.
        assert_eq!(
            (count(&w, "us -> caller: UPDATE"), count(&w, "us <- callee: UPDATE")),
            (4, 4),
            "{}",
            w.ladder
        );
        w.peer_hangup(0);
        w.run_for(1000);
        assert_eq!(w.transit_records()[0].cause, EndCause::Normal);
        w.assert_at_rest();
    }
}

/// A peer that is gone without a BYE: its leg ends with its session, and so does the call.
#[test]
fn a_call_ends_when_its_refresh_stays_away() {
    for (dead, ends_s) in [(0, 100 + 32), (1, 200 - 32)] {
        let mut w = timed(TransitMedia::Bypass);
        w.call_in(0, "100", "0200");
        w.run_for(1000);
        w.peers[dead].dead = true;
        w.run_for((ends_s - 2) * 1000);
        assert!(w.transit_records().is_empty(), "{dead}: {}", w.ladder);
        w.run_for(4000);
        let records = w.transit_records();
        assert_eq!((records.len(), records[0].cause), (1, EndCause::Timeout), "{dead}: {}", w.ladder);
        assert_eq!(w.peers[1 - dead].ended[0].by, EndedBy::Remote);
        w.assert_at_rest();
    }
}

#[test]
fn timers_can_be_off() {
    let mut w = World::with(11, |config| config.session_timers.use_with = SessionUse::Off);
    crate::transit::connect(&mut w, TransitMedia::Bypass, Callee::answers(100));
    w.call_in(0, "100", "0200");
    w.run_for(1_000_000);
    assert_eq!(count(&w, "UPDATE"), 0, "{}", w.ladder);
    w.peer_hangup(0);
    w.run_for(1000);
    w.assert_at_rest();
}

/// 183 with a description is acknowledged on each leg by itself.
#[test]
fn early_media_is_acknowledged_leg_by_leg() {
    for media in BOTH {
        let mut w = world(media, Callee::answers(2000).with_early_media());
        w.call_in(0, "100", "0200");
        w.run_for(1500);
        assert_eq!(
            (count(&w, "us -> callee: PRACK"), count(&w, "us <- caller: PRACK")),
            (1, 1),
            "{}",
            w.ladder
        );
        w.run_for(1000);
        assert!(w.peers[0].legs[0].up, "{}", w.ladder);
        w.peer_hangup(0);
        w.run_for(1000);
        w.assert_at_rest();
    }
    // … or not at all.
    let mut w = World::with(11, |config| config.reliable = Reliability::Off);
    crate::transit::connect(&mut w, TransitMedia::Relay, Callee::answers(2000).with_early_media());
    w.call_in(0, "100", "0200");
    w.run_for(2500);
    assert_eq!(count(&w, "PRACK"), 0);
    assert!(w.peers[0].legs[0].up);
    w.peer_hangup(0);
    w.run_for(1000);
    w.assert_at_rest();
}

/// UPDATE before and after the answer: passed to the other side as UPDATE, or answered by us where we carry the sound.
#[test]
fn updates_are_passed_or_answered() {
    for media in BOTH {
        for from in [0, 1] {
            let mut w = world(media, Callee::answers(2000).with_early_media());
            w.call_in(0, "100", "0200");
            w.run_for(1500);
            w.peer_update(from, "sendonly");
            w.run_for(1000);
            w.peer_update(from, "inactive");
            w.run_for(100);
            let other = if from == 0 { "us -> callee: UPDATE" } else { "us -> caller: UPDATE" };
            let passed = if media == TransitMedia::Bypass { 2 } else { 0 };
            assert_eq!(count(&w, other), passed, "{media:?} {from}\n{}", w.ladder);
            // Both at once.
            w.peer_update(0, "sendrecv");
            w.peer_update(1, "sendrecv");
            w.run_for(10_000);
            assert!(w.peers.iter().all(|peer| peer.legs.len() == 1), "{}", w.ladder);
            w.peer_hangup(from);
            w.run_for(500);
            w.assert_at_rest();
        }
    }
}

/// 503 with Retry-After: no new call goes there until then, and the dialer knows.
#[test]
fn a_trunk_that_asks_for_rest_gets_it() {
    let mut w = world(TransitMedia::Bypass, Callee::answers(100));
    w.peers[1].ua.set_draining(true);
    let call = |w: &mut World| {
        w.call_in(0, "100", "0200");
        w.run_for(200);
        w.peers[0].ended.last().and_then(|ended| ended.code)
    };
    assert_eq!(call(&mut w), Some(503));
    w.peers[1].ua.set_draining(false);
    let closed = |w: &World, wanted: bool| {
        let fact = TrunkFact::Closed { trunk: crate::transit::TO, closed: wanted };
        w.facts.iter().filter(|event| **event == ShardEvent::Trunk(fact.clone())).count()
    };
    assert_eq!((closed(&w, true), closed(&w, false)), (1, 0));
    // Ten seconds from its answer, which came 10 ms after the call.
    w.run_for(9_600);
    let invites = w.peers[1].invites.len();
    assert_eq!(call(&mut w), Some(503));
    assert_eq!(w.peers[1].invites.len(), invites, "it is left alone");
    w.run_for(20);
    assert_eq!((closed(&w, true), closed(&w, false)), (1, 1));
    w.call_in(0, "100", "0200");
    w.run_for(500);
    assert!(w.peers[0].legs[0].up, "{}", w.ladder);
    w.peer_hangup(0);
    w.run_for(500);
    w.assert_at_rest();
}

/// Two shards of one node: what one of them was asked for the other keeps to, and the dialer is told once by each end.
#[test]
fn a_trunk_that_asks_one_shard_for_rest_gets_it_from_all() {
    let mut shards = [(); 2].map(|()| world(TransitMedia::Bypass, Callee::answers(100)));
    let pace = SharedPace::new(1000.0);
    for w in &mut shards {
        w.command(ShardCommand::SharePace { trunk: crate::transit::TO, pace: pace.clone() });
    }
    let call = |w: &mut World| {
        w.call_in(0, "100", "0200");
        w.run_for(200);
        w.peers[0].ended.last().and_then(|ended| ended.code)
    };
    let closed = |w: &World, closed: bool| {
        let fact = TrunkFact::Closed { trunk: crate::transit::TO, closed };
        w.facts.iter().filter(|event| **event == ShardEvent::Trunk(fact.clone())).count()
    };
    shards[0].peers[1].ua.set_draining(true);
    assert_eq!(call(&mut shards[0]), Some(503));
    assert_eq!(call(&mut shards[1]), Some(503));
    assert_eq!(shards[1].peers[1].invites.len(), 0, "it is left alone");
    // A call that was under way on the other shard asks for more: until 12.2 s instead of 10.
    let until = pace.rests_until();
    assert!(pace.rest(until + Duration::from_secs(2)) == until);
    shards[0].run_for(until.millis_since(shards[0].now) + 100);
    assert_eq!((closed(&shards[0], true), closed(&shards[0], false)), (1, 0));
    let [first, second] = &mut shards;
    for w in [&mut *first, &mut *second] {
        w.peers[1].ua.set_draining(false);
        let left = (until + Duration::from_millis(2001)).millis_since(w.now);
        w.run_for(left);
    }
    assert_eq!((closed(first, true), closed(first, false)), (1, 1));
    assert_eq!((closed(second, true), closed(second, false)), (0, 0));
    for w in [first, second] {
        w.call_in(0, "100", "0200");
        w.run_for(500);
        assert!(w.peers[0].legs[0].up, "{}", w.ladder);
        w.peer_hangup(0);
        w.run_for(500);
        w.assert_at_rest();
    }
}

/// RFC 7339: a trunk that has more than enough to do says how many calls it does not want, and gets no more than the rest.
#[test]
fn a_trunk_that_asks_for_less_gets_less() {
    let mut w = crate::transit::world(TransitMedia::Bypass, Callee::refuses(50, 486));
    w.call_in(0, "100", "0200");
    w.run_for(500);
    // All of the callee's messages wait for long: it takes nothing more.
    let now = w.now;
    w.peers[1].ua.note_lag(now, std::time::Duration::from_secs(1));
    w.call_in(0, "100", "0200");
    w.run_for(500);
    let told =
        |loss_percent| ShardEvent::Trunk(TrunkFact::Overload { trunk: crate::transit::TO, loss_percent });
    assert_eq!(w.facts.iter().filter(|event| **event == told(100)).count(), 1, "{}", w.ladder);
    let invites = w.peers[1].invites.len();
    w.call_in(0, "100", "0200");
    w.run_for(200);
    assert_eq!(w.peers[0].ended.last().and_then(|ended| ended.code), Some(503));
    assert_eq!(w.peers[1].invites.len(), invites, "it is left alone");
    assert_eq!(w.shard.counters().sip.withheld, 1);
    // A second later the word has lapsed.
    w.run_for(1000);
    assert_eq!(w.facts.iter().filter(|event| **event == told(0)).count(), 1, "{}", w.ladder);
    w.call_in(0, "100", "0200");
    w.run_for(500);
    assert_eq!(w.peers[1].invites.len(), invites + 1);
    w.assert_at_rest();
}
