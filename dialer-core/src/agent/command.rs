//! What agents and those who manage them ask for.

use super::Agent;
use crate::call::Moment;
use crate::check::{Checked, invalid, range, text};
use crate::command::{CommandError, Reply};
use crate::config::{AgentConfig, SessionKind, is_destination};
use crate::dialer::{About, Cx, Dialer, check_version};
use crate::effect::Effect;
use crate::event::Event;
use crate::id::{AgentId, CampaignId};
use crate::pacing::{AgentRef, PacingEvent};
use crate::record::{AgentRow, Record};
use crate::serving::{RANK_MAX, check_skills};
use crate::view::AgentState;

const NOT_FOUND: CommandError = CommandError::NotFound { what: "agent" };

/// Campaigns in which one agent has a place of its own, at most.
const MEMBERSHIPS_MAX: usize = 256;

impl Dialer {
    pub(crate) fn create_agent(
        &mut self,
        cx: &mut Cx<'_>,
        config: AgentConfig,
    ) -> Result<Reply, CommandError> {
        check(&config)?;
        self.device_can_be_called(cx, &config)?;
        self.memberships_exist(&config)?;
        self.username_is_free(&config.username, None)?;
        if self.agents.len() >= self.config.agents_max {
            return Err(CommandError::Limit { what: "agents" });
        }
        let id = AgentId::generate(cx.wall, &mut self.ids);
        let row = AgentRow { id, config, version: 1, created_at: cx.wall };
        self.add_agent(cx, row.clone());
        self.journal(cx, vec![Record::AgentPut(row.clone())]);
        cx.out.push(Effect::ApplyAgent(Box::new(row)));
        Ok(Reply::Agent(id, 1))
    }

    /// Puts an agent in the table (a new one, or one known from the last run).
    pub(crate) fn add_agent(&mut self, cx: &Cx<'_>, row: AgentRow) {
        let id = row.id;
        let number = Dialer::stable_number(id.to_bits(), |number| self.agent_numbers.contains(&number));
        self.agent_numbers.insert(number);
        self.agents.insert(id, Agent::new(row, number, Moment { at: cx.now, wall: cx.wall }));
        self.dirty.agents.insert(id);
    }

    pub(crate) fn update_agent(
        &mut self,
        cx: &mut Cx<'_>,
        id: AgentId,
        mut config: AgentConfig,
        if_version: Option<u32>,
    ) -> Result<Reply, CommandError> {
        let agent = self.agents.get(&id).ok_or(NOT_FOUND)?;
        check_version(agent.row.version, if_version)?;
        config.tenant.clone_from(&agent.row.config.tenant);
        check(&config)?;
        self.device_can_be_called(cx, &config)?;
        self.memberships_exist(&config)?;
        self.username_is_free(&config.username, Some(id))?;
        self.device_is_idle(id, &config)?;
        let agent = self.agents.get_mut(&id).expect("found above");
        agent.silent &= !config.device.is_fixed();
        agent.row.config = config;
        agent.row.version += 1;
        let row = agent.row.clone();
        let version = row.version;
        self.dirty.agents.insert(id);
        self.roster.stale = true;
        self.journal(cx, vec![Record::AgentPut(row.clone())]);
        cx.out.push(Effect::ApplyAgent(Box::new(row)));
        self.want_all_decisions();
        Ok(Reply::Agent(id, version))
    }

    pub(crate) fn delete_agent(&mut self, cx: &mut Cx<'_>, id: AgentId) -> Result<Reply, CommandError> {
        let agent = self.agents.get(&id).ok_or(NOT_FOUND)?;
        if agent.session.is_some() || !agent.is_free() || agent.line != super::Line::Closed {
            return Err(CommandError::InvalidAgentState {
                state: agent.state,
                detail: "only an agent who is logged out can be deleted".into(),
            });
        }
        let had_phone = agent.phone.is_some();
        if let Some(agent) = self.agents.remove(&id) {
            self.agent_numbers.remove(&agent.number);
        }
        self.dirty.agents.insert(id);
        self.roster.stale = true;
        let mut records = vec![Record::AgentDeleted { agent: id }];
        if had_phone {
            records.push(Record::ContactDeleted { agent: id });
        }
        records.extend(self.forget_in_pools(|config| {
            let before = config.agents.len();
            config.agents.retain(|agent| *agent != id);
            config.agents.len() < before
        }));
        self.journal(cx, records);
        cx.out.push(Effect::RemoveAgent(id));
        Ok(Reply::Done)
    }

    pub(crate) fn agent_login(
        &mut self,
        cx: &mut Cx<'_>,
        id: AgentId,
        session: SessionKind,
    ) -> Result<Reply, CommandError> {
        if self.node.draining {
            return Err(CommandError::Draining);
        }
        let agent = self.agents.get_mut(&id).ok_or(NOT_FOUND)?;
        if let Some(present) = agent.session {
            if present != session {
                return Err(CommandError::InvalidAgentState {
                    state: agent.state,
                    detail: "logged in with another kind of session; log out first".into(),
                });
            }
            // Again: takes back a log-out that waits for the end of a call, else changes nothing.
            if std::mem::take(&mut agent.leaving) {
                let row = agent.status_row(cx.wall);
                self.dirty.agents.insert(id);
                self.journal(cx, vec![Record::AgentStatusChanged(row)]);
                self.tend_session(cx, id);
            }
            return Ok(Reply::Done);
        }
        agent.session = Some(session);
        agent.paused = None;
        agent.missed = 0;
        agent.reopenings = 0;
        agent.calls_taken = 0;
        agent.state_ms = [0; 10];
        agent.since = Moment { at: cx.now, wall: cx.wall };
        let row = agent.status_row(cx.wall);
        let number = AgentRef(agent.number);
        self.roster.stale = true;
        self.journal(cx, vec![Record::AgentStatusChanged(row)]);
        self.tell_agent(cx, id, Event::AgentLoggedIn);
        self.observe(cx.now, &PacingEvent::AgentLoggedIn(number));
        self.tend_session(cx, id);
        self.rest_agent(cx, id, "login");
        Ok(Reply::Done)
    }

    pub(crate) fn agent_logout(&mut self, cx: &mut Cx<'_>, id: AgentId) -> Result<Reply, CommandError> {
        let agent = self.agents.get_mut(&id).ok_or(NOT_FOUND)?;
        if agent.session.is_none() || agent.leaving {
            return Ok(Reply::Done);
        }
        agent.leaving = true;
        let row = agent.status_row(cx.wall);
        self.journal(cx, vec![Record::AgentStatusChanged(row)]);
        self.give_up_work(cx, id, "logout");
        Ok(Reply::Done)
    }

    /// Ends what an agent need not finish (a task, after-call work, a line that only rings); a call goes on.
    fn give_up_work(&mut self, cx: &mut Cx<'_>, id: AgentId, reason: &str) {
        if let Some(task) = self.agents[&id].task {
            self.cancel_task(cx, task, reason);
        } else if let Some(call) = self.agents[&id].call.filter(|call| self.calls[call].is_joined_early()) {
            self.let_go_early(cx, call);
            self.rest_agent(cx, id, reason);
        } else {
            self.drop_wrap_up(cx, id, false);
            self.rest_agent(cx, id, reason);
        }
    }

    pub(super) fn log_out_now(&mut self, cx: &mut Cx<'_>, id: AgentId, reason: &str) {
        let agent = self.agents.get_mut(&id).expect("the caller has it");
        agent.session = None;
        agent.paused = None;
        agent.leaving = false;
        agent.missed = 0;
        let backoff = agent.backoff.take().map(|(timer, _)| timer);
        let reopen = agent.reopen.take();
        let limit = agent.pause_timer.take();
        self.disarm(limit);
        self.disarm(backoff);
        self.disarm(reopen);
        self.roster.stale = true;
        self.set_agent_state(cx, id, AgentState::LoggedOut, reason, None);
        self.tend_session(cx, id);
        self.tell_agent(cx, id, Event::AgentLoggedOut { reason: reason.into() });
    }

    /// The agent wants work: a break, after-call work or a back-off ends. Work comes as soon as the phone is there.
    pub(crate) fn agent_ready(&mut self, cx: &mut Cx<'_>, id: AgentId) -> Result<Reply, CommandError> {
        let agent = self.agents.get_mut(&id).ok_or(NOT_FOUND)?;
        if agent.session.is_none() {
            return Err(CommandError::InvalidAgentState {
                state: agent.state,
                detail: "log in first".into(),
            });
        }
        let had_break = agent.paused.take().is_some();
        let limit = agent.pause_timer.take();
        self.disarm(limit);
        let agent = self.agents.get_mut(&id).expect("found above");
        let was_leaving = std::mem::take(&mut agent.leaving);
        if had_break || was_leaving {
            let row = agent.status_row(cx.wall);
            self.journal(cx, vec![Record::AgentStatusChanged(row)]);
        }
        self.drop_wrap_up(cx, id, false);
        let agent = self.agents.get_mut(&id).expect("found above");
        agent.missed = 0;
        if let Some((timer, _)) = agent.backoff.take() {
            self.timers.cancel(timer);
        }
        if was_leaving {
            self.tend_session(cx, id);
        }
        self.rest_agent(cx, id, "ready");
        Ok(Reply::Done)
    }

    pub(crate) fn agent_pause(
        &mut self,
        cx: &mut Cx<'_>,
        id: AgentId,
        code: String,
    ) -> Result<Reply, CommandError> {
        let agent = self.agents.get_mut(&id).ok_or(NOT_FOUND)?;
        if agent.session.is_none() {
            return Err(CommandError::InvalidAgentState {
                state: agent.state,
                detail: "log in first".into(),
            });
        }
        text("/code", &code, 1, 64)?;
        self.check_pause_code(id, &code)?;
        self.take_break(cx, id, &code);
        self.give_up_work(cx, id, "pause");
        Ok(Reply::Done)
    }

    fn memberships_exist(&self, config: &AgentConfig) -> Checked {
        let own = |id: &CampaignId| {
            self.campaigns.get(id).is_some_and(|campaign| campaign.row.config.tenant == config.tenant)
        };
        match config.memberships.keys().find(|campaign| !own(campaign)) {
            Some(campaign) => invalid(&format!("/campaigns/{campaign}"), "the id of an existing campaign"),
            None => Ok(()),
        }
    }

    /// A campaign is gone, and every agent's place in it.
    pub(crate) fn forget_memberships(&mut self, cx: &mut Cx<'_>, campaign: CampaignId) {
        let mut records = Vec::new();
        for (id, agent) in &mut self.agents {
            if agent.row.config.memberships.remove(&campaign).is_some() {
                agent.row.version += 1;
                self.dirty.agents.insert(*id);
                records.push(Record::AgentPut(agent.row.clone()));
            }
        }
        if !records.is_empty() {
            self.journal(cx, records);
        }
    }

    fn username_is_free(&self, username: &str, except: Option<AgentId>) -> Checked {
        let taken =
            self.agents.values().any(|a| a.row.config.username == username && Some(a.row.id) != except);
        if taken {
            return Err(CommandError::Conflict {
                pointer: "/username".into(),
                detail: format!("another agent's phone is called {username:?}"),
            });
        }
        Ok(())
    }

    fn tell_agent(&mut self, cx: &mut Cx<'_>, id: AgentId, event: Event) {
        self.dirty.agents.insert(id);
        self.tell(cx, About { agent: Some(id), ..About::default() }, event);
    }
}

fn check(config: &AgentConfig) -> Checked {
    text("/name", &config.name, 0, 128)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !(1..=64).contains(&config.username.len()) || !config.username.bytes().all(plain) {
        return invalid("/username", "1 to 64 letters, digits, dots, dashes and underscores");
    }
    super::device::check(config)?;
    for (place, group) in config.groups.iter().enumerate() {
        text(&format!("/groups/{place}"), group, 1, 64)?;
    }
    if config.groups.len() > 64 {
        return invalid("/groups", "at most 64 groups");
    }
    if let Some(ms) = config.wrap_up_ms {
        range("/wrap_up_ms", ms, 0, 3_600_000)?;
    }
    if config.destinations.len() > 64 {
        return invalid("/destinations", "at most 64 beginnings of numbers");
    }
    if let Some(place) = config.destinations.iter().position(|entry| !is_destination(entry)) {
        return invalid(&format!("/destinations/{place}"), "the beginning of a number, or *");
    }
    range("/calls_max", config.calls_max, 0, 1_000)?;
    check_skills("/skills", &config.skills, 0)?;
    range("/rank", config.rank, -RANK_MAX, RANK_MAX)?;
    if config.memberships.len() > MEMBERSHIPS_MAX {
        return invalid("/campaigns", format_args!("at most {MEMBERSHIPS_MAX} campaigns"));
    }
    for (campaign, membership) in &config.memberships {
        range(&format!("/campaigns/{campaign}/rank"), membership.rank, -RANK_MAX, RANK_MAX)?;
    }
    if let Some(ms) = config.pause_max_ms {
        range("/pause_max_ms", ms, 1_000, 24 * 3_600_000)?;
    }
    if let Some(ms) = config.ring_ms {
        range("/ring_ms", ms, 500, 120_000)?;
    }
    Ok(())
}
