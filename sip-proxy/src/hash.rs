//! Look-ups by keys that come from the network: a keyed hash, so that nobody can choose collisions.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::HashMap;

use sansio::Rng;

/// The secret of one user agent: what its hashes, its stateless tags and its nonces are keyed with.
#[derive(Clone, Copy)]
pub(crate) struct Secret {
    k0: u64,
    k1: u64,
}

impl Secret {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self { k0: rng.next_u64(), k1: rng.next_u64() }
    }

    /// SipHash-1-3 with 128 bits (Aumasson and Bernstein, 2012) over `parts`, each closed by its length, so
    /// that `["a", "bc"]` and `["ab", "c"]` differ. Without the secret two equal ones cannot be found, which
    /// is why tables keep the hash instead of the text.
    pub(crate) fn hash(&self, parts: &[&[u8]]) -> u128 {
        let mut state = SipHash::<1, 3>::new(self.k0, self.k1);
        for part in parts {
            state.write(part);
            state.write(&(part.len() as u32).to_le_bytes());
        }
        state.finish()
    }
}

/// `C` rounds for each word, `D` at the end.
struct SipHash<const C: usize, const D: usize> {
    v: [u64; 4],
    tail: u64,
    tail_len: u32,
    length: u64,
}

impl<const C: usize, const D: usize> SipHash<C, D> {
    fn new(k0: u64, k1: u64) -> Self {
        Self {
            v: [
                k0 ^ 0x736f_6d65_7073_6575,
                k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
                k0 ^ 0x6c79_6765_6e65_7261,
                k1 ^ 0x7465_6462_7974_6573,
            ],
            tail: 0,
            tail_len: 0,
            length: 0,
        }
    }

    #[inline]
    fn round(&mut self) {
        let [v0, v1, v2, v3] = &mut self.v;
        *v0 = v0.wrapping_add(*v1);
        *v1 = v1.rotate_left(13) ^ *v0;
        *v0 = v0.rotate_left(32);
        *v2 = v2.wrapping_add(*v3);
        *v3 = v3.rotate_left(16) ^ *v2;
        *v0 = v0.wrapping_add(*v3);
        *v3 = v3.rotate_left(21) ^ *v0;
        *v2 = v2.wrapping_add(*v1);
        *v1 = v1.rotate_left(17) ^ *v2;
        *v2 = v2.rotate_left(32);
    }

    #[inline]
    fn word(&mut self, word: u64) {
        self.v[3] ^= word;
        (0..C).for_each(|_| self.round());
        self.v[0] ^= word;
    }

    fn write(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len() as u64;
        while self.tail_len > 0 && !bytes.is_empty() {
            self.tail |= u64::from(bytes[0]) << (8 * self.tail_len);
            self.tail_len += 1;
            bytes = &bytes[1..];
            if self.tail_len == 8 {
                let word = self.tail;
                (self.tail, self.tail_len) = (0, 0);
                self.word(word);
            }
        }
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.tail |= u64::from(*byte) << (8 * self.tail_len);
            self.tail_len += 1;
        }
    }

    fn finish(mut self) -> u128 {
        let last = self.tail | (self.length << 56);
        self.word(last);
        self.v[2] ^= 0xee;
        (0..D).for_each(|_| self.round());
        let low = self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3];
        self.v[1] ^= 0xdd;
        (0..D).for_each(|_| self.round());
        let high = self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3];
        u128::from(high) << 64 | u128::from(low)
    }
}

/// Parts of a table.
const PARTS: usize = 64;

type Part<V> = HashMap<u128, V, BuildHasherDefault<AlreadyHashed>>;

/// A table whose keys are already keyed hashes. Only ever looked into, never walked.
///
/// It is kept in parts, each of which grows by itself: moving all of a hundred thousand entries at once is a pause of
/// more than ten milliseconds.
pub(crate) struct HashedMap<V> {
    parts: [Part<V>; PARTS],
}

impl<V> Default for HashedMap<V> {
    fn default() -> Self {
        HashedMap { parts: core::array::from_fn(|_| Part::default()) }
    }
}

impl<V> HashedMap<V> {
    /// By the bits of a key that places within a part do not depend on.
    fn part(key: u128) -> usize {
        (key >> 64) as usize % PARTS
    }

    pub(crate) fn get(&self, key: u128) -> Option<&V> {
        self.parts[Self::part(key)].get(&key)
    }

    pub(crate) fn contains_key(&self, key: u128) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn insert(&mut self, key: u128, value: V) {
        self.parts[Self::part(key)].insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: u128) {
        self.parts[Self::part(key)].remove(&key);
    }

    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(HashMap::len).sum()
    }
}

/// Takes a hash for its own hash.
#[derive(Default, Clone, Copy)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference vector: key 00..0f, input 00..0e, SipHash-2-4-128.
    #[test]
    fn agrees_with_the_reference_vector() {
        let key = |from: u8| u64::from_le_bytes(core::array::from_fn(|index| from + index as u8));
        let input: Vec<u8> = (0..15).collect();
        let mut whole = SipHash::<2, 4>::new(key(0), key(8));
        whole.write(&input);
        let expected =
            [0x54, 0x93, 0xe9, 0x99, 0x33, 0xb0, 0xa8, 0x11, 0x7e, 0x08, 0xec, 0x0f, 0x97, 0xcf, 0xc3, 0xd9];
        assert_eq!(whole.finish().to_le_bytes(), expected);
        for cut in 0..input.len() {
            let mut parts = SipHash::<2, 4>::new(key(0), key(8));
            parts.write(&input[..cut]);
            parts.write(&input[cut..]);
            assert_eq!(parts.finish().to_le_bytes(), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_table_keeps_its_entries_whatever_part_they_are_in() {
        let secret = Secret::new(&mut Rng::from_seed(1));
        let keys: Vec<u128> = (0..1000_u32).map(|n| secret.hash(&[&n.to_le_bytes()])).collect();
        let mut table = HashedMap::default();
        keys.iter().enumerate().for_each(|(n, key)| table.insert(*key, n));
        assert_eq!(table.len(), keys.len());
        assert!(table.parts.iter().all(|part| (1..64).contains(&part.len())));
        keys.iter().enumerate().for_each(|(n, key)| assert_eq!(table.get(*key), Some(&n)));
        keys.iter().for_each(|key| table.remove(*key));
        assert_eq!(table.len(), 0);
        assert!(!table.contains_key(keys[0]));
    }

    #[test]
    fn where_parts_end_matters() {
        let secret = Secret::new(&mut Rng::from_seed(1));
        assert_ne!(secret.hash(&[b"a", b"bc"]), secret.hash(&[b"ab", b"c"]));
        assert_eq!(secret.hash(&[b"a", b"bc"]), secret.hash(&[b"a", b"bc"]));
    }
}
