//! RTCP, and what it and our own counting say about how a call sounds.

use crate::world::*;
use bytes::Bytes;
use media::{AudioState, Codec, Config, Event, PacketKind, Remote, StreamKey};
use sansio::Duration;
use std::net::SocketAddr;

fn rtcp_of(phone: &Phone) -> SocketAddr {
    SocketAddr::new(phone.address.ip(), phone.address.port() + 1)
}

/// A bridged pair of two telephones that speak.
fn bridged(config: Config) -> (World, [StreamKey; 2], [Phone; 2]) {
    let mut world = World::with(config);
    let phones = [Phone::new("192.0.2.1:30000", Codec::Pcma), Phone::new("192.0.2.2:40000", Codec::Pcma)];
    let streams = [world.open_to(1, &phones[0]), world.open_to(2, &phones[1])];
    world.connect(streams[0], streams[1]);
    (world, streams, phones)
}

/// Both speak for some seconds; `lose` says which of the first one's packets are lost.
fn talk(
    world: &mut World,
    streams: [StreamKey; 2],
    phones: &mut [Phone; 2],
    seconds: u64,
    lose: impl Fn(u64) -> bool,
) {
    for i in 0..seconds * 50 {
        let packet = phones[0].say_level(1000);
        if !lose(i) {
            world.packet(streams[0], phones[0].address, &packet);
        }
        let packet = phones[1].say_level(2000);
        world.packet(streams[1], phones[1].address, &packet);
        world.advance_ms(20);
    }
}

fn reports(world: &mut World, stream: StreamKey) -> Vec<Arrived> {
    let (taken, left) = std::mem::take(&mut world.arrived)
        .into_iter()
        .partition(|arrived| arrived.from == stream && is_rtcp(&arrived.bytes));
    world.arrived = left;
    taken
}

fn is_rtcp(bytes: &[u8]) -> bool {
    media::rtp::looks_like_rtcp(bytes)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// A receiver report about `about`, and optionally a sender report before it.
fn receiver_report(from: u32, about: u32, lost: u8, jitter: u32, last: u32, delay: u32) -> Bytes {
    let mut bytes = vec![0x81, 201, 0, 7];
    for value in [from, about, u32::from(lost) << 24, 0, jitter, last, delay] {
        bytes.extend(value.to_be_bytes());
    }
    Bytes::from(bytes)
}

#[test]
fn a_far_end_that_gets_no_reports_gets_ours() {
    let (mut world, streams, mut phones) = bridged(Config::default());
    talk(&mut world, streams, &mut phones, 30, |i| i % 10 == 9);
    let sent = reports(&mut world, streams[0]);
    assert!((3..=12).contains(&sent.len()), "{}", sent.len());
    for report in &sent {
        assert_eq!((report.kind, report.destination), (PacketKind::Rtcp, rtcp_of(&phones[0])));
        assert!(media::rtp::rtcp::is_valid(&report.bytes));
        assert_eq!(report.bytes[1], 200, "it was sent sound, so a sender report");
    }
    let last = &sent[sent.len() - 1].bytes;
    let heard = world.take_arrived(streams[0]);
    assert_eq!(word(last, 4), heard[0].rtp().header.ssrc, "under the SSRC it knows");
    // RFC 3550 §6.4.1: packets and octets, then the block: SSRC, loss, highest sequence.
    let until = heard.iter().filter(|packet| packet.at <= sent[sent.len() - 1].at).count() as u32;
    assert!(word(last, 20).abs_diff(until) <= 1, "{} {until}", word(last, 20));
    assert_eq!(word(last, 24), word(last, 20) * 160);
    assert_eq!(word(last, 28), phones[0].ssrc);
    let fraction = last[32];
    assert!((20..=32).contains(&fraction), "a tenth is 26 of 256: {fraction}");
    // Its first sequence number was 65530, so it has wrapped once.
    assert_eq!(word(last, 36) >> 16, 1);
    // SDES with a name, the same each time.
    let name = |bytes: &Bytes| bytes[52..].to_vec();
    assert_eq!((last[53], last[60], last[61]), (202, 1, 16));
    assert!(sent.iter().all(|report| name(&report.bytes) == name(last)));
}

#[test]
fn a_stream_that_only_hears_sends_receiver_reports_and_a_bye_at_the_end() {
    let mut world = World::with(Config::default());
    let mut phone = Phone::new("192.0.2.1:30000", Codec::Pcmu);
    let stream = world.open_to(1, &phone);
    for _ in 0..600 {
        let packet = phone.say_level(1000);
        world.packet(stream, phone.address, &packet);
        world.advance_ms(20);
    }
    let sent = reports(&mut world, stream);
    assert!(!sent.is_empty());
    assert_eq!(sent[0].bytes[1], 201);
    world.close(stream);
    let last = reports(&mut world, stream).pop().expect("a word of farewell");
    let end = &last.bytes[last.bytes.len() - 8..];
    assert_eq!(end[..4], [0x81, 203, 0, 1]);
    assert_eq!(end[4..], last.bytes[4..8]);
    world.assert_at_rest();
}

#[test]
fn nothing_is_reported_where_the_interval_is_zero_or_the_peer_reports() {
    let off = Config { rtcp_interval: Duration::ZERO, ..Config::default() };
    let (mut world, streams, mut phones) = bridged(off);
    talk(&mut world, streams, &mut phones, 30, |_| false);
    assert_eq!(world.plane.counters().rtcp_reports, 0);

    let (mut world, streams, mut phones) = bridged(Config::default());
    for _ in 0..10 {
        for (stream, phone) in streams.iter().zip(&phones) {
            let report = receiver_report(phone.ssrc, 1, 0, 0, 0, 0);
            world.datagram(*stream, PacketKind::Rtcp, rtcp_of(phone), &report);
        }
        talk(&mut world, streams, &mut phones, 3, |_| false);
    }
    assert_eq!(world.plane.counters().rtcp_reports, 0);
    assert_eq!(world.plane.counters().forwarded_rtcp, 20);
}

#[test]
fn round_trip_loss_and_score_come_from_reports_and_from_counting() {
    let (mut world, streams, mut phones) = bridged(Config::default());
    for _ in 0..6 {
        talk(&mut world, streams, &mut phones, 5, |i| i % 20 == 7);
        let Some(ours) = reports(&mut world, streams[0]).pop() else { continue };
        // The far end took 30 ms to answer; the way there and back took the rest of 150 ms since.
        let (ssrc, name) = (word(&ours.bytes, 4), word(&ours.bytes, 10));
        let since = world.now.since(ours.at) + Duration::from_millis(120);
        world.advance_ms(120);
        let held = (since.as_millis() as u64 - 120) * 65_536 / 1000;
        let report = receiver_report(phones[0].ssrc, ssrc, 26, 80, name, held as u32);
        world.datagram(streams[0], PacketKind::Rtcp, rtcp_of(&phones[0]), &report);
    }
    let quality = world.plane.quality(world.now, streams[0]).unwrap();
    assert_eq!(quality.received, 6 * (250 - 13));
    assert!((quality.loss - 0.052).abs() < 0.002, "{quality:?}");
    let rtt = quality.rtt_ms.expect("it reported");
    assert!((rtt - 120.0).abs() < 1.0, "{quality:?}");
    assert!((quality.remote_loss.unwrap() - 26.0 / 256.0).abs() < 1e-6);
    assert_eq!(quality.remote_jitter_ms, Some(10.0));
    let mos = quality.mos.unwrap();
    assert!((3.5..4.1).contains(&mos), "{quality:?}");
    assert!(quality.remote_mos.unwrap() < mos, "it lost twice as much");
    // The other side lost nothing and said nothing.
    let other = world.plane.quality(world.now, streams[1]).unwrap();
    assert_eq!((other.lost, other.rtt_ms, other.remote_mos), (0, None, None));
    assert!(other.mos.unwrap() > 4.2, "{other:?}");
}

/// A side that should speak and sends nothing has lost what it would have said; one that says that it pauses has not.
#[test]
fn a_side_that_stops_is_lost_from_then_on() {
    let (mut world, streams, mut phones) = bridged(Config::default());
    talk(&mut world, streams, &mut phones, 10, |_| false);
    let scores = |world: &World| world.plane.quality(world.now, streams[0]).unwrap();
    let best = scores(&world).mos.unwrap();
    talk(&mut world, streams, &mut phones, 2, |_| true);
    assert_eq!((scores(&world).lost, scores(&world).mos), (0, Some(best)), "that may be a pause");
    talk(&mut world, streams, &mut phones, 8, |_| true);
    let stopped = scores(&world);
    assert!((495..=505).contains(&stopped.lost) && (stopped.loss - 0.5).abs() < 0.01, "{stopped:?}");
    assert!(stopped.mos.unwrap() < 2.0, "{stopped:?}");
    let other = world.plane.quality(world.now, streams[1]).unwrap();
    assert_eq!((other.lost, other.mos.unwrap() > 4.2), (0, true));
    // It is counted once when the sides are parted, and not on while nobody is there to hear it.
    world.with_plane(|plane, now, _| plane.disconnect(now, streams[0]));
    world.advance_ms(30_000);
    assert_eq!(scores(&world).lost, stopped.lost);
    world.connect(streams[0], streams[1]);
    // Whoever begins anew has lost what was before it; whoever goes on by number has told itself.
    talk(&mut world, streams, &mut phones, 4, |_| true);
    phones[0].ssrc ^= 1;
    talk(&mut world, streams, &mut phones, 1, |_| false);
    let anew = scores(&world);
    assert!((695..=705).contains(&anew.lost), "{anew:?}");
    // Nothing ever: as bad as it can be.
    let (mut world, streams, mut phones) = bridged(Config::default());
    talk(&mut world, streams, &mut phones, 5, |_| true);
    let never = world.plane.quality(world.now, streams[0]).unwrap();
    assert_eq!((never.received, never.loss), (0, 1.0));
    assert!(never.mos.unwrap() < 1.3, "{never:?}");
}

/// Comfort noise, or a talk spurt that is marked as one: silence is not loss.
#[test]
fn a_side_that_pauses_loses_nothing() {
    for noise in [true, false] {
        let (mut world, streams, mut phones) = bridged(Config::default());
        talk(&mut world, streams, &mut phones, 2, |_| false);
        let packet = match noise {
            true => phones[0].next(false, 13, 160, Bytes::from_static(&[40])),
            false => {
                world.advance_ms(400);
                phones[0].next(true, 8, 160, Bytes::from_static(&[0x2A; 160]))
            }
        };
        world.packet(streams[0], phones[0].address, &packet);
        world.advance_ms(9_000);
        let quality = world.plane.quality(world.now, streams[0]).unwrap();
        assert_eq!((quality.lost, quality.mos.unwrap() > 4.2), (0, true), "{noise}");
    }
}

#[test]
fn round_trips_are_measured_over_relayed_reports_too() {
    let (mut world, streams, mut phones) = bridged(Config::default());
    talk(&mut world, streams, &mut phones, 1, |_| false);
    // The second phone's sender report is relayed to the first …
    let mut sender_report = vec![0x80, 200, 0, 6];
    for value in [phones[1].ssrc, 0x11AB_CDEF, 0x1234_5678, 7, 50, 8000_u32] {
        sender_report.extend(value.to_be_bytes());
    }
    world.datagram(streams[1], PacketKind::Rtcp, rtcp_of(&phones[1]), &sender_report);
    let relayed = reports(&mut world, streams[0]).pop().expect("relayed");
    let name = word(&relayed.bytes, 10);
    assert_eq!(name, 0xCDEF_1234);
    // … which answers 80 ms later, having kept it for 50 ms.
    world.advance_ms(80);
    let report = receiver_report(phones[0].ssrc, word(&relayed.bytes, 4), 0, 0, name, 50 * 65_536 / 1000);
    world.datagram(streams[0], PacketKind::Rtcp, rtcp_of(&phones[0]), &report);
    let rtt = world.plane.quality(world.now, streams[0]).unwrap().rtt_ms.unwrap();
    assert!((rtt - 30.0).abs() < 0.1, "{rtt}");
    // A report that names another one, or a delay longer than the time that passed, tells nothing.
    for (name, delay) in [(name ^ 1, 0), (name, 65_536 * 100)] {
        let report = receiver_report(phones[0].ssrc, word(&relayed.bytes, 4), 0, 0, name, delay);
        world.datagram(streams[0], PacketKind::Rtcp, rtcp_of(&phones[0]), &report);
    }
    assert_eq!(world.plane.quality(world.now, streams[0]).unwrap().rtt_ms, Some(rtt));
}

#[test]
fn a_stream_that_stays_up_is_measured_call_by_call() {
    let (mut world, streams, mut phones) = bridged(Config::default());
    talk(&mut world, streams, &mut phones, 4, |i| i % 2 == 0 && i > 0);
    assert!(world.plane.quality(world.now, streams[0]).unwrap().loss > 0.4);
    world.plane.measure_anew(streams[0]);
    talk(&mut world, streams, &mut phones, 4, |_| false);
    let quality = world.plane.quality(world.now, streams[0]).unwrap();
    assert_eq!((quality.received, quality.sent), (200, 200));
    // The packet lost just before counts where its gap is seen.
    assert!(quality.loss < 0.01, "{quality:?}");
}

#[test]
fn reports_share_the_rtp_port_where_that_was_agreed() {
    let mut world = World::with(Config::default());
    let phones = [Phone::new("192.0.2.1:30000", Codec::Pcma), Phone::new("192.0.2.2:40000", Codec::Pcma)];
    let muxed = Remote { rtcp_mux: true, ..phones[0].remote() };
    let (a, b) = (world.open(1), world.open_to(2, &phones[1]));
    world.set_remote(a, muxed);
    world.connect(a, b);
    let mut phones = phones;
    let outside: SocketAddr = "203.0.113.9:61000".parse().unwrap();
    let packet = phones[0].say_level(1000);
    world.packet(a, outside, &packet);
    let report = receiver_report(phones[0].ssrc, 1, 0, 0, 0, 0);
    world.packet(a, outside, &report);
    let relayed = reports(&mut world, b).pop().expect("relayed");
    assert_eq!((relayed.kind, relayed.destination), (PacketKind::Rtcp, rtcp_of(&phones[1])));
    world.datagram(b, PacketKind::Rtcp, rtcp_of(&phones[1]), &receiver_report(phones[1].ssrc, 1, 0, 0, 0, 0));
    let relayed = reports(&mut world, a).pop().expect("relayed");
    assert_eq!((relayed.kind, relayed.destination), (PacketKind::Rtp, outside));
    // From elsewhere, or where it was not agreed, it is nobody's.
    world.packet(a, phones[0].address, &report);
    assert_eq!(world.plane.counters().dropped_foreign_source, 1);
    let packet = phones[1].say_level(1000);
    world.packet(b, phones[1].address, &packet);
    world.packet(b, phones[1].address, &report);
    assert_eq!(world.plane.counters().dropped_malformed, 1);
    assert!(reports(&mut world, a).is_empty());
}

fn audio_events(world: &mut World) -> Vec<(u64, AudioState, bool)> {
    world
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Audio { owner, state, one_way, .. } => Some((owner, state, one_way)),
            _ => None,
        })
        .collect()
}

#[test]
fn one_way_audio_is_noticed_and_its_end_too() {
    let (mut world, streams, mut phones) = bridged(Config::default());
    talk(&mut world, streams, &mut phones, 7, |_| false);
    assert_eq!(audio_events(&mut world), []);
    talk(&mut world, streams, &mut phones, 4, |_| true);
    assert_eq!(audio_events(&mut world), [], "not yet");
    talk(&mut world, streams, &mut phones, 3, |_| true);
    assert_eq!(audio_events(&mut world), [(1, AudioState::NoPackets, true)]);
    assert_eq!(world.plane.quality(world.now, streams[0]).unwrap().audio, AudioState::NoPackets);
    talk(&mut world, streams, &mut phones, 10, |_| true);
    assert_eq!(audio_events(&mut world), [], "once");
    talk(&mut world, streams, &mut phones, 2, |_| false);
    assert_eq!(audio_events(&mut world), [(1, AudioState::Flowing, false)]);
    let counters = world.plane.counters();
    assert_eq!((counters.audio_lost, counters.audio_one_way), (1, 1));
}

/// Tones that begin at zero, as loud as speech: none of them is silence.
#[test]
fn a_tone_is_sound_whatever_its_pitch() {
    for frequency in [250.0, 400.0, 500.0, 800.0, 1_000.0, 1_004.0, 2_000.0, 8_000.0 / 7.0] {
        let (mut world, streams, mut phones) = bridged(Config::default());
        for i in 0..30 * 50_u32 {
            let sample = |k: u32| std::f64::consts::TAU * frequency * f64::from(160 * i + k) / 8_000.0;
            let tone: Vec<i16> = (0..160).map(|k| (2_000.0 * sample(k).sin()) as i16).collect();
            for (phone, stream) in phones.iter_mut().zip(streams) {
                let packet = phone.say(&tone);
                world.packet(stream, phone.address, &packet);
            }
            world.advance_ms(20);
        }
        assert_eq!(audio_events(&mut world), [], "{frequency} Hz");
    }
}

#[test]
fn packets_without_sound_are_silence_and_a_held_or_unbridged_side_is_neither() {
    let (mut world, streams, mut phones) = bridged(Config::default());
    let silent = |world: &mut World, phones: &mut [Phone; 2], seconds: u64| {
        for _ in 0..seconds * 50 {
            let packet = phones[0].say_level(8);
            world.packet(streams[0], phones[0].address, &packet);
            let packet = phones[1].say_level(2000);
            world.packet(streams[1], phones[1].address, &packet);
            world.advance_ms(20);
        }
    };
    silent(&mut world, &mut phones, 19);
    assert_eq!(audio_events(&mut world), []);
    silent(&mut world, &mut phones, 3);
    assert_eq!(audio_events(&mut world), [(1, AudioState::NoSound, true)]);
    talk(&mut world, streams, &mut phones, 2, |_| false);
    assert_eq!(audio_events(&mut world), [(1, AudioState::Flowing, false)]);
    world.set_remote(streams[0], Remote { sends: false, ..phones[0].remote() });
    world.advance_ms(30_000);
    assert!(audio_events(&mut world).iter().all(|(owner, ..)| *owner == 2), "on hold it need not send");
    world.set_remote(streams[0], phones[0].remote());
    world.with_plane(|plane, now, _| plane.disconnect(now, streams[0]));
    world.advance_ms(30_000);
    assert_eq!(audio_events(&mut world), [], "nobody hears either");
}

#[test]
fn a_joined_far_end_that_never_speaks_is_counted_once_when_its_stream_closes() {
    for (seconds, silent) in [(2, 0), (4, 1)] {
        let (mut world, streams, mut phones) = bridged(config());
        talk(&mut world, streams, &mut phones, seconds, |_| true);
        assert_eq!(world.plane.counters().no_media, 0);
        world.close(streams[0]);
        world.close(streams[1]);
        assert_eq!(world.plane.counters().no_media, silent, "{seconds} s");
    }
    // One that has spoken once is none, however long it is silent then; nor is one that nobody waits for.
    let (mut world, streams, mut phones) = bridged(config());
    talk(&mut world, streams, &mut phones, 10, |i| i > 0);
    let alone = world.open_to(3, &Phone::new("192.0.2.3:30000", Codec::Pcma));
    world.advance_ms(10_000);
    for stream in [streams[0], streams[1], alone] {
        world.close(stream);
    }
    assert_eq!(world.plane.counters().no_media, 0);
}

#[test]
fn packets_that_were_overtaken_or_came_twice_are_counted() {
    let (mut world, streams, mut phones) = bridged(config());
    let packets: Vec<Bytes> = (0..20).map(|_| phones[0].say_level(1000)).collect();
    // The numbers go round at 65,535, the sixth of them.
    for i in [0, 1, 2, 4, 3, 5, 7, 8, 6, 6, 9, 9, 10, 2, 12] {
        world.packet(streams[0], phones[0].address, &packets[i]);
    }
    let counters = world.plane.counters();
    assert_eq!((counters.reordered, counters.duplicates), (2, 3));
    assert_eq!(world.plane.stats(streams[0]).unwrap().lost, 1 - 3, "11 is missing, three came twice");
}

#[test]
fn sides_that_speak_differently_are_told_for_both_directions_while_they_are_joined() {
    let mut world = World::new();
    let phones = [Phone::new("192.0.2.1:30000", Codec::Pcma), Phone::new("192.0.2.2:40000", Codec::Pcmu)];
    let streams = [world.open_to(1, &phones[0]), world.open_to(2, &phones[1])];
    let told = |world: &World| {
        let mut told: Vec<_> = world.plane.translated().map(|((from, _), (to, _))| (from, to)).collect();
        told.sort_by_key(|(from, _)| from.payload_type());
        told
    };
    assert_eq!(told(&world), []);
    world.connect(streams[0], streams[1]);
    assert_eq!(told(&world), [(Codec::Pcmu, Codec::Pcma), (Codec::Pcma, Codec::Pcmu)]);
    world.set_remote(streams[1], Phone::new("192.0.2.2:40000", Codec::Pcma).remote());
    assert_eq!(told(&world), []);
}
