//! The task that serves one webhook.

use super::queue::{Breaker, Queue, Try, Verdict};
use super::send::{Answer, body, send};
use super::{RECENT_MAX, Standing, Tried};
use crate::gateway::Gateway;
use crate::hub::LiveEvent;
use crate::pattern::wants_type;
use dialer_core::{Command, EventEnvelope};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{StoreError, WebhookDelivery, WebhookRow};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Events read at once.
const PAGE_EVENTS: u32 = 500;
/// How far a webhook is gets written down at most so often, unless there is much of it.
const WRITE_EVERY: Duration = Duration::from_millis(500);
/// Wait at the end for receivers to answer.
const GOODBYE: Duration = Duration::from_secs(1);
/// Wait after the store could not be asked.
const STORE_WAIT: Duration = Duration::from_secs(1);

type Done = (Try<Arc<EventEnvelope>>, Option<Answer>, u64);

pub(super) struct Task {
    gateway: Arc<Gateway>,
    client: reqwest::Client,
    row: Arc<WebhookRow>,
    position: u64,
    stopped: watch::Receiver<bool>,
    standing: Arc<Mutex<Standing>>,
    began: Instant,
}

impl Task {
    pub(super) fn new(
        gateway: Arc<Gateway>,
        client: reqwest::Client,
        row: WebhookRow,
        position: u64,
        stopped: watch::Receiver<bool>,
        standing: Arc<Mutex<Standing>>,
    ) -> Self {
        Task { gateway, client, row: Arc::new(row), position, stopped, standing, began: Instant::now() }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) async fn run(mut self) {
        let Some(rows) = self.stored().await else { return };
        let limits = self.gateway.config.webhooks.clone();
        let mut queue = Queue::new(limits, self.position, rows, self.now_ms(), self.gateway.now());
        let mut tries: JoinSet<Done> = JoinSet::new();
        let mut events = self.gateway.events.subscribe();
        let mut caught_up = false;
        let mut write_at = Instant::now() + WRITE_EVERY;
        let mut gone = false;
        while !gone && !*self.stopped.borrow() {
            if !caught_up && queue.wants_more() {
                caught_up = self.take_in(&mut queue).await;
            }
            while let Some(one) = queue.next(self.now_ms()) {
                tries.spawn(self.one_try(one));
            }
            if Instant::now() >= write_at {
                self.write(&mut queue).await;
                write_at = Instant::now() + WRITE_EVERY;
            }
            self.show(&queue);
            if !caught_up && queue.wants_more() {
                // There is more to read; what was sent meanwhile is looked at without waiting.
                while let Some(Ok(done)) = tries.try_join_next() {
                    gone |= self.settle(&mut queue, done);
                }
                continue;
            }
            let wake = queue.wake_ms().map(|at| self.began + Duration::from_millis(at));
            let wake = wake.map_or(write_at, |at| at.min(write_at));
            tokio::select! {
                biased;
                _ = self.stopped.changed() => break,
                Some(Ok(done)) = tries.join_next() => gone |= self.settle(&mut queue, done),
                told = events.recv(), if caught_up => caught_up = !news(told, &mut events),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
        // What is still on its way after a moment is told again by whoever serves this webhook next.
        let answered = async {
            while let Some(done) = tries.join_next().await {
                gone |= done.is_ok_and(|done| self.settle(&mut queue, done));
            }
        };
        if tokio::time::timeout(GOODBYE, answered).await.is_err() {
            tries.shutdown().await;
        }
        self.write(&mut queue).await;
        if gone {
            self.disable().await;
        }
    }

    /// What waits for another try, and what was given up after the position.
    async fn stored(&mut self) -> Option<Vec<WebhookDelivery>> {
        let (id, position) = (self.row.id, self.position);
        loop {
            let read = self.gateway.store(move |store| {
                let mut rows = store.webhook_deliveries(id, false, 0, u32::MAX)?;
                rows.extend(store.webhook_deliveries(id, true, position, u32::MAX)?);
                Ok::<_, StoreError>(rows)
            });
            match read.await {
                Ok(rows) => return Some(rows),
                Err(problem) => {
                    tracing::warn!(webhook = %id, detail = problem.detail(), "a webhook's backlog cannot be read");
                    tokio::select! {
                        _ = self.stopped.changed() => return None,
                        () = tokio::time::sleep(STORE_WAIT) => {}
                    }
                }
            }
        }
    }

    /// Reads a page of events; true when there are no more for now.
    async fn take_in(&self, queue: &mut Queue<Arc<EventEnvelope>>) -> bool {
        let after = queue.taken();
        let limit = PAGE_EVENTS.min(u32::try_from(queue.room()).unwrap_or(PAGE_EVENTS)).max(1);
        let page = match self.gateway.store(move |store| store.events_since(after, limit)).await {
            Ok(page) => page,
            Err(problem) => {
                tracing::warn!(webhook = %self.row.id, detail = problem.detail(), "events cannot be read");
                tokio::time::sleep(STORE_WAIT).await;
                return false;
            }
        };
        let more = page.len() as u32 == limit;
        for event in page {
            let event = Arc::new(event);
            let kind = event.event.type_name();
            if wants_type(&self.row.types, kind)
                && self.row.campaign.is_none_or(|campaign| event.campaign == Some(campaign))
                && (self.row.tenant.is_none() || event.tenant == self.row.tenant)
            {
                queue.take(event.cursor, Some((&lane(&event), kind, Arc::clone(&event))));
            } else {
                queue.take(event.cursor, None);
            }
        }
        !more
    }

    fn one_try(&self, one: Try<Arc<EventEnvelope>>) -> impl Future<Output = Done> + Send + 'static {
        let (gateway, client, row) = (Arc::clone(&self.gateway), self.client.clone(), Arc::clone(&self.row));
        async move {
            let began = Instant::now();
            let event = match &one.event {
                Some(event) => Some(Arc::clone(event)),
                None => {
                    let cursor = one.cursor;
                    match gateway.store(move |store| store.events_since(cursor - 1, 1)).await {
                        Ok(found) => found.into_iter().next().filter(|e| e.cursor == cursor).map(Arc::new),
                        Err(problem) => {
                            let error = problem.detail().to_owned();
                            let answer = Answer::Failed { status: None, error, retry_after_ms: None };
                            return (one, Some(answer), 0);
                        }
                    }
                }
            };
            let Some(event) = event else { return (one, None, 0) };
            let body = body(&event, &gateway.node.name, &row);
            let answer = send(&gateway, &client, &row, &event.id.to_string(), body).await;
            let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            (one, Some(answer), took)
        }
    }

    /// Takes note of what became of a try; true when the receiver wants no more.
    fn settle(&self, queue: &mut Queue<Arc<EventEnvelope>>, (one, answer, took_ms): Done) -> bool {
        let wall = self.gateway.now();
        let mut tried = Tried {
            event_cursor: one.cursor,
            event_type: one.kind.clone(),
            number: one.number,
            at: wall,
            took_ms,
            status: None,
            error: None,
        };
        let result = match answer {
            Some(Answer::Taken { status }) => {
                tried.status = Some(status);
                queue.delivered(&one.lane);
                "delivered"
            }
            Some(Answer::Gone) => {
                tried.status = Some(410);
                tried.error = Some("status 410".into());
                "gone"
            }
            Some(Answer::Failed { status, error, retry_after_ms }) => {
                tried.status = status;
                tried.error = Some(error.clone());
                // Retries of many events are spread by the event's own number.
                let chance = (one.cursor.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / (1 << 24) as f64;
                let at = (self.now_ms(), wall);
                match queue.failed(&one.lane, at, chance, retry_after_ms, (status, error)) {
                    Verdict::Retry => "failed",
                    Verdict::Dead => "dead",
                }
            }
            // The event is forgotten: nothing is left to tell.
            None => {
                tried.error = Some("the event is forgotten".into());
                queue.delivered(&one.lane);
                "forgotten"
            }
        };
        self.gateway.metrics.webhook_tried(&self.row.id.to_string(), result, took_ms as f64 / 1000.0);
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if standing.recent.len() >= RECENT_MAX {
            standing.recent.pop_front();
        }
        standing.recent.push_back(tried);
        result == "gone"
    }

    async fn write(&self, queue: &mut Queue<Arc<EventEnvelope>>) {
        let Some(progress) = queue.progress(self.row.id) else { return };
        // Until it is written: otherwise a restart would lose what waits.
        for tries in 0_u32.. {
            let copy = progress.clone();
            match self.gateway.store(move |store| store.webhook_progress(copy)).await {
                Ok(()) => return,
                Err(problem) => {
                    tracing::warn!(webhook = %self.row.id, detail = problem.detail(), "a webhook's progress cannot be written");
                    if *self.stopped.borrow() && tries >= 3 {
                        return;
                    }
                    tokio::time::sleep(STORE_WAIT).await;
                }
            }
        }
    }

    fn show(&self, queue: &Queue<Arc<EventEnvelope>>) {
        let behind = self.gateway.events.latest().saturating_sub(queue.taken());
        let held = queue.len() as u64;
        self.gateway.metrics.webhook_backlog(&self.row.id.to_string(), behind + held);
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.taken = queue.taken();
        standing.held = held;
        standing.breaker_open = queue.breaker() != Breaker::Closed;
    }

    /// The receiver answered 410: it is not served any more until someone enables it.
    async fn disable(&self) {
        let reason = "gone".to_owned();
        tracing::warn!(webhook = %self.row.id, "the receiver answered 410: the webhook is disabled");
        let mut row = (*self.row).clone();
        row.enabled = false;
        row.disabled_reason = Some(reason.clone());
        row.version += 1;
        let stored = self.gateway.store(move |store| store.put_webhook(&row, 0, None)).await;
        if let Err(problem) = stored {
            tracing::error!(detail = problem.detail(), "the webhook cannot be disabled in the store");
        }
        let command = Command::WebhookDisabled { webhook: self.row.id, reason };
        if let Err(problem) = self.gateway.command(command).await {
            tracing::warn!(detail = problem.detail(), "the event of a disabled webhook cannot be told");
        }
    }
}

/// Whether there is something new to read. Takes in all that was told meanwhile: it is read from the store.
fn news(told: Result<Arc<LiveEvent>, RecvError>, events: &mut broadcast::Receiver<Arc<LiveEvent>>) -> bool {
    if matches!(told, Err(RecvError::Closed)) {
        return false;
    }
    while events.try_recv().is_ok() {}
    true
}

/// Events of one lane are told in their order.
fn lane(event: &EventEnvelope) -> String {
    if let Some(call) = event.call {
        call.to_string()
    } else if let Some(agent) = event.agent {
        agent.to_string()
    } else if let Some(campaign) = event.campaign {
        campaign.to_string()
    } else {
        "node".to_owned()
    }
}
