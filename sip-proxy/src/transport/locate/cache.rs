//! Answers of the domain name system, for as long as they may be believed.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use sansio::Instant;

use super::{Answer, Naptr, Question, Srv};

/// Answers are believed at least so long, so that a TTL of 0 is no flood of questions …
const TTL_MIN: Duration = Duration::from_secs(5);
/// … and at most so long, whatever they say.
const TTL_MAX: Duration = Duration::from_secs(86_400);
/// That there is nothing is believed no longer than this (RFC 2308 §5 leaves it to us).
const NOTHING_MAX: Duration = Duration::from_secs(60);
/// When asking fails: what was known is used on for so long before it is asked for again (RFC 8767 §5) …
const STALE: Duration = Duration::from_secs(30);
/// … and without any knowledge so long.
const FAILED: Duration = Duration::from_secs(5);
/// Before an answer becomes too old, by this share of its time, it is asked for again while it is still used.
const EARLY: f64 = 0.1;
/// Entries; beyond, the first in order that is too old is forgotten, or just the first.
const ENTRIES_MAX: usize = 8192;

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    Naptr(Vec<Naptr>),
    Srv(Vec<Srv>),
    Addresses(Vec<IpAddr>),
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: BTreeMap<Question, Entry>,
}

#[derive(Debug)]
struct Entry {
    known: Option<Known>,
    /// Is believed until then.
    until: Instant,
    /// Is asked for again from then on.
    again: Instant,
    asked: bool,
}

impl Cache {
    /// What is known; a question is added to `ask` when it is not known, or will soon be too old.
    pub(super) fn known(
        &mut self,
        now: Instant,
        question: &Question,
        ask: &mut Vec<Question>,
    ) -> Option<Known> {
        let entry = self.entry(now, question);
        if now >= entry.again && !entry.asked {
            entry.asked = true;
            ask.push(question.clone());
        }
        if now < entry.until { entry.known.clone() } else { None }
    }

    /// Takes an answer, whoever has asked.
    pub(super) fn answer(&mut self, now: Instant, question: &Question, answer: Answer, ttl: Duration) {
        let entry = self.entry(now, question);
        entry.asked = false;
        let ttl = ttl.clamp(TTL_MIN, TTL_MAX);
        let (known, ttl) = match (answer, question) {
            (Answer::Naptr(records), Question::Naptr(_)) if !records.is_empty() => {
                (Known::Naptr(records), ttl)
            }
            (Answer::Srv(records), Question::Srv(_)) if !records.is_empty() => (Known::Srv(records), ttl),
            (Answer::Addresses(addresses), Question::A(_) | Question::Aaaa(_)) if !addresses.is_empty() => {
                (Known::Addresses(addresses), ttl)
            }
            (Answer::Failed, _) => match entry.known.take() {
                Some(known) => (known, STALE),
                None => (Known::Nothing, FAILED),
            },
            _ => (Known::Nothing, ttl.min(NOTHING_MAX)),
        };
        entry.known = Some(known);
        entry.until = now + ttl;
        entry.again = now + ttl.mul_f64(1.0 - EARLY);
    }

    pub(super) fn asked(&self) -> usize {
        self.entries.values().filter(|entry| entry.asked).count()
    }

    fn entry(&mut self, now: Instant, question: &Question) -> &mut Entry {
        if !self.entries.contains_key(question) {
            self.make_room(now);
            let entry = Entry { known: None, until: now, again: now, asked: false };
            self.entries.insert(question.clone(), entry);
        }
        self.entries.get_mut(question).expect("it is there now")
    }

    fn make_room(&mut self, now: Instant) {
        if self.entries.len() < ENTRIES_MAX {
            return;
        }
        let old = self.entries.iter().find(|(_, entry)| now >= entry.until && !entry.asked);
        let gone = old.or_else(|| self.entries.iter().next()).map(|(question, _)| question.clone());
        if let Some(gone) = gone {
            self.entries.remove(&gone);
        }
    }
}
