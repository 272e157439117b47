//! Symmetric RTP: finding out where the far end really is, and staying there.
//!
//! The first valid packet latches. From then on other addresses are refused, except that
//! * a packet from the very address the SDP named, or failing that from its host, at once displaces an address
//!   the SDP did not name, and
//! * after [`Config::relatch_after`] of silence a newcomer may take over once it has sent a few packets in
//!   sequence ([`Config::relatch_after_same_ssrc`] when it goes on with the old SSRC and sequence).

use crate::Config;
use crate::rtp::stats::Reception;
use sansio::Instant;
use std::net::SocketAddr;

/// Packets in sequence before a newcomer takes over from a silent source.
pub(crate) const PROBATION_PACKETS: u8 = 3;

/// Where one socket's far end is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latch {
    pub(crate) address: Option<SocketAddr>,
    pub(crate) last_at: Instant,
    /// The edge has been told; its socket may be connected.
    pub(crate) announced: bool,
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
    #[inline]
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        source: SocketAddr,
        (ssrc, sequence): (u32, u16),
        signalled: SocketAddr,
        reception: &Reception,
        config: &Config,
    ) -> Admission {
        if self.address == Some(source) {
            self.last_at = now;
            if self.announced {
                return Admission::Known;
            }
            return self.take(now, source);
        }
        self.admit_other(now, source, (ssrc, sequence), signalled, reception, config)
    }

    #[cold]
    fn admit_other(
        &mut self,
        now: Instant,
        source: SocketAddr,
        (ssrc, sequence): (u32, u16),
        signalled: SocketAddr,
        reception: &Reception,
        config: &Config,
    ) -> Admission {
        let Some(current) = self.address else { return self.take(now, source) };
        if rank(source, signalled) > rank(current, signalled) {
            return self.take(now, source);
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
            return self.take(now, source);
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
                if self.announced { Admission::Known } else { self.take(now, source) }
            }
            Some(current) if current.ip() == host.ip() && now.since(self.last_at) < config.relatch_after => {
                Admission::Refused
            }
            _ => self.take(now, source),
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

    fn take(&mut self, now: Instant, source: SocketAddr) -> Admission {
        let first = self.address.is_none();
        *self = Latch { address: Some(source), last_at: now, announced: true, candidate: None };
        Admission::Latched { first }
    }
}

/// How well an address agrees with the SDP.
fn rank(address: SocketAddr, signalled: SocketAddr) -> u8 {
    if address == signalled {
        2
    } else if address.ip() == signalled.ip() {
        1
    } else {
        0
    }
}
