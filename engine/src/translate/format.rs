//! What sound may be coded in, as descriptions name it.

use media::{Codec, Coded};
use sip_proxy::wire::sdp::{Media, SdpWriter};

/// A codec that a leg may agree on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    G711(Codec),
    Coded(Coded),
}

/// What we offer when nothing else is wished: what needs no translation first.
pub(crate) const CODECS: [Format; 4] = [
    Format::G711(Codec::Pcmu),
    Format::G711(Codec::Pcma),
    Format::Coded(Coded::G722),
    Format::Coded(Coded::Opus),
];
/// The same with what we only relay.
pub(crate) const ALL: [Format; 5] = [CODECS[0], CODECS[1], CODECS[2], CODECS[3], Format::Coded(Coded::G729)];
/// The static payload type of comfort noise (RFC 3389 §4).
pub(crate) const COMFORT_NOISE: u8 = 13;

/// What is wished of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Wish {
    /// What the other side of the call speaks.
    pub(crate) codec: Option<Format>,
    /// The other side takes comfort noise.
    pub(crate) comfort_noise: bool,
}

impl Format {
    pub(crate) const fn of(codec: Codec, coded: Option<Coded>) -> Self {
        match coded {
            None => Format::G711(codec),
            Some(coded) => Format::Coded(coded),
        }
    }

    /// The payload type of our own offers.
    pub(crate) const fn payload_type(self) -> u8 {
        match self {
            Format::G711(codec) => codec.payload_type(),
            Format::Coded(coded) => coded.payload_type(),
        }
    }

    /// We can translate it.
    pub(crate) const fn is_readable(self) -> bool {
        match self {
            Format::G711(_) => true,
            Format::Coded(coded) => coded.is_readable(),
        }
    }

    /// What the media plane has it as inside.
    pub(crate) const fn inside(self) -> Codec {
        match self {
            Format::G711(codec) => codec,
            Format::Coded(_) => Codec::Pcmu,
        }
    }

    pub(crate) const fn coded(self) -> Option<Coded> {
        match self {
            Format::G711(_) => None,
            Format::Coded(coded) => Some(coded),
        }
    }

    /// Its name in `a=rtpmap` and in records.
    pub(crate) const fn encoding(self) -> &'static str {
        match self {
            Format::G711(Codec::Pcmu) => "PCMU",
            Format::G711(Codec::Pcma) => "PCMA",
            Format::Coded(Coded::G722) => "G722",
            Format::Coded(Coded::Opus) => "opus",
            Format::Coded(Coded::G729) => "G729",
        }
    }

    /// Clock rate and channels: Opus has 48,000 and two, whatever is in it (RFC 7587 §7).
    const fn clock(self) -> (u32, u8) {
        match self {
            Format::Coded(Coded::Opus) => (48_000, 2),
            Format::G711(_) | Format::Coded(Coded::G722 | Coded::G729) => (8_000, 1),
        }
    }

    /// What a description says of it.
    pub(crate) fn lines(self, writer: &mut SdpWriter<'_>, payload_type: u8) {
        match self {
            // The writer knows of one channel.
            Format::Coded(Coded::Opus) => {
                writer.attribute("rtpmap", Some(&format!("{payload_type} opus/48000/2")));
                writer.fmtp(payload_type, "useinbandfec=1");
            }
            // Silence within the codec (annex B) not every far end knows.
            Format::Coded(Coded::G729) => {
                writer.rtpmap(payload_type, self.encoding(), 8000).fmtp(payload_type, "annexb=no");
            }
            Format::G711(_) | Format::Coded(Coded::G722) => {
                writer.rtpmap(payload_type, self.encoding(), 8000);
            }
        }
    }
}

/// Payload types of what we know, in the description's order.
pub(crate) fn named<'m>(audio: &'m Media<'_>) -> impl Iterator<Item = (u8, Format)> + 'm {
    audio.payload_types().filter_map(|payload_type| {
        let map = audio.rtpmap(payload_type)?;
        let codec = ALL.into_iter().find(|codec| {
            map.encoding.eq_ignore_ascii_case(codec.encoding().as_bytes())
                && codec.clock() == (map.clock_rate, map.channels)
        })?;
        Some((payload_type, codec))
    })
}

/// What we offer a leg that is to be joined to one which speaks this.
pub(crate) fn led_by(first: Option<Format>) -> Vec<Format> {
    let first = first.filter(|codec| codec.is_readable());
    first.into_iter().chain(CODECS.into_iter().filter(|codec| Some(*codec) != first)).collect()
}

/// What an offer is answered with: what is wished, else its first of G.711, else its first that can be translated.
pub(crate) fn choose(audio: &Media<'_>, wished: Option<Format>) -> Option<(u8, Format)> {
    let first = |fits: &dyn Fn(Format) -> bool| named(audio).find(|(_, codec)| fits(*codec));
    first(&|codec| Some(codec) == wished)
        .or_else(|| first(&|codec| codec.coded().is_none()))
        .or_else(|| first(&Format::is_readable))
}

/// Comfort noise is among what a description names.
pub(crate) fn has_noise(audio: &Media<'_>) -> bool {
    audio.payload_types().any(|payload_type| payload_type == COMFORT_NOISE)
}
