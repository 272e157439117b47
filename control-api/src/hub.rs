//! Live events for many readers, none of which can hold up the daemon.

use dialer_core::EventEnvelope;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::broadcast;

/// Events kept for readers that are a little behind. A reader that falls further behind is disconnected; it comes
/// back with its cursor and reads what it missed from the store.
pub const LIVE_EVENTS_BUFFERED: usize = 8_192;

/// Hands each durable event to everyone who listens.
#[derive(Debug)]
pub struct EventHub {
    sender: broadcast::Sender<Arc<EventEnvelope>>,
    latest: AtomicU64,
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
        EventHub { sender: broadcast::Sender::new(events.max(1)), latest: AtomicU64::new(0) }
    }

    /// Tells an event to all listeners. Call it in the order of cursors, after the event is durable: a reader that
    /// sees an event here must find it, and all before it, in the store. Never blocks.
    pub fn publish(&self, event: Arc<EventEnvelope>) {
        self.latest.fetch_max(event.cursor, Ordering::SeqCst);
        // No listener is no error: the event is in the store.
        let _ = self.sender.send(event);
    }

    /// Listens from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<EventEnvelope>> {
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
