//! Leads that one agent is to call: a promise to call again, and what becomes of it when the agent is not there.

use crate::dialer::Dialer;
use crate::id::{AgentId, CampaignId};
use crate::record::Lead;
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
    /// An agent who cannot take it now.
    NotNow,
}

impl Dialer {
    /// Who may call a lead of a campaign now.
    pub(crate) fn called_by(&self, campaign: CampaignId, lead: &Lead, now: WallTime) -> CalledBy {
        let Some((promise, agent)) = lead.progress.callback.and_then(|of| Some((of, of.agent?))) else {
            return CalledBy::Anyone;
        };
        let campaign = &self.campaigns[&campaign];
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
}
