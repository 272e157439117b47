//! RTP of many calls: 50 packets a second each way, told apart by what is written in them.

use super::daemon::OnWire;
use super::port::Port;
use super::wire::{TOGETHER_MAX, Way, Wire};
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
/// Time from sending to receiving is counted in microseconds up to one second.
const DELAY_US_MAX: usize = 1_000_000;
/// On a wire streams begin to speak one after the other during this time: thousands of calls are never answered in one moment,
/// and who learns of all of them in the same one has more to do than ever after.
const BEGINNING: Duration = Duration::from_secs(1);
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
    /// Packets sent a second while all spoke.
    pub rate: f64,
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
    begun: bool,
}

/// What is sent together.
#[derive(Default)]
struct Slot {
    streams: Vec<Stream>,
    /// The place of the first of them on the wire; the others follow.
    first: u32,
}

impl Stream {
    /// What is written of its next packet: header, mark, direction and time.
    fn write(&mut self, direction: u8, at: u64) -> [u8; WRITTEN_BYTES] {
        let sequence = self.sequence;
        let mut packet = [0; WRITTEN_BYTES];
        // RFC 3550 §5.1; PCMU is payload type 0; the first packet of a talk spurt is marked.
        packet[0] = 0x80;
        packet[1] = if self.begun { 0 } else { 0x80 };
        packet[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
        packet[4..8].copy_from_slice(&sequence.wrapping_mul(160).to_be_bytes());
        packet[8..12].copy_from_slice(&(u32::from(direction) << 24 | self.number).to_be_bytes());
        packet[12..16].copy_from_slice(MARK);
        packet[16] = direction;
        packet[17..].copy_from_slice(&at.to_be_bytes());
        self.begun = true;
        self.sequence = sequence.wrapping_add(1);
        packet
    }
}

struct Side {
    port: Port,
    slots: Vec<Slot>,
    direction: u8,
    sent: u64,
}

impl Side {
    fn new(ip: IpAddr, direction: u8) -> anyhow::Result<Self> {
        let port = Port::new(SocketAddr::new(ip, 0)).context("RTP of the generator")?;
        let slots = (0..SLOTS).map(|_| Slot::default()).collect();
        Ok(Side { port, slots, direction, sent: 0 })
    }

    fn add(&mut self, slot: usize, number: u32, to: SocketAddr) {
        // Those of which one packet in so many is read are not all read at the same time.
        let sequence = number % u32::from(READ_OF);
        self.slots[slot % SLOTS].streams.push(Stream { number, sequence, to, begun: false });
    }

    /// Puts all streams on the wire, from this place on; gives the next one.
    fn put(&mut self, wire: &mut Wire, mut place: u32) -> anyhow::Result<u32> {
        for slot in &mut self.slots {
            slot.first = place;
            for stream in &mut slot.streams {
                let (SocketAddr::V4(from), SocketAddr::V4(to)) = (self.port.address, stream.to) else {
                    anyhow::bail!("the wire is for IPv4");
                };
                let sequence = stream.sequence;
                wire.put(place, Way { from, to }, &stream.write(self.direction, 0), sequence)?;
                place += 1;
            }
        }
        Ok(place)
    }

    /// * `share` of the streams speak, 0..=1
    fn speak(&mut self, slot: usize, epoch: Instant, (wire, share): (Option<&Wire>, f64)) {
        let slot = &mut self.slots[slot];
        let speaking = (slot.streams.len() as f64 * share).ceil() as usize;
        self.sent += speaking as u64;
        if let Some(wire) = wire {
            for begin in (0..speaking).step_by(TOGETHER_MAX) {
                let count = TOGETHER_MAX.min(speaking - begin);
                self.port.lost += wire.send(slot.first + begin as u32, count);
            }
            return;
        }
        for stream in &mut slot.streams {
            let written = stream.write(self.direction, epoch.elapsed().as_nanos() as u64);
            self.port.send(stream.to, |to| {
                to.put_slice(&written);
                to.put_bytes(0xff, PACKET_BYTES - WRITTEN_BYTES);
            });
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
    /// Since when all speak, and how many packets had been sent then.
    all: Option<(Instant, u64)>,
    heard: Instant,
    figures: SoundFigures,
    delays: Vec<u64>,
    /// Packets go out past our own network stack, and most that come in are counted and not read.
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
            all: None,
            heard: now,
            figures: SoundFigures::default(),
            delays: vec![0; DELAY_US_MAX + 1],
            wire: None,
        })
    }

    /// The same for more than sockets can carry: past them, and only some of what comes in is read.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn through(mut self, on: &OnWire) -> anyhow::Result<Self> {
        // What callers say comes to the callees' port.
        let ports = (self.callee_port(), self.caller_port());
        self.wire = Some(Wire::open(on, ports, READ_OF - 1, PACKET_BYTES, self.epoch)?);
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
            self.caller.add(number as usize, number, to);
        }
    }

    /// A callee has learnt where to send to.
    pub fn callee_speaks(&mut self, number: u32, to: Option<SocketAddr>) {
        if let Some(to) = to {
            self.callee.add(number as usize + SLOTS / 2, number, to);
        }
    }

    /// All speak from now on.
    ///
    /// # Errors
    /// When they cannot be put on the wire.
    pub fn begin(&mut self, now: Instant) -> anyhow::Result<()> {
        if let Some(wire) = &mut self.wire {
            let place = self.caller.put(wire, 0)?;
            self.callee.put(wire, place)?;
        }
        self.next = Some(now);
        self.begun = now;
        Ok(())
    }

    /// All are silent from now on; what is under way may still arrive.
    pub fn end(&mut self, now: Instant) {
        self.next = None;
        self.figures.seconds = now.duration_since(self.begun).as_secs_f64();
        let (since, before) = self.all.unwrap_or((self.begun, 0));
        let seconds = now.duration_since(since).as_secs_f64();
        self.figures.rate = (self.caller.sent + self.callee.sent - before) as f64 / seconds.max(0.001);
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
            let wire = self.wire.as_ref();
            let passed = now.saturating_duration_since(self.begun).as_secs_f64();
            let share = if wire.is_some() { (passed / BEGINNING.as_secs_f64()).min(1.0) } else { 1.0 };
            if share >= 1.0 && self.all.is_none() {
                self.all = Some((now, self.caller.sent + self.callee.sent));
            }
            self.caller.speak(self.slot, self.epoch, (wire, share));
            self.callee.speak(self.slot, self.epoch, (wire, share));
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
                    let us = at.saturating_sub(sent) / 1000;
                    delays[(us as usize).min(DELAY_US_MAX)] += 1;
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
            let us = self.delays.iter().position(|count| {
                counted += count;
                counted > wanted
            });
            us.unwrap_or(0) as u64
        };
        let (p50, p99) = (share(0.5), share(0.99));
        self.figures.delay_p50_us = p50;
        self.figures.delay_p99_us = p99;
        self.figures.sent = self.caller.sent + self.callee.sent;
        let dropped = runtime::udp::receive_drops(&self.caller.port.socket)
            + runtime::udp::receive_drops(&self.callee.port.socket);
        let unsent = self.caller.port.lost + self.callee.port.lost;
        self.figures.own_drops = dropped + unsent;
        if let Some(Ok((here, elsewhere))) = self.wire.as_ref().map(Wire::counted) {
            self.figures.arrived += here;
            self.figures.foreign += elsewhere;
        }
        self.figures
    }
}
