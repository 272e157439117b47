//! Keys: their suites, where ours come from, and that nobody reads them in a log.

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use std::fmt;

/// What a key is for: a cipher and how long its tags are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suite {
    /// AES in counter mode with HMAC-SHA1, tags of 80 bits (RFC 4568 §6.2.1).
    AesCm128Sha1_80,
    /// The same with tags of 32 bits on sound; reports keep 80 (RFC 4568 §6.2.2).
    AesCm128Sha1_32,
    /// AES in Galois/counter mode, tags of 128 bits (RFC 7714).
    AeadAes128Gcm,
    /// The same with keys of 256 bits.
    AeadAes256Gcm,
}

impl Suite {
    /// All, the one that nearly everybody knows first.
    pub const ALL: [Suite; 4] =
        [Suite::AesCm128Sha1_80, Suite::AeadAes128Gcm, Suite::AesCm128Sha1_32, Suite::AeadAes256Gcm];

    /// Its name in `a=crypto` (RFC 4568 §6.2, RFC 7714 §14.2).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Suite::AesCm128Sha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::AesCm128Sha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of that name, in any case.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Suite> {
        Suite::ALL.into_iter().find(|suite| name.eq_ignore_ascii_case(suite.name().as_bytes()))
    }

    /// Bytes of the master salt.
    #[must_use]
    pub const fn salt_bytes(self) -> usize {
        match self {
            Suite::AesCm128Sha1_80 | Suite::AesCm128Sha1_32 => 14,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 12,
        }
    }

    const fn secret_bytes(self) -> usize {
        match self {
            Suite::AesCm128Sha1_80 | Suite::AesCm128Sha1_32 | Suite::AeadAes128Gcm => 16,
            Suite::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of master key and salt together: what `inline:` holds.
    #[must_use]
    pub const fn key_bytes(self) -> usize {
        self.secret_bytes() + self.salt_bytes()
    }
}

/// Bytes of the longest salt.
const SALT_BYTES_MAX: usize = 14;
/// Room for the longest key and the longest salt.
const BYTES_MAX: usize = 32 + SALT_BYTES_MAX;

/// A master key with its salt. Not shown by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MasterKey {
    suite: Suite,
    bytes: [u8; BYTES_MAX],
}

impl MasterKey {
    /// Key and salt behind each other; `None` unless there are [`Suite::key_bytes`] of them.
    #[must_use]
    pub fn new(suite: Suite, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != suite.key_bytes() {
            return None;
        }
        let mut key = [0; BYTES_MAX];
        key[..bytes.len()].copy_from_slice(bytes);
        Some(MasterKey { suite, bytes: key })
    }

    /// What it is for.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Key and salt behind each other.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.suite.key_bytes()]
    }

    /// 16 bytes, or 32.
    pub(super) fn key(&self) -> &[u8] {
        &self.bytes[..self.suite.secret_bytes()]
    }

    /// The salt, 14 bytes; a shorter one has zeros behind it.
    pub(super) fn salt(&self) -> &[u8] {
        &self.bytes[self.suite.secret_bytes()..][..SALT_BYTES_MAX]
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({}, ***)", self.suite.name())
    }
}

/// The keys of both directions between us and a far end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SrtpKeys {
    /// The far end's: what it sends is opened with it.
    pub inbound: MasterKey,
    /// Ours: what it is sent is protected with it.
    pub outbound: MasterKey,
}

/// From what keys are drawn: 256 bits of the system's entropy. Not shown by `Debug`. All zeros, the keys are no secret,
/// which is what simulations want.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Draws keys: the keystream of AES in counter mode under a [`Secret`]. Equal secrets give equal keys.
pub struct KeySource(Ctr128BE<Aes128>);

impl KeySource {
    /// A source of its own for each secret.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let (key, counter) = secret.0.split_at(16);
        let key: [u8; 16] = key.try_into().expect("half of 32 bytes");
        let counter: [u8; 16] = counter.try_into().expect("half of 32 bytes");
        KeySource(Ctr128BE::<Aes128>::new(&key.into(), &counter.into()))
    }

    /// Fills the bytes with what nobody can guess.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
        self.0.apply_keystream(bytes);
    }

    /// A new key.
    pub fn master_key(&mut self, suite: Suite) -> MasterKey {
        let mut key = MasterKey { suite, bytes: [0; BYTES_MAX] };
        self.fill(&mut key.bytes[..suite.key_bytes()]);
        key
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySource(***)")
    }
}
