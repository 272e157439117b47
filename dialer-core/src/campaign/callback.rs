//! Leads that were promised a call: who is to make it, and what becomes of the promise when that agent is not there.

use super::Campaign;
use crate::agent::Agent;
use crate::dialer::Dialer;
use crate::id::{AgentId, CampaignId};
use crate::record::{Callback, Lead};
use crate::screen::{Promises, Screen};
use crate::serving::LateCallback;
use crate::view::AgentState;
use sansio::WallTime;
use std::collections::{BTreeMap, BTreeSet};

/// Leads of one owner that are held ready at once: the others' are not to wait behind them.
const OWNED_READY_MAX: usize = 10;

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

impl Campaign {
    /// Leads of owners may be read again: one was taken, or an owner has come.
    pub(crate) fn owners_may_take_more(&mut self, now: WallTime) {
        if self.row.config.serving.owner_only {
            self.hopper.look_again(now);
        }
    }
}

impl Dialer {
    /// Who may call a lead of a campaign now.
    pub(crate) fn called_by(&self, id: CampaignId, lead: &Lead, now: WallTime) -> CalledBy {
        let Some(promise) = &lead.progress.callback else { return self.called_by_owner(id, lead) };
        if self.is_elsewhere(id, promise, lead) {
            return CalledBy::NotNow;
        }
        let Some(agent) = promise.agent else { return self.called_by_owner(id, lead) };
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

    /// Who may call a lead that nobody has promised anything: its owner, where the campaign wants that.
    fn called_by_owner(&self, id: CampaignId, lead: &Lead) -> CalledBy {
        let campaign = &self.campaigns[&id];
        let Some(owner) = lead.owner().filter(|_| campaign.row.config.serving.owner_only) else {
            return CalledBy::Anyone;
        };
        let found = self.agent_named(owner).and_then(|agent| self.agents.get(&agent));
        match found.filter(|agent| agent.state == AgentState::Ready && campaign.is_served_by(agent)) {
            Some(agent) => CalledBy::Agent(agent.row.id),
            None => CalledBy::NotNow,
        }
    }

    /// The agent with this id, user name or name.
    pub(crate) fn agent_named(&self, name: &str) -> Option<AgentId> {
        let by_id = name.parse::<AgentId>().ok().filter(|id| self.agents.contains_key(id));
        let named = |agent: &&Agent| agent.row.config.username == name || agent.row.config.name == name;
        by_id.or_else(|| self.agents.values().find(named).map(|agent| agent.row.id))
    }

    /// The names of agents for whom more leads of their own may be held ready.
    fn owners_with_room(&self, id: CampaignId) -> BTreeSet<String> {
        let campaign = &self.campaigns[&id];
        let mut held: BTreeMap<&str, usize> = BTreeMap::new();
        for owner in campaign.hopper.iter().filter_map(Lead::owner) {
            *held.entry(owner).or_default() += 1;
        }
        let mut names = BTreeSet::new();
        for agent in self.agents.values().filter(|agent| !self.is_absent(id, agent.row.id)) {
            let config = &agent.row.config;
            let own = [agent.row.id.to_string(), config.username.clone(), config.name.clone()];
            let count: usize = own.iter().map(|name| held.get(name.as_str()).copied().unwrap_or(0)).sum();
            if count < OWNED_READY_MAX {
                names.extend(own);
            }
        }
        names
    }

    /// As many leads of this one's owner are held ready as may be.
    pub(super) fn owner_has_enough(&self, id: CampaignId, lead: &Lead) -> bool {
        let campaign = &self.campaigns[&id];
        let Some(owner) = lead.owner().filter(|_| campaign.row.config.serving.owner_only) else {
            return false;
        };
        campaign.hopper.iter().filter(|held| held.owner() == Some(owner)).count() >= OWNED_READY_MAX
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

    /// A campaign's screen for a load of leads, which passes over callbacks that nobody here may make now, and leads of owners
    /// who are not there or have enough of them.
    pub(super) fn screen_for_load(&self, id: CampaignId, now: WallTime) -> Screen {
        let campaign = &self.campaigns[&id];
        let mut screen = campaign.screen.clone();
        if campaign.row.config.serving.owner_only {
            screen.owners = Some(self.owners_with_room(id));
        }
        let config = &campaign.row.config;
        if let Some(most) = config.frequency.per_number_24h {
            screen.full_numbers = self.dialled_numbers.full(&config.tenant, most, now);
        }
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
