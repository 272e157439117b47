//! The messages of a call on the wire.

use crate::mask::Masker;
use crate::time::Time;
use dialer_core::CallId;
use sansio::WallTime;
use serde::Serialize;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use utoipa::ToSchema;

/// A message that was received or sent, as the ground tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceMessage {
    /// When.
    pub at: WallTime,
    /// Nanoseconds on the shard's own clock, to order and subtract.
    pub monotonic_ns: u64,
    /// Which shard.
    pub shard: u16,
    /// Sent by us.
    pub sent: bool,
    /// `UDP`, `TCP`, `TLS`, `WS` or `WSS`.
    pub transport: &'static str,
    /// Our address.
    pub local: String,
    /// The other side's.
    pub peer: String,
    /// The whole message.
    pub text: String,
    /// The Call-ID in it.
    pub sip_call_id: String,
    /// Status of a response, 0 of a request.
    pub status: u16,
    /// The method, of a response that of its request.
    pub method: String,
    /// Number in CSeq.
    pub cseq: u32,
}

/// Asks all shards for the messages of a call.
pub type Tracer =
    Arc<dyn Fn(CallId) -> Pin<Box<dyn Future<Output = Vec<TraceMessage>> + Send>> + Send + Sync>;

/// Has all shards forget the messages of the calls in which a number is named.
pub type TraceEraser =
    Arc<dyn Fn(sansio::pii::Spellings) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The messages of a call that are still kept.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CallTrace {
    /// The call.
    pub call_id: String,
    /// Its messages, oldest first. Only the newest of all calls are kept (`[trace] ring_bytes`).
    pub messages: Vec<TracedMessage>,
}

/// One SIP message.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TracedMessage {
    /// When.
    pub at: Time,
    /// Microseconds after the first message.
    pub offset_us: u64,
    /// Which shard carried it.
    pub shard: u16,
    /// `in` or `out`.
    pub direction: &'static str,
    /// `UDP`, `TCP`, `TLS`, `WS` or `WSS`.
    pub transport: &'static str,
    /// Our address.
    pub local: String,
    /// The other side's address.
    pub peer: String,
    /// The method, of a response that of its request.
    pub method: String,
    /// Status of a response; null of a request.
    pub status: Option<u16>,
    /// Number in CSeq.
    pub cseq: u32,
    /// The first line.
    pub start_line: String,
    /// Which dialog: the SIP Call-ID.
    pub sip_call_id: String,
    /// Whether a session description is in it.
    pub has_sdp: bool,
    /// Size.
    pub bytes: usize,
    /// The whole message; numbers masked unless the token has `leads:pii`.
    pub text: String,
}

impl CallTrace {
    /// As the caller may see it.
    #[must_use]
    pub fn new(call: CallId, mut messages: Vec<TraceMessage>, mask: Masker) -> Self {
        messages.sort_by_key(|message| message.monotonic_ns);
        let first = messages.first().map_or(0, |message| message.monotonic_ns);
        let shown = |message: TraceMessage| {
            let text = crate::mask_message::message(mask, &message.text);
            TracedMessage {
                at: message.at.into(),
                offset_us: (message.monotonic_ns - first) / 1_000,
                shard: message.shard,
                direction: if message.sent { "out" } else { "in" },
                transport: message.transport,
                local: message.local,
                peer: message.peer,
                start_line: text.lines().next().unwrap_or_default().to_owned(),
                method: message.method,
                status: (message.status != 0).then_some(message.status),
                cseq: message.cseq,
                sip_call_id: message.sip_call_id,
                has_sdp: message.text.to_ascii_lowercase().contains("application/sdp"),
                bytes: message.text.len(),
                text,
            }
        };
        CallTrace { call_id: call.to_string(), messages: messages.into_iter().map(shown).collect() }
    }
}
