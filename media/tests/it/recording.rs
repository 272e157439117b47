//! Two channels, one time line.

use crate::world::*;
use core::f64::consts::TAU;
use media::{Codec, Coded, MediaError, PauseBehavior, PlayRequest, Recording, StreamKey};
use sansio::{Duration, Rng};
use std::sync::Arc;

/// 20 ms of a sine.
fn sine(frequency: f64, packet: usize) -> Vec<i16> {
    let sample = |i: usize| (8000.0 * (TAU * frequency * (packet * 160 + i) as f64 / 8000.0).sin()) as i16;
    (0..160).map(sample).collect()
}

/// Power of one frequency in one channel's 20 ms, relative to that of [`sine`].
fn power(samples: &[[i16; 2]], channel: usize, frequency: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (i, frame) in samples.iter().enumerate() {
        let phase = TAU * frequency * i as f64 / 8000.0;
        re += f64::from(frame[channel]) * phase.cos();
        im += f64::from(frame[channel]) * phase.sin();
    }
    (re * re + im * im).sqrt() / (samples.len() as f64 / 2.0) / 8000.0
}

/// Which 20 ms hold the frequency, in units of 20 ms from the start.
fn where_is(samples: &[[i16; 2]], channel: usize, frequency: f64) -> Vec<usize> {
    let slices = samples.chunks_exact(160).enumerate();
    slices.filter(|(_, slice)| power(slice, channel, frequency) > 0.8).map(|(i, _)| i).collect()
}

struct Call {
    world: World,
    customer: Phone,
    agent: Phone,
    a: StreamKey,
    b: StreamKey,
}

fn call() -> Call {
    let mut world = World::new();
    let customer = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let agent = Phone::new("192.0.2.2:40000", Codec::Pcmu);
    let (a, b) = (world.open_to(1, &customer), world.open_to(2, &agent));
    world.connect(a, b);
    Call { world, customer, agent, a, b }
}

impl Call {
    fn record(&mut self, id: u64, right: Option<StreamKey>) {
        let recording = Recording { id, left: self.a, right };
        self.world.with_plane(|plane, now, out| plane.start_recording(now, recording, out)).unwrap();
    }
}

#[test]
fn two_tones_lie_where_they_were_heard_each_in_its_channel() {
    let mut call = call();
    call.record(1, Some(call.b));
    for i in 0..250_usize {
        // The customer speaks in 1.0–2.0 s; the agent in 1.5–3.0 s and 4.0–4.5 s, sending nothing in between.
        let customer = if (50..100).contains(&i) { sine(440.0, i) } else { vec![0; 160] };
        let packet = call.customer.say(&customer);
        call.world.packet(call.a, call.customer.address, &packet);
        if (75..150).contains(&i) || (200..225).contains(&i) {
            let packet = call.agent.say(&sine(1000.0, i));
            call.world.packet(call.b, call.agent.address, &packet);
        } else {
            call.agent.timestamp = call.agent.timestamp.wrapping_add(160);
        }
        call.world.advance_ms(20);
    }
    let appended = call.world.files[&1].samples.len();
    assert!((8000 * 4..=8000 * 5).contains(&appended), "handed out as it goes: {appended}");
    call.world.with_plane(|plane, now, out| plane.stop_recording(now, 1, out));
    let file = &call.world.files[&1];
    assert_eq!(file.finished, Some(40_000));
    assert_eq!(where_is(&file.samples, 0, 440.0), (50..100).collect::<Vec<_>>());
    assert_eq!(where_is(&file.samples, 1, 1000.0), (75..150).chain(200..225).collect::<Vec<_>>());
    assert!(where_is(&file.samples, 1, 440.0).is_empty() && where_is(&file.samples, 0, 1000.0).is_empty());
}

#[test]
fn jitter_loss_and_reordering_do_not_move_the_sound() {
    let mut call = call();
    call.record(1, Some(call.b));
    let mut rng = Rng::from_seed(5);
    let mut on_the_way: Vec<(u64, usize)> = (0..300)
        .filter(|i| i % 17 != 5)
        .map(|i| (i as u64 * 20 + if i < 5 { 0 } else { rng.below(80) }, i))
        .collect();
    on_the_way.sort_unstable();
    let packets: Vec<_> = (0..300)
        .map(|i| call.customer.say(&if i / 25 % 2 == 0 { sine(700.0, i) } else { vec![0; 160] }))
        .collect();
    let start = call.world.now;
    for (ms, i) in on_the_way {
        let at = start + Duration::from_millis(ms);
        call.world.advance(at.since(call.world.now));
        call.world.packet(call.a, call.customer.address, &packets[i]);
    }
    call.world.advance_ms(6200 - call.world.now.millis_since(start));
    call.world.with_plane(|plane, now, out| plane.stop_recording(now, 1, out));
    let expected: Vec<usize> = (0..300).filter(|i| i / 25 % 2 == 0 && i % 17 != 5).collect();
    assert_eq!(where_is(&call.world.files[&1].samples, 0, 700.0), expected);
}

/// A sender whose clock is 500 ppm slow drifts 60 ms in two minutes; the recording follows.
#[test]
fn a_drifting_clock_is_followed() {
    let mut call = call();
    call.record(1, Some(call.b));
    let start = call.world.now;
    for i in 0..6000_u64 {
        let at = start + Duration::from_nanos(i * 20_010_000);
        call.world.advance(at.since(call.world.now));
        let sound = if i % 50 == 0 { sine(600.0, 0) } else { vec![0; 160] };
        let packet = call.customer.say(&sound);
        call.world.packet(call.a, call.customer.address, &packet);
    }
    call.world.with_plane(|plane, now, out| plane.stop_recording(now, 1, out));
    let samples = &call.world.files[&1].samples;
    let onset = |from: usize| from + samples[from..].iter().position(|frame| frame[0].abs() > 2000).unwrap();
    let last = onset((5950 * 20_010 / 125) - 2000);
    let expected = 5950 * 20_010 / 125;
    let off_ms = (last as i64 - expected as i64).abs() / 8;
    assert!(off_ms <= 35, "{off_ms} ms off");
}

#[test]
fn the_right_side_may_change_and_what_we_play_to_the_customer_is_heard_there() {
    let mut call = call();
    call.world.with_plane(|plane, now, _| plane.disconnect(now, call.a));
    call.record(1, None);
    let prompt: Arc<[i16]> = (0..50).flat_map(|i| sine(500.0, i)).collect();
    let (a, b) = (call.a, call.b);
    call.world.with_plane(|plane, now, out| {
        plane.play(now, a, PlayRequest { tag: 0, samples: prompt, repeat: false }, out);
    });
    call.world.advance_ms(1000);
    let second = Phone::new("192.0.2.3:40000", Codec::Pcma);
    let c = call.world.open_to(3, &second);
    let mut agents = [call.agent.clone(), second];
    for (stream, agent, frequency) in [(b, 0, 900.0), (c, 1, 1300.0)] {
        call.world.connect(a, stream);
        call.world.with_plane(|plane, now, _| plane.retarget_recording(now, 1, Some(stream))).unwrap();
        for i in 0..50 {
            let packet = agents[agent].say(&sine(frequency, i));
            let source = agents[agent].address;
            call.world.packet(stream, source, &packet);
            let idle = agents[1 - agent].say(&sine(2000.0, i));
            let source = agents[1 - agent].address;
            call.world.packet(if stream == b { c } else { b }, source, &idle);
            call.world.advance_ms(20);
        }
    }
    call.world.close(c);
    call.world.advance_ms(100);
    call.world.close(a);
    let file = &call.world.files[&1];
    assert_eq!(file.finished, Some(3_100 * 8), "closing the left side ends it");
    assert_eq!(where_is(&file.samples, 1, 500.0), (0..50).collect::<Vec<_>>());
    assert_eq!(where_is(&file.samples, 1, 900.0), (50..100).collect::<Vec<_>>());
    assert_eq!(where_is(&file.samples, 1, 1300.0), (100..150).collect::<Vec<_>>());
    assert!(where_is(&file.samples, 1, 2000.0).is_empty());
    call.world.close(b);
    call.world.assert_at_rest();
}

#[test]
fn misuse_is_refused_and_changes_nothing() {
    let mut call = call();
    let (a, b) = (call.a, call.b);
    call.record(1, Some(b));
    let mut start = |id, left, right| {
        let recording = Recording { id, left, right };
        call.world.with_plane(|plane, now, out| plane.start_recording(now, recording, out))
    };
    assert_eq!(start(1, a, None), Err(MediaError::AlreadyRecording));
    assert_eq!(start(2, a, None), Err(MediaError::AlreadyRecording));
    assert_eq!(start(2, StreamKey::from_bits(99), None), Err(MediaError::UnknownStream));
    let c = call.world.open(3);
    let mut start = |id, left, right| {
        let recording = Recording { id, left, right };
        call.world.with_plane(|plane, now, out| plane.start_recording(now, recording, out))
    };
    assert_eq!(start(1, c, None), Err(MediaError::AlreadyRecording));
    assert_eq!(start(2, c, Some(c)), Err(MediaError::AlreadyRecording));
    assert_eq!(start(2, c, None), Ok(()));
    let world = &mut call.world;
    let mut retarget = |id, right| world.with_plane(|plane, now, _| plane.retarget_recording(now, id, right));
    assert_eq!(retarget(9, None), Err(MediaError::UnknownRecording));
    assert_eq!(retarget(1, Some(c)), Err(MediaError::AlreadyRecording));
    assert_eq!(retarget(1, Some(b)), Ok(()));
    assert_eq!(retarget(2, Some(a)), Err(MediaError::AlreadyRecording));
    assert_eq!(retarget(2, Some(b)), Ok(()), "taken from the other recording");
    assert_eq!(retarget(1, Some(b)), Ok(()), "and back");
    for id in [1, 1, 2, 3] {
        world.with_plane(|plane, now, out| plane.stop_recording(now, id, out));
    }
    assert_eq!(world.plane.counters().recordings_started, 2);
    assert_eq!(world.plane.counters().recordings_active, 0);
}

/// Nothing is heard and nobody wakes the plane for a minute: the file is a minute of silence all the same.
#[test]
fn silence_and_a_sleeping_edge() {
    let mut call = call();
    call.record(1, Some(call.b));
    call.world.now += Duration::from_secs(60);
    for _ in 0..2000 {
        let packet = call.customer.say(&sine(440.0, 0));
        call.world.packet(call.a, call.customer.address, &packet);
    }
    call.world.with_plane(|plane, now, out| plane.stop_recording(now, 1, out));
    assert_eq!(call.world.files[&1].finished, Some(480_000));
}

/// Paused in 1.0–2.0 s and in 3.0–3.5 s; the customer speaks all the time, and what was said in the first pause comes
/// late, after its end.
fn paused(behavior: PauseBehavior) -> (Vec<usize>, File) {
    let mut call = call();
    call.record(1, Some(call.b));
    let packets: Vec<_> = (0..250).map(|i| call.customer.say(&sine(440.0, i))).collect();
    for i in 0..250_usize {
        call.world
            .with_plane(|plane, now, _| match i {
                50 | 60 | 150 => plane.pause_recording(now, 1, behavior),
                100 | 110 | 175 => plane.resume_recording(now, 1),
                _ => Ok(()),
            })
            .unwrap();
        // The packets of the first pause's last 100 ms are held up on the way and come after it.
        let source = call.customer.address;
        if !(95..100).contains(&i) {
            call.world.packet(call.a, source, &packets[i]);
        }
        if i == 101 {
            (95..100).for_each(|late| call.world.packet(call.a, source, &packets[late]));
        }
        call.world.advance_ms(20);
    }
    call.world.with_plane(|plane, now, out| plane.stop_recording(now, 1, out));
    let file = call.world.files.remove(&1).unwrap();
    (where_is(&file.samples, 0, 440.0), file)
}

#[test]
fn a_pause_is_silence_as_long_as_it_was() {
    let (heard, file) = paused(PauseBehavior::Silence);
    assert_eq!((file.finished, file.paused_frames), (Some(40_000), 12_000));
    assert_eq!(heard, (0..50).chain(100..150).chain(175..250).collect::<Vec<_>>());
    let pauses = [8_000..16_000, 24_000..28_000].map(|pause| &file.samples[pause]);
    assert!(pauses.iter().all(|pause| pause.iter().all(|frame| *frame == [0, 0])), "not a sample");
}

#[test]
fn a_pause_is_left_out_where_that_is_wanted() {
    let (heard, file) = paused(PauseBehavior::Skip);
    assert_eq!((file.finished, file.paused_frames), (Some(28_000), 12_000));
    assert_eq!(heard, (0..175).collect::<Vec<_>>());
}

#[test]
fn a_recording_may_end_while_it_is_paused() {
    for (behavior, frames) in [(PauseBehavior::Silence, 16_000), (PauseBehavior::Skip, 8_000)] {
        let mut call = call();
        call.record(1, Some(call.b));
        call.world.advance_ms(1_000);
        call.world.with_plane(|plane, now, _| plane.pause_recording(now, 1, behavior)).unwrap();
        call.world.advance_ms(1_000);
        call.world.close(call.a);
        let file = &call.world.files[&1];
        assert_eq!((file.finished, file.paused_frames), (Some(frames), 8_000));
        let gone = call.world.with_plane(|plane, now, _| plane.resume_recording(now, 1));
        assert_eq!(gone, Err(MediaError::UnknownRecording));
    }
}

#[test]
fn what_cannot_be_decoded_is_refused_and_told_when_it_comes_later() {
    let mut call = call();
    let mut g729 = call.customer.remote();
    (g729.coded, g729.payload_type) = (Some(Coded::G729), 18);
    let (a, b) = (call.a, call.b);
    call.world.set_remote(a, g729);
    for (left, right) in [(a, None), (b, Some(a))] {
        let recording = Recording { id: 1, left, right };
        let refused = call.world.with_plane(|plane, now, out| plane.start_recording(now, recording, out));
        assert_eq!(refused, Err(MediaError::CannotDecode));
    }
    // It begins as G.711 and goes on as G.729.
    let remote = call.customer.remote();
    call.world.set_remote(a, remote);
    call.record(1, Some(b));
    call.world.advance_ms(500);
    call.world.set_remote(a, g729);
    let packet = call.customer.next(false, 18, 160, bytes::Bytes::from_static(&[0; 20]));
    call.world.packet(a, call.customer.address, &packet);
    call.world.advance_ms(500);
    call.world.close(a);
    let file = &call.world.files[&1];
    assert_eq!((file.finished, file.undecodable), (Some(8_000), true));
}
