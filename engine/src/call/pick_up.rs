//! What rings at one phone is taken at another: an INVITE with Replaces names the early dialog (RFC 3891 §3).
//!
//! ```text
//!   before   A ── us ── INVITE ──► B, rings          C: INVITE, Replaces: the early dialog with B
//!   after    A ══ us ══ C                            B: CANCEL, "Call completed elsewhere"
//! ```
//! It is as if B had answered with what C offers, whatever B was called for.

use super::transit::TransitSound;
use super::{AgentLink, CustomerState, SessionState, Sound};
use crate::doors::ShardEffect;
use crate::shard::{CallShard, Owner};
use crate::translate::cause::TAKEN;
use crate::translate::format::{CODECS, Wish};
use crate::translate::sdp::{self, LocalSecurity};
use bytes::Bytes;
use media::Remote;
use sansio::{Instant, Outbox};
use sip_proxy::ua::LegKey;
use sip_proxy::wire::Message;

impl CallShard {
    /// Gives an INVITE the place of a leg that we are calling, or says with which status it is refused.
    pub(super) fn pick_up(
        &mut self,
        now: Instant,
        leg: LegKey,
        owner: Owner,
        rings: LegKey,
        request: &Message,
        out: &mut Outbox<ShardEffect>,
    ) -> Result<(), u16> {
        // Of many agents who are rung, the one whose leg it is.
        let owner = self.current_owner(owner.to_bits(), rings).ok_or(481_u16)?;
        // Without an offer there is nothing to tell the one who waits.
        let offer = request.session_description().ok_or(488_u16)?;
        // Past us neither side could have the other's answer: both have made an offer.
        let relayed = self.relay_from_now(now, owner)?;
        let (sound, remote) = match self.answer_newcomer(now, leg, owner, rings, &offer) {
            Ok(agreed) => agreed,
            Err(code) => {
                if relayed {
                    self.relay_no_more(now, owner);
                }
                return Err(code);
            }
        };
        self.ua.adopt(rings, 0);
        self.ua.hangup(now, rings, TAKEN, &mut self.sip_out);
        if let (true, Owner::TransitOut(key)) = (relayed, owner)
            && let Some(caller) = self.transits.get(key).map(|transit| transit.caller)
        {
            // What the caller has heard of the session is that of who was called.
            self.turn_caller_to_fork(caller, leg.to_bits());
        }
        self.leg_answered(now, leg, (owner.to_bits(), 0), Some(offer), out);
        // Read as an answer, the offer has said all but under which numbers we have taken it.
        self.plane.set_remote(now, sound.stream, remote, &mut self.media_out);
        self.note_signaller(leg);
        Ok(())
    }

    /// Answers who takes the place, and puts the leg there.
    fn answer_newcomer(
        &mut self,
        now: Instant,
        leg: LegKey,
        owner: Owner,
        rings: LegKey,
        offer: &Bytes,
    ) -> Result<(Sound, Remote), u16> {
        let codecs = match owner {
            Owner::TransitOut(key) => self.offered_to_callee(key).map_err(|_| 488_u16)?.0,
            _ => CODECS.to_vec(),
        };
        let (_, sound) = self.ringing_seat(owner, rings).ok_or(481_u16)?;
        // The keys are those of who was called.
        if !matches!(sound.local.security, LocalSecurity::Plain) {
            return Err(488);
        }
        let plan = sdp::read_answer_to(&sound.local, offer, &codecs).map_err(|_| 488_u16)?;
        let wish = Wish { codec: Some(plan.codec()), comfort_noise: plan.remote.comfort_noise };
        let (plan, text) = sdp::answer(offer, &sound.local, wish).map_err(|_| 488_u16)?;
        self.ua.adopt(leg, owner.to_bits());
        self.ua.answer(now, leg, &text, &mut self.sip_out).map_err(|_| 500_u16)?;
        if let Some((seat, _)) = self.ringing_seat(owner, rings) {
            let before = std::mem::replace(seat, leg);
            self.trace.note_successor(self.ua.tag_of(before), self.ua.tag_of(leg));
        }
        // A person has taken it, not a mailbox.
        match owner {
            Owner::Agent(key) => {
                let side = self.calls.get_mut(key).and_then(|call| call.agent.as_mut());
                if let Some(AgentLink::Ringing { confirm, .. }) = side.map(|side| &mut side.link) {
                    *confirm = None;
                }
            }
            Owner::Session(key) => {
                if let Some(session) = self.sessions.get_mut(key) {
                    session.confirm = None;
                }
            }
            _ => {}
        }
        Ok((sound, plan.remote))
    }

    /// The leg in the place of who is being called, and its sound.
    fn ringing_seat(&mut self, owner: Owner, rings: LegKey) -> Option<(&mut LegKey, Sound)> {
        let seat = match owner {
            Owner::TransitIn(_) => None,
            Owner::TransitOut(key) => self.transits.get_mut(key)?.ringing_callee(),
            Owner::TransitThird(key) => {
                let transfer = self.transits.get_mut(key)?.transfer.as_mut()?;
                Some((&mut transfer.leg, transfer.sound))
            }
            Owner::Guest(key) => {
                let transfer = self.calls.get_mut(key)?.transfer.as_mut()?;
                Some((&mut transfer.guest.leg, transfer.guest.sound))
            }
            Owner::Customer(key) => {
                let side = self.calls.get_mut(key)?.customer.as_mut()?;
                (side.state != CustomerState::Answered).then_some((&mut side.leg, side.sound))
            }
            Owner::Agent(key) => match &mut self.calls.get_mut(key)?.agent.as_mut()?.link {
                AgentLink::Ringing { leg, sound, .. } => Some((leg, *sound)),
                AgentLink::Up { .. } | AgentLink::Session(_) => None,
            },
            Owner::Session(key) => {
                let session = self.sessions.get_mut(key)?;
                let rings = matches!(session.state, SessionState::Ringing(_));
                rings.then_some((&mut session.leg, session.sound))
            }
            Owner::Participant(key) => {
                let participant = self.participants.get_mut(key)?;
                let rings = participant.is_ringing();
                rings.then_some((&mut participant.calling.leg, participant.calling.sound))
            }
        };
        seat.filter(|(leg, _)| **leg == rings)
    }

    /// The sound of a call between trunks that went past us goes through us; false when it does already.
    fn relay_from_now(&mut self, now: Instant, owner: Owner) -> Result<bool, u16> {
        match owner {
            Owner::TransitOut(key) => self.relay_unanswered(now, key),
            _ => Ok(false),
        }
    }

    fn relay_no_more(&mut self, now: Instant, owner: Owner) {
        let Owner::TransitOut(key) = owner else { return };
        if let Some(transit) = self.transits.get_mut(key) {
            let sound = std::mem::replace(&mut transit.sound, TransitSound::Bypass);
            self.close_transit_sound(now, &sound);
        }
    }
}
