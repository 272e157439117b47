//! Legs that we make.

use expect_test::expect;

use super::*;

const CONTACT: &str = "Contact: <sip:b@192.0.2.9:5060>\r\n";
pub(super) const CHALLENGE: &str = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n1\", qop=\"auth\"\r\n";

#[test]
fn a_plain_call() {
    check(
        |bench| {
            let leg = bench.call();
            bench.pass_ms(20).respond(Method::Invite, 100, "", "", "");
            bench.pass_ms(1000).respond(Method::Invite, 180, "them", CONTACT, "");
            bench.pass_ms(3000).respond(Method::Invite, 200, "them", CONTACT, ANSWER);
            bench.pass_ms(5000).hangup(leg);
            bench.pass_ms(20).respond(Method::Bye, 200, "", "", "");
            let (to, invite) = bench.sent[0].clone();
            assert_eq!(to, bench.peer);
            assert_eq!(invite.request_uri(), b"sip:13800138000@192.0.2.9");
            assert_eq!(invite.body(), OFFER.as_bytes());
            let ack = bench.last(Method::Ack);
            assert_eq!(ack.request_uri(), b"sip:b@192.0.2.9:5060");
            assert_eq!((ack.cseq().0, ack.to_tag()), (1, Some(&b"them"[..])));
            assert_ne!(ack.top_via().branch, invite.top_via().branch);
            assert_eq!(bench.last(Method::Bye).cseq().0, 2);
        },
        &expect![[r#"
               0.000  us > INVITE
               0.020  us < 100
               1.020  us < 180
               1.020  progress 180
               4.020  us < 200
               4.020  us > ACK
               4.020  answered sdp
               9.020  ended by Local, answered
               9.020  us > BYE
               9.040  us < 200
        "#]],
    );
}

/// Timers A and B, on both sides of 64·T1; a 2xx after that gets ACK and BYE.
#[test]
fn nobody_answers_and_then_somebody_does() {
    check(
        |bench| {
            bench.call();
            bench.pass_ms(31_999);
            assert!(bench.ended.is_empty());
            bench.pass_ms(1);
            assert_eq!(bench.ended.len(), 1);
            bench.pass_ms(8000).respond(Method::Invite, 200, "late", CONTACT, ANSWER);
            bench.respond(Method::Invite, 200, "late", CONTACT, ANSWER);
            bench.respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.500  us > INVITE
            1.500  us > INVITE
            3.500  us > INVITE
            7.500  us > INVITE
            15.500  us > INVITE
            31.500  us > INVITE
            32.000  ended by Timeout, code 408
            40.000  us < 200
            40.000  us > ACK
            40.000  us > BYE
            40.000  us < 200
            40.000  us > ACK
            40.000  us < 200
        "#]],
    );
}

/// Timer D: a repeated failure gets its ACK again for 64·T1, not longer.
#[test]
fn busy() {
    check(
        |bench| {
            bench.call();
            bench.pass_ms(20).respond(Method::Invite, 100, "", "", "");
            let busy = "Reason: Q.850;cause=17\r\nRetry-After: 30\r\n";
            bench.pass_ms(980).respond(Method::Invite, 486, "them", busy, "");
            bench.pass_ms(500).respond(Method::Invite, 486, "them", busy, "");
            let (invite, ack) = (bench.last(Method::Invite), bench.last(Method::Ack));
            assert_eq!(ack.top_via().branch, invite.top_via().branch);
            assert_eq!(ack.request_uri(), invite.request_uri());
            assert_eq!((ack.cseq().0, ack.to_tag()), (1, Some(&b"them"[..])));
            bench.pass_ms(31_499).respond(Method::Invite, 486, "them", busy, "");
            bench.pass_ms(1).respond(Method::Invite, 486, "them", busy, "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.020  us < 100
            1.000  us < 486
            1.000  us > ACK
            1.000  ended by Remote, code 486, q850 17, retry after 30
            1.500  us < 486
            1.500  us > ACK
            32.999  us < 486
            32.999  us > ACK
            33.000  us < 486
        "#]],
    );
}

/// Timer M: a repeated 2xx gets the same ACK for 64·T1.
#[test]
fn the_ack_is_lost() {
    check(
        |bench| {
            let leg = bench.standing();
            let first = bench.last(Method::Ack);
            bench.pass_ms(500).respond(Method::Invite, 200, "them", CONTACT, ANSWER);
            assert_eq!(bench.last(Method::Ack).raw(), first.raw());
            bench.pass_ms(31_499).respond(Method::Invite, 200, "them", CONTACT, ANSWER);
            bench.pass_ms(1).respond(Method::Invite, 200, "them", CONTACT, ANSWER);
            bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            0.500  us < 200
            0.500  us > ACK
            31.999  us < 200
            31.999  us > ACK
            32.000  us < 200
            32.000  ended by Local, answered
            32.000  us > BYE
            32.000  us < 200
        "#]],
    );
}

#[test]
fn a_challenge_is_answered_in_the_same_leg() {
    check(
        |bench| {
            let leg = bench.call();
            let first = bench.last(Method::Invite);
            bench.pass_ms(20).respond(Method::Invite, 407, "x", CHALLENGE, "");
            let second = bench.last(Method::Invite);
            assert_eq!(second.call_id(), first.call_id());
            assert_eq!(second.from_tag(), first.from_tag());
            assert_eq!(second.to_tag(), None);
            assert_eq!(second.cseq().0, 2);
            assert_eq!(second.body(), first.body());
            assert_ne!(second.top_via().branch, first.top_via().branch);
            let given = text(second.header(HeaderName::ProxyAuthorization));
            let given = crate::wire::Credentials::parse(given.as_bytes()).expect("credentials");
            assert_eq!((given.username, given.uri, given.nc), (&b"us"[..], first.request_uri(), Some(1)));
            bench.pass_ms(20).respond(Method::Invite, 200, "them", CONTACT, ANSWER);
            assert!(bench.last(Method::Ack).has(HeaderName::ProxyAuthorization));
            assert_eq!(bench.last(Method::Ack).cseq().0, 2);
            bench.pass_ms(20).hangup(leg);
            // The nonce has grown old meanwhile, and this proxy does not say so.
            bench.pass_ms(20).respond(Method::Bye, 407, "", &CHALLENGE.replace("n1", "n2"), "");
            bench.pass_ms(20).respond(Method::Bye, 200, "", "", "");
            assert_eq!(bench.last(Method::Bye).cseq().0, 4);
        },
        &expect![[r#"
               0.000  us > INVITE
               0.020  us < 407
               0.020  us > ACK
               0.020  us > INVITE
               0.040  us < 200
               0.040  us > ACK
               0.040  answered sdp
               0.060  ended by Local, answered
               0.060  us > BYE
               0.080  us < 407
               0.080  us > BYE
               0.100  us < 200
        "#]],
    );
}

#[test]
fn a_challenge_that_comes_again_is_the_end_unless_stale() {
    check(
        |bench| {
            bench.call();
            bench.respond(Method::Invite, 407, "x", CHALLENGE, "");
            bench.respond(Method::Invite, 407, "x", &CHALLENGE.replace("n1", "n2"), "");
            bench.call();
            bench.respond(Method::Invite, 407, "x", CHALLENGE, "");
            bench.respond(Method::Invite, 407, "x", &CHALLENGE.replace("\"n1\"", "\"n2\",stale=true"), "");
            bench.respond(Method::Invite, 403, "x", "", "");
            bench.call_with(|invite| invite.trunk = None);
            bench.respond(Method::Invite, 401, "x", &CHALLENGE.replace("Proxy", "WWW"), "");
            bench.call();
            bench.respond(Method::Invite, 401, "x", "WWW-Authenticate: Basic realm=\"r\"\r\n", "");
        },
        &expect![[r#"
               0.000  us > INVITE
               0.000  us < 407
               0.000  us > ACK
               0.000  us > INVITE
               0.000  us < 407
               0.000  us > ACK
               0.000  ended by Remote, code 407
               0.000  us > INVITE
               0.000  us < 407
               0.000  us > ACK
               0.000  us > INVITE
               0.000  us < 407
               0.000  us > ACK
               0.000  us > INVITE
               0.000  us < 403
               0.000  us > ACK
               0.000  ended by Remote, code 403
               0.000  us > INVITE
               0.000  us < 401
               0.000  us > ACK
               0.000  ended by Remote, code 401
               0.000  us > INVITE
               0.000  us < 401
               0.000  us > ACK
               0.000  ended by Remote, code 401
        "#]],
    );
}

#[test]
fn early_media_and_no_body_in_the_answer() {
    check(
        |bench| {
            let leg = bench.call();
            bench.respond(Method::Invite, 183, "them", CONTACT, ANSWER);
            bench.respond(Method::Invite, 200, "them", CONTACT, "");
            bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
            let leg = bench.call();
            bench.respond(Method::Invite, 183, "other", CONTACT, ANSWER);
            bench.respond(Method::Invite, 200, "them", CONTACT, "");
            bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
               0.000  us > INVITE
               0.000  us < 183
               0.000  progress 183 sdp
               0.000  us < 200
               0.000  us > ACK
               0.000  answered sdp
               0.000  ended by Local, answered
               0.000  us > BYE
               0.000  us < 200
               0.000  us > INVITE
               0.000  us < 183
               0.000  progress 183 sdp
               0.000  us < 200
               0.000  us > ACK
               0.000  answered
               0.000  ended by Local, answered
               0.000  us > BYE
               0.000  us < 200
        "#]],
    );
}

/// The first 2xx wins; the others get ACK and BYE (RFC 3261 §13.2.2.4).
#[test]
fn forks() {
    check(
        |bench| {
            let leg = bench.call();
            bench.respond(Method::Invite, 180, "a", CONTACT, "");
            bench.respond(Method::Invite, 183, "b", CONTACT, ANSWER);
            bench.respond(Method::Invite, 200, "a", CONTACT, ANSWER);
            let other = "Contact: <sip:c@192.0.2.10:5070>\r\n";
            bench.pass_ms(100).respond(Method::Invite, 200, "b", other, ANSWER);
            let (to, bye) = bench.sent.last().expect("a BYE").clone();
            assert_eq!(to, address("192.0.2.10:5070"));
            assert_eq!((bye.request_uri(), bye.to_tag()), (&b"sip:c@192.0.2.10:5070"[..], Some(&b"b"[..])));
            bench.respond(Method::Bye, 200, "", "", "");
            bench.pass_ms(500).respond(Method::Invite, 200, "b", other, ANSWER);
            assert_eq!(bench.last(Method::Ack).to_tag(), Some(&b"b"[..]));
            bench.pass_ms(10).respond(Method::Invite, 200, "a", CONTACT, ANSWER);
            assert_eq!(bench.last(Method::Ack).to_tag(), Some(&b"a"[..]));
            bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
               0.000  us > INVITE
               0.000  us < 180
               0.000  progress 180
               0.000  us < 183
               0.000  progress 183 sdp
               0.000  us < 200
               0.000  us > ACK
               0.000  answered sdp
               0.100  us < 200
               0.100  us > ACK
               0.100  us > BYE
               0.100  us < 200
               0.600  us < 200
               0.600  us > ACK
               0.610  us < 200
               0.610  us > ACK
               0.610  ended by Local, answered
               0.610  us > BYE
               0.610  us < 200
        "#]],
    );
}

/// Everything in the dialog goes along the recorded route.
#[test]
fn a_route_set() {
    let mut bench = Bench::new();
    let leg = bench.call();
    let routes = "Record-Route: <sip:192.0.2.22;lr>\r\nRecord-Route: <sip:192.0.2.21:5080;lr;x=y>\r\n";
    bench.respond(Method::Invite, 200, "them", &format!("{routes}{CONTACT}"), ANSWER);
    bench.hangup(leg);
    for method in [Method::Ack, Method::Bye] {
        let request = bench.last(method);
        let route: Vec<String> = request.headers(HeaderName::Route).map(|value| text(Some(value))).collect();
        assert_eq!(route, ["<sip:192.0.2.21:5080;lr;x=y>", "<sip:192.0.2.22;lr>"]);
        assert_eq!(request.request_uri(), b"sip:b@192.0.2.9:5060");
    }
    assert!(bench.sent[1..].iter().all(|(to, _)| *to == address("192.0.2.21:5080")));
    bench.respond(Method::Bye, 200, "", "", "");
    bench.is_clean();
}

/// Timer E doubles to T2; timer F gives up; the leg was told to have ended long before.
#[test]
fn a_bye_nobody_answers() {
    check(
        |bench| {
            let leg = bench.standing();
            bench.pass_ms(1000).hangup(leg);
            bench.pass_ms(31_999);
            assert_eq!(bench.ua.audit().legs_ending, 1);
            bench.pass_ms(1);
            assert_eq!(bench.ua.audit().legs_ending, 0);
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            1.000  ended by Local, answered
            1.000  us > BYE
            1.500  us > BYE
            2.500  us > BYE
            4.500  us > BYE
            8.500  us > BYE
            12.500  us > BYE
            16.500  us > BYE
            20.500  us > BYE
            24.500  us > BYE
            28.500  us > BYE
            32.500  us > BYE
        "#]],
    );
}

/// A provisional response to BYE slows its repetition to T2.
#[test]
fn a_bye_that_takes_long() {
    check(
        |bench| {
            let leg = bench.standing();
            bench.hangup(leg);
            bench.pass_ms(100).respond(Method::Bye, 100, "", "", "");
            bench.pass_ms(10_000).respond(Method::Bye, 200, "", "", "");
            bench.pass_ms(4_999).respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            0.000  ended by Local, answered
            0.000  us > BYE
            0.100  us < 100
            0.500  us > BYE
            4.500  us > BYE
            8.500  us > BYE
            10.100  us < 200
            15.099  us < 200
        "#]],
    );
}

#[test]
fn the_peer_hangs_up() {
    check(
        |bench| {
            bench.standing();
            bench.request_back("BYE", "them", 5, "Reason: Q.850;cause=16\r\n", "");
            let first = bench.last_response();
            bench.pass_ms(500).request_back("BYE", "them", 5, "Reason: Q.850;cause=16\r\n", "");
            assert_eq!(bench.last_response().raw(), first.raw());
            bench.request_back("BYE", "them", 6, "", "");
        },
        &expect![[r#"
               0.000  us > INVITE
               0.000  us < 200
               0.000  us > ACK
               0.000  answered sdp
               0.000  us < BYE
               0.000  us > 200 BYE
               0.000  ended by Remote, answered, q850 16
               0.500  us < BYE
               0.500  us > 200 BYE
               0.500  us < BYE
               0.500  us > 481 BYE
        "#]],
    );
}

#[test]
fn requests_in_the_dialog() {
    check(
        |bench| {
            let leg = bench.standing();
            bench.request_back("OPTIONS", "them", 10, "", "");
            bench.request_back(
                "INFO",
                "them",
                11,
                "Content-Type: application/dtmf-relay\r\nContent-Length: 8\r\n\r\nSignal=5",
                "",
            );
            bench.request_back(
                "INFO",
                "them",
                11,
                "Content-Type: application/dtmf-relay\r\nContent-Length: 8\r\n\r\nSignal=5",
                "",
            );
            bench.request_back("UPDATE", "them", 12, "Contact: <sip:b@192.0.2.9:5060>\r\n", "");
            bench.request_back("NOTIFY", "them", 13, "", "");
            bench.request_back("FOO", "them", 14, "", "");
            assert!(bench.last_response().has(HeaderName::Allow));
            // Out of order; of another dialog.
            bench.request_back("INFO", "them", 9, "", "");
            bench.request_back("BYE", "others", 15, "", "");
            bench.request_back("ACK", "others", 15, "", "");
            bench.request_back("ACK", "them", 15, "", "");
            bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            0.000  us < OPTIONS
            0.000  us > 200 OPTIONS
            0.000  us < INFO
            0.000  us > 200 INFO
            0.000  info Signal=5
            0.000  us < INFO
            0.000  us > 200 INFO
            0.000  us < UPDATE
            0.000  us > 200 UPDATE
            0.000  us < NOTIFY
            0.000  us > 481 NOTIFY
            0.000  us < FOO
            0.000  asked for FOO in a dialog
            0.000  us > 501 FOO
            0.000  us < INFO
            0.000  us > 500 INFO
            0.000  us < BYE
            0.000  us > 481 BYE
            0.000  us < ACK
            0.000  us < ACK
            0.000  ended by Local, answered
            0.000  us > BYE
            0.000  us < 200
        "#]],
    );
}

/// A Contact that cannot be reached is passed over for the address the answer came from.
#[test]
fn a_phone_behind_nat() {
    let mut bench = Bench::new();
    for contact in ["sip:b@0.0.0.0:5060", "sip:b@10.0.0.7:5060", "sip:b@phone.invalid"] {
        let leg = bench.call();
        bench.respond(Method::Invite, 200, "them", &format!("Contact: <{contact}>\r\n"), ANSWER);
        assert_eq!(bench.sent.last().expect("an ACK").0, bench.peer);
        assert_eq!(bench.last(Method::Ack).request_uri(), contact.as_bytes());
        bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    }
    let leg = bench.call_with(|invite| invite.symmetric = true);
    bench.respond(Method::Invite, 200, "them", "Contact: <sip:b@192.0.2.77>\r\n", ANSWER);
    bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    assert!(bench.sent.iter().all(|(to, _)| *to == bench.peer));
    bench.is_clean();
}

#[test]
fn what_is_no_uri_is_not_called() {
    let mut bench = Bench::new();
    for number in ["123>;x=<y", "1 2", "", "1\r\nEvil: 1"] {
        let uri = format!("sip:{number}@192.0.2.9");
        let invite = Invite {
            owner: 1,
            listener: 0,
            destination: bench.peer,
            trunk: None,
            symmetric: false,
            replaceable: false,
            request_uri: &uri,
            from_uri: "sip:us@192.0.2.1",
            from_display: "",
            to_uri: "sip:x@192.0.2.9",
            p_asserted_identity: None,
            route: None,
            headers: &[],
            max_forwards: 70,
            sdp: Bytes::new(),
        };
        let result = bench.ua.invite(bench.now, &invite, &mut bench.out);
        assert_eq!(result, Err(InviteError::BadUri), "{number}");
    }
    assert_eq!(bench.ua.audit(), Audit::default());
}

/// What the caller hands in cannot break out of its header line.
#[test]
fn line_ends_in_a_value_write_no_header() {
    let mut bench = Bench::new();
    bench.call_with(|invite| {
        invite.from_display = "x\r\nEvil: 1";
        invite.headers = &[("Call-Info", "<sip:x>;answer-after=0\r\nEvil: 2")];
    });
    let invite = bench.last(Method::Invite);
    assert_eq!(invite.header_by_text("Evil"), None);
    assert_eq!(invite.header(HeaderName::CallInfo), Some(&b"<sip:x>;answer-after=0  Evil: 2"[..]));
}
