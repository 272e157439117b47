//! Pools made, changed and used.

use super::number::{Judged, QuarantineReason, Reputation};
use super::{
    CallerIdPoolConfig, CallerIdPoolRow, CallerIdPoolSnapshot, OwnUse, Pool, PoolState, Quarantine, Shown,
};
use crate::campaign::Campaign;
use crate::check::{Checked, invalid, range_f64, text};
use crate::command::{CommandError, Reply};
use crate::dialer::{About, Cx, Dialer, Why, check_version};
use crate::event::Event;
use crate::id::{AgentId, CallerIdPoolId, CampaignId, ListId};
use crate::outcome::Outcome;
use crate::record::{CallRecord, Record};
use core::time::Duration;
use sansio::WallTime;

const NOT_FOUND: CommandError = CommandError::NotFound { what: "caller-ID pool" };
const NO_NUMBER: CommandError = CommandError::NotFound { what: "number in this pool" };

/// How numbers fare is written down this often, milliseconds; a crash forgets no more of it. Uses, which caps count, and
/// quarantines are written at once.
const WRITTEN_EVERY_MS: u64 = 5_000;

/// What someone who watches numbers reports of one.
#[derive(Clone, PartialEq, Debug)]
pub struct CallerIdReport {
    /// Which.
    pub number: String,
    /// Who says so: one report of each is kept.
    pub source: String,
    /// 0 (worst) ..= 1.
    pub score: Option<f64>,
    /// How it is labelled on phones.
    pub label: Option<String>,
}

impl CallerIdReport {
    fn check(&self, place: usize, state: &PoolState) -> Checked {
        let at = |field: &str| format!("/reports/{place}/{field}");
        if !state.numbers.iter().any(|known| known.number == self.number) {
            return invalid(&at("number"), "a number of this pool");
        }
        text(&at("source"), &self.source, 1, 64)?;
        if let Some(score) = self.score {
            range_f64(&at("score"), score, 0.0, 1.0)?;
        }
        if let Some(label) = &self.label {
            text(&at("label"), label, 1, 64)?;
        }
        Ok(())
    }
}

impl Dialer {
    pub(crate) fn create_pool(
        &mut self,
        cx: &mut Cx<'_>,
        config: CallerIdPoolConfig,
    ) -> Result<Reply, CommandError> {
        config.check()?;
        self.pool_fits(&config, None)?;
        if self.pools.len() >= self.config.lists_max {
            return Err(CommandError::Limit { what: "caller-ID pools" });
        }
        let id = CallerIdPoolId::generate(cx.wall, &mut self.ids);
        let row = CallerIdPoolRow { id, config, version: 1, created_at: cx.wall };
        self.pools.insert(id, Pool::new(row.clone(), PoolState::default()));
        self.dirty.pools.insert(id);
        self.journal(cx, vec![Record::CallerIdPoolPut(row)]);
        self.want_all_decisions();
        Ok(Reply::CallerIdPool(id, 1))
    }

    pub(crate) fn update_pool(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallerIdPoolId,
        config: CallerIdPoolConfig,
        if_version: Option<u32>,
    ) -> Result<Reply, CommandError> {
        let pool = self.pools.get(&id).ok_or(NOT_FOUND)?;
        check_version(pool.row.version, if_version)?;
        config.check()?;
        self.pool_fits(&config, Some(id))?;
        let pool = self.pools.get_mut(&id).expect("found above");
        if config.experiment != pool.row.config.experiment || config.strategy != pool.row.config.strategy {
            pool.begin_experiment();
        }
        pool.row.config = config;
        pool.row.version += 1;
        pool.fit();
        pool.changed = false;
        let (row, state) = (pool.row.clone(), Box::new(pool.state.clone()));
        let version = row.version;
        self.dirty.pools.insert(id);
        let state = Record::CallerIdPoolState { pool: id, state, at: cx.wall };
        self.journal(cx, vec![Record::CallerIdPoolPut(row), state]);
        self.serve_numbers(cx);
        self.want_all_decisions();
        Ok(Reply::CallerIdPool(id, version))
    }

    /// A name of its own, and agents and lists that exist.
    fn pool_fits(&self, config: &CallerIdPoolConfig, except: Option<CallerIdPoolId>) -> Checked {
        let same = |pool: &Pool| pool.row.config.name == config.name && Some(pool.row.id) != except;
        if self.pools.values().any(same) {
            return Err(CommandError::Conflict {
                pointer: "/name".into(),
                detail: format!("another caller-ID pool is called {:?}", config.name),
            });
        }
        if let Some(place) = config.agents.iter().position(|agent| !self.agents.contains_key(agent)) {
            return invalid(&format!("/agents/{place}"), "the id of an existing agent");
        }
        match config.lists.iter().position(|list| !self.lists.contains_key(list)) {
            Some(place) => invalid(&format!("/lists/{place}"), "the id of an existing list"),
            None => Ok(()),
        }
    }

    /// An agent or a list is gone; pools name it no more. Gives what is to be written down.
    pub(crate) fn forget_in_pools(
        &mut self,
        forget: impl Fn(&mut CallerIdPoolConfig) -> bool,
    ) -> Vec<Record> {
        let mut records = Vec::new();
        for (id, pool) in &mut self.pools {
            if forget(&mut pool.row.config) {
                pool.row.version += 1;
                self.dirty.pools.insert(*id);
                records.push(Record::CallerIdPoolPut(pool.row.clone()));
            }
        }
        records
    }

    pub(crate) fn delete_pool(&mut self, cx: &mut Cx<'_>, id: CallerIdPoolId) -> Result<Reply, CommandError> {
        if !self.pools.contains_key(&id) {
            return Err(NOT_FOUND);
        }
        if let Some(user) = self.campaigns.values().find(|c| c.row.config.caller_id_pool == Some(id)) {
            return Err(CommandError::InvalidState {
                detail: format!(
                    "campaign {} shows numbers of this pool; take it out there first",
                    user.row.id
                ),
            });
        }
        if let Some(route) = self.routes.rows.values().find(|row| row.config.pools.contains(&id)) {
            return Err(CommandError::InvalidState {
                detail: format!("inbound route {} answers for this pool; take it out there first", route.id),
            });
        }
        self.pools.remove(&id);
        self.counters.caller_ids.remove(&id);
        self.dirty.pools.insert(id);
        self.journal(cx, vec![Record::CallerIdPoolDeleted { pool: id }]);
        self.want_all_decisions();
        Ok(Reply::Done)
    }

    /// Leaves a number alone because somebody says so.
    pub(crate) fn quarantine_number(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallerIdPoolId,
        number: &str,
    ) -> Result<Reply, CommandError> {
        let pool = self.pools.get_mut(&id).ok_or(NOT_FOUND)?;
        let rules = pool.row.config.quarantine.clone().unwrap_or_else(Quarantine::default);
        let found = pool.state.numbers.iter_mut().find(|known| known.number == number);
        let found = found.ok_or(NO_NUMBER)?;
        if found.is_quarantined(cx.wall) {
            return Err(CommandError::InvalidState { detail: "the number is in quarantine".into() });
        }
        found.quarantine(QuarantineReason::ByHand, rules.lasts_ms, cx.wall);
        pool.changed = true;
        self.number_quarantined(cx, id, number.to_owned(), QuarantineReason::ByHand);
        Ok(Reply::Done)
    }

    /// Those who watch numbers report on some of a pool. All of it is taken or nothing; gives how many changed their state.
    pub(crate) fn report_numbers(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallerIdPoolId,
        reports: Vec<CallerIdReport>,
    ) -> Result<Reply, CommandError> {
        let pool = self.pools.get_mut(&id).ok_or(NOT_FOUND)?;
        for (place, report) in reports.iter().enumerate() {
            report.check(place, &pool.state)?;
        }
        let rules = pool.row.config.quarantine.clone();
        let mut judged = Vec::new();
        for CallerIdReport { number, source, score, label } in reports {
            let said = Reputation { score, label, at: cx.wall };
            let known = pool.state.numbers.iter_mut().find(|known| known.number == number);
            let known = known.expect("checked above");
            judged.push((number, known.reported(&source, said, rules.as_ref(), cx.wall)));
        }
        pool.changed = true;
        self.dirty.pools.insert(id);
        self.write_pools(cx);
        let changed = judged.iter().filter(|(_, judged)| *judged != Judged::AsBefore).count();
        for (number, judged) in judged {
            match judged {
                Judged::AsBefore => {}
                Judged::Quarantined => self.number_quarantined(cx, id, number, QuarantineReason::Reputation),
                Judged::Released => self.number_released(cx, id, number),
            }
        }
        Ok(Reply::Count(changed as u64))
    }

    /// Takes a number out of quarantine.
    pub(crate) fn release_number(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallerIdPoolId,
        number: &str,
    ) -> Result<Reply, CommandError> {
        let pool = self.pools.get_mut(&id).ok_or(NOT_FOUND)?;
        let found = pool.state.numbers.iter_mut().find(|known| known.number == number);
        let found = found.ok_or(NO_NUMBER)?;
        if !found.is_quarantined(cx.wall) {
            return Err(CommandError::InvalidState { detail: "the number is not in quarantine".into() });
        }
        found.restore();
        pool.changed = true;
        self.write_pools(cx);
        self.number_released(cx, id, number.to_owned());
        Ok(Reply::Done)
    }

    fn number_quarantined(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallerIdPoolId,
        number: String,
        reason: QuarantineReason,
    ) {
        self.counters.caller_id(id).quarantines[reason as usize] += 1;
        self.write_pools(cx);
        let pool = &self.pools[&id];
        let until = pool.state.numbers.iter().find(|known| known.number == number);
        let until = until.and_then(|known| known.quarantined_until).unwrap_or(cx.wall);
        let reason = reason.as_str().into();
        let about = self.about_pool(id);
        self.tell(cx, about, Event::CallerIdQuarantined { pool: id, number, reason, until });
        self.tend_pools_soon(cx);
    }

    fn number_released(&mut self, cx: &mut Cx<'_>, id: CallerIdPoolId, number: String) {
        self.dirty.pools.insert(id);
        self.want_all_decisions();
        let about = self.about_pool(id);
        self.tell(cx, about, Event::CallerIdReleased { pool: id, number });
    }

    fn about_pool(&self, id: CallerIdPoolId) -> About {
        let tenant = self.pools.get(&id).and_then(|pool| pool.row.config.tenant.clone());
        About { tenant, ..About::default() }
    }

    /// The pool that a campaign's calls show numbers of: its own, else the oldest one for its group of agents.
    pub(crate) fn pool_of_campaign(&self, campaign: &Campaign) -> Option<CallerIdPoolId> {
        let config = &campaign.row.config;
        let of_group = || {
            let group = config.agent_group.as_ref()?;
            let for_group = |pool: &&Pool| {
                pool.row.config.groups.contains(group) && pool.row.config.serves(Some(&config.tenant))
            };
            self.pools.values().find(for_group).map(|pool| pool.row.id)
        };
        config.caller_id_pool.or_else(of_group).filter(|id| self.pools.contains_key(id))
    }

    /// Whether a campaign has a number to show now. One without a pool shows its own or the trunk's.
    pub(crate) fn has_caller_id(&self, campaign: CampaignId, now: WallTime) -> bool {
        let campaign = &self.campaigns[&campaign];
        let pool = self.pool_of_campaign(campaign);
        pool.is_none_or(|id| self.pools[&id].has_some(own_use(campaign), now))
    }

    /// Takes a number for a call that begins now. The pools of the agent come first, then those of the lead's list, then
    /// those of the agent's groups, then the campaign's; each that has none to show passes the call on.
    pub(crate) fn take_caller_id(
        &mut self,
        cx: &mut Cx<'_>,
        campaign: Option<CampaignId>,
        agent: Option<AgentId>,
        list: Option<ListId>,
        to: &str,
    ) -> Option<Shown> {
        if self.pools.is_empty() {
            return None;
        }
        let agent = agent.and_then(|id| self.agents.get(&id));
        let groups = agent.map_or(&[][..], |agent| &agent.row.config.groups);
        let of_agent =
            |config: &CallerIdPoolConfig| agent.is_some_and(|agent| config.agents.contains(&agent.row.id));
        let of_list = |config: &CallerIdPoolConfig| list.is_some_and(|list| config.lists.contains(&list));
        let of_group = |config: &CallerIdPoolConfig| config.groups.iter().any(|group| groups.contains(group));
        let tenant = self.tenant_of(campaign, agent.map(|agent| agent.row.id));
        let those = |of: &dyn Fn(&CallerIdPoolConfig) -> bool| -> Vec<(CallerIdPoolId, OwnUse)> {
            let fits = |pool: &&Pool| of(&pool.row.config) && pool.row.config.serves(tenant.as_ref());
            self.pools.values().filter(fits).map(|pool| (pool.row.id, OwnUse::default())).collect()
        };
        let mut ids = [those(&of_agent), those(&of_list), those(&of_group)].concat();
        let campaign = campaign.and_then(|id| self.campaigns.get(&id));
        ids.extend(campaign.and_then(|of| Some((self.pool_of_campaign(of)?, own_use(of)))));
        ids.into_iter().find_map(|(id, own)| self.take_from_pool(cx, id, own, to))
    }

    /// Takes a number of this pool, if it has one to show now.
    pub(crate) fn take_from_pool(
        &mut self,
        cx: &mut Cx<'_>,
        id: CallerIdPoolId,
        own: OwnUse,
        to: &str,
    ) -> Option<Shown> {
        let shown = self.pools.get_mut(&id)?.take(to, own, cx.wall, &mut self.caller_id_choice)?;
        self.counters.caller_id(id).calls += 1;
        self.tend_pools_soon(cx);
        Some(shown)
    }

    /// A call that showed a number of a pool ended.
    pub(crate) fn caller_id_ended(&mut self, cx: &mut Cx<'_>, shown: &Shown, record: &CallRecord) {
        // Calls we gave up ourselves, or that found no line, say nothing of the number.
        if matches!(record.outcome, Outcome::Cancelled | Outcome::NodeRestart | Outcome::NetworkCongestion) {
            return;
        }
        let Some(pool) = self.pools.get_mut(&shown.pool) else { return };
        let blocked = record.outcome == Outcome::BlockedByAnalytics;
        let reason = pool.ended(shown, record.answered_at.is_some(), blocked, cx.wall);
        if blocked {
            let code = record.sip_code.unwrap_or(0);
            *self.counters.caller_id(shown.pool).blocked.entry(code).or_default() += 1;
        }
        match reason {
            Some(reason) => self.number_quarantined(cx, shown.pool, shown.number.clone(), reason),
            None => self.tend_pools_soon(cx),
        }
    }

    pub(crate) fn restore_pools(&mut self, cx: &mut Cx<'_>, pools: Vec<CallerIdPoolSnapshot>) {
        for CallerIdPoolSnapshot { row, state, uses } in pools {
            let id = row.id;
            let mut pool = Pool::new(row, state);
            for (number, at) in uses {
                if let Some(known) = pool.state.numbers.iter_mut().find(|known| known.number == number) {
                    known.used(at);
                }
            }
            self.dirty.pools.insert(id);
            self.pools.insert(id, pool);
            self.tend_pools_soon(cx);
        }
    }

    /// Looks after the pools within a few seconds.
    fn tend_pools_soon(&mut self, cx: &Cx<'_>) {
        self.tend_pools_after(cx, WRITTEN_EVERY_MS);
    }

    fn tend_pools_after(&mut self, cx: &Cx<'_>, after_ms: u64) {
        let due = cx.now + Duration::from_millis(after_ms);
        if let Some((at, timer)) = self.pools_timer {
            if at <= due {
                return;
            }
            self.disarm(Some(timer));
        }
        self.pools_timer = Some((due, self.timers.arm(due, Why::CallerIds)));
    }

    /// Ends quarantines that are over, writes down what is known, and shows it.
    pub(crate) fn on_pools_timer(&mut self, cx: &mut Cx<'_>) {
        self.pools_timer = None;
        let mut released = Vec::new();
        for (id, pool) in &mut self.pools {
            released.extend(pool.restore_due(cx.wall).into_iter().map(|number| (*id, number)));
        }
        self.write_pools(cx);
        for (id, number) in released {
            self.number_released(cx, id, number);
        }
        if let Some(next) = self.pools.values().filter_map(Pool::next_release).min() {
            // The wall clock may be set meanwhile; looking once an hour bounds what that can do.
            let after_ms = next.millis_since(cx.wall).clamp(1, 3_600_000);
            self.tend_pools_after(cx, after_ms.unsigned_abs());
        }
    }

    fn write_pools(&mut self, cx: &mut Cx<'_>) {
        let mut records = Vec::new();
        for (id, pool) in &mut self.pools {
            if std::mem::take(&mut pool.changed) {
                let state = Box::new(pool.state.clone());
                records.push(Record::CallerIdPoolState { pool: *id, state, at: cx.wall });
                self.dirty.pools.insert(*id);
            }
        }
        if !records.is_empty() {
            self.journal(cx, records);
        }
    }
}

/// How a campaign shows the numbers of its pool.
fn own_use(campaign: &Campaign) -> OwnUse {
    campaign.row.config.caller_id_use.as_deref().copied().unwrap_or_default()
}
