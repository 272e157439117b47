//! All campaigns of one house behind one [`Pacer`].

use super::campaign::InboundHoldBack;
use super::decision::{Decision, Explain, LimitedBy};
use super::estimate::Speeds;
use super::forecast::Meeting;
use super::inbound::Inbound;
use super::neighbours::{Neighbours, neighbours};
use super::predictive::Learned;
use super::simple::{Counted, held, progressive, ratio, within_limits};
use super::{
    CallRef, CampaignPacing, CampaignRef, DialTraits, Mode, Outcome, Pacer, PacingEvent, PacingView, Summary,
    limits,
};
use core::time::Duration;
use sansio::Instant;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// A call as the pacer remembers it.
#[derive(Clone, Copy, Debug)]
struct Underway {
    campaign: CampaignRef,
    traits: DialTraits,
    risk: f32,
    /// When it was picked up, seconds, if machine detection listens.
    picked_up_s: Option<f64>,
    answered: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Campaign {
    pub pacing: CampaignPacing,
    pub learned: Learned,
    /// Risks of the dials decided last, until each is reported as dialled.
    pub decided: VecDeque<f32>,
    /// Calls dialled and not resolved.
    pub in_flight: u32,
    /// Agents working for it at its last decision.
    pub working: u32,
    /// Dials ahead that may be made at once, and when that was reckoned: no burst, whatever the forecast says.
    pub ahead: f64,
    pub ahead_at_s: f64,
    /// Its window bears no surprise any more, as of its last decision.
    pub tight: bool,
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
    pub(super) campaigns: BTreeMap<CampaignRef, Campaign>,
    calls: BTreeMap<CallRef, Underway>,
    pub(super) speeds: Speeds,
    pub(super) inbound: Inbound,
    pub(super) meeting: Meeting,
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
                if let Some(expected) = pacing.expected {
                    entry.learned.expect(expected);
                }
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

    /// The distributions a campaign's forecasts rest on; `None` if nothing is known of it.
    #[must_use]
    pub fn summary(&self, campaign: CampaignRef) -> Option<Summary> {
        Some(self.campaigns.get(&campaign)?.learned.summary())
    }

    /// Believed probability that a dial of the campaign is answered by a person.
    #[must_use]
    pub fn answer_probability(&self, campaign: CampaignRef) -> f64 {
        let spread = self.campaigns.get(&campaign).map(|entry| entry.learned.answer.spread());
        spread.map_or(0.0, |spread| spread.iter().map(|(p, weight)| p * weight).sum())
    }

    /// The risk a call under way ran when it was dialled: the forecast probability that its answer finds no agent.
    #[must_use]
    pub fn risk_of(&self, call: CallRef) -> Option<f64> {
        self.calls.get(&call).map(|underway| f64::from(underway.risk))
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

    fn dialed(&mut self, call: CallRef, campaign: CampaignRef, traits: DialTraits) {
        if self.calls.contains_key(&call) {
            return; // Said twice, or a number used twice: the first keeps its place.
        }
        let risk = match self.entry(campaign) {
            Some(entry) => {
                entry.in_flight = entry.in_flight.saturating_add(1);
                entry.decided.pop_front().unwrap_or(0.0)
            }
            None => 0.0,
        };
        if self.calls.len() >= limits::CALLS_MAX
            && let Some((_, oldest)) = self.calls.pop_first()
        {
            self.left_flight(&oldest);
        }
        self.calls.insert(call, Underway { campaign, traits, risk, picked_up_s: None, answered: false });
    }

    fn left_flight(&mut self, underway: &Underway) {
        if !underway.answered
            && let Some(entry) = self.campaigns.get_mut(&underway.campaign)
        {
            entry.in_flight = entry.in_flight.saturating_sub(1);
        }
    }

    /// A call is learned from once, whatever is said of it afterwards.
    fn resolved(&mut self, call: CallRef, outcome: Outcome, after_s: f64) {
        let Some(underway) = self.calls.get_mut(&call).filter(|underway| !underway.answered) else { return };
        let Underway { campaign, traits, risk, picked_up_s, .. } = *underway;
        underway.answered = outcome == Outcome::Human;
        if outcome != Outcome::Human {
            self.calls.remove(&call);
        }
        let now_s = self.now_s;
        let Some(entry) = self.campaigns.get_mut(&campaign) else { return };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        let learned = &mut entry.learned;
        if let Some(picked_up_s) = picked_up_s {
            learned.detection.decided(now_s - picked_up_s, outcome == Outcome::Human);
        }
        match outcome {
            Outcome::Human => {
                learned.resolved(traits, true);
                learned.ring.answered(after_s);
                learned.limit.answered(f64::from(risk));
                learned.live_answer();
            }
            Outcome::Cancelled => {
                let (offset, _) = learned.traits.of(traits);
                learned.answer.censored(learned.ring.live_by(after_s), offset);
            }
            Outcome::Machine | Outcome::Busy | Outcome::Sit | Outcome::NoAnswer => {
                learned.resolved(traits, false);
                learned.ring.ended(after_s);
            }
        }
        learned.ring.refresh();
    }
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
                    entry.in_flight = 0;
                    entry.tight = false;
                    entry.learned.day_started();
                }
            }
            PacingEvent::Dialed { call, campaign, traits } => self.dialed(call, campaign, traits),
            PacingEvent::Detecting { call } => {
                let now_s = self.now_s;
                if let Some(underway) = self.calls.get_mut(&call).filter(|underway| !underway.answered) {
                    underway.picked_up_s.get_or_insert(now_s);
                }
            }
            PacingEvent::Resolved { call, outcome, after, .. } => {
                self.resolved(call, outcome, after.as_secs_f64());
            }
            PacingEvent::Connected { call, .. } => {
                if let Some(underway) = self.calls.remove(&call) {
                    self.left_flight(&underway);
                }
            }
            PacingEvent::Abandoned { call, .. } => {
                let Some(underway) = self.calls.remove(&call) else { return };
                self.left_flight(&underway);
                if !underway.answered {
                    return;
                }
                if let Some(entry) = self.campaigns.get_mut(&underway.campaign) {
                    entry.learned.limit.abandoned();
                }
            }
            PacingEvent::MachineAfterAll { campaign } => {
                if let Some(entry) = self.entry(campaign) {
                    entry.learned.was_machine();
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
            PacingEvent::InboundArrived => self.inbound.arrived(),
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
        let soon_s = self.campaigns.get(&view.campaign).map_or(10.0, |entry| entry.learned.median_answer_s());
        let until = now + Duration::from_secs_f64(soon_s);
        let tight = |campaign| self.campaigns.get(&campaign).is_some_and(|entry| entry.tight);
        let neighbours = neighbours(view, until);
        let counted = Counted::of(view, until, &neighbours, tight);
        let mut explain = Explain {
            agents_working: counted.working,
            agents_idle: counted.idle,
            in_flight: counted.in_flight,
            waiting: counted.waiting,
            ..Explain::default()
        };
        let mut pacing = CampaignPacing::default();
        if let Some(entry) = self.entry(view.campaign) {
            pacing = entry.pacing;
            entry.learned.elapse(now_s, counted.working, counted.idle, pacing.wait_target);
            entry.working = counted.working;
        }
        let held = held(view).or_else(|| {
            let inbound = pacing.inbound == InboundHoldBack::NoDial && view.inbound_waiting > 0;
            inbound.then_some(LimitedBy::Inbound)
        });
        let (dial, limited_by, cancel) = match held {
            Some(hold) => (0, hold, Vec::new()),
            None => self.decide_by_mode(now_s, view, (&counted, &neighbours), &pacing, &mut explain),
        };
        if counted.working > 0 {
            explain.lines_per_agent =
                f64::from(counted.in_flight.saturating_add(dial)) / f64::from(counted.working);
        }
        Decision { dial, cancel, limited_by, explain }
    }
}

impl Floor {
    fn decide_by_mode(
        &mut self,
        now_s: f64,
        view: &PacingView<'_>,
        (counted, neighbours): (&Counted, &Neighbours),
        pacing: &CampaignPacing,
        explain: &mut Explain,
    ) -> (u32, LimitedBy, Vec<CallRef>) {
        let by_agents = if counted.idle > 0 && counted.unclaimed() == 0 && view.inbound_waiting > 0 {
            LimitedBy::Inbound
        } else {
            LimitedBy::Agents
        };
        let limited = |wanted: u32, why| within_limits(view, counted, wanted, why, true);
        let simple = |(dial, why)| (dial, why, Vec::new());
        match pacing.mode {
            Mode::Preview => simple((0, LimitedBy::Mode)),
            Mode::Progressive => simple(limited(progressive(counted), by_agents)),
            Mode::Ratio(lines) => simple(limited(ratio(counted, lines), by_agents)),
            Mode::Agentless(lines) => {
                let wanted = lines.saturating_sub(counted.in_flight);
                simple(within_limits(view, counted, wanted, LimitedBy::Mode, false))
            }
            Mode::PreConnected(lines) => {
                let most = limited(ratio(counted, lines), by_agents);
                self.predictive(now_s, view, (counted, neighbours), most, explain)
            }
            Mode::Predictive => {
                let most = limited(u32::MAX, LimitedBy::Risk);
                self.predictive(now_s, view, (counted, neighbours), most, explain)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_risk_follows_how_long_agents_may_wait() {
        let wait = Some(Duration::from_secs(20));
        let eager = |idle: u32, wait_target| {
            let mut learned = Learned::default();
            (0..2_000).for_each(|second| learned.elapse(f64::from(second), 10, idle, wait_target));
            (learned.mean_wait_s(), learned.eagerness)
        };
        // Calls take 115 s: one of ten idle is a wait of 13 s, four of ten one of 77 s.
        let (short, lowered) = eager(1, wait);
        assert!((short - 115.0 / 9.0).abs() < 0.5, "{short}");
        assert!(lowered < 0.3, "they may wait longer: {lowered}");
        let (long, whole) = eager(4, wait);
        assert!(long > 70.0 && whole == 1.0, "{long} {whole}");
        assert_eq!(eager(1, None).1, 1.0);
        // And back again, when they wait too long.
        let mut learned = Learned::default();
        (0..2_000).for_each(|second| learned.elapse(f64::from(second), 10, 0, wait));
        assert!(learned.eagerness <= 0.011, "{}", learned.eagerness);
        (2_000..4_000).for_each(|second| learned.elapse(f64::from(second), 10, 5, wait));
        assert_eq!(learned.eagerness, 1.0);
    }

    #[test]
    fn machines_found_out_late_are_no_live_answers_to_come() {
        let campaign = CampaignRef(1);
        let people_per_s = |machines: bool| {
            let mut floor = Floor::new();
            floor.set_campaign(campaign, CampaignPacing::default());
            for number in 0..400 {
                let (now, call) = (Instant::from_millis(number * 1_000), CallRef(number));
                floor.observe(now, &PacingEvent::Dialed { call, campaign, traits: DialTraits::default() });
                let (outcome, after) = (Outcome::Human, Duration::from_secs(9));
                floor.observe(now, &PacingEvent::Resolved { call, campaign, outcome, after });
                if machines && number % 4 != 0 {
                    floor.observe(now, &PacingEvent::MachineAfterAll { campaign });
                }
            }
            let learned = &floor.campaigns[&campaign].learned;
            assert!(learned.is_sound());
            learned.people_per_s(10) / learned.live_per_s(10)
        };
        assert_eq!(people_per_s(false), 1.0);
        assert!((people_per_s(true) - 0.25).abs() < 0.05, "{}", people_per_s(true));
    }
}
