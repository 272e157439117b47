//! How one far end is heard and hears: what RTCP and our own counting say, and whether any sound comes at all.

use crate::rtp::e_model;
use crate::rtp::report::{self, Block, Heard, SenderInfo};
use crate::rtp::stats::{Reception, Step};
use crate::sender::Sender;
use crate::{AudioState, Codec, Coded, Config, StreamQuality};
use sansio::{Duration, Instant, Rng};

/// Round trips longer than this are a broken clock.
const RTT_MS_MAX: f32 = 10_000.0;
/// While reports of the peer's came in the last while, ours would only contradict them.
const RELAYED_REPORTS_FRESH: Duration = Duration::from_secs(12);
/// Peak of a sample, 16 bits, below which a packet is silence: -50 dBm0.
pub(crate) const SOUND_PEAK_MIN: i16 = 72;
/// One in so many samples is looked at for sound. It shares no factor with 8,000 Hz nor with the length of a packet: of a
/// tone of 500 or 1,000 Hz one in eight is always the same, and may be the one that is zero.
const SOUND_STRIDE: usize = 7;
/// A side that should send and does not for so long has lost what it would have said.
const ABSENT_AFTER: Duration = Duration::from_secs(3);
/// Sound of a packet that did not come (RFC 3551 §4.2: the rule).
const ABSENT_PACKET_MS: u64 = 20;
/// Behind so long a gap a packet that begins a talk spurt ends a pause.
const PAUSE_MIN: Duration = Duration::from_millis(200);

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quality {
    /// Counts at the moment from which is measured.
    base: Counts,
    /// Since when bridged sound is watched; `None`: nobody is there to hear it.
    pub(crate) watched_since: Option<Instant>,
    pub(crate) last_sound_at: Option<Instant>,
    pub(crate) audio: AudioState,
    /// Packets that should have come while nothing did, beyond those that sequence numbers tell of.
    absent: u64,
    /// It says when it pauses, or begins again: that nothing comes is no loss.
    pauses: bool,
    jitter_sum_ms: f32,
    jitter_samples: u32,
    jitter_max_ms: f32,
    rtt_sum_ms: f32,
    rtt_samples: u32,
    /// The far end's newest word on our stream: lost (share), jitter (ms).
    remote: Option<(f32, f32)>,
    remote_loss_sum: f32,
    remote_reports: u32,
    /// The far end's newest sender report: its name, when it came.
    last_report: Option<(u32, Instant)>,
    /// Sender reports the far end got, ours or relayed: their names, when they left.
    sent: [(u32, Instant); 2],
    /// When a report of the peer's was last relayed to the far end.
    relayed_at: Option<Instant>,
    next_at: Option<Instant>,
    /// Expected and received when the last report was made.
    reported: (u64, u64),
    /// We have reported to the far end, so a BYE is due at the end.
    pub(crate) has_reported: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    received: u64,
    expected: u64,
    sent: u64,
}

impl Default for Quality {
    fn default() -> Self {
        Quality {
            base: Counts::default(),
            watched_since: None,
            last_sound_at: None,
            audio: AudioState::Flowing,
            absent: 0,
            pauses: false,
            jitter_sum_ms: 0.0,
            jitter_samples: 0,
            jitter_max_ms: 0.0,
            rtt_sum_ms: 0.0,
            rtt_samples: 0,
            remote: None,
            remote_loss_sum: 0.0,
            remote_reports: 0,
            last_report: None,
            sent: [(0, Instant::ZERO); 2],
            relayed_at: None,
            next_at: None,
            reported: (0, 0),
            has_reported: false,
        }
    }
}

impl Quality {
    /// Measures anew from here: a nailed-up stream begins another call.
    pub(crate) fn restart(&mut self, reception: &Reception, sender: &Sender) {
        let (received, expected) = (reception.received, reception.expected());
        let Quality { last_report, sent, relayed_at, next_at, reported, has_reported, pauses, .. } = *self;
        *self = Quality {
            base: Counts { received, expected, sent: sender.packets },
            last_report,
            sent,
            relayed_at,
            next_at,
            reported,
            has_reported,
            pauses,
            ..Quality::default()
        };
    }

    /// Looks at a packet's sound, roughly.
    #[inline]
    pub(crate) fn hear(&mut self, now: Instant, table: &[i16; 256], payload: &[u8]) {
        let peak =
            payload.iter().step_by(SOUND_STRIDE).map(|&byte| table[usize::from(byte)].saturating_abs());
        if peak.max().is_some_and(|peak| peak >= SOUND_PEAK_MIN) {
            self.last_sound_at = Some(now);
        }
    }

    /// A packet has come.
    ///
    /// * `before` when the last one did
    #[inline]
    pub(crate) fn goes_on(&mut self, now: Instant, before: Option<Instant>, step: Step, marker: bool) {
        let gap = before.map(|before| now.since(before));
        if gap.is_none_or(|gap| gap >= PAUSE_MIN) {
            self.ends_gap(now, before, step, marker);
        }
    }

    #[cold]
    fn ends_gap(&mut self, now: Instant, before: Option<Instant>, step: Step, marker: bool) {
        match step {
            // RFC 3551 §4.1: the first packet behind a pause is marked.
            Step::Forward => self.pauses |= marker,
            // The numbers of a new beginning say nothing about what was lost before it.
            Step::Restart => self.note_absence(now, before),
            Step::Late => {}
        }
    }

    /// The far end says that it pauses (RFC 3389).
    pub(crate) fn heard_noise(&mut self) {
        self.pauses = true;
    }

    /// What has not come until now is lost, whatever comes next.
    pub(crate) fn note_absence(&mut self, now: Instant, last_packet_at: Option<Instant>) {
        self.absent += self.absent_since(now, last_packet_at);
    }

    /// Nothing came for [`ABSENT_AFTER`] or more while it should have.
    pub(crate) fn has_missed(&self) -> bool {
        self.absent > 0
    }

    /// Packets that should have come since the last one.
    fn absent_since(&self, now: Instant, last_packet_at: Option<Instant>) -> u64 {
        let Some(since) = self.watched_since.filter(|_| !self.pauses) else { return 0 };
        let absent = now.since(last_packet_at.map_or(since, |last| last.max(since)));
        if absent < ABSENT_AFTER { 0 } else { absent.as_millis() as u64 / ABSENT_PACKET_MS }
    }

    /// Takes in a compound packet of the far end, before it is edited.
    /// `ticks`: how much faster than 8,000 Hz the clock of what we send runs.
    pub(crate) fn reported(&mut self, now: Instant, heard: &Heard, ticks: u32) {
        if let Some(name) = heard.sender_report {
            self.last_report = Some((name, now));
        }
        let Some(block) = heard.block else { return };
        let (loss, jitter_ms) =
            (f32::from(block.fraction_lost) / 256.0, block.jitter as f32 / 8.0 / ticks as f32);
        self.remote = Some((loss, jitter_ms));
        self.remote_loss_sum += loss;
        self.remote_reports += 1;
        let known = self.sent.iter().find(|(name, _)| *name == block.last_report && *name != 0);
        if let Some((_, left)) = known {
            let elapsed_ms = now.since(*left).as_secs_f64() * 1000.0;
            let rtt_ms = (elapsed_ms - f64::from(block.delay) / 65.536) as f32;
            // The far end's clock may run a little faster than ours.
            if (-1.0..=RTT_MS_MAX).contains(&rtt_ms) {
                self.rtt_sum_ms += rtt_ms.max(0.0);
                self.rtt_samples += 1;
            }
        }
    }

    /// A report of the peer's goes to the far end; it may be a sender report of that name.
    pub(crate) fn relayed(&mut self, now: Instant, sender_report: Option<u32>) {
        self.relayed_at = Some(now);
        if let Some(name) = sender_report {
            self.sent = [self.sent[1], (name, now)];
        }
    }

    /// Once a second.
    pub(crate) fn sample(&mut self, reception: &Reception) {
        if reception.started {
            let jitter_ms = reception.jitter_ms();
            self.jitter_sum_ms += jitter_ms;
            self.jitter_samples += 1;
            self.jitter_max_ms = self.jitter_max_ms.max(jitter_ms);
        }
    }

    /// Whether a report of our own is due; the next one is RFC 3550 §6.2's half to one and a half intervals away.
    pub(crate) fn report_is_due(&mut self, now: Instant, interval: Duration, rng: &mut Rng) -> bool {
        if interval.is_zero() {
            return false;
        }
        let due = self.next_at.is_some_and(|at| at <= now);
        if due || self.next_at.is_none() {
            let wait_ms = interval.as_millis() as f64 * rng.between(0.5, 1.5);
            self.next_at = Some(now + Duration::from_millis(wait_ms as u64));
        }
        due && self.relayed_at.is_none_or(|at| now.since(at) >= RELAYED_REPORTS_FRESH)
    }

    /// What our report says now.
    pub(crate) fn report(
        &mut self,
        now: Instant,
        reception: &Reception,
        sender: &Sender,
    ) -> (Option<SenderInfo>, Option<Block>) {
        let info = sender.last_at().map(|last_at| {
            self.sent = [self.sent[1], (report::ntp_middle(now), now)];
            let since = ((now.since(last_at).as_nanos() / 125_000) as u32).wrapping_mul(sender.ticks);
            SenderInfo {
                timestamp: sender.timestamp.wrapping_add(since),
                packets: sender.packets as u32,
                octets: sender.octets as u32,
            }
        });
        let block = reception.started.then(|| self.block(now, reception));
        self.has_reported = true;
        (info, block)
    }

    fn block(&mut self, now: Instant, reception: &Reception) -> Block {
        let (expected, received) = (reception.expected(), reception.received);
        let (expected_before, received_before) = std::mem::replace(&mut self.reported, (expected, received));
        let expected_since = expected.saturating_sub(expected_before);
        let lost_since = expected_since.saturating_sub(received - received_before);
        let fraction = (lost_since * 256).checked_div(expected_since).unwrap_or(0);
        let (last_report, delay) = self.last_report.map_or((0, 0), |(name, at)| {
            let delay = now.since(at).as_nanos() * 65_536 / 1_000_000_000;
            (name, u32::try_from(delay).unwrap_or(u32::MAX))
        });
        Block {
            ssrc: reception.ssrc,
            fraction_lost: fraction.min(255) as u8,
            lost: reception.lost().clamp(-0x80_0000, 0x7F_FFFF) as i32,
            highest: reception.highest(),
            jitter: reception.jitter_units(),
            last_report,
            delay,
        }
    }

    /// What has changed about the sound that should come, if anything.
    pub(crate) fn watch(
        &mut self,
        now: Instant,
        last_packet_at: Option<Instant>,
        config: &Config,
    ) -> Option<AudioState> {
        let since = self.watched_since?;
        let quiet_for = |last: Option<Instant>| now.since(last.map_or(since, |last| last.max(since)));
        let limit_passed = |limit: Duration, last| !limit.is_zero() && quiet_for(last) >= limit;
        let state = if limit_passed(config.no_packets_after, last_packet_at) {
            AudioState::NoPackets
        } else if limit_passed(config.no_sound_after, self.last_sound_at) {
            AudioState::NoSound
        } else {
            AudioState::Flowing
        };
        (std::mem::replace(&mut self.audio, state) != state).then_some(state)
    }

    /// The whole of it.
    pub(crate) fn sum(
        &self,
        now: Instant,
        last_packet_at: Option<Instant>,
        (codec, coded): (Codec, Option<Coded>),
        reception: &Reception,
        sender: &Sender,
    ) -> StreamQuality {
        let received = reception.received - self.base.received;
        let absent = self.absent + self.absent_since(now, last_packet_at);
        let expected = reception.expected() - self.base.expected + absent;
        let lost = expected as i64 - received as i64;
        let loss = if expected == 0 { 0.0 } else { lost.max(0) as f32 / expected as f32 };
        let mean = |sum: f32, count: u32| (count > 0).then(|| sum / count as f32);
        // A call too short for a sample has the running value.
        let jitter_ms = mean(self.jitter_sum_ms, self.jitter_samples).unwrap_or(reception.jitter_ms());
        let rtt_ms = mean(self.rtt_sum_ms, self.rtt_samples);
        let remote_loss = mean(self.remote_loss_sum, self.remote_reports);
        let remote_jitter_ms = self.remote.map(|(_, jitter_ms)| jitter_ms);
        StreamQuality {
            codec,
            coded,
            received,
            lost,
            sent: sender.packets - self.base.sent,
            loss,
            jitter_ms,
            jitter_max_ms: self.jitter_max_ms.max(jitter_ms),
            rtt_ms,
            remote_loss,
            remote_jitter_ms,
            mos: (expected > 0).then(|| e_model::mos(codec, loss, jitter_ms, rtt_ms)),
            remote_mos: remote_loss
                .map(|loss| e_model::mos(codec, loss, remote_jitter_ms.unwrap_or(0.0), rtt_ms)),
            audio: self.audio,
        }
    }
}
