//! All campaigns of one house behind one [`Pacer`].

use super::decision::{Decision, Explain, LimitedBy};
use super::simple::{Counted, held, progressive, ratio, within_limits};
use super::{CampaignRef, Pacer, PacingEvent, PacingView, limits};
use core::time::Duration;
use sansio::Instant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
}

impl Default for CampaignPacing {
    fn default() -> Self {
        CampaignPacing {
            mode: Mode::default(),
            cancel: CancelPolicy::default(),
            patience: Duration::from_secs(2),
            weight: 1.0,
        }
    }
}

/// All campaigns that may share agents and lines.
#[derive(Clone, Debug, Default)]
pub struct Floor {
    campaigns: BTreeMap<CampaignRef, CampaignPacing>,
}

impl Floor {
    /// Without campaigns.
    #[must_use]
    pub fn new() -> Self {
        Floor::default()
    }

    /// Adds a campaign or changes it. False if there are [`limits::CAMPAIGNS_MAX`] already.
    pub fn set_campaign(&mut self, campaign: CampaignRef, pacing: CampaignPacing) -> bool {
        if self.campaigns.len() >= limits::CAMPAIGNS_MAX && !self.campaigns.contains_key(&campaign) {
            return false;
        }
        self.campaigns.insert(campaign, pacing);
        true
    }

    /// Forgets a campaign and what was learned of it.
    pub fn remove_campaign(&mut self, campaign: CampaignRef) {
        self.campaigns.remove(&campaign);
    }

    /// What the campaign was set to; the default (progressive) if it was never set.
    #[must_use]
    pub fn campaign(&self, campaign: CampaignRef) -> CampaignPacing {
        self.campaigns.get(&campaign).copied().unwrap_or_default()
    }
}

impl Pacer for Floor {
    fn observe(&mut self, _now: Instant, _event: &PacingEvent) {}

    fn decide(&mut self, _now: Instant, view: &PacingView<'_>) -> Decision {
        let counted = Counted::of(view);
        let pacing = self.campaign(view.campaign);
        let mut explain = Explain {
            agents_working: counted.working,
            agents_idle: counted.idle,
            in_flight: counted.in_flight,
            waiting: counted.waiting,
            ..Explain::default()
        };
        let by_agents = if counted.idle > 0 && counted.unclaimed() == 0 && view.inbound_waiting > 0 {
            LimitedBy::Inbound
        } else {
            LimitedBy::Agents
        };
        let (dial, limited_by) = if let Some(hold) = held(view) {
            (0, hold)
        } else {
            match pacing.mode {
                Mode::Preview => (0, LimitedBy::Mode),
                Mode::Progressive | Mode::Predictive => {
                    within_limits(view, &counted, progressive(&counted), by_agents, true)
                }
                Mode::Ratio(lines) => within_limits(view, &counted, ratio(&counted, lines), by_agents, true),
                Mode::Agentless(lines) => {
                    let wanted = lines.saturating_sub(counted.in_flight);
                    within_limits(view, &counted, wanted, LimitedBy::Mode, false)
                }
            }
        };
        if counted.working > 0 {
            explain.lines_per_agent = f64::from(counted.in_flight + dial) / f64::from(counted.working);
        }
        Decision { dial, cancel: Vec::new(), limited_by, explain }
    }
}
