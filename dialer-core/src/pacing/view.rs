//! What is true now, as the pacer is shown.

use super::{AgentRef, CallRef, CampaignRef, DialTraits};
use core::time::Duration;
use sansio::Instant;
use serde::{Deserialize, Serialize};

/// What an agent is doing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum AgentState {
    /// Ready for a call.
    Idle,
    /// Joined already to calls that still ring ([`Mode::PreConnected`](super::Mode::PreConnected)): takes the first of
    /// the campaign's answers, like an idle agent.
    Listening,
    /// Picked for a call that is not joined yet (the agent's phone is ringing, or the bridge is being made).
    Reserved,
    /// In an outbound conversation, hold included.
    Talking,
    /// In wrap-up after an outbound call.
    WrapUp,
    /// In an inbound conversation.
    InboundTalking,
    /// In wrap-up after an inbound call.
    InboundWrapUp,
    /// On a break.
    OnBreak,
    /// Not there.
    LoggedOut,
}

impl AgentState {
    /// Logged in and not on a break.
    #[must_use]
    pub const fn is_working(self) -> bool {
        !matches!(self, AgentState::OnBreak | AgentState::LoggedOut)
    }
}

/// One agent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AgentView<'a> {
    /// Who.
    pub agent: AgentRef,
    /// Doing what.
    pub state: AgentState,
    /// Since when.
    pub since: Instant,
    /// Whose call the agent is in, or wraps up.
    pub campaign: Option<CampaignRef>,
    /// The campaigns whose calls this agent takes.
    pub serves: &'a [CampaignRef],
    /// Will log out or go on a break as soon as the present call is wrapped up.
    pub leaving: bool,
    /// When a busy agent will be idle again at the latest, if that is known: a wrap-up that is ended by a timer. It may
    /// end sooner; how likely that is, is forecast.
    pub free_at: Option<Instant>,
    /// When a busy agent will be idle again at the earliest, if the agent said so ("two minutes more").
    pub busy_until: Option<Instant>,
    /// When the agent goes home or on a break, if that is planned: takes no call from then on.
    pub leaves_at: Option<Instant>,
}

/// One call that no agent has yet: in flight, or answered and waiting.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CallView {
    /// Which.
    pub call: CallRef,
    /// Whose.
    pub campaign: CampaignRef,
    /// When it was dialled.
    pub dialed_at: Instant,
    /// When the far end began to ring, if it did.
    pub alerting_at: Option<Instant>,
    /// When the far end picked up, if machine detection still listens.
    pub detecting_since: Option<Instant>,
    /// When a person answered: the call waits for an agent.
    pub answered_at: Option<Instant>,
    /// What its chance of an answer may depend on.
    pub traits: DialTraits,
    /// What is known of this lead: the probability, before it was dialled, that a person answers, 0..=1.
    /// `None`: the campaign's own.
    pub answer_probability: Option<f32>,
}

/// How a window's cap binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub enum CapStyle {
    /// Never above: only what has been earned by answers already counted is spent.
    Hard,
    /// At or under the cap when the window ends; spending is planned over what is left of it.
    #[default]
    Average,
    /// Like average, but may run ahead early in the shift; what may be ahead shrinks to nothing at its end.
    Tapered,
}

/// The abandonment ledger of one window that applies to the campaign.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct WindowCount {
    /// Calls answered by a person in the window so far.
    pub live: u64,
    /// Of these, abandoned.
    pub abandoned: u64,
    /// The greatest allowed abandoned ÷ live, e.g. 0.03.
    pub cap: f64,
    /// How the cap binds.
    pub style: CapStyle,
    /// Dialling time left in this window (the shifts left, not the nights), if known. `None` plans on nothing:
    /// only what has been earned is spent.
    pub left: Option<Duration>,
    /// Counts the answers of every campaign of the same [`CampaignPacing::group`](super::CampaignPacing::group).
    pub of_group: bool,
}

/// What no decision may exceed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct DialLimits {
    /// Lines that may still be taken (trunk channels, licences).
    pub lines_free: u32,
    /// Calls that may start now under the trunks' calls-per-second limits.
    pub cps_allowance: u32,
    /// Leads ready to be dialled.
    pub hopper: u32,
    /// Calls in flight per working agent, decimal, e.g. 3.0.
    pub max_lines_per_agent: f64,
}

/// Why nothing may be dialled at all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Hold {
    /// Paused or stopped by the operator.
    Paused,
    /// Outside the calling hours.
    Window,
    /// The daemon is shutting down.
    Draining,
}

/// Everything a decision looks at.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PacingView<'a> {
    /// The campaign to decide for.
    pub campaign: CampaignRef,
    /// The agents who serve it (others may be there and are ignored).
    pub agents: &'a [AgentView<'a>],
    /// The calls without an agent: this campaign's, and those of every campaign that shares agents with it.
    pub calls: &'a [CallView],
    /// Inbound calls waiting for these agents; they go first.
    pub inbound_waiting: u32,
    /// Limits on the way out.
    pub limits: DialLimits,
    /// Leads that will be dialled after those in the hopper, if known; bounds what is planned ahead.
    pub leads_left: Option<u64>,
    /// Idle agents this campaign may count on at most, where others have a claim on them by weight or priority.
    /// `None`: all.
    pub idle_share: Option<u32>,
    /// What the next leads' chance of an answer may depend on.
    pub next: DialTraits,
    /// What is known of the next leads: the probability that a person answers, 0..=1. `None`: as learned.
    pub next_answer: Option<f32>,
    /// Time to the end of the agents' shift, if known.
    pub shift_left: Option<Duration>,
    /// The abandonment windows that apply; the tightest decides. Empty: no call may be risked.
    pub windows: &'a [WindowCount],
    /// Nothing may be dialled, and why.
    pub hold: Option<Hold>,
}
