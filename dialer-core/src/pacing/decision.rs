//! What to do now, and why.

use super::CallRef;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What kept a decision from dialling more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum LimitedBy {
    /// Every idle agent has a call on the way.
    Agents,
    /// One more call would run too great a risk of finding no agent.
    Risk,
    /// The abandonment budget is spent: one call per idle agent.
    AbandonCap,
    /// Too few answers seen yet: one call per idle agent.
    ColdStart,
    /// Fewer agents than predictive dialling asks for: one call per idle agent.
    SmallTeam,
    /// No agent is working for this campaign.
    NoAgents,
    /// Calls ahead of idle agents grow at a bounded pace.
    Ramp,
    /// No free line.
    Lines,
    /// The trunks' calls-per-second limit.
    Cps,
    /// The campaign's lines per agent.
    MaxLinesPerAgent,
    /// No lead is ready.
    Hopper,
    /// Inbound calls wait and take the agents first.
    Inbound,
    /// The shift ends before another call could be answered and wrapped up.
    ShiftEnd,
    /// Paused or stopped.
    Paused,
    /// Outside calling hours.
    Window,
    /// Shutting down.
    Draining,
    /// The mode dials only on an agent's order.
    Mode,
}

impl LimitedBy {
    /// The stable name used in events, metrics and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            LimitedBy::Agents => "agents",
            LimitedBy::Risk => "risk",
            LimitedBy::AbandonCap => "abandon_cap",
            LimitedBy::ColdStart => "cold_start",
            LimitedBy::SmallTeam => "small_team",
            LimitedBy::NoAgents => "no_agents",
            LimitedBy::Ramp => "ramp",
            LimitedBy::Lines => "lines",
            LimitedBy::Cps => "cps",
            LimitedBy::MaxLinesPerAgent => "max_lines_per_agent",
            LimitedBy::Hopper => "hopper",
            LimitedBy::Inbound => "inbound",
            LimitedBy::ShiftEnd => "shift_end",
            LimitedBy::Paused => "paused",
            LimitedBy::Window => "window",
            LimitedBy::Draining => "draining",
            LimitedBy::Mode => "mode",
        }
    }
}

impl fmt::Display for LimitedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The numbers behind a decision. Fields that a mode does not use are 0.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Explain {
    /// Agents working for the campaign (logged in, not on a break).
    pub agents_working: u32,
    /// Of these idle and staying.
    pub agents_idle: u32,
    /// This campaign's calls in flight.
    pub in_flight: u32,
    /// Answered calls waiting for an agent, of this campaign.
    pub waiting: u32,
    /// Calls in flight per working agent, after this decision.
    pub lines_per_agent: f64,
    /// Estimated probability that a dial is answered by a person.
    pub p_answer: f64,
    /// One standard deviation of that estimate.
    pub p_answer_sd: f64,
    /// Live answers the steady state of the floor can take per second (Erlang C at the target), for comparison.
    pub steady_answers_per_s: f64,
    /// Inbound calls expected to come within the median answer time.
    pub inbound_expected: f64,
    /// Median time from dialling to a live answer, seconds.
    pub answer_time_s: f64,
    /// Live answers expected within that time from the calls in flight.
    pub answers_expected: f64,
    /// Busy agents expected to become free within that time.
    pub agents_freeing: f64,
    /// Forecast probability that the first call not dialled would have found no agent, 0..=1.
    pub risk_next: f64,
    /// The greatest risk a dial may run now.
    pub risk_limit: f64,
    /// Abandonment rate aimed at for what is left of the tightest window.
    pub target: f64,
    /// Abandoned ÷ live in that window so far.
    pub rate_so_far: f64,
    /// Bounds of the true rate that such counts leave (95 %).
    pub rate_bounds: (f64, f64),
    /// Abandons that may still happen in that window, less a reserve.
    pub budget: f64,
    /// Realised ÷ predicted abandons lately.
    pub bias: f64,
}

/// What to do now.
#[derive(Clone, PartialEq, Debug)]
pub struct Decision {
    /// Calls to dial now.
    pub dial: u32,
    /// Ringing calls to give up: past the legal minimum ring, only if the campaign allows it.
    pub cancel: Vec<CallRef>,
    /// What kept `dial` from being greater.
    pub limited_by: LimitedBy,
    /// The numbers behind it.
    pub explain: Explain,
}
