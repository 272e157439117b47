//! Webhooks: events told over HTTP, signed, in the order of each call, again until they are taken.
//!
//! ```text
//!   store: events after the position ──▶ queue (who may be told now) ──▶ send (signed POST) ──▶ receiver
//!              ▲                          │        ▲                        │
//!              └── position, retries ◀────┘        └──── taken, failed ◀────┘
//! ```
//! The backlog is the event stream itself with a position in it, so it is as durable as the events are and takes no
//! memory. One task serves one webhook; a change ends its task and begins another.

mod queue;
mod run;
mod send;
mod sign;

pub use queue::WebhookLimits;
pub(crate) use send::Answer;
pub(crate) use sign::{secret_key, secret_text};

use crate::gateway::Gateway;
use crate::problem::{Code, Problem};
use dialer_core::WebhookId;
use run::Task;
use sansio::WallTime;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use store::{Store, StoreError, WebhookRow};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Most webhooks.
pub(crate) const WEBHOOKS_MAX: usize = 100;
/// Tries of a webhook that are remembered.
const RECENT_MAX: usize = 200;

/// A try that was made.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    pub(crate) event_cursor: u64,
    pub(crate) event_type: String,
    pub(crate) number: u32,
    pub(crate) at: WallTime,
    pub(crate) took_ms: u64,
    /// HTTP status, if there was a response.
    pub(crate) status: Option<u16>,
    /// `None`: it was taken.
    pub(crate) error: Option<String>,
}

/// How a webhook stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// The last event looked at.
    pub(crate) taken: u64,
    /// Events held to be told.
    pub(crate) held: u64,
    /// Only probes are made because too much failed.
    pub(crate) breaker_open: bool,
    /// Tries, newest last.
    pub(crate) recent: VecDeque<Tried>,
}

struct Served {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    standing: Arc<Mutex<Standing>>,
}

/// All webhooks that are served.
#[derive(Default)]
pub(crate) struct Webhooks {
    served: Mutex<BTreeMap<WebhookId, Served>>,
    /// Changes are made one after the other.
    changing: tokio::sync::Mutex<()>,
    client: OnceLock<reqwest::Client>,
    running: OnceLock<()>,
}

impl Webhooks {
    /// How a webhook stands, if it is served.
    pub(crate) fn standing(&self, id: WebhookId) -> Option<Standing> {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = &served.get(&id)?.standing;
        let standing = standing.lock().unwrap_or_else(PoisonError::into_inner);
        Some(standing.clone())
    }

    fn client(&self) -> Result<reqwest::Client, Problem> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = send::client().map_err(|error| {
            tracing::error!(%error, "no HTTP client for webhooks");
            Problem::new(Code::Internal, "see the log under the request id")
        })?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    async fn end(&self, id: WebhookId) {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(Served { stop, task, .. }) = served {
            stop.send_replace(true);
            if let Err(error) = task.await {
                tracing::error!(%error, webhook = %id, "a webhook's task broke off");
            }
        }
    }
}

impl Gateway {
    /// Serves the webhooks that are stored. Call it once, within a runtime, after the first events are told.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start_webhooks(self: &Arc<Self>) -> Result<(), StoreError> {
        let rows = {
            let store = Arc::clone(&self.store);
            tokio::task::spawn_blocking(move || store.webhooks()).await.map_err(|_| StoreError::Closed)??
        };
        if self.webhooks.running.set(()).is_err() {
            return Ok(());
        }
        for (row, position) in rows {
            self.serve_webhook(row, position);
        }
        Ok(())
    }

    /// Ends serving; how far each webhook is gets written down.
    pub async fn stop_webhooks(&self) {
        let ids: Vec<WebhookId> = {
            let served = self.webhooks.served.lock().unwrap_or_else(PoisonError::into_inner);
            for one in served.values() {
                one.stop.send_replace(true);
            }
            served.keys().copied().collect()
        };
        for id in ids {
            self.webhooks.end(id).await;
        }
    }

    fn serve_webhook(self: &Arc<Self>, row: WebhookRow, position: u64) {
        if !row.enabled {
            return;
        }
        let client = match self.webhooks.client() {
            Ok(client) => client,
            Err(_) => return,
        };
        let (stop, stopped) = watch::channel(false);
        let standing = Arc::new(Mutex::new(Standing { taken: position, ..Standing::default() }));
        let id = row.id;
        let task = Task::new(Arc::clone(self), client, row, position, stopped, Arc::clone(&standing));
        let served = Served { stop, task: tokio::spawn(task.run()), standing };
        self.webhooks.served.lock().unwrap_or_else(PoisonError::into_inner).insert(id, served);
    }

    /// The stored webhook of this name and how far it is.
    pub(crate) async fn webhook(&self, id: WebhookId) -> Result<(WebhookRow, u64), Problem> {
        let all = self.store(|store| store.webhooks()).await?;
        let own = |(row, _): &(WebhookRow, u64)| row.id == id && crate::tenancy::sees(row.tenant.as_ref());
        all.into_iter().find(own).ok_or_else(|| Problem::not_found("webhook"))
    }

    /// Changes what is stored of a webhook while it is not served, then serves it as it is stored.
    pub(crate) async fn change_webhook<T: Send + 'static>(
        self: &Arc<Self>,
        id: WebhookId,
        change: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let _one = self.webhooks.changing.lock().await;
        self.webhooks.end(id).await;
        let changed = self.store(change).await;
        match self.webhook(id).await {
            Ok((row, position)) => self.serve_webhook(row, position),
            Err(problem) if problem.code() == Code::NotFound => self.metrics.forget_webhook(&id.to_string()),
            Err(problem) => return Err(problem),
        }
        changed
    }

    /// Sends a message of no event and tells what the receiver answered, with the time it took in milliseconds.
    pub(crate) async fn test_webhook(&self, row: &WebhookRow) -> Result<(Answer, u64), Problem> {
        let client = self.webhooks.client()?;
        let id = self.new_id::<dialer_core::id::EventKind>().to_string();
        let body = serde_json::json!({
            "id": id, "type": "webhook.test", "schema": 1, "node": self.node.name,
            "occurred_at": crate::time::rfc3339(self.now()), "data": {"webhook_id": row.id},
        });
        let began = tokio::time::Instant::now();
        let answer = send::send(self, &client, row, &id, body.to_string().into_bytes()).await;
        Ok((answer, u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)))
    }
}
