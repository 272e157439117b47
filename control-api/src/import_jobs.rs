//! Imports that go on after their request was answered (`Prefer: respond-async`).
//!
//! ```text
//!   body ──▶ spool ──▶ 202, then: rows ──▶ store ──▶ .imports/imp_….ndjson    verdicts, one line each
//!                                                    .imports/imp_….json      what is told of the import
//! ```
//! The body is here whole before it is answered, so that the client may go. Both files are kept for a week. An import that a
//! crash broke off has no end in its file, and none that runs: it has failed, and what it had stored is stored.

use crate::extract::path_id;
use crate::gateway::Gateway;
use crate::import::{Format, ImportPlan, Rows, run};
use crate::problem::{Code, Problem};
use crate::spool::{SpoolReader, SpoolWriter, spool, spool_at};
use crate::tenancy::sees;
use crate::wire::lead::{Import, ImportState, ImportSummary};
use axum::body::{Body, BodyDataStream};
use dashmap::DashMap;
use dialer_core::Tenant;
use dialer_core::id::{Id, Kind};
use futures_util::StreamExt;
use sansio::WallTime;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The kind of the names of imports.
pub(crate) struct ImportKind;
impl Kind for ImportKind {
    const PREFIX: &'static str = "imp";
}
/// Name of an import.
pub(crate) type ImportId = Id<ImportKind>;

/// How far an import is; whoever runs it writes, whoever asks reads.
pub(crate) type Progress = Arc<Mutex<ImportSummary>>;

/// Results are kept for so long.
const KEPT_MS: i64 = 7 * 86_400_000;
/// The client may be silent no longer than this.
const BODY_IDLE_MAX: std::time::Duration = std::time::Duration::from_secs(60);

/// What is kept of an import.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JobRow {
    pub(crate) id: String,
    pub(crate) list: String,
    pub(crate) tenant: Tenant,
    pub(crate) created_at_ms: i64,
    /// `None`: it runs, or was broken off by the end of its node.
    pub(crate) ended_at_ms: Option<i64>,
    pub(crate) summary: ImportSummary,
}

/// Imports that run.
#[derive(Debug, Default)]
pub(crate) struct ImportJobs {
    running: DashMap<ImportId, Progress>,
}

fn folder(api: &Gateway) -> PathBuf {
    api.config.recordings_dir.join(".imports")
}

fn unkept(error: &io::Error) -> Problem {
    tracing::error!(%error, "an import cannot be kept");
    Problem::new(Code::StoreUnavailable, "imports cannot be kept now").retry_after("5")
}

/// Does what may block.
async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(act).await {
        Ok(done) => done.map_err(|error| unkept(&error)),
        Err(_) => Err(Problem::new(Code::Internal, "see the log under the request id")),
    }
}

/// Takes a whole body in, into an unnamed file, and gives it back to be read.
pub(crate) async fn take_in(api: &Gateway, body: Body, name: String) -> Result<Body, Problem> {
    let folder = api.config.recordings_dir.clone();
    let (mut writer, reader) = blocking(move || spool(&folder, &name)).await?;
    let mut pieces: BodyDataStream = body.into_data_stream();
    loop {
        let broken = || Problem::new(Code::RequestTimeout, "the body broke off");
        match tokio::time::timeout(BODY_IDLE_MAX, pieces.next()).await {
            Ok(Some(Ok(bytes))) => {
                writer = blocking(move || writer.write(&bytes).map(|()| writer)).await?;
            }
            Ok(None) => break,
            Ok(Some(Err(_))) | Err(_) => return Err(broken()),
        }
    }
    writer.finish();
    Ok(Body::from_stream(pieces_of(reader)))
}

/// What a spool holds, piece by piece.
pub(crate) fn pieces_of(
    reader: SpoolReader,
) -> impl futures_util::Stream<Item = io::Result<bytes::Bytes>> + Send + 'static {
    futures_util::stream::unfold(reader, |mut reader| async {
        let bytes = reader.next().await?;
        Some((bytes, reader))
    })
}

/// Writes what is known of an import, whole or not at all.
fn write_row(folder: &Path, row: &JobRow) -> io::Result<()> {
    let (path, new) = (folder.join(format!("{}.json", row.id)), folder.join(format!("{}.json.new", row.id)));
    std::fs::write(&new, serde_json::to_vec(row).expect("figures have string keys"))?;
    std::fs::rename(new, path)
}

/// What there is of an import; `None`: nothing.
fn read_row(folder: &Path, id: &str) -> Option<JobRow> {
    let text = std::fs::read(folder.join(format!("{id}.json"))).ok()?;
    serde_json::from_slice(&text).ok()
}

/// All that are kept, oldest first; those that have been long enough go.
fn read_rows(folder: &Path, now: WallTime) -> Vec<JobRow> {
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let mut rows: Vec<JobRow> = Vec::new();
    for name in names {
        let Some(row) = name.strip_suffix(".json").and_then(|id| read_row(folder, id)) else { continue };
        if row.created_at_ms + KEPT_MS > now.unix_millis() {
            rows.push(row);
            continue;
        }
        for ending in ["json", "ndjson"] {
            // Whoever comes first takes it away.
            let _ = std::fs::remove_file(folder.join(format!("{}.{ending}", row.id)));
        }
    }
    rows.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    rows
}

/// Begins an import that goes on by itself.
pub(crate) async fn begin(
    api: &Arc<Gateway>,
    (rows, format): (Rows, Format),
    mut plan: ImportPlan,
    tenant: Tenant,
    caller: crate::auth::Caller,
    permit: tokio::sync::OwnedSemaphorePermit,
) -> Result<Import, Problem> {
    let id: ImportId = api.new_id();
    let progress: Progress = Arc::default();
    plan.progress = Some(Arc::clone(&progress));
    let row = JobRow {
        id: id.to_string(),
        list: plan.list.to_string(),
        tenant,
        created_at_ms: api.now().unix_millis(),
        ended_at_ms: None,
        summary: ImportSummary { dry_run: plan.dry_run, ..ImportSummary::default() },
    };
    let (folder, now, kept) = (folder(api), api.now(), row.clone());
    // Before it is written down: nobody is to take it for one that was broken off.
    api.import_jobs.running.insert(id, Arc::clone(&progress));
    let writer: Result<SpoolWriter, Problem> = blocking(move || {
        std::fs::create_dir_all(&folder)?;
        read_rows(&folder, now);
        write_row(&folder, &kept)?;
        spool_at(&folder.join(format!("{}.ndjson", kept.id)))
    })
    .await;
    let writer = writer.inspect_err(|_| drop(api.import_jobs.running.remove(&id)))?;
    let shown = Import::new(&row, ImportState::Running);
    let api = Arc::clone(api);
    let actor = crate::auth::ACTOR.try_with(Clone::clone).ok();
    tokio::spawn(async move {
        let _permit = permit;
        let work = run(Arc::clone(&api), rows, format, plan, writer, caller);
        match actor {
            Some(actor) => crate::auth::ACTOR.scope(actor, work).await,
            None => work.await,
        }
        let summary = progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ended = JobRow { ended_at_ms: Some(api.now().unix_millis()), summary, ..row };
        let folder = self::folder(&api);
        // It is told already; without its end it counts as broken off after a restart.
        let _ = blocking(move || write_row(&folder, &ended)).await;
        api.import_jobs.running.remove(&id);
    });
    Ok(shown)
}

impl Gateway {
    fn shown_import(&self, mut row: JobRow) -> Import {
        let running = row.id.parse::<ImportId>().ok().and_then(|id| self.import_jobs.running.get(&id));
        let state = match (&running, row.ended_at_ms) {
            (Some(progress), None) => {
                row.summary = progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
                ImportState::Running
            }
            (_, Some(_)) if row.summary.complete => ImportState::Completed,
            (_, Some(_)) => ImportState::Failed,
            (None, None) => {
                row.summary.error = Some("the node went down while it ran".to_owned());
                ImportState::Failed
            }
        };
        Import::new(&row, state)
    }

    /// The imports that may be seen by whom the request under way is carried out for, oldest first.
    pub(crate) async fn imports_kept(&self) -> Result<Vec<Import>, Problem> {
        let (folder, now) = (folder(self), self.now());
        let rows = blocking(move || Ok(read_rows(&folder, now))).await?;
        Ok(rows.into_iter().filter(|row| sees(Some(&row.tenant))).map(|row| self.shown_import(row)).collect())
    }

    /// One of them.
    pub(crate) async fn import_kept(&self, id: &str) -> Result<Import, Problem> {
        let id: ImportId = path_id(id, "import")?;
        let (folder, name) = (folder(self), id.to_string());
        let row = blocking(move || Ok(read_row(&folder, &name))).await?;
        let row = row.filter(|row| sees(Some(&row.tenant))).ok_or_else(|| Problem::not_found("import"))?;
        Ok(self.shown_import(row))
    }

    /// The verdicts of one that is over.
    pub(crate) async fn import_result(&self, id: &str) -> Result<SpoolReader, Problem> {
        let import = self.import_kept(id).await?;
        if import.state == ImportState::Running {
            return Err(Problem::new(Code::Conflict, "the import is under way").retry_after("1"));
        }
        let path = folder(self).join(format!("{}.ndjson", import.id));
        blocking(move || SpoolReader::of_file(&path)).await
    }
}
