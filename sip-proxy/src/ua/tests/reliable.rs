//! PRACK and reliable provisional responses (RFC 3262), early dialogs and UPDATE in them, forks.

use expect_test::expect;

use super::*;

const CONTACT: &str = "Contact: <sip:b@192.0.2.9:5060>\r\n";
const KNOWS: &str = "Supported: 100rel\r\nAllow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE\r\n";
const REQUIRES: &str = "Require: 100rel\r\n";

impl Bench {
    /// A reliable provisional response of a fork.
    fn reliable(&mut self, status: u16, tag: &str, rseq: u32, body: &str) -> &mut Self {
        let invite = self.last(Method::Invite);
        let more = format!(
            "Require: 100rel\r\nRSeq: {rseq}\r\nContact: <sip:{tag}@192.0.2.9:5099>\r\nAllow: UPDATE\r\n\
             Record-Route: <sip:192.0.2.8;lr>\r\n"
        );
        self.receive(&response_text(&invite, status, tag, &more, body))
    }

    fn progress(&mut self, leg: LegKey, code: u16, sdp: Option<&str>) -> &mut Self {
        self.ua.provisional(self.now, leg, code, sdp.map(str::as_bytes), &mut self.out).expect("it rings");
        self.note();
        self
    }

    /// The caller's PRACK to our last reliable response.
    fn prack(&mut self, cseq: u32, body: &str) -> &mut Self {
        let last = self.sent.iter().rev().find(|(_, message)| message.has(HeaderName::RSeq));
        let rseq = last.expect("a reliable response").1.seconds(HeaderName::RSeq).expect("a number");
        self.caller_request("PRACK", cseq, &format!("RAck: {rseq} 1 INVITE\r\n"), body)
    }
}

/// The PRACK goes to the Contact along the route set, once for each response, in order; the 2xx goes on from there.
#[test]
fn we_acknowledge_reliable_responses() {
    check(
        |bench| {
            let leg = bench.call();
            assert!(bench.last(Method::Invite).lists(HeaderName::Supported, "100rel"));
            bench.respond(Method::Invite, 100, "", "", "");
            bench.reliable(183, "them", 71, ANSWER);
            let (to, prack) = bench.sent.last().expect("a PRACK").clone();
            assert_eq!(to, address("192.0.2.8:5060"));
            assert_eq!(prack.request_uri(), b"sip:them@192.0.2.9:5099");
            assert_eq!(text(prack.header(HeaderName::Route)), "<sip:192.0.2.8;lr>");
            assert_eq!(text(prack.header(HeaderName::RAck)), "71 1 INVITE");
            assert_eq!((prack.cseq().0, prack.to_tag()), (2, Some(&b"them"[..])));
            // A copy, and one that skips a number.
            bench.reliable(183, "them", 71, ANSWER).reliable(180, "them", 73, "");
            bench.respond(Method::Prack, 200, "", "", "");
            bench.reliable(180, "them", 72, "").respond(Method::Prack, 200, "", "", "");
            bench.respond(Method::Invite, 200, "them", CONTACT, "");
            assert_eq!(bench.last(Method::Ack).cseq().0, 1);
            bench.hangup(leg);
            assert_eq!(bench.last(Method::Bye).cseq().0, 4);
            bench.respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 100
            0.000  us < 183
            0.000  us > PRACK
            0.000  progress 183 sdp
            0.000  us < 183
            0.000  us < 180
            0.000  us < 200
            0.000  us < 180
            0.000  us > PRACK
            0.000  progress 180
            0.000  us < 200
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            0.000  ended by Local, answered
            0.000  us > BYE
            0.000  us < 200
        "#]],
    );
}

/// Each fork has its own dialog; the sound follows the one that answers first, the others get ACK and BYE.
#[test]
fn forks() {
    check(
        |bench| {
            let leg = bench.call();
            bench.reliable(183, "one", 10, ANSWER).respond(Method::Prack, 200, "", "", "");
            bench.reliable(183, "two", 500, ANSWER);
            let prack = bench.last(Method::Prack);
            assert_eq!((prack.to_tag(), prack.cseq().0), (Some(&b"two"[..]), 2));
            assert_eq!(text(prack.header(HeaderName::RAck)), "500 1 INVITE");
            bench.respond(Method::Prack, 200, "", "", "");
            bench.respond(Method::Invite, 180, "three", CONTACT, "");
            bench.respond(Method::Invite, 200, "two", CONTACT, "");
            bench.respond(Method::Invite, 200, "one", CONTACT, ANSWER);
            bench.respond(Method::Bye, 200, "", "", "");
            bench.respond(Method::Invite, 200, "three", CONTACT, ANSWER);
            bench.respond(Method::Bye, 200, "", "", "");
            bench.respond(Method::Invite, 200, "one", CONTACT, ANSWER);
            bench.hangup(leg);
            assert_eq!(bench.last(Method::Bye).to_tag(), Some(&b"two"[..]));
            bench.respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 183
            0.000  us > PRACK
            0.000  progress 183 sdp
            0.000  us < 200
            0.000  us < 183
            0.000  us > PRACK
            0.000  progress 183 sdp
            0.000  us < 200
            0.000  us < 180
            0.000  progress 180
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            0.000  us < 200
            0.000  us > ACK
            0.000  us > BYE
            0.000  us < 200
            0.000  us < 200
            0.000  us > ACK
            0.000  us > BYE
            0.000  us < 200
            0.000  us < 200
            0.000  us > ACK
            0.000  ended by Local, answered
            0.000  us > BYE
            0.000  us < 200
        "#]],
    );
}

#[test]
fn ours_are_repeated_until_prack() {
    check(
        |bench| {
            let leg = bench.called_with(KNOWS, OFFER);
            // Without a description it need not be reliable.
            bench.progress(leg, 180, None);
            assert!(!bench.last_response().has(HeaderName::RSeq));
            bench.progress(leg, 183, Some(ANSWER));
            assert!(bench.last_response().lists(HeaderName::Require, "100rel"));
            bench.pass_ms(1500);
            // The answer has to wait; so has another description.
            bench.progress(leg, 183, Some(ANSWER));
            bench.prack(2, "").prack(3, "");
            bench.answer(leg);
            bench.prack(3, "");
            bench.caller_request("ACK", 1, "", "");
            bench.caller_request("BYE", 4, "", "");
        },
        &expect![[r#"
            0.000  us < INVITE
            0.000  us > 100
            0.000  incoming from Trunk(1)
            0.000  us > 180
            0.000  us > 183
            0.500  us > 183
            1.500  us > 183
            1.500  us < PRACK
            1.500  us > 200 PRACK
            1.500  us > 183
            1.500  us < PRACK
            1.500  us > 200 PRACK
            1.500  us > 200
            1.500  us < PRACK
            1.500  us > 200 PRACK
            1.500  us < ACK
            1.500  confirmed
            1.500  us < BYE
            1.500  us > 200 BYE
            1.500  ended by Remote, answered
        "#]],
    );
}

#[test]
fn nobody_acknowledges_ours() {
    let mut bench = Bench::new();
    let leg = bench.called_with(REQUIRES, OFFER);
    bench.progress(leg, 180, None);
    assert!(bench.last_response().has(HeaderName::RSeq));
    bench.pass_ms(31_999);
    assert!(bench.ended.is_empty());
    bench.pass_ms(1);
    assert_eq!((bench.ended[0].by, bench.ended[0].code), (EndedBy::Timeout, Some(504)));
    // T1, then doubled: 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s, besides the first.
    assert_eq!(bench.count("180"), 7);
    bench.is_clean();
}

/// An answer without an unacknowledged description does not wait, and a late PRACK is taken all the same.
#[test]
fn an_answer_overtakes_the_prack() {
    let mut bench = Bench::new();
    let leg = bench.called_with(REQUIRES, OFFER);
    bench.progress(leg, 180, None).answer(leg);
    assert_eq!(bench.last_response().status(), 200);
    bench.prack(2, "");
    assert_eq!(show(&bench.last_response()), "200 PRACK");
    bench.caller_request("ACK", 1, "", "");
    bench.pass_ms(40_000);
    assert!(bench.ended.is_empty() && bench.count("180") == 1, "{}", bench.ladder);
    bench.caller_request("BYE", 4, "", "");
    bench.is_clean();
}

#[test]
fn cancelled_before_prack() {
    let mut bench = Bench::new();
    let leg = bench.called_with(KNOWS, OFFER);
    bench.progress(leg, 183, Some(ANSWER)).answer(leg);
    let cancel = "CANCEL sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKcall\r\n\
                  From: <sip:b@192.0.2.9>;tag=them\r\nTo: <sip:x@192.0.2.1>\r\nCall-ID: called\r\n\
                  CSeq: 1 CANCEL\r\nContent-Length: 0\r\n\r\n";
    bench.receive(cancel);
    assert_eq!(bench.ended[0].code, Some(487));
    bench.prack(2, "");
    assert_eq!(show(&bench.last_response()), "481 PRACK");
    bench.is_clean();
}

/// The offer in the 183, its answer in the PRACK (RFC 3262 §5); then UPDATE both ways before the answer.
#[test]
fn offers_before_the_answer() {
    check(
        |bench| {
            let leg = bench.called_with(KNOWS, "");
            // Nothing is agreed yet.
            assert!(!bench.ua.can_update(leg));
            bench.progress(leg, 183, Some(OFFER));
            bench.caller_request("UPDATE", 2, CONTACT, OFFER);
            bench.prack(3, ANSWER);
            assert!(bench.ua.can_update(leg));
            bench.caller_request("UPDATE", 4, CONTACT, OFFER);
            bench.ua.answer_reinvite(bench.now, leg, ANSWER.as_bytes(), &mut bench.out).expect("open");
            bench.note();
            bench.ua.update(bench.now, leg, OFFER.as_bytes(), &mut bench.out).expect("agreed");
            bench.note();
            bench.respond(Method::Update, 200, "", CONTACT, ANSWER);
            // The next description is acknowledged with another offer.
            bench.progress(leg, 183, Some(OFFER)).prack(5, OFFER);
            bench.ua.answer_reinvite(bench.now, leg, ANSWER.as_bytes(), &mut bench.out).expect("open");
            bench.note();
            bench.answer(leg).caller_request("ACK", 1, "", "");
            bench.caller_request("BYE", 6, "", "");
        },
        &expect![[r#"
            0.000  us < INVITE
            0.000  us > 100
            0.000  incoming from Trunk(1)
            0.000  us > 183
            0.000  us < UPDATE
            0.000  us > 500 UPDATE
            0.000  us < PRACK
            0.000  us > 200 PRACK
            0.000  early confirmed sdp
            0.000  us < UPDATE
            0.000  reoffer by update sdp
            0.000  us > 200 UPDATE
            0.000  us > UPDATE
            0.000  us < 200
            0.000  reoffer answered sdp
            0.000  us > 183
            0.000  us < PRACK
            0.000  reoffer by update sdp
            0.000  us > 200 PRACK
            0.000  us > 200
            0.000  us < ACK
            0.000  confirmed
            0.000  us < BYE
            0.000  us > 200 BYE
            0.000  ended by Remote, answered
        "#]],
    );
}

/// The same on a leg of ours: the first reliable answer opens the way for UPDATE.
#[test]
fn updates_before_our_call_is_answered() {
    check(
        |bench| {
            let leg = bench.call();
            bench.request_back("UPDATE", "them", 5, CONTACT, OFFER);
            assert!(!bench.ua.can_update(leg));
            bench.reliable(183, "them", 1, ANSWER).respond(Method::Prack, 200, "", "", "");
            bench.request_back("UPDATE", "them", 6, CONTACT, OFFER);
            bench.ua.answer_reinvite(bench.now, leg, ANSWER.as_bytes(), &mut bench.out).expect("open");
            bench.note();
            bench.ua.update(bench.now, leg, OFFER.as_bytes(), &mut bench.out).expect("agreed");
            bench.note();
            assert_eq!(bench.last(Method::Update).cseq().0, 3);
            bench.respond(Method::Update, 200, "", CONTACT, ANSWER);
            bench.respond(Method::Invite, 200, "them", CONTACT, ANSWER);
            bench.hangup(leg);
            assert_eq!(bench.last(Method::Bye).cseq().0, 4);
            bench.respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < UPDATE
            0.000  us > 481 UPDATE
            0.000  us < 183
            0.000  us > PRACK
            0.000  progress 183 sdp
            0.000  us < 200
            0.000  us < UPDATE
            0.000  reoffer by update sdp
            0.000  us > 200 UPDATE
            0.000  us > UPDATE
            0.000  us < 200
            0.000  reoffer answered sdp
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            0.000  ended by Local, answered
            0.000  us > BYE
            0.000  us < 200
        "#]],
    );
}

/// Off: 420 to who requires it. Always: 421 to who does not know it, and our INVITEs require it.
#[test]
fn policies() {
    let refused = |policy: Reliability, more: &str| {
        let mut bench = Bench::with(|config| config.reliable = policy);
        let text = format!(
            "INVITE sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKp\r\n\
             From: <sip:b@192.0.2.9>;tag=them\r\nTo: <sip:x@192.0.2.1>\r\nCall-ID: p\r\nCSeq: 1 INVITE\r\n\
             {CONTACT}{more}{}",
            body_text(OFFER)
        );
        bench.receive(&text);
        let response = bench.last_response();
        (response.status(), response.lists(HeaderName::Unsupported, "100rel"))
    };
    assert_eq!(refused(Reliability::Off, REQUIRES), (420, true));
    assert_eq!(refused(Reliability::Off, KNOWS), (100, false));
    assert_eq!(refused(Reliability::Required, REQUIRES), (100, false));
    assert_eq!(refused(Reliability::Always, ""), (421, false));
    assert_eq!(refused(Reliability::Always, KNOWS), (100, false));
    let mut bench = Bench::with(|config| config.reliable = Reliability::Always);
    bench.call();
    assert!(bench.last(Method::Invite).lists(HeaderName::Require, "100rel"));
    bench.respond(Method::Invite, 420, "them", "", "");
    bench.is_clean();
    let mut bench = Bench::with(|config| config.reliable = Reliability::Required);
    let leg = bench.called_with(KNOWS, OFFER);
    bench.progress(leg, 183, Some(ANSWER));
    assert!(!bench.last_response().has(HeaderName::RSeq));
    bench.hangup(leg);
    bench.caller_request("ACK", 1, "", "");
    bench.is_clean();
}
