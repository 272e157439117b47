//! Writing messages.

use core::fmt::Write as _;
use core::net::{IpAddr, SocketAddr};

use bytes::BytesMut;

use super::grammar::{lws, next_param, trim, trim_end};
use super::via::via;
use super::{HeaderName, Message, Method, Transport};

/// Room for an ordinary message, taken in one step.
const MESSAGE_BYTES_USUAL: usize = 1024;

/// Appends one message to a buffer of the caller: start line, then headers, then [`Writer::body`] or
/// [`Writer::no_body`]. A writer that is dropped before ends its message without a body.
///
/// CR and LF in a value handed in become spaces, so that no caller can be made to write a header line it did
/// not mean.
#[derive(Debug)]
pub struct Writer<'b> {
    buf: &'b mut BytesMut,
    ended: bool,
}

impl<'b> Writer<'b> {
    /// Begins a request. For an extension method use [`Writer::request_text`].
    pub fn request(buf: &'b mut BytesMut, method: Method, uri: &[u8]) -> Self {
        Self::request_text(buf, method.as_str().as_bytes(), uri)
    }

    /// Begins a request with a method in text.
    pub fn request_text(buf: &'b mut BytesMut, method: &[u8], uri: &[u8]) -> Self {
        buf.reserve(MESSAGE_BYTES_USUAL);
        let mut writer = Self { buf, ended: false };
        writer.text(method);
        writer.raw(b" ");
        writer.text(uri);
        writer.raw(b" SIP/2.0\r\n");
        writer
    }

    /// Begins a response.
    pub fn response(buf: &'b mut BytesMut, status: u16, reason: &str) -> Self {
        buf.reserve(MESSAGE_BYTES_USUAL);
        let mut writer = Self { buf, ended: false };
        writer.raw(b"SIP/2.0 ");
        writer.number(u64::from(status));
        writer.raw(b" ");
        writer.text(reason.as_bytes());
        writer.raw(b"\r\n");
        writer
    }

    /// One header line.
    pub fn header(&mut self, name: HeaderName, value: &[u8]) -> &mut Self {
        self.name(name);
        self.text(value);
        self.raw(b"\r\n");
        self
    }

    /// One header line whose value comes in parts.
    pub fn header_parts(&mut self, name: HeaderName, parts: &[&[u8]]) -> &mut Self {
        self.name(name);
        for part in parts {
            self.text(part);
        }
        self.raw(b"\r\n");
        self
    }

    /// One header line with a name this program has no number for.
    pub fn header_text(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.text(name.as_bytes());
        self.raw(b": ");
        self.text(value);
        self.raw(b"\r\n");
        self
    }

    /// One header line with a number.
    pub fn header_number(&mut self, name: HeaderName, value: u64) -> &mut Self {
        self.name(name);
        self.number(value);
        self.raw(b"\r\n");
        self
    }

    /// Our own Via: `sent_by` is `host` or `host:port`. Asks for the source port (RFC 3581).
    pub fn via(&mut self, transport: Transport, sent_by: &[u8], branch: &[u8]) -> &mut Self {
        self.raw(b"Via: SIP/2.0/");
        self.raw(transport.as_str().as_bytes());
        self.raw(b" ");
        self.text(sent_by);
        self.raw(b";rport;branch=");
        self.text(branch);
        self.raw(b"\r\n");
        self
    }

    /// From, To and their like: `<uri>` or `"display" <uri>`, and the tag. Quotes and backslashes in the
    /// display name are escaped.
    pub fn address(&mut self, name: HeaderName, display: &[u8], uri: &[u8], tag: Option<&[u8]>) -> &mut Self {
        self.name(name);
        if !display.is_empty() {
            self.raw(b"\"");
            let mut rest = display;
            while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
                self.text(&rest[..at]);
                self.raw(&[b'\\', rest[at]]);
                rest = &rest[at + 1..];
            }
            self.text(rest);
            self.raw(b"\" ");
        }
        self.raw(b"<");
        self.text(uri);
        self.raw(b">");
        if let Some(tag) = tag {
            self.raw(b";tag=");
            self.text(tag);
        }
        self.raw(b"\r\n");
        self
    }

    /// CSeq.
    pub fn cseq(&mut self, number: u32, method: Method) -> &mut Self {
        self.cseq_text(number, method.as_str().as_bytes())
    }

    /// CSeq with a method in text.
    pub fn cseq_text(&mut self, number: u32, method: &[u8]) -> &mut Self {
        self.raw(b"CSeq: ");
        self.number(u64::from(number));
        self.raw(b" ");
        self.text(method);
        self.raw(b"\r\n");
        self
    }

    /// Max-Forwards.
    pub fn max_forwards(&mut self, hops: u8) -> &mut Self {
        self.header_number(HeaderName::MaxForwards, u64::from(hops))
    }

    /// One header line whose value was taken from a parsed message: its line ends are folds and stay.
    pub(crate) fn header_verbatim(&mut self, name: HeaderName, value: &[u8]) -> &mut Self {
        self.verbatim(name, value);
        self
    }

    /// Whole header lines, each with its CRLF, that a writer has written before.
    pub(crate) fn lines(&mut self, lines: &[u8]) -> &mut Self {
        self.raw(lines);
        self
    }

    /// All header lines of this name of another message, in order, values verbatim.
    /// Does nothing for [`HeaderName::Other`].
    pub fn copy_from(&mut self, message: &Message, name: HeaderName) -> &mut Self {
        if name != HeaderName::Other {
            for value in message.headers(name) {
                self.verbatim(name, value);
            }
        }
        self
    }

    /// Ends the message with a body; writes Content-Type and the right Content-Length.
    pub fn body(&mut self, content_type: &[u8], body: &[u8]) {
        self.header(HeaderName::ContentType, content_type);
        self.raw(b"Content-Length: ");
        self.number(body.len() as u64);
        self.raw(b"\r\n\r\n");
        self.raw(body);
        self.ended = true;
    }

    /// Ends the message without a body.
    pub fn no_body(&mut self) {
        self.raw(b"Content-Length: 0\r\n\r\n");
        self.ended = true;
    }

    fn name(&mut self, name: HeaderName) {
        self.raw(name.as_str().as_bytes());
        self.raw(b": ");
    }

    /// A value that was a header value of a parsed message: its line ends are folds.
    fn verbatim(&mut self, name: HeaderName, value: &[u8]) {
        self.name(name);
        self.raw(value);
        self.raw(b"\r\n");
    }

    #[inline]
    fn raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    #[inline]
    fn text(&mut self, bytes: &[u8]) {
        let start = self.buf.len();
        self.buf.extend_from_slice(bytes);
        if memchr::memchr2(b'\r', b'\n', bytes).is_some() {
            for byte in &mut self.buf[start..] {
                if matches!(*byte, b'\r' | b'\n') {
                    *byte = b' ';
                }
            }
        }
    }

    fn number(&mut self, value: u64) {
        write_number(self.buf, value);
    }

    fn ip(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                for (index, octet) in address.octets().into_iter().enumerate() {
                    if index > 0 {
                        self.raw(b".");
                    }
                    self.number(u64::from(octet));
                }
            }
            IpAddr::V6(address) => {
                write!(self.buf, "{address}").expect("a write to a BytesMut cannot fail");
            }
        }
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.no_body();
        }
    }
}

/// Appends a number in decimal.
pub(crate) fn write_number(buf: &mut BytesMut, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    buf.extend_from_slice(&digits[at..]);
}

/// Begins a response to `request`: all Vias (the first one with the source noted as RFC 3261 §18.2.1 and
/// RFC 3581 §4 want it), From, To, Call-ID, CSeq, Timestamp, and Record-Route where the response makes a
/// dialog (RFC 3261 §12.1.1). `to_tag` is put into To if the request has none there. Add what else belongs
/// into it and end it.
///
/// It is sent to `source`; see [`reply_address`].
pub fn respond<'b>(
    buf: &'b mut BytesMut,
    request: &Message,
    status: u16,
    reason: &str,
    to_tag: Option<&str>,
    source: SocketAddr,
) -> Writer<'b> {
    let mut writer = Writer::response(buf, status, reason);
    for (index, value) in request.headers(HeaderName::Via).enumerate() {
        if index == 0 {
            top_via(&mut writer, value, source);
        } else {
            writer.verbatim(HeaderName::Via, value);
        }
    }
    if (101..=299).contains(&status)
        && matches!(request.method(), Method::Invite | Method::Subscribe | Method::Refer | Method::Notify)
    {
        writer.copy_from(request, HeaderName::RecordRoute);
    }
    if let Some(value) = request.header(HeaderName::From) {
        writer.verbatim(HeaderName::From, value);
    }
    if let Some(value) = request.header(HeaderName::To) {
        writer.name(HeaderName::To);
        writer.raw(value);
        if let Some(tag) = to_tag
            && request.to_tag().is_none()
            && request.to().is_ok()
        {
            writer.raw(b";tag=");
            writer.text(tag.as_bytes());
        }
        writer.raw(b"\r\n");
    }
    for name in [HeaderName::CallId, HeaderName::CSeq, HeaderName::Timestamp] {
        if let Some(value) = request.header(name) {
            writer.verbatim(name, value);
        }
    }
    writer
}

/// The first Via line with `received` and `rport` of its first value filled in.
fn top_via(writer: &mut Writer<'_>, value: &[u8], source: SocketAddr) {
    let Ok((rest, first)) = via(value) else { return writer.verbatim(HeaderName::Via, value) };
    let params_len = first.params.as_bytes().len();
    let end = value.len() - rest.len();
    writer.name(HeaderName::Via);
    // `rest` starts behind the parameters, with white space before the comma already skipped.
    let value_end = trim_end(&value[..end]).len();
    let params_start = value_end.saturating_sub(trim_end(first.params.as_bytes()).len());
    debug_assert!(params_len <= end);
    writer.raw(&value[..params_start]);
    let mut params = &value[params_start..value_end];
    while let Ok((left, Some((name, _)))) = next_param(params) {
        let written = trim(&params[..params.len() - left.len()]);
        if !name.eq_ignore_ascii_case(b"rport") && !name.eq_ignore_ascii_case(b"received") {
            writer.raw(written);
        }
        params = left;
    }
    if first.rport.is_some() || !first.host_is(source.ip()) {
        writer.raw(b";received=");
        writer.ip(source.ip());
    }
    if first.rport.is_some() {
        writer.raw(b";rport=");
        writer.number(u64::from(source.port()));
    }
    let rest = lws(rest);
    if !rest.is_empty() {
        writer.raw(rest);
    }
    writer.raw(b"\r\n");
}

/// Where the responses to a request go (RFC 3261 §18.2.2, RFC 3581 §4, UDP): with `rport` to the source;
/// without, to the source address and the port of sent-by.
#[must_use]
pub fn reply_address(request: &Message, source: SocketAddr) -> SocketAddr {
    let via = request.top_via();
    if via.rport.is_some() || via.host.is_empty() {
        return source;
    }
    SocketAddr::new(source.ip(), via.port.unwrap_or(5060))
}
