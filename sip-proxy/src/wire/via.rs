//! Via (RFC 3261 §20.42, RFC 3581).

use core::net::{IpAddr, Ipv4Addr};

use super::grammar::{
    Bad, Params, Res, bad, host, is_lws, lws, next_param, number, opt_port, sep, token, whole,
};
use super::{ValueError, scan};

/// The transport a Via names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
    Ws,
    Wss,
    Sctp,
    /// Any other.
    Other,
}

impl Transport {
    /// The transport with this name, in any case.
    #[must_use]
    pub fn from_bytes(text: &[u8]) -> Self {
        match text {
            b"UDP" => Self::Udp,
            b"TCP" => Self::Tcp,
            b"TLS" => Self::Tls,
            b"WS" => Self::Ws,
            b"WSS" => Self::Wss,
            b"SCTP" => Self::Sctp,
            _ if text.len() <= 4 && text.iter().any(u8::is_ascii_lowercase) => {
                let mut upper = [0; 4];
                upper[..text.len()].copy_from_slice(text);
                upper.make_ascii_uppercase();
                Self::from_bytes(&upper[..text.len()])
            }
            _ => Self::Other,
        }
    }

    /// Whether messages arrive or the loss is told: no retransmissions of ours (RFC 3261 §17).
    #[must_use]
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp | Self::Other)
    }

    /// The value of a `transport` parameter in a URI (RFC 3261 §19.1.1, RFC 7118 §5.1); empty for UDP, which needs
    /// none.
    #[must_use]
    pub const fn uri_value(self) -> &'static str {
        match self {
            Self::Udp | Self::Other => "",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws | Self::Wss => "ws",
            Self::Sctp => "sctp",
        }
    }

    /// The port of a URI that names none (RFC 3261 §19.1.2, RFC 7118 §5).
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
            Self::Udp | Self::Tcp | Self::Sctp | Self::Other => 5060,
        }
    }

    /// The name to write into a Via; empty for [`Transport::Other`].
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
            Self::Sctp => "SCTP",
            Self::Other => "",
        }
    }
}

/// One Via value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Via<'a> {
    /// Transport of this hop.
    pub transport: Transport,
    /// Host of sent-by; an IPv6 address keeps its brackets.
    pub host: &'a [u8],
    /// Port of sent-by, if one is written.
    pub port: Option<u16>,
    /// The branch: the transaction's name.
    pub branch: Option<&'a [u8]>,
    /// Source address, as the receiver noted it.
    pub received: Option<&'a [u8]>,
    /// RFC 3581: `Some(None)` the client asks for the source port, `Some(Some(port))` the server noted it.
    pub rport: Option<Option<u16>>,
    /// The address to answer to instead of sent-by (RFC 3261 §18.2.2).
    pub maddr: Option<&'a [u8]>,
    /// All parameters, with the above.
    pub params: Params<'a>,
}

/// What every branch begins with that is unique by itself (RFC 3261 §8.1.1.7).
pub const BRANCH_COOKIE: &[u8] = b"z9hG4bK";

impl<'a> Via<'a> {
    /// Takes apart one value.
    ///
    /// # Errors
    /// When it is not one Via value of SIP/2.0.
    pub fn parse(value: &'a [u8]) -> Result<Self, ValueError> {
        whole(value, via)
    }

    /// Whether the branch names the transaction by RFC 3261; otherwise the rules of RFC 2543 apply.
    /// A branch that is the cookie and nothing more does not (RFC 4475 §3.2.1).
    #[must_use]
    pub fn has_rfc3261_branch(&self) -> bool {
        self.branch.is_some_and(|branch| branch.len() > BRANCH_COOKIE.len() && has_cookie(branch))
    }

    /// Whether sent-by names this address (in text: an IPv4 address, or an IPv6 reference).
    #[must_use]
    pub fn host_is(&self, address: IpAddr) -> bool {
        host_ip(self.host) == Some(address)
    }
}

fn has_cookie(branch: &[u8]) -> bool {
    branch.get(..BRANCH_COOKIE.len()).is_some_and(|start| start.eq_ignore_ascii_case(BRANCH_COOKIE))
}

/// The address a host text stands for, if it is not a name.
#[must_use]
pub fn host_ip(host: &[u8]) -> Option<IpAddr> {
    let reference = host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    let text = core::str::from_utf8(reference.unwrap_or(host)).ok()?;
    text.parse().ok().or_else(|| {
        // RFC 5118 §4.10: the grammar of RFC 3261 has a colon too many before an IPv4 address, which must be tolerated.
        let (head, ipv4) = reference.and(text.split_once(":::"))?;
        ipv4.parse::<Ipv4Addr>().ok()?;
        format!("{head}::{ipv4}").parse().ok()
    })
}

/// One Via value; stops before a comma.
#[inline(always)]
pub(crate) fn via(input: &[u8]) -> Res<'_, Via<'_>> {
    let (rest, transport) = sent_protocol(input)?;
    let (rest, host) = host(rest)?;
    // White space is allowed around the colon of sent-by (`COLON`), so look for one past it.
    let spaced = lws(rest);
    let (rest, port) = match spaced {
        [b':', digits @ ..] if spaced.len() != rest.len() || digits.first().is_some_and(|d| *d == b' ') => {
            let digits = lws(digits);
            match number(u32::from(u16::MAX))(digits)? {
                (_, 0) => return bad(digits),
                (rest, port) => (rest, u16::try_from(port).ok()),
            }
        }
        _ => opt_port(rest)?,
    };
    let mut via = Via {
        transport,
        host,
        port,
        branch: None,
        received: None,
        rport: None,
        maddr: None,
        params: Params::default(),
    };
    let start = rest;
    let mut rest = rest;
    loop {
        // The two that nearly all have.
        if let Some(value) = rest.strip_prefix(b";branch=")
            && via.branch.is_none()
            && !matches!(value.first(), Some(b'"'))
        {
            let end = scan::param_value_end(value);
            if end > 0 {
                via.branch = Some(&value[..end]);
                rest = &value[end..];
                continue;
            }
        }
        if let Some(left) = rest.strip_prefix(b";rport")
            && matches!(left, [] | [b';' | b',', ..])
        {
            via.rport = Some(None);
            rest = left;
            continue;
        }
        let (left, found) = if rest.is_empty() { (rest, None) } else { next_param(rest)? };
        let Some((name, value)) = found else {
            via.params = Params(&start[..start.len() - rest.len()]);
            return Ok((left, via));
        };
        note_param(&mut via, name, value)?;
        rest = left;
    }
}

fn note_param<'a>(
    via: &mut Via<'a>,
    name: &'a [u8],
    value: Option<&'a [u8]>,
) -> Result<(), nom::Err<Bad<'a>>> {
    match name.len() {
        5 if name.eq_ignore_ascii_case(b"rport") => {
            via.rport = match value {
                None => Some(None),
                Some(digits) => match number(u32::from(u16::MAX))(digits)? {
                    ([], port) => Some(u16::try_from(port).ok()),
                    _ => return Err(nom::Err::Error(Bad(digits))),
                },
            };
        }
        5 if name.eq_ignore_ascii_case(b"maddr") => via.maddr = value,
        6 if name.eq_ignore_ascii_case(b"branch") => via.branch = via.branch.or(value),
        8 if name.eq_ignore_ascii_case(b"received") => via.received = value,
        _ => {}
    }
    Ok(())
}

/// `SIP/2.0/UDP` and the white space behind it.
fn sent_protocol(input: &[u8]) -> Res<'_, Transport> {
    // What nearly all begin with.
    if let Some(rest) = input.strip_prefix(b"SIP/2.0/UDP ")
        && rest.first().is_some_and(|byte| !is_lws(*byte))
    {
        return Ok((rest, Transport::Udp));
    }
    let rest = match input {
        [s, i, p, b'/', b'2', b'.', b'0', b'/', rest @ ..]
            if [*s, *i, *p].eq_ignore_ascii_case(b"SIP") && rest.first().is_some_and(|t| *t != b' ') =>
        {
            rest
        }
        // The same with white space around the slashes.
        _ => {
            let (rest, name) = token(lws(input))?;
            let (rest, ()) = sep(b'/')(rest)?;
            let (rest, version) = token(rest)?;
            if !name.eq_ignore_ascii_case(b"SIP") || version != b"2.0" {
                return bad(input);
            }
            sep(b'/')(rest)?.0
        }
    };
    let (rest, transport) = token(rest)?;
    let spaced = lws(rest);
    if spaced.len() == rest.len() {
        return bad(rest);
    }
    Ok((spaced, Transport::from_bytes(transport)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let parse = |text: &'static str| Via::parse(text.as_bytes()).expect(text);
        let via = parse("SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKx;rport;received=192.0.2.9");
        assert_eq!(via.transport, Transport::Udp);
        assert_eq!((via.host, via.port), (&b"192.0.2.1"[..], Some(5062)));
        assert_eq!(via.branch, Some(&b"z9hG4bKx"[..]));
        assert_eq!((via.rport, via.received), (Some(None), Some(&b"192.0.2.9"[..])));
        assert!(via.has_rfc3261_branch());
        assert!(via.host_is("192.0.2.1".parse().expect("an address")));
        let via = parse("SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw");
        assert_eq!((via.transport, via.host), (Transport::Udp, &b"192.0.2.2"[..]));
        assert!(!via.has_rfc3261_branch());
        let via = parse("SIP/2.0/tls [2001:db8::1] : 5061 ; rport=7 ");
        assert_eq!((via.transport, via.port, via.rport), (Transport::Tls, Some(5061), Some(Some(7))));
        assert_eq!(via.host, b"[2001:db8::1]");
        assert_eq!(parse("SIP/2.0/UNKNOWN t4.example.com").transport, Transport::Other);
        assert!(!parse("SIP/2.0/UDP h;branch=z9hG4bK").has_rfc3261_branch());
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/3.0/UDP h",
            "HTTP/2.0/UDP h",
            "SIP/2.0 h",
            "SIP/2.0/UDP h:99999",
            "SIP/2.0/UDP h:0",
            "SIP/2.0/UDP h;;",
            "SIP/2.0/UDP 192.0.2.15;;,;,,",
            "SIP/2.0/UDP h;rport=x",
            "SIP/2.0/UDP h;rport=66000",
            "SIP/2.0/UDP h, SIP/2.0/UDP i",
        ] {
            assert!(Via::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
