//! RTCP reports of our own, and what is read out of the far end's (RFC 3550 §6.4).
//!
//! NTP timestamps count from the plane's own start: RFC 3550 §6.4.1 asks for one clock per sender, not for the
//! right civil time, and a quiet room does not know it.

use bytes::{BufMut, BytesMut};
use sansio::Instant;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
/// SDES item: the canonical name.
const CNAME: u8 = 1;
/// Bytes of one report block.
const BLOCK_BYTES: usize = 24;
/// Bytes of the longest compound we make: SR with a block, SDES with our name, BYE.
pub(crate) const COMPOUND_BYTES_MAX: usize = 28 + BLOCK_BYTES + 28 + 8;

/// What one side says about the other's stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Block {
    /// Whose stream.
    pub(crate) ssrc: u32,
    /// Share lost since the report before, in 256ths.
    pub(crate) fraction_lost: u8,
    /// Lost in all; 24 bits, signed.
    pub(crate) lost: i32,
    /// Highest sequence number with its cycles.
    pub(crate) highest: u32,
    /// Interarrival jitter, timestamp units.
    pub(crate) jitter: u32,
    /// Middle 32 bits of the newest sender report's NTP timestamp; 0: none came.
    pub(crate) last_report: u32,
    /// Since that report came, in 65,536ths of a second.
    pub(crate) delay: u32,
}

/// What a sender says about its own stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SenderInfo {
    pub(crate) timestamp: u32,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
}

/// What a compound packet of the far end holds that we want to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Heard {
    /// Middle 32 bits of its NTP timestamp, if it holds a sender report.
    pub(crate) sender_report: Option<u32>,
    /// Its block about our stream.
    pub(crate) block: Option<Block>,
}

/// The 64 bits of an NTP timestamp.
pub(crate) fn ntp(now: Instant) -> u64 {
    let nanos = now.as_nanos();
    let fraction = (nanos % 1_000_000_000) * (1 << 32) / 1_000_000_000;
    ((nanos / 1_000_000_000) << 32) | fraction
}

/// Its middle 32 bits: seconds and 65,536ths.
pub(crate) fn ntp_middle(now: Instant) -> u32 {
    (ntp(now) >> 16) as u32
}

/// Reads a valid compound packet ([`super::rtcp::is_valid`]). `ours` is the SSRC we send with.
pub(crate) fn read(packet: &[u8], ours: u32) -> Heard {
    let mut heard = Heard::default();
    let mut rest = packet;
    while let Some((part, tail)) = super::rtcp::split(rest) {
        rest = tail;
        let blocks_at = match part[1] {
            SENDER_REPORT if part.len() >= 28 => {
                heard.sender_report = Some(word(part, 10));
                28
            }
            RECEIVER_REPORT if part.len() >= 8 => 8,
            _ => continue,
        };
        let count = usize::from(part[0] & 0x1F);
        let blocks = part[blocks_at..].chunks_exact(BLOCK_BYTES).take(count);
        heard.block = blocks.map(read_block).find(|block| block.ssrc == ours).or(heard.block);
    }
    heard
}

fn read_block(bytes: &[u8]) -> Block {
    let loss = word(bytes, 4);
    Block {
        ssrc: word(bytes, 0),
        fraction_lost: (loss >> 24) as u8,
        // Sign-extended from 24 bits.
        lost: ((loss << 8) as i32) >> 8,
        highest: word(bytes, 8),
        jitter: word(bytes, 12),
        last_report: word(bytes, 16),
        delay: word(bytes, 20),
    }
}

/// Appends a compound packet: a report, our name, and a BYE if we leave (RFC 3550 §6.1, §6.6).
///
/// * `sender` what we sent; `None` when we sent nothing: a receiver report then
/// * `name` 16 characters, the same in all reports of a stream (RFC 7022 §4.2)
pub(crate) fn write(
    now: Instant,
    ssrc: u32,
    sender: Option<SenderInfo>,
    block: Option<Block>,
    name: &[u8; 16],
    leaves: bool,
    to: &mut BytesMut,
) {
    let count = u8::from(block.is_some());
    let words = 1 + 5 * u16::from(sender.is_some()) + 6 * u16::from(count);
    match sender {
        Some(sender) => {
            head(to, count, SENDER_REPORT, words);
            to.put_u32(ssrc);
            to.put_u64(ntp(now));
            to.put_u32(sender.timestamp);
            to.put_u32(sender.packets);
            to.put_u32(sender.octets);
        }
        None => {
            head(to, count, RECEIVER_REPORT, words);
            to.put_u32(ssrc);
        }
    }
    if let Some(block) = block {
        to.put_u32(block.ssrc);
        to.put_u32((u32::from(block.fraction_lost) << 24) | (block.lost as u32 & 0x00FF_FFFF));
        to.put_u32(block.highest);
        to.put_u32(block.jitter);
        to.put_u32(block.last_report);
        to.put_u32(block.delay);
    }
    // SSRC, item, length, name, and zeros to the next word: at least one ends the list.
    head(to, 1, SOURCE_DESCRIPTION, 6);
    to.put_u32(ssrc);
    to.put_u8(CNAME);
    to.put_u8(name.len() as u8);
    to.put_slice(name);
    to.put_u16(0);
    if leaves {
        head(to, 1, BYE, 1);
        to.put_u32(ssrc);
    }
}

fn head(to: &mut BytesMut, count: u8, kind: u8, words: u16) {
    to.put_u8(0x80 | count);
    to.put_u8(kind);
    to.put_u16(words);
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8; 16] = b"0123456789abcdef";

    fn block(lost: i32) -> Block {
        Block {
            ssrc: 9,
            fraction_lost: 128,
            lost,
            highest: 70_000,
            jitter: 80,
            last_report: 0x1234_5678,
            delay: 65_536,
        }
    }

    #[test]
    fn what_is_written_is_valid_and_reads_back() {
        for lost in [0, 5, -3, 0x7F_FFFF, -0x80_0000] {
            for sender in [None, Some(SenderInfo { timestamp: 1, packets: 2, octets: 3 })] {
                let mut bytes = BytesMut::new();
                let now = Instant::from_millis(2_500);
                write(now, 7, sender, Some(block(lost)), NAME, true, &mut bytes);
                assert!(super::super::rtcp::is_valid(&bytes));
                assert!(bytes.len() <= COMPOUND_BYTES_MAX);
                let heard = read(&bytes, 9);
                assert_eq!(heard.block, Some(block(lost)));
                assert_eq!(heard.sender_report, sender.map(|_| 0x0002_8000));
                assert_eq!(read(&bytes, 8).block, None);
            }
        }
        let mut bytes = BytesMut::new();
        write(Instant::ZERO, 7, None, None, NAME, false, &mut bytes);
        assert!(super::super::rtcp::is_valid(&bytes));
        assert_eq!(read(&bytes, 9), Heard::default());
    }
}
