//! Writing SDP.

use core::fmt::Write as _;
use core::net::IpAddr;

use bytes::BytesMut;

use super::read::{Direction, Media};
use crate::wire::writer::write_number;

/// Appends a session description to a buffer of the caller, line by line: the session first, then for each
/// media section [`SdpWriter::media`] and what belongs to it.
///
/// CR, LF and NUL in a text handed in become spaces.
#[derive(Debug)]
pub struct SdpWriter<'b> {
    buf: &'b mut BytesMut,
}

impl<'b> SdpWriter<'b> {
    /// Begins a description: `v=`, `o=`, `s=-`, `c=`, `t=0 0`. `version` grows by one with each change
    /// (RFC 3264 §8).
    pub fn session(buf: &'b mut BytesMut, session_id: u64, version: u64, address: IpAddr) -> Self {
        buf.reserve(256);
        let mut writer = Self { buf };
        writer.raw(b"v=0\r\no=- ");
        write_number(writer.buf, session_id);
        writer.raw(b" ");
        write_number(writer.buf, version);
        writer.raw(b" ");
        writer.address(address);
        writer.raw(b"\r\ns=-\r\nc=");
        writer.address(address);
        writer.raw(b"\r\nt=0 0\r\n");
        writer
    }

    /// Begins a media section with RTP payload types as formats.
    pub fn media(&mut self, kind: &str, port: u16, proto: &str, payload_types: &[u8]) -> &mut Self {
        self.raw(b"m=");
        self.text(kind.as_bytes());
        self.raw(b" ");
        write_number(self.buf, u64::from(port));
        self.raw(b" ");
        self.text(proto.as_bytes());
        for payload_type in payload_types {
            self.raw(b" ");
            write_number(self.buf, u64::from(*payload_type));
        }
        self.raw(b"\r\n");
        self
    }

    /// Refuses a section of an offer: the same line with port 0 (RFC 3264 §6).
    pub fn reject(&mut self, offered: &Media<'_>) -> &mut Self {
        self.raw(b"m=");
        self.text(offered.kind_text);
        self.raw(b" 0 ");
        self.text(offered.proto);
        self.raw(b" ");
        self.text(offered.formats_text);
        self.raw(b"\r\n");
        self
    }

    /// `a=rtpmap`.
    pub fn rtpmap(&mut self, payload_type: u8, encoding: &str, clock_rate: u32) -> &mut Self {
        self.raw(b"a=rtpmap:");
        write_number(self.buf, u64::from(payload_type));
        self.raw(b" ");
        self.text(encoding.as_bytes());
        self.raw(b"/");
        write_number(self.buf, u64::from(clock_rate));
        self.raw(b"\r\n");
        self
    }

    /// `a=fmtp`.
    pub fn fmtp(&mut self, payload_type: u8, parameters: &str) -> &mut Self {
        self.raw(b"a=fmtp:");
        write_number(self.buf, u64::from(payload_type));
        self.raw(b" ");
        self.text(parameters.as_bytes());
        self.raw(b"\r\n");
        self
    }

    /// `a=ptime`, in milliseconds.
    pub fn ptime(&mut self, milliseconds: u16) -> &mut Self {
        self.raw(b"a=ptime:");
        write_number(self.buf, u64::from(milliseconds));
        self.raw(b"\r\n");
        self
    }

    /// The direction, as its own line.
    pub fn direction(&mut self, direction: Direction) -> &mut Self {
        self.attribute(direction.as_str(), None)
    }

    /// Any other `a=` line.
    pub fn attribute(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        self.raw(b"a=");
        self.text(name.as_bytes());
        if let Some(value) = value {
            self.raw(b":");
            self.text(value.as_bytes());
        }
        self.raw(b"\r\n");
        self
    }

    fn address(&mut self, address: IpAddr) {
        let kind: &[u8] = if address.is_ipv4() { b"IN IP4 " } else { b"IN IP6 " };
        self.raw(kind);
        write!(self.buf, "{address}").expect("a write to a BytesMut cannot fail");
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    fn text(&mut self, bytes: &[u8]) {
        let start = self.buf.len();
        self.buf.extend_from_slice(bytes);
        for byte in &mut self.buf[start..] {
            if matches!(*byte, b'\r' | b'\n' | 0) {
                *byte = b' ';
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sdp::parse;

    #[test]
    fn what_is_written_is_read() {
        let mut buf = BytesMut::new();
        let mut writer = SdpWriter::session(&mut buf, 7, 8, "192.0.2.1".parse().expect("an address"));
        writer
            .media("audio", 4000, "RTP/AVP", &[8, 101])
            .rtpmap(8, "PCMA", 8000)
            .rtpmap(101, "telephone-event", 8000)
            .fmtp(101, "0-16")
            .ptime(20)
            .direction(Direction::SendRecv)
            .attribute("x", Some("evil\r\nm=video 1 x y"));
        assert_eq!(
            String::from_utf8_lossy(&buf),
            "v=0\r\no=- 7 8 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
             m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
             a=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\na=x:evil  m=video 1 x y\r\n"
        );
        let session = parse(&buf).expect("our own description");
        let audio = session.audio().expect("audio");
        assert_eq!(audio.telephone_event(8000), Some(101));

        let mut answer = BytesMut::new();
        SdpWriter::session(&mut answer, 1, 1, "::1".parse().expect("an address")).reject(audio);
        assert!(answer.ends_with(b"c=IN IP6 ::1\r\nt=0 0\r\nm=audio 0 RTP/AVP 8 101\r\n"));
    }
}
