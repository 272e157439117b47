//! What is left to the ground, when, and what becomes of what it counted.

use crate::world::*;
use media::{Codec, Config, Ears, OffloadCounts, OffloadRule, PacketKind, PlayRequest, Recording, StreamKey};
use sansio::Duration;

/// A world whose ground can relay, two phones that talk, and both rules given to it.
struct Talk {
    world: World,
    caller: Phone,
    callee: Phone,
    a: StreamKey,
    b: StreamKey,
}

impl Talk {
    fn new() -> Self {
        Self::of(Codec::Pcma, Codec::Pcma)
    }

    fn of(one: Codec, other: Codec) -> Self {
        let mut world = World::with(Config { offload: true, ..config() });
        let (caller, callee) = (Phone::new("192.0.2.1:30000", one), Phone::new("192.0.2.2:40000", other));
        let (a, b) = (world.open_to(1, &caller), world.open_to(2, &callee));
        world.connect(a, b);
        let mut talk = Talk { world, caller, callee, a, b };
        talk.speak();
        talk.speak();
        talk
    }

    /// 20 ms of both, through the plane.
    fn speak(&mut self) {
        self.world.packet(self.a, self.caller.address, &self.caller.say_level(1000));
        self.world.packet(self.b, self.callee.address, &self.callee.say_level(2000));
        self.world.advance_ms(20);
    }

    /// The rule in force for what comes in on the stream.
    fn rule(&self, stream: StreamKey) -> Option<OffloadRule> {
        let last = self.world.offloads.iter().rev().find(|(key, _)| *key == stream)?;
        last.1.map(|(rule, _)| rule)
    }

    /// The ground relays so many packets of the caller's by itself.
    fn relayed(&mut self, packets: u64) -> OffloadCounts {
        for _ in 0..packets {
            self.caller.say_level(1000);
        }
        self.world.advance_ms(20 * packets);
        let start = self.world.offloads.iter().rev().find(|(key, of)| *key == self.a && of.is_some());
        let start = start.and_then(|(_, of)| *of).expect("a rule").1;
        // Phones begin with 65,530.
        let highest = 65_530 + u32::from(self.caller.sequence.wrapping_sub(65_530)) - 1;
        OffloadCounts {
            packets,
            bytes: packets * 172,
            octets: packets * 160,
            last_at: Some(self.world.now),
            sound_at: Some(self.world.now),
            highest,
            transit: start.transit,
            jitter: start.jitter,
            timestamp: start.timestamp.wrapping_add(160 * (highest - start.highest)),
            samples: 160,
        }
    }

    /// Ends a rule that was taken back.
    fn ended(&mut self, stream: StreamKey, counts: &OffloadCounts) {
        let counts = *counts;
        self.world.with_plane(|plane, _, _| plane.offload_ended(stream, &counts));
    }
}

#[test]
fn a_plain_call_is_left_to_the_ground_once_both_sides_are_latched() {
    let talk = Talk::new();
    let (there, back) = (talk.rule(talk.a).unwrap(), talk.rule(talk.b).unwrap());
    assert_eq!((there.source, there.destination), (talk.caller.address, talk.callee.address));
    assert_eq!((back.source, back.destination), (talk.callee.address, talk.caller.address));
    assert_eq!((there.port, there.out_port), (back.out_port, back.port));
    assert_eq!((there.ssrc, back.ssrc), (talk.caller.ssrc, talk.callee.ssrc));
    assert!(!there.tap && !back.tap);
    assert_eq!(talk.world.offloads.len(), 2, "each once");
}

#[test]
fn one_side_that_says_nothing_keeps_all_of_it_here() {
    let mut world = World::with(Config { offload: true, ..config() });
    let (mut caller, callee) =
        (Phone::new("192.0.2.1:30000", Codec::Pcma), Phone::new("192.0.2.2:40000", Codec::Pcma));
    let (a, b) = (world.open_to(1, &caller), world.open_to(2, &callee));
    world.connect(a, b);
    for _ in 0..10 {
        world.packet(a, caller.address, &caller.say_level(1000));
    }
    assert!(world.offloads.is_empty());
    assert_eq!(world.take_arrived(b).len(), 10);
}

#[test]
fn nothing_is_left_to_a_ground_that_cannot() {
    let mut world = World::new();
    let (mut caller, mut callee) =
        (Phone::new("192.0.2.1:30000", Codec::Pcma), Phone::new("192.0.2.2:40000", Codec::Pcma));
    let (a, b) = (world.open_to(1, &caller), world.open_to(2, &callee));
    world.connect(a, b);
    for _ in 0..10 {
        world.packet(a, caller.address, &caller.say_level(1000));
        world.packet(b, callee.address, &callee.say_level(1000));
    }
    assert!(world.offloads.is_empty());
}

#[test]
fn sound_that_must_be_changed_stays_here() {
    let talk = Talk::of(Codec::Pcma, Codec::Pcmu);
    assert!(talk.world.offloads.is_empty());
}

#[test]
fn what_the_ground_counted_is_in_all_figures_and_the_line_goes_on_unbroken() {
    let mut talk = Talk::new();
    let (a, b) = (talk.a, talk.b);
    let before = talk.world.take_arrived(b).last().unwrap().rtp().header;
    let mut counts = talk.relayed(100);
    let part = OffloadCounts {
        packets: 50,
        bytes: 50 * 172,
        octets: 50 * 160,
        highest: counts.highest - 50,
        timestamp: counts.timestamp.wrapping_sub(50 * 160),
        ..counts
    };
    talk.world.with_plane(|plane, _, _| plane.offload_counted(a, &part));
    talk.world.with_plane(|plane, _, _| plane.offload_counted(a, &counts));
    let stats = talk.world.plane.stats(a).unwrap();
    assert_eq!((stats.received, stats.lost, stats.last_packet_at), (102, 0, counts.last_at));
    assert_eq!(talk.world.plane.quality(talk.world.now, b).unwrap().sent, 102);
    let counters = talk.world.plane.counters();
    assert_eq!((counters.packets_in, counters.packets_out, counters.offloaded_rtp), (104, 104, 100));
    assert_eq!(counters.bytes_out, 104 * 172);
    // The next one comes here: right behind the ground's.
    talk.world.packet(a, talk.caller.address, &talk.caller.say_level(1000));
    let after = talk.world.take_arrived(b)[0].rtp().header;
    assert_eq!(after.sequence_number, before.sequence_number.wrapping_add(101));
    assert_eq!(after.timestamp, before.timestamp.wrapping_add(101 * 160));
    // Loss that the ground saw.
    counts.highest += 1 + 7;
    counts.packets += 2;
    talk.world.with_plane(|plane, _, _| plane.offload_counted(a, &counts));
    assert_eq!(talk.world.plane.stats(a).unwrap().lost, 8 - 3);
}

/// Each of these is one more reason to come here, or to be copied; the rule is taken back at once, and given again when the
/// ground has said what it counted.
#[test]
fn what_changes_takes_the_rule_back_first() {
    for what in ["prompt", "beep", "remote", "peer", "recording", "ears"] {
        let mut talk = Talk::new();
        let (a, b) = (talk.a, talk.b);
        let id = 5;
        talk.world.offloads.clear();
        match what {
            "prompt" => talk.world.with_plane(|plane, now, out| {
                let samples = vec![0; 800].into();
                plane.play(now, b, PlayRequest { tag: 1, samples, repeat: false }, out);
            }),
            "beep" => {
                talk.world.with_plane(|plane, now, out| plane.tone(now, b, media::Tone::default(), out))
            }
            "remote" => {
                let moved = Phone::new("192.0.2.2:41000", Codec::Pcma);
                talk.world.set_remote(b, moved.remote());
            }
            "peer" => talk.world.with_plane(|plane, now, _| plane.disconnect(now, b)),
            "recording" => talk.world.with_plane(|plane, now, out| {
                plane.start_recording(now, Recording { id, left: a, right: Some(b) }, out).unwrap();
            }),
            _ => talk.world.with_plane(|plane, now, _| {
                plane.listen(now, a, Ears { early_media: true, ..Ears::default() });
            }),
        }
        assert!(talk.world.offloads.contains(&(a, None)), "{what}");
        let counts = talk.relayed_before(7);
        talk.ended(a, &counts);
        let again = talk.rule(a);
        match what {
            "recording" | "ears" => assert!(again.unwrap().tap, "{what}"),
            _ => assert_eq!(again, None, "{what}"),
        }
        assert_eq!(talk.world.plane.stats(a).unwrap().received, 9, "{what}");
        if what == "prompt" || what == "beep" {
            // The frames of our own come right behind what the ground sent.
            let before = talk.world.take_arrived(b).last().unwrap().rtp().header.sequence_number;
            talk.world.advance_ms(60);
            let sent = talk.world.take_arrived(b);
            assert_eq!(sent[0].rtp().header.sequence_number, before.wrapping_add(8), "{what}");
            talk.world.advance_ms(500);
            talk.speak();
            assert!(talk.rule(a).is_some(), "{what} is over");
        }
    }
}

impl Talk {
    /// What the ground had relayed when it was told to stop.
    fn relayed_before(&mut self, packets: u64) -> OffloadCounts {
        let highest = self.world.plane.stats(self.a).map_or(0, |_| u32::from(65_531_u16));
        for _ in 0..packets {
            self.caller.say_level(1000);
        }
        let timestamp = self.world.arrived.iter().rev().find(|arrived| arrived.from == self.b).unwrap();
        OffloadCounts {
            packets,
            bytes: packets * 172,
            octets: packets * 160,
            last_at: Some(self.world.now),
            highest: highest + packets as u32,
            timestamp: timestamp.rtp().header.timestamp.wrapping_add(160 * packets as u32),
            samples: 160,
            ..OffloadCounts::default()
        }
    }
}

#[test]
fn a_close_takes_back_what_is_left_and_counts_it() {
    let mut talk = Talk::new();
    let (a, b) = (talk.a, talk.b);
    talk.world.offloads.clear();
    talk.world.close(a);
    assert_eq!(talk.world.offloads, [(a, None), (b, None)]);
    let counts = talk.relayed_before(9);
    assert!(!talk.world.plane.is_at_rest());
    talk.ended(a, &counts);
    talk.ended(b, &OffloadCounts::default());
    assert_eq!(talk.world.plane.counters().offloaded_rtp, 9);
    assert_eq!(talk.world.plane.quality(talk.world.now, b).unwrap().sent, 11);
    talk.world.close(b);
    talk.world.assert_at_rest();
}

/// A stranger is judged by when the far end was heard last, by whatever way.
#[test]
fn nobody_takes_over_a_stream_that_the_ground_relays() {
    let mut talk = Talk::new();
    let a = talk.a;
    let mut packets = 0;
    for _ in 0..20 {
        packets += 25;
        let counts = OffloadCounts { packets, ..talk.relayed(25) };
        talk.world.with_plane(|plane, _, _| plane.offload_counted(a, &counts));
    }
    let mut stranger = Phone { sequence: talk.caller.sequence, ..Phone::new("203.0.113.9:9", Codec::Pcma) };
    stranger.ssrc = talk.caller.ssrc;
    for _ in 0..10 {
        let bytes = stranger.say_level(1);
        talk.world.datagram(a, PacketKind::Rtp, stranger.address, &bytes);
    }
    assert_eq!(talk.world.plane.counters().dropped_foreign_source, 10);
    assert_eq!(talk.rule(a).unwrap().source, talk.caller.address);
}

#[test]
fn silence_takes_the_rule_back_and_another_address_gets_one() {
    let mut talk = Talk::new();
    let a = talk.a;
    talk.world.offloads.clear();
    talk.world.advance(Duration::from_secs(5));
    assert!(talk.world.offloads.contains(&(a, None)));
    assert!(talk.world.asked.contains(&a), "counts are asked for every second");
    talk.ended(a, &OffloadCounts::default());
    let b = talk.b;
    talk.ended(b, &OffloadCounts::default());
    talk.caller.address = "192.0.2.1:31000".parse().unwrap();
    for _ in 0..6 {
        talk.speak();
    }
    talk.ended(b, &OffloadCounts::default());
    assert_eq!(talk.rule(a).unwrap().source, talk.caller.address);
    assert_eq!(talk.rule(b).unwrap().destination, talk.caller.address);
}

/// A caller who has begun anew on another host is followed there, by a rule of its own in the end.
#[test]
fn a_caller_who_has_moved_gets_a_rule_there() {
    let mut talk = Talk::new();
    let (a, b) = (talk.a, talk.b);
    let counts = talk.relayed(60);
    talk.world.with_plane(|plane, _, _| plane.offload_counted(a, &counts));
    talk.world.advance(Duration::from_secs(5));
    talk.ended(a, &counts);
    talk.ended(b, &OffloadCounts::default());
    let before = talk.caller.address;
    talk.caller.address = "198.51.100.7:31000".parse().unwrap();
    talk.caller.ssrc ^= 1;
    for _ in 0..9 * 50 {
        talk.speak();
    }
    assert!(talk.world.plane.stats(a).unwrap().latched == Some(before), "it may only pause");
    for _ in 0..5 * 50 {
        talk.speak();
    }
    talk.ended(b, &OffloadCounts::default());
    assert_eq!(talk.rule(a).unwrap().source, talk.caller.address);
    assert_eq!(talk.rule(b).unwrap().destination, talk.caller.address);
}

#[test]
fn what_is_refused_is_asked_for_again_only_later() {
    let mut talk = Talk::new();
    let a = talk.a;
    talk.world.with_plane(|plane, now, _| plane.offload_refused(now, a));
    talk.world.offloads.clear();
    for _ in 0..100 {
        talk.speak();
    }
    assert_eq!(talk.rule(a), None);
    for _ in 0..200 {
        talk.speak();
    }
    assert!(talk.rule(a).is_some());
}

/// What is copied is heard: a recording of sound that never came here.
#[test]
fn copies_are_recorded() {
    let mut talk = Talk::new();
    let (a, b) = (talk.a, talk.b);
    talk.world.with_plane(|plane, now, out| {
        plane.start_recording(now, Recording { id: 5, left: a, right: Some(b) }, out).unwrap();
    });
    talk.ended(a, &OffloadCounts::default());
    talk.ended(b, &OffloadCounts::default());
    assert!(talk.rule(a).unwrap().tap && talk.rule(b).unwrap().tap);
    for _ in 0..100 {
        let bytes = talk.caller.say_level(8000);
        talk.world.with_plane(|plane, now, out| plane.heard(now, a, &bytes, out));
        talk.world.advance_ms(20);
    }
    talk.world.with_plane(|plane, now, out| plane.stop_recording(now, 5, out));
    let loud = talk.world.files[&5].samples.iter().filter(|[left, _]| *left > 7000).count();
    assert!(loud >= 99 * 160, "{loud} samples of 16,000");
    assert_eq!(talk.world.take_arrived(b).len(), 2, "nothing of it is sent again");
}

/// Two sources take turns, and the ground has still sent a packet of the first when it is told to stop.
#[test]
fn numbers_that_the_ground_used_up_are_not_used_again() {
    let mut talk = Talk::new();
    let (a, b) = (talk.a, talk.b);
    let (first, second) = (talk.caller.ssrc, talk.caller.ssrc ^ 0xFF);
    let rule = talk.rule(a).unwrap();
    talk.caller.ssrc = second;
    talk.world.packet(a, talk.caller.address, &talk.caller.say_level(1000));
    let before = talk.world.take_arrived(b).last().unwrap().rtp().header;
    talk.caller.ssrc = first;
    let mut counts = talk.relayed(1);
    counts.timestamp = before.timestamp.wrapping_add(160);
    let used = (counts.highest as u16).wrapping_add(rule.sequence_delta);
    assert_eq!(used, before.sequence_number.wrapping_add(1), "the ground's number follows the plane's");
    talk.ended(a, &counts);
    for ssrc in [first, second] {
        talk.caller.ssrc = ssrc;
        talk.world.packet(a, talk.caller.address, &talk.caller.say_level(1000));
    }
    let after: Vec<u16> =
        talk.world.take_arrived(b).iter().map(|arrived| arrived.rtp().header.sequence_number).collect();
    assert_eq!(after, [used.wrapping_add(1), used.wrapping_add(2)]);
}
