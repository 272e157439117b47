//! Calls that come in on our own numbers: a customer calls back.
//!
//! ```text
//!   InboundArrived ─► RecallCaller (who last spoke with this number?) ─► AnswerCustomer ─► steps of the route:
//!     last agent ─► owner of the lead ─► group (queue, music, limits) ─► menu ─► message ─► end
//! ```
//!
//! Which of these and in which order is the route's own. An inbound call is a call like any other (`call/`): it is offered,
//! joined, recorded, wrapped up and ended as they are. It is no attempt, takes no line of a campaign and enters no
//! abandonment ledger. What is remembered of a caller is not kept here: the records of calls are asked.

mod call;
mod config;
mod number;
mod routes;

pub(crate) use call::InboundCall;
pub use config::{InboundRouteConfig, InboundRouteRow, InboundStep, ROUTE_NUMBERS_MAX, ROUTE_STEPS_MAX};
pub use number::e164_candidates;
pub(crate) use routes::Routes;

use crate::id::{AgentId, CampaignId};
use crate::record::Lead;
use sansio::WallTime;

/// What the records say of a caller.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct CallerMemory {
    /// The agent who last spoke with the number, and when that call began.
    pub last_agent: Option<(AgentId, WallTime)>,
    /// The campaign that last called the number, or was last called by it.
    pub campaign: Option<CampaignId>,
    /// The lead with this number: that of the last call, else the newest.
    pub lead: Option<Lead>,
}
