//! How often a lead may be dialled.

use crate::compliance::{local_of, minutes_after, zones_of};
use crate::record::Lead;
use sansio::WallTime;
use serde::{Deserialize, Serialize};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Most attempts of a lead per time; `None`: no such limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Frequency {
    /// On one day of the callee's calendar.
    pub per_day: Option<u32>,
    /// Within 24 hours.
    pub per_24h: Option<u32>,
    /// Within 7 days.
    pub per_7d: Option<u32>,
    /// Within 30 days.
    pub per_30d: Option<u32>,
    /// Least time between two attempts, milliseconds.
    pub gap_ms: u64,
    /// Of one number within 24 hours, whichever leads, lists and campaigns have it. (Who reads leads does not know of other
    /// leads' calls: [`super::Screen::full_numbers`].)
    pub per_number_24h: Option<u32>,
    /// Not dialled for so long after who answered has said not to be called, days.
    pub refusal_days: Option<u32>,
    /// Within a part of the day by the callee's clock.
    pub day_parts: [Option<DayPart>; DAY_PARTS_MAX],
}

/// Parts of the day that have a limit of their own at most.
pub const DAY_PARTS_MAX: usize = 6;

/// A part of the callee's day, and how often a lead is dialled in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DayPart {
    /// First minute of the day.
    pub from_minute: u16,
    /// First minute behind it, at most 1440.
    pub to_minute: u16,
    /// Attempts at most.
    pub max: u32,
}

impl DayPart {
    fn holds(&self, minute: u16) -> bool {
        (self.from_minute..self.to_minute).contains(&minute)
    }
}

impl Frequency {
    /// The stricter of each limit.
    #[must_use]
    pub fn and(self, other: Frequency) -> Frequency {
        let least = |a: Option<u32>, b: Option<u32>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Frequency {
            per_day: least(self.per_day, other.per_day),
            per_24h: least(self.per_24h, other.per_24h),
            per_7d: least(self.per_7d, other.per_7d),
            per_30d: least(self.per_30d, other.per_30d),
            gap_ms: self.gap_ms.max(other.gap_ms),
            per_number_24h: least(self.per_number_24h, other.per_number_24h),
            refusal_days: self.refusal_days.max(other.refusal_days),
            day_parts: if self.has_day_parts() { self.day_parts } else { other.day_parts },
        }
    }

    fn has_day_parts(&self) -> bool {
        self.day_parts.iter().any(Option::is_some)
    }

    /// When the lead may be dialled, if that is not now.
    #[must_use]
    pub fn not_before(&self, lead: &Lead, now: WallTime) -> Option<WallTime> {
        let recent = &lead.progress.recent;
        let mut latest: Option<WallTime> = None;
        let mut wait = |at: WallTime| {
            if at > now {
                latest = Some(latest.map_or(at, |old| old.max(at)));
            }
        };
        for (most, span) in [(self.per_24h, DAY_MS), (self.per_7d, 7 * DAY_MS), (self.per_30d, 30 * DAY_MS)] {
            if let Some(at) = most.and_then(|most| nth_last(recent, most)) {
                wait(at.plus_millis(span));
            }
        }
        if let Some(last) = recent.last().filter(|_| self.gap_ms > 0) {
            wait(last.plus_millis(i64::try_from(self.gap_ms).unwrap_or(i64::MAX)));
        }
        let refused = lead.progress.history.iter().filter(|past| past.refused).map(|past| past.at).max();
        if let (Some(days), Some(at)) = (self.refusal_days, refused) {
            wait(at.plus_millis(i64::from(days) * DAY_MS));
        }
        if let Some(at) = self.per_day.and_then(|most| day_is_over(lead, most, now)) {
            wait(at);
        }
        for part in self.day_parts.iter().flatten() {
            if let Some(at) = part_is_over(lead, part, now) {
                wait(at);
            }
        }
        latest
    }
}

/// The attempt that must have left the window before there is room for one more; nothing may ever be dialled under a
/// limit of 0, which the checks refuse.
pub(crate) fn nth_last(recent: &[WallTime], most: u32) -> Option<WallTime> {
    let place = recent.len().checked_sub(most.max(1) as usize)?;
    recent.get(place).copied()
}

/// When the callee's next day begins, if today has had its attempts. Where the calendar is not known, or says two
/// things, a day counts as 24 hours.
fn day_is_over(lead: &Lead, most: u32, now: WallTime) -> Option<WallTime> {
    let phone = lead.phones.get(crate::lead::next_phone(lead))?;
    let zones = zones_of(lead.time_zone.as_deref(), &phone.number);
    let same_day = |at: WallTime| {
        zones.iter().any(|zone| match (local_of(zone, at), local_of(zone, now)) {
            (Some(then), Some(today)) => then.0 == today.0,
            _ => true,
        })
    };
    let today = |at: &&WallTime| {
        if zones.is_empty() { at.plus_millis(DAY_MS) > now } else { same_day(**at) }
    };
    let count = lead.progress.recent.iter().filter(today).count();
    if count < most.max(1) as usize {
        return None;
    }
    let left_minutes =
        zones.iter().filter_map(|zone| local_of(zone, now)).map(|(_, minute)| 1440 - i64::from(minute));
    Some(minutes_after(now, left_minutes.max().unwrap_or(60)))
}

/// When a part of the callee's day is over, if it is now and has had its attempts. Of several clocks that a number may be
/// at, each counts.
fn part_is_over(lead: &Lead, part: &DayPart, now: WallTime) -> Option<WallTime> {
    let phone = lead.phones.get(crate::lead::next_phone(lead))?;
    let zones = zones_of(lead.time_zone.as_deref(), &phone.number);
    let over = |zone: &String| {
        let (today, minute) = local_of(zone, now).filter(|(_, minute)| part.holds(*minute))?;
        let within = |at: &&WallTime| {
            local_of(zone, **at).is_some_and(|(day, minute)| day == today && part.holds(minute))
        };
        let count = lead.progress.recent.iter().filter(within).count();
        (count >= part.max as usize).then(|| minutes_after(now, i64::from(part.to_minute - minute)))
    };
    zones.iter().filter_map(over).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CallId;
    use crate::lead::tests::lead;
    use crate::outcome::Outcome;
    use crate::record::PastAttempt;

    const NINE: i64 = 1_795_136_400_000; // 9:00 in Shanghai

    fn at(ms: i64) -> WallTime {
        WallTime::from_unix_millis(NINE + ms)
    }

    #[test]
    fn rolling_windows_give_room_when_the_oldest_leaves() {
        let mut lead = lead();
        lead.progress.recent = vec![at(-2 * DAY_MS), at(-HOUR_MS), at(0)];
        let limit = |per_24h, per_7d| Frequency { per_24h, per_7d, ..Frequency::default() };
        assert_eq!(limit(Some(2), None).not_before(&lead, at(1)), Some(at(DAY_MS - HOUR_MS)));
        assert_eq!(limit(Some(2), None).not_before(&lead, at(DAY_MS - HOUR_MS)), None);
        assert_eq!(limit(Some(3), None).not_before(&lead, at(1)), None);
        assert_eq!(limit(None, Some(3)).not_before(&lead, at(1)), Some(at(5 * DAY_MS)));
        assert_eq!(limit(Some(1), Some(1)).not_before(&lead, at(1)), Some(at(7 * DAY_MS)));
        let gap = Frequency { gap_ms: 5_000, ..Frequency::default() };
        assert_eq!(gap.not_before(&lead, at(4_999)), Some(at(5_000)));
        assert_eq!(gap.not_before(&lead, at(5_000)), None);
    }

    #[test]
    fn a_day_is_the_callees() {
        let mut lead = lead();
        lead.phones[0].number = "+8613800138000".into();
        lead.progress.recent = vec![at(0)];
        let day = Frequency { per_day: Some(1), ..Frequency::default() };
        // Midnight in Shanghai is 15 hours away.
        assert_eq!(day.not_before(&lead, at(HOUR_MS)), Some(at(15 * HOUR_MS)));
        assert_eq!(day.not_before(&lead, at(15 * HOUR_MS)), None);
        lead.phones[0].number = "+999123456789".into();
        assert!(day.not_before(&lead, at(15 * HOUR_MS)).is_some(), "an unknown calendar counts 24 hours");
        assert_eq!(day.not_before(&lead, at(DAY_MS)), None);
    }

    #[test]
    fn a_part_of_the_day_has_its_attempts() {
        let mut lead = lead();
        lead.phones[0].number = "+8613800138000".into();
        let part = |from, to, max| Some(DayPart { from_minute: from, to_minute: to, max });
        let mut limit = Frequency::default();
        (limit.day_parts[0], limit.day_parts[1]) = (part(540, 720, 1), part(720, 1080, 2));
        // At 9:00, the first minute of the morning, and just before it.
        lead.progress.recent = vec![at(-60_000)];
        assert_eq!(limit.not_before(&lead, at(1)), None, "8:59 was no part of it");
        lead.progress.recent = vec![at(0)];
        assert_eq!(limit.not_before(&lead, at(1)), Some(at(3 * HOUR_MS)), "noon");
        assert_eq!(limit.not_before(&lead, at(3 * HOUR_MS)), None);
        lead.progress.recent.extend([at(3 * HOUR_MS), at(4 * HOUR_MS)]);
        assert_eq!(limit.not_before(&lead, at(5 * HOUR_MS)), Some(at(9 * HOUR_MS)), "18:00");
        assert_eq!(limit.not_before(&lead, at(DAY_MS)), None, "another day");
        limit.day_parts[2] = part(0, 540, 0);
        assert!(limit.not_before(&lead, at(DAY_MS - 1)).is_some(), "never in the night");
    }

    #[test]
    fn who_has_refused_is_left_alone() {
        let mut lead = lead();
        let past = |at, refused| PastAttempt {
            call: CallId::from_bits(1),
            at,
            outcome: Outcome::Connected,
            agent: None,
            talk_ms: 1,
            disposition: None,
            notes: None,
            refused,
        };
        let limit = Frequency { refusal_days: Some(60), ..Frequency::default() };
        lead.progress.history = vec![past(at(0), false)];
        assert_eq!(limit.not_before(&lead, at(1)), None);
        lead.progress.history.push(past(at(5), true));
        lead.progress.history.push(past(at(9), false));
        assert_eq!(limit.not_before(&lead, at(10)), Some(at(5 + 60 * DAY_MS)));
        assert_eq!(limit.not_before(&lead, at(5 + 60 * DAY_MS)), None);
        assert_eq!(Frequency::default().not_before(&lead, at(10)), None);
    }

    #[test]
    fn the_stricter_limit_counts() {
        let a = Frequency { per_24h: Some(3), per_30d: Some(9), ..Frequency::default() };
        let b = Frequency {
            per_24h: Some(5),
            per_7d: Some(2),
            gap_ms: 7,
            refusal_days: Some(60),
            ..Frequency::default()
        };
        let both = Frequency {
            per_24h: Some(3),
            per_7d: Some(2),
            per_30d: Some(9),
            gap_ms: 7,
            refusal_days: Some(60),
            ..Frequency::default()
        };
        assert_eq!((a.and(b), b.and(a)), (both, both));
    }
}
