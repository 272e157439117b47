//! The business depth of the simulation: a call centre without a line of SIP, months in seconds.
//!
//! The world (callees, agents, lines) knows nothing of any pacing policy; a [`world::Dialler`] sees what a dialler
//! sees and no more. The policies of this house and of others are played against the same callees.

pub mod baselines;
pub mod best_time;
pub mod html;
pub mod known;
pub mod lines;
pub mod play;
pub mod policy;
pub mod recorded;
pub mod report;
pub mod scenario;
pub mod world;
