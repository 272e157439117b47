//! Calls that pass through: what is told of their sound, and what a crash leaves of them.

use crate::house::{House, START, transit_start};
use crate::ladder::check;
use dialer_core::outcome::{AudioState, Outcome, Party};
use dialer_core::{CallFact, CallId, RecordingId};
use expect_test::expect;

/// A house with a call that passes through and is not answered yet.
fn ringing() -> (House, CallId) {
    let mut house = House::new();
    let trunk = house.plain_trunk();
    let call = CallId::from_bits(99);
    let start = Box::new(transit_start(trunk, START));
    house.call_fact(CallFact::TransitStarted { call, start });
    house.call_fact(CallFact::TransitRinging { call });
    house.log();
    (house, call)
}

#[test]
fn a_side_that_falls_silent_is_told_of_once_the_call_is_answered() {
    let (mut house, call) = ringing();
    let audio = |party, state, one_way| CallFact::Audio { call, party, state, one_way };
    house.call_fact(audio(Party::Customer, AudioState::NoPackets, false));
    house.call_fact(CallFact::TransitAnswered { call, at: START });
    house.call_fact(audio(Party::Caller, AudioState::NoPackets, true));
    house.call_fact(audio(Party::Caller, AudioState::Flowing, false));
    house.call_fact(audio(Party::Customer, AudioState::NoSound, false));
    check(
        &mut house,
        &expect![[r#"
            0.000  journal AttemptStarted(0)
            0.000  event   call.audio #1
            0.000  event   call.audio #2
            0.000  event   call.audio #3
        "#]],
    );
    let counters = house.dialer.counters();
    let lost: Vec<(u64, u64)> = counters
        .legs
        .iter()
        .map(|leg| (leg.no_packets, leg.no_sound))
        .filter(|lost| *lost != (0, 0))
        .collect();
    assert_eq!(lost.len(), 2, "the caller's and the customer's");
    assert!(lost.contains(&(1, 0)) && lost.contains(&(0, 1)), "{lost:?}");
}

/// Its recording is written down before anything is told of it, and so is the call: both are ended by the next run.
#[test]
fn a_recorded_call_that_a_crash_cut_off_is_ended_with_its_recording() {
    for told_before in [false, true] {
        let (mut house, call) = ringing();
        house.call_fact(CallFact::TransitAnswered { call, at: START });
        if told_before {
            let (party, state) = (Party::Caller, AudioState::NoSound);
            house.call_fact(CallFact::Audio { call, party, state, one_way: true });
        }
        let recording = RecordingId::from_bits(7);
        house.call_fact(CallFact::RecordingStarted { call, recording, file: "a.wav".into() });
        let mut house = House::restarted(house.store.clone(), 60_000);
        let record = house.record(call);
        assert_eq!(
            (record.outcome, record.recording, record.to.as_str()),
            (Outcome::NodeRestart, Some(recording), "+4930123")
        );
        let log = house.log();
        for once in ["call.ended", "journal RecordingReady", "recording.ready"] {
            assert_eq!(log.matches(once).count(), 1, "{once}\n{log}");
        }
        assert_eq!(house.dialer.alive().transit, 0);
        // And by the run behind it no more.
        let mut house = House::restarted(house.store.clone(), 120_000);
        let log = house.log();
        assert!(!log.contains("call.ended") && !log.contains("recording.ready"), "{log}");
    }
}
