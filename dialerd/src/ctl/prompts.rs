//! `ctl prompts`: what there is to be played, and what is done with it.

use super::client::{Client, Refusal, escape};
use super::table::{Column, table};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const PROMPTS: &[Column] = &[
    Column("PROMPT", &["/name"]),
    Column("FROM", &["/source"]),
    Column("MS", &["/duration_ms"]),
    Column("VOICE", &["/voice"]),
    Column("TEXT", &["/text"]),
];

/// What can be done with prompts.
#[derive(Debug, Subcommand)]
pub enum PromptAct {
    /// Make or replace a prompt from a sound file (.wav, .ogg or .opus, .ulaw, .alaw).
    Upload {
        #[arg(value_name = "PROMPT")]
        prompt: String,
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Make or replace a prompt from a text.
    Say {
        #[arg(value_name = "PROMPT")]
        prompt: String,
        #[arg(value_name = "TEXT")]
        text: String,
        /// A voice of the engine [default: the configured one].
        #[arg(long, value_name = "VOICE")]
        voice: Option<String>,
    },
    /// Delete a prompt.
    Delete {
        #[arg(value_name = "PROMPT")]
        prompt: String,
    },
}

/// Shows them, or does something.
pub async fn ask(client: &Client, act: Option<&PromptAct>, as_json: bool) -> Result<String, Refusal> {
    let path = |prompt: &str| format!("/v1/prompts/{}", escape(prompt));
    let made = match act {
        None => {
            let rows = client.all("/v1/prompts", usize::MAX).await?;
            return Ok(if as_json { pretty(&json!(rows)) } else { table(PROMPTS, &rows) });
        }
        Some(PromptAct::Upload { prompt, file }) => {
            let bytes = tokio::fs::read(file)
                .await
                .map_err(|error| Refusal::WrongUse(format!("{}: {error}", file.display())))?;
            client.put(&path(prompt), kind_of(file)?, bytes).await?
        }
        Some(PromptAct::Say { prompt, text, voice }) => {
            let body = json!({ "text": text, "voice": voice });
            client.put(&path(prompt), "application/json", body.to_string().into_bytes()).await?
        }
        Some(PromptAct::Delete { prompt }) => {
            client.delete(&path(prompt)).await?;
            return Ok(format!("{prompt}: deleted"));
        }
    };
    if as_json {
        return Ok(pretty(&made));
    }
    Ok(format!("{}: {} ms", made["name"].as_str().unwrap_or_default(), made["duration_ms"]))
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn kind_of(file: &Path) -> Result<&'static str, Refusal> {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "wav" => Ok("audio/wav"),
        "ogg" | "opus" => Ok("audio/ogg"),
        "ulaw" | "ul" | "pcmu" => Ok("audio/PCMU"),
        "alaw" | "al" | "pcma" => Ok("audio/PCMA"),
        _ => Err(Refusal::WrongUse(format!(
            "{}: .wav, .ogg, .opus, .ulaw or .alaw is expected",
            file.display()
        ))),
    }
}
