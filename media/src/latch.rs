//! Symmetric RTP: finding out where the far end really is, and staying there.
//!
//! The first valid packet latches. From then on other addresses are refused, except that
//! * a packet from the very address the SDP named, failing that from its host, failing that from the host its signalling
//!   comes from (a phone behind a NAT names an address that nobody can reach), at once displaces one that agrees less, and
//! * after [`Config::relatch_after`] of silence a newcomer may take over once it has sent a few packets in
//!   sequence ([`Config::relatch_after_same_ssrc`] when it goes on with the old SSRC and sequence). Once a source has
//!   spoken for a second that is left to those on its host and to those who know its SSRC: whoever else finds the port of
//!   someone who is silent is neither heard nor sent what the other side says.
//! * Who begins anew on another host, without a word in signalling, has *moved* (RFC 7362 §4 leaves it to us when to
//!   believe that) when the far end sends neither sound nor reports for [`MOVED_AFTER`] (longer where there is more reason
//!   to believe that it only pauses) and the newcomer has spoken alone, and at the pace of speech, for the last
//!   [`MOVED_SPEECH`]. Who was taken for gone and is heard again has its place back at once, and from then on nobody is
//!   believed to have moved until there is a new description.

use crate::Config;
use crate::rtp::Header;
use crate::rtp::stats::Reception;
use sansio::{Duration, Instant};
use std::net::{IpAddr, SocketAddr};

/// How long a far end has to be silent before someone on another host may be what has become of it.
const MOVED_AFTER: Duration = Duration::from_secs(10);
/// The same where its description names the very address from which it has spoken.
const MOVED_AFTER_NAMED: Duration = Duration::from_secs(15);
/// The same where it has paused before: it sends nothing while nobody speaks.
const MOVED_AFTER_PAUSING: Duration = Duration::from_secs(30);
/// For how long, and with how many packets, one who has moved has to have spoken.
const MOVED_SPEECH: Duration = Duration::from_secs(2);
const MOVED_PACKETS: u16 = 40;
/// Packets that it may lose between two that came.
const MOVED_LOSS_MAX: u16 = 10;
/// By how much sound may be ahead of or behind the time in which it came.
const MOVED_OFF_PACE_MS_MAX: u64 = 500;
/// A far end that sends nothing for so long and then goes on pauses.
const PAUSE_MIN: Duration = Duration::from_millis(1500);

/// Packets in sequence before a newcomer takes over from a silent source.
const PROBATION_PACKETS: u16 = 3;

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
    /// Its newest report, which says that it is there though it may be silent.
    reported_at: Option<Instant>,
    /// It has paused before.
    pauses: bool,
    /// Who had the place and is believed to have moved here, and its SSRC.
    former: Option<(SocketAddr, u32)>,
    /// One who was believed to have moved was a stranger.
    deceived: bool,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    address: SocketAddr,
    ssrc: u32,
    next_sequence: u16,
    packets: u16,
    /// When its first packet came, with what timestamp, and the timestamp of its newest.
    since: Instant,
    timestamps: [u32; 2],
}

impl Candidate {
    fn new(now: Instant, address: SocketAddr, header: &Header) -> Self {
        Candidate {
            address,
            ssrc: header.ssrc,
            next_sequence: header.sequence.wrapping_add(1),
            packets: 1,
            since: now,
            timestamps: [header.timestamp; 2],
        }
    }

    /// The packet goes on where its last one ended, give or take so many that are lost.
    fn goes_on(&self, address: SocketAddr, header: &Header, lost_max: u16) -> bool {
        let lost = header.sequence.wrapping_sub(self.next_sequence);
        self.address == address && self.ssrc == header.ssrc && lost <= lost_max
    }

    fn count(&mut self, header: &Header) {
        self.packets = self.packets.saturating_add(1);
        self.next_sequence = header.sequence.wrapping_add(1);
        self.timestamps[1] = header.timestamp;
    }

    /// What it has said is as long as the time in which it came.
    ///
    /// * `ticks` how much faster than 8,000 Hz its clock runs
    fn keeps_pace(&self, now: Instant, ticks: u32) -> bool {
        let [first, last] = self.timestamps;
        let said_ms = u64::from(last.wrapping_sub(first) / (8 * ticks.max(1)));
        said_ms.abs_diff(now.since(self.since).as_millis() as u64) <= MOVED_OFF_PACE_MS_MAX
    }
}

/// What is known about a stream whose packet is judged.
pub(crate) struct Known<'a> {
    pub(crate) signalled: Signalled,
    pub(crate) reception: &'a Reception,
    /// The packet was protected under the stream's key: whoever has sent it is the far end.
    pub(crate) proven: bool,
    /// The far end is to send; else it holds, and is silent for that reason.
    pub(crate) sends: bool,
    /// How much faster than 8,000 Hz the clock of its sound runs.
    pub(crate) ticks: u32,
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
        header: &Header,
        known: &Known<'_>,
        config: &Config,
    ) -> Admission {
        if self.address == Some(source) {
            self.heard(now);
            if self.announced {
                return Admission::Known;
            }
            // It has only been silent.
            self.announced = true;
            self.candidate = None;
            return Admission::Latched { first: false };
        }
        self.admit_other(now, source, header, known, config)
    }

    /// The far end has sent something.
    #[inline]
    fn heard(&mut self, at: Instant) {
        self.pauses |= at.since(self.last_at) >= PAUSE_MIN;
        self.last_at = at;
    }

    /// The far end says that it pauses (RFC 3389).
    pub(crate) fn heard_noise(&mut self) {
        self.pauses = true;
    }

    /// The far end has sent a report.
    pub(crate) fn reported(&mut self, now: Instant) {
        self.reported_at = Some(now);
    }

    #[cold]
    fn admit_other(
        &mut self,
        now: Instant,
        source: SocketAddr,
        header: &Header,
        known: &Known<'_>,
        config: &Config,
    ) -> Admission {
        let (signalled, reception, ssrc) = (known.signalled, known.reception, header.ssrc);
        let received = reception.received;
        let Some(current) = self.address else { return self.take(now, source, received) };
        let agrees_better = signalled.rank(source) > signalled.rank(current);
        if let Some((former, former_ssrc)) = self.former
            && former == source
            && (former_ssrc == ssrc || agrees_better)
        {
            self.deceived = true;
            return self.take(now, source, received);
        }
        if agrees_better {
            return self.take(now, source, received);
        }
        let locked = received - self.received_before >= LOCKED_AFTER_PACKETS;
        if locked && !known.proven && source.ip() != current.ip() && ssrc != reception.ssrc {
            return self.admit_moved(now, (source, current), header, known);
        }
        let continues = ssrc == reception.ssrc
            && (1..100).contains(&header.sequence.wrapping_sub(reception.sequence_max));
        let patience = if continues { config.relatch_after_same_ssrc } else { config.relatch_after };
        if now.since(self.last_at) < patience {
            self.candidate = None;
            return Admission::Refused;
        }
        let candidate = self
            .candidate
            .get_or_insert_with(|| Candidate { packets: 0, ..Candidate::new(now, source, header) });
        match candidate.packets > 0 && candidate.goes_on(source, header, 0) {
            true => candidate.count(header),
            false => *candidate = Candidate::new(now, source, header),
        }
        if candidate.packets >= PROBATION_PACKETS {
            return self.take(now, source, received);
        }
        Admission::Refused
    }

    /// Judges someone on another host who begins anew.
    fn admit_moved(
        &mut self,
        now: Instant,
        (source, current): (SocketAddr, SocketAddr),
        header: &Header,
        known: &Known<'_>,
    ) -> Admission {
        let patience = match known.signalled.rank(current) {
            _ if self.pauses => MOVED_AFTER_PAUSING,
            RANK_NAMED => MOVED_AFTER_NAMED,
            _ => MOVED_AFTER,
        };
        let there_at = self.last_at.max(self.reported_at.unwrap_or(self.last_at));
        if self.deceived || !known.sends || now.since(there_at) < patience {
            return Admission::Refused;
        }
        // Another one's packet in between: nobody can tell which of the two it is.
        let Some(candidate) =
            self.candidate.as_mut().filter(|one| one.goes_on(source, header, MOVED_LOSS_MAX))
        else {
            self.candidate = Some(Candidate::new(now, source, header));
            return Admission::Refused;
        };
        candidate.count(header);
        if candidate.packets < MOVED_PACKETS || now.since(candidate.since) < MOVED_SPEECH {
            return Admission::Refused;
        }
        if !candidate.keeps_pace(now, known.ticks) {
            self.candidate = Some(Candidate::new(now, source, header));
            return Admission::Refused;
        }
        let admission = self.take(now, source, known.reception.received);
        self.former = Some((current, known.reception.ssrc));
        admission
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
        let deceived = self.deceived;
        *self = Latch {
            address: Some(source),
            last_at: now,
            announced: true,
            received_before,
            deceived,
            ..Latch::default()
        };
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
            RANK_NAMED
        } else if address.ip() == self.rtp.ip() {
            2
        } else {
            u8::from(self.signaller == Some(address.ip()))
        }
    }
}

/// How well the very address in a description agrees with it.
const RANK_NAMED: u8 = 3;
