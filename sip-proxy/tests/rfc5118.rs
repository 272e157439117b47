//! IPv6 in SIP: the cases of RFC 5118 as messages of our own, what the parser makes of them and what is answered.
//!
//! `data/rfc5118/ORIGIN` says where they come from.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use sansio::{Instant, Outbox, Rng};
use sip_proxy::UserAgent;
use sip_proxy::ua::{Config, Listener, Output};
use sip_proxy::wire::{Limits, Message, Uri, host_ip, parse, sdp};

macro_rules! messages {
    ($($name:ident $section:literal $status:expr;)*) => {
        /// Name, section, message, and the status that a user agent which does not know the sender answers with.
        const MESSAGES: &[(&str, &str, &str, u16)] = &[$((
            stringify!($name),
            $section,
            include_str!(concat!("data/rfc5118/", stringify!($name), ".txt")),
            $status,
        ),)*];
    };
}

messages! {
    reference "4.1" 401;
    bare_request_uri "4.2" 400;
    port_ambiguous "4.3" 401;
    port_delimited "4.4" 401;
    received_bare "4.5" 200;
    received_in_brackets "4.5" 200;
    sdp_v6 "4.6" 401;
    address_twice "4.7" 200;
    two_families "4.8" 401;
    v4_mapped "4.9" 401;
    three_colons "4.10" 200;
    two_colons "4.10" 200;
    // No message of the RFC: §4.2 at another place.
    via_bare_host "4.2" 400;
}

fn bytes(name: &str) -> Bytes {
    let (.., text, _) = MESSAGES.iter().find(|(found, ..)| *found == name).expect("a message of the table");
    Bytes::from(text.replace("\r\n", "\n").replace('\n', "\r\n"))
}

fn message(name: &str) -> Message {
    parse(bytes(name), &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().expect("an address"))
}

#[test]
fn each_gets_its_answer_at_a_v6_listener() {
    let listener: SocketAddr = "[2001:db8::1]:5060".parse().expect("an address");
    let source: SocketAddr = "[2001:db8::9:1]:5060".parse().expect("an address");
    for (name, section, _, status) in MESSAGES {
        let listeners = vec![Listener::udp(listener, listener.to_string())];
        // Addresses of record are names there, the registrar is an address.
        let domains = ["example.com", "[2001:db8::10]", "[2001:db8::10:5070]"].map(String::from).to_vec();
        let config = Config { listeners, domains, ..Config::default() };
        let mut ua = UserAgent::new(config, Rng::from_seed(5118));
        let mut out = Outbox::default();
        ua.handle_datagram(Instant::ZERO, 0, source, bytes(name), &mut out);
        let answers: Vec<(SocketAddr, String)> = out
            .drain()
            .filter_map(|output| match output {
                Output::Send { to, bytes, .. } => Some((to, String::from_utf8_lossy(&bytes).into_owned())),
                _ => None,
            })
            .collect();
        assert_eq!(answers.len(), 1, "{name} (§{section}): {answers:?}");
        let (to, text) = &answers[0];
        assert_eq!(to.ip(), source.ip(), "{name}");
        assert!(text.starts_with(&format!("SIP/2.0 {status} ")), "{name} (§{section}): {text}");
        assert_eq!(ua.audit().legs, 0, "{name}");
    }
}

#[test]
fn addresses_in_uris_and_vias() {
    for (name, host, port) in [
        ("reference", "2001:db8::10", None),
        // The digits belong to the address.
        ("port_ambiguous", "2001:db8::10:5070", None),
        ("port_delimited", "2001:db8::10", Some(5070)),
        // One colon too many is overlooked.
        ("two_colons", "2001:db8::192.0.2.1", None),
        ("three_colons", "2001:db8::192.0.2.1", None),
    ] {
        let message = message(name);
        let uri = Uri::parse(message.request_uri()).expect("a URI");
        assert_eq!((host_ip(uri.host), uri.port), (ip(host), port), "{name}");
    }
    for name in ["received_bare", "received_in_brackets"] {
        let message = message(name);
        let via = message.top_via();
        assert_eq!(host_ip(via.host), ip("2001:db8::9:1"), "{name}");
        assert_eq!(via.received.and_then(host_ip), ip("2001:db8::9:255"), "{name}");
    }
    for name in ["two_colons", "three_colons"] {
        let message = message(name);
        let via = message.vias().nth(1).expect("a second Via").expect("a sound one");
        assert_eq!((host_ip(via.host), via.port), (ip("2001:db8::192.0.2.1"), Some(5070)), "{name}");
        let contact = message.contact().expect("a Contact").uri().expect("a URI");
        assert_eq!((host_ip(contact.host), contact.port), (ip("2001:db8::192.0.2.1"), Some(5070)), "{name}");
    }
    // Only there: before an IPv4 address within brackets.
    for host in ["2001:db8:::192.0.2.1", "[2001:db8:::1]", "[2001::db8:::192.0.2.1]", "[:::192.0.2]"] {
        assert_eq!(host_ip(host.as_bytes()), None, "{host}");
    }
    let message = message("address_twice");
    assert_eq!(
        message
            .vias()
            .filter(|via| via.as_ref().is_ok_and(|via| via.host_is(ip("2001:db8::9:1").unwrap())))
            .count(),
        2
    );
}

#[test]
fn addresses_in_descriptions() {
    for (name, address) in [("sdp_v6", "2001:db8::20"), ("v4_mapped", "::ffff:192.0.2.10")] {
        let message = message(name);
        let session = sdp::parse(message.body()).expect("SDP");
        let audio = session.audio().expect("audio");
        assert_eq!(audio.connection.and_then(|connection| connection.address), ip(address), "{name}");
    }
    // A media line of its own family beats the session's.
    let message = message("two_families");
    let session = sdp::parse(message.body()).expect("SDP");
    let found: Vec<_> =
        session.medias().map(|media| media.connection.and_then(|connection| connection.address)).collect();
    assert_eq!(found, [ip("2001:db8::1"), ip("192.0.2.1")]);
}
