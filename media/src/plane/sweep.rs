//! What is looked after without a timer per stream: silence, latches, reports.

use super::Plane;
use crate::offload::Offload;
use crate::{AudioState, Event, FailedReason, Output, PacketKind};
use sansio::{Duration, Instant, Outbox};

/// Slices: each stream is looked at once a second.
const SWEEP_SLICES: u32 = 10;
/// The other side is sending when its last packet is no older than this.
const SENDS_WITHIN: Duration = Duration::from_secs(2);

impl Plane {
    pub(super) fn sweep(&mut self, now: Instant, out: &mut Outbox<Output>) {
        let slice = self.sweep_slice;
        self.sweep_slice = (slice + 1) % SWEEP_SLICES;
        let config = &self.config;
        let mut lapsed = Vec::new();
        let mut unsent = std::mem::take(&mut self.unsent);
        let next_slice = self.sweep_slice;
        for (key, stream) in self.streams.iter_mut() {
            // Counted in time for the next look at the stream.
            if key.index() % SWEEP_SLICES == next_slice && matches!(stream.offload, Offload::Armed(_)) {
                out.push(Output::CountOffload { stream: key });
            }
            let Some(remote) = stream.remote.filter(|_| key.index() % SWEEP_SLICES == slice) else {
                continue;
            };
            // RTCP comes every few seconds only; its socket is let go together with RTP's.
            if stream.rtp.lapses(now, config) {
                out.push(Output::Unlatched { stream: key, kind: PacketKind::Rtp });
                lapsed.push(key);
                if std::mem::take(&mut stream.rtcp.announced) {
                    out.push(Output::Unlatched { stream: key, kind: PacketKind::Rtcp });
                }
            }
            super::webrtc::lapse(now, stream);
            if super::webrtc::gives_up(now, stream) {
                self.counters.dtls_failed += 1;
                let reason = FailedReason::Handshake;
                out.push(Output::Event(Event::Failed { stream: key, owner: stream.owner, reason }));
            }
            stream.quality.sample(&stream.reception);
            if let Some(state) = stream.quality.watch(now, stream.last_packet_at, config) {
                self.changed.push((key, state));
            }
            if stream.quality.report_is_due(now, config.rtcp_interval, &mut self.rng) {
                super::report::send(
                    now,
                    key,
                    stream,
                    self.name_seed,
                    false,
                    &mut self.arena,
                    &mut self.counters,
                    out,
                );
            }
            let silent =
                !config.media_timeout.is_zero() && now.since(stream.silent_since) >= config.media_timeout;
            if remote.sends && silent {
                stream.silent_since = now;
                self.counters.media_timeouts += 1;
                out.push(Output::Event(Event::MediaTimeout { stream: key, owner: stream.owner }));
            }
            let last_sent = stream.sender.last_at().unwrap_or(stream.opened_at);
            if !config.keepalive_after.is_zero() && now.since(last_sent) >= config.keepalive_after {
                unsent.push(key);
            }
        }
        lapsed.into_iter().for_each(|key| self.touch(key));
        for key in unsent.drain(..) {
            self.keep_alive(now, key, out);
        }
        self.unsent = unsent;
        self.tell_changed_audio(now, out);
    }

    fn tell_changed_audio(&mut self, now: Instant, out: &mut Outbox<Output>) {
        let mut changed = std::mem::take(&mut self.changed);
        for (key, state) in changed.drain(..) {
            let Some(stream) = self.streams.get(key) else { continue };
            let peer = stream.peer.and_then(|peer| self.streams.get(peer));
            let peer_sends =
                peer.and_then(|peer| peer.last_packet_at).is_some_and(|last| now.since(last) < SENDS_WITHIN);
            let one_way = state != AudioState::Flowing && peer_sends;
            self.counters.audio_lost += u64::from(state != AudioState::Flowing);
            self.counters.audio_one_way += u64::from(one_way);
            out.push(Output::Event(Event::Audio { stream: key, owner: stream.owner, state, one_way }));
        }
        self.changed = changed;
    }
}
