//! A peer changes its session with a re-INVITE: hold, resume, another address or codec.
//!
//! Each side's offer is answered here and not passed on: our streams stay where they are, and the silence of a held
//! side is made by the media plane.

use super::{AgentLink, Sound};
use crate::doors::ShardEffect;
use crate::shard::{CallShard, Owner};
use crate::translate::format::CODECS;
use crate::translate::sdp::{self, StreamPlan};
use dialer_core::outcome::Party;
use dialer_core::{CallFact, CallId};
use sansio::{Instant, Outbox};
use sip_proxy::ua::LegKey;

impl CallShard {
    /// Answers a re-INVITE on a leg of a dialled call or a session.
    pub(crate) fn reoffer(
        &mut self,
        now: Instant,
        leg: LegKey,
        owner: Owner,
        body: Option<&[u8]>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(mut sound) = self.sound_of(owner) else {
            // Nothing is known of this leg any more; it is being hung up.
            let _ = self.ua.reject_reinvite(now, leg, 481, &mut self.sip_out);
            return;
        };
        sound.local.version += 1;
        let plan = self.answer_reoffer(now, leg, &sound, body);
        self.set_local_version(owner, sound.local.version);
        if let Some(plan) = plan {
            self.apply_plan(now, owner, sound, plan, out);
        }
    }

    /// The answer to an offer of ours that went out in the response to an empty re-INVITE.
    pub(crate) fn reoffer_confirmed(
        &mut self,
        now: Instant,
        owner: Owner,
        body: &[u8],
        out: &mut Outbox<ShardEffect>,
    ) {
        if let Some(sound) = self.sound_of(owner)
            && let Ok(plan) = sdp::read_answer(&sound.local, body)
        {
            self.apply_plan(now, owner, sound, plan, out);
        }
    }

    /// Answers a re-INVITE for one stream; what the peer's offer means, if it made one we can take.
    pub(crate) fn answer_reoffer(
        &mut self,
        now: Instant,
        leg: LegKey,
        sound: &Sound,
        body: Option<&[u8]>,
    ) -> Option<StreamPlan> {
        let Some(body) = body else {
            let offer = sdp::offer(&sound.local, &CODECS);
            let _ = self.ua.answer_reinvite(now, leg, &offer, &mut self.sip_out);
            return None;
        };
        match sdp::answer(body, &sound.local, self.wish_for(sound.stream)) {
            Ok((plan, answer)) => {
                self.ua.answer_reinvite(now, leg, &answer, &mut self.sip_out).ok()?;
                Some(plan)
            }
            Err(fault) => {
                let code = if fault == sdp::SdpFault::Malformed { 400 } else { 488 };
                let _ = self.ua.reject_reinvite(now, leg, code, &mut self.sip_out);
                None
            }
        }
    }

    fn apply_plan(
        &mut self,
        now: Instant,
        owner: Owner,
        sound: Sound,
        plan: StreamPlan,
        out: &mut Outbox<ShardEffect>,
    ) {
        self.plane.set_remote(now, sound.stream, plan.remote, &mut self.media_out);
        let Some((call, party)) = self.note_held(owner, plan.held) else { return };
        let joined = match owner {
            Owner::Customer(key) | Owner::Agent(key) => Some(key),
            Owner::Session(key) => self.joined_call_of_session(key),
            Owner::TransitIn(_) | Owner::TransitOut(_) | Owner::TransitThird(_) => None,
            Owner::Guest(_) | Owner::Participant(_) => None,
        };
        if let Some(key) = joined {
            self.hold_changed(now, key, party, plan.held);
        }
        let fact = if plan.held { CallFact::Held { call, party } } else { CallFact::Resumed { call, party } };
        self.tell(fact, out);
    }

    /// Remembers that a side holds; the call it changes, when it is a change.
    fn note_held(&mut self, owner: Owner, held: bool) -> Option<(CallId, Party)> {
        match owner {
            Owner::Customer(key) => {
                let call = self.calls.get_mut(key)?;
                let before = std::mem::replace(&mut call.customer.as_mut()?.held, held);
                (before != held).then_some((call.id, Party::Customer))
            }
            Owner::Agent(key) => {
                let call = self.calls.get_mut(key)?;
                let AgentLink::Up { held: before, .. } = &mut call.agent.as_mut()?.link else { return None };
                (std::mem::replace(before, held) != held).then_some((call.id, Party::Agent))
            }
            Owner::Session(key) => {
                let session = self.sessions.get_mut(key)?;
                let before = std::mem::replace(&mut session.held, held);
                let call = self.calls.get(session.call?)?;
                (before != held && call.bridged).then_some((call.id, Party::Agent))
            }
            Owner::TransitIn(_) | Owner::TransitOut(_) | Owner::TransitThird(_) => None,
            Owner::Guest(_) | Owner::Participant(_) => None,
        }
    }

    fn sound_of(&self, owner: Owner) -> Option<Sound> {
        match owner {
            Owner::Customer(key) => Some(self.calls.get(key)?.customer.as_ref()?.sound),
            Owner::Agent(key) => match &self.calls.get(key)?.agent.as_ref()?.link {
                AgentLink::Ringing { sound, .. } | AgentLink::Up { sound, .. } => Some(*sound),
                AgentLink::Session(_) => None,
            },
            Owner::Session(key) => Some(self.sessions.get(key)?.sound),
            Owner::Participant(key) => Some(self.participants.get(key)?.calling.sound),
            Owner::TransitIn(_) | Owner::TransitOut(_) | Owner::TransitThird(_) | Owner::Guest(_) => None,
        }
    }

    fn set_local_version(&mut self, owner: Owner, version: u64) {
        match owner {
            Owner::Customer(key) => {
                if let Some(side) = self.calls.get_mut(key).and_then(|call| call.customer.as_mut()) {
                    side.sound.local.version = version;
                }
            }
            Owner::Agent(key) => {
                if let Some(side) = self.calls.get_mut(key).and_then(|call| call.agent.as_mut())
                    && let AgentLink::Up { sound, .. } | AgentLink::Ringing { sound, .. } = &mut side.link
                {
                    sound.local.version = version;
                }
            }
            Owner::Session(key) => {
                if let Some(session) = self.sessions.get_mut(key) {
                    session.sound.local.version = version;
                }
            }
            Owner::Participant(key) => {
                if let Some(participant) = self.participants.get_mut(key) {
                    participant.calling.sound.local.version = version;
                }
            }
            Owner::TransitIn(_) | Owner::TransitOut(_) | Owner::TransitThird(_) | Owner::Guest(_) => {}
        }
    }
}
