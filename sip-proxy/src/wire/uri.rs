//! URIs (RFC 3261 §19.1, RFC 3966).

use nom::Parser as _;
use nom::combinator::opt;

use super::ValueError;
use super::grammar::{Res, bad, host, opt_port, position, scheme, uri_bytes};
use super::scan;

/// Parameters or headers beyond this number make two URIs unequal unless their bytes are equal: it keeps
/// the comparison of hostile URIs short.
const COMPARED_PARAMS_MAX: usize = 32;

/// The scheme of a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Scheme {
    Sip,
    Sips,
    Tel,
    /// Any other; see [`Uri::scheme_text`].
    Other,
}

/// A URI in its parts, borrowed from its text. Escapes (`%41`) are left as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The scheme.
    pub scheme: Scheme,
    /// The scheme as written.
    pub scheme_text: &'a [u8],
    /// User part of `sip:`/`sips:`, without the password; the number of `tel:`.
    pub user: Option<&'a [u8]>,
    /// Password in the user part.
    pub password: Option<&'a [u8]>,
    /// Host; an IPv6 address keeps its brackets. Of any scheme but `sip`, `sips` and `tel` it is all
    /// that follows the colon; of `tel` it is empty.
    pub host: &'a [u8],
    /// Port, if one is written.
    pub port: Option<u16>,
    /// Parameters after the host (`;transport=udp;lr`).
    pub params: UriParams<'a>,
    /// Headers after the question mark, without it.
    pub headers: Option<&'a [u8]>,
}

impl<'a> Uri<'a> {
    /// Takes a URI apart.
    ///
    /// # Errors
    /// When the text is not a URI: scheme, host, port or user part are wrong, or a byte occurs that a URI
    /// cannot hold.
    pub fn parse(text: &'a [u8]) -> Result<Self, ValueError> {
        match uri(text) {
            Ok(([], uri)) => Ok(uri),
            Ok((rest, _)) => Err(ValueError { offset: text.len() - rest.len() }),
            Err(error) => Err(position(text, error)),
        }
    }

    /// The value of a parameter (any case of the name); a parameter without a value gives an empty one.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        self.params.get(name)
    }

    /// Whether the `lr` flag is there: the next hop is a loose router (RFC 3261 §19.1.1).
    #[must_use]
    pub fn loose_router(&self) -> bool {
        self.params.get("lr").is_some()
    }

    /// Whether two URIs are equal by RFC 3261 §19.1.4 (schemes other than sip, sips and tel: when their
    /// text is equal).
    #[must_use]
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        if self.scheme != other.scheme {
            return false;
        }
        match self.scheme {
            Scheme::Other => {
                self.scheme_text.eq_ignore_ascii_case(other.scheme_text) && self.host == other.host
            }
            Scheme::Tel => {
                number_equal(self.user, other.user) && params_equal(self.params, other.params, &[])
            }
            Scheme::Sip | Scheme::Sips => {
                optional_equal(self.user, other.user, Case::Sensitive)
                    && optional_equal(self.password, other.password, Case::Sensitive)
                    && text_equal(self.host, other.host, Case::Ignored)
                    && self.port == other.port
                    && params_equal(self.params, other.params, ALWAYS_COMPARED)
                    && headers_equal(self.headers, other.headers)
            }
        }
    }
}

/// Parameters that make a difference even when only one of the two URIs has them (RFC 3261 §19.1.4).
const ALWAYS_COMPARED: &[&[u8]] = &[b"user", b"ttl", b"method", b"maddr", b"transport"];

/// `;name=value` parameters of a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UriParams<'a>(&'a [u8]);

impl<'a> UriParams<'a> {
    /// All parameters in order.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        split_pairs(self.0.strip_prefix(b";").unwrap_or(self.0), b';')
    }

    /// The value of the first parameter of this name (any case); empty if it has no value.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        self.iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.unwrap_or_default())
    }

    /// The parameters as they were written, with the leading semicolon.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

/// `a=b` items between separators; empty items are left out.
fn split_pairs(text: &[u8], separator: u8) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    text.split(move |byte| *byte == separator).filter(|item| !item.is_empty()).map(
        |item| match memchr::memchr(b'=', item) {
            Some(at) => (&item[..at], Some(&item[at + 1..])),
            None => (item, None),
        },
    )
}

fn scheme_of(text: &[u8]) -> Scheme {
    if text == b"sip" || text.eq_ignore_ascii_case(b"sip") {
        Scheme::Sip
    } else if text.eq_ignore_ascii_case(b"sips") {
        Scheme::Sips
    } else if text.eq_ignore_ascii_case(b"tel") {
        Scheme::Tel
    } else {
        Scheme::Other
    }
}

#[inline(always)]
fn uri(input: &[u8]) -> Res<'_, Uri<'_>> {
    let (wrong, _) = uri_bytes(input)?;
    if !wrong.is_empty() {
        return bad(wrong);
    }
    let (rest, scheme_text) = scheme(input)?;
    if rest.is_empty() {
        return bad(rest);
    }
    let scheme = scheme_of(scheme_text);
    let mut uri = Uri {
        scheme,
        scheme_text,
        user: None,
        password: None,
        host: &[],
        port: None,
        params: UriParams::default(),
        headers: None,
    };
    match scheme {
        Scheme::Sip | Scheme::Sips => sip_uri(rest, uri),
        Scheme::Tel => {
            let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
            if end == 0 {
                return bad(rest);
            }
            uri.user = Some(&rest[..end]);
            uri.params = UriParams(&rest[end..]);
            Ok((&[], uri))
        }
        Scheme::Other => {
            uri.host = rest;
            Ok((&[], uri))
        }
    }
}

#[inline(always)]
fn sip_uri<'a>(input: &'a [u8], mut uri: Uri<'a>) -> Res<'a, Uri<'a>> {
    // `@` occurs in no part of a URI but between user and host, so the first one ends the user part
    // (which may hold `;`, `?` and `/`). A second one ends no host.
    let mut rest = input;
    if let Some(at) = scan::byte(b'@', input) {
        let (userinfo, at_host) = input.split_at(at);
        rest = &at_host[1..];
        if userinfo.is_empty() {
            return bad(rest);
        }
        match scan::byte(b':', userinfo) {
            Some(0) => return bad(userinfo),
            Some(colon) => {
                uri.user = Some(&userinfo[..colon]);
                uri.password = Some(&userinfo[colon + 1..]);
            }
            None => uri.user = Some(userinfo),
        }
    }
    let (rest, found) = host(rest)?;
    uri.host = found;
    let (rest, port) = opt_port(rest)?;
    uri.port = port;
    if rest.is_empty() {
        return Ok((rest, uri));
    }
    let (rest, params) = opt(uri_params).parse(rest)?;
    uri.params = params.unwrap_or_default();
    match rest {
        [] => Ok((rest, uri)),
        [b'?', headers @ ..] => {
            uri.headers = Some(headers);
            Ok((&[], uri))
        }
        _ => bad(rest),
    }
}

fn uri_params(input: &[u8]) -> Res<'_, UriParams<'_>> {
    if input.first() != Some(&b';') {
        return bad(input);
    }
    let end = memchr::memchr(b'?', input).unwrap_or(input.len());
    Ok((&input[end..], UriParams(&input[..end])))
}

/// Whether this may be a Request-URI: a URI, and if it is `sip:` or `sips:`, one without headers (RFC 3261
/// §19.1.1, table 1).
pub(crate) fn is_request_uri(text: &[u8]) -> bool {
    match uri(text) {
        Ok(([], uri)) => uri.headers.is_none(),
        _ => false,
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Case {
    Sensitive,
    Ignored,
}

fn optional_equal(left: Option<&[u8]>, right: Option<&[u8]>, case: Case) -> bool {
    match (left, right) {
        (None, None) => true,
        (Some(left), Some(right)) => text_equal(left, right, case),
        _ => false,
    }
}

/// Compares with escapes: `%41` is `A`, but an escaped reserved byte differs from the byte itself
/// (RFC 3261 §19.1.4: "characters other than those in the reserved set are equivalent to their escape").
fn text_equal(left: &[u8], right: &[u8], case: Case) -> bool {
    unescaped(left, case).eq(unescaped(right, case))
}

/// Units of a text for comparison: a byte, and whether it is an escaped reserved byte.
fn unescaped(text: &[u8], case: Case) -> impl Iterator<Item = (u8, bool)> {
    let mut at = 0;
    core::iter::from_fn(move || {
        let byte = *text.get(at)?;
        let fold = |byte: u8| if case == Case::Ignored { byte.to_ascii_lowercase() } else { byte };
        if byte == b'%'
            && let Some(decoded) = text.get(at + 1..at + 3).and_then(hex_pair)
        {
            at += 3;
            return Some((fold(decoded), is_reserved(decoded)));
        }
        at += 1;
        Some((fold(byte), false))
    })
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    let high = char::from(pair[0]).to_digit(16)?;
    let low = char::from(pair[1]).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

fn is_reserved(byte: u8) -> bool {
    matches!(byte, b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b',')
}

/// RFC 3966 §5: visual separators do not count.
fn number_equal(left: Option<&[u8]>, right: Option<&[u8]>) -> bool {
    fn digits(number: Option<&[u8]>) -> impl Iterator<Item = u8> {
        number
            .unwrap_or_default()
            .iter()
            .filter(|byte| !matches!(byte, b'-' | b'.' | b'(' | b')'))
            .map(u8::to_ascii_lowercase)
    }
    digits(left).eq(digits(right))
}

fn params_equal(left: UriParams<'_>, right: UriParams<'_>, always: &[&[u8]]) -> bool {
    if left.0 == right.0 {
        return true;
    }
    if left.iter().nth(COMPARED_PARAMS_MAX).is_some() || right.iter().nth(COMPARED_PARAMS_MAX).is_some() {
        return false;
    }
    one_sided(left, right, always) && one_sided(right, left, always)
}

fn one_sided(from: UriParams<'_>, to: UriParams<'_>, always: &[&[u8]]) -> bool {
    from.iter().all(|(name, value)| {
        match to.iter().find(|(other, _)| text_equal(name, other, Case::Ignored)) {
            Some((_, other)) => {
                text_equal(value.unwrap_or_default(), other.unwrap_or_default(), Case::Ignored)
            }
            None => !always.iter().any(|must| name.eq_ignore_ascii_case(must)),
        }
    })
}

/// Header components are never ignored and may stand in any order.
fn headers_equal(left: Option<&[u8]>, right: Option<&[u8]>) -> bool {
    let (left, right) = (left.unwrap_or_default(), right.unwrap_or_default());
    if left == right {
        return true;
    }
    let count = split_pairs(left, b'&').take(COMPARED_PARAMS_MAX + 1).count();
    if count > COMPARED_PARAMS_MAX || count != split_pairs(right, b'&').take(COMPARED_PARAMS_MAX + 1).count()
    {
        return false;
    }
    let within = |from, to| {
        split_pairs(from, b'&').all(|(name, value)| {
            split_pairs(to, b'&').any(|(other, found)| {
                text_equal(name, other, Case::Ignored)
                    && text_equal(value.unwrap_or_default(), found.unwrap_or_default(), Case::Ignored)
            })
        })
    };
    within(left, right) && within(right, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Uri<'_> {
        Uri::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn parts() {
        let uri = parse("sip:alice;day=tue:se%63ret@[2001:db8::9]:5061;transport=tcp;lr?Subject=a&b=c");
        assert_eq!(uri.scheme, Scheme::Sip);
        assert_eq!(uri.user, Some(&b"alice;day=tue"[..]));
        assert_eq!(uri.password, Some(&b"se%63ret"[..]));
        assert_eq!(uri.host, b"[2001:db8::9]");
        assert_eq!(uri.port, Some(5061));
        assert_eq!(uri.param("Transport"), Some(&b"tcp"[..]));
        assert!(uri.loose_router());
        assert_eq!(uri.headers, Some(&b"Subject=a&b=c"[..]));

        let uri = parse("SIPS:example.com");
        assert_eq!((uri.scheme, uri.user, uri.host), (Scheme::Sips, None, &b"example.com"[..]));
        let uri = parse("tel:+1-201-555-0123;phone-context=x");
        assert_eq!(uri.user, Some(&b"+1-201-555-0123"[..]));
        let uri = parse("sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1@example.com");
        assert_eq!(uri.host, b"example.com");
        assert_eq!(uri.user, Some(&b"1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"[..]));
        assert_eq!(parse("soap.beep://192.0.2.103:3002").scheme, Scheme::Other);
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "sip",
            "sip:",
            "sip:@h",
            "sip::p@h",
            "sip:a@",
            "sip:a@b@c",
            "sip:h:0",
            "sip:h:65536",
            "sip:h:",
            "sip:a b@h",
            "sip:[::1",
            "sip:[]",
            "sip:[g::]",
            "<sip:h>",
            "1sip:h",
            "tel:",
            "tel:;a",
            "sip:h/x",
        ] {
            assert!(Uri::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn equivalence_as_in_the_examples_of_rfc_3261() {
        // RFC 3261 §19.1.4: each pair is equal …
        for (left, right) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
            ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("tel:+1-201-555-0123", "tel:+12015550123"),
        ] {
            assert!(parse(left).equivalent(&parse(right)), "{left} {right}");
            assert!(parse(right).equivalent(&parse(left)), "{right} {left}");
        }
        // … and each of these is not.
        for (left, right) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:h", "sips:h"),
            ("sip:a%3Ab@h", "sip:a:b@h"),
        ] {
            assert!(!parse(left).equivalent(&parse(right)), "{left} {right}");
            assert!(!parse(right).equivalent(&parse(left)), "{right} {left}");
        }
    }
}
