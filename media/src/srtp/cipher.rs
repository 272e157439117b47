//! Session keys from a master key, and one packet at a time under them.

use super::{MasterKey, Refusal, Suite};
use aes::{Aes128, Aes256};
use aes_gcm::{AeadInOut, Aes128Gcm, Aes256Gcm};
use ctr::cipher::{InnerIvInit, KeyInit, KeyIvInit, StreamCipher, StreamCipherCoreWrapper};
use ctr::flavors::Ctr128BE as Ctr128;
use ctr::{Ctr128BE, CtrCore};
use hmac_sha1::{Hmac, Mac};
use sha1::Sha1;
use std::fmt;

/// Bytes of an authentication tag in full.
const TAG_BYTES_MAX: usize = 20;

/// The keys of one direction of one session: sound and reports have their own.
pub(super) struct Cipher {
    suite: Suite,
    rtp: Half,
    rtcp: Half,
}

struct Half {
    salt: [u8; 14],
    kind: Kind,
}

#[allow(clippy::large_enum_variant, reason = "one per stream and direction, in a box there")]
enum Kind {
    Counter { aes: Aes128, mac: Hmac<Sha1> },
    Galois(Gcm),
}

enum Gcm {
    Aes128(Box<Aes128Gcm>),
    Aes256(Box<Aes256Gcm>),
}

/// An authentication tag.
pub(super) struct Tag {
    bytes: [u8; TAG_BYTES_MAX],
    length: usize,
}

impl Tag {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn new(from: &[u8], length: usize) -> Self {
        let mut bytes = [0; TAG_BYTES_MAX];
        bytes[..length].copy_from_slice(&from[..length]);
        Tag { bytes, length }
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cipher({}, ***)", self.suite.name())
    }
}

impl Cipher {
    pub(super) fn new(key: &MasterKey) -> Self {
        let suite = key.suite();
        // RFC 3711 §4.3.2: the labels of encryption, authentication and salt, for sound and for reports.
        Cipher { suite, rtp: Half::new(key, 0), rtcp: Half::new(key, 3) }
    }

    pub(super) fn rtp_tag_bytes(&self) -> usize {
        match self.suite {
            Suite::AesCm128Sha1_80 => 10,
            Suite::AesCm128Sha1_32 => 4,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 16,
        }
    }

    pub(super) fn rtcp_tag_bytes(&self) -> usize {
        match self.suite {
            Suite::AesCm128Sha1_80 | Suite::AesCm128Sha1_32 => 10,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 16,
        }
    }

    /// RFC 7714 §9: the index of a report stands behind the tag, and not before it as in RFC 3711 §3.4.
    pub(super) fn tag_is_before_index(&self) -> bool {
        matches!(self.suite, Suite::AeadAes128Gcm | Suite::AeadAes256Gcm)
    }

    pub(super) fn protect_rtp(&self, packet: &mut [u8], clear: usize, ssrc: u32, index: u64) -> Tag {
        let cycles = ((index >> 16) as u32).to_be_bytes();
        match &self.rtp.kind {
            Kind::Counter { aes, mac } => {
                counter(aes, &self.rtp.salt, ssrc, index, &mut packet[clear..]);
                Tag::new(&authenticate(mac, packet, &cycles), self.rtp_tag_bytes())
            }
            Kind::Galois(gcm) => {
                let (head, body) = packet.split_at_mut(clear);
                seal(gcm, &self.rtp.nonce(ssrc, index), head, body)
            }
        }
    }

    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        clear: usize,
        tag: &[u8],
        ssrc: u32,
        index: u64,
    ) -> Result<(), Refusal> {
        let cycles = ((index >> 16) as u32).to_be_bytes();
        match &self.rtp.kind {
            Kind::Counter { aes, mac } => {
                check(mac, packet, &cycles, tag)?;
                counter(aes, &self.rtp.salt, ssrc, index, &mut packet[clear..]);
                Ok(())
            }
            Kind::Galois(gcm) => {
                let (head, body) = packet.split_at_mut(clear);
                unseal(gcm, &self.rtp.nonce(ssrc, index), head, body, tag)
            }
        }
    }

    /// `word` is the index behind the flag of encryption, which is set.
    pub(super) fn protect_rtcp(&self, packet: &mut [u8], clear: usize, ssrc: u32, word: [u8; 4]) -> Tag {
        let index = u64::from(u32::from_be_bytes(word) & !super::ENCRYPTED);
        match &self.rtcp.kind {
            Kind::Counter { aes, mac } => {
                counter(aes, &self.rtcp.salt, ssrc, index, &mut packet[clear..]);
                Tag::new(&authenticate(mac, packet, &word), self.rtcp_tag_bytes())
            }
            Kind::Galois(gcm) => {
                let (head, body) = packet.split_at_mut(clear);
                seal(gcm, &self.rtcp.nonce(ssrc, index), &report_head(head, word), body)
            }
        }
    }

    pub(super) fn open_rtcp(
        &self,
        packet: &mut [u8],
        clear: usize,
        tag: &[u8],
        ssrc: u32,
        word: [u8; 4],
        encrypted: bool,
    ) -> Result<(), Refusal> {
        let index = u64::from(u32::from_be_bytes(word) & !super::ENCRYPTED);
        match &self.rtcp.kind {
            Kind::Counter { aes, mac } => {
                check(mac, packet, &word, tag)?;
                if encrypted {
                    counter(aes, &self.rtcp.salt, ssrc, index, &mut packet[clear..]);
                }
                Ok(())
            }
            Kind::Galois(gcm) if encrypted => {
                let (head, body) = packet.split_at_mut(clear);
                unseal(gcm, &self.rtcp.nonce(ssrc, index), &report_head(head, word), body, tag)
            }
            // RFC 7714 §9.3 knows reports that are authenticated only; nobody agreed on them with us (RFC 4568
            // §6.3.2).
            Kind::Galois(_) => Err(Refusal::Forged),
        }
    }
}

impl Half {
    /// `label` is that of encryption; those of authentication and salt follow it.
    fn new(master: &MasterKey, label: u8) -> Self {
        let mut key = [0; 32];
        derive(master, label, &mut key);
        let short: [u8; 16] = *key.first_chunk().expect("32 bytes hold 16");
        let mut salt = [0; 14];
        derive(master, label + 2, &mut salt[..master.suite().salt_bytes()]);
        let kind = match master.suite() {
            Suite::AesCm128Sha1_80 | Suite::AesCm128Sha1_32 => {
                let mut authentication = [0; 20];
                derive(master, label + 1, &mut authentication);
                let mac = Hmac::<Sha1>::new_from_slice(&authentication).expect("HMAC takes any key");
                Kind::Counter { aes: Aes128::new(&short.into()), mac }
            }
            Suite::AeadAes128Gcm => Kind::Galois(Gcm::Aes128(Box::new(Aes128Gcm::new(&short.into())))),
            Suite::AeadAes256Gcm => Kind::Galois(Gcm::Aes256(Box::new(Aes256Gcm::new(&key.into())))),
        };
        Half { salt, kind }
    }

    /// RFC 7714 §8.1 and §9.1: SSRC and index (48 bits, or 31 with zeros before), exclusive or the salt.
    fn nonce(&self, ssrc: u32, index: u64) -> [u8; 12] {
        let mut nonce: [u8; 12] = *self.salt.first_chunk().expect("14 bytes hold 12");
        mix(&mut nonce[2..6], &ssrc.to_be_bytes());
        mix(&mut nonce[6..12], &index.to_be_bytes()[2..]);
        nonce
    }
}

/// RFC 3711 §4.3.1 and §4.3.3, the derivation rate being zero.
pub(super) fn derive(master: &MasterKey, label: u8, into: &mut [u8]) {
    let mut block = [0; 16];
    block[..14].copy_from_slice(master.salt());
    block[7] ^= label;
    let block = block.into();
    // RFC 7714 §11: keys of 256 bits are derived by AES with keys of 256 bits.
    if let Ok(key) = <&[u8; 16]>::try_from(master.key()) {
        Ctr128BE::<Aes128>::new(key.into(), &block).apply_keystream(into);
    } else if let Ok(key) = <&[u8; 32]>::try_from(master.key()) {
        Ctr128BE::<Aes256>::new(key.into(), &block).apply_keystream(into);
    }
}

/// RFC 3711 §4.1.1.
fn counter(aes: &Aes128, salt: &[u8; 14], ssrc: u32, index: u64, text: &mut [u8]) {
    let mut block = [0; 16];
    block[..14].copy_from_slice(salt);
    mix(&mut block[4..8], &ssrc.to_be_bytes());
    mix(&mut block[8..14], &index.to_be_bytes()[2..]);
    let core = CtrCore::<&Aes128, Ctr128>::inner_iv_init(aes, &block.into());
    StreamCipherCoreWrapper::from_core(core).apply_keystream(text);
}

fn authenticate(mac: &Hmac<Sha1>, packet: &[u8], behind: &[u8]) -> [u8; TAG_BYTES_MAX] {
    mac.clone().chain_update(packet).chain_update(behind).finalize().into_bytes().into()
}

fn check(mac: &Hmac<Sha1>, packet: &[u8], behind: &[u8], tag: &[u8]) -> Result<(), Refusal> {
    let mac = mac.clone().chain_update(packet).chain_update(behind);
    mac.verify_truncated_left(tag).map_err(|_| Refusal::Forged)
}

fn seal(gcm: &Gcm, nonce: &[u8; 12], head: &[u8], body: &mut [u8]) -> Tag {
    let tag = match gcm {
        Gcm::Aes128(gcm) => gcm.encrypt_inout_detached(nonce.into(), head, body.into()),
        Gcm::Aes256(gcm) => gcm.encrypt_inout_detached(nonce.into(), head, body.into()),
    };
    Tag::new(&tag.expect("a packet is far shorter than what one nonce can seal"), 16)
}

fn unseal(gcm: &Gcm, nonce: &[u8; 12], head: &[u8], body: &mut [u8], tag: &[u8]) -> Result<(), Refusal> {
    let tag: &[u8; 16] = tag.try_into().map_err(|_| Refusal::Malformed)?;
    match gcm {
        Gcm::Aes128(gcm) => gcm.decrypt_inout_detached(nonce.into(), head, body.into(), tag.into()),
        Gcm::Aes256(gcm) => gcm.decrypt_inout_detached(nonce.into(), head, body.into(), tag.into()),
    }
    .map_err(|_| Refusal::Forged)
}

/// RFC 7714 §9.2: what is authenticated beside a report's text.
fn report_head(head: &[u8], word: [u8; 4]) -> [u8; 12] {
    let mut all = [0; 12];
    all[..8].copy_from_slice(&head[..8]);
    all[8..].copy_from_slice(&word);
    all
}

fn mix(into: &mut [u8], with: &[u8]) {
    into.iter_mut().zip(with).for_each(|(byte, with)| *byte ^= with);
}
