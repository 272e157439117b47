//! Weeks of a campaign whose callees answer at their own hours: does choosing the hour pay?
//!
//! The dialer itself plays, against callees of two kinds: those of the first answer in the morning, those of the second in
//! the evening. In the world without structure all answer alike at any hour. A part of the leads is held out and dialled in
//! the usual order; what the others are answered more often is the lift.

use dialer_core::best_time::{BestTimeConfig, ExperimentArm, ExperimentConfig, SegmentBy, difference};
use dialer_core::caller_id::{Arm, lift};
use dialer_core::config::{
    CallingHours, CampaignConfig, Concurrency, DialMode, ListConfig, RetryRule, TrunkConfig,
};
use dialer_core::outcome::{EndCause, Outcome, Party};
use dialer_core::record::{Lead, LeadProgress, LeadState, Phone};
use dialer_core::{
    CallFact, CallId, CallOrder, CampaignId, Command, Dialer, DialerConfig, Effect, Input, LeadId, ListId,
    Record, Reply,
};
use sansio::time::ClockBase;
use sansio::{Duration, Instant, Outbox, Rng, WallTime};
use std::collections::BTreeMap;

/// Monday, 2026-11-23T00:00:00Z.
const START: WallTime = WallTime::from_unix_millis(1_795_392_000_000);
const FIRST_HOUR: u16 = 8;
const LAST_HOUR: u16 = 20;

/// What is played.
#[derive(Clone, Copy, Debug)]
pub struct BestTimeScene {
    /// Draws everything.
    pub seed: u64,
    /// Callees answer at their own hours.
    pub structured: bool,
    /// Leads, half of each kind.
    pub leads: u32,
    /// So long.
    pub days: u32,
    /// Calls at once.
    pub lines: u32,
    /// Share of leads held out.
    pub hold_out_share: f64,
}

impl BestTimeScene {
    /// A week with a line for about four in ten leads a day: whoever is not dialled now can be dialled later.
    #[must_use]
    pub fn new(seed: u64, structured: bool) -> Self {
        BestTimeScene { seed, structured, leads: 4_000, days: 7, lines: 1, hold_out_share: 0.3 }
    }
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BestTimeResult {
    /// Leads held out.
    pub held_out: Arm,
    /// Leads whose hour was chosen.
    pub chosen: Arm,
    /// How much more often these are answered, as a share, with its 95 % interval.
    pub lift: Option<(f64, f64, f64)>,
    /// The difference of the answer rates, with its 95 % interval.
    pub difference: Option<(f64, f64, f64)>,
}

/// Chance that a callee of this kind answers at this hour of the day.
#[must_use]
pub fn answer_chance(evening: bool, hour: u16, structured: bool) -> f64 {
    match (structured, hour < 14, evening) {
        (false, _, _) => 0.2,
        (true, true, false) | (true, false, true) => 0.35,
        (true, ..) => 0.08,
    }
}

/// A line for each seed and world.
#[must_use]
pub fn table(seeds: impl Iterator<Item = u64>, days: Option<u32>) -> String {
    let mut text = String::from(
        "callees        seed   held out         chosen           difference (95 %)              lift (95 %)\n",
    );
    for seed in seeds {
        for structured in [true, false] {
            let mut scene = BestTimeScene::new(seed, structured);
            scene.days = days.unwrap_or(scene.days);
            let result = play(scene);
            let arm = |arm: Arm| {
                format!("{:5.2} % of {:<6}", 100.0 * arm.answers as f64 / arm.calls.max(1) as f64, arm.calls)
            };
            let interval = |found: Option<(f64, f64, f64)>| {
                found.map_or_else(
                    || "-".to_owned(),
                    |(value, low, high)| {
                        format!("{:+.2} % ({:+.2} to {:+.2})", 100.0 * value, 100.0 * low, 100.0 * high)
                    },
                )
            };
            let world = if structured { "with hours" } else { "without hours" };
            text += &format!(
                "{world:<14} {seed:<6} {} {} {:<30} {}\n",
                arm(result.held_out),
                arm(result.chosen),
                interval(result.difference),
                interval(result.lift)
            );
        }
    }
    text
}

struct World {
    scene: BestTimeScene,
    dialer: Dialer,
    now: Instant,
    out: Outbox<Effect>,
    rng: Rng,
    leads: BTreeMap<LeadId, Lead>,
    called: BTreeMap<CallId, LeadId>,
    coming: BTreeMap<(Instant, u64), Input>,
    order: u64,
    replies: Vec<Reply>,
    arms: [Arm; 2],
}

/// Plays it.
///
/// # Panics
/// When the dialer refuses what the scene needs, or breaks an invariant.
#[must_use]
pub fn play(scene: BestTimeScene) -> BestTimeResult {
    let rng = Rng::from_seed(scene.seed);
    let config = DialerConfig { tick_ms: 5_000, ..DialerConfig::default() };
    let mut world = World {
        scene,
        dialer: Dialer::new(config, rng.child("dialer")),
        now: Instant::ZERO,
        out: Outbox::default(),
        rng: rng.child("callees"),
        leads: BTreeMap::new(),
        called: BTreeMap::new(),
        coming: BTreeMap::new(),
        order: 0,
        replies: Vec::new(),
        arms: [Arm::default(); 2],
    };
    world.input(Input::Clock(ClockBase { instant: Instant::ZERO, wall: START }));
    world.input(Input::Restore(Box::default()));
    world.furnish();
    world.run_until(Instant::ZERO + Duration::from_secs(u64::from(scene.days) * 24 * 3_600));
    assert!(world.dialer.audit().is_empty(), "{:?}", world.dialer.audit());
    let [held_out, chosen] = world.arms;
    BestTimeResult {
        held_out,
        chosen,
        lift: lift([held_out, chosen]),
        difference: difference([held_out, chosen]),
    }
}

impl World {
    fn furnish(&mut self) {
        self.ask(Command::CreateTrunk(TrunkConfig {
            name: "carrier".into(),
            address: "192.0.2.1:5060".into(),
            options_interval_ms: 0,
            channels_max: 1_000,
            cps_max: 50.0,
            ..TrunkConfig::default()
        }));
        let config = ListConfig { name: "people".into(), ..ListConfig::default() };
        let Reply::List(list, _) = self.ask(Command::CreateList(config)) else { panic!("a list is made") };
        for number in 1..=self.scene.leads {
            let id = LeadId::from_bits(u128::from(number));
            let kind = if number % 2 == 0 { "evening" } else { "morning" };
            let text = format!("+49301{number:06}");
            let phone = Phone { number: text.clone(), raw: text, kind: Some(kind.into()) };
            let lead = Lead {
                id,
                list,
                external_id: None,
                phones: vec![phone],
                priority: 0,
                time_zone: Some("UTC".into()),
                fields: BTreeMap::new(),
                expires_at: None,
                progress: LeadProgress::fresh(id),
            };
            self.leads.insert(id, lead);
        }
        let config = CampaignConfig {
            name: "hours".into(),
            mode: DialMode::Agentless,
            message_prompt: Some("message".into()),
            lists: vec![list],
            concurrency: Concurrency { lines_max: self.scene.lines, cps_max: 20.0, ..Concurrency::default() },
            calling_hours: Some(CallingHours {
                from_minute: FIRST_HOUR * 60,
                to_minute: LAST_HOUR * 60,
                days: 0b111_1111,
                utc_offset_minutes: 0,
            }),
            retry: vec![RetryRule::new(Outcome::NoAnswer, 5 * 3_600_000, 100)],
            attempts_max: 100,
            best_time: Some(Box::new(BestTimeConfig {
                segment_by: vec![SegmentBy::PhoneKind],
                window: 4_000,
                explore: BestTimeConfig::default().explore,
                experiment: Some(ExperimentConfig {
                    hold_out_share: self.scene.hold_out_share,
                    seed: self.scene.seed,
                }),
            })),
            ..CampaignConfig::default()
        };
        let Reply::Campaign(id, _) = self.ask(Command::CreateCampaign(Box::new(config))) else {
            panic!("a campaign is made")
        };
        self.ask(Command::StartCampaign(id));
    }

    fn ask(&mut self, command: Command) -> Reply {
        self.input(Input::Command { tag: 0, command });
        self.replies.pop().expect("granted")
    }

    fn after(&mut self, ms: u64, input: Input) {
        self.order += 1;
        self.coming.insert((self.now + Duration::from_millis(ms), self.order), input);
    }

    fn wall(&self) -> WallTime {
        START.plus_millis(i64::try_from(self.now.as_millis()).unwrap_or(i64::MAX))
    }

    fn input(&mut self, input: Input) {
        self.dialer.handle_input(self.now, input, &mut self.out);
        self.effects();
    }

    fn effects(&mut self) {
        let effects: Vec<Effect> = self.out.drain().collect();
        for effect in effects {
            match effect {
                Effect::Journal(records) => records.iter().for_each(|record| self.keep(record)),
                Effect::Reply { result, .. } => self.replies.push(result.expect("granted")),
                Effect::LoadLeads { campaign, lists, limit, due_at, .. } => {
                    self.load(campaign, &lists, limit as usize, due_at);
                }
                Effect::Call(order) => self.obey(order),
                _ => {}
            }
        }
    }

    fn keep(&mut self, record: &Record) {
        match record {
            Record::LeadChanged(progress) => {
                if let Some(lead) = self.leads.get_mut(&progress.lead) {
                    lead.progress = progress.clone();
                }
            }
            Record::AttemptStarted(row) => {
                self.called.extend(row.lead.map(|lead| (row.call, lead)));
            }
            Record::BestTimeSeen { arm, answered, .. } => {
                let arm = &mut self.arms[usize::from(*arm == ExperimentArm::Chosen)];
                arm.calls += 1;
                arm.answers += u64::from(*answered);
            }
            Record::CallEnded(record) => drop(self.called.remove(&record.call)),
            _ => {}
        }
    }

    fn load(&mut self, campaign: CampaignId, lists: &[ListId], limit: usize, due: WallTime) {
        let waits = |lead: &&Lead| {
            lists.contains(&lead.list) && matches!(lead.progress.state, LeadState::New | LeadState::RetryWait)
        };
        let due_now = |lead: &&Lead| lead.progress.next_at.is_none_or(|at| at <= due);
        let leads: Vec<Lead> =
            self.leads.values().filter(waits).filter(due_now).take(limit).cloned().collect();
        let later = self.leads.values().filter(waits).filter(|lead| !due_now(lead));
        let next_due = later.filter_map(|lead| lead.progress.next_at).min();
        let more = leads.len() == limit;
        self.after(10, Input::LeadsLoaded { campaign, leads, more, next_due });
    }

    fn obey(&mut self, order: CallOrder) {
        match order {
            CallOrder::DialCustomer { call, .. } => {
                let lead = &self.leads[&self.called[&call]];
                let evening = lead.phones[0].kind.as_deref() == Some("evening");
                let minutes = self.wall().unix_millis().div_euclid(60_000).rem_euclid(24 * 60);
                let hour = u16::try_from(minutes / 60).unwrap_or(0);
                let answers = self.rng.chance(answer_chance(evening, hour, self.scene.structured));
                self.after(10, Input::Call(CallFact::Dialled { call }));
                if answers {
                    let ring = 3_000 + self.rng.below(12_000);
                    self.after(ring, Input::Call(CallFact::Answered { call }));
                } else {
                    self.after(25_000, ended(call, Party::System, EndCause::NoAnswer));
                }
            }
            CallOrder::Play { call, .. } => {
                self.after(10_000, Input::Call(CallFact::MessagePlayed { call }));
            }
            CallOrder::Hangup { call, cause, by } => self.after(10, ended(call, by, cause)),
            _ => {}
        }
    }

    fn run_until(&mut self, until: Instant) {
        loop {
            let fact = self.coming.first_key_value().map(|((at, _), _)| *at);
            let next = [fact, self.dialer.poll_timeout()].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= until) else { return };
            self.now = self.now.max(next);
            if fact == Some(next) {
                let (_, input) = self.coming.pop_first().expect("looked at above");
                self.input(input);
            } else {
                self.dialer.handle_timeout(self.now, &mut self.out);
                self.effects();
            }
        }
    }
}

fn ended(call: CallId, by: Party, cause: EndCause) -> Input {
    Input::Call(CallFact::Ended { call, by, cause, sip_code: None, q850: None })
}
