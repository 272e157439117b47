//! Prompts: WAV, Opus and raw G.711 files, decoded once at start, texts that are spoken, and those that are built in.

use crate::voice::Spoken;
use media::tone_plan::{Country, NetworkTone, comfort_tone, hold_tune, network_tone};
use media::{Codec, codec};
use sansio::WallTime;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Spoken when a campaign's safe-harbour prompt has no file of its own.
const SAFE_HARBOUR: &[u8] = include_bytes!("../../config/prompts/safe_harbour.wav");

/// One prompt, ready to be played.
#[derive(Clone, PartialEq, Debug)]
pub struct Kept {
    /// Linear PCM, 8,000 Hz, one channel.
    pub samples: Arc<[i16]>,
    pub source: Source,
    /// When its file was written.
    pub changed_at: Option<WallTime>,
}

/// Where a prompt comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    BuiltIn,
    Sound,
    Text { text: String, voice: String },
}

/// All prompts of a folder by name, those built in and those `spoken` from texts included. A file takes the place of a
/// text, a text of what is built in. A file that cannot be used is told and left out.
pub fn load(folder: &Path, spoken: BTreeMap<String, Spoken>) -> BTreeMap<String, Kept> {
    let mut prompts = built_in();
    prompts.extend(spoken.into_iter().map(|(name, Spoken { samples, text, voice })| {
        let changed_at = changed_at(&folder.join(format!("{name}.txt")));
        (name, Kept { samples, source: Source::Text { text, voice }, changed_at })
    }));
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(%error, folder = %folder.display(), "prompts cannot be read");
            return prompts;
        }
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    // Of two files with one name the same one is taken each time.
    paths.sort();
    for path in paths {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let Some(format) = format_of(&extension.to_ascii_lowercase()) else { continue };
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        let read = std::fs::read(&path).map_err(|error| error.to_string());
        match read.and_then(|bytes| samples_of(format, &bytes)) {
            Ok(samples) => {
                let (samples, changed_at) = (samples.into(), changed_at(&path));
                prompts.insert(name.to_owned(), Kept { samples, source: Source::Sound, changed_at });
            }
            Err(error) => tracing::warn!(error, file = %path.display(), "a prompt cannot be used"),
        }
    }
    prompts
}

/// Refuses a name of the configuration that no prompt has. One whose file is there but cannot be played or spoken now was
/// told when it was read: that is no reason not to start.
///
/// # Errors
/// Which key, what it names, and where prompts are looked for.
pub fn must_be_there(
    key: &str,
    name: &str,
    prompts: &BTreeMap<String, Kept>,
    folder: &Path,
) -> anyhow::Result<()> {
    let has_file = || {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| name_of(&path) == Some(name))
    };
    if prompts.contains_key(name) || has_file() {
        return Ok(());
    }
    anyhow::bail!(
        "{key} = {name:?}: there is no such prompt; expected the name of one that is built in, or of a file in {}",
        folder.display()
    )
}

/// The prompt that a file of the folder holds, by its name.
pub fn name_of(path: &Path) -> Option<&str> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    (extension == "txt" || format_of(&extension).is_some()).then(|| path.file_stem()?.to_str()).flatten()
}

fn changed_at(path: &Path) -> Option<WallTime> {
    let since = std::fs::metadata(path).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(WallTime::from_unix_millis(since.as_millis() as i64))
}

/// How a file's bytes are sound.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    Wav,
    /// G.711 without a header, 8,000 Hz.
    Raw(Codec),
    /// Opus in Ogg.
    Ogg,
}

fn format_of(extension: &str) -> Option<Format> {
    match extension {
        "wav" => Some(Format::Wav),
        "ulaw" | "ul" | "pcmu" => Some(Format::Raw(Codec::Pcmu)),
        "alaw" | "al" | "pcma" => Some(Format::Raw(Codec::Pcma)),
        "ogg" | "opus" => Some(Format::Ogg),
        _ => None,
    }
}

/// A file or text of the same name takes the place of each of these.
pub fn built_in() -> BTreeMap<String, Kept> {
    let kept =
        |samples: Vec<i16>| Kept { samples: samples.into(), source: Source::BuiltIn, changed_at: None };
    let mut prompts = BTreeMap::new();
    let safe_harbour = media::wav::read_prompt(SAFE_HARBOUR).expect("it was made for this");
    prompts.insert("safe_harbour".into(), kept(safe_harbour));
    for country in Country::ALL {
        for tone in NetworkTone::ALL {
            let name = format!("{}_{}", tone.as_str(), country.as_str());
            prompts.insert(name, kept(network_tone(country, tone)));
        }
    }
    prompts.insert("comfort_tone".into(), kept(comfort_tone()));
    prompts.insert("hold_tune".into(), kept(hold_tune()));
    prompts
}

/// A sound file, at 8,000 Hz.
///
/// # Errors
/// What is wrong with it.
pub fn read_sound(path: &Path) -> Result<Vec<i16>, String> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let format = format_of(&extension.to_ascii_lowercase())
        .ok_or("not a sound file by its name: .wav, .ulaw, .alaw or .ogg is expected")?;
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    samples_of(format, &bytes)
}

/// The sound of a file, at 8,000 Hz.
///
/// # Errors
/// What is wrong with it.
pub fn samples_of(format: Format, bytes: &[u8]) -> Result<Vec<i16>, String> {
    match format {
        Format::Wav => media::wav::read_prompt(bytes).map_err(|error| error.to_string()),
        Format::Ogg => media::ogg::read_prompt(bytes).map_err(|error| error.to_string()),
        Format::Raw(_) if bytes.is_empty() => Err("the file holds no sound".into()),
        Format::Raw(_) if bytes.len() > media::wav::PROMPT_SAMPLES_MAX => {
            Err("longer than ten minutes".into())
        }
        Format::Raw(law) => {
            let mut samples = vec![0; bytes.len()];
            codec::decode(law, bytes, &mut samples);
            Ok(samples)
        }
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
        let samples = &prompts["safe_harbour"].samples;
        assert!(samples.len() > 8000 && samples.iter().any(|sample| sample.unsigned_abs() > 5000));
    }

    #[test]
    fn what_the_configuration_names_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("broken.wav"), b"RIFF").unwrap();
        let prompts = load(folder.path(), BTreeMap::new());
        let check = |name| must_be_there("media.hold_prompt", name, &prompts, folder.path());
        assert!(check("hold_tune").is_ok() && check("broken").is_ok());
        let told = check("hold_tone").unwrap_err().to_string();
        assert!(told.starts_with("media.hold_prompt = \"hold_tone\": there is no such prompt"), "{told}");
    }

    #[test]
    fn raw_files_are_read_and_a_file_takes_the_place_of_what_is_built_in() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("hold_tune.ulaw"), [0x80_u8; 800]).unwrap();
        std::fs::write(folder.path().join("empty.alaw"), []).unwrap();
        let spoken = ["hold_tune", "comfort_tone", "hello"].map(|name| {
            let spoken = Spoken { samples: [7_i16; 3].into(), text: "La".into(), voice: "en".into() };
            (name.to_owned(), spoken)
        });
        let prompts = load(folder.path(), BTreeMap::from(spoken));
        assert_eq!(prompts["hold_tune"].samples.to_vec(), [32_124; 800]);
        assert_eq!(prompts["comfort_tone"].samples.to_vec(), [7; 3]);
        assert_eq!(prompts["hello"].samples.to_vec(), [7; 3]);
        assert!(!prompts.contains_key("empty"));
    }
}
