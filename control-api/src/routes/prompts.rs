//! `/v1/prompts`.

use super::{Answer, Api};
use crate::auth::{Caller, Scope};
use crate::extract::{Checks, JsonBody, Params, parse_json, read_body};
use crate::gateway::Gateway;
use crate::page::{PageBody, page};
use crate::problem::{Code, Problem, ProblemBody};
use crate::prompts::{PromptContent, PromptFault, PromptShelf, PromptSource, SOUND_BYTES_MAX, SoundFormat};
use crate::wire::prompt::{NewPrompt, Prompt, PromptText};
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use axum::http::{Response, StatusCode, Uri};
use axum::response::IntoResponse;
use std::sync::Arc;

const READ: &[Scope] = &[Scope::CampaignsRead];
const WRITE: &[Scope] = &[Scope::CampaignsWrite];
const TEXT_BYTES_MAX: usize = 10_000;

fn shelf(api: &Gateway) -> Result<Arc<dyn PromptShelf>, Problem> {
    api.prompts().ok_or_else(|| Problem::not_found("prompt"))
}

fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(good)
}

/// Shows the prompts, those built in too, in order of their names.
#[utoipa::path(
    get, path = "/v1/prompts", tag = "prompts",
    params(
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "the prompts", body = PageBody<Prompt>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:read"]))
)]
pub(crate) async fn list(State(api): Api, caller: Caller, uri: Uri, params: Params) -> Answer {
    caller.needs(READ)?;
    params.only(&["limit", "cursor"])?;
    let (limit, cursor) = (params.limit()? as usize, params.text("cursor"));
    let mask = caller.mask();
    let all = api.prompts().map_or_else(Vec::new, |shelf| shelf.list());
    let mut after =
        all.into_iter().filter(|prompt| cursor.is_none_or(|cursor| prompt.name.as_str() > cursor));
    let data: Vec<Prompt> = after.by_ref().take(limit).map(|info| Prompt::new(info, mask)).collect();
    let next_cursor = after.next().and(data.last().map(|last| last.name.clone()));
    Ok(page(&uri, &params, PageBody { data, next_cursor, total: None }))
}

/// Shows a prompt.
#[utoipa::path(
    get, path = "/v1/prompts/{name}", tag = "prompts",
    params(("name" = String, Path, description = "its name")),
    responses((status = 200, description = "the prompt", body = Prompt), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:read"]))
)]
pub(crate) async fn show(State(api): Api, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.needs(READ)?;
    let info = shelf(&api)?.get(&name).ok_or_else(|| Problem::not_found("prompt"))?;
    Ok(Json(Prompt::new(info, caller.mask())).into_response())
}

/// Plays a prompt as callers hear it: WAV, 8,000 Hz, one channel.
#[utoipa::path(
    get, path = "/v1/prompts/{name}/listen", tag = "prompts",
    params(("name" = String, Path, description = "its name")),
    responses((status = 200, description = "its sound", content_type = "audio/wav", body = Vec<u8>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:read"]))
)]
pub(crate) async fn listen(State(api): Api, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.needs(READ)?;
    let sound = shelf(&api)?.sound(&name).ok_or_else(|| Problem::not_found("prompt"))?;
    let response = Response::builder()
        .status(StatusCode::OK)
        .header(CONTENT_TYPE, "audio/wav")
        .header(CACHE_CONTROL, "no-cache")
        .body(sound.into());
    response.map_err(|_| Problem::new(Code::Internal, "see the log under the request id"))
}

/// Makes a prompt from a text: it is spoken once, by the engine of the configuration, and kept. 409 if there is one of
/// this name that is not built in, or if no engine speaks.
#[utoipa::path(
    post, path = "/v1/prompts", tag = "prompts",
    params(("Idempotency-Key" = Option<String>, Header, description = "makes repeating the request safe for 24 h")),
    request_body = NewPrompt,
    responses((status = 200, description = "it replaced another", body = Prompt), (status = 201, description = "it is new", body = Prompt), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
)]
pub(crate) async fn create(State(api): Api, caller: Caller, body: JsonBody) -> Answer {
    caller.needs(WRITE)?;
    let NewPrompt { name, text, voice } = body.parse()?;
    let shelf = shelf(&api)?;
    let mut checks = Checks::default();
    checks.that(is_name(&name), "/name", "1 to 64 letters, digits, _ and -");
    check_text(&mut checks, &text);
    checks.finish()?;
    if shelf.get(&name).is_some_and(|known| known.source != PromptSource::BuiltIn) {
        return Err(Problem::new(Code::Conflict, "there is a prompt of this name; PUT replaces it"));
    }
    put(&api, &caller, name, PromptContent::Text { text, voice }, "/text").await
}

/// Makes or replaces a prompt, for all calls from now on. The body is its sound: WAV (16-bit PCM, A-law or µ-law, one or
/// two channels, 8,000 to 48,000 Hz), G.711 without a header (`audio/PCMU`, `audio/PCMA`), or Opus in Ogg; at most 20 MiB
/// and ten minutes. Or, as JSON, the text that it says. A built-in prompt is replaced as long as there is one.
#[utoipa::path(
    put, path = "/v1/prompts/{name}", tag = "prompts",
    params(("name" = String, Path, description = "its name: 1 to 64 letters, digits, `_` and `-`")),
    request_body(content(
        (Vec<u8> = "audio/wav"), (Vec<u8> = "audio/ogg"), (Vec<u8> = "audio/PCMU"), (Vec<u8> = "audio/PCMA"),
        (PromptText = "application/json")
    )),
    responses((status = 200, description = "it replaced another", body = Prompt), (status = 201, description = "it is new", body = Prompt), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
)]
pub(crate) async fn replace(
    State(api): Api,
    caller: Caller,
    Path(name): Path<String>,
    request: Request,
) -> Answer {
    caller.needs(WRITE)?;
    if !is_name(&name) {
        return Err(Problem::parameter("name", "expected 1 to 64 letters, digits, _ and -"));
    }
    if request.headers().contains_key(CONTENT_ENCODING) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "sound is taken as it is, without Content-Encoding",
        ));
    }
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let format = match kind.as_str() {
        "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => Some(SoundFormat::Wav),
        "audio/ogg" | "audio/opus" | "application/ogg" => Some(SoundFormat::Ogg),
        "audio/pcmu" | "audio/basic" => Some(SoundFormat::Pcmu),
        "audio/pcma" => Some(SoundFormat::Pcma),
        "application/json" => None,
        _ => {
            let detail = "expected Content-Type: audio/wav, audio/ogg (Opus), audio/PCMU, audio/PCMA or \
                          application/json";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
    };
    let bytes = read_body(request.into_body(), SOUND_BYTES_MAX).await?;
    let is_raw = matches!(format, Some(SoundFormat::Pcmu | SoundFormat::Pcma));
    if is_raw && (bytes.starts_with(b"RIFF") || bytes.starts_with(b"OggS")) {
        return Err(Problem::field("", "this is a WAV or Ogg file, not G.711 without a header"));
    }
    let content = match format {
        Some(format) => PromptContent::Sound(format, bytes),
        None => {
            let PromptText { text, voice } = parse_json(&bytes)?;
            let mut checks = Checks::default();
            check_text(&mut checks, &text);
            checks.finish()?;
            PromptContent::Text { text, voice }
        }
    };
    let pointer = if format.is_some() { "" } else { "/text" };
    put(&api, &caller, name, content, pointer).await
}

fn check_text(checks: &mut Checks, text: &str) {
    checks.that(!text.trim().is_empty(), "/text", "there is nothing to say");
    checks.that(text.len() <= TEXT_BYTES_MAX, "/text", "at most 10,000 bytes");
}

async fn put(api: &Gateway, caller: &Caller, name: String, content: PromptContent, pointer: &str) -> Answer {
    let shelf = shelf(api)?;
    let is_new = shelf.get(&name).is_none();
    let info = shelf.put(name, content).await.map_err(|fault| fault.problem(pointer))?;
    let particulars = serde_json::json!({ "duration_ms": info.duration_ms, "text": info.text });
    api.note(caller, "prompt.put", info.name.clone(), Some(particulars)).await?;
    let location = format!("/v1/prompts/{}", info.name);
    let body = Json(Prompt::new(info, caller.mask()));
    Ok(if is_new {
        (StatusCode::CREATED, [(LOCATION, location)], body).into_response()
    } else {
        body.into_response()
    })
}

/// Takes a prompt away; what is built in under its name is there again. 409 while a campaign, an inbound route or the
/// configuration names it, or if it is built in.
#[utoipa::path(
    delete, path = "/v1/prompts/{name}", tag = "prompts",
    params(("name" = String, Path, description = "its name")),
    responses((status = 204, description = "it is gone"), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["campaigns:write"]))
)]
pub(crate) async fn delete(State(api): Api, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.needs(WRITE)?;
    let shelf = shelf(&api)?;
    let known = shelf.get(&name).ok_or_else(|| Problem::not_found("prompt"))?;
    if known.source == PromptSource::BuiltIn {
        return Err(PromptFault::BuiltIn.problem(""));
    }
    // Where one is built in, that is played from now on.
    let by_config = api.config.prompts_named.iter().find(|(_, named)| *named == name);
    let by_config = by_config.map(|(key, _)| format!("{key} of the configuration"));
    if !shelf.is_built_in(&name)
        && let Some(user) = by_config.or_else(|| api.read_model.user_of_prompt(&name))
    {
        return Err(Problem::new(Code::Conflict, format!("the prompt is played by {user}")));
    }
    shelf.delete(name.clone()).await.map_err(|fault| fault.problem(""))?;
    api.note(&caller, "prompt.deleted", name, None).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
