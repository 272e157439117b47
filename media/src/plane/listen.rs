//! Who listens to a stream, and what comes of it.

use super::Plane;
use crate::amd::{AmdHeard, Judgement};
use crate::announcement::Book;
use crate::early_media::Heard;
use crate::ears::{Finding, Listening};
use crate::{Codec, Ears, Event, Output, Stream, StreamKey};
use sansio::{Instant, Outbox};
use std::sync::Arc;

impl Plane {
    /// The announcements that are known to whoever begins to listen from now on.
    pub fn set_announcements(&mut self, announcements: Arc<Book>) {
        self.announcements = announcements;
    }

    /// Sets what is listened for on the stream, from now on. Without [`Ears::amd`] a running detection ends
    /// unsaid; [`Ears::early_media`] begins at once unless a detection is running.
    pub fn listen(&mut self, now: Instant, stream: StreamKey, ears: Ears) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        state.ears = ears;
        let running_amd = state.listening.as_ref().is_some_and(|listening| listening.is_amd());
        let running_early = state.listening.is_some() && !running_amd;
        if (running_amd && ears.amd.is_none()) || (running_early && !ears.early_media) {
            state.listening = None;
        }
        if state.listening.is_none() && ears.early_media {
            let listening = Listening::early_media(now, &self.announcements, ears.tones);
            state.listening =
                Some(Box::new(if self.config.utterances { listening.catching() } else { listening }));
        }
        self.touch(stream);
    }

    /// The call is answered: ends listening to early media, and starts answering-machine detection if
    /// [`Ears::amd`] is set (and none is running). One [`Event::AmdVerdict`] follows, perhaps more of what it says.
    pub fn amd_start(&mut self, now: Instant, stream: StreamKey) {
        let Some(state) = self.streams.get_mut(stream) else { return };
        state.ears.early_media = false;
        if state.listening.as_ref().is_some_and(|listening| listening.is_amd()) {
            return;
        }
        let utterances = self.config.utterances;
        state.listening = state.ears.amd.map(|config| {
            let listening = Listening::amd(now, &config, &self.announcements);
            Box::new(if utterances { listening.catching() } else { listening })
        });
        if state.listening.is_some() {
            self.needs_tick(now, stream);
        }
        self.touch(stream);
    }

    /// The name of an announcement by its place in the book.
    #[must_use]
    pub fn announcement_name(&self, place: usize) -> Option<Arc<str>> {
        self.announcements.announcements().get(place).map(|announcement| Arc::clone(&announcement.name))
    }

    pub(super) fn hear(
        &mut self,
        now: Instant,
        key: StreamKey,
        codec: Codec,
        payload: &[u8],
        out: &mut Outbox<Output>,
    ) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let finding = stream.listening.as_mut().and_then(|ears| ears.hear(now, codec, payload));
        found(now, key, stream, finding, out);
    }
}

/// Silence is heard too: called by the tick.
pub(super) fn catch_up(now: Instant, key: StreamKey, stream: &mut Stream, out: &mut Outbox<Output>) {
    let finding = stream.listening.as_mut().and_then(|ears| ears.catch_up(now));
    found(now, key, stream, finding, out);
}

/// Tells what was found, if anything, and lets a listener go that has said all it can.
fn found(
    now: Instant,
    key: StreamKey,
    stream: &mut Stream,
    finding: Option<Finding>,
    out: &mut Outbox<Output>,
) {
    if let Some(finding) = finding {
        report(now, key, stream, finding, out);
    }
    if let Some(samples) = stream.listening.as_mut().and_then(|listening| listening.take_caught()) {
        out.push(Output::Event(Event::Utterance { stream: key, owner: stream.owner, samples }));
    }
    if stream.listening.as_deref().is_some_and(Listening::is_over) {
        stream.listening = None;
    }
}

fn report(now: Instant, key: StreamKey, stream: &mut Stream, finding: Finding, out: &mut Outbox<Output>) {
    let owner = stream.owner;
    let event = match finding {
        Finding::Amd(heard) => {
            let started_at = stream.listening.as_ref().map_or(now, |listening| listening.started_at);
            let after_answer_ms = now.millis_since(started_at) as u32;
            match heard {
                AmdHeard::Verdict(Judgement { verdict, cause, confidence }) => {
                    Event::AmdVerdict { stream: key, owner, verdict, cause, confidence, after_answer_ms }
                }
                AmdHeard::Turn(cue) => Event::Turn { stream: key, owner, cue, after_answer_ms },
            }
        }
        Finding::EarlyMedia(heard) => {
            let Heard { class, confidence, announcement } = heard;
            Event::EarlyMedia { stream: key, owner, class, confidence, announcement }
        }
    };
    out.push(Output::Event(event));
}
