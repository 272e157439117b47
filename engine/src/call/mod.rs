//! What one call is made of. One file per step of its life.
//!
//! ```text
//!   DialCustomer ─► originate ─► progress ─► answer ──┐
//!   RingAgent, UseSession ─► connect_agent ───────────┴─► bridge ─► (hold, act, participant) ─► teardown
//! ```

mod act;
mod answer;
mod bridge;
mod connect_agent;
pub(crate) mod digits;
mod fork;
mod hold;
mod inbound;
pub(crate) mod originate;
mod participant;
mod pick_up;
pub(crate) mod policy;
mod progress;
mod quality;
mod ring_all;
mod session;
mod teardown;
mod transfer;
pub(crate) mod transit;
mod waiting;

pub(crate) use act::Muted;
pub(crate) use fork::OpenFork;
pub(crate) use participant::Participant;
pub(crate) use session::{Session, SessionState};
pub(crate) use transfer::Transfer;
pub(crate) use transit::Transit;

use crate::shard::trunks::TrunkKey;
use crate::translate::sdp::{LocalSecurity, LocalSide};
use bytes::Bytes;
use dialer_core::{AgentId, CallId, RecordingId};
use media::StreamKey;
use originate::Dial;
use sansio::{Duration, Key, TimerKey};
use sip_proxy::ua::LegKey;
use std::net::{IpAddr, Ipv4Addr};

/// A call that the dialer ordered: a customer's side, an agent's side, either may be missing.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) customer: Option<CustomerSide>,
    pub(crate) agent: Option<AgentSide>,
    /// More agents whose phones ring, while that one's does: the first to answer has the seat, see `ring_all.rs`.
    pub(crate) rung_too: Vec<AgentSide>,
    /// Customer and agent hear each other.
    pub(crate) bridged: bool,
    /// The agent hears the customer's line ring: the streams are joined before the answer.
    pub(crate) listening: bool,
    pub(crate) recording: Option<RecordingId>,
    /// A message is being played to the customer, under this tag.
    pub(crate) playing: Option<u64>,
    /// Something is being played to the customer, perhaps.
    pub(crate) hears_music: bool,
    /// The agent has asked for someone else to take the agent's place.
    pub(crate) transfer: Option<Box<Transfer>>,
    pub(crate) digits: digits::DigitGate,
    /// Who takes part besides, or is being called for it.
    pub(crate) participants: Vec<Key<Participant>>,
    /// The customer was put on hold from above.
    pub(crate) held: bool,
    pub(crate) muted: Muted,
}

/// The customer's leg and its stream.
#[derive(Debug)]
pub(crate) struct CustomerSide {
    pub(crate) leg: LegKey,
    pub(crate) sound: Sound,
    pub(crate) trunk: TrunkKey,
    pub(crate) state: CustomerState,
    /// The ring limit, then the limit of the whole call.
    pub(crate) deadline: TimerKey,
    /// Rings at most so long: from the first sign of ringing, or from the INVITE while there is none.
    pub(crate) ring_max: Duration,
    /// Longest time after the answer, milliseconds.
    pub(crate) call_max_ms: u32,
    pub(crate) amd: bool,
    pub(crate) held: bool,
    /// Which of 181 to 199 it has said, bit 1 for 181.
    pub(crate) progress_told: u32,
    /// What it was dialled with, as long as there are trunks that it was not dialled over.
    pub(crate) again: Option<Box<Dial>>,
    /// From which number it was called; if it called itself: which number of ours.
    pub(crate) caller_id: Option<String>,
    /// It called us, with this offer (empty: it wants ours).
    pub(crate) offer: Option<Bytes>,
}

/// How far the customer's leg is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CustomerState {
    /// Waits for a sign of progress.
    Dialled,
    /// Waits for the answer; the dialer knows that it rings.
    Ringing,
    /// Waits for its end.
    Answered,
}

/// The agent's part in a call.
#[derive(Debug)]
pub(crate) struct AgentSide {
    pub(crate) agent: AgentId,
    pub(crate) link: AgentLink,
    /// The agent's own leg goes over a channel of this trunk.
    pub(crate) trunk: Option<TrunkKey>,
    /// It is not the agent any more who sits there, but whom the agent has given the customer to.
    pub(crate) guest: Option<Guest>,
}

/// What the leg of a guest holds besides its sound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guest {
    /// A channel of this trunk; `None` for an agent's phone.
    pub(crate) trunk: Option<TrunkKey>,
}

/// How the agent is reached.
#[derive(Debug)]
pub(crate) enum AgentLink {
    /// A leg of the call's own that rings; the deadline is the ring limit.
    Ringing { leg: LegKey, sound: Sound, deadline: TimerKey, told: bool, confirm: Option<Confirm> },
    /// A leg of the call's own that is answered.
    Up { leg: LegKey, sound: Sound, held: bool },
    /// The agent's nailed-up session.
    Session(Key<Session>),
}

/// Whoever answers has to press a key before that counts: a mailbox does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Confirm {
    /// The key.
    pub(crate) key: char,
    /// Answered, and asked to press it; whether the device said that it holds.
    pub(crate) asked: Option<bool>,
}

impl Confirm {
    /// As a way asks for it.
    pub(crate) fn of(way: &dialer_core::participant::Way) -> Option<Self> {
        match way {
            dialer_core::participant::Way::Number { confirm_key: Some(key), .. } => {
                Some(Confirm { key: *key, asked: None })
            }
            _ => None,
        }
    }

    /// Pressing this is what was asked for: whether the device holds.
    pub(crate) fn given_by(self, digit: char) -> Option<bool> {
        self.asked.filter(|_| digit == self.key)
    }
}

/// A stream with our side of its session description.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sound {
    pub(crate) stream: StreamKey,
    pub(crate) local: LocalSide,
}

impl Call {
    pub(crate) fn new(id: CallId) -> Self {
        Call {
            id,
            customer: None,
            agent: None,
            rung_too: Vec::new(),
            bridged: false,
            listening: false,
            recording: None,
            playing: None,
            hears_music: false,
            transfer: None,
            digits: digits::DigitGate::default(),
            participants: Vec::new(),
            held: false,
            muted: Muted::default(),
        }
    }

    /// The agent in it, if it is still an agent.
    pub(crate) fn own_agent(&self) -> Option<&AgentSide> {
        self.agent.as_ref().filter(|side| side.guest.is_none())
    }

    /// The customer was dialled and has not answered.
    pub(crate) fn is_ringing(&self) -> bool {
        self.customer.as_ref().is_some_and(|customer| customer.state != CustomerState::Answered)
    }

    /// The customer's side, once answered.
    pub(crate) fn answered_customer(&self) -> Option<&CustomerSide> {
        self.customer.as_ref().filter(|customer| customer.state == CustomerState::Answered)
    }
}

impl Sound {
    /// A stream that is not open: no key has generation 0.
    pub(crate) fn none() -> Self {
        let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Sound {
            stream: StreamKey::from_bits(0),
            local: LocalSide {
                address,
                rtp_port: 0,
                session_id: 0,
                version: 0,
                security: LocalSecurity::Plain,
            },
        }
    }
}
