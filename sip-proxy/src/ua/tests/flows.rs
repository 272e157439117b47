//! Calls and registrations over connections.

use expect_test::expect;

use super::called::invite_text;
use super::registering::register_over;
use super::*;
use crate::wire::Transport;

const PEER: &str = "192.0.2.9:5060";

fn streams(config: &mut Config) {
    for (transport, port) in [(Transport::Tcp, 5060), (Transport::Tls, 5061), (Transport::Wss, 443)] {
        let text = format!("192.0.2.1:{port}");
        config.listeners.push(Listener { transport, address: address(&text), advertised: text });
    }
}

fn check(story: impl FnOnce(&mut Bench), expected: &expect_test::Expect) {
    let mut bench = Bench::with(streams);
    story(&mut bench);
    expected.assert_eq(&bench.ladder);
    bench.is_clean();
}

fn via(message: &Message) -> String {
    text(message.header(HeaderName::Via)).split(';').next().unwrap_or_default().to_owned()
}

fn contact(message: &Message) -> String {
    let whole = text(message.header(HeaderName::Contact));
    whole.split_once('@').map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

/// An offer that makes an INVITE too long for a datagram.
fn long_offer() -> Bytes {
    Bytes::from(format!("{OFFER}a=x:{}\r\n", "y".repeat(1400)))
}

#[test]
fn over_tcp_nothing_is_sent_again_and_finished_transactions_go_at_once() {
    check(
        |bench| {
            bench.listener = 1;
            bench.call_with(|invite| invite.listener = 1);
            let invite = bench.last(Method::Invite);
            assert_eq!(via(&invite), "SIP/2.0/TCP 192.0.2.1:5060");
            assert_eq!(contact(&invite), "192.0.2.1:5060;transport=tcp>");
            bench.pass_ms(3_000).respond(Method::Invite, 486, "them", "", "");
            assert_eq!(via(&bench.last(Method::Ack)), "SIP/2.0/TCP 192.0.2.1:5060");
            bench.pass_ms(1);
            assert_eq!(bench.ua.audit().client_transactions, 0, "timer D is 0");
        },
        &expect![[r"
            0.000  us > INVITE
            3.000  us < 486
            3.000  us > ACK
            3.000  ended by Remote, code 486
        "]],
    );
}

#[test]
fn silence_over_a_connection_closes_it() {
    check(
        |bench| {
            bench.ua.flow_opened(1, address(PEER), Vec::new());
            bench.call_with(|invite| invite.listener = 1);
            bench.pass_ms(31_999).pass_ms(1);
            bench.ua.flow_closed(bench.now, 1, address(PEER), &mut bench.out);
            bench.note();
        },
        &expect![[r"
            0.000  us > INVITE
            32.000  close 1 192.0.2.9:5060
            32.000  ended by Timeout, code 408
        "]],
    );
}

#[test]
fn a_request_whose_connection_breaks_is_sent_once_more() {
    check(
        |bench| {
            bench.ua.flow_opened(1, address(PEER), Vec::new());
            bench.call_with(|invite| invite.listener = 1);
            for _ in 0..2 {
                bench.pass_ms(10);
                bench.ua.flow_closed(bench.now, 1, address(PEER), &mut bench.out);
                bench.note();
            }
        },
        &expect![[r"
            0.000  us > INVITE
            0.010  us > INVITE
            0.020  ended by Timeout, code 503
        "]],
    );
}

#[test]
fn a_refused_connection_ends_the_call_at_once() {
    check(
        |bench| {
            bench.call_with(|invite| invite.listener = 2);
            assert_eq!(via(&bench.last(Method::Invite)), "SIP/2.0/TLS 192.0.2.1:5061");
            bench.ua.flow_refused(bench.now, 2, address(PEER), &mut bench.out);
            bench.note();
        },
        &expect![[r"
            0.000  us > INVITE
            0.000  ended by Timeout, code 503
        "]],
    );
}

#[test]
fn a_long_request_goes_over_tcp_and_what_follows_over_udp() {
    let mut bench = Bench::with(streams);
    let leg = bench.call_with(|invite| invite.sdp = long_offer());
    assert_eq!(bench.left_by, [1]);
    let invite = bench.last(Method::Invite);
    assert_eq!(via(&invite), "SIP/2.0/TCP 192.0.2.1:5060");
    assert_eq!(contact(&invite), "192.0.2.1:5060>", "the dialog stays on UDP");
    bench.listener = 1;
    bench.respond(Method::Invite, 200, "them", "Contact: <sip:b@192.0.2.9:5060;transport=udp>\r\n", ANSWER);
    bench.hangup(leg);
    assert_eq!(bench.left_by, [1, 0, 0], "ACK and BYE fit into a datagram");
    assert_eq!(via(&bench.last(Method::Bye)), "SIP/2.0/UDP 192.0.2.1:5060");
    bench.listener = 0;
    bench.respond(Method::Bye, 200, "", "", "");
    // A call with a short INVITE to the same peer.
    bench.call();
    assert_eq!(bench.left_by.last(), Some(&0));
    bench.respond(Method::Invite, 486, "them", "", "");
    bench.is_clean();
}

#[test]
fn a_long_request_falls_back_to_udp_where_nobody_takes_connections() {
    let mut bench = Bench::with(streams);
    bench.call_with(|invite| invite.sdp = long_offer());
    bench.ua.flow_refused(bench.now, 1, address(PEER), &mut bench.out);
    bench.note();
    assert_eq!(bench.left_by, [1, 0]);
    assert_eq!(via(&bench.last(Method::Invite)), "SIP/2.0/UDP 192.0.2.1:5060");
    bench.pass_ms(500);
    assert_eq!(bench.left_by, [1, 0, 0], "and is repeated there");
    bench.respond(Method::Invite, 486, "them", "", "");
    // The next one does not try again.
    bench.call_with(|invite| invite.sdp = long_offer());
    assert_eq!(bench.left_by.last(), Some(&0));
    bench.respond(Method::Invite, 486, "them", "", "");
    bench.is_clean();
}

#[test]
fn a_caller_over_tcp_is_answered_along_its_connection() {
    check(
        |bench| {
            bench.listener = 1;
            let source = address("192.0.2.9:41234");
            bench.ua.flow_opened(1, source, Vec::new());
            bench.receive_from(source, &invite_text("us", "in1", "", OFFER).replace("/UDP", "/TCP"));
            let leg = *bench.incoming.last().expect("a trunk calls from any port over TCP");
            bench.ua.answer(bench.now, leg, ANSWER.as_bytes(), &mut bench.out).expect("it rings");
            bench.note();
            assert!(bench.sent.iter().all(|(to, _)| *to == source));
            assert_eq!(contact(&bench.last_response()), "192.0.2.1:5060;transport=tcp>");
            let answered = bench.last_response();
            let ack = format!(
                "ACK sip:us@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.9:5060;branch=z9hG4bKack\r\n\
                 From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
                text(answered.header(HeaderName::From)),
                text(answered.header(HeaderName::To)),
                text(Some(answered.call_id())),
            );
            bench.receive_from(source, &ack);
            bench.hangup(leg);
            assert_eq!(bench.sent.last().expect("BYE").0, source, "the connection is used again");
            bench.respond(Method::Bye, 200, "", "", "");
            bench.ua.flow_closed(bench.now, 1, source, &mut bench.out);
        },
        &expect![[r"
            0.000  us < INVITE
            0.000  us > 100
            0.000  incoming from Trunk(1)
            0.000  us > 200
            0.000  us < ACK
            0.000  confirmed
            0.000  ended by Local, answered
            0.000  us > BYE
            0.000  us < 200
        "]],
    );
}

/// RFC 3261 §12.2.1.1: where the connection that a call came over is no more, its requests go to its remote target.
#[test]
fn a_caller_whose_connection_is_gone_is_told_the_end_over_a_new_one() {
    let mut bench = Bench::with(streams);
    bench.listener = 1;
    let source = address("192.0.2.9:41234");
    bench.ua.flow_opened(1, source, Vec::new());
    bench.receive_from(source, &invite_text("us", "in1", "", OFFER).replace("/UDP", "/TCP"));
    let leg = *bench.incoming.last().expect("a trunk calls from any port over TCP");
    bench.ua.answer(bench.now, leg, ANSWER.as_bytes(), &mut bench.out).expect("it rings");
    bench.note();
    let answered = bench.last_response();
    let ack = format!(
        "ACK sip:us@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.9:5060;branch=z9hG4bKack\r\n\
         From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
        text(answered.header(HeaderName::From)),
        text(answered.header(HeaderName::To)),
        text(Some(answered.call_id())),
    );
    bench.receive_from(source, &ack);
    bench.ua.flow_closed(bench.now, 1, source, &mut bench.out);
    bench.hangup(leg);
    let to = bench.sent.last().expect("BYE").0;
    assert_eq!((to.ip(), to.port()), (source.ip(), 5060), "where its Contact says");
    bench.respond(Method::Bye, 200, "", "", "");
}

/// RFC 5923: a trunk that speaks from a port of its own lets us use that connection; when it is gone, ours is made.
#[test]
fn a_trunk_lends_us_its_connection() {
    let mut bench = Bench::with(streams);
    let theirs = address("192.0.2.9:41000");
    bench.listener = 1;
    bench.ua.flow_opened(1, theirs, Vec::new());
    let ping = |branch: &str| {
        format!(
            "OPTIONS sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.9:5060;branch=z9hG4bK{branch};alias\r\n\
             Max-Forwards: 70\r\nFrom: <sip:t@192.0.2.9>;tag=p\r\nTo: <sip:192.0.2.1>\r\nCall-ID: {branch}\r\n\
             CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
    };
    bench.receive_from(theirs, &ping("a"));
    bench.call_with(|invite| invite.listener = 1);
    assert_eq!(bench.sent.last().expect("INVITE").0, theirs);
    bench.ua.flow_closed(bench.now, 1, theirs, &mut bench.out);
    bench.note();
    assert_eq!(bench.sent.last().expect("INVITE again").0, bench.peer);
    // A stranger is not believed.
    let stranger = address("198.51.100.4:41000");
    bench.ua.flow_opened(1, stranger, Vec::new());
    bench.receive_from(stranger, &ping("b"));
    assert_eq!(
        bench.ua.layer.outlets.by_alias(1, address("198.51.100.4:5060")),
        address("198.51.100.4:5060")
    );
}

#[test]
fn a_registration_dies_with_its_connection() {
    let mut bench = Bench::with(streams);
    let phone = address("198.51.100.7:50123");
    bench.listener = 3;
    bench.ua.flow_opened(3, phone, Vec::new());
    register_over(&mut bench, phone, 1, "<sip:1001@df7jal23ls0d.invalid;transport=ws>");
    let known = bench.ua.contact_of(bench.now, 11).expect("registered");
    assert_eq!((known.listener, known.source), (3, phone));
    // The browser is called over it …
    bench.call_with(|invite| {
        (invite.listener, invite.destination, invite.symmetric, invite.trunk) = (3, phone, true, None);
        invite.sdp = long_offer();
    });
    let (to, invite) = bench.sent.last().expect("INVITE").clone();
    assert_eq!((to, via(&invite)), (phone, "SIP/2.0/WSS 192.0.2.1:443".into()));
    assert_eq!(contact(&invite), "192.0.2.1:443;transport=ws>");
    // … and when it goes, both registration and call are over: nobody can connect to a browser.
    bench.ua.flow_closed(bench.now, 3, phone, &mut bench.out);
    bench.note();
    assert!(bench.ua.contact_of(bench.now, 11).is_none());
    assert!(
        bench.ladder.ends_with("unregistered 11\n0.000  ended by Timeout, code 503\n"),
        "{}",
        bench.ladder
    );
    bench.is_clean();
}

#[test]
fn what_breaks_a_stream_is_answered_where_it_can_be_and_closed() {
    let mut bench = Bench::with(streams);
    let peer = address("192.0.2.9:41234");
    let invite = invite_text("us", "in1", "", "");
    let broken = |bench: &mut Bench, head: &str, fault: crate::transport::FrameFault| {
        bench.ladder.clear();
        bench.ua.flow_broken(1, peer, Bytes::from(head.to_owned()), fault, &mut bench.out);
        bench.note();
        bench.ladder.clone()
    };
    use crate::transport::FrameFault::{BareLineEnd, NoLength, TooLong};
    let close = "0.000  close 1 192.0.2.9:41234\n";
    assert_eq!(broken(&mut bench, &invite, NoLength), format!("0.000  us > 400\n{close}"));
    let long = invite.replace("Content-Length: 0", "Content-Length: 99999");
    assert_eq!(broken(&mut bench, &long, TooLong), format!("0.000  us > 513\n{close}"));
    assert_eq!(broken(&mut bench, "GET / HTTP/1.1\r\n\r\n", NoLength), close);
    assert_eq!(broken(&mut bench, "", BareLineEnd), close);
    bench.is_clean();
}

/// Where the connection of a request is gone its response goes over a new one, to where the sender takes some: the port
/// of sent-by at the address it came from (RFC 3261 §18.2.2). A browser takes none.
#[test]
fn a_response_whose_connection_is_gone_goes_over_a_new_one() {
    let source = address("192.0.2.9:40000");
    for (listener, name, sent_by, expected) in [
        (1, "TCP", "192.0.2.9:5070", "192.0.2.9:5070"),
        (1, "TCP", "192.0.2.9", "192.0.2.9:5060"),
        (1, "TCP", "10.0.0.9:5080", "192.0.2.9:5080"),
        (1, "TCP", "phone.invalid", "192.0.2.9:5060"),
        (2, "TLS", "192.0.2.9", "192.0.2.9:5061"),
        (3, "WSS", "192.0.2.9:5070", "192.0.2.9:40000"),
    ] {
        let mut bench = Bench::with(streams);
        (bench.listener, bench.peer) = (listener, source);
        bench.ua.flow_opened(listener, source, Vec::new());
        let via = format!("SIP/2.0/{name} {sent_by};");
        bench.receive(
            &invite_text("13800138000", "g", "", OFFER).replace("SIP/2.0/UDP 192.0.2.9:5060;", &via),
        );
        let leg = bench.incoming[0];
        bench.ring(leg);
        assert!(bench.sent.iter().all(|(to, _)| *to == source), "the connection stands");
        bench.ua.flow_closed(bench.now, listener, source, &mut bench.out);
        bench.answer(leg);
        let (to, ok) = bench.sent.last().expect("a response").clone();
        assert_eq!((to.to_string().as_str(), ok.status()), (expected, 200), "{name} {sent_by}");
        assert_eq!(bench.left_by.last(), Some(&listener));
        // So do its copies, and what refuses another one.
        bench.pass_ms(500);
        assert_eq!(bench.sent.last().expect("a copy").0.to_string(), expected);
        bench.hangup(leg);
    }
}

/// RFC 3261 §8.1.1.8, §12.1.1: in a dialog of SIPS our Contact is one too, in requests and in responses; elsewhere, and where
/// the listener could not be spoken with so, it is not.
#[test]
fn in_a_dialog_of_sips_our_contact_is_one() {
    let own = |message: &Message| {
        let whole = text(message.header(HeaderName::Contact));
        let (scheme, rest) = whole.split_once(':').expect("a URI");
        format!("{scheme}:…{}", &rest[rest.find('@').expect("a user")..])
    };
    let secure = "<sips:…@192.0.2.1:5061>";
    // We call.
    for (listener, uri, expected) in [
        (2, "sips:1@192.0.2.9", secure),
        (2, "sip:1@192.0.2.9", "<sip:…@192.0.2.1:5061;transport=tls>"),
        (3, "sips:1@192.0.2.9", "<sips:…@192.0.2.1:443;transport=ws>"),
        (1, "sips:1@192.0.2.9", "<sip:…@192.0.2.1:5060;transport=tcp>"),
    ] {
        let mut bench = Bench::with(streams);
        bench.listener = listener;
        bench.ua.flow_opened(listener, address(PEER), Vec::new());
        let leg = bench.call_with(|invite| (invite.listener, invite.request_uri) = (listener, uri));
        assert_eq!(own(&bench.last(Method::Invite)), expected, "{uri}");
        let more = "Contact: <sips:b@192.0.2.9:5060>\r\n";
        bench.respond(Method::Invite, 200, "them", more, ANSWER);
        if listener != 1 {
            bench.ua.reinvite(bench.now, leg, OFFER.as_bytes(), &mut bench.out).expect("it stands");
            bench.note();
            assert_eq!(own(&bench.last(Method::Invite)), expected, "{uri}");
            bench.respond(Method::Invite, 200, "them", more, ANSWER);
        }
        bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
        bench.ua.flow_closed(bench.now, listener, address(PEER), &mut bench.out);
        bench.note();
        bench.is_clean();
    }
    // We are called.
    for (request_uri, more, expected) in [
        ("sips:4000@192.0.2.1", "", secure),
        ("sip:4000@192.0.2.1", "", "<sip:…@192.0.2.1:5061;transport=tls>"),
        ("sip:4000@192.0.2.1", "Record-Route: <sips:192.0.2.9;lr>\r\n", secure),
        (
            "sip:4000@192.0.2.1",
            "Record-Route: <sip:192.0.2.9;lr>\r\n",
            "<sip:…@192.0.2.1:5061;transport=tls>",
        ),
        ("sip:4000@192.0.2.1", "Contact: <sips:13@192.0.2.9:5060>\r\n", secure),
    ] {
        let mut bench = Bench::with(streams);
        bench.listener = 2;
        bench.ua.flow_opened(2, address(PEER), Vec::new());
        let contact = if more.contains("Contact") { "" } else { "Contact: <sip:13@192.0.2.9:5060>\r\n" };
        bench.receive(&format!(
            "INVITE {request_uri} SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.9:5060;branch=z9hG4bKs\r\nMax-Forwards: 70\r\n\
             From: <sip:13@192.0.2.9>;tag=them\r\nTo: <{request_uri}>\r\nCall-ID: s\r\nCSeq: 1 INVITE\r\n{contact}{more}{}",
            body_text(OFFER)
        ));
        let leg = bench.incoming[0];
        bench.answer(leg);
        assert_eq!(own(&bench.last_response()), expected, "{request_uri} {more}");
        bench.hangup(leg);
        bench.ua.flow_closed(bench.now, 2, address(PEER), &mut bench.out);
        bench.note();
        bench.is_clean();
    }
}

/// RFC 3261 §18.2.2: an answer whose connection is gone goes over another one, to sent-by's port at the address the request came
/// from; over TLS that one must be shown a certificate for what sent-by calls itself.
#[test]
fn whoever_is_called_back_with_an_answer_shows_a_certificate_for_its_own_name() {
    for (listener, transport, sent_by, told) in [
        (2, "TLS", "phone.example.test:5071", "0.010  192.0.2.9:5071 is phone.example.test\n"),
        (2, "TLS", "192.0.2.9:5071", ""),
        (1, "TCP", "phone.example.test:5071", ""),
    ] {
        let mut bench = Bench::with(streams);
        bench.listener = listener;
        let peer = address("192.0.2.9:40000");
        bench.peer = peer;
        bench.ua.flow_opened(listener, peer, Vec::new());
        bench.receive(&format!(
            "INVITE sip:4000@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/{transport} {sent_by};branch=z9hG4bKs\r\nMax-Forwards: 70\r\n\
             From: <sip:13@192.0.2.9>;tag=them\r\nTo: <sip:4000@192.0.2.1>\r\nCall-ID: s\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:13@192.0.2.9:5060>\r\n{}",
            body_text(OFFER)
        ));
        bench.ua.flow_closed(bench.now, listener, peer, &mut bench.out);
        bench.pass_ms(10);
        let leg = bench.incoming[0];
        let before = bench.ladder.len();
        bench.reject(leg, 486);
        assert!(bench.ladder[before..].starts_with(told), "{}", bench.ladder);
        assert_eq!(bench.ladder.contains(" is phone"), !told.is_empty(), "{}", bench.ladder);
        assert_eq!(
            bench.sent.last().expect("an answer").0,
            address("192.0.2.9:5071"),
            "{transport} {sent_by}"
        );
        bench.is_clean();
    }
}
