//! The node on the wire.

use crate::gateway::NodeInfo;
use crate::time::Time;
use dialer_core::view::NodeView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether the node takes new work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It does.
    Ready,
    /// It does not; live calls go on.
    Draining,
    /// It does not, and no call is left.
    Drained,
}

/// The node.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Node {
    /// Its name, the first part of event cursors.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// When it was started.
    pub started_at: Time,
    /// Whether it takes new work.
    pub state: NodeState,
    /// Live calls.
    pub calls: u32,
    /// Records are being written.
    pub store_healthy: bool,
}

impl Node {
    /// As it is shown.
    #[must_use]
    pub fn new(info: &NodeInfo, view: NodeView) -> Self {
        let state = match (view.draining, view.drained) {
            (false, _) => NodeState::Ready,
            (true, false) => NodeState::Draining,
            (true, true) => NodeState::Drained,
        };
        Node {
            name: info.name.clone(),
            version: info.version.clone(),
            started_at: info.started_at.into(),
            state,
            calls: view.calls,
            store_healthy: view.store_healthy,
        }
    }
}

/// How to drain; may be empty.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// How long live calls may go on before they are hung up.
    #[serde(default)]
    #[schema(maximum = 86_400_000)]
    pub deadline_ms: Option<u64>,
}
