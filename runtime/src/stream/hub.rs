//! The table of connections: taking them, making them, handing orders to them.

use super::connection::{self, Outgoing};
use super::{
    StreamCounters, StreamEvent, StreamKind, StreamLimits, StreamListener, StreamOptions, StreamOrder,
    StreamRole,
};
use crate::mailbox;
use crate::stream::StreamCodec;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What all tasks of the thread share. They run on one thread, so nothing is locked.
pub(super) struct Hub<C> {
    pub(super) limits: StreamLimits,
    pub(super) counters: Arc<StreamCounters>,
    pub(super) codec: fn() -> Box<dyn StreamCodec>,
    pub(super) role: fn(&[u8]) -> StreamRole,
    shards: Vec<mailbox::Sender<C>>,
    wrap: fn(StreamEvent) -> C,
    route: fn(&[u8], usize) -> usize,
    kinds: Vec<(u8, StreamKind, SocketAddr)>,
    table: RefCell<Table>,
}

#[derive(Default)]
struct Table {
    connections: HashMap<(u8, SocketAddr), Entry>,
    per_source: HashMap<IpAddr, usize>,
    back_off: HashMap<(u8, SocketAddr), BackOff>,
    server_names: HashMap<(u8, SocketAddr), String>,
    /// Names for the connection that the next message makes.
    answer_names: HashMap<(u8, SocketAddr), String>,
    last_id: u64,
}

struct Entry {
    id: u64,
    queue: mpsc::UnboundedSender<Outgoing>,
    queued_bytes: Rc<Cell<usize>>,
    /// Dropped to end the connection at once.
    _alive: tokio::sync::oneshot::Sender<()>,
}

struct BackOff {
    until: Instant,
    failures: u32,
}

/// Peers whose back-off or name is remembered; beyond, all are forgotten, which only costs an early try.
const PEERS_MAX: usize = 16_384;

/// The other end of an [`Entry`].
pub(super) struct Seat {
    pub(super) listener: u8,
    pub(super) peer: SocketAddr,
    id: u64,
    pub(super) queue: mpsc::UnboundedReceiver<Outgoing>,
    pub(super) queued_bytes: Rc<Cell<usize>>,
    pub(super) ended: tokio::sync::oneshot::Receiver<()>,
}

pub(super) async fn run<C: Send + 'static>(
    options: StreamOptions<C>,
    mut orders: mailbox::Receiver<StreamOrder>,
) -> io::Result<()> {
    let mut kinds = Vec::new();
    let mut sockets = Vec::new();
    for StreamListener { number, socket, kind } in options.listeners {
        socket.set_nonblocking(true)?;
        kinds.push((number, kind.clone(), socket.local_addr()?));
        sockets.push((number, kind, TcpListener::from_std(socket)?));
    }
    let hub = Rc::new(Hub {
        limits: options.limits,
        counters: options.counters,
        codec: options.codec,
        role: options.role,
        shards: options.shards,
        wrap: options.wrap,
        route: options.route,
        kinds,
        table: RefCell::default(),
    });
    for (number, kind, socket) in sockets {
        tokio::task::spawn_local(accept(Rc::clone(&hub), number, kind, socket));
    }
    while let Some(order) = orders.recv().await {
        match order {
            StreamOrder::Send { listener, to, bytes } => hub.send(listener, to, bytes),
            StreamOrder::Close { listener, peer } => hub.close(listener, peer),
            StreamOrder::ServerName { listener, to, name, answers } => {
                let table = &mut *hub.table.borrow_mut();
                let names = if answers { &mut table.answer_names } else { &mut table.server_names };
                if names.len() >= PEERS_MAX {
                    names.clear();
                }
                names.insert((listener, to), name);
            }
        }
    }
    Ok(())
}

/// Waits so long after the system would not give a connection (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn accept<C: Send + 'static>(hub: Rc<Hub<C>>, listener: u8, kind: StreamKind, socket: TcpListener) {
    loop {
        let (stream, peer) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, listener, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(seat) = hub.seat(listener, peer, true) else {
            StreamCounters::count(&hub.counters.refused);
            continue;
        };
        StreamCounters::count(&hub.counters.accepted);
        tokio::task::spawn_local(connection::accepted(Rc::clone(&hub), seat, kind.clone(), stream));
    }
}

impl<C: Send + 'static> Hub<C> {
    /// Makes an entry in the table; `None` when there are too many.
    fn seat(&self, listener: u8, peer: SocketAddr, bounded: bool) -> Option<Seat> {
        let mut table = self.table.borrow_mut();
        let of_source = table.per_source.get(&peer.ip()).copied().unwrap_or_default();
        if table.connections.len() >= self.limits.connections_max
            || (bounded && of_source >= self.limits.connections_per_source_max)
        {
            return None;
        }
        table.last_id += 1;
        let id = table.last_id;
        let (sender, queue) = mpsc::unbounded_channel();
        let (alive, ended) = tokio::sync::oneshot::channel();
        let queued_bytes = Rc::new(Cell::new(0));
        let entry = Entry { id, queue: sender, queued_bytes: Rc::clone(&queued_bytes), _alive: alive };
        if table.connections.insert((listener, peer), entry).is_none() {
            *table.per_source.entry(peer.ip()).or_default() += 1;
        }
        self.counters.open.store(table.connections.len() as u64, Ordering::Relaxed);
        Some(Seat { listener, peer, id, queue, queued_bytes, ended })
    }

    /// Takes an entry out of the table, unless another connection has its place.
    pub(super) fn leave(&self, seat: &Seat) {
        self.remove(seat.listener, seat.peer, Some(seat.id));
    }

    fn remove(&self, listener: u8, peer: SocketAddr, id: Option<u64>) {
        let mut table = self.table.borrow_mut();
        let known = table.connections.get(&(listener, peer)).map(|entry| entry.id);
        if known.is_none() || id.is_some_and(|id| known != Some(id)) {
            return;
        }
        table.connections.remove(&(listener, peer));
        if let Some(count) = table.per_source.get_mut(&peer.ip()) {
            *count -= 1;
            if *count == 0 {
                table.per_source.remove(&peer.ip());
            }
        }
        self.counters.open.store(table.connections.len() as u64, Ordering::Relaxed);
    }

    fn send(self: &Rc<Self>, listener: u8, to: SocketAddr, bytes: Bytes) {
        let named = self.table.borrow_mut().answer_names.remove(&(listener, to));
        let table = self.table.borrow();
        let Some(entry) = table.connections.get(&(listener, to)) else {
            drop(table);
            return self.connect(listener, to, named, bytes);
        };
        let waiting = entry.queued_bytes.get() + bytes.len();
        if waiting > self.limits.write_queue_bytes_max {
            drop(table);
            StreamCounters::count(&self.counters.stalled);
            tracing::warn!(listener, peer = %to, waiting, "a peer does not read; its connection is closed");
            return self.remove(listener, to, None);
        }
        entry.queued_bytes.set(waiting);
        StreamCounters::count(&self.counters.messages_sent);
        let _ = entry.queue.send(Outgoing::Bytes(bytes));
    }

    fn close(&self, listener: u8, peer: SocketAddr) {
        if let Some(entry) = self.table.borrow().connections.get(&(listener, peer)) {
            let _ = entry.queue.send(Outgoing::End);
        }
    }

    fn connect(self: &Rc<Self>, listener: u8, to: SocketAddr, named: Option<String>, bytes: Bytes) {
        let refused = StreamEvent::Refused { listener, peer: to };
        let kind = self.kinds.iter().find(|(number, ..)| *number == listener);
        let Some((_, kind @ (StreamKind::Tcp | StreamKind::Tls(_)), local)) = kind else {
            tokio::task::spawn_local(Rc::clone(self).told(refused));
            return;
        };
        let waits =
            self.table.borrow().back_off.get(&(listener, to)).is_some_and(|off| Instant::now() < off.until);
        let Some(mut seat) = (!waits).then(|| self.seat(listener, to, false)).flatten() else {
            StreamCounters::count(&self.counters.connect_failures);
            tokio::task::spawn_local(Rc::clone(self).told(refused));
            return;
        };
        let (hub, kind, local) = (Rc::clone(self), kind.clone(), local.ip());
        let name = self.table.borrow().server_names.get(&(listener, to)).cloned().or(named);
        tokio::task::spawn_local(async move {
            let name = name.unwrap_or_else(|| to.ip().to_string());
            let limit = hub.limits.connect_time_max;
            let made = tokio::select! {
                made = tokio::time::timeout(limit, connection::connect(&kind, local, to, name)) => {
                    made.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                }
                _ = &mut seat.ended => Err(io::ErrorKind::Interrupted.into()),
            };
            match made {
                Ok(stream) => {
                    StreamCounters::count(&hub.counters.connected);
                    hub.table.borrow_mut().back_off.remove(&(listener, to));
                    connection::run(hub, seat, stream, Vec::new()).await;
                }
                Err(error) => {
                    tracing::debug!(%error, listener, peer = %to, "a connection could not be made");
                    StreamCounters::count(&hub.counters.connect_failures);
                    hub.back_off(listener, to);
                    hub.leave(&seat);
                    hub.told(refused).await;
                }
            }
        });
        self.send(listener, to, bytes);
    }

    fn back_off(&self, listener: u8, to: SocketAddr) {
        let table = &mut *self.table.borrow_mut();
        if table.back_off.len() >= PEERS_MAX {
            table.back_off.clear();
        }
        let off =
            table.back_off.entry((listener, to)).or_insert(BackOff { until: Instant::now(), failures: 0 });
        let wait = self.limits.back_off_min.saturating_mul(1 << off.failures.min(16));
        off.until = Instant::now() + wait.min(self.limits.back_off_max);
        off.failures += 1;
    }

    async fn told(self: Rc<Self>, event: StreamEvent) {
        self.tell(event).await;
    }

    /// Hands an event to the shard it is for, or to all; waits for room, which holds up the one connection it is
    /// about.
    pub(super) async fn tell(&self, event: StreamEvent) {
        let one = match &event {
            StreamEvent::Message { bytes, .. } => Some((self.route)(bytes, self.shards.len())),
            StreamEvent::Broken { .. } => Some(0),
            StreamEvent::Opened { .. } | StreamEvent::Closed { .. } | StreamEvent::Refused { .. } => None,
        };
        match one {
            Some(shard) => {
                if let Some(shard) = self.shards.get(shard) {
                    let _ = shard.send((self.wrap)(event)).await;
                }
            }
            None => {
                for shard in &self.shards {
                    let _ = shard.send((self.wrap)(event.clone())).await;
                }
            }
        }
    }
}

/// Prepares the socket of a connection: small messages leave at once, and a peer that is gone is noticed.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(20);
    let alive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_keepalive(&alive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
}
