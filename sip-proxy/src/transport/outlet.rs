//! Over what a message leaves: our listeners, the connections that are open, and which of them a peer is reached by.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use sansio::Instant;

use super::dialog_address;
use crate::ua::Listener;
use crate::wire::{HeaderName, Limits, Message, Scheme, Transport, Uri, Writer, host_ip, parse};

/// RFC 3261 §18.1.1: a request longer than this goes over a transport with congestion control, unless the path is
/// known to take more (it is not).
pub(crate) const DATAGRAM_BYTES_MAX: usize = 1300;

/// The parameter of RFC 5923.
const ALIAS: &[u8] = b";alias";

/// A peer that does not take connections is not asked again for so long.
const NO_STREAM: Duration = Duration::from_secs(600);
/// Peers of that sort remembered; beyond, the first in order of address is forgotten.
const NO_STREAM_MAX: usize = 1024;

/// Our listeners and the connections on them.
#[derive(Debug, Default)]
pub(crate) struct Outlets {
    outlets: Vec<Outlet>,
    flows: BTreeMap<(u8, SocketAddr), Flow>,
    /// Connections of trunks that may be used for requests to another port of theirs (RFC 5923): the peer's end of each.
    aliases: BTreeMap<(u8, SocketAddr), SocketAddr>,
    no_stream: BTreeMap<SocketAddr, Instant>,
}

#[derive(Debug)]
struct Outlet {
    transport: Transport,
    ip: IpAddr,
    sent_by: Box<str>,
    /// What stands behind the `@` of our Contact.
    contact: Box<str>,
    /// … where that is a SIPS URI, which says by itself that it is spoken with over TLS (RFC 5630 §3.1.4).
    secure_contact: Option<Box<str>>,
    /// Of a UDP listener: the TCP listener its long requests leave by.
    stream: Option<u8>,
}

/// A connection.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Names in the certificate the peer has shown and that was checked; empty for none.
    pub(crate) names: Vec<String>,
}

impl Outlets {
    pub(crate) fn new(listeners: &[Listener]) -> Self {
        let stream_of = |listener: &Listener| {
            let fits = |other: &Listener| {
                other.transport == Transport::Tcp && other.address.is_ipv4() == listener.address.is_ipv4()
            };
            let same_address = |other: &&Listener| other.address.ip() == listener.address.ip();
            if listener.transport != Transport::Udp {
                return None;
            }
            let candidates = || listeners.iter().filter(|other| fits(other));
            let best = candidates().find(same_address).or_else(|| candidates().next())?;
            listeners.iter().position(|other| core::ptr::eq(other, best))
        };
        let outlet = |listener: &Listener| Outlet {
            transport: listener.transport,
            ip: listener.address.ip(),
            sent_by: listener.advertised.as_str().into(),
            contact: match listener.transport.uri_value() {
                "" => listener.advertised.as_str().into(),
                value => format!("{};transport={value}", listener.advertised).into(),
            },
            secure_contact: match listener.transport {
                Transport::Tls => Some(listener.advertised.as_str().into()),
                Transport::Wss => Some(format!("{};transport=ws", listener.advertised).into()),
                _ => None,
            },
            stream: stream_of(listener).and_then(|index| u8::try_from(index).ok()),
        };
        Outlets {
            outlets: listeners.iter().map(outlet).collect(),
            flows: BTreeMap::new(),
            aliases: BTreeMap::new(),
            no_stream: BTreeMap::new(),
        }
    }

    pub(crate) fn transport(&self, listener: u8) -> Transport {
        self.outlets.get(usize::from(listener)).map_or(Transport::Udp, |outlet| outlet.transport)
    }

    /// Host, port and parameters of our Contact at this listener.
    pub(crate) fn contact(&self, listener: u8) -> &str {
        self.outlets.get(usize::from(listener)).map_or("", |outlet| &outlet.contact)
    }

    /// Writes our Contact at this listener: a SIPS URI where the dialog is to be `secure` and the listener can be.
    pub(crate) fn write_contact(&self, listener: u8, secure: bool, user: &[u8], writer: &mut Writer<'_>) {
        let outlet = self.outlets.get(usize::from(listener));
        let (scheme, rest) = match outlet.and_then(|outlet| outlet.secure_contact.as_ref()) {
            Some(contact) if secure => (&b"<sips:"[..], &**contact),
            _ => (&b"<sip:"[..], self.contact(listener)),
        };
        writer.header_parts(HeaderName::Contact, &[scheme, user, b"@", rest.as_bytes(), b">"]);
    }

    /// The first listener of this transport and family.
    pub(crate) fn listener_for(&self, transport: Transport, ipv4: bool) -> Option<u8> {
        let fits = |outlet: &Outlet| outlet.transport == transport && outlet.ip.is_ipv4() == ipv4;
        u8::try_from(self.outlets.iter().position(fits)?).ok()
    }

    /// The listener of this transport and family that is nearest to another: that one itself, one at the same address,
    /// or the first.
    pub(crate) fn listener_near(&self, near: u8, transport: Transport, ipv4: bool) -> Option<u8> {
        let outlet = self.outlets.get(usize::from(near))?;
        if outlet.transport == transport && outlet.ip.is_ipv4() == ipv4 {
            return Some(near);
        }
        let beside = |other: &Outlet| other.transport == transport && other.ip == outlet.ip;
        let found = self.outlets.iter().position(beside).filter(|_| outlet.ip.is_ipv4() == ipv4);
        found.and_then(|at| u8::try_from(at).ok()).or_else(|| self.listener_for(transport, ipv4))
    }

    pub(crate) fn opened(&mut self, listener: u8, peer: SocketAddr, flow: Flow) {
        self.flows.insert((listener, peer), flow);
        self.no_stream.remove(&peer);
    }

    pub(crate) fn closed(&mut self, listener: u8, peer: SocketAddr) {
        self.flows.remove(&(listener, peer));
        self.aliases.retain(|(own, _), by| (*own, *by) != (listener, peer));
    }

    /// A trunk says that requests to this port of its host may come by the connection it speaks over (RFC 5923 §5). Its
    /// host is the one the connection comes from, so that nobody draws another's calls to himself.
    pub(crate) fn alias(&mut self, listener: u8, peer: SocketAddr, port: u16) {
        let at = SocketAddr::new(peer.ip(), port);
        if at != peer && self.flows.contains_key(&(listener, peer)) {
            self.aliases.insert((listener, at), peer);
        }
    }

    /// The peer's end of the connection that a request to this address goes by: the address itself, where a connection to
    /// it stands or must be made.
    pub(crate) fn by_alias(&self, listener: u8, to: SocketAddr) -> SocketAddr {
        if self.aliases.is_empty() || self.flows.contains_key(&(listener, to)) {
            return to;
        }
        self.aliases.get(&(listener, to)).copied().unwrap_or(to)
    }

    /// Where a response goes that is to go along the connection its request came by: there while it stands. After that to
    /// where the sender of the request takes connections, the port of sent-by at the address it came from (RFC 3261
    /// §18.2.2: `received`, which is that address where sent-by names another). A browser takes none. With it the name that
    /// over TLS is to be shown a certificate for: what sent-by calls itself, where that is no address.
    pub(crate) fn way_back(
        &self,
        listener: u8,
        to: SocketAddr,
        response: &Bytes,
    ) -> (SocketAddr, Option<String>) {
        let transport = self.transport(listener);
        if !matches!(transport, Transport::Tcp | Transport::Tls) || self.flows.contains_key(&(listener, to)) {
            return (to, None);
        }
        let Ok(response) = parse(response.clone(), &Limits::default()) else { return (to, None) };
        let via = response.top_via();
        let name = (transport == Transport::Tls && host_ip(via.host).is_none())
            .then(|| String::from_utf8_lossy(via.host).into_owned());
        (SocketAddr::new(to.ip(), via.port.unwrap_or(transport.default_port())), name)
    }

    pub(crate) fn flow(&self, listener: u8, peer: SocketAddr) -> Option<&Flow> {
        self.flows.get(&(listener, peer))
    }

    /// Whether we can be spoken with over TLS.
    pub(crate) fn offers_tls(&self) -> bool {
        self.outlets.iter().any(|outlet| outlet.transport == Transport::Tls)
    }

    /// The names in the certificate that a peer has shown over its connection; none for who has shown none.
    pub(crate) fn names(&self, listener: u8, peer: SocketAddr) -> &[String] {
        self.flow(listener, peer).map_or(&[], |flow| &flow.names)
    }

    pub(crate) fn flows(&self) -> usize {
        self.flows.len()
    }

    /// The listener a request of so many bytes leaves by when its user chose this one.
    pub(crate) fn leave_by(&self, now: Instant, listener: u8, to: SocketAddr, bytes: usize) -> u8 {
        let stream = self.outlets.get(usize::from(listener)).and_then(|outlet| outlet.stream);
        let refused = || self.no_stream.get(&to).is_some_and(|until| now < *until);
        match stream {
            Some(stream) if bytes > DATAGRAM_BYTES_MAX && !refused() => stream,
            _ => listener,
        }
    }

    /// A peer that was to get a long request over a connection takes none.
    pub(crate) fn takes_no_stream(&mut self, now: Instant, peer: SocketAddr) {
        if self.no_stream.len() >= NO_STREAM_MAX {
            self.no_stream.pop_first();
        }
        self.no_stream.insert(peer, now + NO_STREAM);
    }

    /// A request whose first line after the start line is our Via, as it leaves by this listener: RFC 3261 §18.1.1
    /// lets the transport fill in its own name and address.
    pub(crate) fn stamp(&self, listener: u8, request: Bytes) -> Bytes {
        let Some(outlet) = self.outlets.get(usize::from(listener)) else { return request };
        let Some(line) = memchr::memchr(b'\n', &request).map(|at| at + 1) else { return request };
        let rest = &request[line..];
        let Some(value) = rest.strip_prefix(b"Via: SIP/2.0/") else { return request };
        let Some(end) = memchr::memchr(b';', value) else { return request };
        let (head, transport) = (value.get(..end).unwrap_or_default(), outlet.transport.as_str());
        // RFC 5923 §4: the peer may use our connection for its own requests, where it has seen our certificate.
        let alias: &[u8] = if outlet.transport == Transport::Tls { ALIAS } else { b"" };
        let after = &value[end..];
        let has_alias = after.starts_with(ALIAS);
        let named = head.starts_with(transport.as_bytes()) && head.ends_with(outlet.sent_by.as_bytes());
        if named && has_alias != alias.is_empty() {
            return request;
        }
        let mut stamped = BytesMut::with_capacity(request.len() + 64);
        for part in [
            &request[..line],
            b"Via: SIP/2.0/",
            transport.as_bytes(),
            b" ",
            outlet.sent_by.as_bytes(),
            alias,
            after.strip_prefix(ALIAS).unwrap_or(after),
        ] {
            stamped.extend_from_slice(part);
        }
        stamped.freeze()
    }

    /// By which listener and to which address requests to a URI go within a dialog that was spoken in over
    /// `listener` with `source`.
    ///
    /// A connection is used again while it lives when it leads to the host that the URI names, or when nothing
    /// else could reach the peer: a browser, or what [`dialog_address`] says (RFC 5923 §4, RFC 5626 §4.2).
    pub(crate) fn hop(&self, uri: &[u8], listener: u8, source: SocketAddr) -> (u8, SocketAddr) {
        let own = self.transport(listener);
        if matches!(own, Transport::Ws | Transport::Wss) {
            return (listener, source);
        }
        let wanted = wanted_transport(uri);
        let transport = match wanted {
            Some(transport) if self.listener_for(transport, source.is_ipv4()).is_some() => transport,
            _ => own,
        };
        let target = dialog_address(uri, source, transport.default_port());
        if own.is_reliable() {
            let to_same_host = target.ip() == source.ip();
            if to_same_host && self.flows.contains_key(&(listener, source)) {
                return (listener, source);
            }
        }
        if transport == own {
            return (listener, target);
        }
        (self.listener_near(listener, transport, source.is_ipv4()).unwrap_or(listener), target)
    }
}

/// Whether a URI is one of SIPS.
pub(crate) fn is_sips(uri: &[u8]) -> bool {
    uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"sips:"))
}

/// Whether the dialog that a request makes is to be spoken over TLS all the way: Request-URI, or the top Record-Route, or
/// without one the Contact (RFC 3261 §12.1.1).
pub(crate) fn makes_secure_dialog(request: &Message) -> bool {
    let beside = match request.record_routes().next() {
        Some(route) => route.is_ok_and(|route| is_sips(route.uri_text)),
        None => request.contact().is_some_and(|contact| is_sips(contact.uri_text)),
    };
    beside || is_sips(request.request_uri())
}

/// The transport a URI asks for (RFC 3263 §4.1); `None` when it does not say.
fn wanted_transport(uri: &[u8]) -> Option<Transport> {
    let uri = Uri::parse(uri).ok()?;
    if uri.scheme == Scheme::Sips {
        return Some(Transport::Tls);
    }
    match uri.param("transport").map(Transport::from_bytes)? {
        transport @ (Transport::Udp | Transport::Tcp | Transport::Tls) => Some(transport),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlets() -> Outlets {
        let listener = |transport, address: &str| Listener {
            transport,
            address: address.parse().expect("an address"),
            advertised: address.into(),
        };
        Outlets::new(&[
            listener(Transport::Udp, "192.0.2.1:5060"),
            listener(Transport::Udp, "[2001:db8::1]:5060"),
            listener(Transport::Tcp, "192.0.2.9:5060"),
            listener(Transport::Tcp, "192.0.2.1:5070"),
            listener(Transport::Tls, "192.0.2.1:5061"),
            listener(Transport::Wss, "192.0.2.1:443"),
        ])
    }

    #[test]
    fn long_requests_leave_by_tcp_of_the_same_address() {
        let mut outlets = outlets();
        let to = "198.51.100.1:5060".parse().expect("an address");
        let now = Instant::ZERO;
        assert_eq!(outlets.leave_by(now, 0, to, DATAGRAM_BYTES_MAX), 0);
        assert_eq!(outlets.leave_by(now, 0, to, DATAGRAM_BYTES_MAX + 1), 3);
        assert_eq!(outlets.leave_by(now, 1, to, 9000), 1, "no TCP over IPv6 here");
        assert_eq!(outlets.leave_by(now, 4, to, 9000), 4);
        outlets.takes_no_stream(now, to);
        assert_eq!(outlets.leave_by(now, 0, to, 9000), 0);
        assert_eq!(outlets.leave_by(now + NO_STREAM, 0, to, 9000), 3);
    }

    #[test]
    fn another_transport_is_spoken_from_the_same_address_where_it_can_be() {
        let outlets = outlets();
        for (near, transport, ipv4, expected) in [
            (0, Transport::Udp, true, Some(0)),
            (0, Transport::Tcp, true, Some(3)),
            (2, Transport::Tcp, true, Some(2)),
            // Nothing else is at the third's address, or of its family.
            (2, Transport::Tls, true, Some(4)),
            (0, Transport::Udp, false, Some(1)),
            (1, Transport::Tcp, false, None),
            (9, Transport::Udp, true, None),
        ] {
            assert_eq!(outlets.listener_near(near, transport, ipv4), expected, "{near} {transport:?}");
        }
    }

    #[test]
    fn the_transport_names_itself_in_the_via() {
        let outlets = outlets();
        let request =
            |via: &str| Bytes::from(format!("BYE sip:a SIP/2.0\r\nVia: SIP/2.0/{via};branch=z\r\n\r\n"));
        let udp = request("UDP 192.0.2.1:5060;rport");
        assert_eq!(outlets.stamp(0, udp.clone()), udp);
        assert_eq!(outlets.stamp(4, udp.clone()), request("TLS 192.0.2.1:5061;alias;rport"));
        assert_eq!(outlets.stamp(0, outlets.stamp(4, udp.clone())), udp);
        assert_eq!(outlets.contact(0), "192.0.2.1:5060");
        assert_eq!(outlets.contact(5), "192.0.2.1:443;transport=ws");
    }

    #[test]
    fn a_connection_stands_for_another_port_of_its_host() {
        let mut outlets = outlets();
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let (peer, port) = (address("198.51.100.1:40000"), address("198.51.100.1:5061"));
        outlets.alias(4, peer, 5061);
        assert_eq!(outlets.by_alias(4, port), port, "there is no such connection");
        outlets.opened(4, peer, Flow::default());
        outlets.alias(4, peer, 5061);
        assert_eq!(outlets.by_alias(4, port), peer);
        assert_eq!(outlets.by_alias(3, port), port);
        assert_eq!(outlets.by_alias(4, address("198.51.100.2:5061")), address("198.51.100.2:5061"));
        // One that leads there is better.
        outlets.opened(4, port, Flow::default());
        assert_eq!(outlets.by_alias(4, port), port);
        outlets.closed(4, port);
        outlets.closed(4, peer);
        assert_eq!(outlets.by_alias(4, port), port);
    }

    #[test]
    fn a_connection_is_used_again_where_it_leads_to_the_right_host() {
        let mut outlets = outlets();
        let source: SocketAddr = "198.51.100.1:40000".parse().expect("an address");
        let check = |outlets: &Outlets, uri: &str, listener, expected: (u8, &str)| {
            let found = outlets.hop(uri.as_bytes(), listener, source);
            assert_eq!((found.0, found.1.to_string().as_str()), expected, "{uri}");
        };
        check(&outlets, "sip:a@198.51.100.1:5060;transport=tcp", 2, (2, "198.51.100.1:5060"));
        outlets.opened(2, source, Flow::default());
        check(&outlets, "sip:a@198.51.100.1:5060;transport=tcp", 2, (2, "198.51.100.1:40000"));
        check(&outlets, "sip:a@198.51.100.7:5060;transport=tcp", 2, (2, "198.51.100.7:5060"));
        // A Contact behind NAT.
        check(&outlets, "sip:a@10.0.0.7:5060;transport=tcp", 2, (2, "198.51.100.1:40000"));
        // From UDP to what the Contact asks for.
        check(&outlets, "sip:a@198.51.100.1;transport=tls", 0, (4, "198.51.100.1:5061"));
        check(&outlets, "sip:a@198.51.100.1", 0, (0, "198.51.100.1:5060"));
        check(&outlets, "sip:a@df7jal23ls0d.invalid;transport=ws", 5, (5, "198.51.100.1:40000"));
    }
}
