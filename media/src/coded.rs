//! Sound that is coded otherwise than by G.711.
//!
//! Between two far ends that agreed on the same coding it is relayed as it is, and nobody looks at it but those who
//! listen. Else it is decoded, put in order ([`crate::jitter`]), and coded anew frame by frame, as a mix of one voice is.
//! Inside, sound has 8,000 samples a second: of G.722 the lower band is read (ITU-T G.722, 0 to 4 kHz), Opus
//! is read and written at that rate by its own library (RFC 6716 §2). Between two far ends that both know more, G.722 and
//! Opus, it has 16,000 on the way, so that neither sounds like a telephone to the other; who else listens hears half of
//! them. Opus may say a little of each frame twice
//! (§2.1.7): the frame before a packet that is missing is read from the packet that came.

use crate::codec::g711;
use crate::dsp::double::Doubler;
use crate::dsp::halve::Halver;
use crate::player::FRAME_SAMPLES;
use crate::rtp::{self, HEADER_BYTES, Header};
use audio_codec::g722::{Bitrate, G722Decoder, G722Encoder};
use audio_codec::{Decoder as _, Encoder as _};
use core::fmt;

/// A coding that is not G.711.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Coded {
    /// ITU-T G.722 at 64 kbit/s; its RTP clock runs at 8,000 Hz (RFC 3551 §4.5.2), one byte a tick.
    G722,
    /// Opus (RFC 7587); its RTP clock runs at 48,000 Hz.
    Opus,
    /// ITU-T G.729: relayed as it is, never read or written.
    G729,
}

impl Coded {
    /// The static payload type of RFC 3551 table 4, or the one that we offer.
    #[must_use]
    pub const fn payload_type(self) -> u8 {
        match self {
            Coded::G722 => 9,
            Coded::Opus => 111,
            Coded::G729 => 18,
        }
    }

    /// Sound of this coding can be turned into another.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        match self {
            Coded::G722 | Coded::Opus => true,
            Coded::G729 => false,
        }
    }

    /// It carries more than 4 kHz, and we read and write that.
    pub(crate) const fn is_wide(self) -> bool {
        self.is_readable()
    }

    /// Ticks of its RTP clock in one of our samples.
    pub(crate) const fn ticks(self) -> u32 {
        match self {
            Coded::G722 | Coded::G729 => 1,
            Coded::Opus => 6,
        }
    }
}

/// The longest packet that is read: 120 ms (RFC 6716 §2 knows no longer one).
const SAMPLES_MAX: usize = 960;
/// A packet of ours: Opus at [`OPUS_BITS`] needs far less.
pub(crate) const FRAME_BYTES_MAX: usize = 400;
/// Bits a second of Opus that we write: narrow-band speech is transparent from about 12,000 on, …
const OPUS_BITS: i32 = 20_000;
/// … wide-band speech from about 20,000 on (RFC 6716 §2.1.1).
const OPUS_BITS_WIDE: i32 = 28_000;
/// When more packets than this are missing nobody speaks on from where he was.
const MISSING_MAX: u16 = 5;
/// What the far end is assumed to lose, so that the encoder says a little of each frame twice, per cent.
const OPUS_LOSS_PERCENT: u8 = 5;

/// Room for a packet as it is inside.
pub(crate) type Inner = [u8; HEADER_BYTES + SAMPLES_MAX];

/// One stream's decoder and encoder; each is made when it is first needed.
pub(crate) struct Transcoder {
    coded: Coded,
    decoder: Option<Decoder>,
    encoder: Option<Encoder>,
    newest: Option<Newest>,
    /// What is read has 16,000 samples a second, too.
    wide: Option<Box<Wide>>,
}

/// The newest sound read, of 16,000 samples a second, and what makes it half as many.
struct Wide {
    halver: Halver,
    sound: [i16; 2 * SAMPLES_MAX],
    count: usize,
    timestamp: u32,
}

/// Of the newest packet.
#[derive(Clone, Copy)]
struct Newest {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// What that is inside.
    inside: u32,
}

enum Decoder {
    G722(Box<G722Decoder>),
    Opus(opus::Decoder),
}

enum Encoder {
    /// Of 16,000 samples a second.
    G722(Box<G722Encoder>, Doubler),
    /// Of 8,000.
    Opus(opus::Encoder),
    /// Of 16,000.
    OpusWide(opus::Encoder, Doubler),
}

impl fmt::Debug for Transcoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcoder").field("coded", &self.coded).finish_non_exhaustive()
    }
}

impl Transcoder {
    pub(crate) fn new(coded: Coded) -> Self {
        Transcoder { coded, decoder: None, encoder: None, newest: None, wide: None }
    }

    pub(crate) fn coded(&self) -> Coded {
        self.coded
    }

    /// Reads 16,000 samples a second from now on, or no longer. A decoder begins anew for that.
    pub(crate) fn widen(&mut self, wide: bool) {
        if wide == self.wide.is_some() || !self.coded.is_wide() {
            return;
        }
        self.decoder = None;
        self.wide = wide.then(|| {
            let sound = [0; 2 * SAMPLES_MAX];
            Box::new(Wide { halver: Halver::default(), sound, count: 0, timestamp: 0 })
        });
    }

    /// Timestamp and samples of what was read or recovered last, both at 16,000 a second; `None`: not asked for.
    pub(crate) fn wide_sound(&self) -> Option<(u32, &[i16])> {
        self.wide.as_ref().map(|wide| (wide.timestamp, &wide.sound[..wide.count]))
    }

    /// Writes the packet as one of µ-law with the same SSRC and sequence; gives its length. `None`: it cannot be read.
    pub(crate) fn read(&mut self, header: &Header, payload: &[u8], inner: &mut Inner) -> Option<usize> {
        let mut samples = [0_i16; SAMPLES_MAX];
        if self.decoder.is_none() {
            self.decoder = Decoder::new(self.coded, self.wide.is_some());
        }
        let count = self.decode(&mut samples, |decoder, samples| decoder.read(payload, samples))?;
        let newest = self.inside(header);
        self.note(newest);
        let place = (header.sequence, newest.inside, header.ssrc);
        self.note_wide(newest.inside);
        Some(write_inner(header.marker, place, &samples[..count], inner))
    }

    /// The packet before this one is missing: writes what this one says of it, as [`Transcoder::read`] would have written
    /// it; call it first. `None`: none is missing, or this coding says everything once.
    ///
    /// Where this packet says nothing of the one before, Opus makes up for it from what it heard last (RFC 6716 §4.4).
    pub(crate) fn recover(&mut self, header: &Header, payload: &[u8], inner: &mut Inner) -> Option<usize> {
        let newest = self.newest.filter(|newest| newest.ssrc == header.ssrc)?;
        let ahead = header.sequence.wrapping_sub(newest.sequence);
        if !(2..=MISSING_MAX + 1).contains(&ahead) {
            return None;
        }
        let mut samples = [0_i16; SAMPLES_MAX];
        let count = self.decode(&mut samples, |decoder, samples| decoder.recover(payload, samples))?;
        let timestamp = self.inside(header).inside.wrapping_sub(count as u32);
        // A pause of the sender's takes no numbers and leaves no room for what is missing.
        if (timestamp.wrapping_sub(newest.inside) as i32) < count as i32 {
            return None;
        }
        let place = (header.sequence.wrapping_sub(1), timestamp, header.ssrc);
        self.note_wide(timestamp);
        Some(write_inner(false, place, &samples[..count], inner))
    }

    /// Lets the decoder write; gives how many of 8,000 samples a second came of it.
    fn decode(
        &mut self,
        samples: &mut [i16; SAMPLES_MAX],
        by: impl FnOnce(&mut Decoder, &mut [i16]) -> Option<usize>,
    ) -> Option<usize> {
        let decoder = self.decoder.as_mut()?;
        let Some(wide) = &mut self.wide else { return by(decoder, samples) };
        wide.count = by(decoder, &mut wide.sound)?;
        Some(wide.halver.halve(&wide.sound[..wide.count], samples))
    }

    fn note_wide(&mut self, inside: u32) {
        if let Some(wide) = &mut self.wide {
            wide.timestamp = inside.wrapping_mul(2);
        }
    }

    /// Writes one frame of ours; gives its length. `None`: nothing can be written in this coding.
    ///
    /// * `wide` the same frame at 16,000 samples a second, where there is one
    pub(crate) fn write(
        &mut self,
        samples: &[i16; FRAME_SAMPLES],
        wide: Option<&[i16]>,
        payload: &mut [u8; FRAME_BYTES_MAX],
    ) -> Option<usize> {
        let narrow = matches!(self.encoder, Some(Encoder::Opus(_)));
        if self.encoder.is_none() || (narrow && wide.is_some()) {
            self.encoder = Encoder::new(self.coded, wide.is_some());
        }
        match (self.encoder.as_mut()?, wide) {
            (Encoder::G722(encoder, _), Some(wide)) => encoder.encode_into(wide, payload).ok(),
            (Encoder::G722(encoder, doubler), None) => {
                encoder.encode_into(&doubled(doubler, samples), payload).ok()
            }
            (Encoder::OpusWide(encoder, _), Some(wide)) => encoder.encode(wide, payload).ok(),
            (Encoder::OpusWide(encoder, doubler), None) => {
                encoder.encode(&doubled(doubler, samples), payload).ok()
            }
            (Encoder::Opus(encoder), _) => encoder.encode(samples, payload).ok(),
        }
    }

    fn note(&mut self, newest: Newest) {
        let is_older = |before: Newest| {
            before.ssrc == newest.ssrc && (newest.timestamp.wrapping_sub(before.timestamp) as i32) < 0
        };
        if !self.newest.is_some_and(is_older) {
            self.newest = Some(newest);
        }
    }

    /// Timestamps inside go on by samples; where the source leaps they do too.
    fn inside(&self, header: &Header) -> Newest {
        let Header { ssrc, sequence, .. } = *header;
        let ticks = self.coded.ticks() as i32;
        let (before, inside) = match self.newest {
            Some(newest) if newest.ssrc == ssrc => (newest.timestamp, newest.inside),
            _ => (header.timestamp, header.timestamp / self.coded.ticks()),
        };
        let step = header.timestamp.wrapping_sub(before) as i32 / ticks;
        // What the division leaves stays in the reference, so that it does not add up.
        let timestamp = before.wrapping_add((step * ticks) as u32);
        Newest { ssrc, sequence, timestamp, inside: inside.wrapping_add(step as u32) }
    }
}

fn doubled(doubler: &mut Doubler, samples: &[i16; FRAME_SAMPLES]) -> [i16; 2 * FRAME_SAMPLES] {
    let mut doubled = [0; 2 * FRAME_SAMPLES];
    doubler.double(samples, &mut doubled);
    doubled
}

fn write_inner(
    marker: bool,
    (sequence, timestamp, ssrc): (u16, u32, u32),
    samples: &[i16],
    inner: &mut Inner,
) -> usize {
    let payload_type = crate::Codec::Pcmu.payload_type();
    let header = rtp::header(marker, payload_type, sequence, timestamp, ssrc);
    inner[..HEADER_BYTES].copy_from_slice(&header);
    for (byte, sample) in inner[HEADER_BYTES..].iter_mut().zip(samples) {
        *byte = g711::linear_to_ulaw(*sample);
    }
    HEADER_BYTES + samples.len()
}

impl Decoder {
    fn new(coded: Coded, wide: bool) -> Option<Self> {
        match coded {
            Coded::G722 => {
                let decoder = G722Decoder::with_options(Bitrate::Mode1_64000, false, !wide);
                Some(Decoder::G722(Box::new(decoder)))
            }
            Coded::Opus => opus::Decoder::new(opus_hertz(wide), opus::Channels::Mono).ok().map(Decoder::Opus),
            Coded::G729 => None,
        }
    }

    fn read(&mut self, payload: &[u8], samples: &mut [i16]) -> Option<usize> {
        match self {
            Decoder::G722(decoder) => {
                let payload = &payload[..payload.len().min(SAMPLES_MAX)];
                decoder.decode_into(payload, samples).ok()
            }
            // Nothing at all would be taken for a loss, and made up for.
            Decoder::Opus(_) if payload.is_empty() => None,
            Decoder::Opus(decoder) => decoder.decode(payload, samples, false).ok(),
        }
    }

    /// What the payload says of the packet before it, or what may have been in it; as long as its own sound.
    fn recover(&mut self, payload: &[u8], samples: &mut [i16]) -> Option<usize> {
        match self {
            Decoder::G722(_) => None,
            Decoder::Opus(decoder) => {
                let count = decoder.get_nb_samples(payload).ok().filter(|_| !payload.is_empty())?;
                decoder.decode(payload, samples.get_mut(..count)?, true).ok()
            }
        }
    }
}

impl Encoder {
    fn new(coded: Coded, wide: bool) -> Option<Self> {
        match coded {
            Coded::G722 => {
                let encoder = G722Encoder::with_options(Bitrate::Mode1_64000, false, false);
                Some(Encoder::G722(Box::new(encoder), Doubler::default()))
            }
            Coded::Opus => {
                let (mono, voip) = (opus::Channels::Mono, opus::Application::Voip);
                let mut encoder = opus::Encoder::new(opus_hertz(wide), mono, voip).ok()?;
                let bits = if wide { OPUS_BITS_WIDE } else { OPUS_BITS };
                encoder.set_bitrate(opus::Bitrate::Bits(bits)).ok()?;
                encoder.set_inband_fec(true).ok()?;
                encoder.set_packet_loss_perc(i32::from(OPUS_LOSS_PERCENT)).ok()?;
                Some(if wide {
                    Encoder::OpusWide(encoder, Doubler::default())
                } else {
                    Encoder::Opus(encoder)
                })
            }
            Coded::G729 => None,
        }
    }
}

const fn opus_hertz(wide: bool) -> u32 {
    if wide { 16_000 } else { 8_000 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn frame(place: usize, hertz: f64) -> [i16; FRAME_SAMPLES] {
        core::array::from_fn(|i| {
            let at = (place * FRAME_SAMPLES + i) as f64 / 8000.0;
            ((at * hertz * TAU).sin() * 8_000.0) as i16
        })
    }

    /// Writes and reads a tone; what comes back has it, and little else.
    #[test]
    fn a_tone_survives_each_coding() {
        for coded in [Coded::G722, Coded::Opus] {
            let (mut writer, mut reader) = (Transcoder::new(coded), Transcoder::new(coded));
            let mut heard = Vec::new();
            for place in 0..50 {
                let mut payload = [0; FRAME_BYTES_MAX];
                let length = writer.write(&frame(place, 800.0), None, &mut payload).unwrap();
                let ticks = 160 * coded.ticks();
                let mut packet = rtp::header(false, 96, place as u16, place as u32 * ticks, 7).to_vec();
                packet.extend_from_slice(&payload[..length]);
                let header = Header::read(&packet).unwrap();
                let mut inner = [0; HEADER_BYTES + SAMPLES_MAX];
                let length = reader.read(&header, &packet[header.payload()], &mut inner).unwrap();
                let header = Header::read(&inner[..length]).unwrap();
                assert_eq!((header.timestamp, header.payload().len()), (160 * place as u32, 160));
                heard.extend(
                    inner[HEADER_BYTES..length].iter().map(|b| g711::ULAW_TO_LINEAR[usize::from(*b)]),
                );
            }
            let settled = &heard[4_000..];
            let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
            for (i, sample) in settled.iter().enumerate() {
                let (angle, sample) = (TAU * 800.0 * i as f64 / 8000.0, f64::from(*sample));
                re += sample * angle.cos();
                im += sample * angle.sin();
                power += sample * sample;
            }
            let tone = 2.0 * (re * re + im * im) / settled.len() as f64;
            let peak = 2.0 * (re * re + im * im).sqrt() / settled.len() as f64;
            assert!((5_000.0..11_000.0).contains(&peak), "{coded:?} {peak}");
            assert!(tone / power > 0.98, "{coded:?} {}", tone / power);
        }
    }

    #[test]
    fn a_lost_frame_of_opus_is_read_from_the_next() {
        let (mut writer, mut reader) = (Transcoder::new(Coded::Opus), Transcoder::new(Coded::Opus));
        let (mut told, mut recovered) = (0, 0);
        for place in 0..200_u32 {
            let mut payload = [0; FRAME_BYTES_MAX];
            // A tone that moves: nobody who heard the last frame could make the next one up.
            let length =
                writer.write(&frame(place as usize, 300.0 + f64::from(place)), None, &mut payload).unwrap();
            let bytes = rtp::header(false, 111, place as u16, place * 960, 7);
            let header = Header::read(&bytes).unwrap();
            let mut inner = [0; HEADER_BYTES + SAMPLES_MAX];
            let missing = place > 50 && place % 10 == 3;
            if missing {
                continue;
            }
            let before = reader.recover(&header, &payload[..length], &mut inner);
            assert_eq!(before.is_some(), place > 50 && place % 10 == 4, "{place}");
            if let Some(length) = before {
                let header = Header::read(&inner[..length]).unwrap();
                assert_eq!((header.sequence, header.timestamp), (place as u16 - 1, 160 * (place - 1)));
                told += 1;
                let power: f64 = inner[header.payload()]
                    .iter()
                    .map(|byte| f64::from(g711::ULAW_TO_LINEAR[usize::from(*byte)]).powi(2))
                    .sum();
                recovered += usize::from((power / 160.0).sqrt() > 2_000.0);
            }
            reader.read(&header, &payload[..length], &mut inner).unwrap();
        }
        assert_eq!((told, recovered), (15, 15));
        // A coding that says everything once, and a leap, give nothing.
        for (coded, sequence) in [(Coded::G722, 2), (Coded::Opus, 500), (Coded::Opus, 1)] {
            let mut reader = Transcoder::new(coded);
            let (mut payload, mut inner) = ([0; FRAME_BYTES_MAX], [0; HEADER_BYTES + SAMPLES_MAX]);
            let length = Transcoder::new(coded).write(&frame(0, 300.0), None, &mut payload).unwrap();
            let header = |sequence: u16| {
                Header::read(&rtp::header(false, 96, sequence, 960 * u32::from(sequence), 7)).unwrap()
            };
            reader.read(&header(0), &payload[..length], &mut inner).unwrap();
            assert_eq!(reader.recover(&header(sequence), &payload[..length], &mut inner), None);
        }
    }

    #[test]
    fn timestamps_inside_follow_those_outside_around_their_end() {
        let mut reader = Transcoder::new(Coded::Opus);
        let at = |timestamp: u32| {
            Header::read(&rtp::header(false, 111, 1, timestamp, 7)).map(|header| {
                let newest = reader.inside(&header);
                reader.note(newest);
                newest.inside
            })
        };
        let stamps: Vec<u32> =
            [u32::MAX - 959, 0, 960, 480, 2_880].map(at).into_iter().map(Option::unwrap).collect();
        let steps: Vec<i32> = stamps.iter().map(|stamp| stamp.wrapping_sub(stamps[0]) as i32).collect();
        assert_eq!(steps, [0, 160, 320, 240, 640]);
    }

    /// How much of the power of a sound of `rate` samples a second a tone has.
    fn share(sound: &[i16], hertz: f64, rate: f64) -> f64 {
        let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
        for (i, sample) in sound.iter().enumerate() {
            let (angle, sample) = (TAU * hertz * i as f64 / rate, f64::from(*sample));
            re += sample * angle.cos();
            im += sample * angle.sin();
            power += sample * sample;
        }
        2.0 * (re * re + im * im) / sound.len() as f64 / power
    }

    /// A tone over 4 kHz goes through both codings, is told with twice the timestamps, and does not come back as another
    /// where half of the samples are read.
    #[test]
    fn wide_sound_stays_wide() {
        let tone = |place: usize| -> Vec<i16> {
            let at = |i: usize| (place * 320 + i) as f64 / 16_000.0;
            (0..320).map(|i| ((at(i) * 5_500.0 * TAU).sin() * 8_000.0) as i16).collect()
        };
        for coded in [Coded::G722, Coded::Opus] {
            let (mut writer, mut reader) = (Transcoder::new(coded), Transcoder::new(coded));
            reader.widen(true);
            let (mut heard, mut halved) = (Vec::new(), Vec::new());
            for place in 0..100 {
                let mut payload = [0; FRAME_BYTES_MAX];
                // What comes first is of half the samples.
                let wide = tone(place);
                let wide = (place >= 10).then_some(&wide[..]);
                let length = writer.write(&frame(place, 800.0), wide, &mut payload).unwrap();
                let ticks = 160 * coded.ticks();
                let bytes = rtp::header(false, 96, place as u16, place as u32 * ticks, 7);
                let header = Header::read(&bytes).unwrap();
                let mut inner = [0; HEADER_BYTES + SAMPLES_MAX];
                let length = reader.read(&header, &payload[..length], &mut inner).unwrap();
                let (timestamp, sound) = reader.wide_sound().unwrap();
                assert_eq!((timestamp, sound.len(), length), (320 * place as u32, 320, HEADER_BYTES + 160));
                if place >= 30 {
                    heard.extend_from_slice(sound);
                    let inner = inner[HEADER_BYTES..length].iter();
                    halved.extend(inner.map(|byte| g711::ULAW_TO_LINEAR[usize::from(*byte)]));
                }
            }
            let wide = share(&heard, 5_500.0, 16_000.0);
            assert!(wide > 0.9, "{coded:?}: {wide}");
            let power = |sound: &[i16]| sound.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
            let left = 2.0 * power(&halved) / power(&heard);
            assert!(left < 0.05, "{coded:?}: {left} of it is heard under 4 kHz");
            reader.widen(false);
            assert!(reader.wide_sound().is_none());
        }
        let mut g729 = Transcoder::new(Coded::G729);
        g729.widen(true);
        assert!(g729.wide_sound().is_none());
    }

    #[test]
    fn whatever_comes_nothing_breaks() {
        let mut rng = sansio::Rng::from_seed(9);
        for coded in [Coded::G722, Coded::Opus, Coded::G729] {
            let mut reader = Transcoder::new(coded);
            for turn in 0..300 {
                reader.widen(turn / 100 == 1);
                let payload: Vec<u8> = (0..rng.below(1_400)).map(|_| rng.next_u32() as u8).collect();
                let header =
                    Header::read(&rtp::header(false, 96, rng.next_u32() as u16, rng.next_u32(), 1)).unwrap();
                let mut inner = [0; HEADER_BYTES + SAMPLES_MAX];
                let before = reader.recover(&header, &payload, &mut inner);
                assert!(before.is_none_or(|length| length <= inner.len()));
                let length = reader.read(&header, &payload, &mut inner);
                assert!(length.is_none_or(|length| length <= inner.len()));
                assert!(coded.is_readable() || length.is_none());
            }
        }
    }
}
