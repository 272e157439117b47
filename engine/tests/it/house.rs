//! The whole house but its ground: control core and shard together, with a model of the store.

use crate::world::{Callee, World};
use dialer_core::config::{
    AgentConfig, CampaignConfig, Concurrency, DialMode, ListConfig, PacingConfig, SessionKind, TrunkConfig,
};
use dialer_core::outcome::{EndCause, Outcome, Party};
use dialer_core::record::{AttemptRow, CallRecord, Lead, LeadProgress, LeadState, Phone, Record};
use dialer_core::{
    AgentId, CallId, CallOrder, CampaignId, Command, CommandError, DialerConfig, Event, EventEnvelope,
    LeadId, ListId, Reply, TrunkId,
};
use engine::{ControlConfig, ControlCore, ControlEffect, ControlInput, ShardCommand};
use sansio::time::ClockBase;
use sansio::{Duration, Instant, Machine, Outbox, Rng, WallTime};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

struct House {
    w: World,
    control: ControlCore,
    out: Outbox<ControlEffect>,
    /// Facts of the world that were handed to the control core.
    told: usize,
    /// Entries that are being written: when they are durable, their number and content.
    writing: VecDeque<(Instant, u64, Vec<Record>)>,
    /// How long a transaction takes, milliseconds; `None`: the disk hangs.
    write_ms: Option<u64>,
    leads: BTreeMap<LeadId, Lead>,
    attempts: BTreeMap<CallId, AttemptRow>,
    records: BTreeMap<CallId, CallRecord>,
    events: BTreeSet<u64>,
    published: Vec<EventEnvelope>,
    replies: BTreeMap<u64, Result<Reply, CommandError>>,
    loads: VecDeque<(CampaignId, Vec<ListId>, u32, WallTime)>,
    tag: u64,
}

impl House {
    fn new(seed: u64) -> House {
        let config = ControlConfig { seed, shards: 1, waiting_max: 10_000, dialer: DialerConfig::default() };
        let mut house = House {
            w: World::new(seed),
            control: ControlCore::new(config),
            out: Outbox::default(),
            told: 0,
            writing: VecDeque::new(),
            write_ms: Some(3),
            leads: BTreeMap::new(),
            attempts: BTreeMap::new(),
            records: BTreeMap::new(),
            events: BTreeSet::new(),
            published: Vec::new(),
            replies: BTreeMap::new(),
            loads: VecDeque::new(),
            tag: 0,
        };
        let wall = WallTime::from_unix_millis(1_790_000_000_000);
        house.input(ControlInput::Clock(ClockBase { instant: Instant::ZERO, wall }));
        house.input(ControlInput::Restore(Box::default()));
        house
    }

    fn input(&mut self, input: ControlInput) {
        self.control.handle_input(self.w.now, input, &mut self.out);
        self.carry_on();
    }

    fn carry_on(&mut self) {
        loop {
            let effects: Vec<ControlEffect> = self.out.drain().collect();
            for effect in effects {
                self.effect(effect);
            }
            let Some(event) = self.w.facts.get(self.told).cloned() else { break };
            self.told += 1;
            self.control.handle_input(self.w.now, ControlInput::Shard { shard: 0, event }, &mut self.out);
        }
    }

    fn effect(&mut self, effect: ControlEffect) {
        match effect {
            ControlEffect::Journal { seq, records } => {
                let at =
                    self.write_ms.map_or(Instant::FAR_FUTURE, |ms| self.w.now + Duration::from_millis(ms));
                let at = self.writing.back().map_or(at, |last| last.0.max(at));
                self.writing.push_back((at, seq, records));
            }
            ControlEffect::ToShard { command, .. } => {
                if let ShardCommand::Call { order: CallOrder::DialCustomer { call, .. }, .. } = &command {
                    assert!(self.attempts.contains_key(call), "{call} is dialled before it is durable");
                }
                self.w.command(command);
            }
            ControlEffect::Publish(envelope) => {
                assert!(self.events.contains(&envelope.cursor), "published before it is durable");
                let before = self.published.last().map_or(0, |last| last.cursor);
                assert_eq!(envelope.cursor, before + 1);
                self.published.push(*envelope);
            }
            ControlEffect::Reply { tag, result } => {
                assert!(self.replies.insert(tag, result).is_none(), "answered twice");
            }
            ControlEffect::View(_) => {}
            ControlEffect::FindExpired { .. }
            | ControlEffect::FindCallbacks { .. }
            | ControlEffect::RecallCaller { .. } => {}
            ControlEffect::LoadLeads { campaign, lists, limit, due_at, .. } => {
                self.loads.push_back((campaign, lists, limit, due_at));
            }
        }
    }

    fn commit(&mut self, records: Vec<Record>) {
        for record in records {
            match record {
                Record::AttemptStarted(row) => {
                    assert!(self.attempts.insert(row.call, row).is_none(), "an attempt begins twice");
                }
                Record::CallEnded(record) => {
                    assert!(self.records.insert(record.call, *record).is_none(), "a call ends twice");
                }
                Record::LeadChanged(progress) => {
                    let lead = self.leads.get_mut(&progress.lead).expect("a known lead");
                    lead.progress = progress;
                }
                Record::Event(envelope) => {
                    self.events.insert(envelope.cursor);
                }
                _ => {}
            }
        }
    }

    fn run_for(&mut self, ms: u64) {
        let end = self.w.now + Duration::from_millis(ms);
        loop {
            let writing = self.writing.front().map(|entry| entry.0).filter(|at| *at != Instant::FAR_FUTURE);
            let loading = (!self.loads.is_empty()).then_some(self.w.now);
            let next =
                [self.w.next(), self.control.poll_timeout(), writing, loading].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.w.now = self.w.now.max(next);
            let now = self.w.now;
            self.w.step();
            while self.writing.front().is_some_and(|entry| entry.0 <= now) {
                let (_, seq, records) = self.writing.pop_front().unwrap();
                self.commit(records);
                self.input(ControlInput::Durable { seq });
            }
            while let Some((campaign, lists, limit, due_at)) = self.loads.pop_front() {
                self.load(campaign, &lists, limit as usize, due_at);
            }
            if self.control.poll_timeout().is_some_and(|at| at <= now) {
                self.control.handle_timeout(now, &mut self.out);
            }
            self.carry_on();
        }
        self.w.now = end;
    }

    fn load(&mut self, campaign: CampaignId, lists: &[ListId], limit: usize, due_at: WallTime) {
        let waits = |lead: &&Lead| {
            lists.contains(&lead.list) && matches!(lead.progress.state, LeadState::New | LeadState::RetryWait)
        };
        let due = |lead: &&Lead| lead.progress.next_at.is_none_or(|at| at <= due_at);
        let all: Vec<Lead> = self.leads.values().filter(waits).filter(due).cloned().collect();
        let next_due = self.leads.values().filter(waits).filter_map(|lead| lead.progress.next_at).min();
        let more = all.len() > limit;
        let leads = all.into_iter().take(limit).collect();
        self.input(ControlInput::LeadsLoaded { campaign, leads, more, next_due });
    }

    fn command(&mut self, command: Command) -> u64 {
        self.tag += 1;
        self.input(ControlInput::Command { tag: self.tag, command });
        self.tag
    }

    /// Commands; whatever the answer will be.
    fn wish(&mut self, command: Command) {
        self.command(command);
    }

    /// Commands and waits for the answer.
    fn ask(&mut self, command: Command) -> Result<Reply, CommandError> {
        let tag = self.command(command);
        self.run_for(20);
        self.replies.get(&tag).expect("answered").clone()
    }

    fn trunk(&mut self) -> (TrunkId, usize) {
        let carrier = self.w.carrier_peer("carrier");
        let config = TrunkConfig {
            name: "carrier".into(),
            address: self.w.peers[carrier].address.to_string(),
            cps_max: 50.0,
            options_interval_ms: 0,
            ..TrunkConfig::default()
        };
        match self.ask(Command::CreateTrunk(config)) {
            Ok(Reply::Trunk(id, _)) => (id, carrier),
            other => panic!("{other:?}"),
        }
    }

    fn agent(&mut self, name: &'static str, session: SessionKind) -> (AgentId, usize) {
        let config = AgentConfig {
            name: name.into(),
            username: name.into(),
            password: "secret".into(),
            ..AgentConfig::default()
        };
        let Ok(Reply::Agent(agent, _)) = self.ask(Command::CreateAgent(config)) else {
            panic!("the agent is made")
        };
        let phone = self.w.phone_peer(name);
        self.run_for(1500);
        assert!(self.ask(Command::AgentLogin { agent, session }).is_ok());
        self.run_for(500);
        let _ = self.ask(Command::AgentReady(agent));
        self.run_for(500);
        (agent, phone)
    }

    fn campaign(&mut self, mode: DialMode, trunk: TrunkId, leads: u32) -> CampaignId {
        let Ok(Reply::List(list, _)) =
            self.ask(Command::CreateList(ListConfig { name: "leads".into(), ..ListConfig::default() }))
        else {
            panic!("the list is made")
        };
        for n in 1..=leads {
            let id = LeadId::from_bits(u128::from(n));
            let number = format!("+8613800{n:06}");
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
            self.leads.insert(id, lead);
        }
        let mut config = CampaignConfig {
            name: "renewals".into(),
            mode,
            lists: vec![list],
            trunks: vec![trunk],
            caller_id: Some("+862155550000".into()),
            concurrency: Concurrency {
                lines_max: 20,
                cps_max: 10.0,
                max_lines_per_agent: 3.0,
                ..Concurrency::default()
            },
            pacing: Box::new(PacingConfig::default()),
            ..CampaignConfig::default()
        };
        config.timers.wrap_up_ms = 2_000;
        config.safe_harbour_prompt = Some("safe_harbour".into());
        let Ok(Reply::Campaign(campaign, _)) = self.ask(Command::CreateCampaign(Box::new(config))) else {
            panic!("the campaign is made")
        };
        campaign
    }

    fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.published.iter().filter(|envelope| wanted(&envelope.event)).count()
    }

    fn assert_at_rest(&mut self) {
        self.run_for(80_000);
        assert_eq!(self.w.shard.alive(), Vec::<String>::new(), "{}", self.w.ladder);
        assert_eq!(self.control.counters().waiting, 0);
        assert_eq!(self.control.counters().calls, 0);
        let findings = self.control.dialer().audit();
        assert!(findings.is_empty(), "{findings:?}");
        let (begun, ended): (BTreeSet<_>, BTreeSet<_>) =
            (self.attempts.keys().collect(), self.records.keys().collect());
        assert_eq!(begun, ended, "every attempt has one record");
    }
}

/// Carriers' customers of all sorts.
fn customers(house: &mut House, carrier: usize, seed: u64) {
    let mut rng = Rng::from_seed(seed);
    for n in 1..400 {
        let ring_ms = 500 + rng.below(5_000);
        let callee = match rng.below(10) {
            0..=4 => Callee::talks(ring_ms, 2_000 + rng.below(10_000)),
            5 => Callee::refuses(ring_ms, 486),
            6 => Callee::refuses(ring_ms, 404),
            7 => Callee::rings(),
            _ => Callee::talks(ring_ms, 200 + rng.below(1_000)),
        };
        house.w.peers[carrier].callees.insert(format!("+8613800{n:06}"), callee);
    }
}

#[test]
fn a_predictive_campaign_from_end_to_end() {
    for session in [SessionKind::NailedUp, SessionKind::OnDemand] {
        let mut h = House::new(5);
        h.w.show_sip = false;
        let (trunk, carrier) = h.trunk();
        customers(&mut h, carrier, 5);
        h.agent("alice", session);
        h.agent("bob", session);
        h.agent("carol", session);
        let campaign = h.campaign(DialMode::Predictive, trunk, 60);
        assert!(h.ask(Command::StartCampaign(campaign)).is_ok());
        h.run_for(240_000);
        let connected = h.records.values().filter(|record| record.outcome == Outcome::Connected).count();
        assert!(connected >= 20, "{session:?}: {connected} of {}\n{}", h.records.len(), h.w.ladder);
        assert!(h.records.values().any(|record| record.outcome == Outcome::Busy));
        let _ = h.ask(Command::StopCampaign(campaign));
        let _ = h.ask(Command::Drain { deadline: core::time::Duration::from_secs(20) });
        h.assert_at_rest();
        assert_eq!(h.count(|event| matches!(event, Event::CallEnded { .. })), h.records.len());
        assert_eq!(h.count(|event| matches!(event, Event::NodeDrained)), 1);
        for record in h.records.values().filter(|record| record.outcome == Outcome::Connected) {
            assert_eq!((record.ended_by, record.cause), (Party::Customer, EndCause::Normal), "{record:?}");
        }
        if session == SessionKind::NailedUp {
            // An agent who is free is joined within the same turn; others are waited for.
            let waits = h.records.values().filter_map(|record| record.answer_to_bridge_ms);
            assert!(waits.clone().filter(|ms| *ms == 0).count() * 2 > connected);
            assert!(waits.max() <= Some(2_000));
        }
        let recordings = h.count(|event| matches!(event, Event::RecordingReady { .. }));
        assert_eq!(recordings, connected);
    }
}

#[test]
fn nothing_is_dialled_while_the_disk_hangs_and_a_call_hung_up_meanwhile_is_never_dialled() {
    let mut h = House::new(6);
    let (trunk, carrier) = h.trunk();
    customers(&mut h, carrier, 6);
    let (agent, _) = h.agent("alice", SessionKind::NailedUp);
    h.write_ms = None;
    let tag = h.command(Command::Originate(dialer_core::OriginateRequest {
        lead: None,
        known: None,
        agent,
        to: "+8613800000001".into(),
        caller_id: None,
        trunk: Some(trunk),
        campaign: None,
        ring_timeout_ms: None,
        record: false,
        notice: None,
        client_state: None,
        override_reason: None,
        caller_id_pool: None,
    }));
    h.run_for(2_000);
    assert!(!h.replies.contains_key(&tag) && h.w.peers[carrier].invites.is_empty());
    // Nobody knows the call's name yet but the journal; a stop ends it.
    h.command(Command::StopNow);
    h.run_for(1_000);
    // The disk is back.
    h.write_ms = Some(1);
    let now = h.w.now;
    for entry in &mut h.writing {
        entry.0 = now;
    }
    h.run_for(3_000);
    assert!(matches!(h.replies.get(&tag), Some(Ok(Reply::Call(_)))));
    assert!(h.w.peers[carrier].invites.is_empty(), "{}", h.w.ladder);
    assert_eq!(h.records.len(), 1);
    h.assert_at_rest();
}

#[test]
fn click_to_call() {
    for session in [SessionKind::NailedUp, SessionKind::OnDemand] {
        let mut h = House::new(8);
        let (trunk, carrier) = h.trunk();
        h.w.peers[carrier].default = Callee::talks(500, 3_000);
        let (agent, _) = h.agent("alice", session);
        let reply = h.ask(Command::Originate(dialer_core::OriginateRequest {
            lead: None,
            known: None,
            agent,
            to: "+8613800000001".into(),
            caller_id: Some("+862155550000".into()),
            trunk: Some(trunk),
            campaign: None,
            ring_timeout_ms: Some(20_000),
            record: true,
            notice: None,
            client_state: Some("ticket".into()),
            override_reason: None,
            caller_id_pool: None,
        }));
        assert!(matches!(reply, Ok(Reply::Call(_))), "{reply:?}");
        h.run_for(6_000);
        let record = h.records.values().next().expect("the call is over");
        assert_eq!(
            (record.outcome, record.ended_by),
            (Outcome::Connected, Party::Customer),
            "{}",
            h.w.ladder
        );
        assert!(record.bridged_at.is_some());
        let _ = h.ask(Command::Drain { deadline: core::time::Duration::from_secs(5) });
        h.assert_at_rest();
    }
}

/// One life of a house under random wishes, a bad network and a moody disk.
fn live(seed: u64) {
    let mut rng = Rng::from_seed(seed).child("life");
    let mut h = House::new(seed);
    h.w.show_sip = false;
    let (trunk, carrier) = h.trunk();
    customers(&mut h, carrier, seed);
    let sessions = [SessionKind::NailedUp, SessionKind::OnDemand];
    let mut agents = Vec::new();
    for name in ["alice", "bob", "carol"] {
        agents.push(h.agent(name, sessions[rng.below(2) as usize]));
    }
    let modes = [DialMode::Predictive, DialMode::Progressive, DialMode::Ratio];
    let campaign = h.campaign(modes[rng.below(3) as usize], trunk, 80);
    let _ = h.ask(Command::StartCampaign(campaign));
    if rng.chance(0.7) {
        h.w.net.jitter_ms = rng.below(50);
        h.w.net.loss = rng.unit() * 0.15;
        h.w.net.duplicate = rng.unit() * 0.1;
    }
    for _ in 0..60 {
        let (agent, phone) = agents[rng.below(3) as usize];
        match rng.below(14) {
            0 => h.wish(Command::AgentPause { agent, code: "lunch".into() }),
            1 | 2 => h.wish(Command::AgentReady(agent)),
            3 => h.wish(Command::AgentLogout(agent)),
            4 => {
                let session = sessions[rng.below(2) as usize];
                h.command(Command::AgentLogin { agent, session });
            }
            5 => h.w.peer_hangup(phone),
            6 => h.w.peer_hangup(carrier),
            7 => h.w.peer_try_reinvite(phone, ["inactive", "sendrecv"][rng.below(2) as usize]),
            8 => h.wish(Command::PauseCampaign(campaign)),
            9 | 10 => h.wish(Command::ResumeCampaign(campaign)),
            11 => {
                let call = h.attempts.keys().nth(rng.below(40) as usize).copied();
                if let Some(call) = call {
                    h.command(Command::Hangup(call));
                }
            }
            12 => {
                let to = format!("+8613800{:06}", 100 + rng.below(200));
                h.command(Command::Originate(dialer_core::OriginateRequest {
                    lead: None,
                    known: None,
                    agent,
                    to,
                    caller_id: None,
                    trunk: None,
                    campaign: None,
                    ring_timeout_ms: Some(5_000),
                    record: true,
                    notice: None,
                    client_state: None,
                    override_reason: None,
                    caller_id_pool: None,
                }));
            }
            _ => {
                // The disk hangs for a while.
                h.write_ms = None;
                h.run_for(rng.below(3_000));
                if rng.chance(0.5) {
                    h.input(ControlInput::StoreHealth { healthy: false });
                    h.run_for(rng.below(2_000));
                    h.input(ControlInput::StoreHealth { healthy: true });
                }
                h.write_ms = Some(1 + rng.below(20));
                let now = h.w.now;
                for entry in &mut h.writing {
                    entry.0 = entry.0.min(now);
                }
            }
        }
        h.run_for(rng.below(2_500));
    }
    h.w.net.loss = 0.0;
    h.command(Command::Drain { deadline: core::time::Duration::from_secs(10) });
    h.assert_at_rest();
    check_stories(&h, seed);
}

/// What the events tell of each call: numbered without a gap, one end, and nothing after it but what may come.
fn check_stories(h: &House, seed: u64) {
    let mut stories: BTreeMap<CallId, (u32, bool)> = BTreeMap::new();
    for envelope in &h.published {
        let Some(call) = envelope.call else { continue };
        let (seq, ended) = stories.entry(call).or_default();
        *seq += 1;
        assert_eq!(envelope.seq, Some(*seq), "seed {seed}: {envelope:?}");
        assert_eq!(envelope.post_call, *ended, "seed {seed}: {envelope:?}");
        if matches!(envelope.event, Event::CallEnded { .. }) {
            *ended = true;
        }
    }
    assert!(stories.values().all(|(_, ended)| *ended), "seed {seed}");
    assert_eq!(h.count(|event| matches!(event, Event::NodeDrained)), 1, "seed {seed}");
    for record in h.records.values() {
        let both = record.bridged_at.is_some() && record.agent.is_none();
        assert!(!both, "seed {seed}: {record:?}");
        let forced = h.control.dialer().counters().calls_forced_over;
        assert_eq!(forced, 0, "seed {seed}: the dialer gave up waiting for an end");
    }
}

#[test]
fn any_life_ends_clean() {
    for seed in 0..12 {
        live(seed);
    }
}

#[test]
#[ignore = "takes minutes"]
fn many_lives_end_clean() {
    for seed in 1_000..1_300 {
        live(seed);
    }
}

#[test]
fn the_house_is_the_same_twice() {
    let run = || {
        let mut h = House::new(9);
        h.w.show_sip = false;
        let (trunk, carrier) = h.trunk();
        customers(&mut h, carrier, 9);
        h.agent("alice", SessionKind::NailedUp);
        let campaign = h.campaign(DialMode::Progressive, trunk, 20);
        let _ = h.ask(Command::StartCampaign(campaign));
        h.run_for(60_000);
        (h.w.trace, h.published.len())
    };
    assert_eq!(run(), run());
}

#[test]
fn a_shard_that_is_lost_ends_its_calls_and_is_told_all_again() {
    let mut h = House::new(10);
    let (trunk, carrier) = h.trunk();
    h.w.peers[carrier].default = Callee::answers(500);
    h.agent("alice", SessionKind::NailedUp);
    let campaign = h.campaign(DialMode::Progressive, trunk, 5);
    let _ = h.ask(Command::StartCampaign(campaign));
    h.run_for(5_000);
    let _ = h.ask(Command::StopCampaign(campaign));
    let fresh = World::new(77).shard;
    h.w.shard = fresh;
    h.w.ports.clear();
    h.input(ControlInput::ShardRestarted { shard: 0 });
    h.run_for(10_000);
    assert!(h.records.values().any(|record| record.cause == EndCause::NodeRestart));
    assert_eq!(h.attempts.len(), h.records.len());
    let up = h.count(|event| matches!(event, Event::AgentState { .. }));
    assert!(up > 0);
    let counters = h.w.shard.counters();
    assert_eq!((counters.calls_live, counters.sessions_live), (0, 1), "the session is opened again");
}
