//! The network between the daemon and everyone else.

use sansio::{Duration, Instant, Rng};

/// What the network does to datagrams.
#[derive(Clone, Debug, Default)]
pub(crate) struct NetPlan {
    /// Shortest way, milliseconds.
    pub(crate) delay_ms: u64,
    /// Added to it, uniformly from nothing to this: what reorders.
    pub(crate) jitter_ms: u64,
    /// Share that is lost, 0..=1.
    pub(crate) loss: f64,
    /// Share that comes twice.
    pub(crate) duplicate: f64,
    /// Times in which nothing passes to or from one peer (all of them, if `None`).
    pub(crate) cuts: Vec<(Option<usize>, Instant, Instant)>,
}

/// The network.
#[derive(Debug)]
pub(crate) struct Net {
    plan: NetPlan,
    rng: Rng,
    healed: bool,
}

impl Net {
    pub(crate) fn new(plan: NetPlan, rng: Rng) -> Self {
        Net { plan, rng, healed: false }
    }

    /// From now on everything arrives, once.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
    }

    /// When the copies of a datagram arrive; none, if it is lost.
    pub(crate) fn carry(&mut self, now: Instant, peer: usize) -> [Option<Instant>; 2] {
        if self.healed {
            return [Some(self.arrival(now)), None];
        }
        if self.is_cut(peer, now) || self.rng.chance(self.plan.loss) {
            return [None, None];
        }
        let first = self.arrival(now);
        let second = self.rng.chance(self.plan.duplicate).then(|| self.arrival(now));
        [Some(first), second]
    }

    /// When a piece of a connection's bytes arrives: what is lost comes again, what is cut off comes behind the cut.
    pub(crate) fn flow(&mut self, now: Instant, peer: usize) -> Instant {
        let at = self.arrival(now);
        if self.healed {
            return at;
        }
        let again = if self.rng.chance(self.plan.loss) { 200 + self.rng.below(1_000) } else { 0 };
        let at = at + Duration::from_millis(again);
        let of_peer = |whose: &Option<usize>| whose.is_none_or(|whose| whose == peer);
        let cuts =
            self.plan.cuts.iter().filter(|(whose, from, to)| of_peer(whose) && *from <= at && at < *to);
        cuts.map(|(_, _, to)| *to + Duration::from_millis(200)).max().unwrap_or(at)
    }

    fn arrival(&mut self, now: Instant) -> Instant {
        let micros = self.plan.delay_ms * 1000 + self.rng.below(self.plan.jitter_ms * 1000 + 1);
        now + Duration::from_micros(micros)
    }

    fn is_cut(&self, peer: usize, now: Instant) -> bool {
        self.plan
            .cuts
            .iter()
            .any(|(whose, from, to)| whose.is_none_or(|whose| whose == peer) && *from <= now && now < *to)
    }

    /// When the way to anybody is cut.
    pub(crate) fn cuts(&self) -> impl Iterator<Item = (Instant, Instant)> {
        self.plan.cuts.iter().map(|(_, from, to)| (*from, *to))
    }

    /// Whether the way to this peer was cut at any time between the two.
    pub(crate) fn was_cut(&self, peer: usize, since: Instant, now: Instant) -> bool {
        self.plan
            .cuts
            .iter()
            .any(|(whose, from, to)| whose.is_none_or(|whose| whose == peer) && *from <= now && since < *to)
    }
}
