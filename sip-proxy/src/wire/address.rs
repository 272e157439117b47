//! `From`, `To`, `Contact`, `Route` and their like: a URI with an optional display name and parameters
//! (RFC 3261 §20.10, §25.1).

use super::grammar::{Params, Res, bad, lws, next_param, quoted, scheme, sep, trim_end, whole};
use super::{Uri, ValueError};

/// A `name-addr` or `addr-spec` with its header parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// Display name; of a quoted one what is between the quotes, escapes left in. Empty if there is none.
    pub display: &'a [u8],
    /// The URI, without angle brackets. Its scheme is checked, the rest is checked by [`NameAddr::uri`].
    pub uri_text: &'a [u8],
    /// Parameters of the header (`;tag=…;expires=…`), not of the URI.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Takes apart one header value: exactly one address.
    ///
    /// # Errors
    /// When the value is not an address: unbalanced quotes, a comma or question mark outside of angle
    /// brackets, white space in the URI, no scheme.
    pub fn parse(value: &'a [u8]) -> Result<Self, ValueError> {
        whole(value, name_addr)
    }

    /// The `tag` parameter.
    #[must_use]
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.params.value("tag")
    }

    /// The URI in its parts.
    ///
    /// # Errors
    /// When [`NameAddr::uri_text`] is not a URI.
    pub fn uri(&self) -> Result<Uri<'a>, ValueError> {
        Uri::parse(self.uri_text)
    }
}

/// One value of a Contact header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact<'a> {
    /// `*`: all bindings (only in REGISTER with Expires: 0).
    Star,
    /// An address.
    Address(NameAddr<'a>),
}

impl<'a> Contact<'a> {
    /// Takes apart one value.
    ///
    /// # Errors
    /// As [`NameAddr::parse`].
    pub fn parse(value: &'a [u8]) -> Result<Self, ValueError> {
        if value == b"*" { Ok(Self::Star) } else { NameAddr::parse(value).map(Self::Address) }
    }

    /// The address, unless it is `*`.
    #[must_use]
    pub const fn address(&self) -> Option<&NameAddr<'a>> {
        match self {
            Self::Star => None,
            Self::Address(address) => Some(address),
        }
    }
}

/// One address; stops before a comma.
pub(crate) fn name_addr(input: &[u8]) -> Res<'_, NameAddr<'_>> {
    let (rest, (display, uri_text)) = display_and_uri(input)?;
    let (rest, params) = params(rest)?;
    Ok((rest, NameAddr { display, uri_text, params }))
}

/// All parameters, checked.
pub(crate) fn params(input: &[u8]) -> Res<'_, Params<'_>> {
    let mut rest = input;
    loop {
        let (left, found) = next_param(rest)?;
        if found.is_none() {
            return Ok((left, Params(&input[..input.len() - rest.len()])));
        }
        rest = left;
    }
}

pub(crate) fn display_and_uri(input: &[u8]) -> Res<'_, (&[u8], &[u8])> {
    let start = lws(input);
    if start.first() == Some(&b'"') {
        let (rest, display) = quoted(start)?;
        let (rest, ()) = sep(b'<')(rest)?;
        let (rest, uri) = bracketed(rest)?;
        return Ok((rest, (display, uri)));
    }
    // Up to the bracket all is display name. It should be tokens; whatever else senders put there is let
    // through, save the bytes that mean something.
    let end = start.iter().position(|byte| matches!(byte, b'<' | b';' | b',' | b'"' | b'?'));
    match end.map(|end| (end, start[end])) {
        Some((end, b'<')) => {
            let (rest, uri) = bracketed(&start[end + 1..])?;
            Ok((rest, (trim_end(&start[..end]), uri)))
        }
        // RFC 3261 §20.10: a URI with comma, question mark or semicolon must be in brackets. The semicolon
        // then starts the header's parameters; the comma the next value.
        Some((end, b'"' | b'?')) => bad(&start[end..]),
        other => {
            let end = other.map_or(start.len(), |(end, _)| end);
            let uri = trim_end(&start[..end]);
            check_uri(uri)?;
            Ok((&start[end..], (&[], uri)))
        }
    }
}

/// What is between the brackets; the opening one is already read.
fn bracketed(input: &[u8]) -> Res<'_, &[u8]> {
    let Some(end) = memchr::memchr(b'>', input) else { return bad(input) };
    let uri = &input[..end];
    check_uri(uri)?;
    Ok((&input[end + 1..], uri))
}

/// A scheme and then something, without white space, quotes or brackets.
fn check_uri(uri: &[u8]) -> Result<(), nom::Err<super::grammar::Bad<'_>>> {
    let (rest, _) = scheme(uri)?;
    if rest.is_empty() || rest.iter().any(|byte| *byte <= b' ' || matches!(byte, b'<' | b'"' | 0x7f)) {
        return Err(nom::Err::Error(super::grammar::Bad(rest)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let parse = |text: &'static str| NameAddr::parse(text.as_bytes()).expect(text);
        let full = parse("\"A. \\\"B\\\"\"  <sip:a@b;lr>;tag=x;y=\"q;r\"");
        assert_eq!(full.display, b"A. \\\"B\\\"");
        assert_eq!(full.uri_text, b"sip:a@b;lr");
        assert_eq!(full.tag(), Some(&b"x"[..]));
        assert_eq!(full.params.value("Y"), Some(&b"q;r"[..]));
        let bare = parse(" sip:a@b ; tag = x ");
        assert_eq!((bare.display, bare.uri_text, bare.tag()), (&b""[..], &b"sip:a@b"[..], Some(&b"x"[..])));
        let tokens = parse("J Rosenberg<sip:a@b>");
        assert_eq!((tokens.display, tokens.tag()), (&b"J Rosenberg"[..], None));
        assert_eq!(parse("<sip:a@b>\r\n ;\r\n tag = 98asjd8").tag(), Some(&b"98asjd8"[..]));
        assert_eq!(Contact::parse(b"*"), Ok(Contact::Star));
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "\"open <sip:a@b>",
            "Bell, A <sip:a@b>",
            "< sip:a@b >",
            "<sip:a@b",
            "<>",
            "a@b",
            "sip:a@b?x=y",
            "sip:a b",
            "<sip:a@b>;;",
            "<sip:a@b>;tag=",
            "<sip:a@b>;=x",
            "<sip:a@b>, <sip:c@d>",
            "<sip:a@b> x",
            "*",
        ] {
            assert!(NameAddr::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
