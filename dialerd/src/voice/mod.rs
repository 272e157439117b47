//! Spoken prompts: texts in the prompts' folder, rendered once by a speech engine and kept on disk by what they say.
//!
//! `NAME.txt` is the prompt `NAME`. Its first line may be `voice: VOICE`; all else is spoken. A rendering is kept as
//! `SHA-256(engine, voice, text).wav`, so a text is rendered again only when one of the three changes.

mod espeak;
mod http;

pub use espeak::Espeak;
pub use http::HttpSpeech;

use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The longest text of a prompt.
const TEXT_BYTES_MAX: usize = 10_000;
/// The largest file taken from an engine: ten minutes of 48,000 Hz.
const SOUND_BYTES_MAX: usize = 600 * 48_000 * 2 + 4_096;

/// Something that speaks.
pub trait SpeechEngine: Send {
    /// What, beside voice and text, decides how it sounds: the program, or the address and model.
    fn identity(&self) -> String;

    /// Speaks `text` with `voice` and returns a WAV file. Blocks; ends by itself after the engine's time limit.
    ///
    /// # Errors
    /// [`SpeechError`] says what went wrong and whether another text may fare better.
    fn render(&self, text: &str, voice: &str) -> Result<Vec<u8>, SpeechError>;
}

/// Why a text was not spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpeechError {
    /// There is no engine: other texts will fare no better.
    Absent(String),
    /// The engine cannot be reached, fails, does not end or makes no sound: other texts will fare no better.
    Unavailable(String),
    /// The engine does not take this text or voice.
    Refused(String),
}

impl fmt::Display for SpeechError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpeechError::Absent(why) | SpeechError::Unavailable(why) | SpeechError::Refused(why) => {
                f.write_str(why)
            }
        }
    }
}

impl std::error::Error for SpeechError {}

/// The section `[voice]`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoiceConfig {
    pub engine: EngineConfig,
    /// The voice of texts that name none.
    pub voice: String,
    pub timeout: Duration,
}

/// Which engine speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineConfig {
    None,
    Espeak { command: String },
    Http { url: String, key: Option<String>, model: String },
}

/// Letters that names of voices are made of: nothing that a program could take for a path or an option.
pub fn is_voice_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+.".contains(&byte);
    (1..=64).contains(&name.len()) && !name.starts_with(['-', '.']) && name.bytes().all(good)
}

/// A text that was spoken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spoken {
    pub samples: Arc<[i16]>,
    pub text: String,
    pub voice: String,
}

/// Speaks one text, or finds it kept. Must run where blocking is allowed, inside a Tokio runtime.
///
/// # Errors
/// [`SpeechError`].
pub fn speak_one(
    config: &VoiceConfig,
    cache: &Path,
    text: &str,
    voice: &str,
) -> Result<Vec<i16>, SpeechError> {
    if !is_voice_name(voice) {
        return Err(SpeechError::Refused(format!(
            "{voice:?} is not the name of a voice (letters, digits, - _ + .)"
        )));
    }
    let engine = engine_of(config)
        .ok_or_else(|| SpeechError::Absent("no engine speaks texts here: voice.engine is \"none\"".into()))?;
    kept_or_rendered(engine.as_ref(), voice, text, cache, &mut None)
}

/// The configured engine, if any.
fn engine_of(config: &VoiceConfig) -> Option<Box<dyn SpeechEngine>> {
    match &config.engine {
        EngineConfig::None => None,
        EngineConfig::Espeak { command } => Some(Box::new(Espeak::new(command, config.timeout))),
        EngineConfig::Http { url, key, model } => {
            Some(Box::new(HttpSpeech::new(url, key.as_deref(), model, config.timeout)))
        }
    }
}

/// The prompts of a folder's texts, by name. What cannot be spoken is told and left out. Must run where blocking is
/// allowed, inside a Tokio runtime.
pub fn speak_folder(config: &VoiceConfig, folder: &Path, cache: &Path) -> BTreeMap<String, Spoken> {
    let texts = texts_of(folder);
    if texts.is_empty() {
        return BTreeMap::new();
    }
    let Some(engine) = engine_of(config) else {
        tracing::warn!(texts = texts.len(), "prompts from text are left out: voice.engine is \"none\"");
        return BTreeMap::new();
    };
    speak(engine.as_ref(), &config.voice, texts, cache)
}

/// Name and path of each text, in order of names.
fn texts_of(folder: &Path) -> BTreeMap<String, PathBuf> {
    // A folder that cannot be read is told where the sound files are read.
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let text = |path: PathBuf| {
        let extension = path.extension()?.to_str()?;
        let name = path.file_stem()?.to_str()?.to_owned();
        extension.eq_ignore_ascii_case("txt").then_some((name, path))
    };
    entries.filter_map(|entry| text(entry.path())).collect()
}

fn speak(
    engine: &dyn SpeechEngine,
    voice: &str,
    texts: BTreeMap<String, PathBuf>,
    cache: &Path,
) -> BTreeMap<String, Spoken> {
    let mut prompts = BTreeMap::new();
    // Once the engine is found missing only what is kept is used: a hundred texts must not wait a hundred times.
    let mut missing = None;
    for (name, path) in texts {
        let file = path.display().to_string();
        let spoken = read_text(&path, voice).and_then(|(voice, text)| {
            let samples = kept_or_rendered(engine, &voice, &text, cache, &mut missing)?.into();
            Ok(Spoken { samples, text, voice })
        });
        match spoken {
            Ok(spoken) => {
                prompts.insert(name, spoken);
            }
            Err(error) => tracing::warn!(%error, file, "a prompt's text cannot be spoken"),
        }
    }
    prompts
}

/// Voice and text of a file.
fn read_text(path: &Path, voice: &str) -> Result<(String, String), SpeechError> {
    let refused = |why: String| SpeechError::Refused(why);
    let length = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
    if length > TEXT_BYTES_MAX as u64 {
        return Err(refused(format!("{length} bytes of text; at most {TEXT_BYTES_MAX}")));
    }
    let bytes = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    let all = String::from_utf8(bytes).map_err(|_| refused("the text is not UTF-8".into()))?;
    let all = all.trim_start_matches('\u{feff}').trim();
    let (first, rest) = all.split_once('\n').unwrap_or((all, ""));
    let (voice, text) = match first.strip_prefix("voice:") {
        Some(named) => (named.trim(), rest.trim()),
        None => (voice, all),
    };
    if !is_voice_name(voice) {
        return Err(refused(format!("{voice:?} is not the name of a voice (letters, digits, - _ + .)")));
    }
    if text.is_empty() {
        return Err(refused("there is no text".into()));
    }
    Ok((voice.to_owned(), text.to_owned()))
}

/// The file of what an engine makes of a text.
fn rendering(engine: &dyn SpeechEngine, voice: &str, text: &str) -> String {
    let mut hash = Sha256::new();
    for part in [engine.identity().as_str(), voice, text] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{digest}.wav")
}

/// The file in which what the configured engine makes of a text is kept; `None`: no engine speaks.
pub fn file_name(config: &VoiceConfig, voice: &str, text: &str) -> Option<String> {
    engine_of(config).map(|engine| rendering(engine.as_ref(), voice, text))
}

/// Takes away renderings of anything but these texts (voice and text); without an engine all of them. Blocks.
///
/// # Errors
/// A file that cannot be taken away.
pub fn sweep<'t>(
    config: &VoiceConfig,
    cache: &Path,
    texts: impl IntoIterator<Item = (&'t str, &'t str)>,
) -> std::io::Result<()> {
    let wanted: BTreeSet<String> =
        texts.into_iter().filter_map(|(voice, text)| file_name(config, voice, text)).collect();
    let entries = match std::fs::read_dir(cache) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let stem = name.strip_suffix(".wav").or_else(|| name.strip_suffix(".part")).unwrap_or_default();
        let is_ours = stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_ours && !wanted.contains(&name) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn kept_or_rendered(
    engine: &dyn SpeechEngine,
    voice: &str,
    text: &str,
    cache: &Path,
    missing: &mut Option<SpeechError>,
) -> Result<Vec<i16>, SpeechError> {
    let kept = cache.join(rendering(engine, voice, text));
    // What is kept but damaged is rendered anew.
    if let Ok(file) = std::fs::read(&kept)
        && let Ok(samples) = media::wav::read_prompt(&file)
    {
        return Ok(samples);
    }
    if let Some(error) = missing {
        return Err(error.clone());
    }
    let file = engine.render(text, voice).inspect_err(|error| {
        if matches!(error, SpeechError::Absent(_) | SpeechError::Unavailable(_)) {
            *missing = Some(error.clone());
        }
    })?;
    let samples = media::wav::read_prompt(&file)
        .map_err(|error| SpeechError::Unavailable(format!("what the engine made cannot be used: {error}")))?;
    // Renamed when whole: a crash leaves no half a prompt behind.
    let half = kept.with_extension("part");
    let written = std::fs::create_dir_all(cache)
        .and_then(|()| std::fs::write(&half, &file))
        .and_then(|()| std::fs::rename(&half, &kept));
    if let Err(error) = written {
        tracing::warn!(%error, file = %kept.display(), "a spoken prompt cannot be kept; it is rendered at each start");
    }
    Ok(samples)
}

#[cfg(test)]
mod tests;
