//! The small grammar all header values share (RFC 3261 §25.1), as nom parsers on bytes.
//!
//! Each parser looks at a byte a bounded number of times and never goes back: what a value costs grows
//! with its length and with nothing else. Inside a header value CR and LF occur only in folds (the index
//! sees to that), so both count as white space here.

use nom::IResult;
use nom::Parser as _;
use nom::combinator::opt;

use super::{ValueError, scan};

/// The rest of the input where a parser gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bad<'a>(pub(crate) &'a [u8]);

impl<'a> nom::error::ParseError<&'a [u8]> for Bad<'a> {
    fn from_error_kind(input: &'a [u8], _: nom::error::ErrorKind) -> Self {
        Self(input)
    }
    fn append(_: &'a [u8], _: nom::error::ErrorKind, other: Self) -> Self {
        other
    }
}

pub(crate) type Res<'a, T> = IResult<&'a [u8], T, Bad<'a>>;

/// Name and value of a header parameter.
type Param<'a> = (&'a [u8], Option<&'a [u8]>);

/// The parser does not match here.
pub(crate) fn bad<T>(rest: &[u8]) -> Res<'_, T> {
    Err(nom::Err::Error(Bad(rest)))
}

/// Runs `parser` over all of `value`: white space may follow, nothing else.
#[inline]
pub(crate) fn whole<'a, T>(
    value: &'a [u8],
    parser: impl FnOnce(&'a [u8]) -> Res<'a, T>,
) -> Result<T, ValueError> {
    let (rest, found) = parser(value).map_err(|error| position(value, error))?;
    let rest = lws(rest);
    if rest.is_empty() { Ok(found) } else { Err(ValueError { offset: value.len() - rest.len() }) }
}

pub(crate) fn position(value: &[u8], error: nom::Err<Bad<'_>>) -> ValueError {
    match error {
        nom::Err::Error(Bad(rest)) | nom::Err::Failure(Bad(rest)) => {
            ValueError { offset: value.len().saturating_sub(rest.len()) }
        }
        nom::Err::Incomplete(_) => ValueError { offset: value.len() },
    }
}

/// Bytes of a token.
pub(crate) const TOKEN: u8 = 1;
/// White space; CR and LF count, see above.
const LWS: u8 = 2;
/// Bytes of a host name or an IPv4 address; the underscore is none, but occurs.
const HOST: u8 = 8;
/// Bytes of an unquoted display name, or of a URI without brackets. It should be tokens; whatever else senders
/// put there is let through, save the bytes that mean something.
pub(crate) const DISPLAY: u8 = 32;
/// Bytes of a scheme after its first.
const SCHEME: u8 = 64;

/// Character classes, one look-up per byte.
static CLASS: [u8; 256] = {
    let mut table = [0_u8; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        let mut class = 0;
        if b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
        {
            class |= TOKEN;
        }
        if matches!(b, b' ' | b'\t' | b'\r' | b'\n') {
            class |= LWS;
        }
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_') {
            class |= HOST;
        }
        if b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.') {
            class |= SCHEME;
        }
        if !matches!(b, b'<' | b';' | b',' | b'"' | b'?') {
            class |= DISPLAY;
        }
        table[byte] = class;
        byte += 1;
    }
    table
};

#[inline]
pub(crate) fn is_token(byte: u8) -> bool {
    CLASS[usize::from(byte)] & TOKEN != 0
}

#[inline]
pub(crate) fn is_lws(byte: u8) -> bool {
    CLASS[usize::from(byte)] & LWS != 0
}

/// How many bytes at the start are of this class.
#[inline]
fn span(input: &[u8], class: u8) -> usize {
    let mut rest = input;
    while let [first, more @ ..] = rest {
        if CLASS[usize::from(*first)] & class == 0 {
            break;
        }
        rest = more;
    }
    input.len() - rest.len()
}

/// Any number of bytes of this class.
#[inline]
pub(crate) fn class0(class: u8) -> impl Fn(&[u8]) -> Res<'_, &[u8]> {
    move |input| {
        let (found, rest) = input.split_at(span(input, class));
        Ok((rest, found))
    }
}

/// At least one byte of this class.
#[inline]
pub(crate) fn class1(class: u8) -> impl Fn(&[u8]) -> Res<'_, &[u8]> {
    move |input| match span(input, class) {
        0 => bad(input),
        end => Ok((&input[end..], &input[..end])),
    }
}

/// Skips white space and folds.
#[inline]
pub(crate) fn lws(input: &[u8]) -> &[u8] {
    // Mostly there is none, or one space.
    match input {
        [] => input,
        [first, ..] if *first > b' ' => input,
        [b' ', second, ..] if *second > b' ' => &input[1..],
        _ => lws_many(input),
    }
}

fn lws_many(mut input: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = input {
        if !is_lws(*first) {
            break;
        }
        input = rest;
    }
    input
}

/// Without white space on both ends.
#[inline]
pub(crate) fn trim(input: &[u8]) -> &[u8] {
    trim_end(lws(input))
}

#[inline]
pub(crate) fn trim_end(input: &[u8]) -> &[u8] {
    match input {
        [] => input,
        [.., last] if *last > b' ' => input,
        _ => trim_end_many(input),
    }
}

fn trim_end_many(mut input: &[u8]) -> &[u8] {
    while let [rest @ .., last] = input {
        if !is_lws(*last) {
            break;
        }
        input = rest;
    }
    input
}

#[inline]
pub(crate) fn token(input: &[u8]) -> Res<'_, &[u8]> {
    class1(TOKEN)(input)
}

/// One byte, with white space allowed on both sides (`SEMI`, `EQUAL`, `COMMA`, `SLASH` of the RFC).
#[inline]
pub(crate) fn sep(byte: u8) -> impl Fn(&[u8]) -> Res<'_, ()> {
    move |input| match lws(input) {
        [first, rest @ ..] if *first == byte => Ok((lws(rest), ())),
        other => bad(other),
    }
}

/// A quoted string; returns what is between the quotes, escapes left in.
pub(crate) fn quoted(input: &[u8]) -> Res<'_, &[u8]> {
    let [b'"', inner @ ..] = input else { return bad(input) };
    let mut at = 0;
    while let Some(byte) = inner.get(at) {
        match byte {
            b'"' => return Ok((&inner[at + 1..], &inner[..at])),
            // A quoted pair: the byte after the backslash has no meaning of its own.
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bad(input)
}

/// A header parameter's value: token, host, or quoted string (returned without its quotes).
#[inline]
fn param_value(input: &[u8]) -> Res<'_, &[u8]> {
    if input.first() == Some(&b'"') {
        return quoted(input);
    }
    match scan::param_value_end(input) {
        0 => bad(input),
        end => Ok((&input[end..], &input[..end])),
    }
}

/// `name [= value]` of a header parameter.
#[inline]
pub(crate) fn param(input: &[u8]) -> Res<'_, Param<'_>> {
    let (rest, name) = token(input)?;
    // Most parameters are `name=value` without white space.
    if let [b'=', value @ ..] = rest
        && value.first().is_some_and(|first| !is_lws(*first))
    {
        let (rest, value) = param_value(value)?;
        return Ok((rest, (name, Some(value))));
    }
    match opt(sep(b'=')).parse(rest)? {
        (rest, Some(())) => {
            let (rest, value) = param_value(rest)?;
            Ok((rest, (name, Some(value))))
        }
        (rest, None) => Ok((rest, (name, None))),
    }
}

/// The next `;name[=value]`, or `None` when the input has none.
#[inline]
pub(crate) fn next_param(input: &[u8]) -> Res<'_, Option<Param<'_>>> {
    match lws(input) {
        [b';', rest @ ..] => {
            let (rest, found) = param(lws(rest))?;
            Ok((rest, Some(found)))
        }
        rest => Ok((rest, None)),
    }
}

/// A host name, an IPv4 address, or an IPv6 reference with its brackets.
#[inline]
pub(crate) fn host(input: &[u8]) -> Res<'_, &[u8]> {
    if input.first() == Some(&b'[') {
        let end = match memchr::memchr(b']', input) {
            Some(end) if end > 1 => end + 1,
            _ => return bad(input),
        };
        let inner = &input[1..end - 1];
        if !inner.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')) {
            return bad(input);
        }
        return Ok((&input[end..], &input[..end]));
    }
    class1(HOST)(input)
}

/// Digits that make a number of 64 bits, whatever they are.
const DIGITS_MAX: usize = 19;

/// `1*DIGIT` up to `max`; more is an error, not a wrap.
#[inline]
pub(crate) fn number(max: u32) -> impl Fn(&[u8]) -> Res<'_, u32> {
    move |input| {
        let mut rest = input;
        let mut value = 0_u64;
        while let [byte, more @ ..] = rest {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            rest = more;
        }
        let digits = input.len() - rest.len();
        if digits > DIGITS_MAX {
            value = long_number(&input[..digits]);
        }
        if digits == 0 || value > u64::from(max) { bad(input) } else { Ok((rest, value as u32)) }
    }
}

/// A number with many digits: what does not fit stays too large, however many follow.
#[cold]
fn long_number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |sum: u64, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

/// `[COLON port]`, port 1 to 65535.
#[inline]
pub(crate) fn opt_port(input: &[u8]) -> Res<'_, Option<u16>> {
    let [b':', digits @ ..] = input else { return Ok((input, None)) };
    match number(u32::from(u16::MAX))(digits)? {
        (_, 0) => bad(input),
        (rest, port) => Ok((rest, Some(u16::try_from(port).expect("at most u16::MAX")))),
    }
}

/// Bytes a URI may hold: no white space, control bytes below it, quotes or angle brackets (RFC 3986 §2). Bytes above 0x7e
/// are let through: some senders leave UTF-8 unescaped.
#[inline]
pub(crate) fn uri_bytes(input: &[u8]) -> Res<'_, &[u8]> {
    match scan::uri_end(input) {
        0 => bad(input),
        end => Ok((&input[end..], &input[..end])),
    }
}

/// The scheme before the colon of a URI: `ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )`.
#[inline]
pub(crate) fn scheme(input: &[u8]) -> Res<'_, &[u8]> {
    // What nearly all are.
    if let [b's', b'i', b'p', b':', rest @ ..] = input {
        return Ok((rest, &input[..3]));
    }
    if !input.first().is_some_and(u8::is_ascii_alphabetic) {
        return bad(input);
    }
    let (rest, name) = class0(SCHEME)(input)?;
    match rest {
        [b':', rest @ ..] => Ok((rest, name)),
        _ => bad(input),
    }
}

/// Header parameters, as they were written: `;a=b;c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Params<'a>(pub(crate) &'a [u8]);

impl<'a> Params<'a> {
    /// All parameters in order: name, and value without its quotes.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let mut rest = self.0;
        core::iter::from_fn(move || match next_param(rest) {
            Ok((left, found)) => {
                rest = left;
                found
            }
            Err(_) => None,
        })
    }

    /// The first parameter of this name (any case). `Some(None)`: there, but without a value.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Option<&'a [u8]>> {
        self.iter().find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The value of the first parameter of this name (any case).
    #[must_use]
    pub fn value(self, name: &str) -> Option<&'a [u8]> {
        self.get(name).flatten()
    }

    /// Those behind a value that is not split otherwise: from its first semicolon on.
    pub(crate) fn of(value: &'a [u8]) -> Self {
        Params(memchr::memchr(b';', value).map_or(&[][..], |at| &value[at..]))
    }

    /// Whether they are parameters to the last byte: [`Params::iter`] ends where it cannot read on.
    pub(crate) fn are_sound(self) -> bool {
        let mut rest = self.0;
        loop {
            match next_param(rest) {
                Ok((left, Some(_))) => rest = left,
                Ok((left, None)) => return lws(left).is_empty(),
                Err(_) => return false,
            }
        }
    }

    /// The parameters as they were written, with the leading semicolon.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

/// Splits a header value at its commas, but not inside quotes or angle brackets.
#[derive(Debug, Clone)]
pub struct CommaSplit<'a> {
    rest: Option<&'a [u8]>,
}

/// Splits `value` at its commas, but not inside quotes or angle brackets; items come trimmed, empty ones
/// are left out (RFC 3261 §7.3.1).
#[must_use]
pub fn comma_split(value: &[u8]) -> CommaSplit<'_> {
    CommaSplit { rest: Some(value) }
}

impl<'a> Iterator for CommaSplit<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let rest = self.rest?;
            let end = item_end(rest);
            self.rest = rest.get(end + 1..);
            let item = trim(&rest[..end]);
            if !item.is_empty() {
                return Some(item);
            }
        }
    }
}

/// Where the first item of a comma-separated value ends.
fn item_end(value: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr3(b',', b'"', b'<', &value[at..]) {
        at += found;
        match value[at] {
            b',' => return at,
            b'"' => match quoted(&value[at..]) {
                Ok((rest, _)) => at = value.len() - rest.len(),
                Err(_) => return value.len(),
            },
            _ => match memchr::memchr(b'>', &value[at..]) {
                Some(close) => at += close + 1,
                None => return value.len(),
            },
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_strings_end_where_they_end() {
        assert_eq!(quoted(br#""a\"b" c"#), Ok((&b" c"[..], &br#"a\"b"#[..])));
        assert_eq!(quoted(br#""""#), Ok((&b""[..], &b""[..])));
        assert!(quoted(br#""a\""#).is_err());
        assert!(quoted(br#""a\"#).is_err());
        assert!(quoted(br#"""#).is_err());
    }

    #[test]
    fn commas_in_quotes_and_brackets_do_not_split() {
        let items: Vec<_> = comma_split(br#""a,b" <sip:x,y@h>;q=1 , <sip:z>,, b;c="d,\"e" "#).collect();
        assert_eq!(items, [&br#""a,b" <sip:x,y@h>;q=1"#[..], b"<sip:z>", br#"b;c="d,\"e""#]);
        assert_eq!(comma_split(b"").count(), 0);
        assert_eq!(comma_split(b" , ").count(), 0);
        assert_eq!(comma_split(br#""open, end"#).count(), 1);
    }

    #[test]
    fn numbers_stop_at_their_maximum() {
        assert_eq!(number(255).parse(b"0255 "), Ok((&b" "[..], 255)));
        assert!(number(255).parse(b"256").is_err());
        assert!(number(u32::MAX).parse(b"99999999999999999999999999").is_err());
        assert!(number(u32::MAX).parse(b"18446744073709551617").is_err(), "one more than 64 bits hold");
        assert_eq!(number(255).parse(b"000000000000000000000000255"), Ok((&b""[..], 255)));
        assert!(number(9).parse(b"-1").is_err());
    }

    #[test]
    fn params_are_read_with_white_space() {
        let params = Params(b" ; a = 1\r\n ;b;C=\"x;y\";d=[::1]");
        assert_eq!(params.value("A"), Some(&b"1"[..]));
        assert_eq!(params.get("b"), Some(None));
        assert_eq!(params.value("c"), Some(&b"x;y"[..]));
        assert_eq!(params.value("d"), Some(&b"[::1]"[..]));
        assert_eq!(params.get("e"), None);
    }
}
