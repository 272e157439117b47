//! What one webhook is still to be told: which event may be sent now, which waits, which is given up.
//!
//! Quiet: times are arguments, and so is chance. Events with the same *lane* (those of one call) go one after the other;
//! lanes do not wait for each other. What failed once is written down with its lane, so that the position in the stream
//! can move on; what was never tried is read from the stream again after a restart.
//!
//! ```text
//!            fails                       fails n times in a row, over all lanes
//!   lane ───────────▶ waits (schedule)      closed ──────────────▶ open ──▶ one probe ──▶ closed
//!     │ last try fails                                              ▲           │ fails
//!     └───────────▶ dead letter                                     └───────────┘ (longer)
//! ```

use sansio::WallTime;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use store::{WebhookDelivery, WebhookProgress};

/// When to try again, and how much at once. Times in milliseconds.
#[derive(Clone, PartialEq, Debug)]
pub struct WebhookLimits {
    /// Wait before each try; after the last the event is given up.
    pub schedule_ms: Vec<u64>,
    /// Longest time for one try.
    pub timeout_ms: u64,
    /// Tries at once.
    pub in_flight_max: usize,
    /// Events held that were never tried.
    pub window: usize,
    /// Events written down that wait for another try; with more, no further are taken in.
    pub waiting_max: usize,
    /// Failures in a row after which only single probes are made.
    pub breaker_failures: u32,
    /// First and longest time without a probe.
    pub breaker_ms: (u64, u64),
    /// Longest wait that a receiver may ask for.
    pub retry_after_max_ms: u64,
}

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

impl Default for WebhookLimits {
    fn default() -> Self {
        WebhookLimits {
            schedule_ms: vec![0, 5_000, 30_000, 2 * MINUTE, 10 * MINUTE, HOUR, 3 * HOUR, 8 * HOUR, 24 * HOUR],
            timeout_ms: 10_000,
            in_flight_max: 16,
            window: 2_000,
            waiting_max: 10_000,
            breaker_failures: 10,
            breaker_ms: (2_000, MINUTE),
            retry_after_max_ms: HOUR,
        }
    }
}

/// An event that is to be told.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Waiting<E> {
    pub(super) cursor: u64,
    pub(super) kind: String,
    /// The event; `None`: to be read from the stream.
    pub(super) event: Option<E>,
    attempts: u32,
    /// It is written down.
    kept: bool,
    due_ms: u64,
    last: Option<(Option<u16>, String)>,
}

#[derive(Debug)]
struct Lane<E> {
    events: VecDeque<Waiting<E>>,
    busy: bool,
}

/// Whether deliveries are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Breaker {
    /// Yes.
    Closed,
    /// Not before `until_ms`; then one.
    Open { until_ms: u64, wait_ms: u64 },
}

/// A try that begins.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Try<E> {
    pub(super) lane: Arc<str>,
    pub(super) cursor: u64,
    pub(super) kind: String,
    pub(super) event: Option<E>,
    /// 1 for the first.
    pub(super) number: u32,
}

/// What became of a try that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Retry,
    Dead,
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Queue<E> {
    limits: WebhookLimits,
    lanes: BTreeMap<Arc<str>, Lane<E>>,
    /// Idle lanes by when their first event may be sent.
    due: BTreeSet<(u64, u64, Arc<str>)>,
    /// Events held that are not written down.
    loose: BTreeSet<u64>,
    /// Events that are written down and wait.
    kept: BTreeSet<u64>,
    /// Events after the position that were given up.
    dead: BTreeSet<u64>,
    /// The last event looked at.
    taken: u64,
    in_flight: usize,
    failures: u32,
    breaker: Breaker,
    changed: Vec<WebhookDelivery>,
    done: Vec<u64>,
    position_told: u64,
}

impl<E: Clone> Queue<E> {
    /// From what was written down.
    pub(super) fn new(
        limits: WebhookLimits,
        position: u64,
        rows: Vec<WebhookDelivery>,
        now_ms: u64,
        wall: WallTime,
    ) -> Self {
        let mut queue = Queue {
            limits,
            lanes: BTreeMap::new(),
            due: BTreeSet::new(),
            loose: BTreeSet::new(),
            kept: BTreeSet::new(),
            dead: BTreeSet::new(),
            taken: position,
            in_flight: 0,
            failures: 0,
            breaker: Breaker::Closed,
            changed: Vec::new(),
            done: Vec::new(),
            position_told: position,
        };
        for row in rows {
            if row.dead {
                queue.dead.insert(row.event_cursor);
                continue;
            }
            let wait = u64::try_from(row.next_at.millis_since(wall)).unwrap_or(0);
            queue.kept.insert(row.event_cursor);
            queue.push(
                row.lane.as_str().into(),
                Waiting {
                    cursor: row.event_cursor,
                    kind: row.event_type,
                    event: None,
                    attempts: row.attempts,
                    kept: true,
                    due_ms: now_ms + wait,
                    last: Some((row.status, row.error)),
                },
            );
        }
        queue
    }

    fn push(&mut self, lane: Arc<str>, event: Waiting<E>) {
        let (due, cursor) = (event.due_ms, event.cursor);
        let at = self
            .lanes
            .entry(Arc::clone(&lane))
            .or_insert_with(|| Lane { events: VecDeque::new(), busy: false });
        at.events.push_back(event);
        if at.events.len() == 1 && !at.busy {
            self.due.insert((due, cursor, lane));
        }
    }

    /// The last event looked at.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// So many events more may be taken in.
    pub(super) fn room(&self) -> usize {
        if self.kept.len() >= self.limits.waiting_max {
            return 0;
        }
        self.limits.window.saturating_sub(self.loose.len())
    }

    /// There is room for a page: one event read for each that is delivered would be a look into the store for each.
    pub(super) fn wants_more(&self) -> bool {
        self.room() > 0 && self.loose.len() <= self.limits.window / 2
    }

    /// Events held.
    pub(super) fn len(&self) -> usize {
        self.loose.len() + self.kept.len()
    }

    pub(super) fn breaker(&self) -> Breaker {
        self.breaker
    }

    /// The next event of the stream; `lane` if it is wanted. One that is written down is there already.
    pub(super) fn take(&mut self, cursor: u64, wanted: Option<(&str, &str, E)>) {
        self.taken = self.taken.max(cursor);
        let Some((lane, kind, event)) = wanted else { return };
        if self.kept.contains(&cursor) || self.dead.remove(&cursor) || !self.loose.insert(cursor) {
            return;
        }
        let event = Waiting {
            cursor,
            kind: kind.to_owned(),
            event: Some(event),
            attempts: 0,
            kept: false,
            due_ms: 0,
            last: None,
        };
        self.push(lane.into(), event);
    }

    /// The next try that may begin now.
    pub(super) fn next(&mut self, now_ms: u64) -> Option<Try<E>> {
        let most = match self.breaker {
            Breaker::Closed => self.limits.in_flight_max,
            Breaker::Open { until_ms, .. } if now_ms >= until_ms => 1,
            Breaker::Open { .. } => 0,
        };
        if self.in_flight >= most {
            return None;
        }
        let first = self.due.first().filter(|(due, ..)| *due <= now_ms)?.clone();
        self.due.remove(&first);
        let lane = first.2;
        let held = self.lanes.get_mut(&lane).expect("due lanes are held");
        held.busy = true;
        self.in_flight += 1;
        let head = held.events.front().expect("due lanes have an event");
        Some(Try {
            cursor: head.cursor,
            kind: head.kind.clone(),
            event: head.event.clone(),
            number: head.attempts + 1,
            lane,
        })
    }

    /// When [`Queue::next`] is worth asking again, without anything else happening.
    pub(super) fn wake_ms(&self) -> Option<u64> {
        let due = self.due.first().map(|(due, ..)| *due)?;
        match self.breaker {
            Breaker::Closed => (self.in_flight < self.limits.in_flight_max).then_some(due),
            Breaker::Open { until_ms, .. } => (self.in_flight == 0).then_some(due.max(until_ms)),
        }
    }

    /// A try succeeded.
    pub(super) fn delivered(&mut self, lane: &Arc<str>) {
        self.failures = 0;
        self.breaker = Breaker::Closed;
        let event = self.leave(lane);
        if event.kept {
            self.kept.remove(&event.cursor);
            self.done.push(event.cursor);
        } else {
            self.loose.remove(&event.cursor);
        }
    }

    /// A try failed. `chance` 0..1 spreads the retries of many events; `retry_after_ms` is what the receiver asks for.
    pub(super) fn failed(
        &mut self,
        lane: &Arc<str>,
        (now_ms, wall): (u64, WallTime),
        chance: f64,
        retry_after_ms: Option<u64>,
        (status, error): (Option<u16>, String),
    ) -> Verdict {
        self.note_failure(now_ms);
        let tries_max = self.limits.schedule_ms.len();
        let held = self.lanes.get_mut(lane).expect("a try holds its lane");
        let head = held.events.front_mut().expect("a try holds its event");
        head.attempts += 1;
        head.event = None;
        let attempts = head.attempts;
        if attempts as usize >= tries_max {
            let event = self.leave(lane);
            self.loose.remove(&event.cursor);
            self.kept.remove(&event.cursor);
            let row = row(lane, &event, true, wall, (status, error));
            self.changed.push(row);
            return Verdict::Dead;
        }
        let wait = self.limits.schedule_ms[attempts as usize] as f64 * (0.9 + 0.2 * chance.clamp(0.0, 1.0));
        let asked = retry_after_ms.unwrap_or(0).min(self.limits.retry_after_max_ms);
        head.due_ms = now_ms + (wait as u64).max(asked);
        head.last = Some((status, error));
        let (due, cursor) = (head.due_ms, head.cursor);
        // The head and all behind it are written down, so that the position moves on.
        for event in &mut held.events {
            let first = event.cursor == cursor;
            if event.kept && !first {
                continue;
            }
            event.kept = true;
            event.event = None;
            self.loose.remove(&event.cursor);
            self.kept.insert(event.cursor);
            let next_at = wall.plus_millis(event.due_ms.saturating_sub(now_ms) as i64);
            let last = event.last.clone().unwrap_or((None, String::new()));
            self.changed.push(row(lane, event, false, next_at, last));
        }
        held.busy = false;
        self.in_flight -= 1;
        self.due.insert((due, cursor, Arc::clone(lane)));
        Verdict::Retry
    }

    /// Takes the event of a try out of its lane.
    fn leave(&mut self, lane: &Arc<str>) -> Waiting<E> {
        self.in_flight -= 1;
        let held = self.lanes.get_mut(lane).expect("a try holds its lane");
        held.busy = false;
        let event = held.events.pop_front().expect("a try holds its event");
        match held.events.front() {
            Some(next) => drop(self.due.insert((next.due_ms, next.cursor, Arc::clone(lane)))),
            None => drop(self.lanes.remove(lane)),
        }
        event
    }

    fn note_failure(&mut self, now_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        let (least, most) = self.limits.breaker_ms;
        match self.breaker {
            Breaker::Closed if self.failures >= self.limits.breaker_failures => {
                self.breaker = Breaker::Open { until_ms: now_ms + least, wait_ms: least };
            }
            // Tries that began before the breaker opened do not lengthen its wait.
            Breaker::Open { until_ms, wait_ms } if now_ms >= until_ms => {
                let wait_ms = (wait_ms * 2).min(most);
                self.breaker = Breaker::Open { until_ms: now_ms + wait_ms, wait_ms };
            }
            _ => {}
        }
    }

    /// Everything up to here was delivered, was not wanted, or is written down.
    fn position(&self) -> u64 {
        self.loose.first().map_or(self.taken, |first| first - 1)
    }

    /// What is to be written down since the last time; `None`: nothing.
    pub(super) fn progress(&mut self, webhook: dialer_core::WebhookId) -> Option<WebhookProgress> {
        // What joined a lane behind an event that waits would hold the position back.
        for (lane, held) in &mut self.lanes {
            if !held.events.front().is_some_and(|head| head.kept) {
                continue;
            }
            for event in held.events.iter_mut().filter(|event| !event.kept) {
                event.kept = true;
                event.event = None;
                self.loose.remove(&event.cursor);
                self.kept.insert(event.cursor);
                let at = WallTime::from_unix_millis(0);
                self.changed.push(row(lane, event, false, at, (None, String::new())));
            }
        }
        let position = self.position();
        if position == self.position_told && self.changed.is_empty() && self.done.is_empty() {
            return None;
        }
        self.position_told = position;
        let mut put: BTreeMap<u64, WebhookDelivery> = BTreeMap::new();
        for row in self.changed.drain(..) {
            put.insert(row.event_cursor, row);
        }
        let done = std::mem::take(&mut self.done);
        put.retain(|cursor, row| row.dead || !done.contains(cursor));
        Some(WebhookProgress { webhook, position, put: put.into_values().collect(), done })
    }
}

fn row<E>(
    lane: &str,
    event: &Waiting<E>,
    dead: bool,
    next_at: WallTime,
    (status, error): (Option<u16>, String),
) -> WebhookDelivery {
    WebhookDelivery {
        event_cursor: event.cursor,
        event_type: event.kind.clone(),
        lane: lane.to_owned(),
        dead,
        attempts: event.attempts,
        next_at,
        status,
        error,
    }
}

#[cfg(test)]
mod tests;
