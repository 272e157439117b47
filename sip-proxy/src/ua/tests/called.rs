//! Legs that others make.

use expect_test::expect;

use super::*;

impl Bench {
    /// The peer calls us.
    pub(super) fn ring_in(&mut self) -> LegKey {
        let number = self.incoming.len();
        let text = invite_text("13800138000", &format!("in{number}"), "", OFFER);
        self.receive(&text);
        *self.incoming.last().expect("a leg")
    }

    pub(super) fn answer(&mut self, leg: LegKey) -> &mut Self {
        self.ua.answer(self.now, leg, ANSWER.as_bytes(), &mut self.out).expect("it can be answered");
        self.note();
        self
    }

    pub(super) fn ring(&mut self, leg: LegKey) -> &mut Self {
        self.ua.provisional(self.now, leg, 180, None, &mut self.out).expect("it can ring");
        self.note();
        self
    }

    pub(super) fn reject(&mut self, leg: LegKey, code: u16) -> &mut Self {
        self.ua.reject(self.now, leg, code, Reason::default(), &mut self.out).expect("it can be refused");
        self.note();
        self
    }

    /// The ACK to our last 2xx.
    pub(super) fn ack(&mut self) -> &mut Self {
        self.called_request("ACK", 1, "", "")
    }

    /// The ACK to our last failure: in its transaction.
    pub(super) fn ack_failure(&mut self) -> &mut Self {
        let response = self.invite_response();
        let text = format!(
            "ACK sip:4000@192.0.2.1 SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\n\
             CSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
            text(response.header(HeaderName::Via)),
            text(response.header(HeaderName::From)),
            text(response.header(HeaderName::To)),
            text(Some(response.call_id())),
        );
        self.receive(&text)
    }

    fn invite_response(&self) -> Message {
        let mut responses = self.sent.iter().rev().map(|(_, message)| message);
        let found = responses.find(|message| {
            !message.is_request() && message.method() == Method::Invite && message.status() > 100
        });
        found.expect("an answer to an INVITE").clone()
    }

    /// A request of the peer in the dialog its INVITE made.
    pub(super) fn called_request(&mut self, method: &str, cseq: u32, more: &str, body: &str) -> &mut Self {
        let text = self.called_text_with(method, cseq, more, body);
        self.receive(&text)
    }

    /// The same as text, without a body.
    pub(super) fn called_text(&self, method: &str, cseq: u32) -> String {
        self.called_text_with(method, cseq, "", "")
    }

    fn called_text_with(&self, method: &str, cseq: u32, more: &str, body: &str) -> String {
        let invite = self.sent.iter().rev().map(|(_, message)| message);
        let mut invite = invite.filter(|message| !message.is_request() && message.method() == Method::Invite);
        let response = invite.next().expect("an answer to an INVITE").clone();
        format!(
            "{method} sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKin{method}{cseq}{}\r\n\
             Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n{more}{}",
            text(Some(response.call_id())),
            text(response.header(HeaderName::From)),
            text(response.header(HeaderName::To)),
            text(Some(response.call_id())),
            body_text(body),
        )
    }
}

/// An INVITE of the peer.
pub(super) fn invite_text(from: &str, id: &str, more: &str, body: &str) -> String {
    format!(
        "INVITE sip:4000@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{id}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{from}@192.0.2.9>;tag=them\r\nTo: <sip:4000@192.0.2.1>\r\nCall-ID: {id}\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:{from}@192.0.2.9:5060>\r\n{more}{}",
        body_text(body)
    )
}

#[test]
fn a_plain_call() {
    check(
        |bench| {
            let leg = bench.ring_in();
            bench.ua.adopt(leg, 99);
            bench.pass_ms(100).ring(leg);
            bench.pass_ms(1000).answer(leg);
            let ok = bench.last_response();
            assert_eq!(ok.body(), ANSWER.as_bytes());
            assert!(ok.to_tag().is_some() && ok.contact().is_some());
            bench.pass_ms(20).ack().ack();
            bench.pass_ms(1000).called_request("BYE", 2, "", "");
            bench.called_request("BYE", 2, "", "");
            assert_eq!(bench.ended[0].owner, 99);
        },
        &expect![[r#"
               0.000  us < INVITE
               0.000  us > 100
               0.000  incoming from Trunk(1)
               0.100  us > 180
               1.100  us > 200
               1.120  us < ACK
               1.120  confirmed
               1.120  us < ACK
               2.120  us < BYE
               2.120  us > 200 BYE
               2.120  ended by Remote, answered
               2.120  us < BYE
               2.120  us > 200 BYE
        "#]],
    );
}

/// Our 2xx is repeated at T1, 2·T1 … T2 until the ACK; none for 64·T1 is the end (RFC 3261 §13.3.1.4).
#[test]
fn nobody_acknowledges() {
    check(
        |bench| {
            let leg = bench.ring_in();
            bench.answer(leg);
            bench.pass_ms(31_999);
            assert!(bench.ended.is_empty());
            bench.pass_ms(1);
            assert_eq!(bench.ended.len(), 1);
            bench.respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
            0.000  us < INVITE
            0.000  us > 100
            0.000  incoming from Trunk(1)
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

/// Timers G and H; the ACK stops them and timer I swallows its copies.
#[test]
fn a_refusal_is_repeated_until_acknowledged() {
    check(
        |bench| {
            let leg = bench.ring_in();
            bench.reject(leg, 486);
            bench.pass_ms(4000).receive(&invite_text("13800138000", "in0", "", OFFER));
            bench.pass_ms(100).ack_failure().ack_failure();
            bench.receive(&invite_text("13800138000", "in0", "", OFFER));
            bench.pass_ms(4999);
            assert_eq!(bench.ua.audit().server_transactions, 1);
            bench.pass_ms(1);
            assert_eq!(bench.ua.audit().server_transactions, 0);
            let leg = bench.ring_in();
            bench.reject(leg, 404);
            bench.pass_ms(31_999);
            assert_eq!(bench.ua.audit().server_transactions, 1);
            bench.pass_ms(1);
            assert_eq!(bench.ua.audit().server_transactions, 0);
        },
        &expect![[r#"
            0.000  us < INVITE
            0.000  us > 100
            0.000  incoming from Trunk(1)
            0.000  us > 486
            0.000  ended by Local, code 486
            0.500  us > 486
            1.500  us > 486
            3.500  us > 486
            4.000  us < INVITE
            4.000  us > 486
            4.100  us < ACK
            4.100  us < ACK
            4.100  us < INVITE
            9.100  us < INVITE
            9.100  us > 100
            9.100  incoming from Trunk(1)
            9.100  us > 404
            9.100  ended by Local, code 404
            9.600  us > 404
            10.600  us > 404
            12.600  us > 404
            16.600  us > 404
            20.600  us > 404
            24.600  us > 404
            28.600  us > 404
            32.600  us > 404
            36.600  us > 404
            40.600  us > 404
        "#]],
    );
}

/// Each copy of a request gets the same response; a copy along another path gets 482.
#[test]
fn copies() {
    check(
        |bench| {
            let leg = bench.ring_in();
            bench.pass_ms(500).receive(&invite_text("13800138000", "in0", "", OFFER));
            bench.ring(leg);
            bench.receive(&invite_text("13800138000", "in0", "", OFFER));
            bench
                .receive(&invite_text("13800138000", "in0", "", OFFER).replace("z9hG4bKin0", "z9hG4bKother"));
            bench.answer(leg);
            bench.receive(&invite_text("13800138000", "in0", "", OFFER));
            bench.ack().called_request("BYE", 2, "", "");
            assert_eq!(bench.incoming.len(), 1);
        },
        &expect![[r#"
               0.000  us < INVITE
               0.000  us > 100
               0.000  incoming from Trunk(1)
               0.500  us < INVITE
               0.500  us > 100
               0.500  us > 180
               0.500  us < INVITE
               0.500  us > 180
               0.500  us < INVITE
               0.500  us > 482
               0.500  us > 200
               0.500  us < INVITE
               0.500  us < ACK
               0.500  confirmed
               0.500  us < BYE
               0.500  us > 200 BYE
               0.500  ended by Remote, answered
        "#]],
    );
}

#[test]
fn the_caller_cancels() {
    check(
        |bench| {
            let leg = bench.ring_in();
            bench.ring(leg);
            let cancel = cancel_text("in0", "192.0.2.9:5060");
            bench.receive(&cancel);
            assert_eq!(bench.sent[bench.sent.len() - 2].1.to_tag(), bench.last_response().to_tag());
            bench.receive(&cancel);
            bench.ack_failure().receive(&cancel);
            assert_eq!(bench.ua.answer(bench.now, leg, b"", &mut bench.out), Err(LegError::Gone));
        },
        &expect![[r#"
            0.000  us < INVITE
            0.000  us > 100
            0.000  incoming from Trunk(1)
            0.000  us > 180
            0.000  us < CANCEL
            0.000  us > 200 CANCEL
            0.000  us > 487
            0.000  ended by Remote, code 487, saying Call completed elsewhere
            0.000  us < CANCEL
            0.000  us > 200 CANCEL
            0.000  us < ACK
            0.000  us < CANCEL
            0.000  us > 200 CANCEL
        "#]],
    );
}

/// A NAT may change sent-by between INVITE and CANCEL; the branch is the same.
#[test]
fn a_cancel_with_another_sent_by() {
    check(
        |bench| {
            bench.ring_in();
            bench.receive(&cancel_text("in0", "10.0.0.3:1234"));
            bench.ack_failure();
        },
        &expect![[r#"
            0.000  us < INVITE
            0.000  us > 100
            0.000  incoming from Trunk(1)
            0.000  us < CANCEL
            0.000  us > 200 CANCEL
            0.000  us > 487
            0.000  ended by Remote, code 487, saying Call completed elsewhere
            0.000  us < ACK
        "#]],
    );
}

#[test]
fn cancel_after_200_and_out_of_nowhere() {
    check(
        |bench| {
            let leg = bench.ring_in();
            bench.answer(leg);
            bench.receive(&cancel_text("in0", "192.0.2.9:5060"));
            bench.receive(&cancel_text("nowhere", "192.0.2.9:5060"));
            bench.receive(&cancel_text("nowhere", "192.0.2.9:5060"));
            bench.ack().called_request("BYE", 2, "", "");
        },
        &expect![[r#"
               0.000  us < INVITE
               0.000  us > 100
               0.000  incoming from Trunk(1)
               0.000  us > 200
               0.000  us < CANCEL
               0.000  us > 200 CANCEL
               0.000  us < CANCEL
               0.000  us > 481 CANCEL
               0.000  us < CANCEL
               0.000  us > 481 CANCEL
               0.000  us < ACK
               0.000  confirmed
               0.000  us < BYE
               0.000  us > 200 BYE
               0.000  ended by Remote, answered
        "#]],
    );
}

fn cancel_text(id: &str, sent_by: &str) -> String {
    format!(
        "CANCEL sip:4000@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {sent_by};branch=z9hG4bK{id}\r\nMax-Forwards: 70\r\n\
         From: <sip:13800138000@192.0.2.9>;tag=them\r\nTo: <sip:4000@192.0.2.1>\r\nCall-ID: {id}\r\nCSeq: 1 CANCEL\r\n\
         Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A call that came along a recorded route goes back along it; the responses repeat the route.
#[test]
fn a_route_set() {
    let mut bench = Bench::new();
    let routes = "Record-Route: <sip:192.0.2.21:5080;lr>, <sip:192.0.2.22;lr>\r\n";
    bench.receive(&invite_text("13800138000", "in0", routes, OFFER));
    let leg = bench.incoming[0];
    bench.ring(leg).answer(leg);
    for status in [180, 200] {
        let (_, response) = bench.sent.iter().find(|(_, message)| message.status() == status).expect("sent");
        assert_eq!(response.record_routes().count(), 2, "{status}");
    }
    bench.ack().hangup(leg);
    let (to, bye) = bench.sent.last().expect("a BYE").clone();
    let route: Vec<String> = bye.values(HeaderName::Route).map(|value| text(Some(value))).collect();
    assert_eq!(route, ["<sip:192.0.2.21:5080;lr>", "<sip:192.0.2.22;lr>"]);
    assert_eq!((bye.request_uri(), to), (&b"sip:13800138000@192.0.2.9:5060"[..], address("192.0.2.21:5080")));
    bench.respond(Method::Bye, 200, "", "", "");
    bench.is_clean();
}

#[test]
fn an_invite_without_an_offer() {
    check(
        |bench| {
            bench.receive(&invite_text("13800138000", "in0", "", ""));
            let leg = bench.incoming[0];
            bench.answer(leg).called_request("ACK", 1, "", ANSWER);
            bench.called_request("BYE", 2, "", "");
        },
        &expect![[r#"
               0.000  us < INVITE
               0.000  us > 100
               0.000  incoming from Trunk(1)
               0.000  us > 200
               0.000  us < ACK
               0.000  confirmed sdp
               0.000  us < BYE
               0.000  us > 200 BYE
               0.000  ended by Remote, answered
        "#]],
    );
}

#[test]
fn strangers_are_refused_at_no_cost() {
    let mut bench = Bench::new();
    let stranger = address("198.51.100.1:5060");
    bench.receive_from(stranger, &invite_text("13800138000", "s1", "", OFFER));
    let refusal = bench.last_response();
    // Asked for a password like a phone whose name exists, and told nothing about us.
    assert_eq!(refusal.status(), 401);
    assert!(!refusal.has(HeaderName::Server));
    bench.receive_from(stranger, &invite_text("1001", "s0", "", OFFER));
    assert_eq!(bench.last_response().status(), 401);
    bench.receive_from(stranger, &invite_text("13800138000", "s1", "", OFFER));
    assert_eq!(bench.last_response().to_tag(), refusal.to_tag());
    assert!(refusal.to_tag().is_some());
    bench.receive_from(
        stranger,
        &invite_text("13800138000", "s2", "", OFFER)
            .replace("<sip:4000@192.0.2.1>\r\n", "<sip:4000@192.0.2.1>;tag=x\r\n"),
    );
    assert_eq!(bench.last_response().status(), 481);
    assert_eq!(bench.ua.audit(), Audit::default());
    assert_eq!(bench.ua.counters().refused_unknown, 2);
    assert!(bench.incoming.is_empty());
}

#[test]
fn what_an_invite_may_not_ask_for() {
    let mut bench = Bench::new();
    let plain = invite_text("13800138000", "x", "", OFFER);
    let cases = [
        (plain.replace("INVITE sip:4000@192.0.2.1", "INVITE soap.beep://192.0.2.103"), 416),
        (plain.replace("Contact: <sip:13800138000@192.0.2.9:5060>\r\n", ""), 400),
        (plain.replace("Max-Forwards: 70", "Max-Forwards: 0"), 483),
        (invite_text("13800138000", "x", "Require: 100rel, frob\r\n", OFFER), 420),
        (invite_text("13800138000", "x", "Content-Encoding: gzip\r\n", OFFER), 415),
        (invite_text("13800138000", "x", "Accept: text/plain\r\n", OFFER), 406),
        (plain.replace("application/sdp", "text/plain"), 415),
        (plain.replace("SIP/2.0\r\nVia", "SIP/7.0\r\nVia"), 505),
        (plain.replace("CSeq: 1 INVITE", "CSeq: 1 BYE"), 400),
        (plain.replace("INVITE", "SUBSCRIBE"), 405),
        (plain.replace("INVITE", "BYE"), 481),
        (plain.replace("INVITE", "FROBNICATE"), 501),
    ];
    for (text, status) in cases {
        bench.receive(&text);
        assert_eq!(bench.last_response().status(), status, "{text}");
        assert_eq!(bench.sent.last().expect("sent").0, bench.peer);
    }
    let mut unsupported = Vec::new();
    for (_, message) in &bench.sent {
        unsupported.extend(message.values(HeaderName::Unsupported).map(|value| text(Some(value))));
    }
    assert_eq!(unsupported, ["frob"]);
    assert!(bench.incoming.is_empty());
    bench.is_clean();
}

#[test]
fn limits_and_draining_refuse_newcomers_only() {
    let mut bench = Bench::with(|config| config.limits.legs_max = 1);
    let leg = bench.ring_in();
    bench.receive(&invite_text("13800138000", "second", "", OFFER));
    assert_eq!(bench.last_response().status(), 503);
    assert_eq!(bench.last_response().seconds(HeaderName::RetryAfter), Some(10));
    bench.ua.set_draining(true);
    bench.receive(&invite_text("13800138000", "third", "", OFFER));
    assert_eq!(bench.last_response().status(), 503);
    let options = invite_text("13800138000", "o", "", "").replace("INVITE", "OPTIONS");
    bench.receive(&options);
    assert_eq!(bench.last_response().status(), 503);
    bench.answer(leg).ack().called_request("BYE", 2, "", "");
    bench.ua.set_draining(false);
    bench.receive(&options);
    assert_eq!(bench.last_response().status(), 200);
    assert!(bench.last_response().has(HeaderName::Allow));
    assert_eq!(bench.ua.counters().refused_busy, 3);
    bench.is_clean();
}

/// Peers of RFC 2543: no magic cookie, the ACK to a 2xx in the same transaction, no tag in From.
#[test]
fn an_old_peer() {
    check(
        |bench| {
            let old = |text: &str| text.replace("branch=z9hG4bK", "branch=").replace(";tag=them", "");
            let invite = old(&invite_text("13800138000", "in0", "", OFFER));
            bench.receive(&invite).receive(&invite);
            let leg = bench.incoming[0];
            bench.answer(leg);
            let ok = bench.last_response();
            let ack = invite
                .replace("INVITE", "ACK")
                .replace("To: <sip:4000@192.0.2.1>", &format!("To: {}", text(ok.header(HeaderName::To))));
            bench.receive(&ack).receive(&ack);
            bench.receive(&ack.replace("ACK", "BYE").replace("CSeq: 1", "CSeq: 2"));
            let other =
                old(&invite_text("13800138000", "in1", "", OFFER)).replace("branch=in1", "branch=in0");
            bench.receive(&other);
            let leg = bench.incoming[1];
            bench.reject(leg, 486);
            let refusal = bench.last_response();
            let ack = other.replace("INVITE", "ACK").replace(
                "To: <sip:4000@192.0.2.1>",
                &format!("To: {}", text(refusal.header(HeaderName::To))),
            );
            bench.receive(&ack);
            bench.pass_ms(10_000);
        },
        &expect![[r#"
               0.000  us < INVITE
               0.000  us > 100
               0.000  incoming from Trunk(1)
               0.000  us < INVITE
               0.000  us > 100
               0.000  us > 200
               0.000  us < ACK
               0.000  confirmed sdp
               0.000  us < ACK
               0.000  us < BYE
               0.000  us > 200 BYE
               0.000  ended by Remote, answered
               0.000  us < INVITE
               0.000  us > 100
               0.000  incoming from Trunk(1)
               0.000  us > 486
               0.000  ended by Local, code 486
               0.000  us < ACK
        "#]],
    );
}

/// Where a response goes: to the source, but to the port of sent-by when nothing asks otherwise and no NAT shows.
#[test]
fn where_responses_go() {
    let mut bench = Bench::new();
    let plain = invite_text("13800138000", "x", "", "").replace("INVITE", "OPTIONS");
    for (via, source, expected) in [
        ("192.0.2.9:5060;rport", "192.0.2.9:7777", "192.0.2.9:7777"),
        ("192.0.2.9:5060", "192.0.2.9:7777", "192.0.2.9:5060"),
        ("192.0.2.9", "192.0.2.9:7777", "192.0.2.9:5060"),
        ("10.0.0.1:5060", "192.0.2.9:7777", "192.0.2.9:7777"),
        ("192.0.2.9:5060;maddr=255.255.255.255", "192.0.2.9:5060", "192.0.2.9:5060"),
    ] {
        bench.receive_from(address(source), &plain.replace("192.0.2.9:5060;", &format!("{via};")));
        let (to, response) = bench.sent.last().expect("sent").clone();
        assert_eq!(to, address(expected), "{via}");
        if via.ends_with("rport") {
            assert_eq!(response.top_via().rport, Some(Some(7777)));
        }
    }
}

#[test]
fn requests_within_dialogs_and_replacing_ones_concern_a_leg() {
    let mut bench = Bench::new();
    let concern = |bench: &Bench, text: &str| bench.ua.concern_of(&Bytes::copy_from_slice(text.as_bytes()));
    let invite = invite_text("13800138000", "in0", "", OFFER);
    assert_eq!(concern(&bench, &invite), Concern::Nobody);
    let leg = bench.ring_in();
    let cancel = invite.replace("INVITE", "CANCEL");
    assert_eq!(concern(&bench, &cancel), Concern::Leg(leg));
    assert_eq!(concern(&bench, &cancel.replace("in0", "in9")), Concern::Nobody);
    bench.answer(leg).ack();
    let again = concern(&bench, &invite);
    assert_eq!(again, Concern::Nobody, "the same INVITE again is answered again, and ends nothing");
    let response = bench.invite_response();
    let bye = |to: &str| {
        format!(
            "BYE sip:4000@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKbye\r\n\
             Max-Forwards: 70\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n",
            text(response.header(HeaderName::From)),
            text(Some(response.call_id())),
        )
    };
    let ours = text(response.header(HeaderName::To));
    assert_eq!(concern(&bench, &bye(&ours)), Concern::Leg(leg));
    assert_eq!(concern(&bench, &bye("<sip:4000@192.0.2.1>;tag=stranger")), Concern::Nobody);
    let refer =
        |to: &str| bye(&ours).replace("BYE", "REFER").replace("Max-F", &format!("Refer-To: {to}\r\nMax-F"));
    assert_eq!(concern(&bench, &refer("<sip:5000@192.0.2.9>")), Concern::Leg(leg));
    let attended = refer("<sip:5000@192.0.2.9?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>");
    assert_eq!(concern(&bench, &attended), Concern::Several);
    let replacing = invite_text("13800138000", "in1", "Replaces: a;to-tag=b;from-tag=c\r\n", OFFER);
    assert_eq!(concern(&bench, &replacing), Concern::Several);
    assert_eq!(concern(&bench, "BYE what is this\r\n\r\n"), Concern::Nobody);
    assert_eq!(concern(&bench, "SIP/2.0 486 Busy Here\r\n\r\n"), Concern::Nobody);
}

/// RFC 3261 §13.3.1: an invitation that says for how long it is valid ends with 487, at that moment and not before.
#[test]
fn an_invitation_expires() {
    for (expires, at_ms) in [("2", 2_000), ("0", 0), ("100", 100_000)] {
        let mut bench = Bench::new();
        bench.receive(&invite_text("13800138000", "short", &format!("Expires: {expires}\r\n"), OFFER));
        if at_ms > 0 {
            bench.pass_ms(at_ms - 1);
            assert!(bench.ended.is_empty(), "{expires}");
        }
        bench.pass_ms(1);
        let ended: Vec<_> = bench.ended.iter().map(|ended| (ended.by, ended.code)).collect();
        assert_eq!(ended, [(EndedBy::Timeout, Some(487))], "{expires}");
        assert_eq!(bench.invite_response().status(), 487);
        bench.ack_failure();
        bench.is_clean();
    }
    // Answered in time, nonsense, and longer than anybody rings.
    for expires in ["2", "soon", "4294967295"] {
        let mut bench = Bench::new();
        bench.receive(&invite_text("13800138000", "long", &format!("Expires: {expires}\r\n"), OFFER));
        bench.pass_ms(1_999);
        let leg = bench.incoming[0];
        bench.answer(leg).ack();
        bench.pass_ms(5_000);
        assert!(bench.ended.is_empty(), "{expires}");
        bench.hangup(leg);
        bench.respond(Method::Bye, 200, "", "", "");
        bench.is_clean();
    }
}

/// What belongs to a subscription or a call that is not here.
#[test]
fn requests_that_need_a_dialog_get_none() {
    for (method, status) in [("NOTIFY", 481), ("REFER", 403), ("PRACK", 481), ("UPDATE", 481), ("INFO", 481)]
    {
        let mut bench = Bench::new();
        let text =
            invite_text("13800138000", "loose", "Refer-To: <sip:1@h>\r\n", "").replace("INVITE", method);
        bench.receive(&text);
        assert_eq!(bench.sent.last().expect("an answer").1.status(), status, "{method}");
        bench.is_clean();
    }
}
