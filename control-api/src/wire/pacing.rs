//! A campaign's pacing on the wire: decisions, forecasts, what was learned.

use super::campaign::{DialMode, Policy};
use crate::time::Time;
use dialer_core::pacing::Summary;
use dialer_core::view::{CampaignView, ForecastAccuracy, PacingDetail, PacingReport};
use serde::Serialize;
use utoipa::ToSchema;

/// A pacing decision.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PacingDecision {
    /// When.
    pub at: Time,
    /// The mode it was made in: the campaign's own, or that of small teams.
    pub mode: DialMode,
    /// The campaign's mode gave way because the team is small.
    pub small_team: bool,
    /// Agents as the decision saw them.
    pub agents: PacingAgents,
    /// Dials in flight after it.
    pub dialing: u32,
    /// Dials made by it.
    pub dialled_now: u32,
    /// Ringing calls it gave up.
    pub cancelled_now: u32,
    /// Dials in flight it wanted.
    pub target: u32,
    /// In flight per agent who is ready or about to be.
    pub lines_per_agent: f64,
    /// Believed probability that a dial is answered by a person.
    pub p_answer: f64,
    /// One standard deviation of that belief.
    pub p_answer_sd: f64,
    /// How far it looked ahead: the median time from dialling to a live answer, seconds.
    pub horizon_s: f64,
    /// The abandonment budget.
    pub abandon: PacingAbandon,
    /// Forecast live answers within the horizon.
    pub forecast_answers: f64,
    /// Forecast free agents within the horizon.
    pub forecast_free_agents: f64,
    /// Forecast probability that the first call not dialled would have found no agent.
    pub risk_next: f64,
    /// The greatest such risk a dial could run.
    pub risk_limit: f64,
    /// What bounded it.
    pub limits: PacingLimits,
    /// What limited it: `nothing`, `agents`, `lines`, `cps`, `risk`, `cold_start`, `ramp`, `small_team`, `inbound`,
    /// `abandon_cap`, `max_lines_per_agent`, `hopper`, `shift_end`, `window`, `paused`, `trunk`, `draining`, `store`, `caller_ids`,
    /// `share`.
    pub limited_by: String,
}

/// Agents as a decision saw them.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "as in AgentTotals")]
pub struct PacingAgents {
    pub ready: u32,
    pub ringing: u32,
    pub talking: u32,
    pub wrap_up: u32,
    pub paused: u32,
}

/// What a decision was bounded by.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct PacingLimits {
    /// Lines that could be taken.
    pub lines_free: u32,
    /// Calls that could start under the calls-per-second limits.
    pub cps_allowance: u32,
    /// Leads ready.
    pub hopper: u32,
    /// Answered calls that waited for an agent.
    pub waiting: u32,
    /// Inbound calls that waited for the same agents.
    pub inbound_waiting: u32,
    /// Seconds to the end of the calling hours; null without any.
    pub shift_left_s: Option<u64>,
}

/// The budget as a decision saw it.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct PacingAbandon {
    /// Live answers in the window.
    pub live: u64,
    /// Of these without an agent in time.
    pub abandoned: u64,
    /// abandoned ÷ live.
    pub ratio: f64,
    /// The same with the people whom machine detection is taken to mistake for machines.
    pub ratio_estimated: f64,
    /// Abandonments the counts so far still bear under the cap (the tighter of campaign and group).
    pub budget_remaining: f64,
    /// Abandonments that may still happen in what is left of the window, by forecast and less a reserve.
    pub budget_forecast: f64,
    /// Rate aimed at for what is left of the window.
    pub target: f64,
    /// Realised ÷ forecast abandonments lately.
    pub bias: f64,
}

impl From<&PacingReport> for PacingDecision {
    fn from(report: &PacingReport) -> Self {
        let detail = &report.detail;
        PacingDecision {
            at: report.at.into(),
            mode: detail.mode.into(),
            small_team: detail.small_team,
            agents: PacingAgents {
                ready: report.agents_ready,
                ringing: report.agents_ringing,
                talking: report.agents_talking,
                wrap_up: report.agents_wrap_up,
                paused: report.agents_paused,
            },
            dialing: report.dialing,
            dialled_now: report.dialled_now,
            cancelled_now: detail.cancelled,
            target: report.target,
            lines_per_agent: report.lines_per_agent,
            p_answer: report.answer_probability,
            p_answer_sd: detail.answer_probability_sd,
            horizon_s: detail.answer_time_s,
            abandon: PacingAbandon {
                live: report.live,
                abandoned: report.abandoned,
                ratio: report.abandonment_rate,
                ratio_estimated: detail.abandonment_rate_estimated,
                budget_remaining: report.budget_remaining,
                budget_forecast: detail.budget,
                target: detail.target,
                bias: detail.bias,
            },
            forecast_answers: report.forecast_answers,
            forecast_free_agents: report.forecast_free_agents,
            risk_next: detail.risk_next,
            risk_limit: detail.risk_limit,
            limits: PacingLimits::from(detail),
            limited_by: report.limited_by.as_str().to_owned(),
        }
    }
}

impl From<&PacingDetail> for PacingLimits {
    fn from(detail: &PacingDetail) -> Self {
        PacingLimits {
            lines_free: detail.lines_free,
            cps_allowance: detail.cps_allowance,
            hopper: detail.hopper,
            waiting: detail.waiting,
            inbound_waiting: detail.inbound_waiting,
            shift_left_s: detail.shift_left_s,
        }
    }
}

/// Answers in a window.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PacingWindow {
    /// `24h`, `30d` or `month`, and whose: the campaign's or its budget group's.
    #[schema(example = "24h")]
    pub window: String,
    /// Of the campaign, or of all that share its budget group.
    pub of_group: bool,
    /// Live answers.
    pub live: u64,
    /// Of these without an agent in time.
    pub abandoned: u64,
    /// abandoned ÷ live.
    pub ratio: f64,
}

/// Forecast against outcome since the node started.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct PacingAccuracy {
    /// Looks ahead that have come to their end; each reaches as far as the horizon.
    pub looks: u64,
    /// Live answers they forecast from the calls in flight …
    pub answers_forecast: f64,
    /// … and those that came.
    pub answers_seen: u64,
    /// Mean of |forecast − seen| per look.
    pub answers_error_mean: f64,
    /// Busy agents they forecast to become free …
    pub freed_forecast: f64,
    /// … and those that did.
    pub freed_seen: u64,
    /// Abandonments that the calls answered so far were forecast to bring …
    pub abandons_forecast: f64,
    /// … and those that came.
    pub abandons_seen: u64,
}

impl From<&ForecastAccuracy> for PacingAccuracy {
    fn from(accuracy: &ForecastAccuracy) -> Self {
        PacingAccuracy {
            looks: accuracy.looks,
            answers_forecast: accuracy.answers_forecast,
            answers_seen: accuracy.answers_seen,
            answers_error_mean: accuracy.answers_error / accuracy.looks.max(1) as f64,
            freed_forecast: accuracy.freed_forecast,
            freed_seen: accuracy.freed_seen,
            abandons_forecast: accuracy.abandons_forecast,
            abandons_seen: accuracy.abandons_seen,
        }
    }
}

/// The distributions that the forecasts rest on.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct PacingLearned {
    /// Believed probability that a dial is answered by a person …
    pub p_answer: f64,
    /// … one standard deviation of that belief …
    pub p_answer_sd: f64,
    /// … and the live answers it rests on.
    pub answers_seen: u64,
    /// Seconds from dialling to a live answer.
    pub answer_time_s: Quantiles,
    /// Mean conversation, seconds.
    pub talk_s: f64,
    /// Share of conversations longer than a minute …
    pub talk_over_60_s: f64,
    /// … two minutes …
    pub talk_over_120_s: f64,
    /// … five minutes.
    pub talk_over_300_s: f64,
    /// Conversations this rests on.
    pub talks_seen: u64,
    /// Mean after-call work, seconds.
    pub wrap_up_s: f64,
    /// After-call works this rests on.
    pub wrap_ups_seen: u64,
}

/// Three percentiles.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Quantiles {
    pub p10: f64,
    pub p50: f64,
    pub p90: f64,
}

impl From<&Summary> for PacingLearned {
    fn from(summary: &Summary) -> Self {
        let [p10, p50, p90] = summary.answer_time_s;
        let [talk_over_60_s, talk_over_120_s, talk_over_300_s] = summary.talk_longer;
        PacingLearned {
            p_answer: summary.p_answer,
            p_answer_sd: summary.p_answer_sd,
            answers_seen: summary.answers_seen,
            answer_time_s: Quantiles { p10, p50, p90 },
            talk_s: summary.talk_s,
            talk_over_60_s,
            talk_over_120_s,
            talk_over_300_s,
            talks_seen: summary.talks_seen,
            wrap_up_s: summary.wrap_up_s,
            wrap_ups_seen: summary.wrap_ups_seen,
        }
    }
}

/// A campaign's pacing.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CampaignPacing {
    /// Which campaign.
    pub campaign_id: String,
    /// The rule book it is held to.
    pub policy: Policy,
    /// The last decision; null before the first.
    pub decision: Option<PacingDecision>,
    /// The last decisions, newest first. Those that say nothing new are left out.
    pub decisions: Vec<PacingDecision>,
    /// The abandonment ledger by window.
    pub windows: Vec<PacingWindow>,
    /// What was forecast against what came.
    pub accuracy: Option<PacingAccuracy>,
    /// The distributions that the forecasts rest on; null before anything is known.
    pub learned: Option<PacingLearned>,
}

impl CampaignPacing {
    /// Puts it together; `history` is newest first.
    #[must_use]
    pub fn new(view: &CampaignView, history: &[PacingReport]) -> Self {
        let report = view.pacing.as_ref();
        CampaignPacing {
            campaign_id: view.row.id.to_string(),
            policy: view.row.config.pacing.policy.into(),
            decision: report.map(PacingDecision::from),
            decisions: history.iter().map(PacingDecision::from).collect(),
            windows: report.map(|report| windows(view, &report.detail)).unwrap_or_default(),
            accuracy: report.map(|report| PacingAccuracy::from(&report.detail.accuracy)),
            learned: view.learned.as_ref().map(PacingLearned::from),
        }
    }
}

fn windows(view: &CampaignView, detail: &PacingDetail) -> Vec<PacingWindow> {
    let window = |window: &str, of_group: bool, (live, abandoned): (u64, u64)| PacingWindow {
        window: window.to_owned(),
        of_group,
        live,
        abandoned,
        ratio: if live == 0 { 0.0 } else { abandoned as f64 / live as f64 },
    };
    let mut windows = vec![
        window("24h", false, detail.day),
        window("30d", false, detail.month),
        window("month", false, detail.calendar_month),
    ];
    let name = view.row.config.pacing.window.as_str();
    windows.extend(detail.group.map(|group| window(name, true, group)));
    windows
}
