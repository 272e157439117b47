//! What is heard while nobody talks: told by the level of the samples, each sound has its own.

use crate::dialled::{AGENT, CALL, TRUNK, bridge, dial, hangup, open_session, use_session};
use crate::world::{Callee, World};
use dialer_core::CallFact;
use engine::ShardCommand;
use media::codec::g711::ULAW_TO_LINEAR;

const TUNE: i16 = 1_000;
const TICK: i16 = 4_000;

fn world() -> World {
    let mut w = World::with(7, |config| {
        config.waiting_prompt = Some("tick".into());
        config.hold_prompt = Some("tune".into());
    });
    w.carrier("carrier", TRUNK, |_| {});
    w.phone("alice", AGENT);
    w.peers[0].default = Callee::answers(100);
    for (name, level) in [("tick", TICK), ("tune", TUNE)] {
        w.command(ShardCommand::LoadPrompt { name: name.into(), samples: vec![level; 800].into() });
    }
    w
}

/// What a peer hears now: the level of the last packet, and whether any came in the last 200 ms.
fn heard(w: &mut World, peer: usize) -> Option<i16> {
    let before = w.peers[peer].legs[0].heard;
    w.run_for(200);
    let leg = &w.peers[peer].legs[0];
    let level = leg.last_payload.get(80).map(|byte| ULAW_TO_LINEAR[usize::from(*byte)]);
    level.filter(|_| leg.heard > before + 5)
}

fn near(level: Option<i16>, wanted: i16) -> bool {
    level.is_some_and(|level| level.abs_diff(wanted) < wanted.unsigned_abs() / 16)
}

#[test]
fn an_agent_who_waits_hears_the_tick_and_a_call_takes_its_place() {
    let mut w = world();
    w.peers[0].speaks = true;
    w.peers[0].voice = 0x80;
    w.command(open_session());
    w.run_for(300);
    assert!(near(heard(&mut w, 1), TICK));
    w.order(dial(), true);
    w.run_for(300);
    w.order(use_session(), false);
    w.order(bridge(), false);
    w.run_for(200);
    assert!(near(heard(&mut w, 1), ULAW_TO_LINEAR[0x80]), "the customer");
    w.order(hangup(), false);
    w.run_for(200);
    assert!(near(heard(&mut w, 1), TICK), "and waits again");
    w.command(ShardCommand::CloseSession { agent: AGENT });
    w.assert_at_rest();
}

#[test]
fn who_is_on_hold_hears_the_tune_until_it_is_over() {
    let mut w = world();
    w.peers.iter_mut().for_each(|peer| peer.speaks = true);
    w.peers[1].voice = 0x80;
    w.command(open_session());
    w.run_for(300);
    w.order(dial(), true);
    w.run_for(300);
    w.order(use_session(), false);
    w.order(bridge(), false);
    w.run_for(500);
    w.peer_reinvite(1, "inactive");
    w.run_for(200);
    assert!(near(heard(&mut w, 0), TUNE));
    assert_eq!(heard(&mut w, 1), None, "who holds hears nothing");
    w.peer_reinvite(1, "sendrecv");
    w.run_for(200);
    assert!(near(heard(&mut w, 0), ULAW_TO_LINEAR[0x80]), "the agent again");
    w.peer_reinvite(0, "inactive");
    w.run_for(200);
    assert!(near(heard(&mut w, 1), TUNE), "the other way round");
    w.order(hangup(), false);
    w.run_for(300);
    assert!(near(heard(&mut w, 1), TICK), "the call ends on hold: the tune does not go on");
    let ended = w.facts_of(CALL).into_iter().filter(|fact| matches!(fact, CallFact::Ended { .. })).count();
    assert_eq!(ended, 1);
    w.command(ShardCommand::CloseSession { agent: AGENT });
    w.assert_at_rest();
}
