//! Digest challenges and credentials (RFC 3261 §22, RFC 8760).

use super::ValueError;
use super::grammar::{Res, bad, lws, quoted, sep, token, whole};

use nom::Parser as _;

/// Parameters of one challenge or of one set of credentials beyond which it is refused.
const PARAMS_MAX: usize = 64;

/// The hash of a digest, and whether it is bound to a session (`-sess`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Algorithm {
    Md5,
    Md5Sess,
    Sha256,
    Sha256Sess,
    Sha512_256,
    Sha512_256Sess,
    /// Any other.
    Other,
}

impl Algorithm {
    /// The algorithm with this name, in any case.
    #[must_use]
    pub fn from_bytes(text: &[u8]) -> Self {
        let known = [
            Self::Md5,
            Self::Md5Sess,
            Self::Sha256,
            Self::Sha256Sess,
            Self::Sha512_256,
            Self::Sha512_256Sess,
        ];
        known
            .into_iter()
            .find(|algorithm| algorithm.as_str().as_bytes().eq_ignore_ascii_case(text))
            .unwrap_or(Self::Other)
    }

    /// The name to write; empty for [`Algorithm::Other`].
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Sha512_256 => "SHA-512-256",
            Self::Sha512_256Sess => "SHA-512-256-sess",
            Self::Other => "",
        }
    }
}

/// A `WWW-Authenticate` or `Proxy-Authenticate` value. Texts are what stood between the quotes, escapes
/// left in, so that they can be hashed and sent back as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// `Digest`, or a scheme we do not speak (then all else is empty).
    pub scheme: &'a [u8],
    /// The realm.
    pub realm: &'a [u8],
    /// The nonce.
    pub nonce: &'a [u8],
    /// To be sent back, if there.
    pub opaque: Option<&'a [u8]>,
    /// The algorithm; MD5 if none is named.
    pub algorithm: Algorithm,
    /// Offered qualities of protection, as written: `auth,auth-int`.
    pub qop: Option<&'a [u8]>,
    /// The nonce was too old, the password was right.
    pub stale: bool,
}

/// An `Authorization` or `Proxy-Authorization` value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// `Digest`, or a scheme we do not speak (then all else is empty).
    pub scheme: &'a [u8],
    /// The user name.
    pub username: &'a [u8],
    /// The realm.
    pub realm: &'a [u8],
    /// The nonce.
    pub nonce: &'a [u8],
    /// The URI the digest was made over.
    pub uri: &'a [u8],
    /// The digest, in hex.
    pub response: &'a [u8],
    /// The algorithm; MD5 if none is named.
    pub algorithm: Algorithm,
    /// The client's nonce.
    pub cnonce: Option<&'a [u8]>,
    /// The chosen quality of protection.
    pub qop: Option<&'a [u8]>,
    /// The nonce count.
    pub nc: Option<u32>,
    /// The nonce count as written (it goes into the digest).
    pub nc_text: Option<&'a [u8]>,
    /// What the challenge asked to be sent back.
    pub opaque: Option<&'a [u8]>,
}

impl<'a> Challenge<'a> {
    /// Takes apart one header value.
    ///
    /// # Errors
    /// When it is not a challenge, or a digest challenge without realm or nonce.
    pub fn parse(value: &'a [u8]) -> Result<Self, ValueError> {
        whole(value, challenge)
    }

    /// Whether the scheme is Digest.
    #[must_use]
    pub fn is_digest(&self) -> bool {
        is_digest(self.scheme)
    }

    /// Whether this quality of protection (`auth`, `auth-int`) is among the offered.
    #[must_use]
    pub fn offers_qop(&self, quality: &str) -> bool {
        self.qop.is_some_and(|list| {
            list.split(|byte| *byte == b',')
                .any(|item| super::grammar::trim(item).eq_ignore_ascii_case(quality.as_bytes()))
        })
    }
}

impl<'a> Credentials<'a> {
    /// Takes apart one header value.
    ///
    /// # Errors
    /// When it is not a set of credentials, or one of digest without user name, realm, nonce, URI or response.
    pub fn parse(value: &'a [u8]) -> Result<Self, ValueError> {
        whole(value, credentials)
    }

    /// Whether the scheme is Digest.
    #[must_use]
    pub fn is_digest(&self) -> bool {
        is_digest(self.scheme)
    }
}

fn is_digest(scheme: &[u8]) -> bool {
    scheme.eq_ignore_ascii_case(b"Digest")
}

fn challenge(input: &[u8]) -> Res<'_, Challenge<'_>> {
    let (rest, scheme) = token(lws(input))?;
    let mut found = Challenge {
        scheme,
        realm: &[],
        nonce: &[],
        opaque: None,
        algorithm: Algorithm::Md5,
        qop: None,
        stale: false,
    };
    if !is_digest(scheme) {
        return Ok((&[], found));
    }
    let mut seen = (false, false);
    let (rest, ()) = auth_params(rest, |name, value| {
        if name.eq_ignore_ascii_case(b"realm") {
            found.realm = value;
            seen.0 = true;
        } else if name.eq_ignore_ascii_case(b"nonce") {
            found.nonce = value;
            seen.1 = true;
        } else if name.eq_ignore_ascii_case(b"opaque") {
            found.opaque = Some(value);
        } else if name.eq_ignore_ascii_case(b"algorithm") {
            found.algorithm = Algorithm::from_bytes(value);
        } else if name.eq_ignore_ascii_case(b"qop") {
            found.qop = Some(value);
        } else if name.eq_ignore_ascii_case(b"stale") {
            found.stale = value.eq_ignore_ascii_case(b"true");
        }
        true
    })?;
    if seen == (true, true) { Ok((rest, found)) } else { bad(rest) }
}

fn credentials(input: &[u8]) -> Res<'_, Credentials<'_>> {
    let (rest, scheme) = token(lws(input))?;
    let mut found = Credentials {
        scheme,
        username: &[],
        realm: &[],
        nonce: &[],
        uri: &[],
        response: &[],
        algorithm: Algorithm::Md5,
        cnonce: None,
        qop: None,
        nc: None,
        nc_text: None,
        opaque: None,
    };
    if !is_digest(scheme) {
        return Ok((&[], found));
    }
    let mut seen = 0_u8;
    let (rest, ()) = auth_params(rest, |name, value| {
        if name.eq_ignore_ascii_case(b"username") {
            found.username = value;
            seen |= 1;
        } else if name.eq_ignore_ascii_case(b"realm") {
            found.realm = value;
            seen |= 2;
        } else if name.eq_ignore_ascii_case(b"nonce") {
            found.nonce = value;
            seen |= 4;
        } else if name.eq_ignore_ascii_case(b"uri") {
            found.uri = value;
            seen |= 8;
        } else if name.eq_ignore_ascii_case(b"response") {
            found.response = value;
            seen |= 16;
        } else if name.eq_ignore_ascii_case(b"algorithm") {
            found.algorithm = Algorithm::from_bytes(value);
        } else if name.eq_ignore_ascii_case(b"cnonce") {
            found.cnonce = Some(value);
        } else if name.eq_ignore_ascii_case(b"qop") {
            found.qop = Some(value);
        } else if name.eq_ignore_ascii_case(b"opaque") {
            found.opaque = Some(value);
        } else if name.eq_ignore_ascii_case(b"nc") {
            found.nc_text = Some(value);
            found.nc = hex_u32(value);
            return found.nc.is_some();
        }
        true
    })?;
    if seen == 31 { Ok((rest, found)) } else { bad(rest) }
}

/// `name=value` pairs between commas; `note` gets each and says whether it is sound.
fn auth_params<'a>(input: &'a [u8], mut note: impl FnMut(&'a [u8], &'a [u8]) -> bool) -> Res<'a, ()> {
    let mut rest = lws(input);
    for _ in 0..PARAMS_MAX {
        let (left, name) = token(rest)?;
        let (left, ()) = sep(b'=')(left)?;
        let (left, value) = auth_value(left)?;
        if !note(name, value) {
            return bad(rest);
        }
        match lws(left) {
            [] => return Ok((&[], ())),
            [b',', more @ ..] => rest = lws(more),
            other => return bad(other),
        }
    }
    bad(rest)
}

/// A quoted string, or anything up to a comma or white space (some senders leave quotes out).
fn auth_value(input: &[u8]) -> Res<'_, &[u8]> {
    if input.first() == Some(&b'"') {
        return quoted(input);
    }
    nom::bytes::complete::take_while1(|byte: u8| byte > b' ' && byte != b',' && byte != b'"' && byte != 0x7f)
        .parse(input)
}

/// `nc-value`: eight hex digits (RFC 7616 §3.4).
fn hex_u32(text: &[u8]) -> Option<u32> {
    if text.len() != 8 {
        return None;
    }
    text.iter().try_fold(0_u32, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let text =
            br#"Digest realm="a, \"b\"", nonce="n==", qop="auth, auth-int",algorithm=SHA-256 ,stale=TRUE"#;
        let found = Challenge::parse(text).expect("a challenge");
        assert!(found.is_digest() && found.stale);
        assert_eq!(found.realm, br#"a, \"b\""#);
        assert_eq!((found.nonce, found.opaque), (&b"n=="[..], None));
        assert_eq!(found.algorithm, Algorithm::Sha256);
        assert!(found.offers_qop("auth") && found.offers_qop("auth-int") && !found.offers_qop("x"));
        let other = Challenge::parse(b"NoOneKnowsThisScheme opaque-data=here").expect("a challenge");
        assert!(!other.is_digest());
        for text in ["", "Digest", "Digest realm=\"x\"", "Digest realm=\"x\", nonce=", "Digest realm=\"x"] {
            assert!(Challenge::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn answers() {
        let text = br#"Digest username="1001",realm="r",nonce="n",uri="sip:h;x=y,z",response="00ff",cnonce="c",qop=auth,nc=0000001F,algorithm=md5"#;
        let found = Credentials::parse(text).expect("credentials");
        assert_eq!((found.username, found.uri), (&b"1001"[..], &b"sip:h;x=y,z"[..]));
        assert_eq!((found.nc, found.nc_text), (Some(31), Some(&b"0000001F"[..])));
        assert_eq!((found.algorithm, found.qop), (Algorithm::Md5, Some(&b"auth"[..])));
        for text in [
            "Digest username=\"a\"",
            "Digest username=\"a\",realm=\"r\",nonce=\"n\",uri=\"u\",response=\"r\",nc=1",
            "Digest username=\"a\" realm=\"r\"",
        ] {
            assert!(Credentials::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
