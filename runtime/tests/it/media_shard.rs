//! A shard with nothing but the media plane on it.

use media::{
    Codec, Config, Counters, OffloadCounts, OffloadRule, OffloadStart, Output, PacketKind, Plane, Remote,
    StreamKey,
};
use runtime::relay::{RelayCounts, RelayRule, RelayStart, told_at};
use runtime::{
    BelledReceiver, Clock, Ground, KernelRelay, RecordResult, Sender, ShardMachine, ShardOptions, SocketKind,
    mailbox, spawn_shard,
};
use sansio::{Instant, Outbox, Rng};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

const PORTS: (u16, u16) = (30_000, 30_199);

pub(crate) struct Machine {
    plane: Plane,
    out: Outbox<Output>,
    streams: Vec<StreamKey>,
}

type Deed = Box<dyn FnOnce(&mut Machine, Instant, &mut Ground) + Send>;

/// A running shard; it ends with this.
pub(crate) struct MediaShard {
    orders: Sender<Option<Deed>>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
    _folder: tempfile::TempDir,
}

impl MediaShard {
    /// * `below` interfaces of a relay in the kernel. `None`: that is not possible here; says so.
    pub(crate) fn start(local: IpAddr, below: Option<Vec<String>>) -> Option<Self> {
        let clock = Clock::new();
        let kernel_relay = below.map(|interfaces| KernelRelay { ports: PORTS, local, interfaces });
        if let Some(Err(why)) = kernel_relay.as_ref().map(|relay| relay.open(clock)) {
            println!("skipped: {why}");
            return None;
        }
        let offload = kernel_relay.is_some();
        let folder = tempfile::tempdir().unwrap();
        let options = ShardOptions {
            name: "media".into(),
            core: None,
            realtime_priority: None,
            listeners: Vec::new(),
            media_address: local,
            kernel_relay,
            recordings: folder.path().to_owned(),
            recording_format: runtime::recorder::FileFormat {
                header_of: |_| Vec::new(),
                encoder: None,
                mend: None,
            },
            seal: None,
            recording_bytes_waiting_max: 1 << 20,
            turns: std::sync::Arc::default(),
        };
        let (orders, receiver): (_, BelledReceiver<Option<Deed>>) = mailbox::belled(16).unwrap();
        let config = Config {
            ports: PORTS.0..=PORTS.1,
            local_address: local,
            rtcp_interval: Duration::ZERO,
            keepalive_after: Duration::ZERO,
            // However slow the machine is, nobody falls silent by himself.
            relatch_after: Duration::from_secs(60),
            offload,
            ..Config::default()
        };
        let make = move |_| Machine {
            plane: Plane::new(config.clone(), Rng::from_seed(1)),
            out: Outbox::default(),
            streams: Vec::new(),
        };
        let thread = spawn_shard(options, clock, receiver, make).unwrap();
        Some(MediaShard { orders, thread: Some(thread), _folder: folder })
    }

    /// Does something on the shard, and waits for it.
    fn ask<T: Send + 'static>(
        &self,
        deed: impl FnOnce(&mut Machine, Instant, &mut Ground) -> T + Send + 'static,
    ) -> T {
        let (told, tell) = mpsc::channel();
        let deed: Deed = Box::new(move |machine, now, ground| {
            let _ = told.send(deed(machine, now, ground));
        });
        self.orders.blocking_send(Some(deed)).ok().expect("the shard runs");
        tell.recv_timeout(Duration::from_secs(20)).expect("the shard answers")
    }

    /// Two bridged streams, whose far ends are behind NATs and gave addresses of their own networks; their ports.
    pub(crate) fn open_call(&self, told: SocketAddr) -> [u16; 2] {
        self.ask(move |machine, now, ground| {
            let Machine { plane, out, streams } = machine;
            let keys = [(); 2].map(|()| {
                let key = plane.open(now, 0, out).expect("a port");
                plane.set_remote(now, key, Remote::new(told, Codec::Pcma), out);
                key
            });
            plane.connect(now, keys[0], keys[1], out);
            let ports = keys.map(|key| plane.local_port(key).expect("a port"));
            streams.extend(keys);
            machine.carry_out(now, ground, &[]);
            ports
        })
    }

    pub(crate) fn counters(&self) -> Counters {
        self.ask(|machine, now, ground| {
            for stream in machine.streams.clone() {
                machine.count(now, stream.to_bits(), ground);
            }
            machine.plane.counters()
        })
    }

    pub(crate) fn close_calls(&self) {
        self.ask(|machine, now, ground| {
            for stream in std::mem::take(&mut machine.streams) {
                machine.plane.close(now, stream, &mut machine.out);
            }
            machine.carry_out(now, ground, &[]);
        });
    }

    /// Sockets, whether there are rules, what is wrong.
    pub(crate) fn what_is_left(&self) -> (usize, bool, Vec<String>) {
        self.ask(|machine, _, ground| {
            let mut findings = machine.plane.audit();
            if !machine.plane.is_at_rest() {
                findings.push("the plane is not at rest".into());
            }
            (ground.media_sockets(), ground.relay().is_armed(), findings)
        })
    }
}

impl Drop for MediaShard {
    fn drop(&mut self) {
        let _ = self.orders.blocking_send(None);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Machine {
    fn carry_out(&mut self, now: Instant, ground: &mut Ground, packet: &[u8]) {
        self.plane.settle_offload(now, &mut self.out);
        while !self.out.is_empty() {
            let mut out = std::mem::take(&mut self.out);
            for output in out.drain() {
                self.one(now, output, ground, packet);
            }
            self.plane.settle_offload(now, &mut self.out);
        }
    }

    fn one(&mut self, now: Instant, output: Output, ground: &mut Ground, packet: &[u8]) {
        match output {
            Output::HoldPorts { rtp_port, rtcp_port } => {
                ground.hold_ports(rtp_port, rtcp_port).expect("free ports");
            }
            Output::OpenPorts { stream, rtp_port, rtcp_port } => {
                ground.open_ports(stream.to_bits(), rtp_port, rtcp_port).expect("free ports");
            }
            Output::ClosePorts { stream, .. } => ground.close_ports(stream.to_bits()),
            Output::Forward { to, kind, destination } => {
                ground.send_packet(to.to_bits(), socket_kind(kind), destination, packet);
            }
            Output::Send { from, kind, destination, packet } => {
                ground.send_packet(from.to_bits(), socket_kind(kind), destination, &packet);
            }
            Output::Latched { stream, kind, destination } => {
                ground.latch(stream.to_bits(), socket_kind(kind), Some(destination));
            }
            Output::Unlatched { stream, kind } => ground.latch(stream.to_bits(), socket_kind(kind), None),
            Output::Offload { stream, rule, start } => {
                if !ground.relay().arm(stream.to_bits(), &relay_rule(&rule), &relay_start(&start)) {
                    self.plane.offload_refused(now, stream);
                }
            }
            Output::Reclaim { stream } => {
                let counts = ground.relay().disarm(stream.to_bits()).unwrap_or_default();
                self.plane.offload_ended(stream, &offload_counts(&counts));
            }
            Output::CountOffload { stream } => self.count(now, stream.to_bits(), ground),
            Output::Event(_) | Output::Record(_) | Output::Dtls(_) | Output::Fork(_) => {}
        }
    }

    fn count(&mut self, _: Instant, stream: u64, ground: &mut Ground) {
        if let Some(counts) = ground.relay().counts(stream) {
            self.plane.offload_counted(StreamKey::from_bits(stream), &offload_counts(&counts));
        }
    }
}

impl ShardMachine for Machine {
    type Command = Option<Deed>;

    fn datagram(&mut self, _: Instant, _: u8, _: SocketAddr, _: bytes::Bytes, _: &mut Ground) {}

    fn packet(
        &mut self,
        now: Instant,
        stream: u64,
        kind: SocketKind,
        source: SocketAddr,
        packet: &mut [u8],
        ground: &mut Ground,
    ) {
        self.count(now, stream, ground);
        let kind = match kind {
            SocketKind::Rtp => PacketKind::Rtp,
            SocketKind::Rtcp => PacketKind::Rtcp,
        };
        let stream = StreamKey::from_bits(stream);
        self.plane.handle_packet(now, stream, kind, source, packet, &mut self.out);
        self.carry_out(now, ground, packet);
    }

    fn command(&mut self, now: Instant, deed: Option<Deed>, ground: &mut Ground) -> bool {
        let Some(deed) = deed else { return false };
        deed(self, now, ground);
        true
    }

    fn recorded(&mut self, _: Instant, _: RecordResult, _: &mut Ground) {}

    fn poll_timeout(&self) -> Option<Instant> {
        self.plane.poll_timeout()
    }

    fn timeout(&mut self, now: Instant, ground: &mut Ground) {
        self.plane.handle_timeout(now, &mut self.out);
        self.carry_out(now, ground, &[]);
    }

    fn turn_ended(&mut self, _: Instant, _: &mut Ground) {}
}

fn socket_kind(kind: PacketKind) -> SocketKind {
    match kind {
        PacketKind::Rtp => SocketKind::Rtp,
        PacketKind::Rtcp => SocketKind::Rtcp,
    }
}

fn relay_rule(rule: &OffloadRule) -> RelayRule {
    RelayRule {
        source: rule.source,
        port: rule.port,
        ssrc: rule.ssrc,
        payload_type: rule.payload_type,
        destination: rule.destination,
        out_port: rule.out_port,
        out_ssrc: rule.out_ssrc,
        out_payload_type: rule.out_payload_type,
        sequence_delta: rule.sequence_delta,
        timestamp_delta: rule.timestamp_delta,
        sound: rule.sound,
        tap: rule.tap,
    }
}

fn relay_start(start: &OffloadStart) -> RelayStart {
    let OffloadStart { highest, transit, jitter, timestamp } = *start;
    RelayStart { highest, transit, jitter, timestamp }
}

fn offload_counts(counts: &RelayCounts) -> OffloadCounts {
    let RelayCounts { packets, bytes, octets, highest, transit, jitter, timestamp, samples, .. } = *counts;
    let (last_at, sound_at) = (told_at(counts.last_ns), told_at(counts.sound_ns));
    OffloadCounts { packets, bytes, octets, last_at, sound_at, highest, transit, jitter, timestamp, samples }
}
