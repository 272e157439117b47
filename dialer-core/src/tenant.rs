//! Tenants: who a campaign, a list, an agent and all that comes of them belong to.
//!
//! Everything has one owner, the tenant `default` where nobody else was named. Commands by a tenant's token reach the
//! tenant's own things and nothing else: those of others are not there. What is bought and answered for once per house
//! (trunks, caller IDs, routes of inbound calls, do-not-call lists for all) belongs to the operator, whose tokens have no
//! tenant; the operator gives it to campaigns, and their tenants keep it. A pool of caller IDs may be given to a tenant
//! whole: its campaigns and calls show numbers of such pools and no others. A tenant has do-not-call lists of its own besides.
//! Calls, records and events have the owner of their campaign, else of their agent.

use crate::caller_id::CallerIdPoolConfig;
use crate::command::{CallbackRequest, Command, CommandError, OriginateRequest};
use crate::config::{AgentConfig, CampaignConfig};
use crate::dialer::{About, Dialer};
use crate::id::{AgentId, CalendarId, CallId, CallerIdPoolId, CampaignId, DncListId, ListId};
use crate::participant::{CallWish, Joining, Target};
use crate::{AgentDevice, check::invalid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// A tenant's name: 1 to 64 lower-case letters, digits, dashes and underscores.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tenant(String);

impl Tenant {
    /// The tenant of this name; `None` if it cannot be one.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        let good = (1..=64).contains(&name.len()) && name.bytes().all(sound);
        good.then(|| Tenant(name.into()))
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is stored without an owner is this one's.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.0 == "default"
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Tenant("default".into())
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const fn missing(what: &'static str) -> CommandError {
    CommandError::NotFound { what }
}

impl Dialer {
    /// Whose things of this campaign, else of this agent, are.
    pub(crate) fn tenant_of(&self, campaign: Option<CampaignId>, agent: Option<AgentId>) -> Option<Tenant> {
        let of_campaign = campaign.and_then(|id| self.campaigns.get(&id)).map(|c| &c.row.config.tenant);
        let of_agent = || agent.and_then(|id| self.agents.get(&id)).map(|a| &a.row.config.tenant);
        of_campaign.or_else(of_agent).cloned()
    }

    /// Whose an event is; `None`: the operator's alone.
    pub(crate) fn tenant_of_event(&self, about: &About) -> Option<Tenant> {
        self.tenant_of(about.campaign, about.agent).or_else(|| about.tenant.clone())
    }

    fn has_agent(&self, tenant: &Tenant, id: AgentId) -> Result<&AgentConfig, CommandError> {
        let config = self.agents.get(&id).map(|agent| &agent.row.config);
        config.filter(|config| config.tenant == *tenant).ok_or(missing("agent"))
    }

    fn has_campaign(&self, tenant: &Tenant, id: CampaignId) -> Result<&CampaignConfig, CommandError> {
        let config = self.campaigns.get(&id).map(|campaign| &campaign.row.config);
        config.filter(|config| config.tenant == *tenant).ok_or(missing("campaign"))
    }

    fn has_list(&self, tenant: &Tenant, id: ListId) -> Result<(), CommandError> {
        let found = self.lists.get(&id).filter(|list| list.config.tenant == *tenant);
        found.map(|_| ()).ok_or(missing("list"))
    }

    fn has_dnc_list(&self, tenant: &Tenant, id: DncListId) -> Result<(), CommandError> {
        let found = self.dnc.lists.get(&id).filter(|list| list.row.config.tenant.as_ref() == Some(tenant));
        found.map(|_| ()).ok_or(missing("do-not-call list"))
    }

    fn has_pool(&self, tenant: &Tenant, id: CallerIdPoolId) -> Result<&CallerIdPoolConfig, CommandError> {
        let config = self.pools.get(&id).map(|pool| &pool.row.config);
        config.filter(|config| config.tenant.as_ref() == Some(tenant)).ok_or(missing("caller-ID pool"))
    }

    fn has_calendar(&self, tenant: &Tenant, id: CalendarId) -> Result<(), CommandError> {
        let found = self.calendars.get(&id).filter(|row| row.config.tenant.as_ref() == Some(tenant));
        found.map(|_| ()).ok_or(missing("calendar"))
    }

    /// A caller ID that a tenant names has been given to it: it is in one of its pools.
    fn may_show(
        &self,
        tenant: &Tenant,
        wanted: Option<&String>,
        present: Option<&String>,
        pointer: &str,
    ) -> Result<(), CommandError> {
        let Some(number) = wanted.filter(|number| Some(*number) != present) else { return Ok(()) };
        let mut own = self.pools.values().map(|pool| &pool.row.config);
        match own.any(|pool| pool.tenant.as_ref() == Some(tenant) && pool.numbers.contains(number)) {
            true => Ok(()),
            false => invalid(pointer, "a number of one of its own caller-ID pools"),
        }
    }

    /// A pool that was given stays the tenant's, with no number that was not given.
    fn keeps_pool(
        &self,
        tenant: &Tenant,
        config: &mut CallerIdPoolConfig,
        present: &CallerIdPoolConfig,
    ) -> Result<(), CommandError> {
        config.tenant = Some(tenant.clone());
        if let Some(place) = config.numbers.iter().position(|number| !present.numbers.contains(number)) {
            return invalid(&format!("/numbers/{place}"), "a number that the operator has put into the pool");
        }
        if let Some(place) = config.agents.iter().position(|agent| self.has_agent(tenant, *agent).is_err()) {
            return invalid(&format!("/agents/{place}"), "the id of an existing agent");
        }
        if let Some(place) = config.lists.iter().position(|list| self.has_list(tenant, *list).is_err()) {
            return invalid(&format!("/lists/{place}"), "the id of an existing list");
        }
        // Groups are names that other tenants may have as well.
        if config.groups != present.groups {
            return invalid("/groups", "the groups that the operator has named");
        }
        Ok(())
    }

    /// What the operator has given to a campaign stays; nothing of it is taken without being given.
    fn keeps_what_is_given(
        &self,
        tenant: &Tenant,
        config: &CampaignConfig,
        present: &CampaignConfig,
    ) -> Result<(), CommandError> {
        keeps_what_is_given(config, present)?;
        let pool = config.caller_id_pool.filter(|_| config.caller_id_pool != present.caller_id_pool);
        if pool.is_some_and(|pool| self.has_pool(tenant, pool).is_err()) {
            return invalid("/caller_id_pool", "the id of an existing caller-ID pool");
        }
        self.may_show(tenant, config.caller_id.as_ref(), present.caller_id.as_ref(), "/caller_id")?;
        let calendar = config.calendar.filter(|_| config.calendar != present.calendar);
        if calendar.is_some_and(|calendar| self.has_calendar(tenant, calendar).is_err()) {
            return invalid("/calendar", "the id of an existing calendar");
        }
        let given = |config: &CampaignConfig| -> BTreeSet<DncListId> {
            let lists = config.dnc_lists.iter().copied();
            lists.filter(|list| self.has_dnc_list(tenant, *list).is_err()).collect()
        };
        if given(config) != given(present) {
            let expected = "its own do-not-call lists, and those that the operator has given to the campaign";
            return invalid("/dnc_lists", expected);
        }
        let opt_out = |config: &CampaignConfig| config.opt_out.map(|opt_out| opt_out.list);
        let own =
            |list: &DncListId| self.has_dnc_list(tenant, *list).is_ok() || config.dnc_lists.contains(list);
        if opt_out(config) != opt_out(present) && opt_out(config).is_some_and(|list| !own(&list)) {
            return invalid("/on_no_agent/opt_out_list_id", "the id of one of its own do-not-call lists");
        }
        Ok(())
    }

    /// A call that lives, or one of the last that have ended.
    fn has_call(&self, tenant: &Tenant, id: CallId) -> Result<(), CommandError> {
        let live = self.calls.get(&id).map(|call| (call.campaign, call.agent.or(call.last_agent)));
        let passing = || self.transit(id).map(|start| (None, start.agent));
        let ended = || self.ended.get(id).map(|call| (call.campaign, call.agent));
        let of = live.or_else(passing).or_else(ended);
        let owner = of.and_then(|(campaign, agent)| self.tenant_of(campaign, agent));
        if owner.as_ref() == Some(tenant) { Ok(()) } else { Err(missing("call")) }
    }

    /// Takes a command as a tenant's: what it makes is the tenant's, what it names has to be. Everything that is not named
    /// here is the operator's.
    ///
    /// # Errors
    /// As if what is not the tenant's were not there.
    pub(crate) fn admit(&self, tenant: &Tenant, command: &mut Command) -> Result<(), CommandError> {
        match command {
            Command::CreateAgent(config) => {
                config.tenant = tenant.clone();
                self.device_fits(tenant, config, &AgentDevice::Registered)
            }
            Command::UpdateAgent { agent, config, .. } => {
                let present = self.has_agent(tenant, *agent)?.device.clone();
                self.device_fits(tenant, config, &present)
            }
            Command::DeleteAgent(agent) | Command::AgentLogout(agent) | Command::AgentReady(agent) => {
                self.has_agent(tenant, *agent).map(|_| ())
            }
            Command::AgentLogin { agent, .. } | Command::AgentPause { agent, .. } => {
                self.has_agent(tenant, *agent).map(|_| ())
            }
            Command::CreateList(config) => {
                config.tenant = tenant.clone();
                Ok(())
            }
            Command::UpdateList { list, .. } | Command::LeadsImported { list, .. } => {
                self.has_list(tenant, *list)
            }
            Command::DeleteList(list) => self.has_list(tenant, *list),
            Command::RecycleLeads(wish) => self.has_list(tenant, wish.list),
            Command::CreateDncList(config) => {
                config.tenant = Some(tenant.clone());
                Ok(())
            }
            Command::UpdateDncList { list, .. }
            | Command::AddDnc { list, .. }
            | Command::RemoveDnc { list, .. }
            | Command::DeleteDncList(list) => self.has_dnc_list(tenant, *list),
            Command::UpdateCallerIdPool { pool, config, .. } => {
                let present = self.has_pool(tenant, *pool)?.clone();
                self.keeps_pool(tenant, config, &present)
            }
            Command::QuarantineCallerId { pool, .. }
            | Command::ReportCallerIds { pool, .. }
            | Command::ReleaseCallerId { pool, .. } => self.has_pool(tenant, *pool).map(|_| ()),
            Command::CreateCalendar(config) => {
                config.tenant = Some(tenant.clone());
                Ok(())
            }
            Command::UpdateCalendar { calendar, .. } | Command::DeleteCalendar(calendar) => {
                self.has_calendar(tenant, *calendar)
            }
            Command::CreateCampaign(config) => {
                config.tenant = tenant.clone();
                self.keeps_what_is_given(tenant, config, &CampaignConfig::default())
            }
            Command::UpdateCampaign { campaign, config, .. } => {
                self.keeps_what_is_given(tenant, config, self.has_campaign(tenant, *campaign)?)
            }
            Command::DeleteCampaign(campaign)
            | Command::StartCampaign(campaign)
            | Command::PauseCampaign(campaign)
            | Command::ResumeCampaign(campaign)
            | Command::StopCampaign(campaign)
            | Command::CopyCampaign { campaign, .. }
            | Command::LookIntoHopper { campaign, .. }
            | Command::TakeBackTasks { campaign, .. } => self.has_campaign(tenant, *campaign).map(|_| ()),
            Command::Tracked { command, .. } => self.admit(tenant, command),
            Command::Originate(request) => self.admit_originate(tenant, request),
            Command::Hangup(call) | Command::SetDisposition { call, .. } => self.has_call(tenant, *call),
            Command::Call { call, wish } => {
                self.has_call(tenant, *call)?;
                match wish {
                    CallWish::Bridge(Some(agent)) => self.has_agent(tenant, *agent).map(|_| ()),
                    CallWish::Join(joining) | CallWish::Transfer(joining) | CallWish::Consult(joining) => {
                        self.admit_joining(tenant, joining)
                    }
                    // They send sound to places outside.
                    CallWish::StartFork(_) | CallWish::StopFork(_) => Err(missing("call")),
                    CallWish::SetMode { .. }
                    | CallWish::Drop(_)
                    | CallWish::Hold(_)
                    | CallWish::Mute { .. }
                    | CallWish::Press { .. }
                    | CallWish::Play { .. }
                    | CallWish::StopPlay(_)
                    | CallWish::Answer
                    | CallWish::Park { .. }
                    | CallWish::Bridge(None)
                    | CallWish::Merge
                    | CallWish::Collect(_)
                    | CallWish::Record(_) => Ok(()),
                }
            }
            Command::TaskDial { task, .. } | Command::TaskSkip(task) => {
                let agent = self.tasks.get(task).map(|task| task.agent);
                agent.and_then(|agent| self.has_agent(tenant, agent).ok()).map(|_| ()).ok_or(missing("task"))
            }
            Command::SetCallback(request) => self.admit_callback(tenant, request),
            Command::CancelCallback { lead, .. } => {
                self.has_list(tenant, lead.list).map_err(|_| missing("callback"))
            }
            // Told of what was the tenant's, as whoever asked has looked up: nothing is left that could say so.
            Command::RecordingDeleted { .. } => Ok(()),
            _ => Err(missing("resource")),
        }
    }

    fn device_fits(
        &self,
        tenant: &Tenant,
        config: &AgentConfig,
        present: &AgentDevice,
    ) -> Result<(), CommandError> {
        let shown = |device: &AgentDevice| match device {
            AgentDevice::Number { caller_id, .. } => caller_id.clone(),
            AgentDevice::Registered | AgentDevice::Address { .. } => None,
        };
        no_trunk(config, present)?;
        let (wanted, present) = (shown(&config.device), shown(present));
        self.may_show(tenant, wanted.as_ref(), present.as_ref(), "/device/caller_id")
    }

    fn admit_callback(&self, tenant: &Tenant, request: &CallbackRequest) -> Result<(), CommandError> {
        if self.has_list(tenant, request.lead.list).is_err() {
            return Err(missing("callback"));
        }
        let promise = &request.promise;
        if promise.agent.is_some_and(|agent| self.has_agent(tenant, agent).is_err()) {
            return invalid("/agent_id", "the id of an existing agent");
        }
        if promise.campaign.is_some_and(|campaign| self.has_campaign(tenant, campaign).is_err()) {
            return invalid("/campaign_id", "the id of a campaign that dials the lead's list");
        }
        Ok(())
    }

    fn admit_originate(&self, tenant: &Tenant, request: &OriginateRequest) -> Result<(), CommandError> {
        self.has_agent(tenant, request.agent)?;
        if request.campaign.is_some_and(|campaign| self.has_campaign(tenant, campaign).is_err()) {
            return invalid("/campaign_id", "the id of an existing campaign");
        }
        if request.lead.as_ref().is_some_and(|lead| self.has_list(tenant, lead.list).is_err()) {
            return invalid("/lead_id", "the id of an existing lead");
        }
        if request.trunk.is_some() {
            return invalid("/trunk_id", "the id of an existing trunk");
        }
        if request.caller_id_pool.is_some_and(|(pool, _)| self.has_pool(tenant, pool).is_err()) {
            return invalid("/caller_id/pool", "the id of an existing caller-ID pool");
        }
        self.may_show(tenant, request.caller_id.as_ref(), None, "/caller_id")
    }

    fn admit_joining(&self, tenant: &Tenant, joining: &Joining) -> Result<(), CommandError> {
        if let Target::Agent(agent) = joining.target {
            self.has_agent(tenant, agent)?;
        }
        if joining.trunk.is_some() {
            return invalid("/trunk_id", "the id of an existing trunk");
        }
        self.may_show(tenant, joining.caller_id.as_ref(), None, "/caller_id")
    }
}

/// The trunk of a number is the operator's choice.
fn no_trunk(config: &AgentConfig, present: &AgentDevice) -> Result<(), CommandError> {
    let trunk = |device: &AgentDevice| match device {
        AgentDevice::Number { trunk, .. } => *trunk,
        AgentDevice::Registered | AgentDevice::Address { .. } => None,
    };
    match trunk(&config.device) {
        Some(named) if trunk(present) != Some(named) => {
            invalid("/device/trunk_id", "the id of an existing trunk")
        }
        _ => Ok(()),
    }
}

/// Trunks and caller IDs are the operator's to give.
fn keeps_what_is_given(config: &CampaignConfig, present: &CampaignConfig) -> Result<(), CommandError> {
    if let Some(place) = config.trunks.iter().position(|trunk| !present.trunks.contains(trunk)) {
        return invalid(&format!("/trunks/{place}"), "the id of an existing trunk, each once");
    }
    // Without any of these it would go over all, or be shown no list at all.
    if config.trunks.is_empty() && !present.trunks.is_empty() {
        return invalid("/trunks", "at least one of the trunks that the operator has given to the campaign");
    }
    if config.caller_id_pool.is_none() && present.caller_id_pool.is_some() {
        return invalid("/caller_id_pool", "the id of an existing caller-ID pool");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["default", "t1", "acme-sales_2", &"a".repeat(64)] {
            assert_eq!(Tenant::new(good).as_ref().map(Tenant::as_str), Some(good));
        }
        for bad in ["", "A", "a b", "ä", "a/b", &"a".repeat(65)] {
            assert_eq!(Tenant::new(bad), None, "{bad:?}");
        }
    }
}
