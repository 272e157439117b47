//! Where the API is listened for: HTTP, or HTTPS with certificates that may be read anew.

use crate::config::listeners::ApiTls;
use anyhow::anyhow;
use runtime::stream::tls::{ClientCertificates, TlsContext, TlsFiles, TlsServerStream};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

/// Longest handshake: who takes longer is no client.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Handshakes at once; further connections wait in the system's queue.
const HANDSHAKES_MAX: usize = 256;
/// Wait after a connection that could not be taken (no file descriptors are left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A client's connection.
pub enum ApiStream {
    Plain(TcpStream),
    Secured(Box<TlsServerStream>),
}

/// A bound address.
pub struct ApiListener {
    address: SocketAddr,
    from: Source,
}

enum Source {
    Plain(TcpListener),
    /// Handshakes are made beside each other, so that a slow client keeps none waiting.
    Secured(mpsc::Receiver<(Box<TlsServerStream>, SocketAddr)>),
}

/// Reads the certificate, if there is one.
///
/// # Errors
/// When a file cannot be used; which one is said.
pub fn context(tls: Option<&ApiTls>) -> anyhow::Result<Option<TlsContext>> {
    let Some(tls) = tls else { return Ok(None) };
    let files = TlsFiles {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
        authorities: tls.authorities.clone(),
        clients: match tls.authorities {
            Some(_) => ClientCertificates::Required,
            None => ClientCertificates::None,
        },
        protocols: &["h2", "http/1.1"],
    };
    let read = TlsContext::load(&files);
    read.map(Some).map_err(|fault| anyhow!("api: {}: {}", fault.file.display(), fault.fault))
}

impl ApiListener {
    /// Serves what `socket` takes.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn new(socket: TcpListener, tls: Option<TlsContext>) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let Some(tls) = tls else { return Ok(ApiListener { address, from: Source::Plain(socket) }) };
        let (done, handshakes) = mpsc::channel(HANDSHAKES_MAX);
        tokio::spawn(shake_hands(socket, tls, done));
        Ok(ApiListener { address, from: Source::Secured(handshakes) })
    }
}

/// Ends when nobody takes connections any more.
async fn shake_hands(
    socket: TcpListener,
    tls: TlsContext,
    done: mpsc::Sender<(Box<TlsServerStream>, SocketAddr)>,
) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let taken = tokio::select! {
            () = done.closed() => return,
            taken = socket.accept() => taken,
        };
        let (stream, peer) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, "a connection to the API cannot be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, done) = (tls.clone(), done.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_MAX, tls.accept_plain(stream)).await {
                // Nobody to give it to: the daemon ends.
                Ok(Ok(stream)) => drop(done.send((Box::new(stream), peer)).await),
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no handshake with a client of the API"),
                Err(_) => tracing::debug!(%peer, "a client of the API was too slow with its handshake"),
            }
            drop(place);
        });
    }
}

impl axum::serve::Listener for ApiListener {
    type Io = ApiStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (ApiStream, SocketAddr) {
        match &mut self.from {
            Source::Plain(socket) => {
                let (stream, peer) = axum::serve::Listener::accept(socket).await;
                (ApiStream::Plain(stream), peer)
            }
            Source::Secured(handshakes) => match handshakes.recv().await {
                Some((stream, peer)) => (ApiStream::Secured(stream), peer),
                None => std::future::pending().await,
            },
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl AsyncRead for ApiStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ApiStream::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            ApiStream::Secured(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for ApiStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            ApiStream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            ApiStream::Secured(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ApiStream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            ApiStream::Secured(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ApiStream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            ApiStream::Secured(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
