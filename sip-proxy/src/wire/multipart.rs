//! Bodies of several parts (RFC 2046 §5.1, RFC 5621): where the session description in one is, and what else there is.
//!
//! ```text
//!   Content-Type: multipart/mixed;boundary=b
//!
//!   preamble, passed over
//!   --b
//!   Content-Type: application/sdp              one part: header lines, an empty line, its bytes
//!
//!   v=0 …
//!   --b
//!   Content-Type: application/isup;version=x
//!   Content-Disposition: signal;handling=optional
//!
//!   …
//!   --b--
//!   epilogue, passed over
//! ```

use super::grammar::{Params, is_token, trim};

/// Parts of one body, those within parts counted too; more are an error.
const PARTS_MAX: usize = 16;
/// Bodies of parts within each other; deeper is an error.
const DEPTH_MAX: usize = 3;
/// Header lines of one part; more are an error.
const LINES_MAX: usize = 16;
/// RFC 2046 §5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;

/// The only session description that is read.
pub(crate) const SDP: &[u8] = b"application/sdp";

/// It is no body of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// One part that holds no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// Content-Type; empty for none, which means text.
    content_type: &'a [u8],
    /// Content-Disposition; empty for none.
    disposition: &'a [u8],
    /// It is written in a way that changes its bytes.
    encoded: bool,
    /// One of several of which the last one that is understood counts (RFC 2046 §5.1.4).
    alternative: bool,
    pub(crate) body: &'a [u8],
    /// All of it as it stands between its delimiters: header lines, an empty line, body.
    pub(crate) text: &'a [u8],
}

impl Part<'_> {
    /// Whether it describes the session (RFC 3261 §20.11: which an `application/sdp` does unless it says otherwise).
    pub(crate) fn is_session(&self) -> bool {
        let disposition = before_params(self.disposition);
        is_kind(self.content_type, SDP)
            && !self.encoded
            && (disposition.is_empty() || disposition.eq_ignore_ascii_case(b"session"))
    }

    /// Whether who does not know what it is must not take the message (`handling=required`, said in so many words: what
    /// telephone networks put beside a description seldom says anything, and can be passed over).
    pub(crate) fn is_required(&self) -> bool {
        handling(self.disposition).is_some_and(|handling| handling.eq_ignore_ascii_case(b"required"))
    }
}

/// `handling` of a Content-Disposition (RFC 3261 §20.11).
pub(crate) fn handling(disposition: &[u8]) -> Option<&[u8]> {
    Params::of(disposition).value("handling")
}

/// Whether a Content-Type is a body of parts.
pub(crate) fn is_multipart(content_type: &[u8]) -> bool {
    let kind = before_params(content_type);
    kind.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"))
}

/// Whether a Content-Type is of this kind, whatever its parameters.
pub(crate) fn is_kind(content_type: &[u8], kind: &[u8]) -> bool {
    before_params(content_type).eq_ignore_ascii_case(kind)
}

/// The parts of a body, those within parts too, in order.
///
/// # Errors
/// When it has no boundary, does not end with it, or has more or deeper parts than anybody sends.
pub(crate) fn parts<'a>(content_type: &'a [u8], body: &'a [u8]) -> Result<Vec<Part<'a>>, Malformed> {
    let mut found = Vec::new();
    collect(content_type, body, false, 1, &mut found)?;
    Ok(found)
}

/// The session description among parts: the first, or of alternatives the last (RFC 5621 §4).
pub(crate) fn session<'a>(parts: &[Part<'a>]) -> Option<&'a [u8]> {
    let mut sessions = parts.iter().filter(|part| part.is_session());
    let first = sessions.next()?;
    let best =
        if first.alternative { sessions.rfind(|part| part.alternative).unwrap_or(first) } else { first };
    Some(best.body)
}

fn collect<'a>(
    content_type: &'a [u8],
    body: &'a [u8],
    alternative: bool,
    depth: usize,
    found: &mut Vec<Part<'a>>,
) -> Result<(), Malformed> {
    if depth > DEPTH_MAX {
        return Err(Malformed);
    }
    let boundary = boundary(content_type).ok_or(Malformed)?;
    let alternative = alternative || is_kind(content_type, b"multipart/alternative");
    // The preamble is what stands before the first delimiter.
    let (_, mut rest, mut last) = next_delimiter(body, &boundary).ok_or(Malformed)?;
    while !last {
        let (inner, after, ends) = next_delimiter(rest, &boundary).ok_or(Malformed)?;
        (rest, last) = (after, ends);
        let part = read_part(inner, alternative)?;
        if is_multipart(part.content_type) {
            collect(part.content_type, part.body, alternative, depth + 1, found)?;
        } else {
            if found.len() >= PARTS_MAX {
                return Err(Malformed);
            }
            found.push(part);
        }
    }
    if found.is_empty() { Err(Malformed) } else { Ok(()) }
}

/// `boundary`, without its escapes.
fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let value = Params::of(content_type).value("boundary")?;
    let mut boundary = Vec::with_capacity(value.len().min(BOUNDARY_BYTES_MAX));
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        boundary.push(if *byte == b'\\' { *bytes.next()? } else { *byte });
    }
    let fits = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len())
        && boundary.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
        && boundary.last() != Some(&b' ');
    fits.then_some(boundary)
}

/// What stands before the next delimiter line, what after it, and whether it is the last one. The line's end before it
/// belongs to the delimiter.
fn next_delimiter<'a>(body: &'a [u8], boundary: &[u8]) -> Option<(&'a [u8], &'a [u8], bool)> {
    let mut line = 0;
    loop {
        let after = memchr::memchr(b'\n', &body[line..]).map(|at| line + at + 1);
        let end = after.unwrap_or(body.len());
        let delimiter = body[line..end].strip_prefix(b"--").and_then(|rest| rest.strip_prefix(boundary));
        if let Some(rest) = delimiter {
            let (rest, last) = match rest.strip_prefix(b"--") {
                Some(rest) => (rest, true),
                None => (rest, false),
            };
            // Anything else behind it, and it is the beginning of a longer boundary, or text. (A last one may end the body.)
            if trim(rest).is_empty() && (last || after.is_some()) {
                let before = &body[..line];
                let before = before.strip_suffix(b"\n").unwrap_or(before);
                return Some((before.strip_suffix(b"\r").unwrap_or(before), &body[end..], last));
            }
        }
        line = after?;
    }
}

/// One part: its header lines up to an empty one, and what follows.
fn read_part(text: &[u8], alternative: bool) -> Result<Part<'_>, Malformed> {
    let mut part = Part { content_type: &[], disposition: &[], encoded: false, alternative, body: &[], text };
    let mut rest = text;
    for _ in 0..=LINES_MAX {
        let end = header_end(rest);
        let line = &rest[..end];
        rest = &rest[end..];
        if trim(line).is_empty() {
            part.body = rest;
            return Ok(part);
        }
        let colon = memchr::memchr(b':', line).ok_or(Malformed)?;
        let (name, value) = (trim(&line[..colon]), trim(&line[colon + 1..]));
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return Err(Malformed);
        }
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if is(b"Content-Type") || is(b"c") {
            part.content_type = value;
        } else if is(b"Content-Disposition") {
            part.disposition = value;
        } else if is(b"Content-Transfer-Encoding") {
            let plain: [&[u8]; 3] = [b"binary", b"8bit", b"7bit"];
            part.encoded |= !plain.iter().any(|known| value.eq_ignore_ascii_case(known));
        } else if is(b"Content-Encoding") || is(b"e") {
            part.encoded |= !value.eq_ignore_ascii_case(b"identity");
        }
    }
    Err(Malformed)
}

/// Where a header line ends, with the lines that fold it.
fn header_end(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let Some(found) = memchr::memchr(b'\n', &text[at..]) else { return text.len() };
        at += found + 1;
        // An empty line is not folded.
        let empty = trim(&text[..at]).is_empty();
        if empty || !matches!(text.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
}

fn before_params(value: &[u8]) -> &[u8] {
    trim(value.split(|byte| *byte == b';').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &[u8] = b"multipart/mixed; boundary=\"b 1\"";

    fn read<'a>(content_type: &'a [u8], body: &'a str) -> Result<Vec<Part<'a>>, Malformed> {
        parts(content_type, body.as_bytes())
    }

    #[test]
    fn a_description_beside_something_else() {
        let body = "ignored\r\n--b 1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b 1  \r\n\
                    content-type : application/isup;version=itu\r\nContent-Disposition: signal;\r\n handling=optional\r\n\
                    \r\n\0--b 1x\r\n--b 1--\r\nepilogue\r\n--b 1\r\n";
        let parts = read(MIXED, body).expect("sound");
        assert_eq!(parts.len(), 2);
        assert_eq!(session(&parts), Some(&b"v=0\r\n"[..]));
        assert_eq!(parts[1].body, b"\0--b 1x");
        assert!(!parts[1].is_session() && !parts[1].is_required());
        // Without a line's end behind the last one, without lines of CRLF, without header lines.
        let parts = read(b"multipart/mixed;boundary=x", "--x\n\nhello\n--x\nc:application/sdp\n\nv=0\n--x--");
        assert_eq!(session(&parts.expect("sound")), Some(&b"v=0"[..]));
    }

    #[test]
    fn what_is_no_session_or_must_be_known() {
        let part = |lines: &str| format!("--x\r\n{lines}\r\nv=0\r\n--x--\r\n");
        let one = |lines: &str| {
            let body = part(lines);
            let parts = read(b"multipart/related;boundary=x;type=\"application/sdp\"", &body).expect("sound");
            (parts[0].is_session(), parts[0].is_required())
        };
        let sdp = "Content-Type: application/sdp; charset=utf-8\r\n";
        assert_eq!(one(sdp), (true, false));
        for (more, expected) in [
            ("Content-Disposition: session;handling=required\r\n", (true, true)),
            ("Content-Disposition: early-session\r\n", (false, false)),
            ("Content-Disposition: early-session; Handling = Required\r\n", (false, true)),
            ("Content-Transfer-Encoding: base64\r\n", (false, false)),
            ("Content-Transfer-Encoding: Binary\r\n", (true, false)),
            ("Content-Encoding: gzip\r\n", (false, false)),
        ] {
            assert_eq!(one(&format!("{sdp}{more}")), expected, "{more}");
        }
        assert_eq!(one(""), (false, false));
    }

    #[test]
    fn parts_within_parts() {
        let inner = "--i\r\nContent-Type: application/sdp\r\n\r\nv=0 one\r\n--i\r\nContent-Type: application/sdp\r\n\r\n\
                     v=0 two\r\n--i--";
        let body = |kind: &str| {
            format!(
                "--o\r\nContent-Type: text/plain\r\n\r\nhi\r\n--o\r\nContent-Type: multipart/{kind};boundary=i\r\n\r\n\
                 {inner}\r\n--o--\r\n"
            )
        };
        for (kind, best) in [("mixed", "v=0 one"), ("alternative", "v=0 two")] {
            let body = body(kind);
            let parts = read(b"multipart/mixed;boundary=o", &body).expect("sound");
            assert_eq!(parts.len(), 3);
            assert_eq!(session(&parts), Some(best.as_bytes()));
        }
        let mut nested = ("text/plain".to_owned(), "x".to_owned());
        for depth in 0..DEPTH_MAX + 2 {
            let sound = read(nested.0.as_bytes(), &nested.1).is_ok();
            assert_eq!(sound, (1..=DEPTH_MAX).contains(&depth), "{depth}");
            let (kind, body) = nested;
            let body = format!("--{depth}\r\nContent-Type: {kind}\r\n\r\n{body}\r\n--{depth}--\r\n");
            nested = (format!("multipart/mixed;boundary={depth}"), body);
        }
    }

    #[test]
    fn bodies_that_are_none() {
        let sdp = "Content-Type: application/sdp\r\n\r\nv=0\r\n";
        for (content_type, body) in [
            ("multipart/mixed", format!("--x\r\n{sdp}--x--\r\n")),
            ("multipart/mixed;boundary", format!("--x\r\n{sdp}--x--\r\n")),
            ("multipart/mixed;boundary=\"\"", format!("--\r\n{sdp}----\r\n")),
            ("multipart/mixed;boundary=y", format!("--x\r\n{sdp}--x--\r\n")),
            ("multipart/mixed;boundary=x", format!("--x\r\n{sdp}")),
            ("multipart/mixed;boundary=x", format!("--x\r\n{sdp}--x\r\n")),
            ("multipart/mixed;boundary=x", "--x--\r\n".into()),
            ("multipart/mixed;boundary=x", String::new()),
            ("multipart/mixed;boundary=x", "--x\r\nno header line\r\n\r\nv=0\r\n--x--\r\n".into()),
            (
                "multipart/mixed;boundary=x",
                format!("--x\r\n{}\r\n--x--\r\n", "a:b\r\n".repeat(LINES_MAX + 1)),
            ),
            ("multipart/mixed;boundary=x", format!("{}--x--\r\n", "--x\r\n\r\na\r\n".repeat(PARTS_MAX + 1))),
            ("multipart/mixed;boundary=x", "--x\r\nContent-Type: multipart/mixed\r\n\r\n--x--\r\n".into()),
        ] {
            assert_eq!(read(content_type.as_bytes(), &body), Err(Malformed), "{content_type} {body:?}");
        }
        let long = format!("multipart/mixed;boundary={}", "x".repeat(BOUNDARY_BYTES_MAX + 1));
        assert_eq!(read(long.as_bytes(), ""), Err(Malformed));
        let most = format!("{}--x--\r\n", "--x\r\n\r\na\r\n".repeat(PARTS_MAX));
        assert_eq!(read(b"multipart/mixed;boundary=x", &most).map(|parts| parts.len()), Ok(PARTS_MAX));
    }
}
