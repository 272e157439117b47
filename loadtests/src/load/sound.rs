//! RTP of many calls: 50 packets a second each way, told apart by what is written in them.

use super::frames::{HEADERS_BYTES, Wire, deliver_only};
use super::port::Port;
use anyhow::Context;
use bytes::BufMut;
use runtime::udp::ReceiveBatch;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Turns of a packet's time; streams are spread over them as they are in life.
const SLOTS: usize = 100;
/// One turn.
const SLOT: Duration = Duration::from_micros(200);
/// 12 bytes of header and 20 ms of G.711.
const PACKET_BYTES: usize = 172;
/// Header, mark, direction and time: what is written before the filling.
const WRITTEN_BYTES: usize = 25;
/// With a wire one packet of so many is read, a power of two; the others are counted.
const READ_OF: u16 = 16;
/// First bytes of the payload of our packets.
const MARK: &[u8] = b"LOAD";
/// Time from sending to receiving is counted in steps of 10 µs up to one second.
const DELAY_STEP_US: u64 = 10;
const DELAY_STEPS: usize = 100_000;
/// Silence after which nothing is thought to be under way.
const QUIET: Duration = Duration::from_millis(300);
/// Batches read from one socket before others have their turn.
const BATCHES_PER_TURN: usize = 8;

/// What came of the sound.
#[derive(Clone, Debug, Default)]
pub struct SoundFigures {
    /// Packets sent, both directions.
    pub sent: u64,
    /// Packets that arrived at the other end.
    pub arrived: u64,
    /// Packets that arrived at the wrong end or were never ours.
    pub foreign: u64,
    /// Time in which they were sent, seconds.
    pub seconds: f64,
    /// Time through the system, microseconds: half of the packets, 99 of 100.
    pub delay_p50_us: u64,
    /// 99 of 100 packets.
    pub delay_p99_us: u64,
    /// Packets our own socket lost because we did not read in time: ours, not the relay's.
    pub own_drops: u64,
}

struct Stream {
    number: u32,
    sequence: u32,
    to: SocketAddr,
}

struct Side {
    port: Port,
    /// Frames on their way to the wire.
    frames: Vec<u8>,
    slots: Vec<Vec<Stream>>,
    direction: u8,
    sent: u64,
}

impl Side {
    fn new(ip: IpAddr, direction: u8) -> anyhow::Result<Self> {
        let port = Port::new(SocketAddr::new(ip, 0)).context("RTP of the generator")?;
        let slots = (0..SLOTS).map(|_| Vec::new()).collect();
        Ok(Side { port, frames: Vec::new(), slots, direction, sent: 0 })
    }

    fn speak(&mut self, slot: usize, epoch: Instant, wire: Option<&Wire>) {
        for stream in &mut self.slots[slot] {
            let at = epoch.elapsed().as_nanos() as u64;
            let (number, sequence, direction) = (stream.number, stream.sequence, self.direction);
            stream.sequence += 1;
            self.sent += 1;
            let write = |to: &mut dyn BufMut| {
                // RFC 3550 §5.1; PCMU is payload type 0; the first packet of a talk spurt is marked.
                to.put_u8(0x80);
                to.put_u8(if sequence == 0 { 0x80 } else { 0 });
                to.put_u16(sequence as u16);
                to.put_u32(sequence.wrapping_mul(160));
                to.put_u32(u32::from(direction) << 24 | number);
                to.put_slice(MARK);
                to.put_u8(direction);
                to.put_u64(at);
                to.put_bytes(0xff, PACKET_BYTES - WRITTEN_BYTES);
            };
            let v4 = |address| match address {
                SocketAddr::V4(v4) => Some(v4),
                SocketAddr::V6(_) => None,
            };
            match wire
                .and_then(|wire| Some(wire.headers(v4(self.port.address)?, v4(stream.to)?, PACKET_BYTES)))
            {
                Some(headers) => {
                    self.frames.extend_from_slice(&headers);
                    write(&mut self.frames);
                }
                None => {
                    self.port.send(stream.to, |to| write(to));
                }
            }
        }
        if let Some(wire) = wire {
            self.port.lost += wire.send(&self.frames, HEADERS_BYTES + PACKET_BYTES);
            self.frames.clear();
        }
        self.port.flush();
    }
}

/// The sound of all calls.
pub struct Sound {
    caller: Side,
    callee: Side,
    epoch: Instant,
    next: Option<Instant>,
    slot: usize,
    begun: Instant,
    heard: Instant,
    figures: SoundFigures,
    delays: Vec<u64>,
    /// Packets go out on this as frames, past our own network stack.
    wire: Option<Wire>,
}

impl Sound {
    /// Ports on both sides.
    ///
    /// # Errors
    /// When they cannot be had.
    pub fn new(caller: IpAddr, callee: IpAddr) -> anyhow::Result<Self> {
        let now = Instant::now();
        Ok(Sound {
            caller: Side::new(caller, 0)?,
            callee: Side::new(callee, 1)?,
            epoch: now,
            next: None,
            slot: 0,
            begun: now,
            heard: now,
            figures: SoundFigures::default(),
            delays: vec![0; DELAY_STEPS + 1],
            wire: None,
        })
    }

    /// The same for more than sockets can carry: out as frames, and only some of what comes in is read.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn through(mut self, wire: Wire) -> anyhow::Result<Self> {
        for side in [&self.caller, &self.callee] {
            deliver_only(&side.port.socket, READ_OF - 1)?;
        }
        self.wire = Some(wire);
        Ok(self)
    }

    /// For the callers' SDP.
    #[must_use]
    pub fn caller_port(&self) -> u16 {
        self.caller.port.address.port()
    }

    /// For the callees' SDP.
    #[must_use]
    pub fn callee_port(&self) -> u16 {
        self.callee.port.address.port()
    }

    /// To be waited on.
    pub fn sockets(&self) -> impl Iterator<Item = &UdpSocket> {
        [&*self.caller.port.socket, &*self.callee.port.socket].into_iter()
    }

    /// A caller has learnt where to send to.
    pub fn caller_speaks(&mut self, number: u32, to: Option<SocketAddr>) {
        if let Some(to) = to {
            self.caller.slots[number as usize % SLOTS].push(Stream { number, sequence: 0, to });
        }
    }

    /// A callee has learnt where to send to.
    pub fn callee_speaks(&mut self, number: u32, to: Option<SocketAddr>) {
        if let Some(to) = to {
            let slot = (number as usize + SLOTS / 2) % SLOTS;
            self.callee.slots[slot].push(Stream { number, sequence: 0, to });
        }
    }

    /// All speak from now on.
    pub fn begin(&mut self, now: Instant) {
        self.next = Some(now);
        self.begun = now;
    }

    /// All are silent from now on; what is under way may still arrive.
    pub fn end(&mut self, now: Instant) {
        self.next = None;
        self.figures.seconds = now.duration_since(self.begun).as_secs_f64();
    }

    /// True when nothing is under way any more.
    #[must_use]
    pub fn quiet(&self, now: Instant) -> bool {
        now.duration_since(self.heard) >= QUIET
    }

    /// Sends what is due and takes what has come. True when there was anything.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn turn(&mut self, now: Instant, batch: &mut ReceiveBatch) -> anyhow::Result<bool> {
        let mut worked = false;
        // One slot a turn: when we are late, reading goes between.
        if let Some(at) = self.next.filter(|at| *at <= now) {
            worked = true;
            self.next = Some(at + SLOT);
            self.slot = (self.slot + 1) % SLOTS;
            self.caller.speak(self.slot, self.epoch, self.wire.as_ref());
            self.callee.speak(self.slot, self.epoch, self.wire.as_ref());
        }
        for (socket, from) in [(&self.caller.port.socket, 1), (&self.callee.port.socket, 0)] {
            let socket = Rc::clone(socket);
            for _ in 0..BATCHES_PER_TURN {
                let at = self.epoch.elapsed().as_nanos() as u64;
                let (figures, delays) = (&mut self.figures, &mut self.delays);
                let count = batch.receive(&socket, |_, packet| {
                    let ours = packet.len() == PACKET_BYTES && &packet[12..16] == MARK;
                    if !ours || packet[16] != from {
                        figures.foreign += 1;
                        return;
                    }
                    figures.arrived += 1;
                    let sent = packet[17..25].try_into().map_or(at, u64::from_be_bytes);
                    let step = at.saturating_sub(sent) / 1000 / DELAY_STEP_US;
                    delays[(step as usize).min(DELAY_STEPS)] += 1;
                })?;
                if count > 0 {
                    worked = true;
                    self.heard = now;
                }
                if count < runtime::udp::BATCH {
                    break;
                }
            }
        }
        Ok(worked)
    }

    /// The end.
    #[must_use]
    pub fn figures(mut self) -> SoundFigures {
        let share = |share: f64| {
            let wanted = (self.figures.arrived as f64 * share) as u64;
            let mut counted = 0;
            let step = self.delays.iter().position(|count| {
                counted += count;
                counted > wanted
            });
            step.unwrap_or(0) as u64 * DELAY_STEP_US
        };
        let (p50, p99) = (share(0.5), share(0.99));
        self.figures.delay_p50_us = p50;
        self.figures.delay_p99_us = p99;
        self.figures.sent = self.caller.sent + self.callee.sent;
        let dropped = runtime::udp::receive_drops(&self.caller.port.socket)
            + runtime::udp::receive_drops(&self.callee.port.socket);
        let unsent = self.caller.port.lost + self.callee.port.lost;
        if self.wire.is_some() {
            self.figures.arrived += dropped;
            self.figures.own_drops = unsent;
        } else {
            self.figures.own_drops = dropped + unsent;
        }
        self.figures
    }
}
