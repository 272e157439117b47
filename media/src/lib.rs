//! Media: the RTP of one shard, without a socket.
//!
//! [`Plane`] owns all streams. A stream is one far end: a pair of UDP ports, an address to latch on to, one
//! outgoing line of SSRC, sequence numbers and timestamps that stays unbroken whoever speaks into it. Two streams
//! are bridged by [`Plane::connect`]; a stream can hear several ([`Plane::mix`]), be played to, recorded and
//! listened to.
//!
//! ```text
//!             commands: open set_remote connect play tone start_recording listen close
//!                                  │
//!   packets in ── handle_packet ─► Plane ─► Output: OpenPorts Forward Send Record … and Event
//!   time ──────── handle_timeout ─►
//! ```

pub mod amd;
pub mod announcement;
pub mod codec;
mod coded;
mod conceal;
mod config;
mod counters;
pub mod dsp;
pub mod early_media;
mod ears;
mod fork;
mod jitter;
mod latch;
mod offload;
pub mod ogg;
mod output;
mod plane;
mod player;
mod ports;
mod presses;
mod quality;
mod recorder;
pub mod rtp;
mod sender;
pub mod srtp;
mod stream;
pub mod stun;
pub mod tone_plan;
mod utterance;
pub mod wav;
mod webrtc;

pub use amd::AmdConfig;
pub use coded::Coded;
pub use config::{
    Codec, Config, Ears, ForkWish, InBandDigits, PacketKind, PauseBehavior, PlayRequest, Recording, Remote,
    Security, Tone,
};
pub use counters::{Counters, StreamQuality, StreamStats};
pub use offload::{OffloadCounts, OffloadRule, OffloadStart};
pub use output::{
    AmdCause, AmdVerdict, AudioState, DigitSource, EarlyMediaClass, Event, FailedReason, ForkOp, Output,
    RecordOp, TurnCue,
};
pub use plane::{Coding, MIX_SOURCES_MAX, MediaError, Plane};
pub use stream::Stream;
pub use webrtc::{Dtls, DtlsOrder, IceCredentials};

/// Names a stream; stale once it is closed.
pub type StreamKey = sansio::Key<Stream>;
