//! Opus in Ogg (RFC 7845): prompts are read, recordings written.
//!
//! ```text
//!   page: OpusHead │ page: OpusTags │ page: packets of 20 ms … │ page: … │ last page
//! ```
//!
//! Granule positions count samples at 48,000 Hz, the pre-skip included, whatever rate the encoder works at.

use crate::wav::PROMPT_SAMPLES_MAX;
use core::fmt;
use ogg::writing::PacketWriteEndInfo;
use ogg::{PacketReader, PacketWriter};
use std::io::Cursor;

/// Granules per sample at 8,000 Hz.
const GRANULES: u64 = 6;
/// Samples of one channel in a packet of ours: 20 ms at 8,000 Hz.
const FRAME: usize = 160;
/// The longest packet (RFC 6716 §2): 120 ms at 8,000 Hz, two channels.
const DECODED_MAX: usize = 2 * 960;
/// Bits a second of a recording: two voices at the rate at which each is transparent.
const RECORDING_BITS: i32 = 40_000;
/// A packet of ours needs far less.
const PACKET_BYTES_MAX: usize = 1_000;
/// Bytes of a page's header without its table of segments (RFC 3533 §6).
const PAGE_HEAD_BYTES: usize = 27;

/// Why a file is no prompt, or sound could not be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OggError {
    /// It does not begin as an Ogg file does, or a page of it is broken.
    NotOgg(String),
    /// What is in it is not Opus with one or two channels.
    NotOpus(&'static str),
    /// A packet cannot be decoded.
    Broken,
    /// It holds no sound.
    NoData,
    /// Longer than ten minutes.
    TooLong,
    /// The encoder refused.
    Encoder(String),
}

impl fmt::Display for OggError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OggError::NotOgg(why) => write!(f, "not an Ogg file: {why}"),
            OggError::NotOpus(why) => write!(f, "the Ogg file is not Opus: {why}"),
            OggError::Broken => f.write_str("a packet of the Ogg file is no Opus"),
            OggError::NoData => f.write_str("the Ogg file holds no sound"),
            OggError::TooLong => f.write_str("longer than ten minutes"),
            OggError::Encoder(why) => write!(f, "Opus: {why}"),
        }
    }
}

impl std::error::Error for OggError {}

/// What an OpusHead packet says (RFC 7845 §5.1).
struct Head {
    channels: usize,
    pre_skip: u64,
}

fn read_head(packet: &[u8]) -> Result<Head, OggError> {
    if packet.len() < 19 || &packet[..8] != b"OpusHead" {
        return Err(OggError::NotOpus("it has no OpusHead"));
    }
    if packet[8] & 0xF0 != 0 {
        return Err(OggError::NotOpus("its version is not known"));
    }
    let (channels, family) = (usize::from(packet[9]), packet[18]);
    if family != 0 || !(1..=2).contains(&channels) {
        return Err(OggError::NotOpus("it has other than one or two channels"));
    }
    Ok(Head { channels, pre_skip: u64::from(u16::from_le_bytes([packet[10], packet[11]])) })
}

/// Reads a prompt: samples at 8,000 Hz, one channel.
///
/// # Errors
/// [`OggError`] says what is wrong with the file.
pub fn read_prompt(file: &[u8]) -> Result<Vec<i16>, OggError> {
    if !file.starts_with(b"OggS") {
        return Err(OggError::NotOgg("it does not begin with OggS".into()));
    }
    let mut reader = PacketReader::new(Cursor::new(file));
    let mut next = || reader.read_packet().map_err(|error| OggError::NotOgg(error.to_string()));
    let first = next()?.ok_or(OggError::NoData)?;
    let head = read_head(&first.data)?;
    let tags = next()?.ok_or(OggError::NoData)?;
    if !tags.data.starts_with(b"OpusTags") {
        return Err(OggError::NotOpus("it has no OpusTags"));
    }
    let kind = if head.channels == 2 { opus::Channels::Stereo } else { opus::Channels::Mono };
    let mut decoder =
        opus::Decoder::new(8_000, kind).map_err(|error| OggError::Encoder(error.to_string()))?;
    let skip = (head.pre_skip / GRANULES) as usize;
    let mut samples: Vec<i16> = Vec::new();
    let mut decoded = [0_i16; DECODED_MAX];
    let mut end = None;
    while let Some(packet) = next()? {
        if packet.stream_serial() != first.stream_serial() {
            return Err(OggError::NotOpus("several streams are in it"));
        }
        if packet.data.is_empty() {
            return Err(OggError::Broken);
        }
        let count = decoder.decode(&packet.data, &mut decoded, false).map_err(|_| OggError::Broken)?;
        let frames = decoded[..count * head.channels].chunks_exact(head.channels);
        let mixed = frames.map(|frame| {
            let sum: i32 = frame.iter().map(|sample| i32::from(*sample)).sum();
            (sum / head.channels as i32) as i16
        });
        samples.extend(mixed);
        if samples.len() > PROMPT_SAMPLES_MAX + skip + DECODED_MAX {
            return Err(OggError::TooLong);
        }
        // RFC 7845 §4: the last granule position may say that the end of the last packet is not to be played.
        end = packet.last_in_stream().then_some(packet.absgp_page());
    }
    let length = end.map_or(samples.len(), |end| samples.len().min((end / GRANULES) as usize));
    samples.truncate(length);
    samples.drain(..skip.min(length));
    match samples.len() {
        0 => Err(OggError::NoData),
        length if length > PROMPT_SAMPLES_MAX => Err(OggError::TooLong),
        _ => Ok(samples),
    }
}

/// Writes a recording: stereo at 8,000 Hz, customer left, agent right.
pub struct RecordingWriter {
    encoder: opus::Encoder,
    writer: PacketWriter<'static, Vec<u8>>,
    serial: u32,
    /// Interleaved samples that do not fill a packet yet.
    rest: Vec<i16>,
    pre_skip: u64,
    /// Frames that were given, and those in packets.
    given: u64,
    packed: u64,
    begun: bool,
}

impl fmt::Debug for RecordingWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingWriter").field("given", &self.given).finish_non_exhaustive()
    }
}

impl RecordingWriter {
    /// `serial`: any number; it tells chained streams apart.
    ///
    /// # Errors
    /// [`OggError::Encoder`].
    pub fn new(serial: u32) -> Result<Self, OggError> {
        let make = || -> Result<(opus::Encoder, i32), opus::Error> {
            let stereo = opus::Channels::Stereo;
            let mut encoder = opus::Encoder::new(8_000, stereo, opus::Application::Voip)?;
            encoder.set_bitrate(opus::Bitrate::Bits(RECORDING_BITS))?;
            // The sides are two people: neither is to be heard in the other's ear.
            encoder.set_force_channels(Some(stereo))?;
            let ahead = encoder.get_lookahead()?;
            Ok((encoder, ahead))
        };
        let (encoder, ahead) = make().map_err(|error| OggError::Encoder(error.to_string()))?;
        Ok(RecordingWriter {
            encoder,
            writer: PacketWriter::new(Vec::new()),
            serial,
            rest: Vec::new(),
            pre_skip: u64::try_from(ahead).unwrap_or(0) * GRANULES,
            given: 0,
            packed: 0,
            begun: false,
        })
    }

    /// Takes frames (left, right, little-endian signed 16 bits); gives what follows in the file: whole pages.
    ///
    /// # Errors
    /// [`OggError::Encoder`].
    pub fn append(&mut self, samples: &[u8]) -> Result<Vec<u8>, OggError> {
        self.rest.extend(samples.chunks_exact(2).map(|both| i16::from_le_bytes([both[0], both[1]])));
        self.given += samples.len() as u64 / 4;
        let packets = self.rest.len() / (2 * FRAME);
        self.begin()?;
        for number in 1..=packets {
            let end = if number == packets {
                PacketWriteEndInfo::EndPage
            } else {
                PacketWriteEndInfo::NormalPacket
            };
            let granule = (self.packed + FRAME as u64) * GRANULES;
            self.pack(end, granule)?;
        }
        Ok(std::mem::take(self.writer.inner_mut()))
    }

    /// The end of the file.
    ///
    /// # Errors
    /// [`OggError::Encoder`].
    pub fn finish(&mut self) -> Result<Vec<u8>, OggError> {
        self.begin()?;
        // What the encoder holds back comes out behind the last sample.
        let whole = self.given * GRANULES + self.pre_skip;
        while self.packed * GRANULES < whole {
            self.rest.resize(2 * FRAME, 0);
            let last = (self.packed + FRAME as u64) * GRANULES >= whole;
            let end = if last { PacketWriteEndInfo::EndStream } else { PacketWriteEndInfo::NormalPacket };
            let granule = whole.min((self.packed + FRAME as u64) * GRANULES);
            self.pack(end, granule)?;
        }
        Ok(std::mem::take(self.writer.inner_mut()))
    }

    fn begin(&mut self) -> Result<(), OggError> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let mut head = b"OpusHead\x01\x02".to_vec();
        head.extend((self.pre_skip as u16).to_le_bytes());
        head.extend(8_000_u32.to_le_bytes());
        head.extend([0, 0, 0]);
        let mut tags = b"OpusTags".to_vec();
        let vendor = b"dialerd";
        tags.extend((vendor.len() as u32).to_le_bytes());
        tags.extend(vendor);
        tags.extend(0_u32.to_le_bytes());
        for packet in [head, tags] {
            self.write(packet, PacketWriteEndInfo::EndPage, 0)?;
        }
        Ok(())
    }

    /// The next packet of what waits.
    fn pack(&mut self, end: PacketWriteEndInfo, granule: u64) -> Result<(), OggError> {
        let packet = self
            .encoder
            .encode_vec(&self.rest[..2 * FRAME], PACKET_BYTES_MAX)
            .map_err(|error| OggError::Encoder(error.to_string()))?;
        self.rest.drain(..2 * FRAME);
        self.packed += FRAME as u64;
        self.write(packet, end, granule)
    }

    fn write(&mut self, packet: Vec<u8>, end: PacketWriteEndInfo, granule: u64) -> Result<(), OggError> {
        let written = self.writer.write_packet(packet, self.serial, end, granule);
        written.map_err(|error| OggError::Encoder(error.to_string()))
    }
}

/// What there is of a file that was cut off: the bytes of its whole pages, and the milliseconds of sound in them.
#[must_use]
pub fn measure(file: &[u8]) -> (usize, u64) {
    let (mut at, mut pre_skip, mut last) = (0, 0, 0);
    while let Some(page) = file.get(at..).and_then(page_of) {
        let body = &page[PAGE_HEAD_BYTES + usize::from(page[26])..];
        if at == 0 {
            let Ok(head) = read_head(body) else { return (0, 0) };
            pre_skip = head.pre_skip;
        }
        let mut granule = [0; 8];
        granule.copy_from_slice(&page[6..14]);
        // All ones: no packet ends on this page (RFC 3533 §6).
        let granule = u64::from_le_bytes(granule);
        last = if granule == u64::MAX { last } else { granule.max(last) };
        at += page.len();
    }
    (at, last.saturating_sub(pre_skip) / 48)
}

/// The page at the beginning of these bytes, if all of it is there.
fn page_of(bytes: &[u8]) -> Option<&[u8]> {
    let head = bytes.get(..PAGE_HEAD_BYTES).filter(|head| head.starts_with(b"OggS\0"))?;
    let segments = bytes.get(PAGE_HEAD_BYTES..PAGE_HEAD_BYTES + usize::from(head[26]))?;
    let body: usize = segments.iter().map(|length| usize::from(*length)).sum();
    bytes.get(..PAGE_HEAD_BYTES + segments.len() + body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::f64::consts::TAU;

    /// Half a second of the left tone, then half a second of the right one, and so on.
    fn frames(count: usize) -> Vec<u8> {
        let sample = |i: usize, hertz: f64| (8_000.0 * (TAU * hertz * i as f64 / 8_000.0).sin()) as i16;
        let frame = |i: usize| {
            let left = (i / 4_000).is_multiple_of(2);
            let both = if left { [sample(i, 440.0), 0] } else { [0, sample(i, 1_000.0)] };
            both.into_iter().flat_map(i16::to_le_bytes)
        };
        (0..count).flat_map(frame).collect()
    }

    fn file(count: usize, batch: usize) -> Vec<u8> {
        let mut writer = RecordingWriter::new(7).unwrap();
        let mut file: Vec<u8> =
            frames(count).chunks(4 * batch).flat_map(|batch| writer.append(batch).unwrap()).collect();
        file.extend(writer.finish().unwrap());
        file
    }

    /// Both channels of a file, as a player decodes it.
    fn decoded(file: &[u8]) -> Vec<[i16; 2]> {
        let mut reader = PacketReader::new(Cursor::new(file));
        let mut decoder = opus::Decoder::new(8_000, opus::Channels::Stereo).unwrap();
        let pre_skip = read_head(&reader.read_packet().unwrap().unwrap().data).unwrap().pre_skip / GRANULES;
        reader.read_packet().unwrap();
        let (mut all, mut end) = (Vec::new(), 0);
        while let Some(packet) = reader.read_packet().unwrap() {
            let mut samples = [0; DECODED_MAX];
            let count = decoder.decode(&packet.data, &mut samples, false).unwrap();
            all.extend(samples[..2 * count].chunks_exact(2).map(|both| [both[0], both[1]]));
            end = packet.absgp_page() / GRANULES;
        }
        all.truncate(end as usize);
        all.split_off(pre_skip as usize)
    }

    fn rms(frames: &[[i16; 2]], channel: usize) -> f64 {
        let sum: f64 = frames.iter().map(|frame| f64::from(frame[channel]).powi(2)).sum();
        (sum / frames.len() as f64).sqrt()
    }

    #[test]
    fn a_recording_is_as_long_as_it_was_and_its_sides_stay_apart() {
        for (count, batch) in [(40_000, 6_000), (12_345, 777), (1, 1)] {
            let file = file(count, batch);
            let sound = decoded(&file);
            assert_eq!(sound.len(), count);
            assert_eq!(measure(&file), (file.len(), count as u64 / 8));
            assert!(file.len() < count + 1_000, "{} bytes for {count} frames", file.len());
        }
        let sound = decoded(&file(40_000, 6_000));
        for (number, half) in sound.chunks_exact(4_000).enumerate() {
            let (loud, still) = if number.is_multiple_of(2) { (0, 1) } else { (1, 0) };
            let middle = &half[800..3_200];
            let (loud, still) = (rms(middle, loud), rms(middle, still));
            assert!((3_500.0..7_500.0).contains(&loud), "{number}: {loud}");
            assert!(still < loud / 30.0, "{number}: {still} beside {loud}");
        }
    }

    #[test]
    fn what_a_crash_left_is_measured_to_its_last_whole_page() {
        let whole = file(40_000, 6_000);
        let (mut before, mut steps) = ((0, 0), 0);
        for cut in 0..whole.len() {
            let (bytes, ms) = measure(&whole[..cut]);
            assert!(bytes <= cut && bytes >= before.0 && ms >= before.1);
            steps += usize::from(ms > before.1);
            before = (bytes, ms);
        }
        assert!(steps >= 5, "a page for each batch: {steps}");
        assert_eq!(measure(b"OggS"), (0, 0));
        assert_eq!(measure(&[0xFF; 100]), (0, 0));
    }

    #[test]
    fn a_prompt_is_read_and_what_is_wrong_is_said() {
        let whole = file(8_000, 8_000);
        let prompt = read_prompt(&whole).unwrap();
        assert_eq!(prompt.len(), 8_000);
        assert!(prompt.iter().any(|sample| sample.unsigned_abs() > 2_000));
        assert!(matches!(read_prompt(b"RIFF"), Err(OggError::NotOgg(_))));
        assert!(matches!(read_prompt(b"OggS and nothing of the kind"), Err(OggError::NotOgg(_))));
        let mut other = PacketWriter::new(Vec::new());
        other.write_packet(&b"\x01vorbis"[..], 1, PacketWriteEndInfo::EndStream, 0).unwrap();
        assert_eq!(read_prompt(&other.into_inner()), Err(OggError::NotOpus("it has no OpusHead")));
        let mut none = RecordingWriter::new(1).unwrap();
        none.begin().unwrap();
        assert_eq!(read_prompt(none.writer.inner()), Err(OggError::NoData));
        // Cut anywhere and changed anywhere: an error or a shorter prompt, never a panic.
        for cut in (0..whole.len()).step_by(41) {
            let _ = read_prompt(&whole[..cut]);
            let mut changed = whole.clone();
            changed[cut] ^= 0x55;
            let _ = read_prompt(&changed);
        }
    }
}
