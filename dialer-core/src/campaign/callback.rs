//! Leads that were promised a call: who is to make it, and what becomes of the promise when that agent is not there.

use crate::dialer::Dialer;
use crate::id::{AgentId, CampaignId};
use crate::record::{Callback, Lead};
use crate::screen::{Promises, Screen};
use crate::serving::LateCallback;
use crate::view::AgentState;
use sansio::WallTime;

/// Who may call a lead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CalledBy {
    /// Anyone.
    Anyone,
    /// This agent, who is ready.
    Agent(AgentId),
    /// An agent who cannot take it now, or another campaign.
    NotNow,
}

impl Dialer {
    /// Who may call a lead of a campaign now.
    pub(crate) fn called_by(&self, id: CampaignId, lead: &Lead, now: WallTime) -> CalledBy {
        let Some(promise) = &lead.progress.callback else { return CalledBy::Anyone };
        if self.is_elsewhere(id, promise, lead) {
            return CalledBy::NotNow;
        }
        let Some(agent) = promise.agent else { return CalledBy::Anyone };
        let campaign = &self.campaigns[&id];
        let serving = &campaign.row.config.serving;
        let found = self.agents.get(&agent).filter(|agent| campaign.is_served_by(agent));
        if found.is_some_and(|agent| agent.state == AgentState::Ready) {
            return CalledBy::Agent(agent);
        }
        let late_at = promise.at.plus_millis(i64::from(serving.callback_late_after_ms));
        match serving.callback_late {
            // An agent who is no more keeps no promise.
            _ if !self.agents.contains_key(&agent) => CalledBy::Anyone,
            LateCallback::Anyone if now >= late_at => CalledBy::Anyone,
            LateCallback::Anyone | LateCallback::Wait => CalledBy::NotNow,
        }
    }

    /// Another campaign, which dials this list now, has promised it.
    pub(super) fn is_elsewhere(&self, id: CampaignId, promise: &Callback, lead: &Lead) -> bool {
        let other = promise.campaign.filter(|own| *own != id).and_then(|own| self.campaigns.get(&own));
        other.is_some_and(|other| other.is_running() && other.row.config.lists.contains(&lead.list))
    }

    /// The agent who promised is not at work for this campaign: no use in holding the lead ready.
    pub(super) fn is_absent(&self, id: CampaignId, agent: AgentId) -> bool {
        self.agents.get(&agent).is_some_and(|agent| {
            let away = [AgentState::LoggedOut, AgentState::Paused, AgentState::Unreachable];
            away.contains(&agent.state) || !self.campaigns[&id].is_served_by(agent)
        })
    }

    /// A campaign's screen for a load of leads, which passes over callbacks that nobody here may make now.
    pub(super) fn screen_with_promises(&self, id: CampaignId) -> Screen {
        let campaign = &self.campaigns[&id];
        let mut screen = campaign.screen.clone();
        if !self.callbacks.any() {
            return screen;
        }
        let serving = &campaign.row.config.serving;
        let elsewhere = |other: &&super::Campaign| other.row.id != id && other.is_running();
        screen.promises = Some(Promises {
            absent: self.agents.keys().copied().filter(|agent| self.is_absent(id, *agent)).collect(),
            late_after_ms: match serving.callback_late {
                LateCallback::Anyone => Some(serving.callback_late_after_ms),
                LateCallback::Wait => None,
            },
            elsewhere: self.campaigns.values().filter(elsewhere).map(|other| other.row.id).collect(),
        });
        screen
    }
}
