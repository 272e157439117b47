//! Calls that pass through: from one trunk to another, without a word from the control core.
//!
//! ```text
//!   caller          caller's leg │ called leg          callee
//!     INVITE ───────────────────►│──── INVITE ──────────►
//!     ◄──────────────────── 100  │
//!     ◄── 18x, SDP ──────────────│◄─── 18x, SDP ─────────
//!     ◄── 200, SDP ──────────────│◄─── 200, SDP ── ACK ──►
//!     CANCEL, BYE, re-INVITE, final errors: to the other side, in the other side's words
//! ```

mod act;
mod admit;
mod agent;
mod along;
mod end;
mod message;
mod pass;
mod rejoin;
mod transfer;

pub(crate) use admit::Refusal;
pub(crate) use transfer::Transfer;

use super::Sound;
use super::digits::DigitGate;
use crate::shard::trunks::TrunkKey;
use bytes::Bytes;
use dialer_core::{AgentId, CallId, RecordingId, TrunkId};
use sansio::{Instant, TimerKey};
use sip_proxy::ua::LegKey;
use sip_proxy::wire::Message;
use std::collections::VecDeque;

/// A call from trunk to trunk.
#[derive(Debug)]
pub(crate) struct Transit {
    pub(crate) id: CallId,
    pub(crate) from: TrunkKey,
    pub(crate) to: TrunkKey,
    from_id: TrunkId,
    /// The agent whose phone calls; there is no trunk in front of us then.
    pub(crate) agent: Option<AgentId>,
    to_id: TrunkId,
    /// The caller's leg.
    pub(crate) caller: LegKey,
    /// The called leg.
    pub(crate) callee: LegKey,
    pub(crate) sound: TransitSound,
    record: bool,
    number: String,
    caller_id: Option<String>,
    /// The caller wants to be unknown, and is to the other side.
    hidden: bool,
    /// What the caller's signature was worth, if anybody looked.
    verstat: Option<String>,
    started: Instant,
    ringing: Option<Instant>,
    answered: Option<Instant>,
    pub(crate) deadline: Option<TimerKey>,
    /// Its first recording, for the record.
    first_recording: Option<RecordingId>,
    /// The one that runs, or ran last.
    recording: Option<RecordingId>,
    /// What the caller presses, for its fork.
    digits: DigitGate,
    /// One side has asked to be replaced by someone else.
    pub(crate) transfer: Option<Box<Transfer>>,
    /// Two sides whose sound goes past us get to know each other.
    rejoin: Option<rejoin::Rejoin>,
    /// The called leg has ended: its channel is free.
    callee_over: bool,
    /// What it takes to call over another trunk, until the called side has said something.
    again: Option<Box<Again>>,
}

/// Where else a call can go.
#[derive(Debug)]
struct Again {
    /// Trunks, the next one first.
    others: VecDeque<TrunkKey>,
    path: admit::Path,
    front: admit::Front,
    /// The caller's INVITE.
    request: Message,
}

impl Transit {
    /// Its callee has answered.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered.is_some()
    }
}

/// How its sound goes.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every transit call is relayed")]
pub(crate) enum TransitSound {
    /// Past us.
    Bypass,
    /// Through two streams of ours.
    Relay {
        /// Towards the caller.
        caller: Sound,
        /// Towards the callee.
        callee: Sound,
        /// What the caller offered; empty when it wants to be offered something.
        offer: Bytes,
    },
}

impl TransitSound {
    /// It goes through us.
    fn is_relayed(&self) -> bool {
        matches!(self, TransitSound::Relay { .. })
    }
}
