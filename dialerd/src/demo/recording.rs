//! Does a recording hold both voices?

use std::path::Path;

/// Loudness (root of the mean square, of 32,768) of left (customer) and right (agent), and the length in seconds.
///
/// # Errors
/// When it is not a 16-bit stereo WAV file.
pub fn voices(file: &Path) -> anyhow::Result<(f64, f64, f64)> {
    let bytes = std::fs::read(file)?;
    anyhow::ensure!(bytes.len() > 44 && &bytes[..4] == b"RIFF" && &bytes[8..12] == b"WAVE", "not a WAV file");
    let channels = u16::from_le_bytes([bytes[22], bytes[23]]);
    let rate = u32::from_le_bytes([bytes[24], bytes[25], bytes[26], bytes[27]]);
    let bits = u16::from_le_bytes([bytes[34], bytes[35]]);
    anyhow::ensure!(channels == 2 && bits == 16, "{channels} channels of {bits} bits");
    let frames = bytes[44..].chunks_exact(4);
    let count = frames.len() as f64;
    let (mut left, mut right) = (0.0, 0.0);
    for frame in frames {
        left += f64::from(i16::from_le_bytes([frame[0], frame[1]])).powi(2);
        right += f64::from(i16::from_le_bytes([frame[2], frame[3]])).powi(2);
    }
    Ok(((left / count.max(1.0)).sqrt(), (right / count.max(1.0)).sqrt(), count / f64::from(rate)))
}
