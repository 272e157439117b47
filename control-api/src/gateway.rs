//! What the API stands on: the way to the dialer, the views, the store, the events.

use crate::auth::{ACTOR, Caller, Known, hash_token};
use crate::hub::EventHub;
use crate::idempotency::InFlight;
use crate::import_jobs::ImportJobs;
use crate::metrics::HttpMetrics;
use crate::problem::{Code, Problem};
use crate::prompts::PromptShelf;
use crate::rate::{Buckets, RateLimits};
use crate::read_model::ReadModel;
use crate::webhook::{WebhookLimits, Webhooks};
use crate::wire::trace::{TraceEraser, TraceMessage, Tracer};
use dashmap::DashMap;
use dialer_core::id::{Id, Kind};
use dialer_core::record::Actor;
use dialer_core::{Command, CommandError, Reply};
use sansio::{Duration, Rng, WallTime};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use store::sealed::SealKey;
use store::{AuditEntry, Store, StoreError};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// A wish on its way to the dialer.
#[derive(Debug)]
pub struct CommandRequest {
    /// The wish.
    pub command: Command,
    /// Where its answer goes. Whoever asked may be gone; that is no error.
    pub reply: oneshot::Sender<Result<Reply, CommandError>>,
}

/// What this node is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeInfo {
    /// Its name, the first part of event cursors; letters, digits, dashes.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// When it was started.
    pub started_at: WallTime,
}

/// Limits of the API.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Where recordings are; also holds the verdicts of running imports in unnamed files.
    pub recordings_dir: PathBuf,
    /// Keys that sealed recordings are opened with.
    pub recordings_keys: Vec<SealKey>,
    /// Region (ISO 3166-1 alpha-2) for numbers without a country code when neither request nor list names one.
    pub default_region: Option<String>,
    /// Longest time until a response begins.
    pub request_timeout: Duration,
    /// Requests at once; more get 503. Event streams and downloads count only until their response begins.
    pub requests_max: usize,
    /// Event streams at once; more get 429.
    pub event_streams_max: usize,
    /// Time between signs of life in a quiet event stream.
    pub event_heartbeat: Duration,
    /// Imports at once; more get 429.
    pub imports_max: usize,
    /// Prompts that the node plays by its configuration: the key that names each, and its name.
    pub prompts_named: Vec<(&'static str, String)>,
    /// Live calls' drain deadline when the request names none.
    pub drain_deadline: Duration,
    /// How webhooks are served.
    pub webhooks: WebhookLimits,
    /// How many requests a token may make.
    pub rate_limits: RateLimits,
}

impl Default for ApiConfig {
    fn default() -> Self {
        ApiConfig {
            recordings_dir: PathBuf::from("recordings"),
            recordings_keys: Vec::new(),
            default_region: None,
            request_timeout: Duration::from_secs(30),
            requests_max: 512,
            event_streams_max: 256,
            event_heartbeat: Duration::from_secs(15),
            imports_max: 8,
            prompts_named: Vec::new(),
            drain_deadline: Duration::from_secs(300),
            webhooks: WebhookLimits::default(),
            rate_limits: RateLimits::default(),
        }
    }
}

/// Tells civil time. Handed in so that tests own it.
pub type WallClock = Arc<dyn Fn() -> WallTime + Send + Sync>;

/// The system's clock.
#[must_use]
pub fn system_clock() -> WallClock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallTime::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    })
}

/// What the daemon hands to the API.
pub struct GatewayParts {
    /// Wishes to the dialer; bounded.
    pub commands: mpsc::Sender<CommandRequest>,
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// The latest views.
    pub read_model: Arc<ReadModel>,
    /// Live events.
    pub events: Arc<EventHub>,
    /// What this node is.
    pub node: NodeInfo,
    /// Limits.
    pub config: ApiConfig,
    /// Civil time.
    pub clock: WallClock,
}

/// The API's foundation, shared by all requests.
pub struct Gateway {
    commands: mpsc::Sender<CommandRequest>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) webhooks: Webhooks,
    pub(crate) buckets: Buckets,
    pub(crate) read_model: Arc<ReadModel>,
    pub(crate) events: Arc<EventHub>,
    pub(crate) node: NodeInfo,
    pub(crate) config: ApiConfig,
    clock: WallClock,
    tracer: OnceLock<Tracer>,
    trace_eraser: OnceLock<TraceEraser>,
    prompts: OnceLock<Arc<dyn PromptShelf>>,
    rng: Mutex<Rng>,
    tokens: DashMap<[u8; 32], Arc<Known>>,
    /// Counts deletions of tokens, so that one read before is not remembered after.
    tokens_deleted: AtomicU64,
    pub(crate) metrics: HttpMetrics,
    pub(crate) in_flight: InFlight,
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) event_streams: Arc<Semaphore>,
    pub(crate) imports: Arc<Semaphore>,
    pub(crate) import_jobs: ImportJobs,
}

/// Longest wait for the dialer to answer a command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait for a view after its command was answered.
const VIEW_TIMEOUT: Duration = Duration::from_secs(2);

impl Gateway {
    /// Says who knows the messages of calls. Without, no call has any.
    pub fn set_tracer(&self, tracer: Tracer) {
        // The first one stays.
        let _ = self.tracer.set(tracer);
    }

    /// Says who forgets the messages of calls of a number.
    pub fn set_trace_eraser(&self, eraser: TraceEraser) {
        // The first one stays.
        let _ = self.trace_eraser.set(eraser);
    }

    pub(crate) async fn forget_traces(&self, number: &sansio::pii::Spellings) {
        if let Some(eraser) = self.trace_eraser.get() {
            eraser(number.clone()).await;
        }
    }

    /// Says which prompts there are. Without, every name is taken for one.
    pub fn set_prompts(&self, shelf: Arc<dyn PromptShelf>) {
        // The first one stays.
        let _ = self.prompts.set(shelf);
    }

    pub(crate) fn has_prompt(&self, name: &str) -> bool {
        self.prompts.get().is_none_or(|shelf| shelf.get(name).is_some())
    }

    pub(crate) fn prompts(&self) -> Option<Arc<dyn PromptShelf>> {
        self.prompts.get().map(Arc::clone)
    }

    /// The messages of a call that are still kept.
    pub(crate) async fn trace(&self, call: dialer_core::CallId) -> Vec<TraceMessage> {
        match self.tracer.get() {
            Some(tracer) => tracer(call).await,
            None => Vec::new(),
        }
    }

    /// Builds it.
    #[must_use]
    pub fn new(parts: GatewayParts) -> Arc<Self> {
        let mut seed = [0_u8; 8];
        // Without randomness from the system, names are told apart by the time in them alone.
        if let Err(error) = getrandom::fill(&mut seed) {
            tracing::warn!(%error, "no randomness from the operating system");
        }
        let config = parts.config;
        Arc::new(Gateway {
            commands: parts.commands,
            store: parts.store,
            webhooks: Webhooks::default(),
            buckets: Buckets::default(),
            read_model: parts.read_model,
            metrics: HttpMetrics::new(&parts.events),
            events: parts.events,
            node: parts.node,
            clock: parts.clock,
            tracer: OnceLock::new(),
            trace_eraser: OnceLock::new(),
            prompts: OnceLock::new(),
            rng: Mutex::new(Rng::from_seed(u64::from_ne_bytes(seed))),
            tokens: DashMap::new(),
            tokens_deleted: AtomicU64::new(0),
            in_flight: InFlight::default(),
            requests: Arc::new(Semaphore::new(config.requests_max)),
            event_streams: Arc::new(Semaphore::new(config.event_streams_max)),
            imports: Arc::new(Semaphore::new(config.imports_max)),
            import_jobs: ImportJobs::default(),
            config,
        })
    }

    /// Makes `secret` a token with every scope, until this process ends. For the token of the configuration file.
    pub fn register_bootstrap_token(&self, secret: &str) {
        self.tokens.insert(hash_token(secret), Arc::new(Known::bootstrap()));
    }

    /// The counters of requests, to be registered with the daemon's registry.
    #[must_use]
    pub fn metrics(&self) -> &HttpMetrics {
        &self.metrics
    }

    /// Civil time.
    #[must_use]
    pub fn now(&self) -> WallTime {
        (self.clock)()
    }

    /// A fresh name.
    pub(crate) fn new_id<K: Kind>(&self) -> Id<K> {
        let now = self.now();
        Id::generate(now, &mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks the dialer.
    ///
    /// # Errors
    /// The dialer's refusal; 503 when it is gone or does not answer.
    pub(crate) async fn command(&self, command: Command) -> Result<Reply, Problem> {
        let command = match ACTOR.try_with(Clone::clone) {
            Ok(by) => Command::By { by, command: Box::new(command) },
            Err(_) => command,
        };
        let (reply, answer) = oneshot::channel();
        let ask = async {
            self.commands.send(CommandRequest { command, reply }).await.ok()?;
            answer.await.ok()
        };
        match tokio::time::timeout(COMMAND_TIMEOUT, ask).await {
            Ok(Some(answer)) => answer.map_err(Problem::from),
            Ok(None) => Err(Problem::new(Code::Draining, "this node is shutting down").retry_after("30")),
            Err(_) => Err(Problem::new(
                Code::Timeout,
                "the dialer did not answer in time; the command may still be carried out",
            )),
        }
    }

    /// Gives the dialer something to tell as an event. Not to be told is no reason to undo what happened.
    pub async fn tell(&self, command: Command) {
        if let Err(problem) = self.command(command).await {
            tracing::warn!(detail = problem.detail(), "an event cannot be told");
        }
    }

    /// Waits for what a granted command must have put into the views.
    pub(crate) async fn view<T>(&self, look: impl Fn(&ReadModel) -> Option<T>) -> Result<T, Problem> {
        tokio::time::timeout(VIEW_TIMEOUT, self.read_model.wait_for(look))
            .await
            .map_err(|_| Problem::new(Code::Timeout, "the change was made, but is not shown yet"))
    }

    /// Asks the store, on a thread that may block.
    pub(crate) async fn store<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let store = Arc::clone(&self.store);
        match tokio::task::spawn_blocking(move || ask(store.as_ref())).await {
            Ok(answer) => answer.map_err(Problem::from),
            Err(error) => {
                tracing::error!(%error, "a question to the store broke off");
                Err(Problem::new(Code::Internal, "see the log under the request id"))
            }
        }
    }

    /// For whom and when, for the audit log.
    pub(crate) fn by(&self, caller: &Caller) -> Option<(Actor, WallTime)> {
        Some((caller.actor(), self.now()))
    }

    /// Puts down that something was seen or taken out; durable before it is.
    pub(crate) async fn note(
        &self,
        caller: &Caller,
        action: &str,
        target: String,
        particulars: Option<serde_json::Value>,
    ) -> Result<(), Problem> {
        let entry = AuditEntry {
            at: self.now(),
            by: caller.actor(),
            action: action.to_owned(),
            target,
            before: None,
            after: particulars,
        };
        self.store(move |store| store.put_audit(&entry)).await
    }

    /// Puts down what was done. It is done: that it cannot be put down undoes nothing, and is told in the log.
    pub(crate) async fn put_down(
        &self,
        caller: &Caller,
        action: &str,
        target: String,
        particulars: Option<serde_json::Value>,
    ) {
        if let Err(problem) = self.note(caller, action, target, particulars).await {
            let detail = problem.detail();
            tracing::error!(action, token = caller.name(), detail, "cannot be written to the audit log");
        }
    }

    /// Who has the secret with this hash.
    pub(crate) async fn token(&self, hash: [u8; 32]) -> Result<Option<Arc<Known>>, Problem> {
        if let Some(known) = self.tokens.get(&hash) {
            return Ok(Some(Arc::clone(&known)));
        }
        let deleted = self.tokens_deleted.load(Ordering::SeqCst);
        let Some(row) = self.store(move |store| store.token_by_hash(&hash)).await? else {
            return Ok(None);
        };
        let known = Arc::new(Known::from(&row));
        self.tokens.insert(hash, Arc::clone(&known));
        if self.tokens_deleted.load(Ordering::SeqCst) != deleted {
            self.tokens.remove(&hash);
        }
        Ok(Some(known))
    }

    /// Has the tokens of the store be read again.
    pub(crate) fn forget_tokens(&self) {
        self.tokens_deleted.fetch_add(1, Ordering::SeqCst);
        self.tokens.retain(|_, known| known.id.is_none());
    }

    /// Forgets a deleted token.
    pub(crate) fn forget_token(&self, id: dialer_core::TokenId) {
        self.tokens_deleted.fetch_add(1, Ordering::SeqCst);
        self.tokens.retain(|_, known| known.id != Some(id));
    }
}
