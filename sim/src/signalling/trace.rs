//! What happened: a hash over all of it, and its last lines in words.

use sansio::Instant;
use std::collections::VecDeque;
use std::fmt::{self, Write};

/// Lines kept of a run that nobody watches.
const LINES_MAX: usize = 400;

/// The story of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    lines: VecDeque<String>,
    /// Prints every line as it happens.
    watch: bool,
}

impl Trace {
    pub(crate) fn new(watch: bool) -> Self {
        Trace { hash: 0xCBF2_9CE4_8422_2325, lines: VecDeque::new(), watch }
    }

    /// Adds a line to the ladder.
    pub(crate) fn note(&mut self, now: Instant, line: fmt::Arguments<'_>) {
        let ms = now.as_millis();
        if self.watch {
            println!("{:>6}.{:03} {line}", ms / 1000, ms % 1000);
        }
        let mut text = if self.lines.len() == LINES_MAX {
            let mut old = self.lines.pop_front().unwrap_or_default();
            old.clear();
            old
        } else {
            String::new()
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "{:>6}.{:03} {line}", ms / 1000, ms % 1000);
        self.lines.push_back(text);
    }

    /// Bytes that went in or came out.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
        let mut word = [0; 8];
        word[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
        self.word(u64::from_le_bytes(word) ^ (bytes.len() as u64) << 56);
    }

    /// A number that matters.
    pub(crate) fn word(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517C_C1B7_2722_0A95);
    }

    /// A thing that went in or came out.
    pub(crate) fn thing(&mut self, thing: &dyn fmt::Debug) {
        // The hash takes everything; it cannot fail.
        let _ = write!(Sink(self), "{thing:?}");
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The last lines, oldest first.
    pub(crate) fn tail(&self, lines: usize) -> Vec<String> {
        self.lines.iter().skip(self.lines.len().saturating_sub(lines)).cloned().collect()
    }
}

struct Sink<'a>(&'a mut Trace);

impl Write for Sink<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.bytes(text.as_bytes());
        Ok(())
    }
}
