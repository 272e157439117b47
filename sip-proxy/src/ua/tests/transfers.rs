//! REFER, NOTIFY and Replaces.

use expect_test::expect;

use super::*;

const TO_C: &str = "Refer-To: <sip:4000@192.0.2.9>\r\nContact: <sip:b@192.0.2.9:5060>\r\n";

impl Bench {
    fn take_refer(&mut self, leg: LegKey) -> &mut Self {
        self.ua.accept_refer(self.now, leg, &mut self.out).expect("it is asked for");
        self.note();
        self
    }

    fn notify(&mut self, leg: LegKey, code: u16) -> &mut Self {
        self.ua.notify_refer(self.now, leg, code, &mut self.out).expect("the leg stands");
        self.note();
        self
    }

    fn last_fragment(&self) -> (String, String, String) {
        let notify = self.last(Method::Notify);
        (
            text(notify.header(HeaderName::Event)),
            text(notify.header(HeaderName::SubscriptionState)),
            text(Some(notify.body())),
        )
    }
}

#[test]
fn a_blind_transfer_is_told_of() {
    check(
        |bench| {
            let leg = bench.standing();
            let more = format!("{TO_C}Referred-By: <sip:b@192.0.2.9>\r\n");
            bench.request_back("REFER", "them", 5, &more, "").request_back("REFER", "them", 5, &more, "");
            // One at a time.
            bench.request_back("REFER", "them", 6, TO_C, "");
            bench.take_refer(leg);
            assert_eq!(
                bench.last_fragment(),
                ("refer".into(), "active;expires=300".into(), "SIP/2.0 100 Trying\r\n".into())
            );
            bench.respond(Method::Notify, 200, "", "", "");
            bench.notify(leg, 180).respond(Method::Notify, 200, "", "", "");
            bench.notify(leg, 200);
            assert_eq!(
                bench.last_fragment(),
                ("refer".into(), "terminated;reason=noresource".into(), "SIP/2.0 200 OK\r\n".into())
            );
            bench.respond(Method::Notify, 200, "", "", "").notify(leg, 486);
            // The next one has an id; this peer does not want to hear more.
            bench.request_back("REFER", "them", 7, TO_C, "").take_refer(leg);
            assert_eq!(bench.last_fragment().0, "refer;id=7");
            bench.respond(Method::Notify, 481, "", "", "").notify(leg, 486);
            bench.request_back("BYE", "them", 8, "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            0.000  us < REFER
            0.000  refer to sip:4000@192.0.2.9 by <sip:b@192.0.2.9>
            0.000  us < REFER
            0.000  us < REFER
            0.000  us > 491 REFER
            0.000  us > 202 REFER
            0.000  us > NOTIFY
            0.000  us < 200
            0.000  us > NOTIFY
            0.000  us < 200
            0.000  us > NOTIFY
            0.000  us < 200
            0.000  us < REFER
            0.000  refer to sip:4000@192.0.2.9
            0.000  us > 202 REFER
            0.000  us > NOTIFY
            0.000  us < 481
            0.000  us < BYE
            0.000  us > 200 BYE
            0.000  ended by Remote, answered
        "#]],
    );
}

#[test]
fn a_transfer_without_subscription_or_refused() {
    check(
        |bench| {
            let leg = bench.standing();
            let more = format!("{TO_C}Refer-Sub: false\r\nSupported: norefersub\r\n");
            bench.request_back("REFER", "them", 5, &more, "").take_refer(leg);
            assert_eq!(bench.last_response().header_by_text("Refer-Sub"), Some(&b"false"[..]));
            bench.notify(leg, 200);
            bench.request_back("REFER", "them", 6, TO_C, "");
            bench.ua.reject_refer(bench.now, leg, 603, &mut bench.out).expect("it is asked for");
            bench.note();
            // One that is not answered when the call ends.
            bench.request_back("REFER", "them", 7, TO_C, "").hangup(leg);
            bench.respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            0.000  us < REFER
            0.000  refer to sip:4000@192.0.2.9
            0.000  us > 202 REFER
            0.000  us < REFER
            0.000  refer to sip:4000@192.0.2.9
            0.000  us > 603 REFER
            0.000  us < REFER
            0.000  refer to sip:4000@192.0.2.9
            0.000  ended by Local, answered
            0.000  us > 487 REFER
            0.000  us > BYE
            0.000  us < 200
        "#]],
    );
}

#[test]
fn refers_that_are_none() {
    let mut bench = Bench::new();
    let leg = bench.standing();
    for (cseq, more, status) in [
        (5, "", 400),
        (6, "Refer-To: <sip:1@h>, <sip:2@h>\r\n", 400),
        (7, "Refer-To: <sip:1@h>\r\nRefer-To: <sip:2@h>\r\n", 400),
        (8, "Refer-To: <mailto:a@b>\r\n", 416),
        (9, "Refer-To: <sip:1@h;method=BYE>\r\n", 501),
        (10, "Refer-To: <sip:1@h>\r\nRequire: frob\r\n", 420),
    ] {
        bench.request_back("REFER", "them", cseq, more, "");
        assert_eq!(bench.last_response().status(), status, "{more}");
    }
    assert_eq!(bench.ua.accept_refer(bench.now, leg, &mut bench.out), Err(LegError::WrongState));
    bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    bench.is_clean();
}

/// Replaces in Refer-To: a leg of ours, by its tag, Call-ID and the peer's tag; anything else is not ours.
#[test]
fn an_attended_transfer_names_its_leg() {
    let mut bench = Bench::new();
    let one = bench.standing();
    let first = bench.last(Method::Invite);
    let two = bench.standing();
    let second = bench.last(Method::Invite);
    let named = |invite: &Message, theirs: &str| {
        let ours = text(invite.from_tag());
        format!("{}%3Bto-tag%3D{ours}%3Bfrom-tag%3D{theirs}", text(Some(invite.call_id())))
    };
    for (replaces, shown) in [
        (named(&first, "them"), "replacing a leg"),
        (named(&first, "other"), "replacing what we do not know"),
        ("x%40y%3Bto-tag%3D1%3Bfrom-tag%3D2".into(), "replacing what we do not know"),
    ] {
        let cseq = 10 + bench.ladder.len() as u32;
        let more = format!("Refer-To: <sip:4000@192.0.2.9?Replaces={replaces}&Require=replaces>\r\n");
        bench.request_back("REFER", "them", cseq, &more, "");
        let expected = format!("refer to sip:4000@192.0.2.9 {shown}\n");
        assert!(bench.ladder.ends_with(&expected), "{}", bench.ladder);
        bench.ua.reject_refer(bench.now, two, 603, &mut bench.out).expect("it is asked for");
        bench.note();
    }
    let _ = second;
    for leg in [one, two] {
        bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    }
    bench.is_clean();
}

/// An INVITE with Replaces: the leg's place is taken, or there is a reason why not (RFC 3891 §3).
#[test]
fn a_call_that_replaces_another() {
    let mut bench = Bench::new();
    let leg = bench.standing();
    let invite = bench.last(Method::Invite);
    let (ours, call_id) = (text(invite.from_tag()), text(Some(invite.call_id())));
    let good = format!("Replaces: {call_id};to-tag={ours};from-tag=them\r\n");
    let receive = |bench: &mut Bench, branch: &str, more: &str| {
        let text = format!(
            "INVITE sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{branch}\r\n\
             From: <sip:c@192.0.2.9>;tag=c\r\nTo: <sip:x@192.0.2.1>\r\nCall-ID: {branch}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:c@192.0.2.9>\r\nRequire: replaces\r\n{more}{}",
            body_text(OFFER)
        );
        bench.receive(&text);
        bench.last_response().status()
    };
    let early = good.replace("\r\n", ";early-only\r\n");
    let unknown = good.replace("from-tag=them", "from-tag=nobody");
    assert_eq!(receive(&mut bench, "a", &early), 486);
    assert_eq!(receive(&mut bench, "b", &unknown), 481);
    assert_eq!(receive(&mut bench, "c", &format!("{good}{good}")), 400);
    assert_eq!(receive(&mut bench, "d", "Replaces: nonsense\r\n"), 400);
    assert_eq!(receive(&mut bench, "e", &good), 100);
    let newcomer = bench.incoming[0];
    bench.answer(newcomer).hangup(leg);
    assert_eq!(receive(&mut bench, "f", &good), 603);
    bench.respond(Method::Bye, 200, "", "", "").hangup(newcomer).pass_ms(32_000);
    bench.respond(Method::Bye, 200, "", "", "");
    bench.is_clean();
}

/// Shards of one node know each other by what only they know.
#[test]
fn another_shard_may_take_a_place() {
    let mut bench = Bench::with(|config| config.node_secret = 7);
    let leg = bench.standing();
    let invite = bench.last(Method::Invite);
    let (ours, call_id) = (text(invite.from_tag()), text(Some(invite.call_id())));
    let replaces = format!("{call_id};to-tag={ours};from-tag=them");
    // The other shard: it has heard a REFER for a leg that carries our mark.
    let mut other = Bench::with(|config| (config.shard, config.node_secret) = (1, 7));
    let standing = other.standing();
    let escaped = replaces.replace(';', "%3B").replace('=', "%3D");
    let more = format!("Refer-To: <sip:4000@192.0.2.9?Replaces={escaped}>\r\n");
    other.request_back("REFER", "them", 5, &more, "");
    assert!(other.ladder.ends_with("replacing a leg of another shard\n"), "{}", other.ladder);
    let (name, proof) = other.ua.sibling_proof(replaces.as_bytes());
    let _ = standing;
    let receive = |bench: &mut Bench, branch: &str, proof: &str| {
        let text = format!(
            "INVITE sip:transfer@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{branch}\r\n\
             From: <sip:c@192.0.2.1>;tag=c\r\nTo: <sip:transfer@192.0.2.1>\r\nCall-ID: {branch}\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:c@192.0.2.1>\r\nReplaces: {replaces}\r\n{name}: {proof}\r\n{}",
            body_text(OFFER)
        );
        bench.receive_from(address("192.0.2.1:5060"), &text);
        bench.last_response().status()
    };
    assert_eq!(receive(&mut bench, "a", "0123"), 401, "anybody can say so");
    assert_eq!(receive(&mut bench, "b", &proof), 100);
    assert!(bench.ladder.ends_with("incoming from Sibling\n"), "{}", bench.ladder);
    let newcomer = bench.incoming[0];
    bench.answer(newcomer).hangup(leg);
    // A shard that is alone has no siblings.
    let mut alone = Bench::with(|config| config.shard = 2);
    alone.standing();
    alone.request_back("REFER", "them", 5, &more, "");
    assert!(alone.ladder.ends_with("replacing what we do not know\n"), "{}", alone.ladder);
}

#[test]
fn we_ask_for_a_transfer() {
    check(
        |bench| {
            let leg = bench.standing();
            let refer = |bench: &mut Bench| {
                let by = Some(&b"<sip:us@192.0.2.1>"[..]);
                let result = bench.ua.refer(bench.now, leg, b"sip:4000@192.0.2.7", by, &mut bench.out);
                bench.note();
                result
            };
            assert_eq!(refer(bench), Ok(()));
            assert_eq!(refer(bench), Err(LegError::Pending));
            let sent = bench.last(Method::Refer);
            assert_eq!(text(sent.header(HeaderName::ReferTo)), "<sip:4000@192.0.2.7>");
            assert_eq!(text(sent.header(HeaderName::ReferredBy)), "<sip:us@192.0.2.1>");
            bench.respond(Method::Refer, 202, "", "", "");
            let told = |bench: &mut Bench, cseq: u32, state: &str, line: &str| {
                let more = format!("Event: refer\r\nSubscription-State: {state}\r\n");
                bench.request_back("NOTIFY", "them", cseq, &more, &format!("{line}\r\n"));
            };
            told(bench, 5, "active;expires=60", "SIP/2.0 100 Trying");
            told(bench, 6, "active;expires=60", "SIP/2.0 180 Ringing");
            told(bench, 7, "terminated;reason=noresource", "SIP/2.0 200 OK");
            told(bench, 8, "active", "SIP/2.0 200 OK");
            assert_eq!(refer(bench), Ok(()));
            bench.respond(Method::Refer, 603, "", "", "");
            assert_eq!(refer(bench), Ok(()));
            bench.pass_ms(32_000);
            bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
            0.000  us > INVITE
            0.000  us < 200
            0.000  us > ACK
            0.000  answered sdp
            0.000  us > REFER
            0.000  us < 202
            0.000  refer answered 202
            0.000  us < NOTIFY
            0.000  us > 200 NOTIFY
            0.000  refer progress 100
            0.000  us < NOTIFY
            0.000  us > 200 NOTIFY
            0.000  refer progress 180
            0.000  us < NOTIFY
            0.000  us > 200 NOTIFY
            0.000  refer progress 200, done
            0.000  us < NOTIFY
            0.000  us > 481 NOTIFY
            0.000  us > REFER
            0.000  us < 603
            0.000  refer answered 603
            0.000  us > REFER
            0.500  us > REFER
            1.500  us > REFER
            3.500  us > REFER
            7.500  us > REFER
            11.500  us > REFER
            15.500  us > REFER
            19.500  us > REFER
            23.500  us > REFER
            27.500  us > REFER
            31.500  us > REFER
            32.000  refer answered 408
            32.000  ended by Local, answered
            32.000  us > BYE
            32.000  us < 200
        "#]],
    );
}
