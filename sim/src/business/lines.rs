//! The pacer behind its line protocol, as one more dialler under test: what an outside simulator would do.

use super::scenario::Scenario;
use super::world::{Dialler, Snapshot};
use dialer_core::pacing::protocol::{LineProtocol, ProtocolOptions, answer};
use dialer_core::pacing::{
    AgentState, CallRef, CampaignPacing, CampaignRef, CapStyle, Mode, Outcome, PacingEvent,
};
use sansio::Instant;
use std::fmt::Write as _;

/// Everything said and heard passes as text.
pub struct Lines {
    protocol: LineProtocol,
    text: String,
    day_start: Instant,
    campaigns: u32,
    agents: u32,
}

impl Lines {
    /// For a scenario.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        Lines {
            protocol: LineProtocol::new(ProtocolOptions {
                pacing: CampaignPacing { mode: Mode::Predictive, ..CampaignPacing::default() },
                cap: scenario.cap,
                style: CapStyle::Average,
                max_lines_per_agent: scenario.lines_per_agent,
            }),
            text: String::new(),
            day_start: Instant::ZERO,
            campaigns: scenario.campaigns.len() as u32,
            agents: scenario.agents,
        }
    }

    fn second(&self, at: Instant) -> f64 {
        at.since(self.day_start).as_secs_f64()
    }

    /// Says what was written and returns the answer, if one is due.
    fn say(&mut self) -> Option<String> {
        let mut heard = None;
        for line in self.text.lines() {
            match self.protocol.line(line) {
                Ok(decision) => heard = decision.map(|decision| answer(&decision)).or(heard),
                Err(error) => panic!("the simulator speaks the protocol: {error}"),
            }
        }
        self.text.clear();
        heard
    }
}

fn letter(state: AgentState) -> char {
    match state {
        AgentState::Idle | AgentState::Listening => 'I',
        AgentState::Reserved | AgentState::Talking => 'T',
        AgentState::WrapUp => 'W',
        AgentState::OnBreak => 'B',
        AgentState::LoggedOut => 'O',
        AgentState::InboundTalking => 'i',
        AgentState::InboundWrapUp => 'w',
    }
}

impl Dialler for Lines {
    fn observe(&mut self, now: Instant, event: &PacingEvent) {
        if let PacingEvent::DayStarted { .. } = event {
            self.day_start = now;
        }
        let t = self.second(now);
        let (agents, campaigns) = (self.agents, self.campaigns);
        let text = &mut self.text;
        let _ = match *event {
            PacingEvent::DayStarted { day } => writeln!(text, "E {t} day {day} {agents} {campaigns}"),
            PacingEvent::AgentLoggedIn(agent) => writeln!(text, "E {t} login {}", agent.0),
            PacingEvent::AgentLoggedOut(agent) => writeln!(text, "E {t} logout {}", agent.0),
            PacingEvent::AgentIdle(agent) => writeln!(text, "E {t} idle {}", agent.0),
            PacingEvent::AgentOnBreak(agent) => writeln!(text, "E {t} break {}", agent.0),
            PacingEvent::Dialed { call, campaign, .. } => {
                writeln!(text, "E {t} dialed {} {}", call.0, campaign.0)
            }
            PacingEvent::Alerting { .. }
            | PacingEvent::Detecting { .. }
            | PacingEvent::MachineAfterAll { .. } => return,
            PacingEvent::Resolved { call, campaign, outcome, after } => {
                let outcome = match outcome {
                    Outcome::Human => "Human",
                    Outcome::Machine => "Machine",
                    Outcome::Busy => "Busy",
                    Outcome::Sit => "Sit",
                    Outcome::NoAnswer => "NoAnswer",
                    Outcome::Cancelled => "Cancelled",
                };
                let after = after.as_secs_f64();
                writeln!(text, "E {t} resolved {} {} {outcome} {after}", call.0, campaign.0)
            }
            PacingEvent::Connected { call, campaign, agent, waited } => {
                let waited = waited.as_secs_f64();
                writeln!(text, "E {t} connected {} {} {} {waited}", call.0, campaign.0, agent.0)
            }
            PacingEvent::Abandoned { call, campaign, waited } => {
                writeln!(text, "E {t} abandoned {} {} {}", call.0, campaign.0, waited.as_secs_f64())
            }
            PacingEvent::TalkEnded { agent, campaign, lasted } => {
                writeln!(text, "E {t} talkend {} {} {}", agent.0, campaign.0, lasted.as_secs_f64())
            }
            PacingEvent::WrapUpEnded { agent, campaign, lasted } => {
                writeln!(text, "E {t} wrapend {} {} {}", agent.0, campaign.0, lasted.as_secs_f64())
            }
            PacingEvent::InboundArrived => writeln!(text, "E {t} inbound"),
            PacingEvent::InboundConnected(agent) => writeln!(text, "E {t} inconnected {}", agent.0),
            PacingEvent::InboundTalkEnded { agent, lasted } => {
                writeln!(text, "E {t} intalkend {} {}", agent.0, lasted.as_secs_f64())
            }
            PacingEvent::InboundWrapUpEnded { agent, lasted } => {
                writeln!(text, "E {t} inwrapend {} {}", agent.0, lasted.as_secs_f64())
            }
        };
        self.say();
    }

    fn decide(&mut self, campaign: CampaignRef, snapshot: &Snapshot<'_>, cancel: &mut Vec<CallRef>) -> u32 {
        let count = |state: AgentState| snapshot.agents.iter().filter(|agent| agent.state == state).count();
        let waiting = snapshot.calls.iter().filter(|call| call.answered_at.is_some()).count();
        let shift_left = snapshot.shift_s.map_or(f64::NAN, |shift| shift - snapshot.second);
        let _ = writeln!(
            self.text,
            "S {} {} {} {} {} {} {} {waiting} {} {} {} {shift_left}",
            self.second(snapshot.now),
            campaign.0,
            count(AgentState::Idle),
            count(AgentState::Talking),
            count(AgentState::WrapUp),
            count(AgentState::OnBreak),
            snapshot.calls.len() - waiting,
            snapshot.inbound_waiting,
            snapshot.lines_free.min(snapshot.cps_allowance),
            self.campaigns,
        );
        for agent in snapshot.agents {
            let mask = agent.serves.iter().fold(0_u64, |mask, campaign| mask | 1 << campaign.0);
            let since = self.second(agent.since);
            let of = agent.campaign.map_or(-1, |campaign| i64::from(campaign.0));
            let leaving = u8::from(agent.leaving);
            let _ = writeln!(self.text, "A {} {since} {of} {mask} {leaving}", letter(agent.state));
        }
        for call in snapshot.calls {
            let [alerting, answered] =
                [call.alerting_at, call.answered_at].map(|at| at.map_or(f64::NAN, |at| self.second(at)));
            let dialed = self.second(call.dialed_at);
            let _ =
                writeln!(self.text, "C {} {} {dialed} {alerting} {answered}", call.call.0, call.campaign.0);
        }
        self.text.push_str("D\n");
        let heard = self.say().expect("every D is answered");
        let mut words = heard.split(' ');
        let dial = words.next().and_then(|word| word.parse().ok()).expect("a number of dials");
        cancel.extend(words.map(|word| CallRef(word.parse().expect("a call"))));
        dial
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::business::policy::House;
    use crate::business::scenario::named;
    use crate::business::world::{Day, World, assignment};

    /// Every day of a world, with the pacer in the same process and behind lines of text.
    fn both(scenario: &Scenario) -> [Vec<Day>; 2] {
        let serves = assignment(scenario);
        let play = |dialler: &mut dyn Dialler| {
            let mut world = World::new(scenario, &serves, 1);
            (0..scenario.days).map(|_| world.play(dialler)).collect()
        };
        [play(&mut House::new(scenario, Mode::Predictive, false)), play(&mut Lines::new(scenario))]
    }

    #[test]
    fn a_whole_day_over_lines_is_the_same_day_to_the_last_bit() {
        let scenario = Scenario { agents: 3, days: 1, ..named("standard").expect("a named scenario") };
        let [direct, lines] = both(&scenario);
        assert!(direct[0].campaigns[0].live > 200 && direct[0].campaigns[0].abandoned > 0, "{direct:?}");
        assert_eq!(direct, lines);
    }

    #[test]
    fn so_are_days_with_shared_agents_and_inbound_calls() {
        let inbound = named("blended").expect("a named scenario").inbound;
        let shared = named("shared").expect("a named scenario");
        let scenario = Scenario { agents: 6, shift_h: 0.3, days: 3, inbound, ..shared };
        let [direct, lines] = both(&scenario);
        assert!(direct.iter().all(|day| day.inbound.0 > 0), "{direct:?}");
        assert_eq!(direct, lines);
    }
}
