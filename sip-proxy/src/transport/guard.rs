//! Who is heard at all: networks, rates, bans. Decided from a datagram's source and its first bytes, before it is
//! read, so that a flood costs a look-up for each datagram and nothing else.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use sansio::Instant;

use super::network::Networks;
use crate::hash::Secret;
use crate::ua::{Guarding, Limits};
use crate::wire::{HeaderName, Message};

/// Sources that share a place in the table: the one of least worth goes when another comes.
const WAYS: usize = 4;
/// How much more than a stranger a source may send that has shown a password: many phones live behind one NAT.
const FRIEND_FACTOR: f32 = 20.0;

/// Why a datagram was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// Its network is denied, or is not among those allowed.
    Denied,
    /// Its source is banned.
    Banned,
    /// Its source sends too much.
    Source,
    /// All strangers together send too much.
    Strangers,
}

/// What is known of a datagram's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A trunk's address.
    Trunk,
    /// Nobody we know (or a phone).
    Stranger,
    /// A stranger that has used up its share and sends a request within a dialog: to be heard only if it is one of
    /// ours.
    OnlyInDialog,
}

/// A source in the table.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Keyed hash of the source; 0 for an empty place.
    key: u64,
    tokens: f32,
    filled: Instant,
    banned_until: Instant,
    friend_until: Instant,
}

const EMPTY: Slot = Slot {
    key: 0,
    tokens: 0.0,
    filled: Instant::ZERO,
    banned_until: Instant::ZERO,
    friend_until: Instant::ZERO,
};

/// The guard of one shard.
pub(crate) struct Guard {
    settings: Guarding,
    denied: Networks,
    allowed: Networks,
    /// Made when the first stranger comes.
    slots: Vec<Slot>,
    sets: usize,
    /// Tokens of all strangers together.
    common: f32,
    common_filled: Instant,
}

impl core::fmt::Debug for Guard {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Guard").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

impl Guard {
    pub(crate) fn new(settings: Guarding, limits: &Limits) -> Self {
        let sets = (limits.sources_max / WAYS).clamp(1, 1 << 20).next_power_of_two();
        Guard {
            denied: Networks::new(&settings.deny),
            allowed: Networks::new(&settings.allow),
            slots: Vec::new(),
            sets,
            common: settings.strangers_per_s * 2.0,
            common_filled: Instant::ZERO,
            settings,
        }
    }

    /// Whether a datagram is to be read.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        secret: &Secret,
        source: SocketAddr,
        datagram: &[u8],
        is_trunk: impl FnOnce() -> bool,
    ) -> Result<Standing, Dropped> {
        if !self.denied.is_empty() && self.denied.contains(source.ip()) {
            return Err(Dropped::Denied);
        }
        if is_trunk() {
            return Ok(Standing::Trunk);
        }
        if !self.allowed.is_empty() && !self.allowed.contains(source.ip()) {
            return Err(Dropped::Denied);
        }
        // Answers to what we sent; what matches nothing dies at a look-up. Anything shorter is a keep-alive.
        if datagram.starts_with(b"SIP/2.0 ") || datagram.len() < 16 {
            return Ok(Standing::Stranger);
        }
        let rate = self.settings.requests_per_s;
        let slot = slot_of(&mut self.slots, self.sets, now, key_of(secret, source.ip()), rate * 5.0);
        if now < slot.banned_until {
            return Err(Dropped::Banned);
        }
        let within = is_within_dialog(datagram);
        let friend = now < slot.friend_until;
        if rate > 0.0 {
            let factor = if friend { FRIEND_FACTOR } else { 1.0 };
            fill(&mut slot.tokens, &mut slot.filled, now, rate * factor, rate * factor * 5.0);
            if slot.tokens < 1.0 {
                return if within { Ok(Standing::OnlyInDialog) } else { Err(Dropped::Source) };
            }
            slot.tokens -= 1.0;
        }
        let rate = self.settings.strangers_per_s;
        if rate > 0.0 && !friend && !within {
            fill(&mut self.common, &mut self.common_filled, now, rate, rate * 2.0);
            if self.common < 1.0 {
                return Err(Dropped::Strangers);
            }
            self.common -= 1.0;
        }
        Ok(Standing::Stranger)
    }

    /// A source has shown a right password.
    pub(crate) fn befriend(&mut self, now: Instant, secret: &Secret, source: IpAddr, lasts: Duration) {
        let rate = self.settings.requests_per_s;
        let slot = slot_of(&mut self.slots, self.sets, now, key_of(secret, source), rate * 5.0);
        slot.friend_until = slot.friend_until.max(now + lasts);
        slot.banned_until = Instant::ZERO;
    }

    /// Whether a source has shown a right password lately.
    pub(crate) fn is_friend(&mut self, now: Instant, secret: &Secret, source: IpAddr) -> bool {
        let rate = self.settings.requests_per_s;
        now < slot_of(&mut self.slots, self.sets, now, key_of(secret, source), rate * 5.0).friend_until
    }

    /// Hears nothing from a source for the configured time. A source that has shown a right password lately is not
    /// banned: its address may be that of many phones, or have been forged.
    pub(crate) fn ban(&mut self, now: Instant, secret: &Secret, source: IpAddr) -> bool {
        let rate = self.settings.requests_per_s;
        let slot = slot_of(&mut self.slots, self.sets, now, key_of(secret, source), rate * 5.0);
        if self.settings.ban.is_zero() || now < slot.friend_until {
            return false;
        }
        slot.banned_until = now + self.settings.ban;
        true
    }

    /// Wrong passwords after which a source is banned; 0 for never.
    pub(crate) fn failures_max(&self) -> u32 {
        self.settings.failures_max
    }

    /// Whether a request names a scanner as its sender.
    pub(crate) fn is_scanner(&self, request: &Message) -> bool {
        let names = |value: &[u8]| {
            self.settings.scanners.iter().any(|name| contains_ignore_case(value, name.as_bytes()))
        };
        request.header(HeaderName::UserAgent).is_some_and(names)
            || request.header(HeaderName::From).is_some_and(names)
    }
}

fn fill(tokens: &mut f32, filled: &mut Instant, now: Instant, rate: f32, burst: f32) {
    *tokens = (*tokens + now.since(*filled).as_secs_f32() * rate).min(burst.max(1.0));
    *filled = now;
}

/// A source is an IPv4 address or the network a site gets, the first 64 bits of an IPv6 one.
fn key_of(secret: &Secret, ip: IpAddr) -> u64 {
    let hash = match ip.to_canonical() {
        IpAddr::V4(ip) => secret.hash(&[b"source", &ip.octets()]),
        IpAddr::V6(ip) => secret.hash(&[b"source", &ip.octets()[..8]]),
    };
    (hash as u64).max(1)
}

/// The place of a source; a new one takes that of least worth among those it may have.
fn slot_of(slots: &mut Vec<Slot>, sets: usize, now: Instant, key: u64, burst: f32) -> &mut Slot {
    if slots.is_empty() {
        slots.resize(sets * WAYS, EMPTY);
    }
    let first = (key as usize & (sets - 1)) * WAYS;
    let set = &mut slots[first..first + WAYS];
    let place = set.iter().position(|slot| slot.key == key).unwrap_or_else(|| {
        // Empty ones first, then strangers by age, then who is banned or has shown a password.
        let worth =
            |slot: &Slot| (slot.key != 0, now < slot.banned_until || now < slot.friend_until, slot.filled);
        let place = (0..WAYS).min_by_key(|place| worth(&set[*place])).unwrap_or(0);
        set[place] = Slot { key, tokens: burst.max(1.0), filled: now, ..EMPTY };
        place
    });
    &mut set[place]
}

/// Requests that only make sense within something that began before.
fn is_within_dialog(datagram: &[u8]) -> bool {
    let methods: [&[u8]; 8] =
        [b"ACK ", b"BYE ", b"CANCEL ", b"PRACK ", b"UPDATE ", b"INFO ", b"REFER ", b"NOTIFY "];
    methods.iter().any(|method| datagram.starts_with(method))
}

fn contains_ignore_case(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

impl Default for Guarding {
    fn default() -> Self {
        Guarding {
            deny: Vec::new(),
            allow: Vec::new(),
            requests_per_s: 100.0,
            strangers_per_s: 2_000.0,
            scanners: SCANNERS.iter().map(|name| (*name).into()).collect(),
            ban: Duration::from_secs(600),
            failures_max: 10,
            dialogs_per_source_max: 0,
        }
    }
}

/// Names in User-Agent or From of programs that look for open SIP servers and weak passwords.
pub const SCANNERS: [&str; 12] = [
    "friendly-scanner",
    "sipvicious",
    "sundayddr",
    "sip-scan",
    "sipscan",
    "smap ",
    "sipcli",
    "pplsip",
    "sipsak",
    "iwar",
    "vaxsipuseragent",
    "gulp",
];

#[cfg(test)]
mod tests {
    use super::*;
    use sansio::Rng;

    const OPTIONS: &[u8] = b"OPTIONS sip:a@b SIP/2.0\r\n";
    const BYE: &[u8] = b"BYE sip:aaaa@b SIP/2.0\r\n";

    fn guard(change: impl FnOnce(&mut Guarding)) -> (Guard, Secret) {
        let mut settings = Guarding::default();
        change(&mut settings);
        let limits = Limits { sources_max: 64, ..Limits::default() };
        (Guard::new(settings, &limits), Secret::new(&mut Rng::from_seed(1)))
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn admitted(
        guard: &mut Guard,
        secret: &Secret,
        from_ms: u64,
        to_ms: u64,
        source: &str,
        count: u64,
    ) -> u64 {
        let mut admitted = 0;
        for index in 0..count {
            let now = Instant::from_millis(from_ms + (to_ms - from_ms) * index / count);
            admitted += u64::from(guard.admit(now, secret, at(source), OPTIONS, || false).is_ok());
        }
        admitted
    }

    #[test]
    fn a_source_gets_its_share_and_no_more() {
        let (mut guard, secret) = guard(|settings| settings.strangers_per_s = 0.0);
        // A burst of five seconds' worth, then the rate.
        assert_eq!(admitted(&mut guard, &secret, 0, 1, "192.0.2.1:5060", 10_000), 500);
        let more = admitted(&mut guard, &secret, 1, 10_001, "192.0.2.1:5061", 100_000);
        assert!((990..=1010).contains(&more), "{more}");
        let now = Instant::from_millis(10_001);
        let admit = |guard: &mut Guard, bytes: &[u8], trunk| {
            guard.admit(now, &secret, at("192.0.2.1:1"), bytes, || trunk)
        };
        assert_eq!(admit(&mut guard, OPTIONS, false), Err(Dropped::Source));
        assert_eq!(admit(&mut guard, OPTIONS, true), Ok(Standing::Trunk));
        assert_eq!(admit(&mut guard, BYE, false), Ok(Standing::OnlyInDialog));
        assert_eq!(admit(&mut guard, b"SIP/2.0 200 OK\r\n\r\n", false), Ok(Standing::Stranger));
        assert!(guard.admit(now, &secret, at("192.0.2.2:1"), OPTIONS, || false).is_ok());
    }

    #[test]
    fn strangers_share_and_friends_are_apart() {
        let (mut guard, secret) = guard(|_| {});
        let now = Instant::from_millis(5);
        let friend = at("198.51.100.1:5060");
        guard.befriend(now, &secret, friend.ip(), Duration::from_secs(60));
        let mut heard = 0;
        for index in 0..100_000_u32 {
            let source = SocketAddr::new(IpAddr::V4((0x0a00_0000 + index).into()), 5060);
            heard += u64::from(guard.admit(now, &secret, source, OPTIONS, || false).is_ok());
        }
        assert!((4_000..=4_001).contains(&heard), "{heard}");
        assert!(guard.admit(now, &secret, friend, OPTIONS, || false).is_ok());
        let later = now + Duration::from_secs(60);
        for index in 0..10_000_u32 {
            let source = SocketAddr::new(IpAddr::V4((0x0a00_0000 + index).into()), 5060);
            let _ = guard.admit(later, &secret, source, OPTIONS, || false);
        }
        assert_eq!(guard.admit(later, &secret, friend, OPTIONS, || false), Err(Dropped::Strangers));
    }

    #[test]
    fn bans_hold_for_their_time_and_spare_friends() {
        let (mut guard, secret) = guard(|_| {});
        let bad = at("192.0.2.66:5060");
        assert!(guard.ban(Instant::ZERO, &secret, bad.ip()));
        for (ms, verdict) in
            [(0, Err(Dropped::Banned)), (599_999, Err(Dropped::Banned)), (600_000, Ok(Standing::Stranger))]
        {
            assert_eq!(
                guard.admit(Instant::from_millis(ms), &secret, bad, OPTIONS, || false),
                verdict,
                "{ms}"
            );
        }
        let good = at("192.0.2.7:5060");
        guard.befriend(Instant::ZERO, &secret, good.ip(), Duration::from_secs(10));
        assert!(!guard.ban(Instant::from_millis(9_999), &secret, good.ip()));
        assert!(guard.ban(Instant::from_millis(10_000), &secret, good.ip()));
        // A ban outlives a flood of other sources.
        for index in 0..10_000_u32 {
            let source = SocketAddr::new(IpAddr::V4((0x0a00_0000 + index).into()), 5060);
            let _ = guard.admit(Instant::from_millis(10_000), &secret, source, OPTIONS, || false);
        }
        assert_eq!(
            guard.admit(Instant::from_millis(10_001), &secret, good, OPTIONS, || false),
            Err(Dropped::Banned)
        );
    }

    #[test]
    fn networks() {
        let (mut guard, secret) = guard(|settings| {
            settings.deny = vec!["192.0.2.128/25".parse().expect("a network")];
            settings.allow = vec!["192.0.2.0/24".parse().expect("a network")];
        });
        let mut admit =
            |source: &str, trunk| guard.admit(Instant::ZERO, &secret, at(source), OPTIONS, || trunk);
        assert_eq!(admit("192.0.2.1:1", false), Ok(Standing::Stranger));
        assert_eq!(admit("192.0.2.129:1", false), Err(Dropped::Denied));
        assert_eq!(admit("192.0.2.129:1", true), Err(Dropped::Denied));
        assert_eq!(admit("198.51.100.1:1", false), Err(Dropped::Denied));
        assert_eq!(admit("198.51.100.1:1", true), Ok(Standing::Trunk));
    }
}
