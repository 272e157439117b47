//! Live and abandoned answers of one campaign, over the windows a campaign can choose.

use crate::config::AbandonWindow;
use crate::pacing::ledger::{Count, Ledger as Windows, WindowKind, WindowRule, month_start};
use crate::pacing::{CapStyle, WindowCount};
use core::time::Duration;
use sansio::WallTime;
use std::collections::VecDeque;

/// The counts of one campaign. Every window is kept, so that a change of the campaign's window is exact at once.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    /// The last 24 hours, the last 30 days, and the present one of the successive 30 days since the campaign was made.
    windows: Windows,
    /// What a calendar month is counted from: no month anywhere begins within a quarter of an hour.
    quarters: Quarters,
}

const DAY_S: u32 = 86_400;
const HOURS_24: usize = 0;
const DAYS_30: usize = 1;
const SUCCESSIVE: usize = 2;

impl Ledger {
    /// Of a campaign made at `made`.
    pub(crate) fn new(made: WallTime, now: WallTime) -> Self {
        let kinds = [
            WindowKind::Rolling { seconds: DAY_S },
            WindowKind::Rolling { seconds: 30 * DAY_S },
            WindowKind::Successive { from: made, days: 30 },
        ];
        let rules =
            kinds.map(|kind| WindowRule { kind, cap: 1.0, style: CapStyle::Average, of_group: false });
        Ledger {
            windows: Windows::new(&rules, now).expect("three windows are few"),
            quarters: Quarters::default(),
        }
    }

    /// Enters a live answer.
    pub(crate) fn enter(&mut self, at: WallTime, abandoned: bool) {
        self.windows.live(at);
        if abandoned {
            self.windows.abandoned(at);
        }
        self.quarters.enter(at, abandoned);
    }

    /// The counts of a window that ends now, where the clocks are `utc_offset_minutes` east of UTC.
    pub(crate) fn count(&mut self, window: AbandonWindow, now: WallTime, utc_offset_minutes: i16) -> Count {
        match window {
            AbandonWindow::Hours24 => self.kept(HOURS_24, now),
            AbandonWindow::Days30 => self.kept(DAYS_30, now),
            AbandonWindow::Month => self.quarters.since(month_start(now, i32::from(utc_offset_minutes) * 60)),
        }
    }

    fn kept(&mut self, place: usize, now: WallTime) -> Count {
        self.windows.advance(now);
        self.windows.counts().nth(place).map(|(_, count)| count).expect("as many as were made")
    }

    /// The counts that the cap binds: of 30 days, both those that end now and those that the campaign is in since it was
    /// made (16 CFR 310.4(b)(4)(i): each successive 30-day period, or portion of one).
    pub(crate) fn binding(
        &mut self,
        window: AbandonWindow,
        now: WallTime,
        utc_offset_minutes: i16,
    ) -> impl Iterator<Item = Count> + use<> {
        let successive = (window == AbandonWindow::Days30).then(|| self.kept(SUCCESSIVE, now));
        [self.count(window, now, utc_offset_minutes)].into_iter().chain(successive)
    }
}

/// A count as the pacer wants it. `left`: for how long dialling will still go on.
pub(crate) const fn window_of(
    count: Count,
    (cap, style): (f64, CapStyle),
    left: Option<Duration>,
) -> WindowCount {
    WindowCount { live: count.live, abandoned: count.abandoned, cap, style, left, of_group: false }
}

/// Counts by quarter of an hour, ascending, of a little more than the longest month.
#[derive(Clone, Debug, Default)]
struct Quarters(VecDeque<(i64, Count)>);

const QUARTER_MS: i64 = 900_000;
const QUARTERS_MAX: i64 = 32 * 24 * 4;

impl Quarters {
    fn enter(&mut self, at: WallTime, abandoned: bool) {
        let quarter = at.unix_millis().div_euclid(QUARTER_MS);
        let place = self.0.partition_point(|entry| entry.0 < quarter);
        if self.0.get(place).is_none_or(|entry| entry.0 != quarter) {
            self.0.insert(place, (quarter, Count::default()));
        }
        let count = &mut self.0[place].1;
        count.live += 1;
        count.abandoned += u64::from(abandoned);
        let latest = self.0.back().map_or(quarter, |entry| entry.0);
        while self.0.front().is_some_and(|entry| entry.0 <= latest - QUARTERS_MAX) {
            self.0.pop_front();
        }
    }

    fn since(&self, start: WallTime) -> Count {
        let first = start.unix_millis().div_euclid(QUARTER_MS);
        let mut sum = Count::default();
        for (_, count) in self.0.iter().rev().take_while(|(quarter, _)| *quarter >= first) {
            sum.live += count.live;
            sum.abandoned += count.abandoned;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_leave_the_day_before_the_month() {
        let at = |minutes: i64| WallTime::from_unix_millis(1_790_000_000_000 + minutes * 60_000);
        let mut ledger = Ledger::new(at(0), at(0));
        ledger.enter(at(0), true);
        ledger.enter(at(0), false);
        ledger.enter(at(60), false);
        let mut count = |window, minutes| ledger.count(window, at(minutes), 0);
        assert_eq!(count(AbandonWindow::Hours24, 61), Count { live: 3, abandoned: 1 });
        assert_eq!(count(AbandonWindow::Hours24, 24 * 60 - 1), Count { live: 3, abandoned: 1 });
        assert_eq!(count(AbandonWindow::Hours24, 24 * 60 + 1), Count { live: 1, abandoned: 0 });
        assert_eq!(count(AbandonWindow::Days30, 24 * 60 + 1), Count { live: 3, abandoned: 1 });
        assert_eq!(count(AbandonWindow::Days30, 31 * 24 * 60), Count::default());
    }

    #[test]
    fn a_month_begins_at_midnight_where_the_campaign_dials() {
        // 2025-12-01 00:00 UTC; January begins five hours later in Toronto.
        let december = 1_764_547_200_000;
        let hour = |hours: i64| WallTime::from_unix_millis(december + hours * 3_600_000);
        let mut ledger = Ledger::new(hour(0), hour(0));
        ledger.enter(hour(4), true); // still November there
        ledger.enter(hour(5), false);
        ledger.enter(hour(31 * 24 + 4), true); // the last hour of a month of 31 days
        let toronto = |ledger: &mut Ledger, hours| ledger.count(AbandonWindow::Month, hour(hours), -300);
        assert_eq!(toronto(&mut ledger, 4), Count { live: 3, abandoned: 2 });
        assert_eq!(toronto(&mut ledger, 31 * 24 + 4), Count { live: 2, abandoned: 1 });
        assert_eq!(toronto(&mut ledger, 31 * 24 + 5), Count::default());
        assert_eq!(
            ledger.count(AbandonWindow::Month, hour(31 * 24 + 4), 0),
            Count { live: 1, abandoned: 1 },
            "in London it is January"
        );
        ledger.enter(hour(6), false); // late news
        assert_eq!(toronto(&mut ledger, 31 * 24 + 4), Count { live: 3, abandoned: 1 });
        for day in 0..100 {
            ledger.enter(hour(day * 24), false);
        }
        assert!(ledger.quarters.0.len() <= 33, "what no month can hold is forgotten");
    }

    #[test]
    fn thirty_days_bind_both_as_they_pass_and_as_periods_of_the_campaign() {
        let day = |days: i64| WallTime::from_unix_millis(1_790_000_000_000 + days * 86_400_000);
        let mut ledger = Ledger::new(day(0), day(0));
        (0..97).for_each(|_| ledger.enter(day(29), false));
        ledger.enter(day(30), true);
        ledger.enter(day(30), false);
        let binding: Vec<Count> = ledger.binding(AbandonWindow::Days30, day(31), 0).collect();
        assert_eq!(binding, [Count { live: 99, abandoned: 1 }, Count { live: 2, abandoned: 1 }]);
        assert_eq!(ledger.binding(AbandonWindow::Hours24, day(31), 0).count(), 1);
        // After a restart: the same.
        let mut again = Ledger::new(day(0), day(31));
        (0..97).for_each(|_| again.enter(day(29), false));
        again.enter(day(30), true);
        again.enter(day(30), false);
        assert!(again.binding(AbandonWindow::Days30, day(31), 0).eq(binding));
    }
}
