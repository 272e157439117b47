//! Two far ends whose sound is coded in different ways: each hears the other as a mix of one voice, which is decoded,
//! put in order, and coded anew. Where both speak G.711, or the same other coding, there is nothing of this.

use super::Plane;
use super::packet::Incoming;
use crate::coded::Inner;
use crate::rtp::{HEADER_BYTES, Header};
use crate::{Codec, Coded, Output, Stream, StreamKey};
use sansio::{Instant, Outbox};

impl Plane {
    /// Called whenever a stream, its peer or what either hears may have changed.
    pub(super) fn settle_translation(&mut self, now: Instant, stream: StreamKey) {
        let peer = self.peer(stream);
        for listener in [Some(stream), peer].into_iter().flatten() {
            let Some(state) = self.streams.get(listener) else { continue };
            let wanted = state.peer.filter(|speaker| self.is_foreign(state, *speaker));
            match wanted {
                // Who hears a set hears its peer in it, or is not to hear it.
                Some(_) if state.mix.is_some() && !state.translated => {}
                Some(speaker) if state.mix.as_deref() == Some(&[speaker]) => {
                    self.settle_width(listener, speaker)
                }
                Some(speaker) => {
                    self.mix_set(now, listener, &[speaker]);
                    if let Some(state) = self.streams.get_mut(listener) {
                        state.translated = true;
                    }
                    self.settle_width(listener, speaker);
                }
                None if state.translated => {
                    self.unmix_set(listener);
                    if let Some(state) = self.streams.get_mut(listener) {
                        state.sender.forget_source();
                    }
                }
                None => {}
            }
        }
    }

    /// Where both codings carry more than 4 kHz, so does what goes from one to the other.
    fn settle_width(&mut self, listener: StreamKey, speaker: StreamKey) {
        let is_wide = |stream: &Stream| stream.coded().is_some_and(Coded::is_wide);
        let both = [listener, speaker].iter().all(|key| self.streams.get(*key).is_some_and(is_wide));
        if let Some(speaker) = self.streams.get_mut(speaker) {
            speaker.widen(both);
        }
    }

    /// What the speaker says is coded in a way that the listener did not agree on.
    fn is_foreign(&self, listener: &Stream, speaker: StreamKey) -> bool {
        let speaker = self.streams.get(speaker).and_then(|speaker| speaker.remote);
        let (Some(hears), Some(says)) = (listener.remote, speaker) else { return false };
        hears.coded != says.coded
    }

    /// Lets those who listen to a stream hear a packet that is not G.711.
    pub(super) fn listen_to_coded(
        &mut self,
        now: Instant,
        key: StreamKey,
        incoming: &Incoming,
        packet: &[u8],
        out: &mut Outbox<Output>,
    ) {
        let Some(transcoder) = self.streams.get_mut(key).and_then(|stream| stream.transcoder.as_mut()) else {
            return;
        };
        let mut inner: Inner = [0; _];
        let payload = &packet[incoming.header.payload()];
        if let Some(length) = transcoder.recover(&incoming.header, payload, &mut inner) {
            self.counters.recovered += 1;
            self.hear_wide(key, incoming.header.ssrc);
            self.listen_to_inner(now, key, incoming, &inner[..length], out);
        }
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(transcoder) = &mut stream.transcoder else { return };
        let Some(length) = transcoder.read(&incoming.header, payload, &mut inner) else {
            let recording = stream.recording;
            return self.note_undecodable(recording);
        };
        self.counters.transcoded += 1;
        self.hear_wide(key, incoming.header.ssrc);
        self.listen_to_inner(now, key, incoming, &inner[..length], out);
    }

    /// Lets a peer that can be told all of it hear what was read last.
    fn hear_wide(&mut self, key: StreamKey, ssrc: u32) {
        let Some(stream) = self.streams.get_mut(key).filter(|stream| !stream.muted) else { return };
        if let (Some(transcoder), Some(voice)) = (&stream.transcoder, &mut stream.voice)
            && let (Some((timestamp, sound)), Some(wide)) = (transcoder.wide_sound(), &mut voice.wide)
        {
            wide.push_samples((ssrc, timestamp), sound.iter().copied());
        }
    }

    /// Lets them hear it as G.711.
    fn listen_to_inner(
        &mut self,
        now: Instant,
        key: StreamKey,
        incoming: &Incoming,
        inner: &[u8],
        out: &mut Outbox<Output>,
    ) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(header) = Header::read(inner) else { return };
        let (recording, listening, muted) = (stream.recording, stream.listening.is_some(), stream.muted);
        let sound = &inner[HEADER_BYTES..];
        if super::packet::wants_digits(stream, &self.config) {
            let incoming = Incoming { header, ..*incoming };
            self.hear_digits(now, key, &incoming, Codec::Pcmu, inner, out);
        }
        if listening {
            self.hear(now, key, Codec::Pcmu, sound, out);
        }
        self.hear_voice(key, &header, Codec::Pcmu, sound);
        if self.forks > 0 {
            self.hear_forks(key, &header, Codec::Pcmu, sound);
        }
        if let Some(recording) = recording.filter(|_| !muted) {
            self.record(now, recording, &header, Codec::Pcmu, sound);
        }
    }

    /// The far end is silent and says what its silence sounds like (RFC 3389 §3.1: a level in -dBov).
    pub(super) fn hear_noise(&mut self, key: StreamKey, payload: &[u8]) {
        let stream = self.streams.get_mut(key).filter(|stream| !stream.muted);
        if let Some(voice) = stream.and_then(|stream| stream.voice.as_mut()) {
            let level = payload.first().copied().unwrap_or(u8::MAX);
            voice.jitter.comfort(level);
            if let Some(wide) = &mut voice.wide {
                wide.comfort(level);
            }
        }
    }
}
