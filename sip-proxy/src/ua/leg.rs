//! A leg: one of our dialogs, from its INVITE to its last answer.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use sansio::{Instant, TimerKey};

use super::carry::Carried;
use super::digest::Answerer;
use super::door::EndedBy;
use super::fork::name_of;
use super::refer::Transfers;
use crate::dialog::Dialog;
use crate::transaction::{ClientKey, ServerKey};
use crate::wire::Method;

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
    /// Its dialog is one of SIPS: so is our Contact in it.
    pub(super) secure: bool,
    pub(super) answered: bool,
    /// Random part of our tag.
    pub(super) random: u64,
    /// The early dialog of a call that has come in, by its name above; 0 while none has one.
    pub(super) fork: u64,
    /// Its other early dialogs.
    pub(super) forks: Vec<Fork>,
    pub(super) trunk: Option<u64>,
    /// Whom it counts against, where a stranger's or a phone's INVITE made it.
    pub(super) source: Option<core::net::IpAddr>,
    /// Where requests in the dialog go.
    pub(super) peer: SocketAddr,
    pub(super) dialog: Option<Box<Dialog>>,
    /// The INVITE that makes the leg, while we wait for its final response.
    pub(super) invite: Option<ClientKey>,
    /// The peer's INVITE or re-INVITE, while it waits for ours.
    pub(super) server: Option<ServerKey>,
    /// How long our INVITE or re-INVITE may go on without a final response.
    pub(super) ringing: Option<TimerKey>,
    /// The peer's INVITE is not to be answered any more when that time is over.
    pub(super) expires: bool,
    pub(super) calling: Option<Box<Calling>>,
    pub(super) success: Option<Box<Success>>,
    pub(super) offer: Option<Box<Offer>>,
    /// The peer's UPDATE, or PRACK with an offer, that waits for our answer.
    pub(super) update: Option<ServerKey>,
    /// Streams in the session, those ended too; 255 for more.
    pub(super) media_lines: u8,
    /// The peer has said that it takes UPDATE.
    pub(super) allows_update: bool,
    /// The session's timer, where it has one.
    pub(super) timer: Option<Box<SessionTimer>>,
    /// Transfers asked for, either way.
    pub(super) transfers: Option<Box<Transfers>>,
    /// Reliable provisional responses of ours, where the caller knows them.
    pub(super) reliable: Option<Box<Reliable>>,
    pub(super) answerers: Vec<Answerer>,
    pub(super) challenges: u8,
    /// What goes on with our next message.
    pub(super) carried: Option<Box<Carried>>,
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
    /// The first early dialog: the hash of the peer's tag.
    pub(super) first_fork: Option<u128>,
    /// Early dialogs that have said more than their tag, or are not the first.
    pub(super) early: Vec<Early>,
    /// Where 3xx have sent us: tried from the end.
    pub(super) targets: Vec<Target>,
    /// How many such targets there were, those left out as doubles not counted.
    pub(super) targets_known: u8,
    /// Times the INVITE was sent again because its session interval was too short.
    pub(super) intervals_refused: u8,
    /// Those above have somewhere else to go.
    pub(super) replaceable: bool,
    /// Where else the INVITE can go, best first (RFC 3263 §4.3).
    pub(super) paths: Vec<super::aim::Path>,
    /// The INVITE that waits until it is known where to.
    pub(super) held: Option<Bytes>,
    /// It waits because another target is to be tried, and it is not its turn yet.
    pub(super) resumes: bool,
    /// Who wanted it to end.
    pub(super) by: EndedBy,
    /// Reason header for the CANCEL; empty for none.
    pub(super) reason: Box<[u8]>,
}

impl Calling {
    /// A response with this tag (hashed) has come: there is an early dialog.
    pub(super) fn note_fork(&mut self, fork: u128) {
        if *self.first_fork.get_or_insert(fork) != fork {
            let _ = self.early(fork);
        }
    }

    /// Whether there is an early dialog with this tag (hashed).
    pub(super) fn has_fork(&self, fork: u128) -> bool {
        self.first_fork == Some(fork) || self.early.iter().any(|early| early.fork == fork)
    }

    /// The early dialog with this tag (hashed); made if there is room.
    pub(super) fn early(&mut self, fork: u128) -> Option<&mut Early> {
        let at = match self.early.iter().position(|early| early.fork == fork) {
            Some(at) => at,
            None if self.early.len() < EARLY_MAX => {
                self.early.push(Early { fork, sdp: None, dialog: None, rseq: 0 });
                self.early.len() - 1
            }
            None => return None,
        };
        self.early.get_mut(at)
    }

    /// What is sent next is sent in this early dialog, if it can be.
    pub(super) fn turn_to(&mut self, fork: u64) {
        if let Some(place) = self.early.iter().position(|early| name_of(early.fork) == fork) {
            self.early[place..].rotate_left(1);
        }
    }

    /// The early dialog in which a reliable response came last, or that was turned to.
    pub(super) fn latest_dialog(&mut self) -> Option<&mut Dialog> {
        self.early.iter_mut().rev().find_map(|early| early.dialog.as_deref_mut())
    }
}

/// An early dialog of a leg that we make (RFC 3261 §12.1.2).
#[derive(Debug)]
pub(super) struct Early {
    /// Hash of the peer's tag.
    pub(super) fork: u128,
    /// Its last session description.
    pub(super) sdp: Option<Bytes>,
    /// Made by the first reliable response: what is sent in it before the 2xx needs its own route set and CSeq.
    pub(super) dialog: Option<Box<Dialog>>,
    /// RSeq of the last reliable response.
    pub(super) rseq: u32,
}

/// An early dialog of a leg that has come in, while the leg is in another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fork {
    /// What it is called above.
    pub(super) name: u64,
    /// Random part of our tag.
    pub(super) random: u64,
    pub(super) local_cseq: u32,
    pub(super) remote_cseq: Option<u32>,
    /// RSeq of the last reliable response.
    pub(super) rseq: u32,
    /// See [`Reliable::agreed`].
    pub(super) agreed: bool,
}

/// A target of a redirected INVITE.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) uri: Box<[u8]>,
    pub(super) address: SocketAddr,
    /// Preference, thousandths.
    pub(super) q: u16,
}

/// Provisional responses of ours that the caller acknowledges (RFC 3262 §3). One is under way at a time.
#[derive(Debug)]
pub(super) struct Reliable {
    /// The caller requires it: all but 100 are reliable, not only those with a session description.
    pub(super) required: bool,
    /// RSeq of the last one.
    pub(super) rseq: u32,
    /// CSeq of the INVITE.
    pub(super) cseq: u32,
    pub(super) unacknowledged: Option<Unacknowledged>,
    /// Those that wait for its PRACK.
    pub(super) queue: VecDeque<Waiting>,
    /// The answer that waits for it (RFC 3262 §3: no 2xx while a description is unacknowledged).
    pub(super) answer: Option<Waiting>,
    /// The INVITE held an offer.
    pub(super) offered: bool,
    /// A PRACK has acknowledged a description of ours: the first exchange is complete, UPDATE may follow.
    pub(super) agreed: bool,
}

/// A response that waits for the PRACK to another one.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) code: u16,
    pub(super) sdp: Option<Bytes>,
    pub(super) carried: Option<Box<Carried>>,
    /// In which early dialog it is sent.
    pub(super) fork: u64,
}

#[derive(Debug)]
pub(super) struct Unacknowledged {
    pub(super) rseq: u32,
    pub(super) response: Bytes,
    pub(super) to: SocketAddr,
    /// It carries a session description.
    pub(super) described: bool,
    pub(super) interval: Duration,
    pub(super) retransmit: Option<TimerKey>,
    pub(super) timeout: Option<TimerKey>,
}

/// The timer of a session (RFC 4028).
#[derive(Debug)]
pub(super) struct SessionTimer {
    /// Session interval, seconds.
    pub(super) interval_s: u32,
    /// The shortest one that any element on the path has named, seconds.
    pub(super) interval_s_min: u32,
    /// We refresh.
    pub(super) local: bool,
    /// The peer knows session timers, so that the interval is written into what it gets.
    pub(super) known: bool,
    /// Our last description, which a refresh by re-INVITE offers again.
    pub(super) sdp: Bytes,
    /// Without a refresh until then the session is over.
    pub(super) expires_at: Instant,
    pub(super) key: Option<TimerKey>,
}

/// Our 2xx to an INVITE, until its ACK.
#[derive(Debug)]
pub(super) struct Success {
    pub(super) cseq: u32,
    pub(super) response: Bytes,
    pub(super) to: SocketAddr,
    pub(super) reinvite: bool,
    /// It holds an offer, whose answer comes with the ACK.
    pub(super) offer: bool,
    pub(super) interval: Duration,
    pub(super) retransmit: Option<TimerKey>,
    pub(super) timeout: Option<TimerKey>,
    /// Reason header of the BYE that waits for the ACK; empty for none.
    pub(super) reason: Box<[u8]>,
}

/// Our re-INVITE or UPDATE, until its final response (or its next try).
#[derive(Debug)]
pub(super) struct Offer {
    /// INVITE or UPDATE.
    pub(super) method: Method,
    /// It only refreshes the session: nobody above has asked for it.
    pub(super) refresh: bool,
    pub(super) client: Option<ClientKey>,
    pub(super) sdp: Bytes,
    pub(super) carried: Option<Box<Carried>>,
    pub(super) retries: u8,
    /// It took too long and CANCEL has been sent.
    pub(super) cancelled: bool,
    /// We asked the peer for an offer and have it: the 2xx and its CSeq, whose ACK waits for our answer.
    pub(super) late: Option<(ClientKey, u32)>,
    pub(super) timer: Option<TimerKey>,
}

impl Offer {
    pub(super) fn new(method: Method, refresh: bool, sdp: Bytes) -> Self {
        Offer {
            method,
            refresh,
            client: None,
            sdp,
            carried: None,
            retries: 0,
            cancelled: false,
            late: None,
            timer: None,
        }
    }
}
