//! Digest authentication (RFC 3261 §22, RFC 7616, RFC 8760), both sides: MD5, SHA-256 and SHA-512/256, plain and
//! bound to a session, with the body under protection (`auth-int`) or without.

mod answerer;
mod challenger;
mod counts;

pub(crate) use answerer::Answerer;
pub(crate) use challenger::{Challenger, Nonces, Verdict};

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

use crate::wire::Algorithm;

/// A hash in lower-case hex; 32 or 64 digits.
#[derive(Clone, Copy)]
struct Hex {
    digits: [u8; 64],
    length: usize,
}

impl Hex {
    fn as_bytes(&self) -> &[u8] {
        &self.digits[..self.length]
    }
}

/// The hash functions we have, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hash {
    Md5,
    Sha256,
    Sha512_256,
}

impl Hash {
    /// The hash of an algorithm, and whether it is bound to a session. `None` for one we do not know.
    const fn of(algorithm: Algorithm) -> Option<(Hash, bool)> {
        Some(match algorithm {
            Algorithm::Md5 => (Hash::Md5, false),
            Algorithm::Md5Sess => (Hash::Md5, true),
            Algorithm::Sha256 => (Hash::Sha256, false),
            Algorithm::Sha256Sess => (Hash::Sha256, true),
            Algorithm::Sha512_256 => (Hash::Sha512_256, false),
            Algorithm::Sha512_256Sess => (Hash::Sha512_256, true),
            Algorithm::Other => return None,
        })
    }

    /// The hash of parts with a colon between each two.
    fn over(self, parts: &[&[u8]]) -> Hex {
        match self {
            Hash::Md5 => hex::<Md5>(parts),
            Hash::Sha256 => hex::<Sha256>(parts),
            Hash::Sha512_256 => hex::<Sha512_256>(parts),
        }
    }
}

fn hex<H: Digest>(parts: &[&[u8]]) -> Hex {
    let mut hash = H::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    let mut digits = [0; 64];
    let hash = hash.finalize();
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(&hash) {
        *pair = [b"0123456789abcdef"[usize::from(byte >> 4)], b"0123456789abcdef"[usize::from(byte & 15)]];
    }
    Hex { digits, length: (hash.len() * 2).min(64) }
}

/// Quality of protection (RFC 7616 §3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    /// Method and URI.
    Auth,
    /// … and the body.
    Integrity,
}

impl Protection {
    const fn as_bytes(self) -> &'static [u8] {
        match self {
            Protection::Auth => b"auth",
            Protection::Integrity => b"auth-int",
        }
    }
}

/// The parts of a digest both sides put together.
struct Parts<'a> {
    hash: Hash,
    session: bool,
    username: &'a [u8],
    realm: &'a [u8],
    password: &'a [u8],
    method: &'a [u8],
    uri: &'a [u8],
    body: &'a [u8],
    nonce: &'a [u8],
    cnonce: &'a [u8],
    /// Nonce count and protection, when qop is used.
    counted: Option<(&'a [u8], Protection)>,
}

impl Parts<'_> {
    fn response(&self) -> Hex {
        let mut secret = self.hash.over(&[self.username, self.realm, self.password]);
        if self.session {
            secret = self.hash.over(&[secret.as_bytes(), self.nonce, self.cnonce]);
        }
        let secret = secret.as_bytes();
        let request = match self.counted {
            Some((_, Protection::Integrity)) => {
                let body = self.hash.over(&[self.body]);
                self.hash.over(&[self.method, self.uri, body.as_bytes()])
            }
            _ => self.hash.over(&[self.method, self.uri]),
        };
        let request = request.as_bytes();
        match self.counted {
            Some((count, protection)) => {
                let parts = [secret, self.nonce, count, self.cnonce, protection.as_bytes(), request];
                self.hash.over(&parts)
            }
            None => self.hash.over(&[secret, self.nonce, request]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(hash: Hash) -> Parts<'static> {
        Parts {
            hash,
            session: false,
            username: b"Mufasa",
            realm: b"http-auth@example.org",
            password: b"Circle of Life",
            method: b"GET",
            uri: b"/dir/index.html",
            body: b"",
            nonce: b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            cnonce: b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            counted: Some((b"00000001", Protection::Auth)),
        }
    }

    /// RFC 2617 §3.5 and RFC 7616 §3.9.1.
    #[test]
    fn the_examples_of_the_rfcs() {
        let old = Parts {
            realm: b"testrealm@host.com",
            password: b"Circle Of Life",
            nonce: b"dcd98b7102dd2f0e8b11d0f600bfb0c093",
            cnonce: b"0a4f113b",
            ..parts(Hash::Md5)
        };
        assert_eq!(old.response().as_bytes(), b"6629fae49393a05397450978507c4ef1");
        let plain = Parts { counted: None, ..old };
        assert_eq!(plain.response().as_bytes(), b"670fd8c2df070c60b045671b8b24ff02");
        assert_eq!(parts(Hash::Md5).response().as_bytes(), b"8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(
            parts(Hash::Sha256).response().as_bytes(),
            b"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn every_part_counts() {
        let all = |hash| {
            let base = || parts(hash);
            let integrity = Some((&b"00000001"[..], Protection::Integrity));
            [
                base(),
                Parts { session: true, ..base() },
                Parts { session: true, cnonce: b"x", ..base() },
                Parts { counted: None, ..base() },
                Parts { counted: integrity, ..base() },
                Parts { counted: integrity, body: b"v=0", ..base() },
                Parts { counted: Some((b"00000002", Protection::Auth)), ..base() },
                Parts { method: b"PUT", ..base() },
                Parts { uri: b"/", ..base() },
            ]
        };
        let mut seen = std::collections::BTreeSet::new();
        for hash in [Hash::Md5, Hash::Sha256, Hash::Sha512_256] {
            for parts in all(hash) {
                assert!(seen.insert(parts.response().as_bytes().to_vec()));
            }
        }
        // Without auth-int the body is not looked at.
        let with = Parts { body: b"v=0", ..parts(Hash::Sha256) };
        assert_eq!(with.response().as_bytes(), parts(Hash::Sha256).response().as_bytes());
    }
}
