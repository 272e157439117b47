//! Connections: TCP, TLS, WebSocket and WebSocket over TLS, on a thread of their own.
//!
//! All shards share the listeners, so that one port serves them all: what comes in goes to the shard that the
//! caller's `route` names, through the ring its orders come by. A shard sends by an order; it never waits, and
//! neither does any connection for another: each has a bounded queue of its own, and a peer that does not read
//! loses its connection when that is full.
//!
//! Nothing here knows what the bytes mean. Where a message ends is said by a [`StreamCodec`].

mod connection;
mod hub;
pub mod tls;
mod websocket;

use crate::mailbox;
use bytes::Bytes;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tls::TlsContext;

/// What stands in a stream.
#[derive(Debug)]
pub enum StreamItem {
    /// A whole message.
    Message(Bytes),
    /// A question whether we live: this is the answer.
    Answer(Bytes),
    /// The stream cannot be read on; a number that says why, and what was read of the message it broke in.
    Broken(u8, Bytes),
}

/// What a message is to who sends it and who gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamRole {
    /// An answer to it is owed.
    Question,
    /// The last answer to a question.
    Answer,
    /// Neither.
    Neither,
}

/// Cuts one stream into messages.
pub trait StreamCodec: Send {
    /// Takes what was read.
    fn push(&mut self, bytes: &[u8]);
    /// The next item; `None` when more must be read.
    fn next_item(&mut self) -> Option<StreamItem>;
    /// True between messages.
    fn is_empty(&self) -> bool;
    /// An item that came whole, in a frame of its own.
    fn framed(&mut self, bytes: Bytes) -> StreamItem;
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEvent {
    /// A connection stands; told to all shards.
    Opened {
        /// The listener it belongs to.
        listener: u8,
        /// The peer's end.
        peer: SocketAddr,
        /// What the peer's certificate is for, if it has shown one.
        names: Vec<String>,
    },
    /// A message; told to the shard it is for.
    Message {
        /// The listener the connection belongs to.
        listener: u8,
        /// The peer's end.
        peer: SocketAddr,
        /// The message.
        bytes: Bytes,
    },
    /// The connection cannot be read on; told to one shard. It is closed when that has said so.
    Broken {
        /// The listener it belongs to.
        listener: u8,
        /// The peer's end.
        peer: SocketAddr,
        /// As [`StreamItem::Broken`].
        fault: u8,
        /// As [`StreamItem::Broken`].
        head: Bytes,
    },
    /// A connection is no more; told to all shards.
    Closed {
        /// The listener it belonged to.
        listener: u8,
        /// The peer's end.
        peer: SocketAddr,
    },
    /// A connection that was needed could not be made; told to all shards.
    Refused {
        /// By this listener.
        listener: u8,
        /// To this address.
        peer: SocketAddr,
    },
}

/// What a shard wants done.
#[derive(Debug)]
pub enum StreamOrder {
    /// Send this, over a new connection if there is none.
    Send {
        /// By this listener.
        listener: u8,
        /// To this address.
        to: SocketAddr,
        /// What.
        bytes: Bytes,
    },
    /// Close a connection after what was sent over it.
    Close {
        /// The listener it belongs to.
        listener: u8,
        /// The peer's end.
        peer: SocketAddr,
    },
    /// New TLS connections to this address must be shown a certificate for this name. Without it: for the address.
    ServerName {
        /// By this listener.
        listener: u8,
        /// To this address.
        to: SocketAddr,
        /// A host name.
        name: String,
        /// Only the one that the next message makes, and only where no other name is known.
        answers: bool,
    },
}

/// What is spoken at a listener.
#[derive(Clone)]
pub enum StreamKind {
    /// Plain.
    Tcp,
    /// Over TLS.
    Tls(TlsContext),
    /// WebSocket; nobody can be connected to.
    Ws,
    /// WebSocket over TLS.
    Wss(TlsContext),
}

/// A bound listener.
pub struct StreamListener {
    /// Its number.
    pub number: u8,
    /// Its socket.
    pub socket: TcpListener,
    /// What is spoken there.
    pub kind: StreamKind,
}

/// What connections are bounded by.
#[derive(Clone, Debug)]
pub struct StreamLimits {
    /// Connections at once; more are refused.
    pub connections_max: usize,
    /// Connections of one address at once; more are refused.
    pub connections_per_source_max: usize,
    /// A connection that carries nothing for so long is closed.
    pub idle: Duration,
    /// A message that has begun, the first one and every handshake must be complete after so long.
    pub message_time_max: Duration,
    /// A new connection must stand after so long.
    pub connect_time_max: Duration,
    /// A peer that takes nothing for so long is given up.
    pub write_time_max: Duration,
    /// A peer that sends nothing more, and has had no answer to a question yet, is waited with for so long.
    pub half_closed_max: Duration,
    /// Bytes that may wait to be written to one peer.
    pub write_queue_bytes_max: usize,
    /// After a connection could not be made the next try waits so long, doubled each time …
    pub back_off_min: Duration,
    /// … up to this. Meanwhile what is to be sent is refused at once.
    pub back_off_max: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        StreamLimits {
            connections_max: 20_000,
            connections_per_source_max: 1_000,
            idle: Duration::from_secs(300),
            message_time_max: Duration::from_secs(20),
            connect_time_max: Duration::from_secs(4),
            write_time_max: Duration::from_secs(10),
            half_closed_max: Duration::from_secs(32),
            write_queue_bytes_max: 1 << 20,
            back_off_min: Duration::from_millis(500),
            back_off_max: Duration::from_secs(16),
        }
    }
}

/// What happened to connections, for metrics.
#[derive(Debug, Default)]
pub struct StreamCounters {
    /// Gauge: connections that stand.
    pub open: AtomicU64,
    /// Gauge: of these, the ones that carry messages; the others are being made, or shake hands.
    pub established: AtomicU64,
    /// Taken.
    pub accepted: AtomicU64,
    /// Made.
    pub connected: AtomicU64,
    /// Not taken: too many.
    pub refused: AtomicU64,
    /// Could not be made.
    pub connect_failures: AtomicU64,
    /// TLS or WebSocket handshakes that failed or took too long.
    pub handshake_failures: AtomicU64,
    /// Closed because the peer did not read.
    pub stalled: AtomicU64,
    /// Closed because nothing came, or a message did not become complete.
    pub idle: AtomicU64,
    /// Messages taken.
    pub messages_received: AtomicU64,
    /// Messages sent.
    pub messages_sent: AtomicU64,
    /// Orders of shards that found no room; must stay 0.
    pub orders_lost: AtomicU64,
}

impl StreamCounters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// How everything is set up.
pub struct StreamOptions<C> {
    /// The listeners.
    pub listeners: Vec<StreamListener>,
    /// Bounds.
    pub limits: StreamLimits,
    /// Makes the codec of a new connection.
    pub codec: fn() -> Box<dyn StreamCodec>,
    /// Says what a message is.
    pub role: fn(&[u8]) -> StreamRole,
    /// The shards' rings.
    pub shards: Vec<mailbox::Sender<C>>,
    /// Makes a shard's order of an event.
    pub wrap: fn(StreamEvent) -> C,
    /// The shard a message is for, of so many.
    pub route: fn(&[u8], usize) -> usize,
    /// Where to count.
    pub counters: Arc<StreamCounters>,
}

/// A shard's way to the connections. Never waits.
#[derive(Clone, Debug)]
pub struct StreamPort {
    orders: mailbox::Sender<StreamOrder>,
    counters: Arc<StreamCounters>,
}

impl StreamPort {
    /// Orders something. When the ring is full, which is never as long as the thread lives, it is lost and counted.
    pub fn order(&self, order: StreamOrder) {
        if self.orders.try_send(order).is_err() {
            StreamCounters::count(&self.counters.orders_lost);
        }
    }
}

/// Orders that may wait.
const ORDERS: usize = 65_536;

/// Starts the thread. It ends when all ports are gone.
///
/// # Errors
/// When no thread or runtime can be made, or a socket cannot be watched.
pub fn spawn_streams<C: Send + 'static>(
    options: StreamOptions<C>,
) -> io::Result<(StreamPort, JoinHandle<io::Result<()>>)> {
    let (orders, receiver) = mailbox::bounded(ORDERS);
    let port = StreamPort { orders, counters: Arc::clone(&options.counters) };
    let thread = std::thread::Builder::new().name("streams".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, hub::run(options, receiver))
    })?;
    Ok((port, thread))
}
