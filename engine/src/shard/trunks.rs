//! The trunks a shard serves, and what they have left to carry.

use super::{CallShard, Why};
use crate::call::policy::Policy;
use crate::doors::{ShardEffect, ShardEvent};
use crate::translate::address::source;
use dialer_core::config::TrunkConfig;
use dialer_core::record::TrunkRow;
use dialer_core::{TrunkFact, TrunkId};
use sansio::{Duration, Instant, Key, Outbox, Rng, SharedPace, Slab, TimerKey};
use sip_proxy::Network;
use sip_proxy::ua::{Ended, EndedBy};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A trunk that asks for a longer rest is tried again after this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Trunks at once.
const TRUNKS_MAX: usize = 10_000;

/// A trunk as the shard serves it.
#[derive(Debug)]
pub(crate) struct Trunk {
    pub(crate) id: TrunkId,
    pub(crate) row: TrunkRow,
    /// Its policy for headers and callers.
    pub(crate) policy: Arc<Policy>,
    /// By which listener and to which address requests go; `None` when there is no way.
    pub(crate) address: Option<(u8, SocketAddr)>,
    /// Legs of ours on it now, both directions.
    pub(crate) channels_used: u32,
    /// Calls begun since it was made.
    pub(crate) begun: u64,
    /// Calls that may begin now, on all shards together, and the rest that it has asked for (Retry-After in a 503).
    pub(crate) pace: SharedPace,
    /// The rest has begun with this shard, which tells of its end.
    rest: Option<TimerKey>,
    /// Whose calls these are, among those who share the pace.
    shard: usize,
}

/// What a trunk carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrunkLoad {
    /// Calls begun since it was made, both directions.
    pub begun: u64,
    /// Legs alive that came in over it.
    pub incoming: u32,
    /// Legs alive that went out.
    pub outgoing: u32,
}

pub(crate) type TrunkKey = Key<Trunk>;

/// All trunks of a shard.
#[derive(Debug)]
pub(crate) struct Trunks {
    slab: Slab<Trunk>,
    by_id: BTreeMap<TrunkId, TrunkKey>,
    /// Buckets that are shared with other shards.
    paces: BTreeMap<TrunkId, SharedPace>,
    /// The shard takes the place of one that panicked.
    reborn: bool,
    shard: usize,
}

impl Trunk {
    /// A call may begin: limits on channels and on calls per second leave room.
    pub(crate) fn has_room(&self, now: Instant) -> bool {
        self.has_channel(now) && self.pace.allows(now)
    }

    /// The same for a call whose turn it is already.
    pub(crate) fn has_channel(&self, now: Instant) -> bool {
        !self.is_closed(now) && self.row.config.enabled && self.channels_of_all() < self.row.config.channels()
    }

    /// Legs on it now, of all shards. Two that look at the same moment may both find the last one free.
    pub(crate) fn channels_of_all(&self) -> u32 {
        self.pace.under_way()
    }

    fn set_channels(&mut self, used: u32) {
        self.channels_used = used;
        self.pace.set_under_way(self.shard, used);
    }

    /// It wants no new calls for a while.
    pub(crate) fn is_closed(&self, now: Instant) -> bool {
        now < self.pace.rests_until()
    }

    /// Counts a call that begins here.
    pub(crate) fn take(&mut self, now: Instant) {
        self.pace.spend(now);
        self.take_ordered();
    }

    /// Counts a call that was ordered from above, where it was taken from the trunk's bucket.
    pub(crate) fn take_ordered(&mut self) {
        self.set_channels(self.channels_used + 1);
        self.begun += 1;
    }

    /// `address:port` for URIs.
    pub(crate) fn host(&self) -> &str {
        &self.row.config.address
    }
}

/// Whether a trunk did not take a call: a carrier without room, one that cannot be reached, silence. All else is the
/// callee's word.
pub(crate) fn was_not_taken(ended: &Ended) -> bool {
    match ended.by {
        EndedBy::Remote => ended.code == Some(503),
        EndedBy::Timeout => matches!(ended.code, Some(408 | 503)),
        EndedBy::Local | EndedBy::Protocol => false,
    }
}

impl Trunks {
    /// The first of these that has room; those before it are taken out, too.
    pub(crate) fn next_with_room(&self, now: Instant, others: &mut VecDeque<TrunkKey>) -> Option<TrunkKey> {
        while let Some(next) = others.pop_front() {
            if self.get(next).is_some_and(|trunk| trunk.has_room(now)) {
                return Some(next);
            }
        }
        None
    }

    /// The country codes in which trunks write national numbers, each once.
    pub(crate) fn country_codes(&self) -> BTreeSet<&str> {
        self.slab.iter().map(|(_, trunk)| trunk.row.config.country_code.as_str()).collect()
    }

    pub(crate) fn new(reborn: bool, shard: u16) -> Self {
        let shard = usize::from(shard);
        Trunks {
            slab: Slab::with_limit(TRUNKS_MAX),
            by_id: BTreeMap::new(),
            paces: BTreeMap::new(),
            reborn,
            shard,
        }
    }

    /// Calls of a trunk are taken from this bucket from now on.
    pub(crate) fn share(&mut self, trunk: TrunkId, pace: SharedPace) {
        if let Some(known) = self.by_id.get(&trunk).and_then(|key| self.slab.get_mut(*key)) {
            known.pace = pace.clone();
            known.set_channels(known.channels_used);
        }
        self.paces.insert(trunk, pace);
    }

    /// Adds a trunk or changes it; counts go on. `None` at the limit.
    pub(crate) fn apply(
        &mut self,
        now: Instant,
        row: TrunkRow,
        address: Option<(u8, SocketAddr)>,
    ) -> Option<TrunkKey> {
        if let Some(key) = self.by_id.get(&row.id).copied()
            && let Some(trunk) = self.slab.get_mut(key)
        {
            trunk.address = address;
            trunk.policy = Arc::new(Policy::of(&row.config));
            trunk.pace.set(row.config.cps_max);
            trunk.row = row;
            return Some(key);
        }
        let id = row.id;
        let policy = Arc::new(Policy::of(&row.config));
        let cps_max = row.config.cps_max;
        // What a shard that is no more has sent in the last second is not known.
        let pace = match self.paces.get(&id) {
            Some(pace) => pace.clone(),
            None if self.reborn => SharedPace::spent(cps_max, now),
            None => SharedPace::new(cps_max),
        };
        let shard = self.shard;
        let mut trunk =
            Trunk { id, row, policy, address, channels_used: 0, begun: 0, pace, rest: None, shard };
        trunk.set_channels(0);
        let key = self.slab.insert(trunk).ok()?;
        self.by_id.insert(id, key);
        Some(key)
    }

    /// Forgets a trunk; gives the deadline it leaves behind.
    pub(crate) fn remove(&mut self, id: TrunkId) -> Option<(TrunkKey, Option<TimerKey>)> {
        self.paces.remove(&id);
        let key = self.by_id.remove(&id)?;
        let trunk = self.slab.remove(key)?;
        Some((key, trunk.rest))
    }

    /// Deadlines at which rests end.
    pub(crate) fn rests(&self) -> usize {
        self.slab.iter().filter(|(_, trunk)| trunk.rest.is_some()).count()
    }

    pub(crate) fn key_of(&self, id: TrunkId) -> Option<TrunkKey> {
        self.by_id.get(&id).copied()
    }

    /// Which trunk of a group takes a call, and which are tried after it: those that have room, lower priorities first,
    /// among equals by chance in proportion to their weights, or in the order of the group where none has a weight.
    /// `None`: none has room.
    ///
    /// * `is_down` who is known not to answer comes last
    pub(crate) fn choose(
        &self,
        now: Instant,
        group: &[TrunkId],
        rng: &mut Rng,
        is_down: impl Fn(TrunkKey) -> bool,
    ) -> Option<(TrunkKey, VecDeque<TrunkKey>)> {
        let able = |id: &TrunkId| {
            let key = self.key_of(*id)?;
            self.slab.get(key).filter(|trunk| trunk.has_room(now)).map(|trunk| (key, trunk))
        };
        if let [only] = group {
            return able(only).map(|(key, _)| (key, VecDeque::new()));
        }
        let mut left: Vec<_> = group
            .iter()
            .filter_map(able)
            .map(|(key, trunk)| ((is_down(key), trunk.row.config.priority), trunk.row.config.weight, key))
            .collect();
        // Stable: equals stay in the order of the group.
        left.sort_by_key(|(rank, ..)| *rank);
        let mut ordered = VecDeque::with_capacity(left.len());
        while let Some((rank, ..)) = left.first().copied() {
            let equals = left.iter().take_while(|(other, ..)| *other == rank).count();
            let sum: u64 = left[..equals].iter().map(|(_, weight, _)| u64::from(*weight)).sum();
            let mut mark = if sum == 0 { 0 } else { rng.below(sum) };
            let chosen = left[..equals].iter().position(|(_, weight, _)| {
                let reached = mark < u64::from(*weight);
                mark = mark.saturating_sub(u64::from(*weight));
                reached
            });
            ordered.push_back(left.remove(chosen.unwrap_or(0)).2);
        }
        ordered.pop_front().map(|first| (first, ordered))
    }

    pub(crate) fn get(&self, key: TrunkKey) -> Option<&Trunk> {
        self.slab.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: TrunkKey) -> Option<&mut Trunk> {
        self.slab.get_mut(key)
    }

    /// A leg on the trunk is over.
    pub(crate) fn release(&mut self, key: TrunkKey) {
        if let Some(trunk) = self.slab.get_mut(key) {
            trunk.set_channels(trunk.channels_used.saturating_sub(1));
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (TrunkKey, &Trunk)> {
        self.slab.iter()
    }

    /// Every trunk of a group as [`Trunks::choose`] orders them.
    #[cfg(test)]
    fn in_order(&self, now: Instant, group: &[TrunkId], rng: &mut Rng, down: &[TrunkKey]) -> Vec<TrunkKey> {
        let chosen = self.choose(now, group, rng, |key| down.contains(&key));
        chosen.map(|(first, others)| std::iter::once(first).chain(others).collect()).unwrap_or_default()
    }

    /// Channels in use over all trunks.
    pub(crate) fn channels_used(&self) -> u64 {
        self.slab.iter().map(|(_, trunk)| u64::from(trunk.channels_used)).sum()
    }
}

impl CallShard {
    /// A trunk has answered 503 with Retry-After: no shard gives it a new call until then (RFC 3261 §21.5.4), and the
    /// dialer is told so that it dials over others meanwhile.
    pub(crate) fn heed_retry_after(
        &mut self,
        now: Instant,
        key: TrunkKey,
        ended: &Ended,
        out: &mut Outbox<ShardEffect>,
    ) {
        let (Some(503), EndedBy::Remote, Some(wait)) = (ended.code, ended.by, ended.retry_after) else {
            return;
        };
        let until = now + wait.min(RETRY_AFTER_MAX);
        let Some(trunk) = self.trunks.get_mut(key) else { return };
        if until <= now || now < trunk.pace.rest(until) {
            // Whoever has told of a rest that goes on looks again when it is over.
            return;
        }
        let before = trunk.rest.replace(self.deadlines.arm(until, Why::TrunkOpens(key)));
        let trunk = trunk.id;
        if let Some(before) = before {
            self.deadlines.cancel(before);
        } else {
            out.push(ShardEffect::Event(ShardEvent::Trunk(TrunkFact::Closed { trunk, closed: true })));
        }
    }

    /// A trunk may rest since before this shard took the place of another, which will not tell of the end any more.
    pub(super) fn take_over_rest(&mut self, now: Instant, key: TrunkKey) {
        let Some(trunk) = self.trunks.get_mut(key).filter(|trunk| trunk.is_closed(now)) else { return };
        if self.config.reborn && trunk.rest.is_none() {
            trunk.rest = Some(self.deadlines.arm(trunk.pace.rests_until(), Why::TrunkOpens(key)));
        }
    }

    /// The time a trunk has asked for is over, unless another shard was asked for more.
    pub(crate) fn trunk_opens(&mut self, now: Instant, key: TrunkKey, out: &mut Outbox<ShardEffect>) {
        let Some(trunk) = self.trunks.get_mut(key) else { return };
        if !trunk.pace.end_rest(now) {
            trunk.rest = Some(self.deadlines.arm(trunk.pace.rests_until(), Why::TrunkOpens(key)));
            return;
        }
        trunk.rest = None;
        let fact = TrunkFact::Closed { trunk: trunk.id, closed: false };
        out.push(ShardEffect::Event(ShardEvent::Trunk(fact)));
    }
}

/// Addresses, each with a port or any, and networks.
type Sources = (Vec<(IpAddr, Option<u16>)>, Vec<Network>);

/// Who may call in as this trunk: the configured sources; without any the host of its address, unless certificates say
/// who it is.
pub(crate) fn sources(config: &TrunkConfig) -> Sources {
    if config.sources.is_empty() {
        let host = config.address.parse::<SocketAddr>().ok().filter(|_| config.certificate_names.is_empty());
        return (host.map(|to| (to.ip(), None)).into_iter().collect(), Vec::new());
    }
    let addresses = config.sources.iter().filter_map(|text| source(text)).collect();
    let networks = config.sources.iter().filter(|text| text.contains('/'));
    (addresses, networks.filter_map(|text| text.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansio::WallTime;

    fn row(channels_max: u32, cps_max: f64) -> TrunkRow {
        let config = TrunkConfig {
            name: "t".into(),
            address: "192.0.2.1:5060".into(),
            channels_max,
            cps_max,
            ..TrunkConfig::default()
        };
        TrunkRow { id: TrunkId::from_bits(1), config, version: 1, created_at: WallTime::default() }
    }

    fn calls_begun(trunks: &mut Trunks, key: TrunkKey, from_ms: u64, to_ms: u64) -> u32 {
        let mut begun = 0;
        for ms in from_ms..to_ms {
            let trunk = trunks.get_mut(key).unwrap();
            while trunk.has_room(Instant::from_millis(ms)) {
                trunk.take(Instant::from_millis(ms));
                begun += 1;
            }
        }
        begun
    }

    #[test]
    fn no_second_sees_more_calls_than_are_allowed() {
        let mut trunks = Trunks::new(false, 0);
        let key = trunks.apply(Instant::ZERO, row(1_000_000, 100.0), None).unwrap();
        assert_eq!(calls_begun(&mut trunks, key, 0, 1), 5);
        assert!((90..=95).contains(&calls_begun(&mut trunks, key, 1, 1000)));
        // Of what the shard that it replaces has sent nothing is known.
        let mut trunks = Trunks::new(true, 0);
        let key = trunks.apply(Instant::ZERO, row(1_000_000, 1.0), None).unwrap();
        assert_eq!(calls_begun(&mut trunks, key, 0, 1000), 0);
        assert_eq!(calls_begun(&mut trunks, key, 1000, 2000), 1);
    }

    #[test]
    fn channels_are_those_of_all_shards_together() {
        let pace = SharedPace::new(1000.0);
        let [mut one, mut two] = [0, 1].map(|shard| Trunks::new(false, shard));
        let [first, second] = [&mut one, &mut two].map(|trunks| {
            trunks.share(TrunkId::from_bits(1), pace.clone());
            trunks.apply(Instant::ZERO, row(3, 1000.0), None).unwrap()
        });
        one.get_mut(first).unwrap().take_ordered();
        assert_eq!(calls_begun(&mut two, second, 0, 50), 2);
        assert!(!one.get(first).unwrap().has_room(Instant::from_millis(50)));
        two.release(second);
        assert_eq!(calls_begun(&mut one, first, 50, 100), 1);
        // One that takes the place of another has no calls, and takes nothing of the others'.
        let mut again = Trunks::new(true, 0);
        again.share(TrunkId::from_bits(1), pace.clone());
        let key = again.apply(Instant::ZERO, row(3, 1000.0), None).unwrap();
        assert_eq!((pace.under_way(), calls_begun(&mut again, key, 100, 200)), (1, 2));
        // A pace that is shared later knows what is under way.
        let later = SharedPace::new(1000.0);
        again.share(TrunkId::from_bits(1), later.clone());
        assert_eq!(later.under_way(), 2);
    }

    #[test]
    fn channels_are_kept_and_given_back() {
        let mut trunks = Trunks::new(false, 0);
        let key = trunks.apply(Instant::ZERO, row(2, 1000.0), None).unwrap();
        assert_eq!(calls_begun(&mut trunks, key, 0, 50), 2);
        trunks.release(key);
        assert_eq!(calls_begun(&mut trunks, key, 50, 100), 1);
        assert_eq!(trunks.channels_used(), 2);
    }

    #[test]
    fn a_group_is_tried_by_priority_and_weight() {
        let mut trunks = Trunks::new(false, 0);
        let keys: Vec<TrunkKey> = [(2, 50), (1, 30), (1, 10), (1, 0)]
            .into_iter()
            .zip(1..)
            .map(|((priority, weight), id)| {
                let mut row = row(1_000_000, 1e6);
                row.id = TrunkId::from_bits(id);
                (row.config.priority, row.config.weight) = (priority, weight);
                trunks.apply(Instant::ZERO, row, None).unwrap()
            })
            .collect();
        let group = [1, 2, 3, 4].map(TrunkId::from_bits);
        let mut rng = Rng::from_seed(7);
        let mut first = [0_u32; 4];
        for _ in 0..4_000 {
            let order = trunks.in_order(Instant::ZERO, &group, &mut rng, &[]);
            assert_eq!((order.len(), order[2], order[3]), (4, keys[3], keys[0]), "all, the dear one last");
            first[keys.iter().position(|key| *key == order[0]).unwrap()] += 1;
        }
        assert_eq!((first[0], first[1] + first[2]), (0, 4_000));
        assert!((2_850..3_150).contains(&first[1]), "{first:?}");
        // Who does not answer comes last, who has no room not at all.
        let order = trunks.in_order(Instant::ZERO, &group, &mut rng, &keys[1..3]);
        assert_eq!(order[..2], [keys[3], keys[0]]);
        trunks.get_mut(keys[3]).unwrap().row.config.channels_max = 0;
        let order = trunks.in_order(Instant::ZERO, &group, &mut rng, &keys[1..3]);
        assert_eq!((order.len(), order[0]), (3, keys[0]));
        for key in &keys {
            trunks.get_mut(*key).unwrap().row.config.channels_max = 0;
        }
        assert!(trunks.in_order(Instant::ZERO, &group, &mut rng, &[]).is_empty());
        // Without weights the order of the group holds; a trunk that is not there is left out.
        for (key, id) in keys.iter().zip(1..) {
            let mut row = row(10, 1e6);
            row.id = TrunkId::from_bits(id);
            trunks.apply(Instant::ZERO, row, None);
            assert!(trunks.get(*key).is_some());
        }
        let group = [3, 9, 1, 4].map(TrunkId::from_bits);
        assert_eq!(trunks.in_order(Instant::ZERO, &group, &mut rng, &[]), [keys[2], keys[0], keys[3]]);
        assert_eq!(trunks.in_order(Instant::ZERO, &group[..1], &mut rng, &keys), [keys[2]]);
    }

    #[test]
    fn sources_default_to_the_address() {
        let mut row = row(1, 1.0);
        let own = vec![("192.0.2.1".parse().unwrap(), None)];
        assert_eq!(sources(&row.config), (own, Vec::new()));
        row.config.certificate_names = vec!["carrier.example".into()];
        assert_eq!(sources(&row.config), (Vec::new(), Vec::new()));
        row.config.sources = vec!["198.51.100.1:5062".into(), "nonsense".into(), "203.0.113.0/24".into()];
        let named = vec![("198.51.100.1".parse().unwrap(), Some(5062))];
        assert_eq!(sources(&row.config), (named, vec!["203.0.113.0/24".parse().unwrap()]));
    }
}
