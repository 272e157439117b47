//! Keep-alives of phones behind NAT over UDP: a STUN binding request at a SIP port (RFC 5626 §8, RFC 8489). The answer says
//! from where it was seen to come, which tells the phone when its NAT has forgotten it.

use core::net::{IpAddr, SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};

const MAGIC_COOKIE: u32 = 0x2112_a442;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const HEADER_BYTES: usize = 20;
/// Attributes from here on may be passed over by who does not know them.
const OPTIONAL: u16 = 0x8000;
/// Attributes below that which are known (RFC 8489 §14): those that mean something here in an answer only are passed
/// over, and passwords are not asked for.
const KNOWN: [u16; 8] =
    [0x0001, 0x0006, 0x0008, ERROR_CODE, UNKNOWN_ATTRIBUTES, 0x0014, 0x0015, XOR_MAPPED_ADDRESS];
const UNKNOWN_ATTRIBUTE: &[u8] = b"Unknown Attribute";

/// The answer to a binding request from `source`; `None` for everything else.
pub(crate) fn answer(datagram: &[u8], source: SocketAddr) -> Option<Bytes> {
    let (header, attributes) = datagram.split_first_chunk::<HEADER_BYTES>()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let cookie = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let fits = usize::from(word(2)) == attributes.len() && attributes.len() % 4 == 0;
    if word(0) != BINDING_REQUEST || cookie != MAGIC_COOKIE || !fits {
        return None;
    }
    let unknown = unknown_attributes(attributes)?;
    if !unknown.is_empty() {
        return Some(refusal(&header[4..], &unknown));
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

/// The attributes that must be known and are not; `None` where they are cut off. An attribute is at least as long as its
/// place in the list of unknown ones, so that nobody gets much more back than was sent.
fn unknown_attributes(mut attributes: &[u8]) -> Option<Vec<u16>> {
    let mut unknown = Vec::new();
    while let Some((head, rest)) = attributes.split_first_chunk::<4>() {
        let (kind, length) = (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
        attributes = rest.get(usize::from(length).next_multiple_of(4)..)?;
        if kind < OPTIONAL
            && !KNOWN.contains(&kind)
            && !unknown.contains(&kind)
            && unknown.len() < UNKNOWN_MAX
        {
            unknown.push(kind);
        }
    }
    Some(unknown)
}

/// Attributes that are named as unknown; who sends more is told of the rest when those are gone.
const UNKNOWN_MAX: usize = 32;

/// 420 (RFC 8489 §6.3.1).
fn refusal(transaction: &[u8], unknown: &[u16]) -> Bytes {
    let named = unknown.len() * 2;
    let reason = 4 + UNKNOWN_ATTRIBUTE.len();
    let length = 4 + reason.next_multiple_of(4) + 4 + named.next_multiple_of(4);
    let mut answer = BytesMut::with_capacity(HEADER_BYTES + length);
    answer.put_u16(BINDING_ERROR);
    answer.put_u16(length as u16);
    answer.put_slice(transaction);
    answer.put_u16(ERROR_CODE);
    answer.put_u16(reason as u16);
    // Class and number.
    answer.put_slice(&[0, 0, 4, 20]);
    answer.put_slice(UNKNOWN_ATTRIBUTE);
    answer.put_bytes(0, reason.next_multiple_of(4) - reason);
    answer.put_u16(UNKNOWN_ATTRIBUTES);
    answer.put_u16(named as u16);
    for kind in unknown {
        answer.put_u16(*kind);
    }
    answer.put_bytes(0, named.next_multiple_of(4) - named);
    answer.freeze()
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
    fn what_must_be_known_and_is_not_is_named() {
        let source = "192.0.2.1:32853".parse().expect("an address");
        // CHANGE-REQUEST twice, SOFTWARE with padding, an unknown one of no length, USERNAME.
        let attributes = [
            0, 3, 0, 4, 0, 0, 0, 6, 0x80, 0x22, 0, 3, b'a', b'b', b'c', 0, 0x7f, 0xff, 0, 0, 0, 3, 0, 0, 0,
            6, 0, 1, b'x', 0, 0, 0,
        ];
        let bytes = answer(&request(&attributes), source).expect("an answer");
        assert_eq!(bytes[..4], [1, 0x11, 0, 36]);
        assert_eq!(bytes[8..20], *b"transaction!");
        assert_eq!(bytes[20..28], [0, 9, 0, 21, 0, 0, 4, 20]);
        assert_eq!(bytes[28..48], *b"Unknown Attribute\0\0\0");
        assert_eq!(bytes[48..], [0, 0x0a, 0, 4, 0, 3, 0x7f, 0xff]);
        for known in [[0x80, 0x28, 0, 0], [0, 6, 0, 0], [0xc0, 0x01, 0, 0]] {
            assert_eq!(answer(&request(&known), source).expect("an answer")[..2], [1, 1], "{known:?}");
        }
        // Cut off.
        assert_eq!(answer(&request(&[0x80, 0x22, 0, 4]), source), None);
        let many: Vec<u8> = (1..200_u8).flat_map(|kind| [0x10, kind, 0, 0]).collect();
        let mut many = request(&many);
        (many[2], many[3]) = (3, 0x1c);
        assert_eq!(answer(&many, source).expect("an answer").len(), 20 + 28 + 4 + 2 * UNKNOWN_MAX);
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
