//! What is older than it may be kept goes: recordings, call records, events, the audit log, each by its own time.

use crate::metrics::Families;
use control_api::Gateway;
use dialer_core::Command;
use dialer_core::record::Actor;
use sansio::WallTime;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use store::{Store, StoreError};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(600);
/// So long an event is kept for a webhook that was not told of it yet.
const WEBHOOKS_HOLD: Duration = Duration::from_secs(7 * 24 * 3600);
/// Recordings looked for at once.
const RECORDINGS: u32 = 200;

/// How long things are kept; `None`: until somebody deletes them.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    pub recordings: Option<Duration>,
    pub records: Option<Duration>,
    pub audit: Option<Duration>,
    pub events: Duration,
}

/// Kinds of things, in the order of [`RetentionCounters`].
const KINDS: [&str; 4] = ["recordings", "records", "events", "audit"];

/// What was forgotten, and how often that failed.
#[derive(Default)]
pub struct RetentionCounters {
    deleted: [AtomicU64; KINDS.len()],
    failures: [AtomicU64; KINDS.len()],
}

impl RetentionCounters {
    /// As metrics.
    pub fn export(&self, families: &mut Families) {
        for (at, kind) in KINDS.into_iter().enumerate() {
            let count = |counters: &[AtomicU64; KINDS.len()]| counters[at].load(Ordering::Relaxed);
            let help = "Things deleted because they were older than they may be kept.";
            families.counter("retention_deleted_total", help, &[("kind", kind)], count(&self.deleted));
            let help = "Times that old things could not be deleted; it is tried again.";
            families.counter("retention_failures_total", help, &[("kind", kind)], count(&self.failures));
        }
    }
}

/// Forgets what is old, as long as it runs.
pub struct Keeper {
    pub retention: Retention,
    pub store: Arc<dyn Store>,
    pub gateway: Arc<Gateway>,
    pub counters: Arc<RetentionCounters>,
}

impl Keeper {
    /// Never returns.
    pub async fn run(self) {
        let mut times = tokio::time::interval(INTERVAL);
        loop {
            times.tick().await;
            self.look().await;
        }
    }

    /// Forgets what is old now, by the API's clock.
    async fn look(&self) {
        let now = self.gateway.now();
        let before = |keep: Duration| now.plus_millis(-i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        if let Some(before) = self.retention.recordings.map(before) {
            self.recordings(before).await;
        }
        if let Some(before) = self.retention.records.map(before) {
            self.prune(1, before, move |store| store.prune_records(before)).await;
        }
        let events = self.retention.events;
        let (old, held) = (before(events), before(events.max(WEBHOOKS_HOLD)));
        self.prune(2, old, move |store| {
            let up_to = store.webhook_furthest_behind()?.unwrap_or(u64::MAX);
            Ok(store.prune_events(old, up_to)? + store.prune_events(held, u64::MAX)?)
        })
        .await;
        if let Some(before) = self.retention.audit.map(before) {
            self.prune(3, before, move |store| store.prune_audit(before)).await;
        }
    }

    /// Files and rows, one by one: each deletion is told and in the audit log.
    async fn recordings(&self, before: WallTime) {
        let mut deleted = 0;
        loop {
            let store = Arc::clone(&self.store);
            let found =
                tokio::task::spawn_blocking(move || store.recordings_before(before, RECORDINGS)).await;
            let rows = match found {
                Ok(Ok(rows)) => rows,
                Ok(Err(error)) => return self.failed(0, &error.to_string()),
                Err(error) => return self.failed(0, &error.to_string()),
            };
            for row in &rows {
                let by = Actor { token: None, name: "retention".into(), tenant: None };
                match self.gateway.delete_recording(row, by, "retention").await {
                    Ok(gone) => deleted += u64::from(gone),
                    Err(problem) => {
                        self.done(0, deleted, before).await;
                        return self.failed(0, problem.detail());
                    }
                }
            }
            if rows.len() < RECORDINGS as usize {
                return self.done(0, deleted, before).await;
            }
        }
    }

    async fn prune(
        &self,
        kind: usize,
        before: WallTime,
        prune: impl FnOnce(&dyn Store) -> Result<u64, StoreError> + Send + 'static,
    ) {
        let store = Arc::clone(&self.store);
        match tokio::task::spawn_blocking(move || prune(store.as_ref())).await {
            Ok(Ok(count)) => self.done(kind, count, before).await,
            Ok(Err(error)) => self.failed(kind, &error.to_string()),
            Err(error) => self.failed(kind, &error.to_string()),
        }
    }

    async fn done(&self, kind: usize, count: u64, before: WallTime) {
        self.counters.deleted[kind].fetch_add(count, Ordering::Relaxed);
        if count == 0 {
            return;
        }
        let kind = KINDS[kind];
        tracing::info!(kind, count, before_ms = before.unix_millis(), "old things forgotten");
        // An event about forgotten events would be one more each time.
        if kind != "events" {
            self.gateway.tell(Command::RetentionApplied { kind, count, before }).await;
        }
    }

    fn failed(&self, kind: usize, why: &str) {
        self.counters.failures[kind].fetch_add(1, Ordering::Relaxed);
        tracing::error!(kind = KINDS[kind], why, "old things cannot be forgotten; trying again later");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control_api::{ApiConfig, CommandRequest, EventHub, GatewayParts, NodeInfo, ReadModel};
    use dialer_core::record::RecordingRow;
    use dialer_core::{CallId, Record, RecordingId, Reply};
    use std::sync::atomic::AtomicI64;
    use tokio::sync::mpsc;

    const DAY_MS: i64 = 24 * 3_600_000;

    fn row(day: i64) -> RecordingRow {
        RecordingRow {
            id: RecordingId::from_bits(day as u128 + 1),
            call: CallId::from_bits(day as u128 + 1),
            campaign: None,
            agent: None,
            file: format!("day{day}/a.wav"),
            duration_ms: 1_000,
            paused_ms: 0,
            bytes: 4,
            undecodable: false,
            cut_off: false,
            at: WallTime::from_unix_millis(day * DAY_MS),
        }
    }

    /// Recordings of three days, kept for seven: one goes with its file on the eighth day, one on the tenth, each told once.
    #[tokio::test]
    async fn recordings_go_when_their_time_has_come() {
        let folder = tempfile::tempdir().unwrap();
        let options = store::Options::new(Box::new(|_| {}));
        let store = store::SqliteStore::open(&folder.path().join("db"), options).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let days = [0, 2, 9];
        for day in days {
            std::fs::create_dir(folder.path().join(format!("day{day}"))).unwrap();
            std::fs::write(folder.path().join(row(day).file), b"RIFF").unwrap();
        }
        store.append(1, days.map(|day| Record::RecordingReady(row(day))).to_vec());
        assert!(store.flush(sansio::Duration::from_secs(30)));
        let (commands, mut requests) = mpsc::channel::<CommandRequest>(16);
        let (tell, mut told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(CommandRequest { command, reply }) = requests.recv().await {
                if let Command::RecordingDeleted { recording, .. } = command {
                    tell.send(recording).unwrap();
                }
                let _ = reply.send(Ok(Reply::Done));
            }
        });
        let today = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&today);
        let started_at = WallTime::from_unix_millis(0);
        let gateway = Gateway::new(GatewayParts {
            commands,
            store: Arc::clone(&store),
            read_model: Arc::new(ReadModel::default()),
            events: Arc::new(EventHub::default()),
            node: NodeInfo { name: "n".into(), version: "1".into(), started_at },
            config: ApiConfig { recordings_dir: folder.path().to_owned(), ..ApiConfig::default() },
            clock: Arc::new(move || WallTime::from_unix_millis(clock.load(Ordering::Relaxed))),
        });
        let days_kept = |days: u64| Duration::from_secs(days * 24 * 3_600);
        let retention =
            Retention { recordings: Some(days_kept(7)), records: None, audit: None, events: days_kept(3) };
        let counters = Arc::new(RetentionCounters::default());
        let keeper =
            Keeper { retention, store: Arc::clone(&store), gateway, counters: Arc::clone(&counters) };
        // A millisecond before its time, and after it.
        for (now, gone) in [(7 * DAY_MS, vec![]), (7 * DAY_MS + 1, vec![0]), (10 * DAY_MS, vec![0, 2])] {
            today.store(now, Ordering::Relaxed);
            keeper.look().await;
            for day in days {
                let is_gone = gone.contains(&day);
                assert_eq!(store.recording(row(day).id).unwrap().is_none(), is_gone, "{day} at {now}");
                assert_eq!(!folder.path().join(row(day).file).exists(), is_gone, "{day} at {now}");
            }
        }
        assert_eq!(counters.deleted[0].load(Ordering::Relaxed), 2);
        assert_eq!([told.recv().await, told.recv().await], [Some(row(0).id), Some(row(2).id)]);
        assert!(told.try_recv().is_err(), "once each");
    }
}
