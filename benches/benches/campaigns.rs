//! The call centre's own tick: 200 predictive campaigns decide at once, each with 50 agents of its own, or all for the
//! same 50.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dialer_core::config::{
    AgentConfig, CampaignConfig, Concurrency, DialMode, ListConfig, SessionKind, TrunkConfig,
};
use dialer_core::record::{ContactRow, Lead, LeadProgress, Phone};
use dialer_core::{
    AgentFact, CallFact, CallOrder, Command, Dialer, DialerConfig, Effect, Input, LeadId, ListId, Reply,
};
use sansio::time::ClockBase;
use sansio::{Duration, Instant, Outbox, Rng, WallTime};
use std::collections::BTreeMap;

/// A dialer whose callees answer as the standard scenario has it.
struct House {
    dialer: Dialer,
    out: Outbox<Effect>,
    now: Instant,
    rng: Rng,
    leads: u128,
    tag: u64,
    reply: Option<Reply>,
    /// What is yet to come of the calls.
    facts: BTreeMap<(Instant, u64), Input>,
    /// Decisions and the time they took, ticks only.
    ticks: u64,
}

const START: WallTime = WallTime::from_unix_millis(1_795_136_400_000);

impl House {
    fn new(campaigns: u32, agents: u32, shared: bool) -> House {
        let config = DialerConfig { agents_max: 100_000, cps_max: 100_000.0, ..DialerConfig::default() };
        let mut house = House {
            dialer: Dialer::new(config, Rng::from_seed(1)),
            out: Outbox::with_limit(1_000_000),
            now: Instant::ZERO,
            rng: Rng::from_seed(2),
            leads: 0,
            tag: 0,
            reply: None,
            facts: BTreeMap::new(),
            ticks: 0,
        };
        house.input(Input::Clock(ClockBase { instant: Instant::ZERO, wall: START }));
        house.input(Input::Restore(Box::default()));
        let trunk = TrunkConfig {
            name: "carrier".into(),
            address: "192.0.2.1:5060".into(),
            options_interval_ms: 0,
            channels_max: 100_000,
            cps_max: 100_000.0,
            ..TrunkConfig::default()
        };
        house.command(Command::CreateTrunk(trunk));
        let groups = if shared { 1 } else { campaigns };
        for group in 0..groups {
            for number in 0..agents {
                house.log_in(&format!("a{group}-{number}"), &format!("g{group}"));
            }
        }
        for campaign in 0..campaigns {
            let group = if shared { 0 } else { campaign };
            house.start(campaign, &format!("g{group}"));
        }
        house
    }

    fn input(&mut self, input: Input) {
        self.dialer.handle_input(self.now, input, &mut self.out);
        self.take_effects();
    }

    fn command(&mut self, command: Command) -> Reply {
        self.tag += 1;
        self.input(Input::Command { tag: self.tag, command });
        self.reply.take().expect("a good command is granted")
    }

    fn log_in(&mut self, name: &str, group: &str) {
        let config = AgentConfig {
            name: name.into(),
            username: name.into(),
            password: "x".into(),
            groups: vec![group.into()],
            ..AgentConfig::default()
        };
        let Reply::Agent(agent, _) = self.command(Command::CreateAgent(config)) else { return };
        self.input(Input::Agent(AgentFact::Registered(ContactRow {
            agent,
            uri: "sip:a@192.0.2.7".into(),
            source: "192.0.2.7:5060".into(),
            listener: 0,
            expires_at: START.plus_millis(86_400_000),
        })));
        self.command(Command::AgentLogin { agent, session: SessionKind::NailedUp });
        self.input(Input::Agent(AgentFact::SessionUp { agent }));
    }

    fn start(&mut self, number: u32, group: &str) {
        let list = ListConfig { name: format!("l{number}"), ..ListConfig::default() };
        let Reply::List(list, _) = self.command(Command::CreateList(list)) else { return };
        let config = CampaignConfig {
            name: format!("c{number}"),
            mode: DialMode::Predictive,
            agent_group: Some(group.into()),
            lists: vec![list],
            record: false,
            concurrency: Concurrency { lines_max: 1_000, cps_max: 1_000.0, ..Concurrency::default() },
            ..CampaignConfig::default()
        };
        let Reply::Campaign(id, _) = self.command(Command::CreateCampaign(Box::new(config))) else { return };
        self.command(Command::StartCampaign(id));
    }

    fn lead(&mut self, list: ListId) -> Lead {
        self.leads += 1;
        let id = LeadId::from_bits(self.leads);
        let number = format!("+4930{}", self.leads);
        Lead {
            id,
            list,
            external_id: None,
            phones: vec![Phone { number: number.clone(), raw: number, kind: None }],
            priority: 0,
            time_zone: None,
            fields: BTreeMap::new(),
            expires_at: None,
            progress: LeadProgress::fresh(id),
        }
    }

    fn after(&mut self, seconds: f64, fact: CallFact) {
        self.tag += 1;
        let at = self.now + Duration::from_secs_f64(seconds);
        self.facts.insert((at, self.tag), Input::Call(fact));
    }

    fn take_effects(&mut self) {
        let effects: Vec<Effect> = self.out.drain().collect();
        for effect in effects {
            match effect {
                Effect::Reply { result, .. } => self.reply = result.ok(),
                Effect::LoadLeads { campaign, lists, limit, .. } => {
                    let leads = (0..limit.min(400)).map(|_| self.lead(lists[0])).collect();
                    self.input(Input::LeadsLoaded { campaign, leads, more: true, next_due: None });
                }
                Effect::Call(CallOrder::DialCustomer { call, .. }) => {
                    self.after(0.01, CallFact::Dialled { call });
                    self.after(2.5, CallFact::Ringing { call, early_media: false });
                    if self.rng.chance(0.25) {
                        let ring = self.rng.between(3.0, 15.0);
                        self.after(2.5 + ring, CallFact::Answered { call });
                    } else {
                        self.after(25.0, ended(call));
                    }
                }
                Effect::Call(CallOrder::Bridge { call, .. }) => {
                    self.after(0.005, CallFact::Bridged { call });
                    let talk = self.rng.lognormal(120.0, 1.0);
                    self.after(talk, ended(call));
                }
                Effect::Call(CallOrder::Play { call, .. }) => {
                    self.after(5.0, CallFact::MessagePlayed { call });
                }
                Effect::Call(CallOrder::Hangup { call, .. }) => self.after(0.01, ended(call)),
                _ => {}
            }
        }
    }

    /// A second of the world; the time spent in the regular tick, in which every campaign decides.
    fn second(&mut self) -> std::time::Duration {
        let until = self.now + Duration::from_secs(1);
        let mut spent = std::time::Duration::ZERO;
        loop {
            let fact = self.facts.keys().next().map(|(at, _)| *at).filter(|at| *at <= until);
            let timer = self.dialer.poll_timeout().filter(|at| *at <= until);
            let Some(at) = [fact, timer].into_iter().flatten().min() else { break };
            self.now = self.now.max(at);
            if timer == Some(at) && fact != Some(at) {
                let before = self.dialer.counters().decisions;
                let started = std::time::Instant::now();
                self.dialer.handle_timeout(self.now, &mut self.out);
                if self.dialer.counters().decisions - before >= 150 {
                    spent += started.elapsed();
                    self.ticks += 1;
                }
                self.take_effects();
            } else if let Some((_, input)) = self.facts.pop_first() {
                self.input(input);
            }
        }
        self.now = until;
        spent
    }
}

fn ended(call: dialer_core::CallId) -> CallFact {
    use dialer_core::outcome::{EndCause, Party};
    CallFact::Ended { call, by: Party::Customer, cause: EndCause::Normal, sip_code: None, q850: None }
}

fn ticks(c: &mut Criterion) {
    let mut group = c.benchmark_group("dialer tick");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    for (name, agents, shared) in
        [("200 campaigns, 50 agents each", 50, false), ("200 campaigns share 50 agents", 50, true)]
    {
        let mut house = House::new(200, agents, shared);
        for _ in 0..60 {
            house.second();
        }
        group.throughput(Throughput::Elements(200));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| (0..iterations).map(|_| house.second()).sum());
        });
        println!("{name}: {} ticks that decided for at least 150 campaigns", house.ticks);
    }
    group.finish();
}

criterion_group!(benches, ticks);
criterion_main!(benches);
