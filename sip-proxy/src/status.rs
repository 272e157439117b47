//! The one table of SIP status codes and Q.850 causes.

use crate::wire::{HeaderName, Message, Params, is_token};

/// The reason phrase of a status code (RFC 3261 §21 and the IANA registry); of one not in the table the
/// phrase of its class.
#[must_use]
pub const fn reason_phrase(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        199 => "Early Dialog Terminated",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        417 => "Unknown Resource-Priority",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        428 => "Use Identity Header",
        429 => "Provide Referrer Identity",
        430 => "Flow Failed",
        433 => "Anonymity Disallowed",
        436 => "Bad Identity Info",
        437 => "Unsupported Credential",
        438 => "Invalid Identity Header",
        439 => "First Hop Lacks Outbound Support",
        440 => "Max-Breadth Exceeded",
        469 => "Bad Info Package",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        494 => "Security Agreement Required",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        607 => "Unwanted",
        608 => "Rejected",
        0..=199 => "Progress",
        201..=299 => "OK",
        303..=399 => "Redirection",
        411..=499 => "Request Failure",
        506..=599 => "Server Failure",
        _ => "Global Failure",
    }
}

/// The Q.850 cause that goes with a final failure (RFC 3398 §8.2.6.1; 607 and 608 as call rejected).
/// 2xx gives 16 (normal clearing), anything unknown 31 (normal, unspecified) or, from 500 on, 41.
#[must_use]
pub const fn q850_of(code: u16) -> u8 {
    match code {
        200..=299 | 487 => 16,
        404 | 485 | 604 => 1,
        410 => 22,
        480 => 18,
        401 | 402 | 403 | 407 | 603 | 607 | 608 => 21,
        405 => 63,
        406 | 415 | 416 | 606 => 79,
        408 | 504 => 102,
        414 | 420 | 421 | 423 | 505 | 513 => 127,
        481 | 500 => 41,
        482 | 483 => 25,
        484 => 28,
        486 | 600 => 17,
        488 => 65,
        501 => 79,
        502 => 38,
        503 => 41,
        580 => 47,
        500..=599 => 41,
        _ => 31,
    }
}

/// The status that refuses a call for a Q.850 cause (RFC 3398 §7.2.4.1).
#[must_use]
pub const fn code_of_q850(cause: u8) -> u16 {
    match cause {
        1..=3 => 404,
        17 => 486,
        18 => 408,
        19 | 20 | 31 => 480,
        21 => 403,
        22 | 23 => 410,
        26 => 404,
        27 | 38 | 41 | 42 | 47 | 63 => 503,
        28 => 484,
        29 | 79 => 501,
        55 | 57 | 87 => 403,
        58 => 503,
        65 | 70 => 488,
        88 => 503,
        102 => 504,
        _ => 500,
    }
}

/// The name of a Q.850 cause (ITU-T Q.850 table 1) among those that we give; empty for the others.
#[must_use]
pub const fn q850_text(cause: u8) -> &'static str {
    match cause {
        1 => "Unallocated number",
        16 => "Normal call clearing",
        17 => "User busy",
        18 => "No user responding",
        19 => "No answer from user",
        20 => "Subscriber absent",
        21 => "Call rejected",
        28 => "Invalid number format",
        31 => "Normal, unspecified",
        34 => "No circuit available",
        38 => "Network out of order",
        41 => "Temporary failure",
        42 => "Switching equipment congestion",
        65 => "Bearer capability not implemented",
        79 => "Service or option not implemented",
        102 => "Recovery on timer expiry",
        127 => "Interworking, unspecified",
        _ => "",
    }
}

/// Reason of a CANCEL or BYE to those whom a call has rung at in vain, because another has taken it (RFC 3326 §2).
pub const ELSEWHERE: &str = "Call completed elsewhere";

/// Bytes of a Reason's text that are kept.
const TEXT_BYTES_MAX: usize = 128;

/// Reason values of one message that go on to the other side.
const PASSED_VALUES_MAX: usize = 8;
/// Bytes of all of them; those beyond are left out whole.
const PASSED_BYTES_MAX: usize = 512;

/// What the Reason headers of a message say (RFC 3326): why a request was sent, or the other network's cause.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReasonCause {
    /// `cause` of `Q.850`, 1 to 127.
    pub q850: Option<u8>,
    /// `cause` of `SIP`, 100 to 699.
    pub sip: Option<u16>,
    /// A `SIP` value whose text begins with `v=analytics`: blocked by analytics (ATIS-1000099).
    pub analytics: bool,
    /// `text` of the `SIP` value, or where that has none of the `Q.850` value, without its quotes; at most 128 bytes,
    /// printable.
    pub text: Option<Box<str>>,
    /// All sound values as they were written, separated by commas: each with its own text, and with parameters and of
    /// protocols that mean nothing here (RFC 8606, `location`). At most 8 of 512 bytes together; empty for none.
    pub values: Box<str>,
}

impl ReasonCause {
    /// Reads every Reason value of a message; malformed ones are passed over.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        if !message.has(HeaderName::Reason) {
            return Self::default();
        }
        Self::read(message.values(HeaderName::Reason))
    }

    fn read<'v>(values: impl Iterator<Item = &'v [u8]>) -> Self {
        let mut found = Self::default();
        let (mut sip_text, mut q850_text, mut passed, mut count) = (None, None, String::new(), 0);
        for value in values {
            let Some((protocol, params)) = taken_apart(value) else { continue };
            if count < PASSED_VALUES_MAX
                && let Some(value) = one_line(value)
                && passed.len() + ", ".len() + value.len() <= PASSED_BYTES_MAX
            {
                passed.push_str(if count > 0 { ", " } else { "" });
                passed.push_str(&value);
                count += 1;
            }
            let text = || params.value("text").and_then(printable);
            let cause =
                params.value("cause").and_then(|cause| core::str::from_utf8(cause).ok()?.parse::<u16>().ok());
            // RFC 3326 §2: one value for each protocol; of more the first counts.
            if protocol.eq_ignore_ascii_case(b"Q.850") {
                q850_text = q850_text.or_else(text);
                if let Some(Ok(cause @ 1..=127)) = cause.map(u8::try_from) {
                    found.q850.get_or_insert(cause);
                }
            } else if protocol.eq_ignore_ascii_case(b"SIP") {
                let text = text();
                if let Some(cause @ 100..=699) = cause {
                    found.sip.get_or_insert(cause);
                    let start = text.as_deref().and_then(|text| text.get(..11)).unwrap_or_default();
                    found.analytics |= start.eq_ignore_ascii_case("v=analytics");
                }
                sip_text = sip_text.or(text);
            }
        }
        found.text = sip_text.or(q850_text);
        found.values = passed.into_boxed_str();
        found
    }
}

/// Protocol and parameters of a Reason value (RFC 3326 §2); `None` where it is none from its first byte to its last.
fn taken_apart(value: &[u8]) -> Option<(&[u8], Params<'_>)> {
    let at = memchr::memchr(b';', value).unwrap_or(value.len());
    let protocol = value[..at].trim_ascii();
    let params = Params::of(value);
    (!protocol.is_empty() && protocol.iter().copied().all(is_token) && params.are_sound())
        .then_some((protocol, params))
}

/// A value on one line, with what folded it made spaces; `None` where it holds other bytes that are not to be seen.
fn one_line(value: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(value).ok()?;
    let text: String =
        text.chars().map(|one| if matches!(one, '\r' | '\n' | '\t') { ' ' } else { one }).collect();
    (!text.chars().any(char::is_control)).then_some(text)
}

/// A quoted text as it was meant: escapes resolved, nothing in it that is not to be seen, and not too long.
fn printable(quoted: &[u8]) -> Option<Box<str>> {
    let mut bytes = Vec::with_capacity(quoted.len().min(TEXT_BYTES_MAX));
    let mut rest = quoted.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => bytes.extend(rest.next()),
            byte => bytes.push(*byte),
        }
    }
    let mut text: String = String::from_utf8_lossy(&bytes).chars().filter(|one| !one.is_control()).collect();
    while text.len() > TEXT_BYTES_MAX {
        text.pop();
    }
    let text = text.trim();
    (!text.is_empty()).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(values: &[&str]) -> ReasonCause {
        ReasonCause::read(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn reason_values() {
        assert_eq!(reason(&["Q.850;cause=16;text=\"Terminated\""]).q850, Some(16));
        let values = "SIP ; cause = 200 ; text=\"x\", q.850;cause=17".into();
        assert_eq!(
            reason(&["SIP ; cause = 200 ; text=\"x\"", "q.850;cause=17"]),
            ReasonCause { q850: Some(17), sip: Some(200), analytics: false, text: Some("x".into()), values }
        );
        let text = |value: &str| reason(&[value]).text.map(String::from).unwrap_or_default();
        assert_eq!(text("SIP;cause=200;text=\"Call completed elsewhere\""), ELSEWHERE);
        assert_eq!(text("Q.850;text=\"a; b \\\"c\\\"\";cause=31"), "a; b \"c\"");
        assert_eq!(text("Q.850;cause=16;text=\"\u{1}\""), "");
        assert_eq!(text("preemption;cause=1;text=\"not ours\""), "");
        assert_eq!(text(&format!("SIP;cause=480;text=\"{}\"", "é".repeat(200))).len(), 128);
        let blocked = reason(&["SIP;cause=603;text=\"v=analytics1;url=https://example.com\";location=LN"]);
        assert!(blocked.analytics && blocked.sip == Some(603));
        assert!(!reason(&["SIP;cause=603;text=\"Declined\""]).analytics);
        for broken in
            ["", "Q.850", "Q.850;cause=0", "Q.850;cause=128", "Q.850;cause=99999999999", "SIP;cause=99"]
        {
            let sound = ReasonCause { values: broken.into(), ..ReasonCause::default() };
            assert_eq!(reason(&[broken]), sound, "{broken}");
        }
    }

    /// Each value keeps its own text, and all go on that are values at all.
    #[test]
    fn reason_values_stay_apart() {
        let both = reason(&[
            "Q.850;cause=16;text=\"Terminated\";location=LN",
            "SIP;cause=600",
            "preemption ;cause=5 ;text=\"a, b; \\\"c\\\"\"",
        ]);
        assert_eq!((both.q850, both.sip, both.text.as_deref()), (Some(16), Some(600), Some("Terminated")));
        assert_eq!(
            &*both.values,
            "Q.850;cause=16;text=\"Terminated\";location=LN, SIP;cause=600, \
             preemption ;cause=5 ;text=\"a, b; \\\"c\\\"\""
        );
        assert_eq!(
            reason(&["Q.850;cause=16;text=\"one\"", "SIP;cause=480;text=\"two\""]).text.as_deref(),
            Some("two")
        );
        assert_eq!(&*reason(&["Q.850;cause=16;\r\n text=\"x\""]).values, "Q.850;cause=16;   text=\"x\"");
        for broken in [
            "Q.850;cause=",
            "Q.850;cause=16;text=\"open",
            "Q.850;cause=16;text=\"x\"y",
            "Q 850;cause=16",
            ";cause=16",
            "Q.850;cause=16;=1",
            "<sip:a>;cause=16",
        ] {
            assert_eq!(reason(&[broken]), ReasonCause::default(), "{broken}");
        }
        assert_eq!(&*reason(&["Q.850;cause=16;text=\"\u{1}\""]).values, "");
        let many = vec!["SIP;cause=200"; 20];
        assert_eq!(reason(&many).values.matches("SIP").count(), PASSED_VALUES_MAX);
        let long = format!("SIP;cause=200;text=\"{}\"", "x".repeat(600));
        assert_eq!(&*reason(&[&long, "Q.850;cause=16"]).values, "Q.850;cause=16");
    }

    #[test]
    fn every_code_has_a_phrase_and_a_cause() {
        for code in 0..=u16::MAX {
            assert!(!reason_phrase(code).is_empty());
            assert!((1..=127).contains(&q850_of(code)));
        }
        for cause in 0..=u8::MAX {
            assert!((400..=699).contains(&code_of_q850(cause)));
        }
        assert_eq!((q850_of(486), code_of_q850(17)), (17, 486));
    }
}
