//! Reading SDP: what is understood is checked, what is not is skipped.

use core::net::IpAddr;

use nom::Parser as _;
use nom::bytes::complete::{tag, take_while1};

use crate::wire::grammar::{Bad, Res, bad, is_token, number, token};
use crate::wire::scan;

/// What one session description may cost us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SdpLimits {
    /// Bytes.
    pub bytes_max: usize,
    /// Lines.
    pub lines_max: usize,
    /// Media sections.
    pub medias_max: usize,
    /// Formats (payload types) of one media section.
    pub formats_max: usize,
}

impl Default for SdpLimits {
    fn default() -> Self {
        Self { bytes_max: 65_535, lines_max: 512, medias_max: 16, formats_max: 64 }
    }
}

/// A refused session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SdpError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub kind: SdpErrorKind,
}

/// What is wrong with a session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SdpErrorKind {
    /// It does not begin with `v=0`.
    Version,
    /// `o=` breaks its grammar.
    Origin,
    /// `c=` breaks its grammar.
    Connection,
    /// `m=` breaks its grammar: kind, port, protocol or formats.
    Media,
    /// A NUL byte, or a CR that does not end a line.
    ControlByte,
    /// One of [`SdpLimits`].
    Limit,
}

impl core::fmt::Display for SdpError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} in line {}", self.kind, self.line)
    }
}

impl core::error::Error for SdpError {}

/// `o=`: who made this description, and which version of it this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// User name, often `-`.
    pub user: &'a [u8],
    /// Session id: digits, of any length.
    pub session_id: &'a [u8],
    /// Version: digits; the same as before means nothing has changed (RFC 3264 §8).
    pub version: &'a [u8],
    /// Network address of the maker.
    pub address: &'a [u8],
}

/// `c=`: where media goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection<'a> {
    /// Address or host name as written, without TTL and count.
    pub text: &'a [u8],
    /// The address, unless it is a host name.
    pub address: Option<IpAddr>,
}

/// Which way media flows, seen from the maker of the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum Direction {
    #[default]
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    /// The attribute's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// What the other side must answer, if it wants all it can have (RFC 3264 §6.1).
    #[must_use]
    pub const fn answer(self) -> Self {
        match self {
            Self::SendRecv => Self::SendRecv,
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::Inactive => Self::Inactive,
        }
    }

    fn from_bytes(name: &[u8]) -> Option<Self> {
        match name {
            b"sendrecv" => Some(Self::SendRecv),
            b"sendonly" => Some(Self::SendOnly),
            b"recvonly" => Some(Self::RecvOnly),
            b"inactive" => Some(Self::Inactive),
            _ => None,
        }
    }
}

/// What a media section carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MediaKind {
    Audio,
    Video,
    Text,
    Application,
    Image,
    Message,
    /// Any other; see [`Media::kind_text`].
    Other,
}

/// `a=rtpmap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpMap<'a> {
    /// Encoding name as written (compare in any case).
    pub encoding: &'a [u8],
    /// Clock rate in hertz.
    pub clock_rate: u32,
    /// Channels; 1 if not written.
    pub channels: u8,
}

/// One media section.
#[derive(Debug, Clone, Copy)]
pub struct Media<'a> {
    /// What it carries.
    pub kind: MediaKind,
    /// The same as written.
    pub kind_text: &'a [u8],
    /// Port of RTP; 0 means refused or removed.
    pub port: u16,
    /// `RTP/AVP` and the like.
    pub proto: &'a [u8],
    /// Formats as written: `0 8 101`.
    pub formats_text: &'a [u8],
    /// Where the media goes: the section's own `c=`, else that of the session.
    pub connection: Option<Connection<'a>>,
    /// The section's own direction, else that of the session, else both ways.
    pub direction: Direction,
    /// The lines of the section behind its `m=`.
    lines: &'a [u8],
}

/// A session description.
#[derive(Debug, Clone)]
pub struct Session<'a> {
    /// `o=`, if there.
    pub origin: Option<Origin<'a>>,
    /// The session's `c=`, if there.
    pub connection: Option<Connection<'a>>,
    /// The session's direction, if there.
    pub direction: Option<Direction>,
    /// The first media section inline: calls have one, and it costs no allocation.
    first: Option<Media<'a>>,
    more: Vec<Media<'a>>,
    /// The lines before the first `m=`.
    lines: &'a [u8],
}

impl<'a> Session<'a> {
    /// The media sections in order. An answer must have as many (RFC 3264 §6).
    pub fn medias(&self) -> impl Iterator<Item = &Media<'a>> {
        self.first.iter().chain(self.more.iter())
    }

    /// The first audio section that is not refused.
    #[must_use]
    pub fn audio(&self) -> Option<&Media<'a>> {
        self.medias().find(|media| media.kind == MediaKind::Audio && media.port != 0)
    }

    /// The value of the first `a=` line of this name at session level.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'a [u8]> {
        find_attribute(self.lines, name)
    }

    fn last_mut(&mut self) -> Option<&mut Media<'a>> {
        self.more.last_mut().or(self.first.as_mut())
    }
}

impl<'a> Media<'a> {
    /// The formats in order of preference.
    pub fn formats(&self) -> impl Iterator<Item = &'a [u8]> {
        self.formats_text.split(|byte| matches!(byte, b' ' | b'\t')).filter(|item| !item.is_empty())
    }

    /// The RTP payload types in order of preference; formats that are none are left out.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> {
        self.formats().filter_map(|format| match number(127).parse(format) {
            Ok(([], payload_type)) => u8::try_from(payload_type).ok(),
            _ => None,
        })
    }

    /// What a payload type means: its `a=rtpmap`, else the static table of RFC 3551 §6.
    #[must_use]
    pub fn rtpmap(&self, payload_type: u8) -> Option<RtpMap<'a>> {
        self.for_payload_type("rtpmap", payload_type)
            .and_then(|value| rtpmap(value).ok().map(|(_, map)| map))
            .or_else(|| static_rtpmap(payload_type))
    }

    /// The parameters of a payload type: what follows its number in `a=fmtp`.
    #[must_use]
    pub fn fmtp(&self, payload_type: u8) -> Option<&'a [u8]> {
        self.for_payload_type("fmtp", payload_type)
    }

    /// The payload type of telephone events (RFC 4733) at this clock rate, if offered.
    #[must_use]
    pub fn telephone_event(&self, clock_rate: u32) -> Option<u8> {
        self.payload_types().find(|payload_type| {
            *payload_type >= 96
                && self.rtpmap(*payload_type).is_some_and(|map| {
                    map.clock_rate == clock_rate && map.encoding.eq_ignore_ascii_case(b"telephone-event")
                })
        })
    }

    /// `a=ptime` in milliseconds.
    #[must_use]
    pub fn ptime(&self) -> Option<u16> {
        self.milliseconds("ptime")
    }

    /// `a=maxptime` in milliseconds.
    #[must_use]
    pub fn maxptime(&self) -> Option<u16> {
        self.milliseconds("maxptime")
    }

    /// The port of RTCP, if one is written (RFC 3605).
    #[must_use]
    pub fn rtcp_port(&self) -> Option<u16> {
        let (_, port) = number(u32::from(u16::MAX)).parse(self.attribute("rtcp")?).ok()?;
        u16::try_from(port).ok().filter(|port| *port != 0)
    }

    /// Whether RTCP may share the port of RTP (RFC 5761).
    #[must_use]
    pub fn rtcp_mux(&self) -> bool {
        self.attribute("rtcp-mux").is_some()
    }

    /// Whether this section puts the receiver on hold: it will get no media back into this direction, or the
    /// address is the old sign of hold, `0.0.0.0` (RFC 3264 §8.4).
    #[must_use]
    pub fn is_hold(&self) -> bool {
        matches!(self.direction, Direction::SendOnly | Direction::Inactive)
            || self
                .connection
                .and_then(|connection| connection.address)
                .is_some_and(|address| address.is_unspecified())
    }

    /// All `a=` lines of the section: name, and value if there is one.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        attributes(self.lines)
    }

    /// The value of the first `a=` line of this name; empty if it has none.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'a [u8]> {
        find_attribute(self.lines, name)
    }

    fn milliseconds(&self, name: &str) -> Option<u16> {
        let (_, value) = number(u32::from(u16::MAX)).parse(self.attribute(name)?).ok()?;
        u16::try_from(value).ok()
    }

    fn for_payload_type(&self, name: &str, payload_type: u8) -> Option<&'a [u8]> {
        self.attributes().filter(|(found, _)| *found == name.as_bytes()).find_map(|(_, value)| match number(
            127,
        )
        .parse(value?)
        {
            Ok(([b' ' | b'\t', rest @ ..], found)) if found == u32::from(payload_type) => {
                Some(rest.trim_ascii())
            }
            _ => None,
        })
    }
}

/// Reads a session description within the default limits.
///
/// # Errors
/// The first line that is wrong, and how.
pub fn parse(text: &[u8]) -> Result<Session<'_>, SdpError> {
    parse_with(text, &SdpLimits::default())
}

/// Reads a session description. Missing `o=`, `s=` and `t=` are let pass, lines of unknown type or without
/// form are skipped, lines may end with LF alone; what says where media goes must be sound.
///
/// # Errors
/// The first line that is wrong, and how.
pub fn parse_with<'a>(text: &'a [u8], limits: &SdpLimits) -> Result<Session<'a>, SdpError> {
    if text.len() > limits.bytes_max {
        return Err(SdpError { line: 1, kind: SdpErrorKind::Limit });
    }
    let mut reader = Reader {
        text,
        limits,
        session: Session {
            origin: None,
            connection: None,
            direction: None,
            first: None,
            more: Vec::new(),
            lines: text,
        },
        medias: 0,
        version_seen: false,
        own_connection: false,
        section_start: 0,
    };
    let mut at = 0;
    let mut line = 0;
    while at < text.len() {
        line += 1;
        if line > limits.lines_max {
            return Err(SdpError { line, kind: SdpErrorKind::Limit });
        }
        let (end, next) = line_end(text, at).map_err(|kind| SdpError { line, kind })?;
        let content = text[at..end].trim_ascii_end();
        reader.line(content, at, next).map_err(|kind| SdpError { line, kind })?;
        at = next;
    }
    if !reader.version_seen {
        return Err(SdpError { line: 1, kind: SdpErrorKind::Version });
    }
    reader.end_section(text.len());
    Ok(reader.session)
}

/// Where the line that begins at `start` ends, and where the next one begins.
fn line_end(text: &[u8], start: usize) -> Result<(usize, usize), SdpErrorKind> {
    let Some(end) = scan::line_end_or_nul(&text[start..]) else { return Ok((text.len(), text.len())) };
    let end = start + end;
    match &text[end..] {
        [b'\n', ..] => Ok((end, end + 1)),
        [b'\r', b'\n', ..] => Ok((end, end + 2)),
        // At the very end some leave out the LF.
        [b'\r'] => Ok((end, end + 1)),
        _ => Err(SdpErrorKind::ControlByte),
    }
}

struct Reader<'a, 'l> {
    text: &'a [u8],
    limits: &'l SdpLimits,
    session: Session<'a>,
    medias: usize,
    version_seen: bool,
    /// The current media section has a `c=` of its own.
    own_connection: bool,
    section_start: usize,
}

impl<'a> Reader<'a, '_> {
    /// One line, which begins at `start`; the next one begins at `next`.
    fn line(&mut self, line: &'a [u8], start: usize, next: usize) -> Result<(), SdpErrorKind> {
        let (kind, value) = match line {
            [kind, b'=', value @ ..] => (*kind, value),
            [] => return Ok(()),
            _ if self.version_seen => return Ok(()),
            _ => return Err(SdpErrorKind::Version),
        };
        if !self.version_seen {
            self.version_seen = kind == b'v' && value.trim_ascii() == b"0";
            return if self.version_seen { Ok(()) } else { Err(SdpErrorKind::Version) };
        }
        match kind {
            b'o' if self.session.origin.is_none() => {
                self.session.origin = Some(origin(value).ok_or(SdpErrorKind::Origin)?);
            }
            b'c' => {
                let found = connection(value).ok_or(SdpErrorKind::Connection)?;
                // A section may have several (layered multicast); the first one counts.
                match self.session.last_mut() {
                    Some(media) if !self.own_connection => {
                        media.connection = Some(found);
                        self.own_connection = true;
                    }
                    Some(_) => {}
                    None => self.session.connection = self.session.connection.or(Some(found)),
                }
            }
            b'a' => {
                if let Some(direction) = Direction::from_bytes(value) {
                    match self.session.last_mut() {
                        Some(media) => media.direction = direction,
                        None => self.session.direction = Some(direction),
                    }
                }
            }
            b'm' => {
                self.end_section(start);
                self.medias += 1;
                let (_, media) = media(value).map_err(|_| SdpErrorKind::Media)?;
                if self.medias > self.limits.medias_max
                    || media.formats().nth(self.limits.formats_max).is_some()
                {
                    return Err(SdpErrorKind::Limit);
                }
                self.begin_section(media, next);
            }
            _ => {}
        }
        Ok(())
    }

    fn begin_section(&mut self, mut media: Media<'a>, start: usize) {
        media.connection = self.session.connection;
        media.direction = self.session.direction.unwrap_or_default();
        self.section_start = start;
        self.own_connection = false;
        if self.session.first.is_none() {
            self.session.first = Some(media);
        } else {
            self.session.more.push(media);
        }
    }

    /// The section that began at `section_start` (the session's own lines are the first) ends here.
    fn end_section(&mut self, end: usize) {
        let lines = &self.text[self.section_start..end];
        match self.session.last_mut() {
            Some(media) => media.lines = lines,
            None => self.session.lines = lines,
        }
    }
}

/// `o=<username> <sess-id> <sess-version> <nettype> <addrtype> <unicast-address>`
fn origin(value: &[u8]) -> Option<Origin<'_>> {
    let mut words = words(value);
    let (user, session_id, version) = (words.next()?, words.next()?, words.next()?);
    let (_net, _kind, address) = (words.next()?, words.next()?, words.next()?);
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    if !digits(session_id) || !digits(version) {
        return None;
    }
    Some(Origin { user, session_id, version, address })
}

/// `c=IN IP4 <address>[/ttl[/count]]`
fn connection(value: &[u8]) -> Option<Connection<'_>> {
    let mut words = words(value);
    let (net, kind, address) = (words.next()?, words.next()?, words.next()?);
    if !net.eq_ignore_ascii_case(b"IN") || !matches!(kind, b"IP4" | b"IP6" | b"ip4" | b"ip6") {
        return None;
    }
    let end = memchr::memchr(b'/', address).unwrap_or(address.len());
    let text = &address[..end];
    if text.is_empty() {
        return None;
    }
    Some(Connection { text, address: core::str::from_utf8(text).ok().and_then(|text| text.parse().ok()) })
}

/// `m=<media> <port>[/<count>] <proto> <fmt> ...`
fn media(value: &[u8]) -> Res<'_, Media<'_>> {
    let (rest, kind_text) = token(value)?;
    let (rest, port) = number(u32::from(u16::MAX)).parse(space(rest)?)?;
    let rest = match rest {
        [b'/', count @ ..] => number(u32::from(u16::MAX)).parse(count)?.0,
        _ => rest,
    };
    let (rest, proto) = take_while1(|byte| is_token(byte) || byte == b'/').parse(space(rest)?)?;
    let formats_text = space(rest)?;
    let kind = match kind_text {
        b"audio" => MediaKind::Audio,
        b"video" => MediaKind::Video,
        b"text" => MediaKind::Text,
        b"application" => MediaKind::Application,
        b"image" => MediaKind::Image,
        b"message" => MediaKind::Message,
        _ => MediaKind::Other,
    };
    if formats_text.is_empty() {
        return bad(rest);
    }
    let media = Media {
        kind,
        kind_text,
        port: u16::try_from(port).expect("number() holds it to u16::MAX"),
        proto,
        formats_text,
        connection: None,
        direction: Direction::SendRecv,
        lines: &[],
    };
    Ok((&[], media))
}

/// `<pt> <encoding>/<clock rate>[/<channels>]`, without the payload type.
fn rtpmap(value: &[u8]) -> Res<'_, RtpMap<'_>> {
    let (rest, encoding) = take_while1(|byte: u8| byte > b' ' && byte != b'/').parse(value)?;
    let (rest, clock_rate) = number(u32::MAX).parse(tag("/").parse(rest)?.0)?;
    let (rest, channels) = match rest {
        [b'/', digits @ ..] => number(255).parse(digits)?,
        _ => (rest, 1),
    };
    let channels = u8::try_from(channels).expect("number() holds it to 255");
    Ok((rest, RtpMap { encoding, clock_rate, channels }))
}

/// RFC 3551 §6, table 4: the audio types still met.
fn static_rtpmap(payload_type: u8) -> Option<RtpMap<'static>> {
    let encoding: &[u8] = match payload_type {
        0 => b"PCMU",
        3 => b"GSM",
        4 => b"G723",
        8 => b"PCMA",
        9 => b"G722",
        13 => b"CN",
        15 => b"G728",
        18 => b"G729",
        _ => return None,
    };
    Some(RtpMap { encoding, clock_rate: 8000, channels: 1 })
}

/// Skips at least one space.
fn space(input: &[u8]) -> Result<&[u8], nom::Err<Bad<'_>>> {
    take_while1(|byte: u8| matches!(byte, b' ' | b'\t')).parse(input).map(|(rest, _)| rest)
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

fn attributes(lines: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let mut rest = lines;
    core::iter::from_fn(move || {
        while !rest.is_empty() {
            let next = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let line = rest[..next].trim_ascii_end();
            rest = &rest[next..];
            if let [b'a', b'=', attribute @ ..] = line {
                return Some(match memchr::memchr(b':', attribute) {
                    Some(colon) => (&attribute[..colon], Some(&attribute[colon + 1..])),
                    None => (attribute, None),
                });
            }
        }
        None
    })
}

fn find_attribute<'a>(lines: &'a [u8], name: &str) -> Option<&'a [u8]> {
    attributes(lines)
        .find(|(found, _)| *found == name.as_bytes())
        .map(|(_, value)| value.unwrap_or_default().trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &[u8] =
        b"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=group:x\r\n\
        m=audio 49170 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
        a=fmtp:101 0-15\r\na=ptime:20\r\na=sendonly\r\na=rtcp:49171 IN IP4 192.0.2.1\r\na=rtcp-mux\r\n\
        m=video 0 RTP/AVP 31\r\nc=IN IP6 2001:db8::1\r\n";

    #[test]
    fn an_offer_in_its_parts() {
        let session = parse(OFFER).expect("a sound offer");
        let origin = session.origin.expect("an origin");
        assert_eq!((origin.session_id, origin.version), (&b"1"[..], &b"2"[..]));
        assert_eq!(session.attribute("group"), Some(&b"x"[..]));
        assert_eq!(session.medias().count(), 2);
        let audio = session.audio().expect("audio");
        assert_eq!((audio.port, audio.proto), (49170, &b"RTP/AVP"[..]));
        assert_eq!(audio.payload_types().collect::<Vec<_>>(), [0, 8, 101]);
        assert_eq!(audio.rtpmap(8).map(|map| map.encoding), Some(&b"PCMA"[..]));
        assert_eq!(audio.telephone_event(8000), Some(101));
        assert_eq!(audio.fmtp(101), Some(&b"0-15"[..]));
        assert_eq!((audio.ptime(), audio.maxptime()), (Some(20), None));
        assert_eq!((audio.rtcp_port(), audio.rtcp_mux()), (Some(49171), true));
        assert_eq!(audio.direction, Direction::SendOnly);
        assert!(audio.is_hold());
        assert_eq!(audio.connection.expect("inherited").address, "192.0.2.1".parse().ok());
        let video = session.medias().nth(1).expect("video");
        assert_eq!(video.connection.expect("its own").address, "2001:db8::1".parse().ok());
        assert_eq!(video.direction, Direction::SendRecv);
    }

    #[test]
    fn tolerated() {
        for text in [
            "v=0\nm=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.1\n",
            "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000/2 RTP/AVP 0 4294967296\r\nzzz\r\nX=1\r\n",
            "\r\nv=0\r\nc=IN IP4 media.example.com/127/3\r\nm=audio 4000 RTP/AVP 0",
        ] {
            let session = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
            let audio = session.audio().expect("audio");
            assert_eq!((audio.port, audio.payload_types().next()), (4000, Some(0)));
            assert!(audio.connection.is_some());
        }
    }

    #[test]
    fn refused_with_line_and_kind() {
        let many_formats = format!("v=0\r\nm=audio 1 RTP/AVP{}\r\n", " 0".repeat(65));
        let many_medias = format!("v=0\r\n{}", "m=audio 1 RTP/AVP 0\r\n".repeat(17));
        let many_lines = format!("v=0\r\n{}", "a=x\r\n".repeat(512));
        for (text, line, kind) in [
            ("", 1, SdpErrorKind::Version),
            ("o=x", 1, SdpErrorKind::Version),
            ("<audio>", 1, SdpErrorKind::Version),
            ("v=1\r\n", 1, SdpErrorKind::Version),
            ("v=0\r\no=- a 2 IN IP4 h\r\n", 2, SdpErrorKind::Origin),
            ("v=0\r\no=- 1 2\r\n", 2, SdpErrorKind::Origin),
            ("v=0\r\nc=IN IP4\r\n", 2, SdpErrorKind::Connection),
            ("v=0\r\nc=ATM x y\r\n", 2, SdpErrorKind::Connection),
            ("v=0\r\nm=audio 70000 RTP/AVP 0\r\n", 2, SdpErrorKind::Media),
            ("v=0\r\nm=audio -1 RTP/AVP 0\r\n", 2, SdpErrorKind::Media),
            ("v=0\r\nm=audio 1 RTP/AVP\r\n", 2, SdpErrorKind::Media),
            ("v=0\r\ns=a\0b\r\n", 2, SdpErrorKind::ControlByte),
            ("v=0\r\nm=audio 1\rRTP/AVP 0\r\n", 2, SdpErrorKind::ControlByte),
            ("v=0\r\nm=aud\u{e9}o 1 RTP/AVP 0\r\n", 2, SdpErrorKind::Media),
            ("v=0\r\nm=audio 1 RTP\u{e9}AVP 0\r\n", 2, SdpErrorKind::Media),
            (&many_formats, 2, SdpErrorKind::Limit),
            (&many_medias, 18, SdpErrorKind::Limit),
            (&many_lines, 513, SdpErrorKind::Limit),
        ] {
            let error = parse(text.as_bytes()).expect_err(text);
            assert_eq!(error, SdpError { line, kind }, "{text}");
        }
    }
}
