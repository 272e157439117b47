//! The system's clock is set while calls are made: back, forth, by little and by much.

use crate::house::{House, START};
use crate::ladder::{one_call, progressive};
use dialer_core::config::{CallingHours, CampaignConfig};
use dialer_core::outcome::{EndCause, Party};
use dialer_core::record::LeadState;
use dialer_core::{CallFact, Input};
use sansio::time::ClockBase;

/// The clock is found to be off by this much.
fn set(house: &mut House, by_ms: i64) {
    let wall = START.plus_millis(house.now.as_millis() as i64 + by_ms);
    house.input(Input::Clock(ClockBase { instant: house.now, wall }));
}

/// A record is in order and as long as the call was, however the clock was set meanwhile.
#[test]
fn a_record_keeps_the_clock_it_began_by() {
    for by_ms in [-7_200_000, -1, 1, 7_200_000] {
        let (mut house, _, call) = one_call(|_| {});
        house.call_fact(CallFact::Dialled { call });
        house.pass(2_000);
        house.call_fact(CallFact::Ringing { call, early_media: false });
        set(&mut house, by_ms);
        house.pass(3_000);
        house.call_fact(CallFact::Answered { call });
        house.call_fact(CallFact::Bridged { call });
        set(&mut house, -by_ms);
        house.pass(60_000);
        house.end(call, Party::Customer, EndCause::Normal);
        let record = house.record(call);
        let times = [record.ringing_at, record.answered_at, record.bridged_at, Some(record.ended_at)];
        let after: Vec<i64> =
            times.into_iter().map(|at| at.unwrap().millis_since(record.started_at)).collect();
        assert!(after.is_sorted(), "{after:?}");
        assert_eq!(after[3] - after[2], 60_000);
        assert_eq!((record.talk_ms, record.ring_ms), (60_000, Some(3_000)));
    }
}

/// What is due by the clock follows it; what lasts does not.
#[test]
fn hours_and_retries_follow_the_clock_and_ring_times_do_not() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(1);
    let lead = *house.store.leads.keys().next().unwrap();
    house.running(CampaignConfig { record: false, ..progressive(list) });
    house.pass(100);
    let call = house.dialled()[0];
    house.end(call, Party::Customer, EndCause::Busy);
    let state = |house: &House| house.store.leads[&lead].progress.state;
    assert_eq!(state(&house), LeadState::RetryWait);
    // Back by a day: nothing is called again before its time has come on that clock, and nothing twice.
    set(&mut house, -86_400_000);
    house.pass(3_600_000);
    assert_eq!(house.dialled().len(), 1);
    // Put right: it is due.
    set(&mut house, 0);
    house.pass(5_000);
    assert_eq!(house.dialled().len(), 2);
    // A line that rings is given the time it has, whatever the clock says.
    let call = house.dialled()[1];
    house.call_fact(CallFact::Dialled { call });
    house.call_fact(CallFact::Ringing { call, early_media: false });
    house.log();
    set(&mut house, 7 * 86_400_000);
    house.pass(10_000);
    assert!(!house.hung_up(call));
    house.end(call, Party::System, EndCause::NoAnswer);
    assert_eq!(house.record(call).ring_ms, Some(10_000));
}

/// Out of the calling hours by a jump: nothing is dialled; back in them: it goes on.
#[test]
fn a_jump_out_of_the_calling_hours_stops_dialling() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(5);
    // One o'clock in the morning, UTC, is within.
    let hours = CallingHours { from_minute: 0, to_minute: 120, days: 127, utc_offset_minutes: 0 };
    house.running(CampaignConfig { record: false, calling_hours: Some(hours), ..progressive(list) });
    house.pass(100);
    assert_eq!(house.dialled().len(), 1);
    set(&mut house, 4 * 3_600_000);
    let call = house.dialled()[0];
    house.end(call, Party::Customer, EndCause::Busy);
    house.pass(60_000);
    assert_eq!(house.dialled().len(), 1, "five in the morning is not");
    set(&mut house, 0);
    house.pass(60_000);
    assert_eq!(house.dialled().len(), 2);
}
