//! See the crate description.

pub mod business;
pub mod seeds;
pub mod signalling;
