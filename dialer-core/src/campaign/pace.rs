//! How much a campaign dials: what the pacer is shown, and what is done with its answer.

use super::{Campaign, Roster, hours};
use crate::attempt::is_paced;
use crate::call::Call;
use crate::config::{AmdMode, DialMode};
use crate::dialer::{Cx, Dialer, Why};
use crate::event::Event;
use crate::id::{AgentId, CampaignId};
use crate::pacing::{
    self, AgentRef, AgentView, CallRef, CampaignPacing, CancelPolicy, Decision, DialLimits, Mode, Pacer,
    PacingEvent, PacingView,
};
use crate::view::{AgentState, CallState, LimitedBy, PacingReport};
use core::time::Duration;
use sansio::Instant;

/// Dialling is planned ahead at most this long: agents may go home before the calling hours end.
const PLAN_MAX: Duration = Duration::from_secs(4 * 3_600);

impl Dialer {
    /// Tells the pacer how a campaign is set.
    pub(crate) fn set_campaign_pacing(&mut self, id: CampaignId) {
        let campaign = &self.campaigns[&id];
        let config = &campaign.row.config;
        let mode = match config.mode {
            DialMode::Preview => Mode::Preview,
            DialMode::Progressive => Mode::Progressive,
            DialMode::Ratio => Mode::Ratio(config.ratio),
            DialMode::Predictive => Mode::Predictive,
        };
        let pacing = CampaignPacing {
            mode,
            cancel: CancelPolicy {
                allowed: false,
                ring_min: Duration::from_millis(u64::from(config.timers.ring_min_ms)),
            },
            patience: Duration::from_millis(u64::from(config.timers.bridge_deadline_ms)),
            ..CampaignPacing::default()
        };
        self.pacer.set_campaign(campaign.number, pacing);
    }

    pub(crate) fn observe(&mut self, now: Instant, event: &PacingEvent) {
        self.pacer.observe(now, event);
    }

    pub(crate) fn on_decide_timer(&mut self, id: CampaignId) {
        if let Some(campaign) = self.campaigns.get_mut(&id) {
            campaign.decide_timer = None;
            self.wanted.insert(id);
        }
    }

    /// Lets every campaign that has a reason decide, unless it did a moment ago.
    pub(crate) fn decide_wanted(&mut self, cx: &mut Cx<'_>) {
        let wanted: Vec<CampaignId> = std::mem::take(&mut self.wanted).into_iter().collect();
        if wanted.is_empty() {
            return;
        }
        // Whoever decides first takes first, so nobody is first always.
        let first = self.counters.decisions as usize % wanted.len();
        for id in wanted[first..].iter().chain(&wanted[..first]).copied() {
            let gap = Duration::from_millis(self.config.decision_gap_ms);
            let Some(campaign) = self.campaigns.get(&id) else { continue };
            let earliest = campaign.decided_at.map(|at| at + gap).filter(|_| campaign.is_running());
            match earliest {
                Some(at) if at > cx.now => self.decide_at(id, at),
                _ => self.decide(cx, id),
            }
        }
    }

    /// Decides at `at`, unless something is planned already.
    fn decide_at(&mut self, id: CampaignId, at: Instant) {
        let campaign = self.campaigns.get_mut(&id).expect("the caller has it");
        if campaign.decide_timer.is_none() {
            campaign.decide_timer = Some(self.timers.arm(at, Why::Decide(id)));
        }
    }

    fn decide(&mut self, cx: &mut Cx<'_>, id: CampaignId) {
        let campaign = self.campaigns.get_mut(&id).expect("the caller has it");
        if campaign.is_running() {
            campaign.decided_at = Some(cx.now);
        }
        self.counters.decisions += 1;
        if let Err(shortage) = self.may_dial(cx, id)
            && shortage.0 != LimitedBy::Lines
        {
            let decision = empty_decision();
            self.report(cx, id, &decision, 0, shortage.0);
            return;
        }
        let decision = self.ask_pacer(cx, id);
        if self.campaigns[&id].is_preview() {
            let limited_by = self.preview_limit(id);
            self.report(cx, id, &decision, 0, limited_by);
            return;
        }
        let mut dialled = 0;
        let mut limited_by = limited_by(decision.limited_by);
        let mut skipped = 0;
        while dialled < decision.dial {
            let trunk = match self.may_dial(cx, id).and_then(|()| self.trunk_for(cx, id)) {
                Ok(trunk) => trunk,
                Err(shortage) => {
                    limited_by = shortage.0;
                    break;
                }
            };
            let Some(lead) = self.next_lead(cx, id) else {
                limited_by = LimitedBy::Hopper;
                break;
            };
            // 72 hours after an abandoned call a lead may be dialled only with an agent that is surely there.
            let locked = lead.progress.agent_guaranteed_until.is_some_and(|until| until > cx.wall);
            let agent = if locked { self.pick_agent(&self.campaigns[&id]) } else { None };
            if locked && agent.is_none() {
                let hopper = &mut self.campaigns.get_mut(&id).expect("it runs").hopper;
                hopper.put_last(lead);
                skipped += 1;
                if skipped >= self.campaigns[&id].hopper.len() {
                    limited_by = LimitedBy::Agents;
                    break;
                }
                continue;
            }
            self.dial_lead(cx, id, lead, trunk, agent);
            dialled += 1;
        }
        if self.unusable_trunks(id) {
            limited_by = LimitedBy::Trunk;
        }
        self.report(cx, id, &decision, dialled, limited_by);
        if limited_by == LimitedBy::Cps {
            let at = self.next_cps(cx.now, id).max(cx.now + Duration::from_millis(1));
            self.decide_at(id, at);
        }
        self.refill(cx, id);
        self.check_completed(cx, id);
    }

    /// Shows the pacer what is true now.
    fn ask_pacer(&mut self, cx: &Cx<'_>, id: CampaignId) -> Decision {
        let (lines_free, cps_allowance) = self.ways_out(cx, id);
        let roster = std::mem::take(&mut self.roster);
        let agents: Vec<AgentView<'_>> =
            roster.agents(id).iter().map(|agent| self.pacing_agent(&roster, *agent)).collect();
        let mut calls = Vec::new();
        for other in roster.sharing(id) {
            let Some(campaign) = self.campaigns.get(&other) else { continue };
            for call in campaign.calls.iter().map(|call| &self.calls[call]) {
                if call.agent.is_none()
                    && is_paced(call.mode)
                    && let Some(view) = pacing_call(call, campaign.number)
                {
                    calls.push(view);
                }
            }
        }
        // Without calling hours nobody knows when dialling ends: then only what has been earned is spent, and the
        // campaign may be stopped at any moment without being over its target.
        let left = hours::left_ms(self.campaigns[&id].row.config.calling_hours.as_ref(), cx.wall)
            .map(|ms| Duration::from_millis(ms).min(PLAN_MAX));
        let campaign = self.campaigns.get_mut(&id).expect("the caller has it");
        let pacing = campaign.row.config.pacing.clone();
        let windows = [campaign.ledger.window(pacing.window, pacing.abandon_target, left, cx.wall)];
        let hopper = u32::try_from(campaign.hopper.len()).unwrap_or(u32::MAX);
        let view = PacingView {
            campaign: campaign.number,
            agents: &agents,
            calls: &calls,
            inbound_waiting: 0,
            limits: DialLimits {
                lines_free,
                cps_allowance,
                hopper,
                max_lines_per_agent: campaign.row.config.concurrency.max_lines_per_agent,
            },
            leads_left: if campaign.hopper.more { None } else { Some(0) },
            idle_share: None,
            next: pacing::DialTraits::default(),
            next_answer: None,
            shift_left: None,
            windows: &windows,
            hold: None,
        };
        let decision = self.pacer.decide(cx.now, &view);
        self.roster = roster;
        decision
    }

    fn pacing_agent<'r>(&self, roster: &'r Roster, id: AgentId) -> AgentView<'r> {
        let agent = &self.agents[&id];
        let campaign = agent
            .wrap_up
            .as_ref()
            .and_then(|wrap_up| wrap_up.campaign)
            .or_else(|| agent.call.and_then(|call| self.calls[&call].campaign));
        let campaign = campaign.and_then(|id| self.campaigns.get(&id));
        let timed = campaign.is_some_and(Campaign::wraps_up_by_timer);
        AgentView {
            agent: AgentRef(agent.number),
            state: match agent.state {
                AgentState::Ready => pacing::AgentState::Idle,
                AgentState::Reserved | AgentState::Ringing | AgentState::Preview => {
                    pacing::AgentState::Reserved
                }
                AgentState::Talking | AgentState::Hold => pacing::AgentState::Talking,
                AgentState::WrapUp => pacing::AgentState::WrapUp,
                AgentState::Paused | AgentState::Unreachable => pacing::AgentState::OnBreak,
                AgentState::LoggedOut => pacing::AgentState::LoggedOut,
            },
            // A conversation began with the bridge, whatever was on hold since.
            since: agent
                .call
                .and_then(|call| self.calls[&call].bridged)
                .map_or(agent.since.at, |bridged| bridged.at),
            campaign: campaign.map(|campaign| campaign.number),
            serves: roster.serves(id),
            leaving: agent.leaving || agent.paused.is_some(),
            free_at: agent.wrap_up.as_ref().map(|wrap_up| wrap_up.until).filter(|_| timed),
            busy_until: None,
            leaves_at: None,
        }
    }

    /// Lines that may still be taken, and calls that may start this moment.
    fn ways_out(&self, cx: &Cx<'_>, id: CampaignId) -> (u32, u32) {
        let campaign = &self.campaigns[&id];
        let (mut channels, mut cps) = (0_u32, 0_u32);
        for trunk in self.trunks_of(&campaign.row.config.trunks) {
            if let Some(trunk) = self.trunks.get(&trunk).filter(|trunk| trunk.usable()) {
                channels = channels.saturating_add(trunk.channels_free());
                cps = cps.saturating_add(trunk.cps.allowance(cx.now));
            }
        }
        let lines = channels.min(campaign.lines_free()).min(self.calls_free());
        let cps = cps.min(campaign.cps.allowance(cx.now)).min(self.cps.allowance(cx.now));
        (lines, cps)
    }

    /// When one more call may start under every calls-per-second limit.
    fn next_cps(&self, now: Instant, id: CampaignId) -> Instant {
        let campaign = &self.campaigns[&id];
        let trunks = self
            .trunks_of(&campaign.row.config.trunks)
            .into_iter()
            .filter_map(|trunk| self.trunks.get(&trunk))
            .filter(|trunk| trunk.usable())
            .map(|trunk| trunk.cps.next_at(now))
            .min()
            .unwrap_or(now);
        trunks.max(campaign.cps.next_at(now)).max(self.cps.next_at(now))
    }

    fn unusable_trunks(&self, id: CampaignId) -> bool {
        let trunks = self.trunks_of(&self.campaigns[&id].row.config.trunks);
        !trunks.iter().any(|trunk| self.trunks.get(trunk).is_some_and(super::super::trunk::Trunk::usable))
    }

    /// What a preview campaign waits for: its agents' word, or the leads.
    fn preview_limit(&self, id: CampaignId) -> LimitedBy {
        let campaign = &self.campaigns[&id];
        if self.unusable_trunks(id) {
            LimitedBy::Trunk
        } else if campaign.lines_free() == 0 {
            LimitedBy::Lines
        } else if campaign.hopper.len() == 0 && campaign.tasks.is_empty() {
            LimitedBy::Hopper
        } else {
            LimitedBy::Agents
        }
    }

    /// Keeps the decision for views, and tells it when it says something new.
    fn report(
        &mut self,
        cx: &mut Cx<'_>,
        id: CampaignId,
        decision: &Decision,
        dialled: u32,
        limited_by: LimitedBy,
    ) {
        let report = self.make_report(cx, id, decision, dialled, limited_by);
        let gap = self.config.pacing_event_gap_ms;
        let campaign = self.campaigns.get_mut(&id).expect("the caller has it");
        if campaign.report.as_ref().is_none_or(|old| !same_report(old, &report)) {
            self.dirty.campaigns.insert(id);
        }
        campaign.report = Some(report.clone());
        let running = campaign.is_running();
        let due = match &campaign.reported {
            None => running,
            Some((at, told)) => cx.now.millis_since(*at) >= gap && !same_report(told, &report),
        };
        if due {
            campaign.reported = Some((cx.now, report.clone()));
            self.tell_campaign(cx, id, Event::CampaignPacing { report: Box::new(report) });
        }
    }

    fn make_report(
        &mut self,
        cx: &Cx<'_>,
        id: CampaignId,
        decision: &Decision,
        dialled: u32,
        limited_by: LimitedBy,
    ) -> PacingReport {
        let mut counted = [0_u32; 5];
        for agent in self.roster.agents(id) {
            let place = match self.agents[agent].state {
                AgentState::Ready => 0,
                AgentState::Reserved | AgentState::Ringing | AgentState::Preview => 1,
                AgentState::Talking | AgentState::Hold => 2,
                AgentState::WrapUp => 3,
                AgentState::Paused => 4,
                AgentState::Unreachable | AgentState::LoggedOut => continue,
            };
            counted[place] += 1;
        }
        let campaign = self.campaigns.get_mut(&id).expect("the caller has it");
        let pacing = campaign.row.config.pacing.clone();
        let count = campaign.ledger.count(pacing.window, cx.wall);
        let dialing = campaign.dialing();
        let explain = &decision.explain;
        let working: u32 = counted[..4].iter().sum();
        PacingReport {
            at: cx.wall,
            agents_ready: counted[0],
            agents_ringing: counted[1],
            agents_talking: counted[2],
            agents_wrap_up: counted[3],
            agents_paused: counted[4],
            dialing,
            dialled_now: dialled,
            target: dialing.saturating_sub(dialled).saturating_add(decision.dial),
            lines_per_agent: if working == 0 { 0.0 } else { f64::from(dialing) / f64::from(working) },
            answer_probability: explain.p_answer,
            live: count.live,
            abandoned: count.abandoned,
            abandonment_rate: count.rate(),
            budget_remaining: pacing.abandon_cap * count.live as f64 - count.abandoned as f64,
            forecast_answers: explain.answers_expected,
            forecast_free_agents: f64::from(explain.agents_idle) + explain.agents_freeing,
            limited_by,
        }
    }

    /// Enters a live answer in the campaign's ledger (its record goes into the journal with the call's change).
    pub(crate) fn enter_ledger(&mut self, cx: &mut Cx<'_>, id: CampaignId, abandoned: bool) {
        let Some(campaign) = self.campaigns.get_mut(&id) else { return };
        campaign.ledger.enter(cx.wall, abandoned);
        let pacing = campaign.row.config.pacing.clone();
        let count = campaign.ledger.count(pacing.window, cx.wall);
        self.wanted.insert(id);
        let reached = count.abandoned > 0 && count.rate() >= pacing.abandon_cap;
        let before = std::mem::replace(&mut campaign.cap_reached, reached);
        if reached && !before {
            let event = Event::CampaignAbandonCapReached { live: count.live, abandoned: count.abandoned };
            self.tell_campaign(cx, id, event);
        }
    }
}

/// A call as the pacer sees it, or nothing when no agent is wanted for it (any more).
fn pacing_call(call: &Call, campaign: pacing::CampaignRef) -> Option<pacing::CallView> {
    let answered_at = match call.state {
        CallState::Queued | CallState::Dialing | CallState::Ringing | CallState::CallingAgent => None,
        // Listening for a machine: not yet an answer that wants an agent, but one that may become one.
        CallState::Waiting if call.amd_mode == AmdMode::BeforeBridge && call.amd.is_none() => None,
        CallState::Waiting | CallState::Offering => Some(call.answered.map(|moment| moment.at)?),
        CallState::Bridged | CallState::Message | CallState::Ending => return None,
    };
    Some(pacing::CallView {
        call: CallRef(call.number),
        campaign,
        dialed_at: call.dial_ordered.unwrap_or(call.started.at),
        alerting_at: call.ringing.map(|moment| moment.at),
        detecting_since: None,
        answered_at,
        traits: pacing::DialTraits::default(),
        answer_probability: None,
    })
}

fn limited_by(why: pacing::LimitedBy) -> LimitedBy {
    match why {
        pacing::LimitedBy::Agents
        | pacing::LimitedBy::NoAgents
        | pacing::LimitedBy::SmallTeam
        | pacing::LimitedBy::Inbound => LimitedBy::Agents,
        pacing::LimitedBy::Risk | pacing::LimitedBy::ColdStart | pacing::LimitedBy::Ramp => LimitedBy::Risk,
        pacing::LimitedBy::AbandonCap => LimitedBy::AbandonCap,
        pacing::LimitedBy::Lines => LimitedBy::Lines,
        pacing::LimitedBy::Cps => LimitedBy::Cps,
        pacing::LimitedBy::MaxLinesPerAgent => LimitedBy::MaxLinesPerAgent,
        pacing::LimitedBy::Hopper => LimitedBy::Hopper,
        pacing::LimitedBy::ShiftEnd | pacing::LimitedBy::Window => LimitedBy::Window,
        pacing::LimitedBy::Paused => LimitedBy::Paused,
        pacing::LimitedBy::Draining => LimitedBy::Draining,
        pacing::LimitedBy::Mode => LimitedBy::Nothing,
    }
}

fn empty_decision() -> Decision {
    Decision {
        dial: 0,
        cancel: Vec::new(),
        limited_by: pacing::LimitedBy::Paused,
        explain: pacing::Explain::default(),
    }
}

/// Equal but for the time.
fn same_report(a: &PacingReport, b: &PacingReport) -> bool {
    PacingReport { at: a.at, ..b.clone() } == *a
}
