//! When a campaign begins and ends, on the wire.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// When a campaign that was started begins to dial, and when it is stopped.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// Nothing is dialled before; null: it begins when it is started.
    pub start: Option<Time>,
    /// It is stopped then, and cannot be started any more; null: it goes on until somebody stops it.
    pub end: Option<Time>,
}

impl From<Schedule> for dialer_core::Schedule {
    fn from(wire: Schedule) -> Self {
        dialer_core::Schedule { start: wire.start.map(|at| at.0), end: wire.end.map(|at| at.0) }
    }
}

impl From<dialer_core::Schedule> for Schedule {
    fn from(core: dialer_core::Schedule) -> Self {
        Schedule { start: core.start.map(Time), end: core.end.map(Time) }
    }
}
