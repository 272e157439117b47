//! WAV: the header of our recordings, and reading of prompts.
//!
//! Read: RIFF/WAVE with 16-bit PCM, G.711 A-law or µ-law, one or two channels (two are mixed to one), any rate of
//! 8,000–48,000 Hz (others than 8,000 are resampled by a windowed sinc). Written: stereo, 8,000 Hz, 16-bit PCM.

use crate::{Codec, codec};
use core::f32::consts::PI;
use core::fmt;

/// Bytes of the header [`header`] makes.
pub const HEADER_BYTES: usize = 44;
/// Bytes of one frame of our recordings: two channels of 16 bits.
pub const FRAME_BYTES: u64 = 4;
/// Frames per second of our recordings.
pub const RATE_HZ: u32 = 8_000;
/// The longest prompt taken: ten minutes.
pub const PROMPT_SAMPLES_MAX: usize = 600 * RATE_HZ as usize;

/// Format codes of the `fmt ` chunk (RFC 2361).
const FORMAT_PCM: u16 = 1;
const FORMAT_ALAW: u16 = 6;
const FORMAT_ULAW: u16 = 7;
const FORMAT_EXTENSIBLE: u16 = 0xFFFE;

/// The header of a recording of `frames` frames. While the recording runs write it with 0 and over it at the end;
/// lengths that do not fit 32 bits (37 hours) are written as the largest that do.
#[must_use]
pub fn header(frames: u64) -> [u8; HEADER_BYTES] {
    let data_bytes = u32::try_from(frames.saturating_mul(FRAME_BYTES)).unwrap_or(u32::MAX - 36);
    let mut bytes = [0; HEADER_BYTES];
    let mut at = 0;
    let mut put = |part: &[u8]| {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    };
    put(b"RIFF");
    put(&data_bytes.saturating_add(36).to_le_bytes());
    put(b"WAVEfmt ");
    put(&16_u32.to_le_bytes());
    put(&FORMAT_PCM.to_le_bytes());
    put(&2_u16.to_le_bytes());
    put(&RATE_HZ.to_le_bytes());
    put(&(RATE_HZ * FRAME_BYTES as u32).to_le_bytes());
    put(&(FRAME_BYTES as u16).to_le_bytes());
    put(&16_u16.to_le_bytes());
    put(b"data");
    put(&data_bytes.to_le_bytes());
    bytes
}

/// Why a file is no prompt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WavError {
    /// It does not begin with a RIFF header of kind WAVE.
    NotWav,
    /// It has no format chunk before its data, or a broken one.
    NoFormat,
    /// It has no data chunk, or an empty one.
    NoData,
    /// The encoding is not 16-bit PCM, A-law or µ-law.
    Encoding {
        /// Format code of the file.
        format: u16,
        /// Bits per sample of the file.
        bits: u16,
    },
    /// Neither one nor two channels.
    Channels(u16),
    /// The rate is not 8,000–48,000 Hz.
    Rate(u32),
    /// Longer than [`PROMPT_SAMPLES_MAX`].
    TooLong,
    /// Its data chunk claims more than the file has.
    Short {
        /// Bytes that it claims.
        claimed: u32,
        /// Bytes that are there.
        held: u32,
    },
    /// Its format chunk contradicts itself: so many bytes a frame, where channels and bits make as many.
    Frame {
        /// Bytes a frame by its word.
        claimed: u16,
        /// … by its channels and bits.
        made: u16,
    },
}

impl fmt::Display for WavError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WavError::NotWav => f.write_str("not a WAV file (no RIFF/WAVE header)"),
            WavError::NoFormat => f.write_str("the WAV file has no valid format chunk before its data"),
            WavError::NoData => f.write_str("the WAV file holds no sound"),
            WavError::Encoding { format, bits } => write!(
                f,
                "WAV encoding {format} with {bits} bits is not supported; use 16-bit PCM, A-law or µ-law"
            ),
            WavError::Channels(channels) => write!(f, "{channels} channels; use one or two"),
            WavError::Rate(rate) => write!(f, "{rate} Hz; use 8,000 to 48,000 Hz, best 8,000"),
            WavError::TooLong => f.write_str("longer than ten minutes"),
            WavError::Short { claimed, held } => write!(
                f,
                "the WAV file claims {claimed} bytes of sound and holds {held}: it was cut off, or written to a pipe"
            ),
            WavError::Frame { claimed, made } => {
                write!(f, "the WAV file says {claimed} bytes a frame; its channels and bits make {made}")
            }
        }
    }
}

impl std::error::Error for WavError {}

#[derive(Clone, Copy)]
struct Format {
    encoding: Encoding,
    channels: usize,
    rate_hz: u32,
}

#[derive(Clone, Copy)]
enum Encoding {
    Pcm16,
    G711(Codec),
}

/// Reads a prompt: samples at 8,000 Hz, one channel.
///
/// A data chunk that claims more than the file has (a recording cut off, or a stream's header) is read as far as
/// it goes.
///
/// # Errors
/// [`WavError`] says what is wrong with the file.
pub fn read_prompt(file: &[u8]) -> Result<Vec<i16>, WavError> {
    if file.len() < 12 || &file[..4] != b"RIFF" || &file[8..12] != b"WAVE" {
        return Err(WavError::NotWav);
    }
    let mut rest = &file[12..];
    let mut format = None;
    while let Some((head, body)) = rest.split_first_chunk::<8>() {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let held = &body[..length.min(body.len())];
        match &head[..4] {
            b"fmt " => format = Some(read_format(held)?),
            b"data" => return read_data(format.ok_or(WavError::NoFormat)?, held),
            _ => {}
        }
        // Chunks are padded to even lengths.
        rest = body.get(length.saturating_add(length % 2)..).unwrap_or(&[]);
    }
    Err(if format.is_some() { WavError::NoData } else { WavError::NoFormat })
}

/// Holds a prompt's file to its own word, which [`read_prompt`] forgives.
///
/// # Errors
/// [`WavError`] says what is wrong with the file.
pub fn check(file: &[u8]) -> Result<(), WavError> {
    if file.len() < 12 || &file[..4] != b"RIFF" || &file[8..12] != b"WAVE" {
        return Err(WavError::NotWav);
    }
    let mut rest = &file[12..];
    let mut known = false;
    while let Some((head, body)) = rest.split_first_chunk::<8>() {
        let claimed = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let length = claimed as usize;
        let held = &body[..length.min(body.len())];
        match &head[..4] {
            b"fmt " => {
                read_format(held)?;
                let word = |at: usize| u16::from_le_bytes([held[at], held[at + 1]]);
                let (claimed, made) = (word(12), word(2) * (word(14) / 8));
                if claimed != made {
                    return Err(WavError::Frame { claimed, made });
                }
                known = true;
            }
            b"data" if !known => return Err(WavError::NoFormat),
            b"data" if body.len() < length => {
                return Err(WavError::Short { claimed, held: u32::try_from(body.len()).unwrap_or(u32::MAX) });
            }
            b"data" => return Ok(()),
            _ => {}
        }
        rest = body.get(length.saturating_add(length % 2)..).unwrap_or(&[]);
    }
    Err(if known { WavError::NoData } else { WavError::NoFormat })
}

/// A prompt as a file: one channel, 8,000 Hz, 16-bit PCM.
#[must_use]
pub fn mono(samples: &[i16]) -> Vec<u8> {
    let data_bytes = u32::try_from(2 * samples.len()).unwrap_or(u32::MAX - 36);
    let mut file = Vec::with_capacity(HEADER_BYTES + 2 * samples.len());
    file.extend(b"RIFF");
    file.extend((data_bytes + 36).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    for word in [FORMAT_PCM, 1] {
        file.extend(word.to_le_bytes());
    }
    for word in [RATE_HZ, 2 * RATE_HZ] {
        file.extend(word.to_le_bytes());
    }
    for word in [2_u16, 16] {
        file.extend(word.to_le_bytes());
    }
    file.extend(b"data");
    file.extend(data_bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

fn read_format(chunk: &[u8]) -> Result<Format, WavError> {
    let word = |at: usize| chunk.get(at..at + 2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    let (Some(code), Some(channels), Some(bits)) = (word(0), word(2), word(14)) else {
        return Err(WavError::NoFormat);
    };
    let rate_hz = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
    // The extensible form keeps the code in the first two bytes of its sub-format.
    let code = if code == FORMAT_EXTENSIBLE { word(24).ok_or(WavError::NoFormat)? } else { code };
    let encoding = match (code, bits) {
        (FORMAT_PCM, 16) => Encoding::Pcm16,
        (FORMAT_ALAW, 8) => Encoding::G711(Codec::Pcma),
        (FORMAT_ULAW, 8) => Encoding::G711(Codec::Pcmu),
        (format, bits) => return Err(WavError::Encoding { format, bits }),
    };
    if !(1..=2).contains(&channels) {
        return Err(WavError::Channels(channels));
    }
    if !(8_000..=48_000).contains(&rate_hz) {
        return Err(WavError::Rate(rate_hz));
    }
    Ok(Format { encoding, channels: usize::from(channels), rate_hz })
}

fn read_data(format: Format, data: &[u8]) -> Result<Vec<i16>, WavError> {
    let sample_bytes = match format.encoding {
        Encoding::Pcm16 => 2,
        Encoding::G711(_) => 1,
    };
    let frames = data.len() / (sample_bytes * format.channels);
    if frames == 0 {
        return Err(WavError::NoData);
    }
    if frames as u64 * u64::from(RATE_HZ) / u64::from(format.rate_hz) > PROMPT_SAMPLES_MAX as u64 {
        return Err(WavError::TooLong);
    }
    let sample = |bytes: &[u8]| match format.encoding {
        Encoding::Pcm16 => i32::from(i16::from_le_bytes([bytes[0], bytes[1]])),
        Encoding::G711(law) => i32::from(codec::table(law)[usize::from(bytes[0])]),
    };
    let mono = |frame: &[u8]| {
        let sum: i32 = frame.chunks_exact(sample_bytes).map(sample).sum();
        (sum / format.channels as i32) as i16
    };
    let samples: Vec<i16> = data.chunks_exact(sample_bytes * format.channels).map(mono).collect();
    Ok(if format.rate_hz == RATE_HZ { samples } else { resample(&samples, format.rate_hz) })
}

/// Zero crossings of the sinc on each side.
const SINC_LOBES: f32 = 16.0;
/// Where the low-pass ends, as a share of the new half rate.
const PASS_SHARE: f32 = 0.92;

/// From a higher rate to 8,000 Hz by a windowed sinc, which also keeps out what would alias. Prompts are
/// resampled once when they are loaded, so it is plain rather than fast.
fn resample(samples: &[i16], from_hz: u32) -> Vec<i16> {
    let ratio = from_hz as f32 / RATE_HZ as f32;
    let reach = SINC_LOBES * ratio;
    let length = (samples.len() as u64 * u64::from(RATE_HZ) / u64::from(from_hz)) as usize;
    let tap = |distance: f32| {
        let x = distance / ratio * PASS_SHARE;
        let sinc = if x.abs() < 1e-6 { 1.0 } else { (PI * x).sin() / (PI * x) };
        let window = 0.5 + 0.5 * (PI * distance / reach).cos();
        sinc * window
    };
    let at = |i: usize| {
        let center = (i as u64 * u64::from(from_hz)) as f64 / f64::from(RATE_HZ);
        let first = (center - f64::from(reach)).ceil().max(0.0) as usize;
        let last = ((center + f64::from(reach)).floor() as usize).min(samples.len() - 1);
        let (mut sum, mut weight) = (0.0, 0.0);
        for (k, &sample) in samples[first..=last].iter().enumerate() {
            let gain = tap(((first + k) as f64 - center) as f32);
            sum += gain * f32::from(sample);
            weight += gain;
        }
        // At the ends part of the window is missing; the weight keeps the level.
        (sum / weight.max(0.1)).clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16
    };
    (0..length).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::f64::consts::TAU;

    /// A WAV file with a chunk of another kind (of odd length) in between.
    fn wav(code: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WAVE".to_vec();
        file.extend(b"fmt \x10\0\0\0");
        file.extend(code.to_le_bytes());
        file.extend(channels.to_le_bytes());
        file.extend(rate.to_le_bytes());
        let block = channels * bits / 8;
        file.extend((rate * u32::from(block)).to_le_bytes());
        file.extend(block.to_le_bytes());
        file.extend(bits.to_le_bytes());
        file.extend(b"LIST\x03\0\0\0abc\0data");
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
        file
    }

    fn pcm(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    #[test]
    fn our_own_header_is_read_back() {
        let mut file = header(3).to_vec();
        file.extend(pcm(&[100, 300, -5, -5, 7, 9]));
        assert_eq!(read_prompt(&file), Ok(vec![200, -5, 8]));
        assert_eq!(u32::from_le_bytes(file[4..8].try_into().unwrap()) as usize, file.len() - 8);
        assert_eq!(u32::from_le_bytes(header(u64::MAX)[4..8].try_into().unwrap()), u32::MAX);
    }

    #[test]
    fn pcm_and_both_laws_and_the_extensible_form() {
        assert_eq!(read_prompt(&wav(1, 1, 8000, 16, &pcm(&[1, -2, 3]))), Ok(vec![1, -2, 3]));
        assert_eq!(read_prompt(&wav(6, 1, 8000, 8, &[0xD5, 0xAA])), Ok(vec![8, 32_256]));
        assert_eq!(read_prompt(&wav(7, 2, 8000, 8, &[0xFF, 0x80])), Ok(vec![16_062]));
        let mut extensible =
            b"RIFF\0\0\0\0WAVEfmt \x28\0\0\0\xFE\xFF\x01\0\x40\x1F\0\0\x80\x3E\0\0\x02\0\x10\0".to_vec();
        extensible.extend([22, 0, 16, 0, 4, 0, 0, 0, 1, 0]);
        extensible.extend([0; 14]);
        extensible.extend(b"data\x02\0\0\0\x05\0");
        assert_eq!(read_prompt(&extensible), Ok(vec![5]));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |file: &[u8], error: WavError| assert_eq!(read_prompt(file), Err(error), "{error}");
        check(b"", WavError::NotWav);
        check(b"ID3\x04 this is an mp3 file", WavError::NotWav);
        check(b"RIFF\0\0\0\0WAVE", WavError::NoFormat);
        check(b"RIFF\0\0\0\0WAVEdata\x02\0\0\0\0\0", WavError::NoFormat);
        check(b"RIFF\0\0\0\0WAVEfmt \x04\0\0\0\x01\0\x01\0", WavError::NoFormat);
        check(&wav(1, 1, 8000, 16, &[]), WavError::NoData);
        check(&wav(1, 1, 8000, 24, &[0; 6]), WavError::Encoding { format: 1, bits: 24 });
        check(&wav(0x55, 1, 8000, 16, &[0; 6]), WavError::Encoding { format: 0x55, bits: 16 });
        check(&wav(1, 6, 8000, 16, &[0; 12]), WavError::Channels(6));
        check(&wav(1, 1, 7999, 16, &[0; 12]), WavError::Rate(7999));
        check(&wav(1, 1, 96_000, 16, &[0; 12]), WavError::Rate(96_000));
        check(&wav(7, 1, 8000, 8, &vec![0; PROMPT_SAMPLES_MAX + 1]), WavError::TooLong);
        assert!(read_prompt(&wav(7, 1, 8000, 8, &vec![0; PROMPT_SAMPLES_MAX])).is_ok());
    }

    #[test]
    fn lengths_that_lie_are_read_as_far_as_the_file_goes() {
        let mut file = wav(1, 1, 8000, 16, &pcm(&[1, 2, 3]));
        let length = file.len() - 10;
        file[length..length + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(read_prompt(&file), Ok(vec![1, 2, 3]));
        for cut in 0..file.len() {
            let _ = read_prompt(&file[..cut]);
        }
    }

    #[test]
    fn a_file_is_held_to_its_own_word() {
        let good = mono(&[1, -2, 3]);
        assert_eq!((check(&good), read_prompt(&good)), (Ok(()), Ok(vec![1, -2, 3])));
        assert_eq!(check(&wav(7, 2, 8000, 8, &[1, 2])), Ok(()));
        let lies = |at: usize, byte: u8| {
            let mut file = mono(&[1, -2, 3]);
            file[at] = byte;
            check(&file)
        };
        assert_eq!(lies(40, 7), Err(WavError::Short { claimed: 7, held: 6 }));
        assert_eq!(lies(32, 4), Err(WavError::Frame { claimed: 4, made: 2 }));
        assert_eq!(lies(22, 3), Err(WavError::Channels(3)));
        assert_eq!(lies(36, b'x'), Err(WavError::NoData));
        for cut in 0..good.len() {
            assert!(check(&good[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn other_rates_keep_the_tone_and_lose_what_would_alias() {
        for rate in [11_025_u32, 16_000, 44_100, 48_000] {
            let tone = |frequency: f64| -> Vec<i16> {
                let sample =
                    |i: u32| (10_000.0 * (TAU * frequency * f64::from(i) / f64::from(rate)).sin()) as i16;
                (0..rate).map(sample).collect()
            };
            let rms = |samples: &[i16]| {
                (samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
            };
            let kept = read_prompt(&wav(1, 1, rate, 16, &pcm(&tone(1000.0)))).unwrap();
            assert!((7999..=8000).contains(&kept.len()));
            assert!((rms(&kept) / (10_000.0 / 2_f64.sqrt()) - 1.0).abs() < 0.02, "{rate}");
            let crossings = kept.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
            assert!((1997..=2001).contains(&crossings), "{rate}: {crossings}");
            let lost = read_prompt(&wav(1, 1, rate, 16, &pcm(&tone(5000.0)))).unwrap();
            assert!(rms(&lost) < 150.0, "{rate}: {}", rms(&lost));
        }
    }
}
