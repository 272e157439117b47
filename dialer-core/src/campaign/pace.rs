//! How much a campaign dials: what the pacer is shown, and what is done with its answer.

use super::report::{Shown, empty_decision};
use super::{CalledBy, Campaign, Roster, hours};
use crate::attempt::is_paced;
use crate::call::Call;
use crate::compliance::{false_machine, window_of};
use crate::config::{AmdMode, CapStyle, ConcurrencyKind, DialMode, HoldBack};
use crate::dialer::{Cx, Dialer, Why};
use crate::event::Event;
use crate::id::{AgentId, CallId, CampaignId, ListId, TrunkId};
use crate::outcome::{EndCause, Evidence, Outcome, Party};
use crate::pacing::ledger::Count;
use crate::pacing::{
    self, AgentRef, AgentView, CallRef, CampaignPacing, CancelPolicy, Decision, DialLimits, DialTraits,
    InboundHoldBack, Mode, Pacer, PacingEvent, PacingView, WindowCount,
};
use crate::view::{AgentState, CallState, LimitedBy};
use core::time::Duration;
use sansio::{Instant, WallTime};

/// Dialling is planned ahead at most this long: agents may go home before the calling hours end.
const PLAN_MAX: Duration = Duration::from_secs(4 * 3_600);

impl Dialer {
    /// Tells the pacer how a campaign is set: by its configuration and by the number of agents at work.
    pub(crate) fn set_campaign_pacing(&mut self, id: CampaignId) {
        let working = self.working(id);
        let campaign = self.campaigns.get_mut(&id).expect("the caller has it");
        campaign.mode_now = campaign.mode_for(working);
        let config = &campaign.row.config;
        let early = campaign.joins_early();
        let mode = match campaign.mode_now {
            DialMode::Progressive if early => Mode::PreConnected(1.0),
            DialMode::Ratio if early && !campaign.is_fixed() => Mode::PreConnected(config.ratio),
            DialMode::Predictive if early => Mode::PreConnected(config.concurrency.max_lines_per_agent),
            DialMode::Agentless => Mode::Agentless(campaign.lines_most()),
            DialMode::Ratio if config.concurrency.kind == ConcurrencyKind::Fixed => {
                Mode::Agentless(campaign.lines_fixed(working))
            }
            DialMode::Preview => Mode::Preview,
            DialMode::Progressive => Mode::Progressive,
            DialMode::Ratio => Mode::Ratio(config.ratio),
            DialMode::Predictive => Mode::Predictive,
        };
        let pacing = CampaignPacing {
            mode,
            cancel: CancelPolicy {
                allowed: config.pacing.cancel_ringing,
                ring_min: Duration::from_millis(u64::from(config.timers.ring_min_ms)),
            },
            patience: Duration::from_millis(u64::from(config.timers.bridge_deadline_ms)),
            weight: config.concurrency.weight,
            priority: i32::try_from(config.concurrency.priority).unwrap_or(i32::MAX),
            group: config.pacing.budget_group.as_deref().map(group_number),
            inbound: match config.pacing.hold_back {
                HoldBack::Off => InboundHoldBack::Off,
                HoldBack::NoOverdial => InboundHoldBack::NoOverdial,
                HoldBack::NoDial => InboundHoldBack::NoDial,
            },
            false_machine: false_machine(config),
            missed_machine: config.pacing.amd_missed_machine.unwrap_or(0.0),
            wait_target: config.pacing.wait_target_ms.map(|ms| Duration::from_millis(u64::from(ms))),
            ..CampaignPacing::default()
        };
        self.pacer.set_campaign(campaign.number, pacing);
    }

    /// Agents of a campaign who are logged in and not on a break.
    fn working(&self, id: CampaignId) -> u32 {
        let at_work = |agent: &&AgentId| {
            !matches!(
                self.agents[*agent].state,
                AgentState::Paused | AgentState::Unreachable | AgentState::LoggedOut
            )
        };
        u32::try_from(self.roster.agents(id).iter().filter(at_work).count()).unwrap_or(u32::MAX)
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

    /// Decides at `at`, unless something is planned already.
    pub(super) fn decide_at(&mut self, id: CampaignId, at: Instant) {
        let campaign = self.campaigns.get_mut(&id).expect("the caller has it");
        if campaign.decide_timer.is_none() {
            campaign.decide_timer = Some(self.timers.arm(at, Why::Decide(id)));
        }
    }

    /// Decides for one campaign and dials. `quota` lines at most, if there is one; true if the quota was what kept
    /// it from dialling more.
    pub(super) fn decide(&mut self, cx: &mut Cx<'_>, id: CampaignId, quota: Option<u32>) -> bool {
        let campaign = self.campaigns.get_mut(&id).expect("the caller has it");
        if campaign.is_running() {
            campaign.decided_at = Some(cx.now);
        }
        self.counters.decisions += 1;
        self.set_campaign_pacing(id);
        let shortage = self.may_dial(cx, id).err().filter(|shortage| shortage.0 != LimitedBy::Lines);
        if let Some(shortage) = shortage {
            self.report(cx, id, Shown { limited_by: shortage.0, ..Shown::of(&empty_decision()) });
            return false;
        }
        let (decision, mut shown) = self.ask_pacer(cx, id, quota);
        if self.campaigns[&id].is_preview() {
            shown.limited_by = self.preview_limit(id);
            self.report(cx, id, shown);
            return false;
        }
        if shown.wanted > 0 && self.yields_to_tasks(cx, id) {
            shown.wanted = 0;
            shown.limited_by = LimitedBy::Share;
        }
        self.expect(cx, id, &decision);
        self.cancel_ringing(cx, id, &decision, &mut shown);
        self.dial(cx, id, &mut shown);
        self.campaigns.get_mut(&id).expect("the caller has it").stuck =
            shown.wanted > 0 && shown.dialled == 0;
        let cut = shown.limited_by == LimitedBy::Lines && quota.is_some_and(|quota| shown.dialled >= quota);
        self.charge(id, shown.dialled, &decision);
        if self.unusable_trunks(id) {
            shown.limited_by = LimitedBy::Trunk;
        }
        let limited_by = shown.limited_by;
        self.report(cx, id, shown);
        if limited_by == LimitedBy::Cps {
            let at = self.next_cps(cx.now, id).max(cx.now + Duration::from_millis(1));
            self.decide_at(id, at);
        }
        self.refill(cx, id);
        self.check_completed(cx, id);
        cut
    }

    /// Dials what was decided, as far as leads and trunks go.
    fn dial(&mut self, cx: &mut Cx<'_>, id: CampaignId, shown: &mut Shown) {
        let mut aside = Vec::new();
        while shown.dialled < shown.wanted {
            let trunk = match self.may_dial(cx, id).and_then(|()| self.trunk_for(cx, id)) {
                Ok(trunk) => trunk,
                Err(shortage) => {
                    shown.limited_by = shortage.0;
                    break;
                }
            };
            let Some(lead) = self.next_lead(cx, id) else {
                shown.limited_by = if aside.is_empty() { LimitedBy::Hopper } else { LimitedBy::Agents };
                break;
            };
            // For `lock_hours` after an abandoned call a lead may be dialled only with an agent that is surely there.
            let locked = lead.progress.agent_guaranteed_until.is_some_and(|until| until > cx.wall);
            // … and one that an agent promised to call, by that agent.
            let agent = match self.called_by(id, &lead, cx.wall) {
                CalledBy::Agent(agent) => Some(agent),
                CalledBy::Anyone if locked && !self.campaigns[&id].is_agentless() => self.pick_agent(id),
                CalledBy::Anyone | CalledBy::NotNow => None,
            };
            let wants_one = locked || self.called_by(id, &lead, cx.wall) != CalledBy::Anyone;
            if wants_one && agent.is_none() {
                aside.push(lead);
                continue;
            }
            self.dial_lead(cx, id, lead, trunk, agent);
            shown.dialled += 1;
        }
        self.campaigns.get_mut(&id).expect("it runs").hopper.put_back(aside);
    }

    /// Gives up the ringing calls that the pacer names: only such as have rung as long as they must.
    fn cancel_ringing(&mut self, cx: &mut Cx<'_>, id: CampaignId, decision: &Decision, shown: &mut Shown) {
        let config = &self.campaigns[&id].row.config;
        if decision.cancel.is_empty() || !config.pacing.cancel_ringing {
            return;
        }
        let ring_min_ms = u64::from(config.timers.ring_min_ms);
        let named = |call: &&Call| {
            let rung_ms = call.ringing.map(|since| cx.now.millis_since(since.at));
            call.state == CallState::Ringing
                && call.is_paced()
                && rung_ms.is_some_and(|rung_ms| rung_ms >= ring_min_ms)
                && decision.cancel.contains(&CallRef(call.number))
        };
        let calls: Vec<CallId> = self.campaigns[&id]
            .calls
            .iter()
            .filter_map(|call| self.calls.get(call))
            .filter(named)
            .map(|call| call.id)
            .collect();
        for call in calls {
            shown.cancelled += 1;
            let conclusion = Some((Outcome::Cancelled, Evidence::Timer));
            self.hang_up(cx, call, EndCause::Cancelled, Party::System, conclusion);
        }
    }

    /// Shows the pacer what is true now.
    fn ask_pacer(&mut self, cx: &Cx<'_>, id: CampaignId, quota: Option<u32>) -> (Decision, Shown) {
        let (lines_free, cps_allowance) = self.ways_out(cx, id);
        let lines_free = quota.map_or(lines_free, |quota| lines_free.min(quota));
        let roster = std::mem::take(&mut self.roster);
        let agents: Vec<AgentView<'_>> =
            roster.agents(id).iter().map(|agent| self.pacing_agent(&roster, id, *agent)).collect();
        let calls = self.pacing_calls(&roster, id);
        // Without calling hours or an end nobody knows when dialling ends: then only what has been earned is spent, and the
        // campaign may be stopped at any moment without being over its target.
        let config = &self.campaigns[&id].row.config;
        let hours_left = hours::left_ms(config.calling_hours.as_ref(), cx.wall);
        let shift_left = [hours_left, config.schedule.left_ms(cx.wall)].into_iter().flatten().min();
        let shift_left = shift_left.map(Duration::from_millis);
        let windows = self.windows(cx, id, shift_left.map(|left| left.min(PLAN_MAX)));
        let inbound_waiting = self.inbound_for(cx, id);
        let campaign = &self.campaigns[&id];
        let hopper = u32::try_from(campaign.hopper.len()).unwrap_or(u32::MAX);
        let limits = DialLimits {
            lines_free,
            cps_allowance,
            hopper,
            max_lines_per_agent: campaign.row.config.concurrency.max_lines_per_agent,
        };
        let view = PacingView {
            campaign: campaign.number,
            agents: &agents,
            calls: &calls,
            inbound_waiting,
            limits,
            leads_left: if campaign.hopper.more { None } else { Some(0) },
            idle_share: None,
            next: campaign.next_traits(cx.wall),
            next_answer: None,
            shift_left,
            windows: &windows,
            hold: None,
        };
        let decision = self.pacer.decide(cx.now, &view);
        self.roster = roster;
        let mut shown = Shown::of(&decision);
        shown.lines_free = lines_free;
        shown.cps_allowance = cps_allowance;
        shown.shift_left_s = shift_left.map(|left| left.as_secs());
        shown.inbound_waiting = inbound_waiting;
        let campaign = &self.campaigns[&id];
        let small_team = campaign.mode_now != campaign.row.config.mode;
        if small_team && shown.limited_by == LimitedBy::Agents {
            shown.limited_by = LimitedBy::SmallTeam;
        }
        if self.campaigns[&id].is_fixed() && decision.explain.agents_working == 0 {
            shown.limited_by = LimitedBy::Agents;
        }
        self.keep_up_minimum(id, &decision, &limits, &windows, &mut shown);
        (decision, shown)
    }

    /// The calls without an agent that a campaign's decision has to reckon with.
    fn pacing_calls(&self, roster: &Roster, id: CampaignId) -> Vec<pacing::CallView> {
        let own = roster.sharing(id).next().is_none().then_some(id);
        let mut calls = Vec::new();
        for other in roster.sharing(id).chain(own) {
            calls.extend(
                self.campaigns.get(&other).into_iter().flat_map(|campaign| self.paced_calls(campaign)),
            );
        }
        calls
    }

    /// A campaign's own calls that want an agent, or may come to want one.
    pub(super) fn paced_calls(&self, campaign: &Campaign) -> impl Iterator<Item = pacing::CallView> {
        let calls = campaign.calls.iter().map(|call| &self.calls[call]);
        let wants = |call: &&Call| (call.agent.is_none() || call.is_joined_early()) && is_paced(call.mode);
        calls.filter(wants).filter_map(|call| pacing_call(call, campaign.number))
    }

    /// The abandonment windows that hold for a campaign: its own, and that of the group it shares a budget with.
    fn windows(&mut self, cx: &Cx<'_>, id: CampaignId, left: Option<Duration>) -> Vec<WindowCount> {
        let campaign = self.campaigns.get_mut(&id).expect("the caller has it");
        let pacing = campaign.row.config.pacing.clone();
        let style = match pacing.style {
            CapStyle::Hard => pacing::CapStyle::Hard,
            CapStyle::Average => pacing::CapStyle::Average,
            CapStyle::Tapered => pacing::CapStyle::Tapered,
        };
        let offset = campaign.utc_offset_minutes();
        let aim = (pacing.abandon_target, style);
        let own = campaign.ledger.binding(pacing.window, cx.wall, offset);
        let mut windows: Vec<WindowCount> = own.map(|count| window_of(count, aim, left)).collect();
        if let Some(group) = self.group_count(cx, id) {
            windows.push(WindowCount { of_group: true, ..window_of(group, aim, left) });
        }
        windows
    }

    /// Answers of all campaigns that share this one's abandonment budget, itself among them.
    pub(super) fn group_count(&mut self, cx: &Cx<'_>, id: CampaignId) -> Option<Count> {
        let pacing = &self.campaigns[&id].row.config.pacing;
        let (group, window) = (pacing.budget_group.clone()?, pacing.window);
        let mut sum = Count::default();
        for campaign in self.campaigns.values_mut() {
            if campaign.row.config.pacing.budget_group.as_ref() == Some(&group) {
                let count = campaign.answers_in(window, cx.wall);
                sum.live += count.live;
                sum.abandoned += count.abandoned;
            }
        }
        Some(sum)
    }

    /// A campaign may ask for a least number of dials in flight. It yields to the abandonment budget, to inbound calls,
    /// and to every hard limit.
    fn keep_up_minimum(
        &self,
        id: CampaignId,
        decision: &Decision,
        limits: &DialLimits,
        windows: &[WindowCount],
        shown: &mut Shown,
    ) {
        let campaign = &self.campaigns[&id];
        let least = campaign.row.config.concurrency.lines_min;
        let by_forecast = matches!(campaign.mode_now, DialMode::Predictive | DialMode::Ratio);
        let soft = matches!(
            shown.limited_by,
            LimitedBy::Agents
                | LimitedBy::Risk
                | LimitedBy::ColdStart
                | LimitedBy::Ramp
                | LimitedBy::SmallTeam
        );
        let spent = |window: &WindowCount| {
            window.live > 0 && window.abandoned as f64 >= window.cap * window.live as f64
        };
        if least == 0 || !by_forecast || !soft || windows.iter().any(spent) {
            return;
        }
        let most = (f64::from(decision.explain.agents_working) * limits.max_lines_per_agent) as u32;
        let wanted = least.min(most).saturating_sub(decision.explain.in_flight);
        let bound = wanted.min(limits.lines_free).min(limits.cps_allowance).min(limits.hopper);
        if bound > shown.wanted {
            shown.wanted = bound;
        }
    }

    fn pacing_agent<'r>(&self, roster: &'r Roster, decides_for: CampaignId, id: AgentId) -> AgentView<'r> {
        let agent = &self.agents[&id];
        let campaign = agent
            .wrap_up
            .as_ref()
            .and_then(|wrap_up| wrap_up.campaign)
            .or_else(|| agent.call.and_then(|call| self.calls[&call].campaign));
        let campaign = campaign.and_then(|id| self.campaigns.get(&id));
        let came_in = agent.wrap_up.as_ref().is_some_and(|wrap_up| wrap_up.inbound)
            || agent.call.is_some_and(|call| self.calls[&call].inbound.is_some());
        let timed = campaign.is_some_and(Campaign::wraps_up_by_timer);
        AgentView {
            agent: AgentRef(agent.number),
            state: match agent.state {
                AgentState::Ready => pacing::AgentState::Idle,
                // On the way to lines that ring: free for the next answer.
                AgentState::Ringing if agent.call.is_none() && agent.is_being_rung_early() => {
                    pacing::AgentState::Idle
                }
                AgentState::Reserved | AgentState::Ringing | AgentState::Preview => {
                    // Who only hears a line ring takes the next call that is answered, of any campaign.
                    let listens =
                        agent.call.map(|call| &self.calls[&call]).filter(|call| call.is_joined_early());
                    match listens {
                        Some(call) if call.campaign == Some(decides_for) => pacing::AgentState::Listening,
                        Some(_) => pacing::AgentState::Idle,
                        None => pacing::AgentState::Reserved,
                    }
                }
                AgentState::Talking | AgentState::Hold if came_in => pacing::AgentState::InboundTalking,
                AgentState::Talking | AgentState::Hold => pacing::AgentState::Talking,
                AgentState::WrapUp if came_in => pacing::AgentState::InboundWrapUp,
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
    pub(super) fn ways_out(&self, cx: &Cx<'_>, id: CampaignId) -> (u32, u32) {
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

    /// Enters a live answer in the campaign's ledger (its record goes into the journal with the call's change).
    pub(crate) fn enter_ledger(&mut self, cx: &mut Cx<'_>, id: CampaignId, abandoned: bool) {
        let Some(campaign) = self.campaigns.get_mut(&id) else { return };
        campaign.ledger.enter(cx.wall, abandoned);
        let pacing = campaign.row.config.pacing.clone();
        let offset = campaign.utc_offset_minutes();
        let mut binding: Vec<Count> = campaign.ledger.binding(pacing.window, cx.wall, offset).collect();
        binding.extend(self.group_count(cx, id));
        let worst = binding.into_iter().max_by(|a, b| a.rate().total_cmp(&b.rate()));
        let count = worst.unwrap_or_default();
        let campaign = self.campaigns.get_mut(&id).expect("found above");
        self.wanted.insert(id);
        let reached = count.abandoned > 0 && count.rate() >= pacing.abandon_cap;
        let before = std::mem::replace(&mut campaign.cap_reached, reached);
        if reached && !before {
            let event = Event::CampaignAbandonCapReached { live: count.live, abandoned: count.abandoned };
            self.tell_campaign(cx, id, event);
        }
    }
}

impl Campaign {
    /// What is known of the lead that would be dialled next.
    fn next_traits(&self, wall: WallTime) -> DialTraits {
        let list = self.hopper.iter().next().map(|lead| lead.list);
        self.traits(list, None, wall)
    }

    /// What a dial's chance of an answer may depend on.
    pub(crate) fn traits(&self, list: Option<ListId>, trunk: Option<TrunkId>, wall: WallTime) -> DialTraits {
        let hours = self.row.config.calling_hours.as_ref();
        DialTraits {
            list: list.map(|id| id.to_bits() as u32),
            trunk: trunk.map(|id| id.to_bits() as u32),
            hour: hours.map(|hours| hours::hour(hours, wall)),
        }
    }
}

/// A group's name as the number that the pacer knows it by (FNV-1a).
fn group_number(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// A call as the pacer sees it, or nothing when no agent is wanted for it (any more).
fn pacing_call(call: &Call, campaign: pacing::CampaignRef) -> Option<pacing::CallView> {
    let answered_at = match call.state {
        CallState::Queued | CallState::Dialing | CallState::Ringing | CallState::CallingAgent => None,
        // Listening for a machine: not yet an answer that wants an agent, but one that may become one.
        CallState::Waiting if call.amd_mode == AmdMode::BeforeBridge && call.amd.is_none() => None,
        // Whoever is to take back a parked call is none of the pacer's.
        CallState::Offering if call.parked.is_some() => return None,
        CallState::Waiting | CallState::Offering => Some(call.answered.map(|moment| moment.at)?),
        CallState::Bridged | CallState::Parked | CallState::Message | CallState::Ending => return None,
    };
    Some(pacing::CallView {
        call: CallRef(call.number),
        campaign,
        dialed_at: call.dial_ordered.unwrap_or(call.started.at),
        alerting_at: call.ringing.map(|moment| moment.at),
        detecting_since: call.answered.map(|moment| moment.at).filter(|_| answered_at.is_none()),
        answered_at,
        traits: call.traits,
        answer_probability: None,
    })
}
