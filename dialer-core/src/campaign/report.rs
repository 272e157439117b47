//! What is told of a decision: to readers at once, to the event stream as a sample.

use crate::compliance::false_machine;
use crate::config::AbandonWindow;
use crate::dialer::{Cx, Dialer};
use crate::event::Event;
use crate::id::CampaignId;
use crate::pacing::ledger::Count;
use crate::pacing::{self, Decision, Explain};
use crate::view::{AgentState, LimitedBy, PacingDetail, PacingReport};

/// That the same limit was reached is told once in this time, milliseconds.
const LIMIT_GAP_MS: u64 = 60_000;
/// A decision that says nothing new but in its forecasts is told as an event so often, milliseconds.
const SAMPLE_MS: u64 = 10_000;

/// A decision and what came of it.
pub(super) struct Shown {
    pub(super) explain: Explain,
    /// Dials wanted.
    pub(super) wanted: u32,
    /// Dials made.
    pub(super) dialled: u32,
    pub(super) cancelled: u32,
    pub(super) limited_by: LimitedBy,
    pub(super) lines_free: u32,
    pub(super) cps_allowance: u32,
    pub(super) inbound_waiting: u32,
    pub(super) shift_left_s: Option<u64>,
}

impl Shown {
    pub(super) fn of(decision: &Decision) -> Self {
        Shown {
            explain: decision.explain,
            wanted: decision.dial,
            dialled: 0,
            cancelled: 0,
            limited_by: limited_by(decision.limited_by),
            lines_free: 0,
            cps_allowance: 0,
            inbound_waiting: 0,
            shift_left_s: None,
        }
    }
}

impl Dialer {
    /// Keeps the decision for views, and tells it when it says something new.
    pub(super) fn report(&mut self, cx: &mut Cx<'_>, id: CampaignId, shown: Shown) {
        let report = self.make_report(cx, id, &shown);
        let gap = self.config.pacing_event_gap_ms;
        let campaign = self.campaigns.get_mut(&id).expect("the caller has it");
        if campaign.report.as_ref().is_none_or(|old| !same_report(old, &report)) {
            self.dirty.campaigns.insert(id);
        }
        let before = campaign.report.replace(report.clone()).map(|old| old.limited_by);
        let running = campaign.is_running();
        if running && before != Some(report.limited_by) {
            self.tell_limit(cx, id, report.limited_by, report.dialing);
        }
        let campaign = self.campaigns.get_mut(&id).expect("the caller has it");
        let due = match &campaign.reported {
            None => running,
            Some((at, told)) => {
                let waited_ms = cx.now.millis_since(*at);
                let sample = waited_ms >= SAMPLE_MS && running && !same_report(told, &report);
                sample || (waited_ms >= gap && !same_facts(told, &report))
            }
        };
        if due {
            campaign.reported = Some((cx.now, report.clone()));
            self.tell_campaign(cx, id, Event::CampaignPacing { report: Box::new(report) });
        }
    }

    /// Tells that a campaign has come to a limit that somebody has set; of the same one once in a while.
    fn tell_limit(&mut self, cx: &mut Cx<'_>, id: CampaignId, limit: LimitedBy, dialing: u32) {
        let is_set = matches!(
            limit,
            LimitedBy::Lines
                | LimitedBy::Cps
                | LimitedBy::MaxLinesPerAgent
                | LimitedBy::Trunk
                | LimitedBy::CallerIds
        );
        let campaign = self.campaigns.get_mut(&id).expect("the caller has it");
        let told = campaign.limits_told.get(&limit);
        if is_set && told.is_none_or(|at| cx.now.millis_since(*at) >= LIMIT_GAP_MS) {
            campaign.limits_told.insert(limit, cx.now);
            self.tell_campaign(cx, id, Event::CampaignLimitReached { limit, dialing });
        }
    }

    fn make_report(&mut self, cx: &Cx<'_>, id: CampaignId, shown: &Shown) -> PacingReport {
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
        let group = self.group_count(cx, id);
        let campaign = self.campaigns.get_mut(&id).expect("the caller has it");
        let pacing = campaign.row.config.pacing.clone();
        let count = campaign.answers_in(pacing.window, cx.wall);
        let binding = group.filter(|group| group.rate() > count.rate()).unwrap_or(count);
        let dialing = campaign.dialing();
        let explain = &shown.explain;
        let working: u32 = counted[..4].iter().sum();
        PacingReport {
            at: cx.wall,
            agents_ready: counted[0],
            agents_ringing: counted[1],
            agents_talking: counted[2],
            agents_wrap_up: counted[3],
            agents_paused: counted[4],
            dialing,
            dialled_now: shown.dialled,
            target: dialing.saturating_sub(shown.dialled).saturating_add(shown.wanted),
            lines_per_agent: if working == 0 { 0.0 } else { f64::from(dialing) / f64::from(working) },
            answer_probability: explain.p_answer,
            live: count.live,
            abandoned: count.abandoned,
            abandonment_rate: count.rate(),
            budget_remaining: pacing.abandon_cap * binding.live as f64 - binding.abandoned as f64,
            forecast_answers: explain.answers_expected,
            forecast_free_agents: f64::from(explain.agents_idle) + explain.agents_freeing,
            limited_by: shown.limited_by,
            detail: campaign.detail(cx, shown, count, group),
        }
    }
}

impl super::Campaign {
    fn detail(&mut self, cx: &Cx<'_>, shown: &Shown, count: Count, group: Option<Count>) -> PacingDetail {
        let pair = |count: Count| (count.live, count.abandoned);
        let explain = &shown.explain;
        let false_machine = false_machine(&self.row.config);
        PacingDetail {
            mode: self.mode_now,
            small_team: self.mode_now != self.row.config.mode,
            wanted: shown.wanted,
            cancelled: shown.cancelled,
            waiting: explain.waiting,
            lines_free: shown.lines_free,
            cps_allowance: shown.cps_allowance,
            hopper: u32::try_from(self.hopper.len()).unwrap_or(u32::MAX),
            inbound_waiting: shown.inbound_waiting,
            shift_left_s: shown.shift_left_s,
            answer_probability_sd: explain.p_answer_sd,
            answer_time_s: explain.answer_time_s,
            risk_next: explain.risk_next,
            risk_limit: explain.risk_limit,
            target: explain.target,
            budget: explain.budget,
            bias: explain.bias,
            day: pair(self.answers_in(AbandonWindow::Hours24, cx.wall)),
            month: pair(self.answers_in(AbandonWindow::Days30, cx.wall)),
            calendar_month: pair(self.answers_in(AbandonWindow::Month, cx.wall)),
            group: group.map(pair),
            false_machine,
            abandonment_rate_estimated: with_unseen(count, false_machine),
            accuracy: self.forecast.accuracy,
        }
    }
}

/// The rate with the people whom machine detection took for machines: of every 1 − f people passed on, f were hung up
/// on and are abandoned, though nobody has counted them.
fn with_unseen(count: Count, false_machine: f64) -> f64 {
    if count.live == 0 {
        return 0.0;
    }
    let live = count.live as f64;
    let unseen = live * false_machine / (1.0 - false_machine.min(0.5));
    (count.abandoned as f64 + unseen) / (live + unseen)
}

/// The pacer's word in the words of the views.
pub(super) fn limited_by(why: pacing::LimitedBy) -> LimitedBy {
    match why {
        pacing::LimitedBy::Agents | pacing::LimitedBy::NoAgents => LimitedBy::Agents,
        pacing::LimitedBy::SmallTeam => LimitedBy::SmallTeam,
        pacing::LimitedBy::Inbound => LimitedBy::Inbound,
        pacing::LimitedBy::Risk => LimitedBy::Risk,
        pacing::LimitedBy::ColdStart => LimitedBy::ColdStart,
        pacing::LimitedBy::Ramp => LimitedBy::Ramp,
        pacing::LimitedBy::AbandonCap => LimitedBy::AbandonCap,
        pacing::LimitedBy::Lines => LimitedBy::Lines,
        pacing::LimitedBy::Cps => LimitedBy::Cps,
        pacing::LimitedBy::MaxLinesPerAgent => LimitedBy::MaxLinesPerAgent,
        pacing::LimitedBy::Hopper => LimitedBy::Hopper,
        pacing::LimitedBy::ShiftEnd => LimitedBy::ShiftEnd,
        pacing::LimitedBy::Window => LimitedBy::Window,
        pacing::LimitedBy::Paused => LimitedBy::Paused,
        pacing::LimitedBy::Draining => LimitedBy::Draining,
        pacing::LimitedBy::Mode => LimitedBy::Nothing,
    }
}

pub(super) fn empty_decision() -> Decision {
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

/// Equal in all that was done and counted; forecasts and what is left of the day may differ.
fn same_facts(a: &PacingReport, b: &PacingReport) -> bool {
    let facts = |report: &PacingReport| {
        (
            (report.agents_ready, report.agents_ringing, report.agents_talking, report.agents_wrap_up),
            (report.agents_paused, report.dialing, report.dialled_now, report.target),
            (report.live, report.abandoned, report.limited_by, report.detail.mode, report.detail.cancelled),
        )
    };
    facts(a) == facts(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unseen_are_added_to_both_sides() {
        assert_eq!(with_unseen(Count::default(), 0.1), 0.0);
        assert_eq!(with_unseen(Count { live: 100, abandoned: 3 }, 0.0), 0.03);
        // 90 passed on, 10 taken for machines, 3 without an agent: 13 of 100.
        assert!((with_unseen(Count { live: 90, abandoned: 3 }, 0.1) - 0.13).abs() < 1e-12);
    }
}
