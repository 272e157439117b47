//! `/v1/events`: the event stream, as server-sent events.
//!
//! A reader first gets what it missed, from the store, then the live events, without a gap or a duplicate:
//! ```text
//!   read pages from the store ──▶ subscribe ──▶ read once more ──▶ nothing new: live
//!            ▲                                        │
//!            └──────────── something new ◀────────────┘
//! ```
//! An event is told live after it is durable, so what was told before the subscription is in the last read.

use super::Api;
use crate::auth::{Caller, Scope};
use crate::extract::Params;
use crate::gateway::Gateway;
use crate::pattern::{is_pattern, wants_type};
use crate::problem::{Code, Problem, ProblemBody};
use crate::wire::event::{Event, cursor_text, parse_cursor};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, HeaderName};
use axum::response::sse::{Event as SseEvent, Sse};
use axum::response::{IntoResponse, Response};
use dialer_core::{AgentId, CallId, CampaignId, EventEnvelope};
use sansio::Duration;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What a client is asked to wait before it comes back.
const RETRY: Duration = Duration::from_secs(2);
/// Events read from the store at once.
const PAGE_EVENTS: u32 = 500;

/// Which events a reader wants.
#[derive(Debug, Default)]
struct Filter {
    /// Empty: all. `call.*` stands for everything that begins so.
    types: Vec<String>,
    campaign: Option<CampaignId>,
    call: Option<CallId>,
    agent: Option<AgentId>,
}

impl Filter {
    fn from_params(params: &Params) -> Result<Self, Problem> {
        let types = params.read("types", "names like call.ended or call.*, with commas between", |text| {
            let types: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
            types.iter().all(|part| is_pattern(part)).then_some(types)
        })?;
        Ok(Filter {
            types: types.unwrap_or_default(),
            campaign: params.id("campaign")?,
            call: params.id("call")?,
            agent: params.id("agent")?,
        })
    }

    fn wants(&self, event: &EventEnvelope) -> bool {
        wants_type(&self.types, event.event.type_name())
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
    let reader = Reader::new(api, caller, asked)?;
    let stream = futures_util::stream::unfold(reader, |mut reader| async {
        let told = reader.next().await?;
        Some((Ok::<_, Infallible>(SseEvent::from(told)), reader))
    });
    // Proxies that buffer (nginx) would hold events back.
    let no_buffer = [(CACHE_CONTROL, "no-store"), (HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((no_buffer, Sse::new(stream)).into_response())
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
        let filter = Filter::from_params(params)?;
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
    /// An event, as JSON text.
    Event { cursor: String, text: String },
    /// Nothing but the place in the stream.
    Alive { words: &'static str, cursor: Option<String> },
    /// The stream ends here, and why.
    Cut { code: String, detail: String },
}

impl From<Told> for SseEvent {
    fn from(told: Told) -> Self {
        match told {
            Told::Event { cursor, text } => SseEvent::default().id(cursor).data(text),
            Told::Alive { words, cursor } => {
                let event = SseEvent::default().comment(words).retry(RETRY);
                match cursor {
                    Some(cursor) => event.id(cursor),
                    None => event,
                }
            }
            Told::Cut { code, detail } => {
                let data = serde_json::json!({"code": code, "detail": detail});
                SseEvent::default().event("error").data(data.to_string())
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
    page: VecDeque<Arc<EventEnvelope>>,
    phase: Phase,
    heartbeat_at: Instant,
    greeted: bool,
    _permit: OwnedSemaphorePermit,
}

enum Phase {
    History,
    Live(Receiver<Arc<EventEnvelope>>),
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
    pub(super) fn new(api: Arc<Gateway>, caller: Caller, asked: Asked) -> Result<Self, Problem> {
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
            greeted: false,
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
            while let Some(event) = self.page.pop_front() {
                if let Some(shown) = self.show(&event) {
                    return Some(shown);
                }
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
                        Ok(Err(RecvError::Lagged(_))) => {
                            self.api.metrics.slow_consumers.inc();
                            let detail =
                                "events came faster than they were read; come back with Last-Event-ID";
                            return Some(self.cut_off("slow_consumer", detail.to_owned()));
                        }
                        Ok(Err(RecvError::Closed)) => return None,
                        Err(_) => return self.heartbeat().await,
                    }
                }
            }
        }
    }

    /// Reads what comes after `last`. When there is nothing, goes live.
    async fn read_history(&mut self) -> Result<(), Problem> {
        let after = self.last.unwrap_or(0);
        // Before the read: see the drawing above.
        let receiver = self.api.events.subscribe();
        let events = self.api.store(move |store| store.events_since(after, PAGE_EVENTS)).await?;
        if events.is_empty() {
            self.phase = Phase::Live(receiver);
        }
        self.page.extend(events.into_iter().map(Arc::new));
        Ok(())
    }

    fn show(&mut self, event: &EventEnvelope) -> Option<Told> {
        if self.last.is_some_and(|last| event.cursor <= last) {
            return None;
        }
        self.last = Some(event.cursor);
        if !self.filter.wants(event) {
            return None;
        }
        self.heartbeat_at = Instant::now() + self.api.config.event_heartbeat;
        let node = self.api.node.name.as_str();
        let shown = Event::new(event, node, self.caller.mask());
        let text = serde_json::to_string(&shown).expect("an event has string keys");
        Some(Told::Event { cursor: shown.cursor, text })
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
