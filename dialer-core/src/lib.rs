//! The call centre: it decides whom to dial, when, from which number, and who talks to whom.
//!
//! A quiet room: no SIP, no RTP, no files, no clock. Four doors:
//! [`Command`] (wishes from above), [`Event`] (facts to above), [`Input`] (facts from below), [`Effect`]
//! (orders to below). Everything that must survive is an [`Effect::Journal`] before it is acted upon or told.

pub mod command;
pub mod config;
pub mod effect;
pub mod event;
pub mod id;
pub mod input;
pub mod outcome;
pub mod pacing;
pub mod record;
pub mod view;

pub use command::{Command, CommandError, OriginateRequest, Reply};
pub use effect::{CallOrder, Effect};
pub use event::{Event, EventEnvelope};
pub use id::{
    AgentId, AttemptId, CallId, CampaignId, EventId, LeadId, LegId, ListId, RecordingId, TaskId, TokenId,
    TrunkId,
};
pub use input::{AgentFact, CallFact, Input, TrunkFact};
pub use outcome::{EndCause, Evidence, Outcome, Party};
pub use record::{CallRecord, Record, Snapshot};
pub use view::ViewChange;
