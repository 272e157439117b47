//! Digest authentication (RFC 3261 §22, RFC 2617), both sides, MD5.

use md5::{Digest as _, Md5};
use sansio::{Duration, Instant, Rng};

use super::Login;
use crate::hash::Secret;
use crate::mark::base32;
use crate::wire::{Algorithm, Challenge, Credentials, HeaderName, Message, Writer};

/// Bytes of a nonce of ours: seven digits of time, thirteen of authentication code.
const NONCE_BYTES: usize = 20;

/// An MD5 sum in hex.
type Hex = [u8; 32];

fn md5(parts: &[&[u8]]) -> Hex {
    let mut hash = Md5::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    let mut hex = [0; 32];
    for (pair, byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(hash.finalize()) {
        *pair = [b"0123456789abcdef"[usize::from(byte >> 4)], b"0123456789abcdef"[usize::from(byte & 15)]];
    }
    hex
}

/// The parts of a digest both sides put together.
struct Parts<'a> {
    username: &'a [u8],
    realm: &'a [u8],
    password: &'a [u8],
    method: &'a [u8],
    uri: &'a [u8],
    nonce: &'a [u8],
    session: bool,
    /// Nonce count and client's nonce, when qop is used.
    counted: Option<(&'a [u8], &'a [u8])>,
}

impl Parts<'_> {
    fn response(&self) -> Hex {
        let mut secret = md5(&[self.username, self.realm, self.password]);
        let cnonce = self.counted.map_or(&[][..], |(_, cnonce)| cnonce);
        if self.session {
            secret = md5(&[&secret, self.nonce, cnonce]);
        }
        let request = md5(&[self.method, self.uri]);
        match self.counted {
            Some((count, cnonce)) => md5(&[&secret, self.nonce, count, cnonce, b"auth", &request]),
            None => md5(&[&secret, self.nonce, &request]),
        }
    }
}

/// What credentials are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Right.
    Right,
    /// The password is right, the nonce too old (or from before a restart): challenge with `stale=true`.
    Stale,
    /// The password is wrong.
    Wrong,
}

/// The server's side: challenges that need no memory.
///
/// A nonce is the second in which it was made and a code over it that only we can make, so it proves its own age.
/// What follows from having no memory: within its lifetime a nonce may be used again, so a recorded request can
/// be played back for that long; who must exclude this uses TLS.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Challenger {
    pub(crate) lifetime: Duration,
}

impl Challenger {
    fn nonce(secret: &Secret, second: u64) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        base32(&mut nonce[..7], second);
        let code = secret.hash(&[b"nonce", &nonce[..7]]) as u64;
        base32(&mut nonce[7..], code);
        nonce
    }

    /// Writes the challenge of a 401.
    pub(crate) fn challenge(
        secret: &Secret,
        now: Instant,
        realm: &str,
        stale: bool,
        writer: &mut Writer<'_>,
    ) {
        let nonce = Self::nonce(secret, now.as_millis() / 1000);
        let stale: &[u8] = if stale { b",stale=true" } else { b"" };
        writer.header_parts(
            HeaderName::WwwAuthenticate,
            &[
                b"Digest realm=\"",
                realm.as_bytes(),
                b"\",nonce=\"",
                &nonce,
                b"\",algorithm=MD5,qop=\"auth\"",
                stale,
            ],
        );
    }

    /// The credentials in a request that were meant for this realm and can be checked.
    pub(crate) fn credentials<'m>(request: &'m Message, realm: &str) -> Option<Credentials<'m>> {
        request.headers(HeaderName::Authorization).find_map(|value| {
            let found = Credentials::parse(value).ok()?;
            let checkable = found.is_digest()
                && found.realm == realm.as_bytes()
                && matches!(found.algorithm, Algorithm::Md5 | Algorithm::Md5Sess)
                && found.qop.is_none_or(|qop| qop.eq_ignore_ascii_case(b"auth"));
            checkable.then_some(found)
        })
    }

    /// Checks credentials against a password.
    pub(crate) fn check(
        self,
        secret: &Secret,
        now: Instant,
        method: &[u8],
        given: &Credentials<'_>,
        password: &[u8],
    ) -> Verdict {
        let counted = match given.qop {
            Some(_) => match (given.nc_text, given.cnonce) {
                (Some(count), Some(cnonce)) => Some((count, cnonce)),
                _ => return Verdict::Wrong,
            },
            None => None,
        };
        let expected = Parts {
            username: given.username,
            realm: given.realm,
            password,
            method,
            uri: given.uri,
            nonce: given.nonce,
            session: given.algorithm == Algorithm::Md5Sess,
            counted,
        }
        .response();
        // Without a branch on the place of the first difference.
        let same = given.response.len() == expected.len()
            && given
                .response
                .iter()
                .zip(expected)
                .fold(0, |differing, (left, right)| differing | (left.to_ascii_lowercase() ^ right))
                == 0;
        if !same {
            return Verdict::Wrong;
        }
        let now_s = now.as_millis() / 1000;
        let made = given.nonce.get(..7).and_then(|digits| {
            let mut second = 0;
            for digit in digits {
                second = second * 32 + u64::from(char::from(*digit).to_digit(32)?);
            }
            Some(second)
        });
        match made {
            Some(second)
                if Self::nonce(secret, second) == given.nonce
                    && second <= now_s
                    && now_s - second < self.lifetime.as_secs() =>
            {
                Verdict::Right
            }
            _ => Verdict::Stale,
        }
    }
}

/// The client's side: one challenge and how often it was answered.
#[derive(Debug, Clone)]
pub(crate) struct Answerer {
    /// 407 instead of 401.
    proxy: bool,
    realm: Box<[u8]>,
    nonce: Box<[u8]>,
    opaque: Option<Box<[u8]>>,
    session: bool,
    qop: bool,
    stale: bool,
    count: u32,
    /// It was answered in the request that is under way.
    answered: bool,
}

impl Answerer {
    /// Another request begins: its first challenge is no verdict on the password.
    pub(crate) fn begin(&mut self) {
        self.answered = false;
    }

    /// The first challenge of a 401 or 407 that can be answered.
    pub(crate) fn of(response: &Message) -> Option<Answerer> {
        let proxy = response.status() == 407;
        let name = if proxy { HeaderName::ProxyAuthenticate } else { HeaderName::WwwAuthenticate };
        response.headers(name).find_map(|value| {
            let challenge = Challenge::parse(value).ok()?;
            let session = match challenge.algorithm {
                Algorithm::Md5 => false,
                Algorithm::Md5Sess => true,
                _ => return None,
            };
            let qop = challenge.offers_qop("auth");
            if !challenge.is_digest() || (challenge.qop.is_some() && !qop) {
                return None;
            }
            Some(Answerer {
                proxy,
                realm: challenge.realm.into(),
                nonce: challenge.nonce.into(),
                opaque: challenge.opaque.map(Into::into),
                session,
                qop,
                stale: challenge.stale,
                count: 0,
                answered: true,
            })
        })
    }

    /// Adds a challenge to those of a dialog. False when answering it again makes no sense: the same realm has
    /// refused what we gave and does not say that only the nonce was old.
    pub(crate) fn note(self, known: &mut Vec<Answerer>) -> bool {
        match known.iter_mut().find(|other| other.proxy == self.proxy && other.realm == self.realm) {
            Some(other) => {
                let again = self.stale || !other.answered;
                *other = self;
                again
            }
            None => {
                known.push(self);
                true
            }
        }
    }

    /// Writes the answer into a request.
    pub(crate) fn write(
        &mut self,
        login: &Login,
        method: &[u8],
        uri: &[u8],
        rng: &mut Rng,
        writer: &mut Writer<'_>,
    ) {
        self.count += 1;
        let count = format!("{:08x}", self.count);
        let mut cnonce = [0; 13];
        base32(&mut cnonce, rng.next_u64());
        // MD5-sess needs a client's nonce even where there is no qop (RFC 2617 §3.2.2.2).
        let counted = (self.qop || self.session).then_some((count.as_bytes(), &cnonce[..]));
        let parts = Parts {
            username: login.username.as_bytes(),
            realm: &self.realm,
            password: login.password.as_bytes(),
            method,
            uri,
            nonce: &self.nonce,
            session: self.session,
            counted,
        };
        let response = if self.qop {
            parts.response()
        } else {
            let secret = md5(&[parts.username, parts.realm, parts.password]);
            let secret = if self.session { md5(&[&secret, parts.nonce, &cnonce]) } else { secret };
            md5(&[&secret, parts.nonce, &md5(&[method, uri])])
        };
        let name = if self.proxy { HeaderName::ProxyAuthorization } else { HeaderName::Authorization };
        let mut value = Vec::with_capacity(320);
        for part in [
            b"Digest username=\"".as_slice(),
            login.username.as_bytes(),
            b"\",realm=\"",
            &self.realm,
            b"\",nonce=\"",
            &self.nonce,
            b"\",uri=\"",
            uri,
            b"\",response=\"",
            &response,
            if self.session { b"\",algorithm=MD5-sess".as_slice() } else { b"\",algorithm=MD5" },
        ] {
            value.extend_from_slice(part);
        }
        if self.qop || self.session {
            value.extend_from_slice(b",cnonce=\"");
            value.extend_from_slice(&cnonce);
            value.extend_from_slice(b"\"");
        }
        if self.qop {
            value.extend_from_slice(b",qop=auth,nc=");
            value.extend_from_slice(count.as_bytes());
        }
        if let Some(opaque) = &self.opaque {
            value.extend_from_slice(b",opaque=\"");
            value.extend_from_slice(opaque);
            value.extend_from_slice(b"\"");
        }
        writer.header(name, &value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2617 §3.5.
    #[test]
    fn the_example_of_the_rfc() {
        let parts = Parts {
            username: b"Mufasa",
            realm: b"testrealm@host.com",
            password: b"Circle Of Life",
            method: b"GET",
            uri: b"/dir/index.html",
            nonce: b"dcd98b7102dd2f0e8b11d0f600bfb0c093",
            session: false,
            counted: Some((b"00000001", b"0a4f113b")),
        };
        assert_eq!(&parts.response(), b"6629fae49393a05397450978507c4ef1");
        let plain = Parts { counted: None, ..parts };
        assert_eq!(&plain.response(), b"670fd8c2df070c60b045671b8b24ff02");
    }
}
