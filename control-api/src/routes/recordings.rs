//! `/v1/recordings`.

use super::{Answer, Api};
use crate::auth::{Caller, Scope};
use crate::extract::{Params, path_id};
use crate::gateway::Gateway;
use crate::page::{PageBody, page};
use crate::problem::{Code, Problem, ProblemBody};
use crate::wire::recording::{Recording, RecordingFormat};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    HeaderMap, HeaderValue, RANGE,
};
use axum::http::{Response, StatusCode, Uri};
use axum::response::IntoResponse;
use dialer_core::record::{Actor, RecordingRow};
use dialer_core::{Command, RecordingId};
use futures_util::Stream;
use std::path::{Component, PathBuf};
use std::sync::Arc;
use store::RecordingQuery;
use store::sealed::RecordingFile;

const LISTEN: &[Scope] = &[Scope::RecordingsListen, Scope::RecordingsDownload];
/// Bytes read at once.
const PIECE_BYTES: usize = 64 * 1024;
const DOWNLOAD: &[Scope] = &[Scope::RecordingsDownload];

/// Shows recordings, newest first.
#[utoipa::path(
    get, path = "/v1/recordings", tag = "recordings",
    params(
        ("call" = Option<String>, Query, description = "of this call"),
        ("campaign" = Option<String>, Query, description = "of this campaign"),
        ("agent" = Option<String>, Query, description = "of this agent"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, 100 if absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, body = PageBody<Recording>), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["recordings:listen"]))
)]
pub(crate) async fn list(State(api): Api, caller: Caller, uri: Uri, params: Params) -> Answer {
    caller.needs(LISTEN)?;
    params.only(&["call", "campaign", "agent", "limit", "cursor"])?;
    let query = RecordingQuery {
        call: params.id("call")?,
        campaign: params.id("campaign")?,
        agent: params.id("agent")?,
        tenant: crate::tenancy::tenant(),
        cursor: params.text("cursor").map(str::to_owned),
        limit: params.limit()?,
    };
    let found = api.store(move |store| store.recordings(&query)).await?;
    let data = found.items.iter().map(Recording::from).collect();
    Ok(page(&uri, &params, PageBody { data, next_cursor: found.next_cursor, total: None }))
}

async fn row(api: &Gateway, id: &str) -> Result<RecordingRow, Problem> {
    let id: RecordingId = path_id(id, "recording")?;
    api.store(move |store| store.recording(id)).await?.ok_or_else(|| Problem::not_found("recording"))
}

/// Shows a recording's data.
#[utoipa::path(
    get, path = "/v1/recordings/{id}", tag = "recordings", params(("id" = String, Path, description = "`rec_…`")),
    responses((status = 200, body = Recording), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["recordings:listen"]))
)]
pub(crate) async fn show(State(api): Api, caller: Caller, Path(id): Path<String>) -> Answer {
    caller.needs(LISTEN)?;
    Ok(Json(Recording::from(&row(&api, &id).await?)).into_response())
}

/// Plays a recording's sound (WAV or Opus in Ogg, customer left, agent right): for players, not for keeping. One byte range is
/// understood. Each access is in the audit log before the first byte leaves.
#[utoipa::path(
    get, path = "/v1/recordings/{id}/listen", tag = "recordings",
    params(
        ("id" = String, Path, description = "`rec_…`"),
        ("Range" = Option<String>, Header, description = "`bytes=0-1023`"),
    ),
    responses(
        (status = 200, content((Vec<u8> = "audio/wav"), (Vec<u8> = "audio/ogg"))),
        (status = 206, content((Vec<u8> = "audio/wav"), (Vec<u8> = "audio/ogg"))),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json")
    ),
    security(("bearer" = ["recordings:listen"]))
)]
pub(crate) async fn listen(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    caller.needs(LISTEN)?;
    sound(&api, &caller, &id, &headers, Access::Listened).await
}

/// Downloads a recording's sound (WAV or Opus in Ogg, customer left, agent right). One byte range is understood. Each access is in
/// the audit log before the first byte leaves.
#[utoipa::path(
    get, path = "/v1/recordings/{id}/download", tag = "recordings",
    params(
        ("id" = String, Path, description = "`rec_…`"),
        ("Range" = Option<String>, Header, description = "`bytes=0-1023`"),
    ),
    responses(
        (status = 200, content((Vec<u8> = "audio/wav"), (Vec<u8> = "audio/ogg"))),
        (status = 206, content((Vec<u8> = "audio/wav"), (Vec<u8> = "audio/ogg"))),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json")
    ),
    security(("bearer" = ["recordings:download"]))
)]
pub(crate) async fn download(
    State(api): Api,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    caller.needs(DOWNLOAD)?;
    sound(&api, &caller, &id, &headers, Access::Downloaded).await
}

/// Deletes a recording: its file, then what is known of it. The call's record stays.
#[utoipa::path(
    delete, path = "/v1/recordings/{id}", tag = "recordings", params(("id" = String, Path, description = "`rec_…`")),
    responses((status = 204), (status = "4XX", body = ProblemBody, content_type = "application/problem+json")),
    security(("bearer" = ["admin"]))
)]
pub(crate) async fn delete(State(api): Api, caller: Caller, Path(id): Path<String>) -> Answer {
    caller.needs(&[Scope::Admin])?;
    let row = row(&api, &id).await?;
    let by = caller.actor();
    if !api.delete_recording(&row, by, "request").await? {
        return Err(Problem::not_found("recording"));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

impl Gateway {
    /// Deletes a recording: its file first, so that none is left behind that nobody knows of. False if it was gone.
    ///
    /// # Errors
    /// When file or store refuse; what is left can be deleted by doing it again.
    pub async fn delete_recording(
        &self,
        row: &RecordingRow,
        by: Actor,
        reason: &'static str,
    ) -> Result<bool, Problem> {
        let path = inside(&self.config.recordings_dir, &row.file)?;
        match tokio::fs::remove_file(&path).await {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::error!(recording = %row.id, %error, "a recording's file cannot be deleted");
                return Err(Problem::new(Code::Internal, "the recording's file cannot be deleted"));
            }
        }
        let (id, by) = (row.id, Some((by, self.now())));
        let deleted = self.store(move |store| store.delete_recording(id, by)).await?;
        if deleted {
            tracing::info!(recording = %row.id, reason, "recording deleted");
            let (campaign, agent) = (row.campaign, row.agent);
            let (recording, call) = (row.id, row.call);
            let told = Command::RecordingDeleted { recording, call, campaign, agent, reason };
            self.tell(told).await;
        }
        Ok(deleted)
    }
}

/// What somebody does with a recording.
#[derive(Clone, Copy)]
enum Access {
    Listened,
    Downloaded,
}

impl Access {
    const fn name(self) -> &'static str {
        match self {
            Access::Listened => "listened",
            Access::Downloaded => "downloaded",
        }
    }
}

async fn sound(api: &Gateway, caller: &Caller, id: &str, headers: &HeaderMap, access: Access) -> Answer {
    let row = row(api, id).await?;
    let path = inside(&api.config.recordings_dir, &row.file)?;
    let keys = api.config.recordings_keys.clone();
    let opened = tokio::task::spawn_blocking(move || {
        std::fs::File::open(&path).and_then(|file| RecordingFile::open(file, &keys))
    });
    let opened = opened.await.map_err(std::io::Error::other).and_then(|opened| opened);
    let file = opened.map_err(|error| {
        tracing::warn!(recording = %row.id, %error, "a recording's file cannot be read");
        if error.kind() == std::io::ErrorKind::PermissionDenied {
            return Problem::new(Code::Conflict, "the recording is sealed with a key that is not configured");
        }
        Problem::new(Code::NotFound, "the recording's file is gone")
    })?;
    let length = file.length();
    let range = headers.get(RANGE).map_or(Wanted::Whole, |value| wanted(value, length));
    let (status, first, last) = match range {
        Wanted::Whole => (StatusCode::OK, 0, length.saturating_sub(1)),
        Wanted::Part(first, last) => (StatusCode::PARTIAL_CONTENT, first, last),
        Wanted::Outside => {
            let problem = Problem::new(Code::RangeNotSatisfiable, format!("the file has {length} bytes"));
            let value = HeaderValue::from_str(&format!("bytes */{length}")).expect("digits are header text");
            return Err(problem.with_header(CONTENT_RANGE, value));
        }
    };
    let count = if length == 0 { 0 } else { last - first + 1 };
    let particulars = serde_json::json!({
        "call_id": row.call.to_string(), "first_byte": first, "bytes": count, "bytes_whole": length,
    });
    let action = format!("recording.{}", access.name());
    api.note(caller, &action, row.id.to_string(), Some(particulars)).await?;
    api.metrics.recording_accesses.with_label_values(&[access.name()]).inc();
    tracing::info!(recording = %row.id, token = caller.name(), action, "recording read");
    let format = RecordingFormat::of(&row.file);
    let disposition = match access {
        Access::Listened => "inline".to_owned(),
        Access::Downloaded => format!("attachment; filename=\"{}.{}\"", row.id, format.extension()),
    };
    let mut response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, format.media_type())
        .header(ACCEPT_RANGES, "bytes")
        .header(CONTENT_LENGTH, count)
        // A recording that was listened to must not stay in a cache of somebody who may not keep it.
        .header(CACHE_CONTROL, "no-store")
        .header(CONTENT_DISPOSITION, disposition);
    if status == StatusCode::PARTIAL_CONTENT {
        response = response.header(CONTENT_RANGE, format!("bytes {first}-{last}/{length}"));
    }
    let body = Body::from_stream(part(file, first, count));
    response.body(body).map_err(|_| Problem::new(Code::Internal, "see the log under the request id"))
}

/// Some of a file, piece by piece.
fn part(file: RecordingFile, first: u64, count: u64) -> impl Stream<Item = std::io::Result<Vec<u8>>> {
    let start = (Arc::new(file), first, count);
    futures_util::stream::try_unfold(start, |(file, at, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let most = PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES));
        let reader = Arc::clone(&file);
        let read = tokio::task::spawn_blocking(move || reader.read(at, most)).await;
        let bytes = read.map_err(std::io::Error::other)??;
        if bytes.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let length = bytes.len() as u64;
        Ok(Some((bytes, (file, at + length, left - length))))
    })
}

/// The file below the recordings folder; nothing that leads out of it.
fn inside(folder: &std::path::Path, file: &str) -> Result<PathBuf, Problem> {
    let relative = PathBuf::from(file);
    let stays = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !stays || file.is_empty() {
        tracing::error!(file, "a recording's stored file name leads out of its folder");
        return Err(Problem::new(Code::NotFound, "the recording's file is gone"));
    }
    Ok(folder.join(relative))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    Whole,
    Part(u64, u64),
    Outside,
}

/// RFC 9110 §14.2: a range that is not understood (other units, several ranges) is passed over.
fn wanted(value: &HeaderValue, length: u64) -> Wanted {
    let Some((first, last)) = value
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("bytes="))
        .and_then(|text| text.split_once('-'))
    else {
        return Wanted::Whole;
    };
    match (first.trim(), last.trim()) {
        ("", suffix) => match suffix.parse::<u64>() {
            Ok(0) => Wanted::Outside,
            Ok(count) if length > 0 => Wanted::Part(length.saturating_sub(count), length - 1),
            Ok(_) => Wanted::Outside,
            Err(_) => Wanted::Whole,
        },
        (first, last) => {
            let end = if last.is_empty() { Ok(u64::MAX) } else { last.parse::<u64>() };
            match (first.parse::<u64>(), end) {
                (Ok(first), Ok(end)) if first <= end => {
                    if first < length {
                        Wanted::Part(first, end.min(length - 1))
                    } else {
                        Wanted::Outside
                    }
                }
                _ => Wanted::Whole,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let of = |text: &str, length| wanted(&HeaderValue::from_str(text).unwrap(), length);
        assert_eq!(of("bytes=0-9", 100), Wanted::Part(0, 9));
        assert_eq!(of("bytes=90-", 100), Wanted::Part(90, 99));
        assert_eq!(of("bytes=90-500", 100), Wanted::Part(90, 99));
        assert_eq!(of("bytes=-10", 100), Wanted::Part(90, 99));
        assert_eq!(of("bytes=-1000", 100), Wanted::Part(0, 99));
        assert_eq!(of("bytes=100-", 100), Wanted::Outside);
        assert_eq!(of("bytes=-0", 100), Wanted::Outside);
        assert_eq!(of("bytes=0-", 0), Wanted::Outside);
        for passed_over in ["bytes=5-2", "bytes=0-1,3-4", "items=0-1", "bytes=x-y", "bytes"] {
            assert_eq!(of(passed_over, 100), Wanted::Whole, "{passed_over}");
        }
    }

    #[test]
    fn files_stay_in_their_folder() {
        let folder = std::path::Path::new("/r");
        assert_eq!(inside(folder, "2026/a.wav").unwrap(), PathBuf::from("/r/2026/a.wav"));
        for bad in ["../a", "/etc/passwd", "", "a/../../b", "./a"] {
            assert!(inside(folder, bad).is_err(), "{bad}");
        }
    }
}
