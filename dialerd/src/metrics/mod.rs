//! `/metrics`, `/healthz`, `/readyz`: the rooms' plain counters in Prometheus' words.
//!
//! Names are those of `docs/OPERATING.md`. No call, lead or number is ever a label.

mod asked;
mod dialer;
mod family;
mod shard;
mod stream;
mod traffic;

use crate::config::Config;
use crate::control_thread::ControlGauges;
use crate::fork::ForkCounters;
use crate::hep::HepCounters;
use crate::recogniser::RecogniserCounters;
use crate::retention::RetentionCounters;
use crate::shard_thread::ShardGauges;
use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use control_api::{Gateway, ReadModel};
pub use family::Families;
use prometheus::{Encoder, Registry, TextEncoder};
use runtime::stream::StreamCounters;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use store::{CommitHistogram, Store};

/// Campaigns with a label of their own; further ones are counted under `__other__`.
const CAMPAIGN_LABELS_MAX: usize = 500;

/// Where all numbers come from.
pub struct Metrics {
    registry: Registry,
    read_model: Arc<ReadModel>,
    control: Arc<ControlGauges>,
    shards: Vec<Arc<ShardGauges>>,
    edges: Edges,
    store: Arc<dyn Store>,
    node: String,
    media_ports: (u16, u16),
    started: Instant,
    token: Option<String>,
    asked: asked::Asked,
}

/// What those who reach outside count.
pub struct Edges {
    pub streams: Arc<StreamCounters>,
    pub hep: Arc<HepCounters>,
    pub kept: Arc<RetentionCounters>,
    pub forks: Arc<ForkCounters>,
    pub recogniser: Arc<RecogniserCounters>,
    /// When certificates and keys could be read last, seconds since 1970.
    pub reloaded_at: Arc<AtomicU64>,
}

impl Metrics {
    /// Gathers the sources.
    ///
    /// # Errors
    /// When two metrics have one name.
    pub fn new(
        config: &Config,
        gateway: &Gateway,
        read_model: Arc<ReadModel>,
        control: Arc<ControlGauges>,
        shards: Vec<Arc<ShardGauges>>,
        edges: Edges,
        store: Arc<dyn Store>,
    ) -> anyhow::Result<Self> {
        let registry = Registry::new();
        gateway.metrics().register(&registry).context("registering the API's metrics")?;
        registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .context("registering the process's metrics")?;
        Ok(Metrics {
            registry,
            read_model,
            control,
            shards,
            edges,
            store,
            node: config.node_name.clone(),
            media_ports: config.media_ports,
            started: Instant::now(),
            token: config.admin_token.clone(),
            asked: asked::Asked::new(control_api::system_clock()),
        })
    }

    /// Everything in the text format.
    fn text(&self) -> anyhow::Result<String> {
        let mut families = Families::default();
        self.process(&mut families);
        self.store(&mut families);
        for (result, count) in [("sent", &self.edges.hep.sent), ("dropped", &self.edges.hep.dropped)] {
            let help = "Copies of SIP messages for the collector.";
            families.counter("hep_packets_total", help, &[("result", result)], count.load(Ordering::Relaxed));
        }
        self.edges.kept.export(&mut families);
        self.edges.forks.export(&mut families);
        self.edges.recogniser.export(&mut families);
        shard::export(&self.shards, self.media_ports, &mut families);
        for ground in ["sockets", "kernel"] {
            families.gauge(
                "media_relay_ground",
                "The ground that plain sound is relayed on (1 the one it is).",
                &[("ground", ground)],
                f64::from(ground == self.relay_ground()),
            );
        }
        let streams =
            self.shards.iter().map(|shard| shard.relay_streams.load(Ordering::Relaxed)).sum::<u64>();
        families.gauge(
            "media_relay_kernel_streams",
            "Directions of sound that the kernel relays by itself.",
            &[],
            streams as f64,
        );
        traffic::export(&self.shards, &mut families);
        self.trunk_rates(&mut families);
        stream::export(&self.edges.streams, &mut families);
        let campaigns = self.campaign_names();
        if let Ok(counters) = self.control.counters.lock() {
            dialer::export_counters(&counters, &campaigns, &self.read_model, &mut families);
        }
        if let Ok(times) = self.control.decisions.lock() {
            dialer::export_decisions(&times.0, &mut families);
        }
        dialer::export_views(&self.read_model, &campaigns, &mut families);
        self.asked.export(&self.read_model, self.store.as_ref(), &campaigns, &mut families);
        let mut all = self.registry.gather();
        all.extend(families.into_vec());
        let mut text = Vec::new();
        TextEncoder::new().encode(&all, &mut text)?;
        Ok(String::from_utf8(text)?)
    }

    /// New calls a second on each trunk, both directions, and calls by direction; an idle trunk tells 0.
    fn trunk_rates(&self, families: &mut Families) {
        let mut loads = std::collections::BTreeMap::new();
        for gauges in &self.shards {
            if let Ok(trunks) = gauges.trunks.lock() {
                for (trunk, (load, cps)) in trunks.iter() {
                    let all: &mut (f64, u32, u32) = loads.entry(*trunk).or_default();
                    *all = (all.0 + cps, all.1 + load.incoming, all.2 + load.outgoing);
                }
            }
        }
        for view in self.read_model.trunks() {
            let labels = [("trunk", view.row.config.name.as_str())];
            let (cps, incoming, outgoing) = loads.get(&view.row.id).copied().unwrap_or_default();
            families.gauge("trunk_cps", "New calls in the last second.", &labels, cps);
            for (direction, calls) in [("in", incoming), ("out", outgoing)] {
                let labels = [("trunk", view.row.config.name.as_str()), ("direction", direction)];
                families.gauge("trunk_calls_active", "Calls on the trunk.", &labels, f64::from(calls));
            }
        }
    }

    /// Which campaigns have a label of their own.
    fn campaign_names(&self) -> dialer::CampaignNames {
        let mut ids: Vec<_> = self.read_model.campaigns().iter().map(|view| view.row.id).collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.truncate(CAMPAIGN_LABELS_MAX);
        dialer::CampaignNames::of(ids)
    }

    fn process(&self, families: &mut Families) {
        let node = self.read_model.node();
        families.gauge(
            "build_info",
            "What runs; always 1.",
            &[
                ("version", env!("CARGO_PKG_VERSION")),
                ("commit", env!("DIALERD_COMMIT")),
                ("rustc", env!("DIALERD_RUSTC")),
                ("node", &self.node),
            ],
            1.0,
        );
        families.gauge("uptime_seconds", "Time since the start.", &[], self.started.elapsed().as_secs_f64());
        families.gauge(
            "config_last_reload_success_timestamp_seconds",
            "When certificates and keys could be read last, seconds since 1970.",
            &[],
            self.edges.reloaded_at.load(Ordering::Relaxed) as f64,
        );
        for (state, on) in [
            ("ready", !node.draining),
            ("draining", node.draining && !node.drained),
            ("drained", node.drained),
        ] {
            families.gauge(
                "node_state",
                "The node's state (1 the one it is in).",
                &[("state", state)],
                f64::from(on),
            );
        }
        shard::turns("control", &self.control.turns, families);
        families.counter(
            "events_dropped_total",
            "Facts or orders lost between threads; must stay 0.",
            &[("reason", "to_shard")],
            self.control.messages_refused.load(Ordering::Relaxed),
        );
        families.gauge(
            "audit_findings",
            "Broken invariants the control core sees in itself; must stay 0.",
            &[],
            self.control.audit_findings.load(Ordering::Relaxed) as f64,
        );
    }

    fn store(&self, families: &mut Families) {
        let stats = self.store.stats();
        families.gauge("store_info", "Which store is in use.", &[("kind", self.store.kind())], 1.0);
        families.gauge(
            "journal_bytes",
            "Size of database and write-ahead log.",
            &[],
            stats.journal_bytes as f64,
        );
        families.gauge(
            "journal_queue_records",
            "Records that wait to be written.",
            &[],
            stats.queue_records as f64,
        );
        families.gauge(
            "journal_healthy",
            "1 while records can be written.",
            &[],
            f64::from(self.store.healthy()),
        );
        families.counter("journal_records_total", "Records that are durable.", &[], stats.records);
        families.counter(
            "journal_failures_total",
            "Writes that failed and were repeated.",
            &[],
            stats.failed_commits,
        );
        families.histogram(
            "journal_fsync_seconds",
            "Time of a durable commit.",
            &[],
            CommitHistogram::BOUNDS_US.iter().map(|us| *us as f64 / 1e6),
            &stats.commits.counts,
            stats.commits.sum_us as f64 / 1e6,
        );
    }

    /// The ground that sound goes over: the kernel's only when it is every shard's.
    fn relay_ground(&self) -> &'static str {
        let kernel = self.shards.iter().all(|shard| shard.relay_kernel.load(Ordering::Relaxed));
        if kernel && !self.shards.is_empty() { "kernel" } else { "sockets" }
    }

    /// Why the node should get no work; empty when it should.
    fn not_ready(&self) -> Vec<&'static str> {
        let node = self.read_model.node();
        let mut reasons = Vec::new();
        if node.draining {
            reasons.push("draining");
        }
        if !self.store.healthy() || !node.store_healthy {
            reasons.push("store_not_writable");
        }
        let trunks = self.read_model.trunks();
        if !trunks.is_empty() && trunks.iter().all(|trunk| !trunk.up || !trunk.row.config.enabled) {
            reasons.push("no_trunk_up");
        }
        reasons
    }
}

/// The admin port.
pub fn admin_router(metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { (StatusCode::OK, "ok\n") }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(text))
        .with_state(metrics)
}

async fn readyz(State(metrics): State<Arc<Metrics>>) -> Response {
    let reasons = metrics.not_ready();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "media": metrics.relay_ground(),
        "store": metrics.store.kind(),
        "shards": metrics.shards.len(),
    });
    (status, axum::Json(body)).into_response()
}

async fn text(State(metrics): State<Arc<Metrics>>, headers: HeaderMap) -> Response {
    if let Some(token) = &metrics.token {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if given.and_then(|value| value.strip_prefix("Bearer ")) != Some(token.as_str()) {
            let ask = [(header::WWW_AUTHENTICATE, "Bearer")];
            return (StatusCode::UNAUTHORIZED, ask, "a bearer token is needed\n").into_response();
        }
    }
    // Some of it is asked of the store.
    let text = tokio::task::spawn_blocking(move || metrics.text()).await;
    match text.unwrap_or_else(|_| Err(anyhow::anyhow!("telling them broke off"))) {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be told");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
