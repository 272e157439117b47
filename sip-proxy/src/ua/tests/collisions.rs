//! Hanging up in every state, and what may cross it on the wire (RFC 3261 §9, §15, RFC 5407).

use expect_test::expect;

use super::*;

const CONTACT: &str = "Contact: <sip:b@192.0.2.9:5060>\r\n";

#[test]
fn cancel_of_a_ringing_call() {
    check(
        |bench| {
            let leg = bench.call();
            bench.respond(Method::Invite, 100, "", "", "");
            bench.pass_ms(1000).respond(Method::Invite, 180, "them", CONTACT, "");
            bench.pass_ms(1000).hangup(leg).hangup(leg);
            let (invite, cancel) = (bench.last(Method::Invite), bench.last(Method::Cancel));
            assert_eq!(cancel.header(HeaderName::Via), invite.header(HeaderName::Via));
            assert_eq!(cancel.request_uri(), invite.request_uri());
            assert_eq!((cancel.cseq().0, cancel.to_tag()), (1, None));
            bench.pass_ms(20).respond(Method::Cancel, 200, "them", "", "");
            bench.pass_ms(20).respond(Method::Invite, 487, "them", "", "");
            bench.pass_ms(500).respond(Method::Invite, 487, "them", "", "");
            bench.respond(Method::Cancel, 200, "them", "", "");
        },
        &expect![[r#"
               0.000  us > INVITE
               0.000  us < 100
               1.000  us < 180
               1.000  progress 180
               2.000  us > CANCEL
               2.020  us < 200
               2.040  us < 487
               2.040  us > ACK
               2.040  ended by Local, code 487
               2.540  us < 487
               2.540  us > ACK
               2.540  us < 200
        "#]],
    );
}

/// RFC 3261 §9.1: no CANCEL before a provisional response.
#[test]
fn cancel_waits_for_a_provisional_response() {
    check(
        |bench| {
            let leg = bench.call();
            bench.pass_ms(10).hangup(leg);
            bench.pass_ms(1000).respond(Method::Invite, 100, "", "", "");
            bench.pass_ms(20).respond(Method::Cancel, 200, "them", "", "");
            bench.respond(Method::Invite, 180, "them", CONTACT, "");
            bench.pass_ms(20).respond(Method::Invite, 487, "them", "", "");
            assert_eq!(bench.count("CANCEL"), 1);
        },
        &expect![[r#"
               0.000  us > INVITE
               0.500  us > INVITE
               1.010  us < 100
               1.010  us > CANCEL
               1.030  us < 200
               1.030  us < 180
               1.050  us < 487
               1.050  us > ACK
               1.050  ended by Local, code 487
        "#]],
    );
}

#[test]
fn cancel_of_a_call_nobody_hears() {
    check(
        |bench| {
            let leg = bench.call();
            bench.pass_ms(100).hangup(leg);
            bench.pass_ms(31_899);
            assert!(bench.ended.is_empty());
            bench.pass_ms(1);
            assert_eq!(bench.ended.len(), 1);
        },
        &expect![[r#"
            0.000  us > INVITE
            0.500  us > INVITE
            1.500  us > INVITE
            3.500  us > INVITE
            7.500  us > INVITE
            15.500  us > INVITE
            31.500  us > INVITE
            32.000  ended by Local, code 408
        "#]],
    );
}

/// The callee picks up as we cancel: the call stands, so ACK and BYE.
#[test]
fn cancel_meets_200() {
    check(
        |bench| {
            let leg = bench.call();
            bench.respond(Method::Invite, 180, "them", CONTACT, "");
            bench.pass_ms(1000).hangup(leg);
            bench.pass_ms(5).respond(Method::Invite, 200, "them", CONTACT, ANSWER);
            bench.respond(Method::Cancel, 481, "them", "", "");
            bench.respond(Method::Bye, 200, "", "", "");
            bench.pass_ms(500).respond(Method::Invite, 200, "them", CONTACT, ANSWER);
        },
        &expect![[r#"
               0.000  us > INVITE
               0.000  us < 180
               0.000  progress 180
               1.000  us > CANCEL
               1.005  us < 200
               1.005  us > ACK
               1.005  ended by Local, answered
               1.005  us > BYE
               1.005  us < 481
               1.005  us < 200
               1.505  us < 200
               1.505  us > ACK
        "#]],
    );
}

/// A peer that knows no CANCEL: after 64·T1 the call counts as cancelled; its answer comes even later.
#[test]
fn cancel_without_effect() {
    check(
        |bench| {
            let leg = bench.call();
            bench.respond(Method::Invite, 180, "them", CONTACT, "");
            bench.pass_ms(1000).hangup(leg);
            bench.respond(Method::Cancel, 200, "them", "", "");
            bench.pass_ms(31_999);
            assert!(bench.ended.is_empty());
            bench.pass_ms(1);
            assert_eq!(bench.ended.len(), 1);
            bench.pass_ms(1000).respond(Method::Invite, 200, "them", CONTACT, ANSWER);
            bench.respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 180
            0.000  progress 180
            1.000  us > CANCEL
            1.000  us < 200
            33.000  ended by Local, code 408
            34.000  us < 200
            34.000  us > ACK
            34.000  us > BYE
            34.000  us < 200
        "#]],
    );
}

#[test]
fn cancel_meets_busy_and_a_challenge() {
    check(
        |bench| {
            for status in [486, 407] {
                let leg = bench.call();
                bench.respond(Method::Invite, 180, "them", CONTACT, "");
                bench.hangup(leg);
                let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n";
                bench.respond(Method::Invite, status, "them", challenge, "");
                bench.respond(Method::Cancel, 200, "them", "", "");
            }
        },
        &expect![[r#"
               0.000  us > INVITE
               0.000  us < 180
               0.000  progress 180
               0.000  us > CANCEL
               0.000  us < 486
               0.000  us > ACK
               0.000  ended by Local, code 486
               0.000  us < 200
               0.000  us > INVITE
               0.000  us < 180
               0.000  progress 180
               0.000  us > CANCEL
               0.000  us < 407
               0.000  us > ACK
               0.000  ended by Local, code 407
               0.000  us < 200
        "#]],
    );
}

/// The safety net under a call that rings for ever.
#[test]
fn ringing_beyond_all_bounds() {
    check(
        |bench| {
            bench.call();
            bench.respond(Method::Invite, 180, "them", CONTACT, "");
            bench.pass_ms(299_999);
            assert_eq!(bench.count("CANCEL"), 0);
            bench.pass_ms(1).respond(Method::Cancel, 200, "them", "", "");
            bench.respond(Method::Invite, 487, "them", "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 180
            0.000  progress 180
            300.000  us > CANCEL
            300.000  us < 200
            300.000  us < 487
            300.000  us > ACK
            300.000  ended by Timeout, code 487
        "#]],
    );
}

#[test]
fn a_call_in_that_nobody_minds() {
    check(
        |bench| {
            let leg = bench.ring_in();
            bench.ring(leg);
            bench.pass_ms(299_999);
            assert!(bench.ended.is_empty());
            bench.pass_ms(1).ack_failure();
        },
        &expect![[r#"
            0.000  us < INVITE
            0.000  us > 100
            0.000  incoming from Trunk(1)
            0.000  us > 180
            300.000  us > 480
            300.000  ended by Timeout, code 480
            300.000  us < ACK
        "#]],
    );
}

#[test]
fn both_hang_up() {
    check(
        |bench| {
            let leg = bench.standing();
            bench.hangup(leg);
            bench.request_back("BYE", "them", 5, "", "");
            bench.respond(Method::Bye, 200, "", "", "");
            bench.hangup(leg);
        },
        &expect![[r#"
               0.000  us > INVITE
               0.000  us < 200
               0.000  us > ACK
               0.000  answered sdp
               0.000  ended by Local, answered
               0.000  us > BYE
               0.000  us < BYE
               0.000  us > 200 BYE
               0.000  us < 200
        "#]],
    );
}

/// Something else than BYE to a leg whose BYE is on the way.
#[test]
fn a_reinvite_meets_our_bye() {
    check(
        |bench| {
            let leg = bench.standing();
            bench.hangup(leg);
            bench.request_back("INVITE", "them", 5, CONTACT, OFFER);
            bench.respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
               0.000  us > INVITE
               0.000  us < 200
               0.000  us > ACK
               0.000  answered sdp
               0.000  ended by Local, answered
               0.000  us > BYE
               0.000  us < INVITE
               0.000  us > 481
               0.000  us < 200
        "#]],
    );
}

/// The peer's BYE overtakes its 200: the call is over; the 200 is owed ACK, and BYE settles it.
#[test]
fn bye_overtakes_200() {
    check(
        |bench| {
            bench.call();
            bench.respond(Method::Invite, 180, "them", CONTACT, "");
            bench.request_back("BYE", "them", 5, "", "");
            bench.respond(Method::Invite, 200, "them", CONTACT, ANSWER);
            bench.respond(Method::Bye, 481, "", "", "");
        },
        &expect![[r#"
               0.000  us > INVITE
               0.000  us < 180
               0.000  progress 180
               0.000  us < BYE
               0.000  us > 200 BYE
               0.000  us > CANCEL
               0.000  us < 200
               0.000  us > ACK
               0.000  ended by Remote, answered
               0.000  us > BYE
               0.000  us < 481
        "#]],
    );
}

/// We are called and hang up before the ACK: BYE waits for it (RFC 3261 §15).
#[test]
fn hangup_before_ack() {
    check(
        |bench| {
            let leg = bench.ring_in();
            bench.answer(leg);
            bench.pass_ms(10).hangup(leg);
            bench.pass_ms(600).ack();
            bench.respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
               0.000  us < INVITE
               0.000  us > 100
               0.000  incoming from Trunk(1)
               0.000  us > 200
               0.010  ended by Local, answered
               0.500  us > 200
               0.610  us < ACK
               0.610  us > BYE
               0.610  us < 200
        "#]],
    );
}

#[test]
fn hangup_before_an_ack_that_never_comes() {
    check(
        |bench| {
            let leg = bench.ring_in();
            bench.answer(leg);
            bench.pass_ms(10).hangup(leg);
            bench.pass_ms(31_989);
            assert_eq!(bench.count("BYE"), 0);
            bench.pass_ms(1);
            assert_eq!(bench.count("BYE"), 1);
            bench.respond(Method::Bye, 481, "", "", "");
        },
        &expect![[r#"
            0.000  us < INVITE
            0.000  us > 100
            0.000  incoming from Trunk(1)
            0.000  us > 200
            0.010  ended by Local, answered
            0.500  us > 200
            1.500  us > 200
            3.500  us > 200
            7.500  us > 200
            11.500  us > 200
            15.500  us > 200
            19.500  us > 200
            23.500  us > 200
            27.500  us > 200
            31.500  us > 200
            32.000  us > BYE
            32.000  us < 481
        "#]],
    );
}

#[test]
fn the_caller_sends_bye_instead_of_ack() {
    check(
        |bench| {
            let leg = bench.ring_in();
            bench.answer(leg);
            bench.pass_ms(100).called_request("BYE", 2, "", "");
            bench.pass_ms(100).ack();
            let leg = bench.ring_in();
            bench.answer(leg);
            bench.hangup(leg);
            bench.called_request("BYE", 2, "", "");
        },
        &expect![[r#"
               0.000  us < INVITE
               0.000  us > 100
               0.000  incoming from Trunk(1)
               0.000  us > 200
               0.100  us < BYE
               0.100  us > 200 BYE
               0.100  ended by Remote, answered
               0.200  us < ACK
               0.200  us < INVITE
               0.200  us > 100
               0.200  incoming from Trunk(1)
               0.200  us > 200
               0.200  ended by Local, answered
               0.200  us < BYE
               0.200  us > 200 BYE
        "#]],
    );
}

/// The caller ends its early dialog by BYE: the INVITE gets its 487 too (RFC 3261 §15.1.2).
#[test]
fn bye_to_a_ringing_leg() {
    check(
        |bench| {
            bench.ring_in();
            bench.called_request("BYE", 2, "", "");
            bench.ack_failure();
        },
        &expect![[r#"
               0.000  us < INVITE
               0.000  us > 100
               0.000  incoming from Trunk(1)
               0.000  us < BYE
               0.000  us > 200 BYE
               0.000  us > 487
               0.000  ended by Remote, code 487
               0.000  us < ACK
        "#]],
    );
}

/// The answer to an INVITE that was given up lay in a connection for minutes. Whoever sent it thinks it is in a call.
#[test]
fn an_answer_to_what_is_long_forgotten_gets_ack_and_bye_once() {
    let mut bench = Bench::new();
    bench.call();
    let invite = bench.last(Method::Invite);
    bench.pass_ms(100_000);
    assert_eq!(bench.ua.audit().client_transactions, 0);
    bench.ladder.clear();
    let contact = "Contact: <sip:b@192.0.2.9:5060>\r\n";
    let answer = response_text(&invite, 200, "late", contact, ANSWER);
    bench.receive(&answer).receive(&answer);
    let bye = bench.last(Method::Bye);
    assert_eq!(bye.request_uri(), b"sip:b@192.0.2.9:5060");
    assert_eq!((bye.call_id(), bye.to_tag()), (invite.call_id(), Some(&b"late"[..])));
    bench.respond(Method::Bye, 200, "", "", "");
    expect![[r"
        100.000  us < 200
        100.000  us > ACK
        100.000  us > BYE
        100.000  us < 200
        100.000  us > ACK
        100.000  us < 200
    "]]
    .assert_eq(&bench.ladder);
    // Nobody else can make us believe that an INVITE was ours.
    let call_id = text(Some(invite.call_id()));
    let forged = format!("{}0", &call_id[..call_id.len() - 1]);
    let forged = if forged == call_id { format!("{}1", &call_id[..call_id.len() - 1]) } else { forged };
    let sent = bench.sent.len();
    bench.receive(&answer.replace(&call_id, &forged).replace("=late", "=other"));
    assert_eq!(bench.sent.len(), sent);
    bench.pass_ms(10_000).is_clean();
}

/// A peer that hears neither ACK nor BYE may repeat its answer for longer than the INVITE is remembered.
#[test]
fn an_answer_repeated_until_all_is_forgotten_gets_no_second_bye() {
    for twin in [false, true] {
        let mut bench = Bench::new();
        let leg = bench.standing();
        let invite = bench.last(Method::Invite);
        let contact = "Contact: <sip:b@192.0.2.9:5060>\r\n";
        let answer = response_text(&invite, 200, if twin { "twin" } else { "them" }, contact, ANSWER);
        if twin {
            bench.receive(&answer);
        } else {
            bench.hangup(leg);
        }
        bench.respond(Method::Bye, 200, "", "", "");
        let byes = bench.count("BYE");
        bench.receive(&answer).pass_ms(40_000);
        let acks = bench.count("ACK");
        bench.receive(&answer);
        assert_eq!((bench.count("BYE"), bench.count("ACK")), (byes, acks + 1), "twin: {twin}");
    }
}

/// A copy of the answer that made a call does that call no harm, however late it is.
#[test]
fn an_old_copy_of_an_answer_does_not_end_its_call() {
    let mut bench = Bench::new();
    let leg = bench.standing();
    let invite = bench.last(Method::Invite);
    bench.pass_ms(100_000);
    let contact = "Contact: <sip:b@192.0.2.9:5060>\r\n";
    bench.receive(&response_text(&invite, 200, "them", contact, ANSWER));
    assert_eq!((bench.count("BYE"), bench.count("ACK")), (0, 1));
    bench.receive(&response_text(&invite, 200, "fork", contact, ANSWER));
    assert_eq!((bench.count("BYE"), bench.count("ACK")), (1, 2));
    bench.respond(Method::Bye, 200, "", "", "");
    assert_eq!(bench.ua.trunk_legs(1), (0, 1));
    bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    assert_eq!(bench.ua.trunk_legs(1), (0, 0));
    bench.ring_in();
    assert_eq!(bench.ua.trunk_legs(1), (1, 0));
    let leg = bench.incoming[0];
    bench.hangup(leg).ack_failure();
    assert_eq!(bench.ua.trunk_legs(1), (0, 0));
    bench.pass_ms(40_000).is_clean();
}
