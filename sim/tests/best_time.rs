//! Choosing the hour pays where hours differ, and is told to pay nowhere else.

use sim::business::best_time::{BestTimeScene, play};

#[test]
fn choosing_the_hour_pays_where_callees_have_hours() {
    let result = play(BestTimeScene { days: 4, ..BestTimeScene::new(1, true) });
    let (lift, low, _) = result.lift.expect("both arms were answered");
    assert!(low > 0.0, "the interval excludes zero: {result:?}");
    assert!(lift > 0.15, "{result:?}");
}

#[test]
fn without_structure_there_is_no_lift_to_be_found() {
    let result = play(BestTimeScene { days: 4, ..BestTimeScene::new(1, false) });
    let (_, low, high) = result.lift.expect("both arms were answered");
    assert!(low < 0.0 && high > 0.0, "the interval holds zero: {result:?}");
}

#[test]
fn the_same_seed_plays_the_same() {
    let scene = BestTimeScene { days: 1, ..BestTimeScene::new(5, true) };
    assert_eq!(play(scene), play(scene));
}
