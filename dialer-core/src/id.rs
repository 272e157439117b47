//! Names of things: a prefix and a ULID, `camp_01JC8Z…`.

use sansio::{Rng, WallTime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

/// Which sort of thing an [`Id`] names.
pub trait Kind {
    /// The prefix before the underscore.
    const PREFIX: &'static str;
}

/// A 128-bit name: 48 bits of milliseconds since 1970, 80 random bits (the ULID layout), written as the kind's
/// prefix, an underscore and 26 characters of Crockford's base 32. Sorts by time of creation.
pub struct Id<K> {
    bits: u128,
    kind: PhantomData<fn() -> K>,
}

/// Why a text is not a name of the wanted kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadId {
    /// The prefix that was expected.
    pub expected_prefix: &'static str,
}

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected an id of the form {}_ and 26 characters", self.expected_prefix)
    }
}
impl std::error::Error for BadId {}

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl<K> Id<K> {
    /// A fresh name at `now`.
    pub fn generate(now: WallTime, rng: &mut Rng) -> Self {
        let time = (now.unix_millis().max(0) as u128) & ((1 << 48) - 1);
        let random = (u128::from(rng.next_u64()) << 16 | u128::from(rng.next_u64() >> 48)) & ((1 << 80) - 1);
        Self::from_bits(time << 80 | random)
    }

    /// From the raw 128 bits (as stored).
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Id { bits, kind: PhantomData }
    }

    /// The raw 128 bits.
    #[must_use]
    pub const fn to_bits(self) -> u128 {
        self.bits
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.bits == other.bits
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bits.cmp(&other.bits)
    }
}
impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits.hash(state);
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; 26];
        let mut bits = self.bits;
        for place in text.iter_mut().rev() {
            *place = ALPHABET[(bits & 31) as usize];
            bits >>= 5;
        }
        write!(f, "{}_{}", K::PREFIX, std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = BadId { expected_prefix: K::PREFIX };
        let rest = text.strip_prefix(K::PREFIX).and_then(|rest| rest.strip_prefix('_')).ok_or(bad)?;
        if rest.len() != 26 || rest.as_bytes()[0] > b'7' {
            return Err(bad);
        }
        let mut bits = 0_u128;
        for byte in rest.bytes() {
            let digit = ALPHABET.iter().position(|known| *known == byte.to_ascii_uppercase()).ok_or(bad)?;
            bits = bits << 5 | digit as u128;
        }
        Ok(Self::from_bits(bits))
    }
}

impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $alias:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $kind;
        impl Kind for $kind { const PREFIX: &'static str = $prefix; }
        $(#[$doc])*
        pub type $alias = Id<$kind>;
    )*};
}

kinds! {
    /// A carrier path.
    TrunkKind TrunkId "trk";
    /// An agent.
    AgentKind AgentId "agt";
    /// A list of leads.
    ListKind ListId "list";
    /// A do-not-call list.
    DncListKind DncListId "dnc";
    /// A pool of caller IDs.
    CallerIdPoolKind CallerIdPoolId "cip";
    /// A route of inbound calls.
    InboundRouteKind InboundRouteId "inr";
    /// A calendar.
    CalendarKind CalendarId "cal";
    /// A lead.
    LeadKind LeadId "lead";
    /// A campaign.
    CampaignKind CampaignId "camp";
    /// A call (customer leg and agent leg).
    CallKind CallId "call";
    /// One side of a call.
    LegKind LegId "leg";
    /// Sound of a call given to someone outside.
    ForkKind ForkId "fork";
    /// One dialling of a lead.
    AttemptKind AttemptId "att";
    /// A recording.
    RecordingKind RecordingId "rec";
    /// An event.
    EventKind EventId "evt";
    /// An API token.
    TokenKind TokenId "tok";
    /// A receiver of events over HTTP.
    WebhookKind WebhookId "wh";
    /// A preview task.
    TaskKind TaskId "task";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back() {
        let mut rng = Rng::from_seed(3);
        let id = CampaignId::generate(WallTime::from_unix_millis(1_790_000_000_000), &mut rng);
        let text = id.to_string();
        assert!(text.starts_with("camp_01"), "{text}");
        assert_eq!(text.parse::<CampaignId>().unwrap(), id);
        assert_eq!(text.replace(&text[5..], &text[5..].to_lowercase()).parse::<CampaignId>().unwrap(), id);
        assert!(text.parse::<LeadId>().is_err());
        assert!("camp_!!".parse::<CampaignId>().is_err());
    }

    #[test]
    fn names_sort_by_time() {
        let mut rng = Rng::from_seed(3);
        let early = LeadId::generate(WallTime::from_unix_millis(1), &mut rng);
        let late = LeadId::generate(WallTime::from_unix_millis(2), &mut rng);
        assert!(early < late && early.to_string() < late.to_string());
    }
}
