//! What peers send that they should not: nothing is owed to most of it, and no dialog is touched.

use super::*;

const CONTACT: &str = "Contact: <sip:b@192.0.2.9:5060>\r\n";

fn raw(bench: &mut Bench, bytes: &[u8]) -> usize {
    let before = bench.sent.len();
    bench.ua.handle_datagram(bench.now, 0, bench.peer, Bytes::copy_from_slice(bytes), &mut bench.out);
    let answers = bench.out.drain().filter(|output| matches!(output, Output::Send { .. })).count();
    assert_eq!(bench.sent.len(), before);
    answers
}

/// Beside a standing call: silence where nothing is owed, and the call stands.
#[test]
fn what_belongs_to_nothing() {
    let mut bench = Bench::new();
    let leg = bench.standing();
    let invite = bench.last(Method::Invite);
    let before = bench.ua.audit();
    for silent in [&b""[..], b"\r\n\r\n", b"\0", &[0xff; 1500], b"SIP/2.0 200 OK\r\n\r\n", b"INVITE\r\n\r\n"]
    {
        assert_eq!(raw(&mut bench, silent), 0, "{silent:?}");
    }
    // A response to nothing of ours: a foreign branch, and one of ours with another random part.
    let stray = response_text(&invite, 200, "x", CONTACT, ANSWER);
    assert_eq!(raw(&mut bench, stray.replace("z9hG4bK0", "z9hG4bKx").as_bytes()), 0);
    // An ACK out of nowhere, and one in the call that answers nothing.
    let nowhere = "ACK sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKn\r\n\
                   From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: n\r\nCSeq: 1 ACK\r\n\r\n";
    assert_eq!(raw(&mut bench, nowhere.as_bytes()), 0);
    bench.request_back("ACK", "them", 1, "", "");
    // CANCEL after the 200, and BYE of a stranger with our tag.
    let cancel = "CANCEL sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKc\r\n\
                  From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 CANCEL\r\n\r\n";
    bench.receive(cancel);
    assert_eq!(bench.last_response().status(), 481);
    bench.request_back("BYE", "stranger", 9, "", "");
    assert_eq!(bench.last_response().status(), 481);
    let after = bench.ua.audit();
    assert_eq!((after.legs, after.client_transactions), (before.legs, before.client_transactions));
    assert!(bench.ended.is_empty(), "{}", bench.ladder);
    bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    bench.is_clean();
}

/// Headers without measure, lies about the length, doubles and contradictions: the 4xx or 5xx that is owed.
#[test]
fn headers_that_lie() {
    let mut bench = Bench::new();
    let of = |more: &str, body: &str| {
        format!(
            "OPTIONS sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKl\r\n\
             From: <sip:b@192.0.2.9>;tag=t\r\nTo: <sip:x@192.0.2.1>\r\nCall-ID: l\r\nCSeq: 1 OPTIONS\r\n{more}\r\n{body}"
        )
    };
    for (more, body, status) in [
        (format!("X: {}\r\n", "a".repeat(64_000)), "", 513),
        ("Content-Length: 10\r\n".into(), "short", 400),
        ("Content-Length: -1\r\n".into(), "", 400),
        ("Content-Length: 0\r\nContent-Length: 5\r\n".into(), "12345", 400),
        ("Call-ID: other\r\n".into(), "", 400),
        ("CSeq: 2 OPTIONS\r\n".into(), "", 400),
        // Folded and compact is only unusual.
        ("k: timer,\r\n\t100rel\r\ns:\r\n folded\r\nl: 0\r\n".into(), "", 200),
        // More than Content-Length says is cut off.
        ("Content-Length: 2\r\n".into(), "12 and more", 200),
    ] {
        bench.receive(&of(&more, body));
        assert_eq!(bench.last_response().status(), status, "{}", more.chars().take(60).collect::<String>());
    }
    bench.is_clean();
}

/// The clock leaps by a day in a call: what was due is done once, and the call ends as its session has.
#[test]
fn the_clock_leaps() {
    let mut bench = Bench::new();
    bench.call();
    let more = format!("{CONTACT}Session-Expires: 600;refresher=uas\r\n");
    bench.respond(Method::Invite, 200, "them", &more, ANSWER);
    bench.now += Duration::from_secs(86_400);
    bench.ua.handle_timeout(bench.now, &mut bench.out);
    bench.note();
    assert_eq!((bench.ended.len(), bench.count("BYE")), (1, 1), "{}", bench.ladder);
    bench.respond(Method::Bye, 200, "", "", "");
    bench.is_clean();
}
