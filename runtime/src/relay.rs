//! What relays plain sound below the machine: nothing (every packet goes through the shard's sockets), or the kernel.

use kernel_relay::{Counts, Options, Relay, Reports, Rule, Start, clock_ns};
use sansio::Instant;
use std::os::fd::RawFd;

pub use kernel_relay::{Counts as RelayCounts, NotPossible, Rule as RelayRule, Start as RelayStart};

use crate::{Clock, udp};
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// What may wait at the socket of all reports.
const REPORTS_BYTES: usize = 1 << 20;

/// One of the two grounds sound can go over. The machine decides what may go below it; a ground that can relay nothing by
/// itself refuses, and then all of it comes by the sockets.
pub trait RelayGround {
    /// As in metrics and logs.
    fn name(&self) -> &'static str;
    /// Relays one direction of a stream's sound from now on. False: it cannot.
    fn arm(&mut self, stream: u64, rule: &Rule, start: &Start) -> bool;
    /// Relays it no longer; what was relayed. `None`: it did not.
    fn disarm(&mut self, stream: u64) -> Option<Counts>;
    /// What was relayed so far.
    fn counts(&mut self, stream: u64) -> Option<Counts>;
    /// Streams that it relays, into `streams`.
    fn armed(&self, streams: &mut Vec<u64>);
    /// It relays any.
    fn is_armed(&self) -> bool;
    /// Packets relayed whose stream is listened to, since the last time: stream, packet.
    fn tapped(&mut self, each: &mut dyn FnMut(u64, &[u8]));
    /// Packets may have been copied for listeners: look every few milliseconds.
    fn has_taps(&self) -> bool;
    /// Readable when many of them wait.
    fn taps_fd(&self) -> Option<RawFd>;
    /// Said about once a second by a process that is alive.
    fn stay_alive(&mut self);
    /// Where the reports (RTCP) of all streams come, when their ports need not be open.
    fn reports(&self) -> Option<&UdpSocket> {
        None
    }
}

/// Every packet goes through the shard's sockets.
#[derive(Debug)]
pub struct Sockets;

impl RelayGround for Sockets {
    fn name(&self) -> &'static str {
        "sockets"
    }
    fn arm(&mut self, _: u64, _: &Rule, _: &Start) -> bool {
        false
    }
    fn disarm(&mut self, _: u64) -> Option<Counts> {
        None
    }
    fn counts(&mut self, _: u64) -> Option<Counts> {
        None
    }
    fn armed(&self, _: &mut Vec<u64>) {}
    fn is_armed(&self) -> bool {
        false
    }
    fn tapped(&mut self, _: &mut dyn FnMut(u64, &[u8])) {}
    fn has_taps(&self) -> bool {
        false
    }
    fn taps_fd(&self) -> Option<RawFd> {
        None
    }
    fn stay_alive(&mut self) {}
}

/// Sound is relayed in the kernel, and reports come by one socket.
struct InKernel {
    relay: Relay,
    reports: Option<(UdpSocket, Reports)>,
}

impl RelayGround for InKernel {
    fn name(&self) -> &'static str {
        "kernel"
    }
    fn arm(&mut self, stream: u64, rule: &Rule, start: &Start) -> bool {
        self.relay.arm(stream, rule, start)
    }
    fn disarm(&mut self, stream: u64) -> Option<Counts> {
        self.relay.disarm(stream)
    }
    fn counts(&mut self, stream: u64) -> Option<Counts> {
        self.relay.counts(stream)
    }
    fn armed(&self, streams: &mut Vec<u64>) {
        streams.extend(self.relay.streams());
    }
    fn is_armed(&self) -> bool {
        self.relay.armed() > 0
    }
    fn tapped(&mut self, each: &mut dyn FnMut(u64, &[u8])) {
        self.relay.tapped(&mut |stream, _, packet| each(stream, packet));
    }
    fn has_taps(&self) -> bool {
        self.relay.has_taps()
    }
    fn taps_fd(&self) -> Option<RawFd> {
        Some(self.relay.taps_fd())
    }
    fn stay_alive(&mut self) {
        self.relay.stay_alive();
    }
    fn reports(&self) -> Option<&UdpSocket> {
        self.reports.as_ref().map(|(socket, _)| socket)
    }
}

/// Ports asked for until one is no call's.
const PORTS_TRIED: usize = 1000;

/// One socket for all reports. `None`: each stream has one of its own for them.
fn open_reports(ports: (u16, u16), local: IpAddr) -> Option<(UdpSocket, Reports)> {
    let calls = ports.0..=ports.1.saturating_add(1);
    // Kept until one is found, so that each is asked for once.
    let mut taken = Vec::new();
    let socket = (0..PORTS_TRIED).find_map(|_| {
        let socket = udp::bind(SocketAddr::new(local, 0), REPORTS_BYTES).ok()?;
        if calls.contains(&socket.local_addr().ok()?.port()) {
            taken.push(socket);
            return None;
        }
        Some(socket)
    })?;
    udp::tell_destinations(&socket).ok()?;
    let reports = Reports::open(ports, local, &socket);
    let reports =
        reports.inspect_err(|why| tracing::info!(%why, "each stream has a socket for reports")).ok()?;
    Some((socket, reports))
}

/// Where a relay in the kernel works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KernelRelay {
    /// First and last of the shard's ports for media.
    pub ports: (u16, u16),
    /// The address they are bound to.
    pub local: IpAddr,
    /// Interfaces; empty: those that carry the address, and loopback.
    pub interfaces: Vec<String>,
}

impl KernelRelay {
    /// Loads it; it is gone when it is dropped. The names of the interfaces it works on come with it.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn open(&self, clock: Clock) -> Result<(Box<dyn RelayGround + Send>, Vec<String>), NotPossible> {
        let relay = Relay::open(Options {
            ports: self.ports,
            local: self.local,
            interfaces: self.interfaces.clone(),
            clock_offset_ns: clock_ns().saturating_sub(clock.now().as_nanos()),
            by_filter: false,
        })?;
        let interfaces = relay.interfaces().to_vec();
        Ok((Box::new(InKernel { relay, reports: open_reports(self.ports, self.local) }), interfaces))
    }
}

/// A time the ground told.
#[must_use]
pub fn told_at(ns: u64) -> Option<Instant> {
    (ns > 0).then(|| Instant::from_nanos(ns))
}
