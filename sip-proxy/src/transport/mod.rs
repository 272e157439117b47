//! Where messages go and over what, how they are cut out of streams, and who must wait.

mod crowd;
mod framer;
mod guard;
pub mod locate;
mod network;
mod outlet;
mod slow;
mod stun;

use core::net::{IpAddr, SocketAddr};

pub(crate) use crowd::Crowd;
pub use framer::{Exchange, Frame, FrameFault, Framer, exchange_of, is_framed};
pub use guard::SCANNERS;
pub(crate) use guard::{Dropped, Guard, Standing};
pub(crate) use network::Networks;
pub use network::{Network, NetworkError};
pub(crate) use outlet::{Flow, Outlets, is_sips, makes_secure_dialog};
pub(crate) use slow::SlowList;
pub(crate) use stun::answer as answer_stun;

use crate::wire::{Message, Scheme, Uri, host_ip};

/// Where the responses to a request that came over UDP go.
///
/// With `rport` to the source (RFC 3581). Without it to the source address and the port of sent-by (RFC 3261
/// §18.2.2), unless sent-by shows that a NAT lies between: then only the source can be reached. `maddr` is not
/// followed: it would let anybody make us send to a third party.
pub(crate) fn reply_address(request: &Message, source: SocketAddr) -> SocketAddr {
    let via = request.top_via();
    if via.rport.is_some() || !via.host_is(source.ip()) {
        return source;
    }
    SocketAddr::new(source.ip(), via.port.unwrap_or(5060))
}

/// Where requests to a URI go within a dialog whose messages come from `source`.
///
/// The URI is followed when it holds an address. It is not when it cannot be reached: a name (nothing is resolved
/// here), the unspecified address, or an address of a smaller world than the one the peer spoke from (a private
/// one seen from the public network: a NAT that rewrites no SIP).
pub(crate) fn dialog_address(uri: &[u8], source: SocketAddr, default_port: u16) -> SocketAddr {
    let Ok(uri) = Uri::parse(uri) else { return source };
    if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
        return source;
    }
    let host = uri.param("maddr").filter(|host| !host.is_empty()).unwrap_or(uri.host);
    match host_ip(host) {
        Some(ip) if ip.is_ipv4() == source.is_ipv4() && reach(ip) >= reach(source.ip()) => {
            SocketAddr::new(ip, uri.port.unwrap_or(default_port))
        }
        _ => source,
    }
}

/// From how far an address can be reached: 0 not at all, 1 this host, 2 this link or site, 3 everywhere.
fn reach(ip: IpAddr) -> u8 {
    if ip.is_unspecified() || ip.is_multicast() {
        return 0;
    }
    if ip.is_loopback() {
        return 1;
    }
    match ip {
        IpAddr::V4(ip) if ip.is_broadcast() => 0,
        IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => 2,
        // RFC 6598: shared address space of carrier-grade NAT.
        IpAddr::V4(ip) if ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64 => 2,
        IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_followed_unless_it_cannot_be_reached() {
        let check = |uri: &str, source: &str, expected: &str| {
            let source = source.parse().expect("an address");
            assert_eq!(
                dialog_address(uri.as_bytes(), source, 5060).to_string(),
                expected,
                "{uri} from {source}"
            );
        };
        check("sip:b@192.0.2.7:5070", "192.0.2.1:5060", "192.0.2.7:5070");
        check("sip:192.0.2.7;lr", "10.0.0.1:5060", "192.0.2.7:5060");
        check("sip:b@10.0.0.9", "10.0.0.1:5060", "10.0.0.9:5060");
        check("sip:b@10.0.0.9", "192.0.2.1:1024", "192.0.2.1:1024");
        check("sip:b@127.0.0.1:5080", "10.0.0.1:1024", "10.0.0.1:1024");
        check("sip:b@127.0.0.1:5080", "127.0.0.1:1024", "127.0.0.1:5080");
        check("sip:b@0.0.0.0:5080", "127.0.0.1:1024", "127.0.0.1:1024");
        check("sip:b@255.255.255.255", "127.0.0.1:1024", "127.0.0.1:1024");
        check("sip:b@phone.example.com", "192.0.2.1:1024", "192.0.2.1:1024");
        check("sip:b@[2001:db8::1]", "192.0.2.1:1024", "192.0.2.1:1024");
        check("sip:b@[2001:db8::1]", "[2001:db8::2]:9", "[2001:db8::1]:5060");
        check("tel:123", "192.0.2.1:1024", "192.0.2.1:1024");
        check("sip:b@proxy;maddr=192.0.2.9", "192.0.2.1:1024", "192.0.2.9:5060");
    }
}
