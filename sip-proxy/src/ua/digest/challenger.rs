//! The server's side: who may register and call.

use sansio::{Duration, Instant};

use super::counts::Counts;
use super::{Hash, Parts, Protection};
use crate::hash::Secret;
use crate::mark::base32;
use crate::ua::Digest;
use crate::wire::{Algorithm, Credentials, HeaderName, Message, Writer};

/// Bytes of a nonce of ours: seven digits of time, thirteen that tell it from others of the same second, thirteen
/// of authentication code.
const NONCE_BYTES: usize = 33;
const TIME: core::ops::Range<usize> = 0..7;
const CODE: core::ops::Range<usize> = 20..33;

/// What credentials are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Right.
    Right,
    /// The password is right, but the nonce is too old, from before a restart, or was used with this count before:
    /// challenge with `stale=true`.
    Stale,
    /// The password is wrong.
    Wrong,
}

/// Nonces that were used.
#[derive(Debug, Default)]
pub(crate) struct Nonces {
    counts: Counts,
    made: u64,
}

impl Nonces {
    /// Nonces remembered, for leak checks.
    pub(crate) fn len(&self) -> usize {
        self.counts.len()
    }
}

/// Challenges and judges what comes back.
///
/// A nonce is the second in which it was made, a number of its own, and a code over both that only we can make, so
/// it proves its own age and nothing is remembered of challenges: a flood of unanswered ones costs no memory. Only
/// what was used with a right password is remembered, see [`Counts`].
pub(crate) struct Challenger<'a> {
    pub(crate) settings: &'a Digest,
    pub(crate) realm: &'a str,
    pub(crate) secret: &'a Secret,
    pub(crate) nonces: &'a mut Nonces,
}

impl Challenger<'_> {
    fn nonce(&mut self, second: u64) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        base32(&mut nonce[TIME], second);
        self.nonces.made += 1;
        let number = self.secret.hash(&[b"nonce number", &self.nonces.made.to_le_bytes()]) as u64;
        base32(&mut nonce[TIME.end..CODE.start], number);
        let code = code_of(self.secret, &nonce[..CODE.start]);
        base32(&mut nonce[CODE], code);
        nonce
    }

    /// The second in which a nonce of ours was made, and its code. `None` when it is not ours.
    fn recognise(&self, nonce: &[u8]) -> Option<(u64, u64)> {
        let nonce: &[u8; NONCE_BYTES] = nonce.try_into().ok()?;
        let mut second = 0;
        for digit in &nonce[TIME] {
            second = second * 32 + u64::from(char::from(*digit).to_digit(32)?);
        }
        let code = code_of(self.secret, &nonce[..CODE.start]);
        let mut expected = [0; CODE.end - CODE.start];
        base32(&mut expected, code);
        same(&nonce[CODE], &expected).then_some((second, code))
    }

    /// Writes the challenges of a 401, one for each algorithm offered, the most wanted first (RFC 8760 §2.3).
    pub(crate) fn challenge(&mut self, now: Instant, stale: bool, writer: &mut Writer<'_>) {
        let nonce = self.nonce(now.as_millis() / 1000);
        let stale: &[u8] = if stale { b",stale=true" } else { b"" };
        let quality: &[u8] = if self.settings.integrity { b"auth,auth-int" } else { b"auth" };
        for algorithm in &self.settings.algorithms {
            let parts: [&[u8]; 9] = [
                b"Digest realm=\"",
                self.realm.as_bytes(),
                b"\",nonce=\"",
                &nonce,
                b"\",algorithm=",
                algorithm.as_str().as_bytes(),
                b",qop=\"",
                quality,
                b"\"",
            ];
            let mut value = parts.concat();
            value.extend_from_slice(stale);
            writer.header(HeaderName::WwwAuthenticate, &value);
        }
    }

    /// The credentials in a request that were meant for this realm and can be checked.
    pub(crate) fn credentials<'m>(&self, request: &'m Message) -> Option<Credentials<'m>> {
        request.headers(HeaderName::Authorization).find_map(|value| {
            let found = Credentials::parse(value).ok()?;
            let checkable = found.is_digest()
                && found.realm == self.realm.as_bytes()
                && self.offered(found.algorithm).is_some()
                && found.qop.is_none_or(|qop| protection(qop).is_some());
            checkable.then_some(found)
        })
    }

    /// What an algorithm is, if it is one of those offered. (Its form bound to a session may be used unasked, as
    /// clients have always done.)
    fn offered(&self, algorithm: Algorithm) -> Option<(Hash, bool)> {
        let (hash, session) = Hash::of(algorithm)?;
        let known = |offer: &Algorithm| Hash::of(*offer).is_some_and(|(other, _)| other == hash);
        self.settings.algorithms.iter().any(known).then_some((hash, session))
    }

    /// Checks credentials against a password.
    pub(crate) fn check(
        &mut self,
        now: Instant,
        request: &Message,
        given: &Credentials<'_>,
        password: &[u8],
    ) -> Verdict {
        let Some((hash, session)) = self.offered(given.algorithm) else { return Verdict::Wrong };
        let counted = match given.qop.map(protection) {
            Some(Some(protection)) => match (given.nc_text, given.cnonce) {
                (Some(count), Some(_)) => Some((count, protection)),
                _ => return Verdict::Wrong,
            },
            Some(None) => return Verdict::Wrong,
            None => None,
        };
        let expected = Parts {
            hash,
            session,
            username: given.username,
            realm: given.realm,
            password,
            method: request.method_text(),
            uri: given.uri,
            body: request.body(),
            nonce: given.nonce,
            cnonce: given.cnonce.unwrap_or_default(),
            counted,
        }
        .response();
        if !same(given.response, expected.as_bytes()) {
            return Verdict::Wrong;
        }
        let now_s = now.as_millis() / 1000;
        let lifetime_s = self.settings.nonce_lifetime.as_secs();
        let Some((made, code)) = self.recognise(given.nonce) else { return Verdict::Stale };
        if made > now_s || now_s - made >= lifetime_s {
            return Verdict::Stale;
        }
        self.nonces.counts.forget_before(now_s.saturating_sub(lifetime_s));
        // Without qop there is no count: such a nonce is good once (RFC 7616 §3.4 leaves it to the server).
        let count = if counted.is_some() { given.nc.unwrap_or_default() } else { u32::MAX };
        if self.nonces.counts.take(made, code, count, self.settings.nonces_max) {
            Verdict::Right
        } else {
            Verdict::Stale
        }
    }
}

fn code_of(secret: &Secret, text: &[u8]) -> u64 {
    secret.hash(&[b"nonce", text]) as u64
}

fn protection(qop: &[u8]) -> Option<Protection> {
    [Protection::Auth, Protection::Integrity]
        .into_iter()
        .find(|protection| protection.as_bytes().eq_ignore_ascii_case(qop))
}

/// Compares without a branch on the place of the first difference; hex in any case.
fn same(given: &[u8], expected: &[u8]) -> bool {
    given.len() == expected.len()
        && given.iter().zip(expected).fold(0, |differing, (left, right)| {
            differing | (left.to_ascii_lowercase() ^ right.to_ascii_lowercase())
        }) == 0
}

impl Default for Digest {
    fn default() -> Self {
        Digest {
            algorithms: vec![Algorithm::Md5],
            integrity: false,
            nonce_lifetime: Duration::from_secs(300),
            nonces_max: 65_536,
        }
    }
}
