//! The policy that is told what no dialler knows: every distribution, the answer probability of each moment, the speed
//! of each agent. What it does better at the same abandonment is the price of learning.

use super::scenario::Scenario;
use super::world::{Dialler, Fate, Snapshot, Truth};
use dialer_core::pacing::{
    AgentRef, CallRef, CallView, CampaignPacing, CampaignRef, DialLimits, DialTraits, Floor, Mode, Outcome,
    Pacer, PacingEvent, PacingView,
};
use sansio::{Duration, Instant, Rng};
use std::collections::BTreeMap;

/// Dials and talks that each distribution is taught by; as many as the estimators remember.
const LESSONS: u64 = 6_000;

/// The house's forecast with everything known and a risk limit that never moves.
pub struct Known {
    scenario: Scenario,
    risk: f64,
    speeds: Vec<f64>,
    /// One taught pacer for each set of talk factors.
    floors: Vec<(Vec<f64>, Floor)>,
    /// P(treated as a person) of a dial, given that a person would answer it and that none would.
    answered: Vec<(f64, f64)>,
    /// Each call's true chance when it was dialled.
    chances: BTreeMap<CallRef, f32>,
    dialling: Vec<f32>,
    calls: Vec<CallView>,
}

impl Known {
    /// For a scenario with agents so fast, at a fixed risk limit.
    #[must_use]
    pub fn new(scenario: &Scenario, speeds: &[f64], risk: f64) -> Self {
        let mut rng = Rng::from_seed(7).child("known");
        let answered = scenario
            .campaigns
            .iter()
            .map(|campaign| {
                let mut share = |p: f64| {
                    let told = |_| Fate::draw(campaign, p, &mut rng).told() == Outcome::Human;
                    (0..20_000).map(told).filter(|human| *human).count() as f64 / 20_000.0
                };
                (share(1.0), share(0.0))
            })
            .collect();
        Known {
            scenario: scenario.clone(),
            risk,
            speeds: speeds.to_vec(),
            floors: Vec::new(),
            answered,
            chances: BTreeMap::new(),
            dialling: vec![0.0; scenario.campaigns.len()],
            calls: Vec::new(),
        }
    }

    /// The pacer taught for these talk factors.
    fn floor(&mut self, truth: &[Truth]) -> usize {
        let talks: Vec<f64> = truth.iter().map(|truth| truth.talk).collect();
        if let Some(place) = self.floors.iter().position(|(known, _)| *known == talks) {
            return place;
        }
        let floor = self.teach(&talks);
        self.floors.push((talks, floor));
        self.floors.len() - 1
    }

    fn teach(&self, talks: &[f64]) -> Floor {
        let mut rng = Rng::from_seed(11).child("lessons");
        let mut floor = Floor::new();
        let agents = self.speeds.len().max(1) as u64;
        let mut number = 0;
        for (index, (world, factor)) in self.scenario.campaigns.iter().zip(talks).enumerate() {
            let campaign = CampaignRef(index as u32);
            let patience = Duration::from_secs_f64(self.scenario.patience_s);
            let pacing = CampaignPacing {
                mode: Mode::Predictive,
                patience,
                weight: world.weight,
                fixed_risk: Some(self.risk),
                ..CampaignPacing::default()
            };
            floor.set_campaign(campaign, pacing);
            for lesson in 0..LESSONS.max(100 * agents) {
                number += 1;
                let (now, call) = (Instant::ZERO, CallRef(u64::MAX - number));
                if lesson < LESSONS {
                    let fate = Fate::draw(world, world.answer.clamp(0.05, 0.95), &mut rng);
                    let (outcome, after) = (fate.told(), Duration::from_secs_f64(fate.ends));
                    floor
                        .observe(now, &PacingEvent::Dialed { call, campaign, traits: DialTraits::default() });
                    floor.observe(now, &PacingEvent::Resolved { call, campaign, outcome, after });
                }
                let agent = AgentRef((lesson % agents) as u32);
                let speed = self.speeds.get(agent.0 as usize).copied().unwrap_or(1.0);
                let lasted = Duration::from_secs_f64(world.talk.draw(&mut rng) * speed * factor);
                floor.observe(now, &PacingEvent::TalkEnded { agent, campaign, lasted });
                let lasted = Duration::from_secs_f64(world.wrap_up.draw(&mut rng) * speed);
                floor.observe(now, &PacingEvent::WrapUpEnded { agent, campaign, lasted });
            }
        }
        if let Some(inbound) = &self.scenario.inbound {
            for lesson in 0..LESSONS {
                let agent = AgentRef((lesson % agents) as u32);
                let speed = self.speeds.get(agent.0 as usize).copied().unwrap_or(1.0);
                let lasted = Duration::from_secs_f64(inbound.talk.draw(&mut rng) * speed);
                floor.observe(Instant::ZERO, &PacingEvent::InboundTalkEnded { agent, lasted });
                let lasted = Duration::from_secs_f64(inbound.wrap_up.draw(&mut rng) * speed);
                floor.observe(Instant::ZERO, &PacingEvent::InboundWrapUpEnded { agent, lasted });
            }
        }
        floor
    }
}

impl Dialler for Known {
    fn observe(&mut self, now: Instant, event: &PacingEvent) {
        match *event {
            PacingEvent::DayStarted { .. } => self.chances.clear(),
            PacingEvent::Dialed { call, campaign, .. } => {
                self.chances.insert(call, self.dialling[campaign.0 as usize]);
            }
            PacingEvent::Resolved { call, .. } => {
                self.chances.remove(&call);
            }
            // Arrivals are learned as everybody learns them.
            PacingEvent::InboundArrived => {
                self.floors.iter_mut().for_each(|(_, floor)| floor.observe(now, event));
            }
            _ => {}
        }
    }

    fn decide(&mut self, campaign: CampaignRef, snapshot: &Snapshot<'_>, _cancel: &mut Vec<CallRef>) -> u32 {
        let index = campaign.0 as usize;
        let place = self.floor(snapshot.truth);
        let (person, other) = self.answered[index];
        let p = snapshot.truth[index].answer;
        let chance = (p * person + (1.0 - p) * other) as f32;
        self.dialling[index] = chance;
        self.calls.clear();
        self.calls.extend(
            snapshot
                .calls
                .iter()
                .map(|call| CallView { answer_probability: self.chances.get(&call.call).copied(), ..*call }),
        );
        let leads = snapshot.leads_left.get(index).copied().flatten();
        let shift_left =
            snapshot.shift_s.map(|shift| Duration::from_secs_f64((shift - snapshot.second).max(0.0)));
        let view = PacingView {
            campaign,
            agents: snapshot.agents,
            calls: &self.calls,
            inbound_waiting: snapshot.inbound_waiting,
            limits: DialLimits {
                lines_free: snapshot.lines_free,
                cps_allowance: snapshot.cps_allowance,
                hopper: leads.map_or(u32::MAX, |left| u32::try_from(left).unwrap_or(u32::MAX)),
                max_lines_per_agent: self.scenario.lines_per_agent,
            },
            leads_left: None,
            idle_share: None,
            next: DialTraits::default(),
            next_answer: Some(chance),
            shift_left,
            windows: &[],
            hold: None,
        };
        self.floors[place].1.decide(snapshot.now, &view).dial
    }
}
