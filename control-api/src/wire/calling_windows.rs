//! Calling windows on the wire.

use super::calling_hours::{Day, clock_text, minute_of_day};
use super::lead::is_time_zone;
use crate::extract::Checks;
use dialer_core::compliance as core;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// When callees may be called, each by the clock where the lead is: its `time_zone`, else the zones of its number (all of
/// them must be open). A lead whose zone nobody knows is not called. Nothing is allowed that is not listed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallingWindows {
    /// The hours; any of them, at most 32.
    pub hours: Vec<DayHours>,
    /// Days on which nobody is called, `2026-12-25`.
    #[serde(default)]
    #[schema(example = json!(["2026-12-25"]))]
    pub holidays: BTreeSet<String>,
    /// The hours and days are those of this zone's clock, wherever the lead is; null: of the clock where the lead is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Asia/Shanghai")]
    pub time_zone: Option<String>,
}

/// Some hours of some days.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DayHours {
    /// Days; all if absent.
    #[serde(default = "every_day")]
    pub days: Vec<Day>,
    /// First minute, `HH:MM`.
    #[schema(example = "09:00")]
    pub from: String,
    /// First minute no longer allowed, `HH:MM`, at most `24:00`.
    #[schema(example = "20:00")]
    pub to: String,
}

fn every_day() -> Vec<Day> {
    Day::ALL.to_vec()
}

impl CallingWindows {
    /// Notes what is wrong; `at` is the pointer to them.
    pub(crate) fn checked(&self, at: &str, checks: &mut Checks) -> core::CallingWindows {
        let zone_fits = self.time_zone.as_deref().is_none_or(is_time_zone);
        checks.that(zone_fits, &format!("{at}/time_zone"), "expected an IANA zone like Asia/Shanghai");
        let count_fits = (1..=32).contains(&self.hours.len());
        checks.that(count_fits, &format!("{at}/hours"), "expected 1 to 32 ranges of hours");
        let hours = self.hours.iter().enumerate().map(|(place, hours)| {
            let at = format!("{at}/hours/{place}");
            let from = minute_of_day(&hours.from).filter(|minute| *minute < 1_440);
            checks.that(from.is_some(), &format!("{at}/from"), "expected HH:MM from 00:00 to 23:59");
            let to = minute_of_day(&hours.to).filter(|to| from.is_none_or(|from| from < *to));
            checks.that(to.is_some(), &format!("{at}/to"), "expected HH:MM after `from`, up to 24:00");
            checks.that(!hours.days.is_empty(), &format!("{at}/days"), "expected at least one day");
            core::DayHours {
                days: hours.days.iter().fold(0, |bits, day| bits | 1 << *day as u8),
                from_minute: from.unwrap_or(0),
                to_minute: to.unwrap_or(1_440),
            }
        });
        let hours = hours.collect();
        let holidays = self.holidays.iter().enumerate().filter_map(|(place, text)| {
            let date = core::parse_date(text);
            checks.that(date.is_some(), &format!("{at}/holidays/{place}"), "expected a date like 2026-12-25");
            date
        });
        core::CallingWindows { holidays: holidays.collect(), hours, zone: self.time_zone.clone() }
    }
}

impl From<&core::CallingWindows> for CallingWindows {
    fn from(windows: &core::CallingWindows) -> Self {
        let hours = windows.hours.iter().map(|hours| DayHours {
            days: Day::ALL.into_iter().filter(|day| hours.days & (1 << *day as u8) != 0).collect(),
            from: clock_text(hours.from_minute),
            to: clock_text(hours.to_minute),
        });
        CallingWindows {
            hours: hours.collect(),
            holidays: windows.holidays.iter().map(|date| core::date_text(*date)).collect(),
            time_zone: windows.zone.clone(),
        }
    }
}
