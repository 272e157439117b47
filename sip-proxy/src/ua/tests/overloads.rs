//! Overload control by loss (RFC 7339), both ways.

use super::called::invite_text;
use super::named::{answer, call, last_to, named};
use super::*;
use crate::wire::Transport;

const ANNOUNCED: &str = ";oc;oc-algo=\"loss\"";

/// The trunk of the bench, which may tell us to send less.
fn heeded() -> Bench {
    heed(Bench::new())
}

fn heed(mut bench: Bench) -> Bench {
    bench.ua.set_trunk(
        bench.now,
        super::trunks::trunk(|trunk| trunk.overload_control = true),
        &mut bench.out,
    );
    bench.note();
    bench
}

/// A response of the peer to the last request of this method, with what it has to say about its load.
fn respond_with(bench: &mut Bench, method: Method, status: u16, said: &str) {
    let request = bench.last(method);
    assert!(text(request.header(HeaderName::Via)).ends_with(ANNOUNCED), "{request:?}");
    let more = if status == 200 { "Contact: <sip:b@192.0.2.9:5060>\r\n" } else { "" };
    let body = if status == 200 && method == Method::Invite { ANSWER } else { "" };
    let response = response_text(&request, status, "them", more, body).replacen(ANNOUNCED, said, 1);
    bench.receive(&response);
}

/// Tries `count` new calls; gives how many were sent.
fn try_calls(bench: &mut Bench, count: usize) -> usize {
    let before = bench.sent.len();
    let mut refused = 0;
    for _ in 0..count {
        let invite = bench.invite();
        match bench.ua.invite(bench.now, &invite, &mut bench.out) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, InviteError::Overloaded);
                refused += 1;
            }
        }
    }
    bench.note();
    let sent = bench.sent.len() - before;
    assert_eq!(sent + refused, count);
    sent
}

#[test]
fn new_calls_are_left_out_by_lot_as_long_as_the_value_holds() {
    let mut bench = heeded();
    let leg = bench.call();
    respond_with(&mut bench, Method::Invite, 200, ";oc=40;oc-algo=\"loss\";oc-validity=700;oc-seq=5.1");
    assert_eq!(bench.ua.trunk_loss_percent(bench.now, 1), 40);
    let sent = try_calls(&mut bench, 2000);
    assert!((1120..=1280).contains(&sent), "{sent} of 2000 at a loss of 40 %");
    assert_eq!(bench.ua.counters().withheld, 2000 - sent as u64);
    assert_eq!(bench.ua.counters().overload_heard, 1);
    // What belongs to a call that stands is sent, and goes on announcing.
    bench.ua.reinvite(bench.now, leg, OFFER.as_bytes(), &mut bench.out).expect("it stands");
    bench.note();
    respond_with(&mut bench, Method::Invite, 200, ";oc=100;oc-algo=\"loss\";oc-validity=700;oc-seq=5.2");
    assert_eq!(try_calls(&mut bench, 100), 0);
    bench.hangup(leg);
    respond_with(&mut bench, Method::Bye, 200, ";oc=90;oc-algo=\"loss\";oc-seq=5.15");
    bench.pass_ms(699);
    assert_eq!(try_calls(&mut bench, 100), 0, "what is older than 5.2 is passed over");
    bench.pass_ms(1);
    assert_eq!(bench.ua.trunk_loss_percent(bench.now, 1), 0);
    assert_eq!(try_calls(&mut bench, 10), 10);
}

#[test]
fn a_value_can_be_taken_back_and_one_that_was_not_asked_for_is_not_heard() {
    let mut bench = heeded();
    bench.call();
    respond_with(&mut bench, Method::Invite, 100, ";oc=100;oc-algo=\"loss\";oc-validity=9000;oc-seq=1.0");
    respond_with(&mut bench, Method::Invite, 180, ";oc=0;oc-algo=\"loss\";oc-validity=0;oc-seq=1.1");
    assert_eq!(try_calls(&mut bench, 10), 10);
    // From a peer that is not to be heeded, or with a response to nothing.
    let mut bench = Bench::new();
    bench.call();
    assert!(!text(bench.last(Method::Invite).header(HeaderName::Via)).contains(";oc"));
    let said = ";oc=100;oc-algo=\"loss\";oc-validity=9000";
    let invite = bench.last(Method::Invite);
    let ringing =
        response_text(&invite, 180, "them", "", "").replacen("\r\nFrom", &format!("{said}\r\nFrom"), 1);
    bench.receive(&ringing).receive(&ringing.replace("branch=z9hG4bK", "branch=z9hG4bKother"));
    assert_eq!(try_calls(&mut bench, 10), 10);
}

#[test]
fn a_call_that_one_target_does_not_want_goes_to_the_next() {
    let mut bench = Bench::new();
    named(&mut bench, Some(Transport::Udp), |trunk| trunk.overload_control = true);
    answer(&mut bench);
    call(&mut bench);
    assert_eq!(last_to(&bench), "192.0.2.101:5060");
    let busy = ";oc=100;oc-algo=\"loss\";oc-validity=60000;oc-seq=1.0";
    bench.peer = address("192.0.2.101:5060");
    respond_with(&mut bench, Method::Invite, 486, busy);
    call(&mut bench);
    assert_eq!(last_to(&bench), "192.0.2.102:5060");
    // The next one is down, the one after it wants nothing either: all that is left is the last.
    bench.peer = address("192.0.2.102:5060");
    respond_with(&mut bench, Method::Invite, 503, "");
    bench.peer = address("192.0.2.103:5060");
    respond_with(&mut bench, Method::Invite, 486, busy);
    call(&mut bench);
    assert_eq!(last_to(&bench), "192.0.2.104:5060");
    bench.peer = address("192.0.2.104:5060");
    respond_with(&mut bench, Method::Invite, 503, busy);
    // As a last resort the one that was down.
    assert_eq!(last_to(&bench), "192.0.2.102:5060");
    bench.peer = address("192.0.2.102:5060");
    respond_with(&mut bench, Method::Invite, 503, "");
    assert_eq!(bench.ended.last().map(|ended| ended.code), Some(Some(503)));
    assert_eq!(bench.ua.trunk_loss_percent(bench.now, 5), 100);
    bench.ua.remove_trunk(bench.now, 5, &mut bench.out);
    bench.is_clean();
}

/// An INVITE from the trunk that heeds overload; the parameters of the topmost Via of what it got last.
fn told(bench: &mut Bench, id: &str) -> (u16, String) {
    let peer = bench.peer;
    let invite = invite_text("13800138000", id, "", OFFER);
    bench.receive_from(peer, &invite.replacen("\r\nMax", &format!("{ANNOUNCED}\r\nMax"), 1));
    let response = bench.last_response();
    let via = text(response.header(HeaderName::Via));
    let params = via.split_once(&format!("branch=z9hG4bK{id}")).expect("its branch").1.to_owned();
    (response.status(), params)
}

#[test]
fn who_heeds_our_load_is_told_of_it_in_each_response() {
    let mut bench = Bench::new();
    bench.ua.set_clock(ClockBase {
        instant: Instant::ZERO,
        wall: sansio::WallTime::from_unix_millis(1_282_321_615_782),
    });
    assert_eq!(
        told(&mut bench, "a"),
        (100, ";oc=0;oc-algo=\"loss\";oc-validity=0;oc-seq=1282321615.782".into())
    );
    bench.pass_ms(9);
    bench.ua.note_lag(bench.now, Duration::from_millis(375));
    let peer = bench.peer;
    // The lot decides; whatever it says, the share is told.
    for id in ["b", "c", "d", "e", "f", "g", "h", "i"] {
        let (status, params) = told(&mut bench, id);
        assert!(matches!(status, 100 | 503));
        assert_eq!(params, ";oc=50;oc-algo=\"loss\";oc-validity=1000;oc-seq=1282321615.791");
        // RFC 7339 §5.10.2: who sends less by itself is not told to stop.
        assert!(!bench.last_response().has(HeaderName::RetryAfter));
    }
    assert!(bench.ua.counters().shed > 0 && bench.incoming.len() > 1);
    // All responses of a transaction tell it, and who has not asked is told nothing.
    let leg = bench.incoming[1];
    bench.ua.reject(bench.now, leg, 486, Reason::default(), &mut bench.out).expect("it rings");
    bench.note();
    assert!(text(bench.last_response().header(HeaderName::Via)).contains(";oc=50;"));
    bench.receive_from(peer, &invite_text("13800138000", "plain", "", OFFER));
    assert!(!text(bench.last_response().header(HeaderName::Via)).contains("oc"));
    bench.pass_ms(1_001);
    assert!(told(&mut bench, "z").1.starts_with(";oc=0;oc-algo=\"loss\";oc-validity=0;"));
    bench.ua.note_lag(bench.now, Duration::from_millis(500));
    assert!(told(&mut bench, "y").1.starts_with(";oc=100;oc-algo=\"loss\";oc-validity=1000;"));
    // Who is about to go has nothing to gain from being sent less.
    bench.ua.set_draining(true);
    told(&mut bench, "x");
    assert!(bench.last_response().has(HeaderName::RetryAfter));
}

/// A peer that wants twice what we take comes to send what we take, and sends all again when it wants less.
#[test]
fn a_peer_that_heeds_settles_at_what_we_take() {
    let mut bench = Bench::with(|config| config.overload.cps_max = 50.0);
    let (mut loss, mut lot) = (0_u64, Rng::from_seed(7));
    let mut per_second = Vec::new();
    for second in 0..24_u64 {
        let wanted = if second < 16 { 100 } else { 25 };
        let mut sent = 0;
        for one in 0..wanted {
            bench.pass(Duration::from_micros(1_000_000 / wanted));
            if lot.below(100) >= loss {
                sent += 1;
                let (_, params) = told(&mut bench, &format!("s{second}n{one}"));
                let value = params.split(';').find_map(|param| param.strip_prefix("oc="));
                loss = value.expect("told").parse().expect("a number");
            }
        }
        per_second.push(sent);
    }
    let settled: u64 = per_second[6..16].iter().sum();
    assert!((430..=600).contains(&settled), "{per_second:?}");
    assert_eq!(per_second[22..], [25, 25], "{per_second:?}");
}

/// Two shards of one node: what one hears both heed, whichever heard it last; and their loads are told as one.
#[test]
fn shards_heed_what_one_of_them_has_heard_and_tell_one_load() {
    let known = crate::transport::locate::Failures::default();
    let shard = |number| {
        heed(Bench::with(|config| {
            (config.shard, config.failures) = (number, known.clone());
            config.overload.lag = Duration::from_millis(100);
        }))
    };
    let (mut one, mut other) = (shard(0), shard(1));
    other.call();
    one.call();
    respond_with(&mut one, Method::Invite, 180, ";oc=100;oc-algo=\"loss\";oc-validity=9000;oc-seq=5.1");
    assert_eq!((try_calls(&mut one, 10), try_calls(&mut other, 10)), (0, 0));
    respond_with(&mut other, Method::Invite, 180, ";oc=0;oc-algo=\"loss\";oc-validity=0;oc-seq=5.2");
    assert_eq!((try_calls(&mut one, 10), try_calls(&mut other, 10)), (10, 10));

    // The other one is twice as slow as it may be; half of the calls are its.
    other.ua.note_lag(other.now, Duration::from_millis(200));
    for (number, wanted) in [(1, 100), (0, 50), (1, 50)] {
        let bench = if number == 0 { &mut one } else { &mut other };
        let params = told(bench, &format!("load{number}{wanted}")).1;
        assert!(params.starts_with(&format!(";oc={wanted};")), "{wanted} in {params}");
    }
}
