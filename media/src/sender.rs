//! What one stream sends: one SSRC, sequence and timestamp line towards the far end, whoever speaks into it.

use crate::rtp::{self, Header, stats::Step};
use sansio::{Instant, Rng};

/// Samples of 20 ms, the packet length assumed until one was sent.
const FRAME: u32 = 160;
/// A timestamp that goes back more than this (1 s) or ahead more than [`LEAP_AHEAD_MAX`] while the sequence goes
/// on is a restart of the source's clock.
const LEAP_BACK_MAX: i32 = 8_000;
/// 30 s.
const LEAP_AHEAD_MAX: i32 = 240_000;

/// The outgoing half of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) ssrc: u32,
    /// Of the newest packet sent.
    sequence: u16,
    /// Of the newest packet sent.
    pub(crate) timestamp: u32,
    /// Samples in the newest packet.
    samples: u32,
    last_at: Instant,
    started: bool,
    /// Who speaks; `None` forces the next packet to be joined on anew.
    source: Option<Source>,
    pub(crate) sequence_delta: u16,
    pub(crate) timestamp_delta: u32,
    /// The source's first sequence number since it was switched in.
    base_sequence: u16,
    pub(crate) packets: u64,
    /// Bytes of their payloads.
    pub(crate) octets: u64,
    /// Ticks of the RTP clock in one of our samples.
    pub(crate) ticks: u32,
    /// When the relay last sent, for tones that ride on its packets.
    pub(crate) relayed_at: Option<Instant>,
}

/// Who speaks into a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// Another stream (its key's bits) with this SSRC.
    Stream(u64, u32),
    /// The plane's own player or tone.
    Own,
}

impl Sender {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Sender {
            ssrc: rng.next_u32(),
            sequence: rng.next_u32() as u16,
            timestamp: rng.next_u32(),
            samples: FRAME,
            last_at: Instant::ZERO,
            started: false,
            source: None,
            sequence_delta: 0,
            timestamp_delta: 0,
            base_sequence: 0,
            packets: 0,
            octets: 0,
            ticks: 1,
            relayed_at: None,
        }
    }

    /// Before the first packet: numbers begin in the lower half, so that losses at the start cannot make the far end
    /// believe that they have gone round already (RFC 3711 §3.3.1).
    pub(crate) fn begin_low(&mut self) {
        if !self.started {
            self.sequence &= 0x7FFF;
        }
    }

    /// The RTP clock runs so much faster than 8,000 Hz. What comes next joins on by the clock.
    pub(crate) fn ticks_by(&mut self, ticks: u32) {
        if ticks != self.ticks {
            self.ticks = ticks;
            self.samples = FRAME * ticks;
            self.source = None;
        }
    }

    /// When anything was sent last.
    pub(crate) fn last_at(&self) -> Option<Instant> {
        self.started.then_some(self.last_at)
    }

    /// True when what the source sends has been joined on already.
    pub(crate) fn speaks(&self, source: Source) -> bool {
        self.source == Some(source)
    }

    /// The ground has sent packets of a source by itself; `last` is the newest one's sequence number, timestamp,
    /// samples and time. When another source has taken its place meanwhile, these numbers are used up all the same: that
    /// one joins on behind them.
    pub(crate) fn relayed_elsewhere(
        &mut self,
        source: Source,
        (sequence, timestamp, samples, at): (u16, u32, u32, Instant),
        packets: u64,
        octets: u64,
    ) {
        self.packets += packets;
        self.octets += octets;
        if (sequence.wrapping_sub(self.sequence) as i16) > 0 {
            self.source = self.source.filter(|speaking| *speaking == source);
            (self.sequence, self.timestamp, self.samples) = (sequence, timestamp, samples);
            self.last_at = self.last_at.max(at);
            self.relayed_at = self.relayed_at.max(Some(at));
        }
    }

    /// Makes the next packet, whoever sends it, join on to what was sent before.
    pub(crate) fn forget_source(&mut self) {
        self.source = None;
    }

    /// Rewrites a packet that comes from another stream. False: it is older than the switch to its source.
    /// `changes` counts the switches that needed joining on.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "the hot path's facts, each of its own kind")]
    pub(crate) fn relay(
        &mut self,
        now: Instant,
        source: Source,
        step: Step,
        header: &Header,
        payload_type: u8,
        packet: &mut [u8],
        changes: &mut u64,
    ) -> bool {
        let mut marker = header.marker;
        if self.source != Some(source) || step == Step::Restart {
            *changes += u64::from(self.switch(now, source, header));
            marker = true;
        }
        let mut sequence = header.sequence.wrapping_add(self.sequence_delta);
        let mut timestamp = header.timestamp.wrapping_add(self.timestamp_delta);
        let ahead = timestamp.wrapping_sub(self.timestamp) as i32;
        if step == Step::Late {
            if (header.sequence.wrapping_sub(self.base_sequence) as i16) < 0 {
                return false;
            }
        } else {
            let ticks = self.ticks as i32;
            if !(-LEAP_BACK_MAX * ticks..=LEAP_AHEAD_MAX * ticks).contains(&ahead) {
                *changes += u64::from(self.switch(now, source, header));
                marker = true;
                sequence = header.sequence.wrapping_add(self.sequence_delta);
                timestamp = header.timestamp.wrapping_add(self.timestamp_delta);
            }
            self.sequence = sequence;
            self.timestamp = timestamp;
            self.samples = if ticks == 1 { header.payload().len() as u32 } else { FRAME * self.ticks };
            self.last_at = now;
            self.relayed_at = Some(now);
        }
        self.packets += 1;
        self.octets += header.payload().len() as u64;
        rtp::rewrite(packet, marker, payload_type, sequence, timestamp, self.ssrc);
        true
    }

    /// The header of the next packet of our own, `samples` long.
    pub(crate) fn own_header(
        &mut self,
        now: Instant,
        payload_type: u8,
        samples: u32,
        changes: &mut u64,
    ) -> [u8; rtp::HEADER_BYTES] {
        let switched = self.source != Some(Source::Own);
        if switched {
            self.timestamp = self.next_timestamp(now);
            *changes += u64::from(self.note_switch(Source::Own));
        } else {
            self.timestamp = self.timestamp.wrapping_add(self.samples);
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.samples = samples * self.ticks;
        self.last_at = now;
        self.packets += 1;
        self.octets += u64::from(samples);
        rtp::header(switched, payload_type, self.sequence, self.timestamp, self.ssrc)
    }

    /// The header of the next packet of an event that has lasted for so many samples: all of its packets have the
    /// timestamp of its beginning (RFC 4733 §2.5.1.2).
    pub(crate) fn event_header(
        &mut self,
        now: Instant,
        payload_type: u8,
        first: bool,
        samples: u32,
        changes: &mut u64,
    ) -> [u8; rtp::HEADER_BYTES] {
        if first {
            let switched = self.source != Some(Source::Own);
            let step =
                if switched { self.next_timestamp(now).wrapping_sub(self.timestamp) } else { self.samples };
            self.timestamp = self.timestamp.wrapping_add(step);
            if switched {
                *changes += u64::from(self.note_switch(Source::Own));
            }
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.samples = samples * self.ticks;
        self.last_at = now;
        self.packets += 1;
        self.octets += 4;
        let header = rtp::header(first, payload_type, self.sequence, self.timestamp, self.ssrc);
        // What comes next, ours or another's, joins on behind it by the clock.
        self.source = None;
        header
    }

    #[cold]
    fn switch(&mut self, now: Instant, source: Source, header: &Header) -> bool {
        self.sequence_delta = self.sequence.wrapping_add(1).wrapping_sub(header.sequence);
        self.timestamp_delta = self.next_timestamp(now).wrapping_sub(header.timestamp);
        self.base_sequence = header.sequence;
        self.note_switch(source)
    }

    /// Time went on while nobody spoke: the timestamp moves by it, and never by less than the last packet's span.
    fn next_timestamp(&self, now: Instant) -> u32 {
        if !self.started {
            return self.timestamp;
        }
        let elapsed = ((now.since(self.last_at).as_nanos() / 125_000) as u32).wrapping_mul(self.ticks);
        self.timestamp.wrapping_add(elapsed.max(self.samples.max(1)))
    }

    /// True unless this is the very first source.
    fn note_switch(&mut self, source: Source) -> bool {
        self.source = Some(source);
        std::mem::replace(&mut self.started, true)
    }
}
