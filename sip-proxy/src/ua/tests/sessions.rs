//! Session timers (RFC 4028) and UPDATE (RFC 3311).

use expect_test::expect;

use super::*;

const CONTACT: &str = "Contact: <sip:b@192.0.2.9:5060>\r\n";

/// Header lines of a 2xx of a peer that takes UPDATE.
const UPDATES: &str = "Contact: <sip:b@192.0.2.9:5060>\r\nAllow: INVITE, ACK, BYE, UPDATE\r\n";

impl Bench {
    /// The peer answers our INVITE with this Session-Expires.
    fn timed(&mut self, session_expires: &str, updates: bool) -> LegKey {
        let leg = self.call();
        let contact = if updates { UPDATES } else { CONTACT };
        let more = format!("{contact}Require: timer\r\nSession-Expires: {session_expires}\r\n");
        self.respond(Method::Invite, 200, "them", &more, ANSWER);
        leg
    }

    /// The peer calls with these header lines.
    pub(super) fn called_with(&mut self, more: &str, body: &str) -> LegKey {
        let text = format!(
            "INVITE sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKcall\r\n\
             Max-Forwards: 70\r\nFrom: <sip:b@192.0.2.9>;tag=them\r\nTo: <sip:x@192.0.2.1>\r\nCall-ID: called\r\n\
             CSeq: 1 INVITE\r\n{CONTACT}{more}{}",
            body_text(body)
        );
        self.receive(&text);
        *self.incoming.last().expect("a leg came in")
    }

    /// A request of the peer in the dialog that its own INVITE made.
    pub(super) fn caller_request(&mut self, method: &str, cseq: u32, more: &str, body: &str) -> &mut Self {
        let to = text(self.last_response().header(HeaderName::To));
        let branch = if method == "ACK" { "ack".into() } else { format!("{method}{cseq}") };
        let text = format!(
            "{method} sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{branch}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:b@192.0.2.9>;tag=them\r\nTo: {to}\r\nCall-ID: called\r\n\
             CSeq: {cseq} {method}\r\n{more}{}",
            body_text(body)
        );
        self.receive(&text)
    }

    fn header_of_last(&self, method: Method, name: HeaderName) -> String {
        text(self.last(method).header(name))
    }
}

#[test]
fn our_invite_asks_for_a_session_timer() {
    let mut bench = Bench::new();
    let leg = bench.call();
    assert_eq!(bench.header_of_last(Method::Invite, HeaderName::SessionExpires), "1800");
    assert_eq!(bench.header_of_last(Method::Invite, HeaderName::MinSe), "90");
    assert!(bench.last(Method::Invite).lists(HeaderName::Supported, "timer"));
    bench.respond(Method::Invite, 486, "them", "", "");
    let _ = leg;
    bench.is_clean();
    let mut bench = Bench::with(|config| config.session_timers.use_with = SessionUse::Off);
    bench.call();
    let invite = bench.last(Method::Invite);
    assert!(!invite.has(HeaderName::SessionExpires) && !invite.lists(HeaderName::Supported, "timer"));
    bench.respond(Method::Invite, 486, "them", "", "");
    bench.is_clean();
}

#[test]
fn we_refresh_by_update() {
    check(
        |bench| {
            let leg = bench.timed("600;refresher=uac", true);
            bench.pass_ms(299_999);
            assert_eq!(bench.count("UPDATE"), 0);
            bench.pass_ms(1);
            assert_eq!(bench.header_of_last(Method::Update, HeaderName::SessionExpires), "600;refresher=uac");
            assert_eq!(bench.header_of_last(Method::Update, HeaderName::MinSe), "90");
            bench.respond(Method::Update, 200, "", "Session-Expires: 600;refresher=uac\r\n", "");
            bench.pass_ms(300_000);
            bench.respond(Method::Update, 200, "", "", "");
            bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r"
            0.000  us > INVITE
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            300.000  us > UPDATE
            300.000  us < 200
            600.000  us > UPDATE
            600.000  us < 200
            600.000  ended by Local, answered
            600.000  us > BYE
            600.000  us < 200
        "]],
    );
}

#[test]
fn we_refresh_by_reinvite_where_the_peer_takes_no_update() {
    check(
        |bench| {
            let leg = bench.timed("600;refresher=uac", false);
            bench.pass_ms(300_000);
            let invite = bench.last(Method::Invite);
            assert_eq!((invite.cseq().0, invite.body()), (2, OFFER.as_bytes()));
            bench.respond(Method::Invite, 200, "", CONTACT, ANSWER);
            bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
            // One that says it takes UPDATE and does not.
            let leg = bench.timed("600;refresher=uac", true);
            bench.pass_ms(300_000).respond(Method::Update, 501, "", "", "");
            bench.respond(Method::Invite, 200, "", CONTACT, ANSWER);
            bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r"
            0.000  us > INVITE
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            300.000  us > INVITE
            300.000  us < 200
            300.000  us > ACK
            300.000  reoffer confirmed sdp
            300.000  ended by Local, answered
            300.000  us > BYE
            300.000  us < 200
            300.000  us > INVITE
            300.000  us < 200
            300.000  us > ACK
            300.000  answered sdp
            600.000  us > UPDATE
            600.000  us < 501
            600.000  us > INVITE
            600.000  us < 200
            600.000  us > ACK
            600.000  reoffer confirmed sdp
            600.000  ended by Local, answered
            600.000  us > BYE
            600.000  us < 200
        "]],
    );
}

/// Unanswered for 64·T1, answered 481 or 408, or refused until the interval is nearly over: BYE.
#[test]
fn a_refresh_that_fails_ends_the_call() {
    for (status, seconds) in [(None, 332.0), (Some(481), 300.0), (Some(408), 300.0), (Some(403), 568.0)] {
        let mut bench = Bench::new();
        bench.timed("600;refresher=uac", true);
        bench.pass_ms(300_000);
        if let Some(status) = status {
            bench.respond(Method::Update, status, "", "", "");
        }
        let end = Duration::from_secs_f64(seconds) - Duration::from_secs(300);
        bench.pass(end.saturating_sub(Duration::from_millis(1)));
        if status != Some(481) && status != Some(408) {
            assert!(bench.ended.is_empty(), "{status:?}\n{}", bench.ladder);
        }
        bench.pass_ms(1);
        assert_eq!(bench.ended.len(), 1, "{status:?}\n{}", bench.ladder);
        bench.respond(Method::Bye, 200, "", "", "");
        bench.is_clean();
    }
}

#[test]
fn the_peer_refreshes_or_the_call_ends() {
    check(
        |bench| {
            bench.timed("600;refresher=uas", true);
            bench.pass_ms(560_000);
            let refresh = format!("{CONTACT}Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n");
            bench.request_back("UPDATE", "them", 5, &refresh, "");
            let response = bench.last_response();
            assert_eq!(text(response.header(HeaderName::SessionExpires)), "600;refresher=uac");
            assert!(response.lists(HeaderName::Require, "timer"));
            // 600 s less 32 s after the refresh, not earlier.
            bench.pass_ms(567_999);
            assert!(bench.ended.is_empty());
            bench.pass_ms(1).respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r"
            0.000  us > INVITE
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            560.000  us < UPDATE
            560.000  us > 200 UPDATE
            1128.000  ended by Timeout, answered
            1128.000  us > BYE
            1128.000  us < 200
        "]],
    );
}

/// 422 from the peer: the INVITE goes out again with the interval it wants, at most three times.
#[test]
fn a_longer_interval_is_asked_for() {
    let mut bench = Bench::with(|config| config.session_timers.interval = Duration::from_secs(300));
    bench.call();
    for least in [600, 900, 1200, 1500] {
        bench.respond(Method::Invite, 422, "them", &format!("Min-SE: {least}\r\n"), "");
    }
    assert_eq!(bench.header_of_last(Method::Invite, HeaderName::SessionExpires), "1200");
    assert_eq!(bench.header_of_last(Method::Invite, HeaderName::MinSe), "1200");
    assert_eq!(bench.ended[0].code, Some(422));
    bench.is_clean();
    // One that asks for what it got is given up at once.
    let mut bench = Bench::new();
    bench.call();
    bench.respond(Method::Invite, 422, "them", "Min-SE: 1800\r\n", "");
    assert_eq!((bench.ended.len(), bench.count("INVITE")), (1, 1));
    bench.is_clean();
}

/// 422 to a refresh: it goes out again with the longer interval.
#[test]
fn a_refresh_with_too_short_an_interval() {
    let mut bench = Bench::new();
    let leg = bench.timed("100;refresher=uac", true);
    bench.pass_ms(50_000).respond(Method::Update, 422, "", "Min-SE: 200\r\n", "");
    assert_eq!(bench.header_of_last(Method::Update, HeaderName::SessionExpires), "200;refresher=uac");
    bench.respond(Method::Update, 200, "", "Session-Expires: 200;refresher=uac\r\n", "");
    bench.pass_ms(99_999);
    assert_eq!(bench.count("UPDATE"), 2);
    bench.pass_ms(1);
    assert_eq!(bench.count("UPDATE"), 3);
    bench.respond(Method::Update, 200, "", "", "");
    bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    bench.is_clean();
}

/// Table 2 of RFC 4028: what the caller knows and wants, and what it gets.
#[test]
fn who_refreshes_a_call_that_came_in() {
    for (more, granted) in [
        ("", None),
        ("Supported: timer\r\n", Some("1800;refresher=uas")),
        ("Supported: timer\r\nSession-Expires: 600\r\n", Some("600;refresher=uas")),
        ("Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n", Some("600;refresher=uac")),
        ("Supported: timer\r\nx: 600 ; refresher = uas\r\n", Some("600;refresher=uas")),
        // A proxy asks for it, the caller knows nothing of it.
        ("Session-Expires: 600\r\n", Some("600;refresher=uas")),
        // … it would not understand a 422, and nobody may prolong an interval.
        ("Session-Expires: 50\r\n", Some("50;refresher=uas")),
        // Shorter than wished, not shorter than Min-SE.
        ("Supported: timer\r\nSession-Expires: 7200;refresher=uas\r\n", Some("1800;refresher=uas")),
        (
            "Supported: timer\r\nSession-Expires: 7200;refresher=uas\r\nMin-SE: 3600\r\n",
            Some("3600;refresher=uas"),
        ),
        ("Require: timer\r\nSupported: timer\r\nSession-Expires: 90\r\n", Some("90;refresher=uas")),
    ] {
        let mut bench = Bench::new();
        let leg = bench.called_with(more, OFFER);
        bench.answer(leg);
        let response = bench.last_response();
        let found = response.header(HeaderName::SessionExpires).map(|value| text(Some(value)));
        assert_eq!(found.as_deref(), granted, "{more}");
        let uac = granted.is_some_and(|granted| granted.ends_with("uac"));
        assert_eq!(response.lists(HeaderName::Require, "timer"), uac, "{more}");
        bench.caller_request("ACK", 1, "", "");
        let interval_s =
            granted.map_or(0, |text| text.split(';').next().unwrap_or_default().parse().unwrap());
        if granted.is_none() {
            bench.pass(Duration::from_secs(100_000));
            assert!(bench.ended.is_empty());
        } else if uac {
            let margin = 32_000.min(interval_s * 1000 / 3);
            bench.pass_ms(interval_s * 1000 - margin - 1);
            assert!(bench.ended.is_empty(), "{more}");
            bench.pass_ms(1);
            assert_eq!(bench.ended[0].by, EndedBy::Timeout, "{more}");
            bench.respond(Method::Bye, 200, "", "", "");
            bench.is_clean();
            continue;
        } else {
            bench.pass_ms(interval_s * 500 - 1);
            assert_eq!(bench.count("INVITE"), 0, "{more}");
            bench.pass_ms(1);
            assert_eq!(bench.last(Method::Invite).body(), ANSWER.as_bytes(), "{more}");
            bench.respond(Method::Invite, 200, "", CONTACT, OFFER);
        }
        bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
        bench.is_clean();
    }
}

#[test]
fn an_interval_that_is_too_short_gets_422() {
    let mut bench = Bench::new();
    let text_of = |bench: &mut Bench, more: &str| {
        let text = format!(
            "INVITE sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKshort\r\n\
             From: <sip:b@192.0.2.9>;tag=them\r\nTo: <sip:x@192.0.2.1>\r\nCall-ID: short\r\nCSeq: 1 INVITE\r\n\
             {CONTACT}{more}{}",
            body_text(OFFER)
        );
        bench.receive(&text);
    };
    text_of(&mut bench, "Supported: timer\r\nSession-Expires: 89\r\n");
    let response = bench.last_response();
    assert_eq!((response.status(), response.seconds(HeaderName::MinSe)), (422, Some(90)));
    assert!(bench.incoming.is_empty());
    bench.is_clean();
}

/// Everybody is refreshed where the house wants it so.
#[test]
fn a_peer_without_timers_is_refreshed_all_the_same() {
    let mut bench = Bench::with(|config| config.session_timers.use_with = SessionUse::Always);
    bench.standing();
    bench.pass_ms(900_000);
    let invite = bench.last(Method::Invite);
    assert_eq!(invite.body(), OFFER.as_bytes());
    assert!(!invite.has(HeaderName::SessionExpires));
    // It is gone: nobody answers.
    bench.pass_ms(32_000).respond(Method::Bye, 481, "", "", "");
    assert_eq!(bench.ended[0].by, EndedBy::Timeout);
    bench.is_clean();
}

#[test]
fn an_update_with_an_offer() {
    check(
        |bench| {
            let leg = bench.standing();
            bench.request_back("UPDATE", "them", 5, "Contact: <sip:b@192.0.2.12:5099>\r\n", OFFER);
            // A copy is absorbed, another offer has to wait, and so has one of ours.
            bench.request_back("UPDATE", "them", 5, CONTACT, OFFER);
            bench.request_back("UPDATE", "them", 6, CONTACT, OFFER);
            assert!(bench.last_response().seconds(HeaderName::RetryAfter).expect("seconds") <= 10);
            bench.request_back("INVITE", "them", 7, CONTACT, OFFER).request_back("ACK", "them", 7, "", "");
            let ours = bench.ua.reinvite(bench.now, leg, OFFER.as_bytes(), &mut bench.out);
            assert_eq!(ours, Err(LegError::Pending));
            bench.ua.answer_reinvite(bench.now, leg, ANSWER.as_bytes(), &mut bench.out).expect("open");
            bench.note();
            assert_eq!(bench.last_response().body(), ANSWER.as_bytes());
            bench.request_back("UPDATE", "them", 5, CONTACT, OFFER);
            bench.request_back("UPDATE", "them", 8, CONTACT, OFFER);
            bench.ua.reject_reinvite(bench.now, leg, 488, &mut bench.out).expect("open");
            bench.note();
            bench.request_back("UPDATE", "them", 9, CONTACT, OFFER);
            bench.hangup(leg);
            assert_eq!(bench.sent.last().expect("a BYE").0, bench.peer);
            bench.respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            0.000  us < UPDATE
            0.000  reoffer by update sdp
            0.000  us < UPDATE
            0.000  us < UPDATE
            0.000  us > 500 UPDATE
            0.000  us < INVITE
            0.000  us > 500
            0.000  us < ACK
            0.000  us > 200 UPDATE
            0.000  us < UPDATE
            0.000  us > 200 UPDATE
            0.000  us < UPDATE
            0.000  reoffer by update sdp
            0.000  us > 488 UPDATE
            0.000  us < UPDATE
            0.000  reoffer by update sdp
            0.000  ended by Local, answered
            0.000  us > 487 UPDATE
            0.000  us > BYE
            0.000  us < 200
        "#]],
    );
}

/// Ours, and glare: the peer's meets ours and gets 491, ours is tried again in its time.
#[test]
fn our_update_and_glare() {
    let mut bench = Bench::new();
    let leg = bench.call();
    bench.respond(Method::Invite, 200, "them", UPDATES, ANSWER);
    bench.ua.update(bench.now, leg, OFFER.as_bytes(), &mut bench.out).expect("the peer takes UPDATE");
    bench.note();
    bench.request_back("UPDATE", "them", 5, CONTACT, OFFER);
    assert_eq!(bench.last_response().status(), 491);
    // Without an offer it is no glare.
    bench.request_back("UPDATE", "them", 6, CONTACT, "");
    assert_eq!(bench.last_response().status(), 200);
    bench.respond(Method::Update, 491, "", "", "");
    bench.pass_ms(2099);
    assert_eq!(bench.count("UPDATE"), 1);
    bench.pass_ms(1901);
    assert!(bench.count("UPDATE") > 1);
    bench.respond(Method::Update, 200, "", CONTACT, ANSWER);
    assert!(bench.ladder.ends_with("reoffer answered sdp\n"), "{}", bench.ladder);
    bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    bench.is_clean();
    // A peer that does not say so gets none.
    let mut bench = Bench::new();
    let leg = bench.standing();
    assert_eq!(bench.ua.update(bench.now, leg, OFFER.as_bytes(), &mut bench.out), Err(LegError::WrongState));
    bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    bench.is_clean();
}
