//! A server with the interface of OpenAI's: `POST {url}/audio/transcriptions`, a form with a WAV file, answered by JSON
//! with the field `text`.

use super::{Recogniser, RecogniserError};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The server.
pub struct HttpRecogniser {
    client: reqwest::Client,
    url: String,
    key: Option<String>,
    model: String,
    language: Option<String>,
}

impl HttpRecogniser {
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(
        (url, key): (&str, Option<&str>),
        (model, language): (&str, Option<&str>),
        timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        Ok(HttpRecogniser {
            client: reqwest::Client::builder().timeout(timeout).build()?,
            url: format!("{}/audio/transcriptions", url.trim_end_matches('/')),
            key: key.map(str::to_owned),
            model: model.to_owned(),
            language: language.map(str::to_owned),
        })
    }

    async fn ask(&self, wav: Vec<u8>) -> Result<String, RecogniserError> {
        let failed = |error: reqwest::Error| {
            let error = error.without_url();
            RecogniserError(format!("{}: {error}", self.url))
        };
        let boundary = boundary_not_in(&wav);
        let mut request = self
            .client
            .post(&self.url)
            .header("Content-Type", format!("multipart/form-data; boundary={boundary}"))
            .body(self.form(&boundary, &wav));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let mut answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(RecogniserError(format!("{} answered {status}", self.url)));
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(failed)? {
            if body.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(RecogniserError(format!("{} sent more than 64 KiB", self.url)));
            }
            body.extend_from_slice(&part);
        }
        let answer: serde_json::Value = serde_json::from_slice(&body)
            .map_err(|error| RecogniserError(format!("{} answered no JSON: {error}", self.url)))?;
        let text = answer.get("text").and_then(serde_json::Value::as_str);
        text.map(str::to_owned)
            .ok_or_else(|| RecogniserError(format!("{} answered without a field text", self.url)))
    }

    /// The form (RFC 7578).
    fn form(&self, boundary: &str, wav: &[u8]) -> Vec<u8> {
        let mut form = Vec::with_capacity(wav.len() + 1_024);
        let fields = [("model", Some(self.model.as_str())), ("language", self.language.as_deref())];
        for (name, value) in fields.into_iter().chain([("response_format", Some("json"))]) {
            let Some(value) = value else { continue };
            let part =
                format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            form.extend_from_slice(part.as_bytes());
        }
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"heard.wav\"\r\n\
             Content-Type: audio/wav\r\n\r\n"
        );
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(wav);
        form.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        form
    }
}

impl Recogniser for HttpRecogniser {
    fn words(
        &self,
        wav: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Result<String, RecogniserError>> + Send + '_>> {
        Box::pin(self.ask(wav))
    }
}

/// A line that the sound does not hold.
fn boundary_not_in(sound: &[u8]) -> String {
    let holds = |text: &String| sound.windows(text.len()).any(|window| window == text.as_bytes());
    (0..)
        .map(|number: u64| format!("dialerd-form-{number:016x}"))
        .find(|text| !holds(text))
        .unwrap_or_default()
}
