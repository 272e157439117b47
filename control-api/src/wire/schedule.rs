//! When a campaign begins and ends, on the wire.

use crate::time::{Time, parse_rfc3339, rfc3339};
use jiff::civil::Date;
use jiff::tz::Offset;
use sansio::WallTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// A time, or a whole day by the campaign's clock (the offset of its `calling_hours`, else UTC).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// This time.
    At(Time),
    /// This day: from its first moment, or to its last.
    Day(Date),
}

impl Moment {
    /// The time that is meant; a day has ended `days` later.
    fn time(self, utc_offset_minutes: i16, days: i64) -> WallTime {
        match self {
            Moment::At(time) => time.0,
            Moment::Day(date) => {
                let since = date.to_zoned(Offset::UTC.to_time_zone()).map(|day| day.timestamp());
                let midnight_ms = since.map_or(0, |day| day.as_millisecond());
                let ms = midnight_ms + days * 86_400_000 - i64::from(utc_offset_minutes) * 60_000;
                WallTime::from_unix_millis(ms)
            }
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Moment::At(time) => serializer.serialize_str(&rfc3339(time.0)),
            Moment::Day(date) => serializer.collect_str(date),
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let day = || (text.len() == 10).then(|| text.parse::<Date>().ok()).flatten();
        let time = parse_rfc3339(&text).map(|time| Moment::At(Time(time)));
        time.or_else(|| day().map(Moment::Day)).ok_or_else(|| {
            serde::de::Error::custom(
                "expected a time like 2026-10-01T02:03:04Z (RFC 3339), or a day like 2026-10-01",
            )
        })
    }
}

/// When a campaign that was started begins to dial, and when it is stopped.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// Nothing is dialled before; null: it begins when it is started. A day (`2026-10-08`) begins at midnight by the clock of
    /// its `calling_hours`, else UTC; it is shown as the time that was meant.
    #[schema(value_type = Option<String>, example = "2026-10-08T01:00:00Z")]
    pub start: Option<Moment>,
    /// It is stopped then, running or paused, and cannot be started any more until this is later; null: it goes on until
    /// somebody stops it. Of a day (`2026-10-31`) the whole is meant.
    #[schema(value_type = Option<String>, example = "2026-10-31T10:00:00Z")]
    pub end: Option<Moment>,
}

impl Schedule {
    /// As the dialer takes it.
    #[must_use]
    pub fn into_core(self, utc_offset_minutes: i16) -> dialer_core::Schedule {
        dialer_core::Schedule {
            start: self.start.map(|start| start.time(utc_offset_minutes, 0)),
            end: self.end.map(|end| end.time(utc_offset_minutes, 1)),
        }
    }
}

impl From<dialer_core::Schedule> for Schedule {
    fn from(core: dialer_core::Schedule) -> Self {
        let at = |time: WallTime| Moment::At(Time(time));
        Schedule { start: core.start.map(at), end: core.end.map(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_the_campaigns_from_its_first_moment_to_its_last() {
        let read = |start: &str, end: &str| {
            let text = serde_json::json!({"start": start, "end": end});
            serde_json::from_value::<Schedule>(text).map(|schedule| schedule.into_core(480))
        };
        let days = read("2026-10-08", "2026-10-31").unwrap();
        assert_eq!(rfc3339(days.start.unwrap()), "2026-10-07T16:00:00.000Z");
        assert_eq!(rfc3339(days.end.unwrap()), "2026-10-31T16:00:00.000Z");
        let one = read("2026-10-08", "2026-10-08").unwrap();
        assert_eq!(one.end.unwrap().millis_since(one.start.unwrap()), 86_400_000);
        let times = read("2026-10-08T09:00:00+08:00", "2026-10-31T18:00:00+08:00").unwrap();
        assert_eq!(rfc3339(times.start.unwrap()), "2026-10-08T01:00:00.000Z");
        for bad in ["2026-13-01", "20261008", "tomorrow", "2026-10-08T09:00:00"] {
            assert!(read(bad, "2027-01-01").is_err(), "{bad}");
        }
        let shown = serde_json::to_value(Schedule::from(days)).unwrap();
        assert_eq!(shown["end"], "2026-10-31T16:00:00.000Z");
    }
}
