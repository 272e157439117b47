//! Others in a call besides customer and agent: supervisors who listen, whisper or barge, and third parties.
//!
//! ```text
//!   called ──► up ──► gone            `ParticipantJoined` once at most, `ParticipantLeft` once, on every path
//!                └──► in the agent's seat (take-over; or the agent leaves customer and third party together)
//! ```
//! Who hears whom is worked out anew from who is there, after every change, in one place: [`CallShard::settle_mix`].

use super::transfer::Calling;
use super::{Call, Sound};
use crate::doors::ShardEffect;
use crate::shard::{CallShard, Owner, Why};
use crate::translate::cause::{TAKEN, cause_of, q850_of};
use crate::translate::sdp;
use dialer_core::outcome::EndCause;
use dialer_core::participant::{SupervisionMode, Way};
use dialer_core::{CallFact, LegId};
use media::StreamKey;
use sansio::{Duration, Instant, Key, Outbox, TimerKey};
use sip_proxy::ua::{Ended, LegKey, Reason};

/// One who takes part, or is being called for it.
#[derive(Debug)]
pub(crate) struct Participant {
    pub(crate) id: LegId,
    call: Key<Call>,
    pub(crate) calling: Calling,
    /// Waits for the answer at most until then; `None`: up.
    ringing: Option<TimerKey>,
    /// `None`: a third party.
    mode: Option<SupervisionMode>,
    /// The number or the phone's name.
    to: String,
}

impl Participant {
    pub(crate) fn is_third_party(&self) -> bool {
        self.mode.is_none()
    }

    pub(crate) fn call(&self) -> Key<Call> {
        self.call
    }

    pub(crate) fn is_ringing(&self) -> bool {
        self.ringing.is_some()
    }
}

impl CallShard {
    /// Calls someone into a call.
    #[expect(clippy::too_many_arguments, reason = "the fields of one order")]
    pub(super) fn join(
        &mut self,
        now: Instant,
        key: Key<Call>,
        id: LegId,
        way: &Way,
        mode: Option<SupervisionMode>,
        ring_timeout_ms: u32,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(call) = self.calls.get(key) else { return };
        let name = call.id;
        match self.try_join(now, key, id, way, mode, ring_timeout_ms) {
            Ok(participant) => {
                if let Some(call) = self.calls.get_mut(key) {
                    call.participants.push(participant);
                }
            }
            Err(cause) => {
                self.tell(CallFact::ParticipantLeft { call: name, leg: id, cause, took_over: false }, out);
            }
        }
    }

    fn try_join(
        &mut self,
        now: Instant,
        key: Key<Call>,
        id: LegId,
        way: &Way,
        mode: Option<SupervisionMode>,
        ring_timeout_ms: u32,
    ) -> Result<Key<Participant>, EndCause> {
        // The leg's owner is the participant's key, so that has to be there first.
        let nobody = Calling { leg: LegKey::from_bits(0), sound: Sound::none(), trunk: None };
        let unplaced = Participant { id, call: key, calling: nobody, ringing: None, mode, to: String::new() };
        let participant = self.participants.insert(unplaced).map_err(|_| EndCause::LocalLimit)?;
        match self.call_by(now, key, Owner::Participant(participant), way) {
            Ok((calling, to)) => {
                let longest = Duration::from_millis(u64::from(ring_timeout_ms));
                let why = Why::ParticipantRingsTooLong(participant);
                let ringing = Some(self.deadlines.arm(now + longest, why));
                if let Some(entry) = self.participants.get_mut(participant) {
                    (entry.calling, entry.ringing, entry.to) = (calling, ringing, to);
                }
                Ok(participant)
            }
            Err(cause) => {
                self.participants.remove(participant);
                Err(cause)
            }
        }
    }

    /// Calls a phone or a number for a call that stands. The name is that of the phone, or the number.
    pub(super) fn call_by(
        &mut self,
        now: Instant,
        key: Key<Call>,
        owner: Owner,
        way: &Way,
    ) -> Result<(Calling, String), EndCause> {
        match way {
            Way::Phone { agent, auto_answer, display } => {
                let phone = self.call_phone(now, *agent, owner, *auto_answer, display)?;
                self.note_guest(key, phone.leg);
                let account = self.agents.key_of(*agent).and_then(|account| self.agents.get(account));
                let to = account.map(|account| account.username.clone()).unwrap_or_default();
                Ok((phone, to))
            }
            Way::Number { trunk, to, caller_id, .. } => {
                let trunk = self.trunks.key_of(*trunk).ok_or(EndCause::NoTrunk)?;
                let calling =
                    self.call_number(now, Some(key), owner, trunk, to, caller_id.clone(), None, true);
                Ok((calling.map_err(|_| EndCause::Congestion)?, to.clone()))
            }
        }
    }

    /// The participant answered.
    pub(crate) fn participant_answered(
        &mut self,
        now: Instant,
        key: Key<Participant>,
        body: Option<&[u8]>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let local = participant.calling.sound.local;
        let Some(plan) = body.and_then(|body| sdp::read_answer(&local, body).ok()) else {
            self.drop_participant(now, key, EndCause::Incompatible, out);
            return;
        };
        let Some(ringing) = participant.ringing.take() else { return };
        self.deadlines.cancel(ringing);
        let (call_key, leg, mode) = (participant.call, participant.id, participant.mode);
        let stream = participant.calling.sound.stream;
        self.plane.set_remote(now, stream, plan.remote, &mut self.media_out);
        let Some(call) = self.calls.get(call_key) else { return };
        self.tell(CallFact::ParticipantJoined { call: call.id, leg }, out);
        if mode == Some(SupervisionMode::TakeOver) {
            self.seat_participant(now, key, out);
        } else {
            self.settle_mix(now, call_key);
        }
    }

    /// The participant's leg is over.
    pub(crate) fn participant_ended(
        &mut self,
        now: Instant,
        key: Key<Participant>,
        ended: &Ended,
        out: &mut Outbox<ShardEffect>,
    ) {
        self.drop_participant(now, key, cause_of(ended), out);
    }

    /// Changes how a supervisor takes part.
    pub(super) fn set_mode(
        &mut self,
        now: Instant,
        key: Key<Call>,
        leg: LegId,
        mode: SupervisionMode,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(participant) = self.participant_of(key, leg) else {
            self.counters.orders_late += 1;
            return;
        };
        let Some(entry) = self.participants.get_mut(participant) else { return };
        entry.mode = Some(mode);
        if entry.is_ringing() {
            return;
        }
        if mode == SupervisionMode::TakeOver {
            self.seat_participant(now, participant, out);
        } else {
            self.settle_mix(now, key);
        }
    }

    /// The participant of this name in a call.
    pub(super) fn participant_of(&self, key: Key<Call>, leg: LegId) -> Option<Key<Participant>> {
        let all = &self.calls.get(key)?.participants;
        let named = |key: &Key<Participant>| self.participants.get(*key).is_some_and(|entry| entry.id == leg);
        all.iter().copied().find(named)
    }

    /// Takes a participant out of its call, which goes on.
    pub(crate) fn drop_participant(
        &mut self,
        now: Instant,
        key: Key<Participant>,
        cause: EndCause,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(participant) = self.participants.remove(key) else { return };
        let (call_key, leg) = (participant.call, participant.id);
        self.end_participant(now, &participant, cause);
        let Some(call) = self.calls.get_mut(call_key) else { return };
        call.participants.retain(|other| *other != key);
        let call = call.id;
        self.settle_mix(now, call_key);
        self.tell(CallFact::ParticipantLeft { call, leg, cause, took_over: false }, out);
    }

    /// The call is over, and with it all who take part.
    pub(super) fn drop_all_participants(
        &mut self,
        now: Instant,
        key: Key<Call>,
        cause: EndCause,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let (call, all) = (call.id, std::mem::take(&mut call.participants));
        for participant in all {
            let Some(participant) = self.participants.remove(participant) else { continue };
            self.end_participant(now, &participant, cause);
            let leg = participant.id;
            self.tell(CallFact::ParticipantLeft { call, leg, cause, took_over: false }, out);
        }
    }

    fn end_participant(&mut self, now: Instant, participant: &Participant, cause: EndCause) {
        let Calling { leg, sound, trunk } = participant.calling;
        if let Some(ringing) = participant.ringing {
            self.deadlines.cancel(ringing);
        }
        // What still comes of the leg concerns nobody.
        self.ua.adopt(leg, 0);
        let reason = Reason { q850: Some(q850_of(cause)), ..Reason::default() };
        self.ua.hangup(now, leg, reason, &mut self.sip_out);
        self.plane.close(now, sound.stream, &mut self.media_out);
        if let Some(trunk) = trunk {
            self.trunks.release(trunk);
        }
    }

    /// Gives a participant, who is up, the agent's seat; the agent is out of the call.
    pub(super) fn seat_participant(
        &mut self,
        now: Instant,
        key: Key<Participant>,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(call_key) = self.participants.get(key).map(|participant| participant.call) else { return };
        let Some(call) = self.calls.get_mut(call_key) else { return };
        let Some(agent) = call.own_agent().map(|side| side.agent) else {
            self.counters.orders_late += 1;
            return;
        };
        call.participants.retain(|other| *other != key);
        let id = call.id;
        let Some(Participant { id: leg, calling, to, .. }) = self.participants.remove(key) else { return };
        let fact = CallFact::ParticipantLeft { call: id, leg, cause: EndCause::Normal, took_over: true };
        self.tell(fact, out);
        self.drop_guest(now, call_key, TAKEN);
        self.agent_leaves(now, call_key, agent, to, out);
        self.plane.leave_mix(now, calling.sound.stream);
        if calling.trunk.is_some() {
            // Given back with the leg, as for every guest.
            self.agents.begin_call(agent);
        }
        self.seat_guest(now, call_key, agent, calling);
    }

    /// The agent's leg is over: a third party who is up stays with the customer. True: the call goes on.
    pub(super) fn leaves_to_third_party(
        &mut self,
        now: Instant,
        key: Key<Call>,
        out: &mut Outbox<ShardEffect>,
    ) -> bool {
        let Some(call) = self.calls.get(key).filter(|call| call.own_agent().is_some()) else { return false };
        let third = call.participants.iter().copied().find(|participant| {
            let found = self.participants.get(*participant);
            found.is_some_and(|found| found.mode.is_none() && !found.is_ringing())
        });
        let Some(third) = third else { return false };
        self.seat_participant(now, third, out);
        true
    }

    /// Makes each side of a call hear whom it should: the one place that says who hears whom.
    pub(crate) fn settle_mix(&mut self, now: Instant, key: Key<Call>) {
        let Some(call) = self.calls.get(key) else { return };
        let Some(customer) = call.answered_customer().map(|side| side.sound.stream) else { return };
        let agent = self.agent_sound(key).map(|(stream, _)| stream).filter(|_| call.bridged);
        let up: Vec<(StreamKey, Option<SupervisionMode>)> = call
            .participants
            .iter()
            .filter_map(|participant| self.participants.get(*participant))
            .filter(|participant| !participant.is_ringing())
            .map(|participant| (participant.calling.sound.stream, participant.mode))
            .collect();
        let (held, muted) = (call.held, call.muted);
        let by_all = |mode: &Option<SupervisionMode>| matches!(mode, None | Some(SupervisionMode::Barge));
        let by_agent =
            |mode: &Option<SupervisionMode>| by_all(mode) || matches!(mode, Some(SupervisionMode::Whisper));
        let heard = |stream: StreamKey, rule: &dyn Fn(&Option<SupervisionMode>) -> bool| {
            let others = up.iter().filter(move |(other, mode)| *other != stream && rule(mode));
            let sides = [Some(customer), agent].into_iter().flatten().filter(move |side| *side != stream);
            sides.chain(others.map(|(other, _)| *other)).collect::<Vec<StreamKey>>()
        };
        let mut sets = vec![(customer, if held { Vec::new() } else { heard(customer, &by_all) })];
        sets.extend(agent.map(|agent| (agent, heard(agent, &by_agent))));
        sets.extend(up.iter().map(|(stream, _)| (*stream, heard(*stream, &by_all))));
        for (stream, set) in sets {
            // Who hears the peer alone, or nobody because nobody is there, needs no mixing.
            let plain = self.plane.peer(stream).map_or(set.is_empty() && !held, |peer| set == [peer]);
            if plain {
                self.plane.unmix(now, stream);
            } else {
                self.plane.mix(now, stream, &set);
            }
        }
        self.plane.mute(customer, muted.customer || held);
        if let Some(agent) = agent {
            self.plane.mute(agent, muted.agent);
        }
    }
}
