//! The hall: it translates between deciding (`dialer-core`), signalling (`sip-proxy`) and sound (`media`).
//!
//! Two tops stand here. [`ControlCore`] is the dialer behind its journal gate: nothing that must survive a crash is
//! acted upon before it is durable. [`CallShard`] is a SIP user agent, a media plane, and the table that says
//! which dialogs and streams are one call. Both are pure; what the ground does for them is in [`doors`].

mod audit;
mod call;
mod control;
mod departures;
pub mod doors;
mod gate;
mod shard;
mod stir;
mod trace;
mod translate;

pub use control::{ControlConfig, ControlCore};
pub use doors::*;
pub use gate::GateCounters;
pub use shard::CallShard;
pub use shard::counters::{RECORDING_FAILURES, ShardCounters};
pub use shard::counts::CountsWanted;
pub use shard::trunks::TrunkLoad;
pub use stir::{AttestRule, StirRules, StirSettings, VerifyRule};
pub use trace::{TraceConfig, TracedMessage, masked};
