//! The lives of the daemon: starts, crashes, a shard's panic, the drain at the end.

use super::happening::Happening;
use super::world::{DAEMON, MORNING, Node, Peer, REALM, World};
use dialer_core::{Command, DialerConfig};
use engine::{
    CallShard, ControlConfig, ControlCore, ControlInput, ShardCommand, ShardConfig, StreamListener,
};
use sansio::time::ClockBase;
use sansio::{Duration, Instant, WallTime};
use sip_proxy::wire::Transport;
use std::net::SocketAddr;
use std::sync::Arc;

fn stream_listener(transport: Transport, port: u16) -> StreamListener {
    StreamListener { transport, address: SocketAddr::new(DAEMON.ip(), port), advertised: None }
}

impl World {
    pub(super) fn start(&mut self) {
        let entropy = self.rng.next_u64();
        self.life += 1;
        self.shard_life += 1;
        self.trace.note(self.now, format_args!("dialerd starts, life {}", self.life));
        let config = ControlConfig {
            seed: entropy,
            shards: 1,
            waiting_max: 10_000,
            dialer: DialerConfig { hopper_max: 60, hopper_low: 20, ..DialerConfig::default() },
        };
        let shard = CallShard::new(self.shard_config(entropy));
        self.node = Some(Node { control: ControlCore::new(config), shard });
        self.wire.reborn();
        self.book.reborn();
        self.load_prompts();
        let base = self.clock();
        self.feed_control(ControlInput::Clock(base));
        let snapshot = Box::new(self.disk.store.snapshot());
        self.feed_control(ControlInput::Restore(snapshot));
    }

    /// Civil time as the system has it now.
    pub(super) fn clock(&self) -> ClockBase {
        self.clock_set.unwrap_or(ClockBase { instant: Instant::ZERO, wall: MORNING })
    }

    /// The system's clock is set; the daemon notices within a second.
    pub(super) fn set_clock(&mut self, by_ms: i64) {
        let wall = self.wall().plus_millis(by_ms);
        let base = ClockBase { instant: self.now, wall };
        self.trace.note(self.now, format_args!("the clock is set by {by_ms} ms"));
        self.clock_set = Some(base);
        if self.node.is_some() {
            self.feed_control(ControlInput::Clock(base));
        }
    }

    pub(super) fn wall(&self) -> WallTime {
        self.clock().wall_at(self.now)
    }

    fn shard_config(&self, entropy: u64) -> ShardConfig {
        ShardConfig {
            shard: 0,
            seed: entropy ^ 0x5EED,
            clock: self.clock(),
            listeners: vec![DAEMON],
            stream_listeners: vec![
                stream_listener(Transport::Tcp, DAEMON.port()),
                stream_listener(Transport::Tls, DAEMON.port() + 1),
            ],
            realm: REALM.into(),
            media_address: DAEMON.ip(),
            media_ports: 20_000..=20_399,
            media_ports_held: 4,
            media_timeout: Duration::from_secs(20),
            probing: engine::Probing { interval: Some(Duration::from_secs(45)), misses_max: 2 },
            ..ShardConfig::default()
        }
    }

    pub(super) fn load_prompts(&mut self) {
        let samples: Arc<[i16]> = vec![900_i16; 8 * 1_500].into();
        let command = ShardCommand::LoadPrompt { name: "safe_harbour".into(), samples };
        let life = self.life;
        self.across(Happening::ToShard { life, command });
        self.tell_routes();
    }

    pub(super) fn crash(&mut self, down_ms: u64) {
        if self.node.take().is_none() || self.closing {
            return;
        }
        self.trace.note(self.now, format_args!("dialerd dies for {down_ms} ms"));
        self.life += 1;
        self.shard_life += 1;
        self.ports.clear();
        self.recordings.clear();
        self.operator.calls.clear();
        self.break_all_pipes();
        for (seq, records) in self.disk.crash() {
            self.written(seq, &records);
        }
        self.after(down_ms, Happening::Start);
    }

    pub(super) fn panic(&mut self) {
        if self.closing || self.node.is_none() {
            return;
        }
        self.trace.note(self.now, format_args!("the shard panics"));
        let entropy = self.rng.next_u64();
        let config = ShardConfig { reborn: true, ..self.shard_config(entropy) };
        self.shard_life += 1;
        self.ports.clear();
        self.recordings.clear();
        self.wire.reborn();
        if let Some(node) = &mut self.node {
            node.shard = CallShard::new(config);
        }
        let life = self.life;
        self.at(self.now + Duration::from_millis(2), Happening::ShardBack { life });
    }

    /// The shift is over: everything is repaired, and the daemon is drained.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.trace.note(self.now, format_args!("the shift ends; the world heals"));
        self.net.heal();
        self.pipes.heal();
        self.disk.heal();
        self.scene.ports_fail = 0.0;
        self.scene.recordings_fail = 0.0;
        for peer in &mut self.peers {
            match peer {
                Peer::Carrier(carrier) => carrier.heal(),
                Peer::Phone(phone) => phone.heal(),
                Peer::Caller(caller) => caller.heal(),
            }
        }
        if self.node.is_none() {
            return self.after(20_000, Happening::Close);
        }
        self.command(Command::Drain { deadline: Duration::from_secs(60) });
        self.after(90_000, Happening::QuietTrunks);
        if self.scene.impatient_end {
            let ms = self.rng.below(30_000);
            self.after(ms, Happening::StopNow);
        }
    }
}
