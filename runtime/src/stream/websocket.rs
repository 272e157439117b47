//! WebSocket (RFC 6455) with the sub-protocol `sip` (RFC 7118): each of its messages carries one of ours.

use super::connection::{ANSWERS, Duplex, End, Outgoing, finish};
use super::hub::{Hub, Seat};
use super::{StreamCounters, StreamEvent, StreamItem};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header::SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

/// The longest message: as long as a datagram can be.
const MESSAGE_BYTES_MAX: usize = 65_535;

/// What the sub-protocol is called.
const PROTOCOL: &str = "sip";

pub(super) type Socket = WebSocketStream<Box<dyn Duplex>>;

/// Answers the handshake.
pub(super) async fn accept(stream: Box<dyn Duplex>) -> io::Result<Socket> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .write_buffer_size(0);
    tokio_tungstenite::accept_hdr_async_with_config(stream, agree, Some(config))
        .await
        .map_err(io::Error::other)
}

/// RFC 7118 §4.1: the client names the sub-protocol, or it is no SIP that it wants to speak.
#[allow(clippy::result_large_err, reason = "the library's callback has this shape")]
fn agree(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let offered = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.split(',').any(|name| name.trim().eq_ignore_ascii_case(PROTOCOL)))
    });
    if offered {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
        return Ok(response);
    }
    let mut refusal = ErrorResponse::new(Some("the sub-protocol \"sip\" is spoken here (RFC 7118)\n".into()));
    *refusal.status_mut() = StatusCode::BAD_REQUEST;
    Err(refusal)
}

/// Carries messages both ways until the connection ends.
pub(super) async fn run<C: Send + 'static>(
    hub: Rc<Hub<C>>,
    mut seat: Seat,
    socket: Socket,
    names: Vec<String>,
) {
    let (listener, peer) = (seat.listener, seat.peer);
    hub.counters.established.fetch_add(1, Ordering::Relaxed);
    hub.tell(StreamEvent::Opened { listener, peer, names }).await;
    let (mut write, mut read) = socket.split();
    let (answers, mut answered) = tokio::sync::mpsc::channel::<Bytes>(ANSWERS);
    let reading = async {
        let mut codec = (hub.codec)();
        let mut until = Instant::now() + hub.limits.message_time_max;
        loop {
            let message = match timeout_at(until, read.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => {
                    log_fault(&error, listener);
                    return End::Peer;
                }
                Ok(None) => return End::Peer,
                Err(_) => return End::Idle,
            };
            until = Instant::now() + hub.limits.idle;
            let bytes = match message {
                Message::Text(text) => Bytes::from(text),
                Message::Binary(bytes) => bytes,
                Message::Close(_) => return End::Peer,
                // The library answers pings by itself.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            match codec.framed(bytes) {
                StreamItem::Message(bytes) => {
                    StreamCounters::count(&hub.counters.messages_received);
                    hub.tell(StreamEvent::Message { listener, peer, bytes }).await;
                }
                StreamItem::Answer(bytes) => {
                    let _ = answers.try_send(bytes);
                }
                StreamItem::Broken(..) => return End::Peer,
            }
        }
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
                        let _ = timeout(hub.limits.write_time_max, write.close()).await;
                        return End::Ordered;
                    }
                },
                Some(answer) = answered.recv() => answer,
            };
            // Browsers show text in their tools; only what is not UTF-8 has to go as binary.
            let message = Utf8Bytes::try_from(bytes.clone()).map_or(Message::Binary(bytes), Message::Text);
            match timeout(hub.limits.write_time_max, write.send(message)).await {
                Ok(Ok(())) => {}
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

fn log_fault(error: &Error, listener: u8) {
    tracing::debug!(%error, listener, "a WebSocket broke");
}
