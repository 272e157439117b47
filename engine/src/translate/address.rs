//! Numbers, trunks and phones ↔ URIs and header texts.

use dialer_core::config::{AutoAnswer, TrunkTransport};
use sansio::WallTime;
use sip_proxy::wire::{Transport, Uri};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// A SIP URI with this user at this host (`host` or `host:port`). What a user part cannot hold is escaped
/// (RFC 3261 §19.1.2): `#` for one.
pub(crate) fn uri_of(user: &str, host: impl std::fmt::Display) -> String {
    let mut uri = String::with_capacity(user.len() + 32);
    uri.push_str("sip:");
    for byte in user.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'*' | b'-' | b'_' | b'.' | b'!' | b'~' => {
                uri.push(char::from(byte));
            }
            // A write to a String cannot fail.
            _ => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    let _ = write!(uri, "@{host}");
    uri
}

/// The URI of a phone that stays at an address; the transport is named unless it is the usual one.
pub(crate) fn phone_uri(user: &str, address: SocketAddr, transport: Transport) -> String {
    let mut uri = if user.is_empty() { format!("sip:{address}") } else { uri_of(user, address) };
    match transport {
        Transport::Tcp => uri.push_str(";transport=tcp"),
        Transport::Tls => uri.push_str(";transport=tls"),
        _ => {}
    }
    uri
}

/// How a trunk or phone is spoken with.
pub(crate) fn transport_of(transport: TrunkTransport) -> Transport {
    match transport {
        TrunkTransport::Udp => Transport::Udp,
        TrunkTransport::Tcp => Transport::Tcp,
        TrunkTransport::Tls => Transport::Tls,
    }
}

/// The user part of a URI in text, its escapes resolved; empty when it has none. At most 128 characters.
pub(crate) fn user_of(uri: &[u8]) -> String {
    let Ok(uri) = Uri::parse(uri) else { return String::new() };
    let user = uri.user.unwrap_or_default();
    let mut bytes = Vec::with_capacity(user.len());
    let mut at = 0;
    while let Some(byte) = user.get(at) {
        let escaped = (*byte == b'%')
            .then(|| user.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&bytes).chars().filter(|c| !c.is_control()).take(128).collect()
}

/// `address` or `address:port`, IPv6 in brackets when it has a port.
pub(crate) fn source(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip(), Some(address.port())));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().map(|address| (address, None))
}

/// The headers that ask a phone to answer by itself.
pub(crate) fn auto_answer_headers(kind: AutoAnswer, host: &str) -> Vec<(&'static str, String)> {
    let call_info = || ("Call-Info", format!("<sip:{host}>;answer-after=0"));
    let alert_info = || ("Alert-Info", format!("<http://{host}>;info=alert-autoanswer;delay=0"));
    match kind {
        AutoAnswer::Default => vec![call_info(), alert_info()],
        AutoAnswer::CallInfo => vec![call_info()],
        AutoAnswer::AlertInfo => vec![alert_info()],
        AutoAnswer::Yealink => vec![("Alert-Info", "info=alert-autoanswer".into())],
        AutoAnswer::Polycom => vec![("Alert-Info", "Auto Answer".into())],
        // RFC 5373 §4.2.
        AutoAnswer::Rfc5373 => vec![("Answer-Mode", "Auto".into())],
        AutoAnswer::PAutoAnswer => vec![("P-Auto-Answer", "normal".into())],
        AutoAnswer::None => Vec::new(),
    }
}

/// `2026-01-31`, in UTC.
pub(crate) fn day(at: WallTime) -> String {
    // Days since 1970-01-01 to a civil date, by the era method on years that begin in March.
    let days = at.unix_millis().div_euclid(86_400_000) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_there_and_back() {
        assert_eq!(uri_of("+8613800138000", "192.0.2.1:5060"), "sip:+8613800138000@192.0.2.1:5060");
        assert_eq!(uri_of("*21#", "h"), "sip:*21%23@h");
        assert_eq!(user_of(b"sip:*21%23@h"), "*21#");
        assert_eq!(user_of(b"sip:h"), "");
        assert_eq!(user_of(b"sip:%@h"), "%");
        assert_eq!(uri_of("a\r\nb@c", "h"), "sip:a%0D%0Ab%40c@h");
    }

    #[test]
    fn sources_with_and_without_port() {
        assert_eq!(source("192.0.2.1"), Some(("192.0.2.1".parse().unwrap(), None)));
        assert_eq!(source("192.0.2.1:5062"), Some(("192.0.2.1".parse().unwrap(), Some(5062))));
        assert_eq!(source("[::1]:5062"), Some(("::1".parse().unwrap(), Some(5062))));
        assert_eq!(source("[::1]"), Some(("::1".parse().unwrap(), None)));
        assert_eq!(source("carrier.example"), None);
    }

    #[test]
    fn days_of_the_calendar() {
        let at = |millis| day(WallTime::from_unix_millis(millis));
        assert_eq!(at(0), "1970-01-01");
        assert_eq!(at(951_782_400_000), "2000-02-29");
        assert_eq!(at(951_868_800_000), "2000-03-01");
        assert_eq!(at(1_798_761_599_999), "2026-12-31");
        assert_eq!(at(-1), "1969-12-31");
    }
}
