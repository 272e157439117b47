//! Who speaks the prompts that are texts.

use super::check::Faults;
use super::raw;
use crate::voice::{EngineConfig, VoiceConfig, is_voice_name};
use std::time::Duration;

pub fn check(voice: raw::Voice, faults: &mut Faults) -> VoiceConfig {
    faults.require(is_voice_name(&voice.voice), "voice.voice", "1 to 64 letters, digits, - _ + .");
    faults.require((1..=300).contains(&voice.timeout_s), "voice.timeout_s", "1 to 300 seconds");
    let engine = match voice.engine {
        raw::VoiceEngine::None => EngineConfig::None,
        raw::VoiceEngine::EspeakNg => {
            faults.require(!voice.command.is_empty(), "voice.command", "a program, such as \"espeak-ng\"");
            EngineConfig::Espeak { command: voice.command }
        }
        raw::VoiceEngine::Http => {
            let good = reqwest::Url::parse(&voice.url)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            faults.require(
                good,
                "voice.url",
                "an address such as \"http://127.0.0.1:8000/v1\" when engine is \"http\"",
            );
            faults.require(!voice.model.is_empty(), "voice.model", "the name of the server's model");
            let key = Some(voice.key).filter(|key| !key.is_empty());
            EngineConfig::Http { url: voice.url, key, model: voice.model }
        }
    };
    VoiceConfig { engine, voice: voice.voice, timeout: Duration::from_secs(voice.timeout_s) }
}
