//! Preview: an agent looks at a lead and says when to dial.

use super::{CalledBy, Campaign, Clearance};
use crate::attempt::Shortage;
use crate::check::invalid;
use crate::command::{CommandError, Reply};
use crate::config::CampaignState;
use crate::dialer::{About, Cx, Dialer, Why};
use crate::event::Event;
use crate::id::{AgentId, CampaignId, TaskId};
use crate::pop::{PopLead, ScreenPop};
use crate::record::Lead;
use crate::view::{AgentState, LimitedBy, TaskView};
use sansio::{TimerKey, WallTime};

/// A lead given to an agent to look at.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) campaign: CampaignId,
    pub(crate) agent: AgentId,
    pub(crate) lead: Lead,
    pub(crate) expires_at: Option<WallTime>,
    /// What the agent's screen is to show.
    pop: ScreenPop,
    timer: Option<TimerKey>,
}

/// A task that could not dial by itself tries again after this long, milliseconds.
const TASK_RETRY_MS: u64 = 1_000;

impl Task {
    pub(crate) fn view(&self, id: TaskId) -> TaskView {
        TaskView {
            id,
            campaign: self.campaign,
            lead: self.lead.id,
            to: self.lead.phones[crate::lead::next_phone(&self.lead)].number.clone(),
            expires_at: self.expires_at,
            pop: Box::new(self.pop.clone()),
        }
    }
}

impl Dialer {
    /// Gives every ready agent of a running preview campaign a lead to look at.
    pub(crate) fn offer_tasks(&mut self, cx: &mut Cx<'_>) {
        if self.ready.is_empty() {
            return;
        }
        let campaigns: Vec<CampaignId> = self
            .campaigns
            .values()
            .filter(|c| c.is_running() && c.is_preview() && c.hopper.len() > 0)
            .map(|c| c.row.id)
            .collect();
        for id in campaigns {
            let mut aside = Vec::new();
            let mut room = if self.may_dial(cx, id).is_ok() { self.task_room(id) } else { 0 };
            while room > 0 && self.may_dial(cx, id).is_ok() && self.has_turn(cx, id) {
                let Some(anyone) = self.pick_agent(id) else { break };
                let Some(lead) = self.next_lead(cx, id) else { break };
                let agent = match self.called_by(id, &lead, cx.wall) {
                    CalledBy::Anyone => anyone,
                    CalledBy::Agent(agent) => agent,
                    CalledBy::NotNow => {
                        aside.push(lead);
                        continue;
                    }
                };
                self.offer_task(cx, id, agent, lead);
                self.charge_task(id);
                room -= 1;
            }
            self.campaigns.get_mut(&id).expect("it runs").hopper.put_back(aside);
            self.refill(cx, id);
            self.check_completed(cx, id);
        }
    }

    fn offer_task(&mut self, cx: &mut Cx<'_>, id: CampaignId, agent: AgentId, lead: Lead) {
        let task_id = TaskId::generate(cx.wall, &mut self.ids);
        let auto_dial_ms = u64::from(self.campaigns[&id].row.config.timers.preview_auto_dial_ms);
        let (timer, expires_at) = if auto_dial_ms == 0 {
            (None, None)
        } else {
            let timer = self.arm(cx.now, auto_dial_ms, Why::Task(task_id));
            (Some(timer), Some(cx.wall.plus_millis(auto_dial_ms as i64)))
        };
        let to = lead.phones[crate::lead::next_phone(&lead)].number.clone();
        let pop = ScreenPop {
            to: to.clone(),
            attempt: lead.progress.attempts + 1,
            agent_username: self.agents[&agent].row.config.username.clone(),
            lead: Some(PopLead::from(&lead)),
            url: self.campaigns[&id].row.config.serving.pop_url.clone(),
        };
        let shown = Some(Box::new(pop.clone()));
        let task = Task { campaign: id, agent, lead, expires_at, pop, timer };
        self.campaigns.get_mut(&id).expect("it runs").owners_may_take_more(cx.wall);
        let about =
            About { campaign: Some(id), lead: Some(task.lead.id), agent: Some(agent), ..About::default() };
        self.tasks.insert(task_id, task);
        self.campaigns.get_mut(&id).expect("it runs").tasks.insert(task_id);
        self.agents.get_mut(&agent).expect("it is ready").task = Some(task_id);
        self.set_agent_state(cx, agent, AgentState::Preview, "task_offered", expires_at);
        self.tell(cx, about, Event::TaskOffered { task: task_id, to, expires_at, pop: shown });
    }

    pub(crate) fn task_dial(
        &mut self,
        cx: &mut Cx<'_>,
        id: TaskId,
        phone: Option<u32>,
    ) -> Result<Reply, CommandError> {
        let task = self.tasks.get_mut(&id).ok_or(CommandError::NotFound { what: "task" })?;
        let campaign = task.campaign;
        if let Some(place) = phone {
            let phones = task.lead.phones.len();
            let Some(chosen) = task.lead.phones.get(place as usize) else {
                return invalid(
                    "/phone",
                    format_args!("the place of one of the lead's {phones} numbers, from 0"),
                );
            };
            let number = chosen.number.clone();
            self.refuse_breach((Some(campaign), None), &number, false, cx.wall)?;
            self.tasks.get_mut(&id).expect("found above").lead.progress.next_phone = place;
        }
        match self.dial_task(cx, id) {
            Ok(call) => Ok(Reply::Call(call)),
            Err(shortage) => Err(shortage.as_error(self.campaigns.get(&campaign).map(Campaign::state))),
        }
    }

    fn dial_task(&mut self, cx: &mut Cx<'_>, id: TaskId) -> Result<crate::id::CallId, Shortage> {
        let campaign = self.tasks[&id].campaign;
        self.may_dial(cx, campaign)?;
        let trunk = self.trunk_for(cx, campaign)?;
        self.check_task(cx, id)?;
        let task = self.end_task(cx, id, "dialled");
        Ok(self.dial_lead(cx, campaign, task.lead, trunk, Some(task.agent)))
    }

    /// Much may have changed since the lead was offered.
    fn check_task(&mut self, cx: &mut Cx<'_>, id: TaskId) -> Result<(), Shortage> {
        let campaign = self.tasks[&id].campaign;
        let screen = self.campaigns[&campaign].screen.clone();
        let mut lead = self.tasks[&id].lead.clone();
        let clearance = self.clear(campaign, &mut screen.at(cx.wall), &mut lead, cx.wall);
        if clearance == Clearance::Dial {
            self.tasks.get_mut(&id).expect("looked up above").lead = lead;
            return Ok(());
        }
        let task = self.end_task(cx, id, "not_allowed");
        self.leads.release(task.lead.id);
        match clearance {
            Clearance::Dnc(list) => self.mark_dnc(cx, campaign, task.lead, list),
            Clearance::Expired => self.mark_expired(cx, campaign, task.lead),
            _ => self.leads_may_be_there(cx, &[task.lead.list]),
        }
        self.rest_agent(cx, task.agent, "task_not_allowed");
        Err(Shortage(LimitedBy::Compliance))
    }

    pub(crate) fn task_skip(&mut self, cx: &mut Cx<'_>, id: TaskId) -> Result<Reply, CommandError> {
        if !self.tasks.contains_key(&id) {
            return Err(CommandError::NotFound { what: "task" });
        }
        let campaign = self.tasks[&id].campaign;
        if !self.campaigns[&campaign].row.config.preview_skip {
            return Err(CommandError::InvalidState {
                detail: "the campaign does not let leads be given back: dial it, or go on a break".into(),
            });
        }
        let task = self.end_task(cx, id, "skipped");
        let campaign = self.campaigns.get_mut(&task.campaign).expect("tasks end with their campaign");
        campaign.hopper.put_last(task.lead);
        self.rest_agent(cx, task.agent, "task_skipped");
        Ok(Reply::Done)
    }

    /// Takes tasks back from agents; the leads wait behind all others, the agents are free.
    pub(crate) fn take_back_tasks(
        &mut self,
        cx: &mut Cx<'_>,
        id: CampaignId,
        agent: Option<AgentId>,
    ) -> Result<Reply, CommandError> {
        let campaign = self.campaigns.get(&id).ok_or(CommandError::NotFound { what: "campaign" })?;
        let tasks: Vec<TaskId> = campaign.tasks.iter().copied().collect();
        let meant = |task: &TaskId| agent.is_none_or(|agent| self.tasks[task].agent == agent);
        let tasks: Vec<TaskId> = tasks.into_iter().filter(meant).collect();
        for task in &tasks {
            let task = self.end_task(cx, *task, "taken_back");
            self.campaigns.get_mut(&id).expect("found above").hopper.put_last(task.lead);
            self.rest_agent(cx, task.agent, "task_taken_back");
        }
        Ok(Reply::Count(tasks.len() as u64))
    }

    pub(crate) fn on_task_timer(&mut self, cx: &mut Cx<'_>, id: TaskId) {
        if self.tasks.contains_key(&id) && self.dial_task(cx, id).is_err() && self.tasks.contains_key(&id) {
            let timer = self.arm(cx.now, TASK_RETRY_MS, Why::Task(id));
            self.tasks.get_mut(&id).expect("looked up above").timer = Some(timer);
        }
    }

    /// Takes a task out of the table; its lead and its agent are the caller's to place.
    fn end_task(&mut self, cx: &mut Cx<'_>, id: TaskId, how: &str) -> Task {
        let mut task = self.tasks.remove(&id).expect("the caller looked it up");
        let timer = task.timer.take();
        self.disarm(timer);
        self.campaigns.get_mut(&task.campaign).expect("tasks end with their campaign").tasks.remove(&id);
        self.agents.get_mut(&task.agent).expect("an agent with a task is not deleted").task = None;
        self.dirty.agents.insert(task.agent);
        let about = About {
            campaign: Some(task.campaign),
            lead: Some(task.lead.id),
            agent: Some(task.agent),
            ..About::default()
        };
        self.tell(cx, about, Event::TaskEnded { task: id, how: how.into() });
        task
    }

    /// Takes a task away from its agent; the lead is next again.
    pub(crate) fn cancel_task(&mut self, cx: &mut Cx<'_>, id: TaskId, why: &str) {
        let task = self.end_task(cx, id, why);
        let campaign = self.campaigns.get_mut(&task.campaign).expect("tasks end with their campaign");
        campaign.hopper.put_first(task.lead);
        self.rest_agent(cx, task.agent, why);
    }

    pub(crate) fn cancel_tasks_of(&mut self, cx: &mut Cx<'_>, id: CampaignId, why: &str) {
        let tasks: Vec<TaskId> = self.campaigns[&id].tasks.iter().copied().collect();
        for task in tasks {
            self.cancel_task(cx, task, why);
        }
    }

    pub(crate) fn cancel_all_tasks(&mut self, cx: &mut Cx<'_>, why: &str) {
        let tasks: Vec<TaskId> = self.tasks.keys().copied().collect();
        for task in tasks {
            self.cancel_task(cx, task, why);
        }
    }
}

impl Campaign {
    fn state(&self) -> CampaignState {
        self.row.state
    }
}
