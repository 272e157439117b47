use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const WALL: WallTime = WallTime::from_unix_millis(1_790_820_184_000);

fn limits() -> WebhookLimits {
    WebhookLimits {
        schedule_ms: vec![0, 100, 1_000],
        in_flight_max: 4,
        window: 50,
        breaker_failures: 3,
        breaker_ms: (500, 2_000),
        ..WebhookLimits::default()
    }
}

fn queue() -> Queue<u64> {
    Queue::new(limits(), 0, vec![], 0, WALL)
}

fn fail(queue: &mut Queue<u64>, lane: &Arc<str>, now_ms: u64) -> Verdict {
    queue.failed(lane, (now_ms, WALL), 0.5, None, (Some(500), "status 500".into()))
}

fn id() -> dialer_core::WebhookId {
    dialer_core::WebhookId::from_bits(1)
}

#[test]
fn a_lane_waits_for_its_head_and_others_do_not() {
    let mut queue = queue();
    queue.take(1, Some(("a", "t", 1)));
    queue.take(2, Some(("a", "t", 2)));
    queue.take(3, Some(("b", "t", 3)));
    let first = queue.next(0).unwrap();
    assert_eq!((first.cursor, first.number), (1, 1));
    let other = queue.next(0).unwrap();
    assert_eq!(other.cursor, 3);
    assert!(queue.next(0).is_none());
    assert_eq!(fail(&mut queue, &first.lane, 10), Verdict::Retry);
    queue.delivered(&other.lane);
    assert!(queue.next(109).is_none());
    assert_eq!(queue.wake_ms(), Some(110));
    let again = queue.next(110).unwrap();
    assert_eq!((again.cursor, again.number, again.event), (1, 2, None));
    queue.delivered(&again.lane);
    assert_eq!(queue.next(110).unwrap().cursor, 2);
}

#[test]
fn what_failed_is_written_down_with_its_lane_and_the_position_moves_on() {
    let mut queue = queue();
    queue.take(1, Some(("a", "t", 1)));
    queue.take(2, Some(("b", "t", 2)));
    let first = queue.next(0).unwrap();
    fail(&mut queue, &first.lane, 0);
    queue.take(3, Some(("a", "t", 3)));
    let told = queue.progress(id()).unwrap();
    // The second was not tried yet.
    assert_eq!(told.position, 1);
    assert_eq!(
        told.put.iter().map(|row| (row.event_cursor, row.attempts)).collect::<Vec<_>>(),
        [(1, 1), (3, 0)]
    );
    let second = queue.next(0).unwrap();
    queue.delivered(&second.lane);
    assert_eq!(queue.progress(id()).unwrap().position, 3);
    assert!(queue.progress(id()).is_none());

    // After a restart the lane goes on where it was.
    let mut queue: Queue<u64> = Queue::new(limits(), 3, told.put, 1_000, WALL);
    queue.take(3, Some(("a", "t", 3)));
    assert_eq!(queue.len(), 2);
    assert!(queue.next(1_099).is_none());
    let again = queue.next(1_100).unwrap();
    assert_eq!((again.cursor, again.number), (1, 2));
    queue.delivered(&again.lane);
    assert_eq!(queue.next(1_100).unwrap().cursor, 3);
    assert_eq!(queue.progress(id()).unwrap().done, [1]);
}

#[test]
fn after_the_last_try_it_is_a_dead_letter_and_the_lane_goes_on() {
    let mut queue = queue();
    queue.take(1, Some(("a", "t", 1)));
    queue.take(2, Some(("a", "t", 2)));
    for (at, verdict) in [(0, Verdict::Retry), (100, Verdict::Retry), (1_100, Verdict::Dead)] {
        let one = queue.next(at).unwrap();
        assert_eq!(one.cursor, 1);
        assert_eq!(fail(&mut queue, &one.lane, at), verdict);
    }
    let told = queue.progress(id()).unwrap();
    assert!(told.put.iter().any(|row| row.event_cursor == 1 && row.dead && row.attempts == 3));
    // Three failures opened the breaker: the next is the probe.
    assert!(queue.next(1_599).is_none());
    assert_eq!(queue.next(1_600).unwrap().cursor, 2);
}

#[test]
fn the_breaker_lets_one_probe_through_and_waits_longer_each_time() {
    let mut queue = queue();
    for cursor in 1..=20 {
        queue.take(cursor, Some((&format!("lane{cursor}"), "t", cursor)));
    }
    let tries: Vec<_> = std::iter::from_fn(|| queue.next(0)).collect();
    assert_eq!(tries.len(), 4);
    for one in &tries {
        fail(&mut queue, &one.lane, 0);
    }
    assert_eq!(queue.breaker(), Breaker::Open { until_ms: 500, wait_ms: 500 });
    assert!(queue.next(499).is_none());
    let probe = queue.next(500).unwrap();
    assert!(queue.next(500).is_none(), "one probe only");
    fail(&mut queue, &probe.lane, 600);
    assert_eq!(queue.breaker(), Breaker::Open { until_ms: 1_600, wait_ms: 1_000 });
    let probe = queue.next(1_600).unwrap();
    queue.delivered(&probe.lane);
    assert_eq!(queue.breaker(), Breaker::Closed);
    assert_eq!(std::iter::from_fn(|| queue.next(1_600)).count(), 4);
}

#[test]
fn a_receiver_may_ask_for_a_longer_wait() {
    let mut queue = queue();
    queue.take(1, Some(("a", "t", 1)));
    let one = queue.next(0).unwrap();
    queue.failed(&one.lane, (0, WALL), 0.5, Some(7_000), (Some(429), "status 429".into()));
    assert_eq!(queue.wake_ms(), Some(7_000));
}

#[test]
fn no_more_is_taken_in_than_there_is_room_for() {
    let mut queue = queue();
    for cursor in 1..=50 {
        queue.take(cursor, Some(("a", "t", cursor)));
    }
    assert_eq!(queue.room(), 0);
    let one = queue.next(0).unwrap();
    queue.delivered(&one.lane);
    assert_eq!(queue.room(), 1);
    // A page is read when half of it is told.
    while queue.room() < 25 {
        assert!(!queue.wants_more());
        let one = queue.next(0).unwrap();
        queue.delivered(&one.lane);
    }
    assert!(queue.wants_more());
}

proptest! {
    /// Whatever fails and whenever it is restarted: each event is delivered or dead, at least once, each lane in order.
    #[test]
    fn nothing_is_lost_and_lanes_keep_their_order(
        lanes in prop::collection::vec(0_u8..6, 1..80),
        fates in prop::collection::vec((any::<bool>(), 0_u8..20), 1..60),
    ) {
        let lane_of = |cursor: u64| format!("lane{}", lanes[cursor as usize - 1]);
        let last = lanes.len() as u64;
        let mut stored: BTreeMap<u64, WebhookDelivery> = BTreeMap::new();
        let mut position = 0;
        let mut queue = queue();
        let mut settled: Vec<u64> = vec![];
        // A receiver that is cut off for ever is never told; every round of fates ends with a delivery.
        let delivered = (true, 1);
        let (mut now, mut fate) = (0, fates.iter().chain(std::iter::once(&delivered)).cycle());
        for _ in 0..20_000 {
            while queue.wants_more() && queue.taken() < last {
                let cursor = queue.taken() + 1;
                queue.take(cursor, Some((&lane_of(cursor), "t", cursor)));
            }
            if let Some(told) = queue.progress(id()) {
                prop_assert!(told.position >= position);
                position = told.position;
                for row in told.put {
                    stored.insert(row.event_cursor, row);
                }
                for cursor in told.done {
                    stored.remove(&cursor);
                }
            }
            let Some(one) = queue.next(now) else {
                match queue.wake_ms() {
                    Some(at) => now = now.max(at),
                    None => break,
                }
                continue;
            };
            let (good, luck) = fate.next().unwrap();
            if *luck == 0 {
                // Cut off: what is written down is all that is known.
                let rows = stored.values().cloned().collect();
                queue = Queue::new(limits(), position, rows, now, WALL);
            } else if *good {
                settled.push(one.cursor);
                queue.delivered(&one.lane);
            } else if fail(&mut queue, &one.lane, now) == Verdict::Dead {
                settled.push(one.cursor);
            }
        }
        prop_assert_eq!(queue.len(), 0);
        for cursor in 1..=last {
            prop_assert!(settled.contains(&cursor), "{} was never told", cursor);
        }
        // The first telling of each event is in the order of its lane; only restarts repeat some.
        let mut seen = std::collections::BTreeSet::new();
        let mut highest: BTreeMap<String, u64> = BTreeMap::new();
        for cursor in settled.into_iter().filter(|cursor| seen.insert(*cursor)) {
            let before = highest.insert(lane_of(cursor), cursor);
            prop_assert!(before.is_none_or(|before| before < cursor), "{:?} before {}", before, cursor);
        }
    }
}
