//! Calling windows on the callee's own clock.

use super::clock::{Local, is_zone, local};
use super::zones::zones_of_number;
use crate::check::{Checked, invalid, range};
use sansio::WallTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Days of the week, as bits; bit 0 is Monday.
pub const WEEKDAYS: u8 = 0b001_1111;
/// Saturday.
pub const SATURDAY: u8 = 0b010_0000;
/// Sunday.
pub const SUNDAY: u8 = 0b100_0000;
/// All of them.
pub const EVERY_DAY: u8 = 0b111_1111;

/// A window that does not open within this time is told as closed; it is looked at again later.
const LOOK_AHEAD_DAYS: i64 = 40;

/// Some hours of some days.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DayHours {
    /// Days, bit 0 is Monday … bit 6 is Sunday.
    pub days: u8,
    /// First minute of the day, 0..=1439.
    pub from_minute: u16,
    /// First minute no longer allowed, 1..=1440.
    pub to_minute: u16,
}

/// When a callee may be called. Nothing is allowed that is not listed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CallingWindows {
    /// The hours; any of them.
    pub hours: Vec<DayHours>,
    /// Days on which nobody is called: days since 1970-01-01.
    pub holidays: BTreeSet<i32>,
    /// By the clock of this zone (IANA), wherever the callee is; `None`: by the callee's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// What a window says of one callee now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opening {
    /// May be called.
    Open,
    /// Not before then.
    Opens(WallTime),
    /// Not within forty days.
    Closed,
    /// Nobody knows what the clock shows there.
    ZoneUnknown,
}

impl CallingWindows {
    fn is_open(&self, local: Local) -> bool {
        !self.holidays.contains(&local.date)
            && self.hours.iter().any(|hours| {
                hours.days & (1 << local.weekday) != 0
                    && (hours.from_minute..hours.to_minute).contains(&local.minute)
            })
    }

    fn is_open_in(&self, zones: &[&str], now: WallTime) -> Option<bool> {
        let mut open = true;
        for zone in zones {
            open &= self.is_open(local(zone, now)?);
        }
        (!zones.is_empty()).then_some(open)
    }

    /// Whether a callee who may be in any of these zones may be called: only if the windows are open in all of
    /// them. Unknown zones are closed. Windows with a clock of their own do not ask where the callee is.
    #[must_use]
    pub fn opening(&self, zones: &[&str], now: WallTime) -> Opening {
        let own = [self.zone.as_deref().unwrap_or_default()];
        let zones = if self.zone.is_some() { &own[..] } else { zones };
        match self.is_open_in(zones, now) {
            None => Opening::ZoneUnknown,
            Some(true) => Opening::Open,
            Some(false) => self.next_opening(zones, now),
        }
    }

    /// Windows begin and end at whole minutes of clocks that differ by quarters of an hour: each quarter, and the
    /// odd minutes at which hours begin, is looked at.
    fn next_opening(&self, zones: &[&str], now: WallTime) -> Opening {
        let mut odd: BTreeSet<i64> =
            self.hours.iter().map(|hours| i64::from(hours.from_minute % 15)).collect();
        odd.insert(0);
        let quarter = now.unix_millis().div_euclid(900_000);
        for step in 0..LOOK_AHEAD_DAYS * 96 {
            for minutes in &odd {
                let at = WallTime::from_unix_millis((quarter + step) * 900_000 + minutes * 60_000);
                if at > now && self.is_open_in(zones, at) == Some(true) {
                    return Opening::Opens(at);
                }
            }
        }
        Opening::Closed
    }

    pub(crate) fn check(&self, pointer: &str) -> Checked {
        if self.hours.is_empty() || self.hours.len() > 32 {
            return invalid(&format!("{pointer}/hours"), "1 to 32 ranges of hours");
        }
        for (place, hours) in self.hours.iter().enumerate() {
            let pointer = format!("{pointer}/hours/{place}");
            range(&format!("{pointer}/days"), hours.days, 1, EVERY_DAY)?;
            range(&format!("{pointer}/from"), hours.from_minute, 0, 1439)?;
            range(&format!("{pointer}/to"), hours.to_minute, hours.from_minute + 1, 1440)?;
        }
        if self.holidays.len() > 1_000 {
            return invalid(&format!("{pointer}/holidays"), "at most 1,000 days");
        }
        if self.zone.as_deref().is_some_and(|zone| !is_zone(zone)) {
            return invalid(&format!("{pointer}/time_zone"), "a time zone like Asia/Shanghai");
        }
        Ok(())
    }
}

/// The zones a callee may be in: the lead's own if it has one, else those of the number.
pub(crate) fn zones_of(own: Option<&str>, number: &str) -> Vec<String> {
    match own {
        Some(zone) => vec![zone.to_owned()],
        None => zones_of_number(number).map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NINE: i64 = 1_795_136_400_000; // 2026-11-20 01:00 UTC, a Friday; 9:00 in Shanghai

    fn at(ms: i64) -> WallTime {
        WallTime::from_unix_millis(ms)
    }

    fn nine_to_five() -> CallingWindows {
        CallingWindows {
            hours: vec![DayHours { days: WEEKDAYS, from_minute: 540, to_minute: 1020 }],
            ..CallingWindows::default()
        }
    }

    #[test]
    fn a_clock_of_their_own_goes_before_the_callees() {
        let windows = CallingWindows { zone: Some("Asia/Shanghai".into()), ..nine_to_five() };
        for zones in [&["America/New_York"][..], &[]] {
            assert_eq!(windows.opening(zones, at(NINE - 1)), Opening::Opens(at(NINE)));
            assert_eq!(windows.opening(zones, at(NINE)), Opening::Open);
        }
        assert!(windows.check("").is_ok());
        assert!(CallingWindows { zone: Some("Mars/Olympus".into()), ..nine_to_five() }.check("").is_err());
    }

    #[test]
    fn both_sides_of_the_boundaries() {
        let opening = |ms| nine_to_five().opening(&["Asia/Shanghai"], at(ms));
        assert_eq!(opening(NINE - 1), Opening::Opens(at(NINE)));
        assert_eq!(opening(NINE), Opening::Open);
        let five = NINE + 8 * 3_600_000;
        assert_eq!(opening(five - 1), Opening::Open);
        // Friday evening: Monday morning is next.
        assert_eq!(opening(five), Opening::Opens(at(NINE + 72 * 3_600_000)));
    }

    #[test]
    fn every_zone_must_be_open_and_unknown_ones_are_closed() {
        let windows = nine_to_five();
        // 9:00 to 12:00 in New York is 6:00 to 9:00 in Los Angeles.
        let ny_nine = NINE + 13 * 3_600_000;
        assert_eq!(windows.opening(&["America/New_York"], at(ny_nine)), Opening::Open);
        let both = ["America/New_York", "America/Los_Angeles"];
        assert_eq!(windows.opening(&both, at(ny_nine)), Opening::Opens(at(ny_nine + 3 * 3_600_000)));
        assert_eq!(windows.opening(&[], at(NINE)), Opening::ZoneUnknown);
        assert_eq!(windows.opening(&["Mars/Olympus"], at(NINE)), Opening::ZoneUnknown);
    }

    #[test]
    fn holidays_are_closed_on_the_callees_date() {
        let mut windows = nine_to_five();
        windows.holidays.insert(super::super::clock::parse_date("2026-11-20").unwrap());
        assert_eq!(windows.opening(&["Asia/Shanghai"], at(NINE)), Opening::Opens(at(NINE + 72 * 3_600_000)));
        assert_eq!(windows.opening(&["America/New_York"], at(NINE - 7 * 3_600_000)), Opening::Open);
        assert_eq!(CallingWindows::default().opening(&["Asia/Shanghai"], at(NINE)), Opening::Closed);
    }

    #[test]
    fn odd_minutes_and_zones_of_half_hours() {
        let windows = CallingWindows {
            hours: vec![DayHours { days: EVERY_DAY, from_minute: 10 * 60 + 7, to_minute: 600 + 20 }],
            ..CallingWindows::default()
        };
        // 10:07 in Kathmandu (UTC+5:45) is 4:22 UTC.
        let opens = NINE + (3 * 60 + 22) * 60_000;
        assert_eq!(windows.opening(&["Asia/Kathmandu"], at(NINE)), Opening::Opens(at(opens)));
        assert_eq!(windows.opening(&["Asia/Kathmandu"], at(opens)), Opening::Open);
    }
}
