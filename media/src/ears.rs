//! From packets to frames for whoever listens.

use crate::amd::{AmdConfig, Detector, FRAME, Judgement};
use crate::early_media::{EarlyMedia, Heard};
use crate::{Codec, codec};
use sansio::Instant;

/// Samples the sound may be behind or ahead of the clock before silence is put in or sound left out (100 ms).
const SLACK_SAMPLES: u64 = 800;
/// Silence put in at most at once (10 s): the clock was not looked at for long.
const CATCH_UP_SAMPLES_MAX: u64 = 80_000;

/// One listener on one stream: its time runs with the clock, whatever packets come.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) started_at: Instant,
    /// Samples heard, silence put in for lost ones included.
    heard: u64,
    frame: [i16; FRAME],
    filled: usize,
    task: Task,
}

#[derive(Debug)]
enum Task {
    Amd(Box<dyn Detector>),
    EarlyMedia(Box<EarlyMedia>),
}

/// What a listener has found out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Finding {
    /// The last thing an answering-machine detector says.
    Amd(Judgement),
    EarlyMedia(Heard),
}

impl Listening {
    pub(crate) fn amd(now: Instant, config: &AmdConfig) -> Self {
        Self::new(now, Task::Amd(config.detector()))
    }

    pub(crate) fn early_media(now: Instant) -> Self {
        Self::new(now, Task::EarlyMedia(Box::default()))
    }

    fn new(started_at: Instant, task: Task) -> Self {
        Listening { started_at, heard: 0, frame: [0; FRAME], filled: 0, task }
    }

    pub(crate) fn is_amd(&self) -> bool {
        matches!(self.task, Task::Amd(_))
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
        for &byte in payload {
            match self.sample(table[usize::from(byte)]) {
                None => {}
                Some(judgement @ Finding::Amd(_)) => return Some(judgement),
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
        for _ in 0..behind.min(CATCH_UP_SAMPLES_MAX) {
            match self.sample(0) {
                None => {}
                Some(judgement @ Finding::Amd(_)) => return Some(judgement),
                later => finding = later,
            }
        }
        finding
    }

    #[inline]
    fn sample(&mut self, sample: i16) -> Option<Finding> {
        self.frame[self.filled] = sample;
        self.filled += 1;
        self.heard += 1;
        if self.filled < FRAME {
            return None;
        }
        self.filled = 0;
        match &mut self.task {
            Task::Amd(detector) => detector.frame(&self.frame).map(Finding::Amd),
            Task::EarlyMedia(ears) => ears.frame(&self.frame).map(Finding::EarlyMedia),
        }
    }

    fn elapsed(&self, now: Instant) -> u64 {
        (now.since(self.started_at).as_nanos() / 125_000) as u64
    }
}
