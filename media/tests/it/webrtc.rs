//! A browser's stream: checks, the handshake's packets, keys, and a move to another network.

use crate::world::*;
use bytes::{Bytes, BytesMut};
use hmac_sha1::{Hmac, KeyInit, Mac};
use media::srtp::{Inbound, KeySource, Outbound, Secret, SrtpKeys, Suite};
use media::{Codec, Dtls, DtlsOrder, Event, FailedReason, IceCredentials, Remote, Security, StreamKey};
use sha1::Sha1;
use std::net::SocketAddr;

const HOME: &str = "198.51.100.7:50000";
const ELSEWHERE: &str = "203.0.113.9:61000";

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The checksum of a fingerprint, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

struct Browser {
    world: World,
    customer: Phone,
    voice: Phone,
    a: StreamKey,
    b: StreamKey,
    dtls: Dtls,
    keys: SrtpKeys,
    outbound: Outbound,
    inbound: Inbound,
}

impl Browser {
    fn new() -> Self {
        let mut source = KeySource::new(&Secret([3; 32]));
        let dtls = Dtls {
            ice: IceCredentials::draw(&mut source),
            ours: [8; 32],
            fingerprint: [9; 32],
            active: false,
        };
        let suite = Suite::AeadAes256Gcm;
        let keys = SrtpKeys { inbound: source.master_key(suite), outbound: source.master_key(suite) };
        let mut world = World::new();
        let customer = Phone::new("192.0.2.1:30000", Codec::Pcmu);
        // What its description says is no address: the way is found by checks.
        let voice = Phone::new("0.0.0.0:9", Codec::Pcmu);
        let (a, b) = (world.open_to(1, &customer), world.open(2));
        world.set_remote(b, Remote { rtcp_mux: true, security: Security::Dtls(dtls), ..voice.remote() });
        world.connect(a, b);
        let (outbound, inbound) = (Outbound::new(keys.inbound), Inbound::new(keys.outbound));
        Browser { world, customer, voice, a, b, dtls, keys, outbound, inbound }
    }

    /// A connectivity check as a browser makes it.
    fn check(&mut self, from: &str, password: &str, nominates: bool) {
        let username = format!("{}:theirs", self.dtls.ice.fragment());
        let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
        message.extend([7; 12]);
        let attribute = |message: &mut Vec<u8>, kind: u16, value: &[u8]| {
            message.extend(kind.to_be_bytes());
            message.extend((value.len() as u16).to_be_bytes());
            message.extend(value);
            message.resize(message.len().next_multiple_of(4), 0);
        };
        attribute(&mut message, 6, username.as_bytes());
        if nominates {
            attribute(&mut message, 0x25, &[]);
        }
        let length = (message.len() - 20 + 24) as u16;
        message[2..4].copy_from_slice(&length.to_be_bytes());
        let mac =
            Hmac::<Sha1>::new_from_slice(password.as_bytes()).unwrap().chain_update(&message).finalize();
        attribute(&mut message, 8, &mac.into_bytes());
        let length = (message.len() - 20 + 8) as u16;
        message[2..4].copy_from_slice(&length.to_be_bytes());
        let print = crc32(&message) ^ 0x5354_554E;
        attribute(&mut message, 0x8028, &print.to_be_bytes());
        self.world.packet(self.b, at(from), &message);
    }

    fn good_check(&mut self, from: &str) {
        self.check(from, self.dtls.ice.password().to_owned().as_str(), true);
    }

    fn say(&mut self, from: &str) -> usize {
        let mut packet = BytesMut::from(&self.voice.say_level(1000)[..]);
        self.outbound.protect(&mut packet, 0).unwrap();
        self.world.packet(self.b, at(from), &packet);
        self.world.take_arrived(self.a).len()
    }

    /// The customer speaks; where the browser is sent it.
    fn spoken_to(&mut self) -> Option<SocketAddr> {
        let packet = self.customer.say_level(2000);
        self.world.packet(self.a, self.customer.address, &packet);
        let arrived = self.world.take_arrived(self.b).pop()?;
        let mut bytes = arrived.bytes.to_vec();
        self.inbound.open(&mut bytes).expect("under the key of the handshake");
        Some(arrived.destination)
    }

    fn done(&mut self) {
        let (b, keys) = (self.b, self.keys);
        self.world.with_plane(|plane, now, _| plane.dtls_done(now, b, &keys));
    }
}

#[test]
fn checks_then_the_handshake_then_sound() {
    let mut browser = Browser::new();
    // Nothing is sent or taken before: not plain, not under any key, and no handshake from nowhere.
    assert_eq!((browser.say(HOME), browser.spoken_to()), (0, None));
    browser.world.packet(browser.b, at(HOME), &[22, 254, 253, 0]);
    assert!(browser.world.handshakes.is_empty());
    browser.check(HOME, "wrong", true);
    assert!(browser.world.take_arrived(browser.b).is_empty());
    browser.good_check(HOME);
    let answers = browser.world.take_arrived(browser.b);
    assert_eq!((answers.len(), answers[0].destination), (1, at(HOME)));
    assert_eq!(answers[0].bytes[..2], [1, 1], "a success");
    let (stream, ours, fingerprint) = (browser.b, [8; 32], [9; 32]);
    assert_eq!(browser.world.handshakes, [DtlsOrder::Open { stream, ours, fingerprint, active: false }]);
    let hello = Bytes::from_static(&[22, 254, 253, 0, 1, 2]);
    browser.world.packet(browser.b, at(HOME), &hello);
    browser.world.packet(browser.b, at(ELSEWHERE), &hello);
    assert_eq!(browser.world.handshakes[1..], [DtlsOrder::Packet { stream, packet: hello.clone() }]);
    browser.world.with_plane(|plane, _, out| plane.dtls_send(stream, hello, out));
    assert_eq!(browser.world.take_arrived(browser.b)[0].destination, at(HOME));
    assert_eq!((browser.say(HOME), browser.spoken_to()), (0, None), "no keys yet");
    browser.done();
    assert_eq!(browser.say(HOME), 1);
    assert_eq!(browser.spoken_to(), Some(at(HOME)));
    assert_eq!(browser.say(ELSEWHERE), 0, "nobody has checked that way");
    // The socket stays open to all: the far end may move.
    assert!(browser.world.latches.iter().all(|(of, ..)| *of != stream));
    let counters = browser.world.plane.counters();
    assert_eq!((counters.checks_answered, counters.dropped_checks, counters.dtls_done), (1, 1, 1));
    browser.world.close(browser.b);
    assert_eq!(browser.world.handshakes.last(), Some(&DtlsOrder::Close { stream }));
    browser.world.close(browser.a);
    browser.world.assert_at_rest();
}

#[test]
fn another_network() {
    let mut browser = Browser::new();
    browser.good_check(HOME);
    browser.done();
    assert_eq!(browser.spoken_to(), Some(at(HOME)));
    // Someone who has seen checks but does not know the password.
    browser.check(ELSEWHERE, "guessed", true);
    assert_eq!(browser.spoken_to(), Some(at(HOME)));
    browser.good_check(ELSEWHERE);
    browser.world.take_arrived(browser.b);
    assert_eq!(browser.spoken_to(), Some(at(ELSEWHERE)));
    assert_eq!(browser.say(ELSEWHERE), 1);
    assert_eq!(browser.world.handshakes.len(), 1, "the handshake goes on");
    // No check for half a minute: no more consent to be sent to.
    browser.world.advance_ms(32_000);
    browser.world.take_arrived(browser.b);
    assert_eq!(browser.spoken_to(), None);
    browser.good_check(ELSEWHERE);
    browser.world.take_arrived(browser.b);
    assert_eq!(browser.spoken_to(), Some(at(ELSEWHERE)));
}

#[test]
fn what_does_not_come_about_is_told_once() {
    let mut browser = Browser::new();
    browser.world.advance_ms(100_000);
    let failed = Event::Failed { stream: browser.b, owner: 2, reason: FailedReason::Handshake };
    let told = browser.world.take_events().into_iter().filter(|event| *event == failed).count();
    assert_eq!(told, 1);
    let mut browser = Browser::new();
    browser.good_check(HOME);
    let b = browser.b;
    for _ in 0..2 {
        browser.world.with_plane(|plane, _, out| plane.dtls_failed(b, out));
    }
    let failed = Event::Failed { stream: b, owner: 2, reason: FailedReason::Handshake };
    assert_eq!(browser.world.take_events(), [failed]);
    assert_eq!(browser.world.plane.counters().dtls_failed, 1);
}
