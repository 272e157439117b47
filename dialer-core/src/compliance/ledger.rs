//! Live and abandoned answers of one campaign, over the windows a campaign can choose.

use crate::config::AbandonWindow;
use crate::pacing::ledger::{Count, Ledger as Windows, WindowKind, WindowRule};
use crate::pacing::{CapStyle, WindowCount};
use core::time::Duration;
use sansio::WallTime;

/// The counts of one campaign. Every window is kept, so that a change of the campaign's window is exact at once.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    windows: Windows,
}

const KEPT: [AbandonWindow; 2] = [AbandonWindow::Hours24, AbandonWindow::Days30];

impl Ledger {
    pub(crate) fn new(now: WallTime) -> Self {
        let rules = KEPT.map(|window| WindowRule {
            kind: WindowKind::Rolling { seconds: (window.millis() / 1000) as u32 },
            cap: 1.0,
            style: CapStyle::Average,
            of_group: false,
        });
        Ledger { windows: Windows::new(&rules, now).expect("two windows are few") }
    }

    /// Enters a live answer.
    pub(crate) fn enter(&mut self, at: WallTime, abandoned: bool) {
        self.windows.live(at);
        if abandoned {
            self.windows.abandoned(at);
        }
    }

    /// The counts of a window that ends now.
    pub(crate) fn count(&mut self, window: AbandonWindow, now: WallTime) -> Count {
        self.windows.advance(now);
        let place = KEPT.iter().position(|kept| *kept == window).expect("every window is kept");
        self.windows.counts().nth(place).map(|(_, count)| count).expect("as many as were made")
    }

    /// A window as the pacer wants it. `left`: for how long dialling will still go on.
    pub(crate) fn window(
        &mut self,
        window: AbandonWindow,
        (cap, style): (f64, CapStyle),
        left: Option<Duration>,
        now: WallTime,
    ) -> WindowCount {
        let count = self.count(window, now);
        WindowCount { live: count.live, abandoned: count.abandoned, cap, style, left, of_group: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_leave_the_day_before_the_month() {
        let at = |minutes: i64| WallTime::from_unix_millis(1_790_000_000_000 + minutes * 60_000);
        let mut ledger = Ledger::new(at(0));
        ledger.enter(at(0), true);
        ledger.enter(at(0), false);
        ledger.enter(at(60), false);
        let mut count = |window, minutes| ledger.count(window, at(minutes));
        assert_eq!(count(AbandonWindow::Hours24, 61), Count { live: 3, abandoned: 1 });
        assert_eq!(count(AbandonWindow::Hours24, 24 * 60 - 1), Count { live: 3, abandoned: 1 });
        assert_eq!(count(AbandonWindow::Hours24, 24 * 60 + 1), Count { live: 1, abandoned: 0 });
        assert_eq!(count(AbandonWindow::Days30, 24 * 60 + 1), Count { live: 3, abandoned: 1 });
        assert_eq!(count(AbandonWindow::Days30, 31 * 24 * 60), Count::default());
    }
}
