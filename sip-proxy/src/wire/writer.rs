//! Writing messages.

use core::fmt::Write as _;
use core::net::{IpAddr, SocketAddr};

use bytes::BytesMut;

use super::grammar::{next_param, trim, trim_end};
use super::message::{Entry, TopVia};
use super::overload::{ANNOUNCEMENT, Feedback, is_overload_parameter};
use super::{HeaderName, Message, Method, Transport, scan};

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
        self.own_via(transport, sent_by, branch, false)
    }

    /// The same, for a peer that may tell us to send less (RFC 7339 §5.1) where `overload_control` says so.
    pub(crate) fn own_via(
        &mut self,
        transport: Transport,
        sent_by: &[u8],
        branch: &[u8],
        overload_control: bool,
    ) -> &mut Self {
        self.raw(b"Via: SIP/2.0/");
        self.raw(transport.as_str().as_bytes());
        self.raw(b" ");
        self.text(sent_by);
        self.raw(b";rport;branch=");
        self.text(branch);
        if overload_control {
            self.raw(ANNOUNCEMENT);
        }
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
        self.name(name);
        self.raw(value);
        self.raw(b"\r\n");
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
            for entry in message.entries(name) {
                self.line(message, entry);
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

    #[inline]
    fn name(&mut self, name: HeaderName) {
        self.raw(name.prefix());
    }

    /// A header line of a parsed message, under its long name. Line ends in its value are folds.
    fn line(&mut self, message: &Message, entry: Entry) {
        let raw: &[u8] = &message.raw;
        let prefix = entry.id.prefix();
        let name_start = usize::from(entry.name_start);
        let (start, end) = (usize::from(entry.value.start), usize::from(entry.value.end));
        // Mostly it stands there as it is to be written, and can be copied in one piece.
        if start == name_start + prefix.len()
            && raw.get(name_start..start) == Some(prefix)
            && let Some(line) = raw.get(name_start..end + 2)
            && line.ends_with(b"\r\n")
        {
            return self.raw(line);
        }
        self.name(entry.id);
        self.raw(entry.value.get(raw));
        self.raw(b"\r\n");
    }

    /// The first header line of this name, if there is one.
    fn first_line(&mut self, message: &Message, name: HeaderName) {
        if let Some(entry) = message.entries(name).next() {
            self.line(message, entry);
        }
    }

    #[inline]
    fn raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    #[inline]
    fn text(&mut self, bytes: &[u8]) {
        let start = self.buf.len();
        self.buf.extend_from_slice(bytes);
        if scan::line_end(bytes).is_some() {
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
    respond_with(buf, request, status, reason, to_tag, source, None)
}

/// The same, with what is asked of a sender that knows overload control (RFC 7339 §5.2).
pub(crate) fn respond_with<'b>(
    buf: &'b mut BytesMut,
    request: &Message,
    status: u16,
    reason: &str,
    to_tag: Option<&str>,
    source: SocketAddr,
    overload: Option<Feedback>,
) -> Writer<'b> {
    let mut writer = Writer::response(buf, status, reason);
    for (index, entry) in request.entries(HeaderName::Via).enumerate() {
        if index == 0 && !request.head.hot.via.host.is_empty() {
            top_via(&mut writer, request, entry, source, overload);
        } else {
            writer.line(request, entry);
        }
    }
    if (101..=299).contains(&status)
        && matches!(request.method(), Method::Invite | Method::Subscribe | Method::Refer | Method::Notify)
    {
        writer.copy_from(request, HeaderName::RecordRoute);
    }
    writer.first_line(request, HeaderName::From);
    match (request.header(HeaderName::To), to_tag) {
        (Some(value), Some(tag)) if request.head.hot.to_sound && request.to_tag().is_none() => {
            writer.name(HeaderName::To);
            writer.raw(value);
            writer.raw(b";tag=");
            writer.text(tag.as_bytes());
            writer.raw(b"\r\n");
        }
        _ => writer.first_line(request, HeaderName::To),
    }
    for name in [HeaderName::CallId, HeaderName::CSeq, HeaderName::Timestamp] {
        writer.first_line(request, name);
    }
    writer
}

/// The first Via line with `received` and `rport` of its first value filled in.
fn top_via(
    writer: &mut Writer<'_>,
    request: &Message,
    entry: Entry,
    source: SocketAddr,
    overload: Option<Feedback>,
) {
    let raw: &[u8] = &request.raw;
    let via = request.top_via();
    let value = entry.value.get(raw);
    let TopVia { host, params, .. } = request.head.hot.via;
    // Where the parameters begin: behind the host and its port, if there are none.
    let (params_start, params_end) = if params.is_empty() {
        let after_host = &raw[usize::from(host.end)..usize::from(entry.value.end)];
        let port = after_host.iter().take_while(|byte| **byte != b',').count();
        let end = usize::from(host.end) + trim_end(&after_host[..port]).len();
        (end, end)
    } else {
        (usize::from(params.start), usize::from(params.end))
    };
    writer.name(HeaderName::Via);
    writer.raw(trim_end(&raw[usize::from(entry.value.start)..params_start]));
    let mut rest = &raw[params_start..params_end];
    while let Ok((left, Some((name, _)))) = next_param(rest) {
        let own = name.eq_ignore_ascii_case(b"rport")
            || name.eq_ignore_ascii_case(b"received")
            || overload.is_some() && is_overload_parameter(name);
        if !own {
            writer.raw(trim(&rest[..rest.len() - left.len()]));
        }
        rest = left;
    }
    if via.rport.is_some() || !via.host_is(source.ip()) {
        writer.raw(b";received=");
        writer.ip(source.ip());
    }
    if via.rport.is_some() {
        writer.raw(b";rport=");
        writer.number(u64::from(source.port()));
    }
    if let Some(overload) = overload {
        overload.write(writer.buf);
    }
    // Further values of the same line.
    writer.raw(trim(&raw[params_end..usize::from(entry.value.start) + value.len()]));
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::{Limits, parse};

    fn request(head: &str) -> Message {
        let rest = "From: <sip:b@h>;tag=1\r\nCall-ID: x\r\nCSeq: 7 INVITE\r\n\r\n";
        let text = format!("INVITE sip:a@h SIP/2.0\r\n{head}{rest}");
        parse(Bytes::from(text), &Limits::default()).expect("a sound request")
    }

    fn response(head: &str, source: &str) -> String {
        let mut buf = BytesMut::new();
        let source = source.parse().expect("an address");
        respond(&mut buf, &request(head), 183, "Progress", Some("t"), source).no_body();
        let text = String::from_utf8(buf.to_vec()).expect("text");
        parse(buf.freeze(), &Limits::default()).expect("a sound response");
        text
    }

    #[test]
    fn the_source_is_noted_in_the_first_via() {
        for (via, source, expected) in [
            // RFC 3581 §4: both, even if the address is the same.
            (
                "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;rport",
                "192.0.2.1:7",
                "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;received=192.0.2.1;rport=7",
            ),
            // RFC 3261 §18.2.1: received, if the address differs or is a name.
            ("Via: SIP/2.0/UDP 192.0.2.1:5062", "192.0.2.1:7", "SIP/2.0/UDP 192.0.2.1:5062"),
            (
                "Via: SIP/2.0/UDP 192.0.2.1:5062",
                "192.0.2.9:7",
                "SIP/2.0/UDP 192.0.2.1:5062;received=192.0.2.9",
            ),
            ("v:SIP/2.0/UDP h ;a=b", "192.0.2.9:7", "SIP/2.0/UDP h;a=b;received=192.0.2.9"),
            (
                "Via: SIP/2.0/TCP [2001:db8::1]:5060 ; rport; branch=z9hG4bK1",
                "[2001:db8::2]:9",
                "SIP/2.0/TCP [2001:db8::1]:5060; branch=z9hG4bK1;received=2001:db8::2;rport=9",
            ),
            // What a liar or an earlier hop wrote there goes.
            (
                "Via: SIP/2.0/UDP h;received=10.0.0.1;rport=5;branch=z",
                "192.0.2.9:7",
                "SIP/2.0/UDP h;branch=z;received=192.0.2.9;rport=7",
            ),
            // Further values, in the same line and in others, stay as they are.
            (
                "Via: SIP/2.0/UDP h;rport , SIP/2.0/UDP i;rport\r\nVia: SIP/2.0/UDP j;rport",
                "192.0.2.9:7",
                "SIP/2.0/UDP h;received=192.0.2.9;rport=7, SIP/2.0/UDP i;rport\r\nVia: SIP/2.0/UDP j;rport",
            ),
            (
                "Via: SIP/2.0/UDP h:5060 , SIP/2.0/UDP i",
                "192.0.2.9:7",
                "SIP/2.0/UDP h:5060;received=192.0.2.9, SIP/2.0/UDP i",
            ),
        ] {
            let text = response(&format!("{via}\r\nTo: <sip:a@h>\r\n"), source);
            let found =
                text.split_once("Via: ").and_then(|(_, rest)| rest.split_once("\r\nFrom")).expect("Via");
            assert_eq!(found.0, expected, "{via}");
        }
    }

    #[test]
    fn what_a_response_copies() {
        let head = "Via: SIP/2.0/UDP 192.0.2.1\r\nRecord-Route: <sip:p1;lr>,<sip:p2;lr>\r\nr-r: x\r\n\
            RECORD-ROUTE:  <sip:p3;lr>\r\nTimestamp: 5\r\nt : \"A\"\r\n <sip:a@h>\r\n";
        assert_eq!(
            response(head, "192.0.2.1:5060"),
            "SIP/2.0 183 Progress\r\nVia: SIP/2.0/UDP 192.0.2.1\r\nRecord-Route: <sip:p1;lr>,<sip:p2;lr>\r\n\
             Record-Route: <sip:p3;lr>\r\nFrom: <sip:b@h>;tag=1\r\nTo: \"A\"\r\n <sip:a@h>;tag=t\r\n\
             Call-ID: x\r\nCSeq: 7 INVITE\r\nTimestamp: 5\r\nContent-Length: 0\r\n\r\n"
        );
        // A tag that is there stays.
        let text = response("Via: SIP/2.0/UDP h\r\nTo: <sip:a@h>;tag=old\r\n", "192.0.2.1:5060");
        assert!(text.contains("\r\nTo: <sip:a@h>;tag=old\r\n"), "{text}");
    }

    #[test]
    fn responses_go_where_the_via_says() {
        let address = |via: &str| {
            let request = request(&format!("{via}\r\nTo: <sip:a@h>\r\n"));
            reply_address(&request, "192.0.2.9:7".parse().expect("an address")).to_string()
        };
        assert_eq!(address("Via: SIP/2.0/UDP h:5070;rport"), "192.0.2.9:7");
        assert_eq!(address("Via: SIP/2.0/UDP h:5070"), "192.0.2.9:5070");
        assert_eq!(address("Via: SIP/2.0/UDP h"), "192.0.2.9:5060");
    }

    #[test]
    fn a_whole_request() {
        let mut buf = BytesMut::new();
        Writer::request(&mut buf, Method::Invite, b"sip:1@h\r\nX: y")
            .via(Transport::Udp, b"192.0.2.4:5060", b"z9hG4bK1")
            .max_forwards(70)
            .address(HeaderName::From, b"A \"B\" \\\r\nX: y", b"sip:a@h", Some(b"t"))
            .address(HeaderName::To, b"", b"sip:1@h", None)
            .header_parts(HeaderName::CallId, &[b"abc", b"@h"])
            .cseq(7, Method::Invite)
            .header_text("X-Own", b"1\nEvil: 2")
            .body(b"text/plain", b"hello");
        assert_eq!(
            String::from_utf8_lossy(&buf),
            "INVITE sip:1@h  X: y SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.4:5060;rport;branch=z9hG4bK1\r\n\
             Max-Forwards: 70\r\nFrom: \"A \\\"B\\\" \\\\  X: y\" <sip:a@h>;tag=t\r\nTo: <sip:1@h>\r\n\
             Call-ID: abc@h\r\nCSeq: 7 INVITE\r\nX-Own: 1 Evil: 2\r\nContent-Type: text/plain\r\n\
             Content-Length: 5\r\n\r\nhello"
        );
    }

    #[test]
    fn a_writer_left_alone_ends_its_message() {
        let mut buf = BytesMut::new();
        Writer::response(&mut buf, 200, "OK").cseq(1, Method::Bye);
        assert!(buf.ends_with(b"CSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"));
    }
}
