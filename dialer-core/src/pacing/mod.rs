//! How many calls to dial now.
//!
//! A library of its own: it knows agents, calls and campaigns only as numbers ([`AgentRef`], [`CallRef`],
//! [`CampaignRef`]), reads no clock, draws no random number, and does no I/O, so that any dialer or simulator
//! can embed it.
//!
//! ```text
//!   what happened                      what is true now                     what to do now
//!   PacingEvent ──observe──▶  Pacer  ◀──decide── PacingView        ──▶     Decision
//!   (dialled, answered,      (learns)  (agents, calls in flight,           (dials, calls to cancel,
//!    talk ended, …)                     lines, CPS, ledger counts)           what limited it, and why)
//! ```
//!
//! # Use
//! 1. Make a [`Floor`] and tell it each campaign's [`CampaignPacing`] (mode, limits of its own).
//! 2. Hand it every [`PacingEvent`] as it happens, of all campaigns that share agents.
//! 3. On every tick (one second is usual, and at once after an agent becomes idle) build a [`PacingView`]
//!    per running campaign and ask [`Pacer::decide`]. Dial [`Decision::dial`] calls at most. When several
//!    campaigns are asked in one tick, each view must already contain what was dialled for those before it.
//! 4. Keep a [`ledger::Ledger`] of live and abandoned answers, rebuilt exactly from the call records, and put its
//!    counts into each view as [`WindowCount`]s: that is the budget a predictive campaign spends.
//! 5. Persist [`Floor::sketch`] now and then, and give it back with [`Floor::restore`] after a restart.
//!
//! ```
//! use dialer_core::pacing::ledger::{Ledger, Plan, WindowRule};
//! use dialer_core::pacing::{
//!     AgentRef, AgentState, AgentView, CallRef, CampaignPacing, CampaignRef, DialLimits, DialTraits, Floor, Mode,
//!     Pacer, PacingEvent, PacingView,
//! };
//! use sansio::{Duration, Instant, WallTime};
//!
//! let campaign = CampaignRef(1);
//! let mut floor = Floor::new();
//! floor.set_campaign(campaign, CampaignPacing { mode: Mode::Predictive, ..CampaignPacing::default() });
//! let wall = WallTime::from_unix_millis(1_790_000_000_000);
//! let mut ledger = Ledger::new(&[WindowRule::gb_day(0)], wall).expect("one window is few");
//!
//! // What happened.
//! let now = Instant::from_millis(10_000);
//! floor.observe(now, &PacingEvent::AgentLoggedIn(AgentRef(1)));
//! floor.observe(now, &PacingEvent::AgentIdle(AgentRef(1)));
//!
//! // What is true now.
//! let serves = [campaign];
//! let agents = [AgentView {
//!     agent: AgentRef(1),
//!     state: AgentState::Idle,
//!     since: now,
//!     campaign: None,
//!     serves: &serves,
//!     leaving: false,
//!     free_at: None,
//!     busy_until: None,
//!     leaves_at: None,
//! }];
//! let shift = Duration::from_secs(8 * 3_600);
//! let mut windows = Vec::new();
//! ledger.windows(wall, Plan { shift_left: Some(shift), shift }, &mut windows);
//! let view = PacingView {
//!     campaign,
//!     agents: &agents,
//!     calls: &[],
//!     inbound_waiting: 0,
//!     limits: DialLimits { lines_free: 30, cps_allowance: 5, hopper: 1_000, max_lines_per_agent: 4.0 },
//!     leads_left: None,
//!     idle_share: None,
//!     next: DialTraits::default(),
//!     next_answer: None,
//!     shift_left: Some(shift),
//!     windows: &windows,
//!     hold: None,
//! };
//!
//! // What to do now: no call is dialled ahead for one agent alone.
//! let decision = floor.decide(now, &view);
//! assert_eq!((decision.dial, decision.limited_by.name()), (1, "small_team"));
//! for call in 0..decision.dial {
//!     let (call, traits) = (CallRef(u64::from(call)), DialTraits::default());
//!     floor.observe(now, &PacingEvent::Dialed { call, campaign, traits });
//! }
//! ```
//! Tell the ledger of every live answer ([`ledger::Ledger::live`]) and of every abandoned one. Over lines of text,
//! without linking anything, the same is [`protocol::LineProtocol`].
//!
//! # Modes
//! | [`Mode`] | dials |
//! |---|---|
//! | `Preview` | nothing by itself: an agent looks at the lead and orders the call |
//! | `Progressive` | one call per idle agent |
//! | `Ratio(r)` | r calls per idle agent, whatever comes of it |
//! | `Predictive` | while the marginal call is safe enough for the abandonment budget |
//! | `PreConnected(r)` | up to r calls per idle or listening agent; those beyond one as far as the budget bears |
//! | `Agentless(n)` | n lines, no agents |
//!
//! # What always holds
//! Whatever the events and views contain (wrong order, unknown ids, duplicates, nonsense numbers):
//! * no panic, and memory bounded by the limits in [`limits`];
//! * `dial` is within free lines, CPS allowance, hopper, and lines per agent, and 0 when no agent is working
//!   (agentless campaigns excepted);
//! * dials ahead of idle agents grow at a bounded pace: no burst after a silence;
//! * one idle agent more never means fewer dials;
//! * without a ledger window, or with one whose budget is spent, predictive dials like progressive: one call per
//!   idle agent;
//! * equal histories give equal decisions.

mod budget;
mod campaign;
mod decision;
mod event;
mod floor;
mod forecast;
mod foresee;
mod inbound;
mod neighbours;
mod predictive;
mod simple;
mod summary;
mod view;

#[cfg(test)]
mod tests;

pub mod erlang;
pub mod estimate;
pub mod ledger;
pub mod limits;
pub mod protocol;

pub use campaign::{CampaignPacing, CancelPolicy, Expected, InboundHoldBack, Mode};
pub use decision::{Decision, Explain, LimitedBy};
pub use event::{DialTraits, Outcome, PacingEvent};
pub use floor::{Floor, Sketch};
pub use summary::Summary;
pub use view::{AgentState, AgentView, CallView, CapStyle, DialLimits, Hold, PacingView, WindowCount};

use sansio::Instant;
use serde::{Deserialize, Serialize};

/// An agent, by the caller's own number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AgentRef(pub u32);

/// A customer call (one dialling), by the caller's own number; never used twice within a day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallRef(pub u64);

/// A campaign, by the caller's own number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CampaignRef(pub u32);

/// Decides how many calls to dial.
///
/// `now` never goes back within one process; an earlier `now` is treated as the latest one seen.
pub trait Pacer {
    /// Learns from one happening. Events of unknown agents, calls or campaigns are taken for what they still say.
    fn observe(&mut self, now: Instant, event: &PacingEvent);

    /// How many calls to dial now for `view.campaign`, and which ringing ones to give up.
    fn decide(&mut self, now: Instant, view: &PacingView<'_>) -> Decision;
}
