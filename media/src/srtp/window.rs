//! Which numbers were seen: the replay list of RFC 3711 §3.3.2.

/// The highest number, and which of the 128 up to it were seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Window {
    highest: Option<u64>,
    /// Bit n: the number n below the highest.
    seen: u128,
}

impl Window {
    pub(super) const fn new() -> Self {
        Window { highest: None, seen: 0 }
    }

    pub(super) const fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Not seen yet, and not so old that it may have been.
    pub(super) fn is_new(&self, number: u64) -> bool {
        let Some(highest) = self.highest else { return true };
        match highest.checked_sub(number) {
            None => true,
            Some(age) => age < 128 && self.seen >> age & 1 == 0,
        }
    }

    pub(super) fn note(&mut self, number: u64) {
        let Some(highest) = self.highest else {
            (self.highest, self.seen) = (Some(number), 1);
            return;
        };
        match number.checked_sub(highest) {
            Some(ahead) => {
                self.seen = if ahead < 128 { self.seen << ahead | 1 } else { 1 };
                self.highest = Some(number);
            }
            None => {
                let age = highest - number;
                if age < 128 {
                    self.seen |= 1 << age;
                }
            }
        }
    }
}
