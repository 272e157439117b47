//! The prompts of the node while it runs: put there and taken away over the API, on disk before that is answered, and in
//! the shards before the next call.
//!
//! What is on disk is what the next start reads: `NAME.wav` (8,000 Hz, one channel) of a sound, `NAME.txt` of a text.

use crate::control_thread::ControlMessage;
use crate::prompts::{self, Format, Kept, Source};
use crate::voice::{self, SpeechError, VoiceConfig};
use control_api::prompts::{PromptContent, PromptFault, PromptInfo, PromptShelf, PromptSource, SoundFormat};
use engine::ShardCommand;
use futures_util::future::BoxFuture;
use media::wav;
use runtime::mailbox;
use sansio::WallTime;
use sansio::pii::Spellings;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::UNIX_EPOCH;

/// Prompts that are not built in, at most.
const PROMPTS_MAX: usize = 2_000;
/// Sound in all of them, at most: four and a half hours.
const SAMPLES_MAX: usize = 128 << 20;

/// The prompts, and where they are kept.
pub struct Shelf {
    folder: PathBuf,
    cache: PathBuf,
    voice: VoiceConfig,
    prompts: RwLock<BTreeMap<String, Kept>>,
    /// One change at a time: on disk, here and in the shards in the same order.
    changing: tokio::sync::Mutex<()>,
    to_control: mailbox::Sender<ControlMessage>,
}

impl Shelf {
    /// With what was loaded at the start.
    pub fn new(
        folder: PathBuf,
        cache: PathBuf,
        voice: VoiceConfig,
        prompts: BTreeMap<String, Kept>,
        to_control: mailbox::Sender<ControlMessage>,
    ) -> Self {
        let (prompts, changing) = (RwLock::new(prompts), tokio::sync::Mutex::new(()));
        Shelf { folder, cache, voice, prompts, changing, to_control }
    }

    fn kept(&self, name: &str) -> Option<Kept> {
        self.prompts.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    async fn tell(&self, command: ShardCommand) -> Result<(), PromptFault> {
        let told = self.to_control.send(ControlMessage::ShardSetup(command)).await;
        told.map_err(|_| PromptFault::Disk("the control thread has stopped".into()))
    }

    /// Renders or reads, checks, and writes to disk. Blocks.
    fn store(
        folder: &Path,
        cache: &Path,
        config: &VoiceConfig,
        name: &str,
        content: PromptContent,
    ) -> Result<Kept, PromptFault> {
        let changed_at = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let changed_at = Some(WallTime::from_unix_millis(changed_at.as_millis() as i64));
        let disk = |error: std::io::Error| PromptFault::Disk(error.to_string());
        match content {
            PromptContent::Sound(format, bytes) => {
                let format = match format {
                    SoundFormat::Wav => Format::Wav,
                    SoundFormat::Pcmu => Format::Raw(media::Codec::Pcmu),
                    SoundFormat::Pcma => Format::Raw(media::Codec::Pcma),
                    SoundFormat::Ogg => Format::Ogg,
                };
                if matches!(format, Format::Wav) {
                    wav::check(&bytes).map_err(|error| PromptFault::Unusable(error.to_string()))?;
                }
                let samples = prompts::samples_of(format, &bytes).map_err(PromptFault::Unusable)?;
                keep(folder, name, "wav", &wav::mono(&samples)).map_err(disk)?;
                Ok(Kept { samples: samples.into(), source: Source::Sound, changed_at })
            }
            PromptContent::Text { text, voice } => {
                let text = text.trim().to_owned();
                let voice = voice.unwrap_or_else(|| config.voice.clone());
                let samples =
                    voice::speak_one(config, cache, &text, &voice).map_err(|error| match error {
                        SpeechError::Refused(why) => PromptFault::Unusable(why),
                        SpeechError::Absent(why) => PromptFault::Silent(why),
                        SpeechError::Unavailable(why) => PromptFault::Engine(why),
                    })?;
                keep(folder, name, "txt", format!("voice: {voice}\n{text}\n").as_bytes()).map_err(disk)?;
                let source = Source::Text { text, voice };
                Ok(Kept { samples: samples.into(), source, changed_at })
            }
        }
    }

    /// Makes or replaces one; nobody else changes any meanwhile.
    async fn put_now(&self, name: String, content: PromptContent) -> Result<PromptInfo, PromptFault> {
        self.check_room(&name)?;
        let (folder, cache, voice) = (self.folder.clone(), self.cache.clone(), self.voice.clone());
        let of = name.clone();
        let stored = tokio::task::spawn_blocking(move || Self::store(&folder, &cache, &voice, &of, content));
        let kept = stored.await.map_err(|error| PromptFault::Disk(error.to_string()))??;
        let samples = Arc::clone(&kept.samples);
        let info = info(&name, &kept);
        let before = self.prompts.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), kept);
        self.tell(ShardCommand::LoadPrompt { name, samples }).await?;
        if before.is_some_and(|before| matches!(before.source, Source::Text { .. })) {
            self.sweep().await?;
        }
        Ok(info)
    }

    /// Takes one away; nobody else changes any meanwhile.
    async fn delete_now(&self, name: String) -> Result<(), PromptFault> {
        let spoken = match self.kept(&name) {
            None => return Err(PromptFault::Unknown),
            Some(kept) if kept.source == Source::BuiltIn => return Err(PromptFault::BuiltIn),
            Some(kept) => matches!(kept.source, Source::Text { .. }),
        };
        let (folder, of) = (self.folder.clone(), name.clone());
        on_disk(move || forget(&folder, &of, None)).await?;
        let below = prompts::built_in().remove(&name);
        let command = {
            let mut prompts = self.prompts.write().unwrap_or_else(PoisonError::into_inner);
            match below {
                Some(kept) => {
                    let samples = Arc::clone(&kept.samples);
                    prompts.insert(name.clone(), kept);
                    ShardCommand::LoadPrompt { name, samples }
                }
                None => {
                    prompts.remove(&name);
                    ShardCommand::ForgetPrompt { name }
                }
            }
        };
        self.tell(command).await?;
        if spoken { self.sweep().await } else { Ok(()) }
    }

    /// Name, text and voice of what is spoken.
    fn texts(&self) -> Vec<(String, String, String)> {
        let prompts = self.prompts.read().unwrap_or_else(PoisonError::into_inner);
        let spoken = prompts.iter().filter_map(|(name, kept)| match &kept.source {
            Source::Text { text, voice } => Some((name.clone(), text.clone(), voice.clone())),
            Source::BuiltIn | Source::Sound => None,
        });
        spoken.collect()
    }

    /// Takes away what was spoken of texts that are not there any more.
    async fn sweep(&self) -> Result<(), PromptFault> {
        let (config, cache, texts) = (self.voice.clone(), self.cache.clone(), self.texts());
        on_disk(move || {
            let texts = texts.iter().map(|(_, text, voice)| (voice.as_str(), text.as_str()));
            voice::sweep(&config, &cache, texts)
        })
        .await
    }

    fn check_room(&self, name: &str) -> Result<(), PromptFault> {
        let prompts = self.prompts.read().unwrap_or_else(PoisonError::into_inner);
        let others = prompts
            .iter()
            .filter(|(known, kept)| kept.source != Source::BuiltIn && known.as_str() != name)
            .map(|(_, kept)| kept.samples.len());
        let (count, samples) = others.fold((0, 0), |(count, sum), length| (count + 1, sum + length));
        if count >= PROMPTS_MAX {
            return Err(PromptFault::Limit(format!(
                "there are {PROMPTS_MAX} prompts, the most there may be"
            )));
        }
        if samples + wav::PROMPT_SAMPLES_MAX > SAMPLES_MAX {
            return Err(PromptFault::Limit("all prompts together are too long; delete some".into()));
        }
        Ok(())
    }
}

impl PromptShelf for Shelf {
    fn list(&self) -> Vec<PromptInfo> {
        let prompts = self.prompts.read().unwrap_or_else(PoisonError::into_inner);
        prompts.iter().map(|(name, kept)| info(name, kept)).collect()
    }

    fn get(&self, name: &str) -> Option<PromptInfo> {
        self.kept(name).map(|kept| info(name, &kept))
    }

    fn is_built_in(&self, name: &str) -> bool {
        prompts::built_in().contains_key(name)
    }

    fn sound(&self, name: &str) -> Option<Vec<u8>> {
        self.kept(name).map(|kept| wav::mono(&kept.samples))
    }

    fn put(&self, name: String, content: PromptContent) -> BoxFuture<'_, Result<PromptInfo, PromptFault>> {
        Box::pin(async move {
            let _one = self.changing.lock().await;
            self.put_now(name, content).await
        })
    }

    fn delete(&self, name: String) -> BoxFuture<'_, Result<(), PromptFault>> {
        Box::pin(async move {
            let _one = self.changing.lock().await;
            self.delete_now(name).await
        })
    }

    fn strike_out(&self, number: Spellings) -> BoxFuture<'_, Result<u64, PromptFault>> {
        Box::pin(async move {
            let _one = self.changing.lock().await;
            let mut said = self.texts();
            said.retain(|(_, text, _)| number.is_in(text));
            let count = said.len() as u64;
            for (name, text, voice) in said {
                let text = number.replaced(&text, "");
                let content = PromptContent::Text { text: text.trim().to_owned(), voice: Some(voice) };
                let spoken = text.chars().any(char::is_alphanumeric);
                if !spoken || self.put_now(name.clone(), content).await.is_err() {
                    tracing::warn!(
                        prompt = name,
                        "deleted: it cannot be spoken without the number of who was erased"
                    );
                    self.delete_now(name).await?;
                }
            }
            let folder = self.folder.clone();
            let files = on_disk(move || strike_files(&folder, &number)).await?;
            self.sweep().await?;
            Ok(count + files)
        })
    }
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, PromptFault> {
    let done = tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other);
    done.and_then(|done| done).map_err(|error| PromptFault::Disk(error.to_string()))
}

/// Takes away texts with a number that no prompt is read from: those that cannot be spoken, or that a sound stands before.
fn strike_files(folder: &Path, number: &Spellings) -> std::io::Result<u64> {
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_text = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("txt"));
        if is_text && number.is_in(&String::from_utf8_lossy(&std::fs::read(&path)?)) {
            std::fs::remove_file(&path)?;
            count += 1;
        }
    }
    Ok(count)
}

fn info(name: &str, kept: &Kept) -> PromptInfo {
    let (source, text, voice) = match &kept.source {
        Source::BuiltIn => (PromptSource::BuiltIn, None, None),
        Source::Sound => (PromptSource::Sound, None, None),
        Source::Text { text, voice } => (PromptSource::Text, Some(text.clone()), Some(voice.clone())),
    };
    PromptInfo {
        name: name.to_owned(),
        source,
        duration_ms: kept.samples.len() as u64 / 8,
        text,
        voice,
        changed_at: kept.changed_at,
    }
}

/// Writes a prompt's file whole and synced, then takes away what was under its name before.
fn keep(folder: &Path, name: &str, extension: &str, bytes: &[u8]) -> std::io::Result<()> {
    let place = folder.join(format!("{name}.{extension}"));
    let half = folder.join(format!("{name}.{extension}.part"));
    let written = File::create(&half)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&half, &place));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&half);
        return Err(error);
    }
    forget(folder, name, Some(&place))
}

/// Takes away the files of a prompt, but for this one.
fn forget(folder: &Path, name: &str, but: Option<&Path>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if but != Some(&path) && prompts::name_of(&path) == Some(name) {
            std::fs::remove_file(&path)?;
        }
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voice::EngineConfig;
    use std::time::Duration;

    struct House {
        folder: tempfile::TempDir,
        shelf: Shelf,
        orders: mailbox::Receiver<ControlMessage>,
    }

    fn loaded(folder: &Path) -> BTreeMap<String, Kept> {
        prompts::load(folder, BTreeMap::new())
    }

    fn house() -> House {
        let folder = tempfile::tempdir().unwrap();
        let voice =
            VoiceConfig { engine: EngineConfig::None, voice: "en".into(), timeout: Duration::from_secs(1) };
        let (to_control, orders) = mailbox::bounded(16);
        let (path, cache) = (folder.path().to_owned(), folder.path().join("cache"));
        let shelf = Shelf::new(path.clone(), cache, voice, loaded(&path), to_control);
        House { folder, shelf, orders }
    }

    fn files(house: &House) -> Vec<String> {
        let entries = std::fs::read_dir(house.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn sound(level: i16) -> PromptContent {
        PromptContent::Sound(SoundFormat::Wav, wav::mono(&[level; 800]).into())
    }

    #[tokio::test]
    async fn what_is_put_is_played_and_kept_and_what_is_deleted_is_as_before() {
        let mut house = house();
        for (name, level) in [("hello", 5), ("hello", 6), ("hold_tune", 7)] {
            let info = house.shelf.put(name.into(), sound(level)).await.unwrap();
            assert_eq!((info.source, info.duration_ms), (PromptSource::Sound, 100));
            let Some(ControlMessage::ShardSetup(ShardCommand::LoadPrompt { name: told, samples })) =
                house.orders.recv().await
            else {
                panic!("the shards are told");
            };
            assert_eq!((told.as_str(), &samples[..]), (name, &[level; 800][..]));
        }
        assert_eq!(files(&house), ["hello.wav", "hold_tune.wav"]);
        let again = loaded(house.folder.path());
        assert_eq!((again["hello"].samples[0], again["hold_tune"].samples[0]), (6, 7));
        assert_eq!(house.shelf.delete("busy_us".into()).await, Err(PromptFault::BuiltIn));
        assert_eq!(house.shelf.delete("nothing".into()).await, Err(PromptFault::Unknown));
        house.shelf.delete("hello".into()).await.unwrap();
        house.shelf.delete("hold_tune".into()).await.unwrap();
        assert!(matches!(
            house.orders.recv().await,
            Some(ControlMessage::ShardSetup(ShardCommand::ForgetPrompt { name })) if name == "hello"
        ));
        assert!(matches!(
            house.orders.recv().await,
            Some(ControlMessage::ShardSetup(ShardCommand::LoadPrompt { name, samples }))
                if name == "hold_tune" && samples.len() > 8_000
        ));
        assert!(files(&house).is_empty());
        assert_eq!(house.shelf.get("hold_tune").unwrap().source, PromptSource::BuiltIn);
        assert_eq!(house.shelf.get("hello"), None);
    }

    #[tokio::test]
    async fn a_number_goes_from_texts_and_from_what_was_spoken_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let (path, cache) = (folder.path().to_owned(), folder.path().join("voice"));
        std::fs::write(path.join("unheard.txt"), "call 030 1234567").unwrap();
        std::fs::write(path.join("other.txt"), "call 030 7654321").unwrap();
        std::fs::create_dir(&cache).unwrap();
        std::fs::write(cache.join(format!("{}.wav", "a".repeat(64))), "of an earlier text").unwrap();
        let engine = EngineConfig::Espeak { command: "no-such-program".into() };
        let voice = VoiceConfig { engine, voice: "en".into(), timeout: Duration::from_secs(30) };
        // What it would say is kept already, so that no program is needed.
        for text in ["Hello, +49 30 1234567 is yours.", "Hello,  is yours.", "030-1234567", "Good day."] {
            let file = voice::file_name(&voice, "en", text).unwrap();
            std::fs::write(cache.join(file), wav::mono(&[7; 800])).unwrap();
        }
        let (to_control, _orders) = mailbox::bounded(16);
        let shelf = Shelf::new(path.clone(), cache.clone(), voice, prompts::built_in(), to_control);
        let text = |text: &str| PromptContent::Text { text: text.into(), voice: None };
        shelf.put("greeting".into(), text("Hello, +49 30 1234567 is yours.")).await.unwrap();
        shelf.put("number_alone".into(), text("030-1234567")).await.unwrap();
        shelf.put("clean".into(), text("Good day.")).await.unwrap();
        let number = Spellings::new("+49301234567", ["0301234567"]);
        assert_eq!(shelf.strike_out(number.clone()).await, Ok(3));
        assert_eq!(shelf.get("greeting").unwrap().text.as_deref(), Some("Hello,  is yours."));
        assert_eq!(shelf.get("number_alone"), None, "there is nothing left to say");
        assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 2, "of the texts that are there");
        let left = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
        for file in left.filter(|file| file.extension().is_some_and(|extension| extension == "txt")) {
            assert!(!number.is_in(&std::fs::read_to_string(&file).unwrap()), "{}", file.display());
        }
        assert!(path.join("other.txt").exists());
    }

    #[tokio::test]
    async fn what_cannot_be_used_changes_nothing() {
        let house = house();
        house.shelf.put("hello".into(), sound(5)).await.unwrap();
        let mut lies = wav::mono(&[1; 800]);
        lies[40..44].copy_from_slice(&9_000_000_u32.to_le_bytes());
        for (format, bytes, why) in [
            (SoundFormat::Wav, lies, "claims 9000000 bytes"),
            (SoundFormat::Wav, b"ID3 this is an mp3".to_vec(), "not a WAV file"),
            (SoundFormat::Ogg, b"OggS".to_vec(), "Ogg"),
            (SoundFormat::Pcmu, Vec::new(), "no sound"),
            (SoundFormat::Pcma, vec![0; wav::PROMPT_SAMPLES_MAX + 1], "longer than ten minutes"),
        ] {
            let fault = house.shelf.put("hello".into(), PromptContent::Sound(format, bytes.into())).await;
            let Err(PromptFault::Unusable(told)) = fault else { panic!("{why}: {fault:?}") };
            assert!(told.contains(why), "{told}");
        }
        let text = PromptContent::Text { text: "Hello".into(), voice: None };
        assert!(matches!(house.shelf.put("hello".into(), text).await, Err(PromptFault::Silent(_))));
        assert_eq!(files(&house), ["hello.wav"]);
        assert_eq!(house.shelf.kept("hello").unwrap().samples[0], 5);
    }
}
