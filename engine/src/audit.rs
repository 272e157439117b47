//! Invariants of a shard, as a function: what is said here must be true after every input.

use crate::call::transit::TransitSound;
use crate::call::{AgentLink, AgentSide, Call, SessionState, Sound};
use crate::shard::CallShard;
use media::StreamKey;
use sansio::Key;
use std::collections::BTreeSet;

impl CallShard {
    /// Broken invariants, in words; empty when all is well.
    #[must_use]
    pub fn audit(&self) -> Vec<String> {
        let mut findings = self.plane.audit();
        let mut streams = BTreeSet::new();
        let mut deadlines = usize::from(!self.transit_facts.is_empty());
        for (key, call) in self.calls.iter() {
            self.audit_call(key, call, &mut streams, &mut deadlines, &mut findings);
        }
        if self.call_keys.len() != self.calls.len() {
            findings.push(format!("{} names for {} calls", self.call_keys.len(), self.calls.len()));
        }
        for (key, session) in self.sessions.iter() {
            deadlines += usize::from(matches!(session.state, SessionState::Ringing(_)));
            self.audit_sound(&session.sound, "a session", &mut streams, &mut findings);
            if self.agents.session_of(session.agent) != Some(key) {
                findings.push(format!("session {key:?} is not its agent's"));
            }
            let in_call = session.call.map(|call| self.calls.get(call).and_then(|call| call.agent.as_ref()));
            if let Some(side) = in_call
                && !side.is_some_and(|side| matches!(side.link, AgentLink::Session(in_it) if in_it == key))
            {
                findings.push(format!("session {key:?} is in a call that does not know it"));
            }
        }
        for agent in self.agents.iter() {
            if agent.session.is_some_and(|session| !self.sessions.contains(session)) {
                findings.push(format!("{} has a session that is gone", agent.id));
            }
        }
        for (_, transit) in self.transits.iter() {
            deadlines += usize::from(transit.deadline.is_some());
            if let Some(transfer) = &transit.transfer {
                self.audit_sound(&transfer.sound, "a transfer", &mut streams, &mut findings);
            }
            if let TransitSound::Relay { caller, callee, .. } = &transit.sound {
                self.audit_sound(caller, "a transit call", &mut streams, &mut findings);
                self.audit_sound(callee, "a transit call", &mut streams, &mut findings);
            }
        }
        deadlines += self.trunks.rests() + usize::from(!self.stir.certified.is_empty());
        let taking_part: usize = self.calls.iter().map(|(_, call)| call.participants.len()).sum();
        if taking_part != self.participants.len() {
            findings.push(format!("{} participants, {taking_part} in calls", self.participants.len()));
        }
        let open = self.plane.counters().streams_open;
        if open != streams.len() as u64 {
            findings.push(format!("{open} streams are open, {} are in use", streams.len()));
        }
        if self.deadlines.len() != deadlines {
            findings
                .push(format!("{} deadlines are armed, {deadlines} are waited for", self.deadlines.len()));
        }
        findings
    }

    /// What keeps the shard from being at rest: calls, sessions, legs, streams, ports, deadlines, recordings.
    #[must_use]
    pub fn alive(&self) -> Vec<String> {
        let sip = self.ua.audit();
        let media = self.plane.counters();
        [
            ("calls", self.calls.len() as u64),
            ("sessions", self.sessions.len() as u64),
            ("participants", self.participants.len() as u64),
            ("asks", self.asks.len() as u64),
            ("transit calls", self.transits.len() as u64),
            ("trunk channels", self.trunks.channels_used()),
            ("recordings", self.recordings.len() as u64),
            ("deadlines", self.deadlines.len() as u64),
            ("legs", sip.legs as u64),
            ("ending legs", sip.legs_ending as u64),
            ("client transactions", sip.client_transactions as u64),
            ("server transactions", sip.server_transactions as u64),
            ("streams", media.streams_open),
            ("port pairs", media.port_pairs_in_use),
            ("running recordings", media.recordings_active),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{count} {what}"))
        .collect()
    }

    fn audit_call(
        &self,
        key: Key<Call>,
        call: &Call,
        streams: &mut BTreeSet<StreamKey>,
        deadlines: &mut usize,
        findings: &mut Vec<String>,
    ) {
        let name = call.id;
        if self.call_keys.get(&name) != Some(&key) {
            findings.push(format!("{name} is not found by its name"));
        }
        if let Some(customer) = &call.customer {
            *deadlines += 1;
            self.audit_sound(&customer.sound, "a customer", streams, findings);
        }
        for rung in &call.rung_too {
            match &rung.link {
                AgentLink::Ringing { sound, .. } => {
                    *deadlines += 1;
                    self.audit_sound(sound, "another ringing agent", streams, findings);
                }
                _ => findings.push(format!("{name} has two agents")),
            }
        }
        if !call.rung_too.is_empty()
            && !matches!(call.agent, Some(AgentSide { link: AgentLink::Ringing { .. }, .. }))
        {
            findings.push(format!("{name} rings agents although it has one"));
        }
        match call.agent.as_ref().map(|side| &side.link) {
            Some(AgentLink::Ringing { sound, .. }) => {
                *deadlines += 1;
                self.audit_sound(sound, "a ringing agent", streams, findings);
            }
            Some(AgentLink::Up { sound, .. }) => self.audit_sound(sound, "an agent", streams, findings),
            Some(AgentLink::Session(session))
                if self.sessions.get(*session).is_none_or(|session| session.call != Some(key)) =>
            {
                findings.push(format!("{name} has a session that is not in it"));
            }
            Some(AgentLink::Session(_)) | None => {}
        }
        if let Some(transfer) = &call.transfer {
            *deadlines += usize::from(transfer.has_deadline());
            self.audit_sound(transfer.sound(), "a guest", streams, findings);
        }
        for participant in &call.participants {
            match self.participants.get(*participant) {
                Some(participant) => {
                    *deadlines += usize::from(participant.is_ringing());
                    self.audit_sound(&participant.calling.sound, "a participant", streams, findings);
                }
                None => findings.push(format!("{name} has a participant who is not there")),
            }
        }
        let agent = self.agent_sound(key).map(|(stream, _)| stream);
        let customer = call.answered_customer().map(|customer| customer.sound.stream);
        let joined = customer.is_some() && customer.and_then(|stream| self.plane.peer(stream)) == agent;
        if call.bridged && !(joined && agent.is_some()) {
            findings.push(format!("{name} is bridged but its streams are not"));
        }
        if !call.bridged && !call.listening && agent.is_some() && joined {
            findings.push(format!("{name} is not bridged but its streams are"));
        }
    }

    fn audit_sound(
        &self,
        sound: &Sound,
        of: &str,
        streams: &mut BTreeSet<StreamKey>,
        findings: &mut Vec<String>,
    ) {
        if self.plane.local_port(sound.stream).is_none() {
            findings.push(format!("{of} has a stream that is closed"));
        }
        if !streams.insert(sound.stream) {
            findings.push(format!("{of} shares its stream"));
        }
    }
}
