//! Trunks with a name: held INVITEs, failover within one attempt, who is passed over.

use expect_test::expect;

use super::*;
use crate::transport::locate::{Answer, Question, Srv, Wanted};
use crate::wire::Transport;

const TTL: Duration = Duration::from_secs(600);

pub(super) fn named(bench: &mut Bench, transport: Option<Transport>, change: impl FnOnce(&mut Trunk)) {
    let mut trunk = Trunk {
        key: 5,
        listener: 0,
        address: address("0.0.0.0:0"),
        wanted: Some(Wanted { host: "carrier.example".into(), port: None, transport }),
        domain: "carrier.example".into(),
        sources: Vec::new(),
        networks: Vec::new(),
        certificate_names: Vec::new(),
        login: Some(Login { username: "us".into(), password: "secret".into() }),
        register: None,
        options_interval: None,
        cps_max: 100_000.0,
        overload_control: false,
        pace: sansio::SharedPace::new(1e5),
    };
    change(&mut trunk);
    bench.ua.set_trunk(bench.now, trunk, &mut bench.out);
    bench.note();
}

/// Answers everything that was asked: four members in order of their priorities.
pub(super) fn answer(bench: &mut Bench) {
    for question in core::mem::take(&mut bench.asked) {
        let answer = match &question {
            Question::Srv(name) if name == "_sip._udp.carrier.example" => Answer::Srv(
                (1..=4)
                    .map(|n| Srv { priority: n, weight: 0, port: 5060, target: format!("192.0.2.10{n}") })
                    .collect(),
            ),
            _ => Answer::Nothing,
        };
        bench.ua.located(bench.now, &question, answer, TTL, &mut bench.out);
        bench.note();
    }
}

pub(super) fn call(bench: &mut Bench) -> LegKey {
    bench.call_with(|invite| (invite.trunk, invite.destination) = (Some(5), address("0.0.0.0:0")))
}

/// Answers the INVITE that was sent last, from where it went.
fn respond(bench: &mut Bench, status: u16, more: &str, body: &str) {
    let to =
        bench.sent.iter().rev().find(|(_, message)| message.method() == Method::Invite).expect("INVITE").0;
    let text = response_text(&bench.last(Method::Invite), status, &format!("t{}", to.ip()), more, body);
    bench.receive_from(to, &text);
}

pub(super) fn last_to(bench: &Bench) -> String {
    let invites = bench.sent.iter().rev();
    let sent =
        invites.clone().find(|(_, message)| message.is_request() && message.method() == Method::Invite);
    sent.expect("INVITE").0.to_string()
}

#[test]
fn an_invite_waits_for_the_name_and_goes_on_when_a_member_fails() {
    let mut bench = Bench::new();
    named(&mut bench, Some(Transport::Udp), |_| {});
    let leg = call(&mut bench);
    assert!(bench.sent.is_empty(), "it is not known where to");
    bench.pass_ms(100);
    answer(&mut bench);
    // Silent; says 503; silent; answers.
    bench.pass_ms(4_000);
    respond(&mut bench, 503, "Retry-After: 5\r\n", "");
    bench.pass_ms(4_000);
    assert_eq!(last_to(&bench), "192.0.2.104:5060");
    respond(&mut bench, 200, "Contact: <sip:b@192.0.2.104>\r\n", ANSWER);
    bench.hangup(leg);
    bench.respond(Method::Bye, 200, "", "", "");
    expect![[r"
        0.100  us > INVITE
        0.600  us > INVITE
        1.600  us > INVITE
        3.600  us > INVITE
        4.100  us > INVITE
        4.100  us < 503
        4.100  us > ACK
        4.100  us > INVITE
        4.600  us > INVITE
        5.600  us > INVITE
        7.600  us > INVITE
        8.100  us > INVITE
        8.100  us < 200
        8.100  us > ACK
        8.100  answered sdp
        8.100  ended by Local, answered
        8.100  us > BYE
        8.100  us < 200
    "]]
    .assert_eq(&bench.ladder);
    // The next call goes to who has answered, without trying the others again.
    call(&mut bench);
    assert_eq!(last_to(&bench), "192.0.2.104:5060");
    respond(&mut bench, 486, "", "");
    assert_eq!(bench.ua.counters().targets_tried, 4);
    // The one with Retry-After is back first.
    bench.pass_ms(5_000);
    call(&mut bench);
    assert_eq!(last_to(&bench), "192.0.2.102:5060");
    respond(&mut bench, 486, "", "");
    bench.ua.remove_trunk(bench.now, 5, &mut bench.out);
    bench.is_clean();
}

/// What was sent last is not there to be received, as the network says.
fn undelivered(bench: &mut Bench, to: SocketAddr, listener: u8) {
    let sent = bench.sent.iter().rev().find(|(_, message)| message.is_request()).expect("a request");
    let bytes = Bytes::copy_from_slice(sent.1.raw());
    bench.ua.undelivered(bench.now, listener, to, &bytes, &mut bench.out);
    bench.note();
}

fn last_address(bench: &Bench) -> SocketAddr {
    address(&last_to(bench))
}

/// RFC 3261 §18.4: nobody is at the port. The next member gets the call at the same moment; who says so must have seen
/// the request.
#[test]
fn a_member_that_is_not_there_is_left_at_once() {
    let mut bench = Bench::new();
    named(&mut bench, Some(Transport::Udp), |_| {});
    let leg = call(&mut bench);
    answer(&mut bench);
    for strange in [address("192.0.2.102:5060"), address("192.0.2.101:5061")] {
        undelivered(&mut bench, strange, 0);
    }
    let to = last_address(&bench);
    undelivered(&mut bench, to, 1);
    let text = String::from_utf8_lossy(bench.last(Method::Invite).raw())
        .replace("branch=z9hG4bK0", "branch=z9hG4bK1");
    bench.ua.undelivered(bench.now, 0, to, text.as_bytes(), &mut bench.out);
    bench.note();
    assert_eq!(bench.count("INVITE"), 1, "none of these was it");
    undelivered(&mut bench, to, 0);
    // Told twice, and of the first once more.
    undelivered(&mut bench, to, 0);
    let to = last_address(&bench);
    undelivered(&mut bench, to, 0);
    assert_eq!(last_to(&bench), "192.0.2.103:5060");
    respond(&mut bench, 180, "", "");
    // It rings: what the network says of the INVITE comes too late.
    let to = last_address(&bench);
    undelivered(&mut bench, to, 0);
    respond(&mut bench, 200, "Contact: <sip:b@192.0.2.103>\r\n", ANSWER);
    bench.hangup(leg);
    // A peer that was there is asked again.
    undelivered(&mut bench, to, 0);
    bench.pass_ms(600);
    bench.respond(Method::Bye, 200, "", "", "");
    expect![[r#"
        0.000  us > INVITE
        0.000  us > INVITE
        0.000  us > INVITE
        0.000  us < 180
        0.000  progress 180
        0.000  us < 200
        0.000  us > ACK
        0.000  answered sdp
        0.000  ended by Local, answered
        0.000  us > BYE
        0.500  us > BYE
        0.600  us < 200
    "#]]
    .assert_eq(&bench.ladder);
    assert_eq!(bench.ua.counters().requests_undelivered, 2);
    bench.ua.remove_trunk(bench.now, 5, &mut bench.out);
    bench.is_clean();
}

#[test]
fn a_call_whose_only_way_leads_nowhere_ends_at_once() {
    let mut bench = Bench::new();
    bench.call();
    let to = last_address(&bench);
    undelivered(&mut bench, to, 0);
    expect![[r#"
        0.000  us > INVITE
        0.000  ended by Timeout, code 503
    "#]]
    .assert_eq(&bench.ladder);
    bench.is_clean();
}

#[test]
fn what_the_callee_says_does_not_go_to_the_next_member() {
    for status in [486, 603, 404, 500] {
        let mut bench = Bench::new();
        named(&mut bench, Some(Transport::Udp), |_| {});
        answer(&mut bench);
        call(&mut bench);
        respond(&mut bench, status, "", "");
        assert!(bench.ladder.ends_with(&format!("ended by Remote, code {status}\n")), "{}", bench.ladder);
        assert_eq!(bench.count("INVITE"), 1);
        bench.is_clean();
    }
}

#[test]
fn credentials_go_to_the_member_that_asked_for_them() {
    let mut bench = Bench::new();
    named(&mut bench, Some(Transport::Udp), |_| {});
    answer(&mut bench);
    call(&mut bench);
    respond(&mut bench, 503, "", "");
    assert_eq!(last_to(&bench), "192.0.2.102:5060");
    respond(&mut bench, 401, "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n", "");
    assert_eq!(last_to(&bench), "192.0.2.102:5060");
    assert!(bench.last(Method::Invite).has(HeaderName::Authorization));
    // The next member has not asked for any.
    respond(&mut bench, 503, "", "");
    assert_eq!(last_to(&bench), "192.0.2.103:5060");
    assert!(!bench.last(Method::Invite).has(HeaderName::Authorization));
    respond(&mut bench, 486, "", "");
    bench.is_clean();
}

#[test]
fn a_member_that_wakes_up_late_does_not_ring_on() {
    let mut bench = Bench::new();
    named(&mut bench, Some(Transport::Udp), |_| {});
    answer(&mut bench);
    call(&mut bench);
    let first = bench.last(Method::Invite);
    let source = address("192.0.2.101:5060");
    bench.pass_ms(4_000);
    bench.receive_from(source, &response_text(&first, 180, "late", "", ""));
    assert_eq!(
        bench.sent.last().map(|(to, message)| (*to, message.method())),
        Some((source, Method::Cancel))
    );
    bench.respond(Method::Cancel, 200, "late", "", "");
    bench.receive_from(source, &response_text(&first, 487, "late", "", ""));
    assert_eq!(bench.ended.len(), 0);
    assert_eq!(last_to(&bench), "192.0.2.102:5060");
    respond(&mut bench, 486, "", "");
    bench.is_clean();
}

#[test]
fn a_held_invite_ends_when_it_is_given_up_or_the_name_leads_nowhere() {
    let mut bench = Bench::new();
    named(&mut bench, Some(Transport::Udp), |_| {});
    let leg = call(&mut bench);
    bench.hangup(leg);
    assert_eq!(bench.ladder, "0.000  ended by Local, code 487\n");
    call(&mut bench);
    for question in core::mem::take(&mut bench.asked) {
        bench.ua.located(bench.now, &question, Answer::Failed, TTL, &mut bench.out);
        bench.note();
    }
    // The address of the domain is asked for before it is given up.
    answer(&mut bench);
    assert!(bench.ladder.ends_with("ended by Timeout, code 503\n"), "{}", bench.ladder);
    assert!(bench.sent.is_empty());
    bench.is_clean();
}

#[test]
fn who_comes_from_where_the_name_leads_is_the_trunk() {
    let mut bench = Bench::new();
    named(&mut bench, Some(Transport::Udp), |_| {});
    let from = |source: &str| Arrival {
        listener: 0,
        source: address(source),
        standing: Standing::Stranger,
        overload: None,
    };
    assert_eq!(bench.ua.trunk_of(from("192.0.2.103:9")), None);
    answer(&mut bench);
    assert_eq!(bench.ua.trunk_of(from("192.0.2.103:9")), Some(5));
    bench.ua.remove_trunk(bench.now, 5, &mut bench.out);
    assert_eq!(bench.ua.trunk_of(from("192.0.2.103:9")), None);
}

/// A carrier that sells so many calls per second counts INVITEs on the wire, not when they were wanted.
#[test]
fn what_waited_for_a_name_leaves_at_the_trunks_pace() {
    let mut bench = Bench::new();
    named(&mut bench, Some(Transport::Udp), |trunk| trunk.cps_max = 2.0);
    let legs: Vec<LegKey> = (0..5).map(|_| call(&mut bench)).collect();
    bench.pass_ms(300);
    answer(&mut bench);
    bench.hangup(legs[3]);
    // One that is wanted now waits behind those that are held already.
    let last = call(&mut bench);
    let mut left: Vec<(u64, SocketAddr)> = Vec::new();
    for ms in (300..2500).step_by(50) {
        for (to, message) in &bench.sent[left.len()..] {
            assert_eq!(message.method(), Method::Invite);
            left.push((ms, *to));
        }
        // Each answers at once, so that nothing is sent twice.
        let open: Vec<Message> = bench.sent.iter().map(|(_, message)| message.clone()).collect();
        for invite in open.iter().filter(|message| message.is_request()) {
            bench.receive_from(address("192.0.2.101:5060"), &response_text(invite, 100, "", "", ""));
        }
        bench.pass_ms(50);
    }
    let times: Vec<u64> = left.iter().map(|(ms, _)| *ms).collect();
    assert_eq!(times, [300, 800, 1300, 1800, 2300], "{}", bench.ladder);
    assert_eq!(bench.ua.owner(last), Some(7));
}

#[test]
fn what_is_held_ends_with_its_trunk() {
    let mut bench = Bench::new();
    named(&mut bench, Some(Transport::Udp), |trunk| trunk.cps_max = 0.1);
    call(&mut bench);
    answer(&mut bench);
    respond(&mut bench, 486, "", "");
    call(&mut bench);
    assert_eq!(bench.ended.len(), 1);
    bench.ua.remove_trunk(bench.now, 5, &mut bench.out);
    bench.note();
    assert_eq!((bench.ended.len(), bench.ended[1].code), (2, Some(503)));
    bench.pass_ms(40_000).is_clean();
}

/// A carrier counts the INVITEs of one call that go to its next host too.
#[test]
fn further_tries_leave_at_the_trunks_pace() {
    let mut bench = Bench::new();
    let pace = sansio::SharedPace::new(2.0);
    named(&mut bench, Some(Transport::Udp), |trunk| {
        trunk.cps_max = 2.0;
        trunk.pace = pace.clone();
    });
    answer(&mut bench);
    assert!(pace.take(bench.now));
    call(&mut bench);
    respond(&mut bench, 503, "", "");
    assert_eq!(last_to(&bench), "192.0.2.101:5060", "not yet");
    bench.pass_ms(499);
    assert_eq!(bench.count("INVITE"), 1);
    bench.pass_ms(1);
    assert_eq!((last_to(&bench).as_str(), bench.count("INVITE")), ("192.0.2.102:5060", 2));
    // Another shard takes the next turn; and one that is given up meanwhile is not sent.
    respond(&mut bench, 503, "", "");
    bench.pass_ms(499);
    assert!(!pace.take(bench.now));
    pace.spend(bench.now);
    bench.pass_ms(500);
    assert_eq!(bench.count("INVITE"), 2);
    bench.pass_ms(1);
    assert_eq!(last_to(&bench), "192.0.2.103:5060");
    respond(&mut bench, 503, "", "");
    let leg = bench.ua.legs.iter().next().expect("it waits").0;
    bench.hangup(leg);
    assert_eq!(bench.ended.last().map(|ended| ended.code), Some(Some(487)));
    bench.ua.remove_trunk(bench.now, 5, &mut bench.out);
    bench.is_clean();
}

/// Two shards of one node: who was found silent on one of them is passed over by the first call on the other, and an answer
/// of the domain name system is for both.
#[test]
fn what_one_shard_has_found_out_the_other_knows() {
    let failures = crate::transport::locate::Failures::default();
    let [mut one, mut other] = [(); 2].map(|()| Bench::with(|config| config.failures = failures.clone()));
    for bench in [&mut one, &mut other] {
        named(bench, Some(Transport::Udp), |_| {});
    }
    other.asked = one.asked.clone();
    answer(&mut one);
    call(&mut other);
    assert!(other.sent.is_empty());
    // What the other has not asked it knows from now on too, and what it held back leaves.
    answer(&mut other);
    assert_eq!(last_to(&other), "192.0.2.101:5060");
    respond(&mut other, 486, "", "");
    call(&mut one);
    one.pass_ms(4_000);
    assert_eq!(last_to(&one), "192.0.2.102:5060");
    respond(&mut one, 486, "", "");
    other.pass_ms(4_000);
    assert_eq!(other.ua.locating(other.now), (1, 0));
    call(&mut other);
    assert_eq!(last_to(&other), "192.0.2.102:5060", "without trying the silent one");
    respond(&mut other, 486, "", "");
    // It is back for both when its time is over, here 30 s after it was given up …
    for bench in [&mut one, &mut other] {
        bench.pass_ms(30_000);
        call(bench);
        assert_eq!(last_to(bench), "192.0.2.101:5060");
    }
    // … and when it has answered one of them.
    respond(&mut one, 503, "", "");
    assert_eq!(other.ua.locating(other.now), (1, 0));
    respond(&mut other, 486, "", "");
    assert_eq!(one.ua.locating(one.now), (0, 0));
}
