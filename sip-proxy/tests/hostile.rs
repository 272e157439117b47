//! Hostile datagrams: the work grows with their length and with nothing else.
//!
//! No time is asserted, only a ratio: one datagram is held against eight of an eighth of its length, which take
//! a linear parser as long, so that a busy machine slows both alike; a quadratic one needs eight times as long
//! for the one. (How many nanoseconds a byte costs is what the bench says.)

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a test may look at the clock")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip_proxy::wire::{
    Challenge, Credentials, HeaderName, Limits, Message, NameAddr, ParseErrorKind, Uri, comma_split, parse,
    sdp,
};

const HEAD: &str = "INVITE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
    To: <sip:b@h>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n";

/// Things that made parsers slow: what is repeated, and the header it stands in.
const PATTERNS: &[(&str, &str)] = &[
    ("X-Junk: ", ","),
    ("X-Junk: ", "\""),
    ("X-Junk: ", "\\"),
    ("X-Junk: ", "\t"),
    ("X-Junk: ", "!"),
    ("X-Junk: ", "\r\n "),
    ("X-Junk: ", "\u{ff}"),
    ("", "\r\n\r\n"),
    ("", ":"),
    ("", "a:\r\n"),
    ("", "Via: SIP/2.0/UDP h\r\n"),
    ("", "Contact: <sip:a@h>\r\n"),
    ("Contact: ", ","),
    ("Contact: ", "<sip:a@h>,"),
    ("Contact: ", "<"),
    ("Contact: ", "\""),
    ("Contact: <sip:a@h>", ";"),
    ("Contact: <sip:a@h>", ";a"),
    ("Contact: <sip:a@h>", ";a=\"\\\"\""),
    ("Contact: <sip:a@h>", " "),
    ("Contact: sip:", "!"),
    ("Contact: <sip:", "%"),
    ("Via: SIP/2.0/UDP h", ";branch=z"),
    ("Via: SIP/2.0/UDP h", ";a=\"b\""),
    ("Via: ", "SIP/2.0/UDP h,"),
    ("Via: SIP / ", " "),
    ("Route: ", "<sip:p;lr>,"),
    ("Authorization: Digest ", "a=b,"),
    ("Authorization: Digest ", "a=\"b\","),
    ("Authorization: Digest a=", "\\\""),
    ("WWW-Authenticate: Digest ", ","),
    ("Require: ", "a,"),
    ("To: \"", "\\\""),
    ("Content-Length: ", "0"),
    ("Max-Forwards: ", "0"),
];

fn datagram(header: &str, unit: &str, bytes: usize) -> Bytes {
    let repeated = unit.repeat(bytes.saturating_sub(HEAD.len() + header.len() + 4) / unit.len());
    Bytes::from(format!("{HEAD}{header}{repeated}\r\n\r\n").into_bytes())
}

/// Reads all that the rest of the program may ask for.
fn read(datagram: &Bytes, limits: &Limits) {
    let look = |message: &Message| {
        for (_, _, value) in message.all_headers() {
            let _ = black_box((Challenge::parse(value), Credentials::parse(value), NameAddr::parse(value)));
            let _ = black_box(Uri::parse(value).is_ok_and(|uri| uri.equivalent(&uri)));
            black_box(comma_split(value).count());
        }
        black_box(message.vias().count() + message.contacts().count() + message.routes().count());
        black_box(message.lists(HeaderName::Require, "x"));
        let _ = black_box(sdp::parse(message.body()).is_ok());
    };
    match parse(datagram.clone(), limits) {
        Ok(message) => look(&message),
        Err(error) => error.partial.iter().for_each(look),
    }
}

fn fastest(times: usize, datagram: &Bytes, limits: &Limits) -> Duration {
    (0..5)
        .map(|_| {
            let start = Instant::now();
            (0..times).for_each(|_| read(datagram, limits));
            start.elapsed()
        })
        .min()
        .unwrap_or_default()
}

#[test]
fn one_long_datagram_costs_as_much_as_eight_short_ones() {
    let limits = Limits {
        header_bytes_max: usize::MAX,
        headers_max: usize::MAX,
        vias_max: usize::MAX,
        ..Limits::default()
    };
    for (header, unit) in PATTERNS {
        let (short, long) = (datagram(header, unit, 8_000), datagram(header, unit, 64_000));
        // A measurement may be spoilt, but not again and again.
        let linear = (0..8).any(|_| {
            let (short, long) = (fastest(8, &short, &limits), fastest(1, &long, &limits));
            long <= short * 3 + Duration::from_micros(50)
        });
        assert!(linear, "{header}{unit}…");
    }
}

#[test]
fn uris_with_thousands_of_parameters_are_compared_quickly() {
    let text = |value: &str| format!("sip:a@h{}", format!(";p={value}").repeat(20_000));
    let (left, right) = (text("a"), text("b"));
    let uris = (Uri::parse(left.as_bytes()).expect("a URI"), Uri::parse(right.as_bytes()).expect("a URI"));
    assert!(!uris.0.equivalent(&uris.1));
    assert!(uris.0.equivalent(&uris.0));
}

#[test]
fn each_limit_is_held_and_named() {
    let kind = |datagram: Bytes, limits: &Limits| parse(datagram, limits).expect_err("a limit").kind;
    let limits = Limits::default();
    let ok = |datagram: Bytes, limits: &Limits| parse(datagram, limits).map(drop).map_err(|error| error.kind);

    let long = datagram("Z: ", "a", 70_000);
    assert_eq!(kind(long, &limits), ParseErrorKind::TooLong);

    let with_headers = |count: usize| Bytes::from(format!("{HEAD}{}\r\n", "Z: y\r\n".repeat(count - 5)));
    assert_eq!(ok(with_headers(254), &limits), Ok(()));
    assert_eq!(ok(with_headers(255), &limits), Err(ParseErrorKind::TooManyHeaders));
    let ten = Limits { headers_max: 10, ..limits };
    assert_eq!(ok(with_headers(10), &ten), Ok(()));
    assert_eq!(ok(with_headers(11), &ten), Err(ParseErrorKind::TooManyHeaders));

    let with_header = |bytes: usize| Bytes::from(format!("{HEAD}Z: {}\r\n\r\n", "a".repeat(bytes - 5)));
    assert_eq!(ok(with_header(limits.header_bytes_max), &limits), Ok(()));
    assert_eq!(ok(with_header(limits.header_bytes_max + 1), &limits), Err(ParseErrorKind::HeaderTooLong));

    let with_vias = |count: usize| {
        Bytes::from(format!("{HEAD}{}\r\n", "Via: SIP/2.0/UDP h;branch=z\r\n".repeat(count - 1)))
    };
    assert_eq!(ok(with_vias(limits.vias_max), &limits), Ok(()));
    assert_eq!(ok(with_vias(limits.vias_max + 1), &limits), Err(ParseErrorKind::TooManyVias));
    let error = parse(with_vias(limits.vias_max + 1), &limits).expect_err("too many");
    assert_eq!(error.answer(), Some((513, "Message Too Large")));

    // More headers than the index holds inline: the rest is found just as well.
    let many = parse(Bytes::from(format!("{HEAD}{}Subject: last\r\n\r\n", "Z: y\r\n".repeat(100))), &limits)
        .expect("a sound message");
    assert_eq!(many.header(HeaderName::Subject), Some(&b"last"[..]));
    assert_eq!(many.all_headers().count(), 106);
}
