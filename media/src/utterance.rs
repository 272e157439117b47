//! Pieces of speech for a recogniser of words: what somebody says until they pause, or a few seconds of it.

use crate::amd::FRAME;
use std::sync::Arc;

/// The longest piece: 6 s. Announcements say what they mean by then.
const FRAMES_MAX: usize = 300;
/// Less voice than this is not worth asking about: 0.7 s.
const VOICED_MIN: usize = 35;
/// A pause that ends a piece: 0.7 s.
const PAUSE_FRAMES: usize = 35;
/// What was heard just before the first voice belongs to it: 200 ms.
const LEAD_FRAMES: usize = 10;

/// Collects pieces of one stream.
#[derive(Clone, Debug)]
pub(crate) struct Catcher {
    samples: Vec<i16>,
    voiced: usize,
    silent: usize,
    /// Pieces that may still be given.
    left: u32,
}

impl Catcher {
    /// At most `pieces` are given.
    pub(crate) fn new(pieces: u32) -> Self {
        Catcher { samples: Vec::new(), voiced: 0, silent: 0, left: pieces }
    }

    /// Nothing more is given.
    pub(crate) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Feeds the next 20 ms; gives a piece when it is over. `voice`: somebody speaks.
    pub(crate) fn frame(&mut self, samples: &[i16; FRAME], voice: bool) -> Option<Arc<[i16]>> {
        if self.left == 0 {
            return None;
        }
        self.samples.extend_from_slice(samples);
        if voice {
            self.voiced += 1;
            self.silent = 0;
        } else {
            self.silent += 1;
        }
        if self.voiced == 0 {
            let surplus = self.samples.len().saturating_sub(LEAD_FRAMES * FRAME);
            self.samples.drain(..surplus);
            return None;
        }
        let over = self.silent >= PAUSE_FRAMES || self.samples.len() >= FRAMES_MAX * FRAME;
        if !over {
            return None;
        }
        let piece = std::mem::take(&mut self.samples);
        let enough = self.voiced >= VOICED_MIN;
        (self.voiced, self.silent) = (0, 0);
        self.left -= u32::from(enough);
        enough.then(|| piece.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths of the pieces, in frames, and at which frame each came.
    fn pieces(catcher: &mut Catcher, parts: &[(bool, usize)]) -> Vec<(usize, usize)> {
        let voices = parts.iter().flat_map(|(voice, frames)| std::iter::repeat_n(*voice, *frames));
        let given = |(at, voice)| Some((catcher.frame(&[0; FRAME], voice)?.len() / FRAME, at + 1));
        voices.enumerate().filter_map(given).collect()
    }

    #[test]
    fn a_piece_ends_with_a_pause_or_after_six_seconds_and_begins_a_little_before_the_voice() {
        let mut catcher = Catcher::new(2);
        let given = pieces(&mut catcher, &[(false, 100), (true, 60), (false, 34), (true, 20), (false, 60)]);
        assert_eq!(given, [(10 + 60 + 34 + 20 + 35, 249)]);
        assert_eq!(pieces(&mut catcher, &[(true, 1000)])[0].0, 300);
        assert!(catcher.is_done());
        assert_eq!(pieces(&mut catcher, &[(true, 1000)]), []);
    }

    #[test]
    fn a_cough_is_no_piece() {
        let mut catcher = Catcher::new(1);
        assert_eq!(pieces(&mut catcher, &[(true, 20), (false, 60), (true, 30), (false, 60)]), []);
        assert!(!catcher.is_done());
    }
}
