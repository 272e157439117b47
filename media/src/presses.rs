//! Digits that we send: RFC 4733 events, or tones where the far end did not agree to events.

use crate::dsp::oscillator::{Oscillator, mix};
use crate::player::FRAME_SAMPLES;
use std::collections::VecDeque;

/// Digits waiting at once; more are dropped.
pub(crate) const PRESSES_MAX: usize = 64;
/// Frames from one digit to the next: 60 ms (ITU-T Q.24 asks for 40 at least).
const GAP_FRAMES: u8 = 3;
/// RFC 4733 §2.5.1.4: the end is told three times.
const ENDS: u8 = 3;
/// Level of an event and of each tone, dBm0.
const LEVEL_DBM0: f32 = -10.0;
/// RFC 4733 §3.2 table 3, in the order of the codes.
const DIGITS: &[u8; 16] = b"0123456789*#ABCD";

/// What is still to be pressed.
#[derive(Debug, Default)]
pub(crate) struct Presses {
    waiting: VecDeque<(u8, u16)>,
    current: Option<Press>,
    gap: u8,
}

#[derive(Debug)]
struct Press {
    code: u8,
    /// In all, and so far.
    frames: u16,
    elapsed: u16,
    ends: u8,
    tones: [Oscillator; 2],
}

/// What to send in one tick.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing: the pause between two digits.
    Pause,
    /// An event's packet; `first` begins it.
    Event { first: bool, payload: [u8; 4], samples: u32 },
    /// A frame of tones.
    Tones(Box<[i16; FRAME_SAMPLES]>),
}

/// The code of a digit.
pub(crate) fn code_of(digit: char) -> Option<u8> {
    let digit = digit.to_ascii_uppercase();
    DIGITS.iter().position(|known| char::from(*known) == digit).map(|code| code as u8)
}

impl Presses {
    /// Adds a digit of so many milliseconds.
    pub(crate) fn add(&mut self, digit: char, duration_ms: u32) {
        if let Some(code) = code_of(digit)
            && self.waiting.len() < PRESSES_MAX
        {
            self.waiting.push_back((code, (duration_ms.clamp(40, 8_000) / 20) as u16));
        }
    }

    /// Nothing is left to be sent.
    pub(crate) fn is_done(&self) -> bool {
        self.current.is_none() && self.waiting.is_empty() && self.gap == 0
    }

    /// One tick. `events`: the far end takes them.
    pub(crate) fn step(&mut self, events: bool) -> Step {
        if self.gap > 0 {
            self.gap -= 1;
            return Step::Pause;
        }
        if self.current.is_none() {
            self.current = self.waiting.pop_front().map(|(code, frames)| Press::new(code, frames));
        }
        let Some(press) = &mut self.current else { return Step::Pause };
        let (step, over) = if events { press.event() } else { press.tones() };
        if over {
            self.current = None;
            self.gap = GAP_FRAMES;
        }
        step
    }
}

impl Press {
    fn new(code: u8, frames: u16) -> Self {
        const LOW: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
        const HIGH: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
        // Row and column of each code on a telephone's keys (ITU-T Q.23).
        const PLACES: [(usize, usize); 16] = [
            (3, 1),
            (0, 0),
            (0, 1),
            (0, 2),
            (1, 0),
            (1, 1),
            (1, 2),
            (2, 0),
            (2, 1),
            (2, 2),
            (3, 0),
            (3, 2),
            (0, 3),
            (1, 3),
            (2, 3),
            (3, 3),
        ];
        let (row, column) = PLACES[usize::from(code & 0x0F)];
        let tones = [Oscillator::new(LOW[row], LEVEL_DBM0), Oscillator::new(HIGH[column], LEVEL_DBM0)];
        Press { code, frames, elapsed: 0, ends: 0, tones }
    }

    fn event(&mut self) -> (Step, bool) {
        let first = self.elapsed == 0;
        self.elapsed = (self.elapsed + 1).min(self.frames);
        let ended = self.elapsed >= self.frames;
        self.ends += u8::from(ended);
        let samples = u32::from(self.elapsed) * FRAME_SAMPLES as u32;
        let [high, low] = u16::try_from(samples).unwrap_or(u16::MAX).to_be_bytes();
        let flags = if ended { 0x80 } else { 0 } | (-LEVEL_DBM0) as u8;
        let step = Step::Event { first, payload: [self.code, flags, high, low], samples };
        (step, self.ends >= ENDS)
    }

    fn tones(&mut self) -> (Step, bool) {
        let mut frame = Box::new([0_i16; FRAME_SAMPLES]);
        for sample in frame.iter_mut() {
            for tone in &mut self.tones {
                *sample = mix(*sample, tone.next_sample());
            }
        }
        self.elapsed += 1;
        (Step::Tones(frame), self.elapsed >= self.frames)
    }
}
