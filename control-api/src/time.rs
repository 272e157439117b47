//! Civil time and spans of time on the wire.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use sansio::WallTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// RFC 3339 in UTC with milliseconds, `2026-10-01T02:03:04.120Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-10-01T02:03:04.120Z")]
pub struct Time(pub WallTime);

impl From<WallTime> for Time {
    fn from(time: WallTime) -> Self {
        Time(time)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.0))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_rfc3339(&text).map(Time).ok_or_else(|| {
            serde::de::Error::custom("expected a time like 2026-10-01T02:03:04.120Z (RFC 3339)")
        })
    }
}

/// Writes a time. Times outside the years -9999 to 9999 are written as the nearest of these.
#[must_use]
pub fn rfc3339(time: WallTime) -> String {
    let stamp = Timestamp::from_millisecond(time.unix_millis()).unwrap_or(if time.unix_millis() < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    });
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
    PRINTER.timestamp_to_string(&stamp)
}

/// Reads a time with an offset; `None` if it is not one.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<WallTime> {
    let stamp: Timestamp = text.parse().ok()?;
    Some(WallTime::from_unix_millis(stamp.as_millisecond()))
}

/// Reads a date of HTTP (RFC 9110 §5.6.7, the form that is to be sent); `None` if it is not one.
pub(crate) fn parse_http_date(text: &str) -> Option<WallTime> {
    let stamp = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(WallTime::from_unix_millis(stamp.as_millisecond()))
}

/// Units of a span, largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Writes a span in its largest whole unit: `15m`, `4h`, `1500ms`.
#[must_use]
pub fn span_text(millis: u64) -> String {
    let (unit, length) =
        UNITS.into_iter().find(|(_, length)| millis.is_multiple_of(*length)).unwrap_or(("ms", 1));
    if millis == 0 { "0s".into() } else { format!("{}{unit}", millis / length) }
}

/// Reads a span: a whole number and one of `ms`, `s`, `m`, `h`, `d`. `None` if it is not one or passes ten years.
#[must_use]
pub fn parse_span(text: &str) -> Option<u64> {
    const LONGEST: u64 = 3_650 * 86_400_000;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let (_, length) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(length).filter(|millis| *millis <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_read_back() {
        let time = WallTime::from_unix_millis(1_790_820_184_120);
        assert_eq!(rfc3339(time), "2026-10-01T02:03:04.120Z");
        assert_eq!(parse_rfc3339("2026-10-01T02:03:04.120Z"), Some(time));
        assert_eq!(parse_rfc3339("2026-10-01T10:03:04.12+08:00"), Some(time));
        assert_eq!(rfc3339(WallTime::from_unix_millis(0)), "1970-01-01T00:00:00.000Z");
        for bad in ["", "yesterday", "2026-10-01", "2026-10-01T02:03:04", "2026-13-01T00:00:00Z"] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
        let _ = rfc3339(WallTime::from_unix_millis(i64::MAX));
    }

    #[test]
    fn spans_read_back() {
        for (text, millis) in
            [("15m", 900_000), ("4h", 14_400_000), ("1d", 86_400_000), ("90s", 90_000), ("1500ms", 1500)]
        {
            assert_eq!(parse_span(text), Some(millis), "{text}");
            assert_eq!(parse_span(&span_text(millis)), Some(millis));
        }
        assert_eq!(span_text(900_000), "15m");
        assert_eq!(span_text(0), "0s");
        for bad in ["", "15", "m", "15 m", "-1m", "1.5h", "1w", "99999999999999999999s", "99999d"] {
            assert_eq!(parse_span(bad), None, "{bad}");
        }
    }
}
