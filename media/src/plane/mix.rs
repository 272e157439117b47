//! Mixing: what a stream hears is a set of other streams, and not its peer alone.
//!
//! ```text
//!   listen     customer ◄─relay─► agent     supervisor hears {customer, agent}
//!   whisper    customer ◄─relay── agent     agent hears {customer, supervisor}
//!   barge      customer hears {agent, supervisor}, agent hears {customer, supervisor}, …
//!   conference everyone hears everyone else
//! ```
//! Whoever hears a set is sent frames of our own making, 20 ms each; whoever does not goes on hearing the peer, by
//! the relay. Sound is decoded once per source and summed once per listener.

use super::Plane;
use crate::jitter::{FRAME_SAMPLES_MAX, Jitter};
use crate::player::FRAME_SAMPLES;
use crate::presses::Presses;
use crate::{Stream, StreamKey};
use sansio::{Instant, Slab};

/// Streams one stream hears at most.
pub const MIX_SOURCES_MAX: usize = 32;

/// A stream that others hear in a mix.
#[derive(Debug)]
pub(crate) struct Voice {
    pub(crate) jitter: Jitter,
    /// The same with twice as many samples, for a peer that can be told them.
    pub(crate) wide: Option<Box<Jitter>>,
    /// Who hears it.
    listeners: Vec<StreamKey>,
}

impl Plane {
    /// Makes a stream hear these streams together, and nobody else, until [`Plane::unmix`] or another set. An empty
    /// set is silence. Streams that are not open, the stream itself and what goes beyond [`MIX_SOURCES_MAX`] are
    /// left out. A prompt is heard instead of the set while it plays, a beep with it.
    pub fn mix(&mut self, now: Instant, stream: StreamKey, sources: &[StreamKey]) {
        if let Some(state) = self.streams.get_mut(stream) {
            state.translated = false;
        }
        self.mix_set(now, stream, sources);
    }

    pub(super) fn mix_set(&mut self, now: Instant, stream: StreamKey, sources: &[StreamKey]) {
        if !self.streams.contains(stream) {
            return;
        }
        let mut wanted: Vec<StreamKey> = Vec::with_capacity(sources.len().min(MIX_SOURCES_MAX));
        for source in sources {
            let fits = wanted.len() < MIX_SOURCES_MAX && *source != stream && !wanted.contains(source);
            if fits && self.streams.contains(*source) {
                wanted.push(*source);
            }
        }
        let before = self.streams.get_mut(stream).and_then(|state| state.mix.take());
        for source in before.into_iter().flatten() {
            if !wanted.contains(&source) {
                self.no_longer_heard(source, stream);
            }
        }
        for source in &wanted {
            self.is_now_heard(*source, stream);
        }
        if let Some(state) = self.streams.get_mut(stream) {
            state.mix = Some(wanted);
        }
        self.needs_tick(now, stream);
        self.touch(stream);
    }

    /// A stream hears its peer again, if it has one.
    pub fn unmix(&mut self, now: Instant, stream: StreamKey) {
        self.unmix_set(stream);
        self.settle_translation(now, stream);
    }

    pub(super) fn unmix_set(&mut self, stream: StreamKey) {
        let Some(before) = self.streams.get_mut(stream).and_then(|state| state.mix.take()) else { return };
        if let Some(state) = self.streams.get_mut(stream) {
            state.translated = false;
        }
        for source in before {
            self.no_longer_heard(source, stream);
        }
        self.touch(stream);
    }

    /// What comes from a stream is heard by nobody, nor recorded, while muted; silence goes on in its place.
    pub fn mute(&mut self, stream: StreamKey, muted: bool) {
        if let Some(state) = self.streams.get_mut(stream) {
            state.muted = muted;
            self.touch(stream);
        }
    }

    /// Takes a stream out of all mixes: it hears its peer again, and those who heard it in a set do not.
    pub fn leave_mix(&mut self, now: Instant, stream: StreamKey) {
        self.unmix_set(stream);
        let voice = self.streams.get_mut(stream).and_then(|state| {
            state.widen(false);
            state.voice.take()
        });
        for listener in voice.into_iter().flat_map(|voice| voice.listeners) {
            if let Some(mix) = self.streams.get_mut(listener).and_then(|state| state.mix.as_mut()) {
                mix.retain(|source| *source != stream);
            }
        }
        self.voices.retain(|key| *key != stream);
        self.settle_translation(now, stream);
        self.touch(stream);
    }

    /// Presses digits for the far end to hear, one after the other, `duration_ms` each (40..=8,000): as events
    /// (RFC 4733) where it agreed to them, else as tones. Other characters than `0`–`9`, `*`, `#`, `A`–`D` are left
    /// out. Other sound waits meanwhile.
    pub fn press(&mut self, now: Instant, stream: StreamKey, digits: &str, duration_ms: u32) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        let presses = state.presses.get_or_insert_with(|| Box::new(Presses::default()));
        digits.chars().for_each(|digit| presses.add(digit, duration_ms));
        if presses.is_done() {
            state.presses = None;
            return;
        }
        self.needs_tick(now, stream);
        self.touch(stream);
    }

    /// The next frame of each source; once per tick.
    pub(super) fn next_voices(&mut self) {
        for key in &self.voices {
            if let Some(voice) = self.streams.get_mut(*key).and_then(|state| state.voice.as_mut()) {
                voice.jitter.next_frame();
                if let Some(wide) = &mut voice.wide {
                    wide.next_frame();
                }
            }
        }
    }

    fn is_now_heard(&mut self, source: StreamKey, by: StreamKey) {
        let Some(state) = self.streams.get_mut(source) else { return };
        let first = state.voice.is_none();
        let voice = state.voice.get_or_insert_with(|| {
            Box::new(Voice { jitter: Jitter::new(), wide: None, listeners: Vec::new() })
        });
        if !voice.listeners.contains(&by) {
            voice.listeners.push(by);
        }
        if first {
            self.voices.push(source);
            self.touch(source);
        }
    }

    fn no_longer_heard(&mut self, source: StreamKey, by: StreamKey) {
        let Some(state) = self.streams.get_mut(source) else { return };
        let Some(voice) = &mut state.voice else { return };
        voice.listeners.retain(|listener| *listener != by);
        if voice.listeners.is_empty() {
            state.voice = None;
            state.widen(false);
            self.voices.retain(|key| *key != source);
            self.touch(source);
        }
    }

    pub(super) fn audit_mixes(&self, findings: &mut Vec<String>) {
        let mut voices = 0;
        for (key, stream) in self.streams.iter() {
            for source in stream.mix.iter().flatten() {
                let voice = self.streams.get(*source).and_then(|source| source.voice.as_ref());
                if voice.is_none_or(|voice| !voice.listeners.contains(&key)) {
                    findings.push(format!("stream {key:?} hears {source:?}, which does not know"));
                }
            }
            let Some(voice) = &stream.voice else { continue };
            voices += 1;
            let hears = |listener: &StreamKey| {
                let mix = self.streams.get(*listener).and_then(|stream| stream.mix.as_ref());
                mix.is_some_and(|mix| mix.contains(&key))
            };
            if voice.listeners.is_empty() || !voice.listeners.iter().all(hears) {
                findings.push(format!("stream {key:?} is said to be heard by who does not hear it"));
            }
        }
        if voices != self.voices.len() {
            findings.push("the list of mixed sources and the streams disagree".into());
        }
    }
}

/// What a translated stream hears of its peer, 16,000 samples a second, where both codings carry that.
pub(super) fn wide(
    streams: &Slab<Stream>,
    listener: StreamKey,
    frame: &mut [i16; FRAME_SAMPLES_MAX],
) -> bool {
    let Some(state) = streams.get(listener).filter(|stream| stream.translated) else { return false };
    let Some([speaker]) = state.mix.as_deref() else { return false };
    let voice = streams.get(*speaker).and_then(|speaker| speaker.voice.as_ref());
    let Some(wide) = voice.and_then(|voice| voice.wide.as_ref()) else { return false };
    *frame = *wide.wide_frame();
    true
}

/// Sums what a stream hears. False: it hears its peer.
pub(super) fn sum(streams: &Slab<Stream>, listener: StreamKey, frame: &mut [i16; FRAME_SAMPLES]) -> bool {
    let Some(mix) = streams.get(listener).and_then(|stream| stream.mix.as_ref()) else { return false };
    let mut wide = [0_i32; FRAME_SAMPLES];
    for source in mix {
        let Some(voice) = streams.get(*source).and_then(|source| source.voice.as_ref()) else { continue };
        for (sum, sample) in wide.iter_mut().zip(voice.jitter.frame()) {
            *sum += i32::from(*sample);
        }
    }
    for (sample, sum) in frame.iter_mut().zip(wide) {
        *sample = sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
    }
    true
}
