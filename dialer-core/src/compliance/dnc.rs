//! Do-not-call lists: numbers and prefixes that are not dialled, each until it lapses.

use crate::id::DncListId;
use crate::record::{DncListRow, DncNumbers};
use crate::tenant::Tenant;
use core::hash::{BuildHasherDefault, Hasher};
use sansio::WallTime;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};

/// Minutes since 1970; `u32::MAX` never comes.
type Minute = u32;
const NEVER: Minute = Minute::MAX;

/// Numbers are spread well enough by one multiplication (Fibonacci hashing); they come from our own users.
#[derive(Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

/// A list at work.
#[derive(Debug)]
pub struct DncList {
    pub(crate) row: DncListRow,
    numbers: HashMap<u64, Minute, BuildHasherDefault<NumberHasher>>,
    prefixes: BTreeMap<String, Minute>,
    hashes: BTreeMap<u128, Minute>,
}

/// Digits of an E.164 number as an integer; `None` if it is none.
#[must_use]
pub fn number_key(number: &str) -> Option<u64> {
    let digits = number.strip_prefix('+')?;
    let good = (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| digits.parse().ok()).flatten()
}

/// A number as it is kept on a list that is not to know it: the first half of SHA-256 over the list's name and the number.
/// Who tries all numbers there are finds it again: it hides a number from who reads the list, not from who attacks it.
#[must_use]
pub fn number_hash(list: DncListId, number: &str) -> u128 {
    let digest = Sha256::new().chain_update(list.to_bits().to_be_bytes()).chain_update(number).finalize();
    let half: [u8; 16] = digest[..16].try_into().expect("a digest has 32 bytes");
    u128::from_be_bytes(half)
}

fn minute(at: Option<WallTime>) -> Minute {
    // Lapses at the end of its minute at the latest: rather a minute too long than one too short.
    at.map_or(NEVER, |at| u32::try_from(at.unix_millis().div_euclid(60_000) + 1).unwrap_or(NEVER - 1))
}

fn holds(until: Minute, now: WallTime) -> bool {
    until == NEVER || i64::from(until) > now.unix_millis().div_euclid(60_000)
}

impl DncList {
    /// An empty one.
    #[must_use]
    pub fn new(row: DncListRow) -> Self {
        DncList { row, numbers: HashMap::default(), prefixes: BTreeMap::new(), hashes: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.numbers.len() + self.prefixes.len() + self.hashes.len()
    }

    /// Takes entries in; the same again replaces its time.
    pub fn add(&mut self, entries: &DncNumbers) {
        let until = minute(entries.expires_at);
        self.numbers.reserve(entries.numbers.len());
        for number in &entries.numbers {
            self.numbers.insert(*number, until);
        }
        for prefix in &entries.prefixes {
            self.prefixes.insert(prefix.clone(), until);
        }
        self.hashes.extend(entries.hashes.iter().map(|hash| (*hash, until)));
    }

    pub(crate) fn remove(&mut self, entries: &DncNumbers) {
        for number in &entries.numbers {
            self.numbers.remove(number);
        }
        for prefix in &entries.prefixes {
            self.prefixes.remove(prefix);
        }
        for hash in &entries.hashes {
            self.hashes.remove(hash);
        }
    }

    /// Whether it keeps this number (E.164, with the plus) from being dialled now. One look into a table of numbers, and
    /// one per digit where it has prefixes. Where it has hashes the number is hashed, which takes longer.
    #[must_use]
    pub fn hits(&self, number: &str, now: WallTime) -> bool {
        let Some(key) = number_key(number) else { return false };
        if self.numbers.get(&key).is_some_and(|until| holds(*until, now)) {
            return true;
        }
        let by_hash = || self.hashes.get(&number_hash(self.row.id, number));
        if !self.hashes.is_empty() && by_hash().is_some_and(|until| holds(*until, now)) {
            return true;
        }
        let digits = &number[1..];
        !self.prefixes.is_empty()
            && (1..=digits.len())
                .any(|length| self.prefixes.get(&digits[..length]).is_some_and(|until| holds(*until, now)))
    }
}

impl DncList {
    /// It holds everywhere, as far as this tenant calls.
    pub(crate) fn holds_for(&self, tenant: Option<&Tenant>) -> bool {
        let config = &self.row.config;
        config.everywhere && (config.tenant.is_none() || config.tenant.as_ref() == tenant)
    }
}

/// All lists.
#[derive(Debug, Default)]
pub(crate) struct DncBook {
    pub(crate) lists: BTreeMap<DncListId, DncList>,
}

impl DncBook {
    /// The list that keeps this number from being dialled: one that holds everywhere for this tenant, or one of `lists`.
    pub(crate) fn hit(
        &self,
        tenant: Option<&Tenant>,
        lists: &[DncListId],
        number: &str,
        now: WallTime,
    ) -> Option<DncListId> {
        self.lists
            .values()
            .filter(|list| list.holds_for(tenant) || lists.contains(&list.row.id))
            .find(|list| list.hits(number, now))
            .map(|list| list.row.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DncListConfig;

    fn at(minutes: i64) -> WallTime {
        WallTime::from_unix_millis(1_790_000_000_000 + minutes * 60_000)
    }

    fn list(bits: u128, everywhere: bool) -> DncList {
        let config = DncListConfig { name: "x".into(), everywhere, ..DncListConfig::default() };
        DncList::new(DncListRow { id: DncListId::from_bits(bits), config, version: 1, created_at: at(0) })
    }

    fn entries(numbers: &[u64], prefixes: &[&str], expires_at: Option<WallTime>) -> DncNumbers {
        let prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        DncNumbers { numbers: numbers.to_vec(), prefixes, hashes: Vec::new(), expires_at }
    }

    #[test]
    fn numbers_and_prefixes_hold_until_they_lapse() {
        let mut dnc = list(1, true);
        dnc.add(&entries(&[14_155_550_123], &[], None));
        dnc.add(&entries(&[14_155_550_124], &["1900"], Some(at(10))));
        let hits = |number, minutes| dnc.hits(number, at(minutes));
        assert!(hits("+14155550123", 1_000_000));
        assert!(hits("+14155550124", 9) && hits("+14155550124", 10) && !hits("+14155550124", 11));
        assert!(hits("+19005550100", 0) && !hits("+19005550100", 11) && !hits("+12005550100", 0));
        assert!(!hits("+14155550125", 0) && !hits("1001", 0) && !hits("", 0));
        dnc.remove(&entries(&[14_155_550_123], &["1900"], None));
        assert!(!dnc.hits("+14155550123", at(0)) && !dnc.hits("+19005550100", at(0)));
        assert_eq!(dnc.len(), 1);
    }

    #[test]
    fn a_number_of_which_a_hash_is_kept_is_known_again() {
        let mut dnc = list(1, true);
        let hash = number_hash(dnc.row.id, "+14155550123");
        assert_ne!(hash, number_hash(DncListId::from_bits(2), "+14155550123"), "each list its own");
        let hashes = DncNumbers { hashes: vec![hash], expires_at: Some(at(10)), ..DncNumbers::default() };
        dnc.add(&hashes);
        assert!(dnc.hits("+14155550123", at(10)) && !dnc.hits("+14155550123", at(11)));
        assert!(!dnc.hits("+14155550124", at(0)));
        assert_eq!(dnc.len(), 1);
        dnc.remove(&hashes);
        assert!(!dnc.hits("+14155550123", at(0)));
    }

    #[test]
    fn a_campaigns_list_holds_for_those_who_name_it() {
        let mut book = DncBook::default();
        for (bits, everywhere, number) in [(1, true, 4_930_123_456), (2, false, 4_930_123_457)] {
            let mut dnc = list(bits, everywhere);
            dnc.add(&entries(&[number], &[], None));
            book.lists.insert(dnc.row.id, dnc);
        }
        let (all, own) = (DncListId::from_bits(1), DncListId::from_bits(2));
        assert_eq!(book.hit(None, &[], "+4930123456", at(0)), Some(all));
        assert_eq!(book.hit(None, &[], "+4930123457", at(0)), None);
        assert_eq!(book.hit(None, &[own], "+4930123457", at(0)), Some(own));
    }

    #[test]
    fn a_tenants_list_holds_for_its_tenant() {
        let mut book = DncBook::default();
        let mut dnc = list(1, true);
        dnc.row.config.tenant = Tenant::new("acme");
        dnc.add(&entries(&[4_930_123_456], &[], None));
        let id = dnc.row.id;
        book.lists.insert(id, dnc);
        let hit = |tenant: &str| book.hit(Tenant::new(tenant).as_ref(), &[], "+4930123456", at(0));
        assert_eq!((hit("acme"), hit("blue")), (Some(id), None));
        assert_eq!(book.hit(None, &[], "+4930123456", at(0)), None);
    }
}
