//! Anything from the network, in any order of commands: no panic, no leak, the same result each time.

use crate::world::*;
use media::rtp::Header;
use media::{AmdConfig, Codec, Ears, PacketKind, PlayRequest, Recording, StreamKey, Tone};
use proptest::prelude::*;
use rtp::packet::Packet;
use sansio::{Duration, Rng};
use std::sync::Arc;
use webrtc_util::marshal::Unmarshal;

proptest! {
    /// Our view against the rtp crate's: what both take, they read alike; what we take, it takes.
    #[test]
    fn the_header_view_agrees_with_the_rtp_crate(mut bytes in prop::collection::vec(any::<u8>(), 0..200), csrc in 0..4_u8) {
        if let Some(first) = bytes.first_mut() {
            *first = (*first & 0xF0) | csrc;
        }
        if let Some(ours) = Header::read(&bytes) {
            let theirs = Packet::unmarshal(&mut bytes::Bytes::from(bytes.clone()));
            // The crate also refuses extensions whose insides are broken; we do not look inside.
            let has_extension = bytes[0] & 0x10 != 0;
            match theirs {
                Ok(theirs) => {
                    prop_assert_eq!(ours.marker, theirs.header.marker);
                    prop_assert_eq!(ours.payload_type, theirs.header.payload_type);
                    prop_assert_eq!(ours.sequence, theirs.header.sequence_number);
                    prop_assert_eq!(ours.timestamp, theirs.header.timestamp);
                    prop_assert_eq!(ours.ssrc, theirs.header.ssrc);
                    prop_assert_eq!(&bytes[ours.payload()], &theirs.payload[..]);
                }
                Err(_) => prop_assert!(has_extension),
            }
        }
    }

    /// Whatever compound comes, it stays one: what goes out is valid and as long as what came in.
    #[test]
    fn rtcp_of_any_kind_stays_valid(parts in prop::collection::vec((192..=223_u8, 0..32_u8, prop::collection::vec(any::<u32>(), 1..20)), 1..5)) {
        let mut packet = Vec::new();
        for (kind, count, words) in &parts {
            packet.extend([0x80 | count, *kind, 0, words.len() as u8]);
            packet.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        }
        let mut world = World::new();
        let phones = [Phone::new("192.0.2.1:30000", Codec::Pcma), Phone::new("192.0.2.2:30000", Codec::Pcma)];
        let (a, b) = (world.open_to(1, &phones[0]), world.open_to(2, &phones[1]));
        world.connect(a, b);
        world.datagram(a, PacketKind::Rtcp, "192.0.2.1:30001".parse().unwrap(), &packet);
        for sent in world.take_arrived(b) {
            prop_assert!(media::rtp::rtcp::is_valid(&sent.bytes));
            prop_assert_eq!(sent.bytes.len(), packet.len());
        }
    }

    #[test]
    fn any_bytes_are_a_prompt_or_an_error(body in prop::collection::vec(any::<u8>(), 0..200), format in prop::collection::vec(any::<u8>(), 0..41)) {
        let mut file = b"RIFF\0\0\0\0WAVEfmt ".to_vec();
        file.extend((format.len() as u32).to_le_bytes());
        file.extend(&format);
        file.extend(b"data\xFF\xFF\xFF\xFF");
        file.extend(&body);
        let _ = media::wav::read_prompt(&file);
        let _ = media::wav::read_prompt(&body);
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_sequence_of_operations_keeps_the_invariants_and_ends_at_rest(seed in any::<u64>()) {
        let first = run(seed);
        prop_assert_eq!(first, run(seed), "the same inputs, the same outputs");
    }
}

/// Plays a few hundred random operations and gives back all that came out of them, in words.
fn run(seed: u64) -> String {
    let mut rng = Rng::from_seed(seed);
    let mut world = World::with(media::Config { rtcp_interval: Duration::from_secs(5), ..config() });
    let mut streams: Vec<StreamKey> = Vec::new();
    let mut phones: Vec<Phone> = (0..4)
        .map(|i| {
            Phone::new(
                &format!("192.0.2.{}:30000", i + 1),
                if i % 2 == 0 { Codec::Pcma } else { Codec::Pcmu },
            )
        })
        .collect();
    for step in 0..400_u64 {
        let stream = |rng: &mut Rng| match rng.below(streams.len() as u64 + 1) as usize {
            i if i < streams.len() => streams[i],
            _ => StreamKey::from_bits(rng.below(20)),
        };
        let (one, other) = (stream(&mut rng), stream(&mut rng));
        let phone = rng.below(4) as usize;
        let mut remote = phones[phone].remote();
        match rng.below(20) {
            0 | 1 => streams.extend(world.with_plane(|plane, now, out| plane.open(now, step, out))),
            2 => {
                remote.sends = rng.chance(0.8);
                remote.receives = rng.chance(0.8);
                remote.rtcp_mux = rng.chance(0.3);
                world.set_remote(one, remote);
            }
            3 => world.connect(one, other),
            4 => world.with_plane(|plane, now, _| plane.disconnect(now, one)),
            5 => {
                let samples: Arc<[i16]> = vec![100; rng.below(5000) as usize].into();
                let request = PlayRequest { tag: step, samples, repeat: rng.chance(0.3) };
                world.with_plane(|plane, now, out| plane.play(now, one, request, out));
            }
            6 => world.with_plane(|plane, now, out| plane.tone(now, one, Tone::default(), out)),
            7 => {
                let recording =
                    Recording { id: rng.below(5), left: one, right: rng.chance(0.7).then_some(other) };
                let _ = world.with_plane(|plane, now, out| {
                    plane.stop_recording(now, recording.id + 100, out);
                    plane.start_recording(now, recording, out)
                });
                // A file is written once: an id that has finished is not used again.
                if world.files.get(&recording.id).is_some_and(|file| file.finished.is_some()) {
                    world.files.remove(&recording.id);
                }
            }
            8 => {
                let id = rng.below(5);
                world.with_plane(|plane, now, out| plane.stop_recording(now, id, out));
                world.files.remove(&id);
            }
            9 => {
                let _ =
                    world.with_plane(|plane, now, _| plane.retarget_recording(now, step % 5, Some(other)));
            }
            10 => {
                let amd = rng.chance(0.7).then(AmdConfig::default);
                let ears =
                    Ears { dtmf: rng.chance(0.5), amd, early_media: rng.chance(0.5), ..Ears::default() };
                world.with_plane(|plane, now, _| {
                    plane.listen(now, one, ears);
                    plane.amd_start(now, other);
                });
            }
            11 => {
                world.close(one);
                world.files.retain(|_, file| file.finished.is_none());
            }
            12 | 13 => {
                let garbage: Vec<u8> = (0..rng.below(100)).map(|_| rng.next_u32() as u8).collect();
                let kind = if rng.chance(0.5) { PacketKind::Rtp } else { PacketKind::Rtcp };
                world.datagram(one, kind, phones[phone].address, &garbage);
            }
            14 => world.packet(
                one,
                phones[phone].address,
                &phones[phone].event((step % 20) as u8, rng.chance(0.3), 400),
            ),
            15 => world.advance_ms(rng.below(500)),
            _ => {
                let length = rng.below(400) as usize;
                let bytes = phones[phone].say(&vec![500; length]);
                world.packet(one, phones[phone].address, &bytes);
            }
        }
    }
    let words =
        format!("{:?} {:?} {:?} {:?}", world.arrived, world.events, world.latches, world.plane.counters());
    for stream in streams {
        world.close(stream);
    }
    world.assert_at_rest();
    words
}
