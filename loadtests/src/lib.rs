//! Load generators over real SIP and RTP.
//!
//! [`swarm`] plays the world around a dialer: a carrier with its callees, and agents' phones with the people at
//! them. It stands on the same signalling and media rooms as the daemon; SIPp (in `sipp/`) is the independent
//! second opinion. [`ears`] measures how well is heard, [`load`] what a daemon carries and what that costs.

pub mod ears;
pub mod interop;
pub mod load;
pub mod swarm;
