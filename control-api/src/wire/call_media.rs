//! How a call sounded, and what machine detection said, on the wire.

use super::{Classification, Party};
use dialer_core::outcome::AmdVerdict;
use dialer_core::record::{AmdDetail, LegMedia as CoreLegMedia};
use serde::Serialize;
use utoipa::ToSchema;

/// How one leg of a call sounded.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LegMedia {
    /// Whose leg.
    pub party: Party,
    /// What was spoken.
    #[schema(example = "PCMA")]
    pub codec: String,
    /// RTP packets that came from it.
    pub packets_received: u64,
    /// Expected minus received; negative when packets were duplicated.
    pub packets_lost: i64,
    /// RTP packets sent to it.
    pub packets_sent: u64,
    /// Share of the expected packets that did not come, 0 to 1.
    #[schema(example = 0.012)]
    pub loss_ratio: f64,
    /// Interarrival jitter (RFC 3550), mean.
    pub jitter_ms: f64,
    /// The same, largest.
    pub jitter_ms_max: f64,
    /// Round trip by RTCP; null when the far end did not report.
    pub rtt_ms: Option<f64>,
    /// What the far end says it lost of ours, 0 to 1.
    pub remote_loss_ratio: Option<f64>,
    /// What the far end says about jitter.
    pub remote_jitter_ms: Option<f64>,
    /// Mean opinion score of what came from it, by the E-model (ITU-T G.107), 1 to 4.41; null when nothing came.
    #[schema(example = 4.37)]
    pub mos: Option<f64>,
    /// The same of what the far end heard; null when it did not report.
    pub remote_mos: Option<f64>,
    /// Whether sound came at the end: `flowing`, `no_packets`, `no_sound`.
    #[schema(example = "flowing")]
    pub audio: String,
}

/// Three decimals are more than any of these is worth.
fn rounded(value: f32) -> f64 {
    (f64::from(value) * 1000.0).round() / 1000.0
}

impl From<&CoreLegMedia> for LegMedia {
    fn from(media: &CoreLegMedia) -> Self {
        LegMedia {
            party: media.party.into(),
            codec: media.codec.clone(),
            packets_received: media.packets_received,
            packets_lost: media.packets_lost,
            packets_sent: media.packets_sent,
            loss_ratio: (f64::from(media.loss) * 1e5).round() / 1e5,
            jitter_ms: rounded(media.jitter_ms),
            jitter_ms_max: rounded(media.jitter_ms_max),
            rtt_ms: media.rtt_ms.map(rounded),
            remote_loss_ratio: media.remote_loss.map(rounded),
            remote_jitter_ms: media.remote_jitter_ms.map(rounded),
            mos: media.mos.map(rounded),
            remote_mos: media.remote_mos.map(rounded),
            audio: media.audio.as_str().into(),
        }
    }
}

/// What machine detection said, and why.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Detection {
    /// Human or machine.
    pub result: Classification,
    /// What that rests on: `short_greeting`, `long_greeting`, `initial_silence`, `time_limit`, `beep`, `fax_tone`,
    /// `announcement` (a recording that was taught), `waits_for_answer` (it asked, did not beep, and is silent), `words`
    /// (a recogniser understood them), `no_verdict`.
    #[schema(example = "long_greeting")]
    pub evidence: String,
    /// 0 to 1, a score and not a probability.
    pub confidence: f64,
    /// Answer to verdict.
    pub decided_after_answer_ms: u64,
    /// Answer to the message that was left on the machine; null: none was.
    pub left_after_answer_ms: Option<u64>,
}

/// What a class of early media rests on.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EarlyMediaDetail {
    /// 0 to 1, a score and not a probability.
    pub confidence: f64,
    /// The name of the announcement that was recognised, `words/…` where a recogniser understood it; null: a tone, or a
    /// voice that is not known.
    #[schema(example = "power_off/mobile_operator")]
    pub announcement: Option<String>,
    /// Dialled to heard.
    pub heard_after_dial_ms: u64,
}

impl From<&dialer_core::record::EarlyMediaDetail> for EarlyMediaDetail {
    fn from(detail: &dialer_core::record::EarlyMediaDetail) -> Self {
        EarlyMediaDetail {
            confidence: rounded(detail.confidence),
            announcement: detail.announcement.clone(),
            heard_after_dial_ms: detail.after_dial_ms,
        }
    }
}

impl Detection {
    pub(super) fn new(verdict: AmdVerdict, detail: &AmdDetail) -> Self {
        Detection {
            result: verdict.into(),
            evidence: detail.evidence.as_str().into(),
            confidence: rounded(detail.confidence),
            decided_after_answer_ms: detail.after_answer_ms,
            left_after_answer_ms: detail.left_ms,
        }
    }
}
