//! Digests of every kind, both sides: what is offered, chosen, played back, too old, tampered with.

use super::called::invite_text;
use super::registering::register_text;
use super::*;
use crate::wire::{Algorithm, Challenge};

const CONTACT: &str = "Contact: <sip:1001@10.0.0.5>\r\n";

fn phone() -> SocketAddr {
    address("192.0.2.50:1024")
}

/// The line a client answers our last challenge with, if it offered this algorithm alone.
fn answer(bench: &Bench, algorithm: &str, method: &str, uri: &str, password: &str, body: &str) -> String {
    answer_of(&bench.last_response(), algorithm, method, uri, password, body, 0)
}

fn answer_of(
    challenge: &Message,
    algorithm: &str,
    method: &str,
    uri: &str,
    password: &str,
    body: &str,
    answered_before: u32,
) -> String {
    let wanted = challenge
        .headers(HeaderName::WwwAuthenticate)
        .find(|value| Challenge::parse(value).is_ok_and(|it| it.algorithm.as_str() == algorithm))
        .unwrap_or_else(|| panic!("{algorithm} is not offered"));
    let alone = format!(
        "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n\
         Call-ID: c\r\nCSeq: 1 REGISTER\r\nWWW-Authenticate: {}\r\nContent-Length: 0\r\n\r\n",
        text(Some(wanted))
    );
    let alone = parse(Bytes::from(alone), &MessageLimits::default()).expect("a response");
    let mut answerers = Vec::new();
    assert!(digest::Answerer::take(&alone, &mut answerers));
    let login = Login { username: "1001".into(), password: password.into() };
    let mut line = String::new();
    for _ in 0..=answered_before {
        let mut buf = bytes::BytesMut::new();
        let mut writer = Writer::request(&mut buf, Method::Other, b"x");
        let mut rng = Rng::from_seed(9);
        let (method, uri, body) = (method.as_bytes(), uri.as_bytes(), body.as_bytes());
        answerers[0].write(&login, method, uri, body, &mut rng, &mut writer);
        drop(writer);
        let written = String::from_utf8(buf.to_vec()).expect("text");
        line = written.lines().find(|line| line.starts_with("Authorization")).expect("written").to_owned();
    }
    format!("{line}\r\n")
}

fn all_algorithms(config: &mut Config) {
    config.digest.algorithms = vec![Algorithm::Sha512_256, Algorithm::Sha256, Algorithm::Md5];
}

#[test]
fn each_algorithm_offered_is_taken_and_no_other() {
    let mut bench = Bench::with(all_algorithms);
    for (index, algorithm) in ["SHA-512-256", "SHA-256", "MD5"].into_iter().enumerate() {
        let cseq = 1 + 2 * index as u32;
        bench.receive_from(phone(), &register_text(cseq, CONTACT));
        let challenge = bench.last_response();
        let offered: Vec<_> = challenge
            .headers(HeaderName::WwwAuthenticate)
            .map(|value| Challenge::parse(value).expect("a challenge").algorithm.as_str())
            .collect();
        assert_eq!(offered, ["SHA-512-256", "SHA-256", "MD5"]);
        let given = answer(&bench, algorithm, "REGISTER", "sip:192.0.2.1", "pw1001", "");
        bench.receive_from(phone(), &register_text(cseq + 1, &format!("{given}{CONTACT}")));
        assert_eq!(bench.last_response().status(), 200, "{algorithm}");
    }
    // A right answer by a hash that is not offered is no answer: another challenge, and nobody is slowed down.
    let mut strict = Bench::with(|config| config.digest.algorithms = vec![Algorithm::Sha256]);
    strict.receive_from(phone(), &register_text(1, CONTACT));
    let given = answer(&strict, "SHA-256", "REGISTER", "sip:192.0.2.1", "pw1001", "");
    let weaker = given.replace("algorithm=SHA-256", "algorithm=MD5");
    strict.receive_from(phone(), &register_text(2, &format!("{weaker}{CONTACT}")));
    assert_eq!(strict.last_response().status(), 401);
    assert_eq!(strict.ua.counters().auth_failures, 0);
}

#[test]
fn a_recorded_request_cannot_be_played_back() {
    let mut bench = Bench::with(all_algorithms);
    bench.receive_from(phone(), &register_text(1, CONTACT));
    let challenge = bench.last_response();
    let given = answer_of(&challenge, "SHA-256", "REGISTER", "sip:192.0.2.1", "pw1001", "", 4);
    assert!(given.contains("nc=00000005"), "{given}");
    let recorded = register_text(2, &format!("{given}{CONTACT}"));
    bench.receive_from(phone(), &recorded);
    assert_eq!(bench.last_response().status(), 200);
    // The same words in another transaction, from elsewhere and with a Contact of the attacker's.
    let replayed = register_text(3, &format!("{given}Contact: <sip:1001@203.0.113.66>\r\n"));
    bench.receive_from(address("203.0.113.66:5060"), &replayed);
    let refused = bench.last_response();
    assert_eq!(refused.status(), 401);
    assert!(text(refused.header(HeaderName::WwwAuthenticate)).contains("stale=true"));
    assert_eq!(bench.ua.contact_of(bench.now, 11).expect("still there").uri, "sip:1001@10.0.0.5");
    // A count that lies ahead, without the password, uses nothing up.
    let far = given.replace("nc=00000005", "nc=ffffffff");
    bench.receive_from(address("203.0.113.66:5060"), &register_text(4, &format!("{far}{CONTACT}")));
    assert_eq!(bench.last_response().status(), 403);
    for (cseq, before, status) in [(5, 5, 200), (6, 3, 200), (7, 3, 401)] {
        let next = answer_of(&challenge, "SHA-256", "REGISTER", "sip:192.0.2.1", "pw1001", "", before);
        bench.receive_from(phone(), &register_text(cseq, &format!("{next}{CONTACT}")));
        assert_eq!(bench.last_response().status(), status, "count {}", before + 1);
    }
    assert_eq!(bench.ua.audit().nonces, 1);
}

/// An answer without a count (RFC 2069) can only be good once.
#[test]
fn without_a_count_a_nonce_is_good_once() {
    let mut bench = Bench::new();
    bench.receive_from(phone(), &register_text(1, CONTACT));
    let challenge = bench.last_response();
    let plain = text(challenge.header(HeaderName::WwwAuthenticate)).replace(",qop=\"auth\"", "");
    let old = format!(
        "SIP/2.0 401 x\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n\
         Call-ID: c\r\nCSeq: 1 REGISTER\r\nWWW-Authenticate: {plain}\r\nContent-Length: 0\r\n\r\n"
    );
    let old = parse(Bytes::from(old), &MessageLimits::default()).expect("a response");
    let given = answer_of(&old, "MD5", "REGISTER", "sip:192.0.2.1", "pw1001", "", 0);
    assert!(!given.contains("qop") && !given.contains("nc="), "{given}");
    for (cseq, status) in [(2, 200), (3, 401)] {
        bench.receive_from(phone(), &register_text(cseq, &format!("{given}{CONTACT}")));
        assert_eq!(bench.last_response().status(), status);
    }
}

#[test]
fn a_nonce_grows_old_to_the_second() {
    for (seconds, status) in [(299, 200), (300, 401)] {
        let mut bench = Bench::new();
        bench.receive_from(phone(), &register_text(1, CONTACT));
        let given = answer(&bench, "MD5", "REGISTER", "sip:192.0.2.1", "pw1001", "");
        bench.pass(Duration::from_secs(seconds));
        bench.receive_from(phone(), &register_text(2, &format!("{given}{CONTACT}")));
        assert_eq!(bench.last_response().status(), status, "after {seconds} s");
        let stale = text(bench.last_response().header(HeaderName::WwwAuthenticate)).contains("stale=true");
        assert_eq!(stale, status == 401);
        assert_eq!(bench.ua.counters().auth_failures, 0);
    }
}

#[test]
fn the_body_is_protected_when_asked_for() {
    let mut bench = Bench::with(|config| {
        all_algorithms(config);
        config.digest.integrity = true;
    });
    let uri = "sip:800@192.0.2.1";
    let call = |given: &str, id: &str, body: &str| invite_text("1001", id, given, body);
    bench.receive_from(phone(), &call("", "a", OFFER));
    let challenge = bench.last_response();
    assert!(text(challenge.header(HeaderName::WwwAuthenticate)).contains("qop=\"auth,auth-int\""));
    // Our client prefers auth; one that takes auth-int is made by leaving it that choice only.
    let only = text(Some(challenge.raw())).replace("auth,auth-int", "auth-int");
    let only = parse(Bytes::from(only), &MessageLimits::default()).expect("a response");
    let asked = {
        let probe = parse(Bytes::from(call("", "p", OFFER)), &MessageLimits::default()).expect("an INVITE");
        text(Some(probe.request_uri()))
    };
    let given = |before| answer_of(&only, "SHA-256", "INVITE", &asked, "pw1001", OFFER, before);
    assert!(given(0).contains("qop=auth-int"));
    let tampered = OFFER.replace("192.0.2.1", "203.0.113.66");
    bench.receive_from(phone(), &call(&given(0), "b", &tampered));
    assert_eq!(bench.last_response().status(), 403);
    bench.pass_ms(1_000);
    bench.receive_from(phone(), &call(&given(1), "c", OFFER));
    assert_eq!(bench.last_response().status(), 100);
    // An answer made for one number does not reach another.
    let other = answer_of(&challenge, "SHA-256", "INVITE", uri, "pw1001", OFFER, 2);
    let elsewhere = call(&other, "d", OFFER).replacen(&asked, "sip:0900@192.0.2.1", 1);
    bench.receive_from(phone(), &elsewhere);
    assert_eq!(bench.last_response().status(), 400);
    assert_eq!(bench.incoming.len(), 1);
}

/// What we answer a trunk's challenges with.
fn answered(challenges: &str, status: u16) -> (Vec<String>, Bench) {
    let mut bench = Bench::new();
    bench.call();
    bench.respond(Method::Invite, status, "c", challenges, "");
    let again = bench.last(Method::Invite);
    let mut lines = Vec::new();
    for name in [HeaderName::Authorization, HeaderName::ProxyAuthorization] {
        lines.extend(again.headers(name).map(|value| text(Some(value))));
    }
    (lines, bench)
}

#[test]
fn the_strongest_challenge_of_each_realm_is_answered() {
    let (lines, _) = answered(
        "WWW-Authenticate: Digest realm=\"a\",nonce=\"n1\",algorithm=MD5,qop=\"auth\"\r\n\
         WWW-Authenticate: Digest realm=\"a\",nonce=\"n2\",algorithm=SHA-256,qop=\"auth-int,auth\",opaque=\"o\"\r\n\
         WWW-Authenticate: Digest realm=\"a\",nonce=\"n3\",algorithm=SHA-1\r\n\
         WWW-Authenticate: Basic realm=\"a\"\r\n\
         WWW-Authenticate: Digest realm=\"b\",nonce=\"n4\"\r\n",
        401,
    );
    assert_eq!(lines.len(), 2, "{lines:?}");
    for part in
        ["realm=\"a\"", "nonce=\"n2\"", "algorithm=SHA-256", "qop=auth,", "opaque=\"o\"", "nc=00000001"]
    {
        assert!(lines[0].contains(part), "{part} in {}", lines[0]);
    }
    let response = lines[0].split("response=\"").nth(1).and_then(|rest| rest.split('"').next());
    assert_eq!(response.map(str::len), Some(64));
    assert!(lines[1].contains("nonce=\"n4\"") && !lines[1].contains("qop"), "{}", lines[1]);
    for challenge in [
        "Proxy-Authenticate: Digest realm=\"a\",nonce=\"n\",algorithm=SHA-256-sess,qop=\"auth-int\"\r\n",
        "Proxy-Authenticate: Digest realm=\"a\",nonce=\"n\",algorithm=SHA-512-256\r\n",
    ] {
        let (lines, _) = answered(challenge, 407);
        assert_eq!(lines.len(), 1, "{challenge}");
    }
}

#[test]
fn what_cannot_be_answered_ends_the_call() {
    for challenge in [
        "",
        "WWW-Authenticate: Digest realm=\"a\",nonce=\"n\",algorithm=SHA-1\r\n",
        "WWW-Authenticate: Digest realm=\"a\",nonce=\"n\",qop=\"auth-conf\"\r\n",
        "WWW-Authenticate: Digest realm=\"a\"\r\n",
        "WWW-Authenticate: Bearer realm=\"a\"\r\n",
    ] {
        let (lines, mut bench) = answered(challenge, 401);
        assert!(lines.is_empty(), "{lines:?}");
        assert_eq!(bench.ended.len(), 1, "{challenge}");
        assert_eq!(bench.ended[0].code, Some(401));
        bench.is_clean();
    }
}

#[test]
fn an_old_nonce_is_replaced_a_refusal_is_not_repeated() {
    let challenge = |nonce: &str, stale: &str| {
        format!(
            "WWW-Authenticate: Digest realm=\"a\",nonce=\"{nonce}\",algorithm=SHA-256,qop=\"auth\"{stale}\r\n"
        )
    };
    let (_, mut bench) = answered(&challenge("n1", ""), 401);
    bench.respond(Method::Invite, 401, "d", &challenge("n2", ",stale=true"), "");
    let again = bench.last(Method::Invite);
    let line = text(again.header(HeaderName::Authorization));
    assert!(line.contains("nonce=\"n2\"") && line.contains("nc=00000001"), "{line}");
    assert!(bench.ended.is_empty());
    let (_, mut bench) = answered(&challenge("n1", ""), 401);
    bench.respond(Method::Invite, 401, "d", &challenge("n2", ""), "");
    assert_eq!(bench.ended.len(), 1, "the password was refused");
    bench.is_clean();
}
