//! Many events for many clients: each must get all of them, in order.
//!
//! The store and the API by themselves, in this process: events are made durable as the dialer's are, told when they are,
//! and read over loopback by clients that check every cursor.

use super::daemon::Place;
use super::generator::quantile;
use super::process::Used;
use super::report::{Report, Row};
use anyhow::{Context, ensure};
use control_api::{ApiConfig, EventHub, Gateway, GatewayParts, NodeInfo, ReadModel, router, system_clock};
use dialer_core::{CallId, CampaignId, Event, EventEnvelope, EventId, LeadId, Record};
use serde_json::json;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use store::{Durable, Options, SqliteStore, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(super) const TOKEN: &str = "dlr_events_of_a_load_test";
pub(super) const NODE: &str = "n1";
/// Events are appended this often, as many together as the rate asks.
const TURN: Duration = Duration::from_millis(5);
/// A client that gets nothing for so long is behind for good.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest start of a cursor that two reads may share: `id: n1-` and fifteen digits.
const CURSOR_BYTES: usize = 4 + NODE.len() + 1 + 15;

/// What a client saw.
struct Seen {
    events: u64,
    /// The first cursor that did not follow the one before.
    gap: Option<(u64, u64)>,
    /// From an event's being told to its being read, for the last event of each read.
    late_us: Vec<u32>,
}

/// When events were told, by cursor; read by all clients.
pub(super) type Told = Arc<Mutex<VecDeque<(u64, Instant)>>>;

/// `rate` events a second for `seconds` to so many clients.
///
/// # Errors
/// When it cannot be played.
pub fn run(
    report: &mut Report,
    place: &Place,
    rate: u64,
    seconds: u64,
    clients: usize,
) -> anyhow::Result<()> {
    let (options, durable) = options();
    let store = Arc::new(SqliteStore::open(&place.folder.join("events.db"), options)?);
    let hub = Arc::new(EventHub::default());
    let gateway = gateway(&store, &hub, clients);
    let serving = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let listener = serving.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    serving.spawn(async move { axum_serve(listener, gateway).await });
    let told: Told = Arc::default();
    let total = rate * seconds;
    let reading = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let used = Used::of(std::process::id())?;
    let (store_of_publisher, hub_of_publisher, told_of_publisher) =
        (Arc::clone(&store), Arc::clone(&hub), Arc::clone(&told));
    let (ready, go) = channel::<()>();
    let publisher = std::thread::spawn(move || {
        go.recv().ok();
        let event = |cursor| answered(cursor, cursor / 5);
        publish(
            store_of_publisher.as_ref(),
            &hub_of_publisher,
            &durable,
            &told_of_publisher,
            (rate, total),
            event,
        )
    });
    let seen = reading.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..clients {
            streams.push(open(address).await?);
        }
        ready.send(()).ok();
        let readers: Vec<_> =
            streams.into_iter().map(|stream| tokio::spawn(read(stream, total, Arc::clone(&told)))).collect();
        let mut seen = Vec::new();
        for reader in readers {
            seen.push(reader.await??);
        }
        anyhow::Ok(seen)
    })?;
    let took = publisher.join().ok().context("the publisher ends")?;
    let used = Used::of(std::process::id())?.since(used);
    serving.shutdown_background();
    let told_rate = total as f64 / took.as_secs_f64();
    let whole = seen.iter().filter(|seen| seen.events == total && seen.gap.is_none()).count();
    let mut late: Vec<u32> = seen.iter().flat_map(|seen| seen.late_us.iter().copied()).collect();
    late.sort_unstable();
    let late_ms = |share: f64| quantile(&late, share).map(|us| f64::from(us) / 1_000.0);
    let p99 = late_ms(0.99).unwrap_or(f64::NAN);
    let us = used.us() / (total as f64 * clients as f64);
    report.add(Row {
        name: format!("{told_rate:.0} events/s to {clients} clients"),
        more: json!({
            "events_per_s": told_rate.round(), "clients": clients, "clients_with_all": whole,
            "us_per_delivery": us, "late_ms_p50": late_ms(0.5), "late_ms_p99": p99,
        }),
        note: format!(
            "{us:.2} us of processor an event and client, both sides; read {p99:.0} ms after it was told (99 of 100)"
        ),
        ..Row::default()
    });
    let gap = seen.iter().find_map(|seen| seen.gap);
    report.check(
        "events: every client gets all of them in order",
        whole == clients,
        format!(
            "{whole} of {clients}, {:?}",
            gap.map(|(after, found)| format!("{found} came after {after}"))
        ),
    );
    report.check(
        "events: they are told as fast as was asked",
        told_rate >= 0.98 * rate as f64,
        format!("{told_rate:.0}/s of {rate}"),
    );
    Ok(())
}

/// Options of a store that tells up to which append it is durable.
pub(super) fn options() -> (Options, Receiver<u64>) {
    let (tell, durable) = channel();
    let on_durable = Box::new(move |told| {
        if let Durable::UpTo(seq) = told {
            // Who no longer listens does not want to know.
            let _ = tell.send(seq);
        }
    });
    (Options::new(on_durable), durable)
}

/// The API over this store, with room for so many readers.
pub(super) fn gateway(store: &Arc<SqliteStore>, hub: &Arc<EventHub>, clients: usize) -> Arc<Gateway> {
    // Nobody commands anything here.
    let (commands, _) = tokio::sync::mpsc::channel(1);
    let gateway = Gateway::new(GatewayParts {
        commands,
        store: Arc::clone(store) as Arc<dyn Store>,
        read_model: Arc::new(ReadModel::new()),
        events: Arc::clone(hub),
        node: NodeInfo {
            name: NODE.into(),
            version: "0".into(),
            started_at: sansio::WallTime::from_unix_millis(0),
        },
        config: ApiConfig { event_streams_max: clients, ..ApiConfig::default() },
        clock: system_clock(),
    });
    gateway.register_bootstrap_token(TOKEN);
    gateway
}

/// Serves the API until it ends.
pub(super) async fn axum_serve(listener: tokio::net::TcpListener, gateway: Arc<Gateway>) {
    if let Err(error) = axum::serve(listener, router(gateway)).await {
        eprintln!("loadtest: the API ended: {error}");
    }
}

/// An answer to a call, as there are many.
pub(super) fn answered(cursor: u64, call: u64) -> EventEnvelope {
    EventEnvelope {
        id: EventId::from_bits(u128::from(cursor)),
        cursor,
        seq: Some(3),
        occurred_at: sansio::WallTime::from_unix_millis(1_790_000_000_000 + cursor as i64),
        call: Some(CallId::from_bits(u128::from(call))),
        campaign: Some(CampaignId::from_bits(7)),
        lead: Some(LeadId::from_bits(u128::from(call))),
        agent: None,
        tenant: None,
        client_state: None,
        post_call: false,
        event: Event::CallAnswered {
            pdd_ms: Some(900),
            ring_ms: 7_000,
            attempt: 1,
            early_media: None,
            caller_id: None,
        },
    }
}

/// Appends events at the rate, and tells them when they are durable. How long that took.
///
/// * `event` makes the event of a cursor
pub(super) fn publish(
    store: &SqliteStore,
    hub: &EventHub,
    durable: &Receiver<u64>,
    told: &Told,
    (rate, total): (u64, u64),
    event: impl Fn(u64) -> EventEnvelope,
) -> Duration {
    let began = Instant::now();
    let mut made = 0_u64;
    let mut waiting: VecDeque<(u64, Vec<EventEnvelope>)> = VecDeque::new();
    let mut seq = 0;
    while made < total || !waiting.is_empty() {
        let due = ((began.elapsed().as_secs_f64() * rate as f64) as u64).min(total);
        if due > made {
            let events: Vec<EventEnvelope> = (made + 1..=due).map(&event).collect();
            seq += 1;
            store.append(seq, events.iter().map(|event| Record::Event(Box::new(event.clone()))).collect());
            waiting.push_back((seq, events));
            made = due;
        }
        if let Ok(up_to) = durable.recv_timeout(TURN) {
            let now = Instant::now();
            while waiting.front().is_some_and(|(seq, _)| *seq <= up_to) {
                let Some((_, events)) = waiting.pop_front() else { break };
                if let Some(last) = events.last() {
                    told.lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push_back((last.cursor, now));
                }
                events.into_iter().for_each(|event| hub.publish(Arc::new(event)));
            }
        }
    }
    began.elapsed()
}

/// Asks for the stream and waits until it is open.
async fn open(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("GET /v1/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut got = Vec::new();
    while !got.windows(9).any(|part| part == b"connected") {
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut got)).await??;
        ensure!(read > 0, "the stream is not opened: {}", String::from_utf8_lossy(&got));
    }
    Ok(stream)
}

/// Reads until all events came, or nothing more does.
async fn read(mut stream: TcpStream, total: u64, told: Told) -> anyhow::Result<Seen> {
    let mut seen = Seen { events: 0, gap: None, late_us: Vec::new() };
    let mut buffer = vec![0_u8; 256 * 1024];
    let (mut kept, mut last) = (0, 0);
    while last < total {
        let Ok(read) = tokio::time::timeout(PATIENCE, stream.read(&mut buffer[kept..])).await else { break };
        let read = read?;
        if read == 0 {
            break;
        }
        let filled = kept + read;
        let mut at = 0;
        while let Some(found) = find(&buffer[at..filled]) {
            let start = at + found;
            if start + CURSOR_BYTES > filled {
                break;
            }
            let digits = &buffer[start + CURSOR_BYTES - 15..start + CURSOR_BYTES];
            let cursor = std::str::from_utf8(digits)?.parse::<u64>().context("a cursor is a number")?;
            if cursor != last + 1 {
                seen.gap.get_or_insert((last, cursor));
            }
            (seen.events, last) = (seen.events + 1, cursor);
            at = start + CURSOR_BYTES;
        }
        if let Some(at) = told_at(&told, last) {
            seen.late_us.push(u32::try_from(at.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
        // What may be the start of a cursor stays for the next read.
        let from = at.max(filled.saturating_sub(CURSOR_BYTES));
        buffer.copy_within(from..filled, 0);
        kept = filled - from;
    }
    Ok(seen)
}

/// Where the cursor of an event begins, or may begin at the end of what was read.
fn find(bytes: &[u8]) -> Option<usize> {
    const MARK: &[u8] = b"id: n1-";
    let cut_off = || (1..MARK.len()).rev().find(|length| bytes.ends_with(&MARK[..*length]));
    memchr::memmem::find(bytes, MARK).or_else(|| cut_off().map(|length| bytes.len() - length))
}

/// When the events up to this one were told.
fn told_at(told: &Told, cursor: u64) -> Option<Instant> {
    let told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let place = told.partition_point(|(last, _)| *last < cursor);
    told.get(place).map(|(_, at)| *at)
}
