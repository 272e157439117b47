//! SRTP and SRTCP (RFC 3711, RFC 7714): the transform, and what keeps it safe. Keys come from outside.
//!
//! The ciphers are RustCrypto's; what is here is which bytes they are given. Memory is bounded: a far end has at most
//! [`SOURCES_MAX`] sources under one key, and one that has not shown the key is not remembered at all.

mod cipher;
mod keys;
mod window;

pub use keys::{KeySource, MasterKey, Secret, SrtpKeys, Suite};

use crate::rtp::Header;
use bytes::BytesMut;
use cipher::Cipher;
use window::Window;

/// Sources (SSRCs) of one far end under one key. None is forgotten while the key lasts: what it sent could come again.
pub const SOURCES_MAX: usize = 32;

/// Bytes that protecting adds to a packet at most: a tag of 16 and the index of a report.
pub const OVERHEAD_BYTES_MAX: usize = 20;

/// Bytes of a report's header that are not encrypted.
const RTCP_CLEAR_BYTES: usize = 8;
/// The bit that says that a report is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// Why a packet was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Too short, or no RTP.
    Malformed,
    /// It came before, or is so old that nobody can tell.
    Replayed,
    /// Not made with the key agreed on, or changed on its way.
    Forged,
    /// Limit: more than [`SOURCES_MAX`] sources, or the key has been used up.
    Exhausted,
}

/// Both directions between us and one far end.
#[derive(Debug)]
pub(crate) struct Secure {
    pub(crate) outbound: Outbound,
    pub(crate) inbound: Inbound,
}

impl Secure {
    pub(crate) fn new(keys: &SrtpKeys) -> Self {
        Secure { outbound: Outbound::new(keys.outbound), inbound: Inbound::new(keys.inbound) }
    }

    /// Goes on with these keys. A direction whose key stays goes on where it was: its numbers must neither come twice
    /// nor be taken twice.
    pub(crate) fn rekey(&mut self, keys: &SrtpKeys) {
        if self.outbound.key != keys.outbound {
            self.outbound = Outbound::new(keys.outbound);
        }
        if self.inbound.key != keys.inbound {
            self.inbound = Inbound::new(keys.inbound);
        }
    }
}

/// What one side protects with one key, in its order.
#[derive(Debug)]
pub struct Outbound {
    key: MasterKey,
    cipher: Cipher,
    rtp: Source,
    rtcp_index: u32,
}

/// What one side takes that the other has protected with one key.
#[derive(Debug)]
pub struct Inbound {
    key: MasterKey,
    cipher: Cipher,
    rtp: Vec<Source>,
    rtcp: Vec<(u32, Window)>,
}

/// One SSRC: how often its sequence numbers have gone round, and which were seen.
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    window: Window,
}

impl Source {
    const fn new(ssrc: u32) -> Self {
        Source { ssrc, window: Window::new() }
    }

    /// The 48 bits that a sequence number most likely is the end of (RFC 3711 §3.3.1).
    fn index_of(&self, sequence: u16) -> Option<u64> {
        let Some(highest) = self.window.highest() else { return Some(u64::from(sequence)) };
        let (cycles, last) = (highest >> 16, highest as u16);
        let cycles = if last < 0x8000 {
            if i32::from(sequence) - i32::from(last) > 0x8000 { cycles.checked_sub(1)? } else { cycles }
        } else if i32::from(last) - 0x8000 > i32::from(sequence) {
            cycles + 1
        } else {
            cycles
        };
        Some(cycles << 16 | u64::from(sequence))
    }
}

impl Outbound {
    /// Begins with the key's first packet.
    #[must_use]
    pub fn new(key: MasterKey) -> Self {
        Outbound { key, cipher: Cipher::new(&key), rtp: Source::new(0), rtcp_index: 0 }
    }

    /// Protects the RTP packet from `start` to the end of the buffer, which grows. One number is never used twice, since
    /// two sounds under one keystream give each other away: the second is refused.
    ///
    /// # Errors
    /// [`Refusal`]; nothing was changed.
    pub fn protect(&mut self, buffer: &mut BytesMut, start: usize) -> Result<(), Refusal> {
        let packet = buffer.get_mut(start..).ok_or(Refusal::Malformed)?;
        let header = Header::read(packet).ok_or(Refusal::Malformed)?;
        if self.rtp.window.highest().is_none() || self.rtp.ssrc != header.ssrc {
            if self.rtp.window.highest().is_some() {
                return Err(Refusal::Exhausted);
            }
            self.rtp.ssrc = header.ssrc;
        }
        let index = self.rtp.index_of(header.sequence).ok_or(Refusal::Replayed)?;
        if index >> 48 != 0 {
            return Err(Refusal::Exhausted);
        }
        if !self.rtp.window.is_new(index) {
            return Err(Refusal::Replayed);
        }
        let tag = self.cipher.protect_rtp(packet, header.payload().start, header.ssrc, index);
        self.rtp.window.note(index);
        buffer.extend_from_slice(tag.bytes());
        Ok(())
    }

    /// The same for a compound of reports.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn protect_rtcp(&mut self, buffer: &mut BytesMut, start: usize) -> Result<(), Refusal> {
        let packet = buffer.get_mut(start..).ok_or(Refusal::Malformed)?;
        let ssrc = rtcp_ssrc(packet).ok_or(Refusal::Malformed)?;
        let index = self.rtcp_index.checked_add(1).filter(|index| index & ENCRYPTED == 0);
        let index = index.ok_or(Refusal::Exhausted)?;
        self.rtcp_index = index;
        let word = (index | ENCRYPTED).to_be_bytes();
        let tag = self.cipher.protect_rtcp(packet, RTCP_CLEAR_BYTES, ssrc, word);
        let (first, second) = if self.cipher.tag_is_before_index() {
            (tag.bytes(), &word[..])
        } else {
            (&word[..], tag.bytes())
        };
        buffer.extend_from_slice(first);
        buffer.extend_from_slice(second);
        Ok(())
    }
}

impl Inbound {
    /// Begins with the key's first packet.
    #[must_use]
    pub fn new(key: MasterKey) -> Self {
        Inbound { key, cipher: Cipher::new(&key), rtp: Vec::new(), rtcp: Vec::new() }
    }

    /// Opens an RTP packet in place: what is left of it is plain. Refused, it may have been changed.
    ///
    /// # Errors
    /// [`Refusal`]: nothing of it is to be believed.
    pub fn open<'p>(&mut self, packet: &'p mut [u8]) -> Result<&'p mut [u8], Refusal> {
        let (clear, ssrc, sequence) = clear_part(packet).ok_or(Refusal::Malformed)?;
        let length = packet.len().checked_sub(self.cipher.rtp_tag_bytes()).ok_or(Refusal::Malformed)?;
        if clear > length {
            return Err(Refusal::Malformed);
        }
        let known = self.rtp.iter().position(|source| source.ssrc == ssrc);
        let mut source = match known {
            Some(at) => self.rtp[at],
            None if self.rtp.len() >= SOURCES_MAX => return Err(Refusal::Exhausted),
            None => Source::new(ssrc),
        };
        let index = source.index_of(sequence).ok_or(Refusal::Replayed)?;
        if !source.window.is_new(index) {
            return Err(Refusal::Replayed);
        }
        let (body, tag) = packet.split_at_mut(length);
        self.cipher.open_rtp(body, clear, tag, ssrc, index)?;
        source.window.note(index);
        match known {
            Some(at) => self.rtp[at] = source,
            None => self.rtp.push(source),
        }
        Ok(body)
    }

    /// The same for a compound of reports.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn open_rtcp<'p>(&mut self, packet: &'p mut [u8]) -> Result<&'p mut [u8], Refusal> {
        let ssrc = rtcp_ssrc(packet).ok_or(Refusal::Malformed)?;
        let tag_bytes = self.cipher.rtcp_tag_bytes();
        let length = packet.len().checked_sub(tag_bytes + 4).ok_or(Refusal::Malformed)?;
        if length < RTCP_CLEAR_BYTES {
            return Err(Refusal::Malformed);
        }
        let (body, rest) = packet.split_at_mut(length);
        let (tag, word) = if self.cipher.tag_is_before_index() {
            let (tag, word) = rest.split_at(tag_bytes);
            (tag, word)
        } else {
            let (word, tag) = rest.split_at(4);
            (tag, word)
        };
        let word: [u8; 4] = word.try_into().map_err(|_| Refusal::Malformed)?;
        let index = u32::from_be_bytes(word) & !ENCRYPTED;
        let known = self.rtcp.iter().position(|(known, _)| *known == ssrc);
        let mut window = match known {
            Some(at) => self.rtcp[at].1,
            None if self.rtcp.len() >= SOURCES_MAX => return Err(Refusal::Exhausted),
            None => Window::new(),
        };
        if !window.is_new(u64::from(index)) {
            return Err(Refusal::Replayed);
        }
        let encrypted = u32::from_be_bytes(word) & ENCRYPTED != 0;
        self.cipher.open_rtcp(body, RTCP_CLEAR_BYTES, tag, ssrc, word, encrypted)?;
        window.note(u64::from(index));
        match known {
            Some(at) => self.rtcp[at].1 = window,
            None => self.rtcp.push((ssrc, window)),
        }
        Ok(body)
    }
}

/// Where the part of an RTP packet that is encrypted begins, its SSRC and its sequence number. Padding is encrypted, so
/// what it says cannot be checked yet.
fn clear_part(packet: &[u8]) -> Option<(usize, u32, u16)> {
    let fixed: &[u8; 12] = packet.first_chunk()?;
    if fixed[0] >> 6 != 2 {
        return None;
    }
    let mut end = 12 + 4 * usize::from(fixed[0] & 0x0F);
    if fixed[0] & 0x10 != 0 {
        let extension = packet.get(end..end + 4)?;
        end += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
    }
    let ssrc = u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]);
    (end <= packet.len()).then_some((end, ssrc, u16::from_be_bytes([fixed[2], fixed[3]])))
}

fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    let head: &[u8; RTCP_CLEAR_BYTES] = packet.first_chunk()?;
    (head[0] >> 6 == 2).then(|| u32::from_be_bytes([head[4], head[5], head[6], head[7]]))
}

#[cfg(test)]
mod tests;
