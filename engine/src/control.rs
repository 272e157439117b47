//! The control core: the dialer behind its journal gate, and which shard does what.
//!
//! # Which shard
//! Both legs of a call live on one shard, and a nailed-up session can only be joined to calls of its own shard. As
//! agents may serve any campaign, all dialled calls and all sessions have one home, shard 0; transit calls, which
//! need no agent, live on the shard their first message is steered to. All shards share their listeners, so the home
//! reaches every phone, whichever shard has heard it.

use crate::doors::{ControlEffect, ControlInput, ShardCommand, ShardEvent};
use crate::gate::{Gate, GateCounters, take_records};
use dialer_core::limits::DialerConfig;
use dialer_core::outcome::{EndCause, Evidence, Outcome, Party};
use dialer_core::record::{AgentRow, CallKindTag, CallRecord, ContactRow, TrunkRow};
use dialer_core::{
    AgentFact, AgentId, CallFact, CallId, CallOrder, Command, CommandError, Dialer, Effect, Input,
    TransitStart, TrunkId,
};
use sansio::time::ClockBase;
use sansio::{Instant, Machine, Outbox, Rng, WallTime};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The home of dialled calls and sessions.
const HOME: u16 = 0;

/// What the control core is told when it is made.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// Seed of all its randomness (names); from the system's entropy.
    pub seed: u64,
    /// Shards, at least 1.
    pub shards: u16,
    /// Effects that may wait for the journal at once. At half of it commands are refused and transit calls not
    /// admitted; at the whole events are no longer published (they stay in the journal).
    pub waiting_max: usize,
    /// Limits and timers of the dialer.
    pub dialer: DialerConfig,
}

/// The dialer and all that stands between it and the ground.
#[derive(Debug)]
pub struct ControlCore {
    shards: u16,
    dialer: Dialer,
    gate: Gate,
    clock: ClockBase,
    /// The dialer's effects of the input at hand.
    effects: Outbox<Effect>,
    /// Facts settled here that the dialer has yet to be told.
    settled: VecDeque<Input>,
    trunks: BTreeMap<TrunkId, TrunkRow>,
    agents: BTreeMap<AgentId, AgentRow>,
    contacts: BTreeMap<AgentId, ContactRow>,
    /// Sessions ordered and not yet down.
    sessions: BTreeSet<AgentId>,
    /// On which shards the transit calls are.
    transits: BTreeMap<CallId, u16>,
    /// Our own numbers.
    numbers: Arc<BTreeSet<String>>,
    draining: bool,
    /// When what still lives is hung up.
    drain_at: Option<Instant>,
    /// What the shards were told last about new transit calls.
    admitted: bool,
}

impl ControlCore {
    /// A control core that knows nothing yet. Its first inputs are [`ControlInput::Clock`] and
    /// [`ControlInput::Restore`].
    #[must_use]
    pub fn new(config: ControlConfig) -> Self {
        let rng = Rng::from_seed(config.seed);
        ControlCore {
            shards: config.shards.max(1),
            gate: Gate::new(config.waiting_max, config.dialer.cps_max),
            dialer: Dialer::new(config.dialer, rng.child("dialer")),
            clock: ClockBase::default(),
            effects: Outbox::default(),
            settled: VecDeque::new(),
            trunks: BTreeMap::new(),
            agents: BTreeMap::new(),
            contacts: BTreeMap::new(),
            sessions: BTreeSet::new(),
            transits: BTreeMap::new(),
            numbers: Arc::default(),
            draining: false,
            drain_at: None,
            admitted: true,
        }
    }

    /// The dialer, for those who look.
    #[must_use]
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Numbers of the gate.
    #[must_use]
    pub fn counters(&self) -> GateCounters {
        self.gate.counters()
    }

    fn take_command(&mut self, now: Instant, tag: u64, command: Command, out: &mut Outbox<ControlEffect>) {
        if self.gate.is_full() && !ends_something(asked(&command)) {
            out.push(ControlEffect::Reply { tag, result: Err(CommandError::StoreUnavailable) });
            return;
        }
        let mut stop = false;
        match asked(&command) {
            Command::Drain { deadline } => {
                self.draining = true;
                self.drain_at = Some(now + *deadline);
            }
            Command::Undrain => {
                self.draining = false;
                self.drain_at = None;
            }
            Command::StopNow => {
                self.draining = true;
                self.drain_at = None;
                stop = true;
            }
            _ => {}
        }
        self.feed(now, Input::Command { tag, command }, out);
        if stop {
            self.to_all(&ShardCommand::HangupAll, out);
        }
    }

    fn take_event(&mut self, now: Instant, shard: u16, event: ShardEvent, out: &mut Outbox<ControlEffect>) {
        match event {
            ShardEvent::Call(fact) => {
                match &fact {
                    CallFact::Ended { call, .. } => self.gate.call_ended(*call),
                    CallFact::InboundArrived { call, .. } => self.gate.adopt(*call, shard),
                    _ => {}
                }
                self.feed(now, Input::Call(fact), out);
            }
            ShardEvent::Transit(facts) => {
                for fact in facts {
                    self.note_transit(shard, &fact);
                    self.dialer.handle_input(now, Input::Call(fact), &mut self.effects);
                }
                self.pass_effects(now, out);
            }
            ShardEvent::Agent(fact) => {
                match &fact {
                    AgentFact::Registered(row) => {
                        self.contacts.insert(row.agent, row.clone());
                        if shard != HOME {
                            let command = ShardCommand::RestoreContact(row.clone());
                            out.push(ControlEffect::ToShard { shard: HOME, command });
                        }
                    }
                    AgentFact::Unregistered { agent } => {
                        self.contacts.remove(agent);
                    }
                    AgentFact::SessionDown { agent, .. } => {
                        self.sessions.remove(agent);
                    }
                    AgentFact::SessionUp { .. }
                    | AgentFact::PhoneHealth { .. }
                    | AgentFact::AsksForRest { .. }
                    | AgentFact::CallRefused { .. } => {}
                }
                self.feed(now, Input::Agent(fact), out);
            }
            ShardEvent::Trunk(fact) => self.feed(now, Input::Trunk(fact), out),
            ShardEvent::Asks { ask, agent, to } => {
                let forbidden = self.dialer.forbids(agent, &to, self.clock.wall_at(now));
                let command = ShardCommand::AnswerAsk { ask, allowed: forbidden.is_none() };
                out.push(ControlEffect::ToShard { shard, command });
                if let Some(reason) = forbidden {
                    self.feed(now, Input::Agent(AgentFact::CallRefused { agent, to, reason }), out);
                }
            }
        }
    }

    fn note_transit(&mut self, shard: u16, fact: &CallFact) {
        match fact {
            CallFact::TransitStarted { call, .. } => {
                self.transits.insert(*call, shard);
            }
            CallFact::TransitEnded { record, .. } => {
                self.transits.remove(&record.call);
            }
            _ => {}
        }
    }

    /// A shard starts anew: what lived there is over, and it has to be told what it serves.
    fn shard_restarted(&mut self, now: Instant, shard: u16, out: &mut Outbox<ControlEffect>) {
        for row in self.trunks.values() {
            let command = ShardCommand::SharePace { trunk: row.id, pace: self.gate.apply_trunk(row) };
            out.push(ControlEffect::ToShard { shard, command });
            let command = ShardCommand::ApplyTrunk(Box::new(row.clone()));
            out.push(ControlEffect::ToShard { shard, command });
        }
        for row in self.agents.values() {
            let command = ShardCommand::ApplyAgent(Box::new(row.clone()));
            out.push(ControlEffect::ToShard { shard, command });
        }
        for row in self.contacts.values() {
            let command = ShardCommand::RestoreContact(row.clone());
            out.push(ControlEffect::ToShard { shard, command });
        }
        let command = ShardCommand::ServeNumbers(Arc::clone(&self.numbers));
        out.push(ControlEffect::ToShard { shard, command });
        out.push(ControlEffect::ToShard { shard, command: ShardCommand::AdmitTransit(self.admitted) });
        let (by, cause) = (Party::System, EndCause::NodeRestart);
        for call in self.gate.calls_of(shard) {
            self.gate.call_ended(call);
            self.settled.push_back(Input::Call(CallFact::Ended {
                call,
                by,
                cause,
                sip_code: None,
                q850: None,
            }));
        }
        if shard == HOME {
            for agent in std::mem::take(&mut self.sessions) {
                self.settled.push_back(Input::Agent(AgentFact::SessionDown { agent, cause, by }));
            }
        }
        let lost: Vec<CallId> =
            self.transits.iter().filter(|(_, place)| **place == shard).map(|(call, _)| *call).collect();
        for call in lost {
            self.transits.remove(&call);
            let Some(start) = self.dialer.transit(call) else { continue };
            let record = Box::new(lost_transit(call, start, self.clock.wall_at(now)));
            self.settled.push_back(Input::Call(CallFact::TransitEnded { from: start.from, record }));
        }
        self.pass_effects(now, out);
    }

    fn feed(&mut self, now: Instant, input: Input, out: &mut Outbox<ControlEffect>) {
        self.dialer.handle_input(now, input, &mut self.effects);
        self.pass_effects(now, out);
    }

    /// Passes the dialer's effects through the gate, and tells it what the gate settled.
    fn pass_effects(&mut self, now: Instant, out: &mut Outbox<ControlEffect>) {
        loop {
            let (records, effects) = take_records(&mut self.effects);
            self.gate.journal(records, out);
            for effect in effects {
                self.pass_effect(now, effect, out);
            }
            let Some(input) = self.settled.pop_front() else { break };
            self.dialer.handle_input(now, input, &mut self.effects);
        }
        self.admit_transits(out);
    }

    fn pass_effect(&mut self, now: Instant, effect: Effect, out: &mut Outbox<ControlEffect>) {
        let home = |command| ControlEffect::ToShard { shard: HOME, command };
        match effect {
            // Its records were taken out before.
            Effect::Journal(_) => {}
            Effect::Event(envelope) => self.gate.hold(ControlEffect::Publish(envelope), out),
            Effect::Reply { tag, result: result @ Ok(_) } => {
                self.gate.hold(ControlEffect::Reply { tag, result }, out);
            }
            // A refusal has changed nothing; there is nothing to wait for.
            Effect::Reply { tag, result } => out.push(ControlEffect::Reply { tag, result }),
            Effect::View(change) => out.push(ControlEffect::View(change)),
            // What is read of leads has everything in it that was decided before.
            Effect::LoadLeads { campaign, lists, limit, due_at, screen } => {
                self.gate.hold(ControlEffect::LoadLeads { campaign, lists, limit, due_at, screen }, out);
            }
            Effect::ServeNumbers(numbers) => {
                self.numbers = Arc::new(numbers.into_iter().collect());
                self.to_all(&ShardCommand::ServeNumbers(Arc::clone(&self.numbers)), out);
            }
            Effect::RecallCaller { call, numbers, called } => {
                out.push(ControlEffect::RecallCaller { call, numbers, called });
            }
            Effect::FindCallbacks { at, limit } => {
                self.gate.hold(ControlEffect::FindCallbacks { at, limit }, out);
            }
            Effect::FindExpired { campaign, lists, at, limit } => {
                self.gate.hold(ControlEffect::FindExpired { campaign, lists, at, limit }, out);
            }
            Effect::Call(order) => self.pass_order(now, order, out),
            Effect::OpenSession { agent, way, ring_timeout_ms } => {
                self.sessions.insert(agent);
                out.push(home(ShardCommand::OpenSession { agent, way, ring_timeout_ms }));
            }
            Effect::CloseSession { agent } => out.push(home(ShardCommand::CloseSession { agent })),
            Effect::ApplyTrunk(row) => {
                let (trunk, pace) = (row.id, self.gate.apply_trunk(&row));
                self.trunks.insert(trunk, (*row).clone());
                self.to_all(&ShardCommand::SharePace { trunk, pace }, out);
                self.to_all(&ShardCommand::ApplyTrunk(row), out);
            }
            Effect::RemoveTrunk(trunk) => {
                self.gate.remove_trunk(trunk);
                self.trunks.remove(&trunk);
                self.to_all(&ShardCommand::RemoveTrunk(trunk), out);
            }
            Effect::ApplyAgent(row) => {
                self.agents.insert(row.id, (*row).clone());
                self.to_all(&ShardCommand::ApplyAgent(row), out);
            }
            Effect::RemoveAgent(agent) => {
                self.agents.remove(&agent);
                self.contacts.remove(&agent);
                self.to_all(&ShardCommand::RemoveAgent(agent), out);
            }
            Effect::RestoreContact(row) => {
                self.contacts.insert(row.agent, row.clone());
                out.push(home(ShardCommand::RestoreContact(row)));
            }
        }
    }

    /// To the home, but for orders about a transit call, for which nothing is waited for.
    fn pass_order(&mut self, now: Instant, order: CallOrder, out: &mut Outbox<ControlEffect>) {
        if let CallOrder::Hangup { call, cause, by } = order
            && let Some(shard) = self.transits.get(&call)
        {
            let command = ShardCommand::EndTransit { call, by, cause };
            return out.push(ControlEffect::ToShard { shard: *shard, command });
        }
        if let CallOrder::Act { call, act } = &order
            && let Some(shard) = self.transits.get(call)
        {
            let command = ShardCommand::ActOnTransit { call: *call, act: act.clone() };
            return out.push(ControlEffect::ToShard { shard: *shard, command });
        }
        self.gate.order(now, HOME, order, out, &mut self.settled);
    }

    /// New transit calls make records too: they are not taken while draining, nor while records pile up.
    fn admit_transits(&mut self, out: &mut Outbox<ControlEffect>) {
        let admit = !self.draining && !self.gate.is_full();
        if std::mem::replace(&mut self.admitted, admit) != admit {
            self.to_all(&ShardCommand::AdmitTransit(admit), out);
        }
    }

    fn to_all(&self, command: &ShardCommand, out: &mut Outbox<ControlEffect>) {
        for shard in 0..self.shards {
            out.push(ControlEffect::ToShard { shard, command: command.clone() });
        }
    }
}

impl Machine for ControlCore {
    type Input<'a> = ControlInput;
    type Effect = ControlEffect;

    fn handle_input(&mut self, now: Instant, input: ControlInput, out: &mut Outbox<ControlEffect>) {
        match input {
            ControlInput::Clock(base) => {
                self.clock = base;
                self.to_all(&ShardCommand::Clock(base), out);
                self.feed(now, Input::Clock(base), out);
            }
            ControlInput::Restore(snapshot) => self.feed(now, Input::Restore(snapshot), out),
            ControlInput::Command { tag, command } => self.take_command(now, tag, command, out),
            ControlInput::Shard { shard, event } => self.take_event(now, shard, event, out),
            ControlInput::Durable { seq } => {
                self.gate.durable(now, seq, out);
                self.admit_transits(out);
            }
            ControlInput::StoreHealth { healthy } => self.feed(now, Input::StoreHealth { healthy }, out),
            ControlInput::ShardRestarted { shard } => self.shard_restarted(now, shard, out),
            ControlInput::LeadsLoaded { campaign, leads, more, next_due } => {
                self.feed(now, Input::LeadsLoaded { campaign, leads, more, next_due }, out);
            }
            ControlInput::CallerRecalled { call, memory } => {
                self.feed(now, Input::CallerRecalled { call, memory }, out);
            }
            ControlInput::CallbacksFound { leads, next } => {
                self.feed(now, Input::CallbacksFound { leads, next }, out);
            }
            ControlInput::ExpiredFound { campaign, leads, next } => {
                self.feed(now, Input::ExpiredFound { campaign, leads, next }, out);
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.dialer.poll_timeout(), self.drain_at, self.gate.next_departure()].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox<ControlEffect>) {
        if self.dialer.poll_timeout().is_some_and(|at| at <= now) {
            self.dialer.handle_timeout(now, &mut self.effects);
            self.pass_effects(now, out);
        }
        self.gate.depart(now, out);
        if self.drain_at.is_some_and(|at| at <= now) {
            self.drain_at = None;
            self.to_all(&ShardCommand::HangupAll, out);
        }
    }
}

/// What is wanted, whoever asks for it.
fn asked(command: &Command) -> &Command {
    match command {
        Command::By { command, .. } | Command::Tracked { command, .. } => asked(command),
        command => command,
    }
}

/// Commands that make room and are therefore taken when there is none.
fn ends_something(command: &Command) -> bool {
    matches!(
        command,
        Command::Hangup(_)
            | Command::Drain { .. }
            | Command::StopNow
            | Command::StopCampaign(_)
            | Command::PauseCampaign(_)
    )
}

/// What can still be said of a transit call whose shard was lost.
fn lost_transit(call: CallId, start: &TransitStart, now: WallTime) -> CallRecord {
    CallRecord {
        call,
        tenant: None,
        attempt: None,
        campaign: None,
        lead: None,
        agent: start.agent,
        trunk: Some(start.to),
        kind: CallKindTag::Transit,
        mode: None,
        to: start.number.clone(),
        caller_id: start.caller_id.clone(),
        number_of_attempt: 0,
        started_at: start.at,
        ringing_at: None,
        answered_at: None,
        bridged_at: None,
        ended_at: now,
        outcome: Outcome::NodeRestart,
        evidence: Evidence::Timer,
        cause: EndCause::NodeRestart,
        ended_by: Party::System,
        sip_code: None,
        q850: None,
        pdd_ms: None,
        ring_ms: None,
        answer_to_bridge_ms: None,
        talk_ms: 0,
        amd: None,
        early_media: None,
        abandoned: false,
        safe_harbour_played: false,
        digits: String::new(),
        recording: None,
        more_recordings: Vec::new(),
        client_state: None,
        verstat: None,
        reason: None,
        transferred_to: None,
        participants: Vec::new(),
        amd_detail: None,
        early_media_detail: None,
        media: Vec::new(),
    }
}
