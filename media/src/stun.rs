//! STUN (RFC 8489) as far as a peer that only answers connectivity checks needs it: read a Binding request, check who
//! made it, answer it.

use hmac_sha1::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::net::{IpAddr, SocketAddr};

const HEADER_BYTES: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
/// What a fingerprint is mixed with (RFC 8489 §14.7).
const FINGERPRINT_MIX: u32 = 0x5354_554E;
/// Attributes of one message that are read.
const ATTRIBUTES_MAX: usize = 32;

/// A Binding request made by someone who has the password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Check {
    transaction: [u8; 12],
    /// The far end has chosen this way (RFC 8445 §7.3.1.5).
    pub nominates: bool,
}

/// Why a message was not taken for a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StunFault {
    /// No STUN, lengths that lie, or a wrong fingerprint.
    Malformed,
    /// No Binding request.
    NotARequest,
    /// For someone else, or not made with the password.
    Unauthorized,
}

/// True for what may be STUN among all that comes to a media port (RFC 7983 §7).
#[must_use]
pub fn looks_like_stun(packet: &[u8]) -> bool {
    packet.first().is_some_and(|byte| *byte < 4) && packet.get(4..8) == Some(&MAGIC_COOKIE)
}

/// Reads a connectivity check: its user name begins with `fragment` and a colon, and it is signed with `password`.
///
/// # Errors
/// [`StunFault`].
pub fn read_check(packet: &[u8], fragment: &[u8], password: &[u8]) -> Result<Check, StunFault> {
    let (header, body) = packet.split_at_checked(HEADER_BYTES).ok_or(StunFault::Malformed)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if !looks_like_stun(packet) || length != body.len() || !length.is_multiple_of(4) {
        return Err(StunFault::Malformed);
    }
    if u16::from_be_bytes([header[0], header[1]]) != BINDING_REQUEST {
        return Err(StunFault::NotARequest);
    }
    let mut transaction = [0; 12];
    transaction.copy_from_slice(&header[8..20]);
    let (mut for_us, mut signed, mut printed) = (false, false, false);
    let mut nominates = false;
    let mut at = HEADER_BYTES;
    for _ in 0..ATTRIBUTES_MAX {
        let Some(head) = packet.get(at..at + 4) else { break };
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let size = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = packet.get(at + 4..at + 4 + size).ok_or(StunFault::Malformed)?;
        match kind {
            // RFC 8489 §14.7: the last one; what follows is not looked at.
            FINGERPRINT => {
                let print = crc32(&packet[..at]) ^ FINGERPRINT_MIX;
                if value != print.to_be_bytes() || at + 8 != packet.len() {
                    return Err(StunFault::Malformed);
                }
                printed = true;
            }
            // RFC 8489 §14.5: only a fingerprint may follow.
            _ if signed => {}
            USERNAME => {
                let ours = value.get(..fragment.len()) == Some(fragment);
                for_us = ours && value.get(fragment.len()) == Some(&b':');
            }
            USE_CANDIDATE => nominates = true,
            MESSAGE_INTEGRITY => {
                signed = is_signed(packet, at, value, password);
                if !signed {
                    return Err(StunFault::Unauthorized);
                }
            }
            _ => {}
        }
        at += 4 + size.next_multiple_of(4);
    }
    if !printed {
        return Err(StunFault::Malformed);
    }
    if !(for_us && signed) {
        return Err(StunFault::Unauthorized);
    }
    Ok(Check { transaction, nominates })
}

/// Appends the success response to a check that came from `source`.
pub fn write_success(check: &Check, source: SocketAddr, password: &[u8], into: &mut Vec<u8>) {
    let start = into.len();
    into.extend_from_slice(&BINDING_SUCCESS.to_be_bytes());
    into.extend_from_slice(&[0, 0]);
    into.extend_from_slice(&MAGIC_COOKIE);
    into.extend_from_slice(&check.transaction);
    let mut mix = [0; 16];
    mix[..4].copy_from_slice(&MAGIC_COOKIE);
    mix[4..].copy_from_slice(&check.transaction);
    let (family, octets): (u8, Vec<u8>) = match source.ip() {
        IpAddr::V4(address) => (1, address.octets().to_vec()),
        IpAddr::V6(address) => (2, address.octets().to_vec()),
    };
    into.extend_from_slice(&XOR_MAPPED_ADDRESS.to_be_bytes());
    into.extend_from_slice(&(4 + octets.len() as u16).to_be_bytes());
    into.extend_from_slice(&[0, family]);
    into.extend_from_slice(&(source.port() ^ 0x2112).to_be_bytes());
    into.extend(octets.iter().zip(mix).map(|(byte, mix)| byte ^ mix));
    // Each of the two covers a length that counts itself already.
    set_length(into, start, 24);
    let signature = mac(password).chain_update(&into[start..]).finalize().into_bytes();
    into.extend_from_slice(&MESSAGE_INTEGRITY.to_be_bytes());
    into.extend_from_slice(&[0, 20]);
    into.extend_from_slice(&signature);
    set_length(into, start, 8);
    let print = crc32(&into[start..]) ^ FINGERPRINT_MIX;
    into.extend_from_slice(&FINGERPRINT.to_be_bytes());
    into.extend_from_slice(&[0, 4]);
    into.extend_from_slice(&print.to_be_bytes());
}

/// Writes the message's length as it will be with so many bytes more.
fn set_length(message: &mut [u8], start: usize, more: usize) {
    let length = (message.len() - start - HEADER_BYTES + more) as u16;
    message[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Whether the signature at `at` fits what stands before it, the length counting up to its end (RFC 8489 §14.5).
fn is_signed(packet: &[u8], at: usize, signature: &[u8], password: &[u8]) -> bool {
    let length = ((at + 24 - HEADER_BYTES) as u16).to_be_bytes();
    let mac = mac(password).chain_update(&packet[..2]).chain_update(length).chain_update(&packet[4..at]);
    mac.verify_slice(signature).is_ok()
}

fn mac(password: &[u8]) -> Hmac<Sha1> {
    Hmac::<Sha1>::new_from_slice(password).expect("HMAC takes any key")
}

/// The checksum of ISO-HDLC, as in V.42.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| (crc >> 8) ^ CRC_TABLE[((crc ^ u32::from(*byte)) & 0xFF) as usize])
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xEDB8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The sample request of RFC 5769 §2.1.
    const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74\
        002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020\
        000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";
    const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

    fn request() -> Vec<u8> {
        let digits = REQUEST.as_bytes();
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    #[test]
    fn the_published_request_is_read() {
        let check = read_check(&request(), b"evtj", PASSWORD).expect("the published sample");
        assert!(!check.nominates);
        assert_eq!(read_check(&request(), b"evt", PASSWORD), Err(StunFault::Unauthorized));
        assert_eq!(read_check(&request(), b"evtj", b"other"), Err(StunFault::Unauthorized));
    }

    #[test]
    fn whatever_is_changed_is_refused() {
        let sound = request();
        for bit in 0..sound.len() * 8 {
            let mut changed = sound.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(read_check(&changed, b"evtj", PASSWORD).is_err(), "bit {bit}");
        }
        for length in 0..sound.len() {
            assert!(read_check(&sound[..length], b"evtj", PASSWORD).is_err(), "{length} bytes");
        }
    }

    /// The sample responses of RFC 5769 §2.2 and §2.3 hold a further attribute; their mapped addresses are these.
    #[test]
    fn an_answer_names_the_source_and_is_signed() {
        let check = read_check(&request(), b"evtj", PASSWORD).unwrap();
        for (source, mapped) in [
            ("192.0.2.1:32853", "0001a147e112a643"),
            ("[2001:db8:1234:5678:11:2233:4455:6677]:32853", "0002a1470113a9faa5d3f179bc25f4b5bed2b9d9"),
        ] {
            let mut answer = Vec::new();
            write_success(&check, source.parse().unwrap(), PASSWORD, &mut answer);
            let hex: String = answer.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(hex.starts_with("0101"), "{hex}");
            assert!(hex.contains(mapped), "{hex}");
            // As a request of ours it would be taken, but for its kind and user name.
            assert_eq!(read_check(&answer, b"", PASSWORD), Err(StunFault::NotARequest));
            assert_eq!(usize::from(u16::from_be_bytes([answer[2], answer[3]])) + 20, answer.len());
            let at = answer.len() - 32;
            assert!(is_signed(&answer, at, &answer[at + 4..at + 24], PASSWORD));
        }
    }
}
