//! Overload control parameters of Via (RFC 7339 §4): what a server asks of those who send to it.

use core::time::Duration;

use bytes::BytesMut;

use super::Via;
use super::writer::write_number;

/// What a client adds to its Via: it knows overload control, by loss (RFC 7339 §5.1).
pub(crate) const ANNOUNCEMENT: &[u8] = b";oc;oc-algo=\"loss\"";

/// RFC 7339 §4.3: validity of a value that names none.
const VALIDITY_DEFAULT: Duration = Duration::from_millis(500);

/// Longest validity that is believed: a server that still needs relief then says so again.
const VALIDITY_MAX: Duration = Duration::from_secs(300);

/// What a server wants of a client, in the topmost Via of its responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feedback {
    /// Share of requests that are not to be sent, 0 to 100 percent.
    pub loss_percent: u8,
    /// How long that holds; zero ends it at once.
    pub validity: Duration,
    /// `oc-seq` in units of 10⁻⁵; a later value replaces an earlier one. `None` where there is none.
    pub sequence: Option<u64>,
}

impl Feedback {
    /// Appends the parameters. Sequences are written with three places (they are milliseconds).
    pub(crate) fn write(&self, buf: &mut BytesMut) {
        buf.extend_from_slice(b";oc=");
        write_number(buf, u64::from(self.loss_percent));
        buf.extend_from_slice(b";oc-algo=\"loss\";oc-validity=");
        write_number(buf, u64::try_from(self.validity.as_millis()).unwrap_or(u64::MAX));
        if let Some(sequence) = self.sequence {
            buf.extend_from_slice(b";oc-seq=");
            write_number(buf, sequence / SEQUENCE_UNIT);
            buf.extend_from_slice(b".");
            let fraction = sequence % SEQUENCE_UNIT / 100;
            for digit in [fraction / 100, fraction / 10 % 10, fraction % 10] {
                write_number(buf, digit);
            }
        }
    }
}

/// Places behind the point of an `oc-seq` that count (RFC 7339 §4.4: at most five).
const SEQUENCE_UNIT: u64 = 100_000;

impl Via<'_> {
    /// Whether the sender knows overload control by loss, and is no server itself in this message (RFC 7339 §5.1).
    #[must_use]
    pub fn announces_overload_control(&self) -> bool {
        if !mentions(self.params.as_bytes()) || self.params.get("oc") != Some(None) {
            return false;
        }
        self.params.value("oc-algo").is_some_and(names_loss)
    }

    /// What the server asks of us; `None` where it says nothing, means another algorithm, or makes no sense.
    #[must_use]
    pub fn overload_feedback(&self) -> Option<Feedback> {
        if !mentions(self.params.as_bytes()) {
            return None;
        }
        let loss_percent = digits(self.params.value("oc")?, 3).and_then(|value| u8::try_from(value).ok())?;
        if loss_percent > 100 || !self.params.value("oc-algo").is_some_and(names_loss) {
            return None;
        }
        let validity = match self.params.get("oc-validity") {
            None => VALIDITY_DEFAULT,
            Some(value) => Duration::from_millis(digits(value?, 10)?).min(VALIDITY_MAX),
        };
        let sequence = match self.params.get("oc-seq") {
            None => None,
            Some(value) => Some(sequence(value?)?),
        };
        Some(Feedback { loss_percent, validity, sequence })
    }
}

/// True for the name of one of these parameters.
pub(crate) fn is_overload_parameter(name: &[u8]) -> bool {
    ["oc", "oc-algo", "oc-validity", "oc-seq"].iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// A look at the beginnings of the parameters, which nearly no Via passes.
fn mentions(params: &[u8]) -> bool {
    memchr::memchr_iter(b';', params).any(|at| {
        let name = params[at + 1..].trim_ascii_start();
        name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"oc"))
    })
}

/// `oc-algo` is a list where a client announces it, one name where a server has chosen.
fn names_loss(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(b"loss"))
}

fn digits(text: &[u8], length_max: usize) -> Option<u64> {
    if text.is_empty() || text.len() > length_max || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// `1*12DIGIT "." 1*5DIGIT`; the point and what follows may be left out.
fn sequence(text: &[u8]) -> Option<u64> {
    let at = memchr::memchr(b'.', text).unwrap_or(text.len());
    let whole = digits(&text[..at], 12)?;
    let fraction = match text.get(at + 1..) {
        None => 0,
        Some(places) => digits(places, 5)? * 10_u64.pow(5 - places.len() as u32),
    };
    Some(whole * SEQUENCE_UNIT + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(params: &str) -> String {
        format!("SIP/2.0/UDP h;branch=z9hG4bKloc1{params}")
    }

    fn feedback(params: &str) -> Option<Feedback> {
        Via::parse(via(params).as_bytes()).expect("a Via").overload_feedback()
    }

    #[test]
    fn what_a_server_asks() {
        let found =
            feedback(";oc=20;oc-algo=\"loss\";oc-validity=500;oc-seq=1282321615.782").expect("feedback");
        let validity = Duration::from_millis(500);
        assert_eq!(found, Feedback { loss_percent: 20, validity, sequence: Some(128_232_161_578_200) });
        let mut text = BytesMut::new();
        found.write(&mut text);
        assert_eq!(&text[..], b";oc=20;oc-algo=\"loss\";oc-validity=500;oc-seq=1282321615.782");
        assert_eq!(feedback(";OC = 100 ; OC-ALGO=loss").map(|found| found.loss_percent), Some(100));
        assert_eq!(feedback(";oc=7;oc-algo=\"loss\"").map(|found| found.validity), Some(validity));
        assert_eq!(feedback(";oc=7;oc-algo=\"loss\";oc-seq=1.5").and_then(|f| f.sequence), Some(150_000));
        assert_eq!(feedback(";oc=7;oc-algo=\"loss\";oc-seq=9").and_then(|f| f.sequence), Some(900_000));
        let long = feedback(";oc=7;oc-algo=\"loss\";oc-validity=9999999999").expect("feedback");
        assert_eq!(long.validity, VALIDITY_MAX);
    }

    #[test]
    fn what_makes_no_sense_is_not_heard() {
        for params in [
            "",
            ";oc",
            ";oc;oc-algo=\"loss\"",
            ";oc=20",
            ";oc=20;oc-algo=\"rate\"",
            ";oc=101;oc-algo=\"loss\"",
            ";oc=256;oc-algo=\"loss\"",
            ";oc=9999999999999999999999;oc-algo=\"loss\"",
            ";oc=x;oc-algo=\"loss\"",
            ";oc=20;oc-algo=\"loss\";oc-validity=-1",
            ";oc=20;oc-algo=\"loss\";oc-validity",
            ";oc=20;oc-algo=\"loss\";oc-validity=99999999999",
            ";oc=20;oc-algo=\"loss\";oc-seq=a.b",
            ";oc=20;oc-algo=\"loss\";oc-seq=1.123456",
            ";oc=20;oc-algo=\"loss\";oc-seq=1234567890123.1",
            ";oc=20;oc-algo=\"loss\";oc-seq=1.",
            ";ocx=20;oc-algo=\"loss\"",
        ] {
            assert_eq!(feedback(params), None, "{params}");
        }
    }

    #[test]
    fn who_announces_it() {
        for (params, expected) in [
            (";oc;oc-algo=\"loss\"", true),
            (";oc;oc-algo=\"rate, loss\"", true),
            (";rport;oc ;oc-algo=loss", true),
            (";oc;oc-algo=\"rate\"", false),
            (";oc", false),
            (";oc-algo=\"loss\"", false),
            (";oc=5;oc-algo=\"loss\"", false),
            (";doc;oc-algo=\"loss\"", false),
            ("", false),
        ] {
            let text = via(params);
            let found = Via::parse(text.as_bytes()).expect("a Via").announces_overload_control();
            assert_eq!(found, expected, "{params}");
        }
    }
}
