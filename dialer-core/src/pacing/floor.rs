//! All campaigns of one house behind one [`Pacer`].

use super::decision::{Decision, Explain, LimitedBy};
use super::estimate::{LifeTable, Residual, Speeds};
use super::forecast::{BELIEFS, ByMoment, MOMENTS, Meeting};
use super::predictive::{Beliefs, Learned, allowance, dial_while_safe};
use super::simple::{Counted, held, progressive, ratio, serves, within_limits};
use super::{
    AgentState, AgentView, CallRef, CallView, CampaignRef, Outcome, Pacer, PacingEvent, PacingView, limits,
};
use core::time::Duration;
use sansio::Instant;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// How a campaign is dialled.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// An agent looks at the lead and orders the call; the pacer dials nothing.
    Preview,
    /// One call per idle agent.
    #[default]
    Progressive,
    /// So many calls in flight per idle agent, e.g. 1.5. Abandonment is what it is.
    Ratio(f64),
    /// As many as the forecast and the abandonment budget bear.
    Predictive,
    /// No agents: keep so many lines in flight.
    Agentless(u32),
}

/// Whether ringing calls may be given up when agents run short.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CancelPolicy {
    /// May they at all?
    pub allowed: bool,
    /// Not before the call has rung for so long (15 s by 16 CFR 310.4(b)(4)(ii)).
    pub ring_min: Duration,
}

impl Default for CancelPolicy {
    fn default() -> Self {
        CancelPolicy { allowed: false, ring_min: Duration::from_secs(15) }
    }
}

/// What the pacer must know of a campaign.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct CampaignPacing {
    /// How it is dialled.
    pub mode: Mode,
    /// Giving up ringing calls.
    pub cancel: CancelPolicy,
    /// From answer to the moment the call counts as abandoned.
    pub patience: Duration,
    /// Weight against other campaigns that share agents, > 0.
    pub weight: f64,
    /// Share of people whom machine detection takes for machines and hangs up on, 0..=0.5, as measured or as the
    /// policy pack has it estimated. They are live and abandoned in the eyes of the law, so the budget is reserved.
    pub false_machine: f64,
    /// Share of the calls passed on as answered by a person that are machines detection missed, 0..=0.5. They are no
    /// live answers in the eyes of the law.
    pub missed_machine: f64,
}

impl Default for CampaignPacing {
    fn default() -> Self {
        CampaignPacing {
            mode: Mode::default(),
            cancel: CancelPolicy::default(),
            patience: Duration::from_secs(2),
            weight: 1.0,
            false_machine: 0.0,
            missed_machine: 0.0,
        }
    }
}

/// A call as the pacer remembers it.
#[derive(Clone, Copy, Debug)]
struct Underway {
    campaign: CampaignRef,
    risk: f32,
    answered: bool,
}

#[derive(Clone, Debug, Default)]
struct Campaign {
    pacing: CampaignPacing,
    learned: Learned,
    /// Risks of the dials decided last, until each is reported as dialled.
    decided: VecDeque<f32>,
}

/// Talk and wrap-up of inbound calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Inbound {
    talk: LifeTable,
    wrap_up: LifeTable,
    #[serde(skip)]
    talking: Residual,
    #[serde(skip)]
    wrapping: Residual,
    #[serde(skip)]
    stale: u32,
    /// Arrivals lately, and the seconds they came in.
    arrivals: f64,
    seconds: f64,
}

impl Default for Inbound {
    fn default() -> Self {
        let mut inbound = Inbound {
            talk: LifeTable::new(150.0, 1.0),
            wrap_up: LifeTable::new(15.0, 1.0),
            talking: Residual::default(),
            wrapping: Residual::default(),
            stale: 0,
            arrivals: 0.0,
            seconds: 0.0,
        };
        inbound.rebuild();
        inbound
    }
}

impl Inbound {
    const REACH_S: f64 = 60.0;
    const MEMORY_S: f64 = 1_800.0;

    fn rebuild(&mut self) {
        self.talk.refresh();
        self.wrap_up.refresh();
        self.talking.of_two(&self.talk, &self.wrap_up, Self::REACH_S);
        self.wrapping.of_one(&self.wrap_up, Self::REACH_S);
        self.stale = 0;
    }

    fn lasted(&mut self) {
        self.stale += 1;
        if self.stale >= 20 || self.talk.seen() < 20 {
            self.rebuild();
        }
    }

    fn elapse(&mut self, seconds: f64) {
        let keep = (-seconds / Self::MEMORY_S).exp();
        self.arrivals *= keep;
        self.seconds = self.seconds * keep + seconds;
    }

    /// Arrivals per second, lately.
    fn rate(&self) -> f64 {
        self.arrivals / self.seconds.max(60.0)
    }

    fn is_sound(&self) -> bool {
        self.talk.is_sound()
            && self.wrap_up.is_sound()
            && [self.arrivals, self.seconds].iter().all(|v| v.is_finite() && *v >= 0.0)
    }
}

/// What was learned, to be kept over a restart. Holds no counts that bind: those are the ledger's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sketch {
    version: u32,
    campaigns: Vec<(CampaignRef, Learned)>,
    speeds: Speeds,
    inbound: Inbound,
}

const SKETCH_VERSION: u32 = 1;

/// All campaigns that may share agents and lines.
///
/// It learns from the events of every campaign in every mode, so that a campaign switched to predictive does not
/// begin from nothing.
#[derive(Clone, Debug, Default)]
pub struct Floor {
    campaigns: BTreeMap<CampaignRef, Campaign>,
    calls: BTreeMap<CallRef, Underway>,
    speeds: Speeds,
    inbound: Inbound,
    meeting: Meeting,
    now_s: f64,
}

impl Floor {
    /// Without campaigns.
    #[must_use]
    pub fn new() -> Self {
        Floor::default()
    }

    /// Adds a campaign or changes it. False if there are [`limits::CAMPAIGNS_MAX`] already.
    pub fn set_campaign(&mut self, campaign: CampaignRef, pacing: CampaignPacing) -> bool {
        match self.entry(campaign) {
            Some(entry) => {
                entry.pacing = pacing;
                true
            }
            None => false,
        }
    }

    /// Forgets a campaign and what was learned of it.
    pub fn remove_campaign(&mut self, campaign: CampaignRef) {
        self.campaigns.remove(&campaign);
        self.calls.retain(|_, call| call.campaign != campaign);
    }

    /// What the campaign was set to; the default (progressive) if it was never set.
    #[must_use]
    pub fn campaign(&self, campaign: CampaignRef) -> CampaignPacing {
        self.campaigns.get(&campaign).map(|entry| entry.pacing).unwrap_or_default()
    }

    /// What was learned so far.
    #[must_use]
    pub fn sketch(&self) -> Sketch {
        Sketch {
            version: SKETCH_VERSION,
            campaigns: self.campaigns.iter().map(|(id, entry)| (*id, entry.learned.clone())).collect(),
            speeds: self.speeds.clone(),
            inbound: self.inbound.clone(),
        }
    }

    /// What was learned of one campaign (and of the agents' speeds), to be kept by itself.
    #[must_use]
    pub fn sketch_of(&self, campaign: CampaignRef) -> Option<Sketch> {
        Some(Sketch {
            version: SKETCH_VERSION,
            campaigns: vec![(campaign, self.campaigns.get(&campaign)?.learned.clone())],
            speeds: self.speeds.clone(),
            inbound: self.inbound.clone(),
        })
    }

    /// Takes back what was learned. Campaigns keep their settings; those not set yet are added with the default.
    /// False, and nothing is changed, if the sketch is damaged or of another version.
    pub fn restore(&mut self, sketch: Sketch) -> bool {
        let sound = sketch.version == SKETCH_VERSION
            && sketch.campaigns.len() <= limits::CAMPAIGNS_MAX
            && sketch.campaigns.iter().all(|(_, learned)| learned.is_sound())
            && sketch.speeds.is_sound()
            && sketch.inbound.is_sound();
        if !sound {
            return false;
        }
        self.speeds = sketch.speeds;
        self.inbound = sketch.inbound;
        self.inbound.rebuild();
        for (id, learned) in sketch.campaigns {
            if let Some(entry) = self.entry(id) {
                entry.learned = learned;
                entry.learned.rebuild();
            }
        }
        true
    }

    fn entry(&mut self, campaign: CampaignRef) -> Option<&mut Campaign> {
        if self.campaigns.len() >= limits::CAMPAIGNS_MAX && !self.campaigns.contains_key(&campaign) {
            return None;
        }
        Some(self.campaigns.entry(campaign).or_default())
    }

    fn advance(&mut self, now: Instant) {
        let now_s = now.as_secs_f64();
        if now_s > self.now_s {
            self.inbound.elapse((now_s - self.now_s).min(3_600.0));
            self.now_s = now_s;
        }
    }

    fn dialed(&mut self, call: CallRef, campaign: CampaignRef) {
        let risk = self.entry(campaign).and_then(|entry| entry.decided.pop_front()).unwrap_or(0.0);
        if self.calls.len() >= limits::CALLS_MAX && !self.calls.contains_key(&call) {
            self.calls.pop_first();
        }
        self.calls.insert(call, Underway { campaign, risk, answered: false });
    }

    /// A call is learned from once, whatever is said of it afterwards.
    fn resolved(&mut self, call: CallRef, outcome: Outcome, after_s: f64) {
        let Some(underway) = self.calls.get_mut(&call).filter(|underway| !underway.answered) else { return };
        let (campaign, risk) = (underway.campaign, underway.risk);
        underway.answered = outcome == Outcome::Human;
        if outcome != Outcome::Human {
            self.calls.remove(&call);
        }
        let Some(entry) = self.campaigns.get_mut(&campaign) else { return };
        let learned = &mut entry.learned;
        match outcome {
            Outcome::Human => {
                learned.answer.answered();
                learned.ring.answered(after_s);
                learned.limit.answered(f64::from(risk));
                learned.live_answer();
            }
            Outcome::Cancelled => learned.answer.censored(learned.ring.live_by(after_s)),
            Outcome::Machine | Outcome::Busy | Outcome::Sit | Outcome::NoAnswer => {
                learned.answer.failed();
                learned.ring.ended(after_s);
            }
        }
        learned.ring.refresh();
    }

    fn predictive(
        &mut self,
        now_s: f64,
        view: &PacingView<'_>,
        counted: &Counted,
        most: (u32, LimitedBy),
        explain: &mut Explain,
    ) -> (u32, LimitedBy, Vec<CallRef>) {
        let Some(moments) = self.campaigns.get(&view.campaign).map(|entry| entry.learned.moments()) else {
            return (progressive(counted).min(most.0), LimitedBy::ColdStart, Vec::new());
        };
        let patience = self.campaigns[&view.campaign].pacing.patience.as_secs_f64().min(60.0);
        let beliefs = self.forecast(now_s, view, counted, &moments, patience);
        let Some(entry) = self.campaigns.get_mut(&view.campaign) else {
            return (0, LimitedBy::ColdStart, Vec::new());
        };
        let learned = &mut entry.learned;
        let allowance = allowance(learned, view, counted, &beliefs, &entry.pacing);
        explain.p_answer = beliefs.mean();
        explain.p_answer_sd = beliefs.sd();
        explain.answer_time_s = learned.ring.live_quantile(0.5);
        (explain.answers_expected, explain.agents_freeing) = self.meeting.expected();
        explain.target = allowance.target;
        explain.rate_so_far = allowance.rate_so_far;
        explain.budget = allowance.budget;
        explain.bias = learned.limit.bias();
        let wish = dial_while_safe(learned, &mut self.meeting, &beliefs, &allowance, view, most, explain);
        entry.decided.clear();
        entry.decided.extend(wish.risks);
        let mut cancel = Vec::new();
        if wish.dial == 0 && entry.pacing.cancel.allowed {
            self.meeting.give_up(explain.risk_limit.max(1e-3), |place| {
                let call = &view.calls[place];
                let rung = call.alerting_at.map(|at| now_s - at.as_secs_f64());
                let old = rung.is_some_and(|rung| rung >= entry.pacing.cancel.ring_min.as_secs_f64());
                if old {
                    cancel.push(call.call);
                }
                old
            });
        }
        (wish.dial, wish.limited_by, cancel)
    }

    /// Fills the meeting: agents freed and answers come, by each moment.
    fn forecast(
        &mut self,
        now_s: f64,
        view: &PacingView<'_>,
        counted: &Counted,
        moments: &ByMoment,
        patience_s: f64,
    ) -> Beliefs {
        let own = &self.campaigns[&view.campaign].learned;
        let spread = own.answer.spread();
        let mut beliefs = Beliefs { p: spread.map(|(p, _)| p), weight: spread.map(|(_, weight)| weight) };
        let free_now = i64::from(counted.idle) - i64::from(counted.waiting) - i64::from(counted.claimed_now);
        self.meeting.begin(free_now, beliefs.weight);
        for agent in view.agents.iter().filter(|agent| serves(agent, view.campaign)) {
            if let Some(by) = self.freed_by(now_s, agent, moments, patience_s) {
                self.meeting.agent(by);
            }
        }
        for (place, call) in view.calls.iter().enumerate().filter(|(_, call)| call.answered_at.is_none()) {
            let age_s = (now_s - call.dialed_at.as_secs_f64()).max(0.0);
            if call.campaign == view.campaign {
                let p = known(call).map_or(beliefs.p, |p| [p; BELIEFS]);
                let live = own.live_by(age_s, p, moments);
                for (weight, (_, silent)) in beliefs.weight.iter_mut().zip(&live) {
                    *weight *= silent.max(1e-6);
                }
                let sum: f64 = beliefs.weight.iter().sum();
                beliefs.weight.iter_mut().for_each(|weight| *weight /= sum);
                self.meeting.call(Some(place), live.map(|(by, _)| by));
            } else if let Some(other) = self.campaigns.get(&call.campaign) {
                let share = shared(view, call.campaign);
                if share > 0.0 {
                    let spread = other.learned.answer.spread();
                    let p = known(call).unwrap_or(spread[1].0);
                    let [(by, _)] = other.learned.live_by(age_s, [p], moments);
                    let by = by.map(|p| p * share);
                    self.meeting.call(None, [by; BELIEFS]);
                }
            }
        }
        let expected = self.inbound.rate();
        if expected > 1e-4 {
            self.expect_inbound(expected, moments);
        }
        self.meeting.believe(beliefs.weight);
        self.meeting.sum();
        beliefs
    }

    /// Inbound calls that will come, as a handful of chances with the right mean.
    fn expect_inbound(&mut self, per_s: f64, moments: &ByMoment) {
        let pieces = (per_s * moments[MOMENTS - 1] * 3.0).ceil().clamp(1.0, 200.0);
        for _ in 0..pieces as u32 {
            let by = moments.map(|tau| (per_s * tau / pieces).min(1.0));
            self.meeting.call(None, [by; BELIEFS]);
        }
    }

    fn freed_by(
        &self,
        now_s: f64,
        agent: &AgentView<'_>,
        moments: &ByMoment,
        patience_s: f64,
    ) -> Option<ByMoment> {
        if agent.leaving {
            return None;
        }
        let learned = || agent.campaign.and_then(|id| self.campaigns.get(&id)).map(|entry| &entry.learned);
        let table = match agent.state {
            AgentState::Talking => learned().map(|learned| &learned.talking),
            AgentState::WrapUp => learned().map(|learned| &learned.wrapping),
            AgentState::InboundTalking => Some(&self.inbound.talking),
            AgentState::InboundWrapUp => Some(&self.inbound.wrapping),
            AgentState::Reserved => None,
            AgentState::Idle | AgentState::OnBreak | AgentState::LoggedOut => return None,
        };
        let mut by = [0.0; MOMENTS];
        if let Some(table) = table {
            let pace = 1.0 / self.speeds.factor(agent.agent);
            let row = table.row((now_s - agent.since.as_secs_f64()).max(0.0) * pace);
            by = moments.map(|tau| table.free(row, (tau + patience_s) * pace));
        }
        if let Some(free_at) = agent.free_at {
            let left_s = free_at.as_secs_f64() - now_s;
            for (by, tau) in by.iter_mut().zip(moments) {
                if left_s <= tau + patience_s {
                    *by = 1.0;
                }
            }
        }
        Some(by)
    }
}

/// What is known of this one lead.
fn known(call: &CallView) -> Option<f64> {
    call.answer_probability.map(f64::from).filter(|p| p.is_finite()).map(|p| p.clamp(0.001, 0.95))
}

/// Of the agents who take `other`'s calls, the share that takes this campaign's too.
fn shared(view: &PacingView<'_>, other: CampaignRef) -> f64 {
    let (mut all, mut both) = (0_u32, 0_u32);
    for agent in view.agents.iter().filter(|agent| agent.state.is_working() && serves(agent, other)) {
        all += 1;
        both += u32::from(serves(agent, view.campaign));
    }
    if all == 0 { 0.0 } else { f64::from(both) / f64::from(all) }
}

impl Pacer for Floor {
    fn observe(&mut self, now: Instant, event: &PacingEvent) {
        if let PacingEvent::DayStarted { .. } = event {
            // The night was no time in which calls could have come.
            self.now_s = self.now_s.max(now.as_secs_f64());
        }
        self.advance(now);
        match *event {
            PacingEvent::DayStarted { .. } => {
                self.calls.clear();
                for entry in self.campaigns.values_mut() {
                    entry.decided.clear();
                    entry.learned.day_started();
                }
            }
            PacingEvent::Dialed { call, campaign } => self.dialed(call, campaign),
            PacingEvent::Resolved { call, outcome, after, .. } => {
                self.resolved(call, outcome, after.as_secs_f64());
            }
            PacingEvent::Connected { call, .. } => {
                self.calls.remove(&call);
            }
            PacingEvent::Abandoned { call, .. } => {
                let known = self.calls.remove(&call).filter(|underway| underway.answered);
                let Some(underway) = known else { return };
                if let Some(entry) = self.campaigns.get_mut(&underway.campaign) {
                    entry.learned.limit.abandoned();
                }
            }
            PacingEvent::TalkEnded { agent, campaign, lasted } => {
                let factor = self.speeds.factor(agent);
                let Some(entry) = self.entry(campaign) else { return };
                let learned = &mut entry.learned;
                learned.talk.lasted(lasted.as_secs_f64() / factor);
                learned.lasted();
                if learned.talk.seen() > 20 {
                    let (mean, variance) = learned.talk.log_moments();
                    self.speeds.took(agent, lasted.as_secs_f64(), mean, variance);
                }
            }
            PacingEvent::WrapUpEnded { agent, campaign, lasted } => {
                let factor = self.speeds.factor(agent);
                let Some(entry) = self.entry(campaign) else { return };
                let learned = &mut entry.learned;
                learned.wrap_up.lasted(lasted.as_secs_f64() / factor);
                learned.lasted();
                if learned.wrap_up.seen() > 20 {
                    let (mean, variance) = learned.wrap_up.log_moments();
                    self.speeds.took(agent, lasted.as_secs_f64(), mean, variance);
                }
            }
            PacingEvent::InboundArrived => self.inbound.arrivals += 1.0,
            PacingEvent::InboundTalkEnded { agent, lasted } => {
                self.inbound.talk.lasted(lasted.as_secs_f64() / self.speeds.factor(agent));
                self.inbound.lasted();
            }
            PacingEvent::InboundWrapUpEnded { agent, lasted } => {
                self.inbound.wrap_up.lasted(lasted.as_secs_f64() / self.speeds.factor(agent));
                self.inbound.lasted();
            }
            // The view says the same at the next decision.
            PacingEvent::AgentLoggedIn(_)
            | PacingEvent::AgentLoggedOut(_)
            | PacingEvent::AgentIdle(_)
            | PacingEvent::AgentOnBreak(_)
            | PacingEvent::Alerting { .. }
            | PacingEvent::InboundConnected(_) => {}
        }
    }

    fn decide(&mut self, now: Instant, view: &PacingView<'_>) -> Decision {
        self.advance(now);
        let now_s = self.now_s;
        let counted = Counted::of(view);
        let mut explain = Explain {
            agents_working: counted.working,
            agents_idle: counted.idle,
            in_flight: counted.in_flight,
            waiting: counted.waiting,
            ..Explain::default()
        };
        let mut mode = Mode::default();
        if let Some(entry) = self.entry(view.campaign) {
            entry.learned.elapse(now_s, counted.working);
            mode = entry.pacing.mode;
        }
        let by_agents = if counted.idle > 0 && counted.unclaimed() == 0 && view.inbound_waiting > 0 {
            LimitedBy::Inbound
        } else {
            LimitedBy::Agents
        };
        let limited = |wanted: u32, why| within_limits(view, &counted, wanted, why, true);
        let mut cancel = Vec::new();
        let (dial, limited_by) = if let Some(hold) = held(view) {
            (0, hold)
        } else {
            match mode {
                Mode::Preview => (0, LimitedBy::Mode),
                Mode::Progressive => limited(progressive(&counted), by_agents),
                Mode::Ratio(lines) => limited(ratio(&counted, lines), by_agents),
                Mode::Agentless(lines) => {
                    let wanted = lines.saturating_sub(counted.in_flight);
                    within_limits(view, &counted, wanted, LimitedBy::Mode, false)
                }
                Mode::Predictive => {
                    let most = limited(u32::MAX, LimitedBy::Risk);
                    let (dial, limited_by, give_up) =
                        self.predictive(now_s, view, &counted, most, &mut explain);
                    cancel = give_up;
                    (dial, limited_by)
                }
            }
        };
        if counted.working > 0 {
            explain.lines_per_agent =
                f64::from(counted.in_flight.saturating_add(dial)) / f64::from(counted.working);
        }
        Decision { dial, cancel, limited_by, explain }
    }
}
