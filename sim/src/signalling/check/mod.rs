//! What must always be true, held against what goes over the wire and through the doors.

mod book;
mod wire;

pub(crate) use book::Book;
pub(crate) use wire::{Road, TrunkLimits, Wire};

use sansio::Instant;

/// Violations kept of one run; after the first the others seldom tell more.
const KEPT: usize = 8;

/// A broken promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// When.
    pub at: Instant,
    /// Which promise, in a few words that are the same for every run.
    pub rule: &'static str,
    /// By what.
    pub detail: String,
}

/// All that was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) list: Vec<Violation>,
}

impl Findings {
    pub(crate) fn add(&mut self, at: Instant, rule: &'static str, detail: String) {
        if self.list.len() < KEPT {
            self.list.push(Violation { at, rule, detail });
        }
    }
}
