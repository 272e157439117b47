//! Agents on the wire.

use super::device::Device;
use super::pop::{PopLead, PopNames, ScreenPop};
use super::serving::{AfterPause, Membership};
use super::{Srtp, wire_enum};
use crate::extract::Checks;
use crate::mask::Masker;
use crate::problem::Problem;
use crate::time::Time;
use dialer_core::config::{AgentConfig, is_destination};
use dialer_core::view::{AgentState as CoreState, AgentView, TaskView};
use dialer_core::{CampaignId, Tenant};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

wire_enum! {
    /// How the INVITE to an agent's phone asks to be answered by itself.
    AutoAnswer = dialer_core::config::AutoAnswer {
        /// `Call-Info` and `Alert-Info` together, which most phones obey.
        Default,
        /// `Call-Info: <sip:host>;answer-after=0`.
        CallInfo,
        /// `Alert-Info: <http://host>;info=alert-autoanswer;delay=0`.
        AlertInfo,
        /// Yealink.
        Yealink,
        /// Polycom.
        Polycom,
        /// RFC 5373 `Answer-Mode: Auto`.
        Rfc5373,
        /// `P-Auto-Answer: normal`.
        PAutoAnswer,
        /// The agent picks up by hand.
        None,
    }
}

wire_enum! {
    /// What an agent is doing.
    AgentState = dialer_core::view::AgentState {
        /// Not at work.
        LoggedOut,
        /// At work, but the phone or its session is not up.
        Unreachable,
        /// Free.
        Ready,
        /// Chosen for a call.
        Reserved,
        /// The phone rings.
        Ringing,
        /// Looks at a preview task.
        Preview,
        /// In a call.
        Talking,
        /// In a call on hold.
        Hold,
        /// After-call work.
        WrapUp,
        /// On a break.
        Paused,
    }
}

wire_enum! {
    /// How an agent's voice path is kept.
    Session = dialer_core::config::SessionKind {
        /// One call to the phone stays up; customers are joined to it at once.
        NailedUp,
        /// The phone is rung for each call.
        OnDemand,
    }
}

/// An agent to be made; for PATCH, any part of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentRequest {
    /// Shown name, 1 to 100 characters.
    pub name: String,
    /// SIP user of the phone; unique. Letters, digits and `-_.!~*'()&=+$,`, at most 64.
    pub username: String,
    /// SIP password of the phone. Write-only. Needed for a device that registers.
    #[serde(default)]
    #[schema(write_only)]
    pub password: Option<String>,
    /// What rings when the agent is called.
    #[serde(default)]
    pub device: Device,
    /// Groups this agent belongs to.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Asking the phone to answer by itself.
    #[serde(default = "auto_answer")]
    pub auto_answer: AutoAnswer,
    /// Wrap-up of this agent instead of the campaign's.
    #[serde(default)]
    #[schema(maximum = 3_600_000)]
    pub wrap_up_ms: Option<u32>,
    /// Numbers that the phone may call and transfer customers to: their beginnings, `*` for all. Empty: none. At most 64.
    #[serde(default)]
    #[schema(example = json!(["1215", "+44"]))]
    pub destinations: Vec<String>,
    /// Calls of the phone's own at once, transfers to outside among them.
    #[serde(default = "calls_max")]
    #[schema(default = 2, maximum = 1_000)]
    pub calls_max: u32,
    /// What the agent can, each skill with its level, 0 to 9. At most 64.
    #[serde(default)]
    #[schema(example = json!({"french": 7}))]
    pub skills: BTreeMap<String, u8>,
    /// Rank in campaigns not named in `campaigns`; the highest comes first in the orders `rank` and `skill_rank`.
    #[serde(default)]
    #[schema(minimum = -9, maximum = 9)]
    pub rank: i8,
    /// Place from the top in such campaigns, for the order `top_down`; the lowest comes first.
    #[serde(default)]
    pub position: u32,
    /// The agent's place in single campaigns, by their ids.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Membership>)]
    pub campaigns: BTreeMap<CampaignId, Membership>,
    /// How long the phone of this agent rings instead of the campaign's `agent_ring_ms`.
    #[serde(default)]
    #[schema(minimum = 500, maximum = 120_000)]
    pub ring_ms: Option<u32>,
    /// Whether the phone's sound is encrypted. (That of a browser always is.)
    #[serde(default)]
    pub srtp: Srtp,
    /// A break lasts at most so long; null: as long as the agent wants.
    #[serde(default)]
    #[schema(minimum = 1_000, maximum = 86_400_000)]
    pub pause_max_ms: Option<u32>,
    /// What follows a break that lasts longer.
    #[serde(default = "pause_then")]
    #[schema(default = "ready")]
    pub pause_then: AfterPause,
}

fn pause_then() -> AfterPause {
    AfterPause::Ready
}

fn calls_max() -> u32 {
    AgentConfig::default().calls_max
}

fn auto_answer() -> AutoAnswer {
    AgentConfig::default().auto_answer.into()
}

impl TryFrom<AgentRequest> for AgentConfig {
    type Error = Problem;

    fn try_from(wire: AgentRequest) -> Result<Self, Problem> {
        let mut checks = Checks::default();
        checks.text(&wire.name, 100, "/name");
        let user_fits = (1..=64).contains(&wire.username.len())
            && wire
                .username
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,".contains(&byte));
        checks.that(user_fits, "/username", "expected 1 to 64 letters, digits or -_.!~*'()&=+$,");
        match &wire.password {
            Some(password) => checks.text(password, 256, "/password"),
            None if wire.device != Device::Registered => {}
            None => checks.wrong("/password", "is required"),
        }
        checks.that(wire.groups.len() <= 100, "/groups", "expected at most 100 groups");
        for (at, group) in wire.groups.iter().enumerate() {
            checks.text(group, 100, &format!("/groups/{at}"));
            checks.that(!wire.groups[..at].contains(group), &format!("/groups/{at}"), "named twice");
        }
        if let Some(wrap_up) = wire.wrap_up_ms {
            checks.range(wrap_up, 0, 3_600_000, "/wrap_up_ms");
        }
        checks.that(
            wire.destinations.len() <= 64,
            "/destinations",
            "expected at most 64 beginnings of numbers",
        );
        for (at, entry) in wire.destinations.iter().enumerate() {
            let expected = "expected the beginning of a number, or *";
            checks.that(is_destination(entry), &format!("/destinations/{at}"), expected);
        }
        checks.range(wire.calls_max, 0, 1_000, "/calls_max");
        checks.finish()?;
        Ok(AgentConfig {
            name: wire.name,
            username: wire.username,
            password: wire.password.unwrap_or_default(),
            // Whoever makes it says whose it is; afterwards it stays.
            tenant: Tenant::default(),
            device: wire.device.try_into()?,
            groups: wire.groups,
            auto_answer: wire.auto_answer.into(),
            wrap_up_ms: wire.wrap_up_ms,
            destinations: wire.destinations,
            calls_max: wire.calls_max,
            skills: wire.skills,
            rank: wire.rank,
            position: wire.position,
            memberships: wire.campaigns.into_iter().map(|(id, place)| (id, place.into())).collect(),
            ring_ms: wire.ring_ms,
            srtp: wire.srtp.into(),
            pause_max_ms: wire.pause_max_ms,
            pause_then: wire.pause_then.into(),
        })
    }
}

impl From<&AgentConfig> for AgentRequest {
    /// Without the password.
    fn from(config: &AgentConfig) -> Self {
        AgentRequest {
            name: config.name.clone(),
            username: config.username.clone(),
            password: None,
            device: (&config.device).into(),
            groups: config.groups.clone(),
            auto_answer: config.auto_answer.into(),
            wrap_up_ms: config.wrap_up_ms,
            destinations: config.destinations.clone(),
            calls_max: config.calls_max,
            skills: config.skills.clone(),
            rank: config.rank,
            position: config.position,
            campaigns: memberships(config),
            ring_ms: config.ring_ms,
            srtp: config.srtp.into(),
            pause_max_ms: config.pause_max_ms,
            pause_then: config.pause_then.into(),
        }
    }
}

fn memberships(config: &AgentConfig) -> BTreeMap<CampaignId, Membership> {
    config.memberships.iter().map(|(id, place)| (*id, (*place).into())).collect()
}

/// How to log in.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// How the voice path is kept; `nailed_up` if absent.
    #[serde(default)]
    pub session: Option<Session>,
}

/// Why an agent takes a break.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// A word for the reason, 1 to 64 characters.
    #[schema(example = "lunch")]
    pub code: String,
}

impl PauseRequest {
    /// The code, checked.
    ///
    /// # Errors
    /// When it is empty, too long or has control characters.
    pub fn checked(self) -> Result<String, Problem> {
        let mut checks = Checks::default();
        checks.text(&self.code, 64, "/code");
        checks.finish()?;
        Ok(self.code)
    }
}

/// An agent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Agent {
    /// Its name.
    #[schema(example = "agt_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// Shown name.
    pub name: String,
    /// SIP user of the phone.
    pub username: String,
    /// What rings when the agent is called.
    pub device: Device,
    /// Groups.
    pub groups: Vec<String>,
    /// Asking the phone to answer by itself.
    pub auto_answer: AutoAnswer,
    /// Wrap-up of this agent instead of the campaign's.
    pub wrap_up_ms: Option<u32>,
    /// Numbers that the phone may call and transfer to: their beginnings, `*` for all.
    pub destinations: Vec<String>,
    /// Calls of the phone's own at once.
    pub calls_max: u32,
    /// What the agent can, each skill with its level, 0 to 9.
    pub skills: BTreeMap<String, u8>,
    /// Rank in campaigns not named in `campaigns`.
    pub rank: i8,
    /// Place from the top in such campaigns.
    pub position: u32,
    /// The agent's place in single campaigns.
    #[schema(value_type = BTreeMap<String, Membership>)]
    pub campaigns: BTreeMap<CampaignId, Membership>,
    /// How long the phone rings instead of the campaign's time.
    pub ring_ms: Option<u32>,
    /// Whether the phone's sound is encrypted.
    pub srtp: Srtp,
    /// A break lasts at most so long.
    pub pause_max_ms: Option<u32>,
    /// What follows a break that lasts longer.
    pub pause_then: AfterPause,
    /// What the agent does.
    pub state: AgentState,
    /// Since when.
    pub since: Time,
    /// When the state ends by itself.
    pub expires_at: Option<Time>,
    /// Logged in, and how.
    pub session: Option<Session>,
    /// Break code.
    pub pause_code: Option<String>,
    /// The phone is registered.
    pub registered: bool,
    /// A call can ring it: it is registered, and has not left the last OPTIONS without an answer
    /// (`[sip] phone_options_interval_s`), or it is a device that does not register.
    pub reachable: bool,
    /// In this call.
    pub call_id: Option<String>,
    /// Looks at this preview task.
    pub task: Option<Task>,
    /// Milliseconds in each state since login.
    pub state_ms: BTreeMap<String, u64>,
    /// Calls taken since login.
    pub calls_taken: u32,
    /// Counts changes, from 1 (also the ETag).
    pub version: u32,
    /// When it was made.
    pub created_at: Time,
}

impl Agent {
    /// As the caller may see it.
    #[must_use]
    pub fn new(view: &AgentView, mask: Masker) -> Self {
        let config = &view.row.config;
        let spent = CoreState::ALL.into_iter().zip(view.state_ms);
        Agent {
            id: view.row.id.to_string(),
            name: config.name.clone(),
            username: config.username.clone(),
            device: Device::shown(&config.device, mask),
            groups: config.groups.clone(),
            auto_answer: config.auto_answer.into(),
            wrap_up_ms: config.wrap_up_ms,
            destinations: config.destinations.clone(),
            calls_max: config.calls_max,
            skills: config.skills.clone(),
            rank: config.rank,
            position: config.position,
            campaigns: memberships(config),
            ring_ms: config.ring_ms,
            srtp: config.srtp.into(),
            pause_max_ms: config.pause_max_ms,
            pause_then: config.pause_then.into(),
            state: view.state.into(),
            since: view.since.into(),
            expires_at: view.expires_at.map(Time),
            session: view.session.map(Session::from),
            pause_code: view.pause_code.clone(),
            registered: view.registered,
            reachable: config.device.is_fixed() || view.registered && !view.silent,
            call_id: view.call.map(|call| call.to_string()),
            task: view.task.as_ref().map(|task| Task::new(task, &view.row.id.to_string(), mask)),
            state_ms: spent.map(|(state, millis)| (state.as_str().to_owned(), millis)).collect(),
            calls_taken: view.calls_taken,
            version: view.row.version,
            created_at: view.row.created_at.into(),
        }
    }
}

/// How a preview task is dialled.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskDialRequest {
    /// The place of the lead's number to dial, from 0; null: the next one.
    #[serde(default)]
    #[schema(maximum = 9)]
    pub phone: Option<u32>,
}

/// A lead given to an agent to look at before it is dialled.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Task {
    /// Its name.
    #[schema(example = "task_01JC8Z3V5N8W6Q2R4T7Y9X1B3D")]
    pub id: String,
    /// Whose task.
    pub agent_id: String,
    /// The campaign.
    pub campaign_id: String,
    /// The lead.
    pub lead_id: String,
    /// The number that would be dialled.
    pub to: String,
    /// When it is dialled by itself.
    pub expires_at: Option<Time>,
    /// The lead.
    pub lead: Option<PopLead>,
    /// Which attempt of the lead it would be, from 1.
    pub attempt: u32,
    /// The campaign's `pop_url`, filled in.
    pub pop_url: Option<String>,
}

impl Task {
    /// As the caller may see it.
    #[must_use]
    pub fn new(view: &TaskView, agent: &str, mask: Masker) -> Self {
        let names = PopNames {
            call: None,
            task: Some(view.id.to_string()),
            campaign: Some(view.campaign.to_string()),
            lead: Some(view.lead.to_string()),
            agent: Some(agent.to_owned()),
        };
        let pop = ScreenPop::new(&view.pop, &names, mask);
        Task {
            id: view.id.to_string(),
            agent_id: agent.to_owned(),
            campaign_id: view.campaign.to_string(),
            lead_id: view.lead.to_string(),
            to: mask.number(&view.to),
            expires_at: view.expires_at.map(Time),
            lead: pop.lead,
            attempt: pop.attempt,
            pop_url: pop.pop_url,
        }
    }
}
