//! Streams whose packets are encrypted, beside others and beside each other.

use crate::world::*;
use bytes::{Bytes, BytesMut};
use media::srtp::{Inbound, KeySource, Outbound, Secret, SrtpKeys, Suite};
use media::{
    Codec, Config, DigitSource, Ears, Event, OffloadRule, PacketKind, PlayRequest, Recording, Remote,
};
use sansio::Duration;
use std::net::SocketAddr;

/// A phone that encrypts.
struct SecurePhone {
    phone: Phone,
    keys: SrtpKeys,
    outbound: Outbound,
    inbound: Inbound,
}

impl SecurePhone {
    fn new(address: &str, codec: Codec, suite: Suite, seed: u8) -> Self {
        let mut source = KeySource::new(&Secret([seed; 32]));
        let keys = SrtpKeys { inbound: source.master_key(suite), outbound: source.master_key(suite) };
        let (outbound, inbound) = (Outbound::new(keys.inbound), Inbound::new(keys.outbound));
        SecurePhone { phone: Phone::new(address, codec), keys, outbound, inbound }
    }

    fn remote(&self) -> Remote {
        self.phone.remote().with_srtp(self.keys)
    }

    fn address(&self) -> SocketAddr {
        self.phone.address
    }

    fn say_level(&mut self, level: i16) -> Bytes {
        let plain = self.phone.say_level(level);
        self.seal(&plain)
    }

    fn seal(&mut self, plain: &[u8]) -> Bytes {
        let mut packet = BytesMut::from(plain);
        self.outbound.protect(&mut packet, 0).expect("a new number");
        packet.freeze()
    }

    fn open(&mut self, arrived: &Arrived) -> Arrived {
        let mut bytes = arrived.bytes.to_vec();
        let plain =
            Bytes::copy_from_slice(self.inbound.open(&mut bytes).expect("protected with the key agreed on"));
        Arrived { bytes: plain, ..arrived.clone() }
    }
}

#[test]
fn between_a_plain_side_and_an_encrypted_one() {
    for suite in Suite::ALL {
        let mut world = World::new();
        let mut customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
        let mut agent = SecurePhone::new("192.0.2.2:40000", Codec::Pcmu, suite, 1);
        let a = world.open_to(1, &customer);
        let b = world.open(2);
        world.set_remote(b, agent.remote());
        world.connect(a, b);
        for _ in 0..50 {
            world.packet(a, customer.address, &customer.say_level(1000));
            world.packet(b, agent.address(), &agent.say_level(-2000));
            world.advance_ms(20);
        }
        let sealed = world.take_arrived(b);
        assert!(sealed.iter().all(|packet| packet.destination == agent.address()));
        let to_agent: Vec<Arrived> = sealed.iter().map(|packet| agent.open(packet)).collect();
        let to_customer = world.take_arrived(a);
        assert_eq!((to_agent.len(), to_customer.len()), (50, 50), "{suite:?}");
        assert_continuous(&to_agent);
        assert_continuous(&to_customer);
        for (packet, sealed) in to_agent.iter().zip(&sealed) {
            assert!((900..1100).contains(&level(Codec::Pcmu, &packet.rtp().payload)));
            assert_ne!(packet.bytes[12..], sealed.bytes[12..172], "nothing of it is to be read on the way");
        }
        for packet in &to_customer {
            assert_eq!(packet.bytes.len(), 172, "no tag is left behind");
            assert!((-2200..-1800).contains(&level(Codec::Pcma, &packet.rtp().payload)));
        }
        let counters = world.plane.counters();
        assert_eq!((counters.srtp_in, counters.srtp_out, counters.forwarded_rtp), (50, 50, 100));
    }
}

/// Each side has its own keys, and what is said on one call is heard in no other.
#[test]
fn between_two_encrypted_sides_and_not_beyond_them() {
    let mut world = World::new();
    let phone = |n: u8, suite| SecurePhone::new(&format!("192.0.2.{n}:40000"), Codec::Pcmu, suite, n);
    let mut phones: Vec<SecurePhone> = [1, 2, 3, 4]
        .into_iter()
        .zip(Suite::ALL.into_iter().cycle())
        .map(|(n, suite)| phone(n, suite))
        .collect();
    let streams: Vec<_> = phones.iter().map(|_| world.open(1)).collect();
    for (phone, stream) in phones.iter().zip(&streams) {
        world.set_remote(*stream, phone.remote());
    }
    world.connect(streams[0], streams[1]);
    world.connect(streams[2], streams[3]);
    for _ in 0..20 {
        for (at, (phone, stream)) in phones.iter_mut().zip(&streams).enumerate() {
            let packet = phone.say_level(1000 * (at as i16 + 1));
            world.packet(*stream, phone.address(), &packet);
        }
        world.advance_ms(20);
    }
    for (at, spoken) in [(0, 2000), (1, 1000), (2, 4000), (3, 3000)] {
        let arrived = world.take_arrived(streams[at]);
        assert_eq!(arrived.len(), 20);
        for packet in &arrived {
            let heard = level(Codec::Pcmu, &phones[at].open(packet).rtp().payload);
            assert!((i32::from(heard) - spoken).abs() < 150, "phone {at} heard {heard}");
        }
        let stranger = &mut phones[(at + 2) % 4].inbound;
        assert!(stranger.open(&mut arrived[0].bytes.to_vec()).is_err());
    }
    // A packet of another call, under that call's key: nobody hears it.
    let (one, other) = (streams[0], phones[2].address());
    let foreign = phones[2].say_level(9000);
    world.packet(one, phones[0].address(), &foreign);
    world.packet(one, other, &foreign);
    assert!(world.take_arrived(streams[1]).is_empty());
    assert_eq!(world.plane.counters().dropped_srtp_forged, 2);
}

#[test]
fn what_is_not_protected_as_agreed_is_dropped_and_counted() {
    let mut world = World::new();
    let customer = Phone::new("192.0.2.1:30000", Codec::Pcmu);
    let mut agent = SecurePhone::new("192.0.2.2:40000", Codec::Pcmu, Suite::AesCm128Sha1_80, 1);
    let mut stranger = SecurePhone::new("192.0.2.2:40000", Codec::Pcmu, Suite::AesCm128Sha1_80, 9);
    let (a, b) = (world.open_to(1, &customer), world.open(2));
    world.set_remote(b, agent.remote());
    world.connect(a, b);
    let at = agent.address();
    // Before anything good came: none of these may show where the phone is.
    world.packet(b, "198.51.100.9:666".parse().unwrap(), &stranger.say_level(5000));
    let plain = agent.phone.say_level(5000);
    world.packet(b, at, &plain);
    world.packet(b, at, &plain[..20]);
    world.packet(b, at, &[0x80, 0]);
    assert!(world.latches.is_empty() && world.take_arrived(a).is_empty());
    let good = agent.say_level(1000);
    world.packet(b, at, &good);
    assert_eq!(world.take_arrived(a).len(), 1);
    for _ in 0..3 {
        world.packet(b, at, &good);
    }
    let whole = agent.say_level(1000);
    for length in 0..whole.len() {
        world.packet(b, at, &whole[..length]);
    }
    assert!(world.take_arrived(a).is_empty());
    world.packet(b, at, &whole);
    assert_eq!(world.take_arrived(a).len(), 1, "what was refused has done no harm");
    let counters = world.plane.counters();
    assert_eq!((counters.srtp_in, counters.dropped_srtp_replayed), (2, 3));
    // A phone's own plain packet has as good as a wrong tag; of those cut off, some are no packets at all.
    let refused = counters.dropped_srtp_forged + counters.dropped_srtp_malformed;
    assert_eq!(refused, 4 + whole.len() as u64);
    assert!(counters.dropped_srtp_forged > 100 && counters.dropped_srtp_malformed > 20);
    assert_eq!(world.plane.stats(b).unwrap().received, 2);
}

/// Prompts, digits, recordings and reports work as on a plain stream.
#[test]
fn all_else_works_behind_the_encryption() {
    let mut world = World::with(Config { rtcp_interval: Duration::from_secs(1), ..config() });
    let mut agent = SecurePhone::new("192.0.2.2:40000", Codec::Pcmu, Suite::AeadAes128Gcm, 1);
    let b = world.open(2);
    world.set_remote(b, agent.remote());
    let samples = vec![3000_i16; 1600].into();
    world.with_plane(|plane, now, out| {
        plane.listen(now, b, Ears { dtmf: true, ..Ears::default() });
        plane.play(now, b, PlayRequest { tag: 7, samples, repeat: false }, out);
        plane.start_recording(now, Recording { id: 1, left: b, right: None }, out).unwrap();
    });
    let press = [(false, 160), (false, 320), (true, 480)];
    for (ended, duration) in press {
        let plain = agent.phone.event(5, ended, duration);
        let packet = agent.seal(&plain);
        world.packet(b, agent.address(), &packet);
    }
    for _ in 0..400 {
        let packet = agent.say_level(1000);
        world.packet(b, agent.address(), &packet);
        world.advance_ms(20);
    }
    let digits = world.take_events().into_iter().filter_map(|event| match event {
        Event::Dtmf { digit, source, .. } => Some((digit, source)),
        _ => None,
    });
    assert_eq!(digits.collect::<Vec<_>>(), [('5', DigitSource::Event)]);
    let (reports, sound): (Vec<_>, Vec<_>) =
        world.take_arrived(b).into_iter().partition(|packet| packet.kind == PacketKind::Rtcp);
    assert_eq!(sound.len(), 10);
    for packet in &sound {
        assert!((2900..3100).contains(&level(Codec::Pcmu, &agent.open(packet).rtp().payload)));
    }
    assert!(!reports.is_empty());
    for packet in &reports {
        let mut bytes = packet.bytes.to_vec();
        let plain = agent.inbound.open_rtcp(&mut bytes).expect("reports are protected too");
        assert!(media::rtp::rtcp::is_valid(plain));
    }
    world.close(b);
    let spoken = world.files[&1].samples.iter().filter(|frame| (900..1100).contains(&frame[0])).count();
    assert!(spoken > 60_000, "the recording holds {spoken} samples of what was said");
    world.assert_at_rest();
}

/// The same key again in a re-INVITE changes nothing; a new one begins anew, and the old one is no longer taken.
#[test]
fn keys_stay_and_keys_change() {
    let mut world = World::new();
    let customer = Phone::new("192.0.2.1:30000", Codec::Pcmu);
    let mut agent = SecurePhone::new("192.0.2.2:40000", Codec::Pcmu, Suite::AesCm128Sha1_32, 1);
    let (a, b) = (world.open_to(1, &customer), world.open(2));
    world.set_remote(b, agent.remote());
    world.connect(a, b);
    world.packet(b, agent.address(), &agent.say_level(1000));
    let first = agent.say_level(1000);
    for _ in 0..20 {
        let packet = agent.say_level(1000);
        world.packet(b, agent.address(), &packet);
    }
    world.set_remote(b, agent.remote());
    world.packet(b, agent.address(), &agent.say_level(1000));
    assert_eq!(world.take_arrived(a).len(), 22);
    world.packet(b, agent.address(), &first);
    assert_eq!(world.take_arrived(a).len(), 1, "late, and not yet seen");
    world.set_remote(b, agent.remote());
    world.packet(b, agent.address(), &first);
    assert_eq!(world.plane.counters().dropped_srtp_replayed, 1, "the list of those seen is kept");
    let old = agent.say_level(1000);
    let mut renewed = SecurePhone::new("192.0.2.2:40000", Codec::Pcmu, Suite::AesCm128Sha1_32, 2);
    world.set_remote(b, renewed.remote());
    world.packet(b, agent.address(), &old);
    assert!(world.take_arrived(a).is_empty());
    world.packet(b, renewed.address(), &renewed.say_level(1000));
    assert_eq!(world.take_arrived(a).len(), 1);
}

/// The ground has no keys: not one encrypted side's sound is left to it.
#[test]
fn never_left_to_the_ground() {
    for (first, second) in [(true, false), (false, true), (true, true)] {
        let mut world = World::with(Config { offload: true, ..config() });
        let phone =
            |n: u8| SecurePhone::new(&format!("192.0.2.{n}:40000"), Codec::Pcmu, Suite::AesCm128Sha1_80, n);
        let mut phones = [phone(1), phone(2)];
        let streams = [world.open(1), world.open(2)];
        for ((phone, stream), encrypted) in phones.iter().zip(streams).zip([first, second]) {
            let remote = phone.remote();
            world.set_remote(stream, if encrypted { remote } else { phone.phone.remote() });
        }
        world.connect(streams[0], streams[1]);
        for _ in 0..20 {
            for ((phone, stream), encrypted) in phones.iter_mut().zip(streams).zip([first, second]) {
                let packet = if encrypted { phone.say_level(500) } else { phone.phone.say_level(500) };
                world.packet(stream, phone.address(), &packet);
            }
            world.advance_ms(20);
        }
        let rules: Vec<OffloadRule> =
            world.offloads.iter().filter_map(|(_, rule)| rule.map(|(rule, _)| rule)).collect();
        assert!(rules.is_empty(), "{rules:?}");
        assert_eq!(world.plane.counters().forwarded_rtp, 40);
        // Plain on both sides it would have been.
        for (phone, stream) in phones.iter().zip(streams) {
            world.set_remote(stream, phone.phone.remote());
        }
        for (phone, stream) in phones.iter_mut().zip(streams) {
            let packet = phone.phone.say_level(500);
            world.packet(stream, phone.address(), &packet);
        }
        assert!(!world.offloads.is_empty());
    }
}
