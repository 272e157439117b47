//! Words in what calls hear: speech that no one was taught is given to a recogniser outside, and phrases in what it
//! understands say what an announcement means, or that an assistant asks who is calling.
//!
//! A shard hands a piece over and goes on. So many are asked about at once; what comes beyond that is not asked about, and
//! what takes too long is given up: the call never waits for it.

mod http;
mod phrases;

pub use http::HttpRecogniser;
pub use phrases::{FoundPhrase, Phrases};

use crate::metrics::Families;
use crate::shard_thread::ShardOrder;
use anyhow::{Context, anyhow};
use dialer_core::CallId;
use engine::ShardCommand;
use runtime::mailbox;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Something that understands words.
pub trait Recogniser: Send + Sync {
    /// The words in a WAV file of one channel. Ends by itself after the engine's time limit.
    fn words(
        &self,
        wav: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Result<String, RecogniserError>> + Send + '_>>;
}

/// Why nothing was understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecogniserError(pub String);

impl fmt::Display for RecogniserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RecogniserError {}

/// The section `[recogniser]`, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct RecogniserConfig {
    pub url: String,
    pub key: Option<String>,
    pub model: String,
    pub language: Option<String>,
    pub timeout: Duration,
    pub concurrent_max: usize,
    pub phrases: Option<PathBuf>,
}

impl fmt::Debug for RecogniserConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecogniserConfig").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What was counted.
#[derive(Debug, Default)]
pub struct RecogniserCounters {
    phrase: AtomicU64,
    nothing: AtomicU64,
    failed: AtomicU64,
    full: AtomicU64,
}

impl RecogniserCounters {
    /// Shows them.
    pub fn export(&self, families: &mut Families) {
        let help =
            "Pieces of speech for the recogniser: a phrase was found, none was, it failed, too many at once.";
        for (result, counter) in [
            ("phrase", &self.phrase),
            ("nothing", &self.nothing),
            ("failed", &self.failed),
            ("full", &self.full),
        ] {
            let value = counter.load(Ordering::Relaxed);
            families.counter("recogniser_pieces_total", help, &[("result", result)], value);
        }
    }
}

/// The recogniser as shards use it.
#[derive(Clone)]
pub struct Words {
    engine: Arc<dyn Recogniser>,
    phrases: Arc<Phrases>,
    room: Arc<Semaphore>,
    counters: Arc<RecogniserCounters>,
    handle: tokio::runtime::Handle,
}

impl Words {
    /// `concurrent_max` pieces are asked about at once.
    pub fn new(
        engine: Arc<dyn Recogniser>,
        phrases: Phrases,
        concurrent_max: usize,
        counters: Arc<RecogniserCounters>,
        handle: tokio::runtime::Handle,
    ) -> Self {
        let room = Arc::new(Semaphore::new(concurrent_max));
        Words { engine, phrases: Arc::new(phrases), room, counters, handle }
    }

    /// Asks about a piece; never waits. What it means comes `back` to the shard.
    pub fn ask(&self, call: CallId, samples: Arc<[i16]>, back: mailbox::Sender<ShardOrder>) {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            self.counters.full.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let words = self.clone();
        self.handle.spawn(async move {
            let wav = wav_of(&samples);
            drop(samples);
            let counters = &words.counters;
            let counter = match words.engine.words(wav).await.map(|text| words.phrases.find(&text)) {
                Ok(Some(FoundPhrase { phrase, class })) => {
                    let meant = ShardCommand::Meant { call, class, phrase: phrase.into() };
                    // A shard that has stopped has no calls.
                    let _ = back.send(ShardOrder::Command(meant)).await;
                    &counters.phrase
                }
                Ok(None) => &counters.nothing,
                Err(error) => {
                    // The first says that it fails; the others are counted.
                    if counters.failed.load(Ordering::Relaxed) == 0 {
                        tracing::warn!(%error, "the recogniser does not answer");
                    }
                    &counters.failed
                }
            };
            counter.fetch_add(1, Ordering::Relaxed);
            drop(place);
        });
    }
}

/// A WAV file of one channel, 8,000 Hz, 16 bits.
fn wav_of(samples: &[i16]) -> Vec<u8> {
    let bytes = samples.len() as u32 * 2;
    let mut wav = Vec::with_capacity(44 + samples.len() * 2);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(bytes + 36).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    wav.extend_from_slice(&16_u32.to_le_bytes());
    for part in [1_u16, 1] {
        wav.extend_from_slice(&part.to_le_bytes());
    }
    for part in [8_000_u32, 16_000] {
        wav.extend_from_slice(&part.to_le_bytes());
    }
    for part in [2_u16, 16] {
        wav.extend_from_slice(&part.to_le_bytes());
    }
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&bytes.to_le_bytes());
    wav.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    wav
}

/// The recogniser of the configuration, if there is one.
///
/// # Errors
/// The file of phrases, or TLS.
pub fn of_config(
    config: Option<&RecogniserConfig>,
    counters: &Arc<RecogniserCounters>,
) -> anyhow::Result<Option<Words>> {
    let Some(config) = config else { return Ok(None) };
    let phrases =
        Phrases::load(config.phrases.as_deref()).map_err(|error| anyhow!("recogniser.phrases: {error}"))?;
    let (server, model) =
        ((&*config.url, config.key.as_deref()), (&*config.model, config.language.as_deref()));
    let engine = HttpRecogniser::new(server, model, config.timeout).context("setting the recogniser up")?;
    let handle = tokio::runtime::Handle::current();
    Ok(Some(Words::new(Arc::new(engine), phrases, config.concurrent_max, Arc::clone(counters), handle)))
}

#[cfg(test)]
mod tests;
