//! Human or machine; tones before the answer. On synthetic sound: what it proves is that the machinery works.

use crate::synth::Sound;
use crate::world::*;
use media::amd::AmdHeard;
use media::announcement::{AnnouncementClass, Book};
use media::early_media::EarlyMedia;
use media::{AmdCause, AmdConfig, AmdVerdict, Codec, EarlyMediaClass, Ears, Event, StreamKey, TurnCue};
use sansio::Rng;
use std::sync::Arc;

fn detect(sound: &Sound) -> Option<(AmdVerdict, AmdCause, usize)> {
    let mut detector = AmdConfig::default().detector(&Arc::default());
    sound.frames().iter().enumerate().find_map(|(i, frame)| match detector.frame(frame)? {
        AmdHeard::Verdict(judgement) => Some((judgement.verdict, judgement.cause, (i + 1) * 20)),
        AmdHeard::Turn(_) => None,
    })
}

fn human(rng: &mut Rng) -> (Sound, f64) {
    let onset = rng.between(0.2, 1.5);
    let (length, level) = (rng.between(0.3, 1.2), rng.between(-26.0, -10.0));
    let sound = Sound::default().silence(onset).speech(rng, length, level).silence(9.0);
    (sound, onset)
}

fn machine(rng: &mut Rng) -> (Sound, f64) {
    let onset = rng.between(0.1, 1.0);
    let (length, level) = (rng.between(4.0, 8.0), rng.between(-26.0, -10.0));
    (Sound::default().silence(onset).speech(rng, length, level).silence(6.0), onset)
}

/// Verdicts over 100 synthetic calls of a kind: (human, machine, unsure), and the median time to decide.
fn survey(make: fn(&mut Rng) -> (Sound, f64), noise_dbm0: f64) -> ([usize; 4], usize) {
    let mut counts = [0; 4];
    let mut times = Vec::new();
    for seed in 0..100 {
        let mut rng = Rng::from_seed(seed);
        let (sound, onset) = make(&mut rng);
        let (verdict, _, at_ms) = detect(&sound.noise(&mut rng, noise_dbm0)).expect("a verdict in time");
        counts[verdict as usize] += 1;
        times.push(at_ms - (onset * 1000.0) as usize);
    }
    times.sort_unstable();
    (counts, times[50])
}

#[test]
fn people_and_machines_are_told_apart_in_quiet_and_in_steady_noise() {
    for (noise, humans_min, machines_min) in [(-70.0, 98, 90), (-50.0, 98, 90), (-40.0, 98, 90)] {
        let ([human, machine_by_mistake, ..], time) = survey(human, noise);
        assert!(human >= humans_min, "{human} of 100 at {noise} dBm0");
        assert!(machine_by_mistake <= 2, "{machine_by_mistake} of 100 at {noise} dBm0");
        assert!(time <= 1400, "{time} ms at {noise} dBm0");
        let ([_, machine, ..], time) = survey(machine, noise);
        assert!(machine >= machines_min, "{machine} of 100 at {noise} dBm0");
        assert!(time <= 4800, "{time} ms at {noise} dBm0");
    }
}

#[test]
fn silence_noise_and_tones_are_unsure() {
    let mut rng = Rng::from_seed(1);
    let cases = [
        ("silence", Sound::default().silence(8.0)),
        ("noise from the start", Sound::default().silence(8.0).noise(&mut rng, -30.0)),
        ("a tone", Sound::default().silence(0.5).tones(&[1000.0], 7.0, -15.0)),
    ];
    for (name, sound) in cases {
        let (verdict, cause, at_ms) = detect(&sound).expect(name);
        assert_eq!((verdict, cause, at_ms), (AmdVerdict::Unsure, AmdCause::InitialSilence, 4000), "{name}");
    }
}

#[test]
fn a_beep_is_a_machine_s_and_a_fax_machine_is_heard() {
    let mut rng = Rng::from_seed(5);
    // A greeting too short for a machine's, and its beep: by timing alone a person.
    let short = Sound::default().silence(0.3).speech(&mut rng, 0.8, -15.0).silence(0.2);
    let (verdict, cause, _) = detect(&short.tones(&[1000.0], 0.4, -15.0).silence(2.0)).unwrap();
    assert_eq!((verdict, cause), (AmdVerdict::Machine, AmdCause::Beep));
    let fax = Sound::default().silence(1.0).tones(&[2100.0], 3.0, -15.0);
    let (verdict, cause, at_ms) = detect(&fax).unwrap();
    assert_eq!((verdict, cause), (AmdVerdict::Fax, AmdCause::FaxTone));
    assert!(at_ms < 1_600, "{at_ms}");
}

#[test]
fn hello_repeated_is_a_person() {
    let mut rng = Rng::from_seed(4);
    let mut sound = Sound::default().silence(0.3);
    for _ in 0..4 {
        sound = sound.speech(&mut rng, 0.35, -15.0).silence(0.5);
    }
    let (verdict, _, _) = detect(&sound.silence(2.0)).unwrap();
    assert_ne!(verdict, AmdVerdict::Machine);
}

fn speak(world: &mut World, stream: StreamKey, phone: &mut Phone, sound: &Sound) {
    for frame in sound.frames() {
        let packet = phone.say(&frame);
        world.packet(stream, phone.address, &packet);
        world.advance_ms(20);
    }
}

fn listening(ears: Ears) -> (World, StreamKey, Phone) {
    let mut world = World::new();
    let phone = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let stream = world.open_to(5, &phone);
    world.with_plane(|plane, now, _| plane.listen(now, stream, ears));
    (world, stream, phone)
}

#[test]
fn through_the_plane_a_verdict_comes_once_with_its_time() {
    let ears = Ears { amd: Some(AmdConfig::default()), ..Ears::default() };
    let (mut world, stream, mut phone) = listening(ears);
    let mut rng = Rng::from_seed(7);
    speak(&mut world, stream, &mut phone, &Sound::default().speech(&mut rng, 3.0, -15.0));
    assert_eq!(world.take_events(), [], "not before the answer");
    world.with_plane(|plane, now, _| plane.amd_start(now, stream));
    let sound = Sound::default().silence(0.5).speech(&mut rng, 0.6, -15.0).silence(1.0);
    speak(&mut world, stream, &mut phone, &sound);
    let events = world.take_events();
    let [Event::AmdVerdict { owner: 5, verdict: AmdVerdict::Human, after_answer_ms, .. }] = events[..] else {
        panic!("{events:?}");
    };
    assert!((1500..1900).contains(&after_answer_ms), "{after_answer_ms}");
    speak(&mut world, stream, &mut phone, &Sound::default().speech(&mut rng, 4.0, -15.0));
    assert_eq!(world.take_events(), []);
    assert_eq!(world.plane.audit(), Vec::<String>::new());
}

/// A far end that sends nothing at all, or stops after its greeting (silence suppression), is silence.
#[test]
fn packets_that_do_not_come_are_silence() {
    let ears = Ears { amd: Some(AmdConfig::default()), ..Ears::default() };
    let (mut world, stream, _) = listening(ears);
    world.with_plane(|plane, now, _| plane.amd_start(now, stream));
    world.advance_ms(4_300);
    let events = world.take_events();
    assert!(
        matches!(
            events[..],
            [Event::AmdVerdict { cause: AmdCause::InitialSilence, after_answer_ms: 4000..4200, .. }]
        ),
        "{events:?}"
    );

    let (mut world, stream, mut phone) = listening(ears);
    world.with_plane(|plane, now, _| plane.amd_start(now, stream));
    let mut rng = Rng::from_seed(9);
    speak(&mut world, stream, &mut phone, &Sound::default().speech(&mut rng, 0.6, -15.0));
    world.advance_ms(1000);
    let events = world.take_events();
    assert!(matches!(events[..], [Event::AmdVerdict { verdict: AmdVerdict::Human, .. }]), "{events:?}");
    world.close(stream);
    world.assert_at_rest();
}

#[test]
fn closing_or_other_ears_end_a_detection_unsaid() {
    let ears = Ears { amd: Some(AmdConfig::default()), ..Ears::default() };
    let (mut world, stream, _) = listening(ears);
    world.with_plane(|plane, now, _| plane.amd_start(now, stream));
    world.advance_ms(500);
    world.with_plane(|plane, now, _| plane.listen(now, stream, Ears::default()));
    world.advance_ms(8_000);
    assert_eq!(world.take_events(), []);
    world.close(stream);
    world.assert_at_rest();
}

/// Classes in the order in which they were found, and when.
fn classify(sound: &Sound) -> Vec<(EarlyMediaClass, usize)> {
    let mut ears = EarlyMedia::default();
    let found = |(i, frame): (usize, &[i16; 160])| ears.frame(frame).map(|heard| (heard.class, (i + 1) * 20));
    sound.frames().iter().enumerate().filter_map(found).collect()
}

fn cadence(frequencies: &[f64], pattern: &[(f64, f64)], times: usize, level: f64) -> Sound {
    let mut sound = Sound::default();
    for _ in 0..times {
        for (on, off) in pattern {
            sound = sound.tones(frequencies, *on, level).silence(*off);
        }
    }
    sound
}

/// A name, frequencies, bursts and pauses in seconds, and the class.
type Case = (&'static str, &'static [f64], &'static [(f64, f64)], EarlyMediaClass);

#[test]
fn tones_of_four_plans_are_known_by_their_second_burst() {
    use EarlyMediaClass::{Busy, Congestion, Ringback, Sit};
    let cases: [Case; 11] = [
        ("CN ringback", &[450.0], &[(1.0, 4.0)], Ringback),
        ("CN busy", &[450.0], &[(0.35, 0.35)], Busy),
        ("CN congestion", &[450.0], &[(0.7, 0.7)], Congestion),
        ("EU ringback", &[425.0], &[(1.0, 4.0)], Ringback),
        ("EU busy", &[425.0], &[(0.5, 0.5)], Busy),
        ("EU congestion", &[425.0], &[(0.25, 0.25)], Congestion),
        ("US ringback", &[440.0, 480.0], &[(2.0, 4.0)], Ringback),
        ("US busy", &[480.0, 620.0], &[(0.5, 0.5)], Busy),
        ("US reorder", &[480.0, 620.0], &[(0.25, 0.25)], Congestion),
        ("UK ringback", &[400.0, 450.0], &[(0.4, 0.2), (0.4, 2.0)], Ringback),
        ("UK busy", &[400.0], &[(0.375, 0.375)], Busy),
    ];
    for seed in 0..15 {
        let mut rng = Rng::from_seed(seed);
        for (name, frequencies, pattern, expected) in cases {
            let pitch = rng.between(0.988, 1.012);
            let frequencies: Vec<f64> = frequencies.iter().map(|frequency| frequency * pitch).collect();
            let level = rng.between(-25.0, -8.0);
            let start = rng.between(0.0, 1.5);
            let sound = Sound::default().silence(start).then(cadence(&frequencies, pattern, 3, level));
            let found = classify(&sound.noise(&mut rng, (level - 15.0).min(-48.0)));
            assert!(found.len() == 1 && found[0].0 == expected, "{name}, seed {seed}: {found:?}");
            let limit = start + 2.0 * pattern.iter().map(|(on, off)| on + off).sum::<f64>() + 0.1;
            assert!(found[0].1 as f64 / 1000.0 <= limit, "{name}, seed {seed}: {found:?}");
        }
        let shift = rng.between(-45.0, 45.0);
        let sit = Sound::default()
            .silence(0.3)
            .tones(&[950.0 + shift], 0.33, -15.0)
            .tones(&[1400.0 + shift], 0.33, -15.0)
            .tones(&[1800.0 + shift], 0.33, -15.0)
            .speech(&mut rng, 1.0, -15.0);
        let found = classify(&sit.noise(&mut rng, -48.0));
        assert_eq!(found.first().map(|found| found.0), Some(Sit), "seed {seed}, {shift} Hz: {found:?}");
    }
}

#[test]
fn one_burst_is_not_enough() {
    assert_eq!(classify(&cadence(&[450.0], &[(1.0, 4.0)], 1, -15.0)), []);
    assert_eq!(classify(&Sound::default().tones(&[425.0], 8.0, -15.0).silence(1.0)), [], "a dial tone");
}

#[test]
fn speech_is_a_voice_and_never_a_tone_and_noise_is_nothing() {
    let mut voices = 0;
    for seed in 0..100 {
        let mut rng = Rng::from_seed(seed);
        let level = rng.between(-25.0, -10.0);
        let found =
            classify(&Sound::default().silence(0.5).speech(&mut rng, 8.0, level).noise(&mut rng, -55.0));
        assert!(found.iter().all(|found| found.0 == EarlyMediaClass::Voice), "seed {seed}: {found:?}");
        voices += found.len();
    }
    assert!(voices >= 98, "{voices} of 100");
    let mut rng = Rng::from_seed(1);
    assert_eq!(classify(&Sound::default().silence(20.0).noise(&mut rng, -35.0)), []);
}

/// A lost packet is no pause: neither ends it a ring, nor does the pause after it become a voice.
#[test]
fn tones_are_known_with_three_packets_in_a_hundred_lost() {
    for seed in 0..40 {
        let mut rng = Rng::from_seed(seed);
        let ringing = cadence(&[440.0, 480.0], &[(2.0, 4.0)], 3, -15.0).noise(&mut rng, -32.0);
        let mut ears = EarlyMedia::default();
        let mut found = Vec::new();
        for frame in ringing.frames() {
            let frame = if rng.chance(0.03) { [0; 160] } else { frame };
            found.extend(ears.frame(&frame).map(|heard| heard.class));
        }
        assert_eq!(found, [EarlyMediaClass::Ringback], "seed {seed}");
    }
}

/// Whoever answers in a room full of people is judged by what they say themselves.
#[test]
fn a_crowd_behind_a_person_is_not_the_person_s_greeting() {
    let mut machines = 0;
    for seed in 0..60 {
        let mut rng = Rng::from_seed(seed);
        let (mut sound, _) = human(&mut rng);
        let loudest = sound.0.iter().fold(0.0_f64, |most, sample| most.max(sample.abs()));
        let seconds = sound.0.len() as f64 / 8000.0;
        let crowd: Vec<_> = (0..4).map(|_| Sound::default().speech(&mut rng, seconds, -20.0).0).collect();
        let crowd_peak = crowd[0].iter().fold(0.0_f64, |most, sample| most.max(sample.abs()));
        for voice in &crowd {
            let behind = 0.1 * loudest / crowd_peak;
            sound.0.iter_mut().zip(voice).for_each(|(sample, voice)| *sample += voice * behind);
        }
        machines += usize::from(detect(&sound).is_some_and(|found| found.0 == AmdVerdict::Machine));
    }
    assert!(machines <= 4, "{machines} of 60");
}

#[test]
fn through_the_plane_ringing_then_an_announcement() {
    let (mut world, stream, mut phone) = listening(Ears { early_media: true, ..Ears::default() });
    let mut rng = Rng::from_seed(3);
    let ringing = cadence(&[450.0], &[(1.0, 4.0)], 2, -15.0);
    speak(&mut world, stream, &mut phone, &ringing.speech(&mut rng, 3.0, -15.0));
    world.with_plane(|plane, now, _| plane.amd_start(now, stream));
    speak(&mut world, stream, &mut phone, &cadence(&[450.0], &[(0.35, 0.35)], 6, -15.0));
    let classes: Vec<EarlyMediaClass> = world
        .take_events()
        .into_iter()
        .map(|event| match event {
            Event::EarlyMedia { owner: 5, class, .. } => class,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(classes, [EarlyMediaClass::Ringback, EarlyMediaClass::Voice]);
}

/// Twenty frames a second of two tones that change with the seed: a tune nobody else has.
fn tune(seed: u64, seconds: u32) -> Vec<[i16; 160]> {
    let mut rng = Rng::from_seed(seed);
    let mut frames = Vec::new();
    for _ in 0..seconds * 5 {
        let pitches = [rng.between(350.0, 1_500.0), rng.between(700.0, 2_800.0)];
        for frame in 0..10 {
            frames.push(core::array::from_fn(|n| {
                let at = f64::from(frame * 160 + n as u32) / 8_000.0;
                let sum: f64 = pitches.iter().map(|hz| (core::f64::consts::TAU * hz * at).sin()).sum();
                (4_000.0 * sum) as i16
            }));
        }
    }
    frames
}

#[test]
fn through_the_plane_an_announcement_that_was_taught_is_named_once() {
    let mut book = Book::default();
    for (name, class, seed) in
        [("busy/a", AnnouncementClass::Busy, 1), ("power_off/b", AnnouncementClass::PowerOff, 2)]
    {
        book.teach(name, class, tune(seed, 6).as_flattened()).unwrap();
    }
    let mut world = World::new();
    let mut phone = Phone::new("192.0.2.1:30000", Codec::Pcma);
    let stream = world.open_to(5, &phone);
    world.with_plane(|plane, now, _| {
        plane.set_announcements(Arc::new(book));
        plane.listen(now, stream, Ears { early_media: true, ..Ears::default() });
    });
    // Begun in its middle, heard twice.
    let heard = tune(2, 6);
    for frame in heard[70..].iter().chain(&heard) {
        let packet = phone.say(frame);
        world.packet(stream, phone.address, &packet);
        world.advance_ms(20);
    }
    let mut events = world.take_events();
    events.retain(|event| !matches!(event, Event::EarlyMedia { class: EarlyMediaClass::Voice, .. }));
    let [
        Event::EarlyMedia {
            owner: 5,
            class: EarlyMediaClass::PowerOff,
            confidence,
            announcement: Some(1),
            ..
        },
    ] = events[..]
    else {
        panic!("{events:?}");
    };
    assert!(confidence > 0.4, "{confidence}");
    world.with_plane(|plane, _, _| {
        assert_eq!(plane.announcement_name(1).as_deref(), Some("power_off/b"));
        assert_eq!(plane.announcement_name(2), None);
    });
}

/// What a detector that waits for its turn says, and when.
fn follow(config: AmdConfig, book: &Arc<Book>, sound: &Sound) -> Vec<(AmdHeard, usize)> {
    let mut detector = config.detector(book);
    let mut said = Vec::new();
    for (i, frame) in sound.frames().iter().enumerate() {
        said.extend(detector.frame(frame).map(|heard| (heard, (i + 1) * 20)));
        if detector.is_over() {
            break;
        }
    }
    said
}

fn verdicts(said: &[(AmdHeard, usize)]) -> Vec<AmdVerdict> {
    let verdict = |(heard, _): &(AmdHeard, usize)| match heard {
        AmdHeard::Verdict(judgement) => Some(judgement.verdict),
        AmdHeard::Turn(_) => None,
    };
    said.iter().filter_map(verdict).collect()
}

#[test]
fn a_machine_s_turn_ends_with_its_beep_or_with_silence() {
    let config = AmdConfig { await_turn: true, ..AmdConfig::default() };
    let book = Arc::default();
    for seed in 0..20 {
        let mut rng = Rng::from_seed(seed);
        let greeting = Sound::default().silence(0.3).speech(&mut rng, 8.0, -15.0);
        let beeps = greeting.clone().silence(0.6).tones(&[1000.0], 0.4, -15.0).silence(4.0);
        let said = follow(config, &book, &beeps.noise(&mut rng, -55.0));
        let [(AmdHeard::Verdict(judgement), _), (AmdHeard::Turn(TurnCue::Beep), at_ms)] = said[..] else {
            panic!("seed {seed}: {said:?}");
        };
        assert_eq!(judgement.verdict, AmdVerdict::Machine);
        assert!((9_300..9_500).contains(&at_ms), "seed {seed}: {at_ms}");

        let said = follow(config, &book, &greeting.silence(6.0).noise(&mut rng, -55.0));
        let [_, (AmdHeard::Turn(TurnCue::Silence), at_ms)] = said[..] else {
            panic!("seed {seed}: {said:?}")
        };
        assert!((10_300..11_100).contains(&at_ms), "seed {seed}: {at_ms}");
    }
    let mut rng = Rng::from_seed(1);
    let endless = Sound::default().silence(0.3).speech(&mut rng, 40.0, -15.0);
    let said = follow(config, &book, &endless);
    assert_eq!(said.last(), Some(&(AmdHeard::Turn(TurnCue::TimeLimit), 30_000)));
    assert_eq!(follow(AmdConfig::default(), &book, &endless).len(), 1, "nobody asked");
}

#[test]
fn an_assistant_that_was_taught_is_known_behind_the_answer_whatever_was_thought_before() {
    let mut rng = Rng::from_seed(3);
    // A word, a pause, and the rest: a person by its beginning.
    let prompt = Sound::default().speech(&mut rng, 0.5, -12.0).silence(1.2).speech(&mut rng, 5.0, -12.0);
    let other = Sound::default().speech(&mut rng, 6.0, -12.0);
    let mut book = Book::default();
    let samples = |sound: &Sound| sound.frames().into_flattened();
    book.teach("screening/one", AnnouncementClass::Screening, &samples(&prompt)).unwrap();
    book.teach("busy/other", AnnouncementClass::Busy, &samples(&other)).unwrap();
    let book = Arc::new(book);
    let heard = Sound::default().silence(0.4).then(prompt).silence(4.0).noise(&mut rng, -45.0);
    let said = follow(AmdConfig::default(), &book, &heard);
    assert_eq!(verdicts(&said), [AmdVerdict::Human, AmdVerdict::Screening], "{said:?}");
    assert!(said[1].1 < 6_000, "{said:?}");

    let config = AmdConfig { await_turn: true, ..AmdConfig::default() };
    let said = follow(config, &book, &heard);
    assert!(matches!(said.last(), Some((AmdHeard::Turn(TurnCue::Silence), 7_900..8_500))), "{said:?}");

    let said = follow(AmdConfig::default(), &book, &Sound::default().silence(0.4).then(other).silence(2.0));
    assert_eq!(verdicts(&said), [AmdVerdict::Machine], "no assistant: {said:?}");
}
