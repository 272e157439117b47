//! `/v1/events`: the event stream, as server-sent events.
//!
//! A reader first gets what it missed, from the store, then the live events, without a gap or a duplicate:
//! ```text
//!   subscribe ──▶ read a page from the store ──▶ it is not full: live
//!       ▲                       │
//!       └─── it is full ◀───────┘
//! ```
//! An event is told live after it is durable, so what was told before the subscription is in the last page; what is in both
//! is told once.

use super::Api;
use crate::auth::{Caller, Scope};
use crate::extract::Params;
use crate::gateway::Gateway;
use crate::hub::LiveEvent;
use crate::mask::Masker;
use crate::pattern::{is_pattern, unknown_type, wants_type};
use crate::problem::{Code, Problem, ProblemBody};
use crate::wire::event::{Event, cursor_text, parse_cursor};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use dialer_core::event::TYPE_NAMES;
use dialer_core::{AgentId, CallId, CampaignId, EventEnvelope, Tenant};
use sansio::Duration;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::Instant;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What a client is asked to wait before it comes back.
const RETRY: Duration = Duration::from_secs(2);
/// Events read from the store at once.
const PAGE_EVENTS: u32 = 500;
/// Most bytes handed to a connection at once, but for the last event among them.
const PIECE_BYTES: usize = 64 * 1024;
/// A reader that was told several events at once is told the next after so long: a hundred readers of a busy stream need
/// not be woken for each event.
const REST: Duration = Duration::from_millis(5);

/// Which events a reader wants.
#[derive(Debug, Default)]
struct Filter {
    /// Empty: all. `call.*` stands for everything that begins so.
    types: Vec<String>,
    campaign: Option<CampaignId>,
    call: Option<CallId>,
    agent: Option<AgentId>,
    /// Whose events alone; `None`: the operator reads.
    tenant: Option<Tenant>,
}

impl Filter {
    fn from_params(caller: &Caller, params: &Params) -> Result<Self, Problem> {
        let types = params.read("types", "names like call.ended or call.*, with commas between", |text| {
            let types: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
            types.iter().all(|part| is_pattern(part)).then_some(types)
        })?;
        if let Some((_, detail)) = types.as_deref().and_then(unknown_type) {
            let problem = Problem::parameter("types", detail).unprocessable();
            return Err(problem.with("types", TYPE_NAMES.to_vec()));
        }
        Ok(Filter {
            types: types.unwrap_or_default(),
            campaign: params.id("campaign")?,
            call: params.id("call")?,
            agent: params.id("agent")?,
            tenant: caller.tenant().cloned(),
        })
    }

    fn wants(&self, event: &EventEnvelope) -> bool {
        (self.tenant.is_none() || self.tenant == event.tenant)
            && wants_type(&self.types, event.event.type_name())
            && self.campaign.is_none_or(|id| event.campaign == Some(id))
            && self.call.is_none_or(|id| event.call == Some(id))
            && self.agent.is_none_or(|id| event.agent == Some(id))
    }
}

/// Streams events (server-sent events). `id:` is the cursor; come back with `Last-Event-ID` or `after` to go on
/// without a gap. A reader that is too slow gets the event `error` with code `slow_consumer` and is cut off.
#[utoipa::path(
    get, path = "/v1/events", tag = "events",
    params(
        ("types" = Option<String>, Query, description = "names with commas between, `*` at the end of one stands for the rest: `call.*,agent.state`"),
        ("campaign" = Option<String>, Query, description = "of this campaign"),
        ("call" = Option<String>, Query, description = "of this call"),
        ("agent" = Option<String>, Query, description = "of this agent"),
        ("after" = Option<String>, Query, description = "go on after this cursor; 0: from the oldest event if none is forgotten yet; absent: from now on"),
        ("Last-Event-ID" = Option<String>, Header, description = "as `after`, and before it"),
    ),
    responses(
        (status = 200, content_type = "text/event-stream", body = Event),
        (status = 410, description = "the cursor is too old: read `/v1/calls?state=live` and begin anew", body = ProblemBody, content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json")
    ),
    security(("bearer" = ["events:read"]))
)]
pub(crate) async fn stream(
    State(api): Api,
    caller: Caller,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    let asked = Asked::of(&api, &caller, &headers, &params).await?;
    let reader = Reader::new(api, caller, asked, "sse")?;
    let stream = futures_util::stream::unfold(reader, |mut reader| async {
        let piece = reader.piece().await?;
        Some((Ok::<_, Infallible>(piece), reader))
    });
    // Proxies that buffer (nginx) would hold events back.
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}

/// Which events, and from where on.
pub(super) struct Asked {
    filter: Filter,
    after: Option<u64>,
}

impl Asked {
    /// Reads a request for events and checks that it can be answered.
    pub(super) async fn of(
        api: &Gateway,
        caller: &Caller,
        headers: &HeaderMap,
        params: &Params,
    ) -> Result<Self, Problem> {
        caller.needs(&[Scope::EventsRead])?;
        params.only(&["types", "campaign", "call", "agent", "after"])?;
        let filter = Filter::from_params(caller, params)?;
        let after = start_cursor(api, headers, params)?;
        if let Some(after) = after {
            check_kept(api, after).await?;
        }
        Ok(Asked { filter, after })
    }
}

fn start_cursor(api: &Gateway, headers: &HeaderMap, params: &Params) -> Result<Option<u64>, Problem> {
    let node = api.node.name.as_str();
    if let Some(value) = headers.get(LAST_EVENT_ID) {
        let cursor = value.to_str().ok().and_then(|text| parse_cursor(node, text));
        return cursor
            .map(Some)
            .ok_or_else(|| Problem::header("Last-Event-ID", "expected a cursor of this node"));
    }
    params.read("after", "a cursor of this node", |text| parse_cursor(node, text))
}

/// Refuses a cursor after which events were forgotten, and one that was never given out.
async fn check_kept(api: &Gateway, after: u64) -> Result<(), Problem> {
    let expired =
        |detail: &str| Problem::new(Code::CursorExpired, detail).with("resync", "/v1/calls?state=live");
    let (oldest, known) = api
        .store(move |store| {
            let known = after == 0 || !store.events_since(after - 1, 1)?.is_empty();
            Ok((store.oldest_cursor()?, known))
        })
        .await?;
    if !known && after > api.events.latest() {
        return Err(expired("this node never gave out this cursor; its events may have been replaced"));
    }
    if oldest.is_some_and(|oldest| after + 1 < oldest) {
        return Err(expired("the events after this cursor are forgotten"));
    }
    Ok(())
}

/// What a reader is told next.
pub(super) enum Told {
    /// An event.
    Event(Arc<LiveEvent>),
    /// Nothing but the place in the stream.
    Alive { words: &'static str, cursor: Option<String> },
    /// The stream ends here, and why.
    Cut { code: String, detail: String },
}

impl Told {
    /// Writes it as a server-sent event (WHATWG HTML §9.2).
    fn write(&self, out: &mut String, node: &str, mask: Masker) {
        match self {
            Told::Event(event) => out.push_str(event.sse(node, mask)),
            Told::Alive { words, cursor } => {
                let _ = write!(out, ": {words}\nretry: {}\n", RETRY.as_millis());
                if let Some(cursor) = cursor {
                    let _ = writeln!(out, "id: {cursor}");
                }
                out.push('\n');
            }
            Told::Cut { code, detail } => {
                let data = serde_json::json!({"code": code, "detail": detail});
                let _ = write!(out, "event: error\ndata: {data}\n\n");
            }
        }
    }
}

/// Where a reader is.
pub(super) struct Reader {
    api: Arc<Gateway>,
    caller: Caller,
    filter: Filter,
    /// Cursor of the last event looked at; `None`: nothing was ever told, begin with the first that is.
    last: Option<u64>,
    /// Events read and not given yet.
    page: VecDeque<Arc<LiveEvent>>,
    phase: Phase,
    heartbeat_at: Instant,
    /// Nothing is told before, unless there is enough for a whole piece.
    rests_until: Option<Instant>,
    greeted: bool,
    /// Told to those who watch how far readers are behind.
    place: Arc<AtomicU64>,
    _permit: OwnedSemaphorePermit,
}

enum Phase {
    History,
    Live(Receiver<Arc<LiveEvent>>),
    Over,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.api.metrics.event_streams.dec();
    }
}

impl Reader {
    /// # Errors
    /// When there are too many readers.
    pub(super) fn new(
        api: Arc<Gateway>,
        caller: Caller,
        asked: Asked,
        consumer: &'static str,
    ) -> Result<Self, Problem> {
        let Asked { filter, after } = asked;
        let permit = Arc::clone(&api.event_streams)
            .try_acquire_owned()
            .map_err(|_| Problem::new(Code::LimitReached, "too many event streams").retry_after("5"))?;
        api.metrics.event_streams.inc();
        let latest = Some(api.events.latest()).filter(|latest| *latest > 0);
        // Before anything was told, a subscription alone misses nothing.
        let phase = match after.or(latest) {
            Some(_) => Phase::History,
            None => Phase::Live(api.events.subscribe()),
        };
        Ok(Reader {
            caller,
            filter,
            last: after.or(latest),
            page: VecDeque::new(),
            phase,
            heartbeat_at: Instant::now() + api.config.event_heartbeat,
            rests_until: None,
            greeted: false,
            place: api.metrics.stream_lag.reader(consumer, after.or(latest).unwrap_or(0)),
            _permit: permit,
            api,
        })
    }

    /// What to send next; `None` ends the stream.
    pub(super) async fn next(&mut self) -> Option<Told> {
        if !self.greeted {
            self.greeted = true;
            return Some(self.sign_of_life("connected"));
        }
        loop {
            if let Some(told) = self.ready() {
                return Some(told);
            }
            match &mut self.phase {
                Phase::Over => return None,
                Phase::History => {
                    if let Err(problem) = self.read_history().await {
                        return Some(self.cut_off(problem.code().row().1, problem.detail().to_owned()));
                    }
                }
                Phase::Live(receiver) => {
                    match tokio::time::timeout_at(self.heartbeat_at, receiver.recv()).await {
                        Ok(Ok(event)) => self.page.push_back(event),
                        Ok(Err(RecvError::Lagged(_))) => return Some(self.lagged()),
                        Ok(Err(RecvError::Closed)) => return None,
                        Err(_) => return self.heartbeat().await,
                    }
                }
            }
        }
    }

    /// What can be told without waiting.
    fn ready(&mut self) -> Option<Told> {
        loop {
            if let Some(event) = self.page.pop_front() {
                if self.shows(event.envelope()) {
                    return Some(Told::Event(event));
                }
                continue;
            }
            let Phase::Live(receiver) = &mut self.phase else { return None };
            match receiver.try_recv() {
                Ok(event) => self.page.push_back(event),
                Err(TryRecvError::Lagged(_)) => return Some(self.lagged()),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }

    /// What to send next as server-sent events, everything that is there at once; `None` ends the stream.
    async fn piece(&mut self) -> Option<Bytes> {
        if let Some(until) = self.rests_until.take() {
            tokio::time::sleep_until(until).await;
        }
        let mut text = String::new();
        let mut told = self.next().await?;
        let mut count = 0;
        loop {
            told.write(&mut text, &self.api.node.name, self.caller.mask());
            count += 1;
            if text.len() >= PIECE_BYTES {
                break;
            }
            match self.ready() {
                Some(next) => told = next,
                None => {
                    // Whoever comes for the first time, or seldom, is told at once.
                    self.rests_until = (count > 1).then(|| Instant::now() + REST);
                    break;
                }
            }
        }
        self.heartbeat_at = Instant::now() + self.api.config.event_heartbeat;
        Some(Bytes::from(text))
    }

    /// Reads what comes after `last`. At the end goes live.
    async fn read_history(&mut self) -> Result<(), Problem> {
        let after = self.last.unwrap_or(0);
        // Before the read: see the drawing above.
        let receiver = self.api.events.subscribe();
        let events = self.api.store(move |store| store.events_since(after, PAGE_EVENTS)).await?;
        // A page that is not full holds all that was told before the subscription.
        if events.len() < PAGE_EVENTS as usize {
            self.phase = Phase::Live(receiver);
        }
        self.page.extend(events.into_iter().map(|event| Arc::new(LiveEvent::new(Arc::new(event)))));
        Ok(())
    }

    /// The event is to be told, and the next are those after it.
    fn shows(&mut self, event: &EventEnvelope) -> bool {
        if self.last.is_some_and(|last| event.cursor <= last) {
            return false;
        }
        self.last = Some(event.cursor);
        self.place.store(event.cursor, Ordering::Relaxed);
        self.filter.wants(event)
    }

    /// As JSON, for this reader.
    pub(super) fn json<'e>(&self, event: &'e LiveEvent) -> &'e str {
        event.json(&self.api.node.name, self.caller.mask())
    }

    fn lagged(&mut self) -> Told {
        self.api.metrics.slow_consumers.inc();
        let detail = "events came faster than they were read; come back with Last-Event-ID";
        self.cut_off("slow_consumer", detail.to_owned())
    }

    /// A comment, and the place in the stream: a reader whose filter lets little through stays resumable.
    fn sign_of_life(&self, words: &'static str) -> Told {
        Told::Alive { words, cursor: self.last.map(|last| cursor_text(&self.api.node.name, last)) }
    }

    async fn heartbeat(&mut self) -> Option<Told> {
        self.heartbeat_at = Instant::now() + self.api.config.event_heartbeat;
        if !self.caller.still_valid(&self.api).await {
            return Some(self.cut_off("unauthorized", "the token has expired or was deleted".to_owned()));
        }
        Some(self.sign_of_life("heartbeat"))
    }

    fn cut_off(&mut self, code: &str, detail: String) -> Told {
        self.phase = Phase::Over;
        self.page.clear();
        Told::Cut { code: code.to_owned(), detail }
    }
}
