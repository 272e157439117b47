//! Dialled calls: every way up, every way down, every collision.

use crate::world::{Callee, Then, World};
use dialer_core::config::AutoAnswer;
use dialer_core::outcome::{AudioState, EndCause, Party};
use dialer_core::participant::Way;
use dialer_core::{AgentId, CallFact, CallId, CallOrder, RecordingId, TrunkId};
use engine::ShardCommand;
use expect_test::{Expect, expect};
use sansio::Duration;
use std::sync::Arc;

pub(crate) const TRUNK: TrunkId = TrunkId::from_bits(1);
pub(crate) const AGENT: AgentId = AgentId::from_bits(1);
pub(crate) const CALL: CallId = CallId::from_bits(1);
pub(crate) const RECORDING: RecordingId = RecordingId::from_bits(1);
pub(crate) const NUMBER: &str = "+8613800138000";

pub(crate) fn dial() -> CallOrder {
    CallOrder::DialCustomer {
        call: CALL,
        campaign: None,
        trunk: TRUNK,
        others: Vec::new(),
        to: NUMBER.into(),
        caller_id: Some("+862155550000".into()),
        ring_timeout_ms: 20_000,
        early_media: true,
        tone_plan: Default::default(),
        amd: false,
        await_turn: false,
        call_max_ms: 600_000,
        not_after: None,
    }
}

/// The phone that an agent has registered, or has at an address.
pub(crate) fn own_phone(agent: AgentId, display: &str) -> Way {
    Way::Phone { agent, auto_answer: AutoAnswer::Default, display: display.into() }
}

pub(crate) fn ring(agent: AgentId) -> CallOrder {
    let way = own_phone(agent, "+86138****8000");
    CallOrder::RingAgent { call: CALL, agent, way, ring_timeout_ms: 8_000 }
}

pub(crate) fn ring_agent() -> CallOrder {
    ring(AGENT)
}

pub(crate) fn use_session() -> CallOrder {
    CallOrder::UseSession { call: CALL, agent: AGENT }
}

pub(crate) fn bridge() -> CallOrder {
    CallOrder::Bridge { call: CALL, tone: true, record: Some(RECORDING) }
}

pub(crate) fn hangup() -> CallOrder {
    CallOrder::Hangup { call: CALL, cause: EndCause::Normal, by: Party::Api }
}

pub(crate) fn open_session() -> ShardCommand {
    ShardCommand::OpenSession { agent: AGENT, way: own_phone(AGENT, ""), ring_timeout_ms: 8_000 }
}

/// A world with a carrier (peer 0) and an agent's phone (peer 1).
pub(crate) fn world(callee: Callee) -> World {
    let mut w = World::new(7);
    w.carrier("carrier", TRUNK, |_| {});
    w.phone("alice", AGENT);
    w.peers[0].default = callee;
    w.ladder.clear();
    w.facts.clear();
    w
}

fn check(w: &World, expected: Expect) {
    expected.assert_eq(&w.ladder);
}

#[test]
fn answered_and_hung_up_by_the_customer() {
    let mut w = world(Callee::talks(200, 1000));
    w.order(dial(), true);
    w.run_for(3000);
    check(
        &w,
        expect![[r#"
             2.500 fact: Dialled { call 1 }
             2.500 us -> carrier: INVITE
             2.505 us <- carrier: 100
             2.605 us <- carrier: 180
             2.610 fact: Ringing { call 1, early_media: false }
             2.705 us <- carrier: 200
             2.710 us -> carrier: ACK
             2.710 fact: Answered { call 1 }
             3.705 us <- carrier: BYE
             3.710 us -> carrier: 200
             3.710 fact: LegEnded { call 1, party: Customer, cause: Normal, sip_code: Some(200), q850: None }
             3.710 fact: Ended { call 1, by: Customer, cause: Normal, sip_code: Some(200), q850: None }
    "#]],
    );
    w.assert_at_rest();
}

#[test]
fn the_invite_says_who_calls() {
    let mut w = world(Callee::answers(200));
    w.order(dial(), true);
    w.run_for(100);
    let invite = &w.peers[0].invites[0];
    for part in [
        "INVITE sip:+8613800138000@192.0.2.10:5060 SIP/2.0\r\n",
        "<sip:+862155550000@192.0.2.1:5060>",
        "P-Asserted-Identity: <sip:+862155550000@192.0.2.1:5060>\r\n",
        "Max-Forwards: 70\r\n",
        "c=IN IP4 192.0.2.1\r\n",
        "a=rtpmap:8 PCMA/8000\r\n",
        "a=rtpmap:101 telephone-event/8000\r\n",
        "a=ptime:20\r\n",
    ] {
        assert!(invite.contains(part), "{part} in\n{invite}");
    }
}

#[test]
fn a_nailed_up_agent_is_joined_at_once_and_stays() {
    let mut w = world(Callee::talks(200, 1000));
    w.peers[0].speaks = true;
    w.peers[1].speaks = true;
    w.command(open_session());
    w.run_for(500);
    w.order(dial(), true);
    w.run_for(400);
    w.order(use_session(), false);
    w.order(bridge(), false);
    w.run_for(500);
    let heard = |w: &World, peer: usize| (w.peers[peer].legs[0].heard, w.peers[peer].legs[0].last_payload[0]);
    let (agent_packets, agent_hears) = heard(&w, 1);
    let (customer_packets, customer_hears) = heard(&w, 0);
    assert!(agent_packets > 15 && customer_packets > 15, "{agent_packets} {customer_packets}");
    assert_eq!((agent_hears, customer_hears), (w.peers[0].voice, w.peers[1].voice));
    w.run_for(2000);
    check(
        &w,
        expect![[r#"
             2.500 us -> alice: INVITE
             2.505 us <- alice: 100
             2.515 us <- alice: 180
             2.525 us <- alice: 200
             2.530 us -> alice: ACK
             2.530 fact: SessionUp { agent 1 }
             3.000 fact: Dialled { call 1 }
             3.000 us -> carrier: INVITE
             3.005 us <- carrier: 100
             3.105 us <- carrier: 180
             3.110 fact: Ringing { call 1, early_media: false }
             3.205 us <- carrier: 200
             3.210 us -> carrier: ACK
             3.210 fact: Answered { call 1 }
             3.400 fact: AgentAnswered { call 1, agent 1 }
             3.400 fact: Bridged { call 1 }
             3.400 fact: RecordingStarted { call 1, recording 1 }
             4.205 us <- carrier: BYE
             4.210 us -> carrier: 200
             4.210 fact: LegEnded { call 1, party: Customer, cause: Normal, sip_code: Some(200), q850: None }
             4.210 fact: LegEnded { call 1, party: Agent, cause: Normal, sip_code: None, q850: None }
             4.210 fact: Ended { call 1, by: Customer, cause: Normal, sip_code: Some(200), q850: None }
             4.218 fact: RecordingReady recording 1
    "#]],
    );
    assert!(w.peers[1].legs[0].up, "the session stays");
    w.command(ShardCommand::CloseSession { agent: AGENT });
    w.assert_at_rest();
}

#[test]
fn the_recording_holds_both_voices() {
    let mut w = world(Callee::talks(200, 2500));
    w.peers[0].speaks = true;
    w.peers[1].speaks = true;
    w.command(open_session());
    w.run_for(500);
    w.order(dial(), true);
    w.run_for(400);
    w.order(use_session(), false);
    w.order(bridge(), false);
    w.run_for(4000);
    let (file, samples) = &w.files[&RECORDING];
    assert!(file.starts_with("2026-09-2") && file.ends_with("/rec_00000000000000000000000001.wav"), "{file}");
    let frame = |at: usize| {
        let at = at * 4;
        let side = |at: usize| i16::from_le_bytes([samples[at], samples[at + 1]]);
        (side(at), side(at + 2))
    };
    let (left, right) = frame(samples.len() / 8);
    assert!(left != 0 && right != 0 && left != right, "{left} {right}");
    let ready = w.facts_of(CALL).into_iter().find_map(|fact| match fact {
        CallFact::RecordingReady { sound, .. } => Some((sound.duration_ms, sound.bytes)),
        _ => None,
    });
    let (duration_ms, bytes) = ready.expect("the recording is complete");
    assert_eq!((duration_ms, bytes), (samples.len() as u64 / 32, samples.len() as u64 + 44));
    assert!((1900..=2600).contains(&duration_ms), "{duration_ms}");
}

#[test]
fn a_lost_recording_is_told_and_the_call_is_not_harmed() {
    let mut w = world(Callee::talks(200, 1000));
    w.disk_full = true;
    w.command(open_session());
    w.run_for(500);
    w.order(dial(), true);
    w.run_for(400);
    w.order(use_session(), false);
    w.order(bridge(), false);
    w.run_for(3000);
    assert!(w.fact_names(CALL).ends_with("Ended RecordingFailed"), "{}", w.fact_names(CALL));
    w.command(ShardCommand::CloseSession { agent: AGENT });
    w.assert_at_rest();
}

#[test]
fn a_recording_that_is_cut_off_is_kept_as_long_as_it_is() {
    let mut w = world(Callee::talks(200, 1000));
    w.cut_off_after_ms = Some(700);
    w.command(open_session());
    w.run_for(500);
    w.order(dial(), true);
    w.run_for(400);
    w.order(use_session(), false);
    w.order(bridge(), false);
    w.run_for(3000);
    let ready = w.facts_of(CALL).into_iter().find_map(|fact| match fact {
        CallFact::RecordingReady { sound, .. } => Some((sound.duration_ms, sound.cut_off)),
        _ => None,
    });
    assert_eq!(ready, Some((700, true)));
    w.command(ShardCommand::CloseSession { agent: AGENT });
    w.assert_at_rest();
}

#[test]
fn an_agent_is_rung_on_demand_and_either_side_ends_both() {
    for ends in [0, 1] {
        let mut w = world(Callee::answers(200));
        w.order(dial(), true);
        w.run_for(400);
        w.order(ring_agent(), false);
        w.run_for(400);
        w.order(bridge(), false);
        w.run_for(400);
        w.peer_hangup(ends);
        w.run_for(1000);
        if ends == 1 {
            check(
                &w,
                expect![[r#"
                     2.500 fact: Dialled { call 1 }
                     2.500 us -> carrier: INVITE
                     2.505 us <- carrier: 100
                     2.605 us <- carrier: 180
                     2.610 fact: Ringing { call 1, early_media: false }
                     2.705 us <- carrier: 200
                     2.710 us -> carrier: ACK
                     2.710 fact: Answered { call 1 }
                     2.900 us -> alice: INVITE
                     2.905 us <- alice: 100
                     2.915 us <- alice: 180
                     2.920 fact: AgentRinging { call 1, agent 1 }
                     2.925 us <- alice: 200
                     2.930 us -> alice: ACK
                     2.930 fact: AgentAnswered { call 1, agent 1 }
                     3.300 fact: Bridged { call 1 }
                     3.300 fact: RecordingStarted { call 1, recording 1 }
                     3.700 us <- alice: BYE
                     3.705 us -> alice: 200
                     3.705 fact: LegEnded { call 1, party: Agent, cause: Normal, sip_code: None, q850: None }
                     3.705 fact: LegEnded { call 1, party: Customer, cause: Normal, sip_code: Some(200), q850: None }
                     3.705 fact: Ended { call 1, by: Agent, cause: Normal, sip_code: Some(200), q850: None }
                     3.705 us -> carrier: BYE
                     3.710 us <- carrier: 200
                     3.713 fact: RecordingReady recording 1
            "#]],
            );
            let invite = &w.peers[1].invites[0];
            assert!(invite.contains("Call-Info: <sip:192.0.2.1:5060>;answer-after=0\r\n"), "{invite}");
            assert!(invite.contains("Alert-Info: <http://192.0.2.1:5060>;info=alert-autoanswer;delay=0\r\n"));
            assert!(invite.contains("\"+86138****8000\""), "{invite}");
        }
        let by = if ends == 1 { Party::Agent } else { Party::Customer };
        let last = w.facts_of(CALL).into_iter().rfind(|fact| matches!(fact, CallFact::Ended { .. })).cloned();
        let cause = EndCause::Normal;
        assert_eq!(last, Some(CallFact::Ended { call: CALL, by, cause, sip_code: Some(200), q850: None }));
        w.assert_at_rest();
    }
}

#[test]
fn click_to_call_rings_the_agent_first() {
    let mut w = world(Callee::talks(200, 1000));
    w.order(ring_agent(), true);
    w.run_for(200);
    w.order(dial(), false);
    w.run_for(400);
    w.order(bridge(), false);
    w.run_for(3000);
    assert_eq!(
        w.fact_names(CALL),
        "AgentRinging AgentAnswered Dialled Ringing Answered Bridged RecordingStarted LegEnded LegEnded Ended \
         RecordingReady"
    );
    w.assert_at_rest();
}

#[test]
fn the_agent_of_a_click_to_call_hangs_up_while_the_customer_rings() {
    let mut w = world(Callee::rings());
    w.order(ring_agent(), true);
    w.run_for(200);
    w.order(dial(), false);
    w.run_for(400);
    w.peer_hangup(1);
    w.run_for(1000);
    assert!(w.fact_names(CALL).ends_with("Ringing LegEnded LegEnded Ended"));
    assert_eq!(w.peers[0].ended.len(), 1, "the customer's phone stops ringing");
    w.assert_at_rest();
}

#[test]
fn busy_and_other_refusals() {
    for (code, cause) in [
        (486, EndCause::Busy),
        (404, EndCause::InvalidNumber),
        (603, EndCause::Rejected),
        (480, EndCause::Unreachable),
        (503, EndCause::Congestion),
        (608, EndCause::Blocked),
        (500, EndCause::Failed),
    ] {
        let mut w = world(Callee::refuses(300, code));
        w.order(dial(), true);
        w.run_for(1000);
        let facts = w.facts_of(CALL);
        let Some(CallFact::Ended { by, cause: told, sip_code, .. }) = facts.last() else {
            panic!("{code} ends the call: {}", w.ladder)
        };
        assert_eq!((*by, *told, *sip_code), (Party::Customer, cause, Some(code)));
        assert_eq!(w.fact_names(CALL), "Dialled Ringing LegEnded Ended");
        w.assert_at_rest();
    }
}

#[test]
fn ringing_too_long_is_cancelled_as_no_answer() {
    let mut w = world(Callee::rings());
    w.order(dial(), true);
    w.run_for(22_000);
    check(
        &w,
        expect![[r#"
            2.500 fact: Dialled { call 1 }
            2.500 us -> carrier: INVITE
            2.505 us <- carrier: 100
            2.555 us <- carrier: 180
            2.560 fact: Ringing { call 1, early_media: false }
            22.560 fact: LegEnded { call 1, party: Customer, cause: NoAnswer, sip_code: None, q850: None }
            22.560 fact: Ended { call 1, by: System, cause: NoAnswer, sip_code: None, q850: None }
            22.560 us -> carrier: CANCEL
            22.565 us <- carrier: 200
            22.565 us <- carrier: 487
            22.570 us -> carrier: ACK
        "#]],
    );
    w.assert_at_rest();
}

#[test]
fn a_phone_rings_its_time_however_late_the_network_finds_it() {
    let mut w = world(Callee { ring_ms: Some(15_000), early_media: false, then: Then::Never });
    w.order(dial(), true);
    let dialled = w.now;
    // 20 s from the ringing at 15 s, not from the INVITE.
    w.run_until(dialled + Duration::from_millis(34_900));
    assert_eq!(w.fact_names(CALL), "Dialled Ringing");
    w.run_for(200);
    assert_eq!(w.fact_names(CALL), "Dialled Ringing LegEnded Ended");
    w.assert_at_rest();
}

#[test]
fn a_carrier_that_says_nothing() {
    let mut w = world(Callee::answers(1));
    w.peers[0].dead = true;
    w.order(dial(), true);
    w.run_for(25_000);
    assert_eq!(w.fact_names(CALL), "Dialled LegEnded Ended");
    assert!(matches!(w.facts_of(CALL)[2], CallFact::Ended { cause: EndCause::NoAnswer, .. }));
    w.assert_at_rest();
}

#[test]
fn a_carrier_that_stays_silent_longer_than_the_transaction() {
    let mut w = world(Callee::answers(1));
    w.peers[0].dead = true;
    let mut order = dial();
    if let CallOrder::DialCustomer { ring_timeout_ms, .. } = &mut order {
        *ring_timeout_ms = 60_000;
    }
    w.order(order, true);
    w.run_for(40_000);
    assert!(matches!(
        w.facts_of(CALL)[2],
        CallFact::Ended { cause: EndCause::Timeout, by: Party::System, .. }
    ));
    w.assert_at_rest();
}

/// The ring limit and the answer meet on the wire: whichever offset, the call ends once, and never as answered
/// after it was given up.
#[test]
fn cancel_meets_200() {
    for answer_ms in 19_985..20_015 {
        let mut w = world(Callee::answers(answer_ms));
        w.order(dial(), true);
        w.run_for(25_000);
        w.order(hangup(), false);
        let names = w.fact_names(CALL);
        assert!(
            names == "Dialled Ringing LegEnded Ended" || names == "Dialled Ringing Answered LegEnded Ended",
            "{answer_ms}: {names}"
        );
        w.run_for(1000);
        assert!(w.peers[0].legs.is_empty(), "{answer_ms}: no ghost at the carrier\n{}", w.ladder);
        w.assert_at_rest();
    }
}

#[test]
fn hung_up_before_any_response() {
    for after_ms in [0, 1, 4, 5, 6, 10, 11, 40] {
        let mut w = world(Callee::answers(20));
        w.order(dial(), true);
        w.run_for(after_ms);
        w.order(hangup(), false);
        w.run_for(2000);
        assert!(w.fact_names(CALL).ends_with("LegEnded Ended"), "{}", w.ladder);
        assert!(w.peers[0].legs.is_empty(), "{after_ms}: no ghost at the carrier\n{}", w.ladder);
        w.assert_at_rest();
    }
}

#[test]
fn bye_meets_bye() {
    for offset_ms in 0..12 {
        let mut w = world(Callee::talks(200, 1000));
        w.order(dial(), true);
        w.run_for(1200 + offset_ms);
        w.order(hangup(), false);
        w.run_for(1000);
        assert_eq!(w.fact_names(CALL), "Dialled Ringing Answered LegEnded Ended", "{offset_ms}");
        w.assert_at_rest();
    }
}

#[test]
fn orders_after_the_end_do_nothing() {
    let mut w = world(Callee::refuses(100, 486));
    w.order(dial(), true);
    w.run_for(1000);
    let before = w.facts.len();
    for order in [hangup(), bridge(), use_session(), ring_agent(), dial()] {
        w.order(order, false);
    }
    w.run_for(1000);
    assert_eq!(w.facts.len(), before, "{}", w.ladder);
    assert_eq!(w.shard.counters().orders_late, 5);
    w.assert_at_rest();
}

#[test]
fn early_media_is_listened_to() {
    let mut w = world(Callee::rings().with_early_media());
    w.order(dial(), true);
    w.run_for(300);
    let ringing = CallFact::Ringing { call: CALL, early_media: true };
    assert!(w.facts_of(CALL).contains(&&ringing), "{}", w.ladder);
    let progress = CallFact::Progress { call: CALL, sip_code: 183, early_media: true };
    assert_eq!(w.facts_of(CALL).into_iter().filter(|fact| **fact == progress).count(), 1, "{}", w.ladder);
    w.order(hangup(), false);
    w.assert_at_rest();
}

#[test]
fn a_message_is_played_to_its_end() {
    let mut w = world(Callee::answers(100));
    w.command(ShardCommand::LoadPrompt { name: "safe_harbour".into(), samples: Arc::from([1000_i16; 8000]) });
    w.order(dial(), true);
    w.run_for(300);
    w.order(CallOrder::Play { call: CALL, prompt: "safe_harbour".into(), repeat: false }, false);
    w.run_for(500);
    assert!(!w.fact_names(CALL).contains("MessagePlayed"));
    assert!(w.peers[0].legs[0].heard >= 20, "{}", w.peers[0].legs[0].heard);
    w.run_for(800);
    assert!(w.fact_names(CALL).ends_with("MessagePlayed"));
    w.order(CallOrder::Play { call: CALL, prompt: "unknown".into(), repeat: false }, false);
    assert_eq!(w.fact_names(CALL).matches("MessagePlayed").count(), 2);
    w.order(hangup(), false);
    w.assert_at_rest();
}

#[test]
fn hold_and_resume_are_told_and_silence_the_media() {
    let mut w = world(Callee::answers(100));
    w.peers[0].speaks = true;
    w.peers[1].speaks = true;
    w.command(open_session());
    w.run_for(300);
    w.order(dial(), true);
    w.run_for(300);
    w.order(use_session(), false);
    w.order(bridge(), false);
    w.run_for(500);
    w.peer_reinvite(1, "inactive");
    w.run_for(200);
    let heard = w.peers[1].legs[0].heard;
    w.run_for(500);
    assert_eq!(w.peers[1].legs[0].heard, heard, "a phone that holds hears nothing");
    w.peer_reinvite(1, "sendrecv");
    w.run_for(500);
    assert!(w.peers[1].legs[0].heard > heard + 10);
    let told: Vec<String> = w
        .facts_of(CALL)
        .into_iter()
        .filter(|fact| matches!(fact, CallFact::Held { .. } | CallFact::Resumed { .. }))
        .map(|fact| format!("{fact:?}"))
        .collect();
    let name = CALL.to_string();
    assert_eq!(
        told,
        [
            format!("Held {{ call: {name}, party: Agent }}"),
            format!("Resumed {{ call: {name}, party: Agent }}")
        ]
    );
    w.order(hangup(), false);
    w.command(ShardCommand::CloseSession { agent: AGENT });
    w.assert_at_rest();
}

#[test]
fn a_silent_customer_ends_by_media_timeout() {
    let mut w = world(Callee::answers(100));
    w.peers[0].speaks = true;
    w.order(dial(), true);
    w.run_for(2000);
    w.peers[0].dead = true;
    w.run_for(25_000);
    assert!(
        matches!(w.facts_of(CALL).last(), Some(CallFact::Ended { cause: EndCause::MediaTimeout, .. })),
        "{}",
        w.ladder
    );
    w.assert_at_rest();
}

#[test]
fn a_call_has_a_longest_time() {
    let mut w = world(Callee::answers(100));
    w.peers[0].speaks = true;
    let mut order = dial();
    if let CallOrder::DialCustomer { call_max_ms, .. } = &mut order {
        *call_max_ms = 30_000;
    }
    w.order(order, true);
    w.run_for(29_000);
    assert!(!w.fact_names(CALL).contains("Ended"));
    w.run_for(2_000);
    assert!(matches!(w.facts_of(CALL).last(), Some(CallFact::Ended { cause: EndCause::MaxDuration, .. })));
    w.assert_at_rest();
}

#[test]
fn what_stands_in_the_way_ends_the_call_at_once() {
    // No such trunk.
    let mut w = World::new(1);
    w.order(dial(), true);
    assert!(matches!(w.facts_of(CALL)[..], [CallFact::Ended { cause: EndCause::NoTrunk, .. }]));
    w.assert_at_rest();
    // No port left.
    let mut w = World::with(1, |config| config.media_ports = 20_000..=20_001);
    w.carrier("carrier", TRUNK, |_| {});
    w.order(dial(), true);
    let mut second = dial();
    let other = CallId::from_bits(2);
    if let CallOrder::DialCustomer { call, .. } = &mut second {
        *call = other;
    }
    w.order(second, true);
    assert!(matches!(w.facts_of(other)[..], [CallFact::Ended { cause: EndCause::LocalLimit, .. }]));
    w.order(hangup(), false);
    w.assert_at_rest();
    // No room for another call.
    let mut w = World::with(1, |config| config.calls_max = 0);
    w.order(dial(), true);
    assert!(matches!(w.facts_of(CALL)[..], [CallFact::Ended { cause: EndCause::LocalLimit, .. }]));
    w.assert_at_rest();
    // Another program has one of two pairs of ports: it is found out before a call needs it.
    let mut w = World::with(7, |config| {
        (config.media_ports, config.media_ports_held) = (20_000..=20_003, 2);
    });
    w.ports_taken = [20_002].into();
    w.carrier("carrier", TRUNK, |_| {});
    w.peers[0].default = Callee::answers(100);
    w.run_for(10);
    assert!(w.ports_taken.is_empty());
    w.order(dial(), true);
    w.run_for(300);
    assert_eq!(w.fact_names(CALL), "Dialled Ringing Answered");
    w.order(hangup(), true);
    w.run_for(300);
    w.assert_at_rest();
    // The ground cannot bind the ports.
    let mut w = world(Callee::answers(100));
    w.ports_fail = 1;
    w.order(dial(), true);
    w.run_for(1000);
    assert!(matches!(w.facts_of(CALL).last(), Some(CallFact::Ended { cause: EndCause::LocalLimit, .. })));
    w.assert_at_rest();
}

#[test]
fn an_agent_without_a_phone_fails_and_the_customer_stays() {
    let mut w = world(Callee::answers(100));
    w.order(dial(), true);
    w.run_for(300);
    let nobody = AgentId::from_bits(99);
    w.order(CallOrder::UseSession { call: CALL, agent: nobody }, false);
    w.order(use_session(), false);
    w.order(ring(nobody), false);
    assert_eq!(w.fact_names(CALL), "Dialled Ringing Answered AgentFailed AgentFailed AgentFailed");
    assert!(w.peers[0].legs[0].up);
    w.order(hangup(), false);
    w.assert_at_rest();
}

#[test]
fn an_agent_that_does_not_pick_up_is_given_up_and_another_may_be_rung() {
    let mut w = world(Callee::answers(100));
    let bob = AgentId::from_bits(2);
    w.phone("bob", bob);
    w.peers[1].default = Callee::rings();
    w.order(dial(), true);
    w.run_for(300);
    w.order(ring_agent(), false);
    w.run_for(9000);
    assert!(w.fact_names(CALL).ends_with("AgentRinging LegEnded AgentFailed"), "{}", w.ladder);
    w.order(ring(bob), false);
    w.run_for(300);
    w.order(bridge(), false);
    assert!(w.fact_names(CALL).contains("AgentAnswered Bridged"), "{}", w.ladder);
    // Taken out of the call again: only this leg ends.
    w.order(CallOrder::ReleaseAgent { call: CALL, agent: bob }, false);
    w.run_for(300);
    assert!(w.fact_names(CALL).ends_with("LegEnded"), "{}", w.ladder);
    assert!(w.peers[2].legs.is_empty() && w.peers[0].legs[0].up);
    w.order(hangup(), false);
    w.assert_at_rest();
}

#[test]
fn an_answer_without_a_usable_description_is_hung_up() {
    let mut w = world(Callee { ring_ms: None, early_media: false, then: Then::Never });
    w.order(dial(), true);
    w.run_for(100);
    let leg = w.peers[0].legs[0].leg;
    let body =
        "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 9 RTP/AVP 18\r\n";
    w.peer_answer_with(0, leg, body);
    w.run_for(500);
    assert_eq!(w.fact_names(CALL), "Dialled LegEnded Ended");
    assert!(matches!(w.facts_of(CALL).last(), Some(CallFact::Ended { cause: EndCause::Incompatible, .. })));
    w.assert_at_rest();
}

#[test]
fn hang_up_all() {
    let mut w = world(Callee::answers(100));
    w.command(open_session());
    w.run_for(300);
    w.order(dial(), true);
    w.run_for(300);
    w.order(use_session(), false);
    w.order(bridge(), false);
    w.run_for(300);
    w.command(ShardCommand::HangupAll);
    w.run_for(300);
    assert!(w.peers.iter().all(|peer| peer.legs.is_empty()), "{}", w.ladder);
    w.assert_at_rest();
}

#[test]
fn digits_are_told_once_with_who_pressed_them() {
    let mut w = world(Callee::answers(100));
    w.command(open_session());
    w.run_for(300);
    w.order(dial(), true);
    w.run_for(300);
    w.order(use_session(), false);
    w.order(bridge(), false);
    w.run_for(100);
    w.peer_presses(0, 5);
    w.run_for(500);
    w.peer_presses(1, 11);
    w.run_for(500);
    let digits: Vec<(Party, char)> = w
        .facts_of(CALL)
        .into_iter()
        .filter_map(|fact| match fact {
            CallFact::Dtmf { party, digit, .. } => Some((*party, *digit)),
            _ => None,
        })
        .collect();
    assert_eq!(digits, [(Party::Customer, '5'), (Party::Agent, '#')]);
    w.order(hangup(), false);
    w.command(ShardCommand::CloseSession { agent: AGENT });
    w.assert_at_rest();
}

#[test]
fn a_verdict_on_who_answered_comes_after_the_answer() {
    let mut w = world(Callee::answers(100));
    w.peers[0].speaks = true;
    let mut order = dial();
    if let CallOrder::DialCustomer { amd, .. } = &mut order {
        *amd = true;
    }
    w.order(order, true);
    w.run_for(8_000);
    assert_eq!(w.fact_names(CALL), "Dialled Ringing Answered Amd");
    w.order(hangup(), false);
    w.assert_at_rest();
}

#[test]
fn each_answered_leg_tells_how_it_sounded_before_it_ends() {
    let mut w = world(Callee::answers(100));
    w.peers.iter_mut().for_each(|peer| peer.speaks = true);
    w.command(open_session());
    w.run_for(2_000);
    w.order(dial(), true);
    w.run_for(300);
    w.order(use_session(), false);
    w.order(bridge(), false);
    w.run_for(4_000);
    w.order(hangup(), false);
    w.run_for(300);
    let media: Vec<_> = w
        .facts_of(CALL)
        .into_iter()
        .filter_map(|fact| match fact {
            CallFact::Media { media, .. } => Some(media.as_ref().clone()),
            _ => None,
        })
        .collect();
    let [customer, agent] = &media[..] else { panic!("two legs: {media:?}") };
    assert_eq!((customer.party, agent.party), (Party::Customer, Party::Agent));
    for leg in [customer, agent] {
        // Four seconds of talk and a little before; the session's two seconds before the call do not count.
        assert!((190..=230).contains(&leg.packets_received), "{leg:?}");
        assert_eq!((leg.packets_lost, leg.codec.as_str()), (0, "PCMU"));
        assert!(leg.packets_sent >= 190 && leg.mos.is_some_and(|mos| mos > 4.0), "{leg:?}");
        assert_eq!(leg.audio, AudioState::Flowing);
    }
    w.command(ShardCommand::CloseSession { agent: AGENT });
    w.assert_at_rest();
}

#[test]
fn one_way_audio_is_told_with_who_is_not_heard() {
    let mut w = world(Callee::answers(100));
    w.peers.iter_mut().for_each(|peer| peer.speaks = true);
    w.command(open_session());
    w.run_for(300);
    w.order(dial(), true);
    w.run_for(300);
    w.order(use_session(), false);
    w.order(bridge(), false);
    w.run_for(2_000);
    w.peers[0].speaks = false;
    w.run_for(8_000);
    let audio = |w: &World| -> Vec<(Party, AudioState, bool)> {
        let told = w.facts_of(CALL).into_iter();
        told.filter_map(|fact| match fact {
            CallFact::Audio { party, state, one_way, .. } => Some((*party, *state, *one_way)),
            _ => None,
        })
        .collect()
    };
    assert_eq!(audio(&w), [(Party::Customer, AudioState::NoPackets, true)]);
    w.order(hangup(), false);
    w.command(ShardCommand::CloseSession { agent: AGENT });
    w.assert_at_rest();
}

/// Customer and agent who are joined have each other's INFO, of what is no digit; before that there is nobody to have it.
#[test]
fn info_goes_between_the_joined() {
    let mut w = world(Callee::answers(100));
    w.command(open_session());
    w.run_for(300);
    w.order(dial(), true);
    w.run_for(300);
    w.ladder.clear();
    w.peer_info(0, "text/plain", "x");
    w.run_for(100);
    let (customer, agent) = (w.peers[0].name, w.peers[1].name);
    assert!(w.ladder.contains(&format!("us -> {customer}: 415")), "{}", w.ladder);
    assert!(!w.ladder.contains(&format!("us -> {agent}: INFO")), "{}", w.ladder);
    w.order(use_session(), false);
    w.order(bridge(), false);
    w.run_for(100);
    for (asks, one, other) in [(0, customer, agent), (1, agent, customer)] {
        w.ladder.clear();
        w.peer_info(asks, "text/plain", "x");
        w.run_for(200);
        for line in [
            format!("us <- {one}: INFO"),
            format!("us -> {other}: INFO"),
            format!("us <- {other}: 415"),
            format!("us -> {one}: 415"),
        ] {
            assert_eq!(w.ladder.matches(&line).count(), 1, "{line} in\n{}", w.ladder);
        }
    }
    w.order(hangup(), false);
    w.command(ShardCommand::CloseSession { agent: AGENT });
    w.assert_at_rest();
}

#[test]
fn a_press_told_in_two_ways_is_one_event() {
    let mut w = world(Callee::answers(100));
    w.command(open_session());
    w.run_for(300);
    w.order(dial(), true);
    w.run_for(300);
    w.order(use_session(), false);
    w.order(bridge(), false);
    w.run_for(100);
    w.peer_presses(0, 5);
    w.run_for(200);
    w.peer_info(0, "application/dtmf-relay", "Signal=5\r\nDuration=160\r\n");
    w.run_for(1_000);
    w.peer_info(0, "application/dtmf-relay", "Signal=5\r\nDuration=160\r\n");
    w.run_for(500);
    let digits =
        w.facts_of(CALL).into_iter().filter(|fact| matches!(fact, CallFact::Dtmf { digit: '5', .. }));
    assert_eq!(digits.count(), 2, "the press, and the one a second later");
    w.order(hangup(), false);
    w.command(ShardCommand::CloseSession { agent: AGENT });
    w.assert_at_rest();
}

/// An order that was good only until now: nothing leaves, and the call ends once.
#[test]
fn an_order_that_comes_too_late_is_not_dialled() {
    for (late_ms, dialled) in [(0, false), (1, true)] {
        let mut w = world(Callee::answers(100));
        let mut order = dial();
        let limit = w.now + Duration::from_millis(late_ms);
        if let CallOrder::DialCustomer { not_after, .. } = &mut order {
            *not_after = Some(limit);
        }
        w.order(order, true);
        w.run_for(500);
        assert_eq!(w.peers[0].invites.len(), usize::from(dialled));
        if !dialled {
            check(
                &w,
                expect![[r"
                     2.500 fact: Ended { call 1, by: System, cause: Cancelled, sip_code: None, q850: None }
                "]],
            );
        }
        w.order(hangup(), false);
        w.run_for(500);
        w.assert_at_rest();
    }
}
