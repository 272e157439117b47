//! One fork's connection: made, kept, made anew when it breaks, and closed.
//!
//! ```text
//!   connecting ──► up ──► over            by us: stop, close · by the other side: closed
//!       ▲           │ broke
//!       └─ waiting ◄┘ (so often in a row, each time longer) ──► failed
//! ```

use super::words::{Wanted, Words};
use super::{ForkWays, Item, Link};
use crate::shard_thread::ShardOrder;
use dialer_core::CallId;
use dialer_core::fork::{ForkEnd, ForkOrder};
use engine::{ForkId64, ForkInput};
use runtime::mailbox;
use runtime::websocket::{Outgoing, WebSocket};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Longest wait for a connection and its handshake.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The other side may leave what is sent unread for so long.
const UNREAD_MAX: Duration = Duration::from_secs(30);
/// Wait before a connection is tried again; twice as long each time …
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// … up to this.
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(8);
/// A connection that stood for so long begins the count anew.
const STEADY_AFTER: Duration = Duration::from_secs(10);
/// Wait for the other side to close too.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Between the shard and this connection.
pub struct Way {
    pub fork: ForkId64,
    pub(super) link: Arc<Link>,
    pub back: mailbox::Sender<ShardOrder>,
    pub ways: ForkWays,
}

/// How a connection ended.
enum Ended {
    ByUs,
    ByThem,
    Broke(String),
}

impl Way {
    async fn tell(&self, input: ForkInput) {
        // A shard that has stopped has no calls.
        let _ = self.back.send(ShardOrder::Fork { fork: self.fork, input }).await;
    }
}

/// Keeps one fork's connection until the fork is over.
pub async fn keep(way: Way, call: CallId, order: ForkOrder) {
    let mut failures = 0_u32;
    let ended = loop {
        let began = Instant::now();
        let reason = match one(&way, call, &order).await {
            Ended::ByUs => return,
            Ended::ByThem => break ForkInput::Down { cause: ForkEnd::Closed, reason: None },
            Ended::Broke(reason) => reason,
        };
        way.ways.counters.failed.fetch_add(1, Ordering::Relaxed);
        failures = if began.elapsed() >= STEADY_AFTER { 1 } else { failures + 1 };
        if failures > order.config.reconnects_max {
            break ForkInput::Down { cause: ForkEnd::Failed, reason: Some(reason) };
        }
        tracing::info!(fork = %order.fork, %call, reason, failures, "a fork's connection is made anew");
        way.tell(ForkInput::Interrupted(reason)).await;
        let wait = AGAIN_AFTER.saturating_mul(1 << (failures - 1).min(10)).min(AGAIN_AFTER_MAX);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = way.link.closed() => return,
        }
    };
    way.tell(ended).await;
}

/// One connection, from its beginning to its end.
async fn one(way: &Way, call: CallId, order: &ForkOrder) -> Ended {
    let (fork, call) = (order.fork.to_string(), call.to_string());
    let mut headers = vec![("x-dialer-call-id", call.as_str()), ("x-dialer-fork-id", fork.as_str())];
    headers.extend(order.config.authorization.as_ref().map(|hidden| ("authorization", hidden.0.as_str())));
    let connecting = WebSocket::connect(&order.config.url, &headers, &way.ways.trust, CONNECT_WITHIN);
    let socket = tokio::select! {
        socket = connecting => socket,
        () = way.link.closed() => return Ended::ByUs,
    };
    let mut socket = match socket {
        Ok(socket) => socket,
        Err(error) => return Ended::Broke(error.to_string()),
    };
    let mut words = Words::new(&order.config, fork.clone(), call.clone());
    let hello = words.hello();
    if let Err(error) = say(&mut socket, hello).await {
        return Ended::Broke(error.to_string());
    }
    way.ways.counters.connected.fetch_add(1, Ordering::Relaxed);
    way.tell(ForkInput::Up).await;
    let ended = talk(way, &mut socket, &mut words).await;
    match ended {
        Ok(Ended::ByUs) => {
            let goodbye = words.goodbye();
            // Who is gone hears no farewell.
            let _ = say(&mut socket, goodbye).await;
            socket.close(CLOSE_WITHIN).await;
            Ended::ByUs
        }
        Ok(Ended::ByThem) => {
            socket.close(CLOSE_WITHIN).await;
            Ended::ByThem
        }
        Ok(ended) => ended,
        Err(error) => Ended::Broke(error.to_string()),
    }
}

/// Carries both ways until one side is done.
async fn talk(way: &Way, socket: &mut WebSocket, words: &mut Words) -> io::Result<Ended> {
    loop {
        tokio::select! {
            received = socket.receive() => {
                let input = match words.understand(received?) {
                    Wanted::Say(samples) => ForkInput::Say(samples),
                    Wanted::Mark(name) => ForkInput::Mark(name),
                    Wanted::Clear => ForkInput::Clear,
                    Wanted::Nothing => continue,
                    Wanted::Stop | Wanted::Closed(true) => return Ok(Ended::ByThem),
                    Wanted::Closed(false) => return Ok(Ended::Broke("the other side closed it with an error".into())),
                };
                way.tell(input).await;
            }
            item = way.link.next() => {
                let Some(item) = item else { return Ok(Ended::ByUs) };
                let frame = matches!(item, Item::Sound(_));
                let messages = match item {
                    Item::Sound(frame) => words.sound(&frame),
                    Item::Mark(name) => words.mark(&name),
                    Item::Digit(digit) => words.digit(digit),
                };
                tokio::select! {
                    sent = say(socket, messages) => sent?,
                    () = way.link.closed() => return Ok(Ended::ByUs),
                }
                way.ways.counters.frames_sent.fetch_add(u64::from(frame), Ordering::Relaxed);
            }
        }
    }
}

async fn say(socket: &mut WebSocket, messages: Vec<Outgoing>) -> io::Result<()> {
    for message in messages {
        let unread = || io::Error::new(io::ErrorKind::TimedOut, "the other side does not read");
        tokio::time::timeout(UNREAD_MAX, socket.send(message)).await.unwrap_or_else(|_| Err(unread()))?;
    }
    Ok(())
}
