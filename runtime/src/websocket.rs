//! A WebSocket (RFC 6455) to somewhere else, over TCP or TLS with the system's authorities.

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

/// The longest message taken: five minutes of sound in base64 fit.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// What may wait in the socket's own buffer beyond the kernel's.
const WRITE_BUFFER_BYTES_MAX: usize = 256 << 10;

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Which authorities certificates of servers must be of.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Those of the system.
    ///
    /// # Errors
    /// When TLS cannot be set up at all.
    pub fn of_system() -> io::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        // What of the system's store cannot be used is not believed; without any, nobody is.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::of(roots)
    }

    /// These.
    ///
    /// # Errors
    /// When TLS cannot be set up at all.
    pub fn of(roots: rustls::RootCertStore) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Trust(Arc::new(config)))
    }
}

/// A connection that is up.
pub struct WebSocket(WebSocketStream<Box<dyn Duplex>>);

/// What came over it.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// A message of text.
    Text(String),
    /// A message of bytes.
    Binary(Bytes),
    /// The other side has closed it; true: as one closes what is over (1000, 1001 or no code).
    Closed(bool),
}

/// One message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl WebSocket {
    /// Connects to a `ws://` or `wss://` address, with these headers in the handshake.
    ///
    /// # Errors
    /// Why it cannot be.
    pub async fn connect(
        url: &str,
        headers: &[(&str, &str)],
        trust: &Trust,
        within: Duration,
    ) -> io::Result<Self> {
        let connecting = connect(url, headers, trust);
        tokio::time::timeout(within, connecting)
            .await
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time")))
    }

    /// Sends a message; waits while the other side does not read.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, message: Outgoing) -> io::Result<()> {
        let message = match message {
            Outgoing::Text(text) => Message::text(text),
            Outgoing::Binary(bytes) => Message::Binary(bytes),
        };
        self.0.send(message).await.map_err(io::Error::other)
    }

    /// The next message. May be dropped while it waits.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn receive(&mut self) -> io::Result<Received> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(Received::Text(text.as_str().to_owned())),
                Some(Ok(Message::Binary(bytes))) => return Ok(Received::Binary(bytes)),
                Some(Ok(Message::Close(frame))) => {
                    let orderly = |code| matches!(code, CloseCode::Normal | CloseCode::Away);
                    return Ok(Received::Closed(frame.is_none_or(|frame| orderly(frame.code))));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            }
        }
    }

    /// Closes it, waiting a little for the other side to do the same.
    pub async fn close(mut self, within: Duration) {
        let closing = async {
            if self.0.close(None).await.is_ok() {
                while let Some(Ok(_)) = self.0.next().await {}
            }
        };
        // Who does not answer is left.
        let _ = tokio::time::timeout(within, closing).await;
    }
}

async fn connect(url: &str, headers: &[(&str, &str)], trust: &Trust) -> io::Result<WebSocket> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let uri: Uri = url.parse().map_err(|_| bad("not an address"))?;
    let secure = uri.scheme_str() == Some("wss");
    let host = uri.host().ok_or_else(|| bad("no host in the address"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let mut request = url.into_client_request().map_err(io::Error::other)?;
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).map_err(|_| bad("not a header's name"))?;
        let value = HeaderValue::try_from(*value).map_err(|_| bad("not a header's value"))?;
        request.headers_mut().insert(name, value);
    }
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let stream: Box<dyn Duplex> = if secure {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| bad("not a host's name"))?;
        Box::new(TlsConnector::from(Arc::clone(&trust.0)).connect(name, stream).await?)
    } else {
        Box::new(stream)
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX);
    match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(WebSocket(socket)),
        Err(Error::Http(answer)) => {
            Err(io::Error::other(format!("the handshake was answered with status {}", answer.status())))
        }
        Err(error) => Err(io::Error::other(error)),
    }
}
