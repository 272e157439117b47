//! Asks the kernel which way a packet would go, and which interfaces carry an address (rtnetlink(7)).

use crate::layout::family;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER_BYTES: usize = 16;
const ROUTE_BYTES: usize = 12;
const ADDRESS_BYTES: usize = 8;
const ANSWER_BYTES: usize = 1 << 16;
const LINK_BYTES: usize = 16;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;
const RTA_VIA: u16 = 18;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFLA_IFNAME: u16 = 3;
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;
const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;

/// The way to a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Route {
    /// The interface packets leave by; 0: they stay on this machine.
    pub(crate) interface: u32,
    /// Who takes them there.
    pub(crate) next_hop: IpAddr,
    /// The address they would come from.
    pub(crate) source: Option<IpAddr>,
}

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Link {
    pub(crate) number: u32,
    pub(crate) name: String,
    pub(crate) is_loopback: bool,
}

/// A conversation with the kernel.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
    answer: Vec<u8>,
}

impl Netlink {
    /// Opens it, in the network namespace of the calling thread.
    pub(crate) fn new() -> io::Result<Self> {
        let socket = Socket::new(
            Domain::from(libc::AF_NETLINK),
            Type::RAW.cloexec(),
            Some(Protocol::from(libc::NETLINK_ROUTE)),
        )?;
        // The kernel answers before the call that asks returns; this is only never to hang.
        socket.set_read_timeout(Some(std::time::Duration::from_secs(1)))?;
        Ok(Netlink { socket, sequence: 0, answer: vec![0; ANSWER_BYTES] })
    }

    /// The way to `to`; `None` when there is none, or one that cannot be gone from inside the kernel.
    pub(crate) fn route(&mut self, to: IpAddr, from: Option<IpAddr>) -> io::Result<Option<Route>> {
        let bits = if to.is_ipv4() { 32 } else { 128 };
        let mut body =
            vec![family(to), bits, if from.is_some() { bits } else { 0 }, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        attribute(&mut body, RTA_DST, to);
        if let Some(from) = from {
            attribute(&mut body, RTA_SRC, from);
        }
        let mut found = None;
        self.ask(RTM_GETROUTE, 0, &body, |kind, message| {
            if kind == RTM_NEWROUTE {
                found = read_route(to, message);
            }
        })?;
        Ok(found)
    }

    /// Interfaces whose packets begin with an Ethernet header, by number and name; loopback is one.
    pub(crate) fn links(&mut self) -> io::Result<Vec<Link>> {
        let mut found = Vec::new();
        self.ask(RTM_GETLINK, NLM_F_DUMP, &[0; LINK_BYTES], |kind, message| {
            let Some([_, _, type_0, type_1, number @ ..]) = message.first_chunk::<8>().copied() else {
                return;
            };
            let hardware = u16::from_ne_bytes([type_0, type_1]);
            if kind != RTM_NEWLINK || !matches!(hardware, ARPHRD_ETHER | ARPHRD_LOOPBACK) {
                return;
            }
            let named = |(kind, value): (u16, &[u8])| {
                let name = value.strip_suffix(&[0]).filter(|_| kind == IFLA_IFNAME)?;
                String::from_utf8(name.to_vec()).ok()
            };
            if let Some(name) = attributes(message.get(LINK_BYTES..).unwrap_or_default()).find_map(named) {
                let is_loopback = hardware == ARPHRD_LOOPBACK;
                found.push(Link { number: u32::from_ne_bytes(number), name, is_loopback });
            }
        })?;
        Ok(found)
    }

    /// Interfaces by number, and the addresses they carry.
    pub(crate) fn addresses(&mut self) -> io::Result<Vec<(u32, IpAddr)>> {
        let mut found = Vec::new();
        self.ask(RTM_GETADDR, NLM_F_DUMP, &[0; ADDRESS_BYTES], |kind, message| {
            let Some(interface) = message.get(4..8).and_then(number).filter(|_| kind == RTM_NEWADDR) else {
                return;
            };
            let mut address = None;
            for (kind, value) in attributes(&message[ADDRESS_BYTES..]) {
                // On links between two, IFA_ADDRESS is the other end.
                if kind == IFA_LOCAL || (kind == IFA_ADDRESS && address.is_none()) {
                    address = address_of(value);
                }
            }
            found.extend(address.map(|address| (interface, address)));
        })?;
        Ok(found)
    }

    fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        mut each: impl FnMut(u16, &[u8]),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = Vec::with_capacity(HEADER_BYTES + body.len());
        message.extend_from_slice(&((HEADER_BYTES + body.len()) as u32).to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&0_u32.to_ne_bytes());
        message.extend_from_slice(body);
        self.socket.send(&message)?;
        loop {
            let length = (&self.socket).read(&mut self.answer)?;
            let mut rest = self.answer.get(..length).unwrap_or_default();
            while let Some(size) = rest.get(..4).and_then(number).map(|size| size as usize) {
                if size < HEADER_BYTES || size > rest.len() {
                    break;
                }
                let (one, after) = rest.split_at(size);
                rest = after.get((size.next_multiple_of(4) - size).min(after.len())..).unwrap_or_default();
                if number(&one[8..12]) != Some(self.sequence) {
                    continue;
                }
                match u16::from_ne_bytes([one[4], one[5]]) {
                    // No route to there, or no such family: not known, and no fault of the conversation.
                    NLMSG_DONE | NLMSG_ERROR => return Ok(()),
                    kind => each(kind, &one[HEADER_BYTES..]),
                }
                if flags & NLM_F_DUMP == 0 {
                    return Ok(());
                }
            }
        }
    }
}

fn read_route(to: IpAddr, message: &[u8]) -> Option<Route> {
    let kind = *message.get(7)?;
    let mut route = Route { interface: 0, next_hop: to, source: None };
    for (kind, value) in attributes(message.get(ROUTE_BYTES..)?) {
        match kind {
            RTA_OIF => route.interface = number(value)?,
            RTA_GATEWAY => route.next_hop = address_of(value)?,
            RTA_VIA => route.next_hop = address_of(value.get(2..)?)?,
            RTA_PREFSRC => route.source = address_of(value),
            _ => {}
        }
    }
    match kind {
        RTN_LOCAL => Some(Route { interface: 0, next_hop: to, ..route }),
        RTN_UNICAST if route.interface != 0 => Some(route),
        _ => None,
    }
}

fn attribute(body: &mut Vec<u8>, kind: u16, address: IpAddr) {
    let octets = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    body.extend_from_slice(&(4 + octets.len() as u16).to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(&octets);
}

fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = rest.get(..4)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]);
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & 0x3FFF, value))
    })
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn address_of(value: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(value) {
        return Some(IpAddr::V4(Ipv4Addr::from(v4)));
    }
    <[u8; 16]>::try_from(value).ok().map(|v6| IpAddr::V6(Ipv6Addr::from(v6)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_to_be_itself() {
        let mut netlink = Netlink::new().unwrap();
        let own: IpAddr = "127.2.3.4".parse().unwrap();
        let route = netlink.route(own, Some("127.0.0.1".parse().unwrap())).unwrap().unwrap();
        assert_eq!((route.interface, route.next_hop), (0, own));
        let found = netlink.addresses().unwrap();
        assert!(
            found.iter().any(|(interface, address)| *interface != 0 && address.is_loopback()),
            "{found:?}"
        );
        let links = netlink.links().unwrap();
        assert!(links.iter().any(|link| link.is_loopback && link.name == "lo"), "{links:?}");
    }

    #[test]
    fn a_message_that_lies_is_read_no_further() {
        assert_eq!(attributes(&[9, 0, 1, 0, 1]).count(), 0);
        assert_eq!(attributes(&[4, 0, 1, 0, 3, 0]).count(), 1);
        assert!(attributes(&[0, 0, 1, 0]).next().is_none());
        assert!(read_route(IpAddr::V4(Ipv4Addr::LOCALHOST), &[2, 32, 0]).is_none());
    }
}
