//! Prompts: WAV and raw G.711 files, decoded once at start, texts that are spoken, and those that are built in.

use media::tone_plan::{Country, NetworkTone, comfort_tone, hold_tune, network_tone};
use media::{Codec, codec};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Spoken when a campaign's safe-harbour prompt has no file of its own.
const SAFE_HARBOUR: &[u8] = include_bytes!("../../config/prompts/safe_harbour.wav");

/// All prompts of a folder by name, those built in and those `spoken` from texts included. A file takes the place of a
/// text, a text of what is built in. A file that cannot be used is told and left out.
pub fn load(folder: &Path, spoken: BTreeMap<String, Arc<[i16]>>) -> BTreeMap<String, Arc<[i16]>> {
    let mut prompts = BTreeMap::new();
    built_in(&mut prompts);
    prompts.extend(spoken);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(%error, folder = %folder.display(), "prompts cannot be read");
            return prompts;
        }
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let Some(format) = format_of(&extension.to_ascii_lowercase()) else { continue };
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        match std::fs::read(&path) {
            Ok(bytes) => add(&mut prompts, name, format, &bytes, &path.display().to_string()),
            Err(error) => tracing::warn!(%error, file = %path.display(), "a prompt cannot be read"),
        }
    }
    prompts
}

/// How a file's bytes are sound.
#[derive(Clone, Copy)]
enum Format {
    Wav,
    /// G.711 without a header, 8,000 Hz.
    Raw(Codec),
}

fn format_of(extension: &str) -> Option<Format> {
    match extension {
        "wav" => Some(Format::Wav),
        "ulaw" | "ul" | "pcmu" => Some(Format::Raw(Codec::Pcmu)),
        "alaw" | "al" | "pcma" => Some(Format::Raw(Codec::Pcma)),
        _ => None,
    }
}

/// A file of the same name takes the place of each of these.
fn built_in(prompts: &mut BTreeMap<String, Arc<[i16]>>) {
    add(prompts, "safe_harbour", Format::Wav, SAFE_HARBOUR, "built-in safe_harbour");
    for country in Country::ALL {
        for tone in NetworkTone::ALL {
            let name = format!("{}_{}", tone.as_str(), country.as_str());
            prompts.insert(name, network_tone(country, tone).into());
        }
    }
    prompts.insert("comfort_tone".into(), comfort_tone().into());
    prompts.insert("hold_tune".into(), hold_tune().into());
}

/// A sound file, at 8,000 Hz.
///
/// # Errors
/// What is wrong with it.
pub fn read_sound(path: &Path) -> Result<Vec<i16>, String> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let format = format_of(&extension.to_ascii_lowercase())
        .ok_or("not a sound file by its name: .wav, .ulaw or .alaw is expected")?;
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    samples_of(format, &bytes).map_err(|error| error.to_string())
}

fn samples_of(format: Format, bytes: &[u8]) -> Result<Vec<i16>, media::wav::WavError> {
    match format {
        Format::Wav => media::wav::read_prompt(bytes),
        Format::Raw(_) if bytes.is_empty() => Err(media::wav::WavError::NoData),
        Format::Raw(law) => {
            let mut samples = vec![0; bytes.len().min(media::wav::PROMPT_SAMPLES_MAX)];
            codec::decode(law, bytes, &mut samples);
            Ok(samples)
        }
    }
}

fn add(prompts: &mut BTreeMap<String, Arc<[i16]>>, name: &str, format: Format, bytes: &[u8], place: &str) {
    match samples_of(format, bytes) {
        Ok(samples) => {
            prompts.insert(name.to_owned(), samples.into());
        }
        Err(error) => tracing::warn!(%error, place, "a prompt cannot be used"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_message_can_be_played_and_bad_files_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("broken.wav"), b"RIFF").unwrap();
        std::fs::write(folder.path().join("good.WAV"), SAFE_HARBOUR).unwrap();
        let prompts = load(folder.path(), BTreeMap::new());
        for name in ["good", "safe_harbour", "busy_us", "ringback_cn", "sit_gb", "comfort_tone", "hold_tune"]
        {
            assert!(prompts.contains_key(name), "{name}");
        }
        assert!(!prompts.contains_key("broken"));
        let samples = &prompts["safe_harbour"];
        assert!(samples.len() > 8000 && samples.iter().any(|sample| sample.unsigned_abs() > 5000));
    }

    #[test]
    fn raw_files_are_read_and_a_file_takes_the_place_of_what_is_built_in() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("hold_tune.ulaw"), [0x80_u8; 800]).unwrap();
        std::fs::write(folder.path().join("empty.alaw"), []).unwrap();
        let spoken = ["hold_tune", "comfort_tone", "hello"].map(|name| (name.to_owned(), [7_i16; 3].into()));
        let prompts = load(folder.path(), BTreeMap::from(spoken));
        assert_eq!(prompts["hold_tune"].to_vec(), [32_124; 800]);
        assert_eq!(prompts["comfort_tone"].to_vec(), [7; 3]);
        assert_eq!(prompts["hello"].to_vec(), [7; 3]);
        assert!(!prompts.contains_key("empty"));
    }
}
