//! What the pacer must know of a campaign: its mode, its limits, what is believed of it before anything is seen.

use core::time::Duration;
use serde::{Deserialize, Serialize};

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
    /// The agent is joined while the call rings and hears the answer from its first word; of several answers the
    /// surplus hops to the next free agent. So many calls per agent who is idle or listens, e.g. 2.0; those beyond one
    /// per agent only as far as the forecast and the abandonment budget bear.
    PreConnected(f64),
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

/// What a campaign does while inbound calls wait for its agents. Those calls go first in any case: each takes an idle
/// agent out of the count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InboundHoldBack {
    /// No more than that.
    Off,
    /// Dials no call ahead: one per idle agent that is left.
    #[default]
    NoOverdial,
    /// Dials nothing at all.
    NoDial,
}

/// What is believed of a campaign before its first call; it is worth a handful of calls.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Expected {
    /// Probability that a person answers, 0..1.
    pub answer: f64,
    /// Mean conversation, seconds.
    pub talk_s: f64,
    /// Mean wrap-up, seconds.
    pub wrap_up_s: f64,
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
    /// Weight against other campaigns that share agents, > 0: a fair share of idle agents is in its proportion.
    pub weight: f64,
    /// Campaigns of higher priority take idle agents first; 0 is the usual one.
    pub priority: i32,
    /// Campaigns with the same group share a budget of their own (see `WindowCount::of_group`).
    pub group: Option<u32>,
    /// Predictive only while so many agents work for it, at least; with fewer it dials like progressive. 2 is the least
    /// that makes sense, and the default.
    pub small_team: u32,
    /// While inbound calls wait.
    pub inbound: InboundHoldBack,
    /// Share of people whom machine detection takes for machines and hangs up on, 0..=0.5, as measured or as the
    /// policy pack has it estimated. They are live and abandoned in the eyes of the law, so the budget is reserved.
    pub false_machine: f64,
    /// Share of the calls passed on as answered by a person that are machines detection missed, 0..=0.5. They are no
    /// live answers in the eyes of the law.
    pub missed_machine: f64,
    /// Agents may wait so long between two calls on average; while they wait less, less risk is run. `None`: they wait as
    /// little as the budget bears.
    #[serde(default)]
    pub wait_target: Option<Duration>,
    /// What is believed before the first call.
    pub expected: Option<Expected>,
    /// A risk limit that never moves, 0..=1, instead of the one the budget steers: to measure against. It keeps no cap.
    pub fixed_risk: Option<f64>,
}

impl Default for CampaignPacing {
    fn default() -> Self {
        CampaignPacing {
            mode: Mode::default(),
            cancel: CancelPolicy::default(),
            patience: Duration::from_secs(2),
            weight: 1.0,
            priority: 0,
            group: None,
            small_team: 2,
            inbound: InboundHoldBack::default(),
            false_machine: 0.0,
            missed_machine: 0.0,
            wait_target: None,
            expected: None,
            fixed_risk: None,
        }
    }
}

impl CampaignPacing {
    /// The weight as it counts; nonsense is 1.
    #[must_use]
    pub fn fair_weight(&self) -> f64 {
        if self.weight.is_finite() && self.weight > 0.0 { self.weight.clamp(1e-6, 1e6) } else { 1.0 }
    }
}
