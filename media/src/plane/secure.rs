//! Streams whose packets are SRTP: opened before anything looks at them, protected behind everything that touched them.
//!
//! A packet changes its length on this way, so it is sent from memory of ours and not forwarded where it lies.

use crate::srtp::{OVERHEAD_BYTES_MAX, Refusal};
use crate::{Counters, Output, PacketKind, Stream, StreamKey};
use bytes::BytesMut;
use sansio::Outbox;
use std::net::SocketAddr;

/// From which stream's socket, which of them, and to where.
type Route = (StreamKey, PacketKind, SocketAddr);

/// What came in as it is to be read; `None` if it must not be, which is counted.
#[inline]
pub(super) fn open<'p>(
    stream: &mut Stream,
    kind: PacketKind,
    packet: &'p mut [u8],
    counters: &mut Counters,
) -> Option<&'p mut [u8]> {
    let Some(secure) = &mut stream.secure else {
        if stream.webrtc.is_some() {
            counters.dropped_srtp_early += 1;
            return None;
        }
        return Some(packet);
    };
    let opened = match kind {
        PacketKind::Rtp => secure.inbound.open(packet),
        PacketKind::Rtcp => secure.inbound.open_rtcp(packet),
    };
    match opened {
        Ok(packet) => {
            counters.srtp_in += 1;
            Some(packet)
        }
        Err(refusal) => {
            *match refusal {
                Refusal::Malformed | Refusal::Exhausted => &mut counters.dropped_srtp_malformed,
                Refusal::Replayed => &mut counters.dropped_srtp_replayed,
                Refusal::Forged => &mut counters.dropped_srtp_forged,
            } += 1;
            None
        }
    }
}

/// Protects the RTP packet at the end of the buffer, if the stream's are. False: it must not be sent, and is gone.
pub(super) fn seal(stream: &mut Stream, arena: &mut BytesMut, start: usize, counters: &mut Counters) -> bool {
    let Some(secure) = &mut stream.secure else { return true };
    settle(secure.outbound.protect(arena, start), arena, start, counters)
}

/// The same for reports.
pub(super) fn seal_reports(
    stream: &mut Stream,
    arena: &mut BytesMut,
    start: usize,
    counters: &mut Counters,
) -> bool {
    let Some(secure) = &mut stream.secure else { return true };
    settle(secure.outbound.protect_rtcp(arena, start), arena, start, counters)
}

fn settle(done: Result<(), Refusal>, arena: &mut BytesMut, start: usize, counters: &mut Counters) -> bool {
    match done {
        Ok(()) => counters.srtp_out += 1,
        Err(_) => {
            counters.dropped_srtp_repeated += 1;
            arena.truncate(start);
        }
    }
    done.is_ok()
}

/// Sends an RTP packet on whose length has changed or is to change. False: it must not be sent.
pub(super) fn resend(
    stream: &mut Stream,
    route: Route,
    packet: &[u8],
    arena: &mut BytesMut,
    counters: &mut Counters,
    out: &mut Outbox<Output>,
) -> bool {
    let start = copy(packet, arena);
    seal(stream, arena, start, counters) && send(route, arena, counters, out)
}

/// The same for reports.
pub(super) fn resend_reports(
    stream: &mut Stream,
    route: Route,
    packet: &[u8],
    arena: &mut BytesMut,
    counters: &mut Counters,
    out: &mut Outbox<Output>,
) -> bool {
    let start = copy(packet, arena);
    seal_reports(stream, arena, start, counters) && send(route, arena, counters, out)
}

fn copy(packet: &[u8], arena: &mut BytesMut) -> usize {
    let start = arena.len();
    arena.reserve(packet.len() + OVERHEAD_BYTES_MAX);
    arena.extend_from_slice(packet);
    start
}

fn send(
    (from, kind, destination): Route,
    arena: &mut BytesMut,
    counters: &mut Counters,
    out: &mut Outbox<Output>,
) -> bool {
    let packet = arena.split().freeze();
    counters.bytes_out += packet.len() as u64;
    out.push(Output::Send { from, kind, destination, packet });
    true
}
