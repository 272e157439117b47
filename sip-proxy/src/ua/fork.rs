//! The early dialogs of a call that has come in, one for each fork of what it goes on as (RFC 3261 §12.1, §13.2.2.4).
//!
//! ```text
//!   caller            us             who is called, behind one INVITE of ours
//!     ◄── 183, tag 1 ────  ◄── 183, tag x
//!     ◄── 183, tag 2 ────  ◄── 183, tag y     each description belongs to a dialog of its own
//!     ◄── 200, tag 2 ────  ◄── 200, tag y     the others are over
//! ```
//! One of them is the leg's dialog at any time: what is said is said in it. The others wait beside it.

use bytes::Bytes;

use super::leg::{Fork, Leg, State};
use super::{LegKey, UserAgent};
use crate::mark::Mark;

/// Early dialogs of one call that has come in. What further forks say is said in the one they find.
const FORKS_MAX: usize = 8;

/// What an early dialog is called above, from the hash of the peer's tag.
pub(super) fn name_of(fork: u128) -> u64 {
    (fork as u64).max(1)
}

impl Leg {
    /// This is the random part of our tag, in this early dialog or another one.
    pub(super) fn has_tag(&self, random: u64) -> bool {
        self.random == random || self.forks.iter().any(|fork| fork.random == random)
    }
}

impl UserAgent {
    /// What is said next on a leg that is not answered is said in the early dialog of this name. On a leg that has come in,
    /// the first one has the tag of the leg, and each further one gets a tag of its own. True when such a one begins.
    ///
    /// * `fork` as `Progress`, `Answered` and `Reoffer` say it; 0 leaves all as it is
    pub fn turn_to_fork(&mut self, leg: LegKey, fork: u64) -> bool {
        let Some(known) = self.legs.get_mut(leg).filter(|_| fork != 0) else { return false };
        match known.state {
            State::Incoming => {}
            State::Calling => {
                if let Some(calling) = &mut known.calling {
                    calling.turn_to(fork);
                }
                return false;
            }
            _ => return false,
        }
        if known.fork == 0 {
            known.fork = fork;
        }
        if known.fork == fork {
            return false;
        }
        if let Some(place) = known.forks.iter().position(|other| other.name == fork) {
            let next = known.forks.swap_remove(place);
            self.change_fork(leg, next);
            return false;
        }
        if known.forks.len() + 1 >= FORKS_MAX {
            return false;
        }
        let invite = known.server.and_then(|server| self.layer.server(server)).map(|server| server.cseq);
        let next = Fork {
            name: fork,
            random: self.layer.rng.next_u64(),
            local_cseq: 0,
            remote_cseq: invite,
            // RFC 3262 §4: the caller counts in each early dialog by itself.
            rseq: self.first_rseq(),
            agreed: false,
        };
        self.change_fork(leg, next);
        true
    }

    /// A request with this tag of ours has come: it is answered in the early dialog that it came in.
    pub(super) fn turn_to_tag(&mut self, key: LegKey, tag: Option<&[u8]>) {
        let Some(leg) = self.legs.get_mut(key).filter(|leg| !leg.forks.is_empty()) else { return };
        let random = tag.and_then(Mark::parse).map(|mark| mark.random);
        if let Some(place) = leg.forks.iter().position(|fork| Some(fork.random) == random) {
            let next = leg.forks.swap_remove(place);
            self.change_fork(key, next);
        }
    }

    /// The caller ends the early dialog that the leg is in. False when it is the only one.
    pub(super) fn drop_fork(&mut self, key: LegKey) -> bool {
        let Some(next) = self.legs.get_mut(key).and_then(|leg| leg.forks.pop()) else { return false };
        self.change_fork(key, next);
        if let Some(leg) = self.legs.get_mut(key) {
            leg.forks.pop();
        }
        true
    }

    /// Makes another early dialog the leg's; the one before waits, last among the others.
    fn change_fork(&mut self, key: LegKey, next: Fork) {
        let Some(leg) = self.legs.get_mut(key) else { return };
        let shard = self.layer.shard;
        let [before, after] =
            [leg.random, next.random].map(|random| Mark { shard, key: key.to_bits(), random }.text());
        let mut waits = Fork { name: leg.fork, random: leg.random, ..next };
        (leg.fork, leg.random) = (next.name, next.random);
        if let Some(dialog) = &mut leg.dialog {
            dialog.set_local_tag(&after);
            (waits.local_cseq, waits.remote_cseq) = (dialog.local_cseq, dialog.remote_cseq);
            (dialog.local_cseq, dialog.remote_cseq) = (next.local_cseq, next.remote_cseq);
        }
        if let Some(reliable) = &mut leg.reliable {
            (waits.rseq, waits.agreed) = (reliable.rseq, reliable.agreed);
            (reliable.rseq, reliable.agreed) = (next.rseq, next.agreed);
        }
        leg.forks.push(waits);
        let server = leg.server.and_then(|server| self.layer.server_mut(server));
        if let Some(server) = server
            && let Some(place) = memchr::memmem::find(&server.head, &before)
        {
            let mut head = server.head.to_vec();
            head[place..place + after.len()].copy_from_slice(&after);
            server.head = Bytes::from(head);
        }
    }
}
