//! The call centre: it decides whom to dial, when, from which number, and who talks to whom.
//!
//! A quiet room: no SIP, no RTP, no files, no clock. Four doors:
//! [`Command`] (wishes from above), [`Event`] (facts to above), [`Input`] (facts from below), [`Effect`]
//! (orders to below). Everything that must survive is an [`Effect::Journal`] before it is acted upon or told.

mod agent;
mod attempt;
pub mod best_time;
pub mod calendar;
mod call;
pub mod caller_id;
mod campaign;
mod check;
mod dialer;
pub mod inbound;
mod lead;
mod node;
mod project;
mod restore;
mod trunk;

pub mod audit;
pub mod command;
pub mod compliance;
pub mod config;
pub mod counters;
pub mod disposition;
pub mod effect;
pub mod event;
pub mod fork;
pub mod id;
pub mod input;
pub mod limits;
pub mod machine;
pub mod outcome;
pub mod pacing;
pub mod participant;
pub mod pop;
pub mod record;
pub mod recording;
pub mod screen;
pub mod serving;
pub mod tenant;
pub mod view;

pub use agent::device::AgentDevice;
pub use campaign::{DNC_ENTRIES_MAX, OptOut, Recycle, Schedule, default_rule};
pub use command::{CallbackRequest, Command, CommandError, OriginateRequest, Reply};
pub use counters::Counters;
pub use dialer::Dialer;
pub use effect::{CallOrder, Effect, OtherTrunk};
pub use event::{Event, EventEnvelope};
pub use id::{
    AgentId, AttemptId, CalendarId, CallId, CallerIdPoolId, CampaignId, DncListId, EventId, ForkId,
    InboundRouteId, LeadId, LegId, ListId, RecordingId, TaskId, TokenId, TrunkId, WebhookId,
};
pub use input::{AgentFact, CallFact, Input, TransitStart, TrunkFact};
pub use limits::DialerConfig;
pub use outcome::{EndCause, Evidence, Outcome, Party};
pub use record::{CallRecord, Record, Snapshot};
pub use tenant::Tenant;
pub use trunk::{SOURCE, headers, is_network};
pub use view::ViewChange;
