//! The one pass over a datagram: start line, index of the header lines, the hot fields, the body.

use bytes::Bytes;

use super::address::{all_sound, tagged_addr};
use super::error::ParseErrorKind::{self, Duplicate, Missing, Value};
use super::grammar::{is_token, lws, number, token, trim, whole};
use super::message::{Entry, Head, Hot, Message, Span, Start, TopVia};
use super::scan::{self, Lines};
use super::uri::is_request_uri;
use super::via::{Via, via};
use super::{HeaderName, Limits, Method, ParseError};

/// The longest message the index can hold.
const MESSAGE_BYTES_MAX: usize = u16::MAX as usize;
/// The most header lines the index can hold.
const HEADERS_MAX: usize = 254;
/// The longest header name: longer ones are no names.
const NAME_BYTES_MAX: usize = u8::MAX as usize;
/// RFC 3261 §8.1.1.5: a sequence number is less than 2^31.
const CSEQ_MAX: u32 = (1 << 31) - 1;

/// Headers that may appear once (RFC 3261 §7.3.1: two of them contradict each other).
static SINGLE: [bool; HeaderName::COUNT] = {
    let mut table = [false; HeaderName::COUNT];
    let names = [
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
        HeaderName::MaxForwards,
        HeaderName::ContentLength,
        HeaderName::ContentType,
        HeaderName::Expires,
        HeaderName::SessionExpires,
        HeaderName::MinSe,
        HeaderName::RSeq,
        HeaderName::RAck,
        HeaderName::Event,
        HeaderName::ReferTo,
        HeaderName::ReferredBy,
        HeaderName::Replaces,
    ];
    let mut index = 0;
    while index < names.len() {
        table[names[index] as usize] = true;
        index += 1;
    }
    table
};

/// Headers each message must have (RFC 3261 §8.1.1, less Max-Forwards, which RFC 2543 did not know).
const MANDATORY: [HeaderName; 5] =
    [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq];

/// Parses one datagram.
///
/// Nothing is copied, and for a message of up to 48 header lines nothing is allocated. Checked are the
/// start line, the shape of every header line, the first Via, From, To, Call-ID, CSeq, Max-Forwards and
/// Content-Length, the Contacts of a request, and that nothing mandatory is missing and nothing
/// unique repeated. Other headers are checked by who reads them.
///
/// The work is linear in the length of the datagram, whatever it holds.
///
/// # Errors
/// What is wrong, where, and (for a request) what can be read well enough to answer it: see
/// [`ParseError::answer`].
#[allow(clippy::result_large_err, reason = "a boxed error would be an allocation per hostile datagram")]
pub fn parse(datagram: Bytes, limits: &Limits) -> Result<Message, ParseError> {
    if datagram.len() > limits.message_bytes_max.min(MESSAGE_BYTES_MAX) {
        return Err(ParseError { kind: ParseErrorKind::TooLong, offset: datagram.len(), partial: None });
    }
    read(datagram, limits)
}

/// The message is made where it is returned: it is too large to be moved for nothing. For that there may be one value
/// only that is returned.
#[allow(clippy::result_large_err, reason = "as parse")]
#[inline(never)]
fn read(datagram: Bytes, limits: &Limits) -> Result<Message, ParseError> {
    let mut result = Ok(Message { raw: datagram, head: Head::new() });
    if let Ok(message) = &mut result {
        let raw = &message.raw;
        let start = raw.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(raw.len());
        let lines = Lines::new(raw, start);
        let mut pass = Pass { raw, at: start, lines, limits, head: &mut message.head, fault: None };
        match pass.run() {
            Ok(end) if end < message.raw.len() => message.raw.truncate(end),
            Ok(_) => {}
            Err((fault, keep)) => refuse(&mut result, fault, keep),
        }
    }
    result
}

#[cold]
fn refuse(result: &mut Result<Message, ParseError>, Fault { kind, offset }: Fault, keep: bool) {
    let read = core::mem::replace(result, Err(ParseError { kind, offset, partial: None }));
    if let (Ok(message), Err(error)) = (read, result)
        && keep
    {
        error.partial = Some(message);
    }
}

/// What is wrong, and where.
#[derive(Clone, Copy)]
struct Fault {
    kind: ParseErrorKind,
    offset: usize,
}

struct Pass<'m> {
    raw: &'m [u8],
    /// Where the line begins that is read next.
    at: usize,
    lines: Lines<'m>,
    limits: &'m Limits,
    head: &'m mut Head,
    /// The first fault found. The pass goes on, so that an answer can be made from what follows.
    fault: Option<Fault>,
}

impl<'m> Pass<'m> {
    /// Returns where the message ends, or the fault and whether enough was read to answer.
    fn run(&mut self) -> Result<usize, (Fault, bool)> {
        if self.at == self.raw.len() {
            return Err((Fault { kind: ParseErrorKind::KeepAlive, offset: 0 }, false));
        }
        self.start_line().map_err(|fault| (fault, false))?;
        self.header_lines();
        self.hot_fields();
        let end = self.body();
        match self.fault {
            None => Ok(end),
            Some(fault) => Err((fault, matches!(self.head.start, Start::Request { .. }))),
        }
    }

    #[cold]
    fn fault(&mut self, kind: ParseErrorKind, offset: usize) {
        if self.fault.is_none() {
            self.fault = Some(Fault { kind, offset });
        }
    }

    fn offset_of(&self, part: &[u8]) -> usize {
        usize::from(Span::of(self.raw, part).start)
    }

    /// Where the text of the line ends that begins at `start`, and where the line after it begins. Both CRLF and a bare
    /// LF end a line.
    #[inline(always)]
    fn next_line(&mut self, start: usize) -> Option<(usize, usize)> {
        let Some(feed) = self.lines.next_feed() else {
            self.stray_return(start, self.raw.len());
            return None;
        };
        if self.lines.may_have_stray_returns() {
            self.stray_return(start, feed);
        }
        let crlf = feed > start && self.raw.get(feed - 1) == Some(&b'\r');
        Some((feed - usize::from(crlf), feed + 1))
    }

    /// A CR alone would be a line end to some and not to others: refuse, do not pass it on.
    #[cold]
    fn stray_return(&mut self, start: usize, end: usize) {
        let raw = self.raw;
        let mut returns = memchr::memchr_iter(b'\r', &raw[start..end]).map(|at| start + at);
        if let Some(at) = returns.find(|at| raw.get(at + 1) != Some(&b'\n')) {
            self.fault(ParseErrorKind::HeaderLine, at);
        }
    }

    #[inline(never)]
    fn start_line(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let not_sip = Fault { kind: ParseErrorKind::NotSip, offset: start };
        let Some((end, next)) = self.next_line(start) else { return Err(not_sip) };
        let line = &self.raw[start..end];
        self.at = next;
        if line.get(..4).is_some_and(|four| four.eq_ignore_ascii_case(b"SIP/")) {
            self.status_line(line, start)
        } else {
            self.request_line(line, start, not_sip)
        }
    }

    /// `Status-Line = SIP-Version SP Status-Code SP Reason-Phrase`
    fn status_line(&mut self, line: &[u8], start: usize) -> Result<(), Fault> {
        if !line.get(..8).is_some_and(|version| version.eq_ignore_ascii_case(b"SIP/2.0 ")) {
            return Err(Fault { kind: ParseErrorKind::Version, offset: start });
        }
        let bad = Fault { kind: ParseErrorKind::StatusCode, offset: start + 8 };
        let (code, reason) = match &line[8..] {
            [a, b, c] => ([*a, *b, *c], &line[11..]),
            [a, b, c, b' ', ..] => ([*a, *b, *c], &line[12..]),
            _ => return Err(bad),
        };
        let mut status = 0_u16;
        for digit in code {
            if !digit.is_ascii_digit() {
                return Err(bad);
            }
            status = status * 10 + u16::from(digit - b'0');
        }
        if !(100..=699).contains(&status) {
            return Err(bad);
        }
        self.head.start = Start::Response { status, reason: Span::of(self.raw, reason) };
        Ok(())
    }

    /// `Request-Line = Method SP Request-URI SP SIP-Version`
    fn request_line(&mut self, line: &[u8], start: usize, not_sip: Fault) -> Result<(), Fault> {
        let Some(first) = scan::byte(b' ', line) else { return Err(not_sip) };
        let text = &line[..first];
        let method = Method::from_bytes(text);
        if method == Method::Other && (text.is_empty() || !text.iter().all(|byte| is_token(*byte))) {
            return Err(not_sip);
        }
        let rest = &line[first + 1..];
        if let Some(uri) = rest.strip_suffix(b" SIP/2.0")
            && trim(uri).len() == uri.len()
        {
            self.head.start = Start::Request {
                method,
                method_text: Span::of(self.raw, text),
                uri: Span::of(self.raw, uri),
            };
            if line.len() > self.limits.header_bytes_max {
                self.fault(ParseErrorKind::HeaderTooLong, start);
            }
            if !is_request_uri(uri) {
                self.fault(ParseErrorKind::RequestUri, start + first + 1);
            }
            return Ok(());
        }
        self.odd_request_line(method, text, rest, not_sip)
    }

    /// A request line that does not end with ` SIP/2.0`: spaces where there must be none, another version, or
    /// small letters.
    #[cold]
    fn odd_request_line(
        &mut self,
        method: Method,
        text: &[u8],
        rest: &[u8],
        not_sip: Fault,
    ) -> Result<(), Fault> {
        let sound = trim(rest);
        let last = memchr::memrchr(b' ', sound).ok_or(not_sip)?;
        let (uri, version) = (&sound[..last], &sound[last + 1..]);
        if !version.get(..4).is_some_and(|four| four.eq_ignore_ascii_case(b"SIP/")) {
            return Err(not_sip);
        }
        self.head.start =
            Start::Request { method, method_text: Span::of(self.raw, text), uri: Span::of(self.raw, uri) };
        if !version.eq_ignore_ascii_case(b"SIP/2.0") {
            let digits = version[4..].iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
            let kind = if digits { ParseErrorKind::Version } else { ParseErrorKind::RequestLine };
            self.fault(kind, self.offset_of(version));
        }
        if sound.len() != rest.len() {
            self.fault(ParseErrorKind::RequestLine, self.offset_of(rest));
        }
        if !is_request_uri(uri) {
            self.fault(ParseErrorKind::RequestUri, self.offset_of(uri));
        }
        Ok(())
    }

    #[inline(never)]
    fn header_lines(&mut self) {
        let raw = self.raw;
        let headers_max = self.limits.headers_max.min(HEADERS_MAX);
        let header_bytes_max = self.limits.header_bytes_max;
        let mut vias = 0;
        let mut start = self.at;
        loop {
            self.at = start;
            let Some((line_end, mut next)) = self.next_line(start) else {
                self.at = raw.len();
                return self.fault(ParseErrorKind::HeadersNotEnded, raw.len());
            };
            if line_end == start {
                self.at = next;
                return;
            }
            let mut end = line_end;
            // RFC 3261 §7.3.1: a line that starts with white space continues the one before.
            if let Some(b' ' | b'\t') = raw.get(next) {
                (end, next) = self.folds(next);
            }
            if usize::from(self.head.count) >= headers_max {
                return self.fault(ParseErrorKind::TooManyHeaders, start);
            }
            if next - start > header_bytes_max {
                return self.fault(ParseErrorKind::HeaderTooLong, start);
            }
            let line = core::mem::replace(&mut start, next);
            // Nearly all names are shorter than sixteen bytes, and one space follows the colon. Only in a message that is
            // refused anyway there may be a CR in the name.
            let sixteen = raw.get(line..).and_then(<[u8]>::first_chunk::<16>).unwrap_or(&[0; 16]);
            let colon = scan::byte_of_sixteen(b':', sixteen);
            let value = line + colon + 2;
            let (id, name_bytes, value) = if let 1..15 = colon
                && let Some(text) = raw.get(value..end)
                && text.first().is_some_and(|first| *first > b' ')
                && text.last().is_some_and(|last| *last > b' ')
                && sixteen[colon - 1] > b' '
                && sixteen[colon + 1] == b' '
                && value < line_end
                && self.fault.is_none()
            {
                let id = HeaderName::of_sixteen(sixteen, colon);
                if id == HeaderName::Other && !is_name(&sixteen[..colon]) {
                    self.fault(ParseErrorKind::HeaderLine, line);
                    continue;
                }
                (id, colon, Span::new(value, end))
            } else {
                match self.odd_header_line(line, line_end, end) {
                    Some(odd) => odd,
                    None => continue,
                }
            };
            if id == HeaderName::Via {
                vias += 1;
                if vias > self.limits.vias_max {
                    return self.fault(ParseErrorKind::TooManyVias, line);
                }
            }
            let again =
                self.head.push(Entry { id, name_bytes: name_bytes as u8, name_start: line as u16, value });
            if again && SINGLE[id as usize] {
                self.fault(Duplicate(id), line);
            }
        }
    }

    /// The name, the length of its text, and the value of the header line from `start` to `end`, whose name is before
    /// `line_end`.
    #[inline(never)]
    fn odd_header_line(
        &mut self,
        start: usize,
        line_end: usize,
        end: usize,
    ) -> Option<(HeaderName, usize, Span)> {
        let raw = self.raw;
        if let Some((name, value)) = name_and_value(&raw[start..end], line_end - start) {
            let id = HeaderName::from_bytes(name);
            if id != HeaderName::Other || is_name(name) {
                return Some((id, name.len(), Span::of(raw, value)));
            }
        }
        self.fault(ParseErrorKind::HeaderLine, start);
        None
    }

    /// Where the last of the folds that begin at `next` ends, and where the next line begins.
    #[cold]
    fn folds(&mut self, mut next: usize) -> (usize, usize) {
        loop {
            let Some((end, after)) = self.next_line(next) else {
                // The loop over the lines will see that the end is missing.
                return (self.raw.len(), self.raw.len());
            };
            if !matches!(self.raw.get(after), Some(b' ' | b'\t')) {
                return (end, after);
            }
            next = after;
        }
    }

    #[inline(never)]
    fn hot_fields(&mut self) {
        for name in MANDATORY {
            if !self.head.has(name) {
                self.fault(Missing(name), self.at);
            }
        }
        let raw = self.raw;
        let value = |head: &Head, name| head.first_value(name).map(|span| span.get(raw));
        if let Some(text) = value(self.head, HeaderName::Via) {
            match via(text) {
                // A comma may follow: further values, read by who needs them.
                Ok((rest, top)) if matches!(lws(rest), [] | [b',', ..]) => {
                    self.head.hot.via = top_via(raw, &top);
                }
                _ => self.bad_value(HeaderName::Via, text),
            }
        }
        if let Some(text) = value(self.head, HeaderName::CallId) {
            // Not only a matter of grammar: the Call-ID is a key, and folds would make two of one.
            if text.is_empty() || !scan::is_solid(text) {
                self.bad_value(HeaderName::CallId, text);
            }
            self.head.hot.call_id = Span::of(raw, text);
        }
        if let Some(text) = value(self.head, HeaderName::CSeq) {
            self.cseq(text);
        }
        if let Some(text) = value(self.head, HeaderName::From) {
            self.head.hot.from_tag = self.tag(HeaderName::From, text).1;
        }
        if let Some(text) = value(self.head, HeaderName::To) {
            (self.head.hot.to_sound, self.head.hot.to_tag) = self.tag(HeaderName::To, text);
        }
        if let Some(text) = value(self.head, HeaderName::ContentLength) {
            match whole(text, number(u32::MAX)) {
                Ok(length) => self.head.hot.content_length = Some(length),
                Err(_) => self.bad_value(HeaderName::ContentLength, text),
            }
        }
        // What follows tells the sender of a request what to repair. A response is judged by who waits for it.
        if matches!(self.head.start, Start::Request { .. }) {
            if let Some(text) = value(self.head, HeaderName::MaxForwards) {
                match whole(text, number(u32::from(u8::MAX))) {
                    Ok(hops) => self.head.hot.max_forwards = u8::try_from(hops).ok(),
                    Err(_) => self.bad_value(HeaderName::MaxForwards, text),
                }
            }
            if self.head.has(HeaderName::Contact) {
                self.contacts();
            }
        }
    }

    fn bad_value(&mut self, name: HeaderName, value: &[u8]) {
        self.fault(Value(name), self.offset_of(value));
    }

    fn cseq(&mut self, text: &'m [u8]) {
        let expected = match self.head.start {
            Start::Request { method_text, .. } => method_text.get(self.raw),
            Start::Response { .. } => &[],
        };
        let parsed = whole(text, |input| {
            let (rest, number) = number(CSEQ_MAX)(input)?;
            // What nearly all requests have: the method once more.
            if let [b' ', method @ ..] = rest
                && !method.is_empty()
                && method == expected
            {
                return Ok((&[][..], (number, method)));
            }
            let (rest, method) = token(lws(rest))?;
            Ok((rest, (number, method)))
        });
        let Ok((number, method_text)) = parsed else { return self.bad_value(HeaderName::CSeq, text) };
        let Hot { cseq_number, cseq_method, cseq_method_text, .. } = &mut self.head.hot;
        *cseq_number = number;
        *cseq_method_text = Span::of(self.raw, method_text);
        match self.head.start {
            Start::Request { method, .. } => {
                *cseq_method = method;
                if expected != method_text {
                    self.fault(ParseErrorKind::CSeqMethod, self.offset_of(text));
                }
            }
            Start::Response { .. } => *cseq_method = Method::from_bytes(method_text),
        }
    }

    /// Whether the value is a sound address, and its tag.
    fn tag(&mut self, name: HeaderName, text: &'m [u8]) -> (bool, Option<Span>) {
        match whole(text, tagged_addr) {
            Ok((_, tag)) => (true, tag.map(|tag| Span::of(self.raw, tag))),
            Err(_) => {
                self.bad_value(name, text);
                (false, None)
            }
        }
    }

    fn contacts(&mut self) {
        let first = usize::from(self.head.first[HeaderName::Contact as usize]);
        for index in first..usize::from(self.head.count) {
            let Some(entry) = self.head.entry(index) else { return };
            if entry.id != HeaderName::Contact {
                continue;
            }
            let text = entry.value.get(self.raw);
            if text != b"*" && !all_sound(text) {
                return self.bad_value(HeaderName::Contact, text);
            }
        }
    }

    /// Returns where the message ends.
    fn body(&mut self) -> usize {
        let start = self.at.min(self.raw.len());
        let available = self.raw.len() - start;
        let length = match self.head.hot.content_length {
            None => available,
            // RFC 3261 §18.3: octets beyond are discarded; too few are an error.
            Some(length) => match usize::try_from(length) {
                Ok(length) if length <= available => length,
                _ => {
                    let text = self.head.first_value(HeaderName::ContentLength).unwrap_or_default();
                    self.fault(ParseErrorKind::BodyTruncated, usize::from(text.start));
                    available
                }
            },
        };
        self.head.body = Span::new(start, start + length);
        start + length
    }
}

/// Content-Length in a whole head whose lines all end with CRLF, as [`parse`] reads it; `None` if there is none.
///
/// # Errors
/// When it is not a number, or there are two.
pub(crate) fn content_length(head: &[u8]) -> Result<Option<u32>, super::ValueError> {
    let mut found = None;
    let mut at = memchr::memmem::find(head, b"\r\n").map_or(head.len(), |end| end + 2);
    while at < head.len() {
        let line_end = |from: usize| memchr::memmem::find(&head[from..], b"\r\n").map(|end| from + end);
        let Some(first_end) = line_end(at) else { break };
        let mut end = first_end;
        // RFC 3261 §7.3.1: a line that starts with white space continues the one before.
        while first_end > at && matches!(head.get(end + 2), Some(b' ' | b'\t')) {
            let Some(next) = line_end(end + 2) else { break };
            end = next;
        }
        if let Some((name, value)) = name_and_value(&head[at..end], first_end - at)
            && HeaderName::from_bytes(name) == HeaderName::ContentLength
        {
            let length = whole(value, number(u32::MAX)).map_err(|_| super::ValueError { offset: at })?;
            if found.replace(length).is_some() {
                return Err(super::ValueError { offset: at });
            }
        }
        at = end + 2;
    }
    Ok(found)
}

/// Name and value of a header line with its folds; the name must be in the first `line_bytes`.
#[inline(always)]
fn name_and_value(text: &[u8], line_bytes: usize) -> Option<(&[u8], &[u8])> {
    let (mut name, value) = text.split_at(scan::byte(b':', text)?);
    if name.len() >= line_bytes {
        return None;
    }
    // `HCOLON = *( SP / HTAB ) ":" SWS`
    while let [shorter @ .., b' ' | b'\t'] = name {
        name = shorter;
    }
    Some((name, trim(&value[1..])))
}

#[cold]
fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.iter().all(|byte| is_token(*byte))
}

#[inline(always)]
fn top_via(raw: &[u8], via: &Via<'_>) -> TopVia {
    let span = |part: &[u8]| Span::of(raw, part);
    TopVia {
        transport: via.transport,
        host: span(via.host),
        port: via.port,
        branch: via.branch.map(span),
        received: via.received.map(span),
        rport: via.rport,
        maddr: via.maddr.map(span),
        params: span(via.params.as_bytes()),
    }
}
