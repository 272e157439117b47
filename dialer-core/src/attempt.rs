//! One dialling of a lead: durable before the order to dial leaves.

use crate::call::Call;
use crate::campaign;
use crate::command::CommandError;
use crate::config::{AmdMode, CampaignState, DialMode, TonePlan};
use crate::dialer::{Cx, Dialer};
use crate::effect::{CallOrder, Effect, OtherTrunk};
use crate::event::Event;
use crate::id::{AgentId, CallId, CampaignId, TrunkId};
use crate::pacing::{CallRef, PacingEvent};
use crate::record::{AttemptRow, CallKindTag, Lead, Record};
use crate::trunk::NoTrunk;
use crate::view::{AgentState, LimitedBy};
use core::time::Duration;
use sansio::Instant;

/// Why nothing can be dialled for a campaign now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shortage(pub(crate) LimitedBy);

impl Shortage {
    /// As the answer to someone who asked for one call.
    pub(crate) fn as_error(self, state: Option<CampaignState>) -> CommandError {
        let limit = |what| CommandError::Limit { what };
        match self.0 {
            LimitedBy::Paused => CommandError::InvalidState {
                detail: format!("the campaign is {}", state.map_or("gone", CampaignState::as_str)),
            },
            LimitedBy::Draining => CommandError::Draining,
            LimitedBy::Store => CommandError::StoreUnavailable,
            LimitedBy::Window => CommandError::InvalidState {
                detail: "outside the campaign's calling hours or schedule".into(),
            },
            LimitedBy::Compliance => CommandError::Compliance {
                rule: "lead",
                detail: "the lead may not be called now (any more)".into(),
            },
            LimitedBy::Trunk => CommandError::InvalidState { detail: "no trunk is up".into() },
            LimitedBy::Cps => limit("calls per second"),
            LimitedBy::CallerIds => limit("caller IDs of the campaign's pool"),
            _ => limit("lines"),
        }
    }
}

impl Dialer {
    /// Whether a campaign may dial at all now: its state, the node, the store, calling hours, lines. Says
    /// nothing of agents and trunks.
    pub(crate) fn may_dial(&self, cx: &Cx<'_>, id: CampaignId) -> Result<(), Shortage> {
        let campaign = &self.campaigns[&id];
        let by_itself = || campaign::check_manual(&campaign.row.config).is_err();
        let blocked = if !campaign.is_running() || self.config.manual_only && by_itself() {
            LimitedBy::Paused
        } else if self.node.draining {
            LimitedBy::Draining
        } else if !self.node.store_healthy {
            LimitedBy::Store
        } else if !campaign.row.config.schedule.is_on(cx.wall)
            || !campaign::is_open(campaign.row.config.calling_hours.as_ref(), cx.wall)
        {
            LimitedBy::Window
        } else if campaign.lines_free() == 0 || self.calls_free() == 0 {
            LimitedBy::Lines
        } else if !self.has_caller_id(id, cx.wall) {
            LimitedBy::CallerIds
        } else {
            return Ok(());
        };
        Err(Shortage(blocked))
    }

    /// Live calls the node may still have.
    pub(crate) fn calls_free(&self) -> u32 {
        self.config.calls_max.saturating_sub(u32::try_from(self.calls.len()).unwrap_or(u32::MAX))
    }

    /// A trunk for one more call of a campaign, within every calls-per-second limit.
    pub(crate) fn trunk_for(&mut self, cx: &Cx<'_>, id: CampaignId) -> Result<TrunkId, Shortage> {
        let campaign = &self.campaigns[&id];
        if campaign.cps.allowance(cx.now) == 0 || self.cps.allowance(cx.now) == 0 {
            return Err(Shortage(LimitedBy::Cps));
        }
        let wanted = campaign.row.config.trunks.clone();
        self.choose_trunk(cx.now, &wanted).map_err(|why| {
            let first = self.trunks_of(&wanted).first().copied();
            if let Some(first) = first {
                let counters = self.counters.trunk(first);
                match why {
                    NoTrunk::Down => counters.rejects_down += 1,
                    NoTrunk::Channels => counters.rejects_capacity += 1,
                    NoTrunk::Cps => counters.rejects_cps += 1,
                }
            }
            Shortage(match why {
                NoTrunk::Down => LimitedBy::Trunk,
                NoTrunk::Channels => LimitedBy::Lines,
                NoTrunk::Cps => LimitedBy::Cps,
            })
        })
    }

    /// Takes one call's worth of every calls-per-second limit it is under.
    pub(crate) fn take_cps(&mut self, cx: &Cx<'_>, campaign: Option<CampaignId>, trunk: TrunkId) {
        self.cps.take(cx.now);
        if let Some(campaign) = campaign.and_then(|id| self.campaigns.get_mut(&id)) {
            campaign.cps.take(cx.now);
        }
        if let Some(trunk) = self.trunks.get_mut(&trunk) {
            trunk.cps.take(cx.now);
        }
    }

    /// Dials a lead. The caller has seen [`Dialer::may_dial`] and [`Dialer::trunk_for`] say yes; `agent` is
    /// free and is reserved for this call.
    pub(crate) fn dial_lead(
        &mut self,
        cx: &mut Cx<'_>,
        id: CampaignId,
        mut lead: Lead,
        trunk: TrunkId,
        agent: Option<AgentId>,
    ) -> CallId {
        lead.begin_attempt(cx.wall);
        self.campaigns.get_mut(&id).expect("it dials").owners_may_take_more(cx.wall);
        self.leads.moved(&lead.progress);
        let to = lead.phones[crate::lead::next_phone(&lead)].number.clone();
        let shown = self.take_caller_id(cx, Some(id), agent, Some(lead.list), &to);
        let config = &self.campaigns[&id].row.config;
        let own = shown.as_ref().map(|shown| shown.number.clone()).or_else(|| config.caller_id.clone());
        let shows_trunk = own.is_none();
        let caller_id = own.or_else(|| self.trunks[&trunk].config().caller_id.clone());
        let (mode, amd_mode, record_it) = (config.mode, config.amd, config.record);
        let mut call = self.new_call(cx, CallKindTag::Campaign, trunk, to);
        call.campaign = Some(id);
        call.caller_id = caller_id;
        call.shows_trunk = shows_trunk;
        call.shown = shown;
        call.mode = Some(mode);
        call.traits = self.campaigns[&id].traits(Some(lead.list), Some(trunk), cx.wall);
        call.number_of_attempt = lead.progress.attempts;
        call.agent = agent;
        call.amd_mode = amd_mode;
        call.record_it = record_it;
        call.tried = self.tried(id, &lead, cx.wall);
        let explores = call.tried.as_ref().is_some_and(|tried| self.campaigns[&id].best_time.explores(tried));
        self.counters.best_time_explored += u64::from(explores);
        call.lead = Some(lead);
        let progress = call.lead.as_ref().expect("just set").progress.clone();
        let mut records = vec![Record::AttemptStarted(attempt_row(&call)), Record::LeadChanged(progress)];
        records.extend(call.shown_record());
        let call_id = self.add_call(call);
        if let Some(agent) = agent {
            self.agents.get_mut(&agent).expect("the caller picked it").call = Some(call_id);
            self.set_agent_state(cx, agent, AgentState::Reserved, "dialling", None);
        }
        self.take_cps(cx, Some(id), trunk);
        self.journal(cx, records);
        self.order_dial(cx, call_id);
        let to = self.calls[&call_id].to.clone();
        self.tell_call(cx, call_id, Event::CallCreated { to, mode: Some(mode) });
        call_id
    }

    /// When the lead of a campaign's call expires. What an agent looks at or calls by hand goes on.
    fn expiry_of(&self, cx: &Cx<'_>, id: CallId) -> Option<Instant> {
        let call = &self.calls[&id];
        let by_itself = call.kind == CallKindTag::Campaign && call.mode != Some(DialMode::Preview);
        let expires_at = call.lead.as_ref().filter(|_| by_itself)?.expires_at?;
        let left_ms = u64::try_from(expires_at.millis_since(cx.wall)).unwrap_or(0);
        Some(cx.now + Duration::from_millis(left_ms))
    }

    /// Orders the customer leg (of a call whose attempt is in the journal).
    pub(crate) fn order_dial(&mut self, cx: &mut Cx<'_>, id: CallId) {
        self.calls.get_mut(&id).expect("the caller made it").dial_ordered = Some(cx.now);
        let others = self.other_trunks(id);
        let call = &self.calls[&id];
        let campaign = call.campaign.and_then(|id| self.campaigns.get(&id));
        let timers = campaign.map(|campaign| campaign.row.config.timers.clone()).unwrap_or_default();
        let order = CallOrder::DialCustomer {
            call: id,
            campaign: call.campaign,
            trunk: call.trunk,
            others,
            to: call.to.clone(),
            caller_id: call.caller_id.clone(),
            ring_timeout_ms: call.ring_timeout_ms.unwrap_or(timers.ring_max_ms),
            early_media: campaign.is_some_and(|campaign| campaign.row.config.early_media),
            tone_plan: campaign.map_or(TonePlan::Any, |campaign| campaign.row.config.tone_plan),
            amd: call.amd_mode != AmdMode::Off,
            await_turn: campaign.is_some_and(|campaign| campaign.row.config.machine_policy.awaits_turn()),
            call_max_ms: timers.call_max_ms,
            not_after: self.expiry_of(cx, id),
        };
        let tenant = self.tenant_of(call.campaign, call.agent).unwrap_or_default();
        self.dialled_numbers.note(tenant, &call.to, cx.wall);
        let (campaign, trunk, number) = (call.campaign, call.trunk, call.number);
        let (paced, traits) = (call.is_paced(), call.traits);
        cx.out.push(Effect::Call(order));
        self.counters.attempt(campaign, trunk);
        if let Some(campaign) = campaign.and_then(|id| self.campaigns.get_mut(&id)) {
            campaign.counts.attempts += 1;
            if paced {
                let event = PacingEvent::Dialed { call: CallRef(number), campaign: campaign.number, traits };
                self.observe(cx.now, &event);
            }
        }
    }

    /// What a call is dialled over, should its trunk not take it: the others of its campaign, or all others.
    fn other_trunks(&mut self, id: CallId) -> Vec<OtherTrunk> {
        let call = &self.calls[&id];
        if call.trunk_fixed {
            return Vec::new();
        }
        let campaign = call.campaign.and_then(|id| self.campaigns.get(&id));
        let wanted = campaign.map(|campaign| campaign.row.config.trunks.clone()).unwrap_or_default();
        let (trunk, shown) = (call.trunk, call.caller_id.clone().filter(|_| !call.shows_trunk));
        let others = self.trunks_after(&wanted, trunk);
        let other = |trunk: TrunkId| {
            let own = || self.trunks.get(&trunk).and_then(|trunk| trunk.config().caller_id.clone());
            OtherTrunk { trunk, caller_id: shown.clone().or_else(own) }
        };
        others.into_iter().map(other).collect()
    }

    /// Puts a call in the tables; its channel and its line are taken from now on.
    pub(crate) fn add_call(&mut self, call: Call) -> CallId {
        let id = call.id;
        self.take_channel(call.trunk);
        if let Some(campaign) = call.line_of().and_then(|id| self.campaigns.get_mut(&id)) {
            campaign.calls.insert(id);
            campaign.by_state[call.state as usize] += 1;
            self.dirty.campaigns.insert(campaign.row.id);
        }
        self.dirty.calls.insert(id);
        self.dirty.node = true;
        self.calls.insert(id, call);
        id
    }
}

/// The attempt as it is written down.
pub(crate) fn attempt_row(call: &Call) -> AttemptRow {
    AttemptRow {
        id: call.attempt,
        call: call.id,
        campaign: call.campaign,
        lead: call.lead.as_ref().map(|lead| lead.id),
        agent: call.agent,
        number_of_attempt: call.number_of_attempt,
        to: call.to.clone(),
        caller_id: call.caller_id.clone(),
        trunk: call.trunk,
        mode: call.mode.filter(|_| call.kind == CallKindTag::Campaign),
        at: call.started.wall,
        client_state: call.client_state.clone(),
        inbound: call.kind == CallKindTag::Inbound,
        transit: false,
        verstat: call.inbound.as_ref().and_then(|inbound| inbound.verstat.clone()),
        participants: call.left.iter().cloned().chain(call.present()).collect(),
    }
}

/// True for modes in which the pacer decides.
pub(crate) const fn is_paced(mode: Option<DialMode>) -> bool {
    matches!(mode, Some(DialMode::Progressive | DialMode::Ratio | DialMode::Predictive | DialMode::Agentless))
}
