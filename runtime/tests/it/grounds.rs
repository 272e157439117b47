//! One and the same call over each of the relay's grounds: through sockets and through the kernel, on loopback and over
//! wires to other machines, IPv4 and IPv6. The media plane is the daemon's own; only signalling is not there.

use crate::far_end::{FarEnd, Heard};
use crate::media_shard::MediaShard;
use crate::world::{World, alone, socket};
use std::net::IpAddr;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum GroundKind {
    Sockets,
    Kernel,
}

/// Packets until a far end has a socket of its own, or the kernel has a rule.
const SETTLED: u16 = 60;

const SENDER_REPORT: u8 = 200;
const REPORT_BYTES: usize = 28;

/// RFC 3550 §6.4.1, without blocks.
fn sender_report(ssrc: u32) -> [u8; REPORT_BYTES] {
    let mut report = [0; REPORT_BYTES];
    report[..4].copy_from_slice(&[0x80, SENDER_REPORT, 0, (REPORT_BYTES / 4 - 1) as u8]);
    report[4..8].copy_from_slice(&ssrc.to_be_bytes());
    report
}

/// Two calls with the same SSRCs: nobody may hear the other one's sound.
struct Calls {
    shard: MediaShard,
    ends: [[FarEnd; 2]; 2],
    strangers: Vec<std::net::UdpSocket>,
    movers: Vec<std::net::UdpSocket>,
    /// Send the first call's reports, the caller's and the callee's.
    reporters: [std::net::UdpSocket; 2],
    kind: GroundKind,
}

/// Everything about one place: who we are, and sockets of other machines.
struct Place {
    local: IpAddr,
    interfaces: Vec<String>,
    far: Box<dyn Fn(usize) -> std::net::UdpSocket>,
}

fn on_loopback(address: &str) -> Option<Place> {
    let local: IpAddr = address.parse().unwrap();
    alone().then(|| Place { local, interfaces: Vec::new(), far: Box::new(move |_| socket(local, 0)) })
}

fn over_wires(local: &str, far: [&str; 2]) -> Option<Place> {
    let world = World::new()?;
    let far = far.map(|address| address.parse::<IpAddr>().unwrap());
    let far = move |machine: usize| world.at(machine + 1, || socket(far[machine], 0));
    let interfaces = vec!["wire1".to_owned(), "wire2".to_owned()];
    Some(Place { local: local.parse().unwrap(), interfaces, far: Box::new(far) })
}

impl Calls {
    fn new(place: &Place, kind: GroundKind) -> Option<Calls> {
        let interfaces = (kind == GroundKind::Kernel).then(|| place.interfaces.clone());
        let shard = MediaShard::start(place.local, interfaces)?;
        // Of documentation (RFC 5737, RFC 3849): nobody is there.
        let told = if place.local.is_ipv4() { "192.0.2.9:4000" } else { "[2001:db8::9]:4000" };
        let ends = [1, 2].map(|call| {
            let [from, to] = [0, 1].map(|side| (place.far)(side));
            let [caller, callee] = shard.open_call(told.parse().unwrap());
            [
                FarEnd::new(from, (place.local, caller), 0x0101_0101, 16 * call + 1),
                FarEnd::new(to, (place.local, callee), 0x0202_0202, 16 * call + 2),
            ]
        });
        let more = |side| (0..2).map(move |_| (place.far)(side));
        let (strangers, movers) = (more(1).collect(), more(0).collect());
        let reporters = [0, 1].map(|side| (place.far)(side));
        let mut calls = Calls { shard, ends, strangers, movers, reporters, kind };
        calls.find_each_other();
        calls.talk(SETTLED);
        Some(calls)
    }

    /// Before both have spoken nobody knows where the other one is.
    fn find_each_other(&mut self) {
        for [caller, callee] in &mut self.ends {
            let mut heard = [false; 2];
            for tries in 0.. {
                assert!(tries < 500, "they do not hear each other");
                caller.say();
                callee.say();
                heard[0] |= caller.hear_soon().is_some();
                heard[1] |= callee.hear_soon().is_some();
                if heard == [true; 2] {
                    break;
                }
            }
            while caller.hear_soon().is_some() || callee.hear_soon().is_some() {}
        }
    }

    /// All speak, and each is heard by its peer alone, in one unbroken line.
    fn talk(&mut self, packets: u16) {
        for _ in 0..packets {
            for call in 0..2 {
                for side in 0..2 {
                    self.one_packet(call, side);
                }
            }
        }
    }

    fn one_packet(&mut self, call: usize, side: usize) {
        let [caller, callee] = &mut self.ends[call];
        let (from, to) = if side == 0 { (caller, callee) } else { (callee, caller) };
        let said = from.say();
        let heard = to.hear().unwrap_or_else(|| panic!("call {call} side {side}: {said} was not heard"));
        assert_eq!(heard, Heard { mark: from.mark, leap: 1 }, "call {call} side {side}: {said}");
    }

    /// Who is not part of a call is not heard, whatever is known of it; reads nothing of it either.
    fn a_stranger_floods(&mut self) {
        let before = self.shard.counters();
        let victim = &self.ends[0][0];
        self.strangers[0].send_to(&victim.next_packet(), victim.to).unwrap();
        self.until_a_stranger_is_noticed(before.dropped_foreign_source);
        // More than a socket holds: whoever were heard by the same one would be lost among them.
        for round in 0..400 {
            for stranger in &self.strangers {
                let victim = &self.ends[0][0];
                let mut packet = victim.next_packet();
                packet[12..].fill(0x77);
                stranger.send_to(&packet, victim.to).unwrap();
                packet[8] ^= 0x55; // another SSRC
                stranger.send_to(&packet, victim.to).unwrap();
                stranger.send_to(&packet[..round % 20], victim.to).unwrap();
            }
            // What the kernel leaves to the sockets, too, is heard among all that.
            if round % 50 == 0 {
                self.ends[0][0].ssrc ^= 0xFF;
                self.talk(1);
            }
        }
        self.talk(3);
        assert_eq!(self.shard.counters().relatched, before.relatched);
        for stranger in &self.strangers {
            stranger.set_nonblocking(true).unwrap();
            assert!(stranger.recv(&mut [0; 2048]).is_err(), "a stranger was sent something");
        }
    }

    fn until_a_stranger_is_noticed(&self, dropped_before: u64) {
        let noticed = |_| self.shard.counters().dropped_foreign_source > dropped_before;
        assert!((0..10_000).any(noticed), "a stranger is not noticed");
    }

    /// The caller goes on with other numbers: what comes out is one line all the same.
    fn numbers_leap(&mut self) {
        // RFC 3550 §8.2: two sources may pick the same SSRC; towards each side ours stands.
        self.ends[0][0].ssrc = self.ends[0][1].ssrc;
        self.talk(5);
        for sequence in [0, 40_000, 65_535, 30_000] {
            self.ends[0][0].sequence = sequence;
            self.talk(3);
        }
        for ahead in [1_000_000_000, u32::MAX / 2, u32::MAX - 100_000] {
            let caller = &mut self.ends[0][0];
            caller.timestamp = caller.timestamp.wrapping_add(ahead);
            self.talk(3);
        }
        // RFC 3550 A.1: so little is lost sound, and the line leaps as it does.
        let [caller, callee] = &mut self.ends[0];
        caller.sequence += 50;
        let said = caller.say();
        assert_eq!(callee.hear(), Some(Heard { mark: caller.mark, leap: 51 }), "{said}");
        self.talk(5);
    }

    /// Each side's reports reach the other one, from the port above the sound's.
    fn reports_go_both_ways(&mut self) {
        let ports = [0, 1].map(|side: usize| {
            let sound = self.ends[0][side].to;
            std::net::SocketAddr::new(sound.ip(), sound.port() + 1)
        });
        let send = |side: usize| {
            let from = &self.reporters[side];
            from.send_to(&sender_report(self.ends[0][side].ssrc), ports[side]).unwrap();
        };
        for side in [0, 1] {
            let peer = &self.reporters[1 - side];
            let usual = peer.read_timeout().unwrap();
            peer.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
            let mut packet = [0; 500];
            // Where the peer hears reports is known when it has sent one.
            let heard = (0..500).find_map(|_| {
                send(1 - side);
                send(side);
                peer.recv_from(&mut packet).ok()
            });
            peer.set_read_timeout(usual).unwrap();
            let (length, from) = heard.expect("a report is passed on");
            assert_eq!((from, length, packet[1]), (ports[1 - side], REPORT_BYTES, SENDER_REPORT));
        }
    }

    /// Its clock runs fast by 1 of 100, then slow.
    fn a_clock_is_skewed(&mut self) {
        for step in [162, 158] {
            self.ends[0][0].step = step;
            self.talk(50);
        }
        self.ends[0][0].step = 160;
    }

    /// A NAT gives the caller another port, and another one; it is followed, and the old one is a stranger.
    fn the_caller_moves(&mut self) {
        while let Some(mover) = self.movers.pop() {
            let [caller, callee] = &mut self.ends[0];
            let old = std::mem::replace(&mut caller.socket, mover);
            let mut tries = 0;
            loop {
                caller.say();
                if callee.hear_soon().is_some() {
                    break;
                }
                tries += 1;
                assert!(tries < 500, "nobody follows the caller");
            }
            self.talk(SETTLED);
            let mut packet = self.ends[0][0].next_packet();
            packet[12..].fill(0x77);
            old.send_to(&packet, self.ends[0][0].to).unwrap();
            self.talk(3);
        }
        assert_eq!(self.shard.counters().relatched, 2);
    }

    fn end(self) {
        let below = self.shard.counters().offloaded_rtp;
        match self.kind {
            GroundKind::Sockets => assert_eq!(below, 0),
            GroundKind::Kernel => assert!(below > 500, "{below} packets went by the kernel"),
        }
        self.shard.close_calls();
        assert_eq!(self.shard.what_is_left(), (0, false, Vec::<String>::new()), "sockets, rules, findings");
    }
}

fn play(place: Option<Place>, kind: GroundKind) {
    let Some(place) = place else { return };
    let Some(mut calls) = Calls::new(&place, kind) else { return };
    calls.a_stranger_floods();
    calls.numbers_leap();
    calls.reports_go_both_ways();
    calls.a_clock_is_skewed();
    calls.the_caller_moves();
    calls.end();
}

#[test]
fn through_sockets_on_loopback() {
    play(on_loopback("127.0.0.1"), GroundKind::Sockets);
}

#[test]
fn through_the_kernel_on_loopback() {
    play(on_loopback("127.0.0.1"), GroundKind::Kernel);
}

#[test]
fn through_sockets_on_loopback_over_ipv6() {
    play(on_loopback("::1"), GroundKind::Sockets);
}

#[test]
fn through_the_kernel_on_loopback_over_ipv6() {
    play(on_loopback("::1"), GroundKind::Kernel);
}

#[test]
fn through_sockets_over_wires() {
    play(over_wires("10.77.1.1", ["10.77.1.2", "10.77.2.2"]), GroundKind::Sockets);
}

#[test]
fn through_the_kernel_over_wires() {
    play(over_wires("10.77.1.1", ["10.77.1.2", "10.77.2.2"]), GroundKind::Kernel);
}

#[test]
fn through_sockets_over_wires_and_ipv6() {
    play(over_wires("fd77:1::1", ["fd77:1::2", "fd77:2::2"]), GroundKind::Sockets);
}

#[test]
fn through_the_kernel_over_wires_and_ipv6() {
    play(over_wires("fd77:1::1", ["fd77:1::2", "fd77:2::2"]), GroundKind::Kernel);
}
