//! Whole clips into packets, off the hot path, by the `rtp` crate: for tests, load generators and captures.

use crate::{Codec, codec};
use ::rtp::codecs::g7xx::G7xxPayloader;
use ::rtp::header::Header;
use ::rtp::packet::Packet;
use ::rtp::packetizer::Payloader;
use bytes::Bytes;
use webrtc_util::marshal::Marshal;

/// Where a clip's packets begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// Payload type of every packet.
    pub payload_type: u8,
    /// The source.
    pub ssrc: u32,
    /// Sequence number of the first packet.
    pub sequence: u16,
    /// Timestamp of the first packet.
    pub timestamp: u32,
}

/// Encodes `samples` (8,000 Hz) and cuts them into packets of `packet_samples` (160 is 20 ms; 1..=1,460, clamped),
/// the first one marked; the last one may be shorter.
#[must_use]
pub fn packetise(samples: &[i16], into: Codec, start: Start, packet_samples: usize) -> Vec<Bytes> {
    let mut payload = vec![0; samples.len()];
    codec::encode(into, samples, &mut payload);
    let payloads = G7xxPayloader.payload(packet_samples.clamp(1, 1460), &Bytes::from(payload));
    let mut timestamp = start.timestamp;
    let mut packets = Vec::new();
    for (index, payload) in payloads.unwrap_or_default().into_iter().enumerate() {
        let samples = payload.len() as u32;
        let header = Header {
            version: 2,
            marker: index == 0,
            payload_type: start.payload_type,
            sequence_number: start.sequence.wrapping_add(index as u16),
            timestamp,
            ssrc: start.ssrc,
            ..Header::default()
        };
        timestamp = timestamp.wrapping_add(samples);
        packets.extend(Packet { header, payload }.marshal());
    }
    packets
}
