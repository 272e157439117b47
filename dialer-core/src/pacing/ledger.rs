//! Exact counts of live and abandoned answers per window, and what a small sample is worth.
//!
//! The counts are facts: they follow from the call records, are never estimated, and bind. The confidence helpers
//! only steer.
//!
//! | rule | window |
//! |---|---|
//! | 16 CFR 310.4(b)(4)(i) (FTC), 47 CFR 64.1200(a)(7) (FCC) | 3 %, each successive 30 days of a campaign |
//! | Ofcom, statement on persistent misuse | 3 %, per campaign and 24 hours (a calendar day) |
//! | CRTC Unsolicited Telecommunications Rules, part IV | 5 %, calendar month |
//!
//! A group of campaigns that shares a budget has one more ledger of its own; the views of all its campaigns then
//! carry the windows of both.

use super::view::{CapStyle, WindowCount};
use core::time::Duration;
use sansio::WallTime;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const SECOND_MS: i64 = 1_000;
const DAY_MS: i64 = 86_400 * SECOND_MS;

/// Windows in one ledger at most.
pub const WINDOWS_MAX: usize = 8;

/// Which answers a window counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// The calendar day of a place `utc_offset_s` seconds east of Greenwich.
    Day {
        /// Seconds east of Greenwich.
        utc_offset_s: i32,
    },
    /// The calendar month there.
    Month {
        /// Seconds east of Greenwich.
        utc_offset_s: i32,
    },
    /// Successive periods of `days` days, the first beginning at `from`.
    Successive {
        /// When the first period began.
        from: WallTime,
        /// Length of a period, at least 1.
        days: u32,
    },
    /// The last `seconds` seconds, exact to the second.
    Rolling {
        /// Length, at least 1.
        seconds: u32,
    },
    /// Everything since the campaign began.
    Campaign,
}

/// A window and the cap on it.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct WindowRule {
    /// Which answers count.
    pub kind: WindowKind,
    /// The greatest allowed abandoned ÷ live, 0..=1.
    pub cap: f64,
    /// How the cap binds.
    pub style: CapStyle,
    /// The counts are those of a group of campaigns.
    #[serde(default)]
    pub of_group: bool,
}

impl WindowRule {
    /// 3 % in each successive 30 days, the first beginning with the campaign (FTC, FCC).
    #[must_use]
    pub const fn us_thirty_days(from: WallTime) -> Self {
        WindowRule {
            kind: WindowKind::Successive { from, days: 30 },
            cap: 0.03,
            style: CapStyle::Average,
            of_group: false,
        }
    }

    /// 3 % per calendar day (Ofcom).
    #[must_use]
    pub const fn gb_day(utc_offset_s: i32) -> Self {
        WindowRule {
            kind: WindowKind::Day { utc_offset_s },
            cap: 0.03,
            style: CapStyle::Average,
            of_group: false,
        }
    }

    /// 5 % per calendar month (CRTC).
    #[must_use]
    pub const fn ca_month(utc_offset_s: i32) -> Self {
        WindowRule {
            kind: WindowKind::Month { utc_offset_s },
            cap: 0.05,
            style: CapStyle::Average,
            of_group: false,
        }
    }
}

/// Answers in a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Count {
    /// Answered by a person.
    pub live: u64,
    /// Of these, abandoned.
    pub abandoned: u64,
}

impl Count {
    /// Abandoned ÷ live; 0 before the first answer.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.live == 0 { 0.0 } else { self.abandoned as f64 / self.live as f64 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Window {
    rule: WindowRule,
    /// Start of the present period, Unix milliseconds (unused for rolling).
    start_ms: i64,
    count: Count,
    /// Rolling only: (second, count), ascending.
    seconds: VecDeque<(i64, Count)>,
}

/// The counts of one campaign, or of one group of campaigns.
///
/// Both facts of an abandoned call belong to the time of its *answer*, so that no window ever holds an abandon
/// without its answer. Facts may come late and out of order; those older than a window's present period no longer
/// change it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    windows: Vec<Window>,
    /// The latest time seen.
    now_ms: i64,
}

/// When dialling will still take place, to plan what is left of each window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// To the end of today's shift; `None` plans on nothing.
    pub shift_left: Option<Duration>,
    /// Length of a usual shift, for the days to come.
    pub shift: Duration,
}

impl Ledger {
    /// A ledger with these windows, at most [`WINDOWS_MAX`] (further ones are refused: `None`).
    #[must_use]
    pub fn new(rules: &[WindowRule], now: WallTime) -> Option<Self> {
        if rules.len() > WINDOWS_MAX {
            return None;
        }
        let mut ledger = Ledger { windows: Vec::new(), now_ms: now.unix_millis() };
        for &rule in rules {
            let start_ms = bounds(rule.kind, ledger.now_ms).0;
            ledger.windows.push(Window { rule, start_ms, count: Count::default(), seconds: VecDeque::new() });
        }
        Some(ledger)
    }

    /// A person answered at `answered`.
    pub fn live(&mut self, answered: WallTime) {
        self.add(answered, Count { live: 1, abandoned: 0 });
    }

    /// The call answered at `answered`, already counted by [`Ledger::live`], was abandoned.
    pub fn abandoned(&mut self, answered: WallTime) {
        self.add(answered, Count { live: 0, abandoned: 1 });
    }

    fn add(&mut self, at: WallTime, more: Count) {
        let at_ms = at.unix_millis();
        self.advance(at);
        let now_ms = self.now_ms;
        for window in &mut self.windows {
            window.add(at_ms, now_ms, more);
        }
    }

    /// Moves the windows to `now`; going back does nothing.
    pub fn advance(&mut self, now: WallTime) {
        if now.unix_millis() > self.now_ms {
            self.now_ms = now.unix_millis();
        }
        let now_ms = self.now_ms;
        for window in &mut self.windows {
            window.advance(now_ms);
        }
    }

    /// Each window's rule and present count, in the order given to [`Ledger::new`].
    pub fn counts(&self) -> impl Iterator<Item = (WindowRule, Count)> + '_ {
        self.windows.iter().map(|window| (window.rule, window.count))
    }

    /// The windows as a [`PacingView`](super::PacingView) wants them, written over `out`.
    pub fn windows(&mut self, now: WallTime, plan: Plan, out: &mut Vec<WindowCount>) {
        self.advance(now);
        out.clear();
        let now_ms = self.now_ms;
        out.extend(self.windows.iter().map(|window| WindowCount {
            live: window.count.live,
            abandoned: window.count.abandoned,
            cap: window.rule.cap,
            style: window.rule.style,
            left: dialling_left(window.rule.kind, now_ms, plan),
            of_group: window.rule.of_group,
        }));
    }
}

impl Window {
    fn advance(&mut self, now_ms: i64) {
        if let WindowKind::Rolling { seconds } = self.rule.kind {
            let oldest = now_ms.div_euclid(SECOND_MS) - i64::from(seconds.max(1)) + 1;
            while let Some(&(second, count)) = self.seconds.front() {
                if second >= oldest {
                    break;
                }
                self.count.live -= count.live;
                self.count.abandoned -= count.abandoned;
                self.seconds.pop_front();
            }
            return;
        }
        let start_ms = bounds(self.rule.kind, now_ms).0;
        if start_ms > self.start_ms {
            self.start_ms = start_ms;
            self.count = Count::default();
        }
    }

    fn add(&mut self, at_ms: i64, now_ms: i64, more: Count) {
        if let WindowKind::Rolling { seconds } = self.rule.kind {
            let second = at_ms.div_euclid(SECOND_MS);
            if second <= now_ms.div_euclid(SECOND_MS) - i64::from(seconds.max(1)) {
                return;
            }
            let index = self.seconds.partition_point(|entry| entry.0 < second);
            match self.seconds.get_mut(index) {
                Some(entry) if entry.0 == second => {
                    entry.1.live += more.live;
                    entry.1.abandoned += more.abandoned;
                }
                _ => self.seconds.insert(index, (second, more)),
            }
        } else if at_ms < self.start_ms {
            return;
        }
        self.count.live += more.live;
        self.count.abandoned += more.abandoned;
    }
}

/// First millisecond of the period of `kind` that holds `at_ms`, and of the next.
fn bounds(kind: WindowKind, at_ms: i64) -> (i64, i64) {
    match kind {
        WindowKind::Day { utc_offset_s } => {
            let offset = i64::from(utc_offset_s) * SECOND_MS;
            let start = (at_ms + offset).div_euclid(DAY_MS) * DAY_MS - offset;
            (start, start + DAY_MS)
        }
        WindowKind::Month { utc_offset_s } => {
            let offset = i64::from(utc_offset_s) * SECOND_MS;
            let (first, next) = month_days((at_ms + offset).div_euclid(DAY_MS));
            (first * DAY_MS - offset, next * DAY_MS - offset)
        }
        WindowKind::Successive { from, days } => {
            let length = i64::from(days.max(1)) * DAY_MS;
            let start = from.unix_millis() + (at_ms - from.unix_millis()).div_euclid(length).max(0) * length;
            (start, start + length)
        }
        WindowKind::Rolling { seconds } => {
            let length = i64::from(seconds.max(1)) * SECOND_MS;
            (at_ms - length, at_ms + length)
        }
        WindowKind::Campaign => (i64::MIN, i64::MAX),
    }
}

/// When the calendar month that holds `now` began, `utc_offset_s` seconds east of Greenwich.
#[must_use]
pub fn month_start(now: WallTime, utc_offset_s: i32) -> WallTime {
    WallTime::from_unix_millis(bounds(WindowKind::Month { utc_offset_s }, now.unix_millis()).0)
}

/// Days since 1970 of the first of the month that holds day `day`, and of the next month's first.
/// Proleptic Gregorian calendar, by eras of 400 years that begin in March.
fn month_days(day: i64) -> (i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let year_start = 365 * year_of_era + year_of_era / 4 - year_of_era / 100;
    let day_of_year = day_of_era - year_start;
    let month = (5 * day_of_year + 2) / 153;
    let first_of_year = (153 * month + 2) / 5;
    let first = era * 146_097 + year_start + first_of_year - 719_468;
    // January and February close the year that began in March: their length depends on the next year.
    let length = match month {
        0 | 2 | 4 | 5 | 7 | 9 | 10 => 31,
        11 => {
            let year = year_of_era + era * 400 + 1;
            if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) { 29 } else { 28 }
        }
        _ => 30,
    };
    (first, first + length)
}

fn dialling_left(kind: WindowKind, now_ms: i64, plan: Plan) -> Option<Duration> {
    let shift_left = plan.shift_left?;
    let to_end = match kind {
        WindowKind::Campaign => return Some(shift_left),
        WindowKind::Rolling { seconds } => Duration::from_secs(u64::from(seconds.max(1))),
        _ => Duration::from_millis((bounds(kind, now_ms).1 - now_ms).max(0).unsigned_abs()),
    };
    let further_days = u32::try_from(to_end.as_secs() / 86_400).unwrap_or(u32::MAX).min(366);
    let further = if matches!(kind, WindowKind::Rolling { .. }) { 0 } else { further_days };
    Some((shift_left + plan.shift * further).min(to_end))
}

/// The abandoned-call rate of Ofcom's formula with a reasoned estimate of machine detection's false positives.
///
/// * `abandoned` A: calls treated as abandoned, `live` L: passed to an agent,
///   `machines` AM: of the abandoned, taken for answering machines by detection
///
/// A' = A − A·AM/(AM + L), rate = A' ÷ (L + A'). Source: Ofcom, statement on persistent misuse, annex with the
/// worked example 29, 9, 7 → 64.44 %.
#[must_use]
pub fn ofcom_rate(abandoned: u64, live: u64, machines: u64) -> f64 {
    let (a, l, am) = (abandoned as f64, live as f64, machines as f64);
    let share = if am + l > 0.0 { am / (am + l) } else { 0.0 };
    let real = a - a * share;
    if l + real > 0.0 { real / (l + real) } else { 0.0 }
}

/// Wilson's score interval for abandoned ÷ live at `z` standard deviations (1.96 for 95 %). (0, 1) for no answers.
#[must_use]
pub fn rate_interval(count: Count, z: f64) -> (f64, f64) {
    if count.live == 0 || !z.is_finite() {
        return (0.0, 1.0);
    }
    let n = count.live as f64;
    let p = (count.abandoned as f64 / n).min(1.0);
    let z2 = z * z;
    let centre = p + z2 / (2.0 * n);
    let half = z.abs() * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (((centre - half) / scale).max(0.0), ((centre + half) / scale).min(1.0))
}

/// P(more than `cap`·`live` of `live` answers are abandoned) if each is with probability `p`: the risk that a
/// window of that size ends over its cap.
#[must_use]
pub fn over_cap_probability(live: u64, cap: f64, p: f64) -> f64 {
    if !(cap.is_finite() && p.is_finite()) || live == 0 || p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return if cap < 1.0 { 1.0 } else { 0.0 };
    }
    let n = live as f64;
    let most = (cap * n + 1e-9).floor();
    if most < 0.0 {
        return 1.0;
    }
    // Sum of binomial terms in logarithms, so that great windows do not underflow.
    let mut log_term = n * (-p).ln_1p();
    let odds = p.ln() - (-p).ln_1p();
    let mut within = log_term.exp();
    let mut k = 0.0;
    while k < most {
        log_term += odds + ((n - k) / (k + 1.0)).ln();
        within += log_term.exp();
        k += 1.0;
    }
    (1.0 - within).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn at(ms: i64) -> WallTime {
        WallTime::from_unix_millis(ms)
    }

    fn counts(ledger: &Ledger) -> Vec<(u64, u64)> {
        ledger.counts().map(|(_, count)| (count.live, count.abandoned)).collect()
    }

    #[test]
    fn ofcom_worked_example() {
        assert_eq!((ofcom_rate(29, 9, 7) * 10_000.0).round(), 6_444.0);
        assert_eq!(ofcom_rate(0, 0, 0), 0.0);
        assert_eq!(ofcom_rate(3, 97, 0), 0.03);
    }

    #[test]
    fn ftc_successive_thirty_days_begin_anew() {
        let start = at(1_000);
        let mut ledger = Ledger::new(&[WindowRule::us_thirty_days(start)], start).unwrap();
        for i in 0..100 {
            ledger.live(at(1_000 + i * HOUR));
        }
        for i in 0..3 {
            ledger.abandoned(at(1_000 + i * HOUR));
        }
        assert_eq!(counts(&ledger), [(100, 3)]);
        ledger.advance(at(1_000 + 30 * DAY_MS - 1));
        assert_eq!(counts(&ledger), [(100, 3)]);
        ledger.advance(at(1_000 + 30 * DAY_MS));
        assert_eq!(counts(&ledger), [(0, 0)]);
        ledger.abandoned(at(1_000 + 29 * DAY_MS)); // too late to change the closed period
        assert_eq!(counts(&ledger), [(0, 0)]);
    }

    #[test]
    fn a_calendar_day_ends_at_local_midnight() {
        let beijing = 8 * 3_600;
        let mut ledger = Ledger::new(&[WindowRule::gb_day(beijing)], at(15 * HOUR)).unwrap();
        ledger.live(at(15 * HOUR + HOUR / 2));
        ledger.live(at(16 * HOUR - 1));
        assert_eq!(counts(&ledger), [(2, 0)]);
        ledger.live(at(16 * HOUR)); // 00:00 there
        assert_eq!(counts(&ledger), [(1, 0)]);
    }

    #[test]
    fn crtc_months_have_their_lengths() {
        let day = |y: i64, m: i64, d: i64| {
            // Days from civil, written the other way round than the code under test.
            let y = if m <= 2 { y - 1 } else { y };
            let era = y.div_euclid(400);
            let yoe = y.rem_euclid(400);
            let doy = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
            era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
        };
        assert_eq!(day(1970, 1, 1), 0);
        for (y, m, d, next) in [
            (1970, 1, 31, (1970, 2)),
            (2024, 2, 29, (2024, 3)),
            (2025, 2, 28, (2025, 3)),
            (2000, 2, 10, (2000, 3)),
            (2100, 2, 28, (2100, 3)),
            (2025, 12, 31, (2026, 1)),
            (2026, 11, 22, (2026, 12)),
            (1969, 6, 5, (1969, 7)),
        ] {
            assert_eq!(month_days(day(y, m, d)), (day(y, m, 1), day(next.0, next.1, 1)), "{y}-{m}-{d}");
        }
        let mut ledger =
            Ledger::new(&[WindowRule::ca_month(-5 * 3_600)], at(day(2025, 1, 15) * DAY_MS)).unwrap();
        ledger.live(at(day(2025, 1, 31) * DAY_MS));
        ledger.live(at(day(2025, 2, 1) * DAY_MS + 5 * HOUR - 1)); // still January in Toronto
        assert_eq!(counts(&ledger), [(2, 0)]);
        ledger.live(at(day(2025, 2, 1) * DAY_MS + 5 * HOUR));
        assert_eq!(counts(&ledger), [(1, 0)]);
    }

    #[test]
    fn a_rolling_window_forgets_to_the_second() {
        let rule = WindowRule {
            kind: WindowKind::Rolling { seconds: 86_400 },
            cap: 0.03,
            style: CapStyle::Hard,
            of_group: false,
        };
        let mut ledger = Ledger::new(&[rule], at(0)).unwrap();
        ledger.live(at(5_500));
        ledger.live(at(9_000));
        ledger.abandoned(at(5_500));
        ledger.live(at(7_000)); // late news
        assert_eq!(counts(&ledger), [(3, 1)]);
        ledger.advance(at(5_000 + DAY_MS - 1));
        assert_eq!(counts(&ledger), [(3, 1)]);
        ledger.advance(at(5_000 + DAY_MS));
        assert_eq!(counts(&ledger), [(2, 0)]);
        ledger.advance(at(3 * DAY_MS));
        assert_eq!(counts(&ledger), [(0, 0)]);
    }

    #[test]
    fn planning_counts_shifts_not_nights() {
        let rules = [WindowRule::gb_day(0), WindowRule::us_thirty_days(at(0))];
        let mut ledger = Ledger::new(&rules, at(9 * HOUR)).unwrap();
        let hours = |h: u64| Duration::from_secs(h * 3_600);
        let mut out = Vec::new();
        ledger.windows(at(9 * HOUR), Plan { shift_left: Some(hours(8)), shift: hours(8) }, &mut out);
        assert_eq!(out[0].left, Some(hours(8)));
        assert_eq!(out[1].left, Some(hours(8 + 29 * 8)));
        ledger.windows(at(20 * HOUR), Plan { shift_left: Some(hours(8)), shift: hours(8) }, &mut out);
        assert_eq!(out[0].left, Some(hours(4)));
        ledger.windows(at(20 * HOUR), Plan::default(), &mut out);
        assert_eq!(out[0].left, None);
    }

    #[test]
    fn intervals_and_tails() {
        let (low, high) = rate_interval(Count { live: 100, abandoned: 3 }, 1.96);
        assert!((low - 0.0103).abs() < 5e-4 && (high - 0.0845).abs() < 5e-4, "{low} {high}");
        assert_eq!(rate_interval(Count::default(), 1.96), (0.0, 1.0));
        // P(X >= 1), n = 20, p = 0.01.
        assert!((over_cap_probability(20, 0.03, 0.01) - (1.0 - 0.99_f64.powi(20))).abs() < 1e-12);
        let half = over_cap_probability(100_000, 0.03, 0.03);
        assert!((0.45..0.55).contains(&half), "{half}");
        assert_eq!(over_cap_probability(10, f64::NAN, 0.5), 0.0);
    }
}
