//! Counts of requests.

use crate::hub::EventHub;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Ways in which the event stream is read.
pub(crate) const CONSUMERS: [&str; 2] = ["sse", "ws"];

/// A reader of the event stream: how, and the last event that it has come to.
type Place = (&'static str, Weak<AtomicU64>);

/// How far readers of the event stream are behind: asked when it is told.
#[derive(Clone, Debug)]
pub(crate) struct StreamLag {
    events: Arc<EventHub>,
    readers: Arc<Mutex<Vec<Place>>>,
    lag: IntGaugeVec,
}

impl StreamLag {
    fn new(events: Arc<EventHub>) -> Self {
        let what = Opts::new("event_stream_lag", "Events that the slowest reader of a sort is behind.");
        let lag = IntGaugeVec::new(what, &["consumer"]).expect("the name and labels are fixed and valid");
        StreamLag { events, readers: Arc::default(), lag }
    }

    /// A reader that has come to this event. It is looked at for as long as what is given lives.
    pub(crate) fn reader(&self, consumer: &'static str, cursor: u64) -> Arc<AtomicU64> {
        let place = Arc::new(AtomicU64::new(cursor));
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|(_, place)| place.strong_count() > 0);
        readers.push((consumer, Arc::downgrade(&place)));
        place
    }
}

impl Collector for StreamLag {
    fn desc(&self) -> Vec<&Desc> {
        self.lag.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let latest = self.events.latest();
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        for consumer in CONSUMERS {
            let own = readers.iter().filter(|(of, _)| *of == consumer);
            let places = own.filter_map(|(_, place)| place.upgrade());
            let behind = places.map(|place| latest.saturating_sub(place.load(Ordering::Relaxed))).max();
            let behind = i64::try_from(behind.unwrap_or(0)).unwrap_or(i64::MAX);
            self.lag.with_label_values(&[consumer]).set(behind);
        }
        self.lag.collect()
    }
}

/// Counters of the API.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    pub(crate) import_rows: IntCounterVec,
    pub(crate) dial_requests: IntCounterVec,
    pub(crate) recording_accesses: IntCounterVec,
    pub(crate) event_streams: IntGauge,
    pub(crate) ws_clients: IntGauge,
    pub(crate) stream_lag: StreamLag,
    events_published: IntCounterVec,
    pub(crate) slow_consumers: prometheus::IntCounter,
    webhook_deliveries: IntCounterVec,
    webhook_seconds: HistogramVec,
    webhook_backlog: IntGaugeVec,
}

impl HttpMetrics {
    pub(crate) fn new(events: &Arc<EventHub>) -> Self {
        let known = "the name and labels are fixed and valid";
        HttpMetrics {
            requests: IntCounterVec::new(
                Opts::new("http_requests_total", "Requests to the API by route, method and status."),
                &["route", "method", "code"],
            )
            .expect(known),
            seconds: HistogramVec::new(
                HistogramOpts::new("http_request_seconds", "Time until a response began, by route.")
                    .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]),
                &["route"],
            )
            .expect(known),
            import_rows: IntCounterVec::new(
                Opts::new("import_rows_total", "Rows of lead imports by verdict."),
                &["result"],
            )
            .expect(known),
            dial_requests: IntCounterVec::new(
                Opts::new("dial_requests_total", "Dial requests of push campaigns by what became of them."),
                &["result"],
            )
            .expect(known),
            recording_accesses: IntCounterVec::new(
                Opts::new("recording_accesses_total", "Times recordings were listened to or downloaded."),
                &["access"],
            )
            .expect(known),
            event_streams: IntGauge::new("event_streams", "Clients that read the event stream.")
                .expect(known),
            ws_clients: IntGauge::new("ws_clients", "Of these those with a WebSocket.").expect(known),
            stream_lag: StreamLag::new(Arc::clone(events)),
            events_published: events.published.clone(),
            slow_consumers: prometheus::IntCounter::new(
                "event_streams_cut_off_total",
                "Readers of the event stream that were cut off because they were too slow.",
            )
            .expect(known),
            webhook_deliveries: IntCounterVec::new(
                Opts::new(
                    "webhook_deliveries_total",
                    "Tries to tell a webhook an event, by what became of them.",
                ),
                &["endpoint", "result"],
            )
            .expect(known),
            webhook_seconds: HistogramVec::new(
                HistogramOpts::new("webhook_delivery_seconds", "Time of a try to tell a webhook an event.")
                    .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
                &["endpoint"],
            )
            .expect(known),
            webhook_backlog: IntGaugeVec::new(
                Opts::new(
                    "webhook_backlog",
                    "Events a webhook is still to be told, or to be looked at for it.",
                ),
                &["endpoint"],
            )
            .expect(known),
        }
    }

    /// Counts a try to tell a webhook an event.
    pub(crate) fn webhook_tried(&self, endpoint: &str, result: &str, seconds: f64) {
        self.webhook_deliveries.with_label_values(&[endpoint, result]).inc();
        self.webhook_seconds.with_label_values(&[endpoint]).observe(seconds);
    }

    /// How many events a webhook is behind.
    pub(crate) fn webhook_backlog(&self, endpoint: &str, events: u64) {
        let events = i64::try_from(events).unwrap_or(i64::MAX);
        self.webhook_backlog.with_label_values(&[endpoint]).set(events);
    }

    /// Forgets what was counted for a webhook that is deleted.
    pub(crate) fn forget_webhook(&self, endpoint: &str) {
        for result in ["delivered", "gone", "failed", "dead", "forgotten"] {
            // What was never counted cannot be forgotten.
            let _ = self.webhook_deliveries.remove_label_values(&[endpoint, result]);
        }
        let _ = self.webhook_seconds.remove_label_values(&[endpoint]);
        let _ = self.webhook_backlog.remove_label_values(&[endpoint]);
    }

    /// Puts all of them into a registry.
    ///
    /// # Errors
    /// When one of the names is taken there.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.requests.clone()))?;
        registry.register(Box::new(self.seconds.clone()))?;
        registry.register(Box::new(self.import_rows.clone()))?;
        registry.register(Box::new(self.dial_requests.clone()))?;
        registry.register(Box::new(self.recording_accesses.clone()))?;
        registry.register(Box::new(self.event_streams.clone()))?;
        registry.register(Box::new(self.ws_clients.clone()))?;
        registry.register(Box::new(self.events_published.clone()))?;
        registry.register(Box::new(self.stream_lag.clone()))?;
        registry.register(Box::new(self.slow_consumers.clone()))?;
        registry.register(Box::new(self.webhook_deliveries.clone()))?;
        registry.register(Box::new(self.webhook_seconds.clone()))?;
        registry.register(Box::new(self.webhook_backlog.clone()))
    }

    /// Counts a request. `method` outside the usual ones is told as `OTHER`, so that labels stay few.
    pub(crate) fn observe(&self, route: &str, method: &axum::http::Method, code: u16, seconds: f64) {
        let method = match method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
            _ => "OTHER",
        };
        self.requests.with_label_values(&[route, method, &code.to_string()]).inc();
        self.seconds.with_label_values(&[route]).observe(seconds);
    }
}
