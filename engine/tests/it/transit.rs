//! Calls from trunk to trunk.

use crate::world::{Callee, World};
use dialer_core::fork::{ForkConfig, ForkFormat, ForkOrder, ForkSpeech, ForkTracks};
use dialer_core::outcome::{AudioState, EndCause, Outcome, Party};
use dialer_core::participant::CallAct;
use dialer_core::recording::RecordAct;
use dialer_core::{CallFact, CallId, ForkId, RecordingId, TrunkId};
use engine::{Route, ShardCommand, TransitMedia};
use expect_test::expect;
use std::collections::BTreeMap;

pub(crate) const FROM: TrunkId = TrunkId::from_bits(1);
pub(crate) const TO: TrunkId = TrunkId::from_bits(2);

/// A world with a caller (peer 0), a callee (peer 1), and a route for numbers that begin with 0.
pub(crate) fn world(media: TransitMedia, callee: Callee) -> World {
    let mut w = World::new(11);
    connect(&mut w, media, callee);
    w
}

/// Adds the two peers and the route.
pub(crate) fn connect(w: &mut World, media: TransitMedia, callee: Callee) {
    w.carrier("caller", FROM, |_| {});
    w.carrier("callee", TO, |_| {});
    w.peers[1].default = callee;
    let route =
        Route { from_trunk: Some(FROM), prefix: "0".into(), to_trunks: vec![TO], media, record: false };
    w.command(ShardCommand::SetRoutes(vec![route]));
}

#[test]
fn passed_and_ended_by_either_side() {
    for media in [TransitMedia::Relay, TransitMedia::Bypass] {
        for ends in [0, 1] {
            let mut w = world(media, Callee::answers(200));
            w.peers[0].speaks = true;
            w.peers[1].speaks = true;
            w.call_in(0, "100", "0200");
            w.run_for(1000);
            if media == TransitMedia::Relay {
                for peer in [0, 1] {
                    let leg = &w.peers[peer].legs[0];
                    assert!(leg.heard > 20, "{peer} heard {}", leg.heard);
                    assert_eq!(leg.last_payload[0], w.peers[1 - peer].voice);
                }
            } else {
                assert!(w.ports.is_empty());
                assert_eq!(w.peers[0].legs[0].remote, Some(w.peers[1].legs[0].rtp));
                assert_eq!(w.peers[1].legs[0].remote, Some(w.peers[0].legs[0].rtp));
            }
            w.peer_hangup(ends);
            w.run_for(1000);
            let record = w.transit_records()[0];
            assert_eq!((record.outcome, record.cause), (Outcome::Connected, EndCause::Normal));
            assert_eq!(record.ended_by, if ends == 0 { Party::Caller } else { Party::Customer });
            assert_eq!((record.to.as_str(), record.caller_id.as_deref()), ("0200", Some("100")));
            assert!((700..=900).contains(&record.talk_ms), "{}", record.talk_ms);
            assert_eq!((record.pdd_ms, record.sip_code), (Some(110), Some(200)));
            if media == TransitMedia::Bypass && ends == 0 {
                expect![[r#"
                         1.000 us <- caller: INVITE
                         1.005 us -> caller: 100
                         1.005 us -> callee: INVITE
                         1.010 us <- callee: 100
                         1.105 fact: TransitStarted
                         1.110 us <- callee: 180
                         1.115 us -> caller: 180
                         1.210 us <- callee: 200
                         1.215 us -> callee: ACK
                         1.215 us -> caller: 200
                         1.215 fact: TransitRinging
                         1.215 fact: TransitAnswered
                         1.220 us <- caller: ACK
                         2.000 us <- caller: BYE
                         2.005 us -> caller: 200
                         2.005 us -> callee: BYE
                         2.010 us <- callee: 200
                         2.105 fact: TransitEnded Connected by Caller, Normal, code Some(200)
                "#]]
                .assert_eq(&w.ladder);
            }
            w.assert_at_rest();
        }
    }
}

/// Both legs of a call, in order, and nothing of its neighbour; also when it is over.
#[test]
fn the_messages_of_a_call_are_kept() {
    let mut w = world(TransitMedia::Bypass, Callee::answers(200));
    w.call_in(0, "100", "0200");
    w.run_for(50);
    w.call_in(0, "101", "0201");
    w.run_for(1000);
    w.peer_hangup(0);
    w.run_for(1000);
    let records: Vec<(CallId, String)> =
        w.transit_records().iter().map(|record| (record.call, record.to.clone())).collect();
    assert!(!records.is_empty());
    for (call, number) in records {
        let kept = w.shard.trace(call);
        let lines: Vec<String> = kept
            .iter()
            .map(|message| {
                let text = String::from_utf8_lossy(&message.bytes);
                let line = text.lines().next().unwrap_or_default().split(' ').take(2).collect::<Vec<_>>();
                let line = if line[0] == "SIP/2.0" { line[1] } else { line[0] };
                format!("{}{line}", if message.sent { '>' } else { '<' })
            })
            .collect();
        assert_eq!(
            lines.join(" "),
            "<INVITE >100 >INVITE <100 <180 >180 <200 >ACK >200 <ACK <BYE >200 >BYE <200"
        );
        assert!(kept.is_sorted_by_key(|message| message.monotonic_ns));
        assert!(kept.iter().all(|message| {
            let text = String::from_utf8_lossy(&message.bytes);
            text.contains(&number) || !text.starts_with("INVITE")
        }));
    }
    assert!(w.shard.trace(CallId::from_bits(7)).is_empty());
}

#[test]
fn the_request_is_carried_on() {
    let mut w = world(TransitMedia::Bypass, Callee::answers(200));
    w.call_in(0, "100", "0200");
    w.run_for(100);
    let invite = &w.peers[1].invites[0];
    for part in
        ["INVITE sip:0200@192.0.2.11:5060 SIP/2.0\r\n", "Max-Forwards: 69\r\n", "<sip:100@192.0.2.1:5060>"]
    {
        assert!(invite.contains(part), "{part} in\n{invite}");
    }
}

#[test]
fn refusals_are_passed_on() {
    for (code, passed, outcome) in [
        (486, 486, Outcome::Busy),
        (404, 404, Outcome::InvalidNumber),
        (603, 603, Outcome::Rejected),
        (503, 503, Outcome::NetworkCongestion),
        (401, 403, Outcome::CarrierError),
        (302, 480, Outcome::Unreachable),
    ] {
        let mut w = world(TransitMedia::Relay, Callee::refuses(300, code));
        w.call_in(0, "100", "0200");
        w.run_for(1000);
        assert_eq!(w.peers[0].ended[0].code, Some(passed), "{code}\n{}", w.ladder);
        let record = w.transit_records()[0];
        assert_eq!(record.sip_code, Some(passed));
        if code != 302 {
            assert_eq!(record.outcome, outcome, "{code}");
        }
        w.assert_at_rest();
    }
}

#[test]
fn a_cancel_goes_through_at_any_moment() {
    for after_ms in [0, 2, 5, 6, 9, 10, 11, 14, 16, 20, 21, 50, 100] {
        let mut w = world(TransitMedia::Relay, Callee::answers(90));
        w.call_in(0, "100", "0200");
        w.run_for(after_ms);
        w.peer_hangup(0);
        w.run_for(2000);
        assert!(w.peers[1].legs.is_empty(), "{after_ms}: the callee rings on\n{}", w.ladder);
        assert_eq!(w.transit_records().len(), w.shard.counters().transits_started as usize, "{after_ms}");
        if let Some(record) = w.transit_records().first().filter(|record| record.answered_at.is_none()) {
            assert_eq!((record.cause, record.sip_code), (EndCause::Cancelled, Some(487)), "{after_ms}");
            assert_eq!((record.outcome, record.ended_by), (Outcome::Cancelled, Party::Caller), "{after_ms}");
        }
        w.assert_at_rest();
    }
}

#[test]
fn a_callee_that_says_nothing() {
    let mut w = world(TransitMedia::Relay, Callee::silent());
    w.peers[1].dead = true;
    w.call_in(0, "100", "0200");
    w.run_for(40_000);
    assert_eq!(w.peers[0].ended[0].code, Some(408), "{}", w.ladder);
    w.assert_at_rest();
}

/// A call in which nobody ever speaks ends, too.
#[test]
fn a_call_without_any_sound_ends_after_the_media_timeout() {
    let mut w = world(TransitMedia::Relay, Callee::answers(100));
    w.call_in(0, "100", "0200");
    w.run_for(15_000);
    assert!(w.peers[0].ended.is_empty(), "{}", w.ladder);
    w.run_for(10_000);
    assert_eq!(w.peers[0].ended.len(), 1, "{}", w.ladder);
    w.assert_at_rest();
}

#[test]
fn who_is_not_carried_on() {
    let refused = |w: &mut World, to: &str| {
        w.call_in(0, "100", to);
        w.run_for(200);
        w.peers[0].ended.last().and_then(|ended| ended.code)
    };
    let mut w = world(TransitMedia::Bypass, Callee::answers(10));
    assert_eq!(refused(&mut w, "9999"), Some(404));
    assert_eq!(w.shard.counters().transits_refused_route, 1);
    w.command(ShardCommand::AdmitTransit(false));
    assert_eq!(refused(&mut w, "0200"), Some(503));
    w.command(ShardCommand::AdmitTransit(true));
    w.command(ShardCommand::RemoveTrunk(TO));
    assert_eq!(refused(&mut w, "0200"), Some(503));
    w.assert_at_rest();
}

#[test]
fn an_offer_that_cannot_be_relayed_is_refused() {
    for (body, code) in [
        ("v=0\r\nm=audio 1 RTP/AVP 3\r\nc=IN IP4 192.0.2.9\r\n", 488),
        ("v=0\r\nm=audio 5000 RTP/AVP 0\r\n", 488),
        ("v=0\r\nm=audio 5000 RTP/AVP 0\r\nc=IN IP4 host.example.com\r\n", 488),
        ("v=0\r\nm=audio 99999 RTP/AVP 0\r\n", 400),
        ("hello", 400),
    ] {
        let mut w = world(TransitMedia::Relay, Callee::answers(10));
        w.call_in_with(0, "100", "0200", body);
        w.run_for(200);
        assert_eq!(w.peers[0].ended[0].code, Some(code), "{body}\n{}", w.ladder);
        assert_eq!(w.shard.counters().transits_refused_request, 1);
        assert_eq!(w.shard.counters().channels_used, 0);
        w.assert_at_rest();
    }
}

#[test]
fn a_caller_without_an_offer_gets_one() {
    for media in [TransitMedia::Relay, TransitMedia::Bypass] {
        let mut w = world(media, Callee::answers(100));
        w.peers[1].speaks = true;
        w.call_in_with(0, "100", "0200", "");
        w.run_for(1000);
        assert!(w.peers[1].legs[0].up, "{}", w.ladder);
        w.command(ShardCommand::HangupAll);
        w.assert_at_rest();
    }
}

#[test]
fn channel_and_call_rate_limits_hold() {
    let mut w = World::new(3);
    w.carrier("caller", FROM, |_| {});
    w.carrier("callee", TO, |config| config.channels_max = 2);
    let route = Route {
        from_trunk: None,
        prefix: String::new(),
        to_trunks: vec![TO],
        media: TransitMedia::Bypass,
        record: false,
    };
    w.command(ShardCommand::SetRoutes(vec![route]));
    for _ in 0..4 {
        w.call_in(0, "100", "0200");
        w.run_for(100);
    }
    assert_eq!(w.peers[0].ended.iter().map(|ended| ended.code).collect::<Vec<_>>(), [Some(503); 2]);
    assert_eq!(w.shard.counters().transits_refused_busy, 2);
    w.peer_hangup(0);
    w.run_for(100);
    w.call_in(0, "100", "0200");
    w.run_for(100);
    assert_eq!(w.peers[1].legs.len(), 2, "a channel that is free again is used");
    w.command(ShardCommand::HangupAll);
    w.assert_at_rest();

    let mut w = World::new(3);
    w.carrier("caller", FROM, |_| {});
    w.carrier("callee", TO, |config| config.cps_max = 2.0);
    let route = Route {
        from_trunk: None,
        prefix: String::new(),
        to_trunks: vec![TO],
        media: TransitMedia::Bypass,
        record: false,
    };
    w.command(ShardCommand::SetRoutes(vec![route]));
    for _ in 0..30 {
        w.call_in(0, "100", "0200");
        w.run_for(100);
    }
    assert!((6..=7).contains(&w.peers[1].invites.len()), "{}", w.peers[1].invites.len());
    w.command(ShardCommand::HangupAll);
    w.assert_at_rest();
}

#[test]
fn a_reinvite_is_passed_or_answered() {
    for media in [TransitMedia::Relay, TransitMedia::Bypass] {
        let mut w = world(media, Callee::answers(100));
        w.peers[0].speaks = true;
        w.peers[1].speaks = true;
        w.call_in(0, "100", "0200");
        w.run_for(500);
        w.peer_reinvite(0, "inactive");
        w.run_for(300);
        let reinvites = w.ladder.matches("us -> callee: INVITE").count();
        assert_eq!(reinvites, if media == TransitMedia::Bypass { 2 } else { 1 }, "{}", w.ladder);
        if media == TransitMedia::Relay {
            let heard = w.peers[0].legs[0].heard;
            w.run_for(300);
            assert_eq!(w.peers[0].legs[0].heard, heard);
        }
        // Both at once.
        w.peer_reinvite(0, "sendrecv");
        w.peer_reinvite(1, "sendrecv");
        w.run_for(10_000);
        assert!(w.peers.iter().all(|peer| peer.legs.len() == 1), "{}", w.ladder);
        w.peer_hangup(1);
        w.run_for(500);
        assert!(w.peers.iter().all(|peer| peer.legs.is_empty()));
        w.assert_at_rest();
    }
}

/// The house ends everything: what the INVITE was answered with stays in the record, and what ended the call does too.
#[test]
fn a_call_that_the_house_ends_keeps_its_answer() {
    for (callee, code, cause) in [
        (Callee::answers(100), Some(200), EndCause::Normal),
        (Callee::rings(), Some(503), EndCause::Cancelled),
    ] {
        let mut w = world(TransitMedia::Bypass, callee);
        w.call_in(0, "100", "0200");
        w.run_for(500);
        w.command(ShardCommand::HangupAll);
        w.run_for(1000);
        let records = w.transit_records();
        assert_eq!(records.len(), 1, "{}", w.ladder);
        assert_eq!((records[0].sip_code, records[0].cause), (code, cause), "{}", w.ladder);
        w.assert_at_rest();
    }
}

#[test]
fn early_media_passes_before_the_answer() {
    let mut w = world(TransitMedia::Relay, Callee::answers(2000).with_early_media());
    w.call_in(0, "100", "0200");
    w.run_for(1500);
    assert!(w.ladder.contains("us -> caller: 183"), "{}", w.ladder);
    w.run_for(1000);
    assert!(w.peers[0].legs[0].up);
    w.command(ShardCommand::HangupAll);
    w.assert_at_rest();
}

#[test]
fn a_relayed_call_can_be_recorded() {
    let mut w = world(TransitMedia::Relay, Callee::talks(100, 1000));
    w.peers[0].speaks = true;
    w.peers[1].speaks = true;
    let route = Route {
        from_trunk: None,
        prefix: String::new(),
        to_trunks: vec![TO],
        media: TransitMedia::Relay,
        record: true,
    };
    w.command(ShardCommand::SetRoutes(vec![route]));
    w.call_in(0, "100", "0200");
    w.run_for(3000);
    assert_eq!(w.finished.len(), 1);
    assert_eq!(w.transit_records()[0].recording, Some(w.finished[0]));
    let call = w.transit_records()[0].call;
    assert_eq!(w.fact_names(call), "RecordingStarted RecordingReady");
    w.assert_at_rest();
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = || {
        let mut w = world(TransitMedia::Relay, Callee::talks(100, 300));
        for _ in 0..5 {
            w.call_in(0, "100", "0200");
            w.run_for(200);
        }
        w.run_for(2000);
        w.trace
    };
    assert_eq!(run(), run());
}

/// Hung up from above while it rings and while they talk: one end and one record each, and no second for who asks again.
#[test]
fn hung_up_from_above() {
    for (after_ms, outcome, told) in [(100, Outcome::Cancelled, 480), (1000, Outcome::Connected, 200)] {
        for media in [TransitMedia::Relay, TransitMedia::Bypass] {
            let mut w = world(media, Callee::answers(200));
            w.call_in(0, "100", "0200");
            w.run_for(50);
            w.call_in(0, "101", "0201");
            w.run_for(after_ms);
            let started = w.transit_started();
            assert_eq!(started.len(), 2, "{}", w.ladder);
            let (call, start) = started[0].clone();
            assert_eq!((start.from, start.to, start.agent), (FROM, TO, None));
            assert_eq!((start.number.as_str(), start.caller_id.as_deref()), ("0200", Some("100")));
            let by = Party::Api;
            let cause = if told == 480 { EndCause::Cancelled } else { EndCause::Normal };
            for _ in 0..2 {
                w.command(ShardCommand::EndTransit { call, by, cause });
            }
            w.run_for(1000);
            w.command(ShardCommand::EndTransit { call, by, cause });
            let records = w.transit_records();
            let ended: Vec<CallId> = records.iter().map(|record| record.call).collect();
            assert_eq!(ended, [call], "{}", w.ladder);
            assert_eq!(
                (records[0].outcome, records[0].ended_by, records[0].sip_code),
                (outcome, Party::Api, Some(told))
            );
            if told == 480 {
                assert_eq!(w.peers[0].ended.iter().map(|ended| ended.code).collect::<Vec<_>>(), [Some(480)]);
            }
            // The other goes on.
            assert_eq!(
                w.peers.iter().map(|peer| peer.legs.len()).collect::<Vec<_>>(),
                [1, 1],
                "{}",
                w.ladder
            );
            w.peer_hangup(0);
            w.run_for(1000);
            w.assert_at_rest();
        }
    }
}

pub(crate) fn act(w: &mut World, call: CallId, act: CallAct) {
    w.command(ShardCommand::ActOnTransit { call, act });
}

/// An order for a fork that goes nowhere.
pub(crate) fn fork(bits: u128) -> CallAct {
    let config = ForkConfig {
        url: "ws://bot.example/".into(),
        format: ForkFormat::Twilio,
        sample_rate_hz: 8_000,
        tracks: ForkTracks::Both,
        speech: ForkSpeech::Instead,
        control_messages: true,
        parameters: BTreeMap::new(),
        authorization: None,
        reconnects_max: 0,
    };
    CallAct::StartFork(Box::new(ForkOrder { fork: ForkId::from_bits(bits), config }))
}

/// By a wish from above: two recordings after each other, and forks; the last ones end with the call, each once.
#[test]
fn recorded_and_forked_from_above() {
    let mut w = world(TransitMedia::Relay, Callee::answers(200));
    w.peers[0].speaks = true;
    w.peers[1].speaks = true;
    w.call_in(0, "100", "0200");
    w.run_for(1000);
    let call = w.transit_started()[0].0;
    let [first, second] = [RecordingId::from_bits(71), RecordingId::from_bits(72)];
    act(&mut w, call, CallAct::Record(RecordAct::Start(first)));
    w.run_for(500);
    act(&mut w, call, CallAct::Record(RecordAct::Stop(first)));
    w.run_for(500);
    assert_eq!(w.finished, [first]);
    assert!(!w.files[&first].1.is_empty());
    act(&mut w, call, CallAct::Record(RecordAct::Start(second)));
    act(&mut w, call, fork(81));
    w.run_for(500);
    act(&mut w, call, CallAct::StopFork(ForkId::from_bits(81)));
    act(&mut w, call, fork(82));
    // None of them is for a call that passes through.
    act(&mut w, call, CallAct::Hold(true));
    w.run_for(500);
    w.peer_hangup(1);
    w.run_for(1000);
    assert_eq!(w.finished, [first, second]);
    let ended = w.ladder.matches("fact: ForkEnded").count();
    assert_eq!(ended, 2, "{}", w.ladder);
    let record = w.transit_records()[0];
    assert_eq!((record.recording, record.cause), (Some(first), EndCause::Normal));
    // It is over: too late for anything.
    act(&mut w, call, CallAct::Record(RecordAct::Start(RecordingId::from_bits(73))));
    w.run_for(1000);
    assert_eq!(w.finished, [first, second]);
    assert_eq!(w.shard.counters().orders_late, 2);
    w.assert_at_rest();
}

/// A side that says nothing is told of once both are there, and again when it speaks; of a call without any sound there is
/// nothing to tell.
#[test]
fn sound_that_stops_is_told() {
    let audio = |w: &World| {
        let call = w.transit_started()[0].0;
        let told = w.facts_of(call).into_iter().filter_map(|fact| match fact {
            CallFact::Audio { party, state, one_way, .. } => Some((*party, *state, *one_way)),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let mut w = world(TransitMedia::Relay, Callee::answers(200));
    w.call_in(0, "100", "0200");
    w.run_for(15_000);
    assert_eq!(audio(&w), [], "it carries no sound");
    w.peer_hangup(0);
    w.assert_at_rest();

    let mut w = world(TransitMedia::Relay, Callee::answers(8_000));
    w.peers[0].speaks = true;
    w.call_in(0, "100", "0200");
    w.run_for(12_000);
    assert_eq!(audio(&w), [], "the callee has not been there for long");
    w.run_for(3_000);
    let lost = (Party::Customer, AudioState::NoPackets, true);
    assert_eq!(audio(&w), [lost]);
    w.peers[1].speaks = true;
    w.run_for(2_000);
    let back = (Party::Customer, AudioState::Flowing, false);
    assert_eq!(audio(&w), [lost, back]);
    w.peers[0].speaks = false;
    w.run_for(7_000);
    assert_eq!(audio(&w), [lost, back, (Party::Caller, AudioState::NoPackets, true)]);
    w.peer_hangup(0);
    w.assert_at_rest();
}

#[test]
fn what_goes_past_us_is_not_recorded() {
    let mut w = world(TransitMedia::Bypass, Callee::answers(200));
    w.call_in(0, "100", "0200");
    w.run_for(1000);
    let call = w.transit_started()[0].0;
    act(&mut w, call, CallAct::Record(RecordAct::Start(RecordingId::from_bits(71))));
    w.run_for(100);
    assert_eq!(w.ladder.matches("fact: RecordingFailed").count(), 1, "{}", w.ladder);
    w.peer_hangup(0);
    w.run_for(1000);
    assert_eq!(w.transit_records()[0].recording, None);
    w.assert_at_rest();
}
