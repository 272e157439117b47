//! A receiver of webhooks that was away: what has gathered meanwhile must reach it, all of it, each call's in its order.
//!
//! The store and the API by themselves, in this process, as for the event stream. The receiver is away as a server is whose
//! program does not run: its port refuses.

use super::daemon::Place;
use super::events::{NODE, TOKEN, answered, axum_serve, gateway, options, publish};
use super::process::{Used, resident_kib};
use super::report::{Report, Row};
use anyhow::{Context, ensure};
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use control_api::{EventHub, Gateway};
use dialer_core::EventEnvelope;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::SqliteStore;
use tokio::net::TcpSocket;

/// Calls that the events are of.
const CALLS: u64 = 20_000;
/// Events that happen a second while the receiver is away.
const EVENTS_PER_S: u64 = 20_000;
/// The breaker tries a receiver that was away again within a minute; nothing more for so long is a loss.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often it is looked whether all is there.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A backlog must be through before the next one has gathered: events a second.
const DRAIN_PER_S_MIN: f64 = 500.0;

/// What came in.
#[derive(Default)]
struct Inbox {
    /// How often each cursor came.
    came: BTreeMap<u64, u32>,
    /// The last of each call.
    last: BTreeMap<String, u64>,
    /// A later one of its call came before this: call, last, this.
    disorder: Option<(String, u64, u64)>,
    /// What cannot be read.
    unreadable: u64,
    first_at: Option<Instant>,
    last_at: Option<Instant>,
}

impl Inbox {
    fn take(&mut self, body: &[u8], now: Instant) {
        let told: Value = serde_json::from_slice(body).unwrap_or_default();
        let cursor = told["cursor"].as_str().and_then(|text| text.rsplit('-').next()?.parse::<u64>().ok());
        let (Some(cursor), Some(call), Some(seq)) = (cursor, told["call_id"].as_str(), told["seq"].as_u64())
        else {
            self.unreadable += 1;
            return;
        };
        self.first_at.get_or_insert(now);
        self.last_at = Some(now);
        let times = self.came.entry(cursor).or_default();
        *times += 1;
        if *times > 1 {
            // It may come again when its answer was not heard; its order counts once.
            return;
        }
        let last = self.last.entry(call.to_owned()).or_default();
        if seq != *last + 1 {
            self.disorder.get_or_insert((call.to_owned(), *last, seq));
        }
        *last = seq;
    }
}

type Shared = Arc<Mutex<Inbox>>;

fn locked(inbox: &Shared) -> MutexGuard<'_, Inbox> {
    inbox.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn receive(State(inbox): State<Shared>, body: Bytes) {
    locked(&inbox).take(&body, Instant::now());
}

/// The nth event (from 1): calls take turns.
fn event(cursor: u64) -> EventEnvelope {
    let (call, seq) = ((cursor - 1) % CALLS, (cursor - 1) / CALLS + 1);
    EventEnvelope { seq: u32::try_from(seq).ok(), ..answered(cursor, call) }
}

/// How a webhook stands.
async fn standing(http: &reqwest::Client, url: &str) -> anyhow::Result<(u64, bool)> {
    let answer = http.get(url).bearer_auth(TOKEN).send().await?.error_for_status()?;
    let told: Value = serde_json::from_slice(&answer.bytes().await?)?;
    Ok((told["backlog"].as_u64().context("a webhook has a backlog")?, told["circuit_open"] == true))
}

/// Waits until so many have come, or nothing does any more.
async fn drained(inbox: &Shared, total: u64) {
    let (mut came, mut since) = (0, Instant::now());
    while came < total && since.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = locked(inbox).came.len() as u64;
        if now > came {
            (came, since) = (now, Instant::now());
        }
    }
}

/// What was seen of a run.
struct Seen {
    /// Backlog and breaker before the receiver came back.
    gathered: (u64, bool),
    /// From its coming back to the first event.
    first_after: Duration,
    /// Backlog when all had come.
    left: u64,
}

/// Lets `total` events gather for a receiver that is away, and watches them reach it when it is back.
///
/// # Errors
/// When it cannot be played.
pub fn run(report: &mut Report, place: &Place, total: u64) -> anyhow::Result<()> {
    let (options, durable) = options();
    let store = Arc::new(SqliteStore::open(&place.folder.join("webhooks.db"), options)?);
    let hub = Arc::new(EventHub::default());
    let gateway = gateway(&store, &hub, 1);
    let serving = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let receiving = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let inbox = Shared::default();
    // Bound, and not listening: whoever connects is refused, and nobody else gets the port.
    let (socket, address) = receiving.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind("127.0.0.1:0".parse()?)?;
        let address = socket.local_addr()?;
        anyhow::Ok((socket, address))
    })?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let api = serving.block_on(serve(&gateway))?;
    let url = receiving.block_on(make_webhook(&http, api, address))?;
    let before_kib = resident_kib(&[std::process::id()])?;
    let publisher = std::thread::spawn({
        let (store, hub) = (Arc::clone(&store), Arc::clone(&hub));
        move || publish(store.as_ref(), &hub, &durable, &Arc::default(), (EVENTS_PER_S, total), event)
    });
    publisher.join().ok().context("the publisher ends")?;
    let used = Used::of(std::process::id())?;
    let seen = receiving.block_on(async {
        let gathered = standing(&http, &url).await?;
        let back_at = Instant::now();
        let listener = socket.listen(1_024)?;
        let router = axum::Router::new().route("/", post(receive)).with_state(Arc::clone(&inbox));
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("loadtest: the receiver ended: {error}");
            }
        });
        drained(&inbox, total).await;
        let first_after = locked(&inbox).first_at.map_or(PATIENCE, |at| at - back_at);
        // The last answers are on their way.
        let (mut left, until) = (standing(&http, &url).await?.0, Instant::now() + Duration::from_secs(5));
        while left > 0 && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
            left = standing(&http, &url).await?.0;
        }
        anyhow::Ok(Seen { gathered, first_after, left })
    })?;
    let used = Used::of(std::process::id())?.since(used);
    let grown_mib = resident_kib(&[std::process::id()])?.saturating_sub(before_kib) as f64 / 1024.0;
    serving.block_on(gateway.stop_webhooks());
    tell(report, &locked(&inbox), &seen, (total, used.us(), grown_mib));
    receiving.shutdown_background();
    serving.shutdown_background();
    Ok(())
}

async fn serve(gateway: &Arc<Gateway>) -> anyhow::Result<SocketAddr> {
    gateway.start_webhooks().await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(axum_serve(listener, Arc::clone(gateway)));
    Ok(address)
}

/// Makes the webhook; where it is asked after.
async fn make_webhook(
    http: &reqwest::Client,
    api: SocketAddr,
    receiver: SocketAddr,
) -> anyhow::Result<String> {
    let all = format!("http://{api}/v1/webhooks");
    let body = json!({ "name": NODE, "url": format!("http://{receiver}/"), "types": ["call.*"] }).to_string();
    let request = http.post(&all).bearer_auth(TOKEN).header("content-type", "application/json").body(body);
    let answer = request.send().await?;
    let status = answer.status();
    let made: Value = serde_json::from_slice(&answer.bytes().await?)?;
    ensure!(status.is_success(), "the webhook is refused: {made}");
    Ok(format!("{all}/{}", made["id"].as_str().context("a webhook has an id")?))
}

fn tell(report: &mut Report, inbox: &Inbox, seen: &Seen, (total, used_us, grown_mib): (u64, f64, f64)) {
    let took = match (inbox.first_at, inbox.last_at) {
        (Some(first), Some(last)) => (last - first).as_secs_f64(),
        _ => f64::NAN,
    };
    let came = inbox.came.len() as u64;
    let (rate, first_s) = (came as f64 / took, seen.first_after.as_secs_f64());
    let again: u64 = inbox.came.values().map(|times| u64::from(times - 1)).sum();
    let us = used_us / came.max(1) as f64;
    report.add(Row {
        name: format!("webhook backlog of {total}"),
        more: json!({
            "events_per_s": rate.round(), "came": came, "came_again": again, "first_after_s": first_s,
            "drained_s": took, "us_per_event": us, "grown_mib": grown_mib.round(), "circuit_open": seen.gathered.1,
        }),
        note: format!(
            "{rate:.0} events/s once it was back (the first after {first_s:.1} s), {us:.0} us of processor each, both \
             sides; {again} came twice; grew by {grown_mib:.0} MiB"
        ),
        ..Row::default()
    });
    report.check(
        "webhook: all gathers while the receiver is away",
        seen.gathered == (total, true),
        format!("backlog {} of {total}, breaker open: {}", seen.gathered.0, seen.gathered.1),
    );
    report.check(
        "webhook: nothing is lost",
        came == total && inbox.unreadable == 0 && seen.left == 0,
        format!("{came} of {total} came, {} unreadable, backlog then {}", inbox.unreadable, seen.left),
    );
    report.check(
        "webhook: each call's events come in order",
        inbox.disorder.is_none(),
        inbox
            .disorder
            .as_ref()
            .map_or(String::new(), |(call, last, seq)| format!("{call}: {seq} came after {last}")),
    );
    report.check(
        "webhook: a backlog drains",
        rate >= DRAIN_PER_S_MIN,
        format!("{rate:.0} events/s, at least {DRAIN_PER_S_MIN:.0}"),
    );
}
