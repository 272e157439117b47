//! A dialer with a model store under it, driven by hand, printing what it does.

use crate::fold::Store;
use dialer_core::config::{AgentConfig, CampaignConfig, ListConfig, SessionKind, TrunkConfig};
use dialer_core::outcome::{EndCause, Party};
use dialer_core::record::{ContactRow, Lead, LeadProgress, Phone};
use dialer_core::view::CallView;
use dialer_core::{
    AgentFact, AgentId, CallFact, CallId, CallOrder, CampaignId, Command, CommandError, Dialer, DialerConfig,
    Effect, Event, Input, LeadId, ListId, OriginateRequest, Record, Reply, TaskId, TransitStart, TrunkFact,
    TrunkId, ViewChange,
};
use sansio::time::ClockBase;
use sansio::{Duration, Instant, Outbox, Rng, WallTime};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// 2026-11-20 01:00:00 UTC, a Friday.
pub(crate) const START: WallTime = WallTime::from_unix_millis(1_795_136_400_000);

/// An agent is to be connected with a number, and nothing more is asked for.
pub(crate) fn request(agent: AgentId, to: impl Into<String>) -> OriginateRequest {
    OriginateRequest {
        agent,
        lead: None,
        known: None,
        to: to.into(),
        caller_id: None,
        trunk: None,
        campaign: None,
        ring_timeout_ms: None,
        record: false,
        notice: None,
        client_state: None,
        override_reason: None,
        caller_id_pool: None,
    }
}

pub(crate) struct House {
    pub(crate) dialer: Dialer,
    pub(crate) store: Store,
    pub(crate) now: Instant,
    out: Outbox<Effect>,
    tag: u64,
    replies: BTreeMap<u64, Result<Reply, CommandError>>,
    pub(crate) names: BTreeMap<String, String>,
    log: String,
    /// Orders in the order in which they were given.
    pub(crate) orders: Vec<CallOrder>,
    pub(crate) tasks: Vec<TaskId>,
    answered: BTreeSet<CallId>,
    learned: BTreeMap<CampaignId, dialer_core::pacing::Summary>,
    states: BTreeMap<AgentId, dialer_core::view::AgentState>,
    /// What is shown of live calls.
    pub(crate) views: BTreeMap<CallId, CallView>,
    /// Answer `LoadLeads` at once.
    pub(crate) loads: bool,
}

impl House {
    pub(crate) fn new() -> House {
        House::with(DialerConfig::default())
    }

    pub(crate) fn with(config: DialerConfig) -> House {
        let mut house = House {
            dialer: Dialer::new(config, Rng::from_seed(1)),
            store: Store::default(),
            now: Instant::ZERO,
            out: Outbox::default(),
            tag: 0,
            replies: BTreeMap::new(),
            names: BTreeMap::new(),
            log: String::new(),
            orders: Vec::new(),
            tasks: Vec::new(),
            answered: BTreeSet::new(),
            learned: BTreeMap::new(),
            states: BTreeMap::new(),
            views: BTreeMap::new(),
            loads: true,
        };
        house.input(Input::Clock(ClockBase { instant: Instant::ZERO, wall: START }));
        house.input(Input::Restore(Box::default()));
        house.log.clear();
        house
    }

    /// A new node over what an earlier one wrote down, `ms` after the start.
    pub(crate) fn restarted(store: Store, ms: u64) -> House {
        let mut house = House::new();
        house.dialer = Dialer::new(DialerConfig::default(), Rng::from_seed(2));
        house.store = store;
        house.now = Instant::from_millis(ms);
        house.log.clear();
        house.input(Input::Clock(ClockBase { instant: house.now, wall: START.plus_millis(ms as i64) }));
        let snapshot = house.store.snapshot();
        house.input(Input::Restore(Box::new(snapshot)));
        house
    }

    /// Feeds an input and follows up on what it causes in the store.
    pub(crate) fn input(&mut self, input: Input) {
        self.dialer.handle_input(self.now, input, &mut self.out);
        self.take_effects();
    }

    /// Lets time pass, waking the dialer whenever it wants.
    pub(crate) fn pass(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some(at) = self.dialer.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.dialer.handle_timeout(self.now, &mut self.out);
            self.take_effects();
        }
        self.now = until;
    }

    fn take_effects(&mut self) {
        let effects: Vec<Effect> = self.out.drain().collect();
        let mut loads = Vec::new();
        let mut expired = Vec::new();
        for effect in effects {
            self.print(&effect);
            match effect {
                Effect::Journal(records) => records.into_iter().for_each(|record| self.store.write(record)),
                Effect::Event(event) => {
                    if let Event::TaskOffered { task, .. } = event.event {
                        self.tasks.push(task);
                    }
                    self.store.write(Record::Event(event));
                }
                Effect::Reply { tag, result } => {
                    assert!(self.replies.insert(tag, result).is_none(), "one reply per command");
                }
                Effect::LoadLeads { campaign, lists, limit, due_at, screen } => {
                    loads.push((campaign, lists, limit, due_at, screen));
                }
                Effect::RecallCaller { call, numbers, called } => {
                    let memory = Box::new(self.store.recall(&numbers, &called));
                    expired.push(Input::CallerRecalled { call, memory });
                }
                Effect::FindCallbacks { at, limit } => {
                    let (leads, next) = self.store.callbacks(at, limit as usize);
                    expired.push(Input::CallbacksFound { leads, next });
                }
                Effect::FindExpired { campaign, lists, at, limit } => {
                    let (leads, next) = self.store.expired(&lists, at, limit as usize);
                    expired.push(Input::ExpiredFound { campaign, leads, next });
                }
                Effect::Call(order) => self.orders.push(order),
                Effect::View(ViewChange::Agent(view)) => {
                    self.states.insert(view.row.id, view.state);
                }
                Effect::View(ViewChange::Call(view)) => drop(self.views.insert(view.id, *view)),
                Effect::View(ViewChange::CallGone(call)) => drop(self.views.remove(&call)),
                Effect::View(ViewChange::Campaign(view)) => {
                    self.learned.extend(view.learned.map(|learned| (view.row.id, learned)));
                }
                _ => {}
            }
        }
        let findings = self.dialer.audit();
        assert!(findings.is_empty(), "{findings:?}");
        expired.into_iter().for_each(|found| self.input(found));
        if self.loads {
            for (campaign, lists, limit, due_at, screen) in loads {
                let (leads, more, next_due) = self.store.load(&lists, limit as usize, due_at, &screen);
                self.input(Input::LeadsLoaded { campaign, leads, more, next_due });
            }
        }
    }

    pub(crate) fn command(&mut self, command: Command) -> Result<Reply, CommandError> {
        self.tag += 1;
        let tag = self.tag;
        self.input(Input::Command { tag, command });
        self.replies.remove(&tag).expect("every command is answered at once")
    }

    pub(crate) fn trunk(&mut self, config: TrunkConfig) -> TrunkId {
        match self.command(Command::CreateTrunk(config)) {
            Ok(Reply::Trunk(id, 1)) => id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn plain_trunk(&mut self) -> TrunkId {
        self.trunk(TrunkConfig {
            name: "carrier".into(),
            address: "192.0.2.1:5060".into(),
            options_interval_ms: 0,
            ..TrunkConfig::default()
        })
    }

    pub(crate) fn agent(&mut self, name: &str) -> AgentId {
        let config = AgentConfig {
            name: name.into(),
            username: name.into(),
            password: "secret".into(),
            ..AgentConfig::default()
        };
        match self.command(Command::CreateAgent(config)) {
            Ok(Reply::Agent(id, 1)) => {
                self.names.insert(id.to_string(), name.into());
                id
            }
            other => panic!("{other:?}"),
        }
    }

    /// An agent whose phone is registered.
    pub(crate) fn agent_with_phone(&mut self, name: &str) -> AgentId {
        let agent = self.agent(name);
        self.register(agent);
        agent
    }

    pub(crate) fn register(&mut self, agent: AgentId) {
        self.input(Input::Agent(AgentFact::Registered(ContactRow {
            agent,
            uri: "sip:agent@198.51.100.7".into(),
            source: "198.51.100.7:5060".into(),
            listener: 0,
            expires_at: START.plus_millis(self.now.as_millis() as i64 + 3_600_000),
        })));
    }

    /// An agent with a session that is up.
    pub(crate) fn ready_agent(&mut self, name: &str) -> AgentId {
        let agent = self.agent_with_phone(name);
        self.command(Command::AgentLogin { agent, session: SessionKind::NailedUp }).unwrap();
        self.input(Input::Agent(AgentFact::SessionUp { agent }));
        agent
    }

    /// An agent whose phone is rung for each call.
    pub(crate) fn on_demand_agent(&mut self, name: &str) -> AgentId {
        let agent = self.agent_with_phone(name);
        self.command(Command::AgentLogin { agent, session: SessionKind::OnDemand }).unwrap();
        agent
    }

    pub(crate) fn list(&mut self, leads: usize) -> ListId {
        let config = ListConfig { name: "people".into(), ..ListConfig::default() };
        let list = match self.command(Command::CreateList(config)) {
            Ok(Reply::List(id, 1)) => id,
            other => panic!("{other:?}"),
        };
        self.leads(list, leads);
        list
    }

    pub(crate) fn leads(&mut self, list: ListId, count: usize) {
        for _ in 0..count {
            let number = self.store.leads.len() as u128 + 1;
            let id = LeadId::from_bits(number);
            let number = format!("+49301{number:06}");
            let lead = Lead {
                id,
                list,
                external_id: None,
                phones: vec![Phone { number: number.clone(), raw: number, kind: None }],
                priority: 0,
                time_zone: None,
                fields: BTreeMap::new(),
                expires_at: None,
                progress: LeadProgress::fresh(id),
            };
            self.store.leads.insert(id, lead);
        }
        self.command(Command::LeadsImported { list, accepted: count as u64 }).unwrap();
    }

    pub(crate) fn campaign(&mut self, config: CampaignConfig) -> CampaignId {
        match self.command(Command::CreateCampaign(Box::new(config))) {
            Ok(Reply::Campaign(id, 1)) => id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn running(&mut self, config: CampaignConfig) -> CampaignId {
        let id = self.campaign(config);
        self.command(Command::StartCampaign(id)).unwrap();
        id
    }

    pub(crate) fn call_fact(&mut self, fact: CallFact) {
        if let CallFact::Answered { call } = fact {
            self.answered.insert(call);
        }
        self.input(Input::Call(fact));
    }

    /// The calls dialled so far.
    pub(crate) fn dialled(&self) -> Vec<CallId> {
        let dial = |order: &CallOrder| match order {
            CallOrder::DialCustomer { call, .. } => Some(*call),
            _ => None,
        };
        self.orders.iter().filter_map(dial).collect()
    }

    pub(crate) fn last_dialled(&self) -> CallId {
        *self.dialled().last().expect("something was dialled")
    }

    /// The calls dialled that have not ended and have not been answered.
    pub(crate) fn open(&self) -> Vec<CallId> {
        let live = |call: &CallId| !self.store.ended.contains_key(call) && !self.answered.contains(call);
        self.dialled().into_iter().filter(live).collect()
    }

    /// Answers every load of leads that is asked for from now on, and asks anew.
    pub(crate) fn load_all(&mut self) {
        self.loads = true;
        for campaign in self.store.campaigns.keys().copied().collect::<Vec<_>>() {
            let lists = self.store.campaigns[&campaign].config.lists.clone();
            let (leads, more, next_due) =
                self.store.load(&lists, 500, START, &dialer_core::screen::Screen::default());
            self.input(Input::LeadsLoaded { campaign, leads, more, next_due });
        }
    }

    /// What readers were last shown of what a campaign's pacer has learned.
    pub(crate) fn learned(&self, campaign: CampaignId) -> Option<dialer_core::pacing::Summary> {
        self.learned.get(&campaign).copied()
    }

    /// What readers were last shown of an agent.
    pub(crate) fn agent_state(&self, agent: AgentId) -> dialer_core::view::AgentState {
        self.states[&agent]
    }

    pub(crate) fn agent_named(&self, name: &str) -> AgentId {
        let named = self.store.agents.values().find(|row| row.config.name == name);
        named.expect("there is one").id
    }

    pub(crate) fn hung_up(&self, call: CallId) -> bool {
        self.orders.iter().any(|order| matches!(order, CallOrder::Hangup { call: c, .. } if *c == call))
    }

    /// Dialled, ringing, answered.
    pub(crate) fn answer(&mut self, call: CallId) {
        self.call_fact(CallFact::Dialled { call });
        self.call_fact(CallFact::Ringing { call, early_media: false });
        self.call_fact(CallFact::Answered { call });
    }

    /// Answered and joined to a nailed-up agent.
    pub(crate) fn join(&mut self, call: CallId) {
        self.answer(call);
        self.call_fact(CallFact::Bridged { call });
    }

    pub(crate) fn end(&mut self, call: CallId, by: Party, cause: EndCause) {
        self.call_fact(CallFact::Ended { call, by, cause, sip_code: None, q850: None });
    }

    pub(crate) fn trunk_up(&mut self, trunk: TrunkId, up: bool) {
        self.input(Input::Trunk(TrunkFact::Health { trunk, up, reason: None, rtt_ms: Some(1.0) }));
    }

    pub(crate) fn record(&self, call: CallId) -> &dialer_core::CallRecord {
        &self.store.ended[&call]
    }

    /// What was printed since the last time.
    pub(crate) fn log(&mut self) -> String {
        std::mem::take(&mut self.log)
    }

    fn print(&mut self, effect: &Effect) {
        let line = match effect {
            Effect::Journal(records) => {
                let names: Vec<String> = records.iter().map(record_name).collect();
                format!("journal {}", names.join(" "))
            }
            Effect::Event(event) => {
                let seq = event.seq.map_or(String::new(), |seq| format!(" #{seq}"));
                let late = if event.post_call { " (late)" } else { "" };
                format!("event   {}{seq}{late}{}", event.event.type_name(), event_detail(&event.event))
            }
            Effect::Reply { result: Ok(reply), .. } => format!("reply   {reply:?}"),
            Effect::Reply { result: Err(error), .. } => format!("refused {error}"),
            Effect::View(ViewChange::Node(_)) | Effect::View(_) => return,
            Effect::LoadLeads { limit, .. } => format!("load    {limit} leads"),
            Effect::Call(order) => format!("order   {order:?}"),
            other => format!("effect  {other:?}"),
        };
        let ms = self.now.as_millis();
        let line = self.shorten(&line);
        writeln!(self.log, "{}.{:03}  {line}", ms / 1000, ms % 1000).unwrap();
    }

    /// Replaces ids by short names in order of appearance.
    fn shorten(&mut self, line: &str) -> String {
        let mut short = String::new();
        let mut rest = line;
        while let Some(at) = rest.find('_') {
            let start = rest[..at].rfind(|c: char| !c.is_ascii_lowercase()).map_or(0, |at| at + 1);
            let tail = &rest[at + 1..];
            let is_id = tail.len() >= 26
                && tail[..26].bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
            if is_id {
                let prefix = &rest[start..at];
                let id = &rest[start..at + 27];
                let next =
                    self.names.keys().filter(|known| known.starts_with(&format!("{prefix}_"))).count() + 1;
                let name = self.names.entry(id.into()).or_insert_with(|| format!("{prefix}{next}"));
                short.push_str(&rest[..start]);
                short.push_str(name);
                rest = &rest[at + 27..];
            } else {
                short.push_str(&rest[..=at]);
                rest = tail;
            }
        }
        short.push_str(rest);
        short
    }
}

fn record_name(record: &Record) -> String {
    match record {
        Record::LeadChanged(progress) => format!(
            "LeadChanged({}, {} attempts{})",
            progress.state.as_str(),
            progress.attempts,
            progress.next_at.map_or(String::new(), |at| format!(", in {} s", at.millis_since(START) / 1000))
        ),
        Record::CallEnded(record) => format!("CallEnded({})", record.outcome.as_str()),
        Record::Ledger(entry) => format!("Ledger({})", if entry.abandoned { "abandoned" } else { "live" }),
        Record::AttemptStarted(row) => format!("AttemptStarted({})", row.number_of_attempt),
        Record::WrapUpEnded { wrap_up_ms, .. } => format!("WrapUpEnded({wrap_up_ms})"),
        other => {
            let text = format!("{other:?}");
            text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
        }
    }
}

fn event_detail(event: &Event) -> String {
    match event {
        Event::AgentState { from, to, reason, .. } => {
            format!(" {} -> {} ({reason})", from.as_str(), to.as_str())
        }
        Event::CallEnded { record } => format!(" {}", record.outcome.as_str()),
        Event::LeadUpdated { state, .. } => format!(" {}", state.as_str()),
        Event::CallBridged { answer_to_bridge_ms, .. } => format!(" after {answer_to_bridge_ms:?} ms"),
        Event::CallAgentMissed { cause, .. } => format!(" {}", cause.as_str()),
        Event::CampaignPacing { report } => format!(
            " dialing {} target {} limited by {}",
            report.dialing,
            report.target,
            report.limited_by.as_str()
        ),
        Event::LegEnded { party, cause, .. } => format!(" {} {}", party.as_str(), cause.as_str()),
        _ => String::new(),
    }
}

/// How a call begins that passes through, out on the trunk on which it came in.
pub(crate) fn transit_start(trunk: TrunkId, at: WallTime) -> TransitStart {
    let (number, caller_id) = ("+4930123".into(), Some("+4940456".into()));
    TransitStart { from: trunk, to: trunk, agent: None, number, caller_id, relayed: true, at }
}
