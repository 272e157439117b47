//! What one side says, in the other side's words: progress, answer, re-INVITE.

use super::admit::carried;
use super::{Transit, TransitSound};
use crate::doors::ShardEffect;
use crate::shard::{CallShard, Owner};
use crate::translate::cause::Said;
use crate::translate::format::{self, CODECS, Wish};
use crate::translate::sdp;
use bytes::Bytes;
use dialer_core::outcome::{EndCause, Party};
use dialer_core::{CallFact, RecordingId};
use sansio::{Instant, Key, Outbox};
use sip_proxy::ua::{LegError, LegKey};

impl CallShard {
    /// What the caller is told next is said in the early dialog that goes with this one of the called side.
    pub(in crate::call) fn turn_caller_to_fork(&mut self, caller: LegKey, fork: u64) {
        let before = self.ua.tag_of(caller);
        if self.ua.turn_to_fork(caller, fork) {
            self.trace.note_successor(before, self.ua.tag_of(caller));
        }
    }

    /// The same where the caller gets the description of who is called, which is another one from each fork. What goes
    /// through us has one description.
    fn turn_to_described_fork(&mut self, key: Key<Transit>, fork: u64) {
        let past_us = self.transits.get(key).filter(|transit| !transit.sound.is_relayed());
        if let Some(caller) = past_us.map(|transit| transit.caller) {
            self.turn_caller_to_fork(caller, fork);
        }
    }

    /// The called side made progress.
    ///
    /// * `fork` in this early dialog
    pub(crate) fn transit_progress(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        (code, fork): (u16, u64),
        body: Option<Bytes>,
    ) {
        self.turn_to_described_fork(key, fork);
        self.pass_along(key, false, body.as_deref());
        let body = match body {
            Some(body) => self.describe_for_caller(now, key, body).ok(),
            None => None,
        };
        let Some(transit) = self.transits.get_mut(key) else { return };
        let (call, first) = (transit.id, transit.ringing.is_none());
        transit.ringing.get_or_insert(now);
        // From here on the caller hears this trunk.
        transit.again = None;
        let _ = self.ua.provisional(now, transit.caller, code, body.as_deref(), &mut self.sip_out);
        self.passed_along(key, false);
        if first {
            self.tell_transit(now, CallFact::TransitRinging { call });
        }
    }

    /// The called side answered.
    ///
    /// * `fork` the early dialog of who did
    pub(crate) fn transit_answered(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        fork: u64,
        body: Option<Bytes>,
        out: &mut Outbox<ShardEffect>,
    ) {
        self.turn_to_described_fork(key, fork);
        self.pass_along(key, false, body.as_deref());
        let Some(body) = body.and_then(|body| self.describe_for_caller(now, key, body).ok()) else {
            self.end_transit(now, key, Party::System, EndCause::Incompatible, Some(488), Said::default());
            return;
        };
        let Some(transit) = self.transits.get_mut(key) else { return };
        transit.answered = Some(now);
        transit.again = None;
        let (call, caller) = (transit.id, transit.caller);
        if self.ua.answer(now, caller, &body, &mut self.sip_out).is_err() {
            // Its CANCEL was faster.
            self.end_transit(now, key, Party::Caller, EndCause::Cancelled, Some(487), Said::default());
            return;
        }
        self.passed_along(key, false);
        self.counters.transits_answered += 1;
        self.watch_transit(now, key);
        let at = self.clock.wall_at(now);
        self.tell_transit(now, CallFact::TransitAnswered { call, at });
        self.record_transit(now, key, out);
    }

    fn record_transit(&mut self, now: Instant, key: Key<Transit>, out: &mut Outbox<ShardEffect>) {
        let Some(transit) = self.transits.get(key) else { return };
        if transit.record && transit.sound.is_relayed() && transit.first_recording.is_none() {
            let recording = RecordingId::generate(self.clock.wall_at(now), &mut self.rng);
            self.start_transit_recording(now, key, recording, out);
        }
    }

    /// Turns what the called side described into what the caller is told, and joins the streams.
    fn describe_for_caller(
        &mut self,
        now: Instant,
        key: Key<Transit>,
        body: Bytes,
    ) -> Result<Bytes, sdp::SdpFault> {
        let transit = self.transits.get(key).ok_or(sdp::SdpFault::Incompatible)?;
        let TransitSound::Relay { caller, callee, offer } = &transit.sound else { return Ok(body) };
        let (caller, callee) = (*caller, *callee);
        let (offered, noise) = self.offered_to_callee(key)?;
        let mut plan = sdp::read_answer_to(&callee.local, &body, &offered)?;
        plan.remote.comfort_noise &= noise;
        let text = if offer.is_empty() {
            // The caller asked us to offer: the codec the other side took, so that nothing has to be translated.
            sdp::offer(&caller.local, &format::led_by(Some(plan.codec())))
        } else {
            let (caller_plan, text) = {
                let wish = Wish { codec: Some(plan.codec()), comfort_noise: plan.remote.comfort_noise };
                sdp::answer(offer, &caller.local, wish)?
            };
            self.plane.set_remote(now, caller.stream, caller_plan.remote, &mut self.media_out);
            text
        };
        self.plane.set_remote(now, callee.stream, plan.remote, &mut self.media_out);
        if self.plane.peer(caller.stream) != Some(callee.stream) {
            self.plane.connect(now, caller.stream, callee.stream, &mut self.media_out);
        }
        Ok(text)
    }

    /// The codecs that the called side was offered, and whether comfort noise, in a call whose sound goes through us.
    pub(in crate::call) fn offered_to_callee(
        &self,
        key: Key<Transit>,
    ) -> Result<(Vec<format::Format>, bool), sdp::SdpFault> {
        let transit = self.transits.get(key).ok_or(sdp::SdpFault::Incompatible)?;
        match &transit.sound {
            TransitSound::Relay { caller, offer, .. } if !offer.is_empty() => {
                carried(&caller.local.security, offer, transit.record)
            }
            TransitSound::Relay { .. } | TransitSound::Bypass => Ok((CODECS.to_vec(), false)),
        }
    }

    /// The caller acknowledged our answer; with an answer of its own, if we made the offer.
    pub(crate) fn transit_confirmed(&mut self, now: Instant, key: Key<Transit>, body: Option<Bytes>) {
        let (Some(transit), Some(body)) = (self.transits.get(key), body) else { return };
        if let TransitSound::Relay { caller, .. } = &transit.sound
            && let Ok(plan) = sdp::read_answer(&caller.local, &body)
        {
            self.plane.set_remote(now, caller.stream, plan.remote, &mut self.media_out);
        }
    }

    /// One side wants to change the session.
    ///
    /// * `by_update` by UPDATE, in this early dialog where the call is not answered
    pub(crate) fn transit_reoffer(
        &mut self,
        now: Instant,
        leg: LegKey,
        owner: Owner,
        body: Option<Bytes>,
        by_update: Option<u64>,
    ) {
        let (key, from_caller) = match owner {
            Owner::TransitIn(key) => (key, true),
            Owner::TransitOut(key) => (key, false),
            Owner::Customer(_)
            | Owner::Agent(_)
            | Owner::Session(_)
            | Owner::TransitThird(_)
            | Owner::Guest(_)
            | Owner::Participant(_) => return,
        };
        let Some(transit) = self.transits.get_mut(key) else {
            let _ = self.ua.reject_reinvite(now, leg, 481, &mut self.sip_out);
            return;
        };
        let other = if from_caller { transit.callee } else { transit.caller };
        match &mut transit.sound {
            TransitSound::Relay { caller, callee, .. } => {
                let side = if from_caller { caller } else { callee };
                side.local.version += 1;
                let side = *side;
                if let Some(plan) = self.answer_reoffer(now, leg, &side, body.as_deref()) {
                    self.plane.set_remote(now, side.stream, plan.remote, &mut self.media_out);
                }
            }
            TransitSound::Bypass if transit.rejoin.is_some() => {
                let _ = self.ua.reject_reinvite(now, leg, 491, &mut self.sip_out);
            }
            TransitSound::Bypass => {
                self.pass_along(key, from_caller, body.as_deref());
                // Without an offer the other side is asked for one; its answer comes with this side's ACK.
                let body = body.unwrap_or_default();
                // An UPDATE stays one where the other side takes it, and has to where the call is not answered yet.
                let fork = by_update.filter(|_| !body.is_empty() && self.ua.can_update(other));
                let passed = if let Some(fork) = fork {
                    self.ua.turn_to_fork(other, fork);
                    self.ua.update(now, other, &body, &mut self.sip_out)
                } else {
                    self.ua.reinvite(now, other, &body, &mut self.sip_out)
                };
                let code = match passed {
                    Ok(()) => return,
                    Err(LegError::Pending | LegError::WrongState) => 491,
                    Err(LegError::Gone) => 481,
                    Err(LegError::Limit) => 503,
                };
                let _ = self.ua.reject_reinvite(now, leg, code, &mut self.sip_out);
            }
        }
    }

    /// The other side's verdict on a passed re-INVITE: its answer, or the code it refused with.
    pub(crate) fn transit_reoffer_done(
        &mut self,
        now: Instant,
        owner: Owner,
        verdict: Result<Option<Bytes>, u16>,
    ) {
        if self.rejoin_goes_on(now, owner, &verdict) {
            return;
        }
        // The verdict comes from one side and is for the other.
        let asker = match owner {
            Owner::TransitIn(key) => self.transits.get(key).map(|transit| transit.callee),
            Owner::TransitOut(key) => self.transits.get(key).map(|transit| transit.caller),
            Owner::Customer(_)
            | Owner::Agent(_)
            | Owner::Session(_)
            | Owner::TransitThird(_)
            | Owner::Guest(_)
            | Owner::Participant(_) => None,
        };
        let Some(asker) = asker else { return };
        let sides = match owner {
            Owner::TransitIn(key) => Some((key, true)),
            Owner::TransitOut(key) => Some((key, false)),
            _ => None,
        };
        if let (Some((key, from_caller)), Ok(body)) = (sides, &verdict) {
            self.pass_along(key, from_caller, body.as_deref());
        }
        let _ = match verdict {
            Ok(Some(body)) => self.ua.answer_reinvite(now, asker, &body, &mut self.sip_out),
            Ok(None) => self.ua.reject_reinvite(now, asker, 488, &mut self.sip_out),
            Err(code) => self.ua.reject_reinvite(now, asker, code, &mut self.sip_out),
        };
    }

    /// The answer to our own offer in an empty re-INVITE's response.
    pub(crate) fn transit_reoffer_confirmed(&mut self, now: Instant, owner: Owner, body: &[u8]) {
        let other = match owner {
            Owner::TransitIn(key) => self.transits.get(key).map(|transit| (&transit.sound, transit.callee)),
            Owner::TransitOut(key) => self.transits.get(key).map(|transit| (&transit.sound, transit.caller)),
            _ => None,
        };
        if let Some((TransitSound::Bypass, other)) = other {
            self.ua.answer_late(now, other, body, &mut self.sip_out);
            return;
        }
        let sound = match owner {
            Owner::TransitIn(key) => match self.transits.get(key).map(|transit| &transit.sound) {
                Some(TransitSound::Relay { caller, .. }) => *caller,
                _ => return,
            },
            Owner::TransitOut(key) => match self.transits.get(key).map(|transit| &transit.sound) {
                Some(TransitSound::Relay { callee, .. }) => *callee,
                _ => return,
            },
            Owner::Customer(_)
            | Owner::Agent(_)
            | Owner::Session(_)
            | Owner::TransitThird(_)
            | Owner::Guest(_)
            | Owner::Participant(_) => return,
        };
        if let Ok(plan) = sdp::read_answer(&sound.local, body) {
            self.plane.set_remote(now, sound.stream, plan.remote, &mut self.media_out);
        }
    }
}
