//! Load on one daemon, and what it costs: our own generator, SIPp as a second opinion, one report.

pub mod api;
pub mod beside;
pub mod campaign;
pub mod daemon;
pub mod events;
pub mod flood;
pub mod frames;
pub mod generator;
pub mod hostile;
pub mod import;
pub mod latency;
pub mod listening;
pub mod message;
pub mod meter;
pub mod parser;
pub mod port;
pub mod process;
pub mod relays;
pub mod report;
pub mod sipp;
pub mod soak;
pub mod sound;
pub mod storage;
pub mod transit;
pub mod wait;
