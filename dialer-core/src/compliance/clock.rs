//! What the clock on the wall shows where the callee is.

use sansio::WallTime;

const DAY_MINUTES: i64 = 24 * 60;

/// A moment on a local clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Local {
    /// Day of the week, Monday 0.
    pub(crate) weekday: u8,
    /// Minute of the day, 0..=1439.
    pub(crate) minute: u16,
    /// Days since 1970-01-01.
    pub(crate) date: i32,
}

/// True if there is a zone of this name (IANA time zone database).
#[must_use]
pub fn is_zone(name: &str) -> bool {
    tzdb_data::find_tz(name.as_bytes()).is_some()
}

/// The local clock of a zone; `None` if there is no such zone, or its rules say nothing of that time.
pub(crate) fn local(zone: &str, now: WallTime) -> Option<Local> {
    let seconds = now.unix_millis().div_euclid(1000);
    let offset = tzdb_data::find_tz(zone.as_bytes())?.find_local_time_type(seconds).ok()?.ut_offset();
    Some(at_offset(now, offset))
}

/// The local clock `offset_s` seconds east of UTC.
pub(crate) fn at_offset(now: WallTime, offset_s: i32) -> Local {
    let minutes = (now.unix_millis().div_euclid(1000) + i64::from(offset_s)).div_euclid(60);
    let date = minutes.div_euclid(DAY_MINUTES);
    Local {
        // 1970-01-01 was a Thursday.
        weekday: (date + 3).rem_euclid(7) as u8,
        minute: minutes.rem_euclid(DAY_MINUTES) as u16,
        date: i32::try_from(date).unwrap_or(i32::MAX),
    }
}

/// `2026-12-25` as days since 1970-01-01; `None` if it is no date of the years 1970 to 9999.
#[must_use]
pub fn parse_date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let part = |range: core::ops::Range<usize>| {
        let digits = &bytes[range];
        digits
            .iter()
            .all(u8::is_ascii_digit)
            .then(|| std::str::from_utf8(digits).ok()?.parse::<i32>().ok())?
    };
    let (year, month, day) = (part(0..4)?, part(5..7)?, part(8..10)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(usize::try_from(month - 1).ok()?)?;
    if year < 1970 || !(1..=length).contains(&day) {
        return None;
    }
    // Days of a year that begins in March, so that the leap day is its last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    Some(365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468)
}

/// Days since 1970-01-01 as `2026-12-25`.
#[must_use]
pub fn date_text(days: i32) -> String {
    // Years that begin in March, in eras of 400 years (146,097 days).
    let days = i64::from(days) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    format!("{:04}-{month:02}-{day:02}", year + era * 400)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> WallTime {
        WallTime::from_unix_millis(seconds * 1000)
    }

    #[test]
    fn a_zone_has_its_summer_time() {
        // 2026-03-08 07:00:00 UTC: New York goes from 02:00 to 03:00.
        let change = 1_772_953_200;
        let local = |seconds| local("America/New_York", at(seconds)).unwrap();
        assert_eq!(local(change - 60), Local { weekday: 6, minute: 119, date: 20_520 });
        assert_eq!(local(change), Local { weekday: 6, minute: 180, date: 20_520 });
        assert!(super::local("Mars/Olympus", at(0)).is_none());
        assert!(is_zone("Asia/Shanghai") && !is_zone("asia") && !is_zone(""));
    }

    #[test]
    fn dates_are_days() {
        for (text, days) in [
            ("1970-01-01", Some(0)),
            ("2000-02-29", Some(11_016)),
            ("2026-03-08", Some(20_520)),
            ("2100-02-29", None),
            ("2026-13-01", None),
            ("2026-00-01", None),
            ("2026-01-00", None),
            ("2026-1-01", None),
            ("+026-01-01", None),
            ("", None),
        ] {
            assert_eq!(parse_date(text), days, "{text}");
        }
        for days in (0..40_000).step_by(7) {
            assert_eq!(parse_date(&date_text(days)), Some(days));
        }
        assert_eq!(date_text(11_016), "2000-02-29");
    }
}
