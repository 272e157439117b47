//! What others do, written anew from what is published of it, to be measured in the same world.
//!
//! * fixed ratio: lines (ringing, waiting and talking) per agent at work
//! * adaptive dial level, three cap styles, after VICIdial's manual: every 15 s the dial level follows how many agents
//!   wait; over the drop limit it returns to one line per agent (hard), is lowered (average), or the limit itself
//!   shrinks from double to single over the shift (tapered)
//! * Erlang C: calls are started at the rate that keeps P(wait > patience) under the cap in the steady state
//! * PI: a proportional-integral controller on the ratio, aiming at the cap
//! * clairvoyant: the world itself hands every idle agent a live answer; a bound, not a policy

use super::scenario::Scenario;
use super::world::{Dialler, Snapshot};
use dialer_core::pacing::erlang::greatest_load;
use dialer_core::pacing::{AgentState, CallRef, CampaignRef, Outcome, PacingEvent};
use sansio::Instant;

/// A rule of the field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Lines per agent at work, all calls counted.
    FixedRatio(f64),
    /// Adaptive dial level.
    Adaptive(Drop),
    /// The classical Erlang C dialler.
    ErlangC,
    /// Proportional-integral control of the ratio.
    Pi,
    /// The bound.
    Clairvoyant,
}

/// What the adaptive dial level does at the drop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// One line per agent until the rate is under the limit again.
    HardLimit,
    /// The level sinks a step.
    Average,
    /// Like hard, with a limit that shrinks over the shift.
    Tapered,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    dialed: f64,
    live: f64,
    abandoned: f64,
    live_lately: f64,
    abandoned_lately: f64,
    service_s: f64,
    services: f64,
    level: f64,
    integral: f64,
    next_adapt: f64,
    credit: f64,
}

/// A rule at work.
pub struct Baseline {
    rule: Rule,
    cap: f64,
    patience_s: f64,
    seen: Vec<Seen>,
}

impl Baseline {
    /// For a scenario.
    #[must_use]
    pub fn new(scenario: &Scenario, rule: Rule) -> Self {
        let seen = vec![Seen { level: 1.0, ..Seen::default() }; scenario.campaigns.len()];
        Baseline { rule, cap: scenario.cap, patience_s: scenario.patience_s, seen }
    }
}

struct Crew {
    working: f64,
    idle: f64,
    talking: f64,
}

fn crew(campaign: CampaignRef, snapshot: &Snapshot<'_>) -> Crew {
    let mut crew = Crew { working: 0.0, idle: 0.0, talking: 0.0 };
    for agent in snapshot.agents.iter().filter(|agent| agent.serves.contains(&campaign)) {
        // An agent of several campaigns is worth a share in each.
        let share = 1.0 / agent.serves.len() as f64;
        match agent.state {
            AgentState::LoggedOut | AgentState::OnBreak => continue,
            AgentState::Idle => crew.idle += share,
            AgentState::Talking if agent.campaign == Some(campaign) => crew.talking += 1.0,
            _ => {}
        }
        crew.working += share;
    }
    crew
}

impl Dialler for Baseline {
    fn observe(&mut self, _now: Instant, event: &PacingEvent) {
        let seen = &mut self.seen;
        match *event {
            PacingEvent::DayStarted { .. } => {
                for seen in seen {
                    (seen.live, seen.abandoned, seen.level, seen.integral) = (0.0, 0.0, 1.0, 0.0);
                    (seen.next_adapt, seen.credit) = (0.0, 0.0);
                }
            }
            PacingEvent::Resolved { campaign, outcome, .. } => {
                let Some(seen) = seen.get_mut(campaign.0 as usize) else { return };
                seen.dialed += 1.0;
                if outcome == Outcome::Human {
                    seen.live += 1.0;
                    seen.live_lately = seen.live_lately * 0.99 + 1.0;
                    seen.abandoned_lately *= 0.99;
                }
            }
            PacingEvent::Abandoned { campaign, .. } => {
                let Some(seen) = seen.get_mut(campaign.0 as usize) else { return };
                seen.abandoned += 1.0;
                seen.abandoned_lately += 1.0;
            }
            PacingEvent::TalkEnded { campaign, lasted, .. } => {
                let Some(seen) = seen.get_mut(campaign.0 as usize) else { return };
                seen.service_s += lasted.as_secs_f64();
                seen.services += 1.0;
            }
            PacingEvent::WrapUpEnded { campaign, lasted, .. } => {
                let Some(seen) = seen.get_mut(campaign.0 as usize) else { return };
                seen.service_s += lasted.as_secs_f64();
            }
            _ => {}
        }
    }

    fn decide(&mut self, campaign: CampaignRef, snapshot: &Snapshot<'_>, _cancel: &mut Vec<CallRef>) -> u32 {
        let Some(seen) = self.seen.get_mut(campaign.0 as usize) else { return 0 };
        let crew = crew(campaign, snapshot);
        let mut in_flight = 0.0;
        let mut waiting = 0.0;
        for call in snapshot.calls.iter().filter(|call| call.campaign == campaign) {
            in_flight += 1.0;
            waiting += f64::from(u8::from(call.answered_at.is_some()));
        }
        let lines = in_flight + crew.talking;
        let rate = if seen.live > 0.0 { seen.abandoned / seen.live } else { 0.0 };
        let wanted = match self.rule {
            Rule::Clairvoyant => 0.0,
            Rule::FixedRatio(ratio) => ratio * crew.working - lines,
            Rule::Adaptive(drop) => {
                if snapshot.second >= seen.next_adapt {
                    seen.next_adapt = snapshot.second + 15.0;
                    let share =
                        snapshot.shift_s.map_or(0.5, |shift| (snapshot.second / shift).clamp(0.0, 1.0));
                    let limit = if drop == Drop::Tapered { self.cap * (2.0 - share) } else { self.cap };
                    let waiting_share = (crew.idle - waiting) / crew.working.max(1.0);
                    seen.level = (seen.level * (1.0 + 0.3 * (waiting_share - 0.15))).clamp(1.0, 3.0);
                    if rate > limit {
                        seen.level = if drop == Drop::Average { (seen.level * 0.85).max(1.0) } else { 1.0 };
                    }
                }
                seen.level * crew.working - lines
            }
            Rule::ErlangC => {
                let p = (seen.live + 2.0).min(seen.dialed + 8.0) / (seen.dialed + 8.0);
                let service = (seen.service_s + 1_400.0) / (seen.services + 10.0);
                let agents = crew.working.floor() as u32;
                let per_s =
                    greatest_load(agents, self.patience_s, service, self.cap) / service / p.max(0.005);
                let elapsed = 1.0_f64.min(snapshot.second.max(0.0));
                seen.credit = (seen.credit + per_s * elapsed).min(per_s * 10.0 + 1.0);
                let whole = seen.credit.floor();
                seen.credit -= whole;
                whole
            }
            Rule::Pi => {
                if snapshot.second >= seen.next_adapt {
                    seen.next_adapt = snapshot.second + 15.0;
                    let lately = (seen.abandoned_lately + 0.3) / (seen.live_lately + 10.0);
                    let error = (self.cap - lately) / self.cap.max(1e-3);
                    seen.integral = (seen.integral + 0.004 * error).clamp(0.0, 3.0);
                    seen.level = (1.0 + seen.integral + 0.1 * error).clamp(1.0, 5.0);
                }
                // The ratio applies to idle agents and those expected to be so within a ring time.
                let cycle = (seen.service_s / seen.services.max(1.0)).max(20.0);
                let soon = (crew.working - crew.idle) * 10.0 / cycle;
                seen.level * 1.5 * (crew.idle + soon) - in_flight
            }
        };
        wanted.clamp(0.0, 10_000.0) as u32
    }

    fn is_clairvoyant(&self) -> bool {
        self.rule == Rule::Clairvoyant
    }
}
