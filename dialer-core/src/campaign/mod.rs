//! Campaigns: their life, their hopper, their pace, what becomes of their leads.

mod callback;
mod check;
mod clearance;
mod command;
mod dnc;
mod expiry;
mod forecast;
mod hopper;
mod hours;
mod inbound;
mod list;
mod opt_out;
mod pace;
mod person;
mod preview;
mod promise;
mod recycle;
mod renew;
mod report;
mod roster;
mod schedule;
mod share;
mod sketch;

pub(crate) use callback::CalledBy;
pub(crate) use check::check_manual;
pub(crate) use clearance::Clearance;
pub(crate) use expiry::Expiry;
pub(crate) use forecast::Forecast;
pub(crate) use hopper::Hopper;
pub(crate) use hours::is_open;
pub(crate) use inbound::Inbound;
pub(crate) use opt_out::close_for_good;
pub(crate) use preview::Task;
pub(crate) use promise::Callbacks;
pub(crate) use recycle::{Step, next_step};
pub(crate) use roster::Roster;

pub use dnc::DNC_ENTRIES_MAX;
pub use opt_out::OptOut;
pub use recycle::default_rule;
pub use renew::Recycle;
pub use schedule::Schedule;

use crate::compliance::Ledger;
use crate::config::{AbandonWindow, CampaignState, ConcurrencyKind, ConnectAt, DialMode};
use crate::id::{CallId, TaskId};
use crate::pacing::CampaignRef;
use crate::pacing::ledger::Count;
use crate::record::CampaignRow;
use crate::screen::Screen;
use crate::view::{CallState, CampaignCounts, LimitedBy, PacingReport};
use sansio::{CpsBucket, Instant, TimerKey, WallTime};
use std::collections::{BTreeMap, BTreeSet};

/// A campaign at work.
#[derive(Debug)]
pub(crate) struct Campaign {
    pub(crate) row: CampaignRow,
    /// Its number for the pacer.
    pub(crate) number: CampaignRef,
    pub(crate) hopper: Hopper,
    pub(crate) expiry: Expiry,
    /// What it has learned of hours and leads.
    pub(crate) best_time: crate::best_time::Model,
    /// The hour (since 1970) for which leads were chosen last.
    pub(crate) chosen_for: Option<i64>,
    /// What its leads have to pass.
    pub(crate) screen: Screen,
    /// Its live calls.
    pub(crate) calls: BTreeSet<CallId>,
    /// How many of these are in which state (order of the enum).
    pub(crate) by_state: [u32; STATES],
    /// Its preview tasks under way.
    pub(crate) tasks: BTreeSet<TaskId>,
    pub(crate) cps: CpsBucket,
    pub(crate) ledger: Ledger,
    /// Share of after-call work that lately ended by its timer, not by the agent.
    pub(crate) wrap_up_by_timer: f64,
    pub(crate) counts: CampaignCounts,
    /// The mode it dials in now: its own, or that of small teams.
    pub(crate) mode_now: DialMode,
    /// What it has had of agents and lines, by its weight; who has had least goes first.
    pub(crate) had: f64,
    /// The last decision wanted to dial and could not: its leads wait for agents who are not there, or a trunk was away.
    pub(crate) stuck: bool,
    /// What was forecast against what came.
    pub(crate) forecast: Forecast,
    pub(crate) decided_at: Option<Instant>,
    pub(crate) decide_timer: Option<TimerKey>,
    pub(crate) report: Option<PacingReport>,
    /// The report last told as an event, and when.
    pub(crate) reported: Option<(Instant, PacingReport)>,
    /// When what its pacer learned was last written down, and after how many attempts.
    pub(crate) sketched: Option<(Instant, u64)>,
    /// It was told that nothing is left to dial.
    pub(crate) completed: bool,
    /// When it was told that a limit was reached.
    pub(crate) limits_told: BTreeMap<LimitedBy, Instant>,
    /// The abandonment rate is at its cap, and that was told.
    pub(crate) cap_reached: bool,
}

const STATES: usize = 10;

impl Campaign {
    pub(crate) fn new(row: CampaignRow, number: CampaignRef, now: Instant, wall: WallTime) -> Self {
        let cps = CpsBucket::new(row.config.concurrency.cps_max, now);
        let mode_now = row.config.mode;
        let made = row.created_at;
        let screen = crate::compliance::screen_of(&row.config, None);
        Campaign {
            row,
            number,
            hopper: Hopper::default(),
            expiry: Expiry::default(),
            best_time: crate::best_time::Model::default(),
            chosen_for: None,
            screen,
            calls: BTreeSet::new(),
            by_state: [0; STATES],
            tasks: BTreeSet::new(),
            cps,
            ledger: Ledger::new(made, wall),
            wrap_up_by_timer: 0.5,
            counts: CampaignCounts::default(),
            mode_now,
            had: 0.0,
            stuck: false,
            forecast: Forecast::default(),
            decided_at: None,
            decide_timer: None,
            report: None,
            reported: None,
            sketched: None,
            completed: false,
            limits_told: BTreeMap::new(),
            cap_reached: false,
        }
    }

    /// Minutes that the clock of its callees is ahead of UTC.
    pub(crate) fn utc_offset_minutes(&self) -> i16 {
        self.row.config.calling_hours.as_ref().map_or(0, |hours| hours.utc_offset_minutes)
    }

    /// Its answers in a window that ends now.
    pub(crate) fn answers_in(&mut self, window: AbandonWindow, now: WallTime) -> Count {
        let offset = self.utc_offset_minutes();
        self.ledger.count(window, now, offset)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.row.state == CampaignState::Running
    }

    /// It is looked at regularly: it runs, or it is paused and will be over by the clock.
    pub(crate) fn ticks(&self) -> bool {
        self.is_running() || self.row.state == CampaignState::Paused && self.row.config.schedule.end.is_some()
    }

    pub(crate) fn is_preview(&self) -> bool {
        self.row.config.mode == DialMode::Preview
    }

    /// No agents: who answers hears a message.
    pub(crate) fn is_agentless(&self) -> bool {
        self.row.config.mode == DialMode::Agentless
    }

    /// Its calls get agents when they ring.
    pub(crate) fn joins_early(&self) -> bool {
        self.row.config.connect_at == ConnectAt::Ringing && !self.is_agentless() && !self.is_preview()
    }

    /// The mode with so many agents at work.
    pub(crate) fn mode_for(&self, working: u32) -> DialMode {
        let config = &self.row.config;
        let forecasts = matches!(config.mode, DialMode::Predictive | DialMode::Ratio);
        match &config.pacing.small_team {
            Some(small_team) if forecasts && working < small_team.below_agents => small_team.mode,
            _ => config.mode,
        }
    }

    /// Calls it may have at once.
    pub(crate) fn lines_most(&self) -> u32 {
        let concurrency = &self.row.config.concurrency;
        let lines = concurrency.lines.filter(|_| self.is_agentless());
        lines.map_or(concurrency.lines_max, |lines| lines.min(concurrency.lines_max))
    }

    /// Dials kept in flight for `working` agents when their number is fixed.
    pub(crate) fn lines_fixed(&self, working: u32) -> u32 {
        let concurrency = &self.row.config.concurrency;
        let most = (f64::from(working) * concurrency.max_lines_per_agent) as u32;
        concurrency.lines.unwrap_or(0).min(most)
    }

    /// A fixed number of dials is kept in flight, whoever is free.
    pub(crate) fn is_fixed(&self) -> bool {
        self.row.config.concurrency.kind == ConcurrencyKind::Fixed && self.mode_now == DialMode::Ratio
    }

    /// After-call work as good as always ends by its timer: its end is known.
    pub(crate) fn wraps_up_by_timer(&self) -> bool {
        self.wrap_up_by_timer > 0.8
    }

    /// After-call work ended, by its timer or by the agent.
    pub(crate) fn note_wrap_up(&mut self, by_timer: bool) {
        let seen = if by_timer { 1.0 } else { 0.0 };
        self.wrap_up_by_timer += 0.1 * (seen - self.wrap_up_by_timer);
    }

    /// Lines taken: every live call of the campaign.
    pub(crate) fn lines(&self) -> u32 {
        u32::try_from(self.calls.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn lines_free(&self) -> u32 {
        self.lines_most().saturating_sub(self.lines())
    }

    pub(crate) fn in_state(&self, states: &[CallState]) -> u32 {
        states.iter().map(|state| self.by_state[*state as usize]).sum()
    }

    /// Dialled and not answered.
    pub(crate) fn dialing(&self) -> u32 {
        self.in_state(&[CallState::Queued, CallState::Dialing, CallState::Ringing])
    }
}
