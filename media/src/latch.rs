//! Symmetric RTP: finding out where the far end really is, and staying there.
//!
//! The first valid packet latches. From then on other addresses are refused, except that
//! * a packet from the very address the SDP named, failing that from its host, failing that from the host its signalling
//!   comes from (a phone behind a NAT names an address that nobody can reach), at once displaces one that agrees less, and
//! * after [`Config::relatch_after`] of silence a newcomer may take over once it has sent a few packets in
//!   sequence ([`Config::relatch_after_same_ssrc`] when it goes on with the old SSRC and sequence). Once a source has
//!   spoken for a second that is left to those on its host and to those who know its SSRC: whoever else finds the port of
//!   someone who is silent is neither heard nor sent what the other side says. Far ends that move without a word get
//!   their new address believed by a new description.

use crate::Config;
use crate::rtp::stats::Reception;
use sansio::Instant;
use std::net::{IpAddr, SocketAddr};

/// Packets in sequence before a newcomer takes over from a silent source.
pub(crate) const PROBATION_PACKETS: u8 = 3;

/// Packets of a source after which its place is locked: a second of sound. Not sooner, so that one stray packet before
/// the first of the far end cannot keep it out.
const LOCKED_AFTER_PACKETS: u64 = 50;

/// Where one socket's far end is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latch {
    pub(crate) address: Option<SocketAddr>,
    pub(crate) last_at: Instant,
    /// The edge has been told; its socket may be connected.
    pub(crate) announced: bool,
    /// Packets of the stream that had come when it was latched.
    received_before: u64,
    candidate: Option<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    address: SocketAddr,
    ssrc: u32,
    next_sequence: u16,
    packets: u8,
}

/// What becomes of a packet by its source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    /// It is the far end.
    Known,
    /// It is the far end, and that is news.
    Latched { first: bool },
    /// It is not.
    Refused,
}

impl Latch {
    /// Judges a valid RTP packet's source.
    ///
    /// * `proven` the packet was protected under the stream's key: whoever has sent it is the far end
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "the hot path's facts, each of its own kind")]
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        source: SocketAddr,
        (ssrc, sequence): (u32, u16),
        signalled: Signalled,
        reception: &Reception,
        proven: bool,
        config: &Config,
    ) -> Admission {
        if self.address == Some(source) {
            self.last_at = now;
            if self.announced {
                return Admission::Known;
            }
            // It has only been silent.
            return self.take(now, source, self.received_before);
        }
        self.admit_other(now, source, (ssrc, sequence), signalled, reception, proven, config)
    }

    #[cold]
    #[expect(clippy::too_many_arguments, reason = "as above")]
    fn admit_other(
        &mut self,
        now: Instant,
        source: SocketAddr,
        (ssrc, sequence): (u32, u16),
        signalled: Signalled,
        reception: &Reception,
        proven: bool,
        config: &Config,
    ) -> Admission {
        let received = reception.received;
        let Some(current) = self.address else { return self.take(now, source, received) };
        if signalled.rank(source) > signalled.rank(current) {
            return self.take(now, source, received);
        }
        let locked = received - self.received_before >= LOCKED_AFTER_PACKETS;
        if locked && !proven && source.ip() != current.ip() && ssrc != reception.ssrc {
            return Admission::Refused;
        }
        let continues =
            ssrc == reception.ssrc && (1..100).contains(&sequence.wrapping_sub(reception.sequence_max));
        let known_candidate = self.candidate.is_some_and(|c| c.address == source && c.ssrc == ssrc);
        let patience = if continues { config.relatch_after_same_ssrc } else { config.relatch_after };
        if now.since(self.last_at) < patience {
            self.candidate = None;
            return Admission::Refused;
        }
        let packets = match self.candidate {
            Some(candidate) if known_candidate && candidate.next_sequence == sequence => {
                candidate.packets + 1
            }
            _ => 1,
        };
        if packets >= PROBATION_PACKETS {
            return self.take(now, source, received);
        }
        let next_sequence = sequence.wrapping_add(1);
        self.candidate = Some(Candidate { address: source, ssrc, next_sequence, packets });
        Admission::Refused
    }

    /// Judges a valid RTCP packet's source: it must be on the host the stream's RTP comes from (or should come
    /// from, while there is none).
    pub(crate) fn admit_rtcp(
        &mut self,
        now: Instant,
        source: SocketAddr,
        host: SocketAddr,
        config: &Config,
    ) -> Admission {
        if source.ip() != host.ip() {
            return Admission::Refused;
        }
        match self.address {
            Some(current) if current == source => {
                self.last_at = now;
                if self.announced { Admission::Known } else { self.take(now, source, 0) }
            }
            Some(current) if current.ip() == host.ip() && now.since(self.last_at) < config.relatch_after => {
                Admission::Refused
            }
            _ => self.take(now, source, 0),
        }
    }

    /// True when the source has been silent so long that the edge must let others be heard again.
    pub(crate) fn lapses(&mut self, now: Instant, config: &Config) -> bool {
        let lapses = self.announced && now.since(self.last_at) >= config.relatch_after;
        if lapses {
            self.announced = false;
        }
        lapses
    }

    fn take(&mut self, now: Instant, source: SocketAddr, received_before: u64) -> Admission {
        let first = self.address.is_none();
        *self =
            Latch { address: Some(source), last_at: now, announced: true, received_before, candidate: None };
        Admission::Latched { first }
    }
}

/// What signalling says about where a far end is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signalled {
    /// The address in its description.
    pub(crate) rtp: SocketAddr,
    /// The host its messages come from.
    pub(crate) signaller: Option<IpAddr>,
}

impl Signalled {
    /// How well an address agrees with it.
    fn rank(self, address: SocketAddr) -> u8 {
        if address == self.rtp {
            3
        } else if address.ip() == self.rtp.ip() {
            2
        } else {
            u8::from(self.signaller == Some(address.ip()))
        }
    }
}
