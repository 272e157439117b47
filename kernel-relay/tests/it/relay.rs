//! What is relayed, what is not, and what is counted.

use crate::world::{World, alone, socket};
use kernel_relay::{Options, Relay, Rule, Start, clock_ns};
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Every test's ports: the far ends of stream 1 and stream 2 talk to these.
const PORTS: (u16, u16) = (30_000, 30_010);
const FIRST: u16 = 30_000;
const SECOND: u16 = 30_004;
/// SSRCs: as they come, as they leave.
const SSRC: u32 = 0x0102_0304;
const OUT_SSRC: u32 = 0xA0B0_C0D0;

fn open(local: IpAddr) -> Option<Relay> {
    open_as(local, false)
}

fn open_as(local: IpAddr, by_filter: bool) -> Option<Relay> {
    let options = Options { ports: PORTS, local, interfaces: Vec::new(), clock_offset_ns: 0, by_filter };
    match Relay::open(options) {
        Ok(mut relay) => {
            // On a busy machine five seconds may pass between two lines of a test.
            relay.stay_alive_until(u64::MAX);
            Some(relay)
        }
        Err(why) => {
            println!("skipped: {why}");
            None
        }
    }
}

fn rule(source: SocketAddr, destination: SocketAddr) -> Rule {
    Rule {
        source,
        port: FIRST,
        ssrc: SSRC,
        payload_type: 8,
        destination,
        out_port: SECOND,
        out_ssrc: OUT_SSRC,
        out_payload_type: 97,
        sequence_delta: 1000,
        timestamp_delta: 50_000,
        // A-law.
        sound: (0x55, 20),
        tap: false,
    }
}

fn packet(sequence: u16, payload: &[u8]) -> Vec<u8> {
    rtp(false, 8, sequence, u32::from(sequence) * 160, SSRC, payload)
}

fn rtp(marker: bool, payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, (u8::from(marker) << 7) | payload_type];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&timestamp.to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// What the rule makes of it.
fn relayed(marker: bool, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let timestamp = u32::from(sequence) * 160 + 50_000;
    rtp(marker, 97, sequence.wrapping_add(1000), timestamp, OUT_SSRC, payload)
}

fn start(sequence: u16) -> Start {
    let timestamp = u32::from(sequence) * 160 + 50_000;
    Start { highest: u32::from(sequence), timestamp, ..Start::default() }
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).expect("a packet");
    (buffer[..length].to_vec(), from)
}

fn nothing(socket: &UdpSocket) {
    socket.set_nonblocking(true).unwrap();
    let got = socket.recv_from(&mut [0; 2048]);
    assert!(got.is_err(), "{got:?}");
    socket.set_nonblocking(false).unwrap();
}

const VOICE: [u8; 160] = [0x2A; 160];
const SILENCE: [u8; 160] = [0xD5; 160];

/// Both ends and both of our sockets on one address, and a rule from the first end to the second.
struct Loop {
    relay: Relay,
    caller: UdpSocket,
    callee: UdpSocket,
    ours: [UdpSocket; 2],
    rule: Rule,
}

impl Loop {
    fn new(address: &str) -> Option<Loop> {
        let address: IpAddr = address.parse().unwrap();
        if !alone() {
            return None;
        }
        let relay = open(address)?;
        let (caller, callee) = (socket(address, 4000), socket(address, 4002));
        let ours = [socket(address, FIRST), socket(address, SECOND)];
        let rule = rule(caller.local_addr().unwrap(), callee.local_addr().unwrap());
        Some(Loop { relay, caller, callee, ours, rule })
    }

    fn say(&self, packet: &[u8]) {
        self.caller.send_to(packet, self.ours[0].local_addr().unwrap()).unwrap();
    }
}

fn on_loopback(address: &str) {
    let Some(mut world) = Loop::new(address) else { return };
    assert!(world.relay.arm(7, &world.rule, &start(99)));
    for sequence in 100..150_u16 {
        world.say(&rtp(sequence == 100, 8, sequence, u32::from(sequence) * 160, SSRC, &VOICE));
        let (got, from) = receive(&world.callee);
        assert_eq!(got, relayed(sequence == 100, sequence, &VOICE));
        assert_eq!(from, world.ours[1].local_addr().unwrap());
    }
    nothing(&world.ours[0]);
    let counts = world.relay.counts(7).unwrap();
    assert_eq!((counts.packets, counts.bytes, counts.octets), (50, 50 * 172, 50 * 160));
    assert_eq!((counts.highest, counts.timestamp, counts.samples), (149, 149 * 160 + 50_000, 160));
    assert!(counts.sound_ns > 0 && counts.last_ns >= counts.sound_ns && counts.last_ns <= clock_ns());
    // Once disarmed the socket hears again.
    assert_eq!(world.relay.disarm(7).unwrap().packets, 50);
    assert_eq!(world.relay.disarm(7), None);
    world.say(&packet(150, &VOICE));
    assert_eq!(receive(&world.ours[0]).0, packet(150, &VOICE));
    nothing(&world.callee);
}

#[test]
fn a_stream_is_relayed_on_loopback() {
    on_loopback("127.0.0.1");
}

#[test]
fn a_stream_is_relayed_on_loopback_over_ipv6() {
    on_loopback("::1");
}

/// Everything that does not fit the rule in every point reaches the socket as it came.
#[test]
fn what_does_not_fit_is_left_to_the_socket() {
    let Some(mut world) = Loop::new("127.0.0.1") else { return };
    assert!(world.relay.arm(7, &world.rule, &start(99)));
    let stamp = 100 * 160;
    let mut extended = packet(100, &VOICE);
    extended[0] = 0x90;
    let mut version = packet(100, &VOICE);
    version[0] = 0x40;
    let odd = [
        ("another payload type", rtp(false, 0, 100, stamp, SSRC, &VOICE)),
        ("telephone-event", rtp(false, 101, 100, stamp, SSRC, &VOICE)),
        ("another SSRC", rtp(false, 8, 100, stamp, SSRC + 1, &VOICE)),
        ("the same once more", packet(99, &VOICE)),
        ("an old one", packet(90, &VOICE)),
        ("a leap of the sequence", rtp(false, 8, 99 + 3000, stamp, SSRC, &VOICE)),
        ("a leap of the clock ahead", rtp(false, 8, 100, stamp + 240_001, SSRC, &VOICE)),
        ("a leap of the clock back", rtp(false, 8, 100, stamp - 8_161, SSRC, &VOICE)),
        ("an extension", extended),
        ("version 1", version),
        ("a sender report", [&[0x80, 200], &packet(100, &VOICE)[2..]].concat()),
        ("very short", packet(100, &VOICE[..10])),
        ("very long", packet(100, &[0x2A; 1200])),
        ("nothing", Vec::new()),
        ("a single byte", vec![0x80]),
    ];
    for (what, bytes) in &odd {
        world.say(bytes);
        assert_eq!(&receive(&world.ours[0]).0, bytes, "{what}");
    }
    // A stranger cannot speak into the stream, not even knowing all of it.
    let stranger = socket("127.0.0.1".parse().unwrap(), 4006);
    stranger.send_to(&packet(100, &VOICE), world.ours[0].local_addr().unwrap()).unwrap();
    assert_eq!(receive(&world.ours[0]), (packet(100, &VOICE), stranger.local_addr().unwrap()));
    nothing(&world.callee);
    assert_eq!(world.relay.counts(7).unwrap().packets, 0);
    world.say(&packet(100, &VOICE));
    assert_eq!(receive(&world.callee).0, relayed(false, 100, &VOICE));
}

#[test]
fn sequence_wraps_and_loss_is_seen_and_silence_is_no_sound() {
    let Some(mut world) = Loop::new("127.0.0.1") else { return };
    let start = Start { highest: 65_533, timestamp: 65_533 * 160 + 50_000, ..Start::default() };
    assert!(world.relay.arm(7, &world.rule, &start));
    for ahead in [1_u32, 2, 5, 6] {
        let sequence = 65_533 + ahead;
        world.say(&rtp(false, 8, sequence as u16, sequence * 160, SSRC, &SILENCE));
        assert_eq!(receive(&world.callee).0[12..], SILENCE);
    }
    let counts = world.relay.counts(7).unwrap();
    assert_eq!((counts.packets, counts.highest, counts.sound_ns), (4, 65_539, 0));
}

/// A tone of 1,000 Hz that begins at zero: every eighth sample is silence.
#[test]
fn a_tone_is_sound_whatever_its_pitch() {
    let Some(mut world) = Loop::new("127.0.0.1") else { return };
    assert!(world.relay.arm(7, &world.rule, &start(99)));
    let tone: [u8; 160] = std::array::from_fn(|place| if place % 8 == 0 { SILENCE[0] } else { VOICE[0] });
    for sequence in 100..104 {
        world.say(&packet(sequence, &tone));
        receive(&world.callee);
    }
    assert!(world.relay.counts(7).unwrap().sound_ns > 0);
}

#[test]
fn jitter_is_that_of_rfc_3550() {
    let Some(mut world) = Loop::new("127.0.0.1") else { return };
    assert!(world.relay.arm(7, &world.rule, &Start { transit: (clock_ns() / 125_000) as u32, ..start(0) }));
    // All at once though 20 ms apart by their timestamps: D is 160 each time, J nears it by a sixteenth.
    let mut expected = 0_u32;
    for sequence in 1..=40_u16 {
        world.say(&packet(sequence, &VOICE));
        receive(&world.callee);
        expected = expected + 160 - ((expected + 8) >> 4);
    }
    let jitter = world.relay.counts(7).unwrap().jitter;
    let (got, wanted) = (jitter / 16, expected / 16);
    assert!(got.abs_diff(wanted) <= 20, "{got} instead of {wanted}");
}

#[test]
fn taps_are_what_was_sent_in_order() {
    let Some(mut world) = Loop::new("127.0.0.1") else { return };
    let quiet = Rule { tap: false, port: SECOND, ..world.rule };
    assert!(world.relay.arm(7, &Rule { tap: true, ..world.rule }, &start(99)));
    assert!(world.relay.arm(8, &quiet, &start(99)));
    assert!(world.relay.has_taps());
    let mut sent = Vec::new();
    for sequence in 100..300_u16 {
        let length = [80, 160, 228, 229, 480, 960][usize::from(sequence) % 6];
        let payload: Vec<u8> = (0..length).map(|n| (n as u8).wrapping_mul(7) ^ sequence as u8).collect();
        sent.push(packet(sequence, &payload));
        world.say(sent.last().unwrap());
        assert_eq!(receive(&world.callee).0, relayed(false, sequence, &payload));
    }
    world.caller.send_to(&packet(100, &VOICE), world.ours[1].local_addr().unwrap()).unwrap();
    receive(&world.callee);
    let mut got = Vec::new();
    let mut last = 0;
    world.relay.tapped(&mut |stream, at_ns, packet| {
        assert_eq!(stream, 7);
        assert!(at_ns >= last && at_ns <= clock_ns());
        last = at_ns;
        got.push(packet.to_vec());
    });
    assert_eq!(got, sent);
    world.relay.disarm(7);
    assert!(!world.relay.has_taps());
}

/// A reader that does not come costs nothing but the way through the kernel.
#[test]
fn taps_that_are_full_leave_packets_to_the_socket() {
    let Some(mut world) = Loop::new("127.0.0.1") else { return };
    assert!(world.relay.arm(7, &Rule { tap: true, ..world.rule }, &start(0)));
    let (mut relayed, mut left) = (0_u64, 0_u64);
    world.ours[0].set_nonblocking(true).unwrap();
    for sequence in 1..=16_800_u16 {
        world.say(&packet(sequence, &VOICE));
        if world.ours[0].recv(&mut [0; 2048]).is_ok() {
            left += 1;
        } else {
            receive(&world.callee);
            relayed += 1;
        }
    }
    let counts = world.relay.counts(7).unwrap();
    assert_eq!((counts.packets, u64::from(counts.taps_full)), (relayed, left));
    assert!(left > 0, "the taps hold more than 16,800 packets");
    let mut taps = 0;
    world.relay.tapped(&mut |_, _, _| taps += 1);
    assert_eq!(taps, relayed);
    // There is room again.
    world.say(&packet(16_801, &VOICE));
    assert_eq!(receive(&world.callee).0[12..], VOICE);
}

#[test]
fn a_rule_can_be_armed_again_with_other_words() {
    let Some(mut world) = Loop::new("127.0.0.1") else { return };
    let other = socket("127.0.0.1".parse().unwrap(), 4010);
    for round in 0..50_u16 {
        let to = if round % 2 == 0 { &world.callee } else { &other };
        let rule = Rule { destination: to.local_addr().unwrap(), ..world.rule };
        assert!(world.relay.arm(u64::from(round), &rule, &start(round)));
        world.say(&packet(round + 1, &VOICE));
        assert_eq!(receive(to).0, relayed(false, round + 1, &VOICE));
        assert_eq!(world.relay.disarm(u64::from(round)).unwrap().packets, 1);
    }
    assert_eq!(world.relay.armed(), 0);
    nothing(&world.callee);
    nothing(&other);
}

#[test]
fn what_cannot_be_relayed_is_refused() {
    let Some(mut world) = Loop::new("127.0.0.1") else { return };
    let six: SocketAddr = "[::1]:4000".parse().unwrap();
    let unreachable: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    let (rule, start) = (world.rule, start(0));
    for (what, rule) in [
        ("two families", Rule { destination: six, ..rule }),
        ("no way there", Rule { destination: unreachable, ..rule }),
        ("not our port", Rule { port: PORTS.1 + 2, ..rule }),
        ("the port of reports", Rule { port: FIRST + 1, ..rule }),
        ("many hosts", Rule { destination: "224.0.0.1:4000".parse().unwrap(), ..rule }),
    ] {
        assert!(!world.relay.arm(1, &rule, &start), "{what}");
    }
    assert!(world.relay.arm(1, &rule, &start));
    assert!(!world.relay.arm(1, &rule, &start), "twice");
}

/// The end of the relay, by whatever way, is the end of all that was in the kernel.
#[test]
fn nothing_is_left_when_it_is_dropped() {
    for by_filter in [false, true] {
        if !alone() {
            return;
        }
        let address: IpAddr = "127.0.0.1".parse().unwrap();
        let Some(mut relay) = open_as(address, by_filter) else { return };
        let (caller, callee, ours) = (socket(address, 4000), socket(address, 4002), socket(address, FIRST));
        let rule = rule(caller.local_addr().unwrap(), callee.local_addr().unwrap());
        assert!(relay.arm(7, &rule, &start(0)));
        caller.send_to(&packet(1, &VOICE), ours.local_addr().unwrap()).unwrap();
        assert_eq!(receive(&callee).0, relayed(false, 1, &VOICE));
        drop(relay);
        caller.send_to(&packet(2, &VOICE), ours.local_addr().unwrap()).unwrap();
        assert_eq!(receive(&ours).0, packet(2, &VOICE));
        // A later one stands where it stood.
        let Some(mut relay) = open_as(address, by_filter) else { return };
        assert!(relay.arm(7, &rule, &start(2)));
        caller.send_to(&packet(3, &VOICE), ours.local_addr().unwrap()).unwrap();
        assert_eq!(receive(&callee).0, relayed(false, 3, &VOICE));
    }
}

/// Shards have a program each, side by side on the same interface.
#[test]
fn several_stand_side_by_side() {
    if !alone() {
        return;
    }
    let local: IpAddr = "127.0.0.1".parse().unwrap();
    let at = |ports| Options { ports, local, interfaces: Vec::new(), clock_offset_ns: 0, by_filter: false };
    let mut relays = Vec::new();
    for ports in [(30_000, 30_999), (31_000, 31_999), (32_000, 32_999)] {
        match Relay::open(at(ports)) {
            Ok(mut relay) => {
                // The others' programs take their time to be loaded.
                relay.stay_alive_until(u64::MAX);
                relays.push(relay);
            }
            Err(why) => return println!("skipped: {why}"),
        }
    }
    let (caller, callee) = (socket(local, 4000), socket(local, 4002));
    for (number, relay) in relays.iter_mut().enumerate() {
        let port = 30_000 + 1000 * number as u16;
        let rule = Rule { port, ..rule(caller.local_addr().unwrap(), callee.local_addr().unwrap()) };
        assert!(relay.arm(7, &rule, &start(0)));
        caller.send_to(&packet(1, &VOICE), (local, port)).unwrap();
        assert_eq!(receive(&callee).0, relayed(false, 1, &VOICE));
    }
    assert!(relays.iter_mut().all(|relay| relay.counts(7).unwrap().packets == 1));
}

fn across_wires(local: &str, far: [(usize, &str); 2], out: &str, by_filter: bool) {
    let Some(world) = World::new() else { return };
    let local: IpAddr = local.parse().unwrap();
    let Some(mut relay) = open_as(local, by_filter) else { return };
    let far_end = |(machine, address): (usize, &str), port| {
        let address = address.parse().unwrap();
        world.at(machine, || socket(address, port))
    };
    let (caller, callee) = (far_end(far[0], 4000), far_end(far[1], 4002));
    let ours = [socket(local, FIRST), socket(local, SECOND)];
    // The port that leaves for the callee is on the address the callee knows.
    let to_us: SocketAddr =
        SocketAddr::new(if local.is_unspecified() { out.parse().unwrap() } else { local }, FIRST);
    let there = rule(caller.local_addr().unwrap(), callee.local_addr().unwrap());
    let back = Rule { port: SECOND, out_port: FIRST, ..rule(there.destination, there.source) };
    assert!(relay.arm(1, &there, &start(0)));
    assert!(relay.arm(2, &back, &start(0)));
    for sequence in 1..=50 {
        caller.send_to(&packet(sequence, &VOICE), to_us).unwrap();
        let (got, from) = receive(&callee);
        assert_eq!(got, relayed(false, sequence, &VOICE));
        assert_eq!(from.port(), SECOND);
        callee.send_to(&packet(sequence, &SILENCE), from).unwrap();
        let (got, from) = receive(&caller);
        assert_eq!(got, relayed(false, sequence, &SILENCE));
        assert_eq!(from.port(), FIRST);
    }
    nothing(&ours[0]);
    nothing(&ours[1]);
    for stream in [1, 2] {
        assert_eq!(relay.disarm(stream).unwrap().packets, 50);
    }
    caller.send_to(&packet(51, &VOICE), to_us).unwrap();
    assert_eq!(receive(&ours[0]).0, packet(51, &VOICE));
}

#[test]
fn a_stream_crosses_two_wires() {
    for by_filter in [false, true] {
        across_wires("0.0.0.0", [(1, "10.77.1.2"), (2, "10.77.2.2")], "10.77.1.1", by_filter);
    }
}

#[test]
fn a_stream_crosses_two_wires_over_ipv6() {
    across_wires("::", [(1, "fd77:1::2"), (2, "fd77:2::2")], "fd77:1::1", false);
}

/// One wire is enough: both ends on the same network.
#[test]
fn a_stream_comes_and_goes_by_one_wire() {
    across_wires("10.77.1.1", [(1, "10.77.1.2"), (1, "10.77.1.2")], "10.77.1.1", false);
    across_wires("fd77:1::1", [(1, "fd77:1::2"), (1, "fd77:1::2")], "fd77:1::1", false);
}

/// What nobody keeps alive leaves everything to the sockets.
#[test]
fn a_process_that_hangs_relays_nothing() {
    let Some(mut world) = Loop::new("127.0.0.1") else { return };
    assert!(world.relay.arm(7, &world.rule, &start(0)));
    world.relay.fall_silent();
    world.say(&packet(1, &VOICE));
    assert_eq!(receive(&world.ours[0]).0, packet(1, &VOICE));
    world.relay.stay_alive();
    world.say(&packet(2, &VOICE));
    assert_eq!(receive(&world.callee).0, relayed(false, 2, &VOICE));
}
