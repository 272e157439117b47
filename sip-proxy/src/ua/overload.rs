//! Overload control between neighbours (RFC 7339), by loss, both ways.
//!
//! ```text
//!   we send            INVITE  Via: …;oc;oc-algo="loss"          to a trunk that may tell us to send less
//!   it answers         100     Via: …;oc=40;oc-algo="loss";oc-validity=1000;oc-seq=1282321615.782
//!   for a second       two of five new calls are not sent to it: 503 here, or the trunk's next target
//! ```
//! What is asked of one shard all shards of the node heed, and what we ask for is the mean of what our shards want
//! (`transport/locate/loads.rs`). What a call consists of once it has begun is always sent. A call that is not begun takes its ACK and BYE with it, so
//! that the share of INVITEs left out is the share of all requests that is saved (RFC 7339 §7.2 leaves the mix to us).

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use sansio::{Instant, Outbox};

use super::trunk::TrunkState;
use super::{Event, Output, UserAgent};
use crate::transaction::{ClientKey, ClientUser, Why};
use crate::wire::{Feedback, Message};

/// Targets that have asked for less at once. Beyond: the one whose word ends first is forgotten.
const TARGETS_MAX: usize = 4096;

/// A sequence is remembered for so long after the value it came with has lapsed: longer than any late copy of a
/// response is on its way. A server that counts anew then is heard again.
const SEQUENCE_MEMORY: Duration = Duration::from_secs(60);

/// Our own values hold so long; a client that hears nothing more goes back to normal.
const VALIDITY: Duration = Duration::from_secs(1);

/// What others have asked of us, by their addresses.
#[derive(Debug, Default)]
pub(super) struct Throttles {
    by_target: BTreeMap<SocketAddr, Throttle>,
}

#[derive(Debug, Clone, Copy)]
struct Throttle {
    trunk: u64,
    loss_percent: u8,
    sequence: Option<u64>,
    /// Holds until then.
    until: Instant,
}

impl Throttles {
    /// Takes a value unless a later one is known. True when it was taken.
    fn hear(&mut self, now: Instant, trunk: u64, target: SocketAddr, said: &Feedback) -> bool {
        if let Some(known) = self.by_target.get(&target)
            && now < known.until + SEQUENCE_MEMORY
            && let (Some(known), Some(new)) = (known.sequence, said.sequence)
            && new <= known
        {
            // RFC 7339 §5.4: it came late, or is a copy.
            return false;
        }
        if !self.by_target.contains_key(&target) {
            // Most peers never have anything to ask: nothing is kept of them.
            if said.loss_percent == 0 || said.validity.is_zero() {
                return true;
            }
            self.make_room(now);
        }
        let loss_percent = if said.validity.is_zero() { 0 } else { said.loss_percent };
        let until = now + said.validity;
        self.by_target.insert(target, Throttle { trunk, loss_percent, sequence: said.sequence, until });
        true
    }

    fn make_room(&mut self, now: Instant) {
        if self.by_target.len() < TARGETS_MAX {
            return;
        }
        self.by_target.retain(|_, throttle| now < throttle.until + SEQUENCE_MEMORY);
        if self.by_target.len() >= TARGETS_MAX
            && let Some(first) = self.by_target.iter().min_by_key(|(_, one)| one.until).map(|(key, _)| *key)
        {
            self.by_target.remove(&first);
        }
    }

    /// Share of new calls that a target does not want now, percent.
    fn loss_percent(&self, now: Instant, target: SocketAddr) -> u8 {
        self.by_target.get(&target).filter(|one| now < one.until).map_or(0, |one| one.loss_percent)
    }

    /// The largest share that one of a trunk's targets does not want now, and when the first such word lapses.
    fn of_trunk(&self, now: Instant, trunk: u64) -> (u8, Option<Instant>) {
        let holds = |one: &&Throttle| one.trunk == trunk && now < one.until && one.loss_percent > 0;
        let asked = || self.by_target.values().filter(holds);
        (asked().map(|one| one.loss_percent).max().unwrap_or(0), asked().map(|one| one.until).min())
    }
}

/// Whether requests to a trunk announce overload control.
pub(super) fn announces(trunks: &BTreeMap<u64, TrunkState>, trunk: Option<u64>) -> bool {
    trunk.and_then(|trunk| trunks.get(&trunk)).is_some_and(|state| state.trunk.overload_control)
}

impl UserAgent {
    /// What the targets of a trunk have asked for: the share of new calls that is not to be sent, 0 to 100 percent.
    #[must_use]
    pub fn trunk_loss_percent(&self, now: Instant, trunk: u64) -> u8 {
        self.throttles.of_trunk(now, trunk).0
    }

    /// Notes what a response says of its sender's load, where we have announced that we heed it.
    pub(super) fn hear_overload(
        &mut self,
        now: Instant,
        client: ClientKey,
        user: ClientUser,
        response: &Message,
        out: &mut Outbox<Output>,
    ) {
        let Some(said) = response.top_via().overload_feedback() else { return };
        let trunk = match user {
            ClientUser::TrunkOptions(trunk) | ClientUser::TrunkRegister(trunk) => Some(trunk),
            ClientUser::Invite(leg)
            | ClientUser::Reinvite(leg)
            | ClientUser::Update(leg)
            | ClientUser::Refer(leg)
            | ClientUser::Notify(leg)
            | ClientUser::Bye(leg) => self.legs.get(leg).and_then(|leg| leg.trunk),
            ClientUser::Nobody | ClientUser::Relayed(_) | ClientUser::PhoneOptions(_) => None,
        };
        let Some(trunk) = trunk.filter(|trunk| announces(&self.trunks, Some(*trunk))) else { return };
        let Some(target) = self.layer.client(client).map(|client| client.to) else { return };
        let before = self.throttles.loss_percent(now, target);
        if !self.throttles.hear(now, trunk, target, &said) {
            return;
        }
        self.config.failures.loads().hear(now, target, &said, SEQUENCE_MEMORY);
        self.layer.counters.overload_heard += u64::from(self.throttles.loss_percent(now, target) != before);
        self.tell_overload(now, trunk, out);
    }

    /// A value may have lapsed.
    pub(super) fn overload_due(&mut self, now: Instant, trunk: u64, out: &mut Outbox<Output>) {
        if let Some(state) = self.trunks.get_mut(&trunk) {
            state.overload_timer = None;
            self.tell_overload(now, trunk, out);
        }
    }

    /// Tells those above what a trunk has asked for, when that has changed, and looks again when it lapses.
    fn tell_overload(&mut self, now: Instant, trunk: u64, out: &mut Outbox<Output>) {
        let (loss_percent, until) = self.throttles.of_trunk(now, trunk);
        let Some(state) = self.trunks.get_mut(&trunk) else { return };
        self.layer.disarm(&mut state.overload_timer);
        if let Some(until) = until {
            state.overload_timer = Some(self.layer.deadlines.arm(until, Why::Overload(trunk)));
        }
        if core::mem::replace(&mut state.overload_told, loss_percent) != loss_percent {
            out.push(Output::Event(Event::TrunkOverload { trunk, loss_percent }));
        }
    }

    /// Draws the lot for a new call to a target: true when it is not to be sent (RFC 7339 §7.2).
    pub(super) fn must_withhold(&mut self, now: Instant, target: SocketAddr) -> bool {
        // What any shard of the node has heard counts.
        let loss_percent = self.config.failures.loads().loss_percent(now, target);
        if loss_percent == 0 || self.layer.rng.below(100) >= u64::from(loss_percent) {
            return false;
        }
        self.layer.counters.withheld += 1;
        true
    }

    /// What the sender of a request is told of our load, if it has announced that it heeds it.
    pub(super) fn overload_for(&self, now: Instant, request: &Message) -> Option<Feedback> {
        if !request.top_via().announces_overload_control() {
            return None;
        }
        let own = self.overload(now).max(self.load.wanted_loss(now));
        let share = self.config.failures.loads().own_share(now, self.layer.shard, own);
        let loss_percent = (share * 100.0).ceil() as u8;
        // RFC 7339 §5.2: without overload a validity of 0 takes back what was said before.
        let validity = if loss_percent == 0 { Duration::ZERO } else { VALIDITY };
        let wall_ms = u64::try_from(self.clock.wall_at(now).unix_millis()).unwrap_or(0);
        Some(Feedback { loss_percent, validity, sequence: Some(wall_ms.saturating_mul(100)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn said(loss_percent: u8, validity_ms: u64, sequence: u64) -> Feedback {
        let validity = Duration::from_millis(validity_ms);
        Feedback { loss_percent, validity, sequence: Some(sequence) }
    }

    fn target() -> SocketAddr {
        "192.0.2.9:5060".parse().expect("an address")
    }

    #[test]
    fn a_value_holds_for_its_validity_and_not_a_millisecond_longer() {
        let mut throttles = Throttles::default();
        assert!(throttles.hear(at(0), 1, target(), &said(40, 500, 10)));
        assert_eq!(throttles.loss_percent(at(499), target()), 40);
        assert_eq!(throttles.of_trunk(at(499), 1), (40, Some(at(500))));
        assert_eq!(throttles.loss_percent(at(500), target()), 0);
        for (ms, trunk) in [(500, 1), (499, 2)] {
            assert_eq!(throttles.of_trunk(at(ms), trunk), (0, None));
        }
        let other = "192.0.2.9:5061".parse().expect("an address");
        assert_eq!(throttles.loss_percent(at(499), other), 0);
    }

    #[test]
    fn late_and_repeated_values_are_passed_over() {
        let mut throttles = Throttles::default();
        assert!(throttles.hear(at(0), 1, target(), &said(40, 500, 10)));
        assert!(!throttles.hear(at(400), 1, target(), &said(90, 500, 9)), "earlier");
        assert!(!throttles.hear(at(400), 1, target(), &said(40, 500, 10)), "a copy does not hold for longer");
        assert_eq!(
            (throttles.loss_percent(at(499), target()), throttles.loss_percent(at(500), target())),
            (40, 0)
        );
        assert!(throttles.hear(at(600), 1, target(), &said(50, 500, 11)));
        // Zero validity ends it at once.
        assert!(throttles.hear(at(700), 1, target(), &said(50, 0, 12)));
        assert_eq!(throttles.loss_percent(at(700), target()), 0);
        assert!(!throttles.hear(at(701), 1, target(), &said(50, 500, 11)));
        // Someone who counts anew is heard when nothing old can be on its way any more.
        assert!(!throttles.hear(at(60_699), 1, target(), &said(5, 500, 1)));
        assert!(throttles.hear(at(60_700), 1, target(), &said(5, 500, 1)));
        // … and so is one that does not count.
        let uncounted = Feedback { sequence: None, ..said(6, 500, 0) };
        assert!(throttles.hear(at(60_701), 1, target(), &uncounted));
        assert_eq!(throttles.loss_percent(at(60_701), target()), 6);
    }

    #[test]
    fn who_asks_for_nothing_costs_nothing_and_the_table_has_an_end() {
        let mut throttles = Throttles::default();
        throttles.hear(at(0), 1, target(), &said(0, 500, 1));
        throttles.hear(at(0), 1, target(), &said(50, 0, 2));
        assert!(throttles.by_target.is_empty());
        for port in 1..=5000_u16 {
            let target = SocketAddr::new(target().ip(), port);
            throttles.hear(at(u64::from(port)), 1, target, &said(50, 500, 1));
        }
        assert_eq!(throttles.by_target.len(), TARGETS_MAX);
        assert_eq!(throttles.loss_percent(at(5000), SocketAddr::new(target().ip(), 5000)), 50);
    }
}
