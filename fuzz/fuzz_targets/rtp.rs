//! A media plane with two bridged, recorded and listened-to streams, and whatever comes to its four ports, from the far
//! ends and from strangers: RTP, RTCP, both on one port, telephone events. Nothing may panic, leak or grow; what leaves
//! is valid and goes only to a stream's own far end; the invariants hold after each packet.
//!
//! The input is a sequence of: a byte that says which port, from whom and how much later; a length; so many bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media::rtp::{Header, looks_like_rtcp, rtcp};
use media::{AmdConfig, Codec, Config, Ears, Output, PacketKind, Plane, Recording, Remote, StreamKey};
use sansio::{Duration, Instant, Outbox, Rng};
use std::net::SocketAddr;

fuzz_target!(|data: &[u8]| {
    let Some((&settings, mut data)) = data.split_first() else { return };
    let config =
        Config { ports: 4000..=4007, in_band_digits: media::InBandDigits::Always, ..Config::default() };
    let mut house = House {
        plane: Plane::new(config, Rng::from_seed(1)),
        now: Instant::from_millis(1),
        out: Outbox::default(),
        far: [address("192.0.2.1:30000"), address("192.0.2.2:40000")],
        opened: 0,
        written: 0,
    };
    let streams = house.open(settings);
    while let [control, length, rest @ ..] = data {
        let (packet, rest) = rest.split_at((*length as usize).min(rest.len()));
        data = rest;
        house.packet(streams, *control, packet);
    }
    for stream in streams {
        house.plane.close(house.now, stream, &mut house.out);
    }
    house.settle(&[]);
    assert!(house.plane.is_at_rest(), "nothing is left");
    assert_eq!(house.opened, 0, "each pair of ports is closed once");
});

struct House {
    plane: Plane,
    now: Instant,
    out: Outbox<Output>,
    far: [SocketAddr; 2],
    opened: i32,
    written: u64,
}

impl House {
    fn open(&mut self, settings: u8) -> [StreamKey; 2] {
        let streams = [0, 1].map(|side| {
            let stream = self.plane.open(self.now, side, &mut self.out).expect("there are ports");
            let codec = if settings & 1 == 0 { Codec::Pcma } else { Codec::Pcmu };
            let remote = Remote {
                rtcp_mux: settings & 2 != 0,
                receives: settings & 4 == 0 || side == 0,
                ..Remote::new(self.far[side as usize], codec).with_dtmf(101)
            };
            self.plane.set_remote(self.now, stream, remote, &mut self.out);
            let ears = Ears { dtmf: true, amd: Some(AmdConfig::default()), early_media: settings & 8 != 0, ..Ears::default() };
            self.plane.listen(self.now, stream, ears);
            self.plane.amd_start(self.now, stream);
            stream
        });
        self.plane.connect(self.now, streams[0], streams[1], &mut self.out);
        let recording = Recording { id: 1, left: streams[0], right: Some(streams[1]) };
        self.plane.start_recording(self.now, recording, &mut self.out).expect("the first one");
        self.settle(&[]);
        streams
    }

    fn packet(&mut self, streams: [StreamKey; 2], control: u8, packet: &[u8]) {
        let side = usize::from(control & 1);
        let kind = if control & 2 == 0 { PacketKind::Rtp } else { PacketKind::Rtcp };
        let far = self.far[side];
        let source = match (control >> 2) & 3 {
            0 | 1 if kind == PacketKind::Rtp => far,
            0 | 1 => SocketAddr::new(far.ip(), far.port() + 1),
            2 => SocketAddr::new(far.ip(), 9),
            _ => address("198.51.100.9:9"),
        };
        self.now = self.now
            + Duration::from_millis([0, 20, 20, 20, 40, 300, 1_000, 5_000][usize::from(control >> 5)]);
        self.plane.handle_timeout(self.now, &mut self.out);
        self.settle(&[]);
        let mut edited = packet.to_vec();
        self.plane.handle_packet(self.now, streams[side], kind, source, &mut edited, &mut self.out);
        self.settle(&edited);
    }

    fn settle(&mut self, packet: &[u8]) {
        for output in self.out.drain() {
            match output {
                Output::OpenPorts { .. } => self.opened += 1,
                Output::ClosePorts { .. } => self.opened -= 1,
                Output::Forward { .. } => check(packet),
                Output::Send { packet, .. } => check(&packet),
                Output::Record(media::RecordOp::Append { samples, .. }) => {
                    self.written += samples.len() as u64
                }
                Output::Record(media::RecordOp::Finish { frames, .. }) => {
                    assert_eq!(self.written, 4 * frames, "as long as it says");
                }
                _ => {}
            }
        }
        assert_eq!(self.plane.audit(), Vec::<String>::new());
    }
}

fn check(packet: &[u8]) {
    if looks_like_rtcp(packet) {
        assert!(rtcp::is_valid(packet), "RTCP that leaves is RTCP");
    } else {
        assert!(Header::read(packet).is_some(), "RTP that leaves is RTP");
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
