//! Which counts of which nonces have been used: a recorded request cannot be played back.

use std::collections::BTreeMap;

/// Counts below the highest that may still come (datagrams overtake each other), in bits of the window.
const WINDOW: u32 = 32;

/// Counts used of one nonce.
#[derive(Debug, Clone, Copy)]
struct Used {
    highest: u32,
    /// Bit `n` is set when `highest - n` has been used.
    window: u32,
}

/// A bounded table of nonces that were used with a right password. Nobody who does not know a password gets
/// anything into it, so a stranger can neither fill it nor use up another's counts.
///
/// When it is full, the oldest nonce goes, and with it every nonce made no later: they count as used up, and who
/// comes with one gets a new one (`stale=true`).
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// By the second in which the nonce was made, and its code.
    nonces: BTreeMap<(u64, u64), Used>,
    /// Nonces made up to this second are used up unless they stand in the table.
    forgotten_until: Option<u64>,
}

impl Counts {
    /// Takes a count of a nonce; false when it has been used before, or nobody can say whether it has.
    pub(super) fn take(&mut self, made: u64, code: u64, count: u32, nonces_max: usize) -> bool {
        if let Some(used) = self.nonces.get_mut(&(made, code)) {
            return used.take(count);
        }
        if count == 0 || self.forgotten_until.is_some_and(|until| made <= until) {
            return false;
        }
        while self.nonces.len() >= nonces_max.max(1) {
            let Some(((oldest, _), _)) = self.nonces.pop_first() else { break };
            self.forgotten_until = self.forgotten_until.max(Some(oldest));
        }
        if self.forgotten_until.is_some_and(|until| made <= until) {
            return false;
        }
        self.nonces.insert((made, code), Used { highest: count, window: 1 });
        true
    }

    /// Forgets nonces made before this second: they are too old anyway.
    pub(super) fn forget_before(&mut self, second: u64) {
        while self.nonces.first_key_value().is_some_and(|((made, _), _)| *made < second) {
            self.nonces.pop_first();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.nonces.len()
    }
}

impl Used {
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let ahead = count - self.highest;
            self.window = if ahead < WINDOW { self.window << ahead | 1 } else { 1 };
            self.highest = count;
            return true;
        }
        let behind = self.highest - count;
        if count == 0 || behind >= WINDOW || self.window & (1 << behind) != 0 {
            return false;
        }
        self.window |= 1 << behind;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_is_good_once() {
        let mut counts = Counts::default();
        for (count, good) in [
            (0, false),
            (5, true),
            (5, false),
            (4, true),
            (4, false),
            (6, true),
            (1, true),
            (1, false),
            (0, false),
            (40, true),
            (9, true),
            (8, false),
            (9, false),
            (u32::MAX, true),
            (u32::MAX, false),
            (40, false),
            (u32::MAX - 31, true),
            (u32::MAX - 32, false),
        ] {
            assert_eq!(counts.take(1, 1, count, 10), good, "{count}");
        }
        assert!(counts.take(1, 2, 5, 10), "another nonce has counts of its own");
    }

    #[test]
    fn a_full_table_forgets_the_oldest_and_takes_nothing_back() {
        let mut counts = Counts::default();
        for made in 0..100 {
            assert!(counts.take(made, 7, 1, 10));
            assert!(counts.len() <= 10);
        }
        for made in 0..100 {
            assert!(!counts.take(made, 7, 1, 10), "played back: {made}");
        }
        // Not in the table, but as old as what was forgotten.
        assert!(!counts.take(89, 8, 1, 10));
        assert!(counts.take(95, 7, 2, 10));
        counts.forget_before(95);
        assert_eq!(counts.len(), 5);
    }
}
