//! Live calls conducted from above: supervisors, third parties, hold, mute, digits, prompts, transfers. Who hears whom is
//! read from the sound itself: each peer's voice is a level of its own, and sums of levels tell whose they are.

use crate::dialled::{
    AGENT, CALL, RECORDING, TRUNK, bridge, dial, hangup, open_session, ring_agent, use_session,
};
use crate::world::{Callee, World};
use dialer_core::config::AutoAnswer;
use dialer_core::outcome::{EndCause, Party};
use dialer_core::participant::{CallAct, Sides, SupervisionMode, Way};
use dialer_core::{AgentId, CallFact, CallOrder, LegId, TrunkId};
use engine::ShardCommand;
use media::codec::g711::{ULAW_TO_LINEAR, linear_to_ulaw};
use std::sync::Arc;

const BOSS: AgentId = AgentId::from_bits(2);
const OTHERS: TrunkId = TrunkId::from_bits(9);
const LEG: LegId = LegId::from_bits(50);
/// Peers by number.
const C: usize = 0;
const A: usize = 1;
const S: usize = 2;
const T: usize = 3;
const LEVEL: i32 = 400;

/// A customer's carrier, an agent, a supervisor, another carrier. All speak.
fn world() -> World {
    let mut w = World::with(31, |config| config.hold_prompt = None);
    w.carrier("carrier", TRUNK, |_| {});
    w.phone("alice", AGENT);
    w.phone("boss", BOSS);
    w.carrier("others", OTHERS, |_| {});
    for (place, peer) in w.peers.iter_mut().enumerate() {
        peer.speaks = true;
        peer.default = Callee::answers(200);
        peer.voice = linear_to_ulaw((LEVEL << place) as i16);
    }
    w.facts.clear();
    w.ladder.clear();
    w
}

fn joined(nailed_up: bool) -> World {
    let mut w = world();
    join_sides(&mut w, nailed_up);
    assert_eq!(hears(&mut w), [vec![A], vec![C], vec![], vec![]]);
    w
}

/// Customer and agent are joined.
fn join_sides(w: &mut World, nailed_up: bool) {
    if nailed_up {
        w.command(open_session());
        w.run_for(500);
    }
    w.order(dial(), true);
    w.run_for(400);
    w.order(if nailed_up { use_session() } else { ring_agent() }, false);
    w.run_for(400);
    w.order(bridge(), false);
    w.run_for(600);
}

fn act(w: &mut World, act: CallAct) {
    w.order(CallOrder::Act { call: CALL, act }, false);
}

fn phone(agent: AgentId) -> Way {
    Way::Phone { agent, auto_answer: AutoAnswer::Default, display: "+86138****8000".into() }
}

fn number() -> Way {
    Way::Number {
        trunk: OTHERS,
        to: "+861055550000".into(),
        caller_id: Some("+862155550000".into()),
        confirm_key: None,
    }
}

fn join(w: &mut World, leg: LegId, way: Way, mode: Option<SupervisionMode>) {
    act(w, CallAct::Join { leg, way, mode, ring_timeout_ms: 5_000 });
    w.run_for(800);
}

/// Whom each peer hears now.
fn hears(w: &mut World) -> [Vec<usize>; 4] {
    w.run_for(300);
    let before = [C, A, S, T].map(|peer| w.peers[peer].legs.first().map_or(0, |leg| leg.heard));
    w.run_for(300);
    [C, A, S, T].map(|peer| {
        let Some(leg) = w.peers[peer].legs.first() else { return Vec::new() };
        if leg.heard == before[peer] {
            return Vec::new();
        }
        let level = i32::from(ULAW_TO_LINEAR[usize::from(leg.last_payload[80])]);
        let bits = (level + LEVEL / 2) / LEVEL;
        (0..4).filter(|place| bits & (1 << place) != 0).collect()
    })
}

fn count(w: &World, what: impl Fn(&CallFact) -> bool) -> usize {
    w.facts_of(CALL).into_iter().filter(|fact| what(fact)).count()
}

fn left(w: &World) -> Vec<(LegId, EndCause, bool)> {
    let facts = w.facts_of(CALL).into_iter();
    let left = facts.filter_map(|fact| match fact {
        CallFact::ParticipantLeft { leg, cause, took_over, .. } => Some((*leg, *cause, *took_over)),
        _ => None,
    });
    left.collect()
}

/// The call is over, once, with all legs that belong to it.
fn over(w: &mut World) {
    w.run_for(1000);
    assert_eq!(count(w, |fact| matches!(fact, CallFact::Ended { .. })), 1, "{}", w.ladder);
    assert!([C, S, T].iter().all(|peer| w.peers[*peer].legs.is_empty()), "{}", w.ladder);
    if !w.peers[A].legs.is_empty() {
        w.command(ShardCommand::CloseSession { agent: AGENT });
    }
    w.assert_at_rest();
}

#[test]
fn a_supervisor_listens_whispers_barges_and_takes_over() {
    use SupervisionMode::{Barge, Listen, TakeOver, Whisper};
    for nailed_up in [false, true] {
        let mut w = joined(nailed_up);
        join(&mut w, LEG, phone(BOSS), Some(Listen));
        assert_eq!(
            count(&w, |fact| matches!(fact, CallFact::ParticipantJoined { leg, .. } if *leg == LEG)),
            1
        );
        assert_eq!(hears(&mut w), [vec![A], vec![C], vec![C, A], vec![]], "{}", w.ladder);
        act(&mut w, CallAct::SetMode { leg: LEG, mode: Whisper });
        assert_eq!(hears(&mut w), [vec![A], vec![C, S], vec![C, A], vec![]]);
        act(&mut w, CallAct::SetMode { leg: LEG, mode: Barge });
        assert_eq!(hears(&mut w), [vec![A, S], vec![C, S], vec![C, A], vec![]]);
        act(&mut w, CallAct::SetMode { leg: LEG, mode: Listen });
        assert_eq!(hears(&mut w), [vec![A], vec![C], vec![C, A], vec![]]);
        act(&mut w, CallAct::SetMode { leg: LEG, mode: TakeOver });
        assert_eq!(hears(&mut w), [vec![S], vec![], vec![C], vec![]], "{}", w.ladder);
        assert_eq!(left(&w), [(LEG, EndCause::Normal, true)]);
        let gone = |fact: &CallFact| matches!(fact, CallFact::Transferred { agent, to, .. } if *agent == AGENT && to == "boss");
        assert_eq!(count(&w, gone), 1);
        assert_eq!(w.peers[A].legs.len(), usize::from(nailed_up));
        w.peer_hangup(if nailed_up { C } else { S });
        over(&mut w);
    }
}

/// The recording's right side holds what the customer hears: the agent, and the supervisor once that one barges.
#[test]
fn a_barge_is_recorded() {
    let mut w = joined(false);
    join(&mut w, LEG, phone(BOSS), Some(SupervisionMode::Whisper));
    w.run_for(1_000);
    act(&mut w, CallAct::SetMode { leg: LEG, mode: SupervisionMode::Barge });
    w.run_for(1_000);
    w.peer_hangup(C);
    over(&mut w);
    let samples: Vec<i16> =
        w.files[&RECORDING].1.chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let near =
        |wanted: i32| samples.chunks(2).filter(|frame| (i32::from(frame[1]) - wanted).abs() < 60).count();
    let (agent, both) = (LEVEL << A, (LEVEL << A) + (LEVEL << S));
    assert!(near(agent) > 10_000 && near(both) > 7_000, "{} {}", near(agent), near(both));
    assert_eq!(near(LEVEL << S), 0, "never the supervisor alone");
}

#[test]
fn a_supervisor_who_hangs_up_refuses_or_does_not_answer_leaves_the_call_as_it_was() {
    let refuse = Callee::refuses(100, 486);
    let ways = [
        (Callee::answers(200), Some(S), EndCause::Normal),
        (refuse, None, EndCause::Busy),
        (Callee::rings(), None, EndCause::NoAnswer),
        (Callee::silent(), None, EndCause::NoAnswer),
    ];
    for (callee, hangs_up, cause) in ways {
        let mut w = joined(true);
        w.peers[S].default = callee;
        join(&mut w, LEG, phone(BOSS), Some(SupervisionMode::Barge));
        if let Some(peer) = hangs_up {
            w.peer_hangup(peer);
        }
        w.run_for(6_000);
        assert_eq!(left(&w), [(LEG, cause, false)], "{}", w.ladder);
        assert_eq!(hears(&mut w), [vec![A], vec![C], vec![], vec![]]);
        // Once more, now that the first is gone.
        w.peers[S].default = Callee::answers(100);
        join(&mut w, LegId::from_bits(51), phone(BOSS), Some(SupervisionMode::Listen));
        assert_eq!(hears(&mut w)[S], [C, A]);
        act(&mut w, CallAct::Drop { leg: LegId::from_bits(51) });
        w.run_for(500);
        assert_eq!(left(&w).len(), 2);
        assert!(w.peers[S].legs.is_empty());
        w.peer_hangup(C);
        over(&mut w);
    }
}

/// The call ends under the supervisor, whoever ends it and however far the supervisor is.
#[test]
fn the_end_of_the_call_is_the_end_of_the_supervision() {
    for up in [false, true] {
        for by in [Some(C), Some(A), None] {
            let mut w = joined(false);
            if !up {
                w.peers[S].default = Callee::rings();
            }
            join(&mut w, LEG, phone(BOSS), Some(SupervisionMode::Listen));
            match by {
                Some(peer) => w.peer_hangup(peer),
                None => w.order(hangup(), false),
            }
            w.run_for(500);
            assert_eq!(left(&w).len(), 1, "{}", w.ladder);
            over(&mut w);
            assert_eq!(left(&w).len(), 1);
        }
    }
}

#[test]
fn who_cannot_be_called_has_left_at_once() {
    let mut w = joined(false);
    join(&mut w, LEG, phone(AgentId::from_bits(77)), Some(SupervisionMode::Listen));
    let nowhere =
        Way::Number { trunk: TrunkId::from_bits(70), to: "1".into(), caller_id: None, confirm_key: None };
    join(&mut w, LegId::from_bits(51), nowhere, None);
    let gone = [(LEG, EndCause::NotRegistered, false), (LegId::from_bits(51), EndCause::NoTrunk, false)];
    assert_eq!(left(&w), gone);
    act(&mut w, CallAct::SetMode { leg: LEG, mode: SupervisionMode::Barge });
    act(&mut w, CallAct::Drop { leg: LEG });
    assert_eq!(hears(&mut w), [vec![A], vec![C], vec![], vec![]]);
    w.peer_hangup(C);
    over(&mut w);
}

#[test]
fn a_third_party_talks_with_both_and_stays_with_the_customer_when_the_agent_leaves() {
    for agent_leaves in [false, true] {
        let mut w = joined(false);
        join(&mut w, LEG, number(), None);
        assert!(w.peers[T].invites[0].contains("<sip:+862155550000@"), "{}", w.peers[T].invites[0]);
        assert_eq!(hears(&mut w), [vec![A, T], vec![C, T], vec![], vec![C, A]], "{}", w.ladder);
        // And a supervisor, who hears all three.
        join(&mut w, LegId::from_bits(51), phone(BOSS), Some(SupervisionMode::Whisper));
        assert_eq!(hears(&mut w), [vec![A, T], vec![C, S, T], vec![C, A, T], vec![C, A]]);
        act(&mut w, CallAct::Drop { leg: LegId::from_bits(51) });
        if agent_leaves {
            w.peer_hangup(A);
            assert_eq!(hears(&mut w), [vec![T], vec![], vec![], vec![C]], "{}", w.ladder);
            assert_eq!(count(&w, |fact| matches!(fact, CallFact::Transferred { .. })), 1);
            w.peer_hangup(T);
        } else {
            act(&mut w, CallAct::Drop { leg: LEG });
            assert_eq!(hears(&mut w), [vec![A], vec![C], vec![], vec![]]);
            w.peer_hangup(C);
        }
        over(&mut w);
        assert_eq!(left(&w).len(), 2);
    }
}

#[test]
fn a_customer_on_hold_hears_and_is_heard_by_nobody() {
    let mut w = joined(false);
    act(&mut w, CallAct::Hold(true));
    assert!(hears(&mut w).iter().all(Vec::is_empty));
    assert_eq!(count(&w, |fact| matches!(fact, CallFact::Held { party: Party::Api, .. })), 1);
    // The agent asks someone meanwhile.
    join(&mut w, LEG, number(), None);
    assert_eq!(hears(&mut w), [vec![], vec![T], vec![], vec![A]]);
    act(&mut w, CallAct::Hold(true));
    act(&mut w, CallAct::Hold(false));
    assert_eq!(hears(&mut w), [vec![A, T], vec![C, T], vec![], vec![C, A]]);
    assert_eq!(count(&w, |fact| matches!(fact, CallFact::Resumed { party: Party::Api, .. })), 1);
    w.peer_hangup(C);
    over(&mut w);
}

/// The same with a tune of hold as loud as the other carrier.
fn with_tune() -> World {
    let mut w = World::with(32, |config| config.hold_prompt = Some("tune".into()));
    w.carrier("carrier", TRUNK, |_| {});
    w.phone("alice", AGENT);
    w.phone("boss", BOSS);
    w.carrier("others", OTHERS, |_| {});
    for (place, peer) in w.peers.iter_mut().enumerate() {
        (peer.speaks, peer.voice) = (true, linear_to_ulaw((LEVEL << place) as i16));
        peer.default = Callee::answers(100);
    }
    let tune: Arc<[i16]> = vec![(LEVEL << 3) as i16; 8_000].into();
    w.command(ShardCommand::LoadPrompt { name: "tune".into(), samples: tune });
    w
}

#[test]
fn a_parked_customer_hears_the_tune_until_somebody_else_takes_over() {
    for nailed_up in [false, true] {
        let mut w = with_tune();
        join_sides(&mut w, nailed_up);
        act(&mut w, CallAct::Hold(true));
        act(&mut w, CallAct::Mute { party: Party::Agent, muted: true });
        act(&mut w, CallAct::Park);
        assert_eq!(hears(&mut w), [vec![3], vec![], vec![], vec![]], "{}", w.ladder);
        assert_eq!(w.peers[A].legs.is_empty(), !nailed_up, "a session stays");
        let gone = |fact: &CallFact| matches!(fact, CallFact::LegEnded { party: Party::Agent, .. });
        assert_eq!(count(&w, gone), 1);
        act(&mut w, CallAct::Park);
        assert_eq!(w.shard.counters().orders_late, 1, "once is enough");
        let ring = CallOrder::RingAgent { call: CALL, agent: BOSS, way: phone(BOSS), ring_timeout_ms: 5_000 };
        w.order(ring, false);
        w.run_for(800);
        w.order(CallOrder::Bridge { call: CALL, tone: false, record: None }, false);
        w.run_for(600);
        assert_eq!(hears(&mut w), [vec![S], vec![], vec![C], vec![]], "neither held nor muted");
        w.peer_hangup(C);
        over(&mut w);
    }
}

/// A phone asks for a transfer while its call is parked: the transfer comes to nothing, the customer stays.
#[test]
fn a_park_ends_a_transfer_under_way() {
    let mut w = with_tune();
    join_sides(&mut w, false);
    w.peers[T].default = Callee::rings();
    act(&mut w, CallAct::Transfer { to: "+861055550000".into(), way: number(), ring_timeout_ms: 5_000 });
    w.run_for(300);
    act(&mut w, CallAct::Park);
    assert_eq!(hears(&mut w), [vec![3], vec![], vec![], vec![]], "{}", w.ladder);
    assert!(w.peers[T].legs.is_empty(), "{}", w.ladder);
    w.order(hangup(), false);
    over(&mut w);
}

#[test]
fn held_with_music_and_muted_and_back() {
    let mut w = with_tune();
    join_sides(&mut w, false);
    act(&mut w, CallAct::Hold(true));
    assert_eq!(hears(&mut w)[C], [3], "the tune");
    act(&mut w, CallAct::Hold(false));
    assert_eq!(hears(&mut w), [vec![A], vec![C], vec![], vec![]]);
    for (party, silent) in [(Party::Agent, C), (Party::Customer, A)] {
        act(&mut w, CallAct::Mute { party, muted: true });
        let mut expected = [vec![A], vec![C], vec![], vec![]];
        expected[silent].clear();
        assert_eq!(hears(&mut w), expected);
        act(&mut w, CallAct::Mute { party, muted: false });
    }
    // A prompt to the customer, to both, of no name.
    act(&mut w, CallAct::Play { to: Sides::Customer, prompt: "tune".into() });
    assert_eq!(hears(&mut w), [vec![3], vec![C], vec![], vec![]]);
    w.run_for(1_000);
    assert_eq!(hears(&mut w), [vec![A], vec![C], vec![], vec![]]);
    act(&mut w, CallAct::Play { to: Sides::Both, prompt: "tune".into() });
    assert_eq!(hears(&mut w), [vec![3], vec![3], vec![], vec![]]);
    w.run_for(1_000);
    act(&mut w, CallAct::Play { to: Sides::Both, prompt: "none".into() });
    assert_eq!(hears(&mut w), [vec![A], vec![C], vec![], vec![]]);
    assert_eq!(count(&w, |fact| matches!(fact, CallFact::MessagePlayed { .. })), 0);
    w.peer_hangup(A);
    over(&mut w);
}

/// A mute is the call's and not the phone's: the next one is heard.
#[test]
fn a_session_leaves_mutes_and_mixes_behind() {
    let mut w = joined(true);
    join(&mut w, LEG, phone(BOSS), Some(SupervisionMode::Whisper));
    act(&mut w, CallAct::Mute { party: Party::Agent, muted: true });
    assert_eq!(hears(&mut w), [vec![], vec![C, S], vec![C], vec![]]);
    w.peer_hangup(C);
    w.run_for(500);
    w.facts.clear();
    w.order(dial(), true);
    w.run_for(400);
    w.order(use_session(), false);
    w.order(CallOrder::Bridge { call: CALL, tone: false, record: None }, false);
    w.run_for(600);
    assert_eq!(hears(&mut w), [vec![A], vec![C], vec![], vec![]]);
    w.peer_hangup(C);
    over(&mut w);
}

#[test]
fn transfers_from_above_to_a_number_and_to_a_colleague() {
    for (way, to, peer) in [(number(), "+861055550000", T), (phone(BOSS), "boss", S)] {
        let mut w = joined(true);
        act(&mut w, CallAct::Transfer { to: to.into(), way, ring_timeout_ms: 5_000 });
        w.run_for(800);
        let mut expected = [vec![peer], vec![], vec![], vec![]];
        expected[peer] = vec![C];
        assert_eq!(hears(&mut w), expected, "{}", w.ladder);
        let gone = |fact: &CallFact| matches!(fact, CallFact::Transferred { to: told, .. } if told == to);
        assert_eq!(count(&w, gone), 1);
        w.peer_hangup(peer);
        over(&mut w);
    }
}

#[test]
fn a_transfer_that_fails_leaves_the_call_as_it_was() {
    let callees = [(Callee::refuses(100, 486), 486), (Callee::rings(), 408)];
    for (callee, code) in callees {
        let mut w = joined(false);
        w.peers[T].default = callee;
        act(&mut w, CallAct::Transfer { to: "x".into(), way: number(), ring_timeout_ms: 2_000 });
        // A second one meanwhile.
        act(&mut w, CallAct::Transfer { to: "y".into(), way: phone(BOSS), ring_timeout_ms: 2_000 });
        w.run_for(4_000);
        let failed: Vec<(String, u16)> = w
            .facts_of(CALL)
            .into_iter()
            .filter_map(|fact| match fact {
                CallFact::TransferFailed { to, sip_code, .. } => Some((to.clone(), *sip_code)),
                _ => None,
            })
            .collect();
        assert_eq!(failed, [("y".to_owned(), 503), ("x".to_owned(), code)], "{}", w.ladder);
        assert_eq!(hears(&mut w), [vec![A], vec![C], vec![], vec![]]);
        w.peer_hangup(A);
        over(&mut w);
    }
}

#[test]
fn the_call_ends_while_a_transfer_rings() {
    for by in [C, A] {
        let mut w = joined(false);
        w.peers[T].default = Callee::rings();
        act(&mut w, CallAct::Transfer { to: "x".into(), way: number(), ring_timeout_ms: 20_000 });
        w.run_for(500);
        w.peer_hangup(by);
        w.run_for(500);
        if by == A {
            // The guest is called on for the customer, and is not to be had.
            assert_eq!(count(&w, |fact| matches!(fact, CallFact::Transferred { .. })), 1);
            w.run_for(21_000);
        }
        over(&mut w);
    }
}

#[test]
fn digits_are_pressed_for_the_customer() {
    let mut w = joined(false);
    act(&mut w, CallAct::Press { to: Party::Customer, digits: "12".into(), duration_ms: 100 });
    w.run_for(1_000);
    // The peers' own sums hold only sound; that sound goes on afterwards is what can be seen of it here.
    assert_eq!(hears(&mut w), [vec![A], vec![C], vec![], vec![]]);
    assert!(w.peers[C].legs[0].events >= 10, "{}", w.ladder);
    assert_eq!(w.peers[A].legs[0].events, 0);
    w.peer_hangup(C);
    over(&mut w);
}
