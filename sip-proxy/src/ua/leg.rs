//! A leg: one of our dialogs, from its INVITE to its last answer.

use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use sansio::TimerKey;

use super::digest::Answerer;
use super::door::EndedBy;
use crate::dialog::Dialog;
use crate::transaction::{ClientKey, ServerKey};

/// Early dialogs of one INVITE whose early media description is kept for a 2xx that brings none.
const EARLY_MAX: usize = 8;

/// One of our dialogs. Named through its [`super::LegKey`] only.
///
/// ```text
///  we call   Calling ──2xx──▶ Confirmed ──BYE sent──▶ Ending ──▶ gone
///               │ hangup          ▲  │ BYE received ─────────────▲
///               ▼                 │  ▼                           │
///            Cancelling ──────────┼──(failure, or 2xx: ACK+BYE)──┤
///                                 │ ACK                          │
///  we are    Incoming ─answer─▶ Answered ─hangup─▶ AwaitingAck ──┘
///  called       │ reject, CANCEL                       ACK: BYE, Ending
///               ▼
///              gone
/// ```
/// `Ended` is told when the leg enters `AwaitingAck` or `Ending` or is gone, whichever comes first.
#[derive(Debug)]
pub struct Leg {
    pub(super) owner: u64,
    pub(super) state: State,
    pub(super) listener: u8,
    /// We sent the INVITE, so the Call-ID is ours (which decides who yields in glare).
    pub(super) caller: bool,
    pub(super) symmetric: bool,
    pub(super) answered: bool,
    /// Random part of our tag.
    pub(super) random: u64,
    pub(super) trunk: Option<u64>,
    /// Where requests in the dialog go.
    pub(super) peer: SocketAddr,
    pub(super) dialog: Option<Box<Dialog>>,
    /// The INVITE that makes the leg, while we wait for its final response.
    pub(super) invite: Option<ClientKey>,
    /// The peer's INVITE or re-INVITE, while it waits for ours.
    pub(super) server: Option<ServerKey>,
    /// How long our INVITE or re-INVITE may go on without a final response.
    pub(super) ringing: Option<TimerKey>,
    pub(super) calling: Option<Box<Calling>>,
    pub(super) success: Option<Box<Success>>,
    pub(super) offer: Option<Box<Offer>>,
    pub(super) answerers: Vec<Answerer>,
    pub(super) challenges: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Our INVITE is out.
    Calling,
    /// … and is to be cancelled.
    Cancelling,
    /// The peer's INVITE waits for an answer.
    Incoming,
    /// We sent 2xx and wait for ACK.
    Answered,
    /// The session stands.
    Confirmed,
    /// Ended before the ACK to our 2xx: RFC 3261 §15 forbids BYE until it has come.
    AwaitingAck,
    /// Ended; our BYE waits for its answer.
    Ending,
}

impl State {
    /// Whether `Ended` has been told.
    pub(super) const fn is_over(self) -> bool {
        matches!(self, State::AwaitingAck | State::Ending)
    }
}

/// What is known of a leg only while our INVITE is out.
#[derive(Debug)]
pub(super) struct Calling {
    /// A provisional response has come.
    pub(super) ringing: bool,
    /// Early media: hash of the fork's tag, its SDP.
    pub(super) early: Vec<(u128, Bytes)>,
    /// Who wanted it to end.
    pub(super) by: EndedBy,
    /// Reason header for the CANCEL; empty for none.
    pub(super) reason: Box<[u8]>,
}

impl Calling {
    pub(super) fn note_early(&mut self, fork: u128, sdp: &Bytes) {
        match self.early.iter_mut().find(|(known, _)| *known == fork) {
            Some((_, known)) => *known = sdp.clone(),
            None => {
                if self.early.len() < EARLY_MAX {
                    self.early.push((fork, sdp.clone()));
                }
            }
        }
    }
}

/// Our 2xx to an INVITE, until its ACK.
#[derive(Debug)]
pub(super) struct Success {
    pub(super) cseq: u32,
    pub(super) response: Bytes,
    pub(super) to: SocketAddr,
    pub(super) reinvite: bool,
    pub(super) interval: Duration,
    pub(super) retransmit: Option<TimerKey>,
    pub(super) timeout: Option<TimerKey>,
    /// Reason header of the BYE that waits for the ACK; empty for none.
    pub(super) reason: Box<[u8]>,
}

/// Our re-INVITE, until its final response (or its next try).
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) client: Option<ClientKey>,
    pub(super) sdp: Bytes,
    pub(super) retries: u8,
    /// It took too long and CANCEL has been sent.
    pub(super) cancelled: bool,
    pub(super) timer: Option<TimerKey>,
}
