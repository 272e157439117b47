//! Far ends that do not speak G.711: relayed as they are among their like, translated where the other side is not.

use crate::world::*;
use bytes::Bytes;
use media::{Codec, Coded, ForkOp, ForkWish, MediaError, PlayRequest, Recording, Remote, StreamKey, Tone};
use std::sync::Arc;

/// Two far ends, of these codings, joined.
fn pair(a: Option<Coded>, b: Option<Coded>) -> (World, [Phone; 2], [StreamKey; 2]) {
    let mut world = World::new();
    let phones = [Phone::new("192.0.2.1:30000", Codec::Pcmu), Phone::new("192.0.2.2:30000", Codec::Pcma)];
    let mut streams = Vec::new();
    for (phone, coded) in phones.iter().zip([a, b]) {
        let stream = world.open(streams.len() as u64);
        world.set_remote(stream, remote(phone, coded));
        streams.push(stream);
    }
    world.connect(streams[0], streams[1]);
    (world, phones, [streams[0], streams[1]])
}

fn remote(phone: &Phone, coded: Option<Coded>) -> Remote {
    coded.map_or(phone.remote(), |coded| phone.remote().with_coded(coded))
}

const SPEECH: &[u8] = b"twenty milliseconds";

#[test]
fn the_same_coding_on_both_sides_is_relayed_untouched() {
    for coded in [Coded::G722, Coded::Opus, Coded::G729] {
        let (mut world, mut phones, streams) = pair(Some(coded), Some(coded));
        // Each side under a number of its own.
        let other = Remote { payload_type: 99, ..remote(&phones[1], Some(coded)) };
        world.set_remote(streams[1], other);
        for _ in 0..10 {
            let packet = phones[0].next(false, coded.payload_type(), 160, Bytes::from_static(SPEECH));
            world.packet(streams[0], phones[0].address, &packet);
            world.advance_ms(20);
        }
        let arrived = world.take_arrived(streams[1]);
        assert_eq!(arrived.len(), 10, "{coded:?}");
        assert_continuous(&arrived);
        for packet in arrived.iter().map(Arrived::rtp) {
            assert_eq!((packet.header.payload_type, &packet.payload[..]), (99, SPEECH));
        }
        assert_eq!(world.plane.counters().transcoded, 0);
        streams.into_iter().for_each(|stream| world.close(stream));
        world.assert_at_rest();
    }
}

#[test]
fn another_coding_is_translated_and_back_to_the_relay_when_it_ends() {
    let (mut world, mut phones, streams) = pair(Some(Coded::G722), None);
    for _ in 0..50 {
        let spoken = phones[1].say_level(4_000);
        world.packet(streams[1], phones[1].address, &spoken);
        world.advance_ms(20);
    }
    let translated = world.take_arrived(streams[0]);
    assert_continuous(&translated);
    assert!((45..=51).contains(&translated.len()), "{}", translated.len());
    assert!(translated.iter().all(|packet| packet.rtp().header.payload_type == 9));

    // What was coded for it is read again by us when it says the same.
    for packet in &translated {
        let payload = packet.rtp().payload;
        let spoken = phones[0].next(false, 9, 160, payload);
        world.packet(streams[0], phones[0].address, &spoken);
        world.advance_ms(20);
    }
    let heard = world.take_arrived(streams[1]);
    assert_continuous(&heard);
    let last = heard[heard.len() - 10].rtp();
    assert!((last.header.payload_type, last.payload.len()) == (8, 160));
    let heard = level(Codec::Pcma, &last.payload);
    assert!((3_500..4_500).contains(&heard), "{heard}");

    // A new answer: both speak G.711 now.
    world.set_remote(streams[0], remote(&phones[0], None));
    world.take_arrived(streams[0]);
    let spoken = phones[1].say_level(4_000);
    world.packet(streams[1], phones[1].address, &spoken);
    assert_eq!(world.take_arrived(streams[0]).len(), 1, "at once, by the relay");
    streams.into_iter().for_each(|stream| world.close(stream));
    world.assert_at_rest();
}

#[test]
fn opus_speaks_to_g722_through_loss_and_its_clock_runs_at_48_khz() {
    let (mut world, mut phones, streams) = pair(Some(Coded::Opus), Some(Coded::G722));
    // Opus of ours, made by playing to the stream.
    let tone: Arc<[i16]> = (0..16_000).map(|i| if i / 10 % 2 == 0 { 6_000 } else { -6_000 }).collect();
    let play = PlayRequest { tag: 1, samples: tone, repeat: false };
    world.with_plane(|plane, now, out| plane.play(now, streams[0], play, out));
    world.advance_ms(1_900);
    let opus = world.take_arrived(streams[0]);
    assert_continuous(&opus);
    for two in opus.windows(2) {
        let step = two[1].rtp().header.timestamp.wrapping_sub(two[0].rtp().header.timestamp);
        assert_eq!(step, 960);
    }
    world.with_plane(|plane, now, out| plane.stop_playing(now, streams[0], out));
    world.take_arrived(streams[1]);
    for (place, packet) in opus.iter().enumerate() {
        let spoken = phones[0].next(false, 111, 960, packet.rtp().payload);
        if place % 10 != 7 {
            world.packet(streams[0], phones[0].address, &spoken);
        }
        world.advance_ms(20);
    }
    let heard = world.take_arrived(streams[1]);
    assert_continuous(&heard);
    assert!(heard.len() + 3 >= opus.len(), "a frame every 20 ms: {} of {}", heard.len(), opus.len());
    assert!(world.plane.stats(streams[0]).unwrap().jitter_ms < 3.0);
    let lost = (0..opus.len()).filter(|place| place % 10 == 7).count() as u64;
    assert!((lost - 1..=lost).contains(&world.plane.counters().recovered), "one may be the last packet");
    assert_eq!(world.plane.counters().undecodable, 0);
    streams.into_iter().for_each(|stream| world.close(stream));
    world.assert_at_rest();
}

#[test]
fn who_is_recorded_prompted_and_beeped_at_may_speak_g722() {
    let (mut world, mut phones, streams) = pair(Some(Coded::G722), Some(Coded::G722));
    // G.722 of a level.
    let play = PlayRequest { tag: 1, samples: vec![4_000; 8_000].into(), repeat: false };
    world.with_plane(|plane, now, out| plane.play(now, streams[0], play, out));
    world.advance_ms(990);
    let spoken: Vec<Bytes> = world.take_arrived(streams[0]).iter().map(|one| one.rtp().payload).collect();
    assert!(spoken.len() >= 49 && spoken.iter().all(|payload| payload.len() == 160));

    world.advance_ms(50);
    let recording = Recording { id: 7, left: streams[0], right: Some(streams[1]) };
    world.with_plane(|plane, now, out| plane.start_recording(now, recording, out)).unwrap();
    let beep = Tone { duration_ms: 200, ..Tone::default() };
    world.with_plane(|plane, now, out| plane.tone(now, streams[1], beep, out));
    world.take_arrived(streams[1]);
    for payload in &spoken {
        let packet = phones[0].next(false, 9, 160, payload.clone());
        world.packet(streams[0], phones[0].address, &packet);
        world.advance_ms(20);
    }
    let heard = world.take_arrived(streams[1]);
    assert_continuous(&heard);
    let relayed = heard.iter().filter(|one| spoken.contains(&one.rtp().payload)).count();
    assert!((35..=42).contains(&relayed), "all but the beep's 200 ms: {relayed}");
    world.with_plane(|plane, now, out| plane.stop_recording(now, 7, out));
    let samples = &world.files[&7].samples;
    let mut left: Vec<i16> = samples[2_000..6_000].iter().map(|frame| frame[0]).collect();
    left.sort_unstable();
    assert!((3_700..4_300).contains(&left[2_000]), "{}", left[2_000]);
    streams.into_iter().for_each(|stream| world.close(stream));
    world.assert_at_rest();
}

#[test]
fn a_fork_hears_both_sides_of_a_call_in_g722_and_speaks_into_it() {
    let (mut world, mut phones, streams) = pair(Some(Coded::G722), Some(Coded::G722));
    let play = PlayRequest { tag: 1, samples: vec![4_000; 8_000].into(), repeat: false };
    world.with_plane(|plane, now, out| plane.play(now, streams[0], play, out));
    world.advance_ms(990);
    let spoken: Vec<Bytes> = world.take_arrived(streams[0]).iter().map(|one| one.rtp().payload).collect();
    world.advance_ms(50);
    let wish = ForkWish { id: 5, stream: streams[0], inbound: true, outbound: true, mix: false };
    world.with_plane(|plane, now, _| plane.start_fork(now, wish)).unwrap();
    assert_eq!(world.plane.start_fork(world.now, wish), Err(MediaError::AlreadyForked));
    for payload in &spoken {
        for (phone, stream) in phones.iter_mut().zip(streams) {
            let packet = phone.next(false, 9, 160, payload.clone());
            world.packet(stream, phone.address, &packet);
        }
        world.advance_ms(20);
    }
    let loud = |samples: &Option<Box<[i16]>>| samples.as_ref().is_some_and(|samples| samples[80] > 3_700);
    let both = world.forked.iter().filter(|op| match op {
        ForkOp::Sound { id: 5, inbound, outbound, .. } => loud(inbound) && loud(outbound),
        _ => false,
    });
    assert!(both.count() > 30, "{:?}", world.forked.len());

    world.take_arrived(streams[0]);
    world.with_plane(|plane, _, _| {
        plane.fork_say(streams[0], &[2_000; 1_600]);
        plane.fork_mark(streams[0], "said".into());
    });
    world.advance_ms(180);
    let mark = ForkOp::Mark { id: 5, name: "said".into() };
    assert!(!world.forked.contains(&mark), "not all of it was played");
    world.advance_ms(60);
    assert!(world.forked.contains(&mark));
    assert!(world.take_arrived(streams[0]).len() >= 10);
    streams.into_iter().for_each(|stream| world.close(stream));
    let ends = world.forked.iter().filter(|op| **op == ForkOp::End { id: 5 });
    assert_eq!(ends.count(), 1);
    world.assert_at_rest();
}

#[test]
fn comfort_noise_goes_to_who_knows_it() {
    for knows in [false, true] {
        let (mut world, mut phones, streams) = pair(None, None);
        world.set_remote(streams[1], Remote { comfort_noise: knows, ..remote(&phones[1], None) });
        let quiet = phones[0].next(false, 13, 160, Bytes::from_static(&[60]));
        world.packet(streams[0], phones[0].address, &quiet);
        let arrived = world.take_arrived(streams[1]);
        assert_eq!(arrived.len(), usize::from(knows));
        assert!(arrived.iter().all(|one| one.rtp().header.payload_type == 13));
    }
}

/// What is said from outside over the peer: both at once, and the fork is given what is heard without itself.
#[test]
fn a_fork_speaks_over_the_peer_where_that_is_wanted() {
    for (mix, expected) in [(false, 2_000), (true, 5_000)] {
        let (mut world, mut phones, streams) = pair(None, None);
        let wish = ForkWish { id: 5, stream: streams[0], inbound: false, outbound: true, mix };
        world.with_plane(|plane, now, _| plane.start_fork(now, wish)).unwrap();
        for tick in 0..40 {
            if tick == 20 {
                world.take_arrived(streams[0]);
                world.forked.clear();
                world.with_plane(|plane, _, _| plane.fork_say(streams[0], &[2_000; 3_200]));
            }
            let packet = phones[1].say_level(3_000);
            world.packet(streams[1], phones[1].address, &packet);
            world.advance_ms(20);
        }
        let near = |sample: i16, wanted: i16| sample.abs_diff(wanted) < 200;
        let arrived = world.take_arrived(streams[0]);
        let heard = arrived.iter().filter(|one| near(level(phones[0].codec, &one.rtp().payload), expected));
        assert!(heard.count() >= 16, "mix {mix}");
        assert!(arrived.len() < 25, "spoken to or relayed to, not both: {}", arrived.len());
        let without = if mix { 3_000 } else { 0 };
        let given = world.forked.iter().filter(|op| match op {
            ForkOp::Sound { outbound: Some(outbound), .. } => near(outbound[80], without),
            _ => false,
        });
        assert!(given.count() >= 16, "mix {mix}");
        streams.into_iter().for_each(|stream| world.close(stream));
        world.assert_at_rest();
    }
}

/// The share of a sound's power that a tone has.
fn share(sound: &[i16], hertz: f64, rate: f64) -> f64 {
    let (mut re, mut im, mut power) = (0.0, 0.0, 1.0);
    for (i, sample) in sound.iter().enumerate() {
        let (angle, sample) = (std::f64::consts::TAU * hertz * i as f64 / rate, f64::from(*sample));
        re += sample * angle.cos();
        im += sample * angle.sin();
        power += sample * sample;
    }
    2.0 * (re * re + im * im) / sound.len() as f64 / power
}

/// What lies over 4 kHz goes from G.722 to Opus and back; who records and whom a prompt is played to hears a telephone.
#[test]
fn g722_and_opus_hear_each_other_wide() {
    use audio_codec::g722::{Bitrate, G722Decoder, G722Encoder};
    use audio_codec::{Decoder as _, Encoder as _};

    const HERTZ: f64 = 5_500.0;
    let (mut world, mut phones, streams) = pair(Some(Coded::G722), Some(Coded::Opus));
    let tone = |place: usize| -> Vec<i16> {
        let at = |i: usize| (place * 320 + i) as f64 / 16_000.0;
        (0..320).map(|i| ((at(i) * HERTZ * std::f64::consts::TAU).sin() * 8_000.0) as i16).collect()
    };
    let mut g722 = G722Encoder::with_options(Bitrate::Mode1_64000, false, false);
    let mut opus = opus::Encoder::new(16_000, opus::Channels::Mono, opus::Application::Voip).unwrap();
    opus.set_bitrate(opus::Bitrate::Bits(32_000)).unwrap();
    let recording = Recording { id: 7, left: streams[0], right: Some(streams[1]) };
    world.with_plane(|plane, now, out| plane.start_recording(now, recording, out)).unwrap();
    for place in 0..150 {
        let mut payload = vec![0; 400];
        let length = g722.encode_into(&tone(place), &mut payload).unwrap();
        let packet = phones[0].next(false, 9, 160, Bytes::copy_from_slice(&payload[..length]));
        world.packet(streams[0], phones[0].address, &packet);
        let length = opus.encode(&tone(place), &mut payload).unwrap();
        let packet = phones[1].next(false, 111, 960, Bytes::copy_from_slice(&payload[..length]));
        // One in thirty is lost.
        if place % 30 != 17 {
            world.packet(streams[1], phones[1].address, &packet);
        }
        world.advance_ms(20);
    }
    let mut reader = opus::Decoder::new(16_000, opus::Channels::Mono).unwrap();
    let heard: Vec<i16> = world
        .take_arrived(streams[1])
        .iter()
        .flat_map(|packet| {
            let mut samples = [0; 1_920];
            let count = reader.decode(&packet.rtp().payload, &mut samples, false).unwrap();
            samples[..count].to_vec()
        })
        .collect();
    let mut reader = G722Decoder::with_options(Bitrate::Mode1_64000, false, false);
    let back: Vec<i16> = world
        .take_arrived(streams[0])
        .iter()
        .flat_map(|packet| {
            let mut samples = [0; 640];
            let count = reader.decode_into(&packet.rtp().payload, &mut samples).unwrap();
            samples[..count].to_vec()
        })
        .collect();
    for (side, sound) in [("Opus", heard), ("G.722", back)] {
        assert!(sound.len() > 140 * 320, "{side}: {}", sound.len());
        let settled = &sound[30 * 320..130 * 320];
        // Between two losses the tone is one piece.
        let wide =
            settled.chunks_exact(4 * 320).map(|piece| share(piece, HERTZ, 16_000.0)).sum::<f64>() / 25.0;
        assert!(wide > 0.8, "{side}: {wide}");
    }
    world.with_plane(|plane, now, out| plane.stop_recording(now, 7, out));
    let loudest =
        world.files[&7].samples[8_000..].iter().map(|frame| frame[0].abs().max(frame[1].abs())).max();
    assert!(loudest.unwrap() < 1_000, "nothing of it folds into what is recorded: {loudest:?}");
    streams.into_iter().for_each(|stream| world.close(stream));
    world.assert_at_rest();
}
