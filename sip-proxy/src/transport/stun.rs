//! Keep-alives of phones behind NAT over UDP: a STUN binding request at a SIP port (RFC 5626 §8, RFC 8489). The answer says
//! from where it was seen to come, which tells the phone when its NAT has forgotten it.

use core::net::{IpAddr, SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};

const MAGIC_COOKIE: u32 = 0x2112_a442;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const HEADER_BYTES: usize = 20;

/// The answer to a binding request from `source`; `None` for everything else.
pub(crate) fn answer(datagram: &[u8], source: SocketAddr) -> Option<Bytes> {
    let (header, attributes) = datagram.split_first_chunk::<HEADER_BYTES>()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let cookie = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let fits = usize::from(word(2)) == attributes.len() && attributes.len() % 4 == 0;
    if word(0) != BINDING_REQUEST || cookie != MAGIC_COOKIE || !fits {
        return None;
    }
    let mut answer = BytesMut::with_capacity(HEADER_BYTES + 24);
    let length = if source.is_ipv4() { 8 } else { 20 };
    answer.put_u16(BINDING_SUCCESS);
    answer.put_u16(4 + length);
    answer.put_slice(&header[4..]);
    answer.put_u16(XOR_MAPPED_ADDRESS);
    answer.put_u16(length);
    answer.put_u8(0);
    answer.put_u8(if source.is_ipv4() { 1 } else { 2 });
    answer.put_u16(source.port() ^ (MAGIC_COOKIE >> 16) as u16);
    // RFC 8489 §14.2: IPv4 under the cookie, IPv6 under cookie and transaction.
    match source.ip() {
        IpAddr::V4(ip) => answer.put_u32(u32::from(ip) ^ MAGIC_COOKIE),
        IpAddr::V6(ip) => answer.extend(ip.octets().iter().zip(&header[4..]).map(|(byte, key)| byte ^ key)),
    }
    Some(answer.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, attributes.len() as u8, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend(*b"transaction!");
        bytes.extend(attributes);
        bytes
    }

    #[test]
    fn the_answer_says_where_it_came_from() {
        let bytes = answer(&request(&[]), "192.0.2.1:32853".parse().expect("an address")).expect("an answer");
        assert_eq!(bytes[..8], [1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42]);
        assert_eq!(bytes[8..20], *b"transaction!");
        // The address of RFC 5769 §2.2.
        assert_eq!(bytes[20..], [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        let six: SocketAddr = "[2001:db8::1]:5060".parse().expect("an address");
        let bytes = answer(&request(&[0x80, 0x22, 0, 0]), six).expect("an answer");
        assert_eq!((bytes.len(), bytes[25]), (44, 2));
        assert_eq!(bytes[28..32], [0x20 ^ 0x21, 0x01 ^ 0x12, 0x0d ^ 0xa4, 0xb8 ^ 0x42]);
    }

    #[test]
    fn nothing_else_is_answered() {
        let source = "192.0.2.1:1".parse().expect("an address");
        let sound = request(&[]);
        for at in 0..sound.len() {
            assert_eq!(answer(&sound[..at], source), None, "{at}");
        }
        for (at, byte) in [(0, 1), (1, 2), (1, 0x11), (3, 4), (4, 0), (7, 0)] {
            let mut other = sound.clone();
            other[at] = byte;
            assert_eq!(answer(&other, source), None, "{at}");
        }
        assert_eq!(answer(&request(&[0, 6]), source), None);
    }
}
