//! A fork: what one far end says and hears, given out frame by frame, and what someone outside says to it.
//!
//! ```text
//!   what it says  (inbound)  ──► jitter ─┐ one frame of each per tick
//!   what it hears (outbound) ──► jitter ─┴► ForkOp::Sound ──► outside
//!   outside ──► speech queue ──► played to it like a prompt, or over what is relayed to it (under ──► jitter);
//!               marks come back when they are reached
//! ```

use crate::ForkWish;
use crate::jitter::Jitter;
use crate::player::FRAME_SAMPLES;
use std::collections::VecDeque;

/// What from outside may wait to be played: 120 s at 8,000 Hz.
const SPEECH_SAMPLES_MAX: usize = 120 * 8_000;
/// Marks that may wait.
const MARKS_MAX: usize = 256;
/// Speech begins when so much of it waits (60 ms), so that its packets may come unevenly …
const PREFILL_SAMPLES: usize = 3 * FRAME_SAMPLES;
/// … or, of what is shorter, after so many ticks.
const PREFILL_TICKS: u8 = 3;
/// After speech has run dry silence goes on for so many ticks (200 ms), before others are heard again.
const DRY_TICKS_MAX: u8 = 10;

/// One stream's fork.
#[derive(Debug)]
pub(crate) struct Fork {
    pub(crate) id: u64,
    inbound: Option<Jitter>,
    outbound: Option<Jitter>,
    /// What is relayed to the far end, where speech is mixed over it.
    under: Option<Jitter>,
    /// Frames since the start, those lost to late ticks included.
    pub(crate) frames: u64,
    pub(crate) speech: Speech,
}

/// One tick's sound of a fork: what was asked for of both directions.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) frame: u64,
    pub(crate) inbound: Option<Box<[i16; FRAME_SAMPLES]>>,
    pub(crate) outbound: Option<Box<[i16; FRAME_SAMPLES]>>,
}

impl Fork {
    pub(crate) fn new(wish: &ForkWish) -> Self {
        Fork {
            id: wish.id,
            inbound: wish.inbound.then(Jitter::new),
            outbound: wish.outbound.then(Jitter::new),
            under: wish.mix.then(Jitter::new),
            frames: 0,
            speech: Speech::default(),
        }
    }

    /// Where what the far end says goes.
    pub(crate) fn inbound(&mut self) -> Option<&mut Jitter> {
        self.inbound.as_mut()
    }

    /// Where what is relayed to the far end goes.
    pub(crate) fn outbound(&mut self) -> Option<&mut Jitter> {
        self.outbound.as_mut()
    }

    /// Where what would be relayed to the far end goes, spoken to or not.
    pub(crate) fn under(&mut self) -> Option<&mut Jitter> {
        self.under.as_mut()
    }

    /// Puts the next frame of what is said from outside into what the far end hears, over what is `mixed` there or would
    /// be relayed, if so wanted. `None`: nothing is said. Else what it hears without that.
    pub(crate) fn say(
        &mut self,
        samples: &mut [i16; FRAME_SAMPLES],
        mixed: bool,
    ) -> Option<[i16; FRAME_SAMPLES]> {
        // In step with the ticks, whether anything is said or not.
        let relayed = self.under.as_mut().map(|under| {
            under.next_frame();
            *under.frame()
        });
        let mut said = [0; FRAME_SAMPLES];
        if !self.speech.frame(&mut said) {
            return None;
        }
        let under = match relayed {
            None => [0; FRAME_SAMPLES],
            Some(_) if mixed => *samples,
            Some(relayed) => relayed,
        };
        for ((sample, said), under) in samples.iter_mut().zip(said).zip(under) {
            *sample = said.saturating_add(under);
        }
        Some(under)
    }

    /// The tick's frames. `own`: what the plane itself has just said to the far end, in place of what is relayed.
    pub(crate) fn take(&mut self, own: Option<&[i16; FRAME_SAMPLES]>) -> Taken {
        let frame = self.frames;
        self.frames += 1;
        let next = |jitter: &mut Jitter| {
            jitter.next_frame();
            Box::new(*jitter.frame())
        };
        let inbound = self.inbound.as_mut().map(next);
        let relayed = self.outbound.as_mut().map(next);
        let outbound = relayed.map(|relayed| own.map_or(relayed, |own| Box::new(*own)));
        Taken { frame, inbound, outbound }
    }
}

/// What someone outside says.
#[derive(Debug, Default)]
pub(crate) struct Speech {
    samples: VecDeque<i16>,
    /// Samples played or cleared so far.
    played: u64,
    /// Marks, each with the sample before which all must be played.
    marks: VecDeque<(u64, String)>,
    speaking: bool,
    ticks: u8,
}

impl Speech {
    /// Adds sound. Gives the samples for which there was no room.
    pub(crate) fn add(&mut self, samples: &[i16]) -> usize {
        let room = SPEECH_SAMPLES_MAX - self.samples.len();
        let kept = samples.len().min(room);
        self.samples.extend(&samples[..kept]);
        samples.len() - kept
    }

    /// Adds a mark behind what waits. False: too many wait.
    pub(crate) fn mark(&mut self, name: String) -> bool {
        if self.marks.len() >= MARKS_MAX {
            return false;
        }
        self.marks.push_back((self.played + self.samples.len() as u64, name));
        true
    }

    /// Forgets what waits; its marks are reached.
    pub(crate) fn clear(&mut self) {
        self.played += self.samples.len() as u64;
        self.samples.clear();
        self.speaking = false;
        self.ticks = 0;
    }

    /// It is being heard instead of others.
    pub(crate) fn is_speaking(&self) -> bool {
        self.speaking
    }

    /// The next mark that is reached.
    pub(crate) fn reached(&mut self) -> Option<String> {
        let (at, _) = self.marks.front()?;
        (*at <= self.played).then(|| self.marks.pop_front().map(|(_, name)| name)).flatten()
    }

    /// Fills the next frame. False: there is nothing to say.
    pub(crate) fn frame(&mut self, frame: &mut [i16; FRAME_SAMPLES]) -> bool {
        if !self.speaking {
            if self.samples.is_empty() {
                self.ticks = 0;
                return false;
            }
            self.ticks += 1;
            if self.samples.len() < PREFILL_SAMPLES && self.ticks < PREFILL_TICKS {
                return false;
            }
            self.speaking = true;
            self.ticks = 0;
        }
        frame.fill(0);
        let count = self.samples.len().min(FRAME_SAMPLES);
        for (place, sample) in frame.iter_mut().zip(self.samples.drain(..count)) {
            *place = sample;
        }
        self.played += count as u64;
        self.ticks = if count == 0 { self.ticks + 1 } else { 0 };
        if self.ticks >= DRY_TICKS_MAX {
            (self.speaking, self.ticks) = (false, 0);
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_reached_when_what_is_before_them_was_played() {
        let mut speech = Speech::default();
        let mut frame = [0; FRAME_SAMPLES];
        assert!(speech.mark("at once".into()));
        assert_eq!(speech.reached().as_deref(), Some("at once"));
        assert_eq!(speech.add(&[7; 500]), 0);
        assert!(speech.mark("end".into()));
        for _ in 0..3 {
            assert!(speech.frame(&mut frame));
            assert_eq!(speech.reached(), None);
        }
        assert!(speech.frame(&mut frame));
        assert_eq!(frame[19..21], [7, 0]);
        assert_eq!(speech.reached().as_deref(), Some("end"));
        assert_eq!(speech.reached(), None);
    }

    #[test]
    fn what_is_short_begins_late_and_silence_follows_before_others_are_heard() {
        let mut speech = Speech::default();
        let mut frame = [0; FRAME_SAMPLES];
        speech.add(&[7; 160]);
        let spoken: Vec<bool> = (0..14).map(|_| speech.frame(&mut frame)).collect();
        assert_eq!(spoken.iter().position(|spoken| *spoken), Some(2));
        assert_eq!(spoken.iter().filter(|spoken| **spoken).count(), 10);
        assert!(!speech.is_speaking());
    }

    #[test]
    fn clearing_reaches_all_marks_and_what_waits_is_bounded() {
        let mut speech = Speech::default();
        assert_eq!(speech.add(&vec![7; SPEECH_SAMPLES_MAX + 5]), 5);
        assert_eq!(speech.add(&[7]), 1);
        (0..MARKS_MAX).for_each(|_| assert!(speech.mark("m".into())));
        assert!(!speech.mark("one too many".into()));
        assert_eq!(speech.reached(), None);
        speech.clear();
        assert_eq!((0..).map_while(|_: u32| speech.reached()).count(), MARKS_MAX);
        assert!(!speech.frame(&mut [0; FRAME_SAMPLES]));
    }
}
