//! Campaigns on the wire.

use super::best_time::BestTime;
use super::calling_hours::{CallingHours, clock_text, minute_of_day};
use super::calling_windows::CallingWindows;
use super::disposition::DispositionEntry;
use super::schedule::Schedule;
use super::serving::{AfterWrapUp, AgentOrder, Callbacks};
use super::trunk::{CALLER_ID, is_caller_id};
use super::{Outcome, wire_enum};
use crate::extract::Checks;
use crate::mask::Masker;
use crate::problem::Problem;
use crate::time::{Time, parse_span, span_text};
use dialer_core::config as core;
use dialer_core::machine::{AssistantThen as CoreThen, MachinePolicy};
use dialer_core::screen::{self, Filter, Frequency, Sequence};
use dialer_core::view::CampaignView;
use dialer_core::{CallerIdPoolId, DncListId, ListId, OptOut, TrunkId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

wire_enum! {
    /// How a campaign dials.
    DialMode = dialer_core::config::DialMode {
        /// The agent sees the lead first and dials by hand (or by a timer).
        Preview,
        /// One line per ready agent.
        Progressive,
        /// A fixed number of lines per ready agent.
        Ratio,
        /// As many lines as the forecast bears under the abandonment target.
        Predictive,
        /// No agents: so many calls at once (`concurrency.lines`, else `max`), and who answers hears `on_answer.play`.
        Agentless,
    }
}

wire_enum! {
    /// Life of a campaign.
    CampaignState = dialer_core::config::CampaignState {
        /// Made or ended; dials nothing.
        Stopped,
        /// Dials.
        Running,
        /// Dials nothing new; live calls go on.
        Paused,
    }
}

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
    /// In which order leads of one priority are dialled.
    LeadOrder = dialer_core::screen::LeadOrder {
        /// As they were imported.
        Imported,
        /// By chance: any of the next 5,000 of each list.
        Random,
    }
}

impl Default for LeadOrder {
    fn default() -> Self {
        dialer_core::screen::LeadOrder::default().into()
    }
}

/// What answering-machine detection is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AmdMode {
    /// Nothing.
    Off,
    /// Connect the agent at once and listen beside; a machine ends the call.
    Async,
    /// Listen first; connect when it is not a machine. Also understood: `fast`.
    #[serde(alias = "fast")]
    BeforeBridge,
}

impl From<core::AmdMode> for AmdMode {
    fn from(mode: core::AmdMode) -> Self {
        match mode {
            core::AmdMode::Off => AmdMode::Off,
            core::AmdMode::Async => AmdMode::Async,
            core::AmdMode::BeforeBridge => AmdMode::BeforeBridge,
        }
    }
}

impl From<AmdMode> for core::AmdMode {
    fn from(mode: AmdMode) -> Self {
        match mode {
            AmdMode::Off => core::AmdMode::Off,
            AmdMode::Async => core::AmdMode::Async,
            AmdMode::BeforeBridge => core::AmdMode::BeforeBridge,
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
    /// When a call gets its agent.
    ConnectAt = dialer_core::config::ConnectAt {
        /// When the customer answers.
        Answer,
        /// When the customer's phone rings: a ready agent is joined and hears it ring. Who answers without an agent gets
        /// the next free one, also one who listens to another line that still rings. The phone of an agent without a
        /// nailed-up session is rung for it (best with auto-answer), and its leg kept until one conversation is over or
        /// nothing rings any more.
        Ringing,
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
    fn check(&self, checks: &mut Checks) {
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
    /// Window of both.
    pub window: Window,
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
}

impl From<&core::PacingConfig> for Pacing {
    fn from(config: &core::PacingConfig) -> Self {
        Pacing {
            abandon_target: config.abandon_target,
            abandon_cap: config.abandon_cap,
            window: config.window.into(),
            cap_style: config.style.into(),
            policy: config.policy.into(),
            budget_group: config.budget_group.clone(),
            small_team: config.small_team.as_ref().map(|small_team| SmallTeam {
                below_agents: small_team.below_agents,
                mode: small_team.mode.into(),
            }),
            cancel_ringing: config.cancel_ringing,
            hold_back: config.hold_back.into(),
        }
    }
}

impl Pacing {
    fn check(&self, checks: &mut Checks) {
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
        if let Some(small_team) = &self.small_team {
            checks.range(small_team.below_agents, 1, 1_000, "/pacing/small_team/below_agents");
            checks.that(
                matches!(small_team.mode, DialMode::Progressive | DialMode::Ratio),
                "/pacing/small_team/mode",
                "expected progressive or ratio",
            );
        }
    }

    fn config(self, amd: &Amd) -> core::PacingConfig {
        core::PacingConfig {
            abandon_target: self.abandon_target,
            abandon_cap: self.abandon_cap,
            window: self.window.into(),
            style: self.cap_style.into(),
            policy: self.policy.into(),
            budget_group: self.budget_group,
            small_team: self.small_team.map(|small_team| core::SmallTeam {
                below_agents: small_team.below_agents,
                mode: small_team.mode.into(),
            }),
            cancel_ringing: self.cancel_ringing,
            hold_back: self.hold_back.into(),
            amd_false_machine: amd.false_machine_rate,
            amd_missed_machine: amd.missed_machine_rate,
        }
    }
}

impl Default for Pacing {
    fn default() -> Self {
        (&core::PacingConfig::default()).into()
    }
}

/// Timers, milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timers {
    /// An unanswered call rings at least this long.
    #[schema(minimum = 0, maximum = 120_000)]
    pub ring_min_ms: u32,
    /// … and at most this long.
    #[schema(minimum = 1_000, maximum = 180_000)]
    pub ring_max_ms: u32,
    /// An agent's phone rings at most this long.
    #[schema(minimum = 1_000, maximum = 120_000)]
    pub agent_ring_ms: u32,
    /// After-call work; the agent may end it sooner.
    #[schema(maximum = 3_600_000)]
    pub wrap_up_ms: u32,
    /// A live answer without an agent for this long is abandoned.
    #[schema(minimum = 100, maximum = 60_000)]
    pub bridge_deadline_ms: u32,
    /// Preview: dial by itself after this long; 0 waits for the agent.
    #[schema(maximum = 3_600_000)]
    pub preview_auto_dial_ms: u32,
    /// Longest call.
    #[schema(minimum = 1_000, maximum = 86_400_000)]
    pub call_max_ms: u32,
}

impl From<&core::CampaignTimers> for Timers {
    fn from(config: &core::CampaignTimers) -> Self {
        Timers {
            ring_min_ms: config.ring_min_ms,
            ring_max_ms: config.ring_max_ms,
            agent_ring_ms: config.agent_ring_ms,
            wrap_up_ms: config.wrap_up_ms,
            bridge_deadline_ms: config.bridge_deadline_ms,
            preview_auto_dial_ms: config.preview_auto_dial_ms,
            call_max_ms: config.call_max_ms,
        }
    }
}

impl Default for Timers {
    fn default() -> Self {
        (&core::CampaignTimers::default()).into()
    }
}

/// What follows the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AfterMessage {
    /// Hang up.
    #[default]
    Hangup,
}

/// What happens to a live answer when no agent is free in time.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OnNoAgent {
    /// Name of the prompt that is played (safe-harbour message); null plays nothing.
    pub play: Option<String>,
    /// What follows.
    pub then: AfterMessage,
    /// Who presses this key (0–9, `*`, `#`) while the message is played, or that of agentless mode, is not called again; null:
    /// no key is listened to. The message should say so.
    #[schema(example = "9")]
    pub collect_opt_out: Option<String>,
    /// The do-not-call list that the number is put on then: one that holds everywhere, or one of `dnc_lists`.
    #[schema(value_type = Option<String>)]
    pub opt_out_list_id: Option<DncListId>,
}

impl OnNoAgent {
    fn new(config: &core::CampaignConfig) -> Self {
        OnNoAgent {
            play: config.safe_harbour_prompt.clone(),
            then: AfterMessage::Hangup,
            collect_opt_out: config.opt_out.map(|opt_out| opt_out.digit.to_string()),
            opt_out_list_id: config.opt_out.map(|opt_out| opt_out.list),
        }
    }

    /// The key and the list: both or neither.
    fn opt_out(&self, checks: &mut Checks) -> Option<OptOut> {
        let key = |text: &String| {
            let mut characters = text.chars();
            let key = characters.next().filter(|key| key.is_ascii_digit() || matches!(key, '*' | '#'));
            key.filter(|_| characters.next().is_none())
        };
        let digit = self.collect_opt_out.as_ref().and_then(key);
        let wrong = self.collect_opt_out.is_some() && digit.is_none();
        checks.that(!wrong, "/on_no_agent/collect_opt_out", "expected one of 0 to 9, * and #");
        let alone = self.collect_opt_out.is_some() != self.opt_out_list_id.is_some();
        checks.that(!alone, "/on_no_agent/opt_out_list_id", "expected together with collect_opt_out");
        Some(OptOut { digit: digit?, list: self.opt_out_list_id? })
    }
}

impl Default for OnNoAgent {
    fn default() -> Self {
        OnNoAgent::new(&core::CampaignConfig::default())
    }
}

/// Answering-machine detection.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Amd {
    /// What is done.
    pub mode: AmdMode,
    /// An undecided verdict counts as a person. Only true is supported.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub human_on_timeout: bool,
    /// Share of people it takes for machines, as measured; null: the estimate of `pacing.policy` (1 % under each rule
    /// book, none under `custom`). They are live and abandoned in the eyes of the law: the budget is reserved.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 0.5)]
    pub false_machine_rate: Option<f64>,
    /// Share of the calls passed on as a person's that are machines it missed, as measured; null: none. They are no live
    /// answers.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 0.5)]
    pub missed_machine_rate: Option<f64>,
}

impl Amd {
    fn new(config: &core::CampaignConfig) -> Self {
        Amd {
            mode: config.amd.into(),
            human_on_timeout: true,
            false_machine_rate: config.pacing.amd_false_machine,
            missed_machine_rate: config.pacing.amd_missed_machine,
        }
    }

    fn check(&self, checks: &mut Checks) {
        checks.that(
            self.human_on_timeout,
            "/classify/amd/human_on_timeout",
            "only true is supported: an undecided verdict counts as a person",
        );
        for (share, pointer) in [
            (self.false_machine_rate, "/classify/amd/false_machine_rate"),
            (self.missed_machine_rate, "/classify/amd/missed_machine_rate"),
        ] {
            if let Some(share) = share {
                checks.range(share, 0.0, 0.5, pointer);
            }
        }
    }
}

/// What is done with a machine that answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OnMachine {
    /// Name of the prompt that is left on it, behind its beep (or when it falls silent); null: hang up at once.
    pub leave: Option<String>,
}

/// What follows when an assistant has asked who is calling.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssistantThen {
    /// Hang up.
    #[default]
    Hangup,
    /// Go on as with a person: an agent, or the message of an agentless campaign.
    Agent,
}

/// What is done with an assistant that answers and asks who is calling.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OnScreening {
    /// Name of the prompt that answers it when it has asked; null: nothing is said.
    pub say: Option<String>,
    /// What follows.
    pub then: AssistantThen,
    /// A recording that ends without a beep and then is silent is an assistant. To know it the end of every recording is
    /// waited for, with the agent who was joined if `then` is `agent`; null: where `say` or `then` asks for something.
    /// Assistants that were taught are known by their sound anyway.
    pub by_silence: Option<bool>,
}

/// What happens to who answers in agentless mode.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OnAnswer {
    /// Name of the prompt that is played.
    pub play: Option<String>,
    /// What follows.
    pub then: AfterMessage,
}

fn yes() -> bool {
    true
}

/// What is listened to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Classify {
    /// Listen to early media and give up on busy, congestion and special information tones at once.
    pub early_media: bool,
    /// Answering-machine detection.
    pub amd: Amd,
    /// What is done with a machine.
    pub machine: OnMachine,
    /// What is done with an assistant that asks who is calling.
    pub screening: OnScreening,
}

impl Classify {
    fn new(config: &core::CampaignConfig) -> Self {
        let policy = &config.machine_policy;
        Classify {
            early_media: config.early_media,
            amd: Amd::new(config),
            machine: OnMachine { leave: policy.leave.clone() },
            screening: OnScreening {
                say: policy.say.clone(),
                then: match policy.then {
                    CoreThen::Hangup => AssistantThen::Hangup,
                    CoreThen::Agent => AssistantThen::Agent,
                },
                by_silence: policy.by_silence,
            },
        }
    }

    fn policy(&self) -> MachinePolicy {
        MachinePolicy {
            leave: self.machine.leave.clone(),
            say: self.screening.say.clone(),
            then: match self.screening.then {
                AssistantThen::Hangup => CoreThen::Hangup,
                AssistantThen::Agent => CoreThen::Agent,
            },
            by_silence: self.screening.by_silence,
        }
    }

    fn check(&self, checks: &mut Checks) {
        self.amd.check(checks);
        let prompts = [
            ("/classify/machine/leave", &self.machine.leave),
            ("/classify/screening/say", &self.screening.say),
        ];
        for (pointer, prompt) in prompts {
            if let Some(prompt) = prompt {
                checks.text(prompt, 100, pointer);
            }
        }
        let acts = self.policy().awaits_turn();
        checks.that(
            !acts || self.amd.mode != AmdMode::Off,
            "/classify/amd/mode",
            "expected a mode other than off: without detection neither machines nor assistants are known",
        );
    }
}

impl Default for Classify {
    fn default() -> Self {
        Classify::new(&core::CampaignConfig::default())
    }
}

/// When and how often an outcome is tried again.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRule {
    /// For this outcome …
    pub outcome: Outcome,
    /// … try again after this long: a whole number and `ms`, `s`, `m`, `h` or `d`. Needed unless `max` is 0.
    #[serde(default)]
    #[schema(example = "15m")]
    pub after: Option<String>,
    /// … at most this often (0: never).
    #[schema(maximum = 100)]
    pub max: u32,
    /// False: such an attempt does not count in `caps.per_lead`.
    #[serde(default = "counts")]
    #[schema(default = true)]
    pub counts: bool,
    /// The next try is in another part of the callee's day than this one: until 12, until 17, until 24 o'clock.
    #[serde(default)]
    pub other_slot: bool,
}

fn counts() -> bool {
    true
}

/// Most attempts.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Caps {
    /// Per lead in all.
    #[schema(minimum = 1, maximum = 1_000)]
    pub per_lead: u32,
    /// Per lead on one day of the callee's calendar.
    #[schema(minimum = 1, maximum = 32)]
    pub per_day: Option<u32>,
    /// Per lead within 24 hours.
    #[schema(minimum = 1, maximum = 32)]
    pub per_24h: Option<u32>,
    /// Per lead within 7 days.
    #[schema(minimum = 1, maximum = 32)]
    pub per_7d: Option<u32>,
    /// Per lead within 30 days.
    #[schema(minimum = 1, maximum = 32)]
    pub per_30d: Option<u32>,
    /// Least time between two attempts of a lead.
    #[schema(maximum = 31_622_400_000_i64)]
    pub gap_ms: u64,
    /// Per lead within parts of the day, such as morning, noon and evening, by the callee's clock; at most 6.
    #[schema(max_items = 6)]
    pub day_parts: Vec<DayPart>,
}

/// A part of the callee's day.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DayPart {
    /// First minute, `HH:MM`.
    #[schema(example = "09:00")]
    pub from: String,
    /// First minute behind it, `HH:MM`, at most `24:00`.
    #[schema(example = "12:00")]
    pub to: String,
    /// Attempts of a lead in it at most; 0: none.
    #[schema(maximum = 32)]
    pub max: u32,
}

impl DayPart {
    fn core(&self) -> Option<screen::DayPart> {
        let (from_minute, to_minute) = (minute_of_day(&self.from)?, minute_of_day(&self.to)?);
        (from_minute < to_minute).then_some(screen::DayPart { from_minute, to_minute, max: self.max })
    }
}

impl Caps {
    fn new(config: &core::CampaignConfig) -> Self {
        let Frequency { per_day, per_24h, per_7d, per_30d, gap_ms, day_parts } = *config.frequency;
        let part = |part: &screen::DayPart| DayPart {
            from: clock_text(part.from_minute),
            to: clock_text(part.to_minute),
            max: part.max,
        };
        let day_parts = day_parts.iter().flatten().map(part).collect();
        Caps { per_lead: config.attempts_max, per_day, per_24h, per_7d, per_30d, gap_ms, day_parts }
    }

    fn frequency(&self) -> Frequency {
        let Caps { per_day, per_24h, per_7d, per_30d, gap_ms, .. } = *self;
        let mut day_parts = [None; screen::DAY_PARTS_MAX];
        for (place, part) in day_parts.iter_mut().zip(&self.day_parts) {
            *place = part.core();
        }
        Frequency { per_day, per_24h, per_7d, per_30d, gap_ms, day_parts }
    }

    fn check(&self, checks: &mut Checks) {
        checks.range(self.per_lead, 1, 1_000, "/caps/per_lead");
        let few = self.day_parts.len() <= screen::DAY_PARTS_MAX;
        checks.that(few, "/caps/day_parts", "expected at most 6 parts");
        for (place, part) in self.day_parts.iter().enumerate() {
            let fits = part.core().is_some();
            checks.that(fits, &format!("/caps/day_parts/{place}"), "expected from before to, both HH:MM");
            checks.range(part.max, 0, 32, &format!("/caps/day_parts/{place}/max"));
        }
        for (limit, pointer) in [
            (self.per_day, "/caps/per_day"),
            (self.per_24h, "/caps/per_24h"),
            (self.per_7d, "/caps/per_7d"),
            (self.per_30d, "/caps/per_30d"),
        ] {
            checks.range(limit.unwrap_or(1), 1, 32, pointer);
        }
    }
}

impl Default for Caps {
    fn default() -> Self {
        Caps::new(&core::CampaignConfig::default())
    }
}

/// Push mode: the campaign takes dial requests.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Push {
    /// Where requests are kept, one of `lists`; null: the first of them.
    #[schema(value_type = Option<String>)]
    pub list_id: Option<ListId>,
    /// A request that names no time is not dialled after this long.
    #[schema(minimum = 1_000, maximum = 2_592_000_000_i64)]
    pub expires_in_ms: u64,
    /// Requests that wait to be dialled at most; more get 429.
    #[schema(minimum = 1, maximum = 10_000_000)]
    pub waiting_max: u32,
}

impl From<&core::PushConfig> for Push {
    fn from(config: &core::PushConfig) -> Self {
        Push { list_id: config.list, expires_in_ms: config.expires_in_ms, waiting_max: config.waiting_max }
    }
}

impl From<&Push> for core::PushConfig {
    fn from(wire: &Push) -> Self {
        core::PushConfig {
            list: wire.list_id,
            expires_in_ms: wire.expires_in_ms,
            waiting_max: wire.waiting_max,
        }
    }
}

impl Default for Push {
    fn default() -> Self {
        (&core::PushConfig::default()).into()
    }
}

/// A campaign to be made; for PATCH, any part of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CampaignRequest {
    /// Shown name, 1 to 100 characters.
    pub name: String,
    /// How it dials.
    #[serde(default = "mode")]
    pub mode: DialMode,
    /// Lines per ready agent in ratio mode.
    #[serde(default = "ratio")]
    #[schema(default = 1.5, minimum = 1, maximum = 20)]
    pub ratio: f64,
    /// When a call gets its agent.
    #[serde(default = "connect_at")]
    #[schema(default = "answer")]
    pub connect_at: ConnectAt,
    /// Agentless mode: what who answers hears.
    #[serde(default)]
    pub on_answer: OnAnswer,
    /// Agents of this group; null: all agents.
    #[serde(default)]
    pub agent_group: Option<String>,
    /// Who of the free agents gets the next call.
    #[serde(default = "agent_order")]
    #[schema(default = "longest_idle")]
    pub agent_order: AgentOrder,
    /// Skills that an agent must have to serve it, each with its least level, 1 to 9. At most 64.
    #[serde(default)]
    #[schema(example = json!({"french": 5}))]
    pub skills_required: BTreeMap<String, u8>,
    /// Address for the agent's screen, told filled in with each offer, before the phone rings. In braces may stand: `call_id`,
    /// `task_id`, `campaign_id`, `lead_id`, `list_id`, `external_id`, `agent_id`, `agent_username`, `phone`, `attempt`,
    /// `fields.NAME`.
    #[serde(default)]
    #[schema(max_length = 2_048, example = "https://crm.example/pop?customer={external_id}&call={call_id}")]
    pub pop_url: Option<String>,
    /// Break codes that its agents may give, at most 100. An agent of several campaigns may give those of any; where none
    /// names one, any word.
    #[serde(default)]
    pub pause_codes: Vec<String>,
    /// What follows after-call work that lasted its whole `wrap_up_ms`.
    #[serde(default = "wrap_up_then")]
    #[schema(default = "ready")]
    pub wrap_up_then: AfterWrapUp,
    /// A lead whose field `owner` names an agent (by id, user name or name) is called by that agent alone; it waits while that
    /// one is busy or not there. Leads without an owner are anyone's.
    #[serde(default)]
    pub owner_only: bool,
    /// Callbacks that agents promise to make themselves.
    #[serde(default)]
    pub callbacks: Callbacks,
    /// Whose leads.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub lists: Vec<ListId>,
    /// Over these trunks, in order of preference; empty: any enabled trunk.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub trunks: Vec<TrunkId>,
    /// Caller ID shown; null: the trunk's.
    #[serde(default)]
    pub caller_id: Option<String>,
    /// Its calls show numbers of this pool, and none is dialled while the pool has none to show; null: `caller_id`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub caller_id_pool: Option<CallerIdPoolId>,
    /// Limits on lines.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// Abandonment budget.
    #[serde(default)]
    pub pacing: Pacing,
    /// Timers.
    #[serde(default)]
    pub timers: Timers,
    /// When no agent is free in time.
    #[serde(default)]
    pub on_no_agent: OnNoAgent,
    /// What is listened to.
    #[serde(default)]
    pub classify: Classify,
    /// Retry rules; an outcome without one uses the built-in table.
    #[serde(default)]
    pub retry: Vec<RetryRule>,
    /// Most attempts.
    #[serde(default)]
    pub caps: Caps,
    /// When it begins and ends.
    #[serde(default)]
    pub schedule: Schedule,
    /// When it may dial; null: always.
    #[serde(default)]
    pub calling_hours: Option<CallingHours>,
    /// When its callees may be called, by the clock where each of them is; null: as the rule book says.
    #[serde(default)]
    pub calling_windows: Option<CallingWindows>,
    /// Only leads that match: comparisons (`=`, `!=`, `<`, `<=`, `>`, `>=`, `in (…)`, `contains`, `starts_with`,
    /// `exists(…)`) of `fields.<name>`, `priority`, `attempts`, `state`, `last_outcome`, `outcomes.<outcome>`,
    /// `external_id`, `time_zone`, `owner`, `phone.number`, `phone.kind`, `list_id`, joined by `and`, `or`, `not` and brackets.
    #[serde(default)]
    #[schema(max_length = 4_096, example = "fields.segment = \"gold\" and attempts < 3")]
    pub filter: Option<String>,
    /// In which order leads of one priority are dialled. Callbacks that are due go first, and `best_time` has its own order.
    #[serde(default)]
    pub lead_order: LeadOrder,
    /// Shares of its lists, such as 70 and 30: of the leads that are dialled so many come from each, as long as it lasts; one that
    /// is not named has 1. Empty: all leads are one queue, the highest priority first.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, u32>)]
    pub list_mix: BTreeMap<ListId, u32>,
    /// Do-not-call lists it respects beside those that hold everywhere.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub dnc_lists: Vec<DncListId>,
    /// Record bridged calls.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub record: bool,
    /// Dispositions an agent may set; empty: any word.
    #[serde(default)]
    pub dispositions: Vec<DispositionEntry>,
    /// It takes dial requests, which lapse; null: none.
    #[serde(default)]
    pub push: Option<Push>,
    /// Preview mode: agents may give a lead back without dialling it (`/v1/tasks/{id}:skip`).
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub preview_skip: bool,
    /// It learns in which hours people answer and dials those first for whom this hour is good; null: it does not.
    #[serde(default)]
    pub best_time: Option<BestTime>,
}

fn wrap_up_then() -> AfterWrapUp {
    AfterWrapUp::Ready
}
fn agent_order() -> AgentOrder {
    dialer_core::serving::AgentOrder::default().into()
}
fn mode() -> DialMode {
    core::DialMode::default().into()
}
fn connect_at() -> ConnectAt {
    core::ConnectAt::default().into()
}
fn ratio() -> f64 {
    core::CampaignConfig::default().ratio
}

impl CampaignRequest {
    fn check(&self) -> (Checks, Vec<core::RetryRule>, Option<core::CallingHours>) {
        let mut checks = Checks::default();
        checks.text(&self.name, 100, "/name");
        checks.range(self.ratio, 1.0, 20.0, "/ratio");
        if let Some(group) = &self.agent_group {
            checks.text(group, 100, "/agent_group");
        }
        checks.that(self.lists.len() <= 100, "/lists", "expected at most 100 lists");
        checks.that(self.trunks.len() <= 100, "/trunks", "expected at most 100 trunks");
        checks.that(self.caller_id.as_deref().is_none_or(is_caller_id), "/caller_id", CALLER_ID);
        self.concurrency.check(&mut checks);
        self.pacing.check(&mut checks);
        self.check_timers(&mut checks);
        if let Some(prompt) = &self.on_no_agent.play {
            checks.text(prompt, 100, "/on_no_agent/play");
        }
        if let Some(prompt) = &self.on_answer.play {
            checks.text(prompt, 100, "/on_answer/play");
        }
        self.classify.check(&mut checks);
        let retry = self.check_retry(&mut checks);
        self.caps.check(&mut checks);
        if let Some(Err(fault)) = self.filter.as_deref().map(Filter::parse) {
            checks.wrong("/filter", fault.to_string());
        }
        checks.that(self.dnc_lists.len() <= 100, "/dnc_lists", "expected at most 100 lists");
        if let Some(best_time) = &self.best_time {
            best_time.check(&mut checks);
        }
        let hours = self.calling_hours.as_ref().map(|hours| hours.checked(&mut checks));
        (checks, retry, hours)
    }

    fn check_timers(&self, checks: &mut Checks) {
        let timers = &self.timers;
        checks.range(timers.ring_min_ms, 0, 120_000, "/timers/ring_min_ms");
        checks.range(timers.ring_max_ms, 1_000, 180_000, "/timers/ring_max_ms");
        checks.that(
            timers.ring_min_ms <= timers.ring_max_ms,
            "/timers/ring_max_ms",
            "expected at least ring_min_ms",
        );
        checks.range(timers.agent_ring_ms, 1_000, 120_000, "/timers/agent_ring_ms");
        checks.range(timers.wrap_up_ms, 0, 3_600_000, "/timers/wrap_up_ms");
        checks.range(timers.bridge_deadline_ms, 100, 60_000, "/timers/bridge_deadline_ms");
        checks.range(timers.preview_auto_dial_ms, 0, 3_600_000, "/timers/preview_auto_dial_ms");
        checks.range(timers.call_max_ms, 1_000, 86_400_000, "/timers/call_max_ms");
    }

    fn check_retry(&self, checks: &mut Checks) -> Vec<core::RetryRule> {
        let mut rules: Vec<core::RetryRule> = Vec::with_capacity(self.retry.len());
        for (at, rule) in self.retry.iter().enumerate() {
            let outcome = rule.outcome.into();
            if rules.iter().any(|known| known.outcome == outcome) {
                checks.wrong(format!("/retry/{at}/outcome"), "this outcome has a rule already");
            }
            checks.range(rule.max, 0, 100, &format!("/retry/{at}/max"));
            let after_ms = match rule.after.as_deref() {
                Some(text) => parse_span(text),
                None => (rule.max == 0).then_some(0),
            };
            checks.that(
                after_ms.is_some(),
                &format!("/retry/{at}/after"),
                "expected a span like 15m, 4h or 1d",
            );
            rules.push(core::RetryRule {
                outcome,
                after_ms: after_ms.unwrap_or(0),
                max: rule.max,
                counts: rule.counts,
                other_slot: rule.other_slot,
            });
        }
        rules
    }
}

impl TryFrom<CampaignRequest> for core::CampaignConfig {
    type Error = Problem;

    fn try_from(wire: CampaignRequest) -> Result<Self, Problem> {
        let (mut checks, retry, calling_hours) = wire.check();
        let windows = wire.calling_windows.as_ref().map(|windows| Box::new(windows.checked(&mut checks)));
        let opt_out = wire.on_no_agent.opt_out(&mut checks);
        checks.finish()?;
        let filter = wire.filter.as_deref().and_then(|text| Filter::parse(text).ok());
        Ok(core::CampaignConfig {
            name: wire.name,
            // Whoever makes it says whose it is; afterwards it stays.
            tenant: dialer_core::Tenant::default(),
            mode: wire.mode.into(),
            ratio: wire.ratio,
            agent_group: wire.agent_group,
            serving: Box::new(dialer_core::serving::Serving {
                order: wire.agent_order.into(),
                skills: wire.skills_required,
                pop_url: wire.pop_url,
                pause_codes: wire.pause_codes,
                wrap_up_then: wire.wrap_up_then.into(),
                callback_late_after_ms: wire.callbacks.late_after_ms,
                callback_late: wire.callbacks.late.into(),
                owner_only: wire.owner_only,
            }),
            lists: wire.lists,
            trunks: wire.trunks,
            caller_id: wire.caller_id,
            caller_id_pool: wire.caller_id_pool,
            connect_at: wire.connect_at.into(),
            message_prompt: wire.on_answer.play,
            concurrency: (&wire.concurrency).into(),
            pacing: Box::new(wire.pacing.config(&wire.classify.amd)),
            timers: core::CampaignTimers {
                ring_min_ms: wire.timers.ring_min_ms,
                ring_max_ms: wire.timers.ring_max_ms,
                agent_ring_ms: wire.timers.agent_ring_ms,
                wrap_up_ms: wire.timers.wrap_up_ms,
                bridge_deadline_ms: wire.timers.bridge_deadline_ms,
                preview_auto_dial_ms: wire.timers.preview_auto_dial_ms,
                call_max_ms: wire.timers.call_max_ms,
            },
            safe_harbour_prompt: wire.on_no_agent.play,
            opt_out,
            amd: wire.classify.amd.mode.into(),
            machine_policy: Box::new(wire.classify.policy()),
            early_media: wire.classify.early_media,
            retry,
            attempts_max: wire.caps.per_lead,
            schedule: wire
                .schedule
                .into_core(calling_hours.as_ref().map_or(0, |hours| hours.utc_offset_minutes)),
            calling_hours,
            calling_windows: windows,
            frequency: Box::new(wire.caps.frequency()),
            filter,
            sequence: Box::new(Sequence { order: wire.lead_order.into(), mix: wire.list_mix }),
            dnc_lists: wire.dnc_lists,
            record: wire.record,
            dispositions: wire.dispositions.into_iter().map(Into::into).collect(),
            push: wire.push.as_ref().map(|push| Box::new(push.into())),
            preview_skip: wire.preview_skip,
            best_time: wire.best_time.as_ref().map(|best_time| Box::new(best_time.config())),
        })
    }
}

impl From<&core::CampaignConfig> for CampaignRequest {
    fn from(config: &core::CampaignConfig) -> Self {
        CampaignRequest {
            name: config.name.clone(),
            mode: config.mode.into(),
            ratio: config.ratio,
            connect_at: config.connect_at.into(),
            on_answer: OnAnswer { play: config.message_prompt.clone(), then: AfterMessage::Hangup },
            agent_group: config.agent_group.clone(),
            agent_order: config.serving.order.into(),
            skills_required: config.serving.skills.clone(),
            pop_url: config.serving.pop_url.clone(),
            pause_codes: config.serving.pause_codes.clone(),
            wrap_up_then: config.serving.wrap_up_then.into(),
            owner_only: config.serving.owner_only,
            callbacks: Callbacks::new(&config.serving),
            lists: config.lists.clone(),
            trunks: config.trunks.clone(),
            caller_id: config.caller_id.clone(),
            caller_id_pool: config.caller_id_pool,
            concurrency: (&config.concurrency).into(),
            pacing: config.pacing.as_ref().into(),
            timers: (&config.timers).into(),
            on_no_agent: OnNoAgent::new(config),
            classify: Classify::new(config),
            retry: config
                .retry
                .iter()
                .map(|rule| RetryRule {
                    outcome: rule.outcome.into(),
                    after: Some(span_text(rule.after_ms)),
                    max: rule.max,
                    counts: rule.counts,
                    other_slot: rule.other_slot,
                })
                .collect(),
            caps: Caps::new(config),
            schedule: config.schedule.into(),
            calling_hours: config.calling_hours.as_ref().map(CallingHours::from),
            calling_windows: config.calling_windows.as_deref().map(CallingWindows::from),
            filter: config.filter.as_ref().map(|filter| filter.as_str().to_owned()),
            lead_order: config.sequence.order.into(),
            list_mix: config.sequence.mix.clone(),
            dnc_lists: config.dnc_lists.clone(),
            record: config.record,
            dispositions: config.dispositions.iter().map(Into::into).collect(),
            push: config.push.as_deref().map(Push::from),
            preview_skip: config.preview_skip,
            best_time: config.best_time.as_deref().map(BestTime::from),
        }
    }
}

/// A campaign.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Campaign {
    /// Its name.
    #[schema(example = "camp_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// Its state.
    pub state: CampaignState,
    /// Its settings.
    #[serde(flatten)]
    pub settings: CampaignRequest,
    /// What it does now.
    pub now: CampaignNow,
    /// Counts changes, from 1 (also the ETag).
    pub version: u32,
    /// When it was made.
    pub created_at: Time,
}

/// What a campaign does now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CampaignNow {
    /// Leads in the hopper.
    pub hopper: u32,
    /// Calls ringing.
    pub dialing: u32,
    /// Answered calls waiting for an agent.
    pub waiting: u32,
    /// Calls with an agent.
    pub talking: u32,
    /// What limited the last decision.
    pub limited_by: Option<String>,
}

impl Campaign {
    /// As the caller may see it.
    #[must_use]
    pub fn new(view: &CampaignView, mask: Masker) -> Self {
        let mut settings = CampaignRequest::from(&view.row.config);
        settings.caller_id = mask.number_option(settings.caller_id.as_deref());
        settings.name = mask.text(&settings.name);
        settings.filter = mask.text_option(settings.filter.as_deref());
        Campaign {
            id: view.row.id.to_string(),
            state: view.row.state.into(),
            settings,
            now: CampaignNow {
                hopper: view.hopper,
                dialing: view.dialing,
                waiting: view.waiting,
                talking: view.talking,
                limited_by: view.pacing.as_ref().map(|report| report.limited_by.as_str().to_owned()),
            },
            version: view.row.version,
            created_at: view.row.created_at.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_dialer() {
        let wire: CampaignRequest = serde_json::from_str(r#"{"name":"x"}"#).unwrap();
        let config = core::CampaignConfig::try_from(wire).unwrap();
        assert_eq!(config, core::CampaignConfig { name: "x".into(), ..core::CampaignConfig::default() });
    }

    #[test]
    fn a_config_reads_back_from_its_wire_form() {
        let config = core::CampaignConfig {
            name: "x".into(),
            retry: vec![core::RetryRule::new(dialer_core::Outcome::Busy, 900_000, 3)],
            calling_hours: Some(core::CallingHours {
                from_minute: 540,
                to_minute: 1_440,
                days: 0b1_1111,
                utc_offset_minutes: -330,
            }),
            ..core::CampaignConfig::default()
        };
        let wire = serde_json::to_string(&CampaignRequest::from(&config)).unwrap();
        assert!(
            wire.contains(r#""after":"15m""#) && wire.contains(r#""to":"24:00""#) && wire.contains("-05:30")
        );
        assert_eq!(
            core::CampaignConfig::try_from(serde_json::from_str::<CampaignRequest>(&wire).unwrap()).unwrap(),
            config
        );
    }

    #[test]
    fn all_wrong_fields_are_told_at_once() {
        let wire: CampaignRequest = serde_json::from_value(serde_json::json!({
            "name": " ", "pacing": {"abandon_target": 0.5, "abandon_cap": 0.1},
            "timers": {"ring_min_ms": 20_000, "ring_max_ms": 10_000},
            "retry": [{"outcome": "busy", "after": "soon", "max": 3}, {"outcome": "busy", "max": 0}],
            "calling_hours": {"from": "25:00", "to": "9:00", "utc_offset": "8", "days": []},
            "classify": {"amd": {"mode": "fast", "human_on_timeout": false}}
        }))
        .unwrap();
        let problem = core::CampaignConfig::try_from(wire).unwrap_err();
        let pointers: Vec<_> = problem.errors().iter().filter_map(|error| error.pointer.as_deref()).collect();
        assert_eq!(
            pointers,
            [
                "/name",
                "/pacing/abandon_target",
                "/timers/ring_max_ms",
                "/classify/amd/human_on_timeout",
                "/retry/0/after",
                "/retry/1/outcome",
                "/calling_hours/from",
                "/calling_hours/to",
                "/calling_hours/utc_offset",
                "/calling_hours/days"
            ]
        );
    }
}
