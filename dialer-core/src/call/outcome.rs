//! What became of a call: the one place where an end is put into the outcome taxonomy.

use super::Call;
use crate::outcome::{EndCause, Evidence, Outcome, Party};
use crate::pacing;

/// How the engine says a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct End {
    pub(crate) by: Party,
    pub(crate) cause: EndCause,
    pub(crate) sip_code: Option<u16>,
    pub(crate) q850: Option<u16>,
}

/// Outcome and evidence of a call that is over.
///
/// What was decided before (a machine, a tone, an abandoned call) stands. A joined call is connected. A person who
/// answered and hung up before an agent was due, and within the bridge deadline, has declined: neither connected
/// nor abandoned. Everything else is told by the cause.
pub(crate) fn conclude(call: &Call, end: End) -> (Outcome, Evidence) {
    if let Some(conclusion) = call.conclusion {
        return conclusion;
    }
    let evidence = if end.q850.is_some() {
        Evidence::Q850
    } else if end.sip_code.is_some() || end.by == Party::Customer {
        Evidence::Sip
    } else {
        Evidence::Timer
    };
    if end.cause == EndCause::NodeRestart {
        return (Outcome::NodeRestart, Evidence::Timer);
    }
    if call.bridged.is_some() {
        return (Outcome::Connected, evidence);
    }
    if call.inbound.is_some() {
        // A caller whom no agent of ours has answered, whoever hung up.
        return (Outcome::NoAnswer, evidence);
    }
    if call.answered.is_some() {
        let outcome = if end.by == Party::Customer { Outcome::Rejected } else { Outcome::Cancelled };
        return (outcome, evidence);
    }
    (unanswered(end.cause), evidence)
}

/// The outcome of a call that nobody answered.
const fn unanswered(cause: EndCause) -> Outcome {
    match cause {
        EndCause::Busy => Outcome::Busy,
        EndCause::NoAnswer => Outcome::NoAnswer,
        EndCause::Rejected => Outcome::Rejected,
        EndCause::InvalidNumber => Outcome::InvalidNumber,
        EndCause::Unreachable => Outcome::Unreachable,
        EndCause::Forbidden => Outcome::CallForbidden,
        EndCause::Congestion => Outcome::NetworkCongestion,
        EndCause::Blocked => Outcome::BlockedByAnalytics,
        // The agent's phone was not there, or we gave up: the callee was not reached and is not to blame.
        EndCause::Normal | EndCause::Cancelled | EndCause::NotRegistered | EndCause::MaxDuration => {
            Outcome::Cancelled
        }
        EndCause::NodeRestart => Outcome::NodeRestart,
        EndCause::Incompatible
        | EndCause::Unauthorized
        | EndCause::Timeout
        | EndCause::MediaTimeout
        | EndCause::LocalLimit
        | EndCause::NoTrunk
        | EndCause::Failed => Outcome::CarrierError,
    }
}

/// The same in the pacer's fewer words.
pub(super) const fn for_pacer(outcome: Outcome) -> pacing::Outcome {
    match outcome {
        Outcome::Connected | Outcome::Abandoned => pacing::Outcome::Human,
        Outcome::Machine | Outcome::Screening | Outcome::Fax => pacing::Outcome::Machine,
        Outcome::NoAnswer => pacing::Outcome::NoAnswer,
        Outcome::Busy | Outcome::InCall | Outcome::Rejected => pacing::Outcome::Busy,
        Outcome::InvalidNumber
        | Outcome::Suspended
        | Outcome::PowerOff
        | Outcome::Unreachable
        | Outcome::CallForbidden
        | Outcome::NetworkCongestion
        | Outcome::BlockedByAnalytics
        | Outcome::CarrierError => pacing::Outcome::Sit,
        Outcome::Cancelled | Outcome::Dnc | Outcome::OutOfWindow | Outcome::NodeRestart => {
            pacing::Outcome::Cancelled
        }
    }
}
