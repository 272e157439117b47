//! Outputs of signalling and media → effects of the shard.

use crate::doors::{DtlsOrder, PacketKind, ShardEffect, StreamId};
use media::StreamKey;

pub(crate) fn stream_id(stream: StreamKey) -> StreamId {
    StreamId(stream.to_bits())
}

pub(crate) fn stream_key(stream: StreamId) -> StreamKey {
    StreamKey::from_bits(stream.0)
}

pub(crate) fn kind(kind: media::PacketKind) -> PacketKind {
    match kind {
        media::PacketKind::Rtp => PacketKind::Rtp,
        media::PacketKind::Rtcp => PacketKind::Rtcp,
    }
}

pub(crate) fn media_kind(kind: PacketKind) -> media::PacketKind {
    match kind {
        PacketKind::Rtp => media::PacketKind::Rtp,
        PacketKind::Rtcp => media::PacketKind::Rtcp,
    }
}

/// What the media plane wants the ground to do; `Err` gives back what concerns the engine itself.
pub(crate) fn of_media(output: media::Output) -> Result<ShardEffect, media::Output> {
    use media::Output;
    Ok(match output {
        Output::HoldPorts { rtp_port, rtcp_port } => ShardEffect::HoldPorts { rtp_port, rtcp_port },
        Output::OpenPorts { stream, rtp_port, rtcp_port } => {
            ShardEffect::OpenPorts { stream: stream_id(stream), rtp_port, rtcp_port }
        }
        Output::ClosePorts { stream, .. } => ShardEffect::ClosePorts { stream: stream_id(stream) },
        Output::Forward { to, kind: which, destination } => {
            ShardEffect::Forward { to: stream_id(to), kind: kind(which), destination }
        }
        Output::Send { from, kind: which, destination, packet } => {
            ShardEffect::SendPacket { from: stream_id(from), kind: kind(which), destination, packet }
        }
        Output::Latched { stream, kind: which, destination } => {
            ShardEffect::Latched { stream: stream_id(stream), kind: kind(which), destination }
        }
        Output::Unlatched { stream, kind: which } => {
            ShardEffect::Unlatched { stream: stream_id(stream), kind: kind(which) }
        }
        Output::Offload { stream, rule, start } => {
            ShardEffect::Offload { stream: stream_id(stream), rule, start }
        }
        Output::Reclaim { stream } => ShardEffect::Reclaim { stream: stream_id(stream) },
        Output::CountOffload { stream } => ShardEffect::CountOffload { stream: stream_id(stream) },
        Output::Dtls(order) => ShardEffect::Dtls(match order {
            media::DtlsOrder::Open { stream, ours, fingerprint, active } => {
                DtlsOrder::Open { stream: stream_id(stream), ours, fingerprint, active }
            }
            media::DtlsOrder::Packet { stream, packet } => {
                DtlsOrder::Packet { stream: stream_id(stream), packet }
            }
            media::DtlsOrder::Close { stream } => DtlsOrder::Close { stream: stream_id(stream) },
        }),
        inner @ (Output::Record(_) | Output::Fork(_) | Output::Event(_)) => return Err(inner),
    })
}
