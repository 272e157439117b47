//! RTP (RFC 3550 §5.1) seen and edited in place: twelve fixed bytes, no copy, no allocation.

pub mod e_model;
pub mod packetise;
pub(crate) mod report;
pub mod rtcp;
pub mod stats;
pub mod telephone_event;

use core::ops::Range;

/// Bytes of the fixed header.
pub const HEADER_BYTES: usize = 12;

/// What a valid packet's header says. Read once, kept by value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Marker: first packet of a talk spurt or of an event.
    pub marker: bool,
    /// 0..=127.
    pub payload_type: u8,
    /// Counts packets.
    pub sequence: u16,
    /// Counts samples (8,000 per second for all we speak).
    pub timestamp: u32,
    /// The source.
    pub ssrc: u32,
    payload_start: u16,
    payload_end: u16,
}

impl Header {
    /// Reads and checks the header: version 2, and CSRC list, extension and padding that fit (RFC 3550 A.1).
    /// `None` for anything else.
    #[must_use]
    #[inline]
    pub fn read(packet: &[u8]) -> Option<Header> {
        let fixed: &[u8; HEADER_BYTES] = packet.first_chunk()?;
        if fixed[0] >> 6 != 2 || packet.len() > usize::from(u16::MAX) {
            return None;
        }
        // No CSRC, extension or padding is the rule; anything else is looked at out of line.
        let (payload_start, payload_end) = if fixed[0] & 0x3F == 0 {
            (HEADER_BYTES as u16, packet.len() as u16)
        } else {
            payload_span(packet)?
        };
        Some(Header {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7F,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            payload_start,
            payload_end,
        })
    }

    /// Where the payload lies in the packet, without padding.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> Range<usize> {
        usize::from(self.payload_start)..usize::from(self.payload_end)
    }
}

#[cold]
fn payload_span(packet: &[u8]) -> Option<(u16, u16)> {
    let first = packet[0];
    let mut start = HEADER_BYTES + 4 * usize::from(first & 0x0F);
    if first & 0x10 != 0 {
        let extension = packet.get(start..start + 4)?;
        start += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
    }
    let mut end = packet.len();
    if first & 0x20 != 0 {
        let padding = usize::from(*packet.last()?);
        if padding == 0 {
            return None;
        }
        end = end.checked_sub(padding)?;
    }
    if start > end {
        return None;
    }
    Some((start as u16, end as u16))
}

/// Writes marker and payload type, sequence, timestamp and SSRC over a packet's fixed header; the version byte
/// (CSRC count, extension, padding) stays. Does nothing to a packet shorter than a header.
#[inline]
pub fn rewrite(packet: &mut [u8], marker: bool, payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32) {
    if let Some(fixed) = packet.first_chunk_mut::<HEADER_BYTES>() {
        fixed[1] = (u8::from(marker) << 7) | (payload_type & 0x7F);
        fixed[2..4].copy_from_slice(&sequence.to_be_bytes());
        fixed[4..8].copy_from_slice(&timestamp.to_be_bytes());
        fixed[8..12].copy_from_slice(&ssrc.to_be_bytes());
    }
}

/// Makes a fixed header for a packet of our own: version 2, no CSRC, no extension, no padding.
#[must_use]
pub fn header(
    marker: bool,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[0] = 2 << 6;
    rewrite(&mut bytes, marker, payload_type, sequence, timestamp, ssrc);
    bytes
}

/// True when the second byte of what came in on an RTP port is an RTCP packet type (RFC 5761 §4: 192..=223).
#[must_use]
#[inline]
pub fn looks_like_rtcp(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|byte| (192..=223).contains(byte))
}
