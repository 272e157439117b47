//! Where the far end really is, and who may say so.

use crate::world::*;
use media::{Codec, PacketKind, Remote, StreamKey};
use std::net::SocketAddr;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A bridged pair; the customer's SDP names 10.0.0.5:30000, which is behind a NAT.
fn bridged() -> (World, StreamKey, StreamKey, Phone, Phone) {
    let mut world = World::new();
    let customer = Phone::new("10.0.0.5:30000", Codec::Pcma);
    let agent = Phone::new("192.0.2.2:40000", Codec::Pcma);
    let (a, b) = (world.open_to(1, &customer), world.open_to(2, &agent));
    world.connect(a, b);
    (world, a, b, customer, agent)
}

#[test]
fn the_first_valid_packet_shows_the_address() {
    let (mut world, a, b, mut customer, mut agent) = bridged();
    world.packet(b, agent.address, &agent.say_level(1));
    assert_eq!(world.take_arrived(a)[0].destination, address("10.0.0.5:30000"), "until then as the SDP says");
    let outside = address("203.0.113.7:61000");
    world.packet(a, outside, &[0; 172]); // version 0
    world.packet(a, outside, &customer.say_level(1)[..11]);
    assert_eq!(world.plane.stats(a).unwrap().latched, None);
    world.packet(a, outside, &customer.say_level(1));
    world.packet(b, agent.address, &agent.say_level(1));
    assert_eq!(world.take_arrived(a)[0].destination, outside);
    assert_eq!(
        world.latches,
        [(b, PacketKind::Rtp, Some(agent.address)), (a, PacketKind::Rtp, Some(outside))]
    );
    assert_eq!(world.plane.counters().dropped_malformed, 2);
}

#[test]
fn a_stranger_neither_hears_nor_is_heard() {
    let (mut world, a, b, mut customer, mut agent) = bridged();
    let outside = address("203.0.113.7:61000");
    for round in 0..500_u32 {
        world.packet(a, outside, &customer.say_level(1000));
        world.packet(b, agent.address, &agent.say_level(2000));
        // A stranger sprays with its own SSRC, and one that has seen the SSRC somewhere.
        let mut stranger = Phone::new("198.51.100.1:9", Codec::Pcma);
        stranger.sequence = round as u16;
        world.packet(a, stranger.address, &stranger.say_level(-5000));
        stranger.ssrc = customer.ssrc;
        stranger.sequence = customer.sequence;
        world.packet(a, address("198.51.100.2:9"), &stranger.say_level(-5000));
        world.advance_ms(20);
    }
    let heard = world.take_arrived(b);
    assert_eq!(heard.len(), 500);
    assert_continuous(&heard);
    assert!(heard.iter().all(|packet| level(Codec::Pcma, &packet.rtp().payload) > 0));
    assert!(world.take_arrived(a).iter().all(|packet| packet.destination == outside));
    assert_eq!(world.plane.counters().dropped_foreign_source, 1000);
    assert_eq!(world.plane.stats(a).unwrap().received, 500);
}

#[test]
fn a_stranger_who_was_first_is_displaced_by_the_address_of_the_sdp() {
    let mut world = World::new();
    let mut customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let a = world.open_to(1, &customer);
    let mut stranger = Phone::new("198.51.100.1:9", Codec::Pcma);
    world.packet(a, stranger.address, &stranger.say_level(1));
    assert_eq!(world.plane.stats(a).unwrap().latched, Some(stranger.address));
    let other_port = address("192.0.2.1:55555");
    world.packet(a, other_port, &customer.say_level(1));
    assert_eq!(world.plane.stats(a).unwrap().latched, Some(other_port));
    world.packet(a, customer.address, &customer.say_level(1));
    world.packet(a, other_port, &customer.say_level(1));
    world.packet(a, stranger.address, &stranger.say_level(1));
    assert_eq!(world.plane.stats(a).unwrap().latched, Some(customer.address));
    let counters = world.plane.counters();
    assert_eq!((counters.latched, counters.relatched, counters.address_changes), (1, 2, 2));
}

#[test]
fn after_silence_a_newcomer_takes_over_by_three_packets_in_sequence() {
    let (mut world, a, _, mut customer, _) = bridged();
    world.packet(a, address("203.0.113.7:61000"), &customer.say_level(1));
    let mut newcomer = Phone::new("203.0.113.99:1234", Codec::Pcma);
    world.advance_ms(2_999);
    for _ in 0..3 {
        world.packet(a, newcomer.address, &newcomer.say_level(1));
    }
    assert_eq!(world.plane.stats(a).unwrap().latched, Some(address("203.0.113.7:61000")));
    world.advance_ms(1);
    for expected in ["203.0.113.7:61000", "203.0.113.7:61000", "203.0.113.99:1234"] {
        world.packet(a, newcomer.address, &newcomer.say_level(1));
        assert_eq!(world.plane.stats(a).unwrap().latched, Some(address(expected)));
    }
    // Out of sequence the count starts again.
    let mut third = Phone::new("203.0.113.50:1", Codec::Pcma);
    world.advance_ms(3_000);
    for _ in 0..20 {
        world.packet(a, third.address, &third.say_level(1));
        third.sequence = third.sequence.wrapping_add(5);
    }
    assert_eq!(world.plane.stats(a).unwrap().latched, Some(newcomer.address));
}

/// Its description names an address behind a NAT, and a stranger was faster; its signalling says which host it is.
#[test]
fn a_phone_behind_a_nat_displaces_a_stranger_who_was_first() {
    let (mut world, a, _, mut customer, _) = bridged();
    let outside = address("203.0.113.7:61000");
    world.with_plane(|plane, _, _| plane.signalled_from(a, outside.ip()));
    let mut stranger = Phone::new("198.51.100.1:9", Codec::Pcma);
    for _ in 0..100 {
        world.packet(a, stranger.address, &stranger.say_level(1));
        world.advance_ms(20);
    }
    world.packet(a, outside, &customer.say_level(1));
    assert_eq!(world.plane.stats(a).unwrap().latched, Some(outside));
    for _ in 0..100 {
        world.packet(a, stranger.address, &stranger.say_level(1));
        world.packet(a, outside, &customer.say_level(1));
        world.advance_ms(20);
    }
    assert_eq!(world.plane.stats(a).unwrap().latched, Some(outside));
    // The description itself is believed more.
    world.packet(a, customer.address, &customer.say_level(1));
    assert_eq!(world.plane.stats(a).unwrap().latched, Some(customer.address));
}

/// A stream whose customer speaks for a second from an address, then falls silent; and where it is latched.
fn spoken_then_silent(from: SocketAddr) -> (World, StreamKey, StreamKey, Phone, Phone) {
    let (mut world, a, b, mut customer, agent) = bridged();
    for _ in 0..60 {
        world.packet(a, from, &customer.say_level(1000));
        world.advance_ms(20);
    }
    world.take_arrived(b);
    (world, a, b, customer, agent)
}

/// A newcomer speaks until it has the place; gives the milliseconds that took, up to `patience_ms`.
fn taken_over_after(world: &mut World, a: StreamKey, newcomer: &mut Phone, patience_ms: u64) -> Option<u64> {
    for ms in (0..patience_ms).step_by(20) {
        world.packet(a, newcomer.address, &newcomer.say_level(-1000));
        if world.plane.stats(a).unwrap().latched == Some(newcomer.address) {
            return Some(ms);
        }
        world.advance_ms(20);
    }
    None
}

/// A far end begins anew on another host and says nothing about it: it is followed when it is sure to be gone from where
/// it was, which takes longer the more its old place was certain and the more it is used to pausing.
#[test]
fn a_far_end_that_has_moved_to_another_host_is_followed() {
    let (outside, named) = (address("203.0.113.7:61000"), address("10.0.0.5:30000"));
    for (from, sooner_than_ms, pauses) in
        [(outside, 12_000, false), (named, 17_000, false), (outside, 32_000, true), (named, 32_000, true)]
    {
        let (mut world, a, b, mut customer, mut agent) = spoken_then_silent(from);
        if pauses {
            world.advance_ms(1_600);
            for _ in 0..60 {
                world.packet(a, from, &customer.say_level(1000));
                world.advance_ms(20);
            }
            world.take_arrived(b);
        }
        let mut moved = Phone::new("198.51.100.7:5000", Codec::Pcma);
        let taken = taken_over_after(&mut world, a, &mut moved, 60_000).expect("it has moved");
        assert!((sooner_than_ms - 100..sooner_than_ms + 100).contains(&taken), "{from} {pauses}: {taken}");
        // From then on it is heard, and sent what the other says.
        world.arrived.clear();
        for _ in 0..10 {
            world.packet(a, moved.address, &moved.say_level(-1000));
            world.packet(b, agent.address, &agent.say_level(2000));
            world.advance_ms(20);
        }
        assert_eq!(world.take_arrived(b).len(), 10);
        assert!(world.take_arrived(a).iter().all(|packet| packet.destination == moved.address));
    }
}

/// Reports say that it is there, hold that it has reason to be silent: then nobody takes its place.
#[test]
fn who_reports_or_holds_has_not_moved() {
    let outside = address("203.0.113.7:61000");
    let (mut world, a, _, customer, _) = spoken_then_silent(outside);
    let mut stranger = Phone::new("198.51.100.7:5000", Codec::Pcma);
    let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
    for _ in 0..12 {
        world.datagram(a, PacketKind::Rtcp, address("203.0.113.7:61001"), &report);
        assert_eq!(taken_over_after(&mut world, a, &mut stranger, 5_000), None);
    }
    let (mut world, a, ..) = spoken_then_silent(outside);
    world.set_remote(a, Remote { sends: false, ..customer.remote() });
    assert_eq!(taken_over_after(&mut world, a, &mut stranger, 50_000), None);
}

/// Neither a burst, nor noise that is no speech in time, nor one of two who contend.
#[test]
fn who_does_not_speak_alone_and_in_time_has_not_moved() {
    let outside = address("203.0.113.7:61000");
    let latched = |world: &World, a| world.plane.stats(a).unwrap().latched;
    let (mut world, a, ..) = spoken_then_silent(outside);
    world.advance_ms(20_000);
    let mut stranger = Phone::new("198.51.100.7:5000", Codec::Pcma);
    for _ in 0..5_000 {
        world.packet(a, stranger.address, &stranger.say_level(1));
    }
    assert_eq!(latched(&world, a), Some(outside), "a burst");
    for _ in 0..1_000 {
        world.packet(a, stranger.address, &stranger.say(&[1; 40]));
        world.advance_ms(20);
    }
    assert_eq!(latched(&world, a), Some(outside), "a quarter of the time");
    let mut other = Phone::new("198.51.100.8:5000", Codec::Pcma);
    for _ in 0..1_000 {
        world.packet(a, stranger.address, &stranger.say_level(1));
        world.packet(a, other.address, &other.say_level(1));
        world.advance_ms(20);
    }
    assert_eq!(latched(&world, a), Some(outside), "two");
    assert!(taken_over_after(&mut world, a, &mut stranger, 5_000).is_some(), "one of them alone");
}

/// Who only paused has its place back with its first packet, and nobody takes it by patience again.
#[test]
fn who_was_taken_for_gone_has_its_place_back_at_once() {
    for from in ["203.0.113.7:61000", "10.0.0.5:30000"].map(address) {
        let (mut world, a, b, mut customer, mut agent) = spoken_then_silent(from);
        let mut stranger = Phone::new("198.51.100.7:5000", Codec::Pcma);
        assert!(taken_over_after(&mut world, a, &mut stranger, 60_000).is_some());
        for _ in 0..100 {
            world.packet(a, stranger.address, &stranger.say_level(-1000));
            world.advance_ms(20);
        }
        world.arrived.clear();
        for _ in 0..60 {
            world.packet(a, from, &customer.say_level(1000));
            world.packet(a, stranger.address, &stranger.say_level(-1000));
            world.packet(b, agent.address, &agent.say_level(2000));
            world.advance_ms(20);
        }
        let heard = world.take_arrived(b);
        assert_eq!(heard.len(), 60);
        assert!(heard.iter().all(|packet| level(Codec::Pcma, &packet.rtp().payload) > 0));
        assert!(world.take_arrived(a).iter().all(|packet| packet.destination == from));
        assert_eq!(taken_over_after(&mut world, a, &mut stranger, 55_000), None);
        // A new description says where it is now.
        world.set_remote(a, Remote { rtp: address("10.0.0.6:30000"), ..customer.remote() });
        assert_eq!(taken_over_after(&mut world, a, &mut stranger, 20), Some(0));
    }
}

/// Someone who has spoken, and is only silent now, keeps the place: a stranger is neither heard nor sent anything.
#[test]
fn nobody_elsewhere_takes_the_place_of_one_who_has_spoken() {
    let (mut world, a, b, mut customer, mut agent) = bridged();
    let (outside, moved) = (address("203.0.113.7:61000"), address("198.51.100.7:5000"));
    let latched = |world: &World| world.plane.stats(a).unwrap().latched.unwrap();
    for _ in 0..50 {
        world.packet(a, outside, &customer.say_level(1));
        world.advance_ms(20);
    }
    world.take_arrived(b);
    let mut stranger = Phone::new("198.51.100.1:9", Codec::Pcma);
    for _ in 0..450 {
        world.packet(a, stranger.address, &stranger.say_level(1));
        world.packet(b, agent.address, &agent.say_level(1));
        world.advance_ms(20);
    }
    assert_eq!(latched(&world), outside);
    assert!(world.take_arrived(a).iter().all(|packet| packet.destination == outside));
    assert!(world.take_arrived(b).is_empty());
    // Who goes on with its SSRC from another network is the far end, however long the move took …
    customer.sequence += 500;
    for _ in 0..3 {
        world.packet(a, moved, &customer.say_level(1));
    }
    assert_eq!(latched(&world), moved);
    // … and so is, after silence, who begins anew on the same host.
    for _ in 0..60 {
        world.packet(a, moved, &customer.say_level(1));
        world.advance_ms(20);
    }
    world.advance_ms(3_000);
    let mut anew = Phone::new("198.51.100.7:5002", Codec::Pcma);
    for _ in 0..3 {
        world.packet(a, anew.address, &anew.say_level(1));
    }
    assert_eq!(latched(&world), anew.address);
}

#[test]
fn a_nat_that_changes_the_port_is_followed_soon() {
    let (mut world, a, b, mut customer, _) = bridged();
    for _ in 0..10 {
        world.packet(a, address("203.0.113.7:61000"), &customer.say_level(1));
        world.advance_ms(20);
    }
    world.advance_ms(200);
    for _ in 0..10 {
        world.packet(a, address("203.0.113.7:62000"), &customer.say_level(1));
        world.advance_ms(20);
    }
    assert_eq!(world.plane.stats(a).unwrap().latched, Some(address("203.0.113.7:62000")));
    assert_eq!(world.take_arrived(b).len(), 18, "two packets of probation are lost");
}

/// A connected socket hears nobody else: the edge is told to let go when the far end has gone silent.
#[test]
fn silence_unlatches_the_socket_and_the_old_address_latches_it_again() {
    let (mut world, a, _, mut customer, _) = bridged();
    let outside = address("203.0.113.7:61000");
    world.packet(a, outside, &customer.say_level(1));
    world.advance_ms(2_500);
    assert_eq!(world.latches.len(), 1);
    world.advance_ms(1_600);
    assert_eq!(world.latches[1..], [(a, PacketKind::Rtp, None)]);
    world.packet(a, outside, &customer.say_level(1));
    assert_eq!(world.latches[2..], [(a, PacketKind::Rtp, Some(outside))]);
    assert_eq!(world.plane.counters().relatched, 1);
}

#[test]
fn a_new_address_in_the_sdp_starts_latching_anew() {
    let (mut world, a, _, mut customer, _) = bridged();
    world.packet(a, address("203.0.113.7:61000"), &customer.say_level(1));
    let moved = Remote { rtp: address("10.0.0.6:30000"), ..customer.remote() };
    world.set_remote(a, moved);
    assert_eq!(world.plane.stats(a).unwrap().latched, None);
    assert_eq!(world.latches.last(), Some(&(a, PacketKind::Rtp, None)));
    world.packet(a, address("203.0.113.8:61000"), &customer.say_level(1));
    assert_eq!(world.plane.stats(a).unwrap().latched, Some(address("203.0.113.8:61000")));
}

#[test]
fn nothing_is_taken_before_the_far_end_is_known_nor_with_a_payload_type_not_agreed() {
    let mut world = World::new();
    let mut customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let a = world.open(1);
    world.packet(a, customer.address, &customer.say_level(1));
    world.set_remote(a, customer.remote());
    let odd = Phone { payload_type: 18, ..customer.clone() }.say_level(1);
    world.packet(a, customer.address, &odd);
    world.packet(a, customer.address, &[0x80, 200, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]); // RTCP on the RTP port
    let counters = world.plane.counters();
    assert_eq!(
        (counters.dropped_no_remote, counters.dropped_payload_type, counters.dropped_malformed),
        (1, 1, 1)
    );
    assert!(world.latches.is_empty());
}
