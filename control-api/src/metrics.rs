//! Counts of requests.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

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
    events_published: IntCounterVec,
    pub(crate) slow_consumers: prometheus::IntCounter,
    webhook_deliveries: IntCounterVec,
    webhook_seconds: HistogramVec,
    webhook_backlog: IntGaugeVec,
}

impl HttpMetrics {
    pub(crate) fn new(events_published: IntCounterVec) -> Self {
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
            events_published,
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
