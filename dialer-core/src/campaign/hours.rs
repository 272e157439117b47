//! Calling hours.

use crate::config::CallingHours;
use sansio::WallTime;

const DAY_MINUTES: i64 = 24 * 60;

/// True if a campaign with these hours may dial at `now`.
pub(crate) fn is_open(hours: Option<&CallingHours>, now: WallTime) -> bool {
    let Some(hours) = hours else { return true };
    let (day, minute) = local(hours, now);
    let day_is_allowed = hours.days & (1 << day) != 0;
    day_is_allowed && minute >= i64::from(hours.from_minute) && minute < i64::from(hours.to_minute)
}

/// Milliseconds until today's hours end; `None` without hours.
pub(crate) fn left_ms(hours: Option<&CallingHours>, now: WallTime) -> Option<u64> {
    let hours = hours?;
    let (_, minute) = local(hours, now);
    let within_minute = now.unix_millis().rem_euclid(60_000);
    let left = (i64::from(hours.to_minute) - minute) * 60_000 - within_minute;
    Some(left.max(0) as u64)
}

/// Hour of the day on the callee's clock, 0..=23.
pub(crate) fn hour(hours: &CallingHours, now: WallTime) -> u8 {
    (local(hours, now).1 / 60) as u8
}

/// Day of the week (Monday 0) and minute of the day on the callee's clock.
fn local(hours: &CallingHours, now: WallTime) -> (u32, i64) {
    let minutes = now.unix_millis().div_euclid(60_000) + i64::from(hours.utc_offset_minutes);
    // 1970-01-01 was a Thursday.
    let day = (minutes.div_euclid(DAY_MINUTES) + 3).rem_euclid(7);
    (day as u32, minutes.rem_euclid(DAY_MINUTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_every_boundary() {
        // Weekdays 9:00 to 17:00 at UTC+8.
        let hours =
            CallingHours { from_minute: 540, to_minute: 1020, days: 0b001_1111, utc_offset_minutes: 480 };
        let open = |ms: i64| is_open(Some(&hours), WallTime::from_unix_millis(ms));
        // 2026-11-20 is a Friday; 01:00 UTC is 9:00 there.
        let nine = 1_795_136_400_000;
        assert!(!open(nine - 1));
        assert!(open(nine));
        let five = nine + 8 * 3_600_000;
        assert!(open(five - 1));
        assert!(!open(five));
        assert_eq!(left_ms(Some(&hours), WallTime::from_unix_millis(five - 1500)), Some(1500));
        assert!(!open(nine + 24 * 3_600_000), "Saturday");
        assert!(!open(nine + 48 * 3_600_000), "Sunday");
        assert!(open(nine + 72 * 3_600_000), "Monday");
        assert!(is_open(None, WallTime::from_unix_millis(0)));
    }
}
