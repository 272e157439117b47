//! Who hears whom: each far end sends a tone of its own, and what the others are sent is looked at for all of them.

use crate::world::*;
use media::dsp::goertzel::Goertzel;
use media::{Codec, Event, PlayRequest, Recording, StreamKey, Tone, codec};
use std::collections::BTreeSet;
use std::f64::consts::TAU;
use std::sync::Arc;

/// A far end that sends one tone.
struct Talker {
    phone: Phone,
    stream: StreamKey,
    frequency: f64,
    phase: f64,
    /// Codec in which it is spoken to.
    hears: Codec,
}

struct Room {
    world: World,
    talkers: Vec<Talker>,
}

/// No two are nearer to each other than 50 Hz, nor is one another's harmonic at that.
fn frequency(place: usize) -> f64 {
    425.0 + 95.0 * place as f64
}

fn tone(frequency: f64, phase: &mut f64, count: usize, peak: f64) -> Vec<i16> {
    (0..count)
        .map(|_| {
            *phase = (*phase + frequency / 8000.0).fract();
            ((*phase * TAU).sin() * peak) as i16
        })
        .collect()
}

/// How much of a sound is at a frequency: peak of a sine there.
fn peak_at(samples: &[i16], frequency: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (i, sample) in samples.iter().enumerate() {
        let angle = TAU * frequency * i as f64 / 8000.0;
        re += f64::from(*sample) * angle.cos();
        im += f64::from(*sample) * angle.sin();
    }
    2.0 * (re * re + im * im).sqrt() / samples.len() as f64
}

impl Room {
    fn new(parties: usize) -> Self {
        Self::with(config(), parties)
    }

    fn with(config: media::Config, parties: usize) -> Self {
        let one_law = config.offload;
        let mut world = World::with(config);
        let talkers = (0..parties)
            .map(|place| {
                let law = if one_law || place % 2 == 0 { Codec::Pcma } else { Codec::Pcmu };
                let phone = Phone::new(&format!("192.0.2.{}:30000", place + 1), law);
                let stream = world.open_to(place as u64, &phone);
                Talker { hears: law, phone, stream, frequency: frequency(place), phase: 0.0 }
            })
            .collect();
        Room { world, talkers }
    }

    fn stream(&self, place: usize) -> StreamKey {
        self.talkers[place].stream
    }

    fn mix(&mut self, listener: usize, sources: &[usize]) {
        let (listener, sources) =
            (self.stream(listener), sources.iter().map(|s| self.stream(*s)).collect::<Vec<_>>());
        self.world.with_plane(|plane, now, _| plane.mix(now, listener, &sources));
    }

    /// Everyone talks for so many frames; 1,000 is loud enough to be heard and 32 of them are no more than 16 bits.
    fn talk(&mut self, frames: usize) {
        for _ in 0..frames {
            for talker in &mut self.talkers {
                let samples = tone(talker.frequency, &mut talker.phase, 160, 1_000.0);
                let packet = talker.phone.say(&samples);
                self.world.packet(talker.stream, talker.phone.address, &packet);
            }
            self.world.advance_ms(20);
        }
    }

    /// What a party was sent since the last look, decoded.
    fn sound(&mut self, place: usize) -> Vec<i16> {
        let (stream, law) = (self.stream(place), self.talkers[place].hears);
        let arrived = self.world.take_arrived(stream);
        assert_continuous(&arrived);
        let mut sound = Vec::new();
        for packet in
            arrived.iter().map(Arrived::rtp).filter(|packet| packet.header.payload_type == law.payload_type())
        {
            let mut samples = vec![0; packet.payload.len()];
            codec::decode(law, &packet.payload, &mut samples);
            sound.extend(samples);
        }
        sound
    }

    /// Whom a party hears: the places of those whose tones are in it.
    fn heard(&mut self, place: usize) -> BTreeSet<usize> {
        let sound = self.sound(place);
        let whole = &sound[sound.len() / 2..];
        (0..self.talkers.len()).filter(|other| peak_at(whole, frequency(*other)) > 300.0).collect()
    }

    /// Lets everyone talk and looks at whom each party hears.
    fn hearing(&mut self) -> Vec<Vec<usize>> {
        self.talk(20);
        (0..self.talkers.len()).for_each(|place| drop(self.sound(place)));
        self.talk(80);
        (0..self.talkers.len()).map(|place| self.heard(place).into_iter().collect()).collect()
    }

    fn close(mut self) {
        let streams: Vec<StreamKey> = self.talkers.iter().map(|talker| talker.stream).collect();
        streams.into_iter().for_each(|stream| self.world.close(stream));
        self.world.assert_at_rest();
    }
}

/// Customer, agent, supervisor.
const C: usize = 0;
const A: usize = 1;
const S: usize = 2;

#[test]
fn each_kind_of_supervision_is_heard_by_whom_it_is_meant_for() {
    let mut room = Room::new(3);
    let (customer, agent) = (room.stream(C), room.stream(A));
    room.world.connect(customer, agent);
    assert_eq!(room.hearing(), [vec![A], vec![C], vec![]]);
    // Listen.
    room.mix(S, &[C, A]);
    assert_eq!(room.hearing(), [vec![A], vec![C], vec![C, A]]);
    // Whisper.
    room.mix(A, &[C, S]);
    assert_eq!(room.hearing(), [vec![A], vec![C, S], vec![C, A]]);
    // Barge.
    room.mix(C, &[A, S]);
    assert_eq!(room.hearing(), [vec![A, S], vec![C, S], vec![C, A]]);
    // Back to listening.
    room.world.with_plane(|plane, now, _| plane.unmix(now, customer));
    room.world.with_plane(|plane, now, _| plane.unmix(now, agent));
    assert_eq!(room.hearing(), [vec![A], vec![C], vec![C, A]]);
    // The supervisor leaves.
    let supervisor = room.stream(S);
    room.world.with_plane(|plane, now, _| plane.leave_mix(now, supervisor));
    assert_eq!(room.hearing(), [vec![A], vec![C], vec![]]);
    assert!(room.world.plane.counters().frames_mixed > 0);
    room.close();
}

#[test]
fn of_thirty_two_everyone_hears_all_others_and_not_themselves() {
    let mut room = Room::new(32);
    let all: Vec<usize> = (0..32).collect();
    for place in 0..32 {
        room.mix(place, &all);
    }
    let hearing = room.hearing();
    for (place, heard) in hearing.iter().enumerate() {
        let others: Vec<usize> = all.iter().copied().filter(|other| *other != place).collect();
        assert_eq!(*heard, others, "party {place}");
    }
    // One leaves: no one hears it, and it hears no one.
    let gone = room.stream(7);
    room.world.with_plane(|plane, now, _| plane.leave_mix(now, gone));
    let hearing = room.hearing();
    assert!(hearing[7].is_empty());
    assert!(hearing.iter().all(|heard| !heard.contains(&7)));
    assert_eq!(hearing[8].len(), 30);
    room.close();
}

#[test]
fn a_mix_clips_instead_of_wrapping() {
    let mut room = Room::new(3);
    room.mix(S, &[C, A]);
    for _ in 0..20 {
        for place in [C, A] {
            let talker = &mut room.talkers[place];
            let packet = talker.phone.say_level(30_000);
            room.world.packet(talker.stream, talker.phone.address, &packet);
        }
        room.world.advance_ms(20);
    }
    let sound = room.sound(S);
    assert!(sound.iter().all(|sample| *sample >= 0), "nothing wrapped");
    assert!(sound.iter().filter(|sample| **sample > 31_000).count() > 2_000);
    room.close();
}

#[test]
fn who_is_muted_is_heard_by_nobody_and_silence_goes_on() {
    let mut room = Room::new(3);
    let (customer, agent) = (room.stream(C), room.stream(A));
    room.world.connect(customer, agent);
    room.mix(S, &[C, A]);
    room.world.with_plane(|plane, _, _| plane.mute(agent, true));
    assert_eq!(room.hearing(), [vec![], vec![C], vec![C]]);
    room.talk(10);
    assert_eq!(room.sound(C).len(), 1_600, "packets go on");
    room.world.with_plane(|plane, _, _| plane.mute(agent, false));
    assert_eq!(room.hearing(), [vec![A], vec![C], vec![C, A]]);
    room.close();
}

#[test]
fn a_prompt_is_heard_instead_of_the_mix_and_a_beep_with_it() {
    let mut room = Room::new(3);
    room.mix(S, &[C, A]);
    let stream = room.stream(S);
    let prompt: Arc<[i16]> = tone(3_700.0, &mut 0.0, 80 * 160, 2_000.0).into();
    let request = PlayRequest { tag: 5, samples: prompt, repeat: false };
    room.talk(20);
    room.sound(S);
    room.world.with_plane(|plane, now, out| plane.play(now, stream, request, out));
    room.talk(80);
    let sound = room.sound(S);
    assert!(peak_at(&sound[1_600..], 3_700.0) > 1_000.0);
    assert!(peak_at(&sound[1_600..], frequency(C)) < 100.0);
    assert_eq!(room.world.take_events(), [Event::PlayDone { stream, owner: 2, tag: 5, completed: true }]);
    assert_eq!(room.hearing()[S], [C, A]);
    let beep = Tone { frequency_hz: 3_700, duration_ms: 1_000, ..Tone::default() };
    room.world.with_plane(|plane, now, out| plane.tone(now, stream, beep, out));
    room.talk(40);
    let sound = room.sound(S);
    assert!(peak_at(&sound, 3_700.0) > 300.0 && peak_at(&sound, frequency(C)) > 300.0);
    room.close();
}

/// The left side is the customer, the right one what the customer heard: the agent, and who joined in.
#[test]
fn a_recording_has_on_its_right_side_all_whom_the_customer_hears() {
    let mut room = Room::new(3);
    let (customer, agent) = (room.stream(C), room.stream(A));
    room.world.connect(customer, agent);
    let recording = Recording { id: 9, left: customer, right: Some(agent) };
    room.world.with_plane(|plane, now, out| plane.start_recording(now, recording, out)).expect("started");
    // The customer does not hear a whisper: 2 s.
    room.mix(S, &[C, A]);
    room.mix(A, &[C, S]);
    room.talk(100);
    // Barge: 2 s more.
    room.mix(C, &[A, S]);
    room.talk(100);
    room.world.with_plane(|plane, now, out| plane.stop_recording(now, 9, out));
    let samples = &room.world.files[&9].samples;
    let side = |side: usize, from: usize, to: usize| -> Vec<usize> {
        let part: Vec<i16> = samples[from..to].iter().map(|frame| frame[side]).collect();
        (0..3).filter(|place| peak_at(&part, frequency(*place)) > 300.0).collect()
    };
    assert_eq!([side(0, 4_000, 15_000), side(1, 4_000, 15_000)], [vec![C], vec![A]]);
    assert_eq!([side(0, 20_000, 31_000), side(1, 20_000, 31_000)], [vec![C], vec![A, S]]);
    room.close();
}

#[test]
fn packets_that_come_late_out_of_order_and_twice_are_mixed_as_they_were_said() {
    let mut room = Room::new(2);
    room.mix(A, &[C]);
    let mut rng = sansio::Rng::from_seed(7);
    let mut waiting: Vec<(u64, bytes::Bytes)> = Vec::new();
    let mut at = 0;
    for _ in 0..200 {
        let talker = &mut room.talkers[C];
        let samples = tone(talker.frequency, &mut talker.phase, 160, 4_000.0);
        let packet = talker.phone.say(&samples);
        // Up to 35 ms of jitter, so that neighbours change places; one in ten comes twice.
        waiting.push((at + rng.below(35), packet.clone()));
        if rng.chance(0.1) {
            waiting.push((at + rng.below(35), packet));
        }
        at += 20;
    }
    waiting.sort_by_key(|(due, _)| *due);
    let start = room.world.now;
    for (due, packet) in waiting {
        let now = room.world.now.millis_since(start);
        room.world.advance_ms(due.saturating_sub(now));
        let (stream, address) = (room.talkers[C].stream, room.talkers[C].phone.address);
        room.world.packet(stream, address, &packet);
    }
    let sound = room.sound(A);
    // A whole tone has all its energy at its frequency; gaps and doubled frames would spread it.
    let middle: Vec<f32> = sound[4_000..24_000].iter().map(|sample| f32::from(*sample)).collect();
    let energy: f32 = middle.iter().map(|sample| sample * sample).sum();
    let share = Goertzel::new(frequency(C) as f32).share(&middle, energy);
    assert!(share > 0.9, "{share}");
    room.close();
}

#[test]
fn a_digit_reaches_a_peer_that_hears_a_mix_as_a_new_event() {
    let mut room = Room::new(3);
    let (customer, agent) = (room.stream(C), room.stream(A));
    room.world.connect(customer, agent);
    room.mix(C, &[A, S]);
    room.talk(10);
    room.sound(C);
    for (duration, ended) in [(160, false), (320, false), (480, true), (480, true), (480, true)] {
        let packet = room.talkers[A].phone.event(5, ended, duration);
        let address = room.talkers[A].phone.address;
        room.world.packet(agent, address, &packet);
        room.world.advance_ms(20);
    }
    room.world.advance_ms(400);
    let arrived = room.world.take_arrived(customer);
    assert_continuous(&arrived);
    let events: Vec<Vec<u8>> = arrived
        .iter()
        .map(Arrived::rtp)
        .filter(|packet| packet.header.payload_type == DTMF)
        .map(|packet| packet.payload.to_vec())
        .collect();
    assert_eq!(events.iter().filter(|event| event[1] & 0x80 != 0).count(), 3, "its end is told three times");
    assert!(events.iter().all(|event| event[0] == 5));
    room.close();
}

#[test]
fn digits_pressed_by_us_are_one_event_each_or_tones_where_none_were_agreed() {
    let mut world = World::new();
    let phone = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let stream = world.open_to(1, &phone);
    world.with_plane(|plane, now, _| plane.press(now, stream, "1x#", 100));
    world.advance_ms(1_000);
    let arrived = world.take_arrived(stream);
    assert_continuous(&arrived);
    let events: Vec<_> = arrived.iter().map(Arrived::rtp).collect();
    assert!(events.iter().all(|packet| packet.header.payload_type == DTMF));
    let of = |code: u8| events.iter().filter(move |packet| packet.payload[0] == code);
    for code in [1, 11] {
        assert_eq!(of(code).filter(|packet| packet.header.marker).count(), 1, "one beginning");
        let timestamps: BTreeSet<u32> = of(code).map(|packet| packet.header.timestamp).collect();
        assert_eq!(timestamps.len(), 1);
        let ends: Vec<&[u8]> =
            of(code).filter(|packet| packet.payload[1] & 0x80 != 0).map(|p| &p.payload[..]).collect();
        assert_eq!(ends, [[code, 0x80 | 10, 0x03, 0x20]; 3], "800 samples, told three times");
    }
    assert_eq!(events.len(), of(1).count() + of(11).count());

    // No events were agreed on.
    world.set_remote(
        stream,
        media::Remote { dtmf_payload_type: None, dtmf_payload_type_local: None, ..phone.remote() },
    );
    world.with_plane(|plane, now, _| plane.press(now, stream, "5", 100));
    world.advance_ms(1_000);
    let arrived = world.take_arrived(stream);
    assert_eq!(arrived.len(), 5);
    let mut sound = vec![0; 800];
    for (frame, packet) in sound.chunks_mut(160).zip(&arrived) {
        codec::decode(Codec::Pcma, &packet.rtp().payload, frame);
    }
    assert!(peak_at(&sound, 770.0) > 4_000.0 && peak_at(&sound, 1_336.0) > 4_000.0);
    assert!(peak_at(&sound, 1_209.0) < 500.0);
    world.close(stream);
    world.assert_at_rest();
}

/// The kernel may relay what is heard by its peer alone, and copies it to us where others listen in too; who hears a
/// mix, and who is muted, goes through the plane.
#[test]
fn mixed_and_muted_sound_is_not_left_to_the_ground() {
    let mut room = Room::with(media::Config { offload: true, ..config() }, 3);
    let (customer, agent) = (room.stream(C), room.stream(A));
    room.world.connect(customer, agent);
    let offloaded = |room: &Room| [C, A, S].map(|place| room.world.plane.is_offloaded(room.stream(place)));
    let end = |room: &mut Room| {
        let taken = std::mem::take(&mut room.world.offloads);
        for (stream, _) in taken.iter().filter(|(_, rule)| rule.is_none()) {
            room.world
                .with_plane(|plane, _, _| plane.offload_ended(*stream, &media::OffloadCounts::default()));
        }
        taken
    };
    for _ in 0..3 {
        room.talk(2);
        end(&mut room);
    }
    assert_eq!(offloaded(&room), [true, true, false]);
    room.mix(S, &[C, A]);
    end(&mut room);
    let taken = end(&mut room);
    assert!(
        taken.iter().filter_map(|(_, rule)| *rule).all(|(rule, _)| rule.tap),
        "the supervisor needs copies"
    );
    assert_eq!(offloaded(&room), [true, true, false], "listening changes nothing for the two");
    room.mix(A, &[C, S]);
    end(&mut room);
    assert_eq!(offloaded(&room), [false, true, false], "what the agent hears is made here");
    room.world.with_plane(|plane, _, _| plane.mute(agent, true));
    end(&mut room);
    assert_eq!(offloaded(&room), [false, false, false]);
}
