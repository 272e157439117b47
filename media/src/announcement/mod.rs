//! Network announcements (空号, 关机, 停机, …) known by their sound: an operator teaches each carrier's recording once.
//!
//! The sound becomes a line of 32-bit words, one every 20 ms, that say how the energies of neighbouring bands change
//! from one word to the next (`print.rs`); noise, level and codec change few of their bits. What is heard before the
//! answer is compared with all that was taught, at every place, a few times a second (`matcher.rs`). The idea is the
//! general one of audio fingerprints (Haitsma and Kalker, "A Highly Robust Audio Fingerprinting System", ISMIR 2002).
//!
//! Two announcements may begin or end alike ("the number you have dialled …"). So one is believed only when it fits
//! clearly better than every other that means something else; while they sound the same nothing is said.

mod matcher;
mod print;

pub use matcher::{Found, Matcher};
use print::{Printer, Tables};

use crate::EarlyMediaClass;
use core::fmt;
use std::sync::Arc;

/// Samples between two words: 20 ms.
pub const HOP_SAMPLES: usize = 160;
/// The most words of all announcements together: half an hour. Looking through them takes time for every call.
pub const BOOK_WORDS_MAX: usize = 90_000;
/// The shortest sound that can be taught: what is compared must fit in.
pub const SHORTEST_MS: u64 = 2_000;
/// The longest.
pub const LONGEST_MS: u64 = 60_000;
/// Of each announcement so much must be louder than silence.
pub const SOUND_SHARE_MIN: f32 = 0.3;

/// What an announcement means.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AnnouncementClass {
    /// The number does not exist (空号).
    InvalidNumber,
    /// Service suspended (停机).
    Suspended,
    /// Powered off (关机).
    PowerOff,
    /// Out of reach (无法接通).
    Unreachable,
    /// In another call (通话中).
    InCall,
    /// Busy (用户正忙).
    Busy,
    /// Nobody answers (无人接听).
    NoAnswer,
    /// The line forbids incoming calls (呼入限制).
    CallForbidden,
    /// The network is congested (网络忙).
    Congestion,
    /// Music or words instead of the ringing tone (彩铃): the phone rings.
    ColouredRingback,
    /// An assistant that asks who is calling. Known behind the answer too.
    Screening,
}

impl AnnouncementClass {
    /// All of them.
    pub const ALL: [AnnouncementClass; 11] = [
        AnnouncementClass::InvalidNumber,
        AnnouncementClass::Suspended,
        AnnouncementClass::PowerOff,
        AnnouncementClass::Unreachable,
        AnnouncementClass::InCall,
        AnnouncementClass::Busy,
        AnnouncementClass::NoAnswer,
        AnnouncementClass::CallForbidden,
        AnnouncementClass::Congestion,
        AnnouncementClass::ColouredRingback,
        AnnouncementClass::Screening,
    ];

    /// Its name in folders, events and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            AnnouncementClass::InvalidNumber => "invalid_number",
            AnnouncementClass::Suspended => "suspended",
            AnnouncementClass::PowerOff => "power_off",
            AnnouncementClass::Unreachable => "unreachable",
            AnnouncementClass::InCall => "in_call",
            AnnouncementClass::Busy => "busy",
            AnnouncementClass::NoAnswer => "no_answer",
            AnnouncementClass::CallForbidden => "call_forbidden",
            AnnouncementClass::Congestion => "congestion",
            AnnouncementClass::ColouredRingback => "coloured_ringback",
            AnnouncementClass::Screening => "screening",
        }
    }

    /// The class of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<AnnouncementClass> {
        AnnouncementClass::ALL.into_iter().find(|class| class.as_str() == name)
    }
}

impl From<AnnouncementClass> for EarlyMediaClass {
    fn from(class: AnnouncementClass) -> Self {
        match class {
            AnnouncementClass::InvalidNumber => EarlyMediaClass::InvalidNumber,
            AnnouncementClass::Suspended => EarlyMediaClass::Suspended,
            AnnouncementClass::PowerOff => EarlyMediaClass::PowerOff,
            AnnouncementClass::Unreachable => EarlyMediaClass::Unreachable,
            AnnouncementClass::InCall => EarlyMediaClass::InCall,
            AnnouncementClass::Busy => EarlyMediaClass::Busy,
            AnnouncementClass::NoAnswer => EarlyMediaClass::NoAnswer,
            AnnouncementClass::CallForbidden => EarlyMediaClass::CallForbidden,
            AnnouncementClass::Congestion => EarlyMediaClass::Congestion,
            AnnouncementClass::ColouredRingback => EarlyMediaClass::ColouredRingback,
            AnnouncementClass::Screening => EarlyMediaClass::Screening,
        }
    }
}

/// Why a sound cannot be taught.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnnouncementError {
    /// Shorter than [`SHORTEST_MS`].
    TooShort,
    /// Longer than [`LONGEST_MS`].
    TooLong,
    /// Less than [`SOUND_SHARE_MIN`] of it is louder than silence.
    Silent,
    /// All together would be longer than [`BOOK_WORDS_MAX`].
    BookFull,
}

impl fmt::Display for AnnouncementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AnnouncementError::TooShort => "it is shorter than 2 seconds",
            AnnouncementError::TooLong => "it is longer than 60 seconds",
            AnnouncementError::Silent => "most of it is silence",
            AnnouncementError::BookFull => "all announcements together are longer than half an hour",
        })
    }
}

impl std::error::Error for AnnouncementError {}

/// One announcement that was taught.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Its name, unique in a book: the file's.
    pub name: Arc<str>,
    /// What it means.
    pub class: AnnouncementClass,
    /// Its words, one every 20 ms.
    words: Box<[u32]>,
}

/// All announcements that were taught. Shared by all calls of a node.
#[derive(Clone, Debug, Default)]
pub struct Book {
    announcements: Vec<Announcement>,
    words: usize,
    tables: Tables,
}

impl Book {
    /// Adds an announcement: linear PCM at 8,000 Hz.
    ///
    /// # Errors
    /// [`AnnouncementError`]; the book is as it was.
    pub fn teach(
        &mut self,
        name: impl Into<Arc<str>>,
        class: AnnouncementClass,
        samples: &[i16],
    ) -> Result<(), AnnouncementError> {
        let duration_ms = samples.len() as u64 / 8;
        if duration_ms < SHORTEST_MS {
            return Err(AnnouncementError::TooShort);
        }
        if duration_ms > LONGEST_MS {
            return Err(AnnouncementError::TooLong);
        }
        if self.words + samples.len() / HOP_SAMPLES > BOOK_WORDS_MAX {
            return Err(AnnouncementError::BookFull);
        }
        let mut printer = Printer::new(&self.tables);
        let (frames, _) = samples.as_chunks::<HOP_SAMPLES>();
        let words: Vec<_> = frames.iter().map(|frame| printer.frame(frame)).collect();
        let loud = words.iter().filter(|word| word.is_some()).count();
        if (loud as f32) < SOUND_SHARE_MIN * frames.len() as f32 {
            return Err(AnnouncementError::Silent);
        }
        self.words += words.len();
        let words = words.into_iter().map(Option::unwrap_or_default).collect();
        self.announcements.push(Announcement { name: name.into(), class, words });
        Ok(())
    }

    /// Nothing was taught.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.announcements.is_empty()
    }

    /// Screening assistants are among what was taught.
    #[must_use]
    pub fn knows_screening(&self) -> bool {
        self.announcements.iter().any(|known| known.class == AnnouncementClass::Screening)
    }

    /// How many were taught.
    #[must_use]
    pub fn len(&self) -> usize {
        self.announcements.len()
    }

    /// All of them, in the order in which they were taught.
    #[must_use]
    pub fn announcements(&self) -> &[Announcement] {
        &self.announcements
    }

    /// What a whole sound is, if it was taught: the first that is found in it. Linear PCM at 8,000 Hz.
    #[must_use]
    pub fn find(self: &Arc<Self>, samples: &[i16]) -> Option<Found> {
        let mut matcher = Matcher::new(Arc::clone(self));
        let (frames, _) = samples.as_chunks::<HOP_SAMPLES>();
        frames.iter().find_map(|frame| matcher.frame(frame))
    }
}

#[cfg(test)]
mod tests;
