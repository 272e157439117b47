//! A plane, its clock, and far ends that send and receive.

use bytes::Bytes;
use media::{
    Codec, Config, Event, OffloadRule, OffloadStart, Output, PacketKind, Plane, RecordOp, Remote, StreamKey,
    codec,
};
use rtp::packet::Packet;
use sansio::{Duration, Instant, Outbox, Rng};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use webrtc_util::marshal::{Marshal, Unmarshal};

/// A packet on its way to a far end.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) at: Instant,
    pub(crate) from: StreamKey,
    pub(crate) kind: PacketKind,
    pub(crate) destination: SocketAddr,
    pub(crate) bytes: Bytes,
}

impl Arrived {
    pub(crate) fn rtp(&self) -> Packet {
        Packet::unmarshal(&mut self.bytes.clone()).expect("what the plane sends is RTP")
    }
}

/// What a recording's file would hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) samples: Vec<[i16; 2]>,
    pub(crate) finished: Option<u64>,
    pub(crate) paused_frames: u64,
    pub(crate) undecodable: bool,
}

pub(crate) struct World {
    pub(crate) plane: Plane,
    pub(crate) now: Instant,
    pub(crate) out: Outbox<Output>,
    pub(crate) arrived: Vec<Arrived>,
    pub(crate) events: Vec<Event>,
    pub(crate) latches: Vec<(StreamKey, PacketKind, Option<SocketAddr>)>,
    pub(crate) open_ports: BTreeSet<u16>,
    /// Even ports that were to be bound ahead, in order.
    pub(crate) held_ports: Vec<u16>,
    pub(crate) files: BTreeMap<u64, File>,
    /// Rules given to the ground, and taken back.
    pub(crate) offloads: Vec<(StreamKey, Option<(OffloadRule, OffloadStart)>)>,
    /// Streams whose counts were asked for.
    pub(crate) asked: Vec<StreamKey>,
    /// Orders about handshakes.
    pub(crate) handshakes: Vec<media::DtlsOrder>,
    /// What forks gave out.
    pub(crate) forked: Vec<media::ForkOp>,
}

pub(crate) fn config() -> Config {
    // Most tests count packets: reports have tests of their own.
    Config { ports: 4000..=4199, rtcp_interval: Duration::ZERO, ..Config::default() }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(config())
    }

    pub(crate) fn with(config: Config) -> Self {
        World {
            plane: Plane::new(config, Rng::from_seed(1)),
            now: Instant::from_millis(1000),
            out: Outbox::default(),
            arrived: Vec::new(),
            events: Vec::new(),
            latches: Vec::new(),
            open_ports: BTreeSet::new(),
            held_ports: Vec::new(),
            files: BTreeMap::new(),
            offloads: Vec::new(),
            asked: Vec::new(),
            handshakes: Vec::new(),
            forked: Vec::new(),
        }
    }

    /// Carries out what the plane wants; `packet` is the one it just handled.
    pub(crate) fn settle(&mut self, packet: &[u8]) {
        for output in self.out.drain() {
            match output {
                Output::HoldPorts { rtp_port, rtcp_port } => {
                    assert_eq!((rtp_port % 2, rtcp_port), (0, rtp_port + 1));
                    assert!(!self.open_ports.contains(&rtp_port), "held though it is open");
                    self.held_ports.push(rtp_port);
                }
                Output::OpenPorts { rtp_port, rtcp_port, .. } => {
                    assert_eq!((rtp_port % 2, rtcp_port), (0, rtp_port + 1));
                    assert!(self.open_ports.insert(rtp_port), "opened twice");
                }
                Output::ClosePorts { rtp_port, .. } => {
                    assert!(self.open_ports.remove(&rtp_port), "closed twice");
                }
                Output::Forward { to: from, kind, destination } => {
                    let bytes = Bytes::copy_from_slice(packet);
                    self.arrived.push(Arrived { at: self.now, from, kind, destination, bytes });
                }
                Output::Send { from, kind, destination, packet: bytes } => {
                    self.arrived.push(Arrived { at: self.now, from, kind, destination, bytes });
                }
                Output::Latched { stream, kind, destination } => {
                    self.latches.push((stream, kind, Some(destination)));
                }
                Output::Unlatched { stream, kind } => self.latches.push((stream, kind, None)),
                Output::Event(event) => self.events.push(event),
                Output::Offload { stream, rule, start } => self.offloads.push((stream, Some((rule, start)))),
                Output::Reclaim { stream } => self.offloads.push((stream, None)),
                Output::CountOffload { stream } => self.asked.push(stream),
                Output::Dtls(order) => self.handshakes.push(order),
                Output::Fork(op) => self.forked.push(op),
                Output::Record(RecordOp::Open { id }) => {
                    assert!(self.files.insert(id, File::default()).is_none(), "opened twice");
                }
                Output::Record(RecordOp::Append { id, samples }) => {
                    let file = self.files.get_mut(&id).expect("open");
                    assert_eq!(file.finished, None);
                    assert_eq!(samples.len() % 4, 0);
                    file.samples.extend(samples.chunks_exact(4).map(|frame| {
                        [i16::from_le_bytes([frame[0], frame[1]]), i16::from_le_bytes([frame[2], frame[3]])]
                    }));
                }
                Output::Record(RecordOp::Finish { id, frames, paused_frames, undecodable }) => {
                    let file = self.files.get_mut(&id).expect("open");
                    assert_eq!(file.finished.replace(frames), None, "finished twice");
                    (file.paused_frames, file.undecodable) = (paused_frames, undecodable);
                    assert_eq!(file.samples.len() as u64, frames);
                }
            }
        }
        assert_eq!(self.plane.audit(), Vec::<String>::new());
    }

    /// One command to the plane, and what follows from it.
    pub(crate) fn with_plane<T>(
        &mut self,
        f: impl FnOnce(&mut Plane, Instant, &mut Outbox<Output>) -> T,
    ) -> T {
        let result = f(&mut self.plane, self.now, &mut self.out);
        self.plane.settle_offload(self.now, &mut self.out);
        self.settle(&[]);
        result
    }

    /// Moves the clock on, waking the plane whenever it wants.
    pub(crate) fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(at) = self.plane.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.plane.handle_timeout(self.now, &mut self.out);
            self.settle(&[]);
        }
        self.now = until;
    }

    pub(crate) fn advance_ms(&mut self, ms: u64) {
        self.advance(Duration::from_millis(ms));
    }

    pub(crate) fn open(&mut self, owner: u64) -> StreamKey {
        self.with_plane(|plane, now, out| plane.open(now, owner, out)).expect("a port is free")
    }

    /// Opens a stream to `phone` and tells it of the phone.
    pub(crate) fn open_to(&mut self, owner: u64, phone: &Phone) -> StreamKey {
        let stream = self.open(owner);
        self.set_remote(stream, phone.remote());
        stream
    }

    pub(crate) fn set_remote(&mut self, stream: StreamKey, remote: Remote) {
        self.with_plane(|plane, now, out| plane.set_remote(now, stream, remote, out));
    }

    pub(crate) fn connect(&mut self, a: StreamKey, b: StreamKey) {
        self.with_plane(|plane, now, out| plane.connect(now, a, b, out));
    }

    pub(crate) fn packet(&mut self, stream: StreamKey, source: SocketAddr, bytes: &[u8]) {
        self.datagram(stream, PacketKind::Rtp, source, bytes);
    }

    pub(crate) fn datagram(&mut self, stream: StreamKey, kind: PacketKind, source: SocketAddr, bytes: &[u8]) {
        let mut packet = bytes.to_vec();
        self.plane.handle_packet(self.now, stream, kind, source, &mut packet, &mut self.out);
        self.settle(&packet);
    }

    /// Takes the packets that were sent from `stream`.
    pub(crate) fn take_arrived(&mut self, stream: StreamKey) -> Vec<Arrived> {
        let (taken, left) = std::mem::take(&mut self.arrived).into_iter().partition(|a| a.from == stream);
        self.arrived = left;
        taken
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn close(&mut self, stream: StreamKey) {
        self.with_plane(|plane, now, out| plane.close(now, stream, out));
    }

    pub(crate) fn assert_at_rest(&self) {
        assert!(self.plane.is_at_rest());
        assert!(self.open_ports.is_empty());
        assert_eq!(self.plane.counters().streams_open, 0);
        assert_eq!(self.plane.counters().recordings_active, 0);
        assert!(self.files.values().all(|file| file.finished.is_some()));
    }
}

/// A far end: a telephone or carrier that sends G.711.
#[derive(Clone, Debug)]
pub(crate) struct Phone {
    pub(crate) address: SocketAddr,
    pub(crate) codec: Codec,
    pub(crate) payload_type: u8,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
}

pub(crate) const DTMF: u8 = 101;

impl Phone {
    pub(crate) fn new(address: &str, codec: Codec) -> Self {
        let address: SocketAddr = address.parse().expect("an address");
        Phone {
            address,
            codec,
            payload_type: codec.payload_type(),
            ssrc: 0xA000_0000 | u32::from(address.port()),
            sequence: 65_530,
            timestamp: 4_294_960_000,
        }
    }

    pub(crate) fn remote(&self) -> Remote {
        Remote { payload_type: self.payload_type, ..Remote::new(self.address, self.codec) }.with_dtmf(DTMF)
    }

    pub(crate) fn next(&mut self, marker: bool, payload_type: u8, samples: u32, payload: Bytes) -> Bytes {
        let mut packet = Packet::default();
        packet.header.version = 2;
        packet.header.marker = marker;
        packet.header.payload_type = payload_type;
        packet.header.sequence_number = self.sequence;
        packet.header.timestamp = self.timestamp;
        packet.header.ssrc = self.ssrc;
        packet.payload = payload;
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(samples);
        packet.marshal().expect("a packet")
    }

    /// A packet of sound.
    pub(crate) fn say(&mut self, samples: &[i16]) -> Bytes {
        let mut payload = vec![0; samples.len()];
        codec::encode(self.codec, samples, &mut payload);
        self.next(false, self.payload_type, samples.len() as u32, Bytes::from(payload))
    }

    /// 20 ms of a value that tells this phone from others.
    pub(crate) fn say_level(&mut self, level: i16) -> Bytes {
        self.say(&[level; 160])
    }

    pub(crate) fn event(&mut self, code: u8, ended: bool, duration: u16) -> Bytes {
        let [high, low] = duration.to_be_bytes();
        let flags = if ended { 0x8A } else { 0x0A };
        self.next(false, DTMF, 0, Bytes::copy_from_slice(&[code, flags, high, low]))
    }
}

/// The value most samples have, decoded.
pub(crate) fn level(codec: Codec, payload: &[u8]) -> i16 {
    let mut samples = vec![0; payload.len()];
    codec::decode(codec, payload, &mut samples);
    samples.sort_unstable();
    samples[samples.len() / 2]
}

/// Sequence numbers without a gap, timestamps that never go back, one SSRC.
pub(crate) fn assert_continuous(packets: &[Arrived]) {
    for pair in packets.windows(2) {
        let (before, after) = (pair[0].rtp().header, pair[1].rtp().header);
        assert_eq!(after.ssrc, before.ssrc);
        assert_eq!(after.sequence_number, before.sequence_number.wrapping_add(1));
        let step = after.timestamp.wrapping_sub(before.timestamp) as i32;
        assert!((0..400_000).contains(&step), "timestamp steps by {step}");
    }
}
