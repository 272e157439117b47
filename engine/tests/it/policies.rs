//! What a trunk is told of a call that comes from another: who calls, and which headers go on.

use crate::transit::{FROM, TO};
use crate::world::{Callee, World};
use dialer_core::config::{IdentityHeader, TrunkConfig};
use engine::{Route, ShardCommand, TransitMedia};
use sip_proxy::ua;

/// The INVITE that goes out for one that comes in with these headers.
fn carried(
    from: impl FnOnce(&mut TrunkConfig),
    to: impl FnOnce(&mut TrunkConfig),
    headers: &[(&'static str, &str)],
) -> String {
    let mut w = World::new(5);
    w.carrier("caller", FROM, from);
    w.carrier("callee", TO, to);
    let media = TransitMedia::Bypass;
    w.command(ShardCommand::SetRoutes(vec![Route {
        from_trunk: None,
        prefix: String::new(),
        to_trunks: vec![TO],
        media,
        record: false,
    }]));
    w.peers[1].default = Callee::answers(20);
    w.extra = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    w.call_in(0, "100", "0200");
    w.run_for(200);
    w.peer_hangup(0);
    w.run_for(1000);
    w.assert_at_rest();
    w.peers[1].invites[0].clone()
}

fn lines<'i>(invite: &'i str, name: &str) -> Vec<&'i str> {
    let mine = |line: &&str| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let value = |line: &'i str| line[name.len()..].strip_prefix(':').map(str::trim);
    invite.lines().filter(mine).filter_map(value).collect()
}

const PAI: (&str, &str) = ("P-Asserted-Identity", "\"Alice\" <sip:+12155550100@10.0.0.1>");

#[test]
fn who_calls_is_passed_within_the_trust_domain() {
    let invite = carried(|_| {}, |_| {}, &[PAI, ("Privacy", "id")]);
    assert_eq!(lines(&invite, "P-Asserted-Identity"), ["\"Alice\" <sip:+12155550100@192.0.2.1:5060>"]);
    assert_eq!(lines(&invite, "Privacy"), ["id"]);
    assert!(lines(&invite, "From")[0].starts_with("<sip:100@192.0.2.1:5060>"), "{invite}");
    // Whom the caller prefers counts when the trunk asserts nobody.
    let invite = carried(|_| {}, |_| {}, &[("P-Preferred-Identity", "<tel:+12155550101>")]);
    assert_eq!(lines(&invite, "P-Asserted-Identity"), ["<sip:+12155550101@192.0.2.1:5060>"]);
    assert!(lines(&invite, "P-Preferred-Identity").is_empty());
}

/// RFC 3325 §9.1: a SIP URI and a telephone number may be asserted together, in whatever order and on one line or two.
#[test]
fn a_telephone_number_beside_a_sip_uri_is_passed_too() {
    let (sip, tel) = ("\"Al \\\"X\\\" Ice\" <sip:alice@10.0.0.1>", "<tel:+12155550100>");
    let one_line = format!("{sip}, {tel}");
    let other_way = format!("{tel}, {sip}");
    let name = "P-Asserted-Identity";
    let told = "\"Al \\\"X\\\" Ice\" <sip:alice@192.0.2.1:5060>, <tel:+12155550100>";
    for headers in [vec![(name, one_line.as_str())], vec![(name, sip), (name, tel)], vec![(name, &other_way)]]
    {
        let invite = carried(|_| {}, |_| {}, &headers);
        assert_eq!(lines(&invite, name), [told], "{headers:?}");
    }
    // More than two, or what is no address, do not take the others away.
    for more in ["<mailto:x@y>, <sip:alice@10.0.0.1>", "<sip:alice@10.0.0.1>, <tel:1>, <tel:2>"] {
        let invite = carried(|_| {}, |_| {}, &[(name, more)]);
        assert!(lines(&invite, name)[0].contains("sip:"), "{invite}");
    }
}

#[test]
fn no_identity_crosses_the_border_of_the_trust_domain() {
    let outside = |config: &mut TrunkConfig| config.trusted = false;
    // What an untrusted trunk asserts counts for nothing.
    let invite = carried(outside, |_| {}, &[PAI, ("P-Preferred-Identity", "<sip:1@h>")]);
    assert!(lines(&invite, "P-Asserted-Identity").is_empty(), "{invite}");
    // An untrusted one is not told, unless the caller says so.
    for (privacy, told) in
        [(None, false), (Some("none"), true), (Some("id"), false), (Some("user;id"), false)]
    {
        let headers: Vec<_> =
            [Some(PAI), privacy.map(|value| ("Privacy", value))].into_iter().flatten().collect();
        let invite = carried(|_| {}, outside, &headers);
        assert_eq!(lines(&invite, "P-Asserted-Identity").len(), usize::from(told), "{privacy:?} {invite}");
        let anonymous =
            lines(&invite, "From")[0].starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>");
        assert_eq!(anonymous, privacy.is_some_and(|wish| wish != "none"), "{privacy:?} {invite}");
        assert_eq!(!lines(&invite, "Privacy").is_empty(), privacy == Some("none"), "{privacy:?}");
        if anonymous {
            assert!(!invite.contains("12155550100") && !invite.contains("sip:100@"), "{invite}");
        }
    }
}

/// RFC 3323 §5: where what the caller calls critical cannot be given there is no call.
#[test]
fn rather_no_call_than_one_that_tells_too_much() {
    let loses = |config: &mut TrunkConfig| config.headers_remove = vec!["Privacy".into()];
    let outside = |config: &mut TrunkConfig| config.trusted = false;
    let trusts = |_: &mut TrunkConfig| {};
    let changes: [&dyn Fn(&mut TrunkConfig); 3] = [&trusts, &outside, &loses];
    let [trusts, outside, loses] = changes;
    for (wish, media, to, carried) in [
        ("id;critical", TransitMedia::Bypass, trusts, true),
        ("id;critical", TransitMedia::Bypass, outside, true),
        ("id;critical", TransitMedia::Bypass, loses, false),
        ("id", TransitMedia::Bypass, loses, true),
        ("none;critical", TransitMedia::Bypass, loses, true),
        ("session;critical", TransitMedia::Relay, outside, true),
        ("session;critical", TransitMedia::Bypass, outside, false),
        ("session", TransitMedia::Bypass, outside, true),
        ("frob;critical", TransitMedia::Relay, outside, false),
        ("frob", TransitMedia::Relay, outside, true),
    ] {
        let mut w = World::new(5);
        w.carrier("caller", FROM, |_| {});
        w.carrier("callee", TO, to);
        let route =
            Route { from_trunk: None, prefix: String::new(), to_trunks: vec![TO], media, record: false };
        w.command(ShardCommand::SetRoutes(vec![route]));
        w.peers[1].default = Callee::answers(20);
        w.extra = vec![("Privacy", wish.to_owned())];
        w.call_in(0, "100", "0200");
        w.run_for(200);
        assert_eq!(w.peers[1].invites.len(), usize::from(carried), "{wish} {media:?}\n{}", w.ladder);
        let refused = w.ladder.contains("us -> caller: 500");
        assert_eq!(refused, !carried, "{wish} {media:?}\n{}", w.ladder);
        if carried {
            w.peer_hangup(0);
        }
        w.run_for(1000);
        w.assert_at_rest();
    }
}

#[test]
fn the_header_that_names_callers_is_a_trunk_s_choice() {
    for (identity, asserted, preferred) in
        [(IdentityHeader::Asserted, 1, 0), (IdentityHeader::Preferred, 0, 1), (IdentityHeader::None, 0, 0)]
    {
        let invite = carried(|_| {}, |config| config.identity = identity, &[PAI]);
        assert_eq!(lines(&invite, "P-Asserted-Identity").len(), asserted, "{identity:?}");
        assert_eq!(lines(&invite, "P-Preferred-Identity").len(), preferred, "{identity:?}");
    }
}

const SENT: [(&str, &str); 7] = [
    ("Diversion", "<sip:+12155550111@10.0.0.1>;reason=unconditional;privacy=off"),
    ("Diversion", "<sip:+12155550112@10.0.0.1>;reason=user-busy;privacy=\"full\""),
    ("History-Info", "<sip:0200@10.0.0.1>;index=1"),
    ("User-to-User", "56a390f3d2b7310023a2;encoding=hex"),
    ("X-Account", "from the caller"),
    ("X-Secret", "s"),
    ("X-Other", "o"),
];

#[test]
fn headers_go_on_by_policy() {
    let invite = carried(|_| {}, |_| {}, &SENT);
    for (name, _) in SENT {
        assert!(lines(&invite, name).is_empty(), "{name} in {invite}");
    }
    let pass = |config: &mut TrunkConfig| {
        config.headers_pass = vec!["diversion".into(), "History-Info".into(), "X-*".into()];
        config.headers_remove = vec!["X-Secret".into()];
        config.headers_add = vec!["X-Account: 4711".into()];
    };
    let invite = carried(|config| config.headers_remove = vec!["x-oth*".into()], pass, &SENT);
    assert_eq!(lines(&invite, "Diversion"), [SENT[0].1, SENT[1].1]);
    assert_eq!(lines(&invite, "History-Info"), [SENT[2].1]);
    assert_eq!(lines(&invite, "X-Account"), ["from the caller", "4711"]);
    for gone in ["User-to-User", "X-Secret", "X-Other"] {
        assert!(lines(&invite, gone).is_empty(), "{gone} in {invite}");
    }
    // Everything is not what makes the call.
    let invite = carried(|_| {}, |config| config.headers_pass = vec!["*".into()], &SENT);
    for one in ["Via", "Call-ID", "Max-Forwards", "User-Agent", "Contact", "Supported", "X-Other"] {
        assert_eq!(lines(&invite, one).len(), 1, "{one} in {invite}");
    }
}

#[test]
fn outside_of_the_trust_domain_secrets_do_not_go_on() {
    let outside = |config: &mut TrunkConfig| {
        config.trusted = false;
        config.headers_pass = vec!["*".into()];
    };
    let invite = carried(|_| {}, outside, &SENT);
    assert_eq!(lines(&invite, "Diversion"), [SENT[0].1]);
    assert_eq!(lines(&invite, "History-Info").len(), 1);
    let mut sent = SENT.to_vec();
    sent.push(("Privacy", "history;id"));
    sent.push(("Remote-Party-ID", "<sip:+12155550100@10.0.0.1>"));
    let invite = carried(|_| {}, outside, &sent);
    for gone in ["Diversion", "History-Info", "Remote-Party-ID"] {
        assert!(lines(&invite, gone).is_empty(), "{gone} in {invite}");
    }
}

/// MESSAGE and what nobody knows goes where a call would go, and its answer comes back; else 405 or 501.
#[test]
fn requests_that_make_no_call_pass_through() {
    let mut w = crate::transit::world(TransitMedia::Relay, Callee::answers(50));
    for (number, method, passed) in
        [("0200", "MESSAGE", true), ("0200", "FROB", true), ("9", "MESSAGE", false), ("9", "FROB", false)]
    {
        w.ladder.clear();
        w.peer_sends_raw(
            0,
            &format!(
                "{method} sip:{number}@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK{method}{number}\r\n\
                 Max-Forwards: 5\r\nFrom: <sip:100@192.0.2.10>;tag=a\r\nTo: <sip:{number}@192.0.2.1>\r\n\
                 Call-ID: {method}{number}\r\nCSeq: 1 {method}\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
            ),
        );
        w.run_for(300);
        // The callee's phone takes neither, and says so itself.
        let status = if method == "FROB" { 501 } else { 405 };
        assert_eq!(w.ladder.contains(&format!("us -> callee: {method}")), passed, "{}", w.ladder);
        assert_eq!(w.ladder.contains(&format!("us <- callee: {status}")), passed, "{}", w.ladder);
        assert_eq!(w.ladder.matches(&format!("us -> caller: {status}")).count(), 1, "{}", w.ladder);
    }
    w.run_for(40_000);
    w.assert_at_rest();
}

/// The description among parts of a body is what a call goes on with, whichever way its sound goes (RFC 5621); what else there is
/// goes on beside it within the trust domain.
#[test]
fn a_description_beside_something_else_is_carried_on() {
    let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";
    let body = format!(
        "--b\r\nContent-Type: application/isup;version=itu-t92+\r\nContent-Disposition: signal;handling=optional\r\n\
         \r\nx\r\n--b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--b--\r\n"
    );
    for (media, trusted) in
        [(TransitMedia::Relay, true), (TransitMedia::Bypass, true), (TransitMedia::Bypass, false)]
    {
        let mut w = World::new(11);
        w.carrier("caller", FROM, |_| {});
        w.carrier("callee", TO, |config| config.trusted = trusted);
        w.peers[1].default = Callee::answers(50);
        let route = Route { from_trunk: None, prefix: "0".into(), to_trunks: vec![TO], media, record: false };
        w.command(ShardCommand::SetRoutes(vec![route]));
        w.peer_sends_raw(
            0,
            &format!(
                "INVITE sip:0200@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKparts\r\n\
                 Max-Forwards: 5\r\nFrom: <sip:100@192.0.2.10>;tag=a\r\nTo: <sip:0200@192.0.2.1>\r\n\
                 Call-ID: parts\r\nCSeq: 1 INVITE\r\nContact: <sip:100@192.0.2.10:5060>\r\n\
                 Content-Type: multipart/mixed;boundary=b\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        );
        w.run_for(500);
        let invite = &w.peers[1].invites[0];
        assert!(invite.contains("Content-Type: application/sdp\r\n"), "{invite}");
        let isup = "\r\nContent-Type: application/isup;version=itu-t92+\r\n\
                    Content-Disposition: signal;handling=optional\r\n\r\nx\r\n--";
        assert_eq!(invite.contains(isup), trusted, "{invite}");
        assert_eq!(invite.contains("isup"), trusted, "{invite}");
        let parts = invite.contains("Content-Type: multipart/mixed;boundary=");
        assert_eq!(parts, trusted, "{invite}");
        assert_eq!(invite.contains(sdp), media == TransitMedia::Bypass, "{invite}");
        assert!(w.ladder.contains("us -> caller: 200"), "{}", w.ladder);
        // Nobody acknowledges.
        w.run_for(70_000);
        w.assert_at_rest();
    }
}

/// A re-INVITE without an offer, where the sound goes past us: the other side's offer and this side's answer go through.
#[test]
fn an_offer_is_asked_for_through_us() {
    let mut w = crate::transit::world(TransitMedia::Bypass, Callee::answers(50));
    w.call_in(0, "100", "0200");
    w.run_for(1000);
    for asks in [0, 1] {
        w.ladder.clear();
        w.peer_asks_for_offer(asks);
        w.run_for(500);
        let (one, other) = if asks == 0 { ("caller", "callee") } else { ("callee", "caller") };
        for line in [
            format!("us <- {one}: INVITE"),
            format!("us -> {other}: INVITE"),
            format!("us <- {other}: 200"),
            format!("us -> {one}: 200"),
            format!("us <- {one}: ACK"),
            format!("us -> {other}: ACK"),
        ] {
            assert_eq!(w.ladder.matches(&line).count(), 1, "{line} in\n{}", w.ladder);
        }
    }
    w.peer_hangup(0);
    w.run_for(1000);
    w.assert_at_rest();
}

/// What each side says beside what the call is made of goes on in every message, as far as the other side's trunk lets it
/// pass: header lines by name, further parts within the trust domain.
#[test]
fn headers_and_parts_go_on_in_every_message() {
    let says = |who: &str| ua::Carried {
        lines: format!("X-Said: {who}\r\nUser-to-User: {who}\r\nX-Secret: {who}\r\n").into(),
        parts: vec![format!("Content-Type: application/isup\r\n\r\n{who} in ISUP").into()],
    };
    for trusted in [true, false] {
        let mut w = World::new(5);
        w.carrier("caller", FROM, |config| {
            (config.headers_pass, config.headers_remove) = (vec!["X-*".into()], vec!["X-Secret".into()]);
            config.trusted = trusted;
        });
        w.carrier("callee", TO, |config| config.headers_pass = vec!["User-to-User".into()]);
        let (from_trunk, media) = (None, TransitMedia::Bypass);
        let route = Route { from_trunk, prefix: String::new(), to_trunks: vec![TO], media, record: false };
        w.command(ShardCommand::SetRoutes(vec![route]));
        (w.peers[0].says, w.peers[1].says) = (says("caller"), says("callee"));
        w.peers[1].default = Callee::answers(20);
        w.call_in(0, "100", "0200");
        w.run_for(200);
        w.peer_reinvite(0, "sendonly");
        w.run_for(200);
        w.peer_hangup(0);
        w.run_for(1_000);
        let call = w.transit_records()[0].call;
        let sent: Vec<String> = w
            .shard
            .trace(call)
            .iter()
            .filter(|message| message.sent)
            .map(|message| String::from_utf8_lossy(&message.bytes).into_owned())
            .collect();
        let find = |start: &str| -> &String {
            sent.iter().find(|text| text.starts_with(start)).unwrap_or_else(|| panic!("{start} in {sent:#?}"))
        };
        for start in ["SIP/2.0 180", "SIP/2.0 200"] {
            let told = find(start);
            assert_eq!(lines(told, "X-Said"), ["callee"], "{told}");
            assert!(!told.contains("User-to-User") && !told.contains("X-Secret"), "{told}");
            assert_eq!(told.contains("callee in ISUP"), trusted, "{told}");
        }
        let bye = find("BYE ");
        assert_eq!(lines(bye, "User-to-User"), ["caller"], "{bye}");
        assert!(!bye.contains("X-S") && bye.contains("caller in ISUP"), "{bye}");
        assert_eq!(sent.iter().filter(|text| text.starts_with("INVITE ")).count(), 2);
        w.assert_at_rest();
    }
}

/// A refusal goes on with what its caller can use: what would have been taken instead, when to try again, and why it was
/// refused, in our name. Not what is said of the whole of a house (503), nor what belongs to another status.
#[test]
fn a_refusal_says_what_the_callee_s_says() {
    let says = "Allow: BYE\r\nAccept: text/plain\r\nUnsupported: foo\r\nMin-SE: 1800\r\n\
        Retry-After: 18 (in a meeting);duration=60\r\nContact: <sip:behind@192.0.2.99>\r\n\
        Warning: 305 behind.example:5060 \"No, \\\"that\\\" is not spoken\", 399 x\r\nWarning: 370 b \"Slow\"\r\n";
    let names = ["Allow", "Accept", "Unsupported", "Min-SE", "Retry-After"];
    for (code, told) in [
        (405, vec![("Allow", "BYE")]),
        (415, vec![("Accept", "text/plain")]),
        (420, vec![("Unsupported", "foo")]),
        (422, vec![("Min-SE", "1800")]),
        (486, vec![("Retry-After", "18")]),
        (488, vec![]),
        (503, vec![]),
    ] {
        let mut w = World::new(5);
        w.carrier("caller", FROM, |_| {});
        w.carrier("callee", TO, |_| {});
        let (from_trunk, media) = (None, TransitMedia::Bypass);
        let route = Route { from_trunk, prefix: String::new(), to_trunks: vec![TO], media, record: false };
        w.command(ShardCommand::SetRoutes(vec![route]));
        w.peers[1].says = ua::Carried { lines: says.into(), parts: Vec::new() };
        w.peers[1].default = Callee { ring_ms: None, ..Callee::refuses(20, code) };
        w.call_in(0, "100", "0200");
        w.run_for(1_000);
        let call = w.transit_records()[0].call;
        let sent = w.shard.trace(call).into_iter().filter(|message| message.sent);
        let mut sent = sent.map(|message| String::from_utf8_lossy(&message.bytes).into_owned());
        let refusal = sent.find(|text| text.starts_with(&format!("SIP/2.0 {code}"))).expect("a refusal");
        let found: Vec<(&str, &str)> = names
            .iter()
            .flat_map(|name| lines(&refusal, name).into_iter().map(|value| (*name, value)))
            .collect();
        assert_eq!(found, told, "{refusal}");
        let warned = ["305 dialerd \"No, \\\"that\\\" is not spoken\"", "370 dialerd \"Slow\""];
        assert_eq!(lines(&refusal, "Warning"), warned, "{refusal}");
        assert!(!refusal.contains("behind"), "{refusal}");
        w.assert_at_rest();
    }
}
