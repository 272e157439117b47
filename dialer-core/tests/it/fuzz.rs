//! Random operations against a small engine that answers orders in any legal order, late, or not at all; with a
//! journal that becomes durable late, loads that were read before they arrive, and crashes.

use crate::fold::Store;
use crate::house::START;
use dialer_core::config::{
    AgentConfig, AmdMode, CampaignConfig, CampaignTimers, Concurrency, ConnectAt, DialMode, ListConfig,
    PacingConfig, PushConfig, RetryRule, SessionKind, SmallTeam, TrunkConfig, TrunkTransport,
};
use dialer_core::inbound::{InboundRouteConfig, InboundStep};
use dialer_core::machine::{AssistantThen, MachinePolicy};
use dialer_core::outcome::{AmdEvidence, AmdVerdict, EarlyMediaClass, EndCause, Outcome, Party, TurnCue};
use dialer_core::participant::{CallAct, CallWish, Joining, SupervisionMode, Target};
use dialer_core::record::{ContactRow, Lead, LeadProgress, Phone};
use dialer_core::serving::{AgentOrder, Serving};
use dialer_core::{
    AgentDevice, AgentFact, AgentId, CallFact, CallId, CallOrder, CampaignId, Command, CommandError, Dialer,
    DialerConfig, Effect, Event, Input, LeadId, LegId, ListId, OriginateRequest, Record, Reply, TaskId,
    TrunkFact, TrunkId,
};
use sansio::time::ClockBase;
use sansio::{Duration, Instant, Outbox, Rng};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most agents have phones that register, one is at a telephone number, one at an address.
fn device(n: u8) -> AgentDevice {
    match n {
        3 => AgentDevice::Number {
            number: "+4915112345678".into(),
            trunk: None,
            caller_id: None,
            confirm_key: Some('1'),
        },
        4 => AgentDevice::Address {
            user: "a4".into(),
            address: "198.51.100.9:5060".into(),
            transport: TrunkTransport::Udp,
        },
        _ => AgentDevice::Registered,
    }
}

/// Something that waits until what was journalled before it is durable.
enum Gated {
    Write(Vec<Record>),
    Reply(u64, Result<Reply, CommandError>),
    Order(CallOrder),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    None,
    Ordered,
    Dialled,
    Ringing,
    Up,
}

#[derive(Debug)]
struct Leg {
    customer: Side,
    agent: Option<(AgentId, Side)>,
    /// Others who are rung while that one is.
    rung_too: Vec<(AgentId, Side)>,
    bridge_ordered: bool,
    bridged: bool,
    playing: bool,
    amd: bool,
    /// A machine or an assistant speaks.
    turn: bool,
    /// Supervisors and third parties.
    others: Vec<LegId>,
    /// To whom a transfer is under way.
    transfer: Option<String>,
}

impl Leg {
    fn new() -> Self {
        Leg {
            customer: Side::None,
            agent: None,
            rung_too: Vec::new(),
            bridge_ordered: false,
            bridged: false,
            playing: false,
            amd: false,
            turn: false,
            others: Vec::new(),
            transfer: None,
        }
    }

    fn is_rung(&self, agent: AgentId) -> bool {
        self.agent.iter().chain(&self.rung_too).any(|(there, _)| *there == agent)
    }

    /// The phone of this one of those who are rung does the next thing.
    fn seat(&mut self, agent: AgentId) {
        if let Some(place) = self.rung_too.iter().position(|(there, _)| *there == agent) {
            let chosen = self.rung_too.remove(place);
            self.rung_too.extend(self.agent.replace(chosen));
        }
    }
}

struct World {
    rng: Rng,
    dialer: Dialer,
    out: Outbox<Effect>,
    store: Store,
    now: Instant,
    gate: VecDeque<Gated>,
    loads: Vec<Input>,
    calls: BTreeMap<CallId, Leg>,
    /// Every call the engine ever had.
    made: BTreeSet<CallId>,
    /// True once the session is up.
    sessions: BTreeMap<AgentId, bool>,
    registered: BTreeSet<AgentId>,
    trunks: Vec<TrunkId>,
    agents: Vec<AgentId>,
    lists: Vec<ListId>,
    campaigns: Vec<CampaignId>,
    tasks: Vec<TaskId>,
    seen_calls: Vec<CallId>,
    asked: BTreeSet<u64>,
    tag: u64,
    dials: Vec<(Instant, TrunkId)>,
    lines: BTreeMap<CampaignId, BTreeSet<CallId>>,
    hash: u64,
    last_reply: Option<Result<Reply, CommandError>>,
    facts: VecDeque<Input>,
    draining: bool,
    /// Facts come that break the engine's promises: the dialer keeps its own all the same.
    lawless: bool,
}

const LINES_MAX: u32 = 8;
const CPS: f64 = 4.0;

fn dialer_config() -> DialerConfig {
    DialerConfig {
        hopper_max: 12,
        hopper_low: 6,
        calls_max: 14,
        ended_calls_max: 50,
        ..DialerConfig::default()
    }
}

impl World {
    fn new(seed: u64) -> World {
        let rng = Rng::from_seed(seed);
        let mut world = World {
            dialer: Dialer::new(dialer_config(), rng.child("dialer")),
            rng,
            out: Outbox::with_limit(4096),
            store: Store::default(),
            now: Instant::ZERO,
            gate: VecDeque::new(),
            loads: Vec::new(),
            calls: BTreeMap::new(),
            made: BTreeSet::new(),
            sessions: BTreeMap::new(),
            registered: BTreeSet::new(),
            trunks: Vec::new(),
            agents: Vec::new(),
            lists: Vec::new(),
            campaigns: Vec::new(),
            tasks: Vec::new(),
            seen_calls: Vec::new(),
            asked: BTreeSet::new(),
            tag: 0,
            dials: Vec::new(),
            lines: BTreeMap::new(),
            hash: 0,
            last_reply: None,
            facts: VecDeque::new(),
            draining: false,
            lawless: false,
        };
        world.input(Input::Clock(ClockBase { instant: Instant::ZERO, wall: START }));
        world.input(Input::Restore(Box::default()));
        world.furnish();
        world
    }

    fn furnish(&mut self) {
        for name in ["one", "two"] {
            let config = TrunkConfig {
                name: name.into(),
                address: "192.0.2.1:5060".into(),
                options_interval_ms: if name == "two" { 10_000 } else { 0 },
                channels_max: 7,
                cps_max: CPS,
                ..TrunkConfig::default()
            };
            let Some(Ok(Reply::Trunk(id, _))) = self.ask(Command::CreateTrunk(config)) else { panic!() };
            self.trunks.push(id);
        }
        for n in 0..5 {
            let config = AgentConfig {
                name: format!("agent {n}"),
                username: format!("a{n}"),
                password: "x".into(),
                groups: if n < 3 { vec!["sales".into()] } else { vec!["sales".into(), "help".into()] },
                skills: [("french".to_owned(), n + 1)].into(),
                rank: n as i8 - 2,
                destinations: vec!["*".into()],
                device: device(n),
                ..AgentConfig::default()
            };
            let Some(Ok(Reply::Agent(id, _))) = self.ask(Command::CreateAgent(config)) else { panic!() };
            self.agents.push(id);
        }
        for n in 0..2 {
            let config = ListConfig { name: format!("list {n}"), ..ListConfig::default() };
            let Some(Ok(Reply::List(id, _))) = self.ask(Command::CreateList(config)) else { panic!() };
            self.lists.push(id);
            self.import(id, 25);
        }
        for n in 0..3 {
            let config = self.campaign_config(n);
            let Some(Ok(Reply::Campaign(id, _))) = self.ask(Command::CreateCampaign(Box::new(config))) else {
                panic!()
            };
            self.campaigns.push(id);
        }
        let group = |group: Option<&str>| InboundStep::Group {
            group: group.map(str::to_owned),
            waiting_max: 3,
            wait_ms: 8_000,
            play: Some("music".into()),
        };
        let route = InboundRouteConfig {
            name: "back".into(),
            numbers: vec!["+4930900".into()],
            steps: vec![
                InboundStep::LastAgent { within_ms: 3_600_000, wait_ms: 2_000, play: None },
                group(Some("help")),
                InboundStep::Menu {
                    play: "menu".into(),
                    wait_ms: 1_000,
                    digits: BTreeMap::from([
                        ('1', group(None)),
                        ('5', InboundStep::Message { play: "m".into() }),
                    ]),
                },
            ],
            ..InboundRouteConfig::default()
        };
        self.ask(Command::CreateInboundRoute(route));
    }

    fn campaign_config(&mut self, n: usize) -> CampaignConfig {
        let modes = [
            DialMode::Progressive,
            DialMode::Ratio,
            DialMode::Predictive,
            DialMode::Preview,
            DialMode::Agentless,
        ];
        let mode = modes[self.rng.below(5) as usize];
        let amds = [AmdMode::Off, AmdMode::Off, AmdMode::Async, AmdMode::BeforeBridge];
        let amd = amds[self.rng.below(4) as usize];
        let joins = !matches!(mode, DialMode::Preview | DialMode::Agentless) && amd != AmdMode::BeforeBridge;
        let connect_at = if joins && self.rng.chance(0.5) { ConnectAt::Ringing } else { ConnectAt::Answer };
        let retry = [Outcome::Busy, Outcome::NoAnswer, Outcome::Cancelled, Outcome::Abandoned];
        let orders = [
            AgentOrder::LongestIdle,
            AgentOrder::FewestCalls,
            AgentOrder::Rank,
            AgentOrder::SkillRank,
            AgentOrder::Random,
            AgentOrder::TopDown,
            AgentOrder::RingAll,
        ];
        let order = orders[self.rng.below(orders.len() as u64) as usize];
        let skills = match self.rng.below(4) {
            0 => BTreeMap::new(),
            least => BTreeMap::from([("french".to_owned(), least as u8)]),
        };
        CampaignConfig {
            name: format!("campaign {n}"),
            serving: Box::new(Serving { order, skills, ..Serving::default() }),
            mode,
            message_prompt: Some("announcement".into()),
            machine_policy: Box::new(MachinePolicy {
                leave: self.rng.chance(0.5).then(|| "leave".into()),
                say: self.rng.chance(0.5).then(|| "say".into()),
                then: [AssistantThen::Hangup, AssistantThen::Agent][self.rng.below(2) as usize],
                by_silence: [None, Some(true), Some(false)][self.rng.below(3) as usize],
            }),
            connect_at,
            ratio: 2.0,
            amd,
            agent_group: if n == 2 { Some("help".into()) } else { None },
            lists: if n == 0 { self.lists.clone() } else { vec![self.lists[n - 1]] },
            concurrency: Concurrency {
                lines_max: LINES_MAX,
                cps_max: CPS,
                max_lines_per_agent: 3.0,
                lines_min: self.rng.below(3) as u32,
                priority: 40 + 10 * self.rng.below(3) as u32,
                weight: 50.0 + 100.0 * self.rng.unit(),
                ..Concurrency::default()
            },
            pacing: Box::new(PacingConfig {
                cancel_ringing: self.rng.chance(0.5),
                budget_group: self.rng.chance(0.5).then(|| "shared".into()),
                small_team: self.rng.chance(0.5).then(|| SmallTeam {
                    below_agents: 1 + self.rng.below(5) as u32,
                    mode: DialMode::Progressive,
                }),
                ..PacingConfig::default()
            }),
            timers: CampaignTimers {
                wrap_up_ms: self.rng.below(3) as u32 * 2_000,
                preview_auto_dial_ms: self.rng.below(2) as u32 * 3_000,
                ..CampaignTimers::default()
            },
            retry: retry.map(|outcome| RetryRule::new(outcome, 5_000, 3)).to_vec(),
            safe_harbour_prompt: self.rng.chance(0.8).then(|| "sorry".into()),
            push: self.rng.chance(0.4).then(Box::<PushConfig>::default),
            preview_skip: self.rng.chance(0.8),
            ..CampaignConfig::default()
        }
    }

    fn import(&mut self, list: ListId, count: usize) {
        for _ in 0..count {
            let number = self.store.leads.len() as u128 + 1;
            let id = LeadId::from_bits(number);
            let phone =
                |n: u8| Phone { number: format!("+49301{n}{number:05}"), raw: String::new(), kind: None };
            let phones = (0..1 + self.rng.below(2) as u8).map(phone).collect();
            let lead = Lead {
                id,
                list,
                external_id: None,
                phones,
                priority: self.rng.below(3) as i32,
                time_zone: None,
                fields: BTreeMap::new(),
                expires_at: self.rng.chance(0.1).then(|| START.plus_millis(self.rng.below(60_000) as i64)),
                progress: LeadProgress::fresh(id),
            };
            self.store.leads.insert(id, lead);
        }
        self.ask(Command::LeadsImported { list, accepted: count as u64 });
    }

    /// Commands and waits for the answer (unless it waits for the disk).
    fn ask(&mut self, command: Command) -> Option<Result<Reply, CommandError>> {
        self.tag += 1;
        self.asked.insert(self.tag);
        self.last_reply = None;
        let tag = self.tag;
        self.input(Input::Command { tag, command });
        if self.rng.chance(0.9) || self.campaigns.len() < 3 {
            self.make_durable(usize::MAX);
        }
        self.last_reply.take()
    }

    fn input(&mut self, input: Input) {
        self.dialer.handle_input(self.now, input, &mut self.out);
        self.take_effects();
    }

    fn take_effects(&mut self) {
        let effects: Vec<Effect> = self.out.drain().collect();
        let mut transaction = Vec::new();
        let mut rest = Vec::new();
        for effect in effects {
            self.hash_in(&format!("{effect:?}"));
            match effect {
                Effect::Journal(records) => {
                    records.iter().for_each(|record| self.count_lines(record));
                    transaction.extend(records);
                }
                Effect::Event(event) => {
                    match &event.event {
                        Event::TaskOffered { task, .. } => self.tasks.push(*task),
                        Event::CallCreated { .. } => self.seen_calls.extend(event.call),
                        _ => {}
                    }
                    transaction.push(Record::Event(event));
                }
                Effect::Reply { tag, result } => rest.push(Gated::Reply(tag, result)),
                Effect::Call(order) => self.route(order, &mut rest),
                Effect::LoadLeads { campaign, lists, limit, due_at, screen } => {
                    // Read now, told later.
                    let (leads, more, next_due) = self.store.load(&lists, limit as usize, due_at, &screen);
                    self.loads.push(Input::LeadsLoaded { campaign, leads, more, next_due });
                }
                Effect::RecallCaller { call, numbers, called } => {
                    let memory = Box::new(self.store.recall(&numbers, &called));
                    self.loads.push(Input::CallerRecalled { call, memory });
                }
                Effect::FindCallbacks { at, limit } => {
                    let (leads, next) = self.store.callbacks(at, limit as usize);
                    self.loads.push(Input::CallbacksFound { leads, next });
                }
                Effect::FindExpired { campaign, lists, at, limit } => {
                    let (leads, next) = self.store.expired(&lists, at, limit as usize);
                    self.loads.push(Input::ExpiredFound { campaign, leads, next });
                }
                Effect::OpenSession { agent, .. } => {
                    let before = self.sessions.insert(agent, false);
                    assert!(before.is_none() || self.lawless, "one session per agent");
                }
                Effect::CloseSession { agent } => {
                    self.close_session(agent);
                }
                _ => {}
            }
        }
        if !transaction.is_empty() {
            self.gate.push_back(Gated::Write(transaction));
        }
        self.gate.extend(rest);
        self.check();
    }

    fn close_session(&mut self, agent: AgentId) {
        if self.sessions.remove(&agent).is_some() {
            let fact = AgentFact::SessionDown { agent, cause: EndCause::Normal, by: Party::System };
            self.end_call_of(agent);
            self.facts.push_back(Input::Agent(fact));
        }
    }

    /// Lines taken, by what the dialer decided (durable or not yet).
    fn count_lines(&mut self, record: &Record) {
        match record {
            Record::AttemptStarted(row) if row.mode.is_some() => {
                let campaign = row.campaign.expect("a mode is a campaign's");
                self.lines.entry(campaign).or_default().insert(row.call);
            }
            Record::CallEnded(record) => {
                if let Some(lines) = record.campaign.and_then(|campaign| self.lines.get_mut(&campaign)) {
                    lines.remove(&record.call);
                }
            }
            _ => {}
        }
    }

    /// Orders that create a call are held; those for a call that is still held queue behind it.
    fn route(&mut self, order: CallOrder, rest: &mut Vec<Gated>) {
        let id = call_of(&order);
        let held = self
            .gate
            .iter()
            .chain(rest.iter())
            .any(|gated| matches!(gated, Gated::Order(waiting) if call_of(waiting) == id));
        let creates = !self.made.contains(&id) && !held;
        if let CallOrder::DialCustomer { trunk, .. } = &order {
            self.dials.push((self.now, *trunk));
        }
        match order {
            CallOrder::Hangup { call, cause, by } if held => {
                self.gate.retain(|gated| !matches!(gated, Gated::Order(w) if call_of(w) == call));
                rest.retain(|gated| !matches!(gated, Gated::Order(w) if call_of(w) == call));
                match self.calls.contains_key(&call) {
                    true => self.apply(CallOrder::Hangup { call, cause, by }),
                    false => self.facts.push_back(Input::Call(CallFact::Ended {
                        call,
                        by,
                        cause,
                        sip_code: None,
                        q850: None,
                    })),
                }
            }
            CallOrder::DialCustomer { .. } | CallOrder::AnswerCustomer { .. } => {
                rest.push(Gated::Order(order));
            }
            CallOrder::RingAgent { .. } if creates => rest.push(Gated::Order(order)),
            _ if held => rest.push(Gated::Order(order)),
            _ => self.apply(order),
        }
    }

    /// What the engine does with an order.
    fn apply(&mut self, order: CallOrder) {
        let id = call_of(&order);
        match order {
            CallOrder::DialCustomer { amd, .. } => {
                if self.made.insert(id) {
                    self.calls.insert(id, Leg::new());
                }
                let Some(leg) = self.calls.get_mut(&id) else { return };
                assert!(leg.customer == Side::None || self.lawless, "dialled once");
                leg.customer = Side::Ordered;
                leg.amd = amd;
            }
            CallOrder::RingAgent { agent, .. } => {
                if self.made.insert(id) {
                    self.calls.insert(id, Leg::new());
                }
                // An order that is late for its call does not raise it from the dead.
                let Some(leg) = self.calls.get_mut(&id) else { return };
                if leg.agent.is_some_and(|(_, side)| side != Side::Up) {
                    assert!(!leg.is_rung(agent) || self.lawless, "each phone once");
                    leg.rung_too.push((agent, Side::Ordered));
                    return;
                }
                assert!(leg.agent.is_none() || self.lawless, "one agent at a time");
                leg.agent = Some((agent, Side::Ordered));
            }
            CallOrder::UseSession { agent, .. } => {
                let busy = self.calls.values().any(|leg| leg.agent.is_some_and(|(other, _)| other == agent));
                let Some(leg) = self.calls.get_mut(&id) else { return };
                assert!(!busy || self.lawless, "a session is in one call");
                if self.sessions.get(&agent) == Some(&true) {
                    leg.agent = Some((agent, Side::Up));
                } else {
                    let cause = EndCause::NotRegistered;
                    let fact = CallFact::AgentFailed { call: id, agent, cause, sip_code: None };
                    self.facts.push_back(Input::Call(fact));
                }
            }
            CallOrder::ReleaseAgent { agent, .. } => {
                let Some(leg) = self.calls.get_mut(&id) else { return };
                leg.seat(agent);
                if leg.agent.is_some_and(|(there, _)| there == agent) {
                    leg.agent = leg.rung_too.pop();
                    leg.bridged = false;
                    leg.bridge_ordered = false;
                    self.facts.push_back(leg_ended(id, Party::Agent, EndCause::Normal));
                }
            }
            CallOrder::AnswerCustomer { .. } => {
                let Some(leg) = self.calls.get_mut(&id) else { return };
                if leg.customer == Side::Ringing {
                    leg.customer = Side::Up;
                    self.facts.push_back(Input::Call(CallFact::Answered { call: id }));
                }
            }
            CallOrder::LetHear { .. } => {}
            CallOrder::Bridge { .. } => {
                if let Some(leg) = self.calls.get_mut(&id) {
                    leg.bridge_ordered = leg.agent.is_some();
                }
            }
            CallOrder::Play { .. } => {
                if let Some(leg) = self.calls.get_mut(&id) {
                    leg.playing = true;
                }
            }
            CallOrder::Act { act, .. } => self.conduct(id, act),
            CallOrder::Hangup { cause, by, .. } => self.end(id, by, cause),
        }
    }

    /// Somebody calls one of our numbers, or one that is not ours any more.
    fn call_in(&mut self) {
        let call = CallId::from_bits(CAME_IN | self.made.len() as u128);
        self.made.insert(call);
        self.calls.insert(call, Leg { customer: Side::Ringing, ..Leg::new() });
        let place = self.rng.below(self.store.leads.len() as u64 + 1) as usize;
        let known = self.store.leads.values().nth(place).map(|lead| lead.phones[0].number.clone());
        let from = known.filter(|_| self.rng.chance(0.9));
        let to = if self.rng.chance(0.95) { "+4930900" } else { "+4930901" }.to_owned();
        let trunk = self.trunks[self.rng.below(2) as usize];
        self.input(Input::Call(CallFact::InboundArrived { call, trunk, from, to, verstat: None }));
    }

    fn conduct(&mut self, id: CallId, act: CallAct) {
        let Some(leg) = self.calls.get_mut(&id) else { return };
        match act {
            CallAct::Join { leg: other, .. } => leg.others.push(other),
            CallAct::Drop { leg: other } if leg.others.contains(&other) => {
                leg.others.retain(|there| *there != other);
                let (cause, took_over) = (EndCause::Normal, false);
                let fact = CallFact::ParticipantLeft { call: id, leg: other, cause, took_over };
                self.facts.push_back(Input::Call(fact));
            }
            CallAct::Transfer { to, .. } => leg.transfer = Some(to),
            CallAct::Park if leg.bridged => {
                (leg.bridged, leg.bridge_ordered, leg.transfer) = (false, false, None);
                if leg.agent.take().is_some() {
                    self.facts.push_back(leg_ended(id, Party::Agent, EndCause::Normal));
                }
            }
            CallAct::Hold(on) => {
                let party = Party::Api;
                let fact = if on {
                    CallFact::Held { call: id, party }
                } else {
                    CallFact::Resumed { call: id, party }
                };
                self.facts.push_back(Input::Call(fact));
            }
            _ => {}
        }
    }

    /// What may become of those who are called into a joined call.
    fn others_event(&mut self, id: CallId) {
        let dice = self.rng.unit();
        let leg = self.calls.get_mut(&id).expect("the caller has it");
        if let Some(to) = leg.transfer.take() {
            let agent = leg.agent.filter(|(_, side)| matches!(side, Side::Up));
            let fact = match agent {
                Some((agent, _)) if dice < 0.5 => {
                    leg.agent = None;
                    self.facts.push_back(Input::Call(CallFact::Transferred { call: id, agent, to }));
                    leg_ended(id, Party::Agent, EndCause::Normal)
                }
                _ => Input::Call(CallFact::TransferFailed { call: id, to, sip_code: 486 }),
            };
            self.facts.push_back(fact);
        }
        let leg = self.calls.get_mut(&id).expect("the caller has it");
        let Some(other) = leg.others.first().copied() else { return };
        if dice < 0.6 {
            self.facts.push_back(Input::Call(CallFact::ParticipantJoined { call: id, leg: other }));
            return;
        }
        leg.others.remove(0);
        let took_over = dice > 0.9 && matches!(leg.agent, Some((_, Side::Up)));
        let cause = EndCause::NoAnswer;
        self.facts.push_back(Input::Call(CallFact::ParticipantLeft {
            call: id,
            leg: other,
            cause,
            took_over,
        }));
        if took_over && let Some((agent, _)) = leg.agent.take() {
            let to = "boss".into();
            self.facts.push_back(Input::Call(CallFact::Transferred { call: id, agent, to }));
            self.facts.push_back(leg_ended(id, Party::Agent, EndCause::Normal));
        }
    }

    /// The engine ends a call; a BYE may take a while, so the facts may come later.
    fn end(&mut self, id: CallId, by: Party, cause: EndCause) {
        let Some(leg) = self.calls.remove(&id) else { return };
        // A shard that is lost tells nothing but the end.
        let told = self.rng.chance(0.8);
        for leg in leg.others.into_iter().filter(|_| told) {
            let fact = CallFact::ParticipantLeft { call: id, leg, cause, took_over: false };
            self.facts.push_back(Input::Call(fact));
        }
        if !matches!(leg.customer, Side::None | Side::Ordered) {
            self.facts.push_back(leg_ended(id, Party::Customer, cause));
        }
        for _ in leg.agent.iter().chain(&leg.rung_too) {
            self.facts.push_back(leg_ended(id, Party::Agent, cause));
        }
        let ended = CallFact::Ended { call: id, by, cause, sip_code: None, q850: None };
        self.facts.push_back(Input::Call(ended));
    }

    fn end_call_of(&mut self, agent: AgentId) {
        let call = self.calls.iter().find(|(_, leg)| leg.agent.is_some_and(|(there, _)| there == agent));
        if let Some((id, _)) = call {
            let id = *id;
            self.end(id, Party::Agent, EndCause::Normal);
        }
    }

    fn make_durable(&mut self, transactions: usize) {
        let mut left = transactions;
        while let Some(first) = self.gate.front() {
            if matches!(first, Gated::Write(_)) {
                if left == 0 {
                    break;
                }
                left -= 1;
            }
            match self.gate.pop_front().expect("looked at above") {
                Gated::Write(records) => {
                    for record in records {
                        if let Record::AttemptStarted(row) = &record
                            && let Some(lead) = row.lead
                        {
                            let twice = self.store.open.values().any(|open| open.lead == Some(lead));
                            assert!(!twice, "{lead} is dialled twice at once");
                        }
                        self.store.write(record);
                    }
                }
                Gated::Reply(tag, result) => {
                    assert!(self.asked.remove(&tag), "one reply per command");
                    self.last_reply = Some(result);
                }
                Gated::Order(order) => self.apply(order),
            }
        }
    }

    fn check(&mut self) {
        let findings = self.dialer.audit();
        assert!(findings.is_empty(), "{findings:?} at {:?}", self.now);
        let from = self.now.as_millis().saturating_sub(999);
        let recent: Vec<_> = self.dials.iter().filter(|dial| dial.0.as_millis() >= from).collect();
        for trunk in &self.trunks {
            let count = recent.iter().filter(|dial| dial.1 == *trunk).count();
            assert!(count as f64 <= CPS, "{count} calls in a second over one trunk");
        }
        for (campaign, lines) in &self.lines {
            assert!(lines.len() <= LINES_MAX as usize, "{} lines of {campaign}", lines.len());
        }
        if self.dials.len() > 200 {
            self.dials.drain(..100);
        }
    }

    fn hash_in(&mut self, text: &str) {
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    /// Delivers what waits, some of it.
    fn deliver(&mut self) {
        if self.rng.chance(0.7) {
            let some = self.rng.below(4) as usize;
            self.make_durable(some);
        }
        if !self.loads.is_empty() && self.rng.chance(0.5) {
            let input = self.loads.remove(0);
            self.input(input);
        }
        while let Some(fact) = self.facts.pop_front() {
            self.input(fact);
            if self.rng.chance(0.2) {
                break;
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some(at) = self.dialer.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.dialer.handle_timeout(self.now, &mut self.out);
            self.take_effects();
        }
        self.now = until;
    }

    /// One thing that may happen to a call now.
    fn call_event(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let place = self.rng.below(self.calls.len() as u64) as usize;
        let id = *self.calls.keys().nth(place).expect("within");
        let dice = self.rng.unit();
        let others = self.calls[&id].rung_too.len() as u64;
        if others > 0 && self.rng.chance(0.5) {
            let place = self.rng.below(others) as usize;
            let leg = self.calls.get_mut(&id).expect("there");
            leg.seat(leg.rung_too[place].0);
        }
        let (customer, agent) = (self.calls[&id].customer, self.calls[&id].agent);
        match (customer, agent) {
            (_, Some((agent, Side::Ordered))) => {
                self.calls.get_mut(&id).expect("there").agent = Some((agent, Side::Ringing));
                self.input(Input::Call(CallFact::AgentRinging { call: id, agent }));
            }
            (_, Some((agent, Side::Ringing))) if dice < 0.7 => {
                let leg = self.calls.get_mut(&id).expect("there");
                leg.agent = Some((agent, Side::Up));
                for _ in std::mem::take(&mut leg.rung_too) {
                    self.facts.push_back(leg_ended(id, Party::Agent, EndCause::Cancelled));
                }
                self.input(Input::Call(CallFact::AgentAnswered { call: id, agent }));
            }
            (_, Some((agent, Side::Ringing))) => {
                let leg = self.calls.get_mut(&id).expect("there");
                leg.agent = leg.rung_too.pop();
                self.facts.push_back(leg_ended(id, Party::Agent, EndCause::NoAnswer));
                let causes = [EndCause::NoAnswer, EndCause::Rejected, EndCause::NotRegistered];
                let cause = causes[self.rng.below(3) as usize];
                let fact = CallFact::AgentFailed { call: id, agent, cause, sip_code: Some(480) };
                self.facts.push_back(Input::Call(fact));
            }
            (Side::Ordered, _) if dice < 0.05 => self.end(id, Party::System, EndCause::LocalLimit),
            (Side::Ordered, _) => {
                self.calls.get_mut(&id).expect("there").customer = Side::Dialled;
                self.input(Input::Call(CallFact::Dialled { call: id }));
            }
            (Side::Dialled, _) if dice < 0.5 => {
                self.calls.get_mut(&id).expect("there").customer = Side::Ringing;
                self.input(Input::Call(CallFact::Ringing { call: id, early_media: dice < 0.1 }));
            }
            (Side::Dialled | Side::Ringing, _) if dice < 0.8 => {
                self.calls.get_mut(&id).expect("there").customer = Side::Up;
                self.input(Input::Call(CallFact::Answered { call: id }));
            }
            (Side::Dialled | Side::Ringing, _) if dice < 0.85 => {
                let class = [EarlyMediaClass::Busy, EarlyMediaClass::Sit][self.rng.below(2) as usize];
                self.input(Input::Call(CallFact::EarlyMedia {
                    call: id,
                    class,
                    confidence: 0.9,
                    announcement: None,
                }));
            }
            (Side::Dialled | Side::Ringing, _) => {
                let causes = [
                    EndCause::Busy,
                    EndCause::NoAnswer,
                    EndCause::InvalidNumber,
                    EndCause::Congestion,
                    EndCause::Timeout,
                ];
                let cause = causes[self.rng.below(5) as usize];
                self.end(id, Party::Customer, cause);
            }
            (Side::Up, _) => self.talk_event(id, dice),
            (Side::None, _) => {}
        }
    }

    fn talk_event(&mut self, id: CallId, dice: f64) {
        if self.rng.chance(0.5) {
            self.others_event(id);
        }
        let leg = self.calls.get_mut(&id).expect("the caller has it");
        let agent_up = matches!(leg.agent, Some((_, Side::Up)));
        if leg.amd && dice < 0.5 {
            leg.amd = false;
            let verdicts = [
                AmdVerdict::Human,
                AmdVerdict::Machine,
                AmdVerdict::Fax,
                AmdVerdict::Unsure,
                AmdVerdict::Screening,
            ];
            let verdict = verdicts[self.rng.below(5) as usize];
            leg.turn = matches!(verdict, AmdVerdict::Machine | AmdVerdict::Screening);
            let fact = CallFact::Amd {
                call: id,
                verdict,
                confidence: 0.9,
                evidence: AmdEvidence::ShortGreeting,
                after_answer_ms: 700,
            };
            self.input(Input::Call(fact));
        } else if leg.turn && dice < 0.6 {
            leg.turn = false;
            let cue = [TurnCue::Beep, TurnCue::Silence, TurnCue::TimeLimit][self.rng.below(3) as usize];
            self.input(Input::Call(CallFact::Turn { call: id, cue, after_answer_ms: 4_000 }));
        } else if leg.playing && dice < 0.7 {
            leg.playing = false;
            self.input(Input::Call(CallFact::MessagePlayed { call: id }));
        } else if leg.bridge_ordered && agent_up && !leg.bridged {
            leg.bridged = true;
            self.input(Input::Call(CallFact::Bridged { call: id }));
        } else if leg.bridged && dice < 0.1 {
            self.input(Input::Call(CallFact::Held { call: id, party: Party::Customer }));
        } else if leg.bridged && dice < 0.2 {
            self.input(Input::Call(CallFact::Resumed { call: id, party: Party::Customer }));
        } else if dice < 0.4 {
            let by = if agent_up && dice < 0.3 { Party::Agent } else { Party::Customer };
            self.end(id, by, EndCause::Normal);
        }
    }

    fn phone_event(&mut self) {
        let agent = self.agents[self.rng.below(self.agents.len() as u64) as usize];
        match self.sessions.get(&agent).copied() {
            Some(false) if self.rng.chance(0.8) => {
                self.sessions.insert(agent, true);
                self.input(Input::Agent(AgentFact::SessionUp { agent }));
            }
            Some(up) if !up || self.rng.chance(0.03) => {
                self.sessions.remove(&agent);
                self.end_call_of(agent);
                let fact = AgentFact::SessionDown { agent, cause: EndCause::Normal, by: Party::Agent };
                self.facts.push_back(Input::Agent(fact));
            }
            _ if !self.registered.contains(&agent) => {
                self.registered.insert(agent);
                self.input(Input::Agent(AgentFact::Registered(ContactRow {
                    agent,
                    uri: "sip:a@198.51.100.7".into(),
                    source: "198.51.100.7:5060".into(),
                    listener: 0,
                    expires_at: START.plus_millis(self.now.as_millis() as i64 + 3_600_000),
                })));
            }
            _ if self.rng.chance(0.05) => {
                self.registered.remove(&agent);
                self.input(Input::Agent(AgentFact::Unregistered { agent }));
            }
            _ if self.rng.chance(0.05) => {
                let reachable = self.rng.chance(0.6);
                self.input(Input::Agent(AgentFact::PhoneHealth { agent, reachable, reason: None }));
            }
            _ => {}
        }
    }

    fn random_wish(&mut self, agent: AgentId) -> CallWish {
        use SupervisionMode::{Barge, Listen, TakeOver, Whisper};
        let mode = [Listen, Whisper, Barge, TakeOver][self.rng.below(4) as usize];
        let target =
            if self.rng.chance(0.5) { Target::Agent(agent) } else { Target::Number("+4930556".into()) };
        let joining = |mode| Joining {
            target: target.clone(),
            known: None,
            mode,
            ring_timeout_ms: None,
            trunk: None,
            caller_id: None,
            override_reason: None,
        };
        let somebody = self.calls.values().find_map(|leg| leg.others.first().copied());
        let leg = somebody.unwrap_or(LegId::from_bits(1));
        let party = [Party::Customer, Party::Agent][self.rng.below(2) as usize];
        match self.rng.below(13) {
            0 | 1 => CallWish::Join(joining(Some(mode))),
            2 | 3 => CallWish::Join(joining(None)),
            4 => CallWish::SetMode { leg, mode },
            5 => CallWish::Drop(leg),
            6 => CallWish::Hold(self.rng.chance(0.5)),
            7 => CallWish::Mute { party, muted: self.rng.chance(0.5) },
            8 => CallWish::Press { to: party, digits: "12#".into(), duration_ms: 100 },
            9 | 10 => CallWish::Park { timeout_ms: 1_000 + self.rng.below(60_000) as u32 },
            11 => CallWish::Bridge(self.rng.chance(0.5).then_some(agent)),
            _ => CallWish::Transfer(joining(None)),
        }
    }

    fn random_command(&mut self) {
        let agent = self.agents[self.rng.below(5) as usize];
        let campaign = self.campaigns[self.rng.below(3) as usize];
        let call = (!self.seen_calls.is_empty())
            .then(|| self.seen_calls[self.rng.below(self.seen_calls.len() as u64) as usize]);
        let leads = self.store.leads.len() as u64;
        let by_hand = leads > 0 && self.rng.chance(0.5);
        let unnamed = self.seen_calls.len().is_multiple_of(3);
        let lead = by_hand.then(|| self.rng.below(leads) as usize);
        let lead = lead.and_then(|place| self.store.leads.values().nth(place).cloned());
        let command = match self.rng.below(26) {
            0..=4 => {
                let session =
                    if self.rng.chance(0.6) { SessionKind::NailedUp } else { SessionKind::OnDemand };
                Command::AgentLogin { agent, session }
            }
            5 if self.rng.chance(0.3) => Command::AgentLogout(agent),
            6 => Command::AgentPause { agent, code: "tea".into() },
            7 | 8 => Command::AgentReady(agent),
            9..=11 => Command::StartCampaign(campaign),
            12 if self.rng.chance(0.3) => Command::StopCampaign(campaign),
            13 if self.rng.chance(0.3) => Command::PauseCampaign(campaign),
            14 => Command::ResumeCampaign(campaign),
            15 => match call {
                Some(call) => Command::Hangup(call),
                None => return,
            },
            16 => match call {
                Some(call) => Command::SetDisposition {
                    call,
                    said: dialer_core::disposition::Said {
                        answered_by: None,
                        code: "sold".into(),
                        notes: None,
                        callback_at: self
                            .rng
                            .chance(0.5)
                            .then(|| START.plus_millis(self.now.as_millis() as i64 + 10_000)),
                        ..Default::default()
                    },
                },
                None => return,
            },
            22..=25 => match call {
                Some(call) => Command::Call { call, wish: self.random_wish(agent) },
                None => return,
            },
            17 | 18 => Command::Originate(OriginateRequest {
                lead: lead.clone().filter(|_| !unnamed).map(Box::new),
                known: lead.clone().filter(|_| unnamed).map(Box::new),
                agent,
                to: lead.map_or_else(|| "+4930555".into(), |lead| lead.phones[0].number.clone()),
                caller_id: None,
                trunk: None,
                campaign: self.rng.chance(0.5).then_some(campaign),
                ring_timeout_ms: None,
                record: true,
                notice: None,
                client_state: None,
                override_reason: None,
                caller_id_pool: None,
            }),
            19 => match self.tasks.pop() {
                Some(task) if self.rng.chance(0.6) => Command::TaskDial { task, phone: None },
                Some(task) => Command::TaskSkip(task),
                None => return,
            },
            20 if self.rng.chance(0.3) => {
                let place = self.campaigns.iter().position(|id| *id == campaign).expect("it is one of them");
                let config = Box::new(self.campaign_config(place));
                Command::UpdateCampaign { campaign, config, if_version: None }
            }
            21 if self.rng.chance(0.3) => {
                let mut config = self.store.agents[&agent].config.clone();
                config.groups = if self.rng.chance(0.5) { vec!["help".into()] } else { Vec::new() };
                Command::UpdateAgent { agent, config, if_version: None }
            }
            21 if self.rng.chance(0.2) => {
                let trunk = self.trunks[self.rng.below(2) as usize];
                let mut config = self.store.trunks[&trunk].config.clone();
                config.enabled = self.rng.chance(0.8);
                config.channels_max = 3 + self.rng.below(5) as u32;
                Command::UpdateTrunk { trunk, config, if_version: None }
            }
            21 if self.rng.chance(0.3) => {
                let list = self.lists[self.rng.below(2) as usize];
                self.import(list, 5);
                return;
            }
            20 if self.rng.chance(0.3) => Command::SetInboundWaiting {
                group: self.rng.chance(0.5).then(|| "help".into()),
                waiting: self.rng.below(3) as u32,
                for_ms: 5_000,
            },
            _ => return,
        };
        self.ask(command);
    }

    /// A fact that nobody promised.
    fn nonsense(&mut self) {
        if self.seen_calls.is_empty() {
            return;
        }
        let live: Vec<CallId> = self.calls.keys().copied().collect();
        let from = if live.is_empty() || self.rng.chance(0.2) { &self.seen_calls } else { &live };
        let call = from[self.rng.below(from.len() as u64) as usize];
        let agent = self.agents[self.rng.below(5) as usize];
        let party = [Party::Customer, Party::Agent, Party::Caller][self.rng.below(3) as usize];
        let (cause, sip_code, q850) = (EndCause::Failed, None, None);
        let trunk = self.trunks[0];
        let fact = match self.rng.below(17) {
            0 => CallFact::Dialled { call },
            1 => CallFact::Ringing { call, early_media: true },
            2 => CallFact::Answered { call },
            3 => CallFact::Bridged { call },
            4 => CallFact::AgentAnswered { call, agent },
            5 => CallFact::AgentFailed { call, agent, cause, sip_code },
            6 => CallFact::AgentRinging { call, agent },
            7 => CallFact::MessagePlayed { call },
            8 => CallFact::Held { call, party },
            9 => CallFact::Resumed { call, party },
            10 => CallFact::LegEnded { call, party, cause, sip_code, q850 },
            11 => CallFact::Ended { call, by: party, cause, sip_code, q850 },
            12 => CallFact::Dtmf { call, party, digit: '9', duration_ms: 80 },
            13 => {
                let verdict = AmdVerdict::Machine;
                CallFact::Amd {
                    call,
                    verdict,
                    confidence: f32::NAN,
                    evidence: AmdEvidence::ShortGreeting,
                    after_answer_ms: u64::MAX,
                }
            }
            14 => {
                let start = crate::house::transit_start(trunk, START);
                CallFact::TransitStarted { call: CallId::from_bits(7), start: Box::new(start) }
            }
            15 => {
                self.input(Input::Agent(AgentFact::SessionDown { agent, cause, by: party }));
                return;
            }
            _ => {
                self.input(Input::Agent(AgentFact::SessionUp { agent }));
                return;
            }
        };
        self.input(Input::Call(fact));
    }

    fn step(&mut self) {
        if self.lawless && self.rng.chance(0.15) {
            self.nonsense();
        }

        match self.rng.below(100) {
            0..=49 => self.call_event(),
            50..=59 => self.phone_event(),
            60..=69 => self.random_command(),
            70..=71 => {
                let fact = TrunkFact::Health {
                    trunk: self.trunks[1],
                    up: self.rng.chance(0.8),
                    reason: None,
                    rtt_ms: None,
                };
                self.input(Input::Trunk(fact));
            }
            72 => {
                let healthy = self.rng.chance(0.7);
                self.input(Input::StoreHealth { healthy });
            }
            73 if self.rng.chance(0.1) => {
                let deadline = Duration::from_secs(self.rng.below(20));
                self.ask(Command::Drain { deadline });
                self.draining = true;
            }
            74 if self.draining => {
                self.ask(Command::Undrain);
                self.draining = false;
            }
            95..=96 => self.call_in(),
            75..=94 => {
                let most = [5, 100, 1000, 4000][self.rng.below(4) as usize];
                let ms = self.rng.below(most);
                self.pass(ms);
            }
            _ => {}
        }
        self.deliver();
        if self.rng.chance(0.002) {
            self.crash();
        }
    }

    /// Everything that was not durable is lost, and every call with it.
    fn crash(&mut self) {
        let some = self.rng.below(3) as usize;
        // A call that came in is there before we know of it; what waits for its record is our answer.
        let calls_before: BTreeSet<CallId> = self
            .calls
            .iter()
            .filter(|(call, leg)| !came_in(**call) || leg.customer != Side::Ringing)
            .map(|(call, _)| *call)
            .collect();
        self.make_durable(some);
        let open = self.store.open.len();
        // No call was dialled that is not written down.
        for call in calls_before {
            let known =
                self.store.open.values().any(|row| row.call == call) || self.store.ended.contains_key(&call);
            assert!(known, "{call} was made before its attempt was durable");
        }
        self.gate.clear();
        self.loads.clear();
        self.facts.clear();
        self.calls.clear();
        self.sessions.clear();
        self.asked.clear();
        self.tasks.clear();
        self.dials.clear();
        self.lines.clear();
        self.registered = self.store.contacts.keys().copied().collect();
        self.draining = false;
        let child = self.rng.next_u64();
        self.dialer = Dialer::new(dialer_config(), Rng::from_seed(child));
        self.pass(2_000);
        let wall = START.plus_millis(self.now.as_millis() as i64);
        self.input(Input::Clock(ClockBase { instant: self.now, wall }));
        let snapshot = self.store.snapshot();
        let ended = self.store.ended.len();
        self.input(Input::Restore(Box::new(snapshot)));
        self.make_durable(usize::MAX);
        assert!(self.store.open.is_empty(), "every attempt ends after a crash");
        assert_eq!(self.store.ended.len(), ended + open);
    }

    /// Everything ends; nothing may be left.
    fn end_world(&mut self) {
        self.input(Input::StoreHealth { healthy: true });
        for campaign in self.campaigns.clone() {
            self.ask(Command::StopCampaign(campaign));
        }
        self.ask(Command::StopNow);
        for agent in self.agents.clone() {
            self.ask(Command::AgentLogout(agent));
        }
        for _ in 0..50 {
            self.make_durable(usize::MAX);
            while let Some(fact) = self.facts.pop_front() {
                self.input(fact);
            }
            for load in std::mem::take(&mut self.loads) {
                self.input(load);
            }
            self.pass(5_000);
        }
        let mut alive = self.dialer.alive();
        alive.deadlines = 0;
        if self.lawless {
            // Transit calls that nobody ends, and sessions of an engine that keeps no promise.
            (alive.transit, alive.channels, alive.sessions) = (0, 0, 0);
        }
        assert_eq!(alive, dialer_core::audit::Alive::default());
        assert!(self.store.open.is_empty());
        assert!(self.calls.is_empty() || self.lawless, "{:?}", self.calls);
        assert!(self.asked.is_empty(), "commands without an answer: {:?}", self.asked);
        let with_attempt = self.store.ended.values().filter(|record| record.attempt.is_some()).count();
        assert_eq!(with_attempt as u64, self.store.attempts);
        self.check_stream();
    }

    /// The promises about the event stream.
    fn check_stream(&self) {
        let (mut present, mut gone) = (BTreeMap::new(), BTreeSet::new());
        let mut over: BTreeSet<CallId> = BTreeSet::new();
        for event in &self.store.events {
            let Some(call) = event.call else { continue };
            let late_allowed = matches!(
                event.event,
                Event::RecordingReady { .. }
                    | Event::RecordingFailed { .. }
                    | Event::LeadUpdated { .. }
                    | Event::LeadExhausted { .. }
                    | Event::DispositionSet { .. }
            );
            if over.contains(&call) {
                assert!(late_allowed && event.post_call, "{} after the end", event.event.type_name());
            } else {
                assert!(!event.post_call);
            }
            match &event.event {
                Event::CallParticipantAdded { leg, .. } => {
                    assert_eq!(present.insert(*leg, call), None, "added once");
                }
                Event::CallParticipantLeft { leg, .. } => {
                    assert_eq!(present.remove(leg), Some(call), "left once");
                }
                // What was not told before the crash is told by this alone.
                Event::CallEnded { record } if record.cause == EndCause::NodeRestart => {
                    present.retain(|_, of| *of != call);
                }
                Event::CallSupervisionStarted { leg, .. } => {
                    assert!(!gone.contains(leg), "no start after the end")
                }
                Event::CallSupervisionEnded { leg, .. } => assert!(gone.insert(*leg), "ended once"),
                _ => {}
            }
            if matches!(event.event, Event::CallEnded { .. }) {
                assert!(over.insert(call), "one call.ended per call");
            }
        }
        assert_eq!(over.len(), self.store.ended.len());
        assert!(present.is_empty(), "every participant who was added has left: {present:?}");
    }
}

/// Ids of calls that came in: the world names these itself.
const CAME_IN: u128 = 1 << 127;

fn came_in(call: CallId) -> bool {
    call.to_bits() & CAME_IN != 0
}

fn call_of(order: &CallOrder) -> CallId {
    match order {
        CallOrder::DialCustomer { call, .. }
        | CallOrder::AnswerCustomer { call, .. }
        | CallOrder::RingAgent { call, .. }
        | CallOrder::UseSession { call, .. }
        | CallOrder::ReleaseAgent { call, .. }
        | CallOrder::LetHear { call }
        | CallOrder::Bridge { call, .. }
        | CallOrder::Play { call, .. }
        | CallOrder::Act { call, .. }
        | CallOrder::Hangup { call, .. } => *call,
    }
}

fn leg_ended(call: CallId, party: Party, cause: EndCause) -> Input {
    Input::Call(CallFact::LegEnded { call, party, cause, sip_code: None, q850: None })
}

fn run(seed: u64, steps: usize, lawless: bool) -> World {
    let mut world = World::new(seed);
    world.lawless = lawless;
    for _ in 0..steps {
        world.step();
    }
    world.end_world();
    world
}

#[test]
fn nothing_leaks_and_nothing_is_told_twice() {
    let seeds = option_env!("DIALER_SEEDS").and_then(|text| text.parse().ok()).unwrap_or(40);
    let mut totals: BTreeMap<&str, usize> = BTreeMap::new();
    let first = option_env!("FIRST").and_then(|text| text.parse().ok()).unwrap_or(0);
    for seed in first..first + seeds {
        let world =
            std::panic::catch_unwind(|| run(seed, 1500, false)).unwrap_or_else(|_| panic!("seed {seed}"));
        for record in world.store.ended.values() {
            *totals.entry(record.outcome.as_str()).or_default() += 1;
        }
    }
    // The paths were walked.
    for outcome in ["connected", "abandoned", "machine", "busy", "cancelled", "node_restart", "rejected"] {
        assert!(totals.get(outcome).is_some_and(|count| *count > 0), "no call was {outcome}: {totals:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_effects() {
    for seed in [3, 17] {
        let (a, b) = (run(seed, 800, false), run(seed, 800, false));
        assert_eq!(a.hash, b.hash);
    }
}

#[test]
fn an_engine_that_breaks_its_promises_breaks_nothing_here() {
    for seed in 1_000..1_020 {
        std::panic::catch_unwind(|| run(seed, 1_000, true)).unwrap_or_else(|_| panic!("seed {seed}"));
    }
}
