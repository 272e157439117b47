//! What a peer must say, and how: the refusal that is owed where it does not.

use super::called::invite_text;
use super::registering::{credentials, register_text};
use super::*;
use crate::wire::Transport;

/// Status and reason phrase of our last response.
fn last(bench: &Bench) -> (u16, String) {
    let response = bench.last_response();
    (response.status(), text(Some(response.reason())))
}

/// An INVITE has one Contact, whether it makes a dialog or is in one (RFC 3261 §8.1.1.8).
#[test]
fn one_contact() {
    let without = |text: &str| -> String {
        let lines = text.split_inclusive("\r\n").filter(|line| !line.starts_with("Contact"));
        lines.collect()
    };
    let mut bench = Bench::new();
    let first = invite_text("13800138000", "c1", "", OFFER);
    bench.receive(&without(&first));
    assert_eq!(last(&bench), (400, "Missing Contact".into()));
    for (id, more) in [("c2", "Contact: <sip:b@192.0.2.9>\r\n"), ("c3", "m: <sip:a@h>, <sip:b@h>\r\n")] {
        bench.receive(&invite_text("13800138000", id, more, OFFER));
        assert_eq!(last(&bench), (400, "Too Many Contacts".into()));
    }
    assert!(bench.incoming.is_empty());
    let leg = bench.standing();
    let contact = "Contact: <sip:b@192.0.2.9:5060>\r\n";
    bench.request_back("INVITE", "them", 1, "", ANSWER);
    assert_eq!(last(&bench), (400, "Missing Contact".into()));
    bench.request_back("INVITE", "them", 2, &contact.repeat(2), ANSWER);
    assert_eq!(last(&bench), (400, "Too Many Contacts".into()));
    assert!(!bench.ladder.contains("reoffer"), "{}", bench.ladder);
    bench.request_back("INVITE", "them", 3, contact, ANSWER);
    bench.ua.answer_reinvite(bench.now, leg, ANSWER.as_bytes(), &mut bench.out).expect("one waits");
    bench.note();
    bench.request_back("ACK", "them", 3, "", "");
    bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    bench.is_clean();
}

/// What a request in a dialog requires and we do not know is refused, whatever its method, and changes nothing
/// (RFC 3261 §8.2.2.3).
#[test]
fn extensions_are_known_in_dialogs_too() {
    let mut bench = Bench::new();
    let leg = bench.standing();
    let more = "Require: frob, replaces\r\nContact: <sip:b@192.0.2.9:5060>\r\nRefer-To: <sip:1@h>\r\n\
        Event: refer\r\nRAck: 1 1 INVITE\r\n";
    let methods = ["BYE", "OPTIONS", "INFO", "UPDATE", "PRACK", "REFER", "NOTIFY", "MESSAGE", "INVITE"];
    for (method, cseq) in methods.into_iter().zip(1..) {
        bench.request_back(method, "them", cseq, more, "");
        let answer = bench.last_response();
        assert_eq!((answer.status(), text(answer.header(HeaderName::Unsupported))), (420, "frob".into()));
        if method == "INVITE" {
            bench.request_back("ACK", "them", cseq, "", "");
        }
    }
    assert!(bench.ended.is_empty() && !bench.ladder.contains("refer"), "{}", bench.ladder);
    bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    bench.is_clean();
}

/// RFC 4028 §4, §5.
#[test]
fn intervals_are_numbers() {
    let mut bench = Bench::new();
    for (number, (more, status)) in [
        ("Session-Expires: soon\r\n", 400),
        ("Session-Expires: \r\n", 400),
        ("Session-Expires: -90\r\n", 400),
        ("Session-Expires: 90s\r\n", 400),
        ("x: 90 90\r\n", 400),
        ("Session-Expires: 900;refresher=me\r\n", 400),
        ("Session-Expires: 900;refresher\r\n", 400),
        ("Session-Expires: 900;;\r\n", 400),
        ("Session-Expires: 900\r\nSession-Expires: 901\r\n", 400),
        ("Session-Expires: 900\r\nMin-SE: 1.5\r\n", 400),
        ("Session-Expires: 5\r\nSupported: timer\r\n", 422),
        ("Session-Expires: 99999999999 ; Refresher = UAC;x=1\r\nMin-SE: 90;y\r\n", 100),
        ("Session-Expires: 900\r\n", 100),
    ]
    .into_iter()
    .enumerate()
    {
        bench.receive(&invite_text("13800138000", &format!("s{number}"), more, OFFER));
        assert_eq!(bench.last_response().status(), status, "{more}");
    }
    for leg in core::mem::take(&mut bench.incoming) {
        bench.reject(leg, 486);
    }
    let leg = bench.standing();
    let contact = "Contact: <sip:b@192.0.2.9:5060>\r\n";
    bench.request_back("UPDATE", "them", 1, &format!("{contact}Session-Expires: x\r\n"), "");
    assert_eq!(last(&bench), (400, "Bad Session-Expires".into()));
    // Whoever refreshes the target names it (RFC 3311 §5.1), with an offer and without.
    for (cseq, body) in [(2, ""), (3, OFFER)] {
        bench.request_back("UPDATE", "them", cseq, "", body);
        assert_eq!(last(&bench), (400, "Missing Contact".into()));
    }
    bench.request_back("UPDATE", "them", 4, contact, "");
    assert_eq!(bench.last_response().status(), 200);
    bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    bench.is_clean();
}

/// A PRACK says what it acknowledges (RFC 3262 §7.2); what it does not acknowledge goes on being repeated.
#[test]
fn a_prack_names_its_response() {
    let mut bench = Bench::new();
    bench.receive(&invite_text("13800138000", "p", "Require: 100rel\r\n", OFFER));
    let leg = bench.incoming[0];
    bench.ring(leg);
    let rseq = bench.last_response().seconds(HeaderName::RSeq).expect("a reliable response");
    for (at, (more, status)) in [
        (String::new(), 400),
        ("RAck: \r\n".into(), 400),
        (format!("RAck: {rseq}\r\n"), 400),
        (format!("RAck: {rseq} 1\r\n"), 400),
        (format!("RAck: {rseq} x INVITE\r\n"), 400),
        (format!("RAck: +{rseq} 1 INVITE\r\n"), 400),
        (format!("RAck: {rseq} 1 INVITE again\r\n"), 400),
        (format!("RAck: {rseq} 99999999999 INVITE\r\n"), 400),
        (format!("RAck: {rseq} 1 BYE\r\n"), 481),
        (format!("RAck: {rseq} 2 INVITE\r\n"), 481),
        (format!("RAck: {} 1 INVITE\r\n", rseq + 1), 481),
        (format!("RAck: {rseq}  1\tINVITE\r\n"), 200),
        (format!("RAck: {rseq} 1 INVITE\r\n"), 481),
    ]
    .into_iter()
    .enumerate()
    {
        bench.called_request("PRACK", 2 + at as u32, &more, "");
        assert_eq!(bench.last_response().status(), status, "{more}");
    }
    bench.reject(leg, 486);
    bench.is_clean();
}

/// `sips:` is for those who come over TLS (RFC 5630 §4); others must not believe that they are safe.
#[test]
fn sips_is_safe_or_refused() {
    let mut bench = Bench::with(|config| {
        let address = address("192.0.2.1:5061");
        config.listeners.push(Listener {
            transport: Transport::Tls,
            address,
            advertised: address.to_string(),
        });
    });
    let invite =
        |id: &str| invite_text("13800138000", id, "", OFFER).replacen("INVITE sip:", "INVITE sips:", 1);
    bench.receive(&invite("udp"));
    let refused = bench.last_response();
    assert_eq!(refused.status(), 480);
    assert!(text(refused.header_by_text("Warning")).starts_with("380 "));
    assert!(bench.incoming.is_empty());
    bench.receive(&register_text(1, "").replacen("REGISTER sip:", "REGISTER sips:", 1));
    assert_eq!(bench.last_response().status(), 480);
    bench.listener = 1;
    bench.ua.flow_opened(1, bench.peer, Vec::new());
    bench.receive(&invite("tls").replace("SIP/2.0/UDP", "SIP/2.0/TLS"));
    let leg = bench.incoming[0];
    bench.reject(leg, 486);
    bench.ua.flow_closed(bench.now, 1, bench.peer, &mut bench.out);
    bench.is_clean();
}

/// Streams that have ended keep their line (RFC 3264 §8), whoever offers, and whoever had offered before.
#[test]
fn an_offer_keeps_all_lines() {
    let two = format!("{OFFER}m=video 0 RTP/AVP 31\r\n");
    let contact = "Contact: <sip:b@192.0.2.9:5060>\r\n";
    let mut bench = Bench::new();
    let leg = bench.call_with(|invite| invite.sdp = Bytes::from(two.clone()));
    bench.respond(Method::Invite, 200, "them", contact, &two);
    for (cseq, method) in [(1, "INVITE"), (2, "UPDATE")] {
        bench.request_back(method, "them", cseq, contact, OFFER);
        assert_eq!(bench.last_response().status(), 488, "{}", bench.ladder);
    }
    // As many are well, and more; which then are to stay.
    let three = format!("{two}m=text 0 RTP/AVP 98\r\n");
    for (cseq, offer, taken) in [(3, &two, true), (4, &three, true), (5, &two, false), (6, &three, true)] {
        bench.request_back("INVITE", "them", cseq, contact, offer);
        let answered = bench.ua.answer_reinvite(bench.now, leg, offer.as_bytes(), &mut bench.out);
        assert_eq!(answered.is_ok(), taken, "{cseq}");
        bench.note();
        bench.request_back("ACK", "them", cseq, "", "");
    }
    // An offer that we refuse changes nothing.
    bench.request_back("INVITE", "them", 7, contact, &format!("{three}m=x 0 y 1\r\n"));
    bench.ua.reject_reinvite(bench.now, leg, 488, &mut bench.out).expect("one waits");
    bench.note();
    bench.request_back("ACK", "them", 7, "", "");
    bench.request_back("UPDATE", "them", 8, contact, &three);
    assert_eq!(bench.ladder.matches("reoffer by update").count(), 1, "{}", bench.ladder);
    bench.ua.answer_reinvite(bench.now, leg, three.as_bytes(), &mut bench.out).expect("one waits");
    bench.note();
    bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    bench.is_clean();
}

/// RFC 3261 §10.3: a REGISTER is for a domain that we serve, and for an address in it.
#[test]
fn other_domains_register_elsewhere() {
    let with = |domains: &[&str]| {
        let domains = domains.iter().map(|name| (*name).to_owned()).collect();
        Bench::with(|config| config.domains = domains)
    };
    let phone = address("192.0.2.50:1024");
    let register = |bench: &mut Bench, cseq: u32, domain: &str, record: &str| {
        let text = |headers: &str| {
            let text = register_text(cseq, headers);
            text.replace("REGISTER sip:192.0.2.1", &format!("REGISTER sip:{domain}"))
                .replace("To: <sip:1001@192.0.2.1>", &format!("To: <sip:1001@{record}>"))
        };
        bench.receive_from(phone, &text(""));
        if bench.last_response().status() != 401 {
            return bench.last_response().status();
        }
        let credentials = credentials(bench, "REGISTER", &format!("sip:{domain}"), "1001", "pw1001");
        bench.receive_from(phone, &text(&credentials).replace("z9hG4bKr", "z9hG4bKs"));
        bench.last_response().status()
    };
    for (domains, domain, record, status) in [
        // Any, as long as it is one.
        (&[][..], "pbx.example.com", "PBX.example.com.", 200),
        (&[], "pbx.example.com", "other.example.com", 404),
        (&[], "192.0.2.1:5060", "dialerd", 200),
        (&[], "pbx.example.com", "dialerd", 200),
        (&["a.example", "b.example"], "a.example", "b.example", 200),
        (&["a.example"], "192.0.2.1", "a.example", 200),
        (&["a.example"], "a.example", "192.0.2.1:5060", 200),
        (&["a.example"], "b.example", "b.example", 404),
        (&["a.example"], "a.example", "b.example", 404),
        (&["a.example"], "198.51.100.1", "198.51.100.1", 404),
    ] {
        let mut bench = with(domains);
        assert_eq!(register(&mut bench, 1, domain, record), status, "{domains:?} {domain} {record}");
    }
}
