//! Listeners of connections: what the file says about them becomes sockets, keys and a thread.

use crate::config::check::{ClientCertificate, SipListener, SipTransport};
use crate::shard_thread::ShardOrder;
use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use engine::StreamListener as ShardListener;
use runtime::mailbox;
use runtime::stream::tls::{ClientCertificates, TlsContext, TlsFiles};
use runtime::stream::{
    StreamCodec, StreamCounters, StreamEvent, StreamItem, StreamKind, StreamLimits, StreamListener,
    StreamOptions, StreamPort, StreamRole, spawn_streams,
};
use sip_proxy::transport::{Exchange, Frame, FrameFault, Framer, exchange_of};
use sip_proxy::wire::{Limits, Transport};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

/// What peers' streams hold, as the core cuts them.
struct SipCodec {
    framer: Framer,
    broken: bool,
}

/// The answer to a keep-alive (RFC 5626 §4.4.1).
const PONG: &[u8] = b"\r\n";

impl StreamCodec for SipCodec {
    fn push(&mut self, bytes: &[u8]) {
        self.framer.push(bytes);
    }

    fn next_item(&mut self) -> Option<StreamItem> {
        if self.broken {
            return None;
        }
        match self.framer.next_frame() {
            Ok(Some(Frame::Message(bytes))) => Some(StreamItem::Message(bytes)),
            Ok(Some(Frame::Ping)) => Some(StreamItem::Answer(Bytes::from_static(PONG))),
            Ok(None) => None,
            Err(fault) => {
                self.broken = true;
                Some(StreamItem::Broken(fault as u8, self.framer.broken_head()))
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.framer.buffered() == 0
    }

    fn framed(&mut self, bytes: Bytes) -> StreamItem {
        // Some browsers' libraries send the keep-alive of streams here too.
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return StreamItem::Answer(Bytes::from_static(PONG));
        }
        StreamItem::Message(bytes)
    }
}

/// Listeners of connections that are bound and ready to be served.
pub struct BoundStreams {
    sockets: Vec<(TcpListener, StreamKind)>,
    /// As shards are told of them.
    pub listeners: Vec<ShardListener>,
    /// Those with certificates, which may be read anew.
    pub secured: Vec<TlsContext>,
}

/// Binds the listeners and reads their certificates.
///
/// # Errors
/// When an address is taken or a file cannot be used; which one is said.
pub fn bind(listeners: &[SipListener]) -> anyhow::Result<BoundStreams> {
    let mut bound = BoundStreams { sockets: Vec::new(), listeners: Vec::new(), secured: Vec::new() };
    for listener in listeners.iter().filter(|listener| listener.transport != SipTransport::Udp) {
        let key = &listener.file_key;
        let socket =
            listen(listener.address).with_context(|| format!("{key}: binding TCP {}", listener.address))?;
        let (kind, transport) = match listener.transport {
            SipTransport::Udp | SipTransport::Tcp => (StreamKind::Tcp, Transport::Tcp),
            SipTransport::Ws => (StreamKind::Ws, Transport::Ws),
            SipTransport::Tls | SipTransport::Wss => {
                let tls = context(key, listener)?;
                bound.secured.push(tls.clone());
                if listener.transport == SipTransport::Tls {
                    (StreamKind::Tls(tls), Transport::Tls)
                } else {
                    (StreamKind::Wss(tls), Transport::Wss)
                }
            }
        };
        let address = socket.local_addr().context("a bound socket has an address")?;
        bound.listeners.push(ShardListener { transport, address, advertised: listener.advertised.clone() });
        bound.sockets.push((socket, kind));
    }
    Ok(bound)
}

/// Connections that may wait to be taken.
const BACKLOG: i32 = 1024;

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let domain = if address.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of the last run that linger do not keep the port.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn context(key: &str, listener: &SipListener) -> anyhow::Result<TlsContext> {
    let files = TlsFiles {
        certificate: listener.certificate.clone().context("checked before: TLS has a certificate")?,
        key: listener.key.clone().context("checked before: TLS has a key")?,
        authorities: listener.authorities.clone(),
        clients: match listener.client_certificate {
            ClientCertificate::None => ClientCertificates::None,
            ClientCertificate::Optional => ClientCertificates::Optional,
            ClientCertificate::Required => ClientCertificates::Required,
        },
        protocols: &[],
    };
    TlsContext::load(&files).map_err(|fault| anyhow!("{key}: {}: {}", fault.file.display(), fault.fault))
}

impl BoundStreams {
    /// Starts serving them; `first` is the number of the first one.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn serve(
        self,
        first: usize,
        limits: StreamLimits,
        shards: Vec<mailbox::Sender<ShardOrder>>,
        counters: Arc<StreamCounters>,
    ) -> anyhow::Result<(StreamPort, JoinHandle<std::io::Result<()>>)> {
        let listeners = self
            .sockets
            .into_iter()
            .enumerate()
            .map(|(index, (socket, kind))| StreamListener { number: (first + index) as u8, socket, kind })
            .collect();
        spawn_streams(StreamOptions {
            listeners,
            limits,
            codec: || Box::new(SipCodec { framer: Framer::new(Limits::default()), broken: false }),
            role: |message| match exchange_of(message) {
                Exchange::Request => StreamRole::Question,
                Exchange::Final => StreamRole::Answer,
                Exchange::Neither => StreamRole::Neither,
            },
            shards,
            wrap: ShardOrder::Stream,
            route: |message, shards| usize::from(sip_proxy::shard_for(message, shards as u16)),
            counters,
        })
        .context("starting the thread of connections")
    }
}

/// The fault that a number of [`StreamItem::Broken`] stands for.
pub fn fault_of(number: u8) -> FrameFault {
    FrameFault::ALL.into_iter().find(|fault| *fault as u8 == number).unwrap_or(FrameFault::BareLineEnd)
}

/// What a shard is told of an event.
pub fn input_of(event: StreamEvent) -> engine::ShardInput<'static> {
    use engine::ShardInput;
    match event {
        StreamEvent::Opened { listener, peer, names } => ShardInput::FlowOpened { listener, peer, names },
        StreamEvent::Message { listener, peer, bytes } => {
            ShardInput::Datagram { listener, source: peer, bytes }
        }
        StreamEvent::Broken { listener, peer, fault, head } => {
            ShardInput::FlowBroken { listener, peer, head, fault: fault_of(fault) }
        }
        StreamEvent::Closed { listener, peer } => ShardInput::FlowClosed { listener, peer },
        StreamEvent::Refused { listener, peer } => ShardInput::FlowRefused { listener, peer },
    }
}
