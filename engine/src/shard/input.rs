//! What comes in, and to which step of which call it goes.

use super::{CallShard, Owner, Why, trunks};
use crate::call::originate::Dial;
use crate::call::{AgentLink, Call};
use crate::doors::{ShardCommand, ShardEffect, ShardEvent, ShardInput, call_of_order};
use crate::translate::cause::{amd_verdict, early_media_class};
use crate::translate::dtmf::digit_of_info;
use crate::translate::effect::{media_kind, of_media, stream_key};
use dialer_core::outcome::{EndCause, Party};
use dialer_core::record::{AgentRow, ContactRow, TrunkRow};
use dialer_core::{AgentFact, AgentId, CallFact, CallOrder, TrunkFact, TrunkId};
use sansio::{Duration, Instant, Key, Outbox};
use sip_proxy::ua::{self, Caller, EndedBy, Reason};

impl CallShard {
    pub(super) fn take_input(&mut self, now: Instant, input: ShardInput<'_>, out: &mut Outbox<ShardEffect>) {
        match input {
            ShardInput::Datagram { listener, source, bytes } => {
                self.ua.handle_datagram(now, listener, source, bytes, &mut self.sip_out);
            }
            ShardInput::Packet { stream, kind, source, packet } => {
                let (stream, kind) = (stream_key(stream), media_kind(kind));
                self.plane.handle_packet(now, stream, kind, source, packet, &mut self.media_out);
            }
            ShardInput::Command(command) => self.take_command(now, command, out),
            ShardInput::PortsFailed { stream } => {
                self.plane.ports_failed(now, stream_key(stream), &mut self.media_out);
            }
            ShardInput::RecordingWritten { recording, result } => {
                self.recording_written(now, recording, result, out);
            }
        }
    }

    fn take_command(&mut self, now: Instant, command: ShardCommand, out: &mut Outbox<ShardEffect>) {
        match command {
            ShardCommand::Call { order, creates } => self.take_order(now, order, creates, out),
            ShardCommand::OpenSession { agent, auto_answer, ring_timeout_ms } => {
                self.open_session(now, agent, auto_answer, ring_timeout_ms, out);
            }
            ShardCommand::CloseSession { agent } => {
                if let Some(session) = self.agents.session_of(agent) {
                    self.end_session(now, session, Party::System, EndCause::Normal, out);
                }
            }
            ShardCommand::ApplyTrunk(row) => self.apply_trunk(now, *row),
            ShardCommand::RemoveTrunk(trunk) => self.remove_trunk(now, trunk),
            ShardCommand::ApplyAgent(row) => self.apply_agent(&row),
            ShardCommand::RemoveAgent(agent) => self.remove_agent(now, agent, out),
            ShardCommand::RestoreContact(contact) => self.restore_contact(now, &contact),
            ShardCommand::LoadPrompt { name, samples } => {
                self.prompts.insert(name, samples);
            }
            ShardCommand::SetRoutes(routes) => self.routes = routes,
            ShardCommand::AdmitTransit(admit) => {
                self.admit_transit = admit;
                self.ua.set_draining(!admit);
            }
            ShardCommand::HangupAll => self.hangup_all(now, out),
            ShardCommand::Clock(clock) => self.clock = clock,
        }
    }

    fn take_order(&mut self, now: Instant, order: CallOrder, creates: bool, out: &mut Outbox<ShardEffect>) {
        let Some(key) = self.call_for(&order, creates, out) else { return };
        match order {
            CallOrder::DialCustomer {
                trunk,
                to,
                caller_id,
                ring_timeout_ms,
                early_media,
                amd,
                call_max_ms,
                ..
            } => {
                if self.calls.get(key).is_some_and(|call| call.customer.is_some()) {
                    self.counters.orders_late += 1;
                    return;
                }
                let dial = Dial { trunk, to, caller_id, ring_timeout_ms, early_media, amd, call_max_ms };
                self.dial_customer(now, key, &dial, out);
            }
            CallOrder::RingAgent { agent, auto_answer, ring_timeout_ms, display, .. } => {
                self.ring_agent(now, key, agent, auto_answer, ring_timeout_ms, &display, out);
            }
            CallOrder::UseSession { agent, .. } => self.use_session(key, agent, out),
            CallOrder::ReleaseAgent { agent, .. } => self.release_agent(now, key, agent, out),
            CallOrder::Bridge { tone, record, .. } => self.bridge(now, key, tone, record, out),
            CallOrder::Play { prompt, .. } => self.play(now, key, &prompt, out),
            CallOrder::Hangup { cause, by, .. } => self.end_call(now, key, by, cause, out),
        }
    }

    /// The call an order is for; made if this is its first order.
    fn call_for(
        &mut self,
        order: &CallOrder,
        creates: bool,
        out: &mut Outbox<ShardEffect>,
    ) -> Option<Key<Call>> {
        let id = call_of_order(order);
        if let Some(key) = self.call_keys.get(&id) {
            return Some(*key);
        }
        if !creates {
            self.counters.orders_late += 1;
            return None;
        }
        if let Ok(key) = self.calls.insert(Call::new(id)) {
            self.call_keys.insert(id, key);
            return Some(key);
        }
        let (by, cause) = (Party::System, EndCause::LocalLimit);
        self.tell(CallFact::Ended { call: id, by, cause, sip_code: None, q850: None }, out);
        None
    }

    fn apply_trunk(&mut self, now: Instant, row: TrunkRow) {
        let sources = trunks::sources(&row);
        let config = row.config.clone();
        let Some(key) = self.trunks.apply(now, row) else { return };
        let Ok(address) = config.address.parse() else {
            self.ua.remove_trunk(now, key.to_bits(), &mut self.sip_out);
            return;
        };
        // One shard speaks for all about health and registration.
        let speaks = self.config.shard == 0 && config.enabled;
        let login = config.username.zip(config.password);
        let trunk = ua::Trunk {
            key: key.to_bits(),
            listener: 0,
            address,
            domain: String::new(),
            sources: if config.enabled { sources } else { Vec::new() },
            login: login.map(|(username, password)| ua::Login { username, password }),
            register: (speaks && config.register)
                .then(|| Duration::from_secs(u64::from(config.register_expires_s))),
            options_interval: (speaks && config.options_interval_ms > 0)
                .then(|| Duration::from_millis(u64::from(config.options_interval_ms))),
        };
        self.ua.set_trunk(now, trunk, &mut self.sip_out);
    }

    fn remove_trunk(&mut self, now: Instant, trunk: TrunkId) {
        if let Some(key) = self.trunks.remove(trunk) {
            self.ua.remove_trunk(now, key.to_bits(), &mut self.sip_out);
        }
    }

    fn apply_agent(&mut self, row: &AgentRow) {
        let Some(key) = self.agents.apply(row.id, &row.config.username) else { return };
        let login =
            ua::Login { username: row.config.username.clone(), password: row.config.password.clone() };
        self.ua.set_account(ua::Account { key: key.to_bits(), login });
    }

    fn remove_agent(&mut self, now: Instant, agent: AgentId, out: &mut Outbox<ShardEffect>) {
        if let Some(session) = self.agents.session_of(agent) {
            self.end_session(now, session, Party::System, EndCause::Normal, out);
        }
        if let Some(key) = self.agents.remove(agent) {
            self.ua.remove_account(key.to_bits());
        }
    }

    fn restore_contact(&mut self, now: Instant, row: &ContactRow) {
        let left_ms = row.expires_at.millis_since(self.clock.wall_at(now));
        let (Some(account), Ok(source), Ok(left_ms)) =
            (self.agents.key_of(row.agent), row.source.parse(), u64::try_from(left_ms))
        else {
            return;
        };
        if left_ms == 0 || usize::from(row.listener) >= self.config.listeners.len() {
            return;
        }
        let contact = ua::Contact {
            uri: row.uri.clone(),
            source,
            listener: row.listener,
            expires: Duration::from_millis(left_ms),
        };
        self.ua.restore_contact(now, account.to_bits(), contact);
    }

    fn hangup_all(&mut self, now: Instant, out: &mut Outbox<ShardEffect>) {
        let calls: Vec<_> = self.calls.iter().map(|(key, _)| key).collect();
        for key in calls {
            let answered = self.calls.get(key).is_some_and(|call| call.answered_customer().is_some());
            let cause = if answered { EndCause::Normal } else { EndCause::Cancelled };
            self.end_call(now, key, Party::System, cause, out);
        }
        let sessions: Vec<_> = self.sessions.iter().map(|(key, _)| key).collect();
        for key in sessions {
            self.end_session(now, key, Party::System, EndCause::Normal, out);
        }
        let transits: Vec<_> = self.transits.iter().map(|(key, _)| key).collect();
        for key in transits {
            self.end_transit(now, key, Party::System, EndCause::Cancelled, Some(503), None);
        }
    }

    pub(super) fn deadline_passed(&mut self, now: Instant, why: Why, out: &mut Outbox<ShardEffect>) {
        match why {
            Why::CustomerRingsTooLong(key) => self.end_call(now, key, Party::System, EndCause::NoAnswer, out),
            Why::CallTooLong(key) => self.end_call(now, key, Party::System, EndCause::MaxDuration, out),
            Why::AgentRingsTooLong(key) => self.agent_failed(now, key, EndCause::NoAnswer, None, out),
            Why::SessionRingsTooLong(key) => {
                self.end_session(now, key, Party::System, EndCause::NoAnswer, out);
            }
            Why::TransitTooLong(key) => {
                self.end_transit(now, key, Party::System, EndCause::MaxDuration, Some(408), None);
            }
            Why::TellTransit => {
                let facts = std::mem::take(&mut self.transit_facts);
                out.push(ShardEffect::Event(ShardEvent::Transit(facts)));
            }
        }
    }

    /// Carries on what signalling and sound put out, until both are quiet.
    pub(super) fn settle(&mut self, now: Instant, out: &mut Outbox<ShardEffect>) {
        while !self.media_out.is_empty() || !self.sip_out.is_empty() {
            // Ports are asked for before the message that names them leaves.
            if !self.media_out.is_empty() {
                let spare = std::mem::take(&mut self.media_spare);
                let mut batch = std::mem::replace(&mut self.media_out, spare);
                for output in batch.drain() {
                    match of_media(output) {
                        Ok(effect) => out.push(effect),
                        Err(media::Output::Record(op)) => self.pass_record_op(op, out),
                        Err(media::Output::Event(event)) => self.media_event(now, event, out),
                        Err(_) => {}
                    }
                }
                self.media_spare = batch;
                continue;
            }
            let spare = std::mem::take(&mut self.sip_spare);
            let mut batch = std::mem::replace(&mut self.sip_out, spare);
            for output in batch.drain() {
                match output {
                    ua::Output::Send { listener, to, bytes } => {
                        out.push(ShardEffect::SendSip { listener, to, bytes });
                    }
                    ua::Output::Event(event) => self.sip_event(now, event, out),
                }
            }
            self.sip_spare = batch;
        }
    }

    fn media_event(&mut self, now: Instant, event: media::Event, out: &mut Outbox<ShardEffect>) {
        match event {
            media::Event::Dtmf { owner, digit, duration_ms, .. } => {
                self.digit(owner, digit, duration_ms, out)
            }
            media::Event::AmdVerdict { owner, verdict, confidence, after_answer_ms, .. } => {
                if let Some(Owner::Customer(key)) = Owner::from_bits(owner)
                    && let Some(call) = self.calls.get(key)
                {
                    let fact = CallFact::Amd {
                        call: call.id,
                        verdict: amd_verdict(verdict),
                        confidence,
                        after_answer_ms: u64::from(after_answer_ms),
                    };
                    self.tell(fact, out);
                }
            }
            media::Event::EarlyMedia { owner, class, confidence, .. } => {
                if let Some(Owner::Customer(key)) = Owner::from_bits(owner)
                    && let Some(call) = self.calls.get(key)
                    && call.answered_customer().is_none()
                {
                    let class = early_media_class(class);
                    let fact = CallFact::EarlyMedia { call: call.id, class, confidence };
                    self.tell(fact, out);
                }
            }
            media::Event::PlayDone { owner, tag, completed, .. } => {
                if let Some(Owner::Customer(key)) = Owner::from_bits(owner) {
                    self.play_done(key, tag, completed, out);
                }
            }
            media::Event::MediaTimeout { owner, .. } => self.media_timeout(now, owner, out),
            media::Event::Failed { owner, .. } => self.stream_failed(now, owner, out),
        }
    }

    fn digit(&mut self, owner: u64, digit: char, duration_ms: u32, out: &mut Outbox<ShardEffect>) {
        let (call, party) = match Owner::from_bits(owner) {
            Some(Owner::Customer(key)) => (Some(key), Party::Customer),
            Some(Owner::Agent(key)) => (Some(key), Party::Agent),
            Some(Owner::Session(key)) => {
                (self.sessions.get(key).and_then(|session| session.call), Party::Agent)
            }
            Some(Owner::TransitIn(_) | Owner::TransitOut(_)) | None => return,
        };
        if let Some(call) = call.and_then(|key| self.calls.get(key)) {
            let fact = CallFact::Dtmf { call: call.id, party, digit, duration_ms };
            self.tell(fact, out);
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
            Some(Owner::Agent(_) | Owner::Session(_)) | None => {}
        }
    }

    fn stream_failed(&mut self, now: Instant, owner: u64, out: &mut Outbox<ShardEffect>) {
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
            Some(Owner::TransitIn(key) | Owner::TransitOut(key)) => {
                self.end_transit(now, key, Party::System, cause, Some(503), None);
            }
            None => {}
        }
    }

    fn sip_event(&mut self, now: Instant, event: ua::Event, out: &mut Outbox<ShardEffect>) {
        use ua::Event;
        match event {
            Event::Incoming { leg, from: Caller::Trunk(trunk), request, .. } => {
                self.transit_incoming(now, leg, Key::from_bits(trunk), &request);
            }
            // An agent's phone does not call in.
            Event::Incoming { leg, from: Caller::Account(_), .. } => {
                let _ = self.ua.reject(now, leg, 403, Reason::default(), &mut self.sip_out);
            }
            Event::Progress { leg, owner, code, sdp } => match self.current_owner(owner, leg) {
                Some(Owner::Customer(key)) => self.customer_progress(now, key, sdp.as_deref(), out),
                Some(Owner::Agent(key)) => self.agent_progress(key, out),
                Some(Owner::TransitOut(key)) => self.transit_progress(now, key, code, sdp),
                Some(Owner::Session(_) | Owner::TransitIn(_)) | None => {}
            },
            Event::Answered { leg, owner, sdp } => match self.current_owner(owner, leg) {
                Some(Owner::Customer(key)) => self.customer_answered(now, key, sdp.as_deref(), out),
                Some(Owner::Agent(key)) => self.agent_answered(now, key, sdp.as_deref(), out),
                Some(Owner::Session(key)) => self.session_answered(now, key, sdp.as_deref(), out),
                Some(Owner::TransitOut(key)) => self.transit_answered(now, key, sdp, out),
                Some(Owner::TransitIn(_)) | None => {}
            },
            Event::Confirmed { owner, sdp, .. } => {
                if let Some(Owner::TransitIn(key)) = Owner::from_bits(owner) {
                    self.transit_confirmed(now, key, sdp);
                }
            }
            Event::Reoffer { leg, owner, sdp } => match self.current_owner(owner, leg) {
                Some(owner @ (Owner::TransitIn(_) | Owner::TransitOut(_))) => {
                    self.transit_reoffer(now, leg, owner, sdp);
                }
                Some(owner) => self.reoffer(now, leg, owner, sdp.as_deref(), out),
                None => {
                    let _ = self.ua.reject_reinvite(now, leg, 481, &mut self.sip_out);
                }
            },
            Event::ReofferConfirmed { leg, owner, sdp } => match (self.current_owner(owner, leg), sdp) {
                (Some(owner @ (Owner::TransitIn(_) | Owner::TransitOut(_))), Some(body)) => {
                    self.transit_reoffer_confirmed(now, owner, &body);
                }
                (Some(owner), Some(body)) => self.reoffer_confirmed(now, owner, &body, out),
                (_, None) | (None, _) => {}
            },
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
            Event::Info { owner, content_type, body, .. } => {
                if let Some((digit, duration_ms)) = digit_of_info(&content_type, &body) {
                    self.digit(owner, digit, duration_ms, out);
                }
            }
            Event::Ended(ended) => self.leg_ended(now, &ended, out),
            Event::Registered { account, contact } => self.registered(now, account, contact, out),
            Event::Unregistered { account } => {
                if let Some(agent) = self.agents.get(Key::from_bits(account)) {
                    let agent = agent.id;
                    self.tell_agent(AgentFact::Unregistered { agent }, out);
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
            Event::TrunkRegistration { trunk, registered, code } => {
                if let Some(trunk) = self.trunks.get(Key::from_bits(trunk)) {
                    let reason = (!registered).then(|| reason_of(code));
                    let fact = TrunkFact::Registration { trunk: trunk.id, registered, reason };
                    out.push(ShardEffect::Event(ShardEvent::Trunk(fact)));
                }
            }
            // Counted by the user agent.
            Event::AuthFailure { .. } => {}
        }
    }

    fn leg_ended(&mut self, now: Instant, ended: &ua::Ended, out: &mut Outbox<ShardEffect>) {
        match self.current_owner(ended.owner, ended.leg) {
            Some(Owner::Customer(key)) => self.customer_ended(now, key, ended, out),
            Some(Owner::Agent(key)) => self.agent_ended(now, key, ended, out),
            Some(Owner::Session(key)) => {
                let by = if ended.by == EndedBy::Remote { Party::Agent } else { Party::System };
                let cause = crate::translate::cause::cause_of(ended);
                self.end_session(now, key, by, cause, out);
            }
            Some(Owner::TransitIn(key)) => self.transit_leg_ended(now, key, true, ended),
            Some(Owner::TransitOut(key)) => self.transit_leg_ended(now, key, false, ended),
            None => {}
        }
    }

    /// Whose the leg is. A call may have had another agent before the one it has now, whose leg still waits for its
    /// last answers: that one is nobody's.
    fn current_owner(&self, owner: u64, leg: ua::LegKey) -> Option<Owner> {
        let owner = Owner::from_bits(owner)?;
        let Owner::Agent(key) = owner else { return Some(owner) };
        match self.calls.get(key)?.agent.as_ref()?.link {
            AgentLink::Ringing { leg: current, .. } | AgentLink::Up { leg: current, .. }
                if current == leg =>
            {
                Some(owner)
            }
            _ => None,
        }
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
