//! Calling hours on the wire.

use crate::extract::Checks;
use dialer_core::config as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A day of the week.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    pub(crate) const ALL: [Day; 7] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];
}

/// Hours of the day in which a campaign may dial.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallingHours {
    /// First minute, `HH:MM`.
    #[schema(example = "09:00")]
    pub from: String,
    /// First minute no longer allowed, `HH:MM`, at most `24:00`.
    #[schema(example = "20:00")]
    pub to: String,
    /// Days; all if absent.
    #[serde(default = "every_day")]
    pub days: Vec<Day>,
    /// Offset of the callee's clock from UTC, `+08:00`.
    #[schema(example = "+08:00")]
    pub utc_offset: String,
}

fn every_day() -> Vec<Day> {
    Day::ALL.to_vec()
}

pub(crate) fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |part: &str| (part.len() == 2).then(|| part.parse::<u16>().ok()).flatten();
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= 1_440).then_some(minute)
}

/// A minute of the day as `HH:MM`.
pub(crate) fn clock_text(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn offset_minutes(text: &str) -> Option<i16> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let minutes = minute_of_day(rest)?;
    (minutes <= 14 * 60).then_some(sign * minutes as i16)
}

impl CallingHours {
    /// Notes what is wrong.
    pub(crate) fn checked(&self, checks: &mut Checks) -> core::CallingHours {
        let from = minute_of_day(&self.from).filter(|minute| *minute < 1_440);
        checks.that(from.is_some(), "/calling_hours/from", "expected HH:MM from 00:00 to 23:59");
        let to = minute_of_day(&self.to);
        checks.that(to.is_some(), "/calling_hours/to", "expected HH:MM up to 24:00");
        if let (Some(from), Some(to)) = (from, to) {
            checks.that(from < to, "/calling_hours/to", "expected a time after `from`");
        }
        let offset = offset_minutes(&self.utc_offset);
        checks.that(
            offset.is_some(),
            "/calling_hours/utc_offset",
            "expected an offset like +08:00, at most 14:00",
        );
        checks.that(!self.days.is_empty(), "/calling_hours/days", "expected at least one day");
        core::CallingHours {
            from_minute: from.unwrap_or(0),
            to_minute: to.unwrap_or(1_440),
            days: self.days.iter().fold(0, |bits, day| bits | 1 << *day as u8),
            utc_offset_minutes: offset.unwrap_or(0),
        }
    }
}

impl From<&core::CallingHours> for CallingHours {
    fn from(hours: &core::CallingHours) -> Self {
        let sign = if hours.utc_offset_minutes < 0 { '-' } else { '+' };
        CallingHours {
            from: clock_text(hours.from_minute),
            to: clock_text(hours.to_minute),
            days: Day::ALL.into_iter().filter(|day| hours.days & (1 << *day as u8) != 0).collect(),
            utc_offset: format!("{sign}{}", clock_text(hours.utc_offset_minutes.unsigned_abs())),
        }
    }
}
