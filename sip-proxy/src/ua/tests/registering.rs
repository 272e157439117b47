//! Phones that register with us and call us: digest, contacts, lapse, wrong passwords.

use expect_test::expect;

use super::called::invite_text;
use super::*;

pub(super) fn register_text(cseq: u32, headers: &str) -> String {
    format!(
        "REGISTER sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.50:5060;rport;branch=z9hG4bKr{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:1001@192.0.2.1>;tag=p\r\nTo: <sip:1001@192.0.2.1>\r\nCall-ID: reg\r\n\
         CSeq: {cseq} REGISTER\r\n{headers}Content-Length: 0\r\n\r\n"
    )
}

/// The answer to our last challenge.
pub(super) fn credentials(bench: &Bench, method: &str, uri: &str, username: &str, password: &str) -> String {
    let challenge = bench.last_response();
    let mut answerers = Vec::new();
    assert!(digest::Answerer::take(&challenge, &mut answerers), "a challenge we can answer");
    let mut buf = bytes::BytesMut::new();
    let mut writer = Writer::request(&mut buf, Method::Other, b"x");
    let login = Login { username: username.into(), password: password.into() };
    answerers[0].write(&login, method.as_bytes(), uri.as_bytes(), b"", &mut Rng::from_seed(9), &mut writer);
    drop(writer);
    let text = String::from_utf8(buf.to_vec()).expect("text");
    let line = text.lines().find(|line| line.starts_with("Authorization")).expect("written");
    format!("{line}\r\n")
}

impl Bench {
    pub(super) fn phone(&self) -> SocketAddr {
        address("192.0.2.50:1024")
    }

    /// REGISTER, 401, REGISTER with the password.
    pub(super) fn register(&mut self, cseq: u32, headers: &str, password: &str) -> &mut Self {
        let phone = self.phone();
        self.receive_from(phone, &register_text(cseq, headers));
        if self.last_response().status() != 401 {
            return self;
        }
        let credentials = credentials(self, "REGISTER", "sip:192.0.2.1", "1001", password);
        self.receive_from(phone, &register_text(cseq + 1, &format!("{credentials}{headers}")))
    }

    fn contacts_told(&self) -> Vec<String> {
        self.last_response().values(HeaderName::Contact).map(|value| text(Some(value))).collect()
    }
}

#[test]
fn a_phone_registers_refreshes_and_leaves() {
    check(
        |bench| {
            let contact = "Contact: <sip:1001@10.0.0.5:5060;ob>\r\nExpires: 60\r\n";
            bench.register(1, contact, "pw1001");
            assert_eq!(bench.contacts_told(), ["<sip:1001@10.0.0.5:5060;ob>;expires=60"]);
            let known = bench.ua.contact_of(bench.now, 11).expect("registered");
            assert_eq!((known.uri.as_str(), known.source), ("sip:1001@10.0.0.5:5060;ob", bench.phone()));
            let again = bench.last_response();
            let phone = bench.phone();
            bench.pass_ms(30_000).register(3, contact, "pw1001");
            // Asking changes nothing.
            bench.register(5, "", "pw1001");
            assert_eq!(bench.contacts_told(), ["<sip:1001@10.0.0.5:5060;ob>;expires=60"]);
            bench.register(7, "Contact: *\r\nExpires: 0\r\n", "pw1001");
            assert!(bench.contacts_told().is_empty());
            assert_eq!(bench.ua.contact_of(bench.now, 11), None);
            assert_eq!((again.status(), phone.port()), (200, 1024));
        },
        &expect![[r#"
            0.000  us < REGISTER
            0.000  us > 401 REGISTER
            0.000  us < REGISTER
            0.000  us > 200 REGISTER
            0.000  registered 11 sip:1001@10.0.0.5:5060;ob at 192.0.2.50:1024 for 60s
            30.000  us < REGISTER
            30.000  us > 401 REGISTER
            30.000  us < REGISTER
            30.000  us > 200 REGISTER
            30.000  registered 11 sip:1001@10.0.0.5:5060;ob at 192.0.2.50:1024 for 60s
            30.000  us < REGISTER
            30.000  us > 401 REGISTER
            30.000  us < REGISTER
            30.000  us > 200 REGISTER
            30.000  us < REGISTER
            30.000  us > 401 REGISTER
            30.000  us < REGISTER
            30.000  us > 200 REGISTER
            30.000  unregistered 11
        "#]],
    );
}

#[test]
fn a_registration_lapses() {
    check(
        |bench| {
            bench.register(
                1,
                "Contact: <sip:a@192.0.2.50>;expires=60, <sip:b@192.0.2.50>;expires=90\r\n",
                "pw1001",
            );
            bench.pass_ms(59_999);
            assert_eq!(bench.ua.audit().contacts, 2);
            bench.pass_ms(1);
            assert_eq!(bench.ua.audit().contacts, 1);
            bench.pass_ms(29_999);
            assert!(bench.ua.contact_of(bench.now, 11).is_some());
            bench.pass_ms(1);
            assert!(bench.ua.contact_of(bench.now, 11).is_none());
        },
        &expect![[r#"
            0.000  us < REGISTER
            0.000  us > 401 REGISTER
            0.000  us < REGISTER
            0.000  us > 200 REGISTER
            0.000  registered 11 sip:b@192.0.2.50 at 192.0.2.50:1024 for 90s
            90.000  unregistered 11
        "#]],
    );
}

#[test]
fn what_a_register_may_not_ask_for() {
    let mut bench = Bench::new();
    let contact = "Contact: <sip:1001@10.0.0.5>\r\n";
    for (index, (headers, status)) in [
        (format!("{contact}Expires: 5\r\n"), 423),
        (contact.replace(">", ">;expires=29"), 423),
        ("Contact: *\r\n".into(), 400),
        (format!("Contact: *\r\n{contact}Expires: 0\r\n"), 400),
        ("Contact: <mailto:a@b.c>\r\n".into(), 400),
        ("Contact: <sip:a@b>, <sip:b@b>, <sip:c@b>, <sip:d@b>, <sip:e@b>\r\n".into(), 400),
        (format!("Contact: <sip:{}@b>\r\n", "x".repeat(1024)), 400),
        (format!("{contact}Require: path\r\n"), 420),
        (format!("{contact}Expires: 99999999999\r\n"), 200),
    ]
    .into_iter()
    .enumerate()
    {
        bench.register(1 + 2 * index as u32, &headers, "pw1001");
        assert_eq!(bench.last_response().status(), status, "{headers}");
    }
    assert_eq!(bench.contacts_told(), ["<sip:1001@10.0.0.5>;expires=3600"]);
    // For someone else; for nobody.
    let phone = bench.phone();
    let other = register_text(31, contact).replace("To: <sip:1001@", "To: <sip:1002@");
    bench.receive_from(phone, &other);
    let given = credentials(&bench, "REGISTER", "sip:192.0.2.1", "1001", "pw1001");
    bench.receive_from(
        phone,
        &other
            .replace("CSeq: 31", "CSeq: 32")
            .replace("bKr31", "bKr32")
            .replace(contact, &format!("{given}{contact}")),
    );
    assert_eq!(bench.last_response().status(), 403);
    // RFC 3261 §10.2: only a SIP or SIPS URI is registered for; and whom we do not know is not here.
    for (number, to, status) in [(33, "To: <tel:1001>", 400), (34, "To: <sip:192.0.2.1>", 404)] {
        bench.receive_from(phone, &register_text(number, contact).replace("To: <sip:1001@192.0.2.1>", to));
        assert_eq!(bench.last_response().status(), status);
    }
    bench.ua.remove_account(11);
    bench.is_clean();
}

/// A REGISTER that was overtaken by a newer one changes nothing; its retransmission gets the same answer.
#[test]
fn order() {
    let mut bench = Bench::new();
    let contact = "Contact: <sip:1001@10.0.0.5>\r\n";
    bench.register(1, contact, "pw1001");
    let phone = bench.phone();
    bench.receive_from(phone, &register_text(9, ""));
    let given = credentials(&bench, "REGISTER", "sip:192.0.2.1", "1001", "pw1001");
    bench.receive_from(phone, &register_text(10, ""));
    let later = credentials(&bench, "REGISTER", "sip:192.0.2.1", "1001", "pw1001");
    let newer = register_text(12, &format!("{later}{contact}Expires: 100\r\n"));
    bench.receive_from(phone, &newer);
    let answer = bench.last_response();
    assert_eq!(answer.status(), 200);
    bench.receive_from(phone, &register_text(11, &format!("{given}{contact}Expires: 0\r\n")));
    assert_eq!(bench.last_response().status(), 500);
    bench.receive_from(phone, &newer);
    assert_eq!(bench.last_response().raw(), answer.raw());
    assert_eq!(bench.ua.audit().contacts, 1);
}

/// A wrong password gets 403 after the challenge; its address then waits 1 s, 2 s, 4 s … whatever it sends.
#[test]
fn a_wrong_password_slows_its_address_down() {
    check(
        |bench| {
            let contact = "Contact: <sip:1001@10.0.0.5>\r\n";
            bench.register(1, contact, "guess");
            let phone = bench.phone();
            bench.pass_ms(999).receive_from(phone, &register_text(5, contact));
            bench.pass_ms(1).register(7, contact, "guess");
            bench.pass_ms(1_999).receive_from(phone, &register_text(9, contact));
            bench.receive_from(phone, &invite_text("1001", "i", "", OFFER));
            bench.pass_ms(1).register(11, contact, "pw1001");
            assert_eq!(bench.ua.audit().slowed_sources, 0);
            assert_eq!(bench.ua.counters().slowed, 3);
            assert_eq!(bench.ua.counters().auth_failures, 2);
            // Another address was never in the way.
            bench.receive_from(address("192.0.2.51:5060"), &register_text(21, contact));
            bench.pass_ms(300_000);
        },
        &expect![[r#"
            0.000  us < REGISTER
            0.000  us > 401 REGISTER
            0.000  us < REGISTER
            0.000  us > 403 REGISTER
            0.000  wrong password from 192.0.2.50:1024 for Some(11)
            0.999  us < REGISTER
            1.000  us < REGISTER
            1.000  us > 401 REGISTER
            1.000  us < REGISTER
            1.000  us > 403 REGISTER
            1.000  wrong password from 192.0.2.50:1024 for Some(11)
            2.999  us < REGISTER
            2.999  us < INVITE
            3.000  us < REGISTER
            3.000  us > 401 REGISTER
            3.000  us < REGISTER
            3.000  us > 200 REGISTER
            3.000  registered 11 sip:1001@10.0.0.5 at 192.0.2.50:1024 for 300s
            3.000  us < REGISTER
            3.000  us > 401 REGISTER
            303.000  unregistered 11
        "#]],
    );
}

/// Someone else behind the same NAT guesses: the phone that is registered goes on.
#[test]
fn a_registered_phone_does_not_wait_for_its_neighbour() {
    let mut bench = Bench::new();
    let contact = "Contact: <sip:1001@10.0.0.5>\r\n";
    bench.register(1, contact, "pw1001");
    let neighbour = address("192.0.2.50:2222");
    bench.receive_from(neighbour, &register_text(51, contact));
    let guess = credentials(&bench, "REGISTER", "sip:192.0.2.1", "1001", "guess");
    bench.receive_from(neighbour, &register_text(52, &format!("{guess}{contact}")));
    assert_eq!(bench.last_response().status(), 403);
    let sent = bench.sent.len();
    bench.receive_from(neighbour, &register_text(53, contact));
    assert_eq!(bench.sent.len(), sent);
    bench.register(3, contact, "pw1001");
    assert_eq!(bench.last_response().status(), 200);
}

/// A nonce is good for its lifetime; after it the right password is told to try again with a new one.
#[test]
fn an_old_nonce() {
    for (wait_ms, status) in [(299_000, 200), (301_000, 401)] {
        let mut bench = Bench::new();
        let phone = bench.phone();
        bench.receive_from(phone, &register_text(1, ""));
        let given = credentials(&bench, "REGISTER", "sip:192.0.2.1", "1001", "pw1001");
        bench.pass_ms(wait_ms).receive_from(phone, &register_text(2, &given));
        assert_eq!(bench.last_response().status(), status);
        if status == 401 {
            assert!(text(bench.last_response().header(HeaderName::WwwAuthenticate)).contains("stale=true"));
            assert_eq!(bench.ua.audit().slowed_sources, 0);
            let given = credentials(&bench, "REGISTER", "sip:192.0.2.1", "1001", "pw1001");
            bench.receive_from(phone, &register_text(3, &given));
            assert_eq!(bench.last_response().status(), 200);
        }
    }
    // A nonce we never made, with a wrong password: no way to guess around the slowing down.
    let mut bench = Bench::new();
    let phone = bench.phone();
    bench.receive_from(phone, &register_text(1, ""));
    let given = credentials(&bench, "REGISTER", "sip:192.0.2.1", "1001", "wrong");
    let challenge = text(bench.last_response().header(HeaderName::WwwAuthenticate));
    let nonce =
        challenge.split("nonce=\"").nth(1).expect("a nonce").split('"').next().expect("its end").to_owned();
    bench.receive_from(phone, &register_text(2, &given.replace(&nonce, "0000000aaaaaaaaaaaaa")));
    assert_eq!(bench.last_response().status(), 403);
}

/// An agent's phone calls: 401, then the call; everything goes to the address it spoke from.
#[test]
fn a_source_has_so_many_calls_and_no_more() {
    let mut bench = Bench::with(|config| config.guarding.dialogs_per_source_max = 1);
    let phone = bench.phone();
    let call = |bench: &mut Bench, name: &str| {
        let invite = invite_text("1001", name, "", OFFER);
        bench.receive_from(phone, &invite);
        bench.receive_from(phone, &invite.replace("INVITE sip", "ACK sip").replace("1 INVITE", "1 ACK"));
        let given = credentials(bench, "INVITE", "sip:4000@192.0.2.1", "1001", "pw1001");
        let second = format!("bK{name}second");
        let second =
            invite.replace(&format!("bK{name}"), &second).replace("CSeq: 1", &format!("{given}CSeq: 2"));
        bench.receive_from(phone, &second);
    };
    call(&mut bench, "one");
    assert_eq!(bench.incoming.len(), 1, "{}", bench.ladder);
    let live = |bench: &Bench| bench.ua.traffic().transactions().map(|(_, _, live)| live).sum::<u32>();
    assert_eq!(live(&bench) as usize, bench.ua.audit().server_transactions);
    call(&mut bench, "two");
    assert_eq!(bench.incoming.len(), 1);
    let refused = bench.last_response();
    assert_eq!((refused.status(), refused.seconds(HeaderName::RetryAfter)), (503, Some(10)));
    assert_eq!(bench.ua.counters().crowded, 1);
    // When the first is over there is room.
    let leg = bench.incoming[0];
    bench.hangup(leg).pass_ms(33_000);
    call(&mut bench, "three");
    assert_eq!(bench.incoming.len(), 2);
    let leg = bench.incoming[1];
    bench.hangup(leg).pass_ms(40_000);
    assert_eq!(live(&bench), 0);
}

#[test]
fn a_phone_calls() {
    check(
        |bench| {
            let phone = bench.phone();
            let invite = invite_text("1001", "i1", "", OFFER);
            bench.receive_from(phone, &invite);
            let given = credentials(bench, "INVITE", "sip:4000@192.0.2.1", "1001", "pw1001");
            bench.receive_from(phone, &invite.replace("INVITE sip", "ACK sip").replace("1 INVITE", "1 ACK"));
            assert_eq!(bench.ua.audit(), Audit::default());
            let second = invite.replace("bKi1", "bKi2").replace("CSeq: 1", &format!("{given}CSeq: 2"));
            bench.receive_from(phone, &second);
            let leg = bench.incoming[0];
            bench.answer(leg).hangup(leg);
            let ok = bench.last_response();
            let ack = second
                .replace("INVITE", "ACK")
                .replace("bKi2", "bKi3")
                .replace("To: <sip:4000@192.0.2.1>", &format!("To: {}", text(ok.header(HeaderName::To))));
            bench.receive_from(phone, &ack);
            assert_eq!(bench.sent.last().expect("a BYE").0, phone);
            bench.respond(Method::Bye, 200, "", "", "");
        },
        &expect![[r#"
               0.000  us < INVITE
               0.000  us > 401
               0.000  us < ACK
               0.000  us < INVITE
               0.000  us > 100
               0.000  incoming from Account(11)
               0.000  us > 200
               0.000  ended by Local, answered
               0.000  us < ACK
               0.000  us > BYE
               0.000  us < 200
        "#]],
    );
}

#[test]
fn accounts_come_and_go() {
    let mut bench = Bench::new();
    bench.register(1, "Contact: <sip:1001@10.0.0.5>\r\n", "pw1001");
    let contact = bench.ua.contact_of(bench.now, 11).expect("registered");
    bench.ua.remove_account(11);
    assert_eq!(bench.ua.contact_of(bench.now, 11), None);
    assert_eq!(bench.ua.audit().deadlines, 1, "that of the transaction");
    let login = Login { username: "1001".into(), password: "new".into() };
    bench.ua.set_account(Account { key: 11, login });
    bench.ua.restore_contact(bench.now, 11, contact.clone());
    assert_eq!(bench.ua.contact_of(bench.now, 11), Some(contact));
    bench.register(3, "Contact: <sip:1001@10.0.0.5>\r\n", "pw1001");
    assert_eq!(bench.last_response().status(), 403);
    bench.pass_ms(1000).register(5, "Contact: <sip:1001@10.0.0.5>\r\n", "new");
    assert_eq!(bench.last_response().status(), 200);
    bench.is_clean();
}

/// REGISTER of 1001 with this Contact from a phone, challenge and all.
pub(super) fn register_over(bench: &mut Bench, phone: SocketAddr, cseq: u32, contact: &str) {
    let headers = format!("Contact: {contact}\r\nExpires: 60\r\n");
    bench.receive_from(phone, &register_text(cseq, &headers));
    let credentials = credentials(bench, "REGISTER", "sip:192.0.2.1", "1001", "pw1001");
    bench.receive_from(phone, &register_text(cseq + 1, &format!("{credentials}{headers}")));
}

/// RFC 5626: the same way of the same phone under another URI takes the place of the old one; another way stands beside it.
#[test]
fn a_phone_that_comes_back_by_the_same_way_has_one_contact() {
    let mut bench = Bench::new();
    let contact = |uri: &str, reg_id: &str| {
        format!(
            "Supported: path, outbound\r\nContact: <sip:{uri}>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\"\
             {reg_id}\r\n"
        )
    };
    bench.register(1, &contact("1001@10.0.0.5:5060", ";reg-id=1"), "pw1001");
    let told = bench.last_response();
    assert_eq!(text(told.header(HeaderName::Require)), "outbound");
    assert_eq!(text(told.header_by_text("Flow-Timer")), "120");
    bench.register(3, &contact("1001@10.0.0.5:6000", ";reg-id=1"), "pw1001");
    assert_eq!(bench.contacts_told().len(), 1);
    assert!(bench.contacts_told()[0].starts_with("<sip:1001@10.0.0.5:6000>"));
    bench.register(5, &contact("1001@10.0.0.5:7000", ";reg-id=2"), "pw1001");
    assert_eq!(bench.contacts_told().len(), 2);
    // Without a number of the way, or one that is none, the URI alone counts.
    for reg_id in ["", ";reg-id=0", ";reg-id=x"] {
        bench.register(7, &contact("1001@10.0.0.5:8000", reg_id), "pw1001");
        assert!(!bench.last_response().has(HeaderName::Require));
        bench.register(9, "Contact: *\r\nExpires: 0\r\n", "pw1001");
        bench.pass_ms(64_000);
    }
    // Through a proxy that keeps no ways open.
    let more = format!("Via: SIP/2.0/UDP 10.0.0.5\r\n{}", contact("1001@10.0.0.5", ";reg-id=1"));
    bench.register(11, &more, "pw1001");
    assert_eq!(bench.last_response().status(), 439);
}

/// RFC 5626 §8: who has registered may ask by STUN whether its NAT still knows it; nobody else gets an answer.
#[test]
fn a_known_phone_keeps_its_way_open_by_stun() {
    let mut bench = Bench::new();
    let request = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], b"transaction!"].concat();
    let phone = bench.phone();
    let ask = |bench: &mut Bench| {
        let bytes = bytes::Bytes::from(request.clone());
        bench.ua.handle_datagram(bench.now, 0, phone, bytes, &mut bench.out);
        bench.out.drain().collect::<Vec<_>>()
    };
    assert!(ask(&mut bench).is_empty());
    bench.register(1, "Contact: <sip:1001@10.0.0.5>\r\n", "pw1001");
    let answers = ask(&mut bench);
    let [Output::Send { to, bytes, .. }] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((*to, &bytes[..2]), (phone, &[1, 1][..]));
}
