//! Digest headers: whatever is read is within the bytes; a phone that answers a challenge with them is not let in, nobody
//! who challenges with them makes us send again and again, and nothing of it is left.

#![no_main]

use core::time::Duration;
use std::net::SocketAddr;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sansio::{Instant, Outbox, Rng};
use sip_proxy::UserAgent;
use sip_proxy::ua::{Account, Audit, Config, Event, Invite, Listener, Login, Output, Trunk};
use sip_proxy::wire::{Challenge, Credentials, HeaderName, Limits, Message, Method, parse};

fuzz_target!(|data: &[u8]| {
    if let Ok(challenge) = Challenge::parse(data) {
        let _ = (challenge.is_digest(), challenge.offers_qop("auth"), challenge.offers_qop("auth-int"));
    }
    if let Ok(credentials) = Credentials::parse(data) {
        let _ = credentials.is_digest();
        assert!(credentials.username.len() + credentials.response.len() <= data.len());
    }
    let mut user_agent = UserAgent::new(config(), Rng::from_seed(1));
    user_agent.set_account(Account { key: 11, login: login("1001") });
    user_agent.set_trunk(Instant::ZERO, trunk(), &mut Outbox::default());
    answered(&mut user_agent, data);
    challenged(&mut user_agent, data);
    let mut out = Outbox::default();
    let mut now = Instant::ZERO;
    while let Some(next) = user_agent.poll_timeout().filter(|next| *next <= Instant::ZERO + LONG) {
        now = now.max(next);
        user_agent.handle_timeout(now, &mut out);
        out.drain();
    }
    let audit = Audit { slowed_sources: 0, nonces: 0, ..user_agent.audit() };
    assert_eq!(audit, Audit::default(), "nothing is left");
});

/// All timers are over.
const LONG: Duration = Duration::from_secs(4_000);

/// A phone registers with the bytes as its credentials.
fn answered(user_agent: &mut UserAgent, data: &[u8]) {
    let mut request =
        b"REGISTER sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKr\r\n\
        From: <sip:1001@192.0.2.1>;tag=t\r\nTo: <sip:1001@192.0.2.1>\r\nCall-ID: r\r\nCSeq: 1 REGISTER\r\n\
        Contact: <sip:1001@192.0.2.9>\r\nMax-Forwards: 70\r\nAuthorization: "
            .to_vec();
    request.extend_from_slice(data);
    request.extend_from_slice(b"\r\n\r\n");
    let mut out = Outbox::default();
    user_agent.handle_datagram(Instant::ZERO, 0, peer(), Bytes::from(request), &mut out);
    for output in out.drain() {
        assert!(!matches!(output, Output::Event(Event::Registered { .. })), "the password is not known");
    }
}

/// Whom we call asks for a password with the bytes, as often as we try.
fn challenged(user_agent: &mut UserAgent, data: &[u8]) {
    let mut out = Outbox::default();
    let invite = Invite {
        owner: 1,
        listener: 0,
        destination: peer(),
        trunk: Some(1),
        symmetric: false,
        replaceable: false,
        request_uri: "sip:x@h",
        from_uri: "sip:a@h",
        from_display: "",
        to_uri: "sip:x@h",
        p_asserted_identity: None,
        route: None,
        headers: &[],
        max_forwards: 70,
        sdp: Bytes::from_static(b"v=0\r\n"),
    };
    let leg = user_agent.invite(Instant::ZERO, &invite, &mut out).expect("there is room");
    let (mut invites, mut ended) = (0, 0);
    loop {
        let mut challenge = None;
        for output in out.drain() {
            match output {
                Output::Send { bytes, .. } => {
                    let message = parse(bytes, &Limits::default()).expect("what we send can be read");
                    if message.method() == Method::Invite {
                        invites += 1;
                        challenge = Some(response(&message, data));
                    }
                }
                Output::Event(Event::Ended(end)) => {
                    assert_eq!(end.leg, leg);
                    ended += 1;
                }
                _ => {}
            }
        }
        assert!(invites <= 4, "a password that is refused is not given for ever");
        let Some(challenge) = challenge else { break };
        user_agent.handle_datagram(Instant::ZERO, 0, peer(), Bytes::from(challenge), &mut out);
    }
    // (A response that cannot be read is none: then the call waits.)
    if ended == 0 {
        user_agent.hangup(Instant::ZERO, leg, Default::default(), &mut out);
    }
    assert!(ended <= 1, "a leg ends once");
}

fn response(invite: &Message, data: &[u8]) -> Vec<u8> {
    let mut text = b"SIP/2.0 401 Unauthorized\r\n".to_vec();
    for name in [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq] {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(invite.header(name).expect("an INVITE of ours has it"));
        if name == HeaderName::To {
            text.extend_from_slice(b";tag=them");
        }
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"WWW-Authenticate: ");
    text.extend_from_slice(data);
    text.extend_from_slice(b"\r\n\r\n");
    text
}

fn config() -> Config {
    let address = SocketAddr::from(([192, 0, 2, 1], 5060));
    Config { listeners: vec![Listener::udp(address, address.to_string())], ..Config::default() }
}

fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 5060))
}

fn login(username: &str) -> Login {
    Login { username: username.into(), password: "secret".into() }
}

fn trunk() -> Trunk {
    Trunk {
        key: 1,
        listener: 0,
        address: peer(),
        wanted: None,
        domain: String::new(),
        sources: vec![(peer().ip(), None)],
        networks: Vec::new(),
        certificate_names: Vec::new(),
        login: Some(login("us")),
        register: None,
        options_interval: None,
        cps_max: 100.0,
        overload_control: false,
        pace: sansio::SharedPace::new(1e5),
    }
}
