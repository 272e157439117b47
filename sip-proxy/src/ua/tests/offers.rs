//! Changing a session, both ways, and glare.

use expect_test::expect;

use super::*;

const CONTACT: &str = "Contact: <sip:b@192.0.2.9:5060>\r\n";

impl Bench {
    fn offer(&mut self, leg: LegKey) -> Result<(), LegError> {
        let result = self.ua.reinvite(self.now, leg, OFFER.as_bytes(), &mut self.out);
        self.note();
        result
    }

    fn answer_offer(&mut self, leg: LegKey) -> &mut Self {
        self.ua.answer_reinvite(self.now, leg, ANSWER.as_bytes(), &mut self.out).expect("an offer is open");
        self.note();
        self
    }

    /// The ACK to our 2xx to the peer's re-INVITE, in the dialog our INVITE made.
    fn ack_back(&mut self, cseq: u32) -> &mut Self {
        self.request_back("ACK", "them", cseq, "", "")
    }
}

#[test]
fn the_peer_holds_the_call() {
    check(
        |bench| {
            let leg = bench.standing();
            bench.request_back("INVITE", "them", 5, "Contact: <sip:b@192.0.2.12:5099>\r\n", OFFER);
            bench.request_back("INVITE", "them", 5, CONTACT, OFFER);
            bench.request_back("INVITE", "them", 6, CONTACT, OFFER);
            assert!(bench.last_response().seconds(HeaderName::RetryAfter).expect("seconds") <= 10);
            assert_eq!(bench.offer(leg), Err(LegError::Pending));
            bench.answer_offer(leg);
            // Before its ACK another one is glare.
            bench.request_back("INVITE", "them", 7, CONTACT, OFFER);
            bench.pass_ms(600).ack_back(5).ack_back(5);
            // Target refresh.
            bench.hangup(leg);
            let (to, bye) = bench.sent.last().expect("a BYE").clone();
            assert_eq!((bye.request_uri(), to), (&b"sip:b@192.0.2.12:5099"[..], address("192.0.2.12:5099")));
            bench.respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            0.000  us < INVITE
            0.000  us > 100
            0.000  reoffer sdp
            0.000  us < INVITE
            0.000  us > 100
            0.000  us < INVITE
            0.000  us > 500
            0.000  us > 200
            0.000  us < INVITE
            0.000  us > 491
            0.500  us > 500
            0.500  us > 200
            0.500  us > 491
            0.600  us < ACK
            0.600  reoffer confirmed
            0.600  us < ACK
            0.600  ended by Local, answered
            0.600  us > BYE
            0.600  us < 200
        "#]],
    );
}

#[test]
fn the_peer_is_refused_or_thinks_better() {
    check(
        |bench| {
            let leg = bench.standing();
            bench.request_back("INVITE", "them", 5, CONTACT, OFFER);
            bench.ua.reject_reinvite(bench.now, leg, 488, &mut bench.out).expect("open");
            bench.note();
            bench.request_back("INVITE", "them", 6, &format!("Require: x\r\n{CONTACT}"), OFFER);
            bench.request_back("INVITE", "them", 7, CONTACT, OFFER);
            bench.cancel_back(7);
            assert_eq!(
                bench.ua.answer_reinvite(bench.now, leg, b"", &mut bench.out),
                Err(LegError::WrongState)
            );
            // BYE while its own re-INVITE is open.
            bench.request_back("INVITE", "them", 8, CONTACT, OFFER);
            bench.request_back("BYE", "them", 9, "", "");
        },
        &expect![[r#"
               0.000  us > INVITE
               0.000  us < 200
               0.000  us > ACK
               0.000  answered sdp
               0.000  us < INVITE
               0.000  us > 100
               0.000  reoffer sdp
               0.000  us > 488
               0.000  us < INVITE
               0.000  us > 420
               0.000  us < INVITE
               0.000  us > 100
               0.000  reoffer sdp
               0.000  us < CANCEL
               0.000  us > 200 CANCEL
               0.000  us > 487
               0.000  us < INVITE
               0.000  us > 100
               0.000  reoffer sdp
               0.000  us < BYE
               0.000  us > 200 BYE
               0.000  us > 487
               0.000  ended by Remote, answered
        "#]],
    );
}

impl Bench {
    fn cancel_back(&mut self, cseq: u32) -> &mut Self {
        let invite = self.last(Method::Invite);
        let text = format!(
            "CANCEL sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKpeerINVITE{cseq}\r\n\
             From: {};tag=them\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} CANCEL\r\n\r\n",
            text(invite.header(HeaderName::To)),
            text(invite.header(HeaderName::From)),
            text(Some(invite.call_id())),
        );
        self.receive(&text)
    }
}

#[test]
fn nobody_acknowledges_a_hold() {
    check(
        |bench| {
            let leg = bench.standing();
            bench.request_back("INVITE", "them", 5, CONTACT, OFFER);
            bench.answer_offer(leg);
            bench.pass_ms(32_000).respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            0.000  us < INVITE
            0.000  us > 100
            0.000  reoffer sdp
            0.000  us > 200
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
            32.000  ended by Timeout, answered
            32.000  us > BYE
            32.000  us < 200
        "#]],
    );
}

#[test]
fn we_offer() {
    check(
        |bench| {
            let leg = bench.standing();
            bench.offer(leg).expect("sent");
            assert_eq!(bench.offer(leg), Err(LegError::Pending));
            let offer = bench.last(Method::Invite);
            assert_eq!((offer.cseq().0, offer.to_tag()), (2, Some(&b"them"[..])));
            bench.respond(Method::Invite, 100, "", "", "");
            bench.pass_ms(20).respond(Method::Invite, 200, "", CONTACT, ANSWER);
            bench.pass_ms(500).respond(Method::Invite, 200, "", CONTACT, ANSWER);
            bench.offer(leg).expect("sent");
            bench.respond(Method::Invite, 488, "", "", "");
            bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
               0.000  us > INVITE
               0.000  us < 200
               0.000  us > ACK
               0.000  answered sdp
               0.000  us > INVITE
               0.000  us < 100
               0.020  us < 200
               0.020  us > ACK
               0.020  reoffer answered sdp
               0.520  us < 200
               0.520  us > ACK
               0.520  us > INVITE
               0.520  us < 488
               0.520  us > ACK
               0.520  reoffer rejected 488
               0.520  ended by Local, answered
               0.520  us > BYE
               0.520  us < 200
        "#]],
    );
}

/// Both offer at once. The owner of the Call-ID waits 2.1 to 4 s, the other up to 2 s; then it works out.
#[test]
fn glare() {
    for seed in 0..50 {
        for we_called in [true, false] {
            let mut bench = Bench::new();
            bench.ua.layer.rng = Rng::from_seed(seed);
            let leg = if we_called {
                bench.standing()
            } else {
                let leg = bench.ring_in();
                bench.answer(leg).ack();
                leg
            };
            bench.offer(leg).expect("sent");
            if we_called {
                bench.request_back("INVITE", "them", 5, CONTACT, OFFER);
            } else {
                bench.called_request("INVITE", 5, CONTACT, OFFER);
            }
            assert_eq!(bench.last_response().status(), 491);
            bench.respond(Method::Invite, 491, "", "", "");
            let sent = bench.count("INVITE");
            let (low, high) = if we_called { (2_100, 4_000) } else { (0, 2_000) };
            if low > 0 {
                bench.pass_ms(low - 1);
                assert_eq!(bench.count("INVITE"), sent, "seed {seed}");
                bench.pass_ms(high - low + 1);
            } else {
                bench.pass_ms(high);
            }
            assert!(bench.count("INVITE") > sent, "seed {seed}");
            bench.respond(Method::Invite, 200, "", CONTACT, ANSWER);
            assert!(bench.ladder.contains("reoffer answered sdp"), "{}", bench.ladder);
            bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
            bench.is_clean();
        }
    }
}

#[test]
fn glare_without_end() {
    check(
        |bench| {
            let leg = bench.standing();
            bench.offer(leg).expect("sent");
            for _ in 0..4 {
                bench.respond(Method::Invite, 491, "", "", "");
                bench.pass_ms(4000);
            }
            assert_eq!(bench.last(Method::Invite).cseq().0, 5);
            assert!(bench.ladder.contains("reoffer rejected 491"));
            bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
            bench.ladder.clear();
        },
        &expect![""],
    );
}

#[test]
fn an_offer_that_ends_the_call() {
    check(
        |bench| {
            let leg = bench.standing();
            bench.offer(leg).expect("sent");
            bench.respond(Method::Invite, 481, "", "", "");
            bench.respond(Method::Bye, 481, "", "", "");
        },
        &expect![[r#"
               0.000  us > INVITE
               0.000  us < 200
               0.000  us > ACK
               0.000  answered sdp
               0.000  us > INVITE
               0.000  us < 481
               0.000  us > ACK
               0.000  ended by Remote, answered
               0.000  us > BYE
               0.000  us < 481
        "#]],
    );
    check(
        |bench| {
            let leg = bench.standing();
            bench.offer(leg).expect("sent");
            bench.pass_ms(32_000).respond(Method::Bye, 408, "", "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            0.000  us > INVITE
            0.500  us > INVITE
            1.500  us > INVITE
            3.500  us > INVITE
            7.500  us > INVITE
            15.500  us > INVITE
            31.500  us > INVITE
            32.000  ended by Timeout, answered
            32.000  us > BYE
            32.000  us < 408
        "#]],
    );
}

/// Hanging up with our own offer open: its late answer gets ACK and nothing else.
#[test]
fn bye_during_our_offer() {
    check(
        |bench| {
            let leg = bench.standing();
            bench.offer(leg).expect("sent");
            bench.respond(Method::Invite, 100, "", "", "");
            bench.hangup(leg);
            bench.respond(Method::Bye, 200, "", "", "");
            bench.respond(Method::Invite, 200, "", CONTACT, ANSWER);
            bench.respond(Method::Invite, 200, "", CONTACT, ANSWER);
            let leg = bench.standing();
            bench.offer(leg).expect("sent");
            bench.request_back("BYE", "them", 5, "", "");
            bench.respond(Method::Invite, 487, "", "", "");
        },
        &expect![[r#"
               0.000  us > INVITE
               0.000  us < 200
               0.000  us > ACK
               0.000  answered sdp
               0.000  us > INVITE
               0.000  us < 100
               0.000  ended by Local, answered
               0.000  us > BYE
               0.000  us < 200
               0.000  us < 200
               0.000  us > ACK
               0.000  us < 200
               0.000  us > ACK
               0.000  us > INVITE
               0.000  us < 200
               0.000  us > ACK
               0.000  answered sdp
               0.000  us > INVITE
               0.000  us < BYE
               0.000  us > 200 BYE
               0.000  ended by Remote, answered
               0.000  us < 487
               0.000  us > ACK
        "#]],
    );
}

/// A copy of a refused re-INVITE that comes late is not taken for a new one.
#[test]
fn a_late_copy_of_a_refused_offer() {
    check(
        |bench| {
            let leg = bench.standing();
            bench.offer(leg).expect("sent");
            bench.request_back("INVITE", "them", 5, CONTACT, OFFER);
            bench.respond(Method::Invite, 491, "", "", "");
            bench.pass_ms(100).request_back("INVITE", "them", 5, CONTACT, OFFER);
            bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            0.000  us > INVITE
            0.000  us < INVITE
            0.000  us > 491
            0.000  us < 491
            0.000  us > ACK
            0.100  us < INVITE
            0.100  us > 491
            0.100  ended by Local, answered
            0.100  us > BYE
            0.100  us < 200
        "#]],
    );
}

/// An offer that rings: cancelled after 64·T1, given up after another.
#[test]
fn an_offer_nobody_decides() {
    check(
        |bench| {
            let leg = bench.standing();
            bench.offer(leg).expect("sent");
            bench.respond(Method::Invite, 100, "", "", "");
            bench.pass_ms(32_000).respond(Method::Cancel, 200, "", "", "");
            bench.respond(Method::Invite, 487, "", "", "");
            bench.offer(leg).expect("sent");
            bench.respond(Method::Invite, 100, "", "", "");
            bench.pass_ms(32_000).respond(Method::Cancel, 200, "", "", "");
            bench.pass_ms(32_000).respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            0.000  us > INVITE
            0.000  us < 100
            32.000  us > CANCEL
            32.000  us < 200
            32.000  us < 487
            32.000  us > ACK
            32.000  reoffer rejected 487
            32.000  us > INVITE
            32.000  us < 100
            64.000  us > CANCEL
            64.000  us < 200
            96.000  ended by Timeout, answered
            96.000  us > BYE
            96.000  us < 200
        "#]],
    );
}
