//! Reading a SIP message just deep enough to generate load.
//!
//! On purpose not the parser of the daemon: what measures it shall not share its mistakes. It trusts the shape of
//! what a well-behaved peer sends on loopback and gives nothing for anything else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The parts a generator needs, borrowed from the datagram.
#[derive(Default, Debug)]
pub struct Message<'a> {
    /// Method of a request.
    pub method: Option<&'a [u8]>,
    /// Status of a response, else 0.
    pub code: u16,
    /// Top to bottom.
    pub vias: Vec<&'a [u8]>,
    /// Top to bottom.
    pub record_routes: Vec<&'a [u8]>,
    /// Value of From.
    pub from: &'a [u8],
    /// Value of To.
    pub to: &'a [u8],
    /// Value of Call-ID.
    pub call_id: &'a [u8],
    /// Value of CSeq.
    pub cseq: &'a [u8],
    /// Value of Contact.
    pub contact: &'a [u8],
    /// What follows the empty line.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a datagram.
    #[must_use]
    pub fn read(datagram: &'a [u8]) -> Option<Self> {
        let end = find(datagram, b"\r\n\r\n")?;
        let mut message = Message { body: &datagram[end + 4..], ..Message::default() };
        let mut lines = Lines(&datagram[..end]);
        let start = lines.next()?;
        if let Some(rest) = start.strip_prefix(b"SIP/2.0 ") {
            message.code = number(rest.get(..3)?)?;
        } else {
            message.method = start.split(|byte| *byte == b' ').next();
        }
        for line in lines {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let value = line[colon + 1..].trim_ascii();
            let name = line[..colon].trim_ascii();
            let is = |long: &str, short: &str| {
                name.eq_ignore_ascii_case(long.as_bytes()) || name.eq_ignore_ascii_case(short.as_bytes())
            };
            if is("Via", "v") {
                message.vias.push(value);
            } else if is("From", "f") {
                message.from = value;
            } else if is("To", "t") {
                message.to = value;
            } else if is("Call-ID", "i") {
                message.call_id = value;
            } else if is("CSeq", "CSeq") {
                message.cseq = value;
            } else if is("Contact", "m") {
                message.contact = value;
            } else if is("Record-Route", "Record-Route") {
                message.record_routes.push(value);
            }
        }
        Some(message)
    }

    /// The method in CSeq.
    #[must_use]
    pub fn cseq_method(&self) -> &'a [u8] {
        self.cseq.iter().position(|byte| *byte == b' ').map_or(b"", |space| &self.cseq[space + 1..])
    }

    /// True when To has a tag: the request is within a dialog.
    #[must_use]
    pub fn in_dialog(&self) -> bool {
        find(self.to, b";tag=").is_some()
    }

    /// Address of the first audio stream in the body.
    #[must_use]
    pub fn sound(&self) -> Option<SocketAddr> {
        let mut ip = None;
        let mut port = None;
        for line in self.body.split(|byte| *byte == b'\n') {
            if let Some(rest) = line.strip_prefix(b"c=IN IP4 ") {
                ip = ipv4(rest.trim_ascii());
            } else if let Some(rest) = line.strip_prefix(b"m=audio ") {
                port = number(rest.split(|byte| *byte == b' ').next()?);
            }
        }
        Some(SocketAddr::new(ip?, port?))
    }
}

/// The URI in a name-addr.
#[must_use]
pub fn uri(value: &[u8]) -> &[u8] {
    let Some(open) = value.iter().position(|byte| *byte == b'<') else {
        return value.split(|byte| *byte == b';').next().unwrap_or(value);
    };
    let rest = &value[open + 1..];
    rest.iter().position(|byte| *byte == b'>').map_or(rest, |close| &rest[..close])
}

/// Where a `sip:` URI with an IPv4 address points.
#[must_use]
pub fn address(uri: &[u8]) -> Option<SocketAddr> {
    let rest = uri.strip_prefix(b"sip:")?;
    let rest = rest.split(|byte| *byte == b';' || *byte == b'?').next()?;
    let host = rest.rsplit(|byte| *byte == b'@').next()?;
    match host.iter().position(|byte| *byte == b':') {
        Some(colon) => Some(SocketAddr::new(ipv4(&host[..colon])?, number(&host[colon + 1..])?)),
        None => Some(SocketAddr::new(ipv4(host)?, 5060)),
    }
}

fn ipv4(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

/// A decimal number.
pub fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.iter().position(|byte| *byte == b'\r').unwrap_or(self.0.len());
        let line = &self.0[..end];
        self.0 = self.0.get(end + 2..).unwrap_or(&[]);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_gives_its_parts() {
        let text = b"SIP/2.0 200 OK\r\nv: SIP/2.0/UDP 127.0.0.1:5;branch=z\r\nFrom: <sip:a@b>;tag=1\r\n\
            t: <sip:c@d>;tag=2\r\nCall-ID: 7-x\r\nCSeq: 1 INVITE\r\nContact: <sip:127.0.0.2:5070>\r\n\r\n\
            v=0\r\nc=IN IP4 127.0.0.3\r\nm=audio 6000 RTP/AVP 0\r\n";
        let message = Message::read(text).unwrap();
        assert_eq!((message.code, message.method), (200, None));
        assert_eq!((message.vias.len(), message.call_id), (1, &b"7-x"[..]));
        assert!(message.in_dialog());
        assert_eq!(message.cseq_method(), b"INVITE");
        assert_eq!(message.sound(), Some("127.0.0.3:6000".parse().unwrap()));
        assert_eq!(address(uri(message.contact)), Some("127.0.0.2:5070".parse().unwrap()));
    }

    #[test]
    fn a_request_gives_its_method_and_rubbish_gives_nothing() {
        let message = Message::read(b"BYE sip:x@127.0.0.1 SIP/2.0\r\nTo: <sip:c@d>\r\n\r\n").unwrap();
        assert_eq!(message.method, Some(&b"BYE"[..]));
        assert!(!message.in_dialog());
        for rubbish in [&b""[..], b"\r\n\r\n", b"SIP/2.0 2\r\n\r\n", b"BYE x\r\nno colon\r\n\r\n"] {
            assert!(Message::read(rubbish).is_none_or(|message| message.call_id.is_empty()));
        }
    }
}
