//! Calls per second, kept where calls leave.
//!
//! The dialer spaces its orders to dial, but each waits for its journal entry, and after a disk has stalled many
//! become durable at one moment. A carrier that sells so many calls per second counts INVITEs on the wire, so orders
//! pass a second bucket here, made like the dialer's: orders that kept their distance pass at once, those that bunched
//! up wait for their turn. What follows for the same call queues behind its order to dial. A trunk's bucket is shared with
//! all shards, which take the calls from it that they begin by themselves.

use crate::doors::call_of_order;
use dialer_core::participant::CallAct;
use dialer_core::record::TrunkRow;
use dialer_core::{CallId, CallOrder, TrunkId};
use sansio::{CpsBucket, Duration, Instant, SharedPace};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// An order on its way to a shard.
#[derive(Debug)]
pub(crate) struct Departure {
    pub(crate) shard: u16,
    pub(crate) order: CallOrder,
    pub(crate) creates: bool,
}

/// The buckets, and the orders that wait for them: never more than the gate let in.
#[derive(Debug)]
pub(crate) struct Departures {
    node: CpsBucket,
    trunks: BTreeMap<TrunkId, SharedPace>,
    waiting: VecDeque<Departure>,
    /// When something that waits may leave, or a little earlier.
    due: Option<Instant>,
}

/// Rounding must not make two looks at the same moment out of one wait.
const LOOK_AGAIN: Duration = Duration::from_micros(1);

impl Departures {
    /// * `cps_max` of the whole node
    pub(crate) fn new(cps_max: f64) -> Self {
        Departures {
            node: CpsBucket::new(cps_max, Instant::ZERO),
            trunks: BTreeMap::new(),
            waiting: VecDeque::new(),
            due: None,
        }
    }

    /// The bucket of a trunk, for those who share it.
    pub(crate) fn apply_trunk(&mut self, row: &TrunkRow) -> SharedPace {
        let cps_max = row.config.cps_max;
        let pace = self.trunks.entry(row.id).or_insert_with(|| SharedPace::new(cps_max));
        pace.set(cps_max);
        pace.clone()
    }

    pub(crate) fn remove_trunk(&mut self, trunk: TrunkId) {
        self.trunks.remove(&trunk);
    }

    /// Gives the order back if it may leave now; keeps it otherwise.
    pub(crate) fn leave(&mut self, now: Instant, departure: Departure) -> Option<Departure> {
        let call = call_of_order(&departure.order);
        let behind = |waiting: &Departure| {
            call_of_order(&waiting.order) == call
                || trunk_of(&waiting.order).is_some_and(|trunk| Some(trunk) == trunk_of(&departure.order))
        };
        if !self.waiting.iter().any(behind) && self.may_leave(now, &departure.order) {
            return Some(departure);
        }
        self.waiting.push_back(departure);
        self.due = self.next_at(now);
        None
    }

    /// The next order that may leave now.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Departure> {
        let departure = self.take_first(now);
        self.due = self.next_at(now);
        departure
    }

    fn take_first(&mut self, now: Instant) -> Option<Departure> {
        let mut calls = BTreeSet::new();
        let mut trunks = BTreeSet::new();
        for index in 0..self.waiting.len() {
            let order = &self.waiting[index].order;
            let (call, trunk) = (call_of_order(order), trunk_of(order));
            let behind = calls.contains(&call) || trunk.is_some_and(|trunk| trunks.contains(&trunk));
            if !behind && may_leave(&mut self.node, &self.trunks, now, order) {
                return self.waiting.remove(index);
            }
            calls.insert(call);
            trunks.extend(trunk);
        }
        None
    }

    /// When to call [`Departures::pop`].
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.waiting.is_empty())
    }

    fn next_at(&self, now: Instant) -> Option<Instant> {
        let of = |trunk: TrunkId| {
            let own = self.trunks.get(&trunk).map_or(now, |bucket| bucket.next_at(now));
            own.max(self.node.next_at(now)).max(now + LOOK_AGAIN)
        };
        let trunks: BTreeSet<TrunkId> = self.waiting.iter().filter_map(|w| trunk_of(&w.order)).collect();
        trunks.into_iter().map(of).min()
    }

    /// The call is over: nothing of it leaves any more.
    pub(crate) fn forget(&mut self, call: CallId) {
        self.waiting.retain(|waiting| call_of_order(&waiting.order) != call);
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    fn may_leave(&mut self, now: Instant, order: &CallOrder) -> bool {
        may_leave(&mut self.node, &self.trunks, now, order)
    }
}

/// Takes from both buckets if the order dials and both have something left.
fn may_leave(
    node: &mut CpsBucket,
    trunks: &BTreeMap<TrunkId, SharedPace>,
    now: Instant,
    order: &CallOrder,
) -> bool {
    let Some(trunk) = trunk_of(order) else { return true };
    let Some(own) = trunks.get(&trunk) else { return true };
    // Nobody else takes from the node's bucket.
    node.allowance(now) > 0 && own.take(now) && node.take(now)
}

fn trunk_of(order: &CallOrder) -> Option<TrunkId> {
    match order {
        CallOrder::DialCustomer { trunk, .. } => Some(*trunk),
        CallOrder::RingAgent { way, .. }
        | CallOrder::Act { act: CallAct::Join { way, .. } | CallAct::Transfer { way, .. }, .. } => {
            way.trunk()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialer_core::config::TrunkConfig;
    use dialer_core::outcome::{EndCause, Party};
    use sansio::WallTime;

    fn trunk(n: u128, cps_max: f64) -> TrunkRow {
        let config = TrunkConfig { cps_max, ..TrunkConfig::default() };
        TrunkRow { id: TrunkId::from_bits(n), config, version: 1, created_at: WallTime::default() }
    }

    fn dial(call: u128, trunk: u128) -> Departure {
        let order = CallOrder::DialCustomer {
            call: CallId::from_bits(call),
            campaign: None,
            trunk: TrunkId::from_bits(trunk),
            others: Vec::new(),
            to: "+1".into(),
            caller_id: None,
            ring_timeout_ms: 1,
            early_media: false,
            tone_plan: Default::default(),
            amd: false,
            await_turn: false,
            call_max_ms: 1,
            not_after: None,
        };
        Departure { shard: 0, order, creates: true }
    }

    fn number(departure: &Departure) -> u128 {
        call_of_order(&departure.order).to_bits()
    }

    #[test]
    fn what_bunched_up_leaves_one_after_the_other_and_no_second_sees_too_many() {
        let mut departures = Departures::new(100.0);
        departures.apply_trunk(&trunk(1, 5.0));
        departures.apply_trunk(&trunk(2, 50.0));
        let mut left: Vec<(u64, u128)> = Vec::new();
        for call in 0..20 {
            if let Some(departure) = departures.leave(Instant::ZERO, dial(call, 1)) {
                left.push((0, number(&departure)));
            }
        }
        assert_eq!((left.len(), departures.len()), (1, 19));
        // Another trunk's call passes those that wait.
        assert!(departures.leave(Instant::ZERO, dial(99, 2)).is_some());
        let mut now = Instant::ZERO;
        while let Some(at) = departures.due() {
            now = at;
            while let Some(departure) = departures.pop(now) {
                left.push((now.millis_since(Instant::ZERO), number(&departure)));
            }
        }
        assert_eq!(left.iter().map(|(_, call)| *call).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
        for (from, _) in &left {
            let within = left.iter().filter(|(at, _)| (*from..from + 1000).contains(at)).count();
            assert!(within <= 5, "{within} in the second from {from} ms: {left:?}");
        }
        assert!(now <= Instant::from_millis(4_100), "{left:?}");
    }

    #[test]
    fn the_node_has_a_limit_too_and_a_call_that_is_over_does_not_leave() {
        let mut departures = Departures::new(1.0);
        for id in [1, 2] {
            departures.apply_trunk(&trunk(id, 10.0));
        }
        assert!(departures.leave(Instant::ZERO, dial(1, 1)).is_some());
        assert!(departures.leave(Instant::ZERO, dial(2, 2)).is_none());
        assert!(departures.leave(Instant::ZERO, dial(3, 2)).is_none());
        departures.forget(CallId::from_bits(2));
        let soon = Instant::from_millis(999);
        assert!(departures.pop(soon).is_none());
        assert_eq!(departures.pop(Instant::from_millis(1001)).as_ref().map(number), Some(3));
        assert_eq!(departures.due(), None);
    }

    #[test]
    fn what_follows_for_a_call_waits_behind_its_order_to_dial() {
        let mut departures = Departures::new(1.0);
        departures.apply_trunk(&trunk(1, 1.0));
        assert!(departures.leave(Instant::ZERO, dial(1, 1)).is_some());
        assert!(departures.leave(Instant::ZERO, dial(2, 1)).is_none());
        let call = CallId::from_bits(2);
        let order = CallOrder::Hangup { call, cause: EndCause::Normal, by: Party::Api };
        assert!(departures.leave(Instant::ZERO, Departure { shard: 0, order, creates: false }).is_none());
        let later = Instant::from_millis(1001);
        let first = departures.pop(later).unwrap();
        assert!(matches!(first.order, CallOrder::DialCustomer { .. }));
        assert!(matches!(departures.pop(later).unwrap().order, CallOrder::Hangup { .. }));
    }

    /// What a shard has let in meanwhile counts.
    #[test]
    fn calls_that_shards_begin_are_taken_from_the_same_bucket() {
        let mut departures = Departures::new(100.0);
        let pace = departures.apply_trunk(&trunk(1, 2.0));
        assert!(pace.take(Instant::ZERO), "a call that passes through");
        assert!(departures.leave(Instant::ZERO, dial(1, 1)).is_none());
        assert_eq!(departures.due(), Some(Instant::from_millis(500)));
        let half = Instant::from_millis(500);
        assert!(departures.pop(half).is_some());
        assert!(!pace.allows(Instant::from_millis(999)) && pace.take(Instant::from_millis(1000)));
    }
}
