//! RTCP (RFC 3550 §6) checked and edited in place.
//!
//! Reports are forwarded between bridged streams: each side's report then reaches the other and round-trip times stay
//! end to end. Only to a far end that gets none from its peer we report ourselves (`report.rs`). What is changed on the
//! way: the sender's SSRC and timestamp become those we
//! use towards that side, report blocks are mapped back to the SSRC and sequence the other side really sends,
//! and a BYE loses its source, since our stream towards the far end goes on when its peer leaves.

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;

/// How the identities of one side become those of the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Translation {
    /// Our SSRC towards the side that will get the packet.
    pub(crate) sender_ssrc: u32,
    /// Added to the sender's RTP timestamps on this way.
    pub(crate) timestamp_delta: u32,
    /// Our SSRC towards the side that sent the packet: what its report blocks speak of …
    pub(crate) reported_ssrc: u32,
    /// … the SSRC of the stream behind it …
    pub(crate) source_ssrc: u32,
    /// … and what was added to that stream's sequence numbers.
    pub(crate) sequence_delta: u16,
}

/// Checks a compound packet: version 2 throughout, lengths that add up, a report first (RFC 3550 A.2; a reduced
/// size packet of RFC 5506 is taken too, so any RTCP type may be first).
#[must_use]
pub fn is_valid(packet: &[u8]) -> bool {
    if packet.len() < 8 {
        return false;
    }
    let mut rest = packet;
    while !rest.is_empty() {
        match split(rest) {
            Some((_, tail)) => rest = tail,
            None => return false,
        }
    }
    true
}

/// The first packet of a compound and what follows it.
pub(super) fn split(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let head: &[u8; 4] = packet.first_chunk()?;
    if head[0] >> 6 != 2 || !(192..=223).contains(&head[1]) {
        return None;
    }
    let length = 4 + 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
    packet.split_at_checked(length)
}

/// Edits a valid compound packet for the other side. False: there is nothing in it to forward.
pub(crate) fn translate(packet: &mut [u8], by: &Translation) -> bool {
    let mut worth_sending = false;
    let mut at = 0;
    while let Some(length) = packet.get(at..).and_then(split).map(|(first, _)| first.len()) {
        let part = &mut packet[at..at + length];
        worth_sending |= translate_part(part, by);
        at += length;
    }
    worth_sending
}

fn translate_part(part: &mut [u8], by: &Translation) -> bool {
    match part[1] {
        SENDER_REPORT if part.len() >= 28 => {
            put(part, 4, by.sender_ssrc);
            let timestamp = get(part, 16).wrapping_add(by.timestamp_delta);
            put(part, 16, timestamp);
            translate_blocks(part, 28, by);
            true
        }
        RECEIVER_REPORT if part.len() >= 8 => {
            put(part, 4, by.sender_ssrc);
            translate_blocks(part, 8, by);
            true
        }
        BYE => {
            // No sources and no reason is a valid BYE that says nothing.
            part[0] &= 0xE0;
            part[4..].fill(0);
            false
        }
        SOURCE_DESCRIPTION => {
            if part[0] & 0x1F != 0 && part.len() >= 8 {
                put(part, 4, by.sender_ssrc);
            }
            false
        }
        _ => {
            // Feedback, extended reports, application packets: all start with the sender's SSRC.
            if part.len() >= 8 {
                put(part, 4, by.sender_ssrc);
            }
            true
        }
    }
}

fn translate_blocks(part: &mut [u8], start: usize, by: &Translation) {
    let count = usize::from(part[0] & 0x1F);
    for block in part[start..].chunks_exact_mut(24).take(count) {
        if get(block, 0) == by.reported_ssrc {
            put(block, 0, by.source_ssrc);
            // RFC 3550 §6.4.1: low 16 bits the highest sequence, high 16 bits its cycles.
            let highest = get(block, 8);
            put(block, 8, highest.wrapping_sub(u32::from(by.sequence_delta)));
        }
    }
}

fn get(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}
