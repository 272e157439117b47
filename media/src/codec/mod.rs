//! Codecs: G.711 both laws, by our own tables.

pub mod g711;

use crate::Codec;

/// The decoding table of a codec: byte to linear.
#[must_use]
pub fn table(codec: Codec) -> &'static [i16; 256] {
    match codec {
        Codec::Pcmu => &g711::ULAW_TO_LINEAR,
        Codec::Pcma => &g711::ALAW_TO_LINEAR,
    }
}

/// Decodes `payload` into `samples`; both have the same length or the shorter one counts.
pub fn decode(codec: Codec, payload: &[u8], samples: &mut [i16]) {
    let table = table(codec);
    for (sample, &byte) in samples.iter_mut().zip(payload) {
        *sample = table[usize::from(byte)];
    }
}

/// Encodes `samples` into `payload`; both have the same length or the shorter one counts.
pub fn encode(codec: Codec, samples: &[i16], payload: &mut [u8]) {
    match codec {
        Codec::Pcmu => {
            for (byte, &sample) in payload.iter_mut().zip(samples) {
                *byte = g711::linear_to_ulaw(sample);
            }
        }
        Codec::Pcma => {
            for (byte, &sample) in payload.iter_mut().zip(samples) {
                *byte = g711::linear_to_alaw(sample);
            }
        }
    }
}

/// Changes G.711 bytes from one law to the other in place.
pub fn transcode(from: Codec, to: Codec, payload: &mut [u8]) {
    let table = match (from, to) {
        (Codec::Pcmu, Codec::Pcma) => &g711::ULAW_TO_ALAW,
        (Codec::Pcma, Codec::Pcmu) => &g711::ALAW_TO_ULAW,
        (Codec::Pcmu, Codec::Pcmu) | (Codec::Pcma, Codec::Pcma) => return,
    };
    for byte in payload {
        *byte = table[usize::from(*byte)];
    }
}

/// The byte of silence.
#[must_use]
pub const fn silence(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0xFF,
        Codec::Pcma => 0xD5,
    }
}
