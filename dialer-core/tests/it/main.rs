//! The dialer from outside: inputs in, effects out.

mod agents;
mod callbacks;
mod caller_ids;
mod clock;
mod compliance;
mod devices;
mod fold;
mod fuzz;
mod house;
mod ladder;
mod machines;
mod modes;
mod moved;
mod parked;
mod promises;
mod push;
mod recordings;
mod rung_early;
mod schedule;
mod shift;
mod tenants;
mod transit;
