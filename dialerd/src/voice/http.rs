//! A speech server with the interface of OpenAI's: `POST {url}/audio/speech`, answered by a WAV file.

use super::{SOUND_BYTES_MAX, SpeechEngine, SpeechError};
use std::time::Duration;

/// The server, and how long it may take for one text.
pub struct HttpSpeech {
    url: String,
    key: Option<String>,
    model: String,
    timeout: Duration,
}

impl HttpSpeech {
    pub fn new(url: &str, key: Option<&str>, model: &str, timeout: Duration) -> Self {
        HttpSpeech {
            url: format!("{}/audio/speech", url.trim_end_matches('/')),
            key: key.map(str::to_owned),
            model: model.to_owned(),
            timeout,
        }
    }

    async fn ask(&self, text: &str, voice: &str) -> Result<Vec<u8>, SpeechError> {
        let unavailable = |error: reqwest::Error| SpeechError::Unavailable(format!("{}: {error}", self.url));
        let client = reqwest::Client::builder().timeout(self.timeout).build().map_err(unavailable)?;
        let mut request = client.post(&self.url).json(&serde_json::json!({
            "model": self.model, "voice": voice, "input": text, "response_format": "wav",
        }));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let mut answer = request.send().await.map_err(unavailable)?;
        let status = answer.status();
        if !status.is_success() {
            let why = format!("{} answered {status}", self.url);
            // A text or voice that is not taken is its own fault; a key or a server that fails is everyone's.
            let of_this_text = matches!(status.as_u16(), 400 | 413 | 422);
            return Err(if of_this_text { SpeechError::Refused(why) } else { SpeechError::Unavailable(why) });
        }
        let mut sound = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(unavailable)? {
            if sound.len() + part.len() > SOUND_BYTES_MAX {
                return Err(SpeechError::Refused(format!("{} sent more than ten minutes", self.url)));
            }
            sound.extend_from_slice(&part);
        }
        Ok(sound)
    }
}

impl SpeechEngine for HttpSpeech {
    fn identity(&self) -> String {
        format!("http {} {}", self.url, self.model)
    }

    fn render(&self, text: &str, voice: &str) -> Result<Vec<u8>, SpeechError> {
        tokio::runtime::Handle::current().block_on(self.ask(text, voice))
    }
}
