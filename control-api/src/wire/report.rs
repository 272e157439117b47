//! Figures of a campaign, and why it is not dialing.

use super::campaign::{CampaignNow, CampaignState, Window};
use super::pacing::PacingDecision;
use super::screened::ScreenedLeads;
use crate::time::{Time, rfc3339};
use dialer_core::config::{CallingHours, CampaignConfig, DialMode};
use dialer_core::view::{AgentState, AgentView, CampaignView, LimitedBy, NodeView, TrunkView};
use sansio::WallTime;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::{AttemptTotals, FunnelCounts, LeadCounts};
use utoipa::ToSchema;

/// Agents of a campaign by what they do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
pub struct AgentTotals {
    /// Who may take its calls.
    pub total: u32,
    /// At work.
    pub logged_in: u32,
    /// Free.
    pub ready: u32,
    /// Chosen for a call, rung, or looking at a preview task.
    pub ringing: u32,
    /// In a call.
    pub talking: u32,
    /// In after-call work.
    pub wrap_up: u32,
    /// On a break.
    pub paused: u32,
    /// Without a phone that can be reached.
    pub unreachable: u32,
    /// Of those on a break or out of reach: because they missed offers.
    pub missed_offers: u32,
}

impl AgentTotals {
    /// Counts the agents who serve a campaign.
    #[must_use]
    pub fn of(agents: &[Arc<AgentView>], campaign: &CampaignConfig) -> Self {
        let mut totals = AgentTotals::default();
        for agent in serving(agents, campaign) {
            totals.count(agent);
        }
        totals
    }

    /// Counts one more.
    pub(crate) fn count(&mut self, agent: &AgentView) {
        self.total += 1;
        let slot = match agent.state {
            AgentState::LoggedOut => return,
            AgentState::Ready => &mut self.ready,
            AgentState::Reserved | AgentState::Ringing | AgentState::Preview => &mut self.ringing,
            AgentState::Talking | AgentState::Hold => &mut self.talking,
            AgentState::WrapUp => &mut self.wrap_up,
            AgentState::Paused => &mut self.paused,
            AgentState::Unreachable => &mut self.unreachable,
        };
        *slot += 1;
        self.logged_in += 1;
        let left_alone = match agent.state {
            AgentState::Paused => agent.pause_code.as_deref() == Some("missed_offers"),
            // With an end: it is not the phone that is missing.
            AgentState::Unreachable => agent.expires_at.is_some(),
            _ => false,
        };
        self.missed_offers += u32::from(left_alone);
    }
}

/// The agents who serve a campaign: of its group, with its skills.
fn serving<'a>(
    agents: &'a [Arc<AgentView>],
    campaign: &'a CampaignConfig,
) -> impl Iterator<Item = &'a Arc<AgentView>> {
    agents.iter().filter(|agent| campaign.is_served_by(&agent.row.config))
}

/// What leads of those may be owned by who are at work for a campaign: their ids, user names and names.
pub(crate) fn owners_at_work(agents: &[Arc<AgentView>], campaign: &CampaignConfig) -> BTreeSet<String> {
    let away = [AgentState::LoggedOut, AgentState::Paused, AgentState::Unreachable];
    let there = serving(agents, campaign).filter(|agent| !away.contains(&agent.state));
    there
        .flat_map(|agent| {
            let config = &agent.row.config;
            [agent.row.id.to_string(), config.username.clone(), config.name.clone()]
        })
        .collect()
}

/// Share of logged-in time in talk, hold and after-call work (breaks and unreachable time left out).
fn occupancy(agents: &[Arc<AgentView>], campaign: &CampaignConfig) -> Option<f64> {
    let (mut busy, mut all) = (0_u64, 0_u64);
    for agent in serving(agents, campaign) {
        for (state, millis) in AgentState::ALL.into_iter().zip(agent.state_ms) {
            match state {
                AgentState::Talking | AgentState::Hold | AgentState::WrapUp => {
                    busy += millis;
                    all += millis;
                }
                AgentState::Ready | AgentState::Reserved | AgentState::Ringing | AgentState::Preview => {
                    all += millis
                }
                AgentState::LoggedOut | AgentState::Unreachable | AgentState::Paused => {}
            }
        }
    }
    (all > 0).then(|| busy as f64 / all as f64)
}

/// Where the abandonment budget stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Abandonment {
    /// Over this time.
    pub window: Window,
    /// Live answers.
    pub live: u64,
    /// Of these without an agent in time.
    pub abandoned: u64,
    /// abandoned ÷ live; 0 without live answers.
    pub rate: f64,
    /// The same with the people whom machine detection is taken to mistake for machines.
    pub rate_estimated: f64,
    /// The rate aimed at.
    pub target: f64,
    /// The rate never to be passed.
    pub cap: f64,
}

impl Abandonment {
    fn new(view: &CampaignView) -> Self {
        let config = &view.row.config.pacing;
        let report = view.pacing.as_ref();
        Abandonment {
            window: config.window.into(),
            live: report.map_or(0, |report| report.live),
            abandoned: report.map_or(0, |report| report.abandoned),
            rate: report.map_or(0.0, |report| report.abandonment_rate),
            rate_estimated: report.map_or(0.0, |report| report.detail.abandonment_rate_estimated),
            target: config.abandon_target,
            cap: config.abandon_cap,
        }
    }
}

/// How far a campaign has come with the leads of its lists.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct CampaignProgress {
    /// All of them.
    pub leads: u64,
    /// Never dialled (or recycled).
    pub untouched: u64,
    /// To be dialled again.
    pub retry_wait: u64,
    /// In a call.
    pub dialing: u64,
    /// Reached.
    pub done: u64,
    /// Not reached, and no attempts are left.
    pub exhausted: u64,
    /// On a do-not-call list.
    pub dnc: u64,
    /// Their time passed before they were reached.
    pub expired: u64,
    /// Share that is not untouched; null without leads.
    pub penetration: Option<f64>,
    /// Share that nothing more is done with: done, exhausted, on a do-not-call list or expired; null without leads.
    pub completion: Option<f64>,
}

impl CampaignProgress {
    /// Adds the lists up.
    #[must_use]
    pub fn of(lists: &[LeadCounts]) -> Self {
        let sum = |of: fn(&LeadCounts) -> u64| lists.iter().map(of).sum::<u64>();
        let leads = sum(LeadCounts::total);
        let untouched = sum(|counts| counts.new);
        let (done, exhausted) = (sum(|counts| counts.done), sum(|counts| counts.exhausted));
        let (dnc, expired) = (sum(|counts| counts.dnc), sum(|counts| counts.expired));
        let share = |part: u64| (leads > 0).then(|| part as f64 / leads as f64);
        CampaignProgress {
            leads,
            untouched,
            retry_wait: sum(|counts| counts.retry_wait),
            dialing: sum(|counts| counts.dialing),
            done,
            exhausted,
            dnc,
            expired,
            penetration: share(leads - untouched),
            completion: share(done + exhausted + dnc + expired),
        }
    }
}

/// Figures of a campaign since it was made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CampaignStats {
    /// Which campaign.
    pub campaign_id: String,
    /// Its state.
    pub state: CampaignState,
    /// Calls dialled.
    pub attempts: u64,
    /// Of these answered, by anyone or anything.
    pub answers: u64,
    /// Of these joined to an agent.
    pub connected: u64,
    /// Of the answers: without an agent in time.
    pub abandoned: u64,
    /// Of the answers: machines.
    pub machines: u64,
    /// answers ÷ calls that ended; null before the first.
    pub answer_rate: Option<f64>,
    /// Ended calls by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Sum of talk time.
    pub talk_ms: u64,
    /// Mean talk time of connected calls.
    pub talk_ms_mean: Option<f64>,
    /// The abandonment budget.
    pub abandonment: Abandonment,
    /// Agents who may take its calls.
    pub agents: AgentTotals,
    /// Their time in talk, hold and wrap-up ÷ (that + free and ringing time), since login.
    pub occupancy: Option<f64>,
    /// What it does now.
    pub now: CampaignNow,
    /// How far it has come with its leads.
    pub progress: CampaignProgress,
}

impl CampaignStats {
    /// Puts the figures together.
    #[must_use]
    pub fn new(
        view: &CampaignView,
        totals: &AttemptTotals,
        agents: &[Arc<AgentView>],
        progress: CampaignProgress,
    ) -> Self {
        let config = &view.row.config;
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let outcome = |wanted| totals.outcomes.get(&wanted).copied().unwrap_or(0);
        CampaignStats {
            campaign_id: view.row.id.to_string(),
            state: view.row.state.into(),
            attempts: totals.ended + totals.open,
            answers: totals.answered,
            connected: totals.bridged,
            abandoned: totals.abandoned,
            machines: outcome(dialer_core::Outcome::Machine),
            answer_rate: share(totals.answered, totals.ended),
            outcomes: totals.outcomes.iter().map(|(outcome, n)| (outcome.as_str().to_owned(), *n)).collect(),
            talk_ms: totals.talk_ms,
            talk_ms_mean: share(totals.talk_ms, totals.bridged),
            abandonment: Abandonment::new(view),
            agents: AgentTotals::of(agents, config),
            occupancy: occupancy(agents, config),
            now: now_of(view),
            progress,
        }
    }
}

fn now_of(view: &CampaignView) -> CampaignNow {
    CampaignNow {
        hopper: view.hopper,
        dialing: view.dialing,
        waiting: view.waiting,
        talking: view.talking,
        limited_by: view.pacing.as_ref().map(|report| report.limited_by.as_str().to_owned()),
    }
}

/// Where leads stand: each is counted once, at the first stage that keeps it from being dialled.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct LeadFunnel {
    /// All leads of the campaign's lists.
    pub total: u64,
    /// Being dialled or talking.
    pub dialing: u64,
    /// Reached.
    pub done: u64,
    /// No attempts left.
    pub exhausted: u64,
    /// On a do-not-call list.
    pub dnc: u64,
    /// Past their expiry.
    pub expired: u64,
    /// Attempts used up under the campaign's cap.
    pub attempts_spent: u64,
    /// To be tried again later.
    pub retry_wait: u64,
    /// When the first of these is due.
    pub next_due: Option<Time>,
    /// May be dialled now.
    pub due: u64,
    /// What windows, limits and filter say of these; null: nothing is asked of them.
    pub screened: Option<ScreenedLeads>,
    /// Of these in the hopper.
    pub hopper: u32,
}

impl LeadFunnel {
    fn new(counts: &FunnelCounts, screened: Option<ScreenedLeads>, hopper: u32) -> Self {
        LeadFunnel {
            total: counts.total,
            dialing: counts.by_state.dialing,
            done: counts.by_state.done,
            exhausted: counts.by_state.exhausted,
            dnc: counts.by_state.dnc,
            expired: counts.expired,
            attempts_spent: counts.attempts_spent,
            retry_wait: counts.waiting,
            next_due: counts.next_due.map(Time),
            due: counts.due,
            screened,
            hopper,
        }
    }
}

/// Trunks a campaign may use.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct TrunkTotals {
    /// All of them.
    pub total: u32,
    /// Enabled.
    pub enabled: u32,
    /// Enabled and answering.
    pub up: u32,
    /// Calls on these.
    pub calls_active: u32,
    /// Calls these bear, those from elsewhere left out.
    pub channels_max: u32,
    /// New calls per second that these bear.
    pub cps_max: f64,
}

/// Why a campaign dials, or does not.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CampaignDiagnostics {
    /// Which campaign.
    pub campaign_id: String,
    /// Its state.
    pub state: CampaignState,
    /// It dials now.
    pub dialing: bool,
    /// What limits it, as in `pacing`; `lists` and `leads` too.
    pub limited_by: String,
    /// One sentence in plain words.
    pub summary: String,
    /// From all leads to the hopper.
    pub leads: LeadFunnel,
    /// Within calling hours.
    pub within_calling_hours: bool,
    /// Agents.
    pub agents: AgentTotals,
    /// Trunks.
    pub trunks: TrunkTotals,
    /// Calls ringing, waiting and talking.
    pub lines_in_use: u32,
    /// Most calls of this campaign.
    pub lines_max: u32,
    /// The abandonment budget.
    pub abandonment: Abandonment,
    /// The last decision.
    pub decision: Option<PacingDecision>,
}

/// What the diagnosis looks at.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// The campaign.
    pub campaign: &'a CampaignView,
    /// Its leads.
    pub funnel: &'a FunnelCounts,
    /// What keeps due leads from being dialled.
    pub screened: Option<ScreenedLeads>,
    /// All agents.
    pub agents: &'a [Arc<AgentView>],
    /// All trunks.
    pub trunks: &'a [Arc<TrunkView>],
    /// The node.
    pub node: NodeView,
    /// Now.
    pub now: WallTime,
}

impl CampaignDiagnostics {
    /// Looks at everything that can keep a campaign from dialing, and names the first that does.
    #[must_use]
    pub fn new(evidence: &Evidence<'_>) -> Self {
        let view = evidence.campaign;
        let config = &view.row.config;
        let agents = AgentTotals::of(evidence.agents, config);
        let trunks = trunk_totals(evidence);
        let within_calling_hours =
            config.calling_hours.as_ref().is_none_or(|hours| is_open(hours, evidence.now));
        let (limited_by, summary) = verdict(evidence, &agents, &trunks, within_calling_hours);
        CampaignDiagnostics {
            campaign_id: view.row.id.to_string(),
            state: view.row.state.into(),
            dialing: view.dialing > 0,
            limited_by: limited_by.to_owned(),
            summary,
            leads: LeadFunnel::new(evidence.funnel, evidence.screened, view.hopper),
            within_calling_hours,
            agents,
            trunks,
            lines_in_use: view.dialing + view.waiting + view.talking,
            lines_max: lines_most(view),
            abandonment: Abandonment::new(view),
            decision: view.pacing.as_ref().map(PacingDecision::from),
        }
    }
}

fn trunk_totals(evidence: &Evidence<'_>) -> TrunkTotals {
    let wanted = &evidence.campaign.row.config.trunks;
    let mut totals =
        TrunkTotals { total: 0, enabled: 0, up: 0, calls_active: 0, channels_max: 0, cps_max: 0.0 };
    for trunk in evidence.trunks.iter().filter(|trunk| wanted.is_empty() || wanted.contains(&trunk.row.id)) {
        totals.total += 1;
        if trunk.row.config.enabled {
            totals.enabled += 1;
            if trunk.up {
                totals.up += 1;
                totals.calls_active += trunk.calls_active;
                totals.channels_max = totals.channels_max.saturating_add(trunk.row.config.channels());
                totals.cps_max += trunk.row.config.cps_max;
            }
        }
    }
    totals
}

/// Whether the callee's clock is within the hours.
fn is_open(hours: &CallingHours, now: WallTime) -> bool {
    const DAY: i64 = 24 * 60;
    let minutes = now.unix_millis().div_euclid(60_000) + i64::from(hours.utc_offset_minutes);
    let minute = minutes.rem_euclid(DAY);
    // 1970-01-01 was a Thursday: day 3 when Monday is 0.
    let day = (minutes.div_euclid(DAY) + 3).rem_euclid(7);
    hours.days & (1 << day) != 0
        && (i64::from(hours.from_minute)..i64::from(hours.to_minute)).contains(&minute)
}

/// The first thing that keeps the campaign from dialing: its short name and a sentence.
fn verdict(
    evidence: &Evidence<'_>,
    agents: &AgentTotals,
    trunks: &TrunkTotals,
    open: bool,
) -> (&'static str, String) {
    use dialer_core::config::CampaignState as State;
    let view = evidence.campaign;
    match view.row.state {
        State::Stopped => return ("paused", "The campaign is stopped; start it to dial.".into()),
        State::Paused => return ("paused", "The campaign is paused; resume it to dial.".into()),
        State::Running => {}
    }
    if evidence.node.draining {
        return ("draining", "The node is draining and takes no new work.".into());
    }
    if !evidence.node.store_healthy {
        return ("store", "Records cannot be written now, so nothing is dialled.".into());
    }
    if let Some(begins) = view.row.config.schedule.start.filter(|start| *start > evidence.now) {
        return ("window", format!("Its schedule begins at {}.", rfc3339(begins)));
    }
    if let Some(found) = lead_verdict(evidence) {
        return found;
    }
    if !open {
        return ("window", "It is outside the campaign's calling hours.".into());
    }
    if let Some(found) = trunk_verdict(trunks) {
        return found;
    }
    if view.mode() == DialMode::Agentless {
        return agentless_verdict(view, trunks);
    }
    if let Some(found) = skill_verdict(evidence, agents).or_else(|| agent_verdict(view, agents)) {
        return found;
    }
    paced_verdict(view, agents, trunks)
}

fn lead_verdict(evidence: &Evidence<'_>) -> Option<(&'static str, String)> {
    let (view, counts) = (evidence.campaign, evidence.funnel);
    if view.row.config.lists.is_empty() {
        return Some(("lists", "The campaign has no list.".into()));
    }
    if counts.total == 0 {
        return Some(("leads", "The campaign's lists have no leads.".into()));
    }
    if view.hopper > 0 || view.dialing > 0 {
        return None;
    }
    if counts.due > 0 {
        return evidence.screened.and_then(|screened| screened.verdict());
    }
    if counts.waiting > 0 {
        let due =
            counts.next_due.map_or_else(String::new, |at| format!("; the first is due at {}", rfc3339(at)));
        return Some((
            "hopper",
            format!("All {} leads that are left wait for their next try{due}.", counts.waiting),
        ));
    }
    let spent = counts.by_state.exhausted + counts.attempts_spent;
    Some((
        "hopper",
        format!(
            "No lead is left to dial: of {} leads {} are done, {spent} have no attempts left, {} are on a do-not-call \
             list, {} have expired and {} are in a call.",
            counts.total, counts.by_state.done, counts.by_state.dnc, counts.expired, counts.by_state.dialing
        ),
    ))
}

fn trunk_verdict(trunks: &TrunkTotals) -> Option<(&'static str, String)> {
    let sentence = match (trunks.total, trunks.enabled, trunks.up) {
        (0, _, _) => "There is no trunk for this campaign.".to_owned(),
        (_, 0, _) => "No trunk of this campaign is enabled.".to_owned(),
        (_, enabled, 0) => format!("None of the campaign's {enabled} enabled trunks is up."),
        _ => return None,
    };
    Some(("trunk", sentence))
}

/// Agents there are, but none who can do what is asked for.
fn skill_verdict(evidence: &Evidence<'_>, agents: &AgentTotals) -> Option<(&'static str, String)> {
    let config = &evidence.campaign.row.config;
    let group = config.agent_group.as_deref();
    let others = evidence.agents.iter().filter(|agent| agent.row.config.is_in_group(group)).count();
    if agents.total > 0 || others == 0 || config.serving.skills.is_empty() {
        return None;
    }
    let wanted: Vec<String> =
        config.serving.skills.iter().map(|(skill, least)| format!("{skill} at {least} or more")).collect();
    Some((
        "agents",
        format!("None of the {others} agents has the skills it asks for: {}.", wanted.join(", ")),
    ))
}

/// How many of those who take no calls missed offers.
fn missed(agents: &AgentTotals, words: &str) -> String {
    match agents.missed_offers {
        0 => String::new(),
        missed => format!(", {missed} of them {words}"),
    }
}

fn agent_verdict(view: &CampaignView, agents: &AgentTotals) -> Option<(&'static str, String)> {
    let of = match view.row.config.agent_group.as_deref() {
        Some(group) => format!(" of group {group}"),
        None => String::new(),
    };
    let sentence = if agents.total == 0 {
        format!("There is no agent{of}.")
    } else if agents.logged_in == 0 {
        format!("None of the {} agents{of} is logged in.", agents.total)
    } else if agents.paused == agents.logged_in {
        let missed = missed(agents, "because of missed offers");
        format!("All {} logged-in agents{of} are on a break{missed}.", agents.logged_in)
    } else if agents.unreachable == agents.logged_in {
        let missed = missed(agents, "left alone for a while after a missed offer");
        format!("The phones of all {} logged-in agents{of} are out of reach{missed}.", agents.logged_in)
    } else if agents.paused + agents.unreachable == agents.logged_in {
        format!(
            "Of {} logged-in agents{of}, {} are on a break and {} have no phone in reach{}.",
            agents.logged_in,
            agents.paused,
            agents.unreachable,
            missed(agents, "left alone because of missed offers")
        )
    } else {
        return None;
    };
    Some(("agents", sentence))
}

/// Calls a campaign may have at once.
fn lines_most(view: &CampaignView) -> u32 {
    let concurrency = &view.row.config.concurrency;
    let lines = concurrency.lines.filter(|_| view.mode() == DialMode::Agentless);
    lines.map_or(concurrency.lines_max, |lines| lines.min(concurrency.lines_max))
}

fn lines_in_use(view: &CampaignView) -> u32 {
    view.dialing + view.waiting + view.talking
}

/// Agentless campaigns wait for nothing but lines.
fn agentless_verdict(view: &CampaignView, trunks: &TrunkTotals) -> (&'static str, String) {
    let limited_by = view.pacing.as_ref().map_or(LimitedBy::Nothing, |report| report.limited_by);
    let (used, most) = (lines_in_use(view), lines_most(view));
    match limited_by {
        LimitedBy::Nothing | LimitedBy::Lines | LimitedBy::Agents if used >= most => {
            ("lines", format!("It is dialing: all its {most} lines are in use, as many as it may keep up."))
        }
        LimitedBy::Agents => (
            "agents",
            "The leads that are left may only be called with an agent at hand (72 hours after an abandoned \
                        call)."
                .into(),
        ),
        other => paced_sentence(view, &AgentTotals::default(), trunks, other),
    }
}

/// Nothing stands in the way for good: what the last decision said.
fn paced_verdict(view: &CampaignView, agents: &AgentTotals, trunks: &TrunkTotals) -> (&'static str, String) {
    let Some(report) = &view.pacing else {
        return ("nothing", "The campaign has just started; no decision was made yet.".into());
    };
    paced_sentence(view, agents, trunks, report.limited_by)
}

fn paced_sentence(
    view: &CampaignView,
    agents: &AgentTotals,
    trunks: &TrunkTotals,
    limited_by: LimitedBy,
) -> (&'static str, String) {
    let config = &view.row.config;
    let flight = view.dialing;
    let sentence = match limited_by {
        LimitedBy::Nothing => format!("It is dialing: {flight} calls are in flight, as many as wanted."),
        LimitedBy::Agents => format!(
            "No agent is free or about to be: {} talking, {} in wrap-up, {} being rung; {flight} calls are in flight.",
            agents.talking, agents.wrap_up, agents.ringing
        ),
        LimitedBy::Lines => format!(
            "All lines are in use: {} of {} of the campaign, {} of the {} that its trunks have for us.",
            lines_in_use(view),
            lines_most(view),
            trunks.calls_active,
            trunks.channels_max
        ),
        LimitedBy::Cps => format!(
            "New calls per second are at their limit: {} of the campaign, {} of its trunks together.",
            config.concurrency.cps_max, trunks.cps_max
        ),
        LimitedBy::Risk => format!(
            "{flight} calls are in flight; one more would be too likely to be abandoned under the target of {:.1} %.",
            config.pacing.abandon_target * 100.0
        ),
        LimitedBy::ColdStart => format!(
            "Too few answers were seen yet for a forecast: one call per free agent, or what Erlang C bears if that is \
             more; {flight} calls are in flight."
        ),
        LimitedBy::Ramp => {
            format!(
                "Dialing is being ramped up step by step: {flight} calls are in flight, more will follow."
            )
        }
        LimitedBy::SmallTeam => small_team_sentence(view),
        LimitedBy::Inbound => format!(
            "{} inbound calls wait for the same agents and go first; {flight} calls are in flight.",
            view.pacing.as_ref().map_or(0, |report| report.detail.inbound_waiting)
        ),
        LimitedBy::AbandonCap => abandon_cap_sentence(view),
        LimitedBy::MaxLinesPerAgent => format!(
            "{flight} calls are in flight, as many as {} lines per agent allow.",
            config.concurrency.max_lines_per_agent
        ),
        LimitedBy::Hopper => "The hopper is empty; leads are being loaded.".into(),
        LimitedBy::ShiftEnd => "The calling hours end before another call could be answered.".into(),
        LimitedBy::Window => "It is outside the campaign's calling hours.".into(),
        LimitedBy::Paused => "The campaign is not running.".into(),
        LimitedBy::Trunk => "No trunk is up.".into(),
        LimitedBy::Draining => "The node is draining and takes no new work.".into(),
        LimitedBy::Store => "Records cannot be written now, so nothing is dialled.".into(),
        LimitedBy::Compliance => "The lead may not be called now.".into(),
        LimitedBy::CallerIds => {
            "No number of the pool of caller IDs may be shown now: all rest, have had their calls of this hour or day, or \
             are in quarantine."
                .into()
        }
        LimitedBy::Share => {
            "Preview campaigns of the same agents go first: they have a higher priority, or had less by their weight.".into()
        }
    };
    (limited_by.as_str(), sentence)
}

fn small_team_sentence(view: &CampaignView) -> String {
    let small_team = view.row.config.pacing.small_team.as_ref();
    let least = small_team.map_or_else(|| "two".to_owned(), |small_team| small_team.below_agents.to_string());
    format!(
        "Fewer than {least} agents are at work, too few to dial ahead: one call per free agent; {} calls are in flight.",
        view.dialing
    )
}

fn abandon_cap_sentence(view: &CampaignView) -> String {
    let pacing = &view.row.config.pacing;
    let report = view.pacing.as_ref();
    let (live, abandoned) = report.map_or((0, 0), |report| (report.live, report.abandoned));
    let group = report
        .and_then(|report| report.detail.group)
        .map_or_else(String::new, |(live, abandoned)| format!("; its group has {abandoned} of {live}"));
    format!(
        "The abandonment budget is spent: {abandoned} of {live} live answers ({:.2} %) against a cap of {:.1} %{group}. \
         One call per free agent is dialled until it recovers.",
        report.map_or(0.0, |report| report.abandonment_rate) * 100.0,
        pacing.abandon_cap * 100.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calling_hours_follow_the_callees_clock() {
        let hours =
            CallingHours { from_minute: 540, to_minute: 1_200, days: 0b1_1111, utc_offset_minutes: 480 };
        let at = |text| crate::time::parse_rfc3339(text).unwrap();
        // 2026-10-01 is a Thursday.
        assert!(is_open(&hours, at("2026-10-01T01:00:00Z")));
        assert!(!is_open(&hours, at("2026-10-01T00:59:59Z")));
        assert!(is_open(&hours, at("2026-10-01T11:59:59Z")));
        assert!(!is_open(&hours, at("2026-10-01T12:00:00Z")));
        assert!(!is_open(&hours, at("2026-10-03T04:00:00Z")));
        // Sunday evening in UTC is Monday morning there.
        assert!(is_open(&CallingHours { days: 1, from_minute: 0, ..hours }, at("2026-10-04T17:00:00Z")));
    }
}
