//! Messages out of a stream of bytes (RFC 3261 §18.3, RFC 5626 §4.4.1).
//!
//! The framer looks only for what says where a message ends: the empty line and Content-Length. It reads both as
//! [`crate::wire::parse`] does, so that the two can never see different messages in the same bytes; where one
//! reading would differ from another (a bare CR or LF, no Content-Length, two of them) the stream is given up.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::wire::{HeaderName, Limits, content_length};

/// What a stream held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A whole message, as [`crate::wire::parse`] takes it.
    Message(Bytes),
    /// Two line ends between messages: the peer asks whether we live, and is owed one line end
    /// (RFC 5626 §4.4.1).
    Ping,
}

/// Why a stream cannot be read on. Nothing in it can be trusted to be the beginning of a message any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameFault {
    /// A CR or LF alone, in the head or between messages.
    BareLineEnd,
    /// A request or status line longer than [`Limits::header_bytes_max`], or a head longer than
    /// [`Limits::message_bytes_max`].
    HeadTooLong,
    /// No Content-Length, which RFC 3261 §18.3 asks for on streams.
    NoLength,
    /// Content-Length is not a number, or there are two.
    BadLength,
    /// Head and body together are longer than [`Limits::message_bytes_max`].
    TooLong,
}

impl FrameFault {
    /// Every one.
    pub const ALL: [FrameFault; 5] =
        [Self::BareLineEnd, Self::HeadTooLong, Self::NoLength, Self::BadLength, Self::TooLong];

    /// Status and reason for the sender, where its head can be read.
    #[must_use]
    pub const fn answer(self) -> (u16, &'static str) {
        match self {
            Self::BareLineEnd => (400, "Bare Line End"),
            Self::NoLength => (400, "Missing Content-Length"),
            Self::BadLength => (400, "Bad Content-Length"),
            Self::HeadTooLong | Self::TooLong => (513, "Message Too Large"),
        }
    }
}

/// Cuts one stream into messages.
///
/// Push what was read, then take frames until there is none. What is kept is at most one message and what was pushed
/// last; each byte is looked at once, however the stream is split.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    /// Bytes of the buffer that were looked at.
    seen: usize,
    /// Where the line that `seen` is in begins.
    line: usize,
    /// Line ends since the last message.
    line_ends: u8,
    /// Bytes of the message whose head was read.
    message_bytes: Option<usize>,
    fault: Option<FrameFault>,
    limits: Limits,
}

/// A message is at most this long whatever the limits say: the parser's index holds no more.
const MESSAGE_BYTES_MAX: usize = u16::MAX as usize;

impl Framer {
    /// At the beginning of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Framer {
            buffer: BytesMut::new(),
            seen: 0,
            line: 0,
            line_ends: 0,
            message_bytes: None,
            fault: None,
            limits,
        }
    }

    /// Takes what was read from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.fault.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next frame; `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the stream cannot be read on; for ever after the same.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.step().inspect_err(|fault| self.fault = Some(*fault))
    }

    /// After a fault: the head of the message it was found in, as far as it came, for an answer.
    #[must_use]
    pub fn broken_head(&mut self) -> Bytes {
        let head = self.line.min(self.buffer.len());
        self.buffer.split_to(head).freeze()
    }

    /// Bytes kept.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    fn step(&mut self) -> Result<Option<Frame>, FrameFault> {
        if self.message_bytes.is_none() {
            if self.seen == 0 && self.skip_line_ends()? {
                return Ok(Some(Frame::Ping));
            }
            let Some(head) = self.head_end()? else { return Ok(None) };
            let length = match content_length(&self.buffer[..head]) {
                Ok(Some(length)) => length,
                Ok(None) => return Err(FrameFault::NoLength),
                Err(_) => return Err(FrameFault::BadLength),
            };
            let bytes = usize::try_from(length).ok().and_then(|length| head.checked_add(length));
            let bytes = bytes.filter(|bytes| *bytes <= self.bytes_max()).ok_or(FrameFault::TooLong)?;
            self.message_bytes = Some(bytes);
        }
        let Some(bytes) = self.message_bytes.filter(|bytes| self.buffer.len() >= *bytes) else {
            return Ok(None);
        };
        let message = self.buffer.split_to(bytes).freeze();
        (self.seen, self.line, self.line_ends, self.message_bytes) = (0, 0, 0, None);
        Ok(Some(Frame::Message(message)))
    }

    fn bytes_max(&self) -> usize {
        self.limits.message_bytes_max.min(MESSAGE_BYTES_MAX)
    }

    /// Drops line ends before a message; true at each second one.
    fn skip_line_ends(&mut self) -> Result<bool, FrameFault> {
        loop {
            match &self.buffer[..] {
                [b'\r', b'\n', ..] => {
                    self.buffer.advance(2);
                    self.line_ends += 1;
                    if self.line_ends == 2 {
                        self.line_ends = 0;
                        return Ok(true);
                    }
                }
                [b'\r'] => return Ok(false),
                [b'\r' | b'\n', ..] => return Err(FrameFault::BareLineEnd),
                _ => return Ok(false),
            }
        }
    }

    /// Where the head ends, the empty line included.
    fn head_end(&mut self) -> Result<Option<usize>, FrameFault> {
        loop {
            let rest = &self.buffer[self.seen..];
            let Some(at) = memchr::memchr2(b'\r', b'\n', rest) else {
                self.seen = self.buffer.len();
                return self.short_so_far().map(|()| None);
            };
            let at = self.seen + at;
            match &self.buffer[at..] {
                [b'\r', b'\n', ..] => {}
                [b'\r'] => {
                    self.seen = at;
                    return self.short_so_far().map(|()| None);
                }
                _ => return Err(FrameFault::BareLineEnd),
            }
            let empty = self.line == at;
            (self.seen, self.line) = (at + 2, at + 2);
            if empty && at > 0 {
                return Ok(Some(at + 2));
            }
            self.short_so_far()?;
        }
    }

    fn short_so_far(&self) -> Result<(), FrameFault> {
        let start_line = self.line == 0 && self.seen > self.limits.header_bytes_max;
        if start_line || self.seen > self.bytes_max() { Err(FrameFault::HeadTooLong) } else { Ok(()) }
    }
}

/// What a message is to the connection that it goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchange {
    /// A request that is answered: any but ACK.
    Request,
    /// A final response.
    Final,
    /// An ACK, or a provisional response.
    Neither,
}

/// What a message is, by its first line.
#[must_use]
pub fn exchange_of(message: &[u8]) -> Exchange {
    match message.strip_prefix(b"SIP/2.0 ") {
        Some([b'2'..=b'6', ..]) => Exchange::Final,
        Some(_) => Exchange::Neither,
        None if message.starts_with(b"ACK ") => Exchange::Neither,
        None => Exchange::Request,
    }
}

/// Whether the body of a message is as long as its Content-Length says, for those who hold the two readings together.
#[must_use]
pub fn is_framed(message: &crate::wire::Message) -> bool {
    message
        .header(HeaderName::ContentLength)
        .and_then(|text| core::str::from_utf8(text).ok()?.trim().parse::<usize>().ok())
        .is_some_and(|length| length == message.body().len())
}

#[cfg(test)]
mod tests {
    use sansio::Rng;

    use super::*;
    use crate::wire::parse;

    fn message(method: &str, headers: &str, body: &str) -> String {
        format!(
            "{method} sip:a@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: <sip:b@h>\r\nCall-ID: x\r\nCSeq: 1 {method}\r\n{headers}\r\n{body}"
        )
    }

    #[test]
    fn what_is_answered_and_what_answers() {
        for (line, expected) in [
            ("INVITE sip:a@h SIP/2.0\r\n", Exchange::Request),
            ("ACKNOWLEDGE sip:a@h SIP/2.0\r\n", Exchange::Request),
            ("ACK sip:a@h SIP/2.0\r\n", Exchange::Neither),
            ("SIP/2.0 183 Session Progress\r\n", Exchange::Neither),
            ("SIP/2.0 200 OK\r\n", Exchange::Final),
            ("SIP/2.0 603 Decline\r\n", Exchange::Final),
        ] {
            assert_eq!(exchange_of(line.as_bytes()), expected, "{line}");
        }
    }

    /// All frames of a stream that is read in pieces of these lengths (the last one again and again).
    fn frames(stream: &[u8], pieces: &[usize]) -> (Vec<Frame>, Option<FrameFault>) {
        let mut framer = Framer::new(Limits::default());
        let mut found = Vec::new();
        let (mut at, mut turn) = (0, 0);
        while at < stream.len() {
            let piece = pieces[turn.min(pieces.len() - 1)].clamp(1, stream.len() - at);
            turn += 1;
            framer.push(&stream[at..at + piece]);
            at += piece;
            loop {
                match framer.next_frame() {
                    Ok(Some(frame)) => found.push(frame),
                    Ok(None) => break,
                    Err(fault) => {
                        assert_eq!(framer.next_frame(), Err(fault), "a fault stays");
                        return (found, Some(fault));
                    }
                }
            }
            assert!(framer.buffered() <= MESSAGE_BYTES_MAX + piece);
        }
        (found, None)
    }

    fn fault(stream: &str) -> Option<FrameFault> {
        let whole = frames(stream.as_bytes(), &[usize::MAX]);
        assert_eq!(whole, frames(stream.as_bytes(), &[1]), "byte by byte as in one piece: {stream:?}");
        whole.1
    }

    #[test]
    fn a_stream_split_at_every_byte_gives_the_same_messages() {
        let messages = [
            message("INVITE", "Content-Length: 4\r\n", "v=0\n"),
            message("OPTIONS", "l :\r\n\t0\r\n", ""),
            message("MESSAGE", "content-LENGTH:12 \r\n", "\r\n\r\nSIP/2.0\n"),
            message("BYE", "X: Content-Length: 9\r\n l: 9\r\nContent-Length: 0\r\n", ""),
        ];
        let stream = format!("\r\n{}\r\n\r\n{}{}\r\n{}", messages[0], messages[1], messages[2], messages[3]);
        let expected: Vec<Frame> = [
            Frame::Message(messages[0].clone().into()),
            Frame::Ping,
            Frame::Message(messages[1].clone().into()),
            Frame::Message(messages[2].clone().into()),
            Frame::Message(messages[3].clone().into()),
        ]
        .into();
        for first in 1..stream.len() {
            assert_eq!(frames(stream.as_bytes(), &[first, usize::MAX]), (expected.clone(), None), "{first}");
        }
        assert_eq!(frames(stream.as_bytes(), &[1]), (expected, None));
    }

    #[test]
    fn what_could_be_read_in_two_ways_ends_the_stream() {
        let smuggled = message("BYE", "Content-Length: 0\r\n", "");
        for (headers, expected) in [
            ("", FrameFault::NoLength),
            ("Content-Length: \r\n", FrameFault::BadLength),
            ("Content-Length: 1,2\r\n", FrameFault::BadLength),
            ("Content-Length: -1\r\n", FrameFault::BadLength),
            ("Content-Length: +1\r\n", FrameFault::BadLength),
            ("Content-Length: 99999999999999999999\r\n", FrameFault::BadLength),
            ("Content-Length: 65536\r\n", FrameFault::TooLong),
            ("Content-Length: 0\r\nl: 0\r\n", FrameFault::BadLength),
            ("Content-Length: 0\nX: y\r\n", FrameFault::BareLineEnd),
            ("Content-Length: 0\rX: y\r\n", FrameFault::BareLineEnd),
            ("X: y\n\nContent-Length: 0\r\n", FrameFault::BareLineEnd),
        ] {
            assert_eq!(fault(&message("INVITE", headers, &smuggled)), Some(expected), "{headers:?}");
        }
        assert_eq!(fault("\n"), Some(FrameFault::BareLineEnd));
        assert_eq!(fault("\rA"), Some(FrameFault::BareLineEnd));
    }

    #[test]
    fn both_sides_of_each_limit() {
        let head = message("INVITE", "Content-Length: 00000\r\n", "").len();
        let sized =
            |body: usize| message("INVITE", &format!("Content-Length: {body:05}\r\n"), &"b".repeat(body));
        assert_eq!(frames(sized(MESSAGE_BYTES_MAX - head).as_bytes(), &[9000]).0.len(), 1);
        assert_eq!(fault(&sized(MESSAGE_BYTES_MAX - head + 1)), Some(FrameFault::TooLong));
        let endless = "A".repeat(Limits::default().header_bytes_max + 1);
        assert_eq!(fault(&endless[1..]), None);
        assert_eq!(fault(&endless), Some(FrameFault::HeadTooLong));
        let lines = format!("OPTIONS sip:a SIP/2.0\r\n{}", "X: y\r\n".repeat(12_000));
        assert_eq!(fault(&lines), Some(FrameFault::HeadTooLong));
    }

    /// What the framer cuts out the parser reads to its last byte, and nothing the parser would take as one message
    /// is cut elsewhere: over random mutations of sound streams, in random pieces.
    #[test]
    fn framer_and_parser_see_the_same_messages() {
        let mut rng = Rng::from_seed(15);
        let seeds = [
            message("INVITE", "Content-Length: 4\r\nContact: <sip:a@h>\r\n", "v=0\n"),
            message("OPTIONS", "l: 0\r\nX: a\r\n b\r\n", ""),
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n\
             Call-ID: x\r\nCSeq: 1 BYE\r\nContent-Length : 2\r\n\r\nab"
                .to_owned(),
        ];
        let pieces =
            ["\r\n", "\n", "\r", "\r\n\r\n", "Content-Length: 3\r\n", "l:1\r\n", " ", ":", "\t", "0", "x"];
        let mut agreed = 0;
        for _ in 0..20_000 {
            let mut one = seeds[rng.below(3) as usize].clone().into_bytes();
            for _ in 0..rng.below(3) {
                let at = rng.below(one.len() as u64 + 1) as usize;
                let piece = pieces[rng.below(pieces.len() as u64) as usize].bytes();
                let cut = (at + rng.below(3) as usize).min(one.len());
                one.splice(at..cut, piece);
            }
            let split = [1 + rng.below(40) as usize, 1 + rng.below(40) as usize, usize::MAX];
            let (found, fault) = frames(&one, &split);
            assert_eq!((found.clone(), fault), frames(&one, &[usize::MAX]));
            for frame in &found {
                let Frame::Message(bytes) = frame else { continue };
                match parse(bytes.clone(), &Limits::default()) {
                    Ok(message) => {
                        assert!(is_framed(&message), "{:?}", String::from_utf8_lossy(bytes));
                        agreed += 1;
                    }
                    Err(error) => assert_ne!(error.kind, crate::wire::ParseErrorKind::BodyTruncated),
                }
            }
            if let (Ok(message), [Frame::Message(first), ..]) =
                (parse(Bytes::from(one.clone()), &Limits::default()), &found[..])
                && is_framed(&message)
                && one.starts_with(first)
            {
                assert_eq!(message.body(), &first[first.len() - message.body().len()..]);
            }
        }
        assert!(agreed > 5_000, "{agreed}");
    }
}
