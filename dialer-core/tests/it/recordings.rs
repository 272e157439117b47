//! A call that is recorded in several parts: its record names them all.

use crate::house::House;
use crate::ladder::one_call;
use dialer_core::outcome::{EndCause, Party};
use dialer_core::participant::CallWish;
use dialer_core::recording::{RecordWish, RecordedFile};
use dialer_core::{CallFact, CallId, Command, CommandError, Event, RecordingId, Reply};

/// Recordings of one call at most.
const MOST: usize = 100;

fn wish(house: &mut House, call: CallId, wish: RecordWish) -> Result<RecordingId, CommandError> {
    match house.command(Command::Call { call, wish: CallWish::Record(wish) })? {
        Reply::Recording(recording) => Ok(recording),
        other => panic!("{other:?}"),
    }
}

fn stop(house: &mut House, call: CallId) {
    let recording = wish(house, call, RecordWish::Stop).unwrap();
    let sound =
        RecordedFile { file: "f.wav".into(), duration_ms: 1_000, bytes: 8_000, ..RecordedFile::default() };
    house.call_fact(CallFact::RecordingReady { call, recording, sound });
}

#[test]
fn all_recordings_of_a_call_are_in_its_record_in_the_order_in_which_they_began() {
    let (mut house, _, call) = one_call(|_| {});
    house.join(call);
    let mut begun = Vec::new();
    if wish(&mut house, call, RecordWish::Pause(Default::default())).is_ok() {
        // The campaign has begun one itself.
        begun.push(wish(&mut house, call, RecordWish::Resume).unwrap());
        stop(&mut house, call);
    }
    while begun.len() < MOST {
        begun.push(wish(&mut house, call, RecordWish::Start).unwrap());
        stop(&mut house, call);
    }
    let refused = wish(&mut house, call, RecordWish::Start);
    assert!(matches!(refused, Err(CommandError::InvalidCallState { .. })), "{refused:?}");
    house.end(call, Party::Customer, EndCause::Normal);
    let record = house.record(call);
    let named: Vec<RecordingId> = record.recording.iter().chain(&record.more_recordings).copied().collect();
    assert_eq!(named, begun);
}

/// What was paused of a recording that a crash cut off stands in its row: here a pause that was over.
#[test]
fn a_pause_outlives_a_crash() {
    let (mut house, _, call) = one_call(|_| {});
    house.join(call);
    let recording = match wish(&mut house, call, RecordWish::Start) {
        Ok(recording) => recording,
        Err(_) => panic!("it is not recorded yet"),
    };
    house.call_fact(CallFact::RecordingStarted { call, recording, file: "a.wav".into() });
    wish(&mut house, call, RecordWish::Pause(Default::default())).unwrap();
    house.pass(2_000);
    wish(&mut house, call, RecordWish::Resume).unwrap();
    let ms = house.now.as_millis() + 1_000;
    let restarted = House::restarted(std::mem::take(&mut house.store), ms);
    let row = restarted.store.events.iter().find_map(|envelope| match &envelope.event {
        Event::RecordingReady { recording: of, paused_ms, cut_off, .. } if *of == recording => {
            Some((*paused_ms, *cut_off))
        }
        _ => None,
    });
    assert_eq!(row, Some((2_000, true)));
}
