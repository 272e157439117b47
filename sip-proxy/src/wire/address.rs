//! `From`, `To`, `Contact`, `Route` and their like: a URI with an optional display name and parameters
//! (RFC 3261 §20.10, §25.1).

use super::grammar::{
    DISPLAY, Params, Res, bad, class0, lws, next_param, quoted, scheme, trim_end, uri_bytes, whole,
};
use super::{Uri, ValueError, scan};

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
    let (rest, (address, _)) = tagged_addr(input)?;
    Ok((rest, address))
}

/// One address and the value of its `tag` parameter; stops before a comma.
#[inline(always)]
pub(crate) fn tagged_addr(input: &[u8]) -> Res<'_, (NameAddr<'_>, Option<&[u8]>)> {
    let (start, (display, uri_text)) = display_and_uri(input)?;
    let mut tag = None;
    let mut rest = start;
    loop {
        // The one that nearly all have.
        if let Some(value) = rest.strip_prefix(b";tag=")
            && !matches!(value.first(), Some(b'"'))
        {
            let end = scan::param_value_end(value);
            if end > 0 {
                tag = tag.or(Some(&value[..end]));
                rest = &value[end..];
                continue;
            }
        }
        let (left, found) = if rest.is_empty() { (rest, None) } else { next_param(rest)? };
        let Some((name, value)) = found else {
            let params = Params(&start[..start.len() - rest.len()]);
            return Ok((left, (NameAddr { display, uri_text, params }, tag)));
        };
        if name.len() == 3 && name.eq_ignore_ascii_case(b"tag") {
            // A tag without a value would be no tag to some and an empty one to others.
            if value.is_none() {
                return bad(left);
            }
            tag = tag.or(value);
        }
        rest = left;
    }
}

/// All addresses of a value, separated by commas, are sound (empty items do not count).
pub(crate) fn all_sound(value: &[u8]) -> bool {
    let mut rest = lws(value);
    while !rest.is_empty() {
        if rest[0] != b',' {
            match name_addr(rest) {
                Ok((left, _)) => rest = lws(left),
                Err(_) => return false,
            }
        }
        rest = match rest {
            [] => rest,
            [b',', more @ ..] => lws(more),
            _ => return false,
        };
    }
    true
}

#[inline(always)]
fn display_and_uri(input: &[u8]) -> Res<'_, (&[u8], &[u8])> {
    let start = lws(input);
    if let [b'<', rest @ ..] = start {
        let (rest, uri) = bracketed(rest)?;
        return Ok((rest, (&[], uri)));
    }
    if start.first() == Some(&b'"') {
        let (rest, display) = quoted(start)?;
        let rest = match lws(rest) {
            [b'<', rest @ ..] => rest,
            other => return bad(other),
        };
        let (rest, uri) = bracketed(rest)?;
        return Ok((rest, (display, uri)));
    }
    // Up to the bracket all is display name.
    let (rest, before) = class0(DISPLAY)(start)?;
    match rest {
        [b'<', rest @ ..] => {
            let (rest, uri) = bracketed(rest)?;
            Ok((rest, (trim_end(before), uri)))
        }
        // RFC 3261 §20.10: a URI with comma, question mark or semicolon must be in brackets. A semicolon
        // then starts the header's parameters, a comma the next value.
        [] | [b';' | b',', ..] => {
            let (more, _) = uri_text(before)?;
            if lws(more).is_empty() { Ok((rest, (&[], trim_end(before)))) } else { bad(more) }
        }
        _ => bad(rest),
    }
}

/// What is between the brackets; the opening one is already read.
#[inline(always)]
fn bracketed(input: &[u8]) -> Res<'_, &[u8]> {
    match uri_text(input)? {
        ([b'>', rest @ ..], uri) => Ok((rest, uri)),
        (rest, _) => bad(rest),
    }
}

/// A scheme and then something, without white space, quotes or brackets.
#[inline(always)]
fn uri_text(input: &[u8]) -> Res<'_, &[u8]> {
    let (rest, _) = scheme(input)?;
    let (rest, _) = uri_bytes(rest)?;
    Ok((rest, &input[..input.len() - rest.len()]))
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
            "<sip:a@b>;tag",
            "<sip:a@b>;tag;tag=x",
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
