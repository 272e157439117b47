//! How many lines a campaign has in flight, and its abandonment budget.

use super::DialMode;
use super::classify::Amd;
use crate::extract::Checks;
use crate::wire::wire_enum;
use dialer_core::compliance::profile;
use dialer_core::config as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Over which time the abandonment rate is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub enum Window {
    /// The last 24 hours.
    #[serde(rename = "24h")]
    Hours24,
    /// The last 30 days, and each of the successive 30 days since the campaign was made.
    #[serde(rename = "30d")]
    Days30,
    /// The calendar month, on the clock of `calling_hours` (without them: UTC).
    #[serde(rename = "month")]
    Month,
}

impl From<core::AbandonWindow> for Window {
    fn from(window: core::AbandonWindow) -> Self {
        match window {
            core::AbandonWindow::Hours24 => Window::Hours24,
            core::AbandonWindow::Days30 => Window::Days30,
            core::AbandonWindow::Month => Window::Month,
        }
    }
}

impl From<Window> for core::AbandonWindow {
    fn from(window: Window) -> Self {
        match window {
            Window::Hours24 => core::AbandonWindow::Hours24,
            Window::Days30 => core::AbandonWindow::Days30,
            Window::Month => core::AbandonWindow::Month,
        }
    }
}

wire_enum! {
    /// How the number of lines is found.
    ConcurrencyKind = dialer_core::config::ConcurrencyKind {
        /// By the mode, from the agents there are.
        Dynamic,
        /// `lines` dials are kept in flight while anyone works (ratio mode), or calls are kept up (agentless mode).
        Fixed,
    }
}

wire_enum! {
    /// How the abandonment cap binds.
    CapStyle = dialer_core::config::CapStyle {
        /// Never above: only what has been earned by answers already counted is spent.
        Hard,
        /// At or under the cap when the window (or the shift) ends; spending is planned over what is left of it.
        Average,
        /// As average, but may run ahead early in the shift; what may be ahead shrinks to nothing at its end.
        Tapered,
    }
}

wire_enum! {
    /// The rule book a campaign is held to; settings that it forbids are refused. Numbers of common rules, not legal
    /// advice.
    Policy = dialer_core::config::Policy {
        /// The campaign's own numbers.
        Custom,
        /// United States, FTC, 16 CFR 310.4(b): 3 % in 30 days, 2 s, rings 15 s.
        UsTsr,
        /// United States, FCC, 47 CFR 64.1200(a): 3 % in 30 days, 2 s, rings 15 s.
        UsFcc,
        /// United Kingdom, Ofcom: 3 % in 24 hours, 2 s, rings 15 s.
        GbOfcom,
        /// Canada, CRTC: 5 % in 30 days, 2 s.
        CaCrtc,
        /// Australia, ACMA: hours and public holidays.
        AuAcma,
        /// France, décret 2022-1313: hours, public holidays, 4 attempts in 30 days.
        #[serde(rename = "fr_2022")]
        Fr2022,
        /// China, MIIT: every conversation recorded.
        CnMiit,
    }
}

wire_enum! {
    /// What is held back while inbound calls wait for the same agents. These go first in any case.
    HoldBack = dialer_core::config::HoldBack {
        /// No more than that.
        Off,
        /// No call is dialled ahead: one per idle agent that is left.
        NoOverdial,
        /// Nothing is dialled.
        NoDial,
    }
}

/// Protection of teams that are too small for forecasts.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SmallTeam {
    /// With fewer working agents than this …
    #[schema(minimum = 1, maximum = 1_000)]
    pub below_agents: u32,
    /// … the campaign dials in this mode, `progressive` or `ratio`.
    #[serde(default = "small_team_mode")]
    #[schema(default = "progressive")]
    pub mode: DialMode,
}

fn small_team_mode() -> DialMode {
    DialMode::Progressive
}

/// Limits on lines.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Concurrency {
    /// How the number of lines is found.
    pub kind: ConcurrencyKind,
    /// Kind `fixed`: so many dials in flight. Mode `agentless`: so many calls at once; null: `max`.
    #[schema(minimum = 1, maximum = 100_000)]
    pub lines: Option<u32>,
    /// At least so many dials in flight while an agent works (modes `predictive` and `ratio`). Yields to the abandonment
    /// cap, to inbound calls, and to every other limit.
    #[schema(minimum = 0, maximum = 100_000)]
    pub min: u32,
    /// Most calls of this campaign at once, ringing and talking.
    #[schema(minimum = 1, maximum = 100_000)]
    pub max: u32,
    /// New calls per second of this campaign.
    #[schema(minimum = 0.01, maximum = 10_000)]
    pub cps: f64,
    /// Dials in flight per agent who is ready or about to be; a decimal such as 2.5.
    #[schema(minimum = 1, maximum = 20)]
    pub max_lines_per_agent: f64,
    /// Share against campaigns of the same priority that want the same agents or lines.
    #[schema(minimum = 1, maximum = 10_000)]
    pub weight: f64,
    /// Campaigns of a higher priority are served first.
    #[schema(minimum = 0, maximum = 100)]
    pub priority: u32,
}

impl From<&core::Concurrency> for Concurrency {
    fn from(config: &core::Concurrency) -> Self {
        Concurrency {
            kind: config.kind.into(),
            lines: config.lines,
            min: config.lines_min,
            max: config.lines_max,
            cps: config.cps_max,
            max_lines_per_agent: config.max_lines_per_agent,
            weight: config.weight,
            priority: config.priority,
        }
    }
}

impl From<&Concurrency> for core::Concurrency {
    fn from(wire: &Concurrency) -> Self {
        core::Concurrency {
            kind: wire.kind.into(),
            lines: wire.lines,
            lines_min: wire.min,
            lines_max: wire.max,
            cps_max: wire.cps,
            max_lines_per_agent: wire.max_lines_per_agent,
            weight: wire.weight,
            priority: wire.priority,
        }
    }
}

impl Concurrency {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range(self.max, 1, 100_000, "/concurrency/max");
        checks.range(self.min, 0, 100_000, "/concurrency/min");
        checks.that(self.min <= self.max, "/concurrency/min", "expected at most max");
        if let Some(lines) = self.lines {
            checks.range(lines, 1, 100_000, "/concurrency/lines");
            checks.that(lines <= self.max, "/concurrency/lines", "expected at most max");
        }
        checks.range(self.cps, 0.01, 10_000.0, "/concurrency/cps");
        checks.range(self.max_lines_per_agent, 1.0, 20.0, "/concurrency/max_lines_per_agent");
        checks.range(self.weight, 1.0, 10_000.0, "/concurrency/weight");
        checks.range(self.priority, 0, 100, "/concurrency/priority");
    }
}

impl Default for Concurrency {
    fn default() -> Self {
        (&core::Concurrency::default()).into()
    }
}

/// The abandonment budget.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pacing {
    /// The rate aimed at: abandoned ÷ live answers.
    #[schema(minimum = 0, maximum = 1)]
    pub abandon_target: f64,
    /// The rate never to be passed.
    #[schema(minimum = 0, maximum = 1)]
    pub abandon_cap: f64,
    /// Window of both; null: the rule book's, else 24 hours.
    pub window: Option<Window>,
    /// How the cap binds.
    pub cap_style: CapStyle,
    /// The rule book.
    pub policy: Policy,
    /// Campaigns that name the same group share one abandonment budget: the rate of all of them counts too.
    pub budget_group: Option<String>,
    /// Modes `predictive` and `ratio`: what a small team does instead. Null: teams of any size dial ahead as far as the
    /// forecast bears it.
    pub small_team: Option<SmallTeam>,
    /// Calls that have rung for `timers.ring_min_ms` may be given up when agents run short.
    pub cancel_ringing: bool,
    /// What is held back while inbound calls wait for the same agents.
    pub hold_back: HoldBack,
    /// Agents may wait so long between two calls on average: while they wait less, mode `predictive` runs less of the risk
    /// that `abandon_target` allows. Null: they wait as little as it bears.
    #[schema(minimum = 1_000, maximum = 3_600_000)]
    pub wait_target_ms: Option<u32>,
}

impl From<&core::PacingConfig> for Pacing {
    fn from(config: &core::PacingConfig) -> Self {
        Pacing {
            abandon_target: config.abandon_target,
            abandon_cap: config.abandon_cap,
            window: Some(config.window.into()),
            cap_style: config.style.into(),
            policy: config.policy.into(),
            budget_group: config.budget_group.clone(),
            small_team: config.small_team.as_ref().map(|small_team| SmallTeam {
                below_agents: small_team.below_agents,
                mode: small_team.mode.into(),
            }),
            cancel_ringing: config.cancel_ringing,
            hold_back: config.hold_back.into(),
            wait_target_ms: config.wait_target_ms,
        }
    }
}

impl Pacing {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.range(self.abandon_target, 0.0, 1.0, "/pacing/abandon_target");
        checks.range(self.abandon_cap, 0.0, 1.0, "/pacing/abandon_cap");
        checks.that(
            self.abandon_target <= self.abandon_cap || self.abandon_cap.is_nan(),
            "/pacing/abandon_target",
            "expected at most abandon_cap",
        );
        if let Some(group) = &self.budget_group {
            checks.text(group, 64, "/pacing/budget_group");
        }
        checks.range(self.wait_target_ms.unwrap_or(1_000), 1_000, 3_600_000, "/pacing/wait_target_ms");
        if let Some(small_team) = &self.small_team {
            checks.range(small_team.below_agents, 1, 1_000, "/pacing/small_team/below_agents");
            checks.that(
                matches!(small_team.mode, DialMode::Progressive | DialMode::Ratio),
                "/pacing/small_team/mode",
                "expected progressive or ratio",
            );
        }
    }

    pub(super) fn config(self, amd: &Amd) -> core::PacingConfig {
        core::PacingConfig {
            abandon_target: self.abandon_target,
            abandon_cap: self.abandon_cap,
            window: self.window.map_or_else(|| window_of(self.policy.into()), Into::into),
            style: self.cap_style.into(),
            policy: self.policy.into(),
            budget_group: self.budget_group,
            small_team: self.small_team.map(|small_team| core::SmallTeam {
                below_agents: small_team.below_agents,
                mode: small_team.mode.into(),
            }),
            cancel_ringing: self.cancel_ringing,
            hold_back: self.hold_back.into(),
            wait_target_ms: self.wait_target_ms,
            amd_false_machine: amd.false_machine_rate,
            amd_missed_machine: amd.missed_machine_rate,
        }
    }
}

impl Default for Pacing {
    fn default() -> Self {
        let own: Pacing = (&core::PacingConfig::default()).into();
        Pacing { window: None, ..own }
    }
}

/// The window that a rule book counts abandoned calls in.
fn window_of(policy: core::Policy) -> core::AbandonWindow {
    profile(policy).map_or(core::PacingConfig::default().window, |profile| profile.window)
}
