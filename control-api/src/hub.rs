//! Live events for many readers, none of which can hold up the daemon.

use crate::mask::Masker;
use crate::wire::event::Event;
use dialer_core::EventEnvelope;
use prometheus::{IntCounterVec, Opts};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::broadcast;

/// Events kept for readers that are a little behind: a second and a half at 20,000 a second, some 30 MB when somebody is that
/// far behind, once for all of them. A reader that falls further behind is disconnected; it comes
/// back with its cursor and reads what it missed from the store.
pub const LIVE_EVENTS_BUFFERED: usize = 32_768;

/// An event with its text, which is made once for all readers that may see the same.
#[derive(Debug)]
pub struct LiveEvent {
    envelope: Arc<EventEnvelope>,
    /// For those who may not see whole numbers, and for those who may.
    frames: [OnceLock<Frame>; 2],
}

/// A server-sent event: `id:` and `data:` with their newlines.
#[derive(Debug)]
struct Frame {
    text: Box<str>,
    json_at: usize,
}

impl LiveEvent {
    /// An event that nobody has asked for yet.
    #[must_use]
    pub fn new(envelope: Arc<EventEnvelope>) -> Self {
        LiveEvent { envelope, frames: [OnceLock::new(), OnceLock::new()] }
    }

    /// What happened.
    #[must_use]
    pub fn envelope(&self) -> &EventEnvelope {
        &self.envelope
    }

    /// As a server-sent event (WHATWG HTML §9.2), with the empty line that ends it.
    pub(crate) fn sse(&self, node: &str, mask: Masker) -> &str {
        &self.frame(node, mask).text
    }

    /// As JSON.
    pub(crate) fn json(&self, node: &str, mask: Masker) -> &str {
        let frame = self.frame(node, mask);
        frame.text[frame.json_at..].trim_end()
    }

    fn frame(&self, node: &str, mask: Masker) -> &Frame {
        self.frames[usize::from(mask.is_whole())].get_or_init(|| {
            let shown = Event::new(&self.envelope, node, mask);
            let head = format!("id: {}\ndata: ", shown.cursor);
            // JSON has no line breaks outside of texts, and escapes those inside.
            let json = serde_json::to_string(&shown).expect("an event has string keys");
            Frame { json_at: head.len(), text: format!("{head}{json}\n\n").into() }
        })
    }
}

/// Hands each durable event to everyone who listens.
#[derive(Debug)]
pub struct EventHub {
    sender: broadcast::Sender<Arc<LiveEvent>>,
    latest: AtomicU64,
    /// Told so far, by type.
    pub(crate) published: IntCounterVec,
}

impl Default for EventHub {
    fn default() -> Self {
        Self::with_buffer(LIVE_EVENTS_BUFFERED)
    }
}

impl EventHub {
    /// With room for so many events between the fastest and the slowest reader.
    #[must_use]
    pub fn with_buffer(events: usize) -> Self {
        let what = Opts::new("events_published_total", "Events told, by type.");
        EventHub {
            sender: broadcast::Sender::new(events.max(1)),
            latest: AtomicU64::new(0),
            published: IntCounterVec::new(what, &["type"]).expect("the name and labels are fixed and valid"),
        }
    }

    /// Tells an event to all listeners. Call it in the order of cursors, after the event is durable: a reader that
    /// sees an event here must find it, and all before it, in the store. Never blocks.
    pub fn publish(&self, event: Arc<EventEnvelope>) {
        self.latest.fetch_max(event.cursor, Ordering::SeqCst);
        self.published.with_label_values(&[event.event.type_name()]).inc();
        // No listener is no error: the event is in the store.
        let _ = self.sender.send(Arc::new(LiveEvent::new(event)));
    }

    /// Listens from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<LiveEvent>> {
        self.sender.subscribe()
    }

    /// Cursor of the last event told; 0 before the first.
    #[must_use]
    pub fn latest(&self) -> u64 {
        self.latest.load(Ordering::SeqCst)
    }

    /// How many listen.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.sender.receiver_count()
    }
}
