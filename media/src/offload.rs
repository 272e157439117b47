//! What the ground may relay by itself, in the kernel: plain data between the plane and the edge.

use crate::StreamKey;
use sansio::Instant;
use std::net::SocketAddr;

/// One direction of sound that needs nothing but another header. A packet that fits it in every point may be sent on
/// without the plane seeing it; any other comes to the plane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OffloadRule {
    /// Where its packets come from (latched) …
    pub source: SocketAddr,
    /// … to this port of ours, …
    pub port: u16,
    /// … with this SSRC …
    pub ssrc: u32,
    /// … and payload type.
    pub payload_type: u8,
    /// Where they go …
    pub destination: SocketAddr,
    /// … from this port of ours, …
    pub out_port: u16,
    /// … with this SSRC …
    pub out_ssrc: u32,
    /// … and payload type; …
    pub out_payload_type: u8,
    /// … this is added to the sequence number …
    pub sequence_delta: u16,
    /// … and this to the timestamp.
    pub timestamp_delta: u32,
    /// A sample's low seven bits, exclusive or the first of these, are at least the second when it is no silence.
    pub sound: (u8, u8),
    /// Someone listens: every packet comes to [`crate::Plane::heard`] too.
    pub tap: bool,
}

/// Where the ground begins to count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OffloadStart {
    /// Highest sequence number received, with its cycles.
    pub highest: u32,
    /// Relative transit time of the last packet (RFC 3550 A.8), timestamp units.
    pub transit: u32,
    /// Interarrival jitter times 16, timestamp units.
    pub jitter: u32,
    /// Timestamp of the last packet sent.
    pub timestamp: u32,
}

/// What the ground has relayed under a rule since that was put in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OffloadCounts {
    /// Packets.
    pub packets: u64,
    /// Bytes of their UDP payloads.
    pub bytes: u64,
    /// Bytes of their RTP payloads.
    pub octets: u64,
    /// When the last one came.
    pub last_at: Option<Instant>,
    /// When the last one with sound came, as far as was looked.
    pub sound_at: Option<Instant>,
    /// As in [`OffloadStart`].
    pub highest: u32,
    /// As in [`OffloadStart`].
    pub transit: u32,
    /// As in [`OffloadStart`].
    pub jitter: u32,
    /// As in [`OffloadStart`].
    pub timestamp: u32,
    /// Samples in the last packet.
    pub samples: u32,
}

/// How one stream's incoming sound stands with the ground.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Offload {
    /// Every packet comes to the plane.
    #[default]
    None,
    /// The ground relays by this rule.
    Armed(Armed),
    /// The rule was taken back; its last counts have not come yet.
    Ending(Armed),
    /// The ground cannot relay by this rule; not asked again before then.
    Refused(OffloadRule, Instant),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Armed {
    pub(crate) rule: OffloadRule,
    pub(crate) to: StreamKey,
    /// What has been added up already.
    pub(crate) counted: OffloadCounts,
}
