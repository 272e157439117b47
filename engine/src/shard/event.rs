//! Events of signalling and sound, and to which step of which call they go.

use super::{CallShard, Owner};
use crate::call::digits::Way;
use crate::call::{AgentLink, Participant};
use crate::doors::{ShardEffect, ShardEvent};
use crate::translate::cause::{
    Said, amd_evidence, amd_verdict, cause_of, early_media_class, passed_code, turn_cue,
};
use crate::translate::dtmf::digit_of_info;
use bytes::Bytes;
use dialer_core::outcome::{EndCause, Party};
use dialer_core::record::ContactRow;
use dialer_core::{AgentFact, CallFact, TrunkFact};
use media::StreamKey;
use sansio::{Instant, Key, Outbox};
use sip_proxy::ua::{self, Caller, EndedBy, LegKey};

impl CallShard {
    pub(super) fn media_event(&mut self, now: Instant, event: media::Event, out: &mut Outbox<ShardEffect>) {
        match event {
            media::Event::Dtmf { owner, digit, duration_ms, source, stream } => {
                // Of many agents who are rung, the one who pressed.
                if let Some(Owner::Agent(key)) = Owner::from_bits(owner)
                    && let Some(call) = self.calls.get_mut(key)
                {
                    call.seat_stream(stream);
                }
                let way = match source {
                    media::DigitSource::Event => Way::Event,
                    media::DigitSource::InBand => Way::InBand,
                };
                self.digit(now, owner, way, (digit, duration_ms), out);
            }
            media::Event::AmdVerdict { owner, verdict, cause, confidence, after_answer_ms, .. } => {
                if let Some(Owner::Customer(key)) = Owner::from_bits(owner)
                    && let Some(call) = self.calls.get(key)
                {
                    let fact = CallFact::Amd {
                        call: call.id,
                        verdict: amd_verdict(verdict),
                        confidence,
                        evidence: amd_evidence(cause),
                        after_answer_ms: u64::from(after_answer_ms),
                    };
                    self.tell(fact, out);
                }
            }
            media::Event::Turn { owner, cue, after_answer_ms, .. } => {
                if let Some(Owner::Customer(key)) = Owner::from_bits(owner)
                    && let Some(call) = self.calls.get(key)
                {
                    let after_answer_ms = u64::from(after_answer_ms);
                    self.tell(CallFact::Turn { call: call.id, cue: turn_cue(cue), after_answer_ms }, out);
                }
            }
            media::Event::Utterance { owner, samples, .. } => {
                if let Some(Owner::Customer(key)) = Owner::from_bits(owner)
                    && let Some(call) = self.calls.get(key)
                {
                    out.push(ShardEffect::Words { call: call.id, samples });
                }
            }
            media::Event::EarlyMedia { owner, class, confidence, announcement, .. } => {
                if let Some(Owner::Customer(key)) = Owner::from_bits(owner)
                    && let Some(call) = self.calls.get(key)
                    && call.answered_customer().is_none()
                {
                    let class = early_media_class(class);
                    let announcement = announcement.and_then(|place| self.plane.announcement_name(place));
                    let fact = CallFact::EarlyMedia { call: call.id, class, confidence, announcement };
                    self.tell(fact, out);
                }
            }
            media::Event::PlayDone { owner, tag, completed, .. } => {
                if let Some(Owner::Customer(key)) = Owner::from_bits(owner) {
                    self.play_done(key, tag, completed, out);
                }
            }
            media::Event::Audio { owner, state, one_way, .. } => {
                self.audio_changed(owner, state, one_way, out);
            }
            media::Event::MediaTimeout { owner, .. } => self.media_timeout(now, owner, out),
            media::Event::Failed { owner, stream, .. } => self.stream_failed(now, owner, stream, out),
        }
    }

    fn digit(
        &mut self,
        now: Instant,
        owner: u64,
        way: Way,
        (digit, duration_ms): (char, u32),
        out: &mut Outbox<ShardEffect>,
    ) {
        let (call, party) = match Owner::from_bits(owner) {
            Some(Owner::Customer(key)) => (Some(key), Party::Customer),
            Some(Owner::Agent(key)) if self.agent_confirms(now, key, digit, out) => return,
            Some(Owner::Agent(key)) => (Some(key), Party::Agent),
            Some(Owner::Session(key)) => {
                self.session_confirms(now, key, digit, out);
                (self.sessions.get(key).and_then(|session| session.call), Party::Agent)
            }
            Some(Owner::TransitIn(key)) => {
                return self.transit_digit(now, key, way, (digit, duration_ms), out);
            }
            Some(Owner::TransitOut(_) | Owner::TransitThird(_)) => return,
            Some(Owner::Guest(_) | Owner::Participant(_)) | None => return,
        };
        if let Some(call) = call.and_then(|key| self.calls.get_mut(key))
            && call.digits.admit(now, party, way, digit, duration_ms)
        {
            let call = call.id;
            self.tell(CallFact::Dtmf { call, party, digit, duration_ms }, out);
            if party == Party::Customer {
                self.fork_digit(call, digit, out);
            }
        }
    }

    /// A stream has been silent for too long. Only the customer's silence ends a dialled call, and only after
    /// the answer: an agent's phone may have silence suppression, and a ringing one has nothing to say.
    fn media_timeout(&mut self, now: Instant, owner: u64, out: &mut Outbox<ShardEffect>) {
        match Owner::from_bits(owner) {
            Some(Owner::Customer(key)) => {
                let answered = self.calls.get(key).is_some_and(|call| call.answered_customer().is_some());
                if answered {
                    self.end_call(now, key, Party::System, EndCause::MediaTimeout, out);
                }
            }
            Some(Owner::TransitIn(key) | Owner::TransitOut(key)) => self.transit_silent(now, key),
            Some(Owner::TransitThird(_) | Owner::Guest(_)) => {}
            Some(Owner::Participant(key)) => {
                let third = self.participants.get(key).is_some_and(Participant::is_third_party);
                if third {
                    self.drop_participant(now, key, EndCause::MediaTimeout, out);
                }
            }
            Some(Owner::Agent(_) | Owner::Session(_)) | None => {}
        }
    }

    fn stream_failed(&mut self, now: Instant, owner: u64, stream: StreamKey, out: &mut Outbox<ShardEffect>) {
        if let Some(Owner::Agent(key)) = Owner::from_bits(owner)
            && let Some(call) = self.calls.get_mut(key)
        {
            call.seat_stream(stream);
        }
        let cause = EndCause::LocalLimit;
        match Owner::from_bits(owner) {
            Some(Owner::Customer(key)) => self.end_call(now, key, Party::System, cause, out),
            Some(Owner::Agent(key)) => match self.calls.get(key).and_then(|call| call.agent.as_ref()) {
                Some(side) if matches!(side.link, AgentLink::Up { .. }) => {
                    self.end_call(now, key, Party::System, cause, out);
                }
                _ => self.agent_failed(now, key, cause, None, out),
            },
            Some(Owner::Session(key)) => self.end_session(now, key, Party::System, cause, out),
            Some(Owner::TransitIn(key) | Owner::TransitOut(key) | Owner::TransitThird(key)) => {
                self.end_transit(now, key, Party::System, cause, Some(503), Said::default());
            }
            Some(Owner::Guest(key)) => self.guest_failed(now, key, 503, out),
            Some(Owner::Participant(key)) => self.drop_participant(now, key, cause, out),
            None => {}
        }
    }

    pub(crate) fn leg_answered(
        &mut self,
        now: Instant,
        leg: LegKey,
        (owner, fork): (u64, u64),
        sdp: Option<Bytes>,
        out: &mut Outbox<ShardEffect>,
    ) {
        match self.current_owner(owner, leg) {
            Some(Owner::Customer(key)) => self.customer_answered(now, key, sdp.as_deref(), out),
            Some(Owner::Agent(key)) => self.agent_answered(now, key, sdp.as_deref(), out),
            Some(Owner::Session(key)) => self.session_answered(now, key, sdp.as_deref(), out),
            Some(Owner::TransitOut(key)) => {
                self.transit_answered(now, key, fork, sdp, out);
                if let Some(caller) = self.transits.get(key).map(|transit| transit.caller) {
                    self.note_signaller(caller);
                }
            }
            Some(Owner::TransitThird(key)) => self.third_answered(now, key, sdp.as_deref()),
            Some(Owner::Guest(key)) => self.guest_answered(now, key, sdp.as_deref(), out),
            Some(Owner::Participant(key)) => self.participant_answered(now, key, sdp.as_deref(), out),
            Some(Owner::TransitIn(_)) | None => {}
        }
    }

    /// Who has answered, or was, may be behind a NAT: its sound is believed to come from where its messages come from.
    pub(crate) fn note_signaller(&mut self, leg: LegKey) {
        let owner = self.ua.owner(leg).and_then(Owner::from_bits);
        let sound = owner.and_then(|owner| self.seated_sound(owner, leg));
        if let (Some(sound), Some(peer)) = (sound, self.ua.peer_of(leg)) {
            self.plane.signalled_from(sound.stream, peer.ip());
        }
    }

    pub(super) fn sip_event(&mut self, now: Instant, event: ua::Event, out: &mut Outbox<ShardEffect>) {
        use ua::Event;
        match event {
            Event::Incoming { leg, replaces: Some(replaced), request, .. } => {
                self.replace_leg(now, leg, replaced, &request, out);
            }
            Event::Incoming { leg, from: Caller::Trunk(trunk), request, .. } => {
                self.transit_incoming(now, leg, Key::from_bits(trunk), request, out);
            }
            // Those come with a Replaces only.
            Event::Incoming { leg, from: Caller::Sibling, .. } => {
                let _ = self.ua.reject(now, leg, 403, ua::Reason::default(), &mut self.sip_out);
            }
            Event::Incoming { leg, from: Caller::Account(account), request, .. } => {
                self.agent_calls(now, leg, Key::from_bits(account), &request, out);
            }
            Event::Progress { leg, owner, code, sdp, fork } => match self.current_owner(owner, leg) {
                Some(Owner::Customer(key)) => {
                    self.customer_progress(now, key, code, sdp.as_deref(), out);
                }
                Some(Owner::Agent(key)) => self.agent_progress(key, out),
                Some(Owner::TransitOut(key)) => self.transit_progress(now, key, (code, fork), sdp),
                Some(Owner::TransitThird(key)) => self.third_progress(now, key, code),
                Some(Owner::Guest(key)) => self.tell_referrer(now, key, code),
                Some(Owner::Session(_) | Owner::TransitIn(_) | Owner::Participant(_)) | None => {}
            },
            Event::Answered { leg, owner, sdp, fork } => {
                self.leg_answered(now, leg, (owner, fork), sdp, out);
                self.note_signaller(leg);
            }
            Event::Confirmed { owner, sdp, .. } => match Owner::from_bits(owner) {
                Some(Owner::TransitIn(key)) => self.transit_confirmed(now, key, sdp),
                Some(Owner::Customer(key)) => self.customer_confirmed(now, key, sdp),
                _ => {}
            },
            Event::Reoffer { leg, owner, sdp, by_update, fork } => match self.current_owner(owner, leg) {
                Some(owner @ (Owner::TransitIn(_) | Owner::TransitOut(_))) => {
                    self.transit_reoffer(now, leg, owner, sdp, by_update.then_some(fork));
                }
                Some(owner) => self.reoffer(now, leg, owner, sdp.as_deref(), out),
                None => {
                    let _ = self.ua.reject_reinvite(now, leg, 481, &mut self.sip_out);
                }
            },
            // An answer to an offer of ours, however it came.
            Event::ReofferConfirmed { leg, owner, sdp } | Event::EarlyConfirmed { leg, owner, sdp } => {
                match (self.current_owner(owner, leg), sdp) {
                    (Some(owner @ (Owner::TransitIn(_) | Owner::TransitOut(_))), Some(body)) => {
                        self.transit_reoffer_confirmed(now, owner, &body);
                    }
                    (Some(owner @ (Owner::TransitIn(_) | Owner::TransitOut(_))), None) => {
                        self.transit_reoffer_confirmed(now, owner, &[]);
                    }
                    (Some(owner), Some(body)) => self.reoffer_confirmed(now, owner, &body, out),
                    (_, None) | (None, _) => {}
                }
            }
            Event::ReofferAnswered { owner, sdp, .. } => {
                if let Some(owner) = Owner::from_bits(owner) {
                    self.transit_reoffer_done(now, owner, Ok(sdp));
                }
            }
            Event::ReofferRejected { owner, code, .. } => {
                if let Some(owner) = Owner::from_bits(owner) {
                    self.transit_reoffer_done(now, owner, Err(code));
                }
            }
            Event::Refer { leg, owner, target, replaces, referred_by } => {
                self.refer_asked(now, leg, owner, &target, replaces, referred_by.as_deref(), out);
            }
            Event::ReferAnswered { owner, code, .. } => self.refer_passed(now, owner, code, true),
            Event::ReferProgress { owner, code, .. } => self.refer_passed(now, owner, code, false),
            Event::Info { owner, content_type, body, .. }
                if matches!(Owner::from_bits(owner), Some(Owner::TransitIn(_) | Owner::TransitOut(_))) =>
            {
                self.transit_info(now, owner, &content_type, &body);
                if let Some(press) = digit_of_info(&content_type, &body) {
                    self.digit(now, owner, Way::Info, press, out);
                }
            }
            Event::Info { owner, content_type, body, .. } => {
                if let Some(press) = digit_of_info(&content_type, &body) {
                    self.digit(now, owner, Way::Info, press, out);
                }
            }
            Event::Request { key, leg, from, request } => {
                let from = match from {
                    Some(Caller::Trunk(trunk)) => Some(Key::from_bits(trunk)),
                    Some(Caller::Account(_) | Caller::Sibling) | None => None,
                };
                self.request_asked(now, key, leg, from, &request);
            }
            Event::Ended(ended) => self.leg_ended(now, &ended, out),
            service @ (Event::Registered { .. }
            | Event::Unregistered { .. }
            | Event::PhoneHealth { .. }
            | Event::TrunkHealth { .. }
            | Event::TrunkOverload { .. }
            | Event::TrunkRegistration { .. }) => self.service_event(now, service, out),
            // Counted by the user agent.
            Event::AuthFailure { .. } => {}
        }
    }

    /// What concerns phones and trunks as such.
    fn service_event(&mut self, now: Instant, event: ua::Event, out: &mut Outbox<ShardEffect>) {
        use ua::Event;
        match event {
            Event::Registered { account, contact } => self.registered(now, account, contact, out),
            Event::Unregistered { account } => {
                if let Some(agent) = self.agents.get(Key::from_bits(account)) {
                    let agent = agent.id;
                    self.tell_agent(AgentFact::Unregistered { agent }, out);
                }
            }
            Event::PhoneHealth { account, reachable, code } => {
                if let Some(agent) = self.agents.get(Key::from_bits(account)) {
                    let reason = (!reachable).then(|| reason_of(code));
                    self.tell_agent(AgentFact::PhoneHealth { agent: agent.id, reachable, reason }, out);
                }
            }
            Event::TrunkHealth { trunk, up, rtt, code } => {
                if let Some(trunk) = self.trunks.get(Key::from_bits(trunk)) {
                    let fact = TrunkFact::Health {
                        trunk: trunk.id,
                        up,
                        reason: (!up).then(|| reason_of(code)),
                        rtt_ms: rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
                    };
                    out.push(ShardEffect::Event(ShardEvent::Trunk(fact)));
                }
            }
            Event::TrunkOverload { trunk, loss_percent } => {
                if let Some(trunk) = self.trunks.get(Key::from_bits(trunk)) {
                    let fact = TrunkFact::Overload { trunk: trunk.id, loss_percent };
                    out.push(ShardEffect::Event(ShardEvent::Trunk(fact)));
                }
            }
            Event::TrunkRegistration { trunk, registered, code } => {
                if let Some(trunk) = self.trunks.get(Key::from_bits(trunk)) {
                    let reason = (!registered).then(|| reason_of(code));
                    let fact = TrunkFact::Registration { trunk: trunk.id, registered, reason };
                    out.push(ShardEffect::Event(ShardEvent::Trunk(fact)));
                }
            }
            // The rest concerns legs.
            _ => {}
        }
    }

    fn leg_ended(&mut self, now: Instant, ended: &ua::Ended, out: &mut Outbox<ShardEffect>) {
        match self.current_owner(ended.owner, ended.leg) {
            Some(Owner::Customer(key)) => self.customer_ended(now, key, ended, out),
            Some(Owner::Agent(key)) => self.agent_ended(now, key, ended, out),
            Some(Owner::Session(key)) => {
                let by = if ended.by == EndedBy::Remote { Party::Agent } else { Party::System };
                let cause = cause_of(ended);
                self.end_session(now, key, by, cause, out);
            }
            Some(Owner::TransitIn(key)) => self.transit_leg_ended(now, key, true, ended, out),
            Some(Owner::TransitOut(key)) => {
                self.cancelled_transit_ended(ended.leg);
                self.transit_leg_ended(now, key, false, ended, out);
            }
            Some(Owner::TransitThird(key)) => self.third_ended(now, key, ended),
            Some(Owner::Guest(key)) => self.guest_failed(now, key, passed_code(ended), out),
            Some(Owner::Participant(key)) => self.participant_ended(now, key, ended, out),
            None => {}
        }
    }

    /// Whose the leg is. A call may have had another agent before the one it has now, whose leg still waits for its
    /// last answers: that one is nobody's. Of many agents who are rung, the one whose leg it is has the seat from now on.
    pub(crate) fn current_owner(&mut self, owner: u64, leg: ua::LegKey) -> Option<Owner> {
        let owner = Owner::from_bits(owner)?;
        let Owner::Agent(key) = owner else { return Some(owner) };
        self.calls.get_mut(key)?.seat_leg(leg).then_some(owner)
    }

    fn registered(
        &mut self,
        now: Instant,
        account: u64,
        contact: ua::Contact,
        out: &mut Outbox<ShardEffect>,
    ) {
        let Some(agent) = self.agents.get(Key::from_bits(account)) else { return };
        let lifetime_ms = i64::try_from(contact.expires.as_millis()).unwrap_or(i64::MAX);
        let row = ContactRow {
            agent: agent.id,
            uri: contact.uri,
            source: contact.source.to_string(),
            listener: contact.listener,
            expires_at: self.clock.wall_at(now).plus_millis(lifetime_ms),
        };
        self.tell_agent(AgentFact::Registered(row), out);
    }
}

fn reason_of(code: Option<u16>) -> String {
    match code {
        Some(code) => format!("answered {code}"),
        None => "no answer".into(),
    }
}
