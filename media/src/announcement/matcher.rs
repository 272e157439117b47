//! Is what is heard one of those that were taught?

use super::print::Printer;
use super::{Announcement, AnnouncementClass, Book, HOP_SAMPLES};
use std::collections::VecDeque;
use std::sync::Arc;

/// Words compared at a time: 2.4 s. Announcements say what they mean within a few seconds and are repeated.
const BLOCK: usize = 120;
/// Of these so many must not be silent (1.4 s), …
const LOUD_MIN: usize = 70;
/// … and are compared so often: every 200 ms.
const LOOK_EVERY: usize = 10;
/// Bits that may differ, as a share: those of unrelated sounds differ by half, of unrelated speech rarely by less than
/// 0.42.
const DIFFERENT_MAX: f32 = 0.33;
/// By how much an announcement that means something else must fit worse.
const CLEARER_BY: f32 = 0.05;
/// Words looked at first; where more of their bits differ than [`GLANCE_MAX`], the place is left at once.
const GLANCE: usize = 12;
const GLANCE_MAX: f32 = 0.42;

/// An announcement was heard.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Found {
    /// Its place in [`Book::announcements`].
    pub announcement: usize,
    /// What it means.
    pub class: AnnouncementClass,
    /// 0..=1: 1 when no bit differs, 0 when half of them do.
    pub confidence: f32,
}

/// Listens to one stream.
#[derive(Clone, Debug)]
pub struct Matcher {
    book: Arc<Book>,
    printer: Printer,
    heard: VecDeque<Option<u32>>,
    since_look: usize,
}

impl Matcher {
    /// A listener that knows what is in `book`.
    #[must_use]
    pub fn new(book: Arc<Book>) -> Self {
        let printer = Printer::new(&book.tables);
        Matcher { book, printer, heard: VecDeque::with_capacity(BLOCK), since_look: 0 }
    }

    /// Feeds the next 20 ms. What was found is told each time that it is looked for and found.
    pub fn frame(&mut self, samples: &[i16; HOP_SAMPLES]) -> Option<Found> {
        if self.heard.len() == BLOCK {
            self.heard.pop_front();
        }
        self.heard.push_back(self.printer.frame(samples));
        self.since_look += 1;
        if self.heard.len() < BLOCK || self.since_look < LOOK_EVERY {
            return None;
        }
        self.since_look = 0;
        self.look()
    }

    fn look(&self) -> Option<Found> {
        let mut loud = [(0, 0); BLOCK];
        let mut count = 0;
        for (place, word) in self.heard.iter().enumerate().filter_map(|(place, word)| Some((place, (*word)?)))
        {
            loud[count] = (place, word);
            count += 1;
        }
        let loud = &loud[..count];
        if count < LOUD_MIN {
            return None;
        }
        let mut best: Option<(usize, AnnouncementClass, f32)> = None;
        // The best of all that mean something else than the best.
        let mut other = 1.0_f32;
        for (number, announcement) in self.book.announcements.iter().enumerate() {
            let limit = best.map_or(DIFFERENT_MAX, |(_, _, least)| least + CLEARER_BY);
            let Some(different) = nearest(announcement, loud, limit) else { continue };
            match best {
                Some((_, class, least)) if different >= least => {
                    if class != announcement.class {
                        other = other.min(different);
                    }
                }
                _ => {
                    if let Some((_, class, least)) = best
                        && class != announcement.class
                    {
                        other = least;
                    }
                    best = Some((number, announcement.class, different));
                }
            }
        }
        let (announcement, class, different) = best?;
        (different <= DIFFERENT_MAX && other - different >= CLEARER_BY).then_some(Found {
            announcement,
            class,
            confidence: 1.0 - 2.0 * different,
        })
    }
}

/// The share of bits that differ at the place that fits best, if not more than `limit`.
fn nearest(announcement: &Announcement, loud: &[(usize, u32)], limit: f32) -> Option<f32> {
    let bits = |count: usize, share: f32| (count as f32 * 32.0 * share) as u32;
    let stride = loud.len() / GLANCE;
    let glance_max = bits(GLANCE, GLANCE_MAX);
    let mut least = bits(loud.len(), limit) + 1;
    let places = announcement.words.len().checked_sub(BLOCK - 1)?;
    for place in 0..places {
        let words = &announcement.words[place..place + BLOCK];
        let differ = |&(at, word): &(usize, u32)| (words[at] ^ word).count_ones();
        if loud.iter().step_by(stride).take(GLANCE).map(differ).sum::<u32>() > glance_max {
            continue;
        }
        least = least.min(loud.iter().map(differ).sum());
    }
    (least <= bits(loud.len(), limit)).then(|| least as f32 / (loud.len() as f32 * 32.0))
}
