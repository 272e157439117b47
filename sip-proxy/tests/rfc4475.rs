//! The torture test messages of RFC 4475: what the parser accepts, what it refuses, and what it answers.
//!
//! Messages of §3.3 are sound on the wire in most cases; what becomes of them is the user agent's business.

use bytes::{Bytes, BytesMut};
use sip_proxy::wire::ParseErrorKind::{self, Duplicate, Missing, Value};
use sip_proxy::wire::{
    Contact, Credentials, HeaderName, Limits, Message, Method, ParseError, Scheme, Transport, Uri, parse,
    respond, sdp,
};

/// What must become of a message.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    Accepted,
    /// Refused for this reason, and answered with this status; 0 is silence.
    Refused(ParseErrorKind, u16),
}

use Verdict::{Accepted, Refused};

macro_rules! messages {
    ($($name:ident $section:literal $verdict:expr;)*) => {
        const MESSAGES: &[(&str, &str, &[u8], Verdict)] = &[$((
            stringify!($name),
            $section,
            include_bytes!(concat!("data/rfc4475/", stringify!($name), ".dat")),
            $verdict,
        ),)*];
    };
}

messages! {
    // Valid messages.
    wsinv "3.1.1.1" Accepted;
    intmeth "3.1.1.2" Accepted;
    esc01 "3.1.1.3" Accepted;
    escnull "3.1.1.4" Accepted;
    esc02 "3.1.1.5" Accepted;
    lwsdisp "3.1.1.6" Accepted;
    longreq "3.1.1.7" Accepted;
    dblreq "3.1.1.8" Accepted;
    semiuri "3.1.1.9" Accepted;
    transports "3.1.1.10" Accepted;
    mpart01 "3.1.1.11" Accepted;
    unreason "3.1.1.12" Accepted;
    noreason "3.1.1.13" Accepted;
    // Invalid messages.
    badinv01 "3.1.2.1" Refused(Value(HeaderName::Via), 400);
    clerr "3.1.2.2" Refused(ParseErrorKind::BodyTruncated, 400);
    ncl "3.1.2.3" Refused(Value(HeaderName::ContentLength), 400);
    scalar02 "3.1.2.4" Refused(Value(HeaderName::CSeq), 400);
    scalarlg "3.1.2.5" Refused(Value(HeaderName::CSeq), 0);
    quotbal "3.1.2.6" Refused(Value(HeaderName::To), 400);
    ltgtruri "3.1.2.7" Refused(ParseErrorKind::RequestUri, 400);
    lwsruri "3.1.2.8" Refused(ParseErrorKind::RequestUri, 400);
    lwsstart "3.1.2.9" Refused(ParseErrorKind::RequestLine, 400);
    trws "3.1.2.10" Refused(ParseErrorKind::RequestLine, 400);
    escruri "3.1.2.11" Refused(ParseErrorKind::RequestUri, 400);
    // "Not GMT" may be refused or ignored; we use Date for nothing and ignore it.
    baddate "3.1.2.12" Accepted;
    regbadct "3.1.2.13" Refused(Value(HeaderName::Contact), 400);
    badaspec "3.1.2.14" Refused(Value(HeaderName::To), 400);
    baddn "3.1.2.15" Refused(ParseErrorKind::HeadersNotEnded, 400);
    badvers "3.1.2.16" Refused(ParseErrorKind::Version, 505);
    mismatch01 "3.1.2.17" Refused(ParseErrorKind::CSeqMethod, 400);
    mismatch02 "3.1.2.18" Refused(ParseErrorKind::CSeqMethod, 501);
    bigcode "3.1.2.19" Refused(ParseErrorKind::StatusCode, 0);
    // Transaction layer.
    badbranch "3.2.1" Accepted;
    // Application layer.
    insuf "3.3.1" Refused(Missing(HeaderName::From), 400);
    unkscm "3.3.2" Accepted;
    novelsc "3.3.3" Accepted;
    unksm2 "3.3.4" Accepted;
    bext01 "3.3.5" Accepted;
    invut "3.3.6" Accepted;
    regaut01 "3.3.7" Accepted;
    multi01 "3.3.8" Refused(Duplicate(HeaderName::CSeq), 400);
    mcl01 "3.3.9" Refused(Duplicate(HeaderName::ContentLength), 400);
    bcast "3.3.10" Accepted;
    zeromf "3.3.11" Accepted;
    cparam01 "3.3.12" Accepted;
    cparam02 "3.3.13" Accepted;
    regescrt "3.3.14" Accepted;
    sdp01 "3.3.15" Accepted;
    // Backward compatibility.
    inv2543 "3.4.1" Accepted;
}

#[allow(clippy::result_large_err, reason = "as the parser's own")]
fn read(name: &str) -> Result<Message, ParseError> {
    let (.., raw, _) = MESSAGES.iter().find(|(found, ..)| *found == name).expect("a message of the table");
    parse(Bytes::from_static(raw), &Limits::default())
}

fn accepted(name: &str) -> Message {
    read(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).expect("text")
}

#[test]
fn each_message_is_accepted_or_refused_as_the_rfc_says() {
    assert_eq!(MESSAGES.len(), 49);
    for (name, section, raw, verdict) in MESSAGES {
        let found = parse(Bytes::from_static(raw), &Limits::default());
        match (verdict, found) {
            (Accepted, Ok(message)) => {
                assert!(!message.call_id().is_empty(), "{name}");
                assert!(message.vias().all(|via| via.is_ok()), "{name}");
                assert!(message.contacts().all(|contact| contact.is_ok()), "{name}");
                assert!(message.routes().all(|route| route.is_ok()), "{name}");
                assert!(message.record_routes().all(|route| route.is_ok()), "{name}");
            }
            (Refused(kind, status), Err(error)) => {
                assert_eq!(error.kind, *kind, "{name} (RFC 4475 §{section})");
                assert_eq!(error.answer().map_or(0, |(status, _)| status), *status, "{name}");
                assert!(error.offset <= raw.len(), "{name}");
            }
            (_, found) => panic!("{name} (RFC 4475 §{section}): {verdict:?} expected, found {found:?}"),
        }
    }
}

/// What is refused is answered with the headers it came with, so that its sender knows the answer is his.
#[test]
fn refused_requests_are_answered_along_their_via() {
    let source = "192.0.2.77:40000".parse().expect("an address");
    for (name, _, _, verdict) in MESSAGES {
        let Refused(_, 400..) = verdict else { continue };
        let error = read(name).expect_err(name);
        let (status, reason) = error.answer().expect(name);
        let partial = error.partial.as_ref().expect(name);
        let mut buf = BytesMut::new();
        respond(&mut buf, partial, status, reason, Some("totag"), source).no_body();
        let answer = String::from_utf8_lossy(&buf).into_owned();
        assert!(answer.starts_with(&format!("SIP/2.0 {status} {reason}\r\nVia: SIP/")), "{answer}");
        assert!(answer.ends_with("Content-Length: 0\r\n\r\n"), "{answer}");
        for header in [HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq] {
            let line = |value: &[u8]| format!("\r\n{}: {}", header.as_str(), String::from_utf8_lossy(value));
            match partial.header(header) {
                Some(value) => assert!(answer.contains(&line(value)), "{name}: {answer}"),
                None => assert!(!answer.contains(&line(b"")), "{name}: {answer}"),
            }
        }
    }
    let mut buf = BytesMut::new();
    let refused = read("quotbal").expect_err("a broken To").partial.expect("a request");
    respond(&mut buf, &refused, 400, "Bad To", Some("t"), source).no_body();
    assert!(
        String::from_utf8_lossy(&buf)
            .contains("Via: SIP/2.0/UDP 192.0.2.59:5050;branch=z9hG4bKkdjuw39234;received=192.0.2.77\r\n")
    );
}

#[test]
fn wsinv_is_read_through_its_white_space() {
    let message = accepted("wsinv");
    assert_eq!(message.method(), Method::Invite);
    assert_eq!(message.cseq(), (9, Method::Invite));
    assert_eq!(message.max_forwards(), Some(68));
    assert_eq!(message.to_tag(), Some(&b"1918181833n"[..]));
    assert_eq!(message.from_tag(), Some(&b"98asjd8"[..]));
    assert_eq!(text(message.from().expect("From").display), r#"J Rosenberg \\\""#);
    let vias: Vec<_> = message.vias().map(|via| via.expect("a sound Via")).collect();
    let branches: Vec<_> = vias.iter().map(|via| text(via.branch.expect("a branch"))).collect();
    assert_eq!(branches, ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]);
    assert_eq!(vias[1].transport, Transport::Tcp);
    assert_eq!(text(vias[1].host), "spindle.example.com");
    let contact = message.contact().expect("a Contact");
    assert_eq!(text(contact.display), r#"Quoted string \"\""#);
    assert_eq!(contact.params.value("q"), Some(&b"0.33"[..]));
    assert_eq!(contact.params.value("newparam"), Some(&b"newvalue"[..]));
    assert_eq!(contact.params.get("secondparam"), Some(None));
    let route = message.routes().next().expect("a Route").expect("a sound Route");
    assert!(route.uri().expect("a URI").loose_router());
    assert_eq!(message.header(HeaderName::Subject), Some(&b""[..]));
    assert_eq!(
        message.header_by_text("newfangledheader"),
        Some(&b"newfangled value\r\n continued newfangled value"[..])
    );
    assert_eq!(message.header_by_text("UnknownHeaderWithUnusualValue"), Some(&b";;,,;;,;"[..]));
    assert_eq!(sdp::parse(message.body()).expect("SDP").medias().count(), 2);
}

#[test]
fn unusual_but_legal_characters_and_escapes() {
    let message = accepted("intmeth");
    assert_eq!(text(message.method_text()), "!interesting-Method0123456789_*+`.%indeed'~");
    assert_eq!((message.method(), message.max_forwards()), (Method::Other, Some(255)));
    assert_eq!(message.to().expect("To").display, b"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f");
    let from = message.from().expect("From");
    assert_eq!(text(from.display), "token1~` token2'+_ token3*%!.-");
    assert_eq!(from.params.value("fromParam''~+*_!.-%").map(text), Some("работающий"));
    assert_eq!(from.tag().map(text), Some("_token~1'+`*%!-."));
    let uri = Uri::parse(message.request_uri()).expect("a URI");
    assert_eq!(text(uri.host), "example.com");
    assert_eq!(uri.password.map(text), Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"));

    let message = accepted("esc01");
    let uri = Uri::parse(message.request_uri()).expect("a URI");
    assert_eq!((uri.scheme, uri.user.map(text)), (Scheme::Sip, Some("sips%3Auser%40example.com")));
    let contact = message.contact().expect("a Contact").uri().expect("a URI");
    assert_eq!(contact.param("%6C%72"), Some(&b""[..]));
    assert!(!contact.loose_router());
    let to = message.to().expect("To").uri().expect("a URI");
    assert!(to.equivalent(&Uri::parse(b"sip:user@example.com").expect("a URI")));

    let message = accepted("escnull");
    let users: Vec<_> = message
        .contacts()
        .map(|contact| *contact.expect("a Contact").address().expect("an address"))
        .map(|address| address.uri().expect("a URI"))
        .collect();
    assert_eq!(users.len(), 2);
    assert!(!users[0].equivalent(&users[1]));

    let message = accepted("esc02");
    assert_eq!(text(message.method_text()), "RE%47IST%45R");
    assert_eq!(message.method(), Method::Other);
    assert_eq!(message.contacts().count(), 2);

    let message = accepted("semiuri");
    let uri = Uri::parse(message.request_uri()).expect("a URI");
    assert_eq!(uri.user.map(text), Some("user;par=u%40example.net"));
    assert_eq!(message.values(HeaderName::Accept).count(), 6);
    assert!(message.lists(HeaderName::Accept, "application/SDP"));

    assert_eq!(accepted("lwsdisp").from().expect("From").display, b"caller");
}

#[test]
fn sizes_and_ends() {
    let message = accepted("longreq");
    assert_eq!(message.vias().count(), 34);
    assert_eq!(message.body().len(), 150);

    let message = accepted("dblreq");
    assert_eq!(message.raw().len(), 300);
    assert!(message.body().is_empty());

    let message = accepted("mpart01");
    assert_eq!(message.content_length(), Some(553));
    assert_eq!(message.body().len(), 553);
    assert_eq!(message.body_bytes(), message.body());

    let message = accepted("unreason");
    assert_eq!(message.status(), 200);
    assert_eq!(text(message.reason()), "= 2**3 * 5**2 но сто девяносто девять - простое");
    let message = accepted("noreason");
    assert_eq!((message.status(), message.reason()), (100, &b""[..]));

    let transports: Vec<_> = accepted("transports").vias().map(|via| via.expect("a Via").transport).collect();
    assert_eq!(
        transports,
        [Transport::Udp, Transport::Sctp, Transport::Tls, Transport::Other, Transport::Tcp]
    );
}

#[test]
fn what_the_user_agent_must_see() {
    assert!(!accepted("badbranch").top_via().has_rfc3261_branch());
    assert_eq!(accepted("zeromf").max_forwards(), Some(0));
    assert_eq!(Uri::parse(accepted("unkscm").request_uri()).expect("a URI").scheme, Scheme::Other);
    assert_eq!(Uri::parse(accepted("novelsc").request_uri()).expect("a URI").scheme_text, b"soap.beep");
    let message = accepted("bext01");
    assert_eq!(message.values(HeaderName::Require).count(), 2);
    assert_eq!(message.values(HeaderName::ProxyRequire).count(), 2);
    let message = accepted("regaut01");
    let value = message.header(HeaderName::Authorization).expect("Authorization");
    assert!(!Credentials::parse(value).expect("credentials").is_digest());
    let message = accepted("cparam01");
    let contact = message.contact().expect("a Contact");
    assert_eq!(text(contact.uri_text), "sip:+19725552222@gw1.example.net");
    assert_eq!(contact.params.get("unknownparam"), Some(None));
    let message = accepted("cparam02");
    let contact = message.contact().expect("a Contact");
    assert_eq!(contact.params.get("unknownparam"), None);
    assert_eq!(contact.uri().expect("a URI").param("unknownparam"), Some(&b""[..]));
    let message = accepted("regescrt");
    let contact = message.contacts().next().expect("a Contact").expect("a sound one");
    let Contact::Address(address) = contact else { panic!("an address") };
    assert_eq!(address.uri().expect("a URI").headers, Some(&b"Route=%3Csip:sip.example.com%3E"[..]));
    let message = accepted("inv2543");
    assert_eq!((message.from_tag(), message.top_via().branch, message.content_length()), (None, None, None));
    assert_eq!(message.body().len(), 105);
    assert!(sdp::parse(message.body()).expect("SDP").audio().is_some());
    assert_eq!(accepted("bcast").vias().count(), 2);
}
