//! The control thread: it owns the control core, feeds it, and carries out what it wants.
//!
//! Everything comes in by bounded ways; the store's word of what is durable comes in by two numbers, because only
//! the last one counts.

use crate::shard_thread::ShardOrder;
use control_api::{CommandRequest, EventHub, ReadModel};
use dialer_core::counters::Histogram;
use dialer_core::{CommandError, Reply, Snapshot, ViewChange};
use engine::{ControlCore, ControlEffect, ControlInput, ShardCommand, ShardEvent};
use runtime::{Clock, Mailbox, mailbox};
use sansio::{Machine, Outbox, WallTime};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use store::{Durable, ExpiredLeads, ExpiredQuery, LeadQuery, Store};
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// What comes to the control thread from other threads.
pub enum ControlMessage {
    /// A fact from a shard.
    Shard { shard: u16, event: ShardEvent },
    /// A shard panicked and starts clean.
    ShardRestarted { shard: u16 },
    /// Something each shard is told now and whenever it starts anew.
    ShardSetup(ShardCommand),
    /// An answer of the store.
    Loaded(Box<ControlInput>),
    /// End the thread, after everything is durable.
    Stop,
}

/// What the store says of durability, shared with its writer thread.
#[derive(Default)]
pub struct DurableWord {
    up_to: AtomicU64,
    unhealthy: AtomicBool,
    changed: Notify,
}

impl DurableWord {
    /// To be called by the store.
    pub fn tell(&self, word: Durable) {
        match word {
            Durable::UpTo(seq) => self.up_to.store(seq, Ordering::Release),
            Durable::Unhealthy { detail, .. } => {
                tracing::error!(detail, "records cannot be written: dialling stops until they can");
                self.unhealthy.store(true, Ordering::Release);
            }
            Durable::Healthy => {
                tracing::info!("records are written again");
                self.unhealthy.store(false, Ordering::Release);
            }
        }
        self.changed.notify_one();
    }
}

/// What the control thread shows to those who look from outside.
#[derive(Default)]
pub struct ControlGauges {
    /// The dialer's counters, as of the last second.
    pub counters: Mutex<dialer_core::Counters>,
    /// Time of pacing decisions, with what they caused at once.
    pub decisions: Mutex<DecisionTimes>,
    /// How long turns take.
    pub turns: runtime::TurnTimes,
    /// Facts lost because the thread was dead; must stay 0.
    pub messages_refused: AtomicU64,
    /// Things that may not be; must stay 0.
    pub audit_findings: AtomicU64,
}

/// How long decisions took, seconds. A turn of the loop that decided for several campaigns counts once for each, with
/// its share of the time.
pub struct DecisionTimes(pub Histogram);

/// From a few agents to a house of thousands.
const DECISION_BOUNDS: &[f64] =
    &[0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05];

impl Default for DecisionTimes {
    fn default() -> Self {
        DecisionTimes(Histogram::new(DECISION_BOUNDS))
    }
}

/// What the control thread is made of.
pub struct ControlParts {
    pub core: ControlCore,
    pub clock: Clock,
    /// The state of the last run.
    pub snapshot: Box<Snapshot>,
    /// Told once that state is in place and shown to readers.
    pub restored: oneshot::Sender<()>,
    pub store: Arc<dyn Store>,
    pub durable: Arc<DurableWord>,
    pub commands: mpsc::Receiver<CommandRequest>,
    pub messages: mailbox::Receiver<ControlMessage>,
    pub to_self: mailbox::Sender<ControlMessage>,
    pub shards: Vec<Mailbox<ShardOrder>>,
    /// Told again to a shard that starts anew: prompts and routes.
    pub shard_setup: Vec<ShardCommand>,
    pub read_model: Arc<ReadModel>,
    pub events: Arc<EventHub>,
    pub gauges: Arc<ControlGauges>,
    /// True once the node has drained.
    pub drained: watch::Sender<bool>,
    pub blocking: tokio::runtime::Handle,
}

/// Starts the thread.
///
/// # Errors
/// When no thread can be made.
pub fn spawn(parts: ControlParts) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("control".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        match runtime {
            Ok(runtime) => runtime.block_on(ControlThread::new(parts).run()),
            Err(error) => tracing::error!(%error, "the control thread cannot start"),
        }
    })
}

/// The prompt that an order is about.
fn prompt_of(command: &ShardCommand) -> Option<&str> {
    match command {
        ShardCommand::LoadPrompt { name, .. } | ShardCommand::ForgetPrompt { name } => Some(name),
        _ => None,
    }
}

struct ControlThread {
    parts: ControlParts,
    out: Outbox<ControlEffect>,
    replies: HashMap<u64, oneshot::Sender<Result<Reply, CommandError>>>,
    next_tag: u64,
    durable_seen: u64,
    healthy_seen: bool,
    last_journal: u64,
    last_second: sansio::Instant,
}

const MESSAGES_PER_TURN: usize = 1024;
const COMMANDS_PER_TURN: usize = 64;
/// The system's clock is looked at so often; a jump of more than this is told to the machines.
const CLOCK_STEP: Duration = Duration::from_millis(500);

impl ControlThread {
    fn new(parts: ControlParts) -> Self {
        let last_second = parts.clock.now();
        ControlThread {
            parts,
            out: Outbox::default(),
            replies: HashMap::new(),
            next_tag: 0,
            durable_seen: 0,
            healthy_seen: true,
            last_journal: 0,
            last_second,
        }
    }

    async fn run(mut self) {
        let mut base = self.parts.clock.base();
        self.feed(ControlInput::Clock(base));
        let snapshot = std::mem::take(&mut self.parts.snapshot);
        self.feed(ControlInput::Restore(snapshot));
        let (nobody, _) = oneshot::channel();
        // Whoever started us may have given up meanwhile.
        let _ = std::mem::replace(&mut self.parts.restored, nobody).send(());
        let mut stopping = false;
        loop {
            let started = self.parts.clock.now();
            let mut worked = self.take_durable();
            for _ in 0..MESSAGES_PER_TURN {
                let Some(message) = self.parts.messages.try_recv() else { break };
                worked = true;
                stopping |= self.message(message);
            }
            for _ in 0..COMMANDS_PER_TURN {
                let Ok(request) = self.parts.commands.try_recv() else { break };
                worked = true;
                self.command(request);
            }
            let now = self.parts.clock.now();
            if self.parts.core.poll_timeout().is_some_and(|at| at <= now) {
                let decided = self.decisions();
                self.parts.core.handle_timeout(now, &mut self.out);
                self.time_decisions(now, decided);
                self.carry_out();
            }
            for shard in &mut self.parts.shards {
                shard.flush();
            }
            if now.since(self.last_second) >= Duration::from_secs(1) {
                self.last_second = now;
                self.each_second(&mut base);
            }
            let turn = self.parts.clock.now().since(started).as_nanos() as u64;
            self.parts.gauges.turns.note(turn);
            if stopping && self.durable_seen >= self.last_journal {
                return;
            }
            if worked {
                continue;
            }
            self.wait(&mut stopping).await;
        }
    }

    async fn wait(&mut self, stopping: &mut bool) {
        let in_a_second = self.last_second + Duration::from_secs(1);
        let wake = self.parts.core.poll_timeout().map_or(in_a_second, |at| at.min(in_a_second));
        let durable = Arc::clone(&self.parts.durable);
        let mut early_message = None;
        let mut early_command = None;
        tokio::select! {
            biased;
            () = durable.changed.notified() => {}
            message = self.parts.messages.recv() => early_message = message,
            request = self.parts.commands.recv() => early_command = request,
            () = tokio::time::sleep_until(self.parts.clock.to_tokio(wake)) => {}
        }
        if let Some(message) = early_message {
            *stopping |= self.message(message);
        }
        if let Some(request) = early_command {
            self.command(request);
        }
    }

    fn take_durable(&mut self) -> bool {
        let up_to = self.parts.durable.up_to.load(Ordering::Acquire);
        let healthy = !self.parts.durable.unhealthy.load(Ordering::Acquire);
        let mut worked = false;
        if up_to > self.durable_seen {
            self.durable_seen = up_to;
            self.feed(ControlInput::Durable { seq: up_to });
            worked = true;
        }
        if healthy != self.healthy_seen {
            self.healthy_seen = healthy;
            self.feed(ControlInput::StoreHealth { healthy });
            worked = true;
        }
        worked
    }

    /// True when the thread is to end.
    fn message(&mut self, message: ControlMessage) -> bool {
        match message {
            ControlMessage::Shard { shard, event } => self.feed(ControlInput::Shard { shard, event }),
            ControlMessage::ShardRestarted { shard } => {
                if let Some(way) = self.parts.shards.get_mut(usize::from(shard)) {
                    for command in &self.parts.shard_setup {
                        way.send(ShardOrder::Command(command.clone()));
                    }
                }
                self.feed(ControlInput::ShardRestarted { shard });
            }
            ControlMessage::ShardSetup(command) => {
                for way in &mut self.parts.shards {
                    way.send(ShardOrder::Command(command.clone()));
                }
                // What replaces what was said before is kept once; of prompts each one.
                let replaced = std::mem::discriminant(&command);
                let of_prompt = prompt_of(&command).map(str::to_owned);
                self.parts.shard_setup.retain(|old| match &of_prompt {
                    Some(name) => prompt_of(old) != Some(name),
                    None => std::mem::discriminant(old) != replaced,
                });
                if !matches!(command, ShardCommand::ForgetPrompt { .. }) {
                    self.parts.shard_setup.push(command);
                }
            }
            ControlMessage::Loaded(input) => self.feed(*input),
            ControlMessage::Stop => return true,
        }
        false
    }

    fn command(&mut self, request: CommandRequest) {
        self.next_tag += 1;
        let tag = self.next_tag;
        self.replies.insert(tag, request.reply);
        self.feed(ControlInput::Command { tag, command: request.command });
    }

    fn feed(&mut self, input: ControlInput) {
        let (now, decided) = (self.parts.clock.now(), self.decisions());
        self.parts.core.handle_input(now, input, &mut self.out);
        self.time_decisions(now, decided);
        self.carry_out();
    }

    fn decisions(&self) -> u64 {
        self.parts.core.dialer().counters().decisions
    }

    /// Notes how long the decisions since `decided` took, from `started` until now.
    fn time_decisions(&self, started: sansio::Instant, decided: u64) {
        let decisions = self.decisions() - decided;
        if decisions == 0 {
            return;
        }
        let share = self.parts.clock.now().since(started).as_secs_f64() / decisions as f64;
        if let Ok(mut times) = self.parts.gauges.decisions.lock() {
            (0..decisions).for_each(|_| times.0.observe(share));
        }
    }

    fn carry_out(&mut self) {
        for effect in self.out.drain() {
            match effect {
                ControlEffect::Journal { seq, records } => {
                    self.last_journal = seq;
                    self.parts.store.append(seq, records);
                }
                ControlEffect::ToShard { shard, command } => {
                    if let Some(way) = self.parts.shards.get_mut(usize::from(shard)) {
                        way.send(ShardOrder::Command(command));
                    }
                }
                ControlEffect::Publish(envelope) => self.parts.events.publish(Arc::new(*envelope)),
                ControlEffect::Reply { tag, result } => {
                    if let Some(reply) = self.replies.remove(&tag) {
                        // Whoever asked may be gone.
                        let _ = reply.send(result);
                    }
                }
                ControlEffect::View(view) => {
                    if let ViewChange::Node(node) = &view {
                        self.parts.drained.send_if_modified(|drained| {
                            let changed = *drained != node.drained;
                            *drained = node.drained;
                            changed
                        });
                    }
                    self.parts.read_model.apply(view);
                }
                ControlEffect::RecallCaller { call, numbers, called } => {
                    let store = Arc::clone(&self.parts.store);
                    let answer = self.parts.to_self.clone();
                    self.parts.blocking.spawn_blocking(move || {
                        let memory = store.recall_caller(&numbers, &called).unwrap_or_else(|error| {
                            tracing::error!(%error, %call, "a caller cannot be looked up");
                            Default::default()
                        });
                        let input = ControlInput::CallerRecalled { call, memory: Box::new(memory) };
                        let _ = answer.blocking_send(ControlMessage::Loaded(Box::new(input)));
                    });
                }
                ControlEffect::FindCallbacks { at, limit } => {
                    let store = Arc::clone(&self.parts.store);
                    let answer = self.parts.to_self.clone();
                    self.parts.blocking.spawn_blocking(move || {
                        let input = callbacks_due(store.as_ref(), at, limit);
                        let _ = answer.blocking_send(ControlMessage::Loaded(Box::new(input)));
                    });
                }
                ControlEffect::FindExpired { campaign, lists, at, limit } => {
                    let query = ExpiredQuery { lists, at, limit };
                    let store = Arc::clone(&self.parts.store);
                    let answer = self.parts.to_self.clone();
                    self.parts.blocking.spawn_blocking(move || {
                        let input = expired_leads(store.as_ref(), campaign, &query);
                        let _ = answer.blocking_send(ControlMessage::Loaded(Box::new(input)));
                    });
                }
                ControlEffect::LoadLeads { campaign, lists, limit, due_at, screen } => {
                    let query = LeadQuery { lists, limit, due_at, exclude: Vec::new(), screen: *screen };
                    let store = Arc::clone(&self.parts.store);
                    let answer = self.parts.to_self.clone();
                    self.parts.blocking.spawn_blocking(move || {
                        let input = load_leads(store.as_ref(), campaign, &query, due_at);
                        // The control thread ends before its store only when the daemon does.
                        let _ = answer.blocking_send(ControlMessage::Loaded(Box::new(input)));
                    });
                }
            }
        }
    }

    fn each_second(&mut self, base: &mut sansio::time::ClockBase) {
        let now = self.parts.clock.now();
        let expected = base.wall_at(now);
        let wall = self.parts.clock.wall();
        if wall.millis_since(expected).unsigned_abs() > CLOCK_STEP.as_millis() as u64 {
            *base = self.parts.clock.base();
            tracing::warn!(by_ms = wall.millis_since(expected), "the system's clock was set");
            self.feed(ControlInput::Clock(*base));
            for shard in &mut self.parts.shards {
                shard.send(ShardOrder::Command(ShardCommand::Clock(*base)));
            }
        }
        if let Ok(mut counters) = self.parts.gauges.counters.lock() {
            counters.clone_from(self.parts.core.dialer().counters());
        }
        let refused = self.parts.shards.iter().map(Mailbox::refused).sum();
        self.parts.gauges.messages_refused.store(refused, Ordering::Relaxed);
        let findings = self.parts.core.dialer().audit();
        if !findings.is_empty() {
            tracing::error!(?findings, "the control core found a broken invariant");
        }
        self.parts.gauges.audit_findings.store(findings.len() as u64, Ordering::Relaxed);
    }
}

/// Finds callbacks that are due; a fault is told as "none now, the next in a second".
fn callbacks_due(store: &dyn Store, at: sansio::WallTime, limit: u32) -> ControlInput {
    let found = store.callbacks_due(at, limit).unwrap_or_else(|error| {
        tracing::error!(%error, "callbacks cannot be read");
        ExpiredLeads { leads: Vec::new(), next: Some(at.plus_millis(1000)) }
    });
    ControlInput::CallbacksFound { leads: found.leads, next: found.next }
}

/// Finds expired leads; a fault is told as "none now, the next in a second".
fn expired_leads(store: &dyn Store, campaign: dialer_core::CampaignId, query: &ExpiredQuery) -> ControlInput {
    let found = store.expired_leads(query).unwrap_or_else(|error| {
        tracing::error!(%error, %campaign, "expired leads cannot be read");
        ExpiredLeads { leads: Vec::new(), next: Some(query.at.plus_millis(1000)) }
    });
    ControlInput::ExpiredFound { campaign, leads: found.leads, next: found.next }
}

/// Reads leads; a fault is told as "nothing now, ask again in a second".
fn load_leads(
    store: &dyn Store,
    campaign: dialer_core::CampaignId,
    query: &LeadQuery,
    due_at: WallTime,
) -> ControlInput {
    match store.load_leads(query) {
        Ok(loaded) => ControlInput::LeadsLoaded {
            campaign,
            leads: loaded.leads,
            more: loaded.more,
            next_due: loaded.next_due,
        },
        Err(error) => {
            tracing::error!(%error, %campaign, "leads cannot be read");
            let next_due = Some(due_at.plus_millis(1000));
            ControlInput::LeadsLoaded { campaign, leads: Vec::new(), more: false, next_due }
        }
    }
}
