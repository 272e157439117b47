//! Plain numbers the edge may show.

use crate::{AudioState, Codec, Coded};
use sansio::Instant;
use std::net::SocketAddr;

/// Counts of one plane since it was made, and a few gauges.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// RTP and RTCP packets given to [`crate::Plane::handle_packet`].
    pub packets_in: u64,
    /// Bytes of those (UDP payload).
    pub bytes_in: u64,
    /// RTCP reports made here.
    pub rtcp_reports: u64,
    /// Packets forwarded or made.
    pub packets_out: u64,
    /// Bytes of those.
    pub bytes_out: u64,
    /// RTP packets forwarded from one stream to another.
    pub forwarded_rtp: u64,
    /// Of these, by the edge itself ([`crate::Output::Offload`]).
    pub offloaded_rtp: u64,
    /// RTCP packets forwarded.
    pub forwarded_rtcp: u64,
    /// Frames made by players and tones.
    pub frames_played: u64,
    /// Frames summed from what others say, for streams that hear more than one.
    pub frames_mixed: u64,
    /// Packets whose audio was changed from A-law to µ-law or back, or decoded from another coding than G.711.
    pub transcoded: u64,
    /// Packets of a coding other than G.711 that could not be read.
    pub undecodable: u64,
    /// Lost packets of Opus, heard from the packet after them.
    pub recovered: u64,
    /// Dropped: the stream does not exist (any more).
    pub dropped_no_stream: u64,
    /// Dropped: not RTP or RTCP of version 2, or lengths that lie.
    pub dropped_malformed: u64,
    /// Dropped: no SDP of the far end yet.
    pub dropped_no_remote: u64,
    /// Dropped: from an address that is not the stream's.
    pub dropped_foreign_source: u64,
    /// Dropped: a payload type that was not agreed.
    pub dropped_payload_type: u64,
    /// Dropped: the far end said it would not send, or the other side does not want to hear.
    pub dropped_on_hold: u64,
    /// Not forwarded: the stream has no peer, or its peer cannot be sent to yet.
    pub dropped_unbridged: u64,
    /// Not forwarded: the peer hears a prompt instead.
    pub dropped_while_playing: u64,
    /// Dropped: older than the moment its source was switched in.
    pub dropped_late: u64,
    /// SRTP packets opened.
    pub srtp_in: u64,
    /// SRTP packets made.
    pub srtp_out: u64,
    /// Dropped: SRTP too short to be any, or of too many sources.
    pub dropped_srtp_malformed: u64,
    /// Dropped: SRTP that came before, or that is too old to tell.
    pub dropped_srtp_replayed: u64,
    /// Dropped: SRTP under another key, changed on its way, or no SRTP at all.
    pub dropped_srtp_forged: u64,
    /// Dropped: from a browser before the handshake was done.
    pub dropped_srtp_early: u64,
    /// Connectivity checks answered …
    pub checks_answered: u64,
    /// … and dropped: other STUN, or not made with the password.
    pub dropped_checks: u64,
    /// Handshakes done.
    pub dtls_done: u64,
    /// Handshakes failed.
    pub dtls_failed: u64,
    /// Not sent: its number has been sent under the same key before.
    pub dropped_srtp_repeated: u64,
    /// First latchings.
    pub latched: u64,
    /// Latchings that replaced an earlier one, …
    pub relatched: u64,
    /// … and of these those to another address.
    pub address_changes: u64,
    /// RTP packets that came behind one with a higher number.
    pub reordered: u64,
    /// RTP packets whose number had come before.
    pub duplicates: u64,
    /// Streams closed that should have heard something for 3 s or more while joined, and never did.
    pub no_media: u64,
    /// Times a stream's outgoing source changed (peer, player, new SSRC) and continuity was kept by rewriting.
    pub source_changes: u64,
    /// Digits reported.
    pub dtmf_digits: u64,
    /// Times a bridged far end that should send stopped (packets, or any sound in them) …
    pub audio_lost: u64,
    /// … while the other side went on.
    pub audio_one_way: u64,
    /// Media timeouts reported.
    pub media_timeouts: u64,
    /// Playout frames given up because the tick came too late.
    pub playout_frames_skipped: u64,
    /// Forks started.
    pub forks_started: u64,
    /// Samples from outside for which there was no room.
    pub fork_samples_refused: u64,
    /// Packets too late for the recording they belonged to.
    pub recording_late_packets: u64,
    /// Recordings started.
    pub recordings_started: u64,
    /// Gauge: recordings running.
    pub recordings_active: u64,
    /// Gauge: streams with a fork.
    pub forks_active: u64,
    /// Gauge: streams open.
    pub streams_open: u64,
    /// Gauge: port pairs in use.
    pub port_pairs_in_use: u64,
    /// Gauge: port pairs in all.
    pub port_pairs_total: u64,
    /// Streams refused because no port pair was free.
    pub ports_exhausted: u64,
}

/// What is known about one stream's incoming RTP (RFC 3550 §6.4.1, A.3, A.8).
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct StreamStats {
    /// Valid RTP packets received.
    pub received: u64,
    /// Expected minus received, over all sources; negative when packets were duplicated.
    pub lost: i64,
    /// Interarrival jitter, milliseconds.
    pub jitter_ms: f32,
    /// RTP packets sent to the far end.
    pub sent: u64,
    /// When the last valid packet came.
    pub last_packet_at: Option<Instant>,
    /// The far end's real RTP address.
    pub latched: Option<SocketAddr>,
    /// The incoming SSRC.
    pub ssrc: Option<u32>,
}

/// How a far end was heard and heard us, since its stream was opened or [`crate::Plane::measure_anew`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct StreamQuality {
    /// What it speaks.
    pub codec: Codec,
    /// What was agreed on where it is not G.711.
    pub coded: Option<Coded>,
    /// RTP packets that came.
    pub received: u64,
    /// Expected minus received; negative when packets were duplicated.
    pub lost: i64,
    /// RTP packets sent to it.
    pub sent: u64,
    /// Share of the expected packets that did not come, 0..=1.
    pub loss: f32,
    /// Interarrival jitter (RFC 3550 A.8), milliseconds: mean over seconds …
    pub jitter_ms: f32,
    /// … and the largest.
    pub jitter_max_ms: f32,
    /// Round trip by RTCP, milliseconds, mean; `None`: it did not report.
    pub rtt_ms: Option<f32>,
    /// What the far end says it lost of ours, mean of its reports, 0..=1.
    pub remote_loss: Option<f32>,
    /// Its newest word on jitter, milliseconds.
    pub remote_jitter_ms: Option<f32>,
    /// Mean opinion score of what came (E-model), 1..=4.41; `None` when nothing came.
    pub mos: Option<f32>,
    /// The same of what the far end heard; `None`: it did not report.
    pub remote_mos: Option<f32>,
    /// Whether sound was coming.
    pub audio: AudioState,
}
