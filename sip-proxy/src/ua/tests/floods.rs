//! Scanners, guessers and floods get nothing; calls go on. Overload is refused early.

use super::called::invite_text;
use super::registering::register_text;
use super::*;

const CONTACT: &str = "Contact: <sip:1001@10.0.0.5>\r\n";

fn options_text(id: u32, more: &str) -> String {
    format!(
        "OPTIONS sip:100@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.66:5060;branch=z9hG4bKo{id}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:100@1.1.1.1>;tag=s{id}\r\nTo: <sip:100@1.1.1.1>\r\nCall-ID: {id}\r\n\
         CSeq: 1 OPTIONS\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

fn scanner() -> SocketAddr {
    address("203.0.113.66:5060")
}

#[test]
fn a_scanner_gets_nothing_and_is_not_heard_again() {
    for (more, from) in [
        ("User-Agent: friendly-scanner\r\n", "<sip:100@1.1.1.1>"),
        ("User-Agent: VaxSIPUserAgent/3.1\r\n", "<sip:100@1.1.1.1>"),
        ("", "\"SIPVicious\"<sip:100@1.1.1.1>"),
    ] {
        let mut bench = Bench::new();
        let request = options_text(1, more).replace("<sip:100@1.1.1.1>;tag", &format!("{from};tag"));
        bench.receive_from(scanner(), &request);
        // From now on also under another name, from another port.
        bench.receive_from(address("203.0.113.66:9"), &options_text(2, ""));
        bench.receive_from(scanner(), &register_text(1, CONTACT));
        bench.receive_from(scanner(), &invite_text("1001", "i", "", OFFER));
        assert!(bench.sent.is_empty(), "{more}: {}", bench.ladder);
        let counters = bench.ua.counters();
        assert_eq!((counters.scanners, counters.bans, counters.unheard.banned), (1, 1, 3));
        // A trunk that calls itself so is a trunk all the same.
        let peer = bench.peer;
        bench.receive_from(peer, &options_text(3, "User-Agent: sipsak\r\n"));
        assert_eq!(bench.last_response().status(), 200);
        bench.pass(Duration::from_secs(600)).receive_from(scanner(), &options_text(4, ""));
        assert_eq!(bench.sent.len(), 2);
        assert!(!bench.last_response().has(HeaderName::Server), "strangers are told no name");
        bench.is_clean();
    }
}

#[test]
fn a_guesser_is_banned_after_ten_wrong_passwords() {
    let mut bench = Bench::new();
    let wrong = "Authorization: Digest username=\"1001\",realm=\"dialerd\",nonce=\"x\",uri=\"sip:192.0.2.1\",response=\"00000000000000000000000000000000\"\r\n";
    for cseq in 1..=10 {
        bench.receive_from(scanner(), &register_text(cseq, &format!("{wrong}{CONTACT}")));
        assert_eq!(bench.last_response().status(), 403, "{cseq}");
        assert_eq!(bench.ua.counters().bans, u64::from(cseq == 10));
        bench.pass_ms(64_000);
    }
    let sent = bench.sent.len();
    bench.receive_from(scanner(), &options_text(1, ""));
    bench.receive_from(scanner(), &register_text(20, CONTACT));
    assert_eq!(bench.sent.len(), sent);
    assert_eq!(bench.ua.counters().unheard.banned, 2);
}

/// Ten seconds of 20,000 messages a second from one address and from many, with calls from the trunk in between.
#[test]
fn calls_go_on_through_a_flood() {
    let mut bench = Bench::new();
    let standing = bench.standing();
    let mut id = 0;
    for second in 0..10 {
        for part in 0..200_u32 {
            for one in 0..50_u32 {
                id += 1;
                let text = if one % 2 == 0 {
                    options_text(id, "")
                } else {
                    register_text(id, "Contact: <sip:1001@a>\r\n")
                };
                let many = SocketAddr::new(core::net::IpAddr::V4((0x0a00_0000 + id * 7).into()), 5060);
                for source in [scanner(), many] {
                    bench.ua.handle_datagram(bench.now, 0, source, Bytes::from(text.clone()), &mut bench.out);
                }
            }
            bench.out.drain().for_each(drop);
            bench.pass_ms(5);
            if part == 100 {
                let peer = bench.peer;
                bench.receive_from(peer, &invite_text("13800138000", &format!("call{second}"), "", OFFER));
                assert_eq!(bench.incoming.len(), second + 1, "a new call comes through");
            }
        }
    }
    let unheard = bench.ua.counters().unheard;
    assert!(unheard.source >= 98_000, "{unheard:?}");
    assert!(unheard.strangers >= 75_000, "{unheard:?}");
    // The flood has left nothing behind, and the call that stood before can be ended.
    assert_eq!(bench.ua.audit().server_transactions, 10);
    assert_eq!(bench.ua.audit().contacts, 0);
    bench.request_back("BYE", "them", 1, "", "");
    assert_eq!(bench.last_response().status(), 200);
    assert_eq!(bench.ended[0].leg, standing);
    for leg in bench.incoming.clone() {
        bench.ua.reject(bench.now, leg, 486, Reason::default(), &mut bench.out).expect("still there");
    }
    bench.note();
    bench.is_clean();
}

/// A peer whose BYE comes from an address we do not know is heard even when that address has used up its share.
#[test]
fn a_dialog_is_heard_from_an_address_that_sends_too_much() {
    let mut bench = Bench::new();
    bench.standing();
    for id in 0..1000 {
        bench.ua.handle_datagram(bench.now, 0, scanner(), Bytes::from(options_text(id, "")), &mut bench.out);
    }
    bench.out.drain().for_each(drop);
    let invite = bench.last(Method::Invite);
    let bye = |tag: &str| {
        format!(
            "BYE sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.66:5060;branch=z9hG4bK{tag}\r\n\
             Max-Forwards: 70\r\nFrom: {};tag=them\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 7 BYE\r\nContent-Length: 0\r\n\r\n",
            text(invite.header(HeaderName::To)),
            text(invite.header(HeaderName::From)).replace(
                core::str::from_utf8(invite.from_tag().expect("ours")).expect("text"),
                if tag == "ours" {
                    core::str::from_utf8(invite.from_tag().expect("ours")).expect("text")
                } else {
                    tag
                }
            ),
            text(Some(invite.call_id())),
        )
    };
    bench.receive_from(scanner(), &bye("none"));
    assert!(bench.ended.is_empty());
    let sent = bench.sent.len();
    bench.receive_from(scanner(), &bye("ours"));
    assert_eq!(bench.ended.len(), 1);
    assert_eq!(bench.sent.len(), sent + 1);
    bench.is_clean();
}

#[test]
fn too_many_calls_are_refused_before_anything_is_made_of_them() {
    let mut bench = Bench::with(|config| config.overload.cps_max = 10.0);
    let peer = bench.peer;
    for index in 0..10 {
        bench.receive_from(peer, &invite_text("13800138000", &format!("c{index}"), "", OFFER));
    }
    assert_eq!(bench.incoming.len(), 2, "a fifth of a second's worth at once");
    let refused = bench.last_response();
    assert_eq!((refused.status(), refused.seconds(HeaderName::RetryAfter)), (503, Some(10)));
    assert_eq!(bench.ua.audit().server_transactions, 2);
    assert_eq!(bench.ua.counters().shed, 8);
    // One that got in is not refused when it is repeated.
    bench.receive_from(peer, &invite_text("13800138000", "c0", "", OFFER));
    assert_eq!(bench.last_response().status(), 100);
    bench.pass_ms(1_000).receive_from(peer, &invite_text("13800138000", "late", "", OFFER));
    assert_eq!(bench.incoming.len(), 3);
}

#[test]
fn lag_sheds_calls_in_proportion_and_only_while_it_lasts() {
    for (lag_ms, low, high) in [(249, 200, 200), (260, 180, 199), (375, 70, 130), (500, 0, 0), (5_000, 0, 0)]
    {
        let mut bench = Bench::new();
        bench.ua.note_lag(bench.now, Duration::from_millis(lag_ms));
        let peer = bench.peer;
        for index in 0..200 {
            bench.receive_from(peer, &invite_text("13800138000", &format!("c{index}"), "", OFFER));
        }
        let taken = bench.incoming.len();
        assert!((low..=high).contains(&taken), "{taken} at {lag_ms} ms");
        bench.pass_ms(1_001).receive_from(peer, &invite_text("13800138000", "late", "", OFFER));
        assert_eq!(bench.incoming.len(), taken + 1, "nobody has told of lag for a second");
    }
    let mut bench = Bench::with(|config| config.overload.legs_max = 1);
    let peer = bench.peer;
    bench.receive_from(peer, &invite_text("13800138000", "a", "", OFFER));
    bench.receive_from(peer, &invite_text("13800138000", "b", "", OFFER));
    assert_eq!((bench.incoming.len(), bench.last_response().status()), (1, 503));
}
