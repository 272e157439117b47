//! Bodies of several parts (RFC 5621): the description is found wherever one may be, and what must be known is refused.

use super::called::invite_text;
use super::*;

const CONTACT: &str = "Contact: <sip:b@192.0.2.9:5060>\r\n";

/// A body with a description beside what the telephone network says.
fn mixed(sdp: &str, more: &str) -> String {
    format!(
        "--b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--b\r\nContent-Type: application/isup;version=itu-t92+\r\n\
         {more}\r\n\u{1}\u{2}\r\n--b--\r\n"
    )
}

/// A message with another body in the place of the one it has.
fn with_body(message: &str, content_type: &str, body: &str) -> String {
    let head: String = message
        .split_once("\r\n\r\n")
        .expect("a head")
        .0
        .split("\r\n")
        .filter(|line| !line.starts_with("Content-"))
        .map(|line| format!("{line}\r\n"))
        .collect();
    format!("{head}Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn in_parts(message: &str, sdp: &str) -> String {
    with_body(message, "multipart/mixed;boundary=b", &mixed(sdp, ""))
}

/// The offer in an INVITE, and the answer in an ACK.
#[test]
fn an_offer_beside_something_else() {
    let mut bench = Bench::new();
    bench.receive(&in_parts(&invite_text("13800138000", "m1", "", ""), OFFER));
    let leg = bench.incoming[0];
    bench.answer(leg).ack();
    assert!(bench.ladder.ends_with("confirmed\n"), "our answer is one:\n{}", bench.ladder);
    bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    // A part for the eyes alone is no offer: ours is answered in the ACK.
    let bare = with_body(
        &invite_text("13800138000", "m2", "", ""),
        "multipart/mixed;boundary=x",
        "--x\r\n\r\nhello\r\n--x--",
    );
    bench.receive(&bare.replacen(
        "Content-Type",
        "Content-Disposition: render;handling=optional\r\nContent-Type",
        1,
    ));
    let leg = bench.incoming[1];
    bench.answer(leg);
    let ack = bench.called_text("ACK", 1);
    bench.receive(&in_parts(&ack, ANSWER));
    assert!(bench.ladder.ends_with("confirmed sdp\n"), "{}", bench.ladder);
    // And the other way round, in a re-INVITE.
    let again = bench.called_text("INVITE", 2);
    bench.receive(&in_parts(&again.replacen("Max-F", &format!("{CONTACT}Max-F"), 1), OFFER));
    assert!(bench.ladder.ends_with("reoffer sdp\n"), "{}", bench.ladder);
    bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    bench.is_clean();
}

/// In 183 and 200.
#[test]
fn answers_beside_something_else() {
    let mut bench = Bench::new();
    let leg = bench.call();
    let invite = bench.last(Method::Invite);
    for (status, shown) in [(183, "progress 183 sdp\n"), (200, "answered sdp\n")] {
        bench.receive(&in_parts(&response_text(&invite, status, "them", CONTACT, ""), ANSWER));
        assert!(bench.ladder.ends_with(shown), "{}", bench.ladder);
    }
    bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    bench.is_clean();
}

#[test]
fn what_cannot_be_taken_apart_or_must_be_known() {
    let mut bench = Bench::new();
    let invite =
        |id: &str, kind: &str, body: &str| with_body(&invite_text("13800138000", id, "", ""), kind, body);
    let must = mixed(OFFER, "Content-Disposition: signal;handling=required\r\n");
    let may = mixed(OFFER, "Content-Disposition: signal;handling=optional\r\n");
    for (id, kind, body, status) in [
        ("1", "multipart/mixed;boundary=b", may.as_str(), 100),
        ("2", "multipart/mixed;boundary=b", must.as_str(), 415),
        ("3", "multipart/mixed;boundary=c", may.as_str(), 400),
        ("4", "multipart/mixed", may.as_str(), 400),
        ("5", "multipart/mixed;boundary=b", "--b\r\n\r\nx\r\n--b--\r\n", 415),
        (
            "6",
            "multipart/mixed;boundary=b",
            "--b\r\nContent-Type: multipart/mixed;boundary=i\r\n\r\n--b--\r\n",
            400,
        ),
        ("7", "text/plain", "hello", 415),
    ] {
        bench.receive(&invite(id, kind, body));
        assert_eq!(bench.last_response().status(), status, "{id}");
        if status == 415 {
            assert!(bench.last_response().lists(HeaderName::Accept, "application/sdp"));
        }
    }
    let leg = bench.incoming[0];
    bench.reject(leg, 486);
    bench.is_clean();
}

/// What goes beside the offer stays there when the INVITE is sent again (RFC 5621).
#[test]
fn parts_of_ours_stay_beside_the_offer() {
    let mut bench = Bench::new();
    let invite = bench.invite();
    let isup: &[u8] = b"Content-Type: application/isup;version=itu-t92+\r\n\r\n\x01\x02";
    bench.ua.invite_with_parts(bench.now, &invite, &[isup], &mut bench.out).expect("there is room");
    bench.note();
    let first = bench.last(Method::Invite);
    bench.respond(Method::Invite, 407, "them", super::calls::CHALLENGE, "");
    let second = bench.last(Method::Invite);
    assert!(second.has(HeaderName::ProxyAuthorization) && second.cseq() != first.cseq());
    for sent in [&first, &second] {
        assert_eq!(sent.session_description().as_deref(), Some(OFFER.as_bytes()));
        assert_eq!(sent.other_parts(), [isup]);
    }
    assert_eq!(first.body(), second.body());
    bench.respond(Method::Invite, 486, "them", "", "");
    bench.is_clean();
}
