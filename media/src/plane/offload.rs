//! Leaving plain streams to the ground, and taking them back.
//!
//! [`Plane::plain`] is the one place that says which sound may bypass the plane. What has changed is compared with it
//! after each input; the ground is told by [`Output::Offload`] and [`Output::Reclaim`], and tells what it counted.

use super::Plane;
use super::packet::{Content, Incoming, wants_digits};
use crate::codec;
use crate::offload::{Armed, Offload, OffloadCounts, OffloadRule, OffloadStart};
use crate::quality::SOUND_PEAK_MIN;
use crate::rtp::Header;
use crate::rtp::stats::Step;
use crate::sender::Source;
use crate::{Codec, Config, Counters, Output, Stream, StreamKey};
use sansio::{Duration, Instant, Outbox};

/// What the ground refused is not asked for again so soon.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// When so many packets took the long way around a rule, the rule begins anew.
const BEHIND_MAX: i32 = 1000;

impl Plane {
    /// What the ground has counted so far, in answer to [`Output::CountOffload`] or unasked.
    pub fn offload_counted(&mut self, stream: StreamKey, counts: &OffloadCounts) {
        self.add_up(stream, counts);
        let Some(state) = self.streams.get(stream) else { return };
        let behind = state.reception.highest().wrapping_sub(counts.highest) as i32;
        if matches!(state.offload, Offload::Armed(_)) && behind > BEHIND_MAX {
            self.anew.push(stream);
            self.touch(stream);
        }
    }

    /// The last counts of a rule that was taken back ([`Output::Reclaim`]); exactly one answer for each.
    pub fn offload_ended(&mut self, stream: StreamKey, counts: &OffloadCounts) {
        self.add_up(stream, counts);
        self.closing.retain(|(key, _)| *key != stream);
        if let Some(state) = self.streams.get_mut(stream) {
            state.offload = Offload::None;
            self.touch(stream);
        }
    }

    /// The ground cannot do what [`Output::Offload`] asked for.
    pub fn offload_refused(&mut self, now: Instant, stream: StreamKey) {
        self.closing.retain(|(key, _)| *key != stream);
        if let Some(state) = self.streams.get_mut(stream)
            && let Offload::Armed(Armed { rule, .. }) | Offload::Ending(Armed { rule, .. }) = state.offload
        {
            state.offload = Offload::Refused(rule, now + REFUSED_FOR);
        }
    }

    /// True while the ground relays what comes in on the stream.
    #[must_use]
    pub fn is_offloaded(&self, stream: StreamKey) -> bool {
        self.streams.get(stream).is_some_and(|stream| matches!(stream.offload, Offload::Armed(_)))
    }

    /// A packet that the ground has relayed, as it came: it is listened to, and nothing else.
    pub fn heard(&mut self, now: Instant, key: StreamKey, packet: &[u8], out: &mut Outbox<Output>) {
        let Some(stream) = self.streams.get(key) else { return };
        let (Some(remote), Some(header)) = (stream.remote, Header::read(packet)) else { return };
        if header.payload_type != remote.payload_type {
            return;
        }
        let codec = remote.codec;
        let (recording, listening) = (stream.recording, stream.listening.is_some());
        let payload = &packet[header.payload()];
        if wants_digits(stream, &self.config) {
            let incoming =
                Incoming { header, content: Content::Audio(codec), step: Step::Forward, encrypted: false };
            self.hear_digits(now, key, &incoming, codec, packet, out);
        }
        if listening {
            self.hear(now, key, codec, payload, out);
        }
        if let Some(recording) = recording {
            self.record(now, recording, &header, codec, payload);
        }
        self.hear_voice(key, &header, codec, payload);
        if self.forks > 0 {
            self.hear_forks(key, &header, codec, payload);
        }
        let heard = |stream: &Stream| is_heard(stream, &self.config) || self.peer_is_forked(stream);
        if self.streams.get(key).is_some_and(|stream| !heard(stream)) {
            self.touch(key);
        }
    }

    /// Brings what the ground relays into line with what is wanted now. Call it after commands; packets and timeouts
    /// see to it themselves.
    pub fn settle_offload(&mut self, now: Instant, out: &mut Outbox<Output>) {
        while let Some(key) = self.touched.pop() {
            let anew = self.anew.contains(&key);
            self.anew.retain(|other| *other != key);
            let wanted = self.plain(key).filter(|_| !anew);
            let Some(stream) = self.streams.get_mut(key) else { continue };
            match (stream.offload, wanted) {
                (Offload::Armed(armed), Some((rule, to))) if armed.rule == rule && armed.to == to => {}
                (Offload::Armed(armed), _) => {
                    stream.offload = Offload::Ending(armed);
                    out.push(Output::Reclaim { stream: key });
                }
                (Offload::Ending(_), _) | (_, None) => {}
                (Offload::Refused(before, until), Some((rule, _))) if before == rule && now < until => {}
                (Offload::None | Offload::Refused(..), Some((rule, to))) => {
                    let counted =
                        OffloadCounts { highest: stream.reception.highest(), ..OffloadCounts::default() };
                    stream.offload = Offload::Armed(Armed { rule, to, counted });
                    let (highest, transit, jitter) = stream.reception.offload_start();
                    let timestamp = self.streams.get(to).map_or(0, |to| to.sender.timestamp);
                    let start = OffloadStart { highest, transit, jitter, timestamp };
                    out.push(Output::Offload { stream: key, rule, start });
                }
            }
        }
    }

    /// Something about a stream has changed: what it sends to its peer and what its peer sends to it is looked at.
    pub(super) fn touch(&mut self, stream: StreamKey) {
        if !self.config.offload {
            return;
        }
        for key in [Some(stream), self.peer(stream)].into_iter().flatten() {
            if !self.touched.contains(&key) {
                self.touched.push(key);
            }
        }
    }

    /// A stream closes: the ground must let go of it first. What it counted still belongs to whom it was sent.
    pub(super) fn leave_offload(&mut self, key: StreamKey, out: &mut Outbox<Output>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        match std::mem::take(&mut stream.offload) {
            Offload::Armed(armed) => {
                out.push(Output::Reclaim { stream: key });
                self.closing.push((key, armed));
            }
            Offload::Ending(armed) => self.closing.push((key, armed)),
            Offload::None | Offload::Refused(..) => {}
        }
    }

    /// **What may bypass the plane**: sound of a latched far end that goes on as it is, under another header, to a
    /// latched far end which hears nothing else. `None`: it has to come through here.
    fn plain(&self, key: StreamKey) -> Option<(OffloadRule, StreamKey)> {
        let from = self.streams.get(key)?;
        let to_key = from.peer?;
        let to = self.streams.get(to_key)?;
        let remote = from.remote.filter(|remote| remote.sends && !from.ports_failed)?;
        let source = from.rtp.address.filter(|_| from.rtp.announced)?;
        to.rtp.address?;
        let destination = to.destination()?;
        let own_voice = to.hears_own() || to.beep.is_some() || from.muted;
        let joined_on = to.sender.speaks(Source::Stream(key.to_bits(), from.reception.ssrc));
        // The ground knows no keys.
        let encrypted = from.secure.is_some() || to.secure.is_some();
        // How it tells sound from silence is G.711's.
        let coded = remote.coded.is_some() || destination.coded.is_some();
        if encrypted
            || coded
            || own_voice
            || !joined_on
            || !from.reception.started
            || destination.codec != remote.codec
        {
            return None;
        }
        let tap = is_heard(from, &self.config) || to.fork.is_some();
        let rule = OffloadRule {
            source,
            port: from.rtp_port,
            ssrc: from.reception.ssrc,
            payload_type: remote.payload_type,
            destination: destination.address,
            out_port: to.rtp_port,
            out_ssrc: to.sender.ssrc,
            out_payload_type: destination.payload_type,
            sequence_delta: to.sender.sequence_delta,
            timestamp_delta: to.sender.timestamp_delta,
            sound: sound_of(remote.codec),
            tap,
        };
        Some((rule, to_key))
    }

    fn add_up(&mut self, key: StreamKey, counts: &OffloadCounts) {
        let closing = self.closing.iter_mut().find(|(closing, _)| *closing == key);
        let armed = match self.streams.get_mut(key).map(|stream| &mut stream.offload) {
            Some(Offload::Armed(armed) | Offload::Ending(armed)) => armed,
            _ => match closing {
                Some((_, armed)) => armed,
                None => return,
            },
        };
        let before = std::mem::replace(&mut armed.counted, *counts);
        let (rule, to) = (armed.rule, armed.to);
        let new = Added {
            packets: counts.packets.saturating_sub(before.packets),
            bytes: counts.bytes.saturating_sub(before.bytes),
            octets: counts.octets.saturating_sub(before.octets),
        };
        let Some(last_at) = counts.last_at.filter(|_| new.packets > 0) else { return };
        add_to_counters(&mut self.counters, &new);
        if let Some(from) = self.streams.get_mut(key) {
            add_to_source(from, &rule, counts, &new, last_at);
        }
        if let Some(to) = self.streams.get_mut(to) {
            let sequence = (counts.highest as u16).wrapping_add(rule.sequence_delta);
            let source = Source::Stream(key.to_bits(), rule.ssrc);
            let last = (sequence, counts.timestamp, counts.samples, last_at);
            to.sender.relayed_elsewhere(source, last, new.packets, new.octets);
        }
    }
}

/// Someone listens to what the stream's far end says.
fn is_heard(stream: &Stream, config: &Config) -> bool {
    stream.recording.is_some()
        || stream.listening.is_some()
        || stream.voice.is_some()
        || stream.fork.is_some()
        || wants_digits(stream, config)
}

struct Added {
    packets: u64,
    bytes: u64,
    octets: u64,
}

fn add_to_counters(counters: &mut Counters, new: &Added) {
    counters.packets_in += new.packets;
    counters.packets_out += new.packets;
    counters.bytes_in += new.bytes;
    counters.bytes_out += new.bytes;
    counters.forwarded_rtp += new.packets;
    counters.offloaded_rtp += new.packets;
}

fn add_to_source(
    from: &mut Stream,
    rule: &OffloadRule,
    counts: &OffloadCounts,
    new: &Added,
    last_at: Instant,
) {
    let OffloadCounts { highest, transit, jitter, .. } = *counts;
    from.reception.counted_elsewhere(rule.ssrc, new.packets, highest, transit, jitter);
    from.last_packet_at = from.last_packet_at.max(Some(last_at));
    from.silent_since = from.silent_since.max(last_at);
    if from.rtp.address == Some(rule.source) {
        // Not told packet by packet: that is no pause.
        from.rtp.last_at = from.rtp.last_at.max(last_at);
    }
    from.quality.last_sound_at = from.quality.last_sound_at.max(counts.sound_at);
}

/// How silence is told from sound by the bits of a sample (ITU-T G.711): the low seven, exclusive or the first, are
/// its magnitude; from the second on it is sound.
fn sound_of(codec: Codec) -> (u8, u8) {
    let mask = if codec == Codec::Pcma { 0x55 } else { 0xFF };
    let table = codec::table(codec);
    let loud = |magnitude: &u8| table[usize::from(magnitude ^ mask)].saturating_abs() >= SOUND_PEAK_MIN;
    (mask, (0..128).find(loud).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitudes_tell_sound_as_decoding_does() {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            let (mask, min) = sound_of(codec);
            for byte in 0..=255_u8 {
                let decoded = codec::table(codec)[usize::from(byte)].saturating_abs() >= SOUND_PEAK_MIN;
                assert_eq!((byte ^ mask) & 0x7F >= min, decoded, "{codec:?} {byte}");
            }
        }
    }
}
