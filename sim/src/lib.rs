//! See the crate description.

pub mod business;
pub mod cli;
pub mod seeds;
pub mod signalling;
