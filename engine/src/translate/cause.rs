//! Status codes and Q.850 causes → why a leg ended, in the dialer's words, and the other way round.

use dialer_core::outcome::{
    AmdEvidence, AmdVerdict, AudioState, EarlyMediaClass, EndCause, Outcome, TurnCue,
};
use dialer_core::record::EndReason;
use sip_proxy::status::ELSEWHERE;
use sip_proxy::ua::{Ended, EndedBy, Reason};

/// What a peer's Reason header has said (RFC 3326): for the record, and for the other side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) q850: Option<u8>,
    pub(crate) sip: Option<u16>,
    pub(crate) text: Option<Box<str>>,
    /// All of it, as it was said.
    pub(crate) values: Box<str>,
}

impl Said {
    pub(crate) fn of(ended: &Ended) -> Self {
        Said { q850: ended.q850, sip: ended.sip, text: ended.text.clone(), values: ended.reasons.clone() }
    }

    /// The same to the other side: its words, what they mean, or nothing.
    pub(crate) fn reason(&self) -> Reason<'_> {
        let text = self.text.as_deref().unwrap_or_default();
        Reason { q850: self.q850, sip: self.sip, text, passed: &self.values }
    }

    /// What the record has a place for beside the cause.
    pub(crate) fn record(&self) -> Option<EndReason> {
        let text = self.text.as_deref().map(str::to_owned);
        (self.sip.is_some() || text.is_some()).then_some(EndReason { sip_code: self.sip, text })
    }
}

/// What a peer is told that has rung in vain because another has taken the call (RFC 3326 §2).
pub(crate) const TAKEN: Reason<'static> = Reason { q850: None, sip: Some(200), text: ELSEWHERE, passed: "" };

/// Why a leg ended that was never answered, or was answered and ended from outside.
pub(crate) fn cause_of(ended: &Ended) -> EndCause {
    match ended.by {
        EndedBy::Timeout => EndCause::Timeout,
        EndedBy::Protocol => EndCause::Failed,
        EndedBy::Remote | EndedBy::Local if ended.answered => EndCause::Normal,
        EndedBy::Remote | EndedBy::Local if ended.blocked => EndCause::Blocked,
        EndedBy::Remote | EndedBy::Local => cause_of_code(ended.code.unwrap_or(0), ended.q850),
    }
}

/// The table. Where a carrier answers with a code that says little, its Q.850 cause decides.
fn cause_of_code(code: u16, q850: Option<u8>) -> EndCause {
    let vague = matches!(code, 0 | 403 | 480 | 487 | 500 | 502 | 503);
    if vague && let Some(cause) = q850.and_then(cause_of_q850) {
        return cause;
    }
    match code {
        486 | 600 => EndCause::Busy,
        408 | 487 => EndCause::NoAnswer,
        603 => EndCause::Rejected,
        607 | 608 => EndCause::Blocked,
        404 | 410 | 484 | 485 | 604 => EndCause::InvalidNumber,
        430 | 480 => EndCause::Unreachable,
        401 | 407 => EndCause::Unauthorized,
        402 | 403 | 433 => EndCause::Forbidden,
        406 | 415 | 416 | 420 | 421 | 488 | 580 | 606 => EndCause::Incompatible,
        502..=504 => EndCause::Congestion,
        _ => EndCause::Failed,
    }
}

/// ITU-T Q.850 §2.2.
fn cause_of_q850(cause: u8) -> Option<EndCause> {
    match cause {
        1 | 22 | 28 => Some(EndCause::InvalidNumber),
        2 | 3 | 20 | 27 => Some(EndCause::Unreachable),
        17 => Some(EndCause::Busy),
        18 | 19 => Some(EndCause::NoAnswer),
        21 => Some(EndCause::Rejected),
        34 | 38 | 41 | 42 | 44 | 47 => Some(EndCause::Congestion),
        55 | 57 | 87 => Some(EndCause::Forbidden),
        65 | 70 | 79 | 88 => Some(EndCause::Incompatible),
        _ => None,
    }
}

/// The Q.850 cause we give as the reason of a BYE or CANCEL.
pub(crate) fn q850_of(cause: EndCause) -> u8 {
    match cause {
        EndCause::Busy => 17,
        EndCause::NoAnswer => 19,
        EndCause::InvalidNumber => 1,
        EndCause::Unreachable => 20,
        EndCause::Forbidden => 21,
        EndCause::Rejected => 21,
        EndCause::Incompatible => 65,
        EndCause::Congestion | EndCause::LocalLimit => 42,
        EndCause::MediaTimeout | EndCause::Timeout | EndCause::MaxDuration => 102,
        EndCause::NodeRestart => 41,
        _ => 16,
    }
}

/// The final code that is passed on to the caller of a transit call.
///
/// A challenge cannot be answered by the caller, who does not have our credentials, and a redirection names
/// addresses behind us: neither is passed as it is.
pub(crate) fn passed_code(ended: &Ended) -> u16 {
    match (ended.by, ended.code) {
        // Nobody could be reached (RFC 3261 §8.1.3.1).
        (EndedBy::Timeout, Some(503)) => 503,
        (EndedBy::Timeout, _) => 408,
        (_, Some(401 | 407)) => 403,
        (_, Some(300..=399)) => 480,
        (_, Some(code @ 400..=699)) => code,
        (EndedBy::Protocol, _) => 502,
        _ => 480,
    }
}

/// What became of a transit call.
pub(crate) fn transit_outcome(answered: bool, cause: EndCause) -> Outcome {
    if answered {
        return Outcome::Connected;
    }
    match cause {
        EndCause::Busy => Outcome::Busy,
        EndCause::NoAnswer => Outcome::NoAnswer,
        EndCause::Rejected => Outcome::Rejected,
        EndCause::InvalidNumber => Outcome::InvalidNumber,
        EndCause::Unreachable => Outcome::Unreachable,
        EndCause::Forbidden => Outcome::CallForbidden,
        EndCause::Congestion => Outcome::NetworkCongestion,
        EndCause::Blocked => Outcome::BlockedByAnalytics,
        EndCause::Cancelled => Outcome::Cancelled,
        EndCause::NodeRestart => Outcome::NodeRestart,
        _ => Outcome::CarrierError,
    }
}

pub(crate) fn amd_verdict(verdict: media::AmdVerdict) -> AmdVerdict {
    match verdict {
        media::AmdVerdict::Human => AmdVerdict::Human,
        media::AmdVerdict::Machine => AmdVerdict::Machine,
        media::AmdVerdict::Unsure => AmdVerdict::Unsure,
        media::AmdVerdict::Fax => AmdVerdict::Fax,
        media::AmdVerdict::Screening => AmdVerdict::Screening,
    }
}

pub(crate) fn amd_evidence(cause: media::AmdCause) -> AmdEvidence {
    match cause {
        media::AmdCause::ShortGreeting => AmdEvidence::ShortGreeting,
        media::AmdCause::LongGreeting => AmdEvidence::LongGreeting,
        media::AmdCause::InitialSilence => AmdEvidence::InitialSilence,
        media::AmdCause::TimeLimit => AmdEvidence::TimeLimit,
        media::AmdCause::Beep => AmdEvidence::Beep,
        media::AmdCause::FaxTone => AmdEvidence::FaxTone,
        media::AmdCause::Announcement => AmdEvidence::Announcement,
    }
}

pub(crate) fn turn_cue(cue: media::TurnCue) -> TurnCue {
    match cue {
        media::TurnCue::Beep => TurnCue::Beep,
        media::TurnCue::Silence => TurnCue::Silence,
        media::TurnCue::TimeLimit => TurnCue::TimeLimit,
    }
}

pub(crate) fn audio_state(state: media::AudioState) -> AudioState {
    match state {
        media::AudioState::Flowing => AudioState::Flowing,
        media::AudioState::NoPackets => AudioState::NoPackets,
        media::AudioState::NoSound => AudioState::NoSound,
    }
}

/// Whose tones the ears expect.
pub(crate) fn tone_plan_of(plan: dialer_core::config::TonePlan) -> media::early_media::TonePlan {
    use dialer_core::config::TonePlan as Core;
    use media::early_media::TonePlan;
    match plan {
        Core::Any => TonePlan::Any,
        Core::Cn => TonePlan::Cn,
        Core::Eu => TonePlan::Eu,
        Core::Us => TonePlan::Us,
        Core::Gb => TonePlan::Gb,
        Core::Jp => TonePlan::Jp,
        Core::Au => TonePlan::Au,
        Core::In => TonePlan::In,
        Core::Es => TonePlan::Es,
        Core::Br => TonePlan::Br,
    }
}

pub(crate) fn early_media_class(class: media::EarlyMediaClass) -> EarlyMediaClass {
    match class {
        media::EarlyMediaClass::Ringback => EarlyMediaClass::Ringback,
        media::EarlyMediaClass::Busy => EarlyMediaClass::Busy,
        media::EarlyMediaClass::Congestion => EarlyMediaClass::Congestion,
        media::EarlyMediaClass::Sit => EarlyMediaClass::Sit,
        media::EarlyMediaClass::Voice => EarlyMediaClass::Voice,
        media::EarlyMediaClass::InvalidNumber => EarlyMediaClass::InvalidNumber,
        media::EarlyMediaClass::Suspended => EarlyMediaClass::Suspended,
        media::EarlyMediaClass::PowerOff => EarlyMediaClass::PowerOff,
        media::EarlyMediaClass::Unreachable => EarlyMediaClass::Unreachable,
        media::EarlyMediaClass::InCall => EarlyMediaClass::InCall,
        media::EarlyMediaClass::NoAnswer => EarlyMediaClass::NoAnswer,
        media::EarlyMediaClass::CallForbidden => EarlyMediaClass::CallForbidden,
        media::EarlyMediaClass::ColouredRingback => EarlyMediaClass::ColouredRingback,
        media::EarlyMediaClass::Screening => EarlyMediaClass::Screening,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_q850_cause_decides_where_the_code_says_little() {
        assert_eq!(cause_of_code(480, None), EndCause::Unreachable);
        assert_eq!(cause_of_code(480, Some(19)), EndCause::NoAnswer);
        assert_eq!(cause_of_code(503, Some(17)), EndCause::Busy);
        assert_eq!(cause_of_code(503, Some(31)), EndCause::Congestion);
        assert_eq!(cause_of_code(486, Some(16)), EndCause::Busy);
        assert_eq!(cause_of_code(404, Some(17)), EndCause::InvalidNumber);
    }

    #[test]
    fn every_code_has_a_cause() {
        for code in 0..=699 {
            let _ = cause_of_code(code, None);
        }
        assert_eq!(cause_of_code(608, None), EndCause::Blocked);
        assert_eq!(cause_of_code(699, None), EndCause::Failed);
    }
}
