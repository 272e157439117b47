//! Files of sound for neighbours to play, and what they heard.

use anyhow::{Context, ensure};
use std::path::Path;

/// Samples per second.
const RATE: u32 = 8000;
/// Seconds of a file.
const SECONDS: u32 = 20;

/// Writes a tone.
pub(super) fn write_tone(file: &Path, hertz: f64) -> anyhow::Result<()> {
    let samples = (0..RATE * SECONDS).map(|at| {
        let phase = std::f64::consts::TAU * hertz * f64::from(at) / f64::from(RATE);
        (8000.0 * phase.sin()) as i16
    });
    let data: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    let length = data.len() as u32;
    let mut out = Vec::with_capacity(data.len() + 44);
    out.extend(b"RIFF");
    out.extend((length + 36).to_le_bytes());
    out.extend(b"WAVEfmt ");
    out.extend(16_u32.to_le_bytes());
    // PCM, one channel.
    out.extend([1, 0, 1, 0]);
    out.extend(RATE.to_le_bytes());
    out.extend((RATE * 2).to_le_bytes());
    out.extend([2, 0, 16, 0]);
    out.extend(b"data");
    out.extend(length.to_le_bytes());
    out.extend(data);
    std::fs::write(file, out)?;
    Ok(())
}

/// The samples of a mono file of 16 bits.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<i16>> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    ensure!(bytes.len() > 44, "{} holds no sound", file.display());
    Ok(bytes[44..].as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect())
}

/// The share of the power in the middle second that is at this frequency, 0..=1 (Goertzel).
pub(super) fn share_of(samples: &[i16], hertz: f64) -> f64 {
    let second = RATE as usize;
    if samples.len() < 2 * second {
        return 0.0;
    }
    let from = (samples.len() - second) / 2;
    let middle: Vec<f64> = samples[from..from + second].iter().map(|sample| f64::from(*sample)).collect();
    let factor = 2.0 * (std::f64::consts::TAU * hertz / f64::from(RATE)).cos();
    let (last, before) =
        middle.iter().fold((0.0, 0.0), |(last, before), sample| (sample + factor * last - before, last));
    let power = last * last + before * before - factor * last * before;
    let all: f64 = middle.iter().map(|sample| sample * sample).sum();
    if all == 0.0 { 0.0 } else { power / (all * middle.len() as f64 / 2.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_told_from_another() {
        let file = std::env::temp_dir().join(format!("dialerd-tone-{}.wav", std::process::id()));
        write_tone(&file, 440.0).unwrap();
        let samples = read(&file).unwrap();
        std::fs::remove_file(file).unwrap();
        assert!(share_of(&samples, 440.0) > 0.99);
        assert!(share_of(&samples, 1000.0) < 0.01);
        assert!(share_of(&[0; 16_000], 440.0) < 0.01);
    }
}
