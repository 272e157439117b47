//! Attended transfer and Replaces in calls whose sound goes past us: who stays and who comes get each other's descriptions
//! by re-INVITE (RFC 3725 §4.4: the one who comes answers the offer of the one who stays).
//!
//! ```text
//!   attended   stays ◄─ re-INVITE, no offer ─ us          Replaces   comes ─ INVITE, offer ─► us
//!              stays ── 200, offer ─────────► us                     stays ◄─ re-INVITE, offer ─
//!              comes ◄─ re-INVITE, offer ──── us                     stays ── 200, answer ────►
//!              comes ── 200, answer ────────► us                     comes ◄─ 200, answer ─────
//!              stays ◄─ ACK, answer ───────── us
//! ```

use super::transfer::{owner_of, side_of};
use super::{Sound, Transit, TransitSound};
use crate::shard::trunks::TrunkKey;
use crate::shard::{CallShard, Owner};
use crate::translate::cause::{Said, q850_of};
use bytes::Bytes;
use dialer_core::outcome::{EndCause, Party};
use sansio::{Instant, Key};
use sip_proxy::ua::{LegError, LegKey, Reason};
use sip_proxy::wire::Message;

/// How far two legs have got to know each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejoin {
    /// The one who stays is asked for an offer.
    Asking,
    /// The one who comes has it.
    Offered,
    /// The one who stays has the offer of the one who comes, whose INVITE waits.
    Replacing,
}

/// What refuses a transfer while the session cannot be changed.
fn code_of(error: LegError) -> u16 {
    match error {
        LegError::Pending | LegError::WrongState => 491,
        LegError::Gone => 481,
        LegError::Limit => 503,
    }
}

impl CallShard {
    /// Attended: as `join_transits`, in two calls whose sound goes past us.
    pub(super) fn join_bypassed(
        &mut self,
        now: Instant,
        leg: LegKey,
        key: Key<Transit>,
        caller: bool,
        named: LegKey,
    ) -> Result<(), u16> {
        let (other_key, other_caller) = self.ua.owner(named).and_then(side_of).ok_or(603_u16)?;
        let other = self.transits.get(other_key).ok_or(603_u16)?;
        let joinable = other.answered.is_some()
            && other.transfer.is_none()
            && other.rejoin.is_none()
            && matches!(other.sound, TransitSound::Bypass)
            && other_key != key
            && other.leg_of(other_caller) == named;
        let transit = self.transits.get(key).ok_or(481_u16)?;
        if !joinable || transit.rejoin.is_some() {
            return Err(603);
        }
        let stays = transit.leg_of(!caller);
        self.ua.reinvite(now, stays, &[], &mut self.sip_out).map_err(code_of)?;
        let Some(other) = self.transits.get_mut(other_key) else { return Err(603) };
        let (far, _, trunk) =
            other.seat(!other_caller, LegKey::from_bits(0), Sound::none(), TrunkKey::from_bits(0));
        self.ua.adopt(far, owner_of(key, caller).to_bits());
        let _ = self.ua.accept_refer(now, leg, &mut self.sip_out);
        let _ = self.ua.notify_refer(now, leg, 200, &mut self.sip_out);
        self.take_bypassed_seat(now, key, caller, (far, trunk), Rejoin::Asking);
        let by = if other_caller { Party::Caller } else { Party::Customer };
        self.end_transit(now, other_key, by, EndCause::Normal, Some(200), Said::default());
        Ok(())
    }

    /// An INVITE is to take the place of a leg in a call whose sound goes past us.
    pub(super) fn replace_bypassed(
        &mut self,
        now: Instant,
        leg: LegKey,
        key: Key<Transit>,
        caller: bool,
        replaced: LegKey,
        request: &Message,
    ) -> Result<(), u16> {
        let transit = self.transits.get(key).ok_or(481_u16)?;
        if transit.leg_of(caller) != replaced || transit.transfer.is_some() || transit.rejoin.is_some() {
            return Err(491);
        }
        // Without an offer there is nothing to tell the one who stays.
        let Some(offer) = request.session_description() else {
            return Err(488);
        };
        let stays = transit.leg_of(!caller);
        let trunk = if caller { transit.from } else { transit.to };
        self.ua.reinvite(now, stays, &offer, &mut self.sip_out).map_err(code_of)?;
        self.ua.adopt(leg, owner_of(key, caller).to_bits());
        // The trunk of who goes stays in use, as one whose sound we relay does.
        if let Some(transit) = self.transits.get_mut(key) {
            transit.seat(caller, leg, Sound::none(), trunk);
            transit.rejoin = Some(Rejoin::Replacing);
        }
        self.let_go(now, replaced);
        Ok(())
    }

    fn take_bypassed_seat(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        caller: bool,
        (leg, trunk): (LegKey, TrunkKey),
        rejoin: Rejoin,
    ) {
        let Some(transit) = self.transits.get_mut(key) else { return };
        let (gone, _, its_trunk) = transit.seat(caller, leg, Sound::none(), trunk);
        transit.rejoin = Some(rejoin);
        self.let_go(now, gone);
        self.trunks.release(its_trunk);
    }

    fn let_go(&mut self, now: Instant, leg: LegKey) {
        let reason = Reason { q850: Some(q850_of(EndCause::Normal)), ..Reason::default() };
        self.ua.adopt(leg, 0);
        self.ua.hangup(now, leg, reason, &mut self.sip_out);
    }

    /// The verdict of one side on a re-INVITE of ours, where two legs get to know each other. True when it was about that.
    pub(super) fn rejoin_goes_on(
        &mut self,
        now: Instant,
        owner: Owner,
        verdict: &Result<Option<Bytes>, u16>,
    ) -> bool {
        let Some((key, from_caller)) = side_of(owner.to_bits()) else { return false };
        let Some(transit) = self.transits.get_mut(key) else { return false };
        let Some(rejoin) = transit.rejoin else { return false };
        let other = transit.leg_of(!from_caller);
        let done = match (rejoin, verdict) {
            (Rejoin::Asking, Ok(Some(offer))) => {
                transit.rejoin = Some(Rejoin::Offered);
                self.ua.reinvite(now, other, offer, &mut self.sip_out).is_ok()
            }
            (Rejoin::Offered, Ok(Some(answer))) => {
                transit.rejoin = None;
                self.ua.answer_late(now, other, answer, &mut self.sip_out);
                true
            }
            (Rejoin::Replacing, Ok(Some(answer))) => {
                transit.rejoin = None;
                self.ua.answer(now, other, answer, &mut self.sip_out).is_ok()
            }
            (_, Ok(None) | Err(_)) => false,
        };
        if !done {
            // They have no session in common, and who could go back to is gone.
            self.end_transit(now, key, Party::System, EndCause::Incompatible, Some(488), Said::default());
        }
        true
    }
}
