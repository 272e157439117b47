//! Loads the program and keeps its rules.

use crate::layout::{ANY_LOCAL, KernelCounts, KernelRule, TAP, TAP_HEADER_BYTES, clock_ns, family, words};
use crate::route::{Link, Netlink, Route};
use aya::maps::{Array, MapData, RingBuf};
use aya::programs::{SchedClassifier, TcAttachType, tc};
use aya::{Ebpf, EbpfLoader};
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

#[cfg(has_program)]
const PROGRAM: Option<&[u8]> = Some(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/relay.bpf.o")));
#[cfg(not(has_program))]
const PROGRAM: Option<&[u8]> = None;

const NAME: &str = "dialerd_relay";
/// Bytes of sound that may wait for us.
const RING_BYTES: u32 = 4 << 20;
/// The program relays for so long after the last [`Relay::stay_alive`], nanoseconds.
const ALIVE_NS: u64 = 5_000_000_000;
/// A route is asked for again after so long, nanoseconds.
const ROUTE_FRESH_NS: u64 = 1_000_000_000;
/// Routes remembered; beyond that all are asked for anew.
const ROUTES_MAX: usize = 16_384;

/// Why there is no relay in the kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotPossible(pub String);

impl fmt::Display for NotPossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotPossible {}

pub(crate) fn not_possible(what: impl fmt::Display) -> impl FnOnce(&dyn fmt::Display) -> NotPossible {
    move |error| NotPossible(format!("{what}: {error}"))
}

/// Where a relay works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// First and last of the UDP ports it serves; RTP takes every second one from the first.
    pub ports: (u16, u16),
    /// The address the sockets are bound to.
    pub local: IpAddr,
    /// Interfaces to work on; empty: loopback and all that carry `local` (every one that carries an address, when
    /// that is the wildcard).
    pub interfaces: Vec<String>,
    /// The monotonic clock minus the caller's own, nanoseconds ([`clock_ns`]).
    pub clock_offset_ns: u64,
    /// Attach as kernels before 6.6 must, by a filter instead of a link.
    pub by_filter: bool,
}

/// What is relayed, and how: one direction of sound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Packets come from here …
    pub source: SocketAddr,
    /// … to this port of ours …
    pub port: u16,
    /// … with this SSRC …
    pub ssrc: u32,
    /// … and payload type.
    pub payload_type: u8,
    /// They leave to here …
    pub destination: SocketAddr,
    /// … from this port of ours …
    pub out_port: u16,
    /// … with this SSRC …
    pub out_ssrc: u32,
    /// … and payload type; …
    pub out_payload_type: u8,
    /// … this is added to the sequence number …
    pub sequence_delta: u16,
    /// … and this to the timestamp.
    pub timestamp_delta: u32,
    /// A sample is no silence when its low seven bits, exclusive or the first of these, are at least the second.
    pub sound: (u8, u8),
    /// Copy every packet to us.
    pub tap: bool,
}

/// Where counting begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Start {
    /// Highest sequence number so far, with its cycles.
    pub highest: u32,
    /// Relative transit time of the last packet (RFC 3550 A.8), timestamp units.
    pub transit: u32,
    /// Interarrival jitter times 16, timestamp units.
    pub jitter: u32,
    /// Timestamp of the last packet that left.
    pub timestamp: u32,
}

/// What was relayed since the rule was armed. Times are nanoseconds of the caller's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Packets.
    pub packets: u64,
    /// Bytes of their UDP payloads.
    pub bytes: u64,
    /// Bytes of their RTP payloads.
    pub octets: u64,
    /// When the last one came; 0: none did.
    pub last_ns: u64,
    /// When the last one with sound came, as far as was looked; 0: none did.
    pub sound_ns: u64,
    /// As in [`Start`].
    pub highest: u32,
    /// As in [`Start`].
    pub transit: u32,
    /// As in [`Start`].
    pub jitter: u32,
    /// As in [`Start`].
    pub timestamp: u32,
    /// Samples in the last packet.
    pub samples: u32,
    /// Packets left to the socket because the taps had no room.
    pub taps_full: u32,
}

struct Armed {
    rule: Rule,
    kernel: KernelRule,
    route: Route,
}

/// One shard's relay in the kernel. Everything of it goes when it is dropped.
pub struct Relay {
    options: Options,
    interfaces: Vec<String>,
    rules: Array<MapData, KernelRule>,
    counts: Array<MapData, KernelCounts>,
    alive: Array<MapData, u64>,
    taps: RingBuf<MapData>,
    netlink: Netlink,
    routes: HashMap<IpAddr, (Option<Route>, u64)>,
    armed: HashMap<u64, Armed>,
    tapped: usize,
    /// Holds program and links.
    _ebpf: Ebpf,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("options", &self.options).field("armed", &self.armed.len()).finish()
    }
}

impl Relay {
    /// Loads the program and attaches it, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// Without the program (no clang when this was built), without CAP_BPF and CAP_NET_ADMIN, and when an interface
    /// is not there.
    pub fn open(options: Options) -> Result<Self, NotPossible> {
        let program =
            PROGRAM.ok_or_else(|| NotPossible("built without its program, for want of clang".into()))?;
        let mut netlink = Netlink::new().map_err(|error| not_possible("asking for routes")(&error))?;
        let links = netlink.links().map_err(|error| not_possible("asking for interfaces")(&error))?;
        let interfaces = choose(&options, &mut netlink, &links)?;
        let loopback = links.iter().find(|link| link.is_loopback).map_or(1, |link| link.number);
        let (first, last) = options.ports;
        let slots = u32::from(last.saturating_sub(first)) / 2 + 1;
        let loading = |error: &dyn fmt::Display| not_possible("loading its program")(error);
        let mut ebpf = EbpfLoader::new()
            .set_global("PORT_FIRST", &u32::from(first), true)
            .set_global("PORT_LAST", &u32::from(last), true)
            .set_global("LOOPBACK", &loopback, true)
            .set_global("RING_BYTES", &RING_BYTES, true)
            .set_global("CLOCK_OFFSET_NS", &options.clock_offset_ns, true)
            .set_max_entries("rules", slots)
            .set_max_entries("counts", slots)
            .set_max_entries("taps", RING_BYTES)
            .load(program)
            .map_err(|error| loading(&chain(&error)))?;
        attach(&mut ebpf, &interfaces, options.by_filter)?;
        let rules = take_array(&mut ebpf, "rules")?;
        let counts = take_array(&mut ebpf, "counts")?;
        let alive = take_array(&mut ebpf, ".bss")?;
        let taps = ebpf.take_map("taps").ok_or_else(|| NotPossible("it has no map `taps`".into()))?;
        let taps = RingBuf::try_from(taps).map_err(|error| loading(&error))?;
        let mut relay = Relay {
            options,
            interfaces,
            rules,
            counts,
            alive,
            taps,
            netlink,
            routes: HashMap::new(),
            armed: HashMap::new(),
            tapped: 0,
            _ebpf: ebpf,
        };
        relay.stay_alive();
        Ok(relay)
    }

    /// Interfaces it works on.
    #[must_use]
    pub fn interfaces(&self) -> &[String] {
        &self.interfaces
    }

    /// Streams that have a rule.
    pub fn streams(&self) -> impl Iterator<Item = u64> {
        self.armed.keys().copied()
    }

    /// Rules in force.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.armed.len()
    }

    /// Says that there is someone to leave packets to. Call it every second: the program stops relaying five seconds
    /// after the last call.
    pub fn stay_alive(&mut self) {
        // Should it fail nothing is relayed here any more, and everything by the sockets.
        let _ = self.alive.set(0, clock_ns() + ALIVE_NS, 0);
    }

    /// Relays until then by [`clock_ns`], whether the process lives or not: for measurements and trials, in which nobody says
    /// all the time that it does.
    pub fn stay_alive_until(&mut self, at_ns: u64) {
        // As above.
        let _ = self.alive.set(0, at_ns, 0);
    }

    /// Leaves everything to the sockets from now on, until [`Relay::stay_alive`].
    pub fn fall_silent(&mut self) {
        let _ = self.alive.set(0, 0, 0);
    }

    /// Puts a rule in force for a stream that has none. False: it cannot be (the addresses are of two families, there
    /// is no way to the destination, the port is not ours).
    pub fn arm(&mut self, stream: u64, rule: &Rule, start: &Start) -> bool {
        let Some(slot) = self.slot(rule.port) else { return false };
        if self.armed.contains_key(&stream) || !self.fits(rule) {
            return false;
        }
        let Some(route) = self.route(rule.destination.ip()) else { return false };
        let generation = self.rules.get(&slot, 0).map_or(0, |before| before.generation);
        let Some(kernel) = self.kernel_rule(stream, rule, &route, generation) else { return false };
        let counts = KernelCounts {
            highest: start.highest,
            transit: start.transit,
            jitter: start.jitter,
            timestamp: start.timestamp,
            ..KernelCounts::default()
        };
        if self.counts.set(slot, counts, 0).is_err() || !self.put_in_force(slot, &kernel) {
            return false;
        }
        self.tapped += usize::from(rule.tap);
        self.armed.insert(stream, Armed { rule: *rule, kernel, route });
        true
    }

    /// Takes a stream's rule away and gives what was counted under it; `None` when it has none.
    pub fn disarm(&mut self, stream: u64) -> Option<Counts> {
        let armed = self.armed.remove(&stream)?;
        self.tapped -= usize::from(armed.rule.tap);
        let slot = self.slot(armed.rule.port)?;
        let generation = armed.kernel.generation.wrapping_add(1);
        let _ = self.rules.set(slot, KernelRule { generation, ..armed.kernel }, 0);
        Some(self.read(slot))
    }

    /// What was counted under a stream's rule so far; `None` when it has none.
    pub fn counts(&mut self, stream: u64) -> Option<Counts> {
        let armed = self.armed.get(&stream)?;
        let (destination, before, port) = (armed.rule.destination.ip(), armed.route, armed.rule.port);
        let slot = self.slot(port)?;
        match self.route(destination) {
            Some(route) if route == before => {}
            // No way there any more: the sockets will tell the same.
            None => {}
            Some(route) => self.reroute(stream, slot, route),
        }
        Some(self.read(slot))
    }

    /// Hands over the packets copied since the last time: stream, time (nanoseconds of the caller's clock), packet.
    pub fn tapped(&mut self, each: &mut dyn FnMut(u64, u64, &[u8])) {
        while let Some(record) = self.taps.next() {
            let number = |at: usize| {
                record.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_ne_bytes)
            };
            let (Some(stream), Some(at_ns), Some(length)) = (number(0), number(8), number(16)) else {
                continue;
            };
            let length = (length & u64::from(u32::MAX)) as usize;
            if let Some(packet) = record.get(TAP_HEADER_BYTES..TAP_HEADER_BYTES + length) {
                each(stream, at_ns, packet);
            }
        }
    }

    /// True while packets may be copied to us: look every few milliseconds.
    #[must_use]
    pub fn has_taps(&self) -> bool {
        self.tapped > 0
    }

    /// Becomes readable when many copied packets wait.
    #[must_use]
    pub fn taps_fd(&self) -> RawFd {
        self.taps.as_raw_fd()
    }

    fn slot(&self, port: u16) -> Option<u32> {
        let (first, last) = self.options.ports;
        let above = port.checked_sub(first).filter(|above| port <= last && above % 2 == 0)?;
        Some(u32::from(above) / 2)
    }

    /// One family, addresses of one host each, and none that means something only on one link.
    fn fits(&self, rule: &Rule) -> bool {
        let plain = |address: IpAddr| match address {
            IpAddr::V4(v4) => !v4.is_broadcast() && !v4.is_multicast() && !v4.is_unspecified(),
            IpAddr::V6(v6) => {
                !v6.is_multicast()
                    && !v6.is_unspecified()
                    && !v6.is_unicast_link_local()
                    && v6.to_ipv4_mapped().is_none()
            }
        };
        let (from, to, local) = (rule.source.ip(), rule.destination.ip(), self.options.local);
        from.is_ipv4() == to.is_ipv4() && from.is_ipv4() == local.is_ipv4() && plain(from) && plain(to)
    }

    fn kernel_rule(&self, stream: u64, rule: &Rule, route: &Route, generation: u32) -> Option<KernelRule> {
        let local = self.options.local;
        let out_source = if local.is_unspecified() { route.source? } else { local };
        let any = if local.is_unspecified() { ANY_LOCAL } else { 0 };
        Some(KernelRule {
            stream,
            // Odd: in force.
            generation: (generation | 1).wrapping_add(if generation & 1 == 1 { 2 } else { 0 }),
            flags: any | if rule.tap { TAP } else { 0 },
            source: words(rule.source.ip()),
            local: words(local),
            out_source: words(out_source),
            out_destination: words(rule.destination.ip()),
            next_hop: words(route.next_hop),
            source_port: rule.source.port().to_be(),
            out_source_port: rule.out_port.to_be(),
            out_destination_port: rule.destination.port().to_be(),
            sequence_delta: rule.sequence_delta,
            ssrc: rule.ssrc,
            out_ssrc: rule.out_ssrc,
            timestamp_delta: rule.timestamp_delta,
            egress: route.interface,
            family: family(rule.source.ip()),
            next_hop_family: family(route.next_hop),
            payload_type: rule.payload_type,
            out_payload_type: rule.out_payload_type,
            sound_mask: rule.sound.0,
            sound_min: rule.sound.1,
            pad: [0; 2],
        })
    }

    /// Writes the rule while it is not in force, then puts it in force: a packet on its way meanwhile finds either
    /// no rule or the whole of it.
    fn put_in_force(&mut self, slot: u32, kernel: &KernelRule) -> bool {
        let before = KernelRule { generation: kernel.generation.wrapping_sub(1), ..*kernel };
        self.rules.set(slot, before, 0).is_ok() && self.rules.set(slot, *kernel, 0).is_ok()
    }

    fn read(&self, slot: u32) -> Counts {
        let counts = self.counts.get(&slot, 0).unwrap_or_default();
        let KernelCounts { packets, bytes, octets, last_ns, sound_ns, .. } = counts;
        let KernelCounts { highest, transit, jitter, timestamp, samples, taps_full, .. } = counts;
        Counts {
            packets,
            bytes,
            octets,
            last_ns,
            sound_ns,
            highest,
            transit,
            jitter,
            timestamp,
            samples,
            taps_full,
        }
    }

    fn route(&mut self, to: IpAddr) -> Option<Route> {
        let now = clock_ns();
        if let Some((route, asked_at)) = self.routes.get(&to)
            && now - asked_at < ROUTE_FRESH_NS
        {
            return *route;
        }
        if self.routes.len() >= ROUTES_MAX {
            self.routes.clear();
        }
        let from = Some(self.options.local).filter(|local| !local.is_unspecified());
        let route = self.netlink.route(to, from).unwrap_or(None);
        self.routes.insert(to, (route, now));
        route
    }

    /// The way to the destination has changed.
    fn reroute(&mut self, stream: u64, slot: u32, route: Route) {
        let Some(armed) = self.armed.get(&stream) else { return };
        let Some(kernel) = self.kernel_rule(stream, &armed.rule, &route, armed.kernel.generation) else {
            return;
        };
        if self.put_in_force(slot, &kernel)
            && let Some(armed) = self.armed.get_mut(&stream)
        {
            (armed.kernel, armed.route) = (kernel, route);
        }
    }
}

fn take_array<T: aya::Pod>(ebpf: &mut Ebpf, name: &str) -> Result<Array<MapData, T>, NotPossible> {
    let map = ebpf.take_map(name).ok_or_else(|| NotPossible(format!("it has no map `{name}`")))?;
    Array::try_from(map).map_err(|error| NotPossible(format!("its map `{name}`: {error}")))
}

/// An error with what it comes from: the word that helps is the last one.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(error) = inner {
        let word = error.to_string();
        // The verifier's whole log is no line.
        let word = word.lines().next().unwrap_or_default();
        if !text.contains(word) {
            text = format!("{text}: {word}");
        }
        inner = error.source();
    }
    text.lines().next().unwrap_or_default().to_owned()
}

fn attach(ebpf: &mut Ebpf, interfaces: &[String], by_filter: bool) -> Result<(), NotPossible> {
    let program: &mut SchedClassifier = ebpf
        .program_mut(NAME)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| NotPossible(format!("it has no program `{NAME}`")))?;
    program.load().map_err(|error| not_possible("loading its program")(&chain(&error)))?;
    for interface in interfaces {
        let attaching = |error: &dyn std::error::Error| {
            not_possible(format!("attaching to interface {interface}"))(&chain(error))
        };
        // What a killed daemon left on a kernel that keeps filters.
        let _ = tc::qdisc_detach_program(interface, TcAttachType::Ingress, NAME);
        if by_filter || !has_links() {
            // There already is as good.
            let _ = tc::qdisc_add_clsact(interface);
            let options = tc::TcAttachOptions::Netlink(tc::NlOptions::default());
            program
                .attach_with_options(interface, TcAttachType::Ingress, options)
                .map_err(|error| attaching(&error))?;
        } else {
            let options = tc::TcAttachOptions::TcxOrder(aya::programs::LinkOrder::default());
            program
                .attach_with_options(interface, TcAttachType::Ingress, options)
                .map_err(|error| attaching(&error))?;
        }
    }
    Ok(())
}

/// Links for TC came with Linux 6.6.
fn has_links() -> bool {
    aya::util::KernelVersion::current().is_ok_and(|version| version >= aya::util::KernelVersion::new(6, 6, 0))
}

fn choose(options: &Options, netlink: &mut Netlink, links: &[Link]) -> Result<Vec<String>, NotPossible> {
    let there = |name: &String| links.iter().any(|link| link.name == *name);
    if let Some(missing) = options.interfaces.iter().find(|name| !there(name)) {
        return Err(NotPossible(format!("there is no Ethernet interface {missing}")));
    }
    if !options.interfaces.is_empty() {
        return Ok(options.interfaces.clone());
    }
    let addresses = netlink.addresses().map_err(|error| not_possible("asking for addresses")(&error))?;
    let carries = |link: &Link| {
        addresses.iter().any(|(number, address)| {
            *number == link.number && (options.local.is_unspecified() || *address == options.local)
        })
    };
    Ok(links.iter().filter(|link| link.is_loopback || carries(link)).map(|link| link.name.clone()).collect())
}
