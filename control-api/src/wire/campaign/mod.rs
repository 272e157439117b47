//! Campaigns on the wire.

mod budget;
mod caller_id;
mod classify;
mod tries;

pub use budget::{CapStyle, Concurrency, ConcurrencyKind, HoldBack, Pacing, Policy, SmallTeam, Window};
pub(crate) use caller_id::core as core_caller_id;
pub use caller_id::{CallerIdChoice, CallerIdFromPool, CallerIdPerNumber};
pub use classify::{
    AfterMessage, Amd, AmdMode, AssistantThen, Classify, EarlyMediaChoice, OnAnswer, OnMachine, OnNoAgent,
    OnScreening, TonePlan,
};
pub use tries::{Caps, DayPart, Push, RetryRule, Timers};

use super::best_time::BestTime;
use super::calling_hours::CallingHours;
use super::calling_windows::CallingWindows;
use super::disposition::DispositionEntry;
use super::schedule::Schedule;
use super::serving::{AfterWrapUp, AgentOrder, Callbacks};
use super::wire_enum;
use crate::extract::Checks;
use crate::mask::Masker;
use crate::problem::Problem;
use crate::time::Time;
use dialer_core::config as core;
use dialer_core::screen::{Filter, Sequence};
use dialer_core::view::CampaignView;
use dialer_core::{CalendarId, CallerIdPoolId, DncListId, ListId, TrunkId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tries::retry_rules;
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

fn yes() -> bool {
    true
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
    /// Caller ID shown: a number, or a pool whose numbers are shown; null: the trunk's.
    #[serde(default)]
    pub caller_id: Option<CallerIdChoice>,
    /// Its calls show numbers of this pool, and none is dialled while the pool has none to show; null: `caller_id`. The
    /// same as `caller_id` with a pool alone.
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
    /// … and as this calendar says; null: none.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "cal_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub calendar: Option<CalendarId>,
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
        self.concurrency.check(&mut checks);
        self.pacing.check(&mut checks);
        self.timers.check(&mut checks);
        if let Some(prompt) = &self.on_no_agent.play {
            checks.text(prompt, 100, "/on_no_agent/play");
        }
        if let Some(prompt) = &self.on_answer.play {
            checks.text(prompt, 100, "/on_answer/play");
        }
        self.classify.check(&mut checks);
        let retry = retry_rules(&self.retry, &mut checks);
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
}

impl TryFrom<CampaignRequest> for core::CampaignConfig {
    type Error = Problem;

    fn try_from(wire: CampaignRequest) -> Result<Self, Problem> {
        let (mut checks, retry, calling_hours) = wire.check();
        let windows = wire.calling_windows.as_ref();
        let windows = windows.map(|windows| Box::new(windows.checked("/calling_windows", &mut checks)));
        let opt_out = wire.on_no_agent.opt_out(&wire.dnc_lists, &mut checks);
        let shown = caller_id::core(wire.caller_id, wire.caller_id_pool, &mut checks);
        let (early_media, tone_plan) = wire.classify.early_media.core();
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
            caller_id: shown.number,
            caller_id_pool: shown.pool,
            caller_id_use: shown.own.map(Box::new),
            connect_at: wire.connect_at.into(),
            message_prompt: wire.on_answer.play,
            concurrency: (&wire.concurrency).into(),
            pacing: Box::new(wire.pacing.config(&wire.classify.amd)),
            timers: (&wire.timers).into(),
            safe_harbour_prompt: wire.on_no_agent.play,
            lock_hours: wire.on_no_agent.lock_hours,
            opt_out,
            amd: wire.classify.amd.mode.into(),
            machine_policy: Box::new(wire.classify.policy()),
            early_media,
            tone_plan,
            retry,
            attempts_max: wire.caps.per_lead,
            schedule: wire
                .schedule
                .into_core(calling_hours.as_ref().map_or(0, |hours| hours.utc_offset_minutes)),
            calling_hours,
            calling_windows: windows,
            calendar: wire.calendar,
            frequency: Box::new(wire.caps.frequency()),
            filter,
            sequence: Box::new(Sequence { order: wire.lead_order.into(), mix: wire.list_mix }),
            dnc_lists: wire.dnc_lists,
            record: wire.record,
            dispositions: wire.dispositions.into_iter().map(Into::into).collect(),
            push: wire.push.as_ref().map(|push| Box::new(push.into())),
            preview_skip: wire.preview_skip,
            best_time: wire
                .best_time
                .filter(|best_time| best_time.enabled)
                .map(|best_time| Box::new(best_time.config())),
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
            caller_id: CallerIdChoice::of(config),
            // One spelling at a time, so that a patch of either means what it says.
            caller_id_pool: config.caller_id_pool.filter(|_| config.caller_id_use.is_none()),
            concurrency: (&config.concurrency).into(),
            pacing: config.pacing.as_ref().into(),
            timers: (&config.timers).into(),
            on_no_agent: OnNoAgent::new(config),
            classify: Classify::new(config),
            retry: config.retry.iter().map(RetryRule::from).collect(),
            caps: Caps::new(config),
            schedule: config.schedule.into(),
            calling_hours: config.calling_hours.as_ref().map(CallingHours::from),
            calling_windows: config.calling_windows.as_deref().map(CallingWindows::from),
            calendar: config.calendar,
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
        settings.caller_id = settings.caller_id.map(|choice| choice.masked(mask));
        settings.caller_id_pool = view.row.config.caller_id_pool;
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
