//! Phones that are registered and do not answer OPTIONS.

use super::*;

const CONTACT: &str = "Contact: <sip:1001@10.0.0.5:5060;ob>\r\nExpires: 600\r\n";

fn probing(interval_s: u64, misses_max: u32) -> Bench {
    Bench::with(|config| {
        config.probing = Probing { interval: Some(Duration::from_secs(interval_s)), misses_max };
    })
}

fn told(bench: &Bench) -> Vec<&str> {
    bench.ladder.lines().filter_map(|line| line.split_once("phone ").map(|(_, rest)| rest)).collect()
}

/// The requests sent so far, each once, however often it was sent again.
fn asked(bench: &Bench) -> Vec<Bytes> {
    let options = bench.sent.iter().filter(|(_, m)| m.is_request() && m.method() == Method::Options);
    let mut call_ids: Vec<Bytes> = options.map(|(_, m)| Bytes::copy_from_slice(m.call_id())).collect();
    call_ids.sort();
    call_ids.dedup();
    call_ids
}

/// Passes time until another one is sent; gives how many seconds that took.
fn next_probe(bench: &mut Bench) -> u64 {
    let (before, start) = (asked(bench).len(), bench.now);
    while asked(bench).len() == before {
        assert!(bench.now.since(start) < Duration::from_secs(1_000), "never:\n{}", bench.ladder);
        bench.pass_ms(250);
    }
    bench.now.since(start).as_secs()
}

#[test]
fn a_phone_that_does_not_answer_is_told_of_once_and_again_when_it_does() {
    let mut bench = probing(60, 3);
    bench.register(1, CONTACT, "pw1001");
    let first = next_probe(&mut bench);
    assert!((30..=60).contains(&first), "{first} s: not at once, within an interval");
    let (to, request) = bench.sent.last().expect("sent").clone();
    assert_eq!(to, bench.phone(), "where the REGISTER came from");
    assert_eq!(request.request_uri(), b"sip:1001@10.0.0.5:5060;ob");
    assert_eq!(text(request.header(HeaderName::Accept)), "application/sdp");
    assert_eq!(text(request.header(HeaderName::MaxForwards)), "70");
    assert!(request.to_tag().is_none() && request.from_tag().is_some());
    bench.respond(Method::Options, 405, "x", "", "");
    let next = next_probe(&mut bench);
    assert!((54..=66).contains(&next), "{next} s");
    assert_eq!(told(&bench), Vec::<&str>::new(), "any answer will do");

    // This one and the next are not answered, the third by 503.
    for _ in 0..2 {
        next_probe(&mut bench);
        assert_eq!(told(&bench), Vec::<&str>::new());
    }
    bench.respond(Method::Options, 503, "x", "", "");
    assert_eq!(told(&bench), ["11 reachable false Some(503)"]);
    next_probe(&mut bench);
    next_probe(&mut bench);
    assert_eq!(told(&bench).len(), 1, "once");
    bench.respond(Method::Options, 200, "x", "", "");
    assert_eq!(told(&bench)[1..], ["11 reachable true Some(200)"]);
    // Misses count anew.
    next_probe(&mut bench);
    next_probe(&mut bench);
    assert_eq!(told(&bench).len(), 2);
    bench.register(11, "Contact: *\r\nExpires: 0\r\n", "pw1001");
    bench.pass_ms(200_000);
    assert_eq!(told(&bench).len(), 2, "who is not registered is not asked");
    bench.is_clean();
}

#[test]
fn a_registration_from_elsewhere_makes_it_reachable_and_a_refresh_does_not() {
    let mut bench = probing(60, 1);
    bench.register(1, CONTACT, "pw1001");
    next_probe(&mut bench);
    next_probe(&mut bench);
    assert_eq!(told(&bench), ["11 reachable false None"]);
    bench.register(3, CONTACT, "pw1001");
    assert_eq!(told(&bench).len(), 1, "a refresh says that we are heard, not that it is");
    bench.register(5, "Contact: <sip:1001@10.0.0.6:5060>\r\nExpires: 600\r\n", "pw1001");
    assert_eq!(told(&bench)[1..], ["11 reachable true None"]);
    next_probe(&mut bench);
    assert_eq!(bench.last(Method::Options).request_uri(), b"sip:1001@10.0.0.6:5060", "there it is asked");
    bench.respond(Method::Options, 200, "x", "", "");
    bench.ua.remove_account(11);
    bench.pass_ms(200_000);
    bench.is_clean();
}

#[test]
fn nobody_is_asked_without_an_interval_and_each_phone_at_its_own_time() {
    let mut bench = Bench::new();
    bench.register(1, CONTACT, "pw1001");
    bench.pass_ms(300_000);
    assert!(asked(&bench).is_empty());

    let mut bench = probing(60, 3);
    for account in 100..200 {
        let login = Login { username: format!("phone{account}"), password: "x".into() };
        bench.ua.set_account(Account { key: account, login });
        let contact = Contact {
            uri: format!("sip:phone{account}@10.0.0.9"),
            source: address("192.0.2.60:5060"),
            listener: 0,
            expires: Duration::from_secs(3_600),
        };
        bench.ua.restore_contact(bench.now, account, contact);
    }
    let mut busiest = 0;
    for _ in 0..60 {
        let before = asked(&bench).len();
        bench.pass_ms(1_000);
        busiest = busiest.max(asked(&bench).len() - before);
    }
    assert!(busiest < 30, "{busiest} in one second");
    assert!(asked(&bench).len() >= 100, "all within an interval");
}
