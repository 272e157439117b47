//! Who understands words.

use super::check::Faults;
use super::raw;
use crate::recogniser::{Phrases, RecogniserConfig};
use std::path::Path;
use std::time::Duration;

pub fn check(raw: raw::Recogniser, folder: &Path, faults: &mut Faults) -> Option<RecogniserConfig> {
    faults.require((1..=60).contains(&raw.timeout_s), "recogniser.timeout_s", "1 to 60 seconds");
    faults.require((1..=1_000).contains(&raw.concurrent_max), "recogniser.concurrent_max", "1 to 1000");
    let language = raw.language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    faults.require(
        language && raw.language.len() <= 16,
        "recogniser.language",
        "a code such as \"zh\" or \"en\"",
    );
    let word =
        |text: &str| (1..=100).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    match raw.engine {
        raw::RecogniserEngine::None => return None,
        raw::RecogniserEngine::Http => {
            let good = reqwest::Url::parse(&raw.url)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            faults.require(
                good,
                "recogniser.url",
                "an address such as \"http://127.0.0.1:8000/v1\" when engine is \"http\"",
            );
            faults.require(word(&raw.model), "recogniser.model", "the name of the server's model");
        }
    }
    let set = |text: String| Some(text).filter(|text| !text.is_empty());
    let phrases = set(raw.phrases).map(|file| folder.join(file));
    if let Some(file) = &phrases
        && let Err(error) = Phrases::load(Some(file))
    {
        faults.require(false, "recogniser.phrases", &format!("a file of phrases by class ({error})"));
    }
    Some(RecogniserConfig {
        url: raw.url,
        key: set(raw.key),
        model: raw.model,
        language: set(raw.language),
        timeout: Duration::from_secs(raw.timeout_s),
        concurrent_max: raw.concurrent_max,
        phrases,
    })
}
