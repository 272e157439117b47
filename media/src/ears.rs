//! From packets to frames for whoever listens.

use crate::amd::vad::{Activity, Vad};
use crate::amd::{AmdConfig, AmdHeard, Detector, FRAME};
use crate::announcement::Book;
use crate::dsp::dtmf::{HeardDigit, InBand};
use crate::dsp::level::level_dbm0;
use crate::early_media::{EarlyMedia, Heard, TonePlan};
use crate::rtp::Header;
use crate::rtp::stats::Step;
use crate::utterance::Catcher;
use crate::{Codec, codec};
use sansio::{Duration, Instant};
use std::sync::Arc;

/// Samples the sound may be behind or ahead of the clock before silence is put in or sound left out (100 ms).
const SLACK_SAMPLES: u64 = 800;
/// Silence put in at most at once (10 s): the clock was not looked at for long.
const CATCH_UP_SAMPLES_MAX: u64 = 80_000;

/// Pieces of what is said behind the answer that are given out …
const PIECES: u32 = 2;
/// … within so long (15 s).
const CATCH_SAMPLES_MAX: u64 = 120_000;
/// A voice behind the answer: so far over the noise floor, and never quieter than this, dBm0.
const VOICE_OVER_FLOOR_DB: f32 = 9.0;
const VOICE_MIN_DBM0: f32 = -48.0;

/// One listener on one stream: its time runs with the clock, whatever packets come.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) started_at: Instant,
    /// Samples heard, silence put in for lost ones included.
    heard: u64,
    frame: [i16; FRAME],
    filled: usize,
    task: Task,
    /// Catches what is said behind the answer.
    catcher: Option<(Catcher, Vad)>,
    /// A piece that was caught and not yet told.
    caught: Option<Arc<[i16]>>,
}

#[derive(Debug)]
enum Task {
    Amd(Box<dyn Detector>),
    EarlyMedia(Box<EarlyMedia>),
}

/// What a listener has found out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Finding {
    /// What an answering-machine detector says; it may be the last.
    Amd(AmdHeard),
    EarlyMedia(Heard),
}

impl Listening {
    pub(crate) fn amd(now: Instant, config: &AmdConfig, announcements: &Arc<Book>) -> Self {
        Self::new(now, Task::Amd(config.detector(announcements)))
    }

    /// Catches what is said, for who understands words. Behind the answer it goes on when the verdict is told.
    pub(crate) fn catching(mut self) -> Self {
        match &mut self.task {
            Task::Amd(_) => {
                self.catcher = Some((Catcher::new(PIECES), Vad::new(VOICE_OVER_FLOOR_DB, VOICE_MIN_DBM0)));
            }
            Task::EarlyMedia(ears) => **ears = std::mem::take(&mut **ears).catching(),
        }
        self
    }

    /// What was caught since this was last asked.
    pub(crate) fn take_caught(&mut self) -> Option<Arc<[i16]>> {
        self.caught.take()
    }

    pub(crate) fn early_media(now: Instant, announcements: &Arc<Book>, tones: TonePlan) -> Self {
        Self::new(now, Task::EarlyMedia(Box::new(EarlyMedia::new(announcements).by(tones))))
    }

    fn new(started_at: Instant, task: Task) -> Self {
        Listening { started_at, heard: 0, frame: [0; FRAME], filled: 0, task, catcher: None, caught: None }
    }

    pub(crate) fn is_amd(&self) -> bool {
        matches!(self.task, Task::Amd(_))
    }

    /// Nothing more will come of it.
    pub(crate) fn is_over(&self) -> bool {
        let catches = self.heard < CATCH_SAMPLES_MAX
            && self.catcher.as_ref().is_some_and(|(catcher, _)| !catcher.is_done());
        matches!(&self.task, Task::Amd(detector) if detector.is_over()) && !catches
    }

    /// Feeds a packet's sound.
    pub(crate) fn hear(&mut self, now: Instant, from: Codec, payload: &[u8]) -> Option<Finding> {
        let mut finding = self.catch_up(now);
        if matches!(finding, Some(Finding::Amd(_))) {
            return finding;
        }
        let room = (self.elapsed(now) + SLACK_SAMPLES).saturating_sub(self.heard);
        let payload = &payload[..payload.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        let table = codec::table(from);
        let mut sound = payload;
        while !sound.is_empty() {
            let (next, rest) = sound.split_at(sound.len().min(FRAME - self.filled));
            for (place, byte) in self.frame[self.filled..].iter_mut().zip(next) {
                *place = table[usize::from(*byte)];
            }
            sound = rest;
            match self.more(next.len()) {
                None => {}
                Some(said @ Finding::Amd(_)) => return Some(said),
                later => finding = later,
            }
        }
        finding
    }

    /// Puts in silence for what has not come.
    pub(crate) fn catch_up(&mut self, now: Instant) -> Option<Finding> {
        let behind = self.elapsed(now).saturating_sub(self.heard + SLACK_SAMPLES);
        if behind > CATCH_UP_SAMPLES_MAX {
            self.heard += behind - CATCH_UP_SAMPLES_MAX;
        }
        let mut finding = None;
        let mut missing = behind.min(CATCH_UP_SAMPLES_MAX) as usize;
        while missing > 0 {
            let next = missing.min(FRAME - self.filled);
            self.frame[self.filled..][..next].fill(0);
            missing -= next;
            match self.more(next) {
                None => {}
                Some(said @ Finding::Amd(_)) => return Some(said),
                later => finding = later,
            }
        }
        finding
    }

    /// So many samples more are in the frame; at most as many as there was room for.
    fn more(&mut self, samples: usize) -> Option<Finding> {
        self.filled += samples;
        self.heard += samples as u64;
        if self.filled < FRAME {
            return None;
        }
        self.filled = 0;
        match &mut self.task {
            Task::Amd(detector) => {
                if let Some((catcher, vad)) = &mut self.catcher {
                    let level = level_dbm0(&self.frame);
                    let voice = vad.frame(level, level) == Activity::Voice;
                    self.caught = catcher.frame(&self.frame, voice).or(self.caught.take());
                }
                if detector.is_over() { None } else { detector.frame(&self.frame).map(Finding::Amd) }
            }
            Task::EarlyMedia(ears) => {
                let heard = ears.frame(&self.frame).map(Finding::EarlyMedia);
                self.caught = ears.utterance(&self.frame).or(self.caught.take());
                heard
            }
        }
    }

    fn elapsed(&self, now: Instant) -> u64 {
        (now.since(self.started_at).as_nanos() / 125_000) as u64
    }
}

/// A press is over when no sound has come for this long (a far end that suppresses silence).
const NO_MORE_SOUND: Duration = Duration::from_millis(100);

/// Listens for digits in a stream's sound, packet by packet.
#[derive(Debug, Default)]
pub(crate) struct InBandEar {
    detector: InBand,
    /// Timestamp the next packet has if none is lost.
    next_timestamp: Option<u32>,
}

impl InBandEar {
    /// Feeds a packet. At most one digit can end in the 120 ms that one may hold.
    pub(crate) fn hear(
        &mut self,
        header: &Header,
        step: Step,
        from: Codec,
        payload: &[u8],
    ) -> Option<HeardDigit> {
        // Its place is taken by the gap it left.
        if step == Step::Late {
            return None;
        }
        if self.next_timestamp.is_some_and(|next| next != header.timestamp) {
            self.detector.gap();
        }
        self.next_timestamp = Some(header.timestamp.wrapping_add(payload.len() as u32));
        let table = codec::table(from);
        self.detector.hear(payload, |byte| table[usize::from(byte)])
    }

    pub(crate) fn pressing(&self) -> bool {
        self.detector.pressing()
    }

    /// Ends a press when its sound has stopped.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        last_packet_at: Option<Instant>,
    ) -> Option<HeardDigit> {
        let stopped = last_packet_at.is_none_or(|last| now.since(last) >= NO_MORE_SOUND);
        if stopped { self.detector.finish() } else { None }
    }
}
