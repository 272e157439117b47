//! A shard's loop over real sockets.

mod far_end;
mod grounds;
mod media_shard;
#[path = "../../../kernel-relay/tests/it/world.rs"]
mod world;

use bytes::Bytes;
use runtime::udp::Undelivered;
use runtime::{
    Clock, Ground, RecordOrder, RecordResult, ShardMachine, ShardOptions, SocketKind, Unsent, mailbox,
    spawn_shard,
};
use sansio::Instant;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

/// Echoes what listeners hear; relays media between two streams; panics when told to.
struct Echo {
    told: mpsc::Sender<String>,
    wake: Option<Instant>,
}

enum Order {
    Hold { rtp: u16, rtcp: u16 },
    Open { stream: u64, rtp: u16, rtcp: u16 },
    Close { stream: u64 },
    WakeAt(Instant),
    Record(RecordOrder),
    Panic,
    Stop,
}

impl ShardMachine for Echo {
    type Command = Order;

    fn datagram(&mut self, _: Instant, listener: u8, source: SocketAddr, bytes: Bytes, ground: &mut Ground) {
        let nowhere = (std::net::Ipv6Addr::LOCALHOST, 9).into();
        let text = String::from_utf8_lossy(&bytes);
        let to = match text.strip_prefix("to ") {
            Some(address) => address.parse().unwrap(),
            None if text.starts_with("lose") => nowhere,
            None => source,
        };
        ground.send(listener, to, bytes);
    }

    fn sent(&mut self, _: Instant, unsent: &[Unsent], ground: &mut Ground) {
        for Unsent { listener, to, bytes, no_way } in unsent {
            let text = String::from_utf8_lossy(bytes);
            self.told.send(format!("unsent {listener} {to} {text}, no way: {no_way}")).unwrap();
            if let Some(other) = text.strip_prefix("lose this, then to ") {
                ground.send(*listener, other.parse().unwrap(), Bytes::from_static(b"instead"));
            }
        }
    }

    fn undelivered(&mut self, _: Instant, listener: u8, datagram: Undelivered, _: &mut Ground) {
        let text = String::from_utf8_lossy(&datagram.quoted);
        self.told.send(format!("undelivered {listener} {} {text}", datagram.to)).unwrap();
    }

    fn packet(
        &mut self,
        _: Instant,
        stream: u64,
        kind: SocketKind,
        source: SocketAddr,
        packet: &mut [u8],
        ground: &mut Ground,
    ) {
        packet.reverse();
        ground.send_packet(stream, kind, source, packet);
    }

    fn command(&mut self, _: Instant, command: Order, ground: &mut Ground) -> bool {
        match command {
            Order::Hold { rtp, rtcp } => {
                let held = ground.hold_ports(rtp, rtcp).map_err(|error| error.kind());
                self.told.send(format!("hold {held:?}, {} sockets", ground.media_sockets())).unwrap();
            }
            Order::Open { stream, rtp, rtcp } => {
                let opened = ground.open_ports(stream, rtp, rtcp).is_ok();
                self.told
                    .send(format!("open {stream} {opened}, {} sockets", ground.media_sockets()))
                    .unwrap();
            }
            Order::Close { stream } => {
                ground.close_ports(stream);
                self.told.send(format!("closed, {} sockets", ground.media_sockets())).unwrap();
            }
            Order::WakeAt(at) => self.wake = Some(at),
            Order::Record(order) => ground.record(order),
            Order::Panic => panic!("told to"),
            Order::Stop => return false,
        }
        true
    }

    fn recorded(&mut self, _: Instant, result: RecordResult, _: &mut Ground) {
        self.told.send(format!("recorded {}: {:?}", result.id, result.result)).unwrap();
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.wake
    }

    fn timeout(&mut self, now: Instant, _: &mut Ground) {
        let at = self.wake.take().expect("only called when due");
        self.told.send(format!("woken, early: {}", now < at)).unwrap();
    }

    fn turn_ended(&mut self, _: Instant, _: &mut Ground) {}
}

fn loopback() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

/// Two ports that were free a moment ago.
fn free_ports() -> (u16, u16) {
    let (a, b) = (loopback(), loopback());
    (a.local_addr().unwrap().port(), b.local_addr().unwrap().port())
}

#[test]
fn a_shard_echoes_relays_wakes_survives_a_panic_and_stops() {
    let clock = Clock::new();
    let folder = tempfile::tempdir().unwrap();
    let listener = runtime::udp::bind("127.0.0.1:0".parse().unwrap(), 1 << 20).unwrap();
    let address = listener.local_addr().unwrap();
    let (orders, receiver) = mailbox::belled(16).unwrap();
    let (told, tell) = mpsc::channel();
    let options = ShardOptions {
        name: "shard-test".into(),
        core: None,
        realtime_priority: None,
        listeners: vec![listener],
        media_address: "127.0.0.1".parse().unwrap(),
        kernel_relay: None,
        recordings: folder.path().to_owned(),
        recording_format: runtime::recorder::FileFormat {
            header_of: |_| Vec::new(),
            encoder: None,
            mend: None,
        },
        seal: None,
        recording_bytes_waiting_max: 1 << 20,
        turns: Default::default(),
    };
    let shard = spawn_shard(options, clock, receiver, move |panics| {
        told.send(format!("made after {panics} panics")).unwrap();
        Echo { told: told.clone(), wake: None }
    })
    .unwrap();
    let next = || tell.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(next(), "made after 0 panics");

    let peer = loopback();
    let mut buffer = [0; 100];
    let echo = |text: &[u8], buffer: &mut [u8; 100]| {
        peer.send_to(text, address).unwrap();
        let (length, from) = peer.recv_from(buffer).unwrap();
        assert_eq!((&buffer[..length], from), (text, address));
    };
    echo(b"one", &mut buffer);
    // The socket is one of IPv4.
    let lose = format!("lose this, then to {}", peer.local_addr().unwrap());
    peer.send_to(lose.as_bytes(), address).unwrap();
    assert_eq!(next(), format!("unsent 0 [::1]:9 {lose}, no way: true"));
    // What is sent in its place leaves at once.
    let (length, _) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"instead");
    // Nobody is there.
    let closed = loopback().local_addr().unwrap();
    peer.send_to(format!("to {closed}").as_bytes(), address).unwrap();
    assert_eq!(next(), format!("undelivered 0 {closed} to {closed}"));
    echo(b"still here", &mut buffer);

    let (rtp, rtcp) = free_ports();
    orders.blocking_send(Order::Open { stream: 5, rtp, rtcp }).ok().unwrap();
    assert_eq!(next(), "open 5 true, 2 sockets");
    orders.blocking_send(Order::Open { stream: 6, rtp, rtcp }).ok().unwrap();
    assert_eq!(next(), "open 6 false, 2 sockets");
    for port in [rtp, rtcp] {
        peer.send_to(b"abc", ("127.0.0.1", port)).unwrap();
        let (length, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from.port()), (&b"cba"[..], port));
    }
    orders.blocking_send(Order::Close { stream: 5 }).ok().unwrap();
    assert_eq!(next(), "closed, 0 sockets");

    // A pair that is held is nobody else's, and what was sent there before a stream had it is not heard.
    let hold = || orders.blocking_send(Order::Hold { rtp, rtcp }).ok().unwrap();
    let other = UdpSocket::bind(("127.0.0.1", rtcp)).unwrap();
    hold();
    assert_eq!(next(), "hold Err(AddrInUse), 0 sockets");
    drop(other);
    for _ in 0..2 {
        hold();
        assert_eq!(next(), "hold Ok(()), 0 sockets");
    }
    assert!(UdpSocket::bind(("127.0.0.1", rtp)).is_err() && UdpSocket::bind(("127.0.0.1", rtcp)).is_err());
    for port in [rtp, rtcp] {
        peer.send_to(b"early", ("127.0.0.1", port)).unwrap();
    }
    orders.blocking_send(Order::Open { stream: 7, rtp, rtcp }).ok().unwrap();
    assert_eq!(next(), "open 7 true, 2 sockets");
    for port in [rtp, rtcp] {
        peer.send_to(b"abc", ("127.0.0.1", port)).unwrap();
        let (length, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from.port()), (&b"cba"[..], port));
    }
    orders.blocking_send(Order::Close { stream: 7 }).ok().unwrap();
    assert_eq!(next(), "closed, 0 sockets");

    orders.blocking_send(Order::WakeAt(clock.now() + Duration::from_millis(3))).ok().unwrap();
    assert_eq!(next(), "woken, early: false");

    // Nothing else happens meanwhile: the shard turns its runtime by itself for as long as the disk takes.
    let steps = [
        RecordOrder::Open { id: 9, file: "a/b.wav".into() },
        RecordOrder::Append { id: 9, samples: Bytes::from_static(b"sound") },
        RecordOrder::Finish { id: 9 },
    ];
    for step in steps {
        orders.blocking_send(Order::Record(step)).ok().unwrap();
    }
    assert_eq!(next(), r#"recorded 9: Ok(Written { file: "a/b.wav", bytes: 5, cut: None })"#);
    assert_eq!(std::fs::read(folder.path().join("a/b.wav")).unwrap(), b"sound");

    orders.blocking_send(Order::Panic).ok().unwrap();
    assert_eq!(next(), "made after 1 panics");
    echo(b"two", &mut buffer);

    orders.blocking_send(Order::Stop).ok().unwrap();
    assert!(shard.join().unwrap().is_ok());
}
