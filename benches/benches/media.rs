//! The media plane's hot paths. One "packet" is 20 ms of G.711, 172 bytes, handled and its outputs drained.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use media::dsp::{double::Doubler, halve::Halver};
use media::{
    AmdConfig, Codec, Coded, Config, Ears, Output, PacketKind, Plane, PlayRequest, Recording, Remote,
    StreamKey, rtp,
};
use sansio::{Duration, Instant, Outbox, Rng};
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

/// 20 ms.
const SAMPLES: u32 = 160;

/// A plane with bridged pairs, and the far ends that send into it round robin.
struct Load {
    plane: Plane,
    out: Outbox<Output>,
    now: Instant,
    ends: Vec<End>,
    next: usize,
    packet: [u8; 172],
}

struct End {
    stream: StreamKey,
    source: SocketAddr,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
}

impl Load {
    fn new(pairs: usize, codecs: [Codec; 2]) -> Self {
        let config = Config { ports: 10_000..=60_000, ..Config::default() };
        let mut plane = Plane::new(config, Rng::from_seed(1));
        let mut out = Outbox::default();
        let now = Instant::from_millis(1);
        let mut ends = Vec::new();
        for pair in 0..pairs {
            let mut keys = Vec::new();
            for (side, codec) in codecs.into_iter().enumerate() {
                let source = SocketAddr::from(([10, side as u8, (pair >> 8) as u8, pair as u8], 4000));
                let stream = plane.open(now, 0, &mut out).expect("ports for all");
                plane.set_remote(now, stream, Remote::new(source, codec), &mut out);
                keys.push(stream);
                let payload_type = codec.payload_type();
                ends.push(End { stream, source, payload_type, sequence: pair as u16, timestamp: 0 });
            }
            plane.connect(now, keys[0], keys[1], &mut out);
        }
        out.drain();
        let mut packet = [0x55; 172];
        packet[..12].copy_from_slice(&rtp::header(false, 0, 0, 0, 1));
        Load { plane, out, now, ends, next: 0, packet }
    }

    /// The next far end sends its next packet; every end sends one each 20 ms.
    fn packet(&mut self) -> usize {
        let end = &mut self.ends[self.next];
        end.sequence = end.sequence.wrapping_add(1);
        end.timestamp = end.timestamp.wrapping_add(SAMPLES);
        rtp::rewrite(&mut self.packet, false, end.payload_type, end.sequence, end.timestamp, 7);
        let (stream, source) = (end.stream, end.source);
        self.plane.handle_packet(self.now, stream, PacketKind::Rtp, source, &mut self.packet, &mut self.out);
        self.next += 1;
        if self.next == self.ends.len() {
            self.next = 0;
            self.now += Duration::from_millis(20);
            self.plane.handle_timeout(self.now, &mut self.out);
        }
        self.out.drain().map(|output| usize::from(matches!(output, Output::Forward { .. }))).sum()
    }
}

fn relay(c: &mut Criterion) {
    let mut group = c.benchmark_group("relay");
    group.throughput(Throughput::Elements(1));
    for pairs in [1, 500, 2000] {
        let mut load = Load::new(pairs, [Codec::Pcma, Codec::Pcma]);
        group.bench_function(BenchmarkId::new("plain", pairs), |b| b.iter(|| black_box(load.packet())));
    }
    let mut load = Load::new(500, [Codec::Pcma, Codec::Pcmu]);
    group.bench_function(BenchmarkId::new("transcoded", 500), |b| b.iter(|| black_box(load.packet())));
    let mut load = Load::new(500, [Codec::Pcma, Codec::Pcma]);
    for pair in 0..500_usize {
        let (left, right) = (load.ends[2 * pair].stream, Some(load.ends[2 * pair + 1].stream));
        let recording = Recording { id: pair as u64, left, right };
        load.plane.start_recording(load.now, recording, &mut load.out).expect("room for all");
    }
    group.bench_function(BenchmarkId::new("recorded", 500), |b| b.iter(|| black_box(load.packet())));
    let mut load = Load::new(500, [Codec::Pcma, Codec::Pcma]);
    let never = Duration::from_secs(1_000_000);
    let config = AmdConfig { initial_silence_max: never, listen_max: never, ..AmdConfig::default() };
    for end in &load.ends {
        let ears = Ears { dtmf: true, amd: Some(config), ..Ears::default() };
        load.plane.listen(load.now, end.stream, ears);
        load.plane.amd_start(load.now, end.stream);
    }
    group.bench_function(BenchmarkId::new("amd", 500), |b| b.iter(|| black_box(load.packet())));
    let mut load = Load::new(500, [Codec::Pcma, Codec::Pcma]);
    for end in &load.ends {
        load.plane.listen(load.now, end.stream, Ears { early_media: true, ..Ears::default() });
    }
    group.bench_function(BenchmarkId::new("early media", 500), |b| b.iter(|| black_box(load.packet())));
    group.finish();
}

fn refused(c: &mut Criterion) {
    let mut load = Load::new(1, [Codec::Pcma, Codec::Pcma]);
    load.packet();
    load.packet();
    let stranger = SocketAddr::from(([192, 0, 2, 1], 9));
    let mut packet = load.packet;
    rtp::rewrite(&mut packet, false, Codec::Pcma.payload_type(), 5, 800, 9);
    c.bench_function("refused/stranger", |b| {
        b.iter(|| {
            let stream = load.ends[0].stream;
            load.plane.handle_packet(load.now, stream, PacketKind::Rtp, stranger, &mut packet, &mut load.out);
            load.out.drain().len()
        });
    });
}

fn playout(c: &mut Criterion) {
    const PLAYERS: usize = 500;
    let mut load = Load::new(PLAYERS / 2, [Codec::Pcma, Codec::Pcmu]);
    let samples: Arc<[i16]> = (0..80_000_i32).map(|i| (i % 20_000 - 10_000) as i16).collect();
    for end in &load.ends {
        let request = PlayRequest { tag: 0, samples: samples.clone(), repeat: true };
        load.plane.play(load.now, end.stream, request, &mut load.out);
    }
    let mut group = c.benchmark_group("playout");
    group.throughput(Throughput::Elements(PLAYERS as u64));
    group.bench_function(BenchmarkId::new("tick", PLAYERS), |b| {
        b.iter(|| {
            load.now += Duration::from_millis(20);
            load.plane.handle_timeout(load.now, &mut load.out);
            load.out.drain().count()
        });
    });
    group.finish();
}

/// A far end that speaks one coding, with half a second of packets that it says over and over.
struct Speaker {
    stream: StreamKey,
    source: SocketAddr,
    payloads: Vec<Vec<u8>>,
    payload_type: u8,
    ticks: u32,
}

/// A call between two codings, both of whose sides speak.
struct Translated {
    plane: Plane,
    out: Outbox<Output>,
    now: Instant,
    speakers: [Speaker; 2],
    frame: u32,
    /// One packet in so many is lost; 0: none.
    lost: u32,
}

impl Translated {
    fn new(codings: [Option<Coded>; 2], lost: u32) -> Self {
        let config = Config { ports: 10_000..=60_000, ..Config::default() };
        let mut plane = Plane::new(config, Rng::from_seed(1));
        let mut out = Outbox::default();
        let mut now = Instant::from_millis(1);
        let voice: Arc<[i16]> = (0..4_000_i32).map(|i| ((i * i / 7) % 9_000 - 4_500) as i16).collect();
        let speakers = [0_u8, 1].map(|side| {
            let coded = codings[usize::from(side)];
            let source = SocketAddr::from(([10, 0, 0, side], 4000));
            let stream = plane.open(now, 0, &mut out).expect("ports for both");
            let remote = Remote::new(source, Codec::Pcmu);
            let remote = coded.map_or(remote, |coded| remote.with_coded(coded));
            plane.set_remote(now, stream, remote, &mut out);
            out.drain();
            // What the plane says in that coding is what its far end will say.
            plane.play(now, stream, PlayRequest { tag: 0, samples: voice.clone(), repeat: true }, &mut out);
            let mut payloads = Vec::new();
            while payloads.len() < 25 {
                now += Duration::from_millis(20);
                plane.handle_timeout(now, &mut out);
                payloads.extend(out.drain().filter_map(|output| match output {
                    Output::Send { kind: PacketKind::Rtp, packet, .. } => Some(packet[12..].to_vec()),
                    _ => None,
                }));
            }
            plane.stop_playing(now, stream, &mut out);
            out.drain();
            let ticks = if coded == Some(Coded::Opus) { 6 * SAMPLES } else { SAMPLES };
            Speaker { stream, source, payloads, payload_type: remote.payload_type, ticks }
        });
        plane.connect(now, speakers[0].stream, speakers[1].stream, &mut out);
        Translated { plane, out, now, speakers, frame: 0, lost }
    }

    /// 20 ms of both sides; gives the packets sent.
    fn frame(&mut self) -> usize {
        self.frame += 1;
        for speaker in &self.speakers {
            if self.lost > 0 && self.frame.is_multiple_of(self.lost) {
                continue;
            }
            let payload = &speaker.payloads[self.frame as usize % speaker.payloads.len()];
            let timestamp = self.frame.wrapping_mul(speaker.ticks);
            let header = rtp::header(false, speaker.payload_type, self.frame as u16, timestamp, 7);
            let mut packet = [header.as_slice(), payload].concat();
            let (stream, source) = (speaker.stream, speaker.source);
            self.plane.handle_packet(self.now, stream, PacketKind::Rtp, source, &mut packet, &mut self.out);
        }
        self.now += Duration::from_millis(20);
        self.plane.handle_timeout(self.now, &mut self.out);
        self.out.drain().count()
    }
}

/// Sound of 20 ms, both directions of a call: decoded, put in order, coded anew.
fn translated(c: &mut Criterion) {
    let mut group = c.benchmark_group("translated");
    group.throughput(Throughput::Elements(2));
    let kinds = [
        ("G.711 and G.722", [None, Some(Coded::G722)]),
        ("G.711 and Opus", [None, Some(Coded::Opus)]),
        ("G.722 and Opus, wide", [Some(Coded::G722), Some(Coded::Opus)]),
    ];
    for (name, codings) in kinds {
        for lost in [0, 10] {
            let mut call = Translated::new(codings, lost);
            (0..10).for_each(|_| {
                let _ = call.frame();
            });
            let lost = if lost == 0 { "whole" } else { "one in ten lost" };
            group.bench_function(BenchmarkId::new(name, lost), |b| b.iter(|| black_box(call.frame())));
        }
    }
    group.finish();
    let mut group = c.benchmark_group("resampled");
    let (narrow, mut wide) = ([1_000_i16; 160], [0_i16; 320]);
    let mut doubler = Doubler::default();
    group.bench_function("8 to 16 kHz", |b| b.iter(|| doubler.double(black_box(&narrow), &mut wide)));
    let (mut halver, mut halved) = (Halver::default(), [0_i16; 160]);
    group.bench_function("16 to 8 kHz", |b| b.iter(|| halver.halve(black_box(&wide), &mut halved)));
    group.finish();
}

criterion_group!(benches, relay, refused, playout, translated);
criterion_main!(benches);
