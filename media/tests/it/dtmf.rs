//! Digits through the plane: RFC 4733, and tones in the sound.

use crate::synth::Sound;
use crate::world::*;
use media::{Codec, Ears, Event, StreamKey};
use sansio::Rng;

fn world() -> (World, StreamKey, StreamKey, Phone, Phone) {
    let mut world = World::new();
    let customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let agent = Phone::new("192.0.2.2:40000", Codec::Pcmu);
    let (a, b) = (world.open_to(1, &customer), world.open(2));
    world.set_remote(b, media::Remote { dtmf_payload_type: Some(96), ..agent.remote() });
    world.connect(a, b);
    world.plane.listen(world.now, a, Ears { dtmf: true, ..Ears::default() });
    (world, a, b, customer, agent)
}

fn digits(world: &mut World) -> Vec<(char, u32)> {
    let digit = |event| match event {
        Event::Dtmf { digit, duration_ms, owner: 1, .. } => (digit, duration_ms),
        other => panic!("{other:?}"),
    };
    world.take_events().into_iter().map(digit).collect()
}

#[test]
fn a_press_is_one_event_and_reaches_the_other_side_under_its_payload_type() {
    let (mut world, a, b, mut customer, _) = world();
    world.packet(a, customer.address, &customer.say_level(1));
    for step in 1..=5_u16 {
        world.advance_ms(20);
        world.packet(a, customer.address, &customer.event(7, false, step * 160));
    }
    for _ in 0..3 {
        world.packet(a, customer.address, &customer.event(7, true, 960));
    }
    customer.timestamp = customer.timestamp.wrapping_add(960);
    world.packet(a, customer.address, &customer.say_level(1));
    world.advance_ms(1000);
    assert_eq!(digits(&mut world), [('7', 120)]);
    let heard = world.take_arrived(b);
    assert_eq!(heard.len(), 10);
    assert_continuous(&heard);
    let types: Vec<u8> = heard.iter().map(|packet| packet.rtp().header.payload_type).collect();
    assert_eq!(types, [0, 96, 96, 96, 96, 96, 96, 96, 96, 0]);
    assert_eq!(heard[8].rtp().payload[..], [7, 0x8A, 3, 0xC0], "untouched");
    let timestamps: Vec<u32> = heard[1..9].iter().map(|packet| packet.rtp().header.timestamp).collect();
    assert!(timestamps.iter().all(|timestamp| *timestamp == timestamps[0]), "one event, one timestamp");
}

#[test]
fn lost_end_packets_end_by_time() {
    let (mut world, a, _, mut customer, _) = world();
    world.packet(a, customer.address, &customer.event(11, false, 400));
    world.advance_ms(100);
    assert_eq!(digits(&mut world), []);
    world.advance_ms(200);
    assert_eq!(digits(&mut world), [('#', 50)]);
    world.advance_ms(2000);
    assert_eq!(digits(&mut world), []);
}

#[test]
fn without_ears_digits_pass_unreported_and_without_a_payload_type_they_stay() {
    let (mut world, a, b, mut customer, mut agent) = world();
    world.plane.listen(world.now, a, Ears::default());
    world.packet(a, customer.address, &customer.event(1, true, 400));
    assert_eq!(digits(&mut world), []);
    assert_eq!(world.take_arrived(b).len(), 1);
    world.set_remote(a, media::Remote { dtmf_payload_type: None, ..customer.remote() });
    let press = media::Remote { dtmf_payload_type_local: Some(DTMF), ..agent.remote() };
    world.set_remote(b, press);
    world.packet(b, agent.address, &agent.event(1, true, 400));
    assert!(world.take_arrived(a).is_empty());
    assert_eq!(world.plane.counters().dropped_payload_type, 1);
    assert_eq!(world.plane.counters().dtmf_digits, 2);
}

/// 5 pressed for 100 ms as tones within two seconds of sound.
fn press_in_band(world: &mut World, stream: media::StreamKey, phone: &mut Phone, silence_follows: bool) {
    let sound = Sound::default().silence(0.2).tones(&[770.0, 1336.0], 0.1, -10.0).silence(0.2);
    for samples in sound.frames().iter().take(if silence_follows { 15 } else { 25 }) {
        let packet = phone.say(samples);
        world.packet(stream, phone.address, &packet);
        world.advance_ms(20);
    }
    world.advance_ms(300);
}

#[test]
fn tones_in_the_sound_are_digits_where_nothing_better_was_agreed() {
    for silence_follows in [false, true] {
        let (mut world, a, _, mut customer, _) = world();
        press_in_band(&mut world, a, &mut customer, silence_follows);
        assert_eq!(digits(&mut world), [], "it has telephone-event");
        world.set_remote(a, media::Remote { dtmf_payload_type: None, ..customer.remote() });
        press_in_band(&mut world, a, &mut customer, silence_follows);
        let heard = world.take_events();
        let [Event::Dtmf { owner: 1, digit: '5', duration_ms, source, .. }] = heard[..] else {
            panic!("one digit: {heard:?}")
        };
        assert_eq!(source, media::DigitSource::InBand);
        assert!((75..=115).contains(&duration_ms), "{duration_ms}");
    }
}

#[test]
fn who_listens_always_or_never() {
    for (in_band_digits, count) in [(media::InBandDigits::Always, 1), (media::InBandDigits::Never, 0)] {
        let mut world = World::with(media::Config { in_band_digits, ..config() });
        let mut phone = Phone::new("192.0.2.1:30000", Codec::Pcma);
        let stream = world.open_to(1, &phone);
        world.plane.listen(world.now, stream, Ears { dtmf: true, ..Ears::default() });
        press_in_band(&mut world, stream, &mut phone, false);
        assert_eq!(world.take_events().len(), count);
    }
}

/// Twenty minutes of synthetic speech, at telephone level, of hundreds of voices: no digit may be heard in it.
#[test]
fn nobody_talks_in_digits() {
    let mut rng = Rng::from_seed(11);
    let mut ears = media::dsp::dtmf::InBand::default();
    for _ in 0..400 {
        let speech = Sound::default().speech(&mut rng, 3.0, -15.0);
        for frame in speech.frames() {
            assert_eq!(ears.hear(&frame[..], |sample| sample), None);
        }
    }
}
