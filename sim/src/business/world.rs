//! The call centre and its callees, played second by second; the dialler under test sees what a dialler sees.

use super::scenario::{Campaign, Scenario};
use dialer_core::pacing::{
    AgentRef, AgentState, AgentView, CallRef, CallView, CampaignRef, DialTraits, Outcome, PacingEvent,
};
use sansio::{Duration, Instant, Rng};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// What is true at a tick, for the dialler under test.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// Now, on the clock that runs through all days.
    pub now: Instant,
    /// Seconds since the shift began.
    pub second: f64,
    /// All agents, logged in or not.
    pub agents: &'a [AgentView<'a>],
    /// Calls without an agent, of all campaigns.
    pub calls: &'a [CallView],
    /// Inbound calls that wait.
    pub inbound_waiting: u32,
    /// Free lines.
    pub lines_free: u32,
    /// Calls that may start in this tick.
    pub cps_allowance: u32,
    /// Leads left today, per campaign.
    pub leads_left: &'a [Option<u64>],
    /// Length of the shift, seconds, if the dialler may know.
    pub shift_s: Option<f64>,
    /// What is true of each campaign this moment: for bounds only, no dialler can know it.
    pub truth: &'a [Truth],
}

/// What no dialler can know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    /// Probability that a dial is answered by a person, given endless ringing.
    pub answer: f64,
    /// Factor on talk times.
    pub talk: f64,
}

/// A dialler under test.
pub trait Dialler {
    /// Learns from one happening.
    fn observe(&mut self, now: Instant, event: &PacingEvent);

    /// How many calls to dial now for the campaign; calls to give up are written to `cancel`.
    fn decide(&mut self, campaign: CampaignRef, snapshot: &Snapshot<'_>, cancel: &mut Vec<CallRef>) -> u32;

    /// True for the bound that knows every answer and every hang-up: an agent who becomes idle finds a person on
    /// the line.
    fn is_clairvoyant(&self) -> bool {
        false
    }
}

/// One campaign's day.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CampaignDay {
    /// Calls dialled.
    pub dialed: u64,
    /// Answered by a person.
    pub live: u64,
    /// Of these, abandoned.
    pub abandoned: u64,
    /// Live answers of the first half hour.
    pub first_live: u64,
    /// Of these, abandoned.
    pub first_abandoned: u64,
    /// Calls given up while ringing.
    pub cancelled: u64,
}

/// One day.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Day {
    /// Agent-seconds in talk or wrap-up, inbound too.
    pub busy_s: f64,
    /// Agent-seconds logged in and not on a break.
    pub working_s: f64,
    /// Per campaign.
    pub campaigns: Vec<CampaignDay>,
    /// Inbound calls that came, and that gave up.
    pub inbound: (u64, u64),
    /// Decisions asked for.
    pub decisions: u64,
}

/// What a scheduled moment brings.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Login(u32),
    Alerts(u32),
    CallEnds(u32),
    Abandon(u32),
    TalkEnds(u32),
    WrapUpEnds(u32),
    BreakDue(u32),
    BreakEnds(u32),
    InboundArrives,
    InboundGivesUp(u64),
}

/// Order of the queue: time, then order of scheduling. Times are not negative, so their bits sort like them.
type Entry = Reverse<(u64, u64, u32)>;

#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    outcome: Outcome,
    pub(super) ends: f64,
    /// A machine taken for a person: talks to an agent, but is no live answer.
    missed_machine: bool,
    /// A person taken for a machine and hung up on.
    false_machine: bool,
}

impl Fate {
    /// Draws what will become of a dial that a person would answer with probability `p`; `ends` counts from dialling.
    pub(super) fn draw(world: &Campaign, p: f64, rng: &mut Rng) -> Fate {
        // Drawn in any case, so that policies meet the same callees as far as they can.
        let (who, kind, verdict) = (rng.unit(), rng.unit(), rng.unit());
        let mut ring = 0.0; // of mean 1
        for _ in 0..world.ring_shape {
            ring += rng.exponential(1.0 / f64::from(world.ring_shape));
        }
        let quick = world.post_dial_delay_s;
        let answered = quick + world.ring.as_ref().map_or(ring * world.ring_mean_s, |given| given.draw(rng));
        let machine_answered = quick
            + world.machine_ring.as_ref().map_or(ring * world.machine_ring_mean_s, |given| given.draw(rng));
        let limit = quick + world.ring_limit_s;
        let mut fate =
            Fate { outcome: Outcome::NoAnswer, ends: limit, missed_machine: false, false_machine: false };
        if who < p {
            if answered <= limit {
                fate.ends = answered + world.detection.delay_s;
                fate.outcome = Outcome::Human;
                fate.false_machine = verdict < world.detection.false_machine;
            }
        } else if kind < world.machine {
            if machine_answered <= limit {
                fate.ends = machine_answered + world.detection.delay_s;
                fate.missed_machine = verdict < world.detection.missed_machine;
                fate.outcome = if fate.missed_machine { Outcome::Human } else { Outcome::Machine };
            }
        } else if kind < world.machine + world.busy {
            (fate.outcome, fate.ends) = (Outcome::Busy, quick + verdict);
        } else if kind < world.machine + world.busy + world.sit {
            (fate.outcome, fate.ends) = (Outcome::Sit, quick + verdict);
        }
        fate
    }

    /// What the dialler is told.
    pub(super) fn told(&self) -> Outcome {
        if self.false_machine { Outcome::Machine } else { self.outcome }
    }
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    call: u32,
    since: f64,
    missed_machine: bool,
}

/// The answer probability as it moves.
#[derive(Clone, Debug)]
struct Answering {
    noise: f64,
    burst_until: f64,
    next_burst: f64,
}

/// The world of one scenario and seed. Days follow each other in it.
pub struct World<'s> {
    scenario: &'s Scenario,
    serves: &'s [Vec<CampaignRef>],
    rng_calls: Rng,
    rng_agents: Rng,
    rng_inbound: Rng,
    rng_noise: Rng,
    speeds: Vec<f64>,
    day: u32,
    queue: BinaryHeap<Entry>,
    happenings: Vec<Happening>,
    free_slots: Vec<u32>,
    sequence: u64,
    now: f64,
    agents: Vec<AgentView<'s>>,
    /// Whole time stamps of agents' states and what they are in, seconds of the day.
    since: Vec<f64>,
    break_due: Vec<bool>,
    /// Agents idle, longest first.
    idle: VecDeque<u32>,
    calls: Vec<CallView>,
    fates: Vec<Option<Fate>>,
    /// Where in `calls` a call is.
    places: Vec<usize>,
    waiting: VecDeque<Waiting>,
    inbound_waiting: VecDeque<(u64, f64)>,
    inbound_number: u64,
    talking: u32,
    answering: Vec<Answering>,
    leads_left: Vec<Option<u64>>,
    result: Day,
    tokens: f64,
    truth: Vec<Truth>,
    shift_s: f64,
}

/// Which campaigns each agent serves: agents are dealt out to the campaigns; the share `shared` of them also serves
/// the next campaign.
#[must_use]
pub fn assignment(scenario: &Scenario) -> Vec<Vec<CampaignRef>> {
    let campaigns = scenario.campaigns.len() as u32;
    (0..scenario.agents)
        .map(|agent| {
            let home = agent % campaigns;
            let mut serves = vec![CampaignRef(home)];
            let round = f64::from(agent / campaigns);
            let both = ((round + 1.0) * scenario.shared).floor() > (round * scenario.shared).floor();
            if campaigns > 1 && both {
                serves.push(CampaignRef((home + 1) % campaigns));
                serves.sort_unstable();
            }
            serves
        })
        .collect()
}

impl<'s> World<'s> {
    /// A world before its first day.
    #[must_use]
    pub fn new(scenario: &'s Scenario, serves: &'s [Vec<CampaignRef>], seed: u64) -> Self {
        let root = Rng::from_seed(seed);
        let mut rng_agents = root.child("agents");
        let sd = scenario.speed_sd;
        let speeds = (0..scenario.agents).map(|_| (sd * rng_agents.normal() - sd * sd / 2.0).exp()).collect();
        World {
            scenario,
            serves,
            rng_calls: root.child("calls"),
            rng_agents,
            rng_inbound: root.child("inbound"),
            rng_noise: root.child("noise"),
            speeds,
            day: 0,
            queue: BinaryHeap::new(),
            happenings: Vec::new(),
            free_slots: Vec::new(),
            sequence: 0,
            now: 0.0,
            agents: Vec::new(),
            since: Vec::new(),
            break_due: Vec::new(),
            idle: VecDeque::new(),
            calls: Vec::new(),
            fates: Vec::new(),
            places: Vec::new(),
            waiting: VecDeque::new(),
            inbound_waiting: VecDeque::new(),
            inbound_number: 0,
            talking: 0,
            answering: Vec::new(),
            leads_left: Vec::new(),
            result: Day::default(),
            tokens: 0.0,
            truth: Vec::new(),
            shift_s: scenario.shift_h * 3_600.0,
        }
    }

    /// Plays one day.
    pub fn play(&mut self, dialler: &mut dyn Dialler) -> Day {
        self.begin_day(dialler);
        let tick = self.scenario.tick_s;
        let ticks = (self.shift_s / tick).round() as u64;
        for number in 0..ticks {
            let at = number as f64 * tick;
            self.run_until(at, dialler);
            self.tick(tick, dialler);
        }
        self.run_until(self.shift_s, dialler);
        self.close_books();
        // Calls still in flight end as they will; agents stay for them.
        self.run_until(self.shift_s + 300.0, dialler);
        self.day += 1;
        std::mem::take(&mut self.result)
    }

    fn begin_day(&mut self, dialler: &mut dyn Dialler) {
        let campaigns = self.scenario.campaigns.len();
        self.queue.clear();
        self.happenings.clear();
        self.free_slots.clear();
        self.now = 0.0;
        self.result = Day { campaigns: vec![CampaignDay::default(); campaigns], ..Day::default() };
        self.idle.clear();
        self.calls.clear();
        self.fates.clear();
        self.places.clear();
        self.waiting.clear();
        self.inbound_waiting.clear();
        self.talking = 0;
        self.tokens = 0.0;
        self.leads_left = self.scenario.campaigns.iter().map(|campaign| campaign.leads).collect();
        self.answering = self
            .scenario
            .campaigns
            .iter()
            .map(|campaign| Answering {
                noise: campaign.noise_sd * self.rng_noise.normal(),
                burst_until: -1.0,
                next_burst: campaign.bursts.map_or(f64::INFINITY, |b| self.rng_noise.exponential(b.every_s)),
            })
            .collect();
        let start = self.instant();
        self.agents = (0..self.scenario.agents)
            .map(|i| AgentView {
                agent: AgentRef(i),
                state: AgentState::LoggedOut,
                since: start,
                campaign: None,
                serves: &self.serves[i as usize],
                leaving: false,
                free_at: None,
                busy_until: None,
                leaves_at: None,
            })
            .collect();
        self.since = vec![0.0; self.agents.len()];
        self.break_due = vec![false; self.agents.len()];
        dialler.observe(start, &PacingEvent::DayStarted { day: self.day });
        for agent in 0..self.scenario.agents {
            let at = self.rng_agents.between(0.0, self.scenario.login_s.max(1e-3));
            self.schedule(at, Happening::Login(agent));
        }
        if let Some(inbound) = &self.scenario.inbound
            && inbound.per_hour > 0.0
        {
            let at = self.rng_inbound.exponential(3_600.0 / inbound.per_hour);
            self.schedule(at, Happening::InboundArrives);
        }
    }

    fn instant(&self) -> Instant {
        self.instant_of(self.now)
    }

    fn instant_of(&self, second: f64) -> Instant {
        // Days are counted from 1, so that there is time before the first.
        Instant::from_nanos((u64::from(self.day) + 1) * 86_400_000_000_000 + (second * 1e9) as u64)
    }

    fn schedule(&mut self, at: f64, what: Happening) {
        let slot = match self.free_slots.pop() {
            Some(slot) => {
                self.happenings[slot as usize] = what;
                slot
            }
            None => {
                self.happenings.push(what);
                self.happenings.len() as u32 - 1
            }
        };
        self.sequence += 1;
        self.queue.push(Reverse((at.max(0.0).to_bits(), self.sequence, slot)));
    }

    fn run_until(&mut self, until: f64, dialler: &mut dyn Dialler) {
        while let Some(&Reverse((bits, _, slot))) = self.queue.peek() {
            let at = f64::from_bits(bits);
            if at > until {
                break;
            }
            self.queue.pop();
            self.now = at;
            let what = self.happenings[slot as usize];
            self.free_slots.push(slot);
            self.happen(what, dialler);
        }
        self.now = until;
    }

    fn happen(&mut self, what: Happening, dialler: &mut dyn Dialler) {
        match what {
            Happening::Login(agent) => {
                dialler.observe(self.instant(), &PacingEvent::AgentLoggedIn(AgentRef(agent)));
                self.plan_break(agent);
                self.becomes_idle(agent, dialler);
            }
            Happening::Alerts(call) => self.alerts(call, dialler),
            Happening::CallEnds(call) => self.call_ends(call, dialler),
            Happening::Abandon(call) => self.abandon(call, dialler),
            Happening::TalkEnds(agent) => self.talk_ends(agent, dialler),
            Happening::WrapUpEnds(agent) => self.wrap_up_ends(agent, dialler),
            Happening::BreakDue(agent) => self.break_is_due(agent, dialler),
            Happening::BreakEnds(agent) => {
                self.plan_break(agent);
                self.becomes_idle(agent, dialler);
            }
            Happening::InboundArrives => self.inbound_arrives(dialler),
            Happening::InboundGivesUp(number) => {
                let before = self.inbound_waiting.len();
                self.inbound_waiting.retain(|(waiting, _)| *waiting != number);
                self.result.inbound.1 += (before - self.inbound_waiting.len()) as u64;
            }
        }
    }

    // ---- agents

    fn set_state(&mut self, agent: u32, state: AgentState, campaign: Option<CampaignRef>) {
        let index = agent as usize;
        let from = self.since[index];
        let spent = (self.now.min(self.shift_s) - from.min(self.shift_s)).max(0.0);
        account(&mut self.result, self.agents[index].state, spent);
        self.since[index] = self.now;
        let since = self.instant();
        let view = &mut self.agents[index];
        view.state = state;
        view.campaign = campaign;
        view.since = since;
        view.leaving = self.break_due[index];
    }

    fn close_books(&mut self) {
        for index in 0..self.agents.len() {
            let spent = (self.shift_s - self.since[index]).max(0.0);
            account(&mut self.result, self.agents[index].state, spent);
            self.since[index] = self.shift_s;
        }
    }

    fn plan_break(&mut self, agent: u32) {
        if self.scenario.break_every_h > 0.0 {
            let at = self.now + self.rng_agents.exponential(self.scenario.break_every_h * 3_600.0);
            self.schedule(at, Happening::BreakDue(agent));
        }
    }

    fn break_is_due(&mut self, agent: u32, dialler: &mut dyn Dialler) {
        let index = agent as usize;
        if self.agents[index].state == AgentState::Idle {
            self.idle.retain(|idle| *idle != agent);
            self.goes_on_break(agent, dialler);
        } else {
            self.break_due[index] = true;
            self.agents[index].leaving = true;
        }
    }

    fn goes_on_break(&mut self, agent: u32, dialler: &mut dyn Dialler) {
        self.break_due[agent as usize] = false;
        self.set_state(agent, AgentState::OnBreak, None);
        dialler.observe(self.instant(), &PacingEvent::AgentOnBreak(AgentRef(agent)));
        let at = self.now + self.rng_agents.exponential(self.scenario.break_min.max(0.01) * 60.0);
        self.schedule(at, Happening::BreakEnds(agent));
    }

    fn becomes_idle(&mut self, agent: u32, dialler: &mut dyn Dialler) {
        self.set_state(agent, AgentState::Idle, None);
        dialler.observe(self.instant(), &PacingEvent::AgentIdle(AgentRef(agent)));
        if self.inbound_waiting.pop_front().is_some() {
            self.take_inbound(agent, dialler);
            return;
        }
        let serves = self.agents[agent as usize].serves;
        let place = self.waiting.iter().position(|waiting| {
            let campaign = self.calls[self.places[waiting.call as usize]].campaign;
            serves.contains(&campaign)
        });
        match place.and_then(|place| self.waiting.remove(place)) {
            Some(waiting) => self.connect(agent, waiting, dialler),
            None if dialler.is_clairvoyant() && self.now < self.shift_s => self.foreseen(agent, dialler),
            None => self.idle.push_back(agent),
        }
    }

    /// The answer that the clairvoyant arranged for this moment.
    fn foreseen(&mut self, agent: u32, dialler: &mut dyn Dialler) {
        let campaign = self.agents[agent as usize].serves[0];
        self.dial(campaign, dialler);
        let number = self.fates.len() as u32 - 1;
        self.result.campaigns[campaign.0 as usize].live += 1;
        self.connect(agent, Waiting { call: number, since: self.now, missed_machine: false }, dialler);
    }

    fn talk_ends(&mut self, agent: u32, dialler: &mut dyn Dialler) {
        let index = agent as usize;
        let lasted = Duration::from_secs_f64(self.now - self.since[index]);
        let who = AgentRef(agent);
        self.talking -= 1;
        let (wrap, state, campaign) = match self.agents[index].campaign {
            Some(campaign) => {
                dialler.observe(self.instant(), &PacingEvent::TalkEnded { agent: who, campaign, lasted });
                let wrap = &self.scenario.campaigns[campaign.0 as usize].wrap_up;
                (wrap, AgentState::WrapUp, Some(campaign))
            }
            None => {
                dialler.observe(self.instant(), &PacingEvent::InboundTalkEnded { agent: who, lasted });
                let Some(inbound) = &self.scenario.inbound else { return };
                (&inbound.wrap_up, AgentState::InboundWrapUp, None)
            }
        };
        let lasts = wrap.draw(&mut self.rng_agents) * self.speeds[index];
        self.set_state(agent, state, campaign);
        self.schedule(self.now + lasts, Happening::WrapUpEnds(agent));
    }

    fn wrap_up_ends(&mut self, agent: u32, dialler: &mut dyn Dialler) {
        let index = agent as usize;
        let lasted = Duration::from_secs_f64(self.now - self.since[index]);
        let who = AgentRef(agent);
        let event = match self.agents[index].campaign {
            Some(campaign) => PacingEvent::WrapUpEnded { agent: who, campaign, lasted },
            None => PacingEvent::InboundWrapUpEnded { agent: who, lasted },
        };
        dialler.observe(self.instant(), &event);
        if self.break_due[index] {
            self.goes_on_break(agent, dialler)
        } else {
            self.becomes_idle(agent, dialler)
        }
    }

    // ---- calls

    fn tick(&mut self, tick_s: f64, dialler: &mut dyn Dialler) {
        self.move_answering(tick_s);
        let campaigns = self.scenario.campaigns.len();
        let rate = self.scenario.calls_per_second;
        if rate > 0.0 {
            self.tokens = (self.tokens + rate * tick_s).min((2.0 * rate).max(1.0));
        }
        // The first to choose changes from tick to tick.
        let first = (self.now / tick_s) as usize % campaigns;
        let mut truth = std::mem::take(&mut self.truth);
        truth.clear();
        truth.extend((0..campaigns as u32).map(|campaign| self.truth_of(CampaignRef(campaign))));
        let mut cancel = Vec::new();
        for turn in 0..campaigns {
            let campaign = CampaignRef(((first + turn) % campaigns) as u32);
            let lines_free = self.scenario.lines().saturating_sub(self.calls.len() as u32 + self.talking);
            let cps_allowance = if rate > 0.0 { self.tokens as u32 } else { u32::MAX };
            let snapshot = Snapshot {
                now: self.instant(),
                second: self.now,
                agents: &self.agents,
                calls: &self.calls,
                inbound_waiting: self.inbound_waiting.len() as u32,
                lines_free,
                cps_allowance,
                leads_left: &self.leads_left,
                shift_s: self.scenario.end_known.then_some(self.shift_s),
                truth: &truth,
            };
            cancel.clear();
            let wanted = dialler.decide(campaign, &snapshot, &mut cancel);
            self.result.decisions += 1;
            let mut dial = wanted.min(lines_free).min(cps_allowance);
            if let Some(left) = &mut self.leads_left[campaign.0 as usize] {
                dial = dial.min(u32::try_from(*left).unwrap_or(u32::MAX));
                *left -= u64::from(dial);
            }
            self.tokens -= f64::from(dial);
            for _ in 0..dial {
                self.dial(campaign, dialler);
            }
            for call in cancel.drain(..) {
                self.cancel(call, dialler);
            }
        }
        self.truth = truth;
    }

    fn dial(&mut self, campaign: CampaignRef, dialler: &mut dyn Dialler) {
        let fate = self.draw_fate(campaign);
        let number = self.fates.len() as u32;
        self.fates.push(Some(fate));
        self.places.push(self.calls.len());
        // Numbers are unique over all days.
        let call = CallRef(u64::from(self.day) << 32 | u64::from(number));
        let dialed_at = self.instant();
        self.calls.push(CallView {
            call,
            campaign,
            dialed_at,
            alerting_at: None,
            detecting_since: None,
            answered_at: None,
            traits: DialTraits::default(),
            answer_probability: None,
        });
        self.result.campaigns[campaign.0 as usize].dialed += 1;
        dialler.observe(dialed_at, &PacingEvent::Dialed { call, campaign, traits: DialTraits::default() });
        if !matches!(fate.outcome, Outcome::Busy | Outcome::Sit) {
            let delay = self.scenario.campaigns[campaign.0 as usize].post_dial_delay_s;
            self.schedule(self.now + delay, Happening::Alerts(number));
        }
        self.schedule(fate.ends, Happening::CallEnds(number));
    }

    fn draw_fate(&mut self, campaign: CampaignRef) -> Fate {
        let world = &self.scenario.campaigns[campaign.0 as usize];
        let mut fate = Fate::draw(world, self.truth_of(campaign).answer, &mut self.rng_calls);
        fate.ends += self.now;
        fate
    }

    fn truth_of(&self, campaign: CampaignRef) -> Truth {
        let world = &self.scenario.campaigns[campaign.0 as usize];
        let answering = &self.answering[campaign.0 as usize];
        let hour = self.now / 3_600.0;
        let talk = world.jumps.iter().rfind(|jump| jump.at_h <= hour).map_or(1.0, |jump| jump.talk);
        Truth { answer: answer_probability(world, answering, self.now / self.shift_s, self.now), talk }
    }

    /// How much slower than the average each agent is.
    #[must_use]
    pub fn speeds(&self) -> &[f64] {
        &self.speeds
    }

    fn alerts(&mut self, number: u32, dialler: &mut dyn Dialler) {
        if self.fates[number as usize].is_some() {
            let now = self.instant();
            let view = &mut self.calls[self.places[number as usize]];
            view.alerting_at = Some(now);
            dialler.observe(now, &PacingEvent::Alerting { call: view.call });
        }
    }

    fn forget(&mut self, number: u32) {
        let place = self.places[number as usize];
        self.calls.swap_remove(place);
        if let Some(moved) = self.calls.get(place) {
            self.places[(moved.call.0 & 0xFFFF_FFFF) as usize] = place;
        }
        self.fates[number as usize] = None;
    }

    fn cancel(&mut self, call: CallRef, dialler: &mut dyn Dialler) {
        let number = (call.0 & 0xFFFF_FFFF) as u32;
        let today = call.0 >> 32 == u64::from(self.day);
        if !today || self.fates.get(number as usize).is_none_or(|fate| fate.is_none()) {
            return;
        }
        let view = self.calls[self.places[number as usize]];
        if view.answered_at.is_some() {
            return;
        }
        let after = self.instant().since(view.dialed_at);
        self.forget(number);
        self.result.campaigns[view.campaign.0 as usize].cancelled += 1;
        let (campaign, outcome) = (view.campaign, Outcome::Cancelled);
        dialler.observe(self.instant(), &PacingEvent::Resolved { call, campaign, outcome, after });
    }

    fn call_ends(&mut self, number: u32, dialler: &mut dyn Dialler) {
        let Some(fate) = self.fates[number as usize] else { return };
        let view = self.calls[self.places[number as usize]];
        let (call, campaign) = (view.call, view.campaign);
        let after = self.instant().since(view.dialed_at);
        let outcome = fate.told();
        let first = self.now < 1_800.0;
        let today = &mut self.result.campaigns[campaign.0 as usize];
        let live = fate.outcome == Outcome::Human && !fate.missed_machine;
        today.live += u64::from(live);
        today.first_live += u64::from(live && first);
        if fate.false_machine {
            // Hung up on: the person was live and is abandoned; the dialler believes in a machine.
            today.abandoned += 1;
            today.first_abandoned += u64::from(first);
        }
        dialler.observe(self.instant(), &PacingEvent::Resolved { call, campaign, outcome, after });
        if outcome != Outcome::Human {
            self.forget(number);
            return;
        }
        let waiting = Waiting { call: number, since: self.now, missed_machine: fate.missed_machine };
        let place =
            self.idle.iter().position(|&agent| self.agents[agent as usize].serves.contains(&campaign));
        match place.and_then(|place| self.idle.remove(place)) {
            Some(agent) => self.connect(agent, waiting, dialler),
            None => {
                let now = self.instant();
                self.calls[self.places[number as usize]].answered_at = Some(now);
                self.waiting.push_back(waiting);
                self.schedule(self.now + self.scenario.patience_s, Happening::Abandon(number));
            }
        }
    }

    fn connect(&mut self, agent: u32, waiting: Waiting, dialler: &mut dyn Dialler) {
        let view = self.calls[self.places[waiting.call as usize]];
        let waited = Duration::from_secs_f64(self.now - waiting.since);
        let (call, campaign) = (view.call, view.campaign);
        dialler.observe(
            self.instant(),
            &PacingEvent::Connected { call, campaign, agent: AgentRef(agent), waited },
        );
        self.forget(waiting.call);
        self.talking += 1;
        self.set_state(agent, AgentState::Talking, Some(campaign));
        let lasts = if waiting.missed_machine {
            self.rng_agents.between(4.0, 10.0)
        } else {
            let world = &self.scenario.campaigns[campaign.0 as usize];
            let factor = self.truth_of(campaign).talk;
            world.talk.draw(&mut self.rng_agents) * self.speeds[agent as usize] * factor
        };
        self.schedule(self.now + lasts, Happening::TalkEnds(agent));
    }

    fn abandon(&mut self, number: u32, dialler: &mut dyn Dialler) {
        let Some(place) = self.waiting.iter().position(|waiting| waiting.call == number) else { return };
        let Some(waiting) = self.waiting.remove(place) else { return };
        let view = self.calls[self.places[number as usize]];
        let waited = Duration::from_secs_f64(self.now - waiting.since);
        let (call, campaign) = (view.call, view.campaign);
        let today = &mut self.result.campaigns[campaign.0 as usize];
        today.abandoned += u64::from(!waiting.missed_machine);
        today.first_abandoned += u64::from(!waiting.missed_machine && waiting.since < 1_800.0);
        dialler.observe(self.instant(), &PacingEvent::Abandoned { call, campaign, waited });
        self.forget(number);
    }

    // ---- inbound

    fn inbound_arrives(&mut self, dialler: &mut dyn Dialler) {
        let Some(inbound) = &self.scenario.inbound else { return };
        if self.now > self.shift_s {
            return;
        }
        self.result.inbound.0 += 1;
        let next = self.now + self.rng_inbound.exponential(3_600.0 / inbound.per_hour);
        self.schedule(next, Happening::InboundArrives);
        dialler.observe(self.instant(), &PacingEvent::InboundArrived);
        match self.idle.pop_front() {
            Some(agent) => self.take_inbound(agent, dialler),
            None => {
                self.inbound_number += 1;
                self.inbound_waiting.push_back((self.inbound_number, self.now));
                let patience = self.rng_inbound.exponential(inbound.patience_s);
                self.schedule(self.now + patience, Happening::InboundGivesUp(self.inbound_number));
            }
        }
    }

    fn take_inbound(&mut self, agent: u32, dialler: &mut dyn Dialler) {
        let Some(inbound) = &self.scenario.inbound else { return };
        dialler.observe(self.instant(), &PacingEvent::InboundConnected(AgentRef(agent)));
        self.talking += 1;
        self.set_state(agent, AgentState::InboundTalking, None);
        let lasts = inbound.talk.draw(&mut self.rng_inbound) * self.speeds[agent as usize];
        self.schedule(self.now + lasts, Happening::TalkEnds(agent));
    }

    // ---- callees

    fn move_answering(&mut self, tick_s: f64) {
        for (campaign, answering) in self.scenario.campaigns.iter().zip(&mut self.answering) {
            if campaign.noise_sd > 0.0 {
                let keep = (-tick_s / campaign.noise_s).exp();
                answering.noise = answering.noise * keep
                    + campaign.noise_sd * (1.0 - keep * keep).sqrt() * self.rng_noise.normal();
            }
            if let Some(bursts) = campaign.bursts
                && self.now >= answering.next_burst
            {
                answering.burst_until = self.now + bursts.lasts_s;
                answering.next_burst = answering.burst_until + self.rng_noise.exponential(bursts.every_s);
            }
        }
    }
}

fn account(day: &mut Day, state: AgentState, spent: f64) {
    match state {
        AgentState::LoggedOut | AgentState::OnBreak => {}
        AgentState::Idle | AgentState::Listening | AgentState::Reserved => day.working_s += spent,
        AgentState::Talking | AgentState::WrapUp | AgentState::InboundTalking | AgentState::InboundWrapUp => {
            day.working_s += spent;
            day.busy_s += spent;
        }
    }
}

fn answer_probability(campaign: &Campaign, answering: &Answering, share: f64, now: f64) -> f64 {
    let mut p = campaign.answer;
    if campaign.profile.len() > 1 {
        let place = share.clamp(0.0, 1.0) * (campaign.profile.len() - 1) as f64;
        let index = (place as usize).min(campaign.profile.len() - 2);
        let part = place - index as f64;
        p *= campaign.profile[index] * (1.0 - part) + campaign.profile[index + 1] * part;
    } else if let Some(factor) = campaign.profile.first() {
        p *= factor;
    }
    let hour = now / 3_600.0;
    p *= campaign.jumps.iter().rfind(|jump| jump.at_h <= hour).map_or(1.0, |jump| jump.answer);
    if now < answering.burst_until {
        p *= campaign.bursts.map_or(1.0, |bursts| bursts.answer);
    }
    let p = p.clamp(1e-6, 0.98);
    let moved = answering.noise + campaign.trend * share;
    if moved == 0.0 { p } else { 1.0 / (1.0 + (-((p / (1.0 - p)).ln() + moved)).exp()) }
}
