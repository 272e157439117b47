use super::*;
use axum::{Json, Router, http::HeaderMap, http::StatusCode, routing::post};
use std::cell::Cell;

/// A WAV file of `samples`, one channel at 16,000 Hz.
fn wav(samples: &[i16]) -> Vec<u8> {
    let mut file =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3E\0\0\0\x7D\0\0\x02\0\x10\0data".to_vec();
    file.extend((samples.len() as u32 * 2).to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

/// Speaks one second of a level per voice, or fails as told, and counts how often it was asked.
struct Fake {
    asked: Cell<u32>,
    fails: Option<SpeechError>,
}

impl SpeechEngine for Fake {
    fn identity(&self) -> String {
        "fake".into()
    }
    fn render(&self, text: &str, voice: &str) -> Result<Vec<u8>, SpeechError> {
        self.asked.set(self.asked.get() + 1);
        match &self.fails {
            Some(error) => Err(error.clone()),
            None if text == "mute" => Ok(Vec::new()),
            None => Ok(wav(&[if voice == "low" { 100 } else { 9_000 }; 16_000])),
        }
    }
}

fn fake(fails: Option<SpeechError>) -> Fake {
    Fake { asked: Cell::new(0), fails }
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

#[test]
fn a_text_is_rendered_once_until_it_changes_or_what_is_kept_is_damaged() {
    let texts =
        folder(&[("hello.txt", b"Hello"), ("low.TXT", b"voice: low\nHello"), ("other.wav", b"Hello")]);
    let cache = texts.path().join("cache");
    let engine = fake(None);
    let speak = || speak(&engine, "high", texts_of(texts.path()), &cache);
    let prompts = speak();
    assert_eq!(prompts.keys().collect::<Vec<_>>(), ["hello", "low"]);
    assert!(prompts["hello"].samples.len() == 8_000 && prompts["hello"].samples[4_000].abs_diff(9_000) < 20);
    assert!(prompts["low"].samples[4_000].abs_diff(100) < 3);
    assert_eq!(engine.asked.get(), 2);
    assert_eq!(speak(), prompts);
    assert_eq!(engine.asked.get(), 2, "all was kept");
    std::fs::write(texts.path().join("hello.txt"), "Hello again").unwrap();
    speak();
    assert_eq!(engine.asked.get(), 3);
    for kept in std::fs::read_dir(&cache).unwrap() {
        std::fs::write(kept.unwrap().path(), b"RIFF").unwrap();
    }
    assert_eq!(speak().len(), 2);
    assert_eq!(engine.asked.get(), 5);
}

#[test]
fn texts_that_cannot_be_spoken_are_left_out_alone() {
    let long = vec![b'a'; TEXT_BYTES_MAX + 1];
    let texts = folder(&[
        ("good.txt", b"Hello"),
        ("empty.txt", b" \n"),
        ("only_voice.txt", b"voice: en"),
        ("option.txt", b"voice: -f/etc/passwd\nHello"),
        ("path.txt", b"voice: ../x\nHello"),
        ("latin.txt", b"caf\xe9"),
        ("long.txt", &long),
        ("mute.txt", b"mute"),
    ]);
    let prompts = speak(&fake(None), "high", texts_of(texts.path()), &texts.path().join("cache"));
    assert_eq!(prompts.keys().collect::<Vec<_>>(), ["good"]);
}

#[test]
fn a_missing_engine_is_asked_once_and_what_is_kept_is_used_without_it() {
    let texts = folder(&[("a.txt", b"A"), ("b.txt", b"B")]);
    let cache = texts.path().join("cache");
    let missing = fake(Some(SpeechError::Unavailable("gone".into())));
    assert!(speak(&missing, "high", texts_of(texts.path()), &cache).is_empty());
    assert_eq!(missing.asked.get(), 1);
    let refusing = fake(Some(SpeechError::Refused("no".into())));
    assert!(speak(&refusing, "high", texts_of(texts.path()), &cache).is_empty());
    assert_eq!(refusing.asked.get(), 2, "another text may fare better");
    speak(&fake(None), "high", texts_of(texts.path()), &cache);
    assert_eq!(speak(&missing, "high", texts_of(texts.path()), &cache).len(), 2);
    assert_eq!(missing.asked.get(), 1);
}

/// Renders where the daemon does: on a thread that may block, beside the runtime.
async fn render(engine: impl SpeechEngine + 'static, text: &'static str) -> Result<Vec<u8>, SpeechError> {
    tokio::task::spawn_blocking(move || engine.render(text, "en")).await.unwrap()
}

/// A program of two lines in place of espeak-ng.
fn program(folder: &Path, body: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("speaker");
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_program_gets_the_text_by_pipe_and_the_voice_by_argument() {
    let folder = tempfile::tempdir().unwrap();
    let command = program(folder.path(), "echo \"$*\"; cat");
    let sound = render(Espeak::new(&command, PATIENCE), "--version; 空号").await.unwrap();
    assert_eq!(String::from_utf8(sound).unwrap(), "--stdin --stdout -b 1 -v en\n--version; 空号");
}

#[tokio::test]
async fn a_program_that_is_missing_refuses_or_never_ends_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let error = render(Espeak::new("/nowhere/espeak-ng", PATIENCE), "hello").await.unwrap_err();
    assert!(matches!(&error, SpeechError::Absent(why) if why.contains("install espeak-ng")), "{error}");
    let command = program(folder.path(), "echo 'no such voice' >&2; exit 1");
    let error = render(Espeak::new(&command, PATIENCE), "hello").await.unwrap_err();
    assert!(matches!(&error, SpeechError::Refused(why) if why.contains("no such voice")), "{error}");
    let endless = tempfile::tempdir().unwrap();
    let command = program(endless.path(), "exec sleep 600");
    let error = render(Espeak::new(&command, Duration::from_millis(50)), "hello").await.unwrap_err();
    assert!(matches!(&error, SpeechError::Unavailable(why) if why.contains("did not end")), "{error}");
}

#[tokio::test]
async fn a_server_is_asked_as_openai_is() {
    let speech = |headers: HeaderMap, Json(body): Json<serde_json::Value>| async move {
        if headers.get("authorization").is_none_or(|value| value != "Bearer secret") {
            return Err(StatusCode::UNAUTHORIZED);
        }
        let wanted =
            serde_json::json!({"model": "m", "voice": "en", "input": "hello", "response_format": "wav"});
        if body == wanted { Ok(wav(&[5; 160])) } else { Err(StatusCode::BAD_REQUEST) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/", listener.local_addr().unwrap());
    let app = Router::new().route("/v1/audio/speech", post(speech));
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let engine = |key| HttpSpeech::new(&url, key, "m", PATIENCE);
    assert_eq!(render(engine(Some("secret")), "hello").await, Ok(wav(&[5; 160])));
    let error = render(engine(None), "hello").await.unwrap_err();
    assert!(matches!(&error, SpeechError::Unavailable(why) if why.contains("401")), "{error}");
    let error = render(engine(Some("secret")), "other").await.unwrap_err();
    assert!(matches!(&error, SpeechError::Refused(why) if why.contains("400")), "{error}");
    server.abort();
}
