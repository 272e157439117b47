//! Making, changing, starting and ending campaigns.
//!
//! ```text
//!              start             pause
//!   stopped ─────────▶ running ─────────▶ paused
//!      ▲                 │  ▲               │ │
//!      └──── stop ───────┘  └──── resume ───┘ │
//!      └──────────────── stop ────────────────┘
//! ```

use super::Campaign;
use crate::command::{CommandError, Reply};
use crate::config::{CampaignConfig, CampaignState};
use crate::dialer::{About, Cx, Dialer, check_version};
use crate::event::{Change, Event};
use crate::id::{CallId, CampaignId};
use crate::outcome::{EndCause, Evidence, Outcome, Party};
use crate::pacing::CampaignRef;
use crate::record::{CampaignRow, Record};

const NOT_FOUND: CommandError = CommandError::NotFound { what: "campaign" };

impl Dialer {
    pub(crate) fn create_campaign(
        &mut self,
        cx: &mut Cx<'_>,
        config: CampaignConfig,
    ) -> Result<Reply, CommandError> {
        self.check_campaign(&config)?;
        if self.campaigns.len() >= self.config.campaigns_max {
            return Err(CommandError::Limit { what: "campaigns" });
        }
        let id = CampaignId::generate(cx.wall, &mut self.ids);
        let row = CampaignRow { id, config, state: CampaignState::Stopped, version: 1, created_at: cx.wall };
        self.add_campaign(cx, row.clone());
        self.journal(cx, vec![Record::CampaignPut(Box::new(row))]);
        self.tell_campaign(cx, id, Event::CampaignChanged { change: Change::Created });
        self.find_expired(cx, id);
        Ok(Reply::Campaign(id, 1))
    }

    /// Puts a campaign at work (a new one, or one known from the last run).
    pub(crate) fn add_campaign(&mut self, cx: &mut Cx<'_>, row: CampaignRow) {
        let id = row.id;
        let taken = |number| self.campaigns.values().any(|campaign| campaign.number.0 == number);
        let number = CampaignRef(Dialer::stable_number(id.to_bits(), taken));
        self.campaigns.insert(id, Campaign::new(row, number, cx.now, cx.wall));
        self.renew_screen(id);
        self.set_campaign_pacing(id);
        self.dirty.campaigns.insert(id);
        self.roster.stale = true;
        // Its budget is to be seen also while it does not dial.
        self.wanted.insert(id);
    }

    pub(crate) fn update_campaign(
        &mut self,
        cx: &mut Cx<'_>,
        id: CampaignId,
        mut config: CampaignConfig,
        if_version: Option<u32>,
    ) -> Result<Reply, CommandError> {
        let campaign = self.campaigns.get(&id).ok_or(NOT_FOUND)?;
        check_version(campaign.row.version, if_version)?;
        config.tenant.clone_from(&campaign.row.config.tenant);
        self.check_campaign(&config)?;
        if config.lists.is_empty() && campaign.row.state != CampaignState::Stopped {
            return crate::check::invalid("/lists", "at least one list while the campaign is not stopped");
        }
        let campaign = self.campaigns.get_mut(&id).expect("found above");
        let old = std::mem::replace(&mut campaign.row.config, config);
        campaign.row.version += 1;
        campaign.cps.set(campaign.row.config.concurrency.cps_max);
        let row = campaign.row.clone();
        let version = row.version;
        let experiment = |config: &CampaignConfig| config.best_time.as_ref().and_then(|of| of.experiment);
        let mut records = vec![Record::CampaignPut(Box::new(row.clone()))];
        if experiment(&old) != experiment(&row.config) {
            campaign.best_time.forget_arms();
            records.push(Record::ExperimentReset { campaign: id });
        }
        self.journal(cx, records);
        self.tell_campaign(cx, id, Event::CampaignChanged { change: Change::Updated });
        let served_by = |config: &CampaignConfig| (config.agent_group.clone(), config.serving.skills.clone());
        if old.mode != row.config.mode || served_by(&old) != served_by(&row.config) {
            self.cancel_tasks_of(cx, id, "campaign_changed");
        }
        self.renew_screen(id);
        self.find_expired(cx, id);
        let screened = |config: &CampaignConfig| {
            let order = (config.lists.clone(), config.sequence.clone());
            let windows = (config.calling_windows.clone(), config.calendar);
            (order, config.filter.clone(), windows, *config.frequency)
        };
        if screened(&old) != screened(&row.config) || old.pacing.policy != row.config.pacing.policy {
            self.empty_hopper(cx, id);
            self.campaigns.get_mut(&id).expect("found above").completed = false;
        }
        self.set_campaign_pacing(id);
        self.roster.stale = true;
        self.wanted.insert(id);
        self.refill(cx, id);
        Ok(Reply::Campaign(id, version))
    }

    pub(crate) fn delete_campaign(&mut self, cx: &mut Cx<'_>, id: CampaignId) -> Result<Reply, CommandError> {
        let campaign = self.campaigns.get(&id).ok_or(NOT_FOUND)?;
        if campaign.row.state != CampaignState::Stopped {
            return Err(CommandError::InvalidState {
                detail: format!("the campaign is {}; stop it first", campaign.row.state.as_str()),
            });
        }
        if self.calls.values().any(|call| call.campaign == Some(id)) {
            return Err(CommandError::InvalidState {
                detail: "the campaign has live calls; wait for their end or hang them up".into(),
            });
        }
        self.empty_hopper(cx, id);
        let campaign = self.campaigns.remove(&id).expect("found above");
        self.disarm(campaign.decide_timer);
        self.disarm(campaign.expiry.timer());
        self.pacer.remove_campaign(campaign.number);
        self.wanted.remove(&id);
        self.roster.stale = true;
        self.dirty.campaigns.insert(id);
        self.journal(cx, vec![Record::CampaignDeleted { campaign: id }]);
        self.forget_memberships(cx, id);
        self.tell_campaign(cx, id, Event::CampaignChanged { change: Change::Deleted });
        Ok(Reply::Done)
    }

    pub(crate) fn start_campaign(&mut self, cx: &mut Cx<'_>, id: CampaignId) -> Result<Reply, CommandError> {
        let campaign = self.campaigns.get(&id).ok_or(NOT_FOUND)?;
        if campaign.row.config.lists.is_empty() {
            return Err(CommandError::InvalidState {
                detail: "the campaign has no lists; give it at least one".into(),
            });
        }
        self.refuse_when_over(cx, id)?;
        self.refuse_when_manual(id)?;
        self.change_state(cx, id, &[CampaignState::Stopped], CampaignState::Running)
    }

    /// Makes a campaign with another's settings.
    pub(crate) fn copy_campaign(
        &mut self,
        cx: &mut Cx<'_>,
        id: CampaignId,
        name: String,
    ) -> Result<Reply, CommandError> {
        let campaign = self.campaigns.get(&id).ok_or(NOT_FOUND)?;
        let config = CampaignConfig { name, ..campaign.row.config.clone() };
        self.create_campaign(cx, config)
    }

    pub(crate) fn resume_campaign(&mut self, cx: &mut Cx<'_>, id: CampaignId) -> Result<Reply, CommandError> {
        self.refuse_when_over(cx, id)?;
        self.refuse_when_manual(id)?;
        self.change_state(cx, id, &[CampaignState::Paused], CampaignState::Running)
    }

    pub(crate) fn pause_campaign(&mut self, cx: &mut Cx<'_>, id: CampaignId) -> Result<Reply, CommandError> {
        let reply = self.change_state(cx, id, &[CampaignState::Running], CampaignState::Paused)?;
        self.cancel_tasks_of(cx, id, "campaign_paused");
        Ok(reply)
    }

    /// Ends dialling: what rings is cancelled, who talks goes on, what waits is still served.
    pub(crate) fn stop_campaign(&mut self, cx: &mut Cx<'_>, id: CampaignId) -> Result<Reply, CommandError> {
        let from = [CampaignState::Running, CampaignState::Paused];
        let reply = self.change_state(cx, id, &from, CampaignState::Stopped)?;
        self.sketch_now(cx, id);
        self.cancel_tasks_of(cx, id, "campaign_stopped");
        let ringing: Vec<CallId> = self.campaigns[&id]
            .calls
            .iter()
            .copied()
            .filter(|call| self.calls[call].answered.is_none())
            .collect();
        for call in ringing {
            let conclusion = Some((Outcome::Cancelled, Evidence::Timer));
            self.hang_up(cx, call, EndCause::Cancelled, Party::Api, conclusion);
        }
        self.empty_hopper(cx, id);
        Ok(reply)
    }

    /// One that was made before the node was told to dial by hand alone.
    fn refuse_when_manual(&self, id: CampaignId) -> Result<(), CommandError> {
        let campaign = self.campaigns.get(&id).ok_or(NOT_FOUND)?;
        if self.config.manual_only && super::check_manual(&campaign.row.config).is_err() {
            let detail = "this node dials by hand only, and the campaign would dial by itself".into();
            return Err(CommandError::InvalidState { detail });
        }
        Ok(())
    }

    fn change_state(
        &mut self,
        cx: &mut Cx<'_>,
        id: CampaignId,
        allowed: &[CampaignState],
        to: CampaignState,
    ) -> Result<Reply, CommandError> {
        let campaign = self.campaigns.get_mut(&id).ok_or(NOT_FOUND)?;
        let from = campaign.row.state;
        if !allowed.contains(&from) {
            return Err(CommandError::InvalidState { detail: format!("the campaign is {}", from.as_str()) });
        }
        campaign.row.state = to;
        campaign.row.version += 1;
        campaign.completed = false;
        campaign.hopper.look_again(cx.wall);
        let row = campaign.row.clone();
        let version = row.version;
        self.journal(cx, vec![Record::CampaignPut(Box::new(row))]);
        self.tell_campaign(cx, id, Event::CampaignState { from, to });
        self.dirty.campaigns.insert(id);
        self.roster.stale = true;
        self.wanted.insert(id);
        self.refill(cx, id);
        Ok(Reply::Campaign(id, version))
    }

    pub(crate) fn tell_campaign(&mut self, cx: &mut Cx<'_>, id: CampaignId, event: Event) {
        self.dirty.campaigns.insert(id);
        self.tell(cx, About { campaign: Some(id), ..About::default() }, event);
    }

    /// Tells, once, that a campaign has nothing left to dial. It stays on: new leads set it going again.
    pub(crate) fn check_completed(&mut self, cx: &mut Cx<'_>, id: CampaignId) {
        let Some(campaign) = self.campaigns.get_mut(&id) else { return };
        let over = campaign.is_running()
            && campaign.hopper.is_dry()
            && campaign.calls.is_empty()
            && campaign.tasks.is_empty();
        if over && !campaign.completed {
            campaign.completed = true;
            self.tell_campaign(cx, id, Event::CampaignCompleted);
        }
    }
}
