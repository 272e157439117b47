//! What every mode needs: counting the view, the modes without a forecast, and the limits on the way out.

use super::limits::{BURST_MAX, LINES_PER_AGENT_MAX};
use super::neighbours::Neighbours;
use super::view::{AgentState, Hold, PacingView};
use super::{AgentView, CampaignRef, LimitedBy};
use sansio::Instant;

/// A view, counted once for one decision.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Counted {
    /// Agents logged in, not on a break, who serve the campaign.
    pub working: u32,
    /// Of these idle (or listening to this campaign's ringing calls) and not leaving.
    pub idle: u32,
    /// Share of the working ones that serve other campaigns too, 0..=1.
    pub shared: f64,
    /// Of the idle ones, those this campaign may count on.
    pub share: u32,
    /// This campaign's calls in flight.
    pub in_flight: u32,
    /// This campaign's answered calls that wait.
    pub waiting: u32,
    /// Idle agents that other claims need in the worst case: inbound calls waiting, and other campaigns' calls
    /// (in flight or waiting) beyond those their own exclusive idle agents can take.
    pub claimed: u32,
    /// The same, for those only that want an agent this moment: inbound and answered calls, and all calls of campaigns
    /// that must not lose an agent.
    pub claimed_now: u32,
}

pub(super) fn serves(agent: &AgentView<'_>, campaign: CampaignRef) -> bool {
    agent.serves.contains(&campaign)
}

/// Takes a call of `campaign` this moment, and still at `until` if that is given.
pub(super) fn is_free(agent: &AgentView<'_>, campaign: CampaignRef, until: Instant) -> bool {
    let ready = match agent.state {
        AgentState::Idle => true,
        AgentState::Listening => agent.campaign == Some(campaign),
        _ => false,
    };
    ready && !agent.leaving && agent.leaves_at.is_none_or(|at| at > until)
}

impl Counted {
    /// `until`: when the calls dialled now will be answered, about.
    /// `tight`: campaigns whose window bears no surprise any more; their calls are as good as answered.
    pub(super) fn of(
        view: &PacingView<'_>,
        until: Instant,
        neighbours: &Neighbours,
        tight: impl Fn(CampaignRef) -> bool,
    ) -> Counted {
        let mut counted = Counted::default();
        for agent in view.agents.iter().filter(|agent| serves(agent, view.campaign)) {
            counted.working += u32::from(agent.state.is_working());
            counted.idle += u32::from(is_free(agent, view.campaign, until));
        }
        let elsewhere = |agent: &&AgentView<'_>| {
            agent.state.is_working() && serves(agent, view.campaign) && agent.serves.len() > 1
        };
        if counted.working > 0 {
            let shared = view.agents.iter().filter(elsewhere).count();
            counted.shared = shared as f64 / f64::from(counted.working);
        }
        counted.share = view.idle_share.unwrap_or(u32::MAX).min(counted.idle);
        for call in view.calls.iter().filter(|call| call.campaign == view.campaign) {
            if call.answered_at.is_some() {
                counted.waiting += 1;
            } else {
                counted.in_flight += 1;
            }
        }
        counted.claimed = view.inbound_waiting;
        counted.claimed_now = view.inbound_waiting;
        for (other, neighbour) in neighbours {
            let claims = |calls: u32| calls.saturating_sub(neighbour.free_alone).min(neighbour.free_both);
            let sure = if tight(*other) { neighbour.calls } else { neighbour.answered };
            counted.claimed = counted.claimed.saturating_add(claims(neighbour.calls));
            counted.claimed_now = counted.claimed_now.saturating_add(claims(sure));
        }
        counted
    }

    /// Idle agents nobody else has a claim on.
    pub(super) fn unclaimed(&self) -> u32 {
        let left = self.idle.saturating_sub(self.claimed.saturating_add(self.waiting));
        left.min(self.share.saturating_sub(self.waiting))
    }
}

/// One call in flight per idle agent.
pub(super) fn progressive(counted: &Counted) -> u32 {
    counted.unclaimed().saturating_sub(counted.in_flight)
}

/// `ratio` calls in flight per idle agent, at least one, rounded down.
pub(super) fn ratio(counted: &Counted, ratio: f64) -> u32 {
    let ratio = if ratio.is_finite() { ratio.clamp(1.0, LINES_PER_AGENT_MAX) } else { 1.0 };
    let lines = (f64::from(counted.unclaimed()) * ratio + 1e-9).floor() as u32;
    lines.saturating_sub(counted.in_flight)
}

/// The greatest number of calls in flight that `max_lines_per_agent` allows. Nonsense counts as one.
pub(super) fn lines_allowed(working: u32, max_lines_per_agent: f64) -> u32 {
    let per_agent = if max_lines_per_agent.is_nan() { 1.0 } else { max_lines_per_agent };
    (f64::from(working) * per_agent.clamp(0.0, LINES_PER_AGENT_MAX) + 1e-9).floor() as u32
}

/// Why nothing may be dialled at all, if so.
pub(super) fn held(view: &PacingView<'_>) -> Option<LimitedBy> {
    view.hold.map(|hold| match hold {
        Hold::Paused => LimitedBy::Paused,
        Hold::Window => LimitedBy::Window,
        Hold::Draining => LimitedBy::Draining,
    })
}

/// Cuts `wanted` to the hard limits; what cut it most is the reason, else `reason`.
pub(super) fn within_limits(
    view: &PacingView<'_>,
    counted: &Counted,
    wanted: u32,
    reason: LimitedBy,
    per_agent: bool,
) -> (u32, LimitedBy) {
    let limits = &view.limits;
    let mut allowed = (wanted.min(BURST_MAX), reason);
    let mut cut = |most: u32, by: LimitedBy| {
        if most < allowed.0 {
            allowed = (most, by);
        }
    };
    cut(limits.hopper, LimitedBy::Hopper);
    cut(limits.lines_free, LimitedBy::Lines);
    cut(limits.cps_allowance, LimitedBy::Cps);
    if per_agent {
        let lines = lines_allowed(counted.working, limits.max_lines_per_agent);
        cut(lines.saturating_sub(counted.in_flight), LimitedBy::MaxLinesPerAgent);
        if counted.working == 0 {
            return (0, LimitedBy::NoAgents);
        }
    }
    allowed
}
