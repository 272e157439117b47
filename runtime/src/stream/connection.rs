//! One connection, from its handshake to its end.

use super::hub::{Hub, Seat, prepare};
use super::{StreamCodec, StreamCounters, StreamEvent, StreamItem, StreamKind, StreamRole, websocket};
use bytes::Bytes;
use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};

/// What waits to be written.
#[derive(Debug)]
pub(super) enum Outgoing {
    Bytes(Bytes),
    /// Close.
    End,
}

/// A stream of bytes, whatever lies below.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

const READ_BYTES: usize = 16_384;

/// A connection whose handshakes are done.
enum Begun {
    Stream(Box<dyn Duplex>),
    WebSocket(Box<websocket::Socket>),
}

/// A connection that was taken: TLS and WebSocket first.
pub(super) async fn accepted<C: Send + 'static>(
    hub: Rc<Hub<C>>,
    seat: Seat,
    kind: StreamKind,
    stream: TcpStream,
) {
    let limit = hub.limits.message_time_max;
    let begun = async {
        prepare(&stream)?;
        let (stream, names): (Box<dyn Duplex>, _) = match &kind {
            StreamKind::Tcp | StreamKind::Ws => (Box::new(stream), Vec::new()),
            StreamKind::Tls(context) | StreamKind::Wss(context) => {
                let (stream, names) = context.accept(stream).await?;
                (Box::new(stream), names)
            }
        };
        let begun = match kind {
            StreamKind::Tcp | StreamKind::Tls(_) => Begun::Stream(stream),
            StreamKind::Ws | StreamKind::Wss(_) => {
                Begun::WebSocket(Box::new(websocket::accept(stream).await?))
            }
        };
        io::Result::Ok((begun, names))
    };
    match timeout(limit, begun).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok((Begun::Stream(stream), names)) => run(hub, seat, stream, names).await,
        Ok((Begun::WebSocket(socket), names)) => websocket::run(hub, seat, *socket, names).await,
        Err(error) => {
            StreamCounters::count(&hub.counters.handshake_failures);
            tracing::debug!(%error, listener = seat.listener, peer = %seat.peer, "a handshake failed");
            hub.leave(&seat);
        }
    }
}

/// Makes a connection.
pub(super) async fn connect(
    kind: &StreamKind,
    local: IpAddr,
    to: SocketAddr,
    name: String,
) -> io::Result<Box<dyn Duplex>> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if !local.is_unspecified() && local.is_ipv4() == to.is_ipv4() {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    let stream = socket.connect(to).await?;
    prepare(&stream)?;
    match kind {
        StreamKind::Tls(context) => Ok(Box::new(context.connect(stream, name).await?)),
        _ => Ok(Box::new(stream)),
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The peer closed it, or it broke.
    Peer,
    /// We were told to.
    Ordered,
    /// Nothing came, or not a whole message, in time.
    Idle,
    /// The peer takes nothing.
    Stalled,
}

/// Questions of the peer without an answer: while there are some, a peer that sends nothing more is still waiting.
#[derive(Default)]
struct Owed {
    questions: Cell<usize>,
    none_left: tokio::sync::Notify,
}

impl Owed {
    fn asked(&self, role: StreamRole) {
        self.questions.set(self.questions.get() + usize::from(role == StreamRole::Question));
    }

    fn answered(&self, role: StreamRole) {
        if role == StreamRole::Answer {
            self.questions.set(self.questions.get().saturating_sub(1));
            if self.questions.get() == 0 {
                self.none_left.notify_one();
            }
        }
    }

    /// Until all are answered.
    async fn settled(&self) {
        while self.questions.get() > 0 {
            self.none_left.notified().await;
        }
    }
}

/// Carries messages both ways until the connection ends.
pub(super) async fn run<C: Send + 'static>(
    hub: Rc<Hub<C>>,
    mut seat: Seat,
    stream: impl Duplex,
    names: Vec<String>,
) {
    let (listener, peer) = (seat.listener, seat.peer);
    hub.counters.established.fetch_add(1, Ordering::Relaxed);
    hub.tell(StreamEvent::Opened { listener, peer, names }).await;
    let (mut read, mut write) = tokio::io::split(stream);
    let (answers, mut answered) = tokio::sync::mpsc::channel::<Bytes>(ANSWERS);
    let owed = Owed::default();
    let reading = async {
        let mut codec = (hub.codec)();
        read_all(&hub, listener, peer, &mut read, codec.as_mut(), &answers, &owed).await
    };
    let writing = async {
        loop {
            let bytes = tokio::select! {
                biased;
                outgoing = seat.queue.recv() => match outgoing {
                    Some(Outgoing::Bytes(bytes)) => {
                        seat.queued_bytes.set(seat.queued_bytes.get().saturating_sub(bytes.len()));
                        bytes
                    }
                    Some(Outgoing::End) | None => {
                        let _ = timeout(hub.limits.write_time_max, write.shutdown()).await;
                        return End::Ordered;
                    }
                },
                Some(answer) = answered.recv() => answer,
            };
            let written = async {
                write.write_all(&bytes).await?;
                write.flush().await
            };
            match timeout(hub.limits.write_time_max, written).await {
                Ok(Ok(())) => owed.answered((hub.role)(&bytes)),
                Ok(Err(_)) => return End::Peer,
                Err(_) => return End::Stalled,
            }
        }
    };
    let end = tokio::select! {
        end = reading => end,
        end = writing => end,
        _ = &mut seat.ended => End::Stalled,
    };
    finish(&hub, &seat, end).await;
}

/// Answers to keep-alives that may wait; further ones are not given.
pub(super) const ANSWERS: usize = 4;

pub(super) async fn finish<C: Send + 'static>(hub: &Rc<Hub<C>>, seat: &Seat, end: End) {
    match end {
        End::Idle => StreamCounters::count(&hub.counters.idle),
        End::Stalled => StreamCounters::count(&hub.counters.stalled),
        End::Peer | End::Ordered => {}
    }
    let (listener, peer) = (seat.listener, seat.peer);
    hub.counters.established.fetch_sub(1, Ordering::Relaxed);
    tracing::debug!(listener, %peer, ?end, "a connection ended");
    hub.leave(seat);
    hub.tell(StreamEvent::Closed { listener, peer }).await;
}

async fn read_all<C: Send + 'static>(
    hub: &Rc<Hub<C>>,
    listener: u8,
    peer: SocketAddr,
    read: &mut (impl AsyncRead + Unpin),
    codec: &mut dyn StreamCodec,
    answers: &tokio::sync::mpsc::Sender<Bytes>,
    owed: &Owed,
) -> End {
    let mut buffer = vec![0; READ_BYTES];
    // A connection has to show what it is for, and a message that has begun has to end.
    let mut until = Instant::now() + hub.limits.message_time_max;
    let mut begun = true;
    loop {
        let length = match timeout_at(until, read.read(&mut buffer)).await {
            Ok(Ok(0)) => {
                // The peer may have closed its side alone: it has said all, and still listens.
                let _ = timeout(hub.limits.half_closed_max, owed.settled()).await;
                return End::Peer;
            }
            Ok(Err(_)) => return End::Peer,
            Ok(Ok(length)) => length,
            Err(_) => return End::Idle,
        };
        codec.push(&buffer[..length]);
        let mut complete = false;
        while let Some(item) = codec.next_item() {
            complete = true;
            match item {
                StreamItem::Message(bytes) => {
                    StreamCounters::count(&hub.counters.messages_received);
                    owed.asked((hub.role)(&bytes));
                    hub.tell(StreamEvent::Message { listener, peer, bytes }).await;
                }
                StreamItem::Answer(bytes) => {
                    let _ = answers.try_send(bytes);
                }
                StreamItem::Broken(fault, head) => {
                    hub.tell(StreamEvent::Broken { listener, peer, fault, head }).await;
                    // The order to close comes after what there is to say about it.
                    tokio::time::sleep(hub.limits.write_time_max).await;
                    return End::Ordered;
                }
            }
        }
        if codec.is_empty() {
            (begun, until) = (false, Instant::now() + hub.limits.idle);
        } else if complete || !begun {
            (begun, until) = (true, Instant::now() + hub.limits.message_time_max);
        }
    }
}
