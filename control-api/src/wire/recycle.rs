//! Leads that are dialled anew, and leads taken back, on the wire.

use super::Outcome;
use super::lead::LeadState;
use dialer_core::{AgentId, ListId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which leads are to be dialled anew.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RecycleRequest {
    /// Only those of this list, one of the campaign's; null: of all its lists.
    #[schema(value_type = Option<String>)]
    pub list_id: Option<ListId>,
    /// Those that stand so: `exhausted`, `done`, `dnc` (those that are listed still stay out) or `retry_wait`.
    #[schema(default = json!(["exhausted"]))]
    pub states: Vec<LeadState>,
    /// Those whose last attempt came to one of these; empty: whatever it came to.
    pub outcomes: Vec<Outcome>,
    /// `next_cursor` of an answer that was not complete.
    pub cursor: Option<String>,
}

impl Default for RecycleRequest {
    fn default() -> Self {
        let states = vec![LeadState::Exhausted];
        RecycleRequest { list_id: None, states, outcomes: Vec::new(), cursor: None }
    }
}

/// What was recycled.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Recycled {
    /// So many leads are as if they had never been dialled.
    pub recycled: u64,
    /// There is more to look at: ask again with this as `cursor`; null: all were looked at.
    pub next_cursor: Option<String>,
}

/// From whom preview tasks are taken back.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TakeBackRequest {
    /// From this agent; null: from all.
    #[schema(value_type = Option<String>)]
    pub agent_id: Option<AgentId>,
}

/// What was taken back.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TakenBack {
    /// So many leads wait again, behind all others.
    pub taken_back: u64,
}

/// What a copy of a campaign is to be called.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CopyRequest {
    /// Shown name, 1 to 100 characters; null: the other's with "(copy)" behind it.
    pub name: Option<String>,
}
