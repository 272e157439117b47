//! Prompts and beeps.

use crate::world::*;
use media::{Codec, Event, PlayRequest, StreamKey, Tone, codec};
use sansio::{Duration, Rng};
use std::sync::Arc;

fn ramp(frames: usize) -> Arc<[i16]> {
    (0..frames * 160).map(|i| ((i / 160 + 1) * 1000) as i16).collect()
}

fn play(world: &mut World, stream: StreamKey, tag: u64, samples: Arc<[i16]>, repeat: bool) {
    world.with_plane(|plane, now, out| plane.play(now, stream, PlayRequest { tag, samples, repeat }, out));
}

fn rms(codec: Codec, payload: &[u8]) -> f64 {
    let mut samples = vec![0; payload.len()];
    codec::decode(codec, payload, &mut samples);
    (samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
}

#[test]
fn a_prompt_comes_frame_by_frame_and_is_done_once() {
    let mut world = World::new();
    let phone = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let stream = world.open_to(3, &phone);
    let start = world.now;
    play(&mut world, stream, 77, ramp(5), false);
    world.advance_ms(500);
    let heard = world.take_arrived(stream);
    assert_eq!(heard.len(), 5);
    assert_continuous(&heard);
    assert!(heard[0].rtp().header.marker && !heard[1].rtp().header.marker);
    for (i, packet) in heard.iter().enumerate() {
        assert_eq!(packet.at.millis_since(start), 20 * i as u64);
        let (value, expected) = (level(Codec::Pcma, &packet.rtp().payload), (i as i16 + 1) * 1000);
        assert!((value - expected).abs() < 150, "{value} for {expected}");
    }
    assert_eq!(world.take_events(), [Event::PlayDone { stream, owner: 3, tag: 77, completed: true }]);
}

/// However late and uneven the wake-ups, on average there is one frame for each 20 ms, and no burst longer than
/// the catch-up limit.
#[test]
fn pacing_under_irregular_ticks() {
    let mut world = World::new();
    let phone = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let stream = world.open_to(3, &phone);
    play(&mut world, stream, 1, ramp(20), true);
    let mut rng = Rng::from_seed(3);
    let start = world.now;
    let mut sent = 0;
    while world.now.millis_since(start) < 10_000 {
        world.now += Duration::from_micros(1 + rng.below(70_000));
        world.plane.handle_timeout(world.now, &mut world.out);
        world.settle(&[]);
        let burst = world.take_arrived(stream);
        assert!(burst.len() <= 5);
        sent += burst.len() as u64;
        let due = world.now.millis_since(start) / 20 + 1;
        assert_eq!(sent, due, "at {:?}", world.now);
    }
    assert_eq!(world.plane.counters().playout_frames_skipped, 0);
}

#[test]
fn after_a_long_stall_the_prompt_goes_on_without_a_flood() {
    let mut world = World::new();
    let phone = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let stream = world.open_to(3, &phone);
    play(&mut world, stream, 1, ramp(20), true);
    world.advance_ms(100);
    let before = world.take_arrived(stream);
    assert_eq!(before.len(), 6);
    world.now += Duration::from_secs(2);
    world.plane.handle_timeout(world.now, &mut world.out);
    world.settle(&[]);
    let after = world.take_arrived(stream);
    assert_eq!(after.len(), 1);
    let (last, next) = (before[5].rtp().header, after[0].rtp().header);
    assert_eq!(next.timestamp.wrapping_sub(last.timestamp), 2000 * 8, "the time line knows of the pause");
    assert_eq!(next.sequence_number, last.sequence_number.wrapping_add(1));
    assert_eq!(world.plane.counters().playout_frames_skipped, 99);
    world.advance_ms(100);
    assert_eq!(world.take_arrived(stream).len(), 5);
}

/// An agent's stream between two calls, and a far end that waits for us to speak first.
#[test]
fn a_stream_that_is_sent_nothing_is_kept_open() {
    let mut world = World::new();
    let mut agent = Phone::new("192.0.2.2:40000", Codec::Pcmu);
    let stream = world.open_to(3, &agent);
    let held = world.open(4);
    world.set_remote(held, media::Remote { receives: false, ..agent.remote() });
    for _ in 0..62 {
        world.packet(stream, agent.address, &agent.say_level(5));
        world.advance_ms(1000);
    }
    let heard = world.take_arrived(stream);
    assert_eq!(heard.len(), 4, "once in 15 s");
    assert_continuous(&heard);
    assert!(heard.iter().all(|packet| packet.rtp().payload[..] == [0xFF; 160]));
    assert!(world.take_arrived(held).is_empty());
}

#[test]
fn every_way_to_end_a_play_reports_it_once_and_repeats_never() {
    let mut world = World::new();
    let phone = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let (stream, other) = (world.open_to(3, &phone), world.open(4));
    let done = |tag, completed| Event::PlayDone { stream, owner: 3, tag, completed };
    play(&mut world, stream, 1, ramp(50), false);
    play(&mut world, stream, 2, ramp(50), false);
    assert_eq!(world.take_events(), [done(1, false)]);
    world.with_plane(|plane, now, out| plane.stop_playing(now, stream, out));
    world.with_plane(|plane, now, out| plane.stop_playing(now, stream, out));
    assert_eq!(world.take_events(), [done(2, false)]);
    play(&mut world, stream, 3, ramp(50), false);
    world.connect(stream, other);
    assert_eq!(world.take_events(), [done(3, false)]);
    play(&mut world, stream, 4, Arc::from([]), false);
    world.advance_ms(20);
    assert_eq!(world.take_events(), [done(4, true)]);
    play(&mut world, stream, 5, ramp(1), true);
    play(&mut world, stream, 6, Arc::from([]), true);
    world.advance_ms(200);
    assert_eq!(world.take_events(), [], "nothing to repeat is over, and repeats do not report");
    play(&mut world, stream, 7, ramp(50), false);
    world.close(stream);
    assert_eq!(world.take_events(), [done(7, false)]);
    world.close(other);
    world.assert_at_rest();
    world.advance_ms(1000);
    assert!(world.take_events().is_empty());
}

#[test]
fn a_prompt_replaces_the_peer_and_gives_way_at_the_next_packet() {
    let mut world = World::new();
    let mut customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let agent = Phone::new("192.0.2.2:40000", Codec::Pcma);
    let (a, b) = (world.open_to(1, &customer), world.open_to(2, &agent));
    world.connect(a, b);
    let mut heard = Vec::new();
    for round in 0..30 {
        match round {
            10 => play(&mut world, b, 1, Arc::from([-9000_i16; 8000]), false),
            20 => world.with_plane(|plane, now, out| plane.stop_playing(now, b, out)),
            _ => {}
        }
        world.packet(a, customer.address, &customer.say_level(1000));
        world.advance_ms(20);
    }
    heard.extend(world.take_arrived(b));
    assert_continuous(&heard);
    let levels: Vec<bool> = heard.iter().map(|p| level(Codec::Pcma, &p.rtp().payload) > 0).collect();
    let after = levels.iter().rev().take_while(|customer| **customer).count();
    let before = levels.iter().take_while(|customer| **customer).count();
    assert_eq!((before, after), (10, 10));
    assert_eq!(world.plane.counters().dropped_while_playing, 10);
}

#[test]
fn a_beep_rides_on_relayed_packets() {
    let mut world = World::new();
    let mut customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let agent = Phone::new("192.0.2.2:40000", Codec::Pcmu);
    let (a, b) = (world.open_to(1, &customer), world.open_to(2, &agent));
    world.connect(a, b);
    let mut before = 0;
    for round in 0..30 {
        if round == 10 {
            before = world.plane.counters().frames_played;
            world.with_plane(|plane, now, out| plane.tone(now, b, Tone::default(), out));
        }
        world.packet(a, customer.address, &customer.say(&[0; 160]));
        world.advance_ms(20);
    }
    let heard = world.take_arrived(b);
    assert_eq!(heard.len(), 30, "not one packet more, not one late");
    assert_eq!(world.plane.counters().frames_played, before);
    assert_continuous(&heard);
    let loud: Vec<usize> = (0..30).filter(|i| rms(Codec::Pcmu, &heard[*i].rtp().payload) > 500.0).collect();
    assert_eq!(loud, (10..18).collect::<Vec<_>>(), "150 ms are seven and a half frames");
    // -18 dBm0: the rms of 0 dBm0 is 16,141.
    let expected = 16_141.0 * 10_f64.powf(-18.0 / 20.0);
    assert!((rms(Codec::Pcmu, &heard[13].rtp().payload) / expected - 1.0).abs() < 0.05);
}

#[test]
fn a_beep_to_a_silent_stream_is_sent_alone_and_speech_joins_on() {
    let mut world = World::new();
    let mut customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let agent = Phone::new("192.0.2.2:40000", Codec::Pcma);
    let (a, b) = (world.open_to(1, &customer), world.open_to(2, &agent));
    let start = world.now;
    world.with_plane(|plane, now, out| plane.tone(now, b, Tone::default(), out));
    world.connect(a, b);
    world.advance_ms(70);
    for _ in 0..10 {
        world.packet(a, customer.address, &customer.say(&[0; 160]));
        world.advance_ms(20);
    }
    world.advance_ms(500);
    let heard = world.take_arrived(b);
    assert_eq!(heard[0].at, start, "at once");
    assert_continuous(&heard);
    assert_eq!(heard.len(), 4 + 10);
    let loud = heard.iter().filter(|p| rms(Codec::Pcma, &p.rtp().payload) > 500.0).count();
    assert_eq!(loud, 8);
}
