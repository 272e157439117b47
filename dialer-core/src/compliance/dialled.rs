//! How often each number was dialled within 24 hours, whichever lead, list or campaign it was dialled for.

use super::number_key;
use crate::screen::nth_last;
use crate::tenant::Tenant;
use sansio::WallTime;
use std::collections::{BTreeMap, VecDeque};

/// So long a dial counts, milliseconds: 24 hours.
const SPAN_MS: i64 = 24 * 3_600_000;

/// The numbers dialled within 24 hours. About 60 bytes each; one tenant's do not count for another.
#[derive(Debug, Default)]
pub(crate) struct DialledNumbers {
    of: BTreeMap<Tenant, Dialled>,
}

#[derive(Debug, Default)]
struct Dialled {
    /// When, oldest first.
    by_number: BTreeMap<u64, Vec<WallTime>>,
    /// All, in the order in which they were told.
    in_order: VecDeque<(WallTime, u64)>,
}

impl DialledNumbers {
    /// A number is dialled. What is no E.164 number is not counted.
    pub(crate) fn note(&mut self, tenant: Tenant, number: &str, at: WallTime) {
        let Some(key) = number_key(number) else { return };
        let dialled = self.of.entry(tenant).or_default();
        dialled.forget(at);
        dialled.by_number.entry(key).or_default().push(at);
        dialled.in_order.push_back((at, key));
    }

    /// When a number that was dialled `most` times or more may be dialled again; `None`: now.
    pub(crate) fn not_before(
        &self,
        tenant: &Tenant,
        number: &str,
        most: u32,
        now: WallTime,
    ) -> Option<WallTime> {
        let dialled = self.of.get(tenant)?;
        free_at(dialled.by_number.get(&number_key(number)?)?, most).filter(|at| *at > now)
    }

    /// Numbers that were dialled `most` times or more, and when they may be again.
    pub(crate) fn full(&self, tenant: &Tenant, most: u32, now: WallTime) -> BTreeMap<u64, WallTime> {
        let Some(dialled) = self.of.get(tenant) else { return BTreeMap::new() };
        let full = dialled.by_number.iter().filter_map(|(key, times)| Some((*key, free_at(times, most)?)));
        full.filter(|(_, at)| *at > now).collect()
    }
}

/// When there is room for one more than the last `most` of them.
fn free_at(times: &[WallTime], most: u32) -> Option<WallTime> {
    Some(nth_last(times, most)?.plus_millis(SPAN_MS))
}

impl Dialled {
    fn forget(&mut self, now: WallTime) {
        while let Some((at, key)) = self.in_order.front().copied()
            && at.plus_millis(SPAN_MS) <= now
        {
            self.in_order.pop_front();
            if let Some(times) = self.by_number.get_mut(&key) {
                times.remove(0);
                if times.is_empty() {
                    self.by_number.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_full_until_its_oldest_dial_is_a_day_old() {
        let at = WallTime::from_unix_millis;
        let mut numbers = DialledNumbers::default();
        let number = "+12025550101";
        let ours = Tenant::default();
        numbers.note(ours.clone(), number, at(1_000));
        assert_eq!(numbers.not_before(&ours, number, 2, at(2_000)), None);
        numbers.note(ours.clone(), number, at(2_000));
        numbers.note(ours.clone(), "not a number", at(2_000));
        assert_eq!(numbers.not_before(&ours, number, 2, at(3_000)), Some(at(1_000 + SPAN_MS)));
        assert_eq!(numbers.not_before(&ours, number, 1, at(3_000)), Some(at(2_000 + SPAN_MS)));
        assert_eq!(numbers.full(&ours, 2, at(3_000)).len(), 1);
        assert_eq!(numbers.not_before(&ours, number, 2, at(1_000 + SPAN_MS)), None);
        let other = Tenant::new("other").expect("a good name");
        assert_eq!(numbers.not_before(&other, number, 1, at(3_000)), None, "another tenant's");
        // The first is forgotten by then, and so is the second.
        numbers.note(ours.clone(), "+12025550102", at(2_000 + SPAN_MS));
        assert!(numbers.full(&ours, 1, at(2_000 + SPAN_MS)).len() == 1);
        assert_eq!(numbers.of[&ours].by_number.len(), 1);
    }
}
