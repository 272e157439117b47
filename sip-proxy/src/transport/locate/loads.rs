//! Overload as all shards of a node know it (RFC 7339): what targets have asked for, and how busy each shard of ours is.
//!
//! Numbers and no lock, as in `failures.rs`: read when a new call is to be sent, written when a response says something new of
//! its sender's load. Should two shards hear of one target at the very same moment, the one that writes last counts until the
//! next response.

use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use sansio::Instant;

use super::failures::mix;
use crate::wire::Feedback;

/// Targets that have asked for less, remembered.
const ASKED_MAX: usize = 1024;
/// Places in which a target can stand.
const WAYS: usize = 8;
/// Shards that tell each other how busy they are.
const SHARDS_MAX: usize = 64;
/// How long they are believed.
const OWN_MEMORY: Duration = Duration::from_secs(2);
/// Bits of [`Asked::state`] for the share; those above are when it lapses, milliseconds.
const SHARE_BITS: u32 = 8;
/// Bits of a shard's number for its share in thousandths; those above are when it was told, milliseconds.
const OWN_BITS: u32 = 16;

/// Copies of it are the same table; all who share it must mean the same clock by `now`.
#[derive(Debug, Clone)]
pub(crate) struct Loads(Arc<Table>);

#[derive(Debug)]
struct Table {
    asked: Box<[Asked]>,
    own: [AtomicU64; SHARDS_MAX],
}

#[derive(Debug, Default)]
struct Asked {
    /// Which target, see [`key_of`]; 0 for none.
    key: AtomicU64,
    /// What it has asked for, and until when.
    state: AtomicU64,
    /// One more than the sequence of its last word; 0 where it does not count.
    sequence: AtomicU64,
}

impl Default for Loads {
    fn default() -> Self {
        let asked = (0..ASKED_MAX).map(|_| Asked::default()).collect();
        Loads(Arc::new(Table { asked, own: [const { AtomicU64::new(0) }; SHARDS_MAX] }))
    }
}

impl Loads {
    /// A target has said what it wants, unless a later word of it is known.
    ///
    /// * `memory` how long a sequence counts after its word has lapsed
    pub(crate) fn hear(&self, now: Instant, target: SocketAddr, said: &Feedback, memory: Duration) {
        let key = key_of(target);
        let places = self.places_of(key);
        let known = places.iter().find(|place| place.key.load(Ordering::Relaxed) == key);
        let asks = said.loss_percent > 0 && !said.validity.is_zero();
        let Some(place) = known.or_else(|| asks.then(|| take_place(places, key)).flatten()) else { return };
        let sequence = said.sequence.map_or(0, |sequence| sequence.saturating_add(1));
        let last = place.sequence.load(Ordering::Relaxed);
        if last != 0 && sequence != 0 && sequence <= last && now < place.until() + memory {
            return;
        }
        place.sequence.store(sequence, Ordering::Relaxed);
        let until = if asks { now + said.validity } else { now };
        let until_ms = until.as_nanos().div_ceil(1_000_000);
        place.state.store(until_ms << SHARE_BITS | u64::from(said.loss_percent), Ordering::Relaxed);
    }

    /// Share of new calls that a target does not want now, percent.
    pub(crate) fn loss_percent(&self, now: Instant, target: SocketAddr) -> u8 {
        let key = key_of(target);
        let known = self.places_of(key).iter().find(|place| place.key.load(Ordering::Relaxed) == key);
        let asked = known.filter(|place| now < place.until());
        asked.map_or(0, |place| (place.state.load(Ordering::Relaxed) & 0xff) as u8)
    }

    /// A shard tells what share of new calls it wants left out, 0 to 1; gives what the node wants. Calls are spread evenly
    /// among shards, and whoever sends them knows none: each is asked for the mean.
    pub(crate) fn own_share(&self, now: Instant, shard: u16, share: f32) -> f32 {
        let Some(own) = self.0.own.get(usize::from(shard)) else { return share };
        let now_ms = now.as_nanos() / 1_000_000;
        // Rounding errors are not to be rounded up to a whole thousandth.
        let thousandths = (share.clamp(0.0, 1.0) * 1000.0 - 0.01).ceil() as u64;
        // Told at 0 is never told.
        own.store(now_ms.max(1) << OWN_BITS | thousandths, Ordering::Relaxed);
        let oldest = now_ms.saturating_sub(OWN_MEMORY.as_millis() as u64);
        let told = self.0.own.iter().map(|own| own.load(Ordering::Relaxed));
        let fresh = told.filter(|own| *own != 0 && own >> OWN_BITS >= oldest);
        let (sum, count) = fresh.fold((0, 0_u16), |(sum, count), own| (sum + (own & 0xffff), count + 1));
        sum as f32 / 1000.0 / f32::from(count.max(1))
    }

    fn places_of(&self, key: u64) -> &[Asked] {
        let first = (key >> 32) as usize % (ASKED_MAX / WAYS) * WAYS;
        &self.0.asked[first..first + WAYS]
    }
}

impl Asked {
    fn until(&self) -> Instant {
        Instant::from_millis(self.state.load(Ordering::Relaxed) >> SHARE_BITS)
    }
}

/// Makes room among the places of a target: where nobody stands, or whose word lapses first. `None` when another shard was
/// faster.
fn take_place(places: &[Asked], key: u64) -> Option<&Asked> {
    let stands = places.iter().map(|place| (place, place.key.load(Ordering::Relaxed)));
    let (place, old) = stands.min_by_key(|(place, old)| (*old != 0, place.until()))?;
    place.key.compare_exchange(old, key, Ordering::Relaxed, Ordering::Relaxed).ok()?;
    place.state.store(0, Ordering::Relaxed);
    place.sequence.store(0, Ordering::Relaxed);
    Some(place)
}

/// A number for each address: exact for IPv4, hashed for IPv6. Never 0.
fn key_of(target: SocketAddr) -> u64 {
    let port = u64::from(target.port());
    let key = match target.ip().to_canonical() {
        IpAddr::V4(ip) => mix(u64::from(ip.to_bits()) << 16 | port),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            mix(mix(mix((bits >> 64) as u64) ^ bits as u64) ^ port)
        }
    };
    key.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Duration = Duration::from_secs(60);

    fn target(port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::from([192, 0, 2, 9]), port)
    }

    fn said(loss_percent: u8, validity_ms: u64, sequence: Option<u64>) -> Feedback {
        Feedback { loss_percent, validity: Duration::from_millis(validity_ms), sequence }
    }

    #[test]
    fn what_one_shard_hears_all_heed() {
        let at = Instant::from_millis;
        let (one, other) = (Loads::default(), Loads::default());
        let shared = one.clone();
        one.hear(at(0), target(1), &said(40, 500, Some(10)), MEMORY);
        assert_eq!(
            (shared.loss_percent(at(499), target(1)), shared.loss_percent(at(500), target(1))),
            (40, 0)
        );
        assert_eq!((shared.loss_percent(at(0), target(2)), other.loss_percent(at(0), target(1))), (0, 0));
        // A later word of another shard counts, an earlier one does not; until a server counts anew.
        shared.hear(at(10), target(1), &said(0, 0, Some(12)), MEMORY);
        one.hear(at(20), target(1), &said(90, 500, Some(11)), MEMORY);
        assert_eq!(one.loss_percent(at(20), target(1)), 0);
        one.hear(at(60_009), target(1), &said(90, 500, Some(11)), MEMORY);
        assert_eq!(one.loss_percent(at(60_009), target(1)), 0);
        one.hear(at(60_010), target(1), &said(90, 500, Some(11)), MEMORY);
        assert_eq!(shared.loss_percent(at(60_010), target(1)), 90);
        // One that does not count is heard.
        one.hear(at(60_011), target(1), &said(7, 500, None), MEMORY);
        assert_eq!(shared.loss_percent(at(60_011), target(1)), 7);
    }

    #[test]
    fn who_asks_for_nothing_takes_no_place_and_the_table_has_an_end() {
        let loads = Loads::default();
        loads.hear(Instant::ZERO, target(1), &said(0, 500, None), MEMORY);
        loads.hear(Instant::ZERO, target(1), &said(50, 0, None), MEMORY);
        assert!(loads.0.asked.iter().all(|place| place.key.load(Ordering::Relaxed) == 0));
        for port in 1..=20_000 {
            let now = Instant::from_millis(port.into());
            loads.hear(now, target(port), &said(50, 500, Some(1)), MEMORY);
            assert_eq!(loads.loss_percent(now, target(port)), 50);
        }
        assert_eq!(loads.0.asked.len(), ASKED_MAX);
    }

    /// Both sides of the boundary: what a shard has told counts for two seconds.
    #[test]
    fn the_node_wants_the_mean_of_its_shards() {
        let at = Instant::from_millis;
        let loads = Loads::default();
        assert!((loads.own_share(at(0), 0, 0.5) - 0.5).abs() < 0.01, "alone");
        assert!((loads.own_share(at(10), 1, 0.0) - 0.25).abs() < 0.01);
        assert!((loads.own_share(at(2_000), 1, 0.1) - 0.3).abs() < 0.01);
        assert!((loads.own_share(at(2_002), 1, 0.1) - 0.1).abs() < 0.01, "the first says nothing any more");
        assert!((loads.own_share(at(2_002), 999, 0.7) - 0.7).abs() < 0.01, "one too many speaks for itself");
    }
}
