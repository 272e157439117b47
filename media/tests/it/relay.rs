//! Two streams, one bridge.

use crate::world::*;
use bytes::Bytes;
use media::{AudioState, Codec, Config, Event, PacketKind, Remote};
use sansio::Duration;

#[test]
fn two_way_audio_with_our_own_identity_towards_each_side() {
    let mut world = World::new();
    let mut customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let mut agent = Phone::new("192.0.2.2:40000", Codec::Pcma);
    let (a, b) = (world.open_to(1, &customer), world.open_to(2, &agent));
    world.connect(a, b);
    for _ in 0..50 {
        world.packet(a, customer.address, &customer.say_level(1000));
        world.packet(b, agent.address, &agent.say_level(-2000));
        world.advance_ms(20);
    }
    let to_agent = world.take_arrived(b);
    let to_customer = world.take_arrived(a);
    assert_eq!((to_agent.len(), to_customer.len()), (50, 50));
    assert_continuous(&to_agent);
    assert_continuous(&to_customer);
    assert!(to_agent.iter().all(|packet| packet.destination == agent.address));
    assert!(to_customer.iter().all(|packet| packet.destination == customer.address));
    let first = to_agent[0].rtp();
    assert!(first.header.marker, "the first packet of a source is marked");
    assert_ne!(first.header.ssrc, customer.ssrc);
    assert_eq!(level(Codec::Pcma, &first.payload), level(Codec::Pcma, &customer.say_level(1000)[12..]));
    let steps =
        to_agent.windows(2).map(|w| w[1].rtp().header.timestamp.wrapping_sub(w[0].rtp().header.timestamp));
    assert!(steps.into_iter().all(|step| step == 160));
    let counters = world.plane.counters();
    assert_eq!((counters.forwarded_rtp, counters.packets_in, counters.packets_out), (100, 100, 100));
    assert_eq!(counters.bytes_in, 100 * 172);
    let stats = world.plane.stats(a).unwrap();
    assert_eq!((stats.received, stats.lost, stats.sent, stats.jitter_ms), (50, 0, 50, 0.0));
    world.close(a);
    world.close(b);
    world.assert_at_rest();
}

#[test]
fn laws_are_transcoded_and_payload_types_mapped() {
    let mut world = World::new();
    let mut customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let mut agent = Phone { payload_type: 96, ..Phone::new("192.0.2.2:40000", Codec::Pcmu) };
    let (a, b) = (world.open_to(1, &customer), world.open_to(2, &agent));
    world.connect(a, b);
    for value in [0_i16, 500, -500, 8000, -30_000] {
        world.packet(a, customer.address, &customer.say_level(value));
        world.packet(b, agent.address, &agent.say_level(value));
        let (to_agent, to_customer) = (world.take_arrived(b)[0].rtp(), world.take_arrived(a)[0].rtp());
        assert_eq!((to_agent.header.payload_type, to_customer.header.payload_type), (96, 8));
        for heard in [level(Codec::Pcmu, &to_agent.payload), level(Codec::Pcma, &to_customer.payload)] {
            let off = (i32::from(heard) - i32::from(value)).abs();
            assert!(off <= 16 + i32::from(value).abs() / 16, "{value} heard as {heard}");
        }
    }
    assert_eq!(world.plane.counters().transcoded, 10);
}

/// RFC 3264: whoever offered both laws must take either, at any packet.
#[test]
fn the_other_law_is_understood_without_a_new_offer() {
    let mut world = World::new();
    let mut customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let agent = Phone::new("192.0.2.2:40000", Codec::Pcma);
    let (a, b) = (world.open_to(1, &customer), world.open_to(2, &agent));
    world.connect(a, b);
    customer.codec = Codec::Pcmu;
    customer.payload_type = 0;
    world.packet(a, customer.address, &customer.say_level(4000));
    let heard = world.take_arrived(b)[0].rtp();
    assert_eq!(heard.header.payload_type, 8);
    assert!((level(Codec::Pcma, &heard.payload) - 4000).abs() < 256);
}

/// A nailed-up agent goes from customer to customer: one unbroken stream towards the agent.
#[test]
fn a_switch_of_customers_keeps_sequence_timestamp_and_ssrc() {
    let mut world = World::new();
    let mut agent = Phone::new("192.0.2.2:40000", Codec::Pcmu);
    let agent_stream = world.open_to(9, &agent);
    let mut heard = Vec::new();
    for call in 0..5_u16 {
        let mut customer = Phone::new(&format!("192.0.2.1:{}", 30_000 + 2 * call), Codec::Pcma);
        customer.sequence = (7000 * call).wrapping_add(65_500);
        customer.timestamp = 900_000_000_u32.wrapping_mul(u32::from(call));
        let stream = world.open_to(u64::from(call), &customer);
        world.connect(agent_stream, stream);
        for _ in 0..30 {
            world.packet(stream, customer.address, &customer.say_level(1000));
            world.packet(agent_stream, agent.address, &agent.say_level(2000));
            world.advance_ms(20);
        }
        assert_continuous(&world.take_arrived(stream));
        heard.extend(world.take_arrived(agent_stream));
        world.close(stream);
        assert_eq!(world.plane.peer(agent_stream), None);
        world.packet(agent_stream, agent.address, &agent.say_level(2000));
        world.advance_ms(500);
    }
    assert_eq!(heard.len(), 150);
    assert_continuous(&heard);
    // Half a second passed between customers, and the time line says so: 500 ms, plus the last packet's 20.
    let step = heard[30].rtp().header.timestamp.wrapping_sub(heard[29].rtp().header.timestamp);
    assert_eq!(step, 520 * 8);
    assert!(heard[30].rtp().header.marker);
    assert_eq!(world.plane.counters().dropped_unbridged, 5);
}

#[test]
fn connecting_moves_a_stream_and_frees_its_old_peer() {
    let mut world = World::new();
    let streams: Vec<_> = (0..4).map(|owner| world.open(owner)).collect();
    world.connect(streams[0], streams[1]);
    world.connect(streams[2], streams[3]);
    world.connect(streams[0], streams[2]);
    let peers: Vec<_> = streams.iter().map(|stream| world.plane.peer(*stream)).collect();
    assert_eq!(peers, [Some(streams[2]), None, Some(streams[0]), None]);
    world.connect(streams[0], streams[0]);
    assert_eq!(world.plane.peer(streams[0]), Some(streams[2]));
    world.close(streams[2]);
    world.connect(streams[0], streams[2]);
    assert_eq!(world.plane.peer(streams[0]), None);
}

#[test]
fn a_sender_that_starts_again_is_joined_on() {
    let mut world = World::new();
    let mut customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let agent = Phone::new("192.0.2.2:40000", Codec::Pcma);
    let (a, b) = (world.open_to(1, &customer), world.open_to(2, &agent));
    world.connect(a, b);
    for round in 0..4 {
        match round {
            1 => customer.ssrc ^= 0xFFFF,                                    // another SSRC
            2 => customer.sequence = customer.sequence.wrapping_add(30_000), // a jump
            3 => customer.timestamp = customer.timestamp.wrapping_sub(500_000_000), // the clock leaps
            _ => {}
        }
        for _ in 0..5 {
            world.packet(a, customer.address, &customer.say_level(100));
            world.advance_ms(20);
        }
    }
    let heard = world.take_arrived(b);
    assert_eq!(heard.len(), 20);
    assert_continuous(&heard);
    assert_eq!(world.plane.counters().source_changes, 3);
}

#[test]
fn loss_and_reordering_pass_through_as_they_are() {
    let mut world = World::new();
    let mut customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let agent = Phone::new("192.0.2.2:40000", Codec::Pcma);
    let (a, b) = (world.open_to(1, &customer), world.open_to(2, &agent));
    world.connect(a, b);
    let packets: Vec<Bytes> = (0..8).map(|_| customer.say_level(1)).collect();
    for i in [0, 1, 3, 2, 6, 7] {
        world.packet(a, customer.address, &packets[i]);
    }
    let heard = world.take_arrived(b);
    let first = heard[0].rtp().header;
    let offsets: Vec<(u16, u32)> = heard
        .iter()
        .map(|packet| packet.rtp().header)
        .map(|h| {
            (h.sequence_number.wrapping_sub(first.sequence_number), h.timestamp.wrapping_sub(first.timestamp))
        })
        .collect();
    assert_eq!(offsets, [(0, 0), (1, 160), (3, 480), (2, 320), (6, 960), (7, 1120)]);
    assert_eq!(world.plane.stats(a).unwrap().lost, 2);
}

/// A packet of the new customer that was overtaken by the switch itself would fall on the old one's numbers.
#[test]
fn a_packet_older_than_the_switch_is_dropped() {
    let mut world = World::new();
    let mut customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let agent = Phone::new("192.0.2.2:40000", Codec::Pcma);
    let (a, b) = (world.open_to(1, &customer), world.open_to(2, &agent));
    let before = customer.say_level(1);
    world.packet(a, customer.address, &customer.say_level(1));
    world.connect(a, b);
    world.packet(a, customer.address, &customer.say_level(1));
    world.packet(a, customer.address, &before);
    assert_eq!(world.take_arrived(b).len(), 1);
    assert_eq!(world.plane.counters().dropped_late, 1);
}

#[test]
fn hold_stops_both_directions_as_the_sdp_says() {
    let mut world = World::new();
    let mut customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let mut agent = Phone::new("192.0.2.2:40000", Codec::Pcma);
    let (a, b) = (world.open_to(1, &customer), world.open_to(2, &agent));
    world.connect(a, b);
    let mut round = |world: &mut World| {
        world.packet(a, customer.address, &customer.say_level(1));
        world.packet(b, agent.address, &agent.say_level(1));
        world.advance_ms(20);
        (world.take_arrived(b), world.take_arrived(a))
    };
    let mut heard = round(&mut world).0;
    world.set_remote(b, Remote { receives: false, ..Phone::new("192.0.2.2:40000", Codec::Pcma).remote() });
    let (to_agent, to_customer) = round(&mut world);
    assert_eq!((to_agent.len(), to_customer.len()), (0, 1));
    world.set_remote(
        b,
        Remote { sends: false, receives: false, ..Phone::new("192.0.2.2:40000", Codec::Pcma).remote() },
    );
    let (to_agent, to_customer) = round(&mut world);
    assert_eq!((to_agent.len(), to_customer.len()), (0, 0));
    world.set_remote(b, Phone::new("192.0.2.2:40000", Codec::Pcma).remote());
    heard.extend(round(&mut world).0);
    assert_eq!(heard.len(), 2);
    assert_continuous(&heard);
    assert_eq!(world.latches.len(), 2, "the same address stays latched");
}

/// RFC 2543 held a call by the address 0.0.0.0; sent there, packets would come back to this machine.
#[test]
fn nothing_is_sent_to_the_address_zero() {
    let mut world = World::new();
    let mut customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let agent = Phone::new("0.0.0.0:40000", Codec::Pcma);
    let (a, b) = (world.open_to(1, &customer), world.open_to(2, &agent));
    world.connect(a, b);
    world.packet(a, customer.address, &customer.say_level(1));
    world.advance_ms(20_000);
    assert!(world.take_arrived(b).is_empty());
}

#[test]
fn comfort_noise_keeps_a_silent_call_alive_and_is_not_passed_on() {
    let mut world = World::new();
    let mut customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let agent = Phone::new("192.0.2.2:40000", Codec::Pcma);
    let (a, b) = (world.open_to(1, &customer), world.open(2));
    world.set_remote(b, Remote { sends: false, ..agent.remote() });
    world.connect(a, b);
    for _ in 0..100 {
        let packet = customer.next(false, 13, 0, Bytes::from_static(&[60]));
        world.packet(a, customer.address, &packet);
        world.advance_ms(1000);
    }
    let events = world.take_events();
    let silent =
        matches!(events[..], [Event::Audio { owner: 1, state: AudioState::NoSound, one_way: false, .. }]);
    assert!(silent, "silent, but there: {events:?}");
    assert_eq!(world.plane.counters().forwarded_rtp, 0);
    assert_eq!(world.plane.stats(a).unwrap().received, 100);
}

#[test]
fn silence_of_a_minute_is_reported_and_hold_is_not() {
    let mut world = World::new();
    let mut customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let a = world.open_to(7, &customer);
    let held = Phone::new("192.0.2.9:30000", Codec::Pcma);
    let b = world.open(8);
    world.set_remote(b, Remote { sends: false, ..held.remote() });
    world.packet(a, customer.address, &customer.say_level(1));
    world.advance_ms(59_900);
    assert_eq!(world.take_events(), []);
    world.advance_ms(1_100);
    assert_eq!(world.take_events(), [Event::MediaTimeout { stream: a, owner: 7 }]);
    world.advance_ms(30_000);
    world.packet(a, customer.address, &customer.say_level(1));
    world.advance_ms(59_000);
    assert_eq!(world.take_events(), []);
    world.advance_ms(62_000);
    assert_eq!(world.take_events().len(), 2);
}

#[test]
fn many_streams_are_looked_after_a_few_at_a_time() {
    let config = Config { ports: 4000..=4999, rtcp_interval: Duration::ZERO, ..Config::default() };
    let mut world = World::with(config);
    let phones: Vec<Phone> =
        (1..=400).map(|n| Phone::new(&format!("192.0.2.1:{}", 30_000 + n), Codec::Pcma)).collect();
    for (owner, phone) in (0..).zip(&phones) {
        world.open_to(owner, phone);
    }
    let mut told = Vec::new();
    let until = world.now + Duration::from_millis(61_500);
    while let Some(at) = world.plane.poll_timeout().filter(|at| *at <= until) {
        world.advance(at.since(world.now));
        let now: Vec<u64> = world
            .take_events()
            .iter()
            .filter_map(
                |event| if let Event::MediaTimeout { owner, .. } = event { Some(*owner) } else { None },
            )
            .collect();
        assert!(now.len() <= 4, "{} at once: nobody is heard meanwhile", now.len());
        told.extend(now);
    }
    told.sort_unstable();
    assert!(told.into_iter().eq(0..400), "each once");
}

fn sender_report(ssrc: u32, timestamp: u32, block: Option<(u32, u32)>) -> Vec<u8> {
    let mut packet = vec![0x80 | u8::from(block.is_some()), 200, 0, if block.is_some() { 12 } else { 6 }];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xAA; 8]);
    packet.extend(timestamp.to_be_bytes());
    packet.extend([0; 8]);
    if let Some((about, highest)) = block {
        packet.extend(about.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(highest.to_be_bytes());
        packet.extend([0; 12]);
    }
    packet
}

fn word(packet: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(packet[at..at + 4].try_into().unwrap())
}

#[test]
fn rtcp_reports_reach_the_other_side_in_its_own_terms() {
    let mut world = World::new();
    let mut customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let mut agent = Phone::new("192.0.2.2:40000", Codec::Pcma);
    let (a, b) = (world.open_to(1, &customer), world.open_to(2, &agent));
    world.connect(a, b);
    world.packet(a, customer.address, &customer.say_level(1));
    world.packet(b, agent.address, &agent.say_level(1));
    let to_agent = world.take_arrived(b)[0].rtp().header;
    let to_customer = world.take_arrived(a)[0].rtp().header;

    // The customer reports on the stream it hears from us, which is the agent's.
    let source = "192.0.2.1:30001".parse().unwrap();
    let heard = u32::from(to_customer.sequence_number);
    let mut compound =
        sender_report(customer.ssrc, customer.timestamp.wrapping_sub(160), Some((to_customer.ssrc, heard)));
    compound.extend([0x81, 202, 0, 2]); // SDES
    compound.extend(customer.ssrc.to_be_bytes());
    compound.extend([1, 2, b'x', b'y']);
    compound.extend([0x81, 203, 0, 1]); // BYE
    compound.extend(customer.ssrc.to_be_bytes());
    world.datagram(a, PacketKind::Rtcp, source, &compound);
    let got = world.take_arrived(b);
    assert_eq!(got.len(), 1);
    assert_eq!((got[0].kind, got[0].destination), (PacketKind::Rtcp, "192.0.2.2:40001".parse().unwrap()));
    let got = &got[0].bytes;
    assert_eq!(word(got, 4), to_agent.ssrc);
    assert_eq!(word(got, 16), to_agent.timestamp);
    assert_eq!(word(got, 28), agent.ssrc);
    assert_eq!(word(got, 36) & 0xFFFF, u32::from(agent.sequence.wrapping_sub(1)));
    assert_eq!(word(got, 56), to_agent.ssrc, "SDES");
    assert_eq!(got[64..], [0x80, 203, 0, 1, 0, 0, 0, 0], "a BYE without a source");

    // A BYE alone says nothing to the other side; other hosts and broken packets are refused.
    world.datagram(a, PacketKind::Rtcp, source, &compound[64..]);
    world.datagram(a, PacketKind::Rtcp, "198.51.100.1:30001".parse().unwrap(), &compound);
    world.datagram(a, PacketKind::Rtcp, source, &compound[..50]);
    world.datagram(a, PacketKind::Rtcp, source, &[]);
    assert!(world.take_arrived(b).is_empty());
    let counters = world.plane.counters();
    assert_eq!(
        (counters.forwarded_rtcp, counters.dropped_malformed, counters.dropped_foreign_source),
        (1, 2, 1)
    );
}
