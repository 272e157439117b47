//! RTCP of our own: reports, and the BYE of a stream that is closed.

use super::Plane;
use super::secure::seal_reports;
use crate::rtp::report;
use crate::{Counters, Output, Stream, StreamKey};
use bytes::BytesMut;
use sansio::{Instant, Outbox};

impl Plane {
    /// Tells a far end that was reported to that nothing more will come (RFC 3550 §6.6).
    pub(super) fn say_bye(&mut self, now: Instant, key: StreamKey, out: &mut Outbox<Output>) {
        if let Some(stream) = self.streams.get_mut(key)
            && stream.quality.has_reported
        {
            send(now, key, stream, self.name_seed, true, &mut self.arena, &mut self.counters, out);
        }
    }
}

/// Sends a report about what was sent and heard; nothing while there is neither, or nowhere to send it.
#[expect(clippy::too_many_arguments, reason = "parts of the plane that are borrowed one by one")]
pub(super) fn send(
    now: Instant,
    key: StreamKey,
    stream: &mut Stream,
    name_seed: u64,
    leaves: bool,
    arena: &mut BytesMut,
    counters: &mut Counters,
    out: &mut Outbox<Output>,
) {
    let Some((kind, destination)) = stream.rtcp_destination() else { return };
    let ssrc = stream.sender.ssrc;
    let (info, block) = stream.quality.report(now, &stream.reception, &stream.sender);
    if info.is_none() && block.is_none() {
        return;
    }
    arena.reserve(report::COMPOUND_BYTES_MAX);
    let start = arena.len();
    report::write(now, ssrc, info, block, &name(name_seed, ssrc), leaves, arena);
    if !seal_reports(stream, arena, start, counters) {
        return;
    }
    let packet = arena.split().freeze();
    counters.rtcp_reports += 1;
    counters.packets_out += 1;
    counters.bytes_out += packet.len() as u64;
    out.push(Output::Send { from: key, kind, destination, packet });
}

/// The stream's canonical name: 64 bits in hexadecimal, the same in all its reports and like no other's
/// (RFC 7022 §4.2).
fn name(seed: u64, ssrc: u32) -> [u8; 16] {
    let bits = (seed ^ u64::from(ssrc)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    core::array::from_fn(|i| b"0123456789abcdef"[((bits >> (60 - 4 * i)) & 0xF) as usize])
}
