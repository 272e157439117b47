//! Orders from the control core, and to which step of which call they go.

use super::{CallShard, trunks};
use crate::call::originate::Dial;
use crate::call::{Call, Transit};
use crate::doors::{ShardCommand, ShardEffect, ShardEvent, call_of_order};
use crate::translate::address;
use crate::translate::cause::{Said, early_media_class, tone_plan_of};
use dialer_core::config::host_and_port;
use dialer_core::outcome::{EndCause, Party};
use dialer_core::record::{AgentRow, ContactRow, TrunkRow};
use dialer_core::{AgentId, CallFact, CallId, CallOrder, TrunkFact, TrunkId};
use media::announcement::AnnouncementClass;
use sansio::{Duration, Instant, Key, Outbox};
use sip_proxy::transport::locate::Wanted;
use sip_proxy::ua;
use sip_proxy::wire::Transport;
use std::net::SocketAddr;
use std::sync::Arc;

impl CallShard {
    pub(super) fn take_command(
        &mut self,
        now: Instant,
        command: ShardCommand,
        out: &mut Outbox<ShardEffect>,
    ) {
        match command {
            ShardCommand::Call { order, creates } => self.take_order(now, order, creates, out),
            ShardCommand::OpenSession { agent, way, ring_timeout_ms } => {
                self.open_session(now, agent, &way, ring_timeout_ms, out);
            }
            ShardCommand::CloseSession { agent } => {
                if let Some(session) = self.agents.session_of(agent) {
                    self.end_session(now, session, Party::System, EndCause::Normal, out);
                }
            }
            ShardCommand::ApplyTrunk(row) => self.apply_trunk(now, *row, out),
            ShardCommand::SharePace { trunk, pace } => self.trunks.share(trunk, pace),
            ShardCommand::RemoveTrunk(trunk) => self.remove_trunk(now, trunk),
            ShardCommand::ApplyAgent(row) => self.apply_agent(&row),
            ShardCommand::RemoveAgent(agent) => self.remove_agent(now, agent, out),
            ShardCommand::RestoreContact(contact) => self.restore_contact(now, &contact),
            ShardCommand::LoadPrompt { name, samples } => {
                self.prompts.insert(name, samples);
            }
            ShardCommand::ForgetPrompt { name } => {
                self.prompts.remove(&name);
            }
            ShardCommand::SetAnnouncements(book) => self.plane.set_announcements(book.0),
            ShardCommand::Meant { call, class, phrase } => self.meant(call, class, phrase, out),
            ShardCommand::SetStir(rules) => self.stir.set(rules.0),
            ShardCommand::SetRoutes(routes) => self.routes = routes,
            ShardCommand::ServeNumbers(numbers) => self.numbers = numbers,
            ShardCommand::AnswerAsk { ask, allowed } => self.answered_ask(now, ask, allowed, out),
            ShardCommand::AdmitTransit(admit) => {
                self.admit_transit = admit;
                self.ua.set_draining(!admit);
            }
            ShardCommand::EndTransit { call, by, cause } => {
                match self.transit_key(call) {
                    // RFC 3261 §21.4.18 for a caller that still waits.
                    Some(key) => {
                        let answered = self.transits.get(key).is_some_and(Transit::is_answered);
                        let code = if answered { 200 } else { 480 };
                        self.end_transit(now, key, by, cause, Some(code), Said::default());
                    }
                    None => self.counters.orders_late += 1,
                }
            }
            ShardCommand::ActOnTransit { call, act } => self.act_on_transit(now, call, act, out),
            ShardCommand::HangupAll => self.hangup_all(now, out),
            ShardCommand::Clock(clock) => {
                self.clock = clock;
                self.ua.set_clock(clock);
            }
        }
    }

    /// What a call heard is known by its words; the call may be over, or answered meanwhile.
    fn meant(
        &mut self,
        call: CallId,
        class: AnnouncementClass,
        phrase: Arc<str>,
        out: &mut Outbox<ShardEffect>,
    ) {
        if self.call_keys.contains_key(&call) {
            self.tell(CallFact::Words { call, class: early_media_class(class.into()), phrase }, out);
        }
    }

    fn take_order(&mut self, now: Instant, order: CallOrder, creates: bool, out: &mut Outbox<ShardEffect>) {
        let Some(key) = self.call_for(&order, creates, out) else { return };
        match order {
            CallOrder::DialCustomer {
                trunk,
                others,
                to,
                caller_id,
                ring_timeout_ms,
                early_media,
                tone_plan,
                amd,
                await_turn,
                call_max_ms,
                not_after,
                ..
            } => {
                if self.calls.get(key).is_some_and(|call| call.customer.is_some()) {
                    self.counters.orders_late += 1;
                    return;
                }
                if not_after.is_some_and(|not_after| now >= not_after) {
                    self.counters.orders_late += 1;
                    return self.end_call(now, key, Party::System, EndCause::Cancelled, out);
                }
                let amd = amd.then(|| media::AmdConfig { await_turn, ..media::AmdConfig::default() });
                let tones = tone_plan_of(tone_plan);
                let others = others.into();
                let dial = Dial {
                    trunk,
                    others,
                    to,
                    caller_id,
                    ring_timeout_ms,
                    early_media,
                    tones,
                    amd,
                    call_max_ms,
                };
                self.dial_customer(now, key, dial, out);
            }
            CallOrder::RingAgent { agent, way, ring_timeout_ms, .. } => {
                self.ring_agent(now, key, agent, &way, ring_timeout_ms, out);
            }
            CallOrder::UseSession { agent, .. } => self.use_session(key, agent, out),
            CallOrder::ReleaseAgent { agent, .. } => self.release_agent(now, key, agent, out),
            CallOrder::LetHear { .. } => self.let_hear(now, key),
            CallOrder::Bridge { tone, record, .. } => self.bridge(now, key, tone, record, out),
            CallOrder::AnswerCustomer { call_max_ms, .. } => self.answer_customer(now, key, call_max_ms, out),
            CallOrder::Play { prompt, repeat, .. } => self.play(now, key, &prompt, repeat, out),
            CallOrder::Act { act, .. } => self.act(now, key, act, out),
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

    fn apply_trunk(&mut self, now: Instant, row: TrunkRow, out: &mut Outbox<ShardEffect>) {
        let id = row.id;
        let place = self.place_of(&row);
        let config = row.config.clone();
        let (sources, networks) = if config.enabled { trunks::sources(&config) } else { Default::default() };
        let Some(key) = self.trunks.apply(now, row, place) else { return };
        self.take_over_rest(now, key);
        let Some((place, pace)) = self.trunks.get(key).map(|trunk| (trunk.address, trunk.pace.clone()))
        else {
            return;
        };
        let Some((listener, address)) = place else {
            self.ua.remove_trunk(now, key.to_bits(), &mut self.sip_out);
            let reason = Some("no listener of ours fits it".into());
            let fact = TrunkFact::Health { trunk: id, up: false, reason, rtt_ms: None };
            out.push(ShardEffect::Event(ShardEvent::Trunk(fact)));
            return;
        };
        // One shard speaks for all about health and registration.
        let speaks = self.config.shard == 0 && config.enabled;
        let named = config.address.parse::<SocketAddr>().is_err();
        let wanted = host_and_port(&config.address).filter(|_| named).map(|(host, port)| Wanted {
            host: host.to_owned(),
            port,
            transport: config.transport.map(address::transport_of),
        });
        let login = config.username.zip(config.password);
        let trunk = ua::Trunk {
            key: key.to_bits(),
            listener,
            address,
            wanted,
            domain: if named { config.address.clone() } else { String::new() },
            sources,
            networks,
            certificate_names: if config.enabled { config.certificate_names } else { Vec::new() },
            login: login.map(|(username, password)| ua::Login { username, password }),
            register: (speaks && config.register)
                .then(|| Duration::from_secs(u64::from(config.register_expires_s))),
            cps_max: config.cps_max,
            pace,
            overload_control: config.overload_control,
            options_interval: (speaks && config.options_interval_ms > 0)
                .then(|| Duration::from_millis(u64::from(config.options_interval_ms))),
        };
        self.ua.set_trunk(now, trunk, &mut self.sip_out);
    }

    /// By which listener and at which address a trunk is reached; `None` when no listener of ours does.
    fn place_of(&self, row: &TrunkRow) -> Option<(u8, SocketAddr)> {
        let own = row.config.listener.as_deref().map(|own| self.own_listener(own, transport_of(row)));
        let transport = transport_of(row).unwrap_or(Transport::Udp);
        if let Ok(address) = row.config.address.parse::<SocketAddr>() {
            let listener = match own {
                Some(own) => own.filter(|(_, ipv4)| *ipv4 == address.is_ipv4()).map(|(listener, _)| listener),
                None => self.ua.listener_for(transport, address.is_ipv4()),
            };
            return Some((listener?, address));
        }
        // A name: where it leads is found out for each call. The listener says who we are, and which is tried first.
        let listener = match own {
            Some(own) => own.map(|(listener, _)| listener),
            None => self.ua.listener_for(transport, true).or_else(|| self.ua.listener_for(transport, false)),
        };
        Some((listener?, SocketAddr::from(([0, 0, 0, 0], 0))))
    }

    /// The number of our listener at an address, and whether it is one of IPv4; any transport where none is wanted.
    fn own_listener(&self, address: &str, transport: Option<Transport>) -> Option<(u8, bool)> {
        let address = address.parse::<SocketAddr>().ok()?;
        let mut numbers = (0..=u8::MAX).map_while(|number| Some((number, self.listener(number)?)));
        let (number, _) = numbers.find(|(_, (speaks, own))| {
            *own == address && transport.is_none_or(|transport| *speaks == transport)
        })?;
        Some((number, address.is_ipv4()))
    }

    fn remove_trunk(&mut self, now: Instant, trunk: TrunkId) {
        if let Some((key, deadline)) = self.trunks.remove(trunk) {
            if let Some(deadline) = deadline {
                self.deadlines.cancel(deadline);
            }
            self.ua.remove_trunk(now, key.to_bits(), &mut self.sip_out);
        }
    }

    fn apply_agent(&mut self, row: &AgentRow) {
        let Some(key) = self.agents.apply(row.id, &row.config) else { return };
        if row.config.password.is_empty() {
            // A device that stays where it is and makes no calls of its own.
            return self.ua.remove_account(key.to_bits());
        }
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
        // What was registered over a connection died with the daemon that held it.
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
            let answered = self.transits.get(key).is_some_and(Transit::is_answered);
            let cause = if answered { EndCause::Normal } else { EndCause::Cancelled };
            self.end_transit(now, key, Party::System, cause, Some(503), Said::default());
        }
    }
}

fn transport_of(row: &TrunkRow) -> Option<Transport> {
    row.config.transport.map(address::transport_of)
}
