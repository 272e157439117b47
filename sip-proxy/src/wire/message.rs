//! A parsed message: the datagram and an index into it.

use bytes::Bytes;

use super::address::{Contact, NameAddr};
use super::grammar::{CommaSplit, Params, comma_split};
use super::multipart::{self, Malformed, Part, SDP};
use super::via::{Transport, Via};
use super::{HeaderName, Method, ValueError};

/// Header lines indexed without an allocation.
pub(crate) const INLINE_HEADERS: usize = 48;

/// No entry of this name.
pub(crate) const NONE: u8 = u8::MAX;

/// A stretch of the message. Messages are at most 65,535 bytes long, so two bytes each do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u16,
    pub(crate) end: u16,
}

impl Span {
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= usize::from(u16::MAX), "no message is longer");
        Self { start: start as u16, end: end as u16 }
    }

    /// Where `part`, a subslice of `raw`, lies in it.
    #[inline]
    pub(crate) fn of(raw: &[u8], part: &[u8]) -> Self {
        if part.is_empty() {
            return Self::default();
        }
        let start = part.as_ptr().addr().wrapping_sub(raw.as_ptr().addr());
        debug_assert!(start <= raw.len() && start + part.len() <= raw.len(), "not a part of the message");
        Self::new(start, start + part.len())
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.start == self.end
    }

    #[inline]
    pub(crate) fn get(self, raw: &[u8]) -> &[u8] {
        raw.get(usize::from(self.start)..usize::from(self.end)).unwrap_or_default()
    }
}

/// One header line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) id: HeaderName,
    pub(crate) name_bytes: u8,
    pub(crate) name_start: u16,
    pub(crate) value: Span,
}

impl Entry {
    const EMPTY: Self =
        Self { id: HeaderName::Other, name_bytes: 0, name_start: 0, value: Span { start: 0, end: 0 } };
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    Request { method: Method, method_text: Span, uri: Span },
    Response { status: u16, reason: Span },
}

/// The first Via in spans.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TopVia {
    pub(crate) transport: Transport,
    pub(crate) host: Span,
    pub(crate) port: Option<u16>,
    pub(crate) branch: Option<Span>,
    pub(crate) received: Option<Span>,
    pub(crate) rport: Option<Option<u16>>,
    pub(crate) maddr: Option<Span>,
    pub(crate) params: Span,
}

/// Fields that each transaction and dialog asks for, typed in the one pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hot {
    pub(crate) via: TopVia,
    pub(crate) call_id: Span,
    pub(crate) from_tag: Option<Span>,
    pub(crate) to_tag: Option<Span>,
    /// To could be read; it is false only in a partial message.
    pub(crate) to_sound: bool,
    pub(crate) cseq_number: u32,
    pub(crate) cseq_method: Method,
    pub(crate) cseq_method_text: Span,
    pub(crate) max_forwards: Option<u8>,
    pub(crate) content_length: Option<u32>,
}

/// All that is known of the message besides its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) start: Start,
    pub(crate) hot: Hot,
    pub(crate) body: Span,
    /// Index of the first entry of each name, or [`NONE`].
    pub(crate) first: [u8; HeaderName::COUNT],
    pub(crate) count: u8,
    pub(crate) inline: [Entry; INLINE_HEADERS],
    /// Header lines beyond [`INLINE_HEADERS`]; empty for every ordinary message.
    pub(crate) more: Vec<Entry>,
}

impl Head {
    pub(crate) fn new() -> Self {
        Self {
            start: Start::Response { status: 0, reason: Span::default() },
            hot: Hot {
                via: TopVia {
                    transport: Transport::Other,
                    host: Span::default(),
                    port: None,
                    branch: None,
                    received: None,
                    rport: None,
                    maddr: None,
                    params: Span::default(),
                },
                call_id: Span::default(),
                from_tag: None,
                to_tag: None,
                to_sound: false,
                cseq_number: 0,
                cseq_method: Method::Other,
                cseq_method_text: Span::default(),
                max_forwards: None,
                content_length: None,
            },
            body: Span::default(),
            first: [NONE; HeaderName::COUNT],
            count: 0,
            inline: [Entry::EMPTY; INLINE_HEADERS],
            more: Vec::new(),
        }
    }

    #[inline]
    pub(crate) fn has(&self, name: HeaderName) -> bool {
        self.first[name as usize] != NONE
    }

    /// Says whether the name was there before.
    #[inline]
    pub(crate) fn push(&mut self, entry: Entry) -> bool {
        let index = usize::from(self.count);
        let first = &mut self.first[entry.id as usize];
        let again = *first != NONE;
        if !again {
            *first = self.count;
        }
        match self.inline.get_mut(index) {
            Some(slot) => *slot = entry,
            None => self.more.push(entry),
        }
        self.count += 1;
        again
    }

    #[inline]
    pub(crate) fn entry(&self, index: usize) -> Option<Entry> {
        if index >= usize::from(self.count) {
            return None;
        }
        match self.inline.get(index) {
            Some(entry) => Some(*entry),
            None => self.more.get(index - INLINE_HEADERS).copied(),
        }
    }

    #[inline]
    pub(crate) fn first_value(&self, name: HeaderName) -> Option<Span> {
        match self.first[name as usize] {
            NONE => None,
            index => match self.inline.get(usize::from(index)) {
                Some(entry) => Some(entry.value),
                None => self.entry(usize::from(index)).map(|entry| entry.value),
            },
        }
    }
}

/// A SIP message: the bytes it came in and where things are in them. Moving it moves a few hundred bytes and
/// allocates nothing; cloning it allocates nothing for a message of up to 48 header lines.
#[derive(Clone)]
pub struct Message {
    pub(crate) raw: Bytes,
    pub(crate) head: Head,
}

impl core::fmt::Debug for Message {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let line = self.raw.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
        write!(f, "Message({:?}, {} bytes)", String::from_utf8_lossy(line), self.raw.len())
    }
}

impl Message {
    /// Whether it is a request.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        matches!(self.head.start, Start::Request { .. })
    }

    /// The request's method; of a response the method in CSeq.
    #[must_use]
    pub const fn method(&self) -> Method {
        match self.head.start {
            Start::Request { method, .. } => method,
            Start::Response { .. } => self.head.hot.cseq_method,
        }
    }

    /// The text of [`Message::method`].
    #[must_use]
    pub fn method_text(&self) -> &[u8] {
        match self.head.start {
            Start::Request { method_text, .. } => method_text.get(&self.raw),
            Start::Response { .. } => self.head.hot.cseq_method_text.get(&self.raw),
        }
    }

    /// The Request-URI; empty for a response.
    #[must_use]
    pub fn request_uri(&self) -> &[u8] {
        match self.head.start {
            Start::Request { uri, .. } => uri.get(&self.raw),
            Start::Response { .. } => &[],
        }
    }

    /// The status code, 100 to 699; 0 for a request.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self.head.start {
            Start::Request { .. } => 0,
            Start::Response { status, .. } => status,
        }
    }

    /// The reason phrase; may be empty, need not be UTF-8.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        match self.head.start {
            Start::Request { .. } => &[],
            Start::Response { reason, .. } => reason.get(&self.raw),
        }
    }

    /// Call-ID.
    #[must_use]
    pub fn call_id(&self) -> &[u8] {
        self.head.hot.call_id.get(&self.raw)
    }

    /// The tag in From. Absent only from senders of RFC 2543.
    #[must_use]
    pub fn from_tag(&self) -> Option<&[u8]> {
        self.head.hot.from_tag.map(|span| span.get(&self.raw))
    }

    /// The tag in To; absent from the request that would begin a dialog.
    #[must_use]
    pub fn to_tag(&self) -> Option<&[u8]> {
        self.head.hot.to_tag.map(|span| span.get(&self.raw))
    }

    /// CSeq: number below 2^31, and method.
    #[must_use]
    pub const fn cseq(&self) -> (u32, Method) {
        (self.head.hot.cseq_number, self.head.hot.cseq_method)
    }

    /// The first Via. (Of a partial message in [`super::ParseError`] whose Via was unreadable: all empty.)
    #[must_use]
    pub fn top_via(&self) -> Via<'_> {
        let via = &self.head.hot.via;
        let get = |span: Span| span.get(&self.raw);
        Via {
            transport: via.transport,
            host: get(via.host),
            port: via.port,
            branch: via.branch.map(get),
            received: via.received.map(get),
            rport: via.rport,
            maddr: via.maddr.map(get),
            params: Params(get(via.params)),
        }
    }

    /// Max-Forwards.
    #[must_use]
    pub const fn max_forwards(&self) -> Option<u8> {
        self.head.hot.max_forwards
    }

    /// Content-Length as written; the body's real length is that of [`Message::body`].
    #[must_use]
    pub const fn content_length(&self) -> Option<u32> {
        self.head.hot.content_length
    }

    /// Expires in seconds; a number too large gives the largest, a malformed one `None`.
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        self.seconds(HeaderName::Expires)
    }

    /// A header that begins with a count of seconds (Expires, Min-Expires, Retry-After, Session-Expires).
    /// A number too large gives the largest, a malformed one `None`.
    #[must_use]
    pub fn seconds(&self, name: HeaderName) -> Option<u32> {
        let value = self.header(name)?;
        let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        Some(
            value[..digits]
                .iter()
                .fold(0_u32, |sum, digit| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0'))),
        )
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.head.body.get(&self.raw)
    }

    /// The body as a handle of its own; no bytes are copied.
    #[must_use]
    pub fn body_bytes(&self) -> Bytes {
        self.raw.slice(usize::from(self.head.body.start)..usize::from(self.head.body.end))
    }

    /// The session description in the body: the body itself, or a part of it (RFC 5621); no bytes are copied. `None` for
    /// a body of another kind, and for one of parts that cannot be taken apart. Without Content-Type a body is one.
    #[must_use]
    pub fn session_description(&self) -> Option<Bytes> {
        if self.body().is_empty() {
            return None;
        }
        let kind = self.header(HeaderName::ContentType).unwrap_or(SDP);
        if multipart::is_kind(kind, SDP) {
            return Some(self.body_bytes());
        }
        let parts = self.parts().ok()?;
        let described = multipart::session(&parts).filter(|described| !described.is_empty())?;
        Some(self.raw.slice_ref(described))
    }

    /// What a body of parts has beside the session description, each part as it stands between its delimiters: header
    /// lines, an empty line, body. Empty where there is nothing else.
    #[must_use]
    pub fn other_parts(&self) -> Vec<&[u8]> {
        let parts = self.parts().unwrap_or_default();
        parts.iter().filter(|part| !part.is_session()).map(|part| part.text).collect()
    }

    /// The parts of a body that has some; none for another body.
    ///
    /// # Errors
    /// When it should have parts and has none that can be read.
    pub(crate) fn parts(&self) -> Result<Vec<Part<'_>>, Malformed> {
        match self.header(HeaderName::ContentType) {
            Some(kind) if multipart::is_multipart(kind) && !self.body().is_empty() => {
                multipart::parts(kind, self.body())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The message as it came; octets of the datagram beyond Content-Length are not part of it.
    #[must_use]
    pub const fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The value of the first header of this name, without white space around it. Folds inside are left in.
    #[must_use]
    pub fn header(&self, name: HeaderName) -> Option<&[u8]> {
        self.head.first_value(name).map(|span| span.get(&self.raw))
    }

    /// Whether a header of this name is there.
    #[must_use]
    pub fn has(&self, name: HeaderName) -> bool {
        self.head.has(name)
    }

    /// The values of all header lines of this name, in order, as written (commas are not split).
    pub fn headers(&self, name: HeaderName) -> impl Iterator<Item = &[u8]> {
        self.entries(name).map(|entry| entry.value.get(&self.raw))
    }

    /// The header lines of this name.
    pub(crate) fn entries(&self, name: HeaderName) -> impl Iterator<Item = Entry> {
        let first = if self.has(name) { usize::from(self.head.first[name as usize]) } else { usize::MAX };
        (first..usize::from(self.head.count))
            .filter_map(|index| self.head.entry(index))
            .filter(move |entry| entry.id == name)
    }

    /// The value of the first header with this name in text (any case; compact and long form are the same).
    #[must_use]
    pub fn header_by_text(&self, name: &str) -> Option<&[u8]> {
        match HeaderName::from_bytes(name.as_bytes()) {
            HeaderName::Other => self
                .all_headers()
                .find(|(id, text, _)| *id == HeaderName::Other && text.eq_ignore_ascii_case(name.as_bytes()))
                .map(|(_, _, value)| value),
            known => self.header(known),
        }
    }

    /// Every header line in order: name, name as written, value.
    pub fn all_headers(&self) -> impl Iterator<Item = (HeaderName, &[u8], &[u8])> {
        (0..usize::from(self.head.count)).filter_map(|index| self.head.entry(index)).map(|entry| {
            let start = usize::from(entry.name_start);
            let name = self.raw.get(start..start + usize::from(entry.name_bytes)).unwrap_or_default();
            (entry.id, name, entry.value.get(&self.raw))
        })
    }

    /// All values of a header that may hold several: lines in order, each split at its commas (but not in
    /// quotes and angle brackets), trimmed.
    pub fn values(&self, name: HeaderName) -> impl Iterator<Item = &[u8]> {
        self.headers(name).flat_map(|value| -> CommaSplit<'_> { comma_split(value) })
    }

    /// Whether one of the values of a list of tokens (Supported, Require, Allow) is this one, in any case.
    #[must_use]
    pub fn lists(&self, name: HeaderName, token: &str) -> bool {
        self.values(name).any(|value| value.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// From.
    ///
    /// # Errors
    /// Only for a partial message: parsing refuses one whose From is broken.
    pub fn from(&self) -> Result<NameAddr<'_>, ValueError> {
        self.address(HeaderName::From)
    }

    /// To.
    ///
    /// # Errors
    /// Only for a partial message: parsing refuses one whose To is broken.
    pub fn to(&self) -> Result<NameAddr<'_>, ValueError> {
        self.address(HeaderName::To)
    }

    /// The first header of this name as one address (P-Asserted-Identity, Refer-To, Referred-By …).
    ///
    /// # Errors
    /// When it is missing or not an address.
    pub fn address(&self, name: HeaderName) -> Result<NameAddr<'_>, ValueError> {
        NameAddr::parse(self.header(name).unwrap_or_default())
    }

    /// All values of a header of addresses (P-Asserted-Identity, Diversion …) in order.
    pub fn addresses(&self, name: HeaderName) -> impl Iterator<Item = Result<NameAddr<'_>, ValueError>> {
        self.values(name).map(NameAddr::parse)
    }

    /// All Via values in order.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'_>, ValueError>> {
        self.values(HeaderName::Via).map(Via::parse)
    }

    /// All Contact values in order.
    pub fn contacts(&self) -> impl Iterator<Item = Result<Contact<'_>, ValueError>> {
        self.values(HeaderName::Contact).map(Contact::parse)
    }

    /// The first Contact, if it is a sound address: the remote target of a dialog.
    #[must_use]
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        match self.contacts().next()? {
            Ok(Contact::Address(address)) => Some(address),
            _ => None,
        }
    }

    /// All Route values in order.
    pub fn routes(&self) -> impl Iterator<Item = Result<NameAddr<'_>, ValueError>> {
        self.values(HeaderName::Route).map(NameAddr::parse)
    }

    /// All Record-Route values in order.
    pub fn record_routes(&self) -> impl Iterator<Item = Result<NameAddr<'_>, ValueError>> {
        self.values(HeaderName::RecordRoute).map(NameAddr::parse)
    }
}
