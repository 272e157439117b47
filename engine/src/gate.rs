//! The journal gate: nothing that must survive a crash is acted upon or told before it is durable.
//!
//! ```text
//!   dialer's effects of one input
//!     Journal, Event ─────► one Journal{seq} ─────► store        (all records of one input in one transaction)
//!     Event, Reply, orders that call, reads of leads ──► first in, first out ──► world, shards     when seq is durable
//!                                            │  dials: one after the other, as the trunk's calls per second allow
//!     other orders, views ─────────────────────────────────────► at once
//! ```
//!
//! An order for a call whose creating order still waits here queues behind it. A hang-up of such a call is settled
//! here: the shard never hears of the call, and the dialer is told that it ended.

use crate::departures::{Departure, Departures};
use crate::doors::{ControlEffect, ShardCommand, call_of_order};
use dialer_core::record::{Record, TrunkRow};
use dialer_core::{CallFact, CallId, CallOrder, Effect, Input, TrunkId};
use sansio::{Instant, Outbox, SharedPace};
use std::collections::{BTreeMap, VecDeque};

/// What waits, and what is known of each call's way to its shard.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The last journal entry given out.
    issued: u64,
    /// The last one known to be durable.
    durable: u64,
    waiting: VecDeque<Waiting>,
    /// Beyond this many waiting effects, events are left to the journal's readers and no longer published.
    waiting_max: usize,
    /// Durable orders that keep their distance on the trunk.
    departures: Departures,
    calls: BTreeMap<CallId, CallPlace>,
    events_unpublished: u64,
}

#[derive(Debug)]
struct Waiting {
    /// Leaves when this entry is durable.
    after: u64,
    what: Held,
}

#[derive(Debug)]
enum Held {
    Effect(ControlEffect),
    Order(Departure),
}

#[derive(Clone, Copy, Debug)]
struct CallPlace {
    shard: u16,
    /// The shard has been given the creating order.
    at_shard: bool,
    /// Orders of this call that wait in the gate, for the journal or for their turn to leave.
    waiting: u32,
}

impl Gate {
    pub(crate) fn new(waiting_max: usize, cps_max: f64) -> Self {
        Gate {
            issued: 0,
            durable: 0,
            waiting: VecDeque::new(),
            waiting_max,
            departures: Departures::new(cps_max),
            calls: BTreeMap::new(),
            events_unpublished: 0,
        }
    }

    /// Gives the records their number and sends them to the store.
    pub(crate) fn journal(&mut self, records: Vec<Record>, out: &mut Outbox<ControlEffect>) {
        if !records.is_empty() {
            self.issued += 1;
            out.push(ControlEffect::Journal { seq: self.issued, records });
        }
    }

    /// Lets the effect out once everything journalled so far is durable.
    pub(crate) fn hold(&mut self, effect: ControlEffect, out: &mut Outbox<ControlEffect>) {
        if self.is_open() {
            out.push(effect);
        } else if self.waiting.len() >= self.waiting_max && matches!(effect, ControlEffect::Publish(_)) {
            self.events_unpublished += 1;
        } else {
            self.waiting.push_back(Waiting { after: self.issued, what: Held::Effect(effect) });
        }
    }

    /// Sends an order on its way. A hang-up that is settled here comes back as a fact in `settled`.
    ///
    /// * `shard` where the call will live, when this is its first order
    pub(crate) fn order(
        &mut self,
        now: Instant,
        shard: u16,
        order: CallOrder,
        out: &mut Outbox<ControlEffect>,
        settled: &mut VecDeque<Input>,
    ) {
        let call = call_of_order(&order);
        let place = self.calls.get(&call).copied();
        if let CallOrder::Hangup { cause, by, .. } = order {
            let Some(place) = place else { return };
            self.forget_waiting(call, place);
            if place.at_shard {
                let command = ShardCommand::Call { order, creates: false };
                out.push(ControlEffect::ToShard { shard: place.shard, command });
            } else {
                self.calls.remove(&call);
                let ended = CallFact::Ended { call, by, cause, sip_code: None, q850: None };
                settled.push_back(Input::Call(ended));
            }
            return;
        }
        let creates = place.is_none();
        // Only what makes a call may do so: an order that is late for its call must not raise it from the dead.
        let can_create = matches!(
            order,
            CallOrder::DialCustomer { .. } | CallOrder::RingAgent { .. } | CallOrder::UseSession { .. }
        );
        if creates && !can_create {
            return;
        }
        let mut place = place.unwrap_or(CallPlace { shard, at_shard: false, waiting: 0 });
        // A phone rings for what was told before: the agent's screen is there first.
        let told_first = matches!(
            order,
            CallOrder::DialCustomer { .. } | CallOrder::AnswerCustomer { .. } | CallOrder::RingAgent { .. }
        );
        let gated = creates || told_first || place.waiting > 0;
        let departure = Departure { shard: place.shard, order, creates };
        if gated && !self.is_open() {
            place.waiting += 1;
            self.calls.insert(call, place);
            self.waiting.push_back(Waiting { after: self.issued, what: Held::Order(departure) });
        } else {
            place.waiting += 1;
            self.calls.insert(call, place);
            self.leave(now, departure, out);
        }
    }

    /// A call came in: its shard has it already.
    pub(crate) fn adopt(&mut self, call: CallId, shard: u16) {
        self.calls.insert(call, CallPlace { shard, at_shard: true, waiting: 0 });
    }

    /// Sends a durable order to its shard, or lets it wait for its turn.
    fn leave(&mut self, now: Instant, departure: Departure, out: &mut Outbox<ControlEffect>) {
        if let Some(departure) = self.departures.leave(now, departure) {
            self.left(departure, out);
        }
    }

    fn left(&mut self, departure: Departure, out: &mut Outbox<ControlEffect>) {
        let Departure { shard, order, creates } = departure;
        if let Some(place) = self.calls.get_mut(&call_of_order(&order)) {
            place.waiting = place.waiting.saturating_sub(1);
            place.at_shard = true;
        }
        out.push(ControlEffect::ToShard { shard, command: ShardCommand::Call { order, creates } });
    }

    /// When orders that wait for their turn may leave.
    pub(crate) fn next_departure(&self) -> Option<Instant> {
        self.departures.due()
    }

    /// Lets out what may leave now.
    pub(crate) fn depart(&mut self, now: Instant, out: &mut Outbox<ControlEffect>) {
        while let Some(departure) = self.departures.pop(now) {
            self.left(departure, out);
        }
    }

    pub(crate) fn apply_trunk(&mut self, row: &TrunkRow) -> SharedPace {
        self.departures.apply_trunk(row)
    }

    pub(crate) fn remove_trunk(&mut self, trunk: TrunkId) {
        self.departures.remove_trunk(trunk);
    }

    /// The shard says that the call is over: what still waits for it is dropped.
    pub(crate) fn call_ended(&mut self, call: CallId) {
        if let Some(place) = self.calls.remove(&call) {
            self.forget_waiting(call, place);
        }
    }

    /// Everything up to and with `seq` is durable: lets out what waited for it.
    pub(crate) fn durable(&mut self, now: Instant, seq: u64, out: &mut Outbox<ControlEffect>) {
        self.durable = self.durable.max(seq.min(self.issued));
        while self.waiting.front().is_some_and(|front| front.after <= self.durable) {
            let Some(front) = self.waiting.pop_front() else { break };
            match front.what {
                Held::Effect(effect) => out.push(effect),
                Held::Order(departure) => self.leave(now, departure, out),
            }
        }
    }

    /// The calls that a shard was given, in order of their names.
    pub(crate) fn calls_of(&self, shard: u16) -> Vec<CallId> {
        let here = |place: &CallPlace| place.shard == shard && place.at_shard;
        self.calls.iter().filter(|(_, place)| here(place)).map(|(call, _)| *call).collect()
    }

    /// True when so much waits that no further work should be taken.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= self.waiting_max / 2
    }

    pub(crate) fn counters(&self) -> GateCounters {
        GateCounters {
            journals_issued: self.issued,
            journals_durable: self.durable,
            waiting: (self.waiting.len() + self.departures.len()) as u64,
            calls: self.calls.len() as u64,
            events_unpublished: self.events_unpublished,
        }
    }

    fn is_open(&self) -> bool {
        self.waiting.is_empty() && self.durable >= self.issued
    }

    fn forget_waiting(&mut self, call: CallId, place: CallPlace) {
        if place.waiting == 0 {
            return;
        }
        let others = |waiting: &Waiting| match &waiting.what {
            Held::Order(departure) => call_of_order(&departure.order) != call,
            Held::Effect(_) => true,
        };
        self.waiting.retain(others);
        self.departures.forget(call);
        if let Some(place) = self.calls.get_mut(&call) {
            place.waiting = 0;
        }
    }
}

/// Plain numbers of the gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GateCounters {
    /// Journal entries given to the store.
    pub journals_issued: u64,
    /// Of these durable.
    pub journals_durable: u64,
    /// Gauge: effects that wait for a journal entry, and orders that wait for their turn to leave.
    pub waiting: u64,
    /// Gauge: calls ordered and not ended.
    pub calls: u64,
    /// Events that were journalled but not published, because too much waited.
    pub events_unpublished: u64,
}

/// Takes the records out of the dialer's effects of one input: they become one transaction.
pub(crate) fn take_records(effects: &mut Outbox<Effect>) -> (Vec<Record>, Vec<Effect>) {
    let mut records = Vec::new();
    let mut others = Vec::with_capacity(effects.len());
    for effect in effects.drain() {
        match effect {
            Effect::Journal(mut more) => records.append(&mut more),
            Effect::Event(envelope) => {
                records.push(Record::Event(envelope.clone()));
                others.push(Effect::Event(envelope));
            }
            other => others.push(other),
        }
    }
    (records, others)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialer_core::outcome::{EndCause, Party};
    use dialer_core::{AgentId, CommandError, Reply, TrunkId};

    struct World {
        gate: Gate,
        out: Outbox<ControlEffect>,
        settled: VecDeque<Input>,
    }

    fn world() -> World {
        World { gate: Gate::new(8, 1000.0), out: Outbox::default(), settled: VecDeque::new() }
    }

    fn call(n: u128) -> CallId {
        CallId::from_bits(n)
    }

    fn dial(n: u128) -> CallOrder {
        CallOrder::DialCustomer {
            call: call(n),
            campaign: None,
            trunk: TrunkId::from_bits(1),
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
        }
    }

    fn hangup(n: u128) -> CallOrder {
        CallOrder::Hangup { call: call(n), cause: EndCause::Cancelled, by: Party::Api }
    }

    fn use_session(n: u128) -> CallOrder {
        CallOrder::UseSession { call: call(n), agent: AgentId::from_bits(1) }
    }

    fn ring(n: u128) -> CallOrder {
        CallOrder::RingAgent {
            call: call(n),
            agent: AgentId::from_bits(1),
            way: dialer_core::participant::Way::Phone {
                agent: AgentId::from_bits(1),
                auto_answer: dialer_core::config::AutoAnswer::None,
                display: String::new(),
            },
            ring_timeout_ms: 1,
        }
    }

    fn bridge(n: u128) -> CallOrder {
        CallOrder::Bridge { call: call(n), tone: true, record: None }
    }

    impl World {
        fn journal(&mut self) -> &mut Self {
            let record = Record::TrunkDeleted { trunk: TrunkId::from_bits(1) };
            self.gate.journal(vec![record], &mut self.out);
            self
        }
        fn order(&mut self, order: CallOrder) -> &mut Self {
            self.gate.order(Instant::ZERO, 0, order, &mut self.out, &mut self.settled);
            self
        }
        fn reply(&mut self, tag: u64) -> &mut Self {
            self.gate.hold(ControlEffect::Reply { tag, result: Ok(Reply::Done) }, &mut self.out);
            self
        }
        fn durable(&mut self, seq: u64) -> &mut Self {
            self.gate.durable(Instant::ZERO, seq, &mut self.out);
            self
        }
        /// What came out, in short.
        fn seen(&mut self) -> String {
            let name = |effect: ControlEffect| match effect {
                ControlEffect::Journal { seq, .. } => format!("J{seq}"),
                ControlEffect::Reply { tag, .. } => format!("R{tag}"),
                ControlEffect::ToShard { command: ShardCommand::Call { order, creates }, .. } => {
                    let sort = match order {
                        CallOrder::DialCustomer { .. } => "dial",
                        CallOrder::Hangup { .. } => "hangup",
                        CallOrder::UseSession { .. } => "use",
                        CallOrder::RingAgent { .. } => "ring",
                        CallOrder::Bridge { .. } => "bridge",
                        _ => "other",
                    };
                    format!("{sort}{}", if creates { "!" } else { "" })
                }
                other => format!("{other:?}"),
            };
            self.out.drain().map(name).collect::<Vec<_>>().join(" ")
        }
    }

    #[test]
    fn an_order_to_dial_waits_for_its_journal_entry() {
        let mut w = world();
        assert_eq!(w.journal().order(dial(1)).reply(7).seen(), "J1");
        assert_eq!(w.durable(1).seen(), "dial! R7");
        assert_eq!(w.order(bridge(1)).order(hangup(1)).seen(), "bridge hangup");
    }

    #[test]
    fn without_anything_to_wait_for_the_gate_is_open() {
        let mut w = world();
        assert_eq!(w.reply(1).order(dial(1)).seen(), "R1 dial!");
        assert_eq!(w.journal().durable(1).reply(2).seen(), "J1 R2");
    }

    #[test]
    fn what_waits_leaves_in_order_and_only_as_far_as_durable() {
        let mut w = world();
        w.journal().reply(1).journal().reply(2).order(dial(1)).journal().reply(3);
        assert_eq!(w.seen(), "J1 J2 J3");
        assert_eq!(w.durable(2).seen(), "R1 R2 dial!");
        assert_eq!(w.durable(1).seen(), "");
        assert_eq!(w.durable(99).seen(), "R3");
    }

    #[test]
    fn an_order_does_not_overtake_the_one_that_makes_its_call() {
        let mut w = world();
        assert_eq!(w.journal().order(dial(1)).order(use_session(1)).order(bridge(1)).seen(), "J1");
        assert_eq!(w.durable(1).seen(), "dial! use bridge");
        // Another call's orders are not held up by it.
        w.durable(1).order(dial(2));
        w.seen();
        assert_eq!(w.journal().order(dial(3)).order(bridge(2)).seen(), "J2 bridge");
    }

    #[test]
    fn a_phone_rings_when_its_offer_is_told_and_what_follows_stays_behind_it() {
        let mut w = world();
        w.order(dial(1));
        w.seen();
        assert_eq!(w.journal().reply(1).order(ring(1)).order(bridge(1)).seen(), "J1");
        assert_eq!(w.durable(1).seen(), "R1 ring bridge");
    }

    #[test]
    fn a_call_hung_up_in_the_gate_never_reaches_the_shard() {
        let mut w = world();
        assert_eq!(w.journal().order(dial(1)).order(use_session(1)).order(hangup(1)).seen(), "J1");
        let ended = CallFact::Ended {
            call: call(1),
            by: Party::Api,
            cause: EndCause::Cancelled,
            sip_code: None,
            q850: None,
        };
        assert_eq!(w.settled.pop_front(), Some(Input::Call(ended)));
        assert_eq!(w.durable(1).order(hangup(1)).seen(), "");
        assert!(w.settled.is_empty());
        assert_eq!(w.gate.counters().calls, 0);
    }

    #[test]
    fn a_call_at_the_shard_is_hung_up_there_and_its_waiting_dial_is_dropped() {
        let mut w = world();
        assert_eq!(
            w.order(use_session(1)).journal().order(dial(1)).order(hangup(1)).seen(),
            "use! J1 hangup"
        );
        assert_eq!(w.durable(1).seen(), "");
        w.gate.call_ended(call(1));
        assert_eq!(w.order(hangup(1)).order(bridge(1)).seen(), "");
    }

    #[test]
    fn a_call_that_ended_at_the_shard_takes_its_waiting_orders_along() {
        let mut w = world();
        w.order(use_session(1)).journal().order(dial(1));
        w.gate.call_ended(call(1));
        assert_eq!(w.seen(), "use! J1");
        assert_eq!(w.durable(1).seen(), "");
    }

    #[test]
    fn when_too_much_waits_events_are_left_to_the_journal() {
        let mut w = world();
        w.journal();
        for tag in 0..20 {
            w.reply(tag);
        }
        assert!(w.gate.is_full());
        let envelope = dialer_core::EventEnvelope {
            id: dialer_core::EventId::from_bits(1),
            cursor: 1,
            seq: None,
            occurred_at: sansio::WallTime::default(),
            call: None,
            campaign: None,
            lead: None,
            agent: None,
            tenant: None,
            client_state: None,
            post_call: false,
            event: dialer_core::Event::NodeDraining,
        };
        w.gate.hold(ControlEffect::Publish(Box::new(envelope)), &mut w.out);
        assert_eq!(w.gate.counters().events_unpublished, 1);
        w.seen();
        assert!(w.durable(1).seen().starts_with("R0 R1 R2"));
    }

    #[test]
    fn records_of_one_input_become_one_entry() {
        let mut effects = Outbox::default();
        let record = Record::TrunkDeleted { trunk: TrunkId::from_bits(1) };
        effects.push(Effect::Journal(vec![record.clone()]));
        effects.push(Effect::Reply { tag: 1, result: Err(CommandError::Draining) });
        effects.push(Effect::Journal(vec![record]));
        let (records, others) = take_records(&mut effects);
        assert_eq!((records.len(), others.len()), (2, 1));
    }
}
