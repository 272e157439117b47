//! Transfers of transit calls: blind, attended, by Replaces; and INFO.

use crate::transit::{FROM, TO, act, fork};
use crate::world::{Callee, World};
use dialer_core::outcome::{EndCause, Outcome, Party};
use dialer_core::participant::CallAct;
use dialer_core::recording::RecordAct;
use dialer_core::{ForkId, RecordingId, TrunkId};
use engine::{Route, ShardCommand, TransitMedia};
use media::codec::g711::ULAW_TO_LINEAR;
use sip_proxy::ua::Reason;

const THIRD: TrunkId = TrunkId::from_bits(3);

/// Peers 0 (calls in), 1 (numbers with 0) and 2 (numbers with 7), who all speak.
pub(crate) fn world(media: TransitMedia) -> World {
    let mut w = World::new(12);
    w.carrier("a", FROM, |_| {});
    w.carrier("b", TO, |_| {});
    w.carrier("c", THIRD, |_| {});
    for peer in &mut w.peers {
        peer.default = Callee::answers(200);
        peer.speaks = true;
    }
    let route = |prefix: &str, to_trunk| Route {
        from_trunk: None,
        prefix: prefix.into(),
        to_trunks: vec![to_trunk],
        media,
        record: false,
    };
    w.command(ShardCommand::SetRoutes(vec![route("0", TO), route("7", THIRD)]));
    w
}

/// Whether the only legs of two peers hear each other now.
pub(crate) fn talk(w: &mut World, one: usize, other: usize) {
    let heard = |w: &World, peer: usize| w.peers[peer].legs.first().map_or(0, |leg| leg.heard);
    let before = (heard(w, one), heard(w, other));
    w.run_for(500);
    let after = (heard(w, one), heard(w, other));
    assert!(after.0 > before.0 + 10 && after.1 > before.1 + 10, "{before:?} {after:?}\n{}", w.ladder);
    assert_eq!(w.peers[one].legs[0].last_payload[0], w.peers[other].voice);
    assert_eq!(w.peers[other].legs[0].last_payload[0], w.peers[one].voice);
}

#[test]
fn blind_from_either_side() {
    for asks in [0, 1] {
        let mut w = world(TransitMedia::Relay);
        w.call_in(0, "100", "0200");
        w.run_for(500);
        w.peer_refers(asks, 0, "7300", None);
        w.run_for(1000);
        assert_eq!(
            w.peers[asks].transfers,
            ["202", "NOTIFY 100", "NOTIFY 180", "NOTIFY 200 done"],
            "{}",
            w.ladder
        );
        assert!(w.peers[asks].legs.is_empty(), "who asked is let go of\n{}", w.ladder);
        let invite = &w.peers[2].invites[0];
        assert!(invite.contains(&format!("Referred-By: <sip:{}>", w.peers[asks].address)), "{invite}");
        talk(&mut w, 1 - asks, 2);
        w.peer_hangup(2);
        w.run_for(500);
        assert!(w.peers.iter().all(|peer| peer.legs.is_empty()), "{}", w.ladder);
        let records = w.transit_records();
        assert_eq!((records.len(), records[0].outcome), (1, Outcome::Connected));
        w.assert_at_rest();
    }
}

/// Whoever is replaced, the caller or the callee: what is recorded and forked goes on, into the same file and the same fork,
/// with the newcomer's voice.
#[test]
fn who_listens_to_a_call_listens_on_when_a_side_is_replaced() {
    for (asks, attended) in [(0, false), (1, false), (0, true), (1, true)] {
        let mut w = world(TransitMedia::Relay);
        w.call_in(0, "100", "0200");
        w.run_for(500);
        let call = w.transit_started()[0].0;
        let recording = RecordingId::from_bits(71);
        act(&mut w, call, CallAct::Record(RecordAct::Start(recording)));
        act(&mut w, call, fork(81));
        w.run_for(500);
        if attended {
            w.call_in(asks, "200", "7300");
            w.run_for(500);
            // What is made of the other call ends with it.
            let other = w.transit_started()[1].0;
            act(&mut w, other, CallAct::Record(RecordAct::Start(RecordingId::from_bits(72))));
            act(&mut w, other, fork(82));
            w.run_for(500);
            w.peer_refers(asks, 0, "7300", Some(1));
        } else {
            w.peer_refers(asks, 0, "7300", None);
        }
        w.run_for(1000);
        let ended = |w: &World| w.ladder.matches("fact: ForkEnded").count();
        let others = usize::from(attended);
        assert_eq!((w.finished.len(), ended(&w)), (others, others), "{}", w.ladder);
        talk(&mut w, 1 - asks, 2);
        w.forked.clear();
        w.run_for(500);
        let heard = &w.forked[&81];
        assert!(heard.len() > 20, "{}", heard.len());
        // The fork is on the caller's side, whoever that is.
        let (caller, callee) = if asks == 0 { (2, 1) } else { (0, 2) };
        let voice = |w: &World, peer: usize| ULAW_TO_LINEAR[usize::from(w.peers[peer].voice)];
        for frame in heard {
            let middle = frame.each_ref().map(|side| side.as_ref().map(|samples| samples[80]));
            assert_eq!(middle, [Some(voice(&w, caller)), Some(voice(&w, callee))]);
        }
        act(&mut w, call, CallAct::StopFork(ForkId::from_bits(81)));
        w.peer_hangup(2);
        w.run_for(1000);
        assert_eq!(w.finished.last(), Some(&recording), "one file");
        let sound = &w.files[&recording].1;
        let last: Vec<i16> = sound[sound.len() - 4 * 4_000..]
            .chunks_exact(2)
            .map(|sample| i16::from_le_bytes([sample[0], sample[1]]))
            .collect();
        let middle = last.len() / 4 * 2;
        assert_eq!(last[middle..middle + 2], [voice(&w, caller), voice(&w, callee)], "left and right");
        w.assert_at_rest();
    }
}

/// The target is busy, unknown, or not to be had: the call goes on as it was.
#[test]
fn a_blind_transfer_that_fails() {
    let mut w = world(TransitMedia::Relay);
    w.peers[2].default = Callee::refuses(100, 486);
    w.call_in(0, "100", "0200");
    w.run_for(500);
    w.peer_refers(1, 0, "7300", None);
    w.run_for(500);
    assert_eq!(w.peers[1].transfers, ["202", "NOTIFY 100", "NOTIFY 180", "NOTIFY 486 done"], "{}", w.ladder);
    talk(&mut w, 0, 1);
    w.peer_refers(1, 0, "9999", None);
    w.run_for(500);
    assert_eq!(w.peers[1].transfers.last().unwrap(), "404");
    talk(&mut w, 0, 1);
    w.peer_hangup(0);
    w.assert_at_rest();
}

/// Who asked hangs up at once, as many phones do: the call waits for the third party, and ends if that fails.
#[test]
fn who_asks_hangs_up_before_the_outcome() {
    for code in [None, Some(486)] {
        let mut w = world(TransitMedia::Relay);
        if let Some(code) = code {
            w.peers[2].default = Callee::refuses(300, code);
        }
        w.call_in(0, "100", "0200");
        w.run_for(500);
        w.peer_refers(1, 0, "7300", None);
        w.run_for(50);
        w.peer_hangup(1);
        w.run_for(100);
        assert_eq!((w.peers[0].legs.len(), w.peers[1].legs.len()), (1, 0), "{}", w.ladder);
        w.run_for(1000);
        if code.is_none() {
            talk(&mut w, 0, 2);
            w.peer_hangup(0);
        }
        w.run_for(500);
        assert!(w.peers.iter().all(|peer| peer.legs.is_empty()), "{}", w.ladder);
        w.assert_at_rest();
    }
}

/// The other side, or the whole house, ends the call while the third party rings.
#[test]
fn the_call_ends_during_a_transfer() {
    for house in [false, true] {
        let mut w = world(TransitMedia::Relay);
        w.peers[2].default = Callee::rings();
        w.call_in(0, "100", "0200");
        w.run_for(500);
        w.peer_refers(1, 0, "7300", None);
        w.run_for(300);
        if house {
            w.command(ShardCommand::HangupAll)
        } else {
            w.peer_hangup(0)
        }
        w.run_for(1000);
        assert!(w.peers.iter().all(|peer| peer.legs.is_empty()), "{}", w.ladder);
        w.assert_at_rest();
    }
}

#[test]
fn attended() {
    let mut w = world(TransitMedia::Relay);
    w.call_in(0, "100", "0200");
    w.run_for(500);
    // B calls C, then joins both.
    w.call_in(1, "200", "7300");
    w.run_for(500);
    w.peer_refers(1, 0, "7300", Some(1));
    w.run_for(500);
    assert_eq!(w.peers[1].transfers, ["202", "NOTIFY 100", "NOTIFY 200 done"], "{}", w.ladder);
    assert!(w.peers[1].legs.is_empty(), "{}", w.ladder);
    talk(&mut w, 0, 2);
    let records = w.transit_records();
    assert_eq!((records.len(), records[0].cause, records[0].ended_by), (1, EndCause::Normal, Party::Caller));
    w.peer_hangup(0);
    w.run_for(500);
    assert_eq!(w.transit_records().len(), 2);
    assert!(w.peers.iter().all(|peer| peer.legs.is_empty()), "{}", w.ladder);
    w.assert_at_rest();
}

/// C takes B's place by itself.
#[test]
fn by_replaces() {
    let mut w = world(TransitMedia::Relay);
    w.call_in(0, "100", "0200");
    w.run_for(500);
    w.peer_takes_over(2, 1);
    w.run_for(500);
    assert!(w.peers[1].legs.is_empty(), "{}", w.ladder);
    talk(&mut w, 0, 2);
    w.peer_hangup(2);
    w.run_for(500);
    assert!(w.peers.iter().all(|peer| peer.legs.is_empty()), "{}", w.ladder);
    assert_eq!(w.transit_records().len(), 1);
    w.assert_at_rest();
}

/// Whether the only legs of two peers send to each other, past us.
fn know_each_other(w: &World, one: usize, other: usize) {
    let leg = |peer: usize| &w.peers[peer].legs[0];
    assert_eq!(leg(one).remote, Some(leg(other).rtp), "{}", w.ladder);
    assert_eq!(leg(other).remote, Some(leg(one).rtp), "{}", w.ladder);
}

/// Where the sound goes past us those who are joined get each other's descriptions.
#[test]
fn attended_past_us() {
    // Who stays has called, or was called; and so has who comes.
    for (asks_in, comes_in) in [(1, 1), (0, 1), (1, 0)] {
        let mut w = world(TransitMedia::Bypass);
        let (stays, comes) = if asks_in == 1 { (0, 2) } else { (1, 2) };
        let asks = 1 - stays;
        w.call_in(0, "100", "0200");
        w.run_for(500);
        if comes_in == 1 {
            w.call_in(asks, "200", "7300");
        } else {
            w.call_in(comes, "300", "0200");
        }
        w.run_for(500);
        w.peer_refers(asks, 0, "7300", Some(1));
        w.run_for(1000);
        assert_eq!(w.peers[asks].transfers, ["202", "NOTIFY 100", "NOTIFY 200 done"], "{}", w.ladder);
        assert!(w.peers[asks].legs.is_empty(), "{}", w.ladder);
        know_each_other(&w, stays, comes);
        assert_eq!(w.transit_records().len(), 1);
        w.peer_hangup(comes);
        w.run_for(500);
        assert_eq!(w.transit_records().len(), 2);
        assert!(w.peers.iter().all(|peer| peer.legs.is_empty()), "{}", w.ladder);
        w.assert_at_rest();
    }
}

#[test]
fn by_replaces_past_us() {
    for replaced in [0, 1] {
        let mut w = world(TransitMedia::Bypass);
        w.call_in(0, "100", "0200");
        w.run_for(500);
        w.peer_takes_over(2, replaced);
        w.run_for(500);
        assert!(w.peers[replaced].legs.is_empty(), "{}", w.ladder);
        know_each_other(&w, 1 - replaced, 2);
        w.peer_hangup(1 - replaced);
        w.run_for(500);
        assert!(w.peers.iter().all(|peer| peer.legs.is_empty()), "{}", w.ladder);
        assert_eq!(w.transit_records().len(), 1);
        w.assert_at_rest();
    }
}

/// One call is relayed, the other is not: that is refused, and both go on.
#[test]
fn what_cannot_be_joined_is_refused() {
    let mut w = world(TransitMedia::Relay);
    w.call_in(0, "100", "0200");
    w.run_for(500);
    let route = Route {
        from_trunk: None,
        prefix: "7".into(),
        to_trunks: vec![THIRD],
        media: TransitMedia::Bypass,
        record: false,
    };
    w.command(ShardCommand::SetRoutes(vec![route]));
    w.call_in(1, "200", "7300");
    w.run_for(500);
    w.peer_refers(1, 0, "7300", Some(1));
    w.run_for(500);
    assert_eq!(w.peers[1].transfers, ["603"], "{}", w.ladder);
    assert_eq!((w.peers[1].legs.len(), w.transit_records().len()), (2, 0));
    w.peer_hangup(0);
    w.peer_hangup(2);
    w.run_for(500);
    w.assert_at_rest();
}

/// What one side gives as its reason reaches the other side and the record (RFC 3326).
#[test]
fn reasons_are_passed_and_recorded() {
    let reason = |q850, sip, text| Reason { q850, sip, text, passed: "" };
    let cases = [
        // Who hangs up, when, with what, and what the other one hears.
        (0, 1000, reason(Some(31), Some(480), "going home"), (Some(31), Some(480), Some("going home"))),
        (1, 1000, reason(Some(16), None, ""), (Some(16), None, Some("Normal call clearing"))),
        (
            0,
            100,
            reason(None, Some(200), "Call completed elsewhere"),
            (None, Some(200), Some("Call completed elsewhere")),
        ),
        (1, 1000, reason(None, None, ""), (Some(16), None, Some("Normal call clearing"))),
    ];
    for (peer, after_ms, said, heard) in cases {
        let mut w = world(TransitMedia::Relay);
        w.call_in(0, "100", "0200");
        w.run_for(after_ms);
        let leg = w.peers[peer].legs[0].leg;
        let now = w.now;
        let at = &mut w.peers[peer];
        at.ua.hangup(now, leg, said, &mut at.out);
        w.drain_peer(peer);
        w.run_for(500);
        let ended = &w.peers[1 - peer].ended[0];
        assert_eq!((ended.q850, ended.sip, ended.text.as_deref()), heard, "{}", w.ladder);
        let records = w.transit_records();
        assert_eq!(records[0].q850, said.q850.map(u16::from));
        let recorded = records[0].reason.as_ref();
        assert_eq!(recorded.and_then(|reason| reason.sip_code), said.sip);
        let text = Some(said.text).filter(|text| !text.is_empty());
        let text = text.or(said.q850.map(|_| "Normal call clearing"));
        assert_eq!(recorded.and_then(|reason| reason.text.as_deref()), text);
        assert_eq!(records[0].sip_code, Some(if after_ms == 100 { 487 } else { 200 }));
        w.assert_at_rest();
    }
}

/// Each value with its own text, those of other protocols and with what we do not know too, in a BYE, a CANCEL and a
/// refusal (RFC 3326, RFC 8606).
#[test]
fn all_reasons_are_passed_as_they_are() {
    let passed = "Q.850;cause=31;text=\"one\";location=LN, SIP;cause=580;text=\"two, and; three\", \
                  preemption;cause=1;text=\"four\"";
    for (peer, after_ms) in [(0, 1000), (1, 1000), (0, 100), (1, 100)] {
        let mut w = world(TransitMedia::Relay);
        w.call_in(0, "100", "0200");
        w.run_for(after_ms);
        let leg = w.peers[peer].legs[0].leg;
        let now = w.now;
        let at = &mut w.peers[peer];
        let said = Reason { sip: Some(580), passed, ..Reason::default() };
        at.ua.hangup(now, leg, said, &mut at.out);
        w.drain_peer(peer);
        w.run_for(500);
        let ended = &w.peers[1 - peer].ended[0];
        assert_eq!((&*ended.reasons, ended.q850, ended.sip), (passed, Some(31), Some(580)), "{}", w.ladder);
        let records = w.transit_records();
        let recorded = records[0].reason.as_ref().expect("a reason was given");
        assert_eq!(
            (records[0].q850, recorded.sip_code, recorded.text.as_deref()),
            (Some(31), Some(580), Some("two, and; three"))
        );
        w.assert_at_rest();
    }
}

/// Where the sound goes past us the other side is asked to call.
#[test]
fn a_refer_is_passed() {
    let mut w = world(TransitMedia::Bypass);
    w.call_in(0, "100", "0200");
    w.run_for(500);
    w.peer_refers(1, 0, "7300", None);
    w.run_for(500);
    assert_eq!(w.peers[0].transfers, [format!("asked for sip:7300@{}", crate::world::SHARD)]);
    assert_eq!(w.peers[1].transfers, ["202", "NOTIFY 100", "NOTIFY 200 done"], "{}", w.ladder);
    w.peer_hangup(0);
    w.assert_at_rest();
}

/// What an INFO says besides digits goes to the other side too, whose answer comes back (RFC 6086).
#[test]
fn info_of_other_kinds_is_answered_by_the_other_side() {
    for media in [TransitMedia::Relay, TransitMedia::Bypass] {
        let mut w = world(media);
        w.call_in(0, "100", "0200");
        w.run_for(500);
        for asks in [0, 1] {
            w.ladder.clear();
            w.peer_info(asks, "text/plain", "x");
            w.run_for(200);
            let (one, other) = (w.peers[asks].name, w.peers[1 - asks].name);
            for line in [
                format!("us <- {one}: INFO"),
                format!("us -> {other}: INFO"),
                format!("us <- {other}: 415"),
                format!("us -> {one}: 415"),
            ] {
                assert_eq!(w.ladder.matches(&line).count(), 1, "{line} in\n{}", w.ladder);
            }
        }
        w.peer_hangup(0);
        w.assert_at_rest();
    }
}

#[test]
fn info_is_passed() {
    for media in [TransitMedia::Relay, TransitMedia::Bypass] {
        let mut w = world(media);
        w.call_in(0, "100", "0200");
        w.run_for(500);
        w.peer_info(0, "application/dtmf-relay", "Signal=5");
        w.peer_info(1, "application/dtmf", "7");
        w.run_for(100);
        assert_eq!(
            (&w.peers[1].transfers[..], &w.peers[0].transfers[..]),
            (&["INFO Signal=5".to_owned()][..], &["INFO 7".to_owned()][..])
        );
        w.peer_hangup(0);
        w.assert_at_rest();
    }
}
