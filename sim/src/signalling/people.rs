//! Agents at their desks and the operator in the office: they see views and give commands.

use super::scene::AgentScene;
use dialer_core::participant::CallWish;
use dialer_core::record::CallKindTag;
use dialer_core::view::{AgentState, AgentView};
use dialer_core::{AgentId, CallId, CampaignId, Command, OriginateRequest, TaskId};
use sansio::{Rng, WallTime};
use std::collections::BTreeMap;

/// An agent, the person.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) scene: AgentScene,
    pub(crate) id: Option<AgentId>,
    rng: Rng,
    state: AgentState,
    call: Option<CallId>,
    task: Option<TaskId>,
    /// Counts changes of state: an intention of an earlier one is forgotten.
    pub(crate) mood: u64,
}

impl Person {
    pub(crate) fn new(scene: AgentScene, rng: Rng) -> Self {
        Person { scene, id: None, rng, state: AgentState::LoggedOut, call: None, task: None, mood: 0 }
    }

    /// Sees what the daemon says of this agent; when to act, if it is something new.
    pub(crate) fn sees(&mut self, view: &AgentView) -> Option<u64> {
        if let Some(call) = view.call {
            self.call = Some(call);
        }
        self.task = view.task.as_ref().map(|task| task.id);
        if self.state == view.state {
            return None;
        }
        self.state = view.state;
        self.mood += 1;
        self.think()
    }

    /// How long until the next act in the present state, milliseconds.
    pub(crate) fn think(&mut self) -> Option<u64> {
        let rng = &mut self.rng;
        let ms = match self.state {
            AgentState::LoggedOut => rng.between(1_000.0, 15_000.0),
            AgentState::Paused => rng.between(3_000.0, 30_000.0),
            AgentState::Ready if self.scene.break_ms > 0.0 => rng.exponential(self.scene.break_ms),
            AgentState::Ready if self.scene.restless => rng.exponential(400_000.0),
            AgentState::Talking => rng.lognormal(self.scene.talk_ms, 0.6),
            AgentState::WrapUp => rng.exponential(4_000.0),
            AgentState::Preview => rng.exponential(3_000.0),
            _ => return None,
        };
        Some(ms as u64)
    }

    /// What this agent does now.
    pub(crate) fn act(&mut self, wall: WallTime) -> Option<Command> {
        let agent = self.id?;
        let rng = &mut self.rng;
        let odd = rng.unit();
        match self.state {
            AgentState::LoggedOut => Some(Command::AgentLogin { agent, session: self.scene.session }),
            AgentState::Ready if self.scene.restless && odd < 0.5 => Some(Command::AgentLogout(agent)),
            AgentState::Ready => Some(Command::AgentPause { agent, code: "coffee".into() }),
            AgentState::Paused => Some(Command::AgentReady(agent)),
            AgentState::Talking if odd < 0.05 => Some(Command::AgentLogout(agent)),
            AgentState::Talking if odd < 0.10 => Some(Command::AgentPause { agent, code: "tired".into() }),
            AgentState::Talking if odd < 0.16 => self.call.map(|call| {
                let wish = CallWish::Park { timeout_ms: 5_000 };
                Command::Call { call, wish }
            }),
            AgentState::Talking => self.call.map(Command::Hangup),
            AgentState::WrapUp if odd < 0.3 => Some(Command::AgentReady(agent)),
            AgentState::WrapUp => self.call.map(|call| Command::SetDisposition {
                call,
                said: dialer_core::disposition::Said {
                    answered_by: None,
                    code: "sold".into(),
                    notes: (odd < 0.5).then(|| "asked for a letter".into()),
                    callback_at: (odd < 0.4).then(|| wall.plus_millis(120_000)),
                    ..Default::default()
                },
            }),
            AgentState::Preview if odd < 0.3 => self.task.map(Command::TaskSkip),
            AgentState::Preview => self.task.map(|task| Command::TaskDial { task, phone: None }),
            _ => None,
        }
    }
}

/// The operator.
#[derive(Debug)]
pub(crate) struct Operator {
    rng: Rng,
    pub(crate) mean_ms: f64,
    pub(crate) campaigns: Vec<CampaignId>,
    pub(crate) agents: Vec<AgentId>,
    /// Live calls as seen.
    pub(crate) calls: BTreeMap<CallId, CallKindTag>,
    numbers: u64,
}

impl Operator {
    pub(crate) fn new(rng: Rng, mean_ms: f64) -> Self {
        Operator {
            rng,
            mean_ms,
            campaigns: Vec::new(),
            agents: Vec::new(),
            calls: BTreeMap::new(),
            numbers: 0,
        }
    }

    pub(crate) fn think(&mut self) -> Option<u64> {
        (self.mean_ms > 0.0).then(|| 500 + self.rng.exponential(self.mean_ms) as u64)
    }

    /// What the operator does now; some of it makes no sense and must be refused.
    pub(crate) fn act(&mut self) -> Vec<Command> {
        let rng = &mut self.rng;
        let pick = |rng: &mut Rng, of: usize| rng.below(of.max(1) as u64) as usize;
        let campaign = self.campaigns.get(pick(rng, self.campaigns.len())).copied();
        let Some(campaign) = campaign else { return Vec::new() };
        match rng.below(10) {
            0 => vec![Command::PauseCampaign(campaign)],
            1 | 2 => vec![Command::ResumeCampaign(campaign)],
            3 => vec![Command::StopCampaign(campaign), Command::StartCampaign(campaign)],
            4 => vec![Command::StartCampaign(campaign)],
            5 => {
                let calls: Vec<CallId> = self.calls.keys().copied().collect();
                calls.get(pick(rng, calls.len())).map(|call| Command::Hangup(*call)).into_iter().collect()
            }
            6 => vec![Command::DeleteCampaign(campaign), Command::Hangup(CallId::from_bits(1))],
            7 => {
                let calls: Vec<CallId> = self.calls.keys().copied().collect();
                let bridge = |call: &CallId| Command::Call { call: *call, wish: CallWish::Bridge(None) };
                calls.get(pick(rng, calls.len())).map(bridge).into_iter().collect()
            }
            _ => {
                let Some(agent) = self.agents.get(pick(rng, self.agents.len())).copied() else {
                    return Vec::new();
                };
                self.numbers += 1;
                vec![Command::Originate(OriginateRequest {
                    lead: None,
                    known: None,
                    agent,
                    to: format!("+44207{:07}", self.numbers),
                    caller_id: None,
                    trunk: None,
                    campaign: rng.chance(0.3).then_some(campaign),
                    ring_timeout_ms: Some(20_000),
                    record: rng.chance(0.5),
                    notice: None,
                    client_state: Some(format!("click {}", self.numbers)),
                    override_reason: None,
                    caller_id_pool: None,
                })]
            }
        }
    }
}
