//! 3xx, loops, and requests that are too large.

use expect_test::expect;

use super::*;

impl Bench {
    fn redirect(&mut self, status: u16, contacts: &str) -> &mut Self {
        self.respond(Method::Invite, status, "them", &format!("Contact: {contacts}\r\n"), "")
    }

    fn last_target(&self) -> (SocketAddr, String) {
        let found = self.sent.iter().rev().find(|(_, message)| message.is_request());
        let (to, message) = found.expect("a request");
        (*to, text(Some(message.request_uri())))
    }
}

/// The best target first, the next one when it fails; then the last failure stands.
#[test]
fn redirections_are_followed_at_the_trunk() {
    check(
        |bench| {
            bench.call();
            bench.redirect(
                302,
                "<sip:1@192.0.2.9>;q=0.3, \"x\" <sip:2@192.0.2.9:5060>, <sip:3@192.0.2.9>;q=0.3",
            );
            assert_eq!(bench.last_target(), (bench.peer, "sip:2@192.0.2.9:5060".into()));
            let invite = bench.last(Method::Invite);
            assert_eq!((invite.cseq().0, invite.body()), (2, OFFER.as_bytes()));
            assert_eq!(text(invite.header(HeaderName::To)), "<sip:13800138000@192.0.2.9>");
            bench.respond(Method::Invite, 180, "them", "", "").respond(Method::Invite, 486, "them", "", "");
            assert_eq!(bench.last_target().1, "sip:1@192.0.2.9");
            bench.respond(Method::Invite, 503, "them", "", "");
            assert_eq!(bench.last_target().1, "sip:3@192.0.2.9");
            // No more than three, however many are named.
            bench.redirect(301, "<sip:4@192.0.2.9>");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 302
            0.000  us > ACK
            0.000  us > INVITE
            0.000  us < 180
            0.000  progress 180
            0.000  us < 486
            0.000  us > ACK
            0.000  us > INVITE
            0.000  us < 503
            0.000  us > ACK
            0.000  us > INVITE
            0.000  us < 301
            0.000  us > ACK
            0.000  ended by Remote, code 301
        "#]],
    );
}

#[test]
fn where_redirections_do_not_lead() {
    let followed = |change: fn(&mut Config), status: u16, contacts: &str| {
        let mut bench = Bench::with(change);
        bench.call();
        bench.redirect(status, contacts);
        let sent = bench.count("INVITE") > 1;
        let target = bench.last_target();
        if sent {
            bench.respond(Method::Invite, 604, "them", "", "");
        }
        assert_eq!(bench.ended[0].code, Some(if sent { 604 } else { status }));
        bench.is_clean();
        sent.then_some(target.0)
    };
    let home = address("192.0.2.9:5060");
    let same = |_: &mut Config| {};
    let anywhere = |config: &mut Config| config.redirects.anywhere = true;
    assert_eq!(followed(same, 302, "<sip:1@192.0.2.9>"), Some(home));
    assert_eq!(followed(same, 300, "<tel:+8613800138000>"), Some(home));
    assert_eq!(followed(same, 302, "<sip:1@192.0.2.9:5099>"), Some(address("192.0.2.9:5099")));
    for elsewhere in ["<sip:1@198.51.100.7>", "<sip:1@carrier.example>"] {
        assert_eq!(followed(same, 302, elsewhere), None, "{elsewhere}");
    }
    assert_eq!(followed(anywhere, 302, "<sip:1@198.51.100.7>"), Some(address("198.51.100.7:5060")));
    assert_eq!(followed(anywhere, 302, "<sip:1@carrier.example>"), Some(home));
    for nowhere in [
        "<mailto:a@b>",
        "<sip:1@192.0.2.9?Route=x>",
        "*",
        "<sip:13800138000@192.0.2.9>",
        "<sips:1@192.0.2.9>",
    ] {
        assert_eq!(followed(anywhere, 302, nowhere), None, "{nowhere}");
    }
    // What is no redirection of this kind.
    assert_eq!(followed(anywhere, 305, "<sip:1@192.0.2.9>"), None);
    assert_eq!(followed(anywhere, 380, "<sip:1@192.0.2.9>"), None);
    assert_eq!(followed(|config| config.redirects.targets_max = 0, 302, "<sip:1@192.0.2.9>"), None);
}

/// Hung up between two targets: nothing more is tried.
#[test]
fn a_redirected_call_is_cancelled() {
    let mut bench = Bench::new();
    let leg = bench.call();
    bench.redirect(302, "<sip:1@192.0.2.9>, <sip:2@192.0.2.9>");
    bench.respond(Method::Invite, 180, "them", "", "").hangup(leg);
    bench.respond(Method::Cancel, 200, "", "", "").respond(Method::Invite, 487, "them", "", "");
    assert_eq!(bench.count("INVITE"), 2);
    assert_eq!(bench.ended[0].by, EndedBy::Local);
    bench.is_clean();
}

/// Our own INVITE comes back with its tag and number: 482. With another number, or when ours is over, it is a call.
#[test]
fn our_own_call_comes_back() {
    let mut bench = Bench::new();
    bench.call();
    let back = |bench: &mut Bench, number: &str, branch: &str| {
        let invite = bench.last(Method::Invite);
        let text = format!(
            "INVITE sip:{number}@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{branch}\r\n\
             Max-Forwards: 60\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:x@192.0.2.9>\r\n{}",
            text(invite.header(HeaderName::From)),
            text(invite.header(HeaderName::To)),
            text(Some(invite.call_id())),
            body_text(OFFER),
        );
        bench.receive(&text);
        bench.last_response().status()
    };
    assert_eq!(back(&mut bench, "13800138000", "a"), 482);
    assert_eq!(back(&mut bench, "4000", "b"), 100);
    let leg = bench.incoming[0];
    bench.hangup(leg);
    bench.respond(Method::Invite, 486, "them", "", "");
    bench.pass_ms(40_000);
    assert_eq!(back(&mut bench, "13800138000", "c"), 100);
    let leg = bench.incoming[1];
    bench.hangup(leg);
    bench.is_clean();
}

/// A call that another shard of this node has sent: its Via and its tag are ours, and it is for the number it went out for.
#[test]
fn a_call_of_another_shard_comes_back() {
    let mut bench = Bench::new();
    bench.call();
    let invite = bench.last(Method::Invite);
    let from = text(invite.header(HeaderName::From));
    let via = text(invite.header(HeaderName::Via));
    let at = from.find(";tag=").expect("a tag") + 5;
    // The first three digits of a tag name the shard.
    let other = format!("{}01a{}", &from[..at], &from[at + 3..]);
    let back = |bench: &mut Bench, number: &str, branch: &str, own: &str| {
        let request = format!(
            "INVITE sip:{number}@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{branch}\r\n{own}\
             Max-Forwards: 60\r\nFrom: {other}\r\nTo: <sip:13800138000@192.0.2.9>\r\nCall-ID: {branch}\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:x@192.0.2.9>\r\n{}",
            body_text(OFFER),
        );
        bench.receive(&request);
        bench.last_response().status()
    };
    let own = format!("Via: {via}\r\n");
    assert_eq!(back(&mut bench, "13800138000", "a", &own), 482);
    // A spiral, and one whose tag only looks like ours.
    assert_eq!(back(&mut bench, "4000", "b", &own), 100);
    assert_eq!(back(&mut bench, "13800138000", "c", ""), 100);
}

#[test]
fn requests_that_are_too_large() {
    let mut bench = Bench::new();
    let of = |uri_bytes: usize, body_bytes: usize| {
        let user = "1".repeat(uri_bytes - "sip:@192.0.2.1".len());
        format!(
            "MESSAGE sip:{user}@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{uri_bytes}a{body_bytes}\r\n\
             From: <sip:b@192.0.2.9>;tag=them\r\nTo: <sip:x@192.0.2.1>\r\nCall-ID: large{uri_bytes}-{body_bytes}\r\nCSeq: 1 MESSAGE\r\n\
             Content-Type: text/plain\r\nContent-Length: {body_bytes}\r\n\r\n{}",
            "a".repeat(body_bytes)
        )
    };
    for (uri_bytes, body_bytes, status) in
        [(2048, 0, 405), (2049, 0, 414), (100, 32_768, 405), (100, 32_769, 413)]
    {
        bench.receive(&of(uri_bytes, body_bytes));
        assert_eq!(bench.last_response().status(), status, "{uri_bytes} {body_bytes}");
    }
    assert!(bench.last_response().has(HeaderName::Allow) || bench.count("405 MESSAGE") == 2);
    bench.is_clean();
}
