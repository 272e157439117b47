//! Requests that pass through and make no session, and re-INVITEs that ask for an offer.

use super::*;

fn message(method: &str, more: &str) -> String {
    format!(
        "{method} sip:13800138000@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{method}\r\n\
         Max-Forwards: 9\r\nFrom: <sip:b@192.0.2.9>;tag=them\r\nTo: <sip:13800138000@192.0.2.1>\r\nCall-ID: m\r\n\
         CSeq: 1 {method}\r\nTimestamp: 54.2\r\n{more}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
    )
}

fn outward(destination: &str) -> Outward<'static> {
    Outward {
        listener: 0,
        destination: address(destination),
        trunk: None,
        request_uri: "sip:13800138000@192.0.2.20",
        from_uri: "sip:b@192.0.2.1",
        from_display: "",
        p_asserted_identity: None,
        headers: &[("X-Way", "out")],
        max_forwards: 8,
    }
}

/// Nobody above wants it: what we know gets 405 with Allow, what we do not know 501; within a dialog and outside.
#[test]
fn what_nobody_takes() {
    let mut bench = Bench::new();
    for (method, status) in [("MESSAGE", 405), ("PUBLISH", 405), ("SUBSCRIBE", 405), ("FROBNICATE", 501)] {
        bench.receive(&message(method, ""));
        let answer = bench.last_response();
        assert_eq!((answer.status(), answer.has(HeaderName::Allow)), (status, true), "{method}");
        assert_eq!(text(answer.header(HeaderName::Timestamp)), "54.2", "{method}");
    }
    let leg = bench.standing();
    for (cseq, method, status) in [(1, "MESSAGE", 405), (2, "FROBNICATE", 501)] {
        bench.request_back(method, "them", cseq, "", "");
        assert_eq!(bench.last_response().status(), status, "{method}");
    }
    // In no dialog of ours.
    bench.request_back("MESSAGE", "stranger", 3, "", "");
    assert_eq!(bench.last_response().status(), 481);
    bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    bench.is_clean();
}

/// A stranger is not asked what it wants: nothing of its is passed.
#[test]
fn a_stranger_has_nothing_passed() {
    let mut bench = Bench::new();
    bench.takes_requests = true;
    bench.receive_from(address("198.51.100.9:5060"), &message("MESSAGE", ""));
    assert!(bench.requests.is_empty());
    assert_eq!(bench.last_response().status(), 405);
    bench.is_clean();
}

/// Sent on with its body, and the answer passed back; copies of the request meanwhile change nothing.
#[test]
fn sent_on_and_answered() {
    for (method, status, passed) in
        [("MESSAGE", 200, 200), ("FROB", 202, 202), ("MESSAGE", 401, 403), ("FROB", 486, 486)]
    {
        let mut bench = Bench::new();
        bench.takes_requests = true;
        bench.receive(&message(method, "Content-Disposition: render\r\n"));
        let (key, request) = bench.requests.remove(0);
        let to = outward("192.0.2.20:5060");
        assert!(bench.ua.relay_out(bench.now, key, &request, &to, &mut bench.out));
        bench.note();
        bench.receive(&message(method, ""));
        let (where_to, sent) = bench.sent.last().expect("a request").clone();
        assert_eq!((where_to, show(&sent).as_str()), (address("192.0.2.20:5060"), method));
        assert_eq!((sent.body(), sent.max_forwards()), (&b"hi"[..], Some(8)));
        assert_eq!(text(sent.header(HeaderName::ContentType)), "text/plain");
        assert_eq!(text(sent.header(HeaderName::ContentDisposition)), "render");
        assert_eq!(text(sent.header_by_text("X-Way")), "out");
        assert_ne!(sent.call_id(), b"m");
        bench.peer = address("192.0.2.20:5060");
        bench.receive(&response_text(&sent, status, "there", "", ""));
        let answer = bench.last_response();
        assert_eq!(
            (answer.status(), answer.call_id(), answer.method_text()),
            (passed, &b"m"[..], method.as_bytes())
        );
        // A late copy gets the same answer again.
        let before = bench.sent.len();
        bench.peer = address("192.0.2.9:5060");
        bench.receive(&message(method, ""));
        assert_eq!(bench.sent.len(), before + 1);
        assert_eq!(bench.last_response().status(), passed);
        bench.is_clean();
    }
}

/// Silence on the other side is silence on this side (RFC 4320), and nothing is left of it.
#[test]
fn sent_on_and_never_answered() {
    let mut bench = Bench::new();
    bench.takes_requests = true;
    bench.receive(&message("MESSAGE", ""));
    let (key, request) = bench.requests.remove(0);
    assert!(bench.ua.relay_out(bench.now, key, &request, &outward("192.0.2.20:5060"), &mut bench.out));
    bench.note();
    bench.pass_ms(40_000);
    assert!(bench.sent.iter().all(|(_, message)| message.is_request()), "{}", bench.ladder);
    bench.is_clean();
    // And one that nobody above ever answers is forgotten with its sender's patience.
    bench.receive(&message("MESSAGE", ""));
    bench.is_clean();
}

/// In a dialog it goes on in another one.
#[test]
fn sent_on_within_a_dialog() {
    let mut bench = Bench::new();
    bench.takes_requests = true;
    let one = bench.standing();
    let other = bench.standing();
    bench.request_back("FROB", "them", 1, "", "");
    let (key, request) = bench.requests.remove(0);
    assert_eq!(bench.ua.relay_within(bench.now, key, &request, one, &mut bench.out), Ok(()));
    bench.note();
    let sent = bench.sent.last().expect("a request").1.clone();
    assert_eq!((show(&sent).as_str(), sent.cseq().0), ("FROB", 2));
    bench.receive(&response_text(&sent, 200, "", "", ""));
    assert_eq!(show(&bench.last_response()), "200 FROB");
    for leg in [one, other] {
        bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    }
    bench.is_clean();
}

/// Digits in INFO are ours; what else there is in one goes the way of any other request in a dialog (RFC 6086).
#[test]
fn info_says_digits_or_is_passed() {
    let mut bench = Bench::new();
    bench.takes_requests = true;
    let one = bench.standing();
    let other = bench.standing();
    for (cseq, kind, body) in
        [(1, "application/dtmf-relay", "Signal=5\r\nDuration=160\r\n"), (2, "Application/DTMF; q=1", "5")]
    {
        bench.receive(&info(&bench, cseq, &format!("Content-Type: {kind}\r\n"), body));
        assert_eq!(bench.last_response().status(), 200);
        assert!(
            bench.requests.is_empty() && bench.ladder.contains(&format!("info {body}")),
            "{}",
            bench.ladder
        );
    }
    let answers = [(200, 200), (469, 469), (415, 415), (481, 481), (500, 500), (401, 403)];
    for (at, (status, passed)) in answers.into_iter().enumerate() {
        let more =
            "Info-Package: nil\r\nContent-Type: application/x\r\nContent-Disposition: Info-Package\r\n";
        bench.receive(&info(&bench, 3 + at as u32, more, "body"));
        let before = bench.count(&format!("{passed} INFO"));
        let (key, request) = bench.requests.remove(0);
        assert_eq!(bench.ua.relay_within(bench.now, key, &request, one, &mut bench.out), Ok(()));
        bench.note();
        let sent = bench.sent.last().expect("a request").1.clone();
        assert_eq!((sent.method(), sent.body()), (Method::Info, &b"body"[..]));
        for (name, value) in [
            ("Info-Package", "nil"),
            ("Content-Type", "application/x"),
            ("Content-Disposition", "Info-Package"),
        ] {
            assert_eq!(text(sent.header_by_text(name)), value);
        }
        bench.receive(&response_text(&sent, status, "", "Recv-Info: foo\r\n", ""));
        assert_eq!(bench.count(&format!("{passed} INFO")), before + 1, "{}", bench.ladder);
        assert_eq!(text(bench.last_response().header_by_text("Recv-Info")), "foo");
    }
    for leg in [one, other] {
        bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    }
    bench.is_clean();
}

/// One that nobody is to have: refused for its package, or for its body, with what would be taken; and before the answer
/// nobody is asked.
#[test]
fn info_for_nobody() {
    let mut bench = Bench::new();
    bench.takes_requests = true;
    let leg = bench.standing();
    let cases = [
        ("", "", 200, None),
        (
            "Content-Type: text/plain\r\n",
            "x",
            415,
            Some(("Accept", "application/dtmf-relay, application/dtmf")),
        ),
        ("Info-Package: x\r\n", "", 469, Some(("Recv-Info", ""))),
        ("Info-Package: x\r\nContent-Type: text/plain\r\n", "x", 469, Some(("Recv-Info", ""))),
    ];
    for (at, (more, body, status, header)) in cases.into_iter().enumerate() {
        bench.receive(&info(&bench, 1 + at as u32, more, body));
        let (key, request) = bench.requests.remove(0);
        assert_eq!(info_status(&request), status);
        bench.ua.respond(bench.now, key, status, &mut bench.out);
        bench.note();
        let response = bench.last_response();
        assert_eq!(response.status(), status);
        if let Some((name, value)) = header {
            assert_eq!(response.header_by_text(name), Some(value.as_bytes()));
        }
    }
    bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    let leg = bench.ring_in();
    bench.ring(leg);
    for (at, (more, body, status, _)) in cases.into_iter().enumerate() {
        let early = bench.called_text("INFO", 2 + at as u32);
        bench.receive(&with_lines(&early, more, body));
        assert_eq!(bench.last_response().status(), status);
    }
    assert!(bench.requests.is_empty());
    bench.reject(leg, 486);
    bench.is_clean();
}

/// An INFO of the peer in the dialog of our last INVITE.
fn info(bench: &Bench, cseq: u32, more: &str, body: &str) -> String {
    let invite = bench.last(Method::Invite);
    let bare = format!(
        "INFO sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKinfo{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: {};tag=them\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} INFO\r\n\r\n",
        text(invite.header(HeaderName::To)),
        text(invite.header(HeaderName::From)),
        text(Some(invite.call_id())),
    );
    with_lines(&bare, more, body)
}

/// A request with further header lines and another body.
fn with_lines(request: &str, more: &str, body: &str) -> String {
    let head = request.split_once("\r\n\r\n").expect("a head").0.replace("Content-Length: 0", "X: y");
    format!("{head}\r\n{more}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A re-INVITE of ours that asks for an offer: its ACK waits for our answer; copies of the 200 until then are passed
/// over, later ones get the same ACK.
#[test]
fn an_offer_asked_for_is_answered_in_the_ack() {
    let mut bench = Bench::new();
    let leg = bench.standing();
    bench.ua.reinvite(bench.now, leg, &[], &mut bench.out).expect("the leg is up");
    bench.note();
    assert!(bench.last(Method::Invite).body().is_empty());
    let acks = bench.count("ACK");
    for _ in 0..3 {
        bench.respond(Method::Invite, 200, "", "Contact: <sip:b@192.0.2.9:5060>\r\n", ANSWER);
    }
    assert_eq!(bench.count("ACK"), acks, "{}", bench.ladder);
    assert_eq!(bench.ladder.matches("reoffer answered sdp").count(), 1);
    // Nobody else may offer meanwhile.
    assert_eq!(bench.ua.reinvite(bench.now, leg, OFFER.as_bytes(), &mut bench.out), Err(LegError::Pending));
    bench.request_back("INVITE", "them", 5, "Contact: <sip:b@192.0.2.9:5060>\r\n", OFFER);
    assert_eq!(bench.last_response().status(), 491);
    bench.ua.answer_late(bench.now, leg, OFFER.as_bytes(), &mut bench.out);
    bench.note();
    let ack = bench.last(Method::Ack);
    assert_eq!((ack.body(), ack.cseq().0), (OFFER.as_bytes(), bench.last(Method::Invite).cseq().0));
    bench.respond(Method::Invite, 200, "", "Contact: <sip:b@192.0.2.9:5060>\r\n", ANSWER);
    assert_eq!(bench.count("ACK"), acks + 2);
    assert_eq!(bench.last(Method::Ack).body(), OFFER.as_bytes());
    bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
    bench.is_clean();
}

/// Who hangs up before the answer is there owes the ACK all the same.
#[test]
fn the_ack_is_owed_when_the_call_ends_first() {
    for by_peer in [false, true] {
        let mut bench = Bench::new();
        let leg = bench.standing();
        bench.ua.reinvite(bench.now, leg, &[], &mut bench.out).expect("the leg is up");
        bench.note();
        bench.respond(Method::Invite, 200, "", "Contact: <sip:b@192.0.2.9:5060>\r\n", ANSWER);
        let acks = bench.count("ACK");
        if by_peer {
            bench.request_back("BYE", "them", 9, "", "");
        } else {
            bench.hangup(leg).respond(Method::Bye, 200, "", "", "");
        }
        assert_eq!(bench.count("ACK"), acks + 1, "{}", bench.ladder);
        assert_eq!(bench.ended.len(), 1);
        bench.is_clean();
    }
}

/// RFC 3329 §2.3.1: who asks for an agreement on security is told what there is, where there is something.
#[test]
fn security_agreement() {
    let mut plain = Bench::new();
    plain.receive(&message("OPTIONS", "Require: sec-agree\r\nSecurity-Client: tls\r\n"));
    let answer = plain.last_response();
    assert_eq!((answer.status(), text(answer.header(HeaderName::Unsupported)).as_str()), (420, "sec-agree"));
    let mut bench = Bench::with(|config| {
        let (address, advertised) = (address("192.0.2.1:5061"), "192.0.2.1:5061".into());
        config.listeners.push(Listener { transport: crate::wire::Transport::Tls, address, advertised });
    });
    bench.receive(&message("OPTIONS", "Require: sec-agree\r\nSecurity-Client: tls\r\n"));
    let answer = bench.last_response();
    assert_eq!(answer.status(), 494);
    assert_eq!(text(answer.header_by_text("Security-Server")), "tls;q=0.1");
    bench.listener = 1;
    bench.ua.flow_opened(1, bench.peer, Vec::new());
    bench.receive(&message("OPTIONS", "Require: sec-agree\r\nSecurity-Verify: tls;q=0.1\r\n"));
    assert_eq!(bench.last_response().status(), 200, "{}", bench.ladder);
}
