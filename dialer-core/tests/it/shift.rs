//! A shift of a predictive campaign, with callees and agents drawn from distributions: the dialer as a whole keeps
//! agents busy within the law, and no two campaigns dial for the same agent.

use crate::fold::Store;
use crate::house::START;
use dialer_core::config::{
    AgentConfig, CampaignConfig, CampaignTimers, Concurrency, DialMode, ListConfig, SessionKind, TrunkConfig,
};
use dialer_core::outcome::{EndCause, Party};
use dialer_core::record::{ContactRow, Lead, LeadProgress, Phone};
use dialer_core::view::AgentState;
use dialer_core::{
    AgentFact, CallFact, CallId, CallOrder, Command, Dialer, DialerConfig, Effect, Input, LeadId, Record,
    Reply,
};
use sansio::time::ClockBase;
use sansio::{Duration, Instant, Outbox, Rng};
use std::collections::BTreeMap;

struct Shift {
    dialer: Dialer,
    store: Store,
    rng: Rng,
    now: Instant,
    out: Outbox<Effect>,
    coming: BTreeMap<(Instant, u64), Input>,
    order: u64,
    replies: Vec<Reply>,
    playing: Vec<CallId>,
}

impl Shift {
    fn new(seed: u64) -> Shift {
        let rng = Rng::from_seed(seed);
        let mut shift = Shift {
            dialer: Dialer::new(DialerConfig::default(), rng.child("dialer")),
            store: Store::default(),
            rng,
            now: Instant::ZERO,
            out: Outbox::default(),
            coming: BTreeMap::new(),
            order: 0,
            replies: Vec::new(),
            playing: Vec::new(),
        };
        shift.input(Input::Clock(ClockBase { instant: Instant::ZERO, wall: START }));
        shift.input(Input::Restore(Box::default()));
        shift.ask(Command::CreateTrunk(TrunkConfig {
            name: "carrier".into(),
            address: "192.0.2.1:5060".into(),
            options_interval_ms: 0,
            channels_max: 1_000,
            cps_max: 200.0,
            ..TrunkConfig::default()
        }));
        shift
    }

    fn ask(&mut self, command: Command) -> Reply {
        self.input(Input::Command { tag: 0, command });
        self.replies.pop().expect("granted")
    }

    fn input(&mut self, input: Input) {
        self.dialer.handle_input(self.now, input, &mut self.out);
        self.effects();
    }

    fn after(&mut self, seconds: f64, input: Input) {
        self.order += 1;
        self.coming.insert((self.now + Duration::from_secs_f64(seconds), self.order), input);
    }

    fn effects(&mut self) {
        let effects: Vec<Effect> = self.out.drain().collect();
        for effect in effects {
            match effect {
                Effect::Journal(records) => records.into_iter().for_each(|record| self.store.write(record)),
                Effect::Event(event) => self.store.write(Record::Event(event)),
                Effect::Reply { result, .. } => self.replies.push(result.expect("granted")),
                Effect::LoadLeads { campaign, lists, limit, due_at, screen } => {
                    let (leads, more, next_due) = self.store.load(&lists, limit as usize, due_at, &screen);
                    self.after(0.01, Input::LeadsLoaded { campaign, leads, more, next_due });
                }
                Effect::OpenSession { agent, .. } => {
                    self.after(1.0, Input::Agent(AgentFact::SessionUp { agent }));
                }
                Effect::Call(order) => self.obey(order),
                _ => {}
            }
        }
    }

    /// The carrier and the callees of the standard scenario: a quarter of the calls is answered by a person.
    fn obey(&mut self, order: CallOrder) {
        match order {
            CallOrder::DialCustomer { call, ring_timeout_ms, .. } => {
                self.after(0.01, Input::Call(CallFact::Dialled { call }));
                self.after(2.5, Input::Call(CallFact::Ringing { call, early_media: false }));
                let ring: f64 = (0..3).map(|_| self.rng.exponential(2.5)).sum();
                let limit = f64::from(ring_timeout_ms) / 1000.0;
                if self.rng.chance(0.25) && 2.5 + ring < limit {
                    self.after(2.5 + ring, Input::Call(CallFact::Answered { call }));
                } else if self.rng.chance(0.2) {
                    self.after(1.5, ended(call, Party::Customer, EndCause::Busy));
                } else {
                    self.after(limit, ended(call, Party::System, EndCause::NoAnswer));
                }
            }
            CallOrder::Bridge { call, .. } => {
                self.after(0.005, Input::Call(CallFact::Bridged { call }));
                let talk = self.rng.lognormal(120.0, 1.0);
                self.after(talk, ended(call, Party::Customer, EndCause::Normal));
            }
            CallOrder::Play { call, .. } => {
                self.playing.push(call);
                self.after(6.0, Input::Call(CallFact::MessagePlayed { call }));
            }
            CallOrder::Hangup { call, cause, by } => self.after(0.01, ended(call, by, cause)),
            CallOrder::LetHear { .. }
            | CallOrder::AnswerCustomer { .. }
            | CallOrder::RingAgent { .. }
            | CallOrder::UseSession { .. }
            | CallOrder::Act { .. }
            | CallOrder::ReleaseAgent { .. } => {}
        }
    }

    fn run_until(&mut self, until: Instant) {
        loop {
            let fact = self.coming.first_key_value().map(|((at, _), _)| *at);
            let timer = self.dialer.poll_timeout();
            let Some(next) = [fact, timer].into_iter().flatten().min().filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(next);
            if fact == Some(next) {
                let (_, input) = self.coming.pop_first().expect("looked at above");
                self.input(input);
            } else {
                self.dialer.handle_timeout(self.now, &mut self.out);
                self.effects();
            }
        }
        self.now = until;
        assert!(self.dialer.audit().is_empty());
    }

    fn furnish(&mut self, agents: usize, leads: usize, mode: DialMode) {
        self.hire(agents);
        self.start_campaign(leads, mode);
    }

    fn hire(&mut self, agents: usize) {
        for n in 0..agents {
            let config = AgentConfig {
                name: format!("{n}"),
                username: format!("a{n}"),
                password: "x".into(),
                ..AgentConfig::default()
            };
            let Reply::Agent(agent, _) = self.ask(Command::CreateAgent(config)) else { panic!() };
            self.input(Input::Agent(AgentFact::Registered(ContactRow {
                agent,
                uri: "sip:a@198.51.100.7".into(),
                source: "198.51.100.7:5060".into(),
                listener: 0,
                expires_at: START.plus_millis(100 * 3_600_000),
            })));
            self.ask(Command::AgentLogin { agent, session: SessionKind::NailedUp });
        }
    }

    fn start_campaign(&mut self, leads: usize, mode: DialMode) {
        let config = ListConfig { name: "people".into(), ..ListConfig::default() };
        let Reply::List(list, _) = self.ask(Command::CreateList(config)) else { panic!() };
        for _ in 0..leads {
            let number = self.store.leads.len() as u128 + 1;
            let id = LeadId::from_bits(number);
            let text = format!("+49301{number:06}");
            let phones = vec![Phone { number: text.clone(), raw: text, kind: None }];
            let lead = Lead {
                id,
                list,
                external_id: None,
                phones,
                priority: 0,
                time_zone: None,
                fields: BTreeMap::new(),
                expires_at: None,
                progress: LeadProgress::fresh(id),
            };
            self.store.leads.insert(id, lead);
        }
        let config = CampaignConfig {
            name: "shift".into(),
            mode,
            lists: vec![list],
            concurrency: Concurrency {
                lines_max: 500,
                cps_max: 100.0,
                max_lines_per_agent: 12.0,
                ..Concurrency::default()
            },
            timers: CampaignTimers { wrap_up_ms: 20_000, ring_max_ms: 25_000, ..CampaignTimers::default() },
            ..CampaignConfig::default()
        };
        let Reply::Campaign(id, _) = self.ask(Command::CreateCampaign(Box::new(config))) else { panic!() };
        self.ask(Command::StartCampaign(id));
    }

    /// Share of time in talk and after-call work, and abandoned ÷ live.
    fn figures(&self) -> (f64, f64) {
        let state_ms = &self.dialer.counters().groups[""].state_ms;
        let of = |state: AgentState| {
            let place = AgentState::ALL.iter().position(|known| *known == state).expect("listed");
            state_ms[place] as f64
        };
        let busy = of(AgentState::Talking) + of(AgentState::WrapUp);
        let abandoned = self.store.ledger.iter().filter(|entry| entry.abandoned).count();
        (busy / (busy + of(AgentState::Ready)), abandoned as f64 / self.store.ledger.len() as f64)
    }
}

fn ended(call: CallId, by: Party, cause: EndCause) -> Input {
    Input::Call(CallFact::Ended { call, by, cause, sip_code: None, q850: None })
}

#[test]
fn a_predictive_shift_keeps_agents_busier_than_a_progressive_one_within_the_law() {
    let mut figures = Vec::new();
    for mode in [DialMode::Progressive, DialMode::Predictive] {
        let mut shift = Shift::new(5);
        shift.furnish(20, 40_000, mode);
        shift.run_until(Instant::from_millis(3 * 3_600_000));
        figures.push(shift.figures());
    }
    let [(progressive, none), (predictive, abandoned)] = figures[..] else { panic!() };
    println!("progressive {progressive:.3} ({none:.4}), predictive {predictive:.3} ({abandoned:.4})");
    assert!((0.6..0.78).contains(&progressive), "{progressive}");
    assert!(none < 0.002, "{none}");
    assert!(predictive > progressive + 0.1, "{predictive}");
    assert!(abandoned < 0.03, "{abandoned}");
}

#[test]
fn two_predictive_campaigns_share_agents_within_the_law() {
    let mut shift = Shift::new(6);
    shift.hire(12);
    shift.start_campaign(20_000, DialMode::Predictive);
    shift.start_campaign(20_000, DialMode::Predictive);
    shift.run_until(Instant::from_millis(2 * 3_600_000));
    let (busy, abandoned) = shift.figures();
    println!("two campaigns: {busy:.3} ({abandoned:.4})");
    assert!(busy > 0.7, "{busy}");
    assert!(abandoned < 0.03, "{abandoned}");
}
