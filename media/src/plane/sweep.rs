//! What is looked after without a timer per stream: silence, latches, reports.

use super::Plane;
use crate::offload::Offload;
use crate::{AudioState, Event, FailedReason, Output, PacketKind};
use sansio::{Duration, Instant, Outbox};

/// Streams are looked at in slices, all of them once a second: the few of a small system in this many, …
const SLICES_OF_FEW: u32 = 10;
/// … more than this in so many that a look takes no time in which packets gather.
const FEW_MAX: usize = 160;
const SLICES_OF_MANY: u32 = 200;
/// What waits to be written is looked at so often, and ports to be held are asked for.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// All have been looked at after it.
const SWEEP_ROUND: Duration = Duration::from_secs(1);
/// The other side is sending when its last packet is no older than this.
const SENDS_WITHIN: Duration = Duration::from_secs(2);

impl Plane {
    /// In how many slices the streams are looked at. It changes once at most: what was missed then comes a second later.
    fn slices(&self) -> u32 {
        if self.streams.slots() > FEW_MAX { SLICES_OF_MANY } else { SLICES_OF_FEW }
    }

    /// From one slice to the next.
    pub(super) fn sweep_every(&self) -> Duration {
        SWEEP_ROUND / self.slices()
    }

    /// Looks after a slice of everything.
    pub(super) fn sweep(&mut self, now: Instant, out: &mut Outbox<Output>) {
        let slices = self.slices();
        let slice = self.sweep_slice % slices;
        self.sweep_slice = (slice + 1) % slices;
        self.sweep_streams(now, (slice, slices), out);
        let flushes = (FLUSH_EVERY.as_millis() / self.sweep_every().as_millis()) as u32;
        for index in part(slice % flushes, flushes, self.recorders.slots()) {
            if let Some((_, recorder)) = self.recorders.at_mut(index) {
                recorder.flush(now, out);
            }
        }
        if slice.is_multiple_of(flushes) {
            self.hold_ports(now, out);
        }
    }

    fn sweep_streams(&mut self, now: Instant, (slice, slices): (u32, u32), out: &mut Outbox<Output>) {
        let config = &self.config;
        let mut lapsed = Vec::new();
        let mut unsent = std::mem::take(&mut self.unsent);
        // Counted in time for the next look at the stream.
        for index in part(self.sweep_slice, slices, self.streams.slots()) {
            if let Some((key, stream)) = self.streams.at_mut(index)
                && matches!(stream.offload, Offload::Armed(_))
            {
                out.push(Output::CountOffload { stream: key });
            }
        }
        for index in part(slice, slices, self.streams.slots()) {
            let Some((key, stream)) = self.streams.at_mut(index) else { continue };
            let Some(remote) = stream.remote else { continue };
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

/// The slots of a table that belong to a slice.
fn part(slice: u32, slices: u32, slots: usize) -> impl Iterator<Item = u32> {
    (slice..slots as u32).step_by(slices as usize)
}
